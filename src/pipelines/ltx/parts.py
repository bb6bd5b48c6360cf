"""The parts of an LTX-Video pipeline, and what is known of them. Imports no torch."""

from src.pipelines.family import Part

PARTS = (
    Part("text_encoder", "text", ("T5EncoderModel",), blocks="encoder.block", groups=("encoder",)),
    Part(
        "transformer",
        "denoiser",
        ("LTXVideoTransformer3DModel",),
        blocks="transformer_blocks",
        inside=("norm1", "attn1", "attn2", "norm2", "ff"),
        attention="attn1",
        feed_forward="ff",
        queries="attn1.to_q",
    ),
    Part("vae", "vae", ("AutoencoderKLLTXVideo",)),
)

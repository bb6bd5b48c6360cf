"""The parts of a Wan 2.2 TI2V pipeline, and what is known of them. Imports no torch."""

from src.pipelines.family import Part

PARTS = (
    Part(
        "text_encoder", "text", ("UMT5EncoderModel",), blocks="encoder.block", groups=("encoder",)
    ),
    Part(
        "transformer",
        "denoiser",
        ("WanTransformer3DModel",),
        blocks="blocks",
        inside=("norm1", "attn1", "norm2", "attn2", "norm3", "ffn"),
        attention="attn1",
        feed_forward="ffn",
        queries="attn1.to_q",
    ),
    Part("vae", "vae", ("AutoencoderKLWan",), full=True),
)

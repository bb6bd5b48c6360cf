"""A tiny seeded HunyuanVideo, as a diffusers folder: its tokenizers read what the template of its
pipeline is made of."""

import json
from pathlib import Path
from typing import Any

from tests.other_families import say, seeded

SPECIAL = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<image>",
           "<pad>")  # fmt: skip
WORDS = ("system", "user", "assistant", "\n\n")
BEFORE_PROMPT, AROUND = 103, 12
"""Tokens of the template before the prompt, and those of them that are no description."""
SIDE, PATCH = 48, 2
"""Of the photograph as the encoder sees it: 24 patches each way, as many as the pipeline counts."""


def build_hunyuan(folder: Path) -> Path:
    """Of three latent frames, the first of which is the photograph's."""
    import diffusers
    from transformers import CLIPImageProcessorPil

    size = {"height": SIDE, "width": SIDE}
    with seeded():
        tokenizer, tokenizer_2 = llama_tokenizer(), clip_tokenizer()
        pipe = diffusers.HunyuanVideoImageToVideoPipeline(
            tokenizer=tokenizer, text_encoder=llava(tokenizer),
            tokenizer_2=tokenizer_2, text_encoder_2=clip_text(tokenizer_2),
            image_processor=CLIPImageProcessorPil(size=size, crop_size=size),
            transformer=diffusers.HunyuanVideoTransformer3DModel(
                in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16,
                num_layers=1, num_single_layers=1, num_refiner_layers=1, mlp_ratio=1.0,
                text_embed_dim=16, pooled_projection_dim=8, rope_axes_dim=(4, 6, 6),
                image_condition_type="token_replace",
            ).eval(),
            vae=diffusers.AutoencoderKLHunyuanVideo(
                latent_channels=4, block_out_channels=(8,) * 4, layers_per_block=1,
                norm_num_groups=4,
            ).eval(),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        )  # fmt: skip
    pipe.save_pretrained(folder, safe_serialization=True)
    as_published(folder, tokenizer_2)
    return say(
        folder, native={"width": 48, "height": 32}, frames={"step": 4, "most": 17}, num_frames=9
    )


def as_published(folder: Path, tokenizer_2: Any) -> None:
    """The index names Llama's tokenizer, and CLIP's is two files."""
    index = json.loads((folder / "model_index.json").read_bytes())
    index["tokenizer"] = ["transformers", "LlamaTokenizerFast"]
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "tokenizer_2" / "tokenizer.json").unlink()
    (folder / "tokenizer_2" / "vocab.json").write_text(json.dumps(tokenizer_2.get_vocab()))
    (folder / "tokenizer_2" / "merges.txt").write_text("#version: 0.2\n")


def llama_tokenizer() -> Any:
    """Bytes, and pieces of the template: it has as many tokens as in Llama's."""
    from diffusers.pipelines.hunyuan_video import pipeline_hunyuan_video_image2video as of_diffusers
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(
        models.BPE(vocab={byte: place for place, byte in enumerate(alphabet)}, merges=[])
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(word, special=True) for word in SPECIAL])
    template = of_diffusers.DEFAULT_PROMPT_TEMPLATE["template"]
    made.add_tokens([AddedToken(word, normalized=False) for word in (most_of(template), *WORDS)])
    first = (SPECIAL[0], made.token_to_id(SPECIAL[0]))
    made.post_processor = processors.TemplateProcessing(
        single=f"{first[0]} $A", special_tokens=[first]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=SPECIAL[0], eos_token=SPECIAL[3], pad_token=SPECIAL[5]
    )


def most_of(template: str) -> str:
    """The description in the template but for its end, which is left to bytes: as many as Llama's
    tokenizer has tokens."""
    text = template.split("<image>")[1].split("<|eot_id|>")[0]
    return text[: AROUND + 1 - BEFORE_PROMPT]


def clip_tokenizer() -> Any:
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{byte}</w>" for byte in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: place for place, token in enumerate(tokens)}, merges=[])


def clip_text(tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
            num_attention_heads=2, projection_dim=8, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    ).eval()  # fmt: skip


def llava(tokenizer: Any) -> Any:
    """A language model of three layers that sees the photograph's patches as tokens."""
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    tower = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2,
        image_size=SIDE, patch_size=PATCH,
    )  # fmt: skip
    words = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=3,
        num_attention_heads=2, num_key_value_heads=1,
    )  # fmt: skip
    return LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=tower, text_config=words, pad_token_id=tokenizer.pad_token_id,
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        )
    ).eval()  # fmt: skip

"""What one clip of HunyuanVideo passes through its parts, on the meta device, as the stock pipeline
does."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from src.catalog.spec import ModelSpec
from src.pipelines.sides import StockStages

DTYPE, WITHIN = torch.bfloat16, torch.float32
"""Of the parts, and of the latents between steps."""
TEMPLATE, PHOTOGRAPH, EACH, CLIP_TOKENS = 359, 576, 4, 77
"""Tokens: of the template with its prompt, of the photograph, one of how many of these the
transformer is told, and of CLIP's prompt: the pipeline's own."""
BEFORE_PROMPT, ENDING = 103, 4
"""Tokens of the template that the transformer is not told."""


def hunyuan_stages(spec: ModelSpec, parts: Mapping[str, nn.Module]) -> StockStages:
    """Of its own size and count of frames."""
    clip = HunyuanClip(spec, parts)
    return StockStages(clip.encode_text, clip.encode_image, clip.denoise, clip.decode)


class HunyuanClip:
    """One clip, without weights."""

    def __init__(self, spec: ModelSpec, parts: Mapping[str, Any]) -> None:
        self.spec, self.parts, self.vae = spec, parts, parts["vae"]
        self.vae.enable_tiling()
        for blend in ("blend_v", "blend_h", "blend_t"):
            setattr(self.vae, blend, _unblended)
        step, of_time = (
            self.vae.config[f"{way}_compression_ratio"] for way in ("spatial", "temporal")
        )
        frames = (spec.defaults.num_frames - 1) // of_time + 1
        self.latent = (frames, spec.native.height // step, spec.native.width // step)

    def encode_text(self) -> Any:
        """The prompt and the photograph through the language model, the prompt through CLIP."""
        reader, side = self.parts["text_encoder"], self._side()
        tokens = TEMPLATE + PHOTOGRAPH - 1
        seen = reader.model.get_image_features(_made(DTYPE, 1, 3, side, side)).pooler_output[0]
        words = reader.get_input_embeddings()(_whole(1, tokens - len(seen)))
        told = reader(
            inputs_embeds=torch.cat([seen[None], words], dim=1),
            attention_mask=_made(torch.bool, 1, 1, tokens, tokens),
            position_ids=_whole(1, tokens), output_hidden_states=True,
        )  # fmt: skip
        return told.hidden_states[-3], self.parts["text_encoder_2"](_whole(1, CLIP_TOKENS))

    def _side(self) -> int:
        return self.parts["text_encoder"].config.vision_config.image_size

    def encode_image(self) -> Any:
        """The photograph, as one frame."""
        size = self.spec.native
        latents = self.vae.encode(_made(DTYPE, 1, 3, 1, size.height, size.width))
        return latents.latent_dist.mode().float().repeat(1, 1, self.latent[0], 1, 1)

    def denoise(self) -> Any:
        """A step: one forward, that is told guidance."""
        config = self.parts["transformer"].config
        latents = _made(WITHIN, 1, config.in_channels, *self.latent)
        told = PHOTOGRAPH // EACH + TEMPLATE - BEFORE_PROMPT - ENDING
        return self.parts["transformer"](
            hidden_states=torch.cat([latents[:, :, :1], latents[:, :, 1:]], dim=2).to(DTYPE),
            timestep=_made(WITHIN, 1),
            encoder_hidden_states=_made(DTYPE, 1, told, config.text_embed_dim),
            encoder_attention_mask=_made(DTYPE, 1, told),
            pooled_projections=_made(DTYPE, 1, config.pooled_projection_dim),
            guidance=_made(DTYPE, 1),
            return_dict=False,
        )[0]

    def decode(self) -> Any:
        """A few latent frames at a time, each in tiles; all that was decoded is kept until they are
        joined."""
        latents = _made(DTYPE, 1, self.vae.config.latent_channels, *self.latent)
        video = self.vae.decode(latents, return_dict=False)[0]
        return (video * 0.5 + 0.5).clamp(0, 1).float()


def _unblended(_: Tensor, tile: Tensor, __: int) -> Tensor:
    """Tiles are blended in place and line by line, which takes next to no memory and most of the
    time of counting."""
    return tile


def _made(dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def _whole(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.long, device="meta")

"""What one clip of LTX-2 passes through its parts, on the meta device, as the stock pipeline does:
the sound too, which nobody hears."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from src.catalog.spec import ModelSpec
from src.pipelines.sides import StockStages

DTYPE, WITHIN = torch.bfloat16, torch.float32
"""Of the parts, and of the latents between steps."""
BOTH = 2
"""With and without the prompt, in one forward."""


def ltx2_stages(spec: ModelSpec, parts: Mapping[str, nn.Module]) -> StockStages:
    """Of its own size and count of frames."""
    clip = Ltx2Clip(spec, parts)
    return StockStages(clip.encode_text, clip.encode_image, clip.denoise, clip.decode)


class Ltx2Clip:
    """One clip, without weights."""

    def __init__(self, spec: ModelSpec, parts: Mapping[str, Any]) -> None:
        self.spec, self.parts = spec, parts
        self.frames = (spec.defaults.num_frames - 1) // 8 + 1
        self.height, self.width = spec.native.height // 32, spec.native.width // 32
        audio = parts["audio_vae"]
        self.mel = audio.config.mel_bins // audio.mel_compression_ratio
        each = audio.config.mel_hop_length * audio.temporal_compression_ratio
        seconds = spec.defaults.num_frames / spec.defaults.fps
        self.heard = round(seconds * audio.config.sample_rate / each)

    def encode_text(self) -> Any:
        """Prompt and negative prompt through Gemma, one after the other, what each of its layers
        made of them through the connectors."""
        told = torch.cat([self._read() for _ in range(BOTH)])
        mask = _whole(BOTH, self.spec.max_sequence_length)
        return self.parts["connectors"](told, mask, padding_side="left")

    def _read(self) -> Tensor:
        length = self.spec.max_sequence_length
        layers = self.parts["text_encoder"](_whole(1, length), output_hidden_states=True)
        return torch.stack(layers.hidden_states, dim=-1).flatten(2, 3)

    def encode_image(self) -> Any:
        """The photograph, as one frame."""
        size = self.spec.native
        return self.parts["vae"].encode(_made(DTYPE, 1, 3, 1, size.height, size.width))

    def denoise(self) -> Any:
        """A step's largest forward: with and without the prompt. Two more of half its size
        follow."""
        config, length = self.parts["transformer"].config, self.spec.max_sequence_length
        tokens = self.frames * self.height * self.width
        told, heard_of = self._told()
        return self.parts["transformer"](
            hidden_states=_made(DTYPE, BOTH, tokens, config.in_channels),
            audio_hidden_states=_made(DTYPE, BOTH, self.heard, config.audio_in_channels),
            encoder_hidden_states=_made(DTYPE, BOTH, length, told),
            audio_encoder_hidden_states=_made(DTYPE, BOTH, length, heard_of),
            timestep=_made(WITHIN, BOTH, tokens),
            audio_timestep=_made(WITHIN, BOTH), sigma=_made(WITHIN, BOTH),
            encoder_attention_mask=_whole(BOTH, length),
            audio_encoder_attention_mask=_whole(BOTH, length),
            num_frames=self.frames, height=self.height, width=self.width,
            fps=self.spec.defaults.fps, audio_num_frames=self.heard,
            use_cross_timestep=True, return_dict=False,
        )  # fmt: skip

    def _told(self) -> tuple[int, int]:
        """Channels of what the connectors make for the picture and for the sound."""
        config = self.parts["connectors"].config
        if config.per_modality_projections:
            return config.video_hidden_dim, config.audio_hidden_dim
        return config.caption_channels, config.caption_channels

    def decode(self) -> Any:
        """The whole clip, then its sound."""
        config, audio = self.parts["vae"].config, self.parts["audio_vae"]
        shape = (1, config.latent_channels, self.frames, self.height, self.width)
        video = self.parts["vae"].decode(_made(DTYPE, *shape), None, return_dict=False)[0]
        video = (video * 0.5 + 0.5).clamp(0, 1).float()
        latents = _made(DTYPE, 1, audio.config.latent_channels, self.heard, self.mel)
        return video, self.parts["vocoder"](audio.decode(latents, return_dict=False)[0])


def _made(dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def _whole(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.long, device="meta")

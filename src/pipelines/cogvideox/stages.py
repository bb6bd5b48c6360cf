"""CogVideoX's parts and stages on the meta device, of which `src.pipelines.footprint` counts the
live tensors."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from src.catalog.spec import ModelSpec
from src.pipelines.cogvideox.decoding import enable_tiling, piece_bounds
from src.pipelines.cogvideox.describe import spatial_ratio
from src.pipelines.cogvideox.rotary import joined, offset
from src.pipelines.live_bytes import Repeated
from src.pipelines.sides import Architecture

DTYPE = torch.bfloat16


def build_parts(architecture: Architecture) -> dict[str, nn.Module]:
    """T5, transformer and VAE of these configurations, untrained."""
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
    from transformers import T5Config, T5EncoderModel

    made: dict[str, Any] = {
        "text_encoder": T5EncoderModel(T5Config(**architecture["text_encoder"])),
        "transformer": CogVideoXTransformer3DModel.from_config(dict(architecture["transformer"])),
        "vae": AutoencoderKLCogVideoX.from_config(dict(architecture["vae"])),
    }
    return made


def stages(spec: ModelSpec, parts: Mapping[str, nn.Module]) -> "Stages":
    """The stages of one guided clip of these parts."""
    return Stages(spec, parts["text_encoder"], parts["transformer"], parts["vae"])


class Stages:
    """The stages of one guided clip on the meta device."""

    def __init__(self, spec: ModelSpec, text: Any, transformer: Any, vae: Any) -> None:
        self.spec, self.text, self.transformer, self.vae = spec, text, transformer, vae
        ratio, step = self.vae.config.temporal_compression_ratio, spatial_ratio(self.vae.config)
        patch = self.transformer.config.patch_size_t or 1
        self.latent = spec.native.height // step, spec.native.width // step
        self.frames = (spec.defaults.num_frames - 1) // int(ratio) + 1
        self.padded = -(-self.frames // patch) * patch

    @property
    def hidden_bytes(self) -> int:
        """Of the tokens between two blocks, both branches of guidance, in 16 bit."""
        config = self.transformer.config
        width = config.num_attention_heads * config.attention_head_dim
        return 2 * (self._tokens + self.spec.max_sequence_length) * width * DTYPE.itemsize

    @property
    def _tokens(self) -> int:
        config = self.transformer.config
        return (
            self.padded
            // (config.patch_size_t or 1)
            * self.latent[0]
            * self.latent[1]
            // config.patch_size**2
        )

    def encode_text(self) -> Any:
        """One prompt through T5."""
        return self.text(
            torch.zeros(1, self.spec.max_sequence_length, dtype=torch.long, device="meta")
        )

    def encode_image(self) -> Any:
        """The photograph through the VAE."""
        size = self.spec.native
        return self.vae.encode(
            torch.empty(1, 3, 1, size.height, size.width, dtype=DTYPE, device="meta")
        )

    def denoise(self) -> Any:
        """One guided forward beside the clip's own tensors: noise, photograph, prompt
        embeddings."""
        config, made = self.transformer.config, self._meta
        channels = config.out_channels
        latents, image = (made(1, self.padded, channels, *self.latent) for _ in range(2))
        both = joined(torch.cat([latents] * 2), torch.cat([image] * 2))
        return self.transformer(
            hidden_states=both,
            encoder_hidden_states=made(2, self.spec.max_sequence_length, config.text_embed_dim),
            timestep=torch.zeros(2, dtype=torch.long, device="meta"),
            ofs=offset(self.transformer, latents),
            image_rotary_emb=self._rotary(),
            return_dict=False,
        )[0].float()

    def _rotary(self) -> tuple[Tensor, Tensor] | None:
        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return None
        table = torch.empty(
            2, self._tokens, config.attention_head_dim, dtype=torch.float32, device="meta"
        )
        return table[0], table[1]

    def decode(self) -> Any:
        """The clip piece by piece, each with the convolutions' history; the frames of one piece at
        a time."""
        z, cache = self._latents(), None
        for begin, end in list(piece_bounds(self.vae.num_latent_frames_batch_size, self.frames))[
            :2
        ]:
            sample, cache = self.vae.decoder(z[:, :, begin:end], conv_cache=cache)
            sample = (sample[0] * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).float()

    def decode_stock(self) -> Any:
        """As our loop decodes."""
        return self.decode()

    def decode_tiled(self) -> Any:
        """As `decoding.decode_tiled`."""
        decoder = self.vae.decoder
        enable_tiling(self.vae, *self.latent)
        self.vae.decoder = Repeated(decoder)  # most tiles are alike
        try:
            return self.vae.decode(self._latents()).sample
        finally:
            self.vae.decoder = decoder
            self.vae.disable_tiling()

    def _latents(self) -> Tensor:
        return self._meta(1, self.vae.config.latent_channels, self.frames, *self.latent)

    @staticmethod
    def _meta(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=DTYPE, device="meta")

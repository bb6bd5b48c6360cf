"""Device memory, counted: the true modules run on the meta device while every live tensor is added up.

What is not in the counts: cuDNN's workspaces, fragmentation, the CUDA context; the planner keeps a reserve for them.
Attention counts its output alone, as fused kernels need no more.
"""

import json
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from src.catalog.spec import Memory, ModelSpec
from src.pipelines.architectures import ARCHITECTURES, Architecture
from src.pipelines.denoise import TILE_OVERLAP
from src.pipelines.fast_vae import make_fast
from src.pipelines.snapshots import PARTS

DTYPE = torch.bfloat16
STAGES = ("encode_text", "encode_image", "denoise", "decode", "decode_tiled")


class LiveBytes(TorchDispatchMode):
    """Adds up the storages that operators make while they live, but for those of `modules`. now, peak: bytes."""

    def __init__(self, modules: Iterable[nn.Module] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        held = (tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))
        self._known = {tensor.untyped_storage()._cdata for tensor in held}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor) and leaf.device.type == "meta":
                self._add(leaf.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class FusedAttention(TorchFunctionMode):
    """Scaled dot-product attention that makes its output and nothing else."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return torch.empty_like(args[0] if args else kwargs["query"])
        return func(*args, **(kwargs or {}))


def peak_of(stage: Callable[[], Any], modules: Iterable[nn.Module]) -> int:
    """The most bytes that tensors made by `stage` take at once, beside the weights of `modules`."""
    live = LiveBytes(modules)
    with torch.no_grad(), FusedAttention(), live:
        stage()
    return live.peak


def architecture_of(spec: ModelSpec, folder: Path | None) -> Architecture:
    """The configurations of a known large model, or those in a folder."""
    if spec.id in ARCHITECTURES and folder is None:
        return ARCHITECTURES[spec.id]
    if folder is None:
        raise ValueError(f"{spec.id} is counted from its folder")
    return {part: json.loads((folder / part / "config.json").read_text(encoding="utf-8")) for part in PARTS}


def build_parts(architecture: Architecture, device: str, dtype: torch.dtype = DTYPE) -> dict[str, nn.Module]:
    """T5, transformer and VAE of these configurations on a device, untrained."""
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
    from transformers import T5Config, T5EncoderModel

    with _default_dtype(dtype), torch.device(device):
        parts = {
            "text_encoder": T5EncoderModel(T5Config(**architecture["text_encoder"])),
            "transformer": CogVideoXTransformer3DModel.from_config(architecture["transformer"]),
            "vae": AutoencoderKLCogVideoX.from_config(architecture["vae"]),
        }
    return {name: nn.Module.to(part, dtype).eval() for name, part in parts.items()}


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def bytes_of(module: nn.Module) -> int:
    """Weights and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def count(spec: ModelSpec, folder: Path | None = None) -> Memory:
    """The memory figures of a model: weights in 16 bit, what is on the device while parts stream, activations by stage.

    folder: of a model whose configurations are not in `architectures.py`. Takes some ten seconds for a large model.
    """
    parts = build_parts(architecture_of(spec, folder), "meta")
    stages = Stages(spec, parts)
    stock = peak_of(stages.decode, parts.values())
    make_fast(parts["vae"])
    blocks = parts["transformer"].transformer_blocks
    linears = [layer for layer in blocks.modules() if isinstance(layer, nn.Linear)]
    return Memory(
        **{name: bytes_of(part) for name, part in parts.items()},
        text_stream=streamed(parts["text_encoder"], parts["text_encoder"].encoder.block),
        transformer_stream=streamed(parts["transformer"], blocks),
        quantizable=sum(layer.weight.nbytes for layer in linears),
        layers=len(blocks),
        hidden=stages.hidden_bytes,
        decode_stock=stock,
        **{name: peak_of(getattr(stages, name), parts.values()) for name in STAGES},
    )


def streamed(part: nn.Module, blocks: nn.ModuleList) -> int:
    """Bytes of a streamed part on the device: what belongs to no block, and two blocks: one computes, one comes."""
    sizes = sorted((bytes_of(block) for block in blocks), reverse=True)
    return bytes_of(part) - sum(sizes) + sum(sizes[:2])


class Stages:
    """The stages of one guided clip on the meta device."""

    def __init__(self, spec: ModelSpec, parts: dict[str, nn.Module]) -> None:
        self.spec, self.text, self.transformer, self.vae = spec, *parts.values()
        config, ratio = self.transformer.config, self.vae.config.temporal_compression_ratio
        step, patch = 2 ** (len(self.vae.config.block_out_channels) - 1), config.patch_size_t or 1
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
        return self.padded // (config.patch_size_t or 1) * self.latent[0] * self.latent[1] // config.patch_size**2

    def encode_text(self) -> Any:
        """One prompt through T5."""
        return self.text(torch.zeros(1, self.spec.max_sequence_length, dtype=torch.long, device="meta"))

    def encode_image(self) -> Any:
        """The photograph through the VAE."""
        size = self.spec.native
        return self.vae.encode(torch.empty(1, 3, 1, size.height, size.width, dtype=DTYPE, device="meta"))

    def denoise(self) -> Any:
        """One guided forward beside the clip's own tensors: noise, photograph, prompt embeddings."""
        config, made = self.transformer.config, self._meta
        channels = config.out_channels
        latents, image = (made(1, self.padded, channels, *self.latent) for _ in range(2))
        joined = torch.cat([torch.cat([latents] * 2), torch.cat([image] * 2)], dim=2)
        ofs = None if config.ofs_embed_dim is None else made(1)
        return self.transformer(
            hidden_states=joined, encoder_hidden_states=made(2, self.spec.max_sequence_length, config.text_embed_dim),
            timestep=torch.zeros(2, dtype=torch.long, device="meta"), ofs=ofs, image_rotary_emb=self._rotary(),
            return_dict=False,
        )[0].float()  # fmt: skip

    def _rotary(self) -> tuple[Tensor, Tensor] | None:
        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return None
        table = torch.empty(2, self._tokens, config.attention_head_dim, dtype=torch.float32, device="meta")
        return table[0], table[1]

    def decode(self) -> Any:
        """The clip piece by piece, each with the convolutions' history; the frames of one piece at a time."""
        z, size = self._latents(), self.vae.num_latent_frames_batch_size
        first, cache = size + self.frames % size, None
        for begin, end in ((0, first), (first, first + size))[: 1 + (self.frames > first)]:
            sample, cache = self.vae.decoder(z[:, :, begin:end], conv_cache=cache)
            sample = (sample[0] * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).float()

    def decode_tiled(self) -> Any:
        """As `denoise.decode_tiled`."""
        step = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.vae.enable_tiling(*(step * 4 * -(-side // 8) for side in self.latent), TILE_OVERLAP, TILE_OVERLAP)
        try:
            return self.vae.decode(self._latents()).sample
        finally:
            self.vae.disable_tiling()

    def _latents(self) -> Tensor:
        return self._meta(1, self.vae.config.latent_channels, self.frames, *self.latent)

    @staticmethod
    def _meta(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=DTYPE, device="meta")

"""Device memory, counted: the true modules run on the meta device while every live tensor is added
up.

What is not in the counts: cuDNN's workspaces, fragmentation, the CUDA context; the planner keeps a
reserve for them. How the bytes are added up: `src/pipelines/live_bytes.py`. The figures of a folder
are remembered.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from src.catalog.spec import Memory, ModelSpec
from src.core.durable import write_whole
from src.core.errors import BadInputError
from src.core.paths import home
from src.pipelines.families import family_of, parts_in
from src.pipelines.family import Family, Part, parts_of
from src.pipelines.live_bytes import bytes_of, peak_of
from src.pipelines.sides import Architecture, StockStages

DTYPE = torch.bfloat16
STAGES = ("encode_text", "encode_image", "denoise", "decode", "decode_tiled")


def architecture_of(family: Family, spec: ModelSpec, folder: Path | None) -> Architecture:
    """The configurations of a known large model, or those in a folder."""
    if spec.id in family.architectures and folder is None:
        return family.architectures[spec.id]
    if folder is None:
        raise ValueError(f"{spec.id} is counted from its folder")
    names = [part.name for part in parts_in(family, folder)]
    return {
        name: json.loads((folder / name / "config.json").read_text(encoding="utf-8"))
        for name in names
    }


def parts_on(family: Family, architecture: Architecture, device: str) -> dict[str, nn.Module]:
    """The parts of these configurations on a device, untrained, in 16 bit but for those that always
    run in 32."""
    with default_dtype(DTYPE), torch.device(device):
        parts = family.counting.build_parts(architecture)
    full = {part.name for part in family.parts if part.full}
    return {
        # some classes make a number on the CPU wherever they are built
        name: _in(torch.float32 if name in full else DTYPE, part.to(device)).eval()
        for name, part in parts.items()
    }


def _in(dtype: torch.dtype, part: nn.Module) -> nn.Module:
    """The part as it is loaded: some tensors of some classes have a dtype of their own."""
    own = _own(part)
    cast = nn.Module.to(part, dtype)
    for name, tensor in (*cast.named_parameters(), *cast.named_buffers()):
        if name in own and tensor.is_floating_point():
            tensor.data = tensor.data.to(own[name])
    return cast


def _own(part: nn.Module) -> dict[str, torch.dtype]:
    """The dtypes of these tensors: float32 in modules that a class of diffusers names; of buffers
    that a class of transformers makes itself, as no file has them, the one they were made in."""
    from diffusers import ModelMixin

    if not isinstance(part, ModelMixin):
        held = set(part.state_dict())
        return {name: made.dtype for name, made in part.named_buffers() if name not in held}
    modules = set(getattr(part, "_keep_in_fp32_modules", None) or ())
    names = [name for name, _ in (*part.named_parameters(), *part.named_buffers())]
    return {name: torch.float32 for name in names if modules & set(name.split("."))}


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def count(spec: ModelSpec, folder: Path | None = None) -> Memory:
    """The memory figures of a model: weights, what is on the device while parts stream, activations
    by stage.

    folder: of a model whose configurations its family does not know. Takes some ten seconds for a
    large model.
    """
    family = family_of(spec)
    parts = parts_on(family, architecture_of(family, spec, folder), "meta")
    weights = {name: bytes_of(part) for name, part in parts.items()}
    streams = {
        part.name: streamed(parts[part.name], blocks) for part, blocks in _blocks(family, parts)
    }
    stages = family.counting.stages(spec, parts)
    if isinstance(stages, StockStages):
        return _of_stock(stages, parts, weights, streams)
    stock = peak_of(stages.decode_stock, parts.values())
    for part in parts_of(family, "vae"):
        family.loop.speed_up_vae(parts[part.name])
    return Memory(
        weights=weights,
        streams=streams,
        hidden=stages.hidden_bytes,
        decode_stock=stock,
        **_of_blocks(
            [blocks for part, blocks in _blocks(family, parts) if part.role == "denoiser"]
        ),
        **{name: peak_of(getattr(stages, name), parts.values()) for name in STAGES},
    )


def _of_stock(
    stages: StockStages, parts: dict[str, nn.Module], weights: dict[str, int],
    streams: dict[str, int],
) -> Memory:  # fmt: skip
    """Its decoder is the stock one."""
    decode = peak_of(stages.decode, parts.values())
    return Memory(
        weights=weights,
        streams=streams,
        encode_text=peak_of(stages.encode_text, parts.values()),
        encode_image=peak_of(stages.encode_image, parts.values()),
        denoise=peak_of(stages.denoise, parts.values()),
        decode=decode,
        decode_stock=decode,
    )


def _blocks(family: Family, parts: dict[str, nn.Module]) -> list[tuple[Part, nn.ModuleList]]:
    """The parts that are made of blocks, and these."""
    return [
        (part, part.blocks_of(parts[part.name]))
        for part in family.parts
        if part.blocks and part.name in parts
    ]


def _of_blocks(denoisers: list[nn.ModuleList]) -> dict[str, int]:
    """What int8 halves, and how many blocks one forward passes."""
    linears = [
        layer for blocks in denoisers for layer in blocks.modules() if isinstance(layer, nn.Linear)
    ]
    return {
        "quantizable": sum(layer.weight.nbytes for layer in linears),
        "layers": max(map(len, denoisers)),
    }


def streamed(part: nn.Module, blocks: nn.ModuleList) -> int:
    """Bytes of a streamed part on the device: what belongs to no block, and two blocks: one
    computes, one comes.
    """
    sizes = sorted((bytes_of(block) for block in blocks), reverse=True)
    return bytes_of(part) - sum(sizes) + sum(sizes[:2])


def counted_folder(spec: ModelSpec, folder: Path) -> ModelSpec:
    """The spec with the figures of a folder's own configurations, which are counted once and
    remembered.

    Raises BadInputError for configurations that no model of its family can be built from.
    """
    parts = parts_in(family_of(spec), folder)
    configs = [(folder / part.name / "config.json").read_text(encoding="utf-8") for part in parts]
    text = json.dumps([configs, spec.native.model_dump(), spec.defaults.num_frames])
    path = home() / "cache" / f"footprint-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    found = _remembered(path)
    if found is None:
        found = count_folder(spec, folder)
        write_whole(path, found.model_dump_json().encode())
    return spec.model_copy(update={"memory": found})


def _remembered(path: Path) -> Memory | None:
    """Figures that an earlier run wrote; None where there are none, or none that this version
    reads.
    """
    try:
        return Memory.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def count_folder(spec: ModelSpec, folder: Path) -> Memory:
    """As `count`; raises BadInputError for configurations that no model of its family can be built
    from.
    """
    try:
        return count(spec, folder)
    except (
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
    ) as error:
        reason = " ".join(str(error).split())
        raise BadInputError(
            f"{folder}: no model can be built from its configuration files: {reason}"
        ) from error

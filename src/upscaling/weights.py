"""Weights of the networks: where they lie, how they are written, and what a file says of itself."""

import json
from functools import lru_cache
from pathlib import Path

from src.core.config import validate
from src.core.errors import BadInputError, MissingWeightsError
from src.core.paths import CHECKPOINTS, is_file
from src.upscaling.network import VideoNetwork, build_network
from src.upscaling.presets import NetworkSpec, network_spec

FOLDER = CHECKPOINTS / "upscaler"


def weights_file(preset: str, scale: int, folder: Path = FOLDER) -> Path:
    """Where the weights of a preset at 2x or 4x lie; raises MissingWeightsError with the way to get them."""
    network_spec(preset, scale)
    path = folder / f"{preset}_{scale}x.safetensors"
    if not is_file(path):
        raise MissingWeightsError(
            f"there are no weights for --preset {preset} at {scale}x in {folder}; train them with python -m "
            f"src.train_upscaler --preset {preset} --scale {scale} --export {path}"
        )
    return path


def save_network(network: VideoNetwork, path: Path, step: int) -> Path:
    """Write a network's weights in float32 with its spec; the file appears whole or not at all."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in network.named_parameters()}
    about = {"format": "newsreel-upscaler-1", "spec": network.spec.model_dump_json(), "step": str(step)}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    save_file(tensors, partial, metadata=about)
    partial.chmod(0o644)  # safetensors writes files that only their owner may read
    return partial.replace(path)


def load_network(path: Path) -> VideoNetwork:
    """The network of a file, ready to run. Raises BadInputError where the file is none of ours."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BadInputError(f"{path} is no safetensors file: {error}") from None
    if about.get("format") != "newsreel-upscaler-1":
        raise BadInputError(f"{path} holds no upscaler of Newsreel; python -m src.train_upscaler writes them")
    network = build_network(validate(json.loads(about["spec"]), NetworkSpec, str(path)))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise BadInputError(f"{path} does not fit its own spec: {' '.join(str(error).split())}") from None
    return network.eval().requires_grad_(False)


@lru_cache(maxsize=8)
def file_sha256(path: Path, _stamp: tuple[int, int]) -> str:
    """SHA-256 of a file, read once for each state (size, time) that it was seen in."""
    import hashlib

    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_hash(path: Path) -> str:
    """SHA-256 of a weights file."""
    state = path.stat()
    return file_sha256(path, (state.st_size, state.st_mtime_ns))

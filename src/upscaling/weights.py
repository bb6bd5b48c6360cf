"""Weights of the networks: how they are written, and what a file says of itself."""

import json
from pathlib import Path

from src.core.config import validate
from src.core.errors import BadInputError
from src.core.finite import first_not_finite
from src.pipelines.reading import load_strictly
from src.pipelines.saving import write_tensors
from src.upscaling.network import VideoNetwork, build_network
from src.upscaling.network_files import FORMAT
from src.upscaling.presets import NetworkSpec


def save_network(network: VideoNetwork, path: Path, step: int) -> Path:
    """Write a network's weights in float32 with its spec; the file appears whole or not at all.

    Raises OutputError.
    """
    tensors = {
        name: tensor.detach().float().cpu().contiguous()
        for name, tensor in network.named_parameters()
    }
    about = {"format": FORMAT, "spec": network.spec.model_dump_json(), "step": str(step)}
    return write_tensors(tensors, path, about, "--export")


def load_network(path: Path) -> VideoNetwork:
    """The network of a file, ready to run. Raises BadInputError where the file is none of ours."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BadInputError(f"{path} is no safetensors file: {error}") from None
    if about.get("format") != FORMAT:
        raise BadInputError(
            f"{path} holds no upscaler of Newsreel; python -m src.train_upscaler writes them"
        )
    damaged = first_not_finite(tensors.items())
    if damaged:
        raise BadInputError(
            f"{path}: {damaged} holds numbers that are not finite; train or fetch it again"
        )
    network = build_network(validate(json.loads(about["spec"]), NetworkSpec, str(path)))
    load_strictly(network, tensors, path)
    return network.eval().requires_grad_(False)

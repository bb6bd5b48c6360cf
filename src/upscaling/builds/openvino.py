"""OpenVINO on a CPU: exported graphs, in float32 or with convolutions in 8 bits.

The packages are an extra (`requirements-builds.txt`) and are imported where they are used.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.upscaling.builds.exported import GraphForm, graph_names
from src.upscaling.network import VideoNetwork


@lru_cache(maxsize=1)
def _core() -> Any:
    return import_module("openvino").Core()


def load_openvino(name: str, network: VideoNetwork, folder: Path) -> GraphForm:
    """The graphs of a folder. Takes as many threads as torch does now, on any core: pinned ones are
    the first cores in every process.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    parts = {
        part: _core().compile_model(_core().read_model(folder / f"{part}.onnx"), "CPU", settings)
        for part in graph_names(network.spec)
    }

    def compute(part: str, given: tuple[Tensor, ...], out: tuple[Tensor, ...]) -> None:
        made = parts[part]([tensor.numpy() for tensor in given])
        for place, tensor in enumerate(out):
            tensor.copy_(torch.from_numpy(made[place]))

    return GraphForm(name, network, compute)

"""TensorRT on a GPU, through ONNX Runtime: engines in float16 of the exported graphs, built once
for frames of one window to `LARGEST`.

No card was at hand: what is asked of the provider is tested, engines are not. What TensorRT does
not take, the CUDA provider computes, and the log says how many nodes those are. Float32 is left
out: TensorRT's rounds to TF32, which no proof of equality passes.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from src.upscaling.builds import exported, onnx_runtime
from src.upscaling.builds.forms import Form
from src.upscaling.network import VideoNetwork
from src.upscaling.presets import NetworkSpec

TENSORRT, CUDA = "TensorrtExecutionProvider", "CUDAExecutionProvider"
USUAL, LARGEST = (480, 720), (2304, 4096)
"""Height and width of the source that engines are tuned for, and of the largest that they take."""
PACKAGES = ("onnxruntime", "tensorrt", *exported.EXPORTER)
EXTRA = "pip install onnxruntime-gpu tensorrt onnx onnxscript"
"""In place of the other runtimes' extra: two distributions of onnxruntime overwrite each other."""


def tensorrt_lacks(device: str) -> str | None:
    """See `Kind.lacks`."""
    if device != "cuda":
        return "it runs on a GPU only"
    if missing := exported.missing_extra(*PACKAGES, cure=EXTRA):
        return missing
    try:
        known = import_module("onnxruntime").get_available_providers()
    except ImportError as error:
        return f"onnxruntime cannot be loaded: {error}"
    return None if TENSORRT in known else f"this onnxruntime is built without TensorRT: {EXTRA}"


def write_engines(network: VideoNetwork, folder: Path) -> None:
    """The graphs, and the engines that a session makes of them."""
    exported.write_graphs(network, folder)
    load_tensorrt(network, folder)


def load_tensorrt(network: VideoNetwork, folder: Path) -> Form:
    """The graphs of a folder with its engines."""
    return onnx_runtime.load_onnx(
        "tensorrt fp16", network, folder, lambda part: engine_providers(network.spec, part, folder)
    )


def tensorrt_facts() -> dict[str, Any]:
    """See `Kind.facts`."""
    return exported.graph_facts(*PACKAGES) | {"usual": list(USUAL), "largest": list(LARGEST)}


def engine_providers(spec: NetworkSpec, part: str, folder: Path) -> list[Any]:
    """What ONNX Runtime is asked for: TensorRT first, CUDA for the rest."""
    options = {
        "trt_fp16_enable": True,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(folder),
        "trt_engine_cache_prefix": part,
    }
    sizes = {"min": (spec.grid, spec.grid), "opt": USUAL, "max": LARGEST}
    for name, size in sizes.items():
        options[f"trt_profile_{name}_shapes"] = _shapes(spec, part, size)
    return [(TENSORRT, options), CUDA]


def _shapes(spec: NetworkSpec, part: str, size: tuple[int, int]) -> str:
    """Such as "stacked:1x480x720x9,told:1x2", on the grid."""
    height, width = (side - side % spec.grid for side in size)
    given = exported.input_shapes(spec, height, width)[part]
    named = zip(exported.INPUTS[part], given, strict=True)
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in named)

"""The kinds of builds: an explicit list. One more is a `Kind`, and a line in `KINDS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.core.devices import bf16_is_fast, cpu_convolves_bf16
from src.core.errors import BadInputError
from src.core.option import listed
from src.upscaling.builds import compiled, exported, int8, onnx_runtime, openvino, tensorrt
from src.upscaling.builds.forms import Form, TorchForm
from src.upscaling.builds.usual import float_form
from src.upscaling.network import VideoNetwork

AUTO, TORCH = "auto", "torch"


def _nothing(_: Any) -> None:
    """Nothing is lacking."""


def _not_on_cpu(device: str) -> str | None:
    return None if device == "cpu" else "it runs on the CPU only"


def _no_files(_network: VideoNetwork, _folder: Path) -> None:
    """The weights are all that it needs."""


@dataclass(frozen=True)
class Kind:
    """A way to compute a network.

    lacks: why it cannot run on a device ("cpu" or "cuda") of this machine, None where it can. load:
    the form of a network, from the files of a build. make: writes those. facts: what besides
    weights, torch and processor decides its bytes: versions of libraries and the like.
    by_name: only where its runtime is asked for, since each process starts seconds later.
    """

    runtime: str
    precision: str
    lacks: Callable[[str], str | None]
    load: Callable[[VideoNetwork, Path], Form]
    make: Callable[[VideoNetwork, Path], None] = _no_files
    facts: Callable[[], dict[str, Any]] = field(default=dict)
    by_name: bool = False

    @property
    def name(self) -> str:
        return f"{self.runtime} {self.precision}"

    @property
    def is_reference(self) -> bool:
        """Torch in float32, which all others are measured by: nothing is built or proved."""
        return self.name == "torch fp32"


def _slow_bf16(device: str) -> str | None:
    if device == "cuda":
        return None if bf16_is_fast("cuda") else "this GPU has no bfloat16 of its own"
    return None if cpu_convolves_bf16() else "this processor has no AVX512-BF16 and no AMX"


def _exported(
    runtime: str, precision: str, package: str, load: Callable[[str, VideoNetwork, Path], Form]
) -> Kind:
    """A kind that computes exported graphs on a CPU by a package of an extra."""
    name, small = f"{runtime} {precision}", precision == "int8"
    needed = (package, *exported.EXPORTER, *(int8.PACKAGES if small else ()))
    return Kind(
        runtime, precision,
        lambda device: _not_on_cpu(device) or exported.missing_extra(*needed),
        lambda network, folder: load(name, network, folder),
        int8.write_int8 if small else exported.write_graphs,
        lambda: exported.graph_facts(*needed) | (int8.calibration() if small else {}),
    )  # fmt: skip


KINDS: tuple[Kind, ...] = (
    Kind(TORCH, "fp32", _nothing, lambda network, _: float_form(network)),
    Kind(TORCH, "bf16", _slow_bf16, lambda network, _: TorchForm(network, half=True)),
    _exported("onnx", "fp32", "onnxruntime", onnx_runtime.load_onnx),
    _exported("openvino", "fp32", "openvino", openvino.load_openvino),
    _exported("openvino", "int8", "openvino", openvino.load_openvino),
    Kind("tensorrt", "fp16", tensorrt.tensorrt_lacks, tensorrt.load_tensorrt,
         tensorrt.write_engines, tensorrt.tensorrt_facts),
    Kind("compile", "fp32", compiled.toolchain_lacks,
         lambda network, _: compiled.CompiledForm(network), by_name=True),
)  # fmt: skip


def device_of(network: VideoNetwork) -> str:
    return next(network.parameters()).device.type


def usual_runtime(precision: str | None) -> str:
    """What a precision is taken of that is asked for without a runtime."""
    own = [kind.precision for kind in KINDS if kind.runtime == TORCH]
    return TORCH if precision in (None, AUTO, *own) else AUTO


def kinds_for(device: str, runtime: str | None, precision: str | None) -> list[Kind]:
    """Kinds that are asked for and can run here, in the order of `KINDS`; None and "auto" leave it
    open. Raises BadInputError with the reasons where there is none.
    """
    asked = [
        kind
        for kind in KINDS
        if runtime in ((kind.runtime,) if kind.by_name else (None, AUTO, kind.runtime))
        and precision in (None, AUTO, kind.precision)
    ]
    lacking = {kind.name: kind.lacks(device) for kind in asked}
    if not asked:
        known = listed(tuple(kind.name for kind in KINDS))
        raise BadInputError(f"there is no build for --runtime {runtime} --precision {precision}; "
                            f"there are {known}")  # fmt: skip
    here = [kind for kind in asked if lacking[kind.name] is None]
    if not here:
        reasons = "; ".join(f"{name}: {why}" for name, why in lacking.items())
        raise BadInputError(f"no build that --runtime and --precision ask for runs here: {reasons}")
    return here

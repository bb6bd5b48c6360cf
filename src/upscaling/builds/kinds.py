"""The kinds of builds: an explicit list. One more is a `Kind`, and a line in `KINDS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.core.devices import bf16_is_fast, cpu_convolves_bf16
from src.core.errors import BadInputError
from src.core.option import listed
from src.upscaling.builds import openvino
from src.upscaling.builds.forms import Form, TorchForm
from src.upscaling.builds.usual import float_form
from src.upscaling.network import VideoNetwork

AUTO = "auto"


def _nothing(_: Any) -> None:
    """Nothing is lacking."""


def _no_files(_network: VideoNetwork, _folder: Path) -> None:
    """The weights are all that it needs."""


@dataclass(frozen=True)
class Kind:
    """A way to compute a network.

    lacks: why it cannot run on a device ("cpu" or "cuda") of this machine, None where it can. load:
    the form of a network, from the files of a build. make: writes those. facts: what besides
    weights, torch and processor decides its bytes: versions of libraries and the like.
    """

    runtime: str
    precision: str
    lacks: Callable[[str], str | None]
    load: Callable[[VideoNetwork, Path], Form]
    make: Callable[[VideoNetwork, Path], None] = _no_files
    facts: Callable[[], dict[str, Any]] = field(default=dict)

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


KINDS: tuple[Kind, ...] = (
    Kind("torch", "fp32", _nothing, lambda network, _: float_form(network)),
    Kind("torch", "bf16", _slow_bf16, lambda network, _: TorchForm(network, half=True)),
    Kind("openvino", "fp32", openvino.lacks, lambda _, folder: openvino.OpenVinoForm(folder),
         openvino.write, openvino.facts),
)  # fmt: skip


def device_of(network: VideoNetwork) -> str:
    return next(network.parameters()).device.type


def kinds_for(device: str, runtime: str | None, precision: str | None) -> list[Kind]:
    """Kinds that are asked for and can run here, in the order of `KINDS`; None and "auto" leave it
    open. Raises BadInputError with the reasons where there is none.
    """
    asked = [
        kind
        for kind in KINDS
        if runtime in (None, AUTO, kind.runtime) and precision in (None, AUTO, kind.precision)
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

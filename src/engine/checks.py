"""What `src.test_setup` looks at: each check gives one line and says whether it is in order."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from src.catalog.models import load_models
from src.catalog.spec import ModelSpec
from src.core.errors import NewsreelError
from src.core.hardware import Hardware
from src.core.plan import Plan
from src.core.prompts import load_templates
from src.core.request import Request
from src.core.toolchain import missing_for_compiling
from src.engine.costs import Stopwatch
from src.engine.manifest import versions
from src.engine.render import render
from src.engine.resolve import resolve
from src.engine.session import Session
from src.pipelines.families import family_of
from src.pipelines.locate import find_weights, how_to_fetch, locate, weight_hashes
from src.pipelines.models import with_its_schedule

CODECS = ("libx264", "libx265", "libsvtav1", "h264_nvenc", "hevc_nvenc")


@dataclass(frozen=True)
class Check:
    """name: what was looked at. state: "ok", "missing" (something optional, with how to get it) or
    "failed".
    """

    name: str
    state: str
    detail: str


def run_checks(hardware: Hardware) -> Iterator[Check]:
    """Every check in turn; a model is loaded in the dtype it will run in and makes one
    short clip.
    """
    yield Check(
        "versions", "ok", ", ".join(f"{name} {version}" for name, version in versions().items())
    )
    yield device(hardware)
    yield compiler(hardware)
    yield codecs()
    yield offload(hardware)
    for spec in load_models().values():
        yield model(spec, hardware)


def device(hardware: Hardware) -> Check:
    """GPU name and memory, or that there is none."""
    gigabytes = f"{hardware.free_memory / 1e9:.1f} of {hardware.memory / 1e9:.1f} GB free"
    if hardware.device == "cuda":
        version = ".".join(map(str, hardware.capability))
        return Check("GPU", "ok", f"{hardware.name}, compute capability {version}, {gigabytes}")
    detail = f"none; running on {hardware.name}, {hardware.cpu_count} cores, {gigabytes}"
    return Check("GPU", "missing", detail + "; a CUDA card with 8 GB or more runs the large models")


def compiler(hardware: Hardware) -> Check:
    """Whether compiled profiles can run on this device."""
    missing = missing_for_compiling(hardware.device)
    if missing:
        return Check("compiler", "missing", f"compiled profiles are off without {missing}")
    return Check("compiler", "ok", "torch.compile has what it needs here")


def codecs() -> Check:
    """Which encoders this build of FFmpeg offers; H.264 is the one Newsreel cannot do without."""
    import av

    there = [name for name in CODECS if name in av.codecs_available]
    absent = [name for name in CODECS if name not in there]
    state = "ok" if "libx264" in there else "failed"
    detail = ", ".join(there) + (f"; not in this build: {', '.join(absent)}" if absent else "")
    return Check("codecs", state, detail)


def offload(hardware: Hardware) -> Check:
    """Stream a small network through the device, as large models are, and compare with the same
    network in place.
    """
    import torch

    from src.pipelines.placement import stream

    blocks = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8))
    network, device = torch.nn.Sequential(blocks, torch.nn.Linear(8, 8)), hardware.device
    given = torch.ones(1, 8)
    wanted = network(given)
    stream(network, torch.device(device), "block_level")
    same = torch.allclose(network(given.to(device)).cpu(), wanted, atol=1e-3)
    if not same:
        return Check("CPU offload", "failed", "layers that stream compute other numbers")
    detail = "layers that moved to the GPU agreed" if device == "cuda" else "none needed, no GPU"
    return Check("CPU offload", "ok", detail)


def model(spec: ModelSpec, hardware: Hardware) -> Check:
    """Load the model as it will run and make its shortest clip in two steps; or say how to fetch
    it.
    """
    if find_weights(spec) is None:
        return Check(spec.id, "failed" if spec.repository else "missing", how_to_fetch(spec))
    try:
        plan = _short_plan(spec, hardware)
        pixels = np.zeros((plan.native.height, plan.native.width, 3), np.uint8)
        watch = Stopwatch()
        session = Session(plan.session, locate(spec))
        frames = len(list(render(pixels, plan, session, watch)))
        session.unload()
    except NewsreelError as error:
        return Check(spec.id, "failed", str(error))
    seconds = watch.costs().total
    return Check(
        spec.id,
        "ok",
        f"loaded in {plan.session.dtype}; {frames} frames in 2 steps took {seconds:.1f} s",
    )


def _short_plan(spec: ModelSpec, hardware: Hardware) -> Plan:
    frames = spec.frames.counts[0]
    family, folder = family_of(spec), locate(spec)
    request = Request(
        input_image="none.png", prompt="a test" if family.reads_prompt else None,
        num_frames=frames, num_inference_steps=2, mode=family.modes[0], accept_licence=True,
    )  # fmt: skip
    found = with_its_schedule(spec, folder)
    return resolve(request, found, hardware, load_templates(), weight_hashes(folder), "", 0)[0]

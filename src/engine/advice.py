"""What a person should know before a run begins: which profile and why, what is left out, what
would be faster.
"""

from collections.abc import Iterator

from src.catalog.profiles import load_profiles
from src.catalog.spec import ModelSpec
from src.core.hardware import Hardware
from src.core.request import Request
from src.engine.estimates import denoiser_bytes, needed_bytes
from src.engine.machine import compiling_lacks, profile_lacks
from src.engine.planner import (
    ProfileChoice,
    apply_switches,
    budget_bytes,
    choice_of,
    choices,
    short_of_host,
    width,
)
from src.pipelines.families import family_of

LARGE_BYTES = 1_000_000_000


def advice(request: Request, spec: ModelSpec, hardware: Hardware) -> tuple[str, ...]:
    """The plan's reason on a GPU, what was left out for lack of what, and what would make the run
    faster.
    """
    return (
        _device_advice(request, spec, hardware)
        + _steps_advice(request, spec)
        + _guidance_advice(request, spec)
    )


def _guidance_advice(request: Request, spec: ModelSpec) -> tuple[str, ...]:
    """What is asked of guidance where there is none."""
    usual = spec.defaults.guidance_scale
    scale = usual if request.guidance_scale is None else request.guidance_scale
    asked = {
        "negative prompt": bool(request.negative_prompt),
        "guidance interval": request.guidance_interval is not None,
    }
    idle = " and the ".join(name for name, given in asked.items() if given and scale <= 1)
    return (
        (f"at guidance {scale:g} the {idle} has no effect; --guidance-scale above 1 gives it one",)
        if idle
        else ()
    )


def _steps_advice(request: Request, spec: ModelSpec) -> tuple[str, ...]:
    """Denoising takes as long as it has steps: told from twice the model's own on."""
    asked, usual = request.num_inference_steps or 0, spec.defaults.num_inference_steps
    if asked < 2 * usual:
        return ()
    return (
        f"{asked} steps denoise {asked / usual:.0f} times as long as {spec.id}'s own; "
        f"--num-inference-steps {usual}",
    )


def _device_advice(request: Request, spec: ModelSpec, hardware: Hardware) -> tuple[str, ...]:
    if hardware.device == "cpu":
        large = f"{spec.id} on a CPU takes hours; --model nano takes half a minute"
        unused = (
            f"this Mac's GPU is not used: {family_of(spec).title} runs on CUDA, or on the CPU",
        )
        return (unused if hardware.vendor == "apple" else ()) + (
            (large,) if denoiser_bytes(spec) > LARGE_BYTES else ()
        )
    chosen = choices(request, spec, hardware)[0]
    moved = _offload_advice(request, chosen, spec, hardware)
    return (chosen.reason, *_left_out(request, spec, hardware, chosen), *moved)


def _left_out(
    request: Request, spec: ModelSpec, hardware: Hardware, chosen: ProfileChoice
) -> Iterator[str]:
    """What this machine lacks for a profile that would have come first, and for compiling."""
    if request.profile != "auto" or request.mode == "baseline":
        return
    profiles = {profile.name: profile for profile in load_profiles()}
    for profile in profiles.values():
        if profile.name == chosen.profile.name:
            break
        choice = choice_of(apply_switches(profile, request), request, spec, hardware)
        short = profile_lacks(profile, hardware) or short_of_host(
            choice.profile, request, spec, hardware
        )
        if (
            short
            and choice.needed <= budget_bytes(request, hardware)
            and hardware.device in profile.devices
        ):
            yield f"profile {profile.name} is left out: it needs {short}"
    missing = compiling_lacks(hardware)
    if missing and profiles[chosen.profile.name].compile and request.compile is None:
        yield f"nothing is compiled here, which makes it slower: that needs {missing}"


def _offload_advice(
    request: Request, chosen: ProfileChoice, spec: ModelSpec, hardware: Hardware
) -> Iterator[str]:
    if chosen.profile.offload not in ("none", "text"):
        resident = chosen.profile.model_copy(update={"offload": "none", "tiling": False})
        whole = needed_bytes(resident, spec, request.num_frames, width(request)) / 1e9
        free = hardware.free_memory / 1e9
        offload = chosen.profile.offload
        yield (
            f"offload {offload} slows this run; without it {whole:.0f} GB are needed, {free:.0f} "
            "GB are free"
        )

"""The planner: which profile runs. The first that applies to the device and fits its memory and the
machine's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from src.catalog.profiles import Profile, find_profile, load_profiles
from src.catalog.spec import Memory, ModelSpec
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.plan import Plan
from src.core.request import Request
from src.engine.estimates import counted_bytes, host_bytes, needed_bytes, resident_bytes
from src.engine.machine import (
    can_compile,
    check_profile,
    check_switches,
    left_out,
    profile_lacks,
    shareable,
)
from src.engine.schedule import parse_cache
from src.pipelines.families import family_of


@dataclass(frozen=True)
class ProfileChoice:
    """profile: what runs, the request's own switches applied. estimate: counted device bytes.
    needed: with the reserve. reason: one sentence.
    """

    profile: Profile
    estimate: int
    needed: int
    reason: str


def choices(request: Request, spec: ModelSpec, hardware: Hardware) -> list[ProfileChoice]:
    """Every profile that may run, in order: the first is the plan, the others are what a failure
    steps to.

    Raises BadInputError when a named profile does not apply here, or nothing fits the budget.
    """
    check_switches(request, hardware)
    if request.mode == "baseline":
        return [_baseline(request, spec, hardware)]
    fitting = list(_fitting(request, spec, hardware))
    if request.profile != "auto":
        return _named(request, spec, hardware, fitting)
    if not fitting:
        raise BadInputError(_nothing_fits(request, spec, hardware))
    return fitting


def _fitting(request: Request, spec: ModelSpec, hardware: Hardware) -> Iterator[ProfileChoice]:
    budget = budget_bytes(request, hardware)
    for choice in _candidates(request, spec, hardware):
        fits = hardware.device == "cpu" or choice.needed <= budget
        if fits and not short_of_host(choice.profile, request, spec, hardware):
            yield choice


def budget_bytes(request: Request, hardware: Hardware) -> int:
    """The request's own budget, of which no more can be used than the card has; or what is free."""
    asked = request.budget
    return hardware.free_memory if asked is None else min(asked, hardware.memory)


def _candidates(request: Request, spec: ModelSpec, hardware: Hardware) -> Iterator[ProfileChoice]:
    for profile in load_profiles():
        wanted = apply_switches(profile, request)
        if not profile_lacks(profile, hardware) and shareable(wanted, request):
            yield choice_of(wanted, request, spec, hardware)


def choice_of(
    profile: Profile, request: Request, spec: ModelSpec, hardware: Hardware
) -> ProfileChoice:
    profile = _settled(profile, request, spec, hardware)
    size = (profile, spec, request.num_frames, width(request))
    estimate, needed = counted_bytes(*size), needed_bytes(*size)
    memory = f"about {estimate / 1e9:.1f} GB of {hardware.free_memory / 1e9:.1f} GB free"
    return ProfileChoice(
        profile, estimate, needed, f"profile {profile.name} ({profile.description}): {memory}"
    )


def _settled(profile: Profile, request: Request, spec: ModelSpec, hardware: Hardware) -> Profile:
    """The profile as it runs here: tiles only where they are needed, nothing that the device does
    not have.
    """
    changes: dict[str, object] = {}
    if profile.attention == "cudnn" and hardware.vendor == "amd":
        changes["attention"] = "auto"
    if (
        profile.compile
        and not request.compile
        and (profile.offload == "sequential" or not can_compile(hardware))
    ):
        changes["compile"] = False  # hooks of single layers lie inside what would be one graph
    changes |= left_out(profile, request)
    if profile.tiling == "auto":
        whole = profile.model_copy(update={"tiling": False})
        roomy = needed_bytes(whole, spec, request.num_frames, width(request)) <= budget_bytes(
            request, hardware
        )
        changes["tiling"] = hardware.device != "cpu" and not roomy
    return profile.model_copy(update=changes)


def width(request: Request) -> int:
    """How many times 16 bit a number takes on a GPU."""
    return 2 if request.dtype == "float32" else 1


def short_of_host(profile: Profile, request: Request, spec: ModelSpec, hardware: Hardware) -> str:
    """What the profile lacks of the machine's own memory, "" for nothing or where that is not
    known.
    """
    if hardware.device == "cpu" or not hardware.free_host_memory or not spec.memory.known:
        return ""
    as_stored = request.dtype == "bfloat16" or (request.dtype == "auto" and hardware.bf16)
    needs = request.gpus * host_bytes(profile, spec, as_stored, width(request))
    free = hardware.free_host_memory
    if needs <= free:
        return ""
    return (
        f"{needs / 1e9:.1f} GB of the machine's own memory, of which {free / 1e9:.1f} GB are free"
    )


def _nothing_fits(request: Request, spec: ModelSpec, hardware: Hardware) -> str:
    found = list(_candidates(request, spec, hardware))
    least = min(found, key=lambda choice: choice.needed)
    budget = budget_bytes(request, hardware)
    if least.needed <= budget:
        short = short_of_host(least.profile, request, spec, hardware)
        return f"{spec.id} needs {short}; close other programs, or use --model nano"
    return (
        f"{spec.id} needs {least.needed / 1e9:.1f} GB of GPU memory at least, {budget / 1e9:.1f} "
        "GB are free; "
        "close other programs, raise --vram-budget, or use --model nano"
    )


def _named(
    request: Request, spec: ModelSpec, hardware: Hardware, fitting: list[ProfileChoice]
) -> list[ProfileChoice]:
    """A profile asked for by name runs even where the estimate says it will not fit; more frugal
    ones follow.

    Refused is only what cannot be: what the device lacks, and weights that are larger than the
    whole of its memory.
    """
    profile = find_profile(request.profile)
    if missing := profile_lacks(profile, hardware):
        raise BadInputError(
            f"--profile {profile.name} needs {missing}; this machine runs on {hardware.name}"
        )
    check_profile(apply_switches(profile, request), request)
    first = choice_of(apply_switches(profile, request), request, spec, hardware)
    weights = width(request) * resident_bytes(first.profile, spec)
    if hardware.device == "cuda" and weights > hardware.memory:
        better = f"--profile {fitting[0].profile.name} fits" if fitting else "use --model nano"
        raise BadInputError(
            f"--profile {profile.name} keeps {weights / 1e9:.1f} GB of weights on the GPU, which "
            "has "
            f"{hardware.memory / 1e9:.1f} GB; {better}"
        )
    return [first, *(choice for choice in fitting if choice.estimate < first.estimate)]


def _baseline(request: Request, spec: ModelSpec, hardware: Hardware) -> ProfileChoice:
    """The stock pipeline: nothing of ours, but offload where the whole model does not fit.

    Where nothing was counted, parts move: nobody knows whether all of them fit. Raises
    BadInputError for a card that is smaller than what is counted, and for a device on which the
    pipeline does not make such clips.
    """
    if hardware.device in spec.stock_fails:
        raise BadInputError(
            f"mode baseline does not run {spec.id} on {hardware.device}: "
            f"{spec.stock_fails[hardware.device]}; take mode optimized"
        )
    stock = Profile(
        name="stock", description="the stock pipeline", devices=("cuda", "cpu"), vae="stock"
    )
    whole = choice_of(stock, request, spec, hardware)
    fits = spec.memory.whole and whole.needed <= budget_bytes(request, hardware)
    roomy = hardware.device == "cpu" or fits
    offload = ("none" if roomy else "model") if request.offload == "auto" else request.offload
    chosen = choice_of(stock.model_copy(update={"offload": offload}), request, spec, hardware)
    if hardware.device == "cuda" and chosen.estimate > hardware.memory:
        raise BadInputError(
            f"mode baseline, the stock pipeline, needs {chosen.estimate / 1e9:.1f} GB of GPU "
            f"memory for {spec.id}, "
            f"{hardware.name} has {hardware.memory / 1e9:.1f} GB"
            f"{_better(stock, request, spec, hardware)}"
        )
    return chosen


def _better(stock: Profile, request: Request, spec: ModelSpec, hardware: Hardware) -> str:
    """What needs less and fits, as the end of a sentence."""
    if "optimized" in family_of(spec).modes:
        return "; mode optimized needs less"
    layers = choice_of(stock.model_copy(update={"offload": "sequential"}), request, spec, hardware)
    return "; --offload sequential fits" if layers.estimate <= hardware.memory else ""


def apply_switches(profile: Profile, request: Request) -> Profile:
    """The profile with what the request asks for by flag in place of its own."""
    asked: dict[str, object] = {
        "attention": request.attention, "quantize": request.quantize, "compile": request.compile,
        "offload": None if request.offload == "auto" else request.offload,
    }  # fmt: skip
    if request.cache is not None:
        asked["cache"], asked["cache_threshold"] = parse_cache(request.cache)
    if request.guidance_interval is not None:
        asked["guidance_from"], asked["guidance_until"] = request.guidance_interval
    return profile.model_copy(
        update={key: value for key, value in asked.items() if value is not None}
    )


def most_prompts(plan: Plan, memory: Memory, budget: int, wanted: int) -> int:
    """How many clips fit into one forward, at least 1 and at most `wanted`: only denoising grows
    with them.
    """
    beside = max(memory.denoise, memory.decode_tiled if plan.session.tiling else memory.decode)
    fits = (
        count for count in range(wanted, 1, -1)
        if plan.memory_estimate + max(0, count * memory.denoise - beside) <= budget
    )  # fmt: skip
    return next(fits, 1)

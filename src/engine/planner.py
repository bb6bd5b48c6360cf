"""The planner: which profile runs. The fastest that applies to the device and fits its free memory."""

from collections.abc import Iterator
from dataclasses import dataclass

from src.catalog.profiles import Profile, find_profile, load_profiles
from src.catalog.spec import Memory, ModelSpec
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.plan import Plan
from src.core.request import Request, parse_bytes

WIDTH = {"none": 1.0, "int8": 0.5, "fp8": 0.5}  # of the transformer's weights, against 16 bit
LARGE_BYTES = 1_000_000_000
GROUP_BYTES = 1_500_000_000  # two groups of blocks in flight, streamed


@dataclass(frozen=True)
class Choice:
    """profile: what runs, the request's own switches applied. estimate: device bytes. reason: one sentence."""

    profile: Profile
    estimate: int
    reason: str


def choices(request: Request, spec: ModelSpec, hardware: Hardware) -> list[Choice]:
    """Every profile that may run, in order: the first is the plan, the others are what out-of-memory steps to.

    Raises BadInputError when a named profile does not apply here, or nothing fits the budget.
    """
    if request.mode == "baseline":
        return [_baseline(request, spec, hardware)]
    budget = budget_bytes(request, hardware)
    fitting = [c for c in _candidates(request, spec, hardware) if hardware.device == "cpu" or c.estimate <= budget]
    if request.profile != "auto":
        return _named(request, spec, hardware, fitting)
    if not fitting:
        least = min(c.estimate for c in _candidates(request, spec, hardware))
        raise BadInputError(
            f"{spec.id} needs {least / 1e9:.1f} GB of GPU memory at least, {budget / 1e9:.1f} GB are free; "
            "close other programs, raise --vram-budget, or use --model nano"
        )
    return fitting


def budget_bytes(request: Request, hardware: Hardware) -> int:
    """The request's own budget, or what is free."""
    return parse_bytes(request.vram_budget) if request.vram_budget else hardware.free_memory


def _candidates(request: Request, spec: ModelSpec, hardware: Hardware) -> Iterator[Choice]:
    for profile in load_profiles():
        if _applies(profile, hardware):
            yield _choice(apply_switches(profile, request), spec, hardware)


def _choice(profile: Profile, spec: ModelSpec, hardware: Hardware) -> Choice:
    estimate = estimate_bytes(profile, spec)
    memory = f"about {estimate / 1e9:.1f} GB of {hardware.free_memory / 1e9:.1f} GB free"
    return Choice(profile, estimate, f"profile {profile.name} ({profile.description}): {memory}")


def _applies(profile: Profile, hardware: Hardware) -> bool:
    major, minor = hardware.capability
    return hardware.device in profile.devices and major + minor / 10 >= profile.capability


def _named(request: Request, spec: ModelSpec, hardware: Hardware, fitting: list[Choice]) -> list[Choice]:
    """A profile asked for by name runs even where the estimate says it will not fit; more frugal ones follow."""
    profile = find_profile(request.profile)
    if not _applies(profile, hardware):
        needs = f"CUDA capability {profile.capability}" if profile.capability else " or ".join(profile.devices)
        raise BadInputError(f"--profile {profile.name} needs {needs}; this machine runs on {hardware.name}")
    first = _choice(apply_switches(profile, request), spec, hardware)
    return [first, *(choice for choice in fitting if choice.estimate < first.estimate)]


def _baseline(request: Request, spec: ModelSpec, hardware: Hardware) -> Choice:
    """The stock pipeline: nothing of ours, but offload where the whole model does not fit."""
    stock = Profile(name="stock", description="the stock pipeline", devices=("cuda", "cpu"), vae="stock")
    whole = _choice(stock, spec, hardware)
    if request.offload != "auto":
        return _choice(stock.model_copy(update={"offload": request.offload}), spec, hardware)
    if hardware.device == "cpu" or whole.estimate <= budget_bytes(request, hardware):
        return whole
    return _choice(stock.model_copy(update={"offload": "model"}), spec, hardware)


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
    return profile.model_copy(update={key: value for key, value in asked.items() if value is not None})


CACHES = {"none": 0.0, "first_block": 0.05, "taylorseer": 3.0, "pyramid": 2.0}  # name: usual threshold or interval
FEWEST = {"none": 1, "first_block": 2, "taylorseer": 3, "pyramid": 2}  # steps of which a cache can skip one
INTERVALS = ("taylorseer", "pyramid")  # these count steps; the others compare a residual


def parse_cache(text: str) -> tuple[str, float]:
    """`first_block=0.08` as name and threshold; raises BadInputError with the list of known caches."""
    name, _, threshold = text.partition("=")
    if name not in CACHES:
        raise BadInputError(f"unknown cache {name!r}; known: {', '.join(CACHES)}")
    try:
        number = float(threshold) if threshold else CACHES[name]
    except ValueError:
        raise BadInputError(f"--cache {text}: {threshold!r} is not a number; try first_block=0.08") from None
    if name in INTERVALS and not (number >= 2 and number == int(min(number, 1000))):  # 1 computes every step
        raise BadInputError(f"--cache {text}: must be a whole number of steps from 2 to 1000; try {name}=3")
    if not 0 <= number < float("inf"):
        raise BadInputError(f"--cache {text}: must be 0 or more; try first_block=0.08")
    return name, number


def estimate_bytes(profile: Profile, spec: ModelSpec) -> int:
    """Peak device bytes: what is resident beside the largest activations of what runs at once."""
    memory = spec.memory
    transformer = round(memory.transformer * WIDTH[profile.quantize])
    decode = memory.decode_tiled if profile.tiling else memory.decode
    if profile.offload == "none":
        return memory.text_encoder + transformer + memory.vae + max(memory.denoise, decode)
    if profile.offload == "model":
        return max(memory.text_encoder, transformer + memory.denoise, memory.vae + decode)
    return _streamed(profile, memory, decode)


def _streamed(profile: Profile, memory: Memory, decode: int) -> int:
    resident = GROUP_BYTES if profile.offload == "group" else 0
    return resident + max(memory.denoise, decode)


def most_prompts(plan: Plan, memory: Memory, budget: int, wanted: int) -> int:
    """How many clips fit into one forward, at least 1 and at most `wanted`: only denoising grows with them."""
    beside = max(memory.denoise, memory.decode_tiled if plan.session.tiling else memory.decode)
    fits = (
        count for count in range(wanted, 1, -1)
        if plan.memory_estimate + max(0, count * memory.denoise - beside) <= budget
    )  # fmt: skip
    return next(fits, 1)


def advice(request: Request, spec: ModelSpec, hardware: Hardware) -> tuple[str, ...]:
    """The plan's reason on a GPU, and what would make the run faster, by the planner's own estimate."""
    return _device_advice(request, spec, hardware) + _steps_advice(request, spec)


def _steps_advice(request: Request, spec: ModelSpec) -> tuple[str, ...]:
    """Denoising takes as long as it has steps: told from twice the model's own on."""
    asked, usual = request.num_inference_steps or 0, spec.defaults.num_inference_steps
    if asked < 2 * usual:
        return ()
    return (
        f"{asked} steps denoise {asked / usual:.0f} times as long as {spec.id}'s own; --num-inference-steps {usual}",
    )


def _device_advice(request: Request, spec: ModelSpec, hardware: Hardware) -> tuple[str, ...]:
    if hardware.device == "cpu":
        large = f"{spec.id} on a CPU takes hours; --model nano takes half a minute"
        return (large,) if spec.memory.transformer > LARGE_BYTES else ()
    chosen = choices(request, spec, hardware)[0]
    if chosen.profile.offload == "none":
        return (chosen.reason,)
    name = chosen.profile.offload
    whole = estimate_bytes(chosen.profile.model_copy(update={"offload": "none"}), spec) / 1e9
    free = budget_bytes(request, hardware) / 1e9
    return chosen.reason, f"offload {name} slows this run; without it {whole:.0f} GB are needed, {free:.0f} GB are free"

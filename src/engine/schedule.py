"""The steps of a clip: how many, at which timesteps and guidance, and which of them a cache skips.
Caches are read as a flag names them.
"""

from src.catalog.profiles import Profile
from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.core.plan import Cache
from src.core.request import Request
from src.core.wording import counted
from src.pipelines.cache_fit import FITTED, CacheFit, skipped_steps
from src.pipelines.families import family_of
from src.pipelines.family import Timesteps

# name: usual threshold or interval; 0 of the last two: as the model's calibration says
CACHES = {"none": 0.0, "first_block": 0.05, "taylorseer": 3.0, "pyramid": 2.0,
          "magcache": 0.0, "teacache": 0.0}  # fmt: skip
# steps of which a cache can skip one
FEWEST = {"none": 1, "first_block": 2, "taylorseer": 3, "pyramid": 2, "magcache": 3, "teacache": 3}
INTERVALS = ("taylorseer", "pyramid")  # these count steps; the others compare a residual


def guidance_schedule(steps: int, scale: float, begin: float, end: float) -> tuple[float, ...]:
    """The scale at each step: `scale` in the part from `begin` until `end` (0 to 1) of the steps, 1
    outside.
    """
    return tuple(scale if begin <= (step + 0.5) / steps < end else 1.0 for step in range(steps))


def steps_and_guidance(
    request: Request, spec: ModelSpec, template: float | None
) -> tuple[int, float]:
    """The request's own values, then the template's, then the model's defaults for this mode."""
    defaults = spec.defaults
    baseline = request.mode == "baseline"
    usual_steps = (
        defaults.baseline_num_inference_steps if baseline else defaults.num_inference_steps
    )
    usual_scale = defaults.baseline_guidance_scale if baseline else defaults.guidance_scale
    steps = request.num_inference_steps or usual_steps
    check_steps(steps, request, spec)
    check_interval(steps, request)
    check_cache(steps, request)
    if request.guidance_scale is not None:
        return steps, request.guidance_scale
    return steps, template if template is not None and spec.template_guidance else usual_scale


def check_steps(steps: int, request: Request, spec: ModelSpec) -> None:
    """Refuse more steps than were trained, and counts such as 61 that the scheduler rounds to one
    step too many.
    """
    most = spec.schedule.train_timesteps
    if steps > most:
        raise BadInputError(
            f"{spec.id} was trained with {most} timesteps; {steps} steps are more, {most} is the "
            "most"
        )
    works = next(
        count
        for count in range(steps, 0, -1)
        if len(planned_timesteps(count, request, spec).timesteps) == count
    )
    if works != steps:
        raise BadInputError(
            f"the scheduler cannot make {steps} steps, rounding adds one below zero; take {works}"
        )


def check_interval(steps: int, request: Request) -> None:
    """Refuse an interval between two steps, such as 0,0.1 of three: it would switch guidance off
    without a word.
    """
    if (
        request.guidance_interval is None
        or max(guidance_schedule(steps, 2.0, *request.guidance_interval)) > 1
    ):
        return
    begin, end = request.guidance_interval
    middles = ", ".join(f"{(step + 0.5) / steps:.2f}" for step in range(min(steps, 5)))
    more = ", ..." if steps > 5 else ""
    raise BadInputError(
        f"--guidance-interval {begin:g},{end:g} holds none of the steps (they are at "
        f"{middles}{more}); widen it, or turn guidance off with --guidance-scale 1"
    )


def check_cache(steps: int, request: Request) -> None:
    """Refuse a step cache where there are too few steps to skip one: it would do nothing."""
    name = "none" if request.cache is None else parse_cache(request.cache)[0]
    if steps < FEWEST[name]:
        raise BadInputError(
            f"--cache {name} has nothing to skip in {counted(steps, 'step')}; it needs "
            f"{FEWEST[name]} or more"
        )


def scheduler(request: Request, spec: ModelSpec) -> str:
    """The baseline keeps the checkpoint's own scheduler, which is what "stock" means."""
    if request.mode == "baseline":
        return "checkpoint"
    known = family_of(spec).schedulers
    if request.scheduler is not None and request.scheduler not in known:
        raise BadInputError(
            f"{spec.id} has no scheduler {request.scheduler}; it has {' and '.join(known)}"
        )
    return request.scheduler or spec.defaults.scheduler


def planned_timesteps(count: int, request: Request, spec: ModelSpec) -> Timesteps:
    """What so many steps visit; the baseline's are those of the checkpoint's own scheduler."""
    stock = request.mode == "baseline"
    return family_of(spec).timesteps(count, spec, stock, request.num_frames)


def planned_cache(
    profile: Profile,
    timesteps: tuple[float, ...],
    guidance: tuple[float, ...],
    fit: CacheFit | None,
) -> Cache:
    """The profile's step cache, and what one with a calibration will skip. Raises BadInputError
    for such a one without its calibration.
    """
    name, threshold = profile.cache, profile.cache_threshold
    if name not in FITTED:
        return Cache(name=name, threshold=threshold)
    if fit is None:
        raise BadInputError(
            f"profile {profile.name}: cache {name} needs the model's calibration; ask for it with "
            f"--cache {name}"
        )
    threshold = threshold or fit.usual[name]
    skipped = skipped_steps(fit, name, threshold, timesteps, guidance)
    return Cache(name=name, threshold=threshold, skipped=skipped)


def parse_cache(text: str) -> tuple[str, float]:
    """`first_block=0.08` as name and threshold; raises BadInputError with the list of
    known caches.
    """
    name, _, threshold = text.partition("=")
    if name not in CACHES:
        raise BadInputError(f"unknown cache {name!r}; known: {', '.join(CACHES)}")
    try:
        number = float(threshold) if threshold else CACHES[name]
    except ValueError:
        raise BadInputError(
            f"--cache {text}: {threshold!r} is not a number; try {_example(name)}"
        ) from None
    # 1 computes every step
    if name in INTERVALS and not (number >= 2 and number == int(min(number, 1000))):
        raise BadInputError(
            f"--cache {text}: must be a whole number of steps from 2 to 1000; try {name}=3"
        )
    if not 0 <= number < float("inf"):
        raise BadInputError(f"--cache {text}: must be 0 or more; try {_example(name)}")
    if name in FITTED and threshold and not number:
        raise BadInputError(
            f"--cache {text}: must be above 0; {name} alone takes the calibration's threshold"
        )
    return name, number


def _example(name: str) -> str:
    """A threshold that this cache takes."""
    usual = 0.06 if name in FITTED else 0.08 if name == "first_block" else CACHES[name]
    return f"{name}={usual:g}"

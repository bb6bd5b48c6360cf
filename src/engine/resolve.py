"""Request, spec and hardware become a plan. Pure: same arguments, same plan; nothing is loaded,
nothing read.
"""

import secrets
from typing import Any

from src.catalog.profiles import Profile
from src.catalog.spec import ModelSpec
from src.catalog.upscalers import WeightFile, find_preset
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.option import listed
from src.core.parsing import parse_upscale
from src.core.plan import Adapter, Cache, Plan, SessionKey, Size, Upscale
from src.core.prompts import Template, find_template
from src.core.request import Request, check_mode
from src.core.wording import counted
from src.engine.caches import FEWEST, parse_cache
from src.engine.distilled import as_distilled
from src.engine.drafts import check_draft, draft_of, drafted
from src.engine.finishing import check_names, chosen_filters
from src.engine.planner import ProfileChoice, can_compile, choices, compiling_lacks
from src.pipelines.cache_fit import FITTED, CacheFit, skipped_steps
from src.pipelines.families import family_of
from src.pipelines.family import Timesteps
from src.pipelines.preview_files import PreviewFile
from src.upscaling.files import LANCZOS, delivery_files, preset_files

LARGEST = 16384


def resolve(
    request: Request,
    spec: ModelSpec,
    hardware: Hardware,
    templates: dict[str, Template],
    weights: dict[str, str],
    image_sha256: str,
    seed: int,
    adapters: tuple[Adapter, ...] = (),
    upscaler_weights: dict[str, str] | None = None,
    fit: CacheFit | None = None,
    preview: PreviewFile | None = None,
) -> tuple[Plan, ...]:
    """Decide everything the request leaves open: the plan, then the more frugal ones to step to.

    fit: the model's calibration, for a cache that needs one (`generate.asked_fit`). preview: the
    decoder of a draft (`drafts.asked_preview`).
    Raises BadInputError when the request asks for what cannot be.
    """
    request = as_distilled(request, spec, adapters)
    common, guided = decided(request, spec, templates)
    found = {
        "weights": weights,
        "image_sha256": image_sha256,
        "upscaler_weights": upscaler_weights or {},
        "seed": seed,
        "adapters": adapters,
        "draft": draft_of(request, spec, preview),
    }
    chosen = choices(request, spec, hardware)
    return tuple(
        _plan(common | found, request, spec, hardware, choice, guided, fit) for choice in chosen
    )


def decided(
    request: Request, spec: ModelSpec, templates: dict[str, Template]
) -> tuple[dict[str, Any], tuple[int, float]]:
    """What of the plan is the same on every machine and with every weight; then the number of steps
    and the guidance scale, of which the profile makes a schedule. Raises BadInputError where the
    request asks for what cannot be.
    """
    check_mode(request)
    check_family(request, spec)
    check_draft(request)
    spec = drafted(spec, request.draft)
    spec.check_licence(request.accept_licence)
    filters = chosen_filters(request)
    check_names(filters, request.finishers)
    prompt, negative, template_guidance = wording(request, templates, spec)
    num_frames = request.num_frames or spec.defaults.num_frames
    spec.check_frames(num_frames)
    delivered = spec.deliver(request.width, request.height)
    steps, guidance = steps_and_guidance(request, spec, template_guidance)
    visited = planned_timesteps(steps, request, spec)
    common = {
        "mode": request.mode,
        "fit": request.fit,
        "prompt": prompt,
        "negative_prompt": negative,
        "max_sequence_length": spec.max_sequence_length,
        "scheduler": scheduler(request, spec),
        "timesteps": visited.timesteps,
        "sigmas": visited.sigmas,
        "num_frames": num_frames,
        "fps": request.fps or spec.defaults.fps,
        "native": spec.native,
        "delivered": delivered,
        "upscaler": delivery(request, spec),
        "upscale": upscale(request, delivered),
        "score": request.score and not request.draft,
        "filters": filters,
        "finishers": request.finishers,
    }
    return common, (steps, guidance)


def _plan(
    common: dict[str, Any],
    request: Request,
    spec: ModelSpec,
    hardware: Hardware,
    choice: ProfileChoice,
    guided: tuple[int, float],
    fit: CacheFit | None,
) -> Plan:
    profile = choice.profile
    tuned = profile.compile or profile.attention != "auto" or profile.quantize != "none"
    guidance = guidance_schedule(*guided, profile.guidance_from, profile.guidance_until)
    return Plan(
        **common,
        profile=profile.name,
        session=session_key(request, spec, hardware, profile),
        guidance=guidance,
        cache=planned_cache(profile, common["timesteps"], guidance, fit),
        memory_estimate=choice.estimate,
        determinism="tolerance" if tuned else "exact",
    )


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


def guidance_schedule(steps: int, scale: float, begin: float, end: float) -> tuple[float, ...]:
    """The scale at each step: `scale` in the part from `begin` until `end` (0 to 1) of the steps, 1
    outside.
    """
    return tuple(scale if begin <= (step + 0.5) / steps < end else 1.0 for step in range(steps))


def delivery(request: Request, spec: ModelSpec) -> str:
    """How native becomes delivered; a size that no enlarging leads to is resampled."""
    size = spec.deliver(request.width, request.height)
    wanted = _named(spec.delivery if request.delivery == "auto" else request.delivery)
    return (
        LANCZOS if (size.width, size.height) <= (spec.native.width, spec.native.height) else wanted
    )


def _named(delivery: str) -> str:
    """As plans have it. Raises BadInputError for the name of no preset."""
    if delivery == LANCZOS:
        return LANCZOS
    upscaler, preset = find_preset(delivery, "--delivery", ("auto", LANCZOS))
    return upscaler.known_as(preset)


def upscale(request: Request, delivered: Size) -> Upscale | None:
    """What enlarges the delivered clip. Raises BadInputError where no upscaler does that, or where
    the clip would be larger than H.264 takes.
    """
    parsed = parse_upscale(request.upscale) if request.upscale else None
    if not parsed:
        return None
    scale, name = parsed
    upscaler, preset = find_preset(name, "the preset of --upscale")
    if scale not in upscaler.scales(preset):
        known = listed(tuple(f"{each}x" for each in upscaler.scales(preset)))
        raise BadInputError(
            f"--upscale is {request.upscale}; preset {preset} of {upscaler.id} makes {known}"
        )
    if max(delivered.width, delivered.height) * scale > LARGEST:
        raise BadInputError(
            f"--upscale {request.upscale} of {delivered} is larger than {LARGEST} pixels a side, "
            "the most H.264 takes"
        )
    return Upscale(scale=scale, preset=upscaler.known_as(preset))


def upscaler_files(request: Request, spec: ModelSpec) -> list[WeightFile]:
    """The weight files that delivery and upscaling need. Raises MissingWeightsError where one is
    not here, BadInputError for a restricted licence that the request does not accept.
    """
    spec = drafted(spec, request.draft)
    size = spec.deliver(request.width, request.height)
    further, way = upscale(request, size), delivery(request, spec)
    for name in {way, *([further.preset] if further else [])} - {LANCZOS}:
        find_preset(name)[0].check_licence(request.accept_licence)
    files = delivery_files(way, spec.native, size)
    return files + (preset_files(further.preset, further.scale) if further else [])


def check(request: Request, spec: ModelSpec, templates: dict[str, Template]) -> None:
    """Raise what `resolve` would raise for this model on any hardware; needs neither torch nor
    weights.

    Raises MissingWeightsError where the file of an upscaler is not here.
    """
    decided(request, spec, templates)
    upscaler_files(request, spec)


def check_family(request: Request, spec: ModelSpec) -> None:
    """Raise BadInputError for what the model's family does not do."""
    family = family_of(spec)
    if request.mode not in family.modes:
        raise BadInputError(
            f"mode {request.mode} does not apply to {spec.id}: {family.title} runs as diffusers "
            "has it, without our loop and its previews, caches and compiling; take mode baseline "
            "(python -m src.baseline_inference)"
        )
    if request.lora and not family.lora_targets:
        raise BadInputError(
            f"--lora does not apply to {spec.id}: Newsreel puts no adapter on {family.title}; "
            "leave it out"
        )


def _no_words(request: Request, spec: ModelSpec) -> tuple[str, str, float | None]:
    """Raise BadInputError for words that would have no effect."""
    for name in ("prompt", "template", "negative_prompt", "set"):
        if getattr(request, name):
            raise BadInputError(
                f"--{name.replace('_', '-')} does not apply to {spec.id}, which reads no words; "
                "leave it out"
            )
    return "", "", None


def wording(
    request: Request, templates: dict[str, Template], spec: ModelSpec
) -> tuple[str, str, float | None]:
    """Prompt, negative prompt and the template's guidance scale; exactly one of prompt and template
    is needed, and none where the model reads no words.
    """
    family = family_of(spec)
    if not family.reads_prompt:
        return _no_words(request, spec)
    if request.negative_prompt and not family.reads_negative:
        raise BadInputError(
            f"--negative-prompt does not apply to {spec.id}, which has guidance in itself; leave "
            "it out"
        )
    if request.prompt and request.template:
        raise BadInputError("give --prompt or --template, not both")
    if request.template:
        template = find_template(request.template, templates)
        negative = (
            template.negative_prompt if request.negative_prompt is None else request.negative_prompt
        )
        told = negative if family.reads_negative else ""
        return template.render(request.set), told, template.guidance_scale
    if request.set:
        raise BadInputError("--set fills a template's slots; give --template NAME with it")
    if not request.prompt:
        raise BadInputError(
            f"give --prompt TEXT or --template NAME; templates: {', '.join(sorted(templates))}"
        )
    return request.prompt.strip(), request.negative_prompt or "", None


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


def session_key(
    request: Request, spec: ModelSpec, hardware: Hardware, profile: Profile
) -> SessionKey:
    """What must be loaded, and in which form."""
    if hardware.device == "cpu" and profile.offload != "none":
        raise BadInputError(
            f"--offload {profile.offload} moves weights between CPU and GPU; there is no GPU here"
        )
    if request.compile and not can_compile(hardware):
        raise BadInputError(f"--compile needs {compiling_lacks(hardware)}")
    return SessionKey(
        model=spec.id,
        source=spec.source,
        device=hardware.device,
        dtype=dtype(request, hardware),
        offload=profile.offload,
        vae=profile.vae,
        compile=profile.compile and can_compile(hardware),
        attention=profile.attention,
        quantize=profile.quantize,
        tiling=profile.tiling,
        family=spec.family,
        gpus=request.gpus,
    )


def dtype(request: Request, hardware: Hardware) -> str:
    """bfloat16 where it is native; else float32 on a CPU and float16 on a GPU."""
    if request.dtype != "auto":
        if request.dtype == "float16" and hardware.device == "cpu":
            raise BadInputError("--dtype float16 is not computed on a CPU; use float32 or bfloat16")
        return request.dtype
    if hardware.bf16:
        return "bfloat16"
    return "float32" if hardware.device == "cpu" else "float16"


def draw_seed(request: Request) -> int:
    """The request's seed, or a fresh one that is short enough to read aloud."""
    if request.seed is not None:
        return request.seed
    return secrets.randbelow(2**31)

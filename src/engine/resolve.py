"""Request, spec and hardware become a plan. Pure: same arguments, same plan; nothing is loaded,
nothing read.
"""

import secrets
from dataclasses import dataclass
from typing import Any

from src.catalog.profiles import Profile
from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.plan import Adapter, Plan, SessionKey
from src.core.prompts import Template, find_template
from src.core.request import Request, check_mode
from src.engine.delivered import asked_enlargement
from src.engine.distilled import as_distilled
from src.engine.drafts import check_draft, draft_of, drafted
from src.engine.finishing import check_names, chosen_filters
from src.engine.machine import can_compile, compiling_lacks
from src.engine.planner import ProfileChoice, choices
from src.engine.schedule import (
    guidance_schedule,
    planned_cache,
    planned_timesteps,
    scheduler,
    steps_and_guidance,
)
from src.pipelines.families import family_of
from src.pipelines.folder_files import FolderFiles
from src.pipelines.parallel.division import plan_division
from src.upscaling.files import Enlargement

NOTHING = FolderFiles()


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
    files: FolderFiles = NOTHING,
    extends: str = "",
) -> tuple[Plan, ...]:
    """Decide everything the request leaves open: the plan, then the more frugal ones to step to.

    files: of the model's folder, beside its weights. extends: hash of the clip that comes first.
    Raises BadInputError when the request asks for what cannot be.
    """
    request = as_distilled(request, spec, adapters)
    settled = decided(request, spec, templates)
    found = {
        "weights": weights,
        "image_sha256": image_sha256,
        "upscaler_weights": upscaler_weights or {},
        "seed": seed,
        "adapters": adapters,
        "extends": extends,
        "draft": draft_of(request, spec, files.preview),
    }
    chosen = choices(request, spec, hardware)
    return tuple(
        _plan(settled.common | found, request, spec, hardware, choice, settled.guided, files)
        for choice in chosen
    )


@dataclass(frozen=True)
class Decided:
    """What of the plan is the same on every machine and with every weight.

    common: fields of the plan. way: how its frames are enlarged. guided: the number of steps and
    the guidance scale, of which the profile makes a schedule.
    """

    common: dict[str, Any]
    way: Enlargement
    guided: tuple[int, float]


def decided(request: Request, spec: ModelSpec, templates: dict[str, Template]) -> Decided:
    """What a request says of the plan for this model, on any hardware; needs neither torch nor
    weights. Raises BadInputError where it asks for what cannot be.
    """
    spec = drafted(spec, request.draft)
    num_frames = request.num_frames or spec.defaults.num_frames
    filters = chosen_filters(request)
    _check_fields(request, spec, num_frames, filters)
    way = asked_enlargement(request, spec)
    prompt, negative, template_guidance = wording(request, templates, spec)
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
        "score": request.score and not request.draft,
        "filters": filters,
        "finishers": request.finishers,
        "native": way.native,
        "delivered": way.delivered,
        "upscaler": way.upscaler,
        "upscale": way.upscale,
    }
    return Decided(common, way, (steps, guidance))


def _check_fields(
    request: Request, spec: ModelSpec, num_frames: int, filters: tuple[str, ...]
) -> None:
    """Refuse what can be told from single fields."""
    check_draft(request)
    check_names(filters, request.finishers)
    check_family(request, spec)
    spec.check_licence(request.accept_licence)
    spec.check_frames(num_frames)
    check_mode(request)


def _plan(
    common: dict[str, Any],
    request: Request,
    spec: ModelSpec,
    hardware: Hardware,
    choice: ProfileChoice,
    guided: tuple[int, float],
    files: FolderFiles,
) -> Plan:
    profile = choice.profile
    tuned = profile.compile or profile.attention != "auto" or profile.quantize != "none"
    guidance = guidance_schedule(*guided, profile.guidance_from, profile.guidance_until)
    guides, heads = max(guidance) > 1, files.heads
    return Plan(
        **common,
        profile=profile.name,
        session=session_key(request, spec, hardware, profile),
        guidance=guidance,
        cache=planned_cache(profile, common["timesteps"], guidance, files.fit),
        division=None if heads is None else plan_division(request.gpus, heads, guides),
        memory_estimate=choice.estimate,
        determinism="tolerance" if tuned else "exact",
    )


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

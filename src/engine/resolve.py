"""Request, spec and hardware become a plan. Pure: same arguments, same plan; nothing is loaded, nothing read."""

import secrets

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.plan import Plan, SessionKey
from src.core.prompts import Template, find_template
from src.core.request import Request
from src.pipelines.schedulers import timesteps

WHOLE_MODEL_HEADROOM = 12e9  # bytes of activations at 49x720x480 in 16 bit beside the weights


def resolve(
    request: Request,
    spec: ModelSpec,
    hardware: Hardware,
    templates: dict[str, Template],
    weights: dict[str, str],
    image_sha256: str,
    seed: int,
) -> Plan:
    """Decide everything the request leaves open. Raises BadInputError when it asks for what cannot be."""
    prompt, negative, template_guidance = wording(request, templates)
    num_frames = request.num_frames or spec.defaults.num_frames
    spec.check_frames(num_frames)
    steps, guidance = steps_and_guidance(request, spec, template_guidance)
    return Plan(
        mode=request.mode,
        profile="stock" if request.mode == "baseline" else "exact",
        session=session_key(request, spec, hardware),
        weights=weights,
        image_sha256=image_sha256,
        fit=request.fit,
        prompt=prompt,
        negative_prompt=negative,
        max_sequence_length=spec.max_sequence_length,
        scheduler=scheduler(request, spec),
        timesteps=timesteps(steps, *spacing(request, spec)),
        guidance=(guidance,) * steps,
        num_frames=num_frames,
        fps=request.fps,
        native=spec.native,
        delivered=spec.deliver(request.width, request.height),
        upscaler="lanczos",
        seed=seed,
        score=request.score,
    )


def check(request: Request, spec: ModelSpec, templates: dict[str, Template]) -> None:
    """Raise what `resolve` would raise for this model on any hardware; needs neither torch nor weights."""
    wording(request, templates)
    spec.check_frames(request.num_frames or spec.defaults.num_frames)
    spec.deliver(request.width, request.height)
    scheduler(request, spec)


def wording(request: Request, templates: dict[str, Template]) -> tuple[str, str, float | None]:
    """Prompt, negative prompt and the template's guidance scale; exactly one of prompt and template is needed."""
    if request.prompt and request.template:
        raise BadInputError("give --prompt or --template, not both")
    if request.template:
        template = find_template(request.template, templates)
        negative = template.negative_prompt if request.negative_prompt is None else request.negative_prompt
        return template.render(request.set), negative, template.guidance_scale
    if request.set:
        raise BadInputError("--set fills a template's slots; give --template NAME with it")
    if not request.prompt:
        raise BadInputError(f"give --prompt TEXT or --template NAME; templates: {', '.join(sorted(templates))}")
    return request.prompt.strip(), request.negative_prompt or "", None


def steps_and_guidance(request: Request, spec: ModelSpec, template: float | None) -> tuple[int, float]:
    """The request's own values, then the template's, then the model's defaults for this mode."""
    defaults = spec.defaults
    baseline = request.mode == "baseline"
    usual_steps = defaults.baseline_num_inference_steps if baseline else defaults.num_inference_steps
    usual_scale = defaults.baseline_guidance_scale if baseline else defaults.guidance_scale
    steps = request.num_inference_steps or usual_steps
    if request.guidance_scale is not None:
        return steps, request.guidance_scale
    return steps, template if template is not None and spec.template_guidance else usual_scale


def scheduler(request: Request, spec: ModelSpec) -> str:
    """The baseline keeps the checkpoint's own scheduler, which is what "stock" means."""
    if request.mode == "baseline":
        if request.scheduler:
            raise BadInputError("--scheduler does not apply to --mode baseline, which keeps the checkpoint's own")
        return "checkpoint"
    return request.scheduler or spec.defaults.scheduler


def spacing(request: Request, spec: ModelSpec) -> tuple[str, int, int]:
    """Spacing, training timesteps and offset: the checkpoint's own for the baseline, else trailing."""
    if request.mode == "baseline":
        return spec.schedule.spacing, spec.schedule.train_timesteps, spec.schedule.offset
    return "trailing", spec.schedule.train_timesteps, 0


def session_key(request: Request, spec: ModelSpec, hardware: Hardware) -> SessionKey:
    """What must be loaded: dtype by device, offload by free memory, VAE form by mode."""
    return SessionKey(
        model=spec.id,
        source=spec.source,
        device=hardware.device,
        dtype=dtype(request, hardware),
        offload=offload(request, spec, hardware),
        vae="stock" if request.mode == "baseline" else "fast",
    )


def dtype(request: Request, hardware: Hardware) -> str:
    """float32 on a CPU; on a GPU bfloat16 where it is native, else float16."""
    if request.dtype != "auto":
        if request.dtype == "float16" and hardware.device == "cpu":
            raise BadInputError("--dtype float16 is not computed on a CPU; use float32 or bfloat16")
        return request.dtype
    if hardware.device == "cpu":
        return "float32"
    return "bfloat16" if hardware.bf16 else "float16"


def offload(request: Request, spec: ModelSpec, hardware: Hardware) -> str:
    """Whole on the GPU where weights and activations fit; else each model only while it runs."""
    if hardware.device == "cpu":
        if request.offload == "model":
            raise BadInputError("--offload model moves models between CPU and GPU; there is no GPU here")
        return "none"
    if request.offload != "auto":
        return request.offload
    return "none" if spec.memory_bytes + WHOLE_MODEL_HEADROOM <= hardware.free_memory else "model"


def draw_seed(request: Request) -> int:
    """The request's seed, or a fresh one that is short enough to read aloud."""
    if request.seed is not None:
        return request.seed
    return secrets.randbelow(2**31)

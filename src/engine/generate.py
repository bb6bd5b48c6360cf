"""From a request to a clip: what every door calls."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from src.artifacts.local import LocalStore
from src.catalog.spec import ModelSpec
from src.catalog.upscalers import WeightFile
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.paths import home
from src.core.plan import Plan
from src.core.progress import CancelToken, Listener, ignore
from src.core.prompts import Template, load_templates
from src.core.request import Request
from src.core.result import Result
from src.engine.distilled import as_distilled, distilled_note
from src.engine.kernels import with_kernels
from src.engine.naming import output_path
from src.engine.planner import choices
from src.engine.resolve import decided, draw_seed, resolve
from src.media.images import Photograph, read_photograph
from src.media.press_metadata import check_rights
from src.pipelines.adapter_files import AdapterFile, read_adapter
from src.pipelines.folder_files import read_folder_files
from src.pipelines.locate import find_weights, how_to_fetch, locate, weight_hashes
from src.pipelines.models import find_model, with_its_schedule
from src.upscaling.files import file_hashes, upscaler_files

if TYPE_CHECKING:
    from src.engine.extending import Before
    from src.engine.session import Session
    from src.engine.sessions import Sessions

LARGE = "cogvideox-5b-i2v"


@dataclass(frozen=True)
class Prepared:
    """A request that passed every check which needs neither torch nor weights in memory.

    choice: the sentence that says which model runs and why. before: the clip that is gone on with.
    upscalers: the weight files that delivery and upscaling need.
    mark_key: id of the watermark's key, where a manifest names one; "" for that of new marks.
    """

    request: Request
    spec: ModelSpec
    choice: str
    photograph: Photograph
    templates: dict[str, Template]
    folder: Path
    seed: int
    final: Path
    adapters: tuple[AdapterFile, ...] = ()
    before: "Before | None" = None
    mark_key: str = ""
    upscalers: tuple[WeightFile, ...] = ()


def prepare(request: Request, read: Callable[[Path], Photograph] = read_photograph) -> Prepared:
    """Check a request and find everything it names, fast: nothing heavy is imported for a bad one.

    read: how the photograph is decoded, where it is a stranger's.
    """
    before = _clip_before(request)
    photograph = before.photograph() if before else read(request.input_image)
    check_rights(photograph.press, request.rights_reason)
    templates = load_templates()
    spec, choice = choose_model(request)
    settled = decided(request, spec, templates)
    if before:
        before.check_join(settled.way, settled.common["fps"])
    upscalers = tuple(upscaler_files(settled.way))
    seed = draw_seed(request)
    final = output_path(request, settled.common["prompt"], seed)
    folder = locate(spec)
    spec = with_its_schedule(spec, folder)
    adapters = tuple(read_adapter(item, folder) for item in request.lora)
    references = [adapter.reference for adapter in adapters]
    decided(as_distilled(request, spec, references), spec, templates)
    choice += distilled_note(references)
    return Prepared(
        request, spec, choice, photograph, templates, folder, seed, final, adapters, before,
        upscalers=upscalers,
    )  # fmt: skip


def _clip_before(request: Request) -> "Before | None":
    if not request.extend:
        return None
    from src.engine.extending import read_before

    return read_before(request.input_image)


def plans_for(prepared: Prepared, hardware: Hardware) -> tuple[Plan, ...]:
    """Resolve a prepared request for this machine:
    the plan, then the more frugal ones to step to.
    """
    spec = sized(prepared, hardware).spec
    upscalers, weights = file_hashes(prepared.upscalers), weight_hashes(prepared.folder)
    request = prepared.request
    files = read_folder_files(
        spec, prepared.folder, request.cache_name, request.draft, request.gpus
    )
    plans = resolve(
        request,
        spec,
        hardware,
        prepared.templates,
        weights,
        prepared.photograph.sha256,
        prepared.seed,
        adapters=tuple(adapter.reference for adapter in prepared.adapters),
        upscaler_weights=upscalers,
        files=files,
        extends=prepared.before.sha256 if prepared.before else "",
    )
    return with_kernels(plans, spec, prepared.folder, hardware)


def sized(prepared: Prepared, hardware: Hardware) -> Prepared:
    """With the memory that the planner reckons with: of a folder on a GPU, counted from its own
    configuration files.
    """
    if hardware.device == "cpu" or prepared.spec.memory.known:
        return prepared
    from src.pipelines.footprint import counted_folder

    return replace(prepared, spec=counted_folder(prepared.spec, prepared.folder))


def choose_model(request: Request, hardware: Hardware | None = None) -> tuple[ModelSpec, str]:
    """The model asked for; "auto" is the 5B where its weights and a card that it fits are here,
    else the embedded one.

    hardware: of the machine that will run it; None looks at this one. The whole card counts, not
    what is free of it: this process may hold the model already, and two clips of one batch are of
    one model.
    """
    if request.model != "auto":
        spec = find_model(request.model)
        return spec, f"model {spec.id}: {spec.description}"
    large, nano = find_model(LARGE), find_model("nano")
    if find_weights(large) is None:
        return nano, f"model nano, the embedded one: {how_to_fetch(large)}"
    if hardware is None:
        from src.engine.probe import probe

        hardware = probe(request.device)
    if hardware.device != "cuda":
        return nano, f"model nano, the embedded one: {LARGE} needs a CUDA device, which is not here"
    try:
        choices(request, large, hardware.unoccupied)
    except BadInputError as error:
        return nano, f"model nano, the embedded one: {error}"
    return large, f"model {LARGE} on {hardware.name}; the embedded one with --model nano"


def plain_model(model: str = "auto", device: str = "auto") -> ModelSpec:
    """The model of a request that says nothing else, on this machine."""
    return choose_model(Request(input_image=Path("any"), model=model, device=device))[0]


def generate(
    prepared: Prepared,
    plans: tuple[Plan, ...],
    hardware: Hardware,
    listener: Listener = ignore,
    cancel: CancelToken | None = None,
    sessions: "Sessions | None" = None,
    show: Callable[[bytes], None] | None = None,
    keep: Path | None = None,
) -> Result:
    """Make the clip. sessions: pass the same object again to keep the pipeline warm between calls.

    show: gets pictures of the clip (JPEG) while it is made. keep: the folder in whose `photographs`
    the photograph is kept; None: the home.
    """
    from src.engine.fallback import step_down
    from src.engine.publisher import Publisher, Render
    from src.engine.sessions import Sessions

    store = LocalStore(keep or home())
    publisher = Publisher(store, hardware, listener, cancel or CancelToken(), show)
    job = Render(
        prepared.request, plans[0], prepared.photograph, prepared.final, before=prepared.before,
        mark_key=prepared.mark_key,
    )  # fmt: skip
    warm = sessions or Sessions()
    stack = ExitStack()
    if sessions is None:
        stack.callback(warm.dismiss)

    def run(plan: Plan, session: "Session", left: tuple[str, ...]) -> Result:
        return publisher.run(replace(job, plan=plan, fallbacks=left), session)

    with stack:
        return step_down(plans, warm.opener(prepared.folder, prepared.adapters), run, warm.broken)

"""Replay: run the plan of a manifest again and compare the hash of the frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src.artifacts.local import LocalStore
from src.catalog.models import MODELS
from src.catalog.spec import ModelSpec
from src.core.devices import threads_on
from src.core.errors import BadInputError, MissingFileError, MissingWeightsError
from src.core.files import sha256_of
from src.core.hardware import Hardware
from src.core.paths import examples, home
from src.core.prompts import load_templates
from src.core.request import Request
from src.core.result import Result
from src.engine.drafts import planned_preview
from src.engine.finishing import check_names
from src.engine.generate import Prepared
from src.engine.machine import machine_lacks, package_lacks
from src.engine.manifest import Manifest, read_manifest, versions
from src.engine.naming import output_path
from src.media.images import Photograph, read_photograph
from src.pipelines.adapter_files import read_adapter
from src.pipelines.attention_kernels import OPTIONAL
from src.pipelines.locate import locate, weight_hashes
from src.pipelines.models import find_model
from src.upscaling.files import file_hashes, plan_files
from src.watermark.keys import marking_key

if TYPE_CHECKING:
    from src.engine.extending import Before


@dataclass(frozen=True)
class Replay:
    """A manifest whose photograph and weights were found again."""

    manifest: Manifest
    prepared: Prepared


def prepare_replay(
    path: Path,
    model: str | None = None,
    target: Path | None = None,
    lora: Sequence[str] = (),
    overwrite: bool = False,
) -> Replay:
    """Find what the manifest's plan needs. model, lora: where a local model folder and adapters lie
    now. target, overwrite: as in a request.

    Raises MissingFileError when the photograph is gone, BadInputError when the weights are others.
    """
    manifest = read_manifest(path)
    plan = manifest.plan
    if plan.digest() != manifest.plan_sha256:
        raise BadInputError(
            f"{path} was changed: its plan is not the one that plan_sha256 names; use the original"
        )
    check_names(plan.filters, plan.finishers)
    spec, folder = recorded_model(manifest, model)
    if plan.draft:
        planned_preview(plan.draft, folder)
    enlarging = plan_files(plan)
    places = ", ".join(sorted({str(file.path.parent) for file in enlarging}))
    _check_weights(plan.upscaler_weights, file_hashes(enlarging), places)
    photograph, before = find_photograph(manifest), find_before(manifest, path.parent)
    request = Request(input_image=Path(manifest.photograph), prompt=plan.prompt or None,
                      output_path=target, overwrite=overwrite,
                      draft=plan.draft is not None)  # fmt: skip
    final = output_path(request, plan.prompt, plan.seed)
    choice = f"replay of {manifest.clip.file}, made {manifest.created} by {manifest.newsreel}"
    adapters = tuple(
        read_adapter(item, folder) for item in lora or manifest.request.get("lora", ())
    )
    prepared = Prepared(
        request, spec, choice, photograph, load_templates(), folder, plan.seed, final, adapters,
        before, _mark_key(manifest),
    )  # fmt: skip
    return Replay(manifest, prepared)


def _mark_key(manifest: Manifest) -> str:
    """The id of the key of its watermark, "" where it has none. Raises BadInputError where that key
    is not here.
    """
    return marking_key(manifest.watermark.key).id if manifest.watermark else ""


def recorded_model(manifest: Manifest, given: str | None) -> tuple[ModelSpec, Path]:
    """The model of a manifest's plan, and its folder. given: where it lies now, for one that only
    the person knows. Raises BadInputError where its weights are others.
    """
    spec = _find_model(given, manifest.plan.session.model)
    folder = locate(spec)
    found = weight_hashes(folder)
    _check_weights(manifest.plan.weights, found, folder)
    return spec, folder


def _find_model(given: str | None, recorded: str) -> ModelSpec:
    """The model given, else the one that the manifest names, which may be a folder that only the
    person knows.
    """
    if given is None and recorded not in MODELS:
        raise BadInputError(
            f"this clip was made with the model folder {recorded!r}; give --model PATH of it"
        )
    return find_model(given or recorded)


def find_photograph(manifest: Manifest) -> Photograph:
    """The photograph kept under its hash."""
    return kept_photograph(manifest)[0]


def kept_photograph(manifest: Manifest) -> tuple[Photograph, Path]:
    """The same, and where it lies. Raises MissingFileError, or BadInputError where the file was
    changed.
    """
    digest = manifest.plan.image_sha256
    path = LocalStore(home()).find_photograph(digest)
    if path is None:
        raise MissingFileError(
            f"photograph {digest[:12]} is not in {home() / 'photographs'}; put the file there"
        )
    photograph = read_photograph(path)
    if photograph.sha256 != digest:
        raise BadInputError(
            f"{path} was changed: its hash is {photograph.sha256[:12]}, not {digest[:12]}"
        )
    return photograph, path


def find_before(manifest: Manifest, beside: Path) -> "Before | None":
    """The clip that was gone on with, where its request says, or under the same name beside the
    manifest or among the clips. beside: the manifest's folder.
    """
    if not manifest.plan.extends:
        return None
    from src.engine.extending import read_before

    asked = Path(str(manifest.request.get("input_image")))
    for path in (asked, beside / asked.name, home() / asked, examples() / asked.name):
        if path.is_file() and sha256_of(path) == manifest.plan.extends:
            return read_before(path)
    raise MissingFileError(
        f"the clip that was gone on with, {asked.name} ({manifest.plan.extends[:12]}), is not in "
        f"{beside} or {examples()}; put the file there"
    )


def check_hardware(manifest: Manifest, hardware: Hardware) -> None:
    """Raise BadInputError when the plan's device is not the one here, MissingWeightsError for the
    package of its attention kernel.
    """
    wanted = manifest.plan.session.device
    if wanted != hardware.device:
        raise BadInputError(
            f"this clip was made on {wanted}, and this machine runs on {hardware.device}"
        )
    gpus = manifest.plan.session.gpus
    if wanted == "cuda" and gpus > hardware.count:
        raise BadInputError(
            f"this clip was made on {gpus} GPUs, and this machine has {hardware.count}; replay it "
            "where there are as many, or make it anew"
        )
    _check_kernel(manifest.plan.session.attention, hardware)


def _check_kernel(name: str, hardware: Hardware) -> None:
    """The plan's attention kernel may be an extra, and --replay takes no other."""
    if name not in OPTIONAL:
        return
    made = f"this clip was made with --attention {name}, which"
    if machine_lacks(name, hardware):
        raise BadInputError(
            f"{made} runs on NVIDIA cards of CUDA capability {OPTIONAL[name].in_words}; replay it "
            f"on a machine that has one, not on {hardware.name}"
        )
    if lacks := package_lacks(name, hardware):
        raise MissingWeightsError(f"{made} {lacks}")


def differences(manifest: Manifest, result: Result, hardware: Hardware) -> str:
    """What may explain that the frames differ; "" when they are the same."""
    if (result.frame_sha256, result.encoded_sha256) == (
        manifest.frame_sha256,
        manifest.encoded_sha256,
    ):
        return ""
    now, then = versions(manifest.plan.session.attention), manifest.versions
    changed = [
        f"{name} {old} -> {now.get(name)}" for name, old in then.items() if now.get(name) != old
    ]
    if hardware.name != manifest.hardware:
        changed.append(f"{manifest.hardware} -> {hardware.name}")
    if manifest.threads and manifest.threads != (threads := threads_on(hardware.device)):
        changed.append(f"CPU threads {manifest.threads} -> {threads} (OMP_NUM_THREADS sets them)")
    reason = f"since then: {', '.join(changed)}" if changed else "machine and versions are the same"
    return (
        f"the frames differ: {result.frame_sha256[:12]}, recorded {manifest.frame_sha256[:12]}; "
        f"{reason}"
    )


def _check_weights(recorded: dict[str, str], found: dict[str, str], folder: Path | str) -> None:
    changed = sorted(name for name in recorded if found.get(name) != recorded[name])
    if changed:
        raise BadInputError(
            f"{folder} holds other weights than the manifest names: {', '.join(changed)}"
        )

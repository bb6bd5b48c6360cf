"""python -m src.evaluation.embedded: measure the embedded model on photographs that training never
saw.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.console.options import JSON, QUIET, make_app, switch, value
from src.console.output import command, print_json
from src.core.errors import BadInputError, MissingFileError
from src.core.paths import CHECKPOINTS, REPOSITORY
from src.core.wording import counted

if TYPE_CHECKING:
    import numpy as np

IMAGES = {".png", ".jpg", ".jpeg", ".webp"}
OPTIONS: dict[str, Any] = {
    "model": value(Path, "The pipeline's folder. Default checkpoints/nano."),
    "photographs": value(
        Path, "A folder of photographs to measure on besides the four held-out ones."
    ),
    "num_inference_steps": value(int, "Default: the model's, configs/models/nano.yaml."),
    "guidance_scale": value(float, "Default: the model's."),
    "num_frames": value(int, "Default: the model's."),
    "dtype": value(str, "float32 (the default), or bfloat16 where the processor is fast at it."),
    "docs": value(Path, "The page that gets the figures. Default docs/embedded-model.md."),
    "no_score": switch("Leave the temporal score out.", "--no-score"),
    "quick": switch("Speed words on one move a photograph instead of three.", "--quick"),
    "json": JSON,
    "quiet": QUIET,
}


def embedded_evaluation_app() -> Any:
    """Writes the figures into the page, and a contact sheet beside it."""
    text = (
        "Measure the embedded model on unseen photographs; write docs/embedded-model.md and its "
        "contact sheet."
    )
    return make_app(OPTIONS, text, _main)


def _main(values: dict[str, Any]) -> None:
    with command(values["json"], values["quiet"]):
        values |= settings_of(values)
        photographs = read_photographs(values["photographs"])
        figures = _evaluate(values, photographs)
        if values["json"]:
            print_json(figures.to_dict())


def settings_of(values: dict[str, Any]) -> dict[str, Any]:
    """Steps, guidance, frames and dtype: as given, else the model's. Raises BadInputError on what
    cannot be made.
    """
    from src.core.config import validate
    from src.core.request import Request
    from src.engine.schedule import steps_and_guidance
    from src.pipelines.models import find_model

    spec, names = (
        find_model("nano"),
        ("num_inference_steps", "guidance_scale", "num_frames", "dtype"),
    )
    given = {name: values[name] for name in names if values[name] is not None}
    request = validate(
        {"dtype": "float32"} | given | {"input_image": "any", "mode": "baseline"}, Request, "flags"
    )
    if request.dtype not in ("float32", "bfloat16"):
        raise BadInputError(f"--dtype {request.dtype}: it is float32 or bfloat16 here")
    frames = request.num_frames or spec.defaults.num_frames
    spec.check_frames(frames)
    return dict(
        zip(names, (*steps_and_guidance(request, spec, None), frames, request.dtype), strict=True)
    )


def read_photographs(folder: Path | None) -> "list[tuple[str, np.ndarray]]":
    """Names and pixels (H, W, 3) uint8 of the held-out photographs, then of a folder's."""
    from src.media.images import read_photograph as read_file
    from src.scenes.photographs import HELD_OUT, load_training_photograph

    held_out = [
        (photograph.name, load_training_photograph(photograph.name)) for photograph in HELD_OUT
    ]
    if folder is None:
        return held_out
    files = sorted(path for path in Path(folder).glob("[!.]*") if path.suffix.lower() in IMAGES)
    if not files:
        raise MissingFileError(f"{folder} holds no photographs ({', '.join(sorted(IMAGES))})")
    return held_out + [(path.stem, read_file(path).pixels) for path in files]


def _evaluate(values: dict[str, Any], photographs: "list[tuple[str, np.ndarray]]") -> Any:
    from loguru import logger

    from src.evaluation.embedded_figures import WORDINGS, evaluate
    from src.evaluation.embedded_report import BLOCK, markdown, write_contact_sheet
    from src.evaluation.pages import around_block, write_block

    page = values["docs"] or REPOSITORY / "docs" / "embedded-model.md"
    around_block(page, BLOCK)
    pipeline, sampler, settings = _sampler(values)
    scored, quick = not values["no_score"], bool(values["quick"])
    figures, shown = evaluate(pipeline.vae, sampler, photographs, scored, quick, logger.info)
    names = ", ".join(name for name, _ in photographs)
    block = markdown(figures, f"{settings} Photographs: {names}.")
    write_contact_sheet(shown, WORDINGS, page.parent / "images" / f"{page.stem}.jpg")
    write_block(page, BLOCK, block)
    return figures


def _sampler(values: dict[str, Any]) -> tuple[Any, Any, str]:
    import torch

    from src.evaluation.embedded_figures import Sampler
    from src.pipelines.families import family_of
    from src.pipelines.loading import read_pipeline
    from src.pipelines.models import spec_of_folder
    from src.recipes.embedded.sheets import sample_clips

    folder = values["model"] or CHECKPOINTS / "nano"
    pipeline, spec = read_pipeline(folder, torch.float32), spec_of_folder(folder)
    family_of(spec).loop.speed_up_vae(pipeline.vae)
    steps, scale, frames = (
        values[name] for name in ("num_inference_steps", "guidance_scale", "num_frames")
    )
    bf16 = values["dtype"] == "bfloat16"

    def make(photograph: "np.ndarray", prompt: str, seed: int, guidance: float) -> "np.ndarray":
        return sample_clips(pipeline, photograph, prompt, frames, seed, steps, guidance, bf16)

    width, height = spec.native.width, spec.native.height
    settings = (
        f"{frames} frames at {width}x{height}, {counted(steps, 'DPM step')}, guidance {scale:g}."
    )
    return pipeline, Sampler(make, width, height, scale), settings


if __name__ == "__main__":
    embedded_evaluation_app()(prog_name="python -m src.evaluation.embedded")

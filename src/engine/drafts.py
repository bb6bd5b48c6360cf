"""A draft: the clip in few steps, its frames made small by the preview decoder.

It has the seed of the full clip, and so its noise: what it shows is how the full clip moves
(`full.py`).
"""

from pathlib import Path

from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError
from src.core.plan import Draft
from src.core.request import Request
from src.pipelines.preview_files import PreviewFile, how_to_train, read_preview
from src.upscaling.files import LANCZOS


def drafted(spec: ModelSpec, draft: bool) -> ModelSpec:
    """The model with a draft's steps and size, where a draft is asked for."""
    if not draft:
        return spec
    usual = spec.defaults
    steps = min(usual.draft_num_inference_steps, usual.num_inference_steps)
    fewer = usual.model_copy(update={"num_inference_steps": steps})
    return spec.model_copy(update={"defaults": fewer, "delivered": spec.draft, "delivery": LANCZOS})


def check_draft(request: Request) -> None:
    """Raise BadInputError for what a draft cannot have."""
    if not request.draft:
        return
    if request.extend:
        raise BadInputError(
            "--draft does not go with --extend: its frames are smaller than the clip's; draft the "
            "new part from a photograph, or leave --draft out"
        )
    if request.delivery not in ("auto", LANCZOS):
        raise BadInputError(
            f"--delivery {request.delivery} does not go with --draft, whose small frames are only "
            "resampled; --upscale enlarges them"
        )


def draft_of(request: Request, spec: ModelSpec, preview: PreviewFile | None) -> Draft | None:
    """What the plan says of it, None for a full clip. Raises BadInputError for a draft without its
    decoder.
    """
    if not request.draft:
        return None
    if preview is None:
        raise BadInputError(f"a draft needs a preview decoder; {how_to_train(spec.id)}")
    return Draft(preview=preview.sha256, frames=spec.draft)


def planned_preview(draft: Draft, folder: Path) -> PreviewFile:
    """The decoder of a plan. Raises BadInputError where another one lies beside the model."""
    found = read_preview(folder)
    if found.sha256 != draft.preview:
        raise BadInputError(
            f"{found.path} is not the preview decoder of this plan ({draft.preview[:12]}); put "
            "that file there, or make the draft anew"
        )
    return found

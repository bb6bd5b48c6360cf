"""python -m src.evaluation.preview: a preview decoder beside its VAE, in one run.

Clips that nothing was trained on are encoded by the model's VAE and decoded by both: pans over
held-out photographs, and scenes of another seed. Frames of the VAE are compared at the draft's
size.
"""

from pathlib import Path
from typing import Any

from src.console.options import JSON, QUIET, VOCABULARY, make_app, value
from src.console.output import command, print_json
from src.core.errors import BadInputError

BLOCK = "preview decoder"
HEADER = (
    "Scene", "VAE to the scene, dB", "Preview to the scene, dB", "Preview to the VAE, dB",
    "SSIM of the two", "VAE, s", "Preview, s",
)  # fmt: skip
OPTIONS: dict[str, Any] = {
    "model": VOCABULARY["model"],
    "scenes": value(int, "Scenes of another seed, besides the photographs [4]."),
    "num_frames": VOCABULARY["num_frames"],
    "docs": value(Path, "A page with a block `preview decoder`, which gets the table."),
    "json": JSON,
    "quiet": QUIET,
}


def preview_app() -> Any:
    """Measures, and writes the table."""
    return make_app(OPTIONS, "Measure a model's preview decoder beside its VAE.", _main)


def _main(values: dict[str, Any]) -> None:
    with command(values["json"], values["quiet"]):
        from src.engine.generate import plain_model
        from src.evaluation.pages import around_block, write_block
        from src.evaluation.preview_rows import measured
        from src.pipelines.locate import locate

        scenes = 4 if values["scenes"] is None else values["scenes"]
        if scenes < 0:
            raise BadInputError(f"--scenes is {scenes}; it must be 0 or more")
        if values["docs"]:
            around_block(values["docs"], BLOCK)
        spec = plain_model(values["model"] or "auto")
        frames = values["num_frames"] or spec.defaults.num_frames
        spec.check_frames(frames)
        rows, about = measured(spec, locate(spec), scenes, frames)
        table = _table(rows, about)
        if values["docs"]:
            write_block(values["docs"], BLOCK, table)
        if values["json"]:
            print_json({"rows": [row.to_dict() for row in rows]})
        else:
            print(table)


def _table(rows: list[Any], about: str) -> str:
    from src.evaluation.pages import markdown_table

    mean = ("mean", *(sum(column) / len(rows) for column in zip(*(row.figures for row in rows),
                                                                strict=True)))  # fmt: skip
    cells = [*((row.scene, *row.figures) for row in rows), mean]
    return f"{about}\n\n{markdown_table(HEADER, cells)}"


if __name__ == "__main__":
    preview_app()(prog_name="python -m src.evaluation.preview")

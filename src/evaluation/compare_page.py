"""The page of a comparison: a table of the models, then the clips of each prompt side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from src.core.durable import write_whole
from src.core.prompts import load_templates
from src.evaluation.compare_file import Comparison, Prompt
from src.evaluation.compare_rows import Row


def comparison_page(comparison: Comparison, rows: Sequence[Row], folder: Path) -> str:
    """The HTML; clips and photographs are named relative to it, and lie in `folder`."""
    from jinja2 import Environment

    template = (Path(__file__).parent / "compare.html").read_text(encoding="utf-8")
    shown = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return shown.from_string(template).render(
        models=[_model(name, rows) for name in dict.fromkeys(row.model for row in rows)],
        sections=[
            {
                "photograph": Path(photograph).name,
                "prompt": prompt,
                "words": _words(prompt),
                "rows": [row for row in rows if _belongs(row, photograph, prompt)],
            }
            for photograph in comparison.photographs
            for prompt in comparison.prompts
        ],
        pictures=_pictures(comparison, folder),
        devices=sorted({row.device for row in rows if row.device}),
    )


def _belongs(row: Row, photograph: str, prompt: Prompt) -> bool:
    return (row.photograph, row.prompt) == (Path(photograph).name, prompt.name)


def _words(prompt: Prompt) -> str:
    return prompt.prompt or load_templates()[str(prompt.template)].render({})


def _model(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """One line of the table: means over the clips that were made, and why others were not."""
    own = [row for row in rows if row.model == name]
    made = [row for row in own if row.clip]
    judged = [row.obeyed for row in made if row.obeyed is not None]
    names = ("seconds", "temporal_score", "first_frame", "motion", "bytes")
    return {
        "name": name,
        "licence": next((row.licence for row in own if row.licence), ""),
        "made": made,
        "count": len(own),
        "reasons": list(dict.fromkeys(row.reason for row in own if row.reason)),
        "mean": {key: fmean(getattr(row, key) for row in made) for key in names} if made else {},
        "peak": max((row.peak_memory for row in made), default=0),
        "obeyed": sum(judged),
        "judged": len(judged),
    }


def _pictures(comparison: Comparison, folder: Path) -> dict[str, str]:
    """Small copies of the photographs beside the page."""
    from PIL import Image

    from src.core.paths import REPOSITORY
    from src.media.images import read_photograph

    found = {}
    for number, photograph in enumerate(comparison.photographs, start=1):
        path = Path(photograph)
        source = path if path.is_absolute() else REPOSITORY / path
        picture = Image.fromarray(read_photograph(source).pixels)
        picture.thumbnail((480, 480))
        name = f"photograph-{number}.jpg"
        write_whole(folder / name, _jpeg(picture))
        found[path.name] = name
    return found


def _jpeg(picture: Any) -> bytes:
    from io import BytesIO

    data = BytesIO()
    picture.save(data, "JPEG", quality=88)
    return data.getvalue()

"""The figures of the embedded model as a table with its bars, put into docs/embedded-model.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from src.evaluation.embedded_delivery import TO_DELIVERED, WAYS
from src.evaluation.embedded_figures import PANS, EmbeddedFigures
from src.recipes.embedded.sheets import strip, under_prompt

BLOCK = "figures"
"""The page's block that is written."""


Row = tuple[str, str, str, bool]


def figure_rows(figures: EmbeddedFigures) -> list[Row]:
    """Rows of what was measured: figure, bar, value, and whether the bar is reached."""
    rows = [
        *_reconstruction_rows(figures),
        *_clip_rows(figures),
        *_content_rows(figures),
        *_score_rows(figures),
    ]
    return [(name, bar, value, bool(reached)) for name, bar, value, reached in rows]


def _reconstruction_rows(figures: EmbeddedFigures) -> list[Row]:
    kept, rows = figures.reconstruction.values(), []
    for pan, bar in (("at rest", 31.0), ("medium", 30.5), ("fast", 30.0)):
        value = np.mean([each[pan].psnr for each in kept])
        rows.append((f"VAE, {pan}, PSNR, mean", f">= {bar:g} dB", f"{value:.1f} dB", value >= bar))
    scores = [clip.score for each in kept for clip in each.values() if clip.score is not None]
    if scores:
        least = np.min(scores)
        rows.append(
            ("VAE, temporal score of its pans, least", ">= 0.95", f"{least:.2f}", least >= 0.95)
        )
    return rows


def _clip_rows(figures: EmbeddedFigures) -> list[Row]:
    clips, triples = figures.clips, figures.speeds
    first = np.mean([clip.first_frame for clip in clips])
    right = np.mean([clip.asked == clip.measured for clip in clips])
    still = TO_DELIVERED * np.mean(
        [clip.amount.mean_flow for clip in clips if clip.asked == "static"]
    )
    ordered = np.mean([each["slow"] < each["medium"] < each["fast"] for each in triples])
    return [
        (
            "First frame against the photograph, PSNR, mean",
            ">= 29 dB",
            f"{first:.1f} dB",
            first >= 29,
        ),
        ("Measured move is the prompt's", ">= 98 %", f"{100 * right:.0f} %", right >= 0.98),
        ('"static": mean flow at 720x480', "< 0.2 px a frame", f"{still:.2f} px", still < 0.2),
        ("Slow < medium < fast", ">= 85 % of triples", f"{100 * ordered:.0f} %", ordered >= 0.85),
    ]


def _content_rows(figures: EmbeddedFigures) -> list[Row]:
    content, structure = _mean(figures, "content"), _mean(figures, "structure")
    sharp, uneven = _mean(figures, "sharp"), _mean(figures, "uneven")
    return [
        (
            "Last frame against the ideal warp, PSNR, mean",
            ">= 23 dB",
            f"{content:.1f} dB",
            content >= 23,
        ),
        (
            "Last frame against the ideal warp, SSIM, mean",
            ">= 0.7",
            f"{structure:.2f}",
            structure >= 0.7,
        ),
        (
            "Sharpness kept at frame 40, over the ideal warp's",
            ">= 0.75",
            f"{sharp:.2f}",
            sharp >= 0.75,
        ),
        ("Unevenness of motion, mean", "<= 0.15", f"{uneven:.2f}", uneven <= 0.15),
    ]


def _mean(figures: EmbeddedFigures, name: str, asked: str | None = None) -> float:
    """Of a figure over all clips that have it, or over those of one wording."""
    clips = [clip for clip in figures.clips if asked in (None, clip.asked)]
    values = [getattr(clip, name) for clip in clips if getattr(clip, name) is not None]
    return float(np.mean(values)) if values else float("nan")


def _score_rows(figures: EmbeddedFigures) -> list[Row]:
    scores = [
        clip.score for clip in figures.clips if clip.score is not None and clip.asked != "static"
    ]
    if not scores:
        return []
    median, least = np.median(scores), np.min(scores)
    return [
        ("Temporal score, median", ">= 0.85", f"{median:.2f}", median >= 0.85),
        ("Temporal score, least of the smooth moves", ">= 0.6", f"{least:.2f}", least >= 0.6),
    ]


def markdown(figures: EmbeddedFigures, settings: str) -> str:
    """The block of tables that goes into the page."""
    lines = [settings, "", "| Figure | Bar | Measured | Reached |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {bar} | {value} | {_mark(ok)} |"
        for name, bar, value, ok in figure_rows(figures)
    ]
    lines += ["", _moves(figures), "", _reconstruction(figures), "", _delivered(figures), ""]
    lines += [_others(figures)]
    return "\n".join(lines)


def _mark(reached: bool) -> str:
    return "yes" if reached else "**no**"


def _moves(figures: EmbeddedFigures) -> str:
    asked = list(dict.fromkeys(clip.asked for clip in figures.clips))
    heads = (
        "Asked for",
        "Right",
        "Instead",
        "First frame, dB",
        "Content kept, dB",
        "SSIM",
        "Sharp",
        "Uneven",
        "Score",
    )
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name in asked:
        clips = [clip for clip in figures.clips if clip.asked == name]
        wrong = ", ".join(clip.measured for clip in clips if clip.measured != name) or "-"
        right = sum(clip.measured == name for clip in clips)
        cells = [f"{_mean(figures, key, name):.{digits}f}" for key, digits in MOVE_FIGURES]
        lines.append(
            f"| {name} | {right} of {len(clips)} | {wrong} | "
            + " | ".join(cells).replace("nan", "-")
            + " |"
        )
    return "\n".join(lines)


MOVE_FIGURES = (
    ("first_frame", 1),
    ("content", 1),
    ("structure", 2),
    ("sharp", 2),
    ("uneven", 2),
    ("score", 2),
)


def _reconstruction(figures: EmbeddedFigures) -> str:
    heads = "| VAE, PSNR in dB / temporal score | at rest | slow pan | medium pan | fast pan |"
    lines = [heads, "|---|---|---|---|---|"]
    for name, kept in figures.reconstruction.items():
        cells = [f"{kept[pan].psnr:.1f}" + _slashed(kept[pan].score) for pan in PANS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _delivered(figures: EmbeddedFigures) -> str:
    """What the clips look like at the delivered size, by each way of enlarging."""
    lines = ["| Decoded, then enlarged to 720x480 | PSNR, dB | SSIM | Sharp | Flicker, tOF |",
             "|---|---|---|---|---|"]  # fmt: skip
    for way in WAYS:
        each = [kept[way] for kept in figures.delivered.values()]
        cells = [
            f"{np.mean([getattr(one, name) for one in each]):.{digits}f}"
            for name, digits in (("psnr", 2), ("structure", 3), ("sharp", 2), ("flicker", 2))
        ]
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _slashed(score: float | None) -> str:
    return "" if score is None else f" / {score:.2f}"


def _others(figures: EmbeddedFigures) -> str:
    amounts = ", ".join(f"{scale}: {amount:.2f}" for scale, amount in figures.guidance.items())
    lines = ["| Speed words, px a frame at 720x480 | slow | medium | fast |", "|---|---|---|---|"]
    for each in figures.speeds:
        values = " | ".join(f"{each[speed]:.2f}" for speed in ("slow", "medium", "fast"))
        lines.append(f"| {each['photograph']}, {each['move']} | {values} |")
    lines += [
        "",
        f'Guidance scale and the strength of "pan left", in px a frame at 720x480: {amounts}.',
    ]
    lines += [
        f"Two seeds of one prompt differ by {figures.seeds_differ:.1f} grey levels (root mean "
        "square)."
    ]
    return "\n".join(lines)


def write_contact_sheet(shown: dict[str, np.ndarray], prompts: dict[str, str], file: Path) -> Path:
    """Five frames of one clip of each wording, as a picture."""
    rows = [under_prompt(strip(frames), prompts[name]) for name, frames in shown.items()]
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(file, quality=88)
    return file

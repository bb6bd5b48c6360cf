"""The figures of the embedded model as a table with its bars, put into docs/embedded-model.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from src.evaluation.embedded_figures import TO_DELIVERED, Figures
from src.training.sheets import labelled, strip

BLOCK = "figures"
"""The page's block that is written."""


def table(figures: Figures) -> list[tuple[str, str, str, bool]]:
    """Rows of what was measured: figure, bar, value, and whether the bar is reached."""
    clips, triples = figures.clips, figures.speeds
    right = np.mean([clip.asked == clip.measured for clip in clips])
    still = TO_DELIVERED * np.mean([clip.amount.mean_flow for clip in clips if clip.asked == "static"])
    content = [clip.content for clip in clips if clip.content is not None]
    scores = [clip.score for clip in clips if clip.score is not None and clip.asked != "static"]
    ordered = np.mean([each["slow"] < each["medium"] < each["fast"] for each in triples])
    vae, first = np.mean(list(figures.reconstruction.values())), np.mean([clip.first_frame for clip in clips])
    rows = [
        ("VAE reconstruction at rest and in motion, PSNR, mean", ">= 28 dB", f"{vae:.1f} dB", vae >= 28),
        ("First frame against the photograph, PSNR, mean", ">= 25 dB", f"{first:.1f} dB", first >= 25),
        ("Measured move is the prompt's", ">= 90 %", f"{100 * right:.0f} %", right >= 0.9),
        ('"static": mean flow at 720x480', "< 0.3 px a frame", f"{still:.2f} px", still < 0.3),
        ("Slow < medium < fast", ">= 85 % of triples", f"{100 * ordered:.0f} %", ordered >= 0.85),
        ("Last frame against the ideal warp, PSNR, mean", ">= 20 dB", f"{np.mean(content):.1f} dB",
         np.mean(content) >= 20),
    ]  # fmt: skip
    if scores:
        median, least = np.median(scores), np.min(scores)
        rows.append(("Temporal score, median", ">= 0.8", f"{median:.2f}", median >= 0.8))
        rows.append(("Temporal score, least of the smooth moves", ">= 0.6", f"{least:.2f}", least >= 0.6))
    return [(name, bar, value, bool(reached)) for name, bar, value, reached in rows]


def markdown(figures: Figures, settings: str) -> str:
    """The block of tables that goes into the page."""
    lines = [settings, "", "| Figure | Bar | Measured | Reached |", "|---|---|---|---|"]
    lines += [f"| {name} | {bar} | {value} | {_mark(ok)} |" for name, bar, value, ok in table(figures)]
    lines += ["", _moves(figures), "", _reconstruction(figures), "", _others(figures)]
    return "\n".join(lines)


def _mark(reached: bool) -> str:
    return "yes" if reached else "**no**"


def _moves(figures: Figures) -> str:
    asked = list(dict.fromkeys(clip.asked for clip in figures.clips))
    lines = ["| Asked for | Right | Instead | First frame, dB | Content kept, dB |", "|---|---|---|---|---|"]
    for name in asked:
        clips = [clip for clip in figures.clips if clip.asked == name]
        wrong = ", ".join(clip.measured for clip in clips if clip.measured != name) or "-"
        right = sum(clip.measured == name for clip in clips)
        content = [clip.content for clip in clips if clip.content is not None]
        first = np.mean([clip.first_frame for clip in clips])
        lines.append(f"| {name} | {right} of {len(clips)} | {wrong} | {first:.1f} | {np.mean(content):.1f} |")
    return "\n".join(lines)


def _reconstruction(figures: Figures) -> str:
    lines = ["| VAE, PSNR in dB | at rest | slow pan | medium pan | fast pan |", "|---|---|---|---|---|"]
    for name, values in figures.reconstruction.items():
        lines.append(f"| {name} | " + " | ".join(f"{value:.1f}" for value in values) + " |")
    return "\n".join(lines)


def _others(figures: Figures) -> str:
    amounts = ", ".join(f"{scale}: {amount:.2f}" for scale, amount in figures.guidance.items())
    lines = ["| Speed words, px a frame at 720x480 | slow | medium | fast |", "|---|---|---|---|"]
    for each in figures.speeds:
        values = " | ".join(f"{each[speed]:.2f}" for speed in ("slow", "medium", "fast"))
        lines.append(f"| {each['photograph']}, {each['move']} | {values} |")
    lines += ["", f'Guidance scale and the strength of "pan left", in px a frame at 720x480: {amounts}.']
    lines += [f"Two seeds of one prompt differ by {figures.seeds_differ:.1f} grey levels (root mean square)."]
    return "\n".join(lines)


def write_sheet(shown: dict[str, np.ndarray], prompts: dict[str, str], file: Path) -> Path:
    """Five frames of one clip of each wording, as a picture."""
    rows = [labelled(strip(frames), prompts[name]) for name, frames in shown.items()]
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(file, quality=88)
    return file

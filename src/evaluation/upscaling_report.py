"""The page on the super-resolution networks: tables, what may be asked of it measured, and a sheet
to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from src.core.upscale_request import EnhanceSettings
from src.evaluation import upscaling_measures as m
from src.evaluation.upscaling_measures import PRESETS, UpscalingRow
from src.recipes.upscaler.degrade import add_noise, blur, shrink, through_jpeg
from src.scenes.photographs import HELD_OUT, load_training_photograph

NOISE, QUALITY = 4.0, 75
LIGHT = EnhanceSettings(denoise=NOISE / 12, deblock=(100 - QUALITY) / 70)
"""What the light degradation of the sheet is told to the network as."""
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
"""What the command rewrites of the page; the rest is written by hand."""


def write_report(rows: list[UpscalingRow], output: Path) -> Path:
    """Replace the measured part of the page and draw its sheet."""
    sheet = output.parent / "images" / "upscaling.jpg"
    sheet.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(sheet), held_out_sheet()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    parts = [*_tables(rows), settings_table(), f"![Light degradation, 2x](images/{sheet.name})"]
    text = output.read_text(encoding="utf-8") if output.is_file() else f"{BEGIN}\n{END}\n"
    before, rest = text.split(BEGIN)
    output.write_text(
        before + BEGIN + "\n" + "\n\n".join(parts) + "\n" + END + rest.split(END)[1],
        encoding="utf-8",
    )
    return output


def _tables(rows: list[UpscalingRow]) -> list[str]:
    parts = []
    for scale in (2, 4):
        at = [row for row in rows if row.scale == scale]
        parts += [f"### {scale}x: PSNR-Y in dB (SSIM)", quality_table(at)]
        if any(row.tof is not None for row in at):
            parts += [
                f"### {scale}x: change over time",
                flicker_table([row for row in at if row.tof is not None]),
            ]
    return parts


def quality_table(rows: list[UpscalingRow]) -> str:
    """A line an item; then the averages of the gains over bicubic."""
    ways = ("bicubic", *PRESETS)
    lines = ["| | " + " | ".join(ways) + " |", "|---" * (len(ways) + 1) + "|"]
    by = {(row.item, row.way): row for row in rows}
    for item in dict.fromkeys(row.item for row in rows):
        cells = [f"{by[item, way].psnr:.2f} ({by[item, way].ssim:.4f})" for way in ways]
        lines.append(f"| {item} | " + " | ".join(cells) + " |")
    for label, shared in (("held-out photographs", False), ("test media", True)):
        items = [row.item for row in rows if row.way == "bicubic" and row.shared is shared]
        if items:
            gains = [_gain(by, items, preset) for preset in PRESETS]
            lines.append(
                f"| **gain, {label}** | | "
                + " | ".join(f"**{p:+.2f}** ({s:+.4f})" for p, s in gains)
                + " |"
            )
    return "\n".join(lines)


def _gain(
    by: dict[tuple[str, str], UpscalingRow], items: list[str], way: str
) -> tuple[float, float]:
    """Mean gains over bicubic: PSNR-Y in dB, SSIM."""
    pairs = [(by[item, way], by[item, "bicubic"]) for item in items]
    return m.mean(a.psnr - b.psnr for a, b in pairs), m.mean(a.ssim - b.ssim for a, b in pairs)


def flicker_table(rows: list[UpscalingRow]) -> str:
    """tOF, and warping error and sharpness as shares of the true clip's."""
    lines = [
        "| clip | way | tOF | warping error / true | sharpness / true |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.item} | {row.way} | {row.tof:.3f} | {row.warping:.3f} | {row.sharpness:.3f} |"
        )
    for way in dict.fromkeys(row.way for row in rows):
        of = [row for row in rows if row.way == way]
        cells = (
            m.mean(r.tof for r in of),
            m.mean(r.warping for r in of),
            m.mean(r.sharpness for r in of),
        )
        lines.append(
            f"| **mean** | {way} | " + " | ".join(f"**{cell:.3f}**" for cell in cells) + " |"
        )
    return "\n".join(lines)


def settings_table() -> str:
    """Each setting of `fast` at 2x, off and on, on what it is for: two held-out photographs."""
    photos = [_square(name) for name in ("astronaut", "coffee")]
    random = np.random.default_rng(0)
    noisy = [add_noise(shrink(p, 2), 12.0, random) for p in photos]
    blocky = [through_jpeg(shrink(p, 2), 30) for p in photos]
    clean = [shrink(p, 2) for p in photos]
    head = "| setting | source | measure | 0 | 0.5 | 1 |"
    lines = ["### What may be asked, `fast` 2x", head, "|---|---|---|---|---|---|"]
    for name, lows, source, what, figure in (
        ("denoise", noisy, "noise of 12 grey levels", "PSNR-Y, dB", _psnr),
        ("deblock", blocky, "JPEG quality 30", "PSNR-Y, dB", _psnr),
        ("sharpen", clean, "clean", "sharpness / true", _sharp),
        (
            "preserve_details",
            noisy,
            "noise of 12 grey levels",
            "RMS of source less output shrunk",
            _kept,
        ),
    ):
        cells = [
            m.mean(_figures(figure, lows, photos, EnhanceSettings(**{name: share})))
            for share in (0.0, 0.5, 1.0)
        ]
        lines.append(
            f"| {name} | {source} | {what} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |"
        )
    return "\n".join([*lines[:1], "", *lines[1:]])


def _figures(
    figure: Callable[..., float], lows: list, photos: list, asked: EnhanceSettings
) -> Iterator[float]:
    for low, photo in zip(lows, photos, strict=True):
        yield figure(m.enlarge_frames(low, "fast", 2, asked), photo, low)


def _square(name: str) -> np.ndarray:
    return load_training_photograph(name)[None, 64:320, 128:384]


def _psnr(made: np.ndarray, truth: np.ndarray, low: np.ndarray) -> float:
    return m.psnr_y(made[0], truth[0], 2)


def _sharp(made: np.ndarray, truth: np.ndarray, low: np.ndarray) -> float:
    return m.clip_sharpness(made) / m.clip_sharpness(truth)


def _kept(made: np.ndarray, truth: np.ndarray, low: np.ndarray) -> float:
    return float(np.sqrt(np.square(shrink(made, 2, "area").astype(float) - low).mean()))


def held_out_sheet() -> np.ndarray:
    """Held-out photographs with a light degradation, enlarged 2x: bicubic, the presets, the truth.
    (H, W, 3) uint8.
    """
    rows = []
    for index, photo in enumerate(HELD_OUT):
        truth = _square(photo.name)
        random = np.random.default_rng(index)
        low = through_jpeg(add_noise(blur(shrink(truth, 2), 0.5), NOISE, random), QUALITY)
        made = [
            m.bicubic_clip(low, 2),
            *(m.enlarge_frames(low, preset, 2, LIGHT) for preset in PRESETS),
            truth,
        ]
        rows.append(np.concatenate([clip[0] for clip in made], axis=1))
    return np.concatenate([_labels(rows[0].shape[1]), *rows])


def _labels(width: int) -> np.ndarray:
    bar = np.full((20, width, 3), 24, np.uint8)
    names = ("bicubic", *PRESETS, "truth")
    for index, name in enumerate(names):
        at = (index * width // len(names) + 4, 14)
        cv2.putText(bar, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230, 230, 230), 1, cv2.LINE_AA)
    return bar

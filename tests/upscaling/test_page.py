"""docs/upscaling.md: which upscaler for what, and that its figures are those that were measured."""

import json
import re

import numpy as np
import pytest

from src.catalog.upscalers import UPSCALERS
from src.core.paths import REPOSITORY

PAGE = (REPOSITORY / "docs" / "upscaling.md").read_text("utf-8")
TABLE = PAGE.partition("## Which one for what")[2].partition("\n## ")[0]
MEASURED = json.loads((REPOSITORY / "docs" / "upscaling-figures.json").read_text("utf-8"))


def test_every_upscaler_has_its_row():
    firsts = " ".join(re.findall(r"^\| ([^|]*) \|", TABLE, re.M))
    assert {name for name in UPSCALERS if f"`{name}`" not in firsts} == set()
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    assert {name for name in UPSCALERS if f"`{name}`" not in readme} == set()


def mean(way, scale, name):
    """Over the test media that have the figure."""
    rows = [row for row in MEASURED if (row["way"], row["scale"]) == (way, scale) and row["shared"]]
    return np.mean([row[name] for row in rows if row[name] is not None])


@pytest.mark.parametrize("way", ["fast", "balanced", "quality"])
def test_its_figures_are_the_measured_ones(way):
    (row,) = re.findall(rf"^\| `newsreel` `{way}`.*$", TABLE, re.M)
    _, _, _, fidelity, flicker, *_ = row.split("|")
    gains = [mean(way, s, "psnr") - mean("bicubic", s, "psnr") for s in (2, 4)]
    assert fidelity.strip() == ", ".join(f"{gain:+.2f}" for gain in gains) + " dB"
    assert flicker.strip() == ", ".join(f"{mean(way, s, 'tof'):.2f}" for s in (2, 4))

"""Whole runs of the engine on a stand-in for a card: every profile that no compiler is needed for,
and every way to move the stock pipeline, from photograph to clip.
"""

import json
import shutil

import pytest

from src.core.request import Request
from src.engine.generate import generate, plans_for, prepare
from src.engine.probe import probe
from tests.card_kit import OnCard
from tests.streams_kit import streams  # noqa: F401

PROFILES = ("fast", "exact", "lean", "plain", "stream", "paged", "last-resort")


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    return tmp_path_factory.mktemp("figures")


@pytest.fixture
def counted_once(figures, home):
    """The first run counts the model's memory, and later ones remember it: two thirds of a run."""
    shutil.copytree(figures, home / "cache")
    yield
    shutil.copytree(home / "cache", figures, dirs_exist_ok=True, ignore=all_but_figures)


def all_but_figures(_, names):
    return [name for name in names if not name.startswith("footprint-")]


@pytest.mark.usefixtures("streams", "counted_once")
@pytest.mark.parametrize(
    "asked",
    [{"profile": name, "compile": False} for name in PROFILES]
    + [{"profile": "plain", "score": True}]
    + [{"mode": "baseline", "offload": name} for name in ("none", "model", "sequential")]
    + [{"profile": "plain", "upscale": f"2x:{preset}"} for preset in ("fast", "balanced")],
    ids=lambda asked: "-".join(map(str, asked.values())),
)
def test_a_clip_is_made_without_another_way(asked, tiny_folder, photograph, tmp_path):
    request = Request(
        input_image=photograph, prompt="pan left", model=str(tiny_folder), seed=1, device="cuda",
        num_inference_steps=3, num_frames=9, output_path=tmp_path / "a.mp4",
        **{"score": False} | asked,
    )  # fmt: skip
    with OnCard():
        prepared, hardware = prepare(request), probe()
        plans = plans_for(prepared, hardware)
        made = generate(prepared, plans, hardware)
    manifest = json.loads(made.manifest.read_text("utf-8"))
    assert plans[0].session.device == "cuda" and manifest["fallbacks"] == []

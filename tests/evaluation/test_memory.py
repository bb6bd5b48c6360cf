"""Counting on the meta device, and the figures that the planner reckons with."""

import argparse
import gc

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from src.catalog.models import MODELS
from src.core.errors import BadInputError
from src.core.paths import REPOSITORY
from src.evaluation import memory
from src.evaluation.pages import around_block
from src.pipelines.families import family_of
from src.pipelines.footprint import streamed
from src.pipelines.live_bytes import LiveBytes, peak_of
from src.pipelines.models import find_model
from tests import other_families as tiny
from tests.hunyuan_family import build_hunyuan
from tests.ltx2_family import build_ltx2


def meta(*shape):
    return torch.empty(shape, device="meta")


def test_the_peak_is_of_what_lives_at_once():
    def stage():
        a = meta(1000)
        b = a + 1
        del a
        gc.collect()
        c = b.view(10, 100).t()  # a view takes nothing
        return c * 2

    assert peak_of(stage, ()) == 2 * 4000


def test_weights_and_views_of_them_are_not_counted():
    layer = nn.Linear(100, 50, device="meta")
    with LiveBytes([layer]) as live, torch.no_grad():
        layer(meta(1, 100))
    assert live.peak == 4 * (100 + 50)


def test_attention_counts_its_output_alone():
    q = meta(1, 8, 4096, 64)
    assert peak_of(lambda: F.scaled_dot_product_attention(q, q, q), ()) == q.nbytes


def test_a_streamed_part_has_two_blocks_on_the_device():
    part = nn.ModuleDict(
        {"blocks": nn.ModuleList([nn.Linear(10, 10) for _ in range(5)]), "head": nn.Linear(10, 1)}
    )
    assert streamed(part, part["blocks"]) == 4 * (2 * 110 + 11)


@pytest.mark.parametrize(
    "name",
    [
        "cogvideox-5b-i2v",
        "svd-xt",
        "ltx-video",
        *(
            pytest.param(name, marks=pytest.mark.soak)
            for name in (
                "nano",
                "cogvideox1.5-5b-i2v",
                "hunyuan-video-i2v",
                "ltx-2",
                *(each for each in MODELS if each.startswith("wan")),
            )
        ),
    ],
)
def test_the_figures_in_the_models_files_are_the_counted_ones(name):
    """Where this fails: python -m src.evaluation.memory --model all --write --page
    docs/benchmarks.md.
    """
    spec = find_model(name)
    counted, written = memory.count_of(spec).model_dump(), spec.memory.model_dump()
    assert counted.pop("measured") == written.pop("measured")
    for figures in ("weights", "streams"):
        assert counted.pop(figures) == pytest.approx(written.pop(figures), rel=0.01)
    assert counted == pytest.approx(written, rel=0.01)


def test_the_table_of_cards_is_the_planners():
    page = REPOSITORY / "docs" / "benchmarks.md"
    before, after = around_block(page, "cards")
    written = page.read_text(encoding="utf-8")[len(before) : -len(after)].strip()
    assert written == memory.cards([find_model(name) for name in memory.LARGE])


def test_the_table_of_stock_models_is_the_planners():
    page = REPOSITORY / "docs" / "models.md"
    before, after = around_block(page, memory.CARDS_OF_STOCK)
    written = page.read_text(encoding="utf-8")[len(before) : -len(after)].strip()
    stock = [spec for spec in map(find_model, MODELS) if memory.is_stock(spec)]
    assert written == memory.stock_cards(stock) and len(stock) == 6
    rows = [line.split("|")[3:-1] for line in written.splitlines()[3:]]
    assert rows[0].count(" - ") == len(stock) - 1 and " - " not in rows[-1], (
        "one alone fits 8 GB, all fit the largest"
    )


@pytest.mark.parametrize("build", [
    tiny.build_wan_ti2v, tiny.build_wan_a14b, tiny.build_wan_2_1, tiny.build_ltx, tiny.build_svd,
    build_hunyuan, build_ltx2,
])  # fmt: skip
def test_a_folder_of_these_families_is_counted_by_its_own_configurations(build, tmp_path):
    """At the size that it says; the stock decoder is the one that runs, of the whole clip or of a
    latent frame at a time."""
    folder = build(tmp_path / "model")
    spec = find_model(str(folder))
    counted = memory.count_of(spec)
    assert counted.whole and counted.decode_stock >= counted.decode > 0
    assert set(counted.weights) <= {part.name for part in family_of(spec).parts}
    wider = spec.native.model_copy(update={"width": 2 * spec.native.width})
    twice = memory.count_of(spec.model_copy(update={"native": wider}))
    assert twice.weights == counted.weights
    assert twice.denoise > counted.denoise > 0  # mostly of the prompt, which stays as it is
    for stage in ("encode_image", "decode"):
        assert 1.9 < getattr(twice, stage) / getattr(counted, stage) < 2.1, stage


def test_figures_are_written_into_the_models_own_file(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "nano.yaml"
    file.write_text("id: nano\nmemory: {vae: 1}\nlicence: x\n")
    monkeypatch.setattr(memory, "CONFIGS", tmp_path)
    spec = find_model("nano")
    spec = spec.model_copy(
        update={"memory": spec.memory.model_copy(update={"measured": {"fast": 7}})}
    )
    memory.write_memory(spec)
    text = file.read_text()
    assert text.startswith("id: nano\nmemory:\n  weights: {text_encoder: ")
    assert text.endswith("  measured: {fast: 7}\nlicence: x\n")
    file.write_text("id: nano\nnative: {}\n")
    memory.write_memory(spec)
    assert file.read_text() == text.replace("licence: x", "native: {}")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"page": "page.md"}, "has no place for cards"),
        ({"page": "page.md", "model": "cogvideox-5b-i2v"}, "give --model all"),
        ({"page": "page.md", "model": "svd-xt"}, "give --model all"),
    ],
)
def test_a_page_that_cannot_be_written_is_told_before_counting(
    tmp_path, monkeypatch, flags, sentence
):
    monkeypatch.setattr(memory, "count_of", lambda _: pytest.fail("it counted"))
    given = {"model": "all", "write": False} | flags | {"page": tmp_path / "page.md"}
    with pytest.raises(BadInputError, match=sentence):
        memory.run(argparse.Namespace(**given))

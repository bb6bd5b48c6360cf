"""Where compiled code is kept."""

import os
from pathlib import Path

import pytest

from src.pipelines.compiling import KEPT, keep_compiled


@pytest.fixture
def unset(monkeypatch):
    """Neither variable; what the test sets is taken away again."""
    for name in KEPT:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_it_is_kept_in_the_home(unset, monkeypatch, tmp_path):
    if " " in str(tmp_path):
        pytest.skip("the folder of temporary files has a space; the test of such a home runs")
    monkeypatch.setenv("NEWSREEL_HOME", str(tmp_path))
    keep_compiled()
    for name, folder in KEPT.items():
        assert Path(os.environ[name]).parent == tmp_path / "cache" / folder


def test_processors_that_share_a_home_share_no_code(unset, monkeypatch, tmp_path):
    monkeypatch.setattr("src.pipelines.compiling.home", lambda: Path("/shared"))
    places = []
    for features in (["avx2", "AVX2"], ["avx2", "avx512f", "AVX512"]):
        with monkeypatch.context() as machine:
            machine.setattr("src.pipelines.compiling.cpu_features", lambda found=features: found)
            keep_compiled()
            places.append({os.environ.pop(name) for name in KEPT})
    assert not places[0] & places[1]


def test_a_place_that_was_named_stays(monkeypatch):
    for name in KEPT:
        monkeypatch.setenv(name, "/elsewhere")
    keep_compiled()
    assert {os.environ[name] for name in KEPT} == {"/elsewhere"}


def test_a_home_with_a_space_keeps_none(unset, monkeypatch, tmp_path):
    monkeypatch.setenv("NEWSREEL_HOME", str(tmp_path / "a b"))
    keep_compiled()
    assert not set(KEPT) & set(os.environ)

"""Choosing a backend, the pyramid, and compiled code where the package cannot be written."""

import os
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from src.core.errors import BadInputError
from src.motion.tvl1 import BACKENDS, flow_backend
from src.motion.tvl1_params import TVL1Params, level_sizes

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_answers_by_its_name(name):
    backend = flow_backend(name)
    assert backend.name == name
    assert backend.batch >= 1
    assert backend.workers >= 1


def test_auto_is_one_of_them():
    assert flow_backend("auto").name in BACKENDS


def test_an_unknown_backend_names_the_known_ones():
    with pytest.raises(BadInputError, match="opencv, numba, torch"):
        flow_backend("farneback")


@pytest.mark.parametrize("name", ["numba", "torch"])
def test_a_median_filter_is_refused_where_there_is_none(name):
    with pytest.raises(BadInputError, match="median"):
        flow_backend(name, TVL1Params(median=5))


def test_the_pyramid_stops_before_levels_become_too_small():
    sizes = level_sizes(240, 360, TVL1Params(scales=50))
    assert sizes[:3] == [(240, 360), (192, 288), (154, 230)]
    assert min(sizes[-1]) >= 16
    assert len(level_sizes(240, 360, TVL1Params(scales=4))) == 4


def test_the_compiled_kernel_is_safe_in_many_threads():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (6, 40, 60)).astype(np.uint8)
    second = np.roll(first, 1, axis=2)
    backend = flow_backend("numba")
    expected = backend.flow(first, second)
    with ThreadPoolExecutor(6) as pool:
        for flow in pool.map(lambda _: backend.flow(first, second), range(6)):
            assert np.array_equal(flow, expected)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_package_compiles_into_a_temporary_folder(tmp_path):
    package = _read_only_copy(tmp_path)
    try:
        code = "import src.motion.tvl1_kernel, os; print(os.environ['NUMBA_CACHE_DIR'])"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert "newsreel-numba" in done.stdout
    finally:
        package.chmod(stat.S_IRWXU)


def _read_only_copy(tmp_path: Path) -> Path:
    package = tmp_path / "src" / "motion"
    shutil.copytree(ROOT / "src" / "motion", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "src" / "__init__.py", tmp_path / "src")
    package.chmod(stat.S_IRUSR | stat.S_IXUSR)
    return package

"""Shared fixtures: a tiny seeded model, a photograph, and a home of its own for every test; the
order of tests.
"""

import faulthandler
import gc
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import numpy as np
import pytest
from PIL import Image

from tests import starting, warm_start
from tests.database.postgres_kit import (  # noqa: F401
    any_database,
    empty_database,
    newest,
    postgres,
    postgres_database,
)
from tests.schema_copies import SchemaCopies

if TYPE_CHECKING:
    from src.database.database import Database

ORDER = "NEWSREEL_TEST_ORDER"
"""A number: files, and tests in each file, come in a random order that the number gives."""
CAPABILITY = "ATEN_CPU_CAPABILITY"
os.environ.setdefault(
    "TORCHINDUCTOR_CACHE_DIR",
    str(Path(tempfile.gettempdir()) / f"newsreel-tests-inductor{os.environ.get(CAPABILITY, '')}"),
)
"""One place for all tests: in a home of its own, each would compile anew. Code for another
capability is not taken for this one's.
"""
hypothesis.settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("any machine")
SEEN_BY_THE_COLLECTOR = 100_000
"""Objects that a full collection may look at without being slow."""
SCORED_AT_FULL_SIZE = {"metrics", "motion", "validation"}
"""Rooms of tests."""
CORPUS = [
    "press briefing at city hall, pan left",
    "market commentary, static camera",
    "slow push in",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no process is left alone with one at the end; or a
    random order.

    The tests of a file stay together, for they share its fixtures.
    """
    files = [list(tests) for _, tests in groupby(items, key=lambda item: item.path)]
    if seed := os.environ.get(ORDER):
        chance = random.Random(int(seed))
        chance.shuffle(files)
        for tests in files:
            chance.shuffle(tests)
    else:
        files.sort(key=lambda tests: not any(test.get_closest_marker("slow") for test in tests))
    items[:] = [test for tests in files for test in tests]


def pytest_configure(config: pytest.Config) -> None:
    """Most processes that tests start begin where their imports end, and all may be interrupted: a
    suite in the background ignores SIGINT, and so would what it starts.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    warm_start.install()
    starting.install(config)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that hangs ends its process after `faulthandler_timeout`; one by hand may be long."""
    if item.get_closest_marker("soak"):
        faulthandler.cancel_dump_traceback_later()


def pytest_report_header() -> str | None:
    """So that a failure in a random order can be had again."""
    seed = os.environ.get(ORDER)
    return f"random order, {ORDER}={seed}" if seed else None


@pytest.fixture(scope="session", autouse=True)
def _frozen() -> Iterator[Callable[[], None]]:
    """Puts what is there out of the collector's sight. Services of the same process leave that
    alone: theirs would end with the first.
    """
    freeze = gc.freeze
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "freeze", lambda: None)
        patch.setattr(gc, "unfreeze", lambda: None)
        yield freeze


@pytest.fixture(scope="module", autouse=True)
def imports_are_no_garbage(_frozen: Callable[[], None]) -> None:
    """Models that are unloaded ask for a full collection, which takes half a second where it looks
    at all that the tests import. Again where many imports have come since.
    """
    if len(gc.get_objects()) > SEEN_BY_THE_COLLECTOR:
        gc.collect()
        _frozen()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder with seeded random weights; runs 9 frames of 64x48 in a second."""
    from src.pipelines.blueprint import TINY
    from src.pipelines.building import build_pipeline

    return build_pipeline(TINY, CORPUS, tmp_path_factory.mktemp("models") / "tiny", seed=0)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with seeded weights of a tiny super-resolution network, for the preset "fast" at 2x
    and 4x.
    """
    import torch

    from src.upscaling.network import build_network
    from src.upscaling.presets import NetworkSpec
    from src.upscaling.weights import save_network

    folder = tmp_path_factory.mktemp("weights")
    shape = {"channels": 8, "blocks": 1, "trunk": 8, "taps": 3, "groups": 2, "bound": 2.0,
             "align": 4, "attention": 1, "heads": 2, "window": 4}  # fmt: skip
    for scale in (2, 4):
        torch.manual_seed(scale)
        save_network(
            build_network(NetworkSpec(scale=scale, **shape)),
            folder / f"fast_{scale}x.safetensors",
            1,
        )
    return folder


@pytest.fixture(scope="session")
def ffmpeg():
    """Run FFmpeg with these arguments: it makes files as the world makes them."""
    import imageio_ffmpeg

    program = imageio_ffmpeg.get_ffmpeg_exe()

    def run(*arguments: object) -> None:
        command = [program, "-v", "error", "-nostdin", "-y", *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)

    return run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything Newsreel writes goes into the test's own folder."""
    folder = tmp_path / "home"
    monkeypatch.setenv("NEWSREEL_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """How a sum is split among threads shows in its last bits: what a test chose ends with it."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    yield
    if before:
        sys.modules["torch"].set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def _score_of_small_pictures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Clips of tests are scored at a sixteenth of the area, but where the score is what is tested:
    at the full one, nine frames of noise take four seconds. For a module, because its fixtures
    make clips, too.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not SCORED_AT_FULL_SIZE & set(request.path.parts):
            patch.setattr("src.metrics.temporal_pair.ANALYSIS_AREA", 90 * 60)
        yield


@pytest.fixture(scope="session", autouse=True)
def _schema_by_copy() -> Iterator[None]:
    """An empty SQLite database gets its schema as a copy of the first one that migrated: a third of
    what a test of the service took. tests/database migrates.
    """
    patch = pytest.MonkeyPatch()
    patch.setattr("src.database.database.upgrade_schema", SchemaCopies())
    yield
    patch.undo()


@pytest.fixture
def database(tmp_path: Path) -> Iterator["Database"]:
    """An empty job database of the newest form, in `jobs.db`."""
    from src.database.database import Database

    made = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    made.migrate()
    yield made
    made.engine.dispose()


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """(96, 128, 3) uint8 with edges, gradients and colour."""
    y, x = np.mgrid[0:96, 0:128]
    picture = np.stack([x * 2, y * 2, (x // 16 + y // 16) % 2 * 200], axis=2)
    return picture.astype(np.uint8)


@pytest.fixture
def photograph(tmp_path: Path, pixels: np.ndarray) -> Path:
    path = tmp_path / "photograph.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def clip_set(tmp_path_factory):
    """A manifest of four clips to train on and two held out."""
    from tests.training.lora_kit import make_set

    return make_set(tmp_path_factory.mktemp("set"))

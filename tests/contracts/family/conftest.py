from functools import cache
from pathlib import Path

import numpy as np
import pytest

from src.core.plan import Cache, Plan, SessionKey
from src.engine.session import Session
from src.pipelines import families
from src.pipelines.fake.family import Fake
from src.pipelines.families import family_of_folder
from src.pipelines.family import Family
from src.pipelines.models import find_model
from tests.contracts.family.kits import KITS, SCALE, Kit


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The fake in the registry, as one line in families.py would put it there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(families.FAMILIES, "fake", Fake())
        yield


@pytest.fixture(scope="module", params=KITS)
def kit(request) -> Kit:
    return KITS[request.param]


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A kit's folder, written once in a process, whichever file asks."""

    @cache
    def build(kit: Kit) -> Path:
        return kit.build(tmp_path_factory.mktemp("models") / "tiny")

    return build


@pytest.fixture(scope="module")
def folder(kit, built) -> Path:
    return built(kit)


@pytest.fixture(scope="module")
def family(folder) -> Family:
    return family_of_folder(folder)


@pytest.fixture(scope="module")
def spec(folder):
    return find_model(str(folder))


@pytest.fixture(scope="module")
def picture(spec) -> np.ndarray:
    shape = (spec.native.height, spec.native.width, 3)
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


@pytest.fixture(scope="module")
def session(spec, folder) -> Session:
    key = SessionKey(
        model=spec.id,
        source=spec.source,
        device="cpu",
        dtype="float32",
        vae="stock",
        family=spec.family,
    )
    return Session(key, folder)


@pytest.fixture
def ours(family):
    """For what our loop does: a family without one has other tests."""
    if "optimized" not in family.modes:
        pytest.skip(f"{family.title} runs as diffusers has it")


@pytest.fixture
def plan_for(family, spec, session, kit):
    """A plan by the checkpoint's own scheduler; keyword arguments replace fields."""

    def make(steps: int = 3, scale: float = SCALE, **fields) -> Plan:
        visited = family.timesteps(steps, spec, True, fields.get("num_frames", kit.frames))
        usual = {
            "mode": "optimized",
            "profile": "plain",
            "session": session.key,
            "weights": {},
            "image_sha256": "",
            "fit": "cover",
            "prompt": "pan left",
            "negative_prompt": "blurry",
            "scheduler": "checkpoint",
            "max_sequence_length": min(32, spec.max_sequence_length),
            "timesteps": visited.timesteps,
            "sigmas": visited.sigmas,
            "guidance": (scale,) * steps,
            "num_frames": kit.frames,
            "fps": spec.defaults.fps,
            "native": spec.native,
            "delivered": spec.native,
            "upscaler": "lanczos",
            "seed": 3,
            "score": False,
            "cache": Cache(),
        }
        return Plan(**usual | fields)

    return make

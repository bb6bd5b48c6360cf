"""Every way to offload on a stand-in for a card: no tensor of the processor meets one of the
card's, and the frames are those of a run where nothing moves.
"""

import numpy as np
import pytest
from diffusers.hooks import group_offloading

from src.core.plan import Cache, Size
from src.core.progress import CancelToken, ignore
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines.adapter_files import read_adapter
from tests.card_kit import OnCard
from tests.pipelines.adapter_kit import write_diffusers
from tests.streams_kit import groups, hooks_of, unmoved

STREAMED = ("group", "paged", "sequential")
WAYS = [("fast", each) for each in ("none", "text", "model", *STREAMED)] + [
    ("stock", each) for each in ("none", "model", "sequential")
]
ADAPTERS = (1,), (2,), (1, 2), (), (2,), ()
"""Seeds of those that are on, one run after the other: put on, exchanged, added, taken off."""
SMALL, FOUR_TILES = Size(width=32, height=32), Size(width=48, height=48)
PICTURE = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)


def close(first, second):
    """The decoder's sums for a card come in another order than a processor's."""
    return np.abs(first.astype(int) - second).max() <= 1


@pytest.fixture
def opened(streams, tiny_folder, make_plan, tmp_path):
    """A session with these fields of a key, and a function that runs it with adapters of seeds."""

    def make(**key):
        session = Session(make_plan().session.model_copy(update=key), tiny_folder)

        def frames(*seeds, tiling=False, **fields):
            folders = [write_diffusers(tmp_path / str(seed), seed) for seed in seeds]
            session.adapters = tuple(read_adapter(str(each), tiny_folder) for each in folders)
            on = tuple(each.reference for each in session.adapters)
            size = FOUR_TILES if tiling else SMALL
            used = session.key.model_copy(update={"tiling": tiling})
            made = {"steps": 2, "session": used, "adapters": on, "native": size}
            plan, pixels = make_plan(**made | fields), PICTURE[: size.height, : size.width]
            run = session.run(plan, pixels, Stopwatch(), ignore, CancelToken())
            return np.stack(list(run))

        return session, frames

    return make


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def resting(opened, kept):
    """Frames of runs where nothing moves, by a session's fields and each run's; made once."""

    def make(*runs, **key):
        if (name := repr((runs, key))) not in kept:
            _, frames = opened(**key)
            kept[name] = [frames(*seeds, **fields) for seeds, fields in runs]
        return kept[name]

    return make


@pytest.mark.parametrize(("vae", "offload"), WAYS)
def test_adapters_act_as_where_nothing_moves(opened, resting, vae, offload):
    every = list(dict.fromkeys(ADAPTERS))
    wanted = dict(zip(every, resting(*((seeds, {}) for seeds in every), vae=vae), strict=True))
    assert np.abs(wanted[(1,)].astype(int) - wanted[(2,)]).max() > 20
    with OnCard():
        session, there = opened(vae=vae, offload=offload, device="cuda")
        for seeds in ADAPTERS:
            assert close(there(*seeds), wanted[seeds]), seeds
        session.unload()


@pytest.mark.parametrize("offload", ["none", "text", "model", *STREAMED])
def test_caches_and_tiles_go_with_it(opened, resting, offload):
    cached, tiled = (
        {"cache": Cache(name="first_block", threshold=9.0), "steps": 4},
        {"tiling": True},
    )
    runs = ((), cached), ((1,), cached | tiled), ((2,), tiled), ((1,), cached)
    wanted = resting(*runs, vae="fast")
    with OnCard():
        session, there = opened(vae="fast", offload=offload, device="cuda")
        for (seeds, fields), each in zip(runs, wanted, strict=True):
            assert close(there(*seeds, **fields), each)
        session.unload()


@pytest.mark.parametrize("offload", ["text", "model", *STREAMED])
def test_all_weights_are_brought_and_taken_away_in_as_many_groups(opened, offload):
    with OnCard() as card:
        session, frames = opened(vae="fast", offload=offload, device="cuda")
        frames()
        pipe = session.load()
        moving = [pipe.text_encoder] + [pipe.transformer] * (offload in STREAMED)
        before = [len(groups(part)) for part in moving]
        for seeds in ((1,), ()):
            frames(*seeds)
            for part in moving:
                assert unmoved(part) == []
                assert not any(card.has(weight) for weight in part.parameters())
        assert [len(groups(part)) for part in moving] == before
        for part in (*moving, pipe.vae):
            assert hooks_of(part, group_offloading._LAZY_PREFETCH_GROUP_OFFLOADING) == []


@pytest.mark.parametrize(("vae", "offload"), WAYS)
def test_after_one_that_breaks_off_there_is_none_and_all_moves(
    opened, resting, monkeypatch, vae, offload
):
    none, one = resting(((), {}), ((1,), {}), vae=vae)
    with OnCard():
        _, there = opened(vae=vae, offload=offload, device="cuda")
        there()
        with monkeypatch.context() as patched, pytest.raises(MemoryError):
            patched.setattr("peft.set_peft_model_state_dict", breaks_off)
            there(1)
        assert close(there(), none) and close(there(1), one)


def breaks_off(*_, **__):
    raise MemoryError

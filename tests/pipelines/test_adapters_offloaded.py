"""Adapters go on, are exchanged and go off where weights stream: what comes to the card must be
what the adapter brought.
"""

import numpy as np
import pytest

from src.core.progress import CancelToken, ignore
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines.adapter_files import read_adapter
from tests.pipelines.adapter_kit import write_diffusers
from tests.streams_kit import unmoved

OFFLOADS = [("fast", each) for each in ("text", "model", "group", "paged", "sequential")]


@pytest.fixture
def opened(streams, tiny_folder, make_plan, picture, tmp_path):
    """A session with these fields of a key, and a function that runs it with adapters of seeds."""

    def make(**key):
        session = Session(make_plan().session.model_copy(update=key), tiny_folder)

        def frames(*seeds):
            folders = [write_diffusers(tmp_path / str(seed), seed) for seed in seeds]
            session.adapters = tuple(read_adapter(str(each), tiny_folder) for each in folders)
            on = tuple(each.reference for each in session.adapters)
            plan = make_plan(steps=2, session=session.key, adapters=on)
            return np.stack(list(session.run(plan, picture, Stopwatch(), ignore, CancelToken())))

        return session, frames

    return make


@pytest.mark.parametrize(("vae", "offload"), [*OFFLOADS, ("stock", "sequential")])
def test_adapters_act_as_where_nothing_streams(opened, vae, offload):
    _, resident = opened(vae=vae)
    session, frames = opened(vae=vae, offload=offload)
    wanted = {seeds: resident(*seeds) for seeds in ((), (1,), (2,), (1, 2))}
    assert not np.array_equal(wanted[(1,)], wanted[(2,)])
    for seeds in ((), (1,), (2,), (1, 2), (), (2,), ()):
        assert np.array_equal(frames(*seeds), wanted[seeds]), seeds
        if offload in ("group", "paged", "sequential") and vae == "fast":
            assert unmoved(session.load().transformer) == [], seeds


@pytest.mark.parametrize("offload", ["text", "model", "group", "paged", "sequential"])
def test_all_of_the_text_encoder_is_streamed(opened, offload):
    session, frames = opened(vae="fast", offload=offload)
    frames()
    assert unmoved(session.load().text_encoder) == []

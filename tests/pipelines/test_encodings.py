"""Encodings are shared between runs of a warm session, and sharing changes no bit."""

import numpy as np

from src.core.progress import CancelToken, ignore
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines.encodings import LatestResults


def frames(session, plan, picture):
    return np.stack(list(session.run(plan, picture, Stopwatch(), ignore, CancelToken())))


def test_a_second_run_encodes_nothing_again_and_gives_the_same_frames(
    tiny_folder, make_plan, picture
):
    plan = make_plan(steps=2)
    plan = plan.model_copy(update={"session": plan.session.model_copy(update={"vae": "fast"})})
    session = Session(plan.session, tiny_folder)
    first = frames(session, plan, picture)
    assert np.array_equal(frames(session, plan, picture), first)
    assert [(store.hits, store.misses) for store in session.encodings] == [(1, 1), (1, 1)]
    frames(session, plan.model_copy(update={"prompt": "static", "seed": 9}), picture)
    assert [(store.hits, store.misses) for store in session.encodings] == [(1, 2), (2, 1)]
    assert np.array_equal(frames(Session(plan.session, tiny_folder), plan, picture), first)


def test_the_oldest_is_forgotten():
    recent = LatestResults(keep=2)
    made = [recent.get(key, lambda key=key: key * 10) for key in (1, 2, 1, 3, 2)]
    assert made == [10, 20, 10, 30, 20]
    assert (recent.hits, recent.misses) == (1, 4)

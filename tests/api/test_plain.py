"""The page's own words for jobs."""

from dataclasses import replace

import pytest

from src.api import plain
from src.api.schemas import view
from src.jobs.forecast import Forecast
from src.jobs.model import Job, State

JOB = Job(
    id="0" * 21, kind="generate", owner="a", state=State.PENDING, request={"prompt": "Pan left"},
    group="", priority=0, created_at=1_790_000_000.0, started_at=None, finished_at=None, attempts=0,
    max_attempts=3, token=0, worker=None, lease_expires=None, cancel_requested=False, stage=None,
    done=0, total=0, result=None, error=None, artifact=None, idempotency_key=None, pinned=False,
)  # fmt: skip


def _shown(ahead=None, **values):
    return view(replace(JOB, **values), "desk", ahead)


def test_waiting_says_place_and_time():
    shown = _shown(Forecast(3, 200.0))
    assert (plain.state(shown), plain.doing(shown)) == ("Waiting", "3rd in line")
    assert plain.ahead(shown) == "ready in about 3 min"
    assert plain.doing(_shown(Forecast(1, None))) == "next in line"
    assert (plain.doing(_shown()), plain.ahead(_shown())) == ("waiting for its turn", "")


def test_running_says_what_happens_and_how_far_it_is():
    shown = _shown(Forecast(0, 2.0), state=State.PROCESSING, stage="denoise", done=1, total=3)
    assert plain.doing(shown) == "drawing the movement"
    assert (plain.size(shown), plain.ahead(shown)) == ("33 %", "ready any moment")
    stopping = _shown(state=State.PROCESSING, cancel_requested=True)
    assert plain.state(stopping) == "Stopping"


def test_every_state_and_stage_of_the_engine_has_words():
    assert set(plain.STATES) == set(State)
    assert {"load", "encode", "denoise", "decode", "deliver", "score", "upscale"} <= set(
        plain.STAGES
    )


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (12, "12th"), (21, "21st"), (112, "112th")]
)  # fmt: skip
def test_ordinals(number, words):
    assert plain.ordinal(number) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.2, "1 s"), (89.0, "89 s"), (170.0, "3 min"), (7500.0, "2 h 5 min"), (7200.0, "2 h")]
)  # fmt: skip
def test_times_as_people_say_them(value, words):
    assert plain.seconds(value) == words


def test_titles_and_what_was_asked():
    request = {"template": "archive", "set": {"year": "1969"}, "mode": "baseline", "seed": 4}
    shown = _shown(request=request, result={"seed": 4, "frames": 49, "fps": 8.0})
    assert plain.title(shown) == "Archive photograph of the old town, 1969, slow pull out"
    wanted = [("Template", "Archive"), ("Mode", "Reference, slow"), ("Seed", "4"), ("Year", "1969")]
    assert plain.asked(shown) == [*wanted, ("Seed used", "4")]
    assert plain.length(shown) == "6.1 s"
    gone = _shown(request={"template": "gone_since"})
    assert plain.title(gone) == "Gone since"

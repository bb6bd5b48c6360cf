"""The temporal score on clips of known quality, and on what is hardly a clip."""

import json
from dataclasses import FrozenInstanceError
from itertools import islice

import numpy as np
import pytest

from benchmarks.temporal_clips import clip, dead_leaves
from src.core.errors import BadInputError
from src.metrics.temporal import TemporalScorer, score_frames
from src.metrics.temporal_pair import analysis_picture, analysis_size

SMALL = (360, 240)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [dead_leaves(21), dead_leaves(22)]


def _frames(kind: str, pictures, frames: int = 33, size=SMALL, **shot) -> list[np.ndarray]:
    return list(islice(clip(kind, pictures, 5, size=size, **shot), frames))


def _score(kind: str, pictures, frames: int = 33, **shot):
    return score_frames(_frames(kind, pictures, frames, **shot), SMALL)


@pytest.mark.parametrize("kind", ["ease", "object 5 px"])
def test_smooth_motion_is_accepted(kind, pictures):
    report = _score(kind, pictures, 11)
    assert report.accepted
    assert not report.static
    assert report.dynamic_degree > 1


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("hard cut", "cut"),
        ("shuffled", "jitter"),
        ("noise 15", "noise"),
        ("flicker 10 %", "flicker"),
        ("stutter x2", "stutter"),
        ("boil 3 px", "jitter"),
        ("pop-in", "glitch"),
        ("shake", "jitter"),
    ],
)
def test_a_fault_is_rejected_and_named(kind, cause, pictures):
    start = {"hard cut": 20, "pop-in": 8}.get(kind, 0)
    count = 13 if kind.startswith("flicker") else 9  # more than a period of it
    report = score_frames(_frames(kind, pictures, start + count)[start:], SMALL)
    assert not report.accepted
    assert report.worst.cause == cause


def test_a_freeze_is_found_where_it_is(pictures):
    moving = _frames("8 px pan", pictures, 12)
    report = score_frames(moving[:6] + [moving[5]] * 8 + moving[6:], SMALL)
    assert not report.accepted
    assert (report.worst.cause, report.worst.frames) == ("freeze", (5, 13))
    assert report.duplicate_fraction == pytest.approx(8 / 19, abs=1e-3)


def test_a_cut_is_found_at_the_very_first_pair(pictures):
    report = score_frames(
        [_frames("static", pictures[::-1], 1)[0], *_frames("slow pan", pictures, 5)], SMALL
    )
    assert not report.accepted
    assert report.worst.frames == (0, 1)


def test_a_still_clip_is_labelled_and_says_so(pictures):
    report = score_frames(_frames("static", pictures, 5), SMALL)
    assert report.static
    assert report.score == 1
    assert report.dynamic_degree == 0
    assert report.duplicate_fraction == 1
    assert "static" in report.sentence()


def test_a_very_slow_pan_is_not_static(pictures):
    from benchmarks.temporal_clips import Shot, plain, prepared

    shot = Shot([prepared(pictures[0])], np.random.default_rng(0), size=SMALL, frames=9).pan(0.2)
    assert not score_frames(plain(shot), SMALL).static


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_frames_are_refused(count, pictures):
    with pytest.raises(BadInputError, match="at least two frames"):
        score_frames(_frames("static", pictures, count), SMALL)


@pytest.mark.parametrize("kind", ["8 px pan", "static", "shuffled"])
def test_two_frames_give_a_number(kind, pictures):
    report = _score(kind, pictures, 2)
    assert 0 <= report.score <= 1
    assert len(report.curve) == 1
    assert "NaN" not in json.dumps(report.to_dict())


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_clips_are_static_and_finite(level):
    report = score_frames([np.full((48, 64, 3), level, np.uint8)] * 4, (64, 48))
    assert report.static
    assert np.isfinite([report.score, report.warping_error, report.flicker, *report.curve]).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (501, 333), (64, 48)])
def test_any_size_is_scored(size):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8) for _ in range(3)]
    assert 0 <= score_frames(frames, size).score <= 1


def test_an_empty_frame_size_is_refused():
    with pytest.raises(BadInputError, match="0x480"):
        TemporalScorer((0, 480))


def test_sixteen_bits_score_as_eight(pictures):
    eight = _frames("swing", pictures, 4)
    sixteen = [frame.astype(np.uint16) * 257 for frame in eight]
    assert score_frames(sixteen, SMALL) == score_frames(eight, SMALL)


def test_floats_are_refused_rather_than_guessed():
    with pytest.raises(BadInputError, match="float32"):
        analysis_picture(np.zeros((8, 8, 3), np.float32), (360, 240))


@pytest.mark.parametrize("size", [(720, 480), (1440, 960), (480, 720), (1920, 1080), (36, 24)])
def test_the_analysis_picture_has_one_area_and_the_clips_proportions(size):
    width, height = analysis_size(*size)
    assert width * height == pytest.approx(360 * 240, rel=0.01)
    assert width / height == pytest.approx(size[0] / size[1], rel=0.01)


def test_resolution_does_not_change_the_score(pictures):
    small = score_frames(_frames("swing", pictures, 4, size=(720, 480)), (720, 480))
    large = score_frames(_frames("swing", pictures, 4, size=(1440, 960)), (1440, 960))
    assert large.score == pytest.approx(small.score, abs=0.03)


def test_the_rate_does_not_change_the_score(pictures):
    slow = score_frames(_frames("swing", pictures, 13), SMALL, rate=8)
    fast = score_frames(_frames("swing", pictures, 37, pace=1 / 3), SMALL, rate=24)
    assert fast.score == pytest.approx(slow.score, abs=0.03)


def test_dropped_frames_with_true_times_are_smooth_and_with_wrong_times_are_not(pictures):
    frames = _frames("8 px pan", pictures, 13)
    kept = [0, 1, 2, 4, 5, 8, 9, 10, 12]
    with TemporalScorer(SMALL) as scorer:
        for i in kept:
            scorer.update(frames[i], seconds=i / 8)
        timed = scorer.finish()
    assert timed.accepted
    assert not score_frames([frames[i] for i in kept], SMALL).accepted


def test_time_stamps_that_stand_still_do_no_harm(pictures):
    with TemporalScorer(SMALL) as scorer:
        for frame in _frames("8 px pan", pictures, 4):
            scorer.update(frame, seconds=0.0)
        assert 0 <= scorer.finish().score <= 1


def test_the_backends_agree_on_the_score(pictures):
    frames = _frames("swing", pictures, 2)
    numba, opencv = (score_frames(frames, SMALL, name) for name in ("numba", "opencv"))
    assert numba.score == pytest.approx(opencv.score, abs=0.01)


def test_batched_flow_gives_every_pair_once(pictures):
    from src.motion.tvl1 import flow_backend

    frames = _frames("swing", pictures, 5)
    batched = flow_backend("numba")
    batched.batch, batched.workers = 3, 1
    assert score_frames(frames, SMALL, batched) == score_frames(frames, SMALL, "numba")


def test_a_frame_may_be_reused_after_update(pictures):
    frames = _frames("swing", pictures, 4)
    buffer = np.empty_like(frames[0])
    with TemporalScorer(SMALL) as scorer:
        for frame in frames:
            buffer[:] = frame
            scorer.update(buffer)
        buffer[:] = 0
        assert scorer.finish() == score_frames(frames, SMALL)


def test_a_report_is_frozen_and_becomes_json(pictures):
    report = _score("swing", pictures, 4)
    with pytest.raises(FrozenInstanceError):
        report.score = 1.0
    record = json.loads(json.dumps(report.to_dict()))
    assert {
        "score",
        "accepted",
        "static",
        "version",
        "warping_error",
        "duplicate_fraction",
    } <= record.keys()
    assert {"dynamic_degree", "flicker", "curve", "worst"} <= record.keys()
    assert record["worst"].keys() == {"frames", "cause"}


def test_an_interrupted_clip_leaves_no_thread(pictures):
    import threading

    with pytest.raises(RuntimeError, match="decoder"), TemporalScorer(SMALL) as scorer:
        for frame in _frames("swing", pictures, 4):
            scorer.update(frame)
        raise RuntimeError("decoder")
    assert not [t for t in threading.enumerate() if t.name.startswith("flow")]


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 30)])
def test_a_clip_of_one_flat_colour_is_never_accepted(colour):
    rng = np.random.default_rng(0)
    frames = [np.clip(np.full((48, 64, 3), colour) + rng.integers(-2, 3, (48, 64, 3)), 0,
                      255).astype(np.uint8)
              for _ in range(4)]  # fmt: skip
    report = score_frames(frames, (64, 48))
    assert report.flat
    assert not report.accepted
    assert "rejected" in report.sentence()
    assert "one colour" in report.sentence()


def test_a_picture_of_two_colours_of_one_brightness_is_not_flat():
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:, :32], frame[:, 32:] = (255, 0, 0), (0, 130, 0)
    report = score_frames([frame] * 4, (64, 48))
    assert not report.flat
    assert report.accepted


def test_a_measure_that_is_no_number_is_no_score(monkeypatch):
    from dataclasses import replace

    from src.core.errors import NotFiniteError
    from src.metrics import temporal

    measure = temporal.measure_pairs
    monkeypatch.setattr(
        temporal,
        "measure_pairs",
        lambda *a: [replace(one, noise=float("nan")) for one in measure(*a)],
    )
    with pytest.raises(NotFiniteError, match="noise of frames 0-1 is not finite"):
        score_frames([np.full((48, 64, 3), 9, np.uint8)] * 4, (64, 48))


@pytest.mark.parametrize(("aspect", "width"), [(2, 180), (1, 360)])
def test_pixels_that_are_not_square_are_scored_as_shown(pictures, aspect, width):
    from fractions import Fraction

    from src.media.frames import VideoInfo

    info = VideoInfo(width, 240, Fraction(8), Fraction(1, 8), sample_aspect_ratio=Fraction(aspect))
    scorer = TemporalScorer(info)
    scorer.close()
    assert scorer._size == analysis_size(360, 240)

"""Nothing of a run is left in the next one: neither state nor memory."""

import gc

import numpy as np
import psutil
import pytest

from src.core.errors import CancelledError
from src.core.progress import CancelToken, Progress
from src.engine.generate import generate, plans_for, prepare
from src.engine.sessions import Sessions


def make(request, cpu, sessions, **more):
    prepared = prepare(request)
    return generate(prepared, plans_for(prepared, cpu), cpu, sessions=sessions, **more)


@pytest.fixture(scope="module")
def kept() -> dict[str, str]:
    """The digest of the fresh clip's frames, by its cache."""
    return {}


@pytest.mark.parametrize("cache", ["none", "first_block=0.5", "taylorseer=2"])
@pytest.mark.parametrize("stage", ["denoise", "decode", "deliver"])
def test_a_cancelled_run_leaves_nothing_in_the_next(
    request_for, cpu, tmp_path, stage, cache, kept
):  # fmt: skip
    wanted = request_for(
        output_path=tmp_path / "wanted.mp4", cache=cache, num_inference_steps=4, score=False
    )
    if cache not in kept:
        kept[cache] = make(wanted, cpu, Sessions()).frame_sha256
    sessions, cancel = Sessions(), CancelToken()
    other = request_for(
        output_path=tmp_path / "other.mp4",
        cache=cache,
        num_inference_steps=5,
        prompt="push in",
        seed=9,
        score=True,
    )

    def stop(report: Progress) -> None:
        if report.stage == stage:
            cancel.cancel()

    with pytest.raises(CancelledError):
        make(other, cpu, sessions, listener=stop, cancel=cancel)
    assert not list(tmp_path.glob("*other*"))
    assert make(wanted, cpu, sessions).frame_sha256 == kept[cache]


def growth(request_for, cpu, tmp_path, jobs: int, settled: int) -> float:
    """Resident memory after `jobs` clips against that after `settled`, as a share; each with a
    prompt and photograph encoding of its own.
    """
    sessions, sizes, process = Sessions(), [], psutil.Process()
    prompts = ["pan left", "press briefing at city hall", "static", "push in"]
    for number in range(jobs):
        prompt = f"{prompts[number % len(prompts)]} {number}"
        path = tmp_path / f"{number}.mp4"
        wanted = request_for(
            output_path=path, prompt=prompt, seed=number, width=160, height=120, score=True
        )
        make(wanted, cpu, sessions)
        gc.collect()
        sizes.append(process.memory_info().rss)
    return float(np.mean(sizes[-3:]) / np.mean(sizes[settled - 3 : settled])) - 1


@pytest.mark.slow
def test_memory_is_flat_over_a_dozen_jobs(request_for, cpu, tmp_path):
    assert growth(request_for, cpu, tmp_path, jobs=12, settled=5) < 0.1


@pytest.mark.soak
def test_memory_is_flat_over_fifty_jobs(request_for, cpu, tmp_path):
    assert growth(request_for, cpu, tmp_path, jobs=50, settled=5) < 0.05

"""What every job runner keeps: one suite for the fake that ships and for the engine, with a tiny
model and both kinds of store.
"""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from src.artifacts.memory import MemoryStore
from src.artifacts.registry import open_store
from src.artifacts.store import keep, measured_file
from src.core.addresses import artifact_address, stored_address, stored_key
from src.core.errors import BadInputError, CancelledError, NewsreelError
from src.core.progress import CancelToken
from src.jobs.model import REMIX_OF, Job, State
from src.media.reader import VideoReader
from src.worker.engine_runner import EngineRunner
from src.worker.runners import FakeRunner, RunContext

JPEG = b"\xff\xd8\xff"
ASKED = {
    "fake": {"fake_steps": 2},
    "engine": {"seed": 1, "num_inference_steps": 2, "score": False, REMIX_OF: "b" * 21},
}
REFUSED = {"fake": {"fake_error": "num_inference_steps is 0"}, "engine": {"num_inference_steps": 0}}


@pytest.fixture(params=["folder", "memory"])
def files(request):
    return open_store() if request.param == "folder" else MemoryStore()


@pytest.fixture(params=["fake", "engine"])
def name(request):
    return request.param


@pytest.fixture
def runner(name, files):
    return FakeRunner(seconds=0.2) if name == "fake" else EngineRunner(files, "cpu")


@pytest.fixture
def job(files, photograph, tiny_folder):
    """Builds a job that reads a kept photograph; takes further fields of its request."""
    data = photograph.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    keep(files, stored_key(f"{digest}.png"), data, digest)
    usual = {
        "input_image": stored_address(f"{digest}.png"),
        "prompt": "pan left",
        "model": str(tiny_folder),
    }

    def make(fields):
        return Job(
            "a" * 21, "generate", "a", State.PROCESSING, usual | fields, "", 0, 1.0, 1.0, None, 1,
            3, 1, "w", 1e12, False, None, 0, 0, None, None, None, None, False,
        )  # fmt: skip

    return make


@pytest.fixture
def watch():
    """A context that notes what it is told, in `reports` and `pictures`."""
    reports, pictures = [], []
    made = RunContext(reports.append, CancelToken(), pictures.append)
    return made, reports, pictures


def _left(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_job_becomes_a_whole_file_with_its_manifest(runner, name, job, watch, tmp_path):
    context, reports, pictures = watch
    path = tmp_path / "clips" / "p-1.mp4"
    path.parent.mkdir()
    result = runner.make(job(ASKED[name]), path, context)
    assert json.loads(json.dumps(result)) == result
    assert result["seconds"]
    assert result["frames"] > 0
    assert sorted(_left(path.parent)) == ["p-1.json", "p-1.mp4"]
    json.loads(path.with_suffix(".json").read_bytes())
    assert reports
    assert all(0 < each.done <= each.total for each in reports)
    assert [each.done for each in reports if each.stage == "denoise"] == [1, 2]
    assert all(picture.startswith(JPEG) for picture in pictures)


def test_a_wish_to_stop_is_heard_and_nothing_is_left(runner, name, job, watch, tmp_path):
    context, reports, _ = watch
    context.cancel.cancel()
    folder = tmp_path / "clips"
    folder.mkdir()
    with pytest.raises(CancelledError):
        runner.make(job(ASKED[name]), folder / "p-1.mp4", context)
    assert _left(folder) == []
    assert not [each for each in reports if each.stage == "denoise"]


def test_what_cannot_be_made_is_one_sentence_and_leaves_nothing(runner, name, job, watch, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    with pytest.raises(BadInputError, match="num_inference_steps") as caught:
        runner.make(job(ASKED[name] | REFUSED[name]), folder / "p-1.mp4", watch[0])
    assert "\n" not in str(caught.value)
    assert _left(folder) == []


def test_it_says_what_keeps_it_from_running_and_gives_memory_back(runner):
    assert runner.trouble() is None
    runner.release()
    runner.release()


def test_what_the_engine_reads_must_be_there_and_whole(files, job, watch, tmp_path):
    runner, asked = EngineRunner(files, "cpu"), job(ASKED["engine"])
    key = stored_key(asked.request["input_image"].removeprefix("sha256:"))
    with files.open(key) as stream:
        damaged = stream.read()[:-20]
    files.delete(key)
    with pytest.raises(NewsreelError, match="is not in the store"):
        runner.make(asked, tmp_path / "p-1.mp4", watch[0])
    keep(files, key, damaged, "0" * 64)
    with pytest.raises(NewsreelError):
        runner.make(asked, tmp_path / "p-1.mp4", watch[0])
    assert not (tmp_path / "p-1.mp4").exists()


def test_a_clip_is_gone_on_with_in_one_file(files, job, watch, tmp_path):
    runner, first, longer = EngineRunner(files, "cpu"), job(ASKED["engine"]), "examples/first.mp4"
    with files.making(longer) as path:
        made = runner.make(first, path, watch[0])
    asked = ASKED["engine"] | {"input_image": artifact_address("first.mp4"), "of": "c" * 21,
                               "extend": True, "prompt": "pan right", "score": True}  # fmt: skip
    target = tmp_path / "p-2.mp4"
    result = runner.make(job(asked), target, watch[0])
    with files.local(longer) as before, VideoReader(before) as reader:
        given = [frame.array.copy() for frame in reader]
    with VideoReader(target) as reader:
        frames = [frame.array.copy() for frame in reader]
    assert result["frames"] == len(frames) == 2 * made["frames"] - 1
    assert all(np.array_equal(a, b) for a, b in zip(frames, given, strict=False))
    assert result["report"]["seam"]["frames"] == [len(given) - 1, len(given)]
    manifest = json.loads(target.with_suffix(".json").read_bytes())
    assert manifest["before"] == len(given)
    assert manifest["plan"]["extends"] == measured_file(files, longer).sha256


def test_a_clip_of_another_size_is_not_gone_on_with(files, job, watch, tmp_path):
    runner = EngineRunner(files, "cpu")
    with files.making("examples/first.mp4") as path:
        runner.make(job(ASKED["engine"]), path, watch[0])
    asked = ASKED["engine"] | {"input_image": artifact_address("first.mp4"), "extend": True}
    for other, sentence in (({"fps": 24}, "ask for --fps 8"), ({"width": 96}, "ask for --width")):
        with pytest.raises(BadInputError, match=sentence):
            runner.make(job(asked | other), tmp_path / "p.mp4", watch[0])


def test_jobs_that_share_a_forward_are_each_made_whole(runner, name, job, watch, tmp_path):
    context, reports, _ = watch
    asked = {"prompt": "pan right", "seed": 2}
    jobs = [
        replace(job(ASKED[name] | more), id=id) for id, more in (("a" * 21, {}), ("b" * 21, asked))
    ]
    assert runner.company(jobs[0], jobs[1:]) == jobs[1:]
    runner.share(jobs, reports.append, context.cancel)
    assert [each.done for each in reports if each.stage == "denoise"][-1] == 2
    for each in jobs:
        runner.make(each, tmp_path / f"{each.id}.mp4", context)
    manifests = [json.loads((tmp_path / f"{each.id}.json").read_bytes()) for each in jobs]
    if name == "engine":
        assert [manifest["plan"]["prompts_per_forward"] for manifest in manifests] == [2, 2]
        assert [manifest["plan"]["prompt"] for manifest in manifests] == ["pan left", "pan right"]
        assert len({manifest["frame_sha256"] for manifest in manifests}) == 2
        assert len([each for each in reports if each.stage == "denoise"]) == 2


def test_what_cannot_share_a_forward_is_not_company(files, job, tmp_path):
    runner = EngineRunner(files, "cpu")
    cached = job(ASKED["engine"] | {"cache": "first_block"})
    assert runner.company(cached, [replace(cached, id="b" * 21)]) == []
    other = job(ASKED["engine"] | {"num_inference_steps": 3})
    with pytest.raises(BadInputError, match="differ in more than"):
        runner.share([job(ASKED["engine"]), other], lambda _: None, CancelToken())


def test_a_wish_to_stop_is_heard_in_a_shared_forward(runner, name, job):
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        runner.share([job(ASKED[name]), job(ASKED[name])], lambda _: None, cancel)

import csv
import gc
import os
import weakref

import av
import numpy as np
import pytest
import torch

from src.core.errors import (
    BadInputError,
    CancelledError,
    OutOfMemoryError,
)
from src.core.files import sha256_of
from src.core.paths import REPOSITORY
from src.core.progress import CancelToken
from src.engine.filters import each
from src.engine.finishing import FILTERS, FINISHERS
from src.engine.generate import choose_model, generate, plans_for, prepare
from src.engine.manifest import read_manifest
from src.engine.session import Session
from src.engine.sessions import Sessions
from src.media.reader import VideoReader
from src.metrics.psnr import psnr


def test_a_clip_is_published_whole(make, home):
    result = make(score=True)
    assert result.path == home / "examples" / "pan-left-1.mp4"
    with av.open(str(result.path)) as container:
        assert container.streams.video[0].frames == 9
    assert sorted(p.name for p in result.path.parent.iterdir()) == [
        "pan-left-1.json",
        "pan-left-1.mp4",
    ]
    with (home / "runs.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["frame_sha256"] for row in rows] == [result.frame_sha256]
    assert set(result.costs.seconds) == {
        "load",
        "encode",
        "denoise",
        "decode",
        "upscale",
        "deliver",
        "score",
    }
    assert result.report["frames"] == 9
    assert rows[0]["temporal_score"] == str(result.report["score"])
    assert read_manifest(result.manifest).report == result.report


def test_the_score_can_be_left_out(make, home):
    result = make(score=False)
    assert result.report is None
    assert "score" not in result.costs.seconds
    with (home / "runs.csv").open() as stream:
        assert next(csv.DictReader(stream))["temporal_score"] == ""
    assert result.costs.peak_rss > 100 << 20


def test_same_seed_same_frames_other_seed_others(make):
    sessions = Sessions()
    first, again, other = (make(sessions=sessions, seed=seed).frame_sha256 for seed in (1, 1, 2))
    assert first == again != other


def test_baseline_and_loop_agree_at_equal_settings(make):
    """To the rounding of the VAE, whose convolutions are other ones; latents agree bit for bit
    (test_denoise.py).
    """
    ours = _frames(make(scheduler="dpm", guidance_scale=4.0))
    stock = _frames(make(mode="baseline", guidance_scale=4.0))
    assert psnr(stock, ours) > 40  # what H.264 makes of it


def _frames(result):
    with VideoReader(result.path) as reader:
        return np.stack([frame.array for frame in reader])


def test_the_delivered_size_is_reached_from_the_native_one(make):
    result = make(width=128, height=96)
    with av.open(str(result.path)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (128, 96)


def test_the_manifest_says_how_and_holds_no_path_of_this_machine(make, tmp_path, tiny_folder):
    result = make(output_path=tmp_path / "clip.mp4")
    text = result.manifest.read_text("utf-8")
    assert str(tmp_path) not in text
    assert str(tiny_folder.parent) not in text
    assert str(REPOSITORY) not in text
    manifest = read_manifest(result.manifest)
    assert manifest.plan == result.plan
    assert manifest.plan_sha256 == result.plan.digest()
    assert manifest.frame_sha256 == result.frame_sha256
    assert manifest.clip.bytes == result.path.stat().st_size
    assert manifest.threads == torch.get_num_threads()


@pytest.mark.parametrize("stage", ["denoise", "decode", "deliver"])
def test_cancel_leaves_no_file(make, home, stage):
    cancel = CancelToken()
    with pytest.raises(CancelledError):
        make(
            listener=lambda report: cancel.cancel() if report.stage == stage else None,
            cancel=cancel,
        )
    assert list((home / "examples").iterdir()) == []
    assert not (home / "runs.csv").exists()


def test_filters_and_finishers_are_named_in_the_request_and_kept_in_the_plan(make, monkeypatch):
    """A filter changes each frame, a finisher the file; the manifest tells of both what is
    published.
    """
    seen, told = [], []

    def inverted(frame, index):
        seen.append(index)
        return np.subtract(255, frame, out=frame) if frame.flags.writeable else 255 - frame

    def marked(file, context):
        told.append((file.stat().st_size, context.manifest.clip.bytes))
        with file.open("ab") as stream:
            stream.write(b"\x00\x00\x00\x08free")

    monkeypatch.setitem(FILTERS, "inverted", each(inverted))
    monkeypatch.setitem(FINISHERS, "marked", marked)
    plain = make(seed=3)
    other = make(seed=3, filters=("inverted",), finishers=("marked",))
    manifest = read_manifest(other.manifest)
    assert seen == list(range(other.plan.num_frames)) and told[0][0] == told[0][1]
    assert other.frame_sha256 == plain.frame_sha256 and plain.encoded_sha256 is None
    assert manifest.encoded_sha256 == other.encoded_sha256 not in (None, other.frame_sha256)
    assert manifest.clip.bytes == other.path.stat().st_size == told[0][0] + 8
    assert manifest.clip.sha256 == sha256_of(other.path)
    assert (manifest.plan.filters, manifest.plan.finishers) == (("inverted",), ("marked",))
    assert manifest.plan.digest() == manifest.plan_sha256 != plain.plan.digest()


def test_a_filter_that_is_not_there_is_told_before_anything_runs(request_for):
    with pytest.raises(
        BadInputError, match="filters: there is no 'sepia'; known: watermark, label"
    ):
        prepare(request_for(filters=("sepia",)))


def test_out_of_memory_steps_to_the_next_plan_once(request_for, cpu, monkeypatch):
    prepared = prepare(request_for())
    plan = plans_for(prepared, cpu)[0]
    frugal = plan.model_copy(update={"profile": "frugal"})
    tried = []

    def run(self, plan, *args, **kwargs):
        tried.append(plan.profile)
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        yield

    monkeypatch.setattr(Session, "run", run)
    monkeypatch.setattr(Session, "cut_from", lambda *_: "")
    with pytest.raises(OutOfMemoryError, match="on every plan"):
        generate(prepared, (plan, frugal), cpu)
    assert tried == ["plain", "frugal"]
    assert not prepared.final.exists()


def test_the_result_tells_which_plans_were_left(request_for, cpu, monkeypatch):
    prepared = prepare(request_for())
    plan = plans_for(prepared, cpu)[0]
    run = Session.run

    def fail_first(self, plan, *args, **kwargs):
        if plan.profile == "greedy":
            raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")
        yield from run(self, plan, *args, **kwargs)

    monkeypatch.setattr(Session, "run", fail_first)
    result = generate(prepared, (plan.model_copy(update={"profile": "greedy"}), plan), cpu)
    assert result.fallbacks == ("greedy: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate",)
    assert read_manifest(result.manifest).fallbacks == result.fallbacks
    assert result.plan.profile == "plain"


def test_another_error_is_not_taken_for_lack_of_memory(request_for, cpu, monkeypatch):
    prepared = prepare(request_for())

    def run(self, *args, **kwargs):
        raise RuntimeError("device-side assert triggered")
        yield

    monkeypatch.setattr(Session, "run", run)
    with pytest.raises(RuntimeError, match="device-side assert"):
        generate(prepared, plans_for(prepared, cpu), cpu)


def test_a_long_prompt_is_cut_and_says_so(make):
    result = make(prompt="press briefing at city hall " * 9 + "with a zebra")
    assert "briefing at city hall" in result.warnings[0]
    assert "32 tokens" in result.warnings[0]


def test_auto_is_the_embedded_model_without_large_weights(request_for):
    spec, sentence = choose_model(request_for(model="auto"))
    assert spec.id == "nano"
    assert "hf download" in sentence


def test_a_photograph_with_a_name_that_is_no_utf8(make, photograph):
    odd = photograph.with_name(os.fsdecode(b"caf\xe9.png"))
    photograph.rename(odd)
    assert read_manifest(make(input_image=odd).manifest).request["input_image"] == odd.name


def test_unloading_lets_go_of_the_pipeline(request_for, cpu):
    prepared = prepare(request_for())
    session = Session(plans_for(prepared, cpu)[0].session, prepared.folder)
    pipe = weakref.ref(session.load())
    session.unload()
    gc.collect()
    assert pipe() is None


def test_a_photograph_that_forbids_use_by_ai_needs_a_reason(make, home, tmp_path):
    from tests.engine.test_watching import jpeg
    from tests.media.test_press_metadata import xmp

    path = jpeg(tmp_path / "a.jpg", xmp=xmp("DMI-PROHIBITED"))
    with pytest.raises(BadInputError, match="forbids use by AI"):
        make(input_image=path, score=False)
    assert not list((home / "examples").glob("*.mp4"))
    manifest = read_manifest(make(input_image=path, score=False, rights_reason="asked").manifest)
    assert manifest.request["rights_reason"] == "asked"
    assert manifest.press["credit"] == "Agency/AG"
    assert manifest.press["data_mining"] == "DMI-PROHIBITED"

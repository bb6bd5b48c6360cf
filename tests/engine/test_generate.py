import csv
import gc
import json
import os
import weakref

import av
import numpy as np
import pytest
import torch

from src.core.errors import (
    BadInputError,
    CancelledError,
    MissingFileError,
    OutOfMemoryError,
    OutputError,
)
from src.core.files import sha256_of
from src.core.paths import REPOSITORY
from src.core.plan import Plan
from src.core.progress import CancelToken
from src.engine.filters import each
from src.engine.finishing import FILTERS, FINISHERS
from src.engine.generate import choose_model, generate, plans_for, prepare, slug
from src.engine.manifest import read_manifest
from src.engine.replay import differences, prepare_replay
from src.engine.session import Session
from src.engine.sessions import Sessions
from src.media.reader import VideoReader
from src.metrics.psnr import psnr
from tests.small_disk import small_disk


@pytest.fixture
def make(request_for, cpu):
    """Request fields in, result out."""

    def run(listener=lambda _: None, cancel=None, sessions=None, **fields):
        prepared = prepare(request_for(**fields))
        return generate(prepared, plans_for(prepared, cpu), cpu, listener, cancel, sessions)

    return run


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


def test_the_next_clip_of_the_same_name_gets_a_number(make):
    assert [make().path.name for _ in range(3)] == [
        "pan-left-1.mp4",
        "pan-left-1-2.mp4",
        "pan-left-1-3.mp4",
    ]


def test_a_named_output_is_replaced(make, tmp_path):
    target = tmp_path / "out" / "clip.mp4"
    assert make(output_path=target).path == target
    assert make(output_path=target, seed=2).path == target
    assert sorted(p.name for p in target.parent.iterdir()) == ["clip.json", "clip.mp4"]


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


def test_replay_gives_the_frames_even_when_the_photograph_moved(make, photograph, tiny_folder, cpu):
    result = make()
    photograph.unlink()
    replay = prepare_replay(result.manifest, str(tiny_folder))
    again = generate(replay.prepared, (replay.manifest.plan,), cpu)
    assert again.path != result.path
    assert differences(replay.manifest, again, cpu) == ""
    changed = replay.manifest.model_copy(update={"frame_sha256": "0" * 64})
    assert "the frames differ" in differences(changed, again, cpu)
    assert "machine and versions are the same" in differences(changed, again, cpu)
    elsewhere = changed.model_copy(update={"threads": torch.get_num_threads() + 2})
    told = f"CPU threads {elsewhere.threads} -> {torch.get_num_threads()} (OMP_NUM_THREADS"
    assert told in differences(elsewhere, again, cpu)


def test_replay_refuses_other_weights_and_lost_photographs(make, home, tiny_folder):
    result = make()
    data = json.loads(result.manifest.read_text("utf-8"))
    data["plan"]["weights"]["vae/diffusion_pytorch_model.safetensors"] = "0" * 64
    data["plan_sha256"] = Plan.model_validate(data["plan"]).digest()
    other = result.manifest.with_name("other.json")
    other.write_text(json.dumps(data))
    with pytest.raises(BadInputError, match="other weights than the manifest names: vae/"):
        prepare_replay(other, str(tiny_folder))
    for kept in (home / "photographs").iterdir():
        kept.unlink()
    with pytest.raises(MissingFileError, match="photograph"):
        prepare_replay(result.manifest, str(tiny_folder))


@pytest.mark.parametrize(
    "data", ["not json", "[]", '{"schema_version": 99}', '{"schema_version": 1}']
)
def test_what_is_no_manifest_is_refused(tmp_path, data):
    path = tmp_path / "m.json"
    path.write_text(data)
    with pytest.raises(BadInputError):
        read_manifest(path)


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


@pytest.mark.parametrize(
    ("target", "error"),
    [("/proc/nowhere/clip.mp4", OutputError), ("clip.avi", BadInputError), (".", BadInputError)],
)
def test_an_output_that_cannot_be_is_refused_before_anything_loads(request_for, target, error):
    with pytest.raises(error):
        prepare(request_for(output_path=target))


def test_slugs():
    assert slug("Press briefing: at City Hall!") == "press-briefing-at-city-hall"
    assert slug("日本") == "clip"
    assert len(slug("word " * 40)) <= 48


@pytest.mark.parametrize("kilobytes", [8, 24])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(make, tmp_path, kilobytes):
    with small_disk(tmp_path, kilobytes) as disk:
        with pytest.raises(OutputError, match="disk is full|No space left"):
            make(output_path=disk / "clip.mp4", width=256, height=192)
        assert list(disk.iterdir()) == []


def test_a_runs_file_that_cannot_be_written_does_not_lose_the_clip(make, home):
    (home / "runs.csv").mkdir(parents=True)
    assert make().path.is_file()


def test_a_runs_file_in_another_encoding_is_set_aside(make, home):
    home.mkdir(exist_ok=True)
    (home / "runs.csv").write_bytes(b"caf\xe9,b\n1,2\n")
    make()
    assert (home / "runs.1.csv").read_bytes() == b"caf\xe9,b\n1,2\n"


def test_replay_refuses_a_plan_edited_by_hand(make, tiny_folder):
    result = make()
    data = json.loads(result.manifest.read_text("utf-8"))
    data["plan"]["num_frames"] = 10
    result.manifest.write_text(json.dumps(data))
    with pytest.raises(BadInputError, match="plan_sha256"):
        prepare_replay(result.manifest, str(tiny_folder))


def test_replay_of_a_folder_model_asks_for_the_folder(make):
    with pytest.raises(BadInputError, match="--model PATH"):
        prepare_replay(make().manifest)


def test_two_runs_that_planned_the_same_name_keep_both_clips(request_for, cpu):
    first, second = prepare(request_for()), prepare(request_for())
    assert first.final == second.final
    paths = {generate(prepared, plans_for(prepared, cpu), cpu).path for prepared in (first, second)}
    assert len(paths) == 2
    for path in paths:
        assert read_manifest(path.with_suffix(".json")).clip.file == path.name


def test_a_manifest_never_replaces_a_file_that_is_none(request_for, tmp_path):
    (tmp_path / "package.json").write_text('{"name": "mine"}')
    with pytest.raises(BadInputError, match="package.json, which is no manifest"):
        prepare(request_for(output_path=tmp_path / "package.mp4"))
    assert (tmp_path / "package.json").read_text("utf-8") == '{"name": "mine"}'


@pytest.mark.parametrize("name", ["n" * 251 + ".mp4", "n" * 5000 + ".mp4"])
def test_a_name_too_long_for_the_partial_file_is_refused(request_for, tmp_path, name):
    with pytest.raises(BadInputError, match="too long"):
        prepare(request_for(output_path=tmp_path / name))


def test_a_clip_of_another_is_replaced_only_when_asked(request_for, tmp_path):
    (tmp_path / "mine.mp4").write_bytes(b"film")
    with pytest.raises(BadInputError, match="mine.mp4, which is no clip of ours.*--overwrite"):
        prepare(request_for(output_path=tmp_path / "mine.mp4"))
    assert (
        prepare(request_for(output_path=tmp_path / "mine.mp4", overwrite=True)).final
        == tmp_path / "mine.mp4"
    )


def test_a_clip_of_ours_is_replaced_and_a_long_name_is_taken(make, tmp_path):
    """A second run of the same command, under a name as long as a disk takes beside its
    manifest.
    """
    path = tmp_path / ("n" * 250 + ".mp4")
    first, second = make(output_path=path), make(output_path=path)
    assert first.path == second.path == path and first.frame_sha256 == second.frame_sha256
    assert "overwrite" not in read_manifest(make(output_path=path, overwrite=True).manifest).request


def test_a_home_that_cannot_be_written_is_refused_before_computing(
    request_for, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEWSREEL_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="NEWSREEL_HOME"):
        prepare(request_for(output_path=tmp_path / "clip.mp4"))


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

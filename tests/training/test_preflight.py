"""Preflight: what training would refuse is refused before, each with one sentence; the rest is
counted.
"""

import json

import pytest

from src.core.errors import BadInputError, MissingFileError
from src.data_prep.files import write_clip
from src.datasets.clip_info import ClipInfoCache, find_cuts, look, same_clip, small_grey_frame
from src.datasets.manifest import read_dataset
from src.media.clips import Sampling, frames_at, read_clip
from src.media.reader import VideoReader
from src.pipelines.blueprint import TINY_NANO
from src.pipelines.building import build_pipeline
from src.pipelines.models import find_model
from src.recipes.lora import preflight as preflight_module
from src.recipes.lora.settings import LoraSettings
from tests.training import lora_kit


def changed(metadata, tmp_path, change):
    """A copy of the manifest with absolute paths, changed."""
    entries = json.loads(metadata.read_text("utf-8"))
    for entry in entries:
        for key in ("video_path", "image_path"):
            entry[key] = str((metadata.parent / entry[key]).resolve())
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(change(entries) or entries))
    return path


def problems(metadata, model, tmp_path, **changes):
    return lora_kit.look(metadata, model, tmp_path / "out", **changes).problems


def test_counts_what_is_there(clip_set, tiny_folder, tmp_path):
    report = lora_kit.look(clip_set, tiny_folder, tmp_path / "out").report()
    assert report["clips"] == 4
    assert report["held_out"] == 2
    assert report["buckets"] == {"9 frames at 64x48": 4}
    assert report["steps"] == 4
    assert 0 < report["trainable_share"] < 0.1
    assert report["predicted"]["disk_bytes"] > 0
    assert report["problems"] == []


@pytest.mark.parametrize(("model", "rate"), [("cogvideox-5b-i2v", 8), ("cogvideox1.5-5b-i2v", 16)])
def test_clips_are_read_at_the_models_own_rate_unless_asked(model, rate):
    spec = find_model(model)
    assert {bucket.fps for bucket in preflight_module.buckets_of(LoraSettings(), spec)} == {rate}
    assert preflight_module.buckets_of(LoraSettings(fps=12.0), spec)[0].fps == 12


def test_the_predicted_disk_is_what_the_cache_takes(clip_set, tiny_folder, tmp_path):
    before = lora_kit.look(clip_set, tiny_folder, tmp_path / "out").estimates
    lora_kit.run(clip_set, tiny_folder, tmp_path / "out", steps=1)
    after = lora_kit.look(clip_set, tiny_folder, tmp_path / "out").estimates
    assert after.disk_bytes < before.disk_bytes


def test_whole_clips_now_and_then_take_the_memory_of_whole_clips(clip_set, tmp_path):
    folder = build_pipeline(TINY_NANO, ["vortigo"], tmp_path / "nano", seed=0)
    asked = [{}, {"token_frames": 2, "whole": 0.2}, {"token_frames": 2}]
    looks = [lora_kit.look(clip_set, folder, tmp_path / "out", **changes) for changes in asked]
    all_frames, sometimes, few = (found.estimates.device_bytes for found in looks)
    assert all_frames == sometimes > few


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda e: e[0].update(video_path="gone.mp4"), "vortigo-000: there is no file at"),
        (lambda e: e[0].update(image_path="gone.png"), "vortigo-000: there is no file at"),
        (
            lambda e: e[-1].update(video_path=e[0]["video_path"]),
            "leakage: held-out vortigo-005 shows the same clip as vortigo-000",
        ),
    ],
)
def test_problems_of_clips(clip_set, tiny_folder, tmp_path, change, sentence):
    found = problems(changed(clip_set, tmp_path, change), tiny_folder, tmp_path)
    assert any(sentence in each for each in found), found


def test_a_corrupt_video(clip_set, tiny_folder, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    metadata = changed(clip_set, tmp_path, lambda e: e[1].update(video_path=str(broken)))
    found = problems(metadata, tiny_folder, tmp_path)
    assert len(found) == 1
    assert "vortigo-001" in found[0]
    assert "cannot be read as a video" in found[0]
    with pytest.raises(BadInputError, match="cannot be read as a video"):
        lora_kit.run(metadata, tiny_folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _entry(**fields):
    usual = {"id": "a", "video_path": "a", "prompt": "p", "source": "", "licence": "", "rights": ""}
    return usual | fields


def _listed(*entries):
    return json.dumps(entries)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[]", "is an empty list"),
        ("{", "is not valid JSON"),
        ('{"id": "a"}\n{"id": "b"}\n', "JSON Lines"),
        ("id,video_path,prompt\na,a.mp4,x\n", "table .CSV."),
        (_listed(_entry(prompt=" ")), "entry 0: prompt: must not be empty"),
        ("{}", "must hold a JSON list"),
        ('[{"id": "a"}]', "entry 0: video_path is required"),
        (_listed(_entry(id=" ", prompt="")), "id: must not be empty"),
        (_listed(_entry(), _entry()), "'a' is there 2 times"),
        (_listed(_entry(split="held_out")), "no clip to train on"),
    ],
)  # fmt: skip
def test_manifests_that_are_none(tmp_path, content, sentence):
    path = tmp_path / "metadata.json"
    path.write_text(content)
    with pytest.raises(BadInputError, match=sentence):
        read_dataset(path)


def test_a_missing_manifest(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        read_dataset(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rank": 33}, "rank 33 is larger than the layers' dimension 32; take 32 or less"),
        ({"rank": 16}, "less than 10% is an adapter: take rank"),
        ({"targets": ("to_z",)}, "no layer of this model is called 'to_z'"),
        ({"frames": (10,)}, "cannot make 10 frames; nearest that works: 9"),
        ({"sizes": ((60, 48),)}, "60x48 must be multiples of 16; nearest: 64x48"),
        ({"optimizer": "adamw8bit"}, "needs a CUDA device"),
    ],
)
def test_problems_of_settings(clip_set, tiny_folder, tmp_path, changes, sentence):
    found = problems(clip_set, tiny_folder, tmp_path, **changes)
    assert any(sentence in each for each in found), found


def test_too_short_names_what_is_needed(clip_set, tiny_folder, tmp_path):
    assert all(
        "too short: 1.1 s; 9 frames at 4 a second need 2.2 s" in each
        for each in problems(clip_set, tiny_folder, tmp_path, fps=4.0)
    )


def test_no_space_is_refused(clip_set, tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight_module, "free_bytes", lambda _: 10)
    assert "no space" in problems(clip_set, tiny_folder, tmp_path)[0]


def test_processes_must_divide_the_batch(clip_set, tiny_folder, tmp_path):
    found = lora_kit.look(clip_set, tiny_folder, tmp_path / "out", processes=3)
    assert "does not divide into 3 processes" in found.problems[0]


def test_captions_over_the_limit_and_missing_held_out_are_warned_of(
    clip_set, tiny_folder, tmp_path
):
    def change(entries):
        entries[0]["prompt"] = "a very long caption " * 20
        return entries[:4]

    found = lora_kit.look(changed(clip_set, tmp_path, change), tiny_folder, tmp_path / "out")
    assert found.problems == []
    assert any("over 32 tokens" in each for each in found.warnings)
    assert any("no held-out clips" in each for each in found.warnings)


def test_a_copy_and_a_re_encoded_copy_are_duplicates(clip_set, tiny_folder, tmp_path):
    original = read_dataset(clip_set)
    source = original.video(original.entries[0])
    with VideoReader(source) as reader:
        frames = [frame.array for frame in reader]
    import numpy as np

    again = write_clip(
        tmp_path / "again.mp4",
        np.clip(np.stack(frames).astype(int) + 2, 0, 255).astype(np.uint8),
        8,
    )
    memory = ClipInfoCache()
    assert same_clip(memory.facts(source), memory.facts(again))
    assert not same_clip(memory.facts(source), memory.facts(original.video(original.entries[1])))

    def add(entries):
        entries.append(entries[0] | {"id": "copy", "video_path": str(again)})

    found = lora_kit.look(changed(clip_set, tmp_path, add), tiny_folder, tmp_path / "out")
    assert any("duplicate: copy" in each for each in found.warnings)


def test_cuts_are_found_and_fast_moves_are_none(pixels):
    import numpy as np

    other = pixels[::-1, ::-1, ::-1].copy() // 2
    moving = [small_grey_frame(np.roll(pixels, 3 * k, axis=1)) for k in range(4)]
    assert find_cuts(moving) == ()
    assert find_cuts([*moving, small_grey_frame(other), small_grey_frame(other)]) == (4,)


def test_clips_keep_their_pace(tmp_path, pixels):
    import numpy as np

    frames = np.stack([np.full((48, 64, 3), 5 * k, np.uint8) for k in range(48)])
    path = write_clip(tmp_path / "fast.mp4", frames, 24)
    assert look(path, "x").frames == 48
    clip = read_clip(path, Sampling(9, 8.0, 64, 48))
    assert np.abs(clip.mean((1, 2, 3)) - 15 * np.arange(9)).max() < 4
    assert frames_at(48, 24, 8) == 16
    with pytest.raises(BadInputError, match="too short: it gives 16 frames of 17"):
        read_clip(path, Sampling(17, 8.0, 64, 48))


def plain_clip(path, kind, colour=(210, 210, 205)):
    """Nine frames of a plain ground with something small on it."""
    import numpy as np

    frames = np.full((9, 48, 64, 3), colour, np.uint8)
    for number, frame in enumerate(frames):
        if kind == "box":
            frame[20:30, 10 + 2 * number : 22 + 2 * number] = (200, 40, 40)
        elif kind == "bar":
            frame[36:40, 4 + 3 * number : 30 + 3 * number] = (30, 60, 200)
        elif kind == "spark":
            frame[8 + 2 * number : 12 + 2 * number, 50:54] = (250, 240, 90)
    return write_clip(path, frames, 8)


@pytest.mark.parametrize(
    "ground", [(210, 210, 205), (6, 8, 12), (20, 200, 40)], ids=["logo", "night", "green screen"]
)
def test_clips_without_contrast_are_told_apart_by_their_pixels(tmp_path, ground):
    made = {
        kind: look(plain_clip(tmp_path / f"{kind}.mp4", kind, ground), kind)
        for kind in ("box", "bar", "spark")
    }
    for first in made:
        for second in made:
            assert same_clip(made[first], made[second]) == (first == second)
    again = look(
        plain_clip(tmp_path / "again.mp4", "box", tuple(min(255, level + 1) for level in ground)),
        "again",
    )
    assert same_clip(made["box"], again)


def test_leakage_is_overridden_by_hand(clip_set, tiny_folder, tmp_path):
    def twin(entries):
        entries[-1].update(video_path=entries[0]["video_path"], image_path="")

    found = problems(changed(clip_set, tmp_path, twin), tiny_folder, tmp_path)
    assert len(found) == 1 and '"differs_from": ["vortigo-000"]' in found[0]
    original = read_dataset(clip_set)
    with VideoReader(original.video(original.entries[0])) as reader:
        frames = [frame.array for frame in reader]
    import numpy as np

    again = write_clip(
        tmp_path / "again.mp4",
        np.clip(np.stack(frames).astype(int) + 2, 0, 255).astype(np.uint8),
        8,
    )

    def told(entries, **more):
        entries[-1].update(video_path=str(again), image_path="", **more)

    assert "leakage" in problems(changed(clip_set, tmp_path, told), tiny_folder, tmp_path)[0]
    by_hand = changed(clip_set, tmp_path, lambda e: told(e, differs_from=["vortigo-000"]))
    assert problems(by_hand, tiny_folder, tmp_path) == []
    wrong = changed(clip_set, tmp_path, lambda e: told(e, differs_from=["nobody"]))
    assert "'nobody', which is no id" in problems(wrong, tiny_folder, tmp_path)[0]


def test_an_image_that_is_not_the_first_frame_is_warned_of(clip_set, tiny_folder, tmp_path):
    plain = lora_kit.look(clip_set, tiny_folder, tmp_path / "out").warnings
    assert not any("first frame" in each for each in plain)

    def swap(entries):
        entries[0]["image_path"] = entries[1]["image_path"]

    found = lora_kit.look(changed(clip_set, tmp_path, swap), tiny_folder, tmp_path / "out")
    assert any("vortigo-001.png is not the first frame" in each for each in found.warnings)


@pytest.mark.parametrize(
    ("size", "warned"), [((64, 48), False), ((80, 48), False), ((96, 48), True), ((48, 96), True)]
)
def test_crops_that_lose_over_a_quarter_are_warned_of(
    clip_set, tiny_folder, tmp_path, size, warned
):
    import numpy as np

    moving = np.random.default_rng(0).integers(0, 255, (9, size[1], size[0], 3), np.uint8)
    clip = write_clip(tmp_path / "wide.mp4", moving, 8)
    found = lora_kit.look(
        changed(clip_set, tmp_path, lambda e: e[0].update(video_path=str(clip), image_path="")),
        tiny_folder,
        tmp_path / "out",
    )
    assert any("cropped away" in each for each in found.warnings) == warned

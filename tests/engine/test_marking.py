"""A marked clip on the road: replay, register, soft binding, enlargement, visible label."""

import json

import cv2
import numpy as np
import pytest

from src.cli.inference import inference_app
from src.cli.upscale_video import upscale_video_app
from src.cli.verify import verify_app
from src.core.files import sha256_of
from src.core.request import Request
from src.engine.finishing import chosen_filters
from src.engine.house_rules import with_house_rules
from src.engine.labelled_copy import labelled_copy
from src.engine.labelling import labelled
from src.media.reader import VideoReader
from src.trust.claim import MARK
from src.trust.settings import MARKING, SIGNING
from src.verification.register import recall
from src.watermark.detect import detect_mark
from src.watermark.keys import key_file, known_keys
from src.watermark.picture import mean_luma
from tests.command_kit import run_here, use_weights
from tests.trust.kit import need_packages

FRAMES = 9
"""One more than are marked at once."""


def frames(path):
    with VideoReader(path) as reader:
        return [frame.array for frame in reader]


@pytest.fixture(scope="module")
def textured(tmp_path_factory):
    """A photograph of noise at several scales, which hides a mark well."""
    random, picture = np.random.default_rng(0), np.zeros((160, 240, 3), np.float32)
    for cells in (15, 30, 60):
        small = random.normal(0, 30, (cells * 2 // 3, cells, 3)).astype(np.float32)
        picture += cv2.resize(small, (240, 160), interpolation=cv2.INTER_CUBIC)
    path = tmp_path_factory.mktemp("marking") / "textured.png"
    cv2.imwrite(str(path), np.clip(picture + 128, 0, 255).astype(np.uint8))
    return path


@pytest.fixture
def footage(textured, tmp_path, ffmpeg):
    """Real footage, as far as anybody knows."""
    path = tmp_path / "footage.mkv"
    ffmpeg("-loop", 1, "-i", textured, "-frames:v", FRAMES, "-r", 10, "-c:v", "ffv1", path)
    return path


@pytest.fixture
def enlarge(footage, tmp_path, weights, monkeypatch):
    """Enlarge a video with flags; the JSON and the output."""
    use_weights(monkeypatch, weights)

    def run(name, *flags, source=footage):
        out = tmp_path / name
        usual = ("--input", source, "--output", out, "--preset", "fast", "--json")
        done = run_here(upscale_video_app(), *usual, *flags)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), out

    return run


def test_an_enlargement_is_marked_registered_and_read_when_it_is_enlarged_again(enlarge):
    report, out = enlarge("out.mp4", "--watermark")
    (entry,) = recall()
    assert entry.sha256 == sha256_of(out) == report["sha256"]
    assert report["registered"]["mark"] == entry.mark and entry.artifact == "out.mp4"
    manifest = json.loads(out.with_suffix(".json").read_bytes())
    assert manifest["watermark"] == {"id": entry.mark, "key": entry.key}
    _, larger = enlarge("larger.mp4", source=out)
    for path in (out, larger):
        found = detect_mark(mean_luma(frames(path)), known_keys())
        assert found is not None and found.id == entry.mark
    done = run_here(verify_app(), larger, "--json")
    layer = json.loads(done.stdout)["layers"]["watermark"]
    assert (layer["found"], layer["known"]["artifact"]) == (True, "out.mp4")
    assert "was read in the picture" in layer["sentence"]


def test_an_enlargement_that_is_marked_keeps_the_mark_of_its_source(enlarge):
    """By which the register says what the video was, whichever key new marks have by now."""
    need_packages()
    _, source = enlarge("out.mp4", "--watermark")
    (first,) = recall()
    new = "05" * 32
    key_file().write_text(f"{new}\n{key_file().read_text()}")  # another key is used by now
    report, again = enlarge("again.mp4", "--watermark", "--sign", source=source)
    entry = recall()[1]
    assert (entry.mark, entry.key) == (first.mark, first.key)
    assert (entry.artifact, entry.sha256) == ("again.mp4", report["sha256"])
    assert json.loads(again.with_suffix(".json").read_bytes())["watermark"]["id"] == first.mark
    assert f"{first.key}:{first.mark}".encode() in again.read_bytes()  # the soft binding
    read = detect_mark(mean_luma(frames(again)), known_keys())
    assert read is not None and (read.id, read.key) == (first.mark, first.key)
    found = json.loads(run_here(verify_app(), again, "--json").stdout)
    assert found["layers"]["watermark"]["known"]["artifact"] == "out.mp4" and not found["changed"]


def test_the_same_video_enlarged_elsewhere_has_the_same_id(enlarge, footage, tmp_path):
    first, _ = enlarge("out.mp4", "--watermark")
    again, _ = enlarge("again.mp4", "--watermark", source=footage.rename(tmp_path / "moved.mkv"))
    other, _ = enlarge("other.mp4", "--watermark", "--sharpen", 0.5, source=tmp_path / "moved.mkv")
    assert first["registered"]["mark"] == again["registered"]["mark"] != other["registered"]["mark"]


def test_a_marked_and_signed_clip_replays_frame_by_frame(photograph, tiny_folder, tmp_path):
    need_packages()
    usual = ("--input-image", photograph, "--prompt", "pan left", "--model", tiny_folder,
             "--num-inference-steps", 2, "--no-score", "--seed", 1, "--json")  # fmt: skip
    made = run_here(inference_app("optimized"), *usual, "--sign", "--watermark",
                    "--output-path", tmp_path / "clip.mp4")  # fmt: skip
    assert made.returncode == 0, made.stderr
    new = "05" * 32
    key_file().write_text(f"{new}\n{key_file().read_text()}")  # another key is used by now
    again = run_here(
        inference_app("optimized"), "--replay", tmp_path / "clip.json", "--model", tiny_folder,
        "--output-path", tmp_path / "again.mp4", "--json",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    first, second = json.loads(made.stdout), json.loads(again.stdout)
    assert first["encoded_sha256"] == second["encoded_sha256"] != first["frame_sha256"]
    assert first["registered"]["mark"] == second["registered"]["mark"]
    mark = first["registered"]
    assert f"{mark['key']}:{mark['mark']}".encode() in (tmp_path / "clip.mp4").read_bytes()
    assert MARK.encode() in (tmp_path / "clip.mp4").read_bytes()
    layers = json.loads(run_here(verify_app(), tmp_path / "clip.mp4", "--json").stdout)["layers"]
    assert layers["c2pa"]["state"] == "trusted"
    key_file().write_text(f"{new}\n")
    lost = run_here(inference_app("optimized"), "--replay", tmp_path / "clip.json", "--model",
                    tiny_folder, "--output-path", tmp_path / "lost.mp4")  # fmt: skip
    assert lost.returncode == 2 and f"was marked with key {mark['key']}" in lost.stderr


@pytest.mark.parametrize("ground", [0, 128, 255])
@pytest.mark.parametrize("size", [(64, 48), (720, 480), (480, 720)])
def test_the_label_is_readable_on_any_ground_and_in_its_corner(ground, size):
    frame = np.full((size[1], size[0], 3), ground, np.uint8)
    drawn = labelled(frame.copy(), 0)
    changed = np.argwhere((drawn != ground).any(axis=2))
    corner = drawn[: size[1] // 2, size[0] // 2 :]
    assert corner.max() == 255 and np.median(corner[corner < 250]) in (ground, round(ground / 4))
    if ground:
        assert changed[:, 0].max() < size[1] // 2 and changed[:, 1].min() > size[0] // 3
    plate = drawn[changed[:, 0].min() : changed[:, 0].max() + 1]
    assert int(drawn.max()) - int(plate.min()) >= 180  # white letters beside a dark plate


def test_the_label_comes_last_whatever_the_order_was():
    request = Request(input_image="a.png", prompt="x", label=True, watermark=True,
                      filters=("label", "watermark"))  # fmt: skip
    assert chosen_filters(request) == ("watermark", "label")


def test_a_labelled_copy_keeps_the_mark_and_is_signed_anew(enlarge, tmp_path):
    need_packages()
    _, clip = enlarge("out.mp4", "--watermark", "--sign")
    made = labelled_copy(clip, tmp_path / "released.mp4")
    first, copied = recall()
    assert made.signed and made.mark == first.mark == copied.mark
    assert made.sha256 == sha256_of(made.path) == copied.sha256 != first.sha256
    found = json.loads(run_here(verify_app(), made.path, "--json").stdout)
    layers = found["layers"]
    assert layers["c2pa"]["state"] == "trusted" and layers["c2pa"]["ingredients"] == ["video.mp4"]
    assert layers["watermark"]["id"] == first.mark and not found["changed"]
    assert len(frames(made.path)) == len(frames(clip)) == FRAMES
    assert (frames(made.path)[0] != frames(clip)[0]).any()


def test_the_service_marks_and_signs_unless_it_is_told_not_to(monkeypatch):
    need_packages()
    rules = with_house_rules({"watermark": False, "finishers": ("c2pa",)})
    assert rules == {"watermark": True, "finishers": ("c2pa",)}
    monkeypatch.setenv(MARKING, "off")
    monkeypatch.setenv(SIGNING, "off")
    assert with_house_rules({"prompt": "x"}) == {"prompt": "x"}

"""The finisher `c2pa` on the road of clips and of videos that are enlarged."""

import json
import sys

import pytest

from src.cli.inference import inference_app
from src.cli.upscale_video import upscale_video_app
from src.core.files import sha256_of
from src.engine import finishing
from src.engine.manifest import read_manifest
from src.engine.signing import _generated
from src.trust import settings
from src.trust.claim import hash_of
from src.trust.signing import sidecar_of
from src.trust.verdict import verify_signature
from tests.command_kit import run_here, use_weights
from tests.trust.kit import need_packages


@pytest.fixture(autouse=True)
def _packages():
    need_packages()


@pytest.fixture
def command(photograph, tiny_folder, tmp_path):
    """Run the command for a clip of a name, with flags; its JSON."""

    def run(name, *flags):
        usual = ("--input-image", photograph, "--prompt", "pan left", "--model", tiny_folder,
                 "--width", 64, "--num-inference-steps", 2, "--no-score", "--seed", 1,
                 "--output-path", tmp_path / name, "--json")  # fmt: skip
        done = run_here(inference_app("optimized"), *usual, *flags)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def layer(path):
    return verify_signature(path, settings.anchors())["layers"]["c2pa"]


def test_a_signed_clip_has_the_frames_of_the_unsigned_and_replays(command, tiny_folder, tmp_path):
    plain, made = command("plain.mp4"), command("signed.mp4", "--sign")
    again = run_here(
        inference_app("optimized"), "--replay", made["manifest"], "--model", tiny_folder,
        "--output-path", tmp_path / "again.mp4", "--json",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    hashes = {each["frame_sha256"] for each in (plain, made, json.loads(again.stdout))}
    assert len(hashes) == 1
    found = [layer(tmp_path / f"{name}.mp4")["state"] for name in ("plain", "signed", "again")]
    assert found == ["none", "trusted", "trusted"]


def test_the_claim_says_what_the_manifest_says_and_nothing_private(command, tmp_path):
    made = command("signed.mp4", "--sign")
    path, manifest = tmp_path / "signed.mp4", read_manifest(tmp_path / "signed.json")
    assert manifest.clip.sha256 == sha256_of(path) and manifest.plan.finishers == ("c2pa",)
    told = layer(path)
    said = told["generation"]
    assert (said["plan_sha256"], said["seed"]) == (manifest.plan_sha256, "1")
    assert said["photograph_sha256"] == manifest.plan.image_sha256
    assert said["prompt_sha256"] == hash_of("pan left")
    assert said["frame_sha256"] == made["frame_sha256"]
    assert told["ingredients"] == (manifest.photograph,)
    assert told["source_type"] == "trainedAlgorithmicMedia"
    data = path.read_bytes()
    assert b"pan left" not in data and str(tmp_path).encode() not in data


@pytest.mark.parametrize(("suffix", "flags", "kind"), [
    (".mp4", None, "algorithmicallyEnhanced"),
    (".mp4", (), "trainedAlgorithmicMedia"),
    (".mp4", ("--sign",), "trainedAlgorithmicMedia"),
    (".mkv", ("--sign",), "trainedAlgorithmicMedia"),
])  # fmt: skip
def test_an_enlarged_video_names_its_source_as_parent_and_keeps_its_kind(
    weights, monkeypatch, command, tmp_path, suffix, flags, kind
):
    use_weights(monkeypatch, weights)
    command("made.mp4", *(flags or ()))
    if flags is None:
        _forget_xmp(tmp_path / "made.mp4")
    out = tmp_path / f"large{suffix}"
    usual = ("--input", tmp_path / "made.mp4", "--output", out, "--preset", "fast")
    done = run_here(upscale_video_app(), *usual, "--sign")
    assert done.returncode == 0, done.stderr
    told = layer(out)
    assert (told["state"], told["source_type"]) == ("trusted", kind)
    assert told["ingredients"] == ("video.mp4",) and told["generation"]["scale"] == 2
    assert (b"org.newsreel.generation" in _record(out)) and sidecar_of(out).exists() == (
        suffix == ".mkv"
    )
    assert (b"c2pa.created" in _record(out)) == bool(flags), "the source's own claim is kept"


def _forget_xmp(path):
    """As footage has none."""
    path.write_bytes(path.read_bytes().replace(b"trainedAlgorithmicMedia", b"x" * 23))


def _record(path):
    """Where the chain lies: the source's own claim is in it."""
    return (sidecar_of(path) if path.suffix == ".mkv" else path).read_bytes()


def test_what_cannot_sign_is_told_before_anything_runs(
    photograph, tiny_folder, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "c2pa", None)  # as if it were not installed
    usual = ("--input-image", photograph, "--prompt", "pan left", "--model", tiny_folder,
             "--output-path", tmp_path / "x.mp4")  # fmt: skip
    done = run_here(inference_app("optimized"), *usual, "--sign")
    assert done.returncode == 2 and "pip install -r requirements-trust.txt" in done.stderr
    assert not (tmp_path / "x.mp4").exists()


def test_it_must_be_the_last(monkeypatch, photograph, tiny_folder, tmp_path):
    monkeypatch.setitem(finishing.FINISHERS, "other", lambda file, context: None)
    usual = ("--input-image", photograph, "--prompt", "pan left", "--model", tiny_folder,
             "--dry-run")  # fmt: skip
    wrong = run_here(
        inference_app("optimized"), *usual, "--finishers", "c2pa", "--finishers", "other"
    )
    assert wrong.returncode == 2 and "c2pa must be the last" in wrong.stderr
    right = run_here(inference_app("optimized"), *usual, "--finishers", "other", "--sign")
    assert json.loads(right.stdout)["finishers"] == ["other", "c2pa"]


def test_a_dry_run_makes_no_authority_and_no_key(photograph, tiny_folder, home):
    usual = ("--input-image", photograph, "--prompt", "pan left", "--model", tiny_folder)
    done = run_here(inference_app("optimized"), *usual, "--sign", "--watermark", "--dry-run")
    assert done.returncode == 0 and json.loads(done.stdout)["filters"] == ["watermark"]
    assert not (home / settings.TRIAL).exists() and not (home / "watermark").exists()


def test_a_video_that_is_made_again_unsigned_drops_the_sidecar_of_before(
    ffmpeg, tmp_path, monkeypatch, weights
):
    use_weights(monkeypatch, weights)
    source, out = tmp_path / "source.mkv", tmp_path / "out.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=32x24:rate=5:duration=1", source)
    usual = ("--input", source, "--output", out, "--preset", "fast", "--overwrite", "--json")
    assert run_here(upscale_video_app(), *usual, "--sign").returncode == 0
    assert sidecar_of(out).exists() and layer(out)["state"] == "trusted"
    assert run_here(upscale_video_app(), *usual, "--crf", 30).returncode == 0
    assert not sidecar_of(out).exists() and layer(out)["state"] == "none"


def test_the_agencys_words_travel_into_clip_signature_and_what_is_made_of_it(command, tmp_path):
    import c2pa

    from src.media.press_metadata import of_xmp
    from src.trust.xmp import read_xmp
    from tests.engine.test_watching import jpeg

    press = jpeg(tmp_path / "press.jpg", ((2, 110), b"Agency/AG"), ((2, 120), b"Boats in a street"))
    told = {"credit": "Agency/AG", "caption": "Boats in a street"}
    for name, flags in (("plain.mp4", ()), ("signed.mp4", ("--sign",))):
        command(name, *flags, "--input-image", press)
        assert of_xmp(read_xmp(tmp_path / name)).told == told
        assert read_manifest((tmp_path / name).with_suffix(".json")).press == told
    assert layer(tmp_path / "signed.mp4")["state"] == "trusted"
    store = json.loads(c2pa.Reader(str(tmp_path / "signed.mp4")).json())
    active = store["manifests"][store["active_manifest"]]
    (words,) = [e["data"] for e in active["assertions"] if e["label"].startswith("cawg.metadata")]
    assert words["photoshop:Credit"] == "Agency/AG"
    command("longer.mp4", "--sign", "--extend", "--input-image", tmp_path / "signed.mp4")
    assert of_xmp(read_xmp(tmp_path / "longer.mp4")).told == told
    found = layer(tmp_path / "longer.mp4")
    assert (found["state"], found["source_type"]) == ("trusted", "trainedAlgorithmicMedia")
    store = json.loads(c2pa.Reader(str(tmp_path / "longer.mp4")).json())
    active = store["manifests"][store["active_manifest"]]
    (source,) = active["ingredients"]
    assert (source["relationship"], source["title"]) == ("parentOf", "video.mp4")
    assert not any("untrusted" in str(each) for each in found.get("remarks", ()))
    assert "untrusted" not in json.dumps(found)
    done = run_here(upscale_video_app(), "--input", tmp_path / "plain.mp4", "--output",
                    tmp_path / "big.mp4", "--preset", "fast", "--sign")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert of_xmp(read_xmp(tmp_path / "big.mp4")).told == told


def test_the_claim_of_a_draft_names_what_drew_its_frames():
    from types import SimpleNamespace as Named

    plan = Named(
        session=Named(model="nano"), weights={}, adapters=(), prompt="pan", image_sha256="a",
        seed=1, draft=Named(preview="b" * 64),
    )  # fmt: skip
    made = Named(plan=plan, newsreel="1", plan_sha256="c", frame_sha256="d")
    assert _generated(made)["preview_decoder_sha256"] == "b" * 64
    plan.draft = None
    assert "preview_decoder_sha256" not in _generated(made)

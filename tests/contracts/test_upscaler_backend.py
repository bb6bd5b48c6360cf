"""What every upscaler backend keeps, and that one more is a spec, a file and a line: no other file
knows of it.
"""

import re
from dataclasses import replace

import av
import numpy as np
import pytest
import torch

from src.catalog import upscalers
from src.cli.upscale_video import upscale_video_app
from src.core.errors import BadInputError, CancelledError, MissingWeightsError
from src.core.paths import CONFIGS, REPOSITORY
from src.core.progress import CancelToken
from src.core.upscale_request import EnhanceSettings
from src.media.reader import VideoReader
from src.upscaling.backends import Sizes, Stretch, UpscalerChoice, UpscaleRun, Window
from src.upscaling.dove.backend import DoveBackend
from src.upscaling.feeding import enlarged as feed
from src.upscaling.job import UpscaleJob
from src.upscaling.network_backend import NetworkBackend
from src.upscaling.registry import BACKENDS, BackendEntry, detect, load_backend, upscaler_at
from src.upscaling.star.backend import StarBackend
from src.upscaling.stream import upscale_video
from tests.command_kit import run_here, use_weights
from tests.contracts.fake_upscaler import NearestBackend, register
from tests.diffusion_kit import build_dove, build_sdxl
from tests.upscaling.star.kit import narrow_star

ASKED = EnhanceSettings()


@pytest.fixture
def registered(tmp_path, monkeypatch):
    return register(monkeypatch, tmp_path)


@pytest.fixture(scope="session")
def star(tmp_path_factory):
    """The folder of a narrow STAR."""
    return narrow_star(tmp_path_factory.mktemp("contract") / "star")


@pytest.fixture(scope="session")
def dove(tmp_path_factory):
    """The folder of a tiny DOVE."""
    return build_dove(tmp_path_factory.mktemp("contract") / "dove")


@pytest.fixture(scope="session")
def sdxl(tmp_path_factory):
    """The folder of a tiny SDXL."""
    return build_sdxl(tmp_path_factory.mktemp("contract") / "sdxl")


KINDS = ["network", "plain", "noisy", "star", "dove", "refined"]
LOADED_ONCE = ("star", "dove", "refined")
"""They take most of a second each; of the others, each test has its own."""


@pytest.fixture(params=KINDS)
def fresh(request, registered, monkeypatch):
    """A backend of a test's own."""
    return made_backend(request, monkeypatch)


@pytest.fixture(scope="module")
def loaded():
    """Backends by their kind."""
    return {}


@pytest.fixture(params=KINDS)
def backend(request, registered, monkeypatch, loaded):
    """A backend that is asked for frames alone: nothing that it does stays with it."""
    if request.param not in LOADED_ONCE:
        return made_backend(request, monkeypatch)
    if request.param not in loaded:
        loaded[request.param] = made_backend(request, monkeypatch)
    return loaded[request.param]


def made_backend(request, patch):
    if request.param == "star":
        return quick_star(request.getfixturevalue("star"), patch)
    if request.param in ("dove", "refined"):
        know(patch, "newsreel", "dove", "sdxl")
    if request.param == "dove":
        folder = request.getfixturevalue("dove")
        return load_backend(UpscalerChoice("quality", 2, folder=folder, detected=detect(folder)))
    weights = request.getfixturevalue("weights")
    if request.param == "refined":
        folder = request.getfixturevalue("sdxl")
        given = {"folder": weights, "refine": "sdxl:0.1", "refiner_folder": folder}
        return load_backend(UpscalerChoice("fast", 2, "cpu", **given))
    if request.param == "network":
        return NetworkBackend(UpscalerChoice("fast", 2, "cpu", folder=weights))
    return NearestBackend(UpscalerChoice(request.param, 2, upscaler="nearest"))


def know(patch, *ids):
    """The catalog's own specs of these upscalers."""
    patch.setattr(upscalers, "CONFIGS", CONFIGS)
    patch.setattr(upscalers, "UPSCALERS", ids)
    torch.set_num_threads(1)


def quick_star(folder, patch):
    """With one evaluation of its network, and the catalog's own spec."""
    know(patch, "newsreel", "star")
    patch.setenv("NEWSREEL_HOME", str(folder / "home"))
    backend = load_backend(UpscalerChoice("fast", 4, upscaler="star", folder=folder))
    backend.evaluations = 1
    return backend


@pytest.fixture
def frames():
    """(7, 12, 20, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (7, 12, 20, 3)).astype(np.uint8)


@pytest.fixture
def clip(tmp_path, ffmpeg):
    """Fifteen frames of 32x24."""
    path = tmp_path / "clip.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=32x24:rate=5:duration=3", "-c:v", "ffv1", path)
    return path


def enlarged(backend, frames, before=0, after=0, first=0, run=None):
    numbers = range(first, first + len(frames))
    stretch = Stretch(frames, before, after, numbers)
    return np.stack(list(feed(backend, stretch, ASKED, run or UpscaleRun(seed=5))))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_frame_comes_out_once_at_its_size(backend, frames, dtype):
    given = frames.astype(dtype) * (257 if dtype == np.uint16 else 1)
    made = enlarged(backend, given)
    assert made.shape == (7, 12 * backend.scale, 20 * backend.scale, 3) and made.dtype == np.float32
    assert np.abs(made).max() < 4


@pytest.mark.parametrize("size", [(2, 2), (1, 5), (17, 33), (3, 100)])
@pytest.mark.parametrize("count", [1, 2])
def test_any_size_and_length_goes(backend, size, count):
    frames = np.full((count, *size, 3), 128, np.uint8)
    made = enlarged(backend, frames)
    assert made.shape == (count, backend.scale * size[0], backend.scale * size[1], 3)


def test_context_makes_pieces_equal_the_whole(backend, frames):
    if isinstance(backend, StarBackend | DoveBackend):
        pytest.skip("all frames of a piece look at each other; pieces are cut alike in every run")
    context = backend.window.overlap
    whole = enlarged(backend, frames)
    piece = enlarged(backend, frames[3 - context : 5 + context], context, context, 3 - context)
    assert np.abs(piece - whole[3:5]).max() < 1e-4


def test_noise_is_of_the_seed_and_the_frame_alone(registered):
    one, other = UpscaleRun(seed=5), UpscaleRun(seed=6)
    drawn = one.noise(7, (4, 4))
    assert np.array_equal(drawn, one.noise(7, (4, 4))) and drawn.dtype == np.float32
    assert not np.array_equal(drawn, one.noise(8, (4, 4)))
    assert not np.array_equal(drawn, other.noise(7, (4, 4)))


def test_a_cancelled_run_stops_before_the_next_batch(fresh, frames):
    token = CancelToken()
    made = feed(fresh, Stretch(frames[:4]), ASKED, UpscaleRun(token))
    next(made)
    token.cancel()
    with pytest.raises(CancelledError):
        list(made)


def test_what_was_measured_can_be_kept_to(fresh, frames):
    frames = frames[:4]
    whole, measured = enlarged(fresh, frames), fresh.measured()
    fresh.keep_to(measured)
    assert np.array_equal(enlarged(fresh, frames), whole)


def test_it_finishes_its_own_frames(backend, frames):
    source = frames[0].astype(np.float32) / 255
    made = backend.finish(enlarged(backend, frames[:1])[0], source, ASKED)
    assert made.shape == (12 * backend.scale, 20 * backend.scale, 3)


@pytest.mark.parametrize("stop_after", [3, 11])
def test_a_resumed_run_with_noise_equals_an_unbroken_one(registered, clip, tmp_path, stop_after):
    choice = UpscalerChoice("noisy", 2, upscaler="nearest", seed=3)
    usual = {"codec": "x264", "crf": 0, "threads": 1, "segment": 5}
    whole = upscale_video(UpscaleJob(clip, tmp_path / "whole.mp4", choice, **usual))
    job, token = UpscaleJob(clip, tmp_path / "out.mp4", choice, **usual), CancelToken()
    with pytest.raises(CancelledError):
        upscale_video(job, lambda p: token.cancel() if p.done == stop_after else None, token)
    again = upscale_video(job)
    assert again.resumed >= stop_after // 5 * 5 and again.frames == whole.frames == 15
    assert job.target.read_bytes() == whole.target.read_bytes()
    other = replace(job, choice=replace(choice, seed=4), target=tmp_path / "other.mp4")
    assert upscale_video(other).target.read_bytes() != whole.target.read_bytes()


def test_one_more_is_reached_by_the_command(registered, clip, tmp_path):
    out = tmp_path / "out.mkv"
    flags = ("--upscaler", "nearest", "--preset", "plain", "--scale", 3, "--crf", 0)
    done = run_here(upscale_video_app(), "--input", clip, "--output", out, *flags)
    assert done.returncode == 0, done.stderr
    with VideoReader(out) as made, VideoReader(clip) as given:
        large, small = next(iter(made)).array.astype(int), next(iter(given)).array
        assert np.abs(large - small.repeat(3, 0).repeat(3, 1)).mean() < 8  # 4:2:0


@pytest.mark.parametrize(("flags", "sentence"), [
    (("--sharpen", 1), "--sharpen does not apply to upscaler nearest"),
    (("--guidance-scale", 7), "--guidance-scale does not apply to upscaler nearest"),
    (("--prompt", "a street"), "--prompt does not apply to upscaler nearest: it reads none"),
    (("--runtime", "auto"),
     "--runtime does not apply to upscaler nearest: it has no optimised builds"),
    (("--precision", "bf16"),
     "--precision does not apply to upscaler nearest: it has no optimised builds"),
    (("--scale", 8), "--scale is 8; for preset plain of nearest it must be 2 or 3"),
    (("--preset", "fast"), "--preset is 'fast'; it must be one of: plain, noisy"),
    (("--upscaler", "star"), "unknown upscaler 'star'; known: newsreel, nearest"),
    (("--upscaler", "newsreel", "--seed", 1),
     "--seed does not apply to upscaler newsreel: it draws no noise"),
])  # fmt: skip
def test_what_it_cannot_do_is_refused_by_name(registered, tmp_path, flags, sentence):
    (tmp_path / "clip.mp4").write_bytes(b"x")
    usual = (
        "--input",
        tmp_path / "clip.mp4",
        "--output",
        tmp_path / "out.mp4",
        "--upscaler",
        "nearest",
    )
    done = run_here(upscale_video_app(), *usual, *flags)
    assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr


def test_weights_that_are_not_here_are_told_with_the_way_to_get_them(tmp_path):
    with pytest.raises(
        MissingWeightsError, match=r"fast at 4x.*train_upscaler --preset fast --scale 4"
    ):
        UpscalerChoice("fast", 4, folder=tmp_path).check(ASKED)


def test_another_file_under_the_name_of_a_known_one_is_refused(registered):
    (registered / "weights.nearest").write_bytes(b"other")
    with pytest.raises(
        BadInputError, match=r"weights.nearest is not the file that .*nearest.yaml names \(SHA-256"
    ):
        UpscalerChoice("plain", 2, upscaler="nearest").hashes()


def test_the_weights_of_the_repository_are_those_of_the_spec():
    named = dict.fromkeys(("fast", "balanced", "quality"), (2, 4, 8)) | {"nano": (4, 8)}
    for preset, scales in named.items():
        for scale in scales:
            assert UpscalerChoice(preset, scale).hashes()
    assert {"fast", "balanced", "quality"} <= set(upscalers.offered(2))
    assert "nano" not in upscalers.offered(4), "it is for the embedded model's clips"


def test_a_lacking_file_is_trained_as_the_preset_that_it_is_of(tmp_path):
    spec = upscalers.find_upscaler("newsreel")
    with pytest.raises(MissingWeightsError, match="--preset fast --scale 4"):
        spec.weights("nano", 4, tmp_path)


def test_a_file_or_folder_says_which_upscaler_it_holds(registered, weights, tmp_path):
    assert detect(registered / "weights.nearest").backend == "nearest"
    folder, file = detect(weights), upscaler_at(str(weights / "fast_4x.safetensors"))
    assert (folder.backend, folder.usual, folder.scales("fast")) == ("network", "fast", (2, 4, 8))
    assert file.scales("fast") == (4,) and not file.files
    (tmp_path / "text.txt").write_text("no weights")
    with pytest.raises(BadInputError, match=r"text.txt holds no upscaler"):
        detect(tmp_path / "text.txt")


def test_weights_of_ones_own_are_given_by_their_path(clip, weights, tmp_path):
    out = tmp_path / "out.mkv"
    done = run_here(upscale_video_app(), "--input", clip, "--output", out, "--upscaler", weights)
    assert done.returncode == 0, done.stderr
    with av.open(str(out)) as container:
        assert container.streams.video[0].width == 64


def test_a_bare_name_in_the_folder_where_one_stands_is_a_path(clip, weights, tmp_path, monkeypatch):
    (tmp_path / "mine").symlink_to(weights)
    monkeypatch.chdir(tmp_path)
    done = run_here(
        upscale_video_app(), "--input", clip, "--output", "out.mkv", "--upscaler", "mine"
    )
    assert done.returncode == 0, done.stderr
    done = run_here(upscale_video_app(), "--input", clip, "--output", "other.mkv", "--upscaler", "")
    assert (done.returncode, "unknown upscaler ''" in done.stderr) == (2, True)


def test_the_service_takes_it_as_a_quality(registered, weights, monkeypatch):
    from src.api.upscale import UpscaleSettings, check_settings, upscale_settings

    settings = UpscaleSettings(quality="nearest/plain", scale=3)
    check_settings(settings)
    assert (upscale_settings(settings)["upscaler"], upscale_settings(settings)["preset"]) == (
        "nearest",
        "plain",
    )
    for fields, words in (
        (
            {"quality": "nearest/plain", "denoiseLevel": 0.5},
            "denoiseLevel does not apply to upscaler nearest",
        ),
        (
            {"quality": "nearest/plain", "guideScale": 7},
            "guideScale does not apply to upscaler nearest",
        ),
        (
            {"quality": "nearest/plain", "scale": 8},
            "scale is 8; for preset plain of nearest it must be 2 or 3",
        ),
        ({"quality": "star"}, "quality is 'star'; it must be one of: fast"),
    ):
        with pytest.raises(BadInputError, match=re.escape(words)):
            check_settings(UpscaleSettings(**fields))
    use_weights(monkeypatch, weights)
    assert "upscaler" not in upscale_settings(UpscaleSettings(quality="fast"))


def test_the_example_of_the_architecture_page_runs(clip, tmp_path, monkeypatch):
    """The blocks of section 4, as they stand there."""
    page = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    (spec,) = re.findall(r"```yaml\n(id: .+?)```", page, re.DOTALL)
    (code,) = [
        block
        for block in re.findall(r"```python\n(.+?)```", page, re.DOTALL)
        if "BACKENDS" in block
    ]
    register(monkeypatch, tmp_path, spec)
    names = {"np": np, "Window": Window, "Sizes": Sizes, "BACKENDS": BACKENDS,
             "BackendEntry": BackendEntry,
             "clip": clip, "UpscalerChoice": UpscalerChoice, "UpscaleJob": UpscaleJob,
             "upscale_video": upscale_video, "tmp_path": tmp_path}  # fmt: skip
    exec(compile(code, "docs/architecture.md", "exec"), names)
    assert (names["report"].width, names["report"].frames) == (96, 15)

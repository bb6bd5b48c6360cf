"""STAR as a backend, whole, on a narrow network of the true build."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from src.core.errors import BadInputError, CancelledError, MissingWeightsError, OutOfMemoryError
from src.core.progress import CancelToken
from src.core.upscale_request import EnhanceSettings, UpscaleRequest
from src.data_prep.fetch import DownloadLedger
from src.pipelines.live_bytes import peak_of
from src.upscaling.backends import Stretch, UpscalerChoice, UpscaleRun
from src.upscaling.feeding import enlarged
from src.upscaling.job import UpscaleJob
from src.upscaling.registry import detect, load_backend
from src.upscaling.resolve import resolve_job
from src.upscaling.star import codec as coding
from src.upscaling.star.backend import EVALUATIONS
from src.upscaling.star.colour import coloured
from src.upscaling.star.files import FORMAT, spec_of
from src.upscaling.star.memory import CODING, DENOISING, LEAST, StarMemory, plan, scaled_memory
from src.upscaling.star.network import StarNetwork
from src.upscaling.star.spec import StarSpec
from src.upscaling.stream import upscale_video

QUICK = 2
"""Evaluations of the network, where what a test is about does not hang on them."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("NEWSREEL_HOME", str(tmp_path_factory.mktemp("home")))
    patch.setattr("src.upscaling.star.backend.EVALUATIONS", dict.fromkeys(EVALUATIONS, QUICK))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def backend(star, home):
    return load_backend(UpscalerChoice("fast", 4, upscaler="star", folder=star))


@pytest.fixture(scope="module")
def frames():
    """(4, 12, 20, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (4, 12, 20, 3)).astype(np.uint8)


@pytest.fixture
def single(backend, monkeypatch):
    """The backend with one forward of its network: one evaluation without guidance."""
    monkeypatch.setattr(backend, "evaluations", 1)
    monkeypatch.setattr(backend, "guidance", 1.0)
    return backend


def made_by(backend, frames, asked=None, run=None, before=0, after=0, first=0):
    stretch = Stretch(frames, before, after, range(first, first + len(frames)))
    given = (backend, stretch, asked or EnhanceSettings(), run or UpscaleRun(seed=5))
    return np.stack(list(enlarged(*given)))


@pytest.mark.parametrize("size", [(2, 2), (1, 5), (17, 33), (300, 17)])
def test_any_size_comes_out_exact(single, size):
    made = made_by(single, np.full((1, *size, 3), 128, np.uint8))
    assert made.shape == (1, 4 * size[0], 4 * size[1], 3) and np.isfinite(made).all()


@pytest.mark.parametrize("size", [(4, 16), (12, 20), (360, 240)])
def test_the_network_sees_repeated_edges_never_white(size):
    frame = torch.rand(3, *size)
    made, (height, width) = coding.onto_canvas(frame), coding.canvas(*size)
    assert made.shape == (3, height, width) and (height % 64, width % 64) == (16, 0)
    last = made[:, : 4 * size[0], : 4 * size[1]]
    assert torch.equal(
        made[:, 4 * size[0] :], made[:, 4 * size[0] - 1, None].expand(-1, height - 4 * size[0], -1)
    )
    right = width - 4 * size[1]
    assert torch.equal(
        made[..., 4 * size[1] :], made[..., 4 * size[1] - 1, None].expand(-1, -1, right)
    )
    assert last.max() == made.max() <= 1


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_run_is_cancelled_within_one_forward(backend, frames, stop):
    token, told = CancelToken(), []

    def listen(progress):
        told.append(progress)
        if progress.done == stop:
            token.cancel()

    with pytest.raises(CancelledError):
        made_by(backend, frames, run=UpscaleRun(token, listen))
    assert (len(told), told[0].stage, told[0].total) == (stop, "star", 2 * QUICK)


def test_seed_and_prompt_and_guidance_count(backend, frames, monkeypatch):
    frames = frames[:1]
    usual = made_by(backend, frames)
    assert np.array_equal(usual, made_by(backend, frames))
    assert not np.array_equal(usual, made_by(backend, frames, run=UpscaleRun(seed=6)))
    assert not np.array_equal(
        usual, made_by(backend, frames, run=UpscaleRun(seed=5, prompt="a dog"))
    )
    monkeypatch.setattr(backend, "guidance", 1.0)
    told = []
    other = made_by(backend, frames, run=UpscaleRun(listener=told.append, seed=5))
    assert not np.array_equal(usual, other) and told[-1].total == QUICK


def test_a_prompt_is_encoded_once(single, frames, monkeypatch):
    made_by(single, frames[:1])
    monkeypatch.setattr(single.text, "_made", lambda texts: pytest.fail(f"{texts} again"))
    made_by(single, frames[:1])


def test_colours_are_the_sources(backend, frames):
    dark = (frames[:2] // 8 + 10).astype(np.uint8)
    made, source = made_by(backend, dark), dark.astype(np.float32) / 255
    assert np.abs(made.mean((1, 2)) - source.mean((1, 2))).max() < 0.01
    assert np.abs(made.std((1, 2)) - source.std((1, 2))).max() < 0.01


def test_colours_follow_mean_and_deviation():
    random = np.random.default_rng(0)
    made = random.random((40, 60, 3), np.float32)
    source = (0.3 + 0.1 * random.random((10, 15, 3))).astype(np.float32)
    fixed = coloured(made, source)
    assert fixed.mean((0, 1)) == pytest.approx(source.mean((0, 1)), abs=1e-3)
    assert fixed.std((0, 1)) == pytest.approx(source.std((0, 1)), rel=0.1)
    flat = coloured(made[:1, :1], source[:1, :1])
    assert flat == pytest.approx(source[:1, :1], abs=1e-5)


def test_details_are_kept_by_low_frequencies(backend):
    source = np.zeros((48, 64, 3), np.float32)
    source[:, 32:] = 1
    made = np.full((192, 256, 3), 0.5, np.float32)
    kept = backend.finish(made, source, EnhanceSettings(preserve_details=1))
    assert kept[:, :64].mean() < 0.2 and kept[:, -64:].mean() > 0.8
    assert np.array_equal(backend.finish(made, source, EnhanceSettings()), made)


@pytest.fixture(scope="module")
def four(backend, frames):
    """Two frames at 4x."""
    return made_by(backend, frames[:2])


@pytest.mark.parametrize("scale", [2, 8])
def test_2x_and_8x_are_built_from_4x(star, home, four, frames, scale):
    """2x is its mean but for sums in another order, where several threads add: a fortieth of a step
    of eight bits.
    """
    other = load_backend(UpscalerChoice("fast", scale, upscaler="star", folder=star))
    made = made_by(other, frames[:2])
    assert made.shape == (2, scale * 12, scale * 20, 3)
    small = four.reshape(2, 24, 2, 40, 2, 3).mean((2, 4)) if scale == 2 else four
    back = made if scale == 2 else made.reshape(2, 48, 2, 80, 2, 3).mean((2, 4))
    assert np.abs(back - small).mean() < (1e-4 if scale == 2 else 0.02)


def test_noisy_sources_take_the_heavy_file(star, tmp_path):
    request = {"input": tmp_path / "a.mp4", "output": tmp_path / "b.mp4", "upscaler": str(star)}
    light, heavy = (
        resolve_job(UpscaleRequest(**request, denoise=share), "cpu").choice for share in (0.4, 0.5)
    )
    assert light.files()[0].path.name == "light_deg.safetensors"
    assert heavy.files()[0].path.name == "heavy_deg.safetensors"
    assert light.hashes() != heavy.hashes()


def test_a_folder_says_that_it_holds_star(star, tmp_path):
    spec = detect(star)
    assert (spec.backend, spec.scales("quality"), spec.usual) == ("star", (2, 4, 8), "balanced")
    assert detect(star / "light_deg.safetensors").folder == spec.folder


@pytest.mark.parametrize("name", ["light_deg.safetensors", "vae/config.json"])
def test_a_file_that_changed_since_it_was_fetched_is_one_sentence(star, tmp_path, name):
    folder = shutil.copytree(star, tmp_path / "star")
    shutil.copytree(star.parent / "upscaler", tmp_path / "upscaler")
    ledger = DownloadLedger(folder)
    ledger.add(folder / name)
    by_path = UpscalerChoice("fast", 4, upscaler="x", detected=detect(folder))
    choices = (UpscalerChoice("fast", 4, upscaler="star", folder=folder), by_path)
    assert all(choice.hashes() for choice in choices)
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    sentence = rf"{name} is not the file that .*hashes.json names .* changed or damaged since"
    for choice in choices:
        with pytest.raises(BadInputError, match=sentence):
            load_backend(choice)


@pytest.mark.parametrize("record", ["[1]", "{"])
def test_a_record_of_hashes_that_is_none_is_one_sentence(star, tmp_path, record):
    folder = shutil.copytree(star, tmp_path / "star")
    (folder / "hashes.json").write_text(record)
    with pytest.raises(BadInputError, match=r"hashes.json is (no|not)"):
        UpscalerChoice("fast", 4, upscaler="star", folder=folder).hashes()


def test_missing_weights_are_one_sentence(tmp_path):
    sentence = r"fast at 4x .* get them with python -m src.fetch_upscaler star .*GB.*licence"
    with pytest.raises(MissingWeightsError, match=sentence):
        UpscalerChoice("fast", 4, upscaler="star", folder=tmp_path).check(EnhanceSettings())


@pytest.mark.parametrize(("asked", "sentence"), [
    ({"steady": 0.5}, "--steady does not apply to upscaler star"),
    ({"deblock": 0.5}, "--deblock does not apply to upscaler star"),
    ({"sharpen": 0.5}, "--sharpen does not apply to upscaler star"),
])  # fmt: skip
def test_what_it_cannot_do_is_refused(star, asked, sentence):
    with pytest.raises(BadInputError, match=sentence):
        UpscalerChoice("fast", 4, upscaler="star", folder=star).check(EnhanceSettings(**asked))


def test_tiles_where_memory_is_short(single, frames):
    backend = single
    large = np.tile(frames[:1], (1, 5, 8, 1))  # 60x160, 34x80 places
    whole = made_by(backend, large)
    figures = backend.figures
    denoising, coding = figures.denoising.times(1 / 32), figures.coding
    needed = [figures.network + denoising.at(LEAST), figures.codec + coding.at(LEAST)]
    backend.keep_to([max(needed) + 1000])
    cut = backend._cut(1, coding_canvas(large))
    made = made_by(backend, large)
    backend.keep_to([1 << 40])
    assert cut.mode == "tiled" and made.shape == whole.shape
    assert not np.array_equal(made, whole) and np.isfinite(made).all()


def coding_canvas(frames):
    return coding.canvas(*frames.shape[1:3])


GIB = 1 << 30
PUBLISHED = StarMemory(4_082_243_820, 390_971_388, DENOISING, CODING)


@pytest.mark.parametrize(("gigabytes", "places", "mode"), [
    (80, 122 * 184, "whole"), (24, 122 * 184, "whole"), (20, 122 * 184, "offloaded"),
    (12, 122 * 184, "tiled"), (12, 90 * 160, "tiled"),
])  # fmt: skip
def test_the_plan_is_the_least_that_fits(gigabytes, places, mode):
    budget = int(0.9 * gigabytes * GIB)
    cut = plan(PUBLISHED, 49, places, budget)
    assert cut.mode == mode
    for most, weights, grows in (
        (cut.network, PUBLISHED.network, DENOISING.times(40 / 32)),
        (cut.codec, PUBLISHED.codec, CODING),
    ):
        assert weights + grows.at(most or places) <= budget


def test_too_little_memory_is_a_sentence():
    with pytest.raises(OutOfMemoryError, match=r"star needs .* GB for its smallest tiles"):
        plan(PUBLISHED, 49, 122 * 184, 3 * GIB)


def test_what_was_counted_is_what_runs():
    """The largest sample of `memory.count_memory`; all of them take half a minute."""
    with torch.device("meta"):
        network = StarNetwork(StarSpec()).half().eval()
        x, text = torch.empty(32, 4, 122, 184).half(), torch.empty(1, 77, 1024).half()
        time = torch.zeros(1)
    live = peak_of(lambda: network(x, time, text, x), [network])
    assert live <= DENOISING.at(122 * 184) <= 1.1 * live
    narrow = scaled_memory(network, type("Vae", (torch.nn.Module,), {
        "config": type("C", (), {"block_out_channels": (128,)})})())  # fmt: skip
    assert narrow.network == PUBLISHED.network and narrow.denoising == DENOISING


@pytest.mark.parametrize("stop_after", [3])
def test_a_resumed_run_equals_an_unbroken_one(
    star, home, tmp_path, ffmpeg, stop_after, monkeypatch
):
    monkeypatch.setattr("src.upscaling.star.backend.EVALUATIONS", {"fast": 1})
    clip = tmp_path / "clip.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=16x16:rate=5:duration=1", "-c:v", "ffv1", clip)
    choice = UpscalerChoice("fast", 4, guidance_scale=1.0, upscaler="star", folder=star, seed=3)
    usual = {"codec": "x264", "crf": 0, "threads": 1, "segment": 2}
    whole = upscale_video(UpscaleJob(clip, tmp_path / "whole.mp4", choice, **usual))
    job, token = UpscaleJob(clip, tmp_path / "out.mp4", choice, **usual), CancelToken()

    def stop(progress):
        if progress.stage == "upscale" and progress.done == stop_after:
            token.cancel()

    with pytest.raises(CancelledError):
        upscale_video(job, stop, token)
    again = upscale_video(job)
    assert again.resumed >= 2 and again.frames == whole.frames == 5
    assert job.target.read_bytes() == whole.target.read_bytes()


def test_the_file_that_is_named_is_the_one_that_runs(star):
    path = star / "heavy_deg.safetensors"
    for noisy in (False, True):
        choice = UpscalerChoice("fast", 4, upscaler="x", detected=detect(path), noisy=noisy)
        assert choice.files()[0].path == path


@pytest.mark.parametrize("spec", ["no json", '{"dim": 7}', "[]"])
def test_widths_of_no_network_are_one_sentence(tmp_path, spec):
    path = tmp_path / "light_deg.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"format": FORMAT, "spec": spec})
    with pytest.raises(BadInputError, match=r"light_deg\.safetensors"):
        spec_of(path)


def test_a_prompt_that_is_followed_less_than_not_at_all_is_refused(star, home):
    with pytest.raises(BadInputError, match="--guidance-scale is 0.5; .* must be 1 or more"):
        load_backend(UpscalerChoice("fast", 4, upscaler="star", folder=star, guidance_scale=0.5))

"""Community networks: any single-image file of a known architecture, and nothing that could run
code.
"""

import importlib.util
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from src.cli.convert_upscaler import convert_upscaler_app
from src.cli.upscale_video import upscale_video_app
from src.core.errors import BadInputError
from src.core.upscale_request import EnhanceSettings, UpscaleRequest
from src.upscaling import community
from src.upscaling.backends import Stretch, UpscalerChoice, UpscaleRun
from src.upscaling.feeding import enlarged
from src.upscaling.registry import detect, load_backend
from src.upscaling.resolve import resolve_job
from tests.command_kit import run_here

LACKS = not importlib.util.find_spec("spandrel")
if LACKS and os.environ.get("CI"):
    raise RuntimeError("the tests of community networks need: " + community.EXTRA)
needs_spandrel = pytest.mark.skipif(LACKS, reason=f"spandrel is not here: {community.EXTRA}")


def compact_state(scale=2, features=8, convolutions=2):
    """Weights of a Compact network (SRVGGNetCompact), seeded."""
    random = torch.Generator().manual_seed(1)
    last, state = 2 * convolutions + 2, {}
    for place in range(0, last + 1, 2):
        out = 3 * scale**2 if place == last else features
        state[f"body.{place}.weight"] = 0.2 * torch.randn(
            out, 3 if place == 0 else features, 3, 3, generator=random
        )
        state[f"body.{place}.bias"] = torch.zeros(out)
        if place != last:
            state[f"body.{place + 1}.weight"] = torch.full((features,), 0.1)
    return state


def compact_by_hand(state, frame, scale=2):
    """The same sums by torch's functions alone: convolutions, PReLU, pixel shuffle, on the nearest
    enlargement.
    """
    from torch.nn import functional as F

    given = torch.from_numpy(frame.astype(np.float32) / 255).permute(2, 0, 1)[None]
    made, last = given, max(int(name.split(".")[1]) for name in state)
    for place in range(0, last + 1, 2):
        made = F.conv2d(made, state[f"body.{place}.weight"], state[f"body.{place}.bias"], padding=1)
        if place != last:
            made = F.prelu(made, state[f"body.{place + 1}.weight"])
    made = F.pixel_shuffle(made, scale) + F.interpolate(given, scale_factor=scale, mode="nearest")
    return made[0].permute(1, 2, 0).clamp(0, 1).numpy()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "street.safetensors"
    save_file(compact_state(), path, metadata={"license": "MIT"})
    return path


@pytest.fixture
def frame():
    return np.random.default_rng(0).integers(0, 256, (17, 23, 3)).astype(np.uint8)


@needs_spandrel
def test_a_file_says_its_architecture_scale_and_licence(file):
    spec = detect(file)
    assert (spec.backend, spec.usual, spec.scales("Compact"), spec.licence) == (
        "community",
        "Compact",
        (2,),
        "MIT",
    )
    assert "Compact, 2x" in spec.description and not spec.restricted


@needs_spandrel
@pytest.mark.parametrize("size", [(17, 23), (2, 2), (1, 40)])
def test_its_frames_are_those_of_the_architecture(file, size):
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    backend = load_backend(UpscalerChoice("Compact", 2, upscaler="street", detected=detect(file)))
    made = list(enlarged(backend, Stretch(frame[None]), EnhanceSettings(), UpscaleRun()))
    assert np.abs(made[0] - compact_by_hand(load_file(file), frame)).max() <= 1e-5


@needs_spandrel
def test_the_command_takes_it_by_its_path(file, clip, tmp_path):
    out = tmp_path / "out.mp4"
    done = run_here(
        upscale_video_app(),
        "--input",
        clip,
        "--output",
        out,
        "--upscaler",
        file,
        "--steady",
        0.5,
        "--end",
        1,
    )
    assert done.returncode == 0, done.stderr
    assert "licence: MIT" in done.stderr and out.is_file()
    done = run_here(
        upscale_video_app(), "--input", clip, "--output", out, "--upscaler", file, "--denoise", 1
    )
    assert (done.returncode, "--denoise does not apply to upscaler street" in done.stderr) == (
        2,
        True,
    )


@needs_spandrel
def test_a_restricted_licence_is_refused_unless_it_is_accepted(clip, tmp_path):
    path = tmp_path / "film.safetensors"
    save_file(compact_state(), path, metadata={"modelspec.license": "CC-BY-NC-4.0"})
    request = UpscaleRequest(input=clip, output=tmp_path / "out.mp4", upscaler=str(path))
    with pytest.raises(
        BadInputError, match=r"licence of film, CC-BY-NC-4.0, restricts .*--accept-licence"
    ):
        resolve_job(request, "cpu").check()
    resolve_job(request.model_copy(update={"accept_licence": True}), "cpu").check()


@needs_spandrel
@pytest.mark.parametrize(("tensors", "words"), [
    ({"a": torch.zeros(2)}, "is of no architecture that spandrel"),
    ({"body.0.weight": torch.full((2,), float("nan"))}, "not finite"),
])  # fmt: skip
def test_a_file_of_something_else_is_one_sentence(tmp_path, tensors, words):
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(BadInputError, match=words):
        detect(tmp_path / "other.safetensors")


@needs_spandrel
def test_nothing_of_torchvision_is_left_behind():
    community._spandrel()
    assert [name for name in sys.modules if name.split(".")[0] == "torchvision"] == []
    import transformers

    assert transformers.CLIPTextConfig()


def test_stand_ins_are_gone_also_after_a_failure():
    with pytest.raises(ZeroDivisionError), community.stand_ins():
        assert sys.modules["torchvision.transforms.functional"].rotate is None
        1 / 0  # noqa: B018
    assert "torchvision" not in sys.modules


def test_without_the_extra_one_sentence_names_the_file(file, monkeypatch):
    community._spandrel.cache_clear()
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(
        BadInputError, match="need spandrel: pip install --no-deps -r requirements-upscalers.txt"
    ):
        detect(file)
    community._spandrel.cache_clear()


def test_pickled_weights_are_not_loaded_but_converted_once(tmp_path, file):
    source, target = tmp_path / "street.pth", tmp_path / "made" / "street.safetensors"
    torch.save({"params_ema": load_file(file), "params": {}}, source)
    with pytest.raises(BadInputError, match=r"pickled.*src\.convert_upscaler"):
        detect(source)
    done = run_here(convert_upscaler_app(), "--input", source, "--output", target)
    assert done.returncode == 0, done.stderr
    made, wanted = load_file(target), load_file(file)
    assert made.keys() == wanted.keys() and all(
        torch.equal(made[name], wanted[name]) for name in wanted
    )


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "save",
    [
        lambda held, path: torch.save(held, path),
        lambda held, path: path.write_bytes(pickle.dumps(held)),
    ],
)
def test_a_pickle_with_a_payload_is_refused_and_does_not_run(tmp_path, save):
    source, trace = tmp_path / "bad.pth", tmp_path / "ran"
    save({"params": {"a": torch.zeros(1)}, "more": Payload(trace)}, source)
    done = run_here(
        convert_upscaler_app(), "--input", source, "--output", tmp_path / "bad.safetensors"
    )
    assert (done.returncode, "more than weights" in done.stderr) == (2, True), done.stderr
    assert not trace.exists() and not (tmp_path / "bad.safetensors").exists()


@pytest.mark.parametrize("data", [b"", b"no weights at all", b"PK\x03\x04"])
def test_a_file_that_holds_no_weights_is_one_sentence(tmp_path, data):
    (tmp_path / "bad.pth").write_bytes(data)
    done = run_here(
        convert_upscaler_app(),
        "--input",
        tmp_path / "bad.pth",
        "--output",
        tmp_path / "a.safetensors",
    )
    assert (done.returncode, "bad.pth holds" in done.stderr) == (2, True), done.stderr

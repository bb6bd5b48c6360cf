"""Optimised builds of the networks: proved before they are used, chosen once, named in what is
made.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from time import sleep

import numpy as np
import pytest
import torch

from src.build_cache.cache import BuildCache
from src.cli.builds import builds_app
from src.cli.upscale_video import upscale_video_app
from src.core.errors import BadInputError, CancelledError
from src.core.progress import CancelToken
from src.upscaling.builds import kinds, opening
from src.upscaling.builds.forms import TorchForm, enlarge_with
from src.upscaling.builds.kinds import KINDS, Kind
from src.upscaling.builds.opening import Opener
from src.upscaling.builds.proof import SIZES, compare_form, moving_clip
from src.upscaling.job import UpscaleJob
from src.upscaling.network_backend import NetworkBackend
from src.upscaling.runtime import NetworkRunner
from src.upscaling.stream import upscale_video
from tests.command_kit import run_here, use_weights

from .conftest import tiny_network

ANY = lambda _: None  # noqa: E731
"""Runs on every device."""


class Off(TorchForm):
    """Torch in float32, off by some noise that changes from frame to frame."""

    def __init__(self, network, by):
        super().__init__(network)
        self.by, self.name, self.random = by, "off", torch.Generator().manual_seed(0)

    def decode(self, frames, x, around, told):
        made = super().decode(frames, x, around, told)
        return made + self.by * torch.randn(made.shape, generator=self.random)


def kind(runtime, precision, by=0.0, lacks=ANY):
    return Kind(
        runtime, precision, lacks, lambda network, _: Off(network, by), facts=lambda: {"by": by}
    )


@pytest.fixture
def bf16_anywhere(monkeypatch):
    """bfloat16 also where the processor only emulates it: the same sums, slowly."""
    monkeypatch.setattr(kinds, "cpu_convolves_bf16", lambda: True)


@pytest.fixture
def opener(tmp_path):
    path = tmp_path / "fast_2x.safetensors"
    path.write_bytes(b"weights")
    return Opener(tiny_network(), path, "ab", BuildCache(tmp_path / "models"))


def use_kinds(patch, *more):
    patch.setattr(kinds, "KINDS", (KINDS[0], *more))


def test_without_a_wish_torch_runs_as_it_always_did(opener, frames):
    opened = opener.open(None, None)
    network = opener.network
    want = NetworkRunner(network).run(frames, 1, 1, (0.2, 0.1))
    made = NetworkRunner(network, form=opened.form).run(frames, 1, 1, (0.2, 0.1))
    assert np.array_equal(np.concatenate(list(want)), np.concatenate(list(made)))
    assert opened.build == "torch fp32" and not list(opener.cache.builds())


def test_a_clip_by_parts_equals_the_network_on_the_whole(opener):
    _, low = moving_clip("cat", 32, 48, 2)
    want = opener.network(low[None], torch.zeros(1, 2))[0]
    assert (
        enlarge_with(TorchForm(opener.network), low, torch.zeros(1, 2)) - want
    ).abs().max() < 1e-5


def test_the_proof_takes_three_sizes_of_moving_pictures():
    shapes = [
        tuple(moving_clip(name, 8 * high, 8 * wide, 2)[1].shape[2:]) for name, high, wide in SIZES
    ]
    assert len(set(shapes)) == 3
    for name, high, wide in SIZES:
        truth, low = moving_clip(name, 8 * high, 8 * wide, 2)
        assert truth.shape[2:] == (16 * high, 16 * wide) and low.std() > 0.05
        assert low.diff(dim=0).abs().mean((1, 2, 3)).min() > 1e-3


@pytest.mark.parametrize(("precision", "by", "words"), [
    ("fp32", 1e-3, "differs from torch by"),
    ("int8", 0.3, "loses .* dB and flickers"),
    ("bf16", float("nan"), "loses inf dB"),
])  # fmt: skip
def test_what_differs_too_far_never_enters_the_cache(opener, monkeypatch, precision, by, words):
    use_kinds(monkeypatch, kind("onnx", precision, by))
    with pytest.raises(BadInputError, match=f"onnx {precision} of fast_2x.*{words}"):
        opener.open("onnx", precision)
    assert not list(opener.cache.root.glob("*/*"))


def test_what_equals_torch_enters_it_once(opener, monkeypatch):
    use_kinds(monkeypatch, kind("onnx", "fp32", 1e-7))
    opened = opener.open("onnx", None)
    (build,) = opener.cache.builds()
    assert opened.build == f"onnx fp32 {build.folder.name[:12]}"
    assert 0 < build.facts["worst"] < 1e-5
    monkeypatch.setattr(opening, "compare_form", None)  # nothing is compared again
    assert opener.open("onnx", "fp32").build == opened.build


def test_other_versions_and_weights_are_other_builds(opener, monkeypatch):
    first = opener.key(kind("onnx", "fp32"))
    assert opener.key(kind("onnx", "fp32", 0.5)).digest != first.digest
    assert (
        Opener(opener.network, opener.path, "cd").key(kind("onnx", "fp32")).digest != first.digest
    )
    monkeypatch.setattr(opening, "machine", lambda _: {"cpu": ["another", "ANOTHER"]})
    assert opener.key(kind("onnx", "fp32")).digest != first.digest


def test_auto_takes_what_is_measured_fastest_and_remembers_it(opener, monkeypatch):
    use_kinds(monkeypatch, kind("onnx", "fp32"), kind("openvino", "fp32"))
    monkeypatch.setattr(opening, "seconds_a_frame", lambda *_: [3.0, 2.0, 1.0])
    assert opener.open("auto", None).build.startswith("openvino fp32")
    monkeypatch.setattr(opening, "seconds_a_frame", lambda *_: [1.0, 2.0, 3.0])
    assert opener.open("auto", "auto").build.startswith("openvino fp32")
    opener.cache.prune(0)
    assert opener.open("auto", "fp32").build.startswith("openvino fp32")


def test_processes_that_begin_together_take_the_same(opener, monkeypatch):
    """They lock a file, which threads do as well."""
    use_kinds(monkeypatch, kind("onnx", "fp32"))
    answers, measuring = iter([[1.0, 2.0], [2.0, 1.0]]), Event()

    def seconds(*_):
        measuring.set()
        sleep(0.5)
        return next(answers)

    monkeypatch.setattr(opening, "seconds_a_frame", seconds)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(opener.open, "auto", None)
        assert measuring.wait(60)
        second = pool.submit(opener.open, "auto", None)
    assert first.result().build == second.result().build == "torch fp32"
    assert next(answers) == [2.0, 1.0]


def test_auto_leaves_out_what_differs(opener, monkeypatch):
    use_kinds(monkeypatch, kind("onnx", "fp32"), kind("openvino", "int8", 0.5))
    monkeypatch.setattr(opening, "seconds_a_frame", lambda _, forms: list(range(len(forms), 0, -1)))
    assert opener.open("auto", None).build.startswith("onnx fp32")


def test_auto_leaves_out_a_library_that_does_not_load(opener, monkeypatch):
    def load(network, folder):
        raise ImportError("libgomp.so.1: cannot open shared object file")

    use_kinds(monkeypatch, Kind("onnx", "fp32", ANY, load))
    assert opener.open("auto", None).build == "torch fp32"
    with pytest.raises(BadInputError, match="onnx fp32: a library cannot be loaded: libgomp"):
        opener.open("onnx", None)


@pytest.mark.parametrize(
    ("runtime", "error", "raised"),
    [
        ("onnx", RuntimeError("Check failed"), BadInputError),
        ("onnx", RuntimeError("DefaultCPUAllocator: can't allocate memory"), RuntimeError),
        ("torch", RuntimeError("Check failed"), RuntimeError),
    ],
)
def test_what_a_library_raises_leaves_it_out_and_torchs_own_errors_go_up(
    opener, monkeypatch, runtime, error, raised
):
    def load(network, folder):
        raise error

    use_kinds(monkeypatch, Kind(runtime, "bf16", ANY, load))
    with pytest.raises(raised, match=str(error)):
        opener.open(runtime, "bf16")
    if raised is BadInputError:
        assert opener.open("auto", None).build == "torch fp32"


def test_every_form_is_timed(opener):
    taken = opening.seconds_a_frame(
        opener.network, [TorchForm(opener.network), TorchForm(opener.network, True)]
    )
    assert len(taken) == 2 and min(taken) > 0


def test_a_processor_without_bfloat16_refuses_it_and_auto_does_without(opener, monkeypatch):
    monkeypatch.setattr(kinds, "cpu_convolves_bf16", lambda: False)
    with pytest.raises(
        BadInputError, match=r"torch bf16: this processor has no AVX512-BF16 and no AMX"
    ):
        opener.open(None, "bf16")
    assert opener.open("torch", "auto").build == opener.open(None, "auto").build == "torch fp32"


def test_what_there_is_not_is_refused_with_what_there_is(opener):
    with pytest.raises(
        BadInputError, match=r"no build for --runtime torch --precision fp16; there are"
    ):
        opener.open("torch", "fp16")


def test_bfloat16_holds_its_proof_on_the_shipped_networks_shape(bf16_anywhere, opener):
    assert opener.open("torch", "bf16").build.startswith("torch bf16")
    (build,) = opener.cache.builds()
    assert build.facts["worst"] > 0 and build.facts["loss"] <= 0.05


def test_the_command_names_the_build(bf16_anywhere, clip, weights, tmp_path, monkeypatch):
    use_weights(monkeypatch, weights)
    given = ("--input", clip, "--preset", "fast", "--threads", 1, "--json")
    usual = run_here(upscale_video_app(), *given, "--output", tmp_path / "a.mp4")
    half = run_here(
        upscale_video_app(), *given, "--output", tmp_path / "b.mp4", "--precision", "bf16"
    )
    assert json.loads(usual.stdout)["builds"] == ["torch fp32"]
    (build,) = json.loads(half.stdout)["builds"]
    assert build.startswith("torch bf16 ") and len(build.split()[2]) == 12


def test_without_the_flags_older_work_is_found_again(choice, clip, tmp_path):
    job = UpscaleJob(clip, tmp_path / "out.mp4", choice)
    decides = job.decides({"a": "b"}, ("torch fp32",))
    assert decides == job.decides({"a": "b"}) and not {"builds", "asked"} & set(decides)
    asked = replace(job, choice=replace(choice, precision="bf16"))
    one, other = (asked.decides({"a": "b"}, (build,)) for build in ("torch bf16 1", "torch bf16 2"))
    assert one != other != decides


def test_a_stopped_run_goes_on_with_its_build_alone(bf16_anywhere, choice, clip, tmp_path):
    half = replace(choice, precision="bf16")
    usual = {"threads": 1, "segment": 5, "crf": 0}
    whole = upscale_video(UpscaleJob(clip, tmp_path / "whole.mp4", half, **usual))
    job, token = UpscaleJob(clip, tmp_path / "out.mp4", half, **usual), CancelToken()
    with pytest.raises(CancelledError):
        upscale_video(job, lambda progress: token.cancel() if progress.done == 12 else None, token)
    full = upscale_video(replace(job, choice=replace(choice, precision="fp32")))
    assert full.resumed == 0 and full.builds == ("torch fp32",)
    job.target.unlink()
    again = upscale_video(job)
    assert again.resumed >= 10 and again.builds == whole.builds
    assert job.target.read_bytes() == whole.target.read_bytes()


def test_each_pass_has_its_build(bf16_anywhere, choice):
    backend = NetworkBackend(replace(choice, scale=8, precision="bf16"))
    assert len(set(backend.builds)) == 2
    assert [runner.form.name for runner in backend.runners] == ["torch bf16"] * 2


def test_the_command_builds_lists_verifies_and_prunes(bf16_anywhere, weights, monkeypatch):
    use_weights(monkeypatch, weights)
    flags = ("--preset", "fast", "--precision", "bf16", "--runtime", "torch", "--threads", 1)
    made = run_here(builds_app(), "build", *flags, "--json")
    (name,) = json.loads(made.stdout)["builds"]
    (row,) = json.loads(run_here(builds_app(), "list", "--json").stdout)["builds"]
    assert row["name"].split("/")[1].startswith(name.split()[-1]) and row["runtime"] == "torch"
    assert "dB" in run_here(builds_app(), "list").stdout
    held = run_here(builds_app(), "verify")
    assert held.returncode == 0 and "at worst" in held.stdout
    monkeypatch.setattr(opening, "machine", lambda _: {"cpu": ["another"]})
    assert "another machine" in run_here(builds_app(), "verify").stdout
    monkeypatch.undo()
    assert run_here(builds_app(), "prune", "--keep", "lots").returncode == 2


def test_a_build_that_no_longer_holds_is_removed(bf16_anywhere, weights, monkeypatch):
    use_weights(monkeypatch, weights)
    flags = ("--preset", "fast", "--precision", "bf16", "--runtime", "torch", "--threads", 1)
    assert run_here(builds_app(), "build", *flags).returncode == 0
    found = replace(compare_form(TorchForm(tiny_network()), tiny_network()), loss=1.0)
    monkeypatch.setattr(opening, "compare_form", lambda *_: found)
    done = run_here(builds_app(), "verify")
    assert done.returncode == 5 and "1 of 1 builds did not hold" in done.stderr
    assert not list(BuildCache().builds())


def test_a_build_whose_library_does_not_load_is_kept(bf16_anywhere, weights, monkeypatch):
    use_weights(monkeypatch, weights)
    flags = ("--preset", "fast", "--precision", "bf16", "--runtime", "torch", "--threads", 1)
    assert run_here(builds_app(), "build", *flags).returncode == 0

    def load(network, folder):
        raise ImportError("libgomp.so.1")

    (bf16,) = (kind for kind in KINDS if kind.name == "torch bf16")
    use_kinds(monkeypatch, replace(bf16, load=load))
    done = run_here(builds_app(), "verify")
    assert (
        done.returncode,
        "cannot be compared here: torch bf16: a library cannot be loaded: libgomp" in done.stdout,
    ) == (0, True)
    assert len(list(BuildCache().builds())) == 1

"""Builds that other libraries compute: exported graphs, in float32 and in 8 bits, and what is asked
of TensorRT. No card is here: its part is computed by ONNX Runtime's CPU provider.
"""

import os
import tempfile
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from threading import Event, Thread, get_native_id
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from src.build_cache.cache import BuildCache
from src.core.errors import BadInputError, OutputError
from src.upscaling.builds import compiled, exported, int8, kinds, onnx_runtime, tensorrt
from src.upscaling.builds.kinds import KINDS, Kind, kinds_for, usual_runtime
from src.upscaling.builds.opening import Opener
from src.upscaling.builds.proof import EQUAL, compare_form
from src.upscaling.presets import network_spec
from src.upscaling.runtime import NetworkRunner
from tests.small_disk import small_disk

from .conftest import tiny_network

NAMED = {kind.name: kind for kind in KINDS}


def here(*names):
    """The kinds as parameters; those that this machine lacks something for are skipped. OpenVINO
    goes by the processor's own instructions, and fails where its oneDNN may not use them.
    """
    held = os.environ.get("ONEDNN_MAX_CPU_ISA") == "SSE41"
    lacking = {
        name: NAMED[name].lacks("cpu") or ("oneDNN is held to SSE4.1" if held and "openvino" in name
                                           else "")
        for name in names
    }  # fmt: skip
    return [
        pytest.param(name, marks=pytest.mark.skipif(bool(why), reason=f"{name}: {why}"))
        for name, why in lacking.items()
    ]


ALIGNED, ALONE = tiny_network(), tiny_network(align=0, heads=0)
"""Of two graphs and of one; the same for all tests, so that each is exported once in a row."""


@pytest.fixture
def network():
    return ALIGNED


@pytest.fixture
def opener(network, tmp_path):
    return opener_of(network, tmp_path)


def opener_of(network, folder):
    path = folder / "fast_2x.safetensors"
    path.write_bytes(b"weights")
    return Opener(network, path, "ab", BuildCache(folder / "models"))


def enlarged(network, frames, form=None, size=(33, 47)):
    runner = NetworkRunner(network, form=form)
    return np.concatenate(list(runner.run(frames[:, : size[0], : size[1]], 1, 2, (0.3, 0.1))))


@pytest.mark.slow
@pytest.mark.parametrize("name", here("onnx fp32", "openvino fp32"))
def test_a_graph_equals_torch_at_any_size_and_length(opener, frames, name):
    opened = opener.open(*name.split())
    assert opened.build.startswith(name)
    for size in ((33, 47), (2, 2), (2, 48)):  # the least that is exported for is two windows
        want = enlarged(opener.network, frames, None, size)
        made = enlarged(opener.network, frames, opened.form, size)
        assert made.shape == want.shape and np.abs(made - want).max() < EQUAL


@pytest.mark.slow
@pytest.mark.parametrize("name", here("onnx fp32", "openvino fp32", "openvino int8"))
def test_a_network_that_aligns_nothing_is_one_graph(tmp_path, frames, name):
    opener = opener_of(ALONE, tmp_path)
    opened = opener.open(*name.split())
    (build,) = opener.cache.builds()
    assert [part.name for part in build.folder.glob("*.onnx")] == ["whole.onnx"]
    differs = np.abs(enlarged(ALONE, frames, opened.form) - enlarged(ALONE, frames)).max()
    assert differs < EQUAL if "fp32" in name else EQUAL < differs < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", here("openvino int8"))
def test_eight_bits_are_near_torch_and_not_equal(opener, frames, name):
    opened = opener.open(None, "int8")
    assert opened.build.startswith(name)
    want, made = enlarged(opener.network, frames), enlarged(opener.network, frames, opened.form)
    assert EQUAL < np.abs(made - want).max() < 0.05
    (build,) = opener.cache.builds()
    assert {part.name for part in build.folder.glob("*.onnx")} == {"features.onnx", "decode.onnx"}


@pytest.mark.slow
@pytest.mark.parametrize("_", here("openvino int8"))
@pytest.mark.parametrize(
    ("full", "kilobytes"), [("cache", 24), ("cache", 80), ("temporary", 24), ("temporary", 200)]
)
def test_a_full_disk_is_a_sentence_whichever_it_is(tmp_path, monkeypatch, full, kilobytes, _):
    opener = opener_of(ALONE, tmp_path)
    with small_disk(tmp_path, kilobytes) as disk:
        if full == "cache":
            opener.cache = BuildCache(disk / "models")
        else:
            monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(OutputError, match="No space left on device"):
            opener.open(None, "int8")
        assert not list(tmp_path.rglob("*.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize("_", here("openvino int8"))
def test_places_and_the_last_convolution_stay_in_float(network, tmp_path, _):
    onnx = import_module("onnx")
    int8.write_int8(network, tmp_path)
    graph = onnx.load(tmp_path / "decode.onnx").graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    bits = {
        node.name: makers.get(node.input[1]) == "DequantizeLinear"
        for node in graph.node
        if node.op_type == "Conv"
    }
    exact = int8.kept_exact(graph)
    assert len(exact) == 3 == [*bits.values()].count(False)  # two neighbours, and the last
    assert not any(bits[name] for name in exact)
    features = onnx.load(tmp_path / "features.onnx").graph
    assert int8.kept_exact(features) == []


def test_a_place_comes_from_its_nearest_convolution():
    def node(kind, name, *given):
        return SimpleNamespace(op_type=kind, name=name, input=given, output=[name])

    value = SimpleNamespace(name="sum")
    graph = SimpleNamespace(output=[value, value], node=[
        node("Conv", "far", "x"), node("Conv", "near", "far"), node("Tanh", "bent", "near"),
        node("Add", "places", "own", "bent"), node("GridSample", "read", "x", "places"),
        node("Add", "sum", "read", "far"),
    ])  # fmt: skip
    assert int8.kept_exact(graph) == ["near"]
    graph.output = [value]
    assert int8.kept_exact(graph) == ["far", "near"]
    graph.node = graph.node[3:]
    with pytest.raises(AssertionError, match="places comes from no convolution"):
        int8.kept_exact(graph)


def test_a_precision_alone_is_torchs_where_torch_has_it():
    taken = {wish: usual_runtime(wish) for wish in (None, "auto", "fp32", "bf16", "int8", "fp16")}
    assert [*taken.values()] == ["torch"] * 4 + ["auto"] * 2


def test_compiling_is_asked_for_by_name():
    asked = [kind.name for kind in kinds_for("cpu", "auto", None)]
    assert "torch fp32" in asked and "compile fp32" not in asked


@pytest.mark.parametrize("name", ["onnx fp32", "openvino fp32", "openvino int8"])
def test_a_missing_extra_is_one_sentence(opener, monkeypatch, name):
    monkeypatch.setattr(exported, "find_spec", lambda name: None if name == "onnx" else True)
    words = f"{name}: it needs onnx: pip install --no-deps -r requirements-builds.txt"
    with pytest.raises(BadInputError, match=words):
        opener.open(*name.split())


@pytest.mark.soak  # half a minute on an idle core, minutes on a busy one
@pytest.mark.parametrize("name", here("compile fp32"))
def test_a_compiled_network_equals_torch(network, name):
    assert compare_form(compiled.CompiledForm(network), network).worst < EQUAL


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux's")
@pytest.mark.parametrize("_", here("openvino fp32"))
def test_a_run_keeps_to_no_core(tmp_path, _):
    """Else each process with one thread would compute on the first core, beside the others."""
    exported.write_graphs(ALONE, tmp_path)
    form = NAMED["openvino fp32"].load(ALONE, tmp_path)
    frame, told, own = torch.rand(1, 9, 64, 96), torch.zeros(1, 2), get_native_id()
    allowed, seen, done = os.sched_getaffinity(own), [], Event()

    def watch():
        while not done.is_set():
            seen.append(os.sched_getaffinity(own))

    watching = Thread(target=watch)
    watching.start()
    for _ in range(20):
        form.decode(frame[:, :3], frame, (frame,) * 3, told)
    done.set()
    watching.join()
    assert len(seen) > 20 and all(cores == allowed for cores in seen)


def test_a_key_knows_the_version_of_every_library(monkeypatch):
    """That of onnxruntime also where its distribution for GPUs is installed."""
    known = {"onnx": "1", "onnxscript": "2", "onnx_ir": "3", "tensorrt": "4"}

    def version(name):
        if name not in known:
            raise PackageNotFoundError(name)
        return known[name]

    monkeypatch.setattr(exported, "version", version)
    monkeypatch.setattr(exported, "import_module", lambda _: SimpleNamespace(__version__="5"))
    assert tensorrt.tensorrt_facts().items() >= (known | {"onnxruntime": "5"}).items()
    assert NAMED["onnx fp32"].facts()["onnxruntime"] == "5"


def test_tensorrt_says_what_it_lacks(monkeypatch):
    assert tensorrt.tensorrt_lacks("cpu") == "it runs on a GPU only"
    monkeypatch.setattr(exported, "find_spec", lambda _: True)
    providers = [onnx_runtime.CPU]
    runtime = SimpleNamespace(get_available_providers=lambda: providers)
    monkeypatch.setattr(tensorrt, "import_module", lambda _: runtime)
    assert "built without TensorRT: pip install onnxruntime-gpu" in tensorrt.tensorrt_lacks("cuda")
    providers.insert(0, tensorrt.TENSORRT)
    assert tensorrt.tensorrt_lacks("cuda") is None
    monkeypatch.setattr(tensorrt, "import_module", Mock(side_effect=ImportError("libcudart.so")))
    assert tensorrt.tensorrt_lacks("cuda") == "onnxruntime cannot be loaded: libcudart.so"


def test_engines_are_asked_for_sizes_on_the_grid_and_kept_with_the_build(tmp_path):
    spec = network_spec("balanced", 2)
    (name, options), other = tensorrt.engine_providers(spec, "decode", tmp_path)
    assert (name, other) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert options["trt_engine_cache_path"] == str(tmp_path) and options["trt_fp16_enable"]
    least = "x:1x16x16x48,before:1x8x8x48,y:1x8x8x48,after:1x8x8x48,told:1x2"
    assert options["trt_profile_min_shapes"] == least
    (_, options), _ = tensorrt.engine_providers(spec, "features", tmp_path)
    assert options["trt_profile_opt_shapes"] == "stacked:1x480x720x9,told:1x2"
    assert options["trt_profile_max_shapes"] == "stacked:1x2304x4096x9,told:1x2"


@pytest.mark.slow
@pytest.mark.parametrize("_", here("onnx fp32"))
def test_tensorrts_road_with_another_provider(opener, frames, monkeypatch, _):
    monkeypatch.setattr(tensorrt, "engine_providers", lambda *_: [onnx_runtime.CPU])
    own = NAMED["tensorrt fp16"]
    stand_in = Kind("tensorrt", "fp16", lambda _: None, own.load, own.make)
    monkeypatch.setattr(kinds, "KINDS", (KINDS[0], stand_in))
    opened = opener.open("tensorrt", None)
    assert opened.build.startswith("tensorrt fp16 ")
    made, want = enlarged(opener.network, frames, opened.form), enlarged(opener.network, frames)
    assert np.abs(made - want).max() < EQUAL


def test_nodes_that_fall_to_another_provider_are_told(monkeypatch):
    told = []
    monkeypatch.setattr(onnx_runtime, "logger", SimpleNamespace(warning=told.append))

    def piece(name, count):
        return SimpleNamespace(ep_name=name, get_nodes=lambda: [None] * count)

    pieces = [piece("A", 30), piece("C", 2), piece("C", 3)]
    session = SimpleNamespace(
        get_provider_graph_assignment_info=lambda: pieces, get_providers=lambda: ["A", "B", "C"]
    )
    onnx_runtime.tell_of_others("decode", session)
    pieces[1:] = []
    onnx_runtime.tell_of_others("decode", session)
    assert told == ["A leaves nodes of decode: 5 to C"]


@pytest.mark.parametrize("_", here("onnx fp32"))
def test_a_session_tells_where_its_nodes_went(network, tmp_path, _):
    exported.write_graphs(network, tmp_path)
    session = onnx_runtime.session_of(tmp_path / "features.onnx", [onnx_runtime.CPU])
    pieces = session.get_provider_graph_assignment_info()
    assert {piece.ep_name for piece in pieces} == {onnx_runtime.CPU}
    assert sum(len(piece.get_nodes()) for piece in pieces) > 5


@pytest.mark.parametrize("_", here("onnx fp32"))
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_another_provider_does_not_stand_in_for_the_one_that_is_asked_for(network, tmp_path, _):
    exported.write_graphs(network, tmp_path)
    asked = [(tensorrt.TENSORRT, {}), onnx_runtime.CPU]
    with pytest.raises(BadInputError, match="cannot load TensorrtExecutionProvider and would"):
        onnx_runtime.session_of(tmp_path / "features.onnx", asked)


def test_a_session_waits_for_what_the_card_still_computes(network, tmp_path, monkeypatch):
    came = []
    session = Mock(**{
        "get_inputs.return_value": [], "get_outputs.return_value": [],
        "get_providers.return_value": ["A"],
        "get_provider_graph_assignment_info.return_value": [],
        "run_with_iobinding.side_effect": lambda _: came.append("run"),
    })  # fmt: skip
    stream = SimpleNamespace(synchronize=lambda: came.append("wait"))
    monkeypatch.setattr(onnx_runtime, "session_of", lambda *_: session)
    monkeypatch.setattr(onnx_runtime.torch.cuda, "current_stream", lambda: stream)
    form = onnx_runtime.load_onnx("onnx", network, tmp_path)
    for on_card in (True, False):
        form.compute("features", (SimpleNamespace(is_cuda=on_card),) * 2, ())
    assert came == ["wait", "run", "run"]

"""`--upscale` and delivery through a network, on the one road."""

import hashlib
import json

import av
import pytest

from src.core.errors import BadInputError, MissingWeightsError
from src.core.plan import Upscale
from src.engine.batching.jobs_file import BatchJob
from src.engine.batching.run import plan_batch, run_batch
from src.engine.generate import generate, plans_for, prepare
from src.engine.manifest import SCHEMA_VERSION, read_manifest
from src.engine.replay import differences, prepare_replay
from tests.command_kit import use_weights


@pytest.fixture(autouse=True)
def _tiny_weights(weights, monkeypatch):
    use_weights(monkeypatch, weights)


@pytest.fixture
def make(request_for, cpu):
    def run(**fields):
        prepared = prepare(request_for(**{"score": False} | fields))
        return generate(prepared, plans_for(prepared, cpu), cpu)

    return run


def size(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.width, stream.height, stream.frames


@pytest.mark.parametrize(
    ("upscale", "wanted"), [("2x:fast", (128, 96, 9)), ("8x:fast", (512, 384, 9))]
)
def test_a_clip_is_enlarged_beyond_its_delivered_size(make, upscale, wanted):
    result = make(width=64, upscale=upscale, score=True)
    assert size(result.path) == wanted
    assert (result.plan.delivered.width, result.report["frames"]) == (64, 9)


def test_delivery_through_a_network_differs_from_lanczos_and_is_in_the_plan(make, weights):
    plain, network = make(width=128, delivery="lanczos"), make(width=128, delivery="fast")
    assert size(plain.path) == size(network.path) == (128, 96, 9)
    assert plain.frame_sha256 != network.frame_sha256
    assert (plain.plan.upscaler, network.plan.upscaler) == ("lanczos", "fast")
    file = weights / "fast_2x.safetensors"
    assert network.plan.upscaler_weights == {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
    }
    assert plain.plan.upscaler_weights == {}


def test_a_ratio_of_three_goes_through_4x_and_a_smaller_size_through_lanczos(make):
    assert list(make(width=192, delivery="fast").plan.upscaler_weights) == ["fast_4x.safetensors"]
    assert make(width=64, delivery="fast").plan.upscaler == "lanczos"


def test_an_enlarged_clip_is_replayed_bit_for_bit(make, cpu, tiny_folder):
    result = make(width=128, delivery="fast", upscale="2x:fast")
    replay = prepare_replay(result.manifest, model=str(tiny_folder))
    again = generate(replay.prepared, (replay.manifest.plan,), cpu)
    assert differences(replay.manifest, again, cpu) == ""
    assert replay.manifest.plan.upscale == Upscale(preset="fast", scale=2)


def test_other_upscaler_weights_are_said_before_a_replay(
    make, tiny_folder, tmp_path, weights, monkeypatch
):
    result = make(width=128, delivery="fast")
    other = tmp_path / "other"
    other.mkdir()
    (other / "fast_2x.safetensors").write_bytes((weights / "fast_4x.safetensors").read_bytes())
    use_weights(monkeypatch, other)
    with pytest.raises(BadInputError, match="other weights than the manifest names: fast_2x"):
        prepare_replay(result.manifest, model=str(tiny_folder))


def test_a_manifest_of_the_first_schema_still_reads_and_keeps_its_digest(make):
    result = make(width=128)
    data = json.loads(result.manifest.read_text("utf-8"))
    assert data["schema_version"] == SCHEMA_VERSION == 3
    del data["plan"]["upscale"], data["plan"]["upscaler_weights"]
    result.manifest.write_text(json.dumps(data | {"schema_version": 1}))
    manifest = read_manifest(result.manifest)
    assert manifest.plan.digest() == manifest.plan_sha256 and manifest.plan.upscale is None


@pytest.mark.parametrize(("fields", "kind", "words"), [
    ({"upscale": "3x"}, BadInputError, "2x, 4x or 8x"),
    ({"upscale": "2x:best"}, BadInputError, "it must be one of: fast, balanced, quality"),
    ({"upscale": "2x:quality"}, MissingWeightsError, "train_upscaler --preset quality --scale 2"),
    ({"width": 4096, "upscale": "8x:fast"}, BadInputError, "16384"),
    ({"delivery": "best"}, BadInputError, "delivery"),
])  # fmt: skip
def test_what_cannot_be_enlarged_is_refused_first(tiny_folder, photograph, fields, kind, words):
    from src.core.request import build_request

    usual = {"input_image": photograph, "prompt": "pan left", "model": str(tiny_folder)}
    with pytest.raises(kind, match=words):
        prepare(build_request(usual | fields))


def test_jobs_of_a_batch_are_enlarged(request_for, cpu, tmp_path):
    jobs = [BatchJob(id="one", request=request_for(width=64, upscale="2x:fast", score=False))]
    outcomes = run_batch(plan_batch(jobs, tmp_path, cpu), cpu, False, lambda _: None)
    assert size(outcomes[0].result.path) == (128, 96, 9)


def test_the_embedded_model_is_delivered_through_its_own_preset():
    from src.core.request import Request
    from src.engine.delivered import asked_enlargement
    from src.pipelines.models import find_model

    spec, request = find_model("nano"), Request(input_image="a.png", prompt="x")
    assert asked_enlargement(request, spec).upscaler == "nano"
    resampled = request.model_copy(update={"delivery": "lanczos"})
    assert asked_enlargement(resampled, spec).upscaler == "lanczos"

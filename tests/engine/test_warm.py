import pytest

from src.core.errors import BadInputError
from src.core.paths import REPOSITORY
from src.core.request import Request
from src.engine import warm
from src.engine.generate import generate, plans_for, prepare
from src.engine.probe import probe
from src.engine.sessions import Sessions
from src.pipelines import loading
from src.pipelines.locate import base_hash
from src.pipelines.models import find_model


def test_after_warming_a_plain_request_loads_nothing(tiny_folder, monkeypatch, home):
    loads, load = [], loading.load_pipeline
    monkeypatch.setattr(loading, "load_pipeline", lambda *args: loads.append(args) or load(*args))
    hardware, sessions = probe("cpu"), Sessions()
    warm.warm_up("optimized", "cpu", hardware, sessions, str(tiny_folder))
    assert len(loads) == 1
    assert not list((home / "examples").glob("*"))
    request = Request(input_image=warm.SAMPLE, prompt="pan left", model=str(tiny_folder),
                      device="cpu", num_inference_steps=3, score=False)  # fmt: skip
    prepared = prepare(request)
    result = generate(prepared, plans_for(prepared, hardware), hardware, sessions=sessions)
    assert len(loads) == 1
    assert result.path.is_file()


def test_an_unknown_mode_is_refused():
    with pytest.raises(BadInputError, match="NEWSREEL_WARM is 'turbo'"):
        warm.warm_up("turbo", "cpu", probe("cpu"), Sessions())


def test_the_description_is_that_of_the_model_and_its_weights(tiny_folder, monkeypatch):
    told = warm.describe_model("cpu")
    assert (told["name"], told["width"], told["height"], told["frames"], told["fps"]) == (
        "nano",
        240,
        160,
        49,
        8.0,
    )
    assert told["weights"] == base_hash(REPOSITORY / "checkpoints" / "nano")[:12]
    monkeypatch.setattr(
        "src.engine.generate.choose_model", lambda _: (find_model(str(tiny_folder)), "")
    )
    other = warm.describe_model("cpu")
    assert (other["name"], other["width"], other["height"]) == ("tiny", 64, 48)
    assert other["weights"] != told["weights"]

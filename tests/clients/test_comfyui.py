"""clients/comfyui: the node classes, loaded as ComfyUI loads a folder, against a live service. Of
ComfyUI itself only its three modules are stood in for, where a test is about them.
"""

import importlib.util
import json
import sys
import types

import pytest
import torch
from newsreel_client import JobFailedError, RefusedError

from src.core.paths import REPOSITORY
from tests.service.browser_kit import CLIP
from tests.service.conftest import RunningService

FOLDER = REPOSITORY / "clients" / "comfyui"
TYPES = {"IMAGE", "FLOAT", "INT", "STRING", "BOOLEAN"}


@pytest.fixture(scope="module")
def nodes():
    """As ComfyUI's `load_custom_node`: a module of the folder's own."""
    place = FOLDER / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        "comfyui_newsreel", place, submodule_search_locations=[str(FOLDER)]
    )
    module = sys.modules["comfyui_newsreel"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.NODE_CLASS_MAPPINGS
    for name in [name for name in sys.modules if name.startswith("comfyui_newsreel")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    home = tmp_path_factory.mktemp("comfy") / "home"
    home.mkdir()
    made = RunningService(home, NEWSREEL_AUTH="off", NEWSREEL_FAKE_CLIP=str(CLIP),
                          NEWSREEL_FAKE_SECONDS="0.4")  # fmt: skip
    made.start().ready("/ready")
    yield made
    made.clean()


@pytest.fixture
def photograph():
    return torch.rand(1, 48, 64, 3)


def _run(nodes, name, **inputs):
    node = nodes[name]()
    return getattr(node, node.FUNCTION)(**inputs)


def test_the_nodes_have_what_comfyui_asks_of_them(nodes):
    for name, node in nodes.items():
        asked = node.INPUT_TYPES()
        kinds = [each[0] for part in asked.values() for each in part.values()]
        assert all(isinstance(kind, list) or kind in TYPES for kind in kinds), name
        assert set(node.RETURN_TYPES) <= TYPES
        assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
        assert callable(getattr(node, node.FUNCTION))
        assert "key" not in {field for part in asked.values() for field in part}


def test_the_workflow_names_nodes_and_fields_that_there_are(nodes):
    workflow = json.loads((FOLDER / "examples" / "workflow.json").read_text("utf-8"))
    for step in workflow.values():
        if (node := nodes.get(step["class_type"])) is None:
            continue
        asked = node.INPUT_TYPES()
        assert set(asked["required"]) <= set(step["inputs"]) <= {*asked["required"],
                                                                 *asked["optional"]}  # fmt: skip
        for value in step["inputs"].values():
            source = isinstance(value, list) and nodes.get(workflow[value[0]]["class_type"])
            assert not source or value[1] < len(source.RETURN_TYPES)
    assert {"NewsreelGenerate", "NewsreelUpscale", "NewsreelScore"} <= {
        step["class_type"] for step in workflow.values()
    }


def test_a_clip_its_score_and_its_enlargement(nodes, service, photograph, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    frames, fps, score, job, file = _run(
        nodes, "NewsreelGenerate", photograph=photograph, prompt="pan left", seed=7, url=service.url
    )
    assert frames.dtype == torch.float32 and frames.ndim == 4 and frames.shape[3] == 3
    assert 0 <= float(frames.min()) <= float(frames.max()) <= 1
    assert file.startswith(str(tmp_path)) and fps == 8.0
    told = _run(nodes, "NewsreelScore", job=job, url=service.url)
    assert told["result"][:2] == (score, True)
    assert told["ui"]["text"] == ["temporal score 1.00 (accepted)"]
    larger, _, other, _ = _run(
        nodes, "NewsreelUpscale", frames=frames[:3], fps=fps, scale=2, quality="fast",
        url=service.url,
    )  # fmt: skip
    assert other != job
    assert larger.ndim == 4


def test_frames_go_to_the_service_as_they_are(nodes, tmp_path):
    pictures = sys.modules["comfyui_newsreel.newsreel_nodes.pictures"]
    ramp = torch.linspace(0, 1, 64).repeat(48, 1)[None, ..., None].repeat(5, 1, 1, 3)
    pictures.write_clip(ramp, 12.0, tmp_path / "a.mp4")
    again, fps = pictures.read_clip(tmp_path / "a.mp4")
    assert (again.shape, fps) == (ramp.shape, 12.0)
    assert float((again - ramp).abs().mean()) < 0.02
    pictures.write_clip(ramp[:, :47, :63], 8.0, tmp_path / "odd.mp4")
    assert pictures.read_clip(tmp_path / "odd.mp4")[0].shape[1:3] == (46, 62)


def test_what_is_refused_is_said_in_the_services_words(nodes, service, photograph):
    with pytest.raises(RefusedError, match="num_frames|frames"):
        _run(nodes, "NewsreelGenerate", photograph=photograph, prompt="p", seed=1, num_frames=13,
             url=service.url)  # fmt: skip
    with pytest.raises(RefusedError):
        _run(nodes, "NewsreelScore", job="0" * 21, url=service.url)


class Interrupted(Exception):
    """As ComfyUI's own."""


def test_cancelling_in_comfyui_cancels_the_job(nodes, service, photograph, monkeypatch):
    def interrupted():
        raise Interrupted

    management = types.SimpleNamespace(throw_exception_if_processing_interrupted=interrupted)
    shown = []
    bar = types.SimpleNamespace(
        ProgressBar=lambda total: types.SimpleNamespace(
            update_absolute=lambda *told: shown.append(told)
        )
    )
    monkeypatch.setitem(sys.modules, "comfy", types.ModuleType("comfy"))
    monkeypatch.setitem(sys.modules, "comfy.model_management", management)
    monkeypatch.setitem(sys.modules, "comfy.utils", bar)
    with pytest.raises(Interrupted) as caught:
        _run(nodes, "NewsreelGenerate", photograph=photograph, prompt="stop", seed=2,
             url=service.url)  # fmt: skip
    assert "was cancelled" in caught.value.__notes__[0]


def test_a_job_that_fails_says_why(nodes, service, photograph, monkeypatch):
    service_module = sys.modules["comfyui_newsreel.newsreel_nodes.service"]
    from newsreel_client import Newsreel

    def failing(self, *_, **__):
        job = plain(self, photograph_bytes, "p")
        self.cancel(job)
        return job

    plain = Newsreel.submit
    photograph_bytes = sys.modules["comfyui_newsreel.newsreel_nodes.pictures"].as_png(photograph)
    with pytest.raises(JobFailedError):
        service_module.made(service.url, failing)

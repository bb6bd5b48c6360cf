"""What a worker would refuse is refused at submission, by the worker's own checks."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from safetensors.numpy import save_file

from src.api import forms
from src.api.planning import Planning
from src.core.hardware import Hardware
from src.core.paths import CHECKPOINTS
from src.core.request import Request
from src.database.database import Database
from src.jobs.holding import FORGOTTEN_S
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob
from tests.waiting import wait_until

CPU = Hardware(device="cpu", name="a processor", memory=16 << 30, free_memory=8 << 30)
CARD = Hardware(
    device="cuda", name="a card", memory=24 << 30, free_memory=1 << 30, capability=(8, 6), bf16=True
)
NOW = {"Prefer": "respond-async"}


@pytest.fixture(params=[None, CPU, CARD], ids=["no worker yet", "processor", "card"])
def client(request, make_client):
    made = make_client(work=False, auth="off")
    if request.param is not None:
        info = {"hardware": request.param.model_dump(mode="json")}
        made.app.state.service.leases.hold_device("d", "w", "elsewhere/boot/1/0", info)
    return made


def _post(client, jpeg, **fields):
    files = {"image": ("p.jpg", jpeg, "image/jpeg")}
    return client.post("/generate-video", data={"prompt": "p"} | fields, files=files, headers=NOW)


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [({"profile": "turbo"}, 422, "unknown profile"), ({"cache": "magic"}, 422, "unknown cache"),
     ({"cache": "taylorseer=1.5"}, 422, "whole number"), ({"num_frames": "10"}, 422, "frames"),
     ({"width": "800", "height": "800"}, 422, "cannot deliver"),
     ({"upscale": "4x:dove/quality"}, 503, "no weights for preset quality"),
     ({"upscale": "8x:fast", "width": "6480", "height": "4320"}, 422, "16384 pixels"),
     ({"model": "cogvideox-5b-i2v"}, 503, "not on this machine"),
     ({"mode": "baseline", "cache": "pyramid"}, 422, "baseline"),
     ({"guidance_interval": "0,0.01", "num_inference_steps": "3"}, 422,
      "holds none of the steps")],
)  # fmt: skip
def test_what_the_worker_would_refuse_is_refused(client, jpeg, home, fields, status, words):
    answer = _post(client, jpeg, **fields)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert client.get("/jobs").json()["jobs"] == []
    assert not (home / "photographs").exists()


def test_what_the_worker_would_take_is_taken(client, jpeg):
    for fields in (
        {},
        {"mode": "baseline"},
        {"upscale": "2x:fast"},
        {"model": "nano", "cache": "first_block=0.1", "num_inference_steps": "4"},
    ):
        assert _post(client, jpeg, **fields).status_code == 202, fields


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """A folder of adapters and models of a test's own, where the API looks for them."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    monkeypatch.setattr(forms, "CHECKPOINTS", folder)
    monkeypatch.setattr(
        forms,
        "under_checkpoints",
        lambda name, field: str(folder / name) if (folder / name).exists() else _gone(name),
    )
    return folder


def _gone(name):
    from src.core.errors import MissingFileError

    raise MissingFileError(f"{name} is not under checkpoints/")


def test_bad_adapters_are_refused(client, jpeg, checkpoints):
    import numpy as np

    (checkpoints / "text.safetensors").write_bytes(b"no adapter")
    save_file({"other": np.zeros((2, 2), np.float32)}, checkpoints / "none.safetensors")
    (checkpoints / "pickled.bin").write_bytes(b"x")
    (checkpoints / "empty").mkdir()
    for name, words in (("text.safetensors", "safetensors"),
                        ("none.safetensors", "no LoRA weights"), ("none.safetensors=0", "weight 0"),
                        ("pickled.bin", "not a .safetensors"), ("empty", "has none of"),
                        ("gone", "not under checkpoints")):  # fmt: skip
        answer = _post(client, jpeg, model="nano", lora=name)
        assert answer.status_code in (404, 422)
        assert words in answer.json()["detail"], answer.text
        assert str(checkpoints) not in answer.text


def test_model_folders_that_are_not_whole_are_refused(client, jpeg, checkpoints):
    shutil.copytree(
        CHECKPOINTS / "nano", checkpoints / "mine", ignore=shutil.ignore_patterns("*.safetensors")
    )
    answer = _post(client, jpeg, model="mine")
    assert answer.status_code in (404, 422)
    assert "no weights" in answer.json()["detail"]
    (checkpoints / "mine" / "model_index.json").write_text("[]")
    assert _post(client, jpeg, model="mine").status_code == 422


def test_models_and_adapters_are_found_wherever_the_service_was_started(
    client, jpeg, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("nano", "checkpoints/nano"):
        assert _post(client, jpeg, model=name).status_code == 202, name


def test_uploads_that_the_worker_would_refuse_are_refused(client, jpeg, home):
    files = {"video": ("v.mp4", jpeg, "video/mp4")}
    for settings, status in (
        ({"guideScale": 3}, 422),
        ({"quality": "dove/quality", "scale": 4}, 503),
    ):
        answer = client.post("/api/upload", files=files, data={"settings": json.dumps(settings)})
        assert answer.status_code == status, answer.text
        assert not (home / "uploads").exists()


def test_a_job_whose_photograph_is_gone_is_not_tried_again(client, jpeg, home):
    job = _post(client, jpeg).json()["id"]
    client.post(f"/jobs/{job}/cancel")
    next((home / "photographs").iterdir()).unlink()
    assert client.post(f"/jobs/{job}/retry").status_code == 409
    assert client.post(f"/clips/{job}/retry", data={"csrf": "open"}).status_code == 409
    plain, _ = client.app.state.service.store.submit(NewJob("generate", "open", {"prompt": "p"}))
    client.post(f"/jobs/{plain.id}/cancel")
    assert client.post(f"/jobs/{plain.id}/retry").status_code == 200


def test_a_rush_of_requests_is_checked_once(make_client, monkeypatch):
    planning = make_client(work=False, auth="off").app.state.service.planning
    checked, free = [], threading.Event()

    def check(request):
        checked.append(request)
        assert free.wait(60)
        return 49.0

    monkeypatch.setattr(planning, "_check", check)
    asked = [Request(prompt=f"p {number}", input_image="photograph") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        costs = [pool.submit(planning.generate, request) for request in asked]
        wait_until(lambda: checked)
        free.set()
        assert [cost.result(60) for cost in costs] == [49.0] * 8
    assert len(checked) == 1


class Workers:
    """Workers that told something so many seconds ago, and who asks them to plan."""

    def __init__(self, database: Database) -> None:
        self.now = 1_790_000_000.0
        self.leases = LeaseStore(database, lambda: self.now)

    def tell(self, worker, ago, hardware):
        at = self.now
        self.now = at - ago
        self.leases.hold_device(f"{worker}/x", worker, "elsewhere/boot/1/0", {"hardware": hardware})
        self.now = at

    def machines(self):
        return Planning(self.leases, 0.0).machines()


CPU_TOLD, CARD_TOLD = CPU.model_dump(mode="json"), CARD.model_dump(mode="json")


@pytest.fixture
def workers(database):
    return Workers(database)


def test_a_machine_that_fell_silent_plans_nothing_while_another_lives(workers):
    workers.tell("gone", 61, CARD_TOLD)
    workers.tell("here", 1, CPU_TOLD)
    assert workers.machines() == [CPU]


def test_while_nobody_lives_those_of_the_last_day_are_planned_for(workers):
    workers.tell("long gone", FORGOTTEN_S + 1, CPU_TOLD)
    assert workers.machines() == []
    workers.tell("restarts", 300, CARD_TOLD)
    assert workers.machines() == [CARD]


@pytest.mark.parametrize(("held", "status", "words"), [
    ((), 422, "no worker has told yet how many devices it holds"),
    ((1,), 422, "no worker holds more than 1 device for a clip"),
    ((1, 2), 422, "no worker holds more than 2 devices for a clip"),
    ((1, 5), 202, ""),
])  # fmt: skip
def test_a_clip_for_more_devices_than_any_worker_holds_is_refused(
    make_client, jpeg, held, status, words
):
    client = make_client(work=False, auth="off")
    for count in held:
        told = {"hardware": CPU.model_copy(update={"held": count}).model_dump(mode="json"),
                "gpus": count}  # fmt: skip
        service = client.app.state.service
        service.leases.hold_device(f"d{count}", f"w{count}", "elsewhere/boot/1/0", told)
    answer = _post(client, jpeg, gpus="5", guidance_scale="1")
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert client.get("/health").json()["gpus"] == max(held, default=None)
    stored = [job["request"].get("gpus") for job in client.get("/jobs").json()["jobs"]]
    assert stored == ([5] if status == 202 else [])
    if status == 202:
        other = _post(client, jpeg, gpus="3", guidance_scale="1")  # five heads
        assert other.status_code == 422 and "--gpus 3" in other.text


def test_a_machine_of_another_version_is_left_out_and_no_job_is_refused_for_it(
    make_client, jpeg, workers
):
    newer = CARD_TOLD | {"tomorrow": 1}
    workers.tell("newer", 1, newer)
    assert workers.machines() == []
    workers.tell("here", 1, CPU_TOLD)
    assert workers.machines() == [CPU]
    client = make_client(work=False, auth="off")
    client.app.state.service.leases.hold_device(
        "d", "newer too", "elsewhere/boot/1/0", {"hardware": newer}
    )
    assert _post(client, jpeg).status_code == 202

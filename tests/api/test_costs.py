"""What jobs over HTTP cost follows their upscaler and the machines that there are."""

import pytest
from sqlalchemy import update

from src.api.derived import labelled_copy_job
from src.api.problems import ApiError
from src.api.security import open_account
from src.catalog import upscalers
from src.database.tables import jobs
from src.engine.reckoning import effort
from src.jobs.leases import LeaseStore
from src.jobs.model import NewJob, State, written
from src.media.videos import VideoFacts
from src.worker.engine_runner import EngineRunner
from src.worker.loop import Worker
from tests.api.test_planning import CARD, CPU
from tests.waiting import wait_until


def service_on(make_client, *machines, **values):
    service = make_client(work=False, auth="off", **values).app.state.service
    for number, each in enumerate(machines):
        info = {"hardware": each.model_dump(mode="json")}
        service.leases.hold_device(f"d{number}", f"w{number}", "elsewhere/boot/1/0", info)
    return service


@pytest.mark.parametrize(("machines", "device"), [((), "cuda"), ((CPU,), "cpu"), ((CARD,), "cuda"),
                                                  ((CPU, CARD), "cuda")])  # fmt: skip
def test_the_fastest_machine_counts(make_client, machines, device):
    planning = service_on(make_client, *machines, max_cost=0).planning
    for upscaler, preset in (("newsreel", "fast"), ("newsreel", "balanced"), ("star", "fast")):
        name = upscalers.find_upscaler(upscaler).known_as(preset)
        asked = {"upscaler": upscaler, "preset": preset, "scale": 4}
        assert planning.enlarging(10.0, asked) == 160 * effort(name, 4, device)


def test_star_is_refused_where_it_would_take_days_and_taken_on_a_card(make_client):
    asked = {"upscaler": "star", "preset": "fast", "scale": 4, "refine": None}
    with pytest.raises(ApiError, match="an upscaler that computes less"):
        service_on(make_client, CPU).planning.enlarging(49 / 4, asked)
    assert service_on(make_client, CARD).planning.enlarging(49 / 4, asked) < 1e6


def test_an_upload_is_reckoned_by_its_facts(make_client):
    planning = service_on(make_client, CPU).planning
    facts = VideoFacts(frames=98, width=360, height=240)
    asked = {"preset": "balanced", "scale": 2}
    assert planning.upscale(facts, asked) == pytest.approx(98 * effort("balanced", 2, "cpu"))
    more = planning.upscale(facts, asked | {"refine": "sdxl"})
    assert more == pytest.approx(98 * effort("balanced", 2, "cpu", "sdxl"))


def test_what_follows_an_enlargement_pays_for_frames_and_not_for_its_upscaler(client):
    service = client.app.state.service
    job, _ = service.store.submit(NewJob("generate", "open", {"prompt": "p"}, cost=7777.0))
    wait_until(lambda: service.store.get(job.id).state is State.COMPLETED)
    assert written(service.store.get(job.id)) == 7777.0  # of a version whose results say no size
    told = service.store.get(job.id).result | {"frames": 49, "width": 1440, "height": 960}
    with service.database.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(result=told))
    client.post(f"/clips/{job.id}/upscale", data={"csrf": "open", "quality": "fast"})
    assert service.store.page()[0].cost == 196 * 4
    copy = labelled_copy_job(service, open_account(service), service.store.get(job.id))
    assert copy.cost == 196


def test_results_of_the_engine_say_the_size(make_client, jpeg):
    client = make_client(work=False, auth="off")
    asked = {"prompt": "pan left", "model": "nano", "score": "false", "upscale": "2x:fast",
             "num_frames": "9", "width": "360", "height": "240"}  # fmt: skip
    head = {"Prefer": "respond-async"}
    sent = client.post(
        "/generate-video", data=asked, files={"image": ("p.jpg", jpeg)}, headers=head
    )
    assert sent.status_code == 202, sent.text
    service = client.app.state.service
    leases = LeaseStore(service.database)
    Worker(leases, EngineRunner(service.files), service.files, "host/cpu", once=True).run()
    job = service.store.get(sent.json()["id"])
    assert job.state is State.COMPLETED, job.error
    assert (job.result["width"], job.result["height"]) == (720, 480)
    assert written(job) == job.cost == 9

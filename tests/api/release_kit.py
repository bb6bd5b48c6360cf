"""What persons of a service with approval do with a clip."""

from src.jobs.model import State
from tests.waiting import wait_until


def make(client, heads, jpeg, who="anna"):
    sent = client.post(
        "/generate-video", headers={**heads[who], "Prefer": "respond-async"},
        files={"image": ("a.jpg", jpeg)}, data={"prompt": "pan left"},
    ).json()  # fmt: skip
    store = client.app.state.service.store
    wait_until(lambda: store.get(sent["id"]).state is State.COMPLETED)
    return client.get(f"/jobs/{sent['id']}", headers=heads[who]).json()


def do(house, release, action, who, **told):
    client, heads = house
    return client.post(f"/releases/{release}/{action}", headers=heads[who], json=told)


def draft(house, clip, **more):
    client, heads = house
    sent = client.post("/releases", headers=heads["anna"], json={"job": clip["id"]} | more)
    assert sent.status_code == 201, sent.text
    return sent.json()["id"]


def released(house, clip, embargo=None, **more):
    made = draft(house, clip, **more)
    assert do(house, made, "submit", "anna").status_code == 200
    assert do(house, made, "approve", "chief").status_code == 200
    told = {} if embargo is None else {"embargo": embargo.isoformat()}
    assert do(house, made, "release", "cms", **told).status_code == 200
    return made


def later(house, monkeypatch, at):
    """The service's clock, from now on."""
    from src.api import releases as module

    monkeypatch.setattr(module.time, "time", lambda: at)
    service = house[0].app.state.service
    service.releasing.store.clock = service.store.clock = module.time.time

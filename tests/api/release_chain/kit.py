"""A house with approval whose clips are signed: what its persons do, and what is read of files."""

import json

import numpy as np

from src.jobs.leases import LeaseStore
from src.media.reader import VideoReader
from src.worker.loop import Worker
from src.worker.runners import FakeRunner
from tests.api.release_kit import do
from tests.trust.kit import boxes


def dress(client, clip):
    from src.accounts.rights import Right, Role

    accounts, heads = client.app.state.service.accounts, {}
    for name, role, rights, person in [
        ("anna", Role.SUBMIT, (), "Anna"), ("boss", Role.ADMIN, (), "Boss"),
        ("chief", Role.READ, (Right.APPROVE,), "Chief"), ("cms", Role.READ, (Right.RELEASE,), ""),
    ]:  # fmt: skip
        secret, _ = accounts.create(name, role, 1000, 100_000, rights=rights, person=person)
        heads[name] = {"Authorization": f"Bearer {secret}"}
    client.clip = clip
    return client, heads


def work(client, runner=None):
    """Make everything that waits."""
    service = client.app.state.service
    leases = LeaseStore(service.database)
    runner = runner or FakeRunner(clip=client.clip)
    Worker(leases, runner, service.files, "host/fake", once=True).run()


def ask(house, jpeg, **more):
    """A job of Anna's that waits."""
    client, heads = house
    return client.post(
        "/generate-video", headers={**heads["anna"], "Prefer": "respond-async"} | more,
        files={"image": ("a.jpg", jpeg)}, data={"prompt": "pan left"},
    )  # fmt: skip


def sent(house, jpeg):
    """A job of hers that is done."""
    client, heads = house
    asked = ask(house, jpeg).json()
    work(client)
    return client.get(f"/jobs/{asked['id']}", headers=heads["anna"]).json()


def draft(house, clip, who="anna", **more):
    client, heads = house
    sent = client.post("/releases", headers=heads[who], json={"job": clip["id"]} | more)
    assert sent.status_code == 201, sent.text
    return sent.json()


def let_out(house, release):
    for action, who in (("submit", "anna"), ("approve", "chief"), ("release", "cms")):
        done = do(house, release["id"], action, who)
        assert done.status_code == 200, done.text
    return done.json()


def look(house, url, target, who="anna"):
    client, heads = house
    answer = client.get(url, headers=heads[who])
    assert answer.status_code == 200, answer.text
    target.write_bytes(answer.content)
    return target


def frames(path):
    with VideoReader(path) as reader:
        return [frame.array for frame in reader]


def record(path):
    import c2pa

    told = json.loads(c2pa.Reader(str(path)).json())
    active = told["manifests"][told["active_manifest"]]
    return told, {each["label"]: each["data"] for each in active["assertions"]}


def media(path):
    """What the boxes of picture and sound hold."""
    data = path.read_bytes()
    return [data[begin : begin + size] for kind, begin, size in boxes(data) if kind == "mdat"]


def same(first, second):
    return all(np.array_equal(*pair) for pair in zip(frames(first), frames(second), strict=True))

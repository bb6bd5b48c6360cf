"""clients/python against a live service whose workers copy a clip."""

import asyncio
import dataclasses
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from newsreel_client import (
    AsyncNewsreel,
    Job,
    JobFailedError,
    Newsreel,
    NotSubmittedError,
    Progress,
    RefusedError,
    Release,
    Verdict,
    WaitedTooLongError,
)

from src.accounts.accounts import Accounts
from src.accounts.rights import Right, Role
from src.api.releases import ReleaseView
from src.api.schemas import JobView, ProgressView
from src.api.verify import Verdict as Answer
from src.core.paths import REPOSITORY
from src.database.database import Database
from tests.door import Door
from tests.service.browser_kit import CLIP, PHOTOGRAPH
from tests.service.conftest import RunningService
from tests.trust.kit import need_packages

FOLDER = REPOSITORY / "clients" / "python"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    home = tmp_path_factory.mktemp("service") / "home"
    home.mkdir()
    made = RunningService(home, NEWSREEL_AUTH="on", NEWSREEL_FAKE_CLIP=str(CLIP),
                          NEWSREEL_FAKE_SECONDS="0.4", NEWSREEL_APPROVAL="on")  # fmt: skip
    made.start().ready("/ready")
    made.accounts = Accounts(Database(f"sqlite:///{home / 'newsreel.db'}"))
    made.key, _ = made.accounts.create("desk", Role.SUBMIT, 1000, 1000)
    yield made
    made.clean()


@pytest.fixture
def newsreel(service):
    with Newsreel(service.url, service.key) as made:
        yield made


def test_its_types_are_those_of_the_openapi_document():
    for ours, theirs in (
        (Job, JobView), (Progress, ProgressView), (Release, ReleaseView), (Verdict, Answer),
    ):  # fmt: skip
        assert [each.name for each in dataclasses.fields(ours)] == list(theirs.model_fields)
    for field in dataclasses.fields(Job):
        schema = JobView.model_json_schema()["properties"][field.name]
        nullable = {"type": "null"} in schema.get("anyOf", [])
        assert ("None" in str(field.type)) == nullable, field.name


def test_a_clip_with_progress(newsreel, tmp_path):
    told = []
    job = newsreel.submit(PHOTOGRAPH, "Market", seed=7, score=False, guidance_interval=(0, 0.8))
    assert (job.state, job.request["seed"], job.request["score"]) == ("PENDING", 7, False)
    done = newsreel.wait(job, told.append, timeout_s=60, every_s=0.05)
    assert done.state == "COMPLETED" and told[-1] == done
    assert [each.progress.done for each in told] == sorted(each.progress.done for each in told)
    assert len(told) >= 3
    path = newsreel.download(done, tmp_path / "clip.mp4")
    assert path.read_bytes() == CLIP.read_bytes()
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["clip.mp4"]


def test_a_drafts_full_clip(newsreel):
    draft = newsreel.wait(newsreel.submit(PHOTOGRAPH, "Market", seed=7, draft=True), every_s=0.05)
    full = newsreel.full(draft)
    assert (full.request["seed"], full.request.get("draft")) == (7, None)
    assert newsreel.full(draft).id == full.id
    with pytest.raises(RefusedError, match="is no draft") as caught:
        newsreel.full(newsreel.wait(full, every_s=0.05))
    assert caught.value.status == 409


def test_templates_and_several_pages(service, tmp_path):
    key, _ = service.accounts.create("other", Role.SUBMIT, 1000, 1000)
    with Newsreel(service.url, key) as newsreel:
        made = [newsreel.submit(PHOTOGRAPH.read_bytes(), template="briefing", set={"city": "Lyon"})
                for _ in range(3)]  # fmt: skip
        assert made[0].request["set"] == {"city": "Lyon"}
        assert [job.id for job in newsreel.jobs(limit=1)] == [job.id for job in made[::-1]]


def test_a_lost_answer_makes_no_second_clip(service):
    key, _ = service.accounts.create("lossy", Role.SUBMIT, 1000, 1000)
    door = Door(service.port, [0])
    with Newsreel(door.url, key) as newsreel:
        job = newsreel.submit(PHOTOGRAPH, "once")
        assert [each.id for each in newsreel.jobs()] == [job.id]
    door.close()


def test_a_broken_download_goes_on(service, newsreel, tmp_path):
    job = newsreel.wait(newsreel.submit(PHOTOGRAPH, "Market"), every_s=0.05)
    door = Door(service.port, [300_000, 300_000])
    with Newsreel(door.url, service.key) as lossy:
        path = lossy.download(job, tmp_path / "clip.mp4")
    door.close()
    assert door.connections == 3
    assert path.read_bytes() == CLIP.read_bytes()


def test_another_process_goes_on_with_a_download(newsreel, tmp_path):
    job = newsreel.wait(newsreel.submit(PHOTOGRAPH, "Market"), every_s=0.05)
    for left in (100_000, CLIP.stat().st_size):
        partial = tmp_path / f".clip.mp4.{job.artifact}.partial"
        partial.write_bytes(b"x" * 10 + CLIP.read_bytes()[10:left])
        path = newsreel.download(job, tmp_path / "clip.mp4")
        # its own bytes show that they were not fetched again
        assert path.read_bytes() == b"x" * 10 + CLIP.read_bytes()[10:]
        assert not partial.exists()


def test_an_enlargement(newsreel, tmp_path):
    job = newsreel.upscale(CLIP, scale=2, quality="fast", denoiseLevel=0.2)
    assert job.kind == "upscale"
    done = newsreel.wait(job, every_s=0.05)
    assert newsreel.download(done, tmp_path / "larger.mp4").stat().st_size > 0
    with pytest.raises(RefusedError) as caught:
        newsreel.upscale(b"no film")
    assert caught.value.status == 422


def test_what_goes_wrong_has_its_error(service, newsreel, tmp_path):
    with pytest.raises(RefusedError, match="give either prompt or template") as caught:
        newsreel.submit(PHOTOGRAPH)
    assert caught.value.status == 422 and caught.value.request_id
    with pytest.raises(RefusedError) as caught:
        newsreel.job("0" * 21)
    assert caught.value.status == 404
    job = newsreel.submit(PHOTOGRAPH, "Market")
    with pytest.raises(WaitedTooLongError):
        newsreel.wait(job, timeout_s=0, every_s=0)
    with pytest.raises(JobFailedError):
        newsreel.download(job, tmp_path / "early.mp4")
    assert newsreel.cancel(job).cancel_requested
    with pytest.raises(JobFailedError, match="cancelled|CANCELLED") as failed:
        newsreel.wait(job, every_s=0.05)
    assert failed.value.job.state == "CANCELLED"
    newsreel.delete(job)
    assert list(tmp_path.glob("*.mp4")) == []


def test_a_quota_is_no_reason_to_wait_for_an_hour(service):
    key, _ = service.accounts.create("few", Role.SUBMIT, 1000, 1)
    with Newsreel(service.url, key) as newsreel:
        newsreel.submit(PHOTOGRAPH, "Market")
        with pytest.raises(RefusedError) as caught:
            newsreel.submit(PHOTOGRAPH, "Market")
    assert (caught.value.status, caught.value.retry_after) == (429, 3600)


def test_the_same_for_asyncio(service, tmp_path):
    async def day():
        told = []
        door = Door(service.port, [0, 300_000])
        async with AsyncNewsreel(door.url, service.key) as newsreel:
            job = await newsreel.submit(PHOTOGRAPH, "Async market")
            done = await newsreel.wait(job, told.append, every_s=0.05)
            path = await newsreel.download(done, tmp_path / "clip.mp4")
            assert path.read_bytes() == CLIP.read_bytes()
            found = [each.id async for each in newsreel.jobs(q="Async market")]
            assert found == [job.id] and told[-1] == done
            larger = await newsreel.upscale(CLIP, quality="fast")
            assert (await newsreel.wait(larger, every_s=0.05)).state == "COMPLETED"
            await newsreel.delete(larger)
            with pytest.raises(RefusedError):
                await newsreel.cancel(job)
            assert (await newsreel.job(job.id)).state == "COMPLETED"
        door.close()

    asyncio.run(day())


def test_the_example_runs(service, tmp_path):
    text = (FOLDER / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 30
    (tmp_path / "photo.jpg").write_bytes(PHOTOGRAPH.read_bytes())
    told = {"NEWSREEL_URL": service.url, "NEWSREEL_KEY": service.key, "PYTHONPATH": str(FOLDER)}
    example = re.search(r"^```python\n(.*?)^```$", text, re.M | re.S)[1]
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, env=os.environ | told, check=True,
                   timeout=120)  # fmt: skip
    assert {"clip.mp4", "larger.mp4"} <= {each.name for each in tmp_path.iterdir()}


def test_the_wheel_is_small_and_needs_httpx_alone(tmp_path):
    copy = tmp_path / "source"
    copy.mkdir()
    for path in FOLDER.rglob("*"):
        if path.suffix in (".py", ".toml", ".md", ".typed") and "build" not in path.parts:
            target = copy / path.relative_to(FOLDER)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    command = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path]
    subprocess.run([sys.executable, "-m", "pip", *command, copy], check=True, timeout=120)
    wheel = next(Path(tmp_path).glob("*.whl"))
    assert wheel.stat().st_size < 50_000
    with zipfile.ZipFile(wheel) as archive:
        told = archive.read(next(n for n in archive.namelist() if n.endswith("METADATA"))).decode()
        assert "newsreel_client/py.typed" in archive.namelist()
    assert re.findall(r"^Requires-Dist: (.*)$", told, re.M) == ["httpx<1,>=0.27"]
    loads = "import sys, newsreel_client; sys.exit(any(n in sys.modules for n in ('torch', 'src')))"
    paths = {"PYTHONPATH": str(wheel)}
    subprocess.run([sys.executable, "-c", loads], cwd=tmp_path, env=os.environ | paths, check=True)


def test_a_clip_is_asked_for_approved_released_and_withdrawn(newsreel, service):
    make = service.accounts.create
    chief, _ = make("chief", Role.READ, rights=[Right.APPROVE], person="Anna Berg")
    cms, _ = make("cms", Role.READ, rights=[Right.RELEASE])
    job = newsreel.wait(newsreel.submit(PHOTOGRAPH, "Harbour, pan left"), timeout_s=60)
    asked = newsreel.ask_approval(job, note="for tonight")
    with Newsreel(service.url, chief) as approver, Newsreel(service.url, cms) as output:
        with pytest.raises(RefusedError, match="may read, submit") as refused:
            newsreel.approve(asked)
        assert refused.value.status == 403
        found = next(iter(approver.releases(state="submitted", limit=1)))
        assert (found.id, found.may, found.note) == (asked.id, ["approve", "reject"], "for tonight")
        with pytest.raises(RefusedError, match="bytes"):
            approver.approve(dataclasses.replace(found, sha256="0" * 64))
        done = approver.approve(found)
        with pytest.raises(RefusedError, match="is approved"):
            approver.approve(found)
        out = output.release(done.id)
        assert newsreel.look_at_release(out).state == "released"
        assert output.withdraw(out, "wrong harbour").reason == "wrong harbour"


def test_a_licence_is_accepted_by_a_field(newsreel):
    wish = {"model": "ltx-video", "mode": "baseline"}
    with pytest.raises(RefusedError, match=r"has limits: LTXV.*accept_licence=true"):
        newsreel.submit(PHOTOGRAPH, "Pan left", **wish)
    with pytest.raises(RefusedError, match="hf download Lightricks/LTX-Video"):
        newsreel.submit(PHOTOGRAPH, "Pan left", accept_licence=True, **wish)


def test_the_same_for_asyncio_and_a_rejection(service):
    key, _ = service.accounts.create("chief2", Role.READ, rights=[Right.APPROVE], person="Bo")

    async def steps():
        async with (AsyncNewsreel(service.url, service.key) as mine,
                    AsyncNewsreel(service.url, key) as chief):  # fmt: skip
            job = await mine.wait(await mine.submit(PHOTOGRAPH, "Pan up"), timeout_s=60)
            asked = await mine.ask_approval(job)
            states = {each.id: each.state async for each in chief.releases(state="submitted")}
            assert states[asked.id] == "submitted" and set(states.values()) == {"submitted"}
            return await chief.reject(asked, "the sign is wrong")

    done = asyncio.run(steps())
    assert (done.state, done.reason) == ("rejected", "the sign is wrong")


def test_what_a_file_says_of_itself(newsreel):
    need_packages()
    told = newsreel.verify(CLIP)
    assert (told.changed, told.layers["c2pa"]["state"]) == (False, "none")


@pytest.mark.parametrize("told", [{"note": "for tonight"}, {"embargo": "2090-12-01T06:00:00Z"}])
def test_what_is_said_with_a_labelled_copy_is_not_dropped(newsreel, told):
    job = newsreel.wait(newsreel.submit(PHOTOGRAPH, "Harbour, tilt down"), timeout_s=60)
    with pytest.raises(NotSubmittedError, match="give note and embargo to submit_release") as early:
        newsreel.ask_approval(job, label=True, **told)
    draft = early.value.release
    assert draft.state == "draft"
    newsreel.wait(draft.job, timeout_s=60)
    done = newsreel.submit_release(newsreel.look_at_release(draft), **told)
    assert done.state == "submitted" and {name: getattr(done, name) for name in told} == told


def test_a_labelled_copy_is_a_draft_until_it_is_submitted(newsreel):
    job = newsreel.wait(newsreel.submit(PHOTOGRAPH, "Harbour, tilt up"), timeout_s=60)
    draft = newsreel.ask_approval(job, label=True)
    assert (draft.state, draft.labelled) == ("draft", True) and draft.job != job.id
    newsreel.wait(draft.job, timeout_s=60)
    ready = newsreel.look_at_release(draft)
    assert ready.draft_url
    assert newsreel.submit_release(ready, "for tonight").state == "submitted"

"""The unmodified `openai` client against a real port. Its videos are marked deprecated, as OpenAI's
own service has ended.
"""

import io
import os
import re
import subprocess
import sys
import time
from importlib import import_module

import pytest
from PIL import Image

from src.accounts.accounts import Accounts
from src.accounts.rights import Role
from src.core.paths import REPOSITORY
from src.database.database import Database
from tests.door import Door
from tests.service.browser_kit import CLIP, PHOTOGRAPH
from tests.service.conftest import RunningService

WHERE = "pip install -r requirements-clients-tests.txt"
in_ci = os.environ.get("CI")
openai = import_module("openai") if in_ci else pytest.importorskip("openai", reason=WHERE)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
STEP_S = 0.5


def _service(home, seconds):
    home.mkdir(parents=True)
    service = RunningService(home, NEWSREEL_AUTH="on", NEWSREEL_FAKE_CLIP=str(CLIP),
                             NEWSREEL_FAKE_SECONDS=str(seconds))  # fmt: skip
    service.start().ready("/ready")
    service.accounts = Accounts(Database(f"sqlite:///{home / 'newsreel.db'}"))
    return service


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A service whose clips take no time."""
    service = _service(tmp_path_factory.mktemp("quick") / "home", 0.2)
    yield service
    service.clean()


@pytest.fixture
def slow(tmp_path):
    """One whose clips take steps of STEP_S."""
    service = _service(tmp_path / "slow" / "home", 4 * STEP_S)
    yield service
    service.clean()


def _client(service, role=Role.SUBMIT, **limits):
    secret, _ = service.accounts.create(
        "desk", role, **{"per_minute": 1000, "per_day": 1000} | limits
    )
    return openai.OpenAI(api_key=secret, base_url=f"{service.url}/v1")


@pytest.fixture
def client(quick):
    return _client(quick)


@pytest.fixture
def photograph():
    return PHOTOGRAPH.read_bytes()


def _wait(client, video, status):
    begin = time.monotonic()
    while (found := client.videos.retrieve(video.id)).status != status:
        assert time.monotonic() - begin < 60, found
        time.sleep(0.05)
    return found


def test_create_and_poll(client, photograph):
    video = client.videos.create_and_poll(
        prompt="Press briefing, slow push in", input_reference=io.BytesIO(photograph),
        seconds="4", size="720x480", extra_body={"seed": 7, "set": {}},
    )  # fmt: skip
    assert (video.status, video.progress, video.object) == ("completed", 100, "video")
    assert (video.seconds, video.size, video.frames, video.seed) == ("4", "720x480", 33, 7)
    assert video.created_at <= video.completed_at < video.expires_at
    assert video.error is None and video.temporal_score == 1.0


def test_three_pages_of_a_list(quick, photograph):
    client = _client(quick)
    made = [client.videos.create(prompt=f"p {number}", input_reference=photograph).id
            for number in range(5)]  # fmt: skip
    first = client.videos.list(limit=2)
    pages = list(first.iter_pages())
    assert [len(page.data) for page in pages] == [2, 2, 1]
    assert sorted(video.id for page in pages for video in page.data) == sorted(made)
    oldest = [video.id for video in client.videos.list(limit=2, order="asc")]
    assert oldest == [video.id for video in client.videos.list(limit=100)][::-1]


def _by_id(call, video_id, **values):
    """The client refuses video={"id": ...} before it sends anything; it passes beside it."""
    return call(video=openai.omit, extra_body={"video": {"id": video_id}}, **values)


def test_remix_and_edit(client, photograph):
    source = client.videos.create_and_poll(
        prompt="Market", input_reference=photograph, seconds="4", extra_body={"seed": 11}
    )
    for other in (
        client.videos.remix(source.id, prompt="Market at night"),
        _by_id(client.videos.edit, source.id, prompt="Market in rain"),
    ):
        assert other.remixed_from_video_id == source.id != other.id
        assert (other.seconds, other.seed) == ("4", 11)
        assert client.videos.poll(other.id).status == "completed"


def test_each_variant_of_the_content(client, photograph):
    video = client.videos.create_and_poll(prompt="p", input_reference=photograph)
    assert client.videos.download_content(video.id).read() == CLIP.read_bytes()
    part = client.videos.download_content(video.id, extra_headers={"Range": "bytes=0-15"})
    assert part.read() == CLIP.read_bytes()[:16]
    frame = client.videos.download_content(video.id, variant="thumbnail").read()
    assert Image.open(io.BytesIO(frame)).size == (720, 480)
    sheet = client.videos.download_content(video.id, variant="spritesheet").read()
    assert Image.open(io.BytesIO(sheet)).size == (960, 480)


def test_delete_when_it_is_done(quick, client, photograph):
    video = client.videos.create_and_poll(prompt="p", input_reference=photograph)
    client.videos.download_content(video.id, variant="thumbnail").read()
    gone = client.videos.delete(video.id)
    assert (gone.id, gone.deleted, gone.object) == (video.id, True, "video.deleted")
    left = [path for path in quick.home.rglob("*") if video.id.removeprefix("video_") in path.name]
    assert left == []
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(video.id)


def test_delete_of_a_running_and_a_waiting_one(slow, photograph):
    client = _client(slow)
    running = client.videos.create(prompt="runs", input_reference=photograph)
    waiting = client.videos.create(prompt="waits", input_reference=photograph)
    assert (waiting.status, waiting.progress) == ("queued", 0)
    assert _wait(client, running, "in_progress").progress < 100
    once = client.with_options(max_retries=0)  # the first answer says that it is gone
    assert once.videos.delete(waiting.id).deleted
    assert once.videos.delete(running.id).deleted
    time.sleep(2 * STEP_S)
    assert client.videos.list().data == []
    files = [path.name for path in (slow.home / "outputs").rglob("*") if path.is_file()]
    assert [name for name in files if running.id.removeprefix("video_") in name] == []


def test_a_video_is_gone_on_with(client, photograph):
    source = client.videos.create_and_poll(
        prompt="Market", input_reference=photograph, seconds="2", extra_body={"seed": 5}
    )
    longer = _by_id(client.videos.extend, source.id, prompt="Rain sets in", seconds="2")
    assert longer.extended_from_video_id == source.id
    assert longer.status == "queued"
    done = _wait(client, longer, "completed")
    assert done.prompt == "Rain sets in"
    assert client.videos.download_content(done.id).read().startswith(b"\0\0\0")
    file = client.videos.download_content(source.id).read()
    sent = client.videos.extend(video=file, prompt="By its file", seconds="2")
    assert sent.extended_from_video_id is not None
    again = client.videos.remix(done.id, prompt="Snow instead")
    assert (again.extended_from_video_id, again.remixed_from_video_id) == (source.id, done.id)
    _wait(client, again, "completed")


def _asks(photograph):
    """What is wrong, its class, and param and code of the answer."""
    unknown = "video_" + "0" * 21

    def create(**values):
        wanted = {"prompt": "p", "input_reference": photograph} | values
        return lambda client: client.videos.create(**wanted)

    bad, missing = openai.BadRequestError, openai.NotFoundError
    return {
        "no photograph": (lambda client: client.videos.create(prompt="p"), bad,
                          "input_reference", "missing_required_parameter"),
        "no picture": (create(input_reference=b"text"), bad, "input_reference", "invalid_value"),
        "length": (create(seconds="12"), bad, "seconds", "invalid_value"),
        "size": (create(size="720x1280"), bad, "size", "invalid_value"),
        "model": (create(model="sora-2"), bad, "model", "model_not_found"),
        "parameter": (create(extra_body={"wobble": 1}), bad, "wobble", "unknown_parameter"),
        "seed": (create(extra_body={"seed": -1}), bad, "seed", "invalid_value"),
        "unknown video": (lambda client: client.videos.retrieve(unknown), missing,
                          "video_id", "video_not_found"),
        "unknown page": (lambda client: client.videos.list(after=unknown), bad,
                         "after", "video_not_found"),
        "extension": (
            lambda client: _by_id(client.videos.extend, unknown, prompt="p", seconds="4"),
            bad, "video", "video_not_found"),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(_asks(b"")))
def test_what_is_wrong_is_said(client, photograph, name):
    ask, kind, param, code = _asks(photograph)[name]
    with pytest.raises(kind) as caught:
        ask(client)
    error = caught.value
    assert (error.type, error.param, error.code) == ("invalid_request_error", param, code)
    assert error.request_id and error.body["message"] in str(error)


def test_keys_and_quotas(quick, photograph):
    stranger = openai.OpenAI(api_key="nr_wrong", base_url=f"{quick.url}/v1")
    with pytest.raises(openai.AuthenticationError) as caught:
        stranger.videos.list()
    assert (caught.value.type, caught.value.code) == ("authentication_error", "invalid_api_key")
    with pytest.raises(openai.PermissionDeniedError) as caught:
        _client(quick, Role.READ).videos.create(prompt="p", input_reference=photograph)
    assert caught.value.type == "permission_error"
    few = _client(quick, per_day=1).with_options(max_retries=0)
    few.videos.create(prompt="p", input_reference=photograph)
    with pytest.raises(openai.RateLimitError) as caught:
        few.videos.create(prompt="p", input_reference=photograph)
    assert (caught.value.type, caught.value.code) == ("rate_limit_error", "rate_limit_exceeded")


def test_what_is_not_ready_is_not_asked_again(slow, photograph):
    client = _client(slow)
    video = client.videos.create(prompt="p", input_reference=photograph)
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.download_content(video.id)
    assert caught.value.code == "video_not_ready"


def test_a_retried_post_makes_one_job(quick, photograph):
    door, client = Door(quick.port, [0]), _client(quick)
    lossy = client.with_options(base_url=f"{door.url}/v1", timeout=20)
    video = lossy.videos.create(prompt="once", input_reference=photograph)
    door.close()
    assert door.connections == 2
    assert [each.id for each in client.videos.list()] == [video.id]


def test_the_examples_of_the_page_run(quick, tmp_path):
    page = (REPOSITORY / "docs" / "openai.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    assert len(blocks) >= 2
    (tmp_path / "photo.jpg").write_bytes(PHOTOGRAPH.read_bytes())
    secret, _ = quick.accounts.create("reader", Role.SUBMIT, 1000, 1000)
    told = {"OPENAI_API_KEY": secret, "OPENAI_BASE_URL": f"{quick.url}/v1"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", "\n".join(blocks)], cwd=tmp_path,
                   env=os.environ | told, check=True, timeout=120)  # fmt: skip
    assert (tmp_path / "clip.mp4").read_bytes() == CLIP.read_bytes()

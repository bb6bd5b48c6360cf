"""An editor's day in a real Chromium: the first clip from login to download, news that cannot die,
and what was typed surviving whatever happens to the page.
"""

import base64
import json

import pytest

from src.accounts.rights import Role
from src.database.database import Database
from src.jobs.model import NewJob
from src.jobs.store import JobStore
from tests.service.browser_kit import CLIP, PHOTOGRAPH, SAMPLES, log_in, make, open_page, shot
from tests.waiting import wait_until

DROP = """async ([files, where]) => {
  const data = new DataTransfer();
  for (const [name, text] of files) {
    const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
    data.items.add(new File([bytes], name, { type: 'image/png' }));
  }
  const event = { dataTransfer: data, bubbles: true, cancelable: true };
  document.querySelector(where).dispatchEvent(new DragEvent('drop', event));
}"""
SLOW = {"fake_steps": 100, "fake_seconds": 60}


def _drop(page, *photographs):
    files = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in photographs]
    page.evaluate(DROP, [files, "#drop"])


def _store(home):
    return JobStore(Database(f"sqlite:///{home / 'newsreel.db'}"))


def test_the_first_day_of_an_editor(browser, site):
    """Log in, drop, choose a template, wait, compare, enlarge, download."""
    page = open_page(browser, site)
    log_in(page, site)
    assert "No clips yet" in page.inner_text("#board")
    assert page.locator("#make").bounding_box()["y"] < 768 - 44, "the studio is above the fold"
    _drop(page, PHOTOGRAPH)
    page.wait_for_selector("#chosen:not([hidden])")
    assert page.locator("#chosen").evaluate("image => getComputedStyle(image).objectFit") == "cover"
    page.click("label[for=template-archive]")
    page.fill("#slot-archive-year", "1971")
    shot(page, "day-1-studio")
    page.click("#make")
    page.wait_for_url("**/clips/*")
    shot(page, "day-2-waiting")
    page.wait_for_selector("#player", timeout=60_000)
    assert "Archive photograph of the old town, 1971" in page.inner_text("h1")
    page.click("text=Compare with the photograph")
    page.wait_for_selector("#transport:not([hidden])")
    page.click("#on")
    wait_until(lambda: page.locator("video").evaluate("film => film.currentTime") > 0)
    shot(page, "day-3-compare")
    page.go_back()
    page.click("text=Enlarge it twice")
    page.wait_for_selector("figure:nth-child(2) video", timeout=60_000)
    shot(page, "day-4-enlarged")
    with page.expect_download() as started:
        page.click(".actions >> text=Download")
    assert started.value.path().read_bytes() == CLIP.read_bytes()
    assert page.problems == []


def test_the_list_brings_itself_up_to_date(browser, site, home):
    store = _store(home)
    page = open_page(browser, site)
    log_in(page, site)
    wait_until(lambda: page.get_attribute("html", "data-stream") == "open")
    job, _ = store.submit(
        NewJob("generate", site.account.id, {"prompt": "From another place"} | SLOW)
    )
    tile = f"#tile-{job.id}"
    page.wait_for_selector(tile, timeout=30_000)
    wait_until(lambda: "drawing the movement" in page.inner_text(tile))
    wait_until(lambda: page.locator(f"{tile} progress").evaluate("bar => bar.value") > 1)
    second, _ = store.submit(NewJob("generate", site.account.id, {"prompt": "Behind it"}))
    wait_until(
        lambda: (
            page.locator(f"#tile-{second.id}").count()
            and "next in line" in page.inner_text(f"#tile-{second.id}")
        )
    )
    store.cancel(job.id)
    wait_until(lambda: "Stopped" in page.inner_text(tile))
    page.wait_for_selector(f"#tile-{second.id} .badge", timeout=30_000)
    video = page.locator(f"#tile-{second.id} video")
    assert video.get_attribute("src") is None, (
        "clips of the list are fetched when they are looked at"
    )
    page.hover(f"#tile-{second.id} .face")
    wait_until(lambda: video.evaluate("film => film.currentTime") > 0)
    page.mouse.move(0, 0)
    wait_until(lambda: video.evaluate("film => film.paused"))


def test_progress_goes_on_when_the_stream_is_closed(browser, site, home):
    page = open_page(browser, site)
    log_in(page, site)
    page.context.route("**/jobs/events*", lambda route: route.fulfill(status=503, body="no"))
    page.add_init_script("delete window.SharedWorker")
    job, _ = _store(home).submit(
        NewJob("generate", site.account.id, {"prompt": "p", "fake_steps": 8, "fake_seconds": 8})
    )
    page.goto(f"{site.url}/clips/{job.id}")
    page.wait_for_selector("#player", timeout=60_000)
    assert page.get_attribute("html", "data-stream") is None


def test_many_tabs_share_one_stream(browser, site):
    """Browsers open six connections to a host: a stream a tab would stop the seventh."""
    page = open_page(browser, site)
    log_in(page, site)
    tabs = [page, *(page.context.new_page() for _ in range(7))]
    for tab in tabs[1:]:
        tab.goto(site.url, timeout=30_000)
    for tab in tabs:
        wait_until(lambda tab=tab: tab.get_attribute("html", "data-stream") == "open")


def test_what_was_typed_survives_reload_refusal_and_an_ended_login(browser, site, tmp_path):
    page = open_page(browser, site)
    log_in(page, site)
    _drop(page, PHOTOGRAPH)
    page.fill("#prompt", "Kept, pan left")
    page.click("text=More choices")
    page.fill("#seed", "abc")

    def is_kept():
        name = page.evaluate("document.getElementById('image').files[0]?.name")
        return (name, page.input_value("#prompt")) == (PHOTOGRAPH.name, "Kept, pan left")

    page.wait_for_timeout(600)  # drafts are written a moment after the last key
    page.reload()
    wait_until(is_kept)
    page.click("#make")
    page.wait_for_selector("#trouble .error")
    assert "seed" in page.inner_text("#trouble")
    assert is_kept()
    page.fill("#seed", "7")
    page.context.clear_cookies(name="newsreel_session")
    page.click("#make")
    page.wait_for_selector("#trouble a")
    assert "You were logged out" in page.inner_text("#trouble")
    page.click("#trouble a")
    page.fill("#key", site.secret)
    page.keyboard.press("Enter")
    page.wait_for_selector("#prompt")
    wait_until(is_kept)
    page.click("#make")
    page.wait_for_url("**/clips/*")
    page.goto(site.url)
    page.wait_for_timeout(600)
    assert page.input_value("#prompt") == "", "what was sent is no draft any more"


def test_a_photograph_that_is_sent_without_a_login_asks_for_one(browser, site):
    """The service reads no large body of a stranger; nothing else of the page looks up the login
    meanwhile.
    """
    page = open_page(browser, site)
    log_in(page, site)
    _drop(page, PHOTOGRAPH)
    page.fill("#prompt", "Kept, pan left")
    page.route(
        "**/*",
        lambda route: (
            route.abort() if route.request.resource_type == "fetch" else route.continue_()
        ),
    )
    page.context.clear_cookies(name="newsreel_session")
    page.click("#make")
    page.wait_for_selector("#trouble a")
    assert "You were logged out" in page.inner_text("#trouble")


def test_a_refusal_from_before_any_page_is_said_in_its_words(browser, site):
    page = open_page(browser, site)
    log_in(page, site)
    _drop(page, PHOTOGRAPH)
    page.fill("#prompt", "Pan left")
    told = {
        "status": 413,
        "title": "Too large",
        "detail": "the request is larger than the 1 MB that are read",
    }
    page.route("**/submit", lambda route: route.fulfill(status=413, json=told))
    page.click("#make")
    page.wait_for_selector("#trouble .error")
    assert "larger than the 1 MB" in page.inner_text("#trouble")


def test_several_photographs_and_both_wordings(browser, site, home):
    page = open_page(browser, site)
    log_in(page, site)
    _drop(page, *sorted(SAMPLES.glob("sample_image_*.png"))[:2])
    page.wait_for_selector("#several li:nth-child(2)")
    page.fill("#prompt", "Pan left")
    page.click("label[for=template-weather]")
    page.wait_for_selector("#choice", state="visible")
    page.click("#make")
    page.wait_for_selector("#choice.asked")
    assert _store(home).page() == []
    page.check("#choice input[value=prompt]")
    page.click("#make")
    wait_until(lambda: len(_store(home).page()) == 2)
    assert {json.dumps(job.request.get("prompt")) for job in _store(home).page()} == {'"Pan left"'}
    wait_until(lambda: page.locator(".tile").count() == 2)


def test_pin_delete_again_and_a_desk(browser, site, home):
    page = open_page(browser, site)
    log_in(page, site)
    make(page, "Storm over the harbour, pan left")
    page.wait_for_selector("#player", timeout=60_000)
    clip = page.url
    page.click("text=Pin")
    page.wait_for_selector("text=Unpin")
    assert _store(home).page()[0].pinned
    page.click("text=Again with changes")
    assert page.input_value("#prompt") == "Storm over the harbour, pan left"
    page.fill("#prompt", "Storm over the harbour, pan right")
    page.click("#make")
    page.wait_for_url("**/clips/*")
    assert {job.source for job in _store(home).page()} == {_store(home).page()[0].source}
    page.goto(f"{site.url}/?q=right")
    assert page.locator(".tile").count() == 1
    secret, _ = site.accounts.create("looker", Role.READ, desk="sports")
    site.accounts.assign(site.account.id, "sports")
    other = open_page(browser, site)
    log_in(other, site, secret)
    wait_until(lambda: other.reload() and other.locator(".tile").count() == 2)
    assert other.locator("#submit").count() == 0
    other.goto(clip)
    assert other.locator("text=Delete").count() == 0
    page.goto(clip)
    page.click("summary:has-text('Delete')")
    page.click("text=Delete it for good")
    page.wait_for_url(site.url + "/")
    assert len(_store(home).page()) == 1


NOTICES = """
window.notices = [];
window.Notification = class {
  static permission = 'granted';
  static requestPermission() { return Promise.resolve('granted'); }
  constructor(title, more) { window.notices.push([title, more.body]); }
};
Object.defineProperty(document, 'hidden', { get: () => window.away === true });
"""
"""Stands for the desktop's notices, which a browser without a screen has not."""


@pytest.mark.parametrize("streams", [True, False])
def test_a_notice_when_a_clip_is_done_and_nobody_looks(browser, site, home, streams):
    page = open_page(browser, site)
    page.add_init_script(NOTICES + ("" if streams else "delete window.SharedWorker;"))
    log_in(page, site)
    page.click("#notify")
    assert page.get_attribute("#notify", "aria-pressed") == "true"
    request = {"prompt": "Told of", "fake_steps": 4, "fake_seconds": 4}
    _store(home).submit(NewJob("generate", site.account.id, request))
    page.wait_for_selector(".tile [data-now]", timeout=30_000)
    page.evaluate("window.away = true")
    wait_until(lambda: page.evaluate("window.notices") == [["The clip is ready", "Told of"]])


def test_shortcuts(browser, site):
    page = open_page(browser, site)
    log_in(page, site)
    focused = "document.activeElement.id"
    page.keyboard.press("/")
    assert page.evaluate(focused) == "q"
    page.keyboard.type("n/?")
    assert page.input_value("#q") == "n/?", "typing is no shortcut"
    page.focus("#make")
    page.keyboard.press("n")
    assert page.evaluate(focused) == "prompt"
    page.keyboard.type("Pan left")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#trouble .error")
    assert "Choose a photograph first" in page.inner_text("#trouble")
    page.focus("#make")
    page.keyboard.press("?")
    page.wait_for_selector("#keys", state="visible")

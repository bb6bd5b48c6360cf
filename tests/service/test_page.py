"""The page in a real Chromium: log in, submit, watch, play, cancel; by keyboard, on a phone, in the dark."""

import os
import shutil
import time
from pathlib import Path

import pytest

from src.core.paths import REPOSITORY
from src.jobs.accounts import Accounts, Role
from src.jobs.database import Database
from tests.waiting import wait_until

SHOTS = os.environ.get("NEWSREEL_SHOTS")  # a folder: keep the pictures to look at
PHOTOGRAPH = REPOSITORY / "data" / "samples" / "sample_image_1.png"


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium through Playwright."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("CI installs Chromium; it is not here")
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def site(running, home):
    service = running(NEWSREEL_AUTH="on").start()
    service.ready("/ready")
    accounts = Accounts(Database(f"sqlite:///{home / 'newsreel.db'}"))
    service.secret, _ = accounts.create("desk", Role.ADMIN, 1000, 1000)
    return service


def _page(browser, site, **options):
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 850}} | options)
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.goto(site.url)
    assert page.url.endswith("/login")
    return page


def _log_in(page, site):
    page.fill("#key", site.secret)
    page.keyboard.press("Enter")
    page.wait_for_selector("#prompt")


def _shot(page, name):
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def test_from_login_to_clip(browser, site):
    page = _page(browser, site)
    _shot(page, "login")
    page.fill("#key", "nr_wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    page.problems.clear()  # the browser logs the 401 itself
    _log_in(page, site)
    cookie = next(each for each in page.context.cookies() if each["name"] == "newsreel_session")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    page.set_input_files("#image", PHOTOGRAPH)
    page.wait_for_selector("#chosen:not([hidden])")
    page.fill("#prompt", "Press briefing at city hall, slow push in")
    _shot(page, "studio")
    page.click("#submit button")
    page.wait_for_url("**/clips/*")
    page.wait_for_selector("video", timeout=20_000)
    assert page.inner_text("#state") == "completed"
    assert "Temporal score 1.00" in page.inner_text("main")
    _shot(page, "clip")
    page.click("text=All clips")
    assert page.locator(".tile").count() == 1
    page.click("nav >> text=failed")
    assert "Nothing here yet" in page.inner_text("main")
    page.click("text=Log out")
    page.goto(site.url)
    assert page.url.endswith("/login")
    assert page.problems == []


def test_what_was_typed_stays_when_it_is_wrong(browser, site, tmp_path):
    page = _page(browser, site)
    _log_in(page, site)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    page.set_input_files("#image", broken)
    page.fill("#prompt", "Breaking news <b>bold</b>")
    page.click("#submit button")
    page.wait_for_selector("[role=alert]")
    assert "not a picture" in page.inner_text("[role=alert]")
    assert page.input_value("#prompt") == "Breaking news <b>bold</b>"
    _shot(page, "wrong")


def test_cancel_and_retry(browser, site, home):
    from src.jobs.model import NewJob
    from src.jobs.store import JobStore

    store = JobStore(Database(f"sqlite:///{home / 'newsreel.db'}"))
    request = {"prompt": "A long one", "fake_steps": 200, "fake_seconds": 60}
    job, _ = store.submit(NewJob("generate", "x", request))
    page = _page(browser, site)
    _log_in(page, site)
    page.goto(f"{site.url}/clips/{job.id}")
    # the page's own policy forbids Playwright's waiting for an expression
    wait_until(lambda: page.locator("#bar").evaluate("bar => bar.value") > 0)
    _shot(page, "running")
    page.click("text=Cancel")
    deadline = time.monotonic() + 20
    while page.inner_text("#state") != "cancelled":
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    page.click("text=Try again")
    page.wait_for_selector("#live")


def test_by_keyboard_on_a_phone_and_in_the_dark(browser, site):
    page = _page(browser, site, viewport={"width": 380, "height": 760}, color_scheme="dark", is_mobile=True)
    _log_in(page, site)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(20, 19, 18)"
    page.focus("#prompt")
    page.keyboard.type("Typed by hand, pan left")
    seen = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert "template" in seen
    assert "Make the clip" in seen
    _shot(page, "phone")


def test_forms_of_other_sites_are_refused(browser, site):
    page = _page(browser, site)
    _log_in(page, site)
    answer = page.evaluate("fetch('/submit', {method: 'POST', body: new FormData()}).then(answer => answer.status)")
    assert answer in (403, 422)
    status = page.evaluate("fetch('/jobs/' + '0'.repeat(21) + '/cancel', {method: 'POST'}).then(a => a.status)")
    assert status == 403

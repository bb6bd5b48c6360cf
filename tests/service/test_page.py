"""The page in a real Chromium: log in, submit, watch, play, cancel; by keyboard, on a phone, in the
dark.
"""

import time

from src.database.database import Database
from tests.service.browser_kit import log_in, make, open_page, shot
from tests.waiting import wait_until


def test_from_login_to_clip(browser, site):
    page = open_page(browser, site)
    shot(page, "login")
    page.fill("#key", "nr_wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    page.problems.clear()  # the browser logs the 401 itself
    log_in(page, site)
    cookie = next(each for each in page.context.cookies() if each["name"] == "newsreel_session")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    make(page, "Press briefing at city hall, slow push in")
    page.wait_for_selector("video", timeout=30_000)
    assert page.inner_text("#state") == "Ready"
    assert "Temporal score 1.00" in page.inner_text("main")
    shot(page, "clip")
    page.click("text=All clips")
    assert page.locator(".tile").count() == 1
    page.select_option("#state", "FAILED")
    page.click(".filters button")
    assert "Nothing matches" in page.inner_text("main")
    page.click("text=Log out")
    page.wait_for_url("**/login")
    page.goto(site.url)
    assert page.url.endswith("/login")
    assert page.problems == []


def test_what_was_typed_stays_when_it_is_wrong(browser, site, tmp_path):
    page = open_page(browser, site)
    log_in(page, site)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    page.set_input_files("#image", broken)
    page.fill("#prompt", "Breaking news <b>bold</b>")
    page.click("#make")
    page.wait_for_selector("#trouble .error")
    assert "The photograph is not a picture" in page.inner_text("#trouble")
    assert "cannot show broken.png" in page.inner_text("#image-hint")
    assert not page.is_visible("#chosen")
    assert page.input_value("#prompt") == "Breaking news <b>bold</b>"
    shot(page, "wrong")


def test_cancel_and_retry(browser, site, home):
    from src.jobs.model import NewJob
    from src.jobs.store import JobStore

    store = JobStore(Database(f"sqlite:///{home / 'newsreel.db'}"))
    request = {"prompt": "A long one", "fake_steps": 200, "fake_seconds": 60}
    job, _ = store.submit(NewJob("generate", "x", request))
    page = open_page(browser, site)
    log_in(page, site)
    page.goto(f"{site.url}/clips/{job.id}")
    # the page's own policy forbids Playwright's waiting for an expression
    wait_until(
        lambda: (
            page.locator("article progress").count()
            and page.locator("article progress").evaluate("bar => bar.value") > 0
        )
    )
    shot(page, "running")
    page.click("text=Stop it")
    deadline = time.monotonic() + 20
    while page.inner_text("#state") != "Stopped":
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    page.click("text=Try again")
    page.wait_for_selector("#live")
    page.click("text=Stop it")


def test_by_keyboard_on_a_phone_and_in_the_dark(browser, site):
    page = open_page(
        browser, site, viewport={"width": 380, "height": 760}, color_scheme="dark", is_mobile=True
    )
    log_in(page, site)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(20, 19, 18)"
    page.focus("#prompt")
    page.keyboard.type("Typed by hand, pan left")
    seen = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")
        )
    assert {"make", "q"} <= seen
    page.focus("#own-words")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#slot-briefing-city")
    shot(page, "phone")


def test_forms_of_other_sites_are_refused(browser, site):
    page = open_page(browser, site)
    log_in(page, site)
    answer = page.evaluate(
        "fetch('/submit', {method: 'POST', body: new FormData()}).then(answer => answer.status)"
    )
    assert answer in (403, 422)
    status = page.evaluate(
        "fetch('/jobs/' + '0'.repeat(21) + '/cancel', {method: 'POST'}).then(a => a.status)"
    )
    assert status == 403

"""Approval in a real Chromium: asked for on a clip's page, decided by one key beside the
photograph, let out; and the page that checks a file. axe-core finds nothing on any of them.
"""

import pytest

from src.accounts.accounts import Accounts
from src.accounts.rights import Right, Role
from src.database.database import Database
from src.journal.checking import check_log, entries, read_entry
from tests.locales import needs_utf8_text
from tests.service.browser_kit import CLIP, log_in, make, open_page, shot
from tests.service.test_page_access import _check
from tests.trust.kit import flipped, need_packages, signed


@pytest.fixture
def house(running, home):
    """A service with approval, whose clips are real videos; an editor, a chief, and one who lets
    out.
    """
    service = running(
        NEWSREEL_AUTH="on", NEWSREEL_APPROVAL="on", NEWSREEL_FAKE_CLIP=str(CLIP),
        NEWSREEL_FAKE_SECONDS="0.2",
    ).start()  # fmt: skip
    service.ready("/ready")
    service.database = Database(f"sqlite:///{home / 'newsreel.db'}")
    accounts = Accounts(service.database)
    service.secret, _ = accounts.create("Night desk", Role.SUBMIT, 1000, 1000, person="Anna Berg")
    service.chief, _ = accounts.create(
        "Chief", Role.READ, rights=[Right.APPROVE], person="Carl Holm"
    )
    service.out, _ = accounts.create("Output", Role.READ, rights=[Right.RELEASE])
    return service


def ask(page, site, prompt, note=""):
    """Make a clip and ask for approval; ends on its page of approval."""
    page.goto(site.url)
    make(page, prompt)
    page.wait_for_selector("#player", timeout=60_000)
    page.click("summary:has-text('Ask for approval')")
    page.fill("#ask-note", note)
    page.click("button:has-text('Ask for approval')")
    page.wait_for_url("**/approvals/*")


@needs_utf8_text
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_clip_is_asked_for_approved_by_one_key_and_let_out(browser, house, scheme):
    look = {"color_scheme": scheme, "reduced_motion": "reduce"}
    anna, chief = open_page(browser, house, **look), open_page(browser, house, **look)
    log_in(anna, house)
    anna.goto(house.url)
    make(anna, "Press briefing at city hall, slow push in")
    anna.wait_for_selector("#player", timeout=60_000)
    assert "Not released" in anna.inner_text("#draft")
    anna.click("summary:has-text('Ask for approval')")
    _check(anna)
    shot(anna, f"approval-ask-{scheme}")
    anna.fill("#ask-note", "For the evening news; the flags move a little.")
    anna.click("button:has-text('Ask for approval')")
    anna.wait_for_url("**/approvals/*")
    assert "Somebody else decides" in anna.inner_text("main")
    log_in(chief, house, house.chief)
    chief.goto(f"{house.url}/approvals")
    _check(chief)
    shot(chief, f"approval-queue-{scheme}")
    chief.click(".face")
    chief.wait_for_url("**/approvals/*")
    assert "the flags move a little" in chief.inner_text("main")
    _check(chief)
    shot(chief, f"approval-decide-{scheme}")
    chief.keyboard.press("a")
    chief.wait_for_url("**/approvals")
    assert "Nothing waits for approval" in chief.inner_text("main")
    out = open_page(browser, house, **look)
    log_in(out, house, house.out)
    out.goto(f"{house.url}/approvals?state=approved")
    out.click(".face")
    out.click("#do-release")
    out.wait_for_selector("text=The released clip is at")
    assert out.inner_text("#state") == "Released"
    _check(out)
    shot(out, f"approval-released-{scheme}")
    told = [read_entry(each)["action"] for each in entries(house.database)]
    assert [each for each in told if each.startswith("release.")] == [
        "release.create", "release.submit", "release.approve", "release.release",
    ]  # fmt: skip
    assert "clip.download" in told, "who looked at the draft is noted"
    assert check_log(house.database).problems == []
    assert anna.problems == chief.problems == out.problems == []


def test_a_rejection_needs_a_reason_and_goes_by_keys(browser, house):
    anna, chief = open_page(browser, house), open_page(browser, house)
    log_in(anna, house)
    ask(anna, house, "Pan left over the harbour")
    log_in(chief, house, house.chief)
    chief.goto(anna.url)
    chief.click("#do-reject")
    chief.wait_for_selector("#trouble .error")
    assert "needs a reason" in chief.inner_text("#trouble")
    chief.problems.clear()  # the browser logs the 409 itself
    chief.keyboard.press("Escape")
    chief.locator("h1").click()
    chief.keyboard.press("r")
    chief.keyboard.type("aa, the sign is wrong")  # an a in the reason approves nothing
    chief.keyboard.press("Control+Enter")
    chief.wait_for_url("**/approvals")
    anna.reload()
    assert anna.inner_text("#state") == "Rejected"
    assert "the sign is wrong" in anna.inner_text("main")
    assert chief.problems == []


def test_two_who_decide_see_who_was_faster(browser, house):
    anna, chief = open_page(browser, house), open_page(browser, house)
    log_in(anna, house)
    ask(anna, house, "Pan right")
    log_in(chief, house, house.chief)
    chief.goto(anna.url)
    anna.click("#do-recall")
    anna.wait_for_selector("text=Draft")
    chief.keyboard.press("a")
    chief.wait_for_selector("#trouble .error")
    assert "draft" in chief.inner_text("#trouble")
    assert chief.locator("#do-approve").count() == 0


@needs_utf8_text
def test_a_file_is_checked_on_its_page(browser, house, photograph, tmp_path):
    need_packages()
    made = signed(CLIP, tmp_path / "signed.mp4", photograph)
    changed = tmp_path / "changed.mp4"
    data = made.read_bytes()
    changed.write_bytes(flipped(data, len(data) // 2))
    page = open_page(browser, house, reduced_motion="reduce")
    log_in(page, house, house.chief)
    page.click("text=Check a file")
    _check(page)
    for path, words in ((CLIP, "No signed provenance"), (made, "unchanged since"),
                        (changed, "Changed after")):  # fmt: skip
        page.set_input_files("#file", path)
        page.click("button:has-text('Check it')")
        page.wait_for_selector(f".said:has-text('{words}')", timeout=30_000)
        _check(page)
    shot(page, "check")
    told = [read_entry(each) for each in entries(house.database)]
    seen = [each["data"]["changed"] for each in told if each["action"] == "file.verify"]
    assert seen == [False, False, True]
    assert page.problems == []


def test_a_phone_shows_a_decision_without_scrolling_sideways(browser, house):
    anna = open_page(
        browser, house, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )
    log_in(anna, house)
    ask(anna, house, "Pan left over the harbour, with a title that is longer than a phone is wide")
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    for place in ("", "/approvals", "/check"):
        if place:
            anna.goto(f"{house.url}{place}")
        assert anna.evaluate(fits), place
        shot(anna, f"approval-phone{place.replace('/', '-')}")

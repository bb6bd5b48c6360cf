"""The pages for everybody: axe-core finds nothing, text and borders have contrast, and a phone,
large text and stillness are heeded.
"""

import re

import pytest

from src.core.paths import REPOSITORY
from tests.locales import needs_utf8_text
from tests.service.browser_kit import log_in, make, open_page, shot
from tests.waiting import wait_until

CSS = REPOSITORY / "src" / "api" / "static" / "base.css"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def _check(page):
    """Every rule of axe-core, on the page as it stands."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options=RULES)
    assert found.response["passes"], "axe has looked at something"
    assert found.violations_count == 0, found.generate_report()


@needs_utf8_text
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, site, scheme):
    page = open_page(browser, site, color_scheme=scheme, reduced_motion="reduce")
    _check(page)
    log_in(page, site)
    _check(page)
    page.click("label[for=template-archive]")
    page.click("text=More choices")
    _check(page)
    make_first(page)
    _check(page)
    shot(page, f"access-clip-{scheme}")
    clip = page.url
    page.goto(site.url)
    _check(page)
    page.keyboard.press("?")
    _check(page)
    page.keyboard.press("Escape")
    page.goto(f"{site.url}/compare?clip={clip.rsplit('/', 1)[1]}")
    _check(page)
    page.goto(f"{site.url}/nope")
    assert "That is not here" in page.inner_text("h1")
    _check(page)


def make_first(page):
    page.click("label[for=own-words]")
    make(page, "Press briefing at city hall, slow push in")
    page.wait_for_selector("#player", timeout=60_000)


def test_nothing_moves_for_who_wants_stillness(browser, site):
    page = open_page(browser, site, reduced_motion="reduce")
    log_in(page, site)
    make(page, "Pan left")
    page.wait_for_selector("#player", timeout=60_000)
    page.wait_for_timeout(500)
    assert page.locator("#player").evaluate("film => film.paused")


def test_a_phone_has_two_tiles_a_row_and_large_text_fits(browser, site):
    from playwright.sync_api import expect

    page = open_page(
        browser, site, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )
    log_in(page, site)
    for prompt in ("One, pan left", "Two, pan right", "مؤتمر صحفي"):
        page.goto(site.url)
        make(page, prompt)
    page.goto(site.url)
    # at one moment each, for a tile that has news is drawn anew
    tops = page.locator(".tile").evaluate_all("all => all.map(e => e.getBoundingClientRect().y)")
    assert tops[0] == tops[1] < tops[2]
    expect(page.locator(".name").first).to_have_css("direction", "rtl")
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(fits)
    shot(page, "access-phone")
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert page.evaluate(fits), "text of twice the size needs no sideways scrolling"
    shot(page, "access-phone-large-text")


def test_news_are_told_to_who_does_not_see(browser, site):
    page = open_page(browser, site)
    log_in(page, site)
    make(page, "Pan left, told")
    wait_until(lambda: "Pan left, told: Ready" in page.inner_text("#news"))


def _colours(block):
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def _luminance(colour):
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one, other):
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_colours_have_contrast(dark):
    """axe-core does not judge borders; the palette is judged whole."""
    light, _, rest = CSS.read_text("utf-8").partition("@media (prefers-color-scheme: dark)")
    found = _colours(light) | (_colours(rest.partition("* {")[0]) if dark else {})
    for ground in ("ground", "card", "sunk", "wash"):
        for text in ("ink", "soft", "accent"):
            assert _contrast(found[text], found[ground]) >= 4.5, (text, ground)
        assert _contrast(found["edge"], found[ground]) >= 3, ("edge", ground)
    for ground in ("ground", "card"):
        for text in ("good", "bad", "warn"):
            assert _contrast(found[text], found[ground]) >= 4.5, (text, ground)
    assert _contrast(found["on-accent"], found["accent"]) >= 4.5
    assert _contrast(found["card"], found["bad"]) >= 4.5

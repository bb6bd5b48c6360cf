"""Steps that several browser tests share. Their fixtures: tests/service/conftest.py."""

import os
from pathlib import Path

from src.core.paths import REPOSITORY

SHOTS = os.environ.get("NEWSREEL_SHOTS")  # a folder: keep the pictures to look at
SAMPLES = REPOSITORY / "data" / "samples"
PHOTOGRAPH = SAMPLES / "sample_image_1.png"
CLIP = REPOSITORY / "outputs" / "examples" / "baseline_cityhall.mp4"


def open_page(browser, site, **options):
    """A browser of its own on the login page. What goes wrong in it is in `page.problems`."""
    context = browser.new_context(**{"viewport": {"width": 1366, "height": 768}} | options)
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on(
        "console",
        lambda message: page.problems.append(message.text) if message.type == "error" else None,
    )
    page.goto(site.url)
    assert page.url.endswith("/login")
    return page


def log_in(page, site, secret=None):
    page.fill("#key", secret or site.secret)
    page.keyboard.press("Enter")
    page.wait_for_selector("#clips")


def make(page, prompt, photograph=PHOTOGRAPH):
    """Send the form; ends on the clip's page."""
    page.set_input_files("#image", photograph)
    page.fill("#prompt", prompt)
    page.click("#make")
    page.wait_for_url("**/clips/*")


def shot(page, name, full=True):
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=full)

"""docs/operations.md names the settings, metrics and tests that there are."""

import re

from src.api.app import create_app
from src.api.settings import ServiceSettings
from src.core.paths import REPOSITORY
from src.database.tables import metadata

PAGE = REPOSITORY / "docs" / "operations.md"
BESIDE = {
    "NEWSREEL_HOME",
    "NEWSREEL_LOG",
    "NEWSREEL_SENTRY_DSN",
    "NEWSREEL_FAKE_SECONDS",
    "NEWSREEL_FAKE_CLIP",
    "NEWSREEL_STORE",
    "NEWSREEL_STORE_CACHE",
    "NEWSREEL_SMTP_PASSWORD",
    "NEWSREEL_FAKE_DEVICE",
    "NEWSREEL_PROMPTS_PER_FORWARD",
    "NEWSREEL_WATERMARK",
    "NEWSREEL_WATERMARK_KEY",
    "NEWSREEL_SIGN",
}
"""Read by the service, but not by ServiceSettings."""


def _rows():
    """Default by variable, as the table of settings has them."""
    return dict(re.findall(r"^\| `(NEWSREEL_\w+)` \| ([^|]*) \|", PAGE.read_text("utf-8"), re.M))


def _default(value):
    return "none" if value == "" else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_the_table_has_every_setting_with_its_default():
    rows = _rows()
    fields = {
        f"NEWSREEL_{name.upper()}": field for name, field in ServiceSettings.model_fields.items()
    }
    assert set(rows) == set(fields) | BESIDE
    for name, field in fields.items():
        if name != "NEWSREEL_DATABASE":
            assert rows[name] == _default(field.default), name


def test_the_table_has_every_variable_that_the_service_reads():
    rooms = ("api", "jobs", "worker", "console", "artifacts", "notices")
    files = [path for room in rooms for path in (REPOSITORY / "src" / room).rglob("*.py")]
    read = {
        name
        for path in files
        for name in re.findall(r'environ[^"\n]*"(NEWSREEL_\w+)"', path.read_text("utf-8"))
    }
    assert read >= {"NEWSREEL_DATABASE", "NEWSREEL_LOG", "NEWSREEL_FAKE_SECONDS"}
    assert read <= set(_rows())


def test_the_table_has_every_metric(tmp_path):
    app = create_app(ServiceSettings(database=f"sqlite:///{tmp_path / 'jobs.db'}"))
    metrics = app.state.service.metrics.registry.collect()
    app.state.service.database.engine.dispose()
    names = {metric.name + ("_total" if metric.type == "counter" else "") for metric in metrics}
    assert set(re.findall(r"^\| `(newsreel_\w+)` \|", PAGE.read_text("utf-8"), re.M)) == names


def test_the_tests_that_hold_it_are_there():
    code = "\n".join(path.read_text("utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py"))
    pages = (PAGE, PAGE.with_name("storage.md"), PAGE.with_name("notices.md"))
    named = {name for page in pages
             for name in re.findall(r"`(test_\w+)`", page.read_text("utf-8"))}  # fmt: skip
    assert named
    assert {name for name in named if f"def {name}(" not in code} == set()


def test_architecture_names_the_tables_and_the_rooms_that_there_are():
    text = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| .*\|$", text, re.M)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(metadata.tables) <= named
    floors = re.findall(r"^\| \d \| (`\w+`(?:, `\w+`)*) \|", text, re.M)
    rooms = {name for row in floors for name in re.findall(r"`(\w+)`", row)}
    assert rooms == {path.parent.name for path in (REPOSITORY / "src").glob("*/__init__.py")}


def test_links_lead_somewhere():
    names = ("README.md", "docs/api/README.md", "docs/architecture.md", "docs/storage.md",
             "docs/notices.md")  # fmt: skip
    for page in (PAGE, *(REPOSITORY / name for name in names)):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), (page.name, target)

"""Alerts by Prometheus' own tools, dashboards by their builder, and both against a live service."""

import json
import os
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request

import promql_parser
import pytest
import yaml

from deploy.grafana.build import DASHBOARDS, FOLDER, built
from src.core.paths import REPOSITORY
from tests.service.conftest import RunningService
from tests.waiting import wait_until

RULES = REPOSITORY / "deploy" / "prometheus"
PAGE = (REPOSITORY / "docs" / "operations.md").read_text("utf-8")
METRICS = set(re.findall(r"^\| `(newsreel_\w+)` \|", PAGE, re.M))
LATER = ("newsreel_gpu_", "newsreel_frames_per_second", "newsreel_job_failures_total")
"""Series that are not there before a GPU, a clip or a failure is."""


def program(name):
    if (found := shutil.which(name)) is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI installs {name}; it is not here")
        pytest.skip(f"{name} is not installed")
    return found


def said(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions():
    """Of every panel."""
    for uid in DASHBOARDS:
        for panel in json.loads(built(uid))["panels"]:
            yield from (target["expr"] for target in panel["targets"])


def alerts():
    (group,) = yaml.safe_load((RULES / "rules.yml").read_text("utf-8"))["groups"]
    return group["rules"]


def test_alerts_fire_when_they_should_and_only_then():
    said(program("promtool"), "test", "rules", str(RULES / "rules_test.yml"))
    tried = yaml.safe_load((RULES / "rules_test.yml").read_text("utf-8"))["tests"]
    fired = {
        each["alertname"] for one in tried for each in one["alert_rule_test"] if each["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in alerts()}


def test_the_samples_are_what_their_programs_take():
    sample = str(RULES / "prometheus.yml")
    said(program("promtool"), "check", "config", "--syntax-only", sample)
    said(program("amtool"), "check-config", str(RULES / "alertmanager.yml"))


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_a_dashboard_is_what_its_code_says(uid):
    assert (FOLDER / f"{uid}.json").read_text("utf-8") == built(uid)


def test_dashboards_and_alerts_name_metrics_that_there_are():
    every = [*expressions(), *(rule["expr"] for rule in alerts())]
    for expression in every:
        promql_parser.parse(expression.replace("$__rate_interval", "1m"))
    named = {name for each in every for name in re.findall(r"newsreel_\w+", each)}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in named} <= METRICS


class Prometheus:
    """A server of one's own that scrapes a service each second."""

    def __init__(self, folder, target):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        scrape = {"job_name": "newsreel", "static_configs": [{"targets": [target]}]}
        told = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(RULES / "rules.yml")],
                "scrape_configs": [scrape]}  # fmt: skip
        (folder / "prometheus.yml").write_text(yaml.safe_dump(told), "utf-8")
        self.process = subprocess.Popen(
            [program("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
             f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"],
        )  # fmt: skip

    def get(self, path, **query):
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def found(self, expression):
        return self.get("/api/v1/query", query=expression)["result"]

    def is_up(self):
        try:
            return bool(self.found('up{job="newsreel"} == 1'))
        except OSError:
            return False

    def fires(self, name):
        return any(each["labels"]["alertname"] == name and each["state"] == "firing"
                   for each in self.get("/api/v1/alerts")["alerts"])  # fmt: skip


@pytest.fixture
def watched(tmp_path):
    """A service with one fake worker, and what watches it."""
    home = tmp_path / "home"
    home.mkdir()
    service = RunningService(home, NEWSREEL_FAKE_SECONDS="0.1")
    prometheus = None
    try:
        service.start().ready("/ready")
        prometheus = Prometheus(tmp_path, f"127.0.0.1:{service.port}")
        wait_until(prometheus.is_up)
        yield service, prometheus
    finally:
        if prometheus is not None:
            prometheus.process.kill()
            prometheus.process.wait()
        service.clean()


def test_a_live_service_shows_every_series_and_its_first_failure_fires(watched):
    from src.database.database import Database
    from src.jobs.model import NewJob
    from src.jobs.store import JobStore

    service, prometheus = watched
    database = Database(f"sqlite:///{service.home / 'newsreel.db'}")
    for request in ({"prompt": "a"}, {"prompt": "b", "fake_error": "no such thing"}):
        JobStore(database).submit(NewJob("generate", "open", request))
    database.engine.dispose()
    assert service.status("/api/v1/jobs/nobody") == 404  # a series of its own: what was refused
    wait_until(lambda: prometheus.fires("NewsreelJobsFail"))
    assert not prometheus.fires("NewsreelServiceDown")
    for expression in expressions():
        asked = expression.replace("$__rate_interval", "10s")
        if any(name in expression for name in LATER):
            prometheus.found(asked)  # an error of the expression raises
        else:
            wait_until(lambda asked=asked: prometheus.found(asked))

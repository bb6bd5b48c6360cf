"""Notices of a running service: a mail server that is away, a Slack that is busy, fails or is gone;
and no secret in what the service says.
"""

import json
import os
import re
import threading
import time

import httpx

from tests.notices_kit import PASSWORD, mail, slack  # noqa: F401
from tests.waiting import wait_until

NOW = {"Prefer": "respond-async"}


def _submit(service, photograph, count):
    sent = {"image": ("p.png", photograph.read_bytes(), "image/png")}
    url = f"{service.url}/generate-video"
    for number in range(count):
        data = {"prompt": f"city hall {number}"}
        answer = httpx.post(url, data=data, files=sent, headers=NOW, timeout=60)
        assert answer.status_code == 202, answer.text


def _rule(service, channel, target, *events, **more):
    wanted = {"channel": channel, "target": target, "events": list(events)} | more
    answer = httpx.post(f"{service.url}/notices", json=wanted, timeout=30)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_each_event_reaches_each_target_once(running, mail, slack, photograph, home):  # noqa: F811
    """NEWSREEL_TEST_AWAY=60 with NEWSREEL_TEST_RETRY=60,300,1500: the figures of docs/fleet.md."""
    away_s = float(os.environ.get("NEWSREEL_TEST_AWAY", "3"))
    retry = os.environ.get("NEWSREEL_TEST_RETRY", "2,2,2,2,2,2")
    service = running(
        NEWSREEL_SMTP=mail.url, NEWSREEL_MAIL_FROM="newsreel@desk.example.org",
        NEWSREEL_NOTICE_RETRY=retry, NEWSREEL_PRIVATE_HOOKS="on", NEWSREEL_LOG="json",
    ).start()  # fmt: skip
    service.ready("/ready")
    _rule(service, "email", "editor@desk.example.org", "done")
    _rule(service, "slack", slack.url, "done")
    gone = _rule(service, "slack", f"{slack.url}-gone", "failed")
    hook = _rule(service, "webhook", f"{slack.url}-hook", "done", everybody=True)
    slack.answers = [(429, {"Retry-After": "1"}), (500, {}), (500, {})]
    mail.stop()
    threading.Timer(away_s, mail.start).start()
    begin, count = time.monotonic(), 10
    _submit(service, photograph, count)

    def heard():
        hooks = [body for body in slack.taken() if body.get("type") == "job.done"]
        return len(mail.letters), len(slack.taken()) - len(hooks), len(hooks)

    wait_until(lambda: min(heard()) >= count, away_s + 1800)
    print(f"all of {count} events told {time.monotonic() - begin:.0f} s after the first job; "
          f"the mail server was away for {away_s:.0f} s")  # fmt: skip
    time.sleep(3)
    assert heard() == (count, count, count)
    assert len({letter["Message-ID"] for letter in mail.letters}) == count
    assert len({letter["Subject"] for letter in mail.letters}) == count
    assert len({body["text"] for body in slack.taken() if "text" in body}) == count
    assert [status for status, _, _ in slack.came if status != 200] == [429, 500, 500]
    rules = {rule["id"]: rule for rule in service.get("/notices")["rules"]}
    assert {each["state"] for each in rules[hook["id"]]["latest"]} == {"sent"}
    assert rules[gone["id"]]["latest"] == []
    service.stop()
    said = (home.parent / "service.log").read_text("utf-8") + json.dumps(list(rules.values()))
    for secret in ("secret-of-slack", PASSWORD, hook["secret"]):
        assert secret not in said


def test_a_target_that_is_gone_is_shown_on_the_page(running, slack, photograph, home):  # noqa: F811
    service = running(NEWSREEL_PRIVATE_HOOKS="on", NEWSREEL_SITE="https://news.example.org").start()
    service.ready("/ready")
    rule = _rule(service, "slack", slack.url, "done")
    told = _rule(service, "webhook", f"{slack.url}-hook", "failed")
    slack.answers = [(404, {})]
    _submit(service, photograph, 1)
    wait_until(lambda: not _found(service, rule)["active"])
    why = "Slack says that the target is gone (404)"
    assert _found(service, rule)["why"] == why
    wait_until(lambda: [body.get("type") for body in slack.taken()] == ["notices.off"])
    page = httpx.get(f"{service.url}/told").text
    assert f"Switched off: {why}" in page
    assert "secret-of-slack" not in page
    assert told["secret"] not in page
    token = re.search(r'name="csrf" value="([^"]*)"', page)[1]
    sent = {"csrf": token}
    address = f"{service.url}/told/{rule['id']}"
    on = httpx.post(f"{address}/on", data=sent, headers={"Origin": service.url})
    assert on.status_code == 303
    assert _found(service, rule)["active"]
    form = sent | {"channel": "webhook", "target": f"{slack.url}-more", "event": ["done"]}
    made = httpx.post(f"{service.url}/told", data=form, headers={"Origin": service.url})
    assert made.status_code == 200
    assert "whsec_" in made.text
    assert "whsec_" not in httpx.get(f"{service.url}/told").text
    removed = httpx.post(f"{address}/remove", data=sent, headers={"Origin": service.url})
    assert removed.status_code == 303
    assert rule["id"] not in {each["id"] for each in service.get("/notices")["rules"]}


def _found(service, rule):
    return next(each for each in service.get("/notices")["rules"] if each["id"] == rule["id"])

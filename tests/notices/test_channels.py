"""Each channel against a server of its kind."""

import base64
import hmac
import socket
import sys
import threading
import time
from contextlib import suppress

import pytest

from src.core.errors import BadInputError
from src.notices.hosts import address_of, checked_url
from src.notices.mail import Mail, read_server
from src.notices.notifier import GoneError, NotDeliveredError, Notice, Target
from src.notices.registry import by_name, make_notifiers
from src.notices.slack import Slack, escaped
from src.notices.webhook import WebHook, checked_secret, new_secret, signature
from src.notices.wording import worded
from tests.notices_kit import PASSWORD, mail, slack  # noqa: F401

SENDER = "newsreel@desk.example.org"


def _notice(title="A <b>bold</b> & brave clip", identity="a" * 32):
    data = {"job": "c" * 21, "title": title}
    return worded(identity, "done", 1_795_000_000.0, data, "https://news.example.org")


def test_a_letter_comes_once_however_often_it_is_sent(mail):  # noqa: F811
    channel = Mail(read_server(mail.url), SENDER)
    for _ in range(2):
        channel.send(_notice(), Target(channel.check("editor@desk.example.org")))
    first, second = mail.letters
    assert first["Message-ID"] == second["Message-ID"] == f"<{'a' * 32}@desk.example.org>"
    assert first["Subject"] == "Clip ready: A <b>bold</b> & brave clip"
    assert (first["From"], first["To"]) == (SENDER, "editor@desk.example.org")
    assert f"https://news.example.org/clips/{'c' * 21}" in first.get_payload()


def test_nothing_goes_out_without_tls_or_with_a_wrong_password(mail, monkeypatch):  # noqa: F811
    channel = Mail(read_server(mail.url), SENDER)
    plain = Mail(read_server(f"{mail.url}?tls=off"), SENDER)
    with pytest.raises(NotDeliveredError):
        plain.send(_notice(), Target("editor@desk.example.org"))
    monkeypatch.setenv("NEWSREEL_SMTP_PASSWORD", "wrong-password")
    with pytest.raises(NotDeliveredError, match="the mail server answered 535") as caught:
        channel.send(_notice(), Target("editor@desk.example.org"))
    assert "wrong-password" not in str(caught.value)
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("NEWSREEL_SMTP_PASSWORD", PASSWORD)
    with pytest.raises(NotDeliveredError, match="SSLCertVerificationError"):
        channel.send(_notice(), Target("editor@desk.example.org"))
    mail.stop()
    with pytest.raises(NotDeliveredError, match="ConnectionRefusedError"):
        channel.send(_notice(), Target("editor@desk.example.org"))
    assert mail.letters == []


@pytest.mark.parametrize("title", ["two\nlines", "a\r\nBcc: all@example.org", "\x00\x1b[31m", ""])
def test_no_title_makes_a_header_of_its_own(title):
    letter = Mail(None, SENDER).letter(_notice(title), "editor@desk.example.org")
    assert len(letter.items()) == 9
    assert "\n" not in letter["Subject"]
    assert letter["Bcc"] is None


@pytest.mark.parametrize(
    "address", ["", "editor", "a@b@c", "a b@example.org", "a@example.org\nBcc: x@y", "é@x.org"]
)
def test_what_is_no_mail_address_is_refused(address):
    with pytest.raises(BadInputError, match="one e-mail address"):
        Mail(read_server("smtp://mail.example.org"), SENDER).check(address)


def test_a_service_without_a_mail_server_says_so():
    with pytest.raises(BadInputError, match="NEWSREEL_SMTP and NEWSREEL_MAIL_FROM"):
        Mail(None, "").check("editor@example.org")
    with pytest.raises(BadInputError) as caught:
        read_server("smtp://user:topsecret@mail.example.org")
    assert "NEWSREEL_SMTP_PASSWORD" in str(caught.value)
    assert "topsecret" not in str(caught.value)


def test_slack_hears_it_with_its_mark_up_escaped(slack):  # noqa: F811
    channel = Slack(private=True)
    channel.send(_notice(), Target(channel.check(slack.url)))
    (body,) = slack.taken()
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; brave" in body["text"]
    assert body["text"].endswith(f"<https://news.example.org/clips/{'c' * 21}|Open it>")
    assert escaped("<&>") == "&lt;&amp;&gt;"


def test_slack_that_is_asked_too_often_is_asked_again_when_it_said(slack):  # noqa: F811
    slack.answers = [(429, {"Retry-After": "1"})]
    Slack(private=True).send(_notice(), Target(slack.url))
    assert [status for status, _, _ in slack.came] == [429, 200]
    slack.answers = [(429, {"Retry-After": "3600"})]
    with pytest.raises(NotDeliveredError, match="429") as caught:
        Slack(private=True).send(_notice(), Target(slack.url))
    assert caught.value.after == 3600


@pytest.mark.parametrize(("status", "error"), [(500, NotDeliveredError), (404, GoneError),
                                               (410, GoneError)])  # fmt: skip
def test_slack_that_fails_or_is_gone(slack, status, error):  # noqa: F811
    slack.answers = [(status, {})]
    with pytest.raises(error) as caught:
        Slack(private=True).send(_notice(), Target(slack.url))
    assert (type(caught.value), len(slack.came)) == (error, 1)
    assert "secret-of-slack" not in str(caught.value)
    slack.close()
    with pytest.raises(NotDeliveredError, match="cannot be reached") as caught:
        Slack(private=True).send(_notice(), Target(slack.url))
    assert "secret-of-slack" not in str(caught.value)


def test_only_slack_is_slack_and_its_address_is_shown_without_its_secret():
    with pytest.raises(BadInputError, match="https://hooks.slack.com/"):
        Slack().check("https://hooks.example.org/services/T0/B0/x")
    assert Slack().shown("https://hooks.slack.com/services/T/B/x") == "https://hooks.slack.com/..."


def test_a_missing_package_is_one_sentence_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "slack_sdk", None)
    with pytest.raises(BadInputError, match="pip install -r requirements-fleet.txt"):
        Slack().check("https://hooks.slack.com/services/T0/B0/x")


def test_a_web_hook_is_signed_as_the_standard_says(slack):  # noqa: F811
    channel, secret = WebHook(private=True), new_secret()
    channel.send(_notice(), Target(channel.check(slack.url), secret))
    _, body, headers = slack.came[0]
    assert body["type"] == "job.done"
    assert body["data"]["job"] == "c" * 21
    assert body["timestamp"] == "2026-11-18T11:06:40+00:00"
    import json

    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{json.dumps(body)}"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    want = base64.b64encode(hmac.digest(key, signed.encode(), "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{want}"


def test_the_signature_is_that_of_the_standards_own_example():
    """github.com/standard-webhooks/standard-webhooks, libraries' tests."""
    secret, identity = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    made = signature(secret, identity, 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    for wrong in ("", "whsec_", "whsec_" + base64.b64encode(b"short").decode(), "x" * 40):
        with pytest.raises(BadInputError):
            checked_secret(wrong)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, NotDeliveredError),
        (302, NotDeliveredError),
        (404, NotDeliveredError),
        (410, GoneError),
    ],
)
def test_a_web_hook_that_answers_otherwise(slack, status, error):  # noqa: F811
    slack.answers = [(status, {"Location": "/elsewhere"})]
    with pytest.raises(error) as caught:
        WebHook(private=True).send(_notice(), Target(slack.url, new_secret()))
    assert (type(caught.value), len(slack.came)) == (error, 1)


@pytest.mark.parametrize(
    "url",
    ["http://example.org/x", "https://", "ftp://example.org", "https://u:p@example.org/",
     "https://example.org/ x", "https://example.org:99999/", "x", "https://exämple.org/"],
)  # fmt: skip
def test_what_is_no_address_of_a_web_hook_is_refused(url):
    with pytest.raises(BadInputError):
        checked_url(url, private=False)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.8", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
     "::1", "fd00::1", "fe80::1%eth0", "::ffff:127.0.0.1", "224.0.0.1",
     "64:ff9b::a00:8", "64:ff9b::7f00:1", "2002:a00:8::1", "2002:7f00:1::1"],
)  # fmt: skip
def test_hosts_inside_are_refused_whatever_name_leads_there(monkeypatch, address):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(BadInputError, match="inside this network"):
        WebHook().check("https://hooks.example.org/x")
    with pytest.raises(NotDeliveredError, match="inside this network"):
        WebHook().send(_notice(), Target("https://hooks.example.org/x", new_secret()))
    assert address_of(checked_url("https://a.example.org/", True), True)[0] == address


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1", "64:ff9b::808:808"])
def test_hosts_outside_are_taken(monkeypatch, address):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert address_of(checked_url("https://a.example.org/", False), False) == (address, 443)


def test_one_more_channel_is_a_class_and_a_line():
    """The example of docs/architecture.md."""

    class Pager:
        """Keeps what it is told."""

        name = "pager"

        def __init__(self):
            self.sent = []

        def check(self, address):
            return address

        def shown(self, address):
            return address

        def send(self, notice: Notice, target: Target):
            self.sent.append((target.address, notice.subject))

    channels = by_name([*make_notifiers(None, "", private=False).values(), Pager()])
    assert list(channels) == ["email", "slack", "webhook", "pager"]
    with pytest.raises(ValueError, match="two channels are called pager"):
        by_name([Pager(), Pager()])


def test_a_target_that_drips_is_given_up_and_one_not_allowed_any_more_counts_as_an_attempt(
    monkeypatch,
):
    from src.notices import webhook

    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def drip():
        client, _ = listener.accept()
        with client, suppress(OSError):
            client.sendall(b"HTTP/1.1 ")
            while not over.wait(0.1):
                client.sendall(b"a")

    threading.Thread(target=drip, daemon=True).start()
    monkeypatch.setattr(webhook, "WHOLE_S", 0.5)
    target = Target(f"http://127.0.0.1:{listener.getsockname()[1]}/hook", "whsec_c2VjcmV0")
    notice = Notice("1", "done", 1.0, "s", "t", None, {})
    began = time.monotonic()
    with pytest.raises(NotDeliveredError):
        webhook.WebHook(private=True).send(notice, target)
    assert time.monotonic() - began < 8
    over.set()
    listener.close()
    with pytest.raises(NotDeliveredError):
        webhook.WebHook(private=False).send(notice, target)

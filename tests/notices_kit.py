"""Servers that stand for those of other houses: mail with STARTTLS and a login, and Slack."""

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

USER, PASSWORD = "newsreel", "a-password-of-tests"


class FakeSlack:
    """Answers the statuses of `answers`, one a request and then 200; keeps what came."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.came: list[tuple[int, dict, dict]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, headers = fake.answers.pop(0) if fake.answers else (200, {})
                fake.came.append((status, body, dict(self.headers)))
                text = b"no_service" if status == 404 else b"ok"
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(text))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *told: object) -> None:
                """Tests are quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = (
            f"http://127.0.0.1:{self.server.server_address[1]}/services/T0/B0/secret-of-slack"
        )
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def taken(self) -> list[dict]:
        """Bodies that were answered with 200."""
        return [body for status, body, _ in self.came if status == 200]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    """A host that speaks as Slack does; web hooks may be posted to it too."""
    pytest.importorskip("slack_sdk", reason="pip install -r requirements-fleet.txt")
    made = FakeSlack()
    yield made
    made.close()


class MailServer:
    """Wants STARTTLS and a login. letters: what came."""

    def __init__(self, folder: Path) -> None:
        from aiosmtpd.handlers import Message

        self.letters: list = []
        letters = self.letters

        class Keep(Message):
            def handle_message(self, message: object) -> None:
                letters.append(message)

        self.certificate = folder / "certificate.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                   "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                   "-keyout", folder / "key.pem", "-out", self.certificate]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, folder / "key.pem")
        self.handler, self.controller = Keep(), None

    @property
    def url(self) -> str:
        return f"smtp://{USER}@localhost:{self.port}"

    def start(self) -> None:
        from aiosmtpd.controller import Controller
        from aiosmtpd.smtp import AuthResult, LoginPassword

        def login(server, session, envelope, mechanism, data):
            known = LoginPassword(USER.encode(), PASSWORD.encode())
            return AuthResult(success=data == known, handled=False)

        self.controller = Controller(
            self.handler, hostname="127.0.0.1", port=self.port, tls_context=self.context,
            require_starttls=True, auth_required=True, authenticator=login,
        )  # fmt: skip
        self.controller.start()

    def stop(self) -> None:
        if self.controller is not None:
            self.controller.stop()
            self.controller = None


@pytest.fixture
def mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """Its certificate is trusted, its password is set."""
    pytest.importorskip("aiosmtpd", reason="pip install -r requirements-fleet-tests.txt")
    made = MailServer(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    monkeypatch.setenv("NEWSREEL_SMTP_PASSWORD", PASSWORD)
    made.start()
    yield made
    made.stop()

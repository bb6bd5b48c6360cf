"""E-mail by the SMTP server of the house."""

import os
import re
import smtplib
import ssl
import urllib.parse
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime, localtime

from src.core.errors import BadInputError
from src.core.urls import split_url
from src.notices.notifier import NotDeliveredError, Notice, Target

ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
TIMEOUT_S = 20.0
FORM = "smtp://user@mail.example.org:587"


@dataclass(frozen=True)
class Server:
    """Of `NEWSREEL_SMTP`. tls: "starttls" (smtp://), "tls" (smtps://), or "off" (smtp://...?tls=off,
    for a relay on this machine). The password is `NEWSREEL_SMTP_PASSWORD`.
    """

    host: str
    port: int
    user: str
    tls: str


def read_server(url: str) -> Server:
    """Raises BadInputError, which repeats nothing of it."""
    parts = split_url(url, "NEWSREEL_SMTP")
    asked = dict(urllib.parse.parse_qsl(parts.query))
    if parts.password is not None:
        raise BadInputError("NEWSREEL_SMTP holds a password; put it into NEWSREEL_SMTP_PASSWORD")
    known = parts.scheme in ("smtp", "smtps") and parts.hostname and asked in ({}, {"tls": "off"})
    if not known:
        raise BadInputError(f"NEWSREEL_SMTP is no address of a mail server; such as {FORM}")
    usual = ("tls", 465) if parts.scheme == "smtps" else ("starttls", 587)
    user = urllib.parse.unquote(parts.username or "")
    return Server(str(parts.hostname), parts.port or usual[1], user, asked.get("tls") or usual[0])


class Mail:
    """server: None where none is set. sender: the address that notices come from."""

    name = "email"

    def __init__(self, server: Server | None, sender: str) -> None:
        self.server, self.sender = server, sender

    def check(self, address: str) -> str:
        if self.server is None or not self.sender:
            raise BadInputError(
                "this service sends no e-mail; set NEWSREEL_SMTP and NEWSREEL_MAIL_FROM"
            )
        if not ADDRESS.fullmatch(address) or len(address) > 254:
            raise BadInputError("the target must be one e-mail address")
        return address

    def shown(self, address: str) -> str:
        return address

    def send(self, notice: Notice, target: Target) -> None:
        if self.server is None:
            raise NotDeliveredError("no mail server is set")
        try:
            self._deliver(self.server, self.letter(notice, target.address))
        except smtplib.SMTPResponseException as error:
            raise NotDeliveredError(f"the mail server answered {error.smtp_code}") from None
        except smtplib.SMTPRecipientsRefused:
            raise NotDeliveredError("the mail server refuses this recipient") from None
        except (OSError, smtplib.SMTPException) as error:
            raise NotDeliveredError(
                f"the mail server cannot be used: {type(error).__name__}"
            ) from None

    def letter(self, notice: Notice, to: str) -> EmailMessage:
        """The same Message-ID in each attempt: mailboxes show it once."""
        made = EmailMessage()
        made["From"], made["To"], made["Subject"] = self.sender, to, notice.subject
        made["Date"] = format_datetime(localtime())
        made["Message-ID"] = f"<{notice.id}@{self.sender.rpartition('@')[2]}>"
        made["Auto-Submitted"] = "auto-generated"
        made.set_content(notice.text + (f"\n\n{notice.link}" if notice.link else "") + "\n")
        return made

    def _deliver(self, server: Server, letter: EmailMessage) -> None:
        context = ssl.create_default_context()
        if server.tls == "tls":
            line = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
        else:
            line = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
        with line:
            if server.tls == "starttls":
                line.starttls(context=context)
            if server.user:
                line.login(server.user, os.environ.get("NEWSREEL_SMTP_PASSWORD") or "")
            line.send_message(letter)

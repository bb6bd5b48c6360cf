"""The notices of a service: made of its settings, and asked by its routes and pages."""

from pathlib import Path
from typing import Any

from src.accounts.accounts import Account, Accounts
from src.accounts.rights import Right
from src.api.answers import jsonable
from src.api.problems import ApiError
from src.api.settings import ServiceSettings
from src.database.database import Database
from src.notices.collecting import Collector
from src.notices.mail import read_server
from src.notices.outbox import Outbox
from src.notices.postman import Postman
from src.notices.registry import make_notifiers, notifier_of
from src.notices.rules import Rule
from src.notices.settings import read_retries, read_rules
from src.notices.webhook import new_secret


class Notifying:
    """Channels, rules and outbox of one service. Raises BadInputError for settings that are
    wrong.
    """

    def __init__(self, settings: ServiceSettings, database: Database, accounts: Accounts) -> None:
        server = read_server(settings.smtp) if settings.smtp else None
        private = settings.private_hooks == "on"
        self.notifiers = make_notifiers(server, settings.mail_from, private)
        retries, site = read_retries(settings.notice_retry), settings.site.rstrip("/")
        self.outbox = Outbox(database, retries, site, jsonable)
        self.rules = self.outbox.rules
        collector = Collector(self.outbox, settings.stuck)
        self.postman = Postman(self.outbox, collector, self.notifiers)
        self._file, self._accounts = settings.notices, accounts

    def sync(self) -> None:
        """Let the rules of the settings' file be the ones that there are of it."""
        known = self._accounts.all() if self._file else []
        keys = {name: each.id for each in known for name in (each.name, each.id)}
        wanted = read_rules(Path(self._file), self.notifiers, keys) if self._file else []
        if wanted or any(rule.source == "settings" for rule in self.rules.of(None)):
            self.rules.sync(wanted)

    def add(
        self, account: Account, events: list[str], channel: str, target: str, everybody: bool
    ) -> Rule:
        """A rule of this key; everybody: for the jobs of all keys, which only admins may have."""
        if everybody and not account.may(Right.ADMIN):
            raise ApiError(403, "only an admin's key may hear of everybody's jobs")
        checked = notifier_of(self.notifiers, channel).check(target.strip())
        secret = new_secret() if channel == "webhook" else None
        return self.rules.add("" if everybody else account.id, events, channel, checked, secret)

    def of(self, account: Account) -> list[Rule]:
        """The rules that the account may see: its own, and all of them for an admin."""
        return self.rules.of(owner_for(account))

    def shown(self, rule: Rule) -> dict[str, Any]:
        """A rule as answers have it: nothing of it is secret."""
        target = self.notifiers[rule.channel].shown(rule.target)
        return {
            "id": rule.id, "events": list(rule.events), "channel": rule.channel, "target": target,
            "everybody": not rule.owner, "active": rule.active, "why": rule.why,
            "source": rule.source, "created_at": rule.created_at,
            "latest": [_told(row) for row in self.outbox.latest(rule)],
        }  # fmt: skip


def owner_for(account: Account) -> str | None:
    """Whose rules the account may change; None for all."""
    return None if account.may(Right.ADMIN) else account.id


def _told(row: dict[str, Any]) -> dict[str, Any]:
    names = ("kind", "state", "attempts", "created_at", "ended_at", "problem")
    return {name: row[name] for name in names} | {"job": row["data"].get("job")}

"""Rules of the settings: a YAML file, for what the whole house is to hear."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from src.core.config import Config, read_yaml, validate
from src.core.errors import BadInputError
from src.notices.notifier import Notifier
from src.notices.registry import notifier_of
from src.notices.rules import SETTINGS, Rule, checked_kinds, target_digest
from src.notices.webhook import checked_secret

ALL = "*"


class RuleSettings(Config):
    """One rule. key: the name or id of a key; * for all. secret: that web hooks are signed with."""

    key: str = ALL
    events: list[str]
    channel: str
    target: str
    secret: str | None = None


class RulesFile(Config):
    """Of `NEWSREEL_NOTICES`."""

    rules: list[RuleSettings] = Field(default_factory=list)


def read_rules(
    path: Path, notifiers: Mapping[str, Notifier], keys: Mapping[str, str]
) -> list[Rule]:
    """keys: ids by name and by id. Raises BadInputError naming the file, and no secret."""
    entries = validate(read_yaml(path), RulesFile, str(path)).rules
    return [_rule(entry, number, path, notifiers, keys) for number, entry in enumerate(entries, 1)]


def _rule(
    entry: RuleSettings, number: int, path: Path, notifiers: Mapping[str, Notifier],
    keys: Mapping[str, str],
) -> Rule:  # fmt: skip
    try:
        return _checked(entry, notifiers, keys)
    except BadInputError as error:
        raise BadInputError(f"{path}, rule {number}: {error}") from None


def _checked(
    entry: RuleSettings, notifiers: Mapping[str, Notifier], keys: Mapping[str, str]
) -> Rule:
    owner = "" if entry.key == ALL else keys.get(entry.key)
    if owner is None:
        raise BadInputError(f"there is no key {entry.key!r}")
    target = notifier_of(notifiers, entry.channel).check(entry.target)
    if entry.channel == "webhook":
        checked_secret(entry.secret or "")
    kinds = checked_kinds(entry.events, owner)
    name = " ".join((owner, entry.channel, target, entry.secret or "", *kinds))
    return Rule(
        hashlib.sha256(name.encode()).hexdigest()[:16], owner, kinds, entry.channel, target,
        target_digest(target), entry.secret, SETTINGS, True, None, time.time(),
    )  # fmt: skip


def read_retries(text: str) -> Sequence[float]:
    """Of `NEWSREEL_NOTICE_RETRY`: seconds, commas between."""
    parts = [part.strip() for part in text.split(",")]
    if all(part.isdecimal() for part in parts) and len(parts) <= 10:
        return [float(part) for part in parts]
    raise BadInputError(
        f"NEWSREEL_NOTICE_RETRY is {text[:40]!r}; it must be seconds with commas between, such as "
        "60,300,1500"
    )

"""The channels that there are: one more is a file beside this one, and its line here."""

from collections.abc import Iterable, Mapping

from src.core.errors import BadInputError
from src.notices.mail import Mail, Server
from src.notices.notifier import Notifier
from src.notices.slack import Slack
from src.notices.webhook import WebHook


def make_notifiers(server: Server | None, sender: str, private: bool) -> "Mapping[str, Notifier]":
    """Of a service with these settings, by name."""
    return by_name([Mail(server, sender), Slack(private), WebHook(private)])


def by_name(notifiers: Iterable[Notifier]) -> "dict[str, Notifier]":
    """Raises ValueError where two have one name."""
    found: dict[str, Notifier] = {}
    for each in notifiers:
        if each.name in found:
            raise ValueError(f"two channels are called {each.name}")
        found[each.name] = each
    return found


def notifier_of(notifiers: "Mapping[str, Notifier]", channel: str) -> Notifier:
    """Raises BadInputError for a channel that there is not."""
    if channel not in notifiers:
        raise BadInputError(
            f"channel is {channel[:40]!r}; it must be one of {', '.join(notifiers)}"
        )
    return notifiers[channel]

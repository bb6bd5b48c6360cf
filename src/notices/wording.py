"""What notices say of jobs, in plain words, and to machines."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from src.notices.notifier import Notice

LONGEST = 100
SUBJECTS = {
    "done": "Clip ready: {title}",
    "failed": "Clip failed: {title}",
    "approval": "Clip waits for approval: {title}",
    "decided": "Clip {state}: {title}",
    "stuck": "The queue is stuck",
    "off": "Notices by {channel} were switched off",
}


@dataclass(frozen=True)
class Happened:
    """Something to tell. event: its name among all that is told, such as the number of an event.
    owner: the key whose job it is; "" where it is about the service. data: for machines.
    """

    event: str
    kind: str
    at: float
    owner: str
    data: dict[str, Any]


def worded(identity: str, kind: str, at: float, data: dict[str, Any], site: str) -> Notice:
    """site: the service's own address; "" where it knows none."""
    subject = one_line(SUBJECTS[kind].format_map(defaultdict(str, data)))
    place = f"/approvals/{data['release']}" if "release" in data else f"/clips/{data.get('job')}"
    link = f"{site}{place}" if site and "job" in data else None
    return Notice(identity, kind, at, subject, one_line(_text(kind, data), 1000), link, data)


def _text(kind: str, data: dict[str, Any]) -> str:
    if kind == "failed":
        return str(data.get("detail") or "The log has the details.")
    if kind == "stuck":
        minutes = float(data["waited"]) / 60
        return f"A job has waited for {minutes:.0f} minutes, and {data['waiting']} wait."
    if kind == "off":
        return f"{data['target']}: {data['why']}. Switch them on again on the page of notices."
    return str(data.get("title") or "")


def title_of(kind: str, request: dict[str, Any]) -> str:
    """What a person calls a job."""
    return one_line(str(request.get("prompt") or request.get("template") or request.get("name")
                        or kind))  # fmt: skip


def one_line(text: str, longest: int = LONGEST) -> str:
    """Printable, without breaks, which no header may hold."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    words = " ".join(plain.split())
    return words if len(words) <= longest else words[: longest - 3] + "..."

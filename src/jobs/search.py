"""Finding jobs: whose, in which state, with which words, made when."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement

from src.database.tables import jobs
from src.jobs.model import State

Owner = str | Collection[str] | None
"""An owner, several, or None for everybody."""
MOST_WORDS = 12


def is_among(owner: Owner, value: str) -> bool:
    """Whether `value` is the owner, or one of them."""
    if owner is None:
        return True
    return value == owner if isinstance(owner, str) else value in owner


@dataclass(frozen=True)
class JobFilter:
    """Which jobs. words: each must occur in what was asked. since, until: seconds since the epoch,
    of the submission; until is not included. before: the last id of the page before; after: the
    same where the oldest come first. kind: None for all.
    """

    owner: Owner = None
    state: State | None = None
    before: str | None = None
    words: str = ""
    since: float | None = None
    until: float | None = None
    after: str | None = None
    kind: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """What a row must meet."""
        given = [
            self._of_owner(),
            self._in_state(),
            self._of_kind(),
            *self._with_words(),
            *self._in_time(),
        ]
        return [condition for condition in given if condition is not None]

    def _of_owner(self) -> ColumnElement[bool] | None:
        if self.owner is None:
            return None
        if isinstance(self.owner, str):
            return jobs.c.owner == self.owner
        return jobs.c.owner.in_(sorted(self.owner))

    def _in_state(self) -> ColumnElement[bool] | None:
        return None if self.state is None else jobs.c.state == self.state

    def _of_kind(self) -> ColumnElement[bool] | None:
        return None if self.kind is None else jobs.c.kind == self.kind

    def _with_words(self) -> list[ColumnElement[bool]]:
        found = self.words.casefold().split()[:MOST_WORDS]
        return [jobs.c.words.contains(word, autoescape=True) for word in found]

    def _in_time(self) -> list[ColumnElement[bool] | None]:
        """Ids begin with the time of submission, so their index finds times."""
        return [
            None if self.before is None else jobs.c.id < self.before,
            None if self.after is None else jobs.c.id > self.after,
            None if self.since is None else jobs.c.id >= first_id(self.since),
            None if self.until is None else jobs.c.id < first_id(self.until),
        ]


def first_id(time: float) -> str:
    """The least id of jobs submitted at that time (seconds since the epoch) or later."""
    return f"{max(0, int(time * 1000)):011x}"


def searched_text(request: dict[str, Any]) -> str:
    """What a search looks at: the wording of a request, in lower case."""
    parts = [request.get(name) for name in ("prompt", "template", "name")]
    parts += (request.get("set") or {}).values()
    return " ".join(str(part) for part in parts if part).casefold()

"""The list of clips on the page: its filters, and a page of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, ClassVar
from urllib.parse import urlencode

from fastapi import Query

from src.accounts.accounts import Account
from src.api.problems import ApiError
from src.api.release_words import MARKS
from src.api.schemas import JobView
from src.api.service import Service
from src.jobs.model import State
from src.jobs.search import JobFilter

PAGE = 24
Day = Annotated[str, Query(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]


@dataclass
class Filters:
    """What the list's form asks for. since, until: days such as 2026-11-26, both included, in the
    service's zone. whose: "mine" leaves the desk's out. before: of paging.
    """

    q: Annotated[str, Query(max_length=200)] = ""
    state: Annotated[str, Query(max_length=20)] = ""
    since: Day = ""
    until: Day = ""
    whose: Annotated[str, Query(pattern="^(mine)?$")] = ""
    before: Annotated[str, Query(pattern="^([0-9a-f]{21})?$")] = ""

    @property
    def narrow(self) -> bool:
        """Whether anything is left out."""
        return any((self.q, self.state, self.since, self.until, self.whose))

    def following(self, last: str) -> str:
        """The address of the next page."""
        return "/?" + urlencode(
            {name: value for name, value in vars(self).items() if value} | {"before": last}
        )

    def wanted(self, service: Service, account: Account) -> JobFilter:
        """Raises ApiError 422 for days and states that there are not."""
        if self.state and self.state not in list(State):
            raise ApiError(422, f"there is no state {self.state!r}; choose one from the list")
        owner = account.id if self.whose == "mine" else service.visible_to(account)
        state = State(self.state) if self.state else None
        until = _day(self.until, 1) if self.until else None
        since = _day(self.since) if self.since else None
        return JobFilter(owner, state, self.before or None, self.q, since, until)


def _day(text: str, later: int = 0) -> float:
    """When the day begins, or the one after it."""
    try:
        return (datetime.fromisoformat(text) + timedelta(days=later)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ApiError(422, f"{text} is no day; write it as 2026-11-26") from None


@dataclass(frozen=True)
class Board:
    """A page of the list. following: the address of the next one, or None. marks: how finished
    clips are marked, by job, where there is approval.
    """

    words: ClassVar = MARKS

    jobs: list[JobView]
    filters: Filters
    following: str | None
    shared: bool
    marks: dict[str, str]

    @property
    def waiting(self) -> bool:
        """Whether anything on it has not ended."""
        return any(not job.state.final for job in self.jobs)


def board(service: Service, account: Account, filters: Filters) -> Board:
    """shared: whether other keys' jobs may be among them."""
    jobs = service.store.find(filters.wanted(service, account), PAGE)
    following = filters.following(jobs[-1].id) if len(jobs) == PAGE else None
    seen = service.visible_to(account)
    shared = (seen is None and service.settings.auth == "on") or (
        seen is not None and len(seen) > 1
    )
    marks = service.releasing.marks(jobs)
    return Board([service.show(job) for job in jobs], filters, following, shared, marks)

"""A release, as stored, and what one is told to do with it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from src.core.addresses import StoredFile
from src.core.errors import BadInputError
from src.releases.states import OUT, ReleaseState

LONGEST = 2000
EARLIEST, LATEST = 946_684_800, 4_102_444_800
"""An embargo lies within the years 2000 to 2099, UTC: what calendars everywhere can show."""


class UnknownReleaseError(BadInputError):
    """There is no release with this id, or it is not the caller's to see."""

    http_status = 404


class RefusedReleaseError(BadInputError):
    """This key may not do that with this release."""

    http_status = 403


class ReleaseStateError(BadInputError):
    """The release is in a state, or was changed, so that this cannot be done."""

    http_status = 409


class Bytes(NamedTuple):
    """A file of the artifact store with the bytes that it must have."""

    key: str
    version: str | None
    sha256: str | None


@dataclass(frozen=True)
class Release:
    """A row. key, version: of the clip, in the artifact store; "" for a draft whose clip is still
    being made. sha256: of the bytes that were submitted, and approved. labelled: whether its
    picture carries the visible label. served_key, served_version, served_sha256: of what is served
    in the approved file's place; None where that is the file itself. owner, submitter, approver,
    releaser: ids of keys. makers: of those that made what its clip is made of. embargo and times:
    seconds since the epoch, UTC. reason: what was said with the last decision. revision: grows with
    each change. ended_at: when it ended, or, to come, when the embargo of its correction is over.
    """

    id: str
    job: str
    open_job: str | None
    owner: str
    title: str
    key: str
    version: str | None
    state: ReleaseState
    revision: int
    sha256: str | None
    note: str
    reason: str
    embargo: float | None
    supersedes: str | None
    successor: str | None
    submitter: str | None
    approver: str | None
    releaser: str | None
    created_at: float
    submitted_at: float | None
    decided_at: float | None
    released_at: float | None
    ended_at: float | None
    labelled: bool = False
    served_key: str | None = None
    served_version: str | None = None
    served_sha256: str | None = None
    makers: Sequence[str] = ()

    @property
    def involved(self) -> frozenset[str]:
        """Keys whose work it is: of its maker, of the makers of what it is made of, and of who
        submitted it.
        """
        return frozenset(each for each in (self.owner, self.submitter, *self.makers) if each)

    @property
    def served(self) -> "Bytes":
        """What everybody gets once it is out."""
        if self.served_key is None:
            return Bytes(self.key, self.version, self.sha256)
        return Bytes(self.served_key, self.served_version, self.served_sha256)

    def is_out(self, now: float) -> bool:
        """Whether its clip is served to everybody who may read, at this time."""
        return self.state is ReleaseState.RELEASED and (self.embargo or 0.0) <= now

    def was_out(self, now: float) -> bool:
        """Whether it is out, or was before it ended."""
        ended = now if self.ended_at is None else self.ended_at
        return self.state in OUT and (self.embargo or 0.0) <= min(now, ended)


@dataclass(frozen=True)
class Wish:
    """What somebody wants done. revision: the one that was looked at; None for whichever it is.
    sha256: of the clip's bytes as they are now, where the transition reads them. seen: the hash
    that the caller looked at, where one is told. clip: key and version of a clip that was still
    being made when the draft was. served: what is to be served in the approved file's place.
    """

    action: str
    revision: int | None = None
    text: str = ""
    embargo: float | None = None
    sha256: str | None = None
    seen: str | None = None
    clip: tuple[str, str | None] | None = None
    served: StoredFile | None = None


def checked_embargo(at: float | None) -> float | None:
    """Seconds since the epoch, whole ones: a part of one counts as a whole. Raises BadInputError
    outside the years 2000 to 2099.
    """
    if at is None:
        return None
    if not EARLIEST <= at < LATEST:
        raise BadInputError("an embargo ends in the years 2000 to 2099, UTC")
    return float(math.ceil(at))


def as_release(row: Any, now: float) -> Release:
    """As it is at this time: what a correction takes the place of is superseded once the embargo of
    that is over, whatever the row says.
    """
    values: dict[str, Any] = dict(row._mapping)
    state, ended = ReleaseState(values["state"]), values["ended_at"]
    over = state is ReleaseState.RELEASED and ended is not None and ended <= now
    values["state"] = ReleaseState.SUPERSEDED if over else state
    return Release(**values)


def checked_text(text: str, name: str) -> str:
    """What a person wrote: at most 2000 characters, lines of plain text. Raises BadInputError."""
    plain = text.strip()
    if len(plain) > LONGEST:
        raise BadInputError(f"the {name} has {len(plain)} characters; {LONGEST} are kept")
    if not all(letter.isprintable() or letter in "\n\r\t" for letter in plain):
        raise BadInputError(f"the {name} is plain text, without control characters")
    return plain

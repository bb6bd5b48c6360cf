"""The durable releases. A decision, its event, its mark on the clip's row and its entry in the
audit log are one transaction.
"""

import secrets
import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from src.accounts.accounts import Account
from src.core.addresses import StoredFile
from src.core.errors import BadInputError
from src.database import artifact_rows
from src.database.database import Clock, Database, batches
from src.database.tables import artifacts, jobs, releases
from src.jobs import references
from src.jobs.model import Job
from src.jobs.rows import record
from src.jobs.search import Owner, first_id, is_among
from src.journal.entries import Act, append, digest
from src.releases.model import (
    Release,
    ReleaseStateError,
    UnknownReleaseError,
    Wish,
    as_release,
    checked_embargo,
    checked_text,
)
from src.releases.rules import Persons, check_wish
from src.releases.states import ReleaseState, Transition

WAITING = "WAITING"
"""What an event of the kind `approval` tells of a release that was submitted."""
TEXTS = {"submit": "note", "approve": "reason", "reject": "reason", "withdraw": "reason"}
"""Where what a person wrote goes, by action; the others keep none."""
EMBARGOED = ("submit", "release")
"""What an embargo goes with."""


class ReleaseStore:
    """Releases of one database."""

    def __init__(self, database: Database, clock: Clock = time.time) -> None:
        self.database, self.clock = database, clock

    def create(
        self, job: Job, title: str, account: Account, key: str, version: str | None,
        supersedes: str | None = None,
    ) -> Release:  # fmt: skip
        """A draft. key: "" while the clip is still being made. Raises ReleaseStateError where the
        job has a release that has not ended, or what it is to correct was never out.
        """
        now = self.clock()
        values: dict[str, Any] = {
            "id": f"{first_id(now)}{secrets.token_hex(5)}", "job": job.id, "open_job": job.id,
            "owner": job.owner, "title": title, "key": key, "version": version, "revision": 1,
            "state": ReleaseState.DRAFT, "note": "", "reason": "", "created_at": now,
            "supersedes": supersedes, "labelled": job.labelled, "makers": list(job.makers),
        }  # fmt: skip
        told = {"job": job.id, "supersedes": supersedes, "labelled": job.labelled}
        try:
            with self.database.write() as connection:
                references.settle(connection, job.id, now)
                if supersedes is not None:
                    self._corrected(connection, supersedes, now)
                connection.execute(insert(releases).values(values))
                append(connection, [Act(account.id, "release.create", values["id"], told)])
        except IntegrityError:
            raise ReleaseStateError(f"the clip of job {job.id} has a release already") from None
        return self.get(values["id"])

    def get(self, release_id: str, owner: Owner = None) -> Release:
        """owner: whose are looked at. Raises UnknownReleaseError."""
        with self.database.read() as connection:
            found = _row(connection, release_id, self.clock())
        if found is None or not is_among(owner, found.owner):
            raise UnknownReleaseError(f"there is no release {release_id[:40]!r}")
        return found

    def of_job(self, job_id: str) -> Release | None:
        """The newest one."""
        query = select(releases).where(releases.c.job == job_id).order_by(releases.c.id.desc())
        with self.database.read() as connection:
            row = connection.execute(query.limit(1)).one_or_none()
        return as_release(row, self.clock()) if row else None

    def newest(self, ids: Collection[str]) -> dict[str, Release]:
        """The newest one of each of these jobs that has one."""
        found: dict[str, Release] = {}
        now = self.clock()
        with self.database.read() as connection:
            for some in batches(sorted(ids)):
                query = select(releases).where(releases.c.job.in_(some)).order_by(releases.c.id)
                found |= {row.job: as_release(row, now) for row in connection.execute(query)}
        return found

    def of_key(self, key: str) -> Release | None:
        """The newest one of the clip at this key."""
        query = select(releases).where(releases.c.key == key).order_by(releases.c.id.desc())
        with self.database.read() as connection:
            row = connection.execute(query.limit(1)).one_or_none()
        return as_release(row, self.clock()) if row else None

    def page(
        self, owner: Owner = None, state: ReleaseState | None = None, before: str | None = None,
        limit: int = 50,
    ) -> list[Release]:  # fmt: skip
        """Newest first; before: the last id of the page before."""
        now = self.clock()
        query = select(releases).order_by(releases.c.id.desc()).limit(limit)
        if owner is not None:
            names: Collection[str] = [owner] if isinstance(owner, str) else sorted(owner)
            query = query.where(releases.c.owner.in_(names))
        if state is not None:
            query = query.where(_is(state, now))
        if before is not None:
            query = query.where(releases.c.id < before)
        with self.database.read() as connection:
            return [as_release(row, now) for row in connection.execute(query)]

    def act(self, release: Release, wish: Wish, account: Account, persons: Persons) -> Release:
        """Do it, if nobody else was faster. release: as it was looked at; persons: of its keys.
        Raises RefusedReleaseError and ReleaseStateError.
        """
        if wish.text.strip() and wish.action not in TEXTS:
            raise BadInputError(f"{wish.action} keeps no note; it goes with a decision")
        if wish.embargo is not None and wish.action not in EMBARGOED:
            raise BadInputError(
                f"embargo does not go with {wish.action}: say it with submit or release"
            )
        text = checked_text(wish.text, TEXTS.get(wish.action, "note"))
        wish = replace(wish, text=text, embargo=checked_embargo(wish.embargo))
        step = check_wish(wish, release, account, persons)
        now = self.clock()
        values = _values(step, release, wish, account, now)
        with self.database.write() as connection:
            _hold(connection, release)
            _change(connection, release, values)
            if wish.served is not None:
                artifact_rows.add_artifacts(connection, [_served_row(release, wish.served, now)])
            if step.target is ReleaseState.RELEASED and release.supersedes:
                self._supersede(connection, replace(release, **values), now)
            if step.target is ReleaseState.WITHDRAWN and release.supersedes:
                self._give_back(connection, release, now)
            _tell(connection, release, step, now)
            append(connection, [_entry(step, release, wish, values, account)])
        return self.get(release.id)

    def told(self, ids: Collection[str]) -> set[str]:
        """Those of these releases that are out, or were: what others are told of."""
        found, now = set(), self.clock()
        with self.database.read() as connection:
            for some in batches(sorted(ids)):
                rows = connection.execute(select(releases).where(releases.c.id.in_(some)))
                found |= {row.id for row in rows if as_release(row, now).was_out(now)}
        return found

    def _corrected(self, connection: Connection, supersedes: str, now: float) -> Release:
        """What a correction follows. To be changed as it was looked at here: where it is read
        again, another correction may have come between. Raises ReleaseStateError.
        """
        old = _row(connection, supersedes, now)
        under_embargo = old and old.state is ReleaseState.RELEASED and not old.is_out(now)
        if old is None or old.state not in CORRECTED or old.successor or under_embargo:
            raise ReleaseStateError(
                f"release {supersedes} is not out, or was corrected already; correct its newest one"
            )
        return old

    def _supersede(self, connection: Connection, release: Release, now: float) -> None:
        """What was out before names this one, and is not out any more once this one is. release: as
        it becomes.
        """
        old = self._corrected(connection, str(release.supersedes), now)
        values: dict[str, Any] = {"successor": release.id}
        if old.state is ReleaseState.RELEASED and not release.is_out(now):
            values |= {"ended_at": release.embargo}
        elif old.state is ReleaseState.RELEASED:
            values |= {"state": ReleaseState.SUPERSEDED, "open_job": None, "ended_at": now}
        _change(connection, old, values | {"revision": old.revision + 1})

    def _give_back(self, connection: Connection, release: Release, now: float) -> None:
        """A correction that is withdrawn before its embargo was over took nothing's place."""
        old = _row(connection, str(release.supersedes), now)
        if release.was_out(now) or old is None or old.successor != release.id:
            return
        values: dict[str, Any] = {"successor": None, "revision": old.revision + 1}
        values |= {"ended_at": None} if old.state is ReleaseState.RELEASED else {}
        _change(connection, old, values)


CORRECTED = (ReleaseState.RELEASED, ReleaseState.WITHDRAWN)
"""States of what a correction may follow."""


def _is(state: ReleaseState, now: float) -> ColumnElement[bool]:
    """As `as_release` has it."""
    row, released = releases.c.state == state, releases.c.state == ReleaseState.RELEASED
    if state is ReleaseState.SUPERSEDED:
        return row | (released & (releases.c.ended_at <= now))
    if state is ReleaseState.RELEASED:
        return row & (releases.c.ended_at.is_(None) | (releases.c.ended_at > now))
    return row


def _row(connection: Connection, release_id: str, now: float) -> Release | None:
    row = connection.execute(select(releases).where(releases.c.id == release_id)).one_or_none()
    return as_release(row, now) if row else None


def _values(
    step: Transition, release: Release, wish: Wish, account: Account, now: float
) -> dict[str, Any]:
    """What the row has after this step."""
    values: dict[str, Any] = {"state": step.target, "revision": release.revision + 1}
    if (field := TEXTS.get(step.action)) is not None:
        values[field] = wish.text
    if wish.embargo is not None or step.action in ("submit", "recall"):
        values["embargo"] = wish.embargo
    if step.target.final:
        values |= {"open_job": None, "ended_at": now}
    who, when = STAMPS.get(step.action, (None, None))
    values |= {who: account.id} if who else {}
    values |= {when: now} if when else {}
    if step.action == "submit":
        values |= {"sha256": wish.sha256, "approver": None, "decided_at": None, "reason": ""}
    if wish.clip is not None:
        values |= dict(zip(("key", "version"), wish.clip, strict=True))
    if (served := wish.served) is not None:
        values |= {"served_key": served.key, "served_version": served.version,
                   "served_sha256": served.sha256}  # fmt: skip
    return values


def _served_row(release: Release, file: StoredFile, now: float) -> dict[str, Any]:
    """Of what is served: it goes with the job, and stays as long as the clip it was made of."""
    told = {"job": release.job, "parent": release.key, "release": ReleaseState.RELEASED}
    return artifact_rows.row(file, now, **told)


STAMPS: dict[str, tuple[str | None, str | None]] = {
    "submit": ("submitter", "submitted_at"), "approve": ("approver", "decided_at"),
    "reject": ("approver", "decided_at"), "release": ("releaser", "released_at"),
}  # fmt: skip
"""Who did it, and when, by action."""


def _hold(connection: Connection, release: Release) -> None:
    """Nobody deletes the job until we commit. A withdrawal needs no job."""
    connection.execute(select(jobs.c.id).where(jobs.c.id == release.job).with_for_update())


def _change(connection: Connection, release: Release, values: dict[str, Any]) -> None:
    """Raises ReleaseStateError where somebody else changed it meanwhile, or its clip is gone."""
    same = (releases.c.id == release.id) & (releases.c.revision == release.revision)
    if not connection.execute(update(releases).where(same).values(values)).rowcount:
        raise ReleaseStateError(
            f"release {release.id} was changed a moment ago by somebody else; look at it again"
        )
    if (state := values.get("state")) is None:
        return
    mark = None if state in UNMARKED else state
    files = [values.get("key", release.key), *filter(None, [release.served_key])]
    clip = artifacts.c.key.in_(files) & (artifacts.c.job == release.job)
    marked = connection.execute(update(artifacts).where(clip).values(release=mark)).rowcount
    if not marked and state not in (*UNMARKED, *ENDED):
        raise ReleaseStateError(f"the clip of release {release.id} is not stored any more")


UNMARKED = (ReleaseState.DRAFT, ReleaseState.REJECTED)
ENDED = (ReleaseState.WITHDRAWN, ReleaseState.SUPERSEDED)


def _tell(connection: Connection, release: Release, step: Transition, now: float) -> None:
    """An event of the job, where it is there still: notices and streams read it."""
    there = connection.execute(select(jobs.c.id).where(jobs.c.id == release.job)).scalar()
    if there is None:
        return
    submitted = step.target is ReleaseState.SUBMITTED
    state = WAITING if submitted else step.target.value.upper()
    record(connection, release.job, now, "approval", {"state": state, "release": release.id})


def _entry(
    step: Transition, release: Release, wish: Wish, values: dict[str, Any], account: Account
) -> Act:
    data = {
        "job": release.job, "from": release.state, "to": step.target,
        "revision": values["revision"], "sha256": values.get("sha256", release.sha256),
    }  # fmt: skip
    if wish.served is not None:
        data["served_sha256"] = wish.served.sha256
    if wish.text:
        data["text_sha256"] = digest(wish.text)
    if wish.embargo is not None:
        data["embargo"] = int(wish.embargo)
    if step.action == "release" and release.supersedes:
        data["supersedes"] = release.supersedes
    return Act(account.id, f"release.{step.action}", release.id, data)

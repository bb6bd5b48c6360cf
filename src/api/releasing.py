"""Approval in the service: what may be done with a release, and how clips are served before, under
and after it.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from fastapi import Response

from src.accounts.accounts import Account, Accounts
from src.api.problems import ApiError
from src.api.published import other_bytes, told_of_release
from src.api.recording import Recording
from src.api.serving import serve
from src.api.settings import ServiceSettings
from src.artifacts.index import ArtifactIndex
from src.artifacts.store import ArtifactStore
from src.core.addresses import clip_key, name_of
from src.core.errors import BadInputError
from src.database.database import Database
from src.jobs.model import LABELLED, Job, State
from src.jobs.search import Owner
from src.jobs.store import JobStore
from src.journal.entries import digest
from src.releases.digests import Digests
from src.releases.model import Bytes, Release, Wish
from src.releases.rules import Persons, allowed, check_wish
from src.releases.states import TRANSITIONS, ReleaseState, Transition
from src.releases.store import CORRECTED, ReleaseStore

OFF = "approval is not switched on in this service; NEWSREEL_APPROVAL=on does that"
STATE_HEADER = "X-Newsreel-Release"
ALWAYS = ("recall", "reject", "withdraw")
"""What may be done where approval was switched off again."""
PREFIXES = {ReleaseState.WITHDRAWN: "WITHDRAWN-", ReleaseState.SUPERSEDED: "SUPERSEDED-"}


def check_no_draft(job: Job) -> None:
    """Raise ApiError 409 for a draft's clip, and for what is made of one."""
    if job.draft:
        raise ApiError(
            409, f"the clip of job {job.id} is a draft, or made of one; release the full clip"
        )


class Releasing:
    """Releases of one service. Raises BadInputError for approval without keys."""

    def __init__(
        self, settings: ServiceSettings, database: Database, files: ArtifactStore,
        accounts: Accounts,
    ) -> None:  # fmt: skip
        self.on = settings.approval == "on"
        if self.on and settings.auth == "off":
            raise BadInputError(
                "NEWSREEL_APPROVAL=on needs NEWSREEL_AUTH=on: without keys nobody is anybody who "
                "could approve"
            )
        self.store, self.files, self.accounts = ReleaseStore(database), files, accounts
        self.index, self.digests = ArtifactIndex(database), Digests(files)
        self.recording, self.jobs = Recording(database), JobStore(database)

    def create(self, job: Job, title: str, account: Account, supersedes: str | None) -> Release:
        """A draft of this job's clip, which may still be made where that is a labelled copy."""
        self.check_on()
        waits = job.request.get(LABELLED) and job.state is not State.COMPLETED
        key, version = ("", None) if waits else self._clip_of(job)
        return self.store.create(job, title, account, key, version, supersedes)

    def _clip_of(self, job: Job) -> tuple[str, str | None]:
        """Key and version. Raises ApiError 409 where there is no finished clip."""
        if job.state is not State.COMPLETED or job.artifact is None:
            raise ApiError(409, f"job {job.id} is {job.state}; only finished clips are released")
        found = self.index.find(clip_key(job.artifact))
        if found is None:
            raise ApiError(409, f"the clip of job {job.id} is not stored any more")
        return found[0].key, found[0].version

    def act(self, release: Release, wish: Wish, account: Account) -> Release:
        """Do it. Raises as `ReleaseStore.act`, and ApiError 409 where approval is off, and for a
        draft's clip whose release an earlier version began.
        """
        step = TRANSITIONS[wish.action]
        if step.action not in ALWAYS:
            self.check_on()
            if job := self.jobs.many([release.job]).get(release.job):
                check_no_draft(job)
        clip = (release.key, release.version)
        if step.reads and not release.key:
            clip = self._clip_of(self.jobs.get(release.job))
            wish = replace(wish, clip=clip)
        wish = replace(wish, sha256=self.digests.of(*clip) if step.reads else None)
        persons = self.persons([release], account)
        if step.target is not ReleaseState.RELEASED:
            return self.store.act(release, wish, account, persons)
        check_wish(wish, release, account, persons)
        return self._let_out(release, wish, account, persons)

    def _let_out(self, release: Release, wish: Wish, account: Account, persons: Persons) -> Release:
        """With a signed clip that tells of its release, where clips are signed."""
        served = told_of_release(self.files, release)
        try:
            return self.store.act(release, replace(wish, served=served), account, persons)
        except BadInputError:  # nothing was written; after other errors that is not known
            if served is not None:
                self.files.delete(served.key)
            raise

    def allowed(self, release: Release, account: Account, persons: Persons) -> list[Transition]:
        """What this account may do with it now. persons: of its keys and the account's."""
        found = allowed(release, account, persons)
        return [each for each in found if self.on or each.action in ALWAYS]

    def persons(self, releases: Iterable[Release], account: Account) -> dict[str, str]:
        """Pseudonyms of the persons whose keys made or submitted these, or made what they are made
        of, and of the account's.
        """
        involved = {key for each in releases for key in each.involved}
        return self.accounts.persons(involved | {account.id})

    def check_on(self) -> None:
        if not self.on:
            raise ApiError(409, OFF)

    def state_of(self, artifact: str | None) -> str | None:
        """How a clip is marked: the state of its release, `draft` where it has none, `embargoed`
        before its time; None where there is no approval here.
        """
        if not self.on or artifact is None:
            return None
        return _shown(self.store.of_key(clip_key(artifact)))

    def newest(self, job_id: str) -> Release | None:
        """The newest release of this job's clip; None where there is no approval here."""
        return self.store.of_job(job_id) if self.on else None

    def correctable(self, owner: Owner) -> list[Release]:
        """What a new release may correct, newest first: of these owners, out or withdrawn, and not
        corrected yet.
        """
        if not self.on:
            return []
        found = [each for state in CORRECTED for each in self.store.page(owner, state)]
        now = time.time()
        open_ones = [each for each in found if each.successor is None and (
            each.state is ReleaseState.WITHDRAWN or each.is_out(now))]  # fmt: skip
        return sorted(open_ones, key=lambda each: each.id, reverse=True)

    def marks(self, jobs: Iterable[Job]) -> dict[str, str]:
        """As `state_of`, of many: by the job's id."""
        if not self.on:
            return {}
        done = [job for job in jobs if job.artifact]
        found = self.store.newest({job.id for job in done})
        return {job.id: _shown(found.get(job.id)) for job in done}

    def check_bytes(self, release: Release, wanted: Bytes) -> None:
        """Raise ApiError 409 where a file of it is not as it was approved, or let out."""
        if self.digests.recent(wanted.key, wanted.version) != wanted.sha256:
            raise other_bytes(release)

    def deliver(
        self, account: Account, key: str, version: str | None, kind: str,
        filename: str | None = None, etags: frozenset[str] = frozenset(),
    ) -> Response:  # fmt: skip
        """A clip by its own address: as ever where it is out, or there is no approval; else marked,
        kept by no cache, and noted.
        """
        usual = {"Cache-Control": "private, no-cache"}
        release = self.store.of_key(key) if self.on else None
        if release is not None and release.is_out(time.time()):
            self.check_bytes(release, Bytes(release.key, release.version, release.sha256))
            usual[STATE_HEADER] = release.state
        elif self.on:
            return self._draft(account, key, version, kind, release)
        return serve(self.files, key, kind, usual, filename, etags, version)

    def note_look(self, account: Account, key: str) -> None:
        """A picture of the clip at this key goes to the account: noted as the clip itself is, where
        that is not out.
        """
        release = self.store.of_key(key) if self.on else None
        if self.on and not (release is not None and release.is_out(time.time())):
            self._note(account, key)

    def _note(self, account: Account, key: str) -> None:
        found = self.index.find(key)
        sha256, job = (found[0].sha256, found[0].job) if found else (None, None)
        self.recording.download(account, job or digest(name_of(key)), sha256)

    def _draft(
        self, account: Account, key: str, version: str | None, kind: str, release: Release | None
    ) -> Response:
        self._note(account, key)
        prefix = PREFIXES.get(release.state, "DRAFT-") if release else "DRAFT-"
        headers = {"Cache-Control": "no-store", STATE_HEADER: _shown(release)}
        return serve(
            self.files, key, kind, headers, f"{prefix}{name_of(key)}", version=version, inside=True
        )

    def picture_headers(self, artifact: str | None, usual: dict[str, str]) -> dict[str, Any]:
        """For `serve`: how a picture of a clip is served."""
        if self.state_of(artifact) in (None, ReleaseState.RELEASED):
            return {"headers": usual}
        return {"headers": {"Cache-Control": "no-store"}, "inside": True}


def _shown(release: Release | None) -> str:
    if release is None:
        return ReleaseState.DRAFT.value
    if release.state is ReleaseState.RELEASED and not release.is_out(time.time()):
        return "embargoed"
    return release.state.value

"""The states of a release, and the one table of what leads from one to another. API, page and tests
read it.

DRAFT ──submit──> SUBMITTED ──approve──> APPROVED ──release──> RELEASED ──withdraw──> WITHDRAWN
  ^                  │  │                  │  │                    └── a correction is
  └────── recall ────┴──│──────────────────┘  │                        released ──> SUPERSEDED
                        └──────reject──> REJECTED <──┘
"""

from dataclasses import dataclass
from enum import StrEnum

from src.accounts.rights import Right


class ReleaseState(StrEnum):
    """Where a release is. The last three, and REJECTED, are final."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    APPROVED = "approved"
    REJECTED = "rejected"
    RELEASED = "released"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"

    @property
    def final(self) -> bool:
        return self in FINAL


FINAL = (
    ReleaseState.REJECTED, ReleaseState.WITHDRAWN, ReleaseState.SUPERSEDED,
)  # fmt: skip

OUT = (ReleaseState.RELEASED, ReleaseState.WITHDRAWN, ReleaseState.SUPERSEDED)
"""States in which everybody who may read sees a release, once its embargo is over."""


class Who(StrEnum):
    """Who among those who have the right. OWN: the job's owner, or an admin. OTHERS: a person who
    is neither the submitter nor the job's owner; admins are no exception. ANYBODY: each of them.
    """

    OWN = "own"
    OTHERS = "others"
    ANYBODY = "anybody"


@dataclass(frozen=True)
class Transition:
    """One way from some states to another. reasoned: a reason must be given. reads: the clip's
    bytes must be those that were submitted. told: the sentence for people.
    """

    action: str
    sources: frozenset[ReleaseState]
    target: ReleaseState
    right: Right
    who: Who
    told: str
    reasoned: bool = False
    reads: bool = False


S = ReleaseState
TRANSITIONS = {each.action: each for each in (
    Transition("submit", frozenset({S.DRAFT}), S.SUBMITTED, Right.SUBMIT, Who.OWN,
               "Ask for approval", reads=True),
    Transition("recall", frozenset({S.SUBMITTED, S.APPROVED}), S.DRAFT, Right.SUBMIT, Who.OWN,
               "Take it back"),
    Transition("approve", frozenset({S.SUBMITTED}), S.APPROVED, Right.APPROVE, Who.OTHERS,
               "Approve", reads=True),
    Transition("reject", frozenset({S.SUBMITTED, S.APPROVED}), S.REJECTED, Right.APPROVE,
               Who.OTHERS, "Reject", reasoned=True),
    Transition("release", frozenset({S.APPROVED}), S.RELEASED, Right.RELEASE, Who.ANYBODY,
               "Release", reads=True),
    Transition("withdraw", frozenset({S.RELEASED}), S.WITHDRAWN, Right.RELEASE, Who.ANYBODY,
               "Withdraw", reasoned=True),
)}  # fmt: skip
"""By action. SUPERSEDED has none: a release becomes that when its correction is released."""

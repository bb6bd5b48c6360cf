"""What a key may do: a set of rights, none of which stands for another; and the sets that have a
name.
"""

from collections.abc import Collection
from enum import StrEnum


class Right(StrEnum):
    """read: look at one's own jobs and those of one's desk. submit: make jobs, and submit one's own
    clips for approval. approve: decide about others' clips; of persons' keys only. release: let out
    what is approved, and withdraw it. admin: see and change everybody's jobs.
    """

    READ = "read"
    SUBMIT = "submit"
    APPROVE = "approve"
    RELEASE = "release"
    ADMIN = "admin"


class Role(StrEnum):
    """Sets of rights that keys are made with. None of them may approve or release: that is given
    by name.
    """

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"

    @property
    def rights(self) -> frozenset[Right]:
        return SETS[self]


SETS = {
    Role.READ: frozenset({Right.READ}),
    Role.SUBMIT: frozenset({Right.READ, Right.SUBMIT}),
    Role.ADMIN: frozenset({Right.READ, Right.SUBMIT, Right.ADMIN}),
}


def as_text(rights: Collection[str]) -> str:
    """As the database holds them: names in order, with spaces between."""
    return " ".join(sorted(rights))


def from_text(text: str) -> frozenset[Right]:
    return frozenset(map(Right, text.split()))

"""Who may do what with a release: one function, that all doors ask."""

from collections.abc import Mapping

from src.accounts.accounts import Account
from src.accounts.rights import Right
from src.releases.model import RefusedReleaseError, Release, ReleaseStateError, Wish
from src.releases.states import TRANSITIONS, ReleaseState, Transition, Who

Persons = Mapping[str, str]
"""The pseudonym of a key's person, by its id; "" or none for a service's."""


def allowed(release: Release, account: Account, persons: Persons) -> list[Transition]:
    """What this account may do with it now, in the table's order."""
    return [each for each in TRANSITIONS.values() if why_not(each, release, account, persons) == ""]


def why_not(step: Transition, release: Release, account: Account, persons: Persons) -> str:
    """A sentence why this account may not; "" where it may."""
    if (refused := _refused(step, release, account, persons)) != "":
        return refused
    if release.state not in step.sources:
        wanted = " or ".join(sorted(step.sources))
        return f"release {release.id} is {release.state}; {step.action} needs one that is {wanted}"
    return ""


def check_wish(wish: Wish, release: Release, account: Account, persons: Persons) -> Transition:
    """The transition. Raises RefusedReleaseError for a right that lacks, and ReleaseStateError for
    a state, a revision or bytes that are others by now.
    """
    step = TRANSITIONS[wish.action]
    if (refused := _refused(step, release, account, persons)) != "":
        raise RefusedReleaseError(refused)
    if (late := why_not(step, release, account, persons)) != "":
        raise ReleaseStateError(late)
    if wish.revision not in (None, release.revision):
        raise ReleaseStateError(
            f"release {release.id} was changed since you looked at it; look at it again"
        )
    if step.reasoned and not wish.text:
        raise ReleaseStateError(f"to {step.action} needs a reason; say in a sentence why")
    _check_embargo(step, release, wish)
    _check_bytes(step, release, wish)
    return step


def _refused(step: Transition, release: Release, account: Account, persons: Persons) -> str:
    if not account.may(step.right):
        return f"this key may not {step.right} clips"
    if step.who is Who.OWN and account.id != release.owner and not account.may(Right.ADMIN):
        return f"only the key that made the clip, or an admin's, may {step.action} it"
    return _second(step, release, account, persons) if step.who is Who.OTHERS else ""


def _second(step: Transition, release: Release, account: Account, persons: Persons) -> str:
    """Four eyes: by key, and by person, for one person may have several keys."""
    if not (mine := persons.get(account.id, "")):
        return f"only a person's key may {step.action}; this one is a service's"
    involved = release.involved
    people = {persons.get(each, "") for each in involved} - {""}
    if account.id in involved or mine in people:
        own = "this clip was made or submitted by you"
        return f"somebody else must {step.action}: {own}{_of(release)}"
    return ""


def _of(release: Release) -> str:
    return ", or one that it is made of was" if release.makers else ""


def _check_embargo(step: Transition, release: Release, wish: Wish) -> None:
    """What was approved may be put off, but not let out earlier."""
    if step.target is not ReleaseState.RELEASED or None in (wish.embargo, release.embargo):
        return
    if float(wish.embargo or 0.0) < float(release.embargo or 0.0):
        raise ReleaseStateError(
            f"release {release.id} was approved with a later embargo; give the same or a later "
            "one, or take it back and submit it again"
        )


def _check_bytes(step: Transition, release: Release, wish: Wish) -> None:
    if not step.reads:
        return
    submitted = None if release.state is ReleaseState.DRAFT else release.sha256
    known = {each for each in (submitted, wish.seen) if each} - {wish.sha256}
    if wish.sha256 is None or known:
        raise ReleaseStateError(
            f"the clip of release {release.id} does not have the bytes that were submitted; "
            "take it back and submit it again"
        )

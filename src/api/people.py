"""Who made a job, by name, and whose jobs a key may see: its own, its desk's, or everybody's."""

from src.accounts.accounts import OPEN, Account, Accounts
from src.accounts.rights import Right
from src.api.problems import ApiError
from src.api.recent import Recent
from src.jobs.model import Job

SAME_S = 2.0  # a key that was put at a desk is seen so soon


class People:
    """Names and desks of keys, looked up every two seconds."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self._known = Recent(self._look, SAME_S)

    def _look(self) -> dict[str, Account]:
        return {account.id: account for account in self.accounts.all()}

    def name_of(self, owner: str) -> str | None:
        """The name of a job's key; None for everybody's, and for keys that are not known here."""
        known = self._known.get() if owner != OPEN else {}
        return known[owner].name if owner in known else None

    def seen_by(self, account: Account) -> frozenset[str] | None:
        """Owners whose jobs the account may see; None for all, which admins do, and who decides
        about clips and is at no desk. Keys of before count too: what a desk made stays the desk's.
        """
        if account.may(Right.ADMIN) or (_decides(account) and not account.desk):
            return None
        desk = {
            key.id
            for key in self._known.get().values()
            if account.desk and key.desk == account.desk
        }
        return frozenset(desk | {account.id})

    def check_may_change(self, account: Account, job: Job) -> None:
        """Raise ApiError 403 where the job is a colleague's: seeing is not changing."""
        if not account.may(Right.ADMIN) and job.owner != account.id:
            owner = self.name_of(job.owner) or "another key"
            raise ApiError(
                403, f"this job belongs to {owner}; only that key or an admin changes it"
            )


def _decides(account: Account) -> bool:
    return account.may(Right.APPROVE) or account.may(Right.RELEASE)

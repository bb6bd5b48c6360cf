"""Two who change keys at one time, on PostgreSQL: what a change was allowed for holds until it is
there.
"""

from src.accounts import accounts as module
from src.accounts.accounts import Accounts
from tests.database.postgres_kit import postgres, postgres_database  # noqa: F401
from tests.database.race_kit import meanwhile


def test_services_that_start_at_once_make_one_first_key(postgres_database):  # noqa: F811
    accounts, made = Accounts(postgres_database), []

    def start():
        made.append(accounts.create_first(5, 50))

    with meanwhile(postgres_database, module, "append", start):
        start()
    assert made.count(None) == 1
    (first,) = accounts.all()
    assert accounts.find(next(filter(None, made))[0]) == first
    assert (first.name, first.breaking, first.may("admin")) == ("first", True, True)

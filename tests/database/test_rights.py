"""Keys of a database from before rights (0010) keep what their role allowed, on both databases."""

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from src.accounts.accounts import Accounts
from src.accounts.rights import Role
from src.database.database import MIGRATIONS


def _to(database, revision, way=command.upgrade):
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        way(config, revision)


def test_older_keys_keep_what_their_role_allowed(empty_database):
    _to(empty_database, "0010")
    row = "INSERT INTO keys (id, name, hash, role, created_at, per_minute, per_day, breaking, desk)"
    with empty_database.write() as connection:
        for role in Role:
            values = f" VALUES ('{role}', '{role}', '{role}', '{role}', 1.0, 5, 50, false, '')"
            connection.execute(text(row + values))
    empty_database.migrate()
    found = {each.id: each for each in Accounts(empty_database).all()}
    assert {name: each.rights for name, each in found.items()} == {
        role: role.rights for role in Role
    }
    assert {each.person for each in found.values()} == {""}
    _to(empty_database, "0010", command.downgrade)
    with empty_database.read() as connection:
        rows = connection.execute(text("SELECT id, role FROM keys")).all()
    assert all(identity == role for identity, role in rows) and len(rows) == 3

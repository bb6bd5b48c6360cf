"""Locks by number, for what no row stands for: nobody else has the same one until the transaction
ends. SQLite's writers are alone anyway.
"""

from sqlalchemy import Connection

MIGRATION, AUDIT, RULES, HOUSE = 726473, 726474, 726475, 726476


def take_lock(connection: Connection, number: int) -> None:
    """Wait for the lock. What is read after it is there, is what was committed by then."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({number})")

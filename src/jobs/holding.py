"""Who holds which device, and what workers told last. Rows of `LeaseStore`, which opens the
transactions and says what time it is.
"""

from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from src.database.tables import devices, workers
from src.jobs.errors import LostLeaseError

FORGOTTEN_S = 86400.0
"""A worker that told nothing for so long is not known any more."""


NEW_DEVICE = {
    "sqlite": sqlite.insert(devices).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(devices).on_conflict_do_nothing(),
}


class TakenDeviceError(Exception):
    """Another worker has the device: what was taken in this transaction is given back."""


def hold(connection: Connection, device: str, worker: str, now: float, lease_s: float) -> None:
    """Take or keep the device. Raises TakenDeviceError."""
    mine = (devices.c.worker == worker) | (devices.c.expires < now)
    values = {"worker": worker, "expires": now + lease_s}
    kept = update(devices).where(devices.c.device == device, mine).values(values)
    if connection.execute(kept).rowcount:
        return
    new = NEW_DEVICE[connection.dialect.name].returning(devices.c.device)
    if connection.execute(new.values(device=device, **values)).first() is None:
        raise TakenDeviceError  # a row that is there is somebody else's


def check_held(connection: Connection, worker: str, device: str, now: float) -> None:
    """Raise LostLeaseError where the worker does not hold the device."""
    row = connection.execute(select(devices).where(devices.c.device == device)).one_or_none()
    if row is None or row.worker != worker or row.expires < now:
        raise LostLeaseError(f"worker {worker} does not hold {device} any more")


def write_worker(
    connection: Connection, worker: str, process: str, device: str, info: dict[str, Any], now: float
) -> None:
    """The worker's row, as it tells of itself now."""
    values = {"process": process, "device": device, "info": info, "seen_at": now}
    if not connection.execute(
        update(workers).where(workers.c.worker == worker).values(values)
    ).rowcount:
        connection.execute(insert(workers).values(worker=worker, **values))


def forget_silent(connection: Connection, now: float) -> None:
    """Of a worker that was killed nobody else deletes the row: its name never comes back. Devices
    first, as who holds one has it, so that neither waits in a ring.
    """
    since = now - FORGOTTEN_S
    connection.execute(delete(devices).where(devices.c.expires < since))
    connection.execute(delete(workers).where(workers.c.seen_at < since))


def forget_worker(connection: Connection, worker: str) -> None:
    """Free its device, too."""
    connection.execute(delete(devices).where(devices.c.worker == worker))
    connection.execute(delete(workers).where(workers.c.worker == worker))

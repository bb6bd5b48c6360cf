"""Two who change rows of the same files at one time, on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

from src.artifacts.index import ArtifactIndex
from src.core.addresses import StoredFile
from src.database import artifact_rows
from tests.database.race_kit import slow_rows


def test_two_who_measure_the_same_files_do_not_wait_in_a_ring(postgres_database):
    index, keys = ArtifactIndex(postgres_database), [f"clips/{name}.mp4" for name in "abc"]
    index.add([artifact_rows.row(StoredFile(key), 1.0) for key in keys])
    slow_rows(postgres_database, "UPDATE", "artifacts")
    with ThreadPoolExecutor(2) as pool:
        orders = [[{"key": key, "bytes": 5} for key in some] for some in (keys, keys[::-1])]
        list(pool.map(index.change, orders))
    assert {row.bytes for row in index.known().values()} == {5}

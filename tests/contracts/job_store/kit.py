"""Jobs to submit, and rows to look at."""

from src.artifacts.index import ArtifactIndex
from src.jobs.model import NewJob


def new_job(owner="a", **values):
    return NewJob("generate", owner, {"prompt": "pan left"}, **values)


def row_at(store, key):
    found = ArtifactIndex(store.database).find(key)
    return found[0] if found else None

"""Where the jobs lie."""

import os

from src.core.paths import home


def database_url() -> str:
    """`NEWSREEL_DATABASE`, or SQLite in `newsreel.db` under `NEWSREEL_HOME`."""
    return os.environ.get("NEWSREEL_DATABASE") or f"sqlite:///{(home() / 'newsreel.db').absolute()}"

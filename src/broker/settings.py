"""Which broker brings permits."""

import os


def broker_url() -> str | None:
    """`NEWSREEL_BROKER`; None where it is not set: then workers look at the database."""
    return os.environ.get("NEWSREEL_BROKER") or None

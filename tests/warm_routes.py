"""Imported by the service's warm server: what its routes take and give is worked out before it
forks.
"""

from src.api.app import ROUTER

NOWHERE = {"type": "http", "method": "GET", "path": "/none/such", "headers": [], "root_path": ""}

for route in ROUTER.routes:
    route.matches(dict(NOWHERE))

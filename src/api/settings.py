"""How the service runs: `NEWSREEL_<NAME>` variables, checked at the start."""

import os
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from src.core.config import Config, validate
from src.jobs.settings import database_url

Amount = Annotated[int, Field(ge=0)]


class ServiceSettings(Config):
    """auth: off opens the service to everybody. workers: processes that the service starts; 0 leaves them to you.

    maker: engine, or fake for load tests. warm: mode that workers load before the first job. lease, drain: seconds.
    max_upload: bytes of a request. max_queue: waiting jobs before 429. min_free: bytes of disk before 507.
    keep_days, keep_bytes: finished artifacts beyond are removed, oldest first; pinned ones stay; 0 keeps all.
    per_minute, per_day: submissions of the key that the first start makes, and of an open service.
    wait: seconds a plain POST waits for its clip before it answers 202.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    database: str
    auth: Literal["on", "off"] = "on"
    workers: Annotated[int, Field(ge=0, le=64)] = 1
    maker: Literal["engine", "fake"] = "engine"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    warm: Literal["", "baseline", "optimized"] = ""
    lease: Annotated[float, Field(gt=0)] = 60.0
    drain: Annotated[float, Field(ge=0)] = 30.0
    max_upload: Amount = 100_000_000
    max_queue: Amount = 1000
    min_free: Amount = 1_000_000_000
    keep_days: Annotated[float, Field(ge=0)] = 30.0
    keep_bytes: Amount = 0
    per_minute: Amount = 60
    per_day: Amount = 2000
    wait: Annotated[float, Field(ge=0)] = 3600.0


def read_settings() -> ServiceSettings:
    """From the environment. Raises BadInputError naming the variable."""
    names = {name: f"NEWSREEL_{name.upper()}" for name in ServiceSettings.model_fields if name != "database"}
    given = {name: os.environ[variable] for name, variable in names.items() if os.environ.get(variable)}
    return validate(given | {"database": database_url()}, ServiceSettings, "environment NEWSREEL_*")

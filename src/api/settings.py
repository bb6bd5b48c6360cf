"""How the service runs: `NEWSREEL_<NAME>` variables, checked at the start."""

import os
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from src.core.config import Config, validate
from src.database.settings import database_url

Amount = Annotated[int, Field(ge=0)]


class ServiceSettings(Config):
    """auth: off opens the service to everybody. approval: on lets clips out only after somebody
    else has approved them. release_label: on lets out copies with the letters AI in the picture,
    unless whoever asks for approval says otherwise. workers: processes that the service starts; 0
    leaves them to you. gpus_per_worker: devices that each of them holds, and that a clip may take.

    maker: engine, or fake for load tests. warm: mode that workers load before the first job. lease,
    drain: seconds. job_limit: seconds that a job may run. stall: seconds in which a stage must
    report something; 0: each stage's own. max_upload: bytes of a request. max_queue: waiting jobs
    before 429, `reserved` of which are for breaking news. share: of the queue that one key's jobs
    may take. max_cost: frames of 720x480 that a job may take; 0: no limit. min_free: bytes of disk
    before 507. hosts: names by which the service is reached, besides addresses and this machine's
    own. origins: other sites whose pages may use it, such as https://cms.example.org; both are
    lists with commas between. keep_days, keep_bytes: finished artifacts beyond are removed, oldest
    first; pinned ones stay; 0 keeps all. site: its own address, for links in notices. smtp,
    mail_from: the mail server and whom notices come from. notices: a file of rules. notice_retry:
    seconds until each further attempt. private_hooks: on lets notices go to hosts inside, and by
    http. stuck: seconds that a job may wait before the queue is stuck; 0: for ever. per_minute,
    per_day: submissions of the key that the first
    start makes, and of an open service. wait: seconds a plain POST waits for its clip before it
    answers 202. aliases: names of models that /v1/videos takes for others, such as
    sora-2=auto,sora-2-pro=auto. broker: address of RabbitMQ, which brings permits to workers;
    none: they look at the database themselves.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    database: str
    auth: Literal["on", "off"] = "on"
    approval: Literal["on", "off"] = "off"
    release_label: Literal["on", "off"] = "off"
    workers: Annotated[int, Field(ge=0, le=64)] = 1
    gpus_per_worker: Annotated[int, Field(ge=1, le=16)] = 1
    maker: Literal["engine", "fake"] = "engine"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    warm: Literal["", "baseline", "optimized"] = ""
    lease: Annotated[float, Field(gt=0)] = 60.0
    drain: Annotated[float, Field(ge=0)] = 30.0
    job_limit: Annotated[float, Field(gt=0)] = 6 * 3600.0
    stall: Annotated[float, Field(ge=0)] = 0.0
    max_upload: Amount = 100_000_000
    max_queue: Amount = 1000
    share: Annotated[float, Field(gt=0, le=1)] = 0.25
    max_cost: Amount = 1_000_000
    min_free: Amount = 1_000_000_000
    keep_days: Annotated[float, Field(ge=0)] = 30.0
    keep_bytes: Amount = 0
    per_minute: Amount = 60
    per_day: Amount = 2000
    wait: Annotated[float, Field(ge=0)] = 3600.0
    hosts: str = ""
    origins: str = ""
    site: Annotated[str, Field(pattern=r"^(https?://[^\s/]+.*)?$")] = ""
    smtp: str = ""
    mail_from: str = ""
    notices: str = ""
    notice_retry: str = "60,300,1500"
    private_hooks: Literal["on", "off"] = "off"
    stuck: Annotated[float, Field(ge=0)] = 900.0
    broker: str = ""
    aliases: Annotated[str, Field(pattern=r"^([^=,\s]+=[^=,\s]+(,|$))*$")] = ""

    @property
    def reserved(self) -> int:
        """Places of the queue that only breaking news may take."""
        return self.max_queue // 10

    @property
    def share_of_a_key(self) -> int:
        """How many jobs of one key may wait."""
        return max(1, int(self.max_queue * self.share))

    def told(self) -> dict[str, Any]:
        """For the audit log: all values, but of those that may hold a secret or an address only
        whether they are set.
        """
        values = self.model_dump()
        return values | {name: "set" if values[name] else "" for name in PRIVATE}


PRIVATE = ("database", "smtp", "mail_from", "notices", "broker")


def read_settings() -> ServiceSettings:
    """From the environment. Raises BadInputError naming the variable."""
    names = {
        name: f"NEWSREEL_{name.upper()}"
        for name in ServiceSettings.model_fields
        if name != "database"
    }
    given = {
        name: os.environ[variable] for name, variable in names.items() if os.environ.get(variable)
    }
    return validate(given | {"database": database_url()}, ServiceSettings, "environment NEWSREEL_*")

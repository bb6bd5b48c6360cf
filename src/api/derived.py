"""Jobs that are made of a finished clip, enlargements and copies with the visible label; and the
full clip of a draft.
"""

from dataclasses import replace

from src.accounts.accounts import Account
from src.api.planning import check_source
from src.api.service import Service
from src.core.addresses import artifact_address
from src.core.config import validate
from src.core.request import DRAFTS_OWN, Request
from src.jobs.errors import WrongStateError
from src.jobs.model import LABELLED, OWN_KEYS, PARENT, REMIX_OF, Job, NewJob, State, written

ENDED_BADLY = (State.FAILED, State.CANCELLED)


def labelled_copy_job(service: Service, account: Account, job: Job) -> Job:
    """The job of a copy with the visible label; the clip's own where it carries one already."""
    if job.labelled:
        return job
    check_finished(job, "labelled")
    source = {"input": artifact_address(str(job.artifact)), "name": "labelled", PARENT: job.id}
    new = NewJob("upscale", job.owner, source | {LABELLED: True}, "label", cost=written(job))
    return derive(service, account, job, new, _label_key(job))


def _label_key(job: Job) -> str:
    return f"{OWN_KEYS}label {job.id}"


def copy_of(service: Service, job: Job) -> Job | None:
    """The labelled copy that there is, or that is being made; None too where that went wrong."""
    return _unless_ended_badly(service, job, _label_key(job))


def full_clip(service: Service, account: Account, job: Job) -> Job:
    """The job of a draft's full clip: the same request without `draft`, at the draft's seed. Asked
    again it is the same job. Raises WrongStateError for what is no finished draft.
    """
    check_finished(job, "made in full")
    if not job.request.get("draft"):
        raise WrongStateError(f"job {job.id} is no draft; its clip is whole")
    check_source(service.files, job.request)
    asked = {name: value for name, value in job.request.items() if name not in DRAFTS_OWN}
    result = job.result or {}
    asked |= {"seed": result["seed"]}
    if asked.get("model", "auto") == "auto" and "model" in result:
        asked["model"] = result["model"]
    wanted = {name: value for name, value in asked.items() if name not in (PARENT, REMIX_OF)}
    cost = service.planning.generate(validate(wanted, Request, "job"))
    new = NewJob("generate", job.owner, asked, job.group, job.priority, cost=cost)
    return derive(service, account, job, new, _full_key(job))


def _full_key(job: Job) -> str:
    return f"{OWN_KEYS}full {job.id}"


def full_clip_job(service: Service, job: Job) -> Job | None:
    """The full clip of a draft that there is, or that is being made; None too where that went
    wrong.
    """
    return _unless_ended_badly(service, job, _full_key(job)) if job.request.get("draft") else None


def _unless_ended_badly(service: Service, job: Job, key: str) -> Job | None:
    found = service.store.with_key(job.owner, key)
    return None if found is None or found.state in ENDED_BADLY else found


def check_finished(job: Job, done: str) -> None:
    """Raise WrongStateError where there is no clip to work on. done: what is to become of it."""
    if job.state is not State.COMPLETED or job.artifact is None:
        raise WrongStateError(f"job {job.id} is {job.state}; only finished clips are {done}")


def derive(service: Service, account: Account, job: Job, new: NewJob, key: str) -> Job:
    """Store `new`, which reads the clip of `job`; asked again it is the same job, and one that
    failed or was cancelled runs again. key: its idempotency key, one of `OWN_KEYS`. Raises
    WrongStateError where the clip was deleted meanwhile.
    """
    earlier = service.store.with_key(job.owner, key)
    if earlier is not None and earlier.state not in ENDED_BADLY:
        return earlier
    service.admit(account, new.priority)
    made = service.submit(replace(new, idempotency_key=key), account)
    if made.state in ENDED_BADLY:
        made = service.retry(made.id)
    return made

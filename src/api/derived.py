"""Jobs that are made of a finished clip: enlargements, and copies with the visible label."""

from dataclasses import replace

from src.accounts.accounts import Account
from src.api.problems import ApiError
from src.api.service import Service
from src.core.addresses import artifact
from src.jobs.errors import WrongStateError
from src.jobs.model import LABELLED, OWN_KEYS, PARENT, Job, NewJob, State, written

ENDED_BADLY = (State.FAILED, State.CANCELLED)


def labelled_copy(service: Service, account: Account, job: Job) -> Job:
    """The job of a copy with the visible label; the clip's own where it carries one already."""
    if job.labelled:
        return job
    check_finished(job, "labelled")
    source = {"input": artifact(str(job.artifact)), "name": "labelled", PARENT: job.id}
    new = NewJob("upscale", job.owner, source | {LABELLED: True}, "label", cost=written(job))
    return derive(service, account, job, new, _label_key(job))


def _label_key(job: Job) -> str:
    return f"{OWN_KEYS}label {job.id}"


def copy_of(service: Service, job: Job) -> Job | None:
    """The labelled copy that there is, or that is being made; None too where that went wrong."""
    found = service.store.with_key(job.owner, _label_key(job))
    return None if found is None or found.state in ENDED_BADLY else found


def check_finished(job: Job, done: str) -> None:
    """Raise WrongStateError where there is no clip to work on. done: what is to become of it."""
    if job.state is not State.COMPLETED or job.artifact is None:
        raise WrongStateError(f"job {job.id} is {job.state}; only finished clips are {done}")


def derive(service: Service, account: Account, job: Job, new: NewJob, key: str) -> Job:
    """Store `new`, which reads the clip of `job`; asked again it is the same job, and one that
    failed or was cancelled runs again. key: its idempotency key, one of `OWN_KEYS`. Raises ApiError
    409 where the clip was deleted meanwhile.
    """
    earlier = service.store.with_key(job.owner, key)
    if earlier is not None and earlier.state not in ENDED_BADLY:
        return earlier
    service.admit(account)
    made = service.submit(replace(new, idempotency_key=key), account)
    if made.state in ENDED_BADLY:
        made = service.retry(made.id)
    if service.store.many([job.id]).get(job.id) is None:  # deleted while this one was stored
        service.forgetter.forget(service.store.cancel(made.id).id, account.id)
        raise ApiError(409, "this clip was deleted a moment ago; there is nothing left of it")
    return made

"""A video that is gone on with: a new clip from its last frame, in one file with it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from src.accounts.accounts import Account
from src.api.forms import GenerateForm, given_fields, group_of, priority_from, request_from
from src.api.generate import lately
from src.api.openai.errors import VideoError
from src.api.service import Service
from src.core.addresses import artifact_address, known_key
from src.jobs.errors import WrongStateError
from src.jobs.model import PARENT, Job, NewJob, written
from src.jobs.rows import address_in

T = TypeVar("T")


def source_of(service: Service, job: Job) -> dict[str, Any]:
    """What a request says to go on with the clip of a completed job. Raises VideoError where its
    file is gone, or where it is a draft.
    """
    if job.request.get("draft"):
        sentence = f"{job.id} is a draft, a clip of small frames; make its full clip first"
        raise VideoError(400, sentence, "video_is_a_draft", "video")
    return _source(service, artifact_address(str(job.artifact)), job.id)


def same_source(service: Service, job: Job) -> dict[str, Any]:
    """What the request of a job that went on with a clip said of it."""
    return _source(service, str(address_in(job.request)), job.request.get(PARENT))


def _source(service: Service, address: str, parent: str | None) -> dict[str, Any]:
    key = known_key(address)
    if key is None or service.files.look(key) is None:
        sentence = "the clip that is to be gone on with is not stored any more"
        raise VideoError(400, sentence, "video_gone", "video")
    return {"input_image": address, PARENT: parent, "extend": True}


def submit_extension(
    service: Service, account: Account, source: dict[str, Any], form: GenerateForm,
    key: str | None, resent: bool, then: Callable[[Job], T],
) -> T:  # fmt: skip
    """Store the job, or find the one that this key, or this very request lately, made."""
    asked, priority = request_from(form), priority_from(form)
    request = asked.model_dump(mode="json", include=given_fields(form)) | source
    new = NewJob("generate", account.id, request, group_of(request), priority, key)
    earlier = _earlier(service, new, resent)
    if earlier is None:
        extending = asked.model_copy(update={"extend": True})
        cost = service.planning.generate(extending, _cost_before(service, source))
        service.admit(account, priority)
        earlier = service.submit(replace(new, cost=cost), account)
    return then(earlier)


def _cost_before(service: Service, source: dict[str, Any]) -> float:
    """The frames of the clip that is gone on with, with all that came before it."""
    parent = service.store.many([str(source[PARENT])]).get(str(source[PARENT]))
    return written(parent) if parent else 0.0


def _earlier(service: Service, new: NewJob, resent: bool) -> Job | None:
    if new.idempotency_key is None:
        return lately(service, new, lambda job: job.request == new.request) if resent else None
    job = service.store.with_key(new.owner, new.idempotency_key)
    if job is not None and job.request != new.request:
        raise WrongStateError(
            f"idempotency key {new.idempotency_key!r} was used for another request"
        )
    return job

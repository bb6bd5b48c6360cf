"""Notices: which key hears of what, where."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from src.api.notifying import owner_for
from src.api.problems import responses
from src.api.security import ServiceDep, Submitter
from src.core.config import Config

router = APIRouter(prefix="/notices", tags=["notices"])
RuleId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="The rule's id")]
Happening = Literal["done", "failed", "approval", "decided", "stuck"]
Channel = Literal["email", "slack", "webhook"]


class NewRule(Config):
    """What is to be told, and where. target: an e-mail address, or an address that begins with
    https://. everybody: of all keys' jobs, for admins.
    """

    events: list[Happening] = Field(min_length=1, max_length=5)
    channel: Channel
    target: str = Field(max_length=1000)
    everybody: bool = False


class Told(BaseModel):
    """A notice. state: waiting, sent or failed. problem: of its last attempt."""

    kind: str
    state: str
    attempts: int
    created_at: float
    ended_at: float | None
    problem: str | None
    job: str | None


class RuleView(BaseModel):
    """A rule. target: without what is secret in it. why: it was switched off. source: api or
    settings. latest: the newest notices to its target.
    """

    id: str
    events: list[str]
    channel: str
    target: str
    everybody: bool
    active: bool
    why: str | None
    source: str
    created_at: float
    latest: list[Told]


class MadeRule(RuleView):
    """secret: that web hooks are signed with, shown this once; None for other channels."""

    secret: str | None


class RuleList(BaseModel):
    rules: list[RuleView]


@router.get("", response_model=RuleList, summary="This key's rules", responses=responses(401, 403))
def list_rules(service: ServiceDep, account: Submitter) -> dict[str, Any]:
    """An admin's key sees all of them."""
    notifying = service.notifying
    return {"rules": [notifying.shown(rule) for rule in notifying.of(account)]}


@router.post(
    "", response_model=MadeRule, status_code=201, summary="Tell somebody of what happens to jobs",
    responses=responses(400, 401, 403, 413, 415, 422),
)  # fmt: skip
def add_rule(service: ServiceDep, account: Submitter, wanted: NewRule) -> dict[str, Any]:
    """Nobody is told of what was before. Web hooks are signed as Standard Webhooks says."""
    rule = service.notifying.add(
        account, list(wanted.events), wanted.channel, wanted.target, wanted.everybody
    )
    return service.notifying.shown(rule) | {"secret": rule.secret}


@router.post(
    "/{rule_id}/on", status_code=204, summary="Switch a rule on again",
    responses=responses(401, 403, 404, 422),
)  # fmt: skip
def switch_on(service: ServiceDep, account: Submitter, rule_id: RuleId) -> Response:
    service.notifying.rules.switch_on(rule_id, owner_for(account))
    return Response(status_code=204)


@router.delete(
    "/{rule_id}", status_code=204, summary="Remove a rule",
    responses=responses(401, 403, 404, 422),
)  # fmt: skip
def remove(service: ServiceDep, account: Submitter, rule_id: RuleId) -> Response:
    service.notifying.rules.remove(rule_id, owner_for(account))
    return Response(status_code=204)

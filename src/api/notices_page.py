"""The page of notices: who hears of what, with a form for one more. Works by forms alone."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from src.accounts.accounts import Login
from src.accounts.rights import Right
from src.api.notifying import owner_for
from src.api.problems import ApiError
from src.api.security import ServiceDep
from src.api.service import Service
from src.api.site import Editor, PageRoute, Viewer, error_in_words, render_page, status_of
from src.core.errors import NewsreelError

router = APIRouter(include_in_schema=False, route_class=PageRoute)
PLACE = "/told"
Text = Annotated[str, Form(max_length=1000)]


@router.get(PLACE)
def notices_page(request: Request, service: ServiceDep, login: Viewer) -> Response:
    """What is told, and what became of the newest notices."""
    return _page(request, service, login)


def _page(
    request: Request, service: Service, login: Login, status: int = 200, **more: object
) -> Response:
    if not login.account.may(Right.SUBMIT):
        raise ApiError(403, "this key may look, but not submit")
    notifying = service.notifying
    rules = [notifying.shown(rule) for rule in notifying.of(login.account)]
    return render_page(
        request, "told.html", login, status, rules=rules, channels=list(notifying.notifiers),
        admin=login.account.may(Right.ADMIN), **more,
    )  # fmt: skip


@router.post(PLACE)
def add_from_form(
    request: Request, service: ServiceDep, login: Editor, channel: Text, target: Text,
    event: Annotated[list[str], Form()] = [],  # noqa: B006
    everybody: Annotated[bool, Form()] = False,
) -> Response:  # fmt: skip
    """The form's target. A web hook's secret is shown once, on the page that answers."""
    try:
        rule = service.notifying.add(login.account, event, channel, target, everybody)
    except (NewsreelError, ApiError) as error:
        return _page(request, service, login, status_of(error), error=error_in_words(error))
    if rule.secret:
        return _page(request, service, login, secret=rule.secret)
    return RedirectResponse(PLACE, 303)


@router.post(PLACE + "/{rule_id}/{action}")
def change(service: ServiceDep, login: Editor, rule_id: str, action: str) -> Response:
    rules, owner = service.notifying.rules, owner_for(login.account)
    actions = {"remove": rules.remove, "on": rules.switch_on}
    if action not in actions:
        raise ApiError(404, "there is no such button")
    actions[action](rule_id, owner)
    return RedirectResponse(PLACE, 303)

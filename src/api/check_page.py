"""The page that says what a file carries: a clip or a photograph is dropped, and what was found in
each layer is told.
"""

from typing import Annotated

from fastapi import APIRouter, File, Request, Response, UploadFile

from src.api.problems import ApiError
from src.api.security import ServiceDep
from src.api.site import PageRoute, Sender, Viewer, error_in_words, render_page, status_of
from src.api.verify import verified
from src.core.errors import NewsreelError

router = APIRouter(include_in_schema=False, route_class=PageRoute)
PLACE = "/check"


@router.get(PLACE)
def check_page(request: Request, login: Viewer) -> Response:
    return render_page(request, "check.html", login)


@router.post(PLACE)
async def check_file(
    request: Request, service: ServiceDep, login: Sender, file: Annotated[UploadFile, File()]
) -> Response:
    """What `POST /verify` answers, as a page."""
    name = file.filename or "the file"
    try:
        if not file.filename:
            raise ApiError(422, "Choose a file first.")
        verdict = await verified(service, login.account, file)
    except (NewsreelError, ApiError) as error:
        words = error_in_words(error)
        return render_page(request, "check.html", login, status_of(error), error=words)
    return render_page(request, "check.html", login, verdict=verdict, file_name=name)

"""The API's own description: /openapi.json, and pages on it. They follow the access rules as
everything else does.
"""

import base64
import hashlib
import re

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse

from src.api.security import Reader
from src.api.site import Viewer

router = APIRouter(include_in_schema=False)
CDN = "https://cdn.jsdelivr.net/npm/"
SCRIPT = re.compile(r"<script>(.*?)</script>", re.S)


@router.get("/openapi.json")
def openapi(request: Request, account: Reader) -> JSONResponse:
    return JSONResponse(request.app.openapi())


@router.get("/docs")
def swagger(request: Request, login: Viewer) -> HTMLResponse:
    return _page(
        get_swagger_ui_html(
            openapi_url="/openapi.json", title=request.app.title, swagger_favicon_url=ICON
        )
    )


@router.get("/redoc")
def redoc(request: Request, login: Viewer) -> HTMLResponse:
    title = f"{request.app.title}: reference"
    page = get_redoc_html(
        openapi_url="/openapi.json", title=title, redoc_favicon_url=ICON, with_google_fonts=False
    )
    return _page(page)


ICON = "/static/icon.svg"


def _page(page: HTMLResponse) -> HTMLResponse:
    """With a policy that allows the page's own script by its hash, and the viewer's files from
    their place.
    """
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in SCRIPT.findall(page.body.decode()))
    page.headers["Content-Security-Policy"] = (
        f"default-src 'self'; script-src {hashes} {CDN}; style-src 'unsafe-inline' {CDN}; img-src "
        "'self' data:; "
        "worker-src blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action "
        "'none'"
    )
    page.headers["Cache-Control"] = "no-store"
    return page


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

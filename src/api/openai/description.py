"""/v1/openapi.json: what of OpenAI's API is here, for tools that read such descriptions."""

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse

import src
from src.api.openai.content import router as videos
from src.api.openai.sent import IMAGE_URL, REFERENCE
from src.api.openai.wishes import NAMES
from src.api.security import Reader

router = APIRouter(include_in_schema=False)
TEXT = {"type": "string"}
BODIES = {
    "/v1/videos": ("prompt", REFERENCE),
    "/v1/videos/edits": ("prompt", "video[id]"),
    "/v1/videos/{video_id}/remix": ("prompt",),
}
"""What each body must hold."""


@router.get("/v1/openapi.json")
def described(account: Reader) -> JSONResponse:
    return JSONResponse(openai_document())


def openai_document() -> dict[str, Any]:
    """The OpenAPI document of /v1."""
    app = FastAPI(title="Newsreel: /v1/videos", version=src.__version__)
    app.include_router(videos)
    document = app.openapi()
    for path, needed in BODIES.items():
        document["paths"][path]["post"]["requestBody"] = _body(needed)
    return document


def _body(needed: tuple[str, ...]) -> dict[str, Any]:
    names = sorted({*NAMES, "seconds", "size", IMAGE_URL, *needed} - {"lora", REFERENCE})
    fields: dict[str, Any] = dict.fromkeys(names, TEXT)
    fields["loras[]"] = {"type": "array", "items": TEXT, "maxItems": 8}
    if REFERENCE in needed:
        fields[REFERENCE] = TEXT | {"format": "binary"}
    schema = {"type": "object", "properties": fields, "required": list(needed)}
    kinds = ("multipart/form-data", "application/json")
    return {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}

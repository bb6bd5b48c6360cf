"""The form of /generate-video: the shared vocabulary, checked before anything is stored."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, UploadFile
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from src.api.problems import ApiError
from src.catalog.models import MODELS
from src.core.config import validate
from src.core.errors import BadInputError, MissingFileError
from src.core.option import PublicField
from src.core.paths import CHECKPOINTS, is_file, is_folder
from src.core.prompts import find_template, load_templates
from src.core.request import FIELDS, Request
from src.pipelines.families import family_of
from src.pipelines.models import find_model

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
PRIORITIES = {"when-there-is-time": -1, "normal": 0, "urgent": 1, "breaking": 2}
Text = Annotated[str | None, Field(max_length=4000)]


SENT = {name: field for name, field in FIELDS.items() if field.option.form}
"""Fields of the vocabulary that a client may send; `set` is JSON of the template's slots."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")

    priority: Text = None


def _as_text(field: PublicField) -> tuple[Any, Any]:
    """A field of the vocabulary as a form has it: text, or for adapters several."""
    told = field.help
    if field.name == "lora":
        return list[str], Field(default_factory=list, max_length=8, description=told)
    return Text, Field(None, description=told)


GenerateForm = create_model(
    "GenerateForm",
    __base__=_Form,
    __doc__="Fields of the shared vocabulary; empty ones count as not given.",
    **{name: _as_text(field) for name, field in SENT.items()},
)


class GenerateUpload(GenerateForm):
    """The form with its photograph."""

    image: UploadFile = Field(description="The photograph: JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF")


async def _read_form(request: HttpRequest) -> AsyncIterator[GenerateUpload]:
    """The form of a request. FastAPI's own way with a form's model costs six times as much, at each
    submission.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in FORMS:
        raise ApiError(
            400, "the body is no form; send multipart/form-data, the photograph as image"
        )
    async with request.form(max_files=4, max_fields=100) as sent:
        if twice := [name for name in sent if name != "lora" and len(sent.getlist(name)) > 1]:
            raise ApiError(422, f"{twice[0]}: sent more than once")
        values = {name: sent.getlist(name) if name == "lora" else sent[name] for name in sent}
        try:
            form = GenerateUpload.model_validate(values)
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from None
        yield form


GenerateFields = Annotated[GenerateUpload, Depends(_read_form)]
GENERATE_BODY = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": GenerateUpload.model_json_schema()}},
    }
}
"""What OpenAPI says of it."""


def request_from(form: GenerateForm) -> Request:
    """The request, with a stand-in for the photograph. Raises BadInputError naming the field."""
    fields = {name: getattr(form, name) for name in given_fields(form)}
    if "\x00" in "".join(str(value) for value in fields.values()):
        raise BadInputError("the form holds a null byte; send plain text")
    if "set" in fields:
        fields["set"] = slots(fields["set"])
    if "lora" in fields:
        fields["lora"] = [local_adapter(item) for item in fields["lora"]]
    if "model" in fields:
        fields["model"] = local_model(fields["model"])
    request = validate(fields | {"input_image": "photograph"}, Request, "form")
    check_wording(request)
    return request


def given_fields(form: GenerateForm) -> set[str]:
    """Names of the request's fields that the form fills; empty ones count as not given."""
    return {name for name in SENT if getattr(form, name) not in (None, "", [])}


def priority_from(form: GenerateForm) -> int:
    """0 unless the form says otherwise."""
    name = form.priority or "normal"
    if name not in PRIORITIES:
        raise BadInputError(
            f"priority is {name[:40]!r}; it must be one of: {', '.join(PRIORITIES)}"
        )
    return PRIORITIES[name]


def slots(text: str) -> dict[str, str]:
    """{"city": "Lyon"} from its JSON."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(map(is_text, values.values())):
        raise BadInputError('set must be a JSON object of texts, such as {"city": "Lyon"}')
    return values


def is_text(value: object) -> bool:
    """A string that UTF-8 can hold: JSON may escape half a character,
    which no answer could carry.
    """
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def check_wording(request: Request) -> None:
    """A prompt or a template, whose slots exist; neither where the model reads no words."""
    if request.model in MODELS and not family_of(find_model(request.model)).reads_prompt:
        return
    if (request.prompt is None) == (request.template is None):
        raise BadInputError("give either prompt or template")
    if request.template is not None:
        find_template(request.template, load_templates()).render(request.set)


def local_model(model: str) -> str:
    """A model of the catalogue, or the path of a folder under checkpoints/; no other path, and no
    URL.
    """
    return model if model == "auto" or model in MODELS else under_checkpoints(model, "model")


def local_adapter(item: str) -> str:
    """PATH[=WEIGHT] of an adapter by name or by its path under checkpoints/, as a path; one that
    exists is a path.
    """
    try:
        return under_checkpoints(item, "lora")
    except MissingFileError:
        name, equals, weight = item.rpartition("=")
        if not equals:
            raise
    return f"{under_checkpoints(name, 'lora')}{equals}{weight}"


def under_checkpoints(name: str, field: str) -> str:
    """A path under checkpoints/, given from there or from the repository; whatever leads out is
    refused.
    """
    if not name.isprintable() or len(name) > 300:
        raise BadInputError(f"{field} {name[:80]!r} must be a name or a path under checkpoints/")
    wanted = Path(name)
    parts = wanted.parts[1:] if wanted.parts[:1] == ("checkpoints",) else wanted.parts
    path = CHECKPOINTS.joinpath(*parts) if parts and not wanted.is_absolute() else None
    root = CHECKPOINTS.resolve()
    if (
        path is None
        or ":" in name
        or not path.resolve().is_relative_to(root)
        or path.resolve() == root
    ):
        raise BadInputError(f"{field} {name[:80]!r} must be a name or a path under checkpoints/")
    if not is_file(path) and not is_folder(path):
        raise MissingFileError(f"{field} {name[:80]!r} is not under checkpoints/")
    return f"checkpoints/{path.resolve().relative_to(root).as_posix()}"


def group_of(request: dict[str, Any]) -> str:
    """What jobs share that can run on one warm pipeline."""
    names = ("model", "mode", "profile", "lora", "width", "height", "num_frames")
    return json.dumps([request.get(name) for name in names])[:200]

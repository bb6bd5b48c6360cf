"""From what a client sent to the form of /generate-video: one vocabulary, other names."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from src.api.forms import SENT, GenerateForm, is_text, local_model, request_from
from src.api.openai.errors import VideoError
from src.api.openai.lengths import frames_for, size_for
from src.api.openai.sent import REFERENCE, Sent
from src.api.service import Service
from src.catalog.models import MODELS
from src.catalog.spec import ModelSpec
from src.core.errors import BadInputError, MissingFileError
from src.core.request import Request
from src.jobs.model import PARENT, REMIX_OF, Job

SLOT = re.compile(r"set\[(.{1,80})\]", re.S)
ADAPTERS = ("lora", "lora[]", "loras", "loras[]")
NAMES = {*SENT, "priority"}
OWN_WORDING = {"prompt", "template", "set"}
SPOKEN = {"image": REFERENCE, "frames": "num_frames"}
"""Words of sentences for fields that have another name here."""


def form_of(sent: Sent, service: Service, base: dict[str, Any] | None = None) -> GenerateForm:
    """The form, with the length and size that will be made. base: fields that hold unless they are
    sent. Raises VideoError naming the field.
    """
    values: dict[str, Any] = dict(base or {})
    seconds, size = sent.take("seconds"), sent.take("size")
    told = _vocabulary(sent)
    _check_once("seconds", seconds, told, "num_frames")
    _check_once("size", size, told, "width", "height")
    values |= told
    values["model"] = _model(values.get("model"), service)
    models = service.planning.models(_only_model(values["model"]))
    if seconds is not None:
        values["num_frames"] = str(frames_for(seconds, _fps(values), models))
    if size is not None:
        values["width"], values["height"] = map(str, size_for(size, models))
    try:
        form = GenerateForm.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    with naming_the_field():
        request_from(form)
    return form


def _vocabulary(sent: Sent) -> dict[str, Any]:
    """What is left, by its names in the shared vocabulary. Raises VideoError for an unknown one."""
    found: dict[str, Any] = {}
    if adapters := [each for name in ADAPTERS for each in sent.texts.pop(name, []) if each]:
        found["lora"] = adapters
    if slots := _slots(sent):
        found["set"] = json.dumps(slots)
    for name in list(sent.texts):
        if name not in NAMES:
            raise VideoError(400, _unknown(name), "unknown_parameter", name)
        found[name] = sent.take(name)
    if sent.files:
        name = next(iter(sent.files))
        raise VideoError(400, _unknown(name), "unknown_parameter", name)
    return {name: value for name, value in found.items() if value is not None}


def _check_once(name: str, value: str | None, told: dict[str, Any], *others: str) -> None:
    """Raise VideoError where two names say the same thing."""
    if value is not None and (both := [other for other in others if other in told]):
        raise VideoError(400, f"give {name} or {both[0]}, not both", "invalid_value", name)


def _slots(sent: Sent) -> dict[str, str]:
    matches = [match for name in sent.texts if (match := SLOT.fullmatch(name))]
    slots = {match[1]: sent.texts.pop(match[0])[-1] for match in matches}
    if not all(map(is_text, [*slots, *slots.values()])):
        raise VideoError(400, "set must hold UTF-8 text", "invalid_value", "set")
    return slots


def _unknown(name: str) -> str:
    known = ", ".join(sorted({"input_reference", "seconds", "size", "loras[]"} | NAMES))
    return f"unknown parameter {name[:40]!r}; known: {known}"


def _model(name: str | None, service: Service) -> str:
    """A model that is there, by its name or an alias of the settings."""
    wanted = _aliases(service.settings.aliases).get(name or "auto", name or "auto")
    try:
        return local_model(wanted)
    except (BadInputError, MissingFileError):
        known = ", ".join(("auto", *MODELS))
        sentence = f"model {wanted[:40]!r} is not here; there are: {known}"
        raise VideoError(400, sentence, "model_not_found", "model") from None


def _aliases(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(",") if pair)


def _only_model(model: str) -> Request:
    return Request.model_validate({"input_image": "photograph", "model": model})


def models_of(service: Service, request: dict[str, Any]) -> list[ModelSpec]:
    """What a stored request may run on; what a plain one may where its model is gone."""
    try:
        return service.planning.models(_only_model(request.get("model") or "auto"))
    except BadInputError:
        return service.planning.models(_only_model("auto"))


def _fps(values: dict[str, Any]) -> float | None:
    """Asked for; None where it is left to the model, or is no number, which the form says."""
    try:
        fps = float(values.get("fps") or "nan")
    except ValueError:
        return None
    return fps if 1 <= fps <= 120 else None


@contextmanager
def naming_the_field() -> Iterator[None]:
    """Errors of the vocabulary as errors with the field's name."""
    try:
        yield
    except BadInputError as error:
        if error.http_status not in (404, 422):
            raise
        sentence = re.sub(r"^image\b", REFERENCE, str(error).removeprefix("form: "))
        raise VideoError(400, sentence, "invalid_value", _field_in(str(error))) from None


def _field_in(sentence: str) -> str | None:
    """The first word of a sentence that is a field's name."""
    words = re.findall(r"\w+", sentence)
    return next((SPOKEN.get(word, word) for word in words if word in NAMES or word in SPOKEN), None)


def settings_asked(job: Job) -> dict[str, Any]:
    """What a job was asked with, as a form has it, but for its wording and photograph, and for the
    licence that somebody accepted: each request says that itself. The seed is the one that was
    drawn.
    """
    left = {"input_image", "extend", "accept_licence", PARENT, REMIX_OF} | OWN_WORDING
    values = {name: _as_sent(value) for name, value in job.request.items() if name not in left}
    seed = (job.result or {}).get("seed", job.request.get("seed"))
    return values | ({"seed": str(seed)} if seed is not None else {})


def _as_sent(value: Any) -> Any:
    """As a form has it: adapters stay a list, intervals become FROM,UNTIL."""
    if isinstance(value, list) and not all(isinstance(each, str) for each in value):
        return ",".join(map(str, value))
    return value if isinstance(value, list) else str(value)

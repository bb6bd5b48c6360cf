"""The studio's form: what was typed, and what of it the clip follows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from src.api.forms import GenerateForm, local_model
from src.api.schemas import JobView
from src.catalog.spec import ModelSpec
from src.catalog.upscalers import find_preset
from src.core.config import validate
from src.core.errors import BadInputError, NewsreelError
from src.pipelines.models import find_model
from src.upscaling.files import LANCZOS

TAKES = 4
SLOT = "slot."
PLAIN = (
    "prompt",
    "template",
    "wording",
    "mode",
    "seed",
    "rights_reason",
    "priority",
    "fit",
    "takes",
    "photograph_of",
    "model",
    "accept_licence",
    "draft",
)


class ChoiceNeededError(BadInputError):
    """A template was chosen and a prompt was written: the user says which one counts."""


@dataclass(frozen=True)
class Typed:
    """The form's fields as text. slots: by template and slot. wording: "prompt" or "template",
    where both are given. photograph_of: the job whose photograph is taken again. model: that of the
    earlier job, where it named one. accept_licence: "true" where its limits were accepted. draft:
    "true" for a quick look first.
    """

    prompt: str = ""
    template: str = ""
    wording: str = ""
    mode: str = ""
    seed: str = ""
    priority: str = "normal"
    fit: str = "cover"
    takes: str = "1"
    photograph_of: str = ""
    rights_reason: str = ""
    model: str = ""
    accept_licence: str = ""
    draft: str = ""
    slots: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def limits(self) -> str:
        """What the licences of the model, and of the upscaler that it delivers by, say where a
        person must accept it; "" elsewhere.
        """
        try:
            told = _limits(find_model(local_model(self.model))) if self.model else []
        except NewsreelError:
            return ""
        return "; ".join(filter(None, told))

    def forms(self) -> list[GenerateForm]:
        """One for each take; with a seed, takes count on from it. Raises BadInputError."""
        return [self._form(take) for take in range(self._count())]

    def _count(self) -> int:
        if not self.takes.isdecimal() or not 1 <= int(self.takes) <= TAKES:
            raise BadInputError(f"takes is {self.takes[:20]!r}; ask for 1 to {TAKES}")
        return int(self.takes)

    def _form(self, take: int) -> GenerateForm:
        seed = str(int(self.seed) + take) if self.seed.isdecimal() else self.seed
        rest = {"mode": self.mode, "seed": seed, "priority": self.priority, "fit": self.fit,
                "rights_reason": self.rights_reason, "model": self.model,
                "accept_licence": self.accept_licence, "draft": self.draft}  # fmt: skip
        return validate(self._wording() | rest, GenerateForm, "form")

    def _wording(self) -> dict[str, str]:
        """The prompt or the template; where both are given, the one that was chosen."""
        written = bool(self.prompt.strip())
        if self.template and written and self.wording not in ("prompt", "template"):
            raise ChoiceNeededError(
                "A template is chosen and a prompt is written: which one shall the clip follow?"
            )
        if self.template and not (written and self.wording == "prompt"):
            given = {
                name: value for name, value in self.slots.get(self.template, {}).items() if value
            }
            return {"template": self.template, "set": json.dumps(given)}
        return {"prompt": self.prompt}


def _limits(spec: ModelSpec) -> list[str]:
    own = spec.licence if spec.restricted else ""
    return [own, "" if spec.delivery == LANCZOS else find_preset(spec.delivery)[0].limits]


def typed_from(sent: Mapping[str, Any]) -> Typed:
    """What a form sent; files are not looked at."""
    texts = {name: value.strip("\r\n") for name, value in sent.items() if isinstance(value, str)}
    slots: dict[str, dict[str, str]] = {}
    for name in texts:
        if name.startswith(SLOT) and name.count(".") == 2:
            _, template, slot = name.split(".")
            slots.setdefault(template, {})[slot] = texts[name].strip()
    return Typed(**{name: texts[name] for name in PLAIN if name in texts}, slots=slots)


def typed_again(job: JobView) -> Typed:
    """The form as it was for an earlier job, with the seed that was drawn for it."""
    request, result = job.request, job.result or {}
    template = str(request.get("template") or "")
    seed = request.get("seed") if request.get("seed") is not None else result.get("seed")
    return Typed(
        prompt=str(request.get("prompt") or ""), template=template,
        mode=str(request.get("mode") or ""),
        seed="" if seed is None else str(seed), fit=str(request.get("fit") or "cover"),
        photograph_of="" if request.get("extend") else job.id,
        rights_reason=str(request.get("rights_reason") or ""),
        model=str(request.get("model") or ""), draft="true" if request.get("draft") else "",
        slots={template: request.get("set") or {}},
    )  # fmt: skip

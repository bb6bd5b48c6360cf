"""Press prompt templates: named scenarios with slots, a negative prompt and a guidance scale."""

from pathlib import Path
from string import Formatter

from pydantic import Field

from src.core.config import Config, load_config
from src.core.errors import BadInputError
from src.core.paths import CONFIGS
from src.core.request import GuidanceScale

PRESS = CONFIGS / "prompts" / "press.yaml"


class Template(Config):
    """One scenario.

    prompt: wording with `{slot}` places. slots: what fills a slot that is not set.
    negative_prompt: what the clip should keep away from. guidance_scale: None leaves it to the
    model.
    """

    description: str
    prompt: str
    slots: dict[str, str] = Field(default_factory=dict)
    negative_prompt: str = ""
    guidance_scale: GuidanceScale | None = None

    def render(self, values: dict[str, str]) -> str:
        """The prompt with its slots filled; raises BadInputError on a slot it does not have."""
        unknown = sorted(set(values) - set(self.slots))
        if unknown:
            known = ", ".join(sorted(self.slots)) or "none"
            raise BadInputError(f"unknown slot {unknown[0]!r}; this template's slots: {known}")
        return self.prompt.format(**{**self.slots, **values})


class TemplateFile(Config):
    """The whole file: templates by name."""

    templates: dict[str, Template]


def load_templates(path: Path = PRESS) -> dict[str, Template]:
    """Read and check a template file: every `{slot}` in a prompt must be declared."""
    templates = load_config(path, TemplateFile).templates
    for name, template in templates.items():
        try:
            used = {
                field for _, field, _, _ in Formatter().parse(template.prompt) if field is not None
            }
        except ValueError as error:
            raise BadInputError(
                f"{path}: template {name!r}: prompt: {error}; double a brace that is text"
            ) from None
        if used != set(template.slots):
            odd = ", ".join(sorted(used ^ set(template.slots)))
            raise BadInputError(
                f"{path}: template {name!r} declares and uses different slots: {odd}"
            )
    return templates


def find_template(name: str, templates: dict[str, Template]) -> Template:
    """The template called `name`; raises BadInputError with the list of known ones."""
    if name not in templates:
        raise BadInputError(
            f"unknown template {name!r}; known templates: {', '.join(sorted(templates))}"
        )
    return templates[name]

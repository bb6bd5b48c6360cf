"""What is told of a field of the vocabulary wherever people meet it: one note a field, read by
every door.

The command line makes its options of it, the API its form, the jobs file its schema, the engine its
refusals.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Option:
    """The note of a field, as `Annotated` metadata.

    help: one sentence. unit: of the value. metavar: how its text is written, where that is not its
    type.
    baseline: whether the stock pipeline takes it, or the values that it takes.
    clip: whether it is about one clip, so that no flag sets it for a whole jobs file.
    form: whether a client of the service may send it, or the name it has there; other fields are
    the operator's.
    """

    help: str
    unit: str = ""
    metavar: str | None = None
    baseline: bool | tuple[Any, ...] = True
    clip: bool = False
    form: bool | str = True

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The field's JSON schema with the note in it."""
        told = {"description": self.help} | ({"unit": self.unit} if self.unit else {})
        return handler(core) | told


@dataclass(frozen=True)
class PublicField:
    """A field with its note: name, kind (int, float, str, bool, Path or list), choices, default."""

    name: str
    kind: type
    choices: tuple[str, ...]
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """As it is typed, without the form that switches it off."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def help(self) -> str:
        """The sentence, with what may be chosen and what is taken without it."""
        return self.help_for(self.choices, self.says_default)

    @property
    def says_default(self) -> bool:
        """Whether the default is a word or a number that a person may want to know; a switch shows
        its own.
        """
        return isinstance(self.default, str | int | float) and not isinstance(self.default, bool)

    def help_for(self, choices: tuple[str, ...], usual: bool) -> str:
        """choices: those that a command takes. usual: whether it takes the default where nothing is
        said.
        """
        unit = f", in {self.option.unit}" if self.option.unit else ""
        chosen = f": {listed(choices)}" if choices else ""
        number = isinstance(self.default, int | float)
        default = f" [{f'{self.default:g}' if number else self.default}]" if usual else ""
        return f"{self.option.help.removesuffix('.')}{unit}{chosen}{default}."

    def stock_choices(self) -> tuple[str, ...]:
        """What of the choices the baseline takes; the default asks nothing of it."""
        return tuple(choice for choice in self.choices if self.stock_takes(choice))

    def stock_takes(self, value: Any) -> bool:
        """Whether a value asks nothing of the baseline that the stock pipeline does not do."""
        takes = self.option.baseline
        return value in (None, self.default) or (
            value in takes if isinstance(takes, tuple) else takes
        )


def fields_of(model: type[BaseModel]) -> dict[str, PublicField]:
    """The fields of a model that carry a note, in order."""
    return {
        name: PublicField(
            name, *_kind(info.annotation), info.get_default(call_default_factory=True), note
        )
        for name, info in model.model_fields.items()
        for note in info.metadata
        if isinstance(note, Option)
    }


def _kind(annotation: Any) -> tuple[type, tuple[str, ...]]:
    """What a value is on a command line, and what may be chosen, of a type such as `Literal["a",
    "b"] | None`.
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0])
    if origin in (Union, UnionType):
        return _kind(next(part for part in inner if part is not NoneType))
    if origin is Literal:
        return str, inner
    if (origin is tuple and inner[-1:] == (...,)) or origin is dict:
        return list, ()
    return (annotation, ()) if annotation in (int, float, str, bool, Path) else (str, ())


def listed(choices: tuple[str, ...]) -> str:
    """ " "a, b or c"."""
    return " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))

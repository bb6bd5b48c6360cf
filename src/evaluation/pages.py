"""Blocks of a Markdown page that a program writes: between two marks, so that the rest of the page
is a person's.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from src.core.errors import MissingFileError


def write_block(page: Path, name: str, text: str) -> None:
    """Replace what stands between the page's marks of `name`. Raises MissingFileError without page
    or marks.
    """
    before, after = around_block(page, name)
    page.write_text(f"{before}\n{text.strip()}\n{after}", encoding="utf-8")


def around_block(page: Path, name: str) -> tuple[str, str]:
    """The page up to the first mark of `name` and from the second on; long runs look before they
    begin.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    old = page.read_text(encoding="utf-8") if page.is_file() else ""
    if begin not in old or end not in old:
        raise MissingFileError(
            f"{page} has no place for {name}; it needs the lines {begin!r} and {end!r}"
        )
    before, rest = old.split(begin, 1)
    return before + begin, end + rest.split(end, 1)[1]


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of pipes; None is shown as a dash, numbers with two decimals."""
    lines = [
        _line(header),
        _line(["---"] * len(header)),
        *(_line([_cell(value) for value in row]) for row in rows),
    ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)

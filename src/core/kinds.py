"""The kinds of jobs, which are the classes that workers can be kept for."""

from src.core.errors import BadInputError

KINDS = ("generate", "upscale")


def kinds_among(text: str | None) -> tuple[str, ...]:
    """Those named in `text`, with commas between; all where it names none. Raises BadInputError."""
    named = tuple(dict.fromkeys(word.strip() for word in (text or "").split(",") if word.strip()))
    if strange := [name for name in named if name not in KINDS]:
        raise BadInputError(f"--kinds names {strange[0]!r}; kinds of jobs are: {', '.join(KINDS)}")
    return named or KINDS

"""Words for numbers."""


def counted(number: int, noun: str) -> str:
    """Such as "1 step" and "3 steps": a noun that takes an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

"""The temporal score's curve as an SVG path."""

from collections.abc import Sequence

WIDTH, HEIGHT = 480, 80


def curve(values: Sequence[float]) -> str:
    """`points` of a polyline in a 480x80 box; values 0 to 1, one for each pair of frames. "" for
    fewer than two.
    """
    if len(values) < 2:
        return ""
    step = WIDTH / (len(values) - 1)
    clamped = (min(1.0, max(0.0, value)) for value in values)
    return " ".join(
        f"{index * step:.1f},{HEIGHT * (1 - value):.1f}" for index, value in enumerate(clamped)
    )

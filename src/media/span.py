"""The part of a video that is kept."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Span:
    """The part of the source that is kept, in seconds from its begin.

    origin: the time of the file that counts as 0, as transport streams begin at any time. The
    output begins at 0.
    """

    start: float = 0.0
    end: float | None = None
    origin: Fraction = Fraction(0)

    @property
    def begin(self) -> Fraction:
        """The time of the file that is 0 in the output."""
        return self.origin + Fraction(self.start)

    def holds(self, time: float) -> bool:
        """Whether a time of the file is kept; from the beginning on, even times before it are, as
        coders' lead-ins.
        """
        since = time - float(self.origin)
        return (self.start <= 0 or since >= self.start) and (self.end is None or since < self.end)

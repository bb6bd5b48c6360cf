"""A family whose loop is that of one process among several; all else is the family's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from src.pipelines.family import Family
from src.pipelines.sides import Loop, Pipe

if TYPE_CHECKING:
    from src.pipelines.parallel.ranks import Ranks


class DividedFamily:
    """In the place of `family`, for a pipeline that has learned to compute its share."""

    def __init__(self, family: Family, pipe: Pipe, ranks: Ranks) -> None:
        if family.divided is None:
            raise ValueError(f"{family.title} is computed by one process")
        self._family, self.loop = family, family.divided.divide(pipe, ranks)

    loop: Loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._family, name)

"""What is done with the frames of an enlarged video before they are encoded, and with the file
before it has its name.

The stream calls it; the engine, a floor higher, fills it with filters and finishers.
"""

from pathlib import Path

import numpy as np

from src.upscaling.report import UpscaleReport


class Ending:
    """Nothing besides: frames as they are, and the file under its name."""

    def group(self, frame_bytes: int) -> int:
        """How many frames it takes at once, at most. frame_bytes: of one."""
        return 1

    def frames(self, arrays: list[np.ndarray], first: int) -> list[np.ndarray]:
        """The frames to encode. arrays: (H, W, 3) of the source's dtype, enlarged, all of one
        segment. first: number of the first, from 0.
        """
        return arrays

    def publish(self, temporary: Path, target: Path, report: UpscaleReport) -> None:
        """Put the whole file under its name, in one step."""
        temporary.replace(target)

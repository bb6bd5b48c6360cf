"""What is done with the frames of an enlarged video before they are encoded, and with the file
before it has its name.

The stream calls it; the engine, a floor higher, fills it with filters and finishers.
"""

from pathlib import Path

import numpy as np

from src.upscaling.report import UpscaleReport


class Ending:
    """Nothing besides: frames as they are, and the file under its name."""

    def frame(self, array: np.ndarray, index: int) -> np.ndarray:
        """The frame to encode. array: (H, W, 3) of the source's dtype, enlarged. index: from 0."""
        return array

    def publish(self, temporary: Path, target: Path, report: UpscaleReport) -> None:
        """Put the whole file under its name, in one step."""
        temporary.replace(target)

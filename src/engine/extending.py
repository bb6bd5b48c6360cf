"""A clip that is gone on with: the new one begins with its last frame, and one file has both."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from src.core.errors import BadInputError
from src.core.files import sha256_of
from src.core.plan import Size
from src.media.clips import upright_frame
from src.media.images import Photograph
from src.media.press_metadata import of_xmp
from src.media.reader import VideoReader
from src.trust.xmp import read_xmp
from src.upscaling.files import Enlargement


@dataclass(frozen=True)
class Before:
    """The clip that comes first. size: of its frames as shown. fps: frames a second."""

    path: Path
    sha256: str
    frames: int
    size: Size
    fps: float
    last: np.ndarray

    def photograph(self) -> Photograph:
        """Its last frame, as the photograph that the new clip is made from, with what the clip says
        of the first one.
        """
        file = io.BytesIO()
        Image.fromarray(self.last).save(file, "PNG")
        data = file.getvalue()
        digest, press = hashlib.sha256(data).hexdigest(), of_xmp(read_xmp(self.path))
        return Photograph(self.last, digest, data, ".png", press=press)

    def check_join(self, way: Enlargement, fps: float) -> None:
        """Raise BadInputError where the new frames would have another size or rate than the clip.

        way, fps: of the new frames.
        """
        if self.size != way.written:
            alone = " without --upscale" if way.upscale else ""
            raise BadInputError(
                f"extend: {self.path.name} is {self.size}, and the new frames would be "
                f"{way.written}; ask for --width {self.size.width} --height "
                f"{self.size.height}{alone}"
            )
        if abs(self.fps - fps) > 1e-3:
            raise BadInputError(
                f"extend: {self.path.name} has {self.fps:g} frames a second, and the new ones "
                f"would have {fps:g}; ask for --fps {self.fps:g}"
            )

    def pictures(self) -> Iterator[np.ndarray]:
        """Its frames (H, W, 3) uint8."""
        with VideoReader(self.path) as reader:
            for frame in reader:
                yield np.ascontiguousarray(upright_frame(frame.array, reader.info))

    def scored(self, size: Size) -> Iterator[np.ndarray]:
        """Its frames at the size at which a clip is scored."""
        for picture in self.pictures():
            if size == self.size:
                yield picture
            else:
                yield cv2.resize(picture, (size.width, size.height), interpolation=cv2.INTER_AREA)


def read_before(path: Path) -> Before:
    """Read a clip to its end. Raises MissingFileError or BadInputError."""
    count, last = 0, None
    with VideoReader(path) as reader:
        for frame in reader:
            count, last = count + 1, frame.array
        shown = np.ascontiguousarray(upright_frame(last, reader.info))
        rate = float(reader.info.rate)
    if count < 2:
        raise BadInputError(f"extend: {path.name} is one picture, no clip; leave --extend out")
    size = Size(width=shown.shape[1], height=shown.shape[0])
    return Before(path, sha256_of(path), count, size, rate, shown)


def seam_of(before: Before, curve: list[float]) -> dict[str, object]:
    """Where the new frames begin, and the local score of the pair that meets there."""
    first = before.frames
    return {"frames": [first - 1, first], "score": curve[first - 1]}

"""What flows between the rooms: one frame, and what is known of the video it belongs to."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One picture of a video.

    array: (H, W, 3) RGB, uint8 in [0, 255] (uint16 in [0, 65535] for more than 8 bits).
    pts: presentation time in units of the stream's time base. duration: in the same units, 0 where
    unknown.
    alpha: (H, W) of the same dtype, 0 where the picture is clear; None where it was not asked for
    or there is none. captions: CEA-708 triplets that came with the picture.
    """

    array: np.ndarray
    pts: int
    duration: int = 0
    alpha: np.ndarray | None = None
    captions: bytes | None = None


@dataclass(frozen=True)
class VideoInfo:
    """What a reader knows of its stream, and what a writer must keep.

    width, height: pixels as stored (before `rotation`). rate: frames a second, average.
    time_base: seconds per pts unit.
    primaries, transfer, matrix: names as ffmpeg writes them ("bt709"), None where the file does not
    say.
    full_range: True for 0-255 luma. rotation: degrees clockwise to display, one of 0, 90, 180, 270.
    sample_aspect_ratio: width / height of one pixel. frames: count where the container states it,
    else None. display_matrix: the nine numbers behind `rotation`, mirroring included, None without
    one.
    seconds: how long the file plays, where the container states it.
    alpha: whether pixels may be transparent; hidden_alpha: whether the file holds transparency that
    is not decoded. chroma_location: of the chroma samples, as ffmpeg names it.
    mastering: the display that HDR was graded on, eleven rationals as in FFmpeg's
    AVMasteringDisplayMetadata.
    light: brightest pixel and brightest frame average, nits. dolby_vision: whether its metadata are
    there.
    bit_depth: of one component. chroma: "420", "422" or "444" (grey counts as 420, RGB as 444).
    """

    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    primaries: str | None = None
    transfer: str | None = None
    matrix: str | None = None
    full_range: bool = False
    rotation: int = 0
    sample_aspect_ratio: Fraction = Fraction(1)
    frames: int | None = None
    bit_depth: int = 8
    chroma: str = "420"
    display_matrix: tuple[int, ...] | None = None
    seconds: float | None = None
    alpha: bool = False
    hidden_alpha: bool = False
    chroma_location: str | None = None
    mastering: tuple[int, ...] | None = None
    light: tuple[int, ...] | None = None
    dolby_vision: bool = False

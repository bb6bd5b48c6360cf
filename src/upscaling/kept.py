"""What of a source the output does not keep: nothing is lost without a sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from src.media.fields import FIELD
from src.media.frames import Frame, VideoInfo
from src.media.hdr import not_carried
from src.media.matrices import INEXACT
from src.media.scan import Scan
from src.media.segments import VideoFormat
from src.upscaling.job import UpscaleJob


def told_before(job: UpscaleJob, info: VideoInfo, scan: Scan) -> list[str]:
    """Sentences that follow from the source's header and the way it is encoded."""
    told = []
    if scan.interlaced:
        each = "each field becomes a picture" if job.interlaced == FIELD else "each pair of fields becomes a picture"
        told.append(f"{job.source.name} {scan.sentence}; {each} (--interlaced {job.interlaced})")
    elif scan.measured:
        told.append(f"{job.source.name} {scan.sentence}")
    if info.matrix in INEXACT:
        told.append(f"the colour matrix {info.matrix} is computed as that of BT.2020; its tag is kept")
    codec, layout = ("png", "rgb") if job.is_png else _encoded(job, info)
    return told + not_carried(codec, info, layout)


def _encoded(job: UpscaleJob, info: VideoInfo) -> tuple[str, str]:
    video = job.video_format(info)
    return video.encoder.codec, video.layout


class Kept:
    """Looks at each frame of a run for what its output cannot keep. alpha, captions: whether it can."""

    def __init__(self, job: UpscaleJob, video: VideoFormat | None) -> None:
        self.alpha = video is None or video.keeps_alpha
        self.captions = video is not None and video.keeps_captions
        self.codec = job.codec
        self.notes: list[str] = []
        self._clear = self._captioned = False

    def seen(self, frame: Frame) -> Frame:
        """The frame, with no transparency where it will not be kept."""
        if frame.captions and not self.captions:
            self._captioned = True
        if frame.alpha is None or self.alpha:
            return frame
        self._clear |= bool((frame.alpha < np.iinfo(frame.alpha.dtype).max).any())
        return replace(frame, alpha=None)

    def sentences(self) -> list[str]:
        """What was lost of the frames seen, and what the reader noted."""
        told = list(self.notes)
        if self._clear:
            told.append(f"transparency is not kept by {self.codec}; --codec prores (.mov), vp9 (.webm) and png keep it")
        if self._captioned:
            told.append(f"closed captions inside the pictures are not kept by {self.codec}; x264 and x265 keep them")
        return told

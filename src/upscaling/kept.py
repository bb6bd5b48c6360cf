"""What of a source the output does not keep: nothing is lost without a sentence."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np

from src.media.describe import chroma_of
from src.media.fields import FIELD
from src.media.frames import Frame, VideoInfo
from src.media.hdr import not_carried
from src.media.matrices import INEXACT
from src.media.scan import Scan
from src.media.segments import VideoFormat
from src.upscaling.job import UpscaleJob


def told_before(
    job: UpscaleJob, info: VideoInfo, scan: Scan, video: VideoFormat | None
) -> list[str]:
    """Sentences that follow from the source's header and the way it is encoded."""
    told = []
    if scan.interlaced:
        each = (
            "each field becomes a picture"
            if job.interlaced == FIELD
            else "each pair of fields becomes a picture"
        )
        told.append(f"{job.source.name} {scan.sentence}; {each} (--interlaced {job.interlaced})")
    elif scan.measured:
        told.append(f"{job.source.name} {scan.sentence}")
    if info.hidden_alpha:
        told.append(
            "its transparency lies beside the picture, as VP8 and VP9 have it, and is not kept: "
            "this build of FFmpeg has no libvpx to read it"
        )
    if info.matrix in INEXACT:
        told.append(
            f"the colour matrix {info.matrix} is computed as that of BT.2020; its tag is kept"
        )
    if video is None:
        return told + not_carried("png", info, "rgb")
    carried = not_carried(video.encoder.codec, info, video.layout)
    return told + _coarser(job, info, video.layout) + carried


def _coarser(job: UpscaleJob, info: VideoInfo, layout: str) -> list[str]:
    """Sentences on bits and chroma that the encoder has fewer of than the source."""
    made = av.VideoFormat(layout)
    depth, chroma = max(component.bits for component in made.components), chroma_of(made)
    told = (
        []
        if depth >= info.bit_depth
        else [f"{info.bit_depth} bits become {depth} with {job.codec}"]
    )
    if chroma < info.chroma:
        told.append(
            f"4:{info.chroma[1]}:{info.chroma[2]} becomes 4:{chroma[1]}:{chroma[2]} "
            f"with {job.codec}"
        )
    return told


class Kept:
    """Looks at each frame of a run for what its output cannot keep. alpha, captions: whether it
    can.
    """

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
            told.append(
                f"transparency is not kept by {self.codec}; "
                "--codec prores (.mov), vp9 (.webm) and png keep it"
            )
        if self._captioned:
            told.append(
                f"closed captions inside the pictures are not kept by {self.codec}; "
                "x264 and x265 keep them"
            )
        return told

"""One video to enlarge: what was asked, checked before anything is loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from src.core.errors import BadInputError, MissingFileError
from src.core.files import state_of
from src.core.paths import LONGEST, exists, is_file, is_folder, refused_by_windows
from src.core.upscale_request import EnhanceSettings
from src.media.clips import shown_size
from src.media.encoders import Encoder, encoder_options, find_encoder, pixel_format, usual_preset
from src.media.fields import FIELD, MODES
from src.media.frames import VideoInfo
from src.media.hdr import side_options
from src.media.reader import VideoReader
from src.media.segments import VideoFormat, open_encoder
from src.media.span import Span
from src.media.tracks import check_tracks
from src.upscaling.backends import UpscalerChoice

SEGMENT = 60
"""Frames of a segment: what an interruption costs at most, and the longest distance between key
frames.
"""
PNG = "png"


@dataclass(frozen=True)
class UpscaleJob:
    """source: any video that FFmpeg reads. target: the file to write, or for codec "png" the
    folder.

    span: the part to enlarge. compare: the output shows the bicubic enlargement on its left, ours
    on its right. threads: of the network; None takes all cores. hardware: whether NVDEC may decode.
    segment: frames of one. interlaced: what becomes of pictures woven of two fields: "field",
    "frame" or "refuse".
    filters, finishers: what works on each frame and on the finished file, by name, in order.
    """

    source: Path
    target: Path
    choice: UpscalerChoice = field(default_factory=UpscalerChoice)
    enhance: EnhanceSettings = field(default_factory=EnhanceSettings)
    codec: str = "x264"
    crf: float | None = None
    encoder_preset: str | None = None
    span: Span = field(default_factory=Span)
    compare: bool = False
    threads: int | None = None
    hardware: bool = False
    segment: int = SEGMENT
    interlaced: str = FIELD
    filters: tuple[str, ...] = ()
    finishers: tuple[str, ...] = ()

    @property
    def is_png(self) -> bool:
        return self.codec == PNG

    def check(self) -> list[str]:
        """Raise for what cannot be done as asked; returns sentences on what will not be kept."""
        if not exists(self.source):
            raise MissingFileError(f"there is no video at {self.source}")
        if exists(self.target) and self.target.samefile(self.source):
            raise BadInputError(f"--output is the input itself, {self.source}; choose another name")
        if not 0 <= self.span.start < inf:
            raise BadInputError(
                f"--start is {self.span.start:g}; it must be a number of seconds, 0 or more"
            )
        if self.span.end is not None and not self.span.start < self.span.end:
            raise BadInputError(f"--end {self.span.end:g} is not after --start {self.span.start:g}")
        if self.interlaced not in MODES:
            raise BadInputError(
                f"--interlaced is {self.interlaced!r}; it must be one of: {', '.join(MODES)}"
            )
        self.choice.check(self.enhance)
        return self._check_target()

    def reader(self) -> VideoReader:
        """The source as this job reads it. Raises as `VideoReader` does."""
        return VideoReader(
            self.source, deep=True, hardware=self.hardware, interlaced=self.interlaced, alpha=True
        )

    def _check_target(self) -> list[str]:
        if os.name == "nt" and (reason := refused_by_windows(self.target)):
            raise BadInputError(f"--output: {reason}; choose another name")
        if len(os.fsencode(self.target.name)) > LONGEST:
            raise BadInputError(
                f"--output {self.target.name[:32]}... is too long; at most {LONGEST} bytes"
            )
        if self.is_png:
            if is_file(self.target):
                raise BadInputError(
                    f"--codec png writes a folder of pictures, and {self.target} is a file"
                )
            if self.crf is not None or self.encoder_preset is not None:
                raise BadInputError(
                    "--crf and --encoder-preset do not apply to png, which loses nothing"
                )
            if self.finishers:
                raise BadInputError(
                    "--finishers do not apply to png, which is a folder of pictures"
                )
            return []
        encoder = find_encoder(self.codec)
        if is_folder(self.target):
            raise BadInputError(
                f"{self.target} is a folder; name the file to write, such as "
                f"{self.target / 'clip.mp4'}"
            )
        if self.target.suffix.lower() not in encoder.containers:
            raise BadInputError(
                f"--output {self.target.name}: {encoder.name} goes into "
                f"{', '.join(encoder.containers)}, "
                f"not into {self.target.suffix or 'a file without suffix'}"
            )
        return []

    def output_size(self, info: VideoInfo) -> tuple[int, int]:
        """(width, height). Raises BadInputError where no encoder takes it."""
        width, height = (
            info.width * self.choice.scale * (2 if self.compare else 1),
            info.height * self.choice.scale,
        )
        most = 65535 if self.is_png else find_encoder(self.codec).most
        if max(width, height) > most:
            raise BadInputError(
                f"{self.source.name} is {info.width}x{info.height}; {self.choice.scale}x of it is "
                f"{width}x{height}, "
                f"and {self.codec} goes up to {most} pixels a side; take a smaller --scale"
            )
        return width, height

    def shown_size(self, info: VideoInfo) -> tuple[int, int]:
        """(width, height) of the output: of pictures as they are shown,
        of a video as it is stored.
        """
        width, height = self.output_size(info)
        if not self.is_png:
            return width, height
        shown = shown_size(info)
        width, height = round(width * shown[0] / info.width), round(height * shown[1] / info.height)
        return (height, width) if info.rotation % 180 else (width, height)

    def video_format(self, info: VideoInfo) -> VideoFormat:
        """How the output is encoded. Raises BadInputError where the encoder does not take this
        video.
        """
        width, height = self.output_size(info)
        encoder: Encoder = find_encoder(self.codec)
        layout = pixel_format(encoder, info, self.encoder_preset)
        options = encoder_options(
            encoder, self.crf, self.encoder_preset or usual_preset(encoder, layout)
        )
        for name, value in side_options(encoder.codec, info, layout).items():
            options[name] = ":".join(filter(None, (options.get(name), value)))
        video = VideoFormat(encoder, tuple(options.items()), info, width, height, layout)
        open_encoder(video)
        return video

    def tracks(self) -> list[str]:
        """Sentences on tracks that are not kept; raises BadInputError where sound or subtitles
        would be lost.
        """
        return [] if self.is_png else check_tracks(self.source, self.target)

    def decides(self, hashes: dict[str, str], builds: tuple[str, ...] = ()) -> dict[str, Any]:
        """Everything that decides the bytes of the segments. format: grows where a source gives
        other pictures.

        builds: of the backend, where it is loaded; they count where a runtime or precision is asked
        for.
        """
        gate = self.choice.spec.preset(self.choice.preset).gate
        return {
            "format": 4, "source": list(state_of(self.source)), "weights": hashes,
            "interlaced": self.interlaced, "upscaler": self.choice.upscaler,
            "preset": self.choice.preset, "guidance": self.choice.guidance_scale,
            "scale": self.choice.scale, "device": self.choice.device,
            "trust": gate and [gate.soft, gate.sharp, gate.most],
            "knobs": self.enhance.model_dump(),
            "codec": [self.codec, self.crf, self.encoder_preset],
            "span": [self.span.start, self.span.end], "compare": self.compare,
            "segment": self.segment,
        } | self._decides_too(builds)  # fmt: skip

    def _decides_too(self, builds: tuple[str, ...]) -> dict[str, Any]:
        """What keys of older checkpoints had not, where it is not as it was then."""
        since = {
            "seed": self.choice.seed,
            "prompt": self.choice.prompt,
            "filters": list(self.filters),
        }
        if any(asked := [self.choice.runtime, self.choice.precision]):
            since |= {"asked": asked, "builds": list(builds)}
        if self.choice.refine:
            since["refine"] = str(self.choice.refinement)
        return {name: value for name, value in since.items() if value}

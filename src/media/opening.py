"""How files are opened for FFmpeg: as files, never as URLs, and with its errors in words."""

import os
from pathlib import Path
from typing import Any

import av
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError
from av.stream import Disposition
from loguru import logger

from src.core.errors import BadInputError, MissingFileError
from src.core.output_errors import reason_in

READS = {"protocol_whitelist": "file,crypto,data"}
"""A playlist may name what lies on the network; nothing here is meant to fetch it."""
PICTURES = ("image2", "image2pipe", "tty")
"""Demuxers that take pictures, or any text, for a video."""
PLAYLISTS = {"hls", "concat", "dash", "sdp", "rtsp", "imf"}
"""Demuxers of files that only name other files."""

SILENT = "1000"
"""FFmpeg's own levels end at 56."""
ANIMATED = 0x02
"""The flag in a WebP's header."""


def media_url(path: Path | str) -> str:
    """The name by which FFmpeg takes any path for a file: a colon in it would make a protocol of
    what is before.
    """
    return f"file:{os.fspath(path)}"


def open_file(path: Path, hardware: bool = False, options: dict[str, str] | None = None) -> Any:
    """An open input container. hardware: decoded by the card, where it can. Raises MissingFileError
    or BadInputError, which say why it cannot be read.
    """
    _check_file(path)
    container = _opened(path, hardware, options or READS)
    if set(container.format.name.split(",")) & PLAYLISTS:
        container.close()
        raise BadInputError(f"{path} is a list of other files, not a video; name the video itself")
    _silence(container)
    return container


def _opened(path: Path, hardware: bool, options: dict[str, str]) -> Any:
    accelerator = HWAccel("cuda", allow_software_fallback=True) if hardware else None
    try:
        return av.open(media_url(path), options=options, hwaccel=accelerator,
                       metadata_errors="surrogateescape")  # fmt: skip
    except (FFmpegError, OSError) as error:
        if hardware:  # it takes a driver that decodes, and room on the card for a context
            logger.info("the card does not decode {} ({})", path, reason_in(error))
            return _opened(path, False, options)
        raise BadInputError(f"{path} cannot be read as a video ({reason_in(error)})") from None


def _silence(container: Any) -> None:
    """Have decoders tell nobody what is damaged: a thread of theirs that tells PyAV waits for the
    interpreter, which who frees the decoder holds until the thread has ended. FFmpeg adds the
    offset to the level of each message, and PyAV (18.1) hears none beyond its own.
    """
    for stream in container.streams:
        if stream.codec_context is not None:
            stream.codec_context.options = {"log_level_offset": SILENT}


def open_output(path: Path, **options: Any) -> Any:
    """An open output container. Raises what FFmpeg raises."""
    return av.open(media_url(path), "w", metadata_errors="surrogateescape", **options)


def is_picture(container: Any) -> bool:
    """Whether a file is a still picture or a text, which FFmpeg reads too."""
    names = container.format.name.split(",")
    return any(name in PICTURES or name.endswith("_pipe") for name in names)


def main_video(container: Any) -> Any:
    """The first video track that is not a cover picture; None where there is none."""
    cover = Disposition.attached_pic
    return next((s for s in container.streams.video if not s.disposition & cover), None)


def undecodable(path: Path) -> str | None:
    """What a file is that FFmpeg knows and cannot decode, and what would open it; None where it is
    merely damaged.
    """
    with path.open("rb") as stream:
        head = stream.read(21)
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20] & ANIMATED:
        return (
            "is an animated WebP, which this build of FFmpeg does not decode; convert it first, "
            "with: "
            "magick IN.webp OUT.gif"
        )
    return None


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise MissingFileError(f"there is no video at {path}") from None
    except (OSError, ValueError) as error:  # a name too long, a folder that is closed
        raise MissingFileError(f"there is no video at {path} ({reason_in(error)})") from None
    if path.is_dir():
        raise BadInputError(f"{path} is a folder, not a video")
    if size == 0:
        raise BadInputError(f"{path} is empty (0 bytes), not a video")

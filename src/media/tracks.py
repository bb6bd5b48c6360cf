"""Which tracks of a source the output's container holds: what is not held is refused or said, never
just dropped.
"""

import os
import re
from functools import lru_cache
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream

from src.core.errors import BadInputError
from src.media.describe import file_of, stream_line
from src.media.opening import open_file
from src.media.streams import video_stream

COPIED = ("video", "audio", "subtitle", "data", "attachment")
COVER = Disposition.attached_pic
MATROSKA = (".mkv", ".webm")
REPLACED_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder"}
"""Tags that a muxer writes itself."""
PLAIN_KEYS = REPLACED_KEYS | {"creation_time", "title", "artist", "album_artist", "composer",
                              "album", "date", "track", "comment", "genre", "copyright", "grouping",
                              "lyrics", "description", "show"}  # fmt: skip
"""What MP4 has places for. Any other tag needs a table of names, and FFmpeg writes no cover beside
one.
"""
_SAID = re.compile(r"(?:Video|Audio|Subtitle|Data|Unknown|Attachment): (\S+)(?:.*?\((\w{4}) / 0x)?")
"""A codec, and the tag of the file, as FFmpeg prints a stream."""
TRIED = (".mkv", ".mp4", ".mov")
"""Containers to propose where one does not hold a track, the likeliest first."""


def check_tracks(source: Path, target: Path) -> list[str]:
    """Whether the target's container holds every track of the source.

    Returns sentences on what cannot be kept: data, cover pictures, attachments, and what no
    container takes. Raises BadInputError where the suffix is of no container, or where a video,
    sound or subtitle track would be lost that another container keeps.
    """
    lost, codecs = [], supported(target)
    with open_file(source) as container:
        main = video_stream(container, source)
        for stream in container.streams:
            if stream is main or holds_track(stream, target, codecs) or _is_chapters(stream):
                continue
            if is_timecode(stream):
                lost += (
                    []
                    if timecode_of(container, main)
                    else [_left_out(stream, "its count cannot be read")]
                )
            elif (
                stream.type in ("video", "audio", "subtitle")
                and not is_cover(stream)
                and _somewhere(stream)
            ):
                raise BadInputError(
                    f"{target.suffix} holds no {track_name(stream)} {stream.type} (track "
                    f"{stream.index} of "
                    f"{source.name}); {_advice(container, target)}"
                )
            else:
                lost.append(_left_out(stream, f"{target.suffix} does not hold it"))
    return lost


def _left_out(stream: Stream, reason: str) -> str:
    what = "cover picture" if is_cover(stream) else f"{stream.type} track"
    return f"{what} {stream.index} ({track_name(stream)}) is left out: {reason}"


def _somewhere(stream: Stream) -> bool:
    """Whether any container that is written here holds a track."""
    targets = (Path(f"a{suffix}") for suffix in TRIED)
    return any(holds_track(stream, target, supported(target)) for target in targets)


def track_name(stream: Stream) -> str:
    """What a track is coded in, as a person may look it up: where FFmpeg has no name for it, the
    file's own tag.
    """
    known = codec_name(stream)
    if known:
        return known
    said = _SAID.search(stream_line(stream))
    if said is None:
        return "unknown"
    return said[2] or said[1] if said[1] in ("none", "unknown", "bin_data") else said[1].rstrip(",")


def holds_track(stream: Stream, target: Path, codecs: set[str]) -> bool:
    """Whether a track goes into the target, whose container has these codecs. Matroska attaches
    covers as files.
    """
    suffix = target.suffix.lower()
    if stream.type == "attachment":
        return suffix in MATROSKA
    if is_cover(stream):
        held = suffix in (".mp4", ".m4v") and codec_name(stream) in codecs
        return (held and has_plain_tags(file_of(stream))) or suffix == ".mkv"
    if stream.type not in COPIED or is_timecode(stream):
        return False
    return codec_name(stream) in codecs


def _is_chapters(stream: Stream) -> bool:
    """Whether a track holds the names of chapters, as QuickTime has them: the muxer writes a new
    one.
    """
    return (
        stream.type == "data" and track_name(stream) == "text" and bool(stream.container.chapters())
    )


def is_timecode(stream: Stream) -> bool:
    """Whether a track only counts frames: the muxer writes a new one from the new video's own
    count.
    """
    return stream.type == "data" and "timecode" in stream.metadata and codec_name(stream) is None


def timecode_of(container: InputContainer, main: av.VideoStream) -> str | None:
    """The timecode of the first frame: of the video track, of a track that counts,
    or of the file.
    """
    tagged = [
        main.metadata,
        *(s.metadata for s in container.streams if s.type == "data"),
        container.metadata,
    ]
    return next((tags["timecode"] for tags in tagged if "timecode" in tags), None)


def has_plain_tags(container: InputContainer) -> bool:
    """Whether MP4 has a place for every tag of the file."""
    return {key.lower() for key in container.metadata} <= PLAIN_KEYS


def is_cover(stream: Stream) -> bool:
    """Whether a track is a picture to show for the file, not a video."""
    return stream.type == "video" and bool(stream.disposition & COVER)


def _advice(container: InputContainer, target: Path) -> str:
    """What to name the output so that every track but data goes into it."""
    main = video_stream(container, target)
    kinds = ("video", "audio", "subtitle")
    tracks = [
        s
        for s in container.streams
        if s is not main and s.type in kinds and (is_cover(s) or _somewhere(s))
    ]
    for other in (target.with_suffix(suffix) for suffix in TRIED):
        codecs = supported(other)
        if all(holds_track(stream, other, codecs) for stream in tracks):
            return f"name the output {other.name} and nothing is lost"
    return "no container holds all its tracks: take that one out first (ffmpeg -map)"


def supported(target: Path) -> set[str]:
    """Names of the codecs that a container of this suffix holds."""
    codecs = _supported(container_format(target))
    if codecs is None:
        raise BadInputError(
            f"{target.name} has no suffix of a video file; .mp4, .mkv and .mov are some"
        )
    return codecs


@lru_cache(maxsize=16)
def _supported(container: str) -> set[str] | None:
    try:
        with av.open(os.devnull, "w", format=container) as probe:
            return set(probe.supported_codecs)
    except (FFmpegError, ValueError):
        return None


def container_format(target: Path) -> str:
    """FFmpeg's name of the container for a suffix."""
    names = {".mkv": "matroska", ".m4v": "mp4", ".ts": "mpegts", ".webm": "webm"}
    suffix = target.suffix.lower()
    return names.get(suffix, suffix.removeprefix("."))


def codec_name(stream: Stream) -> str | None:
    context = getattr(stream, "codec_context", None)
    return context.name if context is not None and stream.type == "data" else _canonical(context)


def _canonical(context: av.CodecContext | None) -> str | None:
    """The codec's own name: a decoder may be called otherwise (libdav1d for av1,
    mp3float for mp3).
    """
    if context is None:
        return None
    return (
        context.codec.canonical_name if hasattr(context.codec, "canonical_name") else context.name
    )

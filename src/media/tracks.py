"""Which tracks of a source the output's container holds: what is not held is refused or said, never just dropped."""

import os
from pathlib import Path

import av

from src.core.errors import BadInputError

COPIED = ("video", "audio", "subtitle", "data", "attachment")
COVER = av.stream.Disposition.attached_pic
MATROSKA = (".mkv", ".webm")
REPLACED_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder"}
"""Tags that a muxer writes itself."""
PLAIN_KEYS = REPLACED_KEYS | {"creation_time", "title", "artist", "album_artist", "composer", "album", "date", "track",
                              "comment", "genre", "copyright", "grouping", "lyrics", "description", "show"}  # fmt: skip
"""What MP4 has places for. Any other tag needs a table of names, and FFmpeg writes no cover beside one."""
TRIED = (".mkv", ".mp4", ".mov")
"""Containers to propose where one does not hold a track, the likeliest first."""


def check_tracks(source: Path, target: Path) -> list[str]:
    """Whether the target's container holds every track of the source.

    Returns sentences on what cannot be kept and matters little (data tracks, cover pictures, attachments). Raises
    BadInputError where the suffix is of no container, or where a video, sound or subtitle track would be lost.
    """
    lost, codecs = [], supported(target)
    with av.open(str(source)) as container:
        main = main_video(container)
        for stream in container.streams:
            if stream is main or stream.type not in COPIED or holds_track(stream, target, codecs):
                continue
            if stream.type in ("data", "attachment") or is_cover(stream):
                what = "cover picture" if is_cover(stream) else f"{stream.type} track"
                lost.append(f"{what} {stream.index} does not go into {target.suffix}")
                continue
            raise BadInputError(
                f"{target.suffix} holds no {codec_name(stream)} {stream.type} (track {stream.index} of {source.name}); "
                f"{_advice(container, target)}"
            )
    return lost


def holds_track(stream: av.stream.Stream, target: Path, codecs: set[str]) -> bool:
    """Whether a track goes into the target, whose container has these codecs. Matroska attaches covers as files."""
    suffix = target.suffix.lower()
    if stream.type == "attachment":
        return suffix in MATROSKA
    if is_cover(stream):
        held = suffix in (".mp4", ".m4v") and codec_name(stream) in codecs and has_plain_tags(stream.container)
        return held or suffix == ".mkv"
    return codec_name(stream) in codecs


def has_plain_tags(container: av.container.InputContainer) -> bool:
    """Whether MP4 has a place for every tag of the file."""
    return {key.lower() for key in container.metadata} <= PLAIN_KEYS


def is_cover(stream: av.stream.Stream) -> bool:
    """Whether a track is a picture to show for the file, not a video."""
    return stream.type == "video" and bool(stream.disposition & COVER)


def _advice(container: av.container.InputContainer, target: Path) -> str:
    """What to name the output so that every track but data goes into it."""
    main = main_video(container)
    tracks = [s for s in container.streams if s is not main and s.type in ("video", "audio", "subtitle")]
    for other in (target.with_suffix(suffix) for suffix in TRIED):
        codecs = supported(other)
        if all(holds_track(stream, other, codecs) for stream in tracks):
            return f"name the output {other.name} and nothing is lost"
    return "no container holds all its tracks: take that one out first (ffmpeg -map)"


def supported(target: Path) -> set[str]:
    """Names of the codecs that a container of this suffix holds."""
    try:
        with av.open(os.devnull, "w", format=container_format(target)) as probe:
            return set(probe.supported_codecs)
    except (av.FFmpegError, ValueError):
        raise BadInputError(f"{target.name} has no suffix of a video file; .mp4, .mkv and .mov are some") from None


def container_format(target: Path) -> str:
    """FFmpeg's name of the container for a suffix."""
    names = {".mkv": "matroska", ".m4v": "mp4", ".ts": "mpegts", ".webm": "webm"}
    suffix = target.suffix.lower()
    return names.get(suffix, suffix.removeprefix("."))


def codec_name(stream: av.stream.Stream) -> str | None:
    context = getattr(stream, "codec_context", None)
    return context.name if context is not None and stream.type == "data" else _canonical(context)


def _canonical(context: av.CodecContext | None) -> str | None:
    """The codec's own name: a decoder may be called otherwise (libdav1d for av1, mp3float for mp3)."""
    if context is None:
        return None
    return context.codec.canonical_name if hasattr(context.codec, "canonical_name") else context.name


def main_video(container: av.container.InputContainer) -> av.VideoStream:
    """The first video track that is not a cover picture."""
    return next((s for s in container.streams.video if not is_cover(s)), container.streams.video[0])

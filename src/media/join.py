"""Segments and everything else of the source become one file: sound, subtitles, attachments, chapters, metadata.

Packets of the other tracks are copied as they are. Their times, and those of the frames, stay the source's.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from src.core.errors import BadInputError
from src.media.segments import VideoFormat, decoding_times, rate_of, read_packets
from src.media.writer import output_error

CONTAINER_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder", "creation_time"}
"""What the muxer writes itself; `creation_time` is copied all the same."""
STREAM_KEYS = {"encoder", "rotate", "duration", "number_of_frames", "number_of_bytes", "bps", "vendor_id"}
"""Of a video track: what is no longer true of the new one."""
COPIED = ("audio", "subtitle", "data", "attachment")


@dataclass(frozen=True)
class Span:
    """The part of the source that is kept, in seconds; the output begins at 0 where `start` is above 0."""

    start: float = 0.0
    end: float | None = None

    def holds(self, time: float) -> bool:
        """Whether a time is kept; from the beginning on, even times before 0 are, as coders' lead-ins have them."""
        return (self.start <= 0 or time >= self.start) and (self.end is None or time < self.end)


def check_tracks(source: Path, target: Path) -> list[str]:
    """Whether the target's container holds every track of the source.

    Returns sentences on what cannot be kept and matters little (data tracks). Raises BadInputError where the suffix is
    of no container, or where a sound or subtitle track would be lost.
    """
    lost = []
    codecs = _supported(target)
    with av.open(str(source)) as container:
        for stream in container.streams:
            if stream.type not in COPIED or _codec(stream) in codecs or stream.type == "attachment":
                continue
            if stream.type == "data":
                lost.append(f"data track {stream.index} does not go into {target.suffix}")
                continue
            raise BadInputError(
                f"{target.suffix} holds no {_codec(stream)} {stream.type} (track {stream.index} of {source.name}); "
                f"name the output {target.with_suffix('.mkv').name} and nothing is lost"
            )
        attached = any(stream.type == "attachment" for stream in container.streams)
        if attached and target.suffix.lower() not in (".mkv", ".webm"):
            lost.append(f"attachments (fonts, pictures) do not go into {target.suffix}; .mkv holds them")
    return lost


def _supported(target: Path) -> set[str]:
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


def _codec(stream: av.stream.Stream) -> str | None:
    context = getattr(stream, "codec_context", None)
    return context.name if context is not None and stream.type == "data" else _canonical(context)


def _canonical(context: av.CodecContext | None) -> str | None:
    """The codec's own name: a decoder may be called otherwise (libdav1d for av1, mp3float for mp3)."""
    if context is None:
        return None
    return context.codec.canonical_name if hasattr(context.codec, "canonical_name") else context.name


def join(
    source: Path,
    folder: Path,
    count: int,
    video: VideoFormat,
    target: Path,
    span: Span | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write `target` from the first `count` segments in `folder` and the other tracks of `source`.

    check: called between packets; may raise to stop. Raises OutputError when the disk is full or not writable.
    The target is whole or not there.
    """
    partial = target.with_name(f".{target.stem}.{os.getpid()}.partial{target.suffix}")
    try:
        with av.open(str(source)) as given:
            _write(given, folder, count, video, partial, span or Span(), check)
        partial.replace(target)
    except (OSError, av.FFmpegError) as error:
        raise output_error(target, error) from None
    finally:
        partial.unlink(missing_ok=True)


def _write(
    given: av.container.InputContainer,
    folder: Path,
    count: int,
    video: VideoFormat,
    path: Path,
    span: Span,
    check: Callable[[], None],
) -> None:
    options = {"movflags": "+faststart+use_metadata_tags"} if path.suffix.lower() in (".mp4", ".mov", ".m4v") else {}
    with av.open(str(path), "w", format=container_format(path), options=options) as out:
        out.metadata.update({k: v for k, v in given.metadata.items() if k not in CONTAINER_KEYS - {"creation_time"}})
        main, tracks = _add_tracks(given, out, video)
        _copy_chapters(given, out, span)
        frames = _frames(folder, count, video, main, span)
        for packet in _merged(frames, _others(given, tracks, span)):
            check()
            out.mux(packet)


def _add_tracks(
    given: av.container.InputContainer, out: av.container.OutputContainer, video: VideoFormat
) -> tuple[av.VideoStream, dict[int, av.stream.Stream]]:
    """The tracks of the output in the source's order: the new video, and by source index those that are copied."""
    first = main_video(given)
    main, tracks, codecs = None, {}, set(out.supported_codecs)
    for stream in given.streams:
        if stream is first:
            main = _add_video(out, first, video)
        elif stream.type == "attachment":
            with suppress(ValueError, av.FFmpegError):
                out.add_stream_from_template(stream)
        elif stream.type in COPIED and _codec(stream) in codecs:
            tracks[stream.index] = out.add_stream_from_template(stream)
            tracks[stream.index].metadata.update(stream.metadata)
            tracks[stream.index].disposition = stream.disposition
    return main, tracks


def main_video(container: av.container.InputContainer) -> av.VideoStream:
    """The first video track that is not a cover picture."""
    pictures = av.stream.Disposition.attached_pic
    return next((s for s in container.streams.video if not s.disposition & pictures), container.streams.video[0])


def _add_video(out: av.container.OutputContainer, source: av.VideoStream, video: VideoFormat) -> av.VideoStream:
    """The new video track. Its encoder is only opened, for its header; the frames come from the segments."""
    stream = out.add_stream(video.encoder.codec, rate=rate_of(video), options=dict(video.options))
    video.configure(stream.codec_context)
    stream.time_base = video.info.time_base
    stream.metadata.update({k: v for k, v in source.metadata.items() if k.lower().split("-")[0] not in STREAM_KEYS})
    stream.disposition = source.disposition
    if video.info.display_matrix:
        stream.set_display_matrix(video.info.display_matrix)
    return stream


def _copy_chapters(given: av.container.InputContainer, out: av.container.OutputContainer, span: Span) -> None:
    """Chapters, cut to the span."""
    kept = []
    for chapter in given.chapters():
        base = chapter["time_base"]
        begin, end = (float(chapter[key] * base) for key in ("start", "end"))
        last = end if span.end is None else min(end, span.end)
        if last > max(begin, span.start):
            start = round((max(begin, span.start) - span.start) / base)
            kept.append(chapter | {"start": start, "end": round((last - span.start) / base)})
    if kept:
        out.set_chapters(kept)


def _frames(folder: Path, count: int, video: VideoFormat, stream: av.VideoStream, span: Span) -> Iterator[av.Packet]:
    times = decoding_times(folder, count)
    base, shift = video.info.time_base, round(Fraction(span.start) / video.info.time_base)
    for stored, dts in zip(read_packets(folder, count), times, strict=True):
        packet = av.Packet(stored.data)
        packet.stream, packet.time_base = stream, base
        packet.pts, packet.dts, packet.duration = stored.pts - shift, dts - shift, stored.duration
        packet.is_keyframe = stored.key
        yield packet


def _others(given: av.container.InputContainer, tracks: dict[int, av.stream.Stream], span: Span) -> Iterator[av.Packet]:
    """The copied tracks' packets inside the span, in the file's order; a damaged rest is left out."""
    if not tracks:
        return
    with suppress(av.FFmpegError):
        for packet in given.demux([given.streams[index] for index in tracks]):
            if packet.pts is None or not packet.size or not span.holds(float(packet.pts * packet.time_base)):
                continue
            shift = round(Fraction(span.start) / packet.time_base)
            packet.pts -= shift
            packet.dts = packet.pts if packet.dts is None else packet.dts - shift
            packet.stream = tracks[packet.stream_index]
            yield packet


def _merged(first: Iterator[av.Packet], second: Iterator[av.Packet]) -> Iterator[av.Packet]:
    """Two streams of packets by decoding time, so that a player finds sound beside its picture."""
    waiting = next(second, None)
    for packet in first:
        while waiting is not None and _time(waiting) <= _time(packet):
            yield waiting
            waiting = next(second, None)
        yield packet
    if waiting is not None:
        yield waiting
        yield from second


def _time(packet: av.Packet) -> Fraction:
    return packet.dts * packet.time_base

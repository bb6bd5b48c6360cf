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

from src.media.reader import first_time
from src.media.segments import VideoFormat, decoding_times, rate_of, read_packets
from src.media.tracks import (
    COPIED,
    REPLACED_KEYS,
    container_format,
    has_plain_tags,
    holds_track,
    is_cover,
    main_video,
)
from src.media.writer import output_error

STREAM_KEYS = {"encoder", "rotate", "duration", "number_of_frames", "number_of_bytes", "bps", "vendor_id"}
"""Of a video track: what is no longer true of the new one."""

REORDERED = 16
"""Units of time by which a track's first picture is decoded early: as many pictures as H.264 reorders at most."""


@dataclass(frozen=True)
class Span:
    """The part of the source that is kept, in seconds from its begin.

    The output begins at 0 where `start` is above 0.
    """

    start: float = 0.0
    end: float | None = None

    def holds(self, time: float) -> bool:
        """Whether a time is kept; from the beginning on, even times before 0 are, as coders' lead-ins have them."""
        return (self.start <= 0 or time >= self.start) and (self.end is None or time < self.end)

    def counted_from(self, first: float) -> "Span":
        """The same part in the times of a file that begins at `first`, as transport streams begin at any time."""
        start = self.start + first if self.start > 0 else 0.0
        return Span(start, None if self.end is None else self.end + first)


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
            _write(given, folder, count, video, partial, (span or Span()).counted_from(first_time(given)), check)
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
    flags = "+faststart" if has_plain_tags(given) else "+faststart+use_metadata_tags"
    options = {"movflags": flags} if path.suffix.lower() in (".mp4", ".mov", ".m4v") else {}
    with av.open(str(path), "w", format=container_format(path), options=options) as out:
        out.metadata.update({k: v for k, v in given.metadata.items() if k.lower() not in REPLACED_KEYS})
        main, tracks = _add_tracks(given, out, video, path)
        _copy_chapters(given, out, span)
        frames = _frames(folder, count, video, main, span)
        for packet in _merged(frames, _others(given, tracks, span)):
            check()
            out.mux(packet)


def _add_tracks(
    given: av.container.InputContainer, out: av.container.OutputContainer, video: VideoFormat, path: Path
) -> tuple[av.VideoStream, dict[int, av.stream.Stream]]:
    """The tracks of the output in the source's order: the new video, and by source index those that are copied."""
    first = main_video(given)
    main, tracks, codecs = None, {}, set(out.supported_codecs)
    for stream in given.streams:
        if stream is first:
            main = _add_video(out, first, video)
        elif stream.type not in COPIED or not holds_track(stream, path, codecs):
            continue
        elif stream.type == "attachment":
            out.add_stream_from_template(stream)
        elif is_cover(stream) and path.suffix.lower() == ".mkv":
            _attach_cover(given.name, stream, out)
        else:
            tracks[stream.index] = out.add_stream_from_template(stream)
            tracks[stream.index].metadata.update(stream.metadata)
            tracks[stream.index].disposition = stream.disposition
    return main, tracks


def _attach_cover(source: str, cover: av.VideoStream, out: av.container.OutputContainer) -> None:
    """A cover picture as Matroska has it: a file attached."""
    with av.open(source) as container:
        packets = container.demux(container.streams[cover.index])
        data = next((bytes(packet) for packet in packets if packet.size), None)
    kind = "png" if cover.codec_context.name == "png" else "jpeg"
    if data is not None:
        named, mime = cover.metadata.get("filename", f"cover.{kind}"), cover.metadata.get("mimetype", f"image/{kind}")
        out.add_attachment(named, mime, data)


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
    dates: dict[int, int | None] = {}
    with suppress(av.FFmpegError):
        for packet in given.demux([given.streams[index] for index in tracks]):
            if not packet.size:  # the last of each track, and of no track
                continue
            track, number = tracks[packet.stream_index], packet.stream_index
            dates[number] = _date(packet, dates.get(number), track.type)
            if _show(packet) if is_cover(track) else _move(packet, span, track.type):
                packet.stream = track
                yield packet


def _show(cover: av.Packet) -> bool:
    """A cover picture has no time, whatever part is kept."""
    cover.pts = cover.dts = 0
    return True


def _move(packet: av.Packet, span: Span, kind: str) -> bool:
    """Bring a packet to its time in the output; False where it lies outside of the span.

    A subtitle that is on screen when the span begins is shown from there on, for what is left of it.
    """
    if packet.pts is None:
        return False
    begin = round(Fraction(span.start) / packet.time_base)
    if kind == "subtitle" and packet.pts < begin < packet.pts + packet.duration:
        packet.duration -= begin - packet.pts
        packet.pts = packet.dts = begin
    elif not span.holds(float(packet.pts * packet.time_base)):
        return False
    packet.pts, packet.dts = packet.pts - begin, packet.dts - begin
    return True


def _date(packet: av.Packet, before: int | None, kind: str) -> int | None:
    """Give a packet its decoding time where the file does not say it, and return that; before: of the one before it.

    Matroska leaves it out for the first pictures of a reordered track: they come a little before their time.
    """
    if packet.dts is None and packet.pts is not None:
        early = packet.pts - REORDERED if before is None else before + 1
        packet.dts = early if kind == "video" else packet.pts
    return packet.dts


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

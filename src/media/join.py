"""Segments and everything else of the source become one file: sound, subtitles, attachments,
chapters, metadata.

Packets of the other tracks are copied as they are. Their times, and those of the frames, stay the
source's.
"""

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import PacketSideData
from av.stream import Stream

from src.core.output_errors import output_error
from src.core.paths import beside
from src.media.copied import copied, merged_packets
from src.media.describe import rate_of
from src.media.opening import open_file, open_output
from src.media.priority import kept_priority
from src.media.segments import VideoFormat, decoding_times, read_packets
from src.media.span import Span
from src.media.streams import video_stream
from src.media.timecode import moved_timecode
from src.media.timeline import timeline_of
from src.media.tracks import (
    REPLACED_KEYS,
    container_format,
    has_plain_tags,
    holds_track,
    is_cover,
    timecode_of,
)

BLOCK_ADDITIONAL = 15
"""FFmpeg's AV_PKT_DATA_MATROSKA_BLOCKADDITIONAL."""

STREAM_KEYS = {
    "alpha_mode",
    "encoder",
    "rotate",
    "duration",
    "number_of_frames",
    "number_of_bytes",
    "bps",
    "vendor_id",
}
"""Of a video track: what is no longer true of the new one."""


def join(
    source: Path,
    folder: Path,
    count: int,
    video: VideoFormat,
    target: Path,
    span: Span,
    check: Callable[[], None] = lambda: None,
    publish: Callable[[Path], Any] | None = None,
) -> None:
    """Write `target` from the first `count` segments in `folder` and the other tracks of `source`.

    span: the part that was encoded, its origin that of the source.

    check: called between packets; may raise to stop. publish: puts the whole temporary file under
    its name, None by renaming it. Raises OutputError when the disk is full or not writable.
    The target is whole or not there.
    """
    partial = beside(target, f"{os.getpid()}.partial{target.suffix}")
    try:
        with open_file(source) as given:
            flags = "+faststart" if has_plain_tags(given) else "+faststart+use_metadata_tags"
            options = (
                {"movflags": flags} if target.suffix.lower() in (".mp4", ".mov", ".m4v") else {}
            )
            with open_output(partial, format=container_format(target), options=options) as out:
                for packet in _packets(source, given, out, folder, count, video, span):
                    check()
                    out.mux(packet)
        publish(partial) if publish else partial.replace(target)
    except (OSError, FFmpegError) as error:
        raise output_error(target, error, "--output") from None
    finally:
        partial.unlink(missing_ok=True)


def _packets(
    source: Path,
    given: InputContainer,
    out: OutputContainer,
    folder: Path,
    count: int,
    video: VideoFormat,
    span: Span,
) -> Iterator[av.Packet]:
    """Set up the output's header, then everything that goes into it, in the order of decoding."""
    out.metadata.update({k: v for k, v in given.metadata.items() if k.lower() not in REPLACED_KEYS})
    main, tracks = _add_tracks(source, given, out, video)
    _count_on(given, out, main, video, span)
    _copy_chapters(given, out, span)
    with kept_priority():
        out.start_encoding()
    yield from merged_packets(
        _frames(folder, count, video, main, span), copied(given, timeline_of(source), tracks, span)
    )


def _add_tracks(
    source: Path, given: InputContainer, out: OutputContainer, video: VideoFormat
) -> tuple[av.VideoStream, dict[int, Stream]]:
    """The tracks of the output in the source's order: the new video, and by source index those that
    are copied.
    """
    first, path = video_stream(given, source), Path(out.name)
    main, tracks, codecs = None, {}, set(out.supported_codecs)
    for stream in given.streams:
        if stream is first:
            main = _add_video(out, first, video)
        elif not holds_track(stream, path, codecs):
            continue
        elif stream.type == "attachment":
            out.add_stream_from_template(stream)
        elif is_cover(stream) and path.suffix.lower() == ".mkv":
            _attach_cover(source, cast(av.VideoStream, stream), out)
        else:
            tracks[stream.index] = out.add_stream_from_template(stream)
            tracks[stream.index].metadata.update(stream.metadata)
            tracks[stream.index].disposition = stream.disposition
    assert main is not None  # it is one of the streams
    return main, tracks


def _count_on(
    given: InputContainer,
    out: OutputContainer,
    main: av.VideoStream,
    video: VideoFormat,
    span: Span,
) -> None:
    """The timecode of the first frame that is kept, at the rate of the new video."""
    source = video_stream(given, Path(given.name))
    code = timecode_of(given, source)
    if code is None:
        return
    rate = rate_of(source)
    main.metadata["timecode"] = moved_timecode(
        code, rate, span.start, max(1, round(video.info.rate / rate))
    )
    if "timecode" in out.metadata:
        out.metadata["timecode"] = main.metadata["timecode"]


def _attach_cover(source: Path, cover: av.VideoStream, out: OutputContainer) -> None:
    """A cover picture as Matroska has it: a file attached."""
    with open_file(source) as container:
        packets = container.demux(container.streams[cover.index])
        data = next((bytes(packet) for packet in packets if packet.size), None)
    kind = "png" if cover.codec_context.name == "png" else "jpeg"
    if data is not None:
        named, mime = (
            cover.metadata.get("filename", f"cover.{kind}"),
            cover.metadata.get("mimetype", f"image/{kind}"),
        )
        out.add_attachment(named, mime, data)


def _add_video(out: OutputContainer, source: av.VideoStream, video: VideoFormat) -> av.VideoStream:
    """The new video track. Its encoder is only opened, for its header; the frames come from the
    segments.
    """
    rate = video.info.rate.limit_denominator(100_000)
    made = out.add_stream(video.encoder.codec, rate=rate, options=dict(video.options))
    stream = cast(av.VideoStream, made)
    video.configure(stream.codec_context)
    if stream.codec_context.codec.canonical_name == "hevc" and out.format.name in ("mp4", "mov"):
        stream.codec_context.codec_tag = "hvc1"  # what players of Apple ask for
    if video.keeps_alpha and video.encoder.name == "vp9":
        stream.metadata["alpha_mode"] = "1"
    stream.time_base = video.info.time_base
    stream.metadata.update(
        {k: v for k, v in source.metadata.items() if k.lower().split("-")[0] not in STREAM_KEYS}
    )
    stream.disposition = source.disposition
    if video.info.display_matrix:
        stream.set_display_matrix(video.info.display_matrix)
    return stream


def _copy_chapters(given: InputContainer, out: OutputContainer, span: Span) -> None:
    """Chapters, cut to the span."""
    kept = []
    for chapter in given.chapters():
        base = cast(Fraction, chapter["time_base"])  # FFmpeg gives every chapter one
        begin, end = (float(chapter[key] * base) for key in ("start", "end"))
        last = end if span.end is None else min(end, span.end + float(span.origin))
        if last > max(begin, float(span.begin)):
            start = round((max(begin, float(span.begin)) - float(span.begin)) / base)
            kept.append(chapter | {"start": start, "end": round((last - float(span.begin)) / base)})
    if kept:
        out.set_chapters(kept)


def _frames(
    folder: Path, count: int, video: VideoFormat, stream: av.VideoStream, span: Span
) -> Iterator[av.Packet]:
    times = decoding_times(folder, count)
    base, shift = video.info.time_base, round(span.begin / video.info.time_base)
    for stored, dts in zip(read_packets(folder, count), times, strict=True):
        packet = av.Packet(stored.data)
        packet.stream, packet.time_base = stream, base
        packet.pts, packet.dts, packet.duration = stored.pts - shift, dts - shift, stored.duration
        packet.is_keyframe = stored.key
        if stored.clear:
            data_of = cast(Any, PacketSideData)  # its types leave the arguments out
            clear = data_of(BLOCK_ADDITIONAL, len(stored.clear))
            clear.update(stored.clear)
            packet.set_sidedata(clear)
        yield packet

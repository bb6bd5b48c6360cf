"""Packets of the tracks that are copied as they are, at their times in the output."""

import math
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Stream

from src.media.span import Span
from src.media.timeline import Timeline
from src.media.tracks import is_cover

MOMENT = Fraction(1, 1000)
"""Seconds between packets of a track, at least, where its clock goes back: a tick of every
container."""
REORDERED = 16
"""Units of time by which a track's first picture is decoded early: as many pictures as H.264
reorders at most."""


def copied(
    given: InputContainer,
    line: Timeline,
    tracks: dict[int, Stream],
    span: Span,
) -> Iterator[av.Packet]:
    """The copied tracks' packets inside the span, in the file's order, up to a damage."""
    if not tracks:
        return
    dates: dict[int, int | None] = {}
    with suppress(FFmpegError):
        for packet in given.demux([given.streams[index] for index in tracks]):
            if not packet.size:  # the last of each track, and of no track
                continue
            track, number = tracks[packet.stream_index], packet.stream_index
            line.place(packet)
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

    A subtitle that is on screen when the span begins is shown from there on, for what is left of
    it.
    """
    if packet.pts is None or packet.dts is None:
        return False
    begin, lasts = round(span.begin / packet.time_base), packet.duration or 0
    if kind == "subtitle" and span.start > 0 and packet.pts < begin < packet.pts + lasts:
        packet.duration = lasts - (begin - packet.pts)
        packet.pts = packet.dts = begin
    elif not span.holds(float(packet.pts * packet.time_base)):
        return False
    packet.pts, packet.dts = packet.pts - begin, packet.dts - begin
    return True


def _date(packet: av.Packet, before: int | None, kind: str) -> int | None:
    """Give a packet its decoding time where the file does not say it, or says one that sound and
    pictures cannot have: not after the one before. Returns it; before: of the one before.

    Matroska leaves it out for the first pictures of a reordered track: they come a little before
    their time. Where recordings that overlap a little were joined, it goes back.
    """
    if packet.dts is None and packet.pts is not None:
        early = packet.pts - REORDERED if before is None else before + 1
        packet.dts = early if kind == "video" else packet.pts
        return packet.dts
    moves = kind in ("audio", "video")
    if not moves or packet.dts is None or before is None or packet.dts > before:
        return packet.dts
    packet.dts = before + max(1, math.ceil(MOMENT / packet.time_base))
    packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
    return packet.dts


def merged_packets(first: Iterator[av.Packet], second: Iterator[av.Packet]) -> Iterator[av.Packet]:
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
    assert packet.dts is not None  # copied packets are dated, and new ones too
    return packet.dts * packet.time_base

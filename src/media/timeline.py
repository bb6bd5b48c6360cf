"""The times of a file as one line that grows: recordings that were joined, or whose clock was set
anew, jump.

Transport and program streams carry a clock that may jump at any place. Whatever follows a jump is
moved so that it begins where the part before it ended; every track by the same time, so that sound
stays beside its picture.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.error import FFmpegError

from src.core.files import remembered
from src.media.opening import open_file

JUMPING = {"mpegts", "mpeg", "mpegtsraw", "flv", "vobsub"}
"""Formats whose clock may jump."""
BACK, AHEAD = Fraction(1, 10), Fraction(10)
"""Seconds by which decoding times may go back or ahead within one recording."""


class PacketSpan(NamedTuple):
    """A packet as far as its place in time goes: of which track, at which byte, when, and until
    when (seconds).
    """

    track: int
    pos: int
    dts: Fraction
    begin: Fraction
    end: Fraction


@dataclass
class Timeline:
    """What is added to the times of packets: moves[k] seconds from byte starts[k] on."""

    starts: list[int]
    moves: list[Fraction]

    def __post_init__(self) -> None:
        self._last: dict[int, int] = {}

    @property
    def jumps(self) -> int:
        return len(self.starts)

    def place(self, packet: av.Packet) -> av.Packet:
        """The packet at its time on the line; packets of a track come in the file's order."""
        if not self.starts or not packet.size:
            return packet
        track = packet.stream_index
        pos = self._last[track] = (
            self._last.get(track, 0) if packet.pos is None or packet.pos < 0 else packet.pos
        )
        part = bisect_right(self.starts, pos)
        if part and packet.time_base:
            ticks = round(self.moves[part - 1] / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        return packet


def timeline_of(path: Path) -> Timeline:
    """Read the packets' times where the format may jump; nothing is decoded, and a file is read
    once in each state.

    Raises as `open_file` does.
    """
    line = remembered(path, "timeline", lambda: _read(path))
    return Timeline(line.starts, line.moves)


def _read(path: Path) -> Timeline:
    with open_file(path) as container:
        if not set(container.format.name.split(",")) & JUMPING:
            return Timeline([], [])
        tracks = [s for s in container.streams if s.type in ("video", "audio")]
        return _line(list(_seen(container, tracks))) if tracks else Timeline([], [])


def _seen(container: InputContainer, tracks: list) -> Iterable[PacketSpan]:
    last: dict[int, int] = {}
    try:
        for packet in container.demux(tracks):
            if not packet.size or packet.dts is None:
                continue
            track, base = packet.stream_index, packet.time_base
            pos = last[track] = (
                last.get(track, 0) if packet.pos is None or packet.pos < 0 else packet.pos
            )
            begin = (packet.dts if packet.pts is None else packet.pts) * base
            yield PacketSpan(
                track, pos, packet.dts * base, begin, begin + (packet.duration or 0) * base
            )
    except FFmpegError:  # a damaged rest is told by who decodes it
        return


def _line(packets: list[PacketSpan]) -> Timeline:
    starts = _starts(packets)
    if not starts:
        return Timeline([], [])
    parts: list[list[PacketSpan]] = [[] for _ in range(len(starts) + 1)]
    for packet in packets:
        parts[bisect_right(starts, packet.pos)].append(packet)
    moves, end = [], None
    for part in parts:
        begin = min((packet.begin for packet in part), default=Fraction(0))
        move = Fraction(0) if end is None else end - begin
        moves.append(move)
        end = max((packet.end for packet in part), default=begin) + move
    return Timeline(starts, moves[1:])


def _starts(packets: list[PacketSpan]) -> list[int]:
    """The bytes where parts begin. The tracks jump one after the other at each joint; the first of
    them counts.
    """
    before: dict[int, Fraction] = {}
    jumps = []
    for packet in packets:
        step = packet.dts - before.get(packet.track, packet.dts)
        before[packet.track] = packet.dts
        if step < -BACK or step > AHEAD:
            jumps.append((packet.pos, packet.track))
    starts: list[int] = []
    there: set[int] = set()
    for pos, track in sorted(jumps):
        if not starts or track in there:
            starts.append(pos)
            there = set()
        there.add(track)
    return starts

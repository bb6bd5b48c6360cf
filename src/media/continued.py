"""A clip whose packets another file begins with, as they lie."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext

from src.media.opening import open_file
from src.media.streams import video_stream

START = b"\x00\x00\x00\x01"


def is_alike(clip: Path, stream: av.VideoStream, rate: Fraction) -> bool:
    """Whether the H.264 packets of `clip` decode with what `stream`, opened for encoding, puts into
    its header: the same size, rate and parameter sets.
    """
    with open_file(clip) as given:
        source, ours = video_stream(given, clip), stream.codec_context
        theirs = source.codec_context
        same = (theirs.name, theirs.width, theirs.height) == ("h264", ours.width, ours.height)
        sets = parameter_sets(bytes(theirs.extradata or b""))
        alike = same and source.average_rate == rate and sets == bytes(ours.extradata or b"")
        return alike and bool(_delay(next(given.demux(source)), rate)) == ours.has_b_frames


def _delay(packet: av.Packet, rate: Fraction) -> Fraction | None:
    """Frames by which the first packet is decoded before it is shown: none in a clip too short for
    frames out of order, whose packets would end after the next ones begin.
    """
    if packet.pts is None or packet.dts is None or packet.time_base is None:
        return None
    return (packet.pts - packet.dts) * packet.time_base * rate


def parameter_sets(record: bytes) -> bytes:
    """SPS and PPS of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1), each behind a
    start code as encoders give them; b"" for what is none.
    """
    if len(record) < 7 or record[0] != 1:
        return b""
    found, at = b"", 5
    for mask in (0x1F, 0xFF):
        count, at = record[at] & mask, at + 1
        for _ in range(count):
            length = int.from_bytes(record[at : at + 2], "big")
            found += START + record[at + 2 : at + 2 + length]
            at += 2 + length
    return found


def packets_for(stream: av.VideoStream, clip: Path) -> Iterator[av.Packet]:
    """The clip's packets, with their own times, as an encoder would give them."""
    with open_file(clip) as given:
        source = video_stream(given, clip)
        plain = BitStreamFilterContext("h264_mp4toannexb", source)
        for packet in given.demux(source):
            for each in plain.filter(packet) if packet.size else ():
                each.stream = stream
                yield each

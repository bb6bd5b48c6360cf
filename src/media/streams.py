"""The video stream of an open file, and its frames."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.stream import Stream

from src.core.errors import BadInputError
from src.media.opening import main_video
from src.media.timeline import Timeline

BESIDE = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that read transparency which lies beside the picture, by the codec's name."""


def decoded_frames(
    container: InputContainer, stream: av.VideoStream, line: Timeline
) -> Iterator[av.VideoFrame]:
    """The frames of a stream at their times on a line. A packet of nothing, for which the picture
    before it stays on screen (Theora, AVI), gives none.
    """
    clear = _with_alpha(stream)
    for packet in container.demux(stream):
        # the last one, which has no time, asks for what is still held
        if packet.size or packet.dts is None:
            placed = line.place(packet)
            yield from clear.decode(placed if packet.size else None) if clear else placed.decode()


def _with_alpha(stream: av.VideoStream) -> av.VideoCodecContext | None:
    """A decoder of its own for VP8 and VP9 whose transparency lies beside the picture: FFmpeg's own
    ones leave it out. None for others, and where FFmpeg was built without libvpx.
    """
    name = BESIDE.get(stream.codec_context.name)
    if stream.metadata.get("alpha_mode") != "1" or name not in av.codecs_available:
        return None
    return cast(av.VideoCodecContext, av.CodecContext.create(str(name), "r"))


def video_stream(container: InputContainer, path: Path) -> av.VideoStream:
    """The first video track that is not a cover picture.
    Raises BadInputError where there is none.
    """
    stream = main_video(container)
    if stream is None:
        kinds = ", ".join(sorted({_kind(stream) for stream in container.streams})) or "nothing"
        container.close()
        raise BadInputError(f"{path} has no video stream, only {kinds}")
    if stream.codec_context is None:
        container.close()
        raise BadInputError(f"{path} is coded in a way this build of FFmpeg cannot decode")
    return stream


def _kind(stream: Stream) -> str:
    return "a cover picture" if stream.type == "video" else str(stream.type)

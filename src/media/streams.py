"""The video stream of an open file, and its frames."""

from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Stream

from src.core.errors import BadInputError
from src.media.opening import main_video
from src.media.timeline import Timeline


def decoded(
    container: InputContainer, stream: av.VideoStream, line: Timeline
) -> Iterator[av.VideoFrame]:
    """The frames of a stream at their times on a line. A packet of nothing, for which the picture before it stays on
    screen (Theora, AVI), gives none."""
    for packet in container.demux(stream):
        if packet.size or packet.dts is None:  # the last one, which has no time, asks for what is still held
            yield from line.place(packet).decode()


def video_stream(container: InputContainer, path: Path) -> av.VideoStream:
    """The first video track that is not a cover picture. Raises BadInputError where there is none."""
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

"""Whether a file is a video that may be enlarged, and how much of it there is."""

from pathlib import Path
from typing import Any, NamedTuple

from src.core.errors import BadInputError

MAX_SECONDS = 600.0
MAX_SIDE = 4320
USUAL_FPS = 25.0
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,h264,hevc,flv,asf,ogg,mxf,gif,dv,ivf,yuv4mpegpipe,wav"
)
"""No playlists (concat, hls, dash): they open other files of this machine."""
READS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}


class VideoFacts(NamedTuple):
    """width, height: pixels as stored. frames: as the file says, else by its length and rate."""

    width: int
    height: int
    frames: int


def check_video(path: Path) -> VideoFacts:
    """Open it and decode its first frame. Raises BadInputError where it is no video, too long or
    too large.
    """
    import av
    from av.error import FFmpegError

    from src.core.output_errors import reason_in
    from src.media.opening import main_video, media_url

    try:
        with av.open(media_url(path), options=READS) as container:
            stream = main_video(container)
            if stream is None:
                raise BadInputError("video holds no picture; send a video file")
            facts = _facts(container, stream)
            if next(container.decode(stream), None) is None:
                raise BadInputError("video holds no frame that can be decoded")
            return facts
    except FFmpegError as error:
        raise BadInputError(f"video cannot be read: {reason_in(error)}") from None


def _facts(container: Any, stream: Any) -> VideoFacts:
    seconds = (container.duration or 0) / 1e6
    width, height = stream.width or 0, stream.height or 0
    if max(width, height) > MAX_SIDE:
        raise BadInputError(f"video is {width}x{height}; at most {MAX_SIDE} pixels a side")
    if seconds > MAX_SECONDS:
        raise BadInputError(f"video lasts {seconds:.0f} s; at most {MAX_SECONDS:.0f} s are taken")
    rate = float(stream.average_rate or USUAL_FPS)
    return VideoFacts(width, height, stream.frames or max(1, round(seconds * rate)))

"""Which files of a folder are videos: what FFmpeg takes for one, whatever it is called."""

from collections.abc import Iterable
from pathlib import Path

from av.error import FFmpegError

from src.core.errors import BadInputError
from src.media.opening import is_picture, open_file
from src.media.streams import video_stream

NAMED = {
    ".3g2", ".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".gif", ".m2t", ".m2ts", ".m2v", ".m4v",
    ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".ts", ".vob", ".webm",
    ".wmv", ".y4m",
}  # fmt: skip
"""Names that say "video": such a file that cannot be read is a failure, another one is merely left
out."""


def videos_among(files: Iterable[Path]) -> tuple[list[Path], dict[Path, str]]:
    """The videos in order of their names, and of each other file why it is none. Hidden files are
    in neither.
    """
    videos, others = [], {}
    for path in sorted(files):
        if path.name.startswith("."):
            continue
        reason = why_no_video(path)
        if reason is None:
            videos.append(path)
        else:
            others[path] = reason
    return videos, others


def why_no_video(path: Path) -> str | None:
    """Why a file is no video; None where it is one, or is named as one and whoever reads it says
    what is wrong.
    """
    if path.is_dir():
        return "a folder"
    if path.suffix.lower() in NAMED:
        return None
    try:
        with open_file(path) as container:
            if is_picture(container):
                return "a picture or a text"
            video_stream(container, path)
    except (BadInputError, FFmpegError) as error:
        return str(error).removeprefix(f"{path} ")
    return None


def none_here(folder: Path, others: dict[Path, str]) -> BadInputError:
    """The error for a folder without videos."""
    left = "; ".join(f"{path.name}: {reason}" for path, reason in list(others.items())[:3])
    return BadInputError(
        f"the folder {folder} holds no video that can be read{f' ({left})' if left else ''}"
    )

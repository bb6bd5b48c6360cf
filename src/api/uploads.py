"""Uploads: judged by their content, kept under their hash."""

import hashlib
import json
import secrets
import shutil
import threading
from pathlib import Path
from typing import Any

from fastapi import UploadFile

from src.artifacts.store import LocalStore
from src.core.errors import BadInputError, OutputError
from src.core.paths import home
from src.media.images import MAX_BYTES, check_photograph

CHUNK = 1 << 20
DECODING = threading.BoundedSemaphore(4)  # 100 megapixels take 400 MB while they are looked at


def keep_photograph(upload: UploadFile) -> Path:
    """Decode the photograph and keep it; returns its path. Raises BadInputError with what is wrong with it."""
    data = upload.file.read(MAX_BYTES + 1)
    if not data:
        raise BadInputError("image is empty; send a photograph")
    if len(data) > MAX_BYTES:
        raise BadInputError(f"image has more than {MAX_BYTES:,} bytes")
    with DECODING:
        digest, suffix = check_photograph(data, "image")
    return LocalStore(home()).keep_photograph(data, digest, suffix)


def keep_video(upload: UploadFile) -> Path:
    """Copy the video to `uploads/` under its hash, and look whether it is one."""
    folder = home() / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    while chunk := upload.file.read(CHUNK):
        digest.update(chunk)
    upload.file.seek(0)
    path = folder / f"{digest.hexdigest()}.video"
    if path.exists():
        path.touch()  # young again: housekeeping removes old ones that no job names
    else:
        _copy(upload, path)
    return path


def _copy(upload: UploadFile, path: Path) -> None:
    partial = path.with_suffix(f".{secrets.token_hex(4)}.partial")  # the same video may come twice at once
    try:
        with partial.open("wb") as target:
            shutil.copyfileobj(upload.file, target, CHUNK)
        check_video(partial)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"the upload cannot be stored: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


MAX_SECONDS = 600.0
MAX_SIDE = 4320
FORMATS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,h264,hevc,flv,asf,ogg,mxf,gif,dv,ivf,yuv4mpegpipe,wav"
"""No playlists (concat, hls, dash): they open other files of this machine."""
READS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}


def check_video(path: Path) -> None:
    """Open it and decode its first frame. Raises BadInputError where it is no video, too long or too large."""
    import av

    from src.media.opening import main_video, media_url, words

    try:
        with av.open(media_url(path), options=READS) as container:
            seconds = (container.duration or 0) / 1e6
            stream = main_video(container)
            if stream is None:
                raise BadInputError("video holds no picture; send a video file")
            if max(stream.width or 0, stream.height or 0) > MAX_SIDE:
                raise BadInputError(f"video is {stream.width}x{stream.height}; at most {MAX_SIDE} pixels a side")
            if seconds > MAX_SECONDS:
                raise BadInputError(f"video lasts {seconds:.0f} s; at most {MAX_SECONDS:.0f} s are taken")
            if next(container.decode(stream), None) is None:
                raise BadInputError("video holds no frame that can be decoded")
    except av.FFmpegError as error:
        raise BadInputError(f"video cannot be read: {words(error)}") from None


def parse_json(text: str, field: str) -> dict[str, Any]:
    """An object of a form's JSON field."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadInputError(f"{field} must be a JSON object")
    return value

"""What a video looks like, in 256 bits: ISCC's Video-Code (ISO 24138) of MPEG-7 signatures.

FFmpeg computes the signatures of the frames, iscc-core the code.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from loguru import logger

from src.core.errors import BadInputError
from src.trust.extra import PRINTS, is_missing, load_extra

BITS = 256
SAME, ASK = 32, 60
"""Bits of 256 that may differ: at most so many of the same picture; up to so many a person should
look.
"""
LONGEST_S, TIMEOUT_S = 120, 30
FRAME = re.compile(rb"<FrameSignature>([012 ]+)</FrameSignature>")


def fingerprint_of(path: Path) -> str:
    """64 hexadecimal digits, of the first two minutes. Raises BadInputError where the file has no
    picture that FFmpeg reads, or a package is missing.
    """
    frames = _signatures(path)
    if not frames:
        raise BadInputError(f"{path.name} shows no picture to take a fingerprint of")
    return bytes(load_extra("iscc_core").soft_hash_video_v0(frames, BITS)).hex()


def fingerprint_if_possible(path: Path) -> str | None:
    """The same; None where its packages are not installed, or where it fails, which is said: a clip
    is not lost for it.
    """
    if is_missing(*PRINTS):
        return None
    try:
        return fingerprint_of(path)
    except BadInputError as error:
        logger.warning(f"no fingerprint: {error}")
        return None


def distance(one: str, other: str) -> int:
    """Bits that differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def _signatures(path: Path) -> list[tuple[int, ...]]:
    """380 numbers from 0 to 2 for each frame."""
    with tempfile.TemporaryDirectory(prefix="newsreel-") as folder:
        told = Path(folder) / "signature.xml"
        command = [
            load_extra("imageio_ffmpeg").get_ffmpeg_exe(), "-nostdin", "-loglevel", "error",
            "-protocol_whitelist", "file", "-t", str(LONGEST_S), "-i", f"file:{path.absolute()}",
            "-map", "0:v:0", "-vf", f"signature=format=xml:filename={told.name}",
            "-f", "null", "-",
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, check=False, cwd=folder, capture_output=True, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            raise BadInputError(f"{path.name} takes too long to read") from None
        if done.returncode or not told.exists():
            why = done.stderr.decode(errors="replace").strip().splitlines()
            raise BadInputError(f"{path.name} cannot be read: {why[-1] if why else 'no picture'}")
        found = FRAME.findall(told.read_bytes().replace(b"\n", b""))
    return [tuple(int(digit) for digit in frame.split()) for frame in found]

"""The video encoders there are: what each is called, holds and is set by, and which work on this
machine.
"""

import os
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import cast

import av
import cv2
from av.error import FFmpegError

from src.core.errors import BadInputError
from src.media.frames import VideoInfo
from src.media.priority import kept_priority

# SVT-AV1 writes twenty lines on standard error otherwise; x265 has an option
os.environ.setdefault("SVT_LOG", "1")


AVX_512 = 13
"""OpenCV's number of the instruction set with which x264 gave other bytes for the same frames in
one run of ten, on a busy machine, with any number of threads; with its AVX2 code in none of 84.
"""


@dataclass(frozen=True)
class Encoder:
    """One way to encode.

    codec: FFmpeg's encoder. containers: suffixes that hold it, the usual one first. formats: pixel
    formats by chroma layout and depth. quality: the option that `crf` sets, None where there is
    none. crf, preset: defaults.
    presets: what `preset` may be. most: largest side in pixels. worst: largest crf. clear: pixel
    formats with transparency, by depth.
    """

    name: str
    codec: str
    containers: tuple[str, ...]
    formats: dict[tuple[str, int], str]
    quality: str | None = "crf"
    crf: float = 17.0
    preset: str | None = "medium"
    presets: tuple[str, ...] = ()
    most: int = 16384
    worst: int = 51
    clear: dict[int, str] = field(default_factory=dict)


_X26X = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
_FORMATS = {("420", 8): "yuv420p", ("422", 8): "yuv422p", ("444", 8): "yuv444p",
            ("420", 10): "yuv420p10le", ("422", 10): "yuv422p10le",
            ("444", 10): "yuv444p10le"}  # fmt: skip
_EIGHT = {key: layout for key, layout in _FORMATS.items() if key[1] == 8}
_ANY = (".mp4", ".mkv", ".mov", ".m4v")
ENCODERS = {
    encoder.name: encoder
    for encoder in (
        Encoder("x264", "libx264", _ANY, _FORMATS, crf=17.0, presets=_X26X),
        Encoder("x265", "libx265", _ANY, _FORMATS, crf=19.0, presets=_X26X),
        Encoder("av1", "libsvtav1", (".mkv", ".mp4", ".webm"),
                {("420", 8): "yuv420p", ("420", 10): "yuv420p10le"}, crf=25.0, preset="8",
                presets=tuple(str(n) for n in range(14)), worst=63),
        Encoder("vp9", "libvpx-vp9", (".webm", ".mkv"), _EIGHT, crf=24.0, preset="4",
                presets=tuple(str(n) for n in range(9)), worst=63, clear={8: "yuva420p"}),
        Encoder("prores", "prores_ks", (".mov", ".mkv"),
                {("422", 10): "yuv422p10le", ("444", 10): "yuv444p10le"}, quality=None, preset="hq",
                presets=("proxy", "lt", "standard", "hq", "4444", "4444xq"),
                clear={10: "yuva444p10le"}),
        Encoder("nvenc", "h264_nvenc", _ANY, {("420", 8): "yuv420p", ("444", 8): "yuv444p"},
                quality="cq", crf=19.0, preset="p5", presets=tuple(f"p{n}" for n in range(1, 8)),
                most=4096),
        Encoder("nvenc-hevc", "hevc_nvenc", _ANY, {("420", 8): "yuv420p", ("420", 10): "p010le"},
                quality="cq", crf=21.0, preset="p5", presets=tuple(f"p{n}" for n in range(1, 8)),
                most=8192),
    )
}  # fmt: skip


def find_encoder(name: str) -> Encoder:
    """The encoder called `name`. Raises BadInputError for an unknown one, or one that does not work
    here.
    """
    if name not in ENCODERS:
        raise BadInputError(f"--codec is {name!r}; it must be one of: {', '.join(ENCODERS)}, png")
    encoder = ENCODERS[name]
    if not works(encoder.codec):
        there = [other.name for other in ENCODERS.values() if works(other.codec)]
        raise BadInputError(
            f"there is no encoder {encoder.codec} on this machine; --codec can be "
            f"{', '.join(there)}"
        )
    return encoder


@lru_cache(maxsize=16)
def works(codec: str) -> bool:
    """Whether this codec encodes a frame here: NVENC is in every build and works only beside its
    hardware.
    """
    try:
        context = cast(av.VideoCodecContext, av.CodecContext.create(codec, "w"))
        context.width, context.height = 256, 256
        context.pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
        context.options = {"x265-params": "log-level=error"} if codec == "libx265" else {}
        with kept_priority():
            context.open()
    except (FFmpegError, ValueError):
        return False
    return True


def pixel_format(encoder: Encoder, info: VideoInfo, preset: str | None = None) -> str:
    """The format nearest to the source's: same depth (8 or 10), same chroma layout where the
    encoder has it.

    With transparency where the source may have some and the encoder keeps it. preset: of the
    encoder, as asked; ProRes has 4:4:4 and transparency under its 4444 presets alone.
    """
    depth = 10 if info.bit_depth > 8 else 8
    flat = encoder.name == "prores" and preset is not None and not preset.startswith("4444")
    if info.alpha and encoder.clear and not flat:
        return encoder.clear.get(depth, next(iter(encoder.clear.values())))
    wanted = ("422" if flat else info.chroma, depth)
    same_depth = [key for key in encoder.formats if key[1] == depth]
    deep_enough = sorted(encoder.formats, key=lambda key: key[0] != wanted[0])
    for key in (wanted, *same_depth, *deep_enough):
        if key in encoder.formats and (key[1] >= depth or not same_depth):
            return encoder.formats[key]
    raise AssertionError("an encoder without formats")


def usual_preset(encoder: Encoder, layout: str) -> str | None:
    """What `--encoder-preset` is when it is not given: of ProRes the one that holds the pixel
    format.
    """
    return "4444" if encoder.name == "prores" and "444" in layout else encoder.preset


_PRESETS = {"prores": "profile", "vp9": "cpu-used"}
"""What the speed is called, where it is not "preset"."""


def encoder_options(encoder: Encoder, crf: float | None, preset: str | None) -> dict[str, str]:
    """FFmpeg's options for a quality and a speed. Raises BadInputError for values the encoder has
    not.
    """
    options = {}
    if crf is not None and encoder.quality is None:
        raise BadInputError(
            f"--crf does not apply to {encoder.name}, whose quality --encoder-preset sets"
        )
    if crf is not None and not 0 <= crf <= encoder.worst:
        raise BadInputError(
            f"--crf is {crf:g}; for {encoder.name} it must be from 0 (best) to {encoder.worst}"
        )
    if encoder.quality:
        options[encoder.quality] = f"{encoder.crf if crf is None else crf:g}"
    chosen = preset or encoder.preset
    if chosen not in encoder.presets:
        raise BadInputError(
            f"--encoder-preset is {chosen!r}; {encoder.name} has: {', '.join(encoder.presets)}"
        )
    options[_PRESETS.get(encoder.name, "preset")] = chosen
    if encoder.name == "vp9":  # transparency needs pictures that are all shown
        options |= {"b": "0", "deadline": "good", "row-mt": "1", "auto-alt-ref": "0"}
    if encoder.name == "x265":
        options["x265-params"] = "log-level=error"
    if encoder.name == "x264" and cv2.checkHardwareSupport(AVX_512):
        options["x264-params"] = "asm=avx2"
    return options

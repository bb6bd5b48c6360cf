"""What an encoder is told of HDR: the display it was graded on, its brightest light, where chroma
lies.
"""

from src.media.describe import LOCATIONS
from src.media.frames import VideoInfo

USUAL = "left"
"""Where players take chroma of 4:2:0 to lie when nothing is said."""
CARRIES = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}
"""Encoders that write these metadata, and the option that tells them."""


def side_options(codec: str, info: VideoInfo, layout: str) -> dict[str, str]:
    """FFmpeg's options for the metadata that this encoder can carry."""
    if codec not in CARRIES:
        return {}
    parts = [*_mastering(codec, info), *_light(codec, info), *_location(codec, info, layout)]
    return {CARRIES[codec]: ":".join(parts)} if parts else {}


def not_carried(codec: str, info: VideoInfo, layout: str) -> list[str]:
    """Sentences on metadata of the source that the output lacks."""
    told = []
    if info.dolby_vision:
        told.append(
            "Dolby Vision metadata are not kept, for they hold for the source's pixels; "
            "the base layer stays"
        )
    hdr = [
        name
        for name, there in (("mastering display", info.mastering), ("light level", info.light))
        if there
    ]
    if hdr and (codec not in CARRIES or (info.mastering and not _mastering(codec, info))):
        told.append(
            f"HDR10 metadata ({', '.join(hdr)}) are not kept by {codec}; "
            "x265, x264 and av1 keep them"
        )
    unusual = info.chroma_location not in (None, USUAL)
    if unusual and codec not in CARRIES and "420" in layout:
        told.append(
            f"the chroma location ({info.chroma_location}) is not kept by {codec}; "
            "x265, x264 and av1 keep it"
        )
    return told


def _mastering(codec: str, info: VideoInfo) -> list[str]:
    """ "master-display=G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)", from R, G, B, white, least, most as
    rationals.
    """
    if not info.mastering or not all(info.mastering[20:22]) or not all(info.mastering[1:20:2]):
        return []
    values = [info.mastering[n] / info.mastering[n + 1] for n in range(0, 20, 2)]
    if codec == "libsvtav1":
        x, light = (lambda value: f"{value:.6f}"), (lambda value: f"{value:.4f}")
    else:
        x, light = (
            (lambda value: f"{round(value * 50_000)}"),
            (lambda value: f"{round(value * 10_000)}"),
        )
    red, green, blue, white = (f"({x(values[n])},{x(values[n + 1])})" for n in (0, 2, 4, 6))
    key = "master-display" if codec == "libx265" else "mastering-display"
    return [f"{key}=G{green}B{blue}R{red}WP{white}L({light(values[9])},{light(values[8])})"]


def _light(codec: str, info: VideoInfo) -> list[str]:
    key = {"libx264": "cll", "libx265": "max-cll", "libsvtav1": "content-light"}[codec]
    return [f"{key}={info.light[0]},{info.light[1]}"] if info.light else []


def _location(codec: str, info: VideoInfo, layout: str) -> list[str]:
    if info.chroma_location in (None, USUAL) or "420" not in layout:
        return []
    if codec == "libsvtav1":
        return ["chroma-sample-position=topleft"] if info.chroma_location == "topleft" else []
    return [f"chromaloc={LOCATIONS.index(info.chroma_location)}"]

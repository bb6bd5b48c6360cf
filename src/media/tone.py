"""HDR and wide-gamut frames as BT.709: what an ordinary screen shows.

HLG and PQ (ITU-R BT.2100) become light in nits, diffuse white at 203 nits (BT.2408) becomes 1,
highlights beyond are rolled off above KNEE, BT.2020 or P3 colorants become BT.709's, and a display
gamma of 2.4 (BT.1886) ends it.
"""

from functools import lru_cache

import cv2
import numpy as np

from src.media.frames import VideoInfo

HDR = ("arib-std-b67", "smpte2084")
WHITE = 203.0
"""Nits of diffuse white in HDR, the white of SDR."""
PEAK = 1000.0
"""Nits of the brightest highlight that is told from a brighter one."""
KNEE = 0.85
"""Of diffuse white: light below it stays as it is."""
GAMMA = 2.4
LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
TO_709 = {
    "bt2020": ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349),
               (-0.018151, -0.100579, 1.118730)),
    "smpte432": ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0),
                 (-0.019638, -0.078636, 1.098274)),
}  # fmt: skip
"""Linear RGB of these primaries (D65) to linear BT.709."""


def is_hdr(info: VideoInfo) -> bool:
    return info.transfer in HDR


def needs_mapping(info: VideoInfo) -> bool:
    """Whether frames are not BT.709 (or near it) as they are stored."""
    return is_hdr(info) or info.primaries in TO_709


def to_bt709(array: np.ndarray, info: VideoInfo) -> np.ndarray:
    """(H, W, 3) RGB, uint8 or uint16, in the video's own colours -> (H, W, 3) uint8 in BT.709."""
    light = _light(info.transfer, array.dtype.name)[array]
    # the display's system gamma, 1.2 at 1000 nits, acts on luminance
    if info.transfer == "arib-std-b67":
        light *= np.maximum(light @ LUMINANCE, 1e-6)[..., None] ** 0.2 * (PEAK / WHITE)
    if info.primaries in TO_709:
        light = cv2.transform(light, np.array(TO_709[info.primaries], np.float32))
    shown = np.clip(_rolled_off(light) if is_hdr(info) else light, 0, 1)
    return np.rint(255 * shown ** (1 / GAMMA)).astype(np.uint8)


@lru_cache(maxsize=8)
def _light(transfer: str | None, kind: str) -> np.ndarray:
    """Linear light of every code: of HLG the scene's, 0 to 1; of PQ and SDR 1 is diffuse white."""
    codes = np.linspace(0, 1, 256 if kind == "uint8" else 65536)
    if transfer == "arib-std-b67":
        a = 0.17883277
        b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
        light = np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12)
    elif transfer == "smpte2084":
        power = codes ** (1 / 78.84375)
        light = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (
            1 / 0.1593017578125
        )
        light *= 10_000 / WHITE
    else:
        light = codes**GAMMA
    return light.astype(np.float32)


def _rolled_off(light: np.ndarray) -> np.ndarray:
    """The largest channel goes from KNEE on along a curve that reaches 1 at PEAK; the others keep
    their ratio to it.
    """
    most = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
    span, end = 1 - KNEE, PEAK / WHITE - KNEE
    above = np.clip(most - KNEE, 0, end)
    bend = 1 / span - 1 / end  # the curve leaves the knee with slope 1 and reaches span at end
    rolled = np.where(most > KNEE, KNEE + above / (1 + above * bend), most)
    return light * (np.minimum(rolled, 1) / most)

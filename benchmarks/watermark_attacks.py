"""What happens to a clip before somebody asks what it is: coding, scaling, cutting, overlays."""

import io
from collections.abc import Callable
from fractions import Fraction

import av
import cv2
import numpy as np

from src.media.priority import kept_priority

Attack = Callable[[np.ndarray], np.ndarray]


def coded(codec: str, crf: int, **options: str) -> Attack:
    """Through an encoder and back."""

    def through(frames: np.ndarray) -> np.ndarray:
        return decoded(encoded(frames, codec, crf, **options))

    return through


def encoded(frames: np.ndarray, codec: str, crf: int, fps: float = 8.0, **options: str) -> bytes:
    """As Matroska."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        told = {"crf": str(crf), **options}
        stream = container.add_stream(codec, rate=Fraction(fps), options=told)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        with kept_priority():
            container.start_encoding()
        for frame in frames:
            made = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(made.reformat(format="yuv420p", dst_colorspace=1)))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def decoded(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as container:
        return np.stack([
            each.reformat(format="rgb24", src_colorspace=1).to_ndarray()
            for each in container.decode(video=0)
        ])  # fmt: skip


def scaled(factor: float) -> Attack:
    """To an even size."""

    def through(frames: np.ndarray) -> np.ndarray:
        size = tuple(2 * round(side * factor / 2) for side in frames.shape[2:0:-1])
        kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        return np.stack([cv2.resize(frame, size, interpolation=kind) for frame in frames])

    return through


def each(change: Callable[[np.ndarray], np.ndarray]) -> Attack:
    return lambda frames: np.stack([change(frame) for frame in frames])


def cropped(share: float, at: tuple[float, float] = (0.3, 0.6)) -> Attack:
    """`share` of width and of height is gone; the rest is scaled up to the whole size."""

    def change(frame: np.ndarray) -> np.ndarray:
        height, width = frame.shape[:2]
        top, left = round(height * share * at[1]), round(width * share * at[0])
        kept = frame[
            top : top + round(height * (1 - share)), left : left + round(width * (1 - share))
        ]
        return cv2.resize(kept, (width, height), interpolation=cv2.INTER_CUBIC)

    return each(change)


def turned(degrees: float) -> Attack:
    def change(frame: np.ndarray) -> np.ndarray:
        height, width = frame.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.05)
        return cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_CUBIC)

    return each(change)


def levels(gain: float, offset: float, gamma: float = 1.0) -> Attack:
    ramp = 255 * np.clip((np.arange(256) / 255) ** gamma * gain + offset / 255, 0, 1)
    table = np.rint(ramp).astype(np.uint8)
    return each(lambda frame: cv2.LUT(frame, table))


def screen(frames: np.ndarray) -> np.ndarray:
    """As a screen that is filmed: resampled off the grid, blurred, lighter in the middle, noise."""
    random, (height, width) = np.random.default_rng(1), frames.shape[1:3]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = (1.05 - 0.15 * (x**2 + y**2))[..., None]

    def change(frame: np.ndarray) -> np.ndarray:
        small = cv2.resize(frame, (round(width * 0.83), round(height * 0.83)))
        soft = cv2.GaussianBlur(cv2.resize(small, (width, height)), (0, 0), 1.0)
        seen = 255 * (soft / 255.0) ** 1.15 * light + random.normal(0, 4, frame.shape)
        return np.clip(np.rint(seen), 0, 255).astype(np.uint8)

    return coded("libx264", 28)(each(change)(frames))


def gif(frames: np.ndarray) -> np.ndarray:
    """256 colours, at half the size, as sites show it."""
    from PIL import Image

    small = scaled(0.5)(frames)
    pictures = [Image.fromarray(frame).quantize(256) for frame in small]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=125)
    return decoded_gif(buffer)


def decoded_gif(buffer: io.BytesIO) -> np.ndarray:
    from PIL import Image, ImageSequence

    buffer.seek(0)
    with Image.open(buffer) as picture:
        return np.stack([
            np.asarray(each.convert("RGB")) for each in ImageSequence.Iterator(picture)
        ])  # fmt: skip


def branded(frames: np.ndarray) -> np.ndarray:
    """A logo in a corner and a banner over the lowest fifth."""

    def change(frame: np.ndarray) -> np.ndarray:
        made, (height, width) = frame.copy(), frame.shape[:2]
        made[round(height * 0.8) :] = (20, 30, 90)
        place = (round(width * 0.05), round(height * 0.92))
        cv2.putText(made, "BREAKING: MAYOR SPEAKS", place, 0, 1.1, (255, 255, 255), 3)
        side = round(width * 0.12)
        made[10 : 10 + side, width - side - 10 : width - 10] = (200, 20, 20)
        cv2.putText(made, "N", (width - side, side), 0, 2.0, (255, 255, 255), 5)
        return made

    return coded("libx264", 23)(each(change)(frames))


def letterboxed(frames: np.ndarray) -> np.ndarray:
    """Into 16:9 with black bars at the sides, and into 9:16 after that, as telephones show it."""
    count, height, width = frames.shape[:3]
    wide = 2 * round(height * 16 / 9 / 2)
    left = (wide - width) // 2
    made = np.zeros((count, height, wide, 3), np.uint8)
    made[:, :, left : left + width] = frames
    return coded("libx264", 28)(made)


def pillared(frames: np.ndarray) -> np.ndarray:
    """Into 9:16, bars above and below."""
    small = scaled(0.75)(frames)
    count, height, width = small.shape[:3]
    tall = 2 * round(width * 16 / 9 / 2)
    top = (tall - height) // 2
    made = np.zeros((count, tall, width, 3), np.uint8)
    made[:, top : top + height] = small
    return coded("libx264", 28)(made)


def one_frame(frames: np.ndarray) -> np.ndarray:
    """A picture of it, as JPEG at quality 80."""
    code = cv2.imencode(".jpg", frames[len(frames) // 2][..., ::-1], [1, 80])[1]
    return cv2.imdecode(code, 1)[None, ..., ::-1]


NONE, REPORTED = "all", "reported"
ATTACKS: dict[str, tuple[str, Attack]] = {
    "x264 crf 16": (NONE, coded("libx264", 16)),
    "x264 crf 28": (NONE, coded("libx264", 28)),
    "x264 crf 35": (NONE, coded("libx264", 35)),
    "x265 crf 35": (NONE, coded("libx265", 35, **{"x265-params": "log-level=none"})),
    "AV1 crf 35": (NONE, coded("libsvtav1", 35, preset="8")),
    "0.5x": (NONE, lambda frames: coded("libx264", 23)(scaled(0.5)(frames))),
    "0.75x": (NONE, lambda frames: coded("libx264", 23)(scaled(0.75)(frames))),
    "1.5x": (NONE, lambda frames: coded("libx264", 23)(scaled(1.5)(frames))),
    "8 -> 25 fps": (NONE, lambda frames: coded("libx264", 23)(frames[np.arange(153) * 8 // 25])),
    "half the frames": (NONE, lambda frames: coded("libx264", 23)(frames[::2])),
    "2 s cut": (NONE, lambda frames: coded("libx264", 23)(frames[19:35])),
    "GIF": (NONE, gif),
    "contrast": (NONE, lambda frames: coded("libx264", 23)(levels(0.75, 20, 1.1)(frames))),
    "screen-like": (NONE, screen),
    "letterbox 16:9": (NONE, letterboxed),
    "letterbox 9:16": (NONE, pillared),
    "mirror": (NONE, lambda frames: coded("libx264", 23)(frames[:, :, ::-1])),
    "crop 10 %": ("90 %", lambda frames: coded("libx264", 23)(cropped(0.1)(frames))),
    "logo and banner": (REPORTED, branded),
    "AV1 crf 50": (REPORTED, coded("libsvtav1", 50, preset="8")),
    "a third of the size": (REPORTED, lambda frames: coded("libx264", 23)(scaled(1 / 3)(frames))),
    "one frame as JPEG": (REPORTED, one_frame),
    "turned 1 degree": (REPORTED, lambda frames: coded("libx264", 23)(turned(1)(frames))),
}

"""The clips that the watermark is measured on: five that it was tuned on, ten that it was not."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from src.core.paths import REPOSITORY
from src.media.images import read_photograph
from src.media.reader import VideoReader
from src.scenes.sampler import SceneSampler

FRAMES, WIDTH, HEIGHT, FPS = 49, 720, 480, 8.0
Make = Callable[[], np.ndarray]


def read(path: Path) -> np.ndarray:
    """(F, H, W, 3) uint8: up to 49 frames."""
    with VideoReader(path) as reader:
        return np.stack([frame.array for frame, _ in zip(reader, range(FRAMES), strict=False)])


def moved(picture: np.ndarray, zoom: float, pan: float, grain: float = 0.0) -> np.ndarray:
    """A camera over a still: zoom, pan: how much over the clip, as shares of the picture."""
    height, width = picture.shape[:2]
    scale = max(WIDTH / width, HEIGHT / height) * (1.0 + abs(pan) + max(0.0, -zoom))
    random, frames = np.random.default_rng(len(picture.tobytes())), []
    for step in np.linspace(0, 1, FRAMES):
        now = scale * (1 + zoom * step)
        shift = pan * (step - 0.5) * WIDTH
        matrix = np.array([[now, 0, WIDTH / 2 - now * width / 2 + shift],
                           [0, now, HEIGHT / 2 - now * height / 2]])  # fmt: skip
        seen = cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC,
                              borderMode=cv2.BORDER_REFLECT)  # fmt: skip
        noise = random.normal(0, grain, seen.shape) if grain else 0.0
        frames.append(np.clip(np.rint(seen + noise), 0, 255).astype(np.uint8))
    return np.stack(frames)


def scene(seed: int) -> np.ndarray:
    """A rendered scene with a camera move."""
    return SceneSampler(WIDTH, HEIGHT, seed, canvases=1).clip(0, FRAMES).scene.frames()


def _sample(number: int) -> np.ndarray:
    path = REPOSITORY / "data" / "samples" / f"sample_image_{number}.png"
    return np.asarray(read_photograph(path).pixels)


def tuned(media: Path) -> dict[str, Make]:
    """Two that move, an old film, a generated one, a still."""
    made = REPOSITORY / "outputs" / "examples" / "baseline_cityhall.mp4"
    return {
        "hiker": lambda: read(media / "hiker.mp4"),
        "train": lambda: read(media / "train_running.mp4"),
        "horse": lambda: read(media / "horse.mp4"),
        "cityhall": lambda: read(made),
        "beach": lambda: moved(np.asarray(read_photograph(media / "beach.png").pixels), 0, 0),
    }


def unseen(media: Path) -> dict[str, Make]:
    """Ten that no constant was chosen by."""
    still = skimage.data
    return {
        "camping": lambda: moved(np.asarray(read_photograph(media / "camping.png").pixels), 0.15,
                                 0),
        "street": lambda: moved(np.asarray(read_photograph(media / "street.png").pixels), 0, 0.2),
        "sample1": lambda: moved(_sample(1), 0, 0, 2.0),
        "sample2": lambda: moved(_sample(2), -0.15, 0.1),
        "astronaut": lambda: moved(still.astronaut(), 0.2, 0),
        "coffee": lambda: moved(still.coffee(), 0, -0.15, 3.0),
        "chelsea": lambda: moved(still.chelsea(), 0, 0),
        "rocket": lambda: moved(still.rocket(), 0.1, 0.05),
        "scene1": lambda: scene(1),
        "scene2": lambda: scene(2),
    }  # fmt: skip

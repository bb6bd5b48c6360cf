"""Clips of known quality for the temporal score: a picture, a camera path, and one defect or none.

Lengths are pixels of a 720x480 frame; a clip rendered at another size shows the same motion. Each
clip draws its direction, phase and base motion from its seed, so two clips of a kind differ.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

WIDTH, HEIGHT, FRAMES = 720, 480, 49


@dataclass
class Shot:
    """What a clip is made from. path: (F, 4) camera x, y (pixels), zoom, roll (degrees) at each
    frame.
    """

    pictures: list[np.ndarray]
    rng: np.random.Generator
    size: tuple[int, int] = (WIDTH, HEIGHT)
    frames: int = FRAMES
    pace: float = 1.0
    path: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.path = np.tile([0.0, 0.0, 1.0, 0.0], (self.frames, 1))
        angle = self.rng.uniform(0, 2 * np.pi)
        self.heading = np.array([np.cos(angle), 0.6 * np.sin(angle)])
        self.heading /= np.linalg.norm(self.heading)

    @property
    def time(self) -> np.ndarray:
        """(F,) in frames of the 8 fps clip; `pace` is that a frame, 1/3 for the same motion at 24
        fps.
        """
        return np.arange(self.frames) * self.pace

    def pan(self, distance: np.ndarray | float) -> "Shot":
        """Move the camera along the shot's heading by `distance` (F,) or pixels a frame."""
        along = distance if isinstance(distance, np.ndarray) else distance * self.time
        self.path[:, :2] += np.asarray(along)[:, None] * self.heading
        return self

    def drift(self) -> "Shot":
        """The base motion under a defect: a pan of 1 to 5 pixels a frame."""
        return self.pan(float(self.rng.uniform(1, 5)))


def prepared(picture: np.ndarray) -> np.ndarray:
    """Any RGB or grey picture, scaled to cover 1.45 times the 720x480 frame."""
    rgb = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    scale = max(1.45 * WIDTH / rgb.shape[1], 1.45 * HEIGHT / rgb.shape[0])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(rgb[..., :3], None, fx=scale, fy=scale, interpolation=way)


def view(picture: np.ndarray, camera: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What the camera (x, y, zoom, roll) sees of a prepared picture, (H, W, 3) uint8; the picture
    is mirrored.
    """
    x, y, zoom, roll = camera
    scale = size[0] / WIDTH
    height, width = picture.shape[:2]
    cos, sin = np.cos(np.radians(roll)) / zoom / scale, np.sin(np.radians(roll)) / zoom / scale
    matrix = np.array([[cos, -sin, width / 2 + x], [sin, cos, height / 2 + y]])
    matrix[:, 2] -= matrix[:, :2] @ [(size[0] - 1) / 2, (size[1] - 1) / 2]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def plain(shot: Shot) -> Iterator[np.ndarray]:
    """The camera path and nothing else."""
    for camera in shot.path:
        yield view(shot.pictures[0], camera, shot.size)


def dead_leaves(seed: int, size: tuple[int, int] = (1100, 740)) -> np.ndarray:
    """Overlapping discs with power-law radii and a little texture: the statistics of photographs,
    no photograph.
    """
    rng = np.random.default_rng(seed)
    out = np.full((size[1], size[0], 3), 128, np.uint8)
    for _ in range(6000):
        radius = int(min(4 / rng.uniform(0.0005, 1) ** 0.6, 160))
        centre = (int(rng.integers(0, size[0])), int(rng.integers(0, size[1])))
        colour = rng.normal(rng.uniform(40, 215), 25, 3).clip(0, 255)
        cv2.circle(out, centre, radius, colour.tolist(), -1, cv2.LINE_AA)
    texture = cv2.GaussianBlur(rng.normal(0, 14, out.shape[:2]), (0, 0), 1.2)[..., None]
    return (cv2.GaussianBlur(out, (0, 0), 0.8) + texture).clip(0, 255).astype(np.uint8)


# Good clips
# ------------------------------------------------------------------------------------------


def _ease(shot: Shot) -> Shot:
    t = shot.time / shot.time[-1]
    return shot.pan(float(shot.rng.uniform(180, 300)) * t**2 * (3 - 2 * t))


def _swing(shot: Shot) -> Shot:
    return shot.pan(60 * np.sin(2 * np.pi * shot.time / shot.rng.uniform(20, 28)))


def _zoom(rate: float) -> Callable[[Shot], Shot]:
    def move(shot: Shot) -> Shot:
        shot.path[:, 2] = np.exp(np.log(rate) * shot.time * shot.rng.choice([-0.4, 1]))
        return shot

    return move


def _roll(shot: Shot) -> Shot:
    shot.path[:, 3] = shot.rng.choice([-0.5, 0.5]) * shot.time
    return shot


def _handheld(amplitude: float, smooth: float) -> Callable[[Shot], Shot]:
    """Random sway: white noise smoothed over `smooth` frames, `amplitude` pixels rms, on a slow
    drift.
    """

    def move(shot: Shot) -> Shot:
        sway = gaussian_filter1d(shot.rng.normal(size=(len(shot.path) + 60, 2)), smooth, axis=0)[
            30:-30
        ]
        shot.pan(1.0).path[:, :2] += sway / sway.std() * amplitude
        return shot

    return move


def _object(speed: float) -> Callable[[Shot], Iterator[np.ndarray]]:
    """An oval piece of another picture crosses a still frame."""

    def render(shot: Shot) -> Iterator[np.ndarray]:
        start = -shot.heading * speed * shot.time[-1] / 2
        for t in shot.time:
            yield _pasted(
                shot,
                start + shot.heading * speed * t,
                view(shot.pictures[0], shot.path[0], shot.size),
            )

    return render


def _pasted(shot: Shot, place: np.ndarray, frame: np.ndarray, radius: float = 85) -> np.ndarray:
    """frame with an oval of the second picture centred at `place` from the middle."""
    inside = view(shot.pictures[1], np.array([-place[0], -place[1], 1, 0]), shot.size)
    scale = shot.size[0] / WIDTH
    y, x = np.mgrid[0 : shot.size[1], 0 : shot.size[0]] / scale
    x, y = x - WIDTH / 2 - place[0], y - HEIGHT / 2 - place[1]
    alpha = (radius - np.hypot(x, y * 1.2)).clip(-1, 1)[..., None] / 2 + 0.5
    return (inside * alpha + frame * (1 - alpha)).astype(np.uint8)


def _parallax(shot: Shot) -> Iterator[np.ndarray]:
    """A near object passes a far background, both moving."""
    shot.drift()
    for t, frame in zip(shot.time, plain(shot), strict=True):
        yield _pasted(shot, -shot.heading * 7 * (t - shot.time[-1] / 2), frame, radius=120)


def _fade(shot: Shot) -> Iterator[np.ndarray]:
    """The light falls by a third over the clip, evenly."""
    for t, frame in zip(shot.time / shot.time[-1], plain(shot.drift()), strict=True):
        yield (frame * (1 - t / 3)).astype(np.uint8)


# Bad clips
# ------------------------------------------------------------------------------------------


def _noise(sigma: float) -> Callable[[Shot], Iterator[np.ndarray]]:
    def render(shot: Shot) -> Iterator[np.ndarray]:
        for frame in plain(shot.drift()):
            yield (frame + shot.rng.normal(0, sigma, frame.shape)).clip(0, 255).astype(np.uint8)

    return render


def _flicker(depth: float) -> Callable[[Shot], Iterator[np.ndarray]]:
    """Each frame's light is drawn anew within +- depth."""

    def render(shot: Shot) -> Iterator[np.ndarray]:
        for frame in plain(shot.drift()):
            yield (frame * (1 + shot.rng.uniform(-depth, depth))).clip(0, 255).astype(np.uint8)

    return render


def _boil(amplitude: float) -> Callable[[Shot], Iterator[np.ndarray]]:
    """Each frame is bent by its own smooth random field of `amplitude` pixels rms."""

    def render(shot: Shot) -> Iterator[np.ndarray]:
        y, x = np.mgrid[0 : shot.size[1], 0 : shot.size[0]].astype(np.float32)
        for frame in plain(shot):
            coarse = shot.rng.normal(size=(2, 20, 30)).astype(np.float32)
            bend = [cv2.resize(field, shot.size, interpolation=cv2.INTER_CUBIC) for field in coarse]
            dx, dy = (
                b * np.float32(amplitude / np.sqrt(2) * shot.size[0] / WIDTH / b.std())
                for b in bend
            )
            yield cv2.remap(
                frame, x + dx, y + dy, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
            )

    return render


def _cut(shot: Shot) -> Iterator[np.ndarray]:
    shot.drift()
    at = int(shot.rng.integers(len(shot.path) // 4, 3 * len(shot.path) // 4))
    for i, camera in enumerate(shot.path):
        yield view(shot.pictures[int(i >= at)], camera, shot.size)


def _shuffled(shot: Shot) -> Iterator[np.ndarray]:
    shot.pan(8.0)
    shot.path = shot.path[shot.rng.permutation(len(shot.path))]
    return plain(shot)


def _stutter(hold: int, speed: float = 8.0) -> Callable[[Shot], Shot]:
    """Every frame stays for `hold` frames; the pan keeps its mean speed."""

    def move(shot: Shot) -> Shot:
        shot.pan(speed)
        shot.path = shot.path[np.arange(len(shot.path)) // hold * hold]
        return shot

    return move


def _freeze(shot: Shot) -> Shot:
    """A pan stands still for twelve frames, then jumps to where it should be or goes on from where
    it stood.
    """
    shot.pan(8.0)
    at = int(shot.rng.integers(8, len(shot.path) - 20))
    lost = shot.path[at + 12] - shot.path[at]
    shot.path[at : at + 12] = shot.path[at]
    if shot.rng.random() < 0.5:
        shot.path[at + 12 :] -= lost
    return shot


def _glitch(shot: Shot) -> Iterator[np.ndarray]:
    """One frame has its bands displaced, as a damaged stream shows it."""
    at = int(shot.rng.integers(10, len(shot.path) - 10))
    for i, frame in enumerate(plain(shot.drift())):
        yield _torn(frame, shot.rng) if i == at else frame


def _torn(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """frame in twelve bands, each shifted sideways by up to an eighth of the width."""
    reach = frame.shape[1] // 8
    bands = np.array_split(frame, 12)
    return np.concatenate(
        [np.roll(band, int(rng.integers(-reach, reach)), axis=1) for band in bands]
    )


def _pop_in(shot: Shot) -> Iterator[np.ndarray]:
    """An object stands there from one frame to the next."""
    at = int(shot.rng.integers(12, len(shot.path) - 12))
    for i, frame in enumerate(plain(shot.drift())):
        yield _pasted(shot, np.array([60.0, -20.0]), frame, radius=110) if i >= at else frame


def _shake(shot: Shot) -> Shot:
    """The camera jumps 4 pixels to and fro at every frame."""
    shot.pan(1.0).path[:, :2] += (
        np.where(np.arange(len(shot.path)) % 2, 4.0, -4.0)[:, None] * shot.heading[::-1]
    )
    return shot


Make = Callable[[Shot], Shot | Iterator[np.ndarray]]
STATIC: dict[str, Make] = {"static": lambda shot: shot}
GOOD: dict[str, Make] = {
    "slow pan": lambda shot: shot.pan(2.0),
    "8 px pan": lambda shot: shot.pan(8.0),
    "16 px pan": lambda shot: shot.pan(16.0),
    "zoom": _zoom(1.006),
    "fast zoom": _zoom(1.02),
    "roll": _roll,
    "ease": _ease,
    "swing": _swing,
    "object 5 px": _object(5.0),
    "object 18 px": _object(18.0),
    "parallax": _parallax,
    "handheld small": _handheld(3.0, 3.0),
    "light grain": _noise(3.0),
    "slow fade": _fade,
}
BAD: dict[str, Make] = {
    "handheld large": _handheld(7.0, 0.6),
    "hard cut": _cut,
    "shuffled": _shuffled,
    "noise 15": _noise(15.0),
    "noise 40": _noise(40.0),
    "flicker 10 %": _flicker(0.1),
    "flicker 30 %": _flicker(0.3),
    "stutter x2": _stutter(2),
    "stutter x4": _stutter(4),
    "freeze": _freeze,
    "boil 1 px": _boil(1.0),
    "boil 3 px": _boil(3.0),
    "glitch": _glitch,
    "pop-in": _pop_in,
    "shake": _shake,
}
KINDS = STATIC | GOOD | BAD


def clip(kind: str, pictures: list[np.ndarray], seed: int, **shot) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 of one clip; `pictures` are two, raw, and `shot` overrides Shot's
    defaults.
    """
    made = KINDS[kind](Shot([prepared(p) for p in pictures], np.random.default_rng(seed), **shot))
    yield from plain(made) if isinstance(made, Shot) else made


def calibration_pictures() -> dict[str, np.ndarray]:
    """What the constants are fitted on: three photographs and two made pictures."""
    from skimage import data

    shots = {"astronaut": data.astronaut(), "coffee": data.coffee(), "rocket": data.rocket()}
    return shots | {"leaves 1": dead_leaves(1), "leaves 2": dead_leaves(2)}


def held_out_pictures() -> dict[str, np.ndarray]:
    """What the score is tested on and was never fitted on."""
    from skimage import data

    shots = {"chelsea": data.chelsea(), "cameraman": data.camera(), "coins": data.coins()}
    shots["motorcycle"] = data.stereo_motorcycle()[0]
    return shots | {
        "leaves 11": dead_leaves(11),
        "leaves 12": cv2.GaussianBlur(dead_leaves(12), (0, 0), 2.5),
    }

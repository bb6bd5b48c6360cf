"""Endless training clips: clip `index` of a seed is always the same scene, move and prompt."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from src.scenes import prompts
from src.scenes.canvases import dead_leaves, shape_mask
from src.scenes.moves import SPEEDS, Move, named_move, trajectory
from src.scenes.photographs import TRAINING, photograph_canvas
from src.scenes.scene import Layer, Scene
from src.scenes.strange import beside_strange_words, strange_scenario

DENSITY = 1.5  # canvas pixels to one picture pixel: what a push in shows is still sharp
MARGIN = 1.9  # canvas size in pictures: room for what a pan or a pull out reveals
UNNAMED = "slow push in"
"""What a prompt means that names no move."""
SINGLES = tuple(name for name in prompts.ACTIONS)
PARTNERS = {"pan": ("tilt", "push", "pull", "roll"), "tilt": ("push", "pull", "roll"),
            "push": ("roll",), "pull": ("roll",)}  # fmt: skip


@dataclass(frozen=True)
class Mix:
    """Shares of what clips show. The shares of `static` to `unnamed` are of all clips; the rest is
    one move.

    turning: share of push, pull and roll among the single moves. fast: share of that speed; the
    others share the rest. strange: share of scenarios in words that no list holds.
    """

    static: float = 0.10
    combined: float = 0.14
    handheld: float = 0.03
    unnamed: float = 0.07
    eased: float = 0.05
    photographs: float = 0.3
    parallax: float = 0.08
    objects: float = 0.04
    turning: float = 0.5
    fast: float = 1 / 3
    strange: float = 0.0


@dataclass(frozen=True)
class SceneClip:
    """A scene and what a person would have written to get it."""

    scene: Scene
    prompt: str
    name: str
    """The moves by name: "push in + pan left", or "unnamed"."""
    speed: str


class SceneSampler:
    """Draws clips by index. Canvases come from a window that slides on by one every `reuse` clips.

    Args:
        width, height: of the picture, in pixels.
        seed: another seed gives other canvases, moves and prompts.
        canvases: how many canvases are in the window, and so in memory (about 1 MB each at
        240x160).
        reuse: clips for each new canvas; painting one costs about as much as rendering a clip.
    """

    def __init__(
        self,
        width: int,
        height: int,
        seed: int,
        mix: Mix | None = None,
        canvases: int = 200,
        reuse: int = 4,
    ) -> None:
        self.width, self.height, self.seed = width, height, seed
        self.mix = mix or Mix()
        self.window, self.reuse = canvases, reuse
        self._painted: OrderedDict[int, np.ndarray] = OrderedDict()

    def clip(self, index: int, num_frames: int) -> SceneClip:
        """Clip `index`: its move, prompt and canvases depend on the seed and the index alone."""
        random = np.random.default_rng([self.seed, index])
        move, phrase, name, speed = self._move(random)
        layers = [self._background(index, move, random)]
        if move.is_static:
            pass
        elif random.random() < self.mix.parallax:
            layers = self._parallax(layers[0], index, move, random)
        if random.random() < self.mix.objects:
            layers.append(self._object(index, random))
            phrase = f"{phrase}, {prompts.PASSERS_BY[random.integers(len(prompts.PASSERS_BY))]}"
            phrase = phrase.removeprefix(", ")
        prompt = self._prompt(phrase, random)
        scene = Scene(tuple(layers), move, self.width, self.height, num_frames, seed=int(index))
        return SceneClip(scene, prompt, name, speed)

    def wording(self, index: int) -> tuple[Move, str]:
        """The move and the prompt of clip `index`, without its pictures."""
        random = np.random.default_rng([self.seed, index])
        move, phrase, _, _ = self._move(random)
        return move, self._prompt(phrase, random)

    def strange_wording(self, index: int) -> tuple[str, str]:
        """A prompt of clip `index` in words that no list holds, and what of it names the move."""
        random = np.random.default_rng([self.seed, index])
        phrase = self._move(random)[1].strip()
        phrase = phrase[:1].upper() + phrase[1:] if random.random() < 0.3 else phrase
        if not phrase:
            return strange_scenario(random), UNNAMED
        return beside_strange_words(phrase, random), phrase

    def _prompt(self, phrase: str, random: np.random.Generator) -> str:
        """What a person writes to get the move that `phrase` names, if it names any."""
        if phrase:
            return prompts.in_scenario(phrase, random, self.mix.strange)
        return prompts.scenario(random)

    def scene(self, index: int, move: Move, num_frames: int) -> Scene:
        """A flat scene of this seed under a move of the caller's:
        the same index, the same scene.
        """
        layers = (self._background(index, move, np.random.default_rng([self.seed, 4, index])),)
        return Scene(layers, move, self.width, self.height, num_frames, seed=int(index))

    def _move(self, random: np.random.Generator) -> tuple[Move, str, str, str]:
        kind, speed = random.random(), self._speed(random)
        shares = np.cumsum(
            [self.mix.static, self.mix.combined, self.mix.handheld, self.mix.unnamed]
        )
        if kind < shares[0]:
            return Move(), prompts.single("static", speed, random), "static", "medium"
        if kind < shares[1]:
            first, second = self._pair(random)
            both = named_move(first, speed) + named_move(second, speed)
            return (
                both,
                prompts.combined(first, second, speed, random),
                f"{first} + {second}",
                speed,
            )
        if kind < shares[2]:
            return (
                named_move("handheld"),
                prompts.single("handheld", speed, random),
                "handheld",
                "medium",
            )
        if kind < shares[3]:
            return named_move("push in", "slow"), "", "unnamed", "slow"
        turns = random.random() < self.mix.turning
        name = str(
            random.choice(
                [name for name in SINGLES if name.startswith(("push", "pull", "roll")) == turns]
            )
        )
        return self._single(name, speed, random)

    def _speed(self, random: np.random.Generator) -> str:
        rest = (1 - self.mix.fast) / 2
        return str(random.choice(list(SPEEDS), p=[rest, rest, self.mix.fast]))

    def _single(
        self, name: str, speed: str, random: np.random.Generator
    ) -> tuple[Move, str, str, str]:
        move, phrase = named_move(name, speed), prompts.single(name, speed, random)
        if random.random() < self.mix.eased:
            move = Move(move.pan, move.tilt, move.push, move.roll, eased=True)
            phrase = f"{phrase}, {prompts.EASED[random.integers(len(prompts.EASED))]}"
        return move, phrase, name, speed

    @staticmethod
    def _pair(random: np.random.Generator) -> tuple[str, str]:
        kind = str(random.choice(list(PARTNERS)))
        first = str(random.choice([name for name in SINGLES if name.startswith(kind)]))
        other = str(random.choice(PARTNERS[kind]))
        second = str(random.choice([name for name in SINGLES if name.startswith(other)]))
        return (first, second) if random.random() < 0.5 else (second, first)

    def canvas(self, number: int) -> np.ndarray:
        """Canvas `number` of this seed: (H * 2.85, W * 2.85, 3) uint8; the last few are kept."""
        if number not in self._painted:
            self._painted[number] = self.paint(number)
            if len(self._painted) > self.window:
                self._painted.popitem(last=False)
        return self._painted[number]

    def paint(self, number: int) -> np.ndarray:
        """Canvas `number`, painted anew."""
        random = np.random.default_rng([self.seed, 1, number])
        height, width = self.canvas_size
        if random.random() >= self.mix.photographs:
            return dead_leaves(width, height, random)
        name = TRAINING[random.integers(len(TRAINING))].name
        return photograph_canvas(name, width, height, random)

    @property
    def canvas_size(self) -> tuple[int, int]:
        """Height and width of every canvas, in pixels."""
        return int(self.height * DENSITY * MARGIN), int(self.width * DENSITY * MARGIN)

    def recipe(self) -> dict[str, Any]:
        """The arguments that make this sampler again, in another process."""
        return {
            "width": self.width, "height": self.height, "seed": self.seed, "mix": self.mix,
            "canvases": self.window, "reuse": self.reuse,
        }  # fmt: skip

    def _any_canvas(self, index: int, random: np.random.Generator) -> np.ndarray:
        return self.canvas(index // self.reuse + int(random.integers(self.window)))

    def _background(self, index: int, move: Move, random: np.random.Generator) -> Layer:
        canvas = self._any_canvas(index, random)
        return Layer(canvas, self._placement(canvas, move, random))

    def _placement(self, canvas: np.ndarray, move: Move, random: np.random.Generator) -> np.ndarray:
        """Where the canvas lies under the first frame: all that the move shows is on it, where it
        fits.
        """
        scale = 1 / (DENSITY * random.uniform(0.85, 1.1))
        size = np.array([canvas.shape[1], canvas.shape[0]]) * scale
        low, high = self._reach(move)
        smallest, largest = high - size + 1, low
        middle = (smallest + largest) / 2
        room = np.maximum(largest - smallest, 0) / 2
        offset = middle + random.uniform(-1, 1, 2) * room
        placement = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
        if random.random() < 0.5:  # mirrored, so that one canvas serves twice
            placement[0] = [-scale, 0, offset[0] + size[0] - 1]
        return placement

    def _reach(self, move: Move) -> tuple[np.ndarray, np.ndarray]:
        """The box, in pixels of the first frame, that a full clip of this move shows: its two
        corners.
        """
        corners = np.array(
            [[0, 0], [self.width, 0], [0, self.height], [self.width, self.height]], float
        )
        seen = [corners]
        for matrix in trajectory(move, 49, self.width, self.height)[::4]:
            seen.append((corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)
        points = np.concatenate(seen)
        return points.min(axis=0), points.max(axis=0)

    def _parallax(
        self, subject: Layer, index: int, move: Move, random: np.random.Generator
    ) -> list[Layer]:
        """A farther background and one or two nearer layers of loose shapes around the subject's
        distance.
        """
        far = Layer(subject.canvas, subject.placement, nearness=float(random.uniform(0.8, 0.95)))
        layers = [far]
        for nearness in np.sort(random.uniform(0.95, 1.25, int(random.integers(1, 4)))):
            canvas = self._any_canvas(index, random)
            alpha = np.zeros(canvas.shape[:2], np.uint8)
            for _ in range(int(random.integers(2, 6))):
                stamp(alpha, int(random.uniform(0.06, 0.25) * canvas.shape[0]), random)
            layers.append(
                Layer(canvas, self._placement(canvas, move, random), alpha, float(nearness))
            )
        return layers

    def _object(self, index: int, random: np.random.Generator) -> Layer:
        """One shape that crosses the picture by itself."""
        canvas = self._any_canvas(index, random)
        alpha = np.zeros(canvas.shape[:2], np.uint8)
        stamp(alpha, int(random.uniform(0.08, 0.2) * canvas.shape[0]), random)
        drift = random.choice([-1, 1]) * random.uniform(1.0, 3.5) * self.width / 240
        return Layer(
            canvas, self._placement(canvas, Move(), random), alpha, drift=(float(drift), 0.0)
        )


def stamp(alpha: np.ndarray, radius: int, random: np.random.Generator) -> None:
    """Make one shape opaque on the (H, W) uint8 alpha, in place, somewhere inside."""
    mask = shape_mask(min(radius, min(alpha.shape) // 2 - 2), random)
    top = int(random.integers(0, alpha.shape[0] - mask.shape[0] + 1))
    left = int(random.integers(0, alpha.shape[1] - mask.shape[1] + 1))
    part = alpha[top : top + mask.shape[0], left : left + mask.shape[1]]
    cv2.max(part, mask, dst=part)


def corpus(count: int, seed: int = 0) -> list[str]:
    """`count` prompts, negative prompts among them: what the tokenizer learns its pieces from."""
    sampler = SceneSampler(240, 160, seed)
    lines = []
    for index in range(count):
        random = np.random.default_rng([seed, 2, index])
        phrase = sampler._move(random)[1]
        lines.append(prompts.in_scenario(phrase, random) if phrase else prompts.scenario(random))
    return lines + [prompts.flaws(np.random.default_rng([seed, 3, i])) for i in range(count // 10)]

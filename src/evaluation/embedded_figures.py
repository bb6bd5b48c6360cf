"""What the embedded model can do, measured on photographs that training never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np

from src.evaluation.embedded_delivery import TO_DELIVERED, Delivered, delivered
from src.media.images import fit_photograph
from src.metrics.evenness import unevenness
from src.metrics.measured_move import MeasuredMove, measure
from src.metrics.psnr import psnr
from src.metrics.sharpness import sharpness, structure
from src.metrics.temporal import score_frames
from src.recipes.decoded import encoded_and_decoded
from src.scenes.moves import Move, named_move, trajectory
from src.scenes.photographs import HELD_OUT
from src.scenes.scene import Layer, Scene

WORDINGS = {  # the move asked for, in words as a person would write them
    "pan left": "Press briefing at city hall, the camera pans left",
    "pan right": "Breaking news from the harbour, pan to the right",
    "tilt up": "Documentary photograph, the camera tilts up",
    "tilt down": "tilt down, weather report from the coast",
    "push in": "Interview with the minister, push in on the subject",
    "pull out": "Market commentary, the camera pulls out",
    "roll clockwise": "Archive picture, roll clockwise",
    "static": "Portrait in natural light, static camera",
}
SPEED_MOVES = ("pan left", "tilt up", "push in")
SPEED_PROMPTS = {"slow": "slow {}", "medium": "{}", "fast": "fast {}"}
SHARP_FRAME = 40


@dataclass(frozen=True)
class Sampler:
    """How clips are made: the pipeline's call at one set of settings."""

    make: Callable[[np.ndarray, str, int, float], np.ndarray]
    """(photograph, prompt, seed, guidance) to (F, H, W, 3) uint8."""
    width: int
    height: int
    guidance: float


@dataclass(frozen=True)
class MoveFigures:
    """One clip of the wordings.

    content, structure: PSNR in dB and SSIM of the last frame against the ideal warp, where that
    shows something. sharp: what frame 40 (or the last) keeps of the first frame's sharpness where
    both show the same, over what the ideal warp keeps. uneven: of the motion, None for a clip that
    asks for none.
    """

    photograph: str
    asked: str
    measured: str
    amount: MeasuredMove
    first_frame: float
    content: float | None
    structure: float | None
    sharp: float | None
    uneven: float | None
    score: float | None


@dataclass(frozen=True)
class Reconstruction:
    """What the VAE keeps of one clip: PSNR in dB, and the temporal score of what it decodes, None
    at rest.
    """

    psnr: float
    score: float | None


@dataclass
class EmbeddedFigures:
    """All that the table shows."""

    reconstruction: dict[str, dict[str, Reconstruction]] = field(default_factory=dict)
    delivered: dict[str, dict[str, Delivered]] = field(default_factory=dict)
    clips: list[MoveFigures] = field(default_factory=list)
    speeds: list[dict[str, Any]] = field(default_factory=list)
    guidance: dict[str, float] = field(default_factory=dict)
    seeds_differ: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)


PANS = ("at rest", "slow", "medium", "fast")


def reconstruction(
    vae: Any, photograph: np.ndarray, width: int, height: int, scored: bool
) -> dict[str, Reconstruction]:
    """17 frames after stock encode and decode: at rest, and panning slowly, at medium speed and
    fast.

    photograph: (H, W, 3) uint8 at twice the native size, so that the motion shows real detail.
    """
    placement = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])
    results = {}
    for pan in PANS:
        move = Move() if pan == PANS[0] else named_move("pan left", pan)
        frames = Scene((Layer(photograph, placement),), move, width, height, 17).frames()
        pixels = encoded_and_decoded(vae, frames)
        score = (
            score_frames(pixels, (width, height), rate=8).score
            if scored and not move.is_static
            else None
        )
        results[pan] = Reconstruction(psnr(pixels, frames), score)
    return results


@dataclass(frozen=True)
class Ideal:
    """Where a move leaves a photograph: the picture (H, W, 3), the mask (H, W) of what it still
    shows, and where that lies in the photograph (H, W).
    """

    picture: np.ndarray
    inside: np.ndarray
    seen: np.ndarray


def ideal_frame(photograph: np.ndarray, name: str, frame: int) -> Ideal:
    """The photograph (H, W, 3) as frame `frame` of a clip that carries out the move at medium
    speed.
    """
    height, width = photograph.shape[:2]
    matrix = trajectory(named_move(name), frame + 1, width, height)[-1]
    full = np.full((height, width), 255, np.uint8)
    warped = cv2.warpAffine(photograph, matrix, (width, height), flags=cv2.INTER_CUBIC)
    inside = cv2.warpAffine(full, matrix, (width, height))
    seen = cv2.warpAffine(full, matrix, (width, height), flags=cv2.WARP_INVERSE_MAP)
    return Ideal(warped, inside == 255, seen == 255)


def sharpness_kept(photograph: np.ndarray, name: str, frames: np.ndarray) -> float | None:
    """What the clip keeps of its first frame's sharpness at frame 40, over what the ideal warp
    keeps.
    """
    number = min(SHARP_FRAME, len(frames) - 1)
    ideal = ideal_frame(photograph, name, number)
    if not ideal.inside.any():
        return None
    kept = sharpness(frames[number], ideal.inside) / sharpness(frames[0], ideal.seen)
    return kept / (sharpness(ideal.picture, ideal.inside) / sharpness(photograph, ideal.seen))


def clip_figures(
    name: str, photograph: np.ndarray, asked: str, frames: np.ndarray, scored: bool
) -> MoveFigures:
    """All figures of one clip."""
    measured = measure(frames)
    ideal = ideal_frame(photograph, asked, len(frames) - 1)
    shown = ideal.inside.any()
    return MoveFigures(
        name, asked, measured.name, measured, psnr(frames[0], photograph),
        content=psnr(frames[-1], ideal.picture, ideal.inside) if shown else None,
        structure=structure(frames[-1], ideal.picture, ideal.inside) if shown else None,
        sharp=sharpness_kept(photograph, asked, frames),
        uneven=None if asked == "static" else unevenness(frames),
        score=score_frames(frames, (frames.shape[2], frames.shape[1]),
                           rate=8).score if scored else None,
    )  # fmt: skip


def speed_triple(
    sampler: Sampler, photograph: np.ndarray, name: str, seed: int
) -> dict[str, float]:
    """How strongly the move is carried out at each speed word, in pixels a frame at 720x480."""
    amounts = {}
    for speed, prompt in SPEED_PROMPTS.items():
        frames = sampler.make(photograph, prompt.format(name), seed, sampler.guidance)
        amounts[speed] = measure(frames).amount(name) * TO_DELIVERED
    return amounts


def evaluate(
    vae: Any,
    sampler: Sampler,
    photographs: Sequence[tuple[str, np.ndarray]],
    scored: bool = True,
    quick: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[EmbeddedFigures, dict[str, np.ndarray]]:
    """Measure everything; returns the figures and one clip of each wording, for the contact sheet:
    of the first photographs, the held-out ones, which may be shown anywhere.

    scored: take the temporal score too. quick: one move a photograph for the speed words, instead
    of three.
    """
    figures, shown = EmbeddedFigures(), {}
    for index, (name, pixels) in enumerate(photographs):
        double = fit_photograph(pixels, 2 * sampler.width, 2 * sampler.height, "cover")
        native = fit_photograph(pixels, sampler.width, sampler.height, "cover")
        figures.reconstruction[name] = reconstruction(
            vae, double, sampler.width, sampler.height, scored
        )
        figures.delivered[name] = delivered(vae, pixels, sampler.width, sampler.height)
        for seed, (asked, prompt) in enumerate(WORDINGS.items()):
            frames = sampler.make(native, prompt, seed, sampler.guidance)
            figures.clips.append(clip_figures(name, native, asked, frames, scored))
            if seed % min(len(photographs), len(HELD_OUT)) == index:
                shown[asked] = frames
        for move in SPEED_MOVES if not quick else SPEED_MOVES[index % len(SPEED_MOVES) :][:1]:
            triple = speed_triple(sampler, native, move, index)
            figures.speeds.append({"photograph": name, "move": move, **triple})
        tell(f"{name}: {_right(figures.clips)} of {len(figures.clips)} moves so far")
    _seeds_and_guidance(figures, sampler, native)
    return figures, {asked: shown[asked] for asked in WORDINGS if asked in shown}


def _right(clips: Sequence[MoveFigures]) -> int:
    return sum(clip.asked == clip.measured for clip in clips)


def _seeds_and_guidance(figures: EmbeddedFigures, sampler: Sampler, native: np.ndarray) -> None:
    prompt = WORDINGS["pan left"]
    for guidance in (1.0, 3.0, 6.0):
        frames = sampler.make(native, prompt, 0, guidance)
        figures.guidance[f"{guidance:g}"] = measure(frames).amount("pan left") * TO_DELIVERED
    one, other = (
        sampler.make(native, prompt, seed, sampler.guidance).astype(float) for seed in (0, 1)
    )
    figures.seeds_differ = float(np.sqrt(np.mean((one - other) ** 2)))

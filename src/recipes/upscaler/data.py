"""Pairs of clips for the upscaler, made on the fly: item `index` of a seed is always the same pair.

Sources are drawn by weight: synthetic scenes, video files, folders of pictures. Each gives a
high-resolution clip; `degrade` makes the low-resolution one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from src.core.errors import BadInputError, MissingFileError
from src.core.paths import REPOSITORY
from src.recipes.decoded import encoded_and_decoded, read_fast_vae
from src.recipes.upscaler.degrade import degrade
from src.recipes.upscaler.settings import Data, UpscalerSettings
from src.scenes.sampler import Mix, SceneSampler

FINENESS = (0.45, 0.7, 1.0, 1.5, 2.0)
"""A scene is drawn larger and shrunk, so that some clips are as fine as a sharp photograph, or
smaller and enlarged, so that some are as soft as an old film: a network that saw only sharp ones
adds detail that was never there.
"""
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


class SceneWindows:
    """Clips of `src.scenes` with their camera moves."""

    def __init__(self, data: Data, side: int, seed: int) -> None:
        self.side, self.frames = side, data.frames
        mix = Mix(photographs=data.photographs, parallax=0.15, objects=0.15)
        self.sampler = SceneSampler(2 * side, 2 * side, seed, mix, data.canvases, data.reuse)

    def clip(self, index: int, random: np.random.Generator) -> np.ndarray:
        """(T, side, side, 3) uint8."""
        drawn = self.sampler.clip(index, self.frames).scene.frames()
        window = int(self.side * random.choice(FINENESS))
        top, left = random.integers(0, 2 * self.side - window + 1, 2)
        cut = drawn[:, top : top + window, left : left + window]
        method = cv2.INTER_AREA if window >= self.side else cv2.INTER_CUBIC
        return np.stack(
            [cv2.resize(frame, (self.side, self.side), interpolation=method) for frame in cut]
        )


class PictureSource:
    """Crops of pictures, moved by whole pixels from frame to frame."""

    def __init__(self, data: Data, side: int) -> None:
        self.side, self.frames = side, data.frames
        self.files = sorted(path for folder in data.image_folders for path in _pictures(folder))

    def clip(self, index: int, random: np.random.Generator) -> np.ndarray:
        """(T, side, side, 3) uint8."""
        from src.media.images import read_photograph

        pixels = _at_least(
            read_photograph(self.files[random.integers(len(self.files))]).pixels, self.side
        )
        step = random.integers(-3, 4, 2) * (random.random() < 0.7)
        room = np.array(pixels.shape[:2]) - self.side
        start = random.integers(0, room + 1)
        places = [np.clip(start + t * step, 0, room) for t in range(self.frames)]
        return np.stack([pixels[y : y + self.side, x : x + self.side] for y, x in places])


class VideoSource:
    """Crops of consecutive frames of video files, from a random place on."""

    def __init__(self, data: Data, side: int) -> None:
        self.side, self.frames, self.files = side, data.frames, data.video_files

    def clip(self, index: int, random: np.random.Generator) -> np.ndarray:
        """(T, side, side, 3) uint8; the last frame repeats where the file ends."""
        from src.media.reader import VideoReader

        path = self.files[random.integers(len(self.files))]
        with VideoReader(path) as reader:
            last = max(0, (reader.info.frames or self.frames) - self.frames)
            skip = int(random.integers(0, last + 1))
            frames = [
                frame.array
                for number, frame in enumerate(islice(reader, skip + self.frames))
                if number >= skip
            ]
        if not frames:
            raise BadInputError(
                f"{path} ended before frame {skip}; take it out of data.video_files"
            )
        frames += [frames[-1]] * (self.frames - len(frames))
        clip = np.stack([_at_least(frame, self.side) for frame in frames])
        top, left = random.integers(0, np.array(clip.shape[1:3]) - self.side + 1)
        return clip[:, top : top + self.side, left : left + self.side]


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise MissingFileError(f"data.image_folders names {folder}, which is no folder")
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURES and path.name[0] != "."
    ]
    if not found:
        raise BadInputError(
            f"the folder {folder} holds no picture; these are read: {', '.join(sorted(PICTURES))}"
        )
    return found


def _at_least(pixels: np.ndarray, side: int) -> np.ndarray:
    """The picture, enlarged where it is smaller than a crop."""
    factor = side / min(pixels.shape[:2])
    if factor <= 1:
        return pixels
    size = (max(side, round(pixels.shape[1] * factor)), max(side, round(pixels.shape[0] * factor)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)


class PairDataset(Dataset):
    """Item `index`: {"low": (T, 3, h, w), "high": (T, 3, H, W) float32 in [0, 1], "condition":
    (2,)}.
    """

    def __init__(self, settings: UpscalerSettings) -> None:
        self.settings = settings
        weights = {name: getattr(settings.data, name) for name in ("scenes", "videos", "images")}
        self.names = [name for name, weight in weights.items() if weight > 0]
        self.shares = np.array([weights[name] for name in self.names]) / sum(weights.values())

    @cached_property
    def vae(self) -> Any:
        """Of the pipeline whose clips the network is for, None for any clips; read on first use."""
        folder = self.settings.degradation.vae
        return read_fast_vae(REPOSITORY / folder) if folder else None

    @cached_property
    def sources(self) -> dict[str, SceneWindows | VideoSource | PictureSource]:
        """Made on first use, so that each worker process has its own."""
        data, side = self.settings.data, self.settings.data.crop * self.settings.scale
        make = {
            "scenes": lambda: SceneWindows(data, side, self.settings.seed),
            "videos": lambda: VideoSource(data, side),
            "images": lambda: PictureSource(data, side),
        }
        return {name: make[name]() for name in self.names}

    def __len__(self) -> int:
        return self.settings.schedule.steps * self.settings.data.batch

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        random = np.random.default_rng([self.settings.seed, 11, index])
        name = self.names[random.choice(len(self.names), p=self.shares)]
        high = flipped(self.sources[name].clip(index, random), random)
        low, condition = degrade(high, self.settings.scale, self.settings.degradation, random)
        low = encoded_and_decoded(self.vae, low) if self.vae else low
        return {
            "low": _tensor(low),
            "high": _tensor(high),
            "condition": torch.from_numpy(condition),
        }


def flipped(clip: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The square clip turned over and on its side at random: eight ways."""
    clip = clip[:, :, ::-1] if random.random() < 0.5 else clip
    clip = clip[:, ::-1] if random.random() < 0.5 else clip
    return np.ascontiguousarray(clip.transpose(0, 2, 1, 3) if random.random() < 0.5 else clip)


def _tensor(clip: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(clip.transpose(0, 3, 1, 2))).float() / 255


class _From(Sampler[int]):
    """Indices in order, from the first of a step on: a resumed run sees what the unbroken one would
    have.
    """

    def __init__(self, first: int, end: int) -> None:
        self.first, self.end = first, end

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.end))

    def __len__(self) -> int:
        return self.end - self.first


def batches_from(dataset: PairDataset, step: int) -> Iterator[dict[str, torch.Tensor]]:
    """The batches of `step`, `step + 1` and so on, by a DataLoader."""
    data = dataset.settings.data
    order = _From(step * data.batch, len(dataset) + data.batch)
    return iter(DataLoader(dataset, data.batch, sampler=order, num_workers=data.workers))

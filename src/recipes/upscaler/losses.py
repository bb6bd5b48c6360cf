"""What the upscaler is held to: pixels, features of other networks,
and change from frame to frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from loguru import logger
from torch import Tensor, nn

from src.core.errors import BadInputError
from src.pipelines.reading import read_part
from src.pipelines.saving import load_tensors
from src.recipes.upscaler.settings import Losses

EPSILON = 1e-3
VGG16 = (64, 64, "pool", 128, 128, "pool", 256, 256, 256)
"""The first nine layers of configuration D (Simonyan and Zisserman, 2015): up to relu3_3."""
VGG_MEAN, VGG_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def charbonnier(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + eps^2): L1 that is smooth at zero (Lai et al., "LapSRN", CVPR 2017)."""
    return (made - wanted).square().add(EPSILON**2).sqrt().mean()


def l1(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (made - wanted).abs().mean()


def difference_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """L1 between the changes from frame to frame of two (B, T, 3, H, W): flicker that the truth has
    not.
    """
    return l1(made.diff(dim=1), wanted.diff(dim=1)) if made.shape[1] > 1 else made.new_zeros(())


def warped_loss(made: Tensor, wanted: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
    """L1 between the changes along the motion: each frame less the one before it, brought to its
    place.

    flow: (B, T - 1, 2, H, W), where a pixel of frame t + 1 was in frame t, in pixels from its own
    place, x before y; visible: (B, T - 1, 1, H, W), 1 where that holds and 0 where the pixel was
    hidden. (Lai et al., "Learning blind video temporal consistency", ECCV 2018, less what the truth
    itself changes.)
    """
    if made.shape[1] < 2:
        return made.new_zeros(())
    change = (made - wanted)[:, 1:] - warp_back((made - wanted)[:, :-1], flow)
    return (change.abs() * visible).sum() / (3 * visible.sum()).clamp(min=1)


def warp_back(frames: Tensor, flow: Tensor) -> Tensor:
    """out(x) = frames(x + flow(x)), bilinear; frames (B, T, 3, H, W), flow (B, T, 2, H, W) in
    pixels.
    """
    height, width = frames.shape[-2:]
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    x = (columns + flow[:, :, 0]) * (2 / max(width - 1, 1)) - 1
    y = (rows + flow[:, :, 1]) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack([x, y], -1).flatten(0, 1)
    out = F.grid_sample(frames.flatten(0, 1), grid, padding_mode="border", align_corners=True)
    return out.unflatten(0, frames.shape[:2])


def motion(clip: Tensor) -> tuple[Tensor, Tensor]:
    """Flow back in time and visibility for `warped_loss`, by TV-L1 on the true clip (B, T, 3, H, W)
    in [0, 1].
    """
    from src.motion.tvl1 import flow_backend
    from src.motion.warp import visible

    grey = (clip.mean(2) * 255).round().byte().cpu().numpy()
    now, before = (
        grey[:, 1:].reshape(-1, *grey.shape[2:]),
        grey[:, :-1].reshape(-1, *grey.shape[2:]),
    )
    backend = flow_backend("auto")
    back, forth = backend.flow(now, before), backend.flow(before, now)
    seen = np.stack([visible(one, other) for one, other in zip(back, forth, strict=True)])
    lead = (clip.shape[0], clip.shape[1] - 1)
    flow = torch.from_numpy(back).permute(0, 3, 1, 2).unflatten(0, lead)
    return flow.to(clip.device), torch.from_numpy(seen).float()[:, None].unflatten(0, lead).to(
        clip.device
    )


class Perceptual(nn.Module):
    """L1 between VGG16 features at three depths (Johnson et al., ECCV 2016). features: layers named
    as in VGG16.
    """

    def __init__(self, layers: tuple[int | str, ...] = VGG16) -> None:
        super().__init__()
        self.features = nn.Sequential(*_vgg_layers(layers)).requires_grad_(False)
        self.taps = [
            i for i, module in enumerate(self.features) if isinstance(module, nn.MaxPool2d)
        ]

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Two (N, 3, H, W) in [0, 1]."""
        x, y = (_normalised(image, VGG_MEAN, VGG_STD) for image in (made, wanted))
        total = made.new_zeros(())
        for index, module in enumerate(self.features):
            if index in self.taps:
                total = total + l1(x, y)
            x, y = module(x), module(y)
        return (total + l1(x, y)) / (len(self.taps) + 1)


def _vgg_layers(layers: tuple[int | str, ...]) -> list[nn.Module]:
    modules: list[nn.Module] = []
    channels = 3
    for layer in layers:
        if layer == "pool":
            modules.append(nn.MaxPool2d(2))
        else:
            modules += [nn.Conv2d(channels, int(layer), 3, padding=1), nn.ReLU()]
            channels = int(layer)
    return modules


class Semantic(nn.Module):
    """One less the cosine between CLIP's embeddings of two pictures. vision: a
    CLIPVisionModelWithProjection.
    """

    def __init__(self, vision: Any) -> None:
        super().__init__()
        self.vision = vision.eval().requires_grad_(False)

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Two (N, 3, H, W) in [0, 1]."""
        side = self.vision.config.image_size
        given = [
            _normalised(_resized(image, side), CLIP_MEAN, CLIP_STD) for image in (made, wanted)
        ]
        one, other = (self.vision(image).image_embeds for image in given)
        return (1 - F.cosine_similarity(one, other)).mean()


def _resized(images: Tensor, side: int) -> Tensor:
    return F.interpolate(
        images, size=(side, side), mode="bicubic", antialias=True, align_corners=False
    )


def _normalised(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    centre, spread = (images.new_tensor(values)[None, :, None, None] for values in (mean, std))
    return (images - centre) / spread


def load_perceptual(path: Path) -> Perceptual:
    """VGG16 from a safetensors or torch file with the usual names (`features.0.weight`). Raises
    BadInputError.
    """
    safe = path.suffix == ".safetensors"
    tensors = (
        load_tensors(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    )
    module = Perceptual()
    try:
        module.load_state_dict({name: tensors[name] for name in module.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise BadInputError(f"{path} does not hold the weights of VGG16: {error}") from None
    return module


def load_semantic(path: Path) -> Semantic:
    """CLIP's vision tower from a folder of transformers. Raises as `read_part` does."""
    from transformers import CLIPVisionModelWithProjection

    return Semantic(read_part(CLIPVisionModelWithProjection, path, torch.float32))


class UpscalerLoss(nn.Module):
    """The weighted sum of the settings; takes two (B, T, 3, H, W) in [0, 1].

    A term whose weights are not at their path is off, and the log says so.
    """

    def __init__(self, settings: Losses) -> None:
        super().__init__()
        self.settings = settings
        self.pixel = charbonnier if settings.pixel == "charbonnier" else l1
        self.perceptual = _optional(
            "perceptual", settings.perceptual, settings.vgg16, load_perceptual
        )
        self.semantic = _optional("semantic", settings.semantic, settings.clip, load_semantic)

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        settings, total = self.settings, self.pixel(made, wanted)
        if settings.difference:
            total = total + settings.difference * difference_loss(made, wanted)
        if settings.warped:
            total = total + settings.warped * warped_loss(made, wanted, *motion(wanted))
        for weight, term in (
            (settings.perceptual, self.perceptual),
            (settings.semantic, self.semantic),
        ):
            if term is not None:
                total = total + weight * term(made.flatten(0, 1), wanted.flatten(0, 1))
        return total


def _optional(name: str, weight: float, path: Path | None, load: Any) -> Any:
    if not weight:
        return None
    if path is None or not path.exists():
        key = "vgg16" if name == "perceptual" else "clip"
        logger.warning("losses.{} is off: there are no weights at losses.{} ({})", name, key, path)
        return None
    return load(path)

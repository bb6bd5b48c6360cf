"""Embedded ICC profiles: a photograph's colours as sRGB, which is what models were trained on."""

from io import BytesIO
from typing import Any, cast

import numpy as np
from PIL import Image, ImageCms

SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""The pixels that a profile of this colour space is for."""
SAME = 1
"""Levels by which a profile may move a colour and still be sRGB:
such a picture is left as it is.
"""


def to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, str | None]:
    """RGB, L or CMYK pixels as sRGB by their embedded profile; or as they are, with the reason.

    Rendering is perceptual, Little CMS's own (relative colorimetric where a profile has nothing
    else).
    """
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        space = cast(Any, source.profile).xcolor_space.strip()  # of a C type without stubs
        wanted = SPACES.get(space)
        if wanted != image.mode:
            return image, f"its colour profile is for {wanted or space} pixels"
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), image.mode, "RGB"
        )
        if image.mode == "RGB" and _is_srgb(transform):
            return image, None
        return cast(Image.Image, ImageCms.applyTransform(image, transform)), None
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        return image, f"its colour profile is damaged ({error})"


def _is_srgb(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether no colour of a coarse cube moves by more than a level."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(cube), transform))
    return int(np.abs(moved.astype(int) - cube).max()) <= SAME

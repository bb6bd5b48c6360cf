"""What LitServe runs in each of its processes: pictures in, larger ones out."""

from __future__ import annotations

import io
from typing import Any

import litserve
import numpy as np
from fastapi import HTTPException, Response
from PIL import Image

from src.core.errors import BadInputError
from src.media.images import parse_photograph
from src.upscaling.backends import UpscalerChoice
from src.upscaling.network_backend import NetworkBackend
from src.upscaling.stills import enlarge_stills

MOST = 1 << 24
"""Pixels of a picture that is taken."""


class StillApi(litserve.LitAPI):
    """See LitServe. A request is a form with the file `image`; the answer is a PNG."""

    def __init__(self, choice: UpscalerChoice, **batching: Any) -> None:
        super().__init__(**batching)
        self.choice = choice

    def setup(self, device: str) -> None:
        """Once in each process."""
        self.backend = NetworkBackend(self.choice)

    def decode_request(self, request):  # LitServe reads the kind of body off an annotation
        """(H, W, 3) uint8. Answers 422 for what is no picture, or one that is too large."""
        sent = request.get("image")
        if not hasattr(sent, "file"):
            raise HTTPException(422, "send the picture as the file `image` of a form")
        try:
            pixels = np.array(parse_photograph(sent.file.read(), sent.filename or "image").pixels)
        except BadInputError as error:
            raise HTTPException(422, str(error)) from None
        if pixels.shape[0] * pixels.shape[1] > MOST:
            raise HTTPException(422, f"the picture has more than {MOST} pixels")
        return pixels

    def predict(self, pictures: Any) -> Any:
        """One picture, or a batch of them where batching is on."""
        if self.max_batch_size > 1:
            return enlarge_stills(self.backend, pictures)
        return enlarge_stills(self.backend, [pictures])[0]

    def batch(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Pictures of different sizes stay a list."""
        return inputs

    def unbatch(self, output: list[np.ndarray]) -> list[np.ndarray]:
        """One answer a picture."""
        return output

    def encode_response(self, output: np.ndarray) -> Response:
        """A PNG, little compressed."""
        stream = io.BytesIO()
        Image.fromarray(output).save(stream, "PNG", compress_level=1)
        return Response(stream.getvalue(), media_type="image/png")

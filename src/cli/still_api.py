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
from src.pipelines.memory import is_out_of_memory
from src.upscaling.backends import UpscalerChoice
from src.upscaling.network_backend import NetworkBackend
from src.upscaling.stills import enlarge_stills

MOST = 1 << 26
"""Pixels of a picture that is answered: 67 million, which take 0.8 GB while they are computed."""


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
        data = sent.file.read()
        self._check_size(data)
        try:
            return np.array(parse_photograph(data, sent.filename or "image").pixels)
        except BadInputError as error:
            raise HTTPException(422, str(error)) from None

    def _check_size(self, data: bytes) -> None:
        """By the picture's header: what is too large is not decoded."""
        try:
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return  # parse_photograph says what it is
        most = MOST // self.choice.scale**2
        if width * height > most:
            raise HTTPException(422, f"the picture has {width * height} pixels, more than {most}")

    def predict(self, pictures: Any) -> Any:
        """One picture, or a batch of them where batching is on."""
        if self.max_batch_size > 1:
            return self._enlarged(pictures)
        return self._enlarged([pictures])[0]

    def _enlarged(self, pictures: list[np.ndarray]) -> list[np.ndarray]:
        """Where memory does not do for a batch, its halves are tried."""
        try:
            return enlarge_stills(self.backend, pictures)
        except (MemoryError, RuntimeError) as error:
            if len(pictures) == 1 or not is_out_of_memory(error):
                raise
        half = len(pictures) // 2
        return self._enlarged(pictures[:half]) + self._enlarged(pictures[half:])

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

"""Pictures as ComfyUI has them, IMAGE: float32 in 0 to 1, (frames, height, width, 3)."""

import io
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import torch
from PIL import Image


def as_png(images: torch.Tensor) -> bytes:
    """The first of a batch, as a file to send."""
    pixels = (images[0, ..., :3].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def read_clip(path: Path) -> tuple[torch.Tensor, float]:
    """All frames of a video, and how many play a second. Raises ValueError where it holds none."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 8)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    if not frames:
        raise ValueError(f"{path.name} holds no frames")
    return torch.from_numpy(np.stack(frames)).float().div_(255), rate


def write_clip(images: torch.Tensor, fps: float, path: Path) -> None:
    """The frames as H.264, for a service that enlarges them; sides are made even by cropping."""
    height, width = (side - side % 2 for side in images.shape[1:3])
    pixels = (images[:, :height, :width, :3].clamp(0, 1) * 255).round().to(torch.uint8)
    with av.open(str(path), "w") as container:
        options = {"crf": "10"}
        stream = cast(Any, container.add_stream("libx264", rate=round(fps), options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for array in pixels.cpu().numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode(None))

"""Small pictures of videos: which frames they show."""

import io

import numpy as np
import pytest
from PIL import Image

from src.core.errors import BadInputError
from src.media.small import COLUMNS, ROWS, contact_sheet, first_frame_jpeg, small_frame

GREYS = range(20, 260, 20)
"""Of twelve frames."""


@pytest.fixture
def video(tmp_path):
    """Twelve frames of 480x320, each of one grey."""
    import av

    path = tmp_path / "greys.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 480, 320, "yuv420p"
        for grey in GREYS:
            frame = av.VideoFrame.from_ndarray(np.full((320, 480, 3), grey, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _grey(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"), float)


def test_the_first_frame_and_one_of_the_middle(video):
    assert _grey(first_frame_jpeg(video)).mean() == pytest.approx(20, abs=4)
    assert _grey(first_frame_jpeg(video)).shape == (320, 480)
    assert 100 < _grey(small_frame(video)).mean() < 180


def test_the_sheet_goes_from_the_first_frame_to_the_last(video):
    sheet = _grey(contact_sheet(video))
    assert sheet.shape == (ROWS * 160, COLUMNS * 240)
    tiles = sheet.reshape(ROWS, 160, COLUMNS, 240).mean(axis=(1, 3)).ravel()
    assert tiles == pytest.approx(list(GREYS), abs=4)


def test_no_film_is_refused(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no film")
    for take in (first_frame_jpeg, contact_sheet):
        with pytest.raises(BadInputError, match="no frame of the video can be decoded"):
            take(path)

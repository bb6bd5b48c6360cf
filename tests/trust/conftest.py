import pytest

from tests.trust.kit import need_packages


@pytest.fixture(autouse=True)
def _packages():
    need_packages()


@pytest.fixture(scope="session")
def plain_clip(tmp_path_factory, ffmpeg):
    """A second of 64x48 as MP4 with its index first, with a sound."""
    path = tmp_path_factory.mktemp("plain") / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=8:duration=1", "-f", "lavfi", "-i",
           "sine=duration=1", "-movflags", "+faststart", path)  # fmt: skip
    return path

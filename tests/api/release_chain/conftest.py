import pytest

from tests.api.release_chain.kit import dress, sent
from tests.trust.kit import need_packages, signed


@pytest.fixture(autouse=True)
def _packages():
    need_packages()


@pytest.fixture(scope="module")
def plain_clip(tmp_path_factory, ffmpeg):
    path = tmp_path_factory.mktemp("plain") / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=8:duration=1", path)
    return path


@pytest.fixture
def house(make_client, plain_clip, photograph, tmp_path):
    """Approval, and jobs whose clips are signed; nothing is made before `work` is called."""
    client = make_client(work=False, approval="on")
    return dress(client, signed(plain_clip, tmp_path / "signed.mp4", photograph))


@pytest.fixture
def clip(house, jpeg):
    return sent(house, jpeg)

"""Time stamps: a clip that has one outlives its certificate."""

import math
import shutil
import time
from datetime import timedelta

import pytest

from src.trust.authority import make_authority
from src.trust.context import PURPOSES
from src.trust.settings import CERTIFICATE, KEY, TIMESTAMP
from src.trust.verdict import verify_signature
from tests.trust.kit import signed, write_leaf
from tests.trust.stamp_kit import make_server, stamping


@pytest.fixture
def leaf(tmp_path, monkeypatch):
    """A function that has certificates sign that end after some seconds; it returns when, and the
    root.
    """
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here, which makes the time stamps")
    own = make_authority(tmp_path / "own")

    def make(lives_s):
        folder, ends = tmp_path / f"leaf{lives_s}", time.time() + lives_s
        write_leaf(own, folder, timedelta(seconds=lives_s), PURPOSES["emailProtection"])
        monkeypatch.setenv(KEY, str(folder / "leaf.key"))
        monkeypatch.setenv(CERTIFICATE, str(folder / "chain.pem"))
        return ends, (own / "root.pem").read_text()

    return make


def test_a_stamped_clip_outlives_its_certificate(
    plain_clip, photograph, tmp_path, monkeypatch, leaf
):
    leaf(3600)
    begin = time.monotonic()
    signed(plain_clip, tmp_path / "first.mp4", photograph)  # how long it takes on this machine
    ends, root = leaf(math.ceil(3 + 8 * (time.monotonic() - begin)))
    bare = signed(plain_clip, tmp_path / "bare.mp4", photograph)
    stamps = make_server(tmp_path / "stamps")
    with stamping(tmp_path / "stamps") as url:
        monkeypatch.setenv(TIMESTAMP, url)
        stamped = signed(plain_clip, tmp_path / "stamped.mp4", photograph)
    early = verify_signature(stamped, root)["layers"]["c2pa"]
    assert (early["state"], early["signed"]) == ("trusted", ""), "nobody vouches for the stamp"
    time.sleep(max(0.0, ends - time.time()) + 1)
    found = {
        path.stem: verify_signature(path, root + stamps.read_text()) for path in (bare, stamped)
    }
    layers = {name: each["layers"]["c2pa"] for name, each in found.items()}
    assert (layers["bare"]["state"], layers["stamped"]["state"]) == ("expired", "trusted"), layers
    assert layers["stamped"]["signed"] and not layers["bare"]["signed"]
    assert verify_signature(tmp_path / "stamped.mp4", root)["layers"]["c2pa"]["state"] == "expired"
    assert "proves nothing now" in found["bare"]["sentence"] and not found["bare"]["changed"]

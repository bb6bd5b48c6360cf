"""Time stamps: a clip that has one outlives its certificate."""

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

LIVES_S = 4


@pytest.fixture
def leaf(tmp_path, monkeypatch):
    """A certificate that ends in seconds; returns when, and the root."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here, which makes the time stamps")
    own = make_authority(tmp_path / "own")
    made = write_leaf(
        own, tmp_path / "leaf", timedelta(seconds=LIVES_S), PURPOSES["emailProtection"]
    )
    monkeypatch.setenv(KEY, str(made / "leaf.key"))
    monkeypatch.setenv(CERTIFICATE, str(made / "chain.pem"))
    return time.time() + LIVES_S, (own / "root.pem").read_text()


def test_a_stamped_clip_outlives_its_certificate(
    plain_clip, photograph, tmp_path, monkeypatch, leaf
):
    ends, root = leaf
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

"""Keys outside of the process: a function signs, and what it says when it fails is heard."""

import shutil
import sys
import types

import pytest

from src.core.errors import BadInputError
from src.core.paths import home
from src.trust import settings
from src.trust.authority import make_authority
from src.trust.signing import check_signing, sign_file
from src.trust.verdict import verify_signature
from tests.trust.kit import claim


@pytest.fixture
def signed_by(monkeypatch, plain_clip, photograph, tmp_path):
    """Sign a clip with a function of a module; its path."""
    folder = make_authority(home() / settings.TRIAL)

    def run(function):
        module = types.ModuleType("house_hsm")
        module.sign = function(folder / "leaf.key")
        monkeypatch.setitem(sys.modules, "house_hsm", module)
        monkeypatch.setenv(settings.CALLBACK, "house_hsm:sign")
        monkeypatch.setenv(settings.CERTIFICATE, str(folder / "chain.pem"))
        clip = tmp_path / "clip.mp4"
        shutil.copy(plain_clip, clip)
        check_signing()
        sign_file(clip, clip, claim(photograph))
        return clip

    return run


def by_key(path):
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    key = serialization.load_pem_private_key(path.read_bytes(), None)

    def sign(data):
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    return sign


def failing(path):
    def sign(data):
        raise RuntimeError("the HSM is locked")

    return sign


def test_a_function_signs(signed_by):
    clip = signed_by(by_key)
    assert verify_signature(clip, settings.anchors())["layers"]["c2pa"]["state"] == "trusted"


@pytest.mark.parametrize(("function", "sentence"), [
    (failing, r"NEWSREEL_SIGNING_CALLBACK \(house_hsm:sign\) failed: the HSM is locked"),
    (lambda path: lambda data: b"short", "must return the 64 bytes of r and s"),
])  # fmt: skip
def test_what_goes_wrong_in_it_is_one_sentence(signed_by, function, sentence):
    with pytest.raises(BadInputError, match=sentence):
        signed_by(function)


@pytest.mark.parametrize("name", ["no_such_module:sign", "json:no_such_function", "json"])
def test_a_function_that_is_not_there_is_named(monkeypatch, name):
    folder = make_authority(home() / settings.TRIAL)
    monkeypatch.setenv(settings.CALLBACK, name)
    monkeypatch.setenv(settings.CERTIFICATE, str(folder / "chain.pem"))
    with pytest.raises(BadInputError, match=f"{settings.CALLBACK} is '{name}'"):
        check_signing()


def test_it_goes_with_a_certificate_and_without_a_key(monkeypatch):
    monkeypatch.setenv(settings.CALLBACK, "a:b")
    with pytest.raises(BadInputError, match=f"goes with {settings.CERTIFICATE}"):
        check_signing()

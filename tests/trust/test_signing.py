"""Clips are signed whole or left alone, and what cannot sign says so before anything is made."""

import os
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from loguru import logger

from src.cli.certificates import certificates_app
from src.core.errors import BadInputError, MissingFileError
from src.core.files import sha256_of
from src.media.reader import VideoReader
from src.trust import extra, signing
from src.trust.authority import make_authority
from src.trust.claim import ENHANCED
from src.trust.context import PURPOSES
from src.trust.settings import ANCHORS, CERTIFICATE, KEY, TIMESTAMP, TRIAL
from src.trust.signer import read_signatory, signatory, trial_authority
from src.trust.signing import check_signing, sidecar_of, sign_file
from src.trust.verdict import verify_signature
from tests.command_kit import run_here
from tests.trust.kit import claim, signed, write_leaf


@pytest.fixture
def said():
    """What is logged."""
    lines: list[str] = []
    handler = logger.add(lambda message: lines.append(message.record["message"]))
    yield lines
    logger.remove(handler)


@pytest.fixture
def use(monkeypatch):
    """Set key and certificate of a folder."""

    def chosen(folder):
        monkeypatch.setenv(KEY, str(folder / "leaf.key"))
        monkeypatch.setenv(CERTIFICATE, str(folder / "chain.pem"))

    return chosen


def frames(path):
    with VideoReader(path) as reader:
        return [frame.array.tobytes() for frame in reader]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4v"])
def test_frames_are_those_of_the_unsigned_clip(plain_clip, photograph, tmp_path, ffmpeg, suffix):
    plain = tmp_path / f"plain{suffix}"
    ffmpeg("-i", plain_clip, "-c", "copy", plain)
    made = signed(plain, tmp_path / f"signed{suffix}", photograph)
    assert frames(made) == frames(plain) and made.stat().st_size > plain.stat().st_size
    layer = verify_signature(made)["layers"]["c2pa"]
    assert (layer["state"], layer["source_type"]) == ("valid", "trainedAlgorithmicMedia")
    assert (layer["generation"], layer["ingredients"]) == ({"seed": "7"}, ("photograph.png",))
    assert sorted(path.name for path in tmp_path.glob("*signed*")) == [made.name]


def test_the_clip_carries_iptc_fields_and_no_name(plain_clip, photograph, tmp_path):
    data = signed(plain_clip, tmp_path / "a-secret-prompt-7.mp4", photograph).read_bytes()
    assert b'AISystemUsed="Newsreel, nano"' in data and b"a-secret-prompt" not in data
    assert b"digitalsourcetype/trainedAlgorithmicMedia" in data


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_other_containers_stay_as_they_are_beside_a_sidecar(
    plain_clip, photograph, tmp_path, ffmpeg, suffix
):
    clip = tmp_path / f"clip{suffix}"
    codec = ("-c:v", "libvpx", "-an") if suffix == ".webm" else ("-c", "copy")
    ffmpeg("-i", plain_clip, *codec, clip)
    before = sha256_of(clip)
    sign_file(clip, clip, claim(photograph, ENHANCED))
    assert sha256_of(clip) == before and sidecar_of(clip).name == f"clip{suffix}.c2pa"
    assert verify_signature(clip)["layers"]["c2pa"]["state"] == "valid"
    clip.write_bytes(clip.read_bytes() + b"\0")
    found = verify_signature(clip)
    assert found["changed"] and found["layers"]["c2pa"]["sidecar"] == sidecar_of(clip).name


def test_a_trial_authority_is_made_once_and_said(home, said):
    check_signing()
    assert not (home / TRIAL).exists() and said == []  # checking makes nothing
    trial_authority()
    made = (home / TRIAL / "root.pem").read_bytes()
    assert [line for line in said if "a trial certificate authority was made" in line]
    said.clear()
    trial_authority()
    check_signing()
    assert said == [] and (home / TRIAL / "root.pem").read_bytes() == made
    if os.name == "posix":
        assert {path.stat().st_mode & 0o777 for path in (home / TRIAL).iterdir()} == {0o600}
        assert (home / TRIAL).stat().st_mode & 0o777 == 0o700


def test_the_command_makes_an_authority_and_renews_it(tmp_path, plain_clip, photograph, use):
    folder = tmp_path / "own"
    done = run_here(certificates_app(), folder, "--organisation", "Evening Post")
    told = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert told == {KEY: f"{folder}/leaf.key", CERTIFICATE: f"{folder}/chain.pem",
                    ANCHORS: f"{folder}/root.pem"}  # fmt: skip
    refused = run_here(certificates_app(), folder)
    assert refused.returncode == 2 and "there already" in refused.stderr
    before = (folder / "leaf.key").read_bytes()
    assert run_here(certificates_app(), folder, "--renew").returncode == 0
    assert (folder / "leaf.key").read_bytes() != before
    use(folder)
    made = signed(plain_clip, tmp_path / "s.mp4", photograph)
    layer = verify_signature(made, (folder / "root.pem").read_text())["layers"]["c2pa"]
    assert (layer["state"], layer["signer"]) == ("trusted", "Evening Post: clips")


def test_what_is_no_authority_is_not_renewed(tmp_path):
    done = run_here(certificates_app(), tmp_path, "--renew")
    assert done.returncode == 2 and "is no authority of ours" in done.stderr


@pytest.mark.parametrize("purpose", list(PURPOSES))
def test_each_purpose_that_is_listed_signs_and_is_read(
    tmp_path, plain_clip, photograph, use, purpose
):
    own = make_authority(tmp_path / "own")
    use(write_leaf(own, tmp_path / "leaf", timedelta(days=90), PURPOSES[purpose]))
    made = signed(plain_clip, tmp_path / "s.mp4", photograph)
    layer = verify_signature(made, (own / "root.pem").read_text())["layers"]["c2pa"]
    assert layer["state"] == "trusted", layer


@pytest.mark.parametrize(("ends", "purpose", "sentence"), [
    (timedelta(days=90), None, "does not fit C2PA"),
    (timedelta(days=90), "1.3.6.1.5.5.7.3.1", "does not fit C2PA"),  # serverAuth
    (timedelta(days=-1), PURPOSES["emailProtection"], "ended on"),
])  # fmt: skip
def test_a_certificate_that_may_not_sign_is_refused_at_once(tmp_path, use, ends, purpose, sentence):
    use(write_leaf(make_authority(tmp_path / "own"), tmp_path / "leaf", ends, purpose))
    with pytest.raises(BadInputError, match=sentence):
        check_signing()


def test_wrong_settings_are_one_sentence(tmp_path, monkeypatch, use):
    own, other = make_authority(tmp_path / "own"), make_authority(tmp_path / "other")
    monkeypatch.setenv(KEY, str(own / "leaf.key"))
    with pytest.raises(BadInputError, match="go together"):
        check_signing()
    monkeypatch.setenv(CERTIFICATE, str(other / "chain.pem"))
    with pytest.raises(BadInputError, match="is not the key of the first certificate"):
        check_signing()
    monkeypatch.setenv(CERTIFICATE, str(tmp_path / "none.pem"))
    with pytest.raises(MissingFileError, match=f"{CERTIFICATE}: there is no file"):
        check_signing()
    use(own)
    monkeypatch.setenv(TIMESTAMP, "tsa.example.org")
    with pytest.raises(BadInputError, match="must be an http or https URL"):
        check_signing()


def test_the_end_of_a_certificate_is_told_before_it_comes(tmp_path):
    own = make_authority(tmp_path / "own")
    leaf = write_leaf(own, tmp_path / "leaf", timedelta(days=60), PURPOSES["emailProtection"])
    who = read_signatory(leaf / "leaf.key", leaf / "chain.pem", None)
    now = datetime.now(UTC)
    assert who.warning(now) is None
    assert "read as invalid from then on" in who.warning(now + timedelta(days=31))
    stamped = read_signatory(leaf / "leaf.key", leaf / "chain.pem", "https://tsa.example.org")
    assert stamped.warning(now + timedelta(days=31)) is None


def test_a_time_stamp_server_that_is_away_is_told_and_costs_no_clip(
    plain_clip, photograph, tmp_path, monkeypatch, said
):
    monkeypatch.setattr(signing, "PAUSE_S", 0.0)
    monkeypatch.setenv(TIMESTAMP, "http://127.0.0.1:9/none")
    made = signed(plain_clip, tmp_path / "s.mp4", photograph)
    assert verify_signature(made)["layers"]["c2pa"]["state"] == "valid"
    assert len([line for line in said if line.startswith("no time stamp from")]) == signing.TRIES
    assert [line for line in said if "signed without a time stamp" in line]


def test_a_clip_that_cannot_be_signed_leaves_nothing_behind(plain_clip, tmp_path):
    """Its photograph is gone."""
    target = tmp_path / "clip.mp4"
    shutil.copy(plain_clip, target)
    with pytest.raises(Exception, match=r"clip\.mp4 cannot be signed"):
        sign_file(target, target, claim(tmp_path / "gone.png"))
    assert [path.name for path in tmp_path.glob("*clip*")] == ["clip.mp4"]


@pytest.mark.parametrize("module", ["c2pa", "cryptography"])
def test_a_missing_package_is_one_sentence(monkeypatch, module):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(extra.importlib, "import_module", missing)
    with pytest.raises(BadInputError, match=r"pip install -r requirements-trust\.txt"):
        extra.load_extra(module)


def test_the_signatory_of_a_home_stays_the_same(home):
    assert signatory() == signatory()

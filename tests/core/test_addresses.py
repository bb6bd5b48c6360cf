import pytest

from src.core.addresses import (
    address_key,
    artifact_address,
    checked,
    is_stored,
    known_key,
    manifest_key,
    name_in,
    name_of,
    stored_address,
)
from src.core.errors import BadInputError

DIGEST = "0f" * 32


@pytest.mark.parametrize(("folder", "suffix"), [("photographs", ".png"), ("uploads", ".video")])
def test_a_stored_file_is_found_by_its_address(folder, suffix):
    name = f"{DIGEST}{suffix}"
    assert (
        stored_address(name) == f"sha256:{name}"
        and address_key(stored_address(name)) == f"{folder}/{name}"
    )
    assert is_stored(stored_address(name)) and name_in(stored_address(name)) == name == name_of(
        address_key(stored_address(name))
    )


def test_a_clip_is_found_by_its_name():
    assert address_key(artifact_address("a-1.mp4")) == "examples/a-1.mp4"
    assert manifest_key("examples/a-1.mp4") == "examples/a-1.json"
    assert not is_stored(artifact_address("a-1.mp4"))


@pytest.mark.parametrize("address", [
    "sha256:", "sha256:../x.png", f"sha256:{DIGEST}", f"sha256:{DIGEST}.png/..",
    "artifact:../a.mp4", "artifact:.a.mp4", "artifact:a/b.mp4", "artifact:a\\b.mp4", "/etc/passwd",
    f"http:{DIGEST}.png",
])  # fmt: skip
def test_nothing_else_is_an_address(address):
    with pytest.raises(BadInputError, match="is no address of a stored file"):
        address_key(address)
    assert known_key(address) is None


def test_clips_of_before_have_any_name():
    assert address_key("artifact:My Clip.mp4") == "examples/My Clip.mp4"
    assert known_key(None) is None


@pytest.mark.parametrize(
    "key", ["", "a", "/etc/passwd", "a/../b", "a/..", "a/.", "a/b/c", "A/b", "a/", "a/b\x00c"]
)
def test_nothing_that_leads_elsewhere_is_a_key(key):
    with pytest.raises(BadInputError, match="is no key of a stored file"):
        checked(key)

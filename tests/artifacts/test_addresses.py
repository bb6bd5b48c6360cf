import pytest

from src.artifacts.addresses import artifact, found, is_stored, name_in, path_of, stored
from src.core.errors import BadInputError
from src.core.paths import examples, home

DIGEST = "0f" * 32


@pytest.mark.parametrize(("folder", "suffix"), [("photographs", ".png"), ("uploads", ".video")])
def test_a_stored_file_is_found_by_its_address(folder, suffix):
    path = home() / folder / f"{DIGEST}{suffix}"
    assert stored(path) == f"sha256:{DIGEST}{suffix}" and path_of(stored(path)) == path
    assert is_stored(stored(path)) and name_in(stored(path)) == path.name


def test_a_clip_is_found_by_its_name():
    assert path_of(artifact("a-1.mp4")) == examples() / "a-1.mp4"
    assert not is_stored(artifact("a-1.mp4"))


@pytest.mark.parametrize("address", [
    "sha256:", "sha256:../x.png", f"sha256:{DIGEST}", f"sha256:{DIGEST}.png/..", "artifact:../a.mp4",
    "artifact:.a.mp4", "artifact:a/b.mp4", "artifact:a\\b.mp4", "/etc/passwd", f"http:{DIGEST}.png",
])  # fmt: skip
def test_nothing_else_is_an_address(address):
    with pytest.raises(BadInputError, match="is no address of a stored file"):
        path_of(address)
    assert found(address) is None


def test_clips_of_before_have_any_name():
    assert path_of("artifact:My Clip.mp4") == examples() / "My Clip.mp4"
    assert found(None) is None

import pytest

from src.artifacts.local import LocalStore
from src.core.durable import write_whole
from src.core.errors import OutputError


def test_two_who_reserved_the_same_name_publish_under_different_ones(tmp_path):
    store = LocalStore(tmp_path)
    wanted = store.reserve(tmp_path / "clip.mp4", replace=False)
    assert store.reserve(tmp_path / "clip.mp4", replace=False) == wanted
    with store.claim(wanted, replace=False) as first, store.claim(wanted, replace=False) as second:
        assert [first.name, second.name] == ["clip.mp4", "clip-2.mp4"]


def test_a_claim_that_fails_leaves_nothing(tmp_path):
    with (
        pytest.raises(OutputError),
        LocalStore(tmp_path).claim(tmp_path / "clip.mp4", replace=False),
    ):
        raise OutputError("the disk is full")
    assert list(tmp_path.iterdir()) == []


def test_a_name_whose_manifest_is_taken_is_taken(tmp_path):
    (tmp_path / "clip.json").write_text("mine")
    store = LocalStore(tmp_path)
    assert store.reserve(tmp_path / "clip.mp4", replace=False).name == "clip-2.mp4"
    with store.claim(tmp_path / "clip.mp4", replace=False) as final:
        assert final.name == "clip-2.mp4"
    assert (tmp_path / "clip.json").read_text("utf-8") == "mine"


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_whole(tmp_path / "file" / "x.json", b"")

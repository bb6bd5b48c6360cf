"""What a plan needs of a model's folder beside the weights."""

import pytest

from src.catalog.models import load_models
from src.core.errors import BadInputError
from src.pipelines.folder_files import FolderFiles, read_folder_files

NANO = load_models()["nano"]


def test_nothing_is_read_for_a_plain_plan(tmp_path):
    assert read_folder_files(NANO, tmp_path / "nowhere") == FolderFiles()


def test_heads_are_those_of_the_folder(tiny_folder):
    assert read_folder_files(NANO, tiny_folder, gpus=2) == FolderFiles(heads=2)


def test_what_is_not_there_is_named(tiny_folder):
    with pytest.raises(BadInputError, match="calibrat"):
        read_folder_files(NANO, tiny_folder, cache="magcache")
    with pytest.raises(BadInputError, match="preview decoder"):
        read_folder_files(NANO, tiny_folder, draft=True)
    with pytest.raises(BadInputError, match="svd-xt: .* is computed by one process"):
        read_folder_files(load_models()["svd-xt"], tiny_folder, gpus=2)

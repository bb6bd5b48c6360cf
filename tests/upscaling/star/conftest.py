"""A narrow STAR, written once."""

import pytest
import torch

from tests.upscaling.star.kit import narrow_star


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def star(tmp_path_factory):
    """The folder of a narrow STAR with every file."""
    return narrow_star(tmp_path_factory.mktemp("star") / "star", heavy=True)

"""An adapter in a form: a path that exists is a path, only a last =NUMBER is its weight."""

import pytest

from src.api import forms
from src.core.errors import MissingFileError


def test_names_with_an_equals_sign(tmp_path, monkeypatch):
    (tmp_path / "epoch=3-step=100.safetensors").touch()
    (tmp_path / "press").mkdir()
    monkeypatch.setattr(forms, "CHECKPOINTS", tmp_path)
    named = "checkpoints/epoch=3-step=100.safetensors"
    assert forms.local_adapter("epoch=3-step=100.safetensors") == named
    assert forms.local_adapter("epoch=3-step=100.safetensors=0.5") == f"{named}=0.5"
    assert forms.local_adapter("checkpoints/press=2") == "checkpoints/press=2"
    for gone in ("none", "none=1"):
        with pytest.raises(MissingFileError, match="not under checkpoints"):
            forms.local_adapter(gone)

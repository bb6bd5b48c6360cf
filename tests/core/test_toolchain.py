"""What compiling at run time lacks: a compiler, Triton, or the headers of Python, which both kinds
of code include.
"""

import pytest

from src.core import toolchain


@pytest.fixture(autouse=True)
def _usual_place(monkeypatch):
    monkeypatch.setattr(toolchain.tempfile, "gettempdir", lambda: "/tmp")
    monkeypatch.setattr(toolchain.locale, "getencoding", lambda: "UTF-8")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_without_pythons_headers_nothing_compiles(monkeypatch, tmp_path, device):
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(toolchain, "find_spec", lambda name: name)
    monkeypatch.setattr(toolchain.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert (
        toolchain.missing_for_compiling(device)
        == "the headers of Python: apt-get install python3-dev"
    )
    (tmp_path / "Python.h").touch()
    assert toolchain.missing_for_compiling(device) == ""


@pytest.mark.parametrize(("device", "told"), [("cpu", "a C++ compiler"), ("cuda", "a C compiler")])
def test_without_a_compiler_the_package_is_named(monkeypatch, device, told):
    monkeypatch.setattr(toolchain, "find_spec", lambda name: name)
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None)
    assert toolchain.missing_for_compiling(device).startswith(told)


def test_a_folder_with_a_space_is_told_before_torch_stumbles_over_it(monkeypatch):
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(toolchain.tempfile, "gettempdir", lambda: "/tmp/a b")
    assert "without a space in its path, /tmp/a b: set TMPDIR" in (
        toolchain.missing_for_compiling("cpu")
    )


def test_a_locale_that_is_not_utf8_is_told_too(monkeypatch):
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(toolchain, "has_headers", lambda: True)
    monkeypatch.setattr(toolchain.tempfile, "gettempdir", lambda: "/tmp")
    monkeypatch.setattr(toolchain.locale, "getencoding", lambda: "ANSI_X3.4-1968")
    monkeypatch.setattr(toolchain.sys, "flags", type("Flags", (), {"utf8_mode": 0}))
    told = toolchain.missing_for_compiling("cpu")
    assert told == "a locale of UTF-8, not ANSI_X3.4-1968: set PYTHONUTF8=1"

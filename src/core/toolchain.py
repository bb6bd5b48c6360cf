"""What compiling at run time needs of this machine beside torch. Imports no torch."""

import locale
import shutil
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

CXX = ("g++", "clang++")
CC = ("gcc", "clang", "cc")


def missing_for_compiling(device: str) -> str:
    """What torch.compile lacks here, "" for nothing.

    On a CPU it builds C++; on a GPU Triton builds a launcher in C for each kernel; both against the
    headers of Python.
    """
    tools = _missing_cxx() if device == "cpu" else _missing_triton()
    return tools or _missing_headers() or _missing_encoding()


def _missing_cxx() -> str:
    if not any(map(shutil.which, CXX)):
        return "a C++ compiler: apt-get install g++ python3-dev"
    return _missing_folder()


def _missing_folder() -> str:
    """torch hands the compiler its paths unquoted (2.13)."""
    folder = tempfile.gettempdir()
    if not any(map(str.isspace, folder)):
        return ""
    return f"a folder for temporary files without a space in its path, {folder}: set TMPDIR"


def _missing_triton() -> str:
    if find_spec("triton") is None:
        return "the package triton, which comes with PyTorch for Linux"
    return "" if any(map(shutil.which, CC)) else "a C compiler: apt-get install gcc python3-dev"


def _missing_headers() -> str:
    return "" if has_headers() else "the headers of Python: apt-get install python3-dev"


def _missing_encoding() -> str:
    """torch reads templates of its own in the locale's encoding (2.13)."""
    found = locale.getencoding()
    if found.lower().replace("-", "") == "utf8" or sys.flags.utf8_mode:
        return ""
    return f"a locale of UTF-8, not {found}: set PYTHONUTF8=1"


def has_headers() -> bool:
    """Whether Python.h lies where compilers are told to look for it."""
    return (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file()


def has_package(name: str) -> bool:
    """Whether a package is installed, without importing it."""
    return find_spec(name) is not None

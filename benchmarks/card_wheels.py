"""The packages that a bare machine with PyTorch, transformers, accelerate and peft lacks, as wheels
in a folder.
"""

import re
import subprocess
import sys
from pathlib import Path

from src.core.errors import BadInputError
from src.core.paths import REPOSITORY
from src.scenes.photographs import PACKED, pack_photographs

WITH_DEPENDENCIES = ("pydantic",)
ALONE = ("diffusers", "loguru", "torchao", "PyYAML", "psutil", "pillow")
UNPINNED = ("importlib-metadata", "zipp")
"""diffusers asks for these two, of any version."""
TARGET = (
    "--python-version",
    "3.12",
    "--platform",
    "manylinux_2_28_x86_64",
    "--platform",
    "manylinux2014_x86_64",
)
LIMIT = 30_000_000
PHOTOGRAPHS = "photographs.npz"
"""What the part `nano` paints its canvases from, in place of scikit-image's wheel and those that it
needs.
"""


def collect(folder: Path) -> str:
    """Download the wheels for Linux and Python 3.12; returns what to do with them.

    Raises BadInputError where pip cannot fetch them or they are larger than 30 MB together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pins = pinned()
    _pip(folder, [pins[name.lower()] for name in WITH_DEPENDENCIES])
    _pip(folder, [*(pins[name.lower()] for name in ALONE), *UNPINNED], "--no-deps")
    pack_photographs(folder / PHOTOGRAPHS)
    size = sum(file.stat().st_size for file in (folder / PHOTOGRAPHS, *folder.glob("*.whl")))
    if size > LIMIT:
        raise BadInputError(
            f"the wheels in {folder} are {size / 1e6:.1f} MB; {LIMIT / 1e6:.0f} MB is the limit"
        )
    count = len(list(folder.glob("*.whl")))
    return (
        f"{count} wheels, {size / 1e6:.1f} MB; on the card's machine: "
        f"python3 -m pip install --no-index --no-deps {folder}/*.whl && export "
        f"{PACKED}={folder / PHOTOGRAPHS} && "
        "python3 -m benchmarks.card --minutes 9 --out outputs/card"
    )


def pinned() -> dict[str, str]:
    """Every `name==version` of the requirement files, by name in lower case."""
    files = ("requirements.txt", "requirements-quantize.txt")
    lines = [
        line
        for name in files
        for line in (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    ]
    found = (re.match(r"([A-Za-z0-9_.-]+)(\[[a-z]+\])?==([^;\s]+)", line) for line in lines)
    return {match[1].lower(): f"{match[1]}=={match[3]}" for match in found if match}


def _pip(folder: Path, packages: list[str], *flags: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--only-binary=:all:",
        *TARGET,
        *flags,
        "-d",
        folder,
    ]
    done = subprocess.run(
        [*map(str, command), *packages], check=False, capture_output=True, text=True
    )
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [
            "no reason given"
        ]
        raise BadInputError(f"pip could not fetch {', '.join(packages)}: {reason[-1]}")

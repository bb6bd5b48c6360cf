"""What `deploy/slim_packages.sh` takes out of the API image, and that what is left still works."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from src.core.paths import REPOSITORY

needs_strip = pytest.mark.skipif(shutil.which("strip") is None, reason="binutils are not here")


@needs_strip
def test_a_slimmed_package_is_smaller_and_still_imports(tmp_path):
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    shutil.copytree(Path(yaml.__file__).parent, packages / "yaml")
    for path in ("tests/test_it.py", "fast.c", "fast.pyx", "yaml/data.json"):
        (packages / path).parent.mkdir(parents=True, exist_ok=True)
        (packages / path).write_text("{}")
    (extension,) = (packages / "yaml").glob("_yaml*.so")
    before = extension.stat().st_size
    subprocess.run(["sh", str(REPOSITORY / "deploy" / "slim_packages.sh"), tmp_path], check=True)
    assert extension.stat().st_size < before
    left = {path.name for path in packages.rglob("*") if path.is_file()}
    assert "data.json" in left and not left & {"test_it.py", "fast.c", "fast.pyx"}
    code = "import sys, yaml; print(yaml.__file__, yaml.load('a: 1', yaml.CSafeLoader))"
    said = subprocess.run([sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(packages)},
                          capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert said.startswith(str(packages)) and said.endswith("{'a': 1}\n")

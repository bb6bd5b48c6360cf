"""The requirement files go together: pip reads the first as the constraints of the others."""

from src.core.paths import REPOSITORY


def _lines(name):
    lines = (
        line.split("#")[0].strip() for line in (REPOSITORY / name).read_text("utf-8").splitlines()
    )
    return [line for line in lines if line]


def test_every_version_is_exact():
    assert [line for line in _lines("requirements.txt") if "==" not in line] == []


def test_what_serves_as_constraints_names_no_extras():
    """pip refuses such a file whole, and with it each one that takes it."""
    files = sorted(path.name for path in REPOSITORY.glob("requirements*.txt"))
    constraints = {
        line.split()[1] for name in files for line in _lines(name) if line.startswith("-c ")
    }
    assert constraints == {"requirements.txt"}
    assert [
        line for name in constraints for line in _lines(name) if "[" in line.split(";")[0]
    ] == []

"""A public name lives in one module: who searches for it finds one definition."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

from src.core.paths import REPOSITORY

SRC = REPOSITORY / "src"
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
PROTOCOLS = [SRC / "pipelines" / name for name in ("family.py", "sides.py", "learning.py")]
ROOMS = tuple(f"pipelines/{name}/" for name in ("cogvideox", "fake", "ltx", "wan_ti2v"))
SAME_PART = frozenset((
    "Conditioning", "Denoiser", "Stages", "decode_tiled", "decoded", "denormalised",
    "enable_tiling", "encode_prompts",
))  # fmt: skip
"""What rooms of families have behind the protocol's functions, each of its own model: one part of
the road has one name in all of them."""
ELSEWHERE = {
    "main": "what `python -m` runs of a module",
    "upgrade": "Alembic calls it in each migration",
    "downgrade": "Alembic calls it in each migration",
}


@cache
def _defined(path: Path) -> tuple[Definition, ...]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(node for node in tree.body if isinstance(node, Definition))


def _of_the_protocol() -> set[str]:
    """Names of the methods of a family and of its sides, which may be modules."""
    classes = [node for path in PROTOCOLS for node in _defined(path)]
    return {
        each.name
        for node in classes
        if isinstance(node, ast.ClassDef)
        for each in node.body
        if isinstance(each, ast.FunctionDef)
    }


def _homes() -> dict[str, list[str]]:
    """The modules that define each public name, but for those that a protocol of families asks
    for."""
    homes, asked = defaultdict(list), _of_the_protocol() | SAME_PART
    for path in sorted(SRC.rglob("*.py")):
        module = path.relative_to(SRC).as_posix()
        own = asked if module.startswith(ROOMS) else set()
        for name in {node.name for node in _defined(path)} - own - set(ELSEWHERE):
            if not name.startswith("_"):
                homes[name].append(module)
    return homes


def test_a_public_name_lives_in_one_module():
    homes = _homes()
    assert len(homes) > 1000  # the walk found the code
    twice = {name: where for name, where in homes.items() if len(where) > 1}
    assert not twice, "rename one of each so that its name says what it is"


def test_every_exception_is_one():
    """A name that no two rooms define any more comes off the list."""
    count = defaultdict(int)
    for path in SRC.rglob("*.py"):
        for name in {node.name for node in _defined(path)} & (SAME_PART | set(ELSEWHERE)):
            count[name] += 1
    assert all(count[name] > 1 for name in SAME_PART | set(ELSEWHERE))

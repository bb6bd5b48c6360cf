"""Count a model's device memory by stage, on the meta device: neither a GPU nor weights are needed.

python -m src.evaluation.memory --model cogvideox-5b-i2v            # the figures, and which profile
each card gets python -m src.evaluation.memory --model all --write                 # into
configs/models/, for the planner python -m src.evaluation.memory --model all --page
docs/benchmarks.md                                 # and docs/models.md: the table of the models
that run as diffusers has them
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from src.catalog.models import MODELS
from src.catalog.spec import Memory, ModelSpec
from src.console.output import command
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.paths import CONFIGS
from src.core.request import Request
from src.engine.planner import choices
from src.evaluation.pages import around_block, markdown_table, write_block
from src.pipelines.models import find_model

CARDS = (8, 10, 12, 16, 24, 32, 40, 48, 80, 141)
"""GB as they are sold."""
USABLE, CONTEXT = 0.97, 500_000_000
"""What drivers show of a card's memory, and what a process has lost of it before its
first tensor.
"""
LARGE = ("cogvideox-5b-i2v", "cogvideox1.5-5b-i2v")
CARDS_OF_OURS, CARDS_OF_STOCK = "cards", "stock cards"
"""Blocks of pages: of the large models with a loop of ours, and of those without one."""


def main() -> None:
    arguments = parse_arguments()
    with command(as_json=False, quiet=False):
        run(arguments)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="all", help="a model's name, a diffusers folder, or all")
    parser.add_argument(
        "--write", action="store_true", help="write the figures into configs/models/"
    )
    parser.add_argument("--page", type=Path, help="write the table of cards into this page")
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> None:
    specs = [
        find_model(name) for name in (MODELS if arguments.model == "all" else (arguments.model,))
    ]
    _check(arguments, specs)
    counted = [spec.model_copy(update={"memory": count_of(spec)}) for spec in specs]
    for spec in counted:
        print(f"{spec.id}\n{figures(spec.memory)}\n")
    if arguments.write:
        for spec in counted:
            print(write_memory(spec))
    tables = tables_of(counted)
    for table in tables.values():
        print(f"{table}\n")
    for name in places_in(arguments.page) if arguments.page else ():
        write_block(arguments.page, name, tables[name])


def tables_of(counted: list[ModelSpec]) -> dict[str, str]:
    """By the block that each is for; of models that were not counted there is none."""
    large = [spec for spec in counted if spec.id in LARGE]
    stock = [spec for spec in counted if is_stock(spec)]
    made = {CARDS_OF_OURS: cards(large) if large else ""}
    made |= {CARDS_OF_STOCK: stock_cards(stock) if stock else ""}
    return {name: table for name, table in made.items() if table}


def is_stock(spec: ModelSpec) -> bool:
    """Whether it runs as diffusers has it alone."""
    from src.pipelines.families import family_of

    return "optimized" not in family_of(spec).modes


def places_in(page: Path) -> list[str]:
    """The blocks that a page has a place for. Raises MissingFileError where it has none."""
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    found = [name for name in (CARDS_OF_OURS, CARDS_OF_STOCK) if f"<!-- {name}: begin" in text]
    for name in found or [CARDS_OF_OURS]:
        around_block(page, name)
    return found


def _check(arguments: argparse.Namespace, specs: list[ModelSpec]) -> None:
    """Raise before anything is counted where --write or --page has no place to write to."""
    if arguments.page and {spec.id for spec in specs} < set(MODELS):
        raise BadInputError("--page takes the tables of all large models; give --model all")
    if arguments.page:
        places_in(arguments.page)
    for spec in specs if arguments.write else ():
        _file_of(spec)


def _file_of(spec: ModelSpec) -> Path:
    path = CONFIGS / "models" / f"{spec.id}.yaml"
    if not path.is_file():
        raise BadInputError(f"--write goes into configs/models/, which has no {path.name}")
    return path


def count_of(spec: ModelSpec) -> Memory:
    """Count the model anew, keeping what was measured on a card."""
    from src.pipelines.families import family_of
    from src.pipelines.footprint import count, count_folder
    from src.pipelines.locate import locate

    counted = (
        count(spec)
        if spec.id in family_of(spec).architectures
        else count_folder(spec, locate(spec))
    )
    return counted.model_copy(update={"measured": spec.memory.measured})


def figures(memory: Memory) -> str:
    """One line a figure, in GB."""
    values = {f"weights of {part}": value for part, value in memory.weights.items()}
    values |= {f"{part} as it streams": value for part, value in memory.streams.items()}
    values |= memory.model_dump(exclude={"measured", "layers", "weights", "streams"})
    return markdown_table(
        ("What", "GB"), [(name, f"{value / 1e9:.3f}") for name, value in values.items()]
    )


def write_memory(spec: ModelSpec) -> Path:
    """Put the figures into the model's own file, before its size where it has none yet. Raises
    BadInputError for a model that has no file."""
    path = _file_of(spec)
    values = spec.memory.model_dump(exclude_defaults=True)
    block = "memory:\n" + "".join(f"  {name}: {_inline(value)}\n" for name, value in values.items())
    text = path.read_text(encoding="utf-8")
    place = r"^memory:.*\n(?:  .*\n)*" if "\nmemory:" in text else r"^(?=native:)"
    path.write_text(re.sub(place, block, text, count=1, flags=re.MULTILINE), encoding="utf-8")
    return path


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {number}" for name, number in value.items()) + "}"
    return str(value)


def card(gigabytes: int) -> Hardware:
    """A card of this size as the planner sees it: Ampere or newer, nothing else running, compiler
    and torchao there.
    """
    memory = round(gigabytes * 2**30 * USABLE)
    return Hardware(
        device="cuda", name=f"a card of {gigabytes} GB", memory=memory,
        free_memory=memory - CONTEXT, capability=(8, 9), bf16=True, compiler=True, quantizer=True,
        vendor="nvidia", host_memory=64 << 30, free_host_memory=56 << 30,
    )  # fmt: skip


def cards(specs: list[ModelSpec]) -> str:
    """Which profile each card gets, what it is predicted to need, and what is left."""
    return markdown_table(
        ("Card", "Free, GB", *_heads(specs)), [_row(size, specs) for size in CARDS]
    )


def _heads(specs: list[ModelSpec]) -> Iterator[str]:
    for spec in specs:
        yield from (f"{spec.id}: profile", "counted, GB", "kept free, GB", "measured, GB")


def _row(size: int, specs: list[ModelSpec]) -> list[str]:
    hardware = card(size)
    cells = [f"{size} GB", f"{hardware.free_memory / 1e9:.1f}"]
    for spec in specs:
        cells += _cells(spec, hardware)
    return cells


def _cells(spec: ModelSpec, hardware: Hardware) -> list[str]:
    try:
        chosen = choices(Request(input_image=Path("none.png"), prompt="x"), spec, hardware)[0]
    except BadInputError:
        return ["none fits", "-", "-", "-"]
    name = f"{chosen.profile.name}{', in tiles' if chosen.profile.tiling else ''}"
    left = hardware.free_memory - chosen.estimate
    measured = spec.memory.measured.get(chosen.profile.name)
    told = f"{measured / 1e9:.1f}" if measured else "not measured"
    return [name, f"{chosen.estimate / 1e9:.1f}", f"{left / 1e9:.1f}", told]


def stock_cards(specs: list[ModelSpec]) -> str:
    """What each of these models needs in mode baseline on each card, in GB, and how its parts lie
    there: whole, or moved one after the other. Of one that does not fit, the dash.
    """
    header = ("Card", "Free, GB", *(spec.id for spec in specs))
    needs = [["", "least that it needs", *(_least(spec) for spec in specs)]]
    rows = [_stock_row(size, specs) for size in CARDS]
    return markdown_table(header, needs + rows)


def _stock_row(size: int, specs: list[ModelSpec]) -> list[str]:
    hardware = card(size)
    cells = [_stock_cell(spec, hardware) for spec in specs]
    return [f"{size} GB", f"{hardware.free_memory / 1e9:.1f}", *cells]


def _stock_cell(spec: ModelSpec, hardware: Hardware) -> str:
    for offload, words in (("auto", ""), ("sequential", "layer by layer, ")):
        try:
            chosen = choices(_stock_request(offload), spec, hardware)[0]
        except BadInputError:
            continue
        how = words or {"none": "whole, ", "model": "parts move, "}[chosen.profile.offload]
        if chosen.needed <= hardware.free_memory:
            return f"{how}{chosen.needed / 1e9:.1f}"
    return "-"


def _least(spec: ModelSpec) -> str:
    huge = card(10_000)
    found = choices(_stock_request("sequential"), spec, huge)[0]
    return f"{found.needed / 1e9:.1f}"


def _stock_request(offload: str) -> Request:
    wish = {"input_image": "none.png", "prompt": "x", "mode": "baseline", "offload": offload}
    return Request.model_validate(wish)


if __name__ == "__main__":
    main()

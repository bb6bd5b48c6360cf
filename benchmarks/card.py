"""One command for a borrowed card: every question that only a GPU can answer, in the order of their
worth.

    python -m benchmarks.card --wheels FOLDER  # here: what a bare machine with PyTorch lacks
    python -m benchmarks.card --minutes 9 --out FOLDER  # there: no network, no weights
    python -m benchmarks.card --part nano --minutes 7 --out FOLDER  # there: the embedded model
    python -m benchmarks.card --publish FOLDER  # here: figures into the docs and the planner
    python -m benchmarks.card --rehearse --minutes 3 --out FOLDER  # every row, small, on a CPU

The 5B's architecture with random weights. Each row stands alone: what fails is written down and the
next one begins; results are written after each, and the run ends in time whatever hangs.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.card_run import RESULT, run_rows
from src.console.output import command
from src.core.errors import BadInputError

WEIGHTS = "nano.tar.00"
WRITING_SECONDS = 25
"""Of the part `nano`, kept for exporting."""


def main() -> None:
    arguments = parse()
    with command():
        if arguments.wheels:
            from benchmarks.card_wheels import collect

            print(collect(arguments.wheels))
        elif arguments.publish:
            from benchmarks.card_publish import publish

            publish_weights(arguments.publish)
            if (arguments.publish / RESULT).is_file() or not (
                arguments.publish / WEIGHTS
            ).is_file():
                publish(arguments.publish / RESULT, arguments.page)
        else:
            measure(arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for the results")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="measure")
    parser.add_argument(
        "--start", type=Path, metavar="PIPELINE", help="part nano: weights to go on from"
    )
    parser.add_argument(
        "--settings", type=Path, metavar="YAML", help="part nano: default embedded_card.yaml"
    )
    parser.add_argument(
        "--stage", action="append", default=[], help="part nano: this stage alone; repeatable"
    )
    parser.add_argument(
        "--rehearse", action="store_true", help="every row on a tiny architecture, on the CPU"
    )
    parser.add_argument(
        "--wheels",
        type=Path,
        metavar="FOLDER",
        help="collect the packages that a bare machine lacks",
    )
    parser.add_argument(
        "--publish", type=Path, metavar="FOLDER", help="write a folder's results into the docs"
    )
    parser.add_argument(
        "--page",
        type=Path,
        default=Path("docs/benchmarks.md"),
        help="the page that --publish writes",
    )
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> None:
    """Run the parts, each with its share of the minutes. Raises BadInputError before anything is
    built.
    """
    if arguments.out is None:
        raise BadInputError("--out FOLDER is needed: results are written there after each row")
    if not 0 < arguments.minutes <= 600:
        raise BadInputError(
            f"--minutes is {arguments.minutes:g}; it must be above 0 and at most 600"
        )
    check_device(arguments.rehearse)
    end = time.monotonic() + 60 * arguments.minutes
    names = list(PARTS) if arguments.part == "all" else [arguments.part]
    for index, name in enumerate(names):
        now = time.monotonic()
        PARTS[name](arguments, now + (end - now) / (len(names) - index))


def check_device(rehearse: bool) -> None:
    """A card, unless this is a rehearsal."""
    import torch

    if not rehearse and not torch.cuda.is_available():
        raise BadInputError(
            "no CUDA device is visible here; --rehearse runs every row small on the CPU"
        )


def measure_card(arguments: argparse.Namespace, end: float) -> None:
    """The part `measure`: the rows of `card_rows.py`."""
    from benchmarks.card_bench import Bench
    from benchmarks.card_rows import ROWS

    gc.freeze()  # each row collects, and the imports are no garbage
    bench = Bench(arguments.rehearse, arguments.out)
    run_rows(ROWS, bench, arguments.out, end, {"rehearsal": arguments.rehearse})


def train_card(arguments: argparse.Namespace, end: float) -> None:
    """The part `nano`: the embedded model, from nothing or from --start; ends early enough to write
    its weights.
    """
    from benchmarks.card_nano import SETTINGS, train

    writing = 2 if arguments.rehearse else WRITING_SECONDS
    minutes = max(1.0, end - time.monotonic() - writing) / 60  # a step of each stage at least
    figures = train(
        minutes,
        arguments.out,
        arguments.rehearse,
        arguments.start,
        tuple(arguments.stage),
        arguments.settings or SETTINGS,
    )
    print(json.dumps(figures), flush=True)


def publish_weights(folder: Path) -> None:
    """Put the parts of a pipeline together, if any came back, beside them: its table decides what
    becomes of it.
    """
    from benchmarks.card_nano import unpack

    if (folder / WEIGHTS).is_file():
        pipeline = unpack(folder, folder / "pipeline")
        print(f"{pipeline}: measure it with python -m src.evaluation.embedded --model {pipeline}")


PARTS: dict[str, Callable[[argparse.Namespace, float], None]] = {
    "nano": train_card,
    "measure": measure_card,
}
"""What the command can do with a card's minutes, by name; `--part all` does all of it, in this
order.
"""


if __name__ == "__main__":
    main()

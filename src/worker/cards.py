"""Which cards a worker holds: those that CUDA shows, in groups of as many as a clip may take.

`python -m src.worker.cards` counts them in a process of its own: the service imports no torch, and
what CUDA shows is settled in a process once it was asked.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from itertools import cycle, islice

from src.core.devices import may_have_gpu
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.paths import REPOSITORY
from src.core.wording import counted

VISIBLE = "CUDA_VISIBLE_DEVICES"
MOST = 16
"""Devices that make one clip together, as `Request.gpus` has it."""


def gpus_per_worker(asked: int | None) -> int:
    """What a worker holds for one clip: as asked, else as NEWSREEL_GPUS_PER_WORKER says, else 1.

    Raises BadInputError.
    """
    text = str(asked) if asked is not None else os.environ.get("NEWSREEL_GPUS_PER_WORKER") or "1"
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        name = "NEWSREEL_GPUS_PER_WORKER" if asked is None else "--gpus"
        raise BadInputError(f"{name} is {text!r}; it must be 1 to {MOST}")
    return int(text)


def holding(hardware: Hardware, gpus: int) -> Hardware:
    """The machine as a worker sees it that holds so many devices of it. Raises BadInputError where
    there are fewer cards; a CPU is one device, whatever number of processes shares it.
    """
    if hardware.device == "cuda" and hardware.count < gpus:
        raise BadInputError(
            f"this worker is to hold {counted(gpus, 'GPU')} (--gpus, NEWSREEL_GPUS_PER_WORKER), "
            f"and {counted(hardware.count, 'GPU')} can be seen here"
        )
    return hardware.model_copy(update={"held": gpus})


def groups(workers: int, gpus: int, shown: int, environment: Mapping[str, str]) -> list[str | None]:
    """What CUDA is to show to each worker that the service starts: a group of cards of its own.

    shown: cards that the service's own environment shows; 0, where there are none or one worker
    takes the first: None, as it is. Workers of one card each may be more than the cards: they go
    round, and those that share one wait for its lease. Raises BadInputError for more groups of
    several than there are cards.
    """
    if not shown:
        return [None] * workers
    if gpus > 1 and workers * gpus > shown:
        raise BadInputError(
            f"NEWSREEL_WORKERS={workers} with NEWSREEL_GPUS_PER_WORKER={gpus} takes "
            f"{workers * gpus} GPUs, and {counted(shown, 'GPU')} can be seen here; lower one"
        )
    named = [name.strip() for name in environment.get(VISIBLE, "").split(",") if name.strip()]
    cards = cycle(named[:shown] or [str(place) for place in range(shown)])
    return [",".join(islice(cards, gpus)) for _ in range(workers)]


def cards_shown() -> int:
    """How many cards CUDA shows to a process of this environment."""
    command = [sys.executable, "-m", "src.worker.cards"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return int(done.stdout)


def main() -> None:
    """Print how many there are; without a driver no torch is imported to say none."""
    if not may_have_gpu():
        print(0)
        return
    import torch

    print(torch.cuda.device_count())


if __name__ == "__main__":
    main()

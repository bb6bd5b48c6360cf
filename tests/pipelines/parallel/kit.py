"""Groups of processes that stay small: each is forked from one server, which has imported all that
they need.
"""

import multiprocessing
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.core.plan import Plan
from src.core.progress import CancelToken, ignore
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines import loading  # noqa: F401  # for the server
from src.pipelines.parallel.ranks import join_group

PRELOAD = ["tests.pipelines.parallel.kit", "diffusers.pipelines.cogvideo", "src.pipelines.adapters",
           "src.pipelines.cogvideox.divided"]  # fmt: skip


@dataclass(frozen=True)
class Made:
    """Of one process and clip: latents as they are decoded, frames (none but in the first), bytes
    sent in each step and while decoding.
    """

    latents: np.ndarray
    frames: np.ndarray | None
    steps: list[int]
    decoding: int


def make(session: Session, plan: Plan, picture: np.ndarray) -> Made:
    """The clip of a session, with what the loop had between its stages."""
    family: Any = session.family
    loop, ranks, kept = family.loop, session._ranks, {}
    decode = loop.decode

    def keep(pipe: Any, latents: torch.Tensor, *others: Any) -> Any:
        kept["latents"], kept["sent"] = latents.numpy(), ranks.sent if ranks else 0
        return decode(pipe, latents, *others)

    loop.decode = keep
    try:
        frames = list(session.run(plan, picture, Stopwatch(), ignore, CancelToken()))
    finally:
        loop.decode = decode
    sent = (ranks.sent if ranks else 0) - kept["sent"]
    return Made(
        kept["latents"], np.stack(frames) if frames else None, ranks.steps if ranks else [], sent
    )


def member(rank: int, place: Path, folder: Path, plans: list[Plan], picture: np.ndarray) -> None:
    torch.set_num_threads(1)
    count = plans[0].session.gpus
    ranks = join_group(rank, count, "cpu", str(place / "meeting"), limit_s=120)
    sessions, made = {}, []
    for plan in plans:
        key = plan.session.model_copy(update={"tiling": False})
        session = sessions.setdefault(key, Session(plan.session, folder, ranks=ranks))
        session.load()
        made.append(make(session, plan, picture))
    (place / f"{rank}.pickle").write_bytes(pickle.dumps(made))
    ranks.leave()


def together(place: Path, folder: Path, plans: list[Plan], picture: np.ndarray) -> list[list[Made]]:
    """What each process made of each plan, by its rank."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    count = plans[0].session.gpus
    processes = [
        context.Process(target=member, args=(rank, place, folder, plans, picture))
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0] * count
    return [pickle.loads((place / f"{rank}.pickle").read_bytes()) for rank in range(count)]

"""One mode of a benchmark in a process of its own, so that memory peaks do not mix; it runs when it
is told to.
"""

import multiprocessing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from src.core.errors import NewsreelError
from src.core.plan import Plan
from src.core.request import Request


@dataclass(frozen=True)
class Sample:
    """One run. seconds: by stage. total: their sum. peak_rss, peak_vram: bytes at most while native
    frames were made, before delivery and score. frames: (F, H, W, 3) uint8, native size, as
    the decoder gives them: an upscaler would enlarge their differences. report: temporal score of
    those delivered, empty where it was not to be scored.
    """

    seconds: dict[str, float]
    total: float
    peak_rss: int
    peak_vram: int
    report: dict[str, Any]
    plan: Plan
    frames: np.ndarray


class BenchWorker:
    """A spawned process with one warm pipeline. `run` blocks until the clip is made; `close` ends
    the process.
    """

    def __init__(self, request: Request) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        self._process = context.Process(target=_serve, args=(child, request), daemon=True)
        self._process.start()
        child.close()

    def run(self, scored: bool = False, **changes: Any) -> Sample:
        """Make one clip of the request with `changes` to its fields. scored: deliver and score it
        too, which often takes longer than the clip itself. Raises NewsreelError as the run did.
        """
        self._pipe.send((scored, changes))
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise NewsreelError(
                "the benchmark's process ended unexpectedly; its message is above"
            ) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self._pipe.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()


def _serve(pipe: Connection, request: Request) -> None:
    """Answer each set of changes with a Sample or the error, until the other end closes."""
    from src.engine.sessions import Sessions

    sessions = Sessions()
    while True:
        try:
            scored, changes = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(_sample(request.model_copy(update=changes), sessions, scored))
        except NewsreelError as error:
            pipe.send(error)


def _sample(request: Request, sessions: Any, scored: bool) -> Sample:
    """One run through the engine's parts, without publishing a file."""
    from src.engine.costs import Stopwatch
    from src.engine.generate import plans_for, prepare
    from src.engine.probe import probe
    from src.engine.render import render_clip

    prepared = prepare(request)
    plan = plans_for(prepared, probe(request.device))[0]
    session = sessions.opener(prepared.folder, prepared.adapters)(plan)
    watch = Stopwatch()
    native = render_clip(prepared.photograph.pixels, plan, session, watch)
    costs = watch.costs()
    report = _report(native, plan) if scored else {}
    return Sample(costs.seconds, costs.total, costs.peak_rss, costs.peak_vram, report, plan, native)


def _report(native: np.ndarray, plan: Plan) -> dict[str, Any]:
    """Temporal score of the frames as they would be delivered."""
    from src.metrics.temporal import score_frames
    from src.upscaling.backends import UpscaleRun
    from src.upscaling.clips import make_upscaler

    run = UpscaleRun(seed=plan.seed, prompt=plan.prompt)
    upscaler = make_upscaler(plan.upscaler, plan.session.device, run)
    delivered = np.stack(list(upscaler.upscale(native, plan.delivered)))
    size = plan.delivered.width, plan.delivered.height
    return score_frames(delivered, size, rate=plan.fps).to_dict()

"""python -m src.engine.member: one of the processes that make a clip together; started by
`src.engine.company` alone.

It runs the plans that its leader runs, at the same time, and writes nothing. Interrupts and SIGTERM
are the leader's, however many processes they are sent to: it ends this one.
"""

import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from typing import IO, Any

from loguru import logger

from src.core.errors import CancelledError, NewsreelError
from src.core.interrupts import STOPS
from src.core.progress import CancelToken, ignore
from src.engine.company import Beginning, ClipTask, MemberFailure
from src.engine.costs import Stopwatch
from src.engine.session import Session


def main() -> None:
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print
    logger.remove()
    orders: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=read_orders, args=(sys.stdin.buffer, orders), daemon=True).start()
    try:
        work(orders, answers)
    except Exception as error:
        end(error, answers)


def end(error: Exception, answers: IO[bytes]) -> None:
    """Tell why; where another process is gone, that one is to blame, and the leader ends this."""
    from src.pipelines.parallel.lost import is_lost_peer

    if is_lost_peer(error):
        threading.Event().wait()
    send_answer(answers, failure(error))
    os._exit(1)


def read_orders(source: IO[bytes], orders: "queue.Queue[Any]") -> None:
    """Orders as they come; the leader's end is ours, whatever is computed."""
    while True:
        try:
            orders.put(pickle.load(source))
        except (EOFError, pickle.UnpicklingError):
            os._exit(0)


def work(orders: "queue.Queue[Any]", answers: IO[bytes]) -> None:
    """Join the group, load, and make clip after clip."""
    import torch

    from src.pipelines.parallel.ranks import join_group

    beginning: Beginning = orders.get()
    torch.set_num_threads(beginning.threads)
    send_answer(answers, "ready")
    key = beginning.key
    ranks = join_group(beginning.rank, key.gpus, key.device, beginning.place, beginning.limit_s)
    session = Session(key, beginning.folder, ranks=ranks)
    session.load()
    while True:
        make_clip(session, orders.get())


def make_clip(session: Session, task: ClipTask) -> None:
    """One clip, of which nothing is kept here; one that was cancelled is over in all processes."""
    session.adapters = task.adapters
    try:
        for _ in session.run(task.plan, task.pixels, Stopwatch(), ignore, CancelToken()):
            pass
    except CancelledError:
        pass


def failure(error: Exception) -> MemberFailure:
    """As the leader tells it; a bug is shown whole."""
    from src.pipelines.failures import first_line
    from src.pipelines.memory import is_out_of_memory

    memory = is_out_of_memory(error)
    if not (memory or isinstance(error, NewsreelError)):
        traceback.print_exception(error)
    return MemberFailure(first_line(error), memory)


def send_answer(answers: IO[bytes], message: Any) -> None:
    pickle.dump(message, answers)
    answers.flush()


if __name__ == "__main__":
    main()

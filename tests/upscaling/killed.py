"""python -m tests.upscaling.killed FILE: a pickled job, killed when so many frames are written."""

import os
import pickle
import signal
import sys
from pathlib import Path


def main() -> None:
    import torch

    from src.upscaling.star import backend
    from src.upscaling.stream import upscale_video

    torch.set_num_threads(1)
    backend.EVALUATIONS = dict.fromkeys(backend.EVALUATIONS, 1)
    job, at = pickle.loads(Path(sys.argv[1]).read_bytes())

    def kill(progress):
        if progress.stage == "upscale" and progress.done == at:
            os.kill(os.getpid(), signal.SIGKILL)

    upscale_video(job, kill)


if __name__ == "__main__":
    main()

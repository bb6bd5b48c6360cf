"""Two machines that train one adapter: here two launchers on one, each with a home and an output of
its own.
"""

import os
import subprocess
import sys
import time

import psutil
import pytest

from deploy.trial.servers import free_port
from src.core.paths import REPOSITORY
from src.pipelines.parallel.lost import is_lost_peer
from src.training.checkpoints import CheckpointManager
from tests.training.lora_kit import run, weights
from tests.training.test_processes import losses, write_config
from tests.waiting import wait_until
from tests.warm_start import PIDS

COMMAND = ["accelerate.commands.launch", "--multi_gpu", "--num_machines", "2", "--num_processes",
           "2", "--mixed_precision", "no", "--dynamo_backend", "no",
           "--main_process_ip", "127.0.0.1"]  # fmt: skip


class Machines:
    """Both launchers, and where each writes."""

    def __init__(self, folder, *arguments):
        self.folder, self.began, port = folder, time.time(), free_port()
        self.launchers = [self._start(rank, port, arguments) for rank in (0, 1)]

    def home(self, rank):
        return self.folder / f"home{rank}"

    def output(self, rank):
        return self.folder / f"machine{rank}" / "press"

    def _start(self, rank, port, arguments):
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self._pids(rank).mkdir(exist_ok=True)
        environment |= {"NEWSREEL_HOME": str(self.home(rank)), "OMP_NUM_THREADS": "1",
                        "ACCELERATE_USE_CPU": "true", PIDS: str(self._pids(rank))}  # fmt: skip
        where = ["--machine_rank", str(rank), "--main_process_port", str(port)]
        own = ["src/train_lora.py", *map(str, arguments), "--output-dir", str(self.output(rank))]
        return subprocess.Popen(
            [sys.executable, "-m", *COMMAND, *where, *own], cwd=REPOSITORY, env=environment,
            stderr=self._log(rank).open("w"),
        )  # fmt: skip

    def _log(self, rank):
        return self.folder / f"machine{rank}.log"

    def _pids(self, rank):
        return self.folder / f"pids{rank}"

    def ended(self, rank, seconds=280):
        """Exit code of a launcher, and what was said."""
        code = self.launchers[rank].wait(seconds)
        return code, self._log(rank).read_text("utf-8")

    def kill(self, rank):
        """The launcher and what it started, which is in a session of its own, as where the power
        fails.
        """
        launcher = psutil.Process(self.launchers[rank].pid)
        started = [int(file.name) for file in self._pids(rank).glob("[0-9]*")]
        alive = [psutil.Process(pid) for pid in started if psutil.pid_exists(pid)]
        trainers = [each for each in alive if each.create_time() >= self.began - 1]
        for each in {*launcher.children(recursive=True), *trainers, launcher}:
            each.kill()


@pytest.fixture
def machines(tmp_path):
    made = []

    def start(*arguments):
        made.append(Machines(tmp_path, *arguments))
        return made[-1]

    yield start
    for each in made:
        for rank in (0, 1):
            if each.launchers[rank].poll() is None:
                each.kill(rank)


@pytest.mark.slow
def test_two_machines_with_homes_of_their_own_learn_what_one_process_learns(
    machines, clip_set, tiny_folder, tmp_path, home
):
    changes = {"batch_size": 4, "epochs": 4}
    run(clip_set, tiny_folder, tmp_path / "one", **changes)
    config = write_config(tmp_path, tiny_folder, **changes)
    both = machines("--metadata", clip_set, "--config", config)
    for rank in (0, 1):
        code, errors = both.ended(rank)
        assert code == 0, errors
    one, two = losses(home, "one"), losses(both.home(0), "press")
    assert len(one) == len(two) == 4
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) < 1e-4
    first, second = (
        weights(tmp_path / "one" / "adapter_final"),
        weights(both.output(0) / "adapter_final"),
    )
    assert max(float((first[key] - second[key]).abs().max()) for key in first) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("gone", [0, 1])
def test_a_machine_that_dies_ends_the_other_with_a_sentence_and_its_state_goes_on(
    machines, clip_set, tiny_folder, tmp_path, gone
):
    config = write_config(tmp_path, tiny_folder, epochs=100000, save_minutes=60)
    given = ("--metadata", clip_set, "--config", config)
    both = machines(*given)
    metrics = both.home(0) / "metrics.csv"
    wait_until(lambda: metrics.is_file() and len(losses(both.home(0), "press")) > 3, 240)
    both.kill(gone)
    code, errors = both.ended(1 - gone, 120)
    assert code != 0
    assert "another process of this run is gone" in errors, errors
    assert "start all processes again with --resume latest" in errors
    kept = CheckpointManager(both.output(1 - gone) / "state").latest()
    assert kept["step"] >= 4
    if gone == 1:
        return  # it goes on alike
    again = machines(*given, "--resume", "latest", "--steps", kept["step"] + 2)
    for rank in (0, 1):
        code, errors = again.ended(rank)
        assert code == 0, errors
    assert CheckpointManager(again.output(0) / "state").latest()["step"] == kept["step"] + 2


@pytest.mark.parametrize(
    ("error", "lost"),
    [(RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer"), True),
     (RuntimeError("NCCL communicator was aborted on rank 1"), True),
     (RuntimeError("shape '[2]' is invalid for input of size 3"), False),
     (ValueError("connection closed"), False)],
)  # fmt: skip
def test_what_is_a_lost_process_and_what_is_a_fault(error, lost):
    assert is_lost_peer(error) is lost

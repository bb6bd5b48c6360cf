"""The one training loop. A recipe says what to compute; callbacks do what happens besides.

Everything random is drawn from a generator keyed by (seed, step), and batches are a function of the
step, so a run that was stopped and resumed takes the very steps of one that was not. Several
processes (`accelerate launch`) share each step's samples: a recipe gives every process its part,
and the gradients are averaged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device
from loguru import logger
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from src.core.errors import BadInputError, CancelledError, DivergedError, PartialFailureError
from src.core.memory import keep_freed_memory
from src.pipelines.parallel.lost import is_lost_peer
from src.training.checkpoints import STATE, CheckpointManager, check_same_network, read_state
from src.training.nodes import newest_of_all
from src.training.optimizers import make_optimizer, parameter_groups
from src.training.random_state import random_state, set_random_state
from src.training.recipe import Recipe
from src.training.settings import LoopSettings
from src.training.sharding import sharded_names
from src.training.signals import StopFlag


@dataclass(frozen=True)
class Report:
    """One step, for callbacks. seconds: of this step; loss: of its batch."""

    step: int
    steps: int
    loss: float
    rate: float
    grad_norm: float
    seconds: float
    remaining_s: float


Callback = Callable[[Report, "Trainer"], None]


class Trainer:
    """State of one stage: model, optimizer, running average of the weights, and the next step.

    accelerator: given where precision or processes are set up elsewhere; else made for `bf16`.
    """

    def __init__(
        self,
        recipe: Recipe,
        stage: LoopSettings,
        seed: int,
        checkpoints: CheckpointManager,
        bf16: bool,
        accelerator: Accelerator | None = None,
    ):
        self.recipe, self.stage, self.seed, self.checkpoints = recipe, stage, seed, checkpoints
        self.accelerator = accelerator or Accelerator(mixed_precision="bf16" if bf16 else "no")
        if self.accelerator.device.type == "cpu":
            keep_freed_memory()
        optimizer = make_optimizer(parameter_groups(recipe.model, stage.rates, stage.muon), stage)
        if sharded := sharded_names(recipe.model):
            leave_alone = DistributedDataParallel._set_params_and_buffers_to_ignore_for_model
            leave_alone(recipe.model, sharded)
        self.model, self.optimizer = self.accelerator.prepare(recipe.model, optimizer)
        recipe.model = self.model
        self.average = {name: tensor.detach().clone() for name, tensor in self._trained()}
        self.step = 0
        self._stop = StopFlag()
        self._suspects: list[tuple[Tensor, Callable[[], str]]] = []

    def _trained(self) -> list[tuple[str, Tensor]]:
        model = self.accelerator.unwrap_model(self.model)
        return [(name, tensor) for name, tensor in model.named_parameters() if tensor.requires_grad]

    def resume(self, folder: Path | None = None) -> bool:
        """Continue from the newest checkpoint, or from the one in `folder`; False where there is
        none. On several machines it is enough that one of them has it.

        Raises MissingFileError where no process has `folder`, BadInputError where the checkpoint
        was made for something else than this recipe says it is.
        """
        state = newest_of_all(self.accelerator, self._own_state(folder))
        if state is None and folder is not None:
            read_state(folder)  # which says what is missing
        if state is None:
            return False
        self._check_identity(state.get("identity", {}))
        check_same_network(state["model"], self._trained())
        for name, tensor in self._trained():
            tensor.data.copy_(state["model"][name])
            self.average[name].copy_(state["average"][name])
        shares = [group["share"] for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, share in zip(self.optimizer.param_groups, shares, strict=True):
            # of today's settings, not of those that the checkpoint was made with
            group["share"] = share
        self.step = state["step"]
        self._restore_random(state)
        return True

    def _own_state(self, folder: Path | None) -> dict[str, Any] | None:
        """What lies on the disk of this process."""
        if folder is None:
            return self.checkpoints.latest()
        return read_state(folder) if (folder / STATE).is_file() else None

    def _check_identity(self, saved: Mapping[str, Any]) -> None:
        now = self.recipe.identity
        for key in sorted(set(saved) & set(now)):
            if saved[key] != now[key]:
                raise BadInputError(
                    f"the checkpoint was made with {key} {saved[key]}, this run has {now[key]}; "
                    "resume with the same, or start anew in another --output-dir"
                )

    def _restore_random(self, state: Mapping[str, Any]) -> None:
        """Each process its own generators; with another number of processes only those of the first
        are there.
        """
        if self.accelerator.scaler is not None and state.get("scaler"):
            self.accelerator.scaler.load_state_dict(state["scaler"])
        saved, index = state.get("random", []), self.accelerator.process_index
        if len(saved) == self.accelerator.num_processes:
            set_random_state(saved[index])
        elif saved:
            count = self.accelerator.num_processes
            logger.warning(
                "the checkpoint is of {} processes, this run has {}: dropout differs",
                len(saved),
                count,
            )

    @torch.no_grad()
    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with these weights, by parameter name; parameters without one stay untrained."""
        for name, tensor in self._trained():
            if name in weights:
                tensor.copy_(weights[name])
                self.average[name].copy_(weights[name])

    def save(self) -> None:
        """Write everything that the next step depends on; every process takes part, the first one
        writes.
        """
        states = gather_object([random_state()])
        if self.accelerator.is_main_process:
            self.checkpoints.save(self.step, self._state() | {"random": states})
        self.accelerator.wait_for_everyone()

    def _state(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return {
            "step": self.step,
            "model": {name: tensor.detach().cpu() for name, tensor in self._trained()},
            "average": {name: tensor.cpu() for name, tensor in self.average.items()},
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
            "identity": dict(self.recipe.identity),
        }

    def run(self, seconds: float, callbacks: Sequence[Callback] = ()) -> None:
        """Train until the stage's last step or until the time is up, then save. Where there is any
        time, one step is taken: a run in slices gets on however slow the machine is.

        SIGTERM and Ctrl-C let the step end, save, and raise CancelledError. Raises DivergedError on
        a loss that is not finite; the last checkpoint is from before it. Raises PartialFailureError
        where another process is gone, after this machine has saved.
        """
        try:
            with self._stop:
                self._steps(seconds, callbacks)
        except KeyboardInterrupt:
            self.save()
            raise
        except RuntimeError as error:
            if self.accelerator.num_processes == 1 or not is_lost_peer(error):
                raise
            raise self._left_alone(error) from None
        finally:
            self.recipe.close()
        self.save()
        if self._agreed(self._stop.asked):
            raise CancelledError(
                f"stopped after step {self.step} of {self.stage.steps}; the state is saved, resume "
                "it"
            )

    def _left_alone(self, error: RuntimeError) -> PartialFailureError:
        """Keep the last step, once on each machine, for whoever writes usually may be gone."""
        where = "another process of this machine"
        if self.accelerator.is_local_main_process:
            where = str(
                self.checkpoints.save(self.step, self._state() | {"random": [random_state()]})
            )
        reason = " ".join(str(error).split())[:120]
        return PartialFailureError(
            f"another process of this run is gone ({reason}); the state after step {self.step} is "
            f"kept by {where}: start all processes again with --resume latest"
        )

    def _steps(self, seconds: float, callbacks: Sequence[Callback]) -> None:
        began = saved = time.monotonic()
        first = self.step if seconds > 0 else -1
        with ThreadPoolExecutor(1) as ahead:
            upcoming = ahead.submit(self.recipe.batch, self.step)
            while self.step < self.stage.steps:
                is_over = self.step > first and time.monotonic() - began >= seconds
                if self._agreed(self._stop.asked or is_over):
                    break
                report, upcoming = self._one_step(upcoming, ahead)
                for callback in callbacks:
                    callback(report, self)
                if self._agreed(time.monotonic() - saved > 60 * self.stage.save_minutes):
                    self.save()
                    saved = time.monotonic()
            upcoming.cancel()

    def _agreed(self, wish: bool) -> bool:
        """Whether any process wishes it: all of them stop or save at the same step, or they would
        wait for ever.
        """
        if self.accelerator.num_processes == 1:
            return wish
        flag = torch.tensor(float(wish), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum") > 0)

    def _one_step(self, upcoming: Future, ahead: ThreadPoolExecutor) -> tuple[Report, Future]:
        start = time.monotonic()
        batch = send_to_device(upcoming.result(), self.accelerator.device)
        last = self.step + 1 >= self.stage.steps
        following = Future() if last else ahead.submit(self.recipe.batch, self.step + 1)
        rate = self.stage.rate.peak * self.stage.rate.factor(self.step, self.stage.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        mean = self._backward(batch if isinstance(batch, list) else [batch])
        clipped = self.accelerator.clip_grad_norm_(self.model.parameters(), self.stage.clip_norm)
        loss, norm = self._finite(mean, torch.as_tensor(clipped, device=mean.device))
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._follow()
        self.step += 1
        seconds = time.monotonic() - start
        remaining = (self.stage.steps - self.step) * seconds
        total = self.stage.steps
        return Report(self.step, total, loss, rate, norm, seconds, remaining), following

    def _backward(self, pieces: Sequence[Any]) -> Tensor:
        """Add up the gradients of all pieces; returns the mean loss over pieces and processes."""
        generator = step_generator(self.seed, self.step)
        total = torch.zeros((), device=self.accelerator.device)
        self._suspects = []
        for index, piece in enumerate(pieces):
            with _synchronised(self.accelerator, self.model, index == len(pieces) - 1):
                loss = self.recipe.loss(piece, generator)
                self.accelerator.backward(loss / len(pieces))
            total += loss.detach().float() / len(pieces)
            self._suspects.append((loss.detach(), self.recipe.describer()))
        return self.accelerator.reduce(total, "mean")

    def _finite(self, loss: Tensor, norm: Tensor) -> tuple[float, float]:
        """Both as numbers, in the one moment of a step in which a card is waited for."""
        loss_value, norm_value = torch.stack([loss.float(), norm.float()]).tolist()
        self._check_finite(loss_value, "loss")
        if self.accelerator.scaler is None:  # the scaler of fp16 skips such a step by itself
            self._check_finite(norm_value, "gradient")
        return loss_value, norm_value

    def _check_finite(self, value: float, what: str) -> None:
        if math.isfinite(value):
            return
        guilty = [names() for loss, names in self._suspects if not torch.isfinite(loss)]
        named = ", ".join(sorted({name for name in gather_object(guilty) if name}))
        clips = f" ({named})" if named else ""
        raise DivergedError(
            f"{self.recipe.name}: the {what} is not finite at step {self.step}{clips}; "
            "the last checkpoint is intact, try a lower rate.peak"
        )

    @torch.no_grad()
    def _follow(self) -> None:
        """The running average of the weights, faster in the first steps."""
        keep = min(self.stage.ema, (1 + self.step) / (10 + self.step))
        now = dict(self._trained())
        averages = [self.average[name] for name in now]
        torch._foreach_lerp_(averages, [tensor.detach() for tensor in now.values()], 1 - keep)


def _synchronised(accelerator: Accelerator, model: nn.Module, last: bool) -> AbstractContextManager:
    """Gradients travel between processes with the last piece only."""
    return nullcontext() if last else accelerator.no_sync(model)


def step_generator(seed: int, step: int) -> torch.Generator:
    """The generator of one step, the same on every machine and after every resume."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)

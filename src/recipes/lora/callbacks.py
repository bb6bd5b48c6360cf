"""What happens beside the steps of an adapter's training: adapters, held-out losses and samples by
epoch, figures.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from accelerate.utils import gather_object
from loguru import logger

from src.core.errors import DivergedError
from src.core.paths import examples, home
from src.engine.costs import peak_rss, peak_vram
from src.recipes.lora.encoding import Share
from src.recipes.lora.recipe import Item, LoraRecipe
from src.recipes.lora.samples import SampleMaker, write_sample
from src.training.loop import Report, Trainer
from src.training.trackers import Tracker

COLUMNS = ("run", "step", "epoch", "loss", "held_out_loss", "learning_rate", "grad_norm",
           "steps_per_second", "memory_bytes")  # fmt: skip


class EpochEnd:
    """At the end of every epoch, and of the run: an adapter, the held-out loss, and sample clips.

    The processes share the work, so that none waits for another that samples alone; where each
    holds a part of the base, all of them do all of it, and the first one writes. `held_out_loss`
    is the last one measured, None in between.
    """

    def __init__(
        self, recipe: LoraRecipe, held_out: Sequence[Item], shown: Sequence[Item],
        maker: SampleMaker, write: Callable[[str, int, int], Path], run: str, share: Share,
    ) -> None:  # fmt: skip
        self.recipe, self.held_out, self.shown, self.maker = recipe, held_out, shown, maker
        self.write, self.run, self.share = write, run, share
        self.held_out_loss: float | None = None

    def __call__(self, report: Report, trainer: Trainer) -> None:
        self.held_out_loss = None
        whole = report.step % self.recipe.batches.steps_per_epoch == 0
        if not whole and report.step < report.steps:
            return
        epoch = -(-report.step // self.recipe.batches.steps_per_epoch)
        self.measure(trainer)
        if trainer.accelerator.is_main_process:
            logger.info(
                "epoch {}: {}, held-out loss {}",
                epoch,
                self._adapter(epoch, report),
                self._held_out_loss(),
            )
        every = self.maker.samples.every
        if every and (epoch % every == 0 or report.step == report.steps):
            self._sample(epoch, trainer)
        trainer.accelerator.wait_for_everyone()

    def measure(self, trainer: Trainer) -> None:
        """The mean held-out loss, each process measuring its share of the clips."""
        mine = self.recipe.held_out_losses(self.share.of(self.held_out), trainer.accelerator.device)
        losses = gather_object(mine)
        self.held_out_loss = sum(losses) / len(losses) if losses else None
        if self.held_out_loss is not None and not math.isfinite(self.held_out_loss):
            raise DivergedError(
                f"the held-out loss is not finite after step {trainer.step}; look at the held-out "
                "clips, "
                "try a lower rate.peak"
            )

    def _adapter(self, epoch: int, report: Report) -> Path:
        return self.write(f"adapter_epoch_{epoch}", epoch, report.step)

    def _held_out_loss(self) -> str:
        return "not measured" if self.held_out_loss is None else f"{self.held_out_loss:.4f}"

    def _sample(self, epoch: int, trainer: Trainer) -> None:
        numbered = self.share.of(list(enumerate(self.shown, start=1)))
        if not numbered:
            return
        clips = self.maker.clips(
            self.recipe.transformer, [item for _, item in numbered], trainer.accelerator.device
        )
        if self.share.count == 1 and not trainer.accelerator.is_main_process:
            return
        for (number, item), frames in zip(numbered, clips, strict=True):
            path = examples() / f"{self.run}-epoch-{epoch:02d}-{number}.mp4"
            write_sample(path, frames, item.source.sampling.fps)


class Metrics:
    """A row a step in `metrics.csv`, and the same figures to a tracker; the first process writes.

    Rows of an earlier run of the same name are dropped, those up to the step that a resumed run
    begins at are kept.
    """

    def __init__(
        self,
        run: str,
        begin: int,
        steps_per_epoch: int,
        epoch_end: EpochEnd,
        tracker: Tracker | None,
    ) -> None:
        self.run, self.steps_per_epoch, self.epoch_end, self.tracker = (
            run,
            steps_per_epoch,
            epoch_end,
            tracker,
        )
        self.path = home() / "metrics.csv"
        self._keep(begin)

    def _keep(self, begin: int) -> None:
        rows = []
        if self.path.is_file():
            with self.path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if tuple(row) == COLUMNS]
        kept = [
            row for row in rows if row["run"] != self.run or (begin and int(row["step"]) <= begin)
        ]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept)

    def __call__(self, report: Report, trainer: Trainer) -> None:
        if not trainer.accelerator.is_main_process:
            return
        self.log(report.step, {
            "loss": report.loss, "held_out_loss": self.epoch_end.held_out_loss,
            "learning_rate": report.rate, "grad_norm": report.grad_norm,
            "steps_per_second": 1 / max(report.seconds, 1e-9),
            "memory_bytes": peak_vram() or peak_rss(),
        })  # fmt: skip

    def log(self, step: int, values: Mapping[str, float | None]) -> None:
        """One row; what is None stays empty."""
        known = {name: value for name, value in values.items() if value is not None}
        row = {"run": self.run, "step": step, "epoch": -(-step // self.steps_per_epoch)}
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writerow(row | {name: f"{value:.9g}" for name, value in known.items()})
        if self.tracker is not None:
            self.tracker.log(step, known)

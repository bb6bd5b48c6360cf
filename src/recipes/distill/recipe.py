"""The recipe `distill`: what a frozen teacher predicts is what the adapter learns to predict.

Two stages, those of Meng et al. 2023, "On distillation of guided diffusion models"
(arXiv:2210.03142):

* **guidance** (their section 3.1): one forward learns u + w (c - u), what the base gives without
  and with the prompt. Theirs is told w; here an adapter stands for one scale, which its header
  says, so that the transformer keeps its layers.
* **steps** (their section 3.2): progressive distillation (Salimans and Ho 2022, arXiv:2202.00512)
  of that. From noised latents the teacher takes `teacher_steps` steps of DDIM to where the student
  is to be after one, and the student learns the prediction that leads there. Theirs halves the
  steps in rounds; here the teacher stays the guidance adapter and takes all its steps at once,
  because the student learns at its own few timesteps alone: one run, no chain of students whose
  errors add up, for `teacher_steps` forwards without gradients.

What else was weighed, for an adapter on one card of 80 GB:

* Distribution matching (DMD2, arXiv:2405.14867) gives the best single steps. It trains a second
  network, the critic, beside the student and several steps to each of the student's, and keeps the
  teacher: three networks' activations, and a balance of two losses that a newsroom would have to
  tune. It follows the teacher's distribution and not its path, so that a clip in few steps is
  another clip than the one in many of the same seed.
* Consistency distillation (LCM-LoRA, arXiv:2311.05556) learns from its own running average, a third
  set of adapter weights, with a bias that grows with the length of the jump; it samples by adding
  noise anew after each step, which needs a scheduler of its own and again loses the path.
* Progressive distillation is a regression without a second network, and its student runs on the
  DDIM scheduler that ships. What it costs: below about four steps a mean of what could be is
  learnt, and pictures blur. So the default is four.

Data are noised encodings of clips in the cache: the newsroom's own, or clips of the base itself.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from src.pipelines.learning import NoisedBatch
from src.recipes.distill.teacher import TEACHER, taught_by
from src.recipes.lora.buckets import Draw
from src.recipes.lora.recipe import Item, LoraRecipe

CLEAN = -1
"""The timestep after the last one."""


class DistillRecipe(LoraRecipe):
    """What both stages share: the teacher's prediction in place of the clip's own target.

    teacher: the adapter that it plays, None for the base alone.
    """

    name = "distill"
    teacher: str | None = None

    @abstractmethod
    def wanted(self, batch: Mapping[str, Any], noisy: Tensor) -> Tensor:
        """What the student is to predict for these latents, while the teacher plays."""

    @abstractmethod
    def timestep(self, generator: torch.Generator) -> float:
        """Draw one."""

    def draw(self, item: Item, draw: Draw) -> dict[str, Any]:
        """As an adapter's, but that photograph and caption are always there."""
        generator = torch.Generator().manual_seed(draw.seed)
        entry = self.cache.read(item.source.key)
        timestep = self.timestep(generator)
        which = int(torch.randint(len(entry["images"]), (1,), generator=generator))
        shown = torch.tensor(True)
        return self._sample(item, entry, generator, timestep, which, shown, item.prompt)

    def _sample(self, *drawn: Any) -> dict[str, Any]:
        """With the embedding of no prompt."""
        nothing = self.cache.read(self.encoders.text_address(""))["embeds"]
        return super()._sample(*drawn) | {"nothing": nothing}

    def losses(self, batch: dict[str, Any], model: nn.Module | None = None) -> Tensor:
        """The weighted squared error from the teacher, in the family's own prediction: (B,)."""
        timesteps = batch["timestep"]
        noisy = self.objective.noised(NoisedBatch(batch["clean"], batch["noise"], timesteps))
        with torch.no_grad(), taught_by(self.transformer, self.teacher):
            wanted = self.wanted(batch, noisy)
        given = self.objective.predict(
            model or self.model, self.transformer, batch, noisy, timesteps
        )
        return self.objective.apart(given, wanted, timesteps)

    def _taught(self, batch: Mapping[str, Any], noisy: Tensor, timesteps: Tensor) -> Tensor:
        """One forward of the teacher, in float32; on the plain module, whatever wraps it."""
        return self.objective.predict(self.plain, self.transformer, batch, noisy, timesteps).float()


class GuidanceRecipe(DistillRecipe):
    """One forward learns what two gave. scale: of the guidance."""

    def __init__(self, *made: Any, scale: float, **more: Any) -> None:
        super().__init__(*made, **more)
        self.scale = scale

    def timestep(self, generator: torch.Generator) -> float:
        return self.objective.timestep(generator, self.settings.high_noise)

    def wanted(self, batch: Mapping[str, Any], noisy: Tensor) -> Tensor:
        """u + w (c - u), arXiv:2207.12598."""
        told = [{**batch, "text": batch[name]} for name in ("nothing", "text")]
        without, with_it = (self._taught(each, noisy, batch["timestep"]) for each in told)
        return without + self.scale * (with_it - without)


class StepsRecipe(DistillRecipe):
    """One step learns where several of the teacher's lead. visited: the student's timesteps,
    descending.
    """

    teacher = TEACHER

    def __init__(self, *made: Any, visited: Sequence[int], teacher_steps: int, **more: Any) -> None:
        super().__init__(*made, **more)
        self.visited, self.teacher_steps = visited, teacher_steps

    def timestep(self, generator: torch.Generator) -> float:
        return self.visited[int(torch.randint(len(self.visited), (1,), generator=generator))]

    def wanted(self, batch: Mapping[str, Any], noisy: Tensor) -> Tensor:
        """The prediction that leads in one step where the teacher's steps lead."""
        begin = batch["timestep"]
        end = self.following(begin)
        reached = noisy
        for earlier, later in self.between(begin, end):
            predicted = self._taught(batch, reached, earlier)
            reached = self.objective.jump(reached, predicted, earlier, later)
        return self.objective.implied(noisy, reached, begin, end)

    def following(self, timesteps: Tensor) -> Tensor:
        """Where the student's step from each of these leads: (B,) int64, -1 for clean latents."""
        after = dict(zip(self.visited, [*self.visited[1:], CLEAN], strict=True))
        return torch.tensor([after[int(t)] for t in timesteps], device=timesteps.device)

    def between(self, begin: Tensor, end: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The teacher's steps from `begin` to `end`, as equal as whole timesteps can be."""
        count = self.teacher_steps
        marks = [(begin + (end - begin) * step / count).round().long() for step in range(count + 1)]
        return list(pairwise(marks))

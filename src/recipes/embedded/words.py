"""The recipe `embedded`, stage `words`: words that the scenes do not know say nothing of a move.

The scenes know some 270 words, the news has others, and between those a move's own words lost their
meaning: "tilt down, whales off the northern shore" made another clip than "tilt down". Here the
text encoder, as the transformer learned with it, teaches a copy of itself: a move beside strange
words is to give the very tokens of the move alone. The transformer takes text tokens as a set
(CogVideoX gives them no positions), so each token has a partner in what the teacher says; those of
strange words have padding. No picture is drawn: a step takes some tenths of a second of one core.
"""

from __future__ import annotations

import copy
import hashlib
from difflib import SequenceMatcher

import numpy as np
import torch
from torch import Tensor, nn

from src.recipes.embedded.parts import CPU, PreparedParts, drawn_length, token_ids, without_move
from src.recipes.embedded.settings import EmbeddedSettings, WordsStage
from src.scenes.sampler import Mix, SceneSampler
from src.training.recipe import Recipe

PADDING = 0
TEACHER = "teacher"
"""What a checkpoint calls the digest of its teacher."""
WORD_WEIGHT = 4.0
"""What a token of the move counts; one of padding counts 1, and there are more of those."""


class Encoding(nn.Module):
    """The text encoder that learns, by the name that it has in the pipeline."""

    def __init__(self, text_encoder: nn.Module) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(self, ids: Tensor) -> Tensor:
        return self.text_encoder(ids)[0]


class WordsRecipe(Recipe):
    """Prompts beside strange words to the teacher's tokens of what the scenes know of them: mean
    squared error, as a share of those tokens' variance.

    Of prompts without strange words it learns to say what the teacher says. `prepared` holds the
    teacher's weights; a run of another teacher's is not resumed.
    """

    name = "words"

    def __init__(
        self,
        prepared: PreparedParts,
        stage: WordsStage,
        settings: EmbeddedSettings,
        device: torch.device = CPU,
    ) -> None:
        self.prepared, self.stage, self.seed = prepared, stage, settings.seed + 4
        form = prepared.blueprint
        mix = Mix(**settings.mix | {"strange": 0.0})
        self.sampler = SceneSampler(form.width, form.height, self.seed, mix)
        encoder = prepared.pipeline.text_encoder
        self.identity = {TEACHER: digest_of_encoder(encoder)}
        self.teacher = copy.deepcopy(encoder).eval().requires_grad_(False)
        self.model = Encoding(encoder)
        self.model.train()

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids (B, S) of the prompts and of what is known of them, and the partners (B, S)."""
        count, random = self.stage.prompts, np.random.default_rng([self.seed, 9, step])
        drawn = [self._wording(step * count + k, random) for k in range(count)]
        length = drawn_length(self.stage.long_text, random)
        ids, known = (token_ids(self.prepared, list(texts), length)
                      for texts in zip(*drawn, strict=True))  # fmt: skip
        pairs = zip(ids.tolist(), known.tolist(), strict=True)
        return ids, known, torch.tensor([partners(one, other) for one, other in pairs])

    def _wording(self, index: int, random: np.random.Generator) -> tuple[str, str]:
        """A prompt, and what the scenes know of it."""
        kind = random.random()
        if kind < self.stage.strange:
            return self.sampler.strange_wording(index)
        text = without_move(random) if kind > 0.95 else self.sampler.wording(index)[1]
        return text, text

    def loss(self, batch: tuple[Tensor, Tensor, Tensor], generator: torch.Generator) -> Tensor:
        ids, known, places = batch
        with torch.no_grad():
            said = self.teacher.to(ids.device)(known)[0].float()
        wanted = said.gather(1, places[..., None].expand(said.shape))
        error = (self.model(ids).float() - wanted).square().mean(-1) / said.var()
        counts = torch.where(known.gather(1, places) != PADDING, WORD_WEIGHT, 1.0)
        return (error * counts).sum() / counts.sum()

    def close(self) -> None:
        """Nothing runs beside: no picture is drawn."""


def digest_of_encoder(encoder: nn.Module) -> str:
    """SHA-256 of its parameters in float32, which tells one teacher from another."""
    digest = hashlib.sha256()
    for name, tensor in sorted(encoder.named_parameters()):
        digest.update(name.encode() + tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def partners(ids: list[int], known: list[int]) -> list[int]:
    """For each token of a prompt its place among the tokens of what is known of it, each once.

    Equal runs of tokens are partners, longest first; what is left goes in order, so that strange
    words take padding. Both have the same length.
    """
    runs = SequenceMatcher(None, _words(ids), _words(known), autojunk=False).get_matching_blocks()
    places = {run.a + k: run.b + k for run in runs for k in range(run.size)}
    taken = set(places.values())
    free = (place for place in range(len(known)) if place not in taken)
    return [places[place] if place in places else next(free) for place in range(len(ids))]


def _words(ids: list[int]) -> list[int]:
    """Without the padding at the end."""
    return [each for each in ids if each != PADDING]

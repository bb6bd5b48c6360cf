"""What configs/training/embedded.yaml may say."""

from typing import Self

from pydantic import Field, model_validator

from src.core.config import Config
from src.core.request import Seed, Threads
from src.training.settings import LoopSettings, Rate


class StageSettings(LoopSettings):
    """What all stages of the recipe `embedded` have. share: the part of a slice's minutes that one
    gets.
    """

    share: float


class DecoderStage(StageSettings):
    """The decoder learns the pixels behind the fixed codes, on crops of single frames.

    crop_height, crop_width: in pixels, a multiple of a latent cell. crops: a step. code_noise: the
    largest deviation of the noise on the codes.
    """

    crops: int = 8
    crop_height: int = 96
    crop_width: int = 96
    gradient_weight: float = 1.0
    code_noise: float = 0.06


class TextStage(StageSettings):
    """The text encoder alone learns which move a prompt names, before any picture is seen.

    long_text: the share of steps with 226 tokens, to which the stock pipeline pads a prompt.
    """

    prompts: int = 64
    long_text: float = 0.0


class WordsStage(StageSettings):
    """The text encoder learns that words which the scenes do not know say nothing of a move.

    prompts: of a step. strange: the share of them with such words; the others keep what it says.
    long_text: as in the text stage.
    """

    prompts: int = Field(24, ge=2)
    strange: float = Field(0.67, ge=0, le=1)
    long_text: float = Field(0.1, ge=0, le=1)


class Teaching(Config):
    """What is taught of where tokens come from (src/recipes/embedded/guide.py).

    blocks: numbers of the blocks whose first four heads are shown it; none for training without.
    bearings, corners: what the two weigh beside the objective, at first; both fall to nothing over
    the share `until` of the steps. queries: tokens of a clip whose heads are asked a step.
    """

    blocks: tuple[int, ...] = ()
    bearings: float = Field(1.0, ge=0)
    corners: float = Field(0.1, ge=0)
    until: float = Field(0.5, gt=0, le=1)
    queries: int = Field(256, ge=1)


class TransformerStage(StageSettings):
    """Text encoder and transformer learn the clean codes of a clip.

    batches: clips a step for each number of token frames, the photograph's among them; draw: from
    which share of the steps on which numbers are drawn, with their weights. contiguous: the share
    of samples whose token frames are the photograph's and a run of neighbours from anywhere in the
    clip. steady: what the error of changes from a frame to the next, as a share of the true change,
    weighs beside the objective. outside: what an error counts where a frame shows what lies beyond
    the photograph. reflect: show the photograph's reflection there. last_timestep: the share of
    samples at the schedule's last timestep; 0 is the published objective. image_noise: the
    logarithm of the noise on the photograph. long_text: as in the text stage.
    """

    batches: dict[int, int]
    draw: dict[float, dict[int, float]]
    contiguous: float = 0.3
    steady: float = Field(0.0, ge=0)
    outside: float = Field(1.0, ge=0)
    reflect: bool = False
    caption_dropout: float = 0.1
    image_dropout: float = 0.05
    last_timestep: float = 0.0
    image_noise: float = -3.0
    long_text: float = 0.0
    teaching: Teaching = Teaching()

    @model_validator(mode="after")
    def _drawn_are_batched(self) -> Self:
        missing = sorted(
            {count for counts in self.draw.values() for count in counts} - set(self.batches)
        )
        if 0 not in self.draw:
            raise ValueError("draw does not say what is drawn from share 0 of the steps on")
        if missing or min(self.batches) < 2:
            raise ValueError(
                f"draw names {missing} token frames that batches lacks; each is 2 or more"
            )
        return self

    def taught(self, step: int) -> float:
        """The share of the teaching's first weight that is left at `step`."""
        if not self.teaching.blocks:
            return 0.0
        return max(0.0, 1 - step / (self.teaching.until * max(1, self.steps)))

    def lengths(self, step: int) -> dict[int, float]:
        """The numbers of token frames drawn at `step`, with their weights."""
        return self.draw[max(start for start in self.draw if start <= step / self.steps)]


class EmbeddedSettings(Config):
    """The recipe `embedded`. Seeds, the fit of the codes, and the stages that run after it.

    canvases: in the window that clips draw from; reuse: clips for each new one.
    """

    seed: Seed = 20
    corpus: int = 6000
    fit_clips: int = 120
    canvases: int = 160
    reuse: int = 4
    mix: dict[str, float] = Field(
        default_factory=dict, description="shares that differ from scenes.sampler.Mix"
    )
    threads: Threads | None = Field(
        default=None, description="CPU threads; None leaves it to torch"
    )
    decoder: DecoderStage
    text: TextStage
    transformer: TransformerStage
    words: WordsStage = WordsStage(
        steps=2300, share=0.05, rate=Rate(peak=1.5e-3, decay=1000), ema=0.99
    )

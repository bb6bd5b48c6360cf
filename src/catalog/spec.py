"""ModelSpec: a model is data. What it is, where its weights are, which sizes it takes, its
defaults.
"""

from pydantic import Field, model_validator

from src.core.config import Config, Named
from src.core.errors import BadInputError
from src.core.plan import Size

DRAFT_HEIGHT = 160
"""The least height of a draft's frames, in pixels, where the model's own are not lower."""


class FrameRule(Config):
    """Which frame counts come out as asked.

    Either `only` names the one count that the learned positions were trained on, or counts are
    `step * k + 1` up to `most`.
    """

    only: int | None = None
    step: int = 8
    most: int = 49

    def allows(self, count: int) -> bool:
        if self.only is not None:
            return count == self.only
        return 1 < count <= self.most and count % self.step == 1

    def nearest(self, count: int) -> list[int]:
        """The allowed counts next to `count`, below and above."""
        if self.only is not None:
            return [self.only]
        allowed = range(self.step + 1, self.most + 1, self.step)
        below = [n for n in allowed if n <= count][-1:]
        above = [n for n in allowed if n > count][:1]
        return below + above

    @property
    def counts(self) -> tuple[int, ...]:
        """Every allowed count, ascending."""
        if self.only is not None:
            return (self.only,)
        return tuple(range(self.step + 1, self.most + 1, self.step))


class SizeRule(Config):
    """Which native sizes a model works at.

    multiple: width and height must divide by this (VAE step x patch). native_only: at its own size
    alone, for which its positions were learned; a clip is made at that in any case, an adapter may
    be trained at others.
    """

    multiple: int = 16
    native_only: bool = False

    def allows(self, size: Size) -> bool:
        """Whether both sides are multiples."""
        step = self.multiple
        return (
            min(size.width, size.height) >= step
            and not size.width % step
            and not size.height % step
        )

    def nearest(self, size: Size) -> Size:
        """The multiples next to it."""
        sides = (
            max(self.multiple, round(side / self.multiple) * self.multiple)
            for side in (size.width, size.height)
        )
        return Size(**dict(zip(("width", "height"), sides, strict=True)))


class Defaults(Config):
    """What a request leaves open.

    fps: frames a second that the model was trained on, and that its clips play at.
    draft_num_inference_steps: of a draft, at most.
    baseline_*: what the model's card asks of the stock pipeline.
    """

    num_frames: int = 49
    fps: float = 8.0
    scheduler: str = "dpm"
    num_inference_steps: int = 28
    draft_num_inference_steps: int = 8
    guidance_scale: float = 6.0
    baseline_num_inference_steps: int = 50
    baseline_guidance_scale: float = 6.0


class Schedule(Config):
    """What the checkpoint's scheduler file says of its timesteps.

    shift: of a family that matches flows, how far noise levels move towards the noisy end.
    shifts: where that depends on a clip's tokens, its logarithm at the fewest and the most of them,
    and these two counts. terminal: the last noise level, None for wherever the others lead.
    """

    spacing: str = "trailing"
    train_timesteps: int = 1000
    offset: int = 0
    shift: float = 1.0
    shifts: tuple[float, float, int, int] | None = None
    terminal: float | None = None


class Memory(Config):
    """Bytes on the device, counted by `python -m src.evaluation.memory` for one clip of the model's
    own size.

    weights: of each part, in 16 bit. streams: of a part that streams, what is there at once.
    quantizable: of what denoises, what int8 halves. layers, hidden: its blocks, and the bytes of
    the tokens between two of them, which step caches keep. The others are activations beside the
    weights: encode_text, encode_image, denoise (a guided forward), decode (the whole picture),
    decode_tiled, decode_stock (the stock VAE). measured: peaks by profile, from a card (`python -m
    benchmarks.card --publish`).
    """

    weights: dict[str, int] = Field(default_factory=dict)
    streams: dict[str, int] = Field(default_factory=dict)
    quantizable: int = 0
    layers: int = 0
    hidden: int = 0
    encode_text: int = 0
    encode_image: int = 0
    denoise: int = 0
    decode: int = 0
    decode_tiled: int = 0
    decode_stock: int = 0
    measured: dict[str, int] = Field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether anything was counted."""
        return any(self.weights.values())

    @property
    def whole(self) -> bool:
        """Whether what a clip needs beside the weights was counted too."""
        return self.known and self.denoise > 0


class FolderFacts(Config):
    """What a diffusers folder says of itself in `newsreel.yaml`, where its own configuration files
    do not. Fields as in `ModelSpec` and `Defaults`.
    """

    native: Size | None = None
    frames: FrameRule | None = None
    num_frames: int | None = None
    fps: float | None = None
    licence: str | None = None
    restricted: bool | None = None

    def of(self, spec: "ModelSpec") -> "ModelSpec":
        """The spec with these facts in it."""
        said = self.model_dump(exclude_none=True)
        usual = {name: said.pop(name) for name in ("num_frames", "fps") if name in said}
        if "native" in said:
            said["delivered"] = said["native"]
        known = spec.model_dump()
        return ModelSpec(**known | said | {"defaults": known["defaults"] | usual})


class ModelSpec(Named):
    """One model.

    family: which room of `src/pipelines/` runs it (`families.py`).
    repository: folder inside this repository that holds it. folder: a diffusers folder named by
    path.
    hub: repository id on the model hub, `revision` pinned to a commit; former: names that it had,
    under which it may lie in the hub's cache. download_bytes: of the whole snapshot.
    native: size it generates. delivered: size of its clips unless asked otherwise.
    delivery: how native becomes delivered unless asked otherwise: "lanczos" or an upscaler's
    preset.
    sizes, frames: the rules of native sizes and of frame counts.
    max_sequence_length: prompt tokens it reads. template_guidance: press templates' guidance
    scales, which are tuned for the large models, apply to it.
    stock_fails: by device, why the stock pipeline does not make its clips there.
    memory: what the planner reckons with. licence: of the weights, with what it limits.
    restricted: whether it limits who may use them, where or for what; a request must accept that.
    """

    family: str
    description: str
    repository: str | None = None
    folder: str | None = None
    hub: str | None = None
    revision: str | None = None
    former: tuple[str, ...] = ()
    download_bytes: int = 0
    memory: Memory = Field(default_factory=Memory)
    native: Size
    delivered: Size = Size(width=720, height=480)
    delivery: str = "lanczos"
    sizes: SizeRule = Field(default_factory=SizeRule)
    max_sequence_length: int = 226
    template_guidance: bool = True
    frames: FrameRule = Field(default_factory=FrameRule)
    defaults: Defaults = Field(default_factory=Defaults)
    schedule: Schedule = Field(default_factory=Schedule)
    stock_fails: dict[str, str] = Field(default_factory=dict)
    licence: str
    restricted: bool = False

    @model_validator(mode="after")
    def _native_fits(self) -> "ModelSpec":
        if not self.sizes.allows(self.native):
            step = self.sizes.multiple
            raise ValueError(
                f"native size {self.native} must be a multiple of {step} (VAE step x patch)"
            )
        return self

    @property
    def draft(self) -> Size:
        """The size of a draft's frames: the native one halved, as long as DRAFT_HEIGHT is left."""
        shrink = self.draft_shrink
        return Size(width=self.native.width // shrink, height=self.native.height // shrink)

    @property
    def draft_shrink(self) -> int:
        """How much smaller than native a draft's frames are: 1, 2, 4 and so on."""
        shrink = 1
        while self.native.height // (2 * shrink) >= DRAFT_HEIGHT:
            shrink *= 2
        return shrink

    @property
    def source(self) -> str:
        """Where the weights come from, as manifests write it: free of this machine's paths."""
        if self.repository:
            return f"repository:{self.repository}"
        if self.hub:
            return f"hub:{self.hub}@{self.revision}" if self.revision else f"hub:{self.hub}"
        return f"folder:{self.id}"

    def check_licence(self, accepted: bool) -> None:
        """Raise BadInputError where the licence is a restricted one that nobody accepted."""
        if self.restricted and not accepted:
            raise BadInputError(
                f"the licence of {self.id} has limits: {self.licence}; where they hold for you, "
                "say --accept-licence, or accept_licence=true in a jobs file or a form"
            )

    def check_frames(self, count: int) -> None:
        """Raise BadInputError, naming the nearest counts that work,
        when `count` breaks the rule.
        """
        if not self.frames.allows(count):
            nearest = " and ".join(str(n) for n in self.frames.nearest(count))
            raise BadInputError(
                f"{self.id} cannot make {count} frames; nearest that works: {nearest}"
            )

    def check_size(self, size: Size) -> None:
        """Raise BadInputError, naming what would work, where the model cannot be trained at a
        native size.
        """
        if self.sizes.native_only and size != self.native:
            raise BadInputError(f"sizes: {self.id} is trained at {self.native} only, not {size}")
        if not self.sizes.allows(size):
            step, near = self.sizes.multiple, self.sizes.nearest(size)
            raise BadInputError(f"sizes: {size} must be multiples of {step}; nearest: {near}")

    def deliver(self, width: int | None, height: int | None) -> Size:
        """The delivered size; a missing side follows from the model's shape.

        Raises BadInputError when the shape differs from the native one by more than a percent: the
        picture would be stretched.
        """
        aspect = self.native.width / self.native.height
        if width is None:
            if height is None:
                return self.delivered
            width = _even(height * aspect)
        size = Size(width=width, height=height or _even(width / aspect))
        if abs(size.width / size.height / aspect - 1) > 0.01:
            fitting = (
                f"{size.width}x{_even(size.width / aspect)} and "
                f"{_even(size.height * aspect)}x{size.height}"
            )
            raise BadInputError(
                f"{self.id} cannot deliver {size}: its shape is {self.native}; nearest: {fitting}"
            )
        return size


def _even(value: float) -> int:
    return 2 * round(value / 2)

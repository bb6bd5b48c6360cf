"""The fake as files and requests are judged by it. Imports no torch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from src.catalog.spec import Defaults, FrameRule, ModelSpec, SizeRule
from src.core.plan import Size
from src.pipelines.family import Part, Timesteps
from src.pipelines.family_defaults import FamilyDefaults
from src.pipelines.sides import Counting, Loop, Stock

SHIFT = 5.0


class Fake(FamilyDefaults):
    """Read `src/pipelines/fake/__init__.py` for what it is good for."""

    name = "fake"
    title = "Fake"
    pipelines: tuple[str, ...] = ("FakeImageToVideoPipeline",)
    parts: tuple[Part, ...] = (
        Part("words", "text", ("FakeWords",)),
        Part(
            "mover",
            "denoiser",
            ("FakeMover",),
            blocks="layers",
            inside=("norm", "attention", "mlp"),
            attention="attention",
            feed_forward="mlp",
            queries="attention.to_q",
        ),
        Part("pixels", "vae", ("FakePixels",)),
    )
    others: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {"scheduler": ("FlowMatchEulerDiscreteScheduler",)}
    )
    tokenizers: tuple[str, ...] = ()
    schedulers: tuple[str, ...] = ("euler",)
    lora_targets: tuple[str, ...] = ("to_q",)

    def describe(self, folder: Path, read: Callable[[Path], dict[str, Any]]) -> ModelSpec:
        size = read(folder / "mover" / "config.json")
        native = Size(width=size["width"], height=size["height"])
        return ModelSpec(
            id=folder.resolve().name,
            family=self.name,
            description="a fake",
            folder=str(folder.resolve()),
            native=native,
            delivered=native,
            sizes=SizeRule(multiple=8),
            frames=FrameRule(step=4, most=17),
            defaults=Defaults(num_frames=5, fps=12.0, scheduler="euler", num_inference_steps=3),
            licence="Apache-2.0",
        )

    def timesteps(
        self, count: int, spec: ModelSpec, stock: bool, num_frames: int | None = None
    ) -> Timesteps:
        """Noise levels from 1 on down, shifted towards the noisy end; timesteps are a thousand
        times as large."""
        even = [1 - step / count for step in range(count)]
        sigmas = tuple(SHIFT * level / (1 + (SHIFT - 1) * level) for level in even)
        return Timesteps(tuple(1000 * sigma for sigma in sigmas), sigmas)

    @property
    def stock(self) -> Stock:
        from src.pipelines.fake import loop

        return loop

    @property
    def loop(self) -> Loop:
        from src.pipelines.fake import loop

        return loop

    @property
    def counting(self) -> Counting:
        from src.pipelines.fake import counting

        return counting

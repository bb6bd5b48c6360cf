"""The families as the suite has them: one more family is one more line of `KITS`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from src.core.hardware import Hardware
from src.pipelines.blueprint import TINY
from src.pipelines.building import build_pipeline
from src.pipelines.fake.parts import build_fake
from tests import other_families as tiny
from tests.hunyuan_family import build_hunyuan
from tests.ltx2_family import build_ltx2
from tests.newer_kit import build_newer

SCALE = 4.0
CPU = Hardware(device="cpu", name="a CPU", memory=16 << 30, free_memory=8 << 30, cpu_count=2)


@dataclass(frozen=True)
class Kit:
    """A tiny seeded model of a family, and what its rules say. wrong: a count, and the nearest that
    work."""

    build: Callable[[Path], Path]
    family: str
    frames: int
    wrong: tuple[int, str]
    longer: int | None = None
    prompt: str | None = "pan left"
    fewest: int = 1


KITS = {
    "CogVideoX 1.0": Kit(
        lambda folder: build_pipeline(
            replace(TINY, width=48, height=32, positions=True),
            ["pan left", "press"],
            folder,
            seed=0,
        ),
        "cogvideox",
        9,
        (17, "9$"),
    ),
    "CogVideoX 1.5": Kit(
        lambda folder: build_newer(folder, 17), "cogvideox", 17, (25, "17 and 33$"), 33
    ),
    "fake": Kit(lambda folder: build_fake(folder, seed=0), "fake", 5, (7, "5 and 9$"), 9),
    "Wan 2.2 TI2V": Kit(tiny.build_wan_ti2v, "wan-ti2v", 9, (10, "9 and 13$"), 13),
    "Wan 2.2 A14B": Kit(tiny.build_wan_a14b, "wan", 9, (10, "9 and 13$"), 13),
    "Wan 2.1": Kit(tiny.build_wan_2_1, "wan", 9, (10, "9 and 13$"), 13),
    "LTX": Kit(tiny.build_ltx, "ltx", 9, (11, "9 and 17$"), 17, fewest=2),
    "LTX 0.9.1": Kit(
        lambda folder: tiny.build_ltx(folder, told=True),
        "ltx",
        9,
        (11, "9 and 17$"),
        17,
        fewest=2,
    ),
    "SVD": Kit(tiny.build_svd, "svd", 9, (10, "9$"), prompt=None),
    "HunyuanVideo": Kit(build_hunyuan, "hunyuan-video", 9, (10, "9 and 13$"), 13),
    "LTX-2": Kit(build_ltx2, "ltx2", 9, (11, "9 and 17$"), 17, fewest=2),
}

"""What our loop switches on does its work on families of other classes than CogVideoX's: caches,
guidance intervals, adapters, offload, compiling. CogVideoX's own tests are test_profiles.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from src.core.plan import Cache, Plan, SessionKey
from src.core.progress import CancelToken, ignore
from src.core.toolchain import missing_for_compiling
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines import compiling
from src.pipelines.adapter_files import read_adapter
from src.pipelines.families import family_of
from src.pipelines.family import parts_of
from src.pipelines.models import find_model
from tests import other_families as tiny
from tests.card_kit import OnCard

STEPS = 4
CLOSE = 1
"""Compiled sums, and those of a card, may round apart by one step of eight bits."""


@dataclass(frozen=True)
class Made:
    """A tiny folder, and what makes clips of it."""

    folder: Path
    session: Session
    plan: Callable[..., Plan]

    def frames(self, session: Session | None = None, **fields) -> np.ndarray:
        run = session or self.session
        plan = self.plan(session=run.key, **fields)
        size = plan.native
        pixels = np.random.default_rng(0).integers(0, 255, (size.height, size.width, 3), np.uint8)
        made = run.run(plan, pixels, Stopwatch(), ignore, CancelToken())
        return np.stack(list(made)).astype(int)

    def opened(self, **key) -> Session:
        return Session(self.session.key.model_copy(update=key), self.folder)


BUILDERS = {"ltx": tiny.build_ltx, "wan-ti2v": tiny.build_wan_ti2v}


@pytest.fixture(scope="module", params=BUILDERS)
def made(request, tmp_path_factory) -> Made:
    folder = BUILDERS[request.param](tmp_path_factory.mktemp("models") / "tiny")
    spec = find_model(str(folder))
    visited = family_of(spec).timesteps(STEPS, spec, stock=False)
    key = SessionKey(model=spec.id, source=spec.source, device="cpu", dtype="float32", vae="fast",
                     family=spec.family)  # fmt: skip

    def plan(**fields) -> Plan:
        usual = dict(
            mode="optimized", profile="plain", weights={}, image_sha256="", fit="cover",
            prompt="pan left", negative_prompt="blurry", max_sequence_length=32,
            scheduler=spec.defaults.scheduler, timesteps=visited.timesteps, sigmas=visited.sigmas,
            guidance=(4.0,) * STEPS, num_frames=spec.frames.counts[0],
            fps=spec.defaults.fps, native=spec.native, delivered=spec.native, upscaler="lanczos",
            seed=3, score=False,
        )  # fmt: skip
        return Plan(**usual | fields)

    return Made(folder, Session(key, folder), plan)


@pytest.fixture(scope="module")
def adapter(made, tmp_path_factory):
    """A strong one on the queries of every block."""
    spec = find_model(str(made.folder))
    (part,) = parts_of(family_of(spec), "denoiser")
    blocks = part.blocks_of(getattr(made.session.load(), part.name))
    generator, state = torch.Generator().manual_seed(0), {}
    for number, block in enumerate(blocks):
        layer, name = block.get_submodule(part.queries), f"{part.blocks}.{number}.{part.queries}"
        for side, shape in (("A", (2, layer.in_features)), ("B", (layer.out_features, 2))):
            state[f"transformer.{name}.lora_{side}.weight"] = 3 * torch.randn(
                shape, generator=generator
            )
    path = tmp_path_factory.mktemp("adapters") / "a.safetensors"
    save_file(state, path, metadata={"format": "pt"})
    return read_adapter(str(path), made.folder)


@pytest.mark.parametrize(
    ("name", "skipping", "idle"),
    [("first_block", 9.0, 0.0), ("taylorseer", 2, 1), ("pyramid", 2, 1)],
)
def test_a_cache_skips_and_one_that_skips_nothing_changes_nothing(made, name, skipping, idle):
    for guidance in ((4.0,) * STEPS, (1.0, 4.0, 4.0, 1.0)):
        plain = made.frames(guidance=guidance)
        kept = made.frames(guidance=guidance, cache=Cache(name=name, threshold=idle))
        assert np.array_equal(kept, plain)
    cache = Cache(name=name, threshold=skipping)
    skipped = made.frames(cache=cache)
    assert not made.session.remarks(made.plan(session=made.session.key, cache=cache))
    assert not np.array_equal(skipped, made.frames())


def test_an_adapter_changes_the_clip_and_off_restores_every_bit(made, adapter):
    base = made.frames()
    made.session.adapters = (adapter,)
    on = made.frames(adapters=(adapter.reference,))
    assert not np.array_equal(on, base)
    assert np.array_equal(made.frames(), base)
    assert np.array_equal(made.frames(adapters=(adapter.reference,)), on)
    assert np.array_equal(made.frames(), base)


@pytest.fixture(scope="module")
def resting(made, adapter):
    """Runs' fields, and the frames where nothing moves."""
    on, made.session.adapters = {"adapters": (adapter.reference,)}, (adapter,)
    cached = {"cache": Cache(name="first_block", threshold=9.0)}
    return [(fields, made.frames(**fields)) for fields in (cached, on, cached | on, {}, cached)]


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize("offload", ["none", "text", "model", "group", "paged", "sequential"])
def test_weights_that_move_make_the_same_clip(made, adapter, resting, offload):
    """On a stand-in for a card. What a skipped step brought in vain is there when the adapter
    comes.
    """
    with OnCard():
        moved = made.opened(offload=offload, device="cuda")
        moved.adapters = (adapter,)
        for fields, each in resting:
            assert np.abs(made.frames(moved, **fields) - each).max() <= CLOSE
        moved.unload()


@pytest.mark.parametrize(
    ("backend", "cache"),
    [
        ("eager", "first_block"),
        pytest.param("eager", "none", marks=pytest.mark.soak),
        pytest.param("eager", "taylorseer", marks=pytest.mark.soak),
        pytest.param("inductor", "first_block", marks=pytest.mark.soak),
    ],
)
def test_compiled_blocks_make_the_same_clip(made, adapter, cache, backend, monkeypatch):
    """Each block is one graph, under hooks and adapters. Backend eager traces and computes as
    before; what inductor makes of these graphs takes minutes. A cache is tried with an adapter on,
    whose graphs hold the others' and more."""
    if backend == "inductor" and (lacking := missing_for_compiling("cpu")):
        pytest.skip(f"nothing compiles here: {lacking}")
    monkeypatch.setattr(compiling, "BACKEND", backend)
    fields = {"cache": Cache(name=cache, threshold={"taylorseer": 2}.get(cache, 0.0)),
              "guidance": (4.0, 4.0, 4.0, 1.0)}  # fmt: skip
    compiled = made.opened(compile=True)
    with torch._inductor.config.patch(compile_threads=1):
        for on in ((), (adapter,)) if cache == "none" else ((adapter,),):
            made.session.adapters = compiled.adapters = on
            chosen = {"adapters": tuple(one.reference for one in on)}
            wanted = made.frames(**fields, **chosen)
            assert np.abs(made.frames(compiled, **fields, **chosen) - wanted).max() <= CLOSE
    compiled.unload()
    torch._dynamo.reset()


def test_half_precision_runs(made):
    half = made.opened(dtype="bfloat16")
    assert made.frames(half).std() > 0
    half.unload()

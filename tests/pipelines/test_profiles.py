"""Every profile and every step cache runs, with the real compiler, and gives the frames of the
plain run.

A tiny model on the CPU: what moves between memories moves in place (`streams_kit.py`), and a kernel
of CUDA alone is replaced by one that is here. Adapters go off, on and off, and guidance stops
before the last step: the changes that compiled code must bear.
"""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from src.catalog.profiles import load_profiles
from src.core.plan import Cache, Size
from src.core.progress import CancelToken, ignore
from src.core.toolchain import missing_for_compiling
from src.engine.costs import Stopwatch
from src.engine.schedule import guidance_schedule
from src.engine.session import Session
from src.pipelines.adapter_files import read_adapter
from src.pipelines.blueprint import TINY
from src.pipelines.building import build_pipeline

SMALL = dataclasses.replace(
    TINY, height=32, width=48, vae_channels=(4, 4, 4), vae_groups=2, vae_layers=0, heads=1
)
PROFILES = {profile.name: profile for profile in load_profiles()}
STEPS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_pipeline(
        SMALL, ["press briefing, pan left"], tmp_path_factory.mktemp("models") / "small", seed=0
    )


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """Strong enough that a compiled block which forgot it would show."""
    path, generator = (
        tmp_path_factory.mktemp("adapters") / "a.safetensors",
        torch.Generator().manual_seed(0),
    )
    names = [
        f"transformer.transformer_blocks.{n}.attn1.to_v.lora_{side}.weight"
        for n in (0, 1)
        for side in "AB"
    ]
    shapes = {"A": (2, 16), "B": (16, 2)}
    state = {name: torch.randn(shapes[name[-8]], generator=generator) for name in names}
    config = {
        "transformer.r": 2,
        "transformer.lora_alpha": 16.0,
        "transformer.target_modules": ["to_v"],
    }
    save_file(state, path, metadata={"format": "pt", "lora_adapter_metadata": json.dumps(config)})
    return path


@pytest.fixture(scope="module", autouse=True)
def _here():
    """Compile in this process: a pool of workers takes longer to start than these graphs take."""
    if lacking := missing_for_compiling("cpu"):
        pytest.skip(f"nothing compiles here: {lacking}")
    with torch._inductor.config.patch(compile_threads=1):
        yield
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def runner(folder, make_plan, adapter):
    """Frames of a session under a plan, with the adapter or without."""
    on = read_adapter(str(adapter), folder)
    pixels = np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8)

    def run(session, with_adapter=False, tiling=False, **fields):
        size, key = Size(width=48, height=32), session.key.model_copy(update={"tiling": tiling})
        plan = make_plan(STEPS, session=key, native=size, delivered=size, **fields)
        session.adapters = (on,) if with_adapter else ()
        plan = plan.model_copy(update={"adapters": tuple(a.reference for a in session.adapters)})
        return np.stack(list(session.run(plan, pixels, Stopwatch(), ignore, CancelToken()))).astype(
            int
        )

    return run


@pytest.fixture(scope="module")
def eager(folder, make_plan):
    return Session(make_plan().session.model_copy(update={"vae": "fast"}), folder)


@pytest.fixture(scope="module")
def compiled(eager, folder):
    made = Session(eager.key.model_copy(update={"compile": True}), folder)
    yield made
    made.unload()


def session_of(profile, eager, folder):
    """As the profile loads on a GPU, but for a kernel that no CPU has."""
    fields = {
        name: getattr(profile, name)
        for name in ("offload", "vae", "compile", "quantize", "attention")
    }
    fields["attention"] = "flash" if profile.attention != "auto" else "auto"
    return Session(eager.key.model_copy(update=fields), folder)


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize("name", list(PROFILES))
def test_every_profile_runs_with_an_adapter_off_on_off(name, eager, runner, folder):
    profile = PROFILES[name]
    if profile.quantize != "none":
        pytest.importorskip("torchao", reason="int8 weights need requirements-quantize.txt")
    session = session_of(profile, eager, folder)
    fields = {
        "guidance": guidance_schedule(STEPS, 4.0, profile.guidance_from, profile.guidance_until)
    }
    fields["tiling"] = profile.tiling is True
    close = 1 if profile.quantize == "none" else 8
    wanted = {on: runner(eager, on, **fields) for on in (False, True)}
    # a cache that skips nothing is no cache
    fields["cache"] = Cache(name=profile.cache, threshold=0.0)
    assert np.abs(wanted[True] - wanted[False]).max() > 2 * close
    for on in (False, True, False):
        made = runner(session, on, **fields)
        assert np.abs(made - wanted[on]).max() <= close
    session.unload()


@pytest.mark.parametrize(
    ("name", "skipping", "idle"),
    [("first_block", 0.5, 0.0), ("taylorseer", 2, 1), ("pyramid", 2, 1)],
)
def test_a_cache_goes_with_compiling_and_with_guidance_that_stops(
    name, skipping, idle, eager, compiled, runner
):
    fields = {"guidance": (4.0, 4.0, 4.0, 1.0)}
    plain = runner(eager, **fields)
    skipped = runner(eager, cache=Cache(name=name, threshold=skipping), **fields)
    assert (
        np.abs(
            runner(compiled, cache=Cache(name=name, threshold=skipping), **fields) - skipped
        ).max()
        <= 1
    )
    assert (
        np.abs(runner(compiled, cache=Cache(name=name, threshold=idle), **fields) - plain).max()
        <= 1
    )
    assert np.abs(runner(compiled, **fields) - plain).max() <= 1


def test_skipped_steps_go_with_compiling_and_with_guidance_that_stops(eager, compiled, runner):
    fields = {"guidance": (4.0, 4.0, 4.0, 1.0)}
    skipping = fields | {"cache": Cache(name="magcache", threshold=0.1, skipped=(1, 2))}
    skipped, plain = runner(eager, **skipping), runner(eager, **fields)
    assert not np.array_equal(skipped, plain)
    assert np.abs(runner(compiled, **skipping) - skipped).max() <= 1
    assert np.abs(runner(compiled, **fields) - plain).max() <= 1


def test_guidance_may_begin_late_and_end_early_under_every_cache(eager, runner):
    guidance = (1.0, 4.0, 4.0, 1.0)
    plain = runner(eager, guidance=guidance)
    for name, idle in (("first_block", 0.0), ("taylorseer", 1), ("pyramid", 1)):
        assert np.array_equal(
            runner(eager, guidance=guidance, cache=Cache(name=name, threshold=idle)), plain
        )

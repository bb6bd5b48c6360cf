"""Each switch of a profile does what it says on this model, or raises."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from src.core.errors import BadInputError, SwitchError
from src.core.plan import Cache, SessionKey
from src.core.progress import CancelToken, ignore
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines import compiling, placement
from src.pipelines.attending import attention_kernel
from src.pipelines.families import family_named
from src.pipelines.family import parts_of
from src.pipelines.loading import read_pipeline
from src.pipelines.placement import place
from src.pipelines.tuning import quantize, use_cache

FAMILY = family_named("cogvideox")


def session_for(tiny_folder, make_plan, **key):
    plan = make_plan()
    return Session(plan.session.model_copy(update=key), tiny_folder)


def frames(session, plan, picture):
    plan = plan.model_copy(update={"session": session.key})
    return np.stack(list(session.run(plan, picture, Stopwatch(), ignore, CancelToken())))


@pytest.mark.parametrize(
    "cache",
    [
        Cache(name="first_block", threshold=0.5),
        Cache(name="taylorseer", threshold=3),
        Cache(name="pyramid", threshold=2),
    ],
)
def test_a_cache_skips_work_and_leaves_nothing_behind(tiny_folder, make_plan, picture, cache):
    session = session_for(tiny_folder, make_plan)
    plan = make_plan(steps=10)
    plain = frames(session, plan, picture)
    calls = []
    block = session.load().transformer.transformer_blocks[1].attn1.to_q
    handle = block.register_forward_hook(lambda *_: calls.append(1))
    cached = frames(session, plan.model_copy(update={"cache": cache}), picture)
    handle.remove()
    assert len(calls) < 10, "the last block ran at every step: the cache did nothing"
    assert not np.array_equal(cached, plain)
    assert np.array_equal(frames(session, plan, picture), plain)


@pytest.mark.parametrize(
    ("cache", "steps", "idle"),
    [(Cache(name="first_block", threshold=1e-6), 4, True),
     (Cache(name="first_block", threshold=0.9), 10, False),
     (Cache(name="taylorseer", threshold=2), 10, False),
     (Cache(name="pyramid", threshold=2), 10, False), (Cache(), 4, False)],
)  # fmt: skip
def test_a_cache_that_skipped_nothing_is_told(tiny_folder, make_plan, picture, cache, steps, idle):
    session, plan = session_for(tiny_folder, make_plan), make_plan(steps=steps, cache=cache)
    frames(session, plan, picture)
    told = (
        f"the cache first_block skipped none of {steps} forwards: more steps, or another threshold",
    )
    assert session.remarks(plan) == (told if idle else ())
    frames(session, make_plan(), picture)
    assert session.remarks(make_plan()) == ()


def test_a_cache_survives_guidance_that_stops(tiny_folder, make_plan, picture):
    plan = make_plan(
        steps=6,
        guidance=(4.0, 4.0, 4.0, 1.0, 1.0, 1.0),
        cache=Cache(name="first_block", threshold=0.5),
    )
    assert frames(session_for(tiny_folder, make_plan), plan, picture).shape[0] == 9


def test_a_cancelled_run_leaves_no_cached_state(tiny_folder, make_plan, picture):
    from src.core.errors import CancelledError

    session = session_for(tiny_folder, make_plan)
    plan = make_plan(steps=8, cache=Cache(name="first_block", threshold=0.5))
    fresh = frames(session, plan, picture)
    cancel = CancelToken()
    other = plan.model_copy(update={"seed": 99})
    with pytest.raises(CancelledError):
        list(
            session.run(
                other,
                picture,
                Stopwatch(),
                lambda r: cancel.cancel() if r.done == 3 else None,
                cancel,
            )
        )
    assert np.array_equal(frames(session, plan, picture), fresh)


def test_a_cache_that_hooks_nothing_is_an_error(tiny_folder):
    transformer = read_pipeline(tiny_folder, torch.float32).transformer
    transformer.transformer_blocks = torch.nn.ModuleList()
    with pytest.raises((BadInputError, ValueError)):
        use_cache(
            transformer, Cache(name="taylorseer", threshold=3), parts_of(FAMILY, "denoiser")[0]
        )


def test_attention_kernels_agree_and_foreign_ones_are_refused(tiny_folder, make_plan, picture):
    plain = frames(session_for(tiny_folder, make_plan), make_plan(), picture)
    math = frames(session_for(tiny_folder, make_plan, attention="math"), make_plan(), picture)
    assert np.abs(plain.astype(int) - math).max() <= 1
    with pytest.raises(BadInputError, match="CUDA kernel"):
        attention_kernel("cudnn", "cpu")


def test_the_chosen_kernel_is_the_one_that_runs(monkeypatch):
    query = torch.randn(1, 2, 8, 16)
    with attention_kernel("math", "cpu"):
        assert torch.backends.cuda.math_sdp_enabled()
        assert not torch.backends.cuda.flash_sdp_enabled()
        torch.nn.functional.scaled_dot_product_attention(query, query, query)


def test_tiles_cover_the_picture(tiny_folder, make_plan, picture):
    session = session_for(tiny_folder, make_plan, tiling=True)
    assert frames(session, make_plan(), picture).shape == (9, *picture.shape)
    assert not session.load().vae.use_tiling


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize("offload", ["text", "model", "group", "paged", "sequential"])
def test_offload_keeps_the_frames(tiny_folder, make_plan, picture, offload):
    plain = frames(session_for(tiny_folder, make_plan, vae="fast"), make_plan(), picture)
    grouped = frames(
        session_for(tiny_folder, make_plan, offload=offload, vae="fast"), make_plan(), picture
    )
    assert np.array_equal(grouped, plain)


def test_int8_changes_every_linear_of_the_blocks(tiny_folder):
    pytest.importorskip("torchao")
    pipe = read_pipeline(tiny_folder, torch.bfloat16)
    linears = [
        m for m in pipe.transformer.transformer_blocks.modules() if isinstance(m, torch.nn.Linear)
    ]
    assert quantize(pipe.transformer.transformer_blocks, "int8") == len(linears)


def test_fp8_dynamic_asks_for_a_scale_a_row_on_the_card(monkeypatch):
    """A stand-in for torchao: its own refuses every processor."""
    asked = []
    stand_in = SimpleNamespace(
        Float8DynamicActivationFloat8WeightConfig=lambda granularity: ("dynamic", granularity),
        PerRow=lambda: "row",
        quantize_=lambda block, config, device: asked.append((config, device)) or block.half(),
    )
    monkeypatch.setitem(sys.modules, "torchao", SimpleNamespace(quantization=stand_in))
    monkeypatch.setitem(sys.modules, "torchao.quantization", stand_in)
    with pytest.raises(SwitchError, match="found no linear layer to change"):
        quantize(torch.nn.ModuleList([torch.nn.Linear(2, 2)]), "fp8_dynamic", "cuda")
    assert asked == [(("dynamic", "row"), "cuda")]


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize("part", ["text_encoder", "transformer"])
def test_streamed_parts_are_many_groups(tiny_folder, part):
    """Unless its blocks are named, the whole text encoder is one group, and all of it is on the
    device at once.
    """
    pipe = read_pipeline(tiny_folder, torch.float32)
    place(
        FAMILY,
        pipe,
        SessionKey(model="", source="", device="cpu", dtype="float32", offload="group", vae="fast"),
    )
    blocks = (
        pipe.text_encoder.encoder.block
        if part == "text_encoder"
        else pipe.transformer.transformer_blocks
    )
    assert all(block._diffusers_hook.get_hook("group_offloading") is not None for block in blocks)


def test_changes_of_adapters_and_sessions_never_meet_a_recompile_limit(
    tiny_folder, make_plan, picture, monkeypatch
):
    """Three adapters of as many ranks, then another session: more graphs than the limit here,
    which is lower than ours.
    """
    real = torch.compile
    monkeypatch.setattr(
        compiling.torch, "compile", lambda f, **kw: real(f, **kw | {"backend": "eager"})
    )
    monkeypatch.setattr(compiling, "RECOMPILE_LIMIT", 4)
    monkeypatch.setattr(compiling, "CHANGES", 2)
    plan = make_plan(steps=2, guidance=(4.0, 1.0))
    with torch._dynamo.config.patch(recompile_limit=4):
        for ranks in ((1, 2, 3), (4,)):
            session = session_for(tiny_folder, make_plan, vae="fast", compile=True)
            transformer = session.load().transformer
            for rank in ranks:
                add_adapter(transformer, rank)
                session._count_change()
                frames(session, plan, picture)
                transformer.delete_adapters("a")
            session.unload()


def add_adapter(transformer, rank):
    from peft import LoraConfig

    transformer.add_adapter(LoraConfig(r=rank, target_modules=["to_q"]), adapter_name="a")


def test_under_windows_a_process_keeps_to_what_is_free(monkeypatch):
    shares = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (6 << 30, 8 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 1 << 30)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    placement.refuse_to_spill()
    assert shares == [0.875]
    for release, there in (("5.15.90.1-microsoft-standard-WSL2", True), ("6.1.0-18-amd64", False)):
        monkeypatch.setattr(
            placement.platform, "uname", lambda release=release: SimpleNamespace(release=release)
        )
        assert placement.on_wsl() == there

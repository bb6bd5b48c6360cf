"""What fails in compiling, a kernel, a quantiser, a cache or a package steps down, says so, and is
not tried again.
"""

import numpy as np
import pytest
import torch

from src.core.errors import BadInputError, SwitchError
from src.core.plan import Cache
from src.engine.fallback import Steps, step_down, without
from src.engine.generate import generate, plans_for, prepare
from src.engine.manifest import read_manifest
from src.engine.session import Session
from src.engine.session_run import tiled
from src.engine.sessions import Sessions
from src.pipelines.cogvideox import loop
from src.pipelines.failures import failing_switch


@pytest.fixture
def plan(request_for, cpu):
    return plans_for(prepare(request_for(cache="first_block=0.5")), cpu)[0]


def having(plan, **key):
    return plan.model_copy(update={"session": plan.session.model_copy(update=key)})


def raised(make):
    try:
        make()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def unsupported():
    @torch.compile(backend="eager", fullgraph=True)
    def broken(x):
        torch._dynamo.graph_break()
        return x

    broken(torch.ones(1))


def missing():
    import no_such_package  # noqa: F401


ALL = {"compile": True, "quantize": "int8", "attention": "flash"}


@pytest.mark.parametrize(
    ("make", "switch"),
    [
        (unsupported, "compile"),
        (
            lambda: exec("raise RuntimeError('No available kernel. Aborting execution.')"),
            "attention",
        ),
        (lambda: exec("raise RuntimeError('cuDNN Frontend error: no valid engine')"), "attention"),
        (lambda: exec(compile("1 / 0", "/x/sageattention/core.py", "exec")), "attention"),
        (lambda: exec(compile("1 / 0", "/x/flash_attn_interface.py", "exec")), "attention"),
        (missing, "quantize"),
        (lambda: exec(compile("1 / 0", "/site-packages/torchao/linear.py", "exec")), "quantize"),
        (lambda: exec(compile("1 / 0", "/diffusers/hooks/taylorseer_cache.py", "exec")), "cache"),
        (lambda: exec(compile("1 / 0", "/site-packages/triton/runtime.py", "exec")), "compile"),
        (lambda: exec("raise RuntimeError('CUDA out of memory')"), "memory"),
        (lambda: exec("raise RuntimeError('device-side assert triggered')"), None),
        (lambda: exec("raise ValueError('a bug of ours')"), None),
    ],
)
def test_an_error_belongs_to_the_switch_that_made_it(plan, make, switch):
    error = raised(make)
    assert failing_switch(error, having(plan, **ALL)) == switch
    bare = plan.model_copy(update={"cache": Cache()})
    assert failing_switch(error, bare) == (switch if switch == "memory" else None)


def test_errors_of_the_person_are_not_stepped_over(plan):
    assert (
        failing_switch(BadInputError("this adapter is for another base"), having(plan, **ALL))
        is None
    )
    assert failing_switch(SwitchError("cache", "no effect"), plan) == "cache"


@pytest.mark.parametrize("switch", ["compile", "quantize", "attention", "cache"])
def test_without_a_switch_the_plan_is_the_same_but_for_it(plan, switch):
    full = having(plan, **ALL)
    less = without(full, switch)
    assert less != full
    assert without(less, switch) == less


def test_compiling_that_fails_steps_down_once_and_later_clips_know(
    request_for, cpu, monkeypatch, caplog
):
    """The real compiler on a graph that it cannot build."""
    from src.pipelines import compiling

    real = torch.compile

    def poisoned(function, **kwargs):
        def broken(*args, **inner):
            torch._dynamo.graph_break()
            return function(*args, **inner)

        return real(broken, **kwargs)

    monkeypatch.setattr(compiling.torch, "compile", poisoned)
    hardware = cpu.model_copy(update={"compiler": True})
    sessions, results = Sessions(), []
    for seed in (1, 2):
        prepared = prepare(request_for(compile=True, seed=seed))
        results.append(
            generate(prepared, plans_for(prepared, hardware), hardware, sessions=sessions)
        )
    assert results[0].fallbacks[0].startswith("plain: compiling failed: ")
    assert results[1].fallbacks[0].startswith("plain: compiling left out: ")
    assert not results[0].plan.session.compile
    assert read_manifest(results[0].manifest).plan == results[0].plan
    prepared = prepare(request_for(seed=1))
    assert generate(prepared, plans_for(prepared, cpu), cpu).frame_sha256 == results[0].frame_sha256


def test_a_quantiser_that_is_gone_steps_down(request_for, cpu, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchao.quantization", None)
    prepared = prepare(request_for(quantize="int8"))
    plans = plans_for(prepared, cpu.model_copy(update={"quantizer": True}))
    result = generate(prepared, plans, cpu)
    assert "quantised weights failed: --quantize int8 needs torchao" in result.fallbacks[0]
    assert result.plan.session.quantize == "none"


def test_a_kernel_that_refuses_steps_down(request_for, cpu, monkeypatch):
    from src.pipelines import attending

    def refuses(name, device):
        if name != "auto":
            raise RuntimeError("No available kernel. Aborting execution.")
        return torch.nn.attention.sdpa_kernel(list(attending.BACKENDS.values()))

    monkeypatch.setattr(attending, "attention_kernel", refuses)
    prepared = prepare(request_for(attention="flash"))
    result = generate(prepared, plans_for(prepared, cpu), cpu)
    assert result.fallbacks == (
        "plain: the attention kernel failed: No available kernel. Aborting execution.",
    )


def test_a_kernel_of_a_package_that_does_not_load_steps_down(request_for, cpu, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sageattention", None)
    prepared = prepare(request_for())
    plan = having(plans_for(prepared, cpu)[0], attention="sage")
    result = generate(prepared, (plan,), cpu)
    assert "the attention kernel failed: --attention sage: sageattention" in result.fallbacks[0]
    assert result.plan.session.attention == "auto"


def test_memory_that_runs_out_while_decoding_keeps_the_latents(request_for, cpu, monkeypatch):
    steps, decode = [], loop.decode

    def greedy(pipe, latents, listener, cancel, tiling=False):
        if not tiling:
            raise RuntimeError("CUDA out of memory. Tried to allocate 8 GiB")
        return decode(pipe, latents, listener, cancel, tiling)

    monkeypatch.setattr(loop, "decode", greedy)
    advance = loop.advance
    monkeypatch.setattr(loop, "advance", lambda *args: steps.append(1) or advance(*args))
    prepared = prepare(request_for())
    plans = plans_for(prepared, cpu)
    result = generate(prepared, plans, cpu)
    assert len(steps) == 2, "the steps were computed again"
    assert result.plan == tiled(plans[0])
    assert result.fallbacks == ("plain: CUDA out of memory. Tried to allocate 8 GiB",)
    monkeypatch.setattr(loop, "decode", decode)
    again = prepare(request_for())
    assert generate(again, (tiled(plans[0]),), cpu).frame_sha256 == result.frame_sha256


def test_a_plan_that_needs_more_than_the_one_that_failed_is_not_tried(plan):
    small, large = (
        plan.model_copy(update={"memory_estimate": n, "profile": str(n)}) for n in (5, 9)
    )
    steps = Steps(
        [small.model_copy(update={"memory_estimate": 7, "profile": "7"}), large, small], {}
    )
    failed = steps.next()
    steps.give_up(failed, "memory", "out of memory", keeps_latents=False)
    assert steps.next().profile == "5"
    assert steps.next() is None


def test_a_forward_of_its_own_is_tried_after_a_shared_one(plan):
    """Both plans are estimated by one clip, and the shared forward needs more."""
    alone = plan.model_copy(update={"memory_estimate": 10**10})
    shared = alone.model_copy(update={"prompts_per_forward": 2})
    steps = Steps([shared, alone], {})
    steps.give_up(steps.next(), "memory", "out of memory", keeps_latents=False)
    assert steps.next() == alone


def test_warming_up_steps_down_too(tiny_folder, cpu, monkeypatch, home):
    from src.engine import warm

    run, seen = Session.run, []

    def first_fails(self, plan, *args, **kwargs):
        seen.append(plan)
        if len(seen) == 1:
            raise RuntimeError("CUDA out of memory")
        yield from run(self, plan, *args, **kwargs)

    monkeypatch.setattr(Session, "run", first_fails)
    plans = warm.short_plans
    monkeypatch.setattr(
        warm, "short_plans", lambda *args: plans(*args) + tuple(map(tiled, plans(*args)))
    )
    warm.warm_up("optimized", "cpu", cpu, Sessions(), str(tiny_folder))
    assert [plan.session.tiling for plan in seen] == [False, True]


def test_warming_up_makes_a_guided_and_an_unguided_step(request_for, cpu):
    from src.engine.warm import short_plans

    both = short_plans(
        prepare(request_for(num_inference_steps=None, guidance_interval="0,0.8")), cpu
    )[0]
    assert both.num_inference_steps == 2
    assert both.guidance[0] > both.guidance[1] == 1.0
    one = short_plans(prepare(request_for(num_inference_steps=None)), cpu)[0]
    assert np.ptp(one.guidance) == 0


def test_step_down_gives_the_first_answer(plan):
    class Fake:
        def unload(self):
            pass

        def keeps_latents_of(self, _):
            return False

    assert step_down((plan,), lambda _: Fake(), lambda plan, session, left: left) == ()

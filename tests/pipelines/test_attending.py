"""Kernels of packages in every family that takes them: the layout, the scale and the order of heads
are the stock pipeline's. The packages are stand-ins that compute torch's attention.
"""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from src.core.errors import SwitchError
from src.core.progress import CancelToken, ignore
from src.core.request import Request
from src.engine.costs import Stopwatch
from src.engine.generate import plans_for, prepare
from src.engine.session import Session
from src.pipelines import attending, compiling
from src.pipelines.cogvideox.divided import DividedAttention, Shares
from src.pipelines.cogvideox.kernel_attention import KernelAttention
from src.pipelines.families import family_of, read_config
from tests import attention_packages
from tests.contracts.family.kits import CPU, KITS

NAMES = ("sage", "flash3")


@pytest.fixture
def calls(monkeypatch):
    return attention_packages.install(monkeypatch)


@pytest.fixture(scope="module", params=["CogVideoX 1.0", "CogVideoX 1.5", "Wan 2.2 TI2V", "LTX"])
def folder(request, tmp_path_factory):
    return KITS[request.param].build(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def prepared(folder, photograph, tmp_path):
    return prepare(
        Request(
            input_image=photograph,
            prompt="pan left",
            model=str(folder),
            seed=5,
            num_inference_steps=2,
            score=False,
            output_path=tmp_path / "clip.mp4",
        )
    )


def rendered(prepared, **key):
    """The plan, and the frames of a session of its own (F, H, W, 3)."""
    plan = plans_for(prepared, CPU)[0]
    session = plan.session.model_copy(update={"compile": False} | key)
    plan = plan.model_copy(update={"session": session})
    pixels = np.random.default_rng(0).integers(
        0, 255, (plan.native.height, plan.native.width, 3), np.uint8
    )
    run = Session(session, prepared.folder).run(plan, pixels, Stopwatch(), ignore, CancelToken())
    return plan, np.stack(list(run)).astype(int)


def test_a_kernel_gives_the_stock_clip_and_is_asked_what_the_plan_says(prepared, calls):
    plan, plain = rendered(prepared)
    shape = family_of(prepared.spec).attention(prepared.folder, read_config, plan)
    asked = (shape.tokens, shape.heads, shape.head_dim)
    assert not calls
    for name in NAMES:
        calls.clear()
        _, found = rendered(prepared, attention=name)
        assert np.abs(found - plain).max() <= 1
        assert {kernel for kernel, *_ in calls} == {name}
        assert {size[1:] for _, *both in calls for size in both} == {asked}


@pytest.mark.parametrize("folder", ["CogVideoX 1.0", "LTX"], indirect=True)
def test_compiled_blocks_hold_it_in_one_graph(prepared, calls, monkeypatch):
    """`fullgraph` raises where a graph would break."""
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    _, plain = rendered(prepared)
    _, found = rendered(prepared, attention="sage", compile=True)
    assert np.abs(found - plain).max() <= 1 and calls
    torch._dynamo.reset()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [None, 0.3])
def test_an_operator_is_scaled_attention(calls, name, scale):
    query, key = torch.randn(2, 5, 3, 8), torch.randn(2, 7, 3, 16)[..., ::2]
    made = attending.OPERATORS[name](query, key, key, scale)
    heads = [part.transpose(1, 2) for part in (query, key, key)]
    weights = heads[0] @ heads[1].mT * (8**-0.5 if scale is None else scale)
    expected = (weights.softmax(-1) @ heads[2]).transpose(1, 2)
    assert torch.allclose(made, expected, atol=1e-5) and made.is_contiguous()
    assert calls == [(name, (2, 5, 3, 8), (2, 7, 3, 8))]
    torch.library.opcheck(attending.OPERATORS[name], (query, key, key, scale))


def test_the_first_versions_of_flash3_give_a_pair(calls, monkeypatch):
    flash = sys.modules["flash_attn_interface"]
    query, usual = torch.randn(1, 4, 2, 8), flash.flash_attn_func
    monkeypatch.setattr(flash, "flash_attn_func", lambda *a, **k: (usual(*a, **k), None))
    assert torch.allclose(
        attending.flash3(query, query, query), attending.torch_attend(query, query, query)
    )


@pytest.mark.parametrize(
    "beside",
    [{"attn_mask": torch.tensor([[True, True, False]])}, {"is_causal": True}],
    ids=["mask", "causal"],
)
def test_what_no_kernel_takes_is_torchs_for_that_call(calls, beside):
    query = torch.randn(1, 3, 2, 8)
    attend = attending.dispatched(attending.optional_attend("sage"))
    made = attend(query, query, query, **beside)
    heads = query.transpose(1, 2)
    expected = torch.nn.functional.scaled_dot_product_attention(heads, heads, heads, **beside)
    assert torch.allclose(made, expected.transpose(1, 2), atol=1e-6) and not calls
    attend(query, query, query)
    assert len(calls) == 1


def test_several_processes_attend_by_it_too(calls):
    """One of a team of one: what is exchanged stays."""
    team = SimpleNamespace(size=1, index=0, exchange=lambda rows, *_: rows)
    parts = [torch.randn(2, 6, 3, 8) for _ in range(3)]
    held = Shares(team, [2], [4])
    plain = DividedAttention(held, object())._attend(*parts)
    by_kernel = KernelAttention(attending.optional_attend("flash3"))
    assert torch.allclose(DividedAttention(held, by_kernel)._attend(*parts), plain, atol=1e-6)
    assert calls == [("flash3", (2, 6, 3, 8), (2, 6, 3, 8))]


def test_a_package_of_another_torch_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "sageattention", None)
    with pytest.raises(SwitchError, match="--attention sage: sageattention does not load: import"):
        attending.optional_attend("sage")

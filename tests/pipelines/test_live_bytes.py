"""Bytes that live at once, counted on the meta device."""

import torch
from torch import nn

from src.pipelines.live_bytes import Repeated, peak_of


class Steps(nn.Module):
    """Makes something large, and a picture and a view of it that stay."""

    def forward(self, x, cache=None):
        wide = torch.cat([x] * 9)
        made = wide[:1] + 1
        return made, {"kept": made[..., -1:], "none": None}


def peak(module, x):
    def stage():
        kept, cache = [], None
        for at in range(4):
            made, cache = module(x[..., at : at + 2], cache=cache)
            kept.append(made)
        return torch.cat(kept)

    return peak_of(stage, [module])


def test_a_repeated_module_reaches_as_high_and_runs_once_a_shape():
    x, steps, runs = torch.empty(1, 4, 8, device="meta"), Steps(), []
    steps.register_forward_hook(lambda *_: runs.append(1))
    high = peak(steps, x)
    assert len(runs) == 4
    assert peak(Repeated(steps), x) == high
    assert len(runs) == 6  # the first has no cache yet


def test_outside_of_a_count_it_is_the_module():
    x = torch.ones(1, 4, 2)
    assert torch.equal(Repeated(Steps())(x)[0], x + 1)


def test_like_work_again_adds_as_much_as_at_first():
    """A copy, a view that no schema tells of, one written in place, and outputs of other dtypes."""
    x = torch.empty(4, 8, dtype=torch.bfloat16, device="meta")

    def stage():
        kept = []
        for number in (1, 1.0, 1):
            made = x + number
            view = torch.ops.aten._unsafe_view(made, [8, 4])
            kept += [made, view.add_(1), view.float().sort(), x.long() + number]
        assert [one.dtype for one in kept[3::4]] == [torch.int64, torch.float32, torch.int64]
        return kept

    of_each = 3 * (2 + 4 + 8) + (8 + 4 + 8)
    longs_at_the_end = 8
    assert peak_of(stage, []) == 4 * 8 * (of_each + longs_at_the_end)


def test_what_is_computed_on_the_cpu_is_computed_each_time():
    sums = []
    peak_of(lambda: sums.extend(float(torch.tensor([n]) + 1) for n in (1.0, 2.0)), [])
    assert sums == [2.0, 3.0]

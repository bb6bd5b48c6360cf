"""Steps whose blocks are skipped: the residual of the last computed step is added, nothing else."""

import numpy as np
import pytest
import torch
from torch import nn

from src.core.errors import SwitchError
from src.core.plan import Cache
from src.core.progress import CancelToken, ignore
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines.families import family_named
from src.pipelines.family import Part, parts_of
from src.pipelines.step_skipping import skip_steps, stop_skipping

PART = parts_of(family_named("cogvideox"), "denoiser")[0]


def frames(session, plan, picture):
    plan = plan.model_copy(update={"session": session.key})
    return np.stack(list(session.run(plan, picture, Stopwatch(), ignore, CancelToken())))


@pytest.fixture
def session(tiny_folder, make_plan):
    return Session(make_plan().session, tiny_folder)


def skipping(*steps):
    return Cache(name="magcache", threshold=0.1, skipped=steps)


def test_a_skipped_step_adds_what_the_last_computed_one_added(session, make_plan, picture):
    """Against the transformer's own parts: blocks of step 0, around them what step 1 gives."""
    transformer = session.load().transformer
    seen = []

    def keep(module, given, made):
        seen.append(made[0])

    entered = transformer.patch_embed.register_forward_hook(
        lambda module, given, made: seen.append(made[:, transformer.config.max_text_seq_length :])
    )
    left = transformer.transformer_blocks[-1].register_forward_hook(keep)
    frames(session, make_plan(steps=3, cache=skipping(1)), picture)
    entered.remove()
    left.remove()
    before, after, second, skipped = seen[:4]
    # (second + (after - before)): the two sums of float32 that the hook makes
    torch.testing.assert_close(skipped, second + (after - before), rtol=0, atol=0)


def test_no_block_computes_in_a_skipped_step(session, make_plan, picture):
    calls = []
    layer = session.load().transformer.transformer_blocks[0].attn1.to_q
    handle = layer.register_forward_hook(lambda *_: calls.append(1))
    frames(session, make_plan(steps=6, cache=skipping(1, 2, 4)), picture)
    handle.remove()
    assert len(calls) == 3


def test_skipping_leaves_nothing_behind(session, make_plan, picture):
    plain = frames(session, make_plan(steps=4), picture)
    skipped = frames(session, make_plan(steps=4, cache=skipping(2)), picture)
    assert not np.array_equal(skipped, plain)
    assert np.array_equal(frames(session, make_plan(steps=4), picture), plain)
    assert np.array_equal(frames(session, make_plan(steps=4, cache=skipping(2)), picture), skipped)


def test_skipping_goes_with_guidance_that_ends(session, make_plan, picture):
    plan = make_plan(steps=5, guidance=(4.0, 4.0, 4.0, 1.0, 1.0), cache=skipping(1, 4))
    assert frames(session, plan, picture).shape[0] == 9


def test_blocks_that_are_not_known_are_refused():
    model = nn.Module()
    model.blocks = nn.ModuleList([nn.Linear(2, 2)])
    part = Part("transformer", "denoiser", ("X",), blocks="blocks")
    with pytest.raises(SwitchError, match="no effect on blocks of Linear"):
        skip_steps(model, part, (1,))
    stop_skipping(model, part)

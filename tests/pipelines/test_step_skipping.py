"""Steps whose blocks are skipped: the residual of the last computed step is added, nothing else."""

import numpy as np
import pytest
import torch
from torch import nn

from src.core.errors import CancelledError, SwitchError
from src.core.plan import Cache
from src.core.progress import CancelToken, ignore
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines.families import family_named
from src.pipelines.family import Part, parts_of
from src.pipelines.step_skipping import NAME, skip_steps, stop_skipping

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


def test_no_tokens_are_kept_after_a_run(session, make_plan, picture):
    """They would lie beside the decoder, which the planner counts without them."""
    frames(session, make_plan(steps=3, cache=skipping(1)), picture)
    blocks = session.load().transformer.transformer_blocks
    hooks = [block._diffusers_hook.get_hook(NAME) for block in blocks]
    assert [hook.states._state_cache for hook in hooks] == [{}] * len(blocks)


def test_a_run_that_was_cancelled_leaves_nothing_in_the_next(session, make_plan, picture):
    plan = make_plan(steps=4, cache=skipping(1, 2))
    whole, cancel = frames(session, plan, picture), CancelToken()
    plan = plan.model_copy(update={"session": session.key})

    def stop(progress):
        if progress.stage == "denoise" and progress.done == 2:
            cancel.cancel()

    with pytest.raises(CancelledError):
        list(session.run(plan, picture, Stopwatch(), stop, cancel))
    assert np.array_equal(frames(session, plan, picture), whole)


def test_a_threshold_that_skips_nothing_is_told_of(session, make_plan, picture):
    plan = make_plan(steps=3, cache=skipping())
    frames(session, plan, picture)
    assert "skipped none of 3 forwards" in session.remarks(plan)[0]
    assert Session(plan.session, session.folder).remarks(plan)  # compiled runs are not counted


def test_other_steps_are_another_plan(make_plan):
    assert len({make_plan(steps=4, cache=skipping(step)).digest() for step in (1, 2)}) == 2


def test_skipping_goes_with_guidance_that_ends(session, make_plan, picture):
    guidance = (4.0, 4.0, 4.0, 1.0, 1.0)
    plain = frames(session, make_plan(steps=5, guidance=guidance), picture)
    plan = make_plan(steps=5, guidance=guidance, cache=skipping(1, 4))
    assert not np.array_equal(frames(session, plan, picture), plain)


def test_blocks_that_are_not_known_are_refused():
    model = nn.Module()
    model.blocks = nn.ModuleList([nn.Linear(2, 2)])
    part = Part("transformer", "denoiser", ("X",), blocks="blocks")
    with pytest.raises(SwitchError, match="no effect on blocks of Linear"):
        skip_steps(model, part, (1,))
    stop_skipping(model, part)

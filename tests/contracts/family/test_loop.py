"""What every family's loop must do, ours and the stock pipeline."""

from typing import Any

import numpy as np
import pytest
import torch

from src.core.errors import BadInputError, CancelledError
from src.core.progress import CancelToken, Progress, ignore
from src.engine.costs import Stopwatch
from src.engine.session import same_timesteps
from src.pipelines.models import find_model
from src.pipelines.pixels import to_uint8
from src.pipelines.preview_decoder import PreviewDecoder
from src.pipelines.roles import present, vae_of
from src.recipes.preview.settings import PreviewSettings
from src.recipes.preview.source import read_taught
from tests.contracts.family.kits import SCALE


def frames_of(session, plan, picture, listener=ignore, cancel=None, preview=None) -> np.ndarray:
    run = session.run(plan, picture, Stopwatch(), listener, cancel or CancelToken(), preview)
    return np.stack([frame for frame in run])


@pytest.fixture(scope="module")
def undisturbed(session, picture):
    """Frames of a plan, made once for all tests of a family."""
    made = {}

    def frames(plan) -> np.ndarray:
        if plan.digest() not in made:
            made[plan.digest()] = frames_of(session, plan, picture)
        return made[plan.digest()]

    return frames


@pytest.mark.parametrize("count", [1, 3, 7, 28])
def test_the_plans_timesteps_are_those_that_the_scheduler_visits(
    family, spec, session, plan_for, count, kit
):
    if count < kit.fewest:
        with pytest.raises(BadInputError, match=f"cannot make {count} step; take {kit.fewest}"):
            family.timesteps(count, spec, stock=True)
        return
    stock = session.load() and session._checkpoint_scheduler
    for name in ("checkpoint", *family.schedulers):
        visited = family.timesteps(count, spec, stock=name == "checkpoint")
        plan = plan_for(count, scheduler=name, timesteps=visited.timesteps, sigmas=visited.sigmas)
        assert len(visited.timesteps) == count
        made = family.stock.make_scheduler(stock, plan, "cpu")
        assert same_timesteps(made.timesteps.tolist(), visited.timesteps)


@pytest.mark.parametrize("scale", [1.0, SCALE])
def test_the_loop_is_the_stock_pipelines_bit_for_bit(
    ours, plan_for, picture, scale, kit, undisturbed
):
    plan = plan_for(scale=scale)
    made = undisturbed(plan)
    assert made.shape == (kit.frames, *picture.shape)
    assert made.std() > 0
    assert np.array_equal(made, undisturbed(plan.model_copy(update={"mode": "baseline"})))


def test_the_loop_is_the_stock_pipelines_at_another_length(ours, plan_for, kit, undisturbed):
    if kit.longer is None:
        pytest.skip("this model makes clips of one length alone")
    plan = plan_for(2, num_frames=kit.longer)
    made = undisturbed(plan)
    assert len(made) == kit.longer
    assert np.array_equal(made, undisturbed(plan.model_copy(update={"mode": "baseline"})))


def test_seed_prompt_and_guidance_decide(ours, session, plan_for, picture, undisturbed):
    first = undisturbed(plan_for())
    for changes in ({"seed": 4}, {"prompt": "push in"}, {"guidance": (1.0, SCALE, 1.0)}):
        assert not np.array_equal(first, frames_of(session, plan_for(**changes), picture)), changes


def test_progress_covers_every_step_and_the_preview_is_a_picture(
    ours, family, session, plan_for, picture
):
    reports, shown = [], []

    def preview(step, estimate):
        shown.append(family.loop.picture(session.load(), estimate))

    frames_of(
        session,
        plan_for(scheduler=family.schedulers[0], **own(family, session, 3)),
        picture,
        reports.append,
        preview=preview,
    )
    assert [r for r in reports if r.stage == "denoise"] == [
        Progress("denoise", n, 3) for n in (1, 2, 3)
    ]
    assert [r.done == r.total for r in reports if r.stage == "decode"][-1]
    assert [(one.shape, one.dtype) for one in shown] == [(picture.shape, np.uint8)] * 3


def own(family, session, steps):
    """Timesteps of the family's usual scheduler."""
    visited = family.timesteps(steps, find_model(str(session.folder)), stock=False)
    return {"timesteps": visited.timesteps, "sigmas": visited.sigmas}


@pytest.mark.parametrize("stage", ["encode", "denoise", "decode"])
def test_cancel_stops_at_once_and_leaves_no_trace(
    ours, session, plan_for, picture, stage, kit, undisturbed
):
    if stage == "decode" and kit.longer is None:
        pytest.skip("its one length is decoded in one piece")
    plan = plan_for(num_frames=kit.longer or kit.frames)
    untouched, cancel, after = undisturbed(plan), CancelToken(), []

    def listener(report):
        if cancel.cancelled:
            after.append(report)
        if report.stage == stage and (stage != "decode" or report.done < report.total):
            cancel.cancel()

    with pytest.raises(CancelledError):
        frames_of(session, plan, picture, listener, cancel)
    assert after == []
    assert np.array_equal(frames_of(session, plan, picture), untouched)


def test_a_clip_alone_by_a_plan_of_a_shared_forward_is_the_one_in_company_to_rounding(
    ours, session, plan_for, picture
):
    """Its sums have other last bits on some processors, by where a clip's part of the batch lies in
    memory: the plan of a shared forward says "tolerance".
    """
    plans = [
        plan_for(prompt=prompt, seed=8, prompts_per_forward=3)
        for prompt in ("pan left", "push in", "static")
    ]
    session.denoise_together(plans, [picture] * 3, ignore, CancelToken())
    in_company = [frames_of(session, plan, picture) for plan in plans]
    session.unload()
    for plan, made in zip(plans, in_company, strict=True):
        alone = frames_of(session, plan, picture)
        apart = np.abs(made.astype(int) - alone)
        assert apart.max() <= 1 and (apart > 0).mean() < 1e-3
        assert np.array_equal(alone, frames_of(session, plan, picture))
    assert not np.array_equal(in_company[0], in_company[1])


def test_tiles_cover_the_picture(ours, session, plan_for, picture, kit):
    tiled = plan_for(session=session.key.model_copy(update={"tiling": True}))
    assert frames_of(session, tiled, picture).shape == (kit.frames, *picture.shape)


def test_a_preview_decoder_is_given_what_the_vae_decodes(
    ours, family, folder, spec, session, plan_for, picture, kit
):
    """The stock VAE makes the clip's own frames of it; and the recipe's decoder has as many."""
    plan = plan_for()
    session.denoise_together([plan], [picture], ignore, CancelToken())
    latents = session._ready[plan.digest()].latents
    given = family.loop.vae_latents(session.load(), latents)
    if kit.family == "fake":  # whose VAE takes single frames
        assert given is latents
        return
    vae: Any = vae_of(family, session.load())
    told = [given.new_tensor([0.05])] if vae.config.get("timestep_conditioning") else []
    with torch.no_grad():
        stock = to_uint8(vae.decode(given, *told).sample)
    assert np.array_equal(stock, frames_of(session, plan, picture))
    taught = read_taught(spec, folder, PreviewSettings(width=8), torch.device("cpu"))
    small = PreviewDecoder(taught.form)(given)
    assert small.shape == (1, 3, kit.frames, spec.draft.height, spec.draft.width)


def test_the_stock_pipeline_makes_what_was_planned_and_replays(session, plan_for, picture, kit):
    plan = plan_for(mode="baseline", num_frames=kit.longer or kit.frames)
    reports: list[Progress] = []
    made = frames_of(session, plan, picture, reports.append)
    assert made.shape == (plan.num_frames, *picture.shape)
    assert made.std() > 0
    assert reports == [Progress("denoise", n, 3) for n in (1, 2, 3)]
    assert np.array_equal(made, frames_of(session, plan, picture))
    assert not np.array_equal(made, frames_of(session, plan_for(mode="baseline", seed=4,
                              num_frames=plan.num_frames), picture))  # fmt: skip


def test_the_stock_pipeline_stops_within_a_step_and_leaves_no_trace(
    family, session, plan_for, picture, undisturbed
):
    plan, cancel, after = plan_for(mode="baseline"), CancelToken(), []
    untouched = undisturbed(plan)
    part, module = present(family, session.load(), "denoiser")[0]

    def stop(*_):
        if cancel.cancelled:
            after.append(1)
        cancel.cancel()

    handles = [block.register_forward_hook(stop) for block in part.blocks_of(module)]
    reports: list[Progress] = []
    with pytest.raises(CancelledError):
        frames_of(session, plan, picture, reports.append, cancel)
    for handle in handles:
        handle.remove()
    assert after == reports == []
    assert np.array_equal(frames_of(session, plan, picture), untouched)

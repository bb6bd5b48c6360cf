"""Our loop against the stock pipeline: bit for bit, whatever the settings."""

import numpy as np
import pytest
import torch
from PIL import Image

from src.core.errors import CancelledError
from src.core.progress import CancelToken, Progress, ignore
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines.blueprint import TINY_NANO
from src.pipelines.building import build_pipeline
from src.pipelines.loading import read_pipeline
from tests.newer_kit import build_newer


@pytest.fixture(scope="module")
def session(tiny_folder, make_plan):
    return Session(make_plan().session, tiny_folder)


def ours(session, plan, picture, listener=ignore, cancel=None):
    return np.stack(
        list(session.run(plan, picture, Stopwatch(), listener, cancel or CancelToken()))
    )


def stock(session, plan, picture):
    pipe = session.load()
    session._set_scheduler(plan)
    frames = pipe(
        image=Image.fromarray(picture), prompt=plan.prompt, negative_prompt=plan.negative_prompt,
        num_frames=plan.num_frames, num_inference_steps=plan.num_inference_steps,
        guidance_scale=plan.guidance[0], generator=torch.Generator().manual_seed(plan.seed),
        max_sequence_length=32, output_type="pil", height=plan.native.height,
        width=plan.native.width,
    ).frames[0]  # fmt: skip
    return np.stack([np.asarray(frame) for frame in frames])


@pytest.mark.parametrize("scheduler", ["dpm", "ddim"])
@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_bit_equal_to_the_stock_pipeline(session, make_plan, picture, scheduler, scale):
    plan = make_plan(steps=4, scale=scale, scheduler=scheduler)
    assert np.array_equal(ours(session, plan, picture), stock(session, plan, picture))


@pytest.mark.parametrize("frames", [17, 25])
def test_bit_equal_at_other_lengths(session, make_plan, picture, frames):
    plan = make_plan(steps=2, num_frames=frames)
    made = ours(session, plan, picture)
    assert len(made) == frames
    assert np.array_equal(made, stock(session, plan, picture))


def test_bit_equal_in_bfloat16(tiny_folder, make_plan, picture):
    plan = make_plan()
    plan = plan.model_copy(
        update={"session": plan.session.model_copy(update={"dtype": "bfloat16"})}
    )
    session = Session(plan.session, tiny_folder)
    assert np.array_equal(ours(session, plan, picture), stock(session, plan, picture))


def test_bit_equal_for_a_model_that_patches_time(tmp_path_factory, make_plan, picture):
    """CogVideoX 1.5: two latent frames a patch, offset embedding, padding in front."""
    folder = build_newer(tmp_path_factory.mktemp("models") / "tiny15", frames=9)
    assert read_pipeline(folder, torch.float32).transformer.config.patch_size_t == 2
    session = Session(make_plan().session, folder)
    plan = make_plan(steps=2)
    made = ours(session, plan, picture)
    assert len(made) == 9
    assert np.array_equal(made, stock(session, plan, picture))


@pytest.mark.parametrize("frames", [9, 17])
def test_bit_equal_in_the_form_of_the_embedded_model(tmp_path_factory, make_plan, picture, frames):
    """One frame a latent frame, eight frames a patch, and clean latents predicted."""
    folder = build_pipeline(
        TINY_NANO, ["pan left"], tmp_path_factory.mktemp("models") / "nano", seed=0
    )
    session = Session(make_plan().session, folder)
    plan = make_plan(steps=2, num_frames=frames)
    made = ours(session, plan, picture)
    assert len(made) == frames
    assert np.array_equal(made, stock(session, plan, picture))


def test_the_seed_decides(session, make_plan, picture):
    first, again = (
        ours(session, make_plan(seed=1), picture),
        ours(session, make_plan(seed=1), picture),
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, ours(session, make_plan(seed=2), picture))


def test_unguided_steps_skip_the_unconditional_branch(session, make_plan, picture, monkeypatch):
    sizes = []
    forward = session.load().transformer.forward
    monkeypatch.setattr(
        session.load().transformer, "forward",
        lambda *args, **kwargs: (sizes.append(kwargs["hidden_states"].shape[0]),
                                 forward(*args, **kwargs))[1],
    )  # fmt: skip
    ours(session, make_plan(guidance=(4.0, 1.0, 4.0)), picture)
    assert sizes == [2, 1, 2]


def test_progress_covers_every_step_and_piece(session, make_plan, picture):
    reports = []
    ours(session, make_plan(steps=3, num_frames=17), picture, reports.append)
    assert [r for r in reports if r.stage == "denoise"] == [
        Progress("denoise", n, 3) for n in (1, 2, 3)
    ]
    assert [r.done for r in reports if r.stage == "decode"] == [1, 2]


@pytest.mark.parametrize("stage", ["encode", "denoise", "decode"])
def test_cancel_stops_at_once_and_leaves_no_trace(session, make_plan, picture, stage):
    plan = make_plan(steps=3, num_frames=17)
    untouched = ours(session, plan, picture)
    cancel, after = CancelToken(), []

    def listener(report):
        if cancel.cancelled:
            after.append(report)
        if report.stage == stage:
            cancel.cancel()

    with pytest.raises(CancelledError):
        ours(session, plan, picture, listener, cancel)
    assert after == []
    assert np.array_equal(ours(session, plan, picture), untouched)


def test_preview_sees_the_estimate_of_the_clean_latents(session, make_plan, picture):
    seen = []
    list(
        session.run(
            make_plan(), picture, Stopwatch(), ignore, CancelToken(), lambda *a: seen.append(a)
        )
    )
    assert [step for step, _ in seen] == [0, 1, 2]
    assert all(x0.shape == (1, 3, 4, 4, 6) for _, x0 in seen)


def together(session, plans, picture):
    """The native frames of plans that share their forwards."""
    session.denoise_together(plans, [picture] * len(plans), ignore, CancelToken())
    return [ours(session, plan, picture) for plan in plans]


def test_clips_of_one_forward_are_those_made_alone_to_rounding(session, make_plan, picture):
    plans = [
        make_plan(prompt=prompt, seed=seed)
        for seed, prompt in enumerate(["pan left", "push in", "static"])
    ]
    shared = [plan.model_copy(update={"prompts_per_forward": 3}) for plan in plans]
    for plan, made in zip(plans, together(session, shared, picture), strict=True):
        assert np.abs(made.astype(int) - ours(session, plan, picture)).max() <= 1


@pytest.mark.parametrize("threads", [1, 2])
def test_a_clip_alone_by_a_plan_of_a_shared_forward_is_the_one_in_company_to_rounding(
    session, make_plan, picture, threads
):
    """Several threads split a batch where they please, and on some processors a row has other last
    bits than its copy at another place.
    """
    torch.set_num_threads(threads)
    plans = [
        make_plan(prompt=prompt, seed=8, prompts_per_forward=3)
        for prompt in ("pan left", "push in", "static")
    ]
    in_company = together(session, plans, picture)
    session.unload()
    for plan, made in zip(plans, in_company, strict=True):
        assert np.abs(made.astype(int) - ours(session, plan, picture)).max() <= 1

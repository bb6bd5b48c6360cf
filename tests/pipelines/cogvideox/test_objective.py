"""The objective agrees with the scheduler that will sample, and with the published form of the
loss.
"""

import pytest
import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler

from src.pipelines.blueprint import SchedulerBlueprint
from src.pipelines.cogvideox.objective import (
    LEAST_VARIANCE,
    clean,
    image_condition,
    implied,
    jump,
    noised,
    sample_losses,
    target,
    velocity,
    weights,
)  # fmt: skip
from src.recipes.lora.image_noise import image_noise

SCHEDULER = CogVideoXDPMScheduler(**SchedulerBlueprint().__dict__)
ALPHAS = SCHEDULER.alphas_cumprod


@pytest.fixture
def latents():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 2, 4, 6, 8, generator=generator), torch.randn(
        3, 2, 4, 6, 8, generator=generator
    )


@pytest.mark.parametrize("t", [0, 1, 500, 998])
def test_agrees_with_the_scheduler(latents, t):
    x0, noise = latents
    timesteps = torch.full((3,), t)
    assert torch.allclose(
        noised(x0, noise, ALPHAS, timesteps), SCHEDULER.add_noise(x0, noise, timesteps), atol=1e-6
    )
    expected = SCHEDULER.get_velocity(x0, noise, timesteps)
    assert torch.allclose(velocity(x0, noise, ALPHAS, timesteps), expected, atol=1e-6)


def test_the_last_timestep_is_noise_alone(latents):
    x0, noise = latents
    last = torch.full((3,), len(ALPHAS) - 1)
    assert torch.allclose(noised(x0, noise, ALPHAS, last), noise, atol=1e-3)
    assert torch.allclose(velocity(x0, noise, ALPHAS, last), -x0, atol=1e-3)


def test_clean_undoes(latents):
    x0, noise = latents
    timesteps = torch.tensor([10, 400, 900])
    x_t, v = noised(x0, noise, ALPHAS, timesteps), velocity(x0, noise, ALPHAS, timesteps)
    assert torch.allclose(clean(x_t, v, ALPHAS, timesteps), x0, atol=1e-4)


def test_equals_the_published_weighting(latents):
    x0, noise = latents
    timesteps = torch.tensor([300, 300, 300])
    x_t = noised(x0, noise, ALPHAS, timesteps)
    wanted = target("v_prediction", x0, noise, ALPHAS, timesteps)
    predicted = wanted + 0.1 * noise
    weighted = (clean(x_t, predicted, ALPHAS, timesteps) - x0).square() / (1 - ALPHAS[300])
    losses = sample_losses(predicted, wanted) * weights("v_prediction", ALPHAS, timesteps)
    assert losses.mean() == pytest.approx(weighted.mean().item(), rel=1e-4)


def test_clean_latents_have_the_published_weighting_too(latents):
    x0, noise = latents
    timesteps = torch.tensor([300, 700, 999])
    assert (1 - ALPHAS[300]) > LEAST_VARIANCE
    predicted = target("sample", x0, noise, ALPHAS, timesteps) + 0.1 * noise
    published = (predicted - x0).square().flatten(1).mean(1) / (1 - ALPHAS[timesteps]).float()
    losses = sample_losses(predicted, x0) * weights("sample", ALPHAS, timesteps)
    assert torch.allclose(losses, published, rtol=1e-4)
    assert weights("sample", ALPHAS, torch.tensor([0])).item() == pytest.approx(1 / LEAST_VARIANCE)


def test_a_sampler_takes_clean_latents_for_what_they_are(latents):
    x0, noise = latents
    scheduler = CogVideoXDPMScheduler(**SchedulerBlueprint(prediction_type="sample").__dict__)
    scheduler.set_timesteps(4)
    last = int(scheduler.timesteps[0])
    x_t = noised(x0, noise, ALPHAS, torch.full((3,), last))
    _, estimate = scheduler.step(
        x0, None, last, None, x_t, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(estimate, x0)


def test_half_precision_latents_keep_small_timesteps(latents):
    x0, noise = latents
    x_t = noised(x0.bfloat16(), noise.bfloat16(), ALPHAS, torch.zeros(3, dtype=torch.int64))
    assert x_t.dtype == torch.float32
    assert not torch.equal(x_t, x0.bfloat16().float())


def test_the_photograph_is_on_the_first_frame_or_nowhere():
    image = torch.ones(2, 1, 4, 6, 8)
    condition = image_condition(image, 3, torch.tensor([True, False]))
    assert condition.shape == (2, 3, 4, 6, 8)
    assert condition[0, 0].eq(1).all()
    assert not condition[0, 1:].any()
    assert not condition[1].any()


def test_image_noise_has_a_deviation_of_its_own_for_each_sample():
    pixels = torch.zeros(64, 3, 1, 16, 16)
    noisy = image_noise(pixels, torch.Generator().manual_seed(1))
    deviations = noisy.flatten(1).std(1).log()
    assert deviations.mean().item() == pytest.approx(-3.0, abs=0.25)
    assert deviations.std().item() == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_a_jump_is_the_schedulers_own_step(latents, prediction):
    """Of four steps, each of the three samples at another one; the last leads to clean latents."""
    x_t, predicted = latents
    ddim = CogVideoXDDIMScheduler.from_config(
        SCHEDULER.config, timestep_spacing="trailing", prediction_type=prediction
    )
    ddim.set_timesteps(4)
    timesteps, until = torch.tensor([999, 499, 249]), torch.tensor([749, 249, -1])
    reached = jump(prediction, x_t, predicted, ALPHAS, timesteps, until)
    for place, timestep in enumerate(timesteps):
        expected = ddim.step(predicted[place], timestep, x_t[place]).prev_sample
        assert torch.allclose(reached[place], expected, atol=1e-4)


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_what_a_jump_implies_is_what_led_to_it(latents, prediction):
    x_t, predicted = latents
    timesteps, until = torch.tensor([999, 499, 249]), torch.tensor([749, 249, -1])
    reached = jump(prediction, x_t, predicted, ALPHAS, timesteps, until)
    again = implied(prediction, x_t, reached, ALPHAS, timesteps, until)
    assert torch.allclose(again, predicted, atol=1e-3)


def test_two_jumps_along_a_line_are_one(latents):
    """Where the clean latents predicted stay the same, the way there is straight."""
    x_t, x0 = latents
    first, middle, last = (torch.full((3,), t) for t in (999, 600, 100))
    half = jump("sample", x_t, x0, ALPHAS, first, middle)
    assert torch.allclose(
        jump("sample", half, x0, ALPHAS, middle, last),
        jump("sample", x_t, x0, ALPHAS, first, last),
        atol=1e-5,
    )

import pytest

from src.pipelines.cogvideox.schedulers import SCHEDULERS, solver, timesteps


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("count", [1, 4, 7, 28, 50])
def test_our_timesteps_are_the_schedulers(name, count):
    scheduler = solver(name, {"num_train_timesteps": 1000})
    scheduler.set_timesteps(count)
    assert tuple(scheduler.timesteps.tolist()) == timesteps(count)


@pytest.mark.parametrize("spacing", ["leading", "linspace"])
def test_other_spacings_too(spacing):
    from diffusers import CogVideoXDDIMScheduler

    scheduler = CogVideoXDDIMScheduler(timestep_spacing=spacing, steps_offset=1)
    scheduler.set_timesteps(13)
    assert tuple(scheduler.timesteps.tolist()) == timesteps(13, spacing, 1000, 1)

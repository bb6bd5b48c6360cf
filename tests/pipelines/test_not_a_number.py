"""Numbers that are not finite end a run with exit 7, by both loops; damaged weights are refused
when loaded.
"""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from src.core.errors import BadInputError, NotFiniteError
from src.core.progress import CancelToken, ignore
from src.engine.costs import Stopwatch
from src.engine.session import Session
from src.pipelines.loading import read_pipeline
from src.pipelines.pixels import to_uint8


def run(folder, plan, picture, break_it=lambda pipe: None):
    session = Session(plan.session, folder)
    break_it(session.load())
    return list(session.run(plan, picture, Stopwatch(), ignore, CancelToken()))


def spoil_transformer(pipe):
    pipe.transformer.proj_out.bias.data[0] = torch.nan


def spoil_decoder(pipe):
    pipe.vae.decoder.conv_out.conv.bias.data[0] = torch.inf


@pytest.mark.parametrize("mode", ["optimized", "baseline"])
def test_latents_that_are_no_numbers_end_the_run_at_their_step(
    tiny_folder, make_plan, picture, mode
):
    plan = make_plan(steps=2, mode=mode)
    if mode == "baseline":
        plan = plan.model_copy(
            update={"scheduler": "checkpoint", "timesteps": stock_steps(tiny_folder)}
        )
    with pytest.raises(
        NotFiniteError, match=r"latents of step 1 of 2 are not finite.*the weights of tiny"
    ) as told:
        run(tiny_folder, plan, picture, spoil_transformer)
    assert told.value.exit_code == 7


def stock_steps(folder):
    scheduler = read_pipeline(folder, torch.float32, ()).scheduler
    scheduler.set_timesteps(2)
    return tuple(scheduler.timesteps.tolist())


def test_pixels_that_are_no_numbers_are_no_black_clip(tiny_folder, make_plan, picture):
    with pytest.raises(NotFiniteError, match="pixels are not finite"):
        run(tiny_folder, make_plan(steps=2), picture, spoil_decoder)
    with pytest.raises(NotFiniteError):
        to_uint8(torch.full((1, 3, 1, 2, 2), torch.nan))
    assert to_uint8(torch.full((1, 3, 1, 2, 2), 7.0)).max() == 255


def test_text_that_is_no_number_is_said_before_the_first_step(tiny_folder, make_plan, picture):
    def spoil(pipe):
        pipe.text_encoder.encoder.final_layer_norm.weight.data[0] = torch.inf

    with pytest.raises(NotFiniteError, match="text embeddings"):
        run(tiny_folder, make_plan(steps=2, prompt="pan right"), picture, spoil)


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_weights_that_are_no_numbers_are_refused(tiny_folder, tmp_path, part):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    file = next((folder / part).glob("*.safetensors"))
    state = load_file(file)
    next(iter(state.values())).view(-1)[0] = np.nan
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(BadInputError, match=rf"{part}: .* not finite"):
        read_pipeline(folder, torch.float32)

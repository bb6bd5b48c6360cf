"""The recipe's parts: shapes of every architecture, shares, and draws that depend on their key
alone.
"""

import dataclasses

import pytest
import torch
from diffusers import CogVideoXImageToVideoPipeline, CogVideoXTransformer3DModel

from benchmarks.large_model import SMALL
from benchmarks.lora_training import large_trainer
from src.core.errors import BadInputError
from src.pipelines.cogvideox.objective import sample_losses
from src.pipelines.cogvideox.rotary import padded, rotary_positions
from src.pipelines.families import family_named
from src.recipes.lora.layers import add_adapter, target_layers
from src.recipes.lora.settings import LoraSettings
from src.training.settings import Rate

NEWER = {"patch_size_t": 2, "ofs_embed_dim": 16, "use_learned_positional_embeddings": False}


def transformer(**changes):
    torch.manual_seed(0)
    return CogVideoXTransformer3DModel(**SMALL["transformer"] | changes)


@pytest.mark.parametrize("changes", [{}, NEWER])
def test_both_generations_train(changes, tmp_path):
    sizes = SMALL["transformer"] | changes
    trainer, share = large_trainer(transformer(**changes), sizes, torch.float32, tmp_path, 1)
    batch = trainer.recipe.batch(0)
    assert batch[0]["clean"].shape[1] == (4 if changes else 3)
    assert 0 < share < 0.1
    losses = []
    trainer.stage = trainer.stage.model_copy(update={"steps": 4})
    trainer.run(1e9, [lambda report, _: losses.append(report.loss)])
    assert all(0 < loss < 10 for loss in losses)
    assert any(value.any() for name, value in trainer.average.items() if "lora_B" in name)


@pytest.mark.parametrize("prediction", ["sample", "v_prediction"])
def test_the_scheduler_says_what_is_predicted(prediction, tmp_path):
    trainer, _ = large_trainer(transformer(), SMALL["transformer"], torch.float32, tmp_path, 1)
    recipe = trainer.recipe
    recipe.objective = dataclasses.replace(recipe.objective, prediction=prediction)
    piece = recipe.batch(0)[0]
    losses = recipe.losses(piece, lambda *_: piece["clean"])
    assert (losses.abs().max() < 1e-9) == (prediction == "sample")
    error = recipe.losses(piece, lambda *_: piece["clean"] + 1.0)
    variance = 1 - recipe.objective.alphas[piece["timestep"]]
    if prediction == "sample":
        assert torch.allclose(error, 1 / variance.float().clamp_min(0.1), rtol=1e-5)


def test_padding_repeats_the_first_frame_as_inference_does():
    latents = torch.arange(3.0).view(3, 1, 1, 1)
    assert padded(latents, 2).flatten().tolist() == [0, 0, 1, 2]
    assert padded(latents[:2], 2).flatten().tolist() == [0, 1]
    assert padded(latents, None) is latents


def test_positions_are_the_pipelines_own(tiny_folder):
    pipe = CogVideoXImageToVideoPipeline.from_pretrained(tiny_folder)
    ours = rotary_positions(pipe.transformer, 48, 64, 8, 3, torch.device("cpu"))
    theirs = pipe._prepare_rotary_positional_embeddings(48, 64, 3, torch.device("cpu"))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_the_schedule_is_the_checkpoints_own(tiny_folder):
    pipe = CogVideoXImageToVideoPipeline.from_pretrained(tiny_folder)
    training = family_named("cogvideox").training
    for found in (training.objective(tiny_folder), training.objective_of(pipe)):
        assert torch.equal(found.alphas, pipe.scheduler.alphas_cumprod.float())
        assert found.video == pipe.vae.config.scaling_factor
        assert found.ratio == pipe.vae_scale_factor_spatial


def test_the_share_is_what_trains():
    model = transformer()
    base = sum(p.numel() for p in model.parameters())
    share = add_adapter(model, LoraSettings(rank=2, targets=("to_q", "to_k", "to_v", "to_out.0")))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained / base == pytest.approx(share)
    assert len(target_layers(transformer(), ("to_q", "to_out.0"))) == 4


def test_losses_by_sample_average_to_the_mean_squared_error():
    predicted, target = torch.randn(3, 2, 4, 5, 5), torch.randn(3, 2, 4, 5, 5)
    assert sample_losses(predicted, target).shape == (3,)
    expected = torch.nn.functional.mse_loss(predicted, target).item()
    assert sample_losses(predicted, target).mean().item() == pytest.approx(expected, rel=1e-6)


def test_the_cosine_warms_up_and_ends_at_zero():
    rate = Rate(peak=1.0, warmup=10, shape="cosine")
    factors = [rate.factor(step, 110) for step in range(110)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == pytest.approx(factors[10], abs=1e-3)
    assert factors[60] == pytest.approx(0.5, abs=0.01)
    assert factors[-1] < 0.001


def test_some_token_frames_keep_their_places(tmp_path):
    sizes = SMALL["transformer"] | NEWER
    trainer, _ = large_trainer(transformer(**NEWER), sizes, torch.float32, tmp_path, 1)
    recipe = trainer.recipe
    whole = recipe.batch(0)[0]
    longer = {name: torch.randn(1, 12, *whole["clean"].shape[2:]) for name in ("clean", "noise")}
    recipe.settings = recipe.settings.model_copy(update={"token_frames": 3})
    piece = recipe._some_frames(whole | longer, 5)
    groups = piece["groups"]
    assert groups[0] == 0
    assert len(groups.unique()) == 3
    shown = torch.stack([2 * groups, 2 * groups + 1], dim=1).flatten()
    assert torch.equal(piece["clean"], longer["clean"][:, shown])
    assert torch.equal(piece["noise"], longer["noise"][:, shown])
    assert torch.equal(recipe._some_frames(whole | longer, 5)["groups"], groups)
    drawn = {tuple(recipe._some_frames(whole | longer, k)["groups"].tolist()) for k in range(9)}
    assert len(drawn) > 2
    given = []
    recipe.losses(piece, lambda *inputs: given.append(inputs[-1]) or piece["clean"])
    size = piece["size"]
    full = rotary_positions(
        recipe.transformer, size.height, size.width, recipe.objective.ratio, 12, "cpu"
    )
    for ours, table in zip(given[0], full, strict=True):
        assert torch.equal(ours, table.unflatten(0, (6, -1))[groups].flatten(0, 1))


def test_learned_positions_refuse_some_token_frames():
    training = family_named("cogvideox").training
    training.check_some_frames(transformer(**NEWER))
    with pytest.raises(BadInputError, match="learned positions"):
        training.check_some_frames(transformer())


def test_all_token_frames_where_there_are_no_more(tmp_path):
    trainer, _ = large_trainer(transformer(), SMALL["transformer"], torch.float32, tmp_path, 1)
    recipe = trainer.recipe
    recipe.settings = recipe.settings.model_copy(update={"token_frames": 3})
    piece = recipe.batch(0)[0]
    assert piece["clean"].shape[1] == 3
    assert "groups" not in piece

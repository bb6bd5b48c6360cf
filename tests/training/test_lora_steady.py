"""An adapter's objective with the error of changes from frame to frame beside it, and the token
frames and timesteps that go with it."""

import dataclasses

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel

from benchmarks.large_model import SMALL
from benchmarks.lora_training import large_trainer
from src.core.errors import BadInputError
from src.pipelines.blueprint import TINY_NANO
from src.pipelines.building import build_pipeline
from src.pipelines.steadiness import LEAST_CHANGE
from src.recipes.distill.settings import DistillSettings
from src.recipes.lora.buckets import Draw
from src.recipes.lora.settings import LoraSettings
from src.training.loop import Trainer
from tests.training.lora_kit import look, run, weights

NEWER = {"patch_size_t": 2, "ofs_embed_dim": 16, "use_learned_positional_embeddings": False}


@pytest.fixture
def recipe(tmp_path):
    """Of a model whose token holds two latent frames; a clip has three, and one of padding."""
    sizes = SMALL["transformer"] | NEWER
    torch.manual_seed(0)
    trainer, _ = large_trainer(
        CogVideoXTransformer3DModel(**sizes), sizes, torch.float32, tmp_path, 1
    )
    trainer.recipe.settings = trainer.recipe.settings.model_copy(update={"steady": 0.5})
    return trainer.recipe


def without(piece):
    return {name: value for name, value in piece.items() if name not in ("steady", "follows")}


@pytest.mark.parametrize("prediction", ["sample", "v_prediction"])
def test_the_loss_has_the_error_of_changes_beside_it(recipe, prediction):
    recipe.objective = dataclasses.replace(recipe.objective, prediction=prediction)
    piece = recipe.batch(0)[0]
    assert piece["follows"].tolist() == [1, 2]  # frames 0 0 1 2
    shape = piece["clean"].shape
    ramp = torch.tensor([0.0, 0, 1, 2]).view(1, 4, 1, 1, 1)
    piece |= {"clean": ramp.expand(shape), "noise": torch.zeros(shape)}
    piece["timestep"] = torch.full_like(piece["timestep"], 500)
    alpha = recipe.objective.alphas[500].double()
    held = (ramp > 0).float()  # 0 0 1 1: the last change, of 1, is not made
    given = {"sample": held, "v_prediction": (alpha.sqrt() * alpha.sqrt() * ramp - held)
             / (1 - alpha).sqrt()}[prediction].float()  # fmt: skip
    predicted = given.expand(shape)
    steady = recipe.losses(piece, lambda *_: predicted)
    plain = recipe.losses(without(piece), lambda *_: predicted)
    wanted = 0.5 * 1 / (2 + 2 * LEAST_CHANGE)  # one of two changes of 1, wrong by 1
    assert (steady - plain).tolist() == pytest.approx([wanted] * len(plain), rel=1e-3)


def test_without_it_a_batch_is_as_before(recipe):
    steady = recipe.batch(3)[0]
    recipe.settings = recipe.settings.model_copy(update={"steady": 0.0})
    piece = recipe.batch(3)[0]
    assert not {"steady", "follows"} & set(piece)
    for name, value in piece.items():
        same = torch.equal if isinstance(value, torch.Tensor) else lambda a, b: a == b
        assert same(steady[name], value)


def test_its_gradient_reaches_the_adapter(recipe):
    piece = recipe.batch(0)[0]
    (recipe.losses(piece) - recipe.losses(without(piece))).sum().backward()
    moved = [
        float(value.grad.abs().max())
        for name, value in recipe.transformer.named_parameters()
        if "lora_B" in name
    ]
    assert moved
    assert all(0 < size < float("inf") for size in moved)


def test_a_share_of_steps_holds_neighbours(recipe):
    piece = recipe.batch(0)[0]
    longer = {name: torch.randn(1, 12, *piece["clean"].shape[2:]) for name in ("clean", "noise")}
    recipe.settings = recipe.settings.model_copy(update={"token_frames": 3})

    def drawn(share):
        return [
            recipe._some_frames(piece | longer, step, share)["groups"].tolist()
            for step in range(60)
        ]

    assert {tuple(groups) for groups in drawn(1.0)} == {(0, k, k + 1) for k in range(1, 5)}
    kept, mixed = drawn(0.0), drawn(0.5)
    changed = [a != b for a, b in zip(kept, mixed, strict=True)]
    assert 0 < sum(changed) < 60
    assert all(
        groups[2] - groups[1] == 1 for groups, new in zip(mixed, changed, strict=True) if new
    )
    cut = recipe._steadied(recipe._some_frames(piece | longer, 0, 1.0))
    right_after = [1] if cut["groups"][1] == 1 else []  # the photograph's token frame
    assert cut["follows"].tolist() == [*right_after, 2, 3, 4]


def test_a_share_of_steps_holds_the_clip_whole(recipe):
    piece = recipe.batch(0)[0]
    longer = {name: torch.randn(1, 12, *piece["clean"].shape[2:]) for name in ("clean", "noise")}

    def drawn(share):
        recipe.settings = recipe.settings.model_copy(update={"token_frames": 3, "whole": share})
        return [recipe._shown(piece | longer, step) for step in range(40)]

    assert all(len(each["groups"]) == 3 for each in drawn(0.0))
    assert all(each["clean"].shape[1] == 12 and "groups" not in each for each in drawn(1.0))
    some, none = drawn(0.5), drawn(0.0)
    whole = ["groups" not in each for each in some]
    assert 0 < sum(whole) < 40
    for each, cut, is_whole in zip(some, none, whole, strict=True):
        assert is_whole or torch.equal(each["groups"], cut["groups"])


def test_a_share_of_samples_is_at_the_noisiest_timestep(recipe):
    def timesteps(share):
        recipe.settings = recipe.settings.model_copy(update={"last_timestep": share})
        item = recipe.items[0]
        return [int(recipe.draw(item, Draw(0, seed))["timestep"]) for seed in range(12)]

    last = recipe.objective.steps - 1
    assert timesteps(1.0) == [last] * 12
    assert last not in timesteps(0.0)
    assert 0 < timesteps(0.5).count(last) < 12


@pytest.fixture(scope="module")
def nano_folder(tmp_path_factory):
    """A model of the embedded one's form."""
    return build_pipeline(TINY_NANO, ["vortigo"], tmp_path_factory.mktemp("nano") / "m", seed=0)


def test_resumed_equals_uninterrupted(clip_set, nano_folder, tmp_path, monkeypatch):
    options = {"epochs": 4, "token_frames": 2, "whole": 0.3, "contiguous": 0.5, "steady": 0.4,
               "last_timestep": 0.5, "frames": (9,), "sizes": ((64, 48),)}  # fmt: skip
    whole = weights(run(clip_set, nano_folder, tmp_path / "whole", **options))
    original = Trainer._one_step

    def stop(self, *args):
        if self.step == 3:
            raise KeyboardInterrupt
        return original(self, *args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_one_step", stop)
        run(clip_set, nano_folder, tmp_path / "part", **options)
    again = weights(run(clip_set, nano_folder, tmp_path / "part", resume="latest", **options))
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    plain = weights(run(clip_set, nano_folder, tmp_path / "plain", **options | {"steady": 0.0}))
    assert any(not torch.equal(whole[name], plain[name]) for name in whole)


@pytest.mark.parametrize(
    ("kind", "changes", "sentence"),
    [
        (LoraSettings, {"steady": -0.1}, "greater than or equal to 0"),
        (LoraSettings, {"contiguous": 1.5, "token_frames": 3}, "less than or equal to 1"),
        (LoraSettings, {"contiguous": 0.7}, "set token_frames, or leave contiguous out"),
        (LoraSettings, {"whole": 0.1}, "set token_frames, or leave whole out"),
        (DistillSettings, {"steady": 0.3}, "steady has no part in distillation"),
        (DistillSettings, {"last_timestep": 1.0}, "last_timestep has no part in distillation"),
    ],
)
def test_settings_that_cannot_be(kind, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        kind(**changes)


def test_frames_without_neighbours_are_refused(clip_set, tiny_folder, tmp_path):
    def said(**changes):
        problems = look(clip_set, tiny_folder, tmp_path, steady=0.3, **changes).problems
        return [problem for problem in problems if problem.startswith("steady")]

    assert "with contiguous" in said(token_frames=3)[0]
    assert said(token_frames=2, contiguous=1.0)
    assert not said(token_frames=3, contiguous=0.7)
    assert not said()


def test_refused_as_a_person_reads_it(tmp_path):
    from src.recipes.lora.settings import load_settings

    path = tmp_path / "settings.yaml"
    path.write_text("contiguous: 0.7\n")
    with pytest.raises(BadInputError, match="settings.yaml: .*set token_frames"):
        load_settings(path, {}, LoraSettings)

"""The stage `words`: what the scenes do not know says nothing of a move."""

import copy

import numpy as np
import pytest
import torch

from src.core.errors import BadInputError
from src.recipes.embedded.parts import prepare_parts, token_ids
from src.recipes.embedded.run import START, Slice, start_from, train_slice, train_stage, trained
from src.recipes.embedded.words import PADDING, WordsRecipe, partners
from src.scenes.sampler import UNNAMED, Mix, SceneSampler
from src.training.checkpoints import CheckpointManager


@pytest.fixture
def prepared(run_folder, small, settings):
    return prepare_parts(small, settings, run_folder)


@pytest.fixture
def recipe(prepared, settings):
    return WordsRecipe(prepared, settings.words, settings)


def test_a_move_beside_strange_words_is_said_in_its_own_words():
    sampler = SceneSampler(48, 32, 3, Mix(unnamed=0.3))
    drawn = [sampler.strange_wording(index) for index in range(300)]
    named = [(prompt, known) for prompt, known in drawn if known != UNNAMED]
    assert all(known in prompt and len(prompt) > len(known) for prompt, known in named)
    assert 30 < len(drawn) - len(named) < 150
    places = {prompt.find(known) == 0 for prompt, known in named}
    assert places == {True, False}, "before the strange words, and after"
    assert drawn == [sampler.strange_wording(index) for index in range(300)]


def test_each_token_has_one_partner_and_strange_ones_have_padding():
    #            strange  a  move  strange     end
    prompt = [7, 8, 9, 20, 21, 22, 5, 6, 1] + [PADDING] * 3
    known = [20, 21, 22, 1] + [PADDING] * 8
    places = partners(prompt, known)
    assert sorted(places) == list(range(12))
    assert places[3:6] == [0, 1, 2] and places[8] == 3
    assert all(known[places[k]] == PADDING for k in (0, 1, 2, 6, 7, 9, 10, 11))


def test_the_same_prompt_is_its_own_partner():
    ids = [4, 4, 9, 4, 1, PADDING, PADDING]
    assert partners(ids, ids) == list(range(7))


def test_who_says_what_the_teacher_says_errs_by_nothing(recipe, prepared):
    texts = ["pan left", "press briefing at city hall, slow push in", ""]
    ids = token_ids(prepared, texts)
    same = torch.arange(ids.shape[1]).expand(ids.shape)
    shifted = same.roll(1, dims=1)
    with torch.no_grad():
        assert float(recipe.loss((ids, ids, same), torch.Generator())) < 1e-12
        assert float(recipe.loss((ids, ids, shifted), torch.Generator())) > 1e-4


def test_the_teacher_stays_and_the_pupil_learns(recipe):
    before = copy.deepcopy(recipe.teacher.state_dict())
    optimizer = torch.optim.AdamW(recipe.model.parameters(), lr=2e-3)
    batches, losses = [recipe.batch(step) for step in range(4)], []
    for step in range(60):
        loss = recipe.loss(batches[step % 4], torch.Generator())
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    after = recipe.teacher.state_dict()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())


def test_the_stage_goes_on_from_a_pipeline_and_changes_its_words_alone(small, settings, tmp_path):
    begun = train_slice(settings, tmp_path / "a", Slice(0.01, ("transformer",)), small)
    folder = tmp_path / "b"
    start_from(begun, folder, small)
    train_stage("words", settings, folder, 2.0, blueprint=small)
    pipeline, steps = trained(settings, folder, small)
    assert steps["words"] > 0
    other = trained(settings, tmp_path / "a", small)[0].pipeline
    for part, same in (("transformer", True), ("vae", True), ("text_encoder", False)):
        pairs = zip(getattr(pipeline.pipeline, part).parameters(),
                    getattr(other, part).parameters(), strict=True)  # fmt: skip
        assert all(torch.allclose(a, b, atol=2e-3) for a, b in pairs) is same, part
    assert (folder / START).is_dir()


def test_a_transformer_that_is_trained_further_asks_for_new_words(small, settings, tmp_path):
    train_slice(settings, tmp_path, Slice(0.02, ("transformer", "words")), small)
    assert trained(settings, tmp_path, small)[1]["words"] > 0
    train_stage("transformer", settings, tmp_path, 0.0, blueprint=small)
    assert trained(settings, tmp_path, small)[1]["words"] > 0, "nothing was learned"
    train_stage("transformer", settings, tmp_path, 1.0, blueprint=small)
    pipeline, steps = trained(settings, tmp_path, small)
    assert steps["words"] == 0, "words of another text encoder are left out"
    learned = CheckpointManager(tmp_path / "transformer").latest()["average"]
    own = dict(pipeline.pipeline.text_encoder.named_parameters())
    assert all(torch.equal(own[name], learned[f"text_encoder.{name}"]) for name in own)
    train_stage("words", settings, tmp_path, 0.0, blueprint=small)
    assert CheckpointManager(tmp_path / "words").latest()["step"] == 0, "and begin anew"


def test_a_text_stage_alone_is_kept_and_taught(small, settings, tmp_path):
    train_stage("text", settings, tmp_path, 1.0, blueprint=small)
    learned = CheckpointManager(tmp_path / "text").latest()["average"]
    own = dict(trained(settings, tmp_path, small)[0].pipeline.text_encoder.named_parameters())
    assert all(torch.equal(own[name], learned[f"text_encoder.{name}"]) for name in own)
    train_stage("words", settings, tmp_path, 1.0, blueprint=small)
    assert trained(settings, tmp_path, small)[1]["words"] > 0


def test_words_without_a_teacher_are_one_sentence(small, settings, tmp_path):
    with pytest.raises(BadInputError, match="no text encoder that knows moves"):
        train_stage("words", settings, tmp_path, 0.0, blueprint=small)

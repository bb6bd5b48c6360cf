"""Adapters of the families that match flows: objective, training, and what a clip is with one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.paths import examples
from src.core.plan import Plan, SessionKey
from src.core.request import Request
from src.engine.generate import generate, plans_for, prepare
from src.engine.session import Session
from src.media.clips import Sampling
from src.media.reader import VideoReader
from src.pipelines.families import family_of_folder
from src.pipelines.loading import read_pipeline
from src.pipelines.memory import generator_for
from src.pipelines.models import find_model
from src.pipelines.sides import Step
from src.pipelines.steadiness import LEAST_CHANGE
from src.recipes.lora.layers import add_adapter
from src.recipes.lora.settings import LoraSettings, Samples
from tests import other_families as tiny
from tests.training.lora_kit import make_set, run, weights

CPU = Hardware(device="cpu", name="a CPU", memory=16 << 30, free_memory=8 << 30, cpu_count=2)
BUILDERS = {"ltx": tiny.build_ltx, "wan-ti2v": tiny.build_wan_ti2v}
LENGTH = 32
"""Tokens of a prompt."""


@dataclass(frozen=True)
class Base:
    """A tiny model, its family, and a plan for it."""

    folder: Path
    session: Session
    plan: Plan

    @property
    def family(self):
        return self.session.family

    @property
    def sampling(self) -> Sampling:
        size = self.plan.native
        return Sampling(9, self.plan.fps, size.width, size.height)


@pytest.fixture(scope="module", params=BUILDERS)
def base(request, tmp_path_factory) -> Base:
    folder = BUILDERS[request.param](tmp_path_factory.mktemp("models") / "tiny")
    spec, family = find_model(str(folder)), family_of_folder(folder)
    visited = family.timesteps(3, spec, stock=True)
    key = SessionKey(model=spec.id, source=spec.source, device="cpu", dtype="float32",
                     family=spec.family)  # fmt: skip
    plan = Plan(
        mode="optimized", profile="plain", session=key, weights={}, image_sha256="", fit="cover",
        prompt="pan left", negative_prompt="", max_sequence_length=LENGTH,
        scheduler=spec.defaults.scheduler, timesteps=visited.timesteps, sigmas=visited.sigmas,
        guidance=(1.0,) * 3, num_frames=9, fps=spec.defaults.fps, native=spec.native,
        delivered=spec.native, upscaler="lanczos", seed=3, score=False,
    )  # fmt: skip
    return Base(folder, Session(key, folder), plan)


@pytest.fixture(scope="module")
def batch(base):
    """Two samples, one of which is given its photograph."""
    pipe, size = base.session.load(), base.plan.native
    objective = base.family.training.objective(base.folder)
    generator = torch.Generator().manual_seed(1)
    channels = pipe.transformer.config.in_channels
    step = (
        size.width
        // base.family.loop.begin(
            pipe, base.plan, np.zeros((size.height, size.width, 3), np.uint8), generator
        ).latents.shape[-1]
    )
    frames = 8 // base.family.training.frames_a_latent + 1
    shape = (2, frames, channels, size.height // step, size.width // step)
    with torch.no_grad():
        text = base.family.training.embed(pipe, "pan left", LENGTH, torch.device("cpu"))
    return {
        "clean": torch.randn(shape, generator=generator),
        "noise": torch.randn(shape, generator=generator),
        "image": torch.randn((2, 1, *shape[2:]), generator=generator),
        "shown": torch.tensor([True, False]),
        "text": torch.stack([text, text]),
        "timestep": torch.tensor([objective.timestep(generator, 0.0) for _ in range(2)]),
        "size": base.sampling,
    }


def test_the_velocity_has_no_loss_and_a_photograph_that_is_given_is_not_asked_for(base, batch):
    objective = base.family.training.objective(base.folder)
    right = batch["noise"] - batch["clean"]
    spoilt = right.clone()
    spoilt[:, 0] += 5

    def losses(prediction):
        return objective.losses(lambda *_: prediction, torch.nn.Identity(), batch)

    assert torch.equal(losses(right), torch.zeros(2))
    given, dropped = losses(spoilt).tolist()
    assert given == 0
    assert dropped == pytest.approx(25 / batch["clean"].shape[1], rel=1e-5)


def test_a_clip_that_moves_as_it_should_is_steady(base, batch):
    """Frame 0 of the first sample is the photograph, whatever is predicted for it."""
    objective = base.family.training.objective(base.folder)
    frames = batch["clean"].shape[1]
    steady = batch | {"steady": 2.0, "follows": torch.arange(frames - 1)}
    right = batch["noise"] - batch["clean"]
    spoilt = right.clone()
    spoilt[:, 0] += 5

    def unsteady(prediction):
        with_it, plain = (
            objective.losses(lambda *_: prediction, torch.nn.Identity(), each)
            for each in (steady, batch)
        )
        return (with_it - plain).tolist()

    assert unsteady(right) == pytest.approx([0, 0], abs=1e-6)
    given, dropped = unsteady(spoilt)
    assert given == pytest.approx(0, abs=1e-6)
    # x0 of frame 0 is off by 5 s, and so is the first change, whatever the others are
    clean, level = batch["clean"][1], float(batch["timestep"][1]) / objective.steps
    changes = clean.diff(dim=0).square().sum() + LEAST_CHANGE * clean[1:].numel()
    wanted = 2 * (5 * level) ** 2 * clean[0].numel() / float(changes)
    assert dropped == pytest.approx(wanted, rel=1e-3)


def test_noise_levels_are_shifted_and_end_where_the_schedule_does(base):
    objective = base.family.training.objective(base.folder)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([objective.timestep(generator, 0.0) for _ in range(2000)])
    # half of the even draws lie below 1/2, which the shift moves to a / (1 + a)
    middle = objective.steps * objective.shift / (1 + objective.shift)
    assert drawn.min() >= 0 and drawn.max() <= objective.steps
    assert abs(float((drawn < middle).float().mean()) - 0.5) < 4 * 0.5 / 2000**0.5
    upper = torch.tensor([objective.timestep(generator, 1.0) for _ in range(200)])
    level = 2 / 3
    bound = objective.steps * objective.shift * level / (1 + (objective.shift - 1) * level)
    assert upper.min() >= bound * (1 - 1e-6)


def test_files_and_memory_say_the_same_objective(base):
    pipe, training = base.session.load(), base.family.training
    ours, theirs = training.objective(base.folder), training.objective_of(pipe)
    latents = torch.randn(3, len(ours.mean), 2, 2)
    assert torch.equal(ours.clean(latents), theirs.clean(latents))
    assert (ours.shift, ours.steps) == (theirs.shift, theirs.steps)


@torch.no_grad()
def test_what_is_trained_sees_what_inference_shows(base):
    """The same forward, bit for bit: positions, timesteps of tokens, words and photograph."""
    pipe, size = base.session.load(), base.plan.native
    pipe.scheduler = base.family.stock.make_scheduler(pipe.scheduler, base.plan, "cpu")
    pixels = np.random.default_rng(0).integers(0, 255, (size.height, size.width, 3), np.uint8)
    clip = base.family.loop.begin(pipe, base.plan, pixels, generator_for(3))
    moment = pipe.scheduler.timesteps[1]
    (wanted,) = base.family.loop.predict(pipe, [clip], Step(moment, None, 1.0))
    noisy = clip.latents.transpose(1, 2).clone()
    if hasattr(clip.start, "photograph"):
        noisy[:, 0] = clip.start.photograph[:, :, 0]
    known = torch.zeros(noisy.shape[:2], dtype=torch.bool)
    known[:, 0] = True
    training = base.family.training
    text = training.embed(pipe, base.plan.prompt, LENGTH, torch.device("cpu"))[None]
    model = training.objective(base.folder).denoiser(pipe.transformer, torch.float32)
    made = model(noisy, known, text, moment.float()[None], base.sampling)
    assert torch.equal(made.transpose(1, 2), wanted.float())


def test_the_loss_of_one_batch_goes_down(base, batch):
    transformer = read_pipeline(base.folder, torch.float32, ("transformer",)).transformer
    settings = LoraSettings(rank=2, targets=base.family.lora_targets)
    torch.manual_seed(0)
    add_adapter(transformer, settings)
    objective = base.family.training.objective(base.folder)
    model = objective.denoiser(transformer, torch.float32)
    trained = [one for one in transformer.parameters() if one.requires_grad]
    optimizer, seen = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.0), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = objective.losses(model, transformer, batch).mean()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    assert seen[-1] < 0.99 * seen[0]
    assert seen[-1] == min(seen)


def test_an_adapter_is_trained_saved_loaded_and_taken_off(base, photograph, tmp_path):
    """The whole recipe: clips, captions, a sample clip of another size than the model's own, the
    file; then the engine with it and without."""
    output = run(
        make_set(tmp_path, clips=2, held_out=1), base.folder, tmp_path / "adapter", epochs=3,
        fps=8.0, sizes=((32, 32),), seed=1,
        samples=Samples(count=1, every=3, num_inference_steps=2),
    )  # fmt: skip
    state = weights(output)
    assert state and all(torch.isfinite(value).all() for value in state.values())
    assert any(value.abs().max() > 0 for key, value in state.items() if "lora_B" in key)
    with VideoReader(examples() / "adapter-epoch-03-1.mp4") as reader:
        assert (len(list(reader)), reader.info.width) == (9, 32)
    wish = Request(
        input_image=photograph, prompt="pan left", model=str(base.folder), seed=5, score=False,
        num_inference_steps=2, output_path=tmp_path / "base.mp4",
    )  # fmt: skip

    def clip(name: str, **changes) -> str:
        changed = {"output_path": tmp_path / name} | changes
        prepared = prepare(wish.model_copy(update=changed))
        return generate(prepared, plans_for(prepared, CPU), CPU).frame_sha256

    plain, strong = clip("a.mp4"), clip("b.mp4", lora=(f"{output}=40",))
    assert plain != strong
    assert plain == clip("c.mp4")


def test_training_on_some_token_frames_is_refused(base):
    shapes = base.family.training.shapes(base.folder)
    with pytest.raises(BadInputError, match="leave token_frames out"):
        base.family.training.check_some_frames(shapes)

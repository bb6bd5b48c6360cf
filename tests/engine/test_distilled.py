"""A distilled adapter decides guidance and steps, halves the forwards, and is told and replayed."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from src.core.errors import BadInputError
from src.core.plan import Distilled
from src.core.result import Result
from src.engine.generate import generate, plans_for, prepare
from src.engine.manifest import read_manifest
from src.engine.replay import prepare_replay
from src.engine.sessions import Sessions
from src.pipelines.adapter_files import BASE_KEY, read_adapter
from src.pipelines.distilled import distilled_header, read_distilled
from src.pipelines.locate import base_hash

GUIDANCE = Distilled(stage="guidance", guidance_scale=6.0)
STEPS = Distilled(stage="steps", guidance_scale=6.0, timesteps=(999, 499), scheduler="ddim")


def write(folder: Path, header: dict[str, str], base: str) -> str:
    """A LoRA of one layer with random weights."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    layer = "transformer.transformer_blocks.0.attn1.to_q"
    state = {
        f"{layer}.lora_{side}.weight": torch.randn(shape, generator=generator)
        for side, shape in (("A", (1, 32)), ("B", (32, 1)))
    }
    file = folder / "pytorch_lora_weights.safetensors"
    save_file(state, file, metadata={"format": "pt", BASE_KEY: base} | header)
    return str(folder)


@pytest.fixture
def adapter(tiny_folder, tmp_path):
    """Paths of adapters of the tiny model that are distilled to one thing or the other."""

    def make(distilled: Distilled | None, name: str = "adapter") -> str:
        header = distilled_header(distilled) if distilled else {}
        return write(tmp_path / name, header, base_hash(tiny_folder))

    return make


def plan_of(request, cpu):
    return plans_for(prepare(request), cpu)[0]


def forwards(request, cpu) -> tuple[Result, int]:
    """The clip, and how many samples the transformer was given for it."""
    counted, sessions = [], Sessions()
    prepared = prepare(request)
    plans = plans_for(prepared, cpu)
    session = sessions.opener(prepared.folder, prepared.adapters)(plans[0])
    session.load().transformer.register_forward_pre_hook(
        lambda _, args, given: counted.append(len(given["hidden_states"])), with_kwargs=True
    )
    return generate(prepared, plans, cpu, sessions=sessions), sum(counted)


@pytest.mark.parametrize("distilled", [GUIDANCE, STEPS])
def test_what_a_header_says_is_read_back(distilled, tmp_path):
    assert read_distilled(tmp_path, distilled_header(distilled)) == distilled
    assert read_distilled(tmp_path, {"format": "pt"}) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"newsreel_distilled": "half"},
        {"newsreel_guidance_scale": "much"},
        {"newsreel_timesteps": "999"},
        {"newsreel_timesteps": "[999"},
        {"newsreel_timesteps": "[999, 499, 249]"},
        {"newsreel_scheduler": ""},
    ],
)
def test_a_header_that_is_not_whole_is_refused(wrong, tmp_path):
    with pytest.raises(BadInputError, match="in its header is not understood .*distill it again"):
        read_distilled(tmp_path, distilled_header(STEPS) | wrong)


def test_its_own_guidance_and_steps_are_taken(adapter, request_for, cpu):
    one = request_for(lora=(adapter(GUIDANCE, "one"),), num_inference_steps=3)
    plan = plan_of(one, cpu)
    assert (plan.guidance, plan.num_inference_steps) == ((1.0, 1.0, 1.0), 3)
    assert plan.adapters[0].distilled == GUIDANCE
    few = request_for(lora=(adapter(STEPS, "few"),), num_inference_steps=None)
    plan = plan_of(few, cpu)
    assert (plan.guidance, plan.timesteps, plan.scheduler) == ((1.0, 1.0), (999, 499), "ddim")
    assert plan.cache.name == "none"


def test_a_person_is_told(adapter, request_for):
    choice = prepare(request_for(lora=(adapter(STEPS),))).choice
    assert "gives guidance 6 in one forward, 2 steps of ddim" in choice


@pytest.mark.parametrize(
    ("distilled", "fields", "said"),
    [
        (GUIDANCE, {"guidance_scale": 4.0}, "--guidance-scale 4 would guide twice: .* 6 in itself"),
        (STEPS, {"guidance_scale": 4.0}, "would guide twice"),
        (GUIDANCE, {"negative_prompt": "blurred"}, "--negative-prompt has no effect with"),
        (GUIDANCE, {"guidance_interval": (0.0, 0.8)}, "--guidance-interval has no effect with"),
        (STEPS, {"num_inference_steps": 8}, "--num-inference-steps 8: .* was distilled to 2"),
        (STEPS, {"scheduler": "dpm"}, "--scheduler dpm: .* was distilled for ddim"),
        (STEPS, {"mode": "baseline"}, "mode baseline runs the checkpoint's own scheduler"),
    ],
)
def test_a_request_that_says_otherwise_is_refused(distilled, fields, said, adapter, request_for):
    path = adapter(distilled)
    with pytest.raises(BadInputError, match=said):
        prepare(request_for(lora=(path,), **fields))


def test_half_of_it_and_two_of_them_are_refused(adapter, request_for):
    one, two = adapter(GUIDANCE, "one"), adapter(STEPS, "two")
    with pytest.raises(BadInputError, match="whole or not at all; leave away the weight 0.5"):
        prepare(request_for(lora=(f"{one}=0.5",)))
    with pytest.raises(BadInputError, match="are both distilled"):
        prepare(request_for(lora=(one, two)))


def test_other_timesteps_than_this_model_visits_are_refused(adapter, request_for):
    other = STEPS.model_copy(update={"timesteps": (999, 333)})
    with pytest.raises(BadInputError, match="other timesteps than tiny visits in 2 steps"):
        prepare(request_for(lora=(adapter(other),)))


def test_another_base_is_refused(tmp_path, tiny_folder):
    path = write(tmp_path / "other", distilled_header(GUIDANCE), "0" * 64)
    with pytest.raises(BadInputError, match="was trained on another base"):
        read_adapter(path, tiny_folder)


def test_a_style_goes_with_it(adapter, request_for, cpu):
    paths = (adapter(GUIDANCE, "one"), f"{adapter(None, 'style')}=0.5")
    plan = plan_of(request_for(lora=paths), cpu)
    assert [bool(each.distilled) for each in plan.adapters] == [True, False]
    assert plan.guidance == (1.0, 1.0)


def test_the_forwards_are_halved_and_the_clip_replays(adapter, request_for, cpu, tmp_path):
    path = adapter(GUIDANCE)
    usual, guided = forwards(request_for(guidance_scale=6.0), cpu)
    made, unguided = forwards(request_for(lora=(path,)), cpu)
    assert (guided, unguided) == (4, 2)
    assert made.frame_sha256 != usual.frame_sha256
    manifest = read_manifest(made.manifest)
    assert manifest.plan.adapters[0].distilled == GUIDANCE
    written = json.loads(Path(made.manifest).read_text(encoding="utf-8"))
    assert written["plan"]["adapters"][0]["distilled"]["guidance_scale"] == 6.0
    replay = prepare_replay(made.manifest, target=tmp_path / "again.mp4", lora=[path],
                            model=request_for().model)  # fmt: skip
    again = generate(replay.prepared, (replay.manifest.plan,), cpu)
    assert again.frame_sha256 == made.frame_sha256

"""Drafts: what is planned and made, what is refused, and the full clip of one."""

import json
import shutil

import pytest
import torch

from src.core.errors import BadInputError
from src.core.plan import Size
from src.core.request import Request
from src.engine.admission import check_generate
from src.engine.drafts import drafted
from src.engine.full import full_of
from src.engine.generate import generate, plans_for, prepare
from src.engine.manifest import read_manifest
from src.engine.probe import probe
from src.engine.reckoning import clip_cost
from src.engine.replay import prepare_replay
from src.engine.resolve import decided
from src.engine.sessions import Sessions
from src.media.reader import VideoReader
from src.pipelines.locate import role_hash
from src.pipelines.models import find_model
from src.pipelines.preview_decoder import PreviewDecoder, save_preview
from src.pipelines.preview_files import FILE, PreviewForm

FORM = PreviewForm(channels=4, cell=8, frames=4, width=8, blocks=1)


def write_decoder(folder, seed=0):
    """An untrained decoder of the tiny model."""
    torch.manual_seed(seed)
    decoder = PreviewDecoder(FORM)
    torch.nn.init.normal_(decoder.last.weight, 0, 0.1)
    save_preview(decoder, role_hash(folder, "vae"), folder / FILE, 0)


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy of the tiny model beside a preview decoder."""
    made = shutil.copytree(tiny_folder, tmp_path / "tiny")
    write_decoder(made)
    return made


@pytest.fixture
def asked(folder, photograph):
    """A request for a draft of that model, with further fields."""

    def ask(**fields):
        return Request(**{
            "input_image": photograph, "prompt": "pan left", "model": str(folder),
            "device": "cpu", "num_frames": 9, "seed": 1, "draft": True, **fields,
        })  # fmt: skip

    return ask


def made(request, sessions=None):
    prepared, hardware = prepare(request), probe("cpu")
    return generate(prepared, plans_for(prepared, hardware), hardware, sessions=sessions)


def test_a_draft_is_small_and_its_manifest_says_what_it_is(asked, home):
    result = made(asked())
    assert result.path.name == "pan-left-1-draft.mp4"
    with VideoReader(result.path) as reader:
        assert (reader.info.width, reader.info.height) == (64, 48)
        assert len(list(reader)) == 9
    manifest = read_manifest(result.manifest)
    assert manifest.request["draft"] is True
    assert manifest.plan.draft.frames == Size(width=64, height=48)
    assert (manifest.plan.num_inference_steps, manifest.plan.upscaler) == (8, "lanczos")
    assert manifest.report is None


def test_draft_and_full_clip_have_the_same_latents(asked, folder, home):
    """Same seed, same steps: what is decoded is the same, whichever decoder does it."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        from src.pipelines import denoise

        usual = denoise.denoise
        patch.setattr(denoise, "denoise", lambda *given: seen.append(usual(*given)[0]) or seen[-1:])
        sessions = Sessions()
        made(asked(num_inference_steps=2, score=False), sessions)
        made(asked(num_inference_steps=2, score=False, draft=False), sessions)
    assert torch.equal(seen[0], seen[1])


def test_a_draft_replays_with_its_own_decoder_alone(asked, folder, home, tmp_path):
    result = made(asked(num_inference_steps=2))
    replay = prepare_replay(result.manifest, str(folder), tmp_path / "again.mp4")
    again = generate(replay.prepared, (replay.manifest.plan,), probe("cpu"))
    assert again.frame_sha256 == result.frame_sha256
    write_decoder(folder, seed=1)
    with pytest.raises(BadInputError, match="not the preview decoder of this plan"):
        prepare_replay(result.manifest, str(folder), tmp_path / "again.mp4")


def test_the_full_clip_is_what_was_asked_but_for_the_draft(asked, folder, home):
    result = made(asked(seed=None, num_inference_steps=2, template="briefing", prompt=None))
    for path in (result.path, result.manifest):
        full = Request(**full_of(path, str(folder)))
        assert (full.draft, full.seed, full.template) == (False, result.plan.seed, "briefing")
    assert full.num_inference_steps is None  # those were the draft's
    assert prepare(full).final.name == result.path.name.replace("-draft", "")
    plan = plans_for(prepare(full), probe("cpu"))[0]
    assert plan.draft is None and plan.score
    assert (plan.prompt, plan.image_sha256) == (result.plan.prompt, result.plan.image_sha256)


def test_a_draft_with_a_name_is_replaced_by_its_full_clip(asked, folder, home, tmp_path):
    result = made(asked(num_inference_steps=2, output_path=tmp_path / "clip.mp4"))
    shutil.move(tmp_path / "clip.mp4", tmp_path / "moved.mp4")
    shutil.move(tmp_path / "clip.json", tmp_path / "moved.json")
    fields = full_of(tmp_path / "moved.mp4", str(folder))
    assert fields["output_path"] == result.path
    full = Request(**fields | {"num_inference_steps": 2, "score": False})
    again = made(full)
    assert again.path == tmp_path / "clip.mp4" and read_manifest(again.manifest).plan.draft is None


def test_a_draft_among_the_services_clips_stays(asked, folder, home):
    (home / "examples").mkdir(parents=True, exist_ok=True)
    result = made(asked(num_inference_steps=2, output_path=home / "examples" / "pan-1.mp4"))
    assert "output_path" not in full_of(result.path, str(folder))


def test_the_full_clip_is_of_the_drafts_weights(asked, folder, home):
    result = made(asked(num_inference_steps=2))
    with pytest.raises(BadInputError, match="made with the model folder 'tiny'; give --model PATH"):
        full_of(result.path)
    weights = next((folder / "transformer").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(BadInputError, match="holds other weights"):
        full_of(result.path, str(folder))


def test_a_full_clip_has_none(asked, home):
    result = made(asked(draft=False, num_inference_steps=2, score=False))
    with pytest.raises(BadInputError, match="is no draft; --replay"):
        full_of(result.path)


def test_without_a_decoder_the_command_that_trains_one_is_told(asked, folder):
    (folder / FILE).unlink()
    prepared = prepare(asked())
    with pytest.raises(BadInputError, match=f"src.train_preview --model {folder}"):
        plans_for(prepared, probe("cpu"))
    with pytest.raises(BadInputError, match="needs a preview decoder"):
        check_generate(asked(), [probe("cpu")])


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"mode": "baseline"}, "--draft does not apply to mode baseline"),
     ({"extend": True}, "does not go with --extend"),
     ({"delivery": "fast"}, "does not go with --draft")],
)  # fmt: skip
def test_what_a_draft_cannot_have(fields, words, photograph):
    request = Request(input_image=photograph, prompt="pan left", draft=True, **fields)
    with pytest.raises(BadInputError, match=words):
        decided(request, find_model("nano"), {})


def test_steps_and_sizes_of_drafts():
    """Halved until 160 rows are left; eight steps, or the model's own where these are fewer."""
    sizes = {"nano": (240, 160, 1), "cogvideox-5b-i2v": (360, 240, 8),
             "cogvideox1.5-5b-i2v": (340, 192, 8)}  # fmt: skip
    for name, (width, height, steps) in sizes.items():
        spec = drafted(find_model(name), True)
        assert spec.delivered == Size(width=width, height=height), name
        assert spec.defaults.num_inference_steps == steps, name
    assert drafted(find_model("nano"), False) == find_model("nano")


def test_asked_sizes_and_steps_are_taken(photograph):
    request = Request(
        input_image=photograph, prompt="pan left", draft=True, width=720, num_inference_steps=3,
        upscale="2x",
    )  # fmt: skip
    planned = decided(request, find_model("nano"), {}).common
    assert (planned["delivered"], planned["upscaler"]) == (Size(width=720, height=480), "lanczos")
    assert len(planned["timesteps"]) == 3 and planned["upscale"].scale == 2


def test_a_draft_costs_what_is_written(photograph):
    request = Request(input_image=photograph, prompt="pan left", draft=True)
    # 49 frames of 240x160, a ninth of the unit's 720x480
    assert clip_cost(request, find_model("nano"), "cpu") == pytest.approx(49 / 9)


def test_a_draft_changes_the_digest_of_its_plan(asked):
    plan = plans_for(prepare(asked(draft=False)), probe("cpu"))[0]
    text = json.loads(plan.model_dump_json())
    assert text["draft"] is None
    other = replace_draft(plan)
    assert other.digest() != plan.digest()


def replace_draft(plan):
    from src.core.plan import Draft

    return plan.model_copy(update={"draft": Draft(preview="0" * 64, frames=plan.native)})

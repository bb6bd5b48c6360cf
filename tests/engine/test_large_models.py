"""What comes out for each card and each kind of model folder: hardware and folder in, plan out."""

import json
import shutil

import pytest

from src.catalog.profiles import load_profiles
from src.core.config import validate
from src.core.errors import BadInputError
from src.core.plan import Plan, Size
from src.core.prompts import load_templates
from src.core.request import Request
from src.engine import generate as engine
from src.engine.generate import choose_model, generate, plain_model, plans_for, prepare, sized
from src.engine.planner import choices
from src.engine.resolve import resolve
from src.evaluation.memory import CARDS, card, count_of
from src.media.reader import VideoReader
from src.pipelines.blueprint import TINY
from src.pipelines.footprint import counted_folder
from src.pipelines.models import find_model
from src.validation.validate_lora import open_adapter
from tests.newer_kit import build_newer

FIRST, NEWER = find_model("cogvideox-5b-i2v"), find_model("cogvideox1.5-5b-i2v")
TABLE = {  # card: (1.0, 1.5), each profile and whether it decodes in tiles; None where nothing fits
    8: (("stream", True), None), 10: (("stream", True), None),
         12: (("stream", True), ("stream", True)),
    16: (("stream", False), ("stream", True)), 24: (("lean", False), ("lean", True)),
    32: (("lean", False), ("lean", True)), 40: (("fast", False), ("lean", True)),
    48: (("fast", False), ("lean", True)), 80: (("fast", False), ("fast", False)),
    141: (("fast", False), ("fast", False)),
}  # fmt: skip


def asked(**fields):
    return Request(**{"input_image": "a.png", "prompt": "x"} | fields)


def planned(spec, hardware, **fields):
    return resolve(asked(**fields), spec, hardware, load_templates(), {}, "", 0)[0]


@pytest.mark.parametrize("size", CARDS)
@pytest.mark.parametrize(("spec", "column"), [(FIRST, 0), (NEWER, 1)], ids=["1.0", "1.5"])
def test_the_plan_of_every_card(size, spec, column):
    wanted = TABLE[size][column]
    if wanted is None:
        with pytest.raises(BadInputError, match="of GPU memory at least"):
            planned(spec, card(size))
        return
    plan = planned(spec, card(size))
    assert (plan.profile, plan.session.tiling) == wanted
    assert plan.session.compile
    assert plan.cache.name == "first_block"
    assert plan.memory_estimate + 1e9 <= card(size).free_memory


@pytest.mark.parametrize("size", CARDS)
@pytest.mark.parametrize("profile", [profile.name for profile in load_profiles()])
def test_every_profile_on_every_card_runs_or_says_in_one_sentence_why_not(profile, size):
    try:
        first = choices(asked(profile=profile), FIRST, card(size))[0]
    except BadInputError as error:
        assert str(error).count("\n") == 0
        assert f"--profile {profile} keeps" in str(error)
        assert size < 24
    else:
        assert first.profile.name == profile


@pytest.mark.parametrize("size", [12, 80])
def test_a_budget_of_12_gb_is_the_plan_of_a_12_gb_card(size):
    assert planned(FIRST, card(size), vram_budget="12GB").profile == "stream"


@pytest.mark.parametrize(("name", "rate"), [("nano", 8), (FIRST.id, 8), (NEWER.id, 16)])
def test_a_clip_plays_at_the_models_own_rate_unless_asked(name, rate):
    spec = find_model(name)
    assert asked().fps is None
    assert planned(spec, card(80)).fps == rate
    assert planned(spec, card(80), fps=24.0).fps == 24


def test_a_plan_written_when_every_model_played_at_eight_keeps_its_rate():
    """Replay runs the plan, whatever the model's rate is now."""
    old = planned(NEWER, card(80), fps=8.0)
    again = validate(json.loads(old.model_dump_json()), Plan, "manifest")
    assert (again.fps, again.digest()) == (8.0, old.digest())


def test_auto_is_the_large_model_where_it_fits(monkeypatch, photograph):
    monkeypatch.setattr(engine, "find_weights", lambda spec: spec)
    request = Request(input_image=photograph)
    for size, name in ((2, "nano"), (8, FIRST.id), (141, FIRST.id)):
        monkeypatch.setattr("src.engine.probe.probe", lambda _, size=size: card(size))
        spec, sentence = choose_model(request)
        assert spec.id == name
        assert "GPU memory at least" in sentence or name != "nano"


def test_training_and_validation_take_the_base_that_a_clip_would(monkeypatch, tmp_path):
    """They had a rule of their own, by which a card of 2 GB got the 5B."""
    monkeypatch.setattr(engine, "find_weights", lambda spec: spec)
    monkeypatch.setattr("src.pipelines.locate.locate", lambda spec: tmp_path)
    monkeypatch.setattr("src.pipelines.adapter_files.read_adapter", lambda *_: None)
    for size, name in ((2, "nano"), (24, FIRST.id)):
        monkeypatch.setattr("src.engine.probe.probe", lambda _, size=size: card(size))
        assert plain_model().id == name
        assert open_adapter("auto", tmp_path)[0].id == name


def test_auto_stays_with_the_large_model_while_it_fills_the_card(monkeypatch, photograph):
    """The second clip of a process, and a service that tells its model while a worker holds it."""
    monkeypatch.setattr(engine, "find_weights", lambda spec: spec)
    held = card(24).model_copy(update={"free_memory": 10**9, "free_host_memory": 10**9})
    monkeypatch.setattr("src.engine.probe.probe", lambda _: held)
    assert choose_model(Request(input_image=photograph))[0].id == FIRST.id


@pytest.mark.parametrize("budget", ["0", "0GB", "-1GB", "much"])
def test_a_budget_of_nothing_is_refused(budget):
    with pytest.raises(BadInputError, match="a number above 0 with GB"):
        engine_request(vram_budget=budget)


def engine_request(**fields):
    from src.core.request import build_request

    return build_request({"input_image": "a.png", "prompt": "x"} | fields)


@pytest.mark.parametrize("spec", [FIRST, NEWER], ids=["1.0", "1.5"])
def test_a_name_of_the_hub_is_answered_with_ours(spec):
    for name in (spec.hub, *spec.former):
        with pytest.raises(BadInputError, match=f"the hub's name; Newsreel's is {spec.id}"):
            find_model(name)


@pytest.fixture(scope="module")
def newer_folder(tmp_path_factory):
    return build_newer(tmp_path_factory.mktemp("models") / "tiny15")


@pytest.fixture(scope="module")
def first_folder(tmp_path_factory):
    """A tiny CogVideoX 1.0: learned positions, one count of frames."""
    import dataclasses

    from src.pipelines.building import build_pipeline

    blueprint = dataclasses.replace(TINY, positions=True)
    return build_pipeline(
        blueprint, ["pan left", "press"], tmp_path_factory.mktemp("models") / "tiny10", seed=0
    )


@pytest.mark.parametrize(("kind", "frames", "fps"), [("first", 9, 8), ("newer", 17, 16)])
def test_a_folder_is_generated_at_its_own_rate_and_count(
    kind, frames, fps, photograph, cpu, request
):
    folder = request.getfixturevalue(f"{kind}_folder")
    wish = Request(
        input_image=photograph,
        prompt="pan left",
        model=str(folder),
        num_inference_steps=2,
        score=False,
    )
    prepared = prepare(wish)
    result = generate(prepared, plans_for(prepared, cpu), cpu)
    with VideoReader(result.path) as reader:
        assert reader.info.rate == fps
        assert len(list(reader)) == frames
    asked_for = prepare(wish.model_copy(update={"fps": 24.0}))
    assert plans_for(asked_for, cpu)[0].fps == 24


@pytest.mark.parametrize(
    ("kind", "wrong", "sentence"), [("first", 17, "9$"), ("newer", 25, "17 and 33$")]
)
def test_a_folder_has_its_own_frame_rule(kind, wrong, sentence, request):
    with pytest.raises(BadInputError, match=f"nearest that works: {sentence}"):
        find_model(str(request.getfixturevalue(f"{kind}_folder"))).check_frames(wrong)


def test_the_true_configuration_of_1_5_is_no_2400_pixel_model(newer_folder, tmp_path):
    folder = shutil.copytree(newer_folder, tmp_path / "CogVideoX1.5")
    file = folder / "transformer" / "config.json"
    config = json.loads(file.read_bytes()) | {
        "sample_width": 300,
        "sample_height": 300,
        "sample_frames": 81,
    }
    file.write_text(json.dumps(config))
    found = find_model(str(folder))
    assert (found.native, found.delivered, found.defaults.fps) == (
        NEWER.native,
        Size(width=1360, height=768),
        16,
    )
    assert (found.frames, found.defaults.num_frames) == (NEWER.frames, NEWER.defaults.num_frames)


@pytest.fixture(scope="module")
def counted(newer_folder, tmp_path_factory):
    """The folder's model with its memory counted, and the cache that remembers it."""
    place = tmp_path_factory.mktemp("counted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEWSREEL_HOME", str(place))
        spec = counted_folder(find_model(str(newer_folder)), newer_folder)
    return spec, place / "cache"


def numbers(file):
    """Bytes of a file's float32 numbers: what follows its header."""
    data = file.read_bytes()
    return len(data) - 8 - int.from_bytes(data[:8], "little")


def test_a_folder_on_a_card_gets_figures_from_its_own_files(
    newer_folder, photograph, home, counted
):
    request = Request(input_image=photograph, prompt="x", model=str(newer_folder))
    shutil.copytree(counted[1], home / "cache")
    prepared = sized(prepare(request), card(8))
    memory = prepared.spec.memory
    weights = {
        part: (newer_folder / part / "x").parent for part in ("transformer", "vae", "text_encoder")
    }
    for part, folder in weights.items():
        assert memory.weights[part] == sum(map(numbers, folder.glob("*.safetensors"))) / 2
    assert 0 < memory.decode_tiled < memory.decode < memory.decode_stock
    assert sized(prepare(request), card(8)).spec == prepared.spec
    assert planned(prepared.spec, card(8)).profile == "fast"


def test_a_folder_that_nothing_can_be_built_from_is_one_sentence(
    newer_folder, tmp_path, photograph
):
    folder = shutil.copytree(newer_folder, tmp_path / "odd")
    file = folder / "vae" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | {"norm_num_groups": 7}))
    with pytest.raises(BadInputError, match="no model can be built from its configuration files"):
        sized(prepare(Request(input_image=photograph, prompt="x", model=str(folder))), card(8))


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("text_encoder", '{"d_model": '),
        ("text_encoder", "[1]"),
        ("vae", '{"block_out_channels": [8, 8, 8, 8], "temporal_compression_ratio": 0}'),
    ],
)
def test_a_configuration_that_is_none_is_one_sentence(
    newer_folder, tmp_path, photograph, part, text
):
    folder = shutil.copytree(newer_folder, tmp_path / "odd")
    (folder / part / "config.json").write_text(text)
    prepared = prepare(Request(input_image=photograph, prompt="x", model=str(folder)))
    with pytest.raises(BadInputError, match="no model can be built from its configuration files"):
        sized(prepared, card(8))
    with pytest.raises(BadInputError, match="no model can be built from its configuration files"):
        count_of(prepared.spec)


def test_figures_that_were_cut_short_are_counted_again(newer_folder, photograph, home, counted):
    prepared = prepare(Request(input_image=photograph, prompt="x", model=str(newer_folder)))
    first, cache = counted
    shutil.copytree(cache, home / "cache")
    (file,) = (home / "cache").glob("footprint-*.json")
    file.write_text(file.read_text()[:40])
    assert sized(prepared, card(8)).spec == first
    assert file.read_bytes() == (cache / file.name).read_bytes()

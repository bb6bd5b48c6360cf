import pytest

from src.catalog.profiles import find_profile, load_profiles
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.prompts import load_templates
from src.core.request import Request
from src.engine.advice import advice
from src.engine.estimates import counted_bytes
from src.engine.planner import choices
from src.engine.resolve import resolve
from src.engine.schedule import guidance_schedule
from src.pipelines.models import find_model
from tests.engine.planner_kit import SPEC, gpu, request


@pytest.mark.parametrize(
    ("gigabytes", "capability", "profile"),
    [
        (140, (9, 0), "fast"),
        (40, (8, 0), "fast"),
        (40, (7, 5), "fast"),
        (40, (6, 1), "lean"),
        (24, (8, 9), "lean"),
        (18, (8, 9), "lean"),
        (11, (8, 6), "stream"),
        (6.5, (8, 6), "stream"),
        (5, (8, 6), "last-resort"),
    ],
)
def test_the_first_that_fits(gigabytes, capability, profile):
    assert choices(request(), SPEC, gpu(gigabytes, capability))[0].profile.name == profile


def test_a_budget_stands_in_for_free_memory():
    found = choices(request(vram_budget="12GB"), SPEC, gpu(140))
    assert found[0].profile.name == "stream"
    assert all(choice.needed <= 12e9 for choice in found)


@pytest.mark.parametrize("name", [profile.name for profile in load_profiles()])
def test_a_gigabyte_and_more_is_kept_free_beside_every_profile(name):
    for choice in choices(request(profile=name), SPEC, gpu(140)):
        assert choice.needed >= choice.estimate + 1e9


def test_tiles_are_taken_where_the_whole_picture_does_not_fit():
    tiled = {
        size: choices(request(), SPEC, gpu(size))[0].profile.tiling for size in (40, 24, 18, 11)
    }
    assert tiled == {40: False, 24: False, 18: True, 11: True}


def test_the_machines_own_memory_counts():
    """`stream` pins the whole transformer, which must fit beside everything else."""
    little, enough = ({"host_memory": n << 30, "free_host_memory": n << 30} for n in (12, 16))
    assert choices(request(), SPEC, gpu(12, **enough))[0].profile.name == "stream"
    assert choices(request(), SPEC, gpu(12, **little))[0].profile.name == "compact"
    assert choices(request(), SPEC, gpu(12, quantizer=False, **little))[0].profile.name == "paged"
    told = advice(request(), SPEC, gpu(12, quantizer=False, **little))
    assert (
        "profile stream is left out: it needs 13.3 GB of the machine's own memory, of which 12.9 "
        "GB are free" in told
    )
    assert any(
        "compact is left out: it needs torchao: pip install -r requirements-quantize.txt" in s
        for s in told
    )


def test_weights_in_another_dtype_than_their_files_cannot_be_dropped_from_memory():
    host = {"host_memory": 16 << 30, "free_host_memory": 16 << 30}
    with pytest.raises(
        BadInputError, match="needs 23.2 GB of the machine's own memory, of which 17.2 GB are free"
    ):
        choices(request(), SPEC, gpu(16, (7, 5), **host))


def test_a_cache_that_keeps_every_block_is_counted():
    counted = SPEC.memory.model_copy(update={"measured": {}})  # what a card held is no count
    spec = SPEC.model_copy(update={"memory": counted})
    plain, kept = (
        choices(request(profile="exact", cache=name), spec, gpu(140))[0].estimate
        for name in (None, "taylorseer")
    )
    assert kept - plain > 25e9


def test_more_frames_need_more():
    spec = find_model("cogvideox1.5-5b-i2v")
    short, long = (
        counted_bytes(find_profile("stream").model_copy(update={"tiling": True}), spec, n)
        for n in (81, 161)
    )
    assert long > 1.5 * short


def test_a_card_without_cudnn_takes_another_kernel():
    assert choices(request(), SPEC, gpu(140, vendor="amd"))[0].profile.attention == "auto"
    with pytest.raises(BadInputError, match="needs an NVIDIA card"):
        choices(request(attention="cudnn"), SPEC, gpu(140, vendor="amd"))


def test_a_peak_measured_on_a_card_counts_where_it_is_larger():
    memory = SPEC.memory.model_copy(
        update={"measured": {"fast": 39_500_000_000, "exact": 40_000_000_000, "lean": 1}}
    )
    measured = SPEC.model_copy(update={"memory": memory})
    assert choices(request(), measured, gpu(40))[0].profile.name == "lean"
    assert counted_bytes(
        find_profile("lean").model_copy(update={"tiling": False}), measured
    ) == counted_bytes(find_profile("lean").model_copy(update={"tiling": False}), SPEC)


@pytest.mark.parametrize("profile", ["auto", "fast", "compact"])
def test_single_layers_are_moved_uncompiled(profile):
    """Hooks inside a block and one graph of the block exclude each other."""
    for choice in choices(request(offload="sequential", profile=profile), SPEC, gpu(40)):
        assert (choice.profile.offload, choice.profile.compile) == ("sequential", False)


@pytest.mark.parametrize(
    ("gigabytes", "offload"), [(2, "auto"), (12, "auto"), (12, "sequential"), (24, "none")]
)
def test_the_stock_pipeline_is_not_loaded_in_vain(gigabytes, offload):
    with pytest.raises(
        BadInputError, match=r"needs (16|37)\.\d GB of GPU memory .* mode optimized needs less"
    ):
        choices(request(mode="baseline", offload=offload), SPEC, gpu(gigabytes))
    assert choices(request(mode="baseline"), SPEC, gpu(24))[0].profile.offload == "model"
    assert choices(request(mode="baseline"), SPEC, gpu(48))[0].profile.offload == "none"


def test_a_budget_beyond_the_card_is_the_card():
    assert choices(request(vram_budget="100GB"), SPEC, gpu(24))[0].profile.name == "lean"


def test_float32_takes_twice_of_the_machines_memory_and_of_the_card():
    host = {"host_memory": 64 << 30, "free_host_memory": 40 << 30}
    with pytest.raises(BadInputError, match=r"needs 44\.4 GB of the machine's own memory"):
        choices(request(dtype="float32"), SPEC, gpu(24, **host))
    with pytest.raises(BadInputError, match=r"keeps 42\.4 GB of weights on the GPU"):
        choices(request(dtype="float32", profile="fast"), SPEC, gpu(24))
    told = advice(request(dtype="float32"), SPEC, gpu(24))
    assert "offload group slows this run; without it 65 GB are needed, 24 GB are free" in told


def test_nothing_fits():
    with pytest.raises(
        BadInputError, match=r"needs 4\.\d GB of GPU memory at least, 2.0 GB are free"
    ):
        choices(request(), SPEC, gpu(2))


def test_a_named_profile_runs_where_it_applies():
    assert choices(request(profile="exact"), SPEC, gpu(140))[0].profile.name == "exact"
    with pytest.raises(BadInputError, match="needs CUDA capability"):
        choices(request(profile="fast"), SPEC, gpu(140, (6, 1)))
    with pytest.raises(
        BadInputError,
        match=r"keeps 21.2 GB of weights on the GPU, which has 12.0 GB; --profile stream",
    ):
        choices(request(profile="fast"), SPEC, gpu(12))
    assert [c.profile.name for c in choices(request(profile="fast"), SPEC, gpu(24))][:2] == [
        "fast",
        "lean",
    ]
    with pytest.raises(BadInputError, match="unknown profile"):
        choices(request(profile="fsat"), SPEC, gpu(140))


def test_every_profile_is_data_that_loads():
    assert [profile.name for profile in load_profiles()][:2] == ["fast", "exact"]


def test_guidance_only_in_its_interval():
    assert guidance_schedule(5, 6.0, 0.0, 0.8) == (6.0, 6.0, 6.0, 6.0, 1.0)
    assert guidance_schedule(4, 6.0, 0.0, 1.0) == (6.0,) * 4


def test_a_tuned_plan_says_that_it_is_not_exact():
    plans = resolve(request(), SPEC, gpu(140), load_templates(), {}, "", 0)
    assert plans[0].determinism == "tolerance"
    assert plans[0].session.compile
    assert next(p for p in plans if p.profile == "plain").determinism == "exact"
    assert len({plan.profile for plan in plans}) == len(plans)


def test_advice_names_what_would_help():
    assert "offload group slows this run; without it" in advice(request(), SPEC, gpu(12))[-1]
    cpu = Hardware(device="cpu", name="a CPU", memory=1, free_memory=1)
    assert "--model nano" in advice(request(), SPEC, cpu)[0]
    assert advice(request(num_inference_steps=1), find_model("nano"), cpu) == ()
    many = advice(request(num_inference_steps=30), find_model("nano"), cpu)
    assert many == ("30 steps denoise 30 times as long as nano's own; --num-inference-steps 1",)
    idle = advice(request(negative_prompt="blurry"), find_model("nano"), cpu)
    assert idle == (
        "at guidance 1 the negative prompt has no effect; --guidance-scale above 1 gives it one",
    )
    guided = request(negative_prompt="blurry", guidance_scale=3.0, guidance_interval=(0.0, 0.8))
    assert advice(guided, find_model("nano"), cpu) == ()
    assert advice(request(num_inference_steps=56), SPEC, gpu(140))[1].startswith(
        "56 steps denoise 2 times as long"
    )


def test_a_card_on_which_a_stock_model_cannot_decode_is_refused():
    from src.evaluation.memory import card

    request, spec = Request(input_image="a.png", mode="baseline"), find_model("svd-xt")
    with pytest.raises(BadInputError, match=r"needs 30\.4 GB of GPU memory for svd-xt"):
        choices(request, spec, card(24))
    assert choices(request, spec, card(48))[0].profile.offload == "none"
    wan = find_model("wan2.2-ti2v-5b")
    assert choices(request, wan, card(24))[0].profile.offload == "model"

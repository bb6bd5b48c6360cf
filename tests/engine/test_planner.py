import pytest

from src.catalog.models import find_model
from src.catalog.profiles import find_profile, load_profiles
from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.prompts import load_templates
from src.core.request import Request
from src.engine.planner import advice, choices, estimate_bytes, parse_cache
from src.engine.resolve import guidance_schedule, resolve

SPEC = find_model("cogvideox-5b-i2v")


def gpu(gigabytes, capability=(9, 0)):
    free = int(gigabytes * 1e9)
    return Hardware(
        device="cuda", name="a GPU", memory=free, free_memory=free, capability=capability, bf16=True, compiler=True
    )


def request(**fields):
    return Request(**{"input_image": "a.png", "prompt": "x"} | fields)


@pytest.mark.parametrize(
    ("gigabytes", "capability", "profile"),
    [
        (140, (9, 0), "fast"),
        (40, (8, 0), "fast"),
        (40, (7, 5), "plain"),
        (24, (8, 9), "offload"),
        (11, (8, 6), "frugal"),
        (6, (8, 6), "minimal"),
        (3, (8, 6), "last-resort"),
    ],
)
def test_the_fastest_that_fits(gigabytes, capability, profile):
    assert choices(request(), SPEC, gpu(gigabytes, capability))[0].profile.name == profile


def test_a_budget_stands_in_for_free_memory_and_what_follows_is_more_frugal():
    found = choices(request(vram_budget="12GB"), SPEC, gpu(140))
    assert found[0].profile.name == "frugal"
    estimates = [choice.estimate for choice in found]
    assert all(estimate <= 12e9 for estimate in estimates)


def test_nothing_fits():
    with pytest.raises(BadInputError, match="needs 2.5 GB of GPU memory at least"):
        choices(request(), SPEC, gpu(1))


def test_a_named_profile_runs_where_it_applies():
    assert choices(request(profile="exact"), SPEC, gpu(140))[0].profile.name == "exact"
    with pytest.raises(BadInputError, match="needs CUDA capability"):
        choices(request(profile="fast"), SPEC, gpu(140, (7, 5)))
    with pytest.raises(BadInputError, match="unknown profile"):
        choices(request(profile="fsat"), SPEC, gpu(140))


def test_flags_replace_what_the_profile_says():
    asked = request(
        profile="exact", attention="flash", cache="taylorseer=4", quantize="int8", compile=False, offload="model"
    )
    profile = choices(asked, SPEC, gpu(140))[0].profile
    assert (profile.attention, profile.cache, profile.cache_threshold) == ("flash", "taylorseer", 4.0)
    assert (profile.quantize, profile.compile, profile.offload) == ("int8", False, "model")


@pytest.mark.parametrize("text", ["turbo", "first_block=much"])
def test_a_cache_that_is_none(text):
    with pytest.raises(BadInputError):
        parse_cache(text)


def test_estimates_fall_with_frugality():
    names = ("plain", "offload", "frugal", "minimal", "last-resort")
    estimates = [estimate_bytes(find_profile(name), SPEC) for name in names]
    assert estimates == sorted(estimates, reverse=True)


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


def test_without_a_compiler_nothing_is_compiled():
    bare = gpu(140).model_copy(update={"compiler": False})
    assert not resolve(request(), SPEC, bare, load_templates(), {}, "", 0)[0].session.compile
    with pytest.raises(BadInputError, match="needs a C\\+\\+ compiler"):
        resolve(request(compile=True), SPEC, bare, load_templates(), {}, "", 0)


def test_advice_names_what_would_help():
    assert "offload model slows this run; without it" in advice(request(), SPEC, gpu(24))[1]
    cpu = Hardware(device="cpu", name="a CPU", memory=1, free_memory=1)
    assert "--model nano" in advice(request(), SPEC, cpu)[0]
    assert advice(request(num_inference_steps=5), find_model("nano"), cpu) == ()
    many = advice(request(num_inference_steps=30), find_model("nano"), cpu)
    assert many == ("30 steps denoise 10 times as long as nano's own; --num-inference-steps 3",)
    assert advice(request(num_inference_steps=56), SPEC, gpu(140))[1].startswith("56 steps denoise 2 times as long")


@pytest.mark.parametrize(
    "text", ["first_block=nan", "first_block=inf", "first_block=-1", "pyramid=0", "pyramid=1", "pyramid=1e400", "pyramid=nan",
             "taylorseer=0.4", "taylorseer=-1"],
)  # fmt: skip
def test_a_threshold_no_cache_can_run_with_is_refused(text):
    with pytest.raises(BadInputError, match=text):
        parse_cache(text)

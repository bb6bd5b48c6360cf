"""What a request or a profile switches on, and what is refused of it."""

import pytest

from src.core.errors import BadInputError, MissingWeightsError
from src.core.hardware import Hardware
from src.core.prompts import load_templates
from src.engine.advice import advice
from src.engine.planner import choices
from src.engine.resolve import resolve
from src.engine.schedule import parse_cache
from tests.engine.planner_kit import SPEC, gpu, request


@pytest.mark.parametrize("kernel", ["cudnn", "efficient"])
def test_a_kernel_of_a_gpu_is_refused_before_anything_loads(kernel):
    with pytest.raises(BadInputError, match="on a CPU there are flash and math"):
        choices(
            request(attention=kernel),
            SPEC,
            Hardware(device="cpu", name="a CPU", memory=1, free_memory=1),
        )


@pytest.mark.parametrize(
    ("gone", "instead"), [("minimal", "stream"), ("frugal", "compact"), ("offload", "stream")]
)
def test_a_profile_that_is_gone_names_its_successor(gone, instead):
    with pytest.raises(BadInputError, match=f"profile '{gone}' is gone; {instead} takes its place"):
        choices(request(profile=gone), SPEC, gpu(40))


def test_a_card_that_is_too_old_to_compile_is_told_as_that():
    told = advice(request(), SPEC, gpu(40, (6, 1), compiler_lacks=""))
    assert told[-1].endswith("that needs CUDA capability 7.0; a GPU is older")


def test_flags_replace_what_the_profile_says():
    asked = request(
        profile="exact",
        attention="flash",
        cache="taylorseer=4",
        quantize="int8",
        compile=False,
        offload="model",
    )
    profile = choices(asked, SPEC, gpu(140))[0].profile
    assert (profile.attention, profile.cache, profile.cache_threshold) == (
        "flash",
        "taylorseer",
        4.0,
    )
    assert (profile.quantize, profile.compile, profile.offload) == ("int8", False, "model")


@pytest.mark.parametrize("text", ["turbo", "first_block=much"])
def test_a_cache_that_is_none(text):
    with pytest.raises(BadInputError):
        parse_cache(text)


def test_without_a_compiler_nothing_is_compiled():
    bare = gpu(140).model_copy(update={"compiler": False})
    assert not any(
        plan.session.compile for plan in resolve(request(), SPEC, bare, load_templates(), {}, "", 0)
    )
    assert advice(request(), SPEC, bare)[-1].startswith(
        "nothing is compiled here, which makes it slower: that needs a C++"
    )
    with pytest.raises(BadInputError, match="needs a C\\+\\+ compiler"):
        resolve(request(compile=True), SPEC, bare, load_templates(), {}, "", 0)
    with pytest.raises(BadInputError, match="CUDA capability 7.0; a GPU is older"):
        resolve(request(compile=True), SPEC, gpu(140, (6, 1)), load_templates(), {}, "", 0)


def test_a_quantiser_that_is_not_here_is_told_before_anything_loads():
    with pytest.raises(MissingWeightsError, match="pip install -r requirements-quantize.txt"):
        choices(request(quantize="int8"), SPEC, gpu(140, quantizer=False))


def test_fp8_products_need_a_card_that_has_them():
    old, new = (gpu(80, capability=(8, 0)), gpu(80, capability=(9, 0)))
    with pytest.raises(BadInputError, match=r"takes CUDA capability 8\.9 \(Ada, Hopper or later"):
        choices(request(quantize="fp8_dynamic"), SPEC, old)
    assert choices(request(quantize="fp8_dynamic"), SPEC, new)[0].profile.quantize == "fp8_dynamic"
    with pytest.raises(BadInputError, match="of AMD MI300"):
        choices(request(quantize="fp8_dynamic"), SPEC, gpu(80, capability=(9, 0), vendor="amd"))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_fp8_products_take_bfloat16(dtype):
    with pytest.raises(BadInputError, match=f"takes bfloat16, not --dtype {dtype}"):
        choices(request(quantize="fp8_dynamic", dtype=dtype), SPEC, gpu(80))


@pytest.mark.parametrize(
    "text", ["first_block=nan", "first_block=inf", "first_block=-1", "pyramid=0", "pyramid=1",
             "pyramid=1e400", "pyramid=nan", "taylorseer=0.4", "taylorseer=-1",
             "magcache=nan", "magcache=inf", "magcache=-1", "magcache=0", "teacache=0.0"],
)  # fmt: skip
def test_a_threshold_no_cache_can_run_with_is_refused(text):
    with pytest.raises(BadInputError, match=text):
        parse_cache(text)


def test_a_wrong_threshold_names_one_of_the_same_cache():
    with pytest.raises(BadInputError, match=r"must be 0 or more; try magcache=0\.06"):
        parse_cache("magcache=-1")
    with pytest.raises(BadInputError, match="is not a number; try taylorseer=3"):
        parse_cache("taylorseer=often")

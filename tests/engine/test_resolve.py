import pytest

from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.plan import Size
from src.core.prompts import load_templates
from src.core.request import Request
from src.engine.resolve import decided, resolve
from src.pipelines.models import find_model

GPU = Hardware(
    device="cuda", name="a GPU", memory=80 << 30, free_memory=79 << 30, capability=(9, 0), bf16=True
)
SMALL = GPU.model_copy(update={"free_memory": 15 << 30, "capability": (7, 5), "bf16": False})
CPU = Hardware(device="cpu", name="a CPU", memory=16 << 30, free_memory=8 << 30)


def plan(hardware=CPU, model="nano", **fields):
    request = Request(**{"input_image": "a.png", "prompt": "pan left"} | fields)
    return resolve(request, find_model(model), hardware, load_templates(), {}, "hash", 5)[0]


def test_it_is_pure():
    assert plan() == plan()
    assert plan().digest() == plan().digest() != plan(seed=5, fps=9.0).digest()


def test_nothing_is_left_open():
    made = plan(GPU, "cogvideox-5b-i2v")
    assert (made.num_frames, made.native, made.delivered) == (
        49,
        Size(width=720, height=480),
        Size(width=720, height=480),
    )
    assert made.timesteps[0] == 999
    assert len(made.timesteps) == len(made.guidance) == 28
    assert (
        made.session.source
        == "hub:zai-org/CogVideoX-5b-I2V@a6f0f4858a8395e7429d82493864ce92bf73af11"
    )


@pytest.mark.parametrize(
    ("hardware", "model", "dtype", "offload"),
    [
        (GPU, "cogvideox-5b-i2v", "bfloat16", "none"),
        (SMALL, "cogvideox-5b-i2v", "float16", "group"),
        (SMALL, "nano", "float16", "none"),
        (CPU, "nano", "float32", "none"),
        (CPU.model_copy(update={"bf16": True}), "nano", "bfloat16", "none"),
    ],
)
def test_dtype_by_device_and_offload_by_memory(hardware, model, dtype, offload):
    key = plan(hardware, model).session
    assert (key.dtype, key.offload) == (dtype, offload)


def test_the_baseline_is_stock():
    made = plan(GPU, "cogvideox-5b-i2v", mode="baseline")
    assert (made.scheduler, made.num_inference_steps, made.guidance_scale, made.session.vae) == (
        "checkpoint",
        50,
        6,
        "stock",
    )


def test_a_template_brings_its_wording():
    made = plan(GPU, "cogvideox-5b-i2v", prompt=None, template="briefing", set={"city": "Lyon"})
    assert "in Lyon" in made.prompt
    assert "garbled text" in made.negative_prompt
    assert made.guidance_scale == 6.0
    assert (
        plan(prompt=None, template="archive").guidance_scale
        == find_model("nano").defaults.guidance_scale
    )


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"prompt": None}, "give --prompt TEXT or --template NAME"),
        ({"template": "briefing"}, "not both"),
        ({"set": {"city": "Lyon"}}, "give --template NAME with it"),
        ({"num_frames": 13}, "nearest that works: 9 and 17"),
        ({"width": 640, "height": 480}, "its shape is 240x160"),
        ({"offload": "model"}, "there is no GPU here"),
        ({"dtype": "float16"}, "not computed on a CPU"),
        ({"num_inference_steps": 61}, "rounding adds one below zero; take 60$"),
        ({"num_inference_steps": 122}, "take 120$"),
        (
            {"num_inference_steps": 3, "guidance_interval": "0,0.1"},
            r"none of the steps \(they are at 0.17, 0.50, 0.83\)",
        ),
        (
            {"num_inference_steps": 50, "guidance_interval": "0.005,0.009"},
            "at 0.01, 0.03, 0.05, 0.07, 0.09, ...",
        ),
        ({"num_inference_steps": 2, "cache": "taylorseer"}, "nothing to skip in 2"),
        ({"num_inference_steps": 1, "cache": "first_block=0.5"}, "needs 2 or more"),
        ({"mode": "baseline", "profile": "fast"}, "--profile does not apply"),
        ({"mode": "baseline", "scheduler": "ddim"}, "the stock pipeline as it is"),
    ],
)
def test_what_cannot_be_is_refused(fields, sentence):
    with pytest.raises(BadInputError, match=sentence):
        plan(**fields)


def test_a_wrong_step_count_is_known_before_anything_is_loaded():
    for fields in (
        {"num_inference_steps": 61},
        {"num_inference_steps": 2, "guidance_interval": (0.4, 0.6)},
    ):
        request = Request(input_image="a.png", prompt="pan left", **fields)
        with pytest.raises(BadInputError, match="steps"):
            decided(request, find_model("nano"), load_templates())


def test_every_step_count_that_is_let_through_is_made():
    refused = []
    for steps in range(1, 131):
        try:
            made = plan(num_inference_steps=steps).timesteps
        except BadInputError:
            refused.append(steps)
            continue
        assert len(set(made)) == steps
        assert min(made) >= 0
    assert refused == [61, 103, 121, 122]

"""What a job costs follows what its upscaler computes, on the machine that is to compute it."""

import pytest

from src.catalog.upscalers import load_upscalers
from src.core.errors import BadInputError
from src.core.plan import Size
from src.core.request import Request
from src.engine.reckoning import FRAME_S, RATES, clip_cost, effort, frames_of
from src.pipelines.models import find_model


def test_the_unit_is_a_frame_that_is_resampled_or_made_by_fast():
    for device in RATES:
        assert [effort(name, 2, device) for name in ("lanczos", "fast")] == [1.0, 1.0]
    assert frames_of(49, Size(width=360, height=240), 2) == 49


def test_more_work_costs_more_and_a_card_makes_it_less():
    on_cpu = [effort(name, 4, "cpu") for name in ("fast", "quality", "dove/quality", "star/fast",
                                                   "star/balanced", "star/quality")]  # fmt: skip
    assert on_cpu == sorted(set(on_cpu))
    assert effort("star/fast", 2, "cpu") > 4 * effort("star/fast", 4, "cpu")
    ratio = effort("star/fast", 4, "cpu") / effort("star/fast", 4, "cuda")
    assert ratio == pytest.approx(RATES["cuda"] / RATES["cpu"])


def test_a_cost_is_the_seconds_that_its_work_takes():
    work = load_upscalers()["star"].preset("fast").work[4]
    assert effort("star/fast", 4, "cuda") * FRAME_S == pytest.approx(work / RATES["cuda"])


def test_refining_adds_its_steps():
    six = effort("fast", 2, "cpu", "sdxl")
    alone = effort("sdxl/balanced", 2, "cpu")
    added = load_upscalers()["newsreel"].preset("fast").work[2] / (RATES["cpu"] * FRAME_S)
    assert six == pytest.approx(alone + added)
    assert effort("fast", 2, "cpu", "sdxl:0.1") == pytest.approx(alone / 2 + added)


@pytest.mark.parametrize("asked", [{}, {"upscale": "2x:fast"}, {"delivery": "lanczos"}])
def test_clips_by_fast_and_lanczos_cost_the_frames_that_they_write(asked):
    spec = find_model("nano")
    scale = 2 if "upscale" in asked else 1
    request = Request(prompt="p", input_image="p.jpg", **asked)
    assert clip_cost(request, spec, "cpu") == 49.0 * scale**2


def test_a_clip_pays_for_its_delivery_and_its_upscaling():
    spec = find_model("nano")

    def cost(**asked):
        return clip_cost(Request(prompt="p", input_image="p.jpg", **asked), spec, "cpu")

    assert cost(upscale="4x:star/fast") == pytest.approx(
        49 * 16 * effort("star/fast", 4, "cpu")
        + cost(delivery=spec.delivery) - 49, rel=1e-9)  # fmt: skip
    made = 49 * 960 * 640 / (720 * 480)  # 240x160 by four, resampled to 720x480 then
    dove = cost(delivery="dove/quality")
    assert dove == pytest.approx(49 + made * (effort("dove/quality", 4, "cpu") - 1))
    assert cost(upscale="2x") == 49 * 4 * effort("balanced", 2, "cpu")


def test_a_scale_that_a_preset_lacks_has_no_cost():
    with pytest.raises(BadInputError, match="must be 2 or 4"):
        effort("dove/quality", 8, "cpu")

"""Training settings refuse the numbers that would be a traceback, or a run of nothing, later."""

import pytest

from src.core.config import validate
from src.core.errors import BadInputError
from src.recipes.lora.settings import LoraSettings
from src.recipes.upscaler.settings import UpscalerSettings
from src.training.settings import LoopSettings

WRONG = [
    (LoraSettings, {"seed": -1}), (LoraSettings, {"seed": 2**64}), (LoraSettings, {"threads": 0}),
    (LoraSettings, {"samples": {"num_inference_steps": 0}}),
    (LoraSettings, {"samples": {"seed": -1}}), (LoraSettings, {"samples": {"guidance_scale": -1}}),
    (LoraSettings, {"held_out_timesteps": [1000]}), (LoraSettings, {"rate": {"peak": -1e-4}}),
    (LoraSettings, {"rate": {"peak": float("nan")}}), (LoraSettings, {"betas": [0.9, 1.5]}),
    (LoraSettings, {"weight_decay": -1}), (LoraSettings, {"clip_norm": float("inf")}),
    (LoopSettings, {"steps": -1}), (LoopSettings, {"steps": 1, "ema": 1.5}),
    (LoopSettings, {"steps": 1, "betas": [2, 0]}), (UpscalerSettings, {"seed": -1}),
    (UpscalerSettings, {"threads": -1}), (UpscalerSettings, {"data": {"canvases": 0}}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "values"), WRONG, ids=str)
def test_numbers_that_cannot_work_are_refused(model, values):
    with pytest.raises(BadInputError, match="settings.yaml: "):
        validate(values, model, "settings.yaml")

"""Whole runs of the engine on a stand-in for a card."""

import pytest

from src.core.request import Request
from src.engine.generate import generate, plans_for, prepare
from src.engine.probe import probe
from tests.card_kit import OnCard
from tests.streams_kit import streams  # noqa: F401


@pytest.mark.parametrize("mode", ["baseline", "optimized"])
def test_a_clip(streams, tiny_folder, photograph, tmp_path, mode):
    with OnCard():
        request = Request(input_image=photograph, prompt="pan left", model=str(tiny_folder), seed=1,
                          num_inference_steps=3, mode=mode, device="cuda", output_path=tmp_path / "a.mp4")
        prepared, hardware = prepare(request), probe()
        plans = plans_for(prepared, hardware)
        print('PLANS', [(p.profile, p.session.offload, p.session.device, p.session.dtype, p.upscaler) for p in plans])
        made = generate(prepared, plans, hardware)
    print(made)

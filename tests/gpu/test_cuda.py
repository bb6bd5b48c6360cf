"""On a CUDA device: the same contracts that the CPU suite holds. Skipped, saying why, elsewhere."""

import numpy as np
import pytest
import torch

from src.core.progress import CancelToken, ignore
from src.core.request import Request
from src.engine.costs import Stopwatch
from src.engine.generate import plans_for, prepare
from src.engine.probe import probe
from src.engine.session import Session

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible"),
]


@pytest.mark.parametrize("offload", ["none", "text", "model", "group", "paged", "sequential"])
def test_the_loop_agrees_with_the_stock_pipeline(tiny_folder, photograph, offload):
    from src.media.images import fit_photograph

    frames = {}
    for mode in ("baseline", "optimized"):
        request = Request(
            input_image=photograph, prompt="pan left", model=str(tiny_folder), seed=1,
            num_inference_steps=3, guidance_scale=4.0, mode=mode,
            offload=offload if mode == "optimized" else "none",
        )  # fmt: skip
        prepared = prepare(request)
        plan = plans_for(prepared, probe())[0]
        assert plan.session.device == "cuda"
        pixels = fit_photograph(prepared.photograph.pixels, 64, 48, "cover")
        session = Session(plan.session, prepared.folder)
        frames[mode] = np.stack(list(session.run(plan, pixels, Stopwatch(), ignore, CancelToken())))
    assert np.abs(frames["baseline"].astype(int) - frames["optimized"]).max() <= 2

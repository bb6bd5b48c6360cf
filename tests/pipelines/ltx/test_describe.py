"""What configuration files say of a form of the model, and where its stock pipeline is refused."""

from pathlib import Path

import pytest

from src.core.errors import BadInputError
from src.core.hardware import Hardware
from src.core.request import Request
from src.engine.planner import choices
from src.pipelines.ltx.describe import describe

CPU = Hardware(device="cpu", name="CPU", memory=1 << 40, free_memory=1 << 40)
CARD = CPU.model_copy(update={"device": "cuda", "name": "card", "vendor": "nvidia", "bf16": True})


def described(vae=None, scheduler=None):
    files = {"transformer": {}, "vae": vae or {}, "scheduler": scheduler or {}}
    return describe(Path("models/tiny"), lambda path: files[path.parent.name])


def wanted(mode):
    return Request(input_image=Path("photograph.jpg"), prompt="pan left", mode=mode)


@pytest.mark.parametrize(
    ("files", "refused"),
    [
        ({}, ()),
        ({"vae": {"timestep_conditioning": True}}, (CARD,)),
        ({"scheduler": {"stochastic_sampling": True}}, (CPU, CARD)),
    ],
)
def test_the_stock_pipeline_is_refused_where_it_draws_without_the_seed(files, refused):
    spec = described(**files)
    for hardware in (CPU, CARD):
        if hardware in refused:
            with pytest.raises(BadInputError, match="seed.*; take mode optimized"):
                choices(wanted("baseline"), spec, hardware)
        else:
            assert choices(wanted("baseline"), spec, hardware)
        assert choices(wanted("optimized"), spec, hardware)


@pytest.mark.parametrize("switch", ["use_karras_sigmas", "use_beta_sigmas", "invert_sigmas"])
def test_noise_levels_that_are_not_known_are_refused(switch):
    with pytest.raises(ValueError, match=switch):
        described(scheduler={switch: True})

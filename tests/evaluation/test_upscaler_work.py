"""The work of configs/upscalers is what the networks compute, counted at full size."""

import pytest

from src.catalog.upscalers import load_upscalers
from src.evaluation.upscaler_work import COUNTED

LONG = {"star": pytest.mark.soak}
"""Three sizes of a large network: 43 s."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=LONG.get(name, ())) for name in COUNTED])
def test_the_catalog_says_what_is_counted(name):
    presets = load_upscalers()[name].presets
    assert COUNTED[name]() == {preset: spec.work for preset, spec in presets.items()}


def test_every_upscaler_of_the_catalog_is_counted():
    assert set(COUNTED) == set(load_upscalers())


def test_every_scale_of_every_preset_has_its_work():
    for spec in load_upscalers().values():
        for preset in spec.presets.values():
            assert set(preset.work) == set(preset.passes), spec.id
            assert min(preset.work.values()) > 0

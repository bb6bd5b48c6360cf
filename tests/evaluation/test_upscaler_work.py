"""The work of configs/upscalers is what the networks compute, counted at full size."""

from src.catalog.upscalers import load_upscalers
from src.evaluation.upscaler_work import counted


def test_the_catalog_says_what_is_counted():
    said = {spec.id: {name: preset.work for name, preset in spec.presets.items()}
            for spec in load_upscalers().values()}  # fmt: skip
    assert counted() == said


def test_every_scale_of_every_preset_has_its_work():
    for spec in load_upscalers().values():
        for preset in spec.presets.values():
            assert set(preset.work) == set(preset.passes), spec.id
            assert min(preset.work.values()) > 0

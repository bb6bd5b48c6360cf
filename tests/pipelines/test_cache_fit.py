"""Which steps a calibrated cache skips, from the calibration's numbers alone."""

import json

import pytest

from src.core.errors import BadInputError
from src.pipelines.cache_fit import FILE, CacheFit, read_fit, skipped_steps, text_of

TIMESTEPS = tuple(float(999 - 100 * step) for step in range(10))
PLAIN = (1.0,) * 10


def fit_of(magnitude=0.98, change=0.1, polynomial=(1.0, 0.0), **more):
    """Ten steps whose residuals shrink by one factor, and embeddings that move by equal amounts."""
    return CacheFit(
        base="b", scheduler="dpm", steps=10, num_frames=9, guidance_scale=1.0, timesteps=TIMESTEPS,
        magnitudes=(1.0,) + (magnitude,) * 9, changes=(0.0,) + (change,) * 9,
        polynomial=polynomial, usual={"magcache": 0.05, "teacache": 0.15}, **more,
    )  # fmt: skip


def test_magcache_skips_until_its_error_is_used_up():
    # after one step |1 - 0.98| = 0.02; after two 0.02 + 0.0396 = 0.0596; two steps are retained
    assert skipped_steps(fit_of(), "magcache", 0.05, TIMESTEPS, PLAIN) == (2, 4, 6, 8)
    assert skipped_steps(fit_of(), "magcache", 0.06, TIMESTEPS, PLAIN) == (2, 3, 5, 6, 8)
    assert skipped_steps(fit_of(), "magcache", 0.01, TIMESTEPS, PLAIN) == ()


def test_magcache_skips_three_in_a_row_at_most():
    assert skipped_steps(fit_of(), "magcache", 9, TIMESTEPS, PLAIN) == (2, 3, 4, 6, 7, 8)


def test_teacache_skips_while_the_sum_stays_below_the_threshold():
    assert skipped_steps(fit_of(), "teacache", 0.15, TIMESTEPS, PLAIN) == (1, 3, 5, 7)
    assert skipped_steps(fit_of(), "teacache", 0.25, TIMESTEPS, PLAIN) == (1, 2, 4, 5, 7, 8)
    doubled = fit_of(polynomial=(2.0, 0.0))
    assert skipped_steps(doubled, "teacache", 0.25, TIMESTEPS, PLAIN) == (1, 3, 5, 7)


def test_a_threshold_that_is_not_given_is_the_calibrations():
    for name, usual in fit_of().usual.items():
        given = skipped_steps(fit_of(), name, usual, TIMESTEPS, PLAIN)
        assert skipped_steps(fit_of(), name, 0.0, TIMESTEPS, PLAIN) == given


@pytest.mark.parametrize("name", ["magcache", "teacache"])
def test_first_and_last_steps_and_changes_of_guidance_are_computed(name):
    guidance = (6.0,) * 4 + (1.0,) * 6
    skipped = skipped_steps(fit_of(), name, 100.0, TIMESTEPS, guidance)
    assert skipped and not set(skipped) & {0, 4, 9}


def test_a_schedule_of_other_steps_is_told_by_the_calibrated_one():
    # twice the steps are half as long each: a residual shrinks by the root of 0.98
    fine = tuple(float(999 - 50 * step) for step in range(19))
    every = skipped_steps(fit_of(), "magcache", 0.05, fine, (1.0,) * 19)
    # |1 - 0.98 ** 0.5| = 0.01, then 0.03, then 0.06: two of three
    assert every == (4, 5, 7, 8, 10, 11, 13, 14, 16, 17)
    assert skipped_steps(fit_of(), "teacache", 0.149, fine, (1.0,) * 19) == tuple(
        step for step in range(1, 18) if step % 3
    )


def test_a_finer_schedule_moves_as_far_by_any_polynomial():
    """A tenth of a step moves a tenth as far, though no so small change was fitted on."""
    fine, bent = tuple(999.0 - 10 * step for step in range(91)), fit_of(polynomial=(10.0, 0.0, 0.0))
    # 10 * 0.1^2 = 0.1 a calibrated step, 0.01 a tenth of it: the sum reaches 0.155 at the 16th
    skipped = skipped_steps(bent, "teacache", 0.155, fine, (1.0,) * 91)
    assert set(range(91)) - set(skipped) == {0, 16, 32, 48, 64, 80, 90}


def test_a_coarser_schedule_takes_the_product_of_what_it_leaps_over():
    uneven = fit_of().model_copy(update={"magnitudes": (1.0,) + (0.9, 0.8) * 4 + (0.9,)})
    # steps of 200: |1 - 0.9 * 0.8| = 0.28
    coarse = TIMESTEPS[::2]
    assert skipped_steps(uneven, "magcache", 0.2801, coarse, (1.0,) * 5) == (1, 3)
    assert skipped_steps(uneven, "magcache", 0.2799, coarse, (1.0,) * 5) == ()


def test_a_calibration_is_read_back_and_belongs_to_its_weights(tmp_path):
    (tmp_path / FILE).write_text(text_of(fit_of()))
    assert read_fit(tmp_path, "b", "magcache") == fit_of()
    with pytest.raises(BadInputError, match=r"other weights; run python -m src\.evaluation\.calib"):
        read_fit(tmp_path, "c", "magcache")


def test_a_missing_or_damaged_calibration_is_one_sentence(tmp_path):
    with pytest.raises(BadInputError, match="--cache teacache needs a calibration"):
        read_fit(tmp_path, "b", "teacache")
    (tmp_path / FILE).mkdir()
    with pytest.raises(BadInputError, match="cannot be read: Is a directory; run python -m src"):
        read_fit(tmp_path, "b", "teacache")


@pytest.mark.parametrize(
    "damage",
    [{"magnitudes": (1.0,)}, {"changes": (0.1,) * 11}, {"polynomial": ()}, {"steps": 9},
     {"timesteps": TIMESTEPS[::-1]}, {"timesteps": (999.0,) * 10}, {"usual": {"magcache": 0}},
     {"magnitudes": (1.0,) + (-0.9,) * 9}, {"usual": {"teacache": "NaN"}}],
)  # fmt: skip
def test_numbers_that_fit_no_schedule_are_no_calibration(tmp_path, damage):
    damaged = fit_of().model_dump(mode="json") | damage
    (tmp_path / FILE).write_text(json.dumps(damaged))
    with pytest.raises(BadInputError, match=r"is no calibration of step caches; run python"):
        read_fit(tmp_path, "b", "teacache")


def test_a_calibration_without_a_usual_threshold_is_refused(tmp_path):
    (tmp_path / FILE).write_text(text_of(fit_of().model_copy(update={"usual": {"magcache": 1.0}})))
    with pytest.raises(BadInputError, match="has no usual threshold of teacache; run python"):
        read_fit(tmp_path, "b", "teacache")


@pytest.mark.parametrize("count", [3, 7, 10, 50, 1000])
@pytest.mark.parametrize("name", ["magcache", "teacache"])
def test_any_number_of_steps_is_planned(name, count):
    timesteps = tuple(999 - 999 * step / count for step in range(count))
    skipped = skipped_steps(fit_of(), name, 0.05, timesteps, (1.0,) * count)
    assert list(skipped) == sorted(set(skipped)) and not set(skipped) & {0, count - 1}

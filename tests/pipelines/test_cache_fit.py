"""Which steps a calibrated cache skips, from the calibration's numbers alone."""

import pytest

from src.core.errors import BadInputError
from src.pipelines.cache_fit import FILE, CacheFit, read_fit, skipped_steps, text_of

TIMESTEPS = tuple(float(999 - 100 * step) for step in range(10))
PLAIN = (1.0,) * 10


def fit_of(magnitude=0.98, change=0.1, polynomial=(1.0, 0.0), **more):
    """Ten steps whose residuals shrink by one factor, and embeddings that move by equal amounts."""
    return CacheFit(
        base="b", scheduler="dpm", steps=10, num_frames=9, guidance_scale=1.0, timesteps=TIMESTEPS,
        magnitudes=(1.0,) + (magnitude,) * 9,
        changes=tuple(tuple(change * abs(i - j) for j in range(10)) for i in range(10)),
        polynomial=polynomial, reach=(0.0, 1.0), usual={"magcache": 0.05, "teacache": 0.15}, **more,
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


def test_the_polynomial_is_not_asked_beyond_what_it_was_fitted_on():
    steep = fit_of(polynomial=(100.0, 0.0, 0.0)).model_copy(update={"reach": (0.0, 0.05)})
    # 100 * 0.05^2 = 0.25 a step, not 100 * 0.1^2 = 1
    assert skipped_steps(steep, "teacache", 0.3, TIMESTEPS, PLAIN) == (1, 3, 5, 7)


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
    assert skipped_steps(fit_of(), "teacache", 0.15, fine, (1.0,) * 19) == tuple(
        step for step in range(1, 18) if step % 3
    )


def test_a_calibration_is_read_back_and_belongs_to_its_weights(tmp_path):
    (tmp_path / FILE).write_text(text_of(fit_of()))
    assert read_fit(tmp_path, "b", "magcache") == fit_of()
    with pytest.raises(BadInputError, match=r"other weights; run python -m src\.evaluation\.calib"):
        read_fit(tmp_path, "c", "magcache")


def test_a_missing_or_damaged_calibration_is_one_sentence(tmp_path):
    with pytest.raises(BadInputError, match="--cache teacache needs a calibration"):
        read_fit(tmp_path, "b", "teacache")
    (tmp_path / FILE).write_text("{")
    with pytest.raises(BadInputError, match="is no calibration"):
        read_fit(tmp_path, "b", "teacache")

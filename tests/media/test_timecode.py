"""Timecode goes on counting where a part is cut out; SMPTE's own numbers for drop-frame."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.media.timecode import moved_timecode

NTSC, FAST = Fraction(30000, 1001), Fraction(60000, 1001)


@pytest.mark.parametrize(("code", "rate", "frames", "wanted"), [
    ("10:00:00:00", Fraction(25), 13, "10:00:00:13"),
    ("10:00:59:24", Fraction(25), 1, "10:01:00:00"),
    ("23:59:59:24", Fraction(25), 1, "00:00:00:00"),
    ("00:00:59;29", NTSC, 1, "00:01:00;02"),
    ("00:09:59;29", NTSC, 1, "00:10:00;00"),
    ("00:00:59;59", FAST, 1, "00:01:00;04"),
    ("00:00:59:29", NTSC, 1, "00:01:00:00"),
    ("23:59:59;29", NTSC, 1, "00:00:00;00"),
    ("", Fraction(25), 3, ""),
    ("tomorrow", Fraction(25), 3, "tomorrow"),
])  # fmt: skip
def test_the_next_frames_have_the_next_numbers(code, rate, frames, wanted):
    assert moved_timecode(code, rate, float(frames / rate)) == wanted


def test_a_picture_for_each_field_counts_twice_as_fast():
    assert moved_timecode("10:00:00:12", Fraction(25), 0.0, 2) == "10:00:00:24"
    assert moved_timecode("00:01:00;02", NTSC, 0.0, 2) == "00:01:00;04"


def test_a_part_that_begins_between_two_frames_begins_with_the_second():
    assert moved_timecode("10:00:00:00", Fraction(25), 0.5) == "10:00:00:13"


@given(st.sampled_from([Fraction(25), NTSC, FAST, Fraction(24)]), st.integers(0, 10**6),
       st.integers(0, 10**6), st.sampled_from(":;"))  # fmt: skip
def test_two_moves_are_one(rate, first, second, mark):
    code = f"01:00:00{mark}00"
    after = moved_timecode(
        moved_timecode(code, rate, float(first / rate)), rate, float(second / rate)
    )
    assert after == moved_timecode(code, rate, float((first + second) / rate))

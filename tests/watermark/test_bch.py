"""The code: known values, every number of wrong bits that it mends, and what noise it stands."""

import numpy as np
import pytest

from src.watermark.bch import CORRECTS, DATA, LENGTH, encode, generator, nearest_code_word
from src.watermark.message import crc16, id_for, id_of, id_text, word_of
from src.watermark.soft import candidates

RANDOM = np.random.default_rng(0)


def word():
    return encode(RANDOM.integers(0, 2, DATA, dtype=np.uint8))


def test_the_generator_is_that_of_lin_and_costello():
    """Error Control Coding, appendix C: (127, 64), t = 10."""
    assert oct(generator()) == "0o1206534025570773100045"


def test_crc_is_that_of_the_catalogue():
    assert crc16(b"123456789") == 0x29B1


def test_code_words_begin_with_the_data_and_differ_in_21_bits_or_more():
    data = RANDOM.integers(0, 2, DATA, dtype=np.uint8)
    assert (encode(data)[:DATA] == data).all()
    words = [word() for _ in range(60)]
    assert min((a ^ b).sum() for i, a in enumerate(words) for b in words[:i]) > 2 * CORRECTS


def test_every_single_and_double_error_is_mended():
    right = word()
    for first in range(LENGTH):
        for second in range(first, LENGTH):
            wrong = right.copy()
            wrong[[first, second]] ^= 1
            assert (nearest_code_word(wrong) == right).all()


@pytest.mark.parametrize("errors", range(CORRECTS + 1))
def test_any_ten_wrong_bits_are_mended(errors):
    for _ in range(200):
        right = word()
        wrong = right.copy()
        wrong[RANDOM.choice(LENGTH, errors, replace=False)] ^= 1
        assert (nearest_code_word(wrong) == right).all()


def test_beyond_that_it_says_so_or_names_a_code_word():
    right = word()
    for _ in range(100):
        wrong = right.copy()
        wrong[RANDOM.choice(LENGTH, 14, replace=False)] ^= 1
        found = nearest_code_word(wrong)
        assert found is None or (encode(found[:DATA]) == found).all()


def test_soft_decoding_mends_what_the_algebra_does_not():
    """At a signal of 1.5 deviations a bit, 7 % of the bits are wrong, often more than ten."""
    soft_read = hard_read = 0
    for _ in range(60):
        number = int(RANDOM.integers(0, 1 << 48))
        right = word_of(number)
        noisy = (right * 2.0 - 1) * 1.5 + RANDOM.normal(size=LENGTH)
        hard = nearest_code_word((noisy > 0).astype(np.uint8))
        hard_read += hard is not None and bool((hard == right).all())
        soft_read += any(id_of(each) == number for each in candidates(noisy, 4))
    assert soft_read == 60 > hard_read


def test_ids_are_checked():
    number = id_for(b"key", "digest")
    assert id_of(word_of(number)) == number and len(id_text(number)) == 12
    assert id_for(b"key", "other") != number != id_for(b"other", "digest")
    wrong = encode(np.concatenate([1 - word_of(number)[:1], word_of(number)[1:DATA]]))
    assert id_of(wrong) is None

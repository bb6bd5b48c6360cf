"""The code BCH(127, 64) over GF(2^7): 64 bits become 127, of which any 10 may be wrong. Pure.

Lin and Costello, Error Control Coding, chapter 6: narrow sense, primitive polynomial x^7 + x^3 + 1.
Bits are arrays of 0 and 1, the coefficient of the highest power first.
"""

from functools import cache

import numpy as np

LENGTH, DATA, CORRECTS = 127, 64, 10
PRIMITIVE = 0b10001001


@cache
def _tables() -> tuple[list[int], list[int]]:
    """Powers of alpha (twice round, so that sums of two logarithms need no modulus), logarithms."""
    powers, logs, value = [0] * (2 * LENGTH), [0] * (LENGTH + 1), 1
    for exponent in range(LENGTH):
        powers[exponent] = powers[exponent + LENGTH] = value
        logs[value] = exponent
        value <<= 1
        value ^= PRIMITIVE if value > LENGTH else 0
    return powers, logs


def _times(a: int, b: int) -> int:
    powers, logs = _tables()
    return powers[logs[a] + logs[b]] if a and b else 0


@cache
def generator() -> int:
    """The generator polynomial, a bit a coefficient: the product of the minimal polynomials of
    alpha to alpha^20.
    """
    product, done = 1, set()
    for exponent in range(1, 2 * CORRECTS + 1):
        roots = {exponent * 2**power % LENGTH for power in range(7)}
        if exponent not in done:
            product = _carryless(product, _minimal(roots))
        done |= roots
    return product


def _minimal(roots: set[int]) -> int:
    """The polynomial over GF(2) with these powers of alpha as roots."""
    powers, polynomial = _tables()[0], [1]
    for root in roots:
        shifted = [0, *polynomial]
        scaled = [*(_times(each, powers[root]) for each in polynomial), 0]
        polynomial = [a ^ b for a, b in zip(shifted, scaled, strict=True)]
    return sum(bit << power for power, bit in enumerate(polynomial))


def _carryless(a: int, b: int) -> int:
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a, b = a << 1, b >> 1
    return product


def encode(data: np.ndarray) -> np.ndarray:
    """The 127 bits whose first 64 are `data`."""
    rest = int("".join(map(str, data.tolist())), 2) << (LENGTH - DATA)
    word = rest
    while (over := rest.bit_length() - generator().bit_length()) >= 0:
        rest ^= generator() << over
    return np.array(list(f"{word | rest:0{LENGTH}b}"), np.uint8)


@cache
def matrix() -> np.ndarray:
    """(64, 127) uint8: the code words of the single bits of the data."""
    return np.stack([encode(row) for row in np.eye(DATA, dtype=np.uint8)])


def nearest_code_word(word: np.ndarray) -> np.ndarray | None:
    """The code word within 10 wrong bits of `word`, or None where there is none."""
    syndromes = _syndromes(word)
    if not any(syndromes):
        return word.copy()
    locator = _locator(syndromes)
    wrong = _roots(locator)
    if len(locator) - 1 > CORRECTS or len(wrong) != len(locator) - 1:
        return None
    mended = word.copy()
    mended[wrong] ^= 1
    return mended


def _syndromes(word: np.ndarray) -> list[int]:
    powers = np.array(_tables()[0][:LENGTH])
    exponents = LENGTH - 1 - np.flatnonzero(word)
    wanted = range(1, 2 * CORRECTS + 1)
    return [int(np.bitwise_xor.reduce(powers[exponents * j % LENGTH])) for j in wanted]


def _locator(syndromes: list[int]) -> list[int]:
    """Berlekamp and Massey's: the shortest polynomial that makes the syndromes, lowest power
    first.
    """
    current, before, length, gap, last = [1], [1], 0, 1, 1
    for step, syndrome in enumerate(syndromes):
        differs = syndrome
        for power in range(1, min(length, len(current) - 1) + 1):
            differs ^= _times(current[power], syndromes[step - power])
        if not differs:
            gap += 1
            continue
        following = _less(current, _quotient(differs, last), before, gap)
        if 2 * length <= step:
            length, before, last, gap = step + 1 - length, current, differs, 0
        current, gap = following, gap + 1
    while len(current) > 1 and not current[-1]:
        current.pop()
    return current


def _less(a: list[int], factor: int, b: list[int], shift: int) -> list[int]:
    """a - factor x^shift b."""
    made = a + [0] * max(0, len(b) + shift - len(a))
    for power, each in enumerate(b):
        made[power + shift] ^= _times(factor, each)
    return made


def _quotient(a: int, b: int) -> int:
    powers, logs = _tables()
    return powers[logs[a] + LENGTH - logs[b]]


def _roots(locator: list[int]) -> np.ndarray:
    """Which bits it names: those whose power's inverse is a root."""
    powers, logs = np.array(_tables()[0]), _tables()[1]
    places, total = np.arange(LENGTH), np.zeros(LENGTH, int)
    for power, each in enumerate(locator):
        if each:
            total ^= powers[(logs[each] + power * (LENGTH - places)) % LENGTH]
    return LENGTH - 1 - places[total == 0]

"""Soft decoding: the code words that fit a noisy reading best, by ordered statistics. Pure.

Fossorier and Lin, Soft-decision decoding of linear block codes based on ordered statistics (1995).
"""

from functools import cache

import numpy as np

from src.watermark.bch import DATA, LENGTH, matrix, nearest_code_word

ORDER_TWO = 40
"""Pairs are tried among this many of the least reliable bits of the basis."""


def candidates(soft: np.ndarray, most: int) -> np.ndarray:
    """(up to most, 127) code words, best first. soft: (127,) each bit's correlation, above 0 for
    a 1; its size is how sure it is.

    The word that the algebraic decoder finds is among them: 10 wrong bits are mended wherever.
    """
    hard = (soft > 0).astype(np.uint8)
    order, basis = _reliable_basis(np.argsort(-np.abs(soft), kind="stable"))
    first = hard[order[:DATA]] @ basis % 2
    tried = np.concatenate([first[None], first ^ _flips(basis)])
    signed = np.where(soft[order] > 0, 1.0, -1.0) * np.abs(soft[order])
    fits = tried @ signed
    best = tried[np.argsort(-fits, kind="stable")[:most]]
    words = np.empty_like(best)
    words[:, order] = best
    mended = nearest_code_word(hard)
    return words if mended is None else np.concatenate([mended[None], words])[:most]


def _reliable_basis(order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of the bits with 64 independent reliable ones first, and the generator matrix in
    that order, systematic in them.
    """
    rows, pivots = matrix()[:, order].copy(), []
    for column in range(LENGTH):
        row = len(pivots)
        found = np.flatnonzero(rows[row:, column])
        if len(found):
            rows[[row, row + found[0]]] = rows[[row + found[0], row]]
            others = rows[:, column].copy()
            others[row] = 0
            rows ^= np.outer(others, rows[row])
            pivots.append(column)
        if len(pivots) == DATA:
            break
    rest = np.setdiff1d(np.arange(LENGTH), pivots)
    turned = np.concatenate([np.array(pivots), rest])
    return order[turned], rows[:, turned]


@cache
def _pairs() -> tuple[np.ndarray, np.ndarray]:
    one, two = np.triu_indices(ORDER_TWO, 1)
    return one + DATA - ORDER_TWO, two + DATA - ORDER_TWO


def _flips(basis: np.ndarray) -> np.ndarray:
    one, two = _pairs()
    return np.concatenate([basis, basis[one] ^ basis[two]])

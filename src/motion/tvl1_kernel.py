"""The compiled inner loops of Dual TV-L1, for one pyramid level of one pair of frames.

One sweep over the rows does a whole iteration: row y of the flow is updated from the dual field of
the iteration before, then row y - 1 of the dual field from the flow rows y - 1 and y, while both
are in cache.
The loops run without the interpreter lock and start no threads of their own: pairs of frames are
independent, so the caller keeps all cores busy with one pair a thread, and no threading layer has
to be shared or locked.
"""

import os
import tempfile
from pathlib import Path

import numpy as np


def _writable_cache() -> None:
    """Point numba's cache at a temporary folder where the package's own folder is read-only."""
    beside = Path(__file__).parent / "__pycache__"
    place = beside if beside.exists() else beside.parent
    if "NUMBA_CACHE_DIR" not in os.environ and not os.access(place, os.W_OK):
        os.environ["NUMBA_CACHE_DIR"] = str(
            Path(tempfile.gettempdir()) / f"newsreel-numba-{os.getuid()}"
        )


_writable_cache()

from numba import njit  # noqa: E402  the cache folder is read when numba is imported

_compiled = njit(cache=True, nogil=True, fastmath=True, error_model="numpy", boundscheck=False)
_A = np.float32(-0.75)  # the bicubic constant of OpenCV's INTER_CUBIC
_1, _2, _3 = np.uint32(1), np.uint32(2), np.uint32(3)  # unsigned: no check for negative indices


@_compiled
def _cubic(t):
    """The four bicubic weights for the fraction t in [0, 1)."""
    one = np.float32(1)
    s = t + one
    r = one - t
    w0 = ((_A * s - np.float32(5) * _A) * s + np.float32(8) * _A) * s - np.float32(4) * _A
    w1 = ((_A + np.float32(2)) * t - (_A + np.float32(3))) * t * t + one
    w2 = ((_A + np.float32(2)) * r - (_A + np.float32(3))) * r * r + one
    return w0, w1, w2, one - w0 - w1 - w2


@_compiled
def _sample_anywhere(image, fy, fx):
    """The three channels of image (H, W, 3) at the position (fy, fx), bicubic, with zeros outside
    the picture.
    """
    H, W = image.shape[:2]
    y, x = int(np.floor(fy)), int(np.floor(fx))
    wy, wx = _cubic(fy - np.float32(y)), _cubic(fx - np.float32(x))
    value = gx = gy = np.float32(0)
    for j in range(4):
        for i in range(4):
            if 0 <= y - 1 + j < H and 0 <= x - 1 + i < W:
                w = wy[j] * wx[i]
                value += w * image[y - 1 + j, x - 1 + i, 0]
                gx += w * image[y - 1 + j, x - 1 + i, 1]
                gy += w * image[y - 1 + j, x - 1 + i, 2]
    return value, gx, gy


@_compiled
def _place_row(y, u1, u2, at, w):
    """Where row y comes from. Fills at (W) with the flat index of the pixel before each position,
    and w (8, W) with the bicubic weights along x, then y. Positions whose six neighbours a
    direction are not all in the picture are moved until they are; returns how many.
    """
    H, W = u1.shape
    moved = 0
    for x in range(W):
        fy, fx = np.float32(y) + u2[y, x], np.float32(x) + u1[y, x]
        below, before = np.floor(fy), np.floor(fx)
        w[0, x], w[1, x], w[2, x], w[3, x] = _cubic(fx - before)
        w[4, x], w[5, x], w[6, x], w[7, x] = _cubic(fy - below)
        row = min(max(below, np.float32(2)), np.float32(H - 4))
        column = min(max(before, np.float32(2)), np.float32(W - 4))
        moved += (row != below) | (column != before)
        at[x] = np.int32(row) * np.int32(W) + np.int32(column)
    return moved


@_compiled
def _along(flat, i, w0, w1, w2, w3):
    """Bicubic value along the row; i is the second of the four neighbours."""
    return w0 * flat[i - _1] + w1 * flat[i] + w2 * flat[i + _1] + w3 * flat[i + _2]


@_compiled
def _along_and_slope(flat, i, w0, w1, w2, w3):
    """The same, and the bicubic value of the differences across two pixels."""
    a, b, c = flat[i - _2], flat[i - _1], flat[i]
    d, e, f = flat[i + _1], flat[i + _2], flat[i + _3]
    slope = w0 * (c - a) + w1 * (d - b) + w2 * (e - c) + w3 * (f - d)
    return w0 * b + w1 * c + w2 * d + w3 * e, slope


@_compiled
def _sample_row(y, flat, at, w, value, Ix, Iy):
    """The picture and its centred differences at the positions of row y. A bicubic value of
    differences is the difference of bicubic values, so the picture alone is read.
    """
    W = Ix.shape[1]
    line, half = np.uint32(W), np.float32(0.5)
    for x in range(W):
        w0, w1, w2, w3 = w[0, x], w[1, x], w[2, x], w[3, x]
        v0, v1, v2, v3 = w[4, x], w[5, x], w[6, x], w[7, x]
        i = np.uint32(at[x])
        above = _along(flat, i - line - line, w0, w1, w2, w3)
        r0, s0 = _along_and_slope(flat, i - line, w0, w1, w2, w3)
        r1, s1 = _along_and_slope(flat, i, w0, w1, w2, w3)
        r2, s2 = _along_and_slope(flat, i + line, w0, w1, w2, w3)
        r3, s3 = _along_and_slope(flat, i + line + line, w0, w1, w2, w3)
        under = _along(flat, i + line + line + line, w0, w1, w2, w3)
        value[x] = v0 * r0 + v1 * r1 + v2 * r2 + v3 * r3
        Ix[y, x] = half * (v0 * s0 + v1 * s1 + v2 * s2 + v3 * s3)
        Iy[y, x] = half * (v0 * (r1 - above) + v1 * (r2 - r0) + v2 * (r3 - r1) + v3 * (under - r2))


@_compiled
def _sample_edges(y, graded, u1, u2, value, Ix, Iy):
    """What `_place_row` moved, where it is."""
    H, W = u1.shape
    two = np.float32(2)
    for x in range(W):
        fy, fx = np.float32(y) + u2[y, x], np.float32(x) + u1[y, x]
        if not (two <= fy < np.float32(H - 3) and two <= fx < np.float32(W - 3)):
            value[x], Ix[y, x], Iy[y, x] = _sample_anywhere(graded, fy, fx)


@_compiled
def _linearise(I0, I1, graded, u1, u2, Ix, Iy, inverse, rho):
    """Warp I1 and its gradient by u and linearise the brightness constancy around it.

    Fills Ix, Iy (warped gradient), inverse (1 / |gradient|^2) and rho (the constant part of the
    residual). graded (H, W, 3): I1, its x and its y derivative.
    """
    H, W = I0.shape
    flat = I1.reshape(H * W)
    at, w, value = np.empty(W, np.int32), np.empty((8, W), np.float32), np.empty(W, np.float32)
    for y in range(H):
        moved = _place_row(y, u1, u2, at, w)
        _sample_row(y, flat, at, w, value, Ix, Iy)
        if moved:
            _sample_edges(y, graded, u1, u2, value, Ix, Iy)
        for x in range(W):
            gx, gy = Ix[y, x], Iy[y, x]
            inverse[y, x] = np.float32(1) / max(gx * gx + gy * gy, np.float32(1e-7))
            rho[y, x] = value[x] - gx * u1[y, x] - gy * u2[y, x] - I0[y, x]


@_compiled
def _flow_row(y, u1, u2, Ix, Iy, inverse, rho, p, l_t, theta):
    """Thresholding step and flow update of row y; returns its sum |du|^2."""
    change = np.float32(0)
    for x in range(u1.shape[1]):
        residual = rho[y, x] + Ix[y, x] * u1[y, x] + Iy[y, x] * u2[y, x]
        step = min(max(-residual * inverse[y, x], -l_t), l_t)
        div1 = p[0, y + 1, x + 1] - p[0, y + 1, x] + p[1, y + 1, x] - p[1, y, x]
        div2 = p[2, y + 1, x + 1] - p[2, y + 1, x] + p[3, y + 1, x] - p[3, y, x]
        d1 = step * Ix[y, x] + theta * div1
        d2 = step * Iy[y, x] + theta * div2
        u1[y, x] += d1
        u2[y, x] += d2
        change += d1 * d1 + d2 * d2
    return change


@_compiled
def _dual_row(y, below, u1, u2, p, taut):
    """Dual update of row y from forward differences; the last column's x difference is zero."""
    one = np.float32(1)
    last = u1.shape[1] - 1
    row = y + 1
    for x in range(last):
        u1x = u1[y, x + 1] - u1[y, x]
        u1y = u1[below, x] - u1[y, x]
        u2x = u2[y, x + 1] - u2[y, x]
        u2y = u2[below, x] - u2[y, x]
        n1 = one + taut * np.sqrt(u1x * u1x + u1y * u1y)
        n2 = one + taut * np.sqrt(u2x * u2x + u2y * u2y)
        shared = one / (n1 * n2)  # one division instead of two
        p[0, row, x + 1] = (p[0, row, x + 1] + taut * u1x) * (shared * n2)
        p[1, row, x] = (p[1, row, x] + taut * u1y) * (shared * n2)
        p[2, row, x + 1] = (p[2, row, x + 1] + taut * u2x) * (shared * n1)
        p[3, row, x] = (p[3, row, x] + taut * u2y) * (shared * n1)
    u1y = u1[below, last] - u1[y, last]
    u2y = u2[below, last] - u2[y, last]
    p[1, row, last] = (p[1, row, last] + taut * u1y) / (one + taut * abs(u1y))
    p[3, row, last] = (p[3, row, last] + taut * u2y) / (one + taut * abs(u2y))


@_compiled
def _iterate(u1, u2, Ix, Iy, inverse, rho, p, l_t, theta, taut):
    """One fused iteration over all rows; returns sum |du|^2. p is (4, H + 1, W + 1), its margins
    zero.
    """
    H = u1.shape[0]
    change = np.float32(0)
    for y in range(H):
        change += _flow_row(y, u1, u2, Ix, Iy, inverse, rho, p, l_t, theta)
        if y > 0:
            _dual_row(y - 1, y, u1, u2, p, taut)
    _dual_row(H - 1, H - 1, u1, u2, p, taut)
    return change


@_compiled
def _with_gradient(image):
    """(H, W) -> (H, W, 3): the picture and its centred differences, the border pixel repeated."""
    H, W = image.shape
    out = np.empty((H, W, 3), np.float32)
    half = np.float32(0.5)
    for y in range(H):
        for x in range(W):
            out[y, x, 0] = image[y, x]
            out[y, x, 1] = half * (image[y, min(x + 1, W - 1)] - image[y, max(x - 1, 0)])
            out[y, x, 2] = half * (image[min(y + 1, H - 1), x] - image[max(y - 1, 0), x])
    return out


@_compiled
def solve_level(I0, I1, u1, u2, l_t, theta, taut, warps, iterations, threshold):
    """Refine u1, u2 (H, W) float32 in place for one pyramid level; returns the number of iterations
    run.

    I0, I1: (H, W) float32 in [0, 255]. An inner loop stops when sum |du|^2 <= threshold. The dual
    field starts at zero and is kept from warp to warp, as OpenCV does.
    """
    H, W = I0.shape
    graded = _with_gradient(I1)
    Ix, Iy = np.empty_like(I0), np.empty_like(I0)
    inverse, rho = np.empty_like(I0), np.empty_like(I0)
    p = np.zeros((4, H + 1, W + 1), np.float32)
    total = 0
    for _ in range(warps):
        _linearise(I0, I1, graded, u1, u2, Ix, Iy, inverse, rho)
        for _ in range(iterations):
            total += 1
            if _iterate(u1, u2, Ix, Iy, inverse, rho, p, l_t, theta, taut) <= threshold:
                break
    return total

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
def _sample_row(image, y, x, w, c):
    """Four neighbours of channel c in row y, weighted; x is the second of them."""
    return (
        w[0] * image[y, x - 1, c]
        + w[1] * image[y, x, c]
        + w[2] * image[y, x + 1, c]
        + w[3] * image[y, x + 2, c]
    )


@_compiled
def _sample_inside(image, y, x, wy, wx, c):
    """Bicubic value of channel c where all sixteen neighbours are inside the picture."""
    return (
        wy[0] * _sample_row(image, y - 1, x, wx, c)
        + wy[1] * _sample_row(image, y, x, wx, c)
        + wy[2] * _sample_row(image, y + 1, x, wx, c)
        + wy[3] * _sample_row(image, y + 2, x, wx, c)
    )


@_compiled
def _sample_border(image, y, x, wy, wx, c):
    """The same with zeros outside the picture."""
    H, W = image.shape[:2]
    total = np.float32(0)
    for j in range(4):
        for i in range(4):
            if 0 <= y - 1 + j < H and 0 <= x - 1 + i < W:
                total += wy[j] * wx[i] * image[y - 1 + j, x - 1 + i, c]
    return total


@_compiled
def _sample(image, fy, fx):
    """The three channels of image (H, W, 3) at the position (fy, fx),
    bicubic with a zero border.
    """
    y, x = int(np.floor(fy)), int(np.floor(fx))
    wy, wx = _cubic(fy - np.float32(y)), _cubic(fx - np.float32(x))
    if 1 <= y < image.shape[0] - 2 and 1 <= x < image.shape[1] - 2:
        return (
            _sample_inside(image, y, x, wy, wx, 0),
            _sample_inside(image, y, x, wy, wx, 1),
            _sample_inside(image, y, x, wy, wx, 2),
        )
    return (
        _sample_border(image, y, x, wy, wx, 0),
        _sample_border(image, y, x, wy, wx, 1),
        _sample_border(image, y, x, wy, wx, 2),
    )


@_compiled
def _linearise(I0, I1, u1, u2, Ix, Iy, inverse, rho):
    """Warp I1 and its gradient by u and linearise the brightness constancy around it.

    Fills Ix, Iy (warped gradient), inverse (1 / |gradient|^2) and rho (the constant part of the
    residual).
    I1 carries three values a pixel: the picture, its x and its y derivative, shape (H, W, 3).
    """
    H, W = I0.shape
    for y in range(H):
        for x in range(W):
            value, gx, gy = _sample(I1, np.float32(y) + u2[y, x], np.float32(x) + u1[y, x])
            Ix[y, x] = gx
            Iy[y, x] = gy
            inverse[y, x] = np.float32(1) / max(gx * gx + gy * gy, np.float32(1e-7))
            rho[y, x] = value - gx * u1[y, x] - gy * u2[y, x] - I0[y, x]


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
        _linearise(I0, graded, u1, u2, Ix, Iy, inverse, rho)
        for _ in range(iterations):
            total += 1
            if _iterate(u1, u2, Ix, Iy, inverse, rho, p, l_t, theta, taut) <= threshold:
                break
    return total

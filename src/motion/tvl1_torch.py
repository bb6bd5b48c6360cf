"""Dual TV-L1 as batched tensors, for CUDA: all pairs advance together, finished ones are masked.

The symbols are those of Zach et al.: u the flow, p the dual field, rho the linearised residual.
Tensors are (N, H, W) for pictures and (N, 2, H, W) for u; p is (N, 2, 2, H, W): flow component,
derivative direction.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from loguru import logger

from src.core.errors import BadInputError
from src.core.toolchain import missing_for_compiling
from src.motion.tvl1_params import TVL1Params, check_pairs, level_sizes


def _resize_axis(x: torch.Tensor, size: int, scale: float, dim: int) -> torch.Tensor:
    """Half-pixel bilinear resampling of one axis; `scale` is input pixels an output pixel, ends
    repeated.
    """
    at = (torch.arange(size, device=x.device, dtype=x.dtype) + 0.5) * scale - 0.5
    at = at.clamp(0, x.shape[dim] - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=x.shape[dim] - 1)
    weight = (at - low).reshape([-1 if d == dim % x.ndim else 1 for d in range(x.ndim)])
    return torch.lerp(x.index_select(dim, low), x.index_select(dim, high), weight)


def _resize(x: torch.Tensor, size: tuple[int, int], scales: tuple[float, float]) -> torch.Tensor:
    """The last two axes of x to `size`; see _resize_axis."""
    return _resize_axis(_resize_axis(x, size[0], scales[0], -2), size[1], scales[1], -1)


def _with_gradient(image: torch.Tensor) -> torch.Tensor:
    """(N, H, W) -> (N, 3, H, W): the picture and its centred differences, the border pixel
    repeated.
    """
    padded = F.pad(image[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    dx = 0.5 * (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2])
    dy = 0.5 * (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1])
    return torch.stack([image, dx, dy], dim=1)


def _sample(image: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """image (N, C, H, W) at x + u, bicubic (a = -0.75) with a zero border."""
    H, W = image.shape[-2:]
    rows, columns = (torch.arange(side, device=u.device, dtype=u.dtype) for side in (H, W))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    grid = torch.stack(
        [(x + u[:, 0]) * (2 / (W - 1)) - 1, (y + u[:, 1]) * (2 / (H - 1)) - 1], dim=-1
    )
    return F.grid_sample(image, grid, mode="bicubic", padding_mode="zeros", align_corners=True)


def _forward(u: torch.Tensor) -> torch.Tensor:
    """Forward differences (N, 2, 2, H, W) of u, zero in the last column (x) and row (y)."""
    dx = F.pad(u[..., 1:] - u[..., :-1], (0, 1))
    dy = F.pad(u[..., 1:, :] - u[..., :-1, :], (0, 0, 0, 1))
    return torch.stack([dx, dy], dim=2)


def _divergence(p: torch.Tensor) -> torch.Tensor:
    """Backward differences of p, zero outside: the negative adjoint of _forward."""
    dx = p[:, :, 0] - F.pad(p[:, :, 0, :, :-1], (1, 0))
    dy = p[:, :, 1] - F.pad(p[:, :, 1, :-1], (0, 0, 1, 0))
    return dx + dy


def _iterate(u, p, gradient, inverse, rho, active, l_t: float, theta: float, taut: float):
    """One iteration of all active pairs; returns u, p and sum |du|^2 a pair (N,)."""
    residual = rho + (gradient * u).sum(1)
    step = (-residual * inverse).clamp(-l_t, l_t)
    du = (step[:, None] * gradient + theta * _divergence(p)) * active[:, None, None, None]
    u = u + du
    Du = _forward(u)
    norm = 1 + taut * Du.square().sum(2, keepdim=True).sqrt()
    p = torch.where(active[:, None, None, None, None], (p + taut * Du) / norm, p)
    return u, p, du.square().sum((1, 2, 3))


def _or_eager(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled iteration; where compiling fails, the plain one from then on, which gives the
    same flow.
    """
    chosen = [compiled]

    def iterate(*args: Any) -> Any:
        try:
            return chosen[0](*args)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if chosen[0] is _iterate:
                raise
            logger.warning(
                f"optical flow is not compiled here ({type(error).__name__}); it takes longer"
            )
            chosen[0] = _iterate
            return _iterate(*args)

    return iterate


class TorchFlow:
    """Batched flow on `device`: CUDA where there is one, else the CPU.

    The loop looks at the masks only every `check_every` iterations, since reading them stops the
    GPU's queue; a finished pair is frozen from its own last iteration on all the same.

    dtype: what it computes in; float64 is the reference that the float32 of all backends is judged
    by.
    """

    name = "torch"
    batch = 48
    workers = 1

    def __init__(
        self,
        params: TVL1Params,
        device: str | None = None,
        compiled: bool | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if params.median > 1:
            raise BadInputError(
                "the torch backend has no median filter between iterations; set median to 1"
            )
        self.params, self.dtype = params, dtype
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        on_cuda = self.device.type == "cuda"
        self.check_every = 8 if on_cuda else 1
        compiled = on_cuda and not missing_for_compiling("cuda") if compiled is None else compiled
        self._iterate = _or_eager(torch.compile(_iterate, dynamic=True)) if compiled else _iterate

    def flow(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See FlowBackend.flow."""
        check_pairs(first, second)
        with torch.inference_mode():
            u = self._solve(
                *(torch.from_numpy(x).to(self.device, self.dtype) for x in (first, second))
            )
            return u.permute(0, 2, 3, 1).contiguous().float().cpu().numpy()

    def _solve(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        sizes = level_sizes(first.shape[1], first.shape[2], self.params)
        down = 1 / self.params.scale_step, 1 / self.params.scale_step
        pyramids = [[first], [second]]
        for size in sizes[1:]:
            for levels in pyramids:
                levels.append(_resize(levels[-1], size, down))
        u = first.new_zeros(len(first), 2, *sizes[-1])
        for I0, I1 in zip(*(reversed(levels) for levels in pyramids), strict=True):
            if u.shape[-2:] != I0.shape[-2:]:
                ratio = (u.shape[-2] / I0.shape[-2], u.shape[-1] / I0.shape[-1])
                u = _resize(u, tuple(I0.shape[-2:]), ratio) / self.params.scale_step
            u = self._level(I0, I1, u)
        return u

    def _level(self, I0: torch.Tensor, I1: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Refine u on one pyramid level; p starts at zero and is kept from warp to warp."""
        graded = _with_gradient(I1)
        p = u.new_zeros(len(u), 2, 2, *u.shape[-2:])
        # grid_sample normalises positions and so misses pixel centres by a last digit, which at the
        # zero border grows from warp to warp; taking its error at rest away keeps a still picture
        # exactly still.
        error_at_rest = _sample(graded, torch.zeros_like(u)) - graded
        for _ in range(self.params.warps):
            warped = _sample(graded, u) - error_at_rest
            gradient = warped[:, 1:]
            inverse = 1 / gradient.square().sum(1).clamp(min=1e-7)
            rho = warped[:, 0] - (gradient * u).sum(1) - I0
            u, p = self._converge(u, p, gradient, inverse, rho)
        return u

    def _converge(self, u, p, gradient, inverse, rho):
        """Iterate until every pair has finished or the budget of iterations is spent."""
        params = self.params
        steps = (params.smoothness * params.theta, params.theta, params.tau / params.theta)
        threshold = params.epsilon**2 * u.shape[-2] * u.shape[-1]
        active = torch.ones(len(u), dtype=torch.bool, device=u.device)
        for iteration in range(params.outer * params.inner):
            u, p, change = self._iterate(u, p, gradient, inverse, rho, active, *steps)
            active = active & (change > threshold)
            if iteration % self.check_every == 0 and not bool(active.any()):
                break
        return u, p

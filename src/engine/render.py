"""From a plan to frames: the half of the road that publishing, validation, benchmarks and warming
up share.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from src.core.plan import Plan
from src.core.progress import CancelToken, Listener, ignore
from src.engine.costs import Stopwatch
from src.media.images import fit_photograph

if TYPE_CHECKING:
    from src.engine.session import Session
    from src.pipelines.denoise import Preview


def fitted(pixels: np.ndarray, plan: Plan) -> np.ndarray:
    """The photograph (H, W, 3) uint8 at the plan's native size, as the plan says: cropped or with
    borders.
    """
    return fit_photograph(pixels, plan.native.width, plan.native.height, plan.fit)


def render(
    pixels: np.ndarray,
    plan: Plan,
    session: "Session",
    watch: Stopwatch | None = None,
    listener: Listener = ignore,
    cancel: CancelToken | None = None,
    preview: "Preview | None" = None,
) -> Iterator[np.ndarray]:
    """Yield the native frames (H, W, 3) uint8 of a plan in order.

    pixels: the photograph (H, W, 3) uint8 of any size. watch: gets the seconds of each stage.
    Raises CancelledError between steps, and any error of the tree.
    """
    return session.run(
        plan, fitted(pixels, plan), watch or Stopwatch(), listener, cancel or CancelToken(), preview
    )


def render_clip(
    pixels: np.ndarray, plan: Plan, session: "Session", watch: Stopwatch | None = None
) -> np.ndarray:
    """All of them: (F, H, W, 3) uint8."""
    return np.stack(list(render(pixels, plan, session, watch)))

"""The reference: OpenCV contrib's Dual TV-L1."""

import threading
from typing import Any

import cv2
import numpy as np

from src.core.devices import core_count
from src.core.errors import BadInputError
from src.motion.tvl1_params import TVL1Params, check_pairs


def _configured(params: TVL1Params) -> Any:
    """The solver; by OpenCV's types it would need a flow to begin with."""
    solver = cv2.optflow.createOptFlow_DualTVL1()
    solver.setTau(params.tau)
    solver.setLambda(params.smoothness)
    solver.setTheta(params.theta)
    solver.setScalesNumber(params.scales)
    solver.setScaleStep(params.scale_step)
    solver.setWarpingsNumber(params.warps)
    solver.setEpsilon(params.epsilon)
    solver.setInnerIterations(params.inner)
    solver.setOuterIterations(params.outer)
    solver.setMedianFiltering(params.median)
    return solver


class OpenCVFlow:
    """One OpenCV instance a thread, since an instance keeps its buffers between calls."""

    name = "opencv"
    batch = 1

    def __init__(self, params: TVL1Params) -> None:
        if not hasattr(cv2, "optflow"):
            raise BadInputError(
                "the opencv backend needs opencv-contrib-python, only opencv-python is installed"
            )
        self.params = params
        self.workers = core_count()
        self._local = threading.local()

    def _instance(self) -> Any:
        if not hasattr(self._local, "instance"):
            self._local.instance = _configured(self.params)
        return self._local.instance

    def flow(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See FlowBackend.flow."""
        check_pairs(first, second)
        instance = self._instance()
        return np.stack([instance.calc(a, b, None) for a, b in zip(first, second, strict=True)])

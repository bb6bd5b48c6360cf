"""One suite over the three TV-L1 backends: the same flow as OpenCV, as near to the truth, whatever the batch."""

import cv2
import numpy as np
import pytest

from benchmarks.temporal_clips import dead_leaves, prepared, view
from src.core.errors import BadInputError
from src.motion.tvl1 import BACKENDS, TVL1Params, flow_backend
from src.motion.tvl1_torch import TorchFlow

SIZE = (180, 120)
CAMERAS = {
    "slow pan": (4.0, 1.0, 1.0, 0.0),
    "fast pan": (30.0, -12.0, 1.0, 0.0),
    "zoom": (0.0, 0.0, 1.04, 0.0),
    "roll": (2.0, 2.0, 1.0, 1.5),
}
"""Camera of the second frame: x, y in pixels of a 720-wide frame (four times SIZE), zoom, roll."""


def _to_picture(camera, size=SIZE) -> np.ndarray:
    """The 3x3 map from frame to picture positions that `view` uses, without its constant offset."""
    x, y, zoom, roll = camera
    scale = size[0] / 720
    cos, sin = np.cos(np.radians(roll)) / zoom / scale, np.sin(np.radians(roll)) / zoom / scale
    matrix = np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1.0]])
    matrix[:2, 2] -= matrix[:2, :2] @ [(size[0] - 1) / 2, (size[1] - 1) / 2]
    return matrix


def exact_flow(camera, size=SIZE) -> np.ndarray:
    """(H, W, 2): where each pixel of the frame of the resting camera lies in the frame of `camera`."""
    move = np.linalg.inv(_to_picture(camera, size)) @ _to_picture((0, 0, 1, 0), size)
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float64)
    there = [row[0] * x + row[1] * y + row[2] for row in move[:2]]
    return np.stack([there[0] - x, there[1] - y], -1)


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    picture = cv2.cvtColor(cv2.GaussianBlur(prepared(dead_leaves(5)), (0, 0), 2), cv2.COLOR_RGB2GRAY)
    first = np.stack([view(picture, (0, 0, 1, 0), SIZE)] * len(CAMERAS))
    second = np.stack([view(picture, camera, SIZE) for camera in CAMERAS.values()])
    return first, second, np.stack([exact_flow(camera) for camera in CAMERAS.values()])


@pytest.fixture(scope="module")
def flows(pairs) -> dict[str, np.ndarray]:
    return {name: flow_backend(name).flow(*pairs[:2]) for name in BACKENDS}


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean end-point distance of each pair away from the border, where nothing is known of what comes in."""
    return np.linalg.norm(a - b, axis=-1)[:, 12:-12, 12:-12].mean((1, 2))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_flow_has_the_shape_and_type_of_the_protocol(backend, flows, pairs):
    assert flows[backend].shape == (*pairs[0].shape, 2)
    assert flows[backend].dtype == np.float32
    assert np.isfinite(flows[backend]).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_flow_is_opencvs(backend, flows):
    whole_picture = np.linalg.norm(flows[backend] - flows["opencv"], axis=-1).mean((1, 2))
    assert whole_picture.max() < 0.02, dict(zip(CAMERAS, whole_picture, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_flow_is_as_near_to_the_truth_as_opencvs(backend, flows, pairs):
    ours, reference = _apart(flows[backend], pairs[2]), _apart(flows["opencv"], pairs[2])
    assert (ours <= reference + 0.005).all(), (ours, reference)
    assert ours.max() < 0.3


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_picture_twice_does_not_move(backend, pairs):
    still = flow_backend(backend).flow(pairs[0][:1], pairs[0][:1])
    assert np.abs(still).max() < 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pair_does_not_depend_on_its_batch(backend, pairs, flows):
    alone = flow_backend(backend).flow(pairs[0][1:2], pairs[1][1:2])
    assert np.abs(alone - flows[backend][1:2]).max() < 1e-3


def test_finished_pairs_are_frozen_when_the_masks_are_read_seldom(pairs, flows):
    seldom = TorchFlow(TVL1Params(), device="cpu", compiled=False)
    seldom.check_every = 16
    assert np.abs(seldom.flow(*pairs[:2]) - flows["torch"]).max() < 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.zeros((1, 32, 32), np.uint8), np.zeros((1, 32, 40), np.uint8)),
        (np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)),
        (np.zeros((1, 32, 32), np.float32), np.zeros((1, 32, 32), np.float32)),
        (np.zeros((1, 8, 32), np.uint8), np.zeros((1, 8, 32), np.uint8)),
    ],
    ids=["shapes differ", "no batch", "floats", "too small"],
)
def test_what_cannot_be_matched_is_refused(backend, first, second):
    with pytest.raises(BadInputError):
        flow_backend(backend).flow(first, second)


@pytest.mark.gpu
def test_cuda_gives_opencvs_flow(pairs, flows):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    on_gpu = TorchFlow(TVL1Params(), device="cuda").flow(*pairs[:2])
    assert np.linalg.norm(on_gpu - flows["opencv"], axis=-1).mean((1, 2)).max() < 0.02

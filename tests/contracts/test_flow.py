"""One suite over the three TV-L1 backends: the same flow as OpenCV, as near to the truth, whatever
the batch.

Bounds are of the arithmetic and of the method, not of one processor. Two things differ from machine
to machine: the order of float32 sums and whether a product is rounded before it is added (fused or
not), in OpenCV, numba and torch alike. Within one linearisation that is all there is, and
`rounding_bound` limits it. Over warps and levels the method itself makes more of it. It stops where
an update falls under `epsilon`, so a last digit decides whether one more iteration is done; and it
linearises anew around what it found, which near the border, where nothing is known of what comes
in, may lead to another flow by whole pixels. Rounding noise of one unit in the last place, 40 draws
of it on one machine, moves the mean over the whole picture by up to 0.044 px and that over its
inside by up to 0.009 px; OpenCV lies as far from a float64 run as the others. So whole flows are
compared inside, and `STOPPING` is what the rule leaves.
"""

import cv2
import numpy as np
import pytest
import torch

from benchmarks.temporal_clips import dead_leaves, prepared, view
from src.core.errors import BadInputError
from src.motion.tvl1 import BACKENDS, flow_backend
from src.motion.tvl1_kernel import solve_level
from src.motion.tvl1_opencv import _configured
from src.motion.tvl1_params import TVL1Params
from src.motion.tvl1_torch import TorchFlow, _sample, _with_gradient

SIZE = (180, 120)
CAMERAS = {
    "slow pan": (4.0, 1.0, 1.0, 0.0),
    "fast pan": (30.0, -12.0, 1.0, 0.0),
    "zoom": (0.0, 0.0, 1.04, 0.0),
    "roll": (2.0, 2.0, 1.0, 1.5),
}
"""Camera of the second frame: x, y in pixels of a 720-wide frame (four times SIZE), zoom, roll."""
STOPPING = TVL1Params().warps * TVL1Params().epsilon
"""Pixels. Each warp of the finest level ends when an iteration moves the flow by less than epsilon
(root mean square, so the mean is less). Where rounding ends every warp one iteration earlier or
later, the flows are at most this far apart; what coarser levels left differently is drawn together
again by the iterations of the finer ones.
"""
UNIT = 2.0**-24
"""Relative error of one rounded float32 operation."""


def _to_picture(camera, size=SIZE) -> np.ndarray:
    """The 3x3 map from frame to picture positions that `view` uses, without its constant offset."""
    x, y, zoom, roll = camera
    scale = size[0] / 720
    cos, sin = np.cos(np.radians(roll)) / zoom / scale, np.sin(np.radians(roll)) / zoom / scale
    matrix = np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1.0]])
    matrix[:2, 2] -= matrix[:2, :2] @ [(size[0] - 1) / 2, (size[1] - 1) / 2]
    return matrix


def exact_flow(camera, size=SIZE) -> np.ndarray:
    """(H, W, 2): where each pixel of the frame of the resting camera lies in the frame
    of `camera`.
    """
    move = np.linalg.inv(_to_picture(camera, size)) @ _to_picture((0, 0, 1, 0), size)
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float64)
    there = [row[0] * x + row[1] * y + row[2] for row in move[:2]]
    return np.stack([there[0] - x, there[1] - y], -1)


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    picture = cv2.cvtColor(
        cv2.GaussianBlur(prepared(dead_leaves(5)), (0, 0), 2), cv2.COLOR_RGB2GRAY
    )
    first = np.stack([view(picture, (0, 0, 1, 0), SIZE)] * len(CAMERAS))
    second = np.stack([view(picture, camera, SIZE) for camera in CAMERAS.values()])
    return first, second, np.stack([exact_flow(camera) for camera in CAMERAS.values()])


@pytest.fixture(scope="module")
def flows(pairs) -> dict[str, np.ndarray]:
    return {name: flow_backend(name).flow(*pairs[:2]) for name in BACKENDS}


@pytest.fixture(scope="module")
def exactly(pairs) -> np.ndarray:
    """The same algorithm in float64: to it, float32 backends are as many draws of rounding. One
    pair after the other: a batch goes on computing those that have finished.
    """
    flow = TorchFlow(TVL1Params(), device="cpu", dtype=torch.float64).flow
    one = zip(*(each[:, None] for each in pairs[:2]), strict=True)
    return np.concatenate([flow(first, second) for first, second in one])


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean end-point distance of each pair away from the border, where nothing is known of what
    comes in.
    """
    return np.linalg.norm(a - b, axis=-1)[:, 12:-12, 12:-12].mean((1, 2))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_flow_has_the_shape_and_type_of_the_protocol(backend, flows, pairs):
    assert flows[backend].shape == (*pairs[0].shape, 2)
    assert flows[backend].dtype == np.float32
    assert np.isfinite(flows[backend]).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_how_pictures_lie_in_memory_changes_nothing(backend, pairs):
    first, second = (each[:1, :48, :64] for each in pairs[:2])
    turned = [np.ascontiguousarray(each.transpose(0, 2, 1)) for each in (first, second)]
    flow = flow_backend(backend).flow
    straight = flow(np.ascontiguousarray(first), np.ascontiguousarray(second))
    assert np.array_equal(flow(*(each.transpose(0, 2, 1) for each in turned)), straight)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_flow_is_opencvs(backend, flows):
    assert _apart(flows[backend], flows["opencv"]).max() < STOPPING


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_flow_is_that_of_exact_arithmetic(backend, flows, exactly):
    assert _apart(flows[backend], exactly).max() < STOPPING


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_flow_is_as_near_to_the_truth_as_opencvs(backend, flows, pairs):
    ours, reference = _apart(flows[backend], pairs[2]), _apart(flows["opencv"], pairs[2])
    assert (ours <= reference + TVL1Params().epsilon).all(), (ours, reference)
    assert ours.max() < 0.3


ONE = TVL1Params(scales=1, warps=1, outer=1, inner=2, epsilon=0.0)
"""One linearisation and two iterations, the second with a dual field: all formulas once, nothing
chaotic.
"""


@pytest.fixture(scope="module")
def smooth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two smooth pictures (H, W) float32 and a start (H, W, 2) between pixels, near their flow."""

    def picture(x, y):
        seen = 128 + 60 * np.sin(x / 9) * np.cos(y / 13) + 50 * np.sin((x + 2 * y) / 23)
        # OpenCV takes 0 to 1, and does just this
        return (seen / 255).astype(np.float32) * np.float32(255)

    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]].astype(float)
    start = np.stack([1.3 + 0.2 * np.sin(x / 20), -0.7 + 0.2 * np.cos(y / 15)], -1).astype(
        np.float32
    )
    return picture(x, y), picture(x - 1.3, y + 0.7), start


def _two_iterations(backend, first, second, start) -> np.ndarray:
    if backend == "opencv":
        solver = _configured(ONE)
        solver.setUseInitialFlow(True)
        return solver.calc(first / np.float32(255), second / np.float32(255), start.copy())
    if backend == "numba":
        u1, u2 = (np.ascontiguousarray(start[..., axis]) for axis in (0, 1))
        l_t, theta, taut = (
            np.float32(v) for v in (ONE.smoothness * ONE.theta, ONE.theta, ONE.tau / ONE.theta)
        )
        solve_level(first, second, u1, u2, l_t, theta, taut, ONE.warps, ONE.inner, np.float32(0))
        return np.stack([u1, u2], -1)
    dtype = torch.float64 if backend == "exact" else torch.float32
    pictures = (torch.from_numpy(picture).to(dtype)[None] for picture in (first, second))
    u = torch.from_numpy(start).to(dtype).permute(2, 0, 1)[None]
    return (
        TorchFlow(ONE, device="cpu", dtype=dtype)._level(*pictures, u)[0].permute(1, 2, 0).numpy()
    )


def rounding_bound(second, start) -> float:
    """Pixels (root mean square) that float32 may move the flow in `_two_iterations`, an upper
    limit.

    Brightness: a position, at most W, is rounded up to four times an axis on its way to a sample
    (torch goes to -1..1 and back), which moves it by 4 UNIT W and the sample by as many times the
    local slope S, on each axis; the sums of up to 16 terms under 255 add 16 UNIT 255. So a residual
    or gradient errs by e = UNIT (8 W S + 16 * 255). Update: clamp(-residual / |g|^2, +-l_t) g errs
    by e / |g|, but never by more than the clamp's width 2 l_t |g|; errors of g itself add at most 4
    l_t e, and sums of flows under 40 px 8 UNIT 40.
    Two iterations: the first step's error d stays (thresholding is a proximal step, which does not
    expand), and comes again through the dual field: tau |D|^2 <= tau 8 = 2 d. The second step adds
    its own d: 4 d at most.
    """
    brightness = second.astype(np.float64)
    slope = cv2.dilate(sum(np.abs(np.gradient(brightness))), np.ones((7, 7)))
    graded = _with_gradient(torch.from_numpy(brightness)[None])
    warped = _sample(graded, torch.from_numpy(start).double().permute(2, 0, 1)[None])[0].numpy()
    g, l_t = np.hypot(*warped[1:]), ONE.smoothness * ONE.theta
    e = UNIT * (8 * SIZE[0] * slope + 16 * 255)
    d = np.minimum(e / np.maximum(g, 1e-9), 2 * l_t * g) + 4 * l_t * e + 8 * UNIT * 40
    return 4 * float(np.sqrt(np.square(d).mean()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_linearisation_differs_by_rounding_alone(backend, smooth):
    first, second, start = smooth
    exact = _two_iterations("exact", first, second, start)
    bound = rounding_bound(second, start)
    moved = np.sqrt(np.square(exact - start).sum(-1).mean())
    assert bound < moved / 50  # the bound tells a wrong formula from rounding
    apart = np.square(_two_iterations(backend, first, second, start) - exact).sum(-1)
    assert np.sqrt(apart.mean()) < bound


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
    made = seldom.flow(*(each[:2] for each in pairs[:2]))
    assert np.abs(made - flows["torch"][:2]).max() < 1e-3


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
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    on_gpu = TorchFlow(TVL1Params(), device="cuda").flow(*pairs[:2])
    assert _apart(on_gpu, flows["opencv"]).max() < STOPPING

"""How evenly predicted latents move: the error of the change from a frame to the next, over the
true change. A plain error hardly asks for it: a slow move changes a picture so little that an error
of that size, which makes a clip jerk, is a hundredth of the error of a fast one.

Latents are (B, F, C, h, w).
"""

import torch
from torch import Tensor

LEAST_CHANGE = 0.003
"""Of mean square, what the true change of a clip from frame to frame counts at least: a still clip
is not to be all that counts. A slow pan over a photograph has 0.005 in the embedded model's codes.
"""


def unsteadiness(
    predicted: Tensor, clean: Tensor, follows: Tensor, counts: Tensor | None = None
) -> Tensor:
    """The squared error of the change from a frame to the clip's next, over the true change: what
    flickers and jerks, of each clip (B,).

    predicted, clean: (B, F, C, h, w). follows: int64, the frames whose next one is the clip's next;
    0 where none is. counts: (B, F, 1, h, w), what each cell's error counts; None for 1.
    """
    if counts is None:
        counts = torch.ones_like(clean[:, :, :1], dtype=torch.float32)
    weights = (counts[:, 1:] * counts[:, :-1])[:, follows]
    true = clean.float().diff(dim=1)[:, follows]
    off = predicted.float().diff(dim=1)[:, follows] - true
    wrong, moved = ((part.square() * weights).flatten(1).sum(1) for part in (off, true))
    return wrong / (moved + LEAST_CHANGE * clean.shape[2] * weights.flatten(1).sum(1) + 1e-6)


def followed(groups: Tensor, held: int, padding: int) -> Tensor:
    """Which frames of some token frames have the clip's next one after them: int64 (N,).

    groups: (G,) numbers of the token frames, ascending. held: latent frames in each. padding:
    copies of the first frame in front of the clip, which no frame follows but the second.
    """
    frames = (groups[:, None] * held + torch.arange(held) - padding).clamp_min(0).flatten()
    return (frames.diff() == 1).nonzero().flatten()

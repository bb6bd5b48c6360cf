"""What a process sends in one denoising step, reckoned. Imports no torch.

With L tokens (text and video) of which this process holds l, a team of S processes, heads of D
numbers, H of them, b bytes a number, B rows in the batch and K blocks, each block's attention sends

    queries, keys, values   3 l H D (S - 1) / S B b
    what was attended         (L - l) H D / S B b

At the end of the forward a process tells its team what it predicted: v of V video tokens, O numbers
each, (S - 1) v O B b bytes; and, where a branch of guidance is elsewhere, the process there all V
tokens' in float32, V O B 4 bytes. With even shares a block's four passes cost (S - 1) / S of
4 L / S H D B b: what Ulysses (arXiv:2309.14509, section 3.2) counts.
"""

from dataclasses import dataclass

from src.core.plan import Division
from src.pipelines.parallel.division import shares


@dataclass(frozen=True)
class Forward:
    """Sizes of one forward. text, video: tokens. out: numbers predicted a video token. width: bytes
    of a number. rows: clips in it.
    """

    text: int
    video: int
    heads: int
    head_dim: int
    layers: int
    out: int
    width: int
    rows: int = 1


def bytes_sent(forward: Forward, division: Division, rank: int, guided: bool) -> int:
    """That process `rank` sends to others at a step, as the page says it."""
    size = division.sequence if guided else division.unguided
    apart = guided and division.branches == 2
    batch = forward.rows * (2 if guided and not apart else 1)
    index = rank % size
    video = shares(forward.video, size)[index]
    own = shares(forward.text, size)[index] + video
    others = forward.text + forward.video - own
    channels = forward.heads * forward.head_dim // size
    block = (3 * own * (size - 1) + others) * channels
    told = (size - 1) * video * forward.out
    across = forward.video * forward.out * 4 * batch if apart else 0
    return (forward.layers * block + told) * batch * forward.width + across

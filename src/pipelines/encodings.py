"""Prompt and photograph encodings kept between runs of a warm pipeline. Sharing changes no bit of a
clip.

The text encoder is deterministic, so its output can stand in for itself. The VAE's encoder is too,
but the pipeline *samples* from the distribution it returns, drawing from the run's generator: so
the distribution is kept.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from src.pipelines.family import Family
from src.pipelines.roles import vae_of

T = TypeVar("T")
KEEP = 16


class LatestResults:
    """The last few results by key; counts hits and misses."""

    def __init__(self, keep: int = KEEP) -> None:
        self.keep = keep
        self.hits = self.misses = 0
        self._items: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any, make: Callable[[], T]) -> T:
        if key in self._items:
            self.hits += 1
            self._items.move_to_end(key)
            return self._items[key]
        self.misses += 1
        self._items[key] = make()
        while len(self._items) > self.keep:
            self._items.popitem(last=False)
        return self._items[key]


def share_encodings(family: Family, pipe: Any) -> tuple[LatestResults, LatestResults]:
    """Wrap `encode_prompt` and the VAE's `encode` of this instance; returns the prompt and
    photograph stores.
    """
    prompts, photographs = LatestResults(), LatestResults()
    vae: Any = vae_of(family, pipe)
    encode_prompt, encode = pipe.encode_prompt, vae.encode

    def shared_prompt(*args: Any, **kwargs: Any) -> Any:
        return prompts.get(
            repr((args, sorted(kwargs.items(), key=str))), lambda: encode_prompt(*args, **kwargs)
        )

    def shared_encode(pixels: Tensor, *args: Any, **kwargs: Any) -> Any:
        return photographs.get(tensor_key(pixels), lambda: encode(pixels, *args, **kwargs))

    pipe.encode_prompt, vae.encode = shared_prompt, shared_encode
    return prompts, photographs


def tensor_key(tensor: Tensor) -> tuple[Any, ...]:
    """Shape, dtype and SHA-1 of the values."""
    data = tensor.detach().float().cpu().numpy().tobytes()
    return (
        tuple(tensor.shape),
        str(tensor.dtype),
        hashlib.sha1(data, usedforsecurity=False).hexdigest(),
    )

"""Compiling what lies inside the hooks, so that it goes with caches, offload, adapters and every
change between runs.

Step caches and group offload replace a module's `forward` by hooks that keep state, which one whole
graph cannot hold. So it is the innermost `forward` that is compiled, and the hooks around it stay
plain Python. A first-block cache hooks whole blocks; the other caches hook the attention and
feed-forward parts, and for those the parts are compiled.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from src.core.devices import cpu_features
from src.core.paths import home
from src.pipelines.family import Part

INSIDE_BLOCKS = ("taylorseer", "pyramid")
"""Caches whose hooks lie inside a block."""
BACKEND = "inductor"
RECOMPILE_LIMIT = 64
KEPT = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
"""Variables that say where compiled code is kept, and the folder of `<home>/cache` where they do
not.
"""
CHANGES = 8
"""Changes of adapters before compiled code is dropped: each may add a graph for guided and one for
unguided steps.
"""


class Compiled:
    """A module's `forward`, compiled on its first call for each shape unless `on` is off. eager: as
    it was.

    dynamic: one graph for all shapes; slower, for where they change all the time.
    Tokens are handed over with the strides of their shape: the first block's are a slice, which
    would be another graph.
    """

    def __init__(self, module: nn.Module, dynamic: bool = False) -> None:
        self.eager: Callable[..., Any] = module.forward
        self.on = True
        self._compiled = torch.compile(self.eager, backend=BACKEND, fullgraph=True, dynamic=dynamic)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.on:
            return self.eager(*args, **kwargs)
        return self._compiled(
            *map(_tidy, args), **{name: _tidy(value) for name, value in kwargs.items()}
        )


def _tidy(value: Any) -> Any:
    if not isinstance(value, Tensor) or value.ndim != 3:
        return value
    value = value.contiguous()
    # a batch of one keeps any stride
    return value.squeeze(0).unsqueeze(0) if value.shape[0] == 1 else value


def compile_blocks(transformer: nn.Module, blocks: nn.ModuleList) -> None:
    """Compile each of the transformer's blocks; one graph serves all.

    The decoder stays as it is: on an H100 its graphs took more than 150 s to compile, for 3 s of
    decoding a clip.
    """
    keep_compiled()
    torch._dynamo.config.recompile_limit = max(
        torch._dynamo.config.recompile_limit, RECOMPILE_LIMIT
    )
    transformer.newsreel_compiled = tuple(Compiled(block) for block in blocks)
    for block, forward in zip(blocks, transformer.newsreel_compiled, strict=True):
        block.forward = forward


def keep_compiled() -> None:
    """Keep compiled code in `<home>/cache` rather than in a temporary folder, so that the next
    process starts warm. A folder for each kind of processor: machines may share a home, and torch
    (2.13) takes code for instructions of another one, which fails or gives other numbers.

    Not where that path holds a space, which torch hands to compilers unquoted.
    """
    folder, processor = home().resolve() / "cache", "-".join(cpu_features()).replace(" ", "_")
    if not any(map(str.isspace, str(folder))):
        for name, kept in KEPT.items():
            os.environ.setdefault(name, str(folder / kept / processor))


def fit_to_cache(transformer: nn.Module, cache: str, part: Part) -> None:
    """Compile whole blocks or their parts, as this cache's hooks need it. To be called while no
    cache is on.
    """
    compiled = getattr(transformer, "newsreel_compiled", ())
    inside = cache in INSIDE_BLOCKS
    for forward in compiled:
        forward.on = not inside
    for module in _modules(transformer, part) if compiled else ():
        module.__dict__.pop("forward", None)
        if inside:
            module.forward = Compiled(module)


def _modules(transformer: nn.Module, part: Part) -> Iterator[nn.Module]:
    for block in part.blocks_of(transformer):
        yield from (block.get_submodule(name) for name in part.inside)


def forget_compiled() -> None:
    """Drop all compiled code of this process; what still runs compiles again, mostly from the cache
    on disk.
    """
    torch._dynamo.reset()

"""Attention by a named kernel: torch's own by its own switch, those of optional packages as
operators.

An operator is opaque to compilers, so that compiled blocks hold it in one graph; what the packages
do inside (devices set, settings read) would break one.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from src.core.errors import BadInputError, SwitchError
from src.pipelines.attention_kernels import OPTIONAL

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
SLOTS = {"flash3": "_flash_3", "sage": "sage"}
"""What diffusers' dispatch calls them."""
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries (B, N, heads, D), keys and values (B, M, heads, D) to (B, N, heads, D); scale 1/sqrt(D),
no mask."""


def attention_kernel(name: str, device: str) -> AbstractContextManager[None]:
    """Prefer one of torch's kernels of scaled dot-product attention; the backend switch of
    diffusers has no effect on CogVideoX.

    The others follow in their order where that one cannot take a shape or a card. For denoising
    alone: the text encoder attends with a bias, which few kernels take. A kernel of a package is
    the model's from loading on, and what it does not take is torch's choice. Raises BadInputError
    for a kernel the device does not have.
    """
    if name == "auto" or name in OPTIONAL:
        return nullcontext()
    if device == "cpu" and name not in ("flash", "math"):
        raise BadInputError(
            f"--attention {name} is a CUDA kernel; on a CPU there are flash and math"
        )
    wanted = BACKENDS[name]
    others = (
        [] if name == "math" else [kernel for kernel in BACKENDS.values() if kernel is not wanted]
    )
    return sdpa_kernel([wanted, *others], set_priority=True)


def torch_attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`Attend` by the kernel of torch that is chosen at the time."""
    heads = (part.transpose(1, 2) for part in (query, key, value))
    return F.scaled_dot_product_attention(*heads).transpose(1, 2)


@torch.library.custom_op("newsreel::flash3", mutates_args=())
def flash3(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """FlashAttention 3; its first versions gave the sums' logarithms beside the result."""
    from flash_attn_interface import flash_attn_func

    made = flash_attn_func(query, key, value, softmax_scale=scale)
    return (made[0] if isinstance(made, tuple) else made).contiguous()


@torch.library.custom_op("newsreel::sage", mutates_args=())
def sage(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """SageAttention's choice for the card."""
    from sageattention import sageattn

    return sageattn(query, key, value, tensor_layout="NHD", sm_scale=scale).contiguous()


@flash3.register_fake
@sage.register_fake
def _shape(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    return query.new_empty(query.shape)


OPERATORS: dict[str, Callable[..., Tensor]] = {"flash3": flash3, "sage": sage}


def optional_attend(name: str) -> Attend:
    """`Attend` by an optional kernel. Raises SwitchError where its package does not load: one that
    was built against another torch is found all the same.
    """
    try:
        import_module(OPTIONAL[name].module)
    except (ImportError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise SwitchError(
            "attention", f"--attention {name}: {OPTIONAL[name].package} does not load: {reason}"
        ) from error
    return OPERATORS[name]


def use_in_dispatch(layers: Iterable[Any], name: str) -> None:
    """Let layers that attend by diffusers' dispatch (0.42) take an optional kernel, ours in the
    place of diffusers' own entry: theirs is for eager mode, and refuses what the kernel does not
    take.

    A call with a mask, dropout, a causal order or fewer heads of keys goes to torch's own. Raises
    as `optional_attend`.
    """
    from diffusers.models import attention_dispatch as diffusers

    slot = diffusers.AttentionBackendName(SLOTS[name])
    diffusers._AttentionBackendRegistry.register(slot)(dispatched(optional_attend(name)))
    for layer in layers:
        layer.set_attention_backend(slot.value)


def dispatched(kernel: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The kernel as diffusers calls one, (B, N, heads, D)."""

    def attend(
        query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
        dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:  # fmt: skip
        if attn_mask is None and not (dropout_p or is_causal or enable_gqa):
            return kernel(query, key, value, scale)
        from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn

        return dispatch_attention_fn(
            query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa,
            backend=AttentionBackendName.NATIVE,
        )  # fmt: skip

    return attend

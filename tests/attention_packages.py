"""Stand-ins for the packages of attention kernels, which need a card: their signatures, and torch's
attention inside. Signatures as in thu-ml/SageAttention `sageattention/core.py` (2.2.0, commit
0116592) and Dao-AILab/flash-attention `hopper/flash_attn_interface.py` (3.0.0b1, commit 0251105).
"""

import sys
from types import ModuleType

import torch.nn.functional as F

CALLS = []
"""What the kernels were called with: name, shapes of queries and of keys."""


def sageattn(
    q, k, v, tensor_layout="HND", is_causal=False, sm_scale=None, return_lse=False, **kwargs
):
    assert not (return_lse or kwargs)
    CALLS.append(("sage", tuple(q.shape), tuple(k.shape)))
    if tensor_layout == "NHD":
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    made = F.scaled_dot_product_attention(q, k, v, is_causal=is_causal, scale=sm_scale)
    return made.transpose(1, 2) if tensor_layout == "NHD" else made


def flash_attn_func(
    q, k, v, softmax_scale=None, causal=False, qv=None, q_descale=None, k_descale=None,
    v_descale=None, window_size=(-1, -1), attention_chunk=0, softcap=0.0, num_splits=1,
    pack_gqa=None, deterministic=False, sm_margin=0, return_attn_probs=False,
):  # fmt: skip
    assert qv is None and window_size == (-1, -1) and not return_attn_probs
    CALLS.append(("flash3", tuple(q.shape), tuple(k.shape)))
    heads = (part.transpose(1, 2) for part in (q, k, v))
    made = F.scaled_dot_product_attention(*heads, is_causal=causal, scale=softmax_scale)
    return made.transpose(1, 2)


def install(monkeypatch):
    """Let both be imported; returns the list of their calls, empty."""
    for name, function in (("sageattention", sageattn), ("flash_attn_interface", flash_attn_func)):
        module = ModuleType(name)
        setattr(module, function.__name__, function)
        monkeypatch.setitem(sys.modules, name, module)
    CALLS.clear()
    return CALLS

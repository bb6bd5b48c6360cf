"""The attention of CogVideoX with fewer passes over memory: the stock sums, equal to rounding.

Queries and keys are normalised before their heads are moved apart, so that nothing is copied for
it, and turned in place as complex numbers, where the stock processor makes six arrays a turn.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def use_fast_attention(transformer: Any) -> int:
    """Give every attention layer the processor below; returns how many. Raises where a layer is of
    another kind.
    """
    from diffusers.models.attention_processor import CogVideoXAttnProcessor2_0

    kinds = {type(processor) for processor in transformer.attn_processors.values()}
    if kinds != {CogVideoXAttnProcessor2_0}:
        raise ValueError(
            f"this transformer attends by {', '.join(kind.__name__ for kind in kinds)}"
        )
    transformer.set_attn_processor(FastAttention())
    return len(transformer.attn_processors)


class FastAttention:
    """In the place of `CogVideoXAttnProcessor2_0`, for layers that attend from and to text and
    video together.
    """

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor,
        attention_mask: None = None, image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Video (B, V, D) and text (B, S, D) to the same; rotary: cosines and sines (V, D / heads)
        of the video.
        """
        text = encoder_hidden_states.shape[1]
        joined = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        query, key, value = (
            layer(joined).unflatten(-1, (attn.heads, -1))
            for layer in (attn.to_q, attn.to_k, attn.to_v)
        )
        if attn.norm_q is not None:
            query, key = attn.norm_q(query), attn.norm_k(key)
        if image_rotary_emb is not None:
            turn = as_complex(*image_rotary_emb)
            turned_in_place(query[:, text:], turn)
            turned_in_place(key[:, text:], turn)
        heads = (part.transpose(1, 2) for part in (query, key, value))
        made = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        made = attn.to_out[1](attn.to_out[0](made))
        return made[:, text:], made[:, :text]


def as_complex(cosines: Tensor, sines: Tensor) -> Tensor:
    """(V, D) with each number twice to (V, 1, D / 2) on the unit circle."""
    return torch.complex(cosines[:, ::2].contiguous(), sines[:, ::2].contiguous())[:, None]


def turned_in_place(part: Tensor, turn: Tensor) -> None:
    """Turn pairs of neighbouring channels of part (B, V, heads, D), float32: rotary positions
    (arXiv:2104.09864).
    """
    torch.view_as_complex(part.unflatten(-1, (-1, 2))).mul_(turn)

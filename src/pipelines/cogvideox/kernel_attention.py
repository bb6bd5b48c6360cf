"""The attention of CogVideoX with the kernel left open: the stock sums around it."""

from typing import Any

import torch
from torch import Tensor

from src.pipelines.attending import Attend, optional_attend

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines of the video's positions, (V, D / heads)."""


def with_positions(attn: Any, tokens: Tensor, text: int, rotary: Rotary | None) -> list[Tensor]:
    """Queries, keys and values (B, N, heads, d) of tokens (B, N, D), of which the first `text` are
    the prompt's; positions of the others turned into the first two.
    """
    from diffusers.models.embeddings import apply_rotary_emb

    query, key, value = (
        layer(tokens).unflatten(-1, (attn.heads, -1)) for layer in (attn.to_q, attn.to_k, attn.to_v)
    )
    if attn.norm_q is not None:
        query, key = attn.norm_q(query), attn.norm_k(key)
    if rotary is None:
        return [query, key, value]
    tables: Any = rotary
    query, key = (
        torch.cat([part[:, :text], apply_rotary_emb(part[:, text:], tables, sequence_dim=1)], dim=1)
        for part in (query, key)
    )
    return [query, key, value]


class KernelAttention:
    """In the place of `CogVideoXAttnProcessor2_0`, with `attend` in the place of torch's choice."""

    def __init__(self, attend: Attend) -> None:
        self.attend = attend

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor,
        attention_mask: None = None, image_rotary_emb: Rotary | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Video (B, V, D) and text (B, S, D) to the same."""
        text = encoder_hidden_states.shape[1]
        tokens = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        made = self.attend(*with_positions(attn, tokens, text, image_rotary_emb)).flatten(2)
        made = attn.to_out[1](attn.to_out[0](made))
        return made[:, text:], made[:, :text]


def use_kernel(pipe: Any, name: str) -> None:
    """Let every layer attend by an optional kernel. Raises SwitchError where it does not load."""
    pipe.transformer.set_attn_processor(KernelAttention(optional_attend(name)))

"""LoRA keys that only SAT writes, the trainer that CogVideoX came with.

`model.diffusion_model.transformer.layers.N.attention.query_key_value.matrix_A.0`: 0, 1, 2 are
queries, keys, values.
"""

import re

from src.pipelines.family import Place

SAT = re.compile(
    r"(?:transformer\.)?layers\.(\d+)\.attention\.(query_key_value|dense)\.matrix_([AB])\.([012])"
)
NAMES = {"query_key_value": ("to_q", "to_k", "to_v"), "dense": ("to_out.0",)}
ALPHA = 1.0
"""SAT's scale, unless the file says another."""


def lora_place(key: str) -> Place | None:
    """Module and side of a SAT key, what trainers put in front taken off; None for any other
    key."""
    sat = SAT.fullmatch(key)
    if sat is None:
        return None
    names = NAMES[sat[2]]
    name = names[min(int(sat[4]), len(names) - 1)]
    return Place(f"transformer_blocks.{sat[1]}.attn1.{name}", sat[3], ALPHA)

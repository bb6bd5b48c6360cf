"""LoRA keys by the names of Wan's own code, which most of its trainers write.

`diffusion_model.blocks.N.self_attn.q.lora_A.weight`, or with underscores
`lora_unet_blocks_N_self_attn_q.lora_down.weight`.
"""

import re

from src.pipelines.family import Place

KEY = re.compile(
    r"(?:lora_unet_)?blocks[._](?P<block>\d+)[._](?P<part>self_attn|cross_attn|ffn)[._]"
    r"(?P<layer>[qkvo02])\.(?P<side>lora_A|lora_B|lora_down|lora_up|alpha)"
    r"(?:\.(?!weight)\w+)?(?:\.weight)?"
)
PARTS = {"self_attn": "attn1", "cross_attn": "attn2", "ffn": "ffn"}
LAYERS = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0", "0": "net.0.proj", "2": "net.2"}
SIDES = {"lora_A": "A", "lora_down": "A", "lora_B": "B", "lora_up": "B", "alpha": "alpha"}


def lora_place(key: str) -> Place | None:
    """Module and side of such a key, what trainers put in front taken off; None for any other."""
    found = KEY.fullmatch(key)
    if found is None:
        return None
    module = f"blocks.{found['block']}.{PARTS[found['part']]}.{LAYERS[found['layer']]}"
    return Place(module, SIDES[found["side"]])

"""One adapter in the forms that trainers write."""

import json

import torch
from safetensors.torch import save_file

RANK, ALPHA = 4, 8.0
MODULES = [
    f"transformer_blocks.{block}.attn1.{name}"
    for block in (0, 1)
    for name in ("to_q", "to_k", "to_v", "to_out.0")
]


def weights(seed=0, rank=RANK, width=32):
    generator = torch.Generator().manual_seed(seed)
    return {
        (module, side): torch.randn((rank, width) if side == "A" else (width, rank),
                                    generator=generator)
        for module in MODULES for side in "AB"
    }  # fmt: skip


def write_diffusers(folder, seed=0, extra=None):
    folder.mkdir(parents=True, exist_ok=True)
    state = {f"transformer.{m}.lora_{s}.weight": w for (m, s), w in weights(seed).items()}
    config = {
        "transformer.r": RANK,
        "transformer.lora_alpha": ALPHA,
        "transformer.target_modules": ["to_q", "to_k", "to_v", "to_out.0"],
    }
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(config)} | (extra or {})
    save_file(state, folder / "pytorch_lora_weights.safetensors", metadata=metadata)
    return folder


def write_peft(folder, seed=0):
    folder.mkdir(parents=True)
    state = {f"base_model.model.{m}.lora_{s}.weight": w for (m, s), w in weights(seed).items()}
    save_file(state, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": ALPHA}))
    return folder


def write_kohya(folder, seed=0):
    folder.mkdir(parents=True)
    sides = {"A": "lora_down", "B": "lora_up"}
    state = {
        f"lora_unet_{m.replace('.', '_')}.{sides[s]}.weight": w
        for (m, s), w in weights(seed).items()
    }
    state |= {f"lora_unet_{m.replace('.', '_')}.alpha": torch.tensor(ALPHA) for m in MODULES}
    save_file(state, folder / "style.safetensors")
    return folder / "style.safetensors"


def spelled(form, alpha=None):
    """The reference's weights under the keys of a trainer."""
    down, up = form["sides"]
    state = {form["name"](m) + (down, up)[s == "B"]: w for (m, s), w in weights().items()}
    if alpha is not None:
        state |= {form["name"](m) + form["alpha"]: torch.tensor(alpha) for m in MODULES}
    return state


def sat_keys():
    state = {}
    for (module, side), weight in weights().items():
        block, name = module.split(".")[1], module.split("attn1.")[1]
        part = "dense" if name == "to_out.0" else "query_key_value"
        index = {"to_q": 0, "to_k": 1, "to_v": 2, "to_out.0": 0}[name]
        layer = f"model.diffusion_model.transformer.layers.{block}"
        key = f"{layer}.attention.{part}.matrix_{side}.{index}"
        state[key] = weight * (ALPHA if side == "B" else 1)
    return state


def old_processor_keys():
    names = {
        "to_q": "to_q_lora",
        "to_k": "to_k_lora",
        "to_v": "to_v_lora",
        "to_out.0": "to_out_lora",
    }
    state = {}
    for (module, side), weight in weights().items():
        at, name = module.split(".attn1.")
        side_name = "down" if side == "A" else "up"
        scaled = weight * (ALPHA / RANK if side == "B" else 1)
        state[f"transformer.{at}.attn1.processor.{names[name]}.{side_name}.weight"] = scaled
    return state


def flat(prefix):
    return lambda module: prefix + module.replace(".", "_")


KOHYA, DOTTED = (".lora_down.weight", ".lora_up.weight"), (".lora_A.weight", ".lora_B.weight")
FORMS = {
    "kohya_two_underscores": {"name": flat("lora_unet__"), "sides": KOHYA, "alpha": ".alpha"},
    "comfy": {"name": lambda m: f"diffusion_model.{m}", "sides": DOTTED, "alpha": ".alpha"},
    "musubi": {"name": lambda m: f"diffusion_model.{m}", "sides": KOHYA, "alpha": ".lora_alpha"},
    "old_diffusers": {"name": lambda m: f"transformer.{m}",
                      "sides": (".lora.down.weight", ".lora.up.weight"), "alpha": ".lora.alpha"},
    "peft_default": {"name": lambda m: f"base_model.model.{m}",
                     "sides": (".lora_A.default.weight", ".lora_B.default.weight"),
                     "alpha": ".alpha"},
}  # fmt: skip

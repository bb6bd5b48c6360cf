"""LoRA adapters of an image-to-video transformer, on encodings that are computed once."""

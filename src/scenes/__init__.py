"""Floor 1: synthetic scenes: camera moves with exact flow."""

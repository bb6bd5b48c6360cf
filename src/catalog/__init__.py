"""Floor 1: ModelSpec and profile data, read from configs/. No torch."""

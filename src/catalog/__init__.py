"""Floor 2: ModelSpec and profile data, read from configs/. No torch."""

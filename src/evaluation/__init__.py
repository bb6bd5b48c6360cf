"""Floor 5: measuring models and profiles."""

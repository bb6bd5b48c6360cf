"""Floor 6: measuring models and profiles."""

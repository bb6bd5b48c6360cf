"""Floor 7: measuring models and profiles."""

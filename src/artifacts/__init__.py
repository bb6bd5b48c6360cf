"""Floor 1: where finished files go."""

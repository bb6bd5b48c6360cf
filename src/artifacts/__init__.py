"""Floor 2: where finished files go."""

"""Floor 1: what every command shares."""

"""Floor 2: what every command shares."""

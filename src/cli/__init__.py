"""Floor 6: one parser a command; parse, call, answer."""

"""Floor 7: one parser a command; parse, call, answer."""

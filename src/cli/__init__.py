"""Floor 5: one parser a command; parse, call, answer."""

"""Floor 3: a backend protocol and its backends."""

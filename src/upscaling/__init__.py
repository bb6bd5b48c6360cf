"""Floor 2: a backend protocol and its backends."""

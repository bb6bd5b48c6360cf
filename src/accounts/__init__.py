"""Floor 2: API keys, their rights, and logins. No torch."""

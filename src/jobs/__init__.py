"""Floor 1: jobs, their files, and the order in which they cost least. No torch."""

"""Floor 4: one loop on Accelerate, one checkpoint manager, callbacks, recipes."""

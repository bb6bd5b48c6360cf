"""Floor 5: one loop on Accelerate, one checkpoint manager, callbacks, recipes."""

"""Floor 5: one loop on Accelerate, one checkpoint manager, optimisers, callbacks, trackers."""

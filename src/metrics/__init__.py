"""Floor 3: one metric a file; folds over a stream of frames (start, update, finish)."""

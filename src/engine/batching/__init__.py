"""Batches: the jobs file, the order that costs least, forwards that clips share, and the run."""

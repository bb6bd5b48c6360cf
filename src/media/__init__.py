"""Floor 1: images and video streams in and out (PyAV)."""

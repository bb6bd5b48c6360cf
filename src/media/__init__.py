"""Floor 2: images and video streams in and out (PyAV)."""

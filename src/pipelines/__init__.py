"""Floor 2: loading, optimisations, the denoising loop."""

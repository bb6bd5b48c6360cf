"""Floor 3: loading, optimisations, the denoising loop."""

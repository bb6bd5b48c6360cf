"""Preview decoders: small frames from a model's latents, for drafts."""

"""Floor 3: what every layer says of a file: signature, watermark, fingerprint. No network."""

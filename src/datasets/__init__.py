"""Floor 4: data sets: their manifest, and what is known of a clip. No torch."""

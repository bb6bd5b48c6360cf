"""Floor 6: where training clips come from, and the manifest that says so."""

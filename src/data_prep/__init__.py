"""Floor 7: where training clips come from, and the manifest that says so."""

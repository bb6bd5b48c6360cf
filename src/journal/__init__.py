"""The audit log: what was decided, by whom, in a chain of hashes."""

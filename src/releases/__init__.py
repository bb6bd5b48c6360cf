"""Releases: clips that are submitted, approved by somebody else, and let out or withdrawn."""

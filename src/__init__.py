"""Newsreel: one press photograph and a scenario prompt become a six-second clip."""

__version__ = "0.1.0"

"""Fewer forwards: adapters that do in one forward, and in few steps, what the base does in more."""

"""Floor 7: whether an adapter does what it was trained for,
against the base with the same seeds.
"""

"""Floor 6: what is trained: a recipe a room. The loop, its state and its callbacks are
src/training/.
"""

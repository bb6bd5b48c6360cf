"""Floor 2: synthetic scenes: camera moves over painted canvases and photographs,
with exact flow.
"""

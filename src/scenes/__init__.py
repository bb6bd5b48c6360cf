"""Floor 1: synthetic scenes: camera moves over painted canvases and photographs, with exact flow."""

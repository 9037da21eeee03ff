"""Images in files and in memory: decoded to pixels, and brought to a model's size."""

"""Plain-Python twins of every kernel: slow, obvious, and written from the design alone."""

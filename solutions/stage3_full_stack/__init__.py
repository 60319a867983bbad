"""Stage 3: the full stack, from alignment to serving."""

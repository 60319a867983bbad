"""Stage 11: serving."""

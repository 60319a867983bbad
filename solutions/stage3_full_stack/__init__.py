"""Stage 3: the full stack."""

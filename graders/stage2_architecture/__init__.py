"""Stage 1: foundation and mathematics."""

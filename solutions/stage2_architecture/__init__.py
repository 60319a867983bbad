"""Stage 2: architecture and systems."""

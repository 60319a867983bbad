"""Checks of stage 3: the full stack."""

"""Checks and known mistakes: one module a day, imported as ``ladder.graders``."""

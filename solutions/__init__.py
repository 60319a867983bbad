"""Reference implementations: one module a day, imported as ``ladder.solutions``."""

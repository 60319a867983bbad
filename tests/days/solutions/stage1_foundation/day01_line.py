"""A line."""


def line(x, a, b):
    """``a x + b``."""
    return a * x + b

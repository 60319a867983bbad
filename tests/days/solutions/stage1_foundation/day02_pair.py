"""Means and pairs: small enough to grade a cohort in seconds."""

import numpy as np


def row_mean(A):
    """The mean of each row of ``A``, shape (rows,)."""
    return A.sum(axis=1) / A.shape[1]


class Pair:
    """Two numbers that stand together."""

    def __init__(self, a, b):
        """Keep ``a`` and ``b`` under these names."""
        self.a, self.b = a, b

    def norm(self):
        """The Euclidean length."""
        return np.sqrt(self.a**2 + self.b**2)

    def __add__(self, other):
        """The pair of sums, a new ``Pair``."""
        return Pair(self.a + other.a, self.b + other.b)


def far(x):
    """Doubles ``x``, on a machine that is not here."""
    return 2 * x

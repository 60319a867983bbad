"""Inside a graded kernel: refuse to import the solution of the day that is being graded.

Loaded as an IPython extension before the learner's first cell. ``LADDER_REFERENCES`` lists the days
whose solutions may be imported, because ``ladder.earlier`` takes the reference of earlier days from
them. This stops imports, honest accidents above all. It does not stop a learner who takes the
finder out again or who reads the file: only the sandbox, which does not contain the files, can.
This module imports nothing of ours, so that a kernel starts as fast with it as without it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from importlib.abc import MetaPathFinder
from typing import Any

ALLOWED = "LADDER_REFERENCES"
SOLUTIONS = "ladder.solutions."


class Guard(MetaPathFinder):
    """Refuses solutions of days that are not among ``allowed``."""

    def __init__(self, allowed: Collection[str]) -> None:
        self.allowed = frozenset(allowed)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> None:
        if fullname.startswith(SOLUTIONS) and fullname.count(".") > 2:
            day = fullname.rpartition(".")[2]
            if day not in self.allowed:
                raise ModuleNotFoundError(f"the solution of {day} is not here in a graded run",
                                          name=fullname)


def install(allowed: Collection[str]) -> None:
    sys.meta_path.insert(0, Guard(allowed))


def load_ipython_extension(shell: Any) -> None:
    install(os.environ.get(ALLOWED, "").split(","))

"""A copy of the tool with the tiny curriculum of ``tests/days`` beside it, as if installed so.

Subprocesses find it through ``PYTHONPATH``: the stock nbgrader commands and the kernels they start
run on it with no hook in the product.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DAYS = ROOT / "tests" / "days"


def install(folder: Path, days: Path = DAYS) -> dict[str, str]:
    """Put the copy into ``folder``; returns the environment that uses it."""
    package = folder / "ladder"
    ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    shutil.copytree(ROOT / "ladder", package, ignore=ignore)
    shutil.copytree(days, package, ignore=ignore, dirs_exist_ok=True)
    return os.environ | {"PYTHONPATH": str(folder), "LADDER_WORK": str(folder / "work"),
                         "OMP_NUM_THREADS": "1"}


def run(arguments: list[str], cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a Python module's command line to its end."""
    return subprocess.run([sys.executable, "-m", *arguments], cwd=cwd, env=env, text=True,
                          capture_output=True, timeout=600, check=False)

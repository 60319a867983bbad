"""Run a learner's notebook from top to bottom in a fresh kernel and read its verdicts."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ladder.curriculum import Day
from ladder.notebook import VERDICT
from ladder.paths import work_dir


@dataclass(frozen=True)
class Outcome:
    """One check of a notebook run afresh: the verdict's state, or why there is none."""

    check: str
    state: str
    fraction: float
    shown: str


def run_notebook(document: dict[str, Any], day: Day, folder: Path, timeout: int) -> list[Outcome]:
    """Execute ``document`` in ``folder`` and return one outcome for each check of the day.

    The notebook itself is not changed. A cell that raises, or runs longer than ``timeout`` seconds,
    does not keep the others from running.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    notebook = nbformat.reads(json.dumps(document), as_version=4)
    client = NotebookClient(
        notebook, timeout=timeout, interrupt_on_timeout=True, allow_errors=True,
        resources={"metadata": {"path": str(folder)}}, kernel_name="python3",
    )
    stopped = ""
    environment = {**os.environ, "LADDER_WORK": str(work_dir()), "MPLBACKEND": "agg"}
    try:
        client.execute(env=environment, stderr=subprocess.DEVNULL)
    except DeadKernelError:
        stopped = "the kernel died before this check (memory, or exit() in a cell)"
    except CellTimeoutError:
        stopped = f"a cell ran longer than {timeout} s (`--timeout` allows more)"
    found = {}
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name in day.checks:
            found[name] = _outcome(name, cell, stopped)
    missing = "its cell is missing; `ladder start` puts it back"
    return [found.get(name, Outcome(name, "not_run", 0.0, missing)) for name in day.checks]


def _outcome(name: str, cell: Any, stopped: str) -> Outcome:
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if VERDICT in data:
            verdict = data[VERDICT]
            return Outcome(name, verdict["state"], verdict["fraction"], data.get("text/plain", ""))
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            return Outcome(name, "not_run", 0.0, f"{output.ename}: {output.evalue}")
    return Outcome(name, "not_run", 0.0, stopped or "the cell gave no verdict")

"""What a graded run of a day needs around it: earlier days, imports, environment. Imports little."""

from __future__ import annotations

import ast
import functools
from collections.abc import Sequence
from pathlib import Path

from ladder.cohort.guard import ALLOWED
from ladder.cohort.jobs import Job
from ladder.curriculum import Curriculum, Day
from ladder.paths import source_path

ALWAYS = ("numpy", "matplotlib")  # whatever the day, learners compute and plot
LONG = ("torch", "triton", "sympy")


def job_of(day: Day | None, curriculum: Curriculum, base: str, sandbox: str, gpu: bool) -> Job:
    """A job of ``day`` that has no cells yet; None is an assignment of the instructor's own."""
    if day is None:
        return Job("", (), preload=ALWAYS, sandbox=sandbox, gpu=gpu)
    before = tuple(sorted(curriculum.all_needs(day)))
    return Job(day.id, (), environment(before, base), before, imports_of(day, curriculum),
               sandbox=sandbox, gpu=gpu)


def environment(before: Sequence[str], base: str) -> dict[str, str]:
    """What a graded process is told by its environment."""
    from ladder.data.store import cache_dir, data_dir

    own = data_dir()
    return {
        "LADDER_MODE": "observe", "LADDER_QUICK": "1", "LADDER_SEED": base, "LADDER_CARRY": "reference",
        "LADDER_OFFLINE": "1", "LADDER_CACHE": str(cache_dir().absolute()), ALLOWED: ",".join(before),
        **({"LADDER_DATA": str(own.absolute())} if own else {}),
    }


def imports_of(day: Day, curriculum: Curriculum) -> tuple[str, ...]:
    """What a day's notebook imports and takes long to import."""
    stage = curriculum.stage_of(day).id
    found = frozenset().union(*(_imports(source_path(kind, stage, day.id))
                                for kind in ("stages", "graders")))
    return (*ALWAYS, *(name for name in LONG if name in found))


@functools.lru_cache(maxsize=256)
def _imports(path: Path) -> frozenset[str]:
    """The packages that a file imports."""
    if not path.exists():
        return frozenset()
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add("triton" if node.module == "ladder.triton" else node.module.split(".")[0])
    return frozenset(found)

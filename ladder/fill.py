"""Put code into a built notebook as a learner would: right answers, known mistakes, anything.

Used by tests, benches and `ladder verify`'s wider relatives; never while a learner works.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from ladder.build import read_day
from ladder.checks import Mistake
from ladder.content import checks_of, find_definition, patched
from ladder.curriculum import Curriculum, Day, load_curriculum
from ladder.errors import ContentError, LessonError
from ladder.stub import Cutter


def fill(notebook: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, Any]:
    """A copy of a built notebook with ``sources`` in its exercise cells, by exercise id."""
    made = copy.deepcopy(dict(notebook))
    cells = {cell["metadata"].get("nbgrader", {}).get("grade_id"): cell for cell in made["cells"]}
    for exercise, source in sources.items():
        if exercise not in cells:
            raise ContentError(f"the notebook has no cell {exercise!r}; it has "
                               f"{', '.join(sorted(filter(None, cells)))}")
        cells[exercise]["source"] = source.splitlines(keepends=True)
    return made


def solved(day: Day, curriculum: Curriculum | None = None) -> dict[str, str]:
    """The reference's code for every exercise cell of ``day``."""
    lesson, solution = read_day(day, curriculum)
    return _cells(day, lesson, solution)


def mistaken(day: Day, mistake: Mistake, curriculum: Curriculum | None = None) -> dict[str, str]:
    """As :func:`solved`, with one known mistake made."""
    lesson, solution = read_day(day, curriculum)
    if mistake.replace is not None:
        solution = patched(solution, mistake.within, mistake.replace, mistake.check.name)
        return _cells(day, lesson, solution)
    assert mistake.instead is not None
    cells = _cells(day, lesson, solution)
    owner, _, name = mistake.within.rpartition(".")
    exercise = next(ex for ex in day.exercises
                    if {mistake.within, owner} & set(ex.names)).id
    source = _function(mistake.instead, name)
    head = f"@method_of({owner})\n" if owner else ""
    cells[exercise] += f"\n\n\n{head}{source}"
    return cells


def all_mistaken(day: Day, curriculum: Curriculum | None = None) -> dict[str, str]:
    """For each exercise the cell with the first known mistake of its checks that has a source."""
    curriculum = curriculum or load_curriculum()
    checks = checks_of(curriculum.stage_of(day).id, day.id)
    cells = solved(day, curriculum)
    for exercise in day.exercises:
        for mistake in (m for name in exercise.checks for m in checks[name].mistakes):
            with contextlib.suppress(LessonError):
                made = mistaken(day, mistake, curriculum)[exercise.id]
                if made != cells[exercise.id]:
                    cells[exercise.id] = made
                    break
    return cells


def _cells(day: Day, lesson: Any, solution: str) -> dict[str, str]:
    cutter = Cutter(solution, {ex.id: ex.names for ex in day.exercises})
    return {cell.name: cutter.cell(cell.name, cell.imports, solved=True)
            for cell in lesson.cells if cell.kind == "exercise"}


def _function(function: Any, name: str) -> str:
    """A function's source under ``name``, without its decorators."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except SyntaxError:  # a lambda within an expression
        tree = ast.Module(body=[], type_ignores=[])
    node = find_definition(tree, function.__name__)
    if node is None:
        raise LessonError(f"the mistake that stands in for {name} is no function with a source")
    node.decorator_list = []
    node.name = name
    return ast.unparse(node)

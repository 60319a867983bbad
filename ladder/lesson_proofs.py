"""Proofs of a day's texts: lesson, hints, docstrings in two languages, notebooks."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator

from ladder import build, content
from ladder.content import Definition, find_definition
from ladder.curriculum import Curriculum, Day, load_curriculum
from ladder.lesson import Lesson, read_lesson
from ladder.paths import source_path
from ladder.proofs import CHINESE
from ladder.verify_report import Report, told

LEAST_HINTS = 2
LESSON_SECONDS = 300.0   # the lesson as a script


def structure_problems(stage: str, day: Day) -> Iterator[str]:
    """What curriculum.yaml, grader and solution must agree on."""
    checks = content.checks_of(stage, day.id)
    for name in day.checks:
        if name not in checks:
            yield f"{name} is in curriculum.yaml but not in the grader"
    for name in checks:
        if name not in day.checks:
            yield f"{name} is in the grader but not in curriculum.yaml"
    tree = ast.parse(content.solution_source(stage, day.id))
    for exercise in day.exercises:
        for name in exercise.names:
            node = find_definition(tree, name)
            if not isinstance(node, Definition):
                yield f"{exercise.id}: the solution does not define {name} as a function or class"
            elif not (ast.get_docstring(node) or "").strip():
                yield f"{exercise.id}: {name} has no docstring; it is the task"


def lesson_problems(stage: str, day: Day, source: str) -> Iterator[str]:
    path = source_path("stages", stage, day.id)
    if not path.exists():
        yield f"no lesson: {path} does not exist"
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compile(path.read_text(encoding="utf-8"), str(path), "exec")
    for warning in caught:
        yield f"lesson line {warning.lineno}: {warning.message}; make it a raw string"
    lesson = read_lesson(path)
    tree = ast.parse(source)
    for exercise in day.exercises:
        if len(lesson.named("exercise", exercise.id)) == 0:
            yield f"lesson: no cell for the exercise {exercise.id}"
        yield from _hint_problems(lesson, exercise.id)
        for name in exercise.names:
            node = find_definition(tree, name)
            if isinstance(node, Definition) and ast.get_docstring(node) and not CHINESE.search(
                lesson.docstrings.get(name, "")
            ):
                yield f"lesson: no Chinese docstring for {name}"
    called = [cell.name for cell in lesson.cells if cell.kind == "check"]
    for name in day.checks:
        if called.count(name) != 1:
            yield f"lesson: {name} has {called.count(name)} cells, must be one"
    for answer in day.written:
        for kind in ("written", "model"):
            if not lesson.named(kind, answer.id):
                yield f"lesson: no {kind} cell for the written answer {answer.id}"


def _hint_problems(lesson: Lesson, exercise: str) -> Iterator[str]:
    hints = lesson.named("hint", exercise)
    if len(hints) < LEAST_HINTS:
        yield f"lesson: {exercise} has {len(hints)} hints, must have at least {LEAST_HINTS}"
    for hint in hints:
        if not hint.source.en.strip() or not CHINESE.search(hint.source.zh):
            yield f"lesson: a hint of {exercise} is not in both languages: {hint.source.en[:50]!r}"


def script_problems(stage: str, slug: str) -> Iterator[str]:
    """The lesson must run as a plain script against the reference."""
    path = source_path("stages", stage, slug)
    if not path.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"LADDER_STRICT": "1", "LADDER_QUICK": "1", "LADDER_OFFLINE": "1",
                                    "LADDER_WORK": folder, "MPLBACKEND": "agg",
                                    "OMP_NUM_THREADS": "1"}
        try:
            process = subprocess.run(
                [sys.executable, str(path)], cwd=folder, env=environment, text=True, errors="replace",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=LESSON_SECONDS,
            )
        except subprocess.TimeoutExpired:
            yield f"lesson: runs longer than {LESSON_SECONDS:g} s as a script"
            return
    if process.returncode:
        tail = "\n".join(process.stdout.strip().split("\n")[-6:])
        yield f"lesson: as a script it ends with exit code {process.returncode}:\n{tail}"


def notebook_problems(day: Day, curriculum: Curriculum, report: Report) -> list[str]:
    """What the build says of the day's notebooks: stale, unlike in two languages, or leaking."""
    if not source_path("stages", curriculum.stage_of(day).id, day.id).exists():
        return []  # told already
    proofs = {"parity": build.parity, "leaks": build.leaks}
    if day in load_curriculum().built_days:
        proofs["stale"] = build.stale
    else:
        report.notes.append("the day is a draft: its committed notebooks are not compared")
    return [problem for name, prove in proofs.items()
            for problem in told(functools.partial(prove, day, curriculum), name)]

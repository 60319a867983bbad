"""Build a day's notebooks: a pure function of its lesson, solution, curriculum entry and checks.

Same input, same bytes: cell ids come from names (exercises, checks) or from a hash of the English
text (prose, given code), there are no outputs, and no metadata beyond nbgrader's and the language.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import tokenize
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ladder.content import solution_source
from ladder.curriculum import Curriculum, Day, load_curriculum
from ladder.errors import LessonError
from ladder.lesson import Cell, Lesson, parity_problems, read_lesson
from ladder.paths import source_path
from ladder.stub import Cutter, cut_statements
from ladder.text import LANGUAGES

SUFFIX = {"en": ".ipynb", "zh": ".zh.ipynb"}
BANNER = {
    "en": "# Given: run this cell first.",
    "zh": "# 已给出：请先运行这个单元格。",
}


def notebook_path(day: Day, language: str, curriculum: Curriculum | None = None) -> Path:
    stage = (curriculum or load_curriculum()).stage_of(day).id
    return source_path("stages", stage, day.id, SUFFIX[language])


def read_day(day: Day, curriculum: Curriculum | None = None) -> tuple[Lesson, str]:
    """A day's lesson and the source of its solution."""
    stage = (curriculum or load_curriculum()).stage_of(day).id
    path = source_path("stages", stage, day.id)
    if not path.exists():
        raise LessonError(f"{day.id} has no lesson yet: write {path}")
    return read_lesson(path), solution_source(stage, day.id)


def build(day: Day, language: str, *, solved: bool = False,
          curriculum: Curriculum | None = None) -> str:
    """The notebook of ``day`` as JSON text; ``solved`` keeps the reference's bodies."""
    lesson, solution = read_day(day, curriculum)
    return serialise(notebook(day, lesson, solution, language, solved=solved))


def serialise(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def notebook(day: Day, lesson: Lesson, solution: str, language: str, *,
             solved: bool = False) -> dict[str, Any]:
    """The notebook as nbformat 4.5 data."""
    exercises = {ex.id: ex.names for ex in day.exercises}
    docstrings = lesson.docstrings if language == "zh" else {}
    cutter = Cutter(solution, exercises, docstrings)
    _complete(day, lesson)
    for name in lesson.docstrings:
        cutter.check(name)
    ids: Counter[str] = Counter()
    cells = []
    for cell in lesson.cells:
        made = _cell(cell, day, cutter, language, solved)
        if made is not None:
            identity = made.pop("id")
            ids[identity] += 1
            times = ids[identity]
            made["id"] = identity if times == 1 else f"{identity}-{times}"
            cells.append(made)
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)",
                           "language": "python"},
            "language_info": {"name": "python"},
            "ladder": {"day": day.id, "language": language},
        },
        "cells": cells,
    }


def _complete(day: Day, lesson: Lesson) -> None:
    """Every exercise, check and written answer of the curriculum stands in the lesson once."""
    for kind, wanted in (
        ("exercise", [ex.id for ex in day.exercises]),
        ("check", list(day.checks)),
        ("written", [w.id for w in day.written]),
    ):
        there = [cell.name for cell in lesson.cells if cell.kind == kind]
        for name in wanted:
            if there.count(name) != 1:
                raise LessonError(f"{day.id}: the {kind} {name} of curriculum.yaml stands "
                                  f"{there.count(name)} times in the lesson; it must stand once")
        for name in there:
            if name not in wanted:
                raise LessonError(f"{day.id}: the lesson has the {kind} {name}, which "
                                  "curriculum.yaml does not list")
    if [cell.kind for cell in lesson.cells].count("setup") != 1:
        raise LessonError(f"{day.id}: one `# %% setup` cell holds the imports, found "
                          f"{[cell.kind for cell in lesson.cells].count('setup')}")
    known = {"hint": [ex.id for ex in day.exercises],
             "model": [w.id for w in day.written] + [ex.id for ex in day.exercises]}
    for cell in lesson.cells:
        if cell.name not in known.get(cell.kind, [cell.name]):
            raise LessonError(f"{day.id}: a {cell.kind} is for {cell.name!r}, which is none of "
                              f"{', '.join(known[cell.kind]) or 'this day'}; mend the name in its header")


def _cell(cell: Cell, day: Day, cutter: Cutter, language: str, solved: bool) -> Any:
    source = cell.source.in_(language)
    if cell.kind == "prose":
        return _markdown(_hashed("text", cell.source.en), source)
    if cell.kind == "written":
        points = next(w.points for w in day.written if w.id == cell.name)
        return _markdown(_identity("answer", cell.name), source,
                         _nbgrader(cell.name, grade=True, solution=True, points=points))
    if cell.kind == "setup":
        lines = [BANNER[language], source, "from ladder.notebook import begin, method_of", "",
                 f'begin("{day.id}", language="{language}")']
        return _code("setup", "\n".join(lines), _nbgrader("setup", locked=True))
    if cell.kind == "exercise":
        stub = cutter.cell(cell.name, cell.imports, solved)
        return _code(_identity("ex", cell.name), stub + _rest(cell),
                     _nbgrader(cell.name, solution=True))
    if cell.kind == "check":
        points = day.checks[cell.name]
        return _code(_identity("check", cell.name.removeprefix("check_")), source,
                     _nbgrader(cell.name, grade=True, locked=True, points=points))
    if cell.kind == "given":
        return _code(_hashed("given", cell.source.en), source)
    return None


def _rest(cell: Cell) -> str:
    """What follows the import in an exercise cell."""
    lines = cell.source.en.split("\n")
    for node in ast.parse(cell.source.en).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            ("ladder.solutions.", "ladder.kernels")
        ):
            assert node.end_lineno is not None
            lines[node.lineno - 1:node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    rest = "\n".join(lines).strip("\n")
    return f"\n\n\n{rest}" if rest else ""


def _nbgrader(grade_id: str, *, grade: bool = False, solution: bool = False, locked: bool = False,
              points: float | None = None) -> dict[str, Any]:
    meta: dict[str, Any] = {"grade": grade, "grade_id": grade_id, "locked": locked,
                            "schema_version": 3, "solution": solution, "task": False}
    if points is not None:
        meta["points"] = int(points) if float(points).is_integer() else points
    return meta


def _code(identity: str, source: str, nbgrader: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"cell_type": "code", "id": identity, "execution_count": None, "outputs": [],
            "metadata": {"nbgrader": nbgrader} if nbgrader else {}, "source": _lines(source)}


def _markdown(identity: str, source: str,
              nbgrader: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": identity,
            "metadata": {"nbgrader": nbgrader} if nbgrader else {}, "source": _lines(source)}


def _lines(source: str) -> list[str]:
    return source.splitlines(keepends=True)


def _identity(kind: str, name: str) -> str:
    return f"{kind}-{re.sub('[^A-Za-z0-9_-]', '-', name)}"[:60]


def _hashed(kind: str, text: str) -> str:
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def write(day: Day, curriculum: Curriculum | None = None) -> list[Path]:
    """Build both notebooks of ``day`` into stages/; returns those that changed."""
    changed = []
    for language in LANGUAGES:
        path = notebook_path(day, language, curriculum)
        text = build(day, language, curriculum=curriculum)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def stale(day: Day, curriculum: Curriculum | None = None) -> list[str]:
    """The notebooks of ``day`` that differ from what its sources build."""
    problems = []
    for language in LANGUAGES:
        path = notebook_path(day, language, curriculum)
        text = build(day, language, curriculum=curriculum)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            problems.append(f"{path.name} is stale; run `ladder build {day.id}` and commit it")
    return problems


def parity(day: Day, curriculum: Curriculum | None = None) -> list[str]:
    """Where the two languages of a lesson differ in structure, equations or links."""
    lesson, _ = read_day(day, curriculum)
    return [problem for cell in lesson.cells if cell.kind in ("prose", "written", "hint", "model")
            for problem in parity_problems(cell)]


MIN_STATEMENT, MIN_EXPRESSION = 14, 24  # characters without white space; less is no secret


def leaks(day: Day, curriculum: Curriculum | None = None) -> list[str]:
    """What a built notebook gives away of the solution, in either language.

    Looked for: the statements to be written and the longer expressions in them, as code anywhere in a
    code cell, and as text in prose, comments and strings. A paraphrase is not seen.
    """
    lesson, solution = read_day(day, curriculum)
    secrets = secrets_of(solution, [name for ex in day.exercises for name in ex.names])
    return [
        f"{day.id} ({language}): the cell {cell['id']} shows {text!r}, which the learner is to write"
        for language in LANGUAGES
        for cell in notebook(day, lesson, solution, language)["cells"]
        for text in leaked(cell, secrets)
    ]


def secrets_of(solution: str, names: Collection[str]) -> set[str]:
    """Statements and longer expressions of what is cut, without white space."""
    found = set()
    for statement in cut_statements(solution, names):
        parts: list[tuple[ast.AST | None, int]] = [(statement, MIN_STATEMENT)]
        if isinstance(statement, (ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr)):
            parts.append((statement.value, MIN_EXPRESSION))
        for node, least in parts:
            if node is not None and not isinstance(node, ast.Constant):
                for text in (ast.unparse(node), ast.get_source_segment(solution, node) or ""):
                    if len(normal := _normal(text)) >= least:
                        found.add(normal)
    return found


def leaked(cell: Mapping[str, Any], secrets: Collection[str]) -> list[str]:
    """The secrets that a built cell shows."""
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return sorted(text for text in secrets if text in _normal(source))
    plain = re.sub(r"^\s*[%!].*$", "", source, flags=re.M)
    shown, told = set(), []
    for node in ast.walk(ast.parse(plain)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            told.append(_normal(node.value))
        elif isinstance(node, (ast.stmt, ast.expr)) and not isinstance(
            node, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
        ):
            shown.add(_normal(ast.unparse(node)))
    comments = [token.string.lstrip("# ") for token in tokenize.generate_tokens(
        io.StringIO(plain).readline) if token.type == tokenize.COMMENT]
    told.append(_normal("".join(comments)))
    return sorted(text for text in secrets if text in shown or any(text in part for part in told))


def _normal(text: str) -> str:
    return re.sub(r"\s+", "", text).replace('"', "'")

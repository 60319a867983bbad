"""Change the cells of a day that has submissions, and keep every grade.

nbgrader refuses to add or remove cells once there are submissions. ``compared`` says what a new
version of a notebook changes, ``migrate`` makes the gradebook ready for it: a renamed cell keeps its
grades, changed points scale them (full marks stay full marks), a removed cell's grades are set aside
in a file, a new cell has none until its submissions are graded again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from ladder.text import Text, say


@dataclass(frozen=True)
class Cell:
    """What nbgrader keeps of a cell; ``kind`` is what its grades and comments hang on."""

    name: str
    grade: bool
    solution: bool
    points: float | None
    checksum: str
    cell_type: str

    @property
    def kind(self) -> tuple[bool, bool]:
        return self.grade, self.solution


def cells_of(notebook: str) -> dict[str, Cell]:
    """The cells of a notebook that nbgrader keeps, in order."""
    from nbgrader.utils import compute_checksum, is_grade, is_locked, is_solution

    found = {}
    for cell in nbformat.reads(notebook, as_version=4).cells:
        if is_grade(cell) or is_solution(cell) or is_locked(cell):
            meta = cell.metadata.nbgrader
            found[meta.grade_id] = Cell(
                meta.grade_id, is_grade(cell), is_solution(cell),
                float(meta.points) if is_grade(cell) else None, compute_checksum(cell), cell.cell_type)
    return found


@dataclass(frozen=True)
class Change:
    """How the tracked cells of one day differ from what was published before."""

    slug: str
    renamed: dict[str, str] = field(default_factory=dict)
    added: dict[str, Cell] = field(default_factory=dict)
    removed: dict[str, Cell] = field(default_factory=dict)
    points: dict[str, tuple[float, float]] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    alike: dict[str, str] = field(default_factory=dict)  # gone and new cells that may be a renaming

    def __bool__(self) -> bool:
        return bool(self.renamed or self.added or self.removed or self.points or self.texts)

    def lines(self) -> list[Text]:
        """One line a change, with what it means for what is graded already."""
        found = [say(f"{old} is called {new} now; its grades move along",
                     f"{old} 改名为 {new}；成绩随之保留") for old, new in self.renamed.items()]
        found += [say(f"{name} counts {new:g} points, was {old:g}; its grades are scaled, so that "
                      "full marks stay full marks",
                      f"{name} 由 {old:g} 分改为 {new:g} 分；已有成绩按比例换算，满分仍是满分")
                  for name, (old, new) in self.points.items()]
        found += [say(f"{name} is gone; its grades are set aside and no longer count",
                      f"{name} 已删除；其成绩另存，不再计入") if cell.grade else
                  say(f"{name} is gone", f"{name} 已删除") for name, cell in self.removed.items()]
        found += [say(f"{name} is new; submissions graded before have nothing for it until they are "
                      "graded again", f"{name} 是新增的；已评分的提交要重新评分后才有它的成绩")
                  if cell.grade else say(f"{name} is new", f"{name} 是新增的")
                  for name, cell in self.added.items()]
        found += [say(f"{name} reads differently; grades stay", f"{name} 的内容有改动；成绩不变")
                  for name in self.texts]
        found += [say(f"if {new} is {old} under a new name, say so: --rename {old}={new}",
                      f"如果 {new} 就是改名后的 {old}，请注明：--rename {old}={new}")
                  for old, new in self.alike.items()]
        return found


def compared(slug: str, old: Mapping[str, Cell], new: Mapping[str, Cell],
             renamed: Mapping[str, str] | None = None) -> Change:
    """What ``new`` changes of ``old``; ``renamed`` are the instructor's word that a cell moved name."""
    moved = {a: b for a, b in (renamed or {}).items()
             if a in old and b in new and a not in new and b not in old and old[a].kind == new[b].kind}
    before = {moved.get(name, name): cell for name, cell in old.items()}
    same = [name for name in new if name in before and before[name].kind == new[name].kind]
    removed = {name: cell for name, cell in before.items() if name not in same}
    added = {name: cell for name, cell in new.items() if name not in same}
    points = {name: (before[name].points or 0.0, new[name].points or 0.0) for name in same
              if before[name].points != new[name].points}
    texts = tuple(name for name in same if before[name].checksum != new[name].checksum
                  and name not in points and name not in moved.values())
    alike = {}
    for a, cell in removed.items():
        near = [b for b, other in added.items() if a != b and b not in before and other.kind == cell.kind
                and other.points == cell.points]
        if len(near) == 1:
            alike[a] = near[0]
    return Change(slug, moved, added, removed, points, texts, alike)


def migrate(gradebook: Any, change: Change, new: Mapping[str, Cell]) -> list[dict[str, Any]]:
    """Make the gradebook's cells those of ``new``; returns what was set aside.

    Does not commit: the caller does, or rolls back.
    """
    from nbgrader.api import Comment, Grade, GradeCell, SolutionCell, SourceCell

    notebook = gradebook.find_notebook(change.slug, change.slug)
    db = gradebook.db
    graded = {cell.name: cell for cell in notebook.grade_cells}
    solved = {cell.name: cell for cell in notebook.solution_cells}
    aside: list[dict[str, Any]] = []
    with db.no_autoflush:
        for old, new_name in change.renamed.items():
            for cell in (graded.pop(old, None), solved.pop(old, None)):
                if cell is not None:
                    cell.name = new_name
                    (graded if isinstance(cell, GradeCell) else solved)[new_name] = cell
        for name in change.removed:
            for cell in (graded.pop(name, None), solved.pop(name, None)):
                if cell is None:
                    continue
                for grade in list(cell.grades):
                    aside.append(grade.to_dict())
                    db.delete(grade)
                for comment in list(cell.comments):
                    aside.append(comment.to_dict())
                    db.delete(comment)
                db.delete(cell)
        db.flush()
        for name, (before, after) in change.points.items():
            for grade in graded[name].grades:
                for score in ("auto_score", "manual_score", "extra_credit"):
                    value = getattr(grade, score)
                    if value is not None and before:
                        setattr(grade, score, scaled(value, before, after))
            graded[name].max_score = after
        submitted = list(notebook.submissions)
        for name, cell in change.added.items():
            if cell.grade:
                made = GradeCell(name=name, notebook=notebook, max_score=cell.points or 0.0,
                                 cell_type=cell.cell_type)
                db.add(made)
                for one in submitted:
                    db.add(Grade(cell=made, notebook=one, needs_manual_grade=cell.solution))
            if cell.solution:
                answer = SolutionCell(name=name, notebook=notebook)
                db.add(answer)
                for one in submitted:
                    db.add(Comment(cell=answer, notebook=one))
        # written anew by generate_assignment; here only the names must be right, and in order
        known = {cell.name: cell for cell in notebook.source_cells}
        fresh = [dict(name=name, cell_type=cell.cell_type, checksum=cell.checksum,
                      source=known[name].source if name in known else "", locked=cell.grade)
                 for name, cell in new.items()]
        for source in known.values():
            db.delete(source)
        db.flush()
        for values in fresh:
            db.add(SourceCell(notebook=notebook, **values))
        db.flush()
    return aside


def scaled(value: float, before: float, after: float) -> float:
    """A score out of ``before`` as one out of ``after``."""
    return after if value == before else round(value * after / before, 4)


def move_autograded(course: Path, change: Change, saved: Path) -> int:
    """Let autograded notebooks name their cells as the gradebook does, so that feedback works.

    The files as they were are kept in ``saved``. Returns how many were changed.
    """
    moved = 0
    for path in sorted((course / "autograded").glob(f"*/{change.slug}/{change.slug}.ipynb")):
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
        if not _renamed_cells(document, change):
            continue
        target = saved / path.relative_to(course)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        path.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
        moved += 1
    return moved


def _renamed_cells(document: dict[str, Any], change: Change) -> bool:
    found = False
    for cell in document["cells"]:
        meta = cell["metadata"].get("nbgrader", {})
        name = meta.get("grade_id")
        if name in change.renamed:
            meta["grade_id"] = name = change.renamed[name]
            found = True
        elif name in change.removed:
            del cell["metadata"]["nbgrader"]
            found = True
            continue
        if name in change.points:
            meta["points"] = change.points[name][1]
            found = True
    return found

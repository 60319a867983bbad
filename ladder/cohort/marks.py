"""What a course knows of its students' work: gradebook scores, and the verdicts behind them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ladder.cohort import book
from ladder.cohort.roster import Student
from ladder.errors import WorkError
from ladder.notebook import VERDICT
from ladder.text import Text


@dataclass(frozen=True)
class Mark:
    """The score of one cell; ``waiting`` for a person to grade it."""

    score: float
    points: float
    waiting: bool = False
    by_hand: bool = False


@dataclass(frozen=True)
class Seen:
    """A check's verdict as the autograded notebook tells it."""

    state: str
    fraction: float
    written: bool = True
    hint: Text | None = None


@dataclass(frozen=True)
class Work:
    """One student's submission of one day."""

    student: str
    day: str
    at: dt.datetime | None
    penalty: float
    marks: Mapping[str, Mark]
    seen: Mapping[str, Seen] = field(default_factory=dict)

    @property
    def raw(self) -> float:
        return sum(mark.score for mark in self.marks.values())

    @property
    def score(self) -> float:
        """What counts: after what lateness costs."""
        return max(0.0, round(self.raw - self.penalty, 4))

    @property
    def share(self) -> float | None:
        """The part of the points that was earned, whatever lateness costs and a person must still grade."""
        done = [mark for mark in self.marks.values() if not mark.waiting]
        points = sum(mark.points for mark in done)
        return sum(mark.score for mark in done) / points if points else None

    @property
    def waiting(self) -> bool:
        return any(mark.waiting for mark in self.marks.values())


@dataclass(frozen=True)
class Assigned:
    """A day as the gradebook has it; ``due`` is in UTC."""

    slug: str
    points: Mapping[str, float]
    due: dt.datetime | None = None
    opens: dt.datetime | None = None

    @property
    def total(self) -> float:
        return sum(self.points.values())


@dataclass(frozen=True)
class Marks:
    """Everything of a course, in the order of days and students."""

    heading: Text
    zone: str
    days: tuple[Assigned, ...]
    students: tuple[Student, ...]
    works: Mapping[tuple[str, str], Work]
    unreadable: tuple[str, ...] = ()

    def work(self, student: str, slug: str) -> Work | None:
        return self.works.get((student, slug))


def read_marks(course: Path, verdicts: bool = False) -> Marks:
    """Read the gradebook of ``course``; with ``verdicts``, its autograded notebooks too."""
    from ladder.cohort.publishing import read_state

    if book.database_file(course) is None and book.database(course).startswith("sqlite:///"):
        raise WorkError(f"{course} has no gradebook yet; `ladder publish` makes it")
    state = read_state(course)
    with book.open_gradebook(course) as gradebook:
        days = _days(gradebook, state.get("calendar", {}))
        students = tuple(Student(s.id, s.first_name or "", s.last_name or "", s.email or "",
                                 s.lms_user_id or "") for s in gradebook.students)
        works = _works(gradebook.db)
    unreadable: list[str] = []
    if verdicts:
        works = {key: _with_verdicts(course, work, unreadable) for key, work in works.items()}
    heading = state.get("heading") or [course.resolve().name] * 2
    return Marks(Text(*heading), state.get("zone", "UTC"), days, students, works, tuple(unreadable))


def _days(gradebook: Any, calendar: Mapping[str, Mapping[str, str]]) -> tuple[Assigned, ...]:
    found = []
    for assignment in gradebook.assignments:
        points = {cell.name: cell.max_score for notebook in assignment.notebooks
                  for cell in (*notebook.grade_cells, *notebook.task_cells)}
        due = assignment.duedate
        opens = calendar.get(assignment.name, {}).get("opens")
        found.append(Assigned(
            assignment.name, points, due.replace(tzinfo=dt.UTC) if due else None,
            dt.datetime.fromisoformat(opens).astimezone(dt.UTC) if opens else None))
    return tuple(sorted(found, key=lambda day: day.slug))


def _works(db: Any) -> dict[tuple[str, str], Work]:
    from nbgrader.api import Assignment, BaseCell, Grade, SubmittedAssignment, SubmittedNotebook

    marks: dict[tuple[str, str], dict[str, Mark]] = {}
    points = _points(db)
    handed: dict[tuple[str, str], tuple[Any, float]] = {}
    for student, slug, at, penalty in (
        db.query(SubmittedAssignment.student_id, Assignment.name, SubmittedAssignment.timestamp,
                 SubmittedNotebook.late_submission_penalty)
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
        .outerjoin(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
    ):
        before = handed.get((student, slug), (None, 0.0))[1]
        handed[student, slug] = (at, before + (penalty or 0.0))
        marks.setdefault((student, slug), {})
    rows = (
        db.query(SubmittedAssignment.student_id, Assignment.name, BaseCell.name, Grade.cell_id,
                 Grade.score, Grade.needs_manual_grade, Grade.manual_score)
        .select_from(Grade)
        .join(BaseCell, Grade.cell_id == BaseCell.id)
        .join(SubmittedNotebook, Grade.notebook_id == SubmittedNotebook.id)
        .join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
    )
    for student, slug, name, cell, score, waiting, by_hand in rows:
        marks[student, slug][name] = Mark(score or 0.0, points.get(cell, 0.0), bool(waiting),
                                          by_hand is not None)
    return {key: Work(*key, at.replace(tzinfo=dt.UTC) if at else None, penalty, marks[key])
            for key, (at, penalty) in handed.items()}


def _points(db: Any) -> dict[str, float]:
    from nbgrader.api import GradeCell, TaskCell

    return {cell: points or 0.0 for kind in (GradeCell, TaskCell)
            for cell, points in db.query(kind.id, kind.max_score)}


def _with_verdicts(course: Path, work: Work, unreadable: list[str]) -> Work:
    path = course / "autograded" / work.student / work.day / f"{work.day}.ipynb"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        seen = verdicts_of(document)
    except FileNotFoundError:
        return work
    except (ValueError, KeyError, TypeError, AttributeError):
        unreadable.append(str(path))
        return work
    return Work(work.student, work.day, work.at, work.penalty, work.marks, seen)


def verdicts_of(document: Mapping[str, Any]) -> dict[str, Seen]:
    """The verdicts in an autograded notebook's outputs, by the name of the check's cell."""
    found = {}
    for cell in document["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        for output in cell.get("outputs", ()) if name else ():
            told = output.get("data", {}).get(VERDICT)
            if told:
                hint = told.get("hint")
                found[name] = Seen(told["state"], float(told["fraction"]), told.get("written", True),
                                   Text(*hint) if hint else None)
    return found

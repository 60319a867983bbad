"""Write days into an nbgrader course directory, and have nbgrader make the release."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from ladder import __version__
from ladder.build import build, leaks
from ladder.curriculum import Curriculum, Day, load_curriculum
from ladder.errors import LessonError, WorkError

CONFIG = "nbgrader_config.py"
FIRST_LINE = "# nbgrader's configuration of this course, written by `ladder publish`."

TEMPLATE = FIRST_LINE + """
#
# Yours to change: publishing again keeps this file as you left it. Classes are named by dotted
# strings, so the file works wherever the workbook is installed. Run the stock commands here:
#
#   nbgrader generate_assignment DAY --force     after a change in source/
#   nbgrader autograde DAY                       submissions are in submitted/STUDENT/DAY/DAY.ipynb
#   nbgrader generate_feedback DAY
#   nbgrader export

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = {course_id!r}

# Notebooks arrive with their holes cut, so nothing may clear solution cells again.
c.GenerateAssignment.preprocessors = [
    "nbgrader.preprocessors.IncludeHeaderFooter",
    "nbgrader.preprocessors.LockCells",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.CheckCellMetadata",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.SaveCells",
    "nbgrader.preprocessors.ClearHiddenTests",
    "nbgrader.preprocessors.ClearMarkScheme",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.CheckCellMetadata",
]

# Damaged submissions are repaired before anything reads them; originals/ keeps what arrived.
c.Autograde.pre_convert_hook = "ladder.cohort.intake.before_autograde"

# Before anything reads a submission, its cell metadata is written anew from the gradebook.
c.Autograde.sanitize_preprocessors = [
    "ladder.cohort.restore.RestoreCells",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.DeduplicateIds",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
]

# The learner's kernel observes; JudgeExecute compares with the reference and writes the score.
c.Autograde.autograde_preprocessors = [
    "ladder.cohort.execute.JudgeExecute",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]

c.JudgeExecute.timeout = 60             # seconds for one cell
c.JudgeExecute.notebook_timeout = 900   # seconds for one notebook
# c.JudgeExecute.seed = "..."           # to repeat a graded run; an autograded notebook holds its seed

c.GenerateFeedback.preprocessors = [
    "nbgrader.preprocessors.GetGrades",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]

# Nothing that a learner wrote may run in a grader's browser, on feedback pages or in the formgrader.
c.HTMLExporter.preprocessors = ["ladder.cohort.pages.SafePages"]
c.HTMLExporter.filters = {{"markdown2html": "ladder.cohort.pages.markdown2html"}}

# Links in a collected submission stay links, so that none is followed out of it (intake drops them).
c.ExchangeFactory.collect = "ladder.cohort.exchange.Collect"
"""


@dataclass
class Published:
    """What was done: files written, and things the instructor should know."""

    course: Path
    days: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def publish(
    course: Path, days: Sequence[Day], language: str = "en", *, force: bool = False,
    curriculum: Curriculum | None = None,
) -> Published:
    """Write ``days`` into the course directory ``course`` and make their releases."""
    notebooks = built_notebooks(days, language, curriculum or load_curriculum())
    if not force:
        refuse_changes(course, notebooks)
    done = Published(course)
    course.mkdir(parents=True, exist_ok=True)
    done.notes += _write_config(course)
    write_sources(course, notebooks)
    for slug, text in notebooks.items():
        generate(course, slug)
        same_as_built(course, slug, text)
        done.days.append(slug)
    return done


def built_notebooks(days: Sequence[Day], language: str, curriculum: Curriculum) -> dict[str, str]:
    """The notebook of each day, by slug; refuses what is not built or gives answers away."""
    notebooks: dict[str, str] = {}
    for day in days:
        if not day.built:
            raise LessonError(f"{day.id} is planned but not written yet; choose from "
                              f"{', '.join(d.id for d in curriculum.built_days)}")
        if shown := leaks(day, curriculum):
            raise LessonError("not published, since the notebook gives answers away:\n"
                              + "\n".join(shown))
        notebooks[day.id] = build(day, language, curriculum=curriculum)
    return notebooks


def write_sources(course: Path, notebooks: dict[str, str]) -> None:
    for slug, text in notebooks.items():
        path = source_path(course, slug)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def refuse_changes(course: Path, notebooks: dict[str, str]) -> None:
    """Raise if a day is published already with cells that nbgrader would no longer recognise."""
    problems = []
    for slug, text in notebooks.items():
        path = source_path(course, slug)
        if not path.exists():
            continue
        old, new = checksums(path.read_text(encoding="utf-8")), checksums(text)
        problems += [f"  {slug}: {name} {_what(name, old, new)}"
                     for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    if problems:
        raise WorkError(
            f"{course} holds these days with other cells, and learners may have copies of them:\n"
            + "\n".join(problems)
            + "\nNothing was changed. With --force the course is overwritten; copies made before "
              "then count as changed, and nbgrader refuses added or removed cells once there are "
              "submissions. For a new group, publish into a new directory.")


def checksums(notebook: str) -> dict[str, str]:
    """nbgrader's checksum of every cell that it keeps track of: source, type, points, flags."""
    from nbgrader.utils import compute_checksum, is_grade, is_locked, is_solution

    found = {}
    for cell in nbformat.reads(notebook, as_version=4).cells:
        if is_grade(cell) or is_solution(cell) or is_locked(cell):
            found[cell.metadata.nbgrader.grade_id] = compute_checksum(cell)
    return found


def _what(name: str, old: dict[str, str], new: dict[str, str]) -> str:
    return "is new" if name not in old else "is gone" if name not in new else "is different"


def source_path(course: Path, slug: str) -> Path:
    return course / "source" / slug / f"{slug}.ipynb"


def configuration(course_id: str) -> str:
    return TEMPLATE.format(course_id=course_id)


def _write_config(course: Path) -> list[str]:
    path = course / CONFIG
    text = configuration(re.sub(r"[^\w.-]+", "-", course.resolve().name) or "course")
    if not path.exists():
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        return [f"kept {path} as it is; it differs from what version {__version__} writes"]
    return []


def generate(course: Path, slug: str) -> None:
    """Run nbgrader's own ``generate_assignment --force`` for one day."""
    from nbgrader.apps.api import NbGraderAPI
    from traitlets.config import Config, PyFileConfigLoader

    config: Any = Config(PyFileConfigLoader(CONFIG, path=str(course)).load_config())
    config.CourseDirectory.root = str(course.resolve())
    with path_with(Path(sys.executable).parent):
        answer = NbGraderAPI(config=config).generate_assignment(slug, force=True)
    if not answer["success"]:
        raise WorkError(f"nbgrader could not make the release of {slug} in {course}:\n"
                        + (answer.get("log") or answer.get("error") or "")[-2000:])


@contextlib.contextmanager
def path_with(folder: Path) -> Iterator[None]:
    """nbgrader makes a gradebook by the command `alembic`, which lies beside our Python."""
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def same_as_built(course: Path, slug: str, text: str) -> None:
    """The release is what was built and checked for leaks, no more and no less."""
    path = course / "release" / slug / f"{slug}.ipynb"
    released = [cell.source for cell in nbformat.read(path, as_version=4).cells]
    built = ["".join(cell["source"]) for cell in json.loads(text)["cells"]]
    if released != built:
        raise WorkError(f"{path} is not what was built; look at {course / CONFIG}, whose "
                        "preprocessors change the notebook, and publish again")

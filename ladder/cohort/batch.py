"""Grade a cohort: a pool runs the cells, this one process runs nbgrader and writes the gradebook.

Each submission goes through nbgrader's own two passes, the first before its cells run and the
second after, with the same preprocessors and configuration as ``nbgrader autograde``. What differs
is only the order in time, so the gradebook is the same.
"""

from __future__ import annotations

import contextlib
import glob
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.apps import AutogradeApp
from nbgrader.converters import Autograde, NbGraderException
from nbgrader.utils import rmtree, setenv

from ladder import content
from ladder.cohort import ahead, ledger, warmed
from ladder.cohort.course import CONFIG
from ladder.cohort.execute import JudgeExecute, files_of, fresh_seed, links_in
from ladder.cohort.intake import ungraded_rows
from ladder.cohort.jobs import Job, Ran
from ladder.curriculum import load_curriculum
from ladder.emission import graded_seed
from ladder.errors import LadderError, WorkError
from ladder.judge import reference_run

OURS = "ladder.cohort.execute.JudgeExecute"


@dataclass
class Outcome:
    """What became of one submission, for one line of the report."""

    student: str
    state: str                  # graded, kept (was graded already), not graded
    score: float = 0.0
    most: float = 0.0
    remarks: list[str] = field(default_factory=list)

    def line(self) -> str:
        words = [self.student, self.state]
        if self.state != "not graded":
            words[1] += f" {self.score:g}/{self.most:g}"
        return "\t".join([*words, "; ".join(self.remarks)]).rstrip()


@dataclass
class _Going:
    """A submission between the two passes."""

    student: str
    notebooks: list[str]
    jobs: list[Job]
    remarks: list[str]


Progress = Callable[[Outcome, int, int], None]


class Batch:
    """One assignment of one course. Nothing here is lost when the process is killed."""

    def __init__(self, course: Path, assignment: str, *, force: bool = False,
                 students: Sequence[str] = (), gpu: bool = False) -> None:
        if not (course / CONFIG).exists():
            raise WorkError(f"{course} is no course: it has no {CONFIG}. `ladder publish` makes one; "
                            "name it with --course or run this in it")
        self.assignment, self.force, self.wanted = assignment, force, set(students)
        self.before = os.getcwd()
        self.app = _app(course, assignment)
        self.converter = _Converter(coursedir=self.app.coursedir, parent=self.app)
        self.converter.force = force
        self.ours = OURS in map(str, self.converter.autograde_preprocessors)
        self.heard = _Heard()
        self.app.log.handlers = [self.heard]
        self.app.log.propagate = False
        self.runner = JudgeExecute(parent=self.converter)
        if gpu:
            self.converter.config.JudgeExecute.gpu = self.runner.gpu = True
        self.seconds = 0.0          # of the cells alone
        self._ready = False
        self.lost: dict[str, list[str]] = {}  # students without any notebook, and why

    def run(self, executor: Executor, width: int, progress: Progress,
            work: Callable[[bytes], bytes] = warmed.run_as_data) -> list[Outcome]:
        """Grade what is not graded yet; ``width`` jobs at most are running or waiting to be written."""
        done: list[Outcome] = []
        tool = logging.getLogger("ladder")  # intake, and the judge
        tool.addHandler(self.heard)
        try:
            found = self._submissions()

            def tell(outcome: Outcome) -> None:
                done.append(outcome)
                self._note(outcome)
                progress(outcome, len(done), len(found) + len(self.lost))

            for student, reasons in self.lost.items():
                tell(Outcome(student, "not graded", remarks=reasons or ["there is no notebook"]))
            with ledger.shared(self.app.coursedir.db_url, self.app.coursedir.course_id) as book:
                self._book = book
                self._run(iter(found), executor, width, tell, work)
        finally:
            os.chdir(self.before)
            tool.removeHandler(self.heard)
        ungraded_rows(Path(self.app.coursedir.root), self.assignment,
                      [outcome.student for outcome in done if outcome.state == "not graded"])
        return done

    def _run(self, found: Iterator[tuple[str, str]], executor: Executor, width: int,
             tell: Callable[[Outcome], None], work: Callable[[bytes], bytes]) -> None:
        running: dict[Future[list[bytes]], _Going] = {}
        more = True
        while more or running:
            while more and len(running) < width:
                if (submission := next(found, None)) is None:
                    more = False
                    break
                going = self._first_pass(*submission)
                if isinstance(going, Outcome):
                    tell(going)
                else:
                    texts = [job.dumps() for job in going.jobs]
                    running[executor.submit(_run_all, work, texts)] = going
            if running and not self._ready:
                self._prepare()
            if running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    tell(self._second_pass(running.pop(future), future))

    def _prepare(self) -> None:
        """Run the reference while the first submissions run; its errors are told with a verdict."""
        self._ready = True
        curriculum = load_curriculum()
        day = next((day for day in curriculum.built_days if day.id == self.assignment), None)
        with contextlib.suppress(Exception):
            if day is not None and self.ours:
                base = self.runner.seed or fresh_seed()
                for check in content.checks_of(curriculum.stage_of(day).id, day.id).values():
                    reference_run(check, graded_seed(check, base), True)

    def _submissions(self) -> list[tuple[str, str]]:
        """Students and folders, in nbgrader's order."""
        os.chdir(self.app.coursedir.root)
        self._take_in()
        try:
            self.converter.begin()
        except NbGraderException:
            if not self.lost:
                raise WorkError(f"there are no submissions of {self.assignment}: they belong into "
                                f"submitted/STUDENT/{self.assignment}/{self.assignment}.ipynb") from None
        found = []
        pattern = self.converter._format_source("(?P<assignment_id>.*)", "(?P<student_id>.*)",
                                                escape=True)
        for path in sorted(self.converter.everything):
            match = re.match(pattern, path)
            student = match["student_id"] if match else os.path.basename(os.path.dirname(path))
            if not self.wanted or student in self.wanted:
                found.append((student, path))
        if missing := self.wanted - {student for student, _ in found} - set(self.lost):
            raise WorkError(f"no submission of {self.assignment} from {', '.join(sorted(missing))}")
        return found

    def _take_in(self) -> None:
        """Submissions without any notebook, which nbgrader would not see: renamed, zipped, lost."""
        convert = self.converter
        for folder in sorted(glob.glob(convert._format_source(self.assignment, "*"))):
            if not glob.glob(os.path.join(glob.escape(folder), "*.ipynb")):
                convert.notebooks = [os.path.join(folder, f"{self.assignment}.ipynb")]
                convert.run_pre_convert_hook()
                student = os.path.basename(os.path.dirname(folder))
                if not glob.glob(os.path.join(glob.escape(folder), "*.ipynb")) and (
                    not self.wanted or student in self.wanted
                ):
                    self.lost[student] = self.heard.lines
                self.heard.lines = []

    def _first_pass(self, student: str, path: str) -> _Going | Outcome:
        """Sanitize a submission and say what is to run."""
        convert = self.converter
        self.heard.lines = []
        try:
            convert.notebooks = sorted(convert.everything[path])
            dest = Path(convert._format_dest(self.assignment, student))
            if dest.exists() and not self.force and not self._whole(student, dest):
                rmtree(str(dest))  # a run that was killed left it half done
            if not convert.init_destination(self.assignment, student):
                return self._outcome(student, "kept", [])
            convert.run_pre_convert_hook()
            convert.init_assignment(self.assignment, student)
            jobs = []
            for notebook in convert.notebooks:
                convert.sanitize(notebook)
                if self.ours:
                    jobs.append(self._job(dest, Path(path), notebook))
            self._book.commit()
            return _Going(student, convert.notebooks, jobs, self.heard.lines)
        except Exception as error:
            return self._failed(student, error)

    def _job(self, dest: Path, submitted: Path, notebook: str) -> Job:
        name = Path(notebook).stem
        nb = nbformat.read(dest / f"{name}.ipynb", as_version=4)
        day = next((day for day in load_curriculum().built_days if day.id == name), None)
        return self.runner.job(nb, day, self.runner.seed or fresh_seed(),
                               files_of(dest, links_in(submitted)))

    def _second_pass(self, going: _Going, future: Future[list[bytes]]) -> Outcome:
        """Judge what came of the cells, and write it down."""
        convert = self.converter
        self.heard.lines = going.remarks
        student = going.student
        try:
            for job, text in zip(going.jobs, future.result(), strict=True):
                ran = Ran.loads(text)
                self.seconds += ran.seconds
                ahead.put(job, ran)
            convert.notebooks = going.notebooks
            for notebook in convert.notebooks:
                convert.judge(self.assignment, student, notebook)
            convert.set_permissions(self.assignment, student)
            convert.run_post_convert_hook()
            self._book.commit()
            return self._outcome(student, "graded", self.heard.lines)
        except Exception as error:
            return self._failed(student, error)
        finally:
            ahead.clear()

    def _failed(self, student: str, error: Exception) -> Outcome:
        """One submission is lost to its own row; what it had half written goes."""
        self._book.rollback()
        dest = os.path.normpath(self.converter._format_dest(self.assignment, student))
        if os.path.exists(dest):
            rmtree(dest)
        words = str(error).strip().split("\n") or [""]
        said = f"{type(error).__name__}: {words[-1]}" if not isinstance(error, LadderError) else str(error)
        return Outcome(student, "not graded", remarks=[*self.heard.lines, said[:500]])

    def _outcome(self, student: str, state: str, remarks: list[str]) -> Outcome:
        submission = self._book.gradebook.find_submission(self.assignment, student)
        said = [line.removeprefix(f"{student}, {self.assignment}: ") for line in remarks]
        answer = Outcome(student, state, round(submission.score, 2), round(submission.max_score, 2), said)
        self._book.forget()
        return answer

    def _whole(self, student: str, dest: Path) -> bool:
        """Whether a submission graded earlier is complete: its file and its rows agree."""
        try:
            shown = [score for path in sorted(dest.glob("*.ipynb"))
                     for score in _scores_shown(path, self.ours)]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        found = [(notebook.name, grade.name, grade.auto_score)
                 for notebook in self._book.gradebook.find_submission(self.assignment, student).notebooks
                 for grade in notebook.grades] if self._known(student) else []
        return all(score in found for score in shown)

    def _known(self, student: str) -> bool:
        from nbgrader.api import MissingEntry

        try:
            self._book.gradebook.find_submission(self.assignment, student)
        except MissingEntry:
            return False
        return True

    def _note(self, outcome: Outcome) -> None:
        """One line a submission, kept beside the gradebook."""
        if outcome.state == "kept":
            return
        folder = Path(self.app.coursedir.root) / "reports"
        folder.mkdir(exist_ok=True)
        with (folder / f"{self.assignment}.grading.tsv").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\t{outcome.line()}\n")


class _Converter(Autograde):
    """nbgrader's autograding with its two passes apart."""

    everything: dict[str, list[str]]

    def begin(self) -> None:
        from nbconvert.writers import FilesWriter

        self.everything = {}
        self.init_notebooks()
        self.writer = FilesWriter(parent=self, config=self.config)
        self.exporter = self.exporter_class(parent=self, config=self.config)
        self.everything = dict(self.assignments)

    def sanitize(self, notebook: str) -> None:
        self._sanitizing = True
        self._init_preprocessors()
        super(Autograde, self).convert_single_notebook(notebook)

    def judge(self, assignment: str, student: str, notebook: str) -> None:
        self._sanitizing = False
        try:
            self._init_preprocessors()
            path = os.path.join(self._format_dest(assignment, student), os.path.basename(notebook))
            with setenv(NBGRADER_EXECUTION="autograde"):
                super(Autograde, self).convert_single_notebook(path)
        finally:
            self._sanitizing = True


class _Heard(logging.Handler):
    """nbgrader's warnings, for the submission that they are about."""

    IGNORED = ("Attribute 'checksum' for cell", "Removing existing assignment")

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage().strip()
        if text and not text.startswith(self.IGNORED):
            self.lines.append(text.split("\n")[-1][:500])


def _app(course: Path, assignment: str) -> Any:
    """nbgrader's own application, configured as its command line would be in ``course``."""
    os.chdir(course)
    AutogradeApp.clear_instance()
    app = AutogradeApp.instance()
    app.initialize([])
    app.coursedir.root = str(Path.cwd())
    app.coursedir.assignment_id = assignment
    return app


def _run_all(work: Callable[[bytes], bytes], jobs: Sequence[bytes]) -> list[bytes]:
    return [work(job) for job in jobs]


def _scores_shown(path: Path, ours: bool) -> Iterator[tuple[str, str, float]]:
    from ladder.notebook import VERDICT

    nb = json.loads(path.read_text(encoding="utf-8"))
    if ours and "isolation" not in nb["metadata"].get("ladder", {}):
        raise ValueError("not judged yet")
    for cell in nb["cells"]:
        for output in cell.get("outputs", []):
            if VERDICT in output.get("data", {}):
                yield (path.stem, cell["metadata"]["nbgrader"]["grade_id"],
                       output["data"][VERDICT]["score"])


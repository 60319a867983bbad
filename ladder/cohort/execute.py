"""nbgrader's ``Execute``, replaced: a confined process observes, this process judges.

Named in ``Autograde.autograde_preprocessors`` of a published course. The learner's cells run in a
sandbox (``warmed``) with ``LADDER_MODE=observe``, where a check only sends what it observed. When
that process is gone, each check's observations are compared with the reference's, and the verdict
becomes the check's only output.

Whatever a learner's code does costs at most its own submission's points: a cell that fails, hangs,
ends the process or sends nonsense is told in the feedback, and the batch goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import secrets
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade, is_solution
from traitlets import Bool, Enum, Integer, Unicode

from ladder import content, render
from ladder.checks import Check
from ladder.cohort import ahead
from ladder.cohort.grading import Heard, result, verdict_of
from ladder.cohort.jobs import Heard as Cell
from ladder.cohort.jobs import Job, Limits, Ran
from ladder.cohort.needs import job_of
from ladder.cohort.scan import intrusion, plain_python
from ladder.curriculum import Day, load_curriculum
from ladder.emission import nothing_yet
from ladder.errors import LessonError
from ladder.forbids import KERNEL, bindings, forbidden_use
from ladder.judge import NOT_CHECKED
from ladder.kernel_judge.alone import cells_alone
from ladder.text import Text, say

FILES = 64 * 2**20  # bytes of further files that a submission may bring


@functools.cache
def fresh_seed() -> str:
    """Random text for this process, so one for a whole cohort: the reference runs once a check."""
    return secrets.token_hex(16)


class JudgeExecute(Execute):
    """Runs a submission to observe, and writes verdicts made outside its process."""

    seed = Unicode("", help="Text that graded inputs are drawn from, to repeat a graded run; "
                            "empty: a fresh one for each autograde run.").tag(config=True)
    notebook_timeout = Integer(900, help="Seconds for all cells of one notebook together."
                               ).tag(config=True)
    sandbox = Enum(["required", "if-possible", "off"], "required", help=(
        "Whether submissions must be isolated from this machine. With 'if-possible' they run "
        "unprotected where it cannot be done, and the autograded notebook says so.")).tag(config=True)
    memory = Integer(4096, help="MiB of memory for one submission.").tag(config=True)
    gpu = Bool(False, help="Whether submissions may use this machine's GPUs.").tag(config=True)
    processes = Integer(256, help="Processes and threads of one submission.").tag(config=True)

    def preprocess(self, nb: Any, resources: Any, km: Any = None) -> tuple[Any, Any]:
        curriculum = load_curriculum()
        slug = resources["nbgrader"]["notebook"]
        day = next((day for day in curriculum.built_days if day.id == slug), None)
        for cell in nb.cells:
            cell.metadata.pop("tags", None)
        base = self.seed or fresh_seed()
        ran = ahead.take(self.job(nb, day, base, self.files(resources)))
        self._who = f"{resources['nbgrader'].get('student', '?')}, {slug}"
        self._warn(ran)
        if day is None:
            self._as_stock(nb, ran)
        else:
            self._judge(nb, day, ran, base)
            nb.metadata["ladder"] |= {"day": day.id, "seed": base}
        nb.metadata.setdefault("ladder", NotebookNode())["isolation"] = ran.isolation
        return nb, resources

    def job(self, nb: Any, day: Day | None, base: str, files: dict[str, bytes]) -> Job:
        """What is to run of a notebook whose cells have been restored."""
        limits = Limits(cell=self.timeout or self.notebook_timeout, total=self.notebook_timeout,
                        memory=self.memory * 2**20, processes=self.processes)
        cells = tuple((index, cell.source) for index, cell in enumerate(nb.cells)
                      if cell.cell_type == "code" and cell.source.strip())
        plan = job_of(day, load_curriculum(), base, self.sandbox, self.gpu)
        alone = () if day is None else kernels_of(nb, day)
        return dataclasses.replace(plan, cells=cells, limits=limits, alone=alone).with_files(files)

    def files(self, resources: Any) -> dict[str, bytes]:
        """What lies beside the notebook, without copies that nbgrader made through symbolic links."""
        folder = Path(resources.get("metadata", {}).get("path") or ".")
        converter = getattr(self.parent, "parent", None)  # our parent is the exporter
        if (course := getattr(converter, "coursedir", None)) is None:
            return files_of(folder)
        about = resources["nbgrader"]
        return files_of(folder, links_in(Path(course.format_path(
            course.submitted_directory, about["student"], about["assignment"]))))

    def _warn(self, ran: Ran) -> None:
        """One line in the log for what an instructor should know of this submission."""
        if ran.isolation == "none":
            self.log.warning("%s: NOT ISOLATED: this code could read and change whatever you can", self._who)
        for index, heard in ran.cells.items():
            if heard.note is not None:
                self.log.warning("%s: cell %d: %s", self._who, index + 1, heard.note.en)
                return  # the rest follows from the first

    def _judge(self, nb: Any, day: Day, ran: Ran, base: str) -> None:
        checks = content.checks_of(load_curriculum().stage_of(day).id, day.id)
        code = [cell.source for cell in nb.cells if cell.cell_type == "code"]
        theirs = [cell.source for cell in nb.cells
                  if cell.cell_type == "code" and not _locked(cell)]
        source = bindings(_as_python(code))
        intruding = intrusion(theirs)
        if intruding:
            self.log.warning("%s: %s", self._who, intruding.en)
        language = nb.metadata.get("ladder", {}).get("language", "en")
        for index, cell in enumerate(nb.cells):
            if cell.cell_type != "code":
                continue
            heard = ran.cells.get(index, Cell())
            cell.execution_count = heard.count
            check = _check_of(cell, checks)
            if check is None:
                cell.outputs = _outputs(heard)
                if heard.note:
                    cell.outputs.append(_notice(heard.note, language))
                continue
            if len(heard.emissions) > 1:
                self.log.warning("%s: %s reported more than once", self._who, check.name)
            elif not heard.emissions and heard.note is None and self._told_of(heard) is None:
                self.log.warning("%s: %s ran and reported nothing: something kept it from it", self._who,
                                 check.name)
            forbidden = forbidden_use(source, check.needs, check.forbids)
            if forbidden is not None and KERNEL in check.forbids:  # left out where kernels run alone
                heard = Cell(emissions=[nothing_yet(check)])
            verdict = verdict_of(check, self._heard(heard), base, intrusion=intruding, forbidden=forbidden)
            if verdict.state == NOT_CHECKED and verdict.reason is not None:
                self.log.warning("%s: %s NOT CHECKED, so without points: %s", self._who, check.name, verdict.reason.en)
            cell.outputs = [result(verdict, check, float(cell.metadata.nbgrader.points), language,
                                   cell.execution_count)]
        nb.metadata["ladder"] = NotebookNode(language=language)

    def _as_stock(self, nb: Any, ran: Ran) -> None:
        """An instructor's own assignment: its cells hold their tests, and nbgrader scores them."""
        for index, cell in enumerate(nb.cells):
            if cell.cell_type != "code":
                continue
            heard = ran.cells.get(index, Cell())
            cell.execution_count = heard.count
            cell.outputs = _outputs(heard)
            if heard.note:
                cell.outputs.append(new_output("error", ename="NotRun", evalue=heard.note.en,
                                               traceback=[heard.note.en]))

    def _heard(self, cell: Cell) -> Heard:
        return Heard(tuple(cell.emissions), cell.note or self._told_of(cell))

    def _told_of(self, cell: Cell) -> Text | None:
        error = next((out for out in cell.outputs if out["output_type"] == "error"), None)
        return None if error is None else self._told(error)

    def _told(self, error: Any) -> Text:
        if error["ename"] == "KeyboardInterrupt":
            return say(f"stopped: the check took longer than {self.timeout} s",
                       f"已停止：检查的运行超过了 {self.timeout} 秒")
        what = f"{error['ename']}: {error['evalue']}"[:300]
        return say(f"the check could not run: {what}", f"检查无法运行：{what}")


def kernels_of(nb: Any, day: Day) -> tuple[tuple[int, str], ...]:
    """The cells that judge kernels, after the definitions that those need and nothing else."""
    checks = content.checks_of(load_curriculum().stage_of(day).id, day.id)
    judging = {index: cell.source for index, cell in enumerate(nb.cells) if cell.cell_type == "code"
               and (check := _check_of(cell, checks)) is not None and KERNEL in check.forbids}
    if not judging:
        return ()
    code = [(index, text) for index, cell in enumerate(nb.cells) if cell.cell_type == "code" and index not in judging
            for text in _as_python([cell.source])]
    names = {name for check in checks.values() if KERNEL in check.forbids for name in check.needs}
    return tuple(sorted([*cells_alone(code, names), *judging.items()]))


def files_of(folder: Path, without: Collection[str] = ()) -> dict[str, bytes]:
    """The regular files in a folder but notebooks; no links, no giants."""
    found: dict[str, bytes] = {}
    for name in sorted(_names(folder) - set(without)):
        if name.endswith((".ipynb", ".pyc")) or name == "timestamp.txt":
            continue
        with contextlib.suppress(OSError):
            handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as file:
                about = os.fstat(handle)
                room = FILES - sum(map(len, found.values()))
                if stat.S_ISREG(about.st_mode) and about.st_size <= room:
                    found[name] = file.read(room)
    return found


def links_in(folder: Path) -> set[str]:
    return {name for name in _names(folder) if (folder / name).is_symlink()}


def _names(folder: Path) -> set[str]:
    return {os.path.relpath(os.path.join(where, name), folder)
            for where, _, names in os.walk(folder) for name in names}


def _check_of(cell: Any, checks: dict[str, Check]) -> Check | None:
    """The check of a locked, graded cell; None for other cells, an instructor's own tests among them."""
    if not is_grade(cell) or is_solution(cell):
        return None
    name = cell.metadata.nbgrader.grade_id
    if name not in checks and "ladder.graders" in cell.source:
        raise LessonError(f"the course was published with a check {name}, which this version of "
                          "the workbook does not have; grade with the version that published it")
    return checks.get(name)


def _locked(cell: Any) -> bool:
    meta = cell.metadata.get("nbgrader", {})
    return bool(meta.get("locked")) and not meta.get("solution")


def _as_python(cells: list[str]) -> Iterator[str]:
    for cell in cells:
        with contextlib.suppress(SyntaxError, ValueError, RecursionError):
            yield plain_python(cell)


def _outputs(heard: Cell) -> list[Any]:
    from nbformat import from_dict

    return [from_dict(output) for output in heard.outputs]


def _notice(note: Text, language: str) -> Any:
    colour = render.COLOURS["failed"]
    html = (f'<div style="border-left:4px solid {colour};padding:.3em .8em">'
            f"{note.in_(language)}</div>")
    return new_output("display_data", data=NotebookNode({
        "text/plain": note.in_(language), "text/html": html}))

"""nbgrader's ``Execute``, replaced: the kernel observes, this process judges.

Named in ``Autograde.autograde_preprocessors`` of a published course. The learner's kernel runs the
notebook with ``LADDER_MODE=observe``, where a check only sends what it observed. When the kernel is
gone, each check's observations are compared with the reference's, and the verdict becomes the
check's only output.

Whatever a learner's code does costs at most its own submission's points: a cell that fails, hangs,
ends the kernel or sends nonsense is told in the feedback, and the batch goes on.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete, CellTimeoutError, DeadKernelError
from nbclient.util import ensure_async, run_sync
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade, is_solution
from traitlets import Integer, Unicode

from ladder import content, render
from ladder.checks import Check
from ladder.cohort.grading import Heard, result, verdict_of
from ladder.cohort.guard import ALLOWED
from ladder.cohort.outputs import Collector, recleaned
from ladder.cohort.scan import intrusion, plain_python
from ladder.curriculum import Curriculum, Day, load_curriculum
from ladder.errors import LessonError
from ladder.forbids import bindings, forbidden_use
from ladder.text import Text, say

UNREADABLE = 1000  # messages of one cell that may fail to parse before its kernel is given up


@functools.cache
def fresh_seed() -> str:
    """Random text for this process, so one for a whole cohort: the reference runs once a check."""
    return secrets.token_hex(16)


class JudgeExecute(Execute):
    """Runs a submission to observe, and writes verdicts made outside its kernel."""

    seed = Unicode("", help="Text that graded inputs are drawn from, to repeat a graded run; "
                            "empty: a fresh one for each autograde run.").tag(config=True)
    notebook_timeout = Integer(900, help="Seconds for all cells of one notebook together."
                               ).tag(config=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shutdown_kernel = "immediate"
        self.skip_cells_with_tag = secrets.token_hex(8)  # no tag of a learner's skips a cell
        self.extra_arguments = ["--InteractiveShellApp.extra_extensions=ladder.cohort.guard",
                                "--HistoryManager.hist_file=:memory:"]

    def preprocess(self, nb: Any, resources: Any, km: Any = None) -> tuple[Any, Any]:
        curriculum = load_curriculum()
        slug = resources["nbgrader"]["notebook"]
        day = next((day for day in curriculum.built_days if day.id == slug), None)
        if day is None:
            self.log.warning("%s is no day of LLM Ladder; nbgrader grades it by itself", slug)
            return super().preprocess(nb, resources, km)
        checks = content.checks_of(curriculum.stage_of(day).id, day.id)
        for cell in nb.cells:
            cell.metadata.pop("tags", None)
        code = [cell.source for cell in nb.cells if cell.cell_type == "code"]
        theirs = [cell.source for cell in nb.cells
                  if cell.cell_type == "code" and not _locked(cell)]
        base = self.seed or fresh_seed()
        self._execute(nb, resources, km, environment(day, curriculum, base))
        source = bindings(_as_python(code))
        intruding = intrusion(theirs)
        language = nb.metadata.get("ladder", {}).get("language", "en")
        for index, cell in enumerate(nb.cells):
            if cell.cell_type != "code":
                continue
            check = _check_of(cell, checks)
            if check is None:
                cell.outputs = recleaned(cell.outputs)
                if note := self._noted.get(index):
                    cell.outputs.append(_notice(note, language))
                continue
            verdict = verdict_of(
                check, self._heard(index, cell), base, intrusion=intruding,
                forbidden=forbidden_use(source, check.needs, check.forbids))
            cell.outputs = [result(verdict, check, float(cell.metadata.nbgrader.points), language,
                                   cell.execution_count)]
        nb.metadata["ladder"] = NotebookNode(day=day.id, language=language, seed=base)
        return nb, resources

    def _execute(self, nb: Any, resources: Any, km: Any, env: dict[str, str]) -> None:
        """Run all code cells; what went wrong with one is kept in ``self._noted``."""
        NotebookClient.__init__(self, nb, km)  # as nbconvert's preprocess does
        self.reset_execution_trackers()
        self._check_assign_resources(resources)
        self._collectors: dict[int, Collector] = {}
        self._noted: dict[int, Text] = {}
        self._over: Text | None = None
        self._deadline = time.monotonic() + self.notebook_timeout
        self.timeout_func = self._seconds_left
        with self._kernel(env):
            for index, cell in enumerate(nb.cells):
                if cell.cell_type == "code":
                    self._run(cell, index)

    @contextlib.contextmanager
    def _kernel(self, env: dict[str, str]) -> Iterator[None]:
        """A kernel in the submission's folder; the place where a sandbox will stand.

        If none starts there, a file of the submission may stand in the way of a module
        (``random.py``): then it starts in an empty folder.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self.setup_kernel(env=env))
            except RuntimeError as error:
                self.log.warning("no kernel started beside the submission's files (%s); "
                                 "starting one in an empty folder", error)
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                stack.enter_context(self.setup_kernel(env=env, cwd=folder))
            stack.callback(self._kill)
            yield

    def _kill(self) -> None:
        """End the kernel and what it started (its process group) at once."""
        if self.km is not None and self.km.has_kernel:
            with contextlib.suppress(ProcessLookupError, RuntimeError):
                run_sync(self.km.signal_kernel)(signal.SIGKILL)

    def _run(self, cell: Any, index: int) -> None:
        if self._over is not None:
            self._noted[index] = self._over
            return
        if time.monotonic() >= self._deadline:
            self._over = say(f"not run: the notebook took longer than {self.notebook_timeout} s",
                             f"没有运行：整个笔记本的运行超过了 {self.notebook_timeout} 秒")
            self._noted[index] = self._over
            return
        try:
            self.execute_cell(cell, index, store_history=True)
        except DeadKernelError:
            self._noted[index] = say("this cell ended the Python process (exit, a crash, or out "
                                     "of memory)", "这个单元格使 Python 进程终止（退出、崩溃或内存不足）")
        except CellTimeoutError:
            self._noted[index] = say("this cell ran too long and could not be interrupted",
                                     "这个单元格运行时间过长，而且无法中断")
        except Exception as error:  # a kernel that a learner rewrote may answer anything
            self.log.warning("cell %d: the kernel's answer could not be read: %r", index, error)
            self._noted[index] = say("the kernel's answer to this cell could not be read",
                                     "无法读取内核对这个单元格的应答")
        else:
            return
        self._kill()
        self._over = say(f"not run: Python had stopped in cell {index + 1}",
                         f"没有运行：Python 已在第 {index + 1} 个单元格停止")

    def _seconds_left(self, cell: Any) -> int:
        left = max(1, int(self._deadline - time.monotonic()))
        return min(self.timeout, left) if self.timeout else left

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: Any, cell_index: int) -> None:
        assert self.kc is not None
        for _ in range(UNREADABLE):
            try:
                while True:
                    message = await ensure_async(self.kc.iopub_channel.get_msg(timeout=None))
                    if message["parent_header"].get("msg_id") == parent_msg_id:
                        self.process_message(message, cell, cell_index)
            except CellExecutionComplete:
                return
            except Exception as error:  # unreadable JSON, a wrong signature, missing parts
                self.log.debug("an unreadable message in cell %d: %r", cell_index, error)

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> None:
        """Collect an output. Widgets and updates of earlier displays leave no trace."""
        kind, body = msg["msg_type"], msg["content"]
        if kind == "status" and body["execution_state"] == "idle":
            raise CellExecutionComplete
        if kind == "execute_input" and type(body["execution_count"]) is int:
            cell.execution_count = body["execution_count"]
        if cell_index not in self._collectors:
            self._collectors[cell_index] = Collector(cell.outputs)
        self._collectors[cell_index].take(kind, body)

    def _heard(self, index: int, cell: Any) -> Heard:
        collector = self._collectors.get(index)
        error = next((output for output in recleaned(cell.outputs)
                      if output.output_type == "error"), None)
        trouble = self._noted.get(index)
        if trouble is None and error is not None:
            trouble = self._told(error)
        return Heard(tuple(collector.emissions) if collector else (), trouble)

    def _told(self, error: Any) -> Text:
        if error.ename in ("CellTimeoutError", "KeyboardInterrupt"):
            return say(f"stopped: the check took longer than {self.timeout} s",
                       f"已停止：检查的运行超过了 {self.timeout} 秒")
        what = f"{error.ename}: {error.evalue}"[:300]
        return say(f"the check could not run: {what}", f"检查无法运行：{what}")


def environment(day: Day, curriculum: Curriculum, base: str) -> dict[str, str]:
    """The environment of a graded kernel."""
    return os.environ | {
        "LADDER_MODE": "observe", "LADDER_QUICK": "1", "LADDER_SEED": base, "LADDER_CARRY": "reference",
        "MPLBACKEND": "agg", ALLOWED: ",".join(sorted(_earlier(day, curriculum))),
    }


def _earlier(day: Day, curriculum: Curriculum) -> set[str]:
    """The days that ``day`` builds on, and those that they build on."""
    found: set[str] = set()
    todo = list(day.needs)
    while todo:
        slug = todo.pop()
        if slug not in found:
            found.add(slug)
            todo += curriculum.day(slug).needs
    return found


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


def _notice(note: Text, language: str) -> Any:
    colour = render.COLOURS["failed"]
    html = (f'<div style="border-left:4px solid {colour};padding:.3em .8em">'
            f"{note.in_(language)}</div>")
    return new_output("display_data", data=NotebookNode({
        "text/plain": note.in_(language), "text/html": html}))

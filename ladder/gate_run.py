"""Finish an attempt: run its notebook afresh, judge checks and answers outside that kernel.

Only the sources of the notebook's code cells are used, never its outputs. Behind them stand cells of
ours, one for each check and one for the answers, so that cells which were changed, deleted or forged
gain nothing. Inputs are drawn from a fresh seed, with hidden cases.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import secrets
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ladder import gates, wire
from ladder.checks import Check
from ladder.cohort.grading import Heard, verdict_of
from ladder.cohort.jobs import LATER
from ladder.curriculum import Curriculum, GatePart
from ladder.emission import nothing_yet
from ladder.errors import WireError, WorkError
from ladder.forbids import KERNEL
from ladder.gate_kernel import ANSWERS
from ladder.gate_notebook import ALLOWED, checks_of_part, drawn_questions, notebook
from ladder.gates import FAILED, NEEDED, PASSED, PRACTICE, Attempt, GateStatus
from ladder.judge import NOT_CHECKED, Verdict
from ladder.notebook import OBSERVATIONS
from ladder.paths import work_dir
from ladder.questions import Drawn, difference
from ladder.text import Text, say
from ladder.work import read_notebook


@dataclass(frozen=True)
class Answered:
    """A question with what the learner answered: ``difference`` is None where it is right."""

    question: Drawn
    given: Any
    difference: Text | None

    @property
    def right(self) -> bool:
        return self.difference is None


@dataclass(frozen=True)
class PartResult:
    part: GatePart
    state: str
    reason: Text | None = None
    verdicts: tuple[tuple[Check, Verdict], ...] = ()
    answered: tuple[Answered, ...] = ()


@dataclass(frozen=True)
class Result:
    """What an attempt came to. ``reasons`` say why it is practice, if it is."""

    attempt: Attempt
    state: str
    minutes: float
    late: bool
    parts: tuple[PartResult, ...]
    reasons: tuple[Text, ...] = ()

    @property
    def answered(self) -> list[Answered]:
        return [answer for part in self.parts for answer in part.answered]

    @property
    def right(self) -> int:
        return sum(answer.right for answer in self.answered)


def finish(status: GateStatus, curriculum: Curriculum, timeout: int = 600) -> Result:
    """Judge the open attempt as it is saved now, and record the result."""
    attempt, gate = status.open, status.gate
    if attempt is None:
        raise WorkError(f"no attempt at the gate {gate.id} is open; `ladder gate {gate.id}` starts one")
    moment = gates.now()
    document = read_attempt(attempt)
    if code_cells(document) == code_cells(notebook(gate, attempt, curriculum)):
        raise WorkError(f"{attempt.path} is as it was given: save the notebook in JupyterLab (Ctrl+S), then "
                        f"finish again; the attempt stays open, and `ladder gate {gate.id} --give-up` ends it")
    base = secrets.token_hex(16)
    parts = [part for part in gates.ready_parts(gate, curriculum) if part.id in attempt.parts]
    checks = {part.id: checks_of_part(part, curriculum) for part in parts}
    cells = code_cells(document)
    heard, answers = run_cells(cells, [c for part in parts for c in checks[part.id]], gate.id, base,
                               attempt.path.parent, timeout)
    verdicts = judge_checks(cells, heard, checks, base)
    revised = gates.bank_hash(gate) != attempt.bank
    questions = [] if revised else drawn_questions(gate, attempt)
    answered = judge_answers(questions, answers)
    waiting = gates.waiting_parts(gate, curriculum)
    results = tuple(_part(part, waiting.get(part.id), verdicts.get(part.id, ()),
                          [a for a in answered if a.question.id.startswith(f"{part.id}.")])
                    for part in gate.parts)
    made = _result(attempt, moment, results, revised)
    gates.end(attempt, "finish", moment, state=made.state, late=made.late,
              minutes=round(made.minutes, 1), version=gates.gate_version(gate, curriculum),
              parts={part.part.id: part.state for part in results},
              checks={check.id: verdict.state for part in results for check, verdict in part.verdicts},
              questions={answer.question.id: answer.right for answer in made.answered})
    return made


def read_attempt(attempt: Attempt) -> dict[str, Any]:
    try:
        return read_notebook(attempt.path)
    except WorkError as error:
        what = str(error).split(". Nothing was changed")[0].split("; `ladder start")[0]
        raise WorkError(
            f"{what}. The attempt stays open and its clock runs on: mend or restore the file "
            f"(.ipynb_checkpoints beside it holds an earlier version; `ladder gate {attempt.gate}` writes a "
            f"fresh one if it is gone), then finish again, or `ladder gate {attempt.gate} --give-up`"
        ) from None


def code_cells(document: dict[str, Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"]


def run_cells(cells: Sequence[str], checks: Sequence[Check], gate: str, base: str, folder: Path,
              timeout: int) -> tuple[dict[str, Heard], dict[str, Any] | None]:
    """What was heard of each check, by its id, and the answers, still encoded."""
    from ladder.kernel_judge.alone import cells_alone

    kernels = [check for check in checks if KERNEL in check.forbids]
    heard, answers = _run(cells, checks, gate, base, folder, timeout, {LATER: "1"} if kernels else {})
    if kernels:
        wanted = {name for check in kernels for name in check.needs}
        alone = [text for _, text in cells_alone(enumerate(_python(cells)), wanted)]
        apart, _ = _run(alone, kernels, gate, base, folder, timeout, {})
        heard |= {name: apart[name] for name in apart
                  if heard[name].trouble is None and len(heard[name].emissions) == 1}
    return heard, answers


def _python(cells: Sequence[str]) -> Iterator[str]:
    """The cells without IPython's magics; what is no Python, as an empty cell."""
    from ladder.cohort.scan import plain_python

    for cell in cells:
        try:
            yield plain_python(cell)
        except (SyntaxError, ValueError, RecursionError):
            yield ""


def _run(cells: Sequence[str], checks: Sequence[Check], gate: str, base: str, folder: Path, timeout: int,
         further: dict[str, str]) -> tuple[dict[str, Heard], dict[str, Any] | None]:
    """The same, of one kernel that runs ``cells`` and then ours."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from nbformat.v4 import new_code_cell, new_notebook

    ours = [("", "from ladder.gate_kernel import emit_answers\nemit_answers(globals().get('answers'))")]
    ours += [(check.id, f"from ladder.graders.{check.stage}.{check.slug} import {check.name}\n"
                        f"{check.name}({', '.join(check.needs)})") for check in checks]
    book = new_notebook(cells=[new_code_cell(source) for source in (*cells, *(c for _, c in ours))])
    book = nbformat.reads(json.dumps(book), as_version=4)
    client = NotebookClient(
        book, timeout=timeout, interrupt_on_timeout=True, allow_errors=True,
        resources={"metadata": {"path": str(folder)}}, kernel_name="python3",
    )
    environment = {
        **os.environ, "LADDER_WORK": str(work_dir()), "LADDER_GATE": gate, "LADDER_MODE": "observe",
        "LADDER_SEED": base, "LADDER_CARRY": "reference", "LADDER_QUICK": "1", "MPLBACKEND": "agg",
    } | further
    stopped = say("its cell did not run", "它的单元格没有运行")
    try:
        client.execute(env=environment, stderr=subprocess.DEVNULL)
    except DeadKernelError:
        stopped = say("the kernel died before this check (memory, or exit() in a cell)",
                      "内核在此检查之前就停止了（内存不足，或单元格中调用了 exit()）")
    except CellTimeoutError:
        stopped = say(f"a cell ran longer than {timeout} s", f"有单元格运行超过 {timeout} 秒")
    heard: dict[str, Heard] = {}
    answers = None
    for (identity, _), cell in zip(ours, book.cells[len(cells):], strict=True):
        outputs = cell.get("outputs", [])
        if identity:
            heard[identity] = _heard(outputs, stopped, ran=cell.execution_count is not None)
        else:
            sent = [out["data"][ANSWERS] for out in outputs if ANSWERS in out.get("data", {})]
            answers = sent[0] if len(sent) == 1 and isinstance(sent[0], dict) else None
    return heard, answers


def _heard(outputs: Sequence[Any], stopped: Text, ran: bool) -> Heard:
    emissions = tuple(out["data"][OBSERVATIONS] for out in outputs
                      if OBSERVATIONS in out.get("data", {}))
    error = next((out for out in outputs if out.output_type == "error"), None)
    if error is not None:
        what = f"{error.ename}: {error.evalue}"[:300]
        return Heard(emissions, say(f"the check could not run: {what}", f"检查无法运行：{what}"))
    return Heard(emissions, None if ran or emissions else stopped)


def judge_checks(cells: Sequence[str], heard: dict[str, Heard], checks: dict[str, list[Check]],
                 base: str) -> dict[str, tuple[tuple[Check, Verdict], ...]]:
    from ladder.forbids import bindings, forbidden_use

    reason = reached_for(cells)
    source = bindings(_python(cells))

    def judged(check: Check) -> Verdict:
        forbidden = forbidden_use(source, check.needs, check.forbids)
        said = heard[check.id]
        if forbidden is not None and KERNEL in check.forbids:  # left out of the kernel that judges kernels
            said = Heard((nothing_yet(check),))
        return verdict_of(check, said, base, intrusion=reason, forbidden=forbidden)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # known mistakes overflow; nobody needs to read that
        return {part: tuple((check, judged(check)) for check in those) for part, those in checks.items()}


TOOL = re.compile(r"^\s*(?:from|import)\s+(ladder(?:\.\w+)*)(?:\s+import\s+(\w+))?", re.M)


def reached_for(cells: Sequence[str]) -> Text | None:
    """What of the tool a gate's notebook imports and may not: answers, earlier code, the judge."""
    from ladder.cohort.scan import intrusion

    for cell in cells:
        for module, name in TOOL.findall(cell):
            used = f"{module}.{name}" if module == "ladder" and name else module
            if used not in ALLOWED:
                return say(f"this notebook imports `{used}`; a gate is taken without it",
                           f"本笔记本导入了 `{used}`，闯关时不允许")
    return intrusion(cells)


def judge_answers(questions: Sequence[Drawn], sent: dict[str, Any] | None) -> list[Answered]:
    """The answers against the bank's; whatever is no plain answer is wrong."""
    found = []
    for number, question in enumerate(questions, 1):
        given = None
        try:
            given = wire.decode((sent or {}).get(f"q{number}"))
            if isinstance(given, wire.Array) and given.values.size == 1:
                given = given.values.reshape(-1)[0].item()
        except WireError:
            given = None
        if not isinstance(given, (str, int, float, type(None))):
            given = type(given).__name__
        found.append(Answered(question, given, difference(question, given)))
    return found


def _part(part: GatePart, waiting: Text | None, verdicts: Sequence[tuple[Check, Verdict]],
          answered: Sequence[Answered]) -> PartResult:
    if not verdicts:
        return PartResult(part, NOT_CHECKED, waiting or say(
            "it could not be taken when the attempt began", "本次开始时还不能考"))
    states = {verdict.state for _, verdict in verdicts}
    state = next((s for s in (FAILED, NOT_CHECKED) if s in states), PASSED)
    return PartResult(part, state, None, tuple(verdicts), tuple(answered))


def _result(attempt: Attempt, moment: datetime.datetime, parts: tuple[PartResult, ...],
            revised: bool) -> Result:
    minutes, late = attempt.minutes_used(moment), attempt.late(moment)
    reasons = []
    if missing := [part.part.id.upper() for part in parts if not part.verdicts]:
        reasons.append(say(f"part {', '.join(missing)} was not taken", f"{'、'.join(missing)} 部分没有考"))
    if minutes < 0:
        reasons.append(say("this machine's clock was set back, so the time cannot be told",
                           "这台机器的时钟被调回过，无法得知用时"))
    elif late:
        reasons.append(say(f"{minutes:.1f} of {attempt.minutes:g} minutes were used: too late",
                           f"用了 {minutes:.1f} 分钟，超过了 {attempt.minutes:g} 分钟的时限"))
    if revised:
        reasons.append(say("the questions were revised while the attempt was open, and are not judged",
                           "本次进行期间题库有改动，因此不评判问答题"))
    if not any(part.state == FAILED for part in parts):
        reasons += [_unchecked(part) for part in parts if part.verdicts and part.state == NOT_CHECKED]
    if reasons:
        return Result(attempt, PRACTICE, minutes, late, parts, tuple(reasons))
    answered = [answer for part in parts for answer in part.answered]
    enough = 100 * sum(answer.right for answer in answered) >= NEEDED * len(answered) > 0
    passed = enough and all(part.state == PASSED for part in parts)
    return Result(attempt, PASSED if passed else FAILED, minutes, late, parts)


def _unchecked(part: PartResult) -> Text:
    """Why a part that was taken has no verdict here: Triton is not installed, say."""
    why = next(v.reason for _, v in part.verdicts if v.state == NOT_CHECKED) or say("no reason given", "原因不明")
    name = part.part.id.upper()
    return say(f"part {name} could not be checked here: {why.en}", f"{name} 部分在这里无法检查：{why.zh}")

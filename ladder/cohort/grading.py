"""From what was heard of a check to its verdict, its score and the output that shows both.

Nothing here trusts what comes from a learner's kernel; nothing here is silent about an error of
ours (a reference that fails is raised, not scored).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_output

from ladder import render
from ladder.checks import Check
from ladder.emission import graded_seed, receive
from ladder.errors import WireError
from ladder.judge import FAILED, NOT_CHECKED, Verdict, judge, reference_run
from ladder.notebook import VERDICT
from ladder.text import Text, say

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Heard:
    """What came of a check's cell: emissions, and an error of the cell if there was one."""

    emissions: tuple[Any, ...] = ()
    trouble: Text | None = None


def verdict_of(
    check: Check, heard: Heard, base: str, *, intrusion: Text | None = None,
    forbidden: Text | None = None,
) -> Verdict:
    """Judge one check of one submission in the graded run whose random text is ``base``."""
    seed = graded_seed(check, base)
    reference = reference_run(check, seed, True)
    if reference.not_checked is not None:
        return Verdict(check.id, NOT_CHECKED, reason=reference.not_checked)
    reason = intrusion or heard.trouble
    if reason is None and len(heard.emissions) != 1:
        reason = _count(len(heard.emissions))
    if reason is not None:
        return Verdict(check.id, FAILED, reason=reason)
    try:
        run = receive(check, heard.emissions[0])
    except WireError as refusal:
        return Verdict(check.id, FAILED, reason=say(
            f"what the check observed could not be read: {refusal}",
            f"无法读取检查得到的结果：{refusal}"))
    try:
        return judge(check, run, seed, hidden=True, forbidden=forbidden)
    except Exception as error:  # perhaps only in the search for a hint, whose code is ours
        log.warning("%s: judging raised %r; again without hints", check.id, error, exc_info=True)
    try:
        return judge(check, run, seed, hidden=True, forbidden=forbidden, mistakes=())
    except Exception as error:  # data from a learner's kernel may hold anything
        return Verdict(check.id, FAILED, reason=say(
            f"what the check observed could not be compared ({type(error).__name__})",
            f"检查得到的结果无法比较（{type(error).__name__}）"))


def _count(emissions: int) -> Text:
    if emissions:
        return say("the check reported more than once; run each check once, in its own cell",
                   "检查报告了不止一次；每个检查只应在它自己的单元格中运行一次")
    return say("the check reported nothing; its cell did not run to the end",
               "检查没有报告任何结果；它的单元格没有运行完")


def score_of(verdict: Verdict, points: float) -> float:
    """Points for the right part of the observations, to two decimals, never above ``points``."""
    return points if verdict.passed else min(points, round(points * verdict.fraction, 2))


def result(verdict: Verdict, check: Check, points: float, language: str, count: int | None) -> Any:
    """The one output of a graded check's cell.

    nbgrader reads the score from ``text/plain``; pages show ``text/html``.
    """
    score = score_of(verdict, points)
    worth = say(f" · {score:g} of {points:g} points", f" · 得分 {score:g}/{points:g}")
    return new_output("execute_result", execution_count=count, data=NotebookNode({
        "text/plain": repr(float(score)),
        "text/html": render.html(verdict, check, language, points=worth.in_(language)),
        VERDICT: NotebookNode(check=verdict.check, state=verdict.state, score=score,
                              fraction=round(verdict.fraction, 4), written=verdict.written,
                              hint=list(verdict.hint) if verdict.hint else None),
    }))

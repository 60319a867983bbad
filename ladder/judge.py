"""The verdict: the learner's observations against the reference's, and which mistake they match."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ladder import content, recorded, wire
from ladder.checks import Check, Mistake
from ladder.compare import Close, Raises
from ladder.errors import LessonError, WireError
from ladder.observe import Observation, Run, observe
from ladder.text import Text, say

MAX_RUNS = 500
PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not_checked"
NOT_WRITTEN = say("not written yet", "还没有写")


@dataclass(frozen=True)
class Row:
    """One observation judged: ``difference`` is None where it is right."""

    label: Text
    difference: Text | None
    hidden: bool = False

    @property
    def right(self) -> bool:
        return self.difference is None


@dataclass(frozen=True)
class Verdict:
    """What a check found. Not checked is neither passed nor failed and scores nothing."""

    check: str
    state: str
    rows: tuple[Row, ...] = ()
    hint: Text | None = None
    reason: Text | None = None

    @property
    def passed(self) -> bool:
        return self.state == PASSED

    @property
    def written(self) -> bool:
        """Whether something was there to judge: not only the hole that the learner was given."""
        wrong = [row.difference for row in self.rows if not row.right]
        return not self.rows or len(wrong) < len(self.rows) or NOT_WRITTEN not in wrong

    @property
    def fraction(self) -> float:
        """The part of the points earned, by observations."""
        if self.state == NOT_CHECKED or not self.rows or self.reason is not None:
            return 0.0
        return sum(row.right for row in self.rows) / len(self.rows)


_references: dict[tuple[str, int, bool], Run] = {}
_mistaken: dict[tuple[Mistake, int, bool], Run] = {}


def reference_run(check: Check, seed: int, hidden: bool) -> Run:
    """The reference's observations, made once for each seed."""
    key = (check.id, seed, hidden)
    if key not in _references and not hidden and (known := recorded.recorded(check)) is not None:
        return known.reference
    if key not in _references:
        run = observe(check, content.reference_objects(check), seed, hidden)
        for seen in run.observations:
            if seen.failure is not None and not isinstance(seen.comparison, Raises):
                raise LessonError(
                    f"{check.id}: the reference itself raised {seen.failure.kind}: "
                    f"{seen.failure.message} at {seen.label.en!r}"
                )
        if not run.observations and run.not_checked is None:
            raise LessonError(f"{check.id} observes nothing, so it could not fail")
        _references[key] = run
    return _references[key]


def mistake_run(mistake: Mistake, seed: int, hidden: bool) -> Run:
    """A known mistake's observations, made once for each seed: a cohort makes the same ones."""
    key = (mistake, seed, hidden)
    if key not in _mistaken:
        if len(_mistaken) >= MAX_RUNS:
            _mistaken.clear()
        _mistaken[key] = observe(mistake.check, content.mistaken_objects(mistake), seed, hidden)
    return _mistaken[key]


def known_mistakes(check: Check, seed: int) -> Sequence[Mistake]:
    """The check's mistakes; in a release without solutions, the recorded ones."""
    if check.mistakes or (known := recorded.recorded(check)) is None:
        return check.mistakes
    for mistake, run in known.mistakes:
        _mistaken[(mistake, seed, False)] = run
    return [mistake for mistake, _ in known.mistakes]


def judge(
    check: Check, learner: Run, seed: int, hidden: bool = False,
    forbidden: Text | None = None, mistakes: Sequence[Mistake] | None = None,
    patience: float = math.inf,
) -> Verdict:
    """Compare a learner's run with the reference's run of the same seed.

    ``forbidden`` is what :func:`ladder.forbids.forbidden_use` found in the learner's source.
    ``mistakes`` (default: the check's own) are tried for a hint when something failed; no further
    one is begun after ``patience`` seconds, since a mistake in training code trains as long as it.
    """
    if all_thresholds(learner) and not hidden and learner.not_checked is None:
        reference = learner  # practice: a training check trains once
    else:
        reference = reference_run(check, seed, hidden)
    if reference.not_checked is not None:
        return Verdict(check.id, NOT_CHECKED, reason=reference.not_checked)
    rows = judge_rows(learner, reference)
    if forbidden is not None:
        return Verdict(check.id, FAILED, rows, reason=forbidden)
    if all(row.right for row in rows):
        return Verdict(check.id, PASSED, rows)
    tried = known_mistakes(check, seed) if mistakes is None else mistakes
    matched = matching_mistake(learner, reference, rows, seed, hidden, tried, patience)
    return Verdict(check.id, FAILED, rows, hint=matched.hint if matched else None)


def all_thresholds(run: Run) -> bool:
    """Whether every observation is there and is judged without a reference."""
    return bool(run.observations) and all(
        not seen.comparison.needs_reference
        and (seen.failure is None or isinstance(seen.comparison, Raises))
        for seen in run.observations
    )


def judge_rows(learner: Run, reference: Run) -> tuple[Row, ...]:
    """One row for each of the reference's observations."""
    rows = []
    ours = {False: iter([o for o in learner.observations if not o.hidden]),
            True: iter([o for o in learner.observations if o.hidden])}
    stopped: dict[bool, Observation | None] = {False: None, True: None}
    for expected in reference.observations:
        actual = next(ours[expected.hidden], None)
        rows.append(Row(expected.label, _difference(actual, expected, stopped[expected.hidden]),
                        expected.hidden))
        if actual is not None and actual.failure is not None:
            stopped[expected.hidden] = actual
    return tuple(rows)


def _difference(
    actual: Observation | None, expected: Observation, earlier: Observation | None
) -> Text | None:
    if actual is None:
        if earlier is not None and earlier.failure is not None:
            return say(f"not reached, after the {earlier.failure.kind} above",
                       f"前面出现 {earlier.failure.kind}，没有执行到这里")
        return say("not observed", "没有观察到")
    failure = actual.failure
    if isinstance(expected.comparison, Raises):
        if failure is not None and set(failure.bases) & set(expected.comparison.names) and (
            "NotImplementedError" not in failure.bases
        ):
            return None
        if failure is None or failure.kind == "WireError":  # it returned, if only an odd object
            return expected.comparison.difference(None)
    if failure is not None:
        return tell_failure(failure)
    try:
        value = wire.decode(actual.value)
    except WireError as refusal:
        return say(f"refused: {refusal}", f"无法接受这个值：{refusal}")
    return expected.comparison.difference(value, wire.decode(expected.value))


def tell_failure(failure: Any) -> Text:
    """An error in the learner's code, told in one line."""
    if failure.kind == "NotImplementedError":
        return NOT_WRITTEN
    if failure.kind == "WireError":
        return say(failure.message, f"返回值的类型不对：{failure.message}")
    message = f"{failure.kind}: {failure.message}" if failure.message else failure.kind
    if not failure.line:
        return say(f"raised {message}", f"抛出 {message}")
    return say(f"raised {message} (line {failure.number}: {failure.line})",
               f"抛出 {message}（第 {failure.number} 行：{failure.line}）")


def matching_mistake(
    learner: Run, reference: Run, rows: Sequence[Row], seed: int, hidden: bool,
    mistakes: Sequence[Mistake], patience: float = math.inf,
) -> Mistake | None:
    """The known mistake whose observations the learner's wrong ones equal, if any.

    One whose wrong rows are the learner's wrong rows exactly is preferred to one that only covers
    them.
    """
    wrong = {i for i, row in enumerate(rows) if not row.right}
    ours = _by_row(learner, reference)
    if all(ours[i] is None or _unwritten(ours[i]) for i in wrong):
        return None
    covering = None
    deadline = time.monotonic() + patience
    for mistake in mistakes:
        if time.monotonic() > deadline:
            break
        run = mistake_run(mistake, seed, hidden)
        theirs = _by_row(run, reference)
        their_wrong = {
            i for i, row in enumerate(judge_rows(run, reference)) if not row.right
        }
        if not wrong <= their_wrong:
            continue
        if not all(_same(ours[i], theirs[i]) for i in wrong):
            continue
        if wrong == their_wrong:
            return mistake
        covering = covering or mistake
    return covering


def _by_row(run: Run, reference: Run) -> list[Observation | None]:
    ours = {h: iter([o for o in run.observations if o.hidden is h]) for h in (False, True)}
    return [next(ours[expected.hidden], None) for expected in reference.observations]


def _unwritten(seen: Observation | None) -> bool:
    return seen is not None and seen.failure is not None and (
        seen.failure.kind == "NotImplementedError"
    )


def _same(ours: Observation | None, theirs: Observation | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    if ours.failure is not None or theirs.failure is not None:
        return (ours.failure is not None and theirs.failure is not None
                and ours.failure.kind == theirs.failure.kind)
    comparison = theirs.comparison if theirs.comparison.needs_reference else Close()
    try:
        return comparison.matches(wire.decode(ours.value), wire.decode(theirs.value))
    except WireError:
        return False

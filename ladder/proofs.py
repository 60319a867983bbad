"""Proofs of one check: what must pass passes, what must fail fails, with the right words."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ladder import content, judge
from ladder.checks import Check, Mistake
from ladder.curriculum import Day
from ladder.forbids import forbidden_use
from ladder.killing import time_limit
from ladder.observe import Run, observe, practice_seed
from ladder.paths import content_root
from ladder.stub import stub_source
from ladder.verify_report import Report, tell, told

LEAST_MISTAKES = 3
RUN_SECONDS = 60.0   # one run of one check on one implementation
SEEDS, LEAST_SEEDS = 20, 5
PROOF_SECONDS = 4.0  # of all runs of one check, where it is not told how many seeds to try
SLOW_SECONDS = 1.0   # a check that takes longer is noted
CANARY = "the canary of"
STUB_WORDS = ("not written yet", "not reached")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


class CanaryError(Exception):
    """Raised by what stands in for an exercise's name; must be seen in the verdict."""


def prove_check(check: Check, day: Day, seeds: int | None, report: Report) -> list[str]:
    """Everything that must hold of one check; counts go into ``report``.

    It is tried at ``seeds`` seeds beside the practice seed; None means 20, and fewer for a check that takes long.
    """
    exercise = day.exercise_of(check.name)
    first = practice_seed(check)
    if (reason := judge.reference_run(check, first, True).not_checked) is not None:
        report.not_checked.append(f"{check.name}: {reason.en}")
        return []
    problems = list(_mistake_texts(check))
    source = content.solution_source(check.stage, check.slug)
    start = time.process_time()
    _run(check, content.reference_objects(check), first)
    if (seconds := time.process_time() - start) > SLOW_SECONDS:
        report.notes.append(f"{check.name} takes {seconds:.1f} s with the reference; a learner waits "
                            "for it at every try")
    if seeds is None:
        affordable = int(PROOF_SECONDS / max(1e-6, seconds * (3 + len(check.mistakes))))
        seeds = min(SEEDS, max(LEAST_SEEDS, affordable))
        if seeds < SEEDS:
            report.notes.append(f"{check.name} takes {seconds:.2f} s: proved at {seeds} seeds instead of {SEEDS}; "
                                f"--seeds {SEEDS} proves it at all")
    all_seeds = [first, *range(1, seeds + 1)]
    found = _passes(check, content.reference_objects(check), all_seeds, "the reference, run again,")
    found += _forbidden(check, source, "the reference")
    report.references_passing += not found
    problems += found
    found = _independent(check, day, all_seeds)
    report.independents_passing += not found
    problems += found
    found = _stub(check, day, all_seeds)
    report.stubs_failing += not found
    problems += found
    if _canary(check, exercise.names):
        report.canaries_seen += 1
    else:
        problems.append(f"{check.name}: errors raised by {', '.join(exercise.names)} are not seen in "
                        "its verdict, so it does not run what it is given")
    for mistake in check.mistakes:
        found = told(functools.partial(_mistake, mistake, all_seeds), mistake.id)
        report.mistakes_failing += not found
        problems += found
    return problems


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Wrong implementations overflow and divide by zero; nobody needs to read that here."""
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        yield


def _run(check: Check, objects: Sequence[Any], seed: int, hidden: bool = True) -> Run:
    with time_limit(RUN_SECONDS), _quiet():
        return observe(check, objects, seed, hidden)


def _judge(
    check: Check, run: Run, seed: int, mistakes: Sequence[Mistake] | None = (), hidden: bool = True
) -> judge.Verdict:
    with time_limit(10 * RUN_SECONDS), _quiet():
        return judge.judge(check, run, seed, hidden, mistakes=mistakes)


def _passes(check: Check, objects: Sequence[Any], seeds: Sequence[int], who: str) -> list[str]:
    """The first seed at which ``objects`` do not pass, told."""
    for seed in seeds:
        verdict = _judge(check, _run(check, objects, seed), seed)
        if not verdict.passed:
            wrong = next((f"{row.label.en}: {row.difference.en}"
                          for row in verdict.rows if row.difference), verdict.state)
            return [f"{check.name}: {who} fails at seed {seed}: {wrong}"]
    return []


def _forbidden(check: Check, source: str, who: str) -> list[str]:
    found = forbidden_use(source, check.needs, check.forbids)
    return [f"{check.name}: {who} {found.en}"] if found else []


def _independent(check: Check, day: Day, seeds: Sequence[int]) -> list[str]:
    path = content_root() / "tests" / "independent" / check.stage / f"{day.id}.py"
    if not path.exists():
        return [f"{check.name}: no independent second implementation, {path} does not exist"]
    asked = {name.split(".")[0] for exercise in day.exercises for name in exercise.names}
    try:
        second = vars(_load(path))
    except Exception as error:  # the file may raise anything
        return [f"{check.name}: {path.name}, the independent implementation: {tell(error)}"]
    missing = [name for name in check.needs if name in asked and name not in second]
    if missing:
        return [f"{check.name}: the independent implementation has no {', '.join(missing)}"]
    given = vars(content.solution_module(check.stage, check.slug))
    found = _forbidden(check, path.read_text(encoding="utf-8"), "the independent implementation")
    return found + _passes(check, [second.get(name, given.get(name)) for name in check.needs], seeds,
                           "the independent implementation")


_loaded: dict[Path, Any] = {}


def _load(path: Path) -> Any:
    if path not in _loaded:
        spec = importlib.util.spec_from_file_location(f"independent_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module.__name__] = module
        spec.loader.exec_module(module)
        _loaded[path] = module
    return _loaded[path]


def _stub(check: Check, day: Day, seeds: Sequence[int]) -> list[str]:
    names = [name for exercise in day.exercises for name in exercise.names]
    source = stub_source(content.solution_source(check.stage, check.slug), names)
    objects = content.pick(content.variant(check.stage, check.slug, source), check.needs, check.slug)
    for seed in seeds:
        verdict = _judge(check, _run(check, objects, seed), seed, check.mistakes)
        for row in verdict.rows:
            if row.difference is None:
                return [f"{check.name}: the untouched stub gets {row.label.en!r} right"]
            if not row.difference.en.startswith(STUB_WORDS):
                return [f"{check.name}: the untouched stub is told {row.difference.en!r} at "
                        f"{row.label.en!r}, not 'not written yet'"]
        if verdict.state != judge.FAILED or verdict.fraction or verdict.hint:
            return [f"{check.name}: the untouched stub is {verdict.state} with "
                    f"{verdict.fraction:.0%} and hint {verdict.hint}"]
    return []


def _canary(check: Check, names: Sequence[str]) -> bool:
    """Whether errors raised by all of ``names`` are seen in the check's verdict."""
    namespace = content.variant(
        check.stage, check.slug, content.solution_source(check.stage, check.slug))
    for name in names:
        _put_canary(namespace, name)
    objects = content.pick(namespace, check.needs, check.slug)
    seed = practice_seed(check)
    verdict = _judge(check, _run(check, objects, seed), seed)
    return not verdict.passed and any(
        f"{CANARY} {name} " in f"{row.difference.en} "
        for row in verdict.rows if row.difference for name in names)


def unseen_names(day: Day, checks: dict[str, Check], report: Report) -> Iterator[str]:
    """Names of an exercise that none of its checks touches."""
    for exercise in day.exercises:
        mine = [checks[name] for name in exercise.checks if name in checks]
        for name in exercise.names:
            if mine and not {c.name for c in mine} & report.unchecked and not any(
                _canary(check, [name]) for check in mine
            ):
                yield (f"{exercise.id}: none of its checks runs {name}, an error raised by it is not "
                       "seen")


def _put_canary(namespace: dict[str, Any], name: str) -> None:
    def canary(*args: Any, **kwargs: Any) -> Any:
        raise CanaryError(f"{CANARY} {name}")

    owner, _, member = name.rpartition(".")
    if owner:
        kind = namespace[owner].__dict__.get(member)
        setattr(namespace[owner], member, property(canary) if isinstance(kind, property)
                else staticmethod(canary) if isinstance(kind, (staticmethod, classmethod))
                else canary)
    elif isinstance(namespace[name], type):
        for key, value in list(vars(namespace[name]).items()):
            if callable(value) and key not in ("__repr__", "__class__"):
                setattr(namespace[name], key, canary)
    elif hasattr(namespace[name], "__getitem__"):  # a Triton kernel, which is launched as kernel[grid](...)
        namespace[name] = _Launched(canary)
    else:
        namespace[name] = canary


class _Launched:
    def __init__(self, canary: Callable[..., Any]) -> None:
        self.canary = canary

    def __getitem__(self, grid: Any) -> Callable[..., Any]:
        return self.canary

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.canary()


def _mistake_texts(check: Check) -> Iterator[str]:
    if len(check.mistakes) < LEAST_MISTAKES:
        yield (f"{check.name}: {len(check.mistakes)} known mistakes, must be at least "
               f"{LEAST_MISTAKES}")
    for mistake in check.mistakes:
        en, zh = mistake.hint
        if not en.strip() or CHINESE.search(en):
            yield f"{mistake.id}: its English hint is {en!r}"
        if not CHINESE.search(zh):
            yield f"{mistake.id}: its Chinese hint is {zh!r}"
        if any(other.hint == mistake.hint for other in check.mistakes if other is not mistake):
            yield f"{mistake.id}: another mistake has the same hint: {en!r}"


def _mistake(mistake: Mistake, seeds: Sequence[int]) -> list[str]:
    """A mistake must fail at every seed, and its own hint must be the one shown.

    At the practice seed it runs apart from the run that hints are found by, so that one which is
    not the same each time is noticed; at the other seeds one run serves for both.
    """
    check = mistake.check
    objects = content.mistaken_objects(mistake)
    for seed, hidden in [(seeds[0], False), *((seed, True) for seed in seeds)]:
        if seed == seeds[0]:
            run = _run(check, objects, seed, hidden)
        else:
            with time_limit(RUN_SECONDS), _quiet():
                run = judge.mistake_run(mistake, seed, hidden)
        verdict = _judge(check, run, seed, check.mistakes, hidden)
        if verdict.passed:
            if not hidden and check.hidden_cases is not None:
                continue  # only the hidden cases tell it; they follow
            return [f"{mistake.id} passes at seed {seed} (hint: {mistake.hint.en!r})"]
        if verdict.hint != mistake.hint:
            shown = next((m.id for m in check.mistakes if m.hint == verdict.hint), None)
            what = f"the hint of {shown}" if shown else "no hint"
            return [f"{mistake.id} at seed {seed}{'' if hidden else ' (practice)'} is shown {what}, not "
                    f"its own: {mistake.hint.en!r}"]
    return []

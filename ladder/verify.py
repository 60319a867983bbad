"""Prove a day's checks: what must pass passes, what must fail fails, with the right words.

:func:`verify_day` proves one day in this process; :func:`verify` runs the days as processes of their
own (``python -m ladder.verify SLUG ...``) side by side.

An author whose day is not yet in curriculum.yaml sets ``LADDER_DRAFTS`` to a folder that holds
``SLUG.curriculum.yaml`` (the day's entry); it then takes the place of the planned day.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ladder import build, content, judge
from ladder.checks import Check, Mistake
from ladder.content import Definition, find_definition
from ladder.curriculum import Curriculum, Day, load_curriculum
from ladder.errors import CurriculumError, LadderError
from ladder.forbids import forbidden_use
from ladder.killing import TooLong, Trial, time_limit
from ladder.lesson import Lesson, read_lesson
from ladder.mutants import Mutant, mutants_of
from ladder.observe import Run, observe, practice_seed
from ladder.paths import content_root, source_path
from ladder.stub import stub_source

KILL_RATE = 0.95
LEAST_MISTAKES = 3
LEAST_HINTS = 2
RUN_SECONDS = 60.0       # one run of one check on one implementation
SLOW_SECONDS = 1.0       # a check that takes longer is noted
LESSON_SECONDS = 300.0   # the lesson as a script
CANARY = "the canary of"
STUB_WORDS = ("not written yet", "not reached")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


class CanaryError(Exception):
    """Raised by what stands in for an exercise's name; must be seen in the verdict."""


@dataclass
class Report:
    """What :func:`verify_day` found of one day; the day holds if ``problems`` is empty."""

    day: str
    days: int = 1
    checks: int = 0
    mistakes: int = 0
    mistakes_failing: int = 0
    mutants: int = 0  # without those listed as equivalent
    mutants_killed: int = 0
    mutants_equivalent: int = 0
    kill_rate: float | None = None
    survivors: list[dict[str, Any]] = field(default_factory=list)
    stubs_failing: int = 0
    references_passing: int = 0
    independents_passing: int = 0
    canaries_seen: int = 0
    not_checked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


TOTALS = ("days", "checks", "mistakes", "mistakes_failing", "mutants", "mutants_killed",
          "mutants_equivalent", "stubs_failing", "references_passing", "independents_passing")


# which days

def curriculum_with_drafts() -> Curriculum:
    """The curriculum, its planned days replaced by the drafts in ``LADDER_DRAFTS``."""
    curriculum = load_curriculum()
    drafts = {}
    if folder := os.environ.get("LADDER_DRAFTS"):
        for path in sorted(Path(folder).glob("*.curriculum.yaml")):
            draft = read_draft(path)
            if draft.id not in {day.id for day in curriculum.days}:
                raise CurriculumError(f"{path}: {draft.id} is not a day of curriculum.yaml")
            drafts[draft.id] = draft
    stages = [
        stage.model_copy(update={"days": [
            day if day.built else drafts.get(day.id, day) for day in stage.days]})
        for stage in curriculum.stages
    ]
    return curriculum.model_copy(update={"stages": stages})


def read_draft(path: Path) -> Day:
    """A day's entry as its author drafts it: a list of one day, or the day, ``boxes:`` aside."""
    text = re.split(r"(?m)^boxes:", path.read_text(encoding="utf-8"))[0]
    try:
        data = yaml.safe_load(text)
        while isinstance(data, list) or (isinstance(data, dict) and "days" in data):
            data = data["days"] if isinstance(data, dict) else data[0]
        return Day.model_validate({k: v for k, v in data.items() if k != "boxes"})
    except (yaml.YAMLError, ValueError, AttributeError, LookupError) as error:
        raise CurriculumError(f"{path}: not a day's entry: {error}") from None


def chosen_days(names: Sequence[str]) -> list[str]:
    """The slugs of ``names``, or of every built day."""
    curriculum = curriculum_with_drafts()
    if not names:
        return [day.id for day in curriculum.built_days]
    days = [curriculum.day(name) for name in names]
    for day in days:
        if not day.built:
            raise CurriculumError(f"{day.id} has no exercises in curriculum.yaml, so there is nothing "
                                  "to verify; write its entry, or set LADDER_DRAFTS to the folder of "
                                  "its draft")
    return list(dict.fromkeys(day.id for day in days))


# all days, each in its own process

def verify(
    slugs: Sequence[str], seeds: int, jobs: int, mutants: bool,
    finished: Callable[[Report], None] = lambda report: None,
) -> list[Report]:
    """Verify the days side by side, ``jobs`` at a time, each in a process of its own."""
    def one(slug: str) -> Report:
        report = _in_process(slug, seeds, mutants)
        finished(report)
        return report

    with ThreadPoolExecutor(max(1, jobs)) as pool:
        return list(pool.map(one, slugs))


def _in_process(slug: str, seeds: int, mutants: bool) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "report.json"
        process = subprocess.run(
            [sys.executable, "-m", "ladder.verify", slug, str(seeds), str(int(mutants)), str(result)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"OMP_NUM_THREADS": "1"} | os.environ | {"MPLBACKEND": "agg"},
            text=True, errors="replace",
        )
        if process.returncode or not result.exists():
            tail = "\n".join(process.stdout.strip().split("\n")[-12:])
            return Report(slug, problems=[f"verify stopped with exit code {process.returncode}:\n{tail}"])
        return Report(**json.loads(result.read_text(encoding="utf-8")))


def totals(reports: Sequence[Report]) -> dict[str, Any]:
    """The figures over all days."""
    found: dict[str, Any] = {name: sum(getattr(r, name) for r in reports) for name in TOTALS}
    found["kill_rate"] = (round(found["mutants_killed"] / found["mutants"], 4)
                          if found["mutants"] else None)
    return found


# one day

def verify_day(
    day: Day, curriculum: Curriculum, seeds: int = 20, mutants: bool = True
) -> Report:
    """Everything that must hold of one day; never raises for the day's own faults."""
    start = time.monotonic()
    stage = curriculum.stage_of(day).id
    report = Report(day.id)
    report.problems += _told(lambda: list(_structure(stage, day)), "structure")
    try:
        checks = content.checks_of(stage, day.id)
        source = content.solution_source(stage, day.id)
        content.solution_module(stage, day.id)
    except Exception as error:  # the author's modules may raise anything
        report.problems.append(f"cannot be imported: {_tell(error)}")
        return report
    used = {name: checks[name] for name in day.checks if name in checks}
    report.checks, report.mistakes = len(used), sum(len(c.mistakes) for c in used.values())
    for check in used.values():
        report.problems += _told(functools.partial(_prove, check, day, seeds, report), check.name)
    report.problems += _told(lambda: list(_unseen_names(day, used, report)), "canary")
    report.problems += _told(lambda: list(_lesson_problems(stage, day, source)), "lesson")
    report.problems += _told(lambda: list(_run_lesson(stage, day.id)), "lesson")
    report.problems += _build_problems(day, curriculum, report)
    if mutants:
        report.problems += _told(lambda: _kill(stage, day, source, used, report), "mutants")
    report.seconds = round(time.monotonic() - start, 1)
    return report


def _told(prove: Callable[[], list[str]], what: str) -> list[str]:
    try:
        return prove()
    except (Exception, TooLong) as error:  # content may raise anything; verify goes on and tells
        return [f"{what}: {_tell(error)}"]


def _tell(error: BaseException) -> str:
    return str(error) if isinstance(error, LadderError) else f"{type(error).__name__}: {error}"


def _structure(stage: str, day: Day) -> Iterator[str]:
    """What curriculum.yaml, grader and solution must agree on."""
    checks = content.checks_of(stage, day.id)
    for name in day.checks:
        if name not in checks:
            yield f"{name} is in curriculum.yaml but not in the grader"
    for name in checks:
        if name not in day.checks:
            yield f"{name} is in the grader but not in curriculum.yaml"
    tree = ast.parse(content.solution_source(stage, day.id))
    for exercise in day.exercises:
        for name in exercise.names:
            node = find_definition(tree, name)
            if not isinstance(node, Definition):
                yield f"{exercise.id}: the solution does not define {name} as a function or class"
            elif not (ast.get_docstring(node) or "").strip():
                yield f"{exercise.id}: {name} has no docstring; it is the task"


# one check

def _prove(check: Check, day: Day, seeds: int, report: Report) -> list[str]:
    exercise = day.exercise_of(check.name)
    all_seeds = [practice_seed(check), *range(1, seeds + 1)]
    if judge.reference_run(check, all_seeds[0], True).not_checked is not None:
        reason = judge.reference_run(check, all_seeds[0], True).not_checked
        assert reason is not None
        report.not_checked.append(f"{check.name}: {reason.en}")
        return []
    problems = list(_mistake_texts(check))
    source = content.solution_source(check.stage, check.slug)
    start = time.process_time()
    _run(check, content.reference_objects(check), all_seeds[0])
    if (seconds := time.process_time() - start) > SLOW_SECONDS:
        report.notes.append(f"{check.name} takes {seconds:.1f} s with the reference; a learner waits "
                            "for it at every try")
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
        found = _told(functools.partial(_mistake, mistake, all_seeds), mistake.id)
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
        return [f"{check.name}: {path.name}, the independent implementation: {_tell(error)}"]
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


def _unseen_names(day: Day, checks: dict[str, Check], report: Report) -> Iterator[str]:
    """Names of an exercise that none of its checks touches."""
    unchecked = {line.split(":")[0] for line in report.not_checked}
    for exercise in day.exercises:
        mine = [checks[name] for name in exercise.checks if name in checks]
        for name in exercise.names:
            if mine and not {c.name for c in mine} & unchecked and not any(
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
    else:
        namespace[name] = canary


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


# the lesson

def _lesson_problems(stage: str, day: Day, source: str) -> Iterator[str]:
    path = source_path("stages", stage, day.id)
    if not path.exists():
        yield f"no lesson: {path} does not exist"
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compile(path.read_text(encoding="utf-8"), str(path), "exec")
    for warning in caught:
        yield f"lesson line {warning.lineno}: {warning.message}; make it a raw string"
    lesson = read_lesson(path)
    tree = ast.parse(source)
    for exercise in day.exercises:
        if len(lesson.named("exercise", exercise.id)) == 0:
            yield f"lesson: no cell for the exercise {exercise.id}"
        yield from _hint_problems(lesson, exercise.id)
        for name in exercise.names:
            node = find_definition(tree, name)
            if isinstance(node, Definition) and ast.get_docstring(node) and not CHINESE.search(
                lesson.docstrings.get(name, "")
            ):
                yield f"lesson: no Chinese docstring for {name}"
    called = [cell.name for cell in lesson.cells if cell.kind == "check"]
    for name in day.checks:
        if called.count(name) != 1:
            yield f"lesson: {name} has {called.count(name)} cells, must be one"
    for answer in day.written:
        for kind in ("written", "model"):
            if not lesson.named(kind, answer.id):
                yield f"lesson: no {kind} cell for the written answer {answer.id}"


def _hint_problems(lesson: Lesson, exercise: str) -> Iterator[str]:
    hints = lesson.named("hint", exercise)
    if len(hints) < LEAST_HINTS:
        yield f"lesson: {exercise} has {len(hints)} hints, must have at least {LEAST_HINTS}"
    for hint in hints:
        if not hint.source.en.strip() or not CHINESE.search(hint.source.zh):
            yield f"lesson: a hint of {exercise} is not in both languages: {hint.source.en[:50]!r}"


def _run_lesson(stage: str, slug: str) -> Iterator[str]:
    """The lesson must run as a plain script against the reference."""
    path = source_path("stages", stage, slug)
    if not path.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"LADDER_STRICT": "1", "MPLBACKEND": "agg", "LADDER_WORK": folder,
                                    "OMP_NUM_THREADS": "1"}
        try:
            process = subprocess.run(
                [sys.executable, str(path)], cwd=folder, env=environment, text=True, errors="replace",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=LESSON_SECONDS,
            )
        except subprocess.TimeoutExpired:
            yield f"lesson: runs longer than {LESSON_SECONDS:g} s as a script"
            return
    if process.returncode:
        tail = "\n".join(process.stdout.strip().split("\n")[-6:])
        yield f"lesson: as a script it ends with exit code {process.returncode}:\n{tail}"


def _build_problems(day: Day, curriculum: Curriculum, report: Report) -> list[str]:
    """What the build says of the day's notebooks: stale, unlike in two languages, or leaking."""
    if not source_path("stages", curriculum.stage_of(day).id, day.id).exists():
        return []  # told already
    proofs = {"parity": build.parity, "leaks": build.leaks}
    if day in load_curriculum().built_days:
        proofs["stale"] = build.stale
    else:
        report.notes.append("the day is a draft: its committed notebooks are not compared")
    return [problem for name, prove in proofs.items()
            for problem in _told(functools.partial(prove, day, curriculum), name)]


# mutants

def _kill(
    stage: str, day: Day, source: str, checks: dict[str, Check], report: Report
) -> list[str]:
    equivalent = dict(getattr(content.grader_module(stage, day.id), "EQUIVALENT", {}))
    names = [name for exercise in day.exercises for name in exercise.names]
    mutants = mutants_of(source, names)
    problems = []
    with Trial(stage, day.id) as trial:
        for mutant in mutants:
            asked = _checks_of(mutant, day, checks)
            why = trial.killed(mutant.source, asked)
            if mutant.key in equivalent:
                if why is None:
                    report.mutants_equivalent += 1
                    continue
                problems.append(f"EQUIVALENT is stale: {mutant.key!r} is killed by {why}")
            report.mutants += 1
            report.mutants_killed += why is not None
            if why is None:
                report.survivors.append(
                    {"key": mutant.key, "line": mutant.line, "checks": asked})
    known = {mutant.key for mutant in mutants}
    problems += [f"EQUIVALENT is stale: there is no mutant {key!r}"
                 for key in equivalent if key not in known]
    problems += [f"EQUIVALENT gives no reason for {key!r}"
                 for key, reason in equivalent.items() if not str(reason).strip()]
    if report.mutants:
        report.kill_rate = round(report.mutants_killed / report.mutants, 4)
        if report.kill_rate < KILL_RATE:
            problems.append(f"kill rate {report.kill_rate:.3f} ({report.mutants_killed} of "
                            f"{report.mutants} mutants), must be at least {KILL_RATE}")
    return problems


def _checks_of(mutant: Mutant, day: Day, checks: dict[str, Check]) -> list[str]:
    """The checks of the exercises that ask for the mutated name."""
    owner = mutant.name.split(".")[0]
    return [
        name for exercise in day.exercises
        if mutant.name in exercise.names or (owner in exercise.names and not any(
            mutant.name in other.names for other in day.exercises))
        for name in exercise.checks if name in checks
    ]


def _main(slug: str, seeds: str, mutants: str, result: str) -> None:
    curriculum = curriculum_with_drafts()
    report = verify_day(curriculum.day(slug), curriculum, int(seeds), bool(int(mutants)))
    Path(result).write_text(json.dumps(asdict(report)), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])

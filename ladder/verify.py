"""Prove a day's checks: what must pass passes, what must fail fails, with the right words.

:func:`verify_day` proves one day in this process; :func:`verify` runs the days as processes of their
own (``python -m ladder.verify SLUG ...``) side by side.

An author whose day is not yet in curriculum.yaml sets ``LADDER_DRAFTS`` to a folder that holds
``SLUG.curriculum.yaml`` (the day's entry); it then takes the place of the planned day.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import yaml

from ladder import content
from ladder.checks import Check
from ladder.curriculum import Curriculum, Day, load_curriculum
from ladder.errors import CurriculumError
from ladder.killing import Trial
from ladder.lesson_proofs import (
    lesson_problems,
    notebook_problems,
    script_problems,
    structure_problems,
)
from ladder.mutants import Mutant, mutants_of
from ladder.paths import source_path
from ladder.proofs import prove_check, unseen_names
from ladder.verify_report import Report, tell, told

KILL_RATE = 0.95


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
    slugs: Sequence[str], seeds: int | None, jobs: int, mutants: bool,
    finished: Callable[[Report], None] = lambda report: None,
) -> list[Report]:
    """Verify the days side by side, ``jobs`` at a time, each in a process of its own."""
    def one(slug: str) -> Report:
        report = _in_process(slug, seeds, mutants)
        finished(report)
        return report

    with ThreadPoolExecutor(max(1, jobs)) as pool:  # the long ones first, so that no core waits at the end
        begun = {slug: pool.submit(one, slug) for slug in _longest_first(slugs)}
    return [begun[slug].result() for slug in slugs]


def _longest_first(slugs: Sequence[str]) -> list[str]:
    """By the length of their checks, which tells roughly how long they take to prove."""
    curriculum = curriculum_with_drafts()

    def size(slug: str) -> int:
        path = source_path("graders", curriculum.stage_of(curriculum.day(slug)).id, slug)
        return path.stat().st_size if path.exists() else 0

    return sorted(slugs, key=size, reverse=True)


def _in_process(slug: str, seeds: int | None, mutants: bool) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "report.json"
        process = subprocess.run(
            [sys.executable, "-m", "ladder.verify", slug, str(seeds or "-"), str(int(mutants)), str(result)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"OMP_NUM_THREADS": "1"} | os.environ | {"MPLBACKEND": "agg"},
            text=True, errors="replace",
        )
        if process.returncode or not result.exists():
            tail = "\n".join(process.stdout.strip().split("\n")[-12:])
            return Report(slug, problems=[f"verify stopped with exit code {process.returncode}:\n{tail}"])
        return Report(**json.loads(result.read_text(encoding="utf-8")))


# one day

def verify_day(
    day: Day, curriculum: Curriculum, seeds: int | None = None, mutants: bool = True
) -> Report:
    """Everything that must hold of one day; never raises for the day's own faults."""
    start = time.monotonic()
    stage = curriculum.stage_of(day).id
    report = Report(day.id)
    report.problems += told(lambda: structure_problems(stage, day), "structure")
    try:
        checks = content.checks_of(stage, day.id)
        source = content.solution_source(stage, day.id)
        content.solution_module(stage, day.id)
    except Exception as error:  # the author's modules may raise anything
        report.problems.append(f"cannot be imported: {tell(error)}")
        return report
    used = {name: checks[name] for name in day.checks if name in checks}
    report.checks, report.mistakes = len(used), sum(len(c.mistakes) for c in used.values())
    for check in used.values():
        report.problems += told(functools.partial(prove_check, check, day, seeds, report), check.name)
    report.problems += told(lambda: unseen_names(day, used, report), "canary")
    report.problems += told(lambda: lesson_problems(stage, day, source), "lesson")
    report.problems += told(lambda: script_problems(stage, day.id), "lesson")
    report.problems += notebook_problems(day, curriculum, report)
    if mutants:
        report.problems += told(lambda: _kill(stage, day, source, used, report), "mutants")
    report.seconds = round(time.monotonic() - start, 1)
    return report


# mutants

def _kill(
    stage: str, day: Day, source: str, checks: dict[str, Check], report: Report
) -> list[str]:
    equivalent = dict(getattr(content.grader_module(stage, day.id), "EQUIVALENT", {}))
    names = [name for exercise in day.exercises for name in exercise.names]
    mutants = mutants_of(source, names)
    if not mutants:
        return [f"no mutants of {', '.join(names)}: is there anything to write?"]
    problems = []
    checkable = {name: check for name, check in checks.items() if name not in report.unchecked}
    with Trial(stage, day.id) as trial:
        if why := trial.killed(source, list(checkable)):
            return [f"mutants not tried: the unchanged reference is not passed by {why}"]
        for mutant in mutants:
            asked = _checks_of(mutant, day, checkable)
            if not asked and _checks_of(mutant, day, checks):
                continue  # not checked here, neither killed nor surviving
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
    report = verify_day(curriculum.day(slug), curriculum, None if seeds == "-" else int(seeds), bool(int(mutants)))
    Path(result).write_text(json.dumps(asdict(report)), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])

"""Show the reference solution of an exercise, once its checks have passed.

Before that it has to be asked for twice: the first call says so and shows nothing.
A written answer's model answer is shown the same way.
"""

from __future__ import annotations

import argparse

from ladder import records
from ladder.build import read_day
from ladder.curriculum import load_curriculum
from ladder.stub import Cutter
from ladder.text import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("day", metavar="DAY")
    parser.add_argument("exercise", metavar="EXERCISE", help="an exercise, or a written answer")


def run(args: argparse.Namespace) -> int:
    curriculum = load_curriculum()
    day = curriculum.built_day(args.day)
    lesson, solution = read_day(day)
    written = next((w for w in day.written if w.id == args.exercise), None)
    name = written.id if written else day.exercise(args.exercise).id
    key = f"{day.id}.{name}"
    checks = [] if written else list(day.exercise(name).checks)
    passed = passed_all(curriculum, day.id, checks)
    asked = any(entry.get("solution") == key for entry in records.read()[0])
    records.append({"solution": key, "passed": passed})
    if not (passed or asked):
        print(say(
            f"{name} has not passed yet. `ladder hint {day.id} {name}` helps; "
            "ask once more to see the solution all the same.",
            f"{name} 还没有通过。可以先看 `ladder hint {day.id} {name}`；"
            "如果仍要看解答，请再运行一次本命令。",
        ).in_(args.language))
        return 1
    if written:
        print("\n".join(cell.source.in_(args.language) for cell in lesson.named("model", name)))
        return 0
    exercises = {ex.id: ex.names for ex in day.exercises}
    cell = lesson.named("exercise", name)[0]
    docstrings = lesson.docstrings if args.language == "zh" else {}
    print(Cutter(solution, exercises, docstrings).cell(name, cell.imports, solved=True))
    return 0


def passed_all(curriculum: object, slug: str, checks: list[str]) -> bool:
    done = records.passed_checks(curriculum)  # type: ignore[arg-type]
    return bool(checks) and all(f"{slug}.{check}" in done for check in checks)

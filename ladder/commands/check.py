"""Run a day's notebook from top to bottom in a fresh kernel and show every verdict.

Exit code 0 if every check passed, 1 if one did not. Verdicts are recorded as in the notebook.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from ladder import records, work
from ladder.curriculum import Curriculum, Day, load_curriculum
from ladder.errors import WorkError
from ladder.paths import work_dir
from ladder.text import LANGUAGES, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("days", nargs="*", metavar="DAY", help="default: every day begun")
    parser.add_argument("--timeout", type=int, default=600, metavar="SECONDS",
                        help="longest time for one cell (default 600)")
    parser.add_argument("--json", action="store_true", help="for other programs")


def run(args: argparse.Namespace) -> int:
    curriculum = load_curriculum()
    days = [curriculum.built_day(name) for name in args.days] or begun(curriculum)
    if not days:
        raise WorkError(f"no day has been begun in {work_dir()}; `ladder start` begins one")
    report = {day.id: check_day(day, args) for day in days}
    if args.json:
        print(json.dumps(report, ensure_ascii=False, indent=1))
    return 0 if all(row["state"] == "passed" for rows in report.values() for row in rows) else 1


def begun(curriculum: Curriculum) -> list[Day]:
    """The days of which the learner has a copy."""
    return [day for day in curriculum.built_days
            if any(work.copy_path(day, language).exists() for language in LANGUAGES)]


def check_day(day: Day, args: argparse.Namespace, path: Path | None = None) -> list[dict]:
    from ladder.runner import run_notebook

    path = path or work.learner_copy(day, args.language)
    outcomes = run_notebook(work.read_notebook(path), day, path.parent, args.timeout)
    for outcome in outcomes:
        if outcome.state == "not_run":  # the kernel could not record what it did not reach
            records.append({"check": f"{day.id}.{outcome.check}", "version": "",
                            "state": "not_run", "score": 0.0})
    if not args.json:
        show(day, outcomes, args.language)
    return [dataclasses.asdict(outcome) for outcome in outcomes]


def show(day: Day, outcomes: list, language: str) -> None:
    from ladder.text import Text

    print(f"{day.id}  {day.title.text.in_(language)}")
    not_run: Text = say("not run", "没有运行")
    for outcome in outcomes:
        if outcome.state == "not_run":
            print(f"  – {not_run.in_(language)} · {outcome.check}: {outcome.shown}")
        else:
            print("  " + outcome.shown.replace("\n", "\n  "))
    right = sum(outcome.state == "passed" for outcome in outcomes)
    earned = sum(day.checks[o.check] * o.fraction for o in outcomes)
    total = sum(day.checks.values())
    print(say(f"{right} of {len(outcomes)} checks passed, {earned:g} of {total:g} points\n",
              f"{len(outcomes)} 项检查中通过 {right} 项，得分 {earned:g}/{total:g}\n").in_(language))

"""List the days: built ones with their points and how far you are; --all shows planned ones too."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ladder.curriculum import load_curriculum
from ladder.records import passed_checks
from ladder.text import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="planned days too")
    parser.add_argument("--json", action="store_true", help="for other programs")


def run(args: argparse.Namespace) -> int:
    curriculum = load_curriculum()
    passed = passed_checks(curriculum)
    rows: list[dict[str, Any]] = []
    for stage in curriculum.stages:
        for day in stage.days:
            if day.built or args.all:
                done = sum(f"{day.id}.{check}" in passed for check in day.checks)
                rows.append({"day": day.id, "stage": stage.id, "title": day.title.model_dump(),
                             "built": day.built, "checks": len(day.checks), "passed": done,
                             "points": sum(day.checks.values()), "needs": day.needs})
    if args.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    planned = say("planned", "筹备中").in_(args.language)
    for row in rows:
        state = f"{row['passed']:>2}/{row['checks']:<2}" if row["built"] else planned
        print(f"{row['day']:<40} {state:<8} {row['title'][args.language]}")
    return 0

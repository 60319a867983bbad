"""Prove each day's checks over many seeds: the reference and an independent second implementation
pass, the untouched stub fails kindly, errors in the given code are seen, every known mistake fails
with its own hint, and automatic mutants of the reference are noticed. Exit code 1 if anything falls
short.

Survivors that are equivalent go into EQUIVALENT of the day's grader, by key, with the reason; they
are left out of the count of mutants. While your day is not in curriculum.yaml, set LADDER_DRAFTS to
a folder with its entry in DAY.curriculum.yaml.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from typing import Any

from ladder.errors import LadderError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("days", nargs="*", metavar="DAY", help="default: every built day")
    parser.add_argument("--seeds", type=int, metavar="N",
                        help="seeds beside the practice seed (default 20, and at least 5 for slow checks)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="days at the same time (default: one a core)")
    parser.add_argument("--json", action="store_true", help="figures as JSON on stdout")
    parser.add_argument("--no-mutants", action="store_true", help="leave out the mutants (quicker)")


def run(args: argparse.Namespace) -> int:
    from ladder import verify
    from ladder.verify_report import Report, totals

    slugs = verify.chosen_days(args.days)
    if not slugs:
        raise LadderError("no day is built yet; curriculum.yaml lists no exercises")

    def finished(report: Report) -> None:
        state = "holds" if not report.problems else f"{len(report.problems)} problems"
        print(f"{report.day}: {state} ({report.seconds:.0f} s)", file=sys.stderr, flush=True)

    reports = verify.verify(slugs, args.seeds, args.jobs, not args.no_mutants, finished)
    figures = totals(reports)
    fine = not any(report.problems for report in reports)
    if args.json:
        by_day = {report.day: asdict(report) for report in reports}
        print(json.dumps(figures | {"passed": fine, "by_day": by_day}, ensure_ascii=False, indent=2))
    else:
        _show(reports, figures)
    return 0 if fine else 1


def _show(reports: list[Any], totals: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    table = Table()
    table.add_column("day", overflow="fold", min_width=24)
    for title in ("refer-\nence", "inde-\npendent", "stubs\nfail", "mistakes\nfail",
                  "mutants\nkilled", "rate", "equi-\nvalent"):
        table.add_column(title, justify="right")
    for row in [*reports, None] if len(reports) > 1 else reports:
        get = totals.get if row is None else vars(row).get
        rate = get("kill_rate")
        table.add_row(
            "all" if row is None else row.day,
            *(f"{get(part)}/{get(whole)}" for part, whole in (
                ("references_passing", "checks"), ("independents_passing", "checks"),
                ("stubs_failing", "checks"), ("mistakes_failing", "mistakes"),
                ("mutants_killed", "mutants"))),
            "-" if rate is None else f"{rate:.1%}", str(get("mutants_equivalent")),
        )
    console.print(table)
    for report in reports:
        for style, title, lines in (
            ("bold red", "falls short", report.problems),
            ("yellow", "surviving mutants (close the gap, or list in EQUIVALENT with a reason)",
             [f"line {s['line']}: {s['key']}" for s in report.survivors]),
            ("yellow", "not checked on this machine", report.not_checked),
            ("dim", "notes", report.notes),
        ):
            if lines:
                console.print(Text(f"{report.day}: {title}", style), soft_wrap=True)
                for line in lines:
                    console.print(Text(f"  - {line}"), soft_wrap=True)

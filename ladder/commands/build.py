"""Build the notebooks of days from lesson, solution, checks and curriculum.

With --check, build nothing and exit 1 if a committed notebook is stale.
"""

from __future__ import annotations

import argparse

from ladder import build
from ladder.curriculum import load_curriculum


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("days", nargs="*", metavar="DAY", help="slug or number (default: all built)")
    parser.add_argument("--check", action="store_true", help="only say what is stale")


def run(args: argparse.Namespace) -> int:
    curriculum = load_curriculum()
    days = [curriculum.day(name) for name in args.days] or curriculum.built_days
    if args.check:
        stale = [problem for day in days for problem in build.stale(day)]
        print("\n".join(stale) if stale else f"{len(days)} days: every notebook is fresh")
        return 1 if stale else 0
    for day in days:
        for path in build.write(day):
            print(f"built {path}")
    return 0

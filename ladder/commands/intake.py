"""Repair the submissions of a day before nbgrader reads them, and say what was repaired.

Run it in the course's folder (or give --course). Originals are kept under originals/. Plain
`nbgrader autograde` and `ladder grade` do the same first; this shows it without grading.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ladder.text import Text, say

if TYPE_CHECKING:
    from ladder.cohort.intake import Line

MARKS = {"repaired": "+", "noted": "·", "ungraded": "✗", "unmatched": "?"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("day", metavar="DAY", help="slug or number")
    parser.add_argument("--course", type=Path, default=Path(), metavar="DIR",
                        help="the course's folder (default: this one)")


def run(args: argparse.Namespace) -> int:
    from ladder.cohort.intake import intake

    lines = intake(args.course, slug(args.course, args.day))
    show(lines, args.language)
    return 0


def slug(course: Path, day: str) -> str:
    """A published day by its slug, or by its number."""
    published = sorted(path.stem for path in (course / "release").glob("*/*.ipynb"))
    number = [name for name in published if day.isdigit() and name.startswith(f"day{int(day):02d}_")]
    return number[0] if len(number) == 1 else day


def show(lines: Sequence[Line], language: str) -> None:
    """The report: one line each, and what the marks mean."""
    for line in lines:
        print(f"{MARKS[line.kind]} {line.in_(language)}")
    print(summary(lines).in_(language))


def summary(lines: Sequence[Line]) -> Text:
    def count(kind: str) -> int:
        return len({line.student for line in lines if line.kind == kind})

    return say(
        f"{count('repaired')} submissions repaired (+), {count('ungraded')} cannot be graded (✗), "
        f"{count('unmatched')} files of nobody (?); what arrived is kept in originals/",
        f"已修复 {count('repaired')} 份提交（+），{count('ungraded')} 份无法评分（✗），"
        f"{count('unmatched')} 个文件无主（?）；原件保存在 originals/")

"""Make one page about a course: what to explain tomorrow, who is stuck, which boxes stand.

COURSE is the folder that `ladder publish` made; without it, this folder. The page is one file, can be
printed, and shows students by codes; --names shows their names.
"""

from __future__ import annotations

import argparse
import datetime
import secrets
from pathlib import Path

from ladder.errors import ContentError, WorkError
from ladder.text import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("course", metavar="COURSE", type=Path, nargs="?", default=Path())
    parser.add_argument("--names", action="store_true", help="show names instead of codes")
    parser.add_argument("--who", metavar="CODE", help="say whose code this is, and make no page")
    parser.add_argument("--roadmap", metavar="ID",
                        help="whose boxes to show (default: the one that fits best; none: exercises)")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path,
                        help="where to (default: report.html in the course)")


def run(args: argparse.Namespace) -> int:
    from ladder.cohort import report as reports
    from ladder.cohort.marks import read_marks
    from ladder.curriculum import load_curriculum, load_roadmaps, unknown

    marks = read_marks(args.course, verdicts=args.who is None)
    codes = reports.codes(marks.students, _key(args.course))
    if args.who is not None:
        return _who(args, marks.students, codes)
    curriculum = load_curriculum()
    roadmaps = load_roadmaps(curriculum)
    if args.roadmap is None:
        roadmap = reports.fitting_roadmap(marks, curriculum, roadmaps)
    else:
        roadmap = next((r for r in roadmaps if r.id == args.roadmap), None)
        if roadmap is None and args.roadmap != "none":
            raise ContentError(unknown("roadmap", args.roadmap, [r.id for r in roadmaps]))
    found = reports.report(
        marks, curriculum, roadmap,
        reports.full_name if args.names else lambda student: codes[student.id],
        datetime.datetime.now(datetime.UTC))
    path = args.output or args.course / "report.html"
    try:
        path.write_text(reports.page(found, args.language), encoding="utf-8")
    except OSError as error:
        raise WorkError(f"{path} could not be written: {error.strerror}; choose another with -o") from None
    print(path)
    return 0


def _key(course: Path) -> bytes:
    """The secret behind the codes, made once a course."""
    from ladder.cohort.book import STATE

    path = course / STATE / "report.key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(16))
    return path.read_bytes()


def _who(args: argparse.Namespace, students: tuple, codes: dict[str, str]) -> int:
    from ladder.cohort.report import full_name

    wanted = args.who.strip().upper()
    for student in students:
        if codes[student.id] == wanted:
            print(full_name(student))
            return 0
    print(say(f"no student of {args.course} has the code {wanted}",
              f"{args.course} 中没有代号为 {wanted} 的学生").in_(args.language))
    return 1

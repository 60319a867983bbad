"""Write the grades of a course for Canvas, Moodle, or as plain CSV.

COURSE is the folder that `ladder publish` made; without it, this folder. The plain CSV has one line a
student and day and opens in Excel; Canvas and Moodle get one line a student. Late work counts with
what its lateness costs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ladder.errors import WorkError
from ladder.text import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("course", metavar="COURSE", type=Path, nargs="?", default=Path())
    parser.add_argument("--format", choices=("canvas", "moodle", "csv"), default="csv")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path,
                        help="where to (default: grades-FORMAT.csv in the course)")
    parser.add_argument("--bom", action=argparse.BooleanOptionalAction, default=None,
                        help="a byte order mark, which Excel needs (default: in plain CSV only)")


def run(args: argparse.Namespace) -> int:
    from ladder.cohort.export import export
    from ladder.cohort.marks import read_marks
    from ladder.curriculum import load_curriculum

    marks = read_marks(args.course)
    titles = {day.id: f"{day.id}: {day.title.text.in_(args.language)}" for day in load_curriculum().days}
    done = export(marks, args.format, titles)
    path = args.output or args.course / f"grades-{args.format}.csv"
    try:
        path.write_bytes(done.data(args.format == "csv" if args.bom is None else args.bom))
    except OSError as error:
        raise WorkError(f"{path} could not be written: {error.strerror}; choose another with -o") from None
    for note in done.notes:
        print(note.in_(args.language))
    print(say(f"{path}: {len(marks.students)} students, {len(marks.days)} days",
              f"{path}：{len(marks.students)} 名学生，{len(marks.days)} 天").in_(args.language))
    return 0

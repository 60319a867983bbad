"""Collect a day's submissions into the course and repair them.

Run it in the course's folder (or give --course). --from takes `exchange` (nbgrader's, the
default), `ngshare` (on a JupyterHub), or a folder or zip as Moodle or Canvas export it, or with
one folder a student. Students are matched through the gradebook's roster, or --students CSV with
columns id, first_name, last_name, email, lms_user_id. Files of nobody are kept and reported.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ladder.commands.intake import show, slug
from ladder.text import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("day", metavar="DAY", help="slug or number")
    parser.add_argument("--from", dest="source", default="exchange", metavar="WHERE",
                        help="exchange, ngshare, or a folder or zip (default exchange)")
    parser.add_argument("--course", type=Path, default=Path(), metavar="DIR",
                        help="the course's folder (default: this one)")
    parser.add_argument("--students", type=Path, metavar="CSV",
                        help="a roster to match files with (default: the gradebook's students)")
    parser.add_argument("--no-times", dest="times", action="store_false",
                        help="do not take the files' times as times of submission")


def run(args: argparse.Namespace) -> int:
    from ladder.cohort.collect import collect
    from ladder.cohort.roster import read_roster

    students = read_roster(args.students) if args.students else None
    done = collect(args.course, slug(args.course, args.day), args.source, students=students,
                   times=args.times)
    show(done.lines, args.language)
    print(say(f"collected {len(done.new)} submissions, {len(done.same)} were here already",
              f"收取了 {len(done.new)} 份提交，{len(done.same)} 份之前已有").in_(args.language))
    if done.missing:
        print(say(f"nothing from {len(done.missing)} students: {', '.join(done.missing)}",
                  f"{len(done.missing)} 名学生没有提交：{'、'.join(done.missing)}").in_(args.language))
    return 0

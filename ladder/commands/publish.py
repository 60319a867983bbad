"""Make an nbgrader course of chosen days: configuration, source notebooks, releases, gradebook.

After that the stock commands work in the course directory: nbgrader autograde DAY,
nbgrader generate_feedback DAY, nbgrader export. The release holds no solutions. Days that are
published already are refused when their cells would change; see --force.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ladder.curriculum import load_curriculum
from ladder.text import LANGUAGES, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("course", metavar="COURSE_DIR", type=Path, help="made if it does not exist")
    parser.add_argument("--days", nargs="+", required=True, metavar="DAY", help="slugs or numbers")
    parser.add_argument("--language", dest="notebooks", choices=LANGUAGES, default="en",
                        help="language of the notebooks (default en)")
    parser.add_argument("--force", action="store_true",
                        help="overwrite published days even if learners' copies stop matching")


def run(args: argparse.Namespace) -> int:
    from ladder.cohort.course import publish

    curriculum = load_curriculum()
    days = [curriculum.day(name) for name in args.days]
    done = publish(args.course, days, args.notebooks, force=args.force, curriculum=curriculum)
    for slug in done.days:
        print(say(f"released {slug}: {done.course / 'release' / slug}",
                  f"已发布 {slug}：{done.course / 'release' / slug}").in_(args.language))
    for note in done.notes:
        print(note)
    print(say(f"Put submissions into {done.course}/submitted/STUDENT/DAY/DAY.ipynb, then run there:\n"
              "  nbgrader autograde DAY && nbgrader generate_feedback DAY && nbgrader export",
              f"把学生提交放到 {done.course}/submitted/学生/DAY/DAY.ipynb，然后在课程目录中运行：\n"
              "  nbgrader autograde DAY && nbgrader generate_feedback DAY && nbgrader export"
              ).in_(args.language))
    return 0

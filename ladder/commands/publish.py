"""Make a ready nbgrader course from a cohort.yaml: days with due dates, students, releases, handout.

  ladder publish cohort.yaml          the course lies beside it, in a folder of the course's name
  ladder publish DIR --days 1 2 3     only the days: no dates, no students

docs/cohorts.md shows a cohort.yaml and what to do next. The releases hold no solutions. Days that are
published already are refused when their cells would change; see --migrate (and --force for DIR).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ladder.curriculum import load_curriculum
from ladder.errors import WorkError
from ladder.text import LANGUAGES, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("course", metavar="COHORT.YAML|DIR", type=Path,
                        help="a cohort's file, or a course folder (made if it does not exist)")
    of_file = parser.add_argument_group("with a cohort.yaml")
    of_file.add_argument("--into", metavar="DIR", type=Path, help="the course folder")
    of_file.add_argument("--dry-run", action="store_true",
                         help="show the dates and what would change, and write nothing")
    of_file.add_argument("--migrate", action="store_true",
                         help="publish days whose cells changed, and keep their grades")
    of_file.add_argument("--rename", metavar="OLD=NEW", action="append", default=[],
                         help="with --migrate: a cell that has a new name keeps its grades")
    of_days = parser.add_argument_group("with a folder")
    of_days.add_argument("--days", nargs="+", metavar="DAY", help="slugs or numbers")
    of_days.add_argument("--language", dest="notebooks", choices=LANGUAGES, default="en",
                         help="language of the notebooks (default en)")
    of_days.add_argument("--force", action="store_true",
                         help="overwrite published days even if learners' copies stop matching")


def run(args: argparse.Namespace) -> int:
    if args.course.suffix in (".yaml", ".yml"):
        return _cohort(args)
    if args.days is None:
        raise WorkError("name a cohort.yaml, or choose days: ladder publish DIR --days 1 2 3")
    return _days(args)


def _cohort(args: argparse.Namespace) -> int:
    from ladder.cohort.course import built_notebooks
    from ladder.cohort.plan import read_plan
    try:
        from ladder.cohort.publishing import publish_cohort, review
    except ModuleNotFoundError as missing:
        raise WorkError(f"publishing a cohort needs {missing.name}: "
                        "python -m pip install 'llm-ladder[cohort]'") from None

    if args.days is not None or args.force:
        raise WorkError("the days stand in the cohort.yaml; leave out --days and --force "
                        "(--migrate publishes changed cells)")
    curriculum = load_curriculum()
    plan = read_plan(args.course, curriculum)
    course = args.into or args.course.parent / plan.cohort.course
    renames = dict(_renaming(words) for words in args.rename)
    for slot in plan.slots:
        print(say(f"{slot.day.id}: opens {slot.opens:%Y-%m-%d %H:%M}, due {slot.due:%Y-%m-%d %H:%M} "
                  f"{slot.due:%Z} ({slot.due_utc:%Y-%m-%d %H:%M} UTC)",
                  f"{slot.day.id}：{slot.opens:%Y-%m-%d %H:%M} 开放，{slot.due:%Y-%m-%d %H:%M} "
                  f"{slot.due:%Z} 截止（{slot.due_utc:%Y-%m-%d %H:%M} UTC）").in_(args.language))
    if args.dry_run:
        notebooks = built_notebooks(plan.days, plan.cohort.language, curriculum)
        found = review(plan, course, notebooks, curriculum, renames)
        for line in [*found.lines(args.language), *(n.in_(args.language) for n in found.notes),
                     *plan.notes]:
            print(line)
        print(say("Nothing was written (--dry-run).", "没有写入任何内容（--dry-run）。").in_(args.language))
        return 0
    done = publish_cohort(plan, course, curriculum, moving=args.migrate, renames=renames,
                          language=args.language)
    for note in done.notes:
        print(note.in_(args.language))
    print(say(
        f"{done.course}: {len(done.slots)} days, {done.students} students.\n"
        f"For the students: {done.archive}\n"
        f"In that folder: nbgrader release_assignment {done.slots[0].day.id}\n"
        "docs/cohorts.md tells how to collect, grade and export.",
        f"{done.course}：{len(done.slots)} 天，{done.students} 名学生。\n"
        f"发给学生的文件：{done.archive}\n"
        f"在课程文件夹中运行：nbgrader release_assignment {done.slots[0].day.id}\n"
        "收取、评分和导出见 docs/cohorts.zh.md。").in_(args.language))
    return 0


def _renaming(words: str) -> tuple[str, str]:
    old, equals, new = words.partition("=")
    if not (old and equals and new):
        raise WorkError(f"--rename {words}: write OLD=NEW, for example --rename check_a=check_b")
    return old, new


def _days(args: argparse.Namespace) -> int:
    from ladder.cohort.course import publish

    if args.into or args.migrate or args.rename or args.dry_run:
        raise WorkError("--into, --dry-run, --migrate and --rename belong to a cohort.yaml")
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

"""Put the stub of an exercise back, or start a whole day anew. A backup is kept and named."""

from __future__ import annotations

import argparse

from ladder import work
from ladder.curriculum import load_curriculum
from ladder.text import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("day", metavar="DAY")
    parser.add_argument("exercise", metavar="EXERCISE", nargs="?", help="default: the whole day")


def run(args: argparse.Namespace) -> int:
    day = load_curriculum().built_day(args.day)
    exercise = day.exercise(args.exercise).id if args.exercise else None
    path, kept = work.reset(day, args.language, exercise)
    print(say(f"{exercise or day.id} starts anew in {path}.\nYour version is kept in {kept}.",
              f"{exercise or day.id} 已在 {path} 中重新开始。\n你原来的版本保存在 {kept}。"
              ).in_(args.language))
    print(say("If the notebook is open: File > Reload Notebook from Disk.",
              "如果笔记本正打开着：文件 > 从磁盘重新加载。").in_(args.language))
    return 0

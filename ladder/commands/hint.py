"""Show the next hint of an exercise; each call shows one more.

DAY is a slug or a number, EXERCISE one of its exercises or the name you have to write.
"""

from __future__ import annotations

import argparse

from ladder import records
from ladder.curriculum import load_curriculum
from ladder.lesson import read_lesson
from ladder.paths import source_path
from ladder.text import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("day", metavar="DAY")
    parser.add_argument("exercise", metavar="EXERCISE", nargs="?")
    parser.add_argument("--all", action="store_true", help="show all hints at once")


def run(args: argparse.Namespace) -> int:
    curriculum = load_curriculum()
    day = curriculum.built_day(args.day)
    if args.exercise is None:
        print(say(f"Exercises of {day.id}:", f"{day.id} 的练习：").in_(args.language))
        for exercise in day.exercises:
            print(f"  {exercise.id:<28} {exercise.title.text.in_(args.language)}")
        return 0
    exercise = day.exercise(args.exercise)
    lesson = read_lesson(source_path("stages", curriculum.stage_of(day).id, day.id))
    hints = [cell.source.in_(args.language) for cell in lesson.named("hint", exercise.id)]
    key = f"{day.id}.{exercise.id}"
    if not hints:
        print(say(f"{exercise.id} has no hints.", f"{exercise.id} 没有提示。").in_(args.language))
        return 0
    seen = max((entry.get("shown", 1) for entry in records.read()[0] if entry.get("hint") == key),
               default=0)
    upto = len(hints) if args.all else min(seen + 1, len(hints))
    for number, hint in enumerate(hints[:upto], 1):
        print(f"{number}/{len(hints)}  {hint}\n")
    if upto > seen:
        records.append({"hint": key, "shown": upto})
    if upto < len(hints):
        print(say("Run it again for the next hint.", "再运行一次查看下一条提示。").in_(args.language))
    return 0

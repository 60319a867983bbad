"""List pairs of a day's submissions that are suspiciously alike, as something to look at.

Names, formatting and comments do not count, nor does what everyone was given or what many wrote. It
is no verdict: read the two notebooks side by side before you say anything.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ladder.errors import WorkError
from ladder.text import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("day", metavar="DAY", help="a slug or a number")
    parser.add_argument("--course", metavar="COURSE_DIR", type=Path, default=Path(),
                        help="default: the current folder")
    parser.add_argument("--least", metavar="PERCENT", type=float, default=80.0,
                        help="list pairs at least this much alike (default 80)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    try:
        from ladder.cohort.similar import pairs, read_course
    except ModuleNotFoundError as missing:
        raise WorkError(f"this needs {missing.name}: python -m pip install 'llm-ladder[cohort]'") from None
    from ladder.curriculum import load_curriculum

    if not 0 < args.least <= 100:
        raise WorkError(f"--least {args.least:g}: a percentage above 0, at most 100")
    day = load_curriculum().built_day(args.day)
    submissions, release, unread = read_course(args.course, day.id)
    found = pairs(submissions, release, args.least / 100)
    if args.json:
        print(json.dumps([vars(pair) for pair in found], ensure_ascii=False, indent=1))
        return 0
    for path in unread:
        print(say(f"not read: {path}", f"无法读取：{path}").in_(args.language))
    for pair in found:
        same = say(", letter for letter", "，逐字相同") if pair.identical else say("", "")
        print(say(f"{pair.alike:4.0%}  {pair.one} and {pair.other}{same.en} · {pair.tokens} tokens of their own"
                  f" · most in {', '.join(pair.cells)}",
                  f"{pair.alike:4.0%}  {pair.one} 与 {pair.other}{same.zh} · 各自编写的记号 {pair.tokens} 个"
                  f" · 主要在 {'、'.join(pair.cells)}").in_(args.language))
    print(say(f"{len(found)} pairs among {len(submissions)} submissions of {day.id}: something to look "
              "at, not a verdict.",
              f"{day.id} 的 {len(submissions)} 份提交中有 {len(found)} 对相似：仅供查看，并非结论。"
              ).in_(args.language))
    return 0

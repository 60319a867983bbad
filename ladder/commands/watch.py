"""Check a day's notebook each time it is saved; Ctrl-C ends it."""

from __future__ import annotations

import argparse
from pathlib import Path

from ladder import work
from ladder.commands import check
from ladder.curriculum import load_curriculum
from ladder.errors import LadderError
from ladder.paths import work_dir
from ladder.text import LANGUAGES, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("day", nargs="?", metavar="DAY", help="default: whichever is saved")
    parser.add_argument("--timeout", type=int, default=600, metavar="SECONDS",
                        help="longest time for one cell (default 600)")


def run(args: argparse.Namespace) -> int:
    from watchfiles import Change, watch

    curriculum = load_curriculum()
    wanted = curriculum.built_day(args.day) if args.day else None
    args.json = False
    folder = work_dir()
    folder.mkdir(parents=True, exist_ok=True)
    print(say(f"Watching {folder}; save a notebook to check it, Ctrl-C to stop.",
              f"正在监视 {folder}；保存笔记本即自动检查，按 Ctrl-C 结束。").in_(args.language), flush=True)
    for changes in watch(folder, recursive=False, raise_interrupt=True):
        saved = {Path(path).name for kind, path in changes if kind != Change.deleted}
        for day in [wanted] if wanted else check.begun(curriculum):
            for path in {work.copy_path(day, language) for language in LANGUAGES}:
                if path.name not in saved:
                    continue
                try:
                    check.check_day(day, args, path)
                except LadderError as error:  # half-saved or damaged: say so and keep watching
                    print(error, flush=True)
    return 0

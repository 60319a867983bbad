"""Open a day's notebook in JupyterLab, in your own folder (work/).

The day is copied there once and never overwritten; when a newer version comes, your cells are kept.
Without DAY it opens the first day that is not complete.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from ladder import work
from ladder.curriculum import Curriculum, Day, load_curriculum
from ladder.errors import WorkError
from ladder.paths import PACKAGE, work_dir
from ladder.records import passed_checks
from ladder.text import say

DONE = {
    "new": say("copied to", "已复制到"),
    "kept": say("is up to date in", "已是最新："),
    "merged": say("updated, with your cells kept, in", "已更新并保留你的单元格："),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("day", nargs="?", metavar="DAY", help="slug or number (default: the next)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--no-lab", action="store_true", help="only make or update the copy")
    parser.add_argument("--port", type=int, default=8888, help="default 8888, or the next free one")
    parser.add_argument("--ip", default="localhost", help="address to listen on (default localhost)")


def run(args: argparse.Namespace) -> int:
    curriculum = load_curriculum()
    day = curriculum.day(args.day) if args.day else next_day(curriculum)
    if not day.built:
        first = curriculum.built_days[-1].id
        raise WorkError(f"{day.id} is planned but not built yet; the last built day is {first}")
    path, done = work.begin_day(day, args.language)
    print(f"{day.id} {DONE[done].in_(args.language)} {path}", flush=True)
    if args.no_lab:
        return 0
    command = [
        sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={work_dir()}",
        f"--port={args.port}", f"--ip={args.ip}", f"--LabApp.default_url=/lab/tree/{path.name}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    if args.no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    # A learner needs neither nbgrader's instructor menus, jupytext's, nor the news.
    config = os.pathsep.join(filter(None, [str(PACKAGE / "jupyter"),
                                           os.environ.get("JUPYTER_CONFIG_PATH")]))
    environment = {**os.environ, "LADDER_WORK": str(work_dir()), "LADDER_LANG": args.language,
                   "JUPYTER_CONFIG_PATH": config}
    if os.name == "posix":  # become JupyterLab, so that stopping this command stops it too
        os.execve(command[0], command, environment)
    return subprocess.run(command, env=environment, check=False).returncode


def next_day(curriculum: Curriculum) -> Day:
    """The first built day with a check that has not passed, else the last built day."""
    passed = passed_checks(curriculum)
    for day in curriculum.built_days:
        if any(f"{day.id}.{check}" not in passed for check in day.checks):
            return day
    if not curriculum.built_days:
        raise WorkError("no day is built yet")
    return curriculum.built_days[-1]

"""Grade a day's submissions in a course directory, several at once, each in a sandbox.

The gradebook comes out as with `nbgrader autograde DAY`: same preprocessors, same configuration,
only sooner. Graded submissions are kept (--force grades them again; manual scores stay). A run that
was stopped, by whatever, goes on when it is started again. One line a submission is added to
reports/DAY.grading.tsv. Exit code 1 if a submission could not be graded.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ladder.text import Text, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("days", nargs="+", metavar="DAY", help="slugs, numbers, or assignments of your own")
    parser.add_argument("--course", type=Path, default=Path(), metavar="COURSE_DIR",
                        help="default: the current folder")
    parser.add_argument("--students", nargs="+", default=[], metavar="STUDENT", help="only these")
    parser.add_argument("--force", action="store_true", help="grade again what is graded")
    parser.add_argument("--workers", type=int, metavar="N", help="submissions at once (default: cores)")
    parser.add_argument("--dask", metavar="ADDRESS",
                        help="run the cells on this Dask cluster; `local` starts one here")
    parser.add_argument("--gpu", action="store_true",
                        help="with --dask: on workers with the resource GPU only; else: show GPUs to submissions")
    parser.add_argument("--json", action="store_true", help="for other programs")


def run(args: argparse.Namespace) -> int:
    from ladder.cohort import workers

    days = [slug_of(name) for name in args.days]
    with quick_imports():
        if not args.dask:
            warm_up(days[0], args.gpu)  # while this process imports nbgrader
        from ladder.cohort.batch import Batch, Outcome

    many = args.workers or workers.cores()
    if many < 1:
        raise SystemExit("--workers must be at least 1")
    course = args.course.resolve()
    pool = workers.dask(args.dask, many, args.gpu) if args.dask else workers.local(many)
    found: dict[str, list[Outcome]] = {}
    began = time.monotonic()
    seconds = 0.0
    with pool as (executor, wide):
        for day in days:
            batch = Batch(course, day, force=args.force, students=args.students, gpu=args.gpu)
            with Bar(day, args) as bar:
                found[day] = batch.run(executor, 2 * wide, bar.step)
            seconds += batch.seconds
    taken = time.monotonic() - began
    if args.json:
        print(json.dumps({"seconds": round(taken, 2), "cells": round(seconds, 2), "days": {
            day: [vars(outcome) for outcome in outcomes] for day, outcomes in found.items()}},
            ensure_ascii=False, indent=1))
    else:
        for day, outcomes in found.items():
            show(day, outcomes, course, args.language)
    return int(any(o.state == "not graded" for outcomes in found.values() for o in outcomes))


def slug_of(name: str) -> str:
    """A number or slug as the day's slug; other words are names of assignments."""
    from ladder.curriculum import load_curriculum
    from ladder.errors import ContentError

    try:
        return load_curriculum().day(name).id
    except ContentError:
        if name.isdigit():
            raise
        return name


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import nbgrader without a grammar that its schema library compiles for 1.3 s and nobody asks for.

    It checks addresses in formats such as `uri`; no schema of notebooks has one, and jsonschema does
    without where the package is missing. Collecting garbage amid imports takes another 0.2 s.
    """
    absent = "rfc3987_syntax"
    hide = absent not in sys.modules and "jsonschema" not in sys.modules
    if hide:
        sys.modules[absent] = None  # type: ignore[assignment]
    gc.disable()
    try:
        yield
    finally:
        if hide:
            del sys.modules[absent]
        gc.freeze()  # what was imported stays; looking through it again and again is in vain
        gc.enable()


def warm_up(slug: str, gpu: bool) -> None:
    """Start the warm process of the first day; should the course ask for another, that one starts."""
    import threading

    from ladder.cohort import needs, warmed
    from ladder.curriculum import load_curriculum
    from ladder.errors import LadderError

    curriculum = load_curriculum()
    day = next((day for day in curriculum.built_days if day.id == slug), None)

    def start() -> None:
        with contextlib.suppress(LadderError):  # it is told when the first submission runs
            warmed.warm_for(needs.job_of(day, curriculum, "", "required", gpu))

    threading.Thread(target=start, daemon=True).start()


class Bar:
    """A progress bar on a terminal; elsewhere nothing but the end."""

    def __init__(self, day: str, args: argparse.Namespace) -> None:
        self.day, self.quiet = day, args.json
        self.progress: Any = None
        self.task: Any = None

    def __enter__(self) -> Bar:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self.progress = Progress(console=Console(stderr=True))
            self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.progress is not None:
            self.progress.stop()

    def step(self, outcome: Any, done: int, total: int) -> None:
        if self.progress is None:
            return
        if self.task is None:
            self.task = self.progress.add_task(self.day, total=total)
        self.progress.update(self.task, completed=done)


def show(day: str, outcomes: list[Any], course: Path, language: str) -> None:
    counts = {state: sum(o.state == state for o in outcomes) for state in ("graded", "kept", "not graded")}
    words: Text = say(
        f"{day}: {counts['graded']} graded, {counts['kept']} were graded already, "
        f"{counts['not graded']} could not be graded",
        f"{day}：已评分 {counts['graded']} 份，之前已评分 {counts['kept']} 份，无法评分 {counts['not graded']} 份")
    print(words.in_(language))
    for outcome in outcomes:
        if outcome.remarks or outcome.state == "not graded":
            print("  " + outcome.line().replace("\t", "  "))
    print(say(f"  one line each: {course / 'reports' / (day + '.grading.tsv')}",
              f"  每份提交一行：{course / 'reports' / (day + '.grading.tsv')}").in_(language))

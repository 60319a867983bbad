"""How long plain `nbgrader autograde` takes for a cohort: our configuration beside the stock one.

    python bench/nbgrader_baseline.py --students 20 [--day DAY] [--json]

Both grade the same submissions (right, half right, mistaken and untouched in turn) in one process,
one after another. `stock` is nbgrader's own Execute, whose kernels also judge; its scores mean
nothing here, its time is the baseline. `start` is the command with nothing to grade.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ladder import fill
from ladder.build import build
from ladder.cohort.course import CONFIG, publish
from ladder.curriculum import Day, load_curriculum

OURS = "ladder.cohort.execute.JudgeExecute"
STOCK = "nbgrader.preprocessors.Execute"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--students", type=int, default=4)
    parser.add_argument("--day", help="default: the first built day")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    curriculum = load_curriculum()
    day = curriculum.day(args.day) if args.day else curriculum.built_days[0]
    with tempfile.TemporaryDirectory() as folder:
        ours = Path(folder) / "ours"
        publish(ours, [day])
        submit(ours, day, args.students)
        stock = Path(folder) / "stock"
        shutil.copytree(ours, stock)
        config = (stock / CONFIG).read_text()
        (stock / CONFIG).write_text(config.replace(OURS, STOCK) + "c.Execute.timeout = 60\n")
        figures = [measure("ours", ours, day, args.students),
                   measure("stock", stock, day, args.students)]
    found = {"day": day.id, "students": args.students, "cpus": os.cpu_count(),
             "load": round(os.getloadavg()[0], 1), "runs": figures}
    print(json.dumps(found, indent=1) if args.json else table(found))


def submit(course: Path, day: Day, students: int) -> None:
    release = json.loads(build(day, "en"))
    right = fill.solved(day)
    kinds = [right, dict(list(right.items())[::2]), fill.all_mistaken(day), {}]
    for number in range(students):
        target = course / "submitted" / f"student{number:03d}" / day.id
        target.mkdir(parents=True)
        notebook = fill.fill(release, kinds[number % len(kinds)])
        (target / f"{day.id}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


def measure(name: str, course: Path, day: Day, students: int) -> dict[str, Any]:
    total = autograde(course, day)
    start = autograde(course, day)  # everything is graded already, so this is the start alone
    return {"name": name, "total_s": round(total, 1), "start_s": round(start, 1),
            "per_submission_s": round((total - start) / students, 2)}


def autograde(course: Path, day: Day) -> float:
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    begin = time.perf_counter()
    answer = subprocess.run([sys.executable, "-m", "nbgrader", "autograde", day.id], cwd=course,
                            env=env, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(answer.stderr[-3000:])
    return time.perf_counter() - begin


def table(found: dict[str, Any]) -> str:
    lines = [f"{found['day']}: {found['students']} submissions, {found['cpus']} CPUs, "
             f"load {found['load']}", "",
             "| configuration | total | start | each submission |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {run['name']} | {run['total_s']:.1f} s | {run['start_s']:.1f} s | "
              f"{run['per_submission_s']:.2f} s |" for run in found["runs"]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Grade one cohort three ways: plain nbgrader, plain nbgrader with our configuration, `ladder grade`.

    python bench/grading.py [--students 24] [--day DAY] [--json]
    python bench/grading.py --simulate 1000 [--day DAY] [--json]

All three grade copies of one course, one after another, in this run. `stock` is nbgrader's own
Execute with its default kernel, whose cells also judge. `floor` is the time that the cells
themselves took in `ladder grade`, summed over the submissions and divided by the cores: no grader
that runs every cell can be faster. `--simulate` grades so many submissions with `ladder grade`
alone and reports time and peak memory of all its processes together.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from nbgrader_baseline import OURS, STOCK, submit

from ladder.cohort.course import CONFIG, publish
from ladder.cohort.workers import cores
from ladder.curriculum import Day, load_curriculum

DAY = "day09_rnn_and_bptt"  # imports torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--students", type=int, default=24)
    parser.add_argument("--day", default=DAY)
    parser.add_argument("--simulate", type=int, metavar="N", help="N submissions with `ladder grade` alone")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    day = load_curriculum().day(args.day)
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder) / "ladder"
        publish(course, [day])
        submit(course, day, args.simulate or args.students)
        with (course / CONFIG).open("a") as config:
            config.write("\nc.JudgeExecute.seed = 'bench'\n")
        found = simulate(course, day) if args.simulate else compare(course, day, args.students)
    found |= {"day": day.id, "cores": cores(), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps(found, indent=1) if args.json else table(found))


def compare(course: Path, day: Day, students: int) -> dict[str, Any]:
    ours = Path(shutil.copytree(course, course.parent / "ours"))
    stock = Path(shutil.copytree(course, course.parent / "stock"))
    config = (stock / CONFIG).read_text()
    (stock / CONFIG).write_text(config.replace(OURS, STOCK) + "c.Execute.timeout = 60\n")
    runs = {"ladder grade": ladder(course, day),
            "nbgrader, our configuration": timed(["nbgrader", "autograde", day.id], ours),
            "nbgrader, stock": timed(["nbgrader", "autograde", day.id], stock)}
    cells = runs["ladder grade"]["cells_s"]
    total = {name: run["total_s"] for name, run in runs.items()}
    floor = cells / cores()
    return {
        "students": students, "runs": runs, "floor_s": round(floor, 2),
        "speedup": round(total["nbgrader, stock"] / total["ladder grade"], 1),
        "speedup_of_our_configuration": round(
            total["nbgrader, stock"] / total["nbgrader, our configuration"], 1),
        "over_floor": round(total["ladder grade"] / floor, 2),
        "same_scores": scores(course, day) == scores(ours, day) != {},
    }


def simulate(course: Path, day: Day) -> dict[str, Any]:
    with Watch() as watch:
        run = ladder(course, day)
    graded = len(scores(course, day))
    floor = run["cells_s"] / cores()
    return {"students": graded, "runs": {"ladder grade": run}, "floor_s": round(floor, 2),
            "per_minute": round(60 * graded / run["total_s"]), "over_floor": round(run["total_s"] / floor, 2),
            "peak_memory_mb": round(watch.peak / 2**20)}


def ladder(course: Path, day: Day) -> dict[str, Any]:
    run = timed(["ladder", "grade", day.id, "--json"], course)
    said = json.loads(run.pop("output"))
    assert all(o["state"] == "graded" for o in said["days"][day.id]), said
    return run | {"cells_s": said["cells"]}


def timed(arguments: list[str], course: Path) -> dict[str, Any]:
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    begin = time.perf_counter()
    answer = subprocess.run([sys.executable, "-m", *arguments], cwd=course, env=env, text=True,
                            capture_output=True, check=False)
    if answer.returncode:
        sys.exit(answer.stderr[-3000:])
    found: dict[str, Any] = {"total_s": round(time.perf_counter() - begin, 2)}
    return found | {"output": answer.stdout} if arguments[0] == "ladder" else found


def scores(course: Path, day: Day) -> dict[str, Any]:
    """Every submission's automatic scores."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        return {one.student.id: {g.name: g.auto_score for n in one.notebooks for g in n.grades}
                for one in book.assignment_submissions(day.id)}


class Watch:
    """The largest sum of memory that the processes of this one held (shared pages counted once)."""

    peak = 0

    def __enter__(self) -> Watch:
        self._go = True
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._go = False
        self._thread.join()

    def _look(self) -> None:
        import psutil

        while self._go:
            total = 0
            for one in psutil.Process().children(recursive=True):
                try:
                    total += one.memory_full_info().pss
                except (psutil.Error, AttributeError):
                    continue
            self.peak = max(self.peak, total)
            time.sleep(0.5)


def table(found: dict[str, Any]) -> str:
    lines = [f"{found['day']}: {found['students']} submissions, {found['cores']} cores, load {found['load']}",
             "", "| way | total | each |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {run['total_s']:.1f} s | {run['total_s'] / found['students']:.2f} s |"
              for name, run in found["runs"].items()]
    lines += [f"| floor: the cells alone | {found['floor_s']:.1f} s | "
              f"{found['floor_s'] / found['students']:.2f} s |", ""]
    if "speedup" in found:
        lines.append(f"`ladder grade` is {found['speedup']} times as fast as stock nbgrader, "
                     f"{found['over_floor']} times the floor; "
                     f"{'same' if found['same_scores'] else 'DIFFERENT'} scores as plain nbgrader.")
    else:
        lines.append(f"{found['per_minute']} submissions a minute, {found['over_floor']} times the floor, "
                     f"{found['peak_memory_mb']} MiB at most for all processes together.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

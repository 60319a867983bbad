"""What a check costs beside the learner's own code: the reference's run, the comparison, the record.

    python bench/check_overhead.py [DAY ...] [--json] [--repeat 3]

Each check runs as in a notebook (all cells read, verdict shown and recorded) on right code, and on
each known mistake, which also looks for the hint. From the time of the whole the time of running the
check on that code alone is taken away. The reference's and the mistakes' runs, made once in a kernel,
are made anew each time. The target is a median under 50 ms for right code.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from ladder import content, judge, notebook
from ladder.build import build
from ladder.checks import Check
from ladder.curriculum import Curriculum, Day, load_curriculum
from ladder.observe import observe, practice_seed

TARGET_MS = 50.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("days", nargs="*", help="slugs or numbers (default: all built)")
    parser.add_argument("--repeat", type=int, default=3, help="the least of so many runs (default 3)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    curriculum = load_curriculum()
    days = [curriculum.built_day(name) for name in args.days] or curriculum.built_days
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LADDER_WORK"] = folder
        rows = [row for day in days for row in measure(day, curriculum, args.repeat)]
    median = statistics.median(row["right_ms"] for row in rows)
    found = {"median_ms": round(median, 1), "target_ms": TARGET_MS, "checks": len(rows),
             "load": round(os.getloadavg()[0], 1), "rows": rows}
    print(json.dumps(found, indent=1) if args.json else table(found))


def measure(day: Day, curriculum: Curriculum, repeat: int) -> list[dict[str, Any]]:
    """One row a check: milliseconds beside the learner's code, and that code's own."""
    stage = curriculum.stage_of(day).id
    cells = ["".join(cell["source"]) for cell in json.loads(build(day, "en", solved=True))["cells"]
             if cell["cell_type"] == "code"]
    notebook._cells = lambda: cells  # type: ignore[assignment]
    notebook._recording = lambda: True  # type: ignore[assignment]
    rows = []
    for check in content.checks_of(stage, day.id).values():
        right, own = beside(check, content.reference_objects(check), repeat)
        wrong = [beside(check, content.mistaken_objects(m), 1)[0] for m in check.mistakes]
        rows.append({"day": day.id, "check": check.name, "own_ms": round(own, 1),
                     "right_ms": round(right, 1), "wrong_ms": round(max(wrong, default=0.0), 1)})
    return rows


def beside(check: Check, objects: Sequence[Any], repeat: int) -> tuple[float, float]:
    """Milliseconds of the whole less those of the code's own run, and those; the least of each."""
    def forget() -> None:
        judge._references.clear()
        judge._mistaken.clear()

    seed = practice_seed(check)
    observe(check, objects, seed)  # warm: imports and caches that come with the first call
    own = least(lambda: observe(check, objects, seed), repeat, lambda: None)
    with contextlib.redirect_stdout(io.StringIO()):
        notebook._practise(check, objects)
        whole = least(lambda: notebook._practise(check, objects), repeat, forget)
    return max(0.0, whole - own), own


def least(run: Callable[[], object], repeat: int, before: Callable[[], None]) -> float:
    times = []
    for _ in range(repeat):
        before()
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start))
    return min(times)


def table(found: dict[str, Any]) -> str:
    lines = ["| day | checks | own code, median ms | check on right code, median ms | worst ms "
             "| on a known mistake, worst ms |", "| --- | --- | --- | --- | --- | --- |"]
    for day in dict.fromkeys(row["day"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["day"] == day]
        right = max(rows, key=lambda row: row["right_ms"])
        wrong = max(rows, key=lambda row: row["wrong_ms"])
        lines.append(
            f"| {day} | {len(rows)} | {statistics.median(r['own_ms'] for r in rows):.1f} "
            f"| {statistics.median(r['right_ms'] for r in rows):.1f} "
            f"| {right['right_ms']:.1f} ({right['check']}) | {wrong['wrong_ms']:.1f} ({wrong['check']}) |")
    lines.append(f"\nMedian of {found['checks']} checks on right code: {found['median_ms']:.1f} ms "
                 f"(target {found['target_ms']:.0f} ms), machine load {found['load']}.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""How long a command takes from start to end, for commands that need no torch.

    python bench/startup.py [--json] [--repeat 7]

Each runs as a process of its own in an empty work folder; the figures are the least and the median
wall time of so many runs, and the least processor time, which a busy machine does not stretch as
much. The target is 0.3 s.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from ladder.curriculum import load_curriculum

TARGET_S = 0.3


def commands() -> list[list[str]]:
    day = load_curriculum().built_days[0]
    exercise = day.exercises[0].id
    return [["--help"], ["--version"], ["list"], ["list", "--all", "--json"], ["hint", day.id],
            ["hint", day.id, exercise], ["solution", day.id, exercise], ["progress"],
            ["progress", "--markdown"], ["journal"], ["data"], ["start", day.id, "--no-lab"],
            ["reset", day.id, exercise], ["check", "--help"], ["verify", "--help"], ["publish", "--help"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(command, folder, args.repeat) for command in commands()]
    found = {"target_s": TARGET_S, "load": round(os.getloadavg()[0], 1),
             "slowest_s": max(row["least_s"] for row in rows), "rows": rows}
    print(json.dumps(found, indent=1) if args.json else table(found))


def measure(command: list[str], folder: str, repeat: int) -> dict[str, Any]:
    env = os.environ | {"LADDER_WORK": folder}
    walls, processor = [], []
    for _ in range(repeat + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "ladder", *command], env=env, check=False,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        if done.returncode not in (0, 1):
            sys.exit(f"ladder {' '.join(command)}: {done.stderr}")
    walls, processor = walls[1:], processor[1:]  # the first one fills caches
    return {"command": "ladder " + " ".join(command), "least_s": round(min(walls), 3),
            "median_s": round(statistics.median(walls), 3), "processor_s": round(min(processor), 3)}


def table(found: dict[str, Any]) -> str:
    lines = ["| command | least s | median s | processor s |", "| --- | --- | --- | --- |"]
    lines += [f"| `{row['command']}` | {row['least_s']:.2f} | {row['median_s']:.2f} "
              f"| {row['processor_s']:.2f} |" for row in found["rows"]]
    lines.append(f"\nSlowest: {found['slowest_s']:.2f} s (target {found['target_s']} s), machine load "
                 f"{found['load']}.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

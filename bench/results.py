"""Every promised result, reached by the reference with the lesson's own code, as docs/results.md.

    python bench/results.py                     seconds-long runs on samples; prints, writes nothing
    python bench/results.py --data full --write the real thing; needs data (LADDER_DATA or a network)

A day's promises are in ``bench/promises/DAY.py``, those of kernels/ in ``kernels.py`` beside them: ``promises(full)`` yields one dict a promise. A row
says what was measured in this run, or that it was not checked and why.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
KEYS = ("day", "promise", "roadmap", "ours", "reached", "seconds", "fidelity", "note")


def _number(path: Path) -> int:
    """Of the day that a file of promises is about; the kernels come after all days."""
    found = re.match(r"day0*(\d+)_", path.stem)
    return int(found[1]) if found else 10**6


def modules(days: list[str]) -> Iterator[Any]:
    for path in sorted((HERE / "promises").glob("*.py"), key=_number):
        if days and not any(path.stem.startswith(day) or day == str(_number(path)) for day in days):
            continue
        spec = importlib.util.spec_from_file_location(f"promises_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


def machine() -> str:
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
    return (f"{os.cpu_count()} cores {platform.machine()}, {gpu}, Python "
            f"{platform.python_version()}, torch {torch.__version__}")


def table(rows: list[dict]) -> str:
    marks = {True: "yes", False: "no", None: "not checked"}
    lines = ["| day | promise | roadmap | ours | reached | seconds | data | note |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = [row["day"], row["promise"], row["roadmap"], row["ours"], marks[row["reached"]],
                 f"{row['seconds']:.1f}" if row["seconds"] else "–", row["fidelity"], row.get("note", "")]
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("days", nargs="*", help="slugs or numbers, or kernels (default: all)")
    parser.add_argument("--data", choices=("sample", "full"), default="sample")
    parser.add_argument("--write", action="store_true", help="write docs/results.md")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [dict(row) for module in modules(args.days)
            for row in module.promises(full=args.data == "full")]
    if args.json:
        print(json.dumps({"machine": machine(), "rows": rows}, indent=1, ensure_ascii=False))
        return
    text = (f"# Results\n\nMade by `python bench/results.py --data {args.data}`, by the references with "
            f"the lessons' own code. Machine: {machine()}.\nA row whose data is a sample says nothing "
            "about the benchmark of that name.\n\n" + table(rows) + "\n")
    print(text)
    if args.write:
        (HERE.parent / "docs" / "results.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

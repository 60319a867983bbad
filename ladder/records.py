"""What happened, kept in ``work/.ladder/records.jsonl``: one JSON line a verdict, only ever appended.

Deleting the file loses ticks, never work. A line that cannot be read (a full disk, an editor) is
passed over and counted, the others stay.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ladder.curriculum import Curriculum
from ladder.paths import state_dir
from ladder.versions import check_versions


@dataclass(frozen=True)
class Record:
    """One verdict: when, on which version of the check, and the snapshot of the code it judged."""

    at: str
    check: str
    version: str
    state: str
    score: float
    code: str = ""


KINDS: dict[str, Any] = {"at": str, "check": str, "version": str, "state": str, "score": (int, float), "code": str}


def records_path() -> Path:
    return state_dir() / "records.jsonl"


def append(line: dict[str, Any], path: Path | None = None) -> None:
    """Append one record; ``at`` is added. A single write, so that two notebooks may do it at once."""
    path = path or records_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    data = (json.dumps({"at": now, **line}, ensure_ascii=False) + "\n").encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.fstat(handle).st_size and not _ends_with_newline(path):
            data = b"\n" + data
        if os.write(handle, data) != len(data):
            raise OSError(f"the disk of {path} is full")
    finally:
        os.close(handle)


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read(path: Path | None = None) -> tuple[list[dict[str, Any]], int]:
    """Every readable record in order, and the number of lines that could not be read."""
    path = path or records_path()
    found, unreadable = [], 0
    if not path.exists():
        return [], 0
    for line in path.read_bytes().splitlines():
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict) or not isinstance(entry.get("at"), str):
                raise ValueError
        except (ValueError, RecursionError):
            unreadable += bool(line.strip())
            continue
        found.append(entry)
    return found, unreadable


def verdicts(path: Path | None = None) -> list[Record]:
    """The records of checks, oldest first."""
    return [
        Record(**{key: entry[key] for key in KINDS if key in entry})
        for entry in read(path)[0]
        if {"check", "version", "state", "score"} <= set(entry)
        and all(isinstance(entry[key], kind) for key, kind in KINDS.items() if key in entry)
    ]


def passed_checks(curriculum: Curriculum, records: Iterable[Record] | None = None) -> set[str]:
    """The checks (``slug.check``) that have passed in their current version."""
    passes = {(r.check, r.version) for r in (verdicts() if records is None else records)
              if r.state == "passed"}
    done = set()
    for day in curriculum.built_days:
        if not any(check.startswith(day.id + ".") for check, _ in passes):
            continue
        for name, version in check_versions(day, curriculum).items():
            if (f"{day.id}.{name}", version) in passes:
                done.add(f"{day.id}.{name}")
    return done


def journal_entries(path: Path | None = None) -> list[dict[str, Any]]:
    """The journal's entries: ``{"at", "journal": page, "boxes": [...], "answers": [...]}``."""
    return [entry for entry in read(path)[0] if "journal" in entry]

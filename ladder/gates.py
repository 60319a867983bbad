"""The core-competency gates: self-tests with a time box, and what the records say of them.

An attempt is a pair of records. ``{"gate": id, "event": "start", "attempt": n, ...}`` starts the
clock; ``"finish"`` or ``"give_up"`` with the same number ends it. A gate is passed when a finish
says so under the gate's current version: its parts, and the checks in them. Like a day's ticks, the
records are the learner's own: a gate is a fence for the honest.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ladder import records
from ladder.curriculum import Curriculum, Day, Gate, GatePart, load_curriculum
from ladder.paths import content_root, work_dir
from ladder.text import LANGUAGES, Text, say
from ladder.versions import check_versions

NEEDED = 80
"""Per cent of the questions that must be right."""
PASSED, FAILED, PRACTICE = "passed", "failed", "practice"


def now() -> datetime.datetime:
    """The clock of the time box."""
    return datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True)
class Attempt:
    """One sitting of a gate: when it started, what was drawn, and the record that ended it."""

    gate: str
    number: int
    at: str
    seed: str
    parts: tuple[str, ...]
    minutes: float
    language: str
    bank: str
    end: Mapping[str, Any] | None = None

    @property
    def started(self) -> datetime.datetime:
        return datetime.datetime.fromisoformat(self.at)

    @property
    def deadline(self) -> datetime.datetime:
        return self.started + datetime.timedelta(minutes=self.minutes)

    @property
    def path(self) -> Path:
        return attempt_path(self.gate, self.number)

    def minutes_used(self, moment: datetime.datetime) -> float:
        """Negative if the machine's clock was set back."""
        return (moment - self.started).total_seconds() / 60

    def late(self, moment: datetime.datetime) -> bool:
        return not 0 <= self.minutes_used(moment) <= self.minutes


@dataclass(frozen=True)
class GateStatus:
    """Where a gate stands. ``waits`` are the days that it needs and that are not built."""

    gate: Gate
    waits: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    passed_at: str = ""
    """When the gate was passed in its current version (ISO 8601), or nothing."""

    @property
    def passed(self) -> bool:
        return bool(self.passed_at)

    @property
    def open(self) -> Attempt | None:
        """The attempt whose clock is running."""
        return next((a for a in reversed(self.attempts) if a.end is None), None)

    @property
    def last(self) -> Attempt | None:
        """The last attempt that was finished or given up."""
        return next((a for a in reversed(self.attempts) if a.end is not None), None)


def attempt_path(gate: str, number: int) -> Path:
    return work_dir() / "gates" / f"{gate}-attempt{number}.ipynb"


def gate_status(name: str, curriculum: Curriculum | None = None,
                entries: Iterable[Mapping[str, Any]] | None = None) -> GateStatus:
    """Where the gate called ``name`` stands, from the learner's records."""
    curriculum = curriculum or load_curriculum()
    gate = curriculum.gate(name)
    waits = tuple(gate.waits({day.id: day for day in curriculum.days}))
    attempts = tuple(_attempts(gate.id, records.read()[0] if entries is None else entries))
    passed_at = ""
    for attempt in attempts:
        end = attempt.end or {}
        if end.get("event") == "finish" and end.get("state") == PASSED and not waits and (
            end.get("version") == gate_version(gate, curriculum)
        ):
            passed_at = passed_at or str(end["at"])
    return GateStatus(gate, waits, attempts, passed_at)


def passed_gates(curriculum: Curriculum) -> set[str]:
    """The gates that are passed, as a box needs them: ``gate.name``."""
    entries = [entry for entry in records.read()[0] if "gate" in entry]
    if not entries:
        return set()
    return {f"gate.{gate.id}" for gate in curriculum.gates
            if gate_status(gate.id, curriculum, entries).passed}


def gate_version(gate: Gate, curriculum: Curriculum) -> str:
    """A hash of the gate's parts and of what their checks observe; words and questions do not count."""
    parts = []
    for part in gate.parts:
        needs = [need.partition(".") for need in part.needs]
        parts.append([part.id, [[slug, check, check_versions(curriculum.day(slug), curriculum).get(check)]
                                for slug, _, check in needs]])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def ready_parts(gate: Gate, curriculum: Curriculum) -> list[GatePart]:
    """The parts that can be taken."""
    days = {day.id: day for day in curriculum.days}
    return [part for part in gate.parts if not part.waits(days)]


def waiting_parts(gate: Gate, curriculum: Curriculum) -> dict[str, Text]:
    """Why parts cannot be taken yet, by the part's id; those that can be are left out."""
    days = {day.id: day for day in curriculum.days}
    found = {}
    for part in gate.parts:
        if why := [_why(days[slug]) for slug in part.waits(days)]:
            found[part.id] = say("; ".join(text.en for text in why), "；".join(text.zh for text in why))
    return found


def told_waiting(gate: Gate, curriculum: Curriculum) -> list[Text]:
    """The same as sentences that name the part."""
    parts = {part.id: part for part in gate.parts}
    return [say(f"part {name.upper()} ({parts[name].title.en}) cannot be taken yet: {why.en}",
                f"{name.upper()} 部分（{parts[name].title.zh}）还不能考：{why.zh}")
            for name, why in waiting_parts(gate, curriculum).items()]


def _why(day: Day) -> Text:
    if day.built:
        return say(f"Day {day.number} is built, but its checks are not part of the gate yet",
                   f"第 {day.number} 天已建好，但它的检查还没有编入这一关")
    return say(f"Day {day.number} is not built", f"第 {day.number} 天尚未建好")


def bank_path(gate: Gate) -> Path:
    return content_root() / gate.questions


def bank_hash(gate: Gate) -> str:
    """What an open attempt's questions were drawn from."""
    path = bank_path(gate)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else ""


def begin(gate: Gate, parts: Iterable[GatePart], status: GateStatus, language: str) -> Attempt:
    """Record that the clock of a new attempt is running; its notebook is not there yet."""
    number = max((attempt.number for attempt in status.attempts), default=0) + 1
    while attempt_path(gate.id, number).exists():  # the records were deleted, the notebooks were not
        number += 1
    line = {
        "at": now().isoformat(timespec="seconds"), "gate": gate.id, "event": "start",
        "attempt": number, "seed": secrets.token_hex(8), "parts": [part.id for part in parts],
        "minutes": gate.minutes, "language": language, "bank": bank_hash(gate),
    }
    records.append(line)
    attempt = _attempt(line)
    assert attempt is not None
    return attempt


def end(attempt: Attempt, event: str, moment: datetime.datetime, **said: Any) -> dict[str, Any]:
    """Record that an attempt is over."""
    line = {"at": moment.isoformat(timespec="seconds"), "gate": attempt.gate, "event": event,
            "attempt": attempt.number, **said}
    records.append(line)
    return line


def _attempts(gate: str, entries: Iterable[Mapping[str, Any]]) -> list[Attempt]:
    found: dict[int, Attempt] = {}
    for entry in entries:
        if entry.get("gate") != gate:
            continue
        number = entry.get("attempt")
        if entry.get("event") == "start":
            attempt = _attempt(entry)
            if attempt is not None:
                found.setdefault(attempt.number, attempt)
        elif entry.get("event") in ("finish", "give_up") and type(number) is int and number in found:
            begun = found[number]
            if begun.end is None:
                found[number] = Attempt(**{**begun.__dict__, "end": dict(entry)})
    return list(found.values())


KINDS: dict[str, Any] = {"gate": str, "attempt": int, "at": str, "seed": str, "parts": list,
                         "minutes": (int, float), "language": str, "bank": str}


def _attempt(entry: Mapping[str, Any]) -> Attempt | None:
    """The attempt that a start's record tells of, or None if somebody broke the record."""
    if not all(isinstance(entry.get(key), kind) for key, kind in KINDS.items()) or (
        entry["language"] not in LANGUAGES
    ):
        return None
    try:
        if datetime.datetime.fromisoformat(entry["at"]).tzinfo is None:
            return None
    except ValueError:
        return None
    return Attempt(entry["gate"], entry["attempt"], entry["at"], entry["seed"],
                   tuple(map(str, entry["parts"])), entry["minutes"], entry["language"], entry["bank"])

"""What the learner's records amount to: the state of every box, day and roadmap, and what is next.

Pure: takes the curriculum, the roadmaps, what has passed (checks as ``slug.check``, gates as
``gate.name``) and the journal's entries, and returns values. A box is ticked when every check and
gate it needs has passed and, if it names journal pages, an entry names the box. A day that is not
built yet can never count, nor can a gate that waits for one, nor a written answer, which only a
person can judge.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ladder.curriculum import Box, Curriculum, Day, Exercise, Gate, JournalPage, Roadmap, Stage
from ladder.text import Text


class BoxState(enum.StrEnum):
    """Where a box stands; the first that fits, from the top."""

    TICKED = "ticked"
    PLANNED = "planned"  # needs a day that is not built yet
    JOURNAL = "journal"  # only a journal entry is missing
    PARTIAL = "partial"
    OPEN = "open"


class DayState(enum.StrEnum):
    DONE = "done"
    STARTED = "started"
    BUILT = "built"
    PLANNED = "planned"


@dataclass(frozen=True)
class GateProgress:
    gate: Gate
    passed: bool
    waits: tuple[str, ...]
    """The days (slugs) that must be built before the gate can be passed."""


@dataclass(frozen=True)
class BoxProgress:
    """A box, and how many of the things that it needs are done.

    A check counts one, a gate one, a day that is not built one, and the journal entry one.
    """

    box: Box
    state: BoxState
    done: int
    total: int
    missing: tuple[str, ...]
    """What is still needed: checks (``slug.check``), gates (``gate.name``), days not built (``slug``)."""
    journal_missing: bool
    gates: tuple[GateProgress, ...] = ()
    """Every gate that the box needs."""

    @property
    def ticked(self) -> bool:
        return self.state is BoxState.TICKED


@dataclass(frozen=True)
class DayProgress:
    day: Day
    stage: Stage
    place: int
    """Its place in the pool, from 1."""
    state: DayState
    passed: tuple[str, ...]
    """The names of the checks that passed, in order."""

    @property
    def checks(self) -> int:
        return len(self.day.checks)

    @property
    def points(self) -> float:
        return sum(self.day.checks[name] for name in self.passed)

    @property
    def points_total(self) -> float:
        return sum(self.day.checks.values())


@dataclass(frozen=True)
class SectionProgress:
    title: Text
    boxes: tuple[BoxProgress, ...]

    @property
    def ticked(self) -> int:
        return sum(box.ticked for box in self.boxes)


@dataclass(frozen=True)
class NextUp:
    """The next thing to do: an exercise, and its checks that have not passed."""

    day: Day
    exercise: Exercise
    checks: tuple[str, ...]


@dataclass(frozen=True)
class RoadmapProgress:
    roadmap: Roadmap
    sections: tuple[SectionProgress, ...]
    next: NextUp | None

    @property
    def boxes(self) -> list[BoxProgress]:
        return [box for section in self.sections for box in section.boxes]

    @property
    def ticked(self) -> int:
        return self.count(BoxState.TICKED)

    def count(self, *states: BoxState) -> int:
        return sum(box.state in states for box in self.boxes)


@dataclass(frozen=True)
class PageProgress:
    """A page of the journal: its entries, oldest first."""

    page: JournalPage
    entries: tuple[Mapping[str, Any], ...]

    @property
    def last(self) -> str:
        """When the last entry was written (ISO 8601), or nothing."""
        return str(self.entries[-1].get("at", "")) if self.entries else ""


@dataclass(frozen=True)
class Progress:
    days: tuple[DayProgress, ...]
    roadmaps: tuple[RoadmapProgress, ...]
    pages: tuple[PageProgress, ...]
    next: NextUp | None
    gates: tuple[GateProgress, ...] = ()

    def count(self, *states: DayState) -> int:
        return sum(day.state in states for day in self.days)

    @property
    def built(self) -> int:
        return len(self.days) - self.count(DayState.PLANNED)

    def number_of(self, slug: str) -> int:
        return next(day.day.number for day in self.days if day.day.id == slug)

    @property
    def points(self) -> float:
        return sum(day.points for day in self.days)

    @property
    def points_total(self) -> float:
        return sum(day.points_total for day in self.days)


def progress(curriculum: Curriculum, roadmaps: Iterable[Roadmap], passed: Collection[str],
             entries: Iterable[Mapping[str, Any]] = ()) -> Progress:
    """Everything there is to show."""
    passed, entries = frozenset(passed), list(entries)
    days = {day.id: day for day in curriculum.days}
    named = boxes_named(entries)
    gates = {gate.id: GateProgress(gate, f"gate.{gate.id}" in passed, tuple(gate.waits(days)))
             for gate in curriculum.gates}
    return Progress(
        days=tuple(_days(curriculum, passed)),
        gates=tuple(gates.values()),
        roadmaps=tuple(_roadmap(roadmap, curriculum, days, passed, named, gates)
                       for roadmap in roadmaps),
        pages=tuple(PageProgress(page, tuple(e for e in entries if e.get("journal") == page.id))
                    for page in curriculum.journal),
        next=next_up(curriculum, passed),
    )


def boxes_named(entries: Iterable[Mapping[str, Any]]) -> set[str]:
    """The boxes that journal entries name; an entry without a list of boxes names none."""
    named: set[str] = set()
    for entry in entries:
        boxes = entry.get("boxes")
        if isinstance(boxes, list):
            named.update(box for box in boxes if isinstance(box, str))
    return named


def box_progress(box: Box, days: Mapping[str, Day], passed: Collection[str],
                 named: Collection[str], gates: Mapping[str, GateProgress]) -> BoxProgress:
    """The state of one box; ``days`` by slug, ``named`` the boxes that journal entries name."""
    needed: dict[str, None] = {}
    mine: list[GateProgress] = []
    planned = False
    for need in box.needs:
        slug, _, check = need.partition(".")
        if slug == "gate":
            mine.append(gates[check])
            planned = planned or bool(gates[check].waits)
            needed[need] = None
        elif not days[slug].built:
            planned = True
            needed[slug] = None
        else:
            names = [check] if check else list(days[slug].checks)
            needed.update(dict.fromkeys(f"{slug}.{name}" for name in names))
    missing = tuple(need for need in needed if need not in passed or need in days)
    written = bool(box.journal) and box.id in named
    journal_missing = bool(box.journal) and not written
    done = len(needed) - len(missing) + written
    if not missing and not journal_missing and (needed or box.journal):
        state = BoxState.TICKED
    elif planned:
        state = BoxState.PLANNED
    elif not missing:
        state = BoxState.JOURNAL
    else:
        state = BoxState.PARTIAL if done else BoxState.OPEN
    return BoxProgress(box, state, done, len(needed) + bool(box.journal), missing, journal_missing,
                       tuple(mine))


def _roadmap(roadmap: Roadmap, curriculum: Curriculum, days: Mapping[str, Day],
             passed: Collection[str], named: Collection[str],
             gates: Mapping[str, GateProgress]) -> RoadmapProgress:
    sections = tuple(
        SectionProgress(section.title.text, tuple(box_progress(box, days, passed, named, gates)
                                                  for box in section.boxes))
        for section in roadmap.sections
    )
    wanted = {slug for section in sections for box in section.boxes for slug in days_behind(box)}
    return RoadmapProgress(roadmap, sections, next_up(curriculum, passed, _closure(wanted, days)))


def days_behind(box: BoxProgress) -> set[str]:
    """The days (slugs) that a box needs, itself or through a gate."""
    own = {need.partition(".")[0] for need in box.box.needs} - {"gate"}
    return own.union(*(gate.gate.days for gate in box.gates))


def _closure(wanted: Iterable[str], days: Mapping[str, Day]) -> set[str]:
    """``wanted`` and everything that these days build on."""
    found: set[str] = set()
    waiting = list(wanted)
    while waiting:
        slug = waiting.pop()
        if slug not in found:
            found.add(slug)
            waiting += days[slug].needs
    return found


def _days(curriculum: Curriculum, passed: Collection[str]) -> Iterable[DayProgress]:
    place = 0
    for stage in curriculum.stages:
        for day in stage.days:
            place += 1
            names = tuple(name for name in day.checks if f"{day.id}.{name}" in passed)
            if not day.built:
                state = DayState.PLANNED
            elif len(names) == len(day.checks):
                state = DayState.DONE
            else:
                state = DayState.STARTED if names else DayState.BUILT
            yield DayProgress(day, stage, place, state, names)


def day_done(day: Day, passed: Collection[str]) -> bool:
    """Whether every check of the day has passed; never so for a day that is not built."""
    return day.built and all(f"{day.id}.{name}" in passed for name in day.checks)


def next_up(curriculum: Curriculum, passed: Collection[str],
            within: Collection[str] | None = None) -> NextUp | None:
    """The first built day whose needs are done and that is not complete, with its next exercise.

    Where no day qualifies only because a needed day is not built yet, that need holds nobody up.
    ``within`` limits the choice to some days.
    """
    days = {day.id: day for day in curriculum.days}
    open_days = [day for day in curriculum.built_days
                 if not day_done(day, passed) and (within is None or day.id in within)]
    for waived in (False, True):
        for day in open_days:
            if all(day_done(days[need], passed) or (waived and not days[need].built)
                   for need in day.needs):
                return _next_in(day, passed)
    return None


def _next_in(day: Day, passed: Collection[str]) -> NextUp:
    for exercise in day.exercises:
        missing = tuple(name for name in exercise.checks if f"{day.id}.{name}" not in passed)
        if missing:
            return NextUp(day, exercise, missing)
    raise ValueError(f"{day.id} is complete")

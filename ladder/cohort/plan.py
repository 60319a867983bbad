"""cohort.yaml: which days, for whom, and when; errors name the file and the line.

Times are what a clock on the wall shows in the cohort's time zone; the gradebook gets them in UTC.
A time that the clock skips in spring means the moment after the skip, one that it shows twice in
autumn means the second: a learner never loses an hour.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ladder.curriculum import Curriculum, Day, Source, Strict, Title, parse, read_source
from ladder.errors import ContentError, CurriculumError, WorkError
from ladder.text import Text

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _clock(value: Any) -> Any:
    """``23:59`` without quotes is the number 1439 in YAML."""
    if type(value) is int and 0 <= value < 24 * 60:
        return dt.time(*divmod(value, 60))
    if isinstance(value, str) and re.fullmatch(r"\d{1,2}:\d{2}", value):
        value = value.zfill(5)
    return value


def _zone(value: Any) -> Any:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise ValueError("no such time zone; write a name such as Europe/Berlin, America/New_York "
                         "or Asia/Shanghai") from None
    return value


Clock = Annotated[dt.time, BeforeValidator(_clock)]
Zone = Annotated[str, BeforeValidator(_zone)]
Percent = Annotated[float, Field(ge=0, le=100)]
When = dt.datetime | dt.date


class Pace(Strict):
    """One day of the course opens on each of ``weekdays`` and is due ``due_after`` days later."""

    weekdays: Annotated[tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...],
                        Field(min_length=1)] = ("mon", "tue", "wed", "thu", "fri")
    opens_at: Clock = dt.time(9)
    due_after: Annotated[int, Field(ge=0, le=365)] = 7
    due_at: Clock = dt.time(23, 59)


class Dates(Strict):
    """Explicit times of one day; a date alone takes its hour from the pace."""

    opens: When | None = None
    due: When | None = None


class Late(Strict):
    """What late work costs: ``per_day`` per cent of its score for each day begun."""

    grace_minutes: Annotated[int, Field(ge=0)] = 0
    per_day: Percent = 0
    at_most: Percent = 100
    closes_after: Annotated[int, Field(ge=0, le=365)] | None = None


class Release(Strict):
    """What learners' wheels may hold of the answers.

    ``earlier`` is about references that a later day of the course builds on. ``after_due`` counts
    from the day's due date plus the time in which late work is still taken.
    """

    solutions: Literal["never", "after_due"] = "never"
    earlier: Literal["never", "after_due", "always"] = "after_due"


class Cohort(Strict):
    course: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,60}$")]
    title: Title | str = ""
    language: Literal["en", "zh"] = "en"
    time_zone: Zone
    start: dt.date
    days: tuple[int | str, ...] = ()
    weeks: tuple[Annotated[int, Field(ge=1)], ...] = ()
    pace: Pace = Pace()
    dates: dict[str | int, Dates] = Field(default_factory=dict)
    holidays: tuple[dt.date, ...] = ()
    late: Late = Late()
    students: str | None = None
    release: Release = Release()
    exchange: str | None = None

    @property
    def heading(self) -> Text:
        if isinstance(self.title, Title):
            return self.title.text
        return Text(self.title or self.course, self.title or self.course)


@dataclass(frozen=True)
class Slot:
    """One day of the course: when it opens and when it is due, with the zone's offset."""

    day: Day
    opens: dt.datetime
    due: dt.datetime

    @property
    def due_utc(self) -> dt.datetime:
        """As the gradebook keeps it: UTC, without saying so."""
        return self.due.astimezone(dt.UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class Plan:
    """A cohort.yaml read and laid out."""

    path: Path
    cohort: Cohort
    slots: tuple[Slot, ...]
    notes: tuple[str, ...] = ()

    @property
    def days(self) -> list[Day]:
        return [slot.day for slot in self.slots]

    def closes(self, slot: Slot) -> dt.datetime:
        """When no late work is taken any more (the due time where late work is not limited)."""
        late = self.cohort.late
        return slot.due + dt.timedelta(days=late.closes_after or 0, minutes=late.grace_minutes)


def read_plan(path: Path, curriculum: Curriculum) -> Plan:
    """Read and check a cohort.yaml."""
    if not path.is_file():
        raise WorkError(f"{path} does not exist; docs/cohorts.md shows a cohort.yaml to start from")
    source = read_source(path)
    cohort: Cohort = parse(source, Cohort)
    problems: list[str] = []
    notes: list[str] = []
    days = list(_days(source, cohort, curriculum, problems, notes))
    explicit = dict(_explicit(source, cohort, curriculum, days, problems))
    if problems:
        raise CurriculumError("\n".join(problems))
    slots = []
    for day, opening in zip(days, openings(cohort), strict=False):
        slot, moved = lay_out(cohort, day, opening, explicit.get(day.id, Dates()))
        if slot.due <= slot.opens:
            key = next((k for k in cohort.dates if curriculum.day(str(k)).id == day.id), None)
            problems.append(source.problem(("dates", key) if key is not None else ("pace",), (
                f"{day.id} would be due at {slot.due:%Y-%m-%d %H:%M}, before it opens at "
                f"{slot.opens:%Y-%m-%d %H:%M}; correct one of them")))
        notes += moved
        slots.append(slot)
    if problems:
        raise CurriculumError("\n".join(problems))
    return Plan(path, cohort, tuple(slots), tuple(notes))


def _days(source: Source, cohort: Cohort, curriculum: Curriculum, problems: list[str],
          notes: list[str]) -> Iterator[Day]:
    """The chosen days, in the order of the curriculum."""
    chosen: set[str] = set()
    for n, name in enumerate(cohort.days):
        try:
            day = curriculum.built_day(str(name))
        except ContentError as error:
            problems.append(source.problem(("days", n), str(error)))
            continue
        if day.id in chosen:
            problems.append(source.problem(("days", n), f"{day.id} stands twice; remove one"))
        chosen.add(day.id)
    for n, week in enumerate(cohort.weeks):
        of_week = [day for day in curriculum.days if (day.number - 1) // 7 + 1 == week]
        built = [day for day in of_week if day.built]
        if not built:
            problems.append(source.problem(("weeks", n), f"week {week} (days {7 * week - 6} to "
                                           f"{7 * week}) has no built day; see `ladder list`"))
        elif left := [day.id for day in of_week if not day.built]:
            notes.append(f"week {week} without {', '.join(left)}: planned, not built yet")
        chosen |= {day.id for day in built}
    if not cohort.days and not cohort.weeks:
        problems.append(source.problem((), "no days are chosen; add `days: [1, 2]` or `weeks: [1]`"))
    yield from (day for day in curriculum.days if day.id in chosen)


def _explicit(source: Source, cohort: Cohort, curriculum: Curriculum, days: list[Day],
              problems: list[str]) -> Iterator[tuple[str, Dates]]:
    seen: set[str] = set()
    for key, dates in cohort.dates.items():
        try:
            day = curriculum.day(str(key))
        except ContentError as error:
            problems.append(source.problem(("dates", key), str(error)))
            continue
        if day not in days:
            problems.append(source.problem(("dates", key), f"{day.id} is not among the chosen days"))
        if day.id in seen:
            problems.append(source.problem(("dates", key), f"{day.id} has dates already; remove one"))
        seen.add(day.id)
        yield day.id, dates


def openings(cohort: Cohort) -> Iterator[dt.date]:
    """The dates on which days open, one after the other, for ever."""
    date, held = cohort.start, set(cohort.holidays)
    while True:
        if WEEKDAYS[date.weekday()] in cohort.pace.weekdays and date not in held:
            yield date
        date += dt.timedelta(days=1)


def lay_out(cohort: Cohort, day: Day, opening: dt.date, explicit: Dates) -> tuple[Slot, list[str]]:
    pace, notes = cohort.pace, []
    opens = _moment(explicit.opens or opening, pace.opens_at)
    due = _moment(explicit.due or opens.date() + dt.timedelta(days=pace.due_after), pace.due_at)
    found = []
    for what, wall in (("opens", opens), ("due", due)):
        moment, moved = in_zone(wall, cohort.time_zone)
        if moved:
            notes.append(f"{day.id}: {what} {wall:%Y-%m-%d %H:%M} is skipped by the clock in "
                         f"{cohort.time_zone}; taken as {moment:%H:%M}")
        found.append(moment)
    return Slot(day, *found), notes


def _moment(when: When, clock: dt.time) -> dt.datetime:
    return when if isinstance(when, dt.datetime) else dt.datetime.combine(when, clock)


def in_zone(wall: dt.datetime, name: str) -> tuple[dt.datetime, bool]:
    """The moment at which a clock in the zone shows ``wall``; whether it never does."""
    zone = zoneinfo.ZoneInfo(name)
    if wall.tzinfo is not None:
        return wall.astimezone(zone), False
    early = wall.replace(tzinfo=zone, fold=0).astimezone(dt.UTC).astimezone(zone)
    if early.replace(tzinfo=None) != wall:
        return early, True
    return wall.replace(tzinfo=zone, fold=1), False

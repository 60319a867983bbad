"""A course at a glance: what to explain tomorrow, who is stuck, which boxes stand.

``report`` computes it from :class:`~ladder.cohort.marks.Marks`, ``page`` draws it as one HTML file
that needs nothing else. Students are shown by a code that stays the same from report to report and
says nothing about them; names only when asked for.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import statistics
import zoneinfo
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ladder import render
from ladder.cohort.marks import Assigned, Marks, Work
from ladder.cohort.roster import Student
from ladder.curriculum import Curriculum, Roadmap
from ladder.paths import PACKAGE
from ladder.text import Text, say

TOP = 10
BINS = 5
LOW = 0.5  # less than this part of a day's points means trouble

Label = Callable[[Student], str]


@dataclass(frozen=True)
class Box:
    """A column of the heat map: passes when all its checks do."""

    id: str
    title: Text
    day: str
    checks: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Square:
    """One student, one box: ``state`` is full, some, none, unknown (not checked) or missing."""

    state: str
    done: int
    total: int


@dataclass(frozen=True)
class DayLine:
    slug: str
    number: int
    title: Text
    opens: dt.datetime | None
    due: dt.datetime | None
    state: str
    handed: int
    late: int
    waiting: int
    median: float | None
    bins: tuple[int, ...]
    start: float = 0.0
    width: float = 0.0


@dataclass(frozen=True)
class Hard:
    day: str
    check: str
    passed: int
    handed: int
    unwritten: int

    @property
    def share(self) -> float:
        return self.passed / self.handed


@dataclass(frozen=True)
class Wrong:
    """A known mistake, and how many made it."""

    day: str
    check: str
    hint: Text
    count: int
    handed: int


@dataclass(frozen=True)
class Stuck:
    label: str
    reasons: tuple[Text, ...]
    last: Text | None


@dataclass(frozen=True)
class Report:
    heading: Text
    zone: str
    now: dt.datetime
    students: int
    handed: int
    waiting: int
    days: tuple[DayLine, ...]
    today: float | None
    boxes: tuple[Box, ...]
    roadmap: Text
    rows: tuple[tuple[str, tuple[Square, ...]], ...]
    hardest: tuple[Hard, ...]
    wrong: tuple[Wrong, ...]
    stuck: tuple[Stuck, ...]
    unreadable: tuple[str, ...]


def report(marks: Marks, curriculum: Curriculum, roadmap: Roadmap | None, label: Label,
           now: dt.datetime) -> Report:
    """Everything that the page shows."""
    days, today = _calendar([_day_line(marks, day, curriculum, now) for day in marks.days], now)
    boxes = boxes_of(marks, curriculum, roadmap)
    rows = [(student, [square(marks, student.id, box) for box in boxes]) for student in marks.students]
    rows.sort(key=lambda row: (-sum(s.done / s.total for s in row[1]), label(row[0])))
    return Report(
        marks.heading, marks.zone, now, len(marks.students), len(marks.works),
        sum(work.waiting for work in marks.works.values()), tuple(days), today, tuple(boxes),
        roadmap.title.text if roadmap else say("exercises", "练习"),
        tuple((label(student), tuple(squares)) for student, squares in rows),
        tuple(hardest(marks)), tuple(mistakes(marks)), tuple(stuck(marks, label, now)), marks.unreadable)


# --- days -----------------------------------------------------------------------------------------


def _day_line(marks: Marks, day: Assigned, curriculum: Curriculum, now: dt.datetime) -> DayLine:
    works = [work for (_, slug), work in marks.works.items() if slug == day.slug]
    shares = [work.share for work in works if work.share is not None]
    found = next((d for d in curriculum.days if d.id == day.slug), None)
    state = ("past" if day.due and day.due <= now else
             "planned" if day.opens and day.opens > now else "open")
    bins = Counter(min(BINS - 1, int(share * BINS)) for share in shares)
    return DayLine(
        day.slug, found.number if found else 0, found.title.text if found else Text(day.slug, day.slug),
        day.opens, day.due, state, len(works),
        sum(bool(day.due and work.at and work.at > day.due) for work in works),
        sum(work.waiting for work in works), statistics.median(shares) if shares else None,
        tuple(bins[n] for n in range(BINS)))


def _calendar(days: list[DayLine], now: dt.datetime) -> tuple[list[DayLine], float | None]:
    """Where each day lies on the way from the first opening to the last due time, in per cent."""
    moments = [moment for day in days for moment in (day.opens, day.due) if moment]
    if len(moments) < 2:
        return days, None
    first, last = min(moments), max(moments)
    span = (last - first).total_seconds() or 1.0

    def at(moment: dt.datetime) -> float:
        return round(100 * (moment - first).total_seconds() / span, 2)

    laid = []
    for day in days:
        opens = day.opens or first
        due = day.due or last
        laid.append(DayLine(**{**vars(day), "start": at(opens), "width": max(1.0, at(due) - at(opens))}))
    return laid, at(now) if first <= now <= last else None


# --- boxes ----------------------------------------------------------------------------------------


def boxes_of(marks: Marks, curriculum: Curriculum, roadmap: Roadmap | None) -> list[Box]:
    """The roadmap's boxes that this course alone can tick; without a roadmap, its exercises."""
    published = {day.slug: day for day in marks.days}
    known = {day.id: day for day in curriculum.built_days if day.id in published}
    found = []
    if roadmap is None:
        for slug, day in known.items():
            found += [Box(ex.id, ex.title.text, slug, tuple((slug, check) for check in ex.checks))
                      for ex in day.exercises]
        return found
    for box in roadmap.boxes:
        checks: list[tuple[str, str]] = []
        for need in box.needs:
            slug, _, check = need.partition(".")
            if slug not in known:
                checks = []
                break
            checks += [(slug, check)] if check else [(slug, name) for name in known[slug].checks]
        if checks:
            found.append(Box(box.id, box.title.text, max(slug for slug, _ in checks), tuple(checks)))
    return sorted(found, key=lambda box: box.day)


def fitting_roadmap(marks: Marks, curriculum: Curriculum, roadmaps: Sequence[Roadmap]) -> Roadmap | None:
    """The roadmap of which this course can tick the most boxes."""
    counted = [(len(boxes_of(marks, curriculum, roadmap)), roadmap) for roadmap in roadmaps]
    best = max(counted, key=lambda pair: pair[0], default=(0, None))
    return best[1] if best[0] else None


def square(marks: Marks, student: str, box: Box) -> Square:
    states = [_state(marks.work(student, slug), check) for slug, check in box.checks]
    done, total = states.count("passed"), len(states)
    if all(state == "missing" for state in states):
        return Square("missing", 0, total)
    if done == total:
        return Square("full", done, total)
    if all(state in ("passed", "not_checked") for state in states):
        return Square("unknown", done, total)
    return Square("some" if done else "none", done, total)


def _state(work: Work | None, check: str) -> str:
    """passed, failed, not_checked or missing; a person's score counts before the judge's."""
    if work is None:
        return "missing"
    mark, seen = work.marks.get(check), work.seen.get(check)
    if seen is not None and not (mark and mark.by_hand):
        return seen.state
    if mark is None:
        return "missing"
    return "passed" if mark.points and mark.score >= mark.points else "failed"


# --- checks and mistakes --------------------------------------------------------------------------


def hardest(marks: Marks) -> list[Hard]:
    """The checks that the fewest of those who handed in have passed."""
    passed: Counter[tuple[str, str]] = Counter()
    handed: Counter[tuple[str, str]] = Counter()
    unwritten: Counter[tuple[str, str]] = Counter()
    for (_, slug), work in marks.works.items():
        for name, seen in work.seen.items():
            if seen.state == "not_checked":
                continue
            handed[slug, name] += 1
            passed[slug, name] += _state(work, name) == "passed"
            unwritten[slug, name] += not seen.written
    found = [Hard(*key, passed[key], count, unwritten[key]) for key, count in handed.items()
             if passed[key] < count]
    return sorted(found, key=lambda hard: (hard.share, hard.day, hard.check))[:TOP]


def mistakes(marks: Marks) -> list[Wrong]:
    """The known mistakes that most students made."""
    made: Counter[tuple[str, str, Text]] = Counter()
    handed: Counter[tuple[str, str]] = Counter()
    for (_, slug), work in marks.works.items():
        for name, seen in work.seen.items():
            handed[slug, name] += 1
            if seen.hint is not None:
                made[slug, name, seen.hint] += 1
    return [Wrong(slug, name, hint, count, handed[slug, name])
            for (slug, name, hint), count in sorted(
                made.items(), key=lambda item: (-item[1], item[0]))[:TOP]]


# --- students -------------------------------------------------------------------------------------


def stuck(marks: Marks, label: Label, now: dt.datetime) -> list[Stuck]:
    """Who did not hand in lately, or handed in little that works; the most urgent first."""
    past = [day for day in marks.days if day.due and day.due <= now]
    found = []
    for student in marks.students:
        missing = 0
        for day in reversed(past):
            if marks.work(student.id, day.slug) is not None:
                break
            missing += 1
        handed = [day for day in marks.days if marks.work(student.id, day.slug) is not None]
        works = [marks.works[student.id, day.slug] for day in handed]
        shares = [work.share for work in works if work.share is not None]
        low = [share < LOW for share in shares]
        reasons = []
        if past and not handed:
            reasons.append(say("has handed in nothing", "从未提交"))
        elif missing >= 2:
            reasons.append(say(f"the last {missing} days that are due are missing",
                               f"最近 {missing} 个已截止的课程日没有提交"))
        run = len(low) - next((n for n in range(len(low), 0, -1) if not low[n - 1]), 0)
        if run >= 2 or (low and all(low)):
            reasons.append(say(f"under half of the points on the last {run} days handed in" if run > 1 else
                               "under half of the points on the only day handed in",
                               f"最近提交的 {run} 天得分都不到一半"))
        if reasons:
            weight = missing + run + 10 * (not handed and bool(past))
            found.append((-weight, label(student), Stuck(
                label(student), tuple(reasons), _first_failed(marks, student.id, handed))))
    return [entry for _, _, entry in sorted(found, key=lambda item: item[:2])]


def _first_failed(marks: Marks, student: str, handed: Sequence[Assigned]) -> Text | None:
    """The first check that did not pass on the last day handed in."""
    work = marks.work(student, handed[-1].slug) if handed else None
    name = next((name for name in (work.seen if work else {}) if _state(work, name) == "failed"), None)
    if work is None or name is None:
        return None
    hint = work.seen[name].hint
    if not work.seen[name].written:
        return say(f"{work.day}: {name} is not written", f"{work.day}：{name} 还没有写")
    return Text(f"{work.day}: {name}" + (f" ({hint.en})" if hint else ""),
                f"{work.day}：{name}" + (f"（{hint.zh}）" if hint else ""))


def codes(students: Sequence[Student], key: bytes) -> dict[str, str]:
    """A short code for each student, from a key that only the course has."""
    whole = {student.id: base64.b32encode(hmac.digest(key, student.id.encode(), hashlib.sha256)).decode()
             for student in students}
    length = 4
    while len({code[:length] for code in whole.values()}) < len(whole):
        length += 1
    return {student: code[:length] for student, code in whole.items()}


def full_name(student: Student) -> str:
    name = " ".join(part for part in (student.first_name, student.last_name) if part)
    return f"{name} ({student.id})" if name else student.id


# --- the page -------------------------------------------------------------------------------------

WORDS: Mapping[str, Text] = {
    "full": say("all its checks passed", "检查全部通过"),
    "some": say("some passed", "部分通过"),
    "none": say("none passed", "没有通过"),
    "unknown": say("not checked here", "此处未检查"),
    "missing": say("not handed in", "未提交"),
}
GLYPHS = {"full": "✓", "some": "◐", "none": "✗", "unknown": "?", "missing": "·"}
STATES = {"past": say("due date passed", "已截止"), "open": say("open", "进行中"),
          "planned": say("not open yet", "尚未开放")}


def page(found: Report, language: str) -> str:
    zone = zoneinfo.ZoneInfo(found.zone)
    environment = Environment(loader=FileSystemLoader(PACKAGE / "templates"), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = lambda words: Markup(render.code(words))  # escaped there
    groups: dict[str, list[Box]] = defaultdict(list)
    for slug, boxes in groupby(found.boxes, key=lambda box: box.day):
        groups[slug] += list(boxes)
    return environment.get_template("report.html").render(
        report=found, language=language, groups=groups, words=WORDS, glyphs=GLYPHS, states=STATES,
        t=lambda en, zh: say(en, zh).in_(language),
        when=lambda moment: f"{moment.astimezone(zone):%m-%d %H:%M}" if moment else "",
        starts={slug: boxes[0].id for slug, boxes in groups.items()},
        number=lambda slug: int(slug[3:].split("_")[0]) if slug.startswith("day") else slug,
        written=f"{found.now.astimezone(zone):%Y-%m-%d %H:%M}")

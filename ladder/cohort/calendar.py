"""The cohort's calendar: an iCalendar file, and the rows of a page."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import icalendar

from ladder import __version__
from ladder.cohort.plan import Plan
from ladder.text import Text, say


@dataclass(frozen=True)
class Row:
    """One day as the calendar page shows it."""

    number: int
    slug: str
    title: Text
    opens: dt.datetime
    due: dt.datetime
    points: float


def rows(plan: Plan) -> list[Row]:
    return [Row(slot.day.number, slot.day.id, slot.day.title.text, slot.opens, slot.due,
                sum(slot.day.checks.values()) + sum(w.points for w in slot.day.written))
            for slot in plan.slots]


def ics(plan: Plan, now: dt.datetime) -> bytes:
    """Two events a day of the course: it opens, it is due. Times are in UTC, as every program reads."""
    language = plan.cohort.language
    calendar = icalendar.Calendar()
    calendar.add("prodid", f"-//LLM Ladder//{__version__}//{language.upper()}")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", plan.cohort.heading.in_(language))
    calendar.add("x-wr-timezone", plan.cohort.time_zone)
    for row in rows(plan):
        title = row.title.in_(language)
        for what, moment, words in (
            ("opens", row.opens, say(f"Day {row.number} opens: {title}", f"第 {row.number} 天开放：{title}")),
            ("due", row.due, say(f"Day {row.number} is due: {title}", f"第 {row.number} 天截止：{title}")),
        ):
            event = icalendar.Event()
            event.add("uid", f"{row.slug}-{what}@{plan.cohort.course}.llm-ladder")
            event.add("dtstamp", now.astimezone(dt.UTC))
            event.add("dtstart", moment.astimezone(dt.UTC))
            event.add("dtend", moment.astimezone(dt.UTC))
            event.add("summary", words.in_(language))
            event.add("transp", "TRANSPARENT")
            calendar.add_component(event)
    return calendar.to_ical()

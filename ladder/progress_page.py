"""Progress as one HTML file that needs nothing else: the ladder, the roadmaps, the journal."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ladder.journal import local_time
from ladder.progress import (
    BoxProgress,
    BoxState,
    DayState,
    Progress,
    RoadmapProgress,
    days_behind,
)
from ladder.progress_text import BOX_NAMES, DAY_NAMES, next_command, number, still_missing
from ladder.text import Text

TEMPLATES = Path(__file__).parent / "templates"


def page(progress: Progress, roadmaps: Sequence[RoadmapProgress], language: str,
         now: datetime.datetime | None = None) -> str:
    """The page as text; it shows ``language`` first and holds both."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    stages = [(stage, list(days)) for stage, days in groupby(progress.days, lambda day: day.stage)]
    room, free = _room([len(days) for _, days in stages])
    return environment.get_template("progress.html").render(
        progress=progress,
        roadmaps=roadmaps,
        stages=stages,
        room=room,
        free=free,
        language=language,
        now=now or datetime.datetime.now(),
        day_names=DAY_NAMES, box_names=BOX_NAMES,
        DayState=DayState, BoxState=BoxState,
        command=next_command,
        local_time=local_time,
        missing=lambda box: _missing(box, progress),
        boxes_of=_boxes_of(roadmaps),
    )


def _missing(box: BoxProgress, progress: Progress) -> Text:
    return Text(still_missing(box, progress.days, "en"), still_missing(box, progress.days, "zh"))


def _boxes_of(roadmaps: Sequence[RoadmapProgress]) -> Counter[str]:
    """How many boxes each day counts towards."""
    return Counter(slug for roadmap in roadmaps for box in roadmap.boxes for slug in days_behind(box))


def _room(heights: Sequence[int], columns: int = 5, rungs: int = 8) -> tuple[int, int]:
    """Where above the last ladders the card of a day fits: the first column, and rungs of height.

    Column 0 where there is no such room: then the card stands below the ladders.
    """
    top = max(heights, default=0)
    first = len(heights)
    while first and heights[first - 1] <= top - rungs:
        first -= 1
    free = top - max(heights[first:], default=top)
    return (first + 1, free) if len(heights) - first >= columns else (0, 0)

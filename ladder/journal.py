"""The journal: pages with prompts, entries in the learner's words, and the boxes that they tick.

Pure: takes the curriculum, the roadmaps and the entries of the records, and returns values. An
entry is ``{"at", "journal": page, "boxes": [ids], "answers": [texts]}``; with as many answers as
the page has prompts they belong together in order, otherwise the answers are free text.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ladder.curriculum import Box, Curriculum, JournalPage, Roadmap, unknown
from ladder.errors import ContentError, WorkError
from ladder.records import Record
from ladder.text import say

Entry = Mapping[str, Any]


def page_of(curriculum: Curriculum, name: str) -> JournalPage:
    """The page with this id, or whose id alone starts so."""
    pages = {page.id: page for page in curriculum.journal}
    close = [page for page in pages if name and page.startswith(name)]
    if name in pages:
        return pages[name]
    if len(close) == 1:
        return pages[close[0]]
    raise ContentError(unknown("journal page", name, list(pages)) + f" (there are {', '.join(pages)})")


def boxes_of(page: JournalPage, roadmaps: Iterable[Roadmap]) -> list[tuple[Roadmap, Box]]:
    """The boxes that an entry on this page can tick."""
    return [(roadmap, box) for roadmap in roadmaps for box in roadmap.boxes if page.id in box.journal]


def check_boxes(page: JournalPage, roadmaps: Sequence[Roadmap], wanted: Iterable[str]) -> list[str]:
    """``wanted`` without repeats; raises unless every box belongs to the page."""
    known = {box.id: box for roadmap in roadmaps for box in roadmap.boxes}
    mine = [box.id for _, box in boxes_of(page, roadmaps)]
    chosen = list(dict.fromkeys(name.strip() for name in wanted))
    for name in chosen:
        if name in mine:
            continue
        near = difflib.get_close_matches(name, mine, 3, 0.5)
        hint = f"; on this page there are {', '.join(near)}" if near else ""
        if name not in known:
            raise ContentError(f"there is no box {name!r} on the page {page.id}{hint} "
                               f"(`ladder journal {page.id} --list-boxes`)")
        if known[name].journal:
            other = known[name].journal[0]
            raise ContentError(f"the box {name} does not belong to the page {page.id}: "
                               f"`ladder journal {other} --box {name}` ticks it{hint}")
        raise ContentError(f"the box {name} is ticked by checks alone, not by the journal{hint}")
    return chosen


def new_entry(page: JournalPage, boxes: Sequence[str], answers: Sequence[str]) -> dict[str, Any]:
    """An entry to append to the records; it needs some words."""
    if len(answers) > len(page.prompts):
        raise WorkError(f"{len(answers)} answers were given, but the page {page.id} has "
                        f"{len(page.prompts)} prompts; give one --text for each, or one for all")
    answers = [answer.strip() for answer in answers]
    if not any(answers):
        raise WorkError("nothing was written; an entry, even one that only ticks a box, needs a line "
                        "that says how you know: `--text \"...\"`")
    if len(answers) > 1:
        answers += [""] * (len(page.prompts) - len(answers))
    return {"journal": page.id, "boxes": list(boxes), "answers": answers}


def answers_of(entry: Entry) -> list[str]:
    """The answers of an entry, also of one that somebody edited by hand."""
    answers = entry.get("answers", [])
    if isinstance(answers, str):
        return [answers]
    return [str(answer) for answer in answers] if isinstance(answers, list) else []


def local_time(entry: Entry) -> str:
    """When an entry was written, as ``2026-11-20 18:30`` where the reader is."""
    at = str(entry.get("at", ""))
    try:
        return datetime.datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return at


def named_in(entry: Entry) -> list[str]:
    boxes = entry.get("boxes", [])
    return [str(box) for box in boxes] if isinstance(boxes, list) else []


def passed_since(verdicts: Iterable[Record], since: str) -> dict[str, int]:
    """How many checks of each day passed for the first time after ``since`` (ISO 8601, UTC)."""
    first: dict[str, str] = {}
    for record in verdicts:
        if record.state == "passed":
            first.setdefault(record.check, record.at)
    days: dict[str, int] = {}
    for check, at in first.items():
        if at > since:
            slug = check.partition(".")[0]
            days[slug] = days.get(slug, 0) + 1
    return days


def markdown(pages: Sequence[JournalPage], entries: Sequence[Entry], roadmaps: Iterable[Roadmap],
             language: str) -> str:
    """All entries of ``pages``, oldest first, each answer under its prompt."""
    titles = {box.id: box.title.text.in_(language) for roadmap in roadmaps for box in roadmap.boxes}
    lines = [f"# {say('Journal', '日志').in_(language)}", ""]
    for page in pages:
        mine = [entry for entry in entries if entry.get("journal") == page.id]
        if not mine:
            continue
        lines += [f"## {page.title.text.in_(language)}", ""]
        for entry in mine:
            lines += [f"### {local_time(entry)}", ""]
            answers = answers_of(entry)
            paired = len(answers) == len(page.prompts)
            for number, answer in enumerate(answers):
                if answer:
                    prompt = [f"**{page.prompts[number].text.in_(language)}**", ""] if paired else []
                    lines += [*prompt, answer, ""]
            named = [f"- [x] {titles.get(box, '')} <!-- {box} -->" for box in named_in(entry)]
            lines += [*named, ""] if named else []
    if len(lines) == 2:
        lines += [say("No entry yet.", "尚无记录。").in_(language), ""]
    return "\n".join(lines).rstrip() + "\n"

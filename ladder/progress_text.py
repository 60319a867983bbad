"""Progress in words, in both languages, and as Markdown with ``[x]``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from ladder.progress import (
    BoxProgress,
    BoxState,
    DayProgress,
    DayState,
    NextUp,
    Progress,
    RoadmapProgress,
)
from ladder.text import Text, say

BOX_NAMES = {
    BoxState.TICKED: say("ticked", "已完成"),
    BoxState.PARTIAL: say("in part", "部分完成"),
    BoxState.JOURNAL: say("by journal", "写日志即可"),
    BoxState.OPEN: say("open", "可以开始"),
    BoxState.PLANNED: say("planned", "待建"),
}
DAY_NAMES = {
    DayState.DONE: say("done", "已完成"),
    DayState.STARTED: say("in progress", "进行中"),
    DayState.BUILT: say("ready", "已建好"),
    DayState.PLANNED: say("planned", "待建"),
}


def number(points: float) -> str:
    """``4`` for 4.0, ``2.5`` for 2.5."""
    return f"{points:g}"


def next_line(up: NextUp | None, language: str) -> str:
    """What to do next, in one sentence."""
    if up is None:
        return say("Every day that is built is done. More days are being built.",
                   "已建好的课程日全部完成，更多内容正在建设中。").in_(language)
    return say(
        f"Day {up.day.number}, {up.day.title.en}: {up.exercise.title.en} ({_checks(len(up.checks))})",
        f"第 {up.day.number} 天《{up.day.title.zh}》：{up.exercise.title.zh}（还差 {len(up.checks)} 项检查）",
    ).in_(language)


def _checks(count: int) -> str:
    return f"{count} check{'s' * (count != 1)} to pass"


def next_command(up: NextUp) -> str:
    return f"ladder start {up.day.number}"


def still_missing(box: BoxProgress, days: Iterable[DayProgress], language: str) -> str:
    """What a box still waits for, in a few words: days, checks, gates, a journal page."""
    by_slug = {day.day.id: day for day in days}
    planned: list[tuple[int, int]] = []
    open_days: list[tuple[int, int]] = []
    for slug, group in groupby(box.missing, key=lambda need: need.partition(".")[0]):
        if slug == "gate":
            continue
        day = by_slug[slug]
        (open_days if day.day.built else planned).append((day.day.number, len(list(group))))
    parts = []
    if open_days:
        parts.append("; ".join(
            say(f"Day {n}: {_checks(count)}", f"第 {n} 天还差 {count} 项检查").in_(language)
            for n, count in open_days))
    if planned:
        numbers = [str(n) for n, _ in planned]
        parts.append(say(f"planned: Day {', '.join(numbers)}",
                         f"待建：第 {'、'.join(numbers)} 天").in_(language))
    for gate in (gate for gate in box.gates if not gate.passed):
        waits = [str(by_slug[slug].day.number) for slug in gate.waits]
        parts.append(_gate(gate.gate.id, waits).in_(language))
    if box.journal_missing:
        parts.append(say(f"journal: {' or '.join(box.box.journal)}",
                         f"日志：{' 或 '.join(box.box.journal)}").in_(language))
    return say("; ", "；").in_(language).join(parts)


def _gate(name: str, waits: Sequence[str]) -> Text:
    if not waits:
        return say(f"gate: ladder gate {name}", f"闯关：ladder gate {name}")
    return say(f"gate {name}, which waits for Day {', '.join(waits)} (planned)",
               f"{name} 关，需等第 {'、'.join(waits)} 天建好")


def markdown(progress: Progress, roadmaps: Sequence[RoadmapProgress], language: str) -> str:
    """Every box once, ``[x]`` or ``[ ]``, under its section and roadmap."""
    lines: list[str] = []
    for roadmap in roadmaps:
        total = len(roadmap.boxes)
        lines += [f"# {_plain(roadmap.roadmap.title.text.in_(language))}", "",
                  say(f"{roadmap.ticked} of {total} boxes ticked",
                      f"已完成 {roadmap.ticked} / {total} 项").in_(language), ""]
        for section in roadmap.sections:
            lines += [f"## {_plain(section.title.in_(language))} "
                      f"({section.ticked}/{len(section.boxes)})", ""]
            lines += [_markdown_box(box, progress, language) for box in section.boxes]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _markdown_box(box: BoxProgress, progress: Progress, language: str) -> str:
    words = _plain(box.box.title.text.in_(language))
    notes = []
    if box.box.target:
        notes.append(say("target", "指标").in_(language) + ": "
                     + _plain(box.box.target.text.in_(language)))
    if not box.ticked:
        if box.done:
            notes.append(f"{box.done}/{box.total}")
        notes.append(still_missing(box, progress.days, language))
    tail = f" *({'; '.join(notes)})*" if notes else ""
    return f"- [{'x' if box.ticked else ' '}] {words}{tail} <!-- {box.box.id} -->"


def _plain(words: str) -> str:
    """One line, with Markdown's own marks taken literally."""
    text = " ".join(words.split())
    for mark in "\\`*_<>[]|":
        text = text.replace(mark, "\\" + mark)
    return text

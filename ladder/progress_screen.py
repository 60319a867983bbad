"""Progress drawn in the terminal, with rich."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from ladder.progress import BoxProgress, BoxState, DayState, NextUp, Progress, RoadmapProgress
from ladder.progress_text import (
    BOX_NAMES,
    DAY_NAMES,
    next_command,
    next_line,
    number,
    still_missing,
)
from ladder.text import say

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text as RichText

# state: glyph, glyph where the terminal knows only ASCII, style. Shapes differ, not only colours.
BOXES = {
    BoxState.TICKED: ("✔", "x", "bold blue"),
    BoxState.PARTIAL: ("◐", "/", "yellow"),
    BoxState.JOURNAL: ("✎", "j", "magenta"),
    BoxState.OPEN: ("☐", "o", ""),
    BoxState.PLANNED: ("·", ".", "dim"),
}
DAYS = {
    DayState.DONE: ("■", "#", "bold blue"),
    DayState.STARTED: ("◧", "/", "yellow"),
    DayState.BUILT: ("□", "o", ""),
    DayState.PLANNED: ("·", ".", "dim"),
}
NEXT = ("▶", ">", "bold yellow")


class Screen:
    """Draws on a rich console, in one language."""

    def __init__(self, console: Console, language: str) -> None:
        self.console = console
        self.language = language
        self.ascii = console.options.ascii_only

    def draw(self, progress: Progress, roadmaps: Sequence[RoadmapProgress], everything: bool,
             listed: bool) -> None:
        """The ladder, the roadmaps (each box if ``everything``), and what is next."""
        if not listed:
            self._head(progress)
            self._stages(progress)
        self._roadmaps(roadmaps)
        if everything or listed:
            for roadmap in roadmaps:
                self._boxes(roadmap, progress, everything)
        self._next(progress.next if not listed or len(roadmaps) != 1 else roadmaps[0].next)

    def _say(self, en: str, zh: str) -> str:
        return say(en, zh).in_(self.language)

    def _glyph(self, entry: tuple[str, str, str]) -> RichText:
        from rich.text import Text

        return Text(entry[self.ascii], style=entry[2])

    def _head(self, progress: Progress) -> None:
        done, total = progress.count(DayState.DONE), len(progress.days)
        self.console.print(self._say(
            f"[bold]LLM Ladder[/]  {done} of {progress.built} built days done, "
            f"{number(progress.points)} of {number(progress.points_total)} points, "
            f"{total} days in all",
            f"[bold]LLM Ladder[/]  已建 {progress.built} 天中完成 {done} 天，"
            f"{number(progress.points)} / {number(progress.points_total)} 分，共 {total} 天"),
            highlight=False)
        self.console.print()

    def _stages(self, progress: Progress) -> None:
        upcoming = progress.next.day.id if progress.next else None
        stages = [(stage, list(days)) for stage, days in groupby(progress.days, lambda d: d.stage)]
        names = self._padded([stage.title.text.in_(self.language) for stage, _ in stages])
        for name, (_, days) in zip(names, stages, strict=True):
            for day in days:
                name.append_text(self._glyph(NEXT if day.day.id == upcoming else DAYS[day.state]))
            done = sum(day.state is DayState.DONE for day in days)
            self.console.print(name.append(f"  {done}/{len(days)}", "dim"), highlight=False)
        self._legend([(NEXT, self._say("next", "下一步"))]
                     + [(DAYS[state], DAY_NAMES[state].in_(self.language)) for state in DayState])

    def _legend(self, entries: Iterable[tuple[tuple[str, str, str], str]]) -> None:
        from rich.text import Text

        line = Text()
        for entry, name in entries:
            line.append_text(self._glyph(entry)).append(f" {name}   ", style="dim")
        line.rstrip()
        self.console.print(line)
        self.console.print()

    def _roadmaps(self, roadmaps: Sequence[RoadmapProgress]) -> None:
        names = self._padded([roadmap.roadmap.id for roadmap in roadmaps], "bold")
        counts = [f"{roadmap.ticked}/{len(roadmap.boxes)}" for roadmap in roadmaps]
        width = max(map(len, counts), default=0)
        for line, count, roadmap in zip(names, counts, roadmaps, strict=True):
            line.append_text(self._bar(roadmap)).append(f"  {count:>{width}}  ")
            line.append(roadmap.roadmap.title.text.in_(self.language), "dim")
            line.truncate(self.console.width, overflow="ellipsis")
            self.console.print(line, highlight=False)
        ticked, now, planned = "#=." if self.ascii else "█▒·"
        self._legend((((ticked, ticked, "blue"), self._say("ticked", "已完成")),
                      ((now, now, "yellow"), self._say("can be ticked now", "现在可完成")),
                      ((planned, planned, "dim"), self._say("planned", "待建"))))

    def _padded(self, names: Sequence[str], style: str = "") -> list[RichText]:
        """The names, all as wide as the widest."""
        from rich.text import Text

        lines = [Text(name, style) for name in names]
        width = max((line.cell_len for line in lines), default=0) + 2
        for line in lines:
            line.append(" " * (width - line.cell_len))
        return lines

    def _bar(self, roadmap: RoadmapProgress, width: int = 20) -> RichText:
        """Ticked, can be ticked today, planned: a cell at least for each part that is not empty."""
        from rich.text import Text

        total = len(roadmap.boxes) or 1
        now = total - roadmap.ticked - roadmap.count(BoxState.PLANNED)
        ticked = _cells(roadmap.ticked, total, width)
        ready = min(_cells(now, total, width), width - ticked)
        marks = "#=." if self.ascii else "█▒·"
        return (Text().append(marks[0] * ticked, "blue").append(marks[1] * ready, "yellow")
                .append(marks[2] * (width - ticked - ready), "dim"))

    def _boxes(self, roadmap: RoadmapProgress, progress: Progress, everything: bool) -> None:
        """All boxes of a roadmap, or its sections with their counts."""
        from rich.text import Text

        title = roadmap.roadmap.title.text.in_(self.language)
        self.console.print(Text(f"{roadmap.roadmap.id}  {title}", "bold underline"))
        for section in roadmap.sections:
            head = Text(f"\n{section.title.in_(self.language)}", "bold")
            self.console.print(head.append(f"  {section.ticked}/{len(section.boxes)}", "not bold dim"))
            shown = section.boxes if everything else [
                box for box in section.boxes if box.state is not BoxState.PLANNED]
            if shown:
                self.console.print(self._box_table(shown, progress))
            if hidden := len(section.boxes) - len(shown):
                self.console.print(self._glyph(BOXES[BoxState.PLANNED]).append(self._say(
                    f" {hidden} planned (--all lists them)", f" 待建 {hidden} 项（--all 全部列出）")))
        self.console.print()
        self._legend((BOXES[state], BOX_NAMES[state].in_(self.language)) for state in BOXES)

    def _box_table(self, boxes: Iterable[BoxProgress], progress: Progress) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(width=1)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(ratio=1)
        for box in boxes:
            words = Text(box.box.title.text.in_(self.language),
                         "bold" if box.box.checkbox else "")
            if box.box.target:
                words.append(f"  [{box.box.target.text.in_(self.language)}]", "not bold dim")
            if not box.ticked:
                count = f"{box.done}/{box.total}  " if box.done else ""
                words.append(f"\n{count}{still_missing(box, progress.days, self.language)}",
                             "not bold dim")
            table.add_row(self._glyph(BOXES[box.state]), box.box.id, words)
        return table

    def _next(self, up: NextUp | None) -> None:
        from rich.text import Text

        line = Text().append_text(self._glyph(NEXT)).append(" ")
        line.append(self._say("Next", "下一步"), "bold").append("  ")
        line.append(next_line(up, self.language))
        if up:
            line.append(f"\n  {next_command(up)}")
        self.console.print(line, highlight=False)


def _cells(part: int, whole: int, width: int) -> int:
    return max(1, round(width * part / whole)) if part else 0

"""Grades as tables: plain CSV, and what Canvas and Moodle import.

Text that a spreadsheet would run as a formula gets an apostrophe before it. ``read_table`` takes it
away again, so that nothing of a name is lost.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from ladder.cohort.marks import Marks
from ladder.cohort.roster import Student
from ladder.text import Text, say

FORMULA = tuple("=+-@\t\r\n＝＋－＠")
BOM = "\ufeff"
Cell = str | float | None
Table = list[list[Cell]]


@dataclass(frozen=True)
class Exported:
    text: str
    notes: tuple[Text, ...] = ()

    def data(self, bom: bool) -> bytes:
        """UTF-8; Excel needs the mark at the beginning to see that."""
        return ((BOM if bom else "") + self.text).encode()


def export(marks: Marks, format: str, titles: dict[str, str]) -> Exported:
    """The grades of all students; ``titles`` are the days' names for people."""
    table, keys = {"csv": _plain, "canvas": _canvas, "moodle": _moodle}[format](marks, titles)
    notes = [*_waiting(marks)]
    guarded = [value for row in table[1:] for n in keys
               if isinstance(value := row[n], str) and guard(value) != value]
    if guarded and format != "csv":
        notes.append(say(
            f"these identities begin like formulas and were quoted, so {format} may not recognise them: "
            + ", ".join(guarded),
            f"这些标识以公式字符开头，已加引号，{format} 可能无法识别：" + "、".join(guarded)))
    if format == "canvas" and (missing := [s.id for s in marks.students if not s.lms_user_id]):
        notes.append(say(
            f"{len(missing)} of {len(marks.students)} students have no lms_user_id (Canvas' own number); "
            "Canvas finds them by SIS Login ID, the id of students.csv",
            f"{len(marks.students)} 名学生中有 {len(missing)} 名没有 lms_user_id（Canvas 的编号）；"
            "Canvas 将按 SIS Login ID（students.csv 的 id）查找"))
    return Exported(write_table(table), tuple(notes))


def _plain(marks: Marks, titles: dict[str, str]) -> tuple[Table, list[int]]:
    """One line a student and day, everything the gradebook knows."""
    table: Table = [["student_id", "first_name", "last_name", "email", "day", "title", "due_utc",
                     "submitted_utc", "raw_score", "late_penalty", "score", "max_score", "to_grade_by_hand"]]
    for student in marks.students:
        for day in marks.days:
            work = marks.work(student.id, day.slug)
            due = f"{day.due:%Y-%m-%d %H:%M:%S}" if day.due else ""
            head: list[Cell] = [student.id, student.first_name, student.last_name, student.email, day.slug,
                                titles.get(day.slug, day.slug), due]
            if work is None:
                table.append([*head, "", 0.0, 0.0, 0.0, day.total, ""])
            else:
                at = f"{work.at:%Y-%m-%d %H:%M:%S}" if work.at else ""
                table.append([*head, at, work.raw, work.penalty, work.score, day.total,
                              "yes" if work.waiting else ""])
    return table, [0]


def _canvas(marks: Marks, titles: dict[str, str]) -> tuple[Table, list[int]]:
    """Canvas' gradebook import: a line a student; nothing where nothing was handed in."""
    table: Table = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *_columns(marks, titles)]]
    table.append(["    Points Possible", "", "", "", "", *(day.total for day in marks.days)])
    for student in marks.students:
        table.append([_sorted_name(student), student.lms_user_id, "", student.id, "",
                      *_scores(marks, student)])
    return table, [1, 3]


def _moodle(marks: Marks, titles: dict[str, str]) -> tuple[Table, list[int]]:
    """Moodle's grade import; map "Username", "ID number" or "Email address" there."""
    table: Table = [["Username", "ID number", "Email address", "First name", "Last name",
                     *_columns(marks, titles)]]
    for student in marks.students:
        table.append([student.id, student.lms_user_id, student.email, student.first_name,
                      student.last_name, *_scores(marks, student)])
    return table, [0, 1, 2]


def _columns(marks: Marks, titles: dict[str, str]) -> list[Cell]:
    return [titles.get(day.slug, day.slug) for day in marks.days]


def _scores(marks: Marks, student: Student) -> list[Cell]:
    works = (marks.work(student.id, day.slug) for day in marks.days)
    return [work.score if work else None for work in works]


def _sorted_name(student: Student) -> str:
    return ", ".join(part for part in (student.last_name, student.first_name) if part) or student.id


def _waiting(marks: Marks) -> list[Text]:
    found = []
    for day in marks.days:
        count = sum(work.waiting for (_, slug), work in marks.works.items() if slug == day.slug)
        if count:
            found.append(say(f"{day.slug}: {count} submissions wait for a person to grade an answer",
                             f"{day.slug}：{count} 份提交有待人工评分"))
    return found


# --- CSV ------------------------------------------------------------------------------------------


def guard(text: str) -> str:
    """``text`` so that no spreadsheet takes it for a formula."""
    return "'" + text if text.startswith(("'", *FORMULA)) or text.lstrip().startswith(FORMULA) else text


def unguard(text: str) -> str:
    return text[1:] if text.startswith("'") else text


def number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") if value else "0"


def write_table(table: Sequence[Sequence[Cell]]) -> str:
    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator="\r\n")
    for row in table:
        writer.writerow(["" if value is None else guard(value) if isinstance(value, str)
                         else number(value) for value in row])
    return target.getvalue()


def read_table(data: bytes) -> list[list[str]]:
    """A table written by :func:`write_table`, its text as it was."""
    text = data.decode("utf-8-sig")
    return [[unguard(cell) for cell in row] for row in csv.reader(io.StringIO(text, newline=""))]

"""Whose file is this? Names as Moodle, Canvas and people write them, against the roster. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ladder.cohort.roster import Student
from ladder.text import Text, say

MOODLE = re.compile(r"(?P<name>.+?)_(?P<number>\d+)_assignsubmission_[a-z]+_?(?P<file>.*)", re.DOTALL)
CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<number>\d+)_(?P<upload>\d+)_(?P<file>.+)", re.DOTALL)


@dataclass(frozen=True)
class Label:
    """What a file's or folder's name says."""

    lms: str  # moodle, canvas, or nothing
    name: str
    number: str = ""
    file: str = ""
    late: bool | None = None


def label(name: str) -> Label:
    """Moodle: `Ada Lovelace_12345_assignsubmission_file_`; Canvas: `lovelaceada_LATE_12_678_day03.ipynb`."""
    if found := MOODLE.fullmatch(name):
        return Label("moodle", found["name"], found["number"], found["file"])
    if found := CANVAS.fullmatch(name):
        return Label("canvas", found["name"], found["number"], found["file"], found["late"] is not None)
    return Label("", name)


def owner(marked: Label, students: Sequence[Student]) -> Student | Text:
    """The student, or why none can be named.

    Canvas writes its users' numbers (``lms_user_id`` of the roster). Moodle writes a number of its
    own for the course, which only tells namesakes apart; with hidden names it is all there is.
    """
    numbered = [s for s in students if marked.number and s.lms_user_id == marked.number]
    if marked.lms == "canvas" and numbered:
        return _one(numbered, marked)
    if marked.lms == "moodle" and letters(marked.name) == "participant":
        return _one(numbered, marked)
    found = named(marked.name, students)
    if len(found) > 1:
        found = [student for student in found if student in numbered] or found
    return _one(found, marked)


def named(name: str, students: Sequence[Student]) -> list[Student]:
    """The students of this id, else this e-mail address, else this name in either order."""
    ways: tuple[tuple[Callable[[str], str], Callable[[Student], tuple[str, ...]]], ...] = (
        (_same, lambda s: (s.id,)),
        (_same, lambda s: (s.email,)),
        (letters, lambda s: (s.first_name + s.last_name, s.last_name + s.first_name)),
        (ascii_letters, lambda s: (s.first_name + s.last_name, s.last_name + s.first_name)),
    )
    for fold, spellings in ways:
        wanted = fold(name)
        found = [s for s in students if wanted and wanted in map(fold, spellings(s))]
        if found:
            return found
    return []


def _one(found: Sequence[Student], marked: Label) -> Student | Text:
    if len(found) == 1:
        return found[0]
    if not found:
        return say(f"no student of the roster is {marked.name!r}; correct the roster (id, names, e-mail, "
                   "lms_user_id) and collect again",
                   f"名单中没有学生 {marked.name!r}；请修正名单（id、姓名、邮箱、lms_user_id）后重新收取")
    who = ", ".join(student.id for student in found)
    return say(f"{marked.name!r} may be {who}; write {marked.number or 'the number of each'} as lms_user_id "
               "of the right one and collect again",
               f"{marked.name!r} 可能是 {who}；请把 {marked.number or '各自的编号'} 写入对应学生的 lms_user_id 后重新收取")


def _same(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def letters(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def ascii_letters(text: str) -> str:
    """Without accents, as file names often have them."""
    return letters("".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)))

"""The students of a cohort, from a CSV file."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from ladder.errors import WorkError

COLUMNS = ("id", "first_name", "last_name", "email", "lms_user_id")
BAD = re.compile(r"[\s/\\+:*?\"<>|\x00-\x1f]|^\.")  # file names on every system; nbgrader splits at +


@dataclass(frozen=True)
class Student:
    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""


def read_roster(path: Path) -> list[Student]:
    """Read the file; every problem is told with its line."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise WorkError(f"{path} does not exist; it is named as `students` in cohort.yaml") from None
    except UnicodeDecodeError as error:
        raise WorkError(f"{path} is not UTF-8 at byte {error.start}; in Excel, save it as "
                        "\"CSV UTF-8\"") from None
    return parse_roster(text, path.name)


def parse_roster(text: str, name: str) -> list[Student]:
    head = text.split("\n", 1)[0]
    comma = max(",;\t", key=head.count)  # Excel writes semicolons in half of Europe
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=comma)
    header = [cell.strip().lower() for cell in next(rows, [])]
    if "id" not in header:
        raise WorkError(f"{name}:1: no column `id`; the first line names the columns: "
                        f"{','.join(COLUMNS)} (only id is needed)")
    problems, found = [], dict[str, Student]()
    problems += [f"{name}:1: the column {cell!r} stands twice" for cell in dict.fromkeys(header)
                 if cell and header.count(cell) > 1]
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        where = f"{name}:{rows.line_num}"
        if len(row) > len(header):
            problems.append(f"{where}: {len(row)} cells, but {len(header)} columns; quote cells with commas")
            continue
        values = dict(zip(header, (cell.strip() for cell in row), strict=False))
        student = Student(**{key: values.get(key, "") for key in COLUMNS})
        if not student.id:
            problems.append(f"{where}: no id")
        elif BAD.search(student.id):
            problems.append(f"{where}: the id {student.id!r} cannot name a folder; use letters, "
                            "digits, - _ . @")
        elif student.id in found:
            problems.append(f"{where}: the id {student.id} stands twice")
        found[student.id] = student
    if problems:
        raise WorkError("\n".join(problems))
    return list(found.values())

"""An instructor's term in one test: publish, release, submit, collect, grade, feedback, export, report.

The course is the tiny days of ``tests/days``; thirty students of many kinds hand in through a real
exchange, each as ``nbgrader submit`` does it.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import tiny
from test_nbgrader import COHORT, DAY, FULL, POINTS, scores_of

from ladder.cohort.export import export
from ladder.cohort.marks import read_marks
from ladder.cohort.report import codes

pytestmark = pytest.mark.slow

KINDS = [
    "perfect", "empty", "half", "partial", "other_way", "noisy", "colab", "own_call",
    "reordered", "same_cell_twice", "wrong_axis", "squared", "crossed", "forbidden", "prints",
    "check_replaced", "always_equal", "checks_deleted", "check_edited", "points_changed",
    "imports_solution", "raises", "syntax", "sys_exit", "os_exit", "malformed_display",
    "wrong_types", "nan", "essay", "tags_malformed",
]
LATE = {"half": 30, "noisy": 80}  # hours
ABSENT = ["away", "gone"]
NAMES = {"perfect": ("=HYPERLINK(1)", "O'Neil, \"Al\""), "half": ("小明", "王"), "noisy": ("🦉", "-Owl")}

STUDENTS = """
import json, sys
from pathlib import Path
from nbgrader.auth import Authenticator
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange.default import ExchangeFetchAssignment, ExchangeSubmit
from traitlets.config import Config

homes, exchange, course, day = sys.argv[1:5]
for student, notebook in json.load(sys.stdin).items():
    home = Path(homes) / student
    home.mkdir(parents=True)
    c = Config()
    c.CourseDirectory.course_id, c.CourseDirectory.root = course, str(home)
    c.Exchange.root, c.Exchange.assignment_dir, c.Exchange.cache = exchange, str(home), str(home / "cache")
    coursedir = CourseDirectory(config=c)
    coursedir.assignment_id, coursedir.student_id = day, student
    with_ = dict(coursedir=coursedir, authenticator=Authenticator(config=c), config=c)
    ExchangeFetchAssignment(**with_).start()
    (home / day / f"{day}.ipynb").write_text(json.dumps(notebook))
    ExchangeSubmit(**with_).start()
"""


def cohort_file(folder: Path) -> Path:
    """A cohort whose last day is due in an hour, by the clocks of a zone far from UTC."""
    due = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    rows = [["id", "first_name", "last_name", "email", "lms_user_id"]]
    for number, student in enumerate([*KINDS, *ABSENT]):
        first, last = NAMES.get(student, (student.title(), "Student"))
        rows.append([student, first, last, f"{student}@example.org", str(1000 + number)])
    with (folder / "students.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(rows)
    path = folder / "cohort.yaml"
    path.write_text(f"""
course: autumn
title: {{en: "Ladder, autumn", zh: "天梯，秋"}}
time_zone: Pacific/Chatham
start: {due.date() - dt.timedelta(days=9)}
days: [1, 2]
dates:
  2: {{due: "{due.isoformat()}"}}
late: {{per_day: 10, at_most: 50, closes_after: 3}}
students: students.csv
exchange: exchange
""", encoding="utf-8")
    return path


def command(words: list[str], cwd: Path, env: dict[str, str], codes: tuple[int, ...] = (0,)) -> str:
    answer = tiny.run(words, cwd, env)
    assert answer.returncode in codes, (words, answer.stdout[-2000:], answer.stderr[-4000:])
    return answer.stdout


def hand_in(folder: Path, course: Path, env: dict[str, str]) -> None:
    """Every student fetches the release and submits their work."""
    import subprocess

    release = json.loads((course / "release" / DAY / f"{DAY}.ipynb").read_text(encoding="utf-8"))
    work = json.dumps({student: COHORT[student].notebook(release) for student in KINDS})
    done = subprocess.run(
        [sys.executable, "-c", STUDENTS, folder / "homes", folder / "exchange", "autumn", DAY],
        input=work, text=True, env=env, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]


def make_late(course: Path) -> None:
    """What an exchange would have noted, had these been handed in after the due time."""
    for student, hours in LATE.items():
        at = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1 + hours)
        path = course / "submitted" / student / DAY / "timestamp.txt"
        path.write_text(at.strftime("%Y-%m-%d %H:%M:%S.%f UTC"), encoding="utf-8")


def test_a_term(tmp_path: Path) -> None:
    env = tiny.install(tmp_path / "site")
    cohort = cohort_file(tmp_path)
    said = command(["ladder", "--lang", "en", "publish", str(cohort)], tmp_path, env)
    course = tmp_path / "autumn"
    assert "2 days, 32 students" in said
    check_handout(course)

    command(["nbgrader", "release_assignment", DAY], course, env)
    hand_in(tmp_path, course, env)
    command(["nbgrader", "collect", DAY], course, env)
    assert {path.name for path in (course / "submitted").iterdir()} == set(KINDS)
    make_late(course)

    command(["ladder", "--lang", "en", "grade", DAY], course, env)
    scores = scores_of(course, DAY)
    expected = {student: {"why": 0.0} | COHORT[student].expected for student in KINDS}
    assert scores == expected

    total = sum(score for score in FULL.values())
    grade_by_hand(course)
    said = command(["ladder", "--lang", "en", "grade", DAY, "--force", "--students", "essay"], course, env)
    assert "1 graded" in said  # and the manual score stays, as the table below shows
    command(["nbgrader", "generate_feedback", DAY], course, env)
    page = (course / "feedback" / "essay" / DAY / f"{DAY}.html").read_text(encoding="utf-8")
    assert "A square is never negative" in page and "4 of 4 points" in page
    command(["nbgrader", "release_feedback", DAY], course, env)
    assert any((tmp_path / "exchange" / "autumn" / "feedback").iterdir())

    command(["ladder", "--lang", "en", "export"], course, env)
    data = (course / "grades-csv.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    plain = rows(data)
    row = {row["student_id"]: row for row in plain if row["day"] == DAY}
    assert float(row["perfect"]["score"]) == total and float(row["essay"]["score"]) == total + 1.5
    assert float(row["perfect"]["max_score"]) == sum(POINTS.values())
    half, noisy = (float(row[s]["raw_score"]) for s in ("half", "noisy"))
    assert float(row["half"]["late_penalty"]) == pytest.approx(0.2 * half, abs=0.01)
    assert float(row["noisy"]["score"]) == 0 and noisy == total  # closed after three days
    assert row["away"]["score"] == "0" and row["away"]["submitted_utc"] == ""
    marks = read_marks(course)
    canvas = rows(export(marks, "canvas", {}).data(bom=False))
    assert canvas[0]["Student"] == "    Points Possible"
    assert next(r for r in canvas if r["SIS Login ID"] == "perfect")["Student"] == "O'Neil, \"Al\", =HYPERLINK(1)"
    assert next(r for r in rows(export(marks, "moodle", {}).data(bom=False))
                if r["Username"] == "noisy")["Last name"] == "'-Owl"

    check_report(course, env)


def check_handout(course: Path) -> None:
    import zipfile

    with zipfile.ZipFile(course / "handout" / "autumn.zip") as handed:
        names = handed.namelist()
        assert f"autumn/work/{DAY}.ipynb" in names and "autumn/README.zh.md" in names
        wheel = next(name for name in names if name.endswith(".whl"))
        with zipfile.ZipFile(io.BytesIO(handed.read(wheel))) as inside:
            assert not [n for n in inside.namelist() if "/solutions/" in n and not n.endswith("__init__.py")]


def grade_by_hand(course: Path) -> None:
    """What the formgrader writes when a person grades one answer."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "autumn") as gradebook:
        grade = gradebook.find_grade("why", DAY, DAY, "essay")
        assert grade.needs_manual_grade
        grade.manual_score, grade.needs_manual_grade = 1.5, False
        comment = gradebook.find_comment("why", DAY, DAY, "essay")
        comment.manual_comment = "A square is never negative; why is the root not?"
        gradebook.db.commit()


def rows(data: bytes) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def check_report(course: Path, env: dict[str, str]) -> None:
    command(["ladder", "--lang", "en", "report"], course, env)
    page = (course / "report.html").read_text(encoding="utf-8")
    assert "Which axis runs **along** a row?" in page and "30 / 32" in page
    for student in ("perfect", "wrong_axis", "王", "HYPERLINK"):
        assert student not in page
    code = re.search(r'<th scope="row">(\w{4,})</th>', page)
    assert code is not None
    key = (course / ".ladder" / "report.key").read_bytes()
    assert code[1] in codes(read_marks(course).students, key).values()

"""Publishing a cohort, part by part: the plan, the roster, dates, late work, the learners' wheel."""

from __future__ import annotations

import ast
import csv
import datetime as dt
import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64decode
from pathlib import Path

import icalendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
import tiny
from test_nbgrader import RIGHT, Submission

from ladder import content, recorded, release
from ladder.build import secrets_of
from ladder.cohort import handout, publishing
from ladder.cohort.calendar import ics
from ladder.cohort.late import penalty
from ladder.cohort.plan import in_zone, openings, read_plan
from ladder.cohort.roster import parse_roster, read_roster
from ladder.cohort.wheel import (
    content_files,
    learner_grader,
    learner_lesson,
    wheel,
)
from ladder.curriculum import load_curriculum, load_roadmaps
from ladder.errors import CurriculumError, LessonError, WorkError
from ladder.judge import judge
from ladder.observe import observe, practice_seed
from ladder.paths import source_path
from ladder.versions import check_versions

CURRICULUM = load_curriculum()
BASE = "course: c\ntime_zone: Europe/Berlin\nstart: 2026-10-19\n"


def plan_of(folder: Path, text: str):
    path = folder / "cohort.yaml"
    path.write_text(text, encoding="utf-8")
    return read_plan(path, CURRICULUM)


# --- the plan -------------------------------------------------------------------------------------


def test_pace_weeks_holidays_and_explicit_dates(tmp_path):
    plan = plan_of(tmp_path, BASE + "weeks: [1]\nholidays: [2026-10-21]\n"
                   "pace: {due_at: 23:59, opens_at: 9:30, due_after: 3}\n"
                   "dates:\n  3: {due: 2026-11-01}\n  day04_layers_and_sgd: {opens: 2026-10-30 08:00}\n")
    assert [slot.day.number for slot in plan.slots] == [1, 2, 3, 4, 5, 6, 7]
    assert [f"{slot.opens:%m-%d %H:%M}" for slot in plan.slots] == [
        "10-19 09:30", "10-20 09:30", "10-22 09:30", "10-30 08:00", "10-26 09:30", "10-27 09:30",
        "10-28 09:30"]
    assert [f"{slot.due_utc:%m-%d %H:%M}" for slot in plan.slots[:4]] == [
        "10-22 21:59", "10-23 21:59", "11-01 22:59", "11-02 22:59"]  # summer time ends on 25 October


@pytest.mark.parametrize(("wall", "zone", "utc", "moved"), [
    ("2026-03-29 02:30", "Europe/Berlin", "2026-03-29 01:30", True),  # skipped in spring
    ("2026-10-25 02:30", "Europe/Berlin", "2026-10-25 01:30", False),  # twice in autumn: the later
    ("2026-07-01 23:59", "Asia/Shanghai", "2026-07-01 15:59", False),
    ("2026-07-01 23:59", "Pacific/Chatham", "2026-07-01 11:14", False),
])
def test_wall_clock_in_utc(wall, zone, utc, moved):
    moment, was_moved = in_zone(dt.datetime.fromisoformat(wall), zone)
    assert (f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M}", was_moved) == (utc, moved)


@given(st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2035, 1, 1)),
       st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai"]))
def test_a_clock_shows_what_was_written(wall, zone):
    moment, moved = in_zone(wall, zone)
    assert moved or moment.replace(tzinfo=None) == wall
    assert moment.replace(tzinfo=None) >= wall


@pytest.mark.parametrize(("text", "says"), [
    (BASE, "no days are chosen"),
    (BASE + "days: [1, 1]\n", ":4: days[1]: day01_matrix_calculus stands twice"),
    (BASE + "days:\n- 1\n- 99\n", ":6: days[1]: "),
    (BASE + "weeks: [99]\n", ":4: weeks[0]: week 99 (days 687 to 693) has no built day"),
    (BASE + "days: [1]\nlanguage: fr\n", ":5: language: "),
    (BASE + "days: [1]\nlate: {per_day: 400}\n", ":5: late.per_day: "),
    (BASE + "days: [1]\nsolutions: all\n", ":5: solutions: this key is not known"),
    (BASE + "days: [1]\ndates: {2: {due: 2026-12-01}}\n", ":5: dates[2]: day02_micrograd is not among"),
    (BASE + "days: [1]\ndates: {1: {due: 2026-10-01}}\n", "before it opens"),
    (BASE.replace("Berlin", "Berlni") + "days: [1]\n", ":2: time_zone: value error, no such time zone"),
    (BASE.replace("course: c", "course: ../x") + "days: [1]\n", ":1: course: "),
    ("start: 2026\n", "time_zone: this key is missing"),
    (BASE + "days: [1\n", "not valid YAML"),
])
def test_errors_name_the_line(tmp_path, text, says):
    with pytest.raises(CurriculumError) as error:
        plan_of(tmp_path, text)
    assert says in str(error.value)


def test_no_file_is_told(tmp_path):
    with pytest.raises(WorkError, match=r"docs/cohorts\.md"):
        read_plan(tmp_path / "cohort.yaml", CURRICULUM)


def test_openings_skip_other_weekdays(tmp_path):
    plan = plan_of(tmp_path, BASE + "days: [1]\npace: {weekdays: [tue, sat]}\n")
    days = openings(plan.cohort)
    assert [f"{next(days):%a %d}" for _ in range(3)] == ["Tue 20", "Sat 24", "Tue 27"]


# --- students, late work, calendar ----------------------------------------------------------------


def test_a_roster_from_excel(tmp_path):
    path = tmp_path / "s.csv"
    path.write_bytes("\ufeffID;First_Name;last_name\r\nann;Ann;\"O\"\"Neil; A\"\r\n\r\n小明;小明;王\r\n".encode())
    assert [(s.id, s.first_name, s.last_name) for s in read_roster(path)] == [
        ("ann", "Ann", 'O"Neil; A'), ("小明", "小明", "王")]


@pytest.mark.parametrize(("text", "says"), [
    ("name\nann\n", "s.csv:1: no column `id`"), ("", "no column `id`"),
    ("id,name\nann,A\nann,B\n", "s.csv:3: the id ann stands twice"),
    ("id\n../x\n", "s.csv:2: the id '../x' cannot name a folder"), ("id\na+b\n", "cannot name a folder"),
    ("id,email\n,x@y.z\n", "s.csv:2: no id"), ("id\nann,b\n", "s.csv:2: 2 cells, but 1 columns"),
])
def test_roster_errors_name_the_line(text, says):
    with pytest.raises(WorkError) as error:
        parse_roster(text, "s.csv")
    assert says in str(error.value)


def test_roster_in_another_encoding(tmp_path):
    path = tmp_path / "s.csv"
    path.write_bytes("id\n小明\n".encode("gbk"))
    with pytest.raises(WorkError, match="CSV UTF-8"):
        read_roster(path)


@pytest.mark.parametrize(("hours", "lost"), [
    (-5, 0), (0.2, 0), (1, 1), (24.4, 1), (25, 2), (100, 5), (24 * 6, 5), (24 * 7 + 1, 10)])
def test_what_lateness_costs(hours, lost):
    assert penalty(10.0, hours * 3600, 30, 10, 50, 7) == lost


@given(st.floats(0, 100), st.floats(0, 1e7), st.floats(0, 100), st.floats(0, 100))
def test_lateness_never_costs_more_than_the_score(score, seconds, per_day, at_most):
    assert 0 <= penalty(score, seconds, 0, per_day, at_most, None) <= round(score, 2) + 0.01


def test_calendar_file(tmp_path):
    plan = plan_of(tmp_path, BASE + "days: [1, 2]\ntitle: {en: Autumn, zh: 秋}\nlanguage: zh\n")
    data = ics(plan, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    calendar = icalendar.Calendar.from_ical(data)
    events = list(calendar.walk("VEVENT"))
    assert len({event["uid"] for event in events}) == 4
    due = next(e for e in events if e["uid"] == "day01_matrix_calculus-due@c.llm-ladder")
    assert due.decoded("dtstart") == dt.datetime(2026, 10, 26, 22, 59, tzinfo=dt.UTC)
    assert due["summary"].startswith("第 1 天截止") and calendar["x-wr-calname"] == "秋"
    page = handout.calendar_page(plan)
    assert "周一 2026-10-26 23:59" in page and not re.search(r"https?://", page)


# --- the learners' wheel --------------------------------------------------------------------------


@pytest.mark.parametrize("day", CURRICULUM.built_days, ids=lambda day: day.id)
def test_checks_in_a_release_give_nothing_away(day):
    stage = CURRICULUM.stage_of(day).id
    source = source_path("graders", stage, day.id).read_text(encoding="utf-8")
    made = learner_grader(source)
    tree = ast.parse(made)
    assert ".mistake(" not in made and not re.search(r"(?m)^@check_\w+\.hidden", made)
    checks = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert set(day.checks) <= checks
    names = [name for exercise in day.exercises for name in exercise.names]
    secrets = secrets_of(content.solution_source(stage, day.id), names)
    same = ast.unparse(ast.parse(source))  # a check may itself say what is expected; no more than that
    held, shown = (re.sub(r"\s+", "", text).replace('"', "'") for text in (same, made))
    assert not [secret for secret in secrets if secret in shown and secret not in held]
    lesson = source_path("stages", stage, day.id).read_text(encoding="utf-8")
    assert " model=" not in "".join(re.findall(r"(?m)^# %%.*$", learner_lesson(lesson)))


def test_other_days_are_planned_in_a_release(tmp_path):
    days = CURRICULUM.built_days[:2]
    for name, data in content_files(days, set(), CURRICULUM):
        assert not name.startswith(("stages/gates", "kernels/day", "solutions/stage1_foundation/day"))
        if name.endswith(".yaml"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
    cut = load_curriculum(tmp_path / "curriculum.yaml")  # as valid as the whole one
    assert [day.id for day in cut.built_days] == [day.id for day in days]
    assert len(load_roadmaps(cut, tmp_path)) == len(load_roadmaps())


@pytest.fixture
def as_release(tmp_path, monkeypatch):
    """Day 1 as a release has it: its recording instead of its solution."""
    day = CURRICULUM.built_days[0]
    checks = content.checks_of(CURRICULUM.stage_of(day).id, day.id)
    data = publishing.recording(tmp_path / "course", day, CURRICULUM)
    folder = tmp_path / "observations"
    folder.mkdir()
    (folder / f"{day.id}.json.gz").write_bytes(data)
    (folder / release.ABOUT).write_text(json.dumps({"versions": {day.id: {"check_x": "1"}}}))
    mistaken = {check.name: [*map(content.mistaken_objects, check.mistakes)] for check in checks.values()}
    live = {check.name: verdicts(check, mistaken[check.name]) for check in checks.values()}
    monkeypatch.setattr(release, "FOLDER", folder)
    monkeypatch.setattr(recorded, "source_path", lambda *parts: tmp_path / "nothing")
    for cached in (release.about, recorded._day, recorded.recorded):
        cached.cache_clear()
    for check in checks.values():
        monkeypatch.setattr(check, "mistakes", [])
    yield day, checks, mistaken, live
    for cached in (release.about, recorded._day, recorded.recorded):
        cached.cache_clear()


def verdicts(check, mistaken):
    """What the reference's and each mistake's objects get in practice, hints included."""
    seed = practice_seed(check)
    return [judge(check, observe(check, objects, seed), seed)
            for objects in [content.reference_objects(check), *mistaken]]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_recorded_observations_judge_as_the_reference_does(as_release):
    day, checks, mistaken, live = as_release
    for check in checks.values():
        again = verdicts(check, mistaken[check.name])
        assert again == live[check.name]
        assert again[0].passed and all(verdict.hint for verdict in again[1:])
    assert check_versions(day) == {"check_x": "1"}


def test_a_quiz_answer_is_kept_as_a_hash():
    from ladder.checks import check as make
    from ladder.checks import choice
    from ladder.observe import Observation, Run
    from ladder.text import Text

    def check_quiz(answer, rng):
        yield "which", answer, choice()

    quiz = make()(check_quiz)
    data = recorded.run_data(quiz, Run((Observation(Text("a", "a"), choice(), "the right one"),)))
    assert "the right one" not in json.dumps(data)
    seen = recorded.run_of(data).observations[0]
    assert seen.comparison.difference("the right one", seen.value) is None
    for wrong in ("another", None, 3, "the right one "):
        assert "is not the answer" in seen.comparison.difference(wrong, seen.value).en


def test_wheel_is_whole_and_the_same_each_time(tmp_path):
    day = CURRICULUM.built_days[0]
    made = [wheel([day], set(), {day.id: b"x"}, {"course": "c"}, CURRICULUM) for _ in range(2)]
    assert made[0] == made[1]
    name, data = made[0]
    assert re.fullmatch(r"llm_ladder-[0-9.]+\+r[0-9a-f]{10}-py3-none-any\.whl", name)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        names = file.namelist()
        record = next(n for n in names if n.endswith("/RECORD"))
        listed = {row[0]: row[1] for row in csv.reader(io.StringIO(file.read(record).decode()))}
        assert set(listed) == set(names)
        for entry, digest in listed.items():
            if entry != record:
                expected = urlsafe_b64decode(digest.removeprefix("sha256=") + "==")
                assert hashlib.sha256(file.read(entry)).digest() == expected
        metadata = file.read(next(n for n in names if n.endswith("/METADATA"))).decode()
        assert f"Version: {name.split('-')[1]}\n" in metadata
    assert [n for n in names if re.search(r"/(solutions|graders|stages)/\w+/day", n)] == [
        f"ladder/graders/stage1_foundation/{day.id}.py", f"ladder/stages/stage1_foundation/{day.id}.py",
        f"ladder/stages/stage1_foundation/{day.id}.ipynb",
        f"ladder/stages/stage1_foundation/{day.id}.zh.ipynb"]
    other = wheel([day], {day.id}, {day.id: b"x"}, {"course": "c"}, CURRICULUM)
    assert other[0] != name


# --- references of earlier days -------------------------------------------------------------------


@pytest.mark.parametrize(("rules", "when", "held", "told"), [
    ("{}", "2026-10-20", ["day01_matrix_calculus"], "day02_micrograd: 2026-11-01"),
    ("{}", "2026-11-05", ["day01_matrix_calculus", "day02_micrograd"], "day03_tensor_autograd: 2026-11-10"),
    ("{}", "2026-12-05", [d.id for d in CURRICULUM.days[:3]], ""),
    ("{earlier: always}", "2026-10-20", [d.id for d in CURRICULUM.days[:3]], ""),
    ("{earlier: never}", "2026-12-05", [], "day02_micrograd: None"),
    ("{solutions: after_due}", "2026-12-05",
     [d.id for d in CURRICULUM.days[:4]], ""),
])
def test_references_come_when_the_policy_says(tmp_path, rules, when, held, told):
    plan = plan_of(tmp_path, BASE + f"days: [2, 3, 4]\nrelease: {rules}\nlate: {{closes_after: 5}}\n"
                   "dates: {2: {due: 2026-10-27}, 3: {due: 2026-11-05}}\n")
    now = dt.datetime.fromisoformat(when).replace(tzinfo=dt.UTC)
    found, missing = publishing.open_references(plan, CURRICULUM, now)
    assert sorted(found) == held
    assert told in "; ".join(f"{slug}: {date}" for slug, date in missing.items())


def test_a_day_outside_the_course_has_no_due_date(tmp_path):
    plan = plan_of(tmp_path, BASE + "days: [4]\n")
    found, missing = publishing.open_references(plan, CURRICULUM, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    assert found == {day.id for day in CURRICULUM.days[:3]} and missing == {}


# --- a learner with the handout alone -------------------------------------------------------------


def write(path: Path, sources: dict[str, str]) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(Submission(sources, {}).notebook(notebook)), encoding="utf-8")


@pytest.mark.slow
def test_a_learner_gets_verdicts_from_the_handout_alone(tmp_path):
    """Unpack the zip, install its wheel alone, check a notebook that is right but for one mistake."""
    env = tiny.install(tmp_path / "site")
    (tmp_path / "cohort.yaml").write_text(
        f"course: small\ntime_zone: UTC\nstart: {dt.date.today()}\ndays: [1, 2]\n")
    done = tiny.run(["ladder", "--lang", "en", "publish", "cohort.yaml"], tmp_path, env)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "small" / "handout" / "small.zip") as file:
        file.extractall(tmp_path)
    folder = tmp_path / "small"
    installed = tmp_path / "learner"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile",
                    "--target", installed, *folder.glob("*.whl")], check=True)
    assert not [p for p in (installed / "ladder" / "solutions").rglob("*.py") if p.name != "__init__.py"]
    env |= {"PYTHONPATH": str(installed), "LADDER_WORK": str(folder / "work")}
    path = folder / "work" / "day02_pair.ipynb"
    write(path, RIGHT | {"mean": RIGHT["mean"].replace("axis=1", "axis=0")})
    answer = tiny.run(["ladder", "--lang", "en", "check", "2"], folder, env)
    assert "Which axis runs **along** a row?" in answer.stdout, answer.stdout + answer.stderr
    assert "✓ passed · 2/2 · check_norm" in answer.stdout and "needs a far machine" in answer.stdout
    assert "2 of 4 checks passed" in answer.stdout
    # Day 2 uses `line` of Day 1: one's own once it has passed, the reference only after the due date
    code = "from ladder.earlier.day01_line import line; print(line(1.0, 2.0, 3.0))"
    answer = tiny.run(["IPython", "-c", code], folder, env)
    assert "your course releases its reference after" in answer.stdout, answer.stdout + answer.stderr
    write(folder / "work" / "day01_line.ipynb", {"line": "def line(x, a, b):\n    return a * x + b\n"})
    answer = tiny.run(["ladder", "--lang", "en", "check", "1"], folder, env)
    assert "1 of 1 checks passed" in answer.stdout, answer.stdout + answer.stderr
    answer = tiny.run(["IPython", "-c", code], folder, env)
    assert "your own code, verified" in answer.stdout and "5.0" in answer.stdout
    for words, says in ((["solution", "1", "line"], "the solution of day01_line is not here"),
                        (["hint", "1", "line"], "line has no hints"), (["list"], "day01_line")):
        answer = tiny.run(["ladder", "--lang", "en", *words], folder, env)
        assert says in answer.stdout + answer.stderr


def test_a_check_that_reaches_for_answers_is_refused():
    with pytest.raises(LessonError, match=r"uses ladder\.kernels\.softmax"):
        learner_grader("from ladder.kernels.softmax import run\n\ndef check_a(f, rng):\n    yield 'a', run(f)\n")
    assert "kernels" not in learner_grader("import ladder.kernels.softmax as k\n\ndef check_a(f, rng):\n"
                                           "    yield 'a', f(1)\n")


# --- publishing again -----------------------------------------------------------------------------


def test_a_changed_configuration_is_kept(tmp_path):
    course = tmp_path / "c"
    course.mkdir()
    plan = plan_of(tmp_path, BASE + "days: [1]\nlate: {per_day: 10}\nexchange: there\n")
    assert publishing.write_config(course, plan) == []
    path = course / "nbgrader_config.py"
    assert f"c.Exchange.root = '{tmp_path / 'there'}'" in path.read_text()
    plan = plan_of(tmp_path, BASE + "days: [1]\nlate: {per_day: 20}\n")
    assert publishing.write_config(course, plan) == []  # ours, as it was: follows cohort.yaml
    assert "c.LatePolicy.per_day = 20.0" in path.read_text()
    path.write_text(path.read_text() + "# mine\n")
    plan = plan_of(tmp_path, BASE + "days: [1]\nlate: {per_day: 30}\n")
    note, = publishing.write_config(course, plan)
    assert "c.LatePolicy.per_day = 30.0" in note.en and "per_day = 20.0" in path.read_text()


def test_the_gradebook_follows_the_plan_and_loses_nobody(tmp_path):
    from ladder.cohort import book
    from ladder.cohort.marks import read_marks

    course = tmp_path / "c"
    course.mkdir()
    students = tmp_path / "students.csv"
    for text, due in (("id,last_name\nann,A\nbob,B\n", "2026-11-20"), ("id,last_name\nann,Ä\ncyd,C\n", "2026-12-01")):
        students.write_text(text, encoding="utf-8")
        plan = plan_of(tmp_path, BASE + f"days: [1]\nstudents: students.csv\ndates: {{1: {{due: {due}}}}}\n")
        publishing.write_config(course, plan)
        notes = publishing.enrol(course, plan, publishing.roster_of(plan))
    assert "bob" in notes[0].en and "keep their grades" in notes[0].en
    marks = read_marks(course)
    assert {(s.id, s.last_name) for s in marks.students} == {("ann", "Ä"), ("bob", "B"), ("cyd", "C")}
    assert marks.days[0].due == dt.datetime(2026, 12, 1, 22, 59, tzinfo=dt.UTC)
    assert book.backup(course, tmp_path / "saved") == tmp_path / "saved" / "gradebook.db"
    with pytest.raises(WorkError, match="is no course"):
        read_marks(tmp_path)


def test_a_release_does_not_publish(tmp_path, monkeypatch):
    plan = plan_of(tmp_path, BASE + "days: [1]\n")
    monkeypatch.setattr(publishing, "is_release", lambda: True)
    with pytest.raises(WorkError, match="publish from a full copy"):
        publishing.publish_cohort(plan, tmp_path / "c", CURRICULUM)
    assert not (tmp_path / "c").exists()

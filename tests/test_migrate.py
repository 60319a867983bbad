"""A published day changes while submissions are graded: what is said, refused, and kept."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
import tiny
from test_nbgrader import DAY, RIGHT, Submission, scores_of

from ladder.cohort.migrate import Cell, compared, scaled


def cell(name: str, points: float | None = 2.0, solution: bool = False, text: str = "0") -> Cell:
    return Cell(name, points is not None, solution, points, text, "code")


def cells(*found: Cell) -> dict[str, Cell]:
    return {one.name: one for one in found}


def test_what_changes():
    old = cells(cell("a"), cell("b"), cell("c"), cell("ex", None, True), cell("why", 2, True))
    new = cells(cell("a", 4), cell("b", text="1"), cell("d"), cell("ex", None, True), cell("why", 2))
    change = compared("day", old, new)
    assert change.points == {"a": (2, 4)} and change.texts == ("b",)
    assert set(change.removed) == {"c", "why"} and set(change.added) == {"d", "why"}
    assert any("--rename c=d" in line.en for line in change.lines())
    moved = compared("day", old, new, {"c": "d", "x": "y"})
    assert moved.renamed == {"c": "d"} and "c" not in moved.removed and "d" not in moved.added
    assert not compared("day", old, old)


@given(st.floats(0, 1), st.floats(0.5, 100), st.floats(0.5, 100))
def test_scaling_keeps_the_part(part, before, after):
    assert scaled(before, before, after) == after and scaled(0.0, before, after) == 0
    assert scaled(part * before, before, after) == pytest.approx(part * after, abs=1e-3)


def replaced(path: Path, **changes: str) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in changes.values():
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def revise(package: Path) -> None:
    """A new edition of Day 2: a check renamed, one worth more, one gone, one new, words changed."""
    stage = "stage1_foundation"
    replaced(package / "curriculum.yaml", a=("{check_norm: 2.5}", "{check_length: 2.5}"),
             b=("{check_add: 3}", "{check_add: 6}"),
             c=("""
    - id: far
      title: {en: "A far machine", zh: "远方的机器"}
      names: [far]
      checks: {check_far: 1}""", """
    - id: far
      title: {en: "Twice", zh: "两倍"}
      names: [far]
      checks: {check_twice: 1}"""))
    grader = package / "graders" / stage / f"{DAY}.py"
    replaced(grader, a=("check_norm", "check_length"), b=("check_far(far, rng)", "check_twice(far, rng)"),
             c=('    raise NotChecked(say("needs a far machine", "需要远方的机器"))\n    yield\n',
                '    yield "2 x", lambda: far(float(rng.normal()))\n'),
             d=("from ladder.checks import NotChecked, check, say", "from ladder.checks import check, say"))
    replaced(package / "stages" / stage / f"{DAY}.py", a=("check_norm", "check_length"),
             b=("check_far", "check_twice"), c=("Why is the length", "Explain why the length"))


@pytest.mark.slow
def test_a_revised_day_keeps_its_grades(tmp_path):
    env = tiny.install(tmp_path / "site")
    (tmp_path / "cohort.yaml").write_text("course: c\ntime_zone: UTC\nstart: 2030-01-01\ndays: [2]\n")

    def ladder(*words: str, code: int = 0) -> str:
        done = tiny.run(["ladder", "--lang", "en", *words], tmp_path, env)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def nbgrader(*words: str) -> None:
        done = tiny.run(["nbgrader", *words], course, env)
        assert done.returncode == 0, done.stderr[-4000:]

    course = tmp_path / "c"
    ladder("publish", "cohort.yaml")
    release = json.loads((course / "release" / DAY / f"{DAY}.ipynb").read_text(encoding="utf-8"))
    crossed = RIGHT["pair_add"].replace("self.a + other.a, self.b + other.b", "self.a + other.b, self.b + other.a")
    for student, sources in {"ann": RIGHT, "bob": RIGHT | {"pair_add": crossed}}.items():
        folder = course / "submitted" / student / DAY
        folder.mkdir(parents=True)
        (folder / f"{DAY}.ipynb").write_text(json.dumps(Submission(sources, {}).notebook(release)))
    nbgrader("autograde", DAY)
    before = scores_of(course, DAY)
    assert before["ann"]["check_norm"] == 2.5 and before["bob"]["check_add"] == 1.0
    with sqlite3.connect(course / "gradebook.db") as database:  # a person was generous to Bob
        database.execute("update grade set manual_score = 2 where auto_score = 1.0")

    revise(tmp_path / "site" / "ladder")
    held = (course / "source" / DAY / f"{DAY}.ipynb").read_bytes()
    said = ladder("publish", "cohort.yaml", code=2)
    for line in (f"{DAY} (2 graded submissions):", "--rename check_norm=check_length", "--migrate",
                 "check_add counts 6 points, was 3", "check_far is gone", "check_twice is new",
                 "why reads differently"):
        assert line in said, said
    assert scores_of(course, DAY) == before
    assert (course / "source" / DAY / f"{DAY}.ipynb").read_bytes() == held
    assert "Nothing was written" in ladder("publish", "cohort.yaml", "--dry-run")
    assert "check the spelling" in ladder("publish", "cohort.yaml", "--rename", "check_nrm=x", code=2)

    said = ladder("publish", "cohort.yaml", "--migrate", "--rename", "check_norm=check_length")
    after = scores_of(course, DAY)
    assert after == {
        "ann": {"check_row_mean": 4.0, "check_length": 2.5, "check_add": 6.0, "why": 0.0, "check_twice": None},
        "bob": {"check_row_mean": 4.0, "check_length": 2.5, "check_add": 2.0, "why": 0.0, "check_twice": None},
    }
    saved = next((course / ".ladder" / "migrations").iterdir())
    assert {g["name"] for g in json.loads((saved / "removed.json").read_text())} == {"check_far"}
    with sqlite3.connect(saved / "gradebook.db") as database:
        assert database.execute("select count(*) from grade").fetchone() == (10,)
    with sqlite3.connect(course / "gradebook.db") as database:
        manual = [row[0] for row in database.execute(
            "select manual_score from grade where manual_score is not null")]
    assert manual == [4.0]

    nbgrader("generate_feedback", DAY)  # of what was graded before the change
    nbgrader("autograde", DAY, "--force", "--student", "ann")
    again = scores_of(course, DAY)
    # the words of `why` are others now, so that what stands there is taken for an answer to read
    assert again["ann"] == after["ann"] | {"check_twice": 1.0, "why": None}
    assert again["bob"] == after["bob"]
    made = nbformat.read(course / "autograded" / "ann" / DAY / f"{DAY}.ipynb", as_version=4)
    order = [c.metadata.nbgrader.grade_id for c in made.cells if "nbgrader" in c.metadata]
    released = nbformat.read(course / "release" / DAY / f"{DAY}.ipynb", as_version=4)
    assert [n for n in order if n.startswith("check_")] == [
        c.metadata.nbgrader.grade_id for c in released.cells
        if c.metadata.get("nbgrader", {}).get("grade") and not c.metadata.nbgrader.solution]
    # a second time there is nothing to migrate
    assert "Nothing was written" in ladder("publish", "cohort.yaml", "--dry-run")
    ladder("publish", "cohort.yaml")


def test_a_failed_migration_is_undone(tmp_path, monkeypatch):
    from ladder.cohort import book, publishing
    from ladder.cohort.migrate import Change

    course = tmp_path / "c"
    source = course / "source" / "day" / "day.ipynb"
    source.parent.mkdir(parents=True)
    source.write_text("old")
    gradebook = course / "gradebook.db"
    with sqlite3.connect(gradebook) as database:
        database.execute("create table t (a)")
    monkeypatch.setattr(book, "database", lambda course: f"sqlite:///{gradebook}")
    with pytest.raises(RuntimeError), publishing.careful(course, [Change("day")]):
        source.write_text("new")
        with sqlite3.connect(gradebook) as database:
            database.execute("insert into t values (1)")
        raise RuntimeError
    assert source.read_text() == "old"
    with sqlite3.connect(gradebook) as database:
        assert database.execute("select count(*) from t").fetchone() == (0,)

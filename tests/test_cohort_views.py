"""What an instructor reads of a course: exported tables, the report, similar submissions."""

from __future__ import annotations

import csv
import datetime as dt
import io
import random
import re
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladder.cohort.export import export, guard, read_table, unguard, write_table
from ladder.cohort.marks import Assigned, Mark, Marks, Seen, Work
from ladder.cohort.report import boxes_of, codes, fitting_roadmap, full_name, page, report, stuck
from ladder.cohort.roster import Student
from ladder.cohort.similar import pairs, statements
from ladder.curriculum import load_curriculum, load_roadmaps
from ladder.errors import ContentError
from ladder.text import Text, say

NOW = dt.datetime(2026, 11, 3, 12, tzinfo=dt.UTC)
CURRICULUM = load_curriculum()
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ODD = st.sampled_from(["=1+1", "+49", "-5", "@SUM(A1)", "\t=x", "'quoted", "''", " =1", "a,b", 'say "hi"',
                       "line\nbreak", "\r", "🦉", "＝全角", "小明", "", "　+1"])


# --- export ---------------------------------------------------------------------------------------


@given(st.lists(st.lists(WORDS | ODD, min_size=1, max_size=5), max_size=6), st.booleans())
def test_tables_come_back_as_they_went(table, bom):
    data = (("\ufeff" if bom else "") + write_table(table)).encode()
    assert read_table(data) == [row if row != [""] else [""] for row in table]


@given(WORDS | ODD)
def test_no_text_is_a_formula(text):
    shown = guard(text)
    assert unguard(shown) == text
    assert not shown.lstrip().startswith(tuple("=+-@＝＋－＠")) and shown[:1] not in ("\t", "\r", "\n")


@given(st.floats(-1000, 1000))
def test_numbers_stay_numbers(value):
    cell = read_table(write_table([[value]]).encode())[0][0]
    assert float(cell) == pytest.approx(value, abs=1e-4) and "e" not in cell


def work(student: str, day: str, states: dict[str, tuple[str, float, Text | None]], penalty: float = 0.0,
         waiting: bool = False) -> Work:
    marks = {name: Mark(2 * share, 2.0, False) for name, (_, share, _) in states.items()}
    marks["why"] = Mark(0.0, 1.0, waiting)
    seen = {name: Seen(state, share, hint is not None or share > 0, hint)
            for name, (state, share, hint) in states.items()}
    return Work(student, day, NOW - dt.timedelta(days=1), penalty, marks, seen)


STUDENTS = (Student("ann", "Ann", "=O'Neil, \"A\"", "ann@x.org", "17"), Student("-bob", "", "", "", ""),
            Student("小明", "小明", "王 🦉", "m@x.org", ""))


@pytest.fixture
def marks() -> Marks:
    day = CURRICULUM.built_days[0].id
    ok, bad = ("passed", 1.0, None), ("failed", 0.25, say("Which axis?", "哪个轴？"))
    works = [work("ann", day, {"check_a": ok, "check_b": ok}), work("小明", day, {
        "check_a": ok, "check_b": bad}, penalty=0.5, waiting=True)]
    assigned = Assigned(day, {"check_a": 2.0, "check_b": 2.0, "why": 1.0}, NOW - dt.timedelta(days=2))
    return Marks(Text("C", "C"), "UTC", (assigned,), STUDENTS, {(w.student, w.day): w for w in works})


@pytest.mark.parametrize("format", ["csv", "canvas", "moodle"])
def test_each_format_is_whole(marks, format):
    done = export(marks, format, {marks.days[0].slug: 'Day 1: "matrices", 矩阵'})
    rows = read_table(done.data(bom=True))
    assert len({len(row) for row in rows}) == 1
    flat = [cell for row in rows for cell in row]
    assert "3.5" not in flat and "2" in flat  # 小明: 2 + 0.5 - 0.5
    raw = list(csv.reader(io.StringIO(done.text, newline="")))
    assert not [cell for row in raw[1:] for cell in row if cell[:1] in "=+-@" and cell]
    notes = " ".join(note.en for note in done.notes)
    assert "1 submissions wait" in notes and ("-bob" in notes) == (format != "csv")


def test_canvas_has_what_canvas_asks_for(marks):
    head, points, *students = read_table(export(marks, "canvas", {}).data(bom=False))
    assert head[:5] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    assert points[0] == "    Points Possible" and points[5:] == ["5"]
    assert students[0] == ["=O'Neil, \"A\", Ann", "17", "", "ann", "", "4"]
    assert students[1][5] == ""  # not handed in: no grade, so that none is overwritten by 0


# --- similarity -----------------------------------------------------------------------------------

RELEASE = {"ex": "def f(x):\n    raise NotImplementedError\n", "": ""}
ORIGINAL = """
def f(x):
    '''Mine.'''
    total, seen = 0, []
    for item in x:
        if item % 2 == 0 and item not in seen:
            total += item ** 2
            seen.append(item)
        elif item > 100:
            total -= item // 3
    return total / max(len(seen), 1)
"""
COPY = """
def f(values):  # I wrote this myself
    acc, done = 0, []
    for v in values:
        if (v % 2 == 0) and (v not in done):
            acc += v**2
            done.append(v)
        elif v > 100: acc -= v//3
    return acc/max(len(done), 1)
"""
OTHER = """
def f(x):
    import numpy as np
    x = np.unique(np.asarray(x))
    even, big = x[x % 2 == 0], x[(x % 2 == 1) & (x > 100)]
    return ((even**2).sum() - (big // 3).sum()) / max(even.size, 1)
"""


def test_renamed_and_reformatted_copies_are_alike():
    found = pairs({"a": {"ex": ORIGINAL}, "b": {"ex": COPY}, "c": {"ex": OTHER}}, RELEASE)
    assert [(p.one, p.other, p.alike, p.identical, p.cells) for p in found] == [("a", "b", 1.0, False, ("ex",))]
    assert statements(ORIGINAL) == statements(COPY)


def test_what_everyone_was_given_or_wrote_does_not_count():
    assert pairs({name: {"ex": ORIGINAL} for name in "ab"}, {"ex": ORIGINAL}) == []
    assert pairs({name: {"ex": ORIGINAL} for name in "abcdefgh"}, RELEASE) == []
    short = {"ex": "def f(x):\n    return x.mean(1)\n"}
    assert pairs({"a": short, "b": short}, RELEASE) == []


@pytest.mark.parametrize("source", ["def f(x:\n  return", "%%bash\nls", "\0", "(" * 5000, "x = 1\n" * 3000])
def test_any_text_can_be_compared(source):
    pairs({"a": {"ex": source}, "b": {"ex": source}, "c": {"": source}}, RELEASE)


# --- the report -----------------------------------------------------------------------------------


def invented(students: int = 34) -> Marks:
    """A class over the first built days: some fast, some slow, two known mistakes that many make."""
    random.seed(5)
    days = CURRICULUM.built_days[:7]
    start = dt.datetime(2026, 10, 19, 7, tzinfo=dt.UTC)
    assigned, works = [], {}
    people = tuple(Student(f"s{n:02}", f"First{n}", f"Last{n}") for n in range(students))
    for number, day in enumerate(days):
        opens = start + dt.timedelta(days=2 * number)
        due = opens + dt.timedelta(days=6, hours=15)
        points = day.checks | {w.id: w.points for w in day.written}
        assigned.append(Assigned(day.id, points, due, opens))
        for n, student in enumerate(people):
            if random.random() < 0.05 + 0.8 * (n / students) ** 3 * (number > 2) or opens > NOW or n == 33:
                continue
            skill = 1 - 0.75 * n / students
            marks, seen = {}, {}
            for k, (name, worth) in enumerate(day.checks.items()):
                ok = random.random() < skill + 0.25 - 0.02 * k
                hint = (say(f"Which axis runs `along` a row of {day.id}?", "哪个轴沿着一行？")
                        if not ok and k % 5 == 2 else None)
                share = 1.0 if ok else random.choice([0.0, 0.25, 0.5])
                state = "not_checked" if name.endswith("_gpu") else "passed" if ok else "failed"
                marks[name] = Mark(worth * share, worth)
                seen[name] = Seen(state, share, ok or share > 0 or hint is not None, hint)
            for w in day.written:
                marks[w.id] = Mark(0.0, w.points, number > 3)
            late = dt.timedelta(hours=random.choice([-40, -20, -3, -1, 5]))
            works[student.id, day.id] = Work(student.id, day.id, due + late, 0.0, marks, seen)
    return Marks(Text("LLM from scratch, autumn 2026", "从零开始的大模型，2026 秋"), "Europe/Berlin",
                 tuple(assigned), people, works)


def made(marks: Marks, names: bool = False, exercises: bool = False):
    roadmap = None if exercises else fitting_roadmap(marks, CURRICULUM, load_roadmaps())
    known = codes(marks.students, b"key")
    return report(marks, CURRICULUM, roadmap, full_name if names else lambda s: known[s.id], NOW)


def test_report_counts_what_there_is(marks):
    found = made(marks, exercises=True)
    assert [(w.hint.en, w.count, w.handed) for w in found.wrong] == [("Which axis?", 1, 2)]
    assert [(h.check, h.passed, h.handed) for h in found.hardest] == [("check_b", 1, 2)]
    assert (found.students, found.handed, found.waiting) == (3, 2, 1)
    assert found.days[0].state == "past" and found.days[0].handed == 2 and found.days[0].late == 2
    assert found.stuck[0].reasons[0].en == "has handed in nothing"


def test_codes_are_stable_and_say_nothing():
    people = [Student(f"s{n}") for n in range(500)]
    one, two = codes(people, b"k"), codes(people[:250], b"k")
    assert len(set(one.values())) == 500 and codes(people, b"other") != one
    assert all(one[s].startswith(code) or code.startswith(one[s]) for s, code in two.items())


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("exercises", [False, True])
def test_page_needs_nothing_else_and_names_nobody(language, exercises):
    text = page(made(invented(), exercises=exercises), language)
    assert not re.search(r"url\(|@import|https?://|<script|Last\d|\bs\d\d\b", text)
    assert "Last3" in page(made(invented(), names=True), language)


def test_page_of_an_empty_course_and_of_hostile_names(marks):
    empty = Marks(Text("<b>", "<b>"), "UTC", (), (), {})
    text = page(made(empty), "en")
    assert "&lt;b&gt;" in text and "Nothing to show yet" in text
    evil = Marks(marks.heading, "UTC", marks.days, (Student("<script>alert(1)</script>"),), {})
    assert "<script>" not in page(made(evil, names=True, exercises=True), "en")


def test_who_is_stuck_is_in_order():
    found = stuck(invented(), lambda student: student.id, NOW)
    assert found[0].label == "s33" and found[0].reasons[0].en == "has handed in nothing"
    assert found and "s00" not in [one.label for one in found]


def test_boxes_are_those_the_course_can_tick():
    marks = invented()
    published = {day.slug for day in marks.days}
    boxes = boxes_of(marks, CURRICULUM, fitting_roadmap(marks, CURRICULUM, load_roadmaps()))
    assert boxes and all(slug in published for box in boxes for slug, _ in box.checks)


@pytest.mark.browser
def test_page_in_a_browser(tmp_path):
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if binary is None:
        pytest.skip("no Chromium on this machine: sudo apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
    path = tmp_path / "report.html"
    path.write_text(page(made(invented()), "en"), encoding="utf-8")
    problems, requests = [], []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=binary, args=["--no-sandbox", "--disable-gpu", "--no-first-run",
                                          "--disable-background-networking"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.on("request", lambda r: requests.append(r.url))
        tab.on("pageerror", lambda e: problems.append(str(e)))
        tab.goto(path.as_uri())
        assert tab.locator(".map tbody tr").count() == 34
        for width in (1280, 900, 390):
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
        tab.set_viewport_size({"width": 1280, "height": 900})
        tab.screenshot(path=tmp_path / "report.png", full_page=True)
        tab.emulate_media(media="print")
        tab.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True, print_background=True)
        browser.close()
    assert problems == [] and [url for url in requests if url.startswith("http")] == []


def test_whose_code_it_is(tmp_path, monkeypatch, capsys, marks):
    import argparse

    from ladder.cohort import marks as reading
    from ladder.commands import report as command

    monkeypatch.setattr(reading, "read_marks", lambda course, verdicts=False: marks)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)

    def run(*words: str) -> int:
        args = parser.parse_args([str(tmp_path), *words])
        args.language = "en"
        return command.run(args)

    assert run("--roadmap", "none") == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Neil" not in page
    key = tmp_path / ".ladder" / "report.key"
    assert key.stat().st_mode & 0o077 == 0
    code = codes(marks.students, key.read_bytes())["ann"]
    assert run("--who", code.lower()) == 0 and "Neil" in capsys.readouterr().out
    assert run("--who", "NONE") == 1
    assert run("--names", "-o", str(tmp_path / "n.html")) == 0
    assert "Neil" in (tmp_path / "n.html").read_text(encoding="utf-8")
    with pytest.raises(ContentError, match="there is no roadmap"):
        run("--roadmap", "hardcor")


def test_similar_reads_a_course(tmp_path, capsys):
    import argparse
    import json

    from ladder.commands import similar as command

    day = CURRICULUM.built_days[0]

    def notebook(place: str, source: str) -> None:
        path = tmp_path / place / day.id / f"{day.id}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": source, "metadata": {
            "nbgrader": {"grade_id": "ex", "solution": True, "locked": False}}}]}) if source else "{")

    notebook("release", "def f(x):\n    raise NotImplementedError\n")
    for student, source in {"a": ORIGINAL, "b": COPY, "c": OTHER, "broken": ""}.items():
        notebook(f"submitted/{student}", source)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args(["1", "--course", str(tmp_path)])
    args.language = "en"
    assert command.run(args) == 0
    said = capsys.readouterr().out
    assert "100%  a and b" in said and "not a verdict" in said and "not read:" in said and "broken" in said

"""Broken submissions: repaired, told, graded by plain nbgrader, and nobody gains a point."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
import tiny
from broken import DAY, FULL, OTHER, RIGHT, cases, name_of, solved, source
from test_nbgrader import scores_of

from ladder.cohort.intake import ORIGINALS, intake, mended, plain_name, report, ungraded
from ladder.cohort.match import Release, release_of
from ladder.cohort.salvage import Unreadable, salvage
from ladder.errors import WorkError

pytestmark = pytest.mark.xdist_group("intake")
NAMES = sorted(cases({"cells": [{"metadata": {"nbgrader": {"grade_id": "mean"}}, "source": ""}]}, {}))


@dataclass
class Site:
    folder: Path
    env: dict[str, str]
    release: dict[str, Any]
    other: dict[str, Any]

    @property
    def course(self) -> Path:
        return self.folder / "course"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("intake")
    env = tiny.install(folder / "site")
    answer = tiny.run(["ladder", "publish", "course", "--days", "1", "2"], folder, env)
    assert answer.returncode == 0, answer.stderr
    books = [json.loads((folder / "course" / "release" / day / f"{day}.ipynb").read_text())
             for day in (DAY, OTHER)]
    return Site(folder, env, *books)


def hand_in(site: Site, course: Path, only: bool = False) -> None:
    """Every broken submission, and a good one."""
    for name, case in cases(site.release, site.other).items():
        if case.plain or not only:
            folder = course / "submitted" / name / DAY
            folder.mkdir(parents=True)
            case.make(solved(site.release), folder)
    good = course / "submitted" / "good" / DAY
    good.mkdir(parents=True)
    (good / f"{DAY}.ipynb").write_text(json.dumps(solved(site.release)))


@pytest.fixture(scope="module")
def plain(site: Site) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The whole cohort through plain `nbgrader autograde`, nothing else done before."""
    course = site.folder / "plain"
    shutil.copytree(site.course, course)
    hand_in(site, course)
    answer = tiny.run(["nbgrader", "autograde", DAY], course, site.env)
    return course, answer


@pytest.fixture(scope="module")
def taken(site: Site) -> tuple[Path, str]:
    """The whole cohort through `ladder intake`."""
    course = site.folder / "taken"
    shutil.copytree(site.course, course)
    hand_in(site, course)
    answer = tiny.run(["ladder", "--lang", "en", "intake", DAY], course, site.env)
    assert answer.returncode == 0, answer.stderr
    return course, answer.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_plain_autograde_gives_what_the_work_is_worth(site: Site, plain: Any, name: str) -> None:
    course, answer = plain
    case = cases(site.release, site.other)[name]
    if not case.plain:
        pytest.skip("nbgrader matches no notebook here; `ladder intake` does, see below")
    scores = scores_of(course, DAY)[name]
    if case.expected is None:
        assert set(scores.values()) == {None} or not scores, "an ungraded row"
        assert not (course / "autograded" / name / DAY / f"{DAY}.ipynb").exists()
        assert name in answer.stderr
    else:
        why = scores.pop("why")
        assert scores == {k: v for k, v in case.expected.items() if k != "why"}
        assert why in (None, 0.0)


@pytest.mark.slow
def test_the_good_one_is_not_touched(site: Site, plain: Any, taken: Any) -> None:
    for course in (plain[0], taken[0]):
        held = (course / "submitted" / "good" / DAY / f"{DAY}.ipynb").read_text()
        assert held == json.dumps(solved(site.release))
        assert not (course / ORIGINALS / "good").exists()
    assert {k: v for k, v in scores_of(plain[0], DAY)["good"].items() if k != "why"} == FULL


@pytest.mark.parametrize("name", NAMES)
def test_every_repair_is_told_and_the_original_kept(site: Site, taken: Any, name: str) -> None:
    course, output = taken
    case = cases(site.release, site.other)[name]
    mark = "✗" if case.expected is None else r"\+"
    assert re.search(rf"^{mark} {name}: .*{case.told}", output, re.MULTILINE), output
    kept = course / ORIGINALS / name / DAY / "1"
    before = site.folder / "before" / name / DAY
    before.mkdir(parents=True)
    case.make(solved(site.release), before)
    assert {path.name for path in kept.iterdir()} == {
        path.name for path in before.iterdir() if not path.is_fifo()}
    for path in before.iterdir():
        if path.is_file() and not path.is_symlink():
            assert (kept / path.name).read_bytes() == path.read_bytes()


def test_intake_and_plain_autograde_repair_alike(site: Site, plain: Any, taken: Any) -> None:
    for name, case in cases(site.release, site.other).items():
        one, two = (course / "submitted" / name / DAY for course in (plain[0], taken[0]))
        if case.plain:
            assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in two.iterdir()), name
        books = list(two.glob("*.ipynb"))
        assert [path.name for path in books] == [f"{DAY}.ipynb"] * (case.expected is not None), name
        for path in books:
            nbformat.validate(json.loads(path.read_text()))
            assert not case.plain or path.read_bytes() == (one / path.name).read_bytes(), name


@pytest.mark.slow
def test_files_that_nbgrader_does_not_see_are_graded_after_intake(site: Site, taken: Any) -> None:
    course, _ = taken
    answer = tiny.run(["nbgrader", "autograde", DAY, "--student=case_*"], course, site.env)
    assert answer.returncode == 0, answer.stderr[-2000:]
    scores = scores_of(course, DAY)
    for name in ("case_wrong", "case_text_file"):
        assert {k: v for k, v in scores[name].items() if k != "why"} == FULL


def test_a_second_intake_changes_nothing_and_tells_the_same(taken: Any) -> None:
    course, output = taken
    before = {path: path.read_bytes() for path in course.rglob("*.ipynb") if not path.is_symlink()}
    lines = intake(course, DAY)
    assert lines == report(course, DAY) and len({line.student for line in lines}) == len(NAMES)
    assert all(line.in_("en") in output for line in lines)
    assert all(line.text.zh and line.text.zh != line.text.en for line in lines)
    assert before == {path: path.read_bytes() for path in course.rglob("*.ipynb") if not path.is_symlink()}
    assert "of day01_line" in ungraded(course, DAY)["other_day"].en


def test_an_ungraded_row_stands_in_the_gradebook(site: Site, taken: Any) -> None:
    course, _ = taken
    scores = scores_of(course, DAY)
    for name, case in cases(site.release, site.other).items():
        if case.expected is None:
            assert set(scores[name].values()) == {None}, name


def test_intake_of_an_unpublished_day_says_what_to_do(site: Site) -> None:
    with pytest.raises(WorkError, match="publish day09_none first"):
        intake(site.course, "day09_none")


@pytest.mark.parametrize(("name", "plain"), [
    ("day03_x.ipynb", "day03_x"), ("Day03_X (12).ipynb.txt", "day03_x"), ("day03_x-Copy2.ipynb", "day03_x"),
    ("day03_x - copy.ipynb", "day03_x"), ("day03 x.ipynb", "day03_x"), ("day03_x-1.ipynb", "day03_x"),
    ("day03_x 的副本.ipynb", "day03_x"), ("ｄａｙ03_x.ipynb", "day03_x"), ("day03_x.ipynb~", "day03_x"),
])
def test_names_without_what_browsers_add(name: str, plain: str) -> None:
    assert plain_name(name) == plain


# --- any damage at all -----------------------------------------------------------------------------

QUICK = settings(max_examples=150, deadline=None, derandomize=True,
                 suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["grade_id", "points", "nbgrader", "tags", "x"]), inner, max_size=3),
                    max_leaves=6)
DAMAGE = st.lists(st.tuples(
    st.sampled_from(["drop", "copy", "move", "retype", "metadata", "nbgrader", "id", "unsource", "insert"]),
    st.integers(0, 40), st.integers(0, 40), JSON), max_size=12)


def damaged(book: dict[str, Any], damage: list[Any]) -> dict[str, Any]:
    book = copy.deepcopy(book)
    cells = book["cells"]
    for kind, i, j, value in damage:
        if not cells:
            break
        i, j = i % len(cells), j % len(cells)
        if kind == "drop":
            del cells[i]
        elif kind == "copy":
            cells.insert(j, copy.deepcopy(cells[i]))
        elif kind == "move":
            cells.insert(j, cells.pop(i))
        elif kind == "insert":
            cells.insert(j, value)
        elif isinstance(cells[i], dict):
            if kind == "retype":
                cells[i]["cell_type"] = ["code", "markdown", "raw", value][j % 4]
            elif kind == "nbgrader" and isinstance(cells[i].get("metadata"), dict):
                cells[i]["metadata"]["nbgrader"] = value
            elif kind in ("metadata", "id"):
                cells[i][kind] = value
            elif kind == "unsource":
                cells[i]["source"] = value
    return book


@pytest.fixture(scope="module")
def known(site: Site) -> Release:
    return release_of(site.release)


class TestAnyDamage:
    @QUICK
    @given(damage=DAMAGE)
    def test_cells_survive_as_they_were_written(self, site: Site, known: Release, damage: Any) -> None:
        book = damaged(solved(site.release), damage)
        text, _ = mended(json.dumps(book).encode(), DAY, known)
        made = nbformat.reads(text, as_version=4)
        nbformat.validate(made)
        held = "\n".join(cell.source for cell in made.cells)
        for one in book["cells"]:
            if isinstance(one, dict) and "cell_type" in one and isinstance(one.get("source"), (str, list)):
                theirs = source({"source": [p for p in one["source"] if isinstance(p, str)]})
                if theirs.strip() in map(str.strip, RIGHT.values()):
                    assert theirs.strip() in held
        named = [name_of(cell) for cell in made.cells if name_of(cell)]
        assert sorted(named) == sorted(known.names)
        for cell in made.cells:
            original = next((r for r in known.cells if r.name == name_of(cell)), None)
            if original is not None:
                assert cell.metadata == original.metadata and cell.cell_type == original.cell_type
                assert not original.locked or cell.source == original.source
            else:
                assert cell.metadata == {}

    @QUICK
    @given(damage=DAMAGE)
    def test_mending_again_changes_nothing(self, site: Site, known: Release, damage: Any) -> None:
        once, _ = mended(json.dumps(damaged(solved(site.release), damage)).encode(), DAY, known)
        again, repairs = mended(once.encode(), DAY, known)
        assert again == once and repairs == []

    @QUICK
    @given(at=st.integers(0, 10**6), length=st.integers(0, 400), by=st.binary(max_size=40))
    def test_damaged_bytes_are_read_or_refused(self, site: Site, known: Release, at: int, length: int,
                                               by: bytes) -> None:
        raw = json.dumps(solved(site.release), indent=1, ensure_ascii=False).encode()
        at %= len(raw)
        try:
            text, _ = mended(raw[:at] + by + raw[at + length:], DAY, known)
        except Unreadable as error:
            assert error.text.en and error.text.zh
        else:
            nbformat.validate(nbformat.reads(text, as_version=4))

    @QUICK
    @given(raw=st.binary(max_size=300))
    def test_noise_is_refused_with_a_reason(self, raw: bytes) -> None:
        with pytest.raises(Unreadable):
            salvage(raw)


def test_a_giant_is_moved_aside_unread(site: Site, tmp_path: Path) -> None:
    course = Path(shutil.copytree(site.course, tmp_path / "course"))
    folder = course / "submitted" / "giant" / DAY
    folder.mkdir(parents=True)
    with (folder / f"{DAY}.ipynb").open("wb") as file:
        file.truncate(2**40)  # sparse: a terabyte that takes no room
    (line,) = intake(course, DAY)
    assert line.kind == "ungraded" and "more than 256" in line.text.en
    assert (course / ORIGINALS / "giant" / DAY / "1" / f"{DAY}.ipynb").stat().st_size == 2**40
    assert not list(folder.iterdir())

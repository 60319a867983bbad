"""The parts of grading a cohort, each by itself: restore, scan, outputs, guard, judge."""

from __future__ import annotations

import subprocess
import sys

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.utils import determine_grade

from ladder.checks import check, exactly
from ladder.cohort.grading import Heard, result, score_of, verdict_of
from ladder.cohort.outputs import CLIPPED, Collector, clean, recleaned
from ladder.cohort.restore import Released, restored
from ladder.cohort.scan import intrusion
from ladder.curriculum import load_curriculum
from ladder.emission import emission, graded_seed
from ladder.errors import LessonError
from ladder.forbids import bindings, forbidden_use
from ladder.judge import FAILED, NOT_CHECKED, PASSED, Row, Verdict
from ladder.notebook import OBSERVATIONS
from ladder.text import Text


def released(name: str, **changes: object) -> Released:
    values = {"name": name, "cell_type": "code", "source": f"# {name}", "checksum": "0",
              "locked": False, "grade": False, "solution": True, "task": False, "points": None}
    return Released(**(values | changes))  # type: ignore[arg-type]


def check_cell(name: str, points: float = 2.0) -> Released:
    return released(name, locked=True, grade=True, solution=False, points=points)


def cell(name: str, source: str = "", **nbgrader: object) -> NotebookNode:
    return new_code_cell(source, metadata={"nbgrader": {"grade_id": name} | nbgrader, "tags": ["a"]})


class TestRestore:
    release = (released("setup", locked=True, solution=False), released("ex"), check_cell("check_ex"),
               released("last"))

    def test_nothing_of_a_learners_metadata_is_kept(self) -> None:
        made, repairs = restored(
            [cell("setup", "# setup"), cell("ex", "x = 1", grade=True, points=99),
             cell("check_ex", "# check_ex", points=-5, solution=True), cell("last")], self.release)
        assert [c.metadata.nbgrader.grade_id for c in made] == ["setup", "ex", "check_ex", "last"]
        assert made[1].metadata.nbgrader.grade is False and made[1].source == "x = 1"
        assert made[2].metadata.nbgrader.points == 2.0
        assert not any("tags" in c.metadata for c in made)
        assert repairs == []

    def test_missing_cells_come_back_in_their_places(self) -> None:
        made, repairs = restored([cell("ex", "x = 1"), new_code_cell("mine")], self.release)
        assert [c.metadata.get("nbgrader", {}).get("grade_id") for c in made] == [
            "setup", "ex", "check_ex", "last", None]
        assert made[2].source == "# check_ex" and len(repairs) == 1

    def test_nothing_left_at_all(self) -> None:
        made, _ = restored([], self.release)
        assert [c.source for c in made] == [f"# {r.name}" for r in self.release]

    def test_changed_locked_cells_and_foreign_shapes(self) -> None:
        strange = NotebookNode(cell_type="odd", metadata="none", source=5, id="a b")
        made, repairs = restored(
            [strange, cell("check_ex", "4.0"), cell("check_ex", "5.0"),
             new_markdown_cell("text", metadata={"nbgrader": {"grade_id": "ex"}})], self.release)
        assert made[1].cell_type == "raw" and made[1].source == ""
        first = next(c for c in made if c.source == "4.0")
        assert "nbgrader" not in first.metadata
        assert next(c for c in made if c.source == "text").cell_type == "code"
        assert any("more than once" in r.en for r in repairs)
        assert any("was changed" in r.en for r in repairs)
        assert len({c.id for c in made}) == len(made)
        nbformat_valid(made)


def nbformat_valid(cells: list[NotebookNode]) -> None:
    book = new_notebook(cells=cells)
    book.nbformat_minor = 5
    nbformat.validate(book)


class TestOutputs:
    @pytest.mark.parametrize("content", [
        {}, {"data": None}, {"data": []}, {"data": {"text/plain": 5}}, {"data": {7: "a"}},
        {"data": {"application/javascript": "alert(1)"}}, {"name": "stdout"}, {"text": ["a", 1]},
    ])
    @pytest.mark.parametrize("kind", ["display_data", "execute_result", "stream", "odd", None])
    def test_malformed_messages_leave_nothing(self, kind: object, content: dict) -> None:
        assert clean(kind, content) is None

    def test_what_is_kept_is_valid(self) -> None:
        collector = Collector([])
        collector.take("stream", {"name": 5, "text": "half \ud800"})
        collector.take("error", {"ename": None, "evalue": 4, "traceback": [1, "line"]})
        collector.take("execute_result", {"data": {"text/plain": ["4", ".0"]}, "execution_count": -3})
        collector.take("display_data", "nonsense")
        assert [o.output_type for o in collector.outputs] == ["stream", "error", "execute_result"]
        nbformat_valid([new_code_cell(outputs=recleaned(collector.outputs), id="a")])

    def test_a_flood_is_clipped(self) -> None:
        collector = Collector([], budget=1000)
        for _ in range(100):
            collector.take("stream", {"name": "stdout", "text": "x" * 100})
        assert len(collector.outputs) == 1 and collector.outputs[0].text.endswith(CLIPPED)
        assert len(collector.outputs[0].text) < 1200

    def test_observations_are_taken_apart(self) -> None:
        collector = Collector([])
        for number in range(5):
            collector.take("display_data", {"data": {OBSERVATIONS: number, "text/plain": "4.0"}})
        assert collector.outputs == [] and collector.emissions == [0, 1]

    def test_clear_output(self) -> None:
        collector = Collector([])
        for text in ("one", "two"):
            collector.take("clear_output", {"wait": True})
            collector.take("stream", {"name": "stdout", "text": text})
        assert [o.text for o in collector.outputs] == ["two"]


class TestScan:
    @pytest.mark.parametrize("source", [
        "from ladder.solutions.stage1_foundation.day01_x import f",
        "import ladder.judge as j", "from ladder import solutions", "from ladder import judge as j",
        "import ladder\nladder.solutions.stage1_foundation", "import ladder as l\nl.judge",
        "import importlib\nimportlib.import_module('ladder.solutions.stage1_foundation')",
        "from importlib import import_module as im\nim('l' + 'adder')",
        "__import__('ladder.' + x)", "import sys\nsys.meta_path.pop(0)",
        "from sys import meta_path", "import importlib.util", "import runpy",
        "open('/work/main/solutions/stage1_foundation/day01.py')",
        "!cat ../../solutions/stage1_foundation/day01.py", "%run -m ladder.solutions.a",
        "%%bash\ncat /x/ladder/solutions/a.py", "this is no Python: ladder.solutions",
    ])
    def test_found(self, source: str) -> None:
        assert intrusion([source]) is not None

    @pytest.mark.parametrize("source", [
        "from ladder.earlier.day02_micrograd import Value",
        "from ladder.graders.stage1_foundation.day01_x import check_f\ncheck_f(f)",
        "from ladder.notebook import method_of", "from ladder.data import load",
        "import sys\nif 'google.colab' in sys.modules: pass",
        "import importlib, numpy\nimportlib.reload(numpy)", "solutions = [1]\njudge = solutions",
        "def f():\n    '''Compared with ladder.solutions.'''\n", "# ladder.solutions\nx = 1",
        "%matplotlib inline\n!pip list", "def f(x:\n", "\0", "(" * 300, "__import__('math')",
    ])
    def test_let_pass(self, source: str) -> None:
        assert intrusion([source]) is None


class TestForbids:
    @pytest.mark.parametrize("cells", [
        ["import torch", "f = torch.softmax"],
        ["import torch as t", "g = lambda x: t.softmax(x, 0)", "def f(x):\n    return g(x)"],
        ["from torch import softmax as f"],
        ["import torch", "if True:\n    def f(x): return torch.softmax(x, 0)"],
        ["import torch", "class f:\n    pass", "f.g = torch.softmax"],
    ])
    def test_found(self, cells: list[str]) -> None:
        assert forbidden_use(bindings(cells), ["f"], ["torch.softmax"]) is not None

    @pytest.mark.parametrize("cells", [
        ["import torch", "z = torch.softmax(a, 0)", "def f(z):\n    return z + 1"],
        ["import torch", "f = torch.softmax", "def f(x):\n    return x"],
        ["import torch", "def other(x):\n    return torch.softmax(x, 0)", "def f(x):\n    return x"],
        ["def f(x:"], ["\0"],
    ])
    def test_let_pass(self, cells: list[str]) -> None:
        assert forbidden_use(bindings(cells), ["f"], ["torch.softmax"]) is None


@check()
def check_twice(twice, rng):
    """Twice a number."""
    yield "of 1", lambda: twice(1), exactly()
    yield "of 5", lambda: twice(5), exactly()
    yield "of a random number", lambda: twice(float(rng.normal()))


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ladder.judge.content.reference_objects", lambda check: [lambda x: 2 * x])
    monkeypatch.setattr("ladder.judge._references", {})


def sent(function: object, base: str = "b") -> Heard:
    return Heard((emission(check_twice, [function], graded_seed(check_twice, base)),))


@pytest.mark.usefixtures("reference")
class TestVerdict:
    def test_right_and_partly_right(self) -> None:
        assert verdict_of(check_twice, sent(lambda x: x + x), "b").state == PASSED
        partly = verdict_of(check_twice, sent(lambda x: 2 if x == 1 else 0), "b")
        assert partly.state == FAILED and score_of(partly, 2.0) == 0.67

    def test_another_runs_observations_do_not_do(self) -> None:
        old = sent(lambda x: 2 * x, base="yesterday")
        assert score_of(verdict_of(check_twice, old, "b"), 3.0) == 2.0

    @pytest.mark.parametrize("emissions", [
        (), (1, 2), (None,), ("passed",), ({"format": 1},), ([],),
        ({"format": 1, "check": check_twice.id, "observations": {}},),
        ({"format": 1, "check": check_twice.id, "observations": [7] * 3},),
        ({"format": 1, "check": "another.check", "observations": []},),
    ])
    def test_what_is_no_emission_scores_nothing(self, emissions: tuple) -> None:
        verdict = verdict_of(check_twice, Heard(emissions), "b")
        assert score_of(verdict, 3.0) == 0 and verdict.reason is not None and verdict.reason.zh

    def test_trouble_and_intrusion_score_nothing(self) -> None:
        fine = sent(lambda x: 2 * x)
        for heard, intruding in ((Heard(fine.emissions, Text("a", "b")), None),
                                 (fine, Text("c", "d"))):
            assert score_of(verdict_of(check_twice, heard, "b", intrusion=intruding), 3.0) == 0

    def test_an_error_of_ours_is_not_the_learners(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(x):
            raise ZeroDivisionError

        monkeypatch.setattr("ladder.judge.content.reference_objects", lambda check: [broken])
        with pytest.raises(LessonError):
            verdict_of(check_twice, sent(broken), "b")

    def test_a_broken_hint_costs_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*arguments: object) -> None:
            if arguments[-1] is check_twice.mistakes:
                raise ValueError

        monkeypatch.setattr("ladder.judge.matching_mistake", broken)
        verdict = verdict_of(check_twice, sent(lambda x: 2), "b")
        assert verdict.reason is None and score_of(verdict, 3.0) == 1.0


@pytest.mark.parametrize("points", [3.0, 0.335, 2.5, 1e-3])
@pytest.mark.parametrize("right", range(4))
def test_nbgrader_reads_exactly_our_score(points: float, right: int) -> None:
    rows = tuple(Row(Text("a", "b"), None if n < right else Text("c", "d")) for n in range(3))
    verdict = Verdict(check_twice.id, PASSED if right == 3 else FAILED, rows)
    made = new_code_cell(outputs=[result(verdict, check_twice, points, "en", None)])
    made.metadata.nbgrader = NotebookNode(grade=True, solution=False, points=points, grade_id="a")
    assert determine_grade(made) == (score_of(verdict, points), points)
    unchecked = Verdict(check_twice.id, NOT_CHECKED, rows, reason=Text("needs a GPU", "需要 GPU"))
    made.outputs = [result(unchecked, check_twice, points, "zh", 3)]
    assert determine_grade(made) == (0.0, points)
    assert "未检查" in made.outputs[0].data["text/html"]


def test_guard_refuses_the_day_and_lets_its_graders_in() -> None:
    """In a kernel's place: graders do without solutions, and only earlier days can be had."""
    days = [(stage.id, day.id) for stage in load_curriculum().stages for day in stage.days
            if day.built]
    code = f"""
import importlib, importlib.util
from ladder.cohort import guard
guard.install(["day01_matrix_calculus"])
for stage, day in {days!r}:
    if importlib.util.find_spec(f"ladder.graders.{{stage}}.{{day}}"):
        importlib.import_module(f"ladder.graders.{{stage}}.{{day}}")
    try:
        importlib.import_module(f"ladder.solutions.{{stage}}.{{day}}")
    except ModuleNotFoundError as error:
        print(day, "refused" if "graded run" in str(error) else error)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == [f"{day} refused" for _, day in days
                                          if day != "day01_matrix_calculus"]

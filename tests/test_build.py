"""Notebooks are a pure function of their sources, valid, stable, and hold no answer."""

import json
import os
import subprocess
import sys

import nbformat
import pytest

from ladder import build, paths
from ladder.errors import LessonError
from ladder.stub import HOLE
from tests import made_day
from tests.made_day import LESSON, SLUG, SOLUTION

ANSWER = "self.first_number, self.second_number = a, b"


@pytest.fixture
def made(monkeypatch, tmp_path):
    def use(**changed):
        curriculum = made_day.use(monkeypatch, tmp_path, **changed)
        return curriculum.day(SLUG), curriculum
    return use


def cells(text):
    return {cell["id"]: cell for cell in json.loads(text)["cells"]}


def source(cell):
    return "".join(cell["source"])


@pytest.mark.parametrize("solved", [False, True])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_notebooks_are_valid(made, language, solved):
    day, curriculum = made()
    text = build.build(day, language, solved=solved, curriculum=curriculum)
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    ids = [cell["id"] for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert ids[1:4] == ["setup", "ex-double", "check-double"]
    assert all(cell.get("outputs", []) == [] for cell in notebook.cells)
    assert notebook.metadata.ladder == {"day": SLUG, "language": language}
    assert (HOLE in text.replace('\\"', '"')) is not solved
    assert text.endswith("\n") and "\r" not in text


def test_the_cells(made):
    day, curriculum = made()
    en, zh = (cells(build.build(day, language, curriculum=curriculum)) for language in ("en", "zh"))
    assert list(en) == list(zh)
    assert source(en["ex-double"]) == f'def double(x):\n    """Twice ``x``."""\n    {HOLE}'
    assert '"""``x`` 的两倍。"""' in source(zh["ex-double"])
    assert source(en["ex-total"]).startswith("@method_of(Pair)\ndef total(self):")
    assert "total" not in source(en["ex-pair"])
    assert f'begin("{SLUG}", language="zh")' in source(zh["setup"])
    text = json.dumps(list(en.values()))
    assert "Multiply." not in text and "Because." not in text  # hints and model answers


def test_nbgrader_metadata(made):
    from nbgrader.validator import Validator  # noqa: F401  (the metadata is what nbgrader reads)

    day, curriculum = made()
    found = {cell["metadata"]["nbgrader"]["grade_id"]: cell["metadata"]["nbgrader"]
             for cell in cells(build.build(day, "en", curriculum=curriculum)).values()
             if cell["metadata"]}
    assert found["check_double"] == {"grade": True, "grade_id": "check_double", "locked": True,
                                     "points": 2, "schema_version": 3, "solution": False, "task": False}
    assert found["check_pair"]["points"] == 1.5
    assert found["double"]["solution"] and not found["double"]["grade"]
    assert found["why"]["solution"] and found["why"]["grade"] and found["why"]["points"] == 3
    assert found["setup"]["locked"]


def test_same_input_same_bytes_in_any_process(made, tmp_path):
    day, curriculum = made()
    here = build.build(day, "en", curriculum=curriculum)
    assert here == build.build(day, "en", curriculum=curriculum)
    code = ("import sys, pathlib; from ladder import paths; paths.PACKAGE = pathlib.Path(sys.argv[1]) / 'l'\n"
            "from ladder import build\nfrom ladder.curriculum import load_curriculum\n"
            "sys.stdout.reconfigure(encoding='utf-8')\n"
            "c = load_curriculum(); print(build.build(c.day('1'), 'en'), end='')")
    for seed in ("1", "2"):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=True,
                              env=os.environ | {"PYTHONHASHSEED": seed})
        assert done.stdout.decode() == here


def test_changing_one_cell_leaves_the_other_ids(made):
    day, curriculum = made()
    before = cells(build.build(day, "en", curriculum=curriculum))
    day, curriculum = made(lesson=LESSON.replace("# Doubling", "# Doubling numbers"))
    after = cells(build.build(day, "en", curriculum=curriculum))
    assert len(set(before) - set(after)) == 1


def test_equal_cells_have_different_ids(made):
    twice = LESSON.replace('print("given", np.arange(3))\n', 'print("given", np.arange(3))\n# %%\n' * 2)
    day, curriculum = made(lesson=twice.replace('# %%\n# %% ex', '# %% ex'))
    ids = list(cells(build.build(day, "en", curriculum=curriculum)))
    assert len([i for i in ids if i.startswith("given-")]) == 2


def test_write_stale_and_fresh(made):
    day, curriculum = made()
    assert len(build.stale(day, curriculum)) == 2
    assert len(build.write(day, curriculum)) == 2
    assert build.write(day, curriculum) == [] and build.stale(day, curriculum) == []
    path = build.notebook_path(day, "zh", curriculum)
    path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
    (problem,) = build.stale(day, curriculum)
    assert f"{SLUG}.zh.ipynb is stale; run `ladder build {SLUG}`" in problem


def test_no_leaks_and_parity_as_made(made):
    day, curriculum = made()
    assert build.leaks(day, curriculum) == []
    assert build.parity(day, curriculum) == []


@pytest.mark.parametrize("planted", [
    ("print(", f"class Q:\n    def f(self, a, b):\n        {ANSWER}\nprint("),
    ("print(", f"# {ANSWER}\nprint("),
    ("print(", "# self.first_number,\n# self.second_number = a, b\nprint("),
    ("print(", f'"""As in\n{ANSWER}"""\nprint('),
    ("print(", "y = [x * 2.0 + np.zeros_like(x, dtype=float) for x in ()]\nprint("),
    ("- one\n", f"- one, `{ANSWER}`\n"),
    ("- one\n", f"- one\n\n```python\n{ANSWER}\n```\n"),
    ("Why? ", "Why? Not since return  self.first_number + self.second_number. "),
    ("import numpy as np\n# %% ex", f"import numpy as np\n# {ANSWER}\n# %% ex"),
])
def test_leaks_are_found(made, planted):
    assert planted[0] in LESSON
    day, curriculum = made(lesson=LESSON.replace(*planted, 1))
    problems = build.leaks(day, curriculum)
    assert problems and all(SLUG in problem for problem in problems)


@pytest.mark.parametrize("planted", [("- 一\n", f"- 一，{ANSWER}\n"), ("的两倍。", "的两倍：x * 2.0 + np.zeros_like(x, dtype=float)。")])
def test_leaks_in_chinese_only_are_found(made, planted):
    day, curriculum = made(lesson=LESSON.replace(*planted, 1))
    problems = build.leaks(day, curriculum)
    assert problems and all("(zh)" in problem for problem in problems)


def test_leaks_see_through_quotes(made):
    day, curriculum = made(
        solution=SOLUTION.replace("return x * 2.0", 'table = {"factor": 2.0}\n    return x * table["factor"]'),
        lesson=LESSON.replace("- one\n", '- one: `table = {"factor": 2.0}`\n'))
    assert build.leaks(day, curriculum)


def test_a_docstring_that_tells_is_a_leak(made):
    day, curriculum = made(solution=SOLUTION.replace(
        "Keep both.", f"Keep both: {ANSWER}"))
    assert build.leaks(day, curriculum)


@pytest.mark.parametrize(("changed", "words"), [
    ({"lesson": LESSON.replace('exercise="pair"', 'exercise="pairs"')}, "exercise pair of curriculum.yaml stands 0"),
    ({"lesson": LESSON.replace("check_total", "check_sum")}, "check_total of curriculum.yaml stands 0 times"),
    ({"lesson": LESSON + '# %% exercise="more"\nfrom ladder.solutions.stage1_foundation.day01_made import double\n'},
     "the lesson has the exercise more, which curriculum.yaml does not list"),
    ({"lesson": LESSON + LESSON.split("# %% [markdown] written")[0].split("# %%\nprint")[0]}, "stands 2 times"),
    ({"lesson": LESSON.replace("# %% setup", "# %%")}, "setup.*found 0"),
    ({"lesson": LESSON + "# %% setup\nimport math\n"}, "setup.*found 2"),
    ({"lesson": LESSON.replace('hint="double"', 'hint="doubel"')}, "a hint is for 'doubel'"),
    ({"lesson": LESSON.replace('model="why"', 'model="what"')}, "a model is for 'what'"),
    ({"lesson": LESSON.replace('docstring="double"', 'docstring="doubel"')}, "does not define doubel"),
    ({"lesson": LESSON.replace('written="why"', 'written="how"')}, "written why"),
    ({"solution": SOLUTION.replace("def total", "def sum")}, "does not define Pair.total"),
])
def test_errors_say_what_to_do(made, changed, words):
    day, curriculum = made(**changed)
    with pytest.raises(LessonError, match=words):
        build.build(day, "en", curriculum=curriculum)


def test_a_day_without_lesson(made):
    day, curriculum = made()
    paths.source_path("stages", "stage1_foundation", SLUG).unlink()
    with pytest.raises(LessonError, match="no lesson yet: write"):
        build.build(day, "en", curriculum=curriculum)


def test_committed_notebooks_are_fresh_and_valid():
    from ladder.curriculum import load_curriculum

    for day in load_curriculum().built_days:
        for language in ("en", "zh"):
            path = build.notebook_path(day, language)
            if path.exists():
                nbformat.validate(nbformat.read(path, as_version=4))

"""A cohort graded by the stock nbgrader commands: each submission gets exactly its points.

The tiny days of ``tests/days`` carry the many submissions; ``test_nbgrader_days`` has the real days.
"""

from __future__ import annotations

import copy
import csv
import json
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import tiny

DAY = "day02_pair"
POINTS = {"check_row_mean": 4.0, "check_norm": 2.5, "check_add": 3.0, "check_far": 1.0, "why": 2.0}
FULL = {"check_row_mean": 4.0, "check_norm": 2.5, "check_add": 3.0, "check_far": 0.0}
NONE = dict.fromkeys(FULL, 0.0)

MEAN = "def row_mean(A):\n    return A.sum(axis=1) / A.shape[1]\n"
PAIR = (
    "class Pair:\n"
    "    def __init__(self, a, b):\n        self.a, self.b = a, b\n\n"
    "    def norm(self):\n        return np.sqrt(self.a**2 + self.b**2)\n"
)
ADD = (
    "@method_of(Pair)\n"
    "def __add__(self, other):\n    return Pair(self.a + other.a, self.b + other.b)\n"
)
FAR = "def far(x):\n    return 2 * x\n"
RIGHT = {"mean": MEAN, "pair": PAIR, "pair_add": ADD, "far": FAR}

Edit = Callable[[dict[str, Any]], None]


def named(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    return next(cell for cell in notebook["cells"]
                if cell["metadata"].get("nbgrader", {}).get("grade_id") == name)


def position(notebook: dict[str, Any], name: str) -> int:
    return notebook["cells"].index(named(notebook, name))


def code(source: str) -> dict[str, Any]:
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [],
            "source": source}


@dataclass
class Submission:
    """What a learner hands in and what it must get; ``says`` are patterns of its feedback."""

    sources: dict[str, str] | None
    expected: dict[str, float]
    says: tuple[str, ...] = ()
    edit: Edit | None = None

    def notebook(self, release: dict[str, Any]) -> dict[str, Any]:
        made = copy.deepcopy(release)
        for name, source in (self.sources or {}).items():
            named(made, name)["source"] = source
        if self.edit:
            self.edit(made)
        return made


def before(name: str, source: str) -> Edit:
    """A further cell of the learner's, before a named one."""
    return lambda nb: nb["cells"].insert(position(nb, name), code(source))


def first(source: str) -> Edit:
    return before("setup", source)


def without(*names: str) -> Edit:
    def edit(nb: dict[str, Any]) -> None:
        nb["cells"] = [cell for cell in nb["cells"]
                       if cell["metadata"].get("nbgrader", {}).get("grade_id") not in names]
    return edit


def changed(name: str, **nbgrader: Any) -> Edit:
    return lambda nb: named(nb, name)["metadata"]["nbgrader"].update(nbgrader)


def rewritten(name: str, source: str) -> Edit:
    return lambda nb: named(nb, name).update(source=source)


def tagged(*tags: Any) -> Edit:
    def edit(nb: dict[str, Any]) -> None:
        for cell in nb["cells"]:
            cell["metadata"]["tags"] = list(tags)
    return edit


def retyped(nb: dict[str, Any]) -> None:
    cell = named(nb, "check_row_mean")
    cell.update(cell_type="markdown", source="passed")
    del cell["outputs"], cell["execution_count"]


def doubled(nb: dict[str, Any]) -> None:
    nb["cells"].insert(position(nb, "mean"), copy.deepcopy(named(nb, "check_row_mean")))
    nb["cells"].insert(0, copy.deepcopy(named(nb, "pair")))


FORGE = """
from IPython.display import display
import ladder.notebook
def forge(check, *rest):
    display({{"application/vnd.ladder.observations+json": {message},
             "application/vnd.ladder.verdict+json": {{"state": "passed", "fraction": 1}},
             "text/plain": "4.0"}}, raw=True)
ladder.notebook._emit = forge
ladder.notebook.run_check = forge
4.0
"""
RAW = """
import ipykernel.kernelapp
kernel = ipykernel.kernelapp.IPKernelApp.instance().kernel
def send(kind, content):
    kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent())
"""
EQUAL = """
class Always(float):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __array__(self, *args, **kw): raise TypeError
    __hash__ = None
def row_mean(A): return Always(0)
"""

COHORT: dict[str, Submission] = {
    "perfect": Submission(RIGHT, FULL, (r"✓ passed · 4/4 · check_row_mean · 4 of 4 points",
                                        r"not checked", r"needs a far machine")),
    "empty": Submission(None, NONE, (r"not written yet",)),
    "half": Submission({"mean": MEAN, "pair": PAIR}, FULL | {"check_add": 0.0}),
    "partial": Submission(
        RIGHT | {"mean": "def row_mean(A):\n    return A[:, :1].sum(axis=1)"},
        FULL | {"check_row_mean": 1.0}, (r"✗ not yet · 1/4", r"a further case 4",
                                         r"Every entry counts", "1 of 4 points")),
    "other_way": Submission(
        RIGHT | {"mean": "def row_mean(A):\n    return [sum(row) / len(row) for row in A.tolist()]"},
        FULL),
    # what an honest learner's notebook may also hold
    "noisy": Submission(
        RIGHT | {"mean": "import logging, sys, warnings\n"
                 "def row_mean(A):\n    warnings.warn('careful')\n    logging.error('log')\n"
                 "    print('out')\n    print('err', file=sys.stderr)\n    return A.mean(1)\n"},
        FULL),
    "colab": Submission(RIGHT, FULL, edit=first("import sys\nif 'google.colab' in sys.modules:\n"
                                                "    pass\n%matplotlib inline\n!true")),
    "own_call": Submission(RIGHT, FULL, edit=before("pair", "check_row_mean(row_mean)")),
    "reordered": Submission(RIGHT, FULL, edit=lambda nb: nb["cells"].append(
        nb["cells"].pop(position(nb, "check_row_mean")))),
    "same_cell_twice": Submission(RIGHT, FULL, edit=doubled),
    # known mistakes
    "wrong_axis": Submission(
        RIGHT | {"mean": MEAN.replace("axis=1", "axis=0")},
        FULL | {"check_row_mean": 0.0}, (r"Which axis runs <b>along|Which axis runs \*\*along",)),
    "squared": Submission(
        RIGHT | {"pair": PAIR.replace("np.sqrt(", "(")}, FULL | {"check_norm": 0.0},
        (r"Is it squared still",)),
    "crossed": Submission(
        RIGHT | {"pair_add": ADD.replace("self.a + other.a, self.b + other.b",
                                         "self.a + other.b, self.b + other.a")},
        FULL | {"check_add": 1.0}, (r"Each entry with its own partner",)),
    # forbidden
    "forbidden": Submission(
        RIGHT | {"mean": "def row_mean(A):\n    return np.mean(A, axis=1)"},
        FULL | {"check_row_mean": 0.0}, (r"uses np\.mean, which this task forbids",)),
    "forbidden_alias": Submission(
        RIGHT | {"mean": "m = np.mean\nrow_mean = lambda A: m(A, axis=1)"},
        FULL | {"check_row_mean": 0.0}, (r"which this task forbids",)),
    "unused_forbidden": Submission(
        RIGHT, FULL, edit=before("pair", "np.mean([1, 2])\nA = np.mean([3.0])")),
    # forged
    "prints": Submission({"mean": "print(4.0)\n4.0"}, NONE,
                         (r"NameError: name (&#39;|')row_mean(&#39;|') is not defined",)),
    "check_replaced": Submission(
        None, NONE, edit=first("import builtins\nimport ladder.checks\n"
                               "ladder.checks.Check.__call__ = lambda self, *a: print(4.0)")),
    "emit_replaced": Submission(None, NONE, edit=first(FORGE.format(
        message='{"format": 1, "check": check.id, "observations": []}'))),
    "emits_numbers": Submission(None, NONE, edit=first(FORGE.format(
        message='{"format": 1, "check": check.id, "observations": [{"value": 0.0}] * 9}'))),
    "emits_garbage": Submission(None, NONE, (r"could not be read",), edit=first(FORGE.format(
        message='{"format": 7, "verdict": "passed", "score": 4}'))),
    "emits_wild": Submission(None, NONE, edit=first(FORGE.format(
        message='{"format": 1, "check": check.id, "observations": [{"value": {"array": {"dtype":'
                ' "float64", "precision": "x", "shape": [10**9], "data": ""}}},'
                ' {"failure": {"kind": 3, "bases": 4}}, {"value": {"int": "9" * 4000}}, {}]}'))),
    "emits_twice": Submission(
        RIGHT, NONE, (r"reported more than once",), edit=before("mean", (
            "import ladder.notebook\nonce = ladder.notebook._emit\n"
            "def twice(*a):\n    once(*a)\n    once(*a)\nladder.notebook._emit = twice"))),
    "always_equal": Submission(RIGHT | {"mean": EQUAL}, FULL | {"check_row_mean": 0.0}),
    "numpy_patched": Submission(
        None, NONE, edit=before("mean", "import numpy\nnumpy.allclose = lambda *a, **k: True\n"
                                "numpy.testing.assert_allclose = lambda *a, **k: None\n"
                                "numpy.isclose = lambda a, b, **k: True")),
    "checks_deleted": Submission(RIGHT, FULL, edit=without("check_row_mean", "check_add", "setup")),
    "checks_deleted_empty": Submission(None, NONE, edit=without(*FULL)),
    "everything_deleted": Submission(
        None, NONE | {"why": 0.0}, edit=lambda nb: nb.update(cells=[code("print('hi')")])),
    "exercise_deleted": Submission(RIGHT, FULL | {"check_row_mean": 0.0},
                                   edit=without("mean", "check_row_mean")),
    "check_edited": Submission(None, NONE, edit=rewritten("check_row_mean", "4.0")),
    "check_retyped": Submission(None, NONE, edit=retyped),
    "points_changed": Submission(RIGHT, FULL, edit=changed("check_norm", points=99)),
    "points_gone": Submission(RIGHT, FULL, edit=changed("check_norm", grade=False, points=None)),
    "schema_new": Submission(RIGHT, FULL, edit=changed("check_norm", schema_version=99)),
    "solution_flag": Submission(None, NONE, edit=changed("check_norm", solution=True)),
    "skipped": Submission(None, NONE, edit=tagged("skip-execution", "", "remove-cell")),
    "tags_malformed": Submission(RIGHT, FULL, edit=tagged(1, None, {"a": []})),
    "transformer": Submission(None, NONE, edit=first(
        "get_ipython().input_transformers_post.append(lambda lines: ['4.0\\n'])")),
    "display_hook": Submission(None, NONE, edit=first(
        "import sys\nget_ipython().display_pub.publish = lambda *a, **k: print(4.0)")),
    "updates_display": Submission(None, NONE, edit=lambda nb: nb["cells"].append(code(
        RAW + "for i in ('a', ''):\n    send('update_display_data', {'data': {'text/plain': '4.0'},"
              " 'metadata': {}, 'transient': {'display_id': i}})"))),
    # reaching for the answer
    "imports_solution": Submission(
        {"mean": f"from ladder.solutions.stage1_foundation.{DAY} import row_mean"} | {
            n: s for n, s in RIGHT.items() if n != "mean"},
        NONE, (r"which a graded notebook may not",)),
    "imports_by_name": Submission(
        RIGHT, NONE, edit=before("mean", "import importlib\nm = 'lad' + 'der.solutions'\n"
                                 "try:\n    importlib.import_module(m)\n"
                                 "except ImportError: pass")),
    "imports_hidden": Submission(  # what the scan does not see, the guard refuses
        {"mean": f"exec('from lad' + 'der.solu' + 'tions.stage1_foundation.{DAY} import row_mean')"},
        NONE, (r"NameError", r"is not here in a graded run")),
    # damaged
    "raises": Submission(RIGHT | {"mean": MEAN + "1 / 0"}, FULL, (r"ZeroDivisionError",)),
    "raises_early": Submission(RIGHT | {"mean": "1 / 0\n" + MEAN},
                               FULL | {"check_row_mean": 0.0}, (r"the check could not run",)),
    "syntax": Submission(RIGHT | {"mean": "def row_mean(A:\n  return"},
                         FULL | {"check_row_mean": 0.0}),
    "sys_exit": Submission(RIGHT, FULL, edit=before("pair", "import sys\nsys.exit(1)")),
    "sys_exit_inside": Submission(
        RIGHT | {"mean": "def row_mean(A):\n    raise SystemExit(3)"},
        FULL | {"check_row_mean": 0.0}),
    "os_exit": Submission(RIGHT, NONE | {"check_row_mean": 4.0},
                          (r"ended the Python process", r"not run: Python had stopped in cell"),
                          edit=before("pair", "import os\nos._exit(0)")),
    "loop": Submission(RIGHT | {"mean": "def row_mean(A):\n    while True: pass"},
                       FULL | {"check_row_mean": 0.0}, (r"took longer than 2 s",)),
    "loop_stubborn": Submission(
        RIGHT, NONE | {"check_row_mean": 4.0}, (r"could not be interrupted",),
        edit=before("pair", "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
                            "while True: pass")),
    "malformed_display": Submission(RIGHT, FULL, edit=before("pair", RAW + (
        "send('display_data', {'data': {'text/plain': 5, 'text/html': ['a', 3], 7: None}})\n"
        "send('display_data', {})\nsend('stream', {'name': 'stdout', 'text': 9})\n"
        "send('stream', {'name': 'weird', 'text': 'half \\ud800'})\n"
        "send('error', {'ename': 1, 'traceback': 'none'})\nsend('execute_result', {'data': []})\n"
        "send('nonsense', {'a': 1})\nsend('comm_open', {})\nsend('status', {})\n"
        "kernel.iopub_socket.send_multipart([b'x', b'<IDS|MSG>', b'', b'{', b'{', b'{', b'{'])"))),
    "nested_json": Submission(RIGHT, FULL, edit=before("pair", RAW + (
        "kernel.iopub_socket.send_multipart(kernel.session.serialize(kernel.session.msg("
        "'stream', {'name': 'stdout', 'text': 'a'}, parent=kernel.get_parent())))\n"
        "parts = kernel.session.serialize(kernel.session.msg('stream', {}, "
        "parent=kernel.get_parent()))\nparts[-1] = b'[' * 200000\n"
        "parts[2 if len(parts) > 6 else 1] = kernel.session.sign(parts[-4:])\n"
        "kernel.iopub_socket.send_multipart(parts)"))),
    "floods": Submission(RIGHT, FULL, (r"output clipped",), edit=before(
        "pair", "for i in range(60):\n    print('x' * 200_000)")),
    "surrogate": Submission(RIGHT, FULL, edit=before("pair", "# \ud800\nprint('\\ud800')")),
    "wrong_types": Submission(
        RIGHT | {"mean": "def row_mean(A):\n    return object()"},
        FULL | {"check_row_mean": 0.0}, (r"got an object of type object",)),
    "huge_value": Submission(
        RIGHT | {"mean": "def row_mean(A):\n    return np.zeros(2**26)"},
        FULL | {"check_row_mean": 0.0}, (r"larger than 32 MiB",)),
    "nan": Submission(RIGHT | {"mean": "def row_mean(A):\n    return A[:, 0] * np.nan"},
                      FULL | {"check_row_mean": 0.0}),
    "no_ids": Submission(RIGHT, FULL, edit=lambda nb: (
        nb.update(nbformat_minor=2), [cell.pop("id", None) for cell in nb["cells"]])),
    "essay": Submission(RIGHT, FULL | {"why": None}, edit=rewritten(
        "why", "Squares are not negative. <script>alert(1)</script>")),
}


@dataclass
class Graded:
    course: Path
    output: str
    scores: dict[str, dict[str, float | None]]

    def notebook(self, student: str) -> dict[str, Any]:
        path = self.course / "autograded" / student / DAY / f"{DAY}.ipynb"
        return json.loads(path.read_text(encoding="utf-8"))

    def feedback(self, student: str) -> str:
        path = self.course / "feedback" / student / DAY / f"{DAY}.html"
        return path.read_text(encoding="utf-8")


def scores_of(course: Path, assignment: str) -> dict[str, dict[str, float | None]]:
    """Every automatic score as it stands in the gradebook."""
    query = """
        select student.id, base_cell.name, grade.auto_score
        from grade
        join base_cell on grade.cell_id = base_cell.id
        join submitted_notebook on grade.notebook_id = submitted_notebook.id
        join submitted_assignment on submitted_notebook.assignment_id = submitted_assignment.id
        join assignment on submitted_assignment.assignment_id = assignment.id
        join student on submitted_assignment.student_id = student.id
        where assignment.name = ?
    """
    found: dict[str, dict[str, float | None]] = {}
    with sqlite3.connect(course / "gradebook.db") as database:
        for student, cell, score in database.execute(query, [assignment]):
            found.setdefault(student, {})[cell] = score
    return found


# One worker: the cohort of 60 submissions is graded once for all tests.
pytestmark = pytest.mark.xdist_group("nbgrader")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("tiny")
    return folder, tiny.install(folder / "site")


def publish(folder: Path, env: dict[str, str], *arguments: str) -> Any:
    return tiny.run(["ladder", "--lang", "en", "publish", *arguments], folder, env)


@pytest.fixture(scope="session")
def published(site: tuple[Path, dict[str, str]]) -> Path:
    folder, env = site
    answer = publish(folder, env, "course", "--days", "1", "2")
    assert answer.returncode == 0, answer.stderr
    return folder / "course"


@pytest.fixture(scope="session")
def graded(published: Path, site: tuple[Path, dict[str, str]]) -> Graded:
    """The whole cohort through the stock commands, each run once."""
    _, env = site
    course = published
    release = json.loads((course / "release" / DAY / f"{DAY}.ipynb").read_text(encoding="utf-8"))
    for student, submission in COHORT.items():
        folder = course / "submitted" / student / DAY
        folder.mkdir(parents=True)
        (folder / f"{DAY}.ipynb").write_text(json.dumps(submission.notebook(release)),
                                             encoding="utf-8")
    config = course / "nbgrader_config.py"
    config.write_text(config.read_text().replace("JudgeExecute.timeout = 60",
                                                 "JudgeExecute.timeout = 2"))
    output = ""
    for command in (["autograde", DAY], ["generate_feedback", DAY], ["export"]):
        answer = tiny.run(["nbgrader", *command], course, env)
        output += answer.stdout + answer.stderr
        assert answer.returncode == 0, output[-5000:]
    return Graded(course, output, scores_of(course, DAY))


def test_release_is_what_was_built_and_holds_no_solution(published: Path) -> None:
    text = (published / "release" / DAY / f"{DAY}.ipynb").read_text(encoding="utf-8")
    assert "A.sum" not in text and "np.sqrt" not in text and "ladder.solutions" not in text
    assert text.count("NotImplementedError") == 5
    config = (published / "nbgrader_config.py").read_text()
    assert str(published) not in config and "import" not in re.sub(r"#.*|\"[^\"]*\"", "", config)


def test_release_can_be_made_again_by_the_stock_command(
    published: Path, site: tuple[Path, dict[str, str]]
) -> None:
    path = published / "release" / "day01_line" / "day01_line.ipynb"
    before_ = path.read_text()
    answer = tiny.run(["nbgrader", "generate_assignment", "day01_line", "--force"], published, site[1])
    assert answer.returncode == 0, answer.stderr
    assert path.read_text() == before_


def test_publishing_changed_cells_is_refused(site: tuple[Path, dict[str, str]]) -> None:
    folder, env = site
    assert publish(folder, env, "again", "--days", "1").returncode == 0
    source = folder / "again" / "source" / "day01_line" / "day01_line.ipynb"
    assert publish(folder, env, "again", "--days", "1").returncode == 0
    changed_ = json.loads(source.read_text())
    named(changed_, "check_line")["metadata"]["nbgrader"]["points"] = 7
    source.write_text(json.dumps(changed_))
    answer = publish(folder, env, "again", "--days", "1")
    assert answer.returncode == 2
    assert "check_line is different" in answer.stderr and "--force" in answer.stderr
    assert json.loads(source.read_text()) == changed_
    config = folder / "again" / "nbgrader_config.py"
    config.write_text(config.read_text() + "# mine\n")
    answer = publish(folder, env, "again", "--days", "1", "--force")
    assert answer.returncode == 0 and "kept" in answer.stdout
    assert config.read_text().endswith("# mine\n")
    assert json.loads(source.read_text()) != changed_


@pytest.mark.slow
@pytest.mark.parametrize("student", COHORT)
def test_each_submission_gets_exactly_its_points(graded: Graded, student: str) -> None:
    submission = COHORT[student]
    assert graded.scores[student] == {"why": 0.0} | submission.expected
    page = graded.feedback(student)
    for pattern in submission.says:
        assert re.search(pattern, page), f"{pattern} is not in the feedback of {student}"


@pytest.mark.slow
def test_whole_cohort_is_exported(graded: Graded) -> None:
    with (graded.course / "grades.csv").open() as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file) if row["assignment"] == DAY}
    assert set(rows) == set(COHORT)
    for student, submission in COHORT.items():
        total = sum(score or 0 for score in submission.expected.values())
        assert float(rows[student]["score"]) == pytest.approx(total), student
        assert float(rows[student]["max_score"]) == sum(POINTS.values())


@pytest.mark.slow
@pytest.mark.parametrize("student", COHORT)
def test_feedback_gives_nothing_away(graded: Graded, student: str) -> None:
    page = graded.feedback(student)
    assert "secret-large-offset" not in page and "31415" not in page
    outputs = [cell["outputs"] for cell in graded.notebook(student)["cells"] if "outputs" in cell]
    assert "vnd.ladder.observations" not in json.dumps(outputs)
    assert "ladder/judge.py" not in page and "cohort/grading.py" not in page
    if not (COHORT[student].sources or {}).get("pair"):
        assert "np.sqrt" not in page and "self.a**2" not in page


@pytest.mark.slow
def test_one_seed_for_the_cohort(graded: Graded) -> None:
    seeds = {graded.notebook(student)["metadata"]["ladder"]["seed"] for student in COHORT}
    assert len(seeds) == 1


@pytest.mark.slow
def test_no_process_is_left(graded: Graded) -> None:
    left = [path for path in Path("/proc").glob("[0-9]*/cwd")
            if _link(path).startswith(str(graded.course))] if Path("/proc").is_dir() else []
    assert not left


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


@pytest.mark.slow
def test_chinese_course(site: tuple[Path, dict[str, str]]) -> None:
    folder, env = site
    assert publish(folder, env, "kecheng", "--days", "2", "--language", "zh").returncode == 0
    course = folder / "kecheng"
    target = course / "submitted" / "xiaoming" / DAY
    target.mkdir(parents=True)
    shutil.copy(course / "release" / DAY / f"{DAY}.ipynb", target)
    for command in ("autograde", "generate_feedback"):
        answer = tiny.run(["nbgrader", command, DAY], course, env)
        assert answer.returncode == 0, answer.stderr
    page = (course / "feedback" / "xiaoming" / DAY / f"{DAY}.html").read_text(encoding="utf-8")
    assert "未通过" in page and "还没有写" in page and "得分 0/4" in page and "需要远方的机器" in page

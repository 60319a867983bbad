"""A kernel as an exercise: practised in a cell, proved by its mistakes, graded by the stock nbgrader."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="NOT CHECKED: triton is not installed; `make triton` (no GPU is needed)")
sys.path.insert(0, str(Path(__file__).parent))
import tiny
from test_nbgrader import named, scores_of

from ladder.forbids import KERNEL, bindings, forbidden_use

DAYS = Path(__file__).parent / "kernel_days"
DAY = "day01_vector_add"
pytestmark = pytest.mark.xdist_group("kernel_exercise")

SOURCE = (DAYS / "solutions" / "stage1_foundation" / f"{DAY}.py").read_text().split("@triton.jit")[1].split("\n\n\n")[0]
RIGHT = "@triton.jit" + SOURCE
STUDENTS = {  # student: (the exercise's cell, points of check_add, of check_add_compiled, what its feedback says)
    "ada": (RIGHT, 4.0, 2.0, ""),
    "bob": (RIGHT.replace("offsets < n", "offsets <= n"), 4.0 * 2 / 5, 0.0,  # it ends inside a vector: no wide loads
            "1 of 2 active lanes; nearest argument x_ptr[1], valid 0..0; program (0,0,0); line 6"),
    "eve": ("class Fake:\n    def __getitem__(self, grid):\n"
            "        return lambda x, y, out, *rest, **named: torch.add(x, y, out=out)\nadd_kernel = Fake()\n",
            0.0, 0.0, "add_kernel is not a @triton.jit function"),
    "mal": ("import ladder.graders.stage1_foundation.day01_vector_add as g\n" + RIGHT.replace("x + y", "x")
            + "\ng.strict = lambda launcher, x, y, **named: x + y\n", 0.0, 0.0, "uses g.strict"),
    "zed": ("import ladder.graders.stage1_foundation.day01_vector_add as g\n" + RIGHT.replace("x + y", "x")  # unseen by
            + "\ntype(g).__setattr__(g, 'strict', lambda launcher, x, y, **named: x + y)\n"  # the fence, and useless:
            + "type(g).__setattr__(g, 'moved', lambda *a, **named: {'sector_use': 1.0})\n",   # not where kernels run
            4.0 / 5, 2.0, "differs"),
    "fay": ("import torch as t\n" + RIGHT.replace("y_ptr + offsets", "y_ptr + where(offsets)") + "\n@triton.jit\n"
            "def where(offsets):\n    t.cuda.empty_cache()\n    return offsets\n", 0.0, 0.0,
            "where uses torch.cuda.empty_cache"),
}


REACHES = ["g.strict = 1", "setattr(g, 'strict', 1)", "del g.strict", "import gc", "exec('1')",
           "g.check_add.observe.__globals__['strict'] = 1", "import sys\nsys.modules['x'].y = 1",
           "from ladder.kernel_judge import strict as s", "def f():\n    g.a.b = 1", "from unittest.mock import patch",
           "add_kernel = torch.add", "scope = add_kernel.get_capture_scope()", "(i for i in [1]).gi_frame.f_builtins",
           "@triton.heuristics({'n': lambda args: triton.runtime})\n" + RIGHT,
           "def jit(kernel):\n    return {(1,): print}\n@jit\n" + RIGHT.removeprefix("@triton.jit\n")]


@pytest.mark.parametrize("line", REACHES)
def test_the_fence_sees_what_reaches_into_the_judge(line):
    cells = ["import torch, triton\nimport triton.language as tl", RIGHT, "import ladder.graders.x as g"]
    assert forbidden_use(bindings(cells), ["add_kernel"], (KERNEL,)) is None
    assert forbidden_use(bindings([*cells, line]), ["add_kernel"], (KERNEL,)) is not None


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    return folder, tiny.install(folder / "site", DAYS)


def test_graded_by_the_stock_nbgrader(site):
    folder, env = site
    for command in (["ladder", "build"], ["ladder", "--lang", "en", "publish", "course", "--days", "1"]):
        done = tiny.run(command, folder, env)
        assert done.returncode == 0, done.stderr
    course = folder / "course"
    release = json.loads((course / "release" / DAY / f"{DAY}.ipynb").read_text())
    assert 'tl.static_assert(False, "your code here")' in "".join(named(release, "add")["source"])
    for student, (source, *_) in STUDENTS.items():
        made = json.loads(json.dumps(release))
        if source is not None:
            named(made, "add")["source"] = source
        path = course / "submitted" / student / DAY / f"{DAY}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(made))
    done = tiny.run(["nbgrader", "autograde", DAY], course, env)
    assert done.returncode == 0, done.stdout + done.stderr
    scores = scores_of(course, DAY)
    for student, (_, add, compiled, says) in STUDENTS.items():
        text = (course / "autograded" / student / DAY / f"{DAY}.ipynb").read_text()
        assert scores[student]["check_add"] == pytest.approx(add), text
        assert scores[student]["check_add_compiled"] == pytest.approx(compiled), text
        assert says in text, text


WITHOUT = """import importlib.abc, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "triton":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def test_without_triton_a_kernel_is_not_checked(site):
    """The notebook's cells run; the verdict, the log and the report say not checked, and not failed."""
    folder, env = site
    blocked = folder / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(WITHOUT)
    env = env | {"PYTHONPATH": f"{blocked}{os.pathsep}{env['PYTHONPATH']}"}
    course = folder / "course"
    shutil.rmtree(course / "autograded")
    done = tiny.run(["nbgrader", "autograde", DAY, "--student", "ada"], course, env)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (course / "autograded" / "ada" / DAY / f"{DAY}.ipynb").read_text()
    assert text.count("needs Triton") >= 2 and "ModuleNotFoundError" not in text
    assert text.count('"state": "not_checked"') == 2 and '"state": "failed"' not in text
    assert "check_add NOT CHECKED, so without points: needs Triton" in done.stderr

"""What a graded process may see, and what crosses its border."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ladder.cohort.execute import files_of, links_in
from ladder.cohort.jobs import Heard, Job, Limits, Ran
from ladder.cohort.needs import imports_of
from ladder.cohort.view import content_files, view_of, without_mistakes
from ladder.curriculum import Day, load_curriculum
from ladder.paths import content_root, source_path
from ladder.text import say

CURRICULUM = load_curriculum()
DAYS = CURRICULUM.built_days


@pytest.mark.parametrize("day", DAYS, ids=lambda day: day.id)
def test_neither_solution_nor_mistakes_are_shown(day: Day) -> None:
    stage = CURRICULUM.stage_of(day).id
    needs = CURRICULUM.all_needs(day)
    before = needs & {other.id for other in DAYS}  # a day may need one that is not built yet
    files = content_files(day.id, needs)
    assert source_path("solutions", stage, day.id) not in files
    assert {path.stem for path in files if "solutions" in path.parts and path.stem.startswith("day")} == before
    grader = source_path("graders", stage, day.id)
    whole, shown = grader.read_text("utf-8"), files[grader]
    assert ".mistake(" not in shown and shown.count("\n") == whole.count("\n")
    names = [node.name for node in ast.parse(shown).body if isinstance(node, ast.FunctionDef)]
    assert set(day.checks) <= set(names)
    assert not any(path.is_relative_to(content_root() / "stages") for path in files)


def test_lessons_tests_and_homes_are_not_shown() -> None:
    view = view_of("stage1_foundation", DAYS[0].id, ())
    root = content_root()
    for hidden in ("stages", "tests", "work", ".git"):
        path = str(root / hidden)
        assert path in view.covered or not any(path.startswith(shown) for shown in view.shown)
    assert not {"/", "/root", "/home", "/tmp", "/etc", "/var"} & set(view.shown)


def test_mistakes_of_every_form_go() -> None:
    source = ("@check()\ndef check_a(a, rng):\n    yield 1\n\n\ncheck_a.mistake(\n    1, within='a',\n)\n\n\n"
              "@check_a.mistake(say('x', 'y'))\ndef a(x):\n    return x\n\n\n@check_a.hidden\ndef _(a, rng):\n    yield 2\n")
    left = without_mistakes(source)
    assert "mistake" not in left and "return x" not in left
    assert "yield 2" in left and left.splitlines().index("@check_a.hidden") == 15


def test_data_cross_the_border_whole() -> None:
    job = Job("day", ((0, "x = '\ud800'"), (3, "y")), {"A": "b"}, ("day0",), ("numpy",),
              limits=Limits(cell=3)).with_files({"a/b.bin": bytes(range(256))})
    assert Job.loads(job.dumps()) == job
    ran = Ran({3: Heard([{"output_type": "stream", "name": "stdout", "text": "é"}], [{"format": 1}], 2,
                        say("a", "b"))}, "user", 1.5)
    assert Ran.loads(ran.dumps()) == ran


def test_only_plain_files_go_into_the_sandbox(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "helper.py").write_text("x = 1")
    (tmp_path / "day.ipynb").write_text("{}")
    (tmp_path / "copied.txt").write_text("secret")
    (tmp_path / "link.txt").symlink_to("/etc/passwd")
    assert links_in(tmp_path) == {"link.txt"}
    assert files_of(tmp_path, {"copied.txt"}) == {"sub/helper.py": b"x = 1"}


def test_what_takes_long_to_import_is_imported_before() -> None:
    assert imports_of(CURRICULUM.day("day03_tensor_autograd"), CURRICULUM) == (
        "numpy", "matplotlib", "torch")

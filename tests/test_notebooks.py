"""The built notebooks themselves: solved ones run under nbval with every check passing.

`LADDER_STRICT=1` turns a verdict other than "passed" into an error, so that a notebook whose
reference no longer passes cannot be green here.
"""

from __future__ import annotations

import ast
import json
import linecache
import os
import subprocess
import sys

import pytest

from ladder.build import build
from ladder.curriculum import load_curriculum
from ladder.paths import source_path
from ladder.text import LANGUAGES

CURRICULUM = load_curriculum()


# The code cells of the Chinese twins are the same text as the English ones (`ladder verify` compares
# the languages), so that running the first three days' twins is enough.
RUNS = [(day, language) for day in CURRICULUM.built_days for language in LANGUAGES
        if language == "en" or day.number <= 3]


@pytest.mark.slow
@pytest.mark.parametrize(("day", "language"), RUNS, ids=lambda part: getattr(part, "id", part))
def test_solved_notebook_runs_and_every_check_passes(day, language, tmp_path):
    path = tmp_path / f"{day.id}.ipynb"
    path.write_text(build(day, language, solved=True), encoding="utf-8")
    env = {**os.environ, "LADDER_STRICT": "1", "LADDER_QUICK": "1", "LADDER_OFFLINE": "1",
           "LADDER_CARRY": "reference", "LADDER_WORK": str(tmp_path / "work"),
           "MPLBACKEND": "agg", "IPYTHONDIR": str(tmp_path / "ipython")}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
         "--nbval-lax", "--nbval-cell-timeout=300", "--rootdir", str(tmp_path), str(path)],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert " passed" in run.stdout


@pytest.mark.parametrize("day", CURRICULUM.built_days, ids=lambda day: day.id)
def test_notebooks_have_no_outputs_and_validate(day):
    import nbformat

    for language in LANGUAGES:
        document = json.loads(build(day, language))
        nbformat.validate(document)
        assert all(not cell.get("outputs") for cell in document["cells"])
        points = sum(cell["metadata"]["nbgrader"].get("points", 0) for cell in document["cells"]
                     if cell["metadata"].get("nbgrader"))
        assert points == sum(day.checks.values()) + sum(w.points for w in day.written)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("day", CURRICULUM.built_days, ids=lambda day: day.id)
def test_set_up_and_stub_cells_run_as_they_are_given(day, language, monkeypatch):
    """A learner runs the stubs before writing anything: no cell may need what comes later."""
    monkeypatch.setenv("LADDER_CARRY", "reference")
    space: dict = {"__name__": "__main__"}
    ran = 0
    for cell in json.loads(build(day, language))["cells"]:
        meta = cell["metadata"].get("nbgrader", {})
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or meta.get("grade"):
            continue
        if not meta:  # a demonstration: its imports are there for the stubs below, the rest is not
            imports = [node for node in ast.parse(source).body
                       if isinstance(node, ast.Import | ast.ImportFrom)]
            source = ast.unparse(ast.Module(imports, []))
        name = f"<{cell['id']} {language}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # Triton reads kernels
        exec(compile(source, name, "exec"), space)
        ran += bool(meta)
    assert ran > len(day.exercises)


@pytest.mark.parametrize("day", CURRICULUM.built_days, ids=lambda day: day.id)
def test_a_day_needs_every_day_that_it_uses(day):
    """Graded runs and courses show a day the references of the days it needs, and no others."""
    needed = CURRICULUM.all_needs(day)
    built = {other.id for other in CURRICULUM.built_days}
    for kind in ("stages", "solutions", "graders"):
        path = source_path(kind, CURRICULUM.stage_of(day).id, day.id)
        modules = [node.module or "" for node in ast.walk(ast.parse(path.read_text("utf-8")))
                   if isinstance(node, ast.ImportFrom)]
        used = {module.rpartition(".")[2] for module in modules} & built - {day.id}
        assert used <= needed, f"{path} uses {used - needed}: add to its needs in curriculum.yaml"

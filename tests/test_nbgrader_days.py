"""Every real day through nbgrader's own autograde and feedback: right work, and right, mistaken and untouched
work side by side in one notebook.

What the mixture must score is found without notebooks, kernels and messages: the same code is run
here, observed with the graded run's seed, and judged.
"""

from __future__ import annotations

import contextlib
import functools
import json
import linecache
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

sys.path.insert(0, str(Path(__file__).parent))
from test_nbgrader import scores_of

from ladder import content, fill
from ladder.build import build, leaks
from ladder.cohort import course as courses
from ladder.cohort.grading import score_of
from ladder.curriculum import Day, load_curriculum
from ladder.emission import graded_seed
from ladder.judge import Verdict, judge, reference_run
from ladder.observe import observe

SEED = "one graded run"
CURRICULUM = load_curriculum()
DAYS = CURRICULUM.built_days

Document = dict[str, Any]


def names(day: Day) -> list[str]:
    return [exercise.id for exercise in day.exercises]


def namespace(notebook: Document) -> dict[str, Any]:
    """What a kernel holds after the cells that are no checks."""
    found: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code" and not cell["metadata"].get("nbgrader", {}).get("grade"):
            source, name = "".join(cell["source"]), f"<cell {number} {id(notebook)}>"
            linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # Triton reads it
            with contextlib.suppress(Exception), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(compile(source, name, "exec"), found)
    return found


def expected(day: Day, notebook: Document) -> dict[str, Verdict]:
    checks = content.checks_of(CURRICULUM.stage_of(day).id, day.id)
    held = namespace(notebook)
    found = {}
    for name in day.checks:
        check = checks[name]
        seed = graded_seed(check, SEED)
        run = observe(check, [held[need] for need in check.needs], seed, hidden=True)
        found[name] = judge(check, run, seed, hidden=True)
    return found


def checkable(day: Day, name: str) -> bool:
    """Whether this machine can check it: a check that needs a GPU, say, is not passed without one."""
    check = content.checks_of(CURRICULUM.stage_of(day).id, day.id)[name]
    return reference_run(check, graded_seed(check, SEED), True).not_checked is None


def plain(text: str) -> str:
    """Words alone, so that a page's text and a hint's markdown source compare."""
    return "".join(letter for letter in text if letter.isalnum())


GROUPS = 4  # courses, graded each in one process: starting nbgrader and torch takes longer than grading
PLACED = [pytest.param(day, number % GROUPS, id=day.id, marks=pytest.mark.xdist_group(f"days{number % GROUPS}"))
          for number, day in enumerate(DAYS)]
EVERY_DAY = """
import json, sys, traceback
from nbgrader.apps import AutogradeApp, GenerateFeedbackApp
from ladder.cohort import warmed
for day in sys.argv[1:]:
    said = ""
    for App in (AutogradeApp, GenerateFeedbackApp):
        try:
            app = App(parent=None)
            app.initialize([day])
            app.start()
        except BaseException:  # nbgrader ends with sys.exit
            said += traceback.format_exc()
        App.clear_instance()
    warmed.close_all()
    print(json.dumps([day, said]), flush=True)
"""


@dataclass
class Graded:
    """A course of some days, graded."""

    folder: Path
    work: dict[str, dict[str, Document]]  # notebooks by day and student
    wrong: dict[str, str]                 # what nbgrader raised, by day
    log: str


@pytest.fixture(scope="session")
def graded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Graded]:
    chosen = {item.callspec.params["day"].id for item in request.session.items
              if getattr(item, "originalname", "") == "test_a_real_day"}
    return functools.cache(lambda group: _grade(
        tmp_path_factory.mktemp("days"), [day for day in DAYS[group::GROUPS] if day.id in chosen]))


def _grade(folder: Path, days: Sequence[Day]) -> Graded:
    course = folder / "course"
    courses.publish(course, days)
    with (course / courses.CONFIG).open("a") as config:
        config.write(f"c.JudgeExecute.seed = {SEED!r}\n")
    work = {}
    for day in days:
        right, wrong = fill.solved(day), fill.all_mistaken(day)
        mixed = {name: (right, wrong)[place % 3][name]
                 for place, name in enumerate(names(day)) if place % 3 < 2}
        release = json.loads(build(day, "en"))
        work[day.id] = {"perfect": fill.fill(release, right), "mixed": fill.fill(release, mixed)}
        for student, notebook in work[day.id].items():
            place = course / "submitted" / student / day.id
            place.mkdir(parents=True)
            (place / f"{day.id}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", EVERY_DAY, *(day.id for day in days)], cwd=course, env=env,
                          text=True, capture_output=True, timeout=1200, check=False)
    told = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith('["day'))
    return Graded(course, work, {day.id: told.get(day.id, "nbgrader stopped before") for day in days}, done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("day, group", PLACED)
def test_a_real_day(day: Day, group: int, graded: Callable[[int], Graded], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    # As graded runs have it: short demonstrations, references of earlier days, and no network here.
    monkeypatch.setenv("LADDER_CARRY", "reference")
    monkeypatch.setenv("LADDER_QUICK", "1")
    monkeypatch.setenv("LADDER_OFFLINE", "1")
    assert not leaks(day)
    ran = graded(group)
    assert not ran.wrong[day.id], ran.wrong[day.id] + ran.log[-4000:]
    scores = scores_of(ran.folder, day.id)
    verdicts = expected(day, ran.work[day.id]["mixed"])
    assert {name: scores["mixed"][name] for name in day.checks} == {
        name: score_of(verdicts[name], points) for name, points in day.checks.items()}
    page = (ran.folder / "feedback" / "mixed" / day.id / f"{day.id}.html").read_text("utf-8")
    text = plain(BeautifulSoup(page, "html.parser").get_text())
    for name, verdict in verdicts.items():
        if verdict.hint is not None:
            assert plain(verdict.hint.en)[:60] in text, name
    ready = [name for name in day.checks if checkable(day, name)]
    assert {name: scores["perfect"][name] for name in ready} == {n: day.checks[n] for n in ready}
    assert sum(scores["mixed"][name] or 0 for name in ready) < sum(day.checks[name] for name in ready)

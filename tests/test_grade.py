"""`ladder grade`: the gradebook of plain nbgrader, whatever happens on the way."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import tiny
from test_nbgrader import COHORT, DAY, code, named, scores_of

from ladder.cohort import warmed, workers
from ladder.cohort.jobs import Job
from ladder.errors import WorkError

STUDENTS = ["perfect", "empty", "half", "partial", "wrong_axis", "noisy", "essay", "raises_early"]
pytestmark = [
    pytest.mark.slow, pytest.mark.xdist_group("grade"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox needs Linux"),
]

# Ends the process without warning before or after the n-th call of a method.
DYING = """
import os, signal, sys
from ladder.cohort import batch, ledger
owner, name, when, number = sys.argv[1:5]
owner = {"Ledger": ledger.Ledger, "Converter": batch._Converter}[owner]
original, calls = getattr(owner, name), []
def dying(self, *rest):
    calls.append(1)
    if len(calls) == int(number) and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, *rest)
    if len(calls) == int(number):
        os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, dying)
from ladder.cli import main
sys.exit(main(sys.argv[5:]))
"""


@pytest.fixture(scope="session")
def ungraded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A course with a few submissions, to be copied, and the environment of its tool."""
    folder = tmp_path_factory.mktemp("grade")
    env = tiny.install(folder / "site") | {"LANG": "C.UTF-8"}
    assert tiny.run(["ladder", "publish", "course", "--days", "1", "2"], folder, env).returncode == 0
    course = folder / "course"
    with (course / "nbgrader_config.py").open("a") as config:
        config.write("c.JudgeExecute.seed = 'one run'\n")
    release = json.loads((course / "release" / DAY / f"{DAY}.ipynb").read_text("utf-8"))
    for student in STUDENTS:
        place = course / "submitted" / student / DAY
        place.mkdir(parents=True)
        (place / f"{DAY}.ipynb").write_text(json.dumps(COHORT[student].notebook(release)), "utf-8")
        (place / "timestamp.txt").write_text("2026-01-05 10:00:00 UTC")
    return course, env


@pytest.fixture
def course(ungraded: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(ungraded[0], tmp_path / "course"))


@pytest.fixture
def env(ungraded: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return ungraded[1]


def grade(course: Path, env: dict[str, str], *more: str) -> Any:
    return tiny.run(["ladder", "--lang", "en", "grade", "2", *more], course, env)


def expected() -> dict[str, Any]:
    return {student: {"why": 0.0} | COHORT[student].expected for student in STUDENTS}


def dump(course: Path) -> list[Any]:
    """Everything in the gradebook but the ids of rows."""
    queries = (
        "select student.id, assignment.name, submitted_assignment.timestamp from submitted_assignment "
        "join student on student_id = student.id join assignment on assignment_id = assignment.id",
        "select student.id, notebook.name, submitted_notebook.late_submission_penalty, base_cell.name, "
        "grade.auto_score, grade.manual_score, grade.extra_credit, grade.needs_manual_grade from grade "
        "join base_cell on grade.cell_id = base_cell.id "
        "join submitted_notebook on grade.notebook_id = submitted_notebook.id "
        "join notebook on submitted_notebook.notebook_id = notebook.id "
        "join submitted_assignment on submitted_notebook.assignment_id = submitted_assignment.id "
        "join student on submitted_assignment.student_id = student.id",
        "select student.id, base_cell.name, comment.auto_comment, comment.manual_comment from comment "
        "join base_cell on comment.cell_id = base_cell.id "
        "join submitted_notebook on comment.notebook_id = submitted_notebook.id "
        "join submitted_assignment on submitted_notebook.assignment_id = submitted_assignment.id "
        "join student on submitted_assignment.student_id = student.id",
    )
    with contextlib.closing(sqlite3.connect(course / "gradebook.db")) as database:
        return [sorted(database.execute(query).fetchall(), key=repr) for query in queries]


def notebooks(course: Path) -> dict[str, Any]:
    return {path.parts[-3]: json.loads(path.read_text("utf-8"))
            for path in (course / "autograded").glob(f"*/{DAY}/{DAY}.ipynb")}


def test_same_gradebook_and_notebooks_as_plain_nbgrader(
    course: Path, env: dict[str, str], tmp_path: Path
) -> None:
    plain = Path(shutil.copytree(course, tmp_path / "plain"))
    answer = tiny.run(["nbgrader", "autograde", DAY], plain, env)
    assert answer.returncode == 0, answer.stderr[-3000:]
    answer = grade(course, env)
    assert answer.returncode == 0, answer.stderr
    assert "8 graded, 0 were graded already" in answer.stdout
    assert scores_of(course, DAY) == expected()
    assert dump(course) == dump(plain)
    assert notebooks(course) == notebooks(plain)
    modes = {path.stat().st_mode for path in (course / "autograded").rglob("*.ipynb")}
    assert modes == {path.stat().st_mode for path in (plain / "autograded").rglob("*.ipynb")}


def test_graded_submissions_are_kept_and_new_ones_graded(course: Path, env: dict[str, str]) -> None:
    assert grade(course, env, "--students", "perfect", "half").returncode == 0
    assert set(scores_of(course, DAY)) == {"perfect", "half"}
    with contextlib.closing(sqlite3.connect(course / "gradebook.db")) as database:
        database.execute("update grade set manual_score = 1.5, needs_manual_grade = 0 where auto_score = 4")
        database.commit()
    shutil.rmtree(course / "autograded" / "half")  # as if half way through
    answer = grade(course, env, "--json", "--students", "perfect", "half", "empty")
    states = {o["student"]: o["state"] for o in json.loads(answer.stdout)["days"][DAY]}
    assert states == {"perfect": "kept", "half": "graded", "empty": "graded"}
    with contextlib.closing(sqlite3.connect(course / "gradebook.db")) as database:
        rows = database.execute("select manual_score from grade where manual_score is not null").fetchall()
    assert rows == [(1.5,), (1.5,)]  # a grader's scores stay


def test_what_cannot_be_done_is_said(course: Path, env: dict[str, str]) -> None:
    answer = grade(course, env, "--students", "nobody")
    assert answer.returncode == 2 and "no submission" in answer.stderr
    answer = grade(course.parent, env)
    assert answer.returncode == 2 and "is no course" in answer.stderr


def test_killed_at_any_moment_no_grade_is_lost_and_none_counts_twice(
    course: Path, env: dict[str, str]
) -> None:
    script = course.parent / "dying.py"
    script.write_text(DYING)
    for moment in (["Converter", "sanitize", "after", "3"], ["Converter", "judge", "after", "1"],
                   ["Ledger", "commit", "before", "6"], ["Ledger", "commit", "after", "6"]):
        answer = subprocess.run([sys.executable, str(script), *moment, "grade", "2"], cwd=course,
                                env=env, capture_output=True, text=True, check=False, timeout=300)
        assert answer.returncode == -signal.SIGKILL, answer.stderr[-2000:]
        _wait_for_the_end_of_children(course)
    answer = grade(course, env)
    assert answer.returncode == 0, answer.stderr
    assert scores_of(course, DAY) == expected()
    assert set(notebooks(course)) == set(STUDENTS)
    submissions, grades, comments = dump(course)
    assert len(submissions) == len(STUDENTS)
    assert len(grades) == 5 * len(STUDENTS) and len(comments) == len(set(map(repr, comments)))
    assert "0 graded, 8 were graded already" in grade(course, env).stdout


def _wait_for_the_end_of_children(course: Path) -> None:
    """What the killed command had started ends by itself."""
    site = str(course.parent.parent)

    def mine(path: Path) -> bool:
        with contextlib.suppress(OSError):
            return b"ladder.cohort.warm" in path.read_bytes() and site in (
                path.with_name("environ").read_text(errors="replace"))
        return False

    for _ in range(100):
        if not any(mine(path) for path in Path("/proc").glob("[0-9]*/cmdline")):
            return
        time.sleep(0.1)
    raise AssertionError("processes are left")


def test_one_unreadable_submission_costs_its_own_row(course: Path, env: dict[str, str]) -> None:
    path = course / "submitted" / "half" / DAY / f"{DAY}.ipynb"
    path.write_bytes(b"\x00\x01 no notebook at all")
    (course / "submitted" / "essay" / DAY / f"{DAY}.ipynb").rename(
        course / "submitted" / "essay" / DAY / f"{DAY} (1).ipynb")
    nothing = course / "submitted" / "nothing" / DAY
    nothing.mkdir(parents=True)
    (nothing / "notes.txt").write_text("later")
    answer = grade(course, env)
    assert answer.returncode == 1
    scores = scores_of(course, DAY)
    for student in set(STUDENTS) - {"half"}:
        assert scores[student] == expected()[student]
    told = {line.split()[0]: line for line in answer.stdout.splitlines() if line.startswith("  ")}
    assert "not graded" in told["half"] and "not graded" in told["nothing"]
    assert sum(value or 0 for value in scores.get("half", {}).values()) == 0


def test_own_assignments_run_in_the_sandbox_too(course: Path, env: dict[str, str]) -> None:
    """An instructor's assignment with asserts in its cells, scored by nbgrader itself."""
    def cell(name: str, source: str, **more: Any) -> dict[str, Any]:
        made = code(source) | {"id": name}
        made["metadata"]["nbgrader"] = {"grade_id": name, "grade": False, "solution": False,
                                        "locked": False, "task": False, "schema_version": 3} | more
        return made

    nb = {"cells": [cell("answer", "x = 1", solution=True),
                    cell("test", "assert x == 2", grade=True, locked=True, points=3)],
          "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
          "nbformat": 4, "nbformat_minor": 5}
    source = course / "source" / "own" / "own.ipynb"
    source.parent.mkdir()
    source.write_text(json.dumps(nb))
    answer = tiny.run(["nbgrader", "generate_assignment", "own"], course, env)
    assert answer.returncode == 0, answer.stderr
    release = json.loads((course / "release" / "own" / "own.ipynb").read_text())
    work = {"right": "x = 2", "wrong": "x = 3", "thief": f"print(open('{source}').read())\nx = 0"}
    for student, text in work.items():
        named(release, "answer")["source"] = text
        place = course / "submitted" / student / "own"
        place.mkdir(parents=True)
        (place / "own.ipynb").write_text(json.dumps(release))
    answer = tiny.run(["ladder", "--lang", "en", "grade", "own"], course, env)
    assert answer.returncode == 0, answer.stderr + answer.stdout
    assert {s: v["test"] for s, v in scores_of(course, "own").items()} == {
        "right": 3.0, "wrong": 0.0, "thief": 0.0}
    assert "FileNotFoundError" in (course / "autograded" / "thief" / "own" / "own.ipynb").read_text()


def test_without_isolation_nothing_is_run_unless_allowed(course: Path, env: dict[str, str]) -> None:
    """The kernel is told to refuse namespaces, as a locked-down cluster would."""
    blocked = course.parent / "blocked.py"
    blocked.write_text(
        "import runpy, sys\nfrom ladder.cohort import sandbox\ndef no(flags):\n"
        "    raise PermissionError(1, 'not permitted here')\nsandbox.unshare = no\n"
        "sys.argv = sys.argv[1:]\nrunpy.run_module('ladder.cohort.warm', run_name='__main__')\n")
    patch = course.parent / "patch.py"
    patch.write_text(
        "import sys\nfrom ladder.cohort import warmed\noriginal = warmed.subprocess.Popen\n"
        f"def popen(words, **more):\n    return original([words[0], {str(blocked)!r}, *words[3:]], **more)\n"
        "warmed.subprocess.Popen = popen\nfrom ladder.cli import main\nsys.exit(main(sys.argv[1:]))\n")

    def blocked_grade() -> Any:
        return subprocess.run([sys.executable, str(patch), "--lang", "en", "grade", "2", "--students",
                               "perfect"], cwd=course, env=env, capture_output=True, text=True, check=False)

    answer = blocked_grade()
    assert answer.returncode == 1
    assert "cannot be isolated" in answer.stdout and 'sandbox = "if-possible"' in answer.stdout
    assert "perfect" not in scores_of(course, DAY) or not any(scores_of(course, DAY)["perfect"].values())
    with (course / "nbgrader_config.py").open("a") as config:
        config.write("c.JudgeExecute.sandbox = 'if-possible'\n")
    answer = blocked_grade()
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "NOT ISOLATED" in answer.stdout
    assert scores_of(course, DAY)["perfect"] == expected()["perfect"]


def test_a_warm_process_that_is_killed_costs_nobody_anything() -> None:
    """As by the system when memory runs out: the job runs again in a new one."""
    job = Job("", ((0, "import time; time.sleep(1.5)"), (1, "print('whole')")))
    first = warmed.warm_for(job)
    inner = int(Path(f"/proc/{first.process.pid}/task/{first.process.pid}/children").read_text().split()[0])
    killer = threading.Timer(0.5, os.kill, [inner, signal.SIGKILL])
    killer.start()
    ran = warmed.run(job)
    killer.join()
    assert ran.cells[1].outputs[0]["text"] == "whole\n" and warmed.warm_for(job) is not first
    warmed.close_all()


@contextlib.contextmanager
def cluster(folder: Path, env: dict[str, str], resources: str) -> Iterator[str]:
    """A Dask scheduler and two worker processes, started as on several machines."""
    pytest.importorskip("distributed")
    file = folder / "scheduler.json"
    words = [[sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
              "--no-dashboard", "--scheduler-file", str(file)],
             [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file),
              "--nworkers", "2", "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder),
              *(["--resources", resources] if resources else [])]]
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "dask.log").open("wb"))
        for command in words:
            process = stack.enter_context(subprocess.Popen(command, env=env, cwd=folder, stdout=log,
                                                           stderr=log, start_new_session=True))
            stack.callback(os.killpg, process.pid, signal.SIGKILL)
        for _ in range(300):
            with contextlib.suppress(OSError, ValueError):
                address = json.loads(file.read_text())["address"]
                break
            time.sleep(0.1)
        from distributed import Client

        with Client(address, set_as_default=False, timeout="30s") as client:
            client.wait_for_workers(2, timeout=60)
        yield address


def test_on_a_dask_cluster(course: Path, env: dict[str, str], tmp_path: Path) -> None:
    """Only workers with the resource GPU get jobs that ask for it; here both have one."""
    with cluster(tmp_path, env, "GPU=1") as address:
        answer = grade(course, env, "--dask", address, "--gpu")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert scores_of(course, DAY) == expected()
    isolation = {nb["metadata"]["ladder"]["isolation"] for nb in notebooks(course).values()}
    assert isolation <= {"root", "user"}


def test_dask_that_is_not_there() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(WorkError, match="no Dask scheduler answers"), workers.dask(
        "tcp://127.0.0.1:1", 2, patience="1s"
    ):
        pass

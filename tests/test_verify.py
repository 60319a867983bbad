"""``ladder verify`` on small made-up days, each with one fault, in a clone of its own."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ladder.killing import Trial

ROOT = Path(__file__).resolve().parent.parent
STAGE = "stage1_try"

SOLUTION = '''
"""A day that a test made up."""

import numpy as np


def centre(x):
    """Subtract the mean: x_i - (1/n) sum_j x_j, for a vector x of any length n >= 1."""
    total = x.sum()
    return x - total / len(x)
'''

GRADER = '''
"""Checks of a made-up day."""

import numpy as np

from ladder.checks import check, say


@check()
def check_centre(centre, rng):
    """Subtract the mean."""
    for n in (1, 3, 5):
        x = rng.normal(size=n)
        yield say(f"n = {n}", f"n = {n} 时"), lambda: centre(x)


check_centre.mistake(say("Which mean?", "哪个平均值？"), within="centre", replace={"x.sum()": "x.max()"})
check_centre.mistake(say("Is it divided?", "除过了吗？"), within="centre", replace={"total / len(x)": "total"})
check_centre.mistake(say("Which sign?", "符号对吗？"), within="centre", replace={"x - total": "x + total"})
'''

LESSON = '''
# %% [markdown] lang="en"
r"""# A day"""
# %% [markdown] lang="zh"
r"""# 一天"""
# %% setup
import numpy as np
# %% exercise="centre"
from ladder.solutions.stage1_try.SLUG import centre
# %% [markdown] lang="zh" docstring="centre"
r"""减去平均值。"""
# %% [markdown] hint="centre" lang="en"
r"""First."""
# %% [markdown] hint="centre" lang="zh"
r"""第一。"""
# %% [markdown] hint="centre" lang="en"
r"""Second."""
# %% [markdown] hint="centre" lang="zh"
r"""第二。"""
# %%
from ladder.graders.stage1_try.SLUG import check_centre
check_centre(centre)
'''

INDEPENDENT = '''
import numpy as np


def centre(x):
    return x - np.mean(x)
'''

ENDLESS = SOLUTION + '''

def halvings(n):
    """How often n >= 1 can be halved (rounding down) until 1 is reached."""
    count = 0
    while n > 1:
        n //= 2
        count += 1
    return count
'''

ENDLESS_GRADER = GRADER + '''

@check()
def check_halvings(halvings, rng):
    """Halvings until 1."""
    for n in (1, 2, 3, 8, 9, 37):
        yield say(f"n = {n}", f"n = {n} 时"), lambda: halvings(n)


check_halvings.mistake(say("Round down?", "向下取整了吗？"), within="halvings", replace={"n //= 2": "n /= 2"})
check_halvings.mistake(say("From where?", "从几开始？"), within="halvings", replace={"count = 0": "count = 1"})
check_halvings.mistake(say("By how much?", "每次加几？"), within="halvings", replace={"count += 1": "count += 2"})
'''

EXERCISE = """
    - id: centre
      title: {en: "Centre", zh: "中心化"}
      names: [centre]
      checks: {check_centre: 4}
"""
MORE_EXERCISES = EXERCISE + """
    - id: halvings
      title: {en: "Halvings", zh: "折半"}
      names: [halvings]
      checks: {check_halvings: 4}
"""
MORE_LESSON = LESSON + LESSON[LESSON.index("# %% exercise"):].replace("centre", "halvings")


def day(**parts: str | None) -> dict[str, str | None]:
    return {"solutions": SOLUTION, "graders": GRADER, "stages": LESSON, "independent": INDEPENDENT,
            "exercises": EXERCISE} | parts


def swap(text: str, old: str, new: str) -> str:
    assert old in text, old
    return text.replace(old, new)


SURVIVOR = "centre: x = x + 0 -> (removed)"
WITH_SURVIVORS = swap(SOLUTION, "    total = x.sum()\n", "    x = x + 0\n    total = x.sum()\n")

DAYS: dict[str, dict[str, str | None]] = {
    "day01_good": day(),
    "day02_cannot_fail": day(graders=swap(GRADER, "lambda: centre(x)", "x")),
    "day03_mistake_passes": day(graders=swap(GRADER, '"x.max()"', '"np.sum(x)"')),
    "day04_hint_of_another": day(graders=swap(
        GRADER, 'replace={"x - total": "x + total"}', 'replace={"total / len(x)": "(total)"}')),
    "day05_stub_passes": day(
        graders=swap(GRADER, "lambda: centre(x)", "lambda: _tried(centre, x)") + '''

def _tried(centre, x):
    try:
        return centre(x)
    except Exception:
        return x - x.mean()
'''),
    "day06_survivor": day(solutions=WITH_SURVIVORS),
    "day07_equivalent": day(solutions=WITH_SURVIVORS, graders=GRADER + f'''
EQUIVALENT = {{
    {SURVIVOR!r}: "adding 0 changes nothing",
    "centre: x + 0 -> x - 0": "subtracting 0 changes nothing",
    "centre: x + 0 -> x + 1": "the mean moves as well",
}}
'''),
    "day08_stale_equivalent": day(graders=GRADER + '''
EQUIVALENT = {
    "centre: x.sum() -> x.mean()": "not true: it is killed",
    "centre: x.prod() -> x.sum()": "not true: there is no such mutant",
}
'''),
    "day09_no_independent": day(independent=None),
    "day10_independent_fails": day(independent=swap(INDEPENDENT, "np.mean(x)", "np.median(x)")),
    "day11_endless": day(
        solutions=ENDLESS, graders=ENDLESS_GRADER, stages=MORE_LESSON, exercises=MORE_EXERCISES,
        independent=INDEPENDENT + "\n\ndef halvings(n):\n    return int(n).bit_length() - 1\n"),
    "day12_few_mistakes": day(graders=GRADER[:GRADER.rindex("check_centre.mistake")]),
    "day13_english_hint_only": day(graders=swap(GRADER, "哪个平均值？", "Which mean?")),
    "day14_one_hint": day(stages=LESSON[:LESSON.index('# %% [markdown] hint="centre" lang="en"\nr"""Second')]
                          + LESSON[LESSON.index("# %%\nfrom ladder.graders"):]),
    "day15_no_docstrings": day(
        solutions=swap(SOLUTION, '"""Subtract', 'pass; """Subtract'),
        stages=swap(LESSON, "减去平均值。", "Subtract.")),
    "day16_lesson_fails": day(stages=LESSON + "# %%\nraise SystemError('in the lesson')\n"),
    "day17_check_missing": day(exercises=swap(EXERCISE, "check_centre: 4", "check_center: 4")),
    "day18_random_reference": day(solutions=swap(
        SOLUTION, "x - total", "np.random.default_rng().normal() + x - total")),
    "day19_cannot_be_imported": day(solutions="import no_such_module_anywhere\n" + SOLUTION),
    "day20_name_never_run": day(
        solutions=ENDLESS, exercises=swap(EXERCISE, "[centre]", "[centre, halvings]"),
        stages=swap(LESSON, "SLUG import centre", "SLUG import centre, halvings"),
        independent=INDEPENDENT + "\n\ndef halvings(n):\n    return 0\n"),
}

DAYS["day21_reference_raises"] = day(solutions=swap(
    SOLUTION, "    total = x.sum()\n", "    total = x.sum()\n    assert len(x) < 5\n"))
DAYS["day22_not_checked_here"] = day(graders=swap(
    GRADER, "    for n in", '    raise NotChecked(say("needs a GPU", "需要 GPU"))\n    for n in'
).replace("import check, say", "import NotChecked, check, say"))


def write_clone(root: Path) -> None:
    """A clone in ``root``: this clone's tool, and the made-up days as its content."""
    shutil.copytree(ROOT / "ladder", root / "ladder",
                    ignore=shutil.ignore_patterns("__pycache__", "solutions", "graders"))
    stages = {"solutions": "ladder/solutions", "graders": "ladder/graders", "stages": "stages",
              "independent": "tests/independent"}
    for folder in stages.values():
        (root / folder / STAGE).mkdir(parents=True)
    for kind in ("solutions", "graders"):  # where the tool reads text, and where it imports
        (root / kind).symlink_to(root / "ladder" / kind)
        for package in (root / kind, root / kind / STAGE):
            (package / "__init__.py").write_text("")
    listed = ""
    for slug, parts in DAYS.items():
        for kind, folder in stages.items():
            if (text := parts[kind]) is not None:
                (root / folder / STAGE / f"{slug}.py").write_text(text.replace("SLUG", slug))
        listed += (f'  - id: {slug}\n    title: {{en: "A day", zh: "一天"}}\n    exercises:'
                   f'{parts["exercises"]}')
    (root / "curriculum.yaml").write_text(
        f'stages:\n- id: {STAGE}\n  title: {{en: "Try", zh: "试"}}\n  days:\n{listed}')


# One worker: the fake days are verified once for all tests.
pytestmark = [pytest.mark.timeout(1500), pytest.mark.xdist_group("verify")]


def ladder(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("LADDER_DRAFTS", None)
    return subprocess.run([sys.executable, "-m", "ladder", *arguments], cwd=root, env=environment,
                          capture_output=True, text=True, timeout=1200)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clone")
    write_clone(root)
    built = ladder(root, "build", *(slug for slug in DAYS if slug not in (
        "day15_no_docstrings", "day17_check_missing", "day19_cannot_be_imported")))
    assert built.returncode == 0, built.stdout + built.stderr
    return root


@pytest.fixture(scope="module")
def result(clone: Path) -> dict[str, Any]:
    done = ladder(clone, "verify", "--json", "--seeds", "3")
    assert done.returncode == 1, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def by_day(result: dict[str, Any]) -> dict[str, Any]:
    return result["by_day"]


def test_a_good_day_holds_in_every_figure(by_day: dict[str, Any]) -> None:
    good = by_day["day01_good"]
    assert good["problems"] == []
    assert good["survivors"] == []
    figures = ("days", "checks", "references_passing", "independents_passing", "stubs_failing",
               "canaries_seen")
    assert [good[name] for name in figures] == [1] * len(figures)
    assert good["mistakes"] == good["mistakes_failing"] == 3
    assert good["mutants"] == good["mutants_killed"] > 5
    assert good["kill_rate"] == 1.0


@pytest.mark.parametrize(("slug", "told"), [
    ("day02_cannot_fail", "it does not run what it is given"),
    ("day02_cannot_fail", "the untouched stub gets 'n = 1' right"),
    ("day02_cannot_fail", "check_centre#1 passes at seed"),
    ("day02_cannot_fail", "kill rate 0.000"),
    ("day03_mistake_passes", "check_centre#1 passes at seed"),
    ("day04_hint_of_another", "is shown the hint of check_centre#2, not its own: 'Which sign?'"),
    ("day05_stub_passes", "the untouched stub gets 'n = 1' right"),
    ("day06_survivor", "kill rate 0."),
    ("day08_stale_equivalent", "'centre: x.sum() -> x.mean()' is killed by check_centre"),
    ("day08_stale_equivalent", "there is no mutant 'centre: x.prod() -> x.sum()'"),
    ("day09_no_independent", "no independent second implementation"),
    ("day10_independent_fails", "the independent implementation fails at seed"),
    ("day12_few_mistakes", "2 known mistakes, must be at least 3"),
    ("day13_english_hint_only", "check_centre#1: its Chinese hint is 'Which mean?'"),
    ("day14_one_hint", "centre has 1 hints, must have at least 2"),
    ("day15_no_docstrings", "centre has no docstring"),
    ("day16_lesson_fails", "SystemError: in the lesson"),
    ("day17_check_missing", "check_center is in curriculum.yaml but not in the grader"),
    ("day17_check_missing", "check_centre is in the grader but not in curriculum.yaml"),
    ("day18_random_reference", "the reference, run again, fails at seed"),
    ("day19_cannot_be_imported", "No module named 'no_such_module_anywhere'"),
    ("day21_reference_raises", "the reference itself raised AssertionError"),
    ("day21_reference_raises", "the unchanged reference is not passed by the process hung or died"),
    ("day20_name_never_run", "none of its checks runs halvings"),
])
def test_a_fault_is_told(by_day: dict[str, Any], slug: str, told: str) -> None:
    assert any(told in problem for problem in by_day[slug]["problems"]), by_day[slug]["problems"]


def test_survivors_are_listed_with_their_line(by_day: dict[str, Any]) -> None:
    found = {s["key"]: s for s in by_day["day06_survivor"]["survivors"]}
    assert found[SURVIVOR] == {"key": SURVIVOR, "line": 9, "checks": ["check_centre"]}


def test_survivors_listed_as_equivalent_are_not_counted(by_day: dict[str, Any]) -> None:
    report = by_day["day07_equivalent"]
    assert report["problems"] == []
    assert report["survivors"] == []
    assert report["mutants_equivalent"] == 3
    assert report["mutants"] + 3 == by_day["day06_survivor"]["mutants"]
    assert report["kill_rate"] == 1.0


def test_what_this_machine_cannot_check_is_told_and_not_counted(by_day: dict[str, Any]) -> None:
    report = by_day["day22_not_checked_here"]
    assert report["not_checked"] == ["check_centre: needs a GPU"]
    assert report["references_passing"] == report["mutants"] == 0
    assert report["problems"] == []


def test_endless_mutants_are_killed(by_day: dict[str, Any]) -> None:
    report = by_day["day11_endless"]
    assert report["problems"] == []
    assert report["kill_rate"] == 1.0


def test_totals_add_up(result: dict[str, Any]) -> None:
    for name in ("days", "checks", "mistakes", "mistakes_failing", "mutants", "mutants_killed",
                 "stubs_failing", "references_passing"):
        assert result[name] == sum(report[name] for report in result["by_day"].values())
    assert result["days"] == len(DAYS)
    assert result["passed"] is False


def test_one_good_day_exits_with_0_and_draws_a_table(clone: Path) -> None:
    done = ladder(clone, "verify", "1", "--seeds", "2", "--no-mutants")
    assert done.returncode == 0, done.stdout
    assert "day01_good" in done.stdout and "1/1" in done.stdout and "falls short" not in done.stdout


def test_a_draft_takes_the_place_of_a_planned_day(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ladder import verify

    path = tmp_path / "day99_draft.curriculum.yaml"
    entry = f'id: day99_draft\ntitle: {{en: "A", zh: "一"}}\nexercises:{EXERCISE}'
    for text in (
        f"{textwrap.indent(entry, '  ')}".replace("  id", "- id", 1) + "boxes:\n  a-1: [check_x]\n",
        entry + "boxes:\n  a-1: [check_x]\n",
        "days:\n" + textwrap.indent(entry, "  ").replace("  id", "- id", 1),
    ):
        path.write_text(text)
        assert verify.read_draft(path).checks == {"check_centre": 4}
    path.write_text("- [")
    with pytest.raises(verify.CurriculumError, match="not a day's entry"):
        verify.read_draft(path)


# what mutants may do to the process that tries them

@pytest.fixture
def trial(clone: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    monkeypatch.setenv("PYTHONPATH", str(clone))
    with Trial(STAGE, "day01_good", seeds=1) as trial:
        yield trial


@pytest.mark.parametrize("body", [
    "while True: pass",
    "xs = [1]\n    while True: xs += xs",
    "return np.zeros(10**12) + bytearray(10**13)",
    "import os; os._exit(0)",
    "import os; os.kill(os.getpid(), 11)",
    "return centre(x)",
    "import sys; sys.exit(0)",
    "print('noise' * 100000); return x",
    "import signal; signal.signal(signal.SIGPROF, signal.SIG_IGN)\n    while True: pass",
    "import sys\n    while True:\n        try: sum(range(10**6))\n        except BaseException: pass",
])
def test_no_mutant_hangs_or_ends_verify(trial: Trial, body: str) -> None:
    start = time.monotonic()
    bad = f"import numpy as np\n\ndef centre(x):\n    {body}\n"
    assert trial.killed(bad, ["check_centre"]) is not None
    assert trial.killed(SOLUTION, ["check_centre"]) is None  # the next one is tried as ever
    assert time.monotonic() - start < 120

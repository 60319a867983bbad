"""The command line: help, exit codes, JSON, messages, and how little it imports."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ladder import build, cli
from ladder.curriculum import load_curriculum
from tests import made_day
from tests.made_day import SLUG

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = [name for group in cli.COMMANDS.values() for name in group]


@pytest.fixture
def ladder(monkeypatch, tmp_path, capsys):
    """Run a command on the made-up day; returns exit code, output and errors."""
    curriculum = made_day.use(monkeypatch, tmp_path)
    monkeypatch.setenv("LADDER_LANG", "en")
    build.write(curriculum.day(SLUG), curriculum)

    def run(*arguments):
        try:
            code = cli.main(arguments)
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err
    run.root = tmp_path
    return run


@pytest.mark.parametrize("language", ["en", "zh"])
def test_help(ladder, monkeypatch, language):
    monkeypatch.setenv("LADDER_LANG", language)
    for arguments in ([], ["--help"]):
        code, out, _ = ladder(*arguments)
        assert code == 0 and all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command(ladder, name):
    code, out, _ = ladder(name, "--help")
    assert code == 0 and out.startswith(f"usage: ladder {name}") and "--lang" in out
    assert len(out.splitlines()) > 4


def test_language_before_and_after_the_command(ladder):
    assert "练习" in ladder("--lang", "zh", "hint", "1")[1]
    assert "练习" in ladder("hint", "1", "--lang", "zh")[1]
    assert "Exercises" in ladder("hint", "1")[1]
    assert ladder("--lang", "fr", "list")[0] == 2


@pytest.mark.parametrize(("variables", "language"), [
    ({"LADDER_LANG": "zh", "LANG": "en_GB.UTF-8"}, "zh"), ({"LANG": "zh_CN.UTF-8"}, "zh"), ({"LANG": "de_DE"}, "en"),
    ({"LADDER_LANG": "xx", "LC_ALL": "zh_TW"}, "zh"), ({"LC_ALL": "C", "LANG": "zh_CN"}, "en"), ({}, "en")])
def test_default_language(monkeypatch, variables, language):
    for name in ("LADDER_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cli.default_language() == language


@pytest.mark.parametrize("arguments", [
    ["hint", "day01_maed"], ["check", "99"], ["solution", "x", "y"], ["reset", "day07"], ["start", "99", "--no-lab"],
    ["watch", "99"], ["build", "99"], ["new", "99"]])
def test_unknown_days(ladder, arguments):
    code, out, err = ladder(*arguments)
    assert code == 2 and out == ""
    assert err.startswith(f"ladder {arguments[0]}: there is no day {arguments[1]!r} (see `ladder list --all`)")
    assert ("did you mean day01_made" in err) == (arguments[1] == "day01_maed")


@pytest.mark.parametrize("arguments", [
    ["hint", "2", "x"], ["check", "2"], ["solution", "2", "x"], ["reset", "2"], ["start", "2", "--no-lab"]])
def test_planned_days(ladder, arguments):
    code, _, err = ladder(*arguments)
    assert code == 2 and "day02_later is planned but not built yet; the last built day is day01_made" in err


@pytest.mark.parametrize("arguments", [["frobnicate"], ["--frobnicate"], ["list", "--frobnicate"], ["hint"], ["x", "list"]])
def test_wrong_requests(ladder, arguments):
    code, _, err = ladder(*arguments)
    assert code == 2 and "usage: ladder" in err
    if arguments[0] in ("frobnicate", "x"):
        assert "'progress'" in err  # every command is offered


def test_unknown_exercises(ladder):
    for arguments in (["hint", "1", "duoble"], ["solution", "1", "duoble"], ["reset", "1", "duoble"]):
        code, _, err = ladder(*arguments)
        assert code == 2 and "no exercise 'duoble' in day01_made; did you mean double?" in err


def test_list(ladder):
    code, out, _ = ladder("list")
    assert code == 0 and SLUG in out and "0/3" in out and "day02_later" not in out
    assert "planned" in ladder("list", "--all")[1]
    code, out, _ = ladder("list", "--json", "--all")
    first, second = json.loads(out)
    assert first["day"] == SLUG and first["points"] == 4.5 and first["built"] and not second["built"]


def test_hints_come_one_by_one(ladder):
    code, out, _ = ladder("hint", "1")
    assert code == 0 and all(name in out for name in ("double", "pair", "total"))
    assert ladder("hint", "1", "double")[1].split("\n")[0] == "1/2  Multiply."
    out = ladder("hint", "1", "double")[1]
    assert "Multiply." in out and "By two." in out and "next hint" not in out
    assert "By two." in ladder("hint", "1", "double")[1]
    assert ladder("hint", "1", "Pair.total")[1] == "total has no hints.\n"


def test_all_hints_at_once(ladder):
    assert "By two." in ladder("hint", "1", "double", "--all")[1]
    assert "By two." in ladder("hint", "1", "double")[1]


def test_the_solution_after_asking_twice(ladder):
    code, out, _ = ladder("solution", "1", "double")
    assert code == 1 and "return" not in out and "ask once more" in out
    code, out, _ = ladder("solution", "1", "double")
    assert code == 0 and "return x * 2.0" in out
    assert ladder("solution", "1", "total")[0] == 1  # asking is for each exercise


def test_the_solution_after_the_pass(ladder, monkeypatch):
    from ladder import records

    monkeypatch.setattr(records, "passed_checks", lambda *a: {f"{SLUG}.check_total"})
    code, out, _ = ladder("solution", "1", "total")
    assert code == 0 and out.startswith("@method_of(Pair)\ndef total(self):") and "double" not in out


def test_model_answers(ladder):
    assert ladder("solution", "1", "why")[0] == 1
    assert ladder("solution", "1", "why")[1] == "Because.\n"
    assert ladder("solution", "1", "why", "--lang", "zh")[1] == "因为。\n"


def test_start_without_the_lab(ladder):
    code, out, _ = ladder("start", "--no-lab")
    assert code == 0 and f"{SLUG} copied to" in out
    assert (ladder.root / "work" / f"{SLUG}.ipynb").exists()
    assert "up to date" in ladder("start", "1", "--no-lab")[1]
    assert "复制" in ladder("start", "1", "--no-lab", "--lang", "zh")[1]


def test_reset(ladder):
    code, _, err = ladder("reset", "1")
    assert code == 2 and f"`ladder start {SLUG}`" in err
    ladder("start", "1", "--no-lab")
    path = ladder.root / "work" / f"{SLUG}.ipynb"
    path.write_text("damaged")
    code, _, err = ladder("reset", "1", "double")
    assert code == 2 and "not a readable notebook" in err and path.read_text() == "damaged"
    code, out, _ = ladder("reset", "1")
    assert code == 0 and "kept in" in out
    assert Path(out.split("kept in ")[1].split("\n")[0].rstrip(".")).read_text() == "damaged"


def test_check_without_a_copy(ladder):
    code, _, err = ladder("check")
    assert code == 2 and "`ladder start` begins one" in err
    code, _, err = ladder("check", "1")
    assert code == 2 and f"`ladder start {SLUG}` makes it" in err


def test_build_and_stale(ladder):
    assert ladder("build", "--check")[:2] == (0, "1 days: every notebook is fresh\n")
    path = ladder.root / "stages" / "stage1_foundation" / f"{SLUG}.ipynb"
    path.write_text("old")
    code, out, _ = ladder("build", "--check")
    assert code == 1 and f"{SLUG}.ipynb is stale; run `ladder build {SLUG}`" in out
    assert ladder("build", "1")[0] == 0
    assert ladder("build", "--check")[0] == 0


def test_doctor(ladder):
    code, out, _ = ladder("doctor", "--json")
    rows = {row["what"]: row for row in json.loads(out)}
    assert rows["python"]["state"] == "ok" and code == (1 if any(
        row["state"] == "missing" for row in rows.values()) else 0)
    assert "torch" in ladder("doctor")[1]


def test_doctor_with_a_data_folder_that_is_not_there(ladder, monkeypatch):
    monkeypatch.setenv("LADDER_DATA", "/nowhere/at/all")
    code, out, _ = ladder("doctor")
    assert code == 1 and "LADDER_DATA=/nowhere/at/all does not exist" in out


def test_a_broken_curriculum_is_told(ladder):
    path = ladder.root / "curriculum.yaml"
    path.write_text(path.read_text().replace("check_double: 2", "check_double: two"))
    from ladder.curriculum import _load_curriculum

    _load_curriculum.cache_clear()
    code, _, err = ladder("list")
    assert code == 2 and "curriculum.yaml:" in err and "valid number" in err
    _load_curriculum.cache_clear()


def test_a_folder_that_cannot_be_written(ladder, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LADDER_WORK", str(tmp_path / "file" / "work"))
    code, _, err = ladder("start", "1", "--no-lab")
    assert code == 2 and "may you write in" in err


def test_interrupts(ladder, monkeypatch):
    from ladder.commands import list as command

    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run", interrupted)
    assert ladder("list")[0] == 130


QUICK = [[], ["--version"], ["list", "--all"], ["hint", "1"], ["hint", "1", "EX"], ["solution", "1", "EX"], ["progress"],
         ["progress", "--markdown"], ["journal"], ["gate"], ["data"], ["reset", "1"], ["start", "1", "--no-lab"], ["build", "--help"],
         ["check", "--help"], ["doctor", "--help"], ["verify", "--help"], ["publish", "--help"], ["new", "--help"],
         ["watch", "--help"]]


@pytest.mark.parametrize("arguments", QUICK, ids=lambda arguments: "_".join(arguments) or "none")
def test_quick_commands_import_neither_numpy_nor_torch(tmp_path, arguments):
    day = load_curriculum().built_days[0]
    arguments = [day.exercises[0].id if word == "EX" else word for word in arguments]
    code = ("import sys\nfrom ladder.cli import main\n"
            "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
            "print(*[m for m in ('numpy', 'torch', 'IPython', 'nbformat', 'jupytext', 'matplotlib') if m in sys.modules],"
            " sep=',', file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True,
                          env=os.environ | {"LADDER_WORK": str(tmp_path)})
    assert done.stderr.splitlines()[-1:] == [""], done.stderr


def test_output_into_a_closed_pipe(tmp_path):
    done = subprocess.run(f"{sys.executable} -m ladder list --all --json | head -1", shell=True, capture_output=True,
                          text=True, env=os.environ | {"LADDER_WORK": str(tmp_path)}, check=True)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_a_terminal_without_unicode(tmp_path):
    done = subprocess.run([sys.executable, "-m", "ladder", "list", "--lang", "zh"], capture_output=True, check=True,
                          env=os.environ | {"LADDER_WORK": str(tmp_path), "PYTHONIOENCODING": "ascii"})
    assert b"day01" in done.stdout


@pytest.fixture
def clone(tmp_path):
    """A clone's content and tool, importable there."""
    root = tmp_path / "clone"
    ignore = shutil.ignore_patterns("__pycache__", "*.ipynb", ".ipynb_checkpoints")
    for folder in ("ladder", "stages", "solutions", "graders", "kernels"):
        shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
    for folder in ("solutions", "graders", "kernels"):
        (root / "ladder" / folder).symlink_to(root / folder)
    shutil.copy(ROOT / "curriculum.yaml", root)
    return root


def in_clone(root, *arguments):
    return subprocess.run([sys.executable, "-m", "ladder", *arguments], cwd=root, capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": str(root), "LADDER_WORK": str(root / "work"), "LADDER_LANG": "en"})


def test_a_new_day_builds_and_its_checks_hold(clone):
    slug = [day.id for day in load_curriculum().days if not day.built
            and not (ROOT / "solutions" / load_curriculum().stage_of(day).id / f"{day.id}.py").exists()][-1]
    done = in_clone(clone, "new", slug)
    assert done.returncode == 0, done.stderr
    assert in_clone(clone, "new", slug).returncode == 2  # never overwrites
    entry = done.stdout[done.stdout.index("    exercises:"):].rstrip("\n")
    path = clone / "curriculum.yaml"
    lines = path.read_text(encoding="utf-8").split("\n")
    at = lines.index(f"  - id: {slug}") + 1
    while at < len(lines) and lines[at].startswith("    "):
        at += 1
    path.write_text("\n".join([*lines[:at], entry, *lines[at:]]), encoding="utf-8")
    assert yaml.safe_load(path.read_text(encoding="utf-8"))
    built = in_clone(clone, "build", slug)
    assert built.returncode == 0 and built.stdout.count("built ") == 2, built.stderr
    code = (
        "import sys; from ladder import content, judge, build; from ladder.observe import observe\n"
        "from ladder.curriculum import load_curriculum; c = load_curriculum(); day = c.day(sys.argv[1])\n"
        "stage = c.stage_of(day).id; assert str(content.source_path('graders', stage, day.id)).startswith(sys.argv[2])\n"
        "for check in content.checks_of(stage, day.id).values():\n"
        "    for seed in range(5):\n"
        "        v = lambda objects: judge.judge(check, observe(check, objects, seed, True), seed, True)\n"
        "        assert v(content.reference_objects(check)).passed\n"
        "        assert len(check.mistakes) >= 3\n"
        "        for mistake in check.mistakes:\n"
        "            found = v(content.mistaken_objects(mistake))\n"
        "            assert not found.passed and found.hint == mistake.hint, mistake.id\n"
        "assert not build.leaks(day) and not build.parity(day) and not build.stale(day)\n")
    proved = subprocess.run([sys.executable, "-c", code, slug, str(clone)], cwd=clone, capture_output=True, text=True,
                            check=False, env=os.environ | {"PYTHONPATH": str(clone)})
    assert proved.returncode == 0, proved.stderr
    lesson = clone / "stages" / load_curriculum().stage_of(load_curriculum().day(slug)).id / f"{slug}.py"
    plain = subprocess.run([sys.executable, str(lesson)], cwd=clone.parent, capture_output=True, text=True, check=False,
                           env=os.environ | {"PYTHONPATH": str(clone), "MPLBACKEND": "agg"})
    assert plain.returncode == 0 and "✓" in plain.stdout, plain.stderr


def test_a_new_day_needs_a_slug_and_a_stage(ladder):
    code, _, err = ladder("new", "Day X", "--stage", "stage1_foundation")
    assert code == 2 and "is not a slug" in err
    assert ladder("new", "day111_speculative", "--stage", "stage9_new")[0] == 0
    assert (ladder.root / "solutions" / "stage9_new" / "__init__.py").exists()

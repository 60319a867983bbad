"""`ladder check` and `ladder watch` on the tiny days, with a real kernel."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests import tiny

DAY = "day02_pair"
pytestmark = pytest.mark.xdist_group("commands")


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    env = tiny.install(folder) | {"LADDER_LANG": "en", "IPYTHONDIR": str(folder / "ipython")}
    done = tiny.run(["ladder", "build"], folder, env)
    assert done.returncode == 0, done.stderr
    code = ("import sys, json; from ladder.build import build; from ladder.curriculum import load_curriculum\n"
            "print(build(load_curriculum().day(sys.argv[1]), 'en', solved=True))")
    solved = subprocess.run([sys.executable, "-c", code, DAY], cwd=folder, env=env, text=True, capture_output=True,
                            check=True)
    env["SOLVED"] = solved.stdout
    return env


@pytest.fixture
def learner(env, tmp_path):
    """A learner with a work folder of their own."""
    return Learner({k: v for k, v in env.items() if k != "SOLVED"} | {"LADDER_WORK": str(tmp_path / "work")},
                   tmp_path, json.loads(env["SOLVED"]))


class Learner:
    def __init__(self, env, folder, solved):
        self.env, self.folder, self.solved = env, folder, solved
        self.path = folder / "work" / f"{DAY}.ipynb"

    def run(self, *words):
        done = tiny.run(["ladder", *words], self.folder, self.env)
        assert "Traceback (most recent" not in done.stderr
        return done

    def start(self, solve=(), **sources):
        assert self.run("start", DAY, "--no-lab").returncode == 0
        document = json.loads(self.path.read_text())
        answers = {cell["id"]: cell["source"] for cell in self.solved["cells"]}
        for cell in document["cells"]:
            if cell["id"] in solve or (solve == "all" and cell["id"].startswith("ex-")):
                cell["source"] = answers[cell["id"]]
            if cell["id"].replace("-", "_") in sources:
                cell["source"] = sources.pop(cell["id"].replace("-", "_"))
        assert not sources
        self.path.write_text(json.dumps(document))

    def check(self, *words, day=DAY):
        done = self.run("check", day, "--json", *words)
        return done.returncode, {row["check"]: row for row in json.loads(done.stdout)[DAY]}

    def records(self):
        path = self.folder / "work" / ".ladder" / "records.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]


def test_untouched_then_solved(learner):
    learner.start()
    before = learner.path.read_bytes()
    code, rows = learner.check()
    assert code == 1 and rows.pop("check_far")["state"] == "not_checked"
    assert {row["state"] for row in rows.values()} == {"failed"}
    assert all(row["fraction"] == 0 and "not written yet" in row["shown"] for row in rows.values())
    assert learner.path.read_bytes() == before
    learner.start(solve="all")
    done = learner.run("check")
    assert done.returncode == 1, done.stdout  # one cannot be checked here, and does not count as passed
    assert "3 of 4 checks passed, 9.5 of 10.5 points" in done.stdout and done.stdout.count("✓ passed") == 3
    assert "– not checked · check_far\n    needs a far machine" in done.stdout
    states = [record["state"] for record in learner.records() if "check" in record]
    assert states == ["failed"] * 3 + ["not_checked"] + ["passed"] * 3 + ["not_checked"]
    assert all(record["code"] for record in learner.records() if record.get("state") == "passed")
    assert "3/4" in learner.run("list").stdout
    answer = learner.run("solution", DAY, "mean")
    assert answer.returncode == 0 and "def row_mean" in answer.stdout


def test_broken_cells_do_not_keep_the_others_from_running(learner):
    learner.start(solve=("ex-pair", "ex-pair_add"), ex_mean="def row_mean(A:\n", ex_far="1 / 0\n")
    code, rows = learner.check()
    assert code == 1
    assert rows["check_norm"]["state"] == rows["check_add"]["state"] == "passed"
    for check in ("check_row_mean", "check_far"):
        assert rows[check]["state"] == "not_run" and "NameError" in rows[check]["shown"]


def test_missing_cells_are_told_and_start_puts_them_back(learner):
    learner.start(solve="all")
    document = json.loads(learner.path.read_text())
    document["cells"] = [cell for cell in document["cells"] if cell["id"] != "check-norm"]
    learner.path.write_text(json.dumps(document))
    code, rows = learner.check()
    assert code == 1 and rows["check_norm"]["state"] == "not_run"
    assert "`ladder start` puts it back" in rows["check_norm"]["shown"]
    assert "updated, with your cells kept" in learner.run("start", DAY, "--no-lab").stdout


def test_exit_code_of_a_day_that_passed_whole(learner):
    assert learner.run("start", "--no-lab").stdout.startswith("day01_line copied")
    path = learner.path.with_name("day01_line.ipynb")
    path.write_text(path.read_text().replace('raise NotImplementedError(\\"your code here\\")', "return a * x + b"))
    assert "return a * x + b" in path.read_text()
    done = learner.run("check", "1")
    assert done.returncode == 0 and "1 of 1 checks passed, 4 of 4 points" in done.stdout
    assert learner.run("start", "--no-lab").stdout.startswith("day02_pair")  # the next one


def test_a_kernel_that_dies(learner):
    learner.start(solve="all", ex_pair="import os\nos._exit(1)\n")
    code, rows = learner.check()
    assert code == 1 and rows["check_row_mean"]["state"] == "passed"
    assert all("the kernel died" in rows[check]["shown"] for check in ("check_norm", "check_add", "check_far"))


def test_a_cell_that_never_ends(learner):
    learner.start(solve="all", ex_far="while True: pass\n")
    code, rows = learner.check("--timeout", "15")
    assert code == 1 and [row["state"] for row in rows.values()].count("passed") == 3
    assert rows["check_far"]["state"] == "not_run"


def test_a_damaged_notebook(learner):
    learner.start()
    learner.path.write_text("{")
    done = learner.run("check", DAY)
    assert done.returncode == 2 and "not a readable notebook" in done.stderr
    assert learner.path.read_text() == "{"


def test_verdicts_in_chinese(learner):
    learner.env["LADDER_LANG"] = "zh"
    learner.run("start", DAY, "--no-lab")
    done = learner.run("check", DAY)
    assert "还没有写" in done.stdout and "未通过" in done.stdout and "not written" not in done.stdout
    learner.env["LADDER_LANG"] = "en"
    assert "4 checks passed" in learner.run("check", DAY).stdout  # the copy that is there is the Chinese one


def test_watch(learner):
    learner.start()
    watch = subprocess.Popen([sys.executable, "-u", "-m", "ladder", "watch"], cwd=learner.folder, env=learner.env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(iter(watch.stdout.readline, "")))
    reader.start()

    def wait(words):
        deadline = time.monotonic() + 60
        while words not in "".join(lines):
            assert watch.poll() is None and time.monotonic() < deadline, "".join(lines)
            time.sleep(0.1)

    try:
        wait("Watching")
        time.sleep(1)
        learner.start(solve="all")
        wait("3 of 4 checks passed")
        learner.path.write_text("{")
        wait("not a readable notebook")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(20) == 130
    finally:
        with contextlib.suppress(ProcessLookupError):
            watch.kill()
        reader.join(10)
        watch.stdout.close()
    assert "Traceback" not in "".join(lines)


def test_verdicts_are_recorded_in_the_work_folder_only(learner, tmp_path):
    learner.start(solve="all")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = ("import json, sys, pathlib; from ladder.runner import run_notebook\n"
            "from ladder.curriculum import load_curriculum\n"
            "day = load_curriculum().day(sys.argv[2]); document = json.loads(pathlib.Path(sys.argv[1]).read_text())\n"
            "print(sorted({o.state for o in run_notebook(document, day, pathlib.Path(sys.argv[3]), 60)}))")
    done = subprocess.run([sys.executable, "-c", code, str(learner.path), DAY, str(elsewhere)], cwd=tmp_path,
                          env=learner.env, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "['not_checked', 'passed']"
    assert not (Path(learner.env["LADDER_WORK"]) / ".ladder" / "records.jsonl").exists()


def test_the_environment_is_not_changed():
    assert "LADDER_MODE" not in os.environ

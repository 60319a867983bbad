"""Submissions that attack the grading, or fall to pieces while they run: one batch, one sandbox each.

Nobody gains a point over what the honest part earns, nothing outside is read, written or reached,
no batch stops, and each has a line in the report. (What is broken before it runs: test_intake.)
"""

from __future__ import annotations

import json
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import tiny
from test_nbgrader import DAY, FULL, MEAN, NONE, RIGHT, Edit, before, first, scores_of

SECRET = "canary-5d1f7c"
ADD_LATER = FULL | {"check_norm": 0.0, "check_add": 0.0}  # stopped after the first check


@dataclass
class Hostile:
    """``expected`` are the points of the honest part, ``says`` stands in the report's line."""

    expected: dict[str, float]
    edit: Edit | None = None
    sources: dict[str, str] | None = None
    says: str = ""
    at_most: bool = False  # where the machine decides how far the honest part gets


def empty(source: str, says: str = "", **more: Any) -> Hostile:
    """No work of its own, an attack before everything."""
    return Hostile(NONE, first(source), None, says, **more)


def good(source: str, says: str = "", expected: dict[str, float] = FULL, **more: Any) -> Hostile:
    """Right work, and trouble between the first check and the second exercise."""
    return Hostile(expected, before("pair", source), RIGHT, says, **more)


def mean(source: str, says: str = "", **more: Any) -> Hostile:
    """Right work but for the first exercise."""
    return Hostile(FULL | {"check_row_mean": 0.0}, None, RIGHT | {"mean": source}, says, **more)


SHOWN = "import json, os, struct\n" + '''
def frame(kind, content):
    text = json.dumps([kind, content]).encode()
    os.write(9, struct.pack("!I", len(text)) + text)
def emitted(check, values):
    return ("display_data", {"data": {"application/vnd.ladder.observations+json": {"format": 1,
            "check": "day02_pair." + check, "observations": [{"value": v, "hidden": False} for v in values]}}})
'''
HUNT = '''
import os
def hunt():
    for where, folders, files in os.walk("/"):
        if where.startswith(("/proc", "/sys", "/usr", "/dev")) or "site-packages" in where:
            folders[:] = []
        for name in files:
            path = os.path.join(where, name)
            try:
                text = open(path, errors="replace").read()
            except OSError:
                continue
            if ("A.sum(axis" "=1) / A.shape") in text or "canary-" "5d1f7c" in text:
                print("FOUND", path)
                if path.endswith(".py"):
                    exec(text, globals())
                else:
                    for cell in __import__("json").loads(text)["cells"]:
                        exec("".join(cell["source"]), globals())
hunt()
'''
FRAMES = '''
def row_mean(A):
    import gc, sys, numpy
    frame = sys._getframe()
    while frame:
        for name, value in list(frame.f_locals.items()):
            if "expect" in name or "reference" in name or "answer" in name:
                return value
        frame = frame.f_back
    for thing in gc.get_objects():
        if getattr(thing, "__name__", "") == "row_mean" and thing is not row_mean:
            return thing(A)
'''
EQUAL = '''
class Yes(np.ndarray):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0
    def __array__(self, *a, **k): return np.zeros(3)
    def tobytes(self, *a, **k): return b""
def row_mean(A): return np.zeros(A.shape[0]).view(Yes)
'''


def hostiles(course: Path, canary: Path, port: int) -> dict[str, Hostile]:
    return {
        # the verdict
        "asserts_patched": empty(
            "import builtins, numpy, ladder.compare, ladder.judge\n"
            "numpy.allclose = numpy.array_equal = lambda *a, **k: True\n"
            "ladder.judge.judge = lambda *a, **k: None\n"
            "for c in vars(ladder.compare).values():\n"
            "    if isinstance(c, type) and hasattr(c, 'difference'): c.difference = lambda *a, **k: None\n"
            "builtins.AssertionError = ValueError", "which a graded notebook may not"),
        "transformer": empty("get_ipython().input_transformers_cleanup.append(lambda lines: ['4.0\\n'])"),
        "ast_transformer": empty(
            "import ast\nclass Empty(ast.NodeTransformer):\n"
            "    def visit_Module(self, node): return ast.Module([], [])\n"
            "get_ipython().ast_transformers.append(Empty())"),
        "display_hook": empty(
            "import sys\nsys.displayhook = lambda v: print(4.0)\nget_ipython().displayhook = sys.displayhook\n"
            "get_ipython().display_pub.publish = lambda *a, **k: print('4.0')"),
        "emission_patched": empty(
            "import ladder.notebook\nladder.notebook._emit = ladder.notebook.run_check = lambda *a: 4.0"),
        "emission_twice": Hostile(NONE, first(
            "import ladder.notebook as n\ns = n._emit\nn._emit = lambda *a: (s(*a), s(*a))"), RIGHT,
            "reported more than once"),
        "forged_frames": empty(SHOWN + "for c in ('check_row_mean', 'check_norm'):\n"
                               "    frame(*emitted(c, [0.0] * 4))"),
        "forged_end": good(SHOWN + "frame('done', [1, 1, 0]); frame('end', None)", "could not be read", ADD_LATER),
        "forged_order": good(SHOWN + "frame('start', 0)", "could not be read", ADD_LATER),
        "garbage": good("import os\nos.write(9, b'\\x00\\x00\\x00\\x05{[{[{' * 9)", "could not be read", ADD_LATER),
        "giant_frame": good("import os\nos.write(9, b'\\xff' * 64)", "could not be read", ADD_LATER),
        "deep_frame": good("import os, struct\nos.write(9, struct.pack('!I', 90000) + b'[' * 90000)",
                           "could not be read", ADD_LATER),
        "pipe_closed": good("import os\nos.closerange(3, 50)", "ended the Python process", ADD_LATER),
        "clock": good("import time\ntime.perf_counter = lambda: float('nan')\ntime.time = lambda: -1"),
        "frames": mean(FRAMES),
        "equal": mean(EQUAL),
        "nan": mean("def row_mean(A): return np.full(A.shape[0], np.nan)"),
        "huge_shape": mean("def row_mean(A): return np.broadcast_to(1.0, (10**6, 10**6))"),
        "objects": mean("def row_mean(A):\n    a = np.empty(3, object)\n    a[0] = a\n    return a"),
        "endless_list": mean("def row_mean(A):\n    a = []\n    a.append(a)\n    return a"),
        "mistakes_read": empty(
            "from ladder.graders.stage1_foundation.day02_pair import check_row_mean as c\n"
            f"print('{SECRET}' if c.mistakes else 'no mistakes')\n"
            "import inspect\nassert 'axis=1' not in inspect.getsource(inspect.getmodule(c.observe))"),
        # the answer, and what is not the learner's to see
        "hunter": empty(HUNT),
        "hunter_hidden": empty(f"exec({HUNT!r}.replace('json', 'js' + 'on'))"),
        "source_read": empty(f"import json\nnb = json.load(open('{course}/source/{DAY}/{DAY}.ipynb'))\n"
                             "for c in nb['cells']: exec(''.join(c['source']))"),
        "guard_removed": empty(
            "import sys\nsys.meta_path[:] = [f for f in sys.meta_path if 'uard' not in type(f).__name__]\n"
            f"exec('from lad' 'der.solu' 'tions.stage1_foundation.{DAY} import *')"),
        "reads_files": good(
            f"for p in ('/etc/shadow', '{canary}', '{course}/gradebook.db', '/proc/1/mem', '/root/.bashrc',\n"
            f"          '{course}/submitted/forged_end/{DAY}/{DAY}.ipynb'):\n"
            "    try:\n        print('READ', p, open(p, 'rb').read(100))\n    except OSError as e: print(e)"),
        "environment": good("import os, subprocess\nprint(dict(os.environ))\n"
                            "print(subprocess.run(['cat', '/proc/1/environ', '/proc/self/environ'],"
                            " capture_output=True))"),
        "symlink": good("import os\nprint(os.listdir('.'))\nprint(open('data.txt').read())"),
        # what is outside
        "gradebook": good(f"import sqlite3\ndb = sqlite3.connect('{course}/gradebook.db')\n"
                          "db.execute('update grade set manual_score = 99')\ndb.commit()"),
        "writes": good(f"for p in ('{canary}', '{course}/nbgrader_config.py', '/usr/x', '/etc/passwd', '/x'):\n"
                       "    try:\n        open(p, 'w').write('mine'); print('WROTE', p)\n"
                       "    except OSError as e: print(e)"),
        "network": good(
            "import socket, urllib.request\nfor kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
            "    s = socket.socket(socket.AF_INET, kind)\n    try:\n"
            f"        s.connect(('127.0.0.1', {port})); s.send(b'hello')\n    except OSError as e: print(e)\n"
            f"s = socket.socket(socket.AF_UNIX)\ntry:\n    s.connect('\\0ladder-{port}')\n    s.send(b'hello')\n"
            "except OSError as e: print(e)"),
        "kills": good("import os, signal\nfor p in (os.getppid(), -1, 1):\n    try:\n"
                      "        os.kill(p, signal.SIGKILL)\n    except OSError as e: print(e)"),
        "privileges": good(
            "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\n"
            "print('GOT', [n for n, a in {'user': c.unshare(0x10000000), 'mount': c.mount(b'x', b'/tmp', b'tmpfs',"
            " 0, None), 'umount': c.umount2(b'/proc', 2), 'chroot': c.chroot(b'/tmp'),"
            " 'root': c.setuid(0)}.items() if a == 0])"),
        # breakdowns
        "stderr": good("import sys, warnings, logging, os\nwarnings.warn('w'); logging.error('e')\n"
                       "print('x', file=sys.stderr); os.write(2, b'low')"),
        "exit": good("import sys\nexit()\nsys.exit(3)"),
        "os_exit": good("import os\nos._exit(0)", "ended the Python process", ADD_LATER),
        "crash": good("import ctypes\nctypes.string_at(0)", "ended the Python process", ADD_LATER),
        "stack": good("import sys\nsys.setrecursionlimit(10**8)\nf = lambda x: repr([x]) and f([x])\nf(0)",
                      expected=ADD_LATER, at_most=True),
        "malformed_display": good(
            "from IPython.display import display\nfor d in ({'text/plain': 5}, {'image/png': object()}, {7: None}, {}):\n"
            "    display(d, raw=True)\nget_ipython().display_pub.publish([1, 2])"),
        "output_500_mb": good("for i in range(500):\n    print('x' * 10**6)"),
        "output_below": good("import os\ntry:\n    while True: os.write(1, b'x' * 10**6)\n"
                             "except OSError as e: print(e)"),
        "fork_bomb": Hostile(FULL, before("pair", "import os\nwhile True: os.fork()"), RIGHT, at_most=True),
        "shell_bomb": good("import subprocess\nsubprocess.Popen(':(){ :|:& };:', shell=True, executable='/bin/bash')",
                           at_most=True),
        "memory_30_gb": good("big = np.ones(30 * 2**27)"),
        "memory_many": good(
            "import os, time\nfor i in range(20):\n    if os.fork() == 0:\n"
            "        x = bytearray(100 * 2**20); time.sleep(60); os._exit(0)\ntime.sleep(30)",
            "GiB of memory", ADD_LATER),
        "hangs": good("import time\nwhile True:\n    try:\n        time.sleep(60)\n"
                      "    except KeyboardInterrupt: pass", "could not be interrupted", ADD_LATER),
        "disk": good("try:\n    with open('/tmp/x', 'wb') as f:\n        for i in range(4000): f.write(bytes(2**20))\n"
                     "except OSError as e: print(e)\nimport os; os.remove('/tmp/x')"),
        "threads": good(
            "import threading, time\ndef late():\n    while True:\n        time.sleep(0.01); print('late')\n"
            "for i in range(5): threading.Thread(target=late).start()"),
        "daemon": good("import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
                       "    os.closerange(0, 50)\n    time.sleep(600)\n    os._exit(0)"),
    }


@dataclass
class Attacked:
    course: Path
    canary: Path
    reached: list[bytes]
    answer: Any
    cases: dict[str, Hostile]
    scores: dict[str, dict[str, float | None]]
    lines: dict[str, str]


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    folder = tmp_path_factory.mktemp("hostile")
    env = tiny.install(folder / "site") | {"LADDER_PROBE": SECRET, "LANG": "C.UTF-8"}
    assert tiny.run(["ladder", "publish", "course", "--days", "1", "2"], folder, env).returncode == 0
    course, canary = folder / "course", folder / "canary.txt"
    canary.write_text(SECRET)
    with (course / "nbgrader_config.py").open("a") as config:
        config.write("c.JudgeExecute.timeout = 6\nc.JudgeExecute.notebook_timeout = 60\n"
                     "c.JudgeExecute.memory = 768\nc.JudgeExecute.processes = 40\n")
    release = json.loads((course / "release" / DAY / f"{DAY}.ipynb").read_text("utf-8"))
    with _listening() as (port, reached):
        cases = hostiles(course, canary, port)
        for student, case in cases.items():
            place = course / "submitted" / student / DAY
            place.mkdir(parents=True)
            (place / f"{DAY}.ipynb").write_text(json.dumps(_notebook(case, release)), encoding="utf-8")
        (course / "submitted" / "symlink" / DAY / "data.txt").symlink_to(canary)
        answer = tiny.run(["ladder", "--lang", "en", "grade", "2", "--workers", "2"], course, env)
    report = (course / "reports" / f"{DAY}.grading.tsv").read_text("utf-8")
    lines = {line.split("\t")[1]: line for line in report.splitlines()}
    yield Attacked(course, canary, reached, answer, cases, scores_of(course, DAY), lines)


def _notebook(case: Hostile, release: dict[str, Any]) -> dict[str, Any]:
    from test_nbgrader import Submission

    return Submission(case.sources, {}, edit=case.edit).notebook(release)


class _listening:
    """A server that counts who reaches it, over TCP and over an abstract socket."""

    def __enter__(self) -> tuple[int, list[bytes]]:
        self.tcp = socket.create_server(("127.0.0.1", 0))
        port = self.tcp.getsockname()[1]
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(f"\0ladder-{port}")
        self.unix.listen()
        self.reached: list[bytes] = []
        for server in (self.tcp, self.unix):
            threading.Thread(target=self._serve, args=[server], daemon=True).start()
        return port, self.reached

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            self.reached.append(b"someone")
            connection.close()

    def __exit__(self, *error: object) -> None:
        for server in (self.tcp, self.unix):
            server.shutdown(socket.SHUT_RDWR)
            server.close()


pytestmark = [
    pytest.mark.slow, pytest.mark.xdist_group("hostile"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox needs Linux"),
]
NAMES = list(hostiles(Path(), Path(), 0))


def test_the_batch_goes_to_its_end(attacked: Attacked) -> None:
    assert attacked.answer.returncode == 0, attacked.answer.stderr[-3000:] + attacked.answer.stdout[-3000:]
    assert set(attacked.lines) == set(attacked.cases) and len(attacked.cases) >= 40


@pytest.mark.parametrize("student", NAMES)
def test_no_point_beyond_the_honest_part(attacked: Attacked, student: str) -> None:
    case, got = attacked.cases[student], attacked.scores[student]
    for name, points in case.expected.items():
        if case.at_most:
            assert (got[name] or 0.0) <= points, attacked.lines[student]
        else:
            assert got[name] == points, attacked.lines[student]
    assert case.says in attacked.lines[student]
    assert "graded" in attacked.lines[student]


@pytest.mark.parametrize("student", NAMES)
def test_nothing_secret_is_shown(attacked: Attacked, student: str) -> None:
    path = attacked.course / "autograded" / student / DAY / f"{DAY}.ipynb"
    cells = json.loads(path.read_text("utf-8"))["cells"]
    shown = json.dumps([cell.get("outputs") for cell in cells])
    for word in (SECRET, "READ /", "WROTE /", "FOUND /", MEAN.split("return")[1].strip()):
        assert word not in shown, f"{student} shows {word}"
    if student == "privileges":
        assert "GOT []" in shown
    assert path.stat().st_size < 20 * 2**20


def test_nothing_outside_is_changed_or_reached(attacked: Attacked) -> None:
    assert attacked.canary.read_text() == SECRET
    assert attacked.reached == []
    assert "mine" not in (attacked.course / "nbgrader_config.py").read_text()[:4]
    with sqlite3.connect(attacked.course / "gradebook.db") as database:
        assert database.execute("select count(*) from grade where manual_score is not null").fetchone() == (0,)


def test_no_process_is_left(attacked: Attacked) -> None:
    mine = [path for path in Path("/proc").glob("[0-9]*/cmdline") if "ladder.cohort.warm" in _words(path)
            and str(attacked.course.parent) in _words(path.with_name("environ"))]
    assert not mine


def _words(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""

"""Run a submission's cells in a confined child of a warm process, and hear what comes of them.

This is the trusted side: it starts the warm process (one for each day), hands it jobs, reads what a
child sends, and ends the child when it has used up its limits. What a child sends is the learner's
word: frames of any size and content, in any order.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ladder.cohort.jobs import LATER, Heard, Job, Ran
from ladder.cohort.outputs import Collector, recleaned
from ladder.curriculum import load_curriculum
from ladder.errors import LadderError
from ladder.text import Text, say

START = 300.0          # seconds for the imports of the warm process
LOOK = 0.25            # seconds between looks at a child's memory
FRAME = 64 * 2**20
WORDS = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
         "XDG_CACHE_HOME", "MPLCONFIGDIR", "TMPDIR", "LADDER_DATA", "LADDER_CACHE")

ENDED = say("this cell ended the Python process (exit, a crash, or out of memory)",
            "这个单元格使 Python 进程终止（退出、崩溃或内存不足）")
STUBBORN = say("this cell ran too long and could not be interrupted", "这个单元格运行时间过长，而且无法中断")
NONSENSE = say("the kernel's answer to this cell could not be read", "无法读取内核对这个单元格的应答")


class SandboxError(LadderError):
    """Graded code cannot be confined here, and the instructor has not allowed to go on without."""


class Warm:
    """One warm process and its children. ``run`` may be called from several threads at once."""

    def __init__(self, job: Job) -> None:
        self.process, self.channel = _start(job)
        self.lock = threading.Lock()
        try:
            self.channel.settimeout(START)
            answer = self.channel.recv(2**16)
            self.channel.settimeout(None)
            hello = json.loads(answer)
        except (OSError, ValueError) as error:
            self.close()
            raise SandboxError(f"the process that runs submissions did not start: {error or 'it ended'}; "
                               "its messages stand above") from None
        self.isolation: str = hello["isolation"]
        self.why: str = hello["why"]
        if self.isolation == "none" and job.sandbox == "required":
            self.close()
            raise SandboxError(
                f"submissions cannot be isolated on this machine: {self.why}. Their code could read and "
                "change everything that you can. Grade on a Linux machine that allows user namespaces "
                "(a container needs --security-opt seccomp=unconfined --cap-add SYS_ADMIN), or, for "
                'submissions of people you trust, set c.JudgeExecute.sandbox = "if-possible" in '
                "nbgrader_config.py / 本机无法隔离学生提交：其代码可以读取和修改你能访问的一切。请在允许用户命名空间的 "
                'Linux 上评分；若信任提交者，可在 nbgrader_config.py 中设置 c.JudgeExecute.sandbox = "if-possible"')

    def run(self, job: Job) -> Ran:
        with contextlib.ExitStack() as stack:
            child = stack.enter_context(self._child(job))
            ran = _listen(child, job, self.isolation)
        if any(heard.note == ENDED for heard in ran.cells.values()):
            with contextlib.suppress(subprocess.TimeoutExpired):  # did all of them end, by no fault of this one?
                self.process.wait(0.2)
                raise BrokenPipeError("the warm process ended")
        return ran

    @contextlib.contextmanager
    def _child(self, job: Job) -> Iterator[_Child]:
        with tempfile.TemporaryFile() as file:
            file.write(job.dumps())
            file.seek(0)
            hear, tell = os.pipe()
            try:
                with self.lock:
                    socket.send_fds(self.channel, [b"run"], [file.fileno(), tell])
                    answer, fds, _, _ = socket.recv_fds(self.channel, 64, 1)
            except BaseException:
                os.close(hear)
                raise
            finally:
                os.close(tell)
        if not answer:
            os.close(hear)
            raise BrokenPipeError("the warm process ended")
        child = _Child(int(answer), hear, fds[0] if fds else -1, self.isolation)
        try:
            yield child
        finally:
            child.end()

    def close(self) -> None:
        """The warm process ends when nobody speaks to it, and its children with it."""
        self.channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
            return
        self.process.kill()
        self.process.wait()


class _Child:
    def __init__(self, pid: int, hear: int, handle: int, isolation: str) -> None:
        self.pid, self.hear, self.handle, self.isolation = pid, hear, handle, isolation
        self.outer = _outer_pid(handle)

    def signal(self, number: int) -> None:
        with contextlib.suppress(OSError):
            if self.isolation == "none" and number == signal.SIGKILL:
                os.killpg(self.pid, number)
            elif self.handle >= 0:
                signal.pidfd_send_signal(self.handle, number)
            else:
                os.kill(self.pid, number)

    def end(self) -> None:
        self.signal(signal.SIGKILL)
        for number in (self.hear, self.handle):
            if number >= 0:
                os.close(number)

    def memory(self) -> int:
        """Bytes that the child and all it started hold for themselves."""
        return sum(_private(pid) for pid in _family(self.outer)) if self.outer else 0


def _start(job: Job) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    env = {name: os.environ[name] for name in WORDS if name in os.environ}
    env |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
            "MPLBACKEND": "agg", "PYTHONUNBUFFERED": "1"}
    env |= {name: value for name, value in job.environment.items() if name != "LADDER_SEED"}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ladder.cohort.warm", str(theirs.fileno())], env=env,
            pass_fds=[theirs.fileno()], cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    plan = {"day": job.day, "stage": _stage(job.day), "references": job.references,
            "preload": job.preload, "sandbox": job.sandbox, "gpu": job.gpu,
            "solutions": [f"ladder.solutions.{_stage(day)}.{day}" for day in job.references]}
    ours.sendall(json.dumps(plan).encode())
    return process, ours


def _stage(day: str) -> str | None:
    curriculum = load_curriculum()
    return curriculum.stage_of(curriculum.day(day)).id if day else None


_warm: dict[tuple[Any, ...], Warm] = {}
_warm_lock = threading.Lock()


def warm_for(job: Job) -> Warm:
    """The warm process of this day, started by the first who asks."""
    key = (job.day, job.references, job.preload, job.sandbox, job.gpu)
    with _warm_lock:
        found = _warm.get(key)
        if found is None or found.process.poll() is not None:
            found = _warm[key] = Warm(job)
        return found


@atexit.register
def close_all() -> None:
    for one in list(_warm.values()):
        one.close()
    _warm.clear()


def run(job: Job) -> Ran:
    """Run one job here, what is to run alone in a second child."""
    ran = _run(dataclasses.replace(job, alone=(), environment=job.environment | ({LATER: "1"} if job.alone else {})))
    if job.alone:
        apart = _run(dataclasses.replace(job, cells=job.alone, alone=(), files={}))
        for index, heard in apart.cells.items():
            if index in ran.cells and ran.cells[index].emissions:
                ran.cells[index] = heard
        ran.seconds += apart.seconds
    return ran


def _run(job: Job) -> Ran:
    """A warm process that was ended from outside is started again once."""
    try:
        return warm_for(job).run(job)
    except OSError:
        return warm_for(job).run(job)


def run_as_data(job: bytes) -> bytes:
    """The same for an executor on another process or machine."""
    return run(Job.loads(job)).dumps()


class _Listener:
    """The frames of one child, in the order that they may come in."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.cells = {index: Heard() for index, _ in job.cells}
        self.order = [index for index, _ in job.cells]
        self.at = -1                 # place in ``order`` of the cell that runs
        self.running = False
        self.finished = False
        self.collector = Collector([])
        self.received = 0
        self.seconds = 0.0

    @property
    def index(self) -> int:
        return self.order[max(self.at, 0)]

    def take(self, frame: bytes) -> None:
        """Raises ValueError for what no child of ours sends."""
        kind, content = json.loads(frame)
        if kind == "start":
            if self.running or self.at + 1 >= len(self.order) or content != self.order[self.at + 1]:
                raise ValueError("cells out of order")
            self.at, self.running, self.received = self.at + 1, True, 0
            self.collector = Collector([])
        elif kind == "done":
            index, count, taken = content
            if not self.running or index != self.index or type(count) is not int:
                raise ValueError("cells out of order")
            self.running = False
            self._keep()
            self.cells[index].count = count
            if type(taken) in (int, float) and 0 <= taken < 1e6:
                self.seconds += taken
        elif kind == "end":
            if self.running or self.at + 1 != len(self.order):
                raise ValueError("ended too early")
            self.finished = True
        elif kind == "broken":
            if self.at >= 0:
                raise ValueError("broken, after all")
            raise SandboxError("a submission could not be enclosed, so it was not run; this is no "
                               f"fault of its author:\n{str(content)[-1500:]}")
        elif self.running:
            self.collector.take(kind, content)

    def _keep(self) -> None:
        heard = self.cells[self.index]
        heard.outputs = recleaned(self.collector.outputs)
        heard.emissions = list(self.collector.emissions)

    def stop(self, note: Text) -> None:
        """No more is heard: ``note`` is about the cell that ran, the others did not run."""
        at = max(self.at, 0)
        first = at
        if self.running or self.at < 0:
            if self.running:
                self._keep()
            self.cells[self.index].note = note
            first = at + 1
        elif self.at + 1 < len(self.order):  # between two cells
            self.cells[self.order[at + 1]].note = note
            first = at + 2
        rest = say(f"not run: Python had stopped in cell {self.index + 1}",
                   f"没有运行：Python 已在第 {self.index + 1} 个单元格停止")
        for index in self.order[first:]:
            if self.cells[index].note is None and self.cells[index].count is None:
                self.cells[index].note = rest


def _listen(child: _Child, job: Job, isolation: str) -> Ran:
    heard = _Listener(job)
    limits = job.limits
    now = time.monotonic()
    end = now + limits.total
    stop_at, asked, looked = end, False, now
    begun = False
    buffer = bytearray()
    if not job.cells:
        return Ran({}, isolation)
    while not heard.finished:
        now = time.monotonic()
        if now >= stop_at:
            if asked or not heard.running:
                heard.stop(STUBBORN if asked and now < end else _too_long(limits.total, asked))
                break
            child.signal(signal.SIGINT)
            asked, stop_at = True, now + limits.grace
        if now - looked >= LOOK:
            looked = now
            if child.memory() > limits.memory:
                heard.stop(say(f"stopped: this cell used more than {limits.memory / 2**30:.3g} GiB of memory",
                               f"已停止：这个单元格使用的内存超过了 {limits.memory / 2**30:.3g} GiB"))
                break
        ready, _, _ = select.select([child.hear], [], [], max(0.0, min(stop_at - now, LOOK)))
        if not ready:
            if _gone(child):
                ready = select.select([child.hear], [], [], 0)[0]
                if not ready:
                    heard.stop(ENDED)
                    break
            continue
        piece = os.read(child.hear, 2**20)
        if not piece:
            heard.stop(ENDED)
            break
        heard.received += len(piece)
        buffer += piece
        if heard.received > limits.output:
            heard.stop(say(f"stopped: this cell sent more than {limits.output // 2**20} MiB of output",
                           f"已停止：这个单元格的输出超过了 {limits.output // 2**20} MiB"))
            break
        try:
            for frame in _frames(buffer):
                at = heard.at
                heard.take(frame)
                if heard.at != at:
                    if not begun:  # its own time begins with its first cell
                        begun, end = True, time.monotonic() + limits.total
                    stop_at = min(time.monotonic() + limits.cell, end)
                    if asked and heard.running:
                        asked = False
        except (ValueError, TypeError, RecursionError, KeyError):
            heard.stop(NONSENSE)
            break
    return Ran(heard.cells, isolation, heard.seconds)


def _too_long(total: int, asked: bool) -> Text:
    return say(f"not run: the notebook took longer than {total} s",
               f"没有运行：整个笔记本的运行超过了 {total} 秒")


def _frames(buffer: bytearray) -> Iterator[bytes]:
    """Take the whole frames from the front of ``buffer``."""
    while len(buffer) >= 4:
        (size,) = struct.unpack_from("!I", buffer)
        if size > FRAME:
            raise ValueError("a frame larger than any of ours")
        if len(buffer) < 4 + size:
            return
        frame = bytes(buffer[4:4 + size])
        del buffer[:4 + size]
        yield frame


def _gone(child: _Child) -> bool:
    if child.handle < 0:
        return False
    return bool(select.select([child.handle], [], [], 0)[0])


def _outer_pid(handle: int) -> int:
    """The child's process id as this process sees it."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/self/fdinfo/{handle}").read_text().splitlines():
            if line.startswith("Pid:"):
                return max(0, int(line.split()[1]))
    return 0


def _family(pid: int) -> list[int]:
    found = [pid]
    for member in found:
        if len(found) > 2000:
            break
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{member}/task"):
                with contextlib.suppress(OSError):
                    text = Path(f"/proc/{member}/task/{task}/children").read_text()
                    found += [int(word) for word in text.split()]
    return found


def _private(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = Path(f"/proc/{pid}/statm").read_text().split()
        return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGE_SIZE")
    return 0

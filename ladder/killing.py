"""Try mutants in a child process that may loop, allocate or crash without harm.

The parent sends one JSON line a mutant (source, checks to try, seeds); the child answers with lines:
``{"limit": s}`` before each run of a check, and ``{"killed": ..., "why": ...}`` at the end. An alarm
in the child ends a run that takes too long; the parent ends a child that does not even answer its
alarm, and starts another. Limits are processor time, so that a busy machine does not change the
result; only the parent's patience is measured by the clock on the wall.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

MEMORY = 2 << 30      # bytes of address space above what the imports took
PATIENCE = 4          # the parent waits this many times the child's own limit, and
GRACE = 5.0           # this many seconds
START = 120.0         # seconds for the child to import and time the reference
LEAST, FACTOR = 2.0, 10


class TooLong(BaseException):
    """A run's time is up. No ``Exception``, so that code under test does not catch it."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`TooLong` in the main thread after ``seconds`` of processor time."""
    def ring(signum: int, frame: Any) -> None:
        raise TooLong(f"longer than {seconds:.3g} s")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.2)  # again, should it be swallowed
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@dataclass
class Trial:
    """Mutants of one day are tried here; close it (or use ``with``) to end the child."""

    stage: str
    slug: str
    seeds: int = 2
    _child: subprocess.Popen[bytes] | None = None
    _buffer: bytes = b""
    _folder: Any = field(default_factory=tempfile.TemporaryDirectory)

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._folder.cleanup()

    def killed(self, source: str, checks: Sequence[str]) -> str | None:
        """Why the mutant is killed, or None if it survives all ``checks``."""
        if self._child is None:
            self._start()
        message = json.dumps({"source": source, "checks": list(checks)}).encode() + b"\n"
        assert self._child is not None and self._child.stdin is not None
        try:
            self._child.stdin.write(message)
            self._child.stdin.flush()
        except BrokenPipeError:
            self._end()
            return "the process died"
        patience = START
        while True:
            answer = self._answer(patience)
            if answer is None:
                self._end()
                return "the process hung or died"
            if "limit" in answer:
                patience = PATIENCE * answer["limit"] + GRACE
            else:
                return answer["why"] if answer["killed"] else None

    def _start(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        self._buffer = b""
        self._child = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "ladder.killing", self.stage, self.slug,
             str(self.seeds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd=self._folder.name, env=environment,
        )

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _answer(self, patience: float) -> dict[str, Any] | None:
        """The next line of the child; None when it died or was silent for too long."""
        assert self._child is not None and self._child.stdout is not None
        pipe = self._child.stdout.fileno()
        deadline = time.monotonic() + patience
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                return None
            data = os.read(pipe, 65536)
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)


def _child(stage: str, slug: str, seeds: int) -> None:
    """Answer the parent on stdout; whatever the mutants print goes nowhere."""
    out = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    requests = os.fdopen(os.dup(0), "r")
    os.dup2(null, 0)

    def tell(**answer: Any) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    import numpy as np

    from ladder import content
    from ladder.judge import reference_run
    from ladder.observe import practice_seed

    np.seterr(all="ignore")
    checks = content.checks_of(stage, slug)
    limits: dict[str, float] = {}
    for request in map(json.loads, requests):
        for name in request["checks"]:
            if name not in limits:
                start = time.process_time()
                reference_run(checks[name], practice_seed(checks[name]), True)
                limits[name] = max(LEAST, FACTOR * (time.process_time() - start))
                tell(limit=START)
        _limit_memory()
        why = _first_kill(stage, slug, request["source"],
                          [checks[name] for name in request["checks"]], limits, seeds, tell)
        tell(killed=why is not None, why=why)


def _first_kill(
    stage: str, slug: str, source: str, checks: Sequence[Any], limits: dict[str, float],
    seeds: int, tell: Any,
) -> str | None:
    from ladder import content
    from ladder.judge import judge_rows, reference_run
    from ladder.observe import observe, practice_seed

    try:
        tell(limit=LEAST)
        with time_limit(LEAST):
            namespace = content.variant(stage, slug, source)
    except (Exception, TooLong) as error:  # a mutant may raise anything
        return f"importing it: {type(error).__name__}"
    for further in range(seeds + 1):
        for check in checks:
            seed = further or practice_seed(check)
            reference = reference_run(check, seed, True)
            tell(limit=limits[check.name])
            try:
                with time_limit(limits[check.name]):
                    run = observe(check, content.pick(namespace, check.needs, slug), seed, True)
                    wrong = [row for row in judge_rows(run, reference) if not row.right]
            except (Exception, TooLong) as error:  # as above
                return f"{check.name}: {type(error).__name__}"
            if wrong and reference.not_checked is None:
                return f"{check.name}: {wrong[0].label.en}"
    return None


def _limit_memory() -> None:
    """Once: address space for what is there now and :data:`MEMORY` more."""
    import resource

    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return
    try:
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return  # no /proc here: the alarm has to do
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2], int(sys.argv[3]))

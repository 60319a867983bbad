"""Run a check's generator on some objects and keep what it observed, as plain data."""

from __future__ import annotations

import contextlib
import linecache
import random
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ladder import wire
from ladder.checks import Check, NotChecked, Observe
from ladder.compare import Close, Comparison
from ladder.errors import LessonError, WireError
from ladder.text import Text, as_text

TOOL = str(Path(__file__).resolve().parent)
CONTENT = tuple(  # files of ours: no line of them is shown to a learner
    str(Path(__file__).resolve().parent.parent / part)
    for part in ("graders", "ladder", "solutions", "kernels")
)
MAX_OBSERVATIONS = 1000


@dataclass(frozen=True)
class Failure:
    """An error raised instead of a value: its class, the classes it derives from, and where."""

    kind: str
    bases: tuple[str, ...]
    message: str
    line: str = ""
    number: int = 0


@dataclass(frozen=True)
class Observation:
    """One yield: ``value`` is encoded by :mod:`ladder.wire`; it or ``failure`` is set."""

    label: Text
    comparison: Comparison
    value: Any = None
    failure: Failure | None = None
    hidden: bool = False


@dataclass(frozen=True)
class Run:
    """All observations of one run; ``not_checked`` gives the reason if it could not be made."""

    observations: tuple[Observation, ...]
    not_checked: Text | None = None


def practice_seed(check: Check) -> int:
    """The public seed of a check."""
    return zlib.crc32(check.id.encode())


def observe(check: Check, objects: Sequence[Any], seed: int, hidden: bool = False) -> Run:
    """Run ``check`` on ``objects`` (in the order of ``check.needs``) with a generator of ``seed``."""
    found: list[Observation] = []
    try:
        with _seeded(seed):
            found += _collect(check.observe, objects, np.random.default_rng(seed), False)
        if hidden and check.hidden_cases is not None:
            with _seeded(seed + 1):
                found += _collect(
                    check.hidden_cases, objects, np.random.default_rng([seed, 1]), True
                )
    except NotChecked as refusal:
        return Run(tuple(found), refusal.reason)
    return Run(tuple(found))


def _collect(
    generate: Observe, objects: Sequence[Any], rng: np.random.Generator, hidden: bool
) -> Iterator[Observation]:
    steps = generate(*objects, rng=rng)
    for _ in range(MAX_OBSERVATIONS):
        try:
            step = next(steps)
        except StopIteration:
            return
        except NotChecked:
            raise
        except (Exception, SystemExit) as error:  # the learner's code may raise anything
            yield Observation(Text("", ""), Close(), failure=failure_of(error), hidden=hidden)
            return
        label, value, comparison = _step(step)
        try:
            encoded = wire.encode(value() if callable(value) else value)
        except NotChecked:
            raise
        except WireError as refusal:
            problem = Failure("WireError", ("WireError",), str(refusal))
            yield Observation(as_text(label), comparison, failure=problem, hidden=hidden)
        except (Exception, SystemExit) as error:  # as above
            yield Observation(as_text(label), comparison, failure=failure_of(error), hidden=hidden)
        else:
            yield Observation(as_text(label), comparison, encoded, hidden=hidden)


def _step(step: Any) -> tuple[Any, Any, Comparison]:
    if not isinstance(step, tuple) or len(step) not in (2, 3) or (
        len(step) == 3 and not isinstance(step[2], Comparison)
    ):
        raise LessonError("a check yields (label, value) or (label, value, comparison), "
                          f"not {step!r:.80}")
    label, value, *rest = step
    return label, value, rest[0] if rest else Close()


def failure_of(error: BaseException) -> Failure:
    """Describe ``error`` with the last line of the learner's own code that led to it."""
    line, number = "", 0
    trace = error.__traceback__
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if not filename.startswith(CONTENT) and "site-packages" not in filename:
            text = linecache.getline(filename, trace.tb_lineno).strip()
            if text and not filename.startswith(sys.base_prefix):
                line, number = text, trace.tb_lineno
        trace = trace.tb_next
    bases = tuple(kind.__name__ for kind in type(error).__mro__ if kind is not object)
    try:
        message = str(error)
    except Exception:  # the class of the error may be the learner's own
        message = ""
    return Failure(type(error).__name__, bases, _printable(message)[:500], line[:200], number)


def _printable(words: str) -> str:
    """Without lone surrogates, which no file or terminal takes."""
    return words.encode("utf-8", "backslashreplace").decode()


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Set the global generators for the time of a run; the learner's own state comes back."""
    torch = sys.modules.get("torch")
    before = random.getstate(), np.random.get_state(), torch and torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch and torch.cuda.is_initialized() else None
    random.seed(seed)
    np.random.seed(seed % 2**32)
    if torch:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        if torch:
            torch.set_rng_state(before[2])
        if torch and cuda is not None:
            torch.cuda.set_rng_state_all(cuda)

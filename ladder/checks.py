"""What a grader is written with: ``check``, its hidden cases, and known mistakes.

A check is a generator that says only what to observe. Its parameters other than ``rng`` are names of
the day's solution; the harness runs it on the learner's objects and on the reference's with one seed
and compares the observations pairwise (see :mod:`ladder.observe` and :mod:`ladder.judge`)::

    @check()
    def check_matmul(matmul, rng):
        a, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
        yield say("(3, 4) @ (4, 2)", "(3, 4) @ (4, 2)"), lambda: matmul(a, b)

    check_matmul.mistake(
        say("Which operand is transposed?", "哪个操作数转置了？"),
        within="matmul", replace={"a @ b": "a @ b.T"},
    )

Each yield is ``(label, value)`` or ``(label, value, comparison)``. A value that is a function of no
arguments is called by the harness, so that an error in it costs that observation alone. Draw from ``rng`` outside
such functions and do not hand it to the learner's code (make a generator for it): the numbers that
follow must not depend on what that code does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ladder.compare import (
    AccuracyAtLeast,
    AtLeast,
    AtMost,
    Choice,
    Close,
    Comparison,
    ErrorAtMost,
    Exactly,
    Finite,
    Raises,
    SameSet,
)
from ladder.errors import LessonError
from ladder.text import Text, say

__all__ = [
    "NotChecked",
    "accuracy_at_least",
    "at_least",
    "at_most",
    "check",
    "choice",
    "close",
    "error_at_most",
    "exactly",
    "finite",
    "raises",
    "same_set",
    "say",
]

Observe = Callable[..., Generator[tuple, None, None]]


class NotChecked(Exception):
    """Raised in a check that cannot be made here; the reason is a :class:`Text`."""

    def __init__(self, reason: Text) -> None:
        super().__init__(reason.en)
        self.reason = reason


@dataclass(eq=False)
class Mistake:
    """A plausible wrong implementation: the reference with one name patched or replaced."""

    check: Check
    hint: Text
    within: str
    replace: Mapping[str, str] | None = None
    instead: Callable | None = None

    @property
    def id(self) -> str:
        return f"{self.check.name}#{self.check.mistakes.index(self) + 1}"


@dataclass(eq=False)
class Check:
    """A check and what belongs to it; call it on the learner's objects to see the verdict."""

    observe: Observe
    forbids: tuple[str, ...] = ()
    hidden_cases: Observe | None = None
    mistakes: list[Mistake] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.observe.__name__

    @property
    def slug(self) -> str:
        """The day's identity, the stem of the grader's file."""
        return self.observe.__module__.rpartition(".")[2]

    @property
    def stage(self) -> str:
        return self.observe.__module__.split(".")[-2]

    @property
    def id(self) -> str:
        """The check's identity in records and boxes, for example ``day02_micrograd.check_pow``."""
        return f"{self.slug}.{self.name}"

    @property
    def title(self) -> str:
        return (inspect.getdoc(self.observe) or self.name).split("\n")[0]

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the solution that the check is called on, in order."""
        return tuple(p for p in inspect.signature(self.observe).parameters if p != "rng")

    def hidden(self, cases: Observe) -> Observe:
        """Decorate further cases, same parameters, that only grading runs."""
        self.hidden_cases = cases
        return cases

    def mistake(
        self, hint: Text, *, within: str | None = None, replace: Mapping[str, str] | None = None
    ) -> Any:
        """Register a known mistake of this check, with the hint for a learner who made it.

        ``replace`` maps fragments of the reference's source inside ``within`` (``softmax`` or
        ``Value.__add__``), each found exactly once there, to the mistaken text. Without it, this
        decorates a function that stands in for ``within`` (by default, its own name).
        """
        if replace is not None:
            if within is None:
                raise LessonError(f"{self.name}: a mistake with replace= needs within=")
            self.mistakes.append(Mistake(self, hint, within, replace=dict(replace)))
            return None

        def register(function: Callable) -> Callable:
            self.mistakes.append(
                Mistake(self, hint, within or function.__name__, instead=function)
            )
            return function

        return register

    def __call__(self, *objects: Any) -> None:
        from ladder.notebook import run_check

        run_check(self, objects)


def check(*, forbids: tuple[str, ...] = ()) -> Callable[[Observe], Check]:
    """Make a check of a generator. ``forbids`` lists dotted names the learner must not use."""

    def decorate(observe: Observe) -> Check:
        return Check(observe, forbids=tuple(forbids))

    return decorate


def close(scale: float = 1.0, *, rtol: float | None = None, atol: float | None = None) -> Comparison:
    """Equal up to rounding (the default); ``scale`` widens the table's tolerance."""
    return Close(scale, rtol, atol)


def exactly() -> Comparison:
    """Equal in every digit."""
    return Exactly()


def choice() -> Comparison:
    """The answer to a quiz question; the verdict never shows the right one."""
    return Choice()


def same_set() -> Comparison:
    """The same items in any order."""
    return SameSet()


def at_least(bound: float) -> Comparison:
    """No number below ``bound``; needs no reference."""
    return AtLeast(bound)


def at_most(bound: float) -> Comparison:
    """No number above ``bound``; needs no reference."""
    return AtMost(bound)


def finite() -> Comparison:
    """No NaN, no infinity; needs no reference."""
    return Finite()


def accuracy_at_least(labels: Any, bound: float) -> Comparison:
    """Yield predicted classes; at least ``bound`` of them equal ``labels``."""
    return AccuracyAtLeast(labels, bound)


def error_at_most(target: Any, bound: float, *, worst: bool = False) -> Comparison:
    """Yield predictions; their mean squared (or worst absolute) error to ``target`` is bounded."""
    return ErrorAtMost(target, bound, worst)


def raises(*errors: type[BaseException]) -> Comparison:
    """Yield a function; calling it must raise one of ``errors`` (or a subclass)."""
    return Raises(tuple(error.__name__ for error in errors))

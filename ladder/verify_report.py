"""What ``ladder verify`` found of a day, and the figures over all days."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ladder.errors import LadderError
from ladder.killing import TooLong


@dataclass
class Report:
    """What :func:`verify_day` found of one day; the day holds if ``problems`` is empty."""

    day: str
    days: int = 1
    checks: int = 0
    mistakes: int = 0
    mistakes_failing: int = 0
    mutants: int = 0  # without those listed as equivalent
    mutants_killed: int = 0
    mutants_equivalent: int = 0
    kill_rate: float | None = None
    survivors: list[dict[str, Any]] = field(default_factory=list)
    stubs_failing: int = 0
    references_passing: int = 0
    independents_passing: int = 0
    canaries_seen: int = 0
    not_checked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def unchecked(self) -> set[str]:
        """The names of the checks that this machine cannot make."""
        return {line.split(":")[0] for line in self.not_checked}


TOTALS = ("days", "checks", "mistakes", "mistakes_failing", "mutants", "mutants_killed",
          "mutants_equivalent", "stubs_failing", "references_passing", "independents_passing")


def totals(reports: Sequence[Report]) -> dict[str, Any]:
    """The figures over all days."""
    found: dict[str, Any] = {name: sum(getattr(r, name) for r in reports) for name in TOTALS}
    found["kill_rate"] = (round(found["mutants_killed"] / found["mutants"], 4)
                          if found["mutants"] else None)
    return found


def told(prove: Callable[[], Iterable[str]], what: str) -> list[str]:
    """The problems that ``prove`` finds; an error of the content is one of them."""
    problems: list[str] = []
    try:
        problems.extend(prove())
    except (Exception, TooLong) as error:  # content may raise anything; verify goes on and tells
        problems.append(f"{what}: {tell(error)}")
    return problems


def tell(error: BaseException) -> str:
    return str(error) if isinstance(error, LadderError) else f"{type(error).__name__}: {error}"

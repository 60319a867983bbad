"""The reference's observations at the public seeds, for a copy of the workbook without solutions.

A course's release holds no answers: no solutions, no known mistakes (they are patches of the
solutions), no hidden cases. What practice needs of them is recorded here, one file a day: what the
reference and each mistake let a check observe. The answer to a quiz question is kept as a hash.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ladder import compare, release, wire
from ladder.checks import Check, Mistake
from ladder.compare import Choice, Comparison
from ladder.errors import LessonError
from ladder.observe import Failure, Observation, Run, practice_seed
from ladder.paths import source_path
from ladder.text import Text, say

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class SealedChoice(Comparison):
    """A quiz question whose right answer is known by its hash only."""

    salt: str = ""

    def difference(self, actual: Any, expected: Any) -> Text | None:
        if _seal(self.salt, actual) == expected:
            return None
        return Choice().difference(actual, object())


def _seal(salt: str, answer: Any) -> str:
    return hashlib.sha256(f"{salt}/{type(answer).__name__}/{answer!r}".encode()).hexdigest()


KINDS = {kind.__name__: kind for kind in (
    compare.Close, compare.Exactly, compare.SameSet, compare.AtLeast, compare.AtMost, compare.Finite,
    compare.AccuracyAtLeast, compare.ErrorAtMost, compare.Raises, SealedChoice)}


# --- recording, where the solutions are ---------------------------------------------------------


def record(checks: Sequence[Check]) -> dict[str, Any]:
    """What practice needs to judge ``checks`` without their solution, as JSON data."""
    from ladder.judge import mistake_run, reference_run

    found: dict[str, Any] = {}
    for check in checks:
        seed = practice_seed(check)
        found[check.name] = {
            "reference": run_data(check, reference_run(check, seed, False)),
            "mistakes": [{"hint": list(mistake.hint),
                          "run": run_data(check, mistake_run(mistake, seed, False))}
                         for mistake in check.mistakes],
        }
    return {"format": FORMAT, "checks": found}


def run_data(check: Check, run: Run) -> dict[str, Any]:
    data: dict[str, Any] = {"observations": [
        _observation_data(f"{check.id}/{n}", seen) for n, seen in enumerate(run.observations)]}
    if run.not_checked is not None:
        data["not_checked"] = list(run.not_checked)
    return data


def _observation_data(salt: str, seen: Observation) -> dict[str, Any]:
    comparison, value = seen.comparison, seen.value
    if isinstance(comparison, Choice):
        if seen.failure is None:
            value = _seal(salt, wire.decode(value))
        comparison = SealedChoice(salt)
    if type(comparison).__name__ not in KINDS:
        raise LessonError(f"a comparison {type(comparison).__name__} cannot be recorded; add it to "
                          "ladder/recorded.py")
    settings = {f.name: wire.encode(getattr(comparison, f.name))
                for f in dataclasses.fields(comparison)}
    data = {"label": list(seen.label), "comparison": [type(comparison).__name__, settings]}
    if seen.failure is None:
        return data | {"value": value}
    return data | {"failure": dataclasses.asdict(seen.failure) | {"line": "", "number": 0}}


def pack(document: dict[str, Any]) -> bytes:
    """A recording as it is stored; the same bytes for the same document."""
    return gzip.compress(json.dumps(document, sort_keys=True).encode(), mtime=0)


# --- reading, where they are not ----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Recorded:
    """The runs of the reference and of each known mistake, made where the course was published."""

    reference: Run
    mistakes: tuple[tuple[Mistake, Run], ...]


@functools.cache
def recorded(check: Check) -> Recorded | None:
    """The recording that stands in for the solution, or None where the solution itself is here."""
    if not release.is_release() or source_path("solutions", check.stage, check.slug).exists():
        return None
    data = _day(check.slug).get("checks", {}).get(check.name)
    if data is None:
        return Recorded(Run((), say("this day is not part of your course's release",
                                    "你所在课程的发布包里没有这一天")), ())
    return Recorded(run_of(data["reference"]), tuple(
        (Mistake(check, Text(*entry["hint"]), ""), run_of(entry["run"])) for entry in data["mistakes"]))


@functools.cache
def _day(slug: str) -> dict[str, Any]:
    path = release.FOLDER / f"{slug}.json.gz"
    if not path.exists():
        return {}
    return read(path)


def read(path: Path) -> dict[str, Any]:
    document = json.loads(gzip.decompress(path.read_bytes()))
    if document.get("format") != FORMAT:
        raise LessonError(f"{path} was recorded by another version; install the course's newest release")
    return document


def run_of(data: dict[str, Any]) -> Run:
    refused = data.get("not_checked")
    return Run(tuple(map(_observation, data["observations"])), Text(*refused) if refused else None)


def _observation(data: dict[str, Any]) -> Observation:
    name, settings = data["comparison"]
    comparison = KINDS[name](**{key: _plain(wire.decode(value)) for key, value in settings.items()})
    failure = data.get("failure")
    if failure is not None:
        failure = Failure(**failure | {"bases": tuple(failure["bases"])})
    return Observation(Text(*data["label"]), comparison, data.get("value"), failure)


def _plain(value: Any) -> Any:
    if isinstance(value, wire.Array):
        return value.values
    return tuple(map(_plain, value)) if isinstance(value, list) else value

"""The message that carries a graded run's observations out of the learner's kernel.

``emission`` makes it inside the kernel; ``receive`` reads it in the judge, trusting nothing in it:
labels and comparisons come from the judge's own run of the reference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from ladder.checks import Check
from ladder.compare import Close
from ladder.errors import WireError
from ladder.observe import MAX_OBSERVATIONS, Failure, Observation, Run, observe
from ladder.text import Text

FORMAT = 1


def graded_seed(check: Check, base: str) -> int:
    """The seed of one check in a graded run whose fresh random text is ``base``."""
    return int.from_bytes(hashlib.sha256(f"{base}/{check.id}".encode()).digest()[:6], "big")


def emission(check: Check, objects: Sequence[Any], seed: int) -> dict[str, Any]:
    """Run the check, hidden cases included, and describe the observations as JSON."""
    run = observe(check, objects, seed, hidden=True)
    return {
        "format": FORMAT,
        "check": check.id,
        "observations": [_as_json(seen) for seen in run.observations],
    }


def nothing_yet(check: Check) -> dict[str, Any]:
    """The emission of a check that ran and left its observations to another process."""
    return {"format": FORMAT, "check": check.id, "observations": []}


def _as_json(seen: Observation) -> dict[str, Any]:
    if seen.failure is None:
        return {"hidden": seen.hidden, "value": seen.value}
    failure = seen.failure
    return {"hidden": seen.hidden, "failure": {
        "kind": failure.kind, "bases": list(failure.bases), "message": failure.message,
        "line": failure.line, "number": failure.number,
    }}


def receive(check: Check, document: Any) -> Run:
    """The observations of an emission, or :class:`WireError` if it is not one of this check."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise WireError("the message is not an emission of this version")
    if document.get("check") != check.id:
        raise WireError(f"the message is about {str(document.get('check'))[:80]!r}, not {check.id}")
    entries = document.get("observations")
    if not isinstance(entries, list) or len(entries) > 2 * MAX_OBSERVATIONS:
        raise WireError("the message holds no list of observations")
    return Run(tuple(_from_json(entry) for entry in entries))


def _from_json(entry: Any) -> Observation:
    if not isinstance(entry, dict):
        raise WireError("an observation is not a record")
    label, hidden = Text("", ""), entry.get("hidden") is True
    if "failure" in entry:
        failure = entry["failure"]
        if not isinstance(failure, dict):
            raise WireError("a failure is not a record")
        bases = failure.get("bases")
        names = tuple(str(b)[:80] for b in bases[:20]) if isinstance(bases, list) else ()
        number = failure.get("number")
        return Observation(label, Close(), hidden=hidden, failure=Failure(
            str(failure.get("kind"))[:80], names, str(failure.get("message"))[:500],
            str(failure.get("line"))[:200], number if type(number) is int else 0,
        ))
    return Observation(label, Close(), entry.get("value"), hidden=hidden)

"""Results of jobs that a pool has run already, for nbgrader's ``Execute`` to find.

A job is found again by its content. One that nobody ran ahead runs when it is asked for: running
ahead changes how long grading takes and nothing else.
"""

from __future__ import annotations

import hashlib

from ladder.cohort import warmed
from ladder.cohort.jobs import Job, Ran

_ready: dict[str, list[Ran]] = {}


def take(job: Job) -> Ran:
    """What came of ``job``: run ahead, or run now."""
    results = _ready.get(_key(job))
    return results.pop() if results else warmed.run(job)


def put(job: Job, ran: Ran) -> None:
    _ready.setdefault(_key(job), []).append(ran)


def clear() -> None:
    """Drop results that nobody asked for."""
    _ready.clear()


def _key(job: Job) -> str:
    return hashlib.sha256(job.dumps()).hexdigest()

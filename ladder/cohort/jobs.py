"""What crosses the borders of a graded run, as data: a job goes in, what was heard comes back.

A job is one submission of one day; running it twice is harmless. Both are JSON, so that a worker on
another machine, or a learner's process, can only ever send words and numbers.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from ladder.text import Text

LATER = "LADDER_KERNELS_LATER"  # in a job's environment: checks of kernels observe nothing yet


@dataclass(frozen=True)
class Limits:
    """What one submission may use: seconds, bytes, processes."""

    cell: int = 60
    total: int = 900
    grace: float = 2.0        # between the request to stop and the end
    memory: int = 4 * 2**30
    processes: int = 256      # threads count
    file: int = 2**28
    disk: int = 2**29
    output: int = 64 * 2**20  # of one cell


@dataclass(frozen=True)
class Job:
    """The code cells of one submission (their places in the notebook, their sources) and its files.

    Cells that stand in ``alone`` run in a process of their own, after the others: what is heard of a check
    there takes the place of what was heard of it before.
    """

    day: str                  # a slug, or "" for an assignment of the instructor's own
    cells: tuple[tuple[int, str], ...]
    environment: dict[str, str] = field(default_factory=dict)
    references: tuple[str, ...] = ()  # earlier days whose solutions may be seen
    preload: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)  # base64 by relative path
    limits: Limits = Limits()
    sandbox: str = "required"
    gpu: bool = False
    alone: tuple[tuple[int, str], ...] = ()

    def dumps(self) -> bytes:
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def loads(cls, text: bytes) -> Job:
        found = json.loads(text)
        found["limits"] = Limits(**found["limits"])
        for name in ("cells", "alone"):
            found[name] = tuple((index, source) for index, source in found[name])
        for name in ("references", "preload"):
            found[name] = tuple(found[name])
        return cls(**found)

    def with_files(self, contents: dict[str, bytes]) -> Job:
        return dataclasses.replace(
            self, files={name: base64.b64encode(data).decode() for name, data in contents.items()})


@dataclass
class Heard:
    """What came of one cell: outputs, emissions of checks, and what went wrong."""

    outputs: list[dict[str, Any]] = field(default_factory=list)
    emissions: list[Any] = field(default_factory=list)
    count: int | None = None
    note: Text | None = None


@dataclass
class Ran:
    """What came of a job; ``isolation`` names what stood around it, ``seconds`` are its cells'."""

    cells: dict[int, Heard]
    isolation: str
    seconds: float = 0.0

    def dumps(self) -> bytes:
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def loads(cls, text: bytes) -> Ran:
        found = json.loads(text)
        cells = {}
        for index, heard in found["cells"].items():
            note = heard.pop("note")
            cells[int(index)] = Heard(**heard, note=Text(*note) if note else None)
        return cls(cells, found["isolation"], found["seconds"])

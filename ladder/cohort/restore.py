"""Give every cell of a submission back what the release said about it.

nbgrader decides by cell metadata: which cells are graded, for how many points, which are skipped.
A learner can edit all of it. So nothing of it is kept: metadata is written anew from the gradebook,
locked cells get their released source, and released cells that are missing are put back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor

from ladder.cohort.outputs import writable
from ladder.text import LANGUAGES, Text, say

CELL_ID = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
KINDS = ("code", "markdown", "raw")


@dataclass(frozen=True)
class Released:
    """A cell of the release as the gradebook knows it; ``points`` is None where none are given."""

    name: str
    cell_type: str
    source: str
    checksum: str
    locked: bool
    grade: bool
    solution: bool
    task: bool
    points: float | None

    @property
    def metadata(self) -> NotebookNode:
        nbgrader: dict[str, Any] = {
            "grade": self.grade, "grade_id": self.name, "locked": self.locked,
            "schema_version": 3, "solution": self.solution, "task": self.task,
            "cell_type": self.cell_type, "checksum": self.checksum,
        }
        if self.points is not None:
            nbgrader["points"] = self.points
        meta: dict[str, Any] = {"nbgrader": nbgrader}
        if self.locked:
            meta |= {"deletable": False, "editable": False}
        return _node(meta)


class RestoreCells(NbGraderPreprocessor):
    """The first of ``Autograde.sanitize_preprocessors``."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        found = resources["nbgrader"]
        with Gradebook(found["db_url"]) as gradebook:
            released = released_cells(gradebook.find_notebook(found["notebook"],
                                                              found["assignment"]))
        nb.cells, repairs = restored(nb.cells, released)
        for repair in repairs:
            self.log.warning("%s, %s: %s", found["student"], found["notebook"], repair.en)
        nb.metadata = _node(notebook_metadata(nb.metadata))
        nb.nbformat_minor = 5
        return nb, resources


def released_cells(notebook: Any) -> list[Released]:
    """The cells of a notebook in the gradebook, in the order of the release."""
    grades = {cell.name: cell.max_score for cell in notebook.grade_cells}
    tasks = {cell.name: cell.max_score for cell in notebook.task_cells}
    solutions = {cell.name for cell in notebook.solution_cells}
    return [
        Released(
            cell.name, cell.cell_type, cell.source, cell.checksum, bool(cell.locked),
            cell.name in grades, cell.name in solutions, cell.name in tasks,
            grades.get(cell.name, tasks.get(cell.name)),
        )
        for cell in notebook.source_cells
    ]


def restored(cells: Sequence[Any], released: Sequence[Released]) -> tuple[list[Any], list[Text]]:
    """The submission's cells with released metadata, and a line for each repair.

    Of several cells with one name the last counts, as in nbgrader; the others become plain cells.
    """
    known = {cell.name: cell for cell in released}
    repairs: list[Text] = []
    last = {name: n for n, cell in enumerate(cells) if (name := _name(cell)) in known}
    ids: set[str] = set()
    made: list[Any] = []
    place: dict[str, Any] = {}
    for n, cell in enumerate(cells):
        name = _name(cell)
        if name in known and last[name] != n:
            repairs.append(say(f"{name} stands more than once; the last one counts",
                               f"{name} 出现了不止一次；以最后一个为准"))
        if name in known and last[name] == n:
            new = _released_cell(known[name], _source(cell), repairs)
            place[name] = new
        else:
            new = _plain_cell(cell)
        if new.cell_type == "markdown" and (pictures := _attachments(cell)):
            new.attachments = pictures
        new.id = _fresh(cell.get("id"), n, ids)
        made.append(new)
    before: Any = None
    gone = [original.name for original in released if original.name not in place]
    if gone:
        what = ", ".join(gone[:5]) + (f" … ({len(gone)})" if len(gone) > 5 else "")
        repairs.append(say(f"{what}: missing, put back as released", f"{what}：缺失，已按发布内容放回"))
    for original in released:
        if original.name not in place:
            new = _released_cell(original, original.source, [])
            new.id = _fresh(None, len(made), ids)
            at = next((i for i, cell in enumerate(made) if cell is before), -1) + 1
            made.insert(at, new)
            place[original.name] = new
        before = place[original.name]
    return made, repairs


def _released_cell(released: Released, source: str, repairs: list[Text]) -> Any:
    if released.locked and source != released.source:
        repairs.append(say(f"{released.name} was changed; its released source is back",
                           f"{released.name} 被改动；已恢复发布的内容"))
        source = released.source
    cell = _bare(released.cell_type, source)
    cell.metadata = released.metadata
    return cell


def _plain_cell(cell: Any) -> Any:
    kind = cell.get("cell_type")
    return _bare(kind if kind in KINDS else "raw", _source(cell))


def _bare(kind: str, source: str) -> Any:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": source}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return _node(cell)


def _name(cell: Any) -> str:
    meta = cell.get("metadata")
    nbgrader = meta.get("nbgrader") if isinstance(meta, dict) else None
    name = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return name if isinstance(name, str) else ""


def _source(cell: Any) -> str:
    source = cell.get("source", "")
    return writable(source) if isinstance(source, str) else ""


def _attachments(cell: Any) -> Any:
    found = cell.get("attachments")
    fine = isinstance(found, dict) and all(
        isinstance(bundle, dict) and all(isinstance(data, str) for data in bundle.values())
        for bundle in found.values()
    )
    return found if fine else None


def _fresh(wanted: Any, number: int, ids: set[str]) -> str:
    """A valid cell id that no other cell has."""
    if not isinstance(wanted, str) or not CELL_ID.match(wanted):
        wanted = f"cell-{number}"
    while wanted in ids:
        wanted = f"{wanted[:50]}-{len(ids)}"
    ids.add(wanted)
    return wanted


def notebook_metadata(meta: Any) -> dict[str, Any]:
    """Only the language of the verdicts is the learner's to choose."""
    ladder = meta.get("ladder") if isinstance(meta, dict) else None
    language = ladder.get("language") if isinstance(ladder, dict) else None
    return {"ladder": {"language": language if language in LANGUAGES else LANGUAGES[0]},
            "language_info": {"name": "python", "pygments_lexer": "ipython3"}}


def _node(value: Any) -> Any:
    if isinstance(value, dict):
        return NotebookNode({key: _node(part) for key, part in value.items()})
    return value

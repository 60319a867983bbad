"""One connection and one transaction a submission, for the time of ``ladder grade``.

nbgrader opens the gradebook anew a dozen times for each submission and commits after every cell.
Within ``shared`` it gets the same open gradebook each time, its commits only flush, and ``commit``
writes one submission's grades all at once: a killed run leaves all of them or none. What nbgrader
looks up cell by cell is read once: a notebook's source cells for the run, a submission's grades and
comments together.
"""

from __future__ import annotations

import contextlib
import functools
import json
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import jsonschema
from nbgrader.api import (
    Assignment,
    BaseCell,
    Comment,
    Grade,
    Gradebook,
    Notebook,
    SubmittedAssignment,
    SubmittedNotebook,
)
from sqlalchemy import inspect


class Ledger:
    def __init__(self, gradebook: Any, session: Any) -> None:
        self.gradebook, self.session = gradebook, session
        self._commit = session.commit
        self._released: dict[tuple[str, ...], Any] = {}
        self._rows: dict[tuple[Any, str, str, str], dict[str, list[Any]]] = {}

    def commit(self) -> None:
        self._commit()
        self.forget()

    def rollback(self) -> None:
        self.session.rollback()
        self.forget()

    def forget(self) -> None:
        """Hold nothing of a submission that is done."""
        self.session.expunge_all()
        self._rows.clear()

    def released(self, find: Callable[..., Any], *names: str) -> Any:
        """What ``find`` finds of a cell of the release, asked for once a run."""
        key = (find.__name__, *names)
        if key not in self._released:
            self._released[key] = _Columns(find(self.gradebook, *names),
                                           functools.partial(find, self.gradebook, *names))
        return self._released[key]

    def row(self, kind: Any, find: Callable[..., Any], cell: str, notebook: str, assignment: str,
            student: str) -> Any:
        """The grade or comment of a cell, read with all others of its notebook."""
        key = (kind, notebook, assignment, student)
        if key not in self._rows:
            rows = self._rows[key] = {}
            submitted = (self.session.query(SubmittedNotebook.id)
                         .join(Notebook, Notebook.id == SubmittedNotebook.notebook_id)
                         .join(SubmittedAssignment, SubmittedAssignment.id == SubmittedNotebook.assignment_id)
                         .join(Assignment, Assignment.id == SubmittedAssignment.assignment_id)
                         .filter(Notebook.name == notebook, Assignment.name == assignment,
                                 SubmittedAssignment.student_id == student))
            for name, row in (self.session.query(BaseCell.name, kind)
                              .join(BaseCell, BaseCell.id == kind.cell_id)
                              .filter(kind.notebook_id.in_(submitted.scalar_subquery()))):
                rows.setdefault(name, []).append(row)
        found = self._rows[key].get(cell, ())
        return found[0] if len(found) == 1 else find(self.gradebook, cell, notebook, assignment, student)


class _Columns:
    """A row's columns, kept when the session has forgotten it; for all else the row is read again."""

    def __init__(self, row: Any, again: Callable[[], Any]) -> None:
        vars(self).update({column.key: getattr(row, column.key)
                           for column in inspect(type(row)).column_attrs}, _again=again)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._again(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._again(), name, value)
        vars(self)[name] = value


@contextlib.contextmanager
def quick_schema() -> Iterator[None]:
    """nbgrader reads its schema of cell metadata once, not once a cell and pass."""
    from nbgrader.nbgraderformat import common

    validators: dict[str, Any] = {}

    def validate(instance: Any, schema: Any) -> None:
        name = schema.get("$id") or json.dumps(schema, sort_keys=True)
        if name not in validators:
            kind = jsonschema.validators.validator_for(schema)
            kind.check_schema(schema)
            validators[name] = kind(schema)
        error = jsonschema.exceptions.best_match(validators[name].iter_errors(instance))
        if error is not None:
            raise error

    before = common.jsonschema
    common.jsonschema = SimpleNamespace(validate=validate)
    try:
        yield
    finally:
        common.jsonschema = before


@contextlib.contextmanager
def shared(url: str, course_id: str) -> Iterator[Ledger]:
    """Every ``Gradebook(url)`` made in this process is one gradebook."""
    gradebook: Any = Gradebook(url, course_id)
    session = gradebook.db()
    ledger = Ledger(gradebook, session)
    kept = {name: getattr(Gradebook, name) for name in (
        "__init__", "close", "find_source_cell", "find_graded_cell", "find_grade", "find_comment")}

    def init(self: Any, db_url: str, *args: Any, **more: Any) -> None:
        if db_url == url:
            vars(self).update(vars(gradebook))
        else:
            kept["__init__"](self, db_url, *args, **more)

    def close(self: Any) -> None:
        if self.engine is not gradebook.engine:
            kept["close"](self)

    def released(name: str) -> Callable[..., Any]:
        def find(self: Any, *names: str, **more: str) -> Any:
            ours = self.engine is gradebook.engine
            return ledger.released(kept[name], *names) if ours and not more else kept[name](self, *names, **more)
        return find

    def row(name: str, kind: Any) -> Callable[..., Any]:
        def find(self: Any, *names: str, **more: str) -> Any:
            ours = self.engine is gradebook.engine
            return ledger.row(kind, kept[name], *names) if ours and not more else kept[name](self, *names, **more)
        return find

    quick = {"__init__": init, "close": close, "find_source_cell": released("find_source_cell"),
             "find_graded_cell": released("find_graded_cell"), "find_grade": row("find_grade", Grade),
             "find_comment": row("find_comment", Comment)}
    try:
        session.commit = session.flush
        for name, function in quick.items():
            setattr(Gradebook, name, function)
        with warnings.catch_warnings(), quick_schema():  # about objects that nbgrader adds a moment later
            warnings.filterwarnings("ignore", "Object of type <Submitted")
            yield ledger
    finally:
        for name, function in kept.items():
            setattr(Gradebook, name, function)
        del session.commit
        gradebook.close()

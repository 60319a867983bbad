"""One connection and one transaction a submission, for the time of ``ladder grade``.

nbgrader opens the gradebook anew a dozen times for each submission and commits after every cell.
Within ``shared`` it gets the same open gradebook each time, its commits only flush, and ``commit``
writes one submission's grades all at once: a killed run leaves all of them or none.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import jsonschema
from nbgrader.api import Gradebook


class Ledger:
    def __init__(self, gradebook: Any, session: Any) -> None:
        self.gradebook, self.session = gradebook, session
        self._commit = session.commit

    def commit(self) -> None:
        self._commit()
        self.session.expunge_all()

    def rollback(self) -> None:
        self.session.rollback()
        self.session.expunge_all()


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
    kept = {"init": Gradebook.__init__, "close": Gradebook.close}

    def init(self: Any, db_url: str, *args: Any, **more: Any) -> None:
        if db_url == url:
            vars(self).update(vars(gradebook))
        else:
            kept["init"](self, db_url, *args, **more)

    def close(self: Any) -> None:
        if self.engine is not gradebook.engine:
            kept["close"](self)

    try:
        session.commit = session.flush
        Gradebook.__init__, Gradebook.close = init, close
        with warnings.catch_warnings(), quick_schema():  # about objects that nbgrader adds a moment later
            warnings.filterwarnings("ignore", "Object of type <Submitted")
            yield ledger
    finally:
        Gradebook.__init__, Gradebook.close = kept["init"], kept["close"]
        del session.commit
        gradebook.close()

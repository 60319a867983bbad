"""What every test starts with."""

from __future__ import annotations

import pytest

from ladder import notebook


@pytest.fixture(autouse=True)
def no_notebook_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook's set-up cell, run in a test, chooses the language for that test alone."""
    monkeypatch.setattr(notebook, "_language", None)

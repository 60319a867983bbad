"""The learner's copies: made once, never overwritten, merged when a newer version comes.

What the learner was given is kept under ``work/.ladder/base``, so that a merge knows what is theirs:
a cell that differs from it or is not in it. A merge takes the new notebook and puts theirs into it:
in the place of the cell they changed, or after the cell that theirs followed. The file as it was is
kept under ``work/.ladder/backups`` first.
"""

from __future__ import annotations

import copy
import datetime
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ladder.build import SUFFIX, _hashed, notebook_path
from ladder.curriculum import Day
from ladder.errors import WorkError
from ladder.paths import state_dir, work_dir
from ladder.text import LANGUAGES

Notebook = dict[str, Any]
Cell = dict[str, Any]


def copy_path(day: Day, language: str) -> Path:
    """The learner's copy; the English one has the plain name."""
    return work_dir() / f"{day.id}{SUFFIX[language]}"


def learner_copy(day: Day, language: str) -> Path:
    """The copy in the asked language, else in the other one if that is what there is."""
    paths = [copy_path(day, language), *(copy_path(day, other) for other in LANGUAGES)]
    return next((path for path in paths if path.exists()), paths[0])


def base_path(path: Path) -> Path:
    """What the learner was given, beside which ``path`` shows what is theirs."""
    return state_dir() / "base" / path.name


def read_notebook(path: Path) -> Notebook:
    """A notebook as data, with an error that says what to do if it is damaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        _require_cells(document)
        return document
    except FileNotFoundError:
        raise WorkError(f"{path} does not exist; `ladder start {path.name.split('.')[0]}` makes it"
                        ) from None
    except (ValueError, RecursionError) as error:
        raise WorkError(
            f"{path} is not a readable notebook ({error}). Nothing was changed. Earlier versions are "
            f"in {state_dir() / 'backups'} and .ipynb_checkpoints; `ladder reset "
            f"{path.name.split('.')[0]}` starts the day anew and keeps the damaged file as a backup"
        ) from None


def begin_day(day: Day, language: str) -> tuple[Path, str]:
    """Copy the day into work/, or merge a newer version; returns the path and what was done.

    What was done is one of ``new``, ``kept`` (already up to date) and ``merged``.
    """
    source = notebook_path(day, language)
    if not source.exists():
        raise WorkError(f"{source} does not exist; build it with `ladder build {day.id}`")
    text = source.read_text(encoding="utf-8")
    path = copy_path(day, language)
    if not path.exists():
        _write(path, text)
        _write(base_path(path), text)
        return path, "new"
    merged = merge(read_notebook(path), json.loads(text), _read_base(path))
    if merged is not None:
        backup(path)
        _write(path, json.dumps(merged, ensure_ascii=False, indent=1) + "\n")
    _write(base_path(path), text)
    return path, "kept" if merged is None else "merged"


def _read_base(path: Path) -> Notebook | None:
    """What the learner was given, or None if that is lost."""
    try:
        return read_notebook(base_path(path))
    except WorkError:
        return None


def _require_cells(document: Any) -> None:
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list):
        raise ValueError("it holds no list of cells")
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
            raise ValueError(f"its cell {number} is none")
        source = cell.get("source")
        if not isinstance(source, str) and not (
            isinstance(source, list) and all(isinstance(line, str) for line in source)
        ):
            raise ValueError(f"its cell {number} has no text")
        metadata = cell.setdefault("metadata", {})
        if not isinstance(metadata, dict) or not isinstance(metadata.get("nbgrader", {}), dict):
            raise ValueError(f"its cell {number} has broken metadata")


def merge(mine: Notebook, new: Notebook, base: Notebook | None) -> Notebook | None:
    """``new`` with what is the learner's in ``mine``, or None if nothing of ours changed.

    ``base`` is what the learner was given; without it, it is guessed from the ids.
    """
    if base is None:
        base = _guessed_base(mine, new)
    ours, given = _by_key(new["cells"]), _by_key(base["cells"])
    origins = _origins(mine["cells"], {**ours, **given})
    if (_contents(base) == _contents(new)
            and {key for key, cell in ours.items() if _grade_id(cell)} <= set(origins)):
        return None
    theirs = {key: cell for key, cell in zip(origins, mine["cells"], strict=True) if key is not None}
    result = []
    for key, cell in ours.items():
        if key in theirs and (_text(theirs[key]) == _text(cell) or (
            not _locked(cell) and _text(theirs[key]) != _text(given.get(key, cell))
        )):
            result.append(_Placed(key, _filled(cell, theirs[key])))
        elif key in theirs or key not in given or _grade_id(cell):
            result.append(_Placed(key, copy.deepcopy(cell)))
        # else the learner has deleted this text or demonstration
    _put_back(origins, mine["cells"], ours, given, result)
    merged = [placed.cell for placed in result]
    if _contents({"cells": merged}) == _contents(mine):
        return None
    return {**new, "cells": merged, "metadata": {
        **new["metadata"], **mine.get("metadata", {}), "ladder": new["metadata"].get("ladder", {})}}


@dataclass
class _Placed:
    key: str | None
    cell: Cell


def _put_back(
    origins: Sequence[str | None], cells: Sequence[Cell], ours: Mapping[str, Cell],
    given: Mapping[str, Cell], result: list[_Placed],
) -> None:
    """Put the learner's further cells after those that they followed."""
    after = 0
    for key, cell in zip(origins, cells, strict=True):
        if key is not None and key in ours:
            after = next((i + 1 for i, p in enumerate(result) if p.key == key), after)
            continue
        if not _text(cell).strip() or _locked(cell):
            continue
        if key is not None and _text(cell) == _text(given[key]):
            continue  # it was ours, and is gone
        taken = {placed.cell.get("id") for placed in result}
        result.insert(after, _Placed(None, _their_own(cell, taken)))
        after += 1


def _origins(cells: Sequence[Cell], known: Mapping[str, Cell]) -> list[str | None]:
    """For each cell the key of the given cell that it is, each key once; None for the learner's own."""
    origins: list[str | None] = [None] * len(cells)
    free = dict(known)
    ids = {cell.get("id") for cell in known.values()}
    for strict in (True, False):  # a copied cell has a new id: the one it was copied from goes first
        for position, cell in enumerate(cells):
            key = _key(cell)
            if origins[position] is None and key in free and (not strict or cell.get("id") in ids):
                origins[position] = key
                del free[key]
    texts = {_text(cell): key for key, cell in free.items()}
    for position, cell in enumerate(cells):  # ids do not survive every editor
        if origins[position] is None and texts.get(_text(cell)) in free:
            origins[position] = texts[_text(cell)]
            del free[texts[_text(cell)]]
    return origins


def _by_key(cells: Sequence[Cell]) -> dict[str, Cell]:
    return {_key(cell): cell for cell in cells}


def _key(cell: Cell) -> str:
    """The identity of a cell of ours: its nbgrader name, else its id."""
    return f"grade_id {_grade_id(cell)}" if _grade_id(cell) else str(cell.get("id"))


def _guessed_base(mine: Notebook, new: Notebook) -> Notebook:
    """What the learner was given: ids of given cells hold a hash of their (English) text."""
    there, now = _by_key(mine["cells"]), _by_key(new["cells"])
    chinese = new["metadata"].get("ladder", {}).get("language") == "zh"
    gone = []
    for key, cell in there.items():
        kind = re.match(r"(text|given)-[0-9a-f]{10}", str(cell.get("id")))
        if key not in now and kind and (
            kind[0] == _hashed(kind[1], _text(cell)) or (kind[1] == "text" and chinese)
        ):
            gone.append(cell)
    return {"cells": [cell for key, cell in now.items() if key in there] + gone}


def _filled(cell: Cell, theirs: Cell) -> Cell:
    """Our cell with the learner's text in it, and its outputs."""
    filled = copy.deepcopy(cell)
    filled["source"] = theirs["source"]
    if cell["cell_type"] == theirs["cell_type"]:
        filled |= {key: theirs[key] for key in ("outputs", "execution_count", "attachments")
                   if key in theirs}
    return filled


def _their_own(cell: Cell, taken: set) -> Cell:
    """A cell that is the learner's alone: nothing of nbgrader's in it, and an id of its own."""
    own = copy.deepcopy(cell)
    own["metadata"].pop("nbgrader", None)
    if not own.get("id") or own["id"] in taken or _grade_id(cell):
        own["id"] = next(f"mine-{n}" for n in range(len(taken) + 1) if f"mine-{n}" not in taken)
    if own["cell_type"] == "code":
        own.setdefault("outputs", [])
        own.setdefault("execution_count", None)
    return own


def _contents(notebook: Notebook) -> list[tuple]:
    """What of a notebook counts as its contents."""
    return [(_key(cell), cell["cell_type"], _text(cell), cell["metadata"].get("nbgrader"))
            for cell in notebook["cells"]]


def _locked(cell: Cell) -> bool:
    return bool(cell["metadata"].get("nbgrader", {}).get("locked"))


def _grade_id(cell: Cell) -> str | None:
    return cell.get("metadata", {}).get("nbgrader", {}).get("grade_id")


def _text(cell: Cell) -> str:
    source = cell["source"]
    return "".join(source) if isinstance(source, list) else source


def backup(path: Path) -> Path:
    """Keep a copy of ``path`` as it is now."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    target = state_dir() / "backups" / f"{path.name.removesuffix('.ipynb')}.{stamp}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.read_bytes())
    return target


def reset(day: Day, language: str, exercise: str | None = None) -> tuple[Path, Path]:
    """Put the stub of one exercise (or all of a day) back; returns the copy and its backup."""
    path = learner_copy(day, language)
    if not path.exists():
        raise WorkError(f"{path} does not exist, so there is nothing to reset; "
                        f"`ladder start {day.id}` makes it")
    source = notebook_path(day, "zh" if path.name.endswith(SUFFIX["zh"]) else "en")
    if not source.exists():
        raise WorkError(f"{source} does not exist; build it with `ladder build {day.id}`")
    text = source.read_text(encoding="utf-8")
    kept = backup(path)
    if exercise is None:
        _write(path, text)
        _write(base_path(path), text)
        return path, kept
    document = read_notebook(path)
    stub = next(cell for cell in json.loads(text)["cells"] if _grade_id(cell) == exercise)
    for position, cell in enumerate(document["cells"]):
        if _grade_id(cell) == exercise:
            document["cells"][position] = stub
            break
    else:
        raise WorkError(f"{path} no longer holds the cell of {exercise}; "
                        f"`ladder start {day.id}` puts it back")
    _write(path, json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    return path, kept


def _write(path: Path, text: str) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)

"""The learner's copies: made once, never overwritten, merged when a newer version comes.

A merge takes the new notebook and puts the learner's cells into it: what stands in exercise and
answer cells, and every cell that the learner added, after the cell it followed. The file as it was
is kept under ``work/.ladder/backups`` first.
"""

from __future__ import annotations

import copy
import datetime
import json
import os
from pathlib import Path
from typing import Any

from ladder.build import SUFFIX, notebook_path
from ladder.curriculum import Day
from ladder.errors import WorkError
from ladder.paths import state_dir, work_dir

Notebook = dict[str, Any]


def copy_path(day: Day, language: str) -> Path:
    """The learner's copy; the English one has the plain name."""
    return work_dir() / f"{day.id}{SUFFIX[language]}"


def read_notebook(path: Path) -> Notebook:
    """A notebook as data, with an error that says what to do if it is damaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(document.get("cells"), list):
            raise ValueError("it holds no list of cells")
        return document
    except FileNotFoundError:
        raise WorkError(f"{path} does not exist; `ladder start {path.name.split('.')[0]}` makes it"
                        ) from None
    except (ValueError, AttributeError) as error:
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
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, text)
        return path, "new"
    merged = merge(read_notebook(path), json.loads(text))
    if merged is None:
        return path, "kept"
    backup(path)
    _write(path, json.dumps(merged, ensure_ascii=False, indent=1) + "\n")
    return path, "merged"


def merge(mine: Notebook, new: Notebook) -> Notebook | None:
    """``new`` with the learner's cells of ``mine`` in it, or None if nothing of ours changed."""
    given_before = [_content(cell) for cell in mine["cells"] if _is_ours(cell, new) and not _own(cell)]
    given_now = [_content(cell) for cell in new["cells"] if not _own(cell)]
    ids_before = {_grade_id(cell) for cell in mine["cells"] if _own(cell)}
    ids_now = {_grade_id(cell) for cell in new["cells"] if _own(cell)}
    if given_before == given_now and ids_now <= ids_before:
        return None
    written = {_grade_id(cell): cell for cell in mine["cells"] if _own(cell)}
    result = copy.deepcopy(new)
    for position, cell in enumerate(result["cells"]):
        if _own(cell) and _grade_id(cell) in written:
            kept = copy.deepcopy(written[_grade_id(cell)])
            kept["metadata"] = cell["metadata"]
            kept["id"] = cell["id"]
            result["cells"][position] = kept
    _put_back_added(mine, new, result)
    result["metadata"] = {**mine.get("metadata", {}), **new["metadata"]}
    return result


def _put_back_added(mine: Notebook, new: Notebook, result: Notebook) -> None:
    """Cells that are the learner's alone, and edited given code, keep their place."""
    known = {cell["id"]: cell for cell in new["cells"]}
    originals = {_text(cell) for cell in new["cells"]}
    grade_ids = {_grade_id(cell) for cell in new["cells"]} - {None}
    taken = {cell["id"] for cell in result["cells"]}
    anchor: str | None = None
    for cell in mine["cells"]:
        identity = cell.get("id")
        if identity in known or (_grade_id(cell) in grade_ids):
            match = next((c["id"] for c in new["cells"] if c["id"] == identity
                          or (_grade_id(c) is not None and _grade_id(c) == _grade_id(cell))), None)
            anchor = match or anchor
            continue
        generated = str(identity or "").startswith(("text-", "given-")) and not _edited(cell)
        if generated or _text(cell) in originals or not _text(cell).strip():
            continue
        added = copy.deepcopy(cell)
        if added.get("id") in taken or not added.get("id"):
            added["id"] = f"mine-{len(taken)}"
        taken.add(added["id"])
        place = next((i for i, c in enumerate(result["cells"]) if c["id"] == anchor), -1)
        result["cells"].insert(place + 1, added)
        anchor = added["id"]


def _edited(cell: Any) -> bool:
    """Whether a generated cell's text no longer has the hash in its id."""
    from ladder.build import _hashed

    kind = str(cell["id"]).split("-")[0]
    return kind == "given" and not str(cell["id"]).startswith(_hashed(kind, _text(cell)))


def _own(cell: Any) -> bool:
    return bool(cell.get("metadata", {}).get("nbgrader", {}).get("solution"))


def _is_ours(cell: Any, new: Notebook) -> bool:
    """Whether the cell came with the day, now or in an earlier version."""
    meta = cell.get("metadata", {}).get("nbgrader")
    identity = str(cell.get("id", ""))
    return bool(meta) or identity in {c["id"] for c in new["cells"]} or (
        identity.startswith(("text-", "given-")) and not _edited(cell))


def _grade_id(cell: Any) -> str | None:
    return cell.get("metadata", {}).get("nbgrader", {}).get("grade_id")


def _text(cell: Any) -> str:
    source = cell.get("source", "")
    return "".join(source) if isinstance(source, list) else str(source)


def _content(cell: Any) -> tuple[str | None, str, str]:
    edited = str(cell.get("id", "")).startswith("given-")
    return _grade_id(cell), cell.get("cell_type", ""), cell["id"] if edited else _text(cell)


def backup(path: Path) -> Path:
    """Keep a copy of ``path`` as it is now."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    target = state_dir() / "backups" / f"{path.name.removesuffix('.ipynb')}.{stamp}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.read_bytes())
    return target


def reset(day: Day, language: str, exercise: str | None = None) -> tuple[Path, Path]:
    """Put the stub of one exercise (or all of a day) back; returns the copy and its backup."""
    path = copy_path(day, language)
    fresh = json.loads(notebook_path(day, language).read_text(encoding="utf-8"))
    if not path.exists():
        raise WorkError(f"{path} does not exist, so there is nothing to reset; "
                        f"`ladder start {day.id}` makes it")
    kept = backup(path)
    if exercise is None:
        _write(path, json.dumps(fresh, ensure_ascii=False, indent=1) + "\n")
        return path, kept
    document = read_notebook(path)
    stub = next(cell for cell in fresh["cells"] if _grade_id(cell) == exercise)
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
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)

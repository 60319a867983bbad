"""Find a day's released cells again in a notebook whose cell metadata is lost, doubled or wrong.

A cell is known by its grade id, else its cell id, else its released source, else the names that it
defines, else its place between its neighbours. Learners' sources are never rewritten: pieces of a
split cell are joined only where they parse joined and not apart, and what was merged into a locked
cell becomes a cell of its own. Pure.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ladder.cohort.restore import Released
from ladder.cohort.scan import plain_python
from ladder.text import Text, say

DEFINED = re.compile(r"^(?:async\s+def|def|class)\s+(\w+)", re.MULTILINE)
LONGEST = 500_000  # characters of a cell that is read as Python
FLAGS = ("grade", "locked", "solution", "task")


@dataclass(frozen=True)
class Release:
    """What a learner was given: tracked cells, their ids, and the sources of all other cells."""

    cells: tuple[Released, ...]
    ids: Mapping[str, str] = field(default_factory=dict)
    plain: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(cell.name for cell in self.cells)


def release_of(notebook: Mapping[str, Any]) -> Release:
    """From the released notebook's JSON."""
    tracked, ids, plain = [], {}, set()
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        meta = cell["metadata"].get("nbgrader", {})
        if not any(meta.get(flag) for flag in FLAGS):
            plain.add(_flat(source))
            continue
        name = meta["grade_id"]
        tracked.append(Released(name, cell["cell_type"], source, meta.get("checksum", ""),
                                bool(meta.get("locked")), bool(meta.get("grade")),
                                bool(meta.get("solution")), bool(meta.get("task")), meta.get("points")))
        ids[name] = cell.get("id", "")
    return Release(tuple(tracked), ids, frozenset(plain))


def matched(cells: Sequence[dict[str, Any]], release: Release) -> tuple[list[dict[str, Any]], list[Text]]:
    """The cells, each released one marked with its grade id alone, and a line for each repair."""
    return _Matching(cells, release).run()


class _Matching:
    def __init__(self, cells: Sequence[dict[str, Any]], release: Release) -> None:
        self.release = release
        self.known = {cell.name: cell for cell in release.cells}
        self.cells = [dict(cell) for cell in cells]
        self.names: list[str | None] = [n if (n := _grade_id(cell)) in self.known else None for cell in cells]
        self.repairs: list[Text] = []

    def run(self) -> tuple[list[dict[str, Any]], list[Text]]:
        self.changed_metadata()
        self.copies()
        self.found_again()
        self.split_cells()
        self.merged_into_locked()
        self.found_again()
        self.defined_elsewhere()
        for cell, name in zip(self.cells, self.names, strict=True):
            cell["metadata"] = {"nbgrader": {"grade_id": name}} if name else {}
        return self.cells, self.repairs

    # --- what a learner, or a learner's editor, wrote into metadata --------------------------------

    def changed_metadata(self) -> None:
        for cell, name in zip(self.cells, self.names, strict=True):
            meta = cell["metadata"].get("nbgrader")
            if name is None:
                if meta and any(meta.get(flag) for flag in FLAGS) and (wrong := _grade_id(cell)):
                    self.say(f"{wrong[:60]!r} is no cell of this day; it counts for nothing",
                             f"{wrong[:60]!r} 不是本日的单元格；不计分")
                continue
            original = self.known[name]
            if cell["cell_type"] != original.cell_type:
                self.say(f"{name} had been made a {cell['cell_type']} cell; it is {original.cell_type} again",
                         f"{name} 被改成了 {cell['cell_type']} 单元格；已恢复为 {original.cell_type}")
            theirs = meta.get("points") if meta else None
            if original.points is not None and theirs != original.points:
                self.say(f"{name} had its points changed; they are {original.points:g} again",
                         f"{name} 的分值被改动；已恢复为 {original.points:g}")
            if [bool(meta.get(flag)) for flag in FLAGS] != [getattr(original, flag) for flag in FLAGS]:
                self.say(f"{name} had its lock or its kind changed; both are as released",
                         f"{name} 的锁定或类别被改动；已恢复为发布时的设置")
            if meta.get("schema_version") != 3:
                self.say(f"{name} had metadata of another nbgrader version",
                         f"{name} 的元数据来自其他版本的 nbgrader")

    # --- copies and pieces -------------------------------------------------------------------------

    def copies(self) -> None:
        """Of copies of an exercise, one that was left as released says nothing."""
        for name, count in Counter(filter(None, self.names)).items():
            original = self.known[name]
            if count < 2 or original.locked:
                continue
            at = [i for i, found in enumerate(self.names) if found == name]
            untouched = [i for i in at if _flat(self.cells[i]["source"]) == _flat(original.source)]
            untouched = untouched[len(untouched) == len(at):]
            if untouched:
                self.say(f"{name} stood more than once; copies left as released were dropped",
                         f"{name} 出现了不止一次；与发布内容相同的副本已去掉")
                self.drop(untouched)

    def split_cells(self) -> None:
        i = 0
        while i + 1 < len(self.cells):
            pair = self.names[i], self.names[i + 1]
            name = pair[0] or pair[1]
            if name is not None and self.splits(i, name, pair):
                first, second = self.cells[i], self.cells[i + 1]
                gap = "\n" if first["cell_type"] == "code" else "\n\n"
                self.cells[i] = first | {"source": first["source"] + gap + second["source"]}
                self.names[i] = name
                self.drop([i + 1])
                self.say(f"{name} had been split; its pieces are one cell again",
                         f"{name} 被拆成了几个单元格；已合并")
            else:
                i += 1

    def splits(self, i: int, name: str, pair: tuple[str | None, str | None]) -> bool:
        """Whether cells i and i + 1 are pieces of the solution cell ``name``."""
        first, second = self.cells[i], self.cells[i + 1]
        if self.known[name].locked or not set(pair) <= {name, None} or first["cell_type"] != second["cell_type"]:
            return False
        if any(not cell["source"].strip() or _flat(cell["source"]) in self.release.plain
               for cell in (first, second)):
            return False
        if first["cell_type"] == "markdown":
            return pair == (name, name) and first["source"] != second["source"]
        if first["cell_type"] != "code":
            return False
        apart = _parses(first["source"]) and _parses(second["source"])
        return not apart and _parses(first["source"] + "\n" + second["source"])

    def merged_into_locked(self) -> None:
        """Take what a learner merged with a locked cell apart from it."""
        cells, names = [], []
        for cell, name in zip(self.cells, self.names, strict=True):
            original = self.known.get(name or "")
            source = cell["source"]
            if original is None or not original.locked or _flat(source) == _flat(original.source):
                cells.append(cell)
                names.append(name)
                continue
            released = original.source.strip()
            before, found, after = source.partition(released)
            if cell["cell_type"] != "code" or not found:
                before, after = source, ""  # edited: kept as the learner's own, before the real one
            else:
                self.say(f"{name} was merged with other cells; they are apart again",
                         f"{name} 与其他单元格合并了；已分开")
            for piece, mark in ((before, None), (released, name), (after, None)):
                if mark or piece.strip():
                    kind = original.cell_type if mark else cell["cell_type"]
                    cells.append(_made(kind, original.source if mark else piece.strip("\n")))
                    names.append(mark)
            if not found or cell["cell_type"] != "code":
                self.say(f"{name} was changed; its released source is back, and the learner's text "
                         "stands before it", f"{name} 被改动；已恢复发布的内容，学习者的文字放在它前面")
        self.cells, self.names = cells, names

    # --- cells without a name ----------------------------------------------------------------------

    def found_again(self) -> None:
        found = []
        for original in self.release.cells:
            if original.name not in self.names and (at := self.place_of(original)) is not None:
                self.names[at] = original.name
                found.append(original.name)
        if found:
            self.say(f"lost nbgrader metadata was found again for {_listed(found)}",
                     f"已找回丢失的 nbgrader 元数据：{_listed(found)}")

    def place_of(self, original: Released) -> int | None:
        free = [i for i, name in enumerate(self.names)
                if name is None and _flat(self.cells[i]["source"]) not in self.release.plain]
        identity = self.release.ids.get(original.name)
        if identity and (same := [i for i in free if self.cells[i].get("id") == identity]):
            return same[-1]
        if same := [i for i in free if _flat(self.cells[i]["source"]) == _flat(original.source)]:
            return same[-1]
        if original.locked:
            return None
        if original.cell_type == "code" and (wanted := _signatures(original.source)):
            share = {i: _signatures(self.cells[i]["source"]) & wanted for i in free
                     if self.cells[i]["cell_type"] == "code"}
            some = [i for i, names in share.items() if names]
            if some and frozenset().union(*share.values()) == wanted:
                return some[-1]
            return None
        return self.only_between(original, free)

    def only_between(self, original: Released, free: list[int]) -> int | None:
        """The one cell of the right kind between the nearest cells that are known."""
        order = [cell.name for cell in self.release.cells]
        here = order.index(original.name)
        before = [self.names.index(name) for name in order[:here] if name in self.names]
        after = [self.names.index(name) for name in order[here + 1:] if name in self.names]
        low, high = max(before, default=-1), min(after, default=len(self.cells))
        between = [i for i in free if low < i < high and self.cells[i]["source"].strip()
                   and self.cells[i]["cell_type"] == original.cell_type]
        return between[0] if len(between) == 1 else None

    def defined_elsewhere(self) -> None:
        """A released stub put back would undo what the learner defines in another cell."""
        for position, original in enumerate(self.release.cells):
            if original.name in self.names or original.locked or original.cell_type != "code":
                continue
            wanted = _signatures(original.source)
            holds = [i for i, cell in enumerate(self.cells)
                     if cell["cell_type"] == "code" and wanted and wanted <= _signatures(cell["source"])
                     and not wanted <= _signatures(self.known[self.names[i] or ""].source
                                                   if self.names[i] else "")]
            if not holds:
                continue
            earlier = [self.names.index(cell.name) for cell in self.release.cells[:position]
                       if cell.name in self.names]
            at = max([*earlier, holds[-1]]) + 1
            self.cells.insert(at, _made("code", ""))
            self.names.insert(at, original.name)
            self.say(f"{original.name} was merged into another cell; the learner's text stays there",
                     f"{original.name} 被合并到了另一个单元格；学习者的内容保留在那里")

    # --- small ---------------------------------------------------------------------------------------

    def drop(self, places: Sequence[int]) -> None:
        for i in sorted(places, reverse=True):
            del self.cells[i], self.names[i]

    def say(self, en: str, zh: str) -> None:
        self.repairs.append(say(en, zh))


def _grade_id(cell: Mapping[str, Any]) -> str:
    name = cell["metadata"].get("nbgrader", {}).get("grade_id")
    return name if isinstance(name, str) else ""


def _made(kind: str, source: str) -> dict[str, Any]:
    code: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": source, **code}


def _flat(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def _listed(names: Sequence[str]) -> str:
    rest = f" … ({len(names)})" if len(names) > 5 else ""
    return ", ".join(names[:5]) + rest


def _tree(source: str) -> ast.Module | None:
    if len(source) > LONGEST:
        return None
    try:
        return ast.parse(plain_python(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@functools.lru_cache(maxsize=8192)
def _parses(source: str) -> bool:
    """Whether a cell stands by itself; IPython would take the indent of a function's second half off."""
    first = next(filter(str.strip, source.splitlines()), "")
    return not first[:1].isspace() and _tree(source) is not None


@functools.lru_cache(maxsize=8192)
def _signatures(source: str) -> frozenset[str]:
    """What a cell defines at its top level; a method added to a class with the class's name."""
    tree = _tree(source)
    if tree is None:
        return frozenset(DEFINED.findall(source))
    return frozenset(" ".join([*map(ast.unparse, node.decorator_list), node.name]) for node in tree.body
                     if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)))

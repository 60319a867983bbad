"""Broken submissions for the tests of intake: how each is made, what it must get, what is told."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DAY, OTHER = "day02_pair", "day01_line"
FULL = {"check_row_mean": 4.0, "check_norm": 2.5, "check_add": 3.0, "check_far": 0.0}
NONE = dict.fromkeys(FULL, 0.0)
RIGHT = {
    "mean": "def row_mean(A):\n    # 每一行的均值\n    total = A.sum(axis=1)\n    return total / A.shape[1]\n",
    "pair": "class Pair:\n"
            "    def __init__(self, a, b):\n        self.a, self.b = a, b\n\n"
            "    def norm(self):\n        return np.sqrt(self.a**2 + self.b**2)\n",
    "pair_add": "@method_of(Pair)\n"
                "def __add__(self, other):\n    return Pair(self.a + other.a, self.b + other.b)\n",
    "far": "def far(x):\n    return 2 * x\n",
    "why": "Squares are never negative.",
}

Book = dict[str, Any]
Make = Callable[[Book, Path], None]


@dataclass(frozen=True)
class Broken:
    make: Make
    told: str  # a pattern of its line in the report
    expected: dict[str, float] | None = None  # None: an ungraded row
    plain: bool = True  # whether plain `nbgrader autograde` sees it at all


def name_of(cell: Book) -> str:
    return cell["metadata"].get("nbgrader", {}).get("grade_id", "")


def at(book: Book, name: str) -> int:
    return next(i for i, cell in enumerate(book["cells"]) if name_of(cell) == name)


def cell(book: Book, name: str) -> Book:
    return book["cells"][at(book, name)]


def source(one: Book) -> str:
    return "".join(one["source"])


def solved(release: Book) -> Book:
    book = copy.deepcopy(release)
    for name, text in RIGHT.items():
        cell(book, name)["source"] = text
    return book


def code(text: str, **metadata: Any) -> Book:
    return {"cell_type": "code", "execution_count": None, "metadata": metadata, "outputs": [], "source": text}


def saved(edit: Callable[[Book], object]) -> Make:
    """A notebook edited as JSON."""
    def make(book: Book, folder: Path) -> None:
        edit(book)
        (folder / f"{DAY}.ipynb").write_text(json.dumps(book, indent=1), encoding="utf-8")
    return make


def as_bytes(change: Callable[[str], bytes], name: str = f"{DAY}.ipynb") -> Make:
    """A notebook's text changed on its way."""
    def make(book: Book, folder: Path) -> None:
        (folder / name).write_bytes(change(json.dumps(book, indent=1, ensure_ascii=False)))
    return make


def raw(data: bytes) -> Make:
    return lambda book, folder: (folder / f"{DAY}.ipynb").write_bytes(data) and None


def every(book: Book, **metadata: Any) -> None:
    for one in book["cells"]:
        one["metadata"] = {**one["metadata"], **metadata}


def split(name: str, line: int, metadata: bool) -> Callable[[Book], None]:
    def edit(book: Book) -> None:
        here = at(book, name)
        lines = source(book["cells"][here]).split("\n")
        second = copy.deepcopy(book["cells"][here])
        second.pop("id")
        if not metadata:
            second["metadata"] = {}
        book["cells"][here]["source"] = "\n".join(lines[:line])
        second["source"] = "\n".join(lines[line:])
        book["cells"].insert(here + 1, second)
    return edit


def merge(first: str, second: str) -> Callable[[Book], None]:
    """The second cell's text at the end of the first, whose metadata stays."""
    def edit(book: Book) -> None:
        gone = book["cells"].pop(at(book, second))
        cell(book, first)["source"] = source(cell(book, first)) + "\n" + source(gone)
    return edit


def twice(book: Book) -> None:
    book["cells"].insert(at(book, "mean"), copy.deepcopy(cell(book, "check_row_mean")))
    book["cells"].insert(0, copy.deepcopy(cell(book, "pair")))


def stub_after(release_stub: str) -> Callable[[Book], None]:
    def edit(book: Book) -> None:
        again = copy.deepcopy(cell(book, "mean"))
        again["source"] = release_stub
        book["cells"].insert(at(book, "mean") + 1, again)
    return edit


def retyped(name: str, kind: str) -> Callable[[Book], None]:
    def edit(book: Book) -> None:
        one = cell(book, name)
        one["cell_type"] = kind
        one.pop("outputs", None)
        one.pop("execution_count", None)
    return edit


def stripped(ids: bool) -> Callable[[Book], None]:
    def edit(book: Book) -> None:
        for one in book["cells"]:
            one["metadata"] = {}
            if ids:
                one.pop("id")
        if ids:
            book["nbformat_minor"] = 2
    return edit


def old_format(book: Book) -> None:
    cells = book.pop("cells")
    for one in cells:
        one.pop("id")
        if one["cell_type"] == "code":
            one["input"] = one.pop("source")
            one["prompt_number"] = one.pop("execution_count")
            one["language"] = "python"
            one["collapsed"] = False
    book.update(nbformat=3, nbformat_minor=0, metadata={"name": ""}, worksheets=[{"cells": cells, "metadata": {}}])


def conflict(right_first: bool, broken_side: bool = False) -> Callable[[str], bytes]:
    def change(text: str) -> bytes:
        line = next(row for row in text.split("\n") if "total = A.sum" in row)
        wrong = line[:20] if broken_side else line.replace("axis=1", "axis=0")
        sides = (line, wrong) if right_first else (wrong, line)
        return text.replace(line, f"<<<<<<< HEAD\n{sides[0]}\n=======\n{sides[1]}\n>>>>>>> theirs").encode()
    return change


def cut_after(name: str) -> Callable[[str], bytes]:
    """Cut in the middle of the cell after a named one."""
    return lambda text: text.encode()[:text.encode().index(f'"grade_id": "{name}"'.encode()) + 600]


def linked(book: Book, folder: Path) -> None:
    os.symlink(folder.parent.parent / "good" / DAY / f"{DAY}.ipynb", folder / f"{DAY}.ipynb")


def with_links(book: Book, folder: Path) -> None:
    saved(lambda nb: None)(book, folder)
    os.symlink("/etc/passwd", folder / "data.txt")
    os.symlink("/", folder / "everything")
    os.mkfifo(folder / "pipe")


def with_extra(book: Book, folder: Path) -> None:
    saved(lambda nb: None)(book, folder)
    (folder / "scratch.ipynb").write_text("not even JSON")
    (folder / f"{DAY} (1).ipynb").write_text("{}")


def garbled_time(book: Book, folder: Path) -> None:
    saved(lambda nb: None)(book, folder)
    (folder / "timestamp.txt").write_text("yesterday, I swear")


def other_types(book: Book) -> None:
    book["cells"] += [None, 7, [], {"cell_type": 3, "metadata": [], "source": 5}]
    cell(book, "mean")["source"] = [source(cell(book, "mean"))[:10], source(cell(book, "mean"))[10:]]


def forged(book: Book) -> None:
    """Nothing done, everything claimed."""
    for one in book["cells"]:
        name = name_of(one)
        if name.startswith("check_"):
            one["metadata"] = {"nbgrader": {
                "grade": True, "solution": True, "locked": False, "grade_id": name, "points": 100,
                "schema_version": 3, "task": False}, "tags": ["skip-execution"]}
            one["source"] = "100.0"


def missing(book: Book, folder: Path) -> None:
    (folder / "notes.md").write_text("the dog ate it")


def only(name: str) -> Make:
    return as_bytes(str.encode, name)


def without(*names: str) -> Callable[[Book], None]:
    return lambda book: book.update(cells=[one for one in book["cells"] if name_of(one) not in names])


def meta(name: str, **changes: Any) -> Callable[[Book], None]:
    return lambda book: cell(book, name)["metadata"]["nbgrader"].update(changes)


def cases(release: Book, other: Book) -> dict[str, Broken]:
    """Honest work in a damaged notebook, unless said otherwise."""
    stub = source(cell(release, "mean"))
    big = {"output_type": "stream", "name": "stdout", "text": "x" * 1000 + "\n"}
    return {
        "doubled_ids": Broken(saved(twice), "more than once", FULL),
        "copy_of_the_stub": Broken(saved(stub_after(stub)), "copies left as released", FULL),
        "split_with_metadata": Broken(saved(split("mean", 3, True)), "mean had been split", FULL),
        "split_without": Broken(saved(split("pair", 4, False)), "pair had been split", FULL),
        "split_answer": Broken(saved(lambda b: (cell(b, "why").update(source="Squares\nare fine."),
                                                split("why", 1, True)(b))), "why had been split",
                               FULL | {"why": None}),
        "merged_with_check": Broken(saved(merge("mean", "check_row_mean")), "check_row_mean: missing", FULL),
        "merged_into_check": Broken(saved(merge("check_row_mean", "pair")), "merged with other cells", FULL),
        "merged_exercises": Broken(saved(merge("mean", "pair")), "pair was merged into another", FULL),
        "checks_deleted": Broken(saved(without("check_row_mean", "setup", "check_add")), "put back", FULL),
        "check_retyped": Broken(saved(retyped("check_norm", "markdown")), "made a markdown cell", FULL),
        "exercise_retyped": Broken(saved(retyped("pair", "raw")), "made a raw cell", FULL),
        "points_changed": Broken(saved(meta("check_norm", points=99)), "its points changed", FULL),
        "lock_removed": Broken(saved(meta("check_norm", locked=False, solution=True)), "its lock or its kind", FULL),
        "schema_old": Broken(saved(meta("check_add", schema_version=1)), "another nbgrader version", FULL),
        "schema_new": Broken(saved(meta("mean", schema_version=99)), "another nbgrader version", FULL),
        "metadata_lost": Broken(saved(stripped(False)), "found again", FULL | {"why": None}),
        "metadata_and_ids_lost": Broken(saved(stripped(True)), "found again", FULL | {"why": None}),
        "foreign_cells": Broken(saved(lambda b: b["cells"].append(code("1", nbgrader={
            "grade": True, "grade_id": "bonus", "points": 50, "locked": False, "solution": False,
            "schema_version": 3, "task": False}))), "'bonus' is no cell of this day", FULL),
        "format_3": Broken(saved(old_format), "format 3 was brought to 4", FULL),
        "format_99": Broken(saved(lambda b: b.update(nbformat=99, nbformat_minor=0)), "said format 99", FULL),
        "wrong_types": Broken(saved(other_types), "are no cells", FULL),
        "byte_order_mark": Broken(as_bytes(lambda t: b"\xef\xbb\xbf" + t.encode()), "byte order mark", FULL),
        "utf_16": Broken(as_bytes(lambda t: t.encode("utf-16")), "byte order mark .utf-16", FULL),
        "utf_16_bare": Broken(as_bytes(lambda t: t.encode("utf-16-le")), "written as utf-16-le", FULL),
        "gb18030": Broken(as_bytes(lambda t: t.encode("gb18030")), "not UTF-8; read as", FULL),
        "bad_bytes": Broken(as_bytes(lambda t: t.encode().replace("均值".encode(), b"\xff" + "均值".encode())),
                            "1 bytes were not UTF-8", FULL),
        "zero_bytes": Broken(as_bytes(lambda t: t.encode() + bytes(500)), "zero bytes at its end", FULL),
        "conflict": Broken(as_bytes(conflict(True)), "the first side was taken", FULL),
        "conflict_second": Broken(as_bytes(conflict(False, broken_side=True)), "the second side was taken", FULL),
        "cut_short": Broken(as_bytes(cut_after("check_far")), "cut short", FULL),
        "cut_early": Broken(as_bytes(cut_after("check_row_mean")), "cut short",
                            NONE | {"check_row_mean": 4.0}),
        "extra_comma": Broken(as_bytes(lambda t: t.replace("\n  },", "\n  },,", 3).encode()), "damaged", FULL),
        "huge_outputs": Broken(saved(lambda b: cell(b, "check_add").update(outputs=[big] * 9000)),
                               "MiB were dropped", FULL),
        "skipping_tags": Broken(saved(lambda b: every(b, tags=["skip-execution"])), "skip-execution .* no effect",
                                FULL),
        "malformed_tags": Broken(saved(lambda b: every(b, tags=[1, None, {"a": []}])), "notebook format", FULL),
        "renamed": Broken(only(f"{DAY} (1).ipynb"), rf"{DAY} \(1\).ipynb was taken", FULL),
        "renamed_copy": Broken(only(f"{DAY}-Copy1.ipynb"), "was taken as", FULL),
        "case_wrong": Broken(only("Day02_Pair.IPYNB"), "was taken as", FULL, plain=False),
        "case_text_file": Broken(only(f"{DAY}.ipynb.txt"), "was taken as", FULL, plain=False),
        "other_name": Broken(only("my homework.ipynb"), "my homework.ipynb was taken", FULL),
        "extra_notebooks": Broken(with_extra, "scratch.ipynb is a further notebook", FULL),
        "links_out": Broken(with_links, "everything is a link", FULL),
        "garbled_time": Broken(garbled_time, "timestamp.txt could not be read", FULL),
        # nothing to gain
        "forged": Broken(lambda b, f: saved(forged)(copy.deepcopy(release), f), "its points changed", NONE),
        "empty_and_stripped": Broken(lambda b, f: saved(stripped(True))(copy.deepcopy(release), f),
                                     "found again", NONE),
        # not to be repaired
        "linked_notebook": Broken(linked, f"no notebook {DAY}.ipynb"),
        "missing": Broken(missing, f"no notebook {DAY}.ipynb", plain=False),
        "other_day": Broken(lambda b, f: saved(lambda nb: None)(copy.deepcopy(other), f),
                            f"this is the notebook of {OTHER}"),
        "empty_file": Broken(raw(b"\n"), "the file is empty"),
        "a_zip": Broken(raw(b"PK\x03\x04" + bytes(range(256)) * 9), "a zip archive, not a notebook"),
        "a_page": Broken(raw(b"<!DOCTYPE html><html>Sign in</html>"), "an HTML or XML page"),
        "noise": Broken(raw(bytes(range(1, 256)) * 50), "no cell could be read"),
        "deep_json": Broken(raw(b"[" * 200_000), "no cell could be read"),
        "long_number": Broken(raw(b'{"cells": ' + b"9" * 10_000 + b"}"), "no cell could be read"),
        "a_list": Broken(raw(b"[1, 2]"), "no cell could be read"),
        "no_cells": Broken(raw(b'{"nbformat": 4, "metadata": {}}'), "no cell could be read"),
    }

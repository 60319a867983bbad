"""From the bytes of a submitted file to a notebook of format 4.5, as whole as it can be had.

Pure: nothing is written, nothing is run. Each repair is told; what cannot be read raises
:class:`Unreadable` with the reason. No cell's source is changed here.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

from ladder.cohort.outputs import writable
from ladder.errors import LadderError
from ladder.text import Text, say

LARGEST = 256 * 2**20
LARGEST_DAMAGED = 64 * 2**20
DAMAGES = 200  # places at which reading on is tried
CELLS = 5_000
DEEPEST = 100
LARGE_OUTPUTS = 8 * 2**20
SKIPPING = "skip"
MARKER = re.compile(r"^(<{7}|\|{7}|={7}|>{7})(?: .*)?$")
CELL = re.compile(r'\{\s*"(?:cell_type|id|attachments|execution_count|metadata|source|outputs)"\s*:')
BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe\x00\x00", "utf-32-le"), (b"\x00\x00\xfe\xff", "utf-32-be"),
        (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
OTHER = ((b"PK\x03\x04", say("a zip archive", "zip 压缩包")), (b"\x1f\x8b", say("a gzip file", "gzip 文件")),
         (b"%PDF", say("a PDF", "PDF 文件")), (b"<", say("an HTML or XML page", "HTML 或 XML 页面")))


class Unreadable(LadderError):
    """The file holds no notebook that could be graded; ``text`` says why in both languages."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


def salvage(raw: bytes) -> tuple[dict[str, Any], list[Text]]:
    """The notebook in ``raw``, and a line for each repair."""
    if len(raw) > LARGEST:
        raise Unreadable(too_large(len(raw)))
    if not raw.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise Unreadable(say("the file is empty", "文件是空的"))
    repairs: list[Text] = []
    text = decoded(raw, repairs)
    document = parsed(text, repairs)
    if document is None:
        what = next((name for start, name in OTHER if raw.lstrip().startswith(start)), None)
        raise Unreadable(
            say(f"the file is {what.en}, not a notebook", f"文件是{what.zh}，不是笔记本") if what else
            say("no cell could be read; the file is not a notebook, or its beginning is lost",
                "读不出任何单元格；文件不是笔记本，或开头部分已丢失"))
    return normal(document, repairs), repairs


def too_large(size: int) -> Text:
    return say(f"the file has {size >> 20} MiB, more than {LARGEST >> 20}; clear its outputs and hand it in again",
               f"文件有 {size >> 20} MiB，超过 {LARGEST >> 20}；请清除输出后重新提交")


def decoded(raw: bytes, repairs: list[Text]) -> str:
    """The text of a file whatever wrote it."""
    for mark, name in BOMS:
        if raw.startswith(mark):
            repairs.append(say(f"it began with a byte order mark ({name}); read without it",
                               f"文件以字节顺序标记（{name}）开头；已去掉"))
            return raw[len(mark):].decode(name, "replace").rstrip("\0")
    stripped = raw.rstrip(b"\0")
    if b"\0" in stripped[:64]:
        name = "utf-16-be" if raw[:1] == b"\0" else "utf-16-le"
        repairs.append(say(f"it was written as {name}", f"文件编码是 {name}"))
        return raw.decode(name, "replace")
    if stripped != raw:
        repairs.append(say("zero bytes at its end were dropped", "去掉了文件末尾的零字节"))
    try:
        return stripped.decode("utf-8")
    except UnicodeDecodeError:
        return _other_encoding(stripped, repairs)


def _other_encoding(raw: bytes, repairs: list[Text]) -> str:
    """Mostly UTF-8 with a few bad bytes, or another encoding throughout."""
    from charset_normalizer import from_bytes

    with contextlib.suppress(UnicodeDecodeError):
        chinese = raw.decode("gb18030")
        if all("\u2010" <= c <= "\u9fff" or "\uff00" <= c <= "\uffef" for c in chinese if ord(c) > 127):
            repairs.append(say("it was not UTF-8; read as gb18030", "文件不是 UTF-8；按 gb18030 读取"))
            return chinese
    lossy = raw.decode("utf-8", "replace")
    bad = lossy.count("\ufffd")
    good = sum(ord(c) > 127 for c in lossy) - bad
    best = from_bytes(raw).best() if bad > good else None
    if best is not None:
        repairs.append(say(f"it was not UTF-8; read as {best.encoding}",
                           f"文件不是 UTF-8；按 {best.encoding} 读取"))
        return str(best)
    repairs.append(say(f"{bad} bytes were not UTF-8; � stands in their place",
                       f"{bad} 个字节不是 UTF-8；以 � 代替"))
    return lossy


def parsed(text: str, repairs: list[Text]) -> Any:
    """The JSON document, or as many whole cells of it as there are; None without any."""
    document = _json(text)
    if _has_cells(document):
        return document
    if any(MARKER.match(line) for line in text.splitlines()):
        for side, told in (("ours", say("the first side", "前一方")), ("theirs", say("the second side", "后一方"))):
            chosen = one_side(text, side)
            document = _json(chosen)
            if _has_cells(document):
                repairs.append(say(f"it held merge conflict markers; {told.en} was taken",
                                   f"文件含有合并冲突标记；采用了{told.zh}"))
                return document
        text = one_side(text, "ours")
        repairs.append(say("it held merge conflict markers; neither side is valid by itself, and "
                           "whole cells of the first were taken",
                           "文件含有合并冲突标记；两方单独都不合法，取了前一方的完整单元格"))
    cells = list(whole_cells(text)) if len(text) <= LARGEST_DAMAGED else []
    if not cells:
        return None
    repairs.append(say(f"its JSON was damaged or cut short; {len(cells)} whole cells were read",
                       f"JSON 已损坏或被截断；读出了 {len(cells)} 个完整单元格"))
    return {"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _has_cells(document: Any) -> bool:
    return isinstance(document, dict) and (
        isinstance(document.get("cells"), list) or isinstance(document.get("worksheets"), list))


def one_side(text: str, side: str) -> str:
    """The text without conflict markers, of each conflict one side."""
    kept, state = [], "both"
    for line in text.splitlines():
        mark = MARKER.match(line)
        if mark is None:
            if state in ("both", side):
                kept.append(line)
        else:
            state = {"<": "ours", "|": "base", "=": "theirs", ">": "both"}[mark[1][0]]
    return "\n".join(kept)


def whole_cells(text: str) -> Iterator[dict[str, Any]]:
    """Every object that is a cell, wherever it stands."""
    decoder = json.JSONDecoder()
    at = failed = 0
    while failed < DAMAGES and (found := CELL.search(text, at)):
        try:
            value, at = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            at = found.end()
            failed += 1
            continue
        if isinstance(value, dict) and "cell_type" in value and ("source" in value or "input" in value):
            yield value


# --- one shape ------------------------------------------------------------------------------------


def normal(document: dict[str, Any], repairs: list[Text]) -> dict[str, Any]:
    """Format 4.5, with nothing in it of a wrong type; outputs of code go, since grading runs it anew."""
    version = document.get("nbformat")
    cells = document.get("cells")
    if not isinstance(cells, list):
        cells = [cell for sheet in document["worksheets"] if isinstance(sheet, dict)
                 for cell in (sheet["cells"] if isinstance(sheet.get("cells"), list) else [])]
        repairs.append(say(f"its format {_short(version)} was brought to 4",
                           f"格式 {_short(version)} 已转换为 4"))
    elif version != 4 or type(version) is bool:
        repairs.append(say(f"it said format {_short(version)}; read as 4",
                           f"文件自称格式 {_short(version)}；按 4 读取"))
    if len(cells) > CELLS:
        raise Unreadable(say(f"the notebook has {len(cells)} cells, more than {CELLS}",
                             f"笔记本有 {len(cells)} 个单元格，超过 {CELLS}"))
    made = [cell for cell in map(_cell, cells) if cell is not None]
    if lost := len(cells) - len(made):
        repairs.append(say(f"{lost} entries among its cells are no cells; left out",
                           f"单元格列表中有 {lost} 项不是单元格；已略去"))
    if (size := sum(_size(cell) for cell in cells)) > LARGE_OUTPUTS:
        repairs.append(say(f"outputs of {size >> 20} MiB were dropped", f"去掉了 {size >> 20} MiB 的输出"))
    if skipping := sorted({tag for cell in made for tag in cell.pop("tags") if SKIPPING in tag}):
        repairs.append(say(f"the tag {', '.join(skipping)} of cells has no effect here",
                           f"单元格标签 {'、'.join(skipping)} 在这里不起作用"))
    meta = document.get("metadata")
    return {"nbformat": 4, "nbformat_minor": 5, "cells": made,
            "metadata": _plain(meta) if isinstance(meta, dict) else {}}


def _cell(cell: Any) -> dict[str, Any] | None:
    if not isinstance(cell, dict):
        return None
    kind, source = cell.get("cell_type"), cell.get("source", cell.get("input", ""))
    if kind in ("heading", "html"):  # of format 3
        level = cell.get("level")
        marks = "#" * (level if isinstance(level, int) and 1 <= level <= 6 else 1)
        source = f"{marks} {_text(source)}" if kind == "heading" else source
        kind = "markdown"
    meta = cell.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    tags = meta.get("tags")
    nbgrader = meta.get("nbgrader")
    made: dict[str, Any] = {
        "cell_type": kind if kind in ("code", "markdown", "raw") else "raw",
        "metadata": {"nbgrader": _plain(nbgrader)} if isinstance(nbgrader, dict) else {},
        "source": _text(source),
        "tags": [tag[:60] for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else [],
    }
    if isinstance(cell.get("id"), str):
        made["id"] = cell["id"]
    if made["cell_type"] == "code":
        made |= {"execution_count": None, "outputs": []}
    elif isinstance(pictures := cell.get("attachments"), dict):
        made["attachments"] = _plain(pictures)
    return made


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = "".join(part for part in value if isinstance(part, str))
    return writable(value) if isinstance(value, str) else ""


def _plain(value: Any, deep: int = 0) -> Any:
    """JSON that can be written and read again."""
    if deep > DEEPEST:
        return None
    if isinstance(value, dict):
        return {writable(str(key)): _plain(part, deep + 1) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part, deep + 1) for part in value]
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, float) and value - value != 0:
        return None
    return value


def _size(cell: Any) -> int:
    outputs = cell.get("outputs") if isinstance(cell, dict) else None
    try:
        return len(json.dumps(outputs)) if outputs else 0
    except (ValueError, RecursionError):
        return LARGE_OUTPUTS


def _short(value: Any) -> str:
    return str(value)[:20]

"""Read a lesson: a percent script with prose in two languages, exercises, checks and hints.

The kinds of cells, told apart by the cell's metadata:

=========  ==============================================  =====================================
kind       header                                          becomes
=========  ==============================================  =====================================
prose      ``[markdown] lang="en"`` and ``lang="zh"``      a markdown cell in each notebook
setup      ``setup`` (the first code cell)                 the imports, locked
exercise   ``exercise="id"``                               stubs of the names it imports
check      code that imports one check                     a locked autograder-tests cell
written    ``[markdown] written="id" lang=...``            a manually graded answer
given      any other code                                  the same code
docstring  ``[markdown] docstring="name" lang="zh"``       the docstring of the Chinese stub
hint       ``[markdown] hint="exercise" lang=...``         what ``ladder hint`` shows
model      ``[markdown] model="id" lang=...``              what ``ladder solution`` shows
=========  ==============================================  =====================================
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ladder.errors import LessonError
from ladder.text import Text

PROSE_KINDS = ("written", "hint", "model", "docstring")


@dataclass(frozen=True)
class Cell:
    """One cell of a lesson; code reads the same in both languages."""

    kind: str
    source: Text
    name: str = ""
    imports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lesson:
    slug: str
    cells: tuple[Cell, ...]

    def named(self, kind: str, name: str) -> list[Cell]:
        return [cell for cell in self.cells if cell.kind == kind and cell.name == name]

    @property
    def docstrings(self) -> dict[str, str]:
        """Chinese docstrings by name."""
        return {cell.name: cell.source.zh for cell in self.cells if cell.kind == "docstring"}


@dataclass(frozen=True)
class _Raw:
    """A cell as the percent script has it: what its header says, and its text."""

    markdown: bool
    meta: dict[str, str]
    source: str


def read_lesson(path: Path) -> Lesson:
    """Parse the percent script at ``path``."""
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise LessonError(f"{path}:{error.lineno}: {error.msg}: {(error.text or '').strip()!r}; a lesson "
                          "runs as plain Python") from None
    return Lesson(path.stem, tuple(_cells(path.stem, list(_percent(text, tree)))))


OPTION = re.compile(r'(\w+)="([^"]*)"')
QUOTED = re.compile(r"[rR]?(\"\"\"|''')(.*)\1\s*", re.S)
MAGIC = re.compile(r"# ?([%!][A-Za-z].*)")


def _percent(text: str, tree: ast.AST) -> Iterator[_Raw]:
    """The cells of a percent script, as jupytext reads them, in a hundredth of the time."""
    quoted: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and node.end_lineno != node.lineno:
            quoted.update(range(node.lineno + 1, (node.end_lineno or 0) + 1))
    header, lines = "", list[str]()
    for number, line in enumerate([*text.split("\n"), "# %%"], 1):
        if not line.startswith("# %%") or number in quoted:
            lines.append(line)
            continue
        if header or any(line.strip() for line in lines):
            yield _raw(header, lines)
        header, lines = line, []


def _raw(header: str, lines: list[str]) -> _Raw:
    rest = header.removeprefix("# %%")
    meta = dict(OPTION.findall(rest))
    words = OPTION.sub("", rest).split()
    markdown = "[markdown]" in words
    if title := " ".join(word for word in words if word != "[markdown]"):
        meta["title"] = title
    source = "\n".join(lines).strip("\n")
    if not markdown:
        return _Raw(False, meta, "\n".join(MAGIC.sub(r"\1", line) if MAGIC.fullmatch(line) else line
                                           for line in lines).strip("\n"))
    if match := QUOTED.fullmatch(source.strip()):
        return _Raw(True, meta, match[2].strip("\n"))
    return _Raw(True, meta, "\n".join(re.sub("^# ?", "", line) for line in source.split("\n")))


def _cells(slug: str, raw: list[_Raw]) -> Iterator[Cell]:
    position = 0
    while position < len(raw):
        cell = raw[position]
        meta, source = cell.meta, cell.source
        position += 1
        if not cell.markdown and not source.strip():
            continue
        if not cell.markdown:
            yield _code_cell(slug, meta, source)
            continue
        kind, name = next(((k, meta[k]) for k in PROSE_KINDS if k in meta), ("prose", ""))
        if kind == "docstring":
            yield Cell(kind, Text("", source), name)
            continue
        if meta.get("lang") != "en":
            raise LessonError(f"{slug}: a {kind} cell starts with lang={meta.get('lang')!r}; prose "
                              f"comes in pairs, first lang=\"en\": {source[:60]!r}")
        twin = raw[position] if position < len(raw) else None
        if twin is None or not twin.markdown or twin.meta.get("lang") != "zh" or (
            kind != "prose" and twin.meta.get(kind) != name
        ):
            raise LessonError(f"{slug}: no lang=\"zh\" twin directly after the English {kind} cell "
                              f"{name} {source[:60]!r}")
        position += 1
        yield Cell(kind, Text(source, twin.source), name)


def _code_cell(slug: str, meta: dict[str, str], source: str) -> Cell:
    both = Text(source, source)
    solutions: list[str] = []
    graders: list[str] = []
    try:
        body = ast.parse(_without_magics(source)).body
    except SyntaxError as error:
        raise LessonError(f"{slug}: a cell is not Python by itself, {error.msg}: {source[:60]!r}; "
                          "does a # %% stand inside a statement or a text?") from None
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            target = solutions if node.module.startswith(("ladder.solutions.", "ladder.kernels")) \
                else graders if node.module.startswith("ladder.graders.") else None
            if target is not None and (node.module.endswith(f".{slug}") or "kernels" in node.module):
                target += [alias.name for alias in node.names]
                if renamed := [a.name for a in node.names if a.asname or a.name == "*"]:
                    raise LessonError(f"{slug}: import {', '.join(renamed)} by name and not as another: "
                                      "the learner's cell defines that name")
    if meta.get("title") == "setup":
        if solutions:
            raise LessonError(f"{slug}: the setup cell imports {', '.join(solutions)} from this day's "
                              "solution, which a learner's kernel does not hold; import it in the "
                              "exercise cell that needs it, where it is given with its source")
        return Cell("setup", both, "setup")
    if "exercise" in meta:
        if not solutions:
            raise LessonError(f"{slug}: the exercise cell {meta['exercise']} imports nothing from "
                              "this day's solution")
        return Cell("exercise", both, meta["exercise"], tuple(solutions))
    if solutions:
        raise LessonError(f"{slug}: a cell imports {', '.join(solutions)} from this day's solution; "
                          'name the exercise in its header: # %% exercise="..."')
    if graders:
        if len(graders) != 1:
            raise LessonError(f"{slug}: one check a cell, found {', '.join(graders)}")
        return Cell("check", both, graders[0])
    return Cell("given", both)


def _without_magics(source: str) -> str:
    return "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line
                     for line in source.split("\n"))


EQUATION = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$(.+?)(?<!\\)\$", re.S)
LINK = re.compile(r"\]\((\S+?)\)|<(https?://\S+?)>")
CODE_BLOCK = re.compile(r"```.*?```", re.S)


def parity_problems(cell: Cell) -> list[str]:
    """What the two languages of a prose cell do not have in common: structure, equations, links."""
    en, zh = cell.source
    problems = []
    for what, find in (
        ("equations", lambda t: sorted(_squeeze(a or b) for a, b in EQUATION.findall(_no_code(t)))),
        ("links", lambda t: sorted(a or b for a, b in LINK.findall(t))),
        ("headings", lambda t: [len(m) for m in re.findall(r"^(#+) ", _no_code(t), re.M)]),
        ("table rows", lambda t: len(re.findall(r"^\|", t, re.M))),
        ("list items", lambda t: len(re.findall(r"^\s*(?:[-*]|\d+\.) ", t, re.M))),
        ("code blocks", lambda t: len(CODE_BLOCK.findall(t))),
    ):
        if find(en) != find(zh):
            problems.append(f"{what} differ: {find(en)} in English, {find(zh)} in Chinese, "
                            f"in the cell {en[:50]!r}")
    if not re.search(r"[\u4e00-\u9fff]", zh):
        problems.append(f"the Chinese of {en[:50]!r} holds no Chinese")
    return problems


def _no_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", CODE_BLOCK.sub("", text))


def _squeeze(equation: str) -> str:
    """Without white space, and without words inside \\text{}, which are translated."""
    return re.sub(r"\s+|\\text\{[^}]*\}", "", equation)

"""Pairs of submissions that are alike after names and formatting are taken away.

What everyone was given does not count, nor do statements that many wrote: a short function has one
natural form. What is left is compared as a sequence of syntax, with rapidfuzz. A high value is a
reason to read two notebooks side by side; it proves nothing.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ladder.cohort.scan import plain_python
from ladder.errors import WorkError

COMMON = 0.3  # a statement that more than this part of the class wrote tells nothing
MOST = 20_000  # tokens of one exercise that are looked at
LEAST = 40  # tokens of one's own below which two submissions cannot be told apart


@dataclass(frozen=True)
class Pair:
    """Two submissions: how alike (0 to 1), how much own code that rests on, where most."""

    one: str
    other: str
    alike: float
    tokens: int
    cells: tuple[str, ...]
    identical: bool = False


Cells = Mapping[str, str]  # source by the cell's name; what a learner added has "" for a name


def read_cells(path: Path) -> dict[str, str]:
    """The code of a notebook that a learner may change, by cell name."""
    document = json.loads(path.read_text(encoding="utf-8-sig"))
    found: dict[str, str] = {}
    for cell in document["cells"]:
        meta = cell["metadata"].get("nbgrader", {})
        if cell["cell_type"] != "code" or (meta.get("locked") and not meta.get("solution")):
            continue
        name = meta.get("grade_id", "")
        found[name] = found.get(name, "") + "".join(cell["source"]) + "\n"
    return found


def read_course(course: Path, slug: str) -> tuple[dict[str, Cells], Cells, list[str]]:
    """Every submission of a day, the release, and the notebooks that could not be read."""
    release = course / "release" / slug / f"{slug}.ipynb"
    if not release.exists():
        raise WorkError(f"{course} has no release of {slug}; `ladder publish` makes it")
    found: dict[str, Cells] = {}
    unreadable = []
    for folder in ("submitted", "autograded"):  # the latter is repaired, so it replaces the former
        for path in sorted((course / folder).glob(f"*/{slug}/{slug}.ipynb")):
            try:
                found[path.parts[-3]] = read_cells(path)
            except (ValueError, KeyError, TypeError, AttributeError):
                unreadable.append(str(path))
    unread = [path for path in unreadable if Path(path).parts[-3] not in found]
    return found, read_cells(release), unread


def pairs(submissions: Mapping[str, Cells], release: Cells, least: float = 0.8) -> list[Pair]:
    """The pairs at least ``least`` alike, the most striking first."""
    from rapidfuzz import process
    from rapidfuzz.distance import Indel

    given = {statement for source in release.values() for statement in statements(source)}
    written = {student: {name: statements(source) for name, source in cells.items()}
               for student, cells in submissions.items()}
    counts = Counter(statement for cells in written.values()
                     for statement in {s for found in cells.values() for s in found})
    many = max(3, COMMON * len(written))
    dull = given | {statement for statement, count in counts.items() if count > many}
    letters: dict[str, str] = {}
    order = [*release, ""]
    own = {student: {name: _spelled([s for s in cells.get(name, ()) if s not in dull], letters)
                     for name in [*order, *(n for n in cells if n not in order)]}
           for student, cells in written.items()}
    texts = {student: "".join(cells.values()) for student, cells in own.items()}
    students = [student for student, text in texts.items() if len(text) >= LEAST]
    found = []
    for n, one in enumerate(students):
        rest = students[n + 1:]
        if not rest:
            break
        scores = process.cdist([texts[one]], [texts[other] for other in rest],
                               scorer=Indel.normalized_similarity, score_cutoff=least)
        for other, score in zip(rest, scores[0], strict=True):
            if score >= least:
                found.append(Pair(
                    one, other, round(float(score), 3), min(len(texts[one]), len(texts[other])),
                    _where(own[one], own[other]), submissions[one] == submissions[other]))
    return sorted(found, key=lambda pair: (-pair.alike * pair.tokens**0.25, pair.one, pair.other))


def _where(one: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, ...]:
    """The exercises that are most alike, the longest first."""
    from rapidfuzz.distance import Indel

    scored = [(Indel.normalized_similarity(one[name], other[name]) * len(one[name]), name)
              for name in one if name and len(one[name]) > 10 and name in other]
    return tuple(name for weight, name in sorted(scored, reverse=True)[:3] if weight > 0)


def _spelled(found: Sequence[str], letters: dict[str, str]) -> str:
    """Statements as text of one letter a token, which compares fast."""
    text = "".join(letters.setdefault(token, chr(0x10000 + len(letters) % 0x100000))
                   for statement in found for token in statement.split("\0"))
    return text[:MOST]


def statements(source: str) -> list[str]:
    """Every statement of ``source`` as its tokens, joined; names and constants are gone."""
    try:
        tree = ast.parse(plain_python(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ["\0".join(re.findall(r"\w+|\S", line)) for line in source.splitlines() if line.strip()]
    known = set(dir(builtins)) | {alias.asname or alias.name.split(".")[0] for node in ast.walk(tree)
                                  if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names}
    stored = {node.attr for node in ast.walk(tree)
              if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.Import, ast.ImportFrom)) or not isinstance(node, ast.stmt):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        found.append((node.lineno, node.col_offset, "\0".join(_tokens(node, known, stored))))
    return [text for _, _, text in sorted(found)]


def _tokens(node: ast.AST, known: set[str], stored: set[str]) -> Iterator[str]:
    """A statement's own syntax, without the statements inside it."""
    if isinstance(node, ast.Name):
        yield node.id if node.id in known else "name"
        return
    if isinstance(node, ast.Constant):
        yield type(node.value).__name__ if isinstance(node.value, str) else repr(node.value)
        return
    if isinstance(node, ast.Attribute):
        yield "." + ("attribute" if node.attr in stored else node.attr)
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield f"def{len(node.args.args)}"
        return
    elif isinstance(node, (ast.expr_context, ast.Load, ast.Store)):
        return
    else:
        yield type(node).__name__
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_comment", "ctx"):
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST) and not isinstance(part, ast.stmt):
                yield from _tokens(part, known, stored)

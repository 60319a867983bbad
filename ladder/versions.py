"""The version of a check: a hash of what it observes, without importing it.

Formatting, comments and the words of labels and hints do not count, so that mending a sentence does
not take ticks away; changing what is observed does.
"""

from __future__ import annotations

import ast
import copy
import functools
import hashlib
from pathlib import Path

from ladder import release
from ladder.curriculum import Curriculum, Day, load_curriculum
from ladder.errors import LessonError
from ladder.paths import source_path


def check_versions(day: Day, curriculum: Curriculum | None = None) -> dict[str, str]:
    """The version of every check of ``day``, by the check's name."""
    if (known := release.versions(day.id)) is not None:
        return known
    stage = (curriculum or load_curriculum()).stage_of(day)
    path = source_path("graders", stage.id, day.id)
    return _file_versions(path, path.stat().st_mtime_ns) if path.exists() else {}


@functools.lru_cache(maxsize=256)
def _file_versions(path: Path, mtime: int) -> dict[str, str]:
    try:
        return versions_of(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise LessonError(f"{path}:{error.lineno}: {error.msg}; the checks of a day are Python") from None


def versions_of(source: str) -> dict[str, str]:
    """The version of every ``check_*`` defined in a grader's source.

    It covers the check, its hidden cases, and every definition and constant of the file that these
    refer to, directly or not. What the file imports is taken as it is named.
    """
    body = ast.parse(source).body
    parts: dict[str, list[ast.FunctionDef]] = {}
    others: dict[str, list[ast.stmt]] = {}
    for node in body:
        hidden_of = _hidden_of(node)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("check_"):
            parts.setdefault(node.name, []).insert(0, node)
        elif isinstance(node, ast.FunctionDef) and hidden_of:
            parts.setdefault(hidden_of, []).append(node)
        elif not _is_mistake(node):
            for name, part in _binds(node):
                others.setdefault(name, []).append(part)
    return {name: _version(nodes, others) for name, nodes in parts.items()
            if name.startswith("check_")}


def _version(nodes: list[ast.FunctionDef], others: dict[str, list[ast.stmt]]) -> str:
    found: list[ast.stmt] = list(nodes)
    seen: set[str] = set()
    for node in found:  # grows while it is walked
        for name in _refers_to(node) - seen:
            seen.add(name)
            found += [other for other in others.get(name, []) if other not in found]
    texts = [_fingerprint(node) for node in found]
    texts[len(nodes):] = sorted(texts[len(nodes):])
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _hidden_of(node: ast.stmt) -> str | None:
    """The check whose hidden cases this function holds."""
    for decorator in getattr(node, "decorator_list", []):
        text = ast.unparse(decorator)
        if text.endswith(".hidden"):
            return text.removesuffix(".hidden")
    return None


def _is_mistake(node: ast.stmt) -> bool:
    """A known mistake gives a hint; it is no part of what a check observes."""
    return any(isinstance(d, ast.Call) and isinstance(d.func, ast.Attribute) and d.func.attr == "mistake"
               for d in getattr(node, "decorator_list", []))


def _binds(node: ast.stmt) -> list[tuple[str, ast.stmt]]:
    """The names that a statement binds, each with the part of it that does."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [(node.name, node)]
    if isinstance(node, ast.Import):
        return [(alias.asname or alias.name.split(".")[0], ast.Import([alias])) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(alias.asname or alias.name, ast.ImportFrom(node.module, [alias], node.level))
                for alias in node.names]
    return [(part.id, node) for part in ast.walk(node)
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]


def _refers_to(node: ast.stmt) -> set[str]:
    """The names that a definition uses and does not bind itself."""
    names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
    bound = {part.id for part in names if isinstance(part.ctx, ast.Store)}
    bound |= {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        bound = set()
    return {part.id for part in names} - bound


def _fingerprint(node: ast.stmt) -> str:
    """The code of a definition without its name if it is a check, without docstrings and words."""
    node = _Wordless().visit(copy.deepcopy(node))
    if isinstance(node, ast.FunctionDef) and (node.name.startswith("check_") or _hidden_of(node)):
        settings = [ast.unparse(d) for d in node.decorator_list if not _hidden_of(node)]
        body = ast.unparse(ast.Module(body=node.body, type_ignores=[]))
        return "\n".join([*settings, ast.unparse(node.args), body])
    return ast.unparse(node)


class _Wordless(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        self.generic_visit(node)
        return node

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Tuple) and len(node.value.elts) > 1:
            node.value.elts[0] = ast.Constant("words")  # the label
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "say":
            return ast.copy_location(ast.Constant("words"), node)
        self.generic_visit(node)
        return node

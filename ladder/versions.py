"""The version of a check: a hash of what it observes, without importing it.

Formatting, comments and the words of labels and hints do not count, so that mending a sentence does
not take ticks away; changing what is observed does.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

from ladder.curriculum import Curriculum, Day, load_curriculum
from ladder.paths import source_path


def check_versions(day: Day, curriculum: Curriculum | None = None) -> dict[str, str]:
    """The version of every check of ``day``, by the check's name."""
    stage = (curriculum or load_curriculum()).stage_of(day)
    path = source_path("graders", stage.id, day.id)
    return _file_versions(path, path.stat().st_mtime_ns) if path.exists() else {}


@functools.lru_cache(maxsize=256)
def _file_versions(path: Path, mtime: int) -> dict[str, str]:
    return versions_of(path.read_text(encoding="utf-8"))


def versions_of(source: str) -> dict[str, str]:
    """The version of every ``check_*`` defined in a grader's source."""
    parts: dict[str, list[str]] = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            text = ast.unparse(decorator)
            if text.endswith(".hidden"):
                parts.setdefault(text.removesuffix(".hidden"), []).append(_fingerprint(node))
        if node.name.startswith("check_"):
            parts.setdefault(node.name, []).insert(0, _fingerprint(node))
    return {name: hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
            for name, texts in parts.items() if name.startswith("check_")}


def _fingerprint(node: ast.FunctionDef) -> str:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    bare = ast.Module(body=[_Wordless().visit(stmt) for stmt in body], type_ignores=[])
    return ast.unparse(node.args) + "\n" + ast.unparse(bare)


class _Wordless(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "say":
            return ast.copy_location(ast.Constant("words"), node)
        self.generic_visit(node)
        return node

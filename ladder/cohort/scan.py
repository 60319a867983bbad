"""Read a submission's own code, as text, for what no graded notebook may do.

This finds what is written plainly: an import of the tool's insides, a dotted name or a string that
leads there, an import of a computed name. Code that hides its intent better, or that reads the
solution's file, is stopped by the sandbox and not here.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator, Sequence

from ladder.forbids import dotted_name, imported_names
from ladder.text import Text, say

INSIDES = (
    "solutions", "judge", "content", "observe", "emission", "wire", "compare", "build", "stub",
    "fill", "carry", "cohort", "verify", "mutants", "killing",
)
HOOKS = ("sys.meta_path", "sys.path_hooks", "importlib.util", "importlib.machinery",
         "importlib.abc", "runpy", "pkgutil")
IMPORTERS = ("importlib.import_module", "__import__")
MENTION = re.compile(rf"\bladder\s*[./]\s*({'|'.join(INSIDES)})\b|\bsolutions[./](stage\d|\*|day)")


def intrusion(cells: Iterable[str]) -> Text | None:
    """The first thing in a learner's cells that reaches for the answer or for the judge."""
    for cell in cells:
        found = _intrusion(cell)
        if found is not None:
            return say(f"this notebook uses `{found}`, which a graded notebook may not",
                       f"本笔记本使用了 `{found}`，评分的笔记本中不允许")
    return None


@functools.lru_cache(maxsize=4096)
def _intrusion(cell: str) -> str | None:
    try:
        tree = ast.parse(plain_python(cell))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        mention = MENTION.search(cell)  # does not run as it is; judged as text
        return mention[0] if mention else None
    aliases = {bound: full for node in ast.walk(tree)
               for bound, full in imported_names(node).items()}
    doc = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
           and isinstance(node.value, ast.Constant)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names: Iterator[str] = _modules(node)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            names = iter([dotted_name(node, aliases) or ""])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            mention = MENTION.search(node.value) if id(node) not in doc else None
            names = iter([])
            if mention:
                return mention[0]
        elif isinstance(node, ast.Call):
            if _importer(node.func, aliases) and not _literal(node.args):
                return ast.unparse(node)[:60]
            continue
        else:
            continue
        for name in names:
            if _inside(name):
                return name
    return None


def _modules(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif node.module and not node.level:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _inside(name: str) -> bool:
    first, _, rest = name.partition(".")
    if first == "ladder":
        return rest.split(".")[0] in INSIDES
    return any(name == hook or name.startswith(hook + ".") for hook in HOOKS)


def _importer(function: ast.expr, aliases: dict[str, str]) -> bool:
    if isinstance(function, ast.Name) and function.id == "__import__":
        return True
    return dotted_name(function, aliases) in IMPORTERS


def _literal(arguments: Sequence[ast.expr]) -> bool:
    return bool(arguments) and isinstance(arguments[0], ast.Constant)


@functools.lru_cache(maxsize=1024)  # most cells of a cohort are the same: those that were handed out
def plain_python(cell: str) -> str:
    """A cell with IPython's magics and shell lines turned into the Python they stand for."""
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell(cell)

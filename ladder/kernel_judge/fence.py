"""A fence around graded kernels, read from a submission's source outside of the learner's process.

What a kernel returns could be computed otherwise, and what the strict interpreter reports is reported by the
learner's own process. So a check that asks for a kernel (``forbids=(KERNEL,)``) also asks here, where verdicts are
made: each ``..._kernel`` it needs must be a ``@triton.jit`` function, and the notebook must not reach into modules
that are not its own. As with :mod:`ladder.forbids`, it is a fence for the honest and a reason for a person to look.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from ladder.kernel_judge.lint import is_kernel
from ladder.text import Text, say

REACHING = ("setattr", "delattr", "exec", "eval", "compile", "__import__", "globals", "vars")
INNER = ("__globals__", "__code__", "__closure__", "__dict__", "__subclasses__", "__builtins__", "__wrapped__",
         "__defaults__", "__kwdefaults__", "f_globals", "f_locals", "f_back", "f_builtins", "gi_frame",
         "cr_frame", "ag_frame", "tb_frame", "get_capture_scope", "used_global_vals", "modules", "_getframe")
MODULES = ("gc", "ctypes", "importlib", "inspect", "builtins", "unittest.mock", "triton.runtime", "triton.compiler",
           "triton._C", "ladder.kernel_judge.strict", "ladder.kernel_judge.interpreter",
           "ladder.kernel_judge.memory", "ladder.kernel_judge.gate", "ladder.kernel_judge.findings")


def fenced(source: str, names: Collection[str]) -> Text | None:
    """What in a notebook's ``source`` is not allowed where the ``names`` are asked for as kernels."""
    tree = ast.parse(source)
    last: dict[str, ast.stmt] = {}
    imported: set[str] = set()
    for statement in tree.body:
        last |= dict.fromkeys(_bound(statement), statement)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imported |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
    for name in names:
        if name.endswith("_kernel") and name in last and not is_kernel(last[name]):
            return say(f"{name} is not a @triton.jit function", f"{name} 不是 @triton.jit 函数")
    for node in ast.walk(tree):
        if (what := _reaches(node, imported)) is not None:
            return say(f"uses {what}, which has no place beside a kernel", f"使用了 {what}，它不应当出现在 kernel 旁边")
    return None


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
        return
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
        elif isinstance(part, ast.alias):
            yield part.asname or part.name
        elif isinstance(part, (ast.FunctionDef, ast.ClassDef)):
            yield part.name


def _reaches(node: ast.AST, imported: set[str]) -> str | None:
    if isinstance(node, ast.Attribute):
        owner: ast.expr = node
        while isinstance(owner, (ast.Attribute, ast.Subscript, ast.Call)):
            owner = owner.func if isinstance(owner, ast.Call) else owner.value
        if isinstance(node.ctx, (ast.Store, ast.Del)) and isinstance(owner, ast.Name) and owner.id in imported:
            return ast.unparse(node) + " = ..."
        if node.attr in INNER:
            return ast.unparse(node)
    if isinstance(node, ast.Name) and node.id in REACHING:
        return node.id
    if isinstance(node, ast.Import):
        named = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        named = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return None
    return next((name for name in named if any(name == m or name.startswith(m + ".") for m in MODULES)), None)

"""A kernel's source rewritten so that Python runs it as Triton's compiler would read it.

Python's own ``and``, ``not``, ``if``, ``range`` and ``a < b < c`` mean other things on tensors. Each is
replaced by a call of ``__ladder__``, the runtime that the interpreter provides. Line numbers stay.
"""

from __future__ import annotations

import ast
from typing import Any

RUNTIME = "__ladder__"
UNKNOWN = {  # what Triton's compiler does not know
    ast.Try: "try", ast.Raise: "raise", ast.Import: "import", ast.ImportFrom: "import",
    ast.ClassDef: "class", ast.Lambda: "lambda", ast.Yield: "yield", ast.YieldFrom: "yield",
    ast.Global: "global", ast.Nonlocal: "nonlocal", ast.Delete: "del", ast.Await: "await",
    ast.AsyncFor: "async for", ast.AsyncWith: "async with", ast.AsyncFunctionDef: "async def",
    ast.SetComp: "a set comprehension", ast.DictComp: "a dict comprehension",
    ast.GeneratorExp: "a generator expression",
}


def hidden(name: str) -> bool:
    """Whether an attribute belongs to the interpreter or to Python, so that no compiled kernel has it."""
    return name.startswith("_") or name in ("handle", "fn")


class UnknownSyntax(Exception):
    """Python that Triton does not know, and its line."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.what, self.line = what, line


def rewritten(source: str, filename: str, first_line: int, own: bool = False) -> Any:
    """The code object of a kernel whose ``def`` stands at ``first_line`` of ``filename``; ``own``: Triton's own."""
    tree = ast.parse(source)
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.decorator_list = []
    function.returns = None
    arguments = function.args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        argument.annotation = None
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [None if d is None else ast.Constant(None) for d in arguments.kw_defaults]
    rewriter = _Rewriter(first_line, own)
    function.body = [rewriter.visit(statement) for statement in function.body]
    ast.increment_lineno(tree, first_line - 1)
    ast.fix_missing_locations(tree)
    module = compile(tree, filename, "exec")
    return next(part for part in module.co_consts if hasattr(part, "co_code"))


class _Rewriter(ast.NodeTransformer):
    def __init__(self, first_line: int, own: bool) -> None:
        self.first_line, self.own = first_line, own

    def visit(self, node: ast.AST) -> Any:
        what = UNKNOWN.get(type(node)) or ("def" if isinstance(node, ast.FunctionDef) else None)
        if what is not None:
            raise UnknownSyntax(what, getattr(node, "lineno", 1) + self.first_line - 1)
        return super().visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        node.value = _call("assign", node.value)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        constant = "constexpr" in ast.unparse(node.annotation)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        value, target = self.visit(node.value), self.visit(node.target)
        made = ast.Assign([target], value if constant else _call("assign", value))
        return ast.copy_location(made, node)

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        node.test = _call("truth", node.test)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        node.test = _call("truth", node.test)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        self.generic_visit(node)
        node.test = _call("again", node.test)
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        self.generic_visit(node)
        message = node.msg or ast.Constant("")
        return ast.copy_location(ast.Expr(_call("asserted", node.test, message)), node)

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        called = node.iter
        if isinstance(called, ast.Call) and isinstance(called.func, ast.Name) and called.func.id == "range":
            called.func = _runtime("range")
        node.iter = _call("loop", node.iter)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) == 1:
            return node
        names = ast.Tuple([ast.Constant(type(op).__name__) for op in node.ops], ast.Load())
        operands = ast.Tuple([node.left, *node.comparators], ast.Load())
        return ast.copy_location(_call("chain", operands, names), node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        none = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        later = [ast.Lambda(none, value) for value in node.values]
        return ast.copy_location(_call("both" if isinstance(node.op, ast.And) else "either", *later), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return ast.copy_location(_call("negate", node.operand), node) if isinstance(node.op, ast.Not) else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if not self.own and hidden(node.attr):
            raise UnknownSyntax(f".{node.attr}", node.lineno + self.first_line - 1)
        if node.attr == "value" and isinstance(node.ctx, ast.Load):
            return ast.copy_location(_call("value_of", node.value), node)
        return node


def _runtime(name: str) -> ast.expr:
    return ast.Attribute(ast.Name(RUNTIME, ast.Load()), name, ast.Load())


def _call(name: str, *values: ast.expr) -> ast.Call:
    return ast.Call(_runtime(name), list(values), [])

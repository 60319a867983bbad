"""Automatic mutants of a reference: small wrong changes, one at a time, that a check should notice.

Only what a learner writes is changed: the bodies of the names that curriculum.yaml lists, and inside
a fenced body only what stands between the fences. Docstrings, annotations, defaults in signatures,
error messages, asserts, decorators and ``__repr__`` stay as they are.

Each mutant has a readable key, stable as long as the fragment's text stands::

    softmax_vjp: p * (g - p @ g) -> p / (g - p @ g)
    softmax_vjp: axis=0 ... -> ... @2        (the second place in the function with the same pair)
"""

from __future__ import annotations

import ast
import copy
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from ladder.content import Definition, find_definition
from ladder.stub import ALWAYS_GIVEN, fenced_lines, in_fences

MAX_FRAGMENT = 110

ARITHMETIC: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.MatMult: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}
ORDERED = (ast.Sub, ast.Div, ast.MatMult, ast.Pow, ast.FloorDiv, ast.Mod)
COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}
SWAPS = {
    a: b for pair in (
        ("sum", "mean"), ("max", "min"), ("zeros", "ones"), ("zeros_like", "ones_like"),
        ("log", "exp"), ("maximum", "minimum"), ("argmax", "argmin"), ("sin", "cos"),
        ("any", "all"), ("floor", "ceil"), ("sqrt", "square"), ("var", "std"),
        ("log1p", "log"), ("expm1", "exp"), ("cumsum", "cumprod"), ("hstack", "vstack"),
    ) for a, b in (pair, pair[::-1])
} | {"log": "exp", "exp": "log"}
BUILTIN_SWAPS = {"max": "min", "min": "max", "any": "all", "all": "any"}
SYMMETRIC = {"maximum", "minimum", "max", "min", "add", "multiply", "gcd", "array_equal", "allclose"}
TRANSPOSES = ("T", "mT")
TRANSPOSE_CALLS = ("transpose", "swapaxes", "moveaxis")
UNREADABLE = (ast.Constant, ast.UnaryOp, ast.Slice, ast.keyword, ast.Name, ast.Tuple, ast.Starred,
              ast.List, ast.arguments, ast.comprehension)
REMOVABLE = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.For, ast.While, ast.If,
             ast.Return, ast.Break, ast.Continue, ast.Delete)


@dataclass(frozen=True)
class Mutant:
    """A changed copy of a solution; ``line`` is where the change stands in the original."""

    key: str
    name: str
    line: int
    source: str


@dataclass
class Change:
    """``holder.field`` (or its item ``index``) becomes ``new``; ``at`` is the node it stands at."""

    holder: ast.AST
    field: str
    index: int | None
    new: Any
    at: ast.AST
    after: str = ""   # how the change reads, where its own text would not tell
    before: str = ""


def mutants_of(source: str, names: Collection[str]) -> list[Mutant]:
    """Every mutant of the definitions ``names`` in ``source``, in the order they stand."""
    tree = ast.parse(source)
    pieces = [ast.unparse(node) for node in tree.body]
    original = "\n".join(pieces)
    seen, uses = {original}, Counter[str]()
    found = []
    for name, function, top in _functions(tree, names):
        index = tree.body.index(top)
        parents = {child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
        fences = fenced_lines(source, function)
        for change in _changes(function):
            line = getattr(change.at, "lineno", function.lineno)
            if not in_fences(line, fences):
                continue
            shown = _readable(change.at, parents)
            before = change.before or _text(shown)
            replaced = shown is change.at and _old(change) is shown
            undo = _apply(change)
            try:
                text = ast.unparse(top)
                after = change.after or _text(change.new if replaced else shown)
            finally:
                undo()
            mutated = "\n".join([*pieces[:index], text, *pieces[index + 1:]])
            if mutated in seen or before == after:
                continue
            if not _compiles(mutated):
                continue
            seen.add(mutated)
            key = f"{name}: {before} -> {after}"
            uses[key] += 1
            found.append(Mutant(key if uses[key] == 1 else f"{key} @{uses[key]}", name, line, mutated))
    return found


def _compiles(source: str) -> bool:
    with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
        try:
            compile(source, "<mutant>", "exec")
        except (SyntaxError, ValueError):
            return False
    return True


def _functions(tree: ast.Module, names: Collection[str]) -> Iterator[tuple[str, Any, Any]]:
    """The functions that ``names`` ask for, with the top-level statement that holds each."""
    done = set()
    for name in names:
        node, top = find_definition(tree, name), find_definition(tree, name.partition(".")[0])
        if isinstance(node, ast.ClassDef):
            parts = [(f"{name}.{m.name}", m) for m in node.body if isinstance(m, Definition)]
        else:
            parts = [(name, node)]
        for part, function in parts:
            if (isinstance(function, ast.FunctionDef) and function.name not in ALWAYS_GIVEN
                    and function not in done):
                done.add(function)
                yield part, function, top


def _readable(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> ast.AST:
    """The nearest enclosing piece of code that a reader can find in the source."""
    while isinstance(node, UNREADABLE) and node in parents:
        node = parents[node]
    return node


def _text(node: ast.AST) -> str:
    """One line for ``node``: an expression, or the first line of a statement."""
    text = ast.unparse(node)
    first, *more = text.split("\n")
    if more:
        first += " ..."
    return first if len(first) <= MAX_FRAGMENT else first[:MAX_FRAGMENT - 1] + "…"


def _old(change: Change) -> Any:
    """What stands where ``change`` will put something else."""
    value = getattr(change.holder, change.field)
    return value if change.index is None else value[change.index]


def _apply(change: Change) -> Any:
    """Make the change in the tree; returns a function that takes it back."""
    holder, field, index = change.holder, change.field, change.index
    if index is None:
        old = getattr(holder, field)
        setattr(holder, field, change.new)
        return lambda: setattr(holder, field, old)
    items = getattr(holder, field)
    setattr(holder, field, [*items[:index], *change.new, *items[index + 1:]]
            if isinstance(change.new, list) else [*items[:index], change.new, *items[index + 1:]])
    return lambda: setattr(holder, field, items)


def _changes(function: ast.FunctionDef) -> Iterator[Change]:
    body = function.body
    start = 1 if ast.get_docstring(function) is not None else 0
    yield from _statements(function, "body", start)
    yield from _early_returns(function, start)
    for index in range(start, len(body)):
        yield from _inside(body[index], function, "body", index)


def _statements(holder: Any, field: str, start: int = 0) -> Iterator[Change]:
    """Statements removed or changed, in a block and the blocks inside it."""
    block = getattr(holder, field)
    for index in range(start, len(block)):
        node = block[index]
        removable = isinstance(node, REMOVABLE) and not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        if removable:
            note = "(removed)"
            if isinstance(node, ast.Return) and node.value is None and len(block) == 1:
                note = "pass"
            yield Change(holder, field, index,
                         [] if len(block) > 1 else ast.Pass(), node, note)
        if isinstance(node, ast.AugAssign):
            yield Change(holder, field, index,
                         _at(ast.Assign([copy.deepcopy(node.target)], node.value), node), node,
                         _text(_at(ast.Assign([node.target], node.value), node)))
        if isinstance(node, (ast.For, ast.While)) and not isinstance(
            node.body[-1], (ast.Return, ast.Break, ast.Raise)
        ):
            once = copy.copy(node)
            once.body = [*node.body, ast.Break()]
            yield Change(holder, field, index, once, node, "(stops after one turn)")
        if isinstance(node, ast.If) and node.orelse and not isinstance(node.orelse[0], ast.If):
            without = copy.copy(node)
            without.orelse = []
            yield Change(holder, field, index, without, node, "(without its else)")
        for inner in ("body", "orelse", "finalbody"):
            if isinstance(getattr(node, inner, None), list) and not isinstance(node, ast.ClassDef):
                skip = 1 if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) else 0
                yield from _statements(node, inner, skip)


def _early_returns(function: ast.FunctionDef, start: int) -> Iterator[Change]:
    """Return before a loop, a branch or an update that still had to come."""
    body = function.body
    last = body[-1]
    early = last if isinstance(last, ast.Return) else ast.Return(None)
    # before the last statement it would be the same as removing that statement
    for index in range(start + 1, len(body) - (2 if early is last else 1)):
        node = body[index]
        if isinstance(node, (ast.For, ast.While, ast.If, ast.AugAssign, ast.Expr, ast.With)):
            yield Change(function, "body", index, [_at(copy.deepcopy(early), node), node], node,
                         f"({_text(early)} before this)")


def _inside(node: ast.AST, holder: ast.AST, field: str, index: int | None) -> Iterator[Change]:
    """Changes of expressions at ``node`` and below it."""
    if isinstance(node, (ast.Assert, ast.Raise, ast.JoinedStr)):
        return

    def to(new: Any, at: ast.AST = node) -> Change:
        return Change(holder, field, index, new, at)

    yield from _rewrites(node, to)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_comment", "type_params"):
            continue
        if isinstance(value, list):
            skip = name == "body" and isinstance(node, ast.FunctionDef) and ast.get_docstring(node)
            for i, item in enumerate(value):
                if isinstance(item, ast.AST) and not (skip and i == 0):
                    yield from _inside(item, node, name, i)
        elif isinstance(value, ast.AST) and not (
            isinstance(node, ast.UnaryOp) and _negative(node) is not None
        ) and not (
            isinstance(node, ast.keyword) and node.arg in ("keepdims", "strict")  # dropped instead
        ):
            yield from _inside(value, node, name, None)


def _rewrites(node: ast.AST, to: Any) -> Iterator[Change]:
    """The wrong versions of one node."""
    if isinstance(node, ast.BinOp) and not _is_text(node.left) and not _is_text(node.right):
        if type(node.op) in ARITHMETIC:
            yield to(_at(ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right), node))
        if isinstance(node.op, ORDERED):
            yield to(_at(ast.BinOp(node.right, node.op, node.left), node))
    elif isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield Change(node, "op", None, ARITHMETIC[type(node.op)](), node)
    elif isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for other in COMPARISONS[type(op)]:
                yield Change(node, "ops", i, other(), node)
    elif isinstance(node, ast.BoolOp):
        yield Change(node, "op", None, ast.Or() if isinstance(node.op, ast.And) else ast.And(), node)
    elif isinstance(node, ast.UnaryOp):
        yield from _unary(node, to)
    elif isinstance(node, ast.Constant):
        yield from _constant(node, to)
    elif isinstance(node, ast.Dict):
        yield from _answers(node)
    elif isinstance(node, ast.Call):
        yield from _call(node, to)
    elif isinstance(node, ast.Attribute) and node.attr in TRANSPOSES:
        yield to(node.value)
    elif isinstance(node, ast.Slice):
        yield from _slice(node)
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        if not isinstance(node.test, (ast.Constant, ast.UnaryOp)) and not _inverted(node.test):
            note = "" if isinstance(node, ast.IfExp) else \
                f"{'if' if isinstance(node, ast.If) else 'while'} {_text(_not(node.test))}"
            yield Change(node, "test", None, _not(node.test), node, note)
    elif isinstance(node, ast.comprehension):
        for i, test in enumerate(node.ifs):
            if _inverted(test):
                continue
            yield Change(node, "ifs", i, _not(test), test)
    if isinstance(node, (ast.Return, ast.Assign, ast.AugAssign)):
        value = node.value
        if (isinstance(value, ast.BinOp) and not _is_text(value.left)) or (
            isinstance(node, ast.Return) and isinstance(value, ast.Call)
        ):
            yield Change(node, "value", None, _at(ast.UnaryOp(ast.USub(), value), value), node)
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(
        node.value.elts
    ) == 2:
        first, second = node.value.elts
        yield Change(node, "value", None, _at(ast.Tuple([second, first], ast.Load()), node), node)


def _unary(node: ast.UnaryOp, to: Any) -> Iterator[Change]:
    number = _negative(node)
    if number is not None:
        yield to(_at(ast.Constant(0 if number == -1 else -number), node))
        if number != -1:
            yield to(_number(number - 1, node))
    elif isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
        yield to(node.operand)


def _constant(node: ast.Constant, to: Any) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield to(_at(ast.Constant(not value), node))
    elif isinstance(value, (int, float)):
        yield to(_at(ast.Constant(value + 1), node))


def _answers(node: ast.Dict) -> Iterator[Change]:
    """Text in a dict, such as the answers to a quiz."""
    for i, (key, value) in enumerate(zip(node.keys, node.values, strict=True)):
        if key is not None and isinstance(value, ast.Constant) and isinstance(value.value, str):
            wrong = _at(ast.Constant(value.value + "?"), value)
            yield Change(node, "values", i, wrong, value, f"{_text(key)}: {_text(wrong)}",
                         f"{_text(key)}: {_text(value)}")


def _call(node: ast.Call, to: Any) -> Iterator[Change]:
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else \
        function.id if isinstance(function, ast.Name) else ""
    plain = not any(isinstance(arg, ast.Starred) for arg in node.args)
    if isinstance(function, ast.Attribute) and name in SWAPS:
        yield Change(function, "attr", None, SWAPS[name], node)
    if isinstance(function, ast.Name) and name in BUILTIN_SWAPS:
        yield Change(function, "id", None, BUILTIN_SWAPS[name], node)
    if isinstance(function, ast.Attribute) and name in TRANSPOSE_CALLS:
        of_module = isinstance(function.value, ast.Name) and function.value.id in ("np", "torch")
        yield to(node.args[0] if of_module and node.args else function.value)
    if isinstance(function, ast.Name) and name == "reversed" and plain and node.args:
        yield to(node.args[0])
    if isinstance(function, ast.Name) and name == "range" and plain and node.args:
        yield from _range(node)
    if len(node.args) == 2 and plain and name not in (*SYMMETRIC, "isinstance", "range"):
        yield Change(node, "args", None, node.args[::-1], node)
    if name == "einsum" and node.args:
        yield from _einsum(node)
    for i, keyword in enumerate(node.keywords):
        if keyword.arg is not None and not _is_default(name, keyword):
            yield Change(node, "keywords", i, [], node)


def _einsum(node: ast.Call) -> Iterator[Change]:
    """Two indices exchanged, in one operand or in the result."""
    subscripts = node.args[0]
    if not isinstance(subscripts, ast.Constant) or not isinstance(subscripts.value, str):
        return
    parts = re.split(r"(,|->)", subscripts.value)
    for i, part in enumerate(parts):
        letters = part.strip()
        operand = node.args[i // 2 + 1] if i // 2 + 1 < len(node.args) else None
        if isinstance(operand, ast.Call) and ast.unparse(operand.func).endswith(".eye"):
            continue  # symmetric
        if len(letters) > 1 and letters.isalpha():
            swapped = letters[:-2] + letters[-1] + letters[-2]
            text = "".join([*parts[:i], swapped, *parts[i + 1:]])
            yield Change(node, "args", 0, _at(ast.Constant(text), subscripts), node)


def _range(node: ast.Call) -> Iterator[Change]:
    stop = 0 if len(node.args) == 1 else 1
    if not isinstance(node.args[stop], (ast.Constant, ast.UnaryOp)):
        yield Change(node, "args", stop, _plus(node.args[stop], 1), node)
    yield Change(node, "args", stop, _plus(node.args[stop], -1), node)
    if len(node.args) == 1:
        yield Change(node, "args", None, [ast.Constant(1), node.args[0]], node)
    elif not isinstance(node.args[0], (ast.Constant, ast.UnaryOp)):
        yield Change(node, "args", 0, _plus(node.args[0], 1), node)


def _slice(node: ast.Slice) -> Iterator[Change]:
    if node.step is not None and _negative(node.step) == -1:
        yield Change(node, "step", None, None, node)
        return
    if node.lower is None:
        yield Change(node, "lower", None, ast.Constant(1), node)
    elif not isinstance(node.lower, (ast.Constant, ast.UnaryOp)):
        yield Change(node, "lower", None, _plus(node.lower, 1), node)
    if node.upper is None:
        yield Change(node, "upper", None, _number(-1, node), node)
    elif not isinstance(node.upper, (ast.Constant, ast.UnaryOp)):
        yield Change(node, "upper", None, _plus(node.upper, 1), node)
        yield Change(node, "upper", None, _plus(node.upper, -1), node)


def _negative(node: ast.AST) -> Any:
    """The value of a negative number as it is written, ``-1``, else None."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(
        node.operand, ast.Constant
    ) and isinstance(node.operand.value, (int, float)):
        return -node.operand.value
    return None


def _number(value: Any, at: ast.AST) -> ast.expr:
    if value >= 0:
        return _at(ast.Constant(value), at)
    return _at(ast.UnaryOp(ast.USub(), ast.Constant(-value)), at)


def _plus(node: ast.expr, step: int) -> ast.expr:
    op = ast.Add() if step > 0 else ast.Sub()
    return _at(ast.BinOp(node, op, ast.Constant(abs(step))), node)


def _inverted(test: ast.expr) -> bool:
    """Whether a changed comparison already negates ``test``."""
    return isinstance(test, ast.Compare) and len(test.ops) == 1 and not isinstance(
        test.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE))


def _not(test: ast.expr) -> ast.expr:
    return _at(ast.UnaryOp(ast.Not(), test), test)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_default(name: str, keyword: ast.keyword) -> bool:
    """Dropping it changes nothing that a check could see: ``dtype=float`` where numpy makes floats
    anyway, and ``strict``, which only turns a fault into an error."""
    if keyword.arg == "dtype" and name in ("zeros", "ones", "empty", "eye", "full"):
        return ast.unparse(keyword.value) in ("float", "np.float64")
    return keyword.arg == "strict"


def _at(node: Any, where: ast.AST) -> Any:
    return ast.copy_location(node, where)

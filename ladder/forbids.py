"""What a task forbids, found in the learner's source by its AST, where the verdict is made.

Seen: dotted names through imports, aliases and assignments, in what is asked for and in whatever it
calls by name; ``getattr(torch, "autograd")``, ``import_module("torch.autograd")``, star imports and
built-in functions. Not seen: names put together at run time (``getattr(torch, "auto" + "grad")``,
``exec``, ``vars(torch)[...]``), what a method is called on (``loss.backward()`` says nothing about
torch), code handed over as data, and what libraries do inside. It is a fence for the honest, and a
reason for a person to look; nobody gains points from what it misses without writing the answer.
"""

from __future__ import annotations

import ast
import builtins
import functools
import symtable
from collections.abc import Collection, Iterable, Iterator, Sequence

from ladder.carry import _defined_name
from ladder.text import Text, say

KERNEL = "anything but a Triton kernel"  # among a check's forbids: see ladder.kernel_judge.fence
REACHING = ("setattr", "delattr", "exec", "eval")  # statements that bind no name, yet change what names mean


def forbidden_use(source: str, names: Collection[str], forbids: Sequence[str]) -> Text | None:
    """The first use of a forbidden dotted name in ``names`` or in what they call, if any.

    ``source`` is what :func:`bindings` made of the notebook. Aliases
    (``import torch.autograd as ag``) are followed.
    """
    if not forbids:
        return None
    if any(banned == KERNEL for banned in forbids):
        from ladder.kernel_judge.alone import refusal
        from ladder.kernel_judge.fence import fenced

        if (reached := fenced(source, names) or refusal(source, names)) is not None:
            return reached
    aliases, definitions = _read(source, tuple(forbids))
    todo, seen = list(names), set(names)
    while todo:
        name = todo.pop()
        if (found := _banned(aliases.get(name), forbids)) and not definitions.get(name):
            return _tell(name, found)
        for node in definitions.get(name, []):
            for part in ast.walk(node):
                named = [dotted_name(part, aliases), *imported_names(part).values()]
                if found := next(filter(None, (_banned(dotted, forbids) for dotted in named)), None):
                    return _tell(ast.unparse(part), found)
            further = _names_used(ast.unparse(node)) - seen
            seen |= further
            todo += sorted(further)
    return None


def _read(
    source: str, forbids: Sequence[str]
) -> tuple[dict[str, str], dict[str, list[ast.stmt]]]:
    """What names stand for in ``source``, and the statements that define each."""
    plain, stars, definitions = _parsed(source)
    aliases = {banned.removeprefix(f"{module}.").split(".")[0]: ".".join(
        banned.split(".")[:module.count(".") + 2])
        for module in stars for banned in forbids if banned.startswith(f"{module}.")} | plain
    aliases |= {name: name for name in vars(builtins) if name not in {*aliases, *definitions}}
    return aliases, definitions


@functools.lru_cache(maxsize=4)  # every check of one submission asks for the same source
def _parsed(source: str) -> tuple[dict[str, str], list[str], dict[str, list[ast.stmt]]]:
    tree = ast.parse(source)
    aliases: dict[str, str] = {}
    stars: list[str] = []
    for node in ast.walk(tree):
        aliases.update(imported_names(node))
        if isinstance(node, ast.ImportFrom) and [a.name for a in node.names] == ["*"]:
            stars.append(node.module or "")
    definitions: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        for name in bound_names(node):
            definitions.setdefault(name.split(".")[0], []).append(node)
    return aliases, stars, definitions


@functools.lru_cache(maxsize=2000)
def _names_used(statement: str) -> frozenset[str]:
    try:
        return frozenset(_globals(symtable.symtable(statement, "a cell", "exec")))
    except SyntaxError:  # parsed but does not compile, so it does not run
        return frozenset()


def _globals(table: symtable.SymbolTable) -> set[str]:
    """The global names that code refers to; a parameter of the same name is none."""
    names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()
             and (symbol.is_global() or table.get_type() == "module")}
    return names.union(*(_globals(child) for child in table.get_children()))


def bindings(cells: Iterable[str]) -> str:
    """Every top-level statement of Python cells that imports or binds a name.

    As :func:`ladder.carry.learner_source`, with assignments and blocks too, so that
    ``softmax = torch.softmax`` is seen. A later definition replaces an earlier one.
    """
    kept: list[tuple[str, str]] = []
    for name, text in (part for cell in cells for part in _bindings_of(cell)):
        if name:
            kept = [part for part in kept if part[0] != name and not part[0].startswith(f"{name}.")]
        kept.append((name, text))
    return "\n".join(text for _, text in kept)


@functools.lru_cache(maxsize=2000)
def _bindings_of(cell: str) -> list[tuple[str, str]]:
    """The binding statements of a cell, each with the one name that it binds anew, if it does."""
    try:
        body = ast.parse(cell).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []  # this cell does not run either
    return [(_replaces(node) or "", ast.unparse(node)) for node in body
            if isinstance(node, (ast.Import, ast.ImportFrom)) or list(bound_names(node)) or any(
                map(_reaches, ast.walk(node)))]


def _reaches(part: ast.AST) -> bool:
    """Whether a part of a statement may change what it does not bind."""
    if isinstance(part, (ast.Attribute, ast.Subscript)) and not isinstance(part.ctx, ast.Load):
        return True
    return (isinstance(part, ast.Name) and part.id in REACHING) or (
        isinstance(part, ast.Attribute) and (part.attr.startswith(("__", "f_")) or part.attr == "modules"))


def bound_names(node: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement defines, imports left out."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield _defined_name(node) or node.name
        return
    for part in ast.walk(node):
        if isinstance(part, (ast.Name, ast.Attribute)) and isinstance(part.ctx, ast.Store):
            owner: ast.expr = part
            while isinstance(owner, ast.Attribute):
                owner = owner.value
            if isinstance(owner, ast.Name):
                yield owner.id
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield part.name


def _replaces(node: ast.stmt) -> str | None:
    """The one name that ``node`` binds anew, whatever it was before."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return _defined_name(node) or node.name
    if isinstance(node, ast.Assign) and [type(t) for t in node.targets] == [ast.Name]:
        return next(bound_names(node))
    return None


def imported_names(node: ast.AST) -> dict[str, str]:
    """What an import statement binds, with the dotted name that it stands for."""
    if isinstance(node, ast.Import):
        return {(a.asname or a.name.split(".")[0]): (a.name if a.asname else a.name.split(".")[0])
                for a in node.names}
    if isinstance(node, ast.ImportFrom) and node.module:
        return {(a.asname or a.name): f"{node.module}.{a.name}" for a in node.names}
    return {}


def dotted_name(node: ast.AST, aliases: dict[str, str]) -> str | None:
    """``torch.autograd.grad`` for an expression that names it through an import."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = dotted_name(node.value, aliases)
        return f"{owner}.{node.attr}" if owner else None
    if isinstance(node, ast.Call) and node.args and isinstance(node.func, (ast.Name, ast.Attribute)):
        called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if called == "getattr" and texts and (owner := dotted_name(node.args[0], aliases)):
            return f"{owner}.{texts[0]}"
        if called in ("import_module", "__import__") and texts:
            return texts[0] if called == "import_module" else texts[0].split(".")[0]
    return None


def _banned(dotted: str | None, forbids: Sequence[str]) -> str | None:
    return next((banned for banned in forbids if dotted is not None
                 and (dotted == banned or dotted.startswith(banned + "."))), None)


def _tell(used: str, banned: str) -> Text:
    return say(f"uses {used}, which this task forbids ({banned})",
               f"使用了 {used}，本题不允许（{banned}）")

"""The kernels of a submission without the rest of it, to be judged in a process that ran nothing else.

The strict interpreter is Python, and so could be changed by any code that ran before it. So a graded run interprets
kernels in a process of their own: of the learner's cells only those definitions are kept that kernel checks need, and
those only if they keep to what a kernel and its launcher use: ``tl``, ``triton``, memory of torch's, ``math``, plain
Python. ``refusal`` says what does not; ``cells_alone`` blanks out all else, so that lines keep their numbers.
"""

from __future__ import annotations

import ast
import builtins
import functools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from ladder.forbids import _names_used, dotted_name, imported_names
from ladder.kernel_judge.lint import MAKES
from ladder.text import Text, say

MODULES = ("triton", "triton.language", "torch", "math", "typing", "jaxtyping", "collections.abc", "ladder.triton",
           "__future__")
EARLIER = "ladder.earlier"  # in a graded run these are the references
PLAIN = frozenset((
    "abs", "all", "any", "bool", "callable", "dict", "divmod", "enumerate", "filter", "float", "frozenset", "hash",
    "int", "isinstance", "issubclass", "len", "list", "map", "max", "min", "pow", "print", "range", "repr", "reversed",
    "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip", "object", "NotImplemented", "Ellipsis",
    "ArithmeticError", "AssertionError", "Exception", "IndexError", "KeyError", "NotImplementedError", "RuntimeError",
    "TypeError", "ValueError"))
TORCH = frozenset({*MAKES, "inf", "nan", "pi", "result_type", "promote_types", "memory_format", "contiguous_format",
                   "preserve_format", "channels_last", "strided", "Tensor", "uint16", "uint32", "uint64", "float8_e4m3fn",
                   "float8_e5m2", "finfo", "iinfo", "is_floating_point"} - {"autograd", "cuda"})
TORCH_CUDA = frozenset(("is_available", "get_device_capability", "current_device", "get_device_properties", "device"))
TRITON = frozenset(("jit", "autotune", "heuristics", "Config", "cdiv", "next_power_of_2", "constexpr_function"))
HIDDEN_IN_TL = frozenset(("core", "standard", "semantic", "random", "extra", "target_info"))
NEVER = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.AsyncFunctionDef, ast.Global, ast.Nonlocal, ast.Await,
         ast.Yield, ast.YieldFrom, ast.AsyncFor, ast.AsyncWith, ast.Delete)


def refusal(source: str, names: Collection[str]) -> Text | None:
    """What in ``names``, or in what they use, keeps a notebook's ``source`` from being judged alone."""
    aliases, definitions = _read(source)
    for name in _closure(names, definitions):
        for node in definitions[name]:
            if (what := _strange(node, aliases, frozenset(definitions))) is not None:
                return say(f"{name} uses {what}: a kernel and what launches it keep to tl, triton, math, plain Python "
                           "and torch's memory (torch.empty and the like)",
                           f"{name} 使用了 {what}：kernel 和启动它的函数只能使用 tl、triton、math、普通 Python "
                           "以及 torch 的内存分配（torch.empty 等）")
    return None


def cells_alone(cells: Iterable[tuple[int, str]], names: Collection[str]) -> Iterator[tuple[int, str]]:
    """The cells that define ``names`` and what those use, everything else in them blanked out."""
    read = [(index, text, tree) for index, text in cells if (tree := _parsed(text)) is not None]
    aliases, definitions = _read("\n".join(ast.unparse(tree) for _, _, tree in read))
    defined = frozenset(definitions)
    bad = {name for name, nodes in definitions.items() if any(_strange(node, aliases, defined) for node in nodes)}
    wanted = {name for name in _closure(names, definitions) if not _closure([name], definitions) & bad}
    for index, text, tree in read:
        kept = [node for node in tree.body if _imports_plainly(node) or set(_bound(node)) & wanted]
        if kept:
            yield index, _only(text, kept)


@functools.lru_cache(maxsize=4)  # every check of one submission asks for the same source
def _read(source: str) -> tuple[dict[str, str], dict[str, list[ast.stmt]]]:
    """What imported names stand for, and the statements that bind each other name."""
    aliases: dict[str, str] = {}
    definitions: dict[str, list[ast.stmt]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)) and _imports_plainly(node):
            aliases |= imported_names(node)
            continue
        for name in _bound(node):
            definitions.setdefault(name, []).append(node)
    return aliases, definitions


def _parsed(cell: str) -> ast.Module | None:
    try:
        return ast.parse(cell)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _bound(node: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement binds."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        return
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
        elif isinstance(part, ast.alias):
            yield (part.asname or part.name).split(".")[0]
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield part.name


def _closure(names: Iterable[str], definitions: dict[str, list[ast.stmt]]) -> set[str]:
    """``names`` and all that their definitions refer to, as far as it is defined here."""
    todo, seen = [name for name in names if name in definitions], set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += [used for node in definitions[name] for used in _names_used(ast.unparse(node))
                     if used in definitions]
    return seen


def _imports_plainly(node: ast.stmt) -> bool:
    """Whether a statement imports only what a kernel and its launcher may use."""
    if isinstance(node, ast.Import):
        return all(alias.name in MODULES for alias in node.names)
    if not isinstance(node, ast.ImportFrom) or any(alias.name.startswith(("_", "*")) for alias in node.names):
        return False
    if node.level or (node.module or "").startswith(EARLIER):
        return True
    allowed = {"torch": TORCH, "triton": TRITON | {"language"}}.get(node.module or "")
    return node.module in MODULES and all(
        alias.name in allowed if allowed is not None else alias.name not in HIDDEN_IN_TL for alias in node.names)


def _strange(node: ast.stmt, aliases: dict[str, str], defined: frozenset[str]) -> str | None:
    """The first thing in a definition that is neither a kernel's nor a launcher's."""
    if not isinstance(node, (ast.FunctionDef, ast.Assign, ast.AnnAssign)):
        return f"`{ast.unparse(node).splitlines()[0][:60]}`"
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    if any(not isinstance(part, (ast.Name, ast.Tuple, ast.List)) for part in targets):
        return f"`{ast.unparse(node).splitlines()[0][:60]}`"
    for part in ast.walk(node):
        if isinstance(part, NEVER):
            return f"`{ast.unparse(part).splitlines()[0][:60]}`"
        if isinstance(part, ast.Attribute) and (part.attr.startswith("_") or not isinstance(part.ctx, ast.Load)):
            return ast.unparse(part)
        if isinstance(part, ast.Attribute) and (dotted := dotted_name(part, aliases)) and not _allowed(dotted):
            return dotted
    for name in sorted(_names_used(ast.unparse(node)) - set(aliases) - defined):
        if hasattr(builtins, name) and name not in PLAIN:
            return name
    return None


def _allowed(dotted: str) -> bool:
    for ours, theirs in (("ladder.triton.triton", "triton"), ("ladder.triton.tl", "triton.language")):
        if dotted == ours or dotted.startswith(f"{ours}."):
            dotted = theirs + dotted.removeprefix(ours)
    head, *parts = dotted.split(".")
    if head == "torch":
        return parts[0] in TORCH or (parts[0] == "cuda" and (len(parts) == 1 or parts[1] in TORCH_CUDA))
    if head == "triton":
        return parts[0] in TRITON or (parts[0] == "language" and (len(parts) == 1 or parts[1] not in HIDDEN_IN_TL))
    return True


def _only(text: str, kept: Sequence[ast.stmt]) -> str:
    """``text`` with nothing left but the statements ``kept``, each where it stood."""
    lines = re.split(r"\r\n|\r|\n", text)
    left = [""] * len(lines)
    for node in kept:
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(part.lineno for part in node.decorator_list)]) - 1
            left[first:node.end_lineno] = lines[first:node.end_lineno]
        else:  # others may stand on the same line
            left[node.lineno - 1] += f"{ast.unparse(node)}; "
    made = "\n".join(left)
    again = _parsed(made)
    if again is None or [ast.dump(node) for node in again.body] != [ast.dump(node) for node in kept]:
        return "\n".join(map(ast.unparse, kept))  # whatever confused us about its lines
    return made

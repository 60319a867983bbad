"""What a task forbids, found in the learner's source by its AST, where the verdict is made."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence

from ladder.carry import _defined_name
from ladder.text import Text, say


def forbidden_use(source: str, names: Collection[str], forbids: Sequence[str]) -> Text | None:
    """The first use of a forbidden dotted name in ``names`` or in what they call, if any.

    ``source`` is what :func:`ladder.carry.learner_source` made of the notebook. Aliases
    (``import torch.autograd as ag``) are followed.
    """
    if not forbids:
        return None
    tree = ast.parse(source)
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        aliases.update(_imported(node))
    definitions: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        if (name := _defined_name(node)) is not None:
            definitions.setdefault(name.split(".")[0], []).append(node)
    todo, seen = list(names), set(names)
    while todo:
        for node in definitions.get(todo.pop(), []):
            for part in ast.walk(node):
                dotted = _dotted(part, aliases) or next(iter(_imported(part).values()), None)
                for banned in forbids:
                    if dotted is not None and (dotted == banned or dotted.startswith(banned + ".")):
                        text = ast.unparse(part)
                        return say(f"uses {text}, which this task forbids ({banned})",
                                   f"使用了 {text}，本题不允许（{banned}）")
                if isinstance(part, ast.Name) and part.id not in seen:
                    seen.add(part.id)
                    todo.append(part.id)
    return None


def _imported(node: ast.AST) -> dict[str, str]:
    if isinstance(node, ast.Import):
        return {(a.asname or a.name.split(".")[0]): (a.name if a.asname else a.name.split(".")[0])
                for a in node.names}
    if isinstance(node, ast.ImportFrom) and node.module:
        return {(a.asname or a.name): f"{node.module}.{a.name}" for a in node.names}
    return {}


def _dotted(node: ast.AST, aliases: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return aliases.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value, aliases)
        return f"{owner}.{node.attr}" if owner else None
    return None

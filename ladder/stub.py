"""Cut a reference to what a learner starts from: signature, docstring, and a hole.

Works on source text by the AST's line numbers, so that what is given keeps its formatting.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ladder.content import Definition, find_definition, first_line
from ladder.errors import LessonError

HOLE = 'raise NotImplementedError("your code here")'
KERNEL_HOLE = 'tl.static_assert(False, "your code here")'
BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"
ALWAYS_GIVEN = ("__repr__",)


class Cutter:
    """Renders exercise cells of one solution, as stubs or solved.

    ``exercises`` maps each exercise to the names it asks for; ``docstrings`` holds translations
    that replace the reference's docstrings.
    """

    def __init__(
        self, source: str, exercises: Mapping[str, Sequence[str]],
        docstrings: Mapping[str, str] | None = None,
    ) -> None:
        self.source = source
        self.lines = source.split("\n")
        self.tree = ast.parse(source)
        self.exercises = exercises
        self.docstrings = docstrings or {}
        self.claimed = {name: ex for ex, names in exercises.items() for name in names}
        for name in self.claimed:
            self._node(name)

    def cell(self, exercise: str, imported: Sequence[str], solved: bool = False) -> str:
        """The source of an exercise's cell, which imports ``imported`` in the lesson."""
        names = self.exercises[exercise]
        tops = list(dict.fromkeys(name.split(".")[0] for name in names))
        missing = [name for name in tops if name not in imported]
        if missing:
            raise LessonError(f"the exercise {exercise} asks for {', '.join(missing)}, which its "
                              "lesson cell does not import")
        parts = []
        for top in imported:
            node = self._node(top)
            if isinstance(node, ast.ClassDef) and top in tops:
                parts += self._class_parts(node, exercise, solved)
            elif top in names:
                parts.append(self._cut(node, top, solved))
            else:
                parts.append(self._text(node))
        made = "\n\n\n".join(parts)
        try:
            ast.parse(made)
        except SyntaxError as error:
            raise LessonError(f"the exercise {exercise} is cut to what is not Python, line "
                              f"{error.lineno}: {error.text!r}; a text over several lines inside a "
                              "method must not start left of it") from None
        return "\n\n\n".join([*self._private_helpers(made), made]) if solved else made

    def _private_helpers(self, text: str) -> list[str]:
        """The reference's own helpers (``_name``) that a solved cell uses and no cell shows."""
        found: dict[str, str] = {}
        todo = [text]
        while todo:
            for part in ast.walk(ast.parse(todo.pop())):
                name = part.id if isinstance(part, ast.Name) else ""
                node = find_definition(self.tree, name) if name.startswith("_") else None
                if isinstance(node, ast.FunctionDef) and name not in found:
                    bare = ast.parse(self._text(node)).body[0]
                    assert isinstance(bare, ast.FunctionDef)
                    bare.returns = None  # its annotations may need imports that no cell makes
                    for argument in [*bare.args.args, *bare.args.kwonlyargs]:
                        argument.annotation = None
                    found[name] = ast.unparse(bare)
                    todo.append(found[name])
        return list(found.values())

    def check(self, name: str) -> None:
        """Raise :class:`LessonError` unless the solution defines ``name``."""
        self._node(name)

    def _node(self, name: str) -> Any:
        node = find_definition(self.tree, name)
        if node is None:
            raise LessonError(f"the solution does not define {name}")
        return node

    def _text(self, node: Any) -> str:
        return "\n".join(self.lines[first_line(node) - 1:node.end_lineno])

    def _class_parts(self, node: ast.ClassDef, exercise: str, solved: bool) -> list[str]:
        """The class with its first exercise; for later ones, methods added to it."""
        first = next(ex for name, ex in self.claimed.items() if name.split(".")[0] == node.name)
        mine = [n for n in self.exercises[exercise] if n.startswith(f"{node.name}.")]
        if exercise != first:
            return [f"@method_of({node.name})\n"
                    + textwrap.dedent(self._cut(self._node(name), name, solved)) for name in mine]
        whole = node.name in self.exercises[exercise]
        header_end = _body_start(self.lines, node)
        pieces = ["\n".join(self.lines[first_line(node) - 1:header_end])]
        if ast.get_docstring(node) is not None:
            pieces[0] += "\n" + self._docstring(node, node.name, "    ")
        for member in node.body:
            name = f"{node.name}.{getattr(member, 'name', '')}"
            if _is_docstring(member):
                continue
            if not isinstance(member, Definition):
                pieces.append(self._text(member))
            elif name in mine or (
                whole and name not in self.claimed and member.name not in ALWAYS_GIVEN
            ):
                pieces.append(self._cut(member, name, solved))
            elif name not in self.claimed:
                pieces.append(self._text(member))
        if len(pieces) == 1 and ast.get_docstring(node) is None:
            pieces.append("    pass")
        return ["\n\n".join(pieces)]

    def _cut(self, node: Any, name: str, solved: bool) -> str:
        if isinstance(node, ast.ClassDef):
            parts = self._class_parts(node, self.claimed[name], solved)
            return "\n\n\n".join(parts)
        if not isinstance(node, Definition):
            raise LessonError(f"{name} is neither a function nor a class; it cannot be an exercise")
        indent = " " * node.body[0].col_offset
        head = "\n".join(self.lines[first_line(node) - 1:_body_start(self.lines, node)])
        if ast.get_docstring(node) is not None:
            head += "\n" + self._docstring(node, name, indent)
        start, end = _extent(self.lines, node)
        body = self.lines[start:end]
        if solved or _has_fences(body):
            body = _fenced(body, name, _hole(node), solved)
        else:
            body = [indent + _hole(node)]
        return "\n".join([head, *body])

    def _docstring(self, node: Any, name: str, indent: str) -> str:
        given = self.docstrings.get(name)
        if given is None:
            first = node.body[0]
            return "\n".join(self.lines[first.lineno - 1:first.end_lineno])
        return quote(given, indent)


def quote(text: str, indent: str) -> str:
    """``text`` as an indented docstring."""
    text = text.strip()
    if text.startswith('"""') and text.endswith('"""') and len(text) > 5:
        text = text[3:-3].strip()
    mark = '"""' if '"""' not in text else "'''"
    if mark in text:
        raise LessonError(f"a docstring holds both kinds of triple quotes: {text[:60]!r}")
    prefix = "r" if "\\" in text else ""
    lines = text.split("\n")
    body = "\n".join([lines[0], *(f"{indent}{line}" if line.strip() else "" for line in lines[1:])])
    end = f"\n{indent}" if len(lines) > 1 or text.endswith((mark[0], "\\")) else ""
    return f"{indent}{prefix}{mark}{body}{end}{mark}"


def _body_start(lines: Sequence[str], node: Any) -> int:
    """The number of lines up to the end of a definition's signature.

    Comments and decorators above the first statement belong to the body: they may tell the answer.
    """
    start = first_line(node.body[0]) - 1
    if lines[start][:node.body[0].col_offset].strip():
        raise LessonError(f"write the body of {node.name} on lines of its own, below the signature")
    while not lines[start - 1].strip() or lines[start - 1].lstrip().startswith("#"):
        start -= 1
    return start


def _extent(lines: Sequence[str], node: Any) -> tuple[int, int]:
    """What a definition's body takes of ``lines``, without its docstring, with comments at its end."""
    documented = ast.get_docstring(node) is not None
    start = node.body[0].end_lineno if documented else _body_start(lines, node)
    end = node.end_lineno
    for number in range(end, len(lines)):
        line = lines[number]
        if line.strip() and not (line.lstrip().startswith("#")
                                 and len(line) - len(line.lstrip()) >= node.body[0].col_offset):
            break
        if line.strip():
            end = number + 1
    return start, end


def _hole(node: Any) -> str:
    return KERNEL_HOLE if _is_kernel(node) else HOLE


def _has_fences(body: Sequence[str]) -> bool:
    return any(line.strip() in (BEGIN, END) for line in body)


def stub_source(source: str, names: Collection[str]) -> str:
    """A whole solution with every one of ``names`` cut; what a learner's notebook starts from."""
    lines = source.split("\n")
    tree = ast.parse(source)
    targets = []
    for name in names:
        node = find_definition(tree, name)
        if isinstance(node, ast.ClassDef):
            targets += [m for m in node.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef))
                        and m.name not in ALWAYS_GIVEN and f"{name}.{m.name}" not in names]
        elif node is not None:
            targets.append(node)
    for node in sorted(targets, key=lambda n: -n.lineno):
        start, end = _extent(lines, node)
        body = lines[start:end]
        indent = " " * node.body[0].col_offset
        lines[start:end] = (_fenced(body, node.name, _hole(node), False) if _has_fences(body)
                            else [indent + _hole(node)])
    return "\n".join(lines)


def cut_statements(source: str, names: Collection[str]) -> list[ast.stmt]:
    """The statements that a learner has to write, for the leak check."""
    tree = ast.parse(source)
    found: list[ast.stmt] = []
    for name in names:
        node = find_definition(tree, name)
        members = [node]
        if isinstance(node, ast.ClassDef):
            members = [m for m in node.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef))
                       and m.name not in ALWAYS_GIVEN]
        for member in members:
            body = member.body[1:] if ast.get_docstring(member) is not None else member.body
            fences = fenced_lines(source, member)
            found += [part for stmt in body for part in ast.walk(stmt)
                      if isinstance(part, ast.stmt) and in_fences(part.lineno, fences)]
    return found


def fenced_lines(source: str, node: Any) -> list[tuple[int, int]]:
    """The lines of the fences inside a definition, as pairs; empty where there are none."""
    lines = source.split("\n")
    starts, ends = (
        [n for n in range(node.lineno, _extent(lines, node)[1] + 1) if lines[n - 1].strip() == word]
        for word in (BEGIN, END)
    )
    return list(zip(starts, ends, strict=False))


def in_fences(line: int, fences: Sequence[tuple[int, int]]) -> bool:
    """Whether a learner writes this line; without fences, a learner writes all."""
    return not fences or any(start < line < end for start, end in fences)


def _fenced(body: list[str], name: str, hole: str, solved: bool) -> list[str]:
    kept, inside = [], False
    for line in body:
        word = line.strip()
        if word == BEGIN:
            if inside:
                raise LessonError(f"{name}: {BEGIN} inside another")
            inside = True
            if not solved:
                kept.append(line[:len(line) - len(line.lstrip())] + hole)
        elif word == END:
            if not inside:
                raise LessonError(f"{name}: {END} without {BEGIN}")
            inside = False
        elif not inside or solved:
            kept.append(line)
    if inside:
        raise LessonError(f"{name}: {BEGIN} without {END}")
    return kept


def _is_kernel(node: Any) -> bool:
    return any(
        ast.unparse(d.func if isinstance(d, ast.Call) else d) in ("triton.jit", "jit")
        for d in node.decorator_list
    )


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(
        node.value.value, str)

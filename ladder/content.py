"""Where the content lives, and implementations made of it: reference, stub, mistaken."""

from __future__ import annotations

import ast
import functools
import importlib
import itertools
import linecache
import sys
import types
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ladder import release
from ladder.errors import ContentError, LessonError
from ladder.paths import source_path

if TYPE_CHECKING:  # at run time it would import NumPy, which most commands do without
    from ladder.checks import Check, Mistake

_count = itertools.count()


def solution_module(stage: str, slug: str) -> ModuleType:
    return importlib.import_module(f"ladder.solutions.{stage}.{slug}")


def grader_module(stage: str, slug: str) -> ModuleType:
    return importlib.import_module(f"ladder.graders.{stage}.{slug}")


def checks_of(stage: str, slug: str) -> dict[str, Check]:
    """The checks of a day by name, in the order they are written."""
    from ladder.checks import Check

    return {
        name: value for name, value in vars(grader_module(stage, slug)).items()
        if isinstance(value, Check) and value.slug == slug and value.name == name
    }


def reference_objects(check: Check) -> list[Any]:
    """The reference's objects that ``check`` is called on."""
    return pick(vars(solution_module(check.stage, check.slug)), check.needs, check.slug)


def pick(namespace: Mapping[str, Any], names: Iterable[str], where: str) -> list[Any]:
    try:
        return [namespace[name] for name in names]
    except KeyError as missing:
        raise LessonError(f"{where}: a check needs {missing}, which the solution does not define"
                          ) from None


@functools.cache
def solution_source(stage: str, slug: str) -> str:
    path = source_path("solutions", stage, slug)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if release.is_release():
            raise ContentError(f"the solution of {slug} is not here: "
                               f"{release.why_no_reference(slug).en}") from None
        raise ContentError(f"{slug} has no solution yet: {path} does not exist") from None


def variant(stage: str, slug: str, source: str) -> dict[str, Any]:
    """The namespace of a changed copy of a day's solution."""
    package = f"ladder.solutions.{stage}"
    module = types.ModuleType(f"{package}.{slug}__variant{next(_count)}")
    module.__package__ = package
    sys.modules[module.__name__] = module  # dataclasses and typing look there
    filename = f"<variant of {slug}, {module.__name__.rpartition('__variant')[2]}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)  # Triton reads it
    try:
        exec(compile(source, filename, "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    return module.__dict__


def mistaken_objects(mistake: Mistake) -> list[Any]:
    """The objects for the mistake's check: the reference with the mistake made."""
    return pick(_mistaken(mistake), mistake.check.needs, mistake.check.slug)


_mistaken_cache: dict[Mistake, dict[str, Any]] = {}


def _mistaken(mistake: Mistake) -> dict[str, Any]:
    if mistake not in _mistaken_cache:
        check = mistake.check
        source = solution_source(check.stage, check.slug)
        if mistake.replace is not None:
            source = patched(source, mistake.within, mistake.replace, mistake.check.name)
        namespace = variant(check.stage, check.slug, source)
        if mistake.instead is not None:
            *owner, name = mistake.within.split(".")
            if owner:
                setattr(namespace[owner[0]], name, mistake.instead)
            else:
                namespace[name] = mistake.instead
        _mistaken_cache[mistake] = namespace
    return _mistaken_cache[mistake]


def patched(source: str, within: str, replace: Mapping[str, str], who: str) -> str:
    """``source`` with fragments inside the definition ``within`` replaced, each found once."""
    node = find_definition(ast.parse(source), within)
    if node is None:
        raise LessonError(f"{who}: the solution does not define {within}")
    lines = source.splitlines(keepends=True)
    start, end = first_line(node) - 1, node.end_lineno
    body = "".join(lines[start:end])
    for old, new in replace.items():
        if body.count(old) != 1:
            raise LessonError(
                f"{who}: a mistake replaces {old!r}, found {body.count(old)} times in {within}; "
                "choose a fragment that stands there exactly once"
            )
        body = body.replace(old, new)
    return "".join(lines[:start]) + body + "".join(lines[end:])


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def find_definition(tree: ast.AST, name: str) -> Any:
    """The node of a top-level ``name`` (function, class or assignment) or of ``Class.method``."""
    body = tree.body  # type: ignore[attr-defined]
    first, _, rest = name.partition(".")
    for node in reversed(body):
        if isinstance(node, Definition) and node.name == first:
            return find_definition(node, rest) if rest else node
        if isinstance(node, ast.Assign) and not rest and any(
            isinstance(t, ast.Name) and t.id == first for t in node.targets
        ):
            return node
    return None


def first_line(node: Any) -> int:
    """The first line of a definition, its decorators included."""
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])

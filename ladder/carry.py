"""The learner's own code, carried from an earlier day to a later one.

When a check passes, the notebook's definitions so far are kept as a snapshot
(``work/.ladder/code/<day>/<hash>.py``). A later day's import of a name gets the newest snapshot in
which every part of that name is, letter for letter, what its checks have passed; else the reference.
"""

from __future__ import annotations

import ast
import builtins
import copy
import functools
import hashlib
import linecache
import os
import re
import symtable
import sys
import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ladder import release
from ladder.content import Definition, solution_module
from ladder.curriculum import Day, Exercise, load_curriculum
from ladder.paths import source_path, state_dir
from ladder.records import Record, verdicts
from ladder.text import Text, say
from ladder.versions import check_versions

SKIP = ("ladder.graders", "ladder.solutions")


def learner_source(cells: Iterable[str]) -> str:
    """The imports, definitions and constants of code cells, as the kernel holds them.

    A redefinition replaces what stood before, in its place; redefining a class drops the methods
    added to the old one, as it does in the kernel; a constant that changes is written again where
    it changed. Left out is what computes something: it may take long, or not run again.
    """
    imports: dict[str, str] = {}
    kept: list[tuple[str, bool, str]] = []  # name, whether it is a definition, its text
    for node in (node for cell in cells for node in _statements(cell)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for bound, text in _imports(node):
                kept = [part for part in kept if part[0] != bound]
                imports[bound] = text
            continue
        name = _defined_name(node) or _alias(node, {*imports, *(part[0] for part in kept)})
        if name is None:
            continue
        made, text = isinstance(node, Definition), _unparsed(node)
        if not made:
            if next((part[2] for part in reversed(kept) if part[0] == name), None) != text:
                kept.append((name, False, text))
            continue
        imports.pop(name, None)
        if isinstance(node, ast.ClassDef):
            kept = [part for part in kept if not part[0].startswith(f"{name}.")]
        at = next((i for i, part in enumerate(kept) if part[:2] == (name, True)), len(kept))
        kept[at:at + 1] = [(name, True, text)]
        kept = [part for part in kept if part[0] != name or part[1]]
    return "\n".join([*imports.values(), "", *(f"\n{text}\n" for _, _, text in kept)])


@functools.lru_cache(maxsize=10_000)
def _unparsed(node: ast.stmt) -> str:
    return ast.unparse(node)


@functools.lru_cache(maxsize=2000)
def _statements(cell: str) -> list[ast.stmt]:
    """The statements of a cell, none if it is not Python; each check asks for all cells again."""
    try:
        return ast.parse(_plain_python(cell)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """One import statement for each name that ``node`` binds."""
    module = getattr(node, "module", None) or ""
    if module.startswith(SKIP):
        return
    for alias in node.names:
        one = copy.copy(node)
        one.names = [alias]
        text = ast.unparse(one)
        bound = alias.asname or (alias.name if module else alias.name.split(".")[0])
        yield (text if alias.name == "*" or "." in alias.name else bound), text


def _plain_python(cell: str) -> str:
    return "\n".join("" if line.startswith(("%", "!")) else line for line in cell.split("\n"))


def _defined_name(node: ast.stmt) -> str | None:
    if isinstance(node, Definition):
        owner = method_owner(node)
        return f"{owner}.{node.name}" if owner else node.name
    target = _only_target(node)
    if target is not None:
        try:
            ast.literal_eval(node.value)  # type: ignore[attr-defined]
        except (ValueError, TypeError, MemoryError, RecursionError):
            return None
    return target


def _only_target(node: ast.stmt) -> str | None:
    """``x`` for ``x = ...`` and ``x: int = ...``."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target: ast.expr = node.targets[0]
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        target = node.target
    else:
        return None
    return target.id if isinstance(target, ast.Name) else None


def _alias(node: ast.stmt, known: Collection[str]) -> str | None:
    """``x`` for ``x = lambda ...`` and for ``x = np.pi``, another name for something kept."""
    target = _only_target(node)
    value = getattr(node, "value", None)
    if target is None or isinstance(value, ast.Lambda):
        return target
    while isinstance(value, ast.Attribute):
        value = value.value
    return target if isinstance(value, ast.Name) and value.id in known else None


def method_owner(node: Any) -> str | None:
    """``Value`` for a function under ``@method_of(Value)``."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "method_of":
            return ast.unparse(decorator.args[0]) if decorator.args else None
    return None


def definition_hashes(source: str) -> dict[str, str]:
    """A hash of every definition: functions, ``Class.method`` wherever written, classes whole.

    It covers the top-level functions, classes and constants that the definition refers to, directly
    or not: a helper that was changed is no longer what the checks have passed. Methods that were
    added to a class later do not count for the others.
    """
    texts: dict[str, str] = {}
    uses: dict[str, set[str]] = {}
    for node in ast.parse(source).body:
        name = _defined_name(node) or _only_target(node)
        if name is None:
            continue
        members = [m for m in getattr(node, "body", []) if isinstance(m, Definition)] \
            if isinstance(node, ast.ClassDef) else []
        for part, what in [(node, name), *((m, f"{name}.{m.name}") for m in members)]:
            texts[what] = _bare(part)
            uses[what] = {n.id for n in ast.walk(part) if isinstance(n, ast.Name)}
            uses[what].add(name)  # a method may use all of its class
    return {name: _with_uses(name, texts, uses) for name in texts}


def _with_uses(name: str, texts: dict[str, str], uses: dict[str, set[str]]) -> str:
    reached, todo = {name}, [name]
    while todo:
        new = {use for use in uses[todo.pop()] if use in texts} - reached
        reached |= new
        todo += new
    parts = [texts[name], *(texts[other] for other in sorted(reached - {name}))]
    return hashlib.sha256("\n\n".join(parts).encode()).hexdigest()


def _bare(node: Any) -> str:
    """The code of a definition, the same inside a class and under ``method_of``."""
    text = ast.unparse(ast.Module(body=[node], type_ignores=[]))
    if isinstance(node, Definition) and method_owner(node):
        text = text.split("\n", 1)[1]
    return text


def keep_snapshot(slug: str, source: str) -> str:
    """Store the learner's definitions; returns the snapshot's name for the record."""
    name = hashlib.sha256(source.encode()).hexdigest()[:16]
    path = state_dir() / "code" / slug / f"{name}.py"
    if read_snapshot(slug, name) is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{name}.{os.getpid()}.part")
        part.write_text(source, encoding="utf-8", newline="\n")
        os.replace(part, path)
    return name


def read_snapshot(slug: str, name: str) -> str | None:
    """The snapshot, or None if it is not there or no longer what its name says."""
    path = state_dir() / "code" / slug / f"{name}.py"
    if not re.fullmatch("[0-9a-f]{16}", name):
        return None
    try:
        source = path.read_bytes().decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return source if hashlib.sha256(source.encode()).hexdigest()[:16] == name else None


@dataclass(frozen=True)
class Carried:
    """Where a name came from: the learner's code, or the reference and why."""

    value: Any
    own: bool
    said: Text


def carry(slug: str, name: str) -> Carried:
    """Resolve ``name`` of the earlier day ``slug``."""
    curriculum = load_curriculum()
    day = curriculum.day(slug)
    stage = curriculum.stage_of(day).id
    if release.is_release() and not source_path("solutions", stage, slug).exists():
        return _carry_without_reference(day, name)
    try:
        reference = getattr(solution_module(stage, slug), name)
    except (AttributeError, ModuleNotFoundError):
        raise ImportError(f"{slug} has nothing called {name}") from None
    if os.environ.get("LADDER_CARRY") == "reference":
        return Carried(reference, False, say(f"{slug}.{name}: the reference (graded run)",
                                             f"{slug}.{name}：参考实现（评分运行）"))
    parts = [ex for ex in day.exercises
             if any(n == name or n.startswith(f"{name}.") for n in ex.names)]
    if not parts:
        return Carried(reference, False, say(f"{slug}.{name}: given", f"{slug}.{name}：由课程给出"))
    own, why = _own(day, name, parts)
    if own is not None:
        return own
    assert why is not None
    return Carried(reference, False, say(f"{slug}.{name}: the reference, {why.en}",
                                         f"{slug}.{name}：参考实现，{why.zh}"))


def _own(day: Day, name: str, parts: list[Exercise]) -> tuple[Carried | None, Text | None]:
    """The learner's own verified ``name``, or why there is none."""
    slug = day.id
    source, why = verified_source(day, [(ex.names, list(ex.checks)) for ex in parts])
    if source is None:
        return None, why
    try:
        loaded = _load(slug, source)
        value = loaded[name]
    except Exception as error:  # the learner's code may raise anything when loaded alone
        return None, say(f"because your code did not load on its own ({error!r:.200})",
                         f"因为你的代码无法单独载入（{error!r:.200}）")
    if missing := missing_names(source, loaded):
        names = ", ".join(missing)
        return None, say(f"because your code needs {names}, which a cell computes; "
                         "define it as a function or inside one",
                         f"因为你的代码用到了由单元格计算出来的 {names}；请把它写成函数，或写在函数里面")
    return Carried(value, True, say(f"{slug}.{name}: your own code, verified",
                                    f"{slug}.{name}：你自己的代码，已通过检查")), None


def _carry_without_reference(day: Day, name: str) -> Carried:
    """As :func:`carry`, in a release that does not hold this day's solution."""
    from ladder.notebook import language

    parts = [ex for ex in day.exercises
             if any(n == name or n.startswith(f"{name}.") for n in ex.names)]
    # What the day gives stands in the learner's notebook, so any exercise's snapshot has it.
    for some in ([parts] if parts else [[ex] for ex in day.exercises]):
        own, why = _own(day, name, some)
        if own is not None:
            return own
    gone = release.why_no_reference(day.id)
    assert why is not None
    raise ImportError(say(
        f"{day.id}.{name} is not here: {gone.en}, and yours cannot be used {why.en}. "
        f"Pass the checks of {day.id} first (`ladder start {day.id}`).",
        f"没有 {day.id}.{name}：{gone.zh}；你自己的也不能用，{why.zh}。"
        f"请先通过 {day.id} 的检查（`ladder start {day.id}`）。").in_(language()))


def verified_source(
    day: Day, exercises: list[tuple[list[str], list[str]]]
) -> tuple[str | None, Text | None]:
    """The newest snapshot whose parts have all passed as they are, or why there is none."""
    versions = check_versions(day)
    passes: dict[str, list[Record]] = {}
    for record in verdicts():
        slug, _, check = record.check.partition(".")
        if slug == day.id and record.state == "passed" and record.version == versions.get(check):
            passes.setdefault(check, []).append(record)
    needed = [check for _, checks in exercises for check in checks]
    missing = [check for check in needed if check not in passes]
    if missing:
        names = ", ".join(missing)
        return None, say(f"since {names} has not passed yet", f"因为 {names} 还没有通过")
    hashes: dict[str, dict[str, str]] = {}
    for check in needed:
        for record in passes[check]:
            source = read_snapshot(day.id, record.code)
            if source is not None:
                hashes[record.code] = definition_hashes(source)
    newest_first = sorted((r for check in needed for r in passes[check] if r.code in hashes),
                          key=lambda r: r.at, reverse=True)
    for candidate in dict.fromkeys(r.code for r in newest_first):
        mine = hashes[candidate]
        if all(
            any(r.code in hashes and all(mine.get(n) is not None
                                         and mine.get(n) == hashes[r.code].get(n) for n in names)
                for r in passes[check])
            for names, checks in exercises for check in checks
        ):
            return read_snapshot(day.id, candidate), None
    return None, say("since its parts have not all passed in one version of your notebook; "
                     f"run `ladder check {day.id}`",
                     f"因为各部分没有在你笔记本的同一个版本中全部通过；请运行 `ladder check {day.id}`")


def missing_names(source: str, loaded: Mapping[str, Any]) -> list[str]:
    """Global names that the source refers to and that are not there when it is loaded."""
    def used(table: symtable.SymbolTable) -> set[str]:
        here = {symbol.get_name() for symbol in table.get_symbols()
                if symbol.is_referenced() and symbol.is_global()}
        return here.union(*map(used, table.get_children()))

    return sorted(used(symtable.symtable(source, "your code", "exec"))
                  - set(loaded) - set(vars(builtins)))


@functools.lru_cache(maxsize=32)
def _load(slug: str, source: str) -> dict[str, Any]:
    """Run a snapshot; names taken from one snapshot belong together, so it is run once."""
    name = f"ladder.earlier.{slug}.yours_{hashlib.sha256(source.encode()).hexdigest()[:8]}"
    module = types.ModuleType(name)
    sys.modules[name] = module  # dataclasses and typing look there
    filename = f"<your {slug}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), module.__dict__)
    return module.__dict__

"""The learner's own code, carried from an earlier day to a later one.

When a check passes, the notebook's definitions so far are kept as a snapshot
(``work/.ladder/code/<day>/<hash>.py``). A later day's import of a name gets the newest snapshot in
which every part of that name is, letter for letter, what its checks have passed; else the reference.
"""

from __future__ import annotations

import ast
import hashlib
import os
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ladder.content import Definition, solution_module
from ladder.curriculum import Day, load_curriculum
from ladder.paths import state_dir
from ladder.records import Record, verdicts
from ladder.text import Text, say
from ladder.versions import check_versions

SKIP = ("ladder.graders", "ladder.solutions")


def learner_source(cells: Iterable[str]) -> str:
    """The imports, definitions and literal constants of code cells, as the kernel holds them.

    A redefinition replaces what stood before; redefining a class drops the methods added to the
    old one, as it does in the kernel.
    """
    imports: dict[str, str] = {}
    kept: dict[str, str] = {}
    for cell in cells:
        try:
            body = ast.parse(_plain_python(cell)).body
        except SyntaxError:
            continue
        for node in body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                module = getattr(node, "module", None) or ""
                if not module.startswith(SKIP):
                    imports[ast.unparse(node)] = ast.unparse(node)
                continue
            name = _defined_name(node)
            if name is None:
                continue
            if isinstance(node, ast.ClassDef):
                kept = {k: v for k, v in kept.items() if not k.startswith(f"{name}.")}
            kept.pop(name, None)
            kept[name] = ast.unparse(node)
    return "\n".join([*imports, "", *(f"\n{text}\n" for text in kept.values())])


def _plain_python(cell: str) -> str:
    return "\n".join("" if line.startswith(("%", "!")) else line for line in cell.split("\n"))


def _defined_name(node: ast.stmt) -> str | None:
    if isinstance(node, Definition):
        owner = method_owner(node)
        return f"{owner}.{node.name}" if owner else node.name
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(
        node.targets[0], ast.Name
    ):
        try:
            ast.literal_eval(node.value)
        except ValueError:
            return None
        return node.targets[0].id
    return None


def method_owner(node: Any) -> str | None:
    """``Value`` for a function under ``@method_of(Value)``."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "method_of":
            return ast.unparse(decorator.args[0]) if decorator.args else None
    return None


def definition_hashes(source: str) -> dict[str, str]:
    """A hash of every definition: functions, ``Class.method`` wherever written, classes whole."""
    found: dict[str, str] = {}
    for node in ast.parse(source).body:
        if not isinstance(node, Definition):
            continue
        owner = method_owner(node)
        if owner:
            found[f"{owner}.{node.name}"] = _hash(node)
            continue
        found[node.name] = _hash(node)
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef):
                    found[f"{node.name}.{member.name}"] = _hash(member)
    return found


def _hash(node: Any) -> str:
    text = ast.unparse(ast.Module(body=[node], type_ignores=[]))
    if isinstance(node, ast.FunctionDef) and method_owner(node):
        text = text.split("\n", 1)[1]
    return hashlib.sha256(text.encode()).hexdigest()


def keep_snapshot(slug: str, source: str) -> str:
    """Store the learner's definitions; returns the snapshot's name for the record."""
    name = hashlib.sha256(source.encode()).hexdigest()[:16]
    path = state_dir() / "code" / slug / f"{name}.py"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return name


def read_snapshot(slug: str, name: str) -> str | None:
    path = state_dir() / "code" / slug / f"{name}.py"
    return path.read_text(encoding="utf-8") if name and path.exists() else None


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
    reference = getattr(solution_module(stage, slug), name)
    if os.environ.get("LADDER_CARRY") == "reference":
        return Carried(reference, False, say(f"{slug}.{name}: the reference (graded run)",
                                             f"{slug}.{name}：参考实现（评分运行）"))
    parts = [ex for ex in day.exercises
             if any(n == name or n.startswith(f"{name}.") for n in ex.names)]
    if not parts:
        return Carried(reference, False, say(f"{slug}.{name}: given", f"{slug}.{name}：由课程给出"))
    source, why = verified_source(day, [(ex.names, list(ex.checks)) for ex in parts])
    if source is None:
        assert why is not None
        return Carried(reference, False, say(f"{slug}.{name}: the reference, {why.en}",
                                             f"{slug}.{name}：参考实现，{why.zh}"))
    try:
        value = _load(slug, source)[name]
    except Exception as error:  # the learner's code may raise anything when loaded alone
        return Carried(reference, False, say(
            f"{slug}.{name}: the reference, because your code did not load on its own ({error!r})",
            f"{slug}.{name}：参考实现，因为你的代码无法单独载入（{error!r}）"))
    return Carried(value, True, say(f"{slug}.{name}: your own code, verified",
                                    f"{slug}.{name}：你自己的代码，已通过检查"))


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


def _load(slug: str, source: str) -> dict[str, Any]:
    module = types.ModuleType(f"ladder.earlier.{slug}.yours")
    exec(compile(source, f"<your {slug}>", "exec"), module.__dict__)
    return module.__dict__

"""What a graded process may see of this machine, as a plan that ``sandbox`` carries out.

Seen, read-only: the system's libraries and programs, Python and its packages, the tool, the data
sets, this day's checks without their known mistakes, the references of the days it builds on.
Not there at all: this day's solution, lessons (they hold hints and model answers), tests, homes,
the course with its gradebook and other submissions. Writable: a private folder in memory.
"""

from __future__ import annotations

import ast
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ladder.paths import PACKAGE, content_root

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store",
          "/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache", "/etc/ld.so.conf",
          "/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types", "/etc/nsswitch.conf",
          "/etc/protocols", "/etc/services", "/etc/ssl/certs", "/sys/devices/system/cpu")
DEVICES = ("null", "zero", "full", "random", "urandom")
GPU_DEVICES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset",
               *(f"nvidia{n}" for n in range(16)))
CONTENT = ("solutions", "graders", "kernels")
HIDDEN = ("stages", "tests", "work", "docs", ".git", "observations")
HOME = "/tmp/home"
ETC = {
    "/etc/passwd": "learner:x:{uid}:{gid}:learner:/tmp/home:/bin/sh\n",
    "/etc/group": "learner:x:{gid}:\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
}


@dataclass
class View:
    """``shown`` paths are bound read-only, ``covered`` ones emptied, ``files`` written anew."""

    shown: list[str] = field(default_factory=list)
    covered: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)


def view_of(stage: str | None, day: str, references: Iterable[str], gpu: bool = False) -> View:
    """The view of a graded run of ``day``; "" is an assignment that is no day of the workbook."""
    root = content_root()
    found = View(devices=[*DEVICES, *(GPU_DEVICES if gpu else ())])
    found.shown = _outermost([*SYSTEM, *_python(), str(PACKAGE), str(root / "datasets"),
                              str(root / "curriculum.yaml"), *_data()])
    for name in (*CONTENT, *HIDDEN):
        folder = root / name
        if name in CONTENT or folder.exists():
            found.covered.append(str(folder))
    for path, text in content_files(day, references).items():
        found.files[str(path)] = text
    return found


def content_files(day: str, references: Iterable[str]) -> dict[Path, str]:
    """Solutions of ``references``, checks of those and of ``day``, kernels, package files."""
    root, allowed = content_root(), set(references)
    found: dict[Path, str] = {}
    for kind in CONTENT:
        for path in sorted((root / kind).rglob("*.py")):
            if path.name == "__init__.py":
                found[path] = path.read_text(encoding="utf-8")
            elif kind == "graders" and path.stem in {day, *allowed}:
                found[path] = without_mistakes(path.read_text(encoding="utf-8"))
            elif kind != "kernels" and (  # helpers that days share, and solutions of earlier ones
                not path.stem.startswith("day") or (kind == "solutions" and path.stem in allowed)
            ):
                found[path] = path.read_text(encoding="utf-8")
    given = "\n".join(found.values())
    for path in sorted((root / "kernels").glob("*.py")):  # exercises too: those of earlier days
        if f"kernels.{path.stem}" in given or f"kernels import {path.stem}" in given:
            found[path] = path.read_text(encoding="utf-8")
    return found


def without_mistakes(source: str) -> str:
    """A grader's source with its known mistakes blanked out; they quote the solution.

    Gone are the statements that register one, helpers that do, what calls those, and what only
    they use. Line numbers stay.
    """
    body = ast.parse(source).body
    uses = {node: _names(node) for node in body}
    makes = {node: _made(node) for node in body}
    gone = {node for node in body if any(map(_registers, ast.walk(node)))}
    helpers = {name for node in gone for name in _helper(node)}
    gone |= {node for node in body if uses[node] & helpers}
    while more := _only_for(gone, body, uses, makes):
        gone |= more
    lines = source.splitlines(keepends=True)
    for node in gone:
        start = min([node.lineno, *(part.lineno for part in getattr(node, "decorator_list", []))])
        for number in range(start - 1, node.end_lineno or start):
            lines[number] = "\n"
    return "".join(lines)


def _registers(node: ast.AST) -> bool:
    return (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and node.func.attr == "mistake")


def _helper(node: ast.stmt) -> set[str]:
    """The name of a function whose body registers mistakes; a mistake itself has another's name."""
    inside = isinstance(node, ast.FunctionDef) and any(
        _registers(part) for statement in node.body for part in ast.walk(statement))
    return {node.name} if inside and isinstance(node, ast.FunctionDef) else set()


def _only_for(gone: set[ast.stmt], body: Sequence[ast.stmt], uses: dict[ast.stmt, set[str]],
              makes: dict[ast.stmt, set[str]]) -> set[ast.stmt]:
    """What stays and defines only names that what is gone uses and nothing else does."""
    users = Counter(name for node in body if node not in gone for name in uses[node])
    used = {name for node in gone for name in uses[node]}
    return {node for node in body if node not in gone and makes[node] & used
            and not any(users[name] - (name in uses[node]) for name in makes[node])}


def _made(node: ast.stmt) -> set[str]:
    """The names of a helper function or of constants; a check is needed whoever uses it."""
    if isinstance(node, ast.FunctionDef):
        return set() if node.decorator_list else {node.name}
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return {part.id for part in ast.walk(node)
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return set()


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node)
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}


def _python() -> list[str]:
    places = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix,
              os.path.dirname(os.path.realpath(sys.executable)), *filter(None, sys.path)}
    return [os.path.abspath(place) for place in places]


def _data() -> list[str]:
    from ladder.data.store import cache_dir, data_dir

    own = data_dir()
    return [str(cache_dir().absolute()), *([str(own.absolute())] if own else [])]


def _outermost(paths: Iterable[str]) -> list[str]:
    """Existing paths without those inside another, and never a whole disk or everyone's homes."""
    kept: list[str] = []
    for path in sorted({p for p in paths if os.path.exists(p)}, key=lambda p: p.count("/")):
        if path in ("/", "/home", "/root", "/tmp", "/var", "/etc"):
            continue
        inside = any(path.startswith(other + "/") and not os.path.islink(other) for other in kept)
        if not inside:
            kept.append(path)
    return kept

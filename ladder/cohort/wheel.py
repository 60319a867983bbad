"""A wheel of the workbook for learners: the course's days, their checks, and no answers.

Left out: solutions (except those that the cohort's policy releases), known mistakes and hidden cases
of the checks, model answers, and every other day. In their place stand the recorded observations of
:mod:`ladder.recorded`. Same input, same bytes; the version's last part is a hash of the content, so
that pip installs a newer release over an older one.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib.metadata
import io
import json
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ladder import __version__
from ladder.build import SUFFIX, build
from ladder.cohort.view import without_mistakes
from ladder.curriculum import Curriculum, Day, Roadmap, load_roadmaps
from ladder.errors import LessonError
from ladder.paths import PACKAGE, content_root, source_path
from ladder.release import ABOUT, FOLDER
from ladder.text import LANGUAGES
from ladder.versions import _binds, _hidden_of, _refers_to

CONTENT = {"curriculum.yaml", "requirements.lock", "stages", "solutions", "graders", "kernels",
           "datasets", FOLDER.name}
EPOCH = (2020, 1, 1, 0, 0, 0)


def wheel(days: Sequence[Day], references: Collection[str], recordings: Mapping[str, bytes],
          about: Mapping[str, Any], curriculum: Curriculum) -> tuple[str, bytes]:
    """The wheel's file name and bytes. ``references`` are days whose solution it may hold."""
    files = {f"ladder/{name}": data for name, data in [
        *tool_files(), *content_files(days, references, curriculum)]}
    for slug, data in recordings.items():
        files[f"ladder/{FOLDER.name}/{slug}.json.gz"] = data
    files[f"ladder/{FOLDER.name}/{ABOUT}"] = json.dumps(
        about, ensure_ascii=False, sort_keys=True).encode()
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    version = f"{__version__}+r{digest.hexdigest()[:10]}"
    info = f"llm_ladder-{version}.dist-info"
    files |= {f"{info}/{name}": data.encode() for name, data in _metadata(version).items()}
    return f"llm_ladder-{version}-py3-none-any.whl", _zip(files, f"{info}/RECORD")


def tool_files() -> Iterator[tuple[str, bytes]]:
    """The tool itself, without content."""
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE)
        if path.is_file() and name.parts[0] not in CONTENT and "__pycache__" not in name.parts and (
            path.suffix not in (".pyc", ".part")
        ):
            yield name.as_posix(), path.read_bytes()


def content_files(days: Sequence[Day], references: Collection[str], curriculum: Curriculum
                  ) -> Iterator[tuple[str, bytes]]:
    root = content_root()
    yield "curriculum.yaml", _yaml(restricted(curriculum, days))
    for name, roadmap in zip(curriculum.roadmaps, load_roadmaps(curriculum), strict=True):
        yield name, _yaml(restricted_roadmap(roadmap, {day.id for day in days}, curriculum))
    for path in sorted((root / "datasets").glob("*")):
        if path.is_file():
            yield f"datasets/{path.name}", path.read_bytes()
    for kind in ("solutions", "graders", "kernels"):
        for path in sorted((root / kind).rglob("__init__.py")):
            yield f"{kind}/{path.relative_to(root / kind).as_posix()}", path.read_bytes()
    for path in sorted((root / "graders").rglob("*.py")):  # helpers that days share
        if not path.stem.startswith("day") and path.name != "__init__.py":
            yield f"graders/{path.relative_to(root / 'graders').as_posix()}", path.read_bytes()
    for day in days:
        stage = curriculum.stage_of(day).id
        for kind, change in (("graders", learner_grader), ("stages", learner_lesson)):
            text = source_path(kind, stage, day.id).read_text(encoding="utf-8")
            open_ = kind == "stages" and day.id in references
            yield f"{kind}/{stage}/{day.id}.py", (text if open_ else change(text)).encode()
        for language in LANGUAGES:
            yield (f"stages/{stage}/{day.id}{SUFFIX[language]}",
                   build(day, language, curriculum=curriculum).encode())
    for slug in sorted(references):
        stage = curriculum.stage_of(curriculum.day(slug)).id
        path = source_path("solutions", stage, slug)
        yield f"solutions/{stage}/{slug}.py", path.read_bytes()


def restricted(curriculum: Curriculum, days: Sequence[Day]) -> Curriculum:
    """The curriculum in which every other day is planned; without gates, whose files hold answers."""
    kept = {day.id for day in days}
    stages = [stage.model_copy(update={"days": [
        day if day.id in kept else day.model_copy(update={"exercises": [], "written": []})
        for day in stage.days]}) for stage in curriculum.stages]
    return curriculum.model_copy(update={"stages": stages, "gates": []})


def restricted_roadmap(roadmap: Roadmap, kept: Collection[str], curriculum: Curriculum) -> Roadmap:
    """The roadmap whose boxes name checks of ``kept`` days only; other days, and gates', as a whole."""
    gates = {f"gate.{gate.id}": gate.days for gate in curriculum.gates}

    def needs(box: Any) -> list[str]:
        found: list[str] = []
        for need in box.needs:
            day = need.partition(".")[0]
            found += gates.get(need, [need if day in kept else day])
        return list(dict.fromkeys(found))

    return roadmap.model_copy(update={"sections": [
        section.model_copy(update={"boxes": [
            box.model_copy(update={"needs": needs(box)}) for box in section.boxes]})
        for section in roadmap.sections]})


def _yaml(model: Any) -> bytes:
    data = model.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=1000).encode()


def learner_grader(source: str) -> str:
    """The checks of a day without known mistakes, hidden cases, and what only those use."""
    body = [node for node in ast.parse(without_mistakes(source)).body if not _hidden_of(node)]
    wanted = {node.name for node in body
              if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")}
    binds = [(node, {name for name, _ in _binds(node)}) for node in body]
    before = -1
    while before != len(wanted):
        before = len(wanted)
        for node, names in binds:
            if names & wanted:
                wanted |= _refers_to(node)
    kept = [node for node, names in binds
            if names & wanted or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    made = ast.unparse(ast.Module(body=kept, type_ignores=[])) + "\n"
    if reached := re.search(r"ladder\.(solutions|kernels)\b[.\w]*", made):
        raise LessonError(f"a check uses {reached[0]}, which a release without solutions does not hold; "
                          "let it take what it needs as an argument, or leave this day out")
    return made


def learner_lesson(source: str) -> str:
    """A lesson without its model answers."""
    cells = re.split(r"(?m)^(?=# %%)", source)
    return "".join(cell for cell in cells if not re.match(r"# %%.* model=", cell))


def _metadata(version: str) -> dict[str, str]:
    """The files of dist-info, from the installed tool's."""
    found = importlib.metadata.distribution("llm-ladder")
    text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
    text = re.sub(r"(?m)^Version: .*$", f"Version: {version}", text, count=1)
    return {
        "METADATA": text,
        "WHEEL": "Wheel-Version: 1.0\nGenerator: ladder publish\nRoot-Is-Purelib: true\n"
                 "Tag: py3-none-any\n",
        "entry_points.txt": found.read_text("entry_points.txt") or "",
    }


def _zip(files: Mapping[str, bytes], record: str) -> bytes:
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    text = "\n".join([*lines, f"{record},,", ""])
    return archive({**files, record: text.encode()})


def archive(files: Mapping[str, bytes]) -> bytes:
    """A zip file; the same bytes for the same files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            file.writestr(entry, data)
    return target.getvalue()


def lock_file() -> Path | None:
    """requirements.lock of the clone, or beside the installed content."""
    return next((path for folder in (content_root(), PACKAGE.parent, PACKAGE)
                 if (path := folder / "requirements.lock").is_file()), None)

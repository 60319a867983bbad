"""Repair submissions before nbgrader sees them; the original is kept, each repair is one line.

``intake(course, day)`` works on ``submitted/STUDENT/DAY``; what arrived is kept under
``originals/STUDENT/DAY/1`` (then 2, ...) whenever anything had to change, with ``report.json``
beside it. Doing it again changes nothing and tells the same lines. A submission that cannot be
repaired leaves an ungraded row with the reason, and the others go on.

``before_autograde`` is ``Autograde.pre_convert_hook`` of a published course, so that plain
``nbgrader autograde`` takes submissions in too.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import logging
import os
import re
import shutil
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ladder.cohort.match import Release, matched, release_of
from ladder.cohort.restore import notebook_metadata, restored
from ladder.cohort.salvage import LARGEST, Unreadable, salvage, too_large
from ladder.errors import WorkError
from ladder.text import Text, say

ORIGINALS = "originals"
REPORT = "report.json"
TIMESTAMP = "timestamp.txt"
FILES = 2_000  # in one submission
Kind = Literal["repaired", "noted", "ungraded", "unmatched"]
ENDINGS = re.compile(r"(\.ipynb|\.txt|\.json|\.bak|~|[ _-]*\(\d+\)|[ _-]+copy\d*|-\d+|[ _-]*的?副本)$")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Line:
    """One line of the report."""

    student: str
    kind: Kind
    text: Text

    def in_(self, language: str) -> str:
        return f"{self.student}: {self.text.in_(language)}"


def intake(course: Path, day: str, students: Sequence[str] | None = None) -> list[Line]:
    """Take every submission of ``day`` in; returns the report, by student."""
    release = read_release(course, day)
    if release is None:
        raise WorkError(f"{course / 'release' / day} holds no notebook; publish {day} first "
                        "(ladder publish), or run this in the course's folder")
    lines: list[Line] = []
    for folder in sorted((course / "submitted").glob(f"*/{day}")):
        if students is None or folder.parent.name in students:
            lines += take_in(course, folder, release)
    ungraded_rows(course, day, [line.student for line in lines if line.kind == "ungraded"])
    return lines


def report(course: Path, day: str) -> list[Line]:
    """The lines of intakes done before, without doing anything."""
    return [line for path in sorted((course / ORIGINALS).glob(f"*/{day}/{REPORT}"))
            for line in _stored(path, path.parent.parent.name)[1]]


def ungraded(course: Path, day: str) -> dict[str, Text]:
    """The students whose last submission of ``day`` could not be read, and why."""
    return {line.student: line.text for line in report(course, day) if line.kind == "ungraded"}


def before_autograde(*, notebooks: list[str], **_: Any) -> None:
    """Take in one submission that nbgrader is about to convert; ``notebooks`` is nbgrader's own list."""
    if not notebooks:
        return
    folder = Path(notebooks[0]).parent.absolute()
    course = folder.parent.parent.parent
    lines = take_in(course, folder, read_release(course, folder.name))
    for line in lines:
        log.warning("%s", line.in_("en"))
    as_given = Path(notebooks[0]).parent
    notebooks[:] = [str(as_given / path.name) for path in sorted(folder.glob("*.ipynb"))]


def read_release(course: Path, day: str) -> Release | None:
    for where in ("release", "source"):
        path = course / where / day / f"{day}.ipynb"
        if path.is_file():
            return release_of(json.loads(path.read_text(encoding="utf-8")))
    return None


def take_in(course: Path, folder: Path, release: Release | None) -> list[Line]:
    """One submission; whatever is wrong with it, this returns lines and does not raise."""
    student, day = folder.parent.name, folder.name
    keep = course / ORIGINALS / student / day
    try:
        before, lines = _stored(keep / REPORT, student)
        if before == _fingerprint(folder):
            return lines
        lines = [Line(student, kind, text)
                 for kind, text in _taken(folder, keep, day, release, _other_days(course, day))]
    except Exception as error:  # a fault of ours must not cost the others their grades
        log.exception("intake of %s", folder)
        return [Line(student, "ungraded", say(
            f"intake failed ({type(error).__name__}: {error}); the files are as they were handed in",
            f"接收失败（{type(error).__name__}：{error}）；文件保持提交时的样子"))]
    if lines or keep.exists():
        _write_json(keep / REPORT, {
            "fingerprint": _fingerprint(folder),
            "lines": [{"kind": line.kind, "en": line.text.en, "zh": line.text.zh} for line in lines]})
    return lines


def _taken(folder: Path, keep: Path, day: str, release: Release | None,
           others: dict[str, frozenset[str]]) -> Iterator[tuple[Kind, Text]]:
    """Repair ``folder`` in place, keeping a copy; yields what was done."""
    if folder.is_symlink() or not folder.is_dir():
        _aside(folder, keep)
        yield "ungraded", say("the submission was a link or a file, not a folder",
                              "提交是链接或文件，不是文件夹")
        return
    files = sorted(_files(folder))
    links = [path for path in files if not stat.S_ISREG(path.lstat().st_mode)]
    books = [path for path in files if path not in links and _notebook_like(path, day)]
    told: list[tuple[Kind, Text]] = []
    if len(files) > FILES:
        told.append(("noted", say(f"{len(files)} files were handed in; notebooks among them are looked for",
                                  f"提交了 {len(files)} 个文件")))
    told += [("repaired", say(f"{path.relative_to(folder)} is a link or no plain file; left out",
                              f"{path.relative_to(folder)} 是链接或不是普通文件；已略去")) for path in links]
    chosen = _chosen(books, day, release)
    text: str | None = None
    if chosen is None:
        told.append(("ungraded", say(f"no notebook {day}.ipynb was handed in",
                                     f"没有提交笔记本 {day}.ipynb")))
    else:
        if chosen.relative_to(folder) != Path(f"{day}.ipynb"):
            told.append(("repaired", say(f"{chosen.relative_to(folder)} was taken as {day}.ipynb",
                                         f"{chosen.relative_to(folder)} 作为 {day}.ipynb 处理")))
        try:
            text, repairs = mended(_read(chosen), day, release, others)
            told += [("repaired", line) for line in repairs]
        except Unreadable as error:
            told.append(("ungraded", error.text))
    extra = [path for path in books if path != chosen]
    told += [("repaired", say(f"{path.relative_to(folder)} is a further notebook; set aside",
                              f"{path.relative_to(folder)} 是多余的笔记本；已移开")) for path in extra]
    when = _moment(folder, chosen)
    if when is not None:
        told.append(("repaired", say(f"{TIMESTAMP} could not be read; the notebook's own time {when} counts",
                                     f"无法读取 {TIMESTAMP}；以笔记本自身的时间 {when} 为准")))
    if not told:
        return
    kept = _copied(folder, keep)
    for path in [*links, *extra, *([chosen] if chosen is not None else [])]:
        if path is chosen and text is not None and path == folder / f"{day}.ipynb":
            continue
        if path.lstat().st_size > LARGEST:
            (kept / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, kept / path.relative_to(folder))
        else:
            path.unlink()
    if text is not None:
        _write(folder / f"{day}.ipynb", text)
    if when is not None:
        _write(folder / TIMESTAMP, f"{when}\n")
    yield from told


def mended(raw: bytes, day: str, release: Release | None, others: dict[str, frozenset[str]] | None = None,
           ) -> tuple[str, list[Text]]:
    """The notebook as nbgrader can read it, and a line for each repair; without any, ``raw``'s text."""
    document, repairs = salvage(raw)
    if release is None:
        cells = document["cells"]
    else:
        _right_day(document, day, release, others or {})
        cells, more = matched(document["cells"], release)
        repairs += more
        cells, more = restored(cells, release.cells)
        repairs += more
    if not repairs and not _valid(raw):
        repairs.append(say("parts did not follow the notebook format; mended",
                           "部分内容不符合笔记本格式；已修正"))
    made = {"nbformat": 4, "nbformat_minor": 5, "cells": cells,
            "metadata": notebook_metadata(document["metadata"]) | {
                "kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}}
    return json.dumps(made, ensure_ascii=False, indent=1, sort_keys=True) + "\n", repairs


def _right_day(document: dict[str, Any], day: str, release: Release,
               others: dict[str, frozenset[str]]) -> None:
    names = {cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in document["cells"]}
    names = {name for name in names if isinstance(name, str)} - {"setup"}
    own = len(names & release.names)
    best = max(others, key=lambda other: len(names & others[other]), default=None)
    if own == 0 and best is not None and len(names & others[best]) > 0:
        raise Unreadable(say(f"this is the notebook of {best}, not of {day}",
                             f"这是 {best} 的笔记本，不是 {day} 的"))


def _valid(raw: bytes) -> bool:
    from nbformat.validator import iter_validate

    try:
        return next(iter_validate(json.loads(raw)), None) is None
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return False


def _other_days(course: Path, day: str) -> dict[str, frozenset[str]]:
    found = {}
    for path in sorted((course / "release").glob("*/*.ipynb")):
        if path.stem != day and path.parent.name == path.stem:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                found[path.stem] = _names_of(path, path.stat().st_mtime_ns)
    return found


_NAMES: dict[tuple[Path, int], frozenset[str]] = {}


def _names_of(path: Path, changed: int) -> frozenset[str]:
    if (path, changed) not in _NAMES:
        _NAMES[path, changed] = release_of(json.loads(path.read_text(encoding="utf-8"))).names - {"setup"}
    return _NAMES[path, changed]


# --- which file ------------------------------------------------------------------------------------


def plain_name(name: str) -> str:
    """A file's name without what browsers, editors and LMSes add: `Day03 (1).ipynb.txt` is `day03`."""
    name = unicodedata.normalize("NFKC", name).casefold().strip()
    while (shorter := ENDINGS.sub("", name).strip()) != name:
        name = shorter
    return re.sub(r"\s+", "_", name)


def _notebook_like(path: Path, day: str) -> bool:
    name = path.name.casefold()
    if ".ipynb_checkpoints" in path.parts:
        return False
    return ".ipynb" in name or (name.endswith((".json", ".txt")) and plain_name(name) == day.casefold())


def _rank(path: Path, day: str) -> int:
    if path.name == f"{day}.ipynb":
        return 0
    plain = plain_name(path.name)
    if plain.removesuffix(".zh") == day.casefold():
        return 1
    number = re.match(r"day0*(\d+)", day)
    theirs = re.match(r"day[ _-]?0*(\d+)(?!\d)", plain)
    if number and theirs:
        return 2 if number[1] == theirs[1] else 4
    return 3


def _chosen(books: Sequence[Path], day: str, release: Release | None) -> Path | None:
    """The notebook that is meant: by its name, else by the cells it holds; the newest of equals."""
    if not books:
        return None
    best = min(books, key=lambda path: (_rank(path, day), len(path.parts), -path.stat().st_mtime, path.name))
    if _rank(best, day) < 3 or release is None or len(books) == 1:
        return best
    return max(books, key=lambda path: (_holds(path, release), -_rank(path, day), path.stat().st_mtime))


def _holds(path: Path, release: Release) -> int:
    try:
        cells = salvage(_read(path))[0]["cells"]
    except Unreadable:
        return 0
    return len({cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in cells
                if isinstance(cell["metadata"].get("nbgrader", {}).get("grade_id"), str)} & release.names)


# --- files -----------------------------------------------------------------------------------------


def _files(folder: Path) -> Iterator[Path]:
    """Everything that is no folder, links not followed."""
    for where, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        yield from (Path(where, name) for name in (*names, *links))


def _moment(folder: Path, chosen: Path | None) -> str | None:
    """The time to write where ``timestamp.txt`` is there and holds none."""
    path = folder / TIMESTAMP
    if not path.is_file() or path.is_symlink():
        return None
    from nbgrader.utils import parse_utc

    try:
        parse_utc(path.read_text(encoding="utf-8")[:100].strip())
        return None
    except (ValueError, TypeError, OverflowError, AttributeError):
        written = (chosen or path).stat().st_mtime
        return f"{dt.datetime.fromtimestamp(written, dt.UTC):%Y-%m-%d %H:%M:%S.%f} UTC"


def _copied(folder: Path, keep: Path) -> Path:
    """A copy of what arrived, in the next free number; links stay links, pipes and devices are left out.

    So are giants: one that must go from the submission is moved here, others stay where they are.
    """
    def left_out(where: str, names: list[str]) -> list[str]:
        about = ((name, os.lstat(os.path.join(where, name))) for name in names)
        return [name for name, told in about if not (
            stat.S_ISDIR(told.st_mode) or stat.S_ISLNK(told.st_mode)
            or (stat.S_ISREG(told.st_mode) and told.st_size <= LARGEST))]

    return Path(shutil.copytree(folder, next_free(keep), symlinks=True, ignore=left_out))


def _read(path: Path) -> bytes:
    if path.stat().st_size > LARGEST:
        raise Unreadable(too_large(path.stat().st_size))
    return path.read_bytes()


def _aside(path: Path, keep: Path) -> None:
    target = next_free(keep)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(path, target)


def next_free(keep: Path) -> Path:
    taken = [int(path.name) for path in keep.iterdir() if path.name.isdigit()] if keep.is_dir() else []
    return keep / str(max(taken, default=0) + 1)


def _fingerprint(folder: Path) -> str:
    """Changes when a submission does."""
    digest = hashlib.sha256()
    if folder.is_dir() and not folder.is_symlink():
        for path in sorted(_files(folder)):
            about = path.lstat()
            digest.update(f"{path.relative_to(folder)}\0{stat.S_IFMT(about.st_mode)}\0{about.st_size}\0".encode(
                "utf-8", "surrogateescape"))
            if (stat.S_ISREG(about.st_mode) and path.parent == folder and path.suffix == ".ipynb"
                    and about.st_size <= LARGEST):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _stored(path: Path, student: str) -> tuple[str, list[Line]]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return held["fingerprint"], [Line(student, row["kind"], Text(row["en"], row["zh"]))
                                     for row in held["lines"]]
    except (OSError, ValueError, KeyError, TypeError):
        return "", []


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def ungraded_rows(course: Path, day: str, students: Sequence[str]) -> None:
    """A row in the gradebook for those whose submission cannot be graded; their other days stay."""
    if not students:
        return
    from nbgrader.api import MissingEntry
    from nbgrader.utils import parse_utc

    from ladder.cohort import book

    with book.open_gradebook(course) as gradebook:
        for student in students:
            gradebook.update_or_create_student(student)
            stamp = course / "submitted" / student / day / TIMESTAMP
            when = {}
            with contextlib.suppress(OSError, ValueError):
                when["timestamp"] = parse_utc(stamp.read_text(encoding="utf-8").strip())
            with contextlib.suppress(MissingEntry):
                gradebook.update_or_create_submission(day, student, **when)

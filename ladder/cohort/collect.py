"""Collect a day's submissions into ``submitted/``, from an exchange or from what an LMS exports.

Nothing is dropped: what matches no student is kept under ``originals/unmatched/DAY`` and told, and
a submission that is replaced is kept under ``originals/STUDENT/DAY``.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from ladder.cohort import book
from ladder.cohort.intake import ORIGINALS, TIMESTAMP, Line, intake, next_free, plain_name
from ladder.cohort.roster import BAD, Student
from ladder.cohort.salvage import Unreadable
from ladder.cohort.unpack import CLASS, STUDENT, unpack
from ladder.cohort.whose import Label, label, owner
from ladder.errors import WorkError
from ladder.text import Text, say

CLUTTER = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints", "__pycache__"})
EXPORTED_TOGETHER = 120  # seconds within which all times lie that an export, not a student, made
COLLECTED = "collected.txt"


@dataclass
class Collected:
    """What was done, for the command to tell."""

    lines: list[Line] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass
class Handed:
    """What an export holds of one student."""

    student: Student
    files: list[tuple[Path, PurePath]] = field(default_factory=list)  # where it lies, name in the submission
    late: bool | None = None
    own_layout: bool = False

    @property
    def when(self) -> float:
        return max((path.lstat().st_mtime for path, _ in self.files), default=0.0)


def collect(course: Path, day: str, source: str, *, students: Sequence[Student] | None = None,
            times: bool = True) -> Collected:
    """Collect from ``exchange``, ``ngshare`` or a path, then take everything in."""
    if not (course / "release" / day / f"{day}.ipynb").is_file():
        known = ", ".join(sorted(path.stem for path in (course / "release").glob("*/*.ipynb"))) or "none"
        raise WorkError(f"{day} is not published in {course}; published: {known}")
    roster = list(students) if students is not None else enrolled(course)
    done = Collected()
    if source in ("exchange", "ngshare"):
        _from_exchange(course, day, source, done)
    else:
        _from_path(course, day, Path(source), roster, times, done)
    done.lines += intake(course, day)
    there = {path.parent.name for path in (course / "submitted").glob(f"*/{day}")}
    done.missing = sorted({student.id for student in roster} - there)
    return done


def enrolled(course: Path) -> list[Student]:
    with book.open_gradebook(course) as gradebook:
        return [Student(s.id, s.first_name or "", s.last_name or "", s.email or "", s.lms_user_id or "")
                for s in gradebook.students]


def due(course: Path, day: str) -> dt.datetime | None:
    from nbgrader.api import MissingEntry

    with book.open_gradebook(course) as gradebook, contextlib.suppress(MissingEntry):
        return gradebook.find_assignment(day).duedate
    return None


# --- exchanges -------------------------------------------------------------------------------------


def _from_exchange(course: Path, day: str, source: str, done: Collected) -> None:
    from nbgrader.apps.api import NbGraderAPI

    config: Any = book.config_of(course)
    if source == "ngshare":
        try:
            from ladder.cohort.exchange import ngshare_collect

            config.ExchangeFactory.collect = ngshare_collect()
        except ModuleNotFoundError:
            raise WorkError("ngshare's client is not installed here: python -m pip install --no-deps "
                            "ngshare_exchange") from None
    before = _stamps(course, day)
    answer = NbGraderAPI(config=config).collect(day, update=True)
    if not answer["success"]:
        raise WorkError(f"nbgrader could not collect {day} from {source}:\n"
                        + (answer.get("log") or answer.get("error") or "")[-2000:].strip())
    after = _stamps(course, day)
    done.new = sorted(name for name in after if before.get(name) != after[name])
    done.same = sorted(after.keys() - set(done.new))


def _stamps(course: Path, day: str) -> dict[str, str]:
    found = {}
    for folder in (course / "submitted").glob(f"*/{day}"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found[folder.parent.name] = ""
            found[folder.parent.name] = (folder / TIMESTAMP).read_text(encoding="utf-8")
    return found


# --- folders and archives --------------------------------------------------------------------------


def _from_path(course: Path, day: str, source: Path, roster: Sequence[Student], times: bool,
               done: Collected) -> None:
    if not source.exists():
        raise WorkError(f"{source} does not exist; --from takes a folder, a zip, `exchange` or `ngshare`")
    with tempfile.TemporaryDirectory(prefix="ladder-collect-") as temporary:
        room = Path(temporary)
        if source.is_file():
            try:
                refused = unpack(source, room / "export", CLASS)
            except Unreadable as error:
                raise WorkError(f"{error}; nothing was collected") from None
            done.lines += [Line(source.name, "unmatched", line) for line in refused]
            (room / "export").mkdir(exist_ok=True)
            top = _inner(room / "export", roster)
        else:
            top = _inner(source, roster)
        handed = _sorted_out(course, day, top, roster, done)
        moments = _moments(course, day, list(handed.values()), done) if times else {}
        for number, (name, what) in enumerate(sorted(handed.items())):
            staged = room / "students" / str(number)
            done.lines += [Line(name, kind, text) for kind, text in _stage(what, staged, day)]
            _install(course, day, name, staged, moments.get(name), done)


def _inner(folder: Path, roster: Sequence[Student]) -> Path:
    """Past folders that only wrap others."""
    while True:
        entries = _listing(folder)
        if len(entries) != 1 or entries[0].is_symlink() or not entries[0].is_dir():
            return folder
        marked = label(entries[0].name)
        if marked.lms or isinstance(owner(marked, roster), Student):
            return folder
        if not any(entry.is_dir() or label(entry.name).lms for entry in _listing(entries[0])):
            return folder
        folder = entries[0]


def _listing(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.name not in CLUTTER
                  and not entry.name.startswith("._"))


def _sorted_out(course: Path, day: str, top: Path, roster: Sequence[Student], done: Collected
                ) -> dict[str, Handed]:
    """Every entry of the export to its student; the others are kept and told."""
    handed: dict[str, Handed] = {}
    for entry in _listing(top):
        if entry.is_symlink():
            done.lines.append(Line(entry.name, "unmatched", say("a link; not followed", "是链接；没有跟随")))
            continue
        marked = label(entry.name)
        student = owner(marked, roster) if marked.lms else _plain_owner(entry, day, roster)
        if isinstance(student, Text):
            _keep_unmatched(course, day, entry)
            done.lines.append(Line(entry.name, "unmatched", student))
            continue
        what = handed.setdefault(student.id, Handed(student, late=marked.late))
        what.late = what.late if marked.late is None else bool(what.late) or marked.late
        if entry.is_dir():
            inner = next((path for path in _listing(entry) if path.is_dir() and not path.is_symlink()
                          and path.name.casefold() == day.casefold()), entry)
            what.own_layout |= not marked.lms
            what.files += [(path, PurePath(path.relative_to(inner))) for path in _all_files(inner)]
        else:
            what.files.append((entry, PurePath(marked.file or entry.name)))
    return handed


def _plain_owner(entry: Path, day: str, roster: Sequence[Student]) -> Student | Text:
    """A folder or file named after its student, with or without the day."""
    name = entry.name if entry.is_dir() else plain_name(entry.name)
    slug = re.escape(day.casefold())
    short = re.sub(rf"(?i)[ _+-]*({slug}|{slug.split('_')[0]})[ _+-]*", "", name)
    if not roster and entry.is_dir() and not BAD.search(name):
        return Student(name)  # a course without a roster: folders name its students
    answers = [owner(Label("", text), roster) for text in dict.fromkeys((name, short)) if text]
    return next((a for a in answers if isinstance(a, Student)), answers[0] if answers else say(
        "its name says no student", "文件名中没有学生"))


def _all_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if not CLUTTER & set(path.relative_to(folder).parts) and (path.is_symlink() or not path.is_dir()):
            yield path


def _keep_unmatched(course: Path, day: str, entry: Path) -> None:
    target = course / ORIGINALS / "unmatched" / day / entry.name
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if entry.is_dir():
        shutil.copytree(entry, target, symlinks=True)
    elif stat.S_ISREG(entry.lstat().st_mode):
        shutil.copy2(entry, target)


def _stage(handed: Handed, staged: Path, day: str) -> Iterator[tuple[Any, Text]]:
    """Lay one student's files out as a submission; links are not followed, archives are opened."""
    staged.mkdir(parents=True)
    for path, name in handed.files:
        if not stat.S_ISREG(path.lstat().st_mode):
            yield "repaired", say(f"{name} is a link or no plain file; left out", f"{name} 是链接或不是普通文件；已略去")
            continue
        if name.name == TIMESTAMP and not handed.own_layout:
            yield "noted", say(f"a {TIMESTAMP} among the files was left out; the time is the system's to tell",
                               f"文件中的 {TIMESTAMP} 已略去；时间由系统记录")
            continue
        if name.suffix.casefold() == ".zip":
            try:
                for line in unpack(path, staged, STUDENT):
                    yield "noted", line
                yield "repaired", say(f"{name} was unpacked", f"{name} 已解压")
                (staged / TIMESTAMP).unlink(missing_ok=True)
                continue
            except Unreadable as error:
                yield "noted", error.text
        target = staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target = target.with_name(f"{target.stem} (2){target.suffix}")
        shutil.copy2(path, target)


# --- times -----------------------------------------------------------------------------------------


def _moments(course: Path, day: str, handed: Sequence[Handed], done: Collected) -> dict[str, str]:
    """When each student handed in, as ``timestamp.txt`` says it."""
    untold = [what for what in handed if not any(
        what.own_layout and name == PurePath(TIMESTAMP) for _, name in what.files)]
    when = {what.student.id: what.when for what in untold if what.when}
    if len(when) > 2 and max(when.values()) - min(when.values()) < EXPORTED_TOGETHER:
        done.lines.append(Line(day, "noted", say(
            "all files carry the time of the export, so nobody's time is known and nobody counts as late; "
            f"write submitted/STUDENT/{day}/{TIMESTAMP} where it matters",
            f"所有文件的时间都是导出时间，无法得知提交时间，因此无人算迟交；必要时请自行写入 submitted/学生/{day}/{TIMESTAMP}")))
        return {}
    limit = due(course, day)
    late_at = limit.replace(tzinfo=dt.UTC).timestamp() if limit else None
    found = {}
    for what in untold:
        moment, name = when.get(what.student.id), what.student.id
        if moment is None:
            continue
        if late_at is not None and what.late is False:
            moment = min(moment, late_at)  # Canvas says in time; the file's own time is not better
        if late_at is not None and what.late and moment <= late_at:
            done.lines.append(Line(name, "noted", say(
                f"Canvas marks it LATE, and its file does not say by how much; write {TIMESTAMP} by hand",
                f"Canvas 标记为迟交（LATE），但文件没有说明迟了多久；请手动写入 {TIMESTAMP}")))
            continue
        found[name] = f"{dt.datetime.fromtimestamp(moment, dt.UTC):%Y-%m-%d %H:%M:%S.%f} UTC"
    return found


# --- into submitted/ -------------------------------------------------------------------------------


def _install(course: Path, day: str, student: str, staged: Path, moment: str | None, done: Collected
             ) -> None:
    """Put a staged submission where nbgrader looks; what stood there is kept."""
    target = course / "submitted" / student / day
    keep = course / ORIGINALS / student / day
    digest = _digest(staged)
    if target.exists() and (keep / COLLECTED).is_file() and (keep / COLLECTED).read_text() == digest:
        done.same.append(student)
        return
    if moment is not None:
        (staged / TIMESTAMP).write_text(f"{moment}\n", encoding="utf-8")
    if target.exists() or target.is_symlink():
        old, new = _told(target), _told(staged)
        if old is not None and new is not None and new < old:
            done.lines.append(Line(student, "noted", say(
                f"what was collected before is newer ({old:%Y-%m-%d %H:%M}); kept, this one is left out",
                f"之前收取的提交更新（{old:%Y-%m-%d %H:%M}）；保留原来的，略去这一份")))
            done.same.append(student)
            return
        place = next_free(keep)
        place.parent.mkdir(parents=True, exist_ok=True)
        target.rename(place)
        done.lines.append(Line(student, "noted", say(
            f"replaces an earlier submission, which is in {place.relative_to(course)}",
            f"替换了之前的提交；之前的保存在 {place.relative_to(course)}")))
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(staged, target)
    keep.mkdir(parents=True, exist_ok=True)
    (keep / COLLECTED).write_text(digest)
    done.new.append(student)


def _told(folder: Path) -> dt.datetime | None:
    from nbgrader.utils import parse_utc

    try:
        return parse_utc((folder / TIMESTAMP).read_text(encoding="utf-8").strip())
    except (OSError, ValueError, TypeError, OverflowError):
        return None


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in _all_files(folder):
        digest.update(f"{path.relative_to(folder)}\0{path.lstat().st_size}\0".encode("utf-8", "surrogateescape"))
        digest.update(path.read_bytes())
    return digest.hexdigest()

"""Collecting: exports of Moodle and Canvas, plain folders, archives that attack, nbgrader's exchange."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import shutil
import stat
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import tiny
from broken import DAY, solved

from ladder.cohort import book
from ladder.cohort.collect import Collected, collect
from ladder.cohort.exchange import inside
from ladder.cohort.intake import ORIGINALS
from ladder.cohort.roster import Student, parse_roster
from ladder.cohort.salvage import Unreadable
from ladder.cohort.unpack import STUDENT, Bounds, entry_name, unpack
from ladder.cohort.whose import label, owner
from ladder.errors import WorkError
from ladder.text import Text

pytestmark = pytest.mark.xdist_group("intake")
CSV = """id,first_name,last_name,email,lms_user_id
ada,Ada,Lovelace,ada@uni.example,101
zoe,Zoë,Østergård-Núñez,zoe@uni.example,102
wang1,Wei,Wang,w1@uni.example,103
wang2,Wei,Wang,w2@uni.example,104
li,丽,李,li@uni.example,105
"""
STUDENTS = parse_roster(CSV, "students.csv")
DUE = dt.datetime(2026, 3, 2, 12, 0)
EARLY, LATE = dt.datetime(2026, 3, 1, 9, 30), dt.datetime(2026, 3, 3, 8, 0)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collect")
    env = tiny.install(folder / "site")
    answer = tiny.run(["ladder", "publish", "course", "--days", "2"], folder, env)
    assert answer.returncode == 0, answer.stderr
    with book.open_gradebook(folder / "course") as gradebook:
        gradebook.update_or_create_assignment(DAY, duedate=DUE)
        for student in STUDENTS:
            gradebook.update_or_create_student(
                student.id, first_name=student.first_name, last_name=student.last_name,
                email=student.email, lms_user_id=student.lms_user_id)
    return folder / "course"


@pytest.fixture
def course(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "course"))


@pytest.fixture
def work(published: Path) -> bytes:
    path = published / "release" / DAY / f"{DAY}.ipynb"
    return json.dumps(solved(json.loads(path.read_text()))).encode()


def zipped(path: Path, files: dict[str, bytes], when: dict[str, dt.datetime] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for n, (name, data) in enumerate(files.items()):
            moment = (when or {}).get(name, EARLY + dt.timedelta(hours=n))
            archive.writestr(zipfile.ZipInfo(name, moment.timetuple()[:6]), data)
    return path


def got(course: Path) -> set[str]:
    return {path.parent.parent.name for path in course.glob(f"submitted/*/{DAY}/{DAY}.ipynb")}


def told(done: Collected) -> str:
    return "\n".join(line.in_("en") for line in done.lines)


def time_of(course: Path, student: str) -> dt.datetime:
    from nbgrader.utils import parse_utc

    return parse_utc((course / "submitted" / student / DAY / "timestamp.txt").read_text().strip())


def utc(local: dt.datetime) -> dt.datetime:
    return local.astimezone(dt.UTC).replace(tzinfo=None)


@pytest.mark.parametrize(("name", "expected"), [
    ("Ada Lovelace_5501_assignsubmission_file_", "ada"),
    ("Lovelace, Ada_5501_assignsubmission_file_", "ada"),
    ("LOVELACE Ada_5501_assignsubmission_file", "ada"),
    ("Zoe Ostergard-Nunez_9_assignsubmission_file_", None),  # ø is a letter of its own
    ("Zoe Østergard Nunez_9_assignsubmission_file_", "zoe"),
    ("李丽_77_assignsubmission_file_", "li"),
    ("Wei Wang_104_assignsubmission_file_", "wang2"),
    ("Wei Wang_9_assignsubmission_file_", None),
    ("Participant_103_assignsubmission_file_", "wang1"),
    ("Participant_7_assignsubmission_file_", None),
    ("lovelaceada_101_9001_day02_pair.ipynb", "ada"),
    ("lovelaceada_LATE_999_9001_day02_pair.ipynb", "ada"),
    ("someoneelse_102_9001_day02_pair.ipynb", "zoe"),
    ("østergårdnúñezzoë_999_9001_x.ipynb", "zoe"),
    ("wangwei_999_1_x.ipynb", None),
    ("ada", "ada"), ("ADA@uni.example", "ada"), ("Ada Lovelace", "ada"), ("eve", None),
])
def test_files_find_their_students(name: str, expected: str | None) -> None:
    found = owner(label(name), STUDENTS)
    assert (found.id if isinstance(found, Student) else None) == expected
    if isinstance(found, Text):
        assert "lms_user_id" in found.en and "lms_user_id" in found.zh


def test_canvas_export(course: Path, work: bytes, tmp_path: Path) -> None:
    names = {"lovelaceada_101_9001_day02_pair-1.ipynb": EARLY, "wangwei_LATE_103_9002_day02_pair.ipynb": LATE,
             "wangwei_104_9003_day02_pair (2).ipynb": LATE, "nobody_55_9004_day02_pair.ipynb": EARLY,
             "李丽_LATE_105_9005_day02_pair.ipynb": EARLY}
    export = zipped(tmp_path / "submissions.zip", dict.fromkeys(names, work), names)
    done = collect(course, DAY, str(export))
    assert got(course) == {"ada", "wang1", "wang2", "li"} and done.missing == ["zoe"]
    assert time_of(course, "ada") == utc(EARLY) and time_of(course, "wang1") == utc(LATE)
    assert time_of(course, "wang2") == DUE, "Canvas says in time, whatever the file says"
    assert not (course / "submitted" / "li" / DAY / "timestamp.txt").exists()
    assert "li: Canvas marks it LATE" in told(done)
    assert "nobody_55_9004_day02_pair.ipynb: no student of the roster" in told(done)
    kept = course / ORIGINALS / "unmatched" / DAY / "nobody_55_9004_day02_pair.ipynb"
    assert kept.read_bytes() == work
    again = collect(course, DAY, str(export))
    assert again.new == [] and len(again.same) == 4 and got(course) == {"ada", "wang1", "wang2", "li"}


def test_moodle_export_in_a_wrapping_folder(course: Path, work: bytes, tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("homework/day02_pair.ipynb", work)
        archive.writestr("homework/timestamp.txt", "2020-01-01 00:00:00 UTC")
    files = {
        "CS1-day 2-99/Ada Lovelace_5501_assignsubmission_file_/day02_pair.ipynb": work,
        "CS1-day 2-99/Ada Lovelace_5501_assignsubmission_file_/timestamp.txt": b"2020-01-01 00:00:00 UTC",
        "CS1-day 2-99/李丽_5502_assignsubmission_file_/all.zip": inner.getvalue(),
        "CS1-day 2-99/Wei Wang_103_assignsubmission_file_/Day02_Pair.ipynb.txt": work,
        "CS1-day 2-99/Wei Wang_77_assignsubmission_file_/day02_pair.ipynb": work,
        "__MACOSX/._x": b"",
    }
    done = collect(course, DAY, str(zipped(tmp_path / "moodle.zip", files)))
    assert got(course) == {"ada", "li", "wang1"}
    assert time_of(course, "ada").year == 2026, "students do not write their own time"
    assert not (course / "submitted" / "li" / DAY / "timestamp.txt").read_text().startswith("2020")
    lines = told(done)
    assert "'Wei Wang' may be wang1, wang2" in lines and "write 77 as lms_user_id" in lines
    assert "all.zip was unpacked" in lines and "Day02_Pair.ipynb.txt was taken" in lines


def test_moodle_without_folders_and_chinese_names(course: Path, work: bytes, tmp_path: Path) -> None:
    name = "李丽_5502_assignsubmission_file_day02_pair.ipynb"
    path = tmp_path / "flat.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x" * len(name.encode("gb18030")), work)
    path.write_bytes(path.read_bytes().replace(b"x" * len(name.encode("gb18030")), name.encode("gb18030")))
    collect(course, DAY, str(path))
    assert got(course) == {"li"}


def test_plain_folders_and_files(course: Path, work: bytes, tmp_path: Path) -> None:
    top = tmp_path / "in"
    for name in ("ada/day02_pair/day02_pair.ipynb", "wang1/answers.ipynb", "li_day02.ipynb",
                 "day02_pair zoe@uni.example.ipynb", "eve/day02_pair.ipynb"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(work)
    (top / "ada" / DAY / "timestamp.txt").write_text("2026-02-01 10:00:00 UTC")
    (top / "passwords").symlink_to("/etc/passwd")
    (top / "wang1" / "link.ipynb").symlink_to(top / "ada" / DAY / f"{DAY}.ipynb")
    done = collect(course, DAY, str(top))
    assert got(course) == {"ada", "wang1", "li", "zoe"}
    assert time_of(course, "ada") == dt.datetime(2026, 2, 1, 10)
    lines = told(done)
    assert "passwords: a link; not followed" in lines and "link.ipynb is a link" in lines
    assert "eve: no student" in lines and "carry the time of the export" in lines
    assert not any(path.is_symlink() for path in course.rglob("submitted/**/*"))


def test_a_later_submission_replaces_and_an_older_one_does_not(course: Path, work: bytes, tmp_path: Path) -> None:
    name = "lovelaceada_101_1_day02_pair.ipynb"
    first = zipped(tmp_path / "1.zip", {name: work}, {name: EARLY})
    later = zipped(tmp_path / "2.zip", {name: work + b" "}, {name: EARLY + dt.timedelta(hours=2)})
    collect(course, DAY, str(first))
    done = collect(course, DAY, str(later))
    assert "replaces an earlier submission" in told(done) and done.new == ["ada"]
    assert (course / ORIGINALS / "ada" / DAY / "1" / f"{DAY}.ipynb").read_bytes() == work
    done = collect(course, DAY, str(first))
    assert "is newer" in told(done) and done.new == []
    assert (course / "submitted" / "ada" / DAY / f"{DAY}.ipynb").read_bytes() == work + b" "


def test_archives_that_attack(course: Path, work: bytes, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("wang1/link.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("../../outside.ipynb", "/etc/outside.ipynb", "ada/../../../outside.ipynb", "C:\\outside.ipynb",
                     "..\\outside.ipynb"):
            archive.writestr(zipfile.ZipInfo(name), work)
        archive.writestr(link, "/etc/passwd")
        archive.writestr("ada/day02_pair.ipynb", work)
    done = collect(course, DAY, str(path))
    assert got(course) == {"ada"}
    assert told(done).count("leads out of the folder; refused") == 5
    assert "link.ipynb: a link or no plain file; refused" in told(done)
    assert not list(tmp_path.rglob("outside*"))


def test_bombs_are_refused(course: Path, work: bytes, tmp_path: Path) -> None:
    bomb = zipped(tmp_path / "bomb.zip", {"ada/zeros.ipynb": bytes(40 * 2**20)})
    with pytest.raises(Unreadable, match="zip bomb"):
        unpack(bomb, tmp_path / "out", Bounds(one=2**20 * 50, total=2**20 * 30))
    lying = bytearray(bomb.read_bytes())
    entry = lying.index(b"PK\x01\x02")
    lying[entry + 24:entry + 28] = struct.pack("<I", 10)  # the directory says 10 bytes
    (tmp_path / "lying.zip").write_bytes(lying)
    refused = unpack(tmp_path / "lying.zip", tmp_path / "out2", STUDENT)
    assert len(refused) == 1 or sum(p.stat().st_size for p in (tmp_path / "out2").rglob("*.*")) <= 40 * 2**20
    many = zipped(tmp_path / "many.zip", {f"{n}.txt": b"" for n in range(2001)})
    with pytest.raises(Unreadable, match="2001 files"):
        unpack(many, tmp_path / "out3", STUDENT)
    nested = zipped(tmp_path / "nested.zip", {"Ada Lovelace_1_assignsubmission_file_/all.zip": many.read_bytes(),
                                              "Zoe Østergard Nunez_2_assignsubmission_file_/day02_pair.ipynb": work})
    done = collect(course, DAY, str(nested))
    assert "ada: all.zip holds 2001 files" in told(done) or "holds 2001 files" in told(done)
    assert got(course) == {"zoe"}, "one student's bomb costs nobody else"
    assert "ada: no notebook" in told(done)
    (tmp_path / "none.zip").write_bytes(b"no zip")
    with pytest.raises(WorkError, match=r"no zip archive.*nothing was collected"):
        collect(course, DAY, str(tmp_path / "none.zip"))


@pytest.mark.parametrize(("name", "fine"), [
    ("a/b.ipynb", True), ("a b (1).ipynb", True), ("/a", False), ("../a", False), ("a/../../b", False),
    ("..\\a", False), ("C:\\a", False), ("", False), ("\\\\host\\a", False),
])
def test_names_inside(name: str, fine: bool) -> None:
    assert inside(name) is fine


def test_names_of_archives_without_utf8_flag() -> None:
    entry = zipfile.ZipInfo("é.txt".encode().decode("cp437"))
    assert entry_name(entry) == "é.txt"


def test_what_is_wrong_is_said(course: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=f"not published in .*; published: {DAY}"):
        collect(course, "day03", str(tmp_path))
    with pytest.raises(WorkError, match="--from takes a folder, a zip"):
        collect(course, DAY, str(tmp_path / "nowhere"))


@pytest.mark.slow
def test_exchange(published: Path, course: Path, work: bytes, tmp_path: Path) -> None:
    """Released, fetched and handed in by the stock commands, with a link out among the files."""
    env = os.environ | {"PYTHONPATH": str(published.parent / "site"), "JUPYTER_DATA_DIR": str(tmp_path / "data"),
                        "OMP_NUM_THREADS": "1"}
    exchange, student = tmp_path / "exchange", tmp_path / "student"
    exchange.mkdir(mode=0o777)
    exchange.chmod(0o777)
    student.mkdir()
    config = course / "nbgrader_config.py"
    config.write_text(config.read_text() + f"\nc.Exchange.root = {str(exchange)!r}\n")
    shutil.copy(config, student)
    assert tiny.run(["nbgrader", "release_assignment", DAY], course, env).returncode == 0
    assert tiny.run(["nbgrader", "fetch_assignment", DAY], student, env).returncode == 0
    (student / DAY / f"{DAY}.ipynb").write_bytes(b"\xef\xbb\xbf" + work)
    answer = tiny.run(["nbgrader", "submit", DAY], student, env)
    assert answer.returncode == 0, answer.stderr
    inbound = next((exchange / "course" / "inbound").iterdir())
    me = inbound.name.split("+")[0]
    eve = inbound.with_name(inbound.name.replace(f"{me}+", "eve+", 1))
    eve.mkdir()  # what a student can put there by hand
    (eve / f"{DAY}.ipynb").symlink_to(inbound / f"{DAY}.ipynb")
    (eve / "timestamp.txt").write_text("2026-02-01 10:00:00 UTC")
    os.mkfifo(eve / "pipe")
    answer = tiny.run(["ladder", "--lang", "en", "collect", DAY], course, env)
    assert answer.returncode == 0, answer.stderr
    assert f"+ {me}: it began with a byte order mark" in answer.stdout
    assert "+ eve: day02_pair.ipynb is a link" in answer.stdout and "✗ eve: no notebook" in answer.stdout
    assert "collected 2 submissions" in answer.stdout
    assert got(course) == {me} and (course / "submitted" / me / DAY / "timestamp.txt").exists()
    answer = tiny.run(["ladder", "--lang", "zh", "collect", "2"], course, env)
    assert answer.returncode == 0 and "收取了 0 份提交，2 份之前已有" in answer.stdout


def test_no_roster_at_all(published: Path, work: bytes, tmp_path: Path) -> None:
    course = Path(shutil.copytree(published, tmp_path / "course"))
    (tmp_path / "in" / "s1").mkdir(parents=True)
    (tmp_path / "in" / "s1" / f"{DAY}.ipynb").write_bytes(work)
    (tmp_path / "in" / "s2").mkdir()
    (tmp_path / "in" / "s2" / f"{DAY}.ipynb").write_bytes(work)
    done: Any = collect(course, DAY, str(tmp_path / "in"), students=[])
    assert done.new == ["s1", "s2"] and got(course) == {"s1", "s2"}

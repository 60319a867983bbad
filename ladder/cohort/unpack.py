"""Unpack a zip that anyone may have made: nothing outside the folder, nothing without bounds."""

from __future__ import annotations

import datetime as dt
import os
import stat
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ladder.cohort.exchange import inside
from ladder.cohort.salvage import Unreadable
from ladder.text import Text, say

CHUNK = 2**20
UNIX_TIME = 0x5455


@dataclass(frozen=True)
class Bounds:
    """How much one archive may hold, unpacked."""

    files: int = 20_000
    total: int = 8 * 2**30
    one: int = 512 * 2**20
    ratio: int = 500  # compressed notebooks reach 20; zeros reach 1000


CLASS, STUDENT = Bounds(), Bounds(files=2_000, total=2**30, one=256 * 2**20)


def unpack(archive: Path, target: Path, bounds: Bounds = CLASS) -> list[Text]:
    """Unpack into the empty folder ``target``; returns a line for each entry refused.

    Raises :class:`Unreadable` if the archive is none, or is too large altogether.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            if len(entries) > bounds.files:
                raise Unreadable(say(f"{archive.name} holds {len(entries)} files, more than {bounds.files}; not unpacked",
                                     f"{archive.name} 含 {len(entries)} 个文件，超过 {bounds.files}；没有解压"))
            return _unpacked(opened, entries, archive, target, bounds)
    except (zipfile.BadZipFile, EOFError, struct.error) as error:
        raise Unreadable(say(f"{archive.name} is damaged or no zip archive ({error})",
                             f"{archive.name} 已损坏或不是 zip 压缩包（{error}）")) from None


def _unpacked(opened: zipfile.ZipFile, entries: list[zipfile.ZipInfo], archive: Path, target: Path,
              bounds: Bounds) -> list[Text]:
    refused: list[Text] = []
    left = min(bounds.total, max(bounds.one, archive.stat().st_size * bounds.ratio))
    for entry in entries:
        name = entry_name(entry)
        if why := _refusal(entry, name, bounds):
            refused.append(Text(f"{name[:120]}: {why.en}", f"{name[:120]}：{why.zh}"))
            continue
        path = target / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(entry) as source, path.open("xb") as file:
                written = _copied(source, file, min(left, bounds.one))
        except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, EOFError) as error:
            why = say(f"could not be unpacked ({error})", f"无法解压（{error}）")
            refused.append(Text(f"{name[:120]}: {why.en}", f"{name[:120]}：{why.zh}"))
            path.unlink(missing_ok=True)
            continue
        if written is None:
            raise Unreadable(say(f"{archive.name} unpacks to far more than its size (a zip bomb?); refused at {name[:120]}",
                                 f"{archive.name} 解压后远大于自身（压缩炸弹？）；在 {name[:120]} 处拒绝"))
        left -= written
        moment = entry_time(entry)
        if moment is not None:
            os.utime(path, (moment, moment))
    return refused


def _refusal(entry: zipfile.ZipInfo, name: str, bounds: Bounds) -> Text | None:
    mode = entry.external_attr >> 16
    if not inside(name) or "\0" in name:
        return say("its name leads out of the folder; refused", "文件名指向文件夹之外；已拒绝")
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return say("a link or no plain file; refused", "是链接或不是普通文件；已拒绝")
    if entry.flag_bits & 1:
        return say("protected by a password; refused", "有密码保护；已拒绝")
    if entry.file_size > bounds.one:
        return say(f"{entry.file_size >> 20} MiB, more than {bounds.one >> 20}; refused",
                   f"{entry.file_size >> 20} MiB，超过 {bounds.one >> 20}；已拒绝")
    return None


def _copied(source: object, file: BinaryIO, most: int) -> int | None:
    """How many bytes were written; None if there were more than ``most``, whatever the header says."""
    written = 0
    while chunk := source.read(CHUNK):  # type: ignore[attr-defined]
        written += len(chunk)
        if written > most:
            return None
        file.write(chunk)
    return written


def entry_name(entry: zipfile.ZipInfo) -> str:
    """The name as it was meant: archives without the UTF-8 flag hold UTF-8 or the writer's code page."""
    if not entry.flag_bits & 0x800:
        raw = entry.orig_filename.encode("cp437", "replace")
        for encoding in ("utf-8", "gb18030"):
            try:
                return raw.decode(encoding)
            except UnicodeDecodeError:
                continue
    return entry.filename


def entry_time(entry: zipfile.ZipInfo) -> float | None:
    """When a file was written: exact where the archive says so, else its clock's time taken as local."""
    extra = entry.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        if kind == UNIX_TIME and size >= 5 and extra[4] & 1 and len(extra) >= 9:
            return float(struct.unpack("<i", extra[5:9])[0])
        extra = extra[4 + size:]
    if entry.date_time[0] <= 1980:
        return None
    try:
        return dt.datetime(*entry.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return None

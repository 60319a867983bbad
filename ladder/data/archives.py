"""Take files out of a canonical archive whose sha256 has been verified, or convert its contents.

Nothing is unpacked to disk: members are read one by one, so that no path in an archive is trusted.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import io
import json
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ladder.data.catalogue import Accepted
from ladder.data.store import replace_bytes, write_origin
from ladder.errors import DataError

Members = Iterator[tuple[str, Callable[[], bytes]]]


def take_out(archive: Path, items: Iterable[tuple[Accepted, Path]]) -> None:
    """Make each accepted file from the archive, verify it if its sha256 is known, keep its origin."""
    for accepted, target in items:
        assert accepted.archive is not None
        try:
            with _members(archive) as members:
                content = CONVERTERS[accepted.convert](members, accepted.member)
            if accepted.sha256 not in (None, hashlib.sha256(content).hexdigest()):
                raise ValueError(f"its {accepted.member} has another sha256 than the manifest says")
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            raise DataError(f"{accepted.name} cannot be made from {archive.name}: {error}. The "
                            "archive is not what the manifest describes; please report it."
                            ) from error
        replace_bytes(target, content)
        write_origin(target, accepted.archive.sha256)


@contextlib.contextmanager
def _members(archive: Path) -> Iterator[Members]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield ((info.filename, partial(zipped.read, info)) for info in zipped.infolist())
    else:
        with tarfile.open(archive, "r|*") as tar:
            yield ((info.name, partial(_read, tar, info)) for info in tar if info.isfile())


def _read(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(info)
    assert stream is not None
    return stream.read()


def _member(members: Members, name: str) -> bytes:
    for found, read in members:
        if found == name:
            return read()
    raise ValueError(f"it holds no {name}")


def _imdb(members: Members, folder: str) -> bytes:
    """aclImdb/train/pos/123_9.txt: review 123, nine stars. Label 1 is positive."""
    records = []
    for found, read in members:
        if match := re.fullmatch(re.escape(folder) + r"((neg|pos)/(\d+)_(\d+))\.txt", found):
            order = (match[2], int(match[3]))
            records.append((order, {"id": match[1], "rating": int(match[4]),
                                    "label": int(match[2] == "pos"),
                                    "text": read().decode("utf-8")}))
    return _jsonl_gz(record for _, record in sorted(records, key=lambda item: item[0]))


def _mmlu(members: Members, folder: str) -> bytes:
    """data/test/anatomy_test.csv: question, four choices, the letter of the answer."""
    split = folder.rstrip("/").rpartition("/")[2]
    tables = {}
    for found, read in members:
        if match := re.fullmatch(re.escape(folder) + rf"(\w+)_{split}\.csv", found):
            tables[match[1]] = read().decode("utf-8")
    return _jsonl_gz(
        {"subject": subject, "question": question, "choices": choices, "answer": "ABCD".index(key)}
        for subject, table in sorted(tables.items())
        for question, *choices, key in csv.reader(io.StringIO(table, newline="")))


def _glove(members: Members, name: str) -> bytes:
    """One word a line with its numbers, to npz with ``words`` and ``vectors``."""
    import numpy as np

    words, rows = [], []
    for line in _member(members, name).decode("utf-8").rstrip("\n").split("\n"):
        word, _, numbers = line.partition(" ")
        words.append(word)
        rows.append(np.fromstring(numbers, dtype=np.float32, sep=" "))
    packed = io.BytesIO()
    np.savez_compressed(packed, words=np.array(words), vectors=np.stack(rows))
    return packed.getvalue()


def _jsonl_gz(records: Iterable[dict[str, Any]]) -> bytes:
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    if not lines:
        raise ValueError("none of the expected files is in it")
    return gzip.compress("".join(lines).encode("utf-8"), mtime=0)


CONVERTERS: dict[str, Callable[[Members, str], bytes]] = {
    "": _member, "imdb": _imdb, "mmlu": _mmlu, "glove": _glove,
}

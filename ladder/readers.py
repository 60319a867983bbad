"""Read the files of the data sets: idx, jsonl, CoNLL-U, tsv; each plain, gzipped or bzip2ed.

Strict on purpose: a file that is cut off or malformed is an error that names the place, never a
shorter result. Compression is told by the first bytes, not by the name.
"""

from __future__ import annotations

import bz2
import gzip
import json
import math
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ladder.errors import DataError

if TYPE_CHECKING:
    import numpy as np

PathOrName = str | PathLike[str]

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_bytes(path: PathOrName) -> bytes:
    """The whole file, uncompressed."""
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        if raw[:2] == b"\x1f\x8b":
            return gzip.decompress(raw)
        if raw[:3] == b"BZh":
            return bz2.decompress(raw)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} is cut off or damaged: {error}. Delete it and fetch it again."
                        ) from error
    return raw


def read_text(path: PathOrName) -> str:
    """The whole file as UTF-8 text (without a byte order mark), line ends as they are."""
    raw = read_bytes(path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8 ({error.reason}).") from error


def read_lines(path: PathOrName) -> list[str]:
    """The lines of a text, without their newlines; only ``\\n`` ends a line."""
    lines = read_text(path).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def read_idx(path: PathOrName) -> np.ndarray:
    """An idx file (MNIST's format) as an array of the stated shape, in native byte order."""
    import numpy as np

    raw = read_bytes(path)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in IDX_TYPES:
        raise DataError(f"{path} is not an idx file: it starts with {raw[:4].hex(' ') or 'nothing'}"
                        ", expected 00 00, a type (08 09 0b 0c 0d 0e) and the number of axes.")
    kind, axes = np.dtype(IDX_TYPES[raw[2]]), raw[3]
    start = 4 + 4 * axes
    if len(raw) < start:
        raise DataError(f"{path} is cut off inside its header: {len(raw)} bytes, {axes} axes.")
    shape = struct.unpack(f">{axes}I", raw[4:start])
    expected = math.prod(shape) * kind.itemsize
    if len(raw) - start != expected:
        what = "is cut off" if len(raw) - start < expected else "has bytes left over"
        raise DataError(f"{path} {what}: shape {shape} of {kind.name} needs {expected:,} bytes "
                        f"of data, found {len(raw) - start:,}.")
    try:
        array = np.frombuffer(raw, kind, offset=start).reshape(shape)
    except ValueError as error:
        raise DataError(f"{path} has a shape that no array can have: {shape}.") from error
    return array.astype(kind.newbyteorder("="))


def read_jsonl(path: PathOrName, fields: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One JSON object a line; each must have all of ``fields``."""
    lines = read_lines(path)
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line, parse_constant=_no_constant)
        except ValueError as error:
            cut = "; the file may be cut off" if number == len(lines) else ""
            raise DataError(f"{path}, line {number}: not JSON ({error}){cut}: {line[:60]!r}"
                            ) from error
        if not isinstance(record, dict):
            raise DataError(f"{path}, line {number}: expected an object, found {line[:60]!r}.")
        if missing := [name for name in fields if name not in record]:
            raise DataError(f"{path}, line {number}: no {', '.join(missing)}; the fields are "
                            f"{', '.join(record) or 'none'}.")
        records.append(record)
    return records


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def read_tsv(path: PathOrName, columns: Sequence[str] = (), comment: str = ""
             ) -> list[dict[str, str]]:
    """Rows of tab-separated cells by column; without ``columns`` the first line names them.

    There is no quoting. Lines that start with ``comment``, if given, are left out.
    """
    lines = [(number, line) for number, line in enumerate(read_lines(path), 1)
             if not (comment and line.startswith(comment))]
    if not columns:
        if not lines or not lines[0][1]:
            raise DataError(f"{path} has no line that names the columns.")
        columns = lines.pop(0)[1].split("\t")
    if len(set(columns)) != len(columns):
        raise DataError(f"{path} names a column twice: {', '.join(columns)}.")
    rows = []
    for number, line in lines:
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise DataError(f"{path}, line {number}: {len(cells)} cells, expected {len(columns)} "
                            f"({', '.join(columns)}): {line[:60]!r}")
        rows.append(dict(zip(columns, cells, strict=True)))
    return rows


@dataclass(frozen=True)
class Token:
    """A word of a sentence; ``head`` is the id of its head, 0 for the root."""

    id: int
    form: str
    lemma: str
    upos: str
    xpos: str
    feats: Mapping[str, str]
    head: int
    deprel: str
    deps: str
    misc: str


@dataclass(frozen=True)
class Sentence:
    """A tree of words; contractions (``8-9``) and empty nodes (``8.1``) are kept beside it."""

    tokens: tuple[Token, ...]
    comments: Mapping[str, str] = field(default_factory=dict)
    contractions: Mapping[tuple[int, int], str] = field(default_factory=dict)
    empty: tuple[tuple[str, ...], ...] = ()

    @property
    def text(self) -> str:
        return self.comments.get("text", " ".join(token.form for token in self.tokens))


def read_conllu(path: PathOrName) -> list[Sentence]:
    """The sentences of a treebank; each must be a tree with one root."""
    return list(iterate_conllu(path))


def iterate_conllu(path: PathOrName) -> Iterator[Sentence]:
    """As :func:`read_conllu`, sentence by sentence."""
    block: list[tuple[int, str]] = []
    for number, line in enumerate(read_lines(path), 1):
        if line:
            block.append((number, line))
        elif block:
            yield _sentence(path, block)
            block = []
        else:
            raise DataError(f"{path}, line {number}: a blank line without a sentence before it.")
    if block:
        raise DataError(f"{path}, line {block[-1][0]}: the last sentence is not closed by a blank "
                        "line; the file is cut off.")


def _sentence(path: PathOrName, block: list[tuple[int, str]]) -> Sentence:
    comments: dict[str, str] = {}
    contractions: dict[tuple[int, int], str] = {}
    tokens: list[Token] = []
    empty: list[tuple[str, ...]] = []
    for number, line in block:
        where = f"{path}, line {number}"
        if line.startswith("#"):
            if tokens or contractions or empty:
                raise DataError(f"{where}: a comment after the first word.")
            key, equals, value = line[1:].partition("=")
            comments[key.strip()] = value.strip() if equals else ""
            continue
        cells = line.split("\t")
        if len(cells) != 10 or "" in cells:
            raise DataError(f"{where}: expected 10 cells, none empty, found {len(cells)}: "
                            f"{line[:60]!r}")
        if span := re.fullmatch(r"([0-9]+)-([0-9]+)", cells[0]):
            first, last = int(span[1]), int(span[2])
            if not len(tokens) < first < last:
                raise DataError(f"{where}: the contraction {cells[0]} is not before its words.")
            contractions[first, last] = cells[1]
        elif re.fullmatch(r"[0-9]+\.[0-9]+", cells[0]):
            empty.append(tuple(cells))
        else:
            tokens.append(_token(where, cells, len(tokens) + 1))
    _check_tree(f"{path}, line {block[0][0]}", tokens)
    if any(last > len(tokens) for _, last in contractions):
        raise DataError(f"{path}, line {block[0][0]}: a contraction reaches past the sentence.")
    return Sentence(tuple(tokens), comments, contractions, tuple(empty))


def _token(where: str, cells: list[str], expected: int) -> Token:
    if cells[0] != str(expected):
        raise DataError(f"{where}: word {cells[0]!r}, expected word {expected}.")
    if not re.fullmatch(r"[0-9]+", cells[6]):
        raise DataError(f"{where}: the head is {cells[6]!r}, expected a number.")
    feats = {}
    for feature in [] if cells[5] == "_" else cells[5].split("|"):
        name, equals, value = feature.partition("=")
        if not equals:
            raise DataError(f"{where}: the feature {feature!r} has no value.")
        feats[name] = value
    return Token(expected, cells[1], cells[2], cells[3], cells[4], feats, int(cells[6]),
                 cells[7], cells[8], cells[9])


def _check_tree(where: str, tokens: list[Token]) -> None:
    heads = [0] + [token.head for token in tokens]
    if heads.count(0) != 2:
        raise DataError(f"{where}: a sentence of {len(tokens)} words with "
                        f"{heads.count(0) - 1} roots, expected one.")
    if outside := [token.id for token in tokens if token.head > len(tokens)]:
        raise DataError(f"{where}: the head of word {outside[0]} is not in the sentence.")
    reached = {0}
    for word in range(1, len(heads)):
        way = []
        while word not in reached:
            if word in way:
                raise DataError(f"{where}: the heads form a circle through word {word}.")
            way.append(word)
            word = heads[word]
        reached.update(way)

"""datasets/manifest.yaml: which files make up a data set, and which bytes are accepted for each."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ladder.errors import CurriculumError, DataError
from ladder.paths import content_root
from ladder.text import Text

# How much of the real data a file holds, the least first.
FIDELITIES = ("sample", "subset", "full")


@dataclass(frozen=True)
class Archive:
    """A canonical archive that files are taken out of; its sha256 vouches for them."""

    name: str
    sha256: str
    urls: tuple[str, ...]
    bytes: int | None = None
    large: bool = False


@dataclass(frozen=True)
class Accepted:
    """One sequence of bytes that may stand for a file of a data set."""

    name: str
    fidelity: str
    records: int
    sha256: str | None = None
    bytes: int | None = None
    urls: tuple[str, ...] = ()
    head: bool = False
    archive: Archive | None = None
    member: str = ""
    convert: str = ""
    note: str = ""

    @property
    def downloadable(self) -> bool:
        return bool(self.urls) or self.archive is not None

    @property
    def large(self) -> bool:
        """Too big to be downloaded without being asked for."""
        return self.archive is not None and self.archive.large

    @property
    def download_bytes(self) -> int | None:
        return self.archive.bytes if self.archive else self.bytes


@dataclass(frozen=True)
class DataFile:
    """One file of a data set; ``accept`` lists what may stand for it, the best first."""

    key: str
    accept: tuple[Accepted, ...]
    extra: bool = False

    @property
    def records(self) -> int:
        """How many records the whole file has."""
        return self.accept[0].records


@dataclass(frozen=True)
class Entry:
    """A data set of the manifest."""

    name: str
    title: Text
    licence: str
    home: str
    files: Mapping[str, DataFile]
    sample: bool = True

    def file(self, key: str) -> DataFile:
        if key not in self.files:
            raise DataError(f"{self.name} has no file {key!r}{_close(key, self.files)}; it has "
                            f"{', '.join(self.files)}.")
        return self.files[key]


def manifest_path() -> Path:
    return content_root() / "datasets" / "manifest.yaml"


def entry(name: str) -> Entry:
    """The data set called ``name``."""
    entries = manifest()
    if name not in entries:
        raise DataError(f"there is no data set {name!r}{_close(name, entries)}; "
                        "`ladder data` lists all of them.")
    return entries[name]


def manifest() -> Mapping[str, Entry]:
    """All data sets by name."""
    return read_manifest(manifest_path())


@functools.lru_cache(maxsize=4)
def read_manifest(path: Path) -> Mapping[str, Entry]:
    """Parse and check a manifest; every problem names the data set and the mend."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CurriculumError(f"{path} cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise CurriculumError(f"{path} must map names of data sets to their descriptions.")
    return {name: _entry(f"{path.name}: {name}", name, body) for name, body in raw.items()}


def _entry(where: str, name: str, body: Any) -> Entry:
    known = {"en", "zh", "licence", "home", "files", "sample", "archives"}
    _keys(where, body, known, known - {"sample", "archives"})
    archives = {key: _archive(f"{where}: archives: {key}", archive)
                for key, archive in body.get("archives", {}).items()}
    files = {}
    for key, file in body["files"].items():
        here = f"{where}: {key}"
        _keys(here, file, {"accept", "extra"}, {"accept"})
        accept = tuple(_accepted(here, item, archives) for item in file["accept"])
        ranks = [FIDELITIES.index(item.fidelity) for item in accept]
        if not accept or ranks != sorted(ranks, reverse=True):
            raise CurriculumError(f"{here}: accept lists what is accepted, the best first.")
        files[key] = DataFile(key, accept, bool(file.get("extra", False)))
    return Entry(name, Text(body["en"], body["zh"]), body["licence"], body["home"], files,
                 body.get("sample", True))


def _archive(where: str, body: Any) -> Archive:
    _keys(where, body, {field.name for field in dataclasses.fields(Archive)},
          {"name", "sha256", "urls"})
    _checksum(where, body["sha256"])
    return Archive(**{**body, "urls": tuple(body["urls"])})


def _accepted(where: str, body: Any, archives: Mapping[str, Archive]) -> Accepted:
    _keys(where, body, {field.name for field in dataclasses.fields(Accepted)},
          {"name", "fidelity", "records"})
    here = f"{where}: {body['name']}"
    if body["fidelity"] not in ("full", "subset"):
        raise CurriculumError(f"{here}: fidelity is full or subset, not {body['fidelity']!r}.")
    if "sha256" in body:
        _checksum(here, body["sha256"])
    if "archive" in body:
        if body["archive"] not in archives or "member" not in body:
            raise CurriculumError(f"{here}: name one of the set's archives and a member of it.")
    elif not {"sha256", "bytes"} <= set(body):
        raise CurriculumError(f"{here}: give sha256 and bytes, or the archive it comes from.")
    return Accepted(**{**body, "urls": tuple(body.get("urls", ())),
                       "archive": archives.get(body.get("archive", ""))})


def _keys(where: str, body: Any, known: set[str], needed: set[str]) -> None:
    if not isinstance(body, dict):
        raise CurriculumError(f"{where}: expected a mapping, found {body!r}.")
    for key in sorted(map(str, set(body) - known)):
        raise CurriculumError(f"{where}: unknown key {key!r}{_close(key, known)}.")
    for key in sorted(needed - set(body)):
        raise CurriculumError(f"{where}: {key} is missing.")


def _checksum(where: str, value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise CurriculumError(f"{where}: sha256 must be 64 hexadecimal digits, found {value!r}.")


def _close(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {near[0]}?)" if near else ""

"""Files that are here already: the folder LADDER_DATA, then the user's cache; both verified.

``LADDER_DATA`` belongs to the user: a file there that is not what its name says is an error. The
cache belongs to us: such a file there is as good as missing, and is downloaded again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from ladder.data.catalogue import FIDELITIES, Accepted, DataFile, Entry
from ladder.errors import DataError


@dataclass(frozen=True)
class Found:
    """A verified file, and which accepted one it is."""

    path: Path
    accepted: Accepted


def data_dir() -> Path | None:
    """The user's own folder of data, ``LADDER_DATA``, if set."""
    chosen = os.environ.get("LADDER_DATA")
    if not chosen:
        return None
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        raise DataError(f"LADDER_DATA names {folder}, which is not a folder. Correct or unset it.")
    return folder


def cache_dir() -> Path:
    """Where downloads and samples go: ``LADDER_CACHE``, else the user's cache folder."""
    if chosen := os.environ.get("LADDER_CACHE"):
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("llm-ladder", appauthor=False)


def cached_path(entry: Entry, accepted: Accepted) -> Path:
    return cache_dir() / "data" / entry.name / accepted.name


def find(entry: Entry, file: DataFile, at_least: str = "subset", *, verify: bool = True
         ) -> Found | None:
    """The best file that is here, of fidelity ``at_least``; LADDER_DATA wins a tie.

    Without ``verify`` a file of the right size is believed: for lists, which must be quick.
    """
    folders = [cache_dir() / "data"]
    if own := data_dir():
        folders.insert(0, own)
    found = [match for folder in folders
             if (match := _find_in(folder, entry, file, verify, strict=folder == own))]
    found = [match for match in found if _rank(match) >= FIDELITIES.index(at_least)]
    return max(found, key=_rank, default=None)


def _rank(found: Found) -> int:
    return FIDELITIES.index(found.accepted.fidelity)


def _find_in(folder: Path, entry: Entry, file: DataFile, verify: bool, strict: bool
             ) -> Found | None:
    wrong = []
    for accepted in file.accept:
        path = folder / entry.name / accepted.name
        if not path.is_file():
            continue
        if holds(path, accepted, verify=verify):
            return Found(path, accepted)
        if path not in wrong:
            wrong.append(path)
    if wrong and strict and verify:
        raise DataError(_mismatch(wrong[0], file))
    return None


def holds(path: Path, accepted: Accepted, *, verify: bool = True) -> bool:
    """Whether the file at ``path`` is the accepted one."""
    if accepted.bytes is not None and path.stat().st_size != accepted.bytes:
        return False
    if accepted.bytes is not None and not verify:
        return True
    if accepted.sha256:
        return sha256(path) == accepted.sha256
    if accepted.archive is None:
        return False
    origin = _origin(path)
    return origin.get("archive") == accepted.archive.sha256 and (
        not verify or origin.get("sha256") == sha256(path))


def sha256(path: Path) -> str:
    """The file's checksum, computed once a process for each state of the file."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns, state.st_ino)


@functools.lru_cache(maxsize=1024)
def _sha256(path: Path, *state: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def origin_path(path: Path) -> Path:
    """Beside a file taken out of an archive: the checksums of the archive and of the file."""
    return path.with_name(path.name + ".origin.json")


def write_origin(path: Path, archive_sha256: str) -> None:
    replace_bytes(origin_path(path), json.dumps(
        {"archive": archive_sha256, "sha256": sha256(path)}).encode())


def _origin(path: Path) -> dict[str, str]:
    try:
        origin = json.loads(origin_path(path).read_bytes())
    except (OSError, ValueError):
        return {}
    return origin if isinstance(origin, dict) else {}


def replace_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    import tempfile

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _mismatch(path: Path, file: DataFile) -> str:
    accepted = [item for item in file.accept if item.name == path.name]
    expected = " or ".join(
        f"{item.sha256} ({item.bytes:,} bytes)" for item in accepted if item.sha256 and item.bytes
    ) or "known only for files the tool takes out of an archive itself"
    return (f"{path} is not the file of that name: its sha256 is {sha256(path)} "
            f"({path.stat().st_size:,} bytes), accepted is {expected}. It may be cut off, or "
            "another version. Put the right file there, delete it, or unset LADDER_DATA to "
            "download the data.")

"""The samples: for every data set, small files of ours in the real files' formats.

A sample lets a lesson run without network and without the data's licence. It never stands for the
data: ``Dataset.fidelity`` says "sample", and so does every notice.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from ladder.data.store import cache_dir, replace_bytes, sha256
from ladder.errors import DataError

VERSION = 1  # a change of any sample's content raises it

Files = dict[str, tuple[str, bytes]]
SAMPLES: dict[str, Callable[[], Files]] = {}


def made(make: Callable[[], Files]) -> Callable[[], Files]:
    """Decorate a function, named after its data set, that makes the sample's files by key."""
    SAMPLES[make.__name__] = make
    return make


def sample(name: str) -> dict[str, Path]:
    """The paths of the sample of ``name`` by key, made on first use."""
    from ladder.data.samples import corpora, tasks  # noqa: F401  they fill SAMPLES

    if name not in SAMPLES:
        raise DataError(f"nothing of our own can stand in for {name}; fetch the real data with "
                        f"`ladder data fetch {name}`.")
    folder = cache_dir() / "samples" / f"v{VERSION}" / name
    if paths := _made_before(folder):
        return paths
    files = SAMPLES[name]()
    try:
        return _write(folder, files)
    except OSError:  # a read-only home, as in a sandbox
        return _write(Path(_temporary()) / name, files)


def _write(folder: Path, files: Files) -> dict[str, Path]:
    paths, index = {}, {}
    for key, (filename, content) in files.items():
        paths[key] = folder / f"sample-{filename}"
        index[key] = (paths[key].name, hashlib.sha256(content).hexdigest())
        replace_bytes(paths[key], content)
    replace_bytes(folder / "index.json", json.dumps(index).encode())
    return paths


def _made_before(folder: Path) -> dict[str, Path]:
    """The sample's files if all of them are there as they were written."""
    try:
        index = json.loads((folder / "index.json").read_bytes())
        if all(sha256(folder / name) == checksum for name, checksum in index.values()):
            return {key: folder / name for key, (name, _) in index.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        pass
    return {}


@functools.cache
def _temporary() -> str:
    return tempfile.mkdtemp(prefix="ladder-samples-")

"""The validated curriculum and roadmaps as JSON, so that a quick command need not parse 200 kB of YAML.

The cache is only ever a copy: it is used when the bytes of every source, of the schema's code and
of the cached lines themselves have the hashes that it names, and rebuilt otherwise. A cache that
cannot be read or written costs a quarter of a second, nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from ladder import curriculum as schema
from ladder.curriculum import Curriculum, Roadmap, load_roadmaps
from ladder.paths import content_root

Loaded = tuple[Curriculum, list[Roadmap]]
SCHEMA = hashlib.sha256(Path(schema.__file__).read_bytes()).hexdigest()


def load(root: Path | None = None, cache: Path | None = None) -> Loaded:
    """The curriculum and its roadmaps: ``load_curriculum`` and ``load_roadmaps``, quickly."""
    root = (root or content_root()).resolve()
    cache = cache or _default_cache(root)
    if (found := _read(root, cache)) is not None:
        return found
    before = _hashes(root, ["curriculum.yaml"])
    # not load_curriculum, which remembers what the file held earlier in this process
    curriculum = schema._load_curriculum.__wrapped__(root / "curriculum.yaml")
    names = ["curriculum.yaml", *curriculum.roadmaps]
    hashes = _hashes(root, names)
    roadmaps = load_roadmaps(curriculum, root)
    if hashes == _hashes(root, names) and before.items() <= hashes.items():
        _write(cache, hashes, curriculum, roadmaps)
    return curriculum, roadmaps


def _default_cache(root: Path) -> Path:
    from platformdirs import user_cache_path

    name = hashlib.sha256(str(root).encode()).hexdigest()[:12]
    return user_cache_path("llm-ladder", appauthor=False) / f"curriculum-{name}.jsonl"


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hashes(root: Path, names: list[str]) -> dict[str, str]:
    """The hash of every source, and of the code that validated them."""
    return {"": SCHEMA} | {name: _sha((root / name).read_bytes()) for name in names if (root / name).exists()}


def _read(root: Path, cache: Path) -> Loaded | None:
    try:
        first, _, rest = cache.read_bytes().partition(b"\n")
        head = json.loads(first)
        names = [name for name in head["sources"] if name]
        if head["sources"] != _hashes(root, names) or head["content"] != _sha(rest):
            return None
        curriculum, *roadmaps = rest.splitlines()
        return (Curriculum.model_validate_json(curriculum),
                [Roadmap.model_validate_json(line) for line in roadmaps])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(cache: Path, hashes: dict[str, str], curriculum: Curriculum,
           roadmaps: list[Roadmap]) -> None:
    lines = [model.model_dump_json(exclude_defaults=True) for model in (curriculum, *roadmaps)]
    rest = "\n".join(lines).encode()
    head = json.dumps({"sources": hashes, "content": _sha(rest)}).encode()
    part = cache.with_name(f".{cache.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(head + b"\n" + rest)
            os.replace(part, cache)
        finally:
            part.unlink(missing_ok=True)

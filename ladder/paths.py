"""Where things are: the content, and the learner's folder."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def content_root() -> Path:
    """The folder of curriculum.yaml and stages/: the clone, or the installed package."""
    clone = PACKAGE.parent
    return clone if (clone / "curriculum.yaml").exists() else PACKAGE


def source_path(kind: str, stage: str, slug: str, suffix: str = ".py") -> Path:
    """The file of a day: ``kind`` is stages, solutions or graders."""
    return content_root() / kind / stage / f"{slug}{suffix}"


def work_dir() -> Path:
    """The learner's folder: ``LADDER_WORK``, else ``work/`` in the clone or the current folder."""
    if chosen := os.environ.get("LADDER_WORK"):
        return Path(chosen).expanduser().resolve()
    root = content_root()
    return (root if root != PACKAGE else Path.cwd()) / "work"


def state_dir() -> Path:
    """Records, snapshots and backups, inside the learner's folder."""
    return work_dir() / ".ladder"

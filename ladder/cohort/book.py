"""A course's configuration and gradebook, found the way nbgrader finds them."""

from __future__ import annotations

import datetime as dt
import sqlite3
from pathlib import Path
from typing import Any

from ladder.cohort.course import CONFIG
from ladder.errors import WorkError

STATE = ".ladder"  # in the course folder: what was published, backups


def config_of(course: Path) -> Any:
    """The course's nbgrader configuration, with its root set."""
    from traitlets.config import Config, PyFileConfigLoader

    if not (course / CONFIG).is_file():
        raise WorkError(f"{course} is no course: it has no {CONFIG}. Name the folder that "
                        "`ladder publish` made, or run this command inside it")
    try:
        config: Any = Config(PyFileConfigLoader(CONFIG, path=str(course)).load_config())
    except Exception as error:  # the instructor's own Python
        raise WorkError(f"{course / CONFIG} cannot be read: {error!r}; correct it there") from error
    config.CourseDirectory.root = str(course.resolve())
    return config


def database(course: Path) -> str:
    """The address of the gradebook."""
    from nbgrader.coursedir import CourseDirectory

    return CourseDirectory(config=config_of(course)).db_url


def open_gradebook(course: Path) -> Any:
    """nbgrader's gradebook, made if there is none; use it in a ``with``."""
    import sys

    from nbgrader.api import Gradebook
    from nbgrader.coursedir import CourseDirectory

    from ladder.cohort.course import path_with

    found = CourseDirectory(config=config_of(course))
    with path_with(Path(sys.executable).parent):
        return Gradebook(found.db_url, found.course_id)


def stamp() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%fZ")


def database_file(course: Path) -> Path | None:
    """The gradebook's file, where it is one (SQLite) and there already."""
    address = database(course)
    if not address.startswith("sqlite:///"):
        return None
    path = Path(address.removeprefix("sqlite:///").partition("?")[0])
    return path if path.exists() else None


def backup(course: Path, folder: Path) -> Path | None:
    """A copy of the gradebook in ``folder``, whole even while others write."""
    source = database_file(course)
    if source is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / source.name
    _copy(source, target)
    return target


def restore(course: Path, saved: Path) -> None:
    """Put a gradebook saved by :func:`backup` back."""
    source = database_file(course)
    assert source is not None
    _copy(saved, source)


def _copy(source: Path, target: Path) -> None:
    one, other = sqlite3.connect(source), sqlite3.connect(target)
    try:
        one.backup(other)
    finally:
        one.close()
        other.close()

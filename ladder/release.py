"""Whether this copy of the workbook is a course's release, and what the release says of itself.

A release (``ladder publish cohort.yaml``) is a wheel without solutions: ``observations/`` beside the
tool holds what practice needs instead (:mod:`ladder.recorded`), and ``release.json`` names the course.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from ladder.paths import PACKAGE
from ladder.text import Text, say

FOLDER = PACKAGE / "observations"
ABOUT = "release.json"


def is_release() -> bool:
    return FOLDER.is_dir()


@functools.cache
def about() -> dict[str, Any]:
    """``course``; ``versions`` of each day's checks; ``references``: when each missing one comes."""
    path = FOLDER / ABOUT
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def versions(slug: str) -> dict[str, str] | None:
    """The versions of a day's checks where it was published; a release has cut their files."""
    return about().get("versions", {}).get(slug, {}) if is_release() else None


def why_no_reference(slug: str) -> Text:
    """Why the solution of a day is not here, and from when it will be."""
    when = about().get("references", {}).get(slug)
    if when is None:
        return say("your course's release holds no reference of it",
                   "你所在课程的发布包里没有它的参考实现")
    return say(f"your course releases its reference after {when}",
               f"课程要到 {when} 之后才发布它的参考实现")

"""nbgrader's collect from an exchange, following nothing out of a submission.

The stock plugins copy what a link in a submission points to (as the instructor, who may read more
than a student), and write what ngshare names wherever that name leads.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import PurePosixPath
from typing import Any

from nbgrader.exchange.default import ExchangeCollect
from nbgrader.utils import ignore_patterns


class Collect(ExchangeCollect):
    """``ExchangeFactory.collect`` of a published course."""

    def do_copy(self, src: Any, dest: Any, log: Any = None) -> None:
        ignored = ignore_patterns(exclude=self.coursedir.ignore, include=self.coursedir.include,
                                  max_file_size=self.coursedir.max_file_size, log=self.log)

        def left_out(where: str, names: list[str]) -> list[str]:
            modes = {name: os.lstat(os.path.join(where, name)).st_mode for name in names}
            return [*ignored(where, names), *(name for name, mode in modes.items() if not (
                stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)))]

        shutil.copytree(src, dest, symlinks=True, ignore=left_out)


def inside(name: str) -> bool:
    """Whether a file of this relative name stays in the folder that it is written to."""
    path = PurePosixPath(name.replace("\\", "/"))
    return not path.is_absolute() and ".." not in path.parts and ":" not in name and bool(path.parts)


def ngshare_collect() -> Any:
    """ngshare's plugin, refusing file names that lead out of a submission."""
    from ngshare_exchange import ExchangeCollect as Base

    class NgshareCollect(Base):
        def do_copy(self, src: Any, dest: Any) -> None:
            super().do_copy([file for file in src if inside(file["path"])], dest)

    return NgshareCollect

"""Names of earlier days: ``from ladder.earlier.day02_micrograd import Value``.

Each name resolves to the learner's own verified code, or to the reference, and the notebook says
which (:mod:`ladder.carry`). ``LADDER_CARRY=reference`` asks for the reference whatever was passed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{__name__}.day"):
            return None
        return ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        slug = module.__name__.rpartition(".")[2]

        def resolve(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            if os.environ.get("LADDER_GATE"):
                raise ImportError("a gate is taken without the code of earlier days")
            from ladder.carry import carry
            from ladder.notebook import language

            carried = carry(slug, name)
            print(carried.said.in_(language()))
            return carried.value

        module.__getattr__ = resolve  # type: ignore[method-assign]


sys.meta_path.append(_Finder())

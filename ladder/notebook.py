"""What runs inside the learner's kernel: the day's set-up, growing classes, and checks.

A check called in a notebook shows its verdict at once and records it (``LADDER_MODE=practice``, the
default). When graded (``LADDER_MODE=observe``) it only emits what it observed, and the verdict is
made outside the kernel.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ladder.checks import Check
    from ladder.judge import Verdict

OBSERVATIONS = "application/vnd.ladder.observations+json"
VERDICT = "application/vnd.ladder.verdict+json"
HINT_SECONDS = 10.0  # a learner waits no longer for the search of a hint

_language: str | None = None


def begin(day: str, language: str = "en") -> None:
    """Start a day's notebook: verdicts appear in ``language``. Called by the set-up cell."""
    global _language
    _language = language


def language() -> str:
    """The language of this notebook's verdicts."""
    return _language or os.environ.get("LADDER_LANG", "en")


def method_of(owner: type) -> Callable[[Callable], Callable]:
    """Add the decorated function to the class ``owner`` as a method of the same name.

    Objects made before gain it too. Running the cell of the class itself again starts the class
    anew: run the cells of its later methods again as well. A method named like a builtin, ``sum``
    say, leaves the builtin as it was: the notebook's own ``sum`` stays Python's.
    """

    def add(function: Callable) -> Callable:
        inner: Any = getattr(function, "fget", None) or getattr(function, "__func__", function)
        inner.__qualname__ = f"{owner.__qualname__}.{inner.__name__}"
        setattr(owner, inner.__name__, function)
        return getattr(builtins, inner.__name__, function)

    return add


def run_check(check: Check, objects: Sequence[Any]) -> None:
    """Run ``check`` on the learner's objects, as the mode says."""
    if len(objects) != len(check.needs):
        raise TypeError(f"{check.name} takes {len(check.needs)} arguments, "
                        f"({', '.join(check.needs)}), got {len(objects)}")
    if os.environ.get("LADDER_MODE") == "observe":
        _emit(check, objects)
    elif os.environ.get("LADDER_GATE"):
        from ladder.gate_kernel import judged_later

        judged_later()
    else:
        _practise(check, objects)


def _emit(check: Check, objects: Sequence[Any]) -> None:
    from IPython.display import display

    from ladder.emission import emission, graded_seed, nothing_yet
    from ladder.forbids import KERNEL

    if KERNEL in check.forbids and os.environ.get("LADDER_KERNELS_LATER"):
        run = nothing_yet(check)  # a process that runs only the kernels observes them
    else:
        run = emission(check, objects, graded_seed(check, os.environ["LADDER_SEED"]))
    display({OBSERVATIONS: run, "text/plain": f"{check.name}: observed"}, raw=True)


def _practise(check: Check, objects: Sequence[Any]) -> None:
    from ladder.errors import CheckFailed
    from ladder.forbids import KERNEL, bindings, forbidden_use
    from ladder.judge import FAILED, judge
    from ladder.observe import observe, practice_seed
    from ladder.render import text

    cells = _cells()
    seed = practice_seed(check)
    forbids = [word for word in check.forbids if word != KERNEL or _shell() is not None]  # a script imports kernels
    try:
        forbidden = forbidden_use(bindings(cells), check.needs, forbids) if forbids else None
        verdict = judge(check, observe(check, objects, seed), seed, forbidden=forbidden,
                        patience=HINT_SECONDS)
    except KeyboardInterrupt:
        print("stopped before the verdict: not checked" if language() == "en"
              else "在得出结论之前已停止：未检查")
        return
    _show(check, verdict)
    if _recording():
        _record(check, verdict, cells)
    if os.environ.get("LADDER_STRICT") == "1" and verdict.state == FAILED:
        raise CheckFailed(text(verdict, check, "en"))


def _show(check: Check, verdict: Verdict) -> None:
    from ladder import render

    plain = render.text(verdict, check, language())
    if "IPython" not in sys.modules or _shell() is None:
        print(plain)
        return
    from IPython.display import display

    display({
        "text/html": render.html(verdict, check, language()),
        "text/plain": plain,
        VERDICT: {"check": check.id, "state": verdict.state, "fraction": verdict.fraction},
    }, raw=True)


def _record(check: Check, verdict: Verdict, cells: Sequence[str]) -> None:
    from ladder import records
    from ladder.carry import keep_snapshot, learner_source
    from ladder.curriculum import load_curriculum
    from ladder.versions import check_versions

    version = check_versions(load_curriculum().day(check.slug)).get(check.name, "")
    line = {"check": check.id, "version": version, "state": verdict.state,
            "score": round(verdict.fraction, 4)}
    try:
        if verdict.passed:
            line["code"] = keep_snapshot(check.slug, learner_source(cells))
        records.append(line)
    except OSError as error:
        print(f"The verdict stands but could not be recorded: {error}. "
              f"Is {records.records_path()} writable?")


def _recording() -> bool:
    """Records are kept for notebooks in the learner's own folder only."""
    from ladder.paths import work_dir

    return _shell() is not None and Path.cwd().resolve().is_relative_to(work_dir().resolve())


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def _cells() -> list[str]:
    """The source of the cells run so far, oldest first."""
    shell = _shell()
    if shell is not None:
        return list(shell.user_ns.get("In", []))
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    return [Path(path).read_text(encoding="utf-8")] if path and path.endswith(".py") else []

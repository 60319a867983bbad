"""What a check in ``graders/`` observes of a kernel, as plain data.

    from ladder.kernel_judge.bridge import KERNEL, compiled, moved, strict

    @check(forbids=(KERNEL,))
    def check_add(add_kernel, rng):
        x, y = numbers(rng, 100), numbers(rng, 100)
        yield say("100 numbers", "100 个数"), lambda: strict(vector_add, x, y, kernel=add_kernel)
        yield say("sectors in use", "扇区利用率"), (
            lambda: moved(vector_add, x, y, kernel=add_kernel)["sector_use"]), at_least(0.9)
        yield say("compiled", "编译"), lambda: compiled(vector_add, x, y, kernel=add_kernel)

``strict`` returns outputs or raises what the strict interpreter found, with line, program and index, so that
one observation costs one failure. Where Triton is not installed all of them say not checked.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from ladder.checks import NotChecked
from ladder.forbids import KERNEL
from ladder.text import say

__all__ = ["KERNEL", "compiled", "have_triton", "machine_code", "moved", "report", "strict", "traced"]

NO_TRITON = say("needs Triton, which runs without a GPU too: `make triton`",
                "需要 Triton（没有 GPU 也能运行）：`make triton`")


def have_triton() -> bool:
    """Whether kernels can be judged on this machine."""
    try:
        return importlib.util.find_spec("triton") is not None
    except ModuleNotFoundError:
        return False


def _needs_triton() -> None:
    if not have_triton():
        raise NotChecked(NO_TRITON)


def report(launcher: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The full :class:`~ladder.kernel_judge.strict.Report`, without raising its findings."""
    _needs_triton()
    from ladder.kernel_judge.strict import examine

    return examine(launcher, *args, **kwargs)


def traced(launcher: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The report of an honest run with every access in it, for :mod:`ladder.kernel_judge.pictures`."""
    _needs_triton()
    from ladder.kernel_judge.strict import Examiner

    found = Examiner(trace=True)(launcher, *args, **kwargs)
    found.raise_first()
    return found


def strict(launcher: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The outputs of the launcher, its kernels interpreted strictly; raises the first finding."""
    found = report(launcher, *args, **kwargs)
    found.raise_first()
    return found.outputs


def moved(launcher: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Bytes, sectors, FLOPs and launches of an honest run; raises the first finding otherwise."""
    found = report(launcher, *args, **kwargs)
    found.raise_first()
    return found.facts


def machine_code(launcher: Callable[..., Any], *args: Any, arch: int = 80, **kwargs: Any) -> dict[str, Any]:
    """What the first launched kernel compiles to for ``sm_{arch}``: registers, spills, load widths and so on.

    ``wide_share`` is the share of its global loads that are of 128 bits.
    """
    found = report(launcher, *args, **kwargs)
    found.raise_first()
    from ladder.kernel_judge.findings import NotCompiled
    from ladder.kernel_judge.gate import compile_launch

    made = compile_launch(found.launches[0], arch)
    if made.failure is not None:
        raise NotCompiled(made.failure)
    data = made.as_data()
    loads = {int(bits): number for bits, number in data["load_bits"].items()}
    return data | {"load_bits": loads, "wide_share": loads.get(128, 0) / max(1, sum(loads.values()))}


def compiled(
    launcher: Callable[..., Any], *args: Any, kind: str = "plain", architectures: Sequence[int] = (80, 90),
    **kwargs: Any,
) -> dict[str, bool]:
    """The named facts of the compiled kernels, true where every kernel on every architecture has them."""
    found = report(launcher, *args, **kwargs)
    found.raise_first()
    from ladder.kernel_judge.findings import NotCompiled
    from ladder.kernel_judge.gate import PASSED, compile_launch, judge_static

    facts: dict[str, bool] = {}
    for launch in found.launches:
        for arch in architectures:
            made = compile_launch(launch, arch)
            if made.failure is not None:
                raise NotCompiled(made.failure)
            for fact in judge_static(made, kind):
                facts[fact.name] = facts.get(fact.name, True) and fact.state == PASSED
    return facts

"""Triton where it is installed; elsewhere a stand-in with which kernels can be written, not run.

    from ladder.triton import tl, triton

Days of kernels import it so: on a machine without Triton (no wheel exists for macOS and Windows) the notebook
still opens, its definitions still run, and its checks say "not checked" instead of failing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["tl", "triton"]


class _Absent:
    """Any attribute or call of a module that is not there: enough for annotations and decorators."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> _Absent:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent(f"{self._name}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args[0] if len(args) == 1 and not kwargs else self

    def __repr__(self) -> str:
        return f"<{self._name}: Triton is not installed>"


class _Kernel:
    """A ``@triton.jit`` function that cannot be launched."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.__name__, self.__doc__, self.__module__ = fn.__name__, fn.__doc__, fn.__module__

    def __getitem__(self, grid: Any) -> Callable[..., Any]:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from ladder.checks import NotChecked
        from ladder.kernel_judge.bridge import NO_TRITON

        raise NotChecked(NO_TRITON)


class _Triton(_Absent):
    """What a launcher needs of ``triton`` before it launches."""

    def jit(self, fn: Callable[..., Any] | None = None, **options: Any) -> Any:
        return _Kernel if fn is None else _Kernel(fn)

    @staticmethod
    def cdiv(x: int, y: int) -> int:
        return -(-x // y)

    @staticmethod
    def next_power_of_2(n: int) -> int:
        return 1 << max(0, n - 1).bit_length()


triton: Any
tl: Any
try:
    import triton  # type: ignore[no-redef]
    import triton.language as tl  # type: ignore[no-redef]
except ModuleNotFoundError as missing:
    if missing.name != "triton":  # Triton is there, but broken: say so
        raise
    triton, tl = _Triton("triton"), _Absent("triton.language")

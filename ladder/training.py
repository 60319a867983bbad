"""A pleasant training loop: a progress bar with the loss, a history to plot, and Ctrl-C that keeps it.

::

    with Training(1000, "MLP on sin(x)") as run:
        for step in run:
            ...
            run.log(loss=loss)
    plt.plot(run.history["loss"])

Interrupting the kernel ends the loop after the step at hand; everything learned so far stays.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from ladder.text import say


class Training:
    """``steps`` steps with a bar; ``history`` maps each logged name to its values by step."""

    def __init__(self, steps: int, label: str = "") -> None:
        self.steps = steps
        self.label = label
        self.history: dict[str, list[float]] = {}
        self.done = 0
        self.interrupted = False
        self._bar: Any = None

    def __enter__(self) -> Training:
        from tqdm.auto import tqdm

        # Graded and tested runs have no one to look at a bar.
        quiet = os.environ.get("LADDER_MODE") == "observe" or not (
            "ipykernel" in sys.modules or sys.stderr.isatty()
        )
        self._bar = tqdm(total=self.steps, desc=self.label, disable=quiet, leave=True,
                         file=sys.stdout)
        return self

    def __iter__(self) -> Iterator[int]:
        for step in range(self.steps):
            yield step
            self.done = step + 1
            self._bar.update()

    def log(self, **numbers: float) -> None:
        """Keep numbers of this step, and show them on the bar."""
        for name, number in numbers.items():
            self.history.setdefault(name, []).append(float(number))
        self._bar.set_postfix({k: f"{float(v):.4g}" for k, v in numbers.items()}, refresh=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._bar.close()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            from ladder.notebook import language

            self.interrupted = True
            print(say(f"stopped after step {self.done}; what was learned so far is kept",
                      f"在第 {self.done} 步之后停止；已学到的内容保留").in_(language()))
            return True
        return False

"""What runs inside the kernel of a gate's notebook: nothing that knows an answer or gives a verdict."""

from __future__ import annotations

import os
from typing import Any

from ladder.text import say

ANSWERS = "application/vnd.ladder.answers+json"


def begin(gate: str, language: str = "en") -> None:
    """Start a gate's notebook: checks say nothing, and earlier days' code cannot be imported."""
    from ladder import notebook

    os.environ["LADDER_GATE"] = gate
    notebook.begin(f"gate.{gate}", language=language)


def judged_later() -> None:
    """What a check says in a gate's notebook."""
    from ladder.notebook import language

    gate = os.environ.get("LADDER_GATE", "NAME")
    print(say(f"Submitted answers are judged by `ladder gate {gate} --finish`.",
              f"提交的答案由 `ladder gate {gate} --finish` 评判。").in_(language()))


def emit_answers(answers: Any) -> None:
    """Send the answers out of the kernel, as plain data; called when an attempt is finished."""
    from IPython.display import display

    from ladder import wire
    from ladder.errors import WireError

    held: dict[str, Any] = {}
    for name, value in answers.items() if isinstance(answers, dict) else []:
        try:
            held[str(name)] = wire.encode(value)
        except WireError:
            held[str(name)] = wire.encode(str(type(value).__name__))
    display({ANSWERS: held, "text/plain": "answers"}, raw=True)

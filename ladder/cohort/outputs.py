"""What a kernel sends, made into cell outputs that nothing later can stumble over.

A learner's code can send any message: with parts missing, of wrong types, of any size. An output
that does not fit the notebook format would make nbgrader drop the whole submission, so each is
built anew from the parts that are text, and no cell keeps more than a budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_output

from ladder.notebook import OBSERVATIONS

TYPES = ("text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml",
         "image/png", "image/jpeg")
PER_CELL = 4 * 2**20
CLIPPED = "\n… output clipped / 输出过长，已截断 …\n"


class Collector:
    """Gathers the outputs of one cell as messages arrive."""

    def __init__(self, outputs: list[Any], budget: int = PER_CELL) -> None:
        self.outputs = outputs
        self.emissions: list[Any] = []
        self.budget = budget
        self._clear_next = False

    def take(self, kind: Any, content: Any) -> None:
        """Add one message; one that is malformed adds nothing."""
        if not isinstance(content, Mapping):
            return
        if kind == "clear_output":
            if content.get("wait"):
                self._clear_next = True
            else:
                self.outputs.clear()
            return
        if kind == "display_data" and isinstance(content.get("data"), Mapping) and (
            OBSERVATIONS in content["data"]
        ):
            if len(self.emissions) < 2:
                self.emissions.append(content["data"][OBSERVATIONS])
            return
        output = clean(kind, content)
        if output is None:
            return
        if self._clear_next:
            self._clear_next = False
            self.outputs.clear()
        self._keep(output)

    def _keep(self, output: Any) -> None:
        if self.budget <= 0:
            return
        self.budget -= _size(output) + 100
        if self.budget <= 0:
            output = new_output("stream", name="stdout", text=CLIPPED)
        last = self.outputs[-1] if self.outputs else None
        if last is not None and output.output_type == last.output_type == "stream" and (
            output.name == last.name
        ):
            last.text += output.text
        else:
            self.outputs.append(output)


def clean(kind: Any, content: Mapping[str, Any]) -> Any:
    """An output of the notebook format, or None if there is nothing to show."""
    if kind == "stream":
        name = "stderr" if content.get("name") == "stderr" else "stdout"
        text = _text(content.get("text"))
        return new_output("stream", name=name, text=text) if text else None
    if kind == "error":
        trace = content.get("traceback")
        lines = [_text(line) or "" for line in trace] if isinstance(trace, list) else []
        return new_output("error", ename=_text(content.get("ename")) or "Error",
                          evalue=_text(content.get("evalue")) or "", traceback=lines)
    if kind in ("display_data", "execute_result"):
        data = content.get("data")
        shown = {mime: text for mime in TYPES if isinstance(data, Mapping)
                 and (text := _text(data.get(mime)))}
        if not shown:
            return None
        output = new_output(kind, data=NotebookNode(shown))
        if kind == "execute_result":
            count = content.get("execution_count")
            output.execution_count = count if type(count) is int and count >= 0 else None
        return output
    return None


def recleaned(outputs: list[Any]) -> list[Any]:
    """A cell's outputs once more: nbgrader itself adds errors from a kernel's replies."""
    found = (clean(output.get("output_type"), output) for output in outputs)
    return [output for output in found if output is not None]


def _text(value: Any) -> str | None:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "".join(value)
    return writable(value) if isinstance(value, str) else None


def writable(text: str) -> str:
    """``text`` as it can be written to a file: JSON may hold halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _size(output: Any) -> int:
    if output.output_type == "stream":
        return len(output.text)
    if output.output_type == "error":
        return len(output.evalue) + sum(map(len, output.traceback))
    return sum(map(len, output.data.values()))

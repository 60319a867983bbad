"""What the strict interpreter finds, and the errors of a kernel that tell it.

KernelError
├── OutOfBounds          an access outside every argument
├── WriteRace            two programs write one place
├── ReadRace             a program reads what another program wrote, or writes what another one read
├── UninitialisedRead    memory that nobody wrote is read
├── UnwrittenOutput      an output, or part of it, that no kernel of the learner's wrote
├── UnreadInput          an input that no kernel read
├── ForeignData          a kernel reads numbers that neither the inputs nor a kernel gave
├── LibraryCall          the launcher computes with torch instead of in a kernel
├── DeviceAssert         a ``tl.device_assert`` or ``assert`` does not hold
├── NotTriton            code that Python accepts and Triton does not
├── TooMuch              more programs, steps or time than a case may take
├── NoLaunch             no kernel was launched at all
├── NotCompiled          the compiler rejects the kernel
├── GpuError             the compiled kernel stops with an error on a GPU
├── LazyOutput           what the launcher returned is no plain tensor of the GPU: work may be left for later
├── TooFast              less time than the GPU needs to move the bytes
└── Forbidden            what lint found
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ladder.text import Text, as_text, say


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a kernel: where, and for which program."""

    kind: str
    text: Text
    kernel: str = ""
    line: int = 0
    source: str = ""
    file: str = ""
    program: tuple[int, int, int] | None = None
    argument: str = ""
    index: int | None = None
    times: int = 1

    def told(self, language: str | None = None) -> str:
        """The finding as one sentence, with program and line."""
        where_en, where_zh = [], []
        if self.program is not None:
            where_en.append(f"program {str(self.program).replace(' ', '')}")
            where_zh.append(f"程序 {str(self.program).replace(' ', '')}")
        if self.line:
            where_en.append(f"line {self.line}: {self.source}")
            where_zh.append(f"第 {self.line} 行：{self.source}")
        text = say("; ".join([self.text.en, *where_en]), "；".join([self.text.zh, *where_zh]))
        return text.in_(language or _language())

    def as_data(self) -> dict[str, Any]:
        found = asdict(self)
        found["text"] = self.text.en
        found["program"] = None if self.program is None else list(self.program)
        return found


def _language() -> str:
    from ladder.notebook import language

    return language()


class KernelError(Exception):
    """A kernel that is wrong; ``finding`` says how."""

    def __init__(self, finding: Finding | Text | str) -> None:
        if not isinstance(finding, Finding):
            finding = Finding(type(self).__name__, as_text(finding))
        self.finding = finding
        super().__init__(finding.told())


class OutOfBounds(KernelError):
    pass


class WriteRace(KernelError):
    pass


class ReadRace(KernelError):
    pass


class UninitialisedRead(KernelError):
    pass


class UnwrittenOutput(KernelError):
    pass


class UnreadInput(KernelError):
    pass


class ForeignData(KernelError):
    pass


class LibraryCall(KernelError):
    pass


class DeviceAssert(KernelError):
    pass


class NotTriton(KernelError):
    pass


class TooMuch(KernelError):
    pass


class NoLaunch(KernelError):
    pass


class NotCompiled(KernelError):
    pass


class GpuError(KernelError):
    pass


class LazyOutput(KernelError):
    pass


class TooFast(KernelError):
    pass


class Forbidden(KernelError):
    pass


KINDS: dict[str, type[KernelError]] = {kind.__name__: kind for kind in KernelError.__subclasses__()}


def error_of(finding: Finding) -> KernelError:
    """The error that tells ``finding``."""
    return KINDS.get(finding.kind, KernelError)(finding)

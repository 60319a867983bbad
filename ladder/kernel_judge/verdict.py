"""The verdict on a kernel: lint, interpreted, compiled, static and gpu, each a state of its own.

A state is ``passed``, ``failed`` or ``not_checked``, and one never stands in for another: a kernel that was
interpreted and compiled but not run on a GPU says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ladder.kernel_judge import gpu
from ladder.kernel_judge.agreement import compare, relative_error
from ladder.kernel_judge.findings import Finding
from ladder.kernel_judge.gate import ARCHITECTURES, Compiled, Fact, compile_launch, judge_static
from ladder.kernel_judge.lint import lint
from ladder.kernel_judge.strict import Examiner, Report
from ladder.text import Text, say

PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not_checked"
GPU_NOT_RUN = say("a kernel that failed before is not run on the GPU", "前面未通过的 kernel 不在 GPU 上运行")

__all__ = ["Case", "CaseVerdict", "KernelVerdict", "judge_case", "judge_kernel", "relative_error"]


@dataclass
class Case:
    """One call of a launcher; ``expected`` is what it should return, in any precision."""

    label: Text | str
    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    expected: Any = None
    tolerance: float | None = None
    min_dot_flops: int = 0


@dataclass
class CaseVerdict:
    """One case interpreted: the report, and the relative error of each output."""

    case: Case
    report: Report
    errors: list[float]
    problems: list[Finding]

    @property
    def passed(self) -> bool:
        return not self.problems


@dataclass
class KernelVerdict:
    """The states of one kernel, and what they rest on."""

    name: str
    states: dict[str, str]
    reasons: dict[str, Text]
    linted: list[Finding]
    cases: list[CaseVerdict]
    compiled: list[Compiled]
    static: list[tuple[Compiled, list[Fact]]]
    gpu: gpu.GpuVerdict

    @property
    def passed(self) -> bool:
        """Nothing failed, and what needs no GPU was all checked."""
        return all(self.states[name] == PASSED for name in ("interpreted", "compiled", "static"))

    def as_data(self) -> dict[str, Any]:
        return {
            "name": self.name, "passed": self.passed, "states": dict(self.states),
            "reasons": {name: text.en for name, text in self.reasons.items()},
            "lint": [finding.as_data() for finding in self.linted],
            "cases": [{
                "label": c.case.label if isinstance(c.case.label, str) else c.case.label.en, "passed": c.passed,
                "errors": c.errors, "problems": [p.as_data() for p in c.problems], **c.report.as_data(),
            } for c in self.cases],
            "compiled": [made.as_data() for made in self.compiled],
            "static": [{"kernel": made.kernel, "arch": made.arch, "facts": [f.as_data() for f in facts]}
                       for made, facts in self.static],
            "gpu": self.gpu.as_data(),
        }


def judge_kernel(
    launcher: Callable[..., Any], cases: Sequence[Case], *, kind: str = "plain", source: str | None = None,
    architectures: Sequence[int] = ARCHITECTURES, examiner: Examiner | None = None,
    speeds: Sequence[gpu.Speed] = (), device: gpu.Device | None = None,
) -> KernelVerdict:
    """Everything that can be said of a launcher and its kernels on this machine; ``device`` by default its GPU."""
    examiner = examiner or Examiner()
    linted = lint(source) if source is not None else []
    device = device or gpu.here()
    unused = [] if device is None else [_copied(case) for case in cases]
    judged = [judge_case(launcher, case, examiner) for case in cases]
    launches: dict[tuple, Any] = {}
    for case in judged:
        for launch in case.report.launches:
            launches.setdefault((launch.name, repr(launch.signature), repr(launch.constants)), launch)
    chosen: dict[tuple, Any] = {}  # each kernel once for each set of types and constants; the last cases are the largest
    for launch in launches.values():
        chosen[launch.name, repr(sorted(launch.signature.items()))] = launch
    compiled = [compile_launch(launch, arch) for launch in chosen.values() for arch in architectures]
    static = [(made, judge_static(made, kind)) for made in compiled if made.failure is None]
    states = {
        "lint": (FAILED if linted else PASSED) if source is not None else NOT_CHECKED,
        "interpreted": _state([case.passed for case in judged]),
        "compiled": _state([made.failure is None for made in compiled]),
        "static": _state([fact.state == PASSED for _, facts in static for fact in facts]),
    }
    if device is not None and FAILED in (states["interpreted"], states["compiled"]):
        run = gpu.GpuVerdict(NOT_CHECKED, GPU_NOT_RUN, device.name, device.capability, dict(device.versions))
    else:
        dots = [c.report.facts["dot_flops"] > 0 for c in judged]
        run = gpu.judge_gpu(launcher, list(zip(unused or cases, dots, strict=True)), speeds, device)
    states["gpu"] = run.state
    reasons = {"gpu": run.reason} if run.reason is not None else {}
    if states["lint"] == NOT_CHECKED:
        reasons["lint"] = say("the source was not given", "没有给出源代码")
    for name in ("compiled", "static"):
        if states[name] == NOT_CHECKED:
            reasons[name] = say("no kernel was launched or compiled", "没有启动或编译任何 kernel")
    name = getattr(launcher, "__name__", "launcher")
    return KernelVerdict(name, states, reasons, linted, judged, compiled, static, run)


def judge_case(launcher: Callable[..., Any], case: Case, examiner: Examiner) -> CaseVerdict:
    """Interpret one case and compare its outputs in float64."""
    report = examiner(launcher, *case.args, **case.kwargs)
    problems = list(report.findings)
    errors: list[float] = []
    done = report.facts["dot_flops"]
    if case.expected is not None and report.outputs is not None:
        errors, wrong = compare(report.outputs, case.expected, case.tolerance, done > 0, report.hints)
        problems += wrong
    if done < case.min_dot_flops:
        problems.append(Finding("UnreadInput", say(
            f"the kernels multiplied {done:,} FLOPs with tl.dot; this task takes {case.min_dot_flops:,}",
            f"kernel 用 tl.dot 计算了 {done:,} FLOPs；本题至少需要 {case.min_dot_flops:,}")))
    return CaseVerdict(case, report, errors, problems)


def _copied(case: Case) -> Case:
    """The case with arguments of its own: a launcher may update them in place."""
    args, kwargs = gpu.to_device((case.args, case.kwargs), torch.device("cpu"))
    return replace(case, args=args, kwargs=kwargs)


def _state(held: Sequence[bool]) -> str:
    return NOT_CHECKED if not held else PASSED if all(held) else FAILED

"""The verdict on a kernel: lint, interpreted, compiled, static and gpu, each a state of its own.

A state is ``passed``, ``failed`` or ``not_checked``, and one never stands in for another: a kernel that was
interpreted and compiled but not run on a GPU says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from ladder.kernel_judge.findings import Finding
from ladder.kernel_judge.gate import ARCHITECTURES, Compiled, Fact, compile_launch, judge_static
from ladder.kernel_judge.lint import lint
from ladder.kernel_judge.strict import Examiner, Report
from ladder.text import Text, say

PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not_checked"
TOLERANCES = {  # of the relative norm, about twice what a careful implementation in that precision has
    torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 6e-4, torch.bfloat16: 5e-3,
}
TF32 = 8e-4
GPU_LATER = say("needs a GPU", "需要 GPU")
GPU_NOT_BUILT = say("running on the GPU is not built yet", "在 GPU 上运行的部分尚未完成")


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
        }


def judge_kernel(
    launcher: Callable[..., Any], cases: Sequence[Case], *, kind: str = "plain", source: str | None = None,
    architectures: Sequence[int] = ARCHITECTURES, examiner: Examiner | None = None,
) -> KernelVerdict:
    """Everything that can be said of a launcher and its kernels on this machine."""
    examiner = examiner or Examiner()
    linted = lint(source) if source is not None else []
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
        "gpu": NOT_CHECKED,
    }
    reasons = {"gpu": GPU_NOT_BUILT if torch.cuda.is_available() else GPU_LATER}
    if states["lint"] == NOT_CHECKED:
        reasons["lint"] = say("the source was not given", "没有给出源代码")
    for name in ("compiled", "static"):
        if states[name] == NOT_CHECKED:
            reasons[name] = say("no kernel was launched or compiled", "没有启动或编译任何 kernel")
    name = getattr(launcher, "__name__", "launcher")
    return KernelVerdict(name, states, reasons, linted, judged, compiled, static)


def judge_case(launcher: Callable[..., Any], case: Case, examiner: Examiner) -> CaseVerdict:
    """Interpret one case and compare its outputs in float64."""
    report = examiner(launcher, *case.args, **case.kwargs)
    problems = list(report.findings)
    errors: list[float] = []
    if case.expected is not None and report.outputs is not None:
        problems += _compare(case, report, errors)
    done = report.facts["dot_flops"]
    if done < case.min_dot_flops:
        problems.append(Finding("UnreadInput", say(
            f"the kernels multiplied {done:,} FLOPs with tl.dot; this task takes {case.min_dot_flops:,}",
            f"kernel 用 tl.dot 计算了 {done:,} FLOPs；本题至少需要 {case.min_dot_flops:,}")))
    return CaseVerdict(case, report, errors, problems)


def _compare(case: Case, report: Report, errors: list[float]) -> list[Finding]:
    ours = [t for t in tree_leaves(report.outputs) if isinstance(t, torch.Tensor)]
    theirs = [t for t in tree_leaves(case.expected) if isinstance(t, torch.Tensor)]
    if [tuple(t.shape) for t in ours] != [tuple(t.shape) for t in theirs]:
        return [Finding("Wrong", say(
            f"returned shapes {[tuple(t.shape) for t in ours]}, expected {[tuple(t.shape) for t in theirs]}",
            f"返回的形状是 {[tuple(t.shape) for t in ours]}，应当是 {[tuple(t.shape) for t in theirs]}"))]
    found = []
    for number, (mine, right) in enumerate(zip(ours, theirs, strict=True)):
        error = relative_error(mine, right)
        errors.append(error)
        allowed = case.tolerance
        if allowed is None:
            allowed = TOLERANCES.get(mine.dtype, 0.0)
            if mine.dtype == torch.float32 and report.facts["dot_flops"]:
                allowed = TF32
        if not error <= allowed:
            gap = (mine.double() - right.double()).abs().nan_to_num(nan=torch.inf)
            at = [int(i) for i in torch.unravel_index(gap.argmax(), gap.shape)] if gap.numel() else []
            hint = report.hints[0] if report.hints else say("", "")
            found.append(Finding("Wrong", say(
                f"output {number} differs: relative error {error:.2g}, allowed {allowed:.2g}; most at {at}"
                + (f"; {hint.en}" if hint.en else ""),
                f"输出 {number} 不对：相对误差 {error:.2g}，允许 {allowed:.2g}；差别最大处 {at}"
                + (f"；{hint.zh}" if hint.zh else ""))))
    return found


def relative_error(ours: torch.Tensor, right: torch.Tensor) -> float:
    """The norm of the difference over the norm of what is right, in float64; infinities must agree."""
    mine, good = ours.double().flatten(), right.double().flatten()
    same = (mine == good) | (mine.isnan() & good.isnan() if bool(good.isnan().any()) else torch.zeros(()).bool())
    gap = torch.where(same, 0.0, mine - good)
    norm = torch.where(good.isfinite(), good, 0.0).norm()
    error = gap.norm() / norm if norm > 0 else gap.norm()
    return float("inf") if bool(error.isnan()) else float(error)


def _state(held: Sequence[bool]) -> str:
    return NOT_CHECKED if not held else PASSED if all(held) else FAILED

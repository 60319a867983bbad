"""Whether outputs agree with what is expected: relative norms in float64, and what each precision allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from ladder.kernel_judge.findings import Finding
from ladder.text import Text, say

TOLERANCES = {  # of the relative norm, about twice what a careful implementation in that precision has
    torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 6e-4, torch.bfloat16: 5e-3,
}
TF32 = 8e-4


def compare(
    outputs: Any, expected: Any, tolerance: float | None, dots: bool, hints: Sequence[Text] = (),
) -> tuple[list[float], list[Finding]]:
    """The relative error of each output, and what is wrong; ``dots``: float32 may have been multiplied as TF32."""
    ours = [t for t in tree_leaves(outputs) if isinstance(t, torch.Tensor)]
    theirs = [t for t in tree_leaves(expected) if isinstance(t, torch.Tensor)]
    if [tuple(t.shape) for t in ours] != [tuple(t.shape) for t in theirs]:
        return [], [Finding("Wrong", say(
            f"returned shapes {[tuple(t.shape) for t in ours]}, expected {[tuple(t.shape) for t in theirs]}",
            f"返回的形状是 {[tuple(t.shape) for t in ours]}，应当是 {[tuple(t.shape) for t in theirs]}"))]
    errors, found = [], []
    for number, (mine, right) in enumerate(zip(ours, theirs, strict=True)):
        error = relative_error(mine, right)
        errors.append(error)
        allowed = tolerance
        if allowed is None:
            allowed = TF32 if mine.dtype == torch.float32 and dots else TOLERANCES.get(mine.dtype, 0.0)
        if not error <= allowed:
            gap = (mine.double() - right.double()).abs().nan_to_num(nan=torch.inf)
            at = [int(i) for i in torch.unravel_index(gap.argmax(), gap.shape)] if gap.numel() else []
            hint = hints[0] if hints else say("", "")
            found.append(Finding("Wrong", say(
                f"output {number} differs: relative error {error:.2g}, allowed {allowed:.2g}; most at {at}"
                + (f"; {hint.en}" if hint.en else ""),
                f"输出 {number} 不对：相对误差 {error:.2g}，允许 {allowed:.2g}；差别最大处 {at}"
                + (f"；{hint.zh}" if hint.zh else ""))))
    return errors, found


def relative_error(ours: torch.Tensor, right: torch.Tensor) -> float:
    """The norm of the difference over the norm of what is right, in float64; infinities must agree."""
    mine, good = ours.double().flatten(), right.double().flatten()
    same = (mine == good) | (mine.isnan() & good.isnan())
    gap = torch.where(same, 0.0, mine - good)
    norm = torch.where(good.isfinite(), good, 0.0).norm()
    error = gap.norm() / norm if norm > 0 else gap.norm()
    return float("inf") if bool(error.isnan()) else float(error)

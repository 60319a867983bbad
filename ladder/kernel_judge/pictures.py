"""Pictures of a strict run: which program touched which addresses, and a roofline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # the roofline needs no Triton
    from ladder.kernel_judge.strict import Report

MACHINES = {  # name: (dense FLOPs a second, 16-bit tensor cores; bytes a second), from the vendor's data sheets
    "A100 80GB": (312e12, 2.04e12),
    "H100 SXM": (989e12, 3.35e12),
}


def touched(report: Report, argument: str, shape: tuple[int, ...] | None = None, axes: Any = None) -> Any:
    """Draw the accesses to ``argument``: with a 2-D ``shape``, who touched each element last; else a row a program.

    The report must come from ``Examiner(trace=True)``.
    """
    import matplotlib.pyplot as plt

    accesses = [access for access in report.trace or [] if access.argument == argument]
    if not accesses:
        known = sorted({access.argument for access in report.trace or []})
        raise ValueError(f"no access to {argument!r} was traced; traced: {known or 'nothing, use trace=True'}")
    axes = axes or plt.subplots(figsize=(7, 3))[1]
    if shape is not None and len(shape) == 2:
        owner = np.full(int(np.prod(shape)), np.nan)
        for access in accesses:
            owner[access.places[(access.places >= 0) & (access.places < owner.size)]] = access.program
        image = axes.imshow(owner.reshape(shape), aspect="auto", interpolation="nearest", cmap="viridis")
        axes.figure.colorbar(image, ax=axes, label="program")
        axes.set(xlabel="column", ylabel="row", title=f"last program at {argument}")
        return axes
    for kind, colour in (("load", "tab:blue"), ("store", "tab:orange"), ("atomic", "tab:red")):
        mine = [access for access in accesses if access.kind == kind]
        if mine:
            x = np.concatenate([access.places for access in mine])
            y = np.concatenate([np.full(len(access.places), access.program) for access in mine])
            axes.plot(x, y, "|" if len(x) < 20_000 else ",", color=colour, label=kind)
    axes.set(xlabel=f"element of {argument}", ylabel="program")
    axes.invert_yaxis()
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncol=3, frameon=False)
    return axes


def roofline(points: Mapping[str, tuple[float, ...]], axes: Any = None) -> Any:
    """Draw ``points``, name: (FLOPs, bytes) or (FLOPs, bytes, seconds), below the roofs of two GPUs.

    Without a measured time a point is hollow and stands on the roof: the height is what the GPU could do at
    most with that many FLOPs a byte, never a prediction. With one it is filled and stands at what was reached.
    """
    import matplotlib.pyplot as plt

    axes = axes or plt.subplots(figsize=(6, 4))[1]
    intensity = np.logspace(-2, 4, 200)
    for machine, (flops, bandwidth) in MACHINES.items():
        axes.loglog(intensity, np.minimum(flops, bandwidth * intensity) / 1e12, label=machine)
    flops, bandwidth = MACHINES["H100 SXM"]
    for name, (done, moved, *seconds) in points.items():
        at = done / moved if moved else 0.0
        if at > 0:
            height = (done / seconds[0] if seconds else min(flops, bandwidth * at)) / 1e12
            kind = "measured" if seconds else "at most"
            axes.plot([at], [height], "o", color="black", fillstyle="full" if seconds else "none",
                      label=kind if kind not in axes.get_legend_handles_labels()[1] else None)
            axes.annotate(name, (at, height), textcoords="offset points", xytext=(6, -10) if at < 100 else (0, -14),
                          ha="left" if at < 100 else "right")
    axes.set(xlabel="FLOPs a byte", ylabel="TFLOPs a second")
    axes.legend()
    return axes

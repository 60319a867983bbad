"""Day 6's promise, with the lesson's own settings: BatchNorm reaches a loss in fewer steps."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from ladder.solutions.stage1_foundation.day06_init_and_batchnorm import (
    bn_ablation,
    bn_mlp,
    steps_to_target,
)

from ladder.data import load
from ladder.readers import read_idx

DAY = "day06_init_and_batchnorm"
SIZES = [784, 100, 100, 100, 10]
TARGET, RATES = 0.4, (0.03, 0.1, 0.3, 1.0)
NAMES = ("plain", "batchnorm")


def promises(full: bool) -> Iterator[dict[str, Any]]:
    """Two rows; ``full=False`` looks at 3 seeds, 1 for the sweep, of at most 5000 pictures."""
    data = load("mnist", progress=False)
    images, y = (read_idx(data[key]) for key in ("train_images", "train_labels"))
    if not full:
        images, y = images[:5000], y[:5000]
    X = images.reshape(len(images), -1) / np.float32(255)
    whole = full and data.fidelity == "full"
    fidelity = data.fidelity if full else "sample"

    def needed(seeds: range, steps: int, lr: float) -> dict[str, list[float]]:
        """Steps to the target, a list by seed; inf where it is not reached."""
        runs = [bn_ablation(seed, lambda flag, rng: bn_mlp(SIZES, flag, rng), X, y, steps, lr)
                for seed in seeds]
        found = {name: [steps_to_target(run[name], TARGET) for run in runs] for name in NAMES}
        return {name: [np.inf if n is None else n for n in found[name]] for name in NAMES}

    seeds = range(8 if full else 3)
    start = time.perf_counter()
    steps = needed(seeds, 400 if full else 160, 0.1)
    seconds = time.perf_counter() - start
    ratios = np.divide(steps["plain"], steps["batchnorm"])
    yield dict(
        day=DAY, promise="BatchNorm at the same rate: steps to the target loss, ratio > 1 for every seed",
        roadmap="no number",
        ours=f"median ratio {np.median(ratios):.2f} (from {ratios.min():.2f} to {ratios.max():.2f}; "
             f"{np.median(steps['plain']):.0f} steps against {np.median(steps['batchnorm']):.0f})",
        reached=bool(ratios.min() > 1) if whole else None, seconds=round(seconds, 1),
        fidelity=fidelity,
        note=f"training loss {TARGET}, mean of 20 batches of 64; 784-100-100-100-10, lr 0.1, "
             f"{len(seeds)} seeds",
    )

    seeds = range(3 if full else 1)
    start = time.perf_counter()
    sweep = [needed(seeds, 300 if full else 100, lr) for lr in RATES]
    seconds = time.perf_counter() - start
    best = {name: min((float(np.median(steps[name])), lr) for steps, lr in zip(sweep, RATES, strict=True))
            for name in NAMES}
    ratio = best["plain"][0] / best["batchnorm"][0]
    yield dict(
        day=DAY, promise="BatchNorm, both at their best rate: steps to the target loss, ratio > 1",
        roadmap="no number",
        ours=f"ratio {ratio:.2f} ({best['plain'][0]:.0f} steps at lr {best['plain'][1]} against "
             f"{best['batchnorm'][0]:.0f} at lr {best['batchnorm'][1]})",
        reached=bool(ratio > 1) if whole else None, seconds=round(seconds, 1), fidelity=fidelity,
        note=f"rates {', '.join(map(str, RATES))}; medians of {len(seeds)} seeds",
    )

"""Day 31's promises: the traffic that grouped order saves, by the day's model; speed beside cuBLAS on a GPU."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from ladder.graders.stage2_architecture.day31_triton_matmul import launch_matmul
from ladder.solutions.stage2_architecture.day31_triton_matmul import (
    benchmark,
    grouped_order,
    l2_traffic,
    matmul_kernel,
)

DAY = "day31_triton_matmul"


def promises(full: bool) -> Iterator[dict[str, Any]]:
    """Two rows; ``full=False`` counts a quarter of the tiles, and half of the steps."""
    yield traffic(full)
    yield speed()


def traffic(full: bool) -> dict[str, Any]:
    side, steps, start = (64, 32, time.perf_counter()) if full else (32, 16, time.perf_counter())
    cache = int(6e6 // (2 * 128 * 64))
    misses = {group: l2_traffic([grouped_order(p, side, side, group) for p in range(side * side)],
                                steps, cache, 80) for group in (1, 8)}
    per_byte = {group: 2 * 128 * 128 * 64 * side * side * steps / (n * 2 * 128 * 64)
                for group, n in misses.items()}
    return dict(
        day=DAY, promise="grouped order: at most half of the memory traffic of row order, by the LRU model (proposed)",
        roadmap="no number", ours=f"{misses[8] / misses[1]:.2f} of the traffic",
        reached=misses[8] <= misses[1] / 2 if full else None,
        seconds=round(time.perf_counter() - start, 1), fidelity="none",
        note=f"{side} by {side} tiles of 128 by 128 by 64 in float16, {steps} steps, 6 MB of L2, 80 programs at a time, "
             f"GROUP_M 8: {per_byte[8]:.0f} FLOPs a byte from memory, row by row {per_byte[1]:.0f}; a model, no GPU",
    )


def speed() -> dict[str, Any]:
    promise = "matmul in float16 at 4096³: at least 0.9 of torch.matmul (cuBLAS) (proposed)"
    roadmap = "near cuBLAS (no number)"
    if not torch.cuda.is_available():
        return dict(day=DAY, promise=promise, roadmap=roadmap, ours="not checked", reached=None, seconds=0.0,
                    fidelity="none", note="not checked: needs a GPU")
    start, n = time.perf_counter(), 4096
    found = benchmark(lambda a, b: launch_matmul(a, b, kernel=matmul_kernel), torch.matmul,
                      lambda: tuple(torch.randn(n, n, device="cuda").half() for _ in range(2)), 2 * n**3, repeats=30)
    return dict(
        day=DAY, promise=promise, roadmap=roadmap, ours=f"{found['ratio']:.2f} of torch.matmul",
        reached=found["ratio"] >= 0.9, seconds=round(time.perf_counter() - start, 1), fidelity="full",
        note=f"{torch.cuda.get_device_name()}, {found['ms']:.3f} ms, {found['tflops']:.0f} TFLOP/s",
    )

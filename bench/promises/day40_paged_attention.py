"""Day 40's measurement, with the lesson's own settings: what share of the KV slots holds tokens."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from ladder.solutions.stage3_full_stack.day40_paged_attention import request_trace, serve

DAY = "day40_paged_attention"


def promises(full: bool) -> Iterator[dict[str, Any]]:
    """One row; ``full=False`` serves 100 requests instead of 200."""
    capacity = 15680
    requests = request_trace(200 if full else 100, seed=0)
    start = time.perf_counter()
    used, running = {}, {}
    for policy in ("max", "pow2", "oracle", "paged"):
        busy = [state for state in serve(requests, capacity, policy) if state["waiting"]]
        used[policy] = float(np.mean([state["used"] for state in busy])) / capacity
        running[policy] = float(np.mean([state["running"] for state in busy]))
    yield dict(
        day=DAY, promise="paging: at least 0.9 of the KV slots hold tokens (proposed)",
        roadmap="no number", ours=", ".join(f"{policy} {share:.1%}" for policy, share in used.items()),
        reached=bool(used["paged"] >= 0.9) if full else None,
        seconds=round(time.perf_counter() - start, 1), fidelity="none",
        note=f"{len(requests)} synthetic requests, {capacity} slots, blocks of 16, seed 0; requests running: "
             + ", ".join(f"{policy} {n:.1f}" for policy, n in running.items()),
    )

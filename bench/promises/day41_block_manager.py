"""Day 41's closing experiment, with the lesson's own settings: one engine, three cache managers."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ladder.solutions.stage2_architecture.day22_gqa_and_kv_cache import generate
from ladder.solutions.stage2_architecture.day23_llama import Llama, LlamaConfig
from ladder.solutions.stage3_full_stack.day41_block_manager import (
    BlockManager,
    KVCacheManager,
    serve,
)

DAY = "day41_block_manager"
SLOTS, LONGEST = 512, 128


def promises(full: bool) -> Iterator[dict[str, Any]]:
    """Four rows; ``full=False`` serves 8 requests instead of 32."""
    torch.manual_seed(0)
    model = Llama(LlamaConfig(vocab=97, d=32, L=2, h=4, h_kv=2, hidden=64, max_len=LONGEST))
    for p in model.parameters():
        if p.ndim == 2:
            torch.nn.init.normal_(p, std=0.3)
    model.double()
    rng = np.random.default_rng(5)
    system = rng.integers(97, size=16).tolist()
    requests = [(system + rng.integers(97, size=rng.integers(2, 24)).tolist(),
                 int(rng.integers(8, 72))) for _ in range(32 if full else 8)]
    start = time.perf_counter()
    wanted = [generate(model, torch.tensor([prompt]), n)[0, len(prompt):].tolist()
              for prompt, n in requests]
    alone = time.perf_counter() - start
    engines = {
        "contiguous": (BlockManager(LONGEST, SLOTS // LONGEST, 0, 0.0), LONGEST),
        "paged": (BlockManager(8, SLOTS // 8), 8),
        "prefix": (KVCacheManager(8, SLOTS // 8), 8),
    }
    rows, equal = {}, True
    for name, (manager, block_size) in engines.items():
        answers, steps = serve(model, requests, manager, block_size)
        equal = equal and answers == wanted and manager.num_free() * block_size == SLOTS
        rows[name] = dict(
            per_step=steps[-1]["done"] / len(steps), seconds=steps[-1]["seconds"],
            filled=sum(s["filled"] for s in steps) / (SLOTS * len(steps)),
            note=f"{len(steps)} steps, {sum(s['computed'] for s in steps)} tokens through the model, "
                 f"{sum(s['preempted'] for s in steps)} preemptions, "
                 f"{steps[-1]['done'] / steps[-1]['seconds']:.0f} tokens/s on this CPU")
    setting = f"{len(requests)} requests, memory for {SLOTS} tokens, a Llama of random weights"
    yield dict(
        day=DAY, promise="serving in a batch, with preemption, changes no token; no block leaks",
        roadmap="outputs equal the unbatched generation", ours="equal" if equal else "different",
        reached=equal, seconds=round(alone, 2), fidelity="none",
        note=f"{setting}; three managers against generate() one by one",
    )
    least = {"contiguous": None, "paged": 1.5, "prefix": 2.0}
    for name, row in rows.items():
        gain = row["per_step"] / rows["contiguous"]["per_step"]
        yield dict(
            day=DAY,
            promise=f"closing experiment, {name}: tokens written a step, memory filled"
                    + (f" (more than {least[name]} times contiguous)" if least[name] else ""),
            roadmap="memory use and throughput against the contiguous cache",
            ours=f"{row['per_step']:.1f} a step ({gain:.2f} x), {row['filled']:.0%} filled",
            reached=None if least[name] is None or not full else gain > least[name],
            seconds=round(row["seconds"], 2), fidelity="none", note=f"{setting}; {row['note']}",
        )

"""Day 105's promise, "x% faster than native attention": measured on a GPU, else said to be not checked."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from ladder.graders.stage11_serving.day105_triton_flash_attention import launch_forward
from ladder.solutions.stage11_serving.day105_triton_flash_attention import (
    benchmark,
    flash_attn_kernel,
)

DAY = "day105_triton_flash_attention"
SHAPE = dict(batch=4, heads=16, queries=4096, keys=4096, head_dim=64, causal=True, dtype="float16")


def promises(full: bool) -> Iterator[dict[str, Any]]:
    """One row: the day's forward kernel beside attention that stores the scores, and beside torch's own."""
    promise, roadmap = "the day's kernel, causal, 4096 tokens: faster than attention that stores the scores", "x% (unspecified)"
    if not torch.cuda.is_available():
        yield dict(day=DAY, promise=promise, roadmap=roadmap, ours="not checked", reached=None, seconds=0.0,
                   fidelity="none", note="not checked: needs a GPU")
        return
    start, gpu = time.perf_counter(), torch.cuda.get_device_name()
    speeds = {}
    for baseline in (stored_scores, scaled_dot_product_attention):
        speeds[baseline.__name__] = benchmark(ours, baseline, [SHAPE], timer, gpu)["rows"][0]["speedup"]
    speed = speeds["stored_scores"]
    yield dict(
        day=DAY, promise=promise, roadmap=roadmap, ours=f"{100 * (speed - 1):.0f}% faster", reached=speed > 1,
        seconds=round(time.perf_counter() - start, 1), fidelity="full",
        note=f"{gpu}; batch 4, 16 heads, head_dim 64, float16; "
             f"{speeds['scaled_dot_product_attention']:.2f} of the speed of scaled_dot_product_attention",
    )


def ours(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    flat = [t.flatten(0, 1) for t in (q, k, v)]
    return launch_forward(*flat, causal, 128, 64, kernel=flash_attn_kernel, num_warps=8, num_stages=3)[0].view_as(q)


def stored_scores(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    scores = q @ k.mT * q.shape[-1]**-0.5
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores[0, 0], dtype=torch.bool).triu(1), float("-inf"))
    return scores.softmax(-1) @ v


def scaled_dot_product_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)


def timer(call: Callable[[], Any]) -> list[float]:
    """Milliseconds of 30 calls by the GPU's clock, the L2 cache overwritten before each."""
    scratch = torch.empty(64 * 2**20, dtype=torch.int32, device="cuda")
    times = []
    for _ in range(35):
        scratch.zero_()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return times[5:]

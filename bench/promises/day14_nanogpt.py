"""Day 14's promises, with the lesson's own settings: a small GPT on tiny Shakespeare."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from ladder.solutions.stage1_foundation.day14_nanogpt import (
    GPTConfig,
    evaluate,
    generate,
    train_gpt,
)

from ladder.data import load
from ladder.readers import read_text

DAY = "day14_nanogpt"


def promises(full: bool) -> Iterator[dict[str, Any]]:
    """Two rows; ``full=False`` takes 20 steps and a small part of the validation text."""
    data = load("tinyshakespeare", progress=False)
    text = read_text(data["text"])
    characters = sorted(set(text))
    number = {c: k for k, c in enumerate(characters)}
    ids = torch.tensor([number[c] for c in text])
    cut = len(ids) * 9 // 10
    steps = 2000 if full else 20
    cfg = GPTConfig(vocab=len(characters), T=64, L=4, h=4, d=96)
    start = time.perf_counter()
    model, _ = train_gpt(cfg, ids[:cut], steps, B=12, lr=2e-3, warmup=100 if full else 10)
    seconds = time.perf_counter() - start
    loss = evaluate(model, ids[cut:] if full else ids[cut : cut + 8000])
    prompt = torch.tensor([[number[c] for c in "ROMEO:" if c in number] or [0]])
    written = generate(model, prompt, 400 if full else 60, temp=0.8, top_k=20, seed=1)[0].tolist()
    sample = "".join(characters[k] for k in written).replace("\n", " / ")
    yield dict(
        day=DAY, promise="nanoGPT on tiny Shakespeare, CPU preset: validation loss below 2.0",
        roadmap="Loss < 1.5 (GPU preset)", ours=f"{loss:.3f}",
        reached=bool(loss < 2.0) if full and data.fidelity == "full" else None,
        seconds=round(seconds, 1), fidelity=data.fidelity if full else "sample",
        note=f"4 layers, 4 heads, 96 channels, T 64, batch 12, {steps} steps, rate 0.002, seed 0; "
             f"sample: {sample}",
    )
    yield dict(
        day=DAY, promise="nanoGPT on tiny Shakespeare, GPU preset: validation loss below 1.5",
        roadmap="Loss < 1.5", ours="not checked on a GPU", reached=None, seconds=0.0,
        fidelity="none",
        note="settings given in the lesson: 6 layers, 6 heads, 384 channels, T 256, batch 64, "
             "5000 steps, dropout 0.2; nanoGPT publishes 1.4697",
    )

"""Day 9's promise, with the lesson's own settings: a character RNN, by hand-written BPTT."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from ladder.solutions.stage1_foundation.day09_rnn_and_bptt import (
    CharRNN,
    bigram_loss,
    evaluate,
    train_char_rnn,
)

from ladder.data import load
from ladder.readers import read_text

DAY = "day09_rnn_and_bptt"


def promises(full: bool) -> Iterator[dict[str, Any]]:
    """One row; ``full=False`` takes 60 steps and reads 8000 characters of the validation text."""
    data = load("tinyshakespeare", progress=False)
    text = read_text(data["text"])
    characters = sorted(set(text))
    number = {c: k for k, c in enumerate(characters)}
    ids = np.array([number[c] for c in text])
    cut = len(ids) * 9 // 10
    train, validation = ids[:cut], ids[cut:]
    V, steps = len(characters), 2400 if full else 60
    bigram = bigram_loss(train, validation, V)
    model = CharRNN(V, 128, np.random.default_rng(0))
    start = time.perf_counter()
    history = train_char_rnn(model, train, steps)
    seconds = time.perf_counter() - start
    loss = evaluate(model, validation if full else validation[:8000])
    prompt = np.array([number[c] for c in "ROMEO:" if c in number] or [0])
    written = model.sample(prompt, 60, np.random.default_rng(1), 0.7)
    sample = "".join(characters[k] for k in written).replace("\n", " / ")
    clipped = np.mean(np.array(history["norm"]) > 1.0)
    yield dict(
        day=DAY, promise="character RNN by hand-written BPTT: loss below counted bigrams",
        roadmap="no number", ours=f"{loss:.3f} nats, bigrams {bigram:.3f}",
        reached=bool(loss < bigram) if full and data.fidelity == "full" else None,
        seconds=round(seconds, 1), fidelity=data.fidelity if full else "sample",
        note=f"128 units, {steps} steps of 32 x 40 characters; {clipped:.1%} of the steps clipped; "
             f"seed 0; sample: ROMEO:{sample}",
    )

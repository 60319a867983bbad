"""Day 5's promise, with the lesson's own settings: MNIST by a small CNN on our engine."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import predict, train_digits
from ladder.solutions.stage1_foundation.day05_convolution_and_pooling import small_cnn

from ladder.data import load
from ladder.readers import read_idx

DAY = "day05_convolution_and_pooling"
SCHEDULE = ((2, 0.05), (1, 0.005))


def promises(full: bool) -> Iterator[dict[str, Any]]:
    """One row; ``full=False`` runs the schedule on what ``load`` finds, at most 1500 pictures."""
    data = load("mnist", progress=False)
    images, labels, test_images, test_labels = (
        read_idx(data[key])
        for key in ("train_images", "train_labels", "test_images", "test_labels"))
    if not full:
        images, labels, test_images, test_labels = (
            part[:1500] for part in (images, labels, test_images, test_labels))
    rng = np.random.default_rng(0)
    model = small_cnn(rng)
    start, cpu = time.perf_counter(), time.process_time()
    for epochs, lr in SCHEDULE:
        train_digits(model, images, labels, rng, epochs=epochs, batch_size=64, lr=lr)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    accuracy = float(np.mean(predict(model, test_images) == test_labels))
    whole = full and data.fidelity == "full"
    yield dict(
        day=DAY, promise="MNIST by a small CNN on the engine: test accuracy > 0.98 in under 4 minutes",
        roadmap="no number", ours=f"{accuracy:.4f}",
        reached=bool(accuracy > 0.98 and seconds < 240) if whole else None,
        seconds=round(seconds, 1),
        fidelity=data.fidelity if full or data.fidelity == "sample" else "subset",
        note=f"channels 8 and 16, 3 epochs of {len(images)} pictures, {cpu:.0f} s of CPU; seed 0",
    )

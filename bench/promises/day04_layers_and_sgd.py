"""Day 4's promises, with the lesson's own settings: sin(x), and MNIST by an MLP on our engine."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from ladder.solutions.stage1_foundation.day03_tensor_autograd import Tensor
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import (
    MLP,
    fit_sin,
    predict,
    train_digits,
)

from ladder.data import load
from ladder.readers import read_idx

DAY = "day04_layers_and_sgd"


def promises(full: bool) -> Iterator[dict[str, Any]]:
    """Two rows; ``full=False`` trains for one epoch on what ``load`` finds, at most 5000 pictures."""
    start = time.perf_counter()
    model, _ = fit_sin(0)
    seconds = time.perf_counter() - start
    x = np.linspace(-np.pi, np.pi, 997)[:, None]
    error = np.abs(model(Tensor(x, requires_grad=False)).data - np.sin(x))
    yield dict(
        day=DAY, promise="sin(x) fitted by an MLP on the engine: largest error < 0.05, MSE < 1e-3",
        roadmap="no number", ours=f"largest error {error.max():.3f}, MSE {np.mean(error**2):.1e}",
        reached=bool(error.max() < 0.05 and np.mean(error**2) < 1e-3), seconds=round(seconds, 1),
        fidelity="none", note="997 points on [-pi, pi]; seed 0",
    )

    data = load("mnist", progress=False)
    images, labels, test_images, test_labels = (
        read_idx(data[key])
        for key in ("train_images", "train_labels", "test_images", "test_labels"))
    epochs = 8 if full else 1
    if not full:
        images, labels = images[:5000], labels[:5000]
    rng = np.random.default_rng(0)
    model = MLP([784, 128, 10], rng)
    start = time.perf_counter()
    train_digits(model, images, labels, rng, epochs=epochs)
    seconds = time.perf_counter() - start
    accuracy = float(np.mean(predict(model, test_images) == test_labels))
    whole = full and data.fidelity == "full"
    yield dict(
        day=DAY, promise="MNIST by an MLP on the engine: test accuracy > 0.97 in under two minutes",
        roadmap="> 0.90", ours=f"{accuracy:.4f}",
        reached=bool(accuracy > 0.97 and seconds < 120) if whole else None,
        seconds=round(seconds, 1), fidelity=data.fidelity if full else "sample",
        note=f"784-128-10, {epochs} epochs of {len(images)} pictures; seed 0",
    )

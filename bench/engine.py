"""A training step on our engine against PyTorch on the CPU, measured side by side in one run.

    python bench/engine.py [--json] [--repeat 100]

A row is a model trained by both on the same numbers: forward, loss, backward, SGD with momentum. The
steps alternate, and the figure is the fastest of them: what is slower was waiting for other programs.
On a busy machine set OMP_NUM_THREADS=1, or the threads wait for each other. Our engine computes in float64; PyTorch in float64 (the same work) and in float32 (what people use).

To add a row, write a function like :func:`mlp` and list it in ``MODELS``.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from ladder.solutions.stage1_foundation.day03_tensor_autograd import Tensor
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import MLP, SGD, cross_entropy
from ladder.solutions.stage1_foundation.day05_convolution_and_pooling import small_cnn

LR, MOMENTUM = 0.1, 0.9
DTYPES = {"float64": torch.float64, "float32": torch.float32}


@dataclass(frozen=True)
class Pair:
    """A model on our engine, and ``twin(dtype)``: PyTorch's with the same parameters.

    ``images`` is the batch as both models take it.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    ours: Callable[[Tensor], Tensor]
    twin: Callable[[torch.dtype], torch.nn.Module]
    aim: float


def copy_parameters(ours: list[Tensor], module: torch.nn.Module) -> None:
    """Our parameters into PyTorch's; a two-dimensional weight is (i, o) here and (o, i) there."""
    for p, q in zip(ours, module.parameters(), strict=True):
        q.data = torch.tensor(p.data.T if p.data.ndim == 2 else p.data, dtype=torch.float64)


def mlp(rng: np.random.Generator) -> Pair:
    """Day 4's network and batch size."""
    model = MLP([784, 128, 10], rng)

    def twin(dtype: torch.dtype) -> torch.nn.Module:
        module = torch.nn.Sequential(
            torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
        copy_parameters(model.parameters(), module)
        return module.to(dtype)

    return Pair("MLP 784-128-10, batch 128", rng.random((128, 784)),
                rng.integers(10, size=128), model, twin, aim=2.0)


def cnn(rng: np.random.Generator) -> Pair:
    """Day 5's network and batch size."""
    model = small_cnn(rng)

    def twin(dtype: torch.dtype) -> torch.nn.Module:
        module = torch.nn.Sequential(
            torch.nn.Unflatten(1, (1, 28, 28)),
            torch.nn.Conv2d(1, 8, 5), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(8, 16, 5), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
            torch.nn.Flatten(), torch.nn.Linear(256, 10))
        copy_parameters(model.parameters(), module)
        return module.to(dtype)

    return Pair("CNN 8-16 channels, batch 64", rng.random((64, 784)),
                rng.integers(10, size=64), model, twin, aim=4.0)


MODELS: tuple[Callable[[np.random.Generator], Pair], ...] = (mlp, cnn)


def our_step(pair: Pair) -> Callable[[], float]:
    """One training step on our engine; returns the loss before it."""
    optimiser = SGD(pair.ours.parameters(), LR, MOMENTUM)

    def step() -> float:
        loss = cross_entropy(pair.ours(Tensor(pair.images, requires_grad=False)), pair.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def torch_step(pair: Pair, dtype: torch.dtype) -> Callable[[], float]:
    """The same step by PyTorch."""
    module = pair.twin(dtype)
    optimiser = torch.optim.SGD(module.parameters(), LR, MOMENTUM)
    images, labels = torch.tensor(pair.images, dtype=dtype), torch.tensor(pair.labels)

    def step() -> float:
        loss = torch.nn.functional.cross_entropy(module(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def measure(make: Callable[[np.random.Generator], Pair], repeat: int) -> dict:
    """The fastest of ``repeat`` alternating steps, after five to warm up."""
    pair = make(np.random.default_rng(0))
    steps = {"ours": our_step(pair)}
    steps |= {name: torch_step(pair, dtype) for name, dtype in DTYPES.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    losses: dict[str, float] = {}
    for turn in range(repeat + 5):
        for name, step in steps.items():
            start = time.perf_counter()
            losses[name] = step()
            if turn >= 5:
                times[name].append(time.perf_counter() - start)
    if not np.isclose(losses["ours"], losses["float64"], rtol=1e-6):
        raise SystemExit(f"{pair.name}: the losses differ after {repeat + 5} steps: {losses}")
    best = {name: min(values) for name, values in times.items()}
    return {
        "model": pair.name,
        "ours_ms": round(1e3 * best["ours"], 3),
        **{f"torch_{name}_ms": round(1e3 * best[name], 3) for name in DTYPES},
        **{f"ratio_{name}": round(best["ours"] / best[name], 2) for name in DTYPES},
        "aim": pair.aim,
        "reached": best["ours"] / best["float64"] <= pair.aim,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--repeat", type=int, default=100, help="steps measured for each row")
    options = parser.parse_args()
    rows = [measure(make, options.repeat) for make in MODELS]
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(),
               "threads": torch.get_num_threads(), "torch": torch.__version__,
               "numpy": np.__version__, "load_average": round(os.getloadavg()[0], 2)}
    if options.json:
        print(json.dumps({"machine": machine, "rows": rows}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print(f"{'one training step':28} {'ours':>9} {'torch f64':>10} {'torch f32':>10} "
          f"{'ratio f64':>10} {'ratio f32':>10} {'aim':>5}")
    for row in rows:
        print(f"{row['model']:28} {row['ours_ms']:6.2f} ms {row['torch_float64_ms']:7.2f} ms "
              f"{row['torch_float32_ms']:7.2f} ms {row['ratio_float64']:9.2f}x "
              f"{row['ratio_float32']:9.2f}x {row['aim']:4.1f}x")


if __name__ == "__main__":
    main()

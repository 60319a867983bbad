"""Digits drawn from strokes, in MNIST's format: what Day 4 and 5 train on without MNIST.

A digit is a few polylines in a unit square (x to the right, y down). Each picture turns, leans,
scales, shifts and wobbles them, and draws them with a pen of its own width. They are easier than
real handwriting: a result on them is not MNIST's.
"""

from __future__ import annotations

import gzip
import math
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Point = tuple[float, float]


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float, n: int = 10
         ) -> list[Point]:
    """Part of an ellipse; angles in turns, 0 to the right, growing clockwise on the page."""
    turns = [2 * math.pi * (start + (end - start) * i / n) for i in range(n + 1)]
    return [(x + rx * math.cos(t), y + ry * math.sin(t)) for t in turns]


STROKES: tuple[list[list[Point]], ...] = (
    [_arc(0.5, 0.5, 0.26, 0.38, 0.0, 1.0, 16)],
    [[(0.36, 0.26), (0.52, 0.12), (0.52, 0.88)]],
    [[*_arc(0.5, 0.34, 0.23, 0.22, 0.52, 1.1), (0.28, 0.86), (0.76, 0.86)]],
    [_arc(0.46, 0.31, 0.22, 0.19, 0.6, 1.25), _arc(0.46, 0.68, 0.26, 0.2, 0.75, 1.4)],
    [[(0.62, 0.88), (0.62, 0.12), (0.24, 0.62), (0.8, 0.62)]],
    [[(0.72, 0.14), (0.36, 0.14), (0.33, 0.47)], _arc(0.48, 0.64, 0.24, 0.22, 0.65, 1.4)],
    [[(0.64, 0.12), (0.4, 0.36), (0.29, 0.62)], _arc(0.5, 0.67, 0.21, 0.2, 0.5, 1.5, 14)],
    [[(0.24, 0.14), (0.76, 0.14), (0.42, 0.88)]],
    [_arc(0.5, 0.3, 0.19, 0.18, 0.0, 1.0, 14), _arc(0.5, 0.68, 0.24, 0.2, 0.0, 1.0, 14)],
    [_arc(0.5, 0.32, 0.21, 0.2, 0.0, 1.0, 14), [(0.71, 0.32), (0.68, 0.62), (0.52, 0.88)]],
)


def draw_digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` pictures (count, 28, 28) of uint8, and their labels."""
    import numpy as np

    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 10).astype(np.uint8)
    y, x = np.mgrid[0:28, 0:28].astype(np.float32) + 0.5
    pixels = np.stack([x.ravel(), y.ravel()], 1)
    noise = rng.normal(0, 4, (64, 784)).astype(np.float32)
    images = np.empty((count, 784), np.uint8)
    for i, label in enumerate(labels):
        angle, lean = rng.normal(0, 0.12), rng.normal(0, 0.15)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        matrix = turn @ np.array([[1, lean], [0, 1]]) * rng.uniform(19, 24, 2)
        centre, width = 14 + rng.normal(0, 0.7, 2), rng.uniform(0.9, 1.7)
        starts, ends = [], []
        for stroke in STROKES[label]:
            points = (np.array(stroke) - 0.5 + rng.normal(0, 0.012, (len(stroke), 2))) @ matrix.T
            starts.append(points[:-1] + centre)
            ends.append(points[1:] + centre)
        distance = _distance(pixels, np.concatenate(starts), np.concatenate(ends))
        ink = np.clip(1.4 - distance / width, 0, 1) * 255 + noise[i % 64] * (distance < 3)
        images[i] = np.clip(ink, 0, 255)
    return images.reshape(count, 28, 28), labels


def _distance(pixels: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """From each pixel (pixels, 2) to the nearest of the segments (segments, 2)."""
    import numpy as np

    starts, along = starts.astype(np.float32), (ends - starts).astype(np.float32)
    length = (along**2).sum(1)
    dot = pixels @ along.T - (starts * along).sum(1)  # (pixels, segments)
    place = np.clip(dot / length, 0, 1)
    square = (pixels**2).sum(1)[:, None] - 2 * pixels @ starts.T + (starts**2).sum(1)
    square += place * (place * length - 2 * dot)
    return np.sqrt(np.maximum(square, 0).min(1))


def idx_gz(array: np.ndarray) -> bytes:
    """A uint8 array as a gzipped idx file."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)

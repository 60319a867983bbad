"""Day 21 a second time: NumPy, matrix exponentials, loops, half-split rotations, some float32."""

import cmath

import numpy as np
import torch


def rope_matrix(pos, d, base=10000.0):
    if d & 1:
        raise ValueError("an odd number of coordinates")
    generator = torch.zeros(d, d)
    for i in range(d // 2):
        rate = 1 / base ** (2 * i / d)
        generator[2 * i + 1, 2 * i], generator[2 * i, 2 * i + 1] = rate, -rate
    return torch.matrix_exp(pos * generator.double()).float()


def rope_complex(x, positions, base=10000.0):
    d = x.shape[-1]
    z = torch.view_as_complex(x.float().reshape(*x.shape[:-1], d // 2, 2).contiguous())
    turns = [[cmath.exp(1j * t / base ** (2 * i / d)) for i in range(d // 2)]
             for t in positions.tolist()]
    return z * torch.tensor(turns, dtype=torch.complex64)


def rope_tables(T, d, base=10000.0):
    if d % 2 != 0:
        raise ValueError("an odd number of coordinates")
    phase = np.exp(1j * np.outer(np.arange(T), np.power(float(base), -np.arange(d // 2) * 2 / d)))
    return torch.tensor(phase.real, dtype=torch.float32), torch.tensor(phase.imag, dtype=torch.float32)


def apply_rope(q, k, cos, sin):
    def turn(x):
        x32 = x.float()
        swapped = torch.empty_like(x32)
        swapped[..., 0::2], swapped[..., 1::2] = -x32[..., 1::2], x32[..., 0::2]
        wide_cos, wide_sin = (t.repeat_interleave(2, dim=-1) for t in (cos, sin))
        return (x32 * wide_cos + swapped * wide_sin).to(x.dtype)

    return [turn(q), turn(k)]


def relative_gap(encode, q, k, shift):
    worst = 0.0
    here = encode(q, torch.arange(q.shape[0])), encode(k, torch.arange(k.shape[0]))
    there = (encode(q, torch.arange(shift, shift + q.shape[0])),
             encode(k, torch.arange(shift, shift + k.shape[0])))
    for m in range(q.shape[0]):
        for n in range(k.shape[0]):
            worst = max(worst, abs(float((there[0][m] * there[1][n]).sum() - here[0][m] @ here[1][n])))
    return worst


def partial_sums(dist, d, base):
    total, sums = 0, []
    for i in range(d // 2):
        total = total + np.exp(1j * np.asarray(dist, dtype=float) * base ** (-2 * i / d))
        sums.append(total)
    return sums


def decay_steps(q, k, dist, base=10000.0):
    a, b = q.numpy(), k.numpy()
    d = len(a)
    h = [complex(a[2 * i], a[2 * i + 1]) * complex(b[2 * i], -b[2 * i + 1]) for i in range(d // 2)]
    S = [complex(s) for s in partial_sums(dist, d, base)]
    w = [h[i] - h[i + 1] for i in range(d // 2 - 1)] + [h[-1]]
    return dict(
        bound=max(map(abs, w)) * sum(map(abs, S)),
        triangle=np.dot(np.abs(w), np.abs(S)),
        w=np.array(w), h=np.array(h), S=np.array(S),
        score=sum(c.real * np.cos(t) - c.imag * np.sin(t)
                  for c, t in zip(h, (dist * base ** (-2 * i / d) for i in range(d // 2)), strict=True)),
    )


def rope_decay_bound(dist, d, base=10000.0):
    sums = partial_sums(dist.numpy(), d, base)
    return torch.from_numpy(np.asarray(sum(np.abs(s) for s in sums) / len(sums))).float()

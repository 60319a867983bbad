"""Day 13 a second time: permutation matrices, complex exponentials, NumPy, and some float32."""

import cmath

import numpy as np
import torch


def permutation_gap(f, x, perm):
    P = torch.eye(len(perm), dtype=x.dtype)[perm]
    return max(abs(gap) for gap in (f(P @ x) - P @ f(x)).detach().flatten().tolist())


def equivariance_steps(scores, v, perm):
    P = torch.eye(len(perm), dtype=v.dtype)[perm]
    weights = torch.softmax(scores, dim=-1)
    return dict(output=P @ (weights @ v), values=P @ v, weights=P @ weights @ P.T,
                scores=P @ scores @ P.T)


def rate(i, d):
    return 1 / 10000 ** (2 * i / d)


def sinusoidal_pe(T, d):
    if d != 2 * (d // 2):
        raise ValueError("an odd number of channels")
    phase = np.exp(1j * np.outer(np.arange(T), [rate(i, d) for i in range(d // 2)]))
    PE = np.empty((T, d))
    PE[:, ::2], PE[:, 1::2] = phase.imag, phase.real
    return torch.from_numpy(PE).float()


def shift_matrix(k, d):
    if d % 2 == 1:
        raise ValueError("an odd number of channels")
    blocks = []
    for i in range(d // 2):
        z = cmath.exp(1j * k * rate(i, d))
        blocks.append(torch.tensor([[z.real, z.imag], [-z.imag, z.real]]))
    return torch.block_diag(*blocks)


def pe_dot(k, d):
    total = torch.zeros(k.shape)
    for i in range(d // 2):
        total += torch.cos(k.double() * rate(i, d)).float()
    return total


def pe_spectrum(T, d):
    angles = np.arange(T)[:, None] * np.array([rate(i, d) for i in range(d // 2)])
    x = np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(T, d)
    basis = np.exp(-2j * np.pi * np.outer(np.arange(T), np.arange(T)) / T)
    energy = np.abs(basis @ x) ** 2 / (T * (x**2).sum(axis=0))      # Parseval
    folded = [energy[n] if n in (0, T - n) else energy[n] + energy[T - n]
              for n in range(T // 2 + 1)]
    return np.arange(T // 2 + 1) / T, np.array(folded)


def rotate2d(x, theta):
    turn = torch.polar(torch.ones((), dtype=torch.float64), torch.as_tensor(theta).double())
    z = torch.complex(x[..., 0].double(), x[..., 1].double()) * turn
    return torch.view_as_real(z).to(x.dtype)


def relative_score(q, k, offset, theta):
    # q · k = |q| |k| cos of the angle between them, and that angle changes by offset · θ.
    between = torch.atan2(q[..., 1], q[..., 0]) - torch.atan2(k[..., 1], k[..., 0])
    return q.norm(dim=-1) * k.norm(dim=-1) * torch.cos(between + torch.as_tensor(offset) * theta)

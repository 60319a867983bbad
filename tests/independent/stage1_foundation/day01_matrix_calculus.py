"""Day 1 a second time, by other formulas and other idioms."""

import math
from functools import reduce

import numpy as np


def jacobian_fd(f, x, eps=1e-6):
    x = np.asarray(x).astype(float)
    flat = x.ravel()
    columns = []
    for j in range(flat.size):
        right, left = flat.copy(), flat.copy()
        right[j] = flat[j] + eps
        left[j] = flat[j] - eps
        slope = np.subtract(f(right.reshape(x.shape)), f(left.reshape(x.shape))) / eps / 2
        columns.append(slope)
    return np.stack(columns, axis=-1).reshape(columns[0].shape + x.shape)


def grad_fd(f, x, eps=1e-6):
    x = np.asarray(x, dtype="float64")
    units = np.eye(x.size).reshape(-1, *x.shape)
    return np.reshape([0.5 * (f(x + eps * e) - f(x - eps * e)) / eps for e in units], x.shape)


def linear_jacobians(W, X, b):
    (m, n), B = W.shape, X.shape[1]
    # Row-major vec(Y) = kron(W, I) vec(X) = kron(I, Xᵀ) vec(W).
    return [
        np.kron(W, np.identity(B)).reshape(m, B, n, B),
        np.kron(np.identity(m), X.T).reshape(m, B, m, n),
        np.repeat(np.identity(m)[:, None, :], B, axis=1),
    ]


def linear_backward(dY, W, X):
    dW, dX, db = np.zeros_like(W), [], 0
    for x, dy in zip(X.T, dY.T, strict=True):
        dW += np.outer(dy, x)
        dX.append(dy @ W)
        db = db + dy
    return dW, np.array(dX).T, db


def chain_vjp(fs, x, g):
    if not fs:
        return g
    (forward, vjp), *rest = fs
    return vjp(x, chain_vjp(rest, forward(x), g))


def softmax(z):
    return np.exp(z - np.logaddexp.reduce(z, axis=-1)[..., np.newaxis])


def softmax_derivation_steps(z, i, j):
    e = [math.exp(v) for v in z]
    s = math.fsum(e)
    p_i, p_j = e[i] / s, e[j] / s
    same = i == j
    return {
        "dlog_p_i": 1 - p_j if same else -p_j,
        "dp_i": p_i * (1 - p_i) if same else -p_i * p_j,
        "numerator": e[i] * (s - e[i]) if same else -e[i] * e[j],
        "ds": e[j],
        "de_i": e[i] if same else 0,
    }


def softmax_jacobian(z):
    p = softmax(z)
    return p[:, None] * (np.eye(p.size) - p)


def softmax_vjp(z, g):
    p = softmax(z)
    inner = np.einsum("...i,...i->...", p, g)
    return p * g - p * inner[..., None]


def ce_derivation_steps(z, y):
    p = softmax(z)
    lse = reduce(np.logaddexp, z)
    picked = [float(k == y) for k in range(len(z))]
    dL_dp = np.zeros(len(z))
    dL_dp[y] = -math.exp(lse - z[y])
    return {
        "lse": lse,
        "loss": float(lse - z[y]),
        "dL_dp": dL_dp,
        "dp_dz": softmax_jacobian(z),
        "dlse_dz": p,
        "dz_y_dz": picked,
        "dL_dz": dL_dp @ softmax_jacobian(z),
    }


def ce_grad_logits(Z, y):
    grad = softmax(Z).astype(np.float32)
    grad[np.arange(len(y)), y] -= 1
    return grad


def paper_quiz():
    return {f"q{k}": letter.upper() for k, letter in enumerate("cbdbadca", 1)}

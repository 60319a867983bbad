"""Day 29 a second time: counts by loops, logaddexp, normalised parts that are merged, base 2."""

import math

import numpy as np
import torch


def hbm_bytes_std(N, d, itemsize=2):
    nd, nn = N * d, N**2
    kernels = [(nd, nd, nn), (nn, nn), (nn, nd, nd)]
    return itemsize * sum(map(sum, kernels))


def hbm_bytes_flash(N, d, M, itemsize=2):
    if M / itemsize < d:
        raise ValueError(M)
    rows = math.ceil(M / (4 * d * itemsize))
    numbers = N * d + N + N                       # O, l, m
    for start in range(0, N, rows):
        numbers += 2 * len(range(start, min(start + rows, N))) * d
        numbers += N * (d + d + 1 + 1) + N * (d + 1 + 1)
    return numbers * itemsize


def online_softmax_blocks(x, B):
    N = x.shape[-1]
    L = torch.full(x.shape[:-1], -math.inf, dtype=x.dtype)
    m, ms, Ls = L, [], []
    for start in range(0, N, B):
        part = x[..., start:start + B]
        L = torch.logaddexp(L, torch.logsumexp(part, -1))
        m = torch.cat([m.unsqueeze(-1), part], -1).max(-1).values
        ms.append(m)
        Ls.append(L)
    ms, Ls = torch.stack(ms, -1), torch.stack(Ls, -1)
    seen = torch.isfinite(Ls)
    l = torch.where(seen, (Ls - ms).exp(), 0)
    p = torch.where(seen[..., -1:], (x - Ls[..., -1:]).exp(), 0)
    return [p, ms, l]


def causal_tiles(N, M, Br, Bc):
    kinds = []
    for a in range(math.ceil(N / Br)):
        row = []
        for b in range(math.ceil(M / Bc)):
            mask = tile_mask(a, b, N, M, Br, Bc)
            row.append(2 if bool(mask.all()) else int(mask.any()))
        kinds.append(row)
    return torch.tensor(kinds)


def tile_mask(a, b, N, M, Br, Bc):
    i = np.arange(N)[a * Br:][:Br]
    j = np.arange(M)[b * Bc:][:Bc]
    return torch.from_numpy(np.less_equal.outer(j, i + (M - N)).T)


def flash_forward(q, k, v, Br, Bc, causal=False):
    """Parts of O are normalised by themselves and merged with the weights exp(L_part − L)."""
    *_, N, d = q.shape
    M = k.shape[-2]
    O, L = torch.zeros_like(q), torch.full(q.shape[:-1], -math.inf, dtype=q.dtype)
    q = q / d**0.5
    for b in range(-(-M // Bc)):
        cols = slice(b * Bc, b * Bc + Bc)
        K, V = k[..., cols, :].clone(), v[..., cols, :].clone()
        for a in range(-(-N // Br)):
            mask = tile_mask(a, b, N, M, Br, Bc)
            if causal and not mask.any():
                continue
            rows = slice(a * Br, a * Br + Br)
            S = torch.einsum("...id,...jd->...ij", q[..., rows, :], K)
            if causal:
                S = torch.where(mask, S, -math.inf)
            part = torch.logsumexp(S, -1)
            joined = torch.logaddexp(L[..., rows], part)
            base = torch.where(torch.isfinite(joined), joined, 0)
            O[..., rows, :] *= (L[..., rows] - base).exp()[..., None]
            O[..., rows, :] += torch.einsum("...ij,...jd->...id", (S - base[..., None]).exp(), V)
            L[..., rows] = joined
    return O, L


def flash2_forward(q, k, v, Br, Bc, causal=False):
    """In base 2, one head after another, the sum kept as one more column of the values."""
    N, d, M, shape = q.shape[-2], q.shape[-1], k.shape[-2], q.shape
    q, k, v = (x.reshape(-1, *x.shape[-2:]) for x in (q, k, v))
    O, L = [], []
    for head in range(q.shape[0]):
        for start in range(0, N, Br):
            Q = q[head, start:start + Br] * (math.log2(math.e) / math.sqrt(d))
            acc = torch.zeros(len(Q), d + 1, dtype=Q.dtype)
            m = torch.full((len(Q), 1), -math.inf, dtype=Q.dtype)
            for first in range(0, M, Bc):
                if causal and first > start + len(Q) - 1 + M - N:
                    break
                K, V = k[head, first:first + Bc], v[head, first:first + Bc]
                S = torch.matmul(Q, K.transpose(0, 1))
                if causal:
                    i = torch.arange(start, start + len(Q)).unsqueeze(1) + M - N
                    S[torch.arange(first, first + len(K)).expand_as(S) > i] = -math.inf
                new = torch.max(m, S.max(dim=1, keepdim=True).values)
                shift = torch.nan_to_num(new, neginf=0.0)
                P = torch.exp2(S - shift)
                acc = acc * torch.exp2(m - shift)
                acc = acc + torch.matmul(P, torch.cat([V, torch.ones(len(V), 1, dtype=V.dtype)], 1))
                m = new
            l = acc[:, -1:]
            O.append(torch.where(l > 0, acc[:, :-1] / l, 0))
            L.append(((m + l.log2()) * math.log(2)).squeeze(1))
    return torch.cat(O).reshape(shape), torch.cat(L).reshape(shape[:-1])


def flash_quiz():
    return dict(zip(("q1", "q2", "q3", "q4", "q5", "q6"), "BDACBD", strict=True))

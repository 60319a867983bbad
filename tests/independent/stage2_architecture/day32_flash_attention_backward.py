"""Day 32 a second time: einsum, base-2 exponentials, one head at a time, transposed tiles, counted lists."""

import math
from itertools import product

import torch

from ladder.triton import tl, triton


def working(x):
    return x.double() if x.dtype == torch.float64 else x.float()


def attention_delta(dO, O):
    return torch.einsum("...c,...c->...", working(dO), working(O))


def recompute_p(q, k, L, diagonal=None):
    q, k, L = map(working, (q, k, L))
    S = torch.einsum("...ad,...bd->...ab", q * q.shape[-1] ** -0.5, k)
    a, b = torch.arange(S.shape[-2])[:, None], torch.arange(S.shape[-1])
    shown = torch.isfinite(L)[..., None] & torch.ones_like(S, dtype=torch.bool)
    if diagonal is not None:
        shown = shown & (b - a <= diagonal)
    exponent = torch.where(shown, S - L[..., None], torch.zeros(()).to(S))
    return torch.exp2(exponent * math.log2(math.e)) * shown


def one_head(dO, q, k, v, O, L, Br, Bc, causal):
    N, M, d = len(q), len(k), q.shape[1]
    starts = list(range(0, N, Br))
    dq = [torch.zeros(min(Br, N - i), d, dtype=working(q).dtype) for i in starts]
    dks, dvs = [], []
    for j in reversed(range(0, M, Bc)):
        kj, vj = working(k[j:j + Bc]), working(v[j:j + Bc])
        dk, dv = torch.zeros_like(kj), torch.zeros_like(vj)
        for n, i in enumerate(starts):
            last = min(i + Br, N) - 1
            if causal and last + M - N < j:
                continue
            qi, doi, oi = (working(x[i:i + Br]) for x in (q, dO, O))
            P = recompute_p(qi, kj, L[i:i + Br], i - j + M - N if causal else None)
            dP = doi @ vj.T
            dS = (P * dP - P * attention_delta(doi, oi)[:, None]) * d ** -0.5
            dv = torch.addmm(dv, P.T, doi)
            dk = torch.addmm(dk, dS.T, qi)
            dq[n] = dq[n] + dS @ kj
        dks.insert(0, dk)
        dvs.insert(0, dv)
    return torch.cat(dq).to(q.dtype), torch.cat(dks).to(k.dtype), torch.cat(dvs).to(v.dtype)


def flash_backward(dO, q, k, v, O, L, Br, Bc, causal=False):
    lead = q.shape[:-2]
    results = [torch.empty_like(x) for x in (q, k, v)]
    for head in product(*map(range, lead)):
        for out, made in zip(results, one_head(*(x[head] for x in (dO, q, k, v, O, L)), Br, Bc, causal), strict=True):
            out[head] = made
    return results


def backward_flops(N, M, d, recompute):
    products = [(M, N, d), (N, d, M), (N, M, d), (M, N, d)] + [(N, d, M)] * recompute
    return sum(2 * a * b * c for a, b, c in products)


def kept_bytes(N, M, d, recompute, itemsize=2):
    return sum([N * d * itemsize, N * 4]) if recompute else N * M * itemsize


def backward_bytes_std(N, M, d, itemsize=2):
    NM, Nd, Md = N * M, N * d, M * d
    kernels = [(NM, Nd, Md), (Nd, Md, NM), (NM, NM, NM), (NM, Md, Nd), (NM, Nd, Md)]
    return sum(map(sum, kernels)) * itemsize


def backward_bytes_flash(N, M, d, Bc, itemsize=2):
    moved = 0
    for _ in range(N):
        moved += 2 * d * itemsize + 4 + 4 * d          # O, dO; delta; a row of zeros
        moved += (4 + itemsize) * d                    # the sum becomes dQ
    for j in range(0, M, Bc):
        moved += 4 * min(Bc, M - j) * d * itemsize     # K, V, dK, dV
        moved += N * (2 * d * itemsize + 2 * 4 + 2 * 4 * d)
    return moved


@triton.jit
def delta_kernel(
    o_ptr, do_ptr, delta_ptr, n_rows, stride_o_row, stride_do_row,
    HEAD_DIM: tl.constexpr, BLOCK_ROWS: tl.constexpr, BLOCK_DIM: tl.constexpr,
):
    first = tl.program_id(0).to(tl.int64) * BLOCK_ROWS
    r = tl.arange(0, BLOCK_ROWS)
    c = tl.arange(0, BLOCK_DIM)[:, None]
    live = (first + r < n_rows)[None, :] & (c < HEAD_DIM)
    o_ptrs = o_ptr + first * stride_o_row + r[None, :].to(tl.int64) * stride_o_row + c
    do_ptrs = do_ptr + first * stride_do_row + r[None, :].to(tl.int64) * stride_do_row + c
    product_ = tl.load(do_ptrs, live, other=0).to(tl.float32) * tl.load(o_ptrs, live, other=0).to(tl.float32)
    tl.store(delta_ptr + first + r, tl.sum(tl.where(live, product_, 0.0), 0), mask=first + r < n_rows)


def order_quiz():
    return dict(zip(("q1", "q2", "q3", "q4", "q5", "q6"), "bcdacb", strict=True))


def v1_blanks():
    return {f"b{i}": c for i, c in enumerate("GCKAMEIB", start=1)}


def v2_quiz():
    return {f"q{i + 1}": c for i, c in enumerate("dacbadbc")}

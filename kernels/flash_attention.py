"""Exact attention that never stores the scores: FlashAttention-2, forward and backward.

    s_ij = scale · q_i · k_j,   L_i = log Σ_j exp s_ij,   o_i = Σ_j exp(s_ij − L_i) v_j,

over all keys j, or with ``causal`` over j ≤ i + (M − N) for N queries and M keys (aligned bottom-right).
With p_ij = exp(s_ij − L_i), Δ_i = dO_i · o_i − dL_i and ds_ij = p_ij (dO_i · v_j − Δ_i):

    dv_j = Σ_i p_ij dO_i,   dq_i = scale Σ_j ds_ij k_j,   dk_j = scale Σ_i ds_ij q_i.

Follows Dao (arXiv 2307.08691): algorithm 1, with the output divided once at the end, and algorithm 2,
except that dq has a kernel of its own over blocks of queries instead of atomic additions, so that every
run gives the same bits; the price is that s and dO·v are computed twice (14 instead of 10 flops below).
Exponentials are powers of two, log2 e being part of the scale. Leaves out dropout, bias and other masks,
sliding windows, variable lengths within a batch, and the asynchrony of FlashAttention-3.

Cost for each query head, e bytes a number: the forward pass takes 4·N·M·d flops, half of that when causal
with N = M, as tiles that no query sees are not read; it reads q once and all of k, v once for each block of
queries, which the L2 cache serves mostly, and writes N·(d·e + 4) bytes. Backward: 14·N·M·d flops. From
device memory each takes O((N + M)·d·e) bytes, so hundreds of flops a byte: tensor cores and exponentials
are the limit. Keys and values of a group of query heads are read, not copied.
"""

import math

import torch
import triton
import triton.language as tl
from ladder.kernels.rows import architecture
from torch.autograd.function import once_differentiable

LOG2_E = 1.4426950408889634


@triton.jit
def load_tile(ptr, row, stride_row, rows, HEAD_DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, EVEN: tl.constexpr):
    """The rows ``row`` of a matrix of ``rows`` rows, zero beyond it; ``EVEN`` says that none is beyond."""
    dim = tl.arange(0, BLOCK_DIM)
    ptrs = ptr + row.to(tl.int64)[:, None] * stride_row + dim[None, :]
    if EVEN and HEAD_DIM == BLOCK_DIM:
        tile = tl.load(ptrs)
    elif EVEN:
        tile = tl.load(ptrs, mask=(dim < HEAD_DIM)[None, :], other=0.0)
    else:
        tile = tl.load(ptrs, mask=(row < rows)[:, None] & (dim < HEAD_DIM)[None, :], other=0.0)
    return tile


@triton.jit
def store_tile(ptr, tile, row, stride_row, rows, HEAD_DIM: tl.constexpr, BLOCK_DIM: tl.constexpr):
    """Write ``tile`` to the rows ``row`` of a matrix of ``rows`` rows."""
    dim = tl.arange(0, BLOCK_DIM)
    tl.store(ptr + row.to(tl.int64)[:, None] * stride_row + dim[None, :], tile.to(ptr.dtype.element_ty),
             mask=(row < rows)[:, None] & (dim < HEAD_DIM)[None, :])


@triton.jit
def key_range(first_query, queries, keys, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr):
    """``(full, end)``: all queries of a block see all of keys 0 ... full − 1, and none sees key ``end`` or later."""
    end = keys
    full = keys // BLOCK_N * BLOCK_N
    if CAUSAL:
        shift = keys - queries
        last_query = tl.minimum(first_query + BLOCK_M, queries) - 1
        end = tl.minimum(tl.maximum(last_query + shift + 1, 0), keys)
        full = tl.minimum(tl.maximum(first_query + shift + 1, 0) // BLOCK_N * BLOCK_N, full)
    return full, end


@triton.jit
def attend(
    acc, total, highest, q, k_ptr, v_ptr, start, stride_k, stride_v, row, scale_log2, queries, keys,
    HEAD_DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_N: tl.constexpr,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr,
):
    """One step of the running softmax: the tile of keys from ``start`` on joins ``acc``, ``total``, ``highest``."""
    key = start + tl.arange(0, BLOCK_N)
    k = load_tile(k_ptr, key, stride_k, keys, HEAD_DIM, BLOCK_DIM, not MASKED)   # (N, D)
    v = load_tile(v_ptr, key, stride_v, keys, HEAD_DIM, BLOCK_DIM, not MASKED)
    scores = tl.dot(q, tl.trans(k))                                              # (M, N)
    if MASKED:
        seen = (key < keys)[None, :]
        if CAUSAL:
            seen = seen & (key[None, :] <= row[:, None] + (keys - queries))
        scores = tl.where(seen, scores, float("-inf"))
    new = tl.maximum(highest, tl.max(scores, axis=1) * scale_log2)
    base = new
    if MASKED:
        base = tl.where(new == float("-inf"), 0.0, new)                          # a row that sees nothing yet
    weight = tl.exp2(scores * scale_log2 - base[:, None])
    shrink = tl.exp2(highest - base)
    acc = tl.dot(weight.to(v.dtype), v, acc * shrink[:, None])
    total = total * shrink + tl.sum(weight, axis=1)
    return acc, total, new


@triton.jit
def flash_forward_kernel(
    q_ptr, k_ptr, v_ptr, out_ptr, lse_ptr, scale_log2, queries, keys,
    stride_q_batch, stride_q_head, stride_q_row, stride_k_batch, stride_k_head, stride_k_row,
    stride_v_batch, stride_v_head, stride_v_row, stride_o_batch, stride_o_head, stride_o_row,
    GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK_DIM: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr, EVEN_QUERIES: tl.constexpr,
):
    """Program (i, h, b): the i-th block of queries from the end, of head h of sequence b; the longest go first."""
    first = (tl.num_programs(0) - 1 - tl.program_id(0)) * BLOCK_M
    head, batch = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    kv_head = head // GROUP
    q_ptr += batch * stride_q_batch + head * stride_q_head
    k_ptr += batch * stride_k_batch + kv_head * stride_k_head
    v_ptr += batch * stride_v_batch + kv_head * stride_v_head
    out_ptr += batch * stride_o_batch + head * stride_o_head
    lse_ptr += (batch * tl.num_programs(1) + head) * queries

    row = first + tl.arange(0, BLOCK_M)
    q = load_tile(q_ptr, row, stride_q_row, queries, HEAD_DIM, BLOCK_DIM, EVEN_QUERIES)
    highest = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_M,), tl.float32)
    acc = tl.zeros((BLOCK_M, BLOCK_DIM), tl.float32)
    full, end = key_range(first, queries, keys, BLOCK_M, BLOCK_N, CAUSAL)
    for start in range(0, full, BLOCK_N):
        acc, total, highest = attend(
            acc, total, highest, q, k_ptr, v_ptr, start, stride_k_row, stride_v_row, row, scale_log2,
            queries, keys, HEAD_DIM, BLOCK_DIM, BLOCK_N, CAUSAL, False)
    for start in range(full, end, BLOCK_N):
        acc, total, highest = attend(
            acc, total, highest, q, k_ptr, v_ptr, start, stride_k_row, stride_v_row, row, scale_log2,
            queries, keys, HEAD_DIM, BLOCK_DIM, BLOCK_N, CAUSAL, True)

    empty = total == 0.0                                                         # saw no key: o = 0, L = −inf
    total = tl.where(empty, 1.0, total)
    lse = tl.where(empty, float("-inf"), (highest + tl.log2(total)) * 0.6931471805599453)
    store_tile(out_ptr, acc / total[:, None], row, stride_o_row, queries, HEAD_DIM, BLOCK_DIM)
    tl.store(lse_ptr + row, lse, mask=row < queries)


@triton.jit
def delta_kernel(
    out_ptr, d_out_ptr, d_lse_ptr, delta_ptr, queries,
    stride_o_batch, stride_o_head, stride_o_row, stride_g_batch, stride_g_head, stride_g_row,
    HEAD_DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_M: tl.constexpr,
):
    """Program (i, h, b): delta of the i-th block of queries of head h of sequence b."""
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    head, batch = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    line = (batch * tl.num_programs(1) + head) * queries + row                   # int64
    out = load_tile(out_ptr + batch * stride_o_batch + head * stride_o_head, row, stride_o_row, queries,
                    HEAD_DIM, BLOCK_DIM, False)
    d_out = load_tile(d_out_ptr + batch * stride_g_batch + head * stride_g_head, row, stride_g_row, queries,
                      HEAD_DIM, BLOCK_DIM, False)
    delta = tl.sum(out.to(tl.float32) * d_out.to(tl.float32), axis=1)
    if d_lse_ptr is not None:
        delta -= tl.load(d_lse_ptr + line, mask=row < queries, other=0.0)
    tl.store(delta_ptr + line, delta, mask=row < queries)


@triton.jit
def gather_keys(
    dk, dv, k, v, q_ptr, g_ptr, lse_ptr, delta_ptr, start, stride_q, stride_g, key, scale_log2, queries, keys,
    HEAD_DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_M: tl.constexpr,
    DIAGONAL: tl.constexpr, EVEN_QUERIES: tl.constexpr,
):
    """What the queries from ``start`` on add to ``dk`` and ``dv``; scores stand transposed, (keys, queries)."""
    row = start + tl.arange(0, BLOCK_M)
    q = load_tile(q_ptr, row, stride_q, queries, HEAD_DIM, BLOCK_DIM, EVEN_QUERIES)    # (M, D)
    lse = tl.load(lse_ptr + row, mask=row < queries, other=float("inf"))
    base = tl.where(lse == float("-inf"), float("inf"), lse * 1.4426950408889634)
    weight = tl.exp2(tl.dot(k, tl.trans(q)) * scale_log2 - base[None, :])              # (N, M)
    if DIAGONAL:
        weight = tl.where(key[:, None] <= row[None, :] + (keys - queries), weight, 0.0)
    d_out = load_tile(g_ptr, row, stride_g, queries, HEAD_DIM, BLOCK_DIM, EVEN_QUERIES)
    dv = tl.dot(weight.to(d_out.dtype), d_out, dv)
    delta = tl.load(delta_ptr + row, mask=row < queries, other=0.0)
    d_scores = weight * (tl.dot(v, tl.trans(d_out)) - delta[None, :])
    dk = tl.dot(d_scores.to(q.dtype), q, dk)
    return dk, dv


@triton.jit
def flash_keys_kernel(
    q_ptr, k_ptr, v_ptr, g_ptr, lse_ptr, delta_ptr, dk_ptr, dv_ptr, scale, scale_log2, queries, keys,
    stride_q_batch, stride_q_head, stride_q_row, stride_k_batch, stride_k_head, stride_k_row,
    stride_v_batch, stride_v_head, stride_v_row, stride_g_batch, stride_g_head, stride_g_row,
    stride_dk_batch, stride_dk_head, stride_dk_row, stride_dv_batch, stride_dv_head, stride_dv_row,
    GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr, EVEN_QUERIES: tl.constexpr, EVEN_KEYS: tl.constexpr,
):
    """Program (i, j, b): dk and dv of the i-th block of keys of key-value head j of sequence b."""
    first = tl.program_id(0) * BLOCK_N
    kv_head, batch = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    heads = tl.num_programs(1) * GROUP
    key = first + tl.arange(0, BLOCK_N)
    k = load_tile(k_ptr + batch * stride_k_batch + kv_head * stride_k_head, key, stride_k_row, keys,
                  HEAD_DIM, BLOCK_DIM, EVEN_KEYS)
    v = load_tile(v_ptr + batch * stride_v_batch + kv_head * stride_v_head, key, stride_v_row, keys,
                  HEAD_DIM, BLOCK_DIM, EVEN_KEYS)
    dk = tl.zeros((BLOCK_N, BLOCK_DIM), tl.float32)
    dv = tl.zeros((BLOCK_N, BLOCK_DIM), tl.float32)
    begin, clear = 0, 0                             # the first block of queries to see a key; to see all keys
    if CAUSAL:
        shift = keys - queries
        begin = tl.maximum(first - shift, 0) // BLOCK_M * BLOCK_M
        clear = tl.cdiv(tl.maximum(first + BLOCK_N - 1 - shift, 0), BLOCK_M) * BLOCK_M
        clear = tl.minimum(clear, tl.cdiv(queries, BLOCK_M) * BLOCK_M)
    head = kv_head * GROUP
    q_ptr += batch * stride_q_batch + head * stride_q_head
    g_ptr += batch * stride_g_batch + head * stride_g_head
    line = (batch * heads + head) * queries
    blocks = (clear - begin) // BLOCK_M             # of each head of the group
    if CAUSAL:
        for step in range(0, GROUP * blocks):
            member = (step // blocks).to(tl.int64)
            dk, dv = gather_keys(
                dk, dv, k, v, q_ptr + member * stride_q_head, g_ptr + member * stride_g_head,
                lse_ptr + line + member * queries, delta_ptr + line + member * queries,
                begin + step % blocks * BLOCK_M, stride_q_row, stride_g_row, key, scale_log2, queries, keys,
                HEAD_DIM, BLOCK_DIM, BLOCK_M, True, EVEN_QUERIES)
    blocks = tl.cdiv(queries, BLOCK_M) - clear // BLOCK_M
    for step in range(0, GROUP * blocks):
        member = (step // blocks).to(tl.int64)
        dk, dv = gather_keys(
            dk, dv, k, v, q_ptr + member * stride_q_head, g_ptr + member * stride_g_head,
            lse_ptr + line + member * queries, delta_ptr + line + member * queries,
            clear + step % blocks * BLOCK_M, stride_q_row, stride_g_row, key, scale_log2, queries, keys,
            HEAD_DIM, BLOCK_DIM, BLOCK_M, False, EVEN_QUERIES)
    store_tile(dk_ptr + batch * stride_dk_batch + kv_head * stride_dk_head, dk * scale, key, stride_dk_row, keys,
               HEAD_DIM, BLOCK_DIM)
    store_tile(dv_ptr + batch * stride_dv_batch + kv_head * stride_dv_head, dv, key, stride_dv_row, keys,
               HEAD_DIM, BLOCK_DIM)


@triton.jit
def gather_queries(
    dq, q, d_out, base, delta, k_ptr, v_ptr, start, stride_k, stride_v, row, scale_log2, queries, keys,
    HEAD_DIM: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_N: tl.constexpr,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr,
):
    """What the keys from ``start`` on add to ``dq``."""
    key = start + tl.arange(0, BLOCK_N)
    k = load_tile(k_ptr, key, stride_k, keys, HEAD_DIM, BLOCK_DIM, not MASKED)
    v = load_tile(v_ptr, key, stride_v, keys, HEAD_DIM, BLOCK_DIM, not MASKED)
    weight = tl.exp2(tl.dot(q, tl.trans(k)) * scale_log2 - base[:, None])
    if MASKED:
        seen = (key < keys)[None, :]
        if CAUSAL:
            seen = seen & (key[None, :] <= row[:, None] + (keys - queries))
        weight = tl.where(seen, weight, 0.0)
    d_scores = weight * (tl.dot(d_out, tl.trans(v)) - delta[:, None])
    return tl.dot(d_scores.to(k.dtype), k, dq)


@triton.jit
def flash_queries_kernel(
    q_ptr, k_ptr, v_ptr, g_ptr, lse_ptr, delta_ptr, dq_ptr, scale, scale_log2, queries, keys,
    stride_q_batch, stride_q_head, stride_q_row, stride_k_batch, stride_k_head, stride_k_row,
    stride_v_batch, stride_v_head, stride_v_row, stride_g_batch, stride_g_head, stride_g_row,
    stride_dq_batch, stride_dq_head, stride_dq_row,
    GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK_DIM: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr, EVEN_QUERIES: tl.constexpr,
):
    """Program (i, h, b): dq of the i-th block of queries from the end, of head h of sequence b."""
    first = (tl.num_programs(0) - 1 - tl.program_id(0)) * BLOCK_M
    head, batch = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    kv_head = head // GROUP
    k_ptr += batch * stride_k_batch + kv_head * stride_k_head
    v_ptr += batch * stride_v_batch + kv_head * stride_v_head
    line = (batch * tl.num_programs(1) + head) * queries
    row = first + tl.arange(0, BLOCK_M)
    q = load_tile(q_ptr + batch * stride_q_batch + head * stride_q_head, row, stride_q_row, queries,
                  HEAD_DIM, BLOCK_DIM, EVEN_QUERIES)
    d_out = load_tile(g_ptr + batch * stride_g_batch + head * stride_g_head, row, stride_g_row, queries,
                      HEAD_DIM, BLOCK_DIM, EVEN_QUERIES)
    lse = tl.load(lse_ptr + line + row, mask=row < queries, other=float("inf"))
    base = tl.where(lse == float("-inf"), float("inf"), lse * 1.4426950408889634)
    delta = tl.load(delta_ptr + line + row, mask=row < queries, other=0.0)
    dq = tl.zeros((BLOCK_M, BLOCK_DIM), tl.float32)
    full, end = key_range(first, queries, keys, BLOCK_M, BLOCK_N, CAUSAL)
    for start in range(0, full, BLOCK_N):
        dq = gather_queries(dq, q, d_out, base, delta, k_ptr, v_ptr, start, stride_k_row, stride_v_row, row,
                            scale_log2, queries, keys, HEAD_DIM, BLOCK_DIM, BLOCK_N, CAUSAL, False)
    for start in range(full, end, BLOCK_N):
        dq = gather_queries(dq, q, d_out, base, delta, k_ptr, v_ptr, start, stride_k_row, stride_v_row, row,
                            scale_log2, queries, keys, HEAD_DIM, BLOCK_DIM, BLOCK_N, CAUSAL, True)
    store_tile(dq_ptr + batch * stride_dq_batch + head * stride_dq_head, dq * scale, row, stride_dq_row, queries,
               HEAD_DIM, BLOCK_DIM)


# The block that stays, the block that passes by, warps, stages: by architecture (0: no GPU, interpreted), then the
# largest padded head dimension that a row is for. Chosen so that nothing spills; speed was not measured yet.
FORWARD = {
    0: {256: (32, 16, 4, 1)},
    80: {64: (128, 64, 4, 3), 128: (128, 64, 8, 3), 256: (64, 32, 8, 2)},
    86: {64: (128, 64, 4, 2), 128: (64, 32, 4, 2), 256: (32, 32, 4, 1)},
    90: {64: (128, 128, 8, 3), 128: (128, 128, 8, 2), 256: (128, 64, 8, 2)},
    100: {64: (128, 128, 8, 3), 128: (128, 128, 8, 2), 256: (128, 32, 8, 2)},
    120: {64: (128, 64, 4, 2), 128: (64, 32, 4, 2), 256: (32, 32, 4, 1)},
}
KEYS = {
    0: {256: (32, 16, 4, 1)},
    80: {64: (64, 32, 4, 3), 128: (64, 32, 4, 2), 256: (32, 32, 4, 1)},
    86: {64: (64, 32, 4, 2), 128: (32, 32, 4, 2), 256: (32, 16, 4, 1)},
    90: {64: (128, 64, 8, 2), 128: (128, 32, 8, 2), 256: (32, 32, 8, 1)},
    100: {64: (128, 64, 8, 2), 128: (128, 64, 8, 2), 256: (64, 32, 8, 1)},
    120: {64: (64, 32, 4, 2), 128: (32, 32, 4, 2), 256: (32, 16, 4, 1)},
}
QUERIES = {
    0: {256: (32, 16, 4, 1)},
    80: {64: (64, 64, 4, 2), 128: (64, 32, 4, 2), 256: (32, 32, 4, 1)},
    86: {64: (64, 32, 4, 2), 128: (32, 32, 4, 2), 256: (32, 16, 4, 1)},
    90: {64: (128, 64, 8, 2), 128: (128, 64, 8, 2), 256: (64, 32, 8, 2)},
    100: {64: (128, 64, 8, 2), 128: (128, 64, 8, 2), 256: (64, 32, 8, 1)},
    120: {64: (64, 32, 4, 2), 128: (32, 32, 4, 2), 256: (32, 16, 4, 1)},
}
FLOAT32 = {64: (64, 32, 4, 2), 128: (32, 32, 8, 2), 256: (16, 16, 4, 1)}  # TF32: every pass on every GPU


def configuration(table, dim, dtype, capability):
    """The row of ``table`` for the newest architecture that is not newer than ``capability``."""
    rows = table[max((arch for arch in table if arch <= capability), default=0)]
    if dtype == torch.float32 and capability:
        rows = FLOAT32
    return next(row for largest, row in rows.items() if dim <= largest)


def _padded(dim):
    return max(16, triton.next_power_of_2(dim))


def flash_forward(q, k, v, causal, scale, capability=None, kernel=flash_forward_kernel):
    """``(o, lse)``: o like q, lse (B, Hq, N) in float32, natural logarithm."""
    batch, heads, queries, dim = q.shape
    capability = architecture(q) if capability is None else capability
    block_m, block_n, warps, stages = configuration(FORWARD, _padded(dim), q.dtype, capability)
    out = torch.empty((batch, heads, queries, dim), dtype=q.dtype, device=q.device)
    lse = torch.empty((batch, heads, queries), dtype=torch.float32, device=q.device)
    kernel[triton.cdiv(queries, block_m), heads, batch](
        q, k, v, out, lse, scale * LOG2_E, queries, k.shape[2],
        *q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *out.stride()[:3],
        GROUP=heads // k.shape[1], HEAD_DIM=dim, BLOCK_DIM=_padded(dim), BLOCK_M=block_m, BLOCK_N=block_n,
        CAUSAL=causal, EVEN_QUERIES=queries % block_m == 0, num_warps=warps, num_stages=stages,
    )
    return out, lse


def flash_backward(
    q, k, v, out, lse, d_out, d_lse, causal, scale, capability=None,
    delta_of=delta_kernel, keys_kernel=flash_keys_kernel, queries_kernel=flash_queries_kernel,
):
    """``(dq, dk, dv)``; ``d_lse`` is the gradient of lse or None."""
    batch, heads, queries, dim = q.shape
    kv_heads, keys = k.shape[1:3]
    capability = architecture(q) if capability is None else capability
    common = {"GROUP": heads // kv_heads, "HEAD_DIM": dim, "BLOCK_DIM": _padded(dim), "CAUSAL": causal}
    delta = torch.empty_like(lse)
    delta_of[triton.cdiv(queries, 32), heads, batch](
        out, d_out, d_lse, delta, queries, *out.stride()[:3], *d_out.stride()[:3],
        HEAD_DIM=dim, BLOCK_DIM=_padded(dim), BLOCK_M=32, num_warps=4)
    dq, dk, dv = (torch.empty(t.shape, dtype=t.dtype, device=t.device) for t in (q, k, v))
    given = (*q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *d_out.stride()[:3])
    numbers = (scale, scale * LOG2_E, queries, keys)
    block_n, block_m, warps, stages = configuration(KEYS, _padded(dim), q.dtype, capability)
    keys_kernel[triton.cdiv(keys, block_n), kv_heads, batch](
        q, k, v, d_out, lse, delta, dk, dv, *numbers, *given, *dk.stride()[:3], *dv.stride()[:3], **common,
        BLOCK_M=block_m, BLOCK_N=block_n, EVEN_QUERIES=queries % block_m == 0, EVEN_KEYS=keys % block_n == 0,
        num_warps=warps, num_stages=stages)
    block_m, block_n, warps, stages = configuration(QUERIES, _padded(dim), q.dtype, capability)
    queries_kernel[triton.cdiv(queries, block_m), heads, batch](
        q, k, v, d_out, lse, delta, dq, *numbers, *given, *dq.stride()[:3], **common,
        BLOCK_M=block_m, BLOCK_N=block_n, EVEN_QUERIES=queries % block_m == 0, num_warps=warps, num_stages=stages)
    return dq, dk, dv


class FlashAttention(torch.autograd.Function):
    """``(o, lse)`` of ``(q, k, v, causal, scale)``; keeps o and lse for the backward pass, not the scores."""

    @staticmethod
    def forward(ctx, q, k, v, causal, scale):
        q, k, v = (t if t.stride(-1) == 1 else t.contiguous() for t in (q, k, v))
        out, lse = flash_forward(q, k, v, causal, scale)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.causal, ctx.scale = causal, scale
        ctx.set_materialize_grads(False)
        return out, lse

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out, d_lse):
        q, k, v, out, lse = ctx.saved_tensors
        if d_out is None:
            d_out = torch.zeros_like(out)
        d_out = d_out if d_out.stride(-1) == 1 else d_out.contiguous()
        d_lse = d_lse if d_lse is None else d_lse.contiguous()
        return *flash_backward(q, k, v, out, lse, d_out, d_lse, ctx.causal, ctx.scale), None, None


def flash_attention(q, k, v, causal=False, scale=None):
    """Attention of q (B, Hq, N, d) over k, v (B, Hkv, M, d), differentiable; returns (B, Hq, N, d).

    Query head h uses key-value head h // (Hq / Hkv). ``causal``: query i sees the keys j ≤ i + (M − N).
    ``scale`` is 1/√d unless given. d is 16 to 256; float16, bfloat16, or float32, which is multiplied in
    TF32. A query that sees no key gives 0.
    """
    return flash_attention_with_lse(q, k, v, causal, scale)[0]


def flash_attention_with_lse(q, k, v, causal=False, scale=None):
    """``(o, lse)``: :func:`flash_attention`, and the log-sum-exp of each row's scaled scores (B, Hq, N), float32.

    Both are differentiable. A query that sees no key gives −inf.
    """
    _validate(q, k, v)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else float(scale)
    if not 0 < scale < math.inf:
        raise ValueError(f"scale must be a positive number, not {scale}")
    return FlashAttention.apply(q, k, v, bool(causal), scale)


def _validate(q, k, v):
    if any(t.dim() != 4 for t in (q, k, v)) or k.shape != v.shape:
        raise ValueError("q must be (B, Hq, N, d), k and v both (B, Hkv, M, d), not "
                         f"{tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}")
    if q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3]:
        raise ValueError(f"q {tuple(q.shape)} and k {tuple(k.shape)} must agree in batch and head dimension")
    if 0 in q.shape or 0 in k.shape:
        raise ValueError(f"nothing may be empty: q {tuple(q.shape)}, k {tuple(k.shape)}")
    if q.shape[1] % k.shape[1]:
        raise ValueError(f"{k.shape[1]} key-value heads do not divide {q.shape[1]} query heads")
    if not 16 <= q.shape[3] <= 256:
        raise ValueError(f"the head dimension must be 16 to 256, not {q.shape[3]}")
    if q.dtype not in (torch.float16, torch.bfloat16, torch.float32) or {q.dtype, k.dtype, v.dtype} != {q.dtype}:
        raise ValueError(f"q, k, v must have one dtype, float16, bfloat16 or float32, not {q.dtype}, {k.dtype}, "
                         f"{v.dtype}")
    if not q.device == k.device == v.device:
        raise ValueError(f"q, k, v must be on one device, not {q.device}, {k.device}, {v.device}")

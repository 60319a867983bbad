"""A second implementation of Day 105: one masked loop, natural exponentials, k loaded transposed, other idioms."""

import json
import math

import numpy as np
import torch
import triton
import triton.language as tl


@triton.jit
def online_update(acc, total, highest, scores, v):
    tile_max = tl.max(scores, 1)
    bigger = tl.where(tile_max > highest, tile_max, highest)
    p = tl.where(scores == -float("inf"), 0.0, tl.exp((scores - bigger[:, None]) * 0.6931471805599453))
    old = tl.where(highest == -float("inf"), 0.0, tl.exp((highest - bigger) * 0.6931471805599453))
    acc *= old[:, None]
    acc += tl.dot(p.to(v.dtype), v)
    return acc, old * total + tl.sum(p, 1), bigger


@triton.jit
def key_bounds(first, n_queries, n_keys, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr):
    seen_by_first = n_keys
    seen_by_last = n_keys
    if CAUSAL:
        seen_by_first = min(max(n_keys - n_queries + first + 1, 0), n_keys)
        last = min(n_queries - 1, first + BLOCK_M - 1)
        seen_by_last = max(n_keys - n_queries + last + 1, 0)
    return seen_by_first - seen_by_first % BLOCK_N, seen_by_last


@triton.jit
def flash_attn_kernel(
    q_ptr, k_ptr, v_ptr, out_ptr, lse_ptr, scale, n_queries, n_keys,
    stride_q_head, stride_q_row, stride_k_head, stride_k_row,
    stride_v_head, stride_v_row, stride_o_head, stride_o_row,
    HEAD_DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr,
):
    i, h = tl.program_id(0), tl.program_id(1)
    rows = i * BLOCK_M + tl.arange(0, BLOCK_M)
    d = tl.arange(0, HEAD_DIM)
    q = tl.load(q_ptr + h * stride_q_head + rows[:, None] * stride_q_row + d[None, :], rows[:, None] < n_queries, 0.0)
    m = tl.full([BLOCK_M], -float("inf"), tl.float32)
    s = tl.zeros([BLOCK_M], tl.float32)
    o = tl.zeros([BLOCK_M, HEAD_DIM], tl.float32)
    last = n_keys
    if CAUSAL:
        last = max(0, min((i + 1) * BLOCK_M, n_queries) + n_keys - n_queries)
    for j in range(tl.cdiv(last, BLOCK_N)):
        keys = j * BLOCK_N + tl.arange(0, BLOCK_N)
        kt = tl.load(k_ptr + h * stride_k_head + keys[None, :] * stride_k_row + d[:, None], keys[None, :] < n_keys, 0.0)
        x = tl.dot(q, kt) * scale
        visible = keys[None, :] < n_keys
        if CAUSAL:
            visible = visible & (keys[None, :] - rows[:, None] <= n_keys - n_queries)
        x = tl.where(visible, x, -float("inf"))
        new = tl.maximum(m, tl.max(x, 1))
        safe = tl.where(new == -float("inf"), 0.0, new)
        p = tl.exp(x - safe[:, None])
        a = tl.exp(m - safe)
        v = tl.load(v_ptr + h * stride_v_head + keys[:, None] * stride_v_row + d[None, :], keys[:, None] < n_keys, 0.0)
        o = tl.dot(p.to(q.dtype), v, o * a[:, None])
        s = s * a + tl.sum(p, 1)
        m = new
    o = tl.where(s[:, None] > 0, o / s[:, None], 0.0)
    tl.store(out_ptr + h * stride_o_head + rows[:, None] * stride_o_row + d[None, :], o.to(q.dtype),
             rows[:, None] < n_queries)
    tl.store(lse_ptr + h * n_queries + rows, tl.where(s > 0, m + tl.log(s), -float("inf")), rows < n_queries)


@triton.jit
def flash_bwd_kv_kernel(
    q_ptr, k_ptr, v_ptr, g_ptr, lse_ptr, delta_ptr, dk_ptr, dv_ptr, scale, n_queries, n_keys,
    HEAD_DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr,
):
    keys = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    h = tl.program_id(1)
    d = tl.arange(0, HEAD_DIM)
    at = h * n_keys * HEAD_DIM + keys[:, None] * HEAD_DIM + d[None, :]
    live = (keys < n_keys)[:, None]
    k, v = tl.load(k_ptr + at, live, 0.0), tl.load(v_ptr + at, live, 0.0)
    dk = tl.zeros([BLOCK_N, HEAD_DIM], tl.float32)
    dv = tl.zeros([BLOCK_N, HEAD_DIM], tl.float32)
    for i in range(tl.cdiv(n_queries, BLOCK_M)):
        rows = i * BLOCK_M + tl.arange(0, BLOCK_M)
        needed = True
        if CAUSAL:
            needed = (i + 1) * BLOCK_M - 1 + n_keys - n_queries >= tl.program_id(0) * BLOCK_N
        if needed:
            here = (rows < n_queries)[:, None]
            there = h * n_queries * HEAD_DIM + rows[:, None] * HEAD_DIM + d[None, :]
            q, g = tl.load(q_ptr + there, here, 0.0), tl.load(g_ptr + there, here, 0.0)
            lse = tl.load(lse_ptr + h * n_queries + rows, rows < n_queries, 0.0)
            delta = tl.load(delta_ptr + h * n_queries + rows, rows < n_queries, 0.0)
            p = tl.exp(tl.dot(q, tl.trans(k)) * scale - lse[:, None])
            if CAUSAL:
                p = tl.where(keys[None, :] - rows[:, None] <= n_keys - n_queries, p, 0.0)
            dv += tl.dot(tl.trans(p).to(g.dtype), g)
            ds = p * (tl.dot(g, tl.trans(v)) - delta[:, None]) * scale
            dk += tl.dot(tl.trans(ds).to(q.dtype), q)
    tl.store(dk_ptr + at, dk.to(q_ptr.dtype.element_ty), live)
    tl.store(dv_ptr + at, dv.to(q_ptr.dtype.element_ty), live)


@triton.jit
def flash_bwd_q_kernel(
    q_ptr, k_ptr, v_ptr, g_ptr, lse_ptr, delta_ptr, dq_ptr, scale, n_queries, n_keys,
    HEAD_DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr,
):
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    h = tl.program_id(1)
    d = tl.arange(0, HEAD_DIM)
    here = rows < n_queries
    at = h * n_queries * HEAD_DIM + rows[:, None] * HEAD_DIM + d[None, :]
    q, g = tl.load(q_ptr + at, here[:, None], 0.0), tl.load(g_ptr + at, here[:, None], 0.0)
    lse = tl.load(lse_ptr + h * n_queries + rows, here, 0.0)
    delta = tl.load(delta_ptr + h * n_queries + rows, here, 0.0)
    dq = tl.zeros([BLOCK_M, HEAD_DIM], tl.float32)
    last = n_keys
    if CAUSAL:
        last = min((tl.program_id(0) + 1) * BLOCK_M, n_queries) + n_keys - n_queries
    for j in range(tl.cdiv(last, BLOCK_N)):
        keys = j * BLOCK_N + tl.arange(0, BLOCK_N)
        there = h * n_keys * HEAD_DIM + keys[:, None] * HEAD_DIM + d[None, :]
        k = tl.load(k_ptr + there, (keys < n_keys)[:, None], 0.0)
        v = tl.load(v_ptr + there, (keys < n_keys)[:, None], 0.0)
        x = tl.dot(q, tl.trans(k)) * scale
        x = tl.where(keys[None, :] < n_keys, x, -float("inf"))
        if CAUSAL:
            x = tl.where(keys[None, :] - rows[:, None] > n_keys - n_queries, -float("inf"), x)
        ds = tl.exp(x - lse[:, None]) * (tl.dot(g, tl.trans(v)) - delta[:, None]) * scale
        dq += tl.dot(ds.to(q.dtype), k)
    tl.store(dq_ptr + at, dq.to(q.dtype), here[:, None])


def relative_error(ours, right):
    if tuple(ours.shape) != tuple(right.shape):
        raise ValueError("shapes")
    a, b = (t.detach().cpu().double().numpy().ravel() for t in (ours, right))
    keep = ~(np.isinf(a) & (a == b))
    a, b = a[keep], b[keep]
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.inf
    scale = math.sqrt(float((b * b).sum()))
    gap = math.sqrt(float(((a - b) ** 2).sum()))
    return gap if scale == 0 else gap / scale


def parity(attention, twin, cases, tolerance, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for case in cases:
        n, m, d, causal = case
        q, k, v = (torch.from_numpy(rng.standard_normal((2, r, d)).astype("float32")) for r in (n, m, m))
        right, right_lse = twin(q.clone(), k.clone(), v.clone(), causal)
        out, lse = attention(q, k, v, causal)
        error = max(relative_error(out, right), relative_error(lse, right_lse))
        rows.append(dict(case=case, error=error, ok=not error > tolerance))
    return rows


def parity_cases():
    return [(33, 65, 32, False), (33, 65, 16, True), (100, 60, 64, True)]


def benchmark(attention, baseline, shapes, timer, gpu, path=None):
    results = dict(schema="flash-benchmark/1", gpu=gpu, checked=bool(gpu), note="", baseline=baseline.__name__,
                   versions=dict(torch=str(torch.__version__), triton=str(triton.__version__)), rows=[])
    if not gpu:
        results["note"] = "not checked: needs a GPU"
    for s in shapes:
        error = ours = theirs = None
        if gpu:
            where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            size = s["batch"], s["heads"]
            dtype = getattr(torch, s["dtype"])
            q = torch.randn(*size, s["queries"], s["head_dim"]).to(where, dtype)
            k, v = torch.randn(2, *size, s["keys"], s["head_dim"]).to(where, dtype)
            error = relative_error(attention(q, k, v, s["causal"]), baseline(q, k, v, s["causal"]))
            if not error <= 0.02:
                raise RuntimeError("wrong")
            ours = float(np.median(timer(lambda: attention(q, k, v, s["causal"]))))
            theirs = float(np.median(timer(lambda: baseline(q, k, v, s["causal"]))))
        results["rows"].append(dict(s) | dict(error=error, ours_ms=ours, baseline_ms=theirs,
                                              speedup=theirs / ours if gpu else None))
    if path:
        with open(path, "w") as file:
            json.dump(results, file)
    return results


def readme_table(results):
    first = "GPU: " + results["gpu"] if results["checked"] else results["note"]
    first += f" · torch {results['versions']['torch']} · triton {results['versions']['triton']}"
    text = first + f" · baseline: {results['baseline']}\n\n"
    text += "| batch | heads | queries | keys | head_dim | causal | dtype | ours_ms | baseline_ms | speedup |\n"
    text += "|---|---|---|---|---|---|---|---|---|---|"
    for r in results["rows"]:
        text += "\n| {batch} | {heads} | {queries} | {keys} | {head_dim} |".format(**r)
        text += f" {'yes' if r['causal'] else 'no'} | {r['dtype']} |"
        text += " {:.3f} | {:.3f} | {:.2f} |".format(r["ours_ms"], r["baseline_ms"], r["speedup"]) if results["checked"] else " – | – | – |"
    return text


def resume_line(results):
    rows = sorted(results["rows"], key=lambda r: -r["queries"] * r["keys"])
    r = rows[0]
    sizes = f"queries {r['queries']}, keys {r['keys']}, head_dim {r['head_dim']}, {'causal ' * r['causal']}{r['dtype']}"
    if not results["checked"]:
        return f"FlashAttention-2 in Triton ({sizes}); verified in an interpreter and not benchmarked."
    gain = round(100 * (r["speedup"] - 1))
    word = "faster" if r["speedup"] >= 1 else "slower"
    return f"{results['gpu']}: my Triton FlashAttention-2 is {abs(gain)}% {word} than {results['baseline']}; {sizes}."

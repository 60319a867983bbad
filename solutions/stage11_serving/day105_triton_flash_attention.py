"""Day 105: a FlashAttention kernel in Triton, proved equal to Day 29, measured, and claimed honestly.

The forward pass follows Dao (arXiv 2307.08691), algorithm 1; the backward pass algorithm 2, with a kernel of
its own for dq instead of atomic additions. Leaves out what ``kernels/flash_attention.py`` has: grouped heads,
head dimensions that are no power of two, a configuration for each GPU.
"""

import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import triton
import triton.language as tl


@triton.jit
def online_update(acc, total, highest, scores, v):
    """One step of the running softmax in base 2: returns ``(acc, total, highest)`` with one more tile of keys.

    ``scores`` (M, N) float32: t_ij = log2(e) · s_ij, −inf where query i does not see key j. ``v`` (N, D): the
    tile's values. Over all tiles so far, for each query i,

        highest_i = max_j t_ij,   total_i = Σ_j 2^(t_ij − highest_i),   acc_i = Σ_j 2^(t_ij − highest_i) v_j,

    float32 of shapes (M,), (M,), (M, D); before the first tile they are −inf, 0, 0, and so they stay for a query
    that has seen no key (no NaN). The weights are converted to the type of ``v`` and multiplied with ``tl.dot``.
    """
    new = tl.maximum(highest, tl.max(scores, axis=1))
    base = tl.where(new == float("-inf"), 0.0, new)
    weight = tl.exp2(scores - base[:, None])
    shrink = tl.exp2(highest - base)
    acc = tl.dot(weight.to(v.dtype), v, acc * shrink[:, None])
    return acc, total * shrink + tl.sum(weight, axis=1), new


@triton.jit
def key_bounds(first, n_queries, n_keys, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr):
    """Which keys the queries ``first`` ... ``first`` + BLOCK_M − 1 need: ``(full, end)``, two whole numbers.

    With ``CAUSAL`` query i sees the keys j ≤ i + (n_keys − n_queries), else all n_keys. ``end``: how many keys
    the last of these queries sees, where queries from ``n_queries`` on do not count. ``full``: the largest
    multiple of BLOCK_N such that each of these queries sees all keys below it: tiles that need no mask.
    0 ≤ full ≤ end ≤ n_keys; ``first`` < ``n_queries``; a query may see nothing.
    """
    full, end = n_keys // BLOCK_N * BLOCK_N, n_keys
    if CAUSAL:
        shift = n_keys - n_queries
        end = tl.maximum(tl.minimum(first + BLOCK_M, n_queries) + shift, 0)
        full = tl.minimum(tl.maximum(first + 1 + shift, 0) // BLOCK_N * BLOCK_N, full)
    return full, end


@triton.jit
def flash_attn_kernel(
    q_ptr, k_ptr, v_ptr, out_ptr, lse_ptr, scale, n_queries, n_keys,
    stride_q_head, stride_q_row, stride_k_head, stride_k_row,
    stride_v_head, stride_v_row, stride_o_head, stride_o_row,
    HEAD_DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr,
):
    """Program (i, h): the queries i · BLOCK_M ... of head h; writes their rows of out and lse.

    q, out (H, n_queries, HEAD_DIM); k, v (H, n_keys, HEAD_DIM): float16, bfloat16 or float32, the last axis
    contiguous. lse (H, n_queries): float32, contiguous. With s_ij = scale · q_i · k_j over the keys that query i
    sees (``CAUSAL``: j ≤ i + n_keys − n_queries):

        lse_i = ln Σ_j exp s_ij,   out_i = Σ_j exp(s_ij − lse_i) v_j,

    and lse_i = −inf, out_i = 0 for a query that sees no key. HEAD_DIM is a power of two from 16 on; n_queries
    and n_keys are any numbers from 1 on. Tiles (BLOCK_M, BLOCK_N) of scores that no query of the block sees are
    neither loaded nor multiplied. Both products are ``tl.dot`` of tiles in the type of q, added up in float32.
    """
    first = tl.program_id(0) * BLOCK_M
    head = tl.program_id(1).to(tl.int64)
    row, dim = first + tl.arange(0, BLOCK_M), tl.arange(0, HEAD_DIM)
    inside = row < n_queries
    q = tl.load(q_ptr + head * stride_q_head + row.to(tl.int64)[:, None] * stride_q_row + dim[None, :],
                mask=inside[:, None], other=0.0)
    highest = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_M,), tl.float32)
    acc = tl.zeros((BLOCK_M, HEAD_DIM), tl.float32)
    factor = scale * 1.4426950408889634
    full, end = key_bounds(first, n_queries, n_keys, BLOCK_M, BLOCK_N, CAUSAL)
    k_tile = k_ptr + head * stride_k_head + dim[None, :]
    v_tile = v_ptr + head * stride_v_head + dim[None, :]
    for start in range(0, full, BLOCK_N):
        key = (start + tl.arange(0, BLOCK_N)).to(tl.int64)
        k = tl.load(k_tile + key[:, None] * stride_k_row)
        v = tl.load(v_tile + key[:, None] * stride_v_row)
        acc, total, highest = online_update(acc, total, highest, tl.dot(q, tl.trans(k)) * factor, v)
    for start in range(full, end, BLOCK_N):
        key = (start + tl.arange(0, BLOCK_N)).to(tl.int64)
        k = tl.load(k_tile + key[:, None] * stride_k_row, mask=key[:, None] < n_keys, other=0.0)
        v = tl.load(v_tile + key[:, None] * stride_v_row, mask=key[:, None] < n_keys, other=0.0)
        seen = key[None, :] < n_keys
        if CAUSAL:
            seen = seen & (key[None, :] <= row[:, None] + (n_keys - n_queries))
        scores = tl.where(seen, tl.dot(q, tl.trans(k)) * factor, float("-inf"))
        acc, total, highest = online_update(acc, total, highest, scores, v)
    out = acc / tl.where(total == 0.0, 1.0, total)[:, None]
    tl.store(out_ptr + head * stride_o_head + row.to(tl.int64)[:, None] * stride_o_row + dim[None, :],
             out.to(out_ptr.dtype.element_ty), mask=inside[:, None])
    lse = (highest + tl.log2(total)) * 0.6931471805599453
    tl.store(lse_ptr + head * n_queries + row, lse, mask=inside)


@triton.jit
def flash_bwd_kv_kernel(
    q_ptr, k_ptr, v_ptr, g_ptr, lse_ptr, delta_ptr, dk_ptr, dv_ptr, scale, n_queries, n_keys,
    HEAD_DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr,
):
    """Program (j, h): the keys j · BLOCK_N ... of head h; writes their rows of dk and dv, with plain stores.

    q and g = ∂loss/∂out (H, n_queries, HEAD_DIM); k, v, dk, dv (H, n_keys, HEAD_DIM), one floating type; lse and
    delta (H, n_queries) float32, delta_i = g_i · out_i. All contiguous. Every query sees a key. With
    p_ij = exp(s_ij − lse_i) where query i sees key j, else 0, and ds_ij = p_ij (g_i · v_j − delta_i):

        dv_j = Σ_i p_ij g_i,   dk_j = scale · Σ_i ds_ij q_i.

    Sizes and ``CAUSAL`` as for ``flash_attn_kernel``. Blocks of queries that see none of the keys are skipped.
    """
    first = tl.program_id(0) * BLOCK_N
    head = tl.program_id(1).to(tl.int64)
    key, dim = first + tl.arange(0, BLOCK_N), tl.arange(0, HEAD_DIM)
    at_key = (head * n_keys + key)[:, None] * HEAD_DIM + dim[None, :]
    k = tl.load(k_ptr + at_key, mask=key[:, None] < n_keys, other=0.0)
    v = tl.load(v_ptr + at_key, mask=key[:, None] < n_keys, other=0.0)
    dk = tl.zeros((BLOCK_N, HEAD_DIM), tl.float32)
    dv = tl.zeros((BLOCK_N, HEAD_DIM), tl.float32)
    begin = 0
    if CAUSAL:
        begin = tl.maximum(first - (n_keys - n_queries), 0) // BLOCK_M * BLOCK_M
    for start in range(begin, n_queries, BLOCK_M):
        row = start + tl.arange(0, BLOCK_M)
        at_row = (head * n_queries + row)[:, None] * HEAD_DIM + dim[None, :]
        q = tl.load(q_ptr + at_row, mask=row[:, None] < n_queries, other=0.0)
        g = tl.load(g_ptr + at_row, mask=row[:, None] < n_queries, other=0.0)
        lse = tl.load(lse_ptr + head * n_queries + row, mask=row < n_queries, other=0.0)
        delta = tl.load(delta_ptr + head * n_queries + row, mask=row < n_queries, other=0.0)
        weight = tl.exp2((tl.dot(k, tl.trans(q)) * scale - lse[None, :]) * 1.4426950408889634)   # (N, M)
        if CAUSAL:
            weight = tl.where(key[:, None] <= row[None, :] + (n_keys - n_queries), weight, 0.0)
        dv = tl.dot(weight.to(g.dtype), g, dv)
        d_scores = weight * (tl.dot(v, tl.trans(g)) - delta[None, :])
        dk = tl.dot(d_scores.to(q.dtype), q, dk)
    tl.store(dk_ptr + at_key, (dk * scale).to(k.dtype), mask=key[:, None] < n_keys)
    tl.store(dv_ptr + at_key, dv.to(v.dtype), mask=key[:, None] < n_keys)


@triton.jit
def flash_bwd_q_kernel(
    q_ptr, k_ptr, v_ptr, g_ptr, lse_ptr, delta_ptr, dq_ptr, scale, n_queries, n_keys,
    HEAD_DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr,
):
    """Program (i, h): the queries i · BLOCK_M ... of head h; writes their rows of dq.

    Everything as for ``flash_bwd_kv_kernel``; dq is like q: dq_i = scale · Σ_j ds_ij k_j. Tiles that no query of
    the block sees are skipped.
    """
    first = tl.program_id(0) * BLOCK_M
    head = tl.program_id(1).to(tl.int64)
    row, dim = first + tl.arange(0, BLOCK_M), tl.arange(0, HEAD_DIM)
    at_row = (head * n_queries + row)[:, None] * HEAD_DIM + dim[None, :]
    q = tl.load(q_ptr + at_row, mask=row[:, None] < n_queries, other=0.0)
    g = tl.load(g_ptr + at_row, mask=row[:, None] < n_queries, other=0.0)
    lse = tl.load(lse_ptr + head * n_queries + row, mask=row < n_queries, other=0.0)
    delta = tl.load(delta_ptr + head * n_queries + row, mask=row < n_queries, other=0.0)
    dq = tl.zeros((BLOCK_M, HEAD_DIM), tl.float32)
    _, end = key_bounds(first, n_queries, n_keys, BLOCK_M, BLOCK_N, CAUSAL)
    for start in range(0, end, BLOCK_N):
        key = start + tl.arange(0, BLOCK_N)
        at_key = (head * n_keys + key)[:, None] * HEAD_DIM + dim[None, :]
        k = tl.load(k_ptr + at_key, mask=key[:, None] < n_keys, other=0.0)
        v = tl.load(v_ptr + at_key, mask=key[:, None] < n_keys, other=0.0)
        weight = tl.exp2((tl.dot(q, tl.trans(k)) * scale - lse[:, None]) * 1.4426950408889634)
        seen = key[None, :] < n_keys
        if CAUSAL:
            seen = seen & (key[None, :] <= row[:, None] + (n_keys - n_queries))
        d_scores = tl.where(seen, weight, 0.0) * (tl.dot(g, tl.trans(v)) - delta[:, None])
        dq = tl.dot(d_scores.to(k.dtype), k, dq)
    tl.store(dq_ptr + at_row, (dq * scale).to(q.dtype), mask=row[:, None] < n_queries)


def relative_error(ours: torch.Tensor, right: torch.Tensor) -> float:
    """‖ours − right‖ / ‖right‖ over all entries, computed in float64.

    Entries where both hold the same infinity count as equal and are left out of both norms. inf where ``ours``
    holds NaN, or an infinity that ``right`` does not hold in that place; with ‖right‖ = 0, ‖ours − right‖ itself.
    ValueError where the shapes differ. ``right`` holds no NaN.
    """
    if ours.shape != right.shape:
        raise ValueError(f"shapes {tuple(ours.shape)} and {tuple(right.shape)} differ")
    ours, right = ours.double(), right.double()
    same = ours.isinf() & (ours == right)
    ours, right = ours[~same], right[~same]
    if not ours.isfinite().all() or not right.isfinite().all():
        return float("inf")
    gap, norm = (ours - right).norm().item(), right.norm().item()
    return gap / norm if norm else gap


def parity(
    attention: Callable, twin: Callable, cases: list[tuple[int, int, int, bool]], tolerance: float, seed: int = 0
) -> list[dict[str, Any]]:
    """Compare two attentions on each case ``(n_queries, n_keys, head_dim, causal)``.

    Both are called as ``f(q, k, v, causal)`` and return ``(out, lse)``. Each case draws q (2, n_queries,
    head_dim), k and v (2, n_keys, head_dim) anew from the standard normal distribution, in float32, by ``seed``.
    The attention gets copies of its own, which it may spoil. One dict a case, in order: ``"case"``, the tuple;
    ``"error"``, the larger ``relative_error`` of out and lse to the twin's; ``"ok"``, whether it is at most ``tolerance``.
    """
    found = []
    for case in cases:
        n, m, d, causal = case
        generator = torch.Generator().manual_seed(seed)
        q, k, v = (torch.randn(2, rows, d, generator=generator) for rows in (n, m, m))
        ours = attention(q.clone(), k.clone(), v.clone(), causal)
        error = max(relative_error(mine, good) for mine, good in zip(ours, twin(q, k, v, causal), strict=True))
        found.append({"case": case, "error": error, "ok": error <= tolerance})
    return found


def parity_cases() -> list[tuple[int, int, int, bool]]:
    """At most six cases ``(n_queries, n_keys, head_dim, causal)`` on which no faulty kernel gets through.

    Sizes are 1 to 160, head_dim is 16, 32 or 64; the kernel's blocks are 32 by 32. Some fault must show on some
    case, whichever of these the kernel has: keys beyond n_keys count as zeros; queries in the last, ragged block
    are not written; the running sums are not shrunk when the maximum grows; the causal mask is aligned top-left
    (j ≤ i), or hides key j = i + n_keys − n_queries too, or is missing; the scale is 1/√64 whatever head_dim is;
    a query that sees no key gives NaN; the lse is left in base 2.
    """
    return [(40, 77, 16, False), (45, 77, 32, True), (77, 45, 16, True)]


def benchmark(
    attention: Callable, baseline: Callable, shapes: list[dict[str, Any]], timer: Callable, gpu: str | None,
    path: Path | None = None,
) -> dict[str, Any]:
    """Time two attentions on each shape; return the results, and write them to ``path`` as JSON, if given.

    ``shapes``: dicts with ``batch``, ``heads``, ``queries``, ``keys``, ``head_dim``, ``causal`` and ``dtype``, a
    name such as "float16". Both functions are called as ``f(q, k, v, causal)`` with normal numbers of shape
    (batch, heads, queries or keys, head_dim), on the GPU where torch has one, and return (batch, heads, queries,
    head_dim). ``timer(call)`` gives the milliseconds of repeated calls of ``call()``; the median counts. ``gpu``:
    the GPU's name, or None where there is none; then nothing is called and nothing is timed.

    {"schema": "flash-benchmark/1", "gpu": gpu, "checked": whether there is a GPU,
     "note": "" or "not checked: needs a GPU", "baseline": the ``__name__`` of the baseline,
     "versions": {"torch": ..., "triton": ...} as the modules' ``__version__``,
     "rows": one dict for each shape, in order: the shape's entries and "error" (``relative_error`` of the
             attention's output to the baseline's), "ours_ms", "baseline_ms" and "speedup" = baseline_ms / ours_ms}

    Without a GPU the last four are None. RuntimeError, and no file, where an error exceeds 0.02: no wrong kernel is timed.
    """
    rows = []
    for shape in shapes:
        row = {**shape, "error": None, "ours_ms": None, "baseline_ms": None, "speedup": None}
        if gpu is not None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
            q, k, v = (torch.randn(shape["batch"], shape["heads"], shape[name], shape["head_dim"], device=device)
                       .to(getattr(torch, shape["dtype"])) for name in ("queries", "keys", "keys"))
            calls = [partial(f, q, k, v, shape["causal"]) for f in (attention, baseline)]
            row["error"] = relative_error(calls[0](), calls[1]())
            if row["error"] > 0.02:
                raise RuntimeError(f"wrong on {shape}: relative error {row['error']:.2g}")
            row["ours_ms"], row["baseline_ms"] = (statistics.median(timer(call)) for call in calls)
            row["speedup"] = row["baseline_ms"] / row["ours_ms"]
        rows.append(row)
    results = {
        "schema": "flash-benchmark/1", "gpu": gpu, "checked": gpu is not None,
        "note": "" if gpu is not None else "not checked: needs a GPU", "baseline": baseline.__name__,
        "versions": {"torch": str(torch.__version__), "triton": str(triton.__version__)}, "rows": rows,
    }
    if path is not None:
        Path(path).write_text(json.dumps(results, indent=2), encoding="utf-8")
    return results


def readme_table(results: dict[str, Any]) -> str:
    """The benchmark as Markdown for the README: lines joined by newlines, no newline at the end.

    First "GPU: <gpu> · torch <version> · triton <version> · baseline: <baseline>", or, where nothing was
    checked, the results' note in place of "GPU: <gpu>". Then an empty line, the header
    "| batch | heads | queries | keys | head_dim | causal | dtype | ours_ms | baseline_ms | speedup |", the line
    "|---|---|---|---|---|---|---|---|---|---|", and one line for each row, slow ones too, in order, in the
    header's form: causal as yes or no, milliseconds with 3 decimals, speedup with 2, and – for what is None.
    """
    columns = ("batch", "heads", "queries", "keys", "head_dim", "causal", "dtype", "ours_ms", "baseline_ms", "speedup")
    digits = {"ours_ms": ".3f", "baseline_ms": ".3f", "speedup": ".2f"}

    def cell(row: dict, name: str) -> str:
        if row[name] is None:
            return "–"
        return ("no", "yes")[row[name]] if name == "causal" else format(row[name], digits.get(name, ""))

    where = f"GPU: {results['gpu']}" if results["checked"] else results["note"]
    versions = results["versions"]
    lines = [f"{where} · torch {versions['torch']} · triton {versions['triton']} · baseline: {results['baseline']}",
             "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join(cell(row, name) for name in columns)} |" for row in results["rows"]]
    return "\n".join(lines)


def resume_line(results: dict[str, Any]) -> str:
    """One line for a resume, with nothing in it that ``results`` does not back; the given ``lint_claim`` finds no fault.

    At most 240 characters, no line break. It speaks of one row: the one with the most query-key pairs
    (queries · keys), the first of several. Where checked, it names the row's queries, keys, head_dim, dtype, the
    word causal if it is, the GPU and the baseline, and says "x% faster" or, below a speedup of 1, "x% slower", x the
    whole number nearest to 100 · |speedup − 1|. Where not checked it has no %, and says "not benchmarked".
    """
    row = max(results["rows"], key=lambda row: row["queries"] * row["keys"])
    what = (f"{row['queries']} queries x {row['keys']} keys, head_dim {row['head_dim']}, {row['dtype']}"
            + (", causal" if row["causal"] else ""))
    if not results["checked"]:
        return f"Wrote a Triton FlashAttention kernel ({what}), checked by a strict interpreter, not benchmarked"
    percent = 100 * (row["speedup"] - 1)
    return (f"Wrote a Triton FlashAttention kernel, {abs(percent):.0f}% {'faster' if percent >= 0 else 'slower'} than "
            f"{results['baseline']} on {results['gpu']} ({what})")

"""Checks of Day 105: a FlashAttention kernel, its proof of parity, its benchmark, and what is claimed of it.

The launchers, the probes and the lint of claims stand here: graded runs see no solutions, and the lesson uses them too.
"""

import json
import math
import re
import tempfile
from functools import cache
from pathlib import Path

import torch

from ladder.checks import at_least, at_most, check, close, exactly, raises, say
from ladder.kernel_judge.bridge import KERNEL, compiled, moved, report, strict
from ladder.triton import tl, triton


def launch_forward(q, k, v, causal=False, block_m=16, block_n=16, *, kernel, **options):
    """``(out, lse)`` of ``kernel`` as ``flash_attn_kernel``, for q (H, N, d), k and v (H, M, d)."""
    heads, n, d = q.shape
    out = torch.empty((heads, n, d), dtype=q.dtype, device=q.device)
    lse = torch.empty((heads, n), dtype=torch.float32, device=q.device)
    kernel[triton.cdiv(n, block_m), heads](
        q, k, v, out, lse, d**-0.5, n, k.shape[1],
        q.stride(0), q.stride(1), k.stride(0), k.stride(1), v.stride(0), v.stride(1), out.stride(0), out.stride(1),
        HEAD_DIM=d, BLOCK_M=block_m, BLOCK_N=block_n, CAUSAL=causal, **options)
    return out, lse


def launch_kv(q, k, v, g, lse, delta, causal=False, block_m=16, block_n=16, *, kernel):
    """``(dk, dv)`` of ``kernel`` as ``flash_bwd_kv_kernel``."""
    dk, dv = torch.empty_like(k), torch.empty_like(v)
    kernel[triton.cdiv(k.shape[1], block_n), k.shape[0]](
        q, k, v, g, lse, delta, dk, dv, q.shape[2]**-0.5, q.shape[1], k.shape[1],
        HEAD_DIM=q.shape[2], BLOCK_M=block_m, BLOCK_N=block_n, CAUSAL=causal)
    return dk, dv


def launch_q(q, k, v, g, lse, delta, causal=False, block_m=16, block_n=16, *, kernel):
    """dq of ``kernel`` as ``flash_bwd_q_kernel``."""
    dq = torch.empty_like(q)
    kernel[triton.cdiv(q.shape[1], block_m), q.shape[0]](
        q, k, v, g, lse, delta, dq, q.shape[2]**-0.5, q.shape[1], k.shape[1],
        HEAD_DIM=q.shape[2], BLOCK_M=block_m, BLOCK_N=block_n, CAUSAL=causal)
    return dq


@triton.jit
def update_probe_kernel(
    scores_ptr, v_ptr, acc_ptr, total_ptr, highest_ptr, n_keys,
    M: tl.constexpr, N: tl.constexpr, D: tl.constexpr, update: tl.constexpr,
):
    """One program: ``update`` over all tiles of a (M, n_keys) block of scores."""
    row, dim = tl.arange(0, M), tl.arange(0, D)
    acc, total = tl.zeros((M, D), tl.float32), tl.zeros((M,), tl.float32)
    highest = tl.full((M,), float("-inf"), tl.float32)
    for start in range(0, n_keys, N):
        key = start + tl.arange(0, N)
        scores = tl.load(scores_ptr + row[:, None] * n_keys + key[None, :])
        acc, total, highest = update(acc, total, highest, scores, tl.load(v_ptr + key[:, None] * D + dim[None, :]))
    tl.store(acc_ptr + row[:, None] * D + dim[None, :], acc)
    tl.store(total_ptr + row, total)
    tl.store(highest_ptr + row, highest)


@triton.jit
def bounds_probe_kernel(
    out_ptr, n_queries, n_keys, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, CAUSAL: tl.constexpr,
    bounds: tl.constexpr,
):
    """Program i: what ``bounds`` says of the i-th block of queries."""
    block = tl.program_id(0)
    full, end = bounds(block * BLOCK_M, n_queries, n_keys, BLOCK_M, BLOCK_N, CAUSAL)
    tl.store(out_ptr + 2 * block, full)
    tl.store(out_ptr + 2 * block + 1, end)


def jitted(function):
    """``function``, which a kernel is to call; called here, and so failing here, where it is no ``@triton.jit`` function."""
    if not hasattr(function, "arg_names"):
        function()
    return function


def probe_update(scores, v, tile, *, update):
    """``(acc, total, highest)`` after all tiles of ``tile`` keys."""
    rows, keys = scores.shape
    acc, total, highest = (torch.empty(shape) for shape in ((rows, v.shape[1]), (rows,), (rows,)))
    update_probe_kernel[1,](scores, v, acc, total, highest, keys, M=rows, N=tile, D=v.shape[1], update=jitted(update))
    return acc, total, highest


def probe_bounds(n_queries, n_keys, block_m, block_n, causal, *, bounds):
    """``(full, end)`` of each block of queries, a row a block."""
    out = torch.empty((triton.cdiv(n_queries, block_m), 2), dtype=torch.int32)
    bounds_probe_kernel[len(out),](out, n_queries, n_keys, BLOCK_M=block_m, BLOCK_N=block_n, CAUSAL=causal, bounds=jitted(bounds))
    return out


def normal(rng, *shape, dtype=torch.float16):
    return torch.from_numpy(rng.normal(size=shape)).to(dtype)


def honest(launcher, *args, **kwargs):
    """The report of a strict run without findings; raises the first finding."""
    found = report(launcher, *args, **kwargs)
    found.raise_first()
    return found


def plain_attention(q, k, v, causal=False, scale=None, shift=None):
    """``(out, lse)`` by the whole matrix of scores, in float64: what the kernels are compared with."""
    q, k, v = (t.double() for t in (q, k, v))
    scores = q @ k.mT * (q.shape[-1]**-0.5 if scale is None else scale)
    if causal:
        shift = k.shape[-2] - q.shape[-2] if shift is None else shift
        hidden = torch.arange(k.shape[-2]) > torch.arange(q.shape[-2])[:, None] + shift
        scores = scores.masked_fill(hidden, -math.inf)
    lse = scores.logsumexp(-1)
    return (scores - lse.nan_to_num(neginf=0.0)[..., None]).exp() @ v, lse


# ------------------------------------------------------------------------- the forward pass


@check(forbids=(KERNEL,))
def check_online_update(online_update, rng):
    """One tile joins the running softmax."""
    scores, v = normal(rng, 16, 32, dtype=torch.float32) * 3, normal(rng, 32, 16)
    late = scores * 100 + 5000
    late[:, 16:] += 12.0
    hidden = scores.clone()
    hidden[:5, :16] = hidden[9:, 16:] = hidden[7] = -math.inf
    for en, zh, given, keys in (
        ("one tile of 16 keys", "一个 16 个键的分块", scores, 16),
        ("two tiles, scores near 5000", "两个分块，得分接近 5000", late, 32),
        ("tiles that some queries do not see; query 7 sees nothing", "有些查询看不到某些分块；查询 7 什么都看不到", hidden, 32),
    ):
        run = cache(lambda given=given, keys=keys: strict(
            probe_update, given[:, :keys].contiguous(), v[:keys].contiguous(), 16, update=online_update))
        yield say(f"{en}: highest", f"{zh}：highest"), lambda: run()[2]
        yield say(f"{en}: total", f"{zh}：total"), lambda: run()[1]
        yield say(f"{en}: acc", f"{zh}：acc"), lambda: run()[0], close(rtol=2e-2, atol=2e-2)


check_online_update.mistake(
    say("One tile is right, two are not: what are the old sums worth when the maximum has grown?",
        "一个分块是对的，两个就不对：最大值变大之后，旧的和应当怎样折算？"),
    within="online_update", replace={"acc * shrink[:, None]": "acc", "total * shrink": "total"},
)
check_online_update.mistake(
    say("A query that sees no key of a tile becomes NaN: what is −inf − (−inf)?", "看不到分块中任何键的查询变成了 NaN：−inf − (−inf) 是多少？"),
    within="online_update", replace={'tl.where(new == float("-inf"), 0.0, new)': "new"},
)
check_online_update.mistake(
    say("The scores are in base 2 already: which exponential belongs to them?", "得分已经以 2 为底：应当用哪个指数函数？"),
    within="online_update", replace={"tl.exp2(scores - base[:, None])": "tl.exp(scores - base[:, None])",
                                     "tl.exp2(highest - base)": "tl.exp(highest - base)"},
)


@check(forbids=(KERNEL,))
def check_key_bounds(key_bounds, rng):
    """Which tiles need no mask, and which are never touched."""
    for n, m, block_m, block_n, causal in (
        (20, 50, 16, 16, False), (64, 64, 32, 16, True), (64, 64, 16, 32, True), (40, 54, 16, 16, True),
        (50, 30, 16, 16, True),
    ):
        yield (say(f"{n} queries, {m} keys, blocks {block_m} x {block_n}{', causal' * causal}: [full, end] of each block",
                   f"{n} 个查询，{m} 个键，分块 {block_m} x {block_n}{'，因果' * causal}：各块的 [full, end]"),
               lambda: strict(probe_bounds, n, m, block_m, block_n, causal, bounds=key_bounds), exactly())


check_key_bounds.mistake(
    say("Right while there are as many queries as keys. Which key is the last that the LAST query sees?",
        "查询数与键数相等时是对的。**最后**一个查询能看到的最后一个键是哪个？"),
    within="key_bounds", replace={"shift = n_keys - n_queries": "shift = 0 * n_keys"},
)
check_key_bounds.mistake(
    say("A tile on the diagonal is called full: all queries of the block must see it, the first one too.",
        "对角线上的分块被当成了完全可见：块内所有查询都必须看得到它，包括第一个。"),
    within="key_bounds", replace={"tl.maximum(first + 1 + shift, 0)": "tl.maximum(first + BLOCK_M + shift, 0)"},
)
check_key_bounds.mistake(
    say("The last block of queries goes beyond n_queries; those queries do not exist and see nothing.",
        "最后一块查询超出了 n_queries；那些查询不存在，什么也看不到。"),
    within="key_bounds", replace={"tl.minimum(first + BLOCK_M, n_queries)": "first + BLOCK_M"},
)


@check(forbids=(KERNEL,))
def check_flash_forward(flash_attn_kernel, rng):
    """Out and lse without a causal mask: whole tiles first, then ragged ones."""
    for n, m, d, heads, dtype, en, zh in (
        (16, 16, 16, 1, torch.float16, "one tile", "一个分块"),
        (16, 32, 16, 1, torch.bfloat16, "two whole tiles, bfloat16", "两个完整的分块，bfloat16"),
        (17, 17, 32, 1, torch.float16, "ragged on both sides", "两边都不足一块"),
    ):
        q, k, v = normal(rng, heads, n, d, dtype=dtype), *normal(rng, 2, heads, m, d, dtype=dtype)
        yield (say(f"{n} queries, {m} keys ({en}): out and lse", f"{n} 个查询，{m} 个键（{zh}）：out 与 lse"),
               lambda: strict(launch_forward, q, k, v, kernel=flash_attn_kernel))
    q, k, v = (normal(rng, rows, 2, 16).transpose(0, 1) for rows in (9, 5, 5))
    yield (say("views: 2 heads side by side in memory", "视图：2 个头在内存中交错存放"),
           lambda: strict(launch_forward, q, k, v, kernel=flash_attn_kernel))


check_flash_forward.mistake(
    say("Only ragged sizes are wrong: what score has a key that does not exist?", "只有不足一块的大小才出错：不存在的键得分是多少？"),
    within="flash_attn_kernel", replace={"seen = key[None, :] < n_keys": "seen = key[None, :] >= 0"},
)
check_flash_forward.mistake(
    say("out is right, lse is not: in which base is it asked for?", "out 正确而 lse 不对：要求的是哪个底数？"),
    within="flash_attn_kernel", replace={" * 0.6931471805599453": ""},
)
check_flash_forward.mistake(
    say("Only the views are wrong: are k and v spaced as q is?", "只有视图出错：k、v 的间距与 q 相同吗？"),
    within="flash_attn_kernel", replace={"head * stride_k_head": "head * n_keys * HEAD_DIM",
                                         "head * stride_v_head": "head * n_keys * HEAD_DIM"},
)


@check(forbids=(KERNEL,))
def check_flash_causal(flash_attn_kernel, rng):
    """The causal mask, aligned bottom-right."""
    for n, m, heads in ((16, 16, 1), (17, 17, 1), (5, 21, 1), (22, 10, 1)):
        q, k, v = normal(rng, heads, n, 16), *normal(rng, 2, heads, m, 16)
        yield (say(f"causal, {n} queries, {m} keys: out and lse", f"因果，{n} 个查询，{m} 个键：out 与 lse"),
               lambda: strict(launch_forward, q, k, v, True, kernel=flash_attn_kernel))


check_flash_causal.mistake(
    say("Right for as many queries as keys. With more keys, the last query sees them all: the mask hangs in the lower "
        "right corner.", "查询数等于键数时正确。键更多时，最后一个查询应当看得到所有键：掩码靠右下角对齐。"),
    within="flash_attn_kernel", replace={"row[:, None] + (n_keys - n_queries)": "row[:, None]"},
)
check_flash_causal.mistake(
    say("Wrong even in the first tile: may query i see key i, where N = M?", "第一个分块就错了：N = M 时，查询 i 能看到键 i 吗？"),
    within="flash_attn_kernel", replace={"key[None, :] <= row[:, None]": "key[None, :] < row[:, None]"},
)
check_flash_causal.mistake(
    say("Only queries that see no key are wrong: what is 0 / 0, and what should they give?",
        "只有什么都看不到的查询出错：0 / 0 是多少？它们应当得到什么？"),
    within="flash_attn_kernel", replace={"tl.where(total == 0.0, 1.0, total)": "total"},
)


@check(forbids=(KERNEL,))
def check_flash_work(flash_attn_kernel, rng):
    """Tiles that nobody sees are neither multiplied nor loaded."""
    tile = 4 * 16 * 16 * 16  # FLOPs of both products of a tile
    for n, m, causal, tiles in ((32, 32, True, 3), (32, 16, True, 1)):
        q, k, v = normal(rng, 1, n, 16), *normal(rng, 2, 1, m, 16)
        found = cache(lambda q=q, k=k, v=v, causal=causal: moved(launch_forward, q, k, v, causal, kernel=flash_attn_kernel))
        en, zh = f"{n} queries, {m} keys{', causal' * causal}", f"{n} 个查询，{m} 个键{'，因果' * causal}"
        yield say(f"{en}: FLOPs of tl.dot, at least", f"{zh}：tl.dot 的 FLOPs，至少"), lambda: found()["dot_flops"], at_least(tiles * tile)
        yield say(f"{en}: FLOPs of tl.dot, at most", f"{zh}：tl.dot 的 FLOPs，至多"), lambda: found()["dot_flops"], at_most(tiles * tile)
        yield (say(f"{en}: bytes loaded, at most", f"{zh}：读取的字节数，至多"), lambda: found()["bytes_loaded"],
               at_most(n * 32 + tiles * 2 * 16 * 32))


check_flash_work.mistake(
    say("Half of the causal tiles are multiplied for nothing. Where does the loop over keys end?", "因果情形下一半的分块白算了。对键的循环到哪里为止？"),
    within="flash_attn_kernel", replace={"range(full, end, BLOCK_N)": "range(full, n_keys, BLOCK_N)"},
)
check_flash_work.mistake(
    say("tl.dot does too little of the work: a sum of products does not use tensor cores.", "tl.dot 做的工作太少：逐元素相乘再求和用不上张量核心。"),
    within="flash_attn_kernel", replace={
        "online_update(acc, total, highest, tl.dot(q, tl.trans(k)) * factor, v)": "online_update(acc, total, highest, "
        "tl.sum(q[:, None, :].to(tl.float32) * k[None, :, :].to(tl.float32), axis=2) * factor, v)"},
)
check_flash_work.mistake(
    say("The FLOPs are right, the bytes are not: what does the loop load that does not depend on the tile?",
        "FLOPs 正确，字节数不对：循环里读取了什么与分块无关的东西？"),
    within="flash_attn_kernel", replace={
        "    for start in range(full, end, BLOCK_N):\n": "    for start in range(full, end, BLOCK_N):\n"
        "        q = tl.load(q_ptr + head * stride_q_head + row[:, None] * stride_q_row + dim[None, :],\n"
        "                    mask=inside[:, None], other=0.0)\n"},
)


@check(forbids=(KERNEL,))
def check_flash_compiled(flash_attn_kernel, rng):
    """Compiled for sm_80: tensor cores, wide loads, asynchronous copies, no spills."""
    q, k, v = normal(rng, 3, 1, 64, 64)
    yield (say("compiled for an A100 (sm_80), float16, head_dim 64", "为 A100（sm_80）编译，float16，head_dim 64"), lambda: compiled(
        launch_forward, q, k, v, True, 64, 64, kernel=flash_attn_kernel, num_warps=4, num_stages=3, kind="attention",
        architectures=(80,)), exactly())


check_flash_compiled.mistake(
    say("No tensor cores: in which type and precision are the operands multiplied?", "没有用上张量核心：操作数以什么类型和精度相乘？"),
    within="flash_attn_kernel", replace={
        "highest, tl.dot(q, tl.trans(k)) * factor": 'highest, tl.dot(q.to(tl.float32), tl.trans(k).to(tl.float32), '
        'input_precision="ieee") * factor',
        "tl.where(seen, tl.dot(q, tl.trans(k)) * factor": 'tl.where(seen, tl.dot(q.to(tl.float32), '
        'tl.trans(k).to(tl.float32), input_precision="ieee") * factor'},
)
check_flash_compiled.mistake(
    say("The loads are narrow: can the compiler know that neighbouring lanes read neighbouring numbers?",
        "读取太窄：编译器能看出相邻的通道读取相邻的数吗？"),
    within="flash_attn_kernel", replace={"tl.arange(0, BLOCK_M), tl.arange(0, HEAD_DIM)":
                                         "tl.arange(0, BLOCK_M), tl.arange(0, HEAD_DIM) * 5 % HEAD_DIM"},
)
check_flash_compiled.mistake(
    say("No asynchronous copies: the compiler prefetches the tiles of `for ... in range`, not of `while`.",
        "没有异步拷贝：编译器只为 `for ... in range` 预取分块，不为 `while` 预取。"),
    within="flash_attn_kernel", replace={
        "    for start in range(0, full, BLOCK_N):\n": "    start = 0\n    while start < full:\n",
        "    for start in range(full, end, BLOCK_N):\n": "    start = full\n    while start < end:\n",
        "tl.dot(q, tl.trans(k)) * factor, v)\n": "tl.dot(q, tl.trans(k)) * factor, v)\n        start += BLOCK_N\n",
        "highest, scores, v)\n": "highest, scores, v)\n        start += BLOCK_N\n"},
)


# ------------------------------------------------------------------ the backward pass (optional)


def backward_case(rng, n, m, heads, causal, d=16):
    q, k, v, g = (normal(rng, heads, rows, d) for rows in (n, m, m, n))
    out, lse = plain_attention(q, k, v, causal)
    return q, k, v, g, lse.float(), (out * g.double()).sum(-1).float(), causal


BACKWARD = ((16, 16, 2, False), (17, 5, 1, False), (32, 32, 1, True), (5, 17, 1, True))


@check(forbids=(KERNEL,))
def check_backward_kv(flash_bwd_kv_kernel, rng):
    """dk and dv, a block of keys a program."""
    for n, m, heads, causal in BACKWARD:
        case = backward_case(rng, n, m, heads, causal)
        run = cache(lambda case=case: honest(launch_kv, *case, kernel=flash_bwd_kv_kernel))
        en, zh = f"{n} queries, {m} keys{', causal' * causal}", f"{n} 个查询，{m} 个键{'，因果' * causal}"
        yield say(f"{en}: dv", f"{zh}：dv"), lambda: run().outputs[1], close(rtol=2e-2, atol=2e-2)
        yield say(f"{en}: dk", f"{zh}：dk"), lambda: run().outputs[0], close(rtol=2e-2, atol=2e-2)
        if n == 32:
            yield (say(f"{en}: FLOPs, four products of each of 3 tiles", f"{zh}：FLOPs，3 个分块，每块四次乘积"),
                   lambda: run().facts["dot_flops"], at_most(3 * 8 * 16**3))


check_backward_kv.mistake(
    say("dv is right, dk is not: what is subtracted in ds?", "dv 正确而 dk 不对：ds 里减去的是什么？"),
    within="flash_bwd_kv_kernel", replace={" - delta[None, :])": ")"},
)
check_backward_kv.mistake(
    say("dk is off by one factor everywhere. Where did q · k get its scale?", "dk 处处差同一个系数。q · k 的缩放是在哪里乘上的？"),
    within="flash_bwd_kv_kernel", replace={"(dk * scale)": "dk"},
)
check_backward_kv.mistake(
    say("Only causal cases are wrong: the queries that must not see a key still send it gradients.", "只有因果情形出错：不该看到某个键的查询仍然给它传了梯度。"),
    within="flash_bwd_kv_kernel", replace={"<= row[None, :] + (n_keys - n_queries)": "<= row[None, :] + n_keys"},
)


@check(forbids=(KERNEL,))
def check_backward_q(flash_bwd_q_kernel, rng):
    """dq, a block of queries a program."""
    for n, m, heads, causal in BACKWARD:
        case = backward_case(rng, n, m, heads, causal)
        run = cache(lambda case=case: honest(launch_q, *case, kernel=flash_bwd_q_kernel))
        en, zh = f"{n} queries, {m} keys{', causal' * causal}", f"{n} 个查询，{m} 个键{'，因果' * causal}"
        yield say(f"{en}: dq", f"{zh}：dq"), lambda: run().outputs, close(rtol=2e-2, atol=2e-2)
        if n == 32:
            yield (say(f"{en}: FLOPs, three products of each of 3 tiles", f"{zh}：FLOPs，3 个分块，每块三次乘积"),
                   lambda: run().facts["dot_flops"], at_most(3 * 6 * 16**3))


check_backward_q.mistake(
    say("Wrong already for one tile, by a term of each row: is ds only p times dP?", "一个分块就错了，每行差一项：ds 只是 p 乘 dP 吗？"),
    within="flash_bwd_q_kernel", replace={" - delta[:, None])": ")"},
)
check_backward_q.mistake(
    say("Right for one tile of keys: dq gathers over all of them.", "只有一个键分块时正确：dq 要在所有键分块上累加。"),
    within="flash_bwd_q_kernel", replace={"tl.dot(d_scores.to(k.dtype), k, dq)": "tl.dot(d_scores.to(k.dtype), k)"},
)
check_backward_q.mistake(
    say("Only causal cases are wrong: does every key belong to every query?", "只有因果情形出错：每个键都对每个查询可见吗？"),
    within="flash_bwd_q_kernel", replace={"<= row[:, None] + (n_keys - n_queries)": "<= row[:, None] + n_keys"},
)


# ------------------------------------------------------------------------------------- parity


@check()
def check_parity(relative_error, parity, rng):
    """Errors that a comparison must see."""
    right = normal(rng, 2, 5, 3, dtype=torch.float32)
    empty = right.clone()
    empty[0, 1] = -math.inf
    for en, zh, ours, good in (
        ("1% too large", "整体大 1%", right * 1.01, right), ("one entry off by 5", "一个元素差 5", right + 5 * (right == right.max()), right),
        ("large numbers in float16", "float16 的大数", right.sign().half() * 25000, right.sign().half() * 20000),
        ("the same infinities", "相同的无穷大", empty * 1.01, empty), ("an infinity that should be finite", "不该出现的无穷大", empty, right),
        ("a number that should be infinite", "本应为无穷大的数", right, empty), ("one NaN", "一个 NaN", torch.where(right == right.max(), math.nan, right), right), ("right is zero", "right 为零", right, right * 0),
    ):
        yield (say(f"relative_error: {en}", f"relative_error：{zh}"), lambda: relative_error(ours, good), close(rtol=2e-3))
    yield say("relative_error: shapes differ", "relative_error：形状不同"), lambda: relative_error(right[:1], right), raises(ValueError)

    def spoiled(q, k, v, causal):
        out = plain_attention(q, k, v, causal)
        v.zero_()
        return out

    def off(part, factor):
        def attention(q, k, v, causal):
            made = list(plain_attention(q, k, v, causal))
            made[part] = made[part] * factor
            return tuple(made)
        return attention

    def watched(q, k, v, causal):
        given.append([list(t.shape) for t in (q, k, v)])
        out, lse = plain_attention(q, k, v, causal)
        return out * (1 + q.double().mean().abs() + k.double().mean().abs()), lse

    given, cases = [], [(5, 9, 16, False), (7, 3, 32, True)]
    yield (say("parity: the same seed gives the same errors, another seed others", "parity：相同的种子得到相同的误差，不同的种子则不同"), lambda: [
        parity(watched, plain_attention, cases, 1.0, seed)[0]["error"] == parity(watched, plain_attention, cases, 1.0, 1)[0]["error"]
        for seed in (1, 2)])
    yield say("parity: shapes of q, k, v", "parity：q、k、v 的形状"), lambda: (parity(watched, plain_attention, cases, 1.0), given[-2:])[1]
    for en, zh, attention in (("the twin itself", "对照实现自身", plain_attention), ("out 2% off", "out 差 2%", off(0, 1.02)),
                              ("lse 2% off", "lse 差 2%", off(1, 1.02)), ("it spoils its inputs", "它破坏输入", spoiled),
                              ("out is NaN", "out 为 NaN", off(0, math.nan))):
        run = cache(lambda attention=attention: parity(attention, plain_attention, list(cases), 0.01))
        yield say(f"parity, {en}: ok", f"parity，{zh}：ok"), lambda: [bool(row["ok"]) for row in run()]
        yield (say(f"parity, {en}: case and error", f"parity，{zh}：case 与 error"),
               lambda: [[*row["case"], row["error"]] for row in run()], close(rtol=1e-3, atol=1e-6))


check_parity.mistake(
    say("A wrong lse passes. The backward pass rests on it.", "错误的 lse 通过了比较。反向传播正依赖于它。"),
    within="parity", replace={"zip(ours, twin(q, k, v, causal), strict=True)": "zip(ours[:1], twin(q, k, v, causal)[:1], strict=True)"},
)
check_parity.mistake(
    say("NaN or a stray infinity is no error of infinite size here. What does a comparison with NaN give?",
        "NaN 或多余的无穷大在这里没有被当成无穷大的误差。与 NaN 比较得到什么？"),
    within="relative_error", replace={"if not ours.isfinite().all() or not right.isfinite().all():\n        return float(\"inf\")":
                                      "ours, right = ours.nan_to_num(), right.nan_to_num()"},
)
check_parity.mistake(
    say("A kernel that writes to its inputs spoils the twin's as well.", "写坏输入的 kernel 也破坏了对照实现的输入。"),
    within="parity", replace={"attention(q.clone(), k.clone(), v.clone(), causal)": "attention(q, k, v, causal)"},
)

FAULTS = {
    "keys": ("keys beyond n_keys count as zeros", "超出 n_keys 的键当作零参与计算"),
    "queries": ("the last, ragged block of queries is not written", "最后不足一块的查询没有写出"),
    "shrink": ("old sums are not shrunk", "旧的和没有缩小"),
    "corner": ("the causal mask is aligned top-left", "因果掩码靠左上角对齐"),
    "strict": ("the causal mask hides key i + n_keys − n_queries too", "因果掩码把键 i + n_keys − n_queries 也遮住了"),
    "mask": ("no causal mask", "没有因果掩码"),
    "scale": ("the scale is 1/√64", "缩放总是 1/√64"),
    "empty": ("NaN for a query that sees no key", "看不到任何键的查询得到 NaN"),
    "base": ("lse in base 2", "lse 以 2 为底"),
}


def faulty(kind, q, k, v, causal):
    """``plain_attention`` with one fault of :data:`FAULTS`, as kernels with blocks of 32 have it."""
    n, m = q.shape[1], k.shape[1]
    if kind == "keys" and not causal:
        k, v = (torch.cat([t, t.new_zeros(2, -m % 32, t.shape[2])], 1) for t in (k, v))
    shift = {"corner": 0, "strict": m - n - 1}.get(kind)
    out, lse = plain_attention(q, k, v, causal and kind != "mask", 1 / 8 if kind == "scale" else None, shift)
    if kind == "queries":
        out[:, n // 32 * 32:] = math.nan
    if kind == "empty":
        out[(lse == -math.inf)] = math.nan
    if kind == "base":
        lse = lse * math.log2(math.e)
    if kind == "shrink" and m > 32:  # the sums of later tiles are relative to another maximum
        out = out * 1.5
    return out, lse


@check()
def check_parity_cases(parity_cases, rng):
    """Cases on which no faulty kernel gets through."""
    seeds = [int(s) for s in rng.integers(1 << 30, size=2)]

    def caught(kind):
        def differs(n, m, d, causal, seed):
            generator = torch.Generator().manual_seed(seed)
            q, k, v = (torch.randn(2, rows, d, generator=generator) for rows in (n, m, m))
            pairs = zip(faulty(kind, q, k, v, causal), plain_attention(q, k, v, causal), strict=True)
            return any(not torch.allclose(a, b, rtol=1e-3, atol=1e-3) for a, b in pairs)
        return any(differs(*case, seeds[0]) for case in parity_cases())

    yield say("at most six cases", "至多六个用例"), lambda: 1 <= len(parity_cases()) <= 6
    yield say("all sizes allowed", "大小都在允许范围内"), lambda: all(
        1 <= n <= 160 and 1 <= m <= 160 and d in (16, 32, 64) and causal in (True, False) for n, m, d, causal in parity_cases())
    for kind, (en, zh) in FAULTS.items():
        yield say(f"caught: {en}", f"能查出：{zh}"), lambda: caught(kind)


check_parity_cases.mistake(
    say("With as many queries as keys, two corners of the matrix are one, and every query sees a key.",
        "查询数等于键数时，矩阵的两个角对齐方式没有区别，而且每个查询都能看到键。"),
    within="parity_cases", replace={"(45, 77, 32, True), (77, 45, 16, True)": "(45, 45, 32, True), (77, 77, 16, True)"},
)
check_parity_cases.mistake(
    say("Keys beyond the end stay unseen under a causal mask: which case shows them?", "有因果掩码时，末尾之外的键本来就看不见：哪种用例才能让它们显形？"),
    within="parity_cases", replace={"(40, 77, 16, False)": "(40, 77, 16, True)"},
)
check_parity_cases.mistake(
    say("Every number of queries fills its last block.", "每个用例的查询数都恰好填满最后一块。"),
    within="parity_cases", replace={"(40, 77, 16, False)": "(64, 77, 16, False)", "(45, 77, 32, True), (77, 45, 16, True)":
                                    "(32, 77, 32, True), (96, 45, 16, True)"},
)


# ------------------------------------------------------------------------- benchmark and claims


def shape(queries, keys, head_dim=64, causal=True, dtype="float32", batch=1, heads=2):
    return {"batch": batch, "heads": heads, "queries": queries, "keys": keys, "head_dim": head_dim, "causal": causal, "dtype": dtype}


class Stage:
    """Two attentions, a timer and a GPU's name, all played: nothing is measured."""

    def __init__(self, ours, theirs, factor=1.0):
        self.times, self.calls, self.factor = {"ours": ours, "theirs": theirs}, [], factor

    def attention(self, q, k, v, causal):
        self.calls.append(["ours", *q.shape, *k.shape, str(q.dtype), causal])
        return q * self.factor

    def scaled_dot_product_attention(self, q, k, v, causal):
        self.calls.append(["theirs", *v.shape, str(v.dtype), causal])
        return q * 1

    def timer(self, call):
        call()
        return list(self.times[self.calls[-1][0]])

    def run(self, benchmark, shapes, gpu="Played GPU", path=None):
        return benchmark(self.attention, self.scaled_dot_product_attention, shapes, self.timer, gpu, path)


@check()
def check_benchmark(benchmark, rng):
    """The harness, with a played timer and a played GPU."""
    slow = float(rng.uniform(40, 60))
    played = {"ours": [2.0, 1.0, 3.0, slow, 2.5], "theirs": [4.0, 3.0, 3.5, 3.75, slow]}
    shapes = [shape(8, 12), shape(16, 16, 32, False, "float16", 2, 3)]
    run = cache(lambda: Stage(**played).run(benchmark, shapes))
    for name in ("ours_ms", "baseline_ms", "speedup"):
        yield say(f"{name} of two shapes", f"两种形状的 {name}"), lambda: [row[name] for row in run()["rows"]]
    yield say("the rows' shapes", "各行的形状"), lambda: [{name: row[name] for name in shape(1, 1)} for row in run()["rows"]]
    yield say("all but the rows", "除各行之外的内容"), lambda: {name: value for name, value in run().items() if name != "rows"}
    off = Stage(**played, factor=1 - 2**-7)
    yield say("error of an output that is a little off", "输出略有偏差时的 error"), lambda: off.run(benchmark, shapes[:1])["rows"][0]["error"], close(rtol=1e-2)
    stage = Stage(**played)
    yield (say("what the functions are given at first", "两个函数最先收到的输入"), lambda: (stage.run(benchmark, shapes[1:]), stage.calls[:2])[1])
    bare = Stage(**played)
    idle = cache(lambda: bare.run(benchmark, shapes, None))
    yield say("no GPU: results", "没有 GPU：结果"), idle
    yield say("no GPU: calls", "没有 GPU：调用次数"), lambda: (idle(), len(bare.calls))[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bench.json")
        wrong = Stage(**played, factor=1.1)
        refuse = cache(lambda: wrong.run(benchmark, shapes, path=path))
        yield say("a wrong kernel is not timed", "错误的 kernel 不计时"), refuse, raises(RuntimeError)
        yield say("and leaves no file", "也不留下文件"), lambda: [path.exists(), wrong.calls[:1] or refuse()][0]
        yield (say("the file holds what is returned", "文件内容就是返回值"),
               lambda: (lambda made: json.loads(path.read_text(encoding="utf-8")) == made)(Stage(**played).run(benchmark, shapes, path=path)))


check_benchmark.mistake(
    say("One slow call spoils the figure: is it the mean that counts?", "一次慢调用就毁了结果：该取平均值吗？"),
    within="benchmark", replace={"statistics.median(timer(call))": "statistics.fmean(timer(call))"},
)
check_benchmark.mistake(
    say("A speedup of 2 means: we take half of the baseline's time.", "speedup 为 2 的意思是：我们只用基线一半的时间。"),
    within="benchmark", replace={'row["baseline_ms"] / row["ours_ms"]': 'row["ours_ms"] / row["baseline_ms"]'},
)
check_benchmark.mistake(
    say("A wrong kernel gets a time. How fast a wrong answer comes is of no interest.", "错误的 kernel 也得到了时间。错误答案来得多快没有意义。"),
    within="benchmark", replace={'if row["error"] > 0.02:': 'if row["error"] > 20:'},
)


def lint_claim(line, results):
    """What is wrong with a resume line about benchmark ``results``: a list of faults, empty if there are none."""
    row, faults = max(results["rows"], key=lambda r: r["queries"] * r["keys"]), []

    def ask(holds, fault):
        if not holds:
            faults.append(fault)

    ask("\n" not in line and 0 < len(line) <= 240, "not one line of at most 240 characters")
    ask(not re.search(r"up to|nearly|almost|about|roughly|~|blazing|significant|state.of.the.art|\d\s*[x×]\s+(?:fast|speed)|times", line, re.I),
        "vague, or a speed that is not told as x% faster or x% slower")
    said = re.findall(r"([\d.]+)\s*%(?:\s+(faster|slower))?", line)
    allowed = {row[name] for name in ("batch", "heads", "queries", "keys", "head_dim")}
    if results["checked"]:
        percent = 100 * (row["speedup"] - 1)
        ask(said == [(f"{abs(percent):.0f}", "faster" if percent >= 0 else "slower")],
            f"not backed by the benchmark: its largest shape has a speedup of {row['speedup']:.3f}")
        ask(all(results[name] in line for name in ("gpu", "baseline")), "GPU or baseline not named")
        ask(row["dtype"] in line, "dtype not named")
        ask(row["causal"] == ("causal" in line.lower()), "causal or not: not as measured")
        ask(all(re.search(rf"(?<![\d.]){row[name]}(?![\d.]*\d|%)", line) for name in ("queries", "keys", "head_dim")),
            "queries, keys or head_dim of the largest shape not named")
    else:
        ask(not said and "%" not in line, "a percentage, but nothing was measured")
        ask("not benchmarked" in line, "does not say: not benchmarked")
    rest = re.sub(r"[\d.]+\s*%|FlashAttention-\d", "", line)
    for name in (results["gpu"], results["baseline"], row["dtype"], *results["versions"].values()):
        rest = rest.replace(name or "\n", "")
    ask(all(int(number) in allowed for number in re.findall(r"\d+", rest)), "a number that the largest shape does not have")
    return faults


def outcome(speeds, checked=True, gpu="NVIDIA A100-SXM4-80GB", shapes=None):
    """Results as ``benchmark`` returns them, with played times."""
    shapes = shapes or [shape(1024, 1024, 128, True, "float16", 4, 32), shape(8192, 8192, 128, True, "float16", 2, 16),
                        shape(4096, 4096, 64, False, "bfloat16", 4, 16)]
    rows = [{**s, "error": 0.0004, "ours_ms": 2.5 * (i + 1), "baseline_ms": 2.5 * (i + 1) * speed, "speedup": speed} if checked
            else {**s, "error": None, "ours_ms": None, "baseline_ms": None, "speedup": None}
            for i, (s, speed) in enumerate(zip(shapes, speeds, strict=True))]
    return {"schema": "flash-benchmark/1", "gpu": gpu if checked else None, "checked": checked, "rows": rows,
            "note": "" if checked else "not checked: needs a GPU", "baseline": "scaled_dot_product_attention",
            "versions": {"torch": "2.13.0", "triton": "3.9.0"}}


def outcomes(rng):
    a, b, c = (float(x) for x in rng.uniform(1.06, 1.4, size=3))
    square = [shape(512, 512, 32, False, "float32", 1, 8), shape(512, 2048, 64, True, "float16", 1, 8)]
    yield "faster on all shapes", "各种形状都更快", outcome((a, b, c))
    yield "slower on the largest shape", "最大的形状上更慢", outcome((a, 0.83, c), gpu="NVIDIA H100 80GB HBM3")
    yield "two shapes, queries and keys differ", "两种形状，查询数与键数不同", outcome((a, b), shapes=square)
    yield "nothing measured", "没有测量", outcome((1, 1, 1), checked=False)


@check()
def check_readme(readme_table, rng):
    """The README's table: every row, as measured."""
    for en, zh, results in outcomes(rng):
        yield say(f"{en}: first line", f"{zh}：第一行"), lambda: readme_table(results).split("\n")[0]
        yield say(f"{en}: header", f"{zh}：表头"), lambda: readme_table(results).split("\n")[1:4]
        yield say(f"{en}: rows", f"{zh}：各行"), lambda: readme_table(results).split("\n")[4:]


check_readme.mistake(
    say("A row is missing: slow shapes belong into the table as well.", "少了一行：慢的形状也应当在表里。"), within="readme_table",
    replace={'for row in results["rows"]]': 'for row in results["rows"] if (row["speedup"] or 1) >= 1]'},
)
check_readme.mistake(
    say("Without a GPU the first line must say that nothing was checked.", "没有 GPU 时，第一行必须说明没有测量。"), within="readme_table",
    replace={"""f"GPU: {results['gpu']}" if results["checked"] else results["note"]""": """f"GPU: {results['gpu']}\""""},
)
check_readme.mistake(
    say("Is every figure told with the decimals asked for?", "每个数的小数位数都符合要求吗？"), within="readme_table",
    replace={'"speedup": ".2f"': '"speedup": ".1f"'},
)


@check()
def check_resume(resume_line, rng):
    """One line, backed by the benchmark."""
    for en, zh, results in outcomes(rng):
        yield say(f"{en}: what lint_claim finds", f"{zh}：lint_claim 的发现"), lambda: lint_claim(resume_line(results), results)
        yield (say(f"{en}: the percentages in the line", f"{zh}：行中的百分比"),
               lambda: re.findall(r"([\d.]+)\s*%\s+(\w+)", resume_line(results)))


check_resume.mistake(
    say("A slower kernel is called faster. The line says what was measured.", "更慢的 kernel 被说成更快。这一行要如实说明测量结果。"),
    within="resume_line", replace={"""{'faster' if percent >= 0 else 'slower'}""": "faster"},
)
check_resume.mistake(
    say("The row was picked by its speed. Which row does the task name?", "挑选这一行时看的是速度。题目要求的是哪一行？"),
    within="resume_line", replace={'key=lambda row: row["queries"] * row["keys"]': 'key=lambda row: row["speedup"] or 0'},
)
check_resume.mistake(
    say("Faster than what, and on what? A figure without GPU and baseline says nothing.", "比什么快？在什么硬件上？没有 GPU 与基线的数字毫无意义。"),
    within="resume_line", replace={"""than "\n            f"{results['baseline']} on {results['gpu']} (""": """than attention "\n            f"("""},
)


EQUIVALENT = {
    "online_update: tl.where(new == float('-inf'), 0.0, new) -> "
    "tl.where(new == float('-inf'), 1.0, new)":
        "any finite number will do: 2^(-inf - 1) is 0 as well",
    "key_bounds: tl.maximum(first + 1 + shift, 0) -> "
    "tl.maximum(first + 1 + shift, 1)":
        "divided by a block of at least 16, 1 gives 0 as well",
    "flash_attn_kernel: range(0, full, BLOCK_N) -> "
    "range(0, full - 1, BLOCK_N)":
        "full is a multiple of the step",
    "flash_attn_kernel: seen = seen & (key[None, :] <= row[:, None] + (n_keys - n_queries)) -> "
    "seen = -(seen & (key[None, :] <= row[:, None] + (n_keys - n_queries)))":
        "minus a 1-bit number is that number",
    "flash_attn_kernel: tl.where(total == 0.0, 1.0, total) -> "
    "tl.where(total == 0.0, 2.0, total)":
        "0 / 2 is 0 as well",
    "flash_bwd_kv_kernel: tl.maximum(first - (n_keys - n_queries), 0) -> "
    "tl.maximum(first - (n_keys - n_queries), 1)":
        "divided by a block of at least 16, 1 gives 0 as well",
    "flash_bwd_q_kernel: key[None, :] < n_keys -> "
    "key[None, :] <= n_keys":
        "key n_keys is loaded as zero, so its share of dq is 0",
    "flash_bwd_q_kernel: seen = seen & (key[None, :] <= row[:, None] + (n_keys - n_queries)) -> "
    "seen = -(seen & (key[None, :] <= row[:, None] + (n_keys - n_queries)))":
        "minus a 1-bit number is that number",
    "relative_error: ours - right -> "
    "right - ours":
        "a norm has no sign",
    "parity: error <= tolerance -> "
    "error < tolerance":
        "an error that is exactly the bound",
    "parity_cases: return [(40, 77, 16, False), (45, 77, 32, True), (77, 45, 16, True)] -> "
    "return [(41, 77, 16, False), (45, 77, 32, True), (77, 45, 16, True)]":
        "other cases that catch every fault as well",
    "parity_cases: return [(40, 77, 16, False), (45, 77, 32, True), (77, 45, 16, True)] -> "
    "return [(40, 78, 16, False), (45, 77, 32, True), (77, 45, 16, True)]":
        "other cases that catch every fault as well",
    "parity_cases: return [(40, 77, 16, False), (45, 77, 32, True), (77, 45, 16, True)] -> "
    "return [(40, 77, 16, False), (46, 77, 32, True), (77, 45, 16, True)]":
        "other cases that catch every fault as well",
    "parity_cases: return [(40, 77, 16, False), (45, 77, 32, True), (77, 45, 16, True)] -> "
    "return [(40, 77, 16, False), (45, 78, 32, True), (77, 45, 16, True)]":
        "other cases that catch every fault as well",
    "parity_cases: return [(40, 77, 16, False), (45, 77, 32, True), (77, 45, 16, True)] -> "
    "return [(40, 77, 16, False), (45, 77, 32, False), (77, 45, 16, True)]":
        "other cases that catch every fault as well",
    "parity_cases: return [(40, 77, 16, False), (45, 77, 32, True), (77, 45, 16, True)] -> "
    "return [(40, 77, 16, False), (45, 77, 32, True), (78, 45, 16, True)]":
        "other cases that catch every fault as well",
    "parity_cases: return [(40, 77, 16, False), (45, 77, 32, True), (77, 45, 16, True)] -> "
    "return [(40, 77, 16, False), (45, 77, 32, True), (77, 46, 16, True)]":
        "other cases that catch every fault as well",
    "benchmark: torch.randn(shape['batch'], shape['heads'], shape[name], shape['head_dim'], device=device) -> "
    "torch.randn(shape['batch'], shape['heads'], shape[name], shape['head_dim'])":
        "without a GPU there is one device",
    "benchmark: row['error'] > 0.02 -> "
    "row['error'] >= 0.02":
        "an error that is exactly the bound",
    "benchmark: Path(path).write_text(json.dumps(results, indent=2), encoding='utf-8') -> "
    "Path(path).write_text(json.dumps(results, indent=2))":
        "the same JSON",
    "benchmark: json.dumps(results, indent=2) -> "
    "json.dumps(results)":
        "the same JSON",
    "benchmark: json.dumps(results, indent=2) -> "
    "json.dumps(results, indent=3)":
        "the same JSON",
}
EQUIVALENT |= dict.fromkeys((  # what a masked lane holds is masked again, meets a zero, or is in a row that is not stored
    "flash_attn_kernel: tl.load(k_tile + key[:, None] * stride_k_row, mask=key[:, None] < n_keys, other=0.0) -> "
    "tl.load(k_tile + key[:, None] * stride_k_row, mask=key[:, None] < n_keys)",
    "flash_attn_kernel: tl.load(k_tile + key[:, None] * stride_k_row, mask=key[:, None] < n_keys, other=0.0) -> "
    "tl.load(k_tile + key[:, None] * stride_k_row, mask=key[:, None] < n_keys, other=1.0)",
    "flash_attn_kernel: tl.load(v_tile + key[:, None] * stride_v_row, mask=key[:, None] < n_keys, other=0.0) -> "
    "tl.load(v_tile + key[:, None] * stride_v_row, mask=key[:, None] < n_keys, other=1.0)",
    "flash_bwd_kv_kernel: tl.load(k_ptr + at_key, mask=key[:, None] < n_keys, other=0.0) -> "
    "tl.load(k_ptr + at_key, mask=key[:, None] < n_keys)",
    "flash_bwd_kv_kernel: tl.load(k_ptr + at_key, mask=key[:, None] < n_keys, other=0.0) -> "
    "tl.load(k_ptr + at_key, mask=key[:, None] < n_keys, other=1.0)",
    "flash_bwd_kv_kernel: tl.load(v_ptr + at_key, mask=key[:, None] < n_keys, other=0.0) -> "
    "tl.load(v_ptr + at_key, mask=key[:, None] < n_keys)",
    "flash_bwd_kv_kernel: tl.load(v_ptr + at_key, mask=key[:, None] < n_keys, other=0.0) -> "
    "tl.load(v_ptr + at_key, mask=key[:, None] < n_keys, other=1.0)",
    "flash_bwd_kv_kernel: tl.load(q_ptr + at_row, mask=row[:, None] < n_queries, other=0.0) -> "
    "tl.load(q_ptr + at_row, mask=row[:, None] < n_queries, other=1.0)",
    "flash_bwd_kv_kernel: tl.load(lse_ptr + head * n_queries + row, mask=row < n_queries, other=0.0) -> "
    "tl.load(lse_ptr + head * n_queries + row, mask=row < n_queries, other=1.0)",
    "flash_bwd_kv_kernel: tl.load(delta_ptr + head * n_queries + row, mask=row < n_queries, other=0.0) -> "
    "tl.load(delta_ptr + head * n_queries + row, mask=row < n_queries, other=1.0)",
    "flash_bwd_q_kernel: tl.load(q_ptr + at_row, mask=row[:, None] < n_queries, other=0.0) -> "
    "tl.load(q_ptr + at_row, mask=row[:, None] < n_queries)",
    "flash_bwd_q_kernel: tl.load(q_ptr + at_row, mask=row[:, None] < n_queries, other=0.0) -> "
    "tl.load(q_ptr + at_row, mask=row[:, None] < n_queries, other=1.0)",
    "flash_bwd_q_kernel: tl.load(g_ptr + at_row, mask=row[:, None] < n_queries, other=0.0) -> "
    "tl.load(g_ptr + at_row, mask=row[:, None] < n_queries)",
    "flash_bwd_q_kernel: tl.load(g_ptr + at_row, mask=row[:, None] < n_queries, other=0.0) -> "
    "tl.load(g_ptr + at_row, mask=row[:, None] < n_queries, other=1.0)",
    "flash_bwd_q_kernel: tl.load(lse_ptr + head * n_queries + row, mask=row < n_queries, other=0.0) -> "
    "tl.load(lse_ptr + head * n_queries + row, mask=row < n_queries)",
    "flash_bwd_q_kernel: tl.load(lse_ptr + head * n_queries + row, mask=row < n_queries, other=0.0) -> "
    "tl.load(lse_ptr + head * n_queries + row, mask=row < n_queries, other=1.0)",
    "flash_bwd_q_kernel: tl.load(delta_ptr + head * n_queries + row, mask=row < n_queries, other=0.0) -> "
    "tl.load(delta_ptr + head * n_queries + row, mask=row < n_queries)",
    "flash_bwd_q_kernel: tl.load(delta_ptr + head * n_queries + row, mask=row < n_queries, other=0.0) -> "
    "tl.load(delta_ptr + head * n_queries + row, mask=row < n_queries, other=1.0)",
    "flash_bwd_q_kernel: tl.load(k_ptr + at_key, mask=key[:, None] < n_keys, other=0.0) -> "
    "tl.load(k_ptr + at_key, mask=key[:, None] < n_keys, other=1.0)",
    "flash_bwd_q_kernel: tl.load(v_ptr + at_key, mask=key[:, None] < n_keys, other=0.0) -> "
    "tl.load(v_ptr + at_key, mask=key[:, None] < n_keys, other=1.0)",
), "what masked lanes hold never reaches a stored number")

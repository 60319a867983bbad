# %% [markdown] lang="en"
r"""
# Day 105 · A FlashAttention kernel in Triton (Project B)

**Goal.** Write FlashAttention-2's forward pass as a Triton kernel for any lengths and for causal attention, prove that it computes what Day 29 computes, measure it against PyTorch's own attention, and write down a claim that the measurement backs. This is Project B of the portfolio: a kernel, a benchmark, a README, one line for your resume.

| step | you write | source |
| --- | --- | --- |
| 1 | one tile joins the running softmax | Dao, [arXiv 2307.08691](https://arxiv.org/abs/2307.08691), section 3.1.1 |
| 2 | which tiles need a mask, which are never touched | the same, section 3.1.1, "Causal masking" |
| 3 | the forward kernel | Algorithm 1 |
| 4 | optional: the backward kernels | section 3.1.2, Algorithm 2 |
| 5 | parity tests against `flash2_forward` of Day 29 | |
| 6 | a benchmark that returns JSON | |
| 7 | the README's table and the resume line | |

Read sections 2.3 and 3.1 of the paper first. No GPU is needed before step 6: the checks interpret your kernel strictly (each address, each race, each unwritten number) and compile it for an A100. What only a GPU can show, the speed, is **not checked** without one, and the notebook says so wherever it matters.

## 1 · One tile joins the running softmax

A program keeps a block of queries on chip and lets tiles of keys and values pass by. With $s_{ij}$ the scaled scores, it needs $\sum_j e^{s_{ij}} v_j$ and $\sum_j e^{s_{ij}}$, but it has not seen all $j$ yet, so it does not know the maximum that keeps $e^{s}$ from overflowing. Day 29 solved this: keep the sums relative to the largest score *so far* and shrink them when a larger one comes.

GPUs have an instruction for $2^x$, not for $e^x$. So multiply the scores once by $\log_2 e$ and stay in base 2: with $t_{ij} = s_{ij}\log_2 e$,

$$m' = \max\big(m, \max_j t_{ij}\big),\qquad \ell' = 2^{m-m'}\ell + \sum_j 2^{t_{ij}-m'},\qquad a' = 2^{m-m'}a + \sum_j 2^{t_{ij}-m'} v_j .$$

FlashAttention-2 divides $a$ by $\ell$ only once, after the last tile (section 3.1.1): what is not a matrix product is expensive, because tensor cores do not help with it.

`online_update` is a `@triton.jit` function that a kernel calls. The checks call it from a small kernel of theirs.
"""

# %% [markdown] lang="zh"
r"""
# 第 105 天 · 用 Triton 写 FlashAttention kernel（项目 B）

**目标。** 把 FlashAttention-2 的前向写成一个 Triton kernel，支持任意长度与因果注意力；证明它算出的就是第 29 天的结果；与 PyTorch 自带的注意力对比测速；最后写下一句有测量支撑的结论。这就是作品集里的项目 B：一个 kernel、一份基准测试、一份 README、一句简历。

| 步骤 | 你要写的 | 出处 |
| --- | --- | --- |
| 1 | 一个分块并入在线 softmax | Dao，[arXiv 2307.08691](https://arxiv.org/abs/2307.08691)，3.1.1 节 |
| 2 | 哪些分块需要掩码，哪些根本不用碰 | 同上，3.1.1 节 “Causal masking” |
| 3 | 前向 kernel | 算法 1 |
| 4 | 选做：反向 kernel | 3.1.2 节，算法 2 |
| 5 | 与第 29 天 `flash2_forward` 的一致性测试 | |
| 6 | 返回 JSON 的基准测试 | |
| 7 | README 的表格与简历句 | |

请先读论文的 2.3 与 3.1 节。第 6 步之前都不需要 GPU：检查会严格地解释执行你的 kernel（每个地址、每处竞争、每个没写出的数），并为 A100 编译它。只有 GPU 才能显示的东西，也就是速度，在没有 GPU 时就是**未检查**；凡是涉及之处，notebook 都会注明。

## 1 · 一个分块并入在线 softmax

一个程序把一块查询留在片上，让键和值一块一块地经过。记 $s_{ij}$ 为缩放后的得分，它需要 $\sum_j e^{s_{ij}} v_j$ 与 $\sum_j e^{s_{ij}}$，可是还没有见过所有的 $j$，也就不知道防止 $e^{s}$ 溢出的那个最大值。第 29 天已经解决了这个问题：让各个和相对于*目前为止*最大的得分，遇到更大的得分就把它们缩小。

GPU 有计算 $2^x$ 的指令，没有计算 $e^x$ 的。所以先把得分乘以 $\log_2 e$，之后一直以 2 为底：记 $t_{ij} = s_{ij}\log_2 e$，

$$m' = \max\big(m, \max_j t_{ij}\big),\qquad \ell' = 2^{m-m'}\ell + \sum_j 2^{t_{ij}-m'},\qquad a' = 2^{m-m'}a + \sum_j 2^{t_{ij}-m'} v_j .$$

FlashAttention-2 只在最后一个分块之后才用 $\ell$ 去除 $a$（3.1.1 节）：凡不是矩阵乘法的运算都很贵，因为张量核心帮不上忙。

`online_update` 是一个供 kernel 调用的 `@triton.jit` 函数。检查会从它自己的一个小 kernel 里调用它。
"""

# %% setup
import json
import math
import os
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.colors import ListedColormap

from ladder.graders.stage11_serving.day105_triton_flash_attention import launch_forward, lint_claim, probe_bounds
from ladder.kernel_judge.bridge import have_triton, machine_code, report, strict
from ladder.kernel_judge.pictures import roofline
from ladder.triton import tl, triton

# %% exercise="online_update"
from ladder.solutions.stage11_serving.day105_triton_flash_attention import online_update

# %% [markdown] lang="zh" docstring="online_update"
r"""
以 2 为底的在线 softmax 的一步：返回并入一个键分块之后的 ``(acc, total, highest)``。

``scores`` (M, N)，float32：t_ij = log2(e) · s_ij，查询 i 看不到键 j 处为 −inf。``v`` (N, D)：这个分块的值。
对目前为止的全部分块、每个查询 i，

    highest_i = max_j t_ij,   total_i = Σ_j 2^(t_ij − highest_i),   acc_i = Σ_j 2^(t_ij − highest_i) v_j,

均为 float32，形状依次为 (M,)、(M,)、(M, D)；第一个分块之前它们是 −inf、0、0，还没有看到任何键的查询
一直保持这三个值（不得出现 NaN）。权重转换为 ``v`` 的类型，再用 ``tl.dot`` 相乘。
"""

# %% [markdown] hint="online_update" lang="en"
r"""
Write the three lines of the formula in order: the new maximum first, then how much the old sums shrink, then the weights of this tile. Which of the three results needs a matrix product?
"""

# %% [markdown] hint="online_update" lang="zh"
r"""
按公式的顺序写三步：先求新的最大值，再求旧的和缩小多少，最后求这个分块的权重。三个结果中哪一个需要矩阵乘法？
"""

# %% [markdown] hint="online_update" lang="en"
r"""
A query that has seen nothing yet has −inf as old and as new maximum. Subtract something finite from −inf instead, and see what $2^{-\infty}$ makes of the sums.
"""

# %% [markdown] hint="online_update" lang="zh"
r"""
还什么都没看到的查询，旧的和新的最大值都是 −inf。请改为从 −inf 中减去一个有限的数，再看 $2^{-\infty}$ 会让这些和变成什么。
"""

# %%
from ladder.graders.stage11_serving.day105_triton_flash_attention import check_online_update

check_online_update(online_update)

# %% [markdown] lang="en"
r"""
## 2 · Which tiles?

With $N$ queries and $M$ keys, causal attention is aligned bottom-right, as on Day 29: query $i$ sees the keys

$$j \le i + (M - N),$$

so that the last query sees everything. Cut the matrix of scores into tiles. For a block of queries there are three kinds of tile, from left to right: **full** ones that every query of the block sees, **edge** tiles that some see in part, and **empty** ones. Full tiles need no mask, no comparison, no `where`. Empty ones must not even be loaded: for $N = M$ large, they are half of all tiles, so half of the time. The ragged end of the keys is an edge as well.
"""

# %% [markdown] lang="zh"
r"""
## 2 · 哪些分块？

有 $N$ 个查询和 $M$ 个键时，因果注意力与第 29 天一样靠右下角对齐：查询 $i$ 看得到的键是

$$j \le i + (M - N),$$

于是最后一个查询看得到全部。把得分矩阵切成分块。对一块查询来说，从左到右有三种分块：块内每个查询都看得到的**完整**分块，部分可见的**边缘**分块，以及**空**分块。完整分块不需要掩码，不需要比较，也不需要 `where`。空分块连读都不该读：当 $N = M$ 很大时它们占一半，也就是一半的时间。键的末尾不足一块之处，同样属于边缘。
"""

# %% exercise="key_bounds"
from ladder.solutions.stage11_serving.day105_triton_flash_attention import key_bounds

# %% [markdown] lang="zh" docstring="key_bounds"
r"""
查询 ``first`` ... ``first`` + BLOCK_M − 1 需要哪些键：``(full, end)``，两个整数。

有 ``CAUSAL`` 时，查询 i 看得到的键是 j ≤ i + (n_keys − n_queries)，否则是全部 n_keys 个。``end``：这些查询中
最后一个看得到多少个键，其中从 ``n_queries`` 起的查询不算在内。``full``：满足“这些查询每个都看得到它之前所有键”的
BLOCK_N 的最大倍数：这些分块不需要掩码。0 ≤ full ≤ end ≤ n_keys；``first`` < ``n_queries``；查询可能什么都看不到。
"""

# %% [markdown] hint="key_bounds" lang="en"
r"""
Take 3 queries and 5 keys and draw the mask. How many keys does query 0 see, how many query 2? `full` asks the first query of the block, `end` the last one that exists.
"""

# %% [markdown] hint="key_bounds" lang="zh"
r"""
取 3 个查询、5 个键，把掩码画出来。查询 0 看得到几个键，查询 2 呢？`full` 取决于块内第一个查询，`end` 取决于最后一个确实存在的查询。
"""

# %% [markdown] hint="key_bounds" lang="en"
r"""
Counts may come out negative when there are fewer keys than queries, and `//` of a negative number is not what you want: clamp before you divide.
"""

# %% [markdown] hint="key_bounds" lang="zh"
r"""
键比查询少时，算出的个数可能是负数，而对负数用 `//` 得不到想要的结果：先截断再整除。
"""

# %%
from ladder.graders.stage11_serving.day105_triton_flash_attention import check_key_bounds

check_key_bounds(key_bounds)

# %% [markdown] lang="en"
r"""
Your bounds as a picture: 90 queries, 120 keys, blocks of 16. Read a row from left to right: full, edge, empty.
"""

# %% [markdown] lang="zh"
r"""
把你的边界画出来：90 个查询，120 个键，每块 16。每一行从左到右：完整、边缘、空。
"""

# %%
if have_triton():
    fig, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    for ax, (n, m, causal) in zip(axes, ((90, 120, False), (90, 120, True), (120, 90, True)), strict=True):
        bounds = strict(probe_bounds, n, m, 16, 16, causal, bounds=key_bounds).numpy()
        start = np.arange(0, m, 16)
        kinds = np.where(start < bounds[:, :1], 2, np.where(start < bounds[:, 1:], 1, 0))
        ax.imshow(kinds, cmap=ListedColormap(["0.92", "tab:orange", "tab:blue"]), vmin=0, vmax=2)
        ax.set(title=f"{n} queries, {m} keys{', causal' * causal}", xlabel="tile of keys", ylabel="block of queries")
        counts = [int((kinds == kind).sum()) for kind in (2, 1, 0)]
        print(f"{n} x {m}, causal={causal}: {counts[0]} full, {counts[1]} edge, {counts[2]} empty tiles")
    plt.show()
else:
    print("not checked: needs Triton")

# %% [markdown] lang="en"
r"""
## 3 · The kernel

One program per block of queries and head; the grid is `(cdiv(n_queries, BLOCK_M), heads)`. This is the order of FlashAttention-2: queries outside, keys inside, so no two programs write one place, and blocks of queries run in parallel even for one head of one sequence (section 3.2).

For each tile the program loads $K$ and $V$, multiplies $QK^\top$, calls `online_update`; after the last it divides, and stores the rows of $O$ and

$$L_i = \ln\sum_j e^{s_{ij}} = \big(m_i + \log_2 \ell_i\big)\ln 2,$$

the one number per row that the backward pass needs. Two hints from the compiler's side: keep the operands of `tl.dot` in the inputs' type (float16 goes to the tensor cores, float32 made from float16 does not gain anything), and write the loops as `for start in range(...)`, which Triton pipelines: the next tile is on its way while this one is multiplied.

Four checks, in the order in which it pays to work: lengths without a mask, the causal mask, the work done, the compiled code. The first two pass one after the other; you need not have causal attention for the first.
"""

# %% [markdown] lang="zh"
r"""
## 3 · kernel

每个程序负责一个头的一块查询；网格是 `(cdiv(n_queries, BLOCK_M), heads)`。这是 FlashAttention-2 的次序：查询在外，键在内。于是没有两个程序写同一处，而且即使只有一条序列的一个头，各块查询也能并行（3.2 节）。

对每个分块，程序读取 $K$ 和 $V$，计算 $QK^\top$，调用 `online_update`；最后一块之后做除法，写出 $O$ 的各行以及

$$L_i = \ln\sum_j e^{s_{ij}} = \big(m_i + \log_2 \ell_i\big)\ln 2,$$

这是反向传播所需的、每行一个的数。从编译器的角度有两点提示：让 `tl.dot` 的操作数保持输入的类型（float16 可以走张量核心，把 float16 转成 float32 再乘没有任何好处）；循环写成 `for start in range(...)`，Triton 会把它流水化：这一块在相乘时，下一块已经在路上。

四个检查按建议的次序排列：不带掩码的各种长度、因果掩码、所做的工作量、编译出的代码。前两个可以先后单独通过；做第一个时还不需要因果注意力。
"""

# %% exercise="flash_attn_kernel"
from ladder.solutions.stage11_serving.day105_triton_flash_attention import flash_attn_kernel

# %% [markdown] lang="zh" docstring="flash_attn_kernel"
r"""
程序 (i, h)：头 h 的查询 i · BLOCK_M ...；写出它们在 out 与 lse 中的各行。

q、out (H, n_queries, HEAD_DIM)；k、v (H, n_keys, HEAD_DIM)：float16、bfloat16 或 float32，最后一轴连续。
lse (H, n_queries)：float32，连续。记 s_ij = scale · q_i · k_j，j 取查询 i 看得到的键
（有 ``CAUSAL`` 时 j ≤ i + n_keys − n_queries）：

    lse_i = ln Σ_j exp s_ij,   out_i = Σ_j exp(s_ij − lse_i) v_j,

看不到任何键的查询：lse_i = −inf，out_i = 0。HEAD_DIM 是不小于 16 的 2 的幂；n_queries 与 n_keys 是任意
不小于 1 的整数。块内没有任何查询看得到的得分分块 (BLOCK_M, BLOCK_N) 既不读取也不相乘。
两次乘积都是 ``tl.dot``，操作数保持 q 的类型，以 float32 累加。
"""

# %% [markdown] hint="flash_attn_kernel" lang="en"
r"""
Begin with one tile and no mask: load q, k, v; scores; one `online_update`; divide; store. Then put the loop around it. Row offsets are int64: multiply after converting.
"""

# %% [markdown] hint="flash_attn_kernel" lang="zh"
r"""
先做一个分块、不带掩码：读取 q、k、v，求得分，调用一次 `online_update`，相除，写出。然后再加上循环。行偏移用 int64：先转换再相乘。
"""

# %% [markdown] hint="flash_attn_kernel" lang="en"
r"""
Two loops, from 0 to `full` and from `full` to `end`: the same body, the second with a mask. Masked scores are −inf *after* the scale, and a row whose total is zero must not be divided by it.
"""

# %% [markdown] hint="flash_attn_kernel" lang="zh"
r"""
两个循环，从 0 到 `full`，再从 `full` 到 `end`：循环体相同，第二个多一个掩码。被遮住的得分在缩放*之后*设为 −inf；total 为零的行不能用它去除。
"""

# %%
from ladder.graders.stage11_serving.day105_triton_flash_attention import check_flash_forward

check_flash_forward(flash_attn_kernel)

# %%
from ladder.graders.stage11_serving.day105_triton_flash_attention import check_flash_causal

check_flash_causal(flash_attn_kernel)

# %%
from ladder.graders.stage11_serving.day105_triton_flash_attention import check_flash_work

check_flash_work(flash_attn_kernel)

# %%
from ladder.graders.stage11_serving.day105_triton_flash_attention import check_flash_compiled

check_flash_compiled(flash_attn_kernel)

# %% [markdown] lang="en"
r"""
What has it saved? Count, with your kernel, what the strict interpreter saw. *Different bytes*: each number moved once, as if the cache kept everything. *Bytes asked for*: each block of queries reads the keys and values anew, as if there were no cache. The dotted line is attention that stores the matrix of scores, at its very best: q, k, v and out once, and the matrix in float16 written once and read once.
"""

# %% [markdown] lang="zh"
r"""
省下了什么？用你的 kernel 数一数严格解释器看到的。*不同的字节*：每个数只搬运一次，就像缓存什么都留得住。*请求的字节*：每块查询都重新读一遍键和值，就像没有缓存。虚线是存储得分矩阵的注意力的最好情形：q、k、v 和 out 各一次，矩阵以 float16 写一次、读一次。
"""

# %%
quick = os.environ.get("LADDER_QUICK") == "1"
if have_triton():
    sizes, d = (64, 128) if quick else (64, 128, 256, 512), 64
    facts = {}
    for n in sizes:
        q, k, v = torch.randn(3, 1, n, d, generator=torch.Generator().manual_seed(n)).half()
        for name in ("full", "causal"):
            facts[name, n] = report(launch_forward, q, k, v, name == "causal", 32, 32, kernel=flash_attn_kernel).facts
    different = [facts["causal", n]["unique_bytes_read"] + facts["causal", n]["unique_bytes_written"] for n in sizes]
    asked = [facts["causal", n]["bytes_loaded"] + facts["causal", n]["bytes_stored"] for n in sizes]
    stored = [2 * 2 * n * n + 4 * 2 * n * d for n in sizes]
    fig, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    for name in ("full", "causal"):
        axes[0].loglog(sizes, [facts[name, n]["dot_flops"] for n in sizes], "o-", label=f"your kernel, {name}", base=2)
    axes[0].loglog(sizes, [4 * n * n * d for n in sizes], "k:", label=r"$4N^2d$", base=2)
    axes[1].loglog(sizes, different, "o-", label="your kernel, causal: different bytes", base=2)
    axes[1].loglog(sizes, asked, "o--", label="your kernel, causal: bytes asked for", base=2)
    axes[1].loglog(sizes, stored, "k:", label="scores stored", base=2)
    axes[0].set(xlabel="N", ylabel="FLOPs of tl.dot", title="work")
    axes[1].set(xlabel="N", ylabel="bytes", title="traffic")
    axes[0].legend()
    axes[1].legend()
    done = facts["causal", sizes[-1]]["dot_flops"]
    roofline({"your kernel": (done, different[-1]), "scores stored": (done, stored[-1])}, axes[2])
    axes[2].set_title(f"causal, N = {sizes[-1]}, each number moved once")
    for n in sizes:
        share = facts["causal", n]["dot_flops"] / facts["full", n]["dot_flops"]
        print(f"N = {n}: the causal kernel multiplies {share:.0%} of the tiles")
    plt.show()
else:
    print("not checked: needs Triton")

# %% [markdown] lang="en"
r"""
The share of causal tiles falls towards one half as $N$ grows; the diagonal is what stays above it. In the middle, the different bytes grow like $N$, the stored scores like $N^2$. The bytes asked for grow like $N^2$ as well, divided by BLOCK_M: here the L2 cache helps, since keys and values of a head of 8192 tokens ($d = 128$, float16) are 4 MiB, and an A100 has 40 MB of it. Each doubling of BLOCK_M halves those reads, and is paid for in registers. On the right, no point is a prediction: it stands at the most that the GPU could do with that many FLOPs a byte.

Look at the price in registers of your kernel, compiled for an A100. A multiprocessor has 65536 registers; one thread has at most 255, and what does not fit is spilled to memory. The reference takes 128 registers with blocks of 64 by 32, 184 with 64 by 64, and spills 16 bytes with 128 by 64 in 4 warps (Triton 3.9.0); twice the warps halve each thread's share.
"""

# %% [markdown] lang="zh"
r"""
$N$ 越大，因果分块所占的比例越接近一半；高出一半的部分就是对角线。中图里，不同的字节按 $N$ 增长，存储的得分按 $N^2$ 增长。请求的字节也按 $N^2$ 增长，但除以 BLOCK_M：这里 L2 缓存能帮上忙，因为 8192 个 token 的一个头（$d = 128$，float16）的键和值共 4 MiB，而 A100 有 40 MB 的 L2。BLOCK_M 每加大一倍，这部分读取就减半，代价是寄存器。右图的点不是预测：点的高度是在这样的每字节 FLOPs 下 GPU 至多能做到的。

再看你的 kernel 为 A100 编译后的寄存器代价。一个多处理器有 65536 个寄存器；一个线程至多 255 个，放不下的就溢出到内存。参考实现用 64 乘 32 的分块时占 128 个寄存器，64 乘 64 时占 184 个，128 乘 64、4 个 warp 时溢出 16 字节（Triton 3.9.0）；warp 数加倍，每个线程分担的就减半。
"""

# %%
if have_triton():
    q, k, v = torch.randn(3, 1, 128, 64, generator=torch.Generator().manual_seed(0)).half()
    for block_m, block_n, warps in ((64, 64, 4),) if quick else ((64, 32, 4), (64, 64, 4), (128, 64, 4), (128, 64, 8)):
        made = machine_code(launch_forward, q, k, v, True, block_m, block_n, kernel=flash_attn_kernel, num_warps=warps, num_stages=3)
        print(f"blocks {block_m:3d} x {block_n:3d}, {warps} warps: {made['registers']} registers, {made['spill_bytes']} bytes spilled, "
              f"{made['shared']:,} bytes of shared memory, {made['tensor_cores'] or 'no'} tensor cores")
else:
    print("not checked: needs Triton")

# %% [markdown] lang="en"
r"""
## 4 · Optional: the backward kernels

This exercise has points of its own and nothing else depends on it: no roadmap box, no later step. Day 32 derived the gradients. With $P_{ij} = e^{s_{ij}-L_i}$ recomputed from $L$, $\Delta_i = dO_i\cdot O_i$ (given) and scale $c$:

$$dV = P^\top dO,\qquad dS = P \circ (dO\,V^\top - \Delta),\qquad dQ = c\, dS\, K,\qquad dK = c\, dS^\top Q .$$

$dK$ and $dV$ gather over queries, $dQ$ over keys. Algorithm 2 does both in one loop over blocks of keys and adds to $dQ$ in memory with atomics. Then the order of additions, and with it the last bits of $dQ$, differ from run to run. Two kernels instead, each with plain stores: one program per block of keys for $dK, dV$, one per block of queries for $dQ$. It computes $S$ and $dP$ twice, 7 products of a tile instead of 5, for the same bits each time.
"""

# %% [markdown] lang="zh"
r"""
## 4 · 选做：反向 kernel

这个练习有自己的分数，别的都不依赖它：不影响任何路线图方框，也不影响后面的步骤。梯度在第 32 天已经推导过。由 $L$ 重新算出 $P_{ij} = e^{s_{ij}-L_i}$，已知 $\Delta_i = dO_i\cdot O_i$，缩放为 $c$：

$$dV = P^\top dO,\qquad dS = P \circ (dO\,V^\top - \Delta),\qquad dQ = c\, dS\, K,\qquad dK = c\, dS^\top Q .$$

$dK$ 和 $dV$ 对查询累加，$dQ$ 对键累加。算法 2 在一个对键分块的循环里同时做这两件事，用原子操作把结果加到内存里的 $dQ$ 上。这样加法的次序每次运行都不同，$dQ$ 的末几位也就不同。这里改用两个 kernel，都用普通的写：$dK, dV$ 每块键一个程序，$dQ$ 每块查询一个程序。$S$ 与 $dP$ 要算两遍，每个分块 7 次乘积而不是 5 次，换来每次都完全相同的结果。
"""

# %% exercise="flash_backward"
from ladder.solutions.stage11_serving.day105_triton_flash_attention import flash_bwd_kv_kernel, flash_bwd_q_kernel

# %% [markdown] lang="zh" docstring="flash_bwd_kv_kernel"
r"""
程序 (j, h)：头 h 的键 j · BLOCK_N ...；用普通的写写出它们在 dk 与 dv 中的各行。

q 与 g = ∂loss/∂out (H, n_queries, HEAD_DIM)；k、v、dk、dv (H, n_keys, HEAD_DIM)，同一种浮点类型；lse 与 delta
(H, n_queries)，float32，delta_i = g_i · out_i。全部连续。每个查询都看得到某个键。记 p_ij = exp(s_ij − lse_i)
（查询 i 看得到键 j 时，否则为 0），ds_ij = p_ij (g_i · v_j − delta_i)：

    dv_j = Σ_i p_ij g_i,   dk_j = scale · Σ_i ds_ij q_i.

大小与 ``CAUSAL`` 的含义同 ``flash_attn_kernel``。看不到这些键中任何一个的查询块要跳过。
"""

# %% [markdown] lang="zh" docstring="flash_bwd_q_kernel"
r"""
程序 (i, h)：头 h 的查询 i · BLOCK_M ...；写出它们在 dq 中的各行。

其余都与 ``flash_bwd_kv_kernel`` 相同；dq 与 q 形状相同：dq_i = scale · Σ_j ds_ij k_j。块内没有任何查询看得到的分块要跳过。
"""

# %% [markdown] hint="flash_backward" lang="en"
r"""
Compute the tile transposed, keys by queries, in the first kernel: then $P^\top$ and $dS^\top$ are left operands as they come. What do masked rows of q and g, loaded as zeros, add to the sums?
"""

# %% [markdown] hint="flash_backward" lang="zh"
r"""
第一个 kernel 里把分块转置着算，键在行、查询在列：这样 $P^\top$ 与 $dS^\top$ 直接就是左操作数。被屏蔽而读成零的 q 和 g 的行，会给这些和加上什么？
"""

# %% [markdown] hint="flash_backward" lang="en"
r"""
Which is the first query that sees key `first`? Solve $j \le i + (M - N)$ for $i$ and round down to a block. In the dq kernel, a key that does not exist has the score 0, not −inf: its weight must be made 0.
"""

# %% [markdown] hint="flash_backward" lang="zh"
r"""
第一个看得到键 `first` 的查询是哪个？从 $j \le i + (M - N)$ 解出 $i$，再向下取整到块。dq kernel 里，不存在的键得分是 0 而不是 −inf：要把它的权重置 0。
"""

# %%
from ladder.graders.stage11_serving.day105_triton_flash_attention import check_backward_kv

check_backward_kv(flash_bwd_kv_kernel)

# %%
from ladder.graders.stage11_serving.day105_triton_flash_attention import check_backward_q

check_backward_q(flash_bwd_q_kernel)

# %% [markdown] lang="en"
r"""
## 5 · Parity

A benchmark of a wrong kernel is worthless, so first a test that would notice. Two questions decide what it is worth. *How is an error measured?* A norm of the difference relative to the norm of what is right does not depend on units and is not blind to NaN if you look for it. *On which cases?* Most faults of attention kernels show only on some shapes: a wrong mask needs a ragged end, a wrong corner needs $N \ne M$. Square multiples of 128 pass nearly everything.
"""

# %% [markdown] lang="zh"
r"""
## 5 · 一致性测试

给错误的 kernel 测速毫无价值，所以先要有一个能发现错误的测试。两个问题决定它值不值钱。*误差怎么量？* 差的范数除以正确值的范数，与单位无关；只要留意，也不会漏掉 NaN。*用哪些用例？* 注意力 kernel 的大多数毛病只在某些形状上显现：掩码不对要有不足一块的末尾才看得出，对错角要 $N \ne M$ 才看得出。边长是 128 倍数的方阵几乎什么都能蒙混过关。
"""

# %% exercise="parity"
from ladder.solutions.stage11_serving.day105_triton_flash_attention import relative_error, parity, parity_cases

# %% [markdown] lang="zh" docstring="relative_error"
r"""
‖ours − right‖ / ‖right‖，对所有元素，以 float64 计算。

两边是相同的无穷大的元素算作相等，两个范数都不计入它们。``ours`` 中有 NaN，或某处有 ``right`` 在该处没有的无穷大时，
结果为 inf；‖right‖ = 0 时，结果就是 ‖ours − right‖。形状不同则抛出 ValueError。``right`` 中没有 NaN。
"""

# %% [markdown] lang="zh" docstring="parity"
r"""
在每个用例 ``(n_queries, n_keys, head_dim, causal)`` 上比较两个注意力。

两者都以 ``f(q, k, v, causal)`` 的形式调用，返回 ``(out, lse)``。每个用例按 ``seed`` 从标准正态分布重新抽取
q (2, n_queries, head_dim)、k 与 v (2, n_keys, head_dim)，float32。attention 拿到的是它自己的一份拷贝，可以随意破坏。
每个用例一个字典，次序不变：``"case"``，即那个元组；``"error"``，out 与 lse 相对 twin 的 ``relative_error`` 中较大的一个；
``"ok"``，误差是否不超过 ``tolerance``。
"""

# %% [markdown] lang="zh" docstring="parity_cases"
r"""
至多六个用例 ``(n_queries, n_keys, head_dim, causal)``，任何有毛病的 kernel 都过不了关。

大小为 1 到 160，head_dim 为 16、32 或 64；kernel 的分块是 32 乘 32。无论 kernel 有下列哪个毛病，都要在某个用例上显现：
超出 n_keys 的键当作零参与计算；最后不足一块的查询没有写出；最大值变大时旧的和没有缩小；因果掩码靠左上角对齐（j ≤ i），
或者把键 j = i + n_keys − n_queries 也遮住了，或者根本没有；无论 head_dim 是多少，缩放总是 1/√64；看不到任何键的查询得到
NaN；lse 仍以 2 为底。
"""

# %% [markdown] hint="parity" lang="en"
r"""
For each fault in the list, ask: on which shapes does this kernel still give the right answer? One case may cover several faults.
"""

# %% [markdown] hint="parity" lang="zh"
r"""
对列表中的每个毛病问一问：在哪些形状上这个 kernel 仍然给出正确结果？一个用例可以覆盖好几个毛病。
"""

# %% [markdown] hint="parity" lang="en"
r"""
Under a causal mask, keys beyond the end are hidden anyway, so their fault needs a case without it. And a query that sees no key exists only where $N > M$. NaN compares false with everything: test for it by name.
"""

# %% [markdown] hint="parity" lang="zh"
r"""
有因果掩码时，末尾之外的键本来就被遮住，所以那个毛病需要一个没有掩码的用例。看不到任何键的查询只在 $N > M$ 时才有。NaN 与任何数比较都为假：要专门检测它。
"""

# %%
from ladder.graders.stage11_serving.day105_triton_flash_attention import check_parity

check_parity(relative_error, parity)

# %%
from ladder.graders.stage11_serving.day105_triton_flash_attention import check_parity_cases

check_parity_cases(parity_cases)

# %% [markdown] lang="en"
r"""
Now your kernel against Day 29, by your own test. Inputs are float32, which `tl.dot` multiplies in TF32 (10 bits of fraction), so the tolerance is $2\cdot 10^{-3}$.
"""

# %% [markdown] lang="zh"
r"""
现在用你自己的测试，把你的 kernel 与第 29 天的实现对比。输入是 float32，`tl.dot` 以 TF32（10 位尾数）相乘，所以容差取 $2\cdot 10^{-3}$。
"""

# %%
from ladder.earlier.day29_flash_attention_forward import flash2_forward

if have_triton():
    interpreted = partial(strict, launch_forward, block_m=32, block_n=32, kernel=flash_attn_kernel)
    verdicts = parity(interpreted, lambda q, k, v, causal: flash2_forward(q, k, v, 32, 32, causal), parity_cases(), 2e-3)
    for row in verdicts:
        print(row["case"], f"error {row['error']:.1e}", "ok" if row["ok"] else "WRONG")
else:
    print("not checked: needs Triton")

# %% [markdown] lang="en"
r"""
## 6 · The benchmark

What makes a timing honest: outputs compared first; the same inputs for both; a warm-up, because the first call compiles; the L2 cache overwritten between calls; the clock of the GPU (events), since a launch returns before the kernel has run; the median, because single calls are disturbed; and every shape reported, also those on which you lose. And the conditions are stored with the figures: GPU, versions, shapes, dtype, baseline.

The baseline is `torch.nn.functional.scaled_dot_product_attention`, which on a recent GPU runs FlashAttention-2 written in CUDA, or cuDNN's attention. Against *that*, a Triton kernel of 60 lines that reaches 0.8 is good work; "x% faster than native attention" of the roadmap is usually meant against attention that stores the scores. Name which one you mean.
"""

# %% [markdown] lang="zh"
r"""
## 6 · 基准测试

怎样测速才算诚实：先比较输出；两边用相同的输入；要预热，因为第一次调用会编译；每次调用之间用别的数据覆盖 L2 缓存；用 GPU 自己的时钟（event），因为启动返回时 kernel 还没跑完；取中位数，因为单次调用会受干扰；每种形状都要报告，包括你输掉的。测试条件与数字一起保存：GPU、版本、形状、dtype、基线。

基线是 `torch.nn.functional.scaled_dot_product_attention`，在较新的 GPU 上它运行的是用 CUDA 写的 FlashAttention-2，或者 cuDNN 的注意力。与*它*相比，一个 60 行的 Triton kernel 能达到 0.8 倍就很不错了；路线图上“比原生注意力快 x%”通常指与存储得分矩阵的注意力相比。要写明你指的是哪一个。
"""

# %% exercise="benchmark"
from ladder.solutions.stage11_serving.day105_triton_flash_attention import benchmark

# %% [markdown] lang="zh" docstring="benchmark"
r"""
在每种形状上给两个注意力计时；返回结果，若给出 ``path`` 则以 JSON 写入该文件。

``shapes``：字典，含 ``batch``、``heads``、``queries``、``keys``、``head_dim``、``causal`` 和 ``dtype``（名称，例如 "float16"）。
两个函数都以 ``f(q, k, v, causal)`` 的形式调用，输入是正态随机数，形状 (batch, heads, queries 或 keys, head_dim)，torch 有 GPU
时放在 GPU 上；返回 (batch, heads, queries, head_dim)。``timer(call)`` 给出反复调用 ``call()`` 的各次毫秒数，取中位数。
``gpu``：GPU 的名称，没有则为 None；此时什么都不调用，也不计时。

{"schema": "flash-benchmark/1", "gpu": gpu, "checked": 是否有 GPU,
 "note": "" 或 "not checked: needs a GPU", "baseline": 基线函数的 ``__name__``,
 "versions": {"torch": ..., "triton": ...}，取自两个模块的 ``__version__``,
 "rows": 每种形状一个字典，次序不变：形状的各项，以及 "error"（attention 的输出相对基线输出的 ``relative_error``）、
         "ours_ms"、"baseline_ms" 和 "speedup" = baseline_ms / ours_ms}

没有 GPU 时，最后四项为 None。误差超过 0.02 时抛出 RuntimeError，且不写文件：错误的 kernel 不计时。
"""

# %% [markdown] hint="benchmark" lang="en"
r"""
Decide first what happens without a GPU: every key of the schema is still there. Then one shape: inputs, both outputs, the error, both medians.
"""

# %% [markdown] hint="benchmark" lang="zh"
r"""
先确定没有 GPU 时怎么办：schema 里的每一项都还在。然后处理一种形状：输入、两个输出、误差、两个中位数。
"""

# %% [markdown] hint="benchmark" lang="en"
r"""
`timer` gets a function of no arguments. A lambda made in a loop sees the last values of the loop's variables if it is called later: bind them. The file is written last, when nothing can go wrong any more.
"""

# %% [markdown] hint="benchmark" lang="zh"
r"""
`timer` 接收一个无参数的函数。循环里创建的 lambda 若稍后才调用，看到的是循环变量最后的值：请把它们绑定住。文件最后再写，那时已经不会再出错。
"""

# %%
from ladder.graders.stage11_serving.day105_triton_flash_attention import check_benchmark

check_benchmark(benchmark)

# %% [markdown] lang="en"
r"""
Now for real. With a GPU this takes about a minute and writes `flash_benchmark.json`; without one it writes the same file with nothing in it but what is true: not checked.
"""

# %% [markdown] lang="zh"
r"""
现在动真格的。有 GPU 时大约需要一分钟，写出 `flash_benchmark.json`；没有 GPU 时写出同样的文件，里面只有事实：未检查。
"""

# %%
def gpu_timer(call, repeats=50):
    """Milliseconds of each call on the GPU, after a warm-up, the L2 cache overwritten before each."""
    scratch = torch.empty(64 * 2**20, dtype=torch.int32, device="cuda")
    for _ in range(5):
        call()
    times = []
    for _ in range(repeats):
        scratch.zero_()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return times


def triton_attention(q, k, v, causal):
    """Your kernel on (B, H, N, d)."""
    flat = (t.flatten(0, 1) for t in (q, k, v))
    out, _ = launch_forward(*flat, causal, 128, 64, kernel=flash_attn_kernel, num_warps=8, num_stages=3)
    return out.view_as(q)


def scaled_dot_product_attention(q, k, v, causal):
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


shapes = [dict(batch=4, heads=16, queries=n, keys=n, head_dim=d, causal=causal, dtype="float16")
          for n in (1024, 4096, 8192) for d in (64, 128) for causal in (False, True)]
has_gpu = torch.cuda.is_available() and have_triton()
results = benchmark(triton_attention, scaled_dot_product_attention, shapes, gpu_timer,
                    torch.cuda.get_device_name() if has_gpu else None, None if quick else Path("flash_benchmark.json"))
if results["checked"]:
    names = [f"{row['queries']}, d {row['head_dim']}{', causal' * row['causal']}" for row in results["rows"]]
    fig, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
    ax.bar(names, [row["speedup"] for row in results["rows"]])
    ax.axhline(1, color="k", linestyle=":")
    ax.set(ylabel="speed / SDPA's", title=results["gpu"])
    ax.tick_params(axis="x", rotation=45)
    plt.show()
else:
    print(results["note"])

# %% [markdown] lang="en"
r"""
## 7 · What you may claim

A reviewer will ask three things of "x% faster": than what, on what, for which shapes. The given `lint_claim(line, results)` asks them of a line, and a fourth: whether that percentage stands in the JSON. It returns the list of faults it found. Without a GPU the honest line has no number in it that was not measured, and says *not benchmarked*; that is no shame, an invented number is.

"x% faster" here means $x = 100\,(t_\text{baseline}/t_\text{ours} - 1)$: twice as fast is 100% faster.
"""

# %% [markdown] lang="zh"
r"""
## 7 · 可以怎么说

看到“快 x%”，审阅者会问三件事：比什么快、在什么硬件上、哪些形状。给出的 `lint_claim(line, results)` 会对一句话问这三件事，再加上第四件：这个百分比是否在 JSON 里。它返回发现的问题列表。没有 GPU 时，诚实的句子里没有任何未经测量的数字，并写明 *not benchmarked*；这不丢人，编造数字才丢人。

这里“快 x%”的含义是 $x = 100\,(t_\text{baseline}/t_\text{ours} - 1)$：快一倍就是快 100%。
"""

# %% exercise="claims"
from ladder.solutions.stage11_serving.day105_triton_flash_attention import readme_table, resume_line

# %% [markdown] lang="zh" docstring="readme_table"
r"""
把基准测试写成 README 里的 Markdown：各行以换行符连接，末尾没有换行。

第一行是 "GPU: <gpu> · torch <version> · triton <version> · baseline: <baseline>"；若没有测量，则以结果中的 note 代替
"GPU: <gpu>"。接着是空行，表头
"| batch | heads | queries | keys | head_dim | causal | dtype | ours_ms | baseline_ms | speedup |"，再一行
"|---|---|---|---|---|---|---|---|---|---|"，然后每个 row 一行，慢的也在内，次序不变，格式与表头一致：causal 写 yes 或 no，
毫秒数保留 3 位小数，speedup 保留 2 位，None 写作 –。
"""

# %% [markdown] lang="zh" docstring="resume_line"
r"""
一句用于简历的话，其中没有任何 ``results`` 不能支撑的内容；给出的 ``lint_claim`` 挑不出毛病。

英文，至多 240 个字符，不换行。只谈一个 row：query-key 对（queries · keys）最多的那个，有多个时取第一个。若有测量，写出该 row 的
queries、keys、head_dim、dtype，若为因果则含 causal 一词，还有 GPU 与基线的名称，并写 "x% faster"，speedup 低于 1 时写
"x% slower"，x 是最接近 100 · |speedup − 1| 的整数。若没有测量，其中没有 %，并写 "not benchmarked"。
"""

# %% [markdown] hint="claims" lang="en"
r"""
The table is one f-string for each row; look up how many decimals each column asks for. For the line, choose the row first, by its size and not by its speed.
"""

# %% [markdown] hint="claims" lang="zh"
r"""
表格的每一行就是一个 f-string；看清每一列要求几位小数。写那句话时先选定 row，看大小，不看速度。
"""

# %% [markdown] hint="claims" lang="en"
r"""
Run `lint_claim` on your line for results of your own making: a slow kernel, no GPU, queries and keys that differ. Numbers that belong to other rows count as faults.
"""

# %% [markdown] hint="claims" lang="zh"
r"""
自己编几份结果，对你的句子运行 `lint_claim`：慢的 kernel、没有 GPU、queries 与 keys 不同。属于其他 row 的数字也算毛病。
"""

# %%
from ladder.graders.stage11_serving.day105_triton_flash_attention import check_readme

check_readme(readme_table)

# %%
from ladder.graders.stage11_serving.day105_triton_flash_attention import check_resume

check_resume(resume_line)

# %%
print(readme_table(results), end="\n\n")
line = resume_line(results)
print(line)
print("lint:", lint_claim(line, results) or "nothing found")
for claim in ("Wrote a FlashAttention kernel, up to 3x faster", "FlashAttention in Triton, 25% faster than PyTorch"):
    print(claim, lint_claim(claim, results), sep="\n  ")

# %% [markdown] lang="en"
r"""
## 8 · The README of Project B

Write the README of your repository here, in 150 to 300 words, with the table above in its place. Graded by hand:

| points | for |
| --- | --- |
| 2 | what the kernel computes and what it leaves out (masks, head dimensions, backward), so that nobody is misled |
| 2 | why it is fast: what is not stored, which tiles are skipped, what limits it now, each with a figure from this notebook |
| 2 | how it was tested: parity, cases, tolerance, what was interpreted, compiled, run |
| 2 | how it was measured, or that it was not; every shape, GPU, versions and baseline; how to run it again |
"""

# %% [markdown] lang="zh"
r"""
## 8 · 项目 B 的 README

在此写出你的仓库的 README，150 到 300 词（中文 300 到 600 字），把上面的表格放进去。人工评分：

| 分值 | 内容 |
| --- | --- |
| 2 | kernel 计算什么、不支持什么（掩码、头维度、反向），不使任何人误解 |
| 2 | 为什么快：什么没有存储，跳过了哪些分块，现在受什么限制，各附一个来自本 notebook 的数字 |
| 2 | 怎样测试的：一致性、用例、容差，哪些经过解释执行、编译、实际运行 |
| 2 | 怎样测速的，或者没有测速；每种形状、GPU、版本与基线；怎样重新运行 |
"""

# %% [markdown] written="written_readme" lang="en"
r"""
*The README of Project B. Replace this text.*
"""

# %% [markdown] written="written_readme" lang="zh"
r"""
*项目 B 的 README（替换这段文字）。*
"""

# %% [markdown] model="written_readme" lang="en"
r"""
**flash-triton**: exact attention for head dimensions 16, 32, 64, 128 in one Triton kernel, forward pass (FlashAttention-2, arXiv 2307.08691), any number of queries and keys, causal (bottom-right) or full. Left out: other masks, dropout, grouped heads; the backward kernels are separate.

*Why it is fast.* The matrix of scores is never stored: at N = 512, d = 64 the standard algorithm moves at least 2 · 2 · 512² bytes more. Causal tiles that no query sees are neither loaded nor multiplied: at N = 512 with tiles of 32, 136 of 256 tiles are left (53%). Both products run on tensor cores. What limits it: registers; with blocks of 64 by 64 the kernel takes 184 of 255 a thread without spilling; with 128 by 64 in 4 warps it spills.

*Tested.* Interpreted strictly (bounds, races, unwritten outputs) against a float32 twin on three shapes, ragged and with N ≠ M: out and log-sum-exp agree to 2e-3 (TF32). Compiled for sm_80 without spills. Not run on a GPU.

*Measured.* not checked: needs a GPU. `python bench.py` compares outputs, then times both (median of 50, L2 overwritten, CUDA events) against torch's scaled_dot_product_attention, for N of 1024, 4096, 8192, d of 64, 128, causal and full, float16, and writes flash_benchmark.json with GPU and versions; the table lists every shape.
"""

# %% [markdown] model="written_readme" lang="zh"
r"""
**flash-triton**：用一个 Triton kernel 精确计算注意力的前向（FlashAttention-2，arXiv 2307.08691），头维度 16、32、64、128，任意多个查询与键，因果（靠右下角对齐）或全注意力。不支持：其他掩码、dropout、分组头；反向是另外的 kernel。

*为什么快。* 从不存储得分矩阵：N = 512、d = 64 时，标准算法至少要多搬运 2 · 2 · 512² 字节。没有查询看得到的因果分块既不读取也不相乘：N = 512、分块为 32 时，256 个分块只剩 136 个（53%）。两次乘积都用张量核心。限制在于寄存器：分块为 64 乘 64 时，每个线程用去 255 个中的 184 个，没有溢出；128 乘 64、4 个 warp 时会溢出。

*测试。* 在严格解释器中（越界、竞争、未写出）与 float32 的对照实现比较，三种形状，含不足一块与 N ≠ M 的情形：out 与 log-sum-exp 的误差不超过 2e-3（TF32）。为 sm_80 编译，没有溢出。没有在 GPU 上运行过。

*测速。* not checked: needs a GPU。`python bench.py` 先比较输出，再与 torch 的 scaled_dot_product_attention 对比计时（50 次的中位数，每次覆盖 L2，CUDA event），N 取 1024、4096、8192，d 取 64、128，因果与全注意力，float16；结果连同 GPU 与版本写入 flash_benchmark.json，表格列出每种形状。
"""

# %% [markdown] lang="en"
r"""
**Where this goes on.** `kernels/flash_attention.py` in this repository adds grouped heads, head dimensions that are no power of two, both backward kernels behind an `autograd.Function`, and a configuration for each GPU; compare your kernel with it. FlashAttention-3 ([arXiv 2407.08608](https://arxiv.org/abs/2407.08608)) uses what Hopper added: asynchronous products and copies, softmax of one block while another is multiplied, FP8.
"""

# %% [markdown] lang="zh"
r"""
**接下来。** 本仓库的 `kernels/flash_attention.py` 还支持分组头、不是 2 的幂的头维度，把两个反向 kernel 包进 `autograd.Function`，并为每种 GPU 准备了配置；可以与你的 kernel 对比。FlashAttention-3（[arXiv 2407.08608](https://arxiv.org/abs/2407.08608)）利用了 Hopper 新增的能力：异步的乘积与拷贝、一块在做 softmax 时另一块在相乘、FP8。
"""

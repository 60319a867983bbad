# %% [markdown] lang="en"
r"""
# Day 29 · FlashAttention forward

**Goal.** Compute exact attention without ever having the $N\times N$ matrix of scores, and know what that saves: not operations, but bytes. You count the bytes first, then make softmax work block by block, then put both together in the two loop orders of FlashAttention and FlashAttention-2.

| step | you write | source |
| --- | --- | --- |
| 1 | bytes to and from HBM, standard and flash | [arXiv 2205.14135](https://arxiv.org/abs/2205.14135), Algorithms 0 and 1, section 3.2 |
| 2 | softmax in blocks, with a running maximum and sum | the same, section 3.1 |
| 3 | which tiles the causal mask leaves | [arXiv 2307.08691](https://arxiv.org/abs/2307.08691), section 3.1 |
| 4 | FlashAttention | arXiv 2205.14135, Algorithm 1 |
| 5 | FlashAttention-2 | arXiv 2307.08691, Algorithm 1 |
| 6 | six questions about the papers | both |

Read sections 1 to 3.2 of the first paper before you start. Everything here runs in PyTorch on the CPU, and a "block" is a slice of a tensor. So nothing gets faster today. What you can see here is *what* is read, made and multiplied, and that decides the speed on a GPU (Day 105).

## 1 · Bytes, not operations

A GPU has a large slow memory and a small fast one. For the A100, section 2.1 gives 40 to 80 GB of HBM at 1.5 to 2.0 TB/s, and 192 KB of on-chip SRAM in each of 108 multiprocessors, at about 19 TB/s together. A kernel reads its operands from HBM, computes on chip, and writes its result to HBM. Its time is set by the slower of the two: moving or computing. Which one it is, the **arithmetic intensity** tells: operations for each byte moved. An A100 does $312\cdot10^{12}$ half-precision operations a second in matrix products, so below about $312/1.5\approx 208$ operations a byte it waits for memory.

Standard attention is three kernels: $S=QK^\top$, $P=\mathrm{softmax}(S)$, $O=PV$. Both matrix products together take $4N^2d$ operations. Count the bytes, with the exact terms, first for this algorithm and then for FlashAttention's Algorithm 1. That one keeps $K$ and $V$ in blocks of $B_c$ rows on chip and passes over all queries for each of them, so it reads and writes $O$ and the statistics $\ell$ and $m$ $T_c$ times, but $S$ and $P$ never.
"""

# %% [markdown] lang="zh"
r"""
# 第 29 天 · FlashAttention 前向

**目标。** 在从不生成 $N\times N$ 得分矩阵的前提下精确地计算注意力，并弄清楚省下的是什么：不是运算次数，而是字节数。先数字节，再让 softmax 能够逐块计算，最后把两者合起来，按 FlashAttention 与 FlashAttention-2 的两种循环次序各实现一遍。

| 步骤 | 你要写的 | 出处 |
| --- | --- | --- |
| 1 | 进出 HBM 的字节数：标准算法与 FlashAttention | [arXiv 2205.14135](https://arxiv.org/abs/2205.14135)，算法 0 与 1，3.2 节 |
| 2 | 分块 softmax：滚动的最大值与和 | 同上，3.1 节 |
| 3 | 因果掩码留下哪些分块 | [arXiv 2307.08691](https://arxiv.org/abs/2307.08691)，3.1 节 |
| 4 | FlashAttention | arXiv 2205.14135，算法 1 |
| 5 | FlashAttention-2 | arXiv 2307.08691，算法 1 |
| 6 | 关于论文的六个问题 | 两篇 |

开始之前请先读第一篇论文的第 1 节到 3.2 节。今天的一切都用 CPU 上的 PyTorch 运行，所谓“块”就是张量的一个切片，所以今天什么都不会变快。这里能看到的是*读了什么、生成了什么、乘了什么*，而这决定了 GPU 上的速度（第 105 天）。

## 1 · 要数的是字节，不是运算

GPU 有一块大而慢的内存和一块小而快的内存。对 A100，2.1 节给出：HBM 40 到 80 GB，带宽 1.5 到 2.0 TB/s；108 个多处理器各有 192 KB 片上 SRAM，合计带宽约 19 TB/s。一个 kernel 从 HBM 读入操作数，在片上计算，再把结果写回 HBM。它的时间取决于搬运与计算中较慢的一个。究竟是哪一个，要看**算术强度**：每搬运一个字节做多少次运算。A100 做半精度矩阵乘法每秒 $312\cdot10^{12}$ 次运算，因此每字节少于约 $312/1.5\approx 208$ 次运算时，它就在等内存。

标准注意力由三个 kernel 组成：$S=QK^\top$、$P=\mathrm{softmax}(S)$、$O=PV$。两次矩阵乘法合计 $4N^2d$ 次运算。请把各项精确地数出来：先数这个算法的字节数，再数 FlashAttention 算法 1 的。后者把 $K$ 和 $V$ 分成每块 $B_c$ 行放在片上，每一块都要把全部查询过一遍，所以 $O$ 以及统计量 $\ell$ 和 $m$ 要读写 $T_c$ 次，而 $S$ 和 $P$ 从不读写。
"""

# %% setup
import math
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from matplotlib.colors import ListedColormap
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ladder.earlier.day10_scaled_dot_product_attention import sdpa

# %% exercise="hbm_bytes"
from ladder.solutions.stage2_architecture.day29_flash_attention_forward import hbm_bytes_std, hbm_bytes_flash

# %% [markdown] lang="zh" docstring="hbm_bytes_std"
r"""
标准注意力（arXiv 2205.14135 的算法 0）进出 HBM 的字节数。

一个头，N 个查询和 N 个键，每个有 d 个数，每个数 ``itemsize`` 字节。三个 kernel，每个都把自己的操作数
从 HBM 完整地读入一次，并把结果写回 HBM：

1. S = QKᵀ；    2. P = softmax(S)；    3. O = PV。

Q、K、V、O 的形状是 (N, d)；S、P 是 (N, N)。返回读写合计的字节数，int。
"""

# %% [markdown] lang="zh" docstring="hbm_bytes_flash"
r"""
FlashAttention（arXiv 2205.14135 的算法 1）进出 HBM 的字节数。

一个头，N 个查询和 N 个键，每个有 d 个数。``M`` 是片上内存，以**字节**为单位；每个数占 ``itemsize`` 字节，
l 和 m 的数也一样。每个键块（第 1 行）有

    B_c = ⌈M / (4·d·itemsize)⌉ 行，因此共有 T_c = ⌈N / B_c⌉ 个键块。

最后一块可以不满。搬运的有：

- 第 2 行：O (N, d)、l (N) 和 m (N) 各写一次，写入零与 −∞；
- 第 6 行：K 和 V (N, d) 各读一次；
- 第 8 行，对每个键块：读入 Q、O、l 和 m 的所有行；
- 第 12、13 行，对每个键块：写出 O、l 和 m 的所有行。

返回读写合计的字节数，int。如果 M 放不下 d 个数，则抛出 ValueError（定理 2 要求 d <= M，以数的个数计）。
"""

# %% [markdown] hint="hbm_bytes" lang="en"
r"""
Make a table with a row for each matrix and two columns, read and written, and fill it in kernel by kernel (or line by line). Add up at the end.
"""

# %% [markdown] hint="hbm_bytes" lang="zh"
r"""
列一张表，每个矩阵一行，分“读”和“写”两列，逐个 kernel（或逐行算法）填好，最后再相加。
"""

# %% [markdown] hint="hbm_bytes" lang="en"
r"""
For the second function, separate what happens once from what happens once for each of the $T_c$ key blocks. The length of a block of queries does not matter: each pass touches all N rows. Both divisions round up; whole numbers avoid rounding errors.
"""

# %% [markdown] hint="hbm_bytes" lang="zh"
r"""
第二个函数里，把只发生一次的与每个键块（共 $T_c$ 个）各发生一次的分开。查询块多长并不重要：每一遍都会碰到全部 N 行。两处除法都向上取整；用整数运算可避免舍入误差。
"""

# %%
from ladder.graders.stage2_architecture.day29_flash_attention_forward import check_hbm_bytes_std

check_hbm_bytes_std(hbm_bytes_std)

# %%
from ladder.graders.stage2_architecture.day29_flash_attention_forward import check_hbm_bytes_flash

check_hbm_bytes_flash(hbm_bytes_flash)

# %%
d, KiB = 64, 1024
lengths = 2 ** np.arange(4, 17)
fig, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
axes[0].loglog(lengths, [hbm_bytes_std(int(n), d) for n in lengths], "C3o-", label="standard")
for size, style in ((192, "C0o-"), (48, "C0o--")):
    axes[0].loglog(lengths, [hbm_bytes_flash(int(n), d, size * KiB) for n in lengths], style,
                   label=f"flash, M = {size} KiB")
axes[0].set(xlabel="N", ylabel="bytes to and from HBM", title=f"one head, d = {d}, 2 bytes a number")
axes[0].legend()
memory = np.unique(np.geomspace(2 * d, 8 * 4096 * d, 400).astype(int))
for width, colour in ((64, "C0"), (128, "C1")):
    here = [int(m) for m in memory if m >= 2 * width]
    axes[1].loglog([m / KiB for m in here], [hbm_bytes_flash(4096, width, m) for m in here], colour,
                   label=f"flash, d = {width}")
axes[1].axhline(hbm_bytes_std(4096, 64), color="C3", label="standard, d = 64 (128: 1.5 % more)")
axes[1].set(xlabel="on-chip memory M in KiB", ylabel="bytes to and from HBM", title="N = 4096")
axes[1].legend(fontsize=8)
for n in (1024, 8192, 65536):
    std, flash, operations = hbm_bytes_std(n, d), hbm_bytes_flash(n, d, 192 * KiB), 4 * n * n * d
    print(f"N = {n:5d}: standard / flash = {std / flash:.2f}; operations a byte: "
          f"standard {operations / std:.0f}, flash {operations / flash:.0f}")
plt.show()

# %% [markdown] lang="en"
r"""
On the left both lines end with slope 2: FlashAttention is still quadratic in $N$. But the factor in front is smaller, and for $d=64$ with 192 KiB the intensity rises from about 30 operations a byte, far below 208, to 168 at $N=1024$ and about 250 for the longest sequences. Below a few dozen tokens it does not pay. On the right the staircase follows $1/M$ until one block holds all keys. Doubling $d$ costs a factor of 4 there: a row is twice as long, and half as many rows fit. That is Theorem 2, $\Theta(N^2d^2M^{-1})$ against $\Theta(Nd+N^2)$, and it holds for $d\le M\le Nd$, with $M$ in numbers.

The paper's own measurement (figure 2, left: GPT-2 medium, $N=1024$, $d=64$, batch 64, 16 heads, an A100, forward and backward): 66.6 against 75.2 GFLOPs, 40.3 against 4.4 GB, 41.7 against 7.3 ms. More operations, fewer bytes, less time.

## 2 · Softmax, met in blocks

To have $O$ without $S$, a tile of scores must be used up and thrown away as soon as it has been computed. But softmax divides by a sum over the whole row, and, to be safe from overflow, subtracts the maximum of the whole row. Both can be kept up to date. Let $m$ be the largest number so far and $\ell=\sum_s e^{x_s-m}$ the sum so far. A new block $x^{(t)}$ arrives:

$$m_t=\max\big(m_{t-1},\ \max_s x^{(t)}_s\big),\qquad \ell_t=e^{m_{t-1}-m_t}\,\ell_{t-1}+\sum_s e^{x^{(t)}_s-m_t}.$$

The first factor moves the old sum to the new reference point: $e^{x-m_{t-1}}\,e^{m_{t-1}-m_t}=e^{x-m_t}$. It is at most 1, so nothing overflows. Any other sum with the weights $e^{x_s-m}$ can be carried along with the same factor, $\sum_s e^{x_s-m}v_s$ for example; that will be $O$.

Masked scores are $-\infty$. Note that a row may meet *only* those for a while, and $-\infty-(-\infty)$ is not a number.
"""

# %% [markdown] lang="zh"
r"""
左图中两条线最后的斜率都是 2：FlashAttention 对 $N$ 依旧是平方的。但前面的系数小了；当 $d=64$、192 KiB 时，算术强度从每字节约 30 次运算（远低于 208）升到 $N=1024$ 时的 168 次，最长的序列约 250 次。只有几十个 token 时它并不划算。右图的阶梯大体按 $1/M$ 下降，直到一块就装得下所有键。把 $d$ 加倍，代价是 4 倍：一行变成两倍长，而能放下的行数减半。这就是定理 2：$\Theta(N^2d^2M^{-1})$ 对 $\Theta(Nd+N^2)$，在 $d\le M\le Nd$ 时成立，其中 $M$ 以数的个数计。

论文自己的测量（图 2 左：GPT-2 medium，$N=1024$，$d=64$，批量 64，16 个头，A100，前向加反向）：66.6 对 75.2 GFLOPs，40.3 对 4.4 GB，41.7 对 7.3 ms。运算更多，字节更少，时间更短。

## 2 · 逐块到来的 softmax

要得到 $O$ 而不保留 $S$，一块得分算出来就得立刻用掉、丢弃。可是 softmax 要除以整行的和，而且为防溢出还要减去整行的最大值。这两者都可以随时更新。设 $m$ 是目前为止的最大值，$\ell=\sum_s e^{x_s-m}$ 是目前为止的和。新的一块 $x^{(t)}$ 到来时：

$$m_t=\max\big(m_{t-1},\ \max_s x^{(t)}_s\big),\qquad \ell_t=e^{m_{t-1}-m_t}\,\ell_{t-1}+\sum_s e^{x^{(t)}_s-m_t}.$$

第一个因子把旧的和换到新的基准：$e^{x-m_{t-1}}\,e^{m_{t-1}-m_t}=e^{x-m_t}$。它不超过 1，所以不会溢出。任何以 $e^{x_s-m}$ 为权重的和都可以用同一个因子一起带着走，例如 $\sum_s e^{x_s-m}v_s$；那就是后面的 $O$。

被遮掉的得分是 $-\infty$。注意一行可能在一段时间里*只*遇到这样的得分，而 $-\infty-(-\infty)$ 不是一个数。
"""

# %% exercise="online_softmax_blocks"
from ladder.solutions.stage2_architecture.day29_flash_attention_forward import online_softmax_blocks

# %% [markdown] lang="zh" docstring="online_softmax_blocks"
r"""
沿最后一个轴的 softmax，每次只遇到 ``B`` 个数组成的一块：``(p, m, l)``。

共有 T = ⌈N / B⌉ 块，最后一块可以不满。对 t = 0, ..., T − 1，

    m[..., t] = 第 0 到 t 块中最大的数，
    l[..., t] = Σ exp(x_s − m[..., t])   对第 0 到 t 块中的各数 x_s 求和

（arXiv 2205.14135，3.1 节 “Tiling”），而 p = softmax(x)，形状与 ``x`` 相同。

元素可以是 −∞：表示被遮掉，exp(−∞) = 0。在只遇到过这种元素的时候，m = −∞，l = 0；整行都是它们时 p = 0。
任何结果都不是 NaN；无论数有多大，p 和 l 都是有限值。N、B >= 1；dtype 与 ``x`` 相同，``x`` 保持不变。
"""

# %% [markdown] hint="online_softmax_blocks" lang="en"
r"""
Start with $m=-\infty$ and $\ell=0$ and write the two equations in their order, with the old $m$ still at hand in the second. The last $m$ and $\ell$ are those of the whole row.
"""

# %% [markdown] hint="online_softmax_blocks" lang="zh"
r"""
从 $m=-\infty$、$\ell=0$ 开始，按顺序写出那两个式子；写第二个时还要用到旧的 $m$。最后的 $m$ 和 $\ell$ 就是整行的。
"""

# %% [markdown] hint="online_softmax_blocks" lang="en"
r"""
Every exponent subtracts the new maximum. If you subtract a finite number instead wherever that maximum is −∞, all exponents there are −∞ and all terms 0, which is what is asked. Then only a division by 0 is left to think about.
"""

# %% [markdown] hint="online_softmax_blocks" lang="zh"
r"""
每个指数都要减去新的最大值。若在该最大值为 −∞ 的地方改减一个有限的数，那里的指数就都是 −∞，各项都是 0，正合要求。剩下要考虑的就只有除以 0 了。
"""

# %%
from ladder.graders.stage2_architecture.day29_flash_attention_forward import check_online_softmax_blocks

check_online_softmax_blocks(online_softmax_blocks)

# %%
torch.manual_seed(3)
x, B = torch.randn(40) * 1.5 + torch.linspace(-1, 2, 40), 4
p, m, l = online_softmax_blocks(x, B)
edges = B * torch.arange(1, len(m) + 1)
unscaled = torch.cumsum(torch.stack([torch.exp(part - top).sum() for part, top in zip(x.split(B), m, strict=True)]), 0)
fig, axes = plt.subplots(2, 1, figsize=(9, 4.8), sharex=True, layout="constrained")
axes[0].bar(np.arange(40) + 0.5, x, color="0.8", label="x")
axes[0].step([0, *edges], [m[0], *m], color="C3", label="running maximum m")
axes[0].legend()
axes[1].step([0, *edges], [l[0], *l], color="C0", label="running sum l")
axes[1].step([0, *edges], [unscaled[0], *unscaled], "C7--", label="without rescaling (wrong)")
axes[1].set(xlabel=f"numbers met so far, in blocks of {B}", ylim=(0, None))
axes[1].legend()
print(f"largest difference to torch.softmax: {(p - x.softmax(0)).abs().max():.1e}")
plt.show()

# %% [markdown] lang="en"
r"""
Each time the red line rises, the blue one shrinks what it had before it adds the new block. The dashed one does not, and counts the old numbers as if they were larger than they are.

## 3 · Tiles, and what the causal mask leaves of them

Cut the queries into blocks of $B_r$ and the keys into blocks of $B_c$: the scores fall into tiles. With a causal mask, about half of the tiles hold nothing but masked scores. These need not be computed, nor their keys loaded. Most of the others need no mask at all. Only the tiles that the boundary runs through must be masked entry by entry. Section 3.1 of FlashAttention-2 reports that causal attention thus takes 1.7 to 1.8 times less time than attention without a mask.

Two things make this a source of errors. The last blocks may be shorter. And with a cache there are fewer queries than keys: the queries are the *last* $N$ of $M$ positions, so query $i$ sees the keys $j\le i+(M-N)$, as on Day 22. The boundary ends in the bottom right corner. If $N>M$, the first $N-M$ queries see nothing.
"""

# %% [markdown] lang="zh"
r"""
每当红线上升，蓝线就先把已有的和缩小，再加上新的一块。虚线没有这样做，于是把旧的数算得比实际更大。

## 3 · 分块，以及因果掩码留下的部分

把查询切成每块 $B_r$ 个，键切成每块 $B_c$ 个，得分就落进一个个分块（tile）。有因果掩码时，约一半的分块里全是被遮掉的得分，不必计算，连它们的键也不必载入。其余的大多数完全不需要掩码。只有边界穿过的那些分块才要逐个元素地遮掉。FlashAttention-2 的 3.1 节报告，这样做之后，因果注意力比不带掩码的注意力快约 1.7 到 1.8 倍。

有两点容易出错。最后的块可能不满。有缓存时查询比键少：查询是 $M$ 个位置中的*最后* $N$ 个，所以查询 $i$ 能看到键 $j\le i+(M-N)$，与第 22 天相同，边界止于右下角。如果 $N>M$，最前面的 $N-M$ 个查询什么都看不到。
"""

# %% exercise="causal_tiles"
from ladder.solutions.stage2_architecture.day29_flash_attention_forward import causal_tiles, tile_mask

# %% [markdown] lang="zh" docstring="causal_tiles"
r"""
因果掩码在 (N, M) 得分的每个分块里留下什么：0 跳过，1 部分，2 完整。

查询 i 能看到键 j <= i + (M − N)：最后一个查询能看到所有键（“右下角”对齐）。
查询块 a 包含查询 a·Br 到 (a + 1)·Br − 1 中存在的那些（< N），键块 b 包含键 b·Bc 到 (b + 1)·Bc − 1
中存在的那些（< M）。结果的形状是 (⌈N / Br⌉, ⌈M / Bc⌉)，dtype 为 int64；其元素 [a, b] 为

- 0，如果块 a 的任何查询都看不到块 b 的任何键：没有什么要算；
- 2，如果块 a 的每个查询都能看到块 b 的每个键：不需要掩码；
- 1，其他情形。

N < M（缓存之后的几个新查询）和 N > M（最前面的查询什么都看不到）都允许；N、M、Br、Bc >= 1。
不生成 (N, M) 矩阵。
"""

# %% [markdown] lang="zh" docstring="tile_mask"
r"""
查询块 a 的每个查询能看到键块 b 的哪些键，各名称与 ``causal_tiles`` 相同。

bool 张量，查询能看到键之处为 True。块中存在的每个查询占一行，存在的每个键占一列：
形状为 (Br, Bc)，末尾不满的块则更小。
"""

# %% [markdown] hint="causal_tiles" lang="en"
r"""
Two corners of a tile decide. If even the query that sees most does not see the first key, nothing is seen. If even the query that sees least sees the last key, everything is.
"""

# %% [markdown] hint="causal_tiles" lang="zh"
r"""
分块的两个角就能决定一切。如果连看得最多的查询都看不到第一个键，那就什么都看不到；如果连看得最少的查询都能看到最后一个键，那就全都看得到。
"""

# %% [markdown] hint="causal_tiles" lang="en"
r"""
Write the first and last query of each block as a column, the first and last key as a row, and compare: broadcasting gives the map. Clip "last" to what exists. In `tile_mask`, compare the true positions of queries and keys, not their places in the tile.
"""

# %% [markdown] hint="causal_tiles" lang="zh"
r"""
把每块的首末查询写成一列，首末键写成一行，再比较：广播就给出整张图。“末”要截到实际存在的范围内。在 `tile_mask` 里，要比较查询与键的真实位置，而不是它们在分块里的位置。
"""

# %%
from ladder.graders.stage2_architecture.day29_flash_attention_forward import check_causal_tiles

check_causal_tiles(causal_tiles)

# %%
from ladder.graders.stage2_architecture.day29_flash_attention_forward import check_tile_mask

check_tile_mask(tile_mask)

# %%
KINDS = ListedColormap(["0.92", "C1", "C0"])
cases = (("N = M", 64, 64, 8, 8), ("after a cache", 30, 70, 8, 8), ("more queries than keys", 60, 38, 8, 8))
fig, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
for ax, (title, N, M, Br, Bc) in zip(axes, cases, strict=True):
    tiles = causal_tiles(N, M, Br, Bc)
    for a, b in product(range(tiles.shape[0]), range(tiles.shape[1])):
        rows, cols = min(Br, N - a * Br), min(Bc, M - b * Bc)
        ax.add_patch(plt.Rectangle((b * Bc, a * Br), cols, rows, facecolor=KINDS(int(tiles[a, b])), edgecolor="white"))
    ax.plot([M - N + 0.5, M + 0.5], [0.5, N + 0.5], "k", linewidth=1)
    counts = torch.bincount(tiles.flatten(), minlength=3).tolist()
    ax.set(xlim=(0, M), ylim=(N, 0), aspect="equal", xlabel="keys", ylabel="queries",
           title=f"{title}: {N} x {M}\nskipped {counts[0]}, partial {counts[1]}, full {counts[2]}")
plt.show()
for size in (1, 8, 64, 512):
    tiles = causal_tiles(1024, 1024, size, size)
    print(f"1024 x 1024 in tiles of {size:3d}: {(tiles > 0).double().mean():6.1%} computed, "
          f"{(tiles == 1).double().mean():6.1%} masked")

# %% [markdown] lang="en"
r"""
Grey is skipped, blue needs no mask, orange does. Large tiles waste work along the boundary; small ones move more. (Tiles of 1 need no masks; nobody would use them.)

## 4 · FlashAttention

Now the two parts meet. For a query block, let $\tilde m$, $\tilde P=e^{S-\tilde m}$ and $\tilde\ell=\sum\tilde P$ belong to the tile at hand (Algorithm 1, line 10), and $m$, $\ell$, $O$ to the keys met before. Then (lines 11 and 12)

$$m'=\max(m,\tilde m),\qquad \ell'=e^{m-m'}\ell+e^{\tilde m-m'}\tilde\ell,\qquad O'=\frac{e^{m-m'}\,\ell\,O+e^{\tilde m-m'}\,\tilde P V}{\ell'}.$$

$O$ is normalised after each tile: it *is* the attention over the keys met so far. So the old sum $\ell$ has to be multiplied back in before the new part is added. Here $S$ stands for the scores with the scale $1/\sqrt d$ in them.

The outer loop runs over blocks of keys and values, as in the paper: a block is loaded once and meets all query blocks. Besides $O$, return $L=m+\log\ell$, the logarithm of the sum of $e^{S}$ of each row: one number a query, from which the backward pass (Day 32) can rebuild any tile of $P$.

The check watches the computation. It sees how large the tensors are that you make, how many multiply-adds your matrix products take, and in which order blocks of $K$ and $V$ are taken up.
"""

# %% [markdown] lang="zh"
r"""
灰色的跳过，蓝色的不需要掩码，橙色的需要。分块大，则边界上浪费的计算多；分块小，则搬运多。（大小为 1 的分块不需要掩码，但没有人会这样用。）

## 4 · FlashAttention

现在把两部分合起来。对一个查询块，设 $\tilde m$、$\tilde P=e^{S-\tilde m}$、$\tilde\ell=\sum\tilde P$ 属于当前分块（算法 1 第 10 行），$m$、$\ell$、$O$ 属于此前遇到的键。则（第 11、12 行）

$$m'=\max(m,\tilde m),\qquad \ell'=e^{m-m'}\ell+e^{\tilde m-m'}\tilde\ell,\qquad O'=\frac{e^{m-m'}\,\ell\,O+e^{\tilde m-m'}\,\tilde P V}{\ell'}.$$

每一块之后 $O$ 都是归一化的：它*就是*对目前遇到的键的注意力。因此在加上新的部分之前，要先把旧的和 $\ell$ 乘回去。这里的 $S$ 是已经乘过 $1/\sqrt d$ 的得分。

与论文相同，外层循环遍历键和值的块：每块只载入一次，与所有查询块相遇。除了 $O$，还要返回 $L=m+\log\ell$，即每一行 $e^{S}$ 之和的对数：每个查询一个数，反向传播（第 32 天）可以由它重建 $P$ 的任何一块。

检查会旁观整个计算：你生成的张量有多大，矩阵乘法用了多少次乘加，以及 $K$ 和 $V$ 的块按什么次序取用。
"""

# %% exercise="flash_forward"
from ladder.solutions.stage2_architecture.day29_flash_attention_forward import flash_forward

# %% [markdown] lang="zh" docstring="flash_forward"
r"""
按 arXiv 2205.14135 的算法 1 计算注意力：``(O, L)``。

设得分 S = QKᵀ / √d，则

    O = softmax(S) V，      L[..., i] = log Σ_j exp(S[..., i, j])。

causal=True 时，查询 i 只能看到键 j <= i + (M − N)。看不到任何键的查询得到 O = 0、L = −∞。
``q``、``k``、``v`` 的前面各轴相同（可以没有，也可以有几个），为 float32 或 float64，保持不变；O 和 L 的 dtype
与 ``q`` 相同。N、M、Br、Bc 可取任何 >= 1 的值：最后的块可以不满。无论得分多大，结果都是有限值。不需要 autograd。

计算的方式也算数；检查会旁观：

- 外层循环遍历键块：一块 K 和 V 在使用期间与每个查询块相遇，之后不再回来；
- 每算一个分块就更新相应的 O 与滚动统计量，因此每一遍之后，O 都是对目前遇到的键的注意力；
- 得分只以分块的形式存在。途中生成的任何张量，其数的个数不超过 ``q`` 与 ``k`` 中较大者的两倍，
  或每个头 Br·Bc·d 个（如果后者更大）；
- 每个分块用两次 torch 的矩阵乘法（``@``、matmul、einsum 等），一次用于得分，一次用于它对 O 的贡献；
  ``causal`` 完全遮住的分块不计算。
"""

# %% [markdown] hint="flash_forward" lang="en"
r"""
Make $O$, $\ell$ and $m$ for all queries before the loops, and treat them as living in slow memory: inside the loops, take the rows of one query block out, compute the new ones, and write them back. Get `causal=False` right first, then with block sizes that do not divide N and M.
"""

# %% [markdown] hint="flash_forward" lang="zh"
r"""
在循环之前为所有查询建好 $O$、$\ell$、$m$，并把它们当作住在慢速内存里：在循环中取出一个查询块的那些行，算出新的，再写回去。先让 `causal=False` 正确，再试不能整除 N 和 M 的块大小。
"""

# %% [markdown] hint="flash_forward" lang="en"
r"""
Causal: ask `causal_tiles` whether the tile is to be skipped, and use `tile_mask` where it is partial. If $m$ starts at the lowest finite number rather than −∞, and $\tilde m$ is not allowed below it, no exponent is ever −∞ − (−∞). A row that has seen a key has $\ell\ge 1$: which divisor does no harm to these rows and saves the others?
"""

# %% [markdown] hint="flash_forward" lang="zh"
r"""
因果情形：问 `causal_tiles` 这一块是否要跳过，在部分可见的块上使用 `tile_mask`。如果 $m$ 从最小的有限数而不是 −∞ 开始，并且不让 $\tilde m$ 低于它，就不会出现 −∞ − (−∞)。见过键的行有 $\ell\ge 1$：什么样的除数对这些行无害，又能照顾到其余的行？
"""

# %%
from ladder.graders.stage2_architecture.day29_flash_attention_forward import check_flash_forward

check_flash_forward(flash_forward)

# %%
from ladder.graders.stage2_architecture.day29_flash_attention_forward import check_flash_tiles

check_flash_tiles(flash_forward)

# %% [markdown] lang="en"
r"""
Exact, and never the whole matrix. The next cell compares your function with Day 10's `sdpa` and notes, for growing $N$, the largest tensor that each of them makes.
"""

# %% [markdown] lang="zh"
r"""
结果精确，而且从未有过整个矩阵。下一个单元格把你的函数与第 10 天的 `sdpa` 比较，并记下 $N$ 增大时两者各自生成的最大张量。
"""

# %%
class Largest(TorchDispatchMode):
    """Notes the bytes of the largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        made = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        self.bytes = max(self.bytes, *(t.untyped_storage().nbytes() for t in made), 0)
        return out


def largest(call, *args):
    with Largest() as watch:
        call(*args)
    return watch.bytes


torch.manual_seed(0)
lengths = (64, 128, 256, 512, 1024)
sizes = {"sdpa of Day 10": [], "flash_forward, tiles of 64": [], "the output": []}
for N in lengths:
    q, k, v = (torch.randn(N, 16) for _ in range(3))
    sizes["sdpa of Day 10"].append(largest(sdpa, q, k, v))
    sizes["flash_forward, tiles of 64"].append(largest(flash_forward, q, k, v, 64, 64))
    sizes["the output"].append(q.nbytes)
fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for (name, values), style in zip(sizes.items(), ("C3o-", "C0o-", "C7:"), strict=True):
    ax.loglog(lengths, values, style, label=name)
ax.set(xlabel="N", ylabel="bytes of the largest tensor made", title="d = 16, float32, one head")
ax.legend()
q, k, v = torch.randn(3, 2, 4, 100, 16)
mask = torch.ones(100, 100, dtype=torch.bool).tril()
print(f"largest difference to sdpa: {(flash_forward(q, k, v, 32, 24)[0] - sdpa(q, k, v)).abs().max():.1e}, causal "
      f"{(flash_forward(q, k, v, 32, 24, True)[0] - sdpa(q, k, v, mask)).abs().max():.1e}")
plt.show()

# %% [markdown] lang="en"
r"""
**Recomputation.** What must stay for the backward pass? Standard attention keeps $P$, $N^2$ numbers. With $L$ each tile comes back from $q$ and $k$ alone, already normalised: $P=e^{S-L}$. That costs one more matrix product a tile, and no HBM traffic of size $N^2$. Gradient checkpointing trades time for memory; here the recomputed version is faster as well, because the time went into bytes.
"""

# %% [markdown] lang="zh"
r"""
**重计算。** 反向传播需要留下什么？标准注意力留下 $P$，共 $N^2$ 个数。有了 $L$，每一块都能仅由 $q$ 和 $k$ 重新得到，而且已经归一化：$P=e^{S-L}$。代价是每块多一次矩阵乘法，却没有 $N^2$ 量级的 HBM 读写。梯度检查点是以时间换内存；这里重算的版本反而更快，因为时间本来就花在字节上。
"""

# %%
O, L = flash_forward(q, k, v, 32, 24)
rows, cols = slice(32, 64), slice(72, 96)
tile = torch.exp(q[..., rows, :] @ k[..., cols, :].mT / math.sqrt(16) - L[..., rows, None])
whole = (q @ k.mT / math.sqrt(16)).softmax(-1)
print(f"a tile of P rebuilt from q, k and L: largest difference {(tile - whole[..., rows, cols]).abs().max():.1e}")
print(f"kept for the backward pass besides q, k, v, O: {L.numel()} numbers instead of {whole.numel()}")

# %% [markdown] lang="en"
r"""
## 5 · FlashAttention-2: turn the loops around

Matrix products run on tensor cores, at 312 TFLOP/s on an A100; everything else runs at 19.5. Section 3.1 of FlashAttention-2 therefore counts an operation outside of matrix products 16 times. Line 12 above does many of them: it scales $O$ back, and divides it, at every tile. Put the division off. Keep $\tilde O=\ell\,O$, not normalised:

$$m'=\max(m,\max S),\qquad P=e^{S-m'},\qquad \ell'=e^{m-m'}\ell+\sum P,\qquad \tilde O'=e^{m-m'}\,\tilde O+PV,$$

and at the very end $O=\tilde O/\ell$ and $L=m+\log\ell$.

And turn the loops around: the outer one over query blocks. Then $\tilde O$, $m$ and $\ell$ of one query block stay on chip until they are finished, and each row of $O$ is written once. Query blocks have nothing to do with each other, so each can be a program of its own on the GPU (section 3.2). In the first version only heads and batch were parallel.
"""

# %% [markdown] lang="zh"
r"""
## 5 · FlashAttention-2：把循环翻过来

矩阵乘法在 tensor core 上运行，A100 上为 312 TFLOP/s；其余一切只有 19.5。所以 FlashAttention-2 的 3.1 节把一次非矩阵乘法的运算算作 16 次。上面的第 12 行就有许多这样的运算：每一块都要把 $O$ 乘回去，再做一次除法。把除法推迟，保留未归一化的 $\tilde O=\ell\,O$：

$$m'=\max(m,\max S),\qquad P=e^{S-m'},\qquad \ell'=e^{m-m'}\ell+\sum P,\qquad \tilde O'=e^{m-m'}\,\tilde O+PV,$$

到最后才有 $O=\tilde O/\ell$ 和 $L=m+\log\ell$。

再把循环翻过来：外层遍历查询块。这样，一个查询块的 $\tilde O$、$m$、$\ell$ 一直留在片上直到完成，$O$ 的每一行只写一次。各查询块互不相干，因此在 GPU 上每块都可以是一个独立的程序（3.2 节）。在第一版里，只有头和批次是并行的。
"""

# %% exercise="flash2_forward"
from ladder.solutions.stage2_architecture.day29_flash_attention_forward import flash2_forward

# %% [markdown] lang="zh" docstring="flash2_forward"
r"""
按 arXiv 2307.08691 的算法 1 计算注意力：``(O, L)``。

参数与结果同 ``flash_forward``，边界情形也相同：看不到键的查询 L = −∞、O = 0，任意的块大小，任意大小的得分。
不同的是做法：

- 外层循环遍历查询块：一块 Q 与它能看到的所有键块相遇，之后不再回来；
- 滚动的 O 不做归一化：每个查询块只在最后一个键块之后除以滚动的和一次（3.1 节）；
- 与之前一样，得分只以分块的形式存在（张量大小的限制相同），每个分块用两次 torch 的矩阵乘法，
  ``causal`` 完全遮住的分块不计算。
"""

# %% [markdown] hint="flash2_forward" lang="en"
r"""
Start from your `flash_forward`. $\tilde O$, $\ell$ and $m$ now belong to one query block and are made anew inside the outer loop. The tile is shifted by the new running maximum straight away, so one factor is enough.
"""

# %% [markdown] hint="flash2_forward" lang="zh"
r"""
从你的 `flash_forward` 出发。$\tilde O$、$\ell$、$m$ 现在属于一个查询块，在外层循环里重新建立。分块直接减去新的滚动最大值，所以只需要一个因子。
"""

# %% [markdown] hint="flash2_forward" lang="en"
r"""
Three lines change in the inner loop: the sum and $\tilde O$ shrink by the same factor, and there is no division. The division and $L$ come after the inner loop. A query block that skipped all its tiles still owes its rows of $O$ and $L$.
"""

# %% [markdown] hint="flash2_forward" lang="zh"
r"""
内层循环里有三行要改：和与 $\tilde O$ 乘以同一个缩小因子，并且没有除法。除法与 $L$ 放在内层循环之后。即使一个查询块跳过了所有分块，它的 $O$ 和 $L$ 各行也不能缺。
"""

# %%
from ladder.graders.stage2_architecture.day29_flash_attention_forward import check_flash2_forward

check_flash2_forward(flash2_forward)

# %%
from ladder.graders.stage2_architecture.day29_flash_attention_forward import check_flash2_tiles

check_flash2_tiles(flash2_forward)

# %% [markdown] lang="en"
r"""
What each order moves, tensor by tensor, with the same on-chip memory (four blocks of $M/4$ in both cases), counted from the two algorithms. Bars above zero are read, bars below are written.
"""

# %% [markdown] lang="zh"
r"""
片上内存相同时（两种情形都是四个 $M/4$ 的块），两种次序各搬运多少，按张量从两个算法数出来。零以上是读，零以下是写。
"""

# %%
N, d, M = 4096, 64, 96 * KiB
T = -(-N // -(-M // (4 * d * 2)))     # blocks of queries, and of keys
nd = N * d * 2 / 2**20
read = {"flash": {"Q": T * nd, "K, V": 2 * nd, "O": T * nd, "statistics": T * 2 * nd / d},
        "flash 2": {"Q": nd, "K, V": 2 * T * nd, "O": 0, "statistics": 0}}
written = {"flash": {"O": (T + 1) * nd, "statistics": (T + 1) * 2 * nd / d}, "flash 2": {"O": nd, "statistics": nd / d}}
fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
for i, way in enumerate(read):
    up = down = 0.0
    for n, name in enumerate(read[way]):
        ax.bar(way, read[way][name], bottom=up, color=f"C{n}", label=None if i else name)
        ax.bar(way, -written[way].get(name, 0), bottom=-down, color=f"C{n}")
        up, down = up + read[way][name], down + written[way].get(name, 0)
    print(f"{way:8s}{up:6.1f} MiB read, {down:5.1f} MiB written")
assert math.isclose(sum(read["flash"].values()) + sum(written["flash"].values()), hbm_bytes_flash(N, d, M) / 2**20)
ax.axhline(0, color="black", linewidth=0.8)
ax.set(ylabel="MiB (read above, written below)", title=f"N = {N}, d = {d}, M = {M // KiB} KiB, {T} blocks each")
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
The totals differ by a third; that is not the main thing. Flash writes $O$ back after every key block, and its query blocks depend on their own past. Flash 2 writes once, and its outer loop can be spread over the whole GPU. (Each multiprocessor then reads $K$ and $V$ for itself. Much of that comes from the L2 cache, which this model leaves out.)

## 6 · Read the papers

Each question names its section in [arXiv 2205.14135](https://arxiv.org/abs/2205.14135) ("F1") or [arXiv 2307.08691](https://arxiv.org/abs/2307.08691) ("F2"). Read the section with the question beside it.

**q1** (F1, sections 2.1 and 2.2). A kernel that fuses masking and softmax with the matrix products is faster, although none of these computations is left out. Why?
- a. The fused kernel needs fewer floating-point operations.
- b. Masking and softmax do few operations for each byte, so their time is that of moving $S$ and $P$ to HBM and back, which the fused kernel does not do.
- c. $S$ and $P$ do not fit into HBM, so that without fusion they go through the CPU's memory.
- d. On chip, the products are computed in a lower precision.

**q2** (F1, section 3.1, "Tiling"). Two halves of a row were treated apart. What is needed of them for $m$ and $\ell$ of the whole row?
- a. All their numbers, since softmax couples all columns.
- b. Their maxima.
- c. Their maxima, and $\ell$ of both, which add up.
- d. Their maxima, and $\ell$ of both, each $\ell$ multiplied by $e$ to its own maximum minus the common one before they are added.

**q3** (F1, section 3.1, "Recomputation"). What does the backward pass do without $S$ and $P$ from the forward pass?
- a. It computes both again in blocks on chip, from $Q$, $K$, $V$ and the stored statistics: more operations, fewer HBM accesses, less time.
- b. It computes both again, as gradient checkpointing does, and pays for the memory with time.
- c. It reads $P$, which was stored in half precision, and computes only $S$ again.
- d. It approximates them by means of the statistics.

**q4** (F1, section 3.2, Theorem 2). $N$ is large, $d$ and $M$ are both doubled (and $d\le M\le Nd$ still holds). What happens to the HBM accesses of FlashAttention, to leading order?
- a. They stay the same.
- b. They grow by a factor of 4.
- c. They grow by a factor of 2.
- d. They halve.

**q5** (F1, section 3.3, Proposition 4). A block-sparse mask leaves an eighth of the blocks. What happens to the HBM accesses?
- a. Nothing: masked blocks are read all the same.
- b. The part that is quadratic in $N$ falls to an eighth; the part that is linear in $N$ stays.
- c. They fall to an eighth altogether.
- d. They fall to a sixty-fourth: rows and columns are both sparse.

**q6** (F2, section 3.2). Batch 1, 8 heads, 16384 tokens, an A100 with 108 multiprocessors. Why does the first FlashAttention leave most of them idle, and what changes?
- a. Its tiles do not fit into shared memory; version 2 uses smaller ones.
- b. It starts a thread block for each head and key block, and these wait for one another; version 2 lets them add to $O$ without waiting.
- c. It is limited by the bandwidth of HBM; version 2 reads less.
- d. It starts one thread block for each head and batch element, 8 in all; version 2 also shares out the query blocks, which need nothing from each other.
"""

# %% [markdown] lang="zh"
r"""
总量相差三分之一，但这不是重点。flash 在每个键块之后都要把 $O$ 写回去，而且每个查询块都依赖自己此前的结果。flash 2 只写一次，外层循环可以铺满整个 GPU。（这时每个多处理器各自读入 $K$ 和 $V$；其中很多来自 L2 缓存，本模型没有计入。）

## 6 · 读论文

每个问题都标明了所在的章节：[arXiv 2205.14135](https://arxiv.org/abs/2205.14135)（“F1”）或 [arXiv 2307.08691](https://arxiv.org/abs/2307.08691)（“F2”）。请对着问题读那一节。

**q1**（F1，2.1 与 2.2 节）。把掩码和 softmax 与矩阵乘法融合成一个 kernel 会更快，尽管这些计算一样也没少。为什么？
- a. 融合后的 kernel 需要的浮点运算更少。
- b. 掩码与 softmax 每字节的运算很少，它们的时间就是把 $S$ 和 $P$ 写到 HBM 再读回来的时间，而融合后的 kernel 不需要这样做。
- c. $S$ 和 $P$ 在 HBM 里放不下，不融合就要经过 CPU 的内存。
- d. 在片上，乘法以更低的精度计算。

**q2**（F1，3.1 节 “Tiling”）。一行的两半是分开处理的。要得到整行的 $m$ 和 $\ell$，需要它们的什么？
- a. 它们所有的数，因为 softmax 把所有列耦合在一起。
- b. 它们各自的最大值。
- c. 它们各自的最大值，以及两个 $\ell$，直接相加。
- d. 它们各自的最大值，以及两个 $\ell$；每个 $\ell$ 先乘以 $e$ 的（自己的最大值减去共同的最大值）次幂，再相加。

**q3**（F1，3.1 节 “Recomputation”）。没有前向留下的 $S$ 和 $P$，反向传播怎么办？
- a. 由 $Q$、$K$、$V$ 和存下的统计量在片上逐块重新计算两者：运算更多，HBM 访问更少，时间更短。
- b. 像梯度检查点那样重新计算两者，以时间换内存。
- c. 读入以半精度存下的 $P$，只重新计算 $S$。
- d. 借助统计量来近似它们。

**q4**（F1，3.2 节，定理 2）。$N$ 很大，$d$ 和 $M$ 都加倍（且仍有 $d\le M\le Nd$）。FlashAttention 的 HBM 访问次数的主项如何变化？
- a. 不变。
- b. 变为 4 倍。
- c. 变为 2 倍。
- d. 减半。

**q5**（F1，3.3 节，命题 4）。块稀疏掩码只留下八分之一的块。HBM 访问次数如何变化？
- a. 不变：被遮掉的块照样要读。
- b. 与 $N$ 成平方的那部分降到八分之一，与 $N$ 成正比的那部分不变。
- c. 总数降到八分之一。
- d. 降到六十四分之一：行与列都是稀疏的。

**q6**（F2，3.2 节）。批量 1，8 个头，16384 个 token，一块有 108 个多处理器的 A100。为什么第一版 FlashAttention 让大部分多处理器闲着？第二版改了什么？
- a. 它的分块放不进共享内存；第二版用更小的。
- b. 它为每个头的每个键块启动一个线程块，它们互相等待；第二版让它们不必等待就能加到 $O$ 上。
- c. 它受 HBM 带宽限制；第二版读得更少。
- d. 它为每个批次元素的每个头启动一个线程块，一共 8 个；第二版还把查询块分摊出去，而查询块之间互不需要。
"""

# %% exercise="flash_quiz"
from ladder.solutions.stage2_architecture.day29_flash_attention_forward import flash_quiz

# %% [markdown] lang="zh" docstring="flash_quiz"
r"""
你对上面六个问题的回答，每题一个字母。

返回一个字典，键为 "q1" 到 "q6"；每个值是 "a"、"b"、"c" 或 "d"。
"""

# %% [markdown] hint="flash_quiz" lang="en"
r"""
For q1 to q3 you have written the code: say for each answer which line of yours it is about, or which number in your plots.
"""

# %% [markdown] hint="flash_quiz" lang="zh"
r"""
q1 到 q3 的代码你已经写过：对每个选项说出它指的是你的哪一行，或图中的哪个数。
"""

# %% [markdown] hint="flash_quiz" lang="en"
r"""
q4 and q5 are read off the formulas of the theorem and the proposition: write them down and put the new values in. For q6, count programs that can run at the same time, not operations.
"""

# %% [markdown] hint="flash_quiz" lang="zh"
r"""
q4 和 q5 可以直接从定理与命题的公式读出：写下来，把新的值代进去。q6 要数的是能同时运行的程序，而不是运算。
"""

# %%
from ladder.graders.stage2_architecture.day29_flash_attention_forward import check_quiz_method

check_quiz_method(flash_quiz)

# %%
from ladder.graders.stage2_architecture.day29_flash_attention_forward import check_quiz_analysis

check_quiz_analysis(flash_quiz)

# %% [markdown] lang="en"
r"""
## What you have now

| name | what it is for |
| --- | --- |
| `hbm_bytes_std`, `hbm_bytes_flash` | the model to judge a kernel by: bytes, then operations a byte |
| `online_softmax_blocks` | the softmax kernel of Day 30 for rows that do not fit on chip |
| `causal_tiles`, `tile_mask` | the loop bounds of every causal kernel |
| `flash_forward` → `(O, L)` | what the backward pass of Day 32 starts from |
| `flash2_forward` → `(O, L)` | the reference for your Triton kernel on Day 105: its outer loop becomes the grid |

The conventions stay: scale $1/\sqrt d$, $L$ is the logsumexp of the scaled scores, the causal mask ends in the bottom right corner, and rows that see nothing have $O=0$ and $L=-\infty$.
"""

# %% [markdown] lang="zh"
r"""
## 你现在拥有的工具

| 名称 | 用途 |
| --- | --- |
| `hbm_bytes_std`、`hbm_bytes_flash` | 评判一个 kernel 的模型：先看字节，再看每字节的运算 |
| `online_softmax_blocks` | 第 30 天的 softmax kernel，用于片上放不下的长行 |
| `causal_tiles`、`tile_mask` | 每个因果 kernel 的循环边界 |
| `flash_forward` → `(O, L)` | 第 32 天反向传播的起点 |
| `flash2_forward` → `(O, L)` | 第 105 天 Triton kernel 的参照：它的外层循环变成 grid |

约定不变：缩放为 $1/\sqrt d$，$L$ 是缩放后得分的 logsumexp，因果掩码止于右下角，什么都看不到的行有 $O=0$、$L=-\infty$。
"""

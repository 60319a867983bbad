# %% [markdown] lang="en"
r"""
# Day 32 · FlashAttention backward

**Goal.** Compute the gradients of attention without ever storing the attention matrix: keep one number a row from the forward pass, and make each tile of $P$ a second time when it is needed. Then read how the project's own source does it, in its first and in its second version, and write the first of its three backward kernels in Triton.

| step | you write | source |
| --- | --- | --- |
| 1 | $\delta$, the number softmax's gradient subtracts | [arXiv 2205.14135](https://arxiv.org/abs/2205.14135), appendix B.2 |
| 2 | one tile of $P$, made again from $L$ | the same; [arXiv 2307.08691](https://arxiv.org/abs/2307.08691), section 3.1.2 |
| 3 | `flash_backward`, causal and ragged | [arXiv 2307.08691](https://arxiv.org/abs/2307.08691), algorithm 2 |
| 4 | FLOPs and bytes of storing and of recomputing | [arXiv 2205.14135](https://arxiv.org/abs/2205.14135), appendix B |
| 5 | `delta_kernel` in Triton | csrc/flash_attn/src/flash_bwd_preprocess_kernel.h |
| 6 | order and grid; the source of V1 and V2 | [the repository](https://github.com/Dao-AILab/flash-attention) |

You need Day 29's forward pass and Day 31's Triton. Read the paragraph on recomputation in section 3.1 of the first paper, its appendices B.2 and B.4, and section 3 of the second. Plan three to four hours.

## 1 · The gradient, and what it needs

One head, $N$ queries and $M$ keys of $d$ numbers:

$$S = \tfrac{1}{\sqrt d}\,QK^\top,\qquad P = \mathrm{softmax}(S)\ \text{row by row},\qquad O = PV.$$

Given $dO = \partial\ell/\partial O$, the product $O = PV$ has two gradients:

$$dV = P^\top dO,\qquad dP = dO\,V^\top.$$

Softmax comes next. For one row with weights $p$, $\partial p_a/\partial s_b = p_a(\mathbb 1_{a=b} - p_b)$, so

$$ds_b = \sum_a dp_a\,p_a(\mathbb 1_{a=b} - p_b) = p_b\Big(dp_b - \sum_a p_a\,dp_a\Big).$$

The sum does not depend on $b$. Call it $\delta$, one number for each row; then for all rows

$$dS = P\circ(dP - \delta),\qquad dQ = \tfrac{1}{\sqrt d}\,dS\,K,\qquad dK = \tfrac{1}{\sqrt d}\,dS^\top Q.$$

A row of $dS$ adds up to 0: adding one number to all scores of a row changes nothing.

The cell below does this for 6 queries and 8 keys, and compares with autograd.
"""

# %% [markdown] lang="zh"
r"""
# 第 32 天 · FlashAttention 反向传播

**目标。** 计算注意力的梯度，而从不保存注意力矩阵：前向只为每一行留下一个数，需要 $P$ 的某个分块时就把它重算一遍。然后阅读该项目自己的源码，看第一版与第二版各是怎么做的，并用 Triton 写出三个反向 kernel 中的第一个。

| 步骤 | 你要写的 | 出处 |
| --- | --- | --- |
| 1 | $\delta$，softmax 的梯度所减去的数 | [arXiv 2205.14135](https://arxiv.org/abs/2205.14135)，附录 B.2 |
| 2 | 由 $L$ 重算 $P$ 的一个分块 | 同上；[arXiv 2307.08691](https://arxiv.org/abs/2307.08691)，3.1.2 节 |
| 3 | `flash_backward`，支持因果与不整除 | [arXiv 2307.08691](https://arxiv.org/abs/2307.08691)，算法 2 |
| 4 | 保存与重算各自的 FLOPs 和字节数 | [arXiv 2205.14135](https://arxiv.org/abs/2205.14135)，附录 B |
| 5 | 用 Triton 写 `delta_kernel` | csrc/flash_attn/src/flash_bwd_preprocess_kernel.h |
| 6 | 次序与网格；V1 与 V2 的源码 | [代码仓库](https://github.com/Dao-AILab/flash-attention) |

需要第 29 天的前向和第 31 天的 Triton。请读第一篇论文 3.1 节中关于重算的一段、附录 B.2 与 B.4，以及第二篇的第 3 节。预计三到四小时。

## 1 · 梯度，以及它需要什么

一个头，$N$ 个查询、$M$ 个键，每个 $d$ 个数：

$$S = \tfrac{1}{\sqrt d}\,QK^\top,\qquad P = \mathrm{softmax}(S)\ \text{row by row},\qquad O = PV.$$

（softmax 逐行进行。）已知 $dO = \partial\ell/\partial O$，乘积 $O = PV$ 有两个梯度：

$$dV = P^\top dO,\qquad dP = dO\,V^\top.$$

接下来是 softmax。对权重为 $p$ 的一行，$\partial p_a/\partial s_b = p_a(\mathbb 1_{a=b} - p_b)$，于是

$$ds_b = \sum_a dp_a\,p_a(\mathbb 1_{a=b} - p_b) = p_b\Big(dp_b - \sum_a p_a\,dp_a\Big).$$

这个和与 $b$ 无关。记作 $\delta$，每行一个数；对所有行就有

$$dS = P\circ(dP - \delta),\qquad dQ = \tfrac{1}{\sqrt d}\,dS\,K,\qquad dK = \tfrac{1}{\sqrt d}\,dS^\top Q.$$

$dS$ 的每一行之和为 0：给一行的所有得分加上同一个数，什么都不会改变。

下面的单元格对 6 个查询、8 个键照此计算，并与 autograd 比较。
"""

# %% setup
import math
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ladder.earlier.day29_flash_attention_forward import flash2_forward
from ladder.triton import tl, triton

quick = os.environ.get("LADDER_QUICK") == "1"  # for automatic tests: shorter demonstrations

# %%
torch.manual_seed(0)
q, k, v, dO = (torch.randn(n, 4, dtype=torch.float64) for n in (6, 8, 8, 6))
for x in (q, k, v):
    x.requires_grad_()
S = q @ k.mT / math.sqrt(4)
P = torch.softmax(S, -1)
O = P @ v
dS_autograd, = torch.autograd.grad(O, S, dO, retain_graph=True)

with torch.no_grad():
    dP = dO @ v.mT
    delta = (P * dP).sum(-1)
    dS = P * (dP - delta[:, None])
print("largest difference to autograd:", (dS - dS_autograd).abs().max().item())
print("row sums of dS:", dS.sum(-1).abs().max().item())

fig, axes = plt.subplots(1, 4, figsize=(12, 2.7), width_ratios=(8, 8, 1.4, 8), layout="constrained")
for ax, name, matrix in zip(axes, ("P", "dP", "$\\delta$", "dS"), (P.detach(), dP, delta[:, None], dS), strict=True):
    top = matrix.abs().max()
    image = ax.imshow(matrix, cmap="RdBu_r", vmin=-top, vmax=top)
    ax.set(title=name, xlabel="key" if name != "$\\delta$" else "", ylabel="query" if name == "P" else "",
           xticks=[] if name == "$\\delta$" else range(8), yticks=range(6))
    if name != "$\\delta$":
        fig.colorbar(image, ax=ax, shrink=0.8)
plt.show()

# %% [markdown] lang="en"
r"""
Look at a row: where $dP$ is above $\delta$, $dS$ is positive; where $P$ is near 0, nothing happens. $\delta_i$ is the weighted mean of row $i$ of $dP$.

As written, $\delta_i = \sum_j P_{ij}\,dP_{ij}$ is a sum over all keys, so tile by tile it would only be known at the end of the row, and each tile of $dS$ needs it before. Exchange the order of the two sums:

$$\delta_i = \sum_j P_{ij}\,dP_{ij} = \sum_j P_{ij}\sum_c dO_{ic}V_{jc} = \sum_c dO_{ic}\sum_j P_{ij}V_{jc} = \sum_c dO_{ic}\,O_{ic}.$$

A sum over $d$ numbers that are in memory anyway, made once before anything else. In half precision, the $d$ products must be added in float32: $dP_{ij}-\delta_i$ is a difference of similar numbers.
"""

# %% [markdown] lang="zh"
r"""
看其中一行：$dP$ 高于 $\delta$ 的地方，$dS$ 为正；$P$ 接近 0 的地方，什么都不发生。$\delta_i$ 就是 $dP$ 第 $i$ 行的加权平均。

按定义，$\delta_i = \sum_j P_{ij}\,dP_{ij}$ 是对所有键求和。逐块计算时，要到一行的末尾才知道它，而每个 $dS$ 分块在那之前就需要它。交换两个求和的次序：

$$\delta_i = \sum_j P_{ij}\,dP_{ij} = \sum_j P_{ij}\sum_c dO_{ic}V_{jc} = \sum_c dO_{ic}\sum_j P_{ij}V_{jc} = \sum_c dO_{ic}\,O_{ic}.$$

变成了对 $d$ 个数求和，而这些数本来就在显存里；在其他一切之前算一次即可。用半精度时，这 $d$ 个乘积必须用 float32 累加：$dP_{ij}-\delta_i$ 是两个相近的数之差。
"""

# %% exercise="attention_delta"
from ladder.solutions.stage2_architecture.day32_flash_attention_backward import attention_delta

# %% [markdown] lang="zh" docstring="attention_delta"
r"""
δ_i = Σ_c dO_ic · O_ic，输出 O 及其梯度 dO 的每一行对应一个数。

它等于 Σ_j P_ij · dP_ij，其中 P 为注意力权重，dP = dO Vᵀ，也就是 softmax 的梯度从第 i 行减去的数；
但在 P 的任何分块算出之前，它就已经知道了。

前面可有任意多个维度。输入为 float16、bfloat16 或 float32 时，乘积与求和用 float32；
输入为 float64 时用 float64；结果也是这个 dtype。
"""

# %% [markdown] hint="attention_delta" lang="en"
r"""
Multiply the two matrices entry by entry; one axis disappears. Which dtype do the factors need before they are multiplied?
"""

# %% [markdown] hint="attention_delta" lang="zh"
r"""
把两个矩阵逐元素相乘；有一个轴会消失。相乘之前，因子应当是什么 dtype？
"""

# %% [markdown] hint="attention_delta" lang="en"
r"""
`torch.promote_types(a, b)` gives the dtype that holds both. Compare with the row sums of $P\circ dP$ from the cell above.
"""

# %% [markdown] hint="attention_delta" lang="zh"
r"""
`torch.promote_types(a, b)` 给出能容纳两者的 dtype。与上面单元格中 $P\circ dP$ 的行和比较一下。
"""

# %%
from ladder.graders.stage2_architecture.day32_flash_attention_backward import check_attention_delta

check_attention_delta(attention_delta)

# %% [markdown] lang="en"
r"""
## 2 · P from one number a row

The formulas for $dV$ and $dS$ need $P$. Storing it in the forward pass would bring back the $N\times M$ matrix that FlashAttention got rid of. But any entry can be made again, from what is small:

$$P_{ij} = \frac{e^{S_{ij}}}{\sum_{j'}e^{S_{ij'}}} = \exp(S_{ij} - L_i),\qquad L_i = \log\sum_{j'}e^{S_{ij'}}.$$

$L_i$ is what Day 29's forward pass returned beside $O$. With it no running maximum is needed, no rescaling, no second look at the row: $S_{ij}\le L_i$ for every visible pair, so the exponential never exceeds 1, and a tile of $P$ is finished the moment its scores are. (V1's paper keeps the maximum $m_i$ and the sum $\ell_i$; V2 keeps $L_i = m_i + \log\ell_i$ only, section 3.1.2.)

Two traps. A *hidden* pair may have a score far above $L_i$, which does not count it; and a row that sees nothing has $L_i = -\infty$.

The mask of a tile is told by one integer. Row $a$ of the tile is query $i_0 + a$, column $b$ is key $j_0 + b$, and query $i$ sees the keys $j\le i + (M-N)$. So row $a$ sees column $b$ if and only if $b\le a + \text{diagonal}$; you will work out `diagonal` in the next exercise.
"""

# %% [markdown] lang="zh"
r"""
## 2 · 由每行一个数得到 P

$dV$ 与 $dS$ 的公式都需要 $P$。若在前向中把它保存下来，FlashAttention 摆脱掉的 $N\times M$ 矩阵就又回来了。但任何一个元素都能由很小的数据重新算出：

$$P_{ij} = \frac{e^{S_{ij}}}{\sum_{j'}e^{S_{ij'}}} = \exp(S_{ij} - L_i),\qquad L_i = \log\sum_{j'}e^{S_{ij'}}.$$

$L_i$ 正是第 29 天的前向与 $O$ 一起返回的量。有了它，就不需要滚动最大值，不需要重新缩放，也不必再看这一行的其余部分：对每个可见的位置都有 $S_{ij}\le L_i$，指数永远不超过 1；一个分块的得分一算出来，这块 $P$ 就是最终值。（V1 的论文保存最大值 $m_i$ 与和 $\ell_i$；V2 只保存 $L_i = m_i + \log\ell_i$，3.1.2 节。）

有两个陷阱。*被遮挡*的位置，得分可能远大于 $L_i$，因为求和时没有算上它；什么都看不到的行，$L_i = -\infty$。

一个分块的遮挡只用一个整数就能说明。分块的第 $a$ 行是查询 $i_0 + a$，第 $b$ 列是键 $j_0 + b$，查询 $i$ 能看到的键满足 $j\le i + (M-N)$。因此第 $a$ 行能看到第 $b$ 列，当且仅当 $b\le a + \text{diagonal}$；下一个练习由你推出 `diagonal`。
"""

# %% exercise="recompute_p"
from ladder.solutions.stage2_architecture.day32_flash_attention_backward import recompute_p

# %% [markdown] lang="zh" docstring="recompute_p"
r"""
由查询、键以及前向留下的量，得到注意力权重的一个分块：

    P_ab = exp(q_a · k_b / √d − L_a)，      L_a = log Σ exp(第 a 行的得分)，对它能看到的所有键求和。

``L`` 属于注意力矩阵的整行，而这个分块只含其中几列：分块各行之和不必为 1。

``diagonal`` 为 None（所有位置都算）或一个整数：分块的第 a 行能看到第 b 列，当且仅当 b <= a + diagonal。
它可以是负数，也可以大到什么都不遮挡。被遮挡的位置 P 为 0，不论得分多大；
L = −∞ 的行看不到任何键，整行 P 为 0。

前面可有任意多个维度。用 float32 计算（float64 输入用 float64），结果也是这个 dtype。
"""

# %% [markdown] hint="recompute_p" lang="en"
r"""
Scores first, with the factor that the forward pass used. Then one exponential. Write the mask so that a hidden score becomes $-\infty$ *before* the exponential.
"""

# %% [markdown] hint="recompute_p" lang="zh"
r"""
先算得分，缩放因子与前向相同。然后取一次指数。遮挡要在取指数*之前*让被遮挡的得分变成 $-\infty$。
"""

# %% [markdown] hint="recompute_p" lang="en"
r"""
`torch.tril` has a `diagonal` argument with exactly this meaning. For rows with $L=-\infty$ ask which other value of $L$ makes $\exp(S - L)$ zero whatever $S$ is, even $-\infty$.
"""

# %% [markdown] hint="recompute_p" lang="zh"
r"""
`torch.tril` 有一个含义恰好相同的 `diagonal` 参数。对 $L=-\infty$ 的行，想一想 $L$ 换成什么值，能使 $\exp(S - L)$ 无论 $S$ 是多少（哪怕是 $-\infty$）都为零。
"""

# %%
from ladder.graders.stage2_architecture.day32_flash_attention_backward import check_recompute_p

check_recompute_p(recompute_p)

# %% [markdown] lang="en"
r"""
Every entry of $P$ again, from $Q$, $K$ and 40 numbers. The picture is put together from tiles of 8 x 12 that were made in random order, with none of the others at hand.
"""

# %% [markdown] lang="zh"
r"""
由 $Q$、$K$ 和 40 个数重新得到 $P$ 的每个元素。图中的矩阵由 8 x 12 的分块拼成，各块按随机次序计算，计算时其他块都不在手边。
"""

# %%
torch.manual_seed(1)
N, M, d, Br, Bc = 40, 44, 16, 8, 12
q, k, v = (2 * torch.randn(n, d, dtype=torch.float64) for n in (N, M, M))
O, L = flash2_forward(q, k, v, 16, 16)
picture = torch.full((N, M), math.nan, dtype=torch.float64)
tiles = [(i, j) for i in range(0, N, Br) for j in range(0, M, Bc)]
for n in np.random.default_rng(0).permutation(len(tiles)):
    i, j = tiles[n]
    picture[i:i + Br, j:j + Bc] = recompute_p(q[i:i + Br], k[j:j + Bc], L[i:i + Br])
stored = torch.softmax(q @ k.mT / math.sqrt(d), -1)
fig, axes = plt.subplots(1, 2, figsize=(7, 3.6), width_ratios=(1, 0.6), layout="constrained")
image = axes[0].imshow(picture, cmap="viridis")
for i in range(Br, N, Br):
    axes[0].axhline(i - 0.5, color="white", lw=0.6)
for j in range(Bc, M, Bc):
    axes[0].axvline(j - 0.5, color="white", lw=0.6)
axes[0].set(xlabel="key", ylabel="query", title="P, recomputed tile by tile")
fig.colorbar(image, ax=axes[0])
axes[1].plot(L, range(N), ".-", ms=4)
axes[1].invert_yaxis()
axes[1].set(xlabel="L", title="what was kept")
print("largest difference to the stored P:", (picture - stored).abs().max().item())
plt.show()

# %% [markdown] lang="en"
r"""
## 3 · The backward pass, tile by tile

Now the order. For key block $j$ and query block $i$, with all the small things on the chip:

$$P_{ij} = \exp(S_{ij}-L_i),\quad dV_j \mathrel{+}= P_{ij}^\top dO_i,\quad dS_{ij} = P_{ij}\circ(dO_iV_j^\top-\delta_i),\quad dK_j \mathrel{+}= \tfrac{1}{\sqrt d}dS_{ij}^\top Q_i,\quad dQ_i \mathrel{+}= \tfrac{1}{\sqrt d}dS_{ij}K_j.$$

Five matrix products a tile. $dK_j$ and $dV_j$ are sums over query blocks, $dQ_i$ is a sum over key blocks: whichever loop is outside, one kind of gradient can stay on the chip and the other has to wander. With key blocks outside, two stay and one wanders, so that is the order of algorithm 2 (section 3.1.2): for each key block, run over the query blocks.

With a causal mask, key block $j$ is seen by no query above a certain one, so the inner loop begins later.
"""

# %% [markdown] lang="zh"
r"""
## 3 · 逐块的反向传播

接下来是次序。对键块 $j$ 与查询块 $i$，所有小块都在片上：

$$P_{ij} = \exp(S_{ij}-L_i),\quad dV_j \mathrel{+}= P_{ij}^\top dO_i,\quad dS_{ij} = P_{ij}\circ(dO_iV_j^\top-\delta_i),\quad dK_j \mathrel{+}= \tfrac{1}{\sqrt d}dS_{ij}^\top Q_i,\quad dQ_i \mathrel{+}= \tfrac{1}{\sqrt d}dS_{ij}K_j.$$

每个分块五次矩阵乘法。$dK_j$ 与 $dV_j$ 是对查询块求和，$dQ_i$ 是对键块求和：无论哪个循环在外，总有一类梯度可以留在片上，另一类只能来回搬。键块在外时，两个留下、一个搬动，所以算法 2（3.1.2 节）取这个次序：对每个键块，遍历各查询块。

有因果遮挡时，某个查询以上的查询都看不到键块 $j$，因此内层循环可以从更后面开始。
"""

# %% exercise="flash_backward"
from ladder.solutions.stage2_architecture.day32_flash_attention_backward import flash_backward

# %% [markdown] lang="zh" docstring="flash_backward"
r"""
(dq, dk, dv)：由 dO = ∂loss/∂O 以及前向留下的量求注意力的梯度。

前向为 O = softmax(q kᵀ / √d) v，由第 29 天的 ``flash2_forward`` 与 L（每行得分的 log-sum-exp）一起返回。
``causal`` 时，查询 i 能看到满足 j <= i + (M − N) 的键。什么都看不到的行有 O = 0、L = −∞，
对任何梯度都没有贡献。N 与 M 不必是 ``Br`` 与 ``Bc`` 的倍数，也可以比它们小。

次序与 FlashAttention-2 相同：外层遍历每块 ``Bc`` 个键，一块结束时它的 dk 与 dv 就完成了；
内层遍历每块 ``Br`` 个查询，各自累加到 dq 的对应行。另有两点要求：

- 中途产生的任何张量，每个头的元素个数都不超过 2 · max(N·d, M·d, Br·Bc)：
  既没有 N x M 的矩阵，也没有它的一条。
- ``causal`` 时，没有任何可见位置的分块不做矩阵乘法；其余分块各做五次。

前面可有任意多个维度，各输入相同。求和用 float32（float64 输入用 float64）；dq、dk、dv 的 dtype
分别与 q、k、v 相同。输入保持不变。
"""

# %% [markdown] hint="flash_backward" lang="en"
r"""
Make δ once, before the loops. Start with one block of everything (Br = N, Bc = M) and no mask, then let the key blocks become smaller, then the query blocks: each step is a check of its own. Slices take care of ragged ends by themselves.
"""

# %% [markdown] hint="flash_backward" lang="zh"
r"""
δ 在循环之前算一次。先让所有东西各为一块（Br = N，Bc = M）且不遮挡，再把键块变小，然后把查询块变小：每一步都有自己的检查项。切片会自动处理不整除的末尾。
"""

# %% [markdown] hint="flash_backward" lang="en"
r"""
For `diagonal`, put $i = i_0 + a$ and $j = j_0 + b$ into $j\le i + (M - N)$ and solve for $b$. For the start of the inner loop: which is the first query that sees the first key of the block, and in which block of Br does it lie? (It may be negative.)
"""

# %% [markdown] hint="flash_backward" lang="zh"
r"""
求 `diagonal`：把 $i = i_0 + a$、$j = j_0 + b$ 代入 $j\le i + (M - N)$，解出 $b$。求内层循环的起点：能看到该块第一个键的第一个查询是哪个，它落在哪个 Br 块里？（算出来可能是负数。）
"""

# %%
from ladder.graders.stage2_architecture.day32_flash_attention_backward import check_flash_backward

check_flash_backward(flash_backward)

# %% [markdown] lang="en"
r"""
Left, for a causal mask with five blocks each way: the order in which the tiles are met (number), and the key block they belong to (colour). On a GPU each colour is a thread block of its own and all colours run at the same time; so all tiles of one *row* add to the same part of $dQ$. Right: your forward and backward pass in float32 against autograd in float64, for many block sizes. What the block sizes change is the order of additions, nothing else.
"""

# %% [markdown] lang="zh"
r"""
左图：因果遮挡，两个方向各五块，数字为遇到各分块的次序，颜色为所属的键块。在 GPU 上每种颜色是一个独立的线程块，所有颜色同时运行；因此同一*行*的各分块都往 $dQ$ 的同一部分累加。右图：你的 float32 前向与反向，与 float64 的 autograd 相比，取多种分块大小。分块大小改变的只是加法的次序，别无其他。
"""

# %%
torch.manual_seed(2)
N, M, d = (60, 60, 16) if quick else (150, 170, 32)
exact = [torch.randn(n, d, dtype=torch.float64) for n in (N, M, M)]
for x in exact:
    x.requires_grad_()
dO = torch.randn(N, d, dtype=torch.float64)
sees = torch.ones(N, M, dtype=torch.bool).tril(M - N)
S = (exact[0] @ exact[1].mT / math.sqrt(d)).masked_fill(~sees, -math.inf)
wanted = torch.autograd.grad(torch.softmax(S, -1) @ exact[2], exact, dO)
q, k, v = (x.detach().float() for x in exact)

fig, axes = plt.subplots(1, 2, figsize=(11, 3.6), width_ratios=(1, 1.6), layout="constrained")
order = np.full((5, 5), np.nan)
n = 0
for j in range(5):
    for i in range(j, 5):
        order[i, j] = j
        axes[0].text(j, i, n, ha="center", va="center", color="white")
        n += 1
axes[0].imshow(order, cmap="tab10", vmin=0, vmax=9)
axes[0].set(xlabel="key block", ylabel="query block", title="order of the tiles; colour: thread block")
sizes = (8, 16, 32, 64, 200)
errors = np.empty((3, len(sizes), len(sizes)))
for a, Br in enumerate(sizes):
    for b, Bc in enumerate(sizes):
        O, L = flash2_forward(q, k, v, Br, Bc, causal=True)
        for c, (mine, true) in enumerate(zip(flash_backward(dO.float(), q, k, v, O, L, Br, Bc, causal=True), wanted, strict=True)):
            errors[c, a, b] = (mine - true).norm() / true.norm()
for c, name in enumerate(("dq", "dk", "dv")):
    axes[1].semilogy(errors[c].ravel(), ".-", label=name)
axes[1].axhline(torch.finfo(torch.float32).eps, color="k", ls=":", label="float32 epsilon")
axes[1].set(xticks=range(0, 25, 5), xticklabels=[f"Br = {s}" for s in sizes], ylim=(1e-8, 1e-5),
            xlabel="block sizes; Bc from 8 to 200 within each Br", ylabel="relative error")
axes[1].legend()
plt.show()

# %% [markdown] lang="en"
r"""
## 4 · What recomputing costs, and what it saves

The backward pass now makes $S$ a second time: five matrix products in place of four. So the FLOPs go *up*. What goes down is what is kept, and what moves. Count all three. (The figures are for one head and without caches: they say how many bytes the kernels ask for.)
"""

# %% [markdown] lang="zh"
r"""
## 4 · 重算的代价与收益

反向现在要把 $S$ 再算一遍：矩阵乘法从四次变成五次。所以 FLOPs 反而*增加*了。减少的是需要保留的内容和搬动的内容。请把三者都数出来。（数字针对一个头，不考虑缓存：它们说的是 kernel 请求了多少字节。）
"""

# %% exercise="costs"
from ladder.solutions.stage2_architecture.day32_flash_attention_backward import (
    backward_bytes_flash,
    backward_bytes_std,
    backward_flops,
    kept_bytes,
)

# %% [markdown] lang="zh" docstring="backward_flops"
r"""
一个头的反向中，矩阵乘法的 FLOPs，不考虑遮挡。

N 个查询，M 个键，每个 d 个数；(a x b) 乘 (b x c) 计 2·a·b·c。``recompute`` 为真时得分要再算一遍，
否则 P 是保存下来的。返回一个 int。
"""

# %% [markdown] lang="zh" docstring="kept_bytes"
r"""
一个头在前向与反向之间除 q、k、v 以外保留的字节数。

每个数 ``itemsize`` 字节，统计量为 float32。``recompute`` 为真时：O 与 L。否则：只有 P
（此时 δ 由 P 与 dP 算出）。返回一个 int。
"""

# %% [markdown] lang="zh" docstring="backward_bytes_std"
r"""
P 已保存时，一个头的标准反向所搬动的字节数。

五个 kernel，每个都从显存把操作数读一次，再把结果写一次：

1. dV = Pᵀ dO      2. dP = dO Vᵀ      3. dS = P ∘ (dP − δ)，其间由 P 与 dP 得到 δ
4. dQ = dS K       5. dK = dSᵀ Q

（arXiv 2205.14135 附录 B 的算法 3）。每个数 ``itemsize`` 字节。返回一个 int。
"""

# %% [markdown] lang="zh" docstring="backward_bytes_flash"
r"""
FlashAttention-2 的反向在一个头上搬动的字节数，不考虑遮挡与缓存。

每个数 ``itemsize`` 字节；L、δ 与 dQ 的累加值为 float32。

1. 第一个 kernel 把 O 与 dO 读一次，写出 δ，并把 dQ 的累加值清零。
2. 对每块 ``Bc`` 个键（最后一块可能较小）：该块的 K 与 V 各读一次，dK 与 dV 各写一次。
   与此同时，全部 Q、dO、L、δ 各读一次，dQ 累加值中的每个数读一次、写一次，原子加法就是如此。
3. 最后一个 kernel 读取 dQ 的累加值，写出 dQ。

返回一个 int。
"""

# %% [markdown] hint="costs" lang="en"
r"""
For the FLOPs, list the products of section 3 with their shapes: all of them cost the same. For bytes, make a table with one line for each kernel: what it reads, what it writes, how many numbers, how many bytes each.
"""

# %% [markdown] hint="costs" lang="zh"
r"""
FLOPs：把第 3 节的各次乘法连同形状列出来，它们的代价都相同。字节：列一张表，每个 kernel 一行：读什么、写什么、多少个数、每个几字节。
"""

# %% [markdown] hint="costs" lang="en"
r"""
In the tiled version only three things happen once per key block *in full length N*: reads of 16-bit matrices, reads of float32 columns, and the round trip of the float32 sum. Everything else happens once. The number of key blocks is rounded up.
"""

# %% [markdown] hint="costs" lang="zh"
r"""
在分块的版本里，只有三件事每个键块都要对*全长 N* 做一遍：读 16 位的矩阵、读 float32 的列、float32 累加值的一读一写。其余都只发生一次。键块数要向上取整。
"""

# %%
from ladder.graders.stage2_architecture.day32_flash_attention_backward import check_recomputation

check_recomputation(backward_flops, kept_bytes)

# %%
from ladder.graders.stage2_architecture.day32_flash_attention_backward import check_backward_bytes

check_backward_bytes(backward_bytes_std, backward_bytes_flash)

# %%
from ladder.kernel_judge.pictures import roofline

d, lengths = 64, 2 ** np.arange(8, 15)
fig, axes = plt.subplots(1, 3, figsize=(14, 3.8), layout="constrained")
axes[0].loglog(lengths, [kept_bytes(n, n, d, False) for n in lengths.tolist()], "o-", label="P")
axes[0].loglog(lengths, [kept_bytes(n, n, d, True) for n in lengths.tolist()], "o-", label="O and L")
axes[0].set(xlabel="N = M", ylabel="bytes kept for one head, d = 64")
axes[0].legend()
axes[1].loglog(lengths, [backward_bytes_std(n, n, d) for n in lengths.tolist()], "k--", label="standard")
for Bc in (32, 64, 128, 256):
    axes[1].loglog(lengths, [backward_bytes_flash(n, n, d, Bc) for n in lengths.tolist()], "o-", ms=3, label=f"Bc = {Bc}")
axes[1].set(xlabel="N = M", ylabel="bytes moved by the backward pass")
axes[1].legend()
N = 4096
points = {"standard": (backward_flops(N, N, d, False), backward_bytes_std(N, N, d))}
for Bc in (64, 128, 256):
    points[f"Bc = {Bc}"] = backward_flops(N, N, d, True), backward_bytes_flash(N, N, d, Bc)
roofline(points, axes[2])
axes[2].set(xlim=(10, 1000), ylim=(10, 2000), ylabel="TFLOPs a second, at most")
for name, (flops, moved_bytes) in points.items():
    print(f"{name:10s} {flops / 1e9:6.2f} GFLOPs, {moved_bytes / 1e6:7.1f} MB, {flops / moved_bytes:6.1f} FLOPs a byte")
print(f"kept for 16 heads and 24 layers, N = {N}: P {16 * 24 * kept_bytes(N, N, d, False) / 1e9:.1f} GB, "
      f"O and L {16 * 24 * kept_bytes(N, N, d, True) / 1e9:.2f} GB")
plt.show()

# %% [markdown] lang="en"
r"""
Left: 12.9 GB become 0.21 GB for a model of 24 layers with 16 heads. That alone decides whether long sequences can be trained.

Middle: with blocks of 32 keys the tiled version moves *more* than the standard one. Which term is to blame? The float32 sum of $dQ$ makes a round trip for every key block: 8 bytes a number, where $Q$ and $dO$ together take 4. A remark in csrc/flash_attn/src/flash_bwd_launch_template.h says the same from experience: 128 x 64 blocks were slow, the author supposes, because the accumulator of $dQ$ is read and written twice as often as with 128 keys. (On a real GPU much of this traffic stays in the L2 cache: for one head of 4096 queries the sum has 1 MB.)

Right: 25 % more FLOPs, and yet a higher roof. The standard pass has fewer than 40 FLOPs a byte and is limited by memory; each doubling of Bc nearly doubles the FLOPs a byte, until the chip's memory for the tile runs out.

**Written answer: why recomputing is faster** (4 points). For a colleague who says "you do more work, so it must be slower":

- 1 for the three quantities, FLOPs, bytes kept and bytes moved: which way each of them goes, with figures of yours;
- 1 for what is kept, and why one number a row is enough to make any entry of $P$ again;
- 1 for the limit: which of the two versions waits for memory and which for arithmetic, from the roofline;
- 1 for the difference to ordinary gradient checkpointing: what is recomputed there, from what, and what is gained and lost.
"""

# %% [markdown] lang="zh"
r"""
左图：对 24 层、每层 16 个头的模型，12.9 GB 变成 0.21 GB。仅这一点就决定了长序列能不能训练。

中图：每块 32 个键时，分块的版本搬动的字节比标准方法*更多*。该怪哪一项？$dQ$ 的 float32 累加值对每个键块都要一读一写：每个数 8 字节，而 $Q$ 与 $dO$ 合起来才 4 字节。csrc/flash_attn/src/flash_bwd_launch_template.h 里有一条注释，从经验上说了同样的事：128 x 64 的分块很慢，作者猜想是因为 $dQ$ 累加器的读写次数是每块 128 个键时的两倍。（在真实的 GPU 上，这些流量有很大一部分留在 L2 缓存里：一个头 4096 个查询，累加值为 1 MB。）

右图：FLOPs 多了 25 %，上限却更高。标准方法每字节不到 40 次浮点运算，受限于显存；Bc 每翻一倍，每字节的浮点运算数也几乎翻倍，直到片上放不下分块为止。

**书面题：为什么重算反而更快**（4 分）。写给一位说“你做的事更多，所以一定更慢”的同事：

- 1 分：三个量，FLOPs、保留的字节、搬动的字节，各自往哪个方向变，引用你的数字；
- 1 分：保留了什么，为什么每行一个数就足以重新得到 $P$ 的任一元素；
- 1 分：瓶颈：由 roofline 看，两个版本中哪个在等显存，哪个在等算力；
- 1 分：与普通的梯度检查点有何不同：那里重算的是什么、由什么重算、得到与失去了什么。
"""

# %% [markdown] written="written_recomputation" lang="en"
r"""
*Your explanation of why recomputing is faster. Replace this text.*
"""

# %% [markdown] written="written_recomputation" lang="zh"
r"""
*在此说明为什么重算反而更快（替换这段文字）。*
"""

# %% [markdown] model="written_recomputation" lang="en"
r"""
*Quantities.* With $N=M=4096$, $d=64$ and 16-bit numbers, one head's backward pass takes 8.59 GFLOPs with $P$ stored and 10.74 when it is recomputed: a quarter more. It keeps 33.6 MB of $P$ in one case and 0.54 MB of $O$ and $L$ in the other. It moves 239 MB against 108 MB with blocks of 128 keys.

*What is kept.* $P_{ij}=\exp(S_{ij}-L_i)$: the score depends on one query and one key only, and the whole rest of the row enters through its normalisation, the number $L_i$. So $Q$, $K$ and $L$ determine every tile on its own, without a running maximum.

*Limit.* The standard version has 36 FLOPs a byte, far left of the ridge of an A100 (about 150): its arithmetic units wait. The tiled version has about 100, so nearly three times as many operations fit into the same traffic, and a quarter more of them are affordable. The time follows the bytes.

*Checkpointing.* Gradient checkpointing reruns the forward pass of whole layers from a stored input: it saves memory and always costs time, as what is recomputed is written to memory and read again. Here the recomputed tile lives on the chip only; it replaces a read from memory. So memory and time are saved together. What is lost is a fifth matrix product for each tile.
"""

# %% [markdown] model="written_recomputation" lang="zh"
r"""
*三个量。* 取 $N=M=4096$、$d=64$、16 位数：一个头的反向，保存 $P$ 时为 8.59 GFLOPs，重算时为 10.74，多了四分之一。一种情形保留 33.6 MB 的 $P$，另一种只保留 0.54 MB 的 $O$ 与 $L$。搬动的字节为 239 MB，而每块 128 个键时是 108 MB。

*保留了什么。* $P_{ij}=\exp(S_{ij}-L_i)$：得分只取决于一个查询和一个键，这一行的其余部分全部通过归一化进入，也就是 $L_i$ 这一个数。因此 $Q$、$K$ 与 $L$ 能单独确定每个分块，不需要滚动最大值。

*瓶颈。* 标准版本每字节 36 次浮点运算，远在 A100 屋脊点（约 150）的左侧：运算单元在等待。分块版本约为 100，同样的流量容得下近三倍的运算，多出的四分之一完全付得起。时间由字节决定。

*梯度检查点。* 梯度检查点从保存的输入重跑整层的前向：省内存，但总要多花时间，因为重算的结果会写入显存再读出。这里重算出的分块只存在于片上，取代了一次显存读取，所以内存和时间一起省下。失去的是每个分块多一次矩阵乘法。
"""

# %% [markdown] lang="en"
r"""
## 5 · The first of three kernels

V2's backward pass is three kernels: one makes $\delta$ (and clears the sum of $dQ$), the main one goes over the tiles, a last one rounds $dQ$. The first is yours: it reads two matrices and writes one number a row. There is one addition and one multiplication for every two numbers read, 4 bytes in bfloat16, half a FLOP a byte. So its only measure is bytes: how many it asks for, and how many of those it uses.

Memory comes in sectors of 32 bytes. If the lanes of a load ask for neighbouring numbers, whole sectors are used; if each lane asks for a number of another row, a sector is fetched for each and most of it is thrown away.

The launcher treats all heads of all sequences as one long list of rows.
"""

# %% [markdown] lang="zh"
r"""
## 5 · 三个 kernel 中的第一个

V2 的反向由三个 kernel 组成：一个计算 $\delta$（并把 $dQ$ 的累加值清零），主 kernel 遍历各分块，最后一个对 $dQ$ 做舍入。第一个由你来写：它读两个矩阵，每行写一个数。每读两个数（bfloat16 下 4 字节）做一次加法和一次乘法，即每字节半次浮点运算。因此唯一的衡量标准是字节：请求了多少，其中又用上了多少。

显存以 32 字节的扇区为单位。如果一次读取的各通道请求相邻的数，整个扇区都用得上；如果每个通道各请求一行中的一个数，就要为每个数取来一个扇区，大部分都被丢掉。

启动函数把所有序列的所有头看成一长串行。
"""

# %% exercise="delta_kernel"
from ladder.solutions.stage2_architecture.day32_flash_attention_backward import delta_kernel

# %% [markdown] lang="zh" docstring="delta_kernel"
r"""
程序 i 计算第 i · BLOCK_ROWS 到 (i + 1) · BLOCK_ROWS − 1 行的 δ，总共 n_rows 行。

O 的第 r 行是从 ``o_ptr + r * stride_o_row`` 起的 HEAD_DIM 个数，dO 的第 r 行是从
``do_ptr + r * stride_do_row`` 起的 HEAD_DIM 个数；两个步长可以不同。δ_r = Σ_c dO_rc · O_rc 写到
``delta_ptr + r``。最后一个程序的行可能不满；BLOCK_DIM 是 2 的幂，不小于 HEAD_DIM，可以更大。
行偏移用 int64。

O 与 dO 为 float16、bfloat16 或 float32，δ 为 float32；乘积与求和用 float32。
O 与 dO 的每个数只读一次，所用的 32 字节扇区不超过它们填满的数目。
"""

# %% [markdown] hint="delta_kernel" lang="en"
r"""
A program holds a tile of BLOCK_ROWS x BLOCK_DIM of each matrix. Build it from two `tl.arange`, one along each axis; the mask has a condition on rows and one on columns.
"""

# %% [markdown] hint="delta_kernel" lang="zh"
r"""
一个程序持有两个矩阵各一块 BLOCK_ROWS x BLOCK_DIM。用两个 `tl.arange` 构造，各沿一个轴；掩码由一个关于行的条件和一个关于列的条件组成。
"""

# %% [markdown] hint="delta_kernel" lang="en"
r"""
`x[:, None]` and `x[None, :]` make a column and a row of an arange. What a masked load puts in the places beyond the edge must not change the sum. Convert before you multiply, and sum along the axis that disappears.
"""

# %% [markdown] hint="delta_kernel" lang="zh"
r"""
`x[:, None]` 与 `x[None, :]` 把一个 arange 变成列和行。带掩码的读取在边界之外填入的数不得影响求和。先转换再相乘，沿着要消失的那个轴求和。
"""

# %%
from ladder.graders.stage2_architecture.day32_flash_attention_backward import check_delta_kernel

check_delta_kernel(delta_kernel)

# %%
from ladder.graders.stage2_architecture.day32_flash_attention_backward import check_delta_cost

check_delta_cost(delta_kernel)

# %% [markdown] lang="en"
r"""
Your kernel, counted by the judge, beside two other ways to the same numbers: a kernel that walks along the columns, each lane on its own row, so that a load fetches a sector for every number; and PyTorch's `(dO * O).sum(-1)` without fusion, which writes the products to memory and reads them again. The bars say how many sectors are asked for; caches may soften it, and only a GPU tells the time.
"""

# %% [markdown] lang="zh"
r"""
把你的 kernel（由评判器计数）与另外两种得到同样结果的做法放在一起：一种 kernel 沿着列走，每个通道各管一行，于是每个数都要取来一个扇区；另一种是不融合的 PyTorch `(dO * O).sum(-1)`，把乘积写入显存再读出来。柱长为请求的扇区数；缓存可能减轻差距，而时间只有 GPU 才能说明。
"""

# %%
def launch_delta(O, dO, kernel, block_rows=32):
    """δ of two matrices (rows, d) of any strides, the last axis contiguous."""
    rows, d = O.shape
    delta = torch.empty(rows, dtype=torch.float32, device=O.device)
    kernel[(triton.cdiv(rows, block_rows),)](
        O, dO, delta, rows, O.stride(0), dO.stride(0),
        HEAD_DIM=d, BLOCK_ROWS=block_rows, BLOCK_DIM=triton.next_power_of_2(d))
    return delta



# %%
from ladder.kernel_judge.bridge import have_triton, moved

if not have_triton():
    print("not checked: needs Triton, which runs without a GPU too")
else:
    torch.manual_seed(3)
    O, dO = torch.randn(2, 64, 64).bfloat16()
    facts = moved(launch_delta, O, dO, kernel=delta_kernel)
    written = 64 * 4 // 32
    sectors = {"yours": facts["sectors_loaded"] + facts["sectors_stored"],
               "column walk": 2 * O.numel() + written,                          # a sector for every number
               "torch, unfused": (2 + 1 + 1) * O.numel() * 2 // 32 + written}   # O, dO, product out and in
    fig, ax = plt.subplots(figsize=(6.5, 2.6), layout="constrained")
    bars = ax.barh(list(sectors), list(sectors.values()), color=["C2", "C3", "C1"])
    ax.bar_label(bars, [f"{n}, {n / sectors['yours']:.1f}x" for n in sectors.values()], padding=4)
    ax.set(xlabel="sectors of 32 bytes, 64 rows of 64 bfloat16 numbers", xlim=(0, 1.3 * max(sectors.values())))
    ax.invert_yaxis()
    print(f"yours: {facts['bytes_loaded']} bytes read, {100 * facts['sector_use']:.0f} % of the sectors used, "
          f"{facts['programs']} programs")
    plt.show()

# %% [markdown] lang="en"
r"""
With a GPU, the next cell runs your compiled kernel on 64 heads of 4096 queries. Without one it says so.
"""

# %% [markdown] lang="zh"
r"""
如果有 GPU，下一个单元格会在 64 个头、每头 4096 个查询上运行编译后的 kernel。没有的话，它会说明。
"""

# %%
if not torch.cuda.is_available():
    print("not checked: needs a GPU")
else:
    O, dO = torch.randn(2, 64 * 4096, 64, device="cuda").bfloat16()
    mine = launch_delta(O, dO, delta_kernel)
    print("largest difference to torch:", (mine - (O.float() * dO.float()).sum(-1)).abs().max().item())
    for name, run in (("yours", lambda: launch_delta(O, dO, delta_kernel)),
                      ("torch", lambda: (O * dO).sum(-1)), ("copy of O", lambda: O.clone())):
        times = []
        for _ in range(20):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            run()
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end))
        print(f"{torch.cuda.get_device_name()}: {name:10s} {1e3 * sorted(times)[10]:7.1f} us")

# %% [markdown] lang="en"
r"""
## 6 · Order and grid

Choose one answer for each question.

**1.** Why does V2's main backward kernel give each thread block one block of *keys* (and let it run over the queries), and not one block of queries?
- (a) Under a causal mask there are fewer key blocks than query blocks
- (b) dK and dV of the block are then summed on the chip, and only dQ is shared with others
- (c) dQ of the block is then summed on the chip, and only dK and dV are shared with others
- (d) L is stored by key

**2.** 2 sequences with 8 heads, N = M = 4096, query blocks of 64, key blocks of 128. How many thread blocks does the main kernel have?
- (a) 16
- (b) 32
- (c) 512
- (d) 32768

**3.** Which of these do two thread blocks of the same head both write to?
- (a) dK
- (b) dV
- (c) L
- (d) dQ

**4.** You run it twice on the same inputs. dK and dV agree in every bit, dQ does not. Why?
- (a) Atomic additions arrive in another order each time, and floating-point addition is not associative
- (b) dQ is rounded to 16 bits and dK, dV are not
- (c) δ is different each time
- (d) The scheduler changes the size of the query blocks

**5.** Why is δ made by a kernel of its own, and not from O and dO inside the loop over tiles?
- (a) The main kernel may not read O
- (b) Sums over a row need atomic additions
- (c) Each key block would have to read O again: d numbers a row in place of one
- (d) All of δ must be known before the first exponential

**6.** A causal mask, N = M = 1024, blocks of 128 both ways: 64 tiles. How many are computed, and how many of these need a mask?
- (a) 32 and 8
- (b) 36 and 8
- (c) 36 and 36
- (d) 64 and 28
"""

# %% [markdown] lang="zh"
r"""
## 6 · 次序与网格

每题选一个答案。

**1.** V2 的主反向 kernel 为什么给每个线程块一块*键*（由它遍历各查询），而不是一块查询？
- (a) 因果遮挡下，键块比查询块少
- (b) 这样该块的 dK 与 dV 在片上求和，只有 dQ 要与别人共享
- (c) 这样该块的 dQ 在片上求和，只有 dK 与 dV 要与别人共享
- (d) L 是按键存放的

**2.** 2 个序列，8 个头，N = M = 4096，查询块 64，键块 128。主 kernel 有多少个线程块？
- (a) 16
- (b) 32
- (c) 512
- (d) 32768

**3.** 同一个头的两个线程块，会同时写入下面哪一个？
- (a) dK
- (b) dV
- (c) L
- (d) dQ

**4.** 用相同的输入运行两次。dK 与 dV 逐位相同，dQ 却不同。为什么？
- (a) 原子加法每次到达的次序不同，而浮点加法不满足结合律
- (b) dQ 舍入到 16 位，dK、dV 没有
- (c) δ 每次都不同
- (d) 调度器会改变查询块的大小

**5.** 为什么 δ 由单独的 kernel 计算，而不是在分块的循环里由 O 与 dO 算出？
- (a) 主 kernel 不能读 O
- (b) 对一行求和需要原子加法
- (c) 否则每个键块都要再读一遍 O：每行 d 个数，而不是一个
- (d) 第一次取指数之前必须知道全部 δ

**6.** 因果遮挡，N = M = 1024，两个方向的块都是 128：共 64 个分块。要计算多少个，其中多少个需要掩码？
- (a) 32 和 8
- (b) 36 和 8
- (c) 36 和 36
- (d) 64 和 28
"""

# %% exercise="order_quiz"
from ladder.solutions.stage2_architecture.day32_flash_attention_backward import order_quiz

# %% [markdown] lang="zh" docstring="order_quiz"
r"""
上面六道关于反向次序与网格的题的答案。

返回一个字典，键为 "q1" 到 "q6"；每个值为 "a"、"b"、"c" 或 "d"。
"""

# %% [markdown] hint="order_quiz" lang="en"
r"""
Look at your own two loops. Which of the three gradients is complete when an outer step ends? Whatever is not complete then has to be shared when the outer steps run at the same time.
"""

# %% [markdown] hint="order_quiz" lang="zh"
r"""
看看你自己的两层循环。外层的一步结束时，三个梯度中哪些已经完成？外层各步同时运行时，没有完成的就必须共享。
"""

# %% [markdown] hint="order_quiz" lang="en"
r"""
Question 2: sequences, heads and the outer loop make the grid; the inner loop runs inside. Question 6: Day 29's `causal_tiles` counts it for you.
"""

# %% [markdown] hint="order_quiz" lang="zh"
r"""
第 2 题：网格由序列、头与外层循环组成；内层循环在线程块之内。第 6 题：第 29 天的 `causal_tiles` 可以替你数。
"""

# %%
from ladder.graders.stage2_architecture.day32_flash_attention_backward import check_order_quiz

check_order_quiz(order_quiz)

# %% [markdown] lang="en"
r"""
## 7 · Reading the source of V1

Open the repository as it was in 2022, for example [at commit 14dc326](https://github.com/Dao-AILab/flash-attention/tree/14dc326e594d1cc970d5aa2ff93490db61f5e3a7), beside this page: csrc/flash_attn/src/fmha_fprop_kernel_1xN.h and fmha_dgrad_kernel_1xN_loop.h. Half of each file moves data between memories (`gmem_...` for memory, `smem_...` for shared memory, `frag_...` for registers). What is left is algorithm 1 and algorithm 4 of [arXiv 2205.14135](https://arxiv.org/abs/2205.14135). The function names tell where the loops are: `device_1xN_loop` calls `device_1xN_` with a `loop_step_idx`, and `compute_dq_dk_dv_1xN` calls `compute_dq_dk_dv_1xN_one_iter`.

Condensed to what happens, in our words. Fill the eight gaps.

```
FORWARD        a grid of [1]: one thread block each
for j over the blocks of [2]                       # loop_step_idx
    load K_j and V_j; they stay on the chip
    for i over the blocks of [3]                   # l = 0 ... steps − 1
        load Q_i, and unless j is the first block: [4]
        S  = Q_i K_jᵀ / √d, masked
        m  = max(L_i, largest score of each row of S)
        P  = exp(S − m);   old = exp(L_i − m), 0 if j is the first block
        O_i = (old · O_i + P V_j) / (old + row sums of P)
        L_i = m + log(old + row sums of P)
        store O_i and L_i                          # how often? [5]

BACKWARD       the same grid
for j over the blocks of [2]
    load K_j and V_j;   dK_j = dV_j = 0, on the chip
    for i over the blocks of [3], if causal beginning with [6]
        load Q_i, dO_i, L_i
        if j is the first block: load O_i, make δ_i, store it
        else:                    load [7]
        P    = exp(Q_i K_jᵀ / √d − [8])
        dS   = P ∘ (dO_i V_jᵀ − δ_i)
        dV_j += Pᵀ dO_i;   dK_j += dSᵀ Q_i
        dQ_i  = (0 if j is the first block, else what is in memory) + dS K_j
        store dQ_i in float32; after its last block scale it and store it in 16 bits
    store dK_j / √d and dV_j
```

| letter | text | letter | text |
| --- | --- | --- | --- |
| a | the unfinished $O_i$ and its $L_i$ | h | query block 0 |
| b | $L_i$ | i | $\delta_i$ |
| c | keys and values | j | $m_i$, the largest score of the row |
| d | (query block, batch, head) | k | queries |
| e | query block $j\cdot B_c / B_r$ | l | $dP$, with $N\times M$ numbers |
| f | once, when the last $j$ has passed | m | at every step of the inner loop |
| g | (head, batch) | n | (key block, batch, head) |
"""

# %% [markdown] lang="zh"
r"""
## 7 · 阅读 V1 的源码

打开 2022 年时的代码仓库，例如[提交 14dc326](https://github.com/Dao-AILab/flash-attention/tree/14dc326e594d1cc970d5aa2ff93490db61f5e3a7)，放在本页旁边：csrc/flash_attn/src/fmha_fprop_kernel_1xN.h 与 fmha_dgrad_kernel_1xN_loop.h。两个文件各有一半在各级存储之间搬数据（`gmem_...` 是显存，`smem_...` 是共享内存，`frag_...` 是寄存器）。剩下的就是 [arXiv 2205.14135](https://arxiv.org/abs/2205.14135) 的算法 1 与算法 4。函数名说明了循环在哪里：`device_1xN_loop` 以 `loop_step_idx` 调用 `device_1xN_`，`compute_dq_dk_dv_1xN` 调用 `compute_dq_dk_dv_1xN_one_iter`。

下面用我们自己的话概括它做了什么。请填八个空。

```
FORWARD        a grid of [1]: one thread block each
for j over the blocks of [2]                       # loop_step_idx
    load K_j and V_j; they stay on the chip
    for i over the blocks of [3]                   # l = 0 ... steps − 1
        load Q_i, and unless j is the first block: [4]
        S  = Q_i K_jᵀ / √d, masked
        m  = max(L_i, largest score of each row of S)
        P  = exp(S − m);   old = exp(L_i − m), 0 if j is the first block
        O_i = (old · O_i + P V_j) / (old + row sums of P)
        L_i = m + log(old + row sums of P)
        store O_i and L_i                          # how often? [5]

BACKWARD       the same grid
for j over the blocks of [2]
    load K_j and V_j;   dK_j = dV_j = 0, on the chip
    for i over the blocks of [3], if causal beginning with [6]
        load Q_i, dO_i, L_i
        if j is the first block: load O_i, make δ_i, store it
        else:                    load [7]
        P    = exp(Q_i K_jᵀ / √d − [8])
        dS   = P ∘ (dO_i V_jᵀ − δ_i)
        dV_j += Pᵀ dO_i;   dK_j += dSᵀ Q_i
        dQ_i  = (0 if j is the first block, else what is in memory) + dS K_j
        store dQ_i in float32; after its last block scale it and store it in 16 bits
    store dK_j / √d and dV_j
```

| 字母 | 内容 | 字母 | 内容 |
| --- | --- | --- | --- |
| a | 尚未完成的 $O_i$ 及其 $L_i$ | h | 第 0 个查询块 |
| b | $L_i$ | i | $\delta_i$ |
| c | 键与值 | j | $m_i$，该行的最大得分 |
| d | （查询块，batch，头） | k | 查询 |
| e | 第 $j\cdot B_c / B_r$ 个查询块 | l | $dP$，共 $N\times M$ 个数 |
| f | 一次，在最后一个 $j$ 之后 | m | 内层循环的每一步 |
| g | （头，batch） | n | （键块，batch，头） |
"""

# %% [markdown] lang="en"
r"""
## 8 · Reading the source of V2

V2 (2023) was written anew on CUTLASS. Look into, in csrc/flash_attn/src: flash_fwd_launch_template.h and flash_bwd_launch_template.h (the grids), flash_fwd_kernel.h (`compute_attn_1rowblock`), flash_bwd_kernel.h (`compute_dq_dk_dv_1colblock`), flash_bwd_preprocess_kernel.h, kernel_traits.h (how warps share a tile). The forward grid is (query block, batch, head), that of the main backward kernel (key block, batch, head).

A stepping stone is flash_attn/flash_attn_triton.py, from the time of V1: its forward kernel already had one program for each query block, kept only $L$, and its backward kernel could be launched either way: with one program a head, which adds to $dQ$ with a plain load and store, or with one for each key block (`SEQUENCE_PARALLEL`), which needs `tl.atomic_add`. Autotuning picked the faster.

**1.** One sequence of 16384 tokens, 12 heads, query blocks of 128. How many thread blocks does the forward pass have for the 108 multiprocessors of an A100?
- (a) 12 in V1, 12 in V2
- (b) 128 in V1, 1536 in V2
- (c) 1536 in V1, 1536 in V2
- (d) 12 in V1, 1536 in V2

**2.** In V2's forward kernel the inner loop runs over key blocks. What does no longer travel to memory and back?
- (a) The unfinished $O_i$ and its statistics
- (b) K and V
- (c) P, which V1 stored
- (d) Q

**3.** Which operation did V2 take out of the forward pass's inner loop?
- (a) Subtracting the running maximum
- (b) The exponential
- (c) Dividing O by the running sum
- (d) The mask

**4.** An A100 does 312 TFLOPs a second in 16-bit matrix products and 19.5 otherwise. What follows, according to section 3.1?
- (a) FLOPs outside of matrix products are so few that they do not matter
- (b) A FLOP outside of matrix products costs as much time as 16 inside
- (c) Softmax should run on tensor cores
- (d) Exponentials should be taken in 16 bits

**5.** V1's traits have WARPS_M = 1 and WARPS_N = 4: four warps side by side over the *columns* of a tile of S. V2's `TiledMma` has the layout (kNWarps, 1, 1): warps over the *rows*. What does V2's forward pass save?
- (a) The exchange of partial sums of O between warps through shared memory
- (b) Registers, because each warp holds fewer numbers of P
- (c) Loads of K, because each warp needs a part of K only
- (d) The mask

**6.** `flash_bwd_dot_do_o_kernel` runs before the main backward kernel, one thread block for each query block. What does it do beside making δ?
- (a) It computes L
- (b) It converts dO to float32
- (c) It counts the visible tiles
- (d) It clears the float32 sum of dQ

**7.** `flash_bwd_convert_dq_kernel` runs at the end. Why does the main kernel not store dQ in 16 bits itself?
- (a) It has no registers left
- (b) A row of dQ is complete when all key blocks have added to it, and no thread block knows when that is
- (c) Atomic additions have to be undone first
- (d) dQ has to be transposed

**8.** For a row that sees no key, V2's forward pass stores $+\infty$ as its log-sum-exp, where the formula says $-\infty$. Why is that handy?
- (a) The sign marks rows that the backward pass skips
- (b) dQ becomes infinite there and the error shows
- (c) $\exp(S - L)$ is then 0 without a special case
- (d) $+\infty$ compares faster
"""

# %% [markdown] lang="zh"
r"""
## 8 · 阅读 V2 的源码

V2（2023 年）基于 CUTLASS 重新写成。请看 csrc/flash_attn/src 中的：flash_fwd_launch_template.h 与 flash_bwd_launch_template.h（网格），flash_fwd_kernel.h（`compute_attn_1rowblock`），flash_bwd_kernel.h（`compute_dq_dk_dv_1colblock`），flash_bwd_preprocess_kernel.h，kernel_traits.h（各 warp 如何分一个块）。前向的网格是（查询块，batch，头），主反向 kernel 的网格是（键块，batch，头）。

中间的一步是 V1 时期的 flash_attn/flash_attn_triton.py：它的前向 kernel 已经是每个查询块一个 program，并且只保存 $L$；反向 kernel 有两种启动方式：每个头一个 program，用普通的读和写累加 $dQ$；或者每个键块一个 program（`SEQUENCE_PARALLEL`），这时需要 `tl.atomic_add`。由自动调优选择较快的一种。

**1.** 一个 16384 个 token 的序列，12 个头，查询块 128。对于 A100 的 108 个多处理器，前向有多少个线程块？
- (a) V1 有 12 个，V2 有 12 个
- (b) V1 有 128 个，V2 有 1536 个
- (c) V1 有 1536 个，V2 有 1536 个
- (d) V1 有 12 个，V2 有 1536 个

**2.** V2 的前向 kernel 中，内层循环遍历键块。什么不再往返于显存？
- (a) 尚未完成的 $O_i$ 及其统计量
- (b) K 与 V
- (c) P，V1 会保存它
- (d) Q

**3.** V2 把哪个操作移出了前向的内层循环？
- (a) 减去滚动最大值
- (b) 取指数
- (c) 把 O 除以滚动和
- (d) 掩码

**4.** A100 的 16 位矩阵乘法为每秒 312 TFLOPs，其他运算为 19.5。按 3.1 节，由此得出什么？
- (a) 矩阵乘法以外的 FLOPs 很少，无关紧要
- (b) 矩阵乘法以外的一个 FLOP，耗时相当于矩阵乘法中的 16 个
- (c) softmax 应当放到张量核心上
- (d) 指数应当用 16 位计算

**5.** V1 的 traits 中 WARPS_M = 1、WARPS_N = 4：四个 warp 并排分 S 分块的*列*。V2 的 `TiledMma` 布局为 (kNWarps, 1, 1)：各 warp 分*行*。V2 的前向省去了什么？
- (a) 各 warp 之间通过共享内存交换 O 的部分和
- (b) 寄存器，因为每个 warp 持有的 P 更少
- (c) 读取 K，因为每个 warp 只需要 K 的一部分
- (d) 掩码

**6.** `flash_bwd_dot_do_o_kernel` 在主反向 kernel 之前运行，每个查询块一个线程块。除了计算 δ，它还做什么？
- (a) 计算 L
- (b) 把 dO 转换为 float32
- (c) 数可见的分块
- (d) 把 dQ 的 float32 累加值清零

**7.** `flash_bwd_convert_dq_kernel` 在最后运行。主 kernel 为什么不自己把 dQ 存成 16 位？
- (a) 寄存器用完了
- (b) 所有键块都累加之后，dQ 的一行才算完成，而没有哪个线程块知道那是什么时候
- (c) 要先撤销原子加法
- (d) dQ 需要转置

**8.** 对看不到任何键的行，V2 的前向把 log-sum-exp 存成 $+\infty$，而按公式应为 $-\infty$。这有什么好处？
- (a) 用符号标记反向要跳过的行
- (b) dQ 在那里变成无穷大，错误就暴露出来
- (c) 这样 $\exp(S - L)$ 不用特殊处理就是 0
- (d) $+\infty$ 比较起来更快
"""

# %% exercise="sources"
from ladder.solutions.stage2_architecture.day32_flash_attention_backward import v1_blanks, v2_quiz

# %% [markdown] lang="zh" docstring="v1_blanks"
r"""
上面两段列表中八个空的内容。

返回一个字典，键为 "b1" 到 "b8"；每个值为表中的一个字母，"a" 到 "n"。一个字母至多用一次，也可以不用。
"""

# %% [markdown] lang="zh" docstring="v2_quiz"
r"""
上面八道关于 V1 到 V2 变化的题的答案。

返回一个字典，键为 "q1" 到 "q8"；每个值为 "a"、"b"、"c" 或 "d"。
"""

# %% [markdown] hint="sources" lang="en"
r"""
V1: look at what is loaded before the inner loop and at what is loaded within it; that settles gaps 2 and 3, and then 4 and 5. In the files, `blockIdx.x` and `blockIdx.y` at the top of each function are the grid.
"""

# %% [markdown] hint="sources" lang="zh"
r"""
V1：看内层循环之前读取了什么、循环里又读取了什么；第 2、3 空由此确定，接着是第 4、5 空。在文件中，每个函数开头的 `blockIdx.x` 与 `blockIdx.y` 就是网格。
"""

# %% [markdown] hint="sources" lang="en"
r"""
V2, question 5: with warps over columns, each warp multiplies its columns of P with its rows of V. What is that product, compared with the tile of O? Question 8: you met it in `recompute_p`.
"""

# %% [markdown] hint="sources" lang="zh"
r"""
V2 第 5 题：若各 warp 分列，则每个 warp 用自己那几列 P 乘自己那几行 V。这个乘积与 O 的分块是什么关系？第 8 题：你在 `recompute_p` 里遇到过。
"""

# %%
from ladder.graders.stage2_architecture.day32_flash_attention_backward import check_v1_blanks

check_v1_blanks(v1_blanks)

# %%
from ladder.graders.stage2_architecture.day32_flash_attention_backward import check_v2_quiz

check_v2_quiz(v2_quiz)

# %% [markdown] lang="en"
r"""
## What you have now

| name | what it is for |
| --- | --- |
| `attention_delta`, `delta_kernel` | the preprocessing step, in PyTorch and in Triton |
| `recompute_p`, `flash_backward` | the backward pass that Day 105's optional kernels are measured by |
| `backward_flops`, `kept_bytes`, `backward_bytes_...` | the case for recomputation, in figures |
| the quizzes | a map of the source: next time you open it you know where the loops are |

Together with Day 29 you have attention, forward and backward, whose memory grows with $N$ and not with $N^2$.
"""

# %% [markdown] lang="zh"
r"""
## 你现在拥有的工具

| 名称 | 用途 |
| --- | --- |
| `attention_delta`、`delta_kernel` | 预处理步骤，PyTorch 版与 Triton 版 |
| `recompute_p`、`flash_backward` | 反向传播，第 105 天的可选 kernel 以它为准 |
| `backward_flops`、`kept_bytes`、`backward_bytes_...` | 用数字说明重算的理由 |
| 小测验 | 源码的地图：下次打开时，你知道循环在哪里 |

加上第 29 天，你就有了完整的前向与反向注意力，其内存随 $N$ 增长，而不是随 $N^2$ 增长。
"""

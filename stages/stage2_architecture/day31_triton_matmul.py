# %% [markdown] lang="en"
r"""
# Day 31 · A matrix product in Triton

**Goal.** Write a tiled matmul kernel that is right for every size, and know without a GPU what makes it fast: what it reads, from where, and what it compiles to. With a GPU you then measure it against cuBLAS.

| step | you write | what it settles |
| --- | --- | --- |
| 1 | `matmul_tile_kernel` | tiles, strides, the accumulator |
| 2 | `tile_intensity` | FLOPs for each byte read |
| 3 | `grouped_order` | which tile a program makes |
| 4 | `l2_traffic` | what that order saves |
| 5 | `matmul_kernel` | any M, N, K, in grouped order |
| 6 | `benchmark` | a fair race against `torch.matmul` |

Background: Tillet, Kung and Cox, *Triton* (MAPL 2019, [doi 10.1145/3315508.3329973](https://doi.org/10.1145/3315508.3329973)), for the language; Goto and van de Geijn, *Anatomy of High-Performance Matrix Multiplication* (ACM TOMS 34(3), 2008, [doi 10.1145/1356052.1356053](https://doi.org/10.1145/1356052.1356053)), for blocking. Day 30's tools are assumed: programs, pointers, masks.

## 1 · A tile for each program

$$C_{ij} = \sum_{k=0}^{K-1} A_{ik}B_{kj},\qquad A\in\mathbb R^{M\times K},\ B\in\mathbb R^{K\times N}$$

takes $2MNK$ FLOPs: a multiplication and an addition for each triple $(i,j,k)$. The numbers are far fewer, $MK+KN+MN$, so each must be used many times. What decides the speed is **how often it is fetched** for that.

Below is the **naive** kernel: each program makes a strip of one row of $C$, and for each $k$ it reads one number of $A$ and a strip of $B$'s row $k$. All of $B$ is read again for each of the $M$ rows. Read it, and note the line that reads most.
"""

# %% [markdown] lang="zh"
r"""
# 第 31 天 · 用 Triton 写矩阵乘法

**目标。** 写出对任何尺寸都正确的分块 matmul kernel，并且不用 GPU 也能说清它为什么快：读了什么、从哪里读、编译成了什么。有 GPU 的话，再拿它与 cuBLAS 比速度。

| 步骤 | 你要写的 | 它解决什么 |
| --- | --- | --- |
| 1 | `matmul_tile_kernel` | tile、步长、累加器 |
| 2 | `tile_intensity` | 每读一个字节做多少 FLOPs |
| 3 | `grouped_order` | 一个程序完成哪个 tile |
| 4 | `l2_traffic` | 这种次序省下了什么 |
| 5 | `matmul_kernel` | 任意 M、N、K，按分组次序 |
| 6 | `benchmark` | 与 `torch.matmul` 的公平较量 |

背景：语言见 Tillet、Kung、Cox 的 *Triton*（MAPL 2019，[doi 10.1145/3315508.3329973](https://doi.org/10.1145/3315508.3329973)）；分块见 Goto 与 van de Geijn 的 *Anatomy of High-Performance Matrix Multiplication*（ACM TOMS 34(3)，2008，[doi 10.1145/1356052.1356053](https://doi.org/10.1145/1356052.1356053)）。假定你已掌握第 30 天的工具：程序、指针、掩码。

## 1 · 每个程序负责一个 tile

$$C_{ij} = \sum_{k=0}^{K-1} A_{ik}B_{kj},\qquad A\in\mathbb R^{M\times K},\ B\in\mathbb R^{K\times N}$$

需要 $2MNK$ FLOPs：每个三元组 $(i,j,k)$ 一次乘法、一次加法。数据却少得多，只有 $MK+KN+MN$ 个数，所以每个数都要用很多次。决定速度的是：为此要把它**取多少次**。

下面是**朴素** kernel：每个程序计算 $C$ 的一行中的一段；对每个 $k$，读 $A$ 的一个数和 $B$ 第 $k$ 行的一段。$M$ 行中的每一行都要把整个 $B$ 再读一遍。读一读代码，找出读得最多的那一行。
"""

# %% setup
import os
import statistics
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from ladder.graders.stage2_architecture.day31_triton_matmul import launch_matmul, launch_tiles
from ladder.kernel_judge.bridge import have_triton, machine_code, report, traced
from ladder.triton import tl, triton

# %%
@triton.jit
def naive_kernel(
    a_ptr, b_ptr, c_ptr, N, K,
    stride_am, stride_ak, stride_bk, stride_bn, stride_cm, stride_cn, BLOCK_N: tl.constexpr,
):
    """Program (i, j) makes columns j·BLOCK_N ... of row i of C."""
    row = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * BLOCK_N
    col = first + tl.arange(0, BLOCK_N)
    acc = tl.zeros((BLOCK_N,), tl.float32)
    for k in range(K):
        a = tl.load(a_ptr + row * stride_am + k * stride_ak)                                 # 1 number
        b = tl.load(b_ptr + k * stride_bk + col * stride_bn, mask=col < N, other=0.0)        # BLOCK_N numbers
        acc += a.to(tl.float32) * b.to(tl.float32)
    tl.store(c_ptr + row * stride_cm + col * stride_cn, acc.to(c_ptr.dtype.element_ty), mask=col < N)


def launch_naive(a, b, block=32, *, kernel=naive_kernel):
    c = torch.empty(a.shape[0], b.shape[1], dtype=a.dtype, device=a.device)
    kernel[(c.shape[0], triton.cdiv(c.shape[1], block))](
        a, b, c, b.shape[1], a.shape[1], *a.stride(), *b.stride(), *c.stride(), BLOCK_N=block)
    return c


def matrices(M, N, K, dtype=torch.float16):
    g = torch.Generator().manual_seed(0)
    return torch.randn(M, K, generator=g).to(dtype), torch.randn(K, N, generator=g).to(dtype)


if have_triton():
    naive = report(launch_naive, *matrices(16, 32, 32))
    print("right:", torch.allclose(naive.outputs.float(), torch.matmul(*matrices(16, 32, 32)).float(), atol=1e-2))
    print(f"{naive.facts['bytes_loaded']:,} bytes read, of which {naive.facts['unique_bytes_read']:,} are different ones")
else:
    print("not checked: needs Triton")

# %% [markdown] lang="en"
r"""
Now the tiled version. Program $(i,j)$ owns a tile of $C$, `BLOCK_M` by `BLOCK_N`, and keeps it in registers while it walks along $K$:

$$C^{(i,j)} = \sum_{s} A^{(i,s)}B^{(s,j)},\qquad A^{(i,s)}:\ \text{BLOCK\_M}\times\text{BLOCK\_K},\quad B^{(s,j)}:\ \text{BLOCK\_K}\times\text{BLOCK\_N}$$

Each number of $A^{(i,s)}$ is used `BLOCK_N` times for one read. Three things to get right:

**Pointers.** A tile is a 2-D block of addresses: a column of row offsets plus a row of column offsets, each with its stride, as in `base + r[:, None] * s0 + c[None, :] * s1`. A transposed matrix has the same numbers under exchanged strides, so a kernel that takes all strides needs no copy. Row offsets belong in int64: $r\cdot\text{stride}$ passes $2^{31}$ in a large matrix.

**Product.** `tl.dot(a, b, acc)` returns `acc + a @ b` and becomes tensor core instructions. Its sides must be at least 16. 

**Accumulator.** A tensor core multiplies float16 exactly and can add in float32 or in float16. A float16 number has 11 significant bits: above 2048 neighbours are 2 apart, so adding 0.5 changes nothing, and above 65504 there is only infinity. The plot shows what a float16 sum of $K$ positive products loses (rounded after every 16, as a tensor core does).

The grader launches your kernel like this, here with whole tiles only:

```python
kernel[(M // BM, N // BN)](a, b, c, K, *a.stride(), *b.stride(), *c.stride(),
                           BLOCK_M=BM, BLOCK_N=BN, BLOCK_K=BK)
```
"""

# %% [markdown] lang="zh"
r"""
现在来看分块的版本。程序 $(i,j)$ 负责 $C$ 的一个 tile，大小为 `BLOCK_M` × `BLOCK_N`，沿 $K$ 前进期间一直把它放在寄存器里：

$$C^{(i,j)} = \sum_{s} A^{(i,s)}B^{(s,j)},\qquad A^{(i,s)}:\ \text{BLOCK\_M}\times\text{BLOCK\_K},\quad B^{(s,j)}:\ \text{BLOCK\_K}\times\text{BLOCK\_N}$$

$A^{(i,s)}$ 的每个数读一次就用 `BLOCK_N` 次。有三件事要做对：

**指针。** 一个 tile 是二维的地址块：一列行偏移加一行列偏移，各乘各的步长，形如 `base + r[:, None] * s0 + c[None, :] * s1`。转置的矩阵是同样的数、交换了步长，所以用到全部步长的 kernel 不需要拷贝。行偏移要用 int64：在大矩阵里 $r\cdot\text{stride}$ 会超过 $2^{31}$。

**乘积。** `tl.dot(a, b, acc)` 返回 `acc + a @ b`，会变成张量核心指令。它的各边至少为 16。

**累加器。** 张量核心对 float16 的乘法是精确的，加法可以用 float32，也可以用 float16。float16 有 11 位有效数字：2048 以上相邻两数相差 2，加 0.5 毫无变化；65504 以上就只剩无穷大。下图显示用 float16 对 $K$ 个正的乘积求和会损失多少（与张量核心一样，每 16 个舍入一次）。

评分器这样启动你的 kernel，这里只有完整的 tile：

```python
kernel[(M // BM, N // BN)](a, b, c, K, *a.stride(), *b.stride(), *c.stride(),
                           BLOCK_M=BM, BLOCK_N=BN, BLOCK_K=BK)
```
"""

# %%
products = np.random.default_rng(0).uniform(0.0, 2.0, size=(256, 8192)).astype(np.float32)
pieces = products.reshape(256, -1, 16).sum(-1)                       # what one tensor core instruction adds
narrow = np.zeros(256, np.float16)
errors = []
for step in range(pieces.shape[1]):
    narrow = (narrow.astype(np.float32) + pieces[:, step]).astype(np.float16)
    right = products[:, :16 * (step + 1)].sum(-1, dtype=np.float64)
    errors.append(np.abs(narrow - right).mean() / right.mean())
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.loglog(16 * np.arange(1, len(errors) + 1), errors, label="float16 accumulator")
ax.axhline(2**-11, color="k", ls=":", label="one rounding to float16")
ax.axhline(2**-24, color="C2", ls=":", label="one rounding to float32")
ax.set(xlabel="K", ylabel="mean relative error of a sum")
ax.legend()
plt.show()

# %% exercise="matmul_tile_kernel"
from ladder.solutions.stage2_architecture.day31_triton_matmul import matmul_tile_kernel

# %% [markdown] lang="zh" docstring="matmul_tile_kernel"
r"""
程序 (i, j) 计算 C = A B 中第 i 个 tile 行、第 j 个 tile 列的 tile。

网格为 (M // BLOCK_M, N // BLOCK_N)：轴 0 数 tile 行，轴 1 数 tile 列。M、N、K 分别是 BLOCK_M、BLOCK_N、BLOCK_K
的倍数，所以不需要掩码。这个 tile 包含第 i·BLOCK_M 到 (i + 1)·BLOCK_M − 1 行、第 j·BLOCK_N 到
(j + 1)·BLOCK_N − 1 列。

元素 A[r, k] 位于 ``a_ptr + r * stride_am + k * stride_ak``，B[k, c] 位于 ``b_ptr + k * stride_bk + c * stride_bn``，
C[r, c] 位于 ``c_ptr + r * stride_cm + c * stride_cn``。关于步长没有其他假定：A 可以是转置视图，C 可以是更大矩阵的一部分。

A 与 B 都是 float16，或都是 bfloat16。用 ``tl.dot`` 在整个 K 上以 float32 求和，最后只舍入一次，转为 C 的类型
（float32、float16 或 bfloat16）。A 的这个 tile 行与 B 的这个 tile 列中的每个元素只读一次，每次读一个
(BLOCK_M, BLOCK_K) 和一个 (BLOCK_K, BLOCK_N) 的 tile。
"""

# %% [markdown] hint="matmul_tile_kernel" lang="en"
r"""
Write down for one program: which rows, which columns, and the addresses of the first tile of A and of B. How far must each block of addresses move for the next step along K? It is not the same for both.
"""

# %% [markdown] hint="matmul_tile_kernel" lang="zh"
r"""
先就一个程序写下：负责哪些行、哪些列，A 与 B 的第一个 tile 的地址是什么。沿 K 走到下一步时，两块地址各要移动多远？二者并不相同。
"""

# %% [markdown] hint="matmul_tile_kernel" lang="en"
r"""
The loop runs over 0, BLOCK_K, 2·BLOCK_K ... below K. Before it: an accumulator of zeros of the tile's shape, in float32. Inside: two loads, one `tl.dot` that takes the accumulator, two moves of pointers. After it: convert to the element type of `c_ptr` and store.
"""

# %% [markdown] hint="matmul_tile_kernel" lang="zh"
r"""
循环依次取 0、BLOCK_K、2·BLOCK_K……直到不小于 K 为止。循环前：tile 形状、float32、全零的累加器。循环内：两次 load，一次带累加器的 `tl.dot`，两次指针移动。循环后：转换成 `c_ptr` 的元素类型再 store。
"""

# %%
from ladder.graders.stage2_architecture.day31_triton_matmul import check_tile_kernel

check_tile_kernel(matmul_tile_kernel)

# %% [markdown] lang="en"
r"""
The strict interpreter counts what your kernel reads. The same product, 64 by 64 by 64, with growing tiles; beside it the naive kernel in strips of 32, which reads $MNK$ numbers of $B$ and $2MK$ of $A$.
"""

# %% [markdown] lang="zh"
r"""
严格解释器会统计你的 kernel 读了多少。同一个 64 × 64 × 64 的乘积，tile 逐渐变大；旁边是每段 32 个数的朴素 kernel，它读 $B$ 的 $MNK$ 个数和 $A$ 的 $2MK$ 个数。
"""

# %%
if have_triton():
    a, b = matrices(64, 64, 64)
    ideal = 2 * (64 * 64 + 64 * 64)
    per = 64 // 32                                                   # strips a row, each reads A's row again
    read = {"naive": 2 * 64 * (per * 64 + 64 * 64)}
    for tile in (16, 32, 64):
        facts = report(launch_tiles, a, b, kernel=matmul_tile_kernel, blocks=(tile, tile, 32)).facts
        read[f"tiles of {tile}"] = facts["bytes_loaded"]
    fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
    bars = ax.barh(list(read), [n / ideal for n in read.values()], color=["C3", "C0", "C0", "C0"])
    ax.bar_label(bars, [f" {n:,} bytes" for n in read.values()])
    ax.set(xscale="log", xlim=(0.8, 200), xlabel="bytes read / bytes of A and B")
    ax.invert_yaxis()
    plt.show()
else:
    print("not checked: needs Triton")

# %% [markdown] lang="en"
r"""
## 2 · How many FLOPs a byte?

In one step a program reads two tiles and does $2\cdot BM\cdot BN\cdot BK$ FLOPs. Their ratio is the **arithmetic intensity** of the tile. Compare it with a machine's **balance**: an A100 80GB does 312 TFLOP/s in float16 and reads 2.04 TB/s from memory, so it needs $312/2.04\approx 153$ FLOPs a byte to keep its tensor cores busy; an H100 SXM $989/3.35\approx 295$ (data sheets). Work out the formula and see which variable drops out.
"""

# %% [markdown] lang="zh"
r"""
## 2 · 每个字节多少 FLOPs？

程序每一步读两个 tile，做 $2\cdot BM\cdot BN\cdot BK$ FLOPs。二者之比就是 tile 的**算术强度**。把它与机器的**平衡点**比较：A100 80GB 的 float16 算力为 312 TFLOP/s，显存带宽 2.04 TB/s，所以要让张量核心不闲着，每个字节需要 $312/2.04\approx 153$ FLOPs；H100 SXM 则是 $989/3.35\approx 295$（数据手册）。推导公式，看看哪个变量消去了。
"""

# %% exercise="tile_intensity"
from ladder.solutions.stage2_architecture.day31_triton_matmul import tile_intensity

# %% [markdown] lang="zh" docstring="tile_intensity"
r"""
沿 K 走一步时，程序每读一个字节所做的 FLOPs。

一步中，程序读 A 的一个 tile (BM, BK) 和 B 的一个 tile (BK, BN)，每个数 ``itemsize`` 字节，并把它们的乘积加到累加器上：
对 BM·BN·BK 对数中的每一对，做一次乘法和一次加法。最后写出的内容不计。
"""

# %% [markdown] hint="tile_intensity" lang="en"
r"""
Count both sides separately: the FLOPs of one `tl.dot`, the numbers in two tiles. Then bytes.
"""

# %% [markdown] hint="tile_intensity" lang="zh"
r"""
两边分开数：一次 `tl.dot` 的 FLOPs，两个 tile 里的数的个数。再换算成字节。
"""

# %% [markdown] hint="tile_intensity" lang="en"
r"""
A product of (BM, BK) and (BK, BN) has BM·BN entries, each a sum of BK products. The tiles hold BM·BK and BK·BN numbers.
"""

# %% [markdown] hint="tile_intensity" lang="zh"
r"""
(BM, BK) 与 (BK, BN) 的乘积有 BM·BN 个元素，每个是 BK 个乘积之和。两个 tile 分别有 BM·BK 与 BK·BN 个数。
"""

# %%
from ladder.graders.stage2_architecture.day31_triton_matmul import check_tile_intensity

check_tile_intensity(tile_intensity)

# %%
if have_triton():
    from ladder.kernel_judge.pictures import roofline

    points = {"naive": (2 * 32 / (2 * 33), 1.0)}
    points |= {f"{m}×{n}": (tile_intensity(m, n, 32, 2), 1.0) for m, n in ((16, 16), (64, 64), (128, 256))}
    points["4096³, all once"] = (2 * 4096 / (3 * 2), 1.0)
    fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    roofline(points, ax)
    ax.set(title="each program for itself, no cache", xlim=(0.5, 2e4), ylim=(0.5, 2e3))
    plt.show()
for m, n in ((16, 16), (64, 64), (128, 128), (128, 256), (256, 256)):
    registers = m * n / 256                                          # float32 accumulator, 8 warps of 32 threads
    print(f"{m:3d} by {n:3d}: {tile_intensity(m, n, 32, 2):6.1f} FLOPs a byte, "
          f"{registers:5.0f} registers a thread for the accumulator with 8 warps")

# %% [markdown] lang="en"
r"""
Two conclusions. Larger tiles are better, but a thread has 255 registers at most, and the accumulator must fit in: 256 by 256 with 8 warps does not. And **no tile that fits reaches the balance** of 153: 128 by 256 gives 85. If every read went to memory, the best tile could keep little more than half of an A100 busy. The gap is closed by the L2 cache: programs that run at the same time read the same tiles. That is worth planning.

## 3 · The order of the tiles

All programs that run together form a **wave** (as many as fit on the GPU at once). In step $s$ a wave reads the tiles $A^{(i,s)}$ of all its rows $i$ and $B^{(s,j)}$ of all its columns $j$. If $W$ tiles of $C$ lie in $r$ rows and $W/r$ columns, that is $r + W/r$ different tiles, which is least for $r=\sqrt W$: **a square patch reads less than a strip**. For 9 by 9 tiles and a wave of 9: one row needs $9\cdot(1 + 9) = 90$ tiles over 9 steps, a 3 by 3 patch $9\cdot(3+3) = 54$.

Programs start in the order of their number. So the number must be turned into a tile in such an order that neighbours lie in a patch: go down `GROUP_M` rows, then one column to the right, and so on.
"""

# %% [markdown] lang="zh"
r"""
两个结论。tile 越大越好，但一个线程最多 255 个寄存器，累加器必须放得下：256 × 256 配 8 个 warp 就放不下。而且**放得下的 tile 都达不到平衡点** 153：128 × 256 只有 85。如果每次读取都访问显存，最好的 tile 也只能让 A100 忙碌一半多一点。补上这个差距的是 L2 缓存：同时运行的程序会读同样的 tile。这值得好好安排。

## 3 · tile 的次序

同时运行的所有程序组成一**波**（GPU 一次容得下多少就是多少）。在第 $s$ 步，一波程序读取它们所有行 $i$ 的 tile $A^{(i,s)}$ 和所有列 $j$ 的 $B^{(s,j)}$。如果 $C$ 的 $W$ 个 tile 分布在 $r$ 行、$W/r$ 列里，就有 $r + W/r$ 个不同的 tile，在 $r=\sqrt W$ 时最少：**方块比长条读得少**。以 9 × 9 个 tile、每波 9 个为例：一整行在 9 步里需要 $9\cdot(1 + 9) = 90$ 个 tile，3 × 3 的方块只要 $9\cdot(3+3) = 54$ 个。

程序按编号依次启动。因此要把编号换成 tile，使相邻的编号落在一个方块里：先往下走 `GROUP_M` 行，再右移一列，依此类推。
"""

# %% exercise="grouped_order"
from ladder.solutions.stage2_architecture.day31_triton_matmul import grouped_order

# %% [markdown] lang="zh" docstring="grouped_order"
r"""
按分组次序，程序 ``pid``（0 <= pid < tiles_m·tiles_n）完成 C 的哪个 tile (m, n)。

C 有 ``tiles_m`` 行 tile，每行 ``tiles_n`` 个。从上往下，每 GROUP_M 个 tile 行为一组；最后一组是剩下的行，可能较少。
各组从上到下依次进行。组内的程序先走完一个 tile 列（从上往下），再走右边的下一列：GROUP_M = 2、共 2 行 3 列时，次序为
(0, 0)、(1, 0)、(0, 1)、(1, 1)、(0, 2)、(1, 2)。

返回 Python 整数。GROUP_M = 1 就是逐行；GROUP_M >= tiles_m 就是逐列。
"""

# %% [markdown] hint="grouped_order" lang="en"
r"""
Two questions in turn: which group is the program in, and how many programs come before it in that group? The second is then like numbering a small matrix column by column.
"""

# %% [markdown] hint="grouped_order" lang="zh"
r"""
依次回答两个问题：程序在哪一组？在这一组里，它前面有多少个程序？第二个问题就像给一个小矩阵逐列编号。
"""

# %% [markdown] hint="grouped_order" lang="en"
r"""
A full group has GROUP_M·tiles_n programs. A column of the small matrix is as high as the group, and for the last group that is what is left of tiles_m.
"""

# %% [markdown] hint="grouped_order" lang="zh"
r"""
完整的一组有 GROUP_M·tiles_n 个程序。小矩阵一列的高度就是这一组的行数；对最后一组来说，是 tiles_m 剩下的行数。
"""

# %%
from ladder.graders.stage2_architecture.day31_triton_matmul import check_grouped_order

check_grouped_order(grouped_order)

# %%
wave = 16
fig, axes = plt.subplots(1, 4, figsize=(12, 4), layout="constrained")
for ax, group in zip(axes, (1, 2, 4, 8), strict=True):
    order = [grouped_order(p, 8, 8, group) for p in range(64)]
    picture = np.zeros((8, 8))
    for p, (m, n) in enumerate(order):
        picture[m, n] = p
        if p < wave:
            ax.text(n, m, p, ha="center", va="center", color="white", fontsize=8)
    ax.imshow(picture, cmap="viridis")
    rows, columns = {m for m, _ in order[:wave]}, {n for _, n in order[:wave]}
    ax.set(title=f"GROUP_M = {group}\nfirst wave: {len(rows)} + {len(columns)} tiles a step",
           xlabel="tile column", ylabel="tile row")
plt.show()

# %% [markdown] lang="en"
r"""
## 4 · A model of the L2 cache

How much that saves over a whole product depends on what stays in the cache from wave to wave. That is hard to say by formula and easy by simulation. Model the L2 as an **LRU cache of tiles** and count what must come from memory. It is a model: a real L2 has lines of 128 bytes, a replacement rule of its own and programs that do not keep step. It gets the mechanism right, not the last percent.
"""

# %% [markdown] lang="zh"
r"""
## 4 · L2 缓存的模型

整个乘积能省多少，取决于一波到下一波之间缓存里留下了什么。用公式很难说清，用模拟却很容易。把 L2 看作**以 tile 为单位的 LRU 缓存**，数一数有多少必须从显存读取。这只是模型：真实的 L2 以 128 字节的行为单位，有自己的替换规则，各程序的步调也不一致。模型能说明机制，但不保证最后几个百分点。
"""

# %% exercise="l2_traffic"
from ladder.solutions.stage2_architecture.day31_triton_matmul import l2_traffic

# %% [markdown] lang="zh" docstring="l2_traffic"
r"""
A 与 B 有多少个 tile 因为不在 LRU 缓存里而必须从显存读取。

``order[p]`` 是程序 p 所完成的 C 的 tile (m, n)。为此程序要走 ``tiles_k`` 步；在第 k = 0, 1, …… 步，它先读 A 的 tile (m, k)，
再读 B 的 tile (k, n)。所有 tile 大小相同。程序按每波 ``wave`` 个运行：先是 ``order`` 的前 ``wave`` 个，然后是接下来的，
依此类推；最后一波可能较少。在一波之内，所有程序按 ``order`` 的次序走第 0 步，然后全部走第 1 步，依此类推；
最后一步之后才开始下一波。

缓存可放 ``cache_tiles`` >= 1 个 tile，开始时为空。读缓存里已有的 tile 是命中，没有代价。其他读取都是未命中：把该 tile
放进缓存；缓存已满时，替换掉最后一次被读（无论命中与否）离现在最久的那个。返回未命中的次数，一个 int。写入 C 的内容不计。
"""

# %% [markdown] hint="l2_traffic" lang="en"
r"""
Three nested questions: which wave, which step, which program of the wave. For the cache you need a container that remembers the order of last use and finds a tile quickly; the setup cell imports one that does both.
"""

# %% [markdown] hint="l2_traffic" lang="zh"
r"""
三层嵌套：哪一波、哪一步、这一波里的哪个程序。缓存需要一个既记住最近使用次序、又能快速查找的容器；setup 单元格里就导入了一个。
"""

# %% [markdown] hint="l2_traffic" lang="en"
r"""
A tile's name must say whether it belongs to A or to B. On a hit the tile becomes the most recent one; on a miss it does too, after the oldest has gone if there was no room.
"""

# %% [markdown] hint="l2_traffic" lang="zh"
r"""
tile 的名字必须说明它属于 A 还是 B。命中时，该 tile 变成最近使用的；未命中时也是，但若没有空位，要先去掉最旧的。
"""

# %%
from ladder.graders.stage2_architecture.day31_triton_matmul import check_l2_traffic

check_l2_traffic(l2_traffic)

# %% [markdown] lang="en"
r"""
The measurement: $M=N=8192$, $K=2048$ in float16, tiles of 128 by 128 by 64 (16 KB each), so 64 by 64 tiles of $C$ and 32 steps. Two GPUs, by the size of their L2: 6 MB and 80 programs at a time (as a V100), 40 MB and 108 (as an A100).
"""

# %% [markdown] lang="zh"
r"""
测量：$M=N=8192$，$K=2048$，float16，tile 为 128 × 128 × 64（每个 16 KB），因此 $C$ 有 64 × 64 个 tile，32 步。两种 GPU，以 L2 大小区分：6 MB、每波 80 个程序（如 V100）；40 MB、每波 108 个（如 A100）。
"""

# %%
quick = os.environ.get("LADDER_QUICK") == "1"
side, steps, tile_bytes = (32, 16, 2 * 128 * 64) if quick else (64, 32, 2 * 128 * 64)
groups = (1, 2, 4, 8, 16, 32, 64)
fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for name, cache_bytes, at_once in (("6 MB, 80 at once", 6e6, 80), ("40 MB, 108 at once", 40e6, 108)):
    misses = [l2_traffic([grouped_order(p, side, side, g) for p in range(side * side)], steps,
                         int(cache_bytes // tile_bytes), at_once) for g in groups]
    ax.plot(groups, [n * tile_bytes / 1e6 for n in misses], "o-", label=f"L2 of {name}")
    flops = 2 * (128 * side) ** 2 * 64 * steps
    print(f"L2 of {name}: " + ", ".join(
        f"GROUP_M {g}: {flops / (n * tile_bytes):.0f}" for g, n in zip(groups, misses, strict=True)) + " FLOPs a byte")
ax.axhline(2 * side * side * steps * tile_bytes / 1e6, color="C3", ls=":", label="no cache")
ax.axhline(2 * side * steps * tile_bytes / 1e6, color="k", ls=":", label="A and B once")
ax.set(xscale="log", yscale="log", xlabel="GROUP_M", ylabel="MB from memory")
ax.set_xticks(groups, [str(g) for g in groups])
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown] lang="en"
r"""
With 6 MB, the reference counts 155 FLOPs a byte row by row and 538 in groups of 8: the same kernel, the same tiles, less than a third of the traffic, and the best group is near $r=\sqrt{80}\approx 9$ rows as predicted. With 40 MB things are different: row by row, all of $B$ (33.5 MB) stays in the cache and $A$ passes through once; groups of 8 want parts of both and do a little worse. For larger $K$ nothing stays, and groups win again. So `GROUP_M` is a parameter to tune, not a law.

## 5 · The kernel for any size

Put it together. The grid now has one axis; the kernel computes its tile from the program's number, as your `grouped_order` does (`//`, `%`, `tl.minimum`). And tiles stick out:

| edge | what sticks out | what would go wrong |
| --- | --- | --- |
| below, right | rows ≥ M of A, columns ≥ N of B | reads of foreign memory; writes into it |
| end of K | k ≥ K in the last step | **wrong sums everywhere**, not only at an edge |

The first row costs only its own tile if it is forgotten; the second poisons every number of $C$, because whatever lies behind the row of A enters the sum. A masked lane must count as zero (`other=0.0`), and *both* loads need the condition on k: $0\cdot\text{NaN}$ is NaN.

One more condition, which shows in the machine code only: neighbouring lanes should have neighbouring addresses, so that a thread loads 128 bits (8 numbers) at once. And the loop should be a `for` over `range`, which the compiler can pipeline: on sm_80 and later it then copies the tiles of the next steps into shared memory with asynchronous copies (`cp.async`) while the tensor cores work on the present one.
"""

# %% [markdown] lang="zh"
r"""
L2 为 6 MB 时，参考实现测得：逐行为每字节 155 FLOPs，每组 8 行为 538：同样的 kernel，同样的 tile，流量不到三分之一，而且最佳的分组接近预测的 $r=\sqrt{80}\approx 9$ 行。L2 为 40 MB 时情况不同：逐行时，整个 $B$（33.5 MB）都留在缓存里，$A$ 只经过一次；每组 8 行则两个矩阵都要留一部分，反而略差。$K$ 更大时，什么都留不住，分组又会胜出。所以 `GROUP_M` 是一个要调的参数，而不是定律。

## 5 · 任意尺寸的 kernel

把各部分合在一起。网格现在只有一个轴；kernel 像你的 `grouped_order` 那样由程序编号算出自己的 tile（`//`、`%`、`tl.minimum`）。而且 tile 会伸出边界：

| 边界 | 伸出去的部分 | 会出什么错 |
| --- | --- | --- |
| 下、右 | A 的第 M 行及以后，B 的第 N 列及以后 | 读到别的内存；还会写进去 |
| K 的末尾 | 最后一步中 k ≥ K 的部分 | **所有的和都错**，不只是边缘 |

第一种若忘了，只损坏它自己的 tile；第二种会毒害 $C$ 的每一个数，因为 A 的一行后面的任何东西都会进入求和。被掩码屏蔽的通道必须当作零（`other=0.0`），而且*两次*读取都要有关于 k 的条件：$0\cdot\text{NaN}$ 等于 NaN。

还有一个只在机器码里看得到的条件：相邻的通道应当有相邻的地址，这样一个线程一次就能读 128 位（8 个数）。循环也应当是对 `range` 的 `for`，编译器才能把它流水化：在 sm_80 及以后的架构上，它用异步拷贝（`cp.async`）把后续步骤的 tile 搬进共享内存，与此同时张量核心计算当前的 tile。
"""

# %% exercise="matmul_kernel"
from ladder.solutions.stage2_architecture.day31_triton_matmul import matmul_kernel

# %% [markdown] lang="zh" docstring="matmul_kernel"
r"""
对任意 M、N、K >= 1，程序 ``pid`` 计算 C = A B 的 tile ``grouped_order(pid, ...)``。

网格只有一个轴，共 tiles_m·tiles_n 个程序，其中 tiles_m = ⌈M / BLOCK_M⌉，tiles_n = ⌈N / BLOCK_N⌉。tile 的次序与
``grouped_order`` 相同，每组 GROUP_M 个 tile 行；kernel 里不能调用那个函数。

步长、类型、``tl.dot`` 与 float32 累加器同 ``matmul_tile_kernel``。右边缘和下边缘的 tile 可能伸出 C，沿 K 的最后一步可能伸出
A 和 B：三个矩阵之外什么都不读、不写；那里无论是什么（别的数、NaN），都不影响 C；C 的每个元素只写一次。程序沿 K 恰好走 ⌈K / BLOCK_K⌉ 步，不多走。

在尺寸和步长都是 16 的倍数时，编译到 sm_80 的代码使用张量核心，没有寄存器溢出，读取指令中至少 90 % 为 128 位宽，
并且用异步拷贝预取后面步骤的 tile。
"""

# %% [markdown] hint="matmul_kernel" lang="en"
r"""
Start from your whole-tile kernel. First replace the two program numbers by the grouped order; then add the conditions for rows and columns; last the one for k, which is different in every step.
"""

# %% [markdown] hint="matmul_kernel" lang="zh"
r"""
从你的完整 tile kernel 开始。先把两个程序编号换成分组次序；再加上行与列的条件；最后加 k 的条件，它每一步都不同。
"""

# %% [markdown] hint="matmul_kernel" lang="en"
r"""
In a step that begins at `start`, lane k is inside if `start + k < K`. The mask of A's tile combines rows and k, that of B's tile k and columns, that of C rows and columns; shapes (BM, 1) and (1, BK) broadcast.
"""

# %% [markdown] hint="matmul_kernel" lang="zh"
r"""
在从 `start` 开始的一步里，第 k 个通道在 `start + k < K` 时有效。A 的 tile 的掩码由行与 k 组成，B 的由 k 与列组成，C 的由行与列组成；形状 (BM, 1) 与 (1, BK) 会广播。
"""

# %%
from ladder.graders.stage2_architecture.day31_triton_matmul import check_matmul_ragged

check_matmul_ragged(matmul_kernel)

# %%
from ladder.graders.stage2_architecture.day31_triton_matmul import check_matmul_order

check_matmul_order(matmul_kernel)

# %%
from ladder.graders.stage2_architecture.day31_triton_matmul import check_matmul_compiled

check_matmul_compiled(matmul_kernel)

# %% [markdown] lang="en"
r"""
Which program touched what, in your own kernel: $C$ is 70 by 90 with tiles of 16, in groups of 2. On the right, the last program to read each number of $B$.
"""

# %% [markdown] lang="zh"
r"""
在你自己的 kernel 里，哪个程序碰了什么：$C$ 为 70 × 90，tile 为 16，每组 2 行。右图是最后读取 $B$ 中每个数的程序。
"""

# %%
if have_triton():
    from ladder.kernel_judge.pictures import touched

    seen = traced(launch_matmul, *matrices(70, 90, 40), kernel=matmul_kernel, blocks=(16, 16, 32), group=2)
    fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    touched(seen, "c_ptr", (70, 90), axes[0])
    touched(seen, "b_ptr", (40, 90), axes[1])
    plt.show()
    print({name: seen.facts[name] for name in ("programs", "bytes_loaded", "unique_bytes_read", "sector_use", "dot_flops")})
else:
    print("not checked: needs Triton")

# %% [markdown] lang="en"
r"""
Nearly half of all FLOPs here are spent on lanes outside of the matrices (`dot_flops` against $2MNK$): with small matrices the tile size should fit the matrix, not only the GPU. And rows of 90 and 40 numbers do not start at sector borders, so `sector_use` is far from 1: padding a matrix to a multiple of 16 can pay.

## 6 · What it compiles to

Triton compiles for a GPU that is not there. The table shows your kernel for sm_80 (A100) with three choices of blocks, and the naive kernel.
"""

# %% [markdown] lang="zh"
r"""
这里有近一半的 FLOPs 花在矩阵之外的通道上（比较 `dot_flops` 与 $2MNK$）：矩阵小的时候，tile 大小不仅要适合 GPU，还要适合矩阵。另外，长 90 和 40 的行并不从扇区边界开始，所以 `sector_use` 远小于 1：把矩阵补齐到 16 的倍数可能是值得的。

## 6 · 它编译成了什么

没有 GPU，Triton 也能为它编译。下表是你的 kernel 以三种分块为 sm_80（A100）编译的结果，以及朴素 kernel 的。
"""

# %%
if have_triton():
    a, b = matrices(16, 16, 16)
    choices = {} if quick else {"naive": (launch_naive, dict(kernel=naive_kernel))}
    for blocks, warps in (((128, 128, 32), 8), ((128, 256, 64), 8), ((128, 256, 64), 4)):
        if quick and choices:
            break                                                     # each takes a few seconds to compile
        choices[f"{blocks}, {warps} warps"] = (
            launch_matmul, dict(kernel=matmul_kernel, blocks=blocks, num_warps=warps, num_stages=3))
    print(f"{'':25s}{'registers':>10s}{'spilled':>9s}{'shared':>9s}{'mma':>6s}{'cp.async':>10s}  loads by bits")
    for name, (launcher, given) in choices.items():
        code = machine_code(launcher, a, b, **given)
        print(f"{name:25s}{code['registers']:10d}{code['spill_bytes']:7d} B{code['shared'] // 1024:6d} KB"
              f"{code['tensor_instructions']:6d}{code['cp_async']:10d}  {code['load_bits']}")
else:
    print("not checked: needs Triton")

# %% [markdown] lang="en"
r"""
How to read it. The naive kernel has no tensor core instruction (`mma`) at all, so the roof over it is that of the ordinary float32 units, 16 times lower on an A100 (19.5 against 312 TFLOP/s). Yours has; its loads are 128 bits wide and asynchronous. With 128 by 256 and **8 warps** the accumulator takes $128\cdot256/256 = 128$ of the registers of a thread and all fits; with **4 warps** it takes 256, more than the 255 there are, and the reference spills 4 KB: those numbers travel to memory and back inside the loop. Shared memory is what `num_stages` costs: each stage holds one tile of A and one of B.

Nothing here is a time. A kernel with all these properties *can* be fast; one without them cannot. (Occupancy is not on the list for a reason: the naive kernel has the higher one.)

## 7 · Measure against cuBLAS

A benchmark goes wrong in well-known ways: the first call compiles; launches return before the work is done; inputs are still in the cache from the last call; one slow call moves the mean; the two candidates run at different clock frequencies; the result is wrong and nobody looked. `benchmark` has one answer for each. The clock comes as an argument, so that its logic can be tested here, where there is no GPU; `cuda_clock` is given.
"""

# %% [markdown] lang="zh"
r"""
怎样读这张表。朴素 kernel 完全没有张量核心指令（`mma`），所以它的上限是普通 float32 单元的算力，在 A100 上低 16 倍（19.5 对 312 TFLOP/s）。你的 kernel 有；它的读取宽 128 位，而且是异步的。128 × 256 配 **8 个 warp** 时，累加器占每个线程 $128\cdot256/256 = 128$ 个寄存器，一切都放得下；配 **4 个 warp** 时要 256 个，超过了仅有的 255 个，参考实现溢出 4 KB：这些数在循环里往返于显存。共享内存是 `num_stages` 的代价：每一级存放 A 的一个 tile 和 B 的一个 tile。

这里没有任何一项是时间。具备所有这些性质的 kernel *可能*快；缺了它们就不可能快。（占用率不在表中是有原因的：朴素 kernel 的占用率更高。）

## 7 · 与 cuBLAS 对比测速

测速出错的方式众所周知：第一次调用在编译；启动在工作完成之前就返回；输入还留在上次调用的缓存里；一次慢调用拉偏了平均值；两个候选者在不同的时钟频率下运行；结果是错的却没人看。`benchmark` 对每一条都有对策。时钟作为参数传入，这样在没有 GPU 的地方也能测试它的逻辑；`cuda_clock` 已给出。
"""

# %% exercise="benchmark"
from ladder.solutions.stage2_architecture.day31_triton_matmul import cuda_clock, benchmark

# %% [markdown] lang="zh" docstring="benchmark"
r"""
在同一次运行中测量 ``fn`` 与 ``baseline`` 的速度；二者都以 ``make_inputs()`` 给出的张量为参数。

``clock(call)`` 执行一次 ``call()``，返回所用的毫秒数。``clock=None`` 时，有 GPU 的机器上用 ``cuda_clock``；没有 GPU 的机器上
什么也不调用，结果是只有一项的字典：``"state"`` 为 ``"not checked: needs a GPU"``。

1. 用同一组输入调用二者各一次，不计时。如果 ‖fn − baseline‖ > tolerance·‖baseline‖（对所有元素取范数，float64），
   或者差不是有限值，就抛出 ValueError：错误的结果谈不上速度。
2. ``warmup`` 轮：先 ``fn``，后 ``baseline``，不计时。
3. ``repeats`` 轮：先 ``fn``，后 ``baseline``，各用时钟计时。

各轮中的每次调用都有自己的输入，由 ``make_inputs()`` 在计时之外生成，这样任何一次调用都不会在缓存里找到自己的数据。
各自的时间取 ``repeats`` 个时间的中位数（个数为偶数时取中间两个的平均）。返回
``{"state": "measured", "ms": ..., "baseline_ms": ..., "tflops": ..., "ratio": ...}``：两个时间；若一次调用要 ``flops`` FLOPs，
``fn`` 每秒达到多少个 10¹² FLOPs；以及 ``fn`` 的速度是 ``baseline`` 的多少倍（大于 1 表示 ``fn`` 更快）。
"""

# %% [markdown] hint="benchmark" lang="en"
r"""
Follow the numbered list. The first question, before any call, is whether there is a clock at all.
"""

# %% [markdown] hint="benchmark" lang="zh"
r"""
按编号逐条去做。在任何调用之前，第一个问题是：到底有没有时钟？
"""

# %% [markdown] hint="benchmark" lang="en"
r"""
`clock` wants a function of no arguments: bind this round's inputs in it, and make them before you hand it over. A comparison with NaN is false, so phrase the condition as what must hold. Milliseconds to seconds is a factor of 10³, FLOPs to TFLOPs one of 10¹².
"""

# %% [markdown] hint="benchmark" lang="zh"
r"""
`clock` 需要一个无参数的函数：把这一轮的输入绑定在里面，并在交出去之前就生成好。与 NaN 比较的结果总是 False，所以条件要写成“必须成立什么”。毫秒换成秒是 10³，FLOPs 换成 TFLOPs 是 10¹²。
"""

# %%
from ladder.graders.stage2_architecture.day31_triton_matmul import check_benchmark

check_benchmark(benchmark)

# %% [markdown] lang="en"
r"""
The race. Without a GPU the next cell says so; with one it takes some seconds. The project's aim for this kernel is a ratio of 0.9 at 4096³ in float16 (on an H100 that takes more than this kernel: wgmma with descriptors). **Practice:** change blocks, `num_warps`, `num_stages` and `GROUP_M`, one at a time, and keep a table of what you expected and what you measured.
"""

# %% [markdown] lang="zh"
r"""
比赛。没有 GPU 时，下一个单元格会说明；有的话，需要几秒。本项目为这个 kernel 定的目标是 float16、4096³ 时速度比达到 0.9（在 H100 上，这还需要本 kernel 之外的东西：配合描述符的 wgmma）。**练习：** 每次只改一项：分块、`num_warps`、`num_stages`、`GROUP_M`，把预期和实测记成一张表。
"""

# %%
if not torch.cuda.is_available():
    print("not checked: needs a GPU")
elif not have_triton():
    print("not checked: needs Triton")
else:
    ratios = {}
    for n in (512, 1024, 2048, 4096):
        result = benchmark(lambda x, y: launch_matmul(x, y, kernel=matmul_kernel), torch.matmul,
                           lambda n=n: tuple(torch.randn(n, n, device="cuda").half() for _ in range(2)), 2 * n**3)
        ratios[n] = result["ratio"]
        print(f"{torch.cuda.get_device_name()}, {n}³: {result['ms']:.3f} ms, {result['tflops']:.0f} TFLOP/s, "
              f"{result['ratio']:.2f} of torch.matmul")
    fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
    ax.plot(list(ratios), list(ratios.values()), "o-")
    ax.axhline(0.9, color="k", ls=":")
    ax.set(xscale="log", xlabel="M = N = K", ylabel="speed / torch.matmul")
    plt.show()

# %% [markdown] lang="en"
r"""
**Written answer: what stands between the naive kernel and cuBLAS** (6 points). For a colleague who has written only the naive kernel. Use the figures of your own kernel.

- 1 for what limits the naive kernel: its FLOPs a byte, against a machine's balance, and which units it uses;
- 1 for tiling: the formula of the intensity, which block size drops out, and what bounds the others from above;
- 1 for why the tile alone is not enough, and what the order of the tiles does about it, with your counted traffic;
- 1 for the accumulator's type: what it costs in registers, and two ways in which float16 would fail;
- 1 for three facts of the compiled code that a fast matmul must have, each with what happens without it;
- 1 for what is still unknown without a GPU, and how you would measure it so that the number can be trusted.
"""

# %% [markdown] lang="zh"
r"""
**书面题：朴素 kernel 与 cuBLAS 之间隔着什么**（6 分）。写给一位只写过朴素 kernel 的同事。请引用你自己的 kernel 的数字。

- 1 分：朴素 kernel 受什么限制：它每字节的 FLOPs 与机器的平衡点相比如何，用的是哪种计算单元；
- 1 分：分块：算术强度的公式，哪个块大小消去了，其余的上限由什么决定；
- 1 分：为什么光有 tile 还不够，tile 的次序对此起什么作用，引用你数出的流量；
- 1 分：累加器的类型：它占多少寄存器，float16 会以哪两种方式失败；
- 1 分：快的 matmul 编译后必须具备的三个事实，以及缺了各会怎样；
- 1 分：没有 GPU 时还有什么不知道，怎样测量才能让数字可信。
"""

# %% [markdown] written="written_cublas" lang="en"
r"""
*What stands between the naive kernel and cuBLAS. Replace this text.*
"""

# %% [markdown] written="written_cublas" lang="zh"
r"""
*朴素 kernel 与 cuBLAS 之间隔着什么（替换这段文字）。*
"""

# %% [markdown] model="written_cublas" lang="en"
r"""
*The naive kernel.* For each k it reads one number of A and a strip of B and does two FLOPs for each number of the strip: about 1 FLOP a byte in float16, where an A100 needs 153 to be busy. On 64 by 64 by 64 it read 33 times the bytes of A and B. It also has no `tl.dot`, so it runs on the float32 units, 16 times slower than tensor cores even with all data at hand.

*Tiling.* A step reads $(BM+BN)\cdot BK$ numbers and does $2\,BM\,BN\,BK$ FLOPs, so the intensity is $2\,BM\,BN/((BM+BN)\,e)$: BK drops out (it decides shared memory and the number of steps). BM and BN are bounded by registers: the accumulator takes BM·BN float32 numbers, 128 a thread for 128 by 256 with 8 warps, and a thread has 255 at most. Shared memory bounds BK times the stages.

*Order.* 128 by 256 gives 85 FLOPs a byte, below the balance of 153. The rest comes from the L2: programs that run together share tiles, most if they form a square patch. With 6 MB of L2 and 80 programs at once I counted 155 FLOPs a byte from memory row by row and 538 in groups of 8 rows.

*Accumulator.* float32 costs BM·BN registers, twice what float16 would. float16 stagnates (above 2048 its spacing is 2, so small products vanish, and the error grows with K) and overflows above 65504.

*Compiled.* Tensor core instructions (without: a 16 times lower roof); no spills (with them: accumulators travel through memory in every step); 128-bit asynchronous loads (without: more instructions a byte, and tensor cores wait for each tile). My kernel has them with 128 by 256 by 64 and 8 warps; with 4 warps the reference spills 4 KB.

*Unknown.* Times: latencies, bank conflicts, clock frequency, the real L2. I would measure in turns with cuBLAS in one run, after a check of the result and warm-up, fresh inputs and a flushed L2 for each call, synchronised, and report the median and the ratio, with the GPU's name.
"""

# %% [markdown] model="written_cublas" lang="zh"
r"""
*朴素 kernel。* 对每个 k，它读 A 的一个数和 B 的一段，段中每个数做两次 FLOPs：float16 下约每字节 1 FLOP，而 A100 要 153 才能忙起来。在 64 × 64 × 64 上，它读的字节数是 A 与 B 的 33 倍。它也没有 `tl.dot`，因此在 float32 单元上运行，即使数据都在手边，也比张量核心慢 16 倍。

*分块。* 一步读 $(BM+BN)\cdot BK$ 个数，做 $2\,BM\,BN\,BK$ FLOPs，所以强度是 $2\,BM\,BN/((BM+BN)\,e)$：BK 消去了（它决定共享内存与步数）。BM 与 BN 的上限是寄存器：累加器占 BM·BN 个 float32，128 × 256 配 8 个 warp 时每线程 128 个，而一个线程最多 255 个。共享内存限制 BK 乘以级数。

*次序。* 128 × 256 是每字节 85 FLOPs，低于平衡点 153。其余靠 L2：同时运行的程序共享 tile，排成方块时共享最多。L2 为 6 MB、每波 80 个程序时，我数得：从显存读取，逐行为每字节 155 FLOPs，每组 8 行为 538。

*累加器。* float32 要 BM·BN 个寄存器，是 float16 的两倍。float16 会停滞（2048 以上间距为 2，小的乘积消失，误差随 K 增长），并在 65504 以上溢出。

*编译结果。* 张量核心指令（没有：上限低 16 倍）；没有溢出（有溢出：累加器每一步都要经过显存）；128 位的异步读取（没有：每字节要更多指令，而且张量核心要等每个 tile）。我的 kernel 在 128 × 256 × 64、8 个 warp 时都具备；4 个 warp 时参考实现溢出 4 KB。

*未知的。* 时间：延迟、bank 冲突、时钟频率、真实的 L2。我会在同一次运行里与 cuBLAS 交替测量，先核对结果并预热，每次调用用新的输入、清空 L2、同步，报告中位数与比值，并写明 GPU 型号。
"""

# %% [markdown] lang="en"
r"""
## What you have now

| name | what it is for |
| --- | --- |
| `matmul_kernel` | the loop that flash attention runs twice per tile (Day 105) |
| `tile_intensity`, `l2_traffic` | two ways to know a kernel's limit before it runs; Day 103 adds the whole roofline |
| `benchmark` | the race for every later kernel |

Whether the kernel is near cuBLAS is **not checked** until a GPU has run the last cell.
"""

# %% [markdown] lang="zh"
r"""
## 你现在拥有的工具

| 名称 | 用途 |
| --- | --- |
| `matmul_kernel` | flash attention 在每个 tile 上要跑两次的循环（第 105 天） |
| `tile_intensity`、`l2_traffic` | 在 kernel 运行之前了解其上限的两种办法；第 103 天补上完整的 roofline |
| `benchmark` | 以后每个 kernel 的赛场 |

在有 GPU 运行过最后那个单元格之前，这个 kernel 是否接近 cuBLAS 都属于**未检查**。
"""

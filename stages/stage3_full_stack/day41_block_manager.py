# %% [markdown] lang="en"
r"""
# Day 41 · The block manager

**Goal.** Yesterday attention learned to read keys and values through a block table. Today you write what keeps these tables: the block manager of a serving engine. At the end
your manager, Day 40's paged attention and Day 23's Llama serve a batch of requests together, and every answer equals, token for token, what the model writes alone.

The day follows two designs of one project, because the second is an answer to the first:

| | sections 1 to 5 | sections 6 and 7 |
| --- | --- | --- |
| vLLM | v0.2 to v0.5 (2023-24) | V1 (default since v0.8, 2025) |
| source | [block_manager.py](https://github.com/vllm-project/vllm/blob/v0.2.7/vllm/core/block_manager.py), later [block_manager_v1.py](https://github.com/vllm-project/vllm/blob/v0.5.0/vllm/core/block_manager_v1.py) | [kv_cache_manager.py](https://github.com/vllm-project/vllm/blob/v0.8.5/vllm/v1/core/kv_cache_manager.py), [block_pool.py](https://github.com/vllm-project/vllm/blob/v0.8.5/vllm/v1/core/block_pool.py) |
| sharing | fork, copy-on-write | cached prefixes |
| out of memory | swap or recompute | recompute |

**Read first** (an hour and a half): Kwon et al., [arXiv 2309.06180](https://arxiv.org/abs/2309.06180), sections 4.2 to 4.5; then the two files of the left column, and vLLM's design page on
[automatic prefix caching](https://docs.vllm.ai/en/latest/design/prefix_caching/). The quiz in section 8 asks about them. Plan four hours for the rest.
"""

# %% [markdown] lang="zh"
r"""
# 第 41 天 · Block Manager

**目标。** 昨天，注意力学会了通过块表读取 K、V。今天你来写维护这些块表的部件：推理引擎的块管理器（block manager）。最后，你的管理器、第 40 天的分页注意力和
第 23 天的 Llama 一起为一批请求提供服务，而每个回答都与模型单独生成的结果逐 token 相同。

这一天依次实现同一个项目的两种设计，因为后一种正是对前一种的回答：

| | 第 1 到 5 节 | 第 6、7 节 |
| --- | --- | --- |
| vLLM | v0.2 到 v0.5（2023-24） | V1（自 v0.8 起为默认，2025） |
| 源码 | [block_manager.py](https://github.com/vllm-project/vllm/blob/v0.2.7/vllm/core/block_manager.py)，后为 [block_manager_v1.py](https://github.com/vllm-project/vllm/blob/v0.5.0/vllm/core/block_manager_v1.py) | [kv_cache_manager.py](https://github.com/vllm-project/vllm/blob/v0.8.5/vllm/v1/core/kv_cache_manager.py)、[block_pool.py](https://github.com/vllm-project/vllm/blob/v0.8.5/vllm/v1/core/block_pool.py) |
| 共享方式 | fork、写时复制 | 前缀缓存 |
| 显存不足时 | 换出或重算 | 重算 |

**先读**（约一个半小时）：Kwon 等，[arXiv 2309.06180](https://arxiv.org/abs/2309.06180)，4.2 到 4.5 节；然后读左栏的两个文件，以及 vLLM 关于
[自动前缀缓存](https://docs.vllm.ai/en/latest/design/prefix_caching/) 的设计文档。第 8 节的测验会问到它们。其余部分约需四小时。
"""

# %% setup
import hashlib
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import torch

from ladder.earlier.day21_rope import apply_rope, rope_tables
from ladder.earlier.day22_gqa_and_kv_cache import generate
from ladder.earlier.day23_llama import Llama, LlamaConfig
from ladder.earlier.day40_paged_attention import paged_attention, slot_mapping, write_kv

# %% [markdown] lang="en"
r"""
## 1 · Blocks and their owners

GPU memory for keys and values is cut once, at the start, into $N$ blocks of $b$ slots. From then on there is only bookkeeping: which blocks are free, and how many owners each other block
has. With $f$ free blocks and reference counts $r_1,\dots,r_N$,

$$f = \#\{i : r_i = 0\},\qquad \sum_i r_i = \text{all entries of all tables together}.$$

Every bug of a block manager breaks one of these two equations, usually long before somebody sees a wrong token. Your checks look at them after each operation of long random traces. They use
only the methods that the docstrings name, and never compare block numbers: lists, heaps, bitmaps, all are welcome.
"""

# %% [markdown] lang="zh"
r"""
## 1 · 块与它们的主人

存放 K、V 的显存在启动时一次切成 $N$ 块，每块 $b$ 个槽位。之后剩下的只是记账：哪些块空闲，其余每块有几个主人。设空闲块数为 $f$，引用计数为 $r_1,\dots,r_N$，则

$$f = \#\{i : r_i = 0\},\qquad \sum_i r_i = \text{all entries of all tables together}.$$

（第二式右边是所有块表的表项总数。）块管理器的每个 bug 都会破坏这两个等式之一，而且往往远在有人看到错误的 token 之前。检查会在很长的随机操作序列中，
每一步之后都核对它们。检查只使用 docstring 中写明的方法，从不比较块号：列表、堆、位图，都可以。
"""

# %% exercise="allocator"
from ladder.solutions.stage3_full_stack.day41_block_manager import BlockAllocator

# %% [markdown] lang="zh" docstring="BlockAllocator"
r"""一块内存中的物理块，以及谁在使用它们；同 vLLM v0.2 到 v0.5。

``BlockAllocator(num_blocks)`` 管理块 0 到 num_blocks − 1。一个块要么空闲，要么被一个或多个主人使用；主人的
个数就是它的引用计数，空闲块为 0。下一次给出哪个空闲块，由你决定。凡是接受 ``block`` 的方法，若它不在
0 到 num_blocks − 1 之中，就抛出 ValueError，且不改变任何东西。
"""

# %% [markdown] lang="zh" docstring="BlockAllocator.__init__"
r"""全部 ``num_blocks`` 个块都空闲。"""

# %% [markdown] lang="zh" docstring="BlockAllocator.allocate"
r"""返回一个原本空闲的块；现在它有一个主人。没有空闲块时抛出 ValueError。"""

# %% [markdown] lang="zh" docstring="BlockAllocator.share"
r"""使用中的块多一个主人。若该块空闲，抛出 ValueError。"""

# %% [markdown] lang="zh" docstring="BlockAllocator.free"
r"""少一个主人；最后一个主人离开后，块重新空闲。

若块已经空闲（重复释放），抛出 ValueError，且不改变任何东西。
"""

# %% [markdown] lang="zh" docstring="BlockAllocator.ref_count"
r"""``block`` 的主人个数。"""

# %% [markdown] lang="zh" docstring="BlockAllocator.num_free"
r"""空闲块的个数。"""

# %% [markdown] hint="allocator" lang="en"
r"""
Keep two things that always agree: the counts, and the free blocks. Which of your methods change a count from 0 to 1, or from 1 to 0? Only these touch the free blocks.
"""

# %% [markdown] hint="allocator" lang="zh"
r"""
维护始终一致的两样东西：计数，以及空闲块。哪些方法会把计数从 0 变成 1，或从 1 变成 0？只有它们才动空闲块。
"""

# %% [markdown] hint="allocator" lang="en"
r"""
Check first, change afterwards: a method that raises must leave everything as it was. And a list of counts accepts the index −1.
"""

# %% [markdown] hint="allocator" lang="zh"
r"""
先检查，后改动：抛出异常的方法必须让一切保持原样。另外，存计数的列表是接受下标 −1 的。
"""

# %%
from ladder.graders.stage3_full_stack.day41_block_manager import check_allocator

check_allocator(BlockAllocator)

# %% [markdown] lang="en"
r"""
## 2 · Tables, and who may come in

A sequence of $n$ tokens needs $\lceil n/b \rceil$ blocks. Its **block table** lists them: logical block $j$ is physical block `table[j]`, and the token at position $p$ lives at

$$\text{slot}(p) = \text{table}[\lfloor p/b \rfloor]\cdot b + p \bmod b .$$

Before a waiting request is let in, the scheduler asks `can_allocate`. The answer has three values, because "not now" and "not ever" call for different action: wait, or refuse the request. And some blocks
are held back, $w = \lfloor 0.01\,N \rfloor$ by default, the *watermark*: running sequences will want a new block soon, and a newcomer that takes the last one would be thrown out again at once.

`BlockManager` grows over four exercises. Its docstring holds for all of them: read it twice.
"""

# %% [markdown] lang="zh"
r"""
## 2 · 块表，以及谁可以进来

$n$ 个 token 的序列需要 $\lceil n/b \rceil$ 块。它的**块表**依次列出这些块：逻辑块 $j$ 就是物理块 `table[j]`，位置 $p$ 的 token 位于

$$\text{slot}(p) = \text{table}[\lfloor p/b \rfloor]\cdot b + p \bmod b .$$

放一个等待中的请求进来之前，调度器先问 `can_allocate`。回答有三种，因为“现在不行”与“永远不行”对应不同的处理：等待，或拒绝这个请求。此外还保留一些块，
默认 $w = \lfloor 0.01\,N \rfloor$，即*水位线*（watermark）：运行中的序列很快就要新块，若新来者拿走最后一块，它马上又会被赶出去。

`BlockManager` 分四个练习逐步写成。它的 docstring 对所有练习都有效：请读两遍。
"""

# %% exercise="allocate"
from ladder.solutions.stage3_full_stack.day41_block_manager import BlockManager

# %% [markdown] lang="zh" docstring="BlockManager"
r"""从序列到块的映射，按 vLLM v0.2 到 v0.5 的做法维护。

一个序列（任意 int ``seq_id``）就是一列 token。位置 p 的 token 的 K、V 位于块
``block_table(seq_id)[p // block_size]`` 中偏移 p % block_size 处，所以 n 个 token 的序列，块表总是恰有
⌈n / block_size⌉ 块。内存有两处，"gpu" 与 "cpu"，各自的块都从 0 编号；一个序列位于其中一处，开始时在 "gpu"。
一个块的引用计数是含有它的块表的个数。

管理器不搬动任何 K、V：它只说明调用者要复制哪些块。凡是接受已有序列 ``seq_id`` 的方法，若没有这个序列
（从未创建，或已释放），就抛出 KeyError。抛出异常的方法不改变任何东西。
"""

# %% [markdown] lang="zh" docstring="BlockManager.__init__"
r"""没有序列；所有块空闲。放新序列进来时，要保留 ``num_gpu_blocks`` 乘以 ``watermark``（向下取整）个 GPU 块
（见 ``can_allocate``）。
"""

# %% [markdown] lang="zh" docstring="BlockManager.can_allocate"
r"""由 ``tokens``（至少一个）组成的新序列能否进来。

设它需要 r 块，保留 w 块：若即使 GPU 内存全空也留不下 w 块（总数 − r < w），返回 "NEVER"；若现有空闲块
留得下（空闲 − r >= w），返回 "OK"；否则返回 "LATER"。
"""

# %% [markdown] lang="zh" docstring="BlockManager.allocate"
r"""用原本空闲的 GPU 块创建由 ``tokens``（至少一个）组成的序列 ``seq_id``。

若 ``seq_id`` 已存在，或空闲 GPU 块不够，抛出 ValueError。保留的块也可以使用：保留是 ``can_allocate`` 的事。
"""

# %% [markdown] lang="zh" docstring="BlockManager.block_table"
r"""该序列依次的块号，一个新的列表。"""

# %% [markdown] lang="zh" docstring="BlockManager.num_tokens"
r"""该序列的长度。"""

# %% [markdown] lang="zh" docstring="BlockManager.ref_count"
r"""这个块（在 "gpu" 或 "cpu" 内存中）被几张块表持有。"""

# %% [markdown] lang="zh" docstring="BlockManager.num_free"
r"""内存 "gpu" 或 "cpu" 中空闲块的个数。"""

# %% [markdown] hint="allocate" lang="en"
r"""
Two allocators, one for each memory, and for each sequence a table and a length. Test `can_allocate` on paper for $n$ just below, at and above a multiple of $b$.
"""

# %% [markdown] hint="allocate" lang="zh"
r"""
两个分配器，每处内存一个；每个序列一张块表、一个长度。在纸上检验 `can_allocate`：$n$ 取 $b$ 的倍数、比它少一、比它多一。
"""

# %% [markdown] hint="allocate" lang="en"
r"""
Rounding up without floats: `-(-n // b)`. NEVER compares with the total, OK with the free blocks; both leave the held-back blocks alone. `allocate` counts before it takes the first block.
"""

# %% [markdown] hint="allocate" lang="zh"
r"""
不用浮点数的向上取整：`-(-n // b)`。NEVER 与总块数比，OK 与空闲块数比；两者都不动保留的块。`allocate` 在拿第一块之前就要数清楚。
"""

# %%
from ladder.graders.stage3_full_stack.day41_block_manager import check_allocate

check_allocate(BlockManager)

# %% [markdown] lang="en"
r"""
## 3 · fork and free

Four answers to one prompt (parallel sampling), or the beams of a beam search, begin with the same tokens, so the same keys and values (section 4.4 of the paper). `fork` lets a child hold its parent's blocks: the table is
copied, the blocks are not, and each count goes up by one. `free` is the reverse for one sequence, whoever else holds the blocks.

Where fork and free count differently, a block is freed twice, or never. vLLM's [issue 1556](https://github.com/vllm-project/vllm/issues/1556), "Double free!", was of this kind: with a sliding window one block stood twice in a
table, and fork counted it twice where free did not ([pull request 3347](https://github.com/vllm-project/vllm/pull/3347)).
"""

# %% [markdown] lang="zh"
r"""
## 3 · fork 与 free

对同一提示给出四个回答（并行采样），或 beam search 的各个 beam，开头的 token 相同，K、V 也就相同（论文 4.4 节）。`fork` 让子序列持有父序列的块：复制的是块表，
不是块，每块的计数加一。`free` 是对单个序列的逆操作，不管还有谁持有这些块。

如果 fork 与 free 数得不一样，块就会被释放两次，或永远不被释放。vLLM 的 [issue 1556](https://github.com/vllm-project/vllm/issues/1556)（“Double free!”）就是这一类：使用滑动窗口时，同一块在一张块表里
出现两次，fork 数了两次，free 却没有（[PR 3347](https://github.com/vllm-project/vllm/pull/3347)）。
"""

# %% exercise="fork_free"
from ladder.solutions.stage3_full_stack.day41_block_manager import BlockManager

# %% [markdown] lang="zh" docstring="BlockManager.fork"
r"""创建序列 ``child``：token 与 ``parent`` 到目前为止的相同，位于同样的块中。

不占用新块，也不复制任何块：父序列的每一块多一个主人。从此两者各自增长（见 ``append_slots``）。若 ``child``
已存在，或 ``parent`` 在 CPU 内存中，抛出 ValueError。
"""

# %% [markdown] lang="zh" docstring="BlockManager.free"
r"""结束该序列，不论它在哪处内存：它的块表放弃其中的每一块。"""

# %% [markdown] hint="fork_free" lang="en"
r"""
The child needs a table of its own, even though it begins with the same numbers: what would happen at the next append otherwise?
"""

# %% [markdown] hint="fork_free" lang="zh"
r"""
子序列需要自己的一张表，尽管开头的块号相同：否则下一次追加时会怎样？
"""

# %% [markdown] hint="fork_free" lang="en"
r"""
`share` once for each entry of the table in fork, `free` of the allocator once for each entry in free; then forget table and length, so that a second free finds nobody.
"""

# %% [markdown] hint="fork_free" lang="zh"
r"""
fork 时对表中每一项 `share` 一次，free 时对每一项调用一次分配器的 `free`；然后丢掉块表和长度，让第二次 free 找不到这个序列。
"""

# %%
from ladder.graders.stage3_full_stack.day41_block_manager import check_fork_free

check_fork_free(BlockManager)

# %% [markdown] lang="en"
r"""
## 4 · One more token: append and copy-on-write

A sequence of $n$ tokens gets its token $n+1$, at position $p = n$. Three cases (section 4.3 and figure 8 of the paper):

1. $n \bmod b = 0$: the last block is full. A new block is needed.
2. There is room in the last block, and nobody else holds it: nothing to do.
3. There is room, but others hold it too: writing would overwrite what they read. **Copy-on-write**: take a new block, have the old one copied, give up the old one.

Is $n$ the length before or after the new token? This one question fills the trackers of small engines: nano-vllm's issues [30](https://github.com/GeeeekExplorer/nano-vllm/issues/30), [150](https://github.com/GeeeekExplorer/nano-vllm/issues/150)
and [240](https://github.com/GeeeekExplorer/nano-vllm/issues/240) all suspect its test `len % block_size == 1`, which is right there, because the token has been appended *before* the call; in MinivLLM the boundary of the same test was wrong
([pull request 85](https://github.com/Wenyueh/MinivLLM/pull/85)). So our docstring says it: the slot is made before the token's key and value are written, and `num_tokens` counts the token afterwards.
"""

# %% [markdown] lang="zh"
r"""
## 4 · 再加一个 token：追加与写时复制

有 $n$ 个 token 的序列要加上第 $n+1$ 个 token，位于位置 $p = n$。分三种情况（论文 4.3 节与图 8）：

1. $n \bmod b = 0$：最后一块已满，需要新块。
2. 最后一块有空位，且没有别人持有：什么都不用做。
3. 有空位，但别人也持有：写入会覆盖他们要读的内容。**写时复制**：拿一个新块，让调用者复制旧块，然后放弃旧块。

$n$ 是新 token 之前还是之后的长度？单是这个问题就填满了小型引擎的 issue 列表：nano-vllm 的 issue [30](https://github.com/GeeeekExplorer/nano-vllm/issues/30)、[150](https://github.com/GeeeekExplorer/nano-vllm/issues/150)
和 [240](https://github.com/GeeeekExplorer/nano-vllm/issues/240) 都怀疑其中的判断 `len % block_size == 1`，而它在那里是对的，因为 token 在调用*之前*就已追加；MinivLLM 在自己的判断中把边界弄错了
（[PR 85](https://github.com/Wenyueh/MinivLLM/pull/85)）。所以我们的 docstring 写明：先腾出槽位，再写这个 token 的 K、V；调用之后 `num_tokens` 才算上它。
"""

# %% exercise="append"
from ladder.solutions.stage3_full_stack.day41_block_manager import BlockManager

# %% [markdown] lang="zh" docstring="BlockManager.can_append"
r"""如果 ``append_slots`` 需要一个 GPU 块，它能否得到；不需要时也为 True。

若序列在 CPU 内存中，抛出 ValueError。
"""

# %% [markdown] lang="zh" docstring="BlockManager.append_slots"
r"""为再加一个 token 腾出位置，它的 K、V 即将写入。

调用之后，序列长了一个 token，新的最后位置所在的块只属于它自己。若该位置落在别的序列也持有的块中，这个序列
就改用一个自己的块，返回 ``[(old, new)]``：调用者在写入之前，把块 old 复制到块 new（写时复制）。其他情况一律返回
``[]``。最多占用一个新块。若需要块而没有空闲块，或序列在 CPU 内存中，抛出 ValueError。（v0.5 的管理器在这里不看
``token``；第 6 节起的那个会看。）
"""

# %% [markdown] hint="append" lang="en"
r"""
Write the three cases down with $n$ the length *before* the call, and for each: is a block taken, is one given up, is something to be copied? `can_append` is about exactly the cases that take one.
"""

# %% [markdown] hint="append" lang="zh"
r"""
用调用*之前*的长度 $n$ 写下三种情况，并对每一种回答：拿不拿块，放不放弃块，要不要复制？`can_append` 关心的恰是要拿块的那些情况。
"""

# %% [markdown] hint="append" lang="en"
r"""
In the third case the old block keeps its other owners: it loses one, and may not be free yet. The last of three forks to write finds a count of 1 and copies nothing.
"""

# %% [markdown] hint="append" lang="zh"
r"""
第三种情况中，旧块还有别的主人：它少一个主人，但可能还没有空闲。三个分叉中最后一个写的，看到的计数为 1，什么都不复制。
"""

# %%
from ladder.graders.stage3_full_stack.day41_block_manager import check_append

check_append(BlockManager)

# %% [markdown] lang="en"
r"""
Your tables, drawn: a prompt of 10 tokens in blocks of 4, forked twice, and then 5 tokens for each. A cell shows the physical block; its colour the number of owners. On the right, four answers of 60 tokens to a prompt of 200:
blocks in use with `fork`, and without.
"""

# %% [markdown] lang="zh"
r"""
画出你的块表：10 个 token 的提示，每块 4 个槽位，fork 两次，然后各加 5 个 token。格子里是物理块号，颜色是主人的个数。右图：对一个 200 token 的提示给出四个 60 token 的回答，
使用 `fork` 与不使用时占用的块数。
"""

# %%
def draw_tables(ax, manager, seq_ids, title):
    tables = [manager.block_table(s) for s in seq_ids]
    width = max(map(len, tables))
    owners = np.full((len(tables), width), np.nan)
    for i, table in enumerate(tables):
        for j, block in enumerate(table):
            owners[i, j] = manager.ref_count(block)
            ax.text(j, i, block, ha="center", va="center")
    ax.imshow(owners, cmap="YlOrRd", vmin=0, vmax=4, aspect="auto")
    ax.set(title=title, xticks=range(width), yticks=range(len(tables)), xlabel="logical block")
    ax.set_yticklabels([f"seq {s}" for s in seq_ids])


fig, axes = plt.subplots(1, 3, figsize=(12, 2.8), width_ratios=(3, 4, 5))
family = BlockManager(4, 16)
family.allocate(1, range(10))
family.fork(1, 2)
family.fork(1, 3)
draw_tables(axes[0], family, (1, 2, 3), "after fork")
for _ in range(5):
    for seq_id in (1, 2, 3):
        family.append_slots(seq_id, 0)
draw_tables(axes[1], family, (1, 2, 3), "after 5 tokens each")

shared, apart = BlockManager(16, 100), BlockManager(16, 100)
shared.allocate(0, range(200))
for seq_id in range(4):
    apart.allocate(seq_id, range(200))
    if seq_id:
        shared.fork(0, seq_id)
used = {"shared": [], "apart": []}
for _ in range(60):
    for manager, name in ((shared, "shared"), (apart, "apart")):
        for seq_id in range(4):
            manager.append_slots(seq_id, 0)
        used[name].append(100 - manager.num_free())
axes[2].plot(used["apart"], label="four prompts")
axes[2].plot(used["shared"], label="one prompt, forked")
axes[2].set(xlabel="tokens of each answer", ylabel="blocks in use", ylim=(0, None))
axes[2].legend()
plt.tight_layout()
plt.show()

# %% [markdown] lang="en"
r"""
## 5 · When memory runs out

Nobody knows how long an answer gets, so engines let in more than would fit in the worst case, and at times no block is left. Then some sequence must give way (**preemption**, section 4.5). Two ways:

- **Recompute**: free its blocks; when it comes back, its prompt *and the tokens written so far* run through the model once more, as one prompt.
- **Swap**: copy its blocks to CPU memory and back again later.

The costs, for $n$ tokens of a model with $P$ parameters, $L$ layers, $H_{kv}$ key-value heads of $d$ channels at $e$ bytes: to recompute takes about $2Pn$ operations, to swap moves twice

$$2\,L\,H_{kv}\,d\,e\,n \quad\text{bytes},$$

once out and once in. For Llama 3 8B in bfloat16 that is $2\cdot32\cdot8\cdot128\cdot2 = 131072$ bytes a token each way. In blocks of 16 the copies are many and small, which PCIe dislikes; section 7.3 of the paper finds recomputing better with
small blocks, swapping with large ones, and the two about equal from 16 to 64. v0.5's scheduler recomputes by default, and swaps groups of several sequences, for which recomputing was not supported.

Sequences of one group (the beams of one request) move together, and what they share must move *once* and still be shared on the other side. `can_swap_in` asks for more than `swap_in` needs: one spare block for each
sequence.
"""

# %% [markdown] lang="zh"
r"""
## 5 · 显存不够时

没有人知道一个回答会有多长，所以引擎放进来的请求多于最坏情况下容得下的数量，有时就会一块不剩。这时必须有序列让位（**抢占**，4.5 节）。有两种办法：

- **重算**：释放它的块；等它回来时，把它的提示*连同已写出的 token* 当作一个提示，再过一遍模型。
- **换出**：把它的块复制到 CPU 内存，以后再复制回来。

代价如下。设有 $n$ 个 token，模型有 $P$ 个参数、$L$ 层、$H_{kv}$ 个 KV 头，每头 $d$ 个通道，每个数 $e$ 字节：重算约需 $2Pn$ 次运算，换出换入则要搬动两次

$$2\,L\,H_{kv}\,d\,e\,n \quad\text{bytes},$$

一次出，一次进。对 bfloat16 的 Llama 3 8B，每个 token 每个方向是 $2\cdot32\cdot8\cdot128\cdot2 = 131072$ 字节。块大小为 16 时，复制次数多而每次量小，这是 PCIe 不擅长的；论文 7.3 节发现：块小时重算更好，块大时换出更好，从 16 到 64 两者相当。
v0.5 的调度器默认重算，只对含多个序列的组使用换出，因为对它们不支持重算。

同组的序列（一个请求的各个 beam）一起移动，它们共享的块只能搬*一次*，到了另一边仍要共享。`can_swap_in` 要求的比 `swap_in` 需要的更多：每个序列还要一个备用块。
"""

# %% exercise="swap"
from ladder.solutions.stage3_full_stack.day41_block_manager import BlockManager

# %% [markdown] lang="zh" docstring="BlockManager.is_swapped"
r"""该序列是否在 CPU 内存中。"""

# %% [markdown] lang="zh" docstring="BlockManager.can_swap_out"
r"""对这些序列中每个不同的块，CPU 内存是否都有一个空闲块。

``seq_ids`` 是 GPU 内存中互不相同的序列，与 ``swap_out`` 相同。
"""

# %% [markdown] lang="zh" docstring="BlockManager.swap_out"
r"""把这些序列一起移到 CPU 内存：返回要复制的 ``{GPU 块: CPU 块}``。

它们的每个不同的 GPU 块得到一个 CPU 块，在它们所有的块表中取而代之：原先共享的，现在仍共享。GPU 块失去这些
主人；若还有别的序列持有，就留给那些序列。若 CPU 内存不够，或有序列已在那里，抛出 ValueError。
"""

# %% [markdown] lang="zh" docstring="BlockManager.can_swap_in"
r"""这些在 CPU 内存中的序列是否应当回来："OK"、"LATER" 或 "NEVER"。

规则同 ``can_allocate``，其中 r 为它们不同的块数，再为每个序列加一：每个序列可能马上就要为下一个 token 用一块，
没有它就会立刻又被赶出去。
"""

# %% [markdown] lang="zh" docstring="BlockManager.swap_in"
r"""把这些序列一起移回 GPU 内存：返回要复制的 ``{CPU 块: GPU 块}``。

与 ``swap_out`` 完全对称。若空闲 GPU 块少于它们不同的块数，或有序列在 GPU 内存中，抛出 ValueError。
"""

# %% [markdown] hint="swap" lang="en"
r"""
Both directions are one loop with source and target exchanged. Go through the tables, and remember for each old block which new one it has become.
"""

# %% [markdown] hint="swap" lang="zh"
r"""
两个方向是同一个循环，只是源与目标互换。遍历各张块表，记住每个旧块变成了哪个新块。
"""

# %% [markdown] hint="swap" lang="en"
r"""
A block that you meet for the first time is allocated on the target, one that you meet again is shared there. Each entry of each table gives up one owner on the source. Check everything before the first change.
"""

# %% [markdown] hint="swap" lang="zh"
r"""
第一次遇到的块，在目标一侧分配；再次遇到的，在目标一侧共享。每张表的每一项，在源一侧都减去一个主人。在第一次改动之前完成所有检查。
"""

# %%
from ladder.graders.stage3_full_stack.day41_block_manager import check_swap

check_swap(BlockManager)

# %% [markdown] lang="en"
r"""
**Who gives way?** The one that came last: first come, first served, and the newest has the least to lose. `make_slots` is the heart of v0.5's scheduler (and hardly changed in V1): before each step it gives every running sequence room for its token.

Below it, given, stands a small engine around your code: `paged_forward` runs Day 23's Llama through block tables with Day 40's functions, and `serve` is a loop with **continuous batching**: a request joins and leaves the batch at any
step. Read `serve` now: every line of it uses a promise of your docstrings.
"""

# %% [markdown] lang="zh"
r"""
**谁来让位？** 最后来的那个：先到先服务，而且最新的损失最小。`make_slots` 是 v0.5 调度器的核心（在 V1 中也几乎没有变）：每一步之前，它为每个运行中的序列的 token 腾出位置。

它下面是已给出的小引擎，围绕你的代码运转：`paged_forward` 用第 40 天的函数、经由块表运行第 23 天的 Llama；`serve` 是一个做**连续批处理**的循环：请求可以在任何一步加入或离开批次。
现在就读一读 `serve`：它的每一行都用到你的 docstring 里的某个承诺。
"""

# %% exercise="preemption"
from ladder.solutions.stage3_full_stack.day41_block_manager import make_slots, new_pools, paged_forward, serve

# %% [markdown] lang="zh" docstring="make_slots"
r"""为每个运行中的序列腾出一个 token 的位置；块不够时，最后到达的必须让位。

``new_tokens`` 把每个运行中的 ``seq_id`` 映到它的新 token，先到的在前，并按这个次序处理。只要轮到的序列无法追加，
仍在运行的序列中的最后一个就被抢占：调用 ``preempt(seq_id)``，由它收走该序列的 GPU 块（释放或换出），这一步它就不
参加了。被抢占的也可能就是轮到的序列自己。在这一步里已得到槽位的序列绝不会被抢占，因为排在它后面的都会先走。

返回 ``(kept, preempted, copies)``：得到槽位的序列，按到达次序；被抢占的序列，也按到达次序；以及 ``append_slots`` 返回的
内容，依次连成一个列表。只使用管理器的 ``can_append`` 与 ``append_slots``，``new_tokens`` 保持不变。
"""

# %% [markdown] hint="preemption" lang="en"
r"""
A queue whose front is served and whose end gives way. One preemption may not be enough: which loop asks again? And when does it stop without a slot?
"""

# %% [markdown] hint="preemption" lang="zh"
r"""
一个队列：队首得到服务，队尾让位。抢占一个可能不够：哪个循环会再问一次？它什么时候在没有槽位的情况下停下？
"""

# %% [markdown] hint="preemption" lang="en"
r"""
When the queue behind the one in turn is empty, it is its own victim and gets no slot. Victims are found latest first; the result wants them in order of arrival.
"""

# %% [markdown] hint="preemption" lang="zh"
r"""
当轮到的序列后面已没有别人时，让位的就是它自己，它得不到槽位。被抢占者是从最晚到的开始找到的；返回时要按到达次序。
"""

# %%
from ladder.graders.stage3_full_stack.day41_block_manager import check_make_slots

check_make_slots(make_slots)

# %% [markdown] lang="en"
r"""
The first run of your engine: a Llama with random weights (a tiny one: what it writes means nothing, but each token depends on all before it), 18 requests, memory for 160 tokens, and both ways to preempt. The answers must be those of Day 22's `generate`.
"""

# %% [markdown] lang="zh"
r"""
你的引擎的第一次运行：一个随机权重的 Llama（极小，写出的内容没有意义，但每个 token 都取决于它之前的全部 token），18 个请求，160 个 token 的内存，两种抢占方式。
回答必须与第 22 天的 `generate` 完全一致。
"""

# %%
quick = os.environ.get("LADDER_QUICK") == "1"  # a short run, to test this notebook


def tiny_llama(seed=0):
    torch.manual_seed(seed)
    model = Llama(LlamaConfig(vocab=97, d=32, L=2, h=4, h_kv=2, hidden=64, max_len=128))
    for p in model.parameters():
        if p.ndim == 2:
            torch.nn.init.normal_(p, std=0.3)
    return model.double()


def draw_requests(count, seed, begin=16, prompt=(2, 24), answer=(8, 72)):
    """Requests that share their first ``begin`` tokens (a system prompt)."""
    rng = np.random.default_rng(seed)
    system = rng.integers(97, size=begin).tolist()
    return [(system + rng.integers(97, size=rng.integers(*prompt)).tolist(),
             int(rng.integers(*answer))) for _ in range(count)]


def alone(model, requests):
    return [generate(model, torch.tensor([prompt]), n)[0, len(prompt):].tolist()
            for prompt, n in requests]


llama = tiny_llama()
requests = draw_requests(6 if quick else 18, seed=1, begin=6, answer=(8, 40))
wanted = alone(llama, requests)
fig, axes = plt.subplots(1, 2, figsize=(11, 3), sharey=True)
for ax, swap in zip(axes, (False, True), strict=True):
    answers, steps = serve(llama, requests, BlockManager(4, 40, 60, 0.05), 4, swap=swap)
    assert answers == wanted
    ax.plot([s["running"] for s in steps], label="running")
    ax.bar(range(len(steps)), [s["preempted"] for s in steps], color="C3", label="preempted")
    ax.set(xlabel="step", ylabel="sequences", title=f"{'swap' if swap else 'recompute'}: "
           f"{sum(s['computed'] for s in steps)} tokens through the model")
axes[0].legend()
plt.tight_layout()
plt.show()

# %% [markdown] lang="en"
r"""
## 6 · A name for each full block

V1 turns the question round. Not "who was forked from whom?" but "**has anybody computed these keys and values already?**" For a decoder with causal attention the keys and values at position $p$ are a function of tokens $0,\dots,p$ and of nothing else.
So a full block is known by its content, if the content includes all that came before. With $t_i$ the tokens of block $i$,

$$h_i = \mathrm{hash}(h_{i-1},\ t_i),\qquad h_{-1} = \text{constant},$$

a chain: $h_i$ names the whole text up to the end of block $i$, and costs only the block's own tokens. Without $h_{i-1}$ the block "… the answer is" would be one for all questions.

A name may be taken for the tokens themselves only as long as two texts do not get the same one. With $m$ blocks and $k$ bits, some pair collides with a probability of about $m^2/2^{k+1}$: for a million blocks $3\cdot10^{-8}$ at 64 bits, a near certainty at 32. On a
server with many users a collision shows one user's text to another; so vLLM's default is SHA-256 since v0.10.2 ([pull request 29261](https://github.com/vllm-project/vllm/pull/29261)), and images, adapters and a salt per tenant are hashed along.
"""

# %% [markdown] lang="zh"
r"""
## 6 · 给每个满块起名

V1 把问题倒了过来。不再问“谁是从谁 fork 出来的？”，而是问“**这些 K、V 是不是已经有人算过了？**”对因果注意力的解码器，位置 $p$ 的 K、V 只是 token $0,\dots,p$ 的函数，与别的无关。
所以，只要内容包括它之前的全部 token，一个满块就由内容确定。设 $t_i$ 为第 $i$ 块的 token，

$$h_i = \mathrm{hash}(h_{i-1},\ t_i),\qquad h_{-1} = \text{constant},$$

这是一条链：$h_i$ 是到第 $i$ 块末尾为止的整个文本的名字，而计算它只需这一块自己的 token。若没有 $h_{i-1}$，“……答案是”这一块对所有问题都会是同一块。

只有当两个文本不会重名时，才可以用名字代替 token 本身。有 $m$ 个块、$k$ 位时，某一对重名的概率约为 $m^2/2^{k+1}$：一百万块时，64 位约为 $3\cdot10^{-8}$，32 位则几乎必然。在多用户的服务器上，重名意味着把一个用户的文本泄露给
另一个；所以 vLLM 自 v0.10.2 起默认使用 SHA-256（[PR 29261](https://github.com/vllm-project/vllm/pull/29261)），并把图像、适配器和每个租户的盐值一起散列。
"""

# %% exercise="block_hashes"
from ladder.solutions.stage3_full_stack.day41_block_manager import block_hashes

# %% [markdown] lang="zh" docstring="block_hashes"
r"""``tokens`` 的每个满块对应一个 int：它是到该块末尾为止全部 token 的名字。

块中的 K、V 取决于它之前的每个 token，而不只是块内的 token。所以第 i 项是 ``tokens[: (i + 1) * block_size]`` 的函数，
不同的开头对应不同的项，除非偶然碰撞（好的散列至少 56 位）。它按链计算，与 vLLM V1 相同：只由前一项与本块自己的
token 得出，所以整个列表的代价是 O(len(tokens))。末尾不足一块的 token 没有对应项。token 是 >= 0 的 int。相同的
参数给出相同的结果。
"""

# %% [markdown] hint="block_hashes" lang="en"
r"""
Two things go into each step: the previous name and the tokens of one block. What must be kept apart so that 1, 23 and 12, 3 differ?
"""

# %% [markdown] hint="block_hashes" lang="zh"
r"""
每一步放进两样东西：前一个名字，以及一块的 token。要把什么分隔开，1, 23 与 12, 3 才不同？
"""

# %% [markdown] hint="block_hashes" lang="en"
r"""
`hashlib` works on bytes: turn the pair (parent, tokens) into text with separators, or into fixed-width numbers, and keep eight bytes or more of the digest. Python's `hash` of a tuple of ints would do for this check, but not for a server.
"""

# %% [markdown] hint="block_hashes" lang="zh"
r"""
`hashlib` 处理的是字节：把（父名字，token）这一对变成带分隔的文本，或定宽的数，并保留摘要的八个以上字节。Python 对整数元组的 `hash` 能通过这个检查，但不能用于服务器。
"""

# %%
from ladder.graders.stage3_full_stack.day41_block_manager import check_block_hashes

check_block_hashes(block_hashes)

# %% [markdown] lang="en"
r"""
## 7 · The prefix cache

Now the manager of V1. A block whose last owner leaves is free, but what it holds stays there until somebody needs the block, and until then it can be *hit*. Free memory is the cache; it costs nothing.

- **Hit.** Walk along the names of a new sequence until one is not cached. The hit blocks get one more owner; those that were free leave the queue. A miss in the middle ends the walk: what comes behind is there, but its text is not this one.
- **The last token is computed in any case**: its logits choose the next token. A prompt that is cached to its end therefore does without its last block. V1 first recomputed one token and then had to mend the arithmetic: computed tokens are counted in blocks
  ([pull requests 9972](https://github.com/vllm-project/vllm/pull/9972) and [11186](https://github.com/vllm-project/vllm/pull/11186)).
- **Eviction.** Blocks are taken from the head of the queue of free blocks: the one free for longest, LRU. A table gives up its *last* block first, so a text is evicted from its end. The beginning is worth more: it serves all texts that begin so, and without
  it the end cannot be hit ([llm-d-inference-sim issue 704](https://github.com/llm-d/llm-d-inference-sim/issues/704)).
- **A name dies with its block.** When a block is given out again, its name goes at that moment. Where it did not, sequences read the keys of strangers ([vLLM 4761](https://github.com/vllm-project/vllm/pull/4761), [kvcached 362](https://github.com/ovg-project/kvcached/issues/362)).
- **Preemption becomes cheap.** A preempted sequence is freed, its full blocks stay cached, and when it comes back soon, most of it is hit. One trap: a block is cached when it *becomes* full, and its keys are written in the same step. Whoever preempts between these two leaves an empty block under a
  good name; `serve` therefore makes slots first and lets newcomers in afterwards.

We simplify at one point: where two blocks have the same content, V1 caches both, we only the first.

**What became of fork, copy-on-write and swap?** Only full blocks are shared, and a full block is never written to: nothing to copy. Four answers to a prompt are four requests that hit the same prefix, so no fork. Beam search was moved out of the core
([RFC 6226](https://github.com/vllm-project/vllm/issues/6226)) and now runs on top of the engine, where prefix hits stand in for the fork ([pull request 8726](https://github.com/vllm-project/vllm/pull/8726)). Swapping needed a second pool, a third state of a sequence and a transfer path, and recomputing with hits had become cheap; V1's manager
has no swap ([V1 guide](https://docs.vllm.ai/en/stable/usage/v1_guide/)). The price: what is not full is not shared, and an idle cache must be found by hashing.
"""

# %% [markdown] lang="zh"
r"""
## 7 · 前缀缓存

现在来写 V1 的管理器。最后一个主人离开后，块就空闲了，但里面的内容还在，直到有人需要这个块；在那之前，它可以被*命中*。空闲内存就是缓存，不花任何代价。

- **命中。** 沿着新序列的各个名字往前走，直到有一个不在缓存中。命中的块多一个主人；原本空闲的，离开队列。中间缺一块就停下：后面的块虽然在，却不是这个文本的。
- **最后一个 token 无论如何都要计算**：它的 logits 决定下一个 token。所以整个都在缓存里的提示，也放弃自己的最后一块。V1 起初只重算一个 token，后来不得不修正计数：已计算的 token 是按块来数的
  （[PR 9972](https://github.com/vllm-project/vllm/pull/9972) 与 [11186](https://github.com/vllm-project/vllm/pull/11186)）。
- **逐出。** 从空闲块队列的队首拿块：空闲最久的那个，即 LRU。一张块表先放弃*最后*一块，于是文本从末尾开始被逐出。开头更有价值：凡是这样开头的文本都用得上它，而没有开头，末尾也无法命中
  （[llm-d-inference-sim issue 704](https://github.com/llm-d/llm-d-inference-sim/issues/704)）。
- **名字与块同亡。** 块再次给出的那一刻，名字就要消失。没有这样做的地方，序列就读到了陌生人的 K（[vLLM 4761](https://github.com/vllm-project/vllm/pull/4761)、[kvcached 362](https://github.com/ovg-project/kvcached/issues/362)）。
- **抢占变得便宜。** 被抢占的序列被释放，它的满块仍在缓存里，如果很快回来，大部分都能命中。有一个陷阱：块在*变满*时就进入缓存，而它的 K、V 要在同一步里才写入。谁在这两者之间抢占，就会在一个好名字下
  留下空块；所以 `serve` 先腾出槽位，再放新来者进入。

有一处我们做了简化：两块内容相同时，V1 两块都缓存，我们只缓存先来的那块。

**fork、写时复制和换出后来怎样了？** 只共享满块，而满块不再被写入：没有什么要复制。对一个提示的四个回答，就是命中同一前缀的四个请求，所以不需要 fork。Beam search 被移出核心
（[RFC 6226](https://github.com/vllm-project/vllm/issues/6226)），现在运行在引擎之上，由前缀命中代替 fork（[PR 8726](https://github.com/vllm-project/vllm/pull/8726)）。换出需要第二个块池、序列的第三种状态和一条传输通路，而有了命中，重算已经很便宜；V1 的管理器
没有换出（[V1 指南](https://docs.vllm.ai/en/stable/usage/v1_guide/)）。代价是：没满的块不能共享，闲置的缓存要靠散列来查找。
"""

# %% exercise="prefix_cache"
from ladder.solutions.stage3_full_stack.day41_block_manager import KVCacheManager

# %% [markdown] lang="zh" docstring="KVCacheManager"
r"""从序列到块的映射，带前缀缓存，按 vLLM V1 的做法维护。

序列、块表与引用计数同 ``BlockManager``，只有一处内存，共 ``num_blocks`` 块。新的是：满块保有自己的名字，并以这个名字
**处于缓存中**，直到该块再次被给出。名字代表从序列开头到该块末尾的全部 token。新序列若开头已在缓存中，就也持有那些块，
而不再计算。缓存中的块不会再被写入，所以什么都不用复制。

- 块在变满的那一刻进入缓存，由 ``allocate`` 或 ``append_slots`` 完成：它的 K、V 会在同一步里写入。若已有另一块以同样的
  名字处于缓存中，那一块保留，新块不进入缓存。
- 空闲块按变为空闲的先后排成队列；空闲块可以处于缓存中。序列结束时，它的块中变为空闲的那些从队尾进入队列，
  **块表的最后一块最先进入**。
- 需要块时，从队首拿：空闲最久的那个。若它在缓存中，从那一刻起就不在了（逐出）。
- 被命中的空闲块离开队列，不论它排在哪里。

开始时没有块在缓存中。未知的序列抛出 KeyError；抛出异常的方法不改变任何东西。
"""

# %% [markdown] lang="zh" docstring="KVCacheManager.__init__"
r"""没有序列；所有块空闲。"""

# %% [markdown] lang="zh" docstring="KVCacheManager.computed_tokens"
r"""由 ``tokens`` 组成的新序列，开头有多少个 token 能在缓存的块中找到。

它是 block_size 的倍数：从开头起的整块，到第一个不在缓存中的块为止。总是小于 ``len(tokens)``（至少为 1）：最后一个 token
无论如何都要计算，因为需要它的输出；所以整个都在缓存里的提示，也放弃它的最后一块。不改变任何东西。
"""

# %% [markdown] lang="zh" docstring="KVCacheManager.can_allocate"
r"""由 ``tokens``（至少一个）组成的新序列能否进来。

若它需要的块多于总块数，返回 "NEVER"；若空闲块足够放下它在缓存中找不到的部分，返回 "OK"，其中空闲而会被它命中的块不算
作可用的空闲块；否则返回 "LATER"。（V1 没有水位线；对应 "LATER"，它的 ``allocate_slots`` 返回 None。）
"""

# %% [markdown] lang="zh" docstring="KVCacheManager.allocate"
r"""创建该序列；返回开头有多少个 token 不必计算。

这个数就是 ``computed_tokens(tokens)`` 在调用之前给出的值。缓存的块排在它的块表最前面，各多一个主人；后面是从队列中拿的块。
次序如下：先让命中的块离开队列，再从队列中拿够其余的块，最后才把其中的满块放入缓存。若 ``seq_id`` 已存在，或
``can_allocate`` 不是 "OK"，抛出 ValueError。
"""

# %% [markdown] lang="zh" docstring="KVCacheManager.can_append"
r"""如果 ``append_slots`` 需要一个块，它能否得到；不需要时也为 True。"""

# %% [markdown] lang="zh" docstring="KVCacheManager.append_slots"
r"""在序列末尾为 ``token`` 腾出位置；总是返回 ``[]``，什么都不复制。

若需要块而没有空闲块，抛出 ValueError。
"""

# %% [markdown] lang="zh" docstring="KVCacheManager.free"
r"""结束该序列：它的块表放弃自己的块，这些块仍在缓存中。"""

# %% [markdown] lang="zh" docstring="KVCacheManager.block_table"
r"""该序列依次的块号，一个新的列表。"""

# %% [markdown] lang="zh" docstring="KVCacheManager.num_tokens"
r"""该序列的长度。"""

# %% [markdown] lang="zh" docstring="KVCacheManager.ref_count"
r"""``block`` 被几张块表持有。"""

# %% [markdown] lang="zh" docstring="KVCacheManager.num_free"
r"""没有块表持有的块的个数，不论是否在缓存中。"""

# %% [markdown] hint="prefix_cache" lang="en"
r"""
Beside tables, tokens and counts you need: the free blocks in order, with quick removal from the middle (what does Python's `OrderedDict` offer?), and the map from names to blocks with its inverse. In which methods does each of them change?
"""

# %% [markdown] hint="prefix_cache" lang="zh"
r"""
除了块表、token 和计数，还需要：按次序排列、又能快速从中间取走的空闲块（Python 的 `OrderedDict` 提供什么？），以及从名字到块的映射和它的逆映射。它们各在哪些方法中改变？
"""

# %% [markdown] hint="prefix_cache" lang="en"
r"""
Three small helpers carry everything: the hits of a token list (of all but its last token), take one block from the head (and forget its name), cache a full block (unless the name is in use). In `allocate`, secure the hits before you take anything.
"""

# %% [markdown] hint="prefix_cache" lang="zh"
r"""
三个小的辅助函数承担一切：一列 token 的命中（不算最后一个 token）；从队首拿一个块（并忘掉它的名字）；把满块放入缓存（除非名字已被使用）。在 `allocate` 中，先保住命中的块，再去拿别的。
"""

# %%
from ladder.graders.stage3_full_stack.day41_block_manager import check_prefix_hits

check_prefix_hits(KVCacheManager)

# %%
from ladder.graders.stage3_full_stack.day41_block_manager import check_prefix_eviction

check_prefix_eviction(KVCacheManager)

# %%
from ladder.graders.stage3_full_stack.day41_block_manager import check_prefix_trace

check_prefix_trace(KVCacheManager)

# %% [markdown] lang="en"
r"""
How much does the cache find? Conversations: each of 24 users sends six messages, every time with all that was said before, and all begin with the same system prompt of 64 tokens. The requests of different users come in random order, one at a time. The curve is your
manager's; the dashed line is what an endless memory would find.
"""

# %% [markdown] lang="zh"
r"""
缓存能找到多少？来看对话：24 个用户各发六条消息，每次都带上之前说过的全部内容，所有对话都以同一个 64 token 的系统提示开头。不同用户的请求以随机次序逐个到来。
曲线是你的管理器的结果；虚线是内存无限大时能找到的部分。
"""

# %%
def conversations(users, turns, seed):
    """Prompts in order of arrival; each holds the user's conversation so far."""
    rng = np.random.default_rng(seed)
    system = rng.integers(1000, size=64).tolist()
    said = {u: list(system) for u in range(users)}
    prompts = []
    for u in rng.permutation(np.repeat(np.arange(users), turns)).tolist():
        said[u] += rng.integers(1000, size=rng.integers(20, 60)).tolist()
        prompts.append(list(said[u]))
    return prompts


def hit_rate(prompts, num_blocks):
    manager, hit = KVCacheManager(16, num_blocks), 0
    for number, prompt in enumerate(prompts):
        hit += manager.allocate(number, prompt)
        manager.free(number)
    return hit / sum(map(len, prompts))


prompts = conversations(8 if quick else 24, 6, seed=3)
sizes = [24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
rates = [hit_rate(prompts, size) for size in sizes]
plt.figure(figsize=(6, 3))
plt.semilogx(sizes, rates, "o-", base=2, label="your manager")
plt.axhline(hit_rate(prompts, 20000), color="k", ls="--", lw=1, label="endless memory")
plt.axhline(sum(64 for _ in prompts) / sum(map(len, prompts)), color="C1", ls=":",
            label="the system prompt alone")
plt.xlabel("blocks of 16 tokens")
plt.ylabel("part of all prompt tokens hit")
plt.ylim(0, 1)
plt.legend()
plt.tight_layout()
plt.show()

# %% [markdown] lang="en"
r"""
## 8 · Source quiz

With the sources of the table at the top. V0 means v0.2 to v0.5.

**1.** (`can_allocate`, V0) 1000 GPU blocks, watermark 0.01, 400 are free. A prompt needs 995 blocks. The answer is
- (a) LATER: once others have ended there are enough
- (b) OK: it will be preempted where necessary
- (c) NEVER: even the empty memory would not keep the watermark
- (d) an error: the prompt is longer than the free memory

**2.** (`append_slots`, V0) A parent and its only child share a last block with room. Both append in one step, the parent first. What is copied?
- (a) one block, for the parent; the child then writes in place
- (b) two blocks, one for each
- (c) one block, for the child, because it is the copy
- (d) nothing, as long as both append the same token

**3.** (`can_swap_in`, V0) Why does it ask for one more block for each sequence?
- (a) as a buffer for the copy
- (b) because a swapped block may be half full
- (c) to keep the watermark
- (d) because each may need a new block in the next step, and would be preempted again without one

**4.** (scheduler, V0, no mode chosen by the user) Which way of preemption is used?
- (a) swap, because copying is always faster than computing
- (b) recompute for a request of one sequence, swap for one of several sequences
- (c) recompute, always
- (d) whichever moves fewer bytes, measured at run time

**5.** (`hash_block_tokens`, V1) Two requests differ in their first block and agree in the tokens of their second. Do they share the second?
- (a) yes: the tokens of the block are the same
- (b) no: its name includes its parent's name, because its keys and values depend on the tokens before
- (c) yes, if both run at the same time
- (d) no: only first blocks are ever shared

**6.** (V1) Why does V1 get along without copy-on-write?
- (a) every request gets copies of its prefix's blocks
- (b) its blocks are larger
- (c) the GPU copies in the background
- (d) only full blocks are shared, and these are never written again

**7.** (`free`, V1) Why do the blocks of a request enter the free queue in reverse order?
- (a) so that the end of a text is evicted first: its beginning can be hit without the end, not the other way round
- (b) because the last blocks are shared by more requests
- (c) because the block computed first is the oldest; within a request the order would not matter
- (d) because a linked list is quicker to read backwards

**8.** (`get_computed_blocks`, V1) A prompt of exactly four blocks is cached completely. How much of it is computed again?
- (a) nothing
- (b) one token
- (c) one block
- (d) the whole prompt: complete hits are not used
"""

# %% [markdown] lang="zh"
r"""
## 8 · 源码测验

依据开头表格中的源码。V0 指 v0.2 到 v0.5。

**1.**（`can_allocate`，V0）共 1000 个 GPU 块，watermark 为 0.01，空闲 400 块。一个提示需要 995 块。回答是
- (a) LATER：等别的结束后就够了
- (b) OK：必要时会抢占它
- (c) NEVER：即使内存全空，也保不住水位线
- (d) 报错：提示比空闲内存还长

**2.**（`append_slots`，V0）父序列与它唯一的子序列共享一个未满的最后一块。两者在同一步追加，父序列在先。复制了什么？
- (a) 一块，给父序列；之后子序列原地写入
- (b) 两块，各一块
- (c) 一块，给子序列，因为它才是副本
- (d) 只要两者追加的 token 相同，就什么都不复制

**3.**（`can_swap_in`，V0）为什么要为每个序列多要求一块？
- (a) 作为复制的缓冲区
- (b) 因为换出的块可能只有半满
- (c) 为了保住水位线
- (d) 因为每个序列下一步就可能需要新块，没有的话会再次被抢占

**4.**（调度器，V0，用户未指定方式）采用哪种抢占方式？
- (a) 换出，因为复制总比计算快
- (b) 单序列的请求重算，多序列的请求换出
- (c) 一律重算
- (d) 运行时测量，哪种搬动的字节少就用哪种

**5.**（`hash_block_tokens`，V1）两个请求的第一块不同，第二块的 token 相同。它们共享第二块吗？
- (a) 共享：块内的 token 相同
- (b) 不共享：它的名字包含父块的名字，因为它的 K、V 取决于前面的 token
- (c) 如果同时运行就共享
- (d) 不共享：只有第一块才会共享

**6.**（V1）V1 为什么不需要写时复制？
- (a) 每个请求都得到前缀各块的副本
- (b) 它的块更大
- (c) GPU 在后台复制
- (d) 只共享满块，而满块不会再被写入

**7.**（`free`，V1）请求的块为什么以相反的次序进入空闲队列？
- (a) 这样文本的末尾先被逐出：没有末尾，开头仍可命中，反过来则不行
- (b) 因为最后的块被更多请求共享
- (c) 因为最先计算的块最旧；在一个请求之内，次序无关紧要
- (d) 因为链表倒着读更快

**8.**（`get_computed_blocks`，V1）恰好四块的提示全部在缓存中。其中多少要重新计算？
- (a) 不用计算
- (b) 一个 token
- (c) 一块
- (d) 整个提示：完全命中不被使用
"""

# %% exercise="quiz"
from ladder.solutions.stage3_full_stack.day41_block_manager import source_quiz

# %% [markdown] lang="zh" docstring="source_quiz"
r"""上面八道题的答案，每题一个字母。

返回一个字典，键为 "q1" 到 "q8"；每个值为 "a"、"b"、"c" 或 "d"。
"""

# %% [markdown] hint="quiz" lang="en"
r"""
Questions 1 to 3 can be played with your own `BlockManager`, 5, 7 and 8 with your own `KVCacheManager`. For question 4 look for the preemption mode in vllm/core/scheduler.py of v0.5.
"""

# %% [markdown] hint="quiz" lang="zh"
r"""
第 1 到 3 题可以用你自己的 `BlockManager` 试，第 5、7、8 题用你自己的 `KVCacheManager` 试。第 4 题请看 v0.5 的 vllm/core/scheduler.py 中关于抢占方式的部分。
"""

# %% [markdown] hint="quiz" lang="en"
r"""
Question 6: when does a block of V1 get its name, and which slots of it can be written after that? Question 8: in which units are computed tokens counted?
"""

# %% [markdown] hint="quiz" lang="zh"
r"""
第 6 题：V1 的块什么时候得到名字，之后还有哪些槽位能被写入？第 8 题：已计算的 token 以什么为单位来数？
"""

# %%
from ladder.graders.stage3_full_stack.day41_block_manager import check_quiz_v0

check_quiz_v0(source_quiz)

# %%
from ladder.graders.stage3_full_stack.day41_block_manager import check_quiz_v1

check_quiz_v1(source_quiz)

# %% [markdown] lang="en"
r"""
## 9 · The whole engine

All that you have built since Day 20 in one experiment. The same model, the same requests with a common system prompt, the same memory for 512 tokens, and three managers:

- **contiguous**: every request gets room for the longest possible text, as before PagedAttention. That is a paged cache whose blocks have `max_len` slots, so the same engine runs it;
- **paged**: your `BlockManager`, blocks of 8;
- **prefix**: your `KVCacheManager`, blocks of 8.

Whatever the manager, the answers must be those of `generate` alone: sharing, preemption and eviction may change when a token is computed, never which one it is.
"""

# %% [markdown] lang="zh"
r"""
## 9 · 整个引擎

把第 20 天以来写的一切放进一个实验。同一个模型，同一批带公共系统提示的请求，同样 512 个 token 的内存，三种管理器：

- **contiguous**：每个请求都得到最长文本所需的空间，即 PagedAttention 之前的做法。它就是块大小为 `max_len` 的分页缓存，所以同一个引擎就能运行；
- **paged**：你的 `BlockManager`，每块 8 个槽位；
- **prefix**：你的 `KVCacheManager`，每块 8 个槽位。

不论哪种管理器，回答都必须与单独的 `generate` 相同：共享、抢占和逐出可以改变一个 token 何时被计算，绝不能改变它是哪个 token。
"""

# %%
slots, longest = 512, 128
requests = draw_requests(8 if quick else 32, seed=5)
wanted = alone(llama, requests)
engines = {
    "contiguous": (BlockManager(longest, slots // longest, 0, 0.0), longest),
    "paged": (BlockManager(8, slots // 8), 8),
    "prefix": (KVCacheManager(8, slots // 8), 8),
}
runs = {}
for name, (manager, block_size) in engines.items():
    answers, runs[name] = serve(llama, requests, manager, block_size)
    assert answers == wanted, name
    assert manager.num_free() * block_size == slots, name

fig, axes = plt.subplots(2, 2, figsize=(11, 6))
for color, (name, steps) in zip(("C3", "C0", "C2"), runs.items(), strict=True):
    axes[0, 0].plot([s["reserved"] / slots for s in steps], color=color, ls=":", lw=1)
    axes[0, 0].plot([s["filled"] / slots for s in steps], color=color, label=name)
    axes[0, 1].plot([s["running"] for s in steps], color=color, label=name)
    axes[1, 0].plot([s["done"] for s in steps], color=color, label=name)
axes[0, 0].set(xlabel="step", ylabel="part of memory", title="reserved (dotted) and filled (solid)")
axes[0, 1].set(xlabel="step", ylabel="sequences", title="in the batch")
axes[1, 0].set(xlabel="step", ylabel="tokens", title="tokens written")
rate = {name: steps[-1]["done"] / steps[-1]["seconds"] for name, steps in runs.items()}
bars = axes[1, 1].bar(list(rate), list(rate.values()), color=("C3", "C0", "C2"))
axes[1, 1].bar_label(bars, fmt="%.0f")
axes[1, 1].set(ylabel="tokens a second", title="on this machine")
axes[1, 1].margins(y=0.15)
axes[0, 0].legend()
plt.tight_layout()
plt.show()

print(f"{'':12}steps  computed  preempted  tokens a step  filled")
for name, steps in runs.items():
    filled = sum(s["filled"] for s in steps) / (slots * len(steps))
    print(f"{name:12}{len(steps):5}{sum(s['computed'] for s in steps):10}"
          f"{sum(s['preempted'] for s in steps):11}{steps[-1]['done'] / len(steps):15.1f}{filled:8.0%}")

# %% [markdown] lang="en"
r"""
With the reference, 32 requests gave (steps and tokens do not depend on the machine):

| | steps | tokens a step | memory filled | tokens through the model | preemptions |
| --- | --- | --- | --- | --- | --- |
| contiguous | 341 | 3.8 | 37 % | 2152 | 0 |
| paged | 164 | 7.8 | 77 % | 2943 | 22 |
| prefix | 122 | 10.5 | 74 % | 2303 | 33 |

The contiguous cache reserves everything and fills a third. Paging doubles the batch and pays 791 tokens of recomputation for its 22 preemptions. The prefix cache has no watermark, lets in more and preempts more often, and still computes hardly more than the contiguous one: the system prompt is
computed once, and who was thrown out finds most of his blocks again.

On a GPU a step is read-bound: it costs nearly the same for 4 sequences as for 20, so tokens a step is the figure that carries over. Our engine calls `paged_attention` once for each token and layer in Python, and gains less in seconds; that is what Day 40's kernel is for.

## 10 · Gate KvCache-b

**Written answer: how is the block table maintained?** (8 points; about 400 words. You should be able to say it in an interview, without notes.)

- 2 points: what the table maps, its length for $n$ tokens, and what happens to it on allocate, append at and inside a block boundary, fork, copy-on-write, free;
- 2 points: reference counts: when they change, the two equations of section 1, and one bug that breaks each;
- 2 points: what happens to tables and blocks on preemption, by swap and by recompute, and on a prefix hit and an eviction;
- 2 points: what V1 changed, why, and what it gave up.
"""

# %% [markdown] lang="zh"
r"""
用参考实现处理 32 个请求，得到（步数与 token 数与机器无关）：

| | 步数 | 每步 token 数 | 内存填充率 | 过模型的 token 数 | 抢占次数 |
| --- | --- | --- | --- | --- | --- |
| contiguous | 341 | 3.8 | 37 % | 2152 | 0 |
| paged | 164 | 7.8 | 77 % | 2943 | 22 |
| prefix | 122 | 10.5 | 74 % | 2303 | 33 |

连续缓存预留了全部内存，却只填了三分之一。分页使批次翻倍，并为 22 次抢占付出 791 个 token 的重算。前缀缓存没有水位线，放进来的更多，抢占也更频繁，而计算量只比连续缓存略多：系统提示只算
一次，被赶出去的序列回来时能找到自己的大部分块。

在 GPU 上，一步的时间取决于读取：4 个序列与 20 个序列几乎一样久，所以能推广的是每步的 token 数。我们的引擎在 Python 中对每个 token、每一层都调用一次 `paged_attention`，按秒计算的收益就小一些；第 40 天的 kernel 正是为此而写。

## 10 · KvCache 关（b）

**书面题：块表是怎样维护的？**（8 分；约 600 字。你应当能在面试中不看笔记说出来。）

- 2 分：块表映射什么，$n$ 个 token 时有多长，以及在分配、块边界处与块内的追加、fork、写时复制、释放时各发生什么；
- 2 分：引用计数：何时改变，第 1 节的两个等式，以及各举一个破坏它的 bug；
- 2 分：抢占（换出与重算）时、前缀命中时、逐出时，块表和块各发生什么；
- 2 分：V1 改了什么，为什么，又放弃了什么。
"""

# %% [markdown] written="written_block_table" lang="en"
r"""
*Your answer: how the block table is maintained. Replace this text.*
"""

# %% [markdown] written="written_block_table" lang="zh"
r"""
*在此写下你的回答：块表是怎样维护的（替换这段文字）。*
"""

# %% [markdown] model="written_block_table" lang="en"
r"""
*The table.* Each sequence has a list of physical block numbers: entry $j$ says where the keys and values of positions $jb$ to $(j+1)b-1$ lie. For $n$ tokens it has $\lceil n/b\rceil$ entries, so at most $b-1$ slots of a sequence are empty. Allocate takes that many free blocks, if they leave
the watermark. Append: with $n \bmod b = 0$ ($n$ before the token) a free block is added; otherwise the last block has room and nothing changes, unless others hold it: then a new block replaces it in this table, the old one loses this owner, and the engine copies old to new before it writes. Fork copies the
table, not the blocks. Free gives up every entry.

*Counts.* The count of a block is the number of tables that hold it: 1 at allocate, +1 for each entry at fork or prefix hit, −1 at free, copy-on-write and swap. Free blocks are exactly those with count 0, and the counts add up to all table entries. A fork that does not count breaks the second: the first free of the two takes the block
from the other, the next is a double free. A copy-on-write that does not give up the old block leaks it.

*Preemption.* Swap: each different block of the group gets one CPU block, the tables now hold CPU numbers, sharing is kept, the GPU blocks are given up; back again later. Recompute: the tables are freed, and on return prompt and answer so far are one long prompt. A hit puts cached blocks at the head of a new table and raises their counts; free ones leave the
queue. Eviction takes the block that has been free for longest and deletes its name; no table holds it, so none changes.

*V1.* Blocks are named by a chained hash of all tokens up to their end; full blocks stay findable after their owners have gone. Sharing then needs no common ancestor: system prompts, conversations and preempted requests hit. Only full blocks are shared and these are never written, so copy-on-write and fork go; recomputing is mostly hits, so swap goes, and with it
a second pool and a state. Given up: sharing of partial blocks, fast beam search in the core, and exactness in principle, as names may collide.
"""

# %% [markdown] model="written_block_table" lang="zh"
r"""
*块表。* 每个序列有一列物理块号：第 $j$ 项说明位置 $jb$ 到 $(j+1)b-1$ 的 K、V 在哪里。$n$ 个 token 时有 $\lceil n/b\rceil$ 项，所以一个序列至多空着 $b-1$ 个槽位。分配时拿这么多空闲块，前提是保住
水位线。追加：若 $n \bmod b = 0$（$n$ 为加入该 token 之前的长度），增加一个空闲块；否则最后一块有空位，什么都不变，除非别人也持有它：这时在本表中用新块替换它，旧块减去这个主人，引擎在写入前把旧块复制到新块。fork 复制
块表，不复制块。释放则放弃每一项。

*计数。* 一个块的计数是持有它的块表数：分配时为 1，fork 或前缀命中时每项加 1，释放、写时复制和换出时减 1。空闲块恰是计数为 0 的块，所有计数之和等于所有表项数。fork 不计数会破坏第二个等式：两者中先释放的把块从另一个手里拿走，后释放的
就是重复释放。写时复制不放弃旧块，则会泄漏。

*抢占。* 换出：组内每个不同的块得到一个 CPU 块，块表改持 CPU 块号，共享关系保留，GPU 块被放弃；之后再换回。重算：块表被释放，回来时提示与已写出的回答合成一个长提示。命中时，缓存的块排在新块表的最前面，计数加一；空闲的离开
队列。逐出时，拿走空闲最久的块并删去它的名字；没有块表持有它，所以没有块表改变。

*V1。* 块以到其末尾为止全部 token 的链式散列命名；主人离开后，满块仍能找到。于是共享不再需要共同的祖先：系统提示、多轮对话、被抢占的请求都能命中。只共享满块，而满块不再写入，所以写时复制和 fork 都去掉了；重算大多是命中，所以换出也去掉了，连同
第二个块池和一种状态。放弃的是：未满块的共享、核心中快速的 beam search，以及原则上的精确性，因为名字可能碰撞。
"""

# %% [markdown] lang="en"
r"""
## The gate

From the Jacobian of a softmax on Day 1 to an engine whose every layer you wrote yourself. What is left of this stage is the self-test: the gate **KvCache** asks, in a time box and without notes, why paging ends fragmentation (Day 40) and how the block table is maintained (today), with fresh checks of both days. Take it with

```
ladder gate kvcache
```

To go further: let `serve` split long prompts over several steps (chunked prefill); let it take several samples of a request, with `fork` here and with prefix hits there, and compare; or read `FreeKVCacheBlockQueue` in V1's kv_cache_utils.py and say why it is a doubly linked list. Day 97 builds a real scheduler on top.
"""

# %% [markdown] lang="zh"
r"""
## 过关

从第 1 天 softmax 的 Jacobian，到一个每一层都由你亲手写成的引擎。这个阶段剩下的是自测：**KvCache** 关会在限定时间内、不看笔记地问你：分页为什么能消除碎片（第 40 天），块表是怎样维护的（今天），并用两天的检查以新的随机种子出题。过关命令：

```
ladder gate kvcache
```

想再往前走：让 `serve` 把长提示分到几步来算（chunked prefill）；让它为一个请求采多个样本，一边用 `fork`，一边用前缀命中，比较两者；或者读 V1 的 kv_cache_utils.py 中的 `FreeKVCacheBlockQueue`，说明它为什么是双向链表。第 97 天会在此之上写真正的调度器。
"""

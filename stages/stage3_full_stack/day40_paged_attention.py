# %% [markdown] lang="en"
r"""
# Day 40 · PagedAttention and KV fragmentation

**Goal.** Store the keys and values of many growing sequences in one pool of small blocks, and attend through a block table as if they lay side by side. First you measure what the plain way wastes; then you build the parts: block table, slots, writes, attention. At the end you read a Triton kernel that does the last step on a GPU.

| step | you write | source: Kwon et al., [arXiv 2309.06180](https://arxiv.org/abs/2309.06180) |
| --- | --- | --- |
| 1 | used, reserved and internal waste | section 3.1 |
| 2 | first fit and external fragmentation | section 3.1, figures 2 and 3 |
| 3 | `BlockTable`: a slot for one more token | sections 4.2, 4.3 |
| 4 | `fork` and `free` with reference counts | section 4.4 |
| 5 | slot mapping, writing into the pool | section 4.3 |
| 6 | paged attention | section 4.1, equation 4 |

Read sections 3 and 4 first. Copy-on-write, swapping and prefix caching are Day 41.

## 1 · What a request holds, and what it uses

To make one token, a decoder reads the keys and values of all tokens before it (Day 22). Each token takes

$$2 \cdot L \cdot H_{kv} \cdot d \cdot e \ \text{bytes}$$

with $L$ layers, $H_{kv}$ key-value heads of $d$ numbers, and $e$ bytes a number. For OPT-13B, $2\cdot 40\cdot 5120\cdot 2 = 819200$ bytes: 800 KB for one token, 1.6 GB for 2048 of them (section 3). How many requests are served at once depends on how many fit into what the weights leave free.

We count in **slots**: one slot is room for the key and value of one token, in all layers. A plain cache, such as Day 22's `KVCache`, is one contiguous tensor, so it must be made for the longest answer that may come. Nobody knows the length beforehand. The paper names what is lost:

- **reserved**: slots for tokens that this request will still make. Used one day, but nobody else has them until then;
- **internal fragmentation**: slots given to the request that it will never fill;
- **external fragmentation**: free slots between reservations, in gaps too small for the next one.

Paging hands out blocks of a few slots, one at a time, when the last one is full. The first two kinds exist there as well, in the last block only. Count them for both.
"""

# %% [markdown] lang="zh"
r"""
# 第 40 天 · PagedAttention 与 KV 碎片化

**目标。** 把许多不断变长的序列的键和值存进同一个由小块组成的池，再通过块表计算注意力，就像它们挨在一起一样。先测量朴素做法浪费了多少，再逐个实现各部件：块表、槽位、写入、注意力。最后读一个在 GPU 上完成最后一步的 Triton kernel。

| 步骤 | 你要写的 | 出处：Kwon 等，[arXiv 2309.06180](https://arxiv.org/abs/2309.06180) |
| --- | --- | --- |
| 1 | 已用、预留与内部碎片 | 3.1 节 |
| 2 | 首次适配与外部碎片 | 3.1 节，图 2 与图 3 |
| 3 | `BlockTable`：为新 token 分配槽位 | 4.2、4.3 节 |
| 4 | 带引用计数的 `fork` 与 `free` | 4.4 节 |
| 5 | 槽位映射，写入池 | 4.3 节 |
| 6 | 分页注意力 | 4.1 节，公式 4 |

请先读第 3、4 节。写时复制、换出与前缀缓存放在第 41 天。

## 1 · 一个请求占了多少，又用了多少

每生成一个 token，解码器都要读取之前所有 token 的键和值（第 22 天）。每个 token 占用

$$2 \cdot L \cdot H_{kv} \cdot d \cdot e \ \text{字节}$$

其中有 $L$ 层，$H_{kv}$ 个键值头，每个头 $d$ 个数，每个数 $e$ 字节。对 OPT-13B，$2\cdot 40\cdot 5120\cdot 2 = 819200$ 字节：一个 token 800 KB，2048 个就是 1.6 GB（第 3 节）。同时能服务多少请求，取决于权重之外剩下的显存放得下几个。

我们以**槽位**（slot）计数：一个槽位可放一个 token 在所有层的键和值。朴素的缓存（例如第 22 天的 `KVCache`）是一个连续张量，所以必须按可能的最长回答来建。而长度事先谁也不知道。论文给各种损失起了名字：

- **预留**（reserved）：这个请求以后还要生成的 token 的槽位。迟早用得上，但在那之前别人都不能用；
- **内部碎片**（internal fragmentation）：给了请求、它却永远不会填的槽位；
- **外部碎片**（external fragmentation）：夹在各段占用之间、空隙太小而容不下下一个请求的空闲槽位。

分页则每次只给一个有几个槽位的小块，最后一块填满了再给下一块。前两类浪费依然存在，但只出现在最后一块里。请分别统计两种做法。
"""

# %% setup
import importlib.util
import math
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

# %% exercise="kv_waste"
from ladder.solutions.stage3_full_stack.day40_paged_attention import kv_waste

# %% [markdown] lang="zh" docstring="kv_waste"
r"""
运行中的请求所持有的槽位都用在哪里：连续预留与分页对比。

一个槽位可放一个 token 的键和值。``lengths`` 中每个请求对应一对 ``(stored, final)``：
现在已存入键和值的 token 数，以及请求结束时的 token 总数。给请求分配槽位有两种方式：

- ``"contiguous"``：从头到尾一直占 ``max_len`` 个槽位；
- ``"paged"``：恰好容纳已存 token 的最少的块，每块 ``block`` 个槽位。

返回 ``{"contiguous": {...}, "paged": {...}}``。每个内层字典统计分给全部请求的槽位（Python 整数），
名称取自 arXiv 2309.06180 的 3.1 节：

- ``"used"``：存有 token 的槽位；
- ``"reserved"``：还没有 token、但请求在结束前会填的槽位；
- ``"internal"``：没有 token、请求也永远不会填的槽位。

每个请求都须满足 0 <= stored <= final <= max_len，否则抛出 ValueError。
"""

# %% [markdown] hint="kv_waste" lang="en"
r"""
Draw one request as a row of boxes: how many boxes was it given, how many hold a token, up to which box will it ever write? The two ways differ in the first number only.
"""

# %% [markdown] hint="kv_waste" lang="zh"
r"""
把一个请求画成一排格子：给了它多少格？多少格里有 token？它最终会写到第几格？两种方式只有第一个数不同。
"""

# %% [markdown] hint="kv_waste" lang="en"
r"""
With paging, the request may go on for longer than the slots that it was given so far. Those later tokens have no slots as yet, so they are in none of the three counts. And test a request whose stored tokens fill their blocks exactly.
"""

# %% [markdown] hint="kv_waste" lang="zh"
r"""
分页时，请求的最终长度可能超出目前分给它的槽位。那些后来的 token 现在还没有槽位，因此不计入三类中的任何一类。另外，请试一个已存 token 恰好填满各块的请求。
"""

# %%
from ladder.graders.stage3_full_stack.day40_paged_attention import check_kv_waste

check_kv_waste(kv_waste)

# %% [markdown] lang="en"
r"""
One request through its life: a prompt of 9 tokens, an answer of 28, room for 64, blocks of 8.
"""

# %% [markdown] lang="zh"
r"""
看一个请求的一生：提示 9 个 token，回答 28 个，最多 64 个，每块 8 个槽位。
"""

# %%
COLOURS = {"used": "C0", "reserved": "C1", "internal": "C3", "external": "C7", "free": "0.9"}
stored = range(9, 38)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.2), sharey=True, layout="constrained")
for ax, way in zip(axes, ("contiguous", "paged"), strict=True):
    history = [kv_waste([(n, 37)], 64, 8)[way] for n in stored]
    ax.stackplot(stored, *([h[kind] for h in history] for kind in history[0]), step="post",
                 labels=list(history[0]), colors=[COLOURS[kind] for kind in history[0]])
    ax.set(title=way, xlabel="tokens stored")
axes[0].set_ylabel("slots given to the request")
axes[1].legend(loc="upper left")
plt.show()

# %% [markdown] lang="en"
r"""
On the left most of the area is waste from the first moment on. On the right only the edge of the staircase is: less than one block, whatever the request does next.

## 2 · Gaps, and a whole server

Suppose lengths were known. Then each request could reserve exactly what it needs, and both kinds of waste inside reservations would shrink. But now reservations differ in size. They come and go, and leave gaps. A request that needs 300 contiguous slots cannot use three gaps of 100: that is external fragmentation.

`first_fit` is the oldest way to place a reservation: take the first gap that is large enough. (Orca, which the paper compares with, uses a buddy allocator; the effect is the same.) The given `serve` runs a whole trace with it, and with your `kv_waste`.
"""

# %% [markdown] lang="zh"
r"""
左图从第一刻起大部分面积就是浪费。右图只有阶梯的边缘是浪费：不到一块，无论请求接下来怎样。

## 2 · 空隙，以及整台服务器

假设长度已知。那么每个请求都可以恰好预留所需的大小，预留内部的两类浪费就会变少。可是各段大小不再相同，它们来来去去，留下空隙。需要 300 个连续槽位的请求，用不了三个各 100 的空隙：这就是外部碎片。

`first_fit`（首次适配）是安放一段预留的最古老的办法：取第一个足够大的空隙。（论文用来对比的 Orca 采用伙伴分配器，效果是一样的。）下面给出的 `serve` 用它和你的 `kv_waste` 跑完整条请求序列。
"""

# %% exercise="first_fit"
from ladder.solutions.stage3_full_stack.day40_paged_attention import first_fit, Request, request_trace, serve

# %% [markdown] lang="zh" docstring="first_fit"
r"""
寻找 ``need`` 个相邻的空闲槽位：``(start, stranded)``。

内存的槽位编号为 0 到 capacity − 1。``taken`` 列出已有的占用 ``(start, size)``，次序任意；
它们互不重叠，每段至少一个槽位。空隙是指一段极长的（不能再延长的）相邻空闲槽位。

- ``start``：第一个（编号最小的）至少有 ``need`` 个槽位的空隙的首个槽位；没有则为 None；
- ``stranded``：位于不足 ``need`` 个槽位的空隙里的空闲槽位总数：外部碎片，即这个请求用不了的空闲内存。

``taken`` 保持不变。``need`` 至少为 1。
"""

# %% [markdown] hint="first_fit" lang="en"
r"""
Walk through memory from slot 0 upwards and remember where the last reservation ended. The next reservation's start tells how large the gap before it is.
"""

# %% [markdown] hint="first_fit" lang="zh"
r"""
从槽位 0 开始往上走，记住上一段占用在哪里结束。下一段的起点就告诉你它前面的空隙有多大。
"""

# %% [markdown] hint="first_fit" lang="en"
r"""
Three places to look at twice: reservations given out of order, the gap behind the last reservation, and a gap of exactly `need` slots. Go on counting stranded slots after you have found the place.
"""

# %% [markdown] hint="first_fit" lang="zh"
r"""
有三处要多看一眼：占用不按次序给出、最后一段之后的空隙、恰好 `need` 个槽位的空隙。找到位置之后，也要继续统计 stranded。
"""

# %%
from ladder.graders.stage3_full_stack.day40_paged_attention import check_first_fit

check_first_fit(first_fit)

# %% [markdown] lang="en"
r"""
Now the measurement: 200 requests wait (drawn with the mean lengths of ShareGPT, figure 11 of the paper), and 15680 slots are free, as many as table 1 gives OPT-13B on a 40 GB A100. Four ways to hand out slots, three of them contiguous: the largest length, the next power of two, and an oracle that knows each length. Averages are taken while requests are waiting, when every free slot hurts.
"""

# %% [markdown] lang="zh"
r"""
现在来测量：200 个请求在排队（按论文图 11 中 ShareGPT 的平均长度随机生成），空闲槽位 15680 个，与表 1 中 OPT-13B 在 40 GB A100 上的数量相当。四种分配方式，其中三种是连续的：按最大长度、按 2 的幂上取整、按预知长度的 oracle。平均值只在有请求排队时统计，那时每个闲置的槽位都是损失。
"""

# %%
quick = os.environ.get("LADDER_QUICK") == "1"
capacity = 15680
requests = request_trace(100 if quick else 200, seed=0)
policies = ("max", "pow2", "oracle", "paged")
runs = {policy: serve(requests, capacity, policy) for policy in policies}


def average(states, kind):
    return float(np.mean([state[kind] for state in states if state["waiting"]]))


fig, axes = plt.subplots(1, 2, figsize=(11, 3.6), width_ratios=(1, 1.3), layout="constrained")
bottom = np.zeros(len(policies))
for kind, colour in COLOURS.items():
    share = np.array([100 * average(runs[policy], kind) / capacity for policy in policies])
    axes[0].bar(policies, share, bottom=bottom, color=colour, label=kind)
    bottom += share
axes[0].set(ylabel="% of all slots", ylim=(0, 100))
axes[0].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
for policy, states in runs.items():
    axes[1].plot([state["running"] for state in states],
                 label=f"{policy}: {len(states)} steps, {average(states, 'running'):.1f} running")
axes[1].set(xlabel="step (one token for every running request)", ylabel="requests running")
axes[1].legend()
print(*(f"{policy:7s}" + ", ".join(f"{kind} {100 * average(states, kind) / capacity:.1f} %" for kind in COLOURS)
        for policy, states in runs.items()), sep="\n")
plt.show()

# %% [markdown] lang="en"
r"""
With 200 requests the reference measured 22.7 % of the slots used for "max", 40.4 % for "pow2", 47.7 % for "oracle" and 97.5 % for "paged", with 7, 12.8, 15.4 and 36.3 requests running on average: the same memory, five times the batch. The paper's own profile of existing systems (section 1, figure 2) is 20.4 % to 38.2 %.

Note what the oracle cannot do. It has no internal fragmentation, but reserved slots stay reserved until the end, and gaps of unequal size stay gaps. Knowing the future is not enough; the layout must change.

## 3 · Block tables

Cut the memory into **physical blocks** of $B$ slots, numbered $0, 1, 2, \dots$ A sequence is cut into **logical blocks** the same way. The **block table** of a sequence says which physical block holds each logical one:

$$\text{slot}(p) = \text{table}\big[\lfloor p / B\rfloor\big]\cdot B + p \bmod B$$

Any free block will do for any logical block, as any page frame does for any page of an operating system's virtual memory. So no gap is ever too small. And a block is taken at the moment when a token needs it, so nothing beyond the last block is ever reserved.

`FreeList` is given: the list of free blocks and, for later, a count of the tables that hold each block. Write `append_slot`, the step that each new token starts with.
"""

# %% [markdown] lang="zh"
r"""
200 个请求时，参考实现测得：已用槽位的比例，“max” 为 22.7 %，“pow2” 为 40.4 %，“oracle” 为 47.7 %，“paged” 为 97.5 %；平均同时运行的请求数依次为 7、12.8、15.4 和 36.3：同样的内存，五倍的批量。论文对已有系统的实测（第 1 节，图 2）是 20.4 % 到 38.2 %。

注意 oracle 做不到什么。它没有内部碎片，但预留的槽位直到最后都被预留着，大小不一的空隙也依旧是空隙。预知未来还不够；必须改变布局。

## 3 · 块表

把内存切成**物理块**，每块 $B$ 个槽位，编号 $0, 1, 2, \dots$ 序列也同样切成**逻辑块**。序列的**块表**记录每个逻辑块存放在哪个物理块里：

$$\text{slot}(p) = \text{table}\big[\lfloor p / B\rfloor\big]\cdot B + p \bmod B$$

任何一个空闲块都可以充当任何一个逻辑块，正如操作系统的虚拟内存里，任何一个页框都可以装任何一页。因此没有“太小的空隙”。而且块在 token 需要它的那一刻才取用，因此最后一块之外没有任何预留。

`FreeList` 已给出：空闲块的列表，以及以后要用的、每个块被几张表持有的计数。请写出 `append_slot`，每个新 token 都从这一步开始。
"""

# %% exercise="append_slot"
from ladder.solutions.stage3_full_stack.day40_paged_attention import FreeList, BlockTable

# %% [markdown] lang="zh" docstring="BlockTable"
r"""
一个序列的块表：它的哪些 token 存在哪个物理块里。

- ``block_size``：每块的槽位数；
- ``pool``：块的来源，一个 ``FreeList``，其他表也在用；
- ``blocks``：物理块的列表。``blocks[j]`` 存放位置 j·block_size 到 (j + 1)·block_size − 1 的 token；
- ``length``：已有槽位的 token 数。块数从不超过所需。

一个 token 的槽位是 block·block_size + offset：物理槽位统一编号。
"""

# %% [markdown] lang="zh" docstring="BlockTable.append_slot"
r"""
再为一个 token 腾出位置；返回它的物理槽位，一个 int。

这个 token 的位置是调用前的 ``length``；调用后 ``length`` 加 1。如果最后一个块已满（或者还没有块），
就从 ``pool.free`` 取一个块（哪一个都行）：它离开那个列表，计数变为 1，成为 ``blocks`` 的最后一项。

两种错误，都不得改变表和池：

- 需要新块而没有空闲块时，抛出 MemoryError；
- 槽位所在的块计数大于 1 时，抛出 ValueError：写进去会改变另一个序列读到的内容。
  （第 41 天会改为复制这个块。）
"""

# %% [markdown] hint="append_slot" lang="en"
r"""
The position of the new token decides everything: its remainder by the block size is the offset, and one value of that remainder means that a new block is due. Check for both errors before anything is changed.
"""

# %% [markdown] hint="append_slot" lang="zh"
r"""
新 token 的位置决定一切：它除以块大小的余数就是偏移，而余数取某一个值时就该换新块了。在改动任何东西之前，先检查两种错误。
"""

# %% [markdown] hint="append_slot" lang="en"
r"""
A new block means three changes: it leaves the free list, its count is set, the table gets a new last entry. The slot is computed from the *physical* number of the last block, and a block that was just taken is never shared.
"""

# %% [markdown] hint="append_slot" lang="zh"
r"""
取新块意味着三处改动：它离开空闲列表，设置它的计数，表末尾多一项。槽位由最后一个块的*物理*编号算出；刚取来的块绝不会是共享的。
"""

# %%
from ladder.graders.stage3_full_stack.day40_paged_attention import check_append_slot

check_append_slot(BlockTable, FreeList)

# %% [markdown] lang="en"
r"""
Three sequences grow in turns, one block size, one pool. Each row is a physical block; the numbers are positions in the sequence of that colour.
"""

# %% [markdown] lang="zh"
r"""
三个序列轮流变长，共用一个池。每一行是一个物理块；数字是该颜色的序列中的位置。
"""

# %%
def draw_pool(ax, tables, num_blocks, size):
    """Colour each slot by the table that holds it, and write the token's position into it."""
    picture = np.full((num_blocks, size), np.nan)
    for i, owner in enumerate(tables):
        for position in range(owner.length):
            block = owner.blocks[position // size]
            picture[block, position % size] = i
            ax.text(position % size, block, position, ha="center", va="center", fontsize=7, color="white")
    ax.imshow(picture, cmap="tab10", vmin=0, vmax=9, aspect="auto")
    ax.set(xlabel="offset", ylabel="physical block", xticks=range(size), yticks=range(num_blocks))


pool = FreeList(12)
tables = [BlockTable(4, pool) for _ in range(3)]
order = np.random.default_rng(0).choice(3, size=30, p=(0.5, 0.3, 0.2))
for i in order:
    tables[i].append_slot()
fig, ax = plt.subplots(figsize=(4.5, 3.8), layout="constrained")
draw_pool(ax, tables, 12, 4)
for i, t in enumerate(tables):
    print(f"sequence {i}: {t.length} tokens, block table {t.blocks}")
plt.show()

# %% [markdown] lang="en"
r"""
## 4 · Sharing: fork and free

Parallel sampling asks for several answers to one prompt (section 4.4). The prompt's keys and values are the same for all of them, so the tables may simply name the same blocks, and a **reference count** tells how many tables do. A block is free again when its count reaches zero, not before.

What about writing? A *full* block is never written again. The last block, if it has room, is: the next token of each answer wants the same slot. `append_slot` refuses that; tomorrow it will copy the block first.
"""

# %% [markdown] lang="zh"
r"""
## 4 · 共享：fork 与 free

并行采样要为一个提示生成多个回答（4.4 节）。提示的键和值对所有回答都一样，所以几张表可以直接指向相同的块，由**引用计数**记录有几张表指向它。计数归零时块才重新空闲，早了不行。

写入怎么办？*填满*的块不会再被写。最后一个块若还有空位，就会被写：每个回答的下一个 token 都想要同一个槽位。`append_slot` 拒绝这样做；明天它会先复制这个块。
"""

# %% exercise="fork_and_free"
from ladder.solutions.stage3_full_stack.day40_paged_attention import BlockTable

# %% [markdown] lang="zh" docstring="BlockTable.fork"
r"""
同一批 token 的第二张表，例如用于同一提示的第二个回答。

两张表持有相同的块，最后一个块即使未满也在内。不取新块，也不复制；每个块的计数加 1。
此后两张表各自独立：其中一张的 ``append_slot`` 或 ``free`` 既不改变另一张的 ``blocks``，
也不改变它的 ``length``。
"""

# %% [markdown] lang="zh" docstring="BlockTable.free"
r"""
归还所有的块：序列已经结束。

它的每个块计数减 1；计数降到 0 的块回到 ``pool.free``，也只有这样的块才回去。之后这张表为空，
``blocks == []``，``length == 0``，因此再调用一次不改变任何东西，表也可以重新填入。
"""

# %% [markdown] hint="fork_and_free" lang="en"
r"""
Think of each count as "how many tables would miss this block". What does one more table change, and what does one table less?
"""

# %% [markdown] hint="fork_and_free" lang="zh"
r"""
把计数理解为“有几张表离不开这个块”。多一张表会改变什么？少一张呢？
"""

# %% [markdown] hint="fork_and_free" lang="en"
r"""
A list handed on is still one list: a child needs one of its own. And a block that is given back twice ends up in the free list twice, for two later owners; see what `free` must leave in the table to prevent that.
"""

# %% [markdown] hint="fork_and_free" lang="zh"
r"""
把列表交出去，它仍是同一个列表：子表需要自己的一份。另外，归还两次的块会在空闲列表里出现两次，以后就有两个主人；想想 `free` 应让表变成什么样才能避免。
"""

# %%
from ladder.graders.stage3_full_stack.day40_paged_attention import check_fork

check_fork(BlockTable, FreeList)

# %%
from ladder.graders.stage3_full_stack.day40_paged_attention import check_free

check_free(BlockTable, FreeList)

# %% [markdown] lang="en"
r"""
Four answers to one prompt of 20 tokens (five full blocks). Then the first two answers end, and a new request takes what they leave.
"""

# %% [markdown] lang="zh"
r"""
同一个提示（20 个 token，正好五个满块）的四个回答。然后前两个回答结束，一个新请求用上它们留下的块。
"""

# %%
pool = FreeList(24)
prompt = BlockTable(4, pool)
for _ in range(20):
    prompt.append_slot()
answers = [prompt.fork() for _ in range(4)]
prompt.free()
for _ in range(7):
    for answer in answers:
        answer.append_slot()
shared = len({block for answer in answers for block in answer.blocks})
print(f"four answers name {sum(len(a.blocks) for a in answers)} blocks and hold {shared}")
print("tables:", *(a.blocks for a in answers), sep="\n  ")
fig, axes = plt.subplots(1, 2, figsize=(10, 3), sharey=True, layout="constrained")
axes[0].bar(range(24), pool.refs, color="C0")
axes[0].set(title="four answers", xlabel="physical block", ylabel="reference count")
answers[0].free()
answers[1].free()
newcomer = BlockTable(4, pool)
for _ in range(22):
    newcomer.append_slot()
axes[1].bar(range(24), pool.refs, color=["C2" if b in newcomer.blocks else "C0" for b in range(24)])
axes[1].set(title="two have ended; green: a new request", xlabel="physical block")
plt.show()

# %% [markdown] lang="en"
r"""
## 5 · Slots and writes

So much for bookkeeping; no key or value has been stored yet. The pools are two tensors,

`k_pool`, `v_pool`: (num_blocks, block_size, Hkv, d),

one pair for each layer; one block table serves all layers. For the tokens of a step (a whole prompt, or one token of each running sequence) the server first computes their slots, the **slot mapping**, and then writes all of them at once.
"""

# %% [markdown] lang="zh"
r"""
## 5 · 槽位与写入

以上都是记账，还没有存过任何键和值。池是两个张量，

`k_pool`、`v_pool`：(num_blocks, block_size, Hkv, d)，

每层一对；一张块表供所有层使用。对一步中的 token（整段提示，或每个运行中序列的一个 token），服务器先算出它们的槽位，即**槽位映射**（slot mapping），再一次性写入。
"""

# %% exercise="slot_mapping"
from ladder.solutions.stage3_full_stack.day40_paged_attention import slot_mapping

# %% [markdown] lang="zh" docstring="slot_mapping"
r"""
位于 ``positions`` 的各 token 的物理槽位，一个等长的 int64 张量：

    slot = blocks[position // block_size] · block_size + position % block_size。

``block_table`` 只读取 ``blocks``、``block_size`` 和 ``length``。``positions`` 是列表或整数张量，
次序任意，可以为空。若有位置为负，或不小于 ``block_table.length``，抛出 ValueError。

位置 −1 没有槽位：Python 会把它当成最后一个块，从而覆盖一个有效的 token。
"""

# %% [markdown] hint="slot_mapping" lang="en"
r"""
The equation works on a whole tensor of positions at once, once the table is a tensor too: indexing with a tensor picks many entries.
"""

# %% [markdown] hint="slot_mapping" lang="zh"
r"""
只要表也是张量，这个公式就能一次作用于整个位置张量：用张量作下标可以同时取出许多项。
"""

# %% [markdown] hint="slot_mapping" lang="en"
r"""
Be explicit about the dtype of both tensors: what does torch make of an empty list? And compare positions with the length, not with the room in the blocks.
"""

# %% [markdown] hint="slot_mapping" lang="zh"
r"""
两个张量的 dtype 都要写明：torch 会把空列表变成什么？另外，位置要与长度比较，而不是与块的总容量比较。
"""

# %%
from ladder.graders.stage3_full_stack.day40_paged_attention import check_slot_mapping

check_slot_mapping(slot_mapping, BlockTable, FreeList)

# %% exercise="write_kv"
from ladder.solutions.stage3_full_stack.day40_paged_attention import write_kv

# %% [markdown] lang="zh" docstring="write_kv"
r"""
把 n 个 token 的键和值就地存入池中；返回 None。

token i 存入槽位 ``slots[i]``：块 slots[i] // block_size，偏移 slots[i] % block_size。槽位 −1 表示填充：
那个 token 不存到任何地方。其余槽位互不相同，它们没有提到的内容都保持不变。

池可以是任意内存布局，例如某个更大张量的视图；要求是所给的张量本身发生改变。``k`` 和 ``v`` 转换为池的
dtype。不需要自动求导。
"""

# %% [markdown] hint="write_kv" lang="en"
r"""
Assigning to an indexed tensor writes in place. You need two indices, one for the block and one for the offset; deal with the padding first.
"""

# %% [markdown] hint="write_kv" lang="zh"
r"""
对带下标的张量赋值就是就地写入。需要两个下标，一个是块，一个是偏移；先处理好填充。
"""

# %% [markdown] hint="write_kv" lang="en"
r"""
Flattening the first two axes is tempting. For some layouts that gives a copy, and your writes go nowhere. Which token rows are real? Select the same rows of keys, values and slots.
"""

# %% [markdown] hint="write_kv" lang="zh"
r"""
把前两个轴压平很诱人。但对某些布局，那会得到一份拷贝，写入就白做了。哪些行是真正的 token？键、值与槽位要选出同样的行。
"""

# %%
from ladder.graders.stage3_full_stack.day40_paged_attention import check_write_kv

check_write_kv(write_kv)

# %% [markdown] lang="en"
r"""
## 6 · Attention through the table

Decoding has one query for each sequence and head. With $K_j$ and $V_j$ the keys and values of logical block $j$ (as columns), equation 4 of the paper reads

$$A_{ij} = \frac{\exp\big(q_i^\top K_j/\sqrt d\big)}{\sum_{t=1}^{\lceil i/B\rceil}\exp\big(q_i^\top K_t\,\mathbf 1/\sqrt d\big)},\qquad o_i = \sum_{j=1}^{\lceil i/B\rceil}V_jA_{ij}^\top$$

($\exp$ entry by entry; the denominator sums over all entries of all blocks.) Nothing here depends on where a block lies: a sum does not mind the order. So the result is *the same* as that of a contiguous cache, not an approximation.

The last block is usually not full. Its free slots hold whatever was there before: the keys of a sequence that ended, or NaN in a fresh `torch.empty`. They must not count. Masking their scores is not enough, because a weight of zero times NaN is NaN; so the check fills them with NaN.
"""

# %% [markdown] lang="zh"
r"""
## 6 · 通过块表计算注意力

解码时，每个序列、每个头只有一个查询。记 $K_j$、$V_j$ 为逻辑块 $j$ 的键和值（按列排），论文的公式 4 写作

$$A_{ij} = \frac{\exp\big(q_i^\top K_j/\sqrt d\big)}{\sum_{t=1}^{\lceil i/B\rceil}\exp\big(q_i^\top K_t\,\mathbf 1/\sqrt d\big)},\qquad o_i = \sum_{j=1}^{\lceil i/B\rceil}V_jA_{ij}^\top$$

（$\exp$ 逐元素；分母对所有块的所有元素求和。）这里没有任何一项取决于块放在哪里：求和不在乎次序。所以结果与连续缓存*完全相同*，而不是近似。

最后一个块通常没有填满。空闲槽位里是以前留下的任何东西：已结束序列的键，或者 `torch.empty` 里的 NaN。它们不应有任何影响。只屏蔽得分还不够，因为零权重乘 NaN 仍是 NaN；所以检查会在那里填上 NaN。
"""

# %% exercise="paged_attention"
from ladder.solutions.stage3_full_stack.day40_paged_attention import paged_attention

# %% [markdown] lang="zh" docstring="paged_attention"
r"""
一个新 token 对块表在池中找到的 ``length`` 个 token 的注意力。

``block_table`` 依次列出物理块（``BlockTable.blocks``），是列表或整数张量：位置 t 的 token 在块
block_table[t // block_size] 中，偏移 t % block_size。设 k_t、v_t 为它在某个头的键和值，

    o = Σ_t a_t v_t，      a_t = exp(q·k_t / √d) / Σ_s exp(q·k_s / √d)，      t, s = 0 ... length − 1

（arXiv 2309.06180 的 4.1 节公式 4，把各块展开写）。新 token 自己的键和值也在这 ``length`` >= 1 个 token
之中，因此没有掩码。Hkv 整除 Hq，查询头 h 读取键值头 h // (Hq // Hkv)，与第 22 天相同。

只有这些槽位起作用：最后一个块中超出 ``length`` 的槽位、表没有提到的块、表中多余的项（常为 −1）
可以是任何内容，甚至是 NaN。得分无论多大，结果都是有限值。返回 (Hq, d)，dtype 与 ``q`` 相同，池也是这个 dtype。
"""

# %% [markdown] hint="paged_attention" lang="en"
r"""
First get the keys and values of positions 0 to length − 1 in order; you know how to find a slot. From there on it is ordinary attention with one query, whose stable softmax you have used before.
"""

# %% [markdown] hint="paged_attention" lang="zh"
r"""
先按次序取出位置 0 到 length − 1 的键和值；怎样找到槽位你已经会了。之后就是只有一个查询的普通注意力，数值稳定的 softmax 以前也用过。
"""

# %% [markdown] hint="paged_attention" lang="en"
r"""
If slots beyond the length are never fetched, nothing has to be masked. For shared heads, give q an extra axis, (key-value head, member of its group), or repeat each key-value head for its group; which query heads are neighbours?
"""

# %% [markdown] hint="paged_attention" lang="zh"
r"""
如果从不取出超出长度的槽位，就没有什么需要屏蔽。对共享的头，可给 q 增加一个轴（键值头，组内成员），也可以把每个键值头按组重复；哪些查询头是相邻的？
"""

# %%
from ladder.graders.stage3_full_stack.day40_paged_attention import check_paged_attention

check_paged_attention(paged_attention)

# %% [markdown] lang="en"
r"""
All parts together: three sequences decode side by side. Each step takes a slot, maps it, writes the new key and value, and attends; beside it a dense cache and PyTorch's own attention do the same. Everything in the pool that nobody has written is NaN.
"""

# %% [markdown] lang="zh"
r"""
把所有部件合在一起：三个序列并排解码。每一步取一个槽位、求映射、写入新的键和值、计算注意力；旁边用稠密缓存和 PyTorch 自带的注意力做同样的事。池中没人写过的地方全是 NaN。
"""

# %%
torch.manual_seed(0)
block_size, num_blocks, Hq, Hkv, d = 4, 26, 6, 2, 16
k_pool = torch.full((num_blocks, block_size, Hkv, d), torch.nan)
v_pool = k_pool.clone()
pool = FreeList(num_blocks)
pool.free = np.random.default_rng(1).permutation(num_blocks).tolist()
tables = [BlockTable(block_size, pool) for _ in range(3)]
dense = [(torch.empty(Hkv, 0, d), torch.empty(Hkv, 0, d)) for _ in tables]
errors = [[], [], []]
for step in range(39):
    for i, t in enumerate(tables):
        if step % (i + 1):
            continue                                          # sequence i gets a token in every (i + 1)th step
        q, k, v = torch.randn(Hq, d), torch.randn(1, Hkv, d), torch.randn(1, Hkv, d)
        t.append_slot()
        write_kv(k, v, k_pool, v_pool, slot_mapping(t, [t.length - 1]))
        paged = paged_attention(q, k_pool, v_pool, t.blocks, t.length)
        dense[i] = tuple(torch.cat([cache, new.transpose(0, 1)], 1) for cache, new in zip(dense[i], (k, v), strict=True))
        expected = F.scaled_dot_product_attention(q[None, :, None], *(c[None] for c in dense[i]), enable_gqa=True)[0, :, 0]
        errors[i].append((paged - expected).abs().max().item())

fig, axes = plt.subplots(1, 2, figsize=(10, 4.6), width_ratios=(1, 1.4), layout="constrained")
draw_pool(axes[0], tables, num_blocks, block_size)
axes[0].set_title("white: free, NaN")
for i, e in enumerate(errors):
    axes[1].semilogy(range(1, len(e) + 1), np.maximum(e, 1e-9), "o-", ms=3, label=f"sequence {i}")
axes[1].axhline(torch.finfo(torch.float32).eps, color="k", ls=":", label="float32 epsilon")
axes[1].set(xlabel="tokens in the sequence", ylabel="largest difference to dense attention", ylim=(1e-9, 1e-5))
axes[1].legend()
plt.show()

# %% [markdown] lang="en"
r"""
The differences are rounding, at every length, full block or not.

**How large should a block be?** Small blocks waste little and mean long tables and scattered reads; large blocks read well and waste more. Section 7.2 of the paper settles on 16. Measure the waste half of that trade:
"""

# %% [markdown] lang="zh"
r"""
无论长度多少、块满不满，差别都只是舍入误差。

**块应该多大？** 小块浪费少，但表更长、读取更零散；大块读取顺畅，但浪费更多。论文 7.2 节选定 16。下面测量这笔权衡中浪费的一面：
"""

# %%
sizes = (1, 4, 16, 64, 256, 512)
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
swept = [serve(requests, capacity, "paged", block=size) for size in sizes]
bottom = np.zeros(len(sizes))
for kind, colour in COLOURS.items():
    share = np.array([100 * average(states, kind) / capacity for states in swept])
    ax.bar([str(size) for size in sizes], share, bottom=bottom, color=colour, label=kind)
    bottom += share
ax.set(xlabel="block size", ylabel="% of all slots", ylim=(0, 100))
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown] lang="en"
r"""
The reference used 99.3 % of the slots with blocks of 1, 97.5 % with 16, 92.7 % with 64 and 62.0 % with 512. As blocks grow, the contiguous reservation comes back.

## 7 · The kernel

Your `paged_attention` first *gathers* keys and values into new tensors: it reads the cache, writes a copy, and reads that again. A kernel reads each slot once, straight from the pool, and keeps the softmax running (section 4.1, and section 5.1 for vLLM's own kernels). Decoding does $4TH_qd$ flops on $2TH_{kv}de$ bytes, which is $2H_q/(H_{kv}e)$ flops a byte: memory bandwidth is the limit.

Here is the project's Triton kernel, to read. Before you do, answer for yourself: what does one program own? Then find in it

1. where the block table is read, and where a slot becomes an address;
2. what keeps slots beyond the length out, in loads and in scores;
3. the three lines that correct the running sum when a larger score turns up;
4. why the sequence is cut into splits, and how their results are put together.
"""

# %% [markdown] lang="zh"
r"""
参考实现的已用比例：块大小为 1 时 99.3 %，16 时 97.5 %，64 时 92.7 %，512 时 62.0 %。块越大，就越接近连续预留。

## 7 · kernel

你的 `paged_attention` 先把键和值*收集*到新张量里：读一遍缓存，写一份拷贝，再读一遍拷贝。kernel 则直接从池中读取每个槽位，只读一次，同时维护滚动的 softmax（4.1 节；vLLM 自己的 kernel 见 5.1 节）。解码在 $2TH_{kv}de$ 字节上做 $4TH_qd$ 次浮点运算，即每字节 $2H_q/(H_{kv}e)$ 次：瓶颈是显存带宽。

下面是本项目的 Triton kernel，供阅读。读之前先自问：一个 program 负责什么？然后在代码里找出

1. 块表在哪里读取，槽位在哪里变成地址；
2. 在读取和得分两处，分别靠什么排除超出长度的槽位；
3. 出现更大的得分时，修正滚动和的那三行；
4. 为什么要把序列切成几段（split），各段结果怎样合并。
"""

# %%
there = importlib.util.find_spec("ladder.kernels") is not None
spec = importlib.util.find_spec("ladder.kernels.paged_decode") if there else None
if spec is None or spec.origin is None:
    print("This copy of the course comes without kernels/paged_decode.py.")
else:
    with open(spec.origin, encoding="utf-8") as file:
        print(file.read())

# %% [markdown] lang="en"
r"""
With an NVIDIA GPU and Triton, the next cell runs it on your pool against your function. Without one it says so. (The project's tests interpret the kernel on the CPU and compile it for sm_80 and sm_90; neither is a run on a GPU.)
"""

# %% [markdown] lang="zh"
r"""
如果有 NVIDIA GPU 和 Triton，下一个单元格就在你的池上运行它，并与你的函数比较。没有的话，它会说明。（本项目的测试在 CPU 上解释执行这个 kernel，并为 sm_80 与 sm_90 编译；两者都不等于在 GPU 上运行。）
"""

# %%
if not torch.cuda.is_available():
    print("not checked: needs a GPU")
elif importlib.util.find_spec("triton") is None or spec is None:
    print("not checked: needs Triton (pip install triton) and kernels/paged_decode.py")
else:
    import ladder.kernels.paged_decode as paged_decode_module

    most = max(len(t.blocks) for t in tables)
    padded = torch.tensor([t.blocks + [-1] * (most - len(t.blocks)) for t in tables])
    sizes_now = torch.tensor([t.length for t in tables])
    q = torch.randn(3, Hq, d)
    ours = torch.stack([paged_attention(q[i], k_pool, v_pool, t.blocks, t.length) for i, t in enumerate(tables)])
    for splits in (1, 3):
        theirs = paged_decode_module.paged_decode(
            *(x.cuda() for x in (q, k_pool, v_pool, padded, sizes_now)), splits=splits)
        print(f"{torch.cuda.get_device_name()}, {splits} splits: "
              f"largest difference {(theirs.cpu() - ours).abs().max().item():.2e}")

# %% [markdown] lang="en"
r"""
**Written answer: why PagedAttention removes fragmentation** (6 points). This is question a of the KvCache gate. Write for a colleague who knows the KV cache but has never served a model:

- 1 for the three kinds of waste under contiguous reservation, each defined, with figures from your measurement;
- 1 for external fragmentation: why there is none with blocks, and which property of blocks does it;
- 1 for reserved slots: when a block is taken, and what a request holds at most beyond its tokens;
- 1 for the bound on what is left inside the last block, for one sequence and for $n$ of them, and its size beside the contiguous case;
- 1 for the condition that makes it possible: what attention needs from memory, the role of the block table, and the slot equation;
- 1 for the price and the limits: what the indirection costs, what block size trades, what paging does *not* solve; and what sharing gains on top.
"""

# %% [markdown] lang="zh"
r"""
**书面题：为什么 PagedAttention 能消除碎片**（6 分）。这是 KvCache 关的问题 a。写给一位了解 KV 缓存、但没有部署过模型的同事：

- 1 分：连续预留下的三类浪费，各自的定义，并引用你测得的数字；
- 1 分：外部碎片：为什么用块就没有了，靠的是块的哪个性质；
- 1 分：预留：块在什么时候取用，一个请求在自己的 token 之外最多还占多少；
- 1 分：最后一块里剩余浪费的上界，对一个序列和对 $n$ 个序列，并与连续的情形比较大小；
- 1 分：使这一切成为可能的条件：注意力对内存有什么要求，块表起什么作用，槽位公式；
- 1 分：代价与局限：间接寻址的开销，块大小的权衡，分页*没有*解决什么；以及共享带来的额外好处。
"""

# %% [markdown] written="written_paging" lang="en"
r"""
*Your explanation of why PagedAttention removes fragmentation. Replace this text.*
"""

# %% [markdown] written="written_paging" lang="zh"
r"""
*在此说明为什么 PagedAttention 能消除碎片（替换这段文字）。*
"""

# %% [markdown] model="written_paging" lang="en"
r"""
*The waste.* A contiguous cache reserves the longest possible length for each request. Slots for tokens still to come are **reserved**; slots beyond the answer's end, which is unknown until it comes, are **internal** fragmentation; free slots between reservations of different sizes, too few in a row for the next one, are **external**. In our run with 2048 slots each, 22.7 % of the memory held tokens, 16.2 % was reserved, 52.6 % internal and 8.6 % external; even with known lengths only 47.7 % held tokens.

*External.* All blocks have one size, and any block serves any logical block of any sequence. A free block is therefore never "too small" or "in the wrong place": if one is free, the next token can have it. Nothing needs to be contiguous across blocks.

*Reserved.* A block is taken when the last one is full, not when the request starts. Beyond its tokens a request holds only the rest of its last block.

*The bound.* That rest is at most $B-1$ slots a sequence, about $(B-1)/2$ on average, so less than $n(B-1)$ for $n$ sequences, independent of the maximal length. For $B=16$ that is at most 15 slots where a contiguous reservation leaves up to 2047 empty. We measured 97.5 % used.

*The condition.* Attention of one query is a softmax-weighted sum over tokens, and a sum does not care where its terms lie, as long as each can be found. The block table finds them: $\text{slot}(p)=\text{table}[\lfloor p/B\rfloor]\cdot B+p\bmod B$. The kernel has to read through the table instead of assuming one array; the result is the same.

*Price and limits.* One more lookup per block and scattered reads: the paper's attention kernel has 20 to 26 % higher latency than a contiguous one (section 7.1), which the larger batch repays. Small blocks read worse, large blocks waste more. Paging does not make the cache smaller: when all blocks are in use, some request must wait, be swapped out or be recomputed. And as tables only name blocks, several sequences can name the same one: prompts are shared, with reference counts.
"""

# %% [markdown] model="written_paging" lang="zh"
r"""
*浪费。* 连续缓存为每个请求预留可能的最大长度。还没生成的 token 的槽位是**预留**；回答结束之后的槽位（结束之前没人知道在哪里）是**内部**碎片；大小不一的各段占用之间，连在一起却不够下一个请求用的空闲槽位是**外部**碎片。我们的实验里每个请求占 2048 个槽位：22.7 % 的内存存有 token，16.2 % 是预留，52.6 % 是内部碎片，8.6 % 是外部碎片；即使预知长度，也只有 47.7 % 存有 token。

*外部碎片。* 所有块大小相同，任何一块都可充当任何序列的任何逻辑块。所以空闲块永远不会“太小”或“位置不对”：只要有一块空闲，下一个 token 就能用。块与块之间不需要连续。

*预留。* 块在最后一块填满时才取用，而不是在请求开始时。除了自己的 token，请求只占着最后一块的剩余部分。

*上界。* 这部分每个序列至多 $B-1$ 个槽位，平均约 $(B-1)/2$，所以 $n$ 个序列少于 $n(B-1)$，与最大长度无关。$B=16$ 时至多 15 个槽位，而连续预留可能空着多达 2047 个。我们测得已用 97.5 %。

*条件。* 一个查询的注意力是对各 token 的 softmax 加权和，而求和不在乎各项放在哪里，只要都找得到。块表负责找到它们：$\text{slot}(p)=\text{table}[\lfloor p/B\rfloor]\cdot B+p\bmod B$。kernel 须通过表来读取，而不是假定它们在一个连续数组里；结果是一样的。

*代价与局限。* 每块多一次查表，读取也更零散：论文的注意力 kernel 比连续的版本延迟高 20 到 26 %（7.1 节），更大的批量足以补偿。块小则读取差，块大则浪费多。分页并不会让缓存变小：块全部占用时，总得有请求等待、换出或重算。另外，表只是指向块，几个序列可以指向同一块：借助引用计数，提示就能共享。
"""

# %% [markdown] lang="en"
r"""
## What you have now

| name | what it is for |
| --- | --- |
| `kv_waste`, `first_fit`, `serve` | the measurement that makes the case for paging |
| `BlockTable`, `FreeList` | tomorrow's block manager, which adds copy-on-write, swapping and prefix caching |
| `slot_mapping`, `write_kv` | the way from tokens to memory, as in vLLM |
| `paged_attention` | the reference for the kernel, and the attention of tomorrow's server |

**The gate.** Question a, why paging removes fragmentation, is what you have just written; question b, how the block table is kept up to date, belongs to Day 41. The KvCache gate is taken, within a time box and without notes, with `ladder gate kvcache`.
"""

# %% [markdown] lang="zh"
r"""
## 你现在拥有的工具

| 名称 | 用途 |
| --- | --- |
| `kv_waste`、`first_fit`、`serve` | 证明分页必要性的测量 |
| `BlockTable`、`FreeList` | 明天的块管理器，还要加上写时复制、换出与前缀缓存 |
| `slot_mapping`、`write_kv` | 从 token 到内存的路，与 vLLM 相同 |
| `paged_attention` | kernel 的参照，也是明天的服务器所用的注意力 |

**关卡。** 问题 a，为什么分页能消除碎片，就是你刚写下的内容；问题 b，块表如何维护，属于第 41 天。KvCache 关用 `ladder gate kvcache` 参加，限时，不看笔记。
"""

# %% [markdown] lang="en"
r"""
# Day 22 · MQA, GQA and the KV cache

A model that writes text reads far more memory than it computes. Today you give it a memory of its past, the KV cache, so that each new token costs one token's work; then you make that
memory small, by letting several query heads share one key and value head.

At the end of the day you can

- write grouped-query attention, with multi-query and multi-head attention as its two ends, and turn a multi-head checkpoint into a grouped one;
- write a KV cache and an attention layer that gives the same numbers in one piece, in many pieces and token by token;
- generate with the cache and *show* that the tokens are those of the slow way;
- say how many bytes a cache takes in a real model, and why decoding waits for memory and not for arithmetic.

**Read first** (one hour): Shazeer, *Fast Transformer Decoding: One Write-Head is All You Need*, [arXiv 1911.02150](https://arxiv.org/abs/1911.02150), sections 2.4 and 3; Ainslie et al., *GQA: Training Generalized
Multi-Query Transformer Models from Multi-Head Checkpoints*, [arXiv 2305.13245](https://arxiv.org/abs/2305.13245), sections 2 and 3. Plan three hours for the rest.
"""

# %% [markdown] lang="zh"
r"""
# 第 22 天 · MQA、GQA 与 KV Cache

模型写文本时，读内存的工作远多于计算。今天你给它一份对过去的记忆，即 KV Cache，使每个新 token 只需一个 token 的工作量；然后让几个查询头共用一个键值头，
把这份记忆变小。

学完这一天，你能够

- 写出分组查询注意力（GQA），它的两端分别是多查询注意力（MQA）与多头注意力（MHA）；并把多头检查点变成分组的；
- 写出 KV Cache，以及一个注意力层：无论一次给完、分成几段还是逐个 token，得到的数都相同；
- 用缓存生成文本，并*证实*得到的 token 与慢方法一样；
- 说出真实模型的缓存占多少字节，以及解码时为什么等的是内存而不是算术。

**先读**（约一小时）：Shazeer，*Fast Transformer Decoding: One Write-Head is All You Need*，[arXiv 1911.02150](https://arxiv.org/abs/1911.02150)，2.4 与 3 节；Ainslie 等，*GQA: Training Generalized
Multi-Query Transformer Models from Multi-Head Checkpoints*，[arXiv 2305.13245](https://arxiv.org/abs/2305.13245)，2 与 3 节。其余部分约需三小时。
"""

# %% setup
import os
import time
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ladder.earlier.day10_scaled_dot_product_attention import sdpa
from ladder.earlier.day11_multi_head_attention import merge_heads, split_heads
from ladder.earlier.day21_rope import apply_rope, rope_tables

# %% [markdown] lang="en"
r"""
## 1 · Several query heads, one key head

In multi-head attention each of the $H_q$ query heads has keys and values of its own. Shazeer's proposal (section 3): keep all query heads, but give them *one* key head and one value head.
That is **multi-query attention** (MQA). It is a large saving, and some quality is lost. **Grouped-query attention** (GQA, section 2.2 of Ainslie et al.) lies between: $H_{kv}$ key and value heads, each shared by a group of
$g = H_q/H_{kv}$ query heads that stand side by side,

$$\mathrm{head}_i = \mathrm{softmax}\!\left(\frac{q_i\,k_{\lfloor i/g\rfloor}^\top}{\sqrt d}\right) v_{\lfloor i/g\rfloor},\qquad i = 0,\dots,H_q-1$$

with $d$ the channels of a head. $H_{kv}=H_q$ is multi-head attention, $H_{kv}=1$ is MQA. To feed this to Day 10's `sdpa`, repeat each key head $g$ times, *in a row*: the query heads 0, 1, ..., $g-1$ are the first group.
"""

# %% [markdown] lang="zh"
r"""
## 1 · 几个查询头，一个键头

在多头注意力里，$H_q$ 个查询头各有自己的键和值。Shazeer 的提议（3 节）是：查询头全部保留，但只给它们*一个*键头和一个值头。
这就是**多查询注意力**（MQA）。省下很多，也损失一些质量。**分组查询注意力**（GQA，Ainslie 等的 2.2 节）介于两者之间：有 $H_{kv}$ 个键头和值头，每个由一组相邻的
$g = H_q/H_{kv}$ 个查询头共用，

$$\mathrm{head}_i = \mathrm{softmax}\!\left(\frac{q_i\,k_{\lfloor i/g\rfloor}^\top}{\sqrt d}\right) v_{\lfloor i/g\rfloor},\qquad i = 0,\dots,H_q-1$$

其中 $d$ 是每个头的通道数。$H_{kv}=H_q$ 就是多头注意力，$H_{kv}=1$ 就是 MQA。要用第 10 天的 `sdpa` 来算，就把每个键头*连续*重复 $g$ 次：查询头 0、1、……、$g-1$ 是第一组。
"""

# %% exercise="repeat_kv"
from ladder.solutions.stage2_architecture.day22_gqa_and_kv_cache import repeat_kv

# %% [markdown] lang="zh" docstring="repeat_kv"
r"""
把每个键头（或值头）连续重复 n 次，使每个查询头都有一个。

    result[b, i, t, j] = x[b, i // n, t, j]，    i = 0, ..., Hkv·n − 1。

形状为 (B, Hkv·n, T, d)，dtype 与 ``x`` 相同，n >= 1。``x`` 的内存布局可以是任意的；``x`` 不被修改。
n = 1 时结果等于 ``x``。
"""

# %% [markdown] hint="repeat_kv" lang="en"
r"""
For two heads a, b and n = 3 the result holds a, a, a, b, b, b. Torch has two functions that repeat; look up in which order each of them puts the copies.
"""

# %% [markdown] hint="repeat_kv" lang="zh"
r"""
两个头 a、b，n = 3 时，结果依次是 a、a、a、b、b、b。torch 有两个做重复的函数；查一查它们各按什么次序放置副本。
"""

# %% [markdown] hint="repeat_kv" lang="en"
r"""
One repeats whole axes (a, b, a, b, ...), the other each entry of one axis, which you name. Or: give each head a new axis of length n behind it, and merge the two axes.
"""

# %% [markdown] hint="repeat_kv" lang="zh"
r"""
一个把整个轴重复（a、b、a、b……），另一个在你指定的轴上逐个元素重复。也可以：在头的后面加一个长度为 n 的新轴，再把两个轴合并。
"""

# %%
from ladder.graders.stage2_architecture.day22_gqa_and_kv_cache import check_repeat_kv

check_repeat_kv(repeat_kv)

# %%
heads = torch.arange(3.0).reshape(1, 3, 1, 1)
fig, axes = plt.subplots(2, 1, figsize=(8, 2.6), layout="constrained", sharex=True)
for ax, name, row in ((axes[0], "repeat_kv", repeat_kv(heads, 4)), (axes[1], "tiled: wrong", heads.repeat(1, 4, 1, 1))):
    ax.imshow(row.reshape(1, -1), cmap="viridis", aspect="auto", vmin=-0.5, vmax=2.5)
    for i, head in enumerate(row.flatten().tolist()):
        ax.text(i, 0, f"kv {head:.0f}", ha="center", va="center", color="w")
    ax.set(ylabel=name, yticks=[], xticks=range(12))
axes[1].set_xlabel("query head")
fig.suptitle("which kv head a query head reads, 12 query heads and 3 kv heads")
plt.show()

# %% [markdown] lang="en"
r"""
The lower row has the right shape, raises no error, and gives a trained model's query heads the wrong keys: Llama's weights were trained with the upper one.

Now the attention itself. Serving code does not really copy keys: it reshapes `q` to $(B, H_{kv}, g, T_q, d)$ and lets broadcasting share them, or hands the grouping to a kernel. The numbers are the same, and today the numbers matter.
"""

# %% [markdown] lang="zh"
r"""
下面一行形状正确，也不报错，却让训练好的模型的查询头读错了键：Llama 的权重是按上面一行训练的。

现在写注意力本身。线上推理的代码其实并不复制键：它把 `q` 变形为 $(B, H_{kv}, g, T_q, d)$，靠广播来共用，或者把分组交给 kernel 处理。数值是一样的，而今天要紧的正是数值。
"""

# %% exercise="gqa"
from ladder.solutions.stage2_architecture.day22_gqa_and_kv_cache import gqa

# %% [markdown] lang="zh" docstring="gqa"
r"""
分组查询注意力，arXiv 2305.13245 的 2.2 节。

Hq 个查询头分成 ``n_kv_heads`` 组，每组是相邻的 g = Hq/n_kv_heads 个。查询头 i 使用第 i // g 个头的键和值：

    result[:, i] = softmax(q_i k_{i//g}ᵀ / √d) v_{i//g}。

结果形状为 (B, Hq, Tq, d)。n_kv_heads = Hq 是多头注意力，n_kv_heads = 1 是多查询注意力
（arXiv 1911.02150）。

``mask`` 是可以广播到 (B, Hq, Tq, Tk) 的 bool 张量：True 表示该查询可以看该键。``None`` 表示全部允许；
什么也不能看的查询得到零。各参数不被修改。

若 ``n_kv_heads`` 不整除 Hq，或者 ``k`` 或 ``v`` 的头数不恰好是 ``n_kv_heads``，则抛出 ValueError。
不用 torch 现成的注意力；可以用第 10 天的 ``sdpa``。
"""

# %% [markdown] hint="gqa" lang="en"
r"""
With as many key heads as query heads, sdpa would do everything. How many query heads does one kv head serve?
"""

# %% [markdown] hint="gqa" lang="zh"
r"""
如果键头与查询头一样多，sdpa 就全包了。一个键值头服务几个查询头？
"""

# %% [markdown] hint="gqa" lang="en"
r"""
Test the numbers of heads first: broadcasting would accept one kv head silently. Then repeat keys and values by the size of a group (not by the number of groups) and pass the mask on.
"""

# %% [markdown] hint="gqa" lang="zh"
r"""
先核对头数：只有一个键值头时，广播会悄悄放行。然后按一组的大小（不是组数）重复键和值，并把掩码传下去。
"""

# %%
from ladder.graders.stage2_architecture.day22_gqa_and_kv_cache import check_gqa

check_gqa(gqa)

# %% [markdown] lang="en"
r"""
## 2 · From a checkpoint with many heads

A model trained with multi-head attention need not be trained again from the start. Section 2.1 of the GQA paper: average the key projections of the heads in each group, the same for the values, and go on training for
5% of the original steps ("uptraining"). Their T5-XXL (table 1; average score on seven tasks, seconds per sample):

| model | seconds | average |
| --- | --- | --- |
| MHA-XXL | 1.51 | 47.2 |
| GQA-8-XXL, uptrained | 0.28 | 47.1 |
| MQA-XXL, uptrained | 0.24 | 46.6 |

Eight kv heads are nearly as fast as one, and nearly as good as 64. Why the mean? Near-equal heads stay as they are, and no head's training is thrown away; figure 4 there compares it with keeping the first head and with a random start.
"""

# %% [markdown] lang="zh"
r"""
## 2 · 从多头检查点出发

用多头注意力训练好的模型不必从头再训。GQA 论文 2.1 节：把每组各头的键投影取平均，值投影也一样，然后再训练原步数的
5%（称为 uptraining）。他们的 T5-XXL（表 1；七项任务的平均分，每个样本的秒数）：

| 模型 | 秒 | 平均分 |
| --- | --- | --- |
| MHA-XXL | 1.51 | 47.2 |
| GQA-8-XXL，uptrained | 0.28 | 47.1 |
| MQA-XXL，uptrained | 0.24 | 46.6 |

八个键值头几乎与一个同样快，又几乎与 64 个同样好。为什么取平均？相近的头保持原样，也没有哪个头的训练成果被扔掉；该文图 4 把它与只留第一个头、随机初始化作了比较。
"""

# %% exercise="pool_kv_heads"
from ladder.solutions.stage2_architecture.day22_gqa_and_kv_cache import pool_kv_heads

# %% [markdown] lang="zh" docstring="pool_kv_heads"
r"""
把多头检查点的键（或值）投影变成较少的头：arXiv 2305.13245 的 2.1 节与图 1。

``W`` 是计算 ``x @ W.T`` 的 ``nn.Linear`` 的权重：第 i·d 到 (i+1)·d − 1 行产生头 i，i = 0, ..., h − 1，
所以它有 h·d 行。结果有 n_kv_heads·d 行，次序相同；它的头 j 是 ``W`` 中属于第 j 组查询头的那些头的平均，
分组与 ``gqa`` 相同。dtype 与 ``W`` 相同，``W`` 不被修改。

若 ``n_kv_heads`` 不整除 ``h``，则抛出 ValueError。
"""

# %% [markdown] hint="pool_kv_heads" lang="en"
r"""
The rows of W are three indices in one: group, member of the group, channel. Which changes slowest, and which must disappear?
"""

# %% [markdown] hint="pool_kv_heads" lang="zh"
r"""
W 的行号是三个下标合成的：组、组内成员、通道。哪个变化最慢？哪个应当消失？
"""

# %% [markdown] hint="pool_kv_heads" lang="en"
r"""
Give the three indices (and the columns) an axis each, average over the axis of the members, and put groups and channels together again. Members of a group are neighbours, as in gqa.
"""

# %% [markdown] hint="pool_kv_heads" lang="zh"
r"""
让三个下标（和列）各占一个轴，在成员的轴上取平均，再把组与通道合起来。与 gqa 一样，同组的成员是相邻的。
"""

# %%
from ladder.graders.stage2_architecture.day22_gqa_and_kv_cache import check_pool_kv_heads

check_pool_kv_heads(pool_kv_heads)

# %% [markdown] lang="en"
r"""
## 3 · What need not be computed again

To write token $t+1$ a model needs the logits after token $t$. Day 14 ran the model over the whole text for each new token. Look at one layer: it needs the query of the newest token, and keys and values of all tokens. Attention is causal,
so the vector of token $s$ in any layer depends on the tokens $0,\dots,s$ only. Nothing that is written later changes it: $k_s$ and $v_s$ are **final** as soon as token $s$ has been read. Keep them.

With $P$ parameters in matrices, a token costs about $2P$ floating-point operations there. Reading $t$ tokens again for each new one, $n$ tokens cost

$$\sum_{t=1}^{n} 2P\,t = P\,n(n+1)$$

operations; with a cache it is $2P\,n$. Attention itself compares one query with $t$ keys, instead of $t$ with $t$. The work of generating falls into two phases: **prefill** reads the prompt in one piece; **decoding** feeds one token at a time.

A cache takes its memory once, for the longest text it will hold. (`torch.cat` for each token would copy the whole cache each time, and leave holes in memory.) What happens when it is full must be decided too: here, an error that leaves
everything as it was.
"""

# %% [markdown] lang="zh"
r"""
## 3 · 不必再算一遍的东西

要写出 token $t+1$，模型需要 token $t$ 之后的 logits。第 14 天的做法是每生成一个 token 就把整段文本重新过一遍模型。看其中一层：它需要最新 token 的查询，以及所有 token 的键和值。注意力是因果的，
所以任何一层里 token $s$ 的向量只取决于 token $0,\dots,s$。后来写出的内容不会改变它：token $s$ 一读完，$k_s$ 与 $v_s$ 就**定了**。那就把它们存起来。

若矩阵里共有 $P$ 个参数，一个 token 在那里约需 $2P$ 次浮点运算。若每个新 token 都要把 $t$ 个 token 重读一遍，$n$ 个 token 共需

$$\sum_{t=1}^{n} 2P\,t = P\,n(n+1)$$

次运算；有了缓存则是 $2P\,n$ 次。注意力本身只用一个查询与 $t$ 个键比较，而不是 $t$ 个与 $t$ 个。于是生成分为两个阶段：**预填充**（prefill）把提示一次读完；**解码**（decoding）每次只送入一个 token。

缓存按将要容纳的最长文本一次性申请内存。（若每个 token 都用 `torch.cat`，每次都要复制整个缓存，还会在内存里留下碎片。）存满了怎么办也得定下来：这里是报错，并让一切保持原样。
"""

# %% exercise="kv_cache"
from ladder.solutions.stage2_architecture.day22_gqa_and_kv_cache import KVCache

# %% [markdown] lang="zh" docstring="KVCache"
r"""
一个注意力层到目前为止所有 token 的键和值，内存只申请一次。

``KVCache(B, Hkv, max_len, d, dtype)`` 具有

- ``k`` 与 ``v``：形状 (B, Hkv, max_len, d)、dtype 如所给的张量，由构造函数建立；``update`` 往里写，
  从不用别的张量替换它们；
- ``length``：int，已存入多少个 token；起初是 0。它们占第三个轴上的 0, ..., length − 1；
  这之后的内容没有意义。
"""

# %% [markdown] lang="zh" docstring="KVCache.__init__"
r"""
建立一个空缓存：``B`` 个序列，``Hkv`` 个头，每头 ``d`` 个通道，至多 ``max_len`` 个 token。
"""

# %% [markdown] lang="zh" docstring="KVCache.update"
r"""
在已有 token 之后再存入 T 个（T >= 1，每次调用的 T 可以不同）；返回 ``(keys, values)``，即到目前为止所有
token 的键和值，包括新的。

两个结果的形状都是 (B, Hkv, length, d)，``length`` 为更新之后的值；dtype 是缓存的 dtype，``k`` 与 ``v``
会转换成它。结果可以是缓存内存的视图，也可以是副本。张量 ``k`` 与 ``v`` 以后改变时，存入的内容不变。
缓存用于推理：即使 ``k`` 与 ``v`` 需要梯度，结果也不需要梯度。

若 T 个 token 放不下，或者 ``k`` 或 ``v`` 的形状不恰好是 (B, Hkv, T, d)，则抛出 ValueError。
此时什么都没有改变：``length`` 与已存的内容都不变。
"""

# %% [markdown] hint="kv_cache" lang="en"
r"""
Two numbers say where new tokens go: how many were there before, and how many come. Do all tests before the first change.
"""

# %% [markdown] hint="kv_cache" lang="zh"
r"""
新 token 放在哪里由两个数决定：之前有多少个，现在来多少个。在做任何改动之前，先做完所有检查。
"""

# %% [markdown] hint="kv_cache" lang="en"
r"""
Write into a slice of the third axis from the old length to the new one; assigning to a slice copies and converts. Return the first length places only. Assigning tensors that require a gradient would make the cache part of a graph: detach them.
"""

# %% [markdown] hint="kv_cache" lang="zh"
r"""
写入第三个轴上从旧 length 到新 length 的切片；对切片赋值就会复制并转换 dtype。只返回前 length 个位置。把需要梯度的张量赋进去，会使缓存成为计算图的一部分：先 detach。
"""

# %%
from ladder.graders.stage2_architecture.day22_gqa_and_kv_cache import check_kv_cache

check_kv_cache(KVCache)

# %% [markdown] lang="en"
r"""
## 4 · Where the queries stand

With a cache there are fewer queries than keys: $T_q < T_k$. The queries are the **last** $T_q$ tokens, so query $i$ stands at position $T_k - T_q + i$ and may see the keys $s$ with

$$s \le T_k - T_q + i.$$

A triangle drawn from the upper left corner instead would show a single new token nothing but token 0.
"""

# %% [markdown] lang="zh"
r"""
## 4 · 查询位于哪里

有了缓存，查询就比键少：$T_q < T_k$。查询是**最后** $T_q$ 个 token，所以查询 $i$ 位于位置 $T_k - T_q + i$，可以看满足下式的键 $s$：

$$s \le T_k - T_q + i.$$

如果三角形从左上角画起，单独一个新 token 就只看得到 token 0。
"""

# %% exercise="cached_mask"
from ladder.solutions.stage2_architecture.day22_gqa_and_kv_cache import cached_mask

# %% [markdown] lang="zh" docstring="cached_mask"
r"""
Tk 个 token 中最后 Tq 个的因果掩码。

键位于位置 0, ..., Tk − 1，查询位于其中最后 Tq 个：查询 i 位于 Tk − Tq + i。若 s 不大于查询 i 的位置，
则元素 [i, s] 为 True。

形状 (Tq, Tk) 的 bool 张量。cached_mask(T, T) 就是第 11 天的 ``causal_mask(T)``；Tq = 1 时所有元素都是
True。若 Tq > Tk，则抛出 ValueError。
"""

# %% [markdown] hint="cached_mask" lang="en"
r"""
Write down the positions of the queries as a row of numbers, and those of the keys. The mask compares each pair.
"""

# %% [markdown] hint="cached_mask" lang="zh"
r"""
把各查询的位置写成一排数，各键的位置也写成一排。掩码就是两两比较。
"""

# %% [markdown] hint="cached_mask" lang="en"
r"""
The same matrix is the last Tq rows of the (Tk, Tk) triangle; tril, too, has an argument that moves its diagonal.
"""

# %% [markdown] hint="cached_mask" lang="zh"
r"""
这个矩阵也就是 (Tk, Tk) 三角形的最后 Tq 行；tril 也有一个参数可以移动对角线。
"""

# %%
from ladder.graders.stage2_architecture.day22_gqa_and_kv_cache import check_cached_mask

check_cached_mask(cached_mask)

# %%
fig, axes = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
for ax, (Tq, Tk, name) in zip(axes, ((8, 8, "prefill"), (3, 8, "3 new tokens"), (1, 8, "decoding")), strict=True):
    ax.imshow(cached_mask(Tq, Tk), cmap="Greens", vmin=0, vmax=1.6, extent=(-0.5, Tk - 0.5, Tk - 0.5, Tk - Tq - 0.5))
    ax.set(title=name, xlabel="key at position", ylabel="query at position", xticks=range(Tk), yticks=range(Tk - Tq, Tk))
plt.show()

# %% [markdown] lang="en"
r"""
## 5 · The layer

All parts together: project, split into heads, rotate (Day 21), store, attend, merge, project. Two questions decide whether it is right.

*Are keys stored before or after the rotation?* The position of a stored token never changes, and with RoPE the score of a query at $m$ and a key at $n$ depends on $m - n$ whatever is written in between. So a key can be rotated once, by its own position, and stored.
A key stored unrotated would have to be rotated again in every step.

*Are keys stored before or after `repeat_kv`?* Before: the saving is that only $H_{kv}$ heads are kept.

The constructor is given; write `forward`.
"""

# %% [markdown] lang="zh"
r"""
## 5 · 注意力层

把各部分组合起来：投影，拆成头，旋转（第 21 天），存入，做注意力，合并，再投影。对不对取决于两个问题。

*键在旋转之前存还是之后存？* 已存 token 的位置不会再变，而在 RoPE 下，位置 $m$ 的查询与位置 $n$ 的键的得分只取决于 $m - n$，与中间写了什么无关。所以键按自己的位置旋转一次，然后存起来就行。
若存的是未旋转的键，每一步都得重新旋转。

*键在 `repeat_kv` 之前存还是之后存？* 之前：省就省在只保存 $H_{kv}$ 个头。

构造函数已经给出；请写 `forward`。
"""

# %% exercise="cached_attention"
from ladder.solutions.stage2_architecture.day22_gqa_and_kv_cache import GQAttention

# %% [markdown] lang="zh" docstring="GQAttention"
r"""
带 RoPE 的因果分组查询注意力层：``GQAttention(d, h, h_kv)``。

``wq``（d 到 d 个通道）、``wk`` 与 ``wv``（d 到 h_kv·d/h）以及 ``wo``（d 到 d）都是没有偏置的
``nn.Linear``；``h`` 与 ``h_kv`` 会保存下来。每个头有 d/h 个通道，在投影的输出里依次排列，
与第 11 天的 ``split_heads`` 一致。
"""

# %% [markdown] lang="zh" docstring="GQAttention.forward"
r"""
T 个 token ``x`` 的输出，形状 (B, T, d)。

``cos`` 与 ``sin`` 是第 21 天的表中对应这 T 个 token 位置的行；查询与键用第 21 天的 ``apply_rope`` 旋转，
值不旋转。

没有缓存时，``x`` 是整个序列。有缓存时，``x`` 是接在缓存内容之后的 T 个 token：它们旋转后的键以及它们的值
存入缓存，它们可以看所有已存的 token，也可以看彼此。两种情形下注意力都是因果的：每个 token 看得到自己以及
之前的所有 token。所以一个序列可以分成任意多段，每段调用一次，输出与不用缓存、一次给完时相同。
"""

# %% [markdown] hint="cached_attention" lang="en"
r"""
Write it without a cache first; the first three observations then pass. Where does the cache come in so that everything behind it need not know of it?
"""

# %% [markdown] hint="cached_attention" lang="zh"
r"""
先写不用缓存的版本，前三项观察就能通过。缓存插在哪里，才能使它后面的代码都不必知道它的存在？
"""

# %% [markdown] hint="cached_attention" lang="en"
r"""
Queries have self.h heads, keys and values self.h_kv. After the rotation, let the cache replace k and v by all keys and values so far. The mask then follows from the lengths of q and k alone, in both cases.
"""

# %% [markdown] hint="cached_attention" lang="zh"
r"""
查询有 self.h 个头，键和值有 self.h_kv 个。旋转之后，让缓存把 k 与 v 换成到目前为止的全部键和值。此后掩码只由 q 与 k 的长度决定，两种情形都一样。
"""

# %%
from ladder.graders.stage2_architecture.day22_gqa_and_kv_cache import check_cached_attention

check_cached_attention(GQAttention, KVCache)

# %% [markdown] lang="en"
r"""
## 6 · Generating

The next cell gives you a small language model, `TinyLM`: embeddings, pre-norm blocks with your attention layer, logits. Its `start` says at which position the first token of `idx` stands; from it the model takes the rows of the RoPE tables. `make_caches` makes one cache
for each block.

The model cannot know where a token stands, only you can: the cache holds what came *before*, `start` says *where we are*. Forget `start` and every new token stands at position 0. Nothing crashes. The text merely gets worse.
"""

# %% [markdown] lang="zh"
r"""
## 6 · 生成

下面的单元格给出一个小语言模型 `TinyLM`：嵌入，含有你的注意力层的 Pre-Norm Block，logits。参数 `start` 说明 `idx` 的第一个 token 位于哪个位置；模型据此取 RoPE 表的行。`make_caches` 为每个 Block
建立一个缓存。

模型无从知道 token 位于哪里，只有你知道：缓存里是*之前*的内容，`start` 说的是*现在到了哪里*。忘了 `start`，每个新 token 都会位于位置 0。程序不会崩溃，只是文本变差了。
"""

# %% exercise="generate"
from ladder.solutions.stage2_architecture.day22_gqa_and_kv_cache import TinyConfig, TinyLM, make_caches, generate

# %% [markdown] lang="zh" docstring="generate"
r"""
为 ``B`` 段提示各续写 ``n`` 个 token，每次取最可能的那个（greedy）。

``model(idx, caches=None, start=0)`` 为位于位置 start, ..., start + T − 1 的 T 个 token 给出 logits，形状
(B, T, vocab)。若给了由 ``make_caches(model, B, max_len)`` 建立的 ``caches``，它把这 T 个 token 追加进去，
并对其中的全部内容做注意力。

返回形状 (B, T + n) 的 int64 张量：先是提示，然后是新 token；n >= 0。下一个 token 是最后一个 token 之后
logit 最大的那个。模型被调用 n 次，每个新 token 一次：

- ``cache=False``：每次都送入到目前为止的整个序列，不用缓存；
- ``cache=True``：第一次送入整段提示，以后每次只送入最新的一个 token，并给出它自己的位置。每次调用
  ``generate`` 都重新建立缓存，至多容纳 T + n 个 token。

两种方式给出相同的 token。不记录梯度（模型在 ``torch.no_grad()`` 中运行）；``idx`` 不被修改。
T + n <= model.cfg.max_len，T >= 1。
"""

# %% [markdown] hint="generate" lang="en"
r"""
Write cache=False first. Then ask at each step: which tokens has the model not read yet, and at which position does the first of them stand?
"""

# %% [markdown] hint="generate" lang="zh"
r"""
先写 cache=False。然后在每一步问：哪些 token 模型还没有读过？其中第一个位于哪个位置？
"""

# %% [markdown] hint="generate" lang="en"
r"""
Unread are first the whole prompt, at position 0, later the token just chosen. Its position is the number of tokens before it. The last token chosen is never fed.
"""

# %% [markdown] hint="generate" lang="zh"
r"""
没读过的，起初是整段提示，从位置 0 开始；以后是刚刚选出的那个 token，它的位置等于它之前的 token 数。最后选出的 token 不再送入。
"""

# %%
from ladder.graders.stage2_architecture.day22_gqa_and_kv_cache import check_generate

check_generate(generate)

# %% [markdown] lang="en"
r"""
The check's model is watched; now try your own. Random weights write nonsense, but the question here is another one: is it the *same* nonsense? Then what goes wrong when positions restart.
"""

# %% [markdown] lang="zh"
r"""
检验用的模型是被监视的；现在换你自己的。随机权重写不出有意义的内容，但这里的问题是另一个：是不是*同样*的内容？然后看位置重新从零开始时会出什么问题。
"""

# %%
torch.manual_seed(0)
model = TinyLM(TinyConfig(vocab=256, d=128, L=4, h=8, h_kv=2, max_len=256)).eval()
prompt = torch.randint(256, (2, 12))
slow, fast = (generate(model, prompt, 24, cache=cache) for cache in (False, True))
print("same tokens:", torch.equal(slow, fast))
text = slow[:1]
gaps = {}
with torch.no_grad():
    whole = model(text)[0]
    for name, right in (("own position", True), ("always position 0", False)):
        caches = make_caches(model, 1, text.shape[1])
        steps = [model(text[:, t : t + 1], caches=caches, start=t if right else 0) for t in range(text.shape[1])]
        gaps[name] = (torch.cat(steps, dim=1)[0] - whole).abs().amax(dim=1)
fig, ax = plt.subplots(figsize=(6.5, 3), layout="constrained")
for name, gap in gaps.items():
    ax.semilogy(gap.clamp(min=1e-9), ".-", label=name)
ax.set(xlabel="token", ylabel="largest error of a logit", title="token by token, against one piece without a cache")
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
The lower curve is float32 rounding: the matrices have other shapes, so sums are taken in another order. Where two logits are nearly equal, greedy decoding can therefore differ between the two ways in float32 or bfloat16, without a bug on either side. Compare logits,
not only tokens.

## 7 · How large is it?

For each layer, sequence, kv head and token the cache keeps $d$ numbers, twice. With $s$ bytes for a number:

$$\text{bytes} = 2\,L\,H_{kv}\,d\,T\,B\,s$$

The number of *query* heads does not occur. That is the whole idea of MQA and GQA.
"""

# %% [markdown] lang="zh"
r"""
下面那条曲线是 float32 的舍入误差：矩阵形状不同，求和的次序也就不同。所以当两个 logit 几乎相等时，在 float32 或 bfloat16 下，两种方式的 greedy 解码可能得到不同的 token，而两边都没有错误。要比较 logits，
不要只比较 token。

## 7 · 它有多大？

每一层、每个序列、每个键值头、每个 token，缓存都保存 $d$ 个数，两份。设一个数占 $s$ 字节：

$$\text{bytes} = 2\,L\,H_{kv}\,d\,T\,B\,s$$

*查询*头的个数没有出现。MQA 与 GQA 的全部想法就在于此。
"""

# %% exercise="kv_cache_bytes"
from ladder.solutions.stage2_architecture.day22_gqa_and_kv_cache import kv_cache_bytes

# %% [markdown] lang="zh" docstring="kv_cache_bytes"
r"""
整个模型的 KV Cache 占多少字节。

``L`` 层，每层 ``Hkv`` 个键值头，每头 ``d`` 个通道，``B`` 个序列各 ``T`` 个 token，数的类型是 torch 的
``dtype``。精确的 int：L 个 ``KVCache(B, Hkv, T, d, dtype)`` 对象的 ``k`` 与 ``v`` 的总大小。
不要真的建立这么大的东西。
"""

# %% [markdown] hint="kv_cache_bytes" lang="en"
r"""
Count the numbers in one layer's cache first, then the layers, then the bytes of a number. What do k and v have in common?
"""

# %% [markdown] hint="kv_cache_bytes" lang="zh"
r"""
先数一层的缓存里有多少个数，再算层数，再算一个数的字节数。k 与 v 有什么共同点？
"""

# %% [markdown] hint="kv_cache_bytes" lang="en"
r"""
A torch dtype knows its size: look at its attributes. Keep to integers.
"""

# %% [markdown] hint="kv_cache_bytes" lang="zh"
r"""
torch 的 dtype 知道自己的大小：看看它有哪些属性。全程用整数。
"""

# %%
from ladder.graders.stage2_architecture.day22_gqa_and_kv_cache import check_kv_cache_bytes

check_kv_cache_bytes(kv_cache_bytes)

# %% [markdown] lang="en"
r"""
Three real models, one of each kind; each has 32 layers. A dot marks the context that the model was trained for.

| model | query heads | kv heads | channels of a head | context | source |
| --- | --- | --- | --- | --- | --- |
| Llama-2-7B (MHA) | 32 | 32 | 128 | 4096 | [arXiv 2302.13971](https://arxiv.org/abs/2302.13971) table 2, [2307.09288](https://arxiv.org/abs/2307.09288) table 1 |
| Llama-3-8B (GQA) | 32 | 8 | 128 | 8192 | [arXiv 2407.21783](https://arxiv.org/abs/2407.21783) table 3, [config.json](https://huggingface.co/meta-llama/Meta-Llama-3-8B) |
| Falcon-7B (MQA) | 71 | 1 | 64 | 2048 | [config.json](https://huggingface.co/tiiuae/falcon-7b), [arXiv 2311.16867](https://arxiv.org/abs/2311.16867) |
"""

# %% [markdown] lang="zh"
r"""
三个真实的模型，每种一个，都是 32 层。圆点标出模型训练时的上下文长度。

| 模型 | 查询头 | 键值头 | 每头通道数 | 上下文 | 来源 |
| --- | --- | --- | --- | --- | --- |
| Llama-2-7B（MHA） | 32 | 32 | 128 | 4096 | [arXiv 2302.13971](https://arxiv.org/abs/2302.13971) 表 2，[2307.09288](https://arxiv.org/abs/2307.09288) 表 1 |
| Llama-3-8B（GQA） | 32 | 8 | 128 | 8192 | [arXiv 2407.21783](https://arxiv.org/abs/2407.21783) 表 3，[config.json](https://huggingface.co/meta-llama/Meta-Llama-3-8B) |
| Falcon-7B（MQA） | 71 | 1 | 64 | 2048 | [config.json](https://huggingface.co/tiiuae/falcon-7b)，[arXiv 2311.16867](https://arxiv.org/abs/2311.16867) |
"""

# %%
models = {"Llama-2-7B (MHA)": (32, 128, 4096), "Llama-3-8B (GQA)": (8, 128, 8192), "Falcon-7B (MQA)": (1, 64, 2048)}
contexts = [2**k for k in range(9, 18)]
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, (Hkv, d, trained) in models.items():
    line, = ax.loglog(contexts, [kv_cache_bytes(32, Hkv, d, T, 1, torch.bfloat16) / 2**30 for T in contexts], label=name)
    at = kv_cache_bytes(32, Hkv, d, trained, 1, torch.bfloat16)
    ax.plot(trained, at / 2**30, "o", color=line.get_color())
    print(f"{name:17}  {kv_cache_bytes(32, Hkv, d, 1, 1, torch.bfloat16) / 1024:5.0f} KiB a token, "
          f"{at / 2**30:.4g} GiB at {trained} tokens")
heads = [kv_cache_bytes(32, 1, 128, T, 1, torch.bfloat16) / 2**30 for T in contexts]
ax.loglog(contexts, heads, "k:", label="Llama-3-8B's sizes with one kv head (MQA)")
ax.set(xlabel="tokens of context", ylabel="GiB for one sequence, bfloat16", title="KV cache")
ax.set_xticks(contexts, [str(T) for T in contexts])
ax.grid(alpha=0.3)
ax.legend(loc="lower right", fontsize=8)
plt.show()

# %% [markdown] lang="en"
r"""
One sequence looks harmless. A server answers many at once: 64 sequences of 8192 tokens take 64 GiB with Llama-3-8B's eight heads, four times its weights (8 billion numbers, 15 GiB), and 256 GiB with 32 heads. The cache decides how many users fit on a GPU, and most of it lies empty if
every sequence is given its longest length in advance: in the systems that Kwon et al. measured, 20.4% to 38.2% of it held tokens ([arXiv 2309.06180](https://arxiv.org/abs/2309.06180), section 1). Day 40 takes that up.

**Why smaller is also faster.** In one decoding step a layer reads, for each sequence, $2TH_{kv}d$ cached numbers, and with them does about $4TH_qd$ operations (a multiplication and an addition for each entry in $qk^\top$ and again in the weighted sum of values). Operations per byte:

$$\frac{4\,T\,H_q\,d}{2\,T\,H_{kv}\,d\,s} = \frac{2}{s}\cdot\frac{H_q}{H_{kv}}$$

In bfloat16 ($s=2$) that is $H_q/H_{kv}$: 1 for Llama-2-7B, 4 for Llama-3-8B. An H100 can do $989\cdot10^{12}$ bfloat16 operations a second and read $3.35\cdot10^{12}$ bytes ([data sheet](https://www.nvidia.com/en-us/data-center/h100/), SXM, without sparsity): about 295 operations for each byte. So the
arithmetic units wait, and time is proportional to the bytes. $T$ and $B$ have cancelled: unlike weights, which one read serves for the whole batch, caches are not shared, and a larger batch does not help. Shazeer's section 2.4.1 makes the same argument: the ratio of memory to arithmetic
in incremental multi-head attention is $\Theta(n/d + 1/b)$, with his $n$ tokens, $d$ model channels and $b$ sequences.

## 8 · The clock

Last, the time of each token, with your `generate` on this machine: one sequence, a small model with random weights, so only the *shape* of the curves carries over to large ones.
"""

# %% [markdown] lang="zh"
r"""
一个序列看起来无关紧要，但服务器要同时回答许多个：64 个 8192 token 的序列，用 Llama-3-8B 的八个头需要 64 GiB，是它的权重（80 亿个数，15 GiB）的四倍；用 32 个头则需要 256 GiB。一块 GPU 上能容纳多少用户由缓存决定，而如果
预先按最长长度给每个序列分配，其中大部分都是空着的：在 Kwon 等测量的系统里，只有 20.4% 到 38.2% 真正存着 token（[arXiv 2309.06180](https://arxiv.org/abs/2309.06180)，1 节）。第 40 天处理这个问题。

**为什么变小也就变快。** 解码一步时，一层为每个序列读 $2TH_{kv}d$ 个缓存的数，并用它们做大约 $4TH_qd$ 次运算（$qk^\top$ 的每个元素一次乘法、一次加法，对值加权求和时再来一遍）。每字节的运算次数：

$$\frac{4\,T\,H_q\,d}{2\,T\,H_{kv}\,d\,s} = \frac{2}{s}\cdot\frac{H_q}{H_{kv}}$$

用 bfloat16（$s=2$）时就是 $H_q/H_{kv}$：Llama-2-7B 是 1，Llama-3-8B 是 4。H100 每秒能做 $989\cdot10^{12}$ 次 bfloat16 运算，能读 $3.35\cdot10^{12}$ 字节（[数据表](https://www.nvidia.com/en-us/data-center/h100/)，SXM，不计稀疏）：每字节约 295 次。所以
算术单元在等待，时间与字节数成正比。$T$ 与 $B$ 都约掉了：权重读一次可供整个批次使用，缓存却不能共用，加大批次也没有帮助。Shazeer 的 2.4.1 节作了同样的论证：逐步解码的多头注意力，内存访问与算术之比是
$\Theta(n/d + 1/b)$，其中（按他的记号）$n$ 是 token 数，$d$ 是模型通道数，$b$ 是序列数。

## 8 · 计时

最后，用你的 `generate` 在这台机器上测每个 token 的时间：一个序列，一个随机权重的小模型，所以能推广到大模型的只有曲线的*形状*。
"""

# %%
quick = os.environ.get("LADDER_QUICK") == "1"  # for automatic tests: fewer tokens
n = 40 if quick else 120


def milliseconds_per_token(cache):
    stamps = []
    hook = model.register_forward_hook(lambda *_: stamps.append(time.perf_counter()))
    generate(model, prompt[:1], n, cache=cache)
    hook.remove()
    return torch.tensor(stamps, dtype=torch.float64).diff() * 1e3


fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for cache in (False, True):
    generate(model, prompt[:1], 4, cache=cache)  # the first calls take longer
    ms = torch.stack([milliseconds_per_token(cache) for _ in range(2)]).amin(dim=0)
    ax.plot(range(prompt.shape[1] + 1, prompt.shape[1] + n), ms, label=f"cache={cache}")
    print(f"cache={cache!s:5}  {ms[:10].mean():6.2f} ms a token at first, {ms[-10:].mean():6.2f} ms at the end")
ax.set(xlabel="tokens so far", ylabel="ms for the next token (better of 2 runs)", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
Without a cache the time grows with the text; with it the curve is nearly flat. On a large model it rises slowly again once the cache, not the weights, is most of what a step reads. That is where GQA pays.

## What you have now

| name | what it is for |
| --- | --- |
| `repeat_kv`, `gqa` | every block of tomorrow's Llama |
| `KVCache`, `cached_mask` | decoding with tomorrow's Llama |
| `generate` | text from a real checkpoint tomorrow; Day 98 speeds it up |
| `kv_cache_bytes` | planning memory: Day 40's pages replace the one long piece |

Tomorrow you put RMSNorm, SwiGLU, RoPE and this attention together and load a real checkpoint.
"""

# %% [markdown] lang="zh"
r"""
不用缓存时，时间随文本增长；用缓存时，曲线几乎是平的。在大模型上，当一步所读的主要是缓存而不再是权重时，它又会缓缓上升。GQA 的好处就在那里。

## 你现在拥有的工具

| 名称 | 用途 |
| --- | --- |
| `repeat_kv`、`gqa` | 明天的 Llama 的每个 Block |
| `KVCache`、`cached_mask` | 用明天的 Llama 解码 |
| `generate` | 明天用真实的检查点写文本；第 98 天给它加速 |
| `kv_cache_bytes` | 规划内存：第 40 天用页取代这一整块内存 |

明天把 RMSNorm、SwiGLU、RoPE 和今天的注意力组装起来，并加载一个真实的检查点。
"""

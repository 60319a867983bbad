# %% [markdown] lang="en"
r"""
# Day 11 · Multi-head attention and causal mask

Yesterday a token could ask one question of the sequence. Today it asks $h$ questions at once, and a mask decides who
may answer. The arithmetic is Day 10's; what goes wrong is the order of axes, and it goes wrong silently: shapes fit, the loss
falls, and the model has read the future.

At the end of the day you can

- split channels into heads and merge them, and say what `view`, `transpose` and `reshape` do to memory;
- write multi-head attention as a function and as a layer that gives the same numbers as `nn.MultiheadAttention`;
- mask the future and the padding, and *test* that nothing leaks;
- say what a second head can do that one head cannot, prove it, and see it in training.

**Read first** (one hour): Vaswani et al., *Attention Is All You Need*,
[arXiv 1706.03762](https://arxiv.org/abs/1706.03762), sections 3.2.2 and 3.2.3, and Jay Alammar,
[The Illustrated Transformer](https://jalammar.github.io/illustrated-transformer/), from "Self-Attention in Detail" to "The Beast With
Many Heads". Hung-yi Lee's lectures on self-attention and the Transformer
([videos](https://www.youtube.com/playlist?list=PLJV_el3uVTsMhtt7_Y6sgTHGHp1Vb2P2J)) tell the same story in Chinese. Plan three hours for the rest.
"""

# %% [markdown] lang="zh"
r"""
# 第 11 天 · 多头注意力与因果掩码

昨天，一个 token 只能向整个序列问一个问题。今天它一次问 $h$ 个问题，并由掩码决定谁可以回答。算术还是第 10 天的算术；
容易出错的是轴的次序，而且错得悄无声息：形状对得上，损失在下降，模型却偷看了未来。

学完这一天，你能够

- 把通道拆成多个头再合并回来，并说清 `view`、`transpose`、`reshape` 各自对内存做了什么；
- 把多头注意力写成函数，再写成网络层，数值与 `nn.MultiheadAttention` 一致；
- 屏蔽未来与填充，并且*检验*没有任何泄漏；
- 说出第二个头能做、而一个头做不到的事，证明它，并在训练中看到它。

**先读**（约一小时）：Vaswani 等，*Attention Is All You Need*，
[arXiv 1706.03762](https://arxiv.org/abs/1706.03762)，3.2.2 与 3.2.3 节；以及 Jay Alammar 的
[The Illustrated Transformer](https://jalammar.github.io/illustrated-transformer/)，从“Self-Attention in Detail”读到“The Beast With
Many Heads”。李宏毅关于 self-attention 与 Transformer 的课
（[视频](https://www.youtube.com/playlist?list=PLJV_el3uVTsMhtt7_Y6sgTHGHp1Vb2P2J)）用中文讲了同样的内容。其余部分约需三小时。
"""

# %% setup
import math
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ladder.earlier.day10_scaled_dot_product_attention import safe_softmax, sdpa
from ladder.training import Training

# %% [markdown] lang="en"
r"""
## 1 · From channels to heads

Section 3.2.2 of the paper: project queries, keys and values $h$ times with different learned matrices, attend with each, concatenate the
results and project once more:

$$\mathrm{MultiHead}(x) = \mathrm{Concat}(\mathrm{head}_1,\dots,\mathrm{head}_h)\,W^O,\qquad \mathrm{head}_i = \mathrm{Attention}(xW^Q_i,\ xW^K_i,\ xW^V_i)$$

with $W^Q_i, W^K_i, W^V_i\in\mathbb{R}^{d\times d_k}$, $d_k = d/h$ and $W^O\in\mathbb{R}^{d\times d}$. Nobody multiplies $3h$ small matrices. Put the $W^Q_i$ side by side into one
$W^Q\in\mathbb{R}^{d\times d}$: a single product $xW^Q$ holds the queries of all heads, those of head $i$ in channels $i\,d_k$ to $(i+1)d_k-1$ (counting from 0). Then let the heads be an axis
like the batch, and one batched call of `sdpa` serves them all in parallel. It works on the last two axes, so tokens and channels must
come last: $(B, T, d)\to(B, h, T, d_k)$.
"""

# %% [markdown] lang="zh"
r"""
## 1 · 从通道到头

论文 3.2.2 节：用不同的可学习矩阵把查询、键、值投影 $h$ 次，分别做注意力，把结果拼接起来，再投影一次：

$$\mathrm{MultiHead}(x) = \mathrm{Concat}(\mathrm{head}_1,\dots,\mathrm{head}_h)\,W^O,\qquad \mathrm{head}_i = \mathrm{Attention}(xW^Q_i,\ xW^K_i,\ xW^V_i)$$

其中 $W^Q_i, W^K_i, W^V_i\in\mathbb{R}^{d\times d_k}$，$d_k = d/h$，$W^O\in\mathbb{R}^{d\times d}$。没有人真的去乘 $3h$ 个小矩阵。把各个 $W^Q_i$ 并排放进一个
$W^Q\in\mathbb{R}^{d\times d}$：一次乘法 $xW^Q$ 就得到所有头的查询，第 $i$ 个头占通道 $i\,d_k$ 到 $(i+1)d_k-1$（从 0 数起）。然后让头成为一个与批次
类似的轴，一次批量调用 `sdpa` 就能并行处理所有的头。它作用在最后两个轴上，所以 token 与通道必须排在最后：$(B, T, d)\to(B, h, T, d_k)$。
"""

# %% exercise="split_and_merge"
from ladder.solutions.stage1_foundation.day11_multi_head_attention import split_heads, merge_heads

# %% [markdown] lang="zh" docstring="split_heads"
r"""
把每个 token 的 ``d`` 个通道分给 ``h`` 个头；d_head = d / h。

第 i 个头依次得到每个 token 的通道 i·d_head 到 (i+1)·d_head − 1：

    result[b, i, t, j] = x[b, t, i·d_head + j]。

返回形状 (B, h, T, d_head)。``x`` 的内存布局可以是任意的。若 ``h`` 不整除 d，则抛出 ValueError。
"""

# %% [markdown] lang="zh" docstring="merge_heads"
r"""
把每个 token 的各个头重新并排放好：``split_heads`` 的逆操作。

    result[b, t, i·d_head + j] = x[b, i, t, j]，    d = h·d_head。

返回形状 (B, T, d)。``x`` 的内存布局可以是任意的。
"""

# %% [markdown] hint="split_and_merge" lang="en"
r"""
Do it in two moves. One move only cuts an axis into two (no entry changes its place in memory); the other only exchanges axes. Which axis has to
be cut, and into what?
"""

# %% [markdown] hint="split_and_merge" lang="zh"
r"""
分两步走。一步只把一个轴切成两个（没有元素在内存中移动）；另一步只交换轴。要切的是哪个轴？切成什么？
"""

# %% [markdown] hint="split_and_merge" lang="en"
r"""
Splitting goes through the shape (B, T, h, d_head), and so does merging, in reverse: axes first, then the cut undone. After transpose,
view may refuse; reshape copies where it must.
"""

# %% [markdown] hint="split_and_merge" lang="zh"
r"""
拆分要经过形状 (B, T, h, d_head)，合并也要经过它，只是反过来：先换轴，再把切开的接上。transpose 之后 view 可能会拒绝；
reshape 在必要时会复制。
"""

# %%
from ladder.graders.stage1_foundation.day11_multi_head_attention import check_split_heads

check_split_heads(split_heads)

# %%
from ladder.graders.stage1_foundation.day11_multi_head_attention import check_merge_heads

check_merge_heads(merge_heads)

# %% [markdown] lang="en"
r"""
## 2 · The trap

A tensor is a flat row of numbers plus a *shape* and *strides*: how far to walk in that row when an index grows by one. For a contiguous $x$ of shape
$(B, T, d)$, entry $[b, t, c]$ lies at place $(bT + t)\,d + c$. `transpose` exchanges shape and strides and moves nothing. `view` keeps the row and reads it
with new indices, so it needs a row that is in order. `reshape` is `view` where that is possible, else a copy.
"""

# %% [markdown] lang="zh"
r"""
## 2 · 陷阱

张量是一长排数，外加*形状*（shape）与*步幅*（stride）：某个下标加一时，要在那一排数里走多远。对形状为
$(B, T, d)$ 的连续张量 $x$，元素 $[b, t, c]$ 位于第 $(bT + t)\,d + c$ 个位置。`transpose` 只交换形状与步幅，什么都不搬动。`view` 保留那一排数，
换一套下标来读，所以要求它们按次序排列。`reshape` 在能用 `view` 时就是 `view`，否则就复制。
"""

# %%
table = torch.arange(6).reshape(2, 3)
turned = table.T
print("table :", table.tolist(), "strides", table.stride())
print("turned:", turned.tolist(), "strides", turned.stride(), "same memory:", turned.data_ptr() == table.data_ptr())
print("turned.reshape(6):", turned.reshape(6).tolist())
try:
    turned.view(6)
except RuntimeError as error:
    print("turned.view(6):", str(error).split(". ")[0])

# %% [markdown] lang="en"
r"""
Now the mistake that everybody makes once: `x.view(B, h, T, d // h)`. It has the right shape at once, and no error. But what does it read? For one sequence, find the place in
memory of entry $[i, t, j]$ of a contiguous tensor of shape $(h, T, d_k)$, and then which token and channel of $x$ live there.
"""

# %% [markdown] lang="zh"
r"""
现在来看人人都会犯一次的错误：`x.view(B, h, T, d // h)`。它一步就得到了正确的形状，也不报错。但它读到的是什么？对一个序列，先求出形状为
$(h, T, d_k)$ 的连续张量中元素 $[i, t, j]$ 在内存里的位置，再看住在那里的是 $x$ 的哪个 token、哪个通道。
"""

# %% exercise="view_trap"
from ladder.solutions.stage1_foundation.day11_multi_head_attention import view_trap

# %% [markdown] lang="zh" docstring="view_trap"
r"""
错误的拆分 ``x.view(B, h, T, d // h)`` 的各个元素来自哪里。

``x`` 形状为 (B, T, d)，内存连续，``h`` 整除 ``d``。返回两个 int64 张量 ``(token, channel)``，
形状都是 (h, T, d // h)，使得对每个 b 都有

    x.view(B, h, T, d // h)[b, i, t, j] = x[b, token[i, t, j], channel[i, t, j]]。
"""

# %% [markdown] hint="view_trap" lang="en"
r"""
Number the entries of one sequence in memory order, 0 to T·d − 1. What does such a number tell about the token and the channel?
"""

# %% [markdown] hint="view_trap" lang="zh"
r"""
把一个序列的元素按内存次序编号，从 0 到 T·d − 1。这样一个编号能告诉你是哪个 token、哪个通道吗？
"""

# %% [markdown] hint="view_trap" lang="en"
r"""
The place of [i, t, j] is i·T·d_k + t·d_k + j; the same numbers come from viewing torch.arange(T * d). In x the place n belongs to token n div d, channel n mod d.
"""

# %% [markdown] hint="view_trap" lang="zh"
r"""
[i, t, j] 的位置是 i·T·d_k + t·d_k + j；对 torch.arange(T * d) 做 view 也能得到这些数。在 x 里，位置 n 属于 token n div d、通道 n mod d。
"""

# %%
from ladder.graders.stage1_foundation.day11_multi_head_attention import check_view_trap

check_view_trap(view_trap)

# %%
T, d, h = 6, 12, 3
token, channel = view_trap(T, d, h)
x = torch.arange(T * d).view(1, T, d)
right = split_heads(x, h)[0] // d
fig, axes = plt.subplots(2, h, figsize=(9, 5), layout="constrained")
for row, name, source in ((0, "split_heads", right), (1, "view", token)):
    for i, ax in enumerate(axes[row]):
        ax.imshow(source[i], cmap="viridis", vmin=0, vmax=T + 1, aspect="auto")
        for t in range(T):
            for j in range(d // h):
                ax.text(j, t, int(source[i, t, j]), ha="center", va="center", color="w", fontsize=9)
        ax.set(title=f"{name}: head {i}", xlabel="channel of the head", ylabel="row $t$", xticks=[])
fig.suptitle("which token an entry comes from")
plt.show()

# %% [markdown] lang="en"
r"""
Above, row $t$ of each head is token $t$. Below, head 0 sees only the first third of the sequence, head 2 only the last, and row 0 of head 2 is token 4: whatever a causal mask
forbids, it forbids the wrong thing. Remember the picture; part 5 shows what it costs.

## 3 · Multi-head attention

You have all the parts.
"""

# %% [markdown] lang="zh"
r"""
上排中，每个头的第 $t$ 行就是 token $t$。下排中，第 0 个头只看得到序列的前三分之一，第 2 个头只看得到后三分之一，而第 2 个头的第 0 行竟是 token 4：
不论因果掩码禁止什么，它禁止的都不是该禁止的。记住这幅图，第 5 部分会看到它的代价。

## 3 · 多头注意力

零件都齐了。
"""

# %% exercise="mha"
from ladder.solutions.stage1_foundation.day11_multi_head_attention import mha

# %% [markdown] lang="zh" docstring="mha"
r"""
多头自注意力，arXiv 1706.03762 的 3.2.2 节：

    MultiHead(x) = Concat(head_1, ..., head_h) W_O，
    head_i = Attention(x W_Q,i, x W_K,i, x W_V,i)，    d_k = d_v = d / h。

``params`` 含四个 (d, d) 矩阵："Wq"、"Wk"、"Wv" 和 "Wo"。h 个矩阵 W_Q,i 在 ``Wq`` 里并排放着：
前 d_k 列属于第一个头，依此类推；"Wk" 与 "Wv" 也一样。没有偏置。注意力就是第 10 天的 ``sdpa``。

``mask`` 是可以广播到 (B, h, T, T) 的 bool 张量：[b, i, t, s] 处为 True，表示在第 i 个头里 token t
可以看 token s。``None`` 表示全部允许。若一个 token 在所有头里都什么也不能看，则结果为零。
若 ``h`` 不整除 d，则抛出 ValueError。返回形状 (B, T, d)。

用张量运算写出：不用 torch.nn，不用现成的注意力。
"""

# %% [markdown] hint="mha" lang="en"
r"""
Write the shape beside every line: (B, T, d) after a projection, (B, h, T, d_k) for attention, (B, T, d) before Wo. The mask needs nothing from you if
the heads stand where the docstring's (B, h, T, T) has them.
"""

# %% [markdown] hint="mha" lang="zh"
r"""
在每一行旁边写下形状：投影之后是 (B, T, d)，做注意力时是 (B, h, T, d_k)，乘 Wo 之前是 (B, T, d)。
只要头这个轴位于 docstring 中 (B, h, T, T) 所示的位置，掩码就不需要你再做什么。
"""

# %% [markdown] hint="mha" lang="en"
r"""
Project with the whole matrices first, then split each of the three results; never split x or the matrices. sdpa takes its scale from the last axis of
the keys, which is d_k after the split. Merge, then multiply by Wo.
"""

# %% [markdown] hint="mha" lang="zh"
r"""
先用整个矩阵投影，再把三个结果分别拆开；不要去拆 x 或矩阵。sdpa 的缩放取自键的最后一个轴，拆开之后它就是 d_k。
合并，然后乘 Wo。
"""

# %%
from ladder.graders.stage1_foundation.day11_multi_head_attention import check_mha

check_mha(mha)

# %% [markdown] lang="en"
r"""
How are the heads combined? "Concatenate and project" hides a sum. Cut $W^O$ into $h$ blocks of $d_k$ *rows*; block multiplication gives

$$\mathrm{Concat}(\mathrm{head}_1,\dots,\mathrm{head}_h)\,W^O = \sum_{i=1}^{h}\mathrm{head}_i\,W^O_i,\qquad W^O_i\in\mathbb{R}^{d_k\times d}$$

Each head writes its own vector into the token's $d$ channels and the vectors are added. Nothing keeps two heads from writing into the same channels.
"""

# %% [markdown] lang="zh"
r"""
各个头是怎样合并的？“拼接再投影”其实是一个求和。把 $W^O$ 按*行*切成 $h$ 块，每块 $d_k$ 行；由分块乘法得

$$\mathrm{Concat}(\mathrm{head}_1,\dots,\mathrm{head}_h)\,W^O = \sum_{i=1}^{h}\mathrm{head}_i\,W^O_i,\qquad W^O_i\in\mathbb{R}^{d_k\times d}$$

每个头把自己的向量写进 token 的 $d$ 个通道，这些向量再相加。两个头完全可以写进相同的通道。
"""

# %% exercise="head_contributions"
from ladder.solutions.stage1_foundation.day11_multi_head_attention import head_contributions

# %% [markdown] lang="zh" docstring="head_contributions"
r"""
每个头给 ``mha`` 的输出贡献了什么。

Concat(head_1, ..., head_h) W_O 是一个和，每个头对应一项。返回这 h 项，沿新的第一个轴叠放
（形状 (h, B, T, d)），使得

    head_contributions(x, params, h, mask).sum(dim=0) = mha(x, params, h, mask)，

并且第 i 项只取决于第 i 个头：把 "Wv" 中第 i 个头的列置零，这一项就变成零，其余各项不变。
参数的含义与 ``mha`` 相同。
"""

# %% [markdown] hint="head_contributions" lang="en"
r"""
Everything up to sdpa is the same as in mha. Then do not merge: which rows of Wo does channel j of head i meet after concatenation?
"""

# %% [markdown] hint="head_contributions" lang="zh"
r"""
到 sdpa 为止都与 mha 相同。之后不要合并：拼接以后，第 i 个头的第 j 个通道乘的是 Wo 的哪一行？
"""

# %% [markdown] hint="head_contributions" lang="en"
r"""
Row i·d_k + j of Wo. So Wo cut into h blocks of rows has the shape (h, d_k, d), and the term of head i is its (B, T, d_k) output times block i. A batched product or an
einsum with an index for the head does all of them.
"""

# %% [markdown] hint="head_contributions" lang="zh"
r"""
是 Wo 的第 i·d_k + j 行。所以 Wo 按行切成 h 块后形状为 (h, d_k, d)，第 i 个头的那一项就是它的 (B, T, d_k) 输出乘第 i 块。
批量矩阵乘法，或者给头也留一个下标的 einsum，都能一次算完。
"""

# %%
from ladder.graders.stage1_foundation.day11_multi_head_attention import check_head_contributions

check_head_contributions(head_contributions)

# %% [markdown] lang="en"
r"""
## 4 · Two masks

A language model is trained on all positions at once: the output at $t$ predicts token $t+1$. If token $t$ could attend to token $t+1$, the answer would stand in the question. Section 3.2.3 of the paper sets the scores
of "illegal connections" to $-\infty$ before the softmax, which makes their weights exactly 0. That is the **causal mask**.

A batch holds sequences of different lengths, filled up with padding. The **padding mask** keeps real tokens from reading it. It differs from sequence to sequence but is the
same for every head and every token that looks: hence the shape $(B, 1, 1, T)$, which broadcasts to $(B, h, T, T)$.
"""

# %% [markdown] lang="zh"
r"""
## 4 · 两种掩码

语言模型同时在所有位置上训练：位置 $t$ 的输出预测 token $t+1$。如果 token $t$ 能看到 token $t+1$，答案就写在题目里了。论文 3.2.3 节在 softmax 之前把
“非法连接”的得分设为 $-\infty$，于是它们的权重恰好为 0。这就是**因果掩码**。

一个批次里的序列长短不一，要用填充补齐。**填充掩码**不让真实 token 去读填充。它因序列而异，但对每个头、每个在看的 token 都相同：
所以形状是 $(B, 1, 1, T)$，可以广播到 $(B, h, T, T)$。
"""

# %% exercise="masks"
from ladder.solutions.stage1_foundation.day11_multi_head_attention import causal_mask, padding_mask

# %% [markdown] lang="zh" docstring="causal_mask"
r"""
语言模型的掩码：s <= t 时元素 [t, s] 为 True，否则为 False。

形状 (T, T) 的 bool 张量。token t 可以看自己以及它之前的所有 token。
"""

# %% [markdown] lang="zh" docstring="padding_mask"
r"""
一批末尾用填充补到 ``T`` 个 token 的序列的掩码。

序列 b 的前 ``lengths[b]`` 个 token 是真实的，其余是填充；0 <= lengths[b] <= T。
返回形状 (B, 1, 1, T) 的 bool 张量：若序列 b 的 token s 是真实的，则元素 [b, 0, 0, s] 为 True。
``lengths`` 可以是列表或张量。

对 ``mha`` 来说，这表示没有 token 会去看填充。``padding_mask(lengths, T) & causal_mask(T)``
就是同时满足两者的掩码。
"""

# %% [markdown] hint="masks" lang="en"
r"""
Both masks compare positions. For the first, draw the (3, 3) table on paper: the row looks, the column is looked at. For the second, compare each position with
the length.
"""

# %% [markdown] hint="masks" lang="zh"
r"""
两个掩码都是在比较位置。对第一个，在纸上画出 (3, 3) 的表：行在看，列被看。对第二个，拿每个位置与长度比较。
"""

# %% [markdown] hint="masks" lang="en"
r"""
torch.arange(T) against a column of itself, or tril of ones of dtype bool. For padding: turn lengths into a tensor of shape (B, 1, 1, 1) with None axes and compare
with torch.arange(T); the last axis is the token that is looked at.
"""

# %% [markdown] hint="masks" lang="zh"
r"""
用 torch.arange(T) 与它自己的列向量形式比较，或者对 dtype 为 bool 的全一张量取 tril。填充掩码：用 None 轴把 lengths 变成形状
(B, 1, 1, 1) 的张量，再与 torch.arange(T) 比较；最后一个轴是被看的 token。
"""

# %%
from ladder.graders.stage1_foundation.day11_multi_head_attention import check_causal_mask

check_causal_mask(causal_mask)

# %%
from ladder.graders.stage1_foundation.day11_multi_head_attention import check_padding_mask

check_padding_mask(padding_mask)

# %% [markdown] lang="en"
r"""
## 5 · Does it leak?

A mask that looks right proves nothing about the model around it. Test the model: change one token, see which outputs move. In a causal model output $t$ depends on tokens $s\le t$ only. Put all
pairs into one picture, $D_{ts}$ = "does the output at $t$ depend on token $s$?"
"""

# %% [markdown] lang="zh"
r"""
## 5 · 它泄漏吗？

掩码看上去正确，并不能说明整个模型正确。要检验的是模型：改动一个 token，看哪些输出跟着变。在因果模型里，输出 $t$ 只依赖 $s\le t$ 的 token。
把所有 token 对画进一张图：$D_{ts}$ =“位置 $t$ 的输出是否依赖 token $s$？”
"""

# %% exercise="dependence"
from ladder.solutions.stage1_foundation.day11_multi_head_attention import dependence

# %% [markdown] lang="zh" docstring="dependence"
r"""
``f`` 的哪些输出依赖哪些输入：检测是否泄漏了未来的信息。

``f`` 把 (B, T, d) 映射为 (B, T, c)，c 为某个数。它是光滑的，不含随机性；若某个输出不依赖某个 token，
那么该 token 变化时这个输出一个比特都不变。若位置 t 的输出依赖 token s，则结果的元素 [t, s] 为 True：
也就是说，存在一种只针对 token s 的改动（可以在它的任意通道、批次中的任意序列里），会改变位置 t 的输出
（在任意通道、任意序列里）。否则为 False。

结果是形状 (T, T) 的 bool 张量。若 ``f`` 是因果的，则所有 s > t 的元素都是 False。
``x`` 是 float64，不得被改动；``f`` 可能会改动传给它的张量。
"""

# %% [markdown] hint="dependence" lang="en"
r"""
Call f once for the original and once for each token, every time with a fresh copy in which only that token differs. One call fills one column of the result.
"""

# %% [markdown] hint="dependence" lang="zh"
r"""
先对原来的 x 调用一次 f，再为每个 token 各调用一次，每次都用一份只有该 token 不同的新副本。一次调用填好结果的一列。
"""

# %% [markdown] hint="dependence" lang="en"
r"""
Add random numbers to the token, different in each channel and each sequence: adding one and the same number can go unnoticed. Compare the outputs entry by entry with !=, then any over the batch and over
the channels.
"""

# %% [markdown] hint="dependence" lang="zh"
r"""
给 token 加上随机数，每个通道、每个序列各不相同：都加同一个数可能看不出变化。用 != 逐个元素比较输出，再对批次和通道取 any。
"""

# %%
from ladder.graders.stage1_foundation.day11_multi_head_attention import check_dependence

check_dependence(dependence)

# %%
torch.manual_seed(0)
T, d, h = 8, 12, 3
x = torch.randn(2, T, d, dtype=torch.float64)
params = {name: torch.randn(d, d, dtype=torch.float64) / d**0.5 for name in ("Wq", "Wk", "Wv", "Wo")}


def trapped(x):
    """Multi-head attention whose heads are split by view."""
    q, k, v = ((x @ params[name]).view(2, h, T, d // h) for name in ("Wq", "Wk", "Wv"))
    return merge_heads(sdpa(q, k, v, causal_mask(T))) @ params["Wo"]


pictures = (
    ("no mask", lambda x: mha(x, params, h)),
    ("causal mask", lambda x: mha(x, params, h, causal_mask(T))),
    ("causal mask,\nheads split by view", trapped),
    ("causal mask,\npadding after token 4",
     lambda x: mha(x, params, h, causal_mask(T) & padding_mask([T, 5], T))[1:].expand(2, T, d)),
)
fig, axes = plt.subplots(1, 4, figsize=(11, 3.7), layout="constrained")
for ax, (name, f) in zip(axes, pictures, strict=True):
    D = dependence(f, x)
    ax.imshow(D, cmap="Greens", vmin=0, vmax=1.3)
    ahead = D.triu(1)
    for t, s in ahead.nonzero().tolist():
        ax.plot(s, t, "rx", ms=6)
    ax.set(title=f"{name}\n{int(ahead.sum())} leaks", xlabel="token $s$")
axes[0].set_ylabel("output $t$")
plt.show()

# %% [markdown] lang="en"
r"""
The third picture is the trap of part 2 with a perfect causal mask. A language model with this bug can look up part of the answers, so its training loss is better than it should be; at
generation time there is nothing to look up, and the text is worse than the loss promised. No shape, no error and no loss curve tells you; this picture does. Run it on every model you build.
In the last picture nobody attends to tokens 5 to 7, which are padding; their own outputs still depend on them, through the query, and are ignored later by the loss.

## 6 · The layer, and PyTorch's

As an `nn.Module` the four matrices become parameters, which an optimiser finds. PyTorch has the same layer. Take over its weights and compare, which is the way to check any
module you rewrite.
"""

# %% [markdown] lang="zh"
r"""
第三幅图就是第 2 部分的陷阱，配上完全正确的因果掩码。有这个错误的语言模型能查到一部分答案，所以训练损失好得不应该；生成时无处可查，写出的文字就配不上那个损失。
形状、报错、损失曲线都不会告诉你，这幅图会。今后搭的每个模型都应当做这个检验。
最后一幅图中，没有 token 去看作为填充的 token 5 到 7；它们自己的输出仍然通过查询依赖自身，这些输出之后会被损失忽略。

## 6 · 网络层，以及 PyTorch 的实现

写成 `nn.Module` 之后，四个矩阵就成为优化器找得到的参数。PyTorch 有同样的层。把它的权重搬过来再比较输出：今后重写任何模块，都可以这样检验。
"""

# %% exercise="layer"
from ladder.solutions.stage1_foundation.day11_multi_head_attention import MultiHeadAttention, from_torch

# %% [markdown] lang="zh" docstring="MultiHeadAttention"
r"""
作为网络层的多头自注意力：带有自己参数的 ``mha``。

``MultiHeadAttention(d, h)`` 有四个参数 ``Wq``、``Wk``、``Wv`` 和 ``Wo``，每个都是形状 (d, d) 的
``nn.Parameter``，此外没有别的参数。
"""

# %% [markdown] lang="zh" docstring="MultiHeadAttention.__init__"
r"""
为 ``d`` 个通道的 token 建立一个有 ``h`` 个头的层。

四个矩阵的所有元素都独立地取自 [−a, a] 上的均匀分布，a = 1/√d，使用 torch 的全局随机数生成器。
若 ``h`` 不整除 ``d``，则抛出 ValueError。
"""

# %% [markdown] lang="zh" docstring="MultiHeadAttention.forward"
r"""
用本层的参数、建立时给定的头数，对 ``x`` 做 ``mha``；``mask`` 的含义与 ``mha`` 中相同。
"""

# %% [markdown] lang="zh" docstring="from_torch"
r"""
把 PyTorch 那一层的权重放进你的层：输入相同，两者的输出就相同。

``theirs`` 由 ``nn.MultiheadAttention(d, h, bias=False)`` 建立，其中有

- ``embed_dim`` 与 ``num_heads``：即 d 与 h；
- ``in_proj_weight``：形状 (3d, d)；前 d 行产生查询，接下来的 d 行产生键，最后 d 行产生值，
  都按 ``x @ rows.T`` 计算；
- ``out_proj.weight``：形状 (d, d)；输出为 ``heads @ out_proj.weight.T``；
- ``in_proj_bias``：None，或者三个投影的偏置。

结果的参数是副本，dtype 与 ``in_proj_weight`` 相同：训练其中一个层不会改变另一个。``theirs`` 保持原样。
若 ``in_proj_bias`` 不是 None，则抛出 ValueError，因为你的层没有偏置。
"""

# %% [markdown] hint="layer" lang="en"
r"""
A module registers what is assigned to self as an nn.Parameter, after super().__init__() has run. Parameters start as tensors that you fill with random numbers; torch.Tensor.uniform_ does so in place. For from_torch:
their weights multiply as W.T, yours as W.
"""

# %% [markdown] hint="layer" lang="zh"
r"""
模块会登记以 nn.Parameter 的形式赋给 self 的东西，但要先运行 super().__init__()。参数一开始就是填好随机数的张量；
torch.Tensor.uniform_ 可以就地填充。from_torch：对方的权重以 W.T 相乘，你的以 W 相乘。
"""

# %% [markdown] hint="layer" lang="en"
r"""
forward collects the four parameters in a dict under the names that mha wants. In from_torch, chunk(3) gives the three projections in the order q, k, v; for each of the four matrices detach, transpose and clone, and make a new nn.Parameter of
it (or copy_ into the old one under torch.no_grad, with the dtype in mind).
"""

# %% [markdown] hint="layer" lang="zh"
r"""
forward 把四个参数按 mha 要求的名字收进一个字典。from_torch 中，chunk(3) 按 q、k、v 的次序给出三个投影；对四个矩阵分别 detach、转置、clone，
再做成新的 nn.Parameter（或者在 torch.no_grad 下用 copy_ 写进原来的参数，注意 dtype）。
"""

# %%
from ladder.graders.stage1_foundation.day11_multi_head_attention import check_layer

check_layer(MultiHeadAttention)

# %%
from ladder.graders.stage1_foundation.day11_multi_head_attention import check_from_torch

check_from_torch(from_torch)

# %%
torch.manual_seed(0)
theirs = nn.MultiheadAttention(64, 8, bias=False, batch_first=True).eval()
ours = from_torch(theirs)
x, lengths = torch.randn(4, 10, 64), [10, 7, 3, 0]
real = padding_mask(lengths, 10)
with torch.no_grad():
    for name, mask, options in (
        ("no mask", None, {}),
        ("causal", causal_mask(10), {"attn_mask": ~causal_mask(10)}),
        ("padding", real, {"key_padding_mask": ~real[:, 0, 0]}),
    ):
        a, b = ours(x, mask), theirs(x, x, x, **options)[0]
        print(f"{name:8} largest difference {(a - b)[:3].abs().max():.0e};",
              f"empty sequence: ours {a[3].abs().max():.2f}, theirs {b[3].abs().max():.2f}")
for heads in (1, 8, 64):
    count = sum(W.numel() for W in MultiHeadAttention(64, heads).parameters())
    print(f"{heads:2} heads: {count} parameters")

# %% [markdown] lang="en"
r"""
Three things to notice. PyTorch's masks for this layer are inverted, True means *not* allowed (in `F.scaled_dot_product_attention` True means allowed, as in ours): read the documentation every time. In the last line of the
first part, a sequence of length 0 has nothing to attend to; a plain softmax gives NaN there, yours zeros. And the number of heads does not change the number of parameters, $4d^2$: heads cut the same channels into narrower strips.

## 7 · Why several heads?

"With a single attention head, averaging inhibits this" (section 3.2.2): a head returns *one* weighted average. Let us make a task in which that hurts. Every token must fetch two things, by two different patterns, and keep them apart:
the content of the token **before** it, and the content of the token that it **points** to. Read the docstring of `two_pattern_batch`, which is given, then plant the weights by hand. You are the gradient descent.
"""

# %% [markdown] lang="zh"
r"""
请注意三点。PyTorch 这个层的掩码含义相反，True 表示*不*允许（而在 `F.scaled_dot_product_attention` 里，True 表示允许，与我们一致）：每次都要看文档。
第一部分输出的最后一行里，长度为 0 的序列无处可看；普通的 softmax 会给出 NaN，你的给出零。还有，头数不改变参数量，始终是 $4d^2$：头只是把同样的通道切成更窄的条。

## 7 · 为什么要多个头？

“With a single attention head, averaging inhibits this”（3.2.2 节）：一个头只能返回*一个*加权平均。我们来造一个任务，让这一点暴露出来。每个 token 都要按两种不同的模式取回两样东西，并把它们分开存放：
**前一个**token 的内容，以及它所**指向**的 token 的内容。先读已给出的 `two_pattern_batch` 的 docstring，再亲手写出权重。这一次，你就是梯度下降。
"""

# %% exercise="planted_heads"
from ladder.solutions.stage1_foundation.day11_multi_head_attention import planted_heads, two_pattern_batch

# %% [markdown] lang="zh" docstring="planted_heads"
r"""
无需训练，写出让两个头解决双模式任务的权重。

token 与目标的布局同 ``two_pattern_batch``（一环 T 个 token）：d = m + 2T 个通道，依次是内容（m 个）、
位置（T 个，在 t 处为 1 的独热向量）、指针（T 个，独热向量，指向某个 token p(t)）。位置 t 的目标：
前 m 个通道是前一个 token (t − 1) mod T 的内容，接着 m 个通道是 token p(t) 的内容，其余为零。
``m`` 是偶数，且 m <= T。返回供 ``mha`` 在 h = 2 时使用的 ``params``，float32，使得对任何输入

- 在第一个头里，每个 token 给前一个 token (t − 1) mod T 的权重大于 0.999；
- 在第二个头里，每个 token 给它所指 token 的权重大于 0.999；
- ``mha(x, params, 2)`` 的每个元素与目标相差不超过 0.01。
"""

# %% [markdown] hint="planted_heads" lang="en"
r"""
Start with four matrices of zeros. A one-hot token picks out a row: the channel for position t times Wq is row m + t of Wq. Choose rows so that query t and key s have a large dot product exactly when s is the token to look at. Head 0 owns columns 0 to d/2 − 1 of Wq, Wk
and Wv.
"""

# %% [markdown] hint="planted_heads" lang="zh"
r"""
从四个全零矩阵开始。独热的通道会取出一行：位置 t 的通道乘 Wq，得到 Wq 的第 m + t 行。选择这些行，使查询 t 与键 s 的点积恰好在 s 是该看的 token 时很大。
第 0 个头占有 Wq、Wk、Wv 的第 0 到 d/2 − 1 列。
"""

# %% [markdown] hint="planted_heads" lang="en"
r"""
Keys of both heads: "I am at position s", a unit vector. Query of head 0: a multiple of the unit vector of position t − 1 (an identity with its columns shifted around the ring); of head 1: the same multiple of the pointer. After the division by √d_k the right score should lead by about 20. Wv copies the
content into each head's own first columns; Wo's rows follow the concatenation, its columns the target.
"""

# %% [markdown] hint="planted_heads" lang="zh"
r"""
两个头的键都是“我在位置 s”，一个单位向量。第 0 个头的查询：位置 t − 1 的单位向量乘一个大倍数（各列沿环移动一位的单位阵）；第 1 个头的查询：指针乘同样的倍数。除以 √d_k 之后，正确的得分应领先约 20。
Wv 把内容复制到每个头自己的前几列；Wo 的行按拼接的次序，列按目标的次序。
"""

# %%
from ladder.graders.stage1_foundation.day11_multi_head_attention import check_planted_heads

check_planted_heads(planted_heads)

# %% [markdown] lang="en"
r"""
Now the other side: one head, however clever. Suppose its weights $a_s$ do not depend on the contents (positions and pointers decide where to look). It hands on only $z = \sum_s a_s c_s$, from which token $i$'s content is to be guessed as $\alpha z$ and token $j$'s as $\beta z$, with $\alpha$ and $\beta$
as $W^V W^O$ may choose them. For independent contents with mean 0 and variance 1 (one channel is enough),

$$\mathbb{E}\big[(c_i-\alpha z)^2\big] = \mathbb{E}[c_i^2] - 2\alpha\,\mathbb{E}[c_i z] + \alpha^2\,\mathbb{E}[z^2]$$

Work out the three expectations, then the best $\alpha$ and the error that is left.
"""

# %% [markdown] lang="zh"
r"""
再看另一面：只有一个头，不管它多聪明。设它的权重 $a_s$ 不依赖内容（看哪里由位置和指针决定）。它交出的只有 $z = \sum_s a_s c_s$，要由它把 token $i$ 的内容猜成 $\alpha z$，把 token $j$ 的内容猜成 $\beta z$，其中 $\alpha$ 与 $\beta$
由 $W^V W^O$ 任意选取。设内容相互独立，均值为 0，方差为 1（考虑一个通道就够了），

$$\mathbb{E}\big[(c_i-\alpha z)^2\big] = \mathbb{E}[c_i^2] - 2\alpha\,\mathbb{E}[c_i z] + \alpha^2\,\mathbb{E}[z^2]$$

求出这三个期望，再求最好的 $\alpha$ 以及剩下的误差。
"""

# %% exercise="one_head_error"
from ladder.solutions.stage1_foundation.day11_multi_head_attention import one_head_error

# %% [markdown] lang="zh" docstring="one_head_error"
r"""
一个头要把两份内容分开，最好能做到什么程度：``(alpha, beta, error)``。

T 个 token 的内容 c_s 是相互独立的随机数，均值 0，方差 1。一个头给 token s 的权重是 ``a[s]``，
权重不依赖内容；它只看得到平均值 z = Σ_s a_s c_s。要求的是两个不同的 token i 和 j：

- ``alpha`` 是使 E[(c_i − alpha·z)²] 最小的数；
- ``beta`` 是使 E[(c_j − beta·z)²] 最小的数；
- ``error`` 是这两个最小值的平均。

精确值（不做随机抽样），三个 Python 浮点数。``a`` 至少有一个元素不为 0；各元素之和不必为 1。
"""

# %% [markdown] hint="one_head_error" lang="en"
r"""
Independent with mean 0 and variance 1 means E[c_s c_r] = 1 if s = r, else 0. Put the sum for z into E[c_i z] and E[z²] and let the zeros vanish.
"""

# %% [markdown] hint="one_head_error" lang="zh"
r"""
相互独立、均值 0、方差 1，意味着 s = r 时 E[c_s c_r] = 1，否则为 0。把 z 的求和式代入 E[c_i z] 与 E[z²]，让那些零消失。
"""

# %% [markdown] hint="one_head_error" lang="en"
r"""
E[z²] is the sum of all squared weights. The expected error is a parabola in alpha; at its lowest point alpha = E[c_i z] / E[z²], and what is left is 1 − E[c_i z]² / E[z²].
"""

# %% [markdown] hint="one_head_error" lang="zh"
r"""
E[z²] 是所有权重的平方和。期望误差是 alpha 的抛物线；在最低点 alpha = E[c_i z] / E[z²]，剩下的误差是 1 − E[c_i z]² / E[z²]。
"""

# %%
from ladder.graders.stage1_foundation.day11_multi_head_attention import check_one_head_error

check_one_head_error(one_head_error)

# %%
share = torch.linspace(0.0, 1.0, 51)
fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for rest in (0.0, 0.3, 0.6):
    errors = [
        one_head_error(torch.cat([(1 - rest) * torch.stack([p, 1 - p]), torch.full((6,), rest / 6)]), 0, 1)[2]
        for p in share
    ]
    ax.plot(share, errors, label=f"{rest:.0%} of the weight on 6 other tokens")
ax.set(xlabel="share of $i$ in the weight that $i$ and $j$ get", ylabel="error", ylim=(0, 1))
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
A flat line at exactly one half: looking at $i$ alone, at $j$ alone, or at both makes no difference, and any glance elsewhere makes it worse. What one head gains for one content it loses for the other. Now let gradient descent try, with one, two and four heads and the *same* number of parameters.
(Contents are shown to the queries too, so the weights *may* depend on them; see whether that helps.)
"""

# %% [markdown] lang="zh"
r"""
一条恰好在二分之一处的水平线：只看 $i$、只看 $j$、或者两个都看，没有区别；只要分心看别处就更糟。一个头在一份内容上赚到的，都在另一份上赔掉了。现在让梯度下降来试，分别用一个、两个、四个头，参数量*完全相同*。
（查询也看得到内容，所以权重*可以*依赖内容；看看这有没有帮助。）
"""

# %%
T, m, steps = 8, 4, 300
trained, curves = {}, {}
for heads in (1, 2, 4):
    torch.manual_seed(0)
    model = MultiHeadAttention(m + 2 * T, heads)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    with Training(steps, f"heads: {heads}") as run:
        for _ in run:
            x, y = two_pattern_batch(64, T, m, generator)
            loss = (model(x) - y)[..., : 2 * m].square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(loss=loss.item())
    trained[heads], curves[heads] = model, run.history["loss"]

# %%
fig, axes = plt.subplots(1, 4, figsize=(12, 3.2), width_ratios=(1.7, 1, 1, 1), layout="constrained")
for heads, curve in curves.items():
    axes[0].semilogy(curve, label=f"{heads} head{'s' * (heads > 1)}: {sum(curve[-20:]) / len(curve[-20:]):.4f}")
axes[0].axhline(0.5, color="k", ls=":", lw=1)
axes[0].set(xlabel="step", ylabel="mean squared error", title="mean of the last 20 steps in the legend")
axes[0].legend()

x, _ = two_pattern_batch(1, T, m, torch.Generator().manual_seed(5))
pointer = x[0, :, m + T:].argmax(-1)
panels = [(trained[1], 1, 0, "one head"), (trained[2], 2, 0, "two heads: the first"), (trained[2], 2, 1, "two heads: the second")]
for ax, (model, heads, i, name) in zip(axes[1:], panels, strict=True):
    with torch.no_grad():
        q, k = split_heads(x @ model.Wq, heads), split_heads(x @ model.Wk, heads)
        A = safe_softmax(q @ k.mT / math.sqrt(k.shape[-1]))[0, i]
    ax.imshow(A, cmap="Greens", vmin=0, vmax=1)
    ax.plot((torch.arange(T) - 1) % T, torch.arange(T), "o", mfc="none", color="C0", ms=11)
    ax.plot(pointer, torch.arange(T), "s", mfc="none", color="C3", ms=11)
    ax.set(title=name, xlabel="token $s$", ylabel="token $t$")
print("circles: the token before; squares: the token pointed to; green: attention weight")
plt.show()

# %% [markdown] lang="en"
r"""
One head ends at the bound. The reference reached 0.504 with one head, 0.0009 with two and 0.0011 with four (mean of the last 20 of 300 steps), so content-dependent weights did not help. With two heads the maps show a division of labour: one learned "before", the other "pointed to", as you planted it. Four heads of only 5 channels each do it too, though positions are one-hot in 8 channels.

More is not always better: $d_k = d/h$ shrinks. In Table 3 (A) of the paper one head is 0.9 BLEU worse than the best setting, and with too many heads quality drops as well.

**Written answer: why several heads, and how they are combined** (5 points). In your own words, for a colleague who knows single-head attention:

- 1 for what one head returns, and why a second pattern does not fit into it (with the bound of one half: what it assumes, why it does not depend on how the weight is shared);
- 1 for what two heads do differently in the planted solution: which matrix decides where to look, which decides what to fetch, which decides where to write it;
- 1 for how heads are combined: concatenation with $W^O$ written as a sum, and what it means that heads may write into the same channels;
- 1 for how all heads are computed in parallel: shapes from $(B,T,d)$ to $(B,h,T,d_k)$ and back, and why `view` alone is wrong;
- 1 for cost and limits: parameters and arithmetic as $h$ grows, and what a head loses when $d_k$ becomes small.
"""

# %% [markdown] lang="zh"
r"""
一个头停在了下界。参考实现得到的是：一个头 0.504，两个头 0.0009，四个头 0.0011（300 步中最后 20 步的平均），可见让权重依赖内容并没有帮助。两个头的注意力图显示出分工：一个学会了“前一个”，另一个学会了“所指的”，正如你亲手写出的那样。四个头每个只有 5 个通道，也做到了，尽管位置是 8 个通道的独热向量。

头并非越多越好：$d_k = d/h$ 会变小。论文表 3 (A) 中，一个头比最好的设置低 0.9 BLEU，头太多时质量也会下降。

**书面题：为什么要多个头，又怎样合并**（5 分）。写给一位了解单头注意力的同事，用你自己的话说明：

- 1 分：一个头返回什么，为什么装不下第二种模式（用上二分之一的下界：它假设了什么，为什么与权重如何分配无关）；
- 1 分：在手写的解里，两个头有何不同：哪个矩阵决定看哪里，哪个决定取什么，哪个决定写到哪里；
- 1 分：各头怎样合并：把拼接后乘 $W^O$ 写成求和，以及几个头可以写进相同通道意味着什么；
- 1 分：所有头怎样并行计算：形状从 $(B,T,d)$ 到 $(B,h,T,d_k)$ 再变回来，为什么只用 `view` 是错的；
- 1 分：代价与限制：$h$ 增大时参数量与计算量如何变化，$d_k$ 变小时一个头失去了什么。
"""

# %% [markdown] written="written_heads" lang="en"
r"""
*Your explanation of multi-head attention. Replace this text.*
"""

# %% [markdown] written="written_heads" lang="zh"
r"""
*在此写下你对多头注意力的说明（替换这段文字）。*
"""

# %% [markdown] model="written_heads" lang="en"
r"""
*One head.* For each token a head returns one average $\sum_s a_s v_s$ of the values, and every token in it passes the same matrix $W^V$. If two contents are wanted apart, $W^VW^O$ must turn the same $z=\sum_s a_s c_s$ into guesses of both. With independent contents of variance 1 and weights that do not depend on them, the best
guess of $c_i$ is $\alpha z$ with $\alpha = a_i/\sum_s a_s^2$, with error $1-a_i^2/\sum_s a_s^2$. The mean of both errors is $1-\tfrac12(a_i^2+a_j^2)/\sum_s a_s^2\ge\tfrac12$, with equality when all weight lies on $i$ and $j$: what is gained for one is lost for the other.

*Two heads.* $W^Q$ and $W^K$ decide where to look: head 0 matches position $t-1$ with position $s$, head 1 the pointer with position $s$. $W^V$ decides what is fetched, here the content, in both heads. $W^O$ decides where it is written: head 0's rows lead to the first $m$ channels, head 1's to the next $m$. Two separate averages, so nothing is mixed.

*Combining.* With $W^O$ cut into blocks of $d_k$ rows, $\mathrm{Concat}(\mathrm{head}_1,\dots,\mathrm{head}_h)W^O=\sum_i\mathrm{head}_iW^O_i$. Each head adds a vector of $d$ channels. Heads that write into the same channels add up or cancel, and the next layer sees only the sum.

*In parallel.* One product per projection gives all queries, keys and values, $(B,T,d)$. Cutting the last axis gives $(B,T,h,d_k)$, exchanging two axes $(B,h,T,d_k)$; then heads are a batch axis and one batched product computes all scores $(B,h,T,T)$. Back by the same axes, with a copy. `view(B,h,T,d_k)` reads memory in order, where
a token's channels lie together, so that a "head" becomes a stretch of the sequence; the causal mask then forbids the wrong entries and the future leaks.

*Cost and limits.* Four $d\times d$ matrices for every $h$. Scores cost $h\cdot T^2d_k = T^2d$ multiplications, whatever $h$; only the number of softmax rows and of stored weights, $hT^2$, grows. With small $d_k$ the score matrix of a head has rank at most $d_k$ before the softmax, so fewer patterns can be told apart, and its values pass through $d_k$ channels.
"""

# %% [markdown] model="written_heads" lang="zh"
r"""
*一个头。* 对每个 token，一个头返回值的一个平均 $\sum_s a_s v_s$，其中每个 token 都经过同一个矩阵 $W^V$。若要把两份内容分开，$W^VW^O$ 必须由同一个 $z=\sum_s a_s c_s$ 同时猜出两者。设内容相互独立、方差为 1，权重不依赖内容，则对 $c_i$ 的
最好猜测是 $\alpha z$，其中 $\alpha = a_i/\sum_s a_s^2$，误差为 $1-a_i^2/\sum_s a_s^2$。两个误差的平均是 $1-\tfrac12(a_i^2+a_j^2)/\sum_s a_s^2\ge\tfrac12$，当权重全在 $i$ 与 $j$ 上时取等号：一份赚到的，另一份就赔掉。

*两个头。* $W^Q$ 与 $W^K$ 决定看哪里：第 0 个头拿位置 $t-1$ 与位置 $s$ 匹配，第 1 个头拿指针与位置 $s$ 匹配。$W^V$ 决定取什么，这里两个头取的都是内容。$W^O$ 决定写到哪里：第 0 个头的行通向前 $m$ 个通道，第 1 个头的行通向接下来的 $m$ 个。两个平均各自独立，所以互不混淆。

*合并。* 把 $W^O$ 切成每块 $d_k$ 行，$\mathrm{Concat}(\mathrm{head}_1,\dots,\mathrm{head}_h)W^O=\sum_i\mathrm{head}_iW^O_i$。每个头加上一个 $d$ 通道的向量。写进相同通道的头会叠加或抵消，下一层只看得到总和。

*并行。* 每种投影做一次乘法，就得到全部查询、键、值，形状 $(B,T,d)$。切开最后一个轴得 $(B,T,h,d_k)$，交换两个轴得 $(B,h,T,d_k)$；此时头相当于批次轴，一次批量乘法算出全部得分 $(B,h,T,T)$。再沿同样的轴返回，其间复制一次。`view(B,h,T,d_k)` 按内存次序读，而
同一 token 的通道在内存里是相邻的，于是一个“头”变成了序列的一段；因果掩码便禁错了元素，未来的信息泄漏出来。

*代价与限制。* 无论 $h$ 是多少，都是四个 $d\times d$ 矩阵。得分需要 $h\cdot T^2d_k = T^2d$ 次乘法，与 $h$ 无关；增长的只有 softmax 的行数和要保存的权重数 $hT^2$。$d_k$ 变小时，一个头在 softmax 之前的得分矩阵秩至多为 $d_k$，能区分的模式变少，值也只能经过 $d_k$ 个通道。
"""

# %% [markdown] lang="en"
r"""
## What you have now

| name | what it is for |
| --- | --- |
| `split_heads`, `merge_heads` | every attention layer from here on |
| `mha`, `MultiHeadAttention` | the first half of tomorrow's Transformer block |
| `causal_mask`, `padding_mask` | every language model, every batch |
| `dependence` | the test to run on each model before you trust its loss |
| `head_contributions` | looking inside a trained model (Day 52) |

Attention moves information between tokens but treats all orders of the tokens alike; here positions were written into the tokens by hand. Day 13 does that properly. Tomorrow comes the rest of the block: LayerNorm, the feed-forward network and
the residual connections.
"""

# %% [markdown] lang="zh"
r"""
## 你现在拥有的工具

| 名称 | 用途 |
| --- | --- |
| `split_heads`、`merge_heads` | 今后的每个注意力层 |
| `mha`、`MultiHeadAttention` | 明天 Transformer Block 的前一半 |
| `causal_mask`、`padding_mask` | 每个语言模型，每个批次 |
| `dependence` | 相信模型的损失之前，对每个模型都要做的检验 |
| `head_contributions` | 观察训练好的模型内部（第 52 天） |

注意力在 token 之间搬运信息，却对 token 的所有排列一视同仁；今天的位置是手工写进 token 里的，第 13 天会正式解决这个问题。明天补齐这个模块的其余部分：LayerNorm、前馈网络与残差连接。
"""

# %% [markdown] lang="en"
r"""
# Day 10 · Attention Is All You Need (part 1)

An RNN hands everything it has read from step to step in one vector (Day 9), and what is far back fades.
Attention does something else: at every step it goes and **looks up** what it needs, wherever it stands. Today you build that look-up, from a
softmax that survives anything to the self-attention layer of every language model.

At the end of the day you can

- say what query, key and value are, in the words of a database;
- write a masked softmax that neither overflows nor divides 0 by 0, and whose gradient is right as well;
- derive why scores are divided by $\sqrt{d_k}$, and show by measurement what happens without it;
- write $\operatorname{softmax}(QK^\top/\sqrt{d_k})\,V$ for any batch and mask, and train a layer that learns to look things up.

**Read first** (one hour): Ashish Vaswani and others, *Attention Is All You Need*, [arXiv 1706.03762](https://arxiv.org/abs/1706.03762).
Sections 1 and 3.2.1 now, 3.2.3 and 4 before the quiz. Plan three hours for the rest. From here on the tensors are PyTorch's, and so is autograd.
"""

# %% [markdown] lang="zh"
r"""
# 第 10 天 · 缩放点积注意力

RNN 把读到的一切装进一个向量，一步一步往后传（第 9 天），离得远的内容会逐渐淡去。
注意力的做法不同：每一步都直接去**查**它所需要的东西，无论那东西在哪里。今天你来搭建这种查询，
从一个怎样都不会出错的 softmax 开始，一直到每个语言模型都有的自注意力层。

学完这一天，你能够

- 用数据库的语言说清查询（query）、键（key）、值（value）各是什么；
- 写出带掩码的 softmax：既不溢出，也不出现 0 除以 0，而且梯度也正确；
- 推导分数为什么要除以 $\sqrt{d_k}$，并用测量展示不除会怎样；
- 对任意的批和掩码写出 $\operatorname{softmax}(QK^\top/\sqrt{d_k})\,V$，并训练一个学会查询的层。

**先读论文**（约一小时）：Ashish Vaswani 等，*Attention Is All You Need*，[arXiv 1706.03762](https://arxiv.org/abs/1706.03762)。
现在读第 1 节与 3.2.1 节，做测验之前读 3.2.3 节与第 4 节。其余内容约需三小时。从今天起张量用 PyTorch 的，自动求导也用它的。
"""

# %% setup
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ladder.training import Training

# %% [markdown] lang="en"
r"""
## 1 · A dictionary that always answers

A Python dictionary compares a **query** with its **keys**, and hands out the **value** of the key that is equal:

```python
capital = {"France": "Paris", "Japan": "Tokyo"}     # keys and values
capital["Japan"]                                    # a query
```

Three roles: the query says what is wanted, the key says what an entry may be found by, the value is what one gets. Key and value belong
together and need not look alike. But `capital["japan"]` fails: no key is *equal*. And nothing here has a gradient: a little change of the query
changes nothing, or everything.

Make each part soft. Keys and queries become vectors; "equal" becomes a score, the dot product $q\cdot k_j$; "the value of the best key"
becomes an average of all values, with weights that grow with the score. The weights must be positive and add up to 1, which is what softmax is for:

$$\text{answer} = \sum_j w_j\,v_j,\qquad w_j = \frac{e^{q\cdot k_j}}{\sum_l e^{q\cdot k_l}}$$

Section 3.2 of the paper says the same: the output is "a weighted sum of the values, where the weight assigned to each value is computed by a
compatibility function of the query with the corresponding key".

## 2 · A softmax that survives

First the softmax, once and for all: the next five days and every model after them call it. On Day 1 it only had to survive large
logits. Now it gets a **mask** as well. In a batch of sentences of different lengths, what stands behind the end of the short ones must not be attended to; and a language model must not look ahead (Day 11).
A mask names the allowed set $M$ of a row:

$$p_i = \frac{e^{x_i}}{\sum_{j\in M} e^{x_j}}\quad(i\in M),\qquad p_i = 0\quad(i\notin M)$$

Three corners are worth thinking through on paper before you type:

- The largest logit of a row may belong to an entry that is **not allowed**. What do you subtract then?
- A row may have **no** allowed entry, for example in a sequence that is all padding. The fraction is then $0/0$; we define the row as zeros.
- NaN is contagious. A NaN that you repair *after* it arose is gone from the result, and still there in the **gradient**: autograd multiplies by zero, and $0\cdot\text{NaN}$ is NaN.
"""

# %% [markdown] lang="zh"
r"""
## 1 · 总有回答的字典

Python 的字典拿**查询**（query）与各个**键**（key）比较，把相等的那个键所对应的**值**（value）交出来：

```python
capital = {"France": "Paris", "Japan": "Tokyo"}     # keys and values
capital["Japan"]                                    # a query
```

三种角色：查询说明要找什么，键说明一个条目凭什么被找到，值是最终拿到的东西。键与值成对出现，却不必相像。
但 `capital["japan"]` 会失败，因为没有*相等*的键。而且这里没有梯度可言：查询变化一点点，结果要么毫无变化，要么全变。

让每一部分都“软”下来。键与查询变成向量；“相等”变成分数，即点积 $q\cdot k_j$；“最佳键的值”
变成所有值的平均，分数越高权重越大。权重必须为正且和为 1，这正是 softmax 的用处：

$$\text{answer} = \sum_j w_j\,v_j,\qquad w_j = \frac{e^{q\cdot k_j}}{\sum_l e^{q\cdot k_l}}$$

论文 3.2 节也是这样说的：输出是各个值的加权和，每个值的权重由查询与对应的键经过一个相容性函数（compatibility function）算出。

## 2 · 怎样都不出错的 softmax

先一劳永逸地写好 softmax：接下来的五天以及之后的每个模型都要调用它。第 1 天它只需经受住很大的 logit，
现在还要加上**掩码**（mask）。一批句子长短不一，短句结尾之后的位置不应被关注；语言模型也不能往后偷看（第 11 天）。
掩码给出一行中允许的集合 $M$：

$$p_i = \frac{e^{x_i}}{\sum_{j\in M} e^{x_j}}\quad(i\in M),\qquad p_i = 0\quad(i\notin M)$$

动手之前，有三个边角情形值得先在纸上想清楚：

- 一行中最大的 logit 可能属于**不允许**的元素。这时该减去什么？
- 一行可能**没有**任何允许的元素，例如整个序列都是填充。此时分式是 $0/0$；我们规定这一行全为零。
- NaN 会传染。NaN 出现*之后*再修补，结果里看不见了，**梯度**里却还在：自动求导会乘以零，而 $0\cdot\text{NaN}$ 还是 NaN。
"""

# %% exercise="safe_softmax"
from ladder.solutions.stage1_foundation.day10_scaled_dot_product_attention import safe_softmax

# %% [markdown] lang="zh" docstring="safe_softmax"
r"""
沿最后一维、在 ``mask`` 允许的元素之间做 softmax。

``mask`` 是布尔张量，可以广播到 ``x`` 的形状；True 表示该元素参与。``None`` 表示全部允许。
设 M 为一行中允许的元素，则

    p_i = exp(x_i) / Σ_{j in M} exp(x_j)   （i 属于 M），      p_i = 0   （其余的 i）。

没有任何允许元素的行全为零。结果的形状与 dtype 同 ``x``；对所有有限的 ``x``（包括 1000 与
−1000 附近）都正确。不允许的元素无论多大都没有影响。

梯度能传回 ``x``，处处正确且有限；对没有允许元素的行，梯度为零。``x`` 与 ``mask`` 不得被改动。

请用基本运算来写：不用现成的 softmax 或 log_softmax，不用 torch.nn。
"""

# %% [markdown] hint="safe_softmax" lang="en"
r"""
Give the entries that are not allowed the logit −∞ before anything else: exp(−∞) is exactly 0, and −∞ is never the maximum, unless the whole row is −∞.
masked_fill(condition, value) makes a new tensor.
"""

# %% [markdown] hint="safe_softmax" lang="zh"
r"""
最先做的事，是把不允许的元素的 logit 设为 −∞：exp(−∞) 恰好是 0，而且 −∞ 绝不会是最大值，除非整行都是 −∞。
masked_fill(条件, 值) 会新建一个张量。
"""

# %% [markdown] hint="safe_softmax" lang="en"
r"""
In a row that is all −∞ two quantities need care, each before it is used: the maximum that you subtract (any finite number will do in its place) and the sum
that you divide by (any number but 0). Replace them with masked_fill, and no NaN ever arises.
"""

# %% [markdown] hint="safe_softmax" lang="zh"
r"""
在全是 −∞ 的行里有两个量要当心，而且都要在使用之前处理：要减去的最大值（换成任何有限的数都行），
以及要除以的和（换成任何非零的数都行）。用 masked_fill 替换它们，NaN 就根本不会出现。
"""

# %%
from ladder.graders.stage1_foundation.day10_scaled_dot_product_attention import check_safe_softmax

check_safe_softmax(safe_softmax)

# %% [markdown] lang="en"
r"""
When a training run goes wrong, attention weights are among the first things to look at, and nobody looks at a million rows. So write the report now, while
you know what to ask. Are these weights at all? Which queries had nothing to look at? And is the layer still learning: a row with one weight near 1 has all but stopped (part 4), one with all weights equal has not
decided anything. The **entropy** measures this in one number, from $0$ (one key gets everything) to $\log n$ (all $n$ keys get the same):

$$H = -\sum_{j} a_j\log a_j$$
"""

# %% [markdown] lang="zh"
r"""
训练出问题时，注意力权重是最先要看的东西之一，可谁也不会去看一百万行。所以趁现在知道该问什么，把体检报告写好。
这些到底是不是权重？哪些查询没有任何可看的？这一层还在学习吗：某个权重接近 1 的行几乎已经停住（见第 4 部分），
权重全都相等的行则什么也没有决定。**熵**用一个数来衡量这一点，从 $0$（一个键拿走全部）到 $\log n$（所有 $n$ 个键平分）：

$$H = -\sum_{j} a_j\log a_j$$
"""

# %% exercise="check_attention"
from ladder.solutions.stage1_foundation.day10_scaled_dot_product_attention import check_attention

# %% [markdown] lang="zh" docstring="check_attention"
r"""
注意力权重的体检报告：它们到底是不是权重，还有没有用？

``A`` 的最后一维是一行：一个查询分给 n 个键的权重。返回一个字典，值都是普通的 Python 值：

    "finite"     bool：``A`` 中没有 NaN，也没有无穷大
    "valid"      bool：全部有限，没有负数，并且每一行要么和为 1（误差不超过 0.001），
                 要么全是零
    "empty"      int：全是零的行数
    "saturated"  int：有元素大于 0.99 的行数
    "entropy"    float：对不全为零的行，−Σ_j a_j log a_j 的平均值，单位为奈特，
                 0 log 0 按 0 计；若 ``A`` 不是 valid，或所有行都全为零，则为 None

无论 ``A`` 中是什么浮点数，都不抛出异常。
"""

# %% [markdown] hint="check_attention" lang="en"
r"""
A NaN makes every comparison false, so ask "is it finite?" on its own and let "valid" build on the answer. The sum of a row runs along the last dimension; (A == 0).all(dim=-1) finds the empty rows.
"""

# %% [markdown] hint="check_attention" lang="zh"
r"""
与 NaN 的任何比较都为假，所以“是否有限”要单独问，再让 "valid" 以它为基础。一行的和沿最后一维计算；
(A == 0).all(dim=-1) 能找出全零的行。
"""

# %% [markdown] hint="check_attention" lang="en"
r"""
torch.xlogy(A, A) is a log a with the right value at 0. Pick the rows that are not empty with a boolean index before you take the mean; if none is left, or A is not valid, the answer is None.
bool(...), int(...) and float(...) turn one-element tensors into Python values.
"""

# %% [markdown] hint="check_attention" lang="zh"
r"""
torch.xlogy(A, A) 就是 a log a，在 0 处取值也正确。求平均之前用布尔索引挑出不全为零的行；若一行也不剩，或 A 不是 valid，结果就是 None。
bool(...)、int(...)、float(...) 能把单元素张量变成 Python 值。
"""

# %%
from ladder.graders.stage1_foundation.day10_scaled_dot_product_attention import (
    check_attention_report,
)

check_attention_report(check_attention)

# %% [markdown] lang="en"
r"""
## 3 · The soft dictionary

Now the look-up itself. One knob is added, the **temperature** $\tau$, which says how picky the dictionary is:

$$\operatorname{lookup}(q) = \sum_j w_j\,v_j,\qquad w = \operatorname{softmax}\left(\frac{Kq}{\tau}\right)$$

The rows of $K$ are the keys, and the rows of $V$ the values. Ask yourself what comes out for $\tau\to0$ and for $\tau\to\infty$ before you run it.
"""

# %% [markdown] lang="zh"
r"""
## 3 · 软字典

现在写查询本身。再加一个旋钮，**温度** $\tau$，表示这本字典有多挑剔：

$$\operatorname{lookup}(q) = \sum_j w_j\,v_j,\qquad w = \operatorname{softmax}\left(\frac{Kq}{\tau}\right)$$

$K$ 的各行是键，$V$ 的各行是值。运行之前先问问自己：$\tau\to0$ 和 $\tau\to\infty$ 时分别得到什么？
"""

# %% exercise="soft_lookup"
from ladder.solutions.stage1_foundation.day10_scaled_dot_product_attention import soft_lookup

# %% [markdown] lang="zh" docstring="soft_lookup"
r"""
在一本字典里查询 ``q``：n 个键是 ``K`` 的各行，值是 ``V`` 的各行。

每个条目都作答，键匹配得越好权重越大：

    Σ_j w_j V[j]，    w = 对 j 做 softmax：(q · K[j]) / temp。

``q`` 是一个查询或一组查询，各自得到各自的回答。``temp`` 是正数：接近 0 时由最匹配的键单独作答，
很大时回答是所有值的平均。``temp`` 不是正数时抛出 ``ValueError``。
"""

# %% [markdown] hint="soft_lookup" lang="en"
r"""
Write the shapes beside the formula: q is (d,), K is (n, d), so the scores must be (n,); V is (n, v). Then let q have dimensions in front, and choose the order of the product so that it still works.
"""

# %% [markdown] hint="soft_lookup" lang="zh"
r"""
在公式旁边写出形状：q 是 (d,)，K 是 (n, d)，所以分数应当是 (n,)；V 是 (n, v)。
再让 q 前面多出若干维，选好乘积的次序，使它照样成立。
"""

# %% [markdown] hint="soft_lookup" lang="en"
r"""
q @ K.T has shape (..., n) for a query of shape (..., d). Divide by temp before the softmax, and multiply the weights with V from the left.
"""

# %% [markdown] hint="soft_lookup" lang="zh"
r"""
查询形状为 (..., d) 时，q @ K.T 的形状是 (..., n)。先除以 temp 再做 softmax，然后用权重左乘 V。
"""

# %%
from ladder.graders.stage1_foundation.day10_scaled_dot_product_attention import check_soft_lookup

check_soft_lookup(soft_lookup)

# %% [markdown] lang="en"
r"""
Eight keys stand around a circle, and each has a number as its value. The query walks once around. Note the trick in the last lines: with the identity matrix for $V$, a look-up returns
its own weights.
"""

# %% [markdown] lang="zh"
r"""
八个键围成一圈，每个键的值是一个数。让查询绕圈走一周。注意最后几行的小技巧：以单位矩阵作 $V$，查询返回的就是它自己的权重。
"""

# %%
around = torch.arange(8) * 2 * math.pi / 8
K = torch.stack([around.cos(), around.sin()], dim=-1)
V = torch.tensor([1.0, 3.0, 2.0, 5.0, 4.0, 6.0, 0.0, 2.0])[:, None]
angle = torch.linspace(0, 2 * math.pi, 400)
Q = torch.stack([angle.cos(), angle.sin()], dim=-1)

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
left.plot(around, V[:, 0], "ko", label="the entries")
for temp in (0.01, 0.1, 0.5, 100.0):
    left.plot(angle, soft_lookup(Q, K, V, temp)[:, 0], label=f"temp = {temp:g}")
left.set(xlabel="angle of the query", ylabel="answer")
left.legend(fontsize=8)
query = torch.tensor([math.cos(0.5), math.sin(0.5)])
for i, temp in enumerate((0.01, 0.1, 0.5)):
    own = soft_lookup(query, K, torch.eye(8), temp)                 # the weights
    right.bar(torch.arange(8) + 0.27 * (i - 1), own, width=0.27, color=f"C{i}", label=f"temp = {temp:g}")
    print(f"temp = {temp:g}: {check_attention(own[None])}")
right.set(xlabel="key", ylabel="its weight for a query at 0.5")
right.legend(fontsize=8)
plt.show()

# %% [markdown] lang="en"
r"""
A low temperature gives back the Python dictionary, rounded to the nearest key: flat steps, so no gradient, with jumps between them. A high one forgets the question. Between them lies a smooth function, which can be trained.

## 4 · Why divide by $\sqrt{d_k}$

The paper has no temperature to choose. Equation 1 fixes it at $\sqrt{d_k}$, where $d_k$ is the size of queries and keys, and a footnote of section 3.2.1 says why. Derive it.

Let the components $q_1,\dots,q_d$ and $k_1,\dots,k_d$ be independent. Two facts are enough. For any random number $u$, and for independent $u$ and $w$,

$$\operatorname{Var}[u] = E[u^2] - E[u]^2,\qquad E[uw] = E[u]\,E[w]$$

(squares of independent numbers are independent too), and variances of independent numbers add up. Let the components have any mean, as they do in a network after some training, and put in mean 0 and variance 1 at the end.
The function asks for the steps, so that you see which of them is wrong, if any.
"""

# %% [markdown] lang="zh"
r"""
低温时它退化为 Python 字典，取最近的键：一级级平台之间是跳跃，平台上没有梯度。高温时它忘记了问题。二者之间是一个光滑的函数，可以训练。

## 4 · 为什么除以 $\sqrt{d_k}$

论文里没有温度可选：公式 1 把它定为 $\sqrt{d_k}$，其中 $d_k$ 是查询与键的大小，3.2.1 节的一个脚注说明了原因。请推导它。

设各分量 $q_1,\dots,q_d$ 与 $k_1,\dots,k_d$ 相互独立。两条事实就够了。对任意随机数 $u$，以及相互独立的 $u$ 与 $w$，

$$\operatorname{Var}[u] = E[u^2] - E[u]^2,\qquad E[uw] = E[u]\,E[w]$$

（独立的数，平方之后仍然独立），并且独立的数方差可以相加。让各分量的均值任意，网络训练一段时间之后正是如此；最后再代入均值 0、方差 1。
函数要求写出各个步骤，万一哪一步错了，你能看出来。
"""

# %% exercise="dot_variance"
from ladder.solutions.stage1_foundation.day10_scaled_dot_product_attention import (
    dot_variance,
    dot_variance_steps,
)

# %% [markdown] lang="zh" docstring="dot_variance_steps"
r"""
从一个分量的方差到缩放后点积的方差，中间的各个步骤。

q 与 k 各有 ``d`` 个分量。全部 2d 个分量相互独立；q 的各分量均值为 ``mean_q``、方差为 ``var_q``，
k 的各分量均值为 ``mean_k``、方差为 ``var_k``。返回一个字典，值都是精确的数（不做随机抽样）：

    "mean_product"    E[q_i k_i]
    "square_product"  E[(q_i k_i)²]
    "var_product"     Var[q_i k_i]
    "mean_dot"        E[q · k]
    "var_dot"         Var[q · k]
    "var_scaled"      Var[q · k / √d]
"""

# %% [markdown] lang="zh" docstring="dot_variance"
r"""
测量点积的方差，不缩放与缩放两种。

抽取 ``n`` 对相互独立的向量 (q, k)，每个向量有 ``d`` 个独立的标准正态分量。
返回两个 Python float：q · k 在这 n 对上的方差，以及 q · k / √d 的方差。
（除以 n 或 n − 1 都可以：n 很大。）同一个 ``seed`` 给出同样的数，不同的给出不同的数。
"""

# %% [markdown] hint="dot_variance" lang="en"
r"""
E[q²] is not Var[q]: the first fact, read the other way round, gives it from variance and mean. For dot_variance: the variance is taken over the n pairs, so first reduce each pair to one number.
"""

# %% [markdown] hint="dot_variance" lang="zh"
r"""
E[q²] 不是 Var[q]：把第一条事实反过来用，就能由方差和均值得到它。至于 dot_variance：方差是对 n 对取的，所以要先把每一对化为一个数。
"""

# %% [markdown] hint="dot_variance" lang="en"
r"""
(q_i k_i)² = q_i² k_i², a product of independent numbers. The dot product is a sum of d independent terms q_i k_i. A factor c multiplies a variance by c². For the draws, torch.randn takes generator=torch.Generator().manual_seed(seed).
"""

# %% [markdown] hint="dot_variance" lang="zh"
r"""
(q_i k_i)² = q_i² k_i²，是独立的数之积。点积是 d 个独立的项 q_i k_i 之和。乘以因子 c，方差就乘以 c²。抽样时，torch.randn 接受 generator=torch.Generator().manual_seed(seed)。
"""

# %%
from ladder.graders.stage1_foundation.day10_scaled_dot_product_attention import (
    check_dot_variance_steps,
)

check_dot_variance_steps(dot_variance_steps)

# %%
from ladder.graders.stage1_foundation.day10_scaled_dot_product_attention import check_dot_variance

check_dot_variance(dot_variance)

# %% [markdown] lang="en"
r"""
So without the scaling, scores of size $d = 64$ spread over tens, and softmax sees them in its exponent. The gradient that comes back through a softmax is multiplied by its Jacobian, $\operatorname{diag}(p) - pp^\top$: you derived it on Day 1, and your own function is used below if you
solved it. The right-hand picture shows its size, for a query among 32 keys.
"""

# %% [markdown] lang="zh"
r"""
所以不缩放的话，$d = 64$ 时分数会散布在几十的范围内，而 softmax 把它们放在指数上。穿过 softmax 回来的梯度要乘以它的 Jacobian $\operatorname{diag}(p) - pp^\top$：
第 1 天你推导过它；如果当时做出来了，下面用的就是你自己的函数。右图画的是它的大小，情形是一个查询面对 32 个键。
"""

# %%
from ladder.earlier.day01_matrix_calculus import softmax_jacobian

sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
measured = np.array([dot_variance(d, 2000, seed=d) for d in sizes])
derived = [dot_variance_steps(d, 0.0, 1.0, 0.0, 1.0)["var_dot"] for d in sizes]
generator = torch.Generator().manual_seed(0)
slope, entropy = np.zeros((len(sizes), 2)), np.zeros((len(sizes), 2))
for row, d in enumerate(sizes):
    q = torch.randn(200, 1, d, generator=generator)
    k = torch.randn(200, 32, d, generator=generator)
    scores = (q * k).sum(dim=-1)
    for column, scaled in enumerate((scores, scores / math.sqrt(d))):
        jacobians = [softmax_jacobian(s.double().numpy()) for s in scaled]
        slope[row, column] = np.mean([np.linalg.norm(J) for J in jacobians])
        entropy[row, column] = check_attention(safe_softmax(scaled))["entropy"]

fig, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
axes[0].loglog(sizes, measured[:, 0], "o", label="q · k, measured")
axes[0].loglog(sizes, measured[:, 1], "o", label=r"q · k / $\sqrt{d}$, measured")
axes[0].loglog(sizes, derived, "k:", lw=1, label="derived")
axes[0].axhline(1, color="k", ls=":", lw=1)
axes[0].set(ylabel="variance")
for column, name in enumerate(("unscaled", r"divided by $\sqrt{d}$")):
    axes[1].semilogx(sizes, entropy[:, column], "o-", ms=4, label=name)
    axes[2].semilogx(sizes, slope[:, column], "o-", ms=4, label=name)
axes[1].axhline(math.log(32), color="k", ls=":", lw=1)
axes[1].text(1, math.log(32) - 0.2, r"$\log 32$: all keys alike", fontsize=8)
axes[1].set(ylabel="mean entropy of the weights", ylim=(0, 3.7))
axes[2].set(ylabel="mean size of the softmax Jacobian", ylim=(0, None))
for ax in axes:
    ax.set(xlabel="d, the size of queries and keys")
    ax.legend(fontsize=8)
plt.show()

# %% [markdown] lang="en"
r"""
Scaled, a fresh layer starts in the same state whatever its size: undecided, with a gradient that is small in each entry but reaches every key. Unscaled, the larger the layer, the earlier it has made up its mind, by chance, before training began. For $d = 512$ one key gets nearly all the weight,
and the Jacobian, which first grew while the weights sharpened, shrinks as they saturate.

**In your own words** (6 points). Explain to a colleague why equation 1 divides by $\sqrt{d_k}$. Graded by this list:

- 2 points: mean and variance of $q\cdot k$ derived, each assumption named where it is used;
- 1 point: why the square root of $d_k$, and not $d_k$ itself;
- 2 points: what large scores do to the weights and to the gradient, from $\operatorname{diag}(p) - pp^\top$;
- 1 point: one limit of the argument: where may the assumptions fail, and does the layer have another way to make its weights sharp?
"""

# %% [markdown] lang="zh"
r"""
缩放之后，无论多大的层，起步时的状态都一样：尚未拿定主意，梯度的每个元素虽小，却能到达每个键。不缩放时，层越大，就越是在训练开始之前便碰巧拿定了主意。$d = 512$ 时一个键几乎拿走全部权重；
Jacobian 先随权重变尖而增大，随后因饱和而缩小。

**用你自己的话说**（6 分）。向一位同事解释公式 1 为什么要除以 $\sqrt{d_k}$。评分标准：

- 2 分：推导出 $q\cdot k$ 的均值与方差，并在用到每个假设的地方指明它；
- 1 分：为什么是 $d_k$ 的平方根，而不是 $d_k$ 本身；
- 2 分：从 $\operatorname{diag}(p) - pp^\top$ 出发，说明很大的分数对权重和梯度各有什么影响；
- 1 分：这个论证的一处局限：假设在哪里可能不成立？这一层还有别的办法让权重变尖吗？
"""

# %% [markdown] written="written_scale" lang="en"
r"""
*Your explanation. Replace this text.*
"""

# %% [markdown] written="written_scale" lang="zh"
r"""
*在此写下你的解释（替换这段文字）。*
"""

# %% [markdown] model="written_scale" lang="en"
r"""
Assume that all components of $q$ and $k$ are independent, with mean 0 and variance 1. Because $q_i$ and $k_i$ are independent, $E[q_ik_i] = E[q_i]\,E[k_i] = 0$; because their squares are, $E[q_i^2k_i^2] = E[q_i^2]\,E[k_i^2] = 1$, where $E[q_i^2] = 1$ uses mean 0 and variance 1. So $\operatorname{Var}[q_ik_i] = 1$. The $d_k$ terms of $q\cdot k$ are independent of each other, so their
variances add up: $q\cdot k$ has mean 0 and variance $d_k$, a standard deviation of $\sqrt{d_k}$.

A factor $c$ multiplies the variance by $c^2$. The factor that brings it from $d_k$ to 1 is $c = 1/\sqrt{d_k}$. With $1/d_k$ it would be $1/d_k$: the larger the layer, the more alike all weights.

Scores with a spread of $\sqrt{d_k}$ stand in an exponent, so a lead of a few units becomes a weight near 1. There $p$ is nearly one-hot, and every entry of $\operatorname{diag}(p) - pp^\top$ is nearly zero: on the diagonal $p_i(1-p_i)$, beside it $-p_ip_j$. The gradient with respect to the scores, and through them to the query and key weights, vanishes, and a choice made by chance at the start stays.

The argument holds at the start of training. Later the components are neither independent nor of mean 0 and variance 1, and the layer may make its scores large by growing $W_q$ and $W_k$, which it does where sharp weights help. The scaling chooses a good start; it does not forbid anything.
"""

# %% [markdown] model="written_scale" lang="zh"
r"""
假设 $q$ 与 $k$ 的所有分量相互独立，均值为 0，方差为 1。由于 $q_i$ 与 $k_i$ 独立，$E[q_ik_i] = E[q_i]\,E[k_i] = 0$；由于它们的平方也独立，$E[q_i^2k_i^2] = E[q_i^2]\,E[k_i^2] = 1$，其中 $E[q_i^2] = 1$ 用到了均值为 0、方差为 1。所以 $\operatorname{Var}[q_ik_i] = 1$。又因为 $d_k$ 个项相互独立，$q\cdot k$ 的方差是各项方差之和：
$q\cdot k$ 的均值为 0，方差为 $d_k$，标准差为 $\sqrt{d_k}$。

乘以因子 $c$，方差乘以 $c^2$。把方差由 $d_k$ 变为 1 的因子是 $c = 1/\sqrt{d_k}$。若用 $1/d_k$，方差会变成 $1/d_k$：层越大，各权重就越接近相等。

散布为 $\sqrt{d_k}$ 的分数位于指数上，领先几个单位就会使某个权重接近 1。此时 $p$ 几乎是独热的，$\operatorname{diag}(p) - pp^\top$ 的每个元素都接近零：对角线上是 $p_i(1-p_i)$，其余是 $-p_ip_j$。于是对分数的梯度消失，进而对产生查询和键的权重的梯度也消失，开始时碰巧作出的选择就固定下来了。

这个论证只在训练开始时成立。之后各分量既不独立，也不再是均值 0、方差 1；而且这一层可以通过增大 $W_q$ 与 $W_k$ 使分数变大，在需要尖锐的权重时它正是这样做的。缩放只是选了一个好的起点，并不禁止什么。
"""

# %% [markdown] lang="en"
r"""
## 5 · Scaled dot-product attention

Many queries at once, many examples at once, and a mask; equation 1 of the paper:

$$\operatorname{Attention}(Q, K, V) = \operatorname{softmax}\left(\frac{QK^\top}{\sqrt{d_k}}\right)V$$

With $Q$ of shape $T_q\times d_k$, $K$ of $T_k\times d_k$ and $V$ of $T_k\times d_v$ the scores are $T_q\times T_k$: one row for each query, and each row shares out one unit of attention among the keys.
Batch and heads are dimensions in front, and no loop is needed for them: `@` multiplies the last two dimensions and broadcasts the others.
"""

# %% [markdown] lang="zh"
r"""
## 5 · 缩放点积注意力

同时处理许多查询、许多样本，再加上掩码，就是论文的公式 1：

$$\operatorname{Attention}(Q, K, V) = \operatorname{softmax}\left(\frac{QK^\top}{\sqrt{d_k}}\right)V$$

设 $Q$ 的形状为 $T_q\times d_k$，$K$ 为 $T_k\times d_k$，$V$ 为 $T_k\times d_v$，则分数是 $T_q\times T_k$：每个查询占一行，每一行把一份注意力分给各个键。
批和头是前面的维度，不需要循环：`@` 对最后两维做矩阵乘法，其余的维度广播。
"""

# %% exercise="sdpa"
from ladder.solutions.stage1_foundation.day10_scaled_dot_product_attention import sdpa

# %% [markdown] lang="zh" docstring="sdpa"
r"""
缩放点积注意力，arXiv 1706.03762 的公式 1：

    Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V

``q`` 的第 t 行是位置 t 的查询；``k`` 与 ``v`` 下标相同的行是一个键和它的值。
前面的维度个数任意，存放相互独立的样本（或头）；``q``、``k``、``v`` 的这些维度之间可以广播。

``mask`` 是布尔张量，可以广播到 (..., Tq, Tk)：[..., t, s] 处为 True 表示查询 t 可以关注键 s。
与 ``safe_softmax`` 一样：什么都不能关注的查询得到零，所有梯度都有限。dtype 与 ``q`` 相同。
各参数不得被改动。

请用张量运算来写：不用 torch.nn，不用现成的 softmax 或注意力函数。
"""

# %% [markdown] hint="sdpa" lang="en"
r"""
Three lines: scores, weights, answer. Write the shape of each beside it, with the dimensions in front as "...". Which two dimensions of k have to change places, and only those?
"""

# %% [markdown] hint="sdpa" lang="zh"
r"""
三行：分数、权重、回答。在每一行旁边写上形状，前面的维度写作“...”。k 的哪两维需要交换，而且只交换这两维？
"""

# %% [markdown] hint="sdpa" lang="en"
r"""
k.transpose(-2, -1), or k.mT, exchanges the last two dimensions whatever stands in front. d_k is the last size of k. Your safe_softmax works along the last dimension, the keys, and already takes the mask.
"""

# %% [markdown] hint="sdpa" lang="zh"
r"""
无论前面有什么维度，k.transpose(-2, -1) 或 k.mT 都只交换最后两维。d_k 是 k 最后一维的大小。你的 safe_softmax 沿最后一维（键）计算，而且已经能接受掩码。
"""

# %%
from ladder.graders.stage1_foundation.day10_scaled_dot_product_attention import check_sdpa

check_sdpa(sdpa)

# %% [markdown] lang="en"
r"""
PyTorch has this function, with the same meaning of the mask. Compare. Then look at the weights of one example under three masks: every key allowed, a sequence of four tokens padded to six, and no looking ahead. The fourth picture
masks everything for the first two queries. (A query with a single key left counts as saturated: it has no choice.)
"""

# %% [markdown] lang="zh"
r"""
PyTorch 有这个函数，掩码的含义也相同。来比较一下。然后看同一个样本在三种掩码下的权重：允许所有的键；四个 token 的序列填充到六个；不许往后看。第四幅图里，前两个查询的一切都被遮住了。
（只剩一个键可选的查询会被算作饱和：它别无选择。）
"""

# %%
generator = torch.Generator().manual_seed(2)
q, k, v = (torch.randn(2, 4, 6, 16, generator=generator, dtype=torch.float64) for _ in range(3))
masks = {
    "no mask": torch.ones(6, 6, dtype=torch.bool),
    "padding": torch.tensor([True, True, True, True, False, False]).expand(6, 6),
    "causal": torch.ones(6, 6).tril().bool(),
    "two empty rows": torch.ones(6, 6).tril(-2).bool(),
}
fig, axes = plt.subplots(1, 4, figsize=(11, 3.5), layout="constrained")
for ax, (name, mask) in zip(axes, masks.items(), strict=True):
    gap = (sdpa(q, k, v, mask) - F.scaled_dot_product_attention(q, k, v, mask)).abs().max()
    A = sdpa(q, k, torch.eye(6, dtype=q.dtype), mask)               # the identity again: the weights
    print(f"{name}: differs from PyTorch by {float(gap):.0e}; {check_attention(A)}")
    ax.imshow(A[0, 0], vmin=0, vmax=1, cmap="Blues")
    ax.set(title=name, xlabel="key", xticks=range(6), yticks=range(6))
axes[0].set_ylabel("query")
plt.show()

# %% [markdown] lang="en"
r"""
## 6 · Self-attention

Where do queries, keys and values come from? In **self-attention** all three come from one sequence $X$ of $T$ tokens (rows, of size $d$), by three learned matrices:

$$Q = XW_q,\qquad K = XW_k,\qquad V = XW_v$$

Each token asks, can be found, and has something to tell, and the three need not be alike: that is what the three matrices are for. With $A = QK^\top/\sqrt{d_k} = X\,W_qW_k^\top\,X^\top/\sqrt{d_k}$ you can read a score as a learned comparison of two tokens, and it need not be symmetric: that $t$ needs $s$ does not mean that $s$ needs $t$.
"""

# %% [markdown] lang="zh"
r"""
## 6 · 自注意力

查询、键、值从哪里来？在**自注意力**中，三者都来自同一个序列 $X$，它有 $T$ 个 token（各占一行，大小为 $d$），分别经过三个可学习的矩阵：

$$Q = XW_q,\qquad K = XW_k,\qquad V = XW_v$$

每个 token 都要提问，都能被找到，也都有内容可讲，而这三者不必相同：三个矩阵正是为此而设。由 $A = QK^\top/\sqrt{d_k} = X\,W_qW_k^\top\,X^\top/\sqrt{d_k}$ 可以把分数看作对两个 token 的一种学来的比较，它不必对称：$t$ 需要 $s$，并不意味着 $s$ 需要 $t$。
"""

# %% exercise="self_attention"
from ladder.solutions.stage1_foundation.day10_scaled_dot_product_attention import self_attention

# %% [markdown] lang="zh" docstring="self_attention"
r"""
自注意力：查询、键、值是同一个序列的三个线性映射。

``x`` 存放 B 个序列，每个序列 T 个 token，每个 token 是大小为 d 的向量。token 乘以 ``Wq`` 得到它的查询，
乘以 ``Wk`` 得到键，乘以 ``Wv`` 得到值（没有偏置）。每个 token 的查询用缩放点积注意力关注本序列的各个键，
与 ``sdpa`` 相同。

``mask`` 可以广播到 (B, T, T)：[b, t, s] 处为 True 表示 token t 可以关注 token s。
请用张量运算来写：不用 torch.nn，不用现成的 softmax 或注意力函数。
"""

# %% [markdown] hint="self_attention" lang="en"
r"""
Your sdpa does the whole comparison. What is left is to make its three arguments from x, in the right order.
"""

# %% [markdown] hint="self_attention" lang="zh"
r"""
比较的工作 sdpa 已经全做了。剩下的只是由 x 得到它的三个参数，次序不要弄错。
"""

# %% [markdown] hint="self_attention" lang="en"
r"""
x is (B, T, d) and Wq is (d, dk), so x @ Wq is (B, T, dk): no transpose. B is then a dimension in front, which sdpa handles. Hand on the mask.
"""

# %% [markdown] hint="self_attention" lang="zh"
r"""
x 是 (B, T, d)，Wq 是 (d, dk)，所以 x @ Wq 是 (B, T, dk)：不需要转置。B 就成了前面的维度，sdpa 会处理。别忘了把掩码传下去。
"""

# %%
from ladder.graders.stage1_foundation.day10_scaled_dot_product_attention import (
    check_self_attention,
)

check_self_attention(self_attention)

# %% [markdown] lang="en"
r"""
Does a layer *learn* to look things up? A test: each sequence holds eight entries of a dictionary made for that sequence alone, and then a ninth token that names one of the keys. The answer wanted is the value of that key. No weights can know it in advance: the only way is to
find the entry. The same layer must answer for thousands of different dictionaries, trained by gradient descent through your functions.
"""

# %% [markdown] lang="zh"
r"""
一个层能*学会*查询吗？做个测试：每个序列里有八个条目，组成只属于这个序列的字典，随后第九个 token 说出其中一个键，要回答的是这个键的值。
任何权重都不可能预先知道答案：唯一的办法是找到那个条目。同一个层必须对成千上万本不同的字典作答，它由梯度下降经过你写的函数训练而成。
"""

# %%
KEYS, VALUES, ENTRIES = 16, 8, 8


def dictionaries(B, generator):
    """B sequences (B, 9, 24), the values to answer (B,), and where each entry stands (B,)."""
    keys = torch.rand(B, KEYS, generator=generator).argsort(dim=1)[:, :ENTRIES]
    values = torch.randint(VALUES, (B, ENTRIES), generator=generator)
    asked = torch.randint(ENTRIES, (B,), generator=generator)
    each = torch.arange(B)
    x = torch.zeros(B, ENTRIES + 1, KEYS + VALUES)
    x[:, :ENTRIES, :KEYS] = F.one_hot(keys, KEYS).float()
    x[:, :ENTRIES, KEYS:] = F.one_hot(values, VALUES).float()
    x[each, ENTRIES, keys[each, asked]] = 1
    return x, values[each, asked], asked


generator = torch.Generator().manual_seed(0)
weights = [0.3 * torch.randn(KEYS + VALUES, size, generator=generator) for size in (16, 16, VALUES)]
for W in weights:
    W.requires_grad_()
optimiser = torch.optim.Adam(weights, lr=0.05)
entries_only = torch.tensor([True] * ENTRIES + [False])             # nobody attends to the question
with Training(150, "looking up") as run:
    for _ in run:
        x, y, _ = dictionaries(64, generator)
        loss = F.cross_entropy(self_attention(x, *weights, entries_only)[:, -1], y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        run.log(loss=loss.item())

x, y, asked = dictionaries(1000, generator)
Wq, Wk, Wv = (W.detach() for W in weights)
right = (self_attention(x, Wq, Wk, Wv, entries_only)[:, -1].argmax(dim=-1) == y).float().mean()
A = sdpa(x @ Wq, x @ Wk, torch.eye(ENTRIES + 1), entries_only)
print(f"{float(right):.1%} of 1000 new dictionaries answered; guessing gets {1 / VALUES:.1%}")
print("weights of the questions:", check_attention(A[:, -1:]))

fig, (left, middle, last) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
left.plot(run.history["loss"])
left.axhline(math.log(VALUES), color="k", ls=":", lw=1)
left.set(xlabel="step", ylabel="cross-entropy of the answer", title=r"dotted: $\log 8$, guessing")
middle.imshow(A[:12, -1, :ENTRIES], vmin=0, vmax=1, cmap="Blues", aspect="auto")
middle.plot(asked[:12], range(12), "rx", label="the entry asked for")
middle.set(xlabel="entry", ylabel="question", title="weights, 12 questions", yticks=range(12))
middle.legend(fontsize=8, loc="upper left")
last.imshow(Wq @ Wk.T, cmap="coolwarm", vmin=-20, vmax=20)
last.set(xlabel="component of the token searched", ylabel="component of the token asking",
         title=r"$W_qW_k^\top$")
plt.show()

# %% [markdown] lang="en"
r"""
Look at the last picture. The sixteen components that hold the key show a diagonal: "your key equals mine" is what the layer has come to compare, and nobody told it to. Where the values are, there is next to nothing: they do not help to find anything. They are for $W_v$. The report calls every row saturated, and rightly so: the layer grew $W_q$ and $W_k$ once it knew where to look. What the scaling prevents is being sure before knowing anything.

Note what the layer does *not* know: the entries could stand in any other order and the answer would be the same. Day 13 adds positions. And note the price: $T^2$ scores for $T$ tokens, each in memory. Section 4 of the paper weighs it against recurrence, and Day 29 removes the memory.

## 7 · The paper

Six questions on sections 3.2 and 4 of [arXiv 1706.03762](https://arxiv.org/abs/1706.03762).

**Question 1** (section 3.2). What determines the weight that a value receives?

- (a) how well the query fits that value
- (b) how well the query fits the key that belongs to the value
- (c) how often the value occurred in training
- (d) how far the value's position is from the query's

**Question 2** (section 3.2.1). What speaks for dot-product attention against additive attention, according to the paper?

- (a) its theoretical complexity is of a lower order
- (b) for large $d_k$ it does better even without any scaling
- (c) it is the only one of the two that can be masked
- (d) in practice it is much faster and takes less space, being a matrix multiplication

**Question 3** (section 3.2.1, footnote). Components are independent with mean 0 and variance 1, and $d_k = 64$. What is the standard deviation of $q\cdot k$, before any scaling?

- (a) $8$
- (b) $64$
- (c) $1$
- (d) $\sqrt{8}$

**Question 4** (section 3.2.3). In encoder-decoder attention, which sequences give queries, keys and values?

- (a) queries from the encoder's output, keys and values from the decoder
- (b) queries and keys from the decoder, values from the encoder's output
- (c) queries from the decoder, keys and values from the encoder's output
- (d) all three from the decoder

**Question 5** (section 3.2.3). How does the paper keep the decoder from attending to later positions?

- (a) it sets the forbidden scores to 0 before the softmax
- (b) it sets the forbidden weights to 0 after the softmax
- (c) it takes the later tokens out of the sequence
- (d) it sets the forbidden scores to $-\infty$ before the softmax

**Question 6** (section 4, table 1). A sentence has $n = 70$ tokens of size $d = 512$. How does a self-attention layer compare with a recurrent one?

- (a) it needs more operations, since its cost grows with $n^2$, but all tokens run in parallel
- (b) it needs fewer operations, and any two tokens are joined by a path of length $O(1)$
- (c) it needs fewer operations, but far tokens are joined by longer paths than near ones
- (d) it needs as many operations, and $O(n)$ of them must run one after the other
"""

# %% [markdown] lang="zh"
r"""
看最后一幅图。存放键的十六个分量之间出现了一条对角线：“你的键等于我的键”，这就是该层学会比较的东西，而没有人告诉过它。存放值的地方几乎什么也没有：它们对查找毫无帮助，那是留给 $W_v$ 的。报告说每一行都饱和了，这也理所应当：知道该看哪里之后，这一层才把 $W_q$ 与 $W_k$ 增大。缩放要防止的，是还什么都不知道就已十分确信。

也要注意这一层*不*知道什么：条目换成任何别的次序，回答都一样。第 13 天会加入位置。还要注意代价：$T^2$ 个分数对应 $T$ 个 token，每个都要占内存。论文第 4 节拿它与循环层作了权衡，第 29 天会把这份内存省掉。

## 7 · 论文测验

关于 [arXiv 1706.03762](https://arxiv.org/abs/1706.03762) 3.2 节与第 4 节的六道题。

**第 1 题**（3.2 节）。一个值得到的权重由什么决定？

- (a) 查询与这个值的匹配程度
- (b) 查询与这个值所属的键的匹配程度
- (c) 这个值在训练中出现的次数
- (d) 这个值的位置与查询的位置相距多远

**第 2 题**（3.2.1 节）。按论文的说法，与加性注意力相比，点积注意力好在哪里？

- (a) 它的理论复杂度阶数更低
- (b) $d_k$ 较大时，即使完全不缩放它也更好
- (c) 二者之中只有它能加掩码
- (d) 它就是矩阵乘法，因此实际中快得多，也更省空间

**第 3 题**（3.2.1 节，脚注）。各分量独立，均值为 0、方差为 1，且 $d_k = 64$。未经缩放时，$q\cdot k$ 的标准差是多少？

- (a) $8$
- (b) $64$
- (c) $1$
- (d) $\sqrt{8}$

**第 4 题**（3.2.3 节）。在编码器-解码器注意力中，查询、键、值分别来自哪里？

- (a) 查询来自编码器的输出，键和值来自解码器
- (b) 查询和键来自解码器，值来自编码器的输出
- (c) 查询来自解码器，键和值来自编码器的输出
- (d) 三者都来自解码器

**第 5 题**（3.2.3 节）。论文怎样阻止解码器关注后面的位置？

- (a) 在 softmax 之前把被禁止的分数设为 0
- (b) 在 softmax 之后把被禁止的权重设为 0
- (c) 把后面的 token 从序列中去掉
- (d) 在 softmax 之前把被禁止的分数设为 $-\infty$

**第 6 题**（第 4 节，表 1）。一个句子有 $n = 70$ 个 token，大小为 $d = 512$。自注意力层与循环层相比如何？

- (a) 运算量更大，因为代价随 $n^2$ 增长，但所有 token 可以并行
- (b) 运算量更小，而且任意两个 token 之间的路径长度为 $O(1)$
- (c) 运算量更小，但相距远的 token 之间路径比相距近的更长
- (d) 运算量相同，其中 $O(n)$ 步必须一步接一步地进行
"""

# %% exercise="quiz"
from ladder.solutions.stage1_foundation.day10_scaled_dot_product_attention import paper_quiz

# %% [markdown] lang="zh" docstring="paper_quiz"
r"""
你对上面六道题的回答，每题一个字母。

返回一个字典，键为 "q1" 到 "q6"，值为 "a"、"b"、"c" 或 "d"。
"""

# %% [markdown] hint="quiz" lang="en"
r"""
Each question names its section. Read that section with the question beside it; a single wrong answer comes with a pointer to what to reread.
"""

# %% [markdown] hint="quiz" lang="zh"
r"""
每道题都注明了章节。把题目放在旁边，再读那一节；若只错一题，检查会指出该重读哪里。
"""

# %% [markdown] hint="quiz" lang="en"
r"""
Question 3 can be decided with your own dot_variance, question 5 with your own safe_softmax: try the other ways on three numbers. For question 6 put the numbers into n²·d and n·d².
"""

# %% [markdown] hint="quiz" lang="zh"
r"""
第 3 题可以用你的 dot_variance 来判断，第 5 题用你的 safe_softmax：拿三个数试试其他做法。第 6 题把数代入 n²·d 与 n·d²。
"""

# %%
from ladder.graders.stage1_foundation.day10_scaled_dot_product_attention import check_quiz

check_quiz(paper_quiz)

# %% [markdown] lang="en"
r"""
## What you have now

| function | what it is for |
| --- | --- |
| `safe_softmax` | every attention of the coming days; the same care again in float16, where overflow begins at 65,504 |
| `check_attention` | the first thing to call when a run goes to NaN, or stops learning |
| `soft_lookup` | the picture to keep in mind: query, key, value |
| `sdpa` | the core of Day 11's heads, and the reference that FlashAttention is tested against (Day 29) |
| `self_attention` | one head of a Transformer |

One softmax gives one pattern for each token. Tomorrow a token gets several at once, and a mask that hides the future.
"""

# %% [markdown] lang="zh"
r"""
## 你现在拥有的工具

| 函数 | 用途 |
| --- | --- |
| `safe_softmax` | 接下来几天的所有注意力；在 float16 下同样要这样小心，那里超过 65,504 就会溢出 |
| `check_attention` | 训练出现 NaN 或停止学习时，首先调用它 |
| `soft_lookup` | 记在脑中的那幅图：查询、键、值 |
| `sdpa` | 第 11 天每个头的核心，也是检验 FlashAttention 时的参照（第 29 天） |
| `self_attention` | Transformer 的一个头 |

一个 softmax 只能给每个 token 一种关注模式。明天一个 token 会同时拥有好几种，还有一个遮住未来的掩码。
"""

# %% [markdown] lang="en"
r"""
# Day 20 · RMSNorm and SwiGLU

Stage 2 turns the Transformer of 2017 into Llama. Four parts change: the normalisation, the feed-forward network, the positions (Day 21) and the attention heads (Day 22). Today come the first two. Each is a
short formula; what matters is to know what it gave up, and how one finds out whether that was worth it.

At the end of the day you can

- write RMSNorm forward and backward by hand, and say what it does not notice and LayerNorm does, or the other way round;
- derive the derivative of SiLU and the backward pass of SwiGLU;
- size a gated network so that a comparison is fair (the 2/3 rule, and why Llama 7B has 11008 hidden units);
- run an **ablation**: a table of real trainings in which one thing differs, with several seeds.

**Read first** (one hour): Zhang and Sennrich, *Root Mean Square Layer Normalization*, [arXiv 1910.07467](https://arxiv.org/abs/1910.07467), sections 3 and 4; Shazeer, *GLU Variants Improve Transformer*,
[arXiv 2002.05202](https://arxiv.org/abs/2002.05202), all five pages. Plan three hours for the rest.
"""

# %% [markdown] lang="zh"
r"""
# 第 20 天 · RMSNorm 与 SwiGLU

第二阶段把 2017 年的 Transformer 变成 Llama。要换的部件有四个：归一化、前馈网络、位置（第 21 天）和注意力头（第 22 天）。今天换前两个。它们各是一个
很短的公式；要紧的是弄清它放弃了什么，以及怎样查明这样做值不值。

学完这一天，你能够

- 手写 RMSNorm 的前向与反向，并说出哪些变化它察觉不到而 LayerNorm 能察觉，或者反过来；
- 推导 SiLU 的导数与 SwiGLU 的反向传播；
- 为门控网络选定大小，使比较公平（2/3 规则，以及 Llama 7B 为什么有 11008 个隐藏单元）；
- 做一次**消融实验**：一张由真实训练得到的表，每次只有一处不同，并用多个随机种子。

**先读**（约一小时）：Zhang 与 Sennrich，*Root Mean Square Layer Normalization*，[arXiv 1910.07467](https://arxiv.org/abs/1910.07467)，第 3、4 节；Shazeer，*GLU Variants Improve Transformer*，
[arXiv 2002.05202](https://arxiv.org/abs/2002.05202)，全文五页。其余部分约需三小时。
"""

# %% setup
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ladder.earlier.day11_multi_head_attention import MultiHeadAttention
from ladder.earlier.day12_transformer_block import LayerNorm, layernorm

# %% [markdown] lang="en"
r"""
## 1 · RMSNorm: keep the size, forget the mean

Layer normalisation (Day 12) takes two numbers from every token: its mean and its size. Zhang and Sennrich ask whether both are needed. Their hypothesis (section 1): what stabilises training is the size alone. So (section 3, equation 4)

$$r = \sqrt{\frac1d\sum_i x_i^2+\varepsilon},\qquad \hat x_i=\frac{x_i}{r},\qquad y_i = g_i\,\hat x_i$$

No mean, no shift $b$, one pass over the data instead of two. The paper's own formula has no $\varepsilon$; every implementation has one, and its default varies between models: it is part of a checkpoint's configuration.

**Precision.** Large models compute in 16 bits. The largest float16 is 65504, so the square of an entry of 300 is already infinite. Llama therefore computes $\hat x$ in float32, rounds it back, and multiplies by $g$ last. Your function does the same.
"""

# %% [markdown] lang="zh"
r"""
## 1 · RMSNorm：只管大小，不管均值

层归一化（第 12 天）从每个 token 拿走两个数：均值与大小。Zhang 与 Sennrich 问：两个都需要吗？他们的假设（第 1 节）是：使训练稳定的只是大小。于是（第 3 节，式 4）

$$r = \sqrt{\frac1d\sum_i x_i^2+\varepsilon},\qquad \hat x_i=\frac{x_i}{r},\qquad y_i = g_i\,\hat x_i$$

没有均值，没有平移 $b$，数据只需扫一遍而不是两遍。论文的公式里没有 $\varepsilon$；实际的实现都有，且默认值因模型而异：它是检查点配置的一部分。

**精度。** 大模型用 16 位计算。float16 的最大值是 65504，一个等于 300 的元素，平方就已经是无穷大。所以 Llama 用 float32 计算 $\hat x$，舍入回原来的 dtype，最后才乘以 $g$。你的函数也照此办理。
"""

# %% exercise="rmsnorm"
from ladder.solutions.stage2_architecture.day20_rmsnorm_and_swiglu import rmsnorm

# %% [markdown] lang="zh" docstring="rmsnorm"
r"""
RMS 归一化，arXiv 1910.07467 的式 4：沿最后一维的每个向量各自处理。

    r = √(Σ x_i² / d + eps),      x̂_i = x_i / r,      y_i = g_i x̂_i.

``x`` 前面可以有任意多个维度，也可以没有；dtype 可以是任何浮点类型，``g`` 的 dtype 与它相同。
返回 ``(y, cache)``：y 的形状与 dtype 与 ``x`` 相同；cache 是你的 ``rmsnorm_backward``
将要用到的任何东西，检查不会看它的内容。

精度：``x`` 为 float16 或 bfloat16 时，x̂ 用 float32 计算，以免平方溢出，并在乘以 g 之前舍入到
``x`` 的 dtype。float64 始终保持 float64。

各参数不得被改动；自动求导开启时，梯度能经过 y 回传。用张量运算写：不用 torch.nn，
也不用现成的归一化函数。
"""

# %% [markdown] hint="rmsnorm" lang="en"
r"""
Start from your layer normalisation and cross out what the formula no longer has. Which dimension does the mean of the squares run over, and does the result still broadcast against x?
"""

# %% [markdown] hint="rmsnorm" lang="zh"
r"""
从你的层归一化出发，划掉公式里已经没有的部分。平方的均值沿哪一维取？结果还能与 x 广播吗？
"""

# %% [markdown] hint="rmsnorm" lang="en"
r"""
Three lines: a wide copy of x, its root mean square, the quotient. x.to(dtype) converts; torch.promote_types(x.dtype, torch.float32) names the wider of the two dtypes. Convert back before g comes in. For the cache, think ahead: part 2 needs the
normalised vector, what it was divided by, and the gain.
"""

# %% [markdown] hint="rmsnorm" lang="zh"
r"""
三行：x 的高精度副本、它的均方根、两者之商。x.to(dtype) 作转换；torch.promote_types(x.dtype, torch.float32) 给出两者中较宽的 dtype。在乘 g 之前转换回来。cache 要想到后面：第 2 部分需要归一化后的向量、除数以及增益。
"""

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_rmsnorm

check_rmsnorm(rmsnorm)

# %% [markdown] lang="en"
r"""
In two dimensions you can see the whole difference. RMSNorm maps the plane to a circle of radius $\sqrt2$ and keeps every direction. LayerNorm first projects on the line $x_1+x_2=0$, and on that line there is nothing left but a sign.
"""

# %% [markdown] lang="zh"
r"""
在二维空间里，差别一目了然。RMSNorm 把平面映射到半径为 $\sqrt2$ 的圆上，每个方向都保留下来。LayerNorm 先投影到直线 $x_1+x_2=0$ 上，而在这条线上，除了正负号就什么都不剩了。
"""

# %%
cloud = 1.5 * torch.randn(400, 2, generator=torch.Generator().manual_seed(20), dtype=torch.float64)
one, zero = torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
pictures = {"tokens, d = 2": cloud, "RMSNorm": rmsnorm(cloud, one)[0], "LayerNorm": layernorm(cloud, one, zero)}

fig, axes = plt.subplots(1, 3, figsize=(11, 3.7), layout="constrained")
for ax, (title, points) in zip(axes, pictures.items(), strict=True):
    ax.scatter(*points.T, c=torch.atan2(cloud[:, 1], cloud[:, 0]), cmap="hsv", s=8)
    ax.set(title=title, xlabel="channel 1", ylabel="channel 2", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
plt.show()

# %% [markdown] lang="en"
r"""
## 2 · Backward by hand, and the layer

Let $\hat d_i = \partial L/\partial\hat x_i$. An entry $x_j$ now reaches the loss on **two** ways instead of LayerNorm's three: directly, in $\hat x_j$, and through $r$, which stands in every $\hat x_i$. Work out on paper, in this order,

$$\frac{\partial r}{\partial x_j},\qquad \frac{\partial \hat x_i}{\partial x_j},\qquad \frac{\partial L}{\partial x_j}=\sum_i \hat d_i\,\frac{\partial \hat x_i}{\partial x_j}$$

Start from $r^2 = \frac1d\sum_i x_i^2+\varepsilon$ and write the first result with $\hat x_j$. The gradient of $g$ is what it was for LayerNorm.
"""

# %% [markdown] lang="zh"
r"""
## 2 · 手写反向，以及网络层

设 $\hat d_i = \partial L/\partial\hat x_i$。现在元素 $x_j$ 通向损失的路有**两**条，而 LayerNorm 有三条：直接在 $\hat x_j$ 中；经过 $r$，它出现在每个 $\hat x_i$ 里。请在纸上依次推出

$$\frac{\partial r}{\partial x_j},\qquad \frac{\partial \hat x_i}{\partial x_j},\qquad \frac{\partial L}{\partial x_j}=\sum_i \hat d_i\,\frac{\partial \hat x_i}{\partial x_j}$$

从 $r^2 = \frac1d\sum_i x_i^2+\varepsilon$ 出发，并用 $\hat x_j$ 表示第一个结果。$g$ 的梯度与 LayerNorm 时一样。
"""

# %% exercise="rmsnorm_backward"
from ladder.solutions.stage2_architecture.day20_rmsnorm_and_swiglu import rmsnorm_backward, RMSNorm

# %% [markdown] lang="zh" docstring="rmsnorm_backward"
r"""
把损失的梯度手工反向传过 ``rmsnorm``。

``cache`` 是 ``rmsnorm(x, g, eps)`` 与 y 一起返回的那一个，``dy`` = ∂L/∂y 的形状与 dtype 与 x 相同。
返回 ``(dx, dg)`` = (∂L/∂x, ∂L/∂g)，各自与所属的张量形状、dtype 相同：所有向量共用 g。
对任何 eps 都精确成立。``dy`` 与 ``cache`` 不得被改动，因此可以用同一个 cache 再次调用。

运行时自动求导是关闭的，也不允许使用 torch.autograd。
"""

# %% [markdown] lang="zh" docstring="RMSNorm"
r"""
作为网络层的 RMS 归一化：带有自己增益的 ``rmsnorm``，只返回 y。

``RMSNorm(dim, eps)`` 有且只有一个参数：``weight``，形状为 (dim,) 的 ``nn.Parameter``。
统计量取自沿最后一维的每个向量。
"""

# %% [markdown] lang="zh" docstring="RMSNorm.__init__"
r"""创建用于 ``dim`` 个通道的向量的层。开始时 weight 处处为 1。"""

# %% [markdown] lang="zh" docstring="RMSNorm.forward"
r"""用本层的 weight 与 eps 对 ``x`` 作 ``rmsnorm``，返回其中的 y。"""

# %% [markdown] hint="rmsnorm_backward" lang="en"
r"""
Differentiate r² on both sides: 2r ∂r/∂x_j = 2x_j/d. Then use the quotient rule on x_i / r, and look for x̂ in what comes out. For half precision, compute in the dtype in which the cache keeps x̂, and convert at the end.
"""

# %% [markdown] hint="rmsnorm_backward" lang="zh"
r"""
在 r² 两边求导：2r ∂r/∂x_j = 2x_j/d。然后对 x_i / r 用商的求导法则，再从结果中辨认出 x̂。半精度时，用 cache 中 x̂ 的 dtype 计算，最后再转换。
"""

# %% [markdown] hint="rmsnorm_backward" lang="en"
r"""
∂x̂_i/∂x_j = (δ_ij − x̂_i x̂_j / d) / r. Multiply by d̂_i and sum over i: one term is d̂_j, in the other a mean over the channels appears. dg sums over every dimension but the last, of which there may be none. The layer needs one nn.Parameter, its eps, and one call.
"""

# %% [markdown] hint="rmsnorm_backward" lang="zh"
r"""
∂x̂_i/∂x_j = (δ_ij − x̂_i x̂_j / d) / r。乘以 d̂_i 并对 i 求和：一项是 d̂_j，另一项中出现对各通道的均值。dg 对最后一维以外的所有维度求和，而这些维度也可能一个都没有。网络层需要一个 nn.Parameter、自己的 eps 和一次调用。
"""

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_rmsnorm_backward

check_rmsnorm_backward(rmsnorm, rmsnorm_backward)

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_rmsnorm_module

check_rmsnorm_module(RMSNorm)

# %% [markdown] lang="en"
r"""
Read the formula as geometry once more. The second term takes the part along $\hat x$ out of $\hat d$, and all is divided by $r$. Below, grey arrows are one and the same $\partial L/\partial y$ at every output; red arrows are your $\partial L/\partial x$. They are tangent to the circle, and twice as far out they are half as long.
That is the "implicit learning rate adaptation" of section 4: a vector that has grown receives smaller gradients.
"""

# %% [markdown] lang="zh"
r"""
再次把公式当作几何来读。第二项从 $\hat d$ 中去掉沿 $\hat x$ 的分量，然后全部除以 $r$。下图中，灰色箭头是每个输出处同一个 $\partial L/\partial y$；红色箭头是你的 $\partial L/\partial x$。它们与圆相切，离原点两倍远，长度就只有一半。
这就是第 4 节所说的“隐式的学习率自适应”：变大了的向量，收到的梯度变小。
"""

# %%
angles = torch.linspace(0, 4 * math.pi, 25, dtype=torch.float64)[:-1]
radii = torch.tensor([1.0, 2.0], dtype=torch.float64).repeat_interleave(12)
inputs = radii[:, None] * torch.stack([angles.cos(), angles.sin()], dim=1)
outputs, cache = rmsnorm(inputs, one)
arriving = torch.tensor([0.4, 0.2], dtype=torch.float64).expand(24, 2)
leaving, _ = rmsnorm_backward(arriving, cache)

fig, ax = plt.subplots(figsize=(5.4, 5.2), layout="constrained")
for points, arrows, colour, name in ((outputs, arriving, "0.6", r"$\partial L/\partial y$ at y"),
                                     (inputs, leaving, "C3", r"$\partial L/\partial x$ at x")):
    ax.plot(*points.T, "o", ms=4, color=colour)
    ax.quiver(*points.T, *arrows.T, color=colour, angles="xy", scale_units="xy", scale=1, width=0.006, label=name)
ax.set(xlabel="channel 1", ylabel="channel 2", aspect="equal", xlim=(-2.7, 2.7), ylim=(-2.7, 2.7))
ax.legend(loc="upper left")
plt.show()
print(f"largest |dx · x̂| = {(leaving * outputs).sum(dim=1).abs().max():.1e}: eps is the only reason that it is not 0")

# %% [markdown] lang="en"
r"""
## 3 · What a normalisation does not notice

A property of a layer is a change that it does not see. Section 4 of the paper considers a layer $Y = \mathrm{norm}(XW)$ and six changes: of the weights (all scaled; the same vector added to all columns; one column scaled) and of the data (all scaled; all shifted; one case scaled). Its table 1 says yes or no for each.
Make the table as numbers: how far the output moves.

Before you run it, write down what you expect for LayerNorm and RMSNorm. In which one of the six do they differ, and why is it a shift of the *weights*, not of the data?
"""

# %% [markdown] lang="zh"
r"""
## 3 · 归一化察觉不到什么

所谓一层的性质，就是它察觉不到的变化。论文第 4 节考察 $Y = \mathrm{norm}(XW)$ 这样一层，以及六种变化：权重的（整体缩放；每一列都加上同一个向量；某一列缩放）与数据的（整体缩放；整体平移；某个样本缩放）。表 1 对每一种回答“是”或“否”。
请把这张表做成数字：输出移动了多远。

运行之前，先写下你对 LayerNorm 与 RMSNorm 的预期。六种之中，二者在哪一种上不同？为什么是*权重*的平移，而不是数据的平移？
"""

# %% exercise="invariances"
from ladder.solutions.stage2_architecture.day20_rmsnorm_and_swiglu import rms_vs_layernorm

# %% [markdown] lang="zh" docstring="rms_vs_layernorm"
r"""
归一化察觉不到什么：把 arXiv 1910.07467 表 1 的各列变成数字。

``norm`` 把形状为 (cases, n) 的张量映射为同样形状的张量。一层计算 Y = norm(X W)，X 的一行是一个样本。
用六种方式之一改变权重或数据，再计算 Y′。返回含六个 Python float 的字典，
每个都是所有元素上最大的 |Y′ − Y|：

- "matrix_scale"：W 的每个元素乘以 ``a``；
- "matrix_shift"：W 的每一列都加上向量 ``v``；
- "column_scale"：W 的第一列乘以 ``a``，其余各列不变；
- "data_scale"：X 的每个元素乘以 ``a``；
- "data_shift"：X 的每一行都加上向量 ``v``；
- "case_scale"：X 的第一行乘以 ``a``，其余各行不变。

``norm`` 可能同时用到多行，所以每次都把所有行交给它。``W``、``X`` 与 ``v`` 不得被改动。
"""

# %% [markdown] hint="invariances" lang="en"
r"""
Write down six pairs (changed X, changed W), in which one of the two is always the original. What is left is the same line for all of them.
"""

# %% [markdown] hint="invariances" lang="zh"
r"""
写出六对（改动后的 X，改动后的 W），每一对中总有一个是原样的。剩下的事，对它们都是同一行代码。
"""

# %% [markdown] hint="invariances" lang="en"
r"""
W has shape (d, n) and one column for each output; v has d entries, so it needs a second dimension before it can be added to every column. For one column or one row, multiply by a tensor of ones in which one entry is a, or change a clone.
"""

# %% [markdown] hint="invariances" lang="zh"
r"""
W 的形状是 (d, n)，每个输出占一列；v 有 d 个元素，要加到每一列上，先得给它补一个维度。只改一列或一行时，可以乘以一个只有一处为 a、其余为 1 的张量，或者改动一个 clone。
"""

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_invariances

check_invariances(rms_vs_layernorm)

# %%
generator = torch.Generator().manual_seed(1)
W, X, v = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((8, 16), (32, 8), (8,)))
ones, zeros = torch.ones(16, dtype=torch.float64), torch.zeros(16, dtype=torch.float64)
candidates = {
    "none": lambda y: y,
    "BatchNorm": lambda y: (y - y.mean(dim=0)) / y.std(dim=0, correction=0),
    "LayerNorm": lambda y: layernorm(y, ones, zeros, 0.0),
    "RMSNorm": lambda y: rmsnorm(y, ones, 0.0)[0],
}
gaps = {name: rms_vs_layernorm(norm, W, X, 2.0, v) for name, norm in candidates.items()}
columns = list(gaps["none"])

fig, ax = plt.subplots(figsize=(9, 3), layout="constrained")
seen = torch.tensor([[gap > 1e-9 for gap in row.values()] for row in gaps.values()])
ax.imshow(seen, cmap="Reds", vmin=0, vmax=2, aspect="auto")
for i, row in enumerate(gaps.values()):
    for j, gap in enumerate(row.values()):
        ax.text(j, i, f"{gap:.2f}" if gap > 1e-9 else "0", ha="center", va="center")
ax.set_xticks(range(6), columns)
ax.set_yticks(range(4), list(gaps))
ax.set_title("largest change of the output (white: not noticed)")
plt.show()

# %% [markdown] lang="en"
r"""
LayerNorm and RMSNorm differ in exactly one column. A vector $v$ added to every column of $W$ adds the same number $x\cdot v$ to all outputs of a case, which LayerNorm takes away with the mean and RMSNorm does not. A shift of the data adds $vW$, another number to each output, and neither of them is invariant to that.
The paper's claim is that this one column is dispensable. Whether it is cannot be derived; it has to be measured. That is part 7.
"""

# %% [markdown] lang="zh"
r"""
LayerNorm 与 RMSNorm 恰好只在一列上不同。给 $W$ 的每一列加上向量 $v$，等于给一个样本的所有输出加上同一个数 $x\cdot v$；LayerNorm 会随均值把它减掉，RMSNorm 不会。数据平移则加上 $vW$，每个输出加的数各不相同，二者对它都不具有不变性。
论文的主张是：这一列可有可无。是否如此推导不出来，只能测量。这是第 7 部分的事。
"""

# %% [markdown] lang="en"
r"""
## 4 · SiLU

Now the feed-forward network. ReLU has a corner, and its derivative is 0 for every negative argument: a unit that is off learns nothing. SiLU, found under the name Swish by a search over formulas ([arXiv 1710.05941](https://arxiv.org/abs/1710.05941)), multiplies its argument by a soft switch:

$$\mathrm{silu}(x) = x\,\sigma(x),\qquad \sigma(x)=\frac1{1+e^{-x}},\qquad \sigma'(x)=\sigma(x)\,\big(1-\sigma(x)\big)$$

Derive $\mathrm{silu}'(x)$ with the product rule. Check on paper that it is $\tfrac12$ at 0, tends to 1 and to 0 at the two ends, and that $\mathrm{silu}'(x)+\mathrm{silu}'(-x)=1$.
"""

# %% [markdown] lang="zh"
r"""
## 4 · SiLU

现在来看前馈网络。ReLU 有一个尖角，而且自变量为负时导数总是 0：关着的单元什么也学不到。SiLU（在搜索公式时以 Swish 之名被发现，[arXiv 1710.05941](https://arxiv.org/abs/1710.05941)）用一个软开关去乘它的自变量：

$$\mathrm{silu}(x) = x\,\sigma(x),\qquad \sigma(x)=\frac1{1+e^{-x}},\qquad \sigma'(x)=\sigma(x)\,\big(1-\sigma(x)\big)$$

用乘积法则推导 $\mathrm{silu}'(x)$。在纸上验证：它在 0 处等于 $\tfrac12$，在两端分别趋于 1 与 0，并且 $\mathrm{silu}'(x)+\mathrm{silu}'(-x)=1$。
"""

# %% exercise="silu"
from ladder.solutions.stage2_architecture.day20_rmsnorm_and_swiglu import silu, silu_grad

# %% [markdown] lang="zh" docstring="silu"
r"""
SiLU，即 β = 1 的 Swish（arXiv 1702.03118、1710.05941），逐元素计算：

    silu(x) = x σ(x),      σ(x) = 1 / (1 + e^(−x)).

形状与 dtype 同 ``x``，形状任意。|x| = 1000 时，函数值以及由自动求导得到的梯度也必须有限且正确。
``x`` 不得被改动。可以用 torch.sigmoid，不能用 torch.nn。
"""

# %% [markdown] lang="zh" docstring="silu_grad"
r"""
``silu`` 在 ``x`` 的每个元素处的导数，由公式得到，不用自动求导。

形状与 dtype 同 ``x``，形状任意；|x| = 1000 时也必须有限且正确。``x`` 不得被改动。
"""

# %% [markdown] hint="silu" lang="en"
r"""
silu is one line. For the derivative, name s = σ(x) and write everything with s and x; there is then no exponential left that could overflow.
"""

# %% [markdown] hint="silu" lang="zh"
r"""
silu 只有一行。求导数时记 s = σ(x)，一切都用 s 与 x 表示；这样就没有会溢出的指数函数了。
"""

# %% [markdown] hint="silu" lang="en"
r"""
Product rule: the derivative of the first factor times the second, plus the first times the derivative of the second; the box above gives σ′ with σ alone. Two values to test: silu′(1) = 0.9276705, silu′(−1) = 0.0723295.
"""

# %% [markdown] hint="silu" lang="zh"
r"""
乘积法则：第一个因子的导数乘第二个因子，加上第一个因子乘第二个因子的导数；上面的公式已经只用 σ 写出了 σ′。两个可供检验的值：silu′(1) = 0.9276705，silu′(−1) = 0.0723295。
"""

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_silu

check_silu(silu)

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_silu_grad

check_silu_grad(silu_grad)

# %%
grid = torch.linspace(-6, 6, 601, dtype=torch.float64)
gelu_curve = grid * (1 + torch.erf(grid / math.sqrt(2))) / 2
low, high = torch.tensor(-3.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
for _ in range(60):  # bisection: the derivative is negative at low, positive at high
    middle = (low + high) / 2
    low, high = (middle, high) if silu_grad(middle) < 0 else (low, middle)

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for values, name in ((silu(grid), "SiLU"), (gelu_curve, "GELU"), (grid.relu(), "ReLU")):
    left.plot(grid, values, label=name)
left.plot(low, silu(low), "ko", ms=4)
left.set(xlabel="x", ylabel="value", ylim=(-0.6, 3), xlim=(-6, 3))
left.legend()
right.plot(grid, silu_grad(grid), label="your silu_grad")
right.plot(grid, torch.gradient(silu(grid), spacing=(grid,))[0], "k:", label="slope of your silu, measured")
right.set(xlabel="x", ylabel="derivative")
right.legend()
plt.show()
print(f"lowest point of SiLU: x = {low:.4f}, value {silu(low):.4f}; largest slope {silu_grad(grid).max():.4f}")

# %% [markdown] lang="en"
r"""
## 5 · Gates

A unit of a plain network does two jobs with one number: it decides *whether* to speak and *what* to say. A **gated linear unit** (Dauphin et al., [arXiv 1612.08083](https://arxiv.org/abs/1612.08083)) computes two numbers, $u = xW$ and $v = xV$, and multiplies: $\phi(u)\odot v$. With a sigmoid, $\phi(u)$ is a switch between 0 and 1;
Shazeer's equation 5 puts other functions there. With no function at all ("bilinear"), the product alone is the nonlinearity.

In code the two matrices are often stored side by side as one, so that one large product gives both halves. Your `glu` starts there.
"""

# %% [markdown] lang="zh"
r"""
## 5 · 门

普通网络的一个单元用一个数做两件事：决定*要不要*说，以及说*什么*。**门控线性单元**（Dauphin 等，[arXiv 1612.08083](https://arxiv.org/abs/1612.08083)）计算两个数，$u = xW$ 与 $v = xV$，再相乘：$\phi(u)\odot v$。取 sigmoid 时，$\phi(u)$ 是 0 与 1 之间的开关；
Shazeer 的式 5 换上了别的函数。如果什么函数都不加（“bilinear”，双线性），乘积本身就是非线性。

代码里常把两个矩阵并排存成一个，这样一次大的矩阵乘法就得到两半。你的 `glu` 从这里开始。
"""

# %% exercise="glu"
from ladder.solutions.stage2_architecture.day20_rmsnorm_and_swiglu import glu

# %% [markdown] lang="zh" docstring="glu"
r"""
不含矩阵的门控线性单元：一半通道打开或关闭另一半通道。

``x`` 的最后一维有 2n 个元素：前 n 个是门的自变量 u，后 n 个是值 v。返回 φ(u) ⊙ v，
φ 由 ``kind`` 决定（arXiv 2002.05202 的式 4 与式 5）：

    "sigmoid"    σ(u)                      GLU，arXiv 1612.08083
    "bilinear"   u                         没有非线性
    "relu"       max(u, 0)                 ReGLU
    "gelu"       u (1 + erf(u/√2)) / 2     GEGLU，用精确的 GELU
    "silu"       u σ(u)                    SwiGLU

（与论文一致，门在前；torch.nn.functional.glu 的门在后。）``kind`` 为其他值，或 ``x`` 的最后一维
为奇数时，抛出 ValueError。``x`` 前面可以有任意多个维度，不得被改动。不能用 torch.nn。
"""

# %% [markdown] hint="glu" lang="en"
r"""
A dict from kind to function replaces a chain of if. Refuse first, then split. Which tensor method cuts the last dimension into two equal parts, one behind the other?
"""

# %% [markdown] hint="glu" lang="zh"
r"""
用一个从 kind 到函数的字典，可以代替一串 if。先拒绝，再切分。哪个张量方法能把最后一维切成一前一后相等的两段？
"""

# %% [markdown] hint="glu" lang="en"
r"""
x.chunk(2, dim=-1) gives two views, but of an odd length it silently makes two unequal ones: test the length yourself. If only "gelu" fails, compare with GELU(1) = 0.8413447.
"""

# %% [markdown] hint="glu" lang="zh"
r"""
x.chunk(2, dim=-1) 给出两个视图；但长度为奇数时，它会不声不响地切成不等的两段，所以要自己检查长度。如果只有 "gelu" 不对，与 GELU(1) = 0.8413447 比较。
"""

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_glu

check_glu(glu)

# %%
side = torch.linspace(-3, 3, 121)
plane = torch.stack(torch.meshgrid(side, side, indexing="xy"), dim=-1)  # last dimension: u, v
fig, axes = plt.subplots(1, 5, figsize=(13, 3), layout="constrained", sharey=True)
for ax, kind in zip(axes, ("sigmoid", "bilinear", "relu", "gelu", "silu"), strict=True):
    image = ax.contourf(side, side, glu(plane, kind)[..., 0], levels=torch.linspace(-9, 9, 19).tolist(), cmap="RdBu_r")
    ax.set(title=kind, xlabel="gate argument u", aspect="equal")
axes[0].set_ylabel("value v")
fig.colorbar(image, ax=axes, label=r"$\phi(u)\,v$")
plt.show()

# %% [markdown] lang="en"
r"""
## 6 · SwiGLU, and a fair size

Put a gate into the feed-forward network, leave out the biases, and you have Llama's (equation 6 of the paper; the names are those of Meta's code):

$$y = \big(\mathrm{silu}(xW_1)\odot xW_3\big)\,W_2,\qquad W_1,W_3\in\mathbb{R}^{d\times h},\quad W_2\in\mathbb{R}^{h\times d}$$

Three matrices instead of two. With the same $h$ the gated network would have half as many weights again, and whoever compares it with a plain one compares sizes. Ask for equal weights: $3dh = 2d\,d_{\mathrm{ff}}$, so $h=\tfrac23 d_{\mathrm{ff}}$.
With $d_{\mathrm{ff}}=4d$ that is $\tfrac83 d$; Llama then rounds up to a multiple of 256, which suits matrix hardware.
"""

# %% [markdown] lang="zh"
r"""
## 6 · SwiGLU 与公平的大小

给前馈网络装上门，去掉偏置，就是 Llama 的前馈网络（论文式 6；名字取自 Meta 的代码）：

$$y = \big(\mathrm{silu}(xW_1)\odot xW_3\big)\,W_2,\qquad W_1,W_3\in\mathbb{R}^{d\times h},\quad W_2\in\mathbb{R}^{h\times d}$$

三个矩阵，而不是两个。$h$ 相同的话，门控网络的权重会多出一半，这时拿它与普通网络相比，比的就是大小了。要求权重相等：$3dh = 2d\,d_{\mathrm{ff}}$，于是 $h=\tfrac23 d_{\mathrm{ff}}$。
取 $d_{\mathrm{ff}}=4d$ 时就是 $\tfrac83 d$；Llama 再向上取到 256 的倍数，以适合做矩阵运算的硬件。
"""

# %% exercise="swiglu"
from ladder.solutions.stage2_architecture.day20_rmsnorm_and_swiglu import swiglu_forward, swiglu, glu_hidden, SwiGLU

# %% [markdown] lang="zh" docstring="swiglu_forward"
r"""
Llama 的前馈网络，即 arXiv 2002.05202 的式 6，不含偏置：

    y = (silu(x W1) ⊙ (x W3)) W2.

（名字沿用 Llama：W1 产生门，W3 产生值。）``x`` 前面可以有任意多个维度，也可以没有。
返回 ``(y, cache)``：y 与 ``x`` 同形；cache 是你的 ``swiglu_backward`` 将要用到的任何东西，
检查不会看它的内容。各参数不得被改动；自动求导开启时，梯度能经过 y 回传。不能用 torch.nn。
"""

# %% [markdown] lang="zh" docstring="swiglu"
r"""``swiglu_forward`` 的 y，不含 cache。"""

# %% [markdown] lang="zh" docstring="glu_hidden"
r"""
使门控网络的权重数与含 ``dff`` 个单元的普通网络相当的隐藏大小。

arXiv 2002.05202 第 2 节取三分之二；Meta 的 Llama 代码再向上取到适合硬件的大小：
不小于 ⌊2 dff / 3⌋ 的 ``multiple_of`` 的最小倍数。两个参数都是正整数；
结果是 int，至少为 ``multiple_of``。
"""

# %% [markdown] lang="zh" docstring="SwiGLU"
r"""
作为网络层的 Llama 前馈网络。

``SwiGLU(dim, hidden)`` 有三个成员，都是不带偏置的 ``nn.Linear``，按 PyTorch 的方式初始化：
``w1`` 与 ``w3`` 从 dim 到 hidden 个通道，``w2`` 从 hidden 到 dim。它们就是全部参数。
注意 nn.Linear 的 ``weight`` 是转置存放的，形状为 (out, in)。
"""

# %% [markdown] lang="zh" docstring="SwiGLU.__init__"
r"""创建用于 ``dim`` 个通道的 token、含 ``hidden`` 个隐藏单元的层。"""

# %% [markdown] lang="zh" docstring="SwiGLU.forward"
r"""``x`` 的 ``swiglu``：w1 产生门，w3 产生值，w2 把它们变回来。"""

# %% [markdown] hint="swiglu" lang="en"
r"""
Compute x W1 and x W3 first and give them names; only one of the two goes through silu. For the cache, think ahead to part 7: the backward pass needs both products, not their results.
"""

# %% [markdown] hint="swiglu" lang="zh"
r"""
先算出 x W1 与 x W3，各起一个名字；其中只有一个要经过 silu。cache 要想到后面：反向需要的是这两个乘积，而不是它们相乘之后的结果。
"""

# %% [markdown] hint="swiglu" lang="en"
r"""
For glu_hidden, integer division // goes down; how do you go up with it? (−7 // 3 is −3.) Mind a very small dff: 0 is not allowed. In the class, nn.Linear has an argument bias, and forward calls the three members; the functions' matrices would be their transposed weights.
"""

# %% [markdown] hint="swiglu" lang="zh"
r"""
glu_hidden 中，整除 // 是向下取整；怎样用它向上取整？（−7 // 3 等于 −3。）注意 dff 很小的情形：结果不能为 0。类里面，nn.Linear 有参数 bias，forward 依次调用三个成员；函数中的矩阵相当于它们权重的转置。
"""

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_swiglu

check_swiglu(swiglu_forward, swiglu)

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_glu_hidden

check_glu_hidden(glu_hidden)

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_swiglu_module

check_swiglu_module(SwiGLU)

# %%
for name, d in (("LLaMA 7B", 4096), ("LLaMA 13B", 5120), ("LLaMA 65B", 8192)):
    hidden = glu_hidden(4 * d, 256)
    print(f"{name}: d = {d}, hidden = {hidden}, weights against a plain network with 4d: {3 * d * hidden / (8 * d * d):.4f}")

# %% [markdown] lang="en"
r"""
## 7 · SwiGLU backward

Name the intermediate results $u = xW_1$, $v=xW_3$, $h=\mathrm{silu}(u)\odot v$, $y=hW_2$, and walk back. From Day 1 you know the three matrix products; new is only the middle:

$$\frac{\partial L}{\partial h},\qquad \frac{\partial L}{\partial u},\qquad \frac{\partial L}{\partial v},\qquad \frac{\partial L}{\partial x}$$

Each factor of a product receives the gradient times the *other* factor. And $x$ stands in the formula twice.
"""

# %% [markdown] lang="zh"
r"""
## 7 · SwiGLU 的反向

给中间结果起名：$u = xW_1$，$v=xW_3$，$h=\mathrm{silu}(u)\odot v$，$y=hW_2$，然后往回走。三个矩阵乘积你在第 1 天就会了；新的只有中间一步：

$$\frac{\partial L}{\partial h},\qquad \frac{\partial L}{\partial u},\qquad \frac{\partial L}{\partial v},\qquad \frac{\partial L}{\partial x}$$

乘积的每个因子收到的，是梯度乘以*另一个*因子。还有，$x$ 在公式里出现了两次。
"""

# %% exercise="swiglu_backward"
from ladder.solutions.stage2_architecture.day20_rmsnorm_and_swiglu import swiglu_backward

# %% [markdown] lang="zh" docstring="swiglu_backward"
r"""
把损失的梯度手工反向传过 ``swiglu_forward``。

``cache`` 是 ``swiglu_forward(x, W1, W3, W2)`` 返回的那一个，``dy`` = ∂L/∂y 与 x 同形。
返回 ``(dx, dW1, dW3, dW2)``，即按参数次序排列的梯度，各自与所属的张量同形。
``dy`` 与 ``cache`` 不得被改动，因此可以用同一个 cache 再次调用。
运行时自动求导是关闭的，也不允许使用 torch.autograd。
"""

# %% [markdown] hint="swiglu_backward" lang="en"
r"""
Begin at the end: ∂L/∂h uses W2 transposed, and dW2 uses h. The check asks for dW2 first, then dW3, dW1, dx: get them right in this order.
"""

# %% [markdown] hint="swiglu_backward" lang="zh"
r"""
从末端开始：∂L/∂h 用到 W2 的转置，dW2 用到 h。检查依次要求 dW2、dW3、dW1、dx：就按这个次序逐个做对。
"""

# %% [markdown] hint="swiglu_backward" lang="en"
r"""
All entries of h are independent, so ∂L/∂u and ∂L/∂v are products entry by entry; one of them contains your silu_grad. All tokens share the weights: flatten the leading dimensions, and a matrix product sums over the tokens. dx is a sum of two products.
"""

# %% [markdown] hint="swiglu_backward" lang="zh"
r"""
h 的各元素互不相干，所以 ∂L/∂u 与 ∂L/∂v 都是逐元素的乘积；其中一个含有你的 silu_grad。所有 token 共用权重：把前面的维度展平，矩阵乘法就会对 token 求和。dx 是两个乘积之和。
"""

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_swiglu_backward

check_swiglu_backward(swiglu_forward, swiglu_backward)

# %% [markdown] lang="en"
r"""
With one hidden unit, your backward pass gives the two partial derivatives of $\mathrm{silu}(u)\,v$. Look at the right picture: the value's gradient is the gate itself. An open gate ($u\gg0$) passes it on, a closed one stops it. And the left one: the gate learns in proportion to what it would let through; where $v=0$ it learns nothing.
"""

# %% [markdown] lang="zh"
r"""
只有一个隐藏单元时，你的反向给出 $\mathrm{silu}(u)\,v$ 的两个偏导数。看右图：值的梯度就是门本身，门开着（$u\gg0$）便放行，关着便拦住。再看左图：门学得多快，与它要放行的内容成正比；在 $v=0$ 处它什么也学不到。
"""

# %%
first, second = torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [1.0]])
_, cache = swiglu_forward(plane, first, second, torch.tensor([[1.0, 0.0]]))
partials = swiglu_backward(torch.tensor([1.0, 0.0]).expand(plane.shape), cache)[0]
fig, axes = plt.subplots(1, 2, figsize=(9, 3.7), layout="constrained", sharey=True)
for ax, values, name in zip(axes, partials.unbind(dim=-1), (r"$\partial h/\partial u$", r"$\partial h/\partial v$"), strict=True):
    image = ax.contourf(side, side, values, levels=torch.linspace(-3.5, 3.5, 29).tolist(), cmap="RdBu_r")
    ax.set(title=name, xlabel="u", aspect="equal")
axes[0].set_ylabel("v")
fig.colorbar(image, ax=axes)
plt.show()

# %% [markdown] lang="en"
r"""
## 8 · Does the mean matter? An ablation

An **ablation** takes one part away and measures what is lost. It is only worth something if all else is equal: same data in the same order, same initial weights (so: seed before each model), same size, and several seeds, because one seed differs from another by more than you would like. A run that diverges belongs into the table too, as $\infty$.

First the machinery: one function trains and tests a model, the next fills the table.
"""

# %% [markdown] lang="zh"
r"""
## 8 · 均值重要吗？一次消融实验

**消融实验**拿走一个部件，测量损失了什么。只有其他一切相同，它才有价值：同样的数据、同样的次序，同样的初始权重（所以每建一个模型之前都要设定种子），同样的大小，还要用多个种子，因为种子之间的差异往往比你希望的大。发散的运行也要记进表里，记作 $\infty$。

先搭好工具：一个函数训练并测试一个模型，下一个函数把表填满。
"""

# %% exercise="norm_ablation"
from ladder.solutions.stage2_architecture.day20_rmsnorm_and_swiglu import train_and_test, norm_ablation

# %% [markdown] lang="zh" docstring="train_and_test"
r"""
训练一个分类器，每个批走一步 Adam，最后测试一次。

对一个批 ``(x, y)``，``model(x)`` 给出 logits (..., C)，y (...) 是类别；损失是二者的交叉熵，
对 y 的所有元素取平均。Adam 即 ``torch.optim.Adam``，学习率为 ``lr``，其余设置不变。模型在训练模式下
训练，在评估模式下测试（``model.train()``、``model.eval()``），测试时不记录计算图。

返回 ``(losses, tested)``：每个批在走那一步之前的损失，都是 Python float；以及最后一步之后在 ``test``
上的损失，Python float。如果训练发散、测试损失不是有限值，则返回 ``math.inf``。
"""

# %% [markdown] lang="zh" docstring="norm_ablation"
r"""
为每种归一化与每个种子各训练一个模型，其余一切相同。表中每个名字占一行。

对 ``norms`` 的每个 ``name`` 与每个种子：先用它设定 torch 的全局随机数生成器，再调用一次
``make_model(norms[name])`` 得到模型，然后由 ``train_and_test`` 用 ``batches``、``test`` 与 ``lr``
训练并测试。每一行是一个字典：

- "parameters"：一个模型所有参数的元素总数，int；
- "losses"：各测试损失，按 ``seeds`` 的次序排成列表；
- "mean"：它们的平均，float；只要有一个是 ``math.inf``，它就是 ``math.inf``。

各行按 ``norms`` 的次序。至少有一个种子。
"""

# %% [markdown] hint="norm_ablation" lang="en"
r"""
The training loop is the one of Day 14: loss, zero_grad, backward, step. nn.functional.cross_entropy wants logits (N, C) and classes (N,), so flatten the leading dimensions of both. Remember what changes for the test: the mode, and no graph.
"""

# %% [markdown] hint="norm_ablation" lang="zh"
r"""
训练循环与第 14 天相同：损失、zero_grad、backward、step。nn.functional.cross_entropy 要的是 (N, C) 的 logits 与 (N,) 的类别，所以把二者前面的维度都展平。别忘了测试时有什么不同：模式，以及不记录计算图。
"""

# %% [markdown] hint="norm_ablation" lang="en"
r"""
Two nested loops, names and seeds. The seed is set immediately before the model is made, every time, so that two entries with the same norm give the same numbers. logits.flatten(0, -2) joins all dimensions but the last; math.isfinite tells a diverged run; p.numel() counts the entries of a parameter.
"""

# %% [markdown] hint="norm_ablation" lang="zh"
r"""
两层循环：名字与种子。每次都在创建模型之前立即设定种子，这样同一种归一化的两项会得到相同的数字。logits.flatten(0, -2) 合并最后一维以外的所有维度；math.isfinite 能辨认发散的运行；p.numel() 给出一个参数的元素个数。
"""

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_train_and_test

check_train_and_test(train_and_test)

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_norm_ablation

check_norm_ablation(norm_ablation)

# %% [markdown] lang="en"
r"""
Now a real one. LayerNorm does two things, RMSNorm one; so there are four designs: neither, *centre only* (subtract the mean), *scale only* (RMSNorm), *both* (LayerNorm). The model is a small pre-norm Transformer with your SwiGLU; the task is the recall of Day 12: each token carries a key, a value and a question, and the answer is the value
of the token whose key is asked for. Guessing costs $\ln 8\approx2.08$. Twelve trainings, one to two minutes.

Predict first: which of the four will be alike?
"""

# %% [markdown] lang="zh"
r"""
现在来真的。LayerNorm 做两件事，RMSNorm 做一件；于是有四种设计：都不做；*只中心化*（减去均值）；*只缩放*（RMSNorm）；*都做*（LayerNorm）。模型是一个小的 Pre-Norm Transformer，用你的 SwiGLU；任务是第 12 天的回忆：每个 token 带有一个键、一个值和一个问题，答案是键被问到的那个 token 的值。
瞎猜的损失是 $\ln 8\approx2.08$。共十二次训练，一到两分钟。

先预测：四种之中哪些会相似？
"""

# %%
QUICK = bool(os.environ.get("LADDER_QUICK"))


class Centre(nn.Module):
    """Subtract the mean of each vector, and nothing else."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=-1, keepdim=True)


class PreNormBlock(nn.Module):
    """Attention and SwiGLU, each with a normalisation in front, made by ``make_norm(d)``."""

    def __init__(self, d: int, make_norm: Callable[[int], nn.Module]):
        super().__init__()
        self.norm1, self.norm2 = make_norm(d), make_norm(d)
        self.attn, self.ffn = MultiHeadAttention(d, 4), SwiGLU(d, glu_hidden(4 * d))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


def recall_batch(B: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """B sequences of 8 tokens, each with a key, a value and a question, one-hot; and the answers."""
    key = torch.rand(B, 8, generator=generator).argsort(dim=1)
    value, question = torch.randint(8, (2, B, 8), generator=generator)
    answer = value.gather(1, key.argsort(dim=1).gather(1, question))
    return nn.functional.one_hot(torch.stack([key, value, question], dim=2), 8).flatten(2).float(), answer


def recall_model(make_norm: Callable[[int], nn.Module], d: int = 32, L: int = 4) -> nn.Module:
    blocks = [PreNormBlock(d, make_norm) for _ in range(L)]
    return nn.Sequential(nn.Linear(24, d), *blocks, make_norm(d), nn.Linear(d, 8))


generator = torch.Generator().manual_seed(0)
batches = [recall_batch(32, generator) for _ in range(10 if QUICK else 200)]
test = recall_batch(512, generator)
norms = {"neither": lambda d: nn.Identity(), "centre only": lambda d: Centre(),
         "scale only (RMSNorm)": RMSNorm, "both (LayerNorm)": LayerNorm}
table = norm_ablation(norms, recall_model, batches, test, 3e-3, range(1 if QUICK else 3))


def show_table(table: Mapping[str, Mapping[str, Any]], ax: Any, title: str) -> None:
    """A dot for each seed, a bar for the mean."""
    for k, (name, row) in enumerate(table.items()):
        ax.plot(row["losses"], [k] * len(row["losses"]), "o", color="C0", ms=5, alpha=0.7)
        ax.plot([row["mean"]], [k], "k|", ms=16)
        print(f"{name:>21}: {row['parameters']} parameters, mean {row['mean']:.4f}, "
              f"from {min(row['losses']):.4f} to {max(row['losses']):.4f}")
    ax.set_yticks(range(len(table)), list(table))
    ax.set(title=title, xlabel="test loss", ylim=(len(table) - 0.5, -0.5))


fig, ax = plt.subplots(figsize=(7.5, 2.8), layout="constrained")
show_table(table, ax, "what does a normalisation need?")
ax.set_xscale("log")
plt.show()

# %% [markdown] lang="en"
r"""
The reference's run: RMSNorm and LayerNorm both reach 0.0048, and their seeds agree within 0.0003. Without any normalisation the mean is 0.27, with centring alone 0.29, and the seeds scatter from 0.07 to 0.44 (such trainings are touchy: on another machine these two rows come out differently, the other two hardly). So here the scale does all the work and the mean none, which is the paper's hypothesis. Try `L=8`
in `recall_model`: without the scale the loss then stays above 1.2 after 200 steps.

What the mean costs is time. LayerNorm reads a token twice and moves a second parameter vector; the paper measures 7% to 64% less running time for RMSNorm, depending on the model (abstract). LLaMA ([arXiv 2302.13971](https://arxiv.org/abs/2302.13971), section 2.2) took it over, and most open models after it.

## 9 · Eight feed-forward networks of equal size

The last table follows Shazeer's table 1: three plain networks and five gated ones, each with the same number of weights.
"""

# %% [markdown] lang="zh"
r"""
参考实现的运行：RMSNorm 与 LayerNorm 都达到 0.0048，各自的种子之间相差不到 0.0003。完全不作归一化时平均为 0.27，只作中心化时为 0.29，种子之间从 0.07 散布到 0.44（这样的训练很敏感：换一台机器，这两行就会不同，另外两行则几乎不变）。可见在这里，起作用的全是缩放，均值毫无贡献，这正是论文的假设。在 `recall_model` 中取 `L=8` 试试：
没有缩放时，200 步之后损失仍在 1.2 以上。

均值的代价是时间。LayerNorm 要把一个 token 读两遍，还要多搬运一个参数向量；论文测得 RMSNorm 的运行时间减少 7% 到 64%，因模型而异（摘要）。LLaMA（[arXiv 2302.13971](https://arxiv.org/abs/2302.13971)，2.2 节）采用了它，此后的大多数开放模型也都如此。

## 9 · 八种同样大小的前馈网络

最后一张表仿照 Shazeer 的表 1：三种普通网络，五种门控网络，权重数相同。
"""

# %% exercise="ffn_ablation"
from ladder.solutions.stage2_architecture.day20_rmsnorm_and_swiglu import ffn_activation_ablation

# %% [markdown] lang="zh" docstring="ffn_activation_ablation"
r"""
为每种前馈网络与每个种子各训练一个模型，权重数都相同。

``variants`` 把名字映射到 ``(kind, gated)``：激活函数，以及它是否用来门控另一半。
普通网络（``gated`` 为 False）有 ``dff`` 个隐藏单元，门控网络有 ``glu_hidden(dff)`` 个。
对每个名字与每个种子：先用它设定 torch 的全局随机数生成器，再调用一次
``make_model(kind, gated, hidden)``，然后 ``train_and_test``，与 ``norm_ablation`` 相同。

返回与 ``norm_ablation`` 同样的表，各行按 ``variants`` 的次序，每行多一项：
"hidden"，隐藏单元的个数，int。
"""

# %% [markdown] hint="ffn_ablation" lang="en"
r"""
The loops are those of norm_ablation. Can you call it, with the settings of a network in the place of a norm?
"""

# %% [markdown] hint="ffn_ablation" lang="zh"
r"""
循环与 norm_ablation 相同。能不能直接调用它，把网络的设置放在归一化的位置上？
"""

# %% [markdown] hint="ffn_ablation" lang="en"
r"""
Make a dict from name to (kind, gated, hidden), and a function of one argument that unpacks it for make_model. Afterwards each row still lacks its "hidden".
"""

# %% [markdown] hint="ffn_ablation" lang="zh"
r"""
构造从名字到 (kind, gated, hidden) 的字典，再写一个单参数函数，把它拆开交给 make_model。之后每一行还缺 "hidden"。
"""

# %%
from ladder.graders.stage2_architecture.day20_rmsnorm_and_swiglu import check_ffn_ablation

check_ffn_ablation(ffn_activation_ablation)

# %% [markdown] lang="en"
r"""
The task was not made with a formula in mind: points in 8 dimensions, 40 random centres, each with one of 8 classes; a point has the class of the nearest centre. The model is a residual network without attention, so that almost all weights are in the networks under test. 32 trainings, about a minute.
"""

# %% [markdown] lang="zh"
r"""
这个任务不是照着某个公式设计的：8 维空间中的点，40 个随机中心，每个中心属于 8 个类别之一；点的类别就是最近的中心的类别。模型是不含注意力的残差网络，所以几乎全部权重都在受试的网络里。共 32 次训练，约一分钟。
"""

# %%
class FeedForward(nn.Module):
    """A residual branch: RMSNorm, a plain or a gated feed-forward network without biases, and the sum."""

    def __init__(self, d: int, kind: str, gated: bool, hidden: int):
        super().__init__()
        self.kind, self.gated = kind, gated
        self.norm = RMSNorm(d)
        self.up = nn.Linear(d, 2 * hidden if gated else hidden, bias=False)
        self.down = nn.Linear(hidden, d, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        u = self.up(self.norm(x))
        if not self.gated:  # a plain activation is a gate in front of ones
            u = torch.cat([u, torch.ones_like(u)], dim=-1)
        return x + self.down(glu(u, self.kind))


def nearest_model(kind: str, gated: bool, hidden: int, d: int = 24) -> nn.Module:
    branches = [FeedForward(d, kind, gated, hidden) for _ in range(2)]
    return nn.Sequential(nn.Linear(8, d), *branches, RMSNorm(d), nn.Linear(d, 8))


generator = torch.Generator().manual_seed(0)
centres, classes = torch.randn(40, 8, generator=generator), torch.randint(8, (40,), generator=generator)


def nearest_batch(n: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 8, generator=generator)
    return x, classes[torch.cdist(x, centres).argmin(dim=1)]


batches, test = [nearest_batch(128) for _ in range(10 if QUICK else 300)], nearest_batch(4000)
variants = {"ReLU": ("relu", False), "GELU": ("gelu", False), "Swish": ("silu", False), "GLU": ("sigmoid", True),
            "Bilinear": ("bilinear", True), "ReGLU": ("relu", True), "GEGLU": ("gelu", True), "SwiGLU": ("silu", True)}
table = ffn_activation_ablation(variants, 96, nearest_model, batches, test, 5e-3, range(1 if QUICK else 4))

# Held-out log-perplexity at 524,288 steps: table 1 of arXiv 2002.05202
shazeer = {"ReLU": 1.677, "GELU": 1.679, "Swish": 1.683, "GLU": 1.663, "Bilinear": 1.648, "ReGLU": 1.645,
           "GEGLU": 1.633, "SwiGLU": 1.636}
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
show_table(table, left, "your table: nearest of 40 centres")
right.plot(list(shazeer.values()), range(8), "s", color="C1")
right.set_yticks(range(8), list(shazeer))
right.set(ylim=(7.5, -0.5), title="Shazeer's table 1: T5 base, pre-training", xlabel="held-out log-perplexity")
plt.show()

# %% [markdown] lang="en"
r"""
In the reference's run ReGLU, GEGLU and SwiGLU come out between 0.47 and 0.48, bilinear at 0.53, GELU and ReLU at 0.56 and 0.58, Swish and GLU at 0.63. All have 9704 parameters. The seeds of one row differ by 0.02 to 0.08. So what may you say? That a product with one of the three rectifying gates beats every plain network here: yes, the rows do not overlap. That GEGLU is better than SwiGLU: no, neither from your table nor from Shazeer's, where they differ by 0.003.
And your sigmoid GLU is among the worst, while in Shazeer's table every gated network beats every plain one: a ranking belongs to a task and a budget. The paper itself offers no explanation of why gates work, and its last sentence says so with a smile. Look it up.

**Written answer: what RMSNorm leaves out, and what it costs** (6 points; about 200 words, with figures of your own runs). Points:

- 1 for both formulas, and the two things that RMSNorm leaves out;
- 2 for the invariances: in which of the six changes the two differ, with the argument why, and one change that neither notices;
- 1 for the backward pass: what the missing mean changes in $\partial L/\partial x$;
- 1 for the evidence: your table of four designs, and what it says of the paper's hypothesis;
- 1 for a limit: what your experiment cannot show.
"""

# %% [markdown] lang="zh"
r"""
参考实现的运行中，ReGLU、GEGLU 与 SwiGLU 在 0.47 到 0.48 之间，双线性为 0.53，GELU 与 ReLU 为 0.56 与 0.58，Swish 与 GLU 为 0.63。它们都有 9704 个参数。同一行的种子之间相差 0.02 到 0.08。那么你能下什么结论？带三种整流门之一的乘积，在这里胜过每一种普通网络：可以，这些行互不重叠。GEGLU 优于 SwiGLU：不可以，无论从你的表还是从 Shazeer 的表都得不出，他的表里二者只差 0.003。
另外，你的 sigmoid GLU 属于最差之列，而在 Shazeer 的表里，每种门控网络都胜过每种普通网络：排名只属于某个任务与某个预算。门为什么有效，论文自己也没有给出解释，而且在最后一句话里带着微笑承认了。去查一查。

**书面题：RMSNorm 省掉了什么，代价又是什么**（6 分；约 300 字，写出你自己运行得到的数据）。评分：

- 1 分：写出两个公式，并指出 RMSNorm 省掉的两样东西；
- 2 分：不变性：六种变化中二者在哪一种上不同，并论证原因；再举一种二者都察觉不到的变化；
- 1 分：反向：少了均值，$\partial L/\partial x$ 有什么不同；
- 1 分：证据：你的四种设计的表，以及它对论文的假设说明了什么；
- 1 分：局限：你的实验不能说明什么。
"""

# %% [markdown] written="written_rmsnorm" lang="en"
r"""
*Your answer: what RMSNorm leaves out, and what it costs. Replace this text.*
"""

# %% [markdown] written="written_rmsnorm" lang="zh"
r"""
*在此写下你的回答：RMSNorm 省掉了什么，代价又是什么（替换这段文字）。*
"""

# %% [markdown] model="written_rmsnorm" lang="en"
r"""
*Formulas.* LayerNorm: $y_i = g_i\,(x_i-\mu)/\sqrt{\sigma^2+\varepsilon}+b_i$. RMSNorm: $y_i = g_i\,x_i/r$ with $r^2=\frac1d\sum_i x_i^2+\varepsilon$. It leaves out the mean (the re-centring) and the shift $b$.

*Invariances.* With $Y=\mathrm{norm}(XW)$ they differ only when one vector $v$ is added to every column of $W$: all outputs of a case then move by the same number $x\cdot v$, which the mean takes away in LayerNorm and which stays in RMSNorm. Neither notices that all weights, or all data, or one case are scaled by a positive factor, for the size is divided out of each row.

*Backward.* $\partial L/\partial x = (\hat d-\hat x\,\overline{\hat d\hat x})/r$; LayerNorm subtracts $\overline{\hat d}$ as well. So the gradient of RMSNorm is orthogonal to $\hat x$ (up to $\varepsilon$) and may have a part along $(1,\dots,1)$.

*Evidence.* My means over three seeds were 0.27 (neither), 0.29 (centre only), 0.0048 (RMSNorm) and 0.0048 (LayerNorm). The scale makes all the difference and centring none, as the paper's hypothesis says.

*Limit.* Four blocks, 200 steps, one easy task and one learning rate, three seeds: this shows nothing about large models or long runs, and nothing about speed, which was the paper's motive (7% to 64% less running time, abstract).
"""

# %% [markdown] model="written_rmsnorm" lang="zh"
r"""
*公式。* LayerNorm：$y_i = g_i\,(x_i-\mu)/\sqrt{\sigma^2+\varepsilon}+b_i$。RMSNorm：$y_i = g_i\,x_i/r$，其中 $r^2=\frac1d\sum_i x_i^2+\varepsilon$。它省掉了均值（中心化）与平移 $b$。

*不变性。* 对 $Y=\mathrm{norm}(XW)$，二者只在一种情形下不同：给 $W$ 的每一列加上同一个向量 $v$。此时一个样本的所有输出都移动同一个数 $x\cdot v$，LayerNorm 随均值把它减掉，RMSNorm 则保留。全部权重、全部数据或某一个样本乘以正的因子时，二者都察觉不到，因为每一行的大小都被除掉了。

*反向。* $\partial L/\partial x = (\hat d-\hat x\,\overline{\hat d\hat x})/r$；LayerNorm 还要减去 $\overline{\hat d}$。所以 RMSNorm 的梯度与 $\hat x$ 正交（不计 $\varepsilon$），但可以有沿 $(1,\dots,1)$ 的分量。

*证据。* 我的三个种子的平均为：都不做 0.27，只中心化 0.29，RMSNorm 0.0048，LayerNorm 0.0048。差别全部来自缩放，中心化没有贡献，与论文的假设一致。

*局限。* 四个 Block、200 步、一个简单任务、一个学习率、三个种子：这对大模型与长时间训练什么也说明不了，对速度也一样，而速度才是论文的动机（运行时间减少 7% 到 64%，见摘要）。
"""

# %% [markdown] lang="en"
r"""
## What you have now

| part | where it comes back |
| --- | --- |
| `rmsnorm`, `RMSNorm` | every block of Llama (Day 23), and a Triton kernel of its own |
| `rmsnorm_backward`, `swiglu_backward` | the backward pass of a whole Llama block |
| `glu`, `swiglu`, `SwiGLU` | Llama's feed-forward network (Day 23); experts of a mixture |
| `glu_hidden` | counting the parameters of published models |
| `train_and_test`, `norm_ablation` | every comparison from now on: same data, same seeds, several of them |

The block has its new parts. What it still lacks is a position; tomorrow it gets one by rotation.
"""

# %% [markdown] lang="zh"
r"""
## 你现在拥有的部件

| 部件 | 以后用在哪里 |
| --- | --- |
| `rmsnorm`、`RMSNorm` | Llama 的每个 Block（第 23 天），以及专门的 Triton kernel |
| `rmsnorm_backward`、`swiglu_backward` | 整个 Llama Block 的反向传播 |
| `glu`、`swiglu`、`SwiGLU` | Llama 的前馈网络（第 23 天）；混合专家中的专家 |
| `glu_hidden` | 计算已发布模型的参数量 |
| `train_and_test`、`norm_ablation` | 今后的每一次比较：同样的数据，同样的种子，而且不止一个 |

Block 有了新部件，还缺的是位置；明天用旋转给它。
"""

# %% [markdown] lang="en"
r"""
# Day 12 · The Transformer block

Attention moves information between tokens. It does not make a model yet: stack twenty attention layers and nothing trains. Today you build what
surrounds it: layer normalisation, a small network for each token, and the residual connection. Together they are the **block**, and from Day 14 on every model of this
course is a stack of them.

At the end of the day you can

- write layer normalisation forward and backward by hand, and say what it does to a gradient;
- write the feed-forward network, and say why it holds two thirds of a block's weights;
- prove by experiment that a block can be the identity, forward *and* backward;
- assemble the block in both versions, pre-norm and post-norm, with the numbers of `nn.TransformerEncoderLayer`;
- measure why Llama, DeepSeek and nearly everyone else put the normalisation first.

**Read first** (one hour): Vaswani et al., *Attention Is All You Need*, [arXiv 1706.03762](https://arxiv.org/abs/1706.03762), sections 3.1 and 3.3;
Ba et al., *Layer Normalization*, [arXiv 1607.06450](https://arxiv.org/abs/1607.06450), section 3; Xiong et al., *On Layer Normalization in the Transformer
Architecture*, [arXiv 2002.04745](https://arxiv.org/abs/2002.04745), sections 1 to 3 without the proofs. Plan three hours for the rest.
"""

# %% [markdown] lang="zh"
r"""
# 第 12 天 · Transformer Block

注意力在 token 之间搬运信息，但单靠它还不成模型：把二十层注意力直接叠起来，什么也训练不出来。今天你要搭建围绕它的部件：
层归一化、每个 token 各自经过的小网络，以及残差连接。合在一起就是 **Block**；从第 14 天起，本课程的每个模型都由它堆叠而成。

学完这一天，你能够

- 手写层归一化的前向与反向，并说出它对梯度做了什么；
- 写出前馈网络，并说明它为什么占了一个 Block 三分之二的权重；
- 用实验证明 Block 可以成为恒等映射，前向如此，反向*也*如此；
- 拼装出 Pre-Norm 与 Post-Norm 两个版本的 Block，数值与 `nn.TransformerEncoderLayer` 一致；
- 测出 Llama、DeepSeek 以及几乎所有模型为什么都把归一化放在前面。

**先读**（约一小时）：Vaswani 等，*Attention Is All You Need*，[arXiv 1706.03762](https://arxiv.org/abs/1706.03762)，3.1 与 3.3 节；
Ba 等，*Layer Normalization*，[arXiv 1607.06450](https://arxiv.org/abs/1607.06450)，第 3 节；Xiong 等，*On Layer Normalization in the Transformer
Architecture*，[arXiv 2002.04745](https://arxiv.org/abs/2002.04745)，第 1 至 3 节，证明可以跳过。其余部分约需三小时。
"""

# %% setup
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ladder.earlier.day11_multi_head_attention import MultiHeadAttention, causal_mask
from ladder.training import Training

# %% [markdown] lang="en"
r"""
## 1 · Layer normalisation

On Day 6 each channel was normalised over the batch. In a language model that is awkward: sequences have different lengths, a token's result would depend on which other sentences
happen to share its batch, and in generation the batch is one token. Layer normalisation (Ba et al., section 3) turns the tensor on its side: each token is normalised
over **its own $d$ channels**, in training and in use alike, without running averages:

$$\mu = \frac1d\sum_i x_i,\qquad \sigma^2 = \frac1d\sum_i (x_i-\mu)^2,\qquad \hat x_i = \frac{x_i-\mu}{\sqrt{\sigma^2+\varepsilon}},\qquad y_i = g_i\,\hat x_i + b_i$$

The gain $g$ and the shift $b$ are learned, one number for each channel, shared by all tokens. Write $s = \sqrt{\sigma^2+\varepsilon}$ for what you divide by; it comes back in part 2.
"""

# %% [markdown] lang="zh"
r"""
## 1 · 层归一化

第 6 天是对每个通道在整个批上归一化。语言模型里这样做很别扭：序列长短不一；一个 token 的结果会取决于碰巧与它同批的其他句子；
生成时一批只有一个 token。层归一化（Ba 等，第 3 节）换了一个方向：每个 token 在**自己的 $d$ 个通道**上归一化，
训练与使用时完全一样，不需要滑动平均：

$$\mu = \frac1d\sum_i x_i,\qquad \sigma^2 = \frac1d\sum_i (x_i-\mu)^2,\qquad \hat x_i = \frac{x_i-\mu}{\sqrt{\sigma^2+\varepsilon}},\qquad y_i = g_i\,\hat x_i + b_i$$

增益 $g$ 与平移 $b$ 是学出来的，每个通道一个数，所有 token 共用。用来作除数的量记为 $s = \sqrt{\sigma^2+\varepsilon}$，第 2 部分还会用到它。
"""

# %% exercise="layernorm"
from ladder.solutions.stage1_foundation.day12_transformer_block import layernorm_forward, layernorm

# %% [markdown] lang="zh" docstring="layernorm_forward"
r"""
层归一化：沿最后一维的每个向量各自处理。

对每个向量 x_1, ..., x_d：

    μ = Σ x_i / d,    σ² = Σ (x_i − μ)² / d,    x̂_i = (x_i − μ) / √(σ² + eps),
    y_i = g_i x̂_i + b_i.

``x`` 前面可以有任意多个维度，也可以没有。返回 ``(y, cache)``：y 的形状与 dtype 与 ``x``
相同；cache 是你的 ``layernorm_backward`` 将要用到的任何东西，检查不会看它的内容。
|μ| 达到 σ 的一百万倍时，结果仍要准确。各参数不得被改动；自动求导开启时，梯度能经过 y 回传。

用张量运算写：不用 torch.nn，也不用现成的归一化函数。
"""

# %% [markdown] lang="zh" docstring="layernorm"
r"""``layernorm_forward`` 的 y，不含 cache。"""

# %% [markdown] hint="layernorm" lang="en"
r"""
mean(dim=-1, keepdim=True) keeps a dimension of size 1, so that the result subtracts from x by broadcasting. Subtract the mean first, and compute the variance
from what is left.
"""

# %% [markdown] hint="layernorm" lang="zh"
r"""
mean(dim=-1, keepdim=True) 会保留一个长度为 1 的维度，于是结果可以靠广播与 x 相减。先减去均值，再用剩下的部分计算方差。
"""

# %% [markdown] hint="layernorm" lang="en"
r"""
The variance is the mean of the squared remainder, eps is added to it, and then comes the root. For the cache, think ahead: part 2 needs the normalised vector, what it was divided
by, and the gain. layernorm is one line: call layernorm_forward and take the first of its two results.
"""

# %% [markdown] hint="layernorm" lang="zh"
r"""
方差是剩余部分平方的均值，给它加上 eps，然后开方。cache 要想到后面：第 2 部分需要归一化后的向量、除数以及增益。
layernorm 只要一行：调用 layernorm_forward，取两个结果中的第一个。
"""

# %%
from ladder.graders.stage1_foundation.day12_transformer_block import check_layernorm

check_layernorm(layernorm_forward, layernorm)

# %% [markdown] lang="en"
r"""
What is left of a token? Two numbers are taken from it, its mean and its size; the direction stays. With $d = 3$ you can see it. Subtracting the mean projects on the plane
$\sum_i x_i = 0$; dividing by $s$ puts every point at the same distance $\sqrt d$ from the origin (up to $\varepsilon$). In three dimensions, layer normalisation maps space to a circle; in $d$ dimensions, to a sphere of dimension $d-2$.
"""

# %% [markdown] lang="zh"
r"""
一个 token 还剩下什么？它失去了两个数：均值与大小；方向保留下来。取 $d = 3$ 就能看见：减去均值，就是投影到平面
$\sum_i x_i = 0$ 上；除以 $s$，则使每个点到原点的距离都是 $\sqrt d$（不计 $\varepsilon$）。在三维空间里，层归一化把整个空间映射成一个圆；在 $d$ 维空间里，则是一个 $d-2$ 维球面。
"""

# %%
generator = torch.Generator().manual_seed(3)
cloud = torch.randn(300, 3, generator=generator, dtype=torch.float64) + torch.tensor([1.0, 0.0, 0.5])
one, zero = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
on_circle = layernorm(cloud, one, zero)

fig = plt.figure(figsize=(9, 4), layout="constrained")
for k, (points, title) in enumerate([(cloud, "tokens, d = 3"), (on_circle, "after layer normalisation")]):
    ax = fig.add_subplot(1, 2, k + 1, projection="3d")
    angle = torch.atan2(on_circle[:, 0] - on_circle[:, 1], on_circle[:, 2])
    ax.scatter(*points.T, c=angle, cmap="hsv", s=8)
    ax.set(xlim=(-3, 3), ylim=(-3, 3), zlim=(-3, 3), title=title, xlabel="channel 1", ylabel="channel 2")
    ax.view_init(elev=18, azim=-20)
plt.show()

# %% [markdown] lang="en"
r"""
## 2 · Backward by hand

Now the way back, without autograd. Given $\partial L/\partial y$, the gradients of $g$ and $b$ are quick, as for the linear layer of Day 1: all tokens share them, so all tokens add to them. For $x$ let

$$\hat d_i = \frac{\partial L}{\partial \hat x_i},\qquad \hat x_i = \frac{x_i-\mu}{s}$$

An entry $x_j$ reaches the loss on **three** ways: directly, in $\hat x_j$; through $\mu$, which stands in every $\hat x_i$; and through $s$, which also does. Work out on paper, in this order,

$$\frac{\partial \mu}{\partial x_j},\qquad \frac{\partial s}{\partial x_j},\qquad \frac{\partial \hat x_i}{\partial x_j},\qquad \frac{\partial L}{\partial x_j}=\sum_i \hat d_i\,\frac{\partial \hat x_i}{\partial x_j}$$

For the second, start from $s^2 = \sigma^2 + \varepsilon$ and write the result with $\hat x_j$: it becomes very short. For the third, collect $1/s$ in front. The last is then a sum of three terms, none of which needs a matrix.
"""

# %% [markdown] lang="zh"
r"""
## 2 · 手写反向

现在不用自动求导，自己走回去。给定 $\partial L/\partial y$，$g$ 与 $b$ 的梯度很快就能写出，与第 1 天的线性层一样：所有 token 共用它们，所以各 token 的贡献要相加。对 $x$，设

$$\hat d_i = \frac{\partial L}{\partial \hat x_i},\qquad \hat x_i = \frac{x_i-\mu}{s}$$

元素 $x_j$ 有**三**条路通向损失：直接在 $\hat x_j$ 中；经过 $\mu$，它出现在每个 $\hat x_i$ 里；经过 $s$，它同样出现在其中每一个里。请在纸上依次推出

$$\frac{\partial \mu}{\partial x_j},\qquad \frac{\partial s}{\partial x_j},\qquad \frac{\partial \hat x_i}{\partial x_j},\qquad \frac{\partial L}{\partial x_j}=\sum_i \hat d_i\,\frac{\partial \hat x_i}{\partial x_j}$$

第二个从 $s^2 = \sigma^2 + \varepsilon$ 出发，并用 $\hat x_j$ 表示结果，会非常简短。第三个把 $1/s$ 提到前面。最后一个就成为三项之和，没有一项需要构造矩阵。
"""

# %% exercise="layernorm_backward"
from ladder.solutions.stage1_foundation.day12_transformer_block import layernorm_backward

# %% [markdown] lang="zh" docstring="layernorm_backward"
r"""
把损失的梯度手工反向传过层归一化。

``cache`` 是 ``layernorm_forward(x, g, b, eps)`` 返回的那一个，``dy`` = ∂L/∂y 的形状与 x 相同。
返回 ``(dx, dg, db)`` = (∂L/∂x, ∂L/∂g, ∂L/∂b)，各自与所属的张量同形：所有向量共用 g 与 b。
对任何 eps 都精确成立。``dy`` 与 ``cache`` 不得被改动，因此可以用同一个 cache 再次调用。

运行时自动求导是关闭的，也不允许使用 torch.autograd。
"""

# %% [markdown] hint="layernorm_backward" lang="en"
r"""
The mean gives ∂μ/∂x_j = 1/d. For s: differentiate s² = σ² + eps on both sides, and note that the terms with ∂μ cancel because the deviations add up to 0. What remains is
∂s/∂x_j = x̂_j / d.
"""

# %% [markdown] hint="layernorm_backward" lang="zh"
r"""
由均值得 ∂μ/∂x_j = 1/d。对 s：在 s² = σ² + eps 两边求导，注意含 ∂μ 的项会抵消，因为各偏差之和为 0。剩下的是
∂s/∂x_j = x̂_j / d。
"""

# %% [markdown] hint="layernorm_backward" lang="en"
r"""
∂x̂_i/∂x_j = (δ_ij − 1/d − x̂_i x̂_j / d) / s. Multiply by d̂_i and sum over i: the first term gives d̂_j, the second the mean of d̂, the third x̂_j times the mean of d̂·x̂. Both means run over the last
dimension; dg and db are sums over all the others, of which there may be none.
"""

# %% [markdown] hint="layernorm_backward" lang="zh"
r"""
∂x̂_i/∂x_j = (δ_ij − 1/d − x̂_i x̂_j / d) / s。乘以 d̂_i 并对 i 求和：第一项给出 d̂_j，第二项是 d̂ 的均值，第三项是 x̂_j 乘以 d̂·x̂ 的均值。
两个均值都沿最后一维；dg 与 db 则对其余所有维度求和，而其余维度也可能一个都没有。
"""

# %%
from ladder.graders.stage1_foundation.day12_transformer_block import check_layernorm_backward

check_layernorm_backward(layernorm_forward, layernorm_backward)

# %% [markdown] lang="en"
r"""
Read your formula as geometry. Subtracting the mean of $\hat d$ takes out its part along $(1,\dots,1)$; the other term takes out its part along $\hat x$. What is left is tangent to the circle: the loss cannot see
a change of mean or of size, so no gradient points there. And everything is divided by $s$. The picture looks down on the plane $\sum_i x_i = 0$: grey arrows are $\partial L/\partial y$ at the outputs, the same for all tokens;
red arrows are your $\partial L/\partial x$ at the inputs.
"""

# %% [markdown] lang="zh"
r"""
把你的公式当作几何来读。减去 $\hat d$ 的均值，就是去掉它沿 $(1,\dots,1)$ 的分量；另一项去掉它沿 $\hat x$ 的分量。剩下的与圆相切：损失看不见均值和大小的变化，
所以没有梯度指向那些方向。而且一切都要除以 $s$。下图俯视平面 $\sum_i x_i = 0$：灰色箭头是输出处的 $\partial L/\partial y$，对所有 token 都相同；
红色箭头是你算出的、输入处的 $\partial L/\partial x$。
"""

# %%
plane = torch.tensor([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]], dtype=torch.float64)
plane = plane / plane.norm(dim=1, keepdim=True)
angles = torch.linspace(0, 4 * math.pi, 17, dtype=torch.float64)[:-1]
radii = torch.tensor([0.8, 2.8], dtype=torch.float64).repeat_interleave(8)
inputs = radii[:, None] * torch.stack([angles.cos(), angles.sin()], dim=1) @ plane + 0.7
outputs, cache = layernorm_forward(inputs, one, zero)
arriving = (torch.tensor([0.36, 0.12], dtype=torch.float64) @ plane).expand(16, 3)
leaving = layernorm_backward(arriving, cache)[0]

fig, ax = plt.subplots(figsize=(5.6, 5.2), layout="constrained")
circle = torch.linspace(0, 2 * math.pi, 200)
ax.plot(math.sqrt(3) * circle.cos(), math.sqrt(3) * circle.sin(), color="0.8")
for points, arrows, colour, name in ((outputs, arriving, "0.55", r"$\partial L/\partial y$ at y"),
                                     (inputs, leaving, "C3", r"$\partial L/\partial x$ at x")):
    p, a = points @ plane.T, arrows @ plane.T
    ax.plot(*p.T, "o", ms=4, color=colour)
    ax.quiver(*p.T, *a.T, color=colour, angles="xy", scale_units="xy", scale=1, width=0.006, label=name)
ax.set(aspect="equal", xlabel="plane coordinate 1", ylabel="plane coordinate 2")
ax.legend(loc="upper left")
plt.show()

x_hat = (outputs - outputs.mean(dim=1, keepdim=True))
print(f"largest |dx · 1| {leaving.sum(dim=1).abs().max():.1e}, "
      f"largest |dx · x̂| {(leaving * x_hat).sum(dim=1).abs().max():.1e}")

# %% [markdown] lang="en"
r"""
Near the centre the gradient is magnified, far out it is reduced: $\lVert\partial L/\partial x\rVert\propto 1/s$. Keep this in mind. A normalisation *on* the main path divides every gradient that passes by the $s$ of its token; that will be the whole difference
between post-norm and pre-norm. ($\partial L/\partial x\cdot\hat x$ is not exactly 0: that is $\varepsilon$ at work.)

As a layer it needs parameters. In PyTorch an `nn.Module` finds them by itself if they are attributes of type `nn.Parameter`.
"""

# %% [markdown] lang="zh"
r"""
靠近中心处梯度被放大，远处则被缩小：$\lVert\partial L/\partial x\rVert\propto 1/s$。请记住这一点。放在主路*上*的归一化，会把经过的每个梯度都除以相应 token 的 $s$；
Post-Norm 与 Pre-Norm 的全部差别就在这里。（$\partial L/\partial x\cdot\hat x$ 并不严格为 0：这是 $\varepsilon$ 的作用。）

作为网络层，它需要参数。在 PyTorch 里，只要参数是 `nn.Parameter` 类型的属性，`nn.Module` 就能自己找到它们。
"""

# %% exercise="layernorm_module"
from ladder.solutions.stage1_foundation.day12_transformer_block import LayerNorm

# %% [markdown] lang="zh" docstring="LayerNorm"
r"""
作为网络层的层归一化：带有自己参数的 ``layernorm``。

``LayerNorm(d, eps)`` 有且只有两个参数，都是形状为 (d,) 的 ``nn.Parameter``：增益 ``g`` 与平移 ``b``。
"""

# %% [markdown] lang="zh" docstring="LayerNorm.__init__"
r"""创建用于 ``d`` 个通道的向量的层。开始时 g 处处为 1，b 处处为 0。"""

# %% [markdown] lang="zh" docstring="LayerNorm.forward"
r"""用本层的参数与 eps 对 ``x`` 作 ``layernorm``。"""

# %% [markdown] hint="layernorm_module" lang="en"
r"""
An nn.Module must be initialised before it can hold parameters: the first line of __init__ is super().__init__().
"""

# %% [markdown] hint="layernorm_module" lang="zh"
r"""
nn.Module 要先初始化才能存放参数：__init__ 的第一行是 super().__init__()。
"""

# %% [markdown] hint="layernorm_module" lang="en"
r"""
nn.Parameter(torch.ones(d)) makes a parameter; assign it to self.g, and remember eps as an ordinary attribute. forward is a single call of layernorm.
"""

# %% [markdown] hint="layernorm_module" lang="zh"
r"""
nn.Parameter(torch.ones(d)) 创建一个参数；把它赋给 self.g，并把 eps 存为普通属性。forward 只需调用一次 layernorm。
"""

# %%
from ladder.graders.stage1_foundation.day12_transformer_block import check_layernorm_module

check_layernorm_module(LayerNorm)

# %% [markdown] lang="en"
r"""
## 3 · The feed-forward network

Attention only averages: given the weights, its output is linear in the values. The nonlinear work is done for each token by itself (Vaswani et al., section 3.3):

$$\mathrm{FFN}(x) = \phi(xW_1+b_1)\,W_2+b_2,\qquad W_1\in\mathbb{R}^{d\times d_{\mathrm{ff}}},\quad W_2\in\mathbb{R}^{d_{\mathrm{ff}}\times d}$$

with $d_{\mathrm{ff}} = 4d$ in the paper. Each of the $d_{\mathrm{ff}}$ hidden units looks for one direction in the token and, when it finds it, writes one vector back. With $d_{\mathrm{ff}}=4d$ that makes $8d^2$ weights, against $4d^2$ in the attention: two thirds of a block.
The paper's $\phi$ is ReLU. BERT and GPT took GELU, [arXiv 1606.08415](https://arxiv.org/abs/1606.08415), which weighs $u$ by the probability that a standard normal number is below $u$:

$$\mathrm{GELU}(u) = u\,\Phi(u) = \frac{u}{2}\left(1+\operatorname{erf}\frac{u}{\sqrt2}\right)$$
"""

# %% [markdown] lang="zh"
r"""
## 3 · 前馈网络

注意力只作平均：权重给定之后，输出对值是线性的。非线性的工作由每个 token 各自完成（Vaswani 等，3.3 节）：

$$\mathrm{FFN}(x) = \phi(xW_1+b_1)\,W_2+b_2,\qquad W_1\in\mathbb{R}^{d\times d_{\mathrm{ff}}},\quad W_2\in\mathbb{R}^{d_{\mathrm{ff}}\times d}$$

论文中 $d_{\mathrm{ff}} = 4d$。$d_{\mathrm{ff}}$ 个隐藏单元中的每一个都在 token 里寻找一个方向，找到了就写回一个向量。$d_{\mathrm{ff}}=4d$ 时共有 $8d^2$ 个权重，而注意力有 $4d^2$ 个：占一个 Block 的三分之二。
论文里的 $\phi$ 是 ReLU。BERT 与 GPT 用的是 GELU，[arXiv 1606.08415](https://arxiv.org/abs/1606.08415)，它用“标准正态随机数小于 $u$ 的概率”给 $u$ 加权：

$$\mathrm{GELU}(u) = u\,\Phi(u) = \frac{u}{2}\left(1+\operatorname{erf}\frac{u}{\sqrt2}\right)$$
"""

# %% exercise="ffn"
from ladder.solutions.stage1_foundation.day12_transformer_block import ffn

# %% [markdown] lang="zh" docstring="ffn"
r"""
逐位置的前馈网络，arXiv 1706.03762 的 3.3 节，用 GELU 代替 ReLU：

    FFN(x) = GELU(x W1 + b1) W2 + b2,      GELU(u) = u Φ(u) = u (1 + erf(u / √2)) / 2.

``params`` 含 "W1"，形状 (d, dff)，"b1" (dff,)，"W2" (dff, d)，"b2" (d,)。每个 token 各自经过它。
Φ 是精确的正态分布函数，不是 arXiv 1606.08415 中的近似式。``x`` 不得被改动。

用张量运算写（torch.erf 就是其中之一）：不用 torch.nn。
"""

# %% [markdown] hint="ffn" lang="en"
r"""
Three lines: the hidden numbers before the nonlinearity, after it, and the way back to d channels. The matrices stand on the right of x, so leading dimensions need no care.
"""

# %% [markdown] hint="ffn" lang="zh"
r"""
三行：非线性之前的隐藏数值，非线性之后的，以及变回 d 个通道。矩阵都在 x 的右边，所以前面的维度不用操心。
"""

# %% [markdown] hint="ffn" lang="en"
r"""
If only the first two cases fail, look at GELU alone: GELU(1) = 0.8413447, GELU(−1) = −0.1586553. The argument of torch.erf is u / √2.
"""

# %% [markdown] hint="ffn" lang="zh"
r"""
如果只有前两项不对，就单独看 GELU：GELU(1) = 0.8413447，GELU(−1) = −0.1586553。torch.erf 的自变量是 u / √2。
"""

# %%
from ladder.graders.stage1_foundation.day12_transformer_block import check_ffn

check_ffn(ffn)

# %% exercise="ffn_module"
from ladder.solutions.stage1_foundation.day12_transformer_block import FFN

# %% [markdown] lang="zh" docstring="FFN"
r"""
作为网络层的前馈网络：带有自己参数的 ``ffn``。

``FFN(d, dff)`` 有且只有四个参数，都是 ``nn.Parameter``：``W1`` 形状 (d, dff)，``b1`` (dff,)，
``W2`` (dff, d)，``b2`` (d,)。
"""

# %% [markdown] lang="zh" docstring="FFN.__init__"
r"""
创建用于 ``d`` 个通道的 token、含 ``dff`` 个隐藏单元的层。

矩阵的元素由 torch 的全局随机数生成器在 [−a, a] 上独立均匀抽取，a = 1/√(矩阵的行数)：
W1 为 1/√d，W2 为 1/√dff。偏置为 0。
"""

# %% [markdown] lang="zh" docstring="FFN.forward"
r"""用本层的参数对 ``x`` 作 ``ffn``。"""

# %% [markdown] hint="ffn_module" lang="en"
r"""
torch.empty(rows, columns).uniform_(-a, a) draws in place and returns the tensor. Each matrix has its own a.
"""

# %% [markdown] hint="ffn_module" lang="zh"
r"""
torch.empty(行数, 列数).uniform_(-a, a) 原地抽取并返回该张量。两个矩阵各有自己的 a。
"""

# %% [markdown] hint="ffn_module" lang="en"
r"""
W1 has d rows, W2 has dff rows; the number of rows is the number of inputs that are added up. forward hands ffn a dict with the four names.
"""

# %% [markdown] hint="ffn_module" lang="zh"
r"""
W1 有 d 行，W2 有 dff 行；行数就是相加的输入个数。forward 把含四个名字的字典交给 ffn。
"""

# %%
from ladder.graders.stage1_foundation.day12_transformer_block import check_ffn_module

check_ffn_module(FFN)

# %%
u = torch.linspace(-4, 4, 201)[:, None]
single = {"W1": torch.ones(1, 1), "b1": torch.zeros(1), "W2": torch.ones(1, 1), "b2": torch.zeros(1)}
torch.manual_seed(4)
small = FFN(1, 12)
with torch.no_grad():
    small.W1.mul_(3), small.b1.uniform_(-3, 3)

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
left.plot(u, ffn(u, single), label="GELU (your ffn with one unit)")
left.plot(u, u.relu(), "--", label="ReLU")
left.set(xlabel="u", ylabel="output")
left.legend()
right.plot(u, small(u).detach(), color="C3")
right.set(xlabel="token, d = 1", ylabel="output", title="12 random units: a smooth curve")
plt.show()

# %% [markdown] lang="en"
r"""
## 4 · The residual connection, in two places

A deep stack $x\mapsto f_L(\dots f_1(x))$ is hard to train because its Jacobian is a product of $L$ matrices (Day 9 showed you the same product along time). He et al.,
[arXiv 1512.03385](https://arxiv.org/abs/1512.03385), let every layer only *add* to what is there: $x + f(x)$, with Jacobian $I + J_f$. If $f$ has nothing to say, the layer is the identity, and a gradient passes as it came.
What flows along the sum is called the **residual stream**.

Where does the normalisation go? The Transformer of 2017 has it behind the sum, GPT-2 and all its children in front of $f$ (Xiong et al., figure 1):

$$\text{post-norm:}\quad x_{l+1} = \mathrm{LN}\big(x_l + f(x_l)\big)\qquad\qquad \text{pre-norm:}\quad x_{l+1} = x_l + f\big(\mathrm{LN}(x_l)\big)$$

A small change on paper. In one of them there is a path from input to output on which nothing stands.
"""

# %% [markdown] lang="zh"
r"""
## 4 · 残差连接与归一化的两个位置

深层堆叠 $x\mapsto f_L(\dots f_1(x))$ 难以训练，因为它的 Jacobian 是 $L$ 个矩阵的乘积（第 9 天你已见过沿时间的同样的乘积）。He 等，
[arXiv 1512.03385](https://arxiv.org/abs/1512.03385)，让每一层只在已有的内容上*相加*：$x + f(x)$，Jacobian 为 $I + J_f$。如果 $f$ 无话可说，这一层就是恒等映射，梯度原样通过。
沿着这个和流动的量称为**残差流**。

归一化放在哪里？2017 年的 Transformer 把它放在相加之后，GPT-2 及其后继都把它放在 $f$ 之前（Xiong 等，图 1）：

$$\text{Post-Norm：}\quad x_{l+1} = \mathrm{LN}\big(x_l + f(x_l)\big)\qquad\qquad \text{Pre-Norm：}\quad x_{l+1} = x_l + f\big(\mathrm{LN}(x_l)\big)$$

纸面上只是小小的改动。但在其中一种里，从输入到输出有一条毫无阻碍的路。
"""

# %% exercise="sublayer"
from ladder.solutions.stage1_foundation.day12_transformer_block import sublayer

# %% [markdown] lang="zh" docstring="sublayer"
r"""
在 ``f`` 外面加上残差连接，归一化 ``ln`` 放在两个位置之一。

    norm = "post":   LN(x + f(x))       arXiv 1706.03762 的 3.1 节
    norm = "pre":    x + f(LN(x))       arXiv 2002.04745 的图 1 (b)

``f`` 与 ``ln`` 把张量映射为同样形状的张量，也可能原样返回传入的那个张量；二者各恰好调用一次。
``x`` 不得被改动。``norm`` 为其他值时抛出 ValueError。
"""

# %% [markdown] hint="sublayer" lang="en"
r"""
Two formulas, two branches, and what remains is an error. Read each formula from the inside out to see what is called first.
"""

# %% [markdown] hint="sublayer" lang="zh"
r"""
两个公式，两个分支，剩下的情形就是错误。把每个公式由内向外读，看先调用什么。
"""

# %% [markdown] hint="sublayer" lang="en"
r"""
In "pre" the x that is added is the original one, not the normalised one. Write a + b rather than a += b: += changes a tensor that someone else may still hold.
"""

# %% [markdown] hint="sublayer" lang="zh"
r"""
“pre” 中相加的 x 是原来的 x，不是归一化后的。写 a + b 而不要写 a += b：+= 会改动别处可能还在使用的张量。
"""

# %%
from ladder.graders.stage1_foundation.day12_transformer_block import check_sublayer

check_sublayer(sublayer)

# %% [markdown] lang="en"
r"""
Is a function the identity? Comparing values is only half of the test. On tokens that are normalised already, layer normalisation returns its input, and still it swallows two directions of every gradient (part 2). So the test needs both directions:
values forward, and an arriving gradient $g$ backward, where the identity gives back exactly $g$.
"""

# %% [markdown] lang="zh"
r"""
一个函数是不是恒等映射？比较函数值只是检验的一半。对已经归一化过的 token，层归一化原样返回输入，却仍会吞掉每个梯度的两个方向（第 2 部分）。
所以检验要做两个方向：前向比较数值；反向送入一个梯度 $g$，恒等映射应当原样交还 $g$。
"""

# %% exercise="identity_test"
from ladder.solutions.stage1_foundation.day12_transformer_block import identity_test

# %% [markdown] lang="zh" docstring="identity_test"
r"""
``f`` 在 ``x`` 处离恒等映射有多远，前向与反向各是多少。

``f`` 把张量映射为同样形状的张量；``g`` 也是这个形状，是到达其输出处的梯度。
返回两个 Python 浮点数 ``(forward_gap, backward_gap)``：

- 所有元素中最大的 |f(x) − x|；
- 所有元素中最大的 |v − g|，其中 v = gᵀ ∂f/∂x 在 ``x`` 处由自动求导得到。

若在自动求导看来 f(x) 不依赖 ``x``，则 v 为 0。``f`` 只调用一次，传给它的张量具有 ``x`` 的数值。
之后一切保持原样：``x``（它可能需要梯度，也可能不需要）与 ``g`` 不变，
也没有任何张量（例如 ``f`` 的参数）的 ``grad`` 增加了梯度。
"""

# %% [markdown] hint="identity_test" lang="en"
r"""
Make a leaf of your own from x (detach, clone, requires_grad_) and call f on it. torch.autograd.grad returns gradients without storing them anywhere; its third argument is the gradient that arrives at the output.
"""

# %% [markdown] hint="identity_test" lang="zh"
r"""
由 x 造一个自己的叶子（detach、clone、requires_grad_），再对它调用 f。torch.autograd.grad 直接返回梯度，不会把它存到任何地方；它的第三个参数就是到达输出处的梯度。
"""

# %% [markdown] hint="identity_test" lang="en"
r"""
Two cases have no gradient: the output does not require one at all (ask y.requires_grad first), or it does, but your leaf does not occur in its graph (allow_unused=True then gives None). In both v is a tensor of zeros.
"""

# %% [markdown] hint="identity_test" lang="zh"
r"""
有两种情形没有梯度：输出根本不需要梯度（先看 y.requires_grad）；或者需要，但你的叶子不在它的计算图里（这时 allow_unused=True 会给出 None）。两种情形下 v 都是全零张量。
"""

# %%
from ladder.graders.stage1_foundation.day12_transformer_block import check_identity_test

check_identity_test(identity_test)

# %% [markdown] lang="en"
r"""
## 5 · The block

Two sublayers, each with a normalisation of its own: first the tokens talk to each other, then each thinks for itself. Your attention of Day 11, your `FFN`, your `LayerNorm`, your `sublayer`.
"""

# %% [markdown] lang="zh"
r"""
## 5 · Block

两个子层，各有自己的归一化：先是 token 之间互相交流，然后各自思考。用上你第 11 天的注意力、你的 `FFN`、你的 `LayerNorm` 和你的 `sublayer`。
"""

# %% exercise="block"
from ladder.solutions.stage1_foundation.day12_transformer_block import BlockConfig, Block

# %% [markdown] lang="zh" docstring="Block"
r"""
Transformer Block：先是自注意力，再是前馈网络，各为一个 ``sublayer``。

``Block(cfg, norm)`` 有四个部件，所有参数都属于它们：

- ``attn``，第 11 天的 ``MultiHeadAttention``，其归一化为 ``ln1``，是一个 ``LayerNorm``；
- ``ffn``，一个 ``FFN``，其归一化为 ``ln2``，是另一个 ``LayerNorm``。

第一个子层的输出是第二个子层的输入。
"""

# %% [markdown] lang="zh" docstring="Block.__init__"
r"""
按 ``cfg`` 中的大小创建 Block。``norm`` 为 "pre" 或 "post"，含义同 ``sublayer``；
其他值抛出 ValueError。
"""

# %% [markdown] lang="zh" docstring="Block.forward"
r"""
依次经过两个子层。``mask`` 交给注意力，含义与 ``MultiHeadAttention`` 中的相同。``x`` 不得被改动。
"""

# %% [markdown] hint="block" lang="en"
r"""
sublayer wants a function of one argument. self.ffn is one; for the attention, which also takes the mask, make one: lambda u: self.attn(u, mask).
"""

# %% [markdown] hint="block" lang="zh"
r"""
sublayer 要的是单参数函数。self.ffn 就是；注意力还需要掩码，可以现造一个：lambda u: self.attn(u, mask)。
"""

# %% [markdown] hint="block" lang="en"
r"""
forward is two calls of sublayer, the second on the result of the first. Check norm in __init__, before anything is used, and read the sizes from cfg.d, cfg.h and cfg.dff.
"""

# %% [markdown] hint="block" lang="zh"
r"""
forward 就是调用两次 sublayer，第二次作用于第一次的结果。norm 要在 __init__ 里就检查，而不是等到使用时；各个大小取自 cfg.d、cfg.h、cfg.dff。
"""

# %%
from ladder.graders.stage1_foundation.day12_transformer_block import check_block

check_block(Block, BlockConfig)

# %% [markdown] lang="en"
r"""
Three experiments with it. First, close both branches by setting the matrices and the bias that write into the stream to zero: is the block the identity? Second, does it agree with PyTorch's own? Third, what does it weigh?
"""

# %% [markdown] lang="zh"
r"""
用它做三个实验。第一，把写入残差流的矩阵与偏置置零，关闭两个分支：Block 是恒等映射吗？第二，它与 PyTorch 自带的一致吗？第三，参数有多少？
"""

# %%
torch.manual_seed(5)
cfg = BlockConfig(d=64, h=4, dff=256)
x, arriving = torch.randn(2, 2, 10, cfg.d, dtype=torch.float64)
for norm in ("pre", "post"):
    block = Block(cfg, norm).double()
    with torch.no_grad():
        block.attn.Wo.zero_(), block.ffn.W2.zero_(), block.ffn.b2.zero_()
    for name, tokens in (("any tokens", x), ("normalised tokens", block.ln1(x).detach())):
        forward_gap, backward_gap = identity_test(block, tokens, arriving)
        print(f"{norm:>4}-norm, branches closed, {name:>17}: "
              f"forward gap {forward_gap:.1e}, backward gap {backward_gap:.1e}")


def same_weights(block: nn.Module, norm: str) -> nn.Module:
    """PyTorch's layer with the weights of ``block``."""
    theirs = nn.TransformerEncoderLayer(cfg.d, cfg.h, cfg.dff, dropout=0.0, activation="gelu",
                                        batch_first=True, norm_first=norm == "pre").double()
    pairs = [(theirs.self_attn.in_proj_weight, torch.cat([block.attn.Wq, block.attn.Wk, block.attn.Wv], dim=1).T),
             (theirs.self_attn.out_proj.weight, block.attn.Wo.T),
             (theirs.linear1.weight, block.ffn.W1.T), (theirs.linear1.bias, block.ffn.b1),
             (theirs.linear2.weight, block.ffn.W2.T), (theirs.linear2.bias, block.ffn.b2)]
    with torch.no_grad():
        for target, source in pairs:
            target.copy_(source)
    return theirs


for norm in ("pre", "post"):
    block = Block(cfg, norm).double()
    theirs = same_weights(block, norm)
    gap = (block(x, causal_mask(10)) - theirs(x, src_mask=~causal_mask(10))).abs().max()
    print(f"{norm:>4}-norm: largest difference to nn.TransformerEncoderLayer {gap.item():.1e}")

for name, part in Block(cfg).named_children():
    print(f"{name:>5}: {sum(p.numel() for p in part.parameters()):6d} parameters")

# %% [markdown] lang="en"
r"""
With its branches closed, a pre-norm block is the identity both ways, exactly. The post-norm block is not: on tokens that are normalised already its values hardly differ, but of the gradient two directions per token are missing, and a stack of $L$ such blocks has $2L$ normalisations on its main path.

## 6 · Gradients by depth

Multiply the Jacobians of a stack, with $J_k$ the Jacobian of branch $k$ and $N_k$ that of normalisation $k$:

$$\text{pre-norm:}\quad \frac{\partial x_K}{\partial x_0} = \prod_k (I + J_kN_k) = I + \sum_k J_kN_k + \dots\qquad\qquad \text{post-norm:}\quad \frac{\partial x_K}{\partial x_0} = \prod_k N_k(I + J_k)$$

The pre-norm product starts with $I$: whatever the branches do, the gradient at the end reaches every depth. In the post-norm product nothing escapes the $N_k$. If a branch is as large as the stream, their sum has twice the variance, $s\approx\sqrt2$, and the undisturbed path
carries a factor $2^{-1/2}$ at every sublayer. What does arrive comes through the branches, that is through random matrices.

At the other end, Xiong et al. (section 3, theorem 1) bound the gradient of the **last** feed-forward matrix before any training: $O(d\sqrt{\ln d})$ for post-norm, whatever the depth, and $O(d\sqrt{\ln d/L})$ for pre-norm, where the final normalisation divides by a stream that has
grown with $L$. Measure it.
"""

# %% [markdown] lang="zh"
r"""
关闭分支之后，Pre-Norm 的 Block 在两个方向上都严格是恒等映射。Post-Norm 的则不是：对已经归一化过的 token，它的数值几乎不变，但每个 token 的梯度缺了两个方向；而 $L$ 个这样的 Block 叠起来，主路上就有 $2L$ 个归一化。

## 6 · 各深度的梯度

把一叠 Block 的 Jacobian 乘起来，$J_k$ 是第 $k$ 个分支的 Jacobian，$N_k$ 是第 $k$ 个归一化的：

$$\text{Pre-Norm：}\quad \frac{\partial x_K}{\partial x_0} = \prod_k (I + J_kN_k) = I + \sum_k J_kN_k + \dots\qquad\qquad \text{Post-Norm：}\quad \frac{\partial x_K}{\partial x_0} = \prod_k N_k(I + J_k)$$

Pre-Norm 的乘积以 $I$ 开头：无论各分支做什么，末端的梯度都能到达每一个深度。Post-Norm 的乘积里，没有什么能绕开 $N_k$。若分支与残差流一样大，二者之和的方差就翻倍，$s\approx\sqrt2$，
未受干扰的那条路每过一个子层都带上因子 $2^{-1/2}$。真正到达的梯度是从各分支，也就是从随机矩阵中穿过来的。

在另一端，Xiong 等（第 3 节，定理 1）给出了训练之前**最后一个**前馈矩阵的梯度上界：Post-Norm 为 $O(d\sqrt{\ln d})$，与深度无关；Pre-Norm 为 $O(d\sqrt{\ln d/L})$，因为最后的归一化要除以一个
随 $L$ 增长的残差流。来测一测。
"""

# %% exercise="grad_norm"
from ladder.solutions.stage1_foundation.day12_transformer_block import grad_norm_by_depth

# %% [markdown] lang="zh" docstring="grad_norm_by_depth"
r"""
尚未训练时，到达 L 个 Block 中每一个的梯度有多大。

模型：``x`` 依次经过 L 个 Block，每个由一次 ``make_block(mode)`` 调用创建，经过的次序就是创建的次序。
若 ``mode`` 为 "pre"，最后的输出再由 ``layernorm`` 归一化，g = 1、b = 0、eps 取默认值；若为 "post"，
则不再加任何东西。乘以 ``head`` 得到每个 token 的 C 个类别的 logit；损失是它们与类别 ``y`` 的交叉熵，
对全部 B·T 个 token 取平均。

返回含 L 个 Python 浮点数的列表，离 ``x`` 最近的 Block 排在最前：损失对该 Block 所有参数的所有元素的
梯度，其平方和的平方根。每个参数都参与模型的计算。
"""

# %% [markdown] hint="grad_norm" lang="en"
r"""
Make a list of blocks first, then the forward pass, then one backward pass for all of them. nn.functional.cross_entropy wants logits of shape (N, C) and classes of shape (N,), and averages by default.
"""

# %% [markdown] hint="grad_norm" lang="zh"
r"""
先造好 Block 的列表，再做前向，然后对所有 Block 只做一次反向。nn.functional.cross_entropy 要的是形状 (N, C) 的 logit 和形状 (N,) 的类别，默认取平均。
"""

# %% [markdown] hint="grad_norm" lang="en"
r"""
After loss.backward() each parameter p of block.parameters() holds p.grad. Per block: add up (p.grad**2).sum() over its parameters, and take the root of the total, not of the parts.
"""

# %% [markdown] hint="grad_norm" lang="zh"
r"""
loss.backward() 之后，block.parameters() 中的每个参数 p 都有 p.grad。对每个 Block：把各参数的 (p.grad**2).sum() 加起来，再对总和开方，而不是对各部分开方。
"""

# %%
from ladder.graders.stage1_foundation.day12_transformer_block import check_grad_norm

check_grad_norm(grad_norm_by_depth)

# %% [markdown] lang="en"
r"""
As in the paper, matrices start with Xavier's variance, $2/(\text{rows}+\text{columns})$. Three depths, six seeds, random tokens and classes, a causal mask; the third picture shows the size of the residual stream itself.
"""

# %% [markdown] lang="zh"
r"""
与论文一样，矩阵按 Xavier 的方差 $2/(\text{行数}+\text{列数})$ 初始化。取三种深度、六个种子，token 与类别都是随机的，用因果掩码；第三幅图画的是残差流本身的大小。
"""

# %%
QUICK = bool(os.environ.get("LADDER_QUICK"))  # for automatic tests: shorter runs


def xavier_block(mode: str, mask: Tensor | None = None) -> nn.Module:
    """A small block with Xavier's start, and with a mask of its own if there is one."""
    block = Block(BlockConfig(d=32, h=4, dff=128), mode)
    for p in block.parameters():
        if p.ndim == 2:
            nn.init.xavier_uniform_(p)
    if mask is not None:
        forward = block.forward
        block.forward = lambda x: forward(x, mask)
    return block


depths, seeds, norms, stream = (6, 12, 24), range(1 if QUICK else 6), {}, {}
for mode in ("pre", "post"):
    for L in depths:
        runs = []
        for seed in seeds:
            torch.manual_seed(seed)
            tokens, classes = torch.randn(16, 16, 32), torch.randint(10, (16, 16))
            head = torch.randn(32, 10) / math.sqrt(32)
            runs.append(grad_norm_by_depth(mode, L, tokens, classes, head,
                                           lambda mode: xavier_block(mode, causal_mask(16))))
        norms[mode, L] = torch.tensor(runs).mean(dim=0)
    with torch.no_grad():
        h, sizes = tokens, []
        for _ in range(24):
            h = xavier_block(mode, causal_mask(16))(h)
            sizes.append(h.square().mean().sqrt().item())
    stream[mode] = sizes

top = 1.1 * max(max(values) for values in norms.values())
fig, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
for ax, mode in zip(axes, ("pre", "post"), strict=False):
    for k, L in enumerate(depths):
        ax.plot(range(1, L + 1), norms[mode, L], ".-", color=f"C{k}", label=f"L = {L}")
    ax.set(title=f"{mode}-norm", xlabel="block, counted from the input", ylabel="gradient norm at the start", ylim=(0, top))
    ax.legend()
for mode in ("pre", "post"):
    axes[2].plot(range(1, 25), stream[mode], ".-", label=f"{mode}-norm")
axes[2].plot(range(1, 25), [math.sqrt(k) for k in range(1, 25)], "k:", lw=1, label=r"$\sqrt{l}$")
axes[2].set(title="the residual stream", xlabel="after block $l$", ylabel="root mean square")
axes[2].set_ylim(bottom=0)
axes[2].legend()
plt.show()

for mode in ("pre", "post"):
    print(f"{mode:>4}-norm, last block:", ", ".join(f"L = {L}: {norms[mode, L][-1]:.2f}" for L in depths))

# %% [markdown] lang="en"
r"""
The last blocks behave as the theorem says: with pre-norm the gradient falls with each doubling of the depth, by roughly $\sqrt2$, with post-norm it does not fall. (The reference's means for the last block, L = 6, 12, 24: 0.44, 0.34, 0.24 with pre-norm, and 1.18, 1.40, 1.33 with post-norm; single seeds scatter by a third.) The third picture shows why: the pre-norm stream grows like $\sqrt l$, since
branch after branch adds its variance, and a large $s$ makes small gradients (part 2). Look also at the three pre-norm curves: they nearly lie on each other. What a block receives hardly depends on how many blocks follow.

A large gradient near the output, at any depth, does not go well with a high learning rate at the start. That is why the Transformer of 2017 needs a **warm-up**, a learning rate that rises slowly from 0 (its section 5.3). See for yourself: 8 blocks, a task that attention can solve, and a learning rate that is high for this
depth. Every token carries a key, a value and a question; the answer is the value of the token whose key is asked for. Guessing gives $\ln 8\approx 2.08$. The three runs take half a minute to a minute.
"""

# %% [markdown] lang="zh"
r"""
最后一个 Block 的表现正如定理所说：Pre-Norm 的深度每翻一倍，梯度就下降，大约除以 $\sqrt2$；Post-Norm 则不降。（参考实现中最后一个 Block 的平均值，L = 6、12、24：Pre-Norm 为 0.44、0.34、0.24，Post-Norm 为 1.18、1.40、1.33；单个种子的起伏约三分之一。）第三幅图说明了原因：Pre-Norm 的残差流按 $\sqrt l$ 增长，
因为分支一个接一个地把方差加进来，而 $s$ 大则梯度小（第 2 部分）。再看三条 Pre-Norm 曲线：它们几乎重合。一个 Block 收到的梯度，几乎与后面还有多少个 Block 无关。

无论多深，输出附近的梯度都很大，这与一开始就用高学习率不相容。2017 年的 Transformer 因此需要**预热**（warm-up），即让学习率从 0 缓慢上升（其 5.3 节）。请亲眼看看：8 个 Block，一个注意力能解决的任务，以及对这个深度来说偏高的学习率。
每个 token 带有一个键、一个值和一个问题；答案是键被问到的那个 token 的值。瞎猜的损失是 $\ln 8\approx 2.08$。三次运行共需半分钟到一分钟。
"""

# %%
def recall_batch(B: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """B sequences of 8 tokens, each with a key, a value and a question, one-hot; and the answers."""
    key = torch.rand(B, 8, generator=generator).argsort(dim=1)
    value, question = torch.randint(8, (2, B, 8), generator=generator)
    answer = value.gather(1, key.argsort(dim=1).gather(1, question))
    return nn.functional.one_hot(torch.stack([key, value, question], dim=2), 8).flatten(2).float(), answer


def train(mode: str, warmup: int, steps: int, rate: float = 3e-3, L: int = 8, seed: int = 0) -> list[float]:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    last = LayerNorm(32) if mode == "pre" else nn.Identity()
    model = nn.Sequential(nn.Linear(24, 32), *(xavier_block(mode) for _ in range(L)), last, nn.Linear(32, 8))
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    with Training(steps, f"{mode}-norm, warm-up {warmup}") as run:
        for step in run:
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1, (step + 1) / max(1, warmup))
            tokens, answers = recall_batch(32, generator)
            loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), answers.flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(loss=loss.item())
    return run.history.get("loss", [])


steps = 30 if QUICK else 400
curves = {
    "pre-norm, no warm-up": train("pre", 0, steps),
    "post-norm, no warm-up": train("post", 0, steps),
    "post-norm, 100 steps of warm-up": train("post", 100, steps),
}

fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
for name, losses in curves.items():
    smooth = torch.tensor(losses).unfold(0, 10, 1).mean(dim=1)
    ax.plot(range(10, len(losses) + 1), smooth, label=name)
    print(f"{name}: mean loss of the last 20 steps {sum(losses[-20:]) / 20:.3f}")
ax.axhline(math.log(8), color="k", ls=":", lw=1)
ax.set(xlabel="step", ylabel="loss (mean of 10 steps)", title="8 blocks, Adam, learning rate 0.003")
ax.set_ylim(bottom=0)
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
In the reference's runs pre-norm falls below 0.1 after about 100 steps. Post-norm is still at 2.08 after 400 (1.92 and 2.09 for `seed=1` and `seed=2`); with warm-up it falls below 0.1 after about 330 to 380. Change one thing at a time: with `L=6`, post-norm learns without warm-up too. Depth and learning rate together decide.

Two caveats. Your gradients were measured *before* training, and Adam divides by their size anyway. Liu et al., [arXiv 2004.08249](https://arxiv.org/abs/2004.08249), find that unbalanced gradients are not the root: a post-norm layer depends so heavily on its branch that small changes of its parameters
add up to a large change of the output. And pre-norm has its price. Each branch adds to a stream that grows, so late blocks change it less and less, and the last output needs a normalisation of its own. In shallow models, up to six layers or so, post-norm has often come out better when it trains (Takase et al., [arXiv 2206.00330](https://arxiv.org/abs/2206.00330)).

## 7 · Why do Llama and DeepSeek use pre-norm?

LLaMA ([arXiv 2302.13971](https://arxiv.org/abs/2302.13971), "Architecture") and DeepSeek LLM ([arXiv 2401.02954](https://arxiv.org/abs/2401.02954), "Architecture") normalise the input of every sublayer, by RMSNorm, a layer normalisation without mean and shift (Day 20). Look up what each says about it.

**Written answer: why DeepSeek and Llama use pre-norm** (6 points; about 200 words, with your own figures). Points:

- 1 for both formulas, and where each design has its normalisations, the final one included;
- 2 for the argument about gradients: the Jacobian of both stacks, what the identity term does in one, and what stands on the main path in the other;
- 1 for evidence from your own run: figures from the gradient plot or the loss curves, and what they mean for warm-up, learning rate and depth;
- 1 for a source: what a paper of Llama or of DeepSeek says of its normalisation;
- 1 for the other side: a price of pre-norm, or a design that does it differently.
"""

# %% [markdown] lang="zh"
r"""
参考实现的运行中，Pre-Norm 约 100 步就降到 0.1 以下。Post-Norm 到 400 步仍在 2.08（`seed=1` 与 `seed=2` 时为 1.92 与 2.09）；加上预热，约 330 到 380 步降到 0.1 以下。每次只改一处试试：取 `L=6`，Post-Norm 不用预热也能学会。起决定作用的是深度与学习率的组合。

有两点保留。你测的梯度是训练*之前*的，而 Adam 反正会除以梯度的大小。Liu 等，[arXiv 2004.08249](https://arxiv.org/abs/2004.08249)，发现梯度不均衡并不是根源：Post-Norm 的层过于依赖自己的分支，参数的微小变化
累积起来，就成了输出的巨大变化。另外，Pre-Norm 也有代价。每个分支都加到一个不断增长的流上，越往后的 Block 对它的改变越小，而且最后的输出还需要单独归一化。在浅层模型中（大约六层以内），Post-Norm 只要训得起来，结果往往更好（Takase 等，[arXiv 2206.00330](https://arxiv.org/abs/2206.00330)）。

## 7 · Llama 与 DeepSeek 为什么用 Pre-Norm？

LLaMA（[arXiv 2302.13971](https://arxiv.org/abs/2302.13971)，“Architecture” 一节）与 DeepSeek LLM（[arXiv 2401.02954](https://arxiv.org/abs/2401.02954)，“Architecture” 一节）都对每个子层的输入作归一化，用的是 RMSNorm，即不含均值与平移的层归一化（第 20 天）。去查一查它们各自是怎么说的。

**书面题：DeepSeek 与 Llama 为什么用 Pre-Norm**（6 分；约 300 字，写出你自己测得的数据）。评分：

- 1 分：写出两个公式，并说明两种设计的归一化各在哪里，包括最后的那一个；
- 2 分：关于梯度的论证：两种堆叠的 Jacobian，恒等项在其中一种里起什么作用，另一种的主路上有什么；
- 1 分：来自你自己运行的证据：梯度图或损失曲线中的数据，以及它们对预热、学习率与深度意味着什么；
- 1 分：一处出处：Llama 或 DeepSeek 的论文关于归一化是怎么说的；
- 1 分：另一面：Pre-Norm 的一个代价，或者一种不同的设计。
"""

# %% [markdown] written="written_prenorm" lang="en"
r"""
*Your answer: why DeepSeek and Llama use pre-norm. Replace this text.*
"""

# %% [markdown] written="written_prenorm" lang="zh"
r"""
*在此写下你的回答：DeepSeek 与 Llama 为什么用 Pre-Norm（替换这段文字）。*
"""

# %% [markdown] model="written_prenorm" lang="en"
r"""
*The designs.* Post-norm is $x_{l+1} = \mathrm{LN}(x_l + f_l(x_l))$: one normalisation on the main path after every sublayer, none extra at the end. Pre-norm is $x_{l+1} = x_l + f_l(\mathrm{LN}(x_l))$: the normalisation stands inside the branch, the main path is a bare sum, and one final normalisation precedes the output head.

*Gradients.* For pre-norm the Jacobian of the stack is $\prod_k (I + J_kN_k) = I + \sum_k J_kN_k + \dots$: the term $I$ carries the gradient of the loss to every depth, whatever the branches do, and closing the branches makes the block exactly the identity in both directions. For post-norm it is $\prod_k N_k(I + J_k)$. Every path
passes every $N_k$, which takes out two directions and divides by $s$, about $\sqrt2$ where branch and stream are equally large; the undisturbed path fades exponentially with depth. At the output end, Xiong et al. (theorem 1) show that before training the last block's gradient does not fall with $L$ in post-norm and falls like $1/\sqrt L$ in pre-norm.

*Evidence.* Mean gradient norm of the last block, L = 6, 12, 24: 0.44, 0.34, 0.24 with pre-norm, 1.18, 1.40, 1.33 with post-norm. With 8 blocks and Adam at 0.003 the pre-norm model learned the recall task; the post-norm model stayed at chance, 2.08, and with 100 steps of warm-up learned it, three times as slowly. So pre-norm tolerates higher rates and more depth, and
depends less on warm-up. For a run that costs millions, a design that does not diverge is worth more than the last bit of quality.

*Source.* LLaMA: to improve training stability, the input of each sublayer is normalised instead of the output, as in GPT-3, with RMSNorm. DeepSeek LLM says that its micro design largely follows LLaMA, with a pre-norm structure and RMSNorm.

*The other side.* The pre-norm stream grows like $\sqrt l$, so late blocks change it little; Liu et al. find that too light a dependence on the branches limits the model, and Takase et al. that shallow post-norm models are often better. DeepNet ([arXiv 2203.00555](https://arxiv.org/abs/2203.00555)) trains post-norm with 1000 layers by weighting the
residual path, and OLMo 2 ([arXiv 2501.00656](https://arxiv.org/abs/2501.00656)) normalises the output of each branch, inside the sum.
"""

# %% [markdown] model="written_prenorm" lang="zh"
r"""
*两种设计。* Post-Norm 为 $x_{l+1} = \mathrm{LN}(x_l + f_l(x_l))$：每个子层之后，主路上都有一个归一化，末尾不再另加。Pre-Norm 为 $x_{l+1} = x_l + f_l(\mathrm{LN}(x_l))$：归一化在分支之内，主路只是单纯的相加，输出头之前有最后一个归一化。

*梯度。* Pre-Norm 堆叠的 Jacobian 是 $\prod_k (I + J_kN_k) = I + \sum_k J_kN_k + \dots$：无论各分支做什么，$I$ 这一项都把损失的梯度送到每个深度；关闭分支，Block 就在两个方向上严格成为恒等映射。Post-Norm 的则是 $\prod_k N_k(I + J_k)$。每条路
都要穿过每个 $N_k$，它去掉两个方向，并除以 $s$（分支与残差流一样大时约为 $\sqrt2$），未受干扰的那条路随深度指数衰减。在输出端，Xiong 等（定理 1）证明：训练之前，最后一个 Block 的梯度在 Post-Norm 中不随 $L$ 下降，在 Pre-Norm 中按 $1/\sqrt L$ 下降。

*证据。* L = 6、12、24 时最后一个 Block 的平均梯度范数：Pre-Norm 为 0.44、0.34、0.24，Post-Norm 为 1.18、1.40、1.33。8 个 Block、Adam、学习率 0.003 时，Pre-Norm 模型学会了回忆任务；Post-Norm 模型停在瞎猜的 2.08，加上 100 步预热才学会，且慢到三分之一的速度。可见 Pre-Norm 能承受更高的学习率和更大的深度，
对预热的依赖也更小。一次训练要花费数百万，不发散的设计比最后一点质量更值钱。

*出处。* LLaMA：为了提高训练稳定性，像 GPT-3 那样归一化每个子层的输入而不是输出，用的是 RMSNorm。DeepSeek LLM 说自己的微观设计大体沿用 LLaMA，采用 Pre-Norm 结构与 RMSNorm。

*另一面。* Pre-Norm 的残差流按 $\sqrt l$ 增长，靠后的 Block 对它改变甚少；Liu 等发现，对分支依赖太轻会限制模型的潜力；Takase 等发现浅层的 Post-Norm 模型往往更好。DeepNet（[arXiv 2203.00555](https://arxiv.org/abs/2203.00555)）给残差路加权，训练了 1000 层的 Post-Norm 模型；
OLMo 2（[arXiv 2501.00656](https://arxiv.org/abs/2501.00656)）则在相加之前归一化每个分支的输出。
"""

# %% [markdown] lang="en"
r"""
## What you have now

| part | where it comes back |
| --- | --- |
| `layernorm`, `LayerNorm` | the final normalisation of GPT (Day 14); without the mean it is RMSNorm (Day 20) |
| `layernorm_backward` | the hand-written backward pass of a whole block |
| `ffn`, `FFN` | SwiGLU (Day 20) and mixtures of experts replace it piece by piece |
| `sublayer`, `identity_test` | the test of every residual design to come |
| `Block` | every model from Day 14 on |
| `grad_norm_by_depth` | the first thing to measure when a deep model does not train (Day 52) |

A block does not know where a token stands: shuffle the tokens, and without a mask the outputs are shuffled likewise. Tomorrow they get positions.
"""

# %% [markdown] lang="zh"
r"""
## 你现在拥有的部件

| 部件 | 以后用在哪里 |
| --- | --- |
| `layernorm`、`LayerNorm` | GPT 最后的归一化（第 14 天）；去掉均值就是 RMSNorm（第 20 天） |
| `layernorm_backward` | 整个 Block 的手写反向传播 |
| `ffn`、`FFN` | SwiGLU（第 20 天）与混合专家会一步步取代它 |
| `sublayer`、`identity_test` | 检验今后的每一种残差设计 |
| `Block` | 第 14 天起的每个模型 |
| `grad_norm_by_depth` | 深层模型训不起来时，首先要测的东西（第 52 天） |

Block 不知道 token 站在哪里：打乱 token 的次序，在没有掩码时，输出也只是同样地被打乱。明天给它们加上位置。
"""

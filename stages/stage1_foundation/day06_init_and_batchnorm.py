# %% [markdown] lang="en"
r"""
# Day 6 · Initialisation and BatchNorm

**Goal.** Understand why a deep network needs its first weights to have the right size, derive that size, and then build the layer that restores it at every step: batch normalisation, with its gradients by hand. At the end you measure
what BatchNorm buys: the same training with it and without it, over several seeds.

Day 4's `Linear` drew its weights with a variance of $2/i$ for $i$ inputs, "by He et al.". Today you learn where the 2 comes from.

To read: Glorot & Bengio, [Understanding the difficulty of training deep feedforward neural networks](https://proceedings.mlr.press/v9/glorot10a.html), section 4.2; He et al.,
[Delving Deep into Rectifiers](https://arxiv.org/abs/1502.01852), section 2.2; Ioffe & Szegedy, [Batch Normalization](https://arxiv.org/abs/1502.03167), section 3.
"""

# %% [markdown] lang="zh"
r"""
# 第 6 天 · 初始化与 BatchNorm

**目标。** 弄清深层网络为什么要求初始权重大小合适，推导出这个大小；再写出一个在每一步都恢复它的层：批归一化（BatchNorm），梯度用手推。最后测量 BatchNorm 的好处：
同样的训练，有它和没有它各做一遍，用多个随机种子。

第 4 天的 `Linear` 有 $i$ 个输入时，按方差 $2/i$ 抽取权重，说是“依 He 等人”。今天就来看这个 2 从何而来。

阅读材料：Glorot 与 Bengio，[Understanding the difficulty of training deep feedforward neural networks](https://proceedings.mlr.press/v9/glorot10a.html)，4.2 节；He 等人，
[Delving Deep into Rectifiers](https://arxiv.org/abs/1502.01852)，2.2 节；Ioffe 与 Szegedy，[Batch Normalization](https://arxiv.org/abs/1502.03167)，第 3 节。
"""

# %% setup
import os
from collections.abc import Callable, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float, Int

from ladder.earlier.day03_tensor_autograd import Tensor
from ladder.earlier.day04_layers_and_sgd import SGD, Linear, ReLU, Sequential, cross_entropy

QUICK = os.environ.get("LADDER_QUICK") == "1"  # set where this notebook is only tested

# %% [markdown] lang="en"
r"""
## 1. What one layer does to a variance

Take one layer before training, $z_j = \sum_{i=1}^{n} x_i w_{ij}$ with $n$ inputs (`fan_in`) and $m$ outputs (`fan_out`). The weights are random, independent, with mean 0. How large are the outputs? Two rules of probability are enough. For independent $u$, $v$,

$$\operatorname{Var}(u + v) = \operatorname{Var}(u) + \operatorname{Var}(v), \qquad \operatorname{Var}(uv) = E[u^2]\,E[v^2] - E[u]^2 E[v]^2 .$$

The terms $x_i w_{ij}$ of one sum are uncorrelated, since the weights have mean 0, so their variances add too. On the way back, $\partial L/\partial x_i = \sum_{j=1}^{m} w_{ij}\, g_j$ with $g_j = \partial L/\partial z_j$: the same kind of sum, now with $m$ terms.

Behind the layer stands a nonlinearity. For a relu and $z$ symmetric about 0, half of the mean square is cut off; and what comes out is no longer centred on 0. That is why the mean **square** of $x$ counts in $\operatorname{Var}(x w)$, not its variance. For a normal $z$ with variance $\sigma^2$,

$$E[\operatorname{relu}(z)] = \int_0^\infty \frac{z}{\sigma\sqrt{2\pi}}\, e^{-z^2/2\sigma^2}\, dz .$$

Write the steps down, one number each. The last four are conditions solved for the weights' variance: keep the size going forward, keep it going back, Glorot & Bengio's compromise (their equations 10 to 12), and He et al.'s condition for relu (equation 10).
"""

# %% [markdown] lang="zh"
r"""
## 1. 一层网络对方差做了什么

看训练之前的一层，$z_j = \sum_{i=1}^{n} x_i w_{ij}$，有 $n$ 个输入（`fan_in`）和 $m$ 个输出（`fan_out`）。权重随机、独立、均值为 0。输出有多大？只需两条概率规则。对独立的 $u$、$v$，

$$\operatorname{Var}(u + v) = \operatorname{Var}(u) + \operatorname{Var}(v), \qquad \operatorname{Var}(uv) = E[u^2]\,E[v^2] - E[u]^2 E[v]^2 .$$

由于权重均值为 0，同一个和式中的各项 $x_i w_{ij}$ 互不相关，所以它们的方差也可以相加。反向时，$\partial L/\partial x_i = \sum_{j=1}^{m} w_{ij}\, g_j$，其中 $g_j = \partial L/\partial z_j$：同一类和式，只是现在有 $m$ 项。

这一层后面还有非线性。对 relu 与关于 0 对称的 $z$，平方的均值被截去一半；而且输出不再以 0 为中心。所以 $\operatorname{Var}(x w)$ 中起作用的是 $x$ 的**平方**的均值，而不是它的方差。若 $z$ 服从方差为 $\sigma^2$ 的正态分布，

$$E[\operatorname{relu}(z)] = \int_0^\infty \frac{z}{\sigma\sqrt{2\pi}}\, e^{-z^2/2\sigma^2}\, dz .$$

请写出各个步骤，每步一个数。最后四个是由条件解出的权重方差：前向保持大小、反向保持大小、Glorot 与 Bengio 的折中（他们的式 10 到 12），以及 He 等人针对 relu 的条件（式 10）。
"""

# %% exercise="variance_steps"
from ladder.solutions.stage1_foundation.day06_init_and_batchnorm import variance_steps

# %% [markdown] lang="zh" docstring="variance_steps"
r"""从一个乘积的方差，一步步得到 Xavier 与 Kaiming 初始化所选的方差。

一个线性层：z_j = Σ_i x_i w_ij，i = 1..``fan_in``，j = 1..``fan_out``。各权重独立，均值 0，方差 ``var_w``；
各输入与权重独立，均值 ``mean_x``，方差 ``var_x``；各梯度 g_j = ∂L/∂z_j 与权重独立，均值 0，方差 ``var_g``。
返回一个由数组成的字典：

    "wx"          Var(x_i w_ij)
    "z"           Var(z_j)
    "dx"          Var(∂L/∂x_i)
    "relu_mean"   E[relu(z_j)]，把 z_j 看作均值 0、方差如上的正态变量
    "relu_square" E[relu(z_j)²]，同上
    "relu_var"    Var(relu(z_j))，同上
    "forward"     使 Var(z_j) = E[x_i²] 的 var_w
    "backward"    使 Var(∂L/∂x_i) = Var(g_j) 的 var_w
    "xavier"      这样的 var_w：其倒数是上面两者倒数的平均
    "kaiming"     使 E[relu(z_j)²] = E[x_i²] 的 var_w
"""

# %% [markdown] hint="variance_steps" lang="en"
r"""
$E[x^2] = \operatorname{Var}(x) + E[x]^2$, and $E[w]=0$. Each key needs only the ones before it.
"""

# %% [markdown] hint="variance_steps" lang="zh"
r"""
$E[x^2] = \operatorname{Var}(x) + E[x]^2$，而 $E[w]=0$。每一步只用到前面各步。
"""

# %% [markdown] hint="variance_steps" lang="en"
r"""
The integral has an elementary antiderivative, $-\frac{\sigma}{\sqrt{2\pi}} e^{-z^2/2\sigma^2}$. For the last four, $E[x_i^2]$ stands on both sides of the condition and cancels.
"""

# %% [markdown] hint="variance_steps" lang="zh"
r"""
这个积分有初等的原函数 $-\frac{\sigma}{\sqrt{2\pi}} e^{-z^2/2\sigma^2}$。最后四项的条件中，$E[x_i^2]$ 在两边都出现，可以消去。
"""

# %%
from ladder.graders.stage1_foundation.day06_init_and_batchnorm import check_variance_steps

check_variance_steps(variance_steps)

# %% [markdown] lang="en"
r"""
Algebra on random numbers should agree with random numbers. Below, 2000 examples go through one random layer, and what is measured stands beside what you derived.
"""

# %% [markdown] lang="zh"
r"""
关于随机数的推导，应当与真的随机数一致。下面让 2000 个样本通过一个随机层，把测得的值与你推导的值并列。
"""

# %%
rng = np.random.default_rng(0)
x = rng.normal(0.5, 1.2, size=(2000, 300))
W = rng.normal(0, 0.1, size=(300, 200))
g = rng.normal(0, 0.3, size=(2000, 200))
z = x @ W
relu_z = np.maximum(z, 0)
measured = {"z": z.var(), "dx": (g @ W.T).var(), "relu_mean": relu_z.mean(),
            "relu_square": (relu_z**2).mean(), "relu_var": relu_z.var()}
derived = variance_steps(300, 200, 0.1**2, 0.5, 1.2**2, 0.3**2)
for key, value in measured.items():
    print(f"{key:12} derived {derived[key]:.4f}   measured {value:.4f}")

# %% [markdown] lang="en"
r"""
**Written answer** (5 points). Why Xavier, why Kaiming?

1. (2 points) A network of 50 linear layers of width $n$, weights of variance $v$. By which factor does the variance of the activations change in all? Say what happens for $v = 0.5/n$ and for $v = 2/n$, with numbers, and why both end training.
2. (1 point) Why can the conditions for the way forward and for the way back not both hold in a layer with different fans, and what does Xavier initialisation do about it?
3. (2 points) Derive the 2 in Kaiming's $2/n$, from $E[\operatorname{relu}(z)^2]$. Why the mean square, and not the variance, of the activations?
"""

# %% [markdown] lang="zh"
r"""
**书面题**（5 分）。为什么需要 Xavier，为什么需要 Kaiming？

1. （2 分）一个 50 层、每层宽 $n$ 的线性网络，权重方差为 $v$。激活值的方差总共变为多少倍？$v = 0.5/n$ 与 $v = 2/n$ 时各会怎样？给出数字，并说明为什么两种情况都无法训练。
2. （1 分）当一层的 fan_in 与 fan_out 不同时，前向与反向的条件为什么不能同时满足？Xavier 初始化是怎么处理的？
3. （2 分）由 $E[\operatorname{relu}(z)^2]$ 推导 Kaiming 的 $2/n$ 中的那个 2。为什么看的是激活值的平方均值，而不是方差？
"""

# %% [markdown] written="written_init" lang="en"
r"""
*Your answer here.*
"""

# %% [markdown] written="written_init" lang="zh"
r"""
*在这里作答。*
"""

# %% [markdown] model="written_init" lang="en"
r"""
1. Each layer multiplies the variance by $nv$, all together by $(nv)^{50}$. For $v = 0.5/n$ that is $2^{-50} \approx 10^{-15}$: all inputs give practically the same output, and the gradients on the way back shrink alike, so the first layers do not move. For $v = 2/n$ it is $2^{50} \approx 10^{15}$: the loss and its gradients are
   huge, and one step destroys the weights (with tanh the activations saturate instead, and the gradients still explode).
2. Forward, $z_j$ sums `fan_in` terms, so $v = 1/\text{fan\_in}$; back, $\partial L/\partial x_i$ sums `fan_out` terms, so $v = 1/\text{fan\_out}$. One $v$ cannot be both unless the fans agree. Xavier averages the inverses: $v = 2/(\text{fan\_in} + \text{fan\_out})$.
3. $z$ is symmetric about 0, so positive and negative values contribute equally to $E[z^2]$, and $E[\operatorname{relu}(z)^2] = \frac12 E[z^2] = \frac12 n v E[x^2]$. This equals $E[x^2]$ for $v = 2/n$. The next layer's $\operatorname{Var}(xw) = v\,E[x^2]$, as $w$ has mean 0: relu's outputs have a mean above 0, so $E[x^2]$ is not their variance.
"""

# %% [markdown] model="written_init" lang="zh"
r"""
1. 每一层把方差乘以 $nv$，总共是 $(nv)^{50}$。$v = 0.5/n$ 时为 $2^{-50} \approx 10^{-15}$：所有输入给出几乎相同的输出，反向的梯度也同样缩小，前面的层一动不动。$v = 2/n$ 时为 $2^{50} \approx 10^{15}$：损失与梯度巨大，
   更新一步就毁掉了权重（换成 tanh 则激活值饱和，梯度仍会爆炸）。
2. 前向时 $z_j$ 是 `fan_in` 项之和，要求 $v = 1/\text{fan\_in}$；反向时 $\partial L/\partial x_i$ 是 `fan_out` 项之和，要求 $v = 1/\text{fan\_out}$。除非两者相等，一个 $v$ 不能同时满足。Xavier 对倒数取平均：$v = 2/(\text{fan\_in} + \text{fan\_out})$。
3. $z$ 关于 0 对称，正负两半对 $E[z^2]$ 的贡献相等，所以 $E[\operatorname{relu}(z)^2] = \frac12 E[z^2] = \frac12 n v E[x^2]$。令它等于 $E[x^2]$，得 $v = 2/n$。下一层的 $\operatorname{Var}(xw) = v\,E[x^2]$，因为 $w$ 均值为 0：relu 的输出均值大于 0，所以 $E[x^2]$ 不是它们的方差。
"""

# %% [markdown] lang="en"
r"""
As functions: the standard deviations to draw weights with. The factor in front of $1/\sqrt{\text{fan\_in}}$ is called the **gain** of the nonlinearity. For tanh the gain 5/3 is not derived but
[PyTorch's convention](https://docs.pytorch.org/docs/stable/nn.init.html#torch.nn.init.calculate_gain).
"""

# %% [markdown] lang="zh"
r"""
写成函数：抽取权重用的标准差。$1/\sqrt{\text{fan\_in}}$ 前面的因子叫作非线性的**增益**（gain）。tanh 的增益 5/3 不是推导出来的，而是
[PyTorch 的约定](https://docs.pytorch.org/docs/stable/nn.init.html#torch.nn.init.calculate_gain)。
"""

# %% exercise="init_std"
from ladder.solutions.stage1_foundation.day06_init_and_batchnorm import xavier_std, kaiming_std

# %% [markdown] lang="zh" docstring="xavier_std"
r"""按 Glorot 与 Bengio，形状 (fan_in, fan_out) 的层的权重标准差。

即他们的式 12：Var(w) = 2 / (fan_in + fan_out)。
"""

# %% [markdown] lang="zh" docstring="kaiming_std"
r"""``nonlin`` 前面那一层权重的标准差：gain / sqrt(fan_in)。

``nonlin`` 为 "linear"（增益 1）、"relu"、"leaky_relu"（负输入的斜率为 0.01）或 "tanh"（增益 5/3，PyTorch 的约定）。
"relu" 与 "leaky_relu" 的增益取自 He 等人（arXiv 1502.01852，式 10 与 15），使得 E[nonlin(z)²] = E[x²]，
其中 x 是该层的输入，z 关于 0 对称。其他 ``nonlin`` 抛出 ValueError。
"""

# %% [markdown] hint="init_std" lang="en"
r"""
A standard deviation is the root of a variance; you have both variances already. For leaky relu, repeat the step for relu: the negative half is not lost but scaled.
"""

# %% [markdown] hint="init_std" lang="zh"
r"""
标准差是方差的平方根；两个方差你都有了。对 leaky relu，重复 relu 的那一步：负的一半没有丢掉，只是被缩放了。
"""

# %% [markdown] hint="init_std" lang="en"
r"""
With slope $a$ for negative inputs: $E[f(z)^2] = \frac12 (1 + a^2)\,E[z^2]$. The gain squared is the inverse of that factor. A dict of gains leaves only one place for the ValueError.
"""

# %% [markdown] hint="init_std" lang="zh"
r"""
负输入的斜率为 $a$ 时：$E[f(z)^2] = \frac12 (1 + a^2)\,E[z^2]$。增益的平方是这个因子的倒数。用一个字典存放增益，抛 ValueError 的地方就只有一处。
"""

# %%
from ladder.graders.stage1_foundation.day06_init_and_batchnorm import check_init_std

check_init_std(xavier_std, kaiming_std)

# %% [markdown] lang="en"
r"""
## 2. Fifty layers

A factor of 0.9 for each layer is harmless in two layers and is $0.9^{50} \approx 0.005$ in fifty. Send a batch forward through a stack of layers, send a gradient back, and measure both at every layer.
Your engine keeps what you need: after `backward`, every Tensor of the graph still has its `data` and `grad`.
"""

# %% [markdown] lang="zh"
r"""
## 2. 五十层

每层乘 0.9，两层时无妨，五十层时就是 $0.9^{50} \approx 0.005$。把一批数据沿一摞层向前送，再把一个梯度往回送，在每一层测量两者。
你的引擎保留了所需的一切：`backward` 之后，图中每个 Tensor 的 `data` 与 `grad` 都还在。
"""

# %% exercise="variance_sweep"
from ladder.solutions.stage1_foundation.day06_init_and_batchnorm import variance_sweep

# %% [markdown] lang="zh" docstring="variance_sweep"
r"""激活值与梯度的方差在一摞深层中的变化。

h_0 = ``x``，z_l = h_{l-1} W_l，h_l = nonlin(z_l)，``weights`` 中有 L 个数组 W_1, …, W_L；``nonlin`` 接受一个 Tensor，
返回同样形状的 Tensor（如 ``Tensor.tanh``、``ReLU()``；对 ``lambda z: z``，返回的就是参数本身）。``g`` 是 ∂L/∂h_L。
返回 ``(forward, backward)``：两个各含 L 个浮点数的列表，第 1 层在前，分别是 h_l 全部元素的方差与 ∂L/∂z_l 全部元素的方差。
所有参数都不被改动。
"""

# %% [markdown] hint="variance_sweep" lang="en"
r"""
A loop that keeps its z and h in two lists. `backward` takes a gradient if what it starts from is not a single number.
"""

# %% [markdown] hint="variance_sweep" lang="zh"
r"""
写一个循环，把各个 z 与 h 存进两个列表。起点不是单个数时，`backward` 可以接受一个梯度。
"""

# %% [markdown] hint="variance_sweep" lang="en"
r"""
`z.grad` exists only if z requires a gradient: the input has to be a Tensor that does. `x.data.var()` of NumPy is the variance over all entries.
"""

# %% [markdown] hint="variance_sweep" lang="zh"
r"""
只有当 z 需要梯度时才有 `z.grad`：输入必须是一个需要梯度的 Tensor。NumPy 的 `x.data.var()` 就是全部元素的方差。
"""

# %%
from ladder.graders.stage1_foundation.day06_init_and_batchnorm import check_variance_sweep

check_variance_sweep(variance_sweep, Tensor)

# %% [markdown] lang="en"
r"""
Fifty layers of width 100, each line one way to draw the weights. For relu, Xavier's variance $1/n$ loses a factor of 2 at each layer, $2^{-50} \approx 10^{-15}$ in all; the line of Kaiming for relu stays level on both ways. For tanh, weights that are too large cannot make the activations explode, since these saturate at $\pm 1$ (the activations look fine!), but the
gradients explode all the same. Xavier keeps tanh's gradients nearly level while the activations shrink slowly; the gain 5/3 holds the activations, and the gradients grow. No choice keeps both level, but both are far from the lines of 0.01 and 1.
"""

# %% [markdown] lang="zh"
r"""
五十层，每层宽 100，每条线是一种抽取权重的方式。对 relu，Xavier 的方差 $1/n$ 每层损失一个因子 2，总共 $2^{-50} \approx 10^{-15}$；针对 relu 的 Kaiming 那条线在前向、反向都保持水平。对 tanh，权重过大不会使激活值爆炸，因为它们饱和在 $\pm 1$（激活值看上去一切正常！），但
梯度照样爆炸。Xavier 使 tanh 的梯度近乎水平，激活值则缓慢缩小；增益 5/3 保住了激活值，梯度却在增长。没有哪种选择能让两者都保持水平，但这两种都与 0.01 和 1 的那两条线相去甚远。
"""

# %%
depth, width, batch = 50, 100, 64
stds = {"0.01": 0.01, "Xavier": xavier_std(width, width), "Kaiming (relu)": kaiming_std(width, "relu"),
        "Kaiming (tanh)": kaiming_std(width, "tanh"), "1": 1.0}
fig, axes = plt.subplots(2, 2, figsize=(10, 6), sharex=True)
for column, (title, f) in zip(axes.T, (("relu", ReLU()), ("tanh", Tensor.tanh)), strict=True):
    for name, std in stds.items():
        rng = np.random.default_rng(0)
        weights = [std * rng.normal(size=(width, width)) for _ in range(depth)]
        curves = variance_sweep(weights, rng.normal(size=(batch, width)), rng.normal(size=(batch, width)), f)
        for ax, variances in zip(column, curves, strict=True):
            ax.semilogy(range(1, depth + 1), np.maximum(variances, 1e-40), label=name)
    column[0].set(title=title, ylabel="Var of activations", ylim=(1e-18, 1e18))
    column[1].set(xlabel="layer", ylabel="Var of gradients", ylim=(1e-18, 1e18))
axes[0, 1].set(ylim=(1e-6, 1e2))
axes[0, 1].legend(title="std of weights", fontsize=8, loc="lower right", ncols=2)
plt.tight_layout()
plt.show()

# %% [markdown] lang="en"
r"""
## 3. Batch normalisation, forward

Initialisation sets the sizes once; training changes the weights, and the sizes drift. Ioffe & Szegedy make the normalising part of the network. For every feature (column) of a batch of $B$ examples,

$$\mu = \frac1B \sum_b x_b, \qquad \sigma^2 = \frac1B \sum_b (x_b - \mu)^2, \qquad \hat x_b = \frac{x_b - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \qquad y_b = \gamma \hat x_b + \beta .$$

$\gamma$ and $\beta$ are learned, so that the layer can undo the normalising where that serves the loss. Note that $\hat x_b$ depends on *all* examples. That is fine while training, but when you test one picture its class must not depend on its neighbours. So the layer keeps **running statistics** of the batches it saw,
exponential moving averages, and uses those in evaluation mode. Two conventions of PyTorch that cause real bugs: $\sigma^2$ in $\hat x$ is the biased variance, while `running_var` follows the unbiased one; and `momentum` is the weight of the *new* batch.
"""

# %% [markdown] lang="zh"
r"""
## 3. 批归一化：前向

初始化只把大小设定一次；训练会改变权重，大小随之漂移。Ioffe 与 Szegedy 把归一化变成网络的一部分。对一批 $B$ 个样本的每个特征（列），

$$\mu = \frac1B \sum_b x_b, \qquad \sigma^2 = \frac1B \sum_b (x_b - \mu)^2, \qquad \hat x_b = \frac{x_b - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \qquad y_b = \gamma \hat x_b + \beta .$$

$\gamma$ 与 $\beta$ 是学出来的，所以在对损失有利时，这一层可以撤销归一化。注意 $\hat x_b$ 依赖*所有*样本。训练时这没有问题，但测试一张图片时，它的类别不能取决于同批的其他图片。因此这一层对见过的各批维护**滑动统计量**，
即指数滑动平均，并在评估模式下使用它们。PyTorch 有两个约定常常造成真正的 bug：$\hat x$ 中的 $\sigma^2$ 是有偏方差，而 `running_var` 跟随的是无偏方差；`momentum` 是*新*的一批的权重。
"""

# %% exercise="batchnorm_forward"
from ladder.solutions.stage1_foundation.day06_init_and_batchnorm import BatchNorm1d

# %% [markdown] lang="zh" docstring="BatchNorm1d"
r"""对 ``features`` 列做批归一化（Ioffe 与 Szegedy，arXiv 1502.03167，算法 1）。

一批数据的每一列各自归一化，然后乘以 ``gamma``、加上 ``beta``。字段：

- ``gamma``、``beta``：形状 (features,) 的 Tensor，起初分别为全 1 与全 0；由学习得到；
- ``running_mean``、``running_var``：形状 (features,) 的数组，起初分别为全 0 与全 1；训练时跟随各批的统计量，
  训练之后代替它们使用；
- ``eps``：每个方差开平方之前加上它；
- ``momentum``：最新一批在滑动统计量中的权重；
- ``training``：起初为 True；评估时设为 False。
"""

# %% [markdown] lang="zh" docstring="BatchNorm1d.forward"
r"""对数组 ``x`` 返回 ``(y, cache)``：y = gamma x̂ + beta，x̂ = (x − mean) / sqrt(var + eps)。

训练模式下，mean 与 var 取自这一批的每一列，var 为有偏方差（偏差平方的平均，即除以 B）。滑动统计量随之移动：

    running ← (1 − momentum) · running + momentum · （这一批的）

``running_mean`` 用均值，``running_var`` 用*无偏*方差（除以 B − 1），与 PyTorch 相同。若 B < 2，抛出 ValueError。

评估模式下，mean 与 var 就是 ``running_mean`` 与 ``running_var``；任何字段都不变，B 可以为 1。

某一列的均值是其标准差的一百万倍时也要正确。``cache`` 是 ``backward`` 日后需要的、关于这次调用的任何东西；
再次调用 ``forward`` 之后它仍然有效。``x`` 不被改动。
"""

# %% [markdown] hint="batchnorm_forward" lang="en"
r"""
Decide first which mean and variance this call uses, and write the normalising once, for both modes. Each is one number a column: along which axis is averaged?
"""

# %% [markdown] hint="batchnorm_forward" lang="zh"
r"""
先确定这次调用用哪个均值和方差，归一化则只写一遍，两种模式共用。均值和方差都是每列一个数：沿哪一维求平均？
"""

# %% [markdown] hint="batchnorm_forward" lang="en"
r"""
NumPy's `var` is the biased one; the unbiased is $B/(B-1)$ times it, or `ddof=1`. In the cache put $\hat x$, $1/\sqrt{\sigma^2 + \varepsilon}$ and the mode, which is all that the gradients need. `gamma` is a Tensor; its array is `gamma.data`.
"""

# %% [markdown] hint="batchnorm_forward" lang="zh"
r"""
NumPy 的 `var` 是有偏的；无偏方差是它的 $B/(B-1)$ 倍，或用 `ddof=1`。cache 里放 $\hat x$、$1/\sqrt{\sigma^2 + \varepsilon}$ 与模式，求梯度只需要这些。`gamma` 是 Tensor，它的数组是 `gamma.data`。
"""

# %%
from ladder.graders.stage1_foundation.day06_init_and_batchnorm import check_bn_forward

check_bn_forward(BatchNorm1d)

# %% [markdown] lang="en"
r"""
The running statistics start at 0 and 1, whatever the data. Below, batches of 16 numbers with mean 3 and variance 4 arrive: after $t$ batches a share of $0.9^t$ of the start is still in them. Test a model too early, and they are wrong; a larger `momentum` forgets faster and jumps more.
"""

# %% [markdown] lang="zh"
r"""
无论数据如何，滑动统计量都从 0 与 1 开始。下面不断送来 16 个数一批、均值 3、方差 4 的数据：$t$ 批之后，初值在其中仍占 $0.9^t$。过早地测试模型，它们就是错的；`momentum` 越大，忘得越快，抖动也越大。
"""

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3))
for momentum in (0.1, 0.5):
    layer, rng, means, variances = BatchNorm1d(1, momentum=momentum), np.random.default_rng(0), [], []
    for _ in range(80):
        layer.forward(rng.normal(3, 2, size=(16, 1)))
        means.append(layer.running_mean[0])
        variances.append(layer.running_var[0])
    for ax, values in zip(axes, (means, variances), strict=True):
        ax.plot(range(1, 81), values, label=f"momentum {momentum}")
for ax, truth, name in zip(axes, (3, 4), ("running_mean", "running_var"), strict=True):
    ax.axhline(truth, color="gray", ls=":")
    ax.set(xlabel="batches seen", ylabel=name)
axes[0].legend()
plt.tight_layout()
plt.show()

# %% [markdown] lang="en"
r"""
## 4. The gradients of gamma and beta

Write $\bar y$ for $\partial L/\partial y$, as on Day 3. In $y_{bf} = \gamma_f \hat x_{bf} + \beta_f$, one $\gamma_f$ and one $\beta_f$ serve all $B$ examples: they are broadcast. You know what that means for the way back. Find $\partial y_{bf}/\partial \gamma_f$ and $\partial y_{bf}/\partial \beta_f$, and put them into the sum over all entries of $y$.
"""

# %% [markdown] lang="zh"
r"""
## 4. gamma 与 beta 的梯度

像第 3 天那样，用 $\bar y$ 表示 $\partial L/\partial y$。在 $y_{bf} = \gamma_f \hat x_{bf} + \beta_f$ 中，同一个 $\gamma_f$ 与同一个 $\beta_f$ 供全部 $B$ 个样本使用：它们被广播了。反向时这意味着什么，你已经知道。求出 $\partial y_{bf}/\partial \gamma_f$ 与 $\partial y_{bf}/\partial \beta_f$，代入对 $y$ 全部元素的和式。
"""

# %% exercise="bn_dgamma_dbeta"
from ladder.solutions.stage1_foundation.day06_init_and_batchnorm import bn_dgamma_dbeta

# %% [markdown] lang="zh" docstring="bn_dgamma_dbeta"
r"""``(dgamma, dbeta)`` = (∂L/∂gamma, ∂L/∂beta)，其中 y = gamma · xhat + beta。

``dy`` 是 ∂L/∂y；gamma 与 beta 在 F 列的每一列各有一个元素。参数不被改动。
"""

# %% [markdown] hint="bn_dgamma_dbeta" lang="en"
r"""
Both results have one entry a column. What was broadcast over the examples in the forward pass is summed over them in the backward pass.
"""

# %% [markdown] hint="bn_dgamma_dbeta" lang="zh"
r"""
两个结果都是每列一个元素。前向传播时沿样本广播的，反向传播时沿样本求和。
"""

# %% [markdown] hint="bn_dgamma_dbeta" lang="en"
r"""
$\partial y_{bf}/\partial \gamma_f = \hat x_{bf}$ and $\partial y_{bf}/\partial \beta_f = 1$: multiply with `dy`, and add up along the axis of the examples.
"""

# %% [markdown] hint="bn_dgamma_dbeta" lang="zh"
r"""
$\partial y_{bf}/\partial \gamma_f = \hat x_{bf}$，$\partial y_{bf}/\partial \beta_f = 1$：与 `dy` 相乘，再沿样本那一维相加。
"""

# %%
from ladder.graders.stage1_foundation.day06_init_and_batchnorm import check_bn_dgamma_dbeta

check_bn_dgamma_dbeta(bn_dgamma_dbeta)

# %% [markdown] lang="en"
r"""
## 5. The gradient of x

One column at a time; $s = 1/\sqrt{\sigma^2 + \varepsilon}$, and $h_b = \gamma\, \bar y_b$ is the gradient of $\hat x_b$. In evaluation mode $\mu$ and $s$ are constants and $\bar x_b = s\,h_b$. In training mode, $x_b$ reaches the loss in three ways (the paper's list in section 3): directly, through $\sigma^2$, and through $\mu$.

$$\bar{\sigma^2} = \sum_b h_b\,(x_b - \mu)\cdot\left(-\tfrac12 s^3\right), \qquad \bar\mu = -s \sum_b h_b, \qquad \bar x_b = s\,h_b + \bar{\sigma^2}\,\frac{2 (x_b - \mu)}{B} + \frac{\bar\mu}{B} .$$

($\sigma^2$ depends on $\mu$ too, but $\partial \sigma^2/\partial\mu = -\frac2B \sum_b (x_b - \mu) = 0$.) Put the first two into the third, with $x_b - \mu = \hat x_b / s$, and the whole layer is one line:

$$\bar x_b = s \left( h_b - \frac1B \sum_a h_a - \hat x_b\, \frac1B \sum_a h_a \hat x_a \right) .$$

Read it: from $h$ its mean is taken away, and its part along $\hat x$. Rightly so, since shifting a column or stretching it changes no $\hat x$ (up to $\varepsilon$), so $\bar x$ has no business pointing there. The two sums you have already.
"""

# %% [markdown] lang="zh"
r"""
## 5. x 的梯度

一次看一列；记 $s = 1/\sqrt{\sigma^2 + \varepsilon}$，$h_b = \gamma\, \bar y_b$ 是 $\hat x_b$ 的梯度。评估模式下 $\mu$ 与 $s$ 是常数，$\bar x_b = s\,h_b$。训练模式下，$x_b$ 经三条路径影响损失（论文第 3 节列出的那些）：直接、经过 $\sigma^2$、经过 $\mu$。

$$\bar{\sigma^2} = \sum_b h_b\,(x_b - \mu)\cdot\left(-\tfrac12 s^3\right), \qquad \bar\mu = -s \sum_b h_b, \qquad \bar x_b = s\,h_b + \bar{\sigma^2}\,\frac{2 (x_b - \mu)}{B} + \frac{\bar\mu}{B} .$$

（$\sigma^2$ 也依赖 $\mu$，但 $\partial \sigma^2/\partial\mu = -\frac2B \sum_b (x_b - \mu) = 0$。）利用 $x_b - \mu = \hat x_b / s$，把前两式代入第三式，整个层就是一行：

$$\bar x_b = s \left( h_b - \frac1B \sum_a h_a - \hat x_b\, \frac1B \sum_a h_a \hat x_a \right) .$$

这个式子的意思是：从 $h$ 中去掉它的均值，再去掉它沿 $\hat x$ 的分量。理应如此，因为把一列平移或拉伸并不改变任何 $\hat x$（不计 $\varepsilon$），所以 $\bar x$ 不该指向那里。其中的两个和你都已经有了。
"""

# %% exercise="batchnorm_backward"
from ladder.solutions.stage1_foundation.day06_init_and_batchnorm import BatchNorm1d

# %% [markdown] lang="zh" docstring="BatchNorm1d.backward"
r"""``(dx, dgamma, dbeta)``：给定 ``dy`` = ∂L/∂y，损失的三个梯度。

``cache`` 是 ``forward`` 与 y 一起返回的那个；起作用的是那次调用是否处于训练模式，而不是当前的模式。
训练模式下，mean 与 var 是 x 的函数，dx 要计入这一点；评估模式下它们是常数。
``gamma`` 与 ``beta`` 的 ``grad`` 不变。``dy`` 不被改动，同一个 ``cache`` 可以再次使用。
"""

# %% [markdown] hint="batchnorm_backward" lang="en"
r"""
Take dgamma and dbeta first. Then compare the two sums in the last equation with them: which factor is missing?
"""

# %% [markdown] hint="batchnorm_backward" lang="zh"
r"""
先求 dgamma 与 dbeta。再把最后一个式子中的两个和与它们比较：差了哪个因子？
"""

# %% [markdown] hint="batchnorm_backward" lang="en"
r"""
$\sum_a h_a = \gamma\,$`dbeta` and $\sum_a h_a \hat x_a = \gamma\,$`dgamma`. So $\gamma$ can be taken out of the bracket, and the mode (kept in the cache) decides only whether the two terms are subtracted.
"""

# %% [markdown] hint="batchnorm_backward" lang="zh"
r"""
$\sum_a h_a = \gamma\,$`dbeta`，$\sum_a h_a \hat x_a = \gamma\,$`dgamma`。所以 $\gamma$ 可以提到括号外面，而模式（存在 cache 里）只决定要不要减去那两项。
"""

# %%
from ladder.graders.stage1_foundation.day06_init_and_batchnorm import check_bn_backward

check_bn_backward(BatchNorm1d)

# %% [markdown] lang="en"
r"""
**Written answer** (6 points). Derive BatchNorm's gradients by indices.

1. (2 points) From $y_{bf} = \gamma_f \hat x_{bf} + \beta_f$ derive $\bar\gamma_f$ and $\bar\beta_f$, with the sums over all entries of $y$ and the step where one of them collapses.
2. (3 points) Derive $\bar x_b$ for one column in training mode, starting from the three paths; say where each of the last equation's three terms comes from.
3. (1 point) A Linear layer with bias $c$ stands before the BatchNorm. Why is $\bar c = 0$ in training mode, and which parameter does its work?
"""

# %% [markdown] lang="zh"
r"""
**书面题**（6 分）。用下标推导 BatchNorm 的梯度。

1. （2 分）由 $y_{bf} = \gamma_f \hat x_{bf} + \beta_f$ 推导 $\bar\gamma_f$ 与 $\bar\beta_f$，写出对 $y$ 全部元素的和式，以及其中一个求和消去的那一步。
2. （3 分）对训练模式下的一列，从三条路径出发推导 $\bar x_b$；说明最后一个式子中的三项各从何而来。
3. （1 分）BatchNorm 前面有一个偏置为 $c$ 的 Linear 层。为什么训练模式下 $\bar c = 0$？它的作用由哪个参数承担？
"""

# %% [markdown] written="written_bn" lang="en"
r"""
*Your derivation here.*
"""

# %% [markdown] written="written_bn" lang="zh"
r"""
*在这里写出你的推导。*
"""

# %% [markdown] model="written_bn" lang="en"
r"""
1. $\partial y_{bk}/\partial\gamma_f = \delta_{kf}\, \hat x_{bf}$, so $\bar\gamma_f = \sum_{b,k} \bar y_{bk}\, \delta_{kf}\, \hat x_{bf} = \sum_b \bar y_{bf}\, \hat x_{bf}$: the $\delta$ removes the sum over features, the sum over examples stays. Likewise $\partial y_{bk}/\partial\beta_f = \delta_{kf}$ and $\bar\beta_f = \sum_b \bar y_{bf}$.
2. Let $h_b = \gamma \bar y_b$ be the gradient of $\hat x_b = (x_b - \mu)\,s$, with $s = (\sigma^2+\varepsilon)^{-1/2}$ and $ds/d\sigma^2 = -\frac12 s^3$. Directly: $s\,h_b$, the first term. Through $\sigma^2$: $\bar{\sigma^2} = -\frac12 s^3 \sum_a h_a (x_a - \mu) = -\frac12 s^2 \sum_a h_a \hat x_a$, times $\partial\sigma^2/\partial x_b = \frac2B (x_b - \mu) = \frac{2}{B s} \hat x_b$,
   gives $-\frac{s}{B}\, \hat x_b \sum_a h_a \hat x_a$, the third term. Through $\mu$: $\bar\mu = -s\sum_a h_a$ (by way of $\sigma^2$ nothing, as $\sum_a (x_a - \mu) = 0$), times $\partial\mu/\partial x_b = \frac1B$, gives $-\frac sB \sum_a h_a$, the second term.
3. $c_f$ is added to the whole column, so $\bar c_f = \sum_b \bar x_{bf}$. Summing the last equation over $b$ gives $s(\sum h - \sum h - 0) = 0$, because $\sum_b \hat x_b = 0$. The mean takes $c$ away again; $\beta$ does its work.
"""

# %% [markdown] model="written_bn" lang="zh"
r"""
1. $\partial y_{bk}/\partial\gamma_f = \delta_{kf}\, \hat x_{bf}$，所以 $\bar\gamma_f = \sum_{b,k} \bar y_{bk}\, \delta_{kf}\, \hat x_{bf} = \sum_b \bar y_{bf}\, \hat x_{bf}$：$\delta$ 消去了对特征的求和，对样本的求和保留。同理 $\partial y_{bk}/\partial\beta_f = \delta_{kf}$，$\bar\beta_f = \sum_b \bar y_{bf}$。
2. 设 $h_b = \gamma \bar y_b$ 是 $\hat x_b = (x_b - \mu)\,s$ 的梯度，其中 $s = (\sigma^2+\varepsilon)^{-1/2}$，$ds/d\sigma^2 = -\frac12 s^3$。直接的路径：$s\,h_b$，即第一项。经过 $\sigma^2$：$\bar{\sigma^2} = -\frac12 s^3 \sum_a h_a (x_a - \mu) = -\frac12 s^2 \sum_a h_a \hat x_a$，乘以 $\partial\sigma^2/\partial x_b = \frac2B (x_b - \mu) = \frac{2}{B s} \hat x_b$，
   得 $-\frac{s}{B}\, \hat x_b \sum_a h_a \hat x_a$，即第三项。经过 $\mu$：$\bar\mu = -s\sum_a h_a$（经由 $\sigma^2$ 的部分为零，因为 $\sum_a (x_a - \mu) = 0$），乘以 $\partial\mu/\partial x_b = \frac1B$，得 $-\frac sB \sum_a h_a$，即第二项。
3. $c_f$ 加到整列上，所以 $\bar c_f = \sum_b \bar x_{bf}$。把最后一个式子对 $b$ 求和，得 $s(\sum h - \sum h - 0) = 0$，因为 $\sum_b \hat x_b = 0$。$c$ 又被均值减掉了；它的作用由 $\beta$ 承担。
"""

# %% [markdown] lang="en"
r"""
## 6. A layer of your engine

What remains is the pattern of Day 3: compute the output, remember what the way back needs, give every operand its gradient. `x`, `gamma` and `beta` are all operands. A layer may be called several times before `backward` runs, so what the way back needs belongs to the *call*, not to the layer.
"""

# %% [markdown] lang="zh"
r"""
## 6. 成为引擎里的一层

剩下的就是第 3 天的套路：算出输出，记住反向需要的东西，把梯度交给每个操作数。`x`、`gamma`、`beta` 都是操作数。在 `backward` 运行之前，一个层可能被调用多次，所以反向需要的东西属于那次*调用*，而不属于这个层。
"""

# %% exercise="batchnorm_layer"
from ladder.solutions.stage1_foundation.day06_init_and_batchnorm import BatchNorm1d

# %% [markdown] lang="zh" docstring="BatchNorm1d.__call__"
r"""把 ``forward`` 作为引擎的一个运算，操作数为 ``(x, gamma, beta)``。

结果的 ``_backward`` 把 ``backward`` 针对这次调用返回的梯度加到各操作数的 ``grad`` 上，即使其间这个层又被调用过。
"""

# %% [markdown] lang="zh" docstring="BatchNorm1d.parameters"
r"""``[gamma, beta]``，就是这两个 Tensor 本身。"""

# %% [markdown] hint="batchnorm_layer" lang="en"
r"""
Like `Tensor.tanh` of Day 3, with three operands: a local function `backward(grad)` that calls `accumulate` on each.
"""

# %% [markdown] hint="batchnorm_layer" lang="zh"
r"""
像第 3 天的 `Tensor.tanh` 那样，只是有三个操作数：写一个局部函数 `backward(grad)`，对每个操作数调用 `accumulate`。
"""

# %% [markdown] hint="batchnorm_layer" lang="en"
r"""
`y, cache = self.forward(x.data)`; the closure holds on to this `cache`. Return `Tensor(y, _prev=..., _backward=...)`. The running statistics are not learned by gradients, so they are no parameters.
"""

# %% [markdown] hint="batchnorm_layer" lang="zh"
r"""
`y, cache = self.forward(x.data)`；闭包保留这个 `cache`。返回 `Tensor(y, _prev=..., _backward=...)`。滑动统计量不是靠梯度学出来的，所以不是参数。
"""

# %%
from ladder.graders.stage1_foundation.day06_init_and_batchnorm import check_bn_layer

check_bn_layer(BatchNorm1d, Tensor)

# %% [markdown] lang="en"
r"""
Your layer beside PyTorch's, in both modes: output, gradients and running statistics.
"""

# %% [markdown] lang="zh"
r"""
把你的层与 PyTorch 的并列，两种模式都试：输出、梯度与滑动统计量。
"""

# %%
rng = np.random.default_rng(0)
x, g = rng.normal(2, 3, size=(32, 5)), rng.normal(size=(32, 5))
mine, theirs = BatchNorm1d(5), torch.nn.BatchNorm1d(5, dtype=torch.float64)
mine.gamma.data, mine.beta.data = rng.normal(size=5), rng.normal(size=5)
with torch.no_grad():
    theirs.weight[:], theirs.bias[:] = torch.tensor(mine.gamma.data), torch.tensor(mine.beta.data)
for training in (True, False):
    mine.training = training
    theirs.train(training)
    theirs.zero_grad()
    mine_x, their_x = Tensor(x), torch.tensor(x, requires_grad=True)
    for p in mine.parameters():
        p.zero_grad()
    mine_y, their_y = mine(mine_x), theirs(their_x)
    mine_y.backward(g)
    their_y.backward(torch.tensor(g))
    pairs = {"y": (mine_y.data, their_y.detach()), "dx": (mine_x.grad, their_x.grad),
             "dgamma": (mine.gamma.grad, theirs.weight.grad), "dbeta": (mine.beta.grad, theirs.bias.grad),
             "running_mean": (mine.running_mean, theirs.running_mean), "running_var": (mine.running_var, theirs.running_var)}
    print("training mode:  " if training else "evaluation mode:", "largest difference",
          ", ".join(f"{name} {np.abs(a - b.numpy()).max():.0e}" for name, (a, b) in pairs.items()))

# %% [markdown] lang="en"
r"""
Two consequences, on numbers. Multiplying the weights before a BatchNorm by $a$ changes (up to $\varepsilon$) nothing in the output, and divides their gradient by $a$: large weights move less ([section 3.3](https://arxiv.org/abs/1502.03167) of the paper). So the size of the initial weights, the whole of sections 1 and 2, matters far less.
And the bias before a BatchNorm never moves.
"""

# %% [markdown] lang="zh"
r"""
用数字看两个推论。把 BatchNorm 前面的权重乘以 $a$，输出（不计 $\varepsilon$）不变，而权重的梯度除以 $a$：权重越大，移动越少（论文 [3.3 节](https://arxiv.org/abs/1502.03167)）。于是初始权重的大小，也就是第 1、2 节的全部内容，就远没有那么要紧了。
另外，BatchNorm 前面的偏置永远不动。
"""

# %%
rng = np.random.default_rng(0)
x, g = rng.normal(size=(64, 30)), rng.normal(size=(64, 20))
for a in (1, 10, 100):
    linear, norm = Linear(30, 20, np.random.default_rng(1)), BatchNorm1d(20)
    linear.weight.data *= a
    y = norm(linear(Tensor(x, requires_grad=False)))
    y.backward(g)
    print(f"weights x {a:3}: std of y {y.data.std():.4f}, largest |dW| {np.abs(linear.weight.grad).max():.5f}, "
          f"largest |dbias| {np.abs(linear.bias.grad).max():.0e}")

# %% [markdown] lang="en"
r"""
## 7. The ablation

Does it train faster? An **ablation** answers such a question: two runs that differ in one thing only. First the networks. BatchNorm stands between Linear and ReLU, as in section 3.2 of the paper; the last Linear makes logits, whose size carries meaning, and stays as it is. `set_training` is given, for the end of the day.
"""

# %% [markdown] lang="zh"
r"""
## 7. 消融实验

它真的训练得更快吗？回答这类问题靠**消融实验**（ablation）：两次训练只差一处。先写网络。按论文 3.2 节，BatchNorm 放在 Linear 与 ReLU 之间；最后一个 Linear 输出 logit，其大小有意义，保持不动。`set_training` 已给出，到最后才用。
"""

# %% exercise="bn_mlp"
from ladder.solutions.stage1_foundation.day06_init_and_batchnorm import set_training, bn_mlp

# %% [markdown] lang="zh" docstring="bn_mlp"
r"""一个多层感知机，有或没有 BatchNorm。

``sizes`` 中每两个相邻的数对应一个 Linear，依次由 ``rng`` 抽取；除最后一个外，每个 Linear 之后先是 BatchNorm1d
（仅当 ``batchnorm`` 为真），再是 ReLU。因此相同的生成器给出相同的 Linear，无论有没有 BatchNorm。
"""

# %% [markdown] hint="bn_mlp" lang="en"
r"""
Day 4's MLP with one layer more. How many features does the output of Linear(i, o) have?
"""

# %% [markdown] hint="bn_mlp" lang="zh"
r"""
就是第 4 天的 MLP，多了一种层。Linear(i, o) 的输出有多少个特征？
"""

# %% [markdown] hint="bn_mlp" lang="en"
r"""
Begin the list with the first Linear. Every further Linear then brings along what stands before it: BatchNorm1d of its own number of inputs, if wanted, and a ReLU.
"""

# %% [markdown] hint="bn_mlp" lang="zh"
r"""
列表以第一个 Linear 开头。之后每个 Linear 都带上它前面的东西：需要时加一个宽度等于自己输入数的 BatchNorm1d，再加一个 ReLU。
"""

# %%
from ladder.graders.stage1_foundation.day06_init_and_batchnorm import check_bn_mlp

check_bn_mlp(bn_mlp)

# %% [markdown] lang="en"
r"""
Now the comparison. Training is noisy, and a lucky start or an easy run of batches can look like a faster method. So both runs get the same first weights and the same batches; this is called **pairing**. And one pair is an anecdote: you will draw several seeds.
"""

# %% [markdown] lang="zh"
r"""
现在来做比较。训练是有噪声的：一个幸运的起点或一串容易的批，看上去就像更快的方法。所以两次训练用相同的初始权重和相同的批，这叫作**配对**。而只有一对结果是偶然：你要用多个种子。
"""

# %% exercise="bn_ablation"
from ladder.solutions.stage1_foundation.day06_init_and_batchnorm import bn_ablation

# %% [markdown] lang="zh" docstring="bn_ablation"
r"""同样的训练，有与没有 BatchNorm 的损失曲线：{"plain": …, "batchnorm": …}。

``make(batchnorm, rng)`` 给出一个模型；两次训练之间，除 BatchNorm 外没有任何差别：

- "plain" 训练 ``make(False, rng)``，"batchnorm" 训练 ``make(True, rng)``，各用一个新的
  ``np.random.default_rng(seed)``，因此从相同的权重出发；
- 两次看到的批相同：每一步调用一次某个生成器的 ``integers``，得到这一批的 ``batch_size`` 个下标（小于 N）；
  每次训练都新建这个生成器，以 ``seed`` 与 1 这两个数组成的列表为种子；
- 两次都用学习率 ``lr``、无动量的 SGD，损失是这一批的平均交叉熵。

每条曲线含 ``steps`` 个浮点数：每一步的批在更新之前的损失。``X`` 与 ``y`` 不被改动。
"""

# %% [markdown] hint="bn_ablation" lang="en"
r"""
One loop over the two variants, and inside it the training loop of Day 4. Which generators have to be new in every turn?
"""

# %% [markdown] hint="bn_ablation" lang="zh"
r"""
外层循环是两种变体，里面是第 4 天的训练循环。哪些生成器每一轮都必须新建？
"""

# %% [markdown] hint="bn_ablation" lang="en"
r"""
For each variant: a model from a new `default_rng(seed)`, an SGD on its parameters, another new generator for the batches (`default_rng` takes a list as seed). A step is: draw, forward, loss, zero_grad, backward, step, note `loss.item()`.
"""

# %% [markdown] hint="bn_ablation" lang="zh"
r"""
对每种变体：用新的 `default_rng(seed)` 造模型，为其参数建 SGD，再新建一个生成器抽批（`default_rng` 可以用列表作种子）。一步包括：抽样、前向、损失、zero_grad、backward、step、记下 `loss.item()`。
"""

# %%
from ladder.graders.stage1_foundation.day06_init_and_batchnorm import check_bn_ablation

check_bn_ablation(bn_ablation, Tensor)

# %% [markdown] lang="en"
r"""
"Faster" needs a number. We take the number of steps until the training loss is down to a target. A single batch may be easy by chance, so a mean over a window counts.
"""

# %% [markdown] lang="zh"
r"""
“更快”需要一个数。我们取训练损失降到目标所需的步数。单独一批可能碰巧容易，所以看一个窗口内的平均。
"""

# %% exercise="steps_to_target"
from ladder.solutions.stage1_foundation.day06_init_and_batchnorm import steps_to_target

# %% [markdown] lang="zh" docstring="steps_to_target"
r"""多少步之后损失降到 ``target``。

单批的损失有跳动，因此看连续 ``window`` 个损失的均值：结果是满足下述条件的最小步数 t ≥ ``window``：
前 t 个损失中最后 ``window`` 个的均值 ≤ ``target``；若没有这样的 t，返回 None。
若窗口内有 inf 或 nan，均值永远不算 ≤ ``target``；之后不含它们的窗口仍可以。
"""

# %% [markdown] hint="steps_to_target" lang="en"
r"""
Try it on paper with [3, 2, 1] and a window of 2. The first window is complete after how many steps?
"""

# %% [markdown] hint="steps_to_target" lang="zh"
r"""
用 [3, 2, 1] 与窗口 2 在纸上试一遍。第一个窗口在多少步之后才完整？
"""

# %% [markdown] hint="steps_to_target" lang="en"
r"""
For t from `window` to `len(losses)` inclusive, look at `losses[t - window:t]`. A comparison with nan is False, which is what you want.
"""

# %% [markdown] hint="steps_to_target" lang="zh"
r"""
让 t 从 `window` 取到 `len(losses)`（含），看 `losses[t - window:t]`。与 nan 比较得 False，正合需要。
"""

# %%
from ladder.graders.stage1_foundation.day06_init_and_batchnorm import check_steps_to_target

check_steps_to_target(steps_to_target)

# %% [markdown] lang="en"
r"""
### The measurement

Eight pairs on MNIST: three hidden layers of 100, learning rate 0.1, batches of 64, 400 steps. The lines are medians over the seeds, the bands reach from the lowest to the highest seed. The reference reached a loss of 0.4 after 119 steps without BatchNorm and after 79 with it (medians), a ratio of 1.47; the single seeds' ratios lie between 1.33 and 2.04 (in 47 s on 2 busy cores).
"""

# %% [markdown] lang="zh"
r"""
### 测量

在 MNIST 上做八对：三个宽 100 的隐藏层，学习率 0.1，每批 64，共 400 步。线是各种子的中位数，色带从最低的种子延伸到最高的种子。参考实现达到损失 0.4，没有 BatchNorm 用了 119 步，有 BatchNorm 用了 79 步（中位数），比值为 1.47；各种子的比值在 1.33 到 2.04 之间（在 2 个繁忙的核上用时 47 秒）。
"""

# %%
from ladder.data import load
from ladder.notebook import language
from ladder.readers import read_idx
from ladder.training import Training

SIZES, TARGET, WINDOW = [784, 100, 100, 100, 10], 0.4, 20
data = load("mnist", progress=False)
print(data.notice(language()))
train_X, train_y, test_X, test_y = (
    read_idx(data[key]) for key in ("train_images", "train_labels", "test_images", "test_labels"))
train_X, test_X = (images.reshape(len(images), -1) / np.float32(255) for images in (train_X, test_X))


def digits_model(batchnorm, rng):
    return bn_mlp(SIZES, batchnorm, rng)


def draw_curves(ax, runs):
    """Median and range over the runs of each variant's smoothed loss."""
    for name, color in (("plain", "tab:red"), ("batchnorm", "tab:blue")):
        smooth = np.array([np.convolve(run[name], np.ones(WINDOW) / WINDOW, "valid") for run in runs])
        at = np.arange(WINDOW, WINDOW + smooth.shape[1])
        ax.fill_between(at, smooth.min(axis=0), smooth.max(axis=0), color=color, alpha=0.2)
        ax.plot(at, np.median(smooth, axis=0), color=color, label=name)


runs = []
with Training(2 if QUICK else 8, "seeds") as run:
    for seed in run:
        runs.append(bn_ablation(seed, digits_model, train_X, train_y, steps=120 if QUICK else 400))
        run.log(plain=runs[-1]["plain"][-1], batchnorm=runs[-1]["batchnorm"][-1])
needed = {name: [steps_to_target(one[name], TARGET, WINDOW) for one in runs] for name in ("plain", "batchnorm")}
ratios = [p / b for p, b in zip(*needed.values(), strict=True) if p and b]
print("steps to", TARGET, needed)
if ratios:
    print(f"ratio plain / batchnorm: median {np.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")
fig, ax = plt.subplots(figsize=(7, 4))
if runs:
    draw_curves(ax, runs)
ax.axhline(TARGET, color="gray", ls=":", label="target")
ax.set(xlabel="step", ylabel=f"training loss (mean of {WINDOW} batches)", yscale="log",
       title=f"{len(runs)} seeds: median and range")
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
One doubt remains: at *this* learning rate. Perhaps the plain network only wants another one. A fair comparison gives each method its own best rate. The reference, with three seeds a rate: both are best at 0.3, 114 steps without BatchNorm against 46 with it, a ratio of 2.48 (25 s). At a rate of 1 the plain network does not get there within 300 steps; with BatchNorm it takes about 60.

Look at the right end as well: the wide range of rates that work is BatchNorm's more useful gift. Why it helps is less clear than that it does: the paper's explanation, less "internal covariate shift", was tested by [Santurkar et al.](https://arxiv.org/abs/1805.11604), who added such shift on purpose, found that it hardly hurt, and put the effect down to a smoother loss.
"""

# %% [markdown] lang="zh"
r"""
还有一个疑问：这是在*这个*学习率下。也许没有 BatchNorm 的网络只是需要另一个学习率。公平的比较应让每种方法用各自最好的学习率。参考实现（每个学习率三个种子）：两者都在 0.3 处最好，没有 BatchNorm 用 114 步，有 BatchNorm 用 46 步，比值为 2.48（25 秒）。学习率为 1 时，没有 BatchNorm 的网络在 300 步内达不到目标；有 BatchNorm 则约需 60 步。

也看看右端：可用的学习率范围变宽，是 BatchNorm 更有用的好处。它有效，这很清楚；为什么有效，就没那么清楚了：论文的解释是减少了“内部协变量偏移”（internal covariate shift），[Santurkar 等人](https://arxiv.org/abs/1805.11604)检验了这一说法，故意加入这种偏移，发现几乎没有害处，并把效果归因于损失曲面变得更平滑。
"""

# %%
rates, sweep = (0.03, 0.1, 0.3, 1.0), {"plain": [], "batchnorm": []}
budget = 80 if QUICK else 300
with Training(len(rates), "learning rates") as run, np.errstate(all="ignore"):
    for k in run:
        pairs = [bn_ablation(seed, digits_model, train_X, train_y, budget, rates[k]) for seed in range(1 if QUICK else 3)]
        for name, column in sweep.items():
            column.append([steps_to_target(pair[name], TARGET, WINDOW) or np.inf for pair in pairs])
fig, ax = plt.subplots(figsize=(6, 3.6))
for (name, column), color in zip(sweep.items(), ("tab:red", "tab:blue"), strict=True):
    if not column:  # stopped before the first rate was done
        continue
    medians = np.median(column, axis=1)
    ax.plot(rates[:len(medians)], np.where(np.isinf(medians), np.nan, medians), "o-", color=color, label=name)
    lost = [rate for rate, median in zip(rates, medians, strict=False) if np.isinf(median)]
    ax.plot(lost, [budget] * len(lost), "x", color=color, ms=9)
    best = int(np.argmin(medians))
    print(f"{name}: " + (f"best {medians[best]:.0f} steps, at rate {rates[best]}" if np.isfinite(medians[best])
                         else f"target not reached in {budget} steps"))
ax.set(xscale="log", xlabel="learning rate", ylabel=f"steps to {TARGET}", title="medians of the seeds (x: not reached)")
ax.legend()
plt.tight_layout()
plt.show()

# %% [markdown] lang="en"
r"""
Finally the mode. `set_training` switches all layers of a model. One model with BatchNorm, trained for a moment, is tested in evaluation mode, and in training mode with several batch sizes. In training mode an example's class depends on its company; with two examples a batch, every $\hat x$ is close to $\pm 1$ (or 0), and little of the picture is left.
Forgetting the switch is the most common BatchNorm bug of all, and no error message tells you.
"""

# %% [markdown] lang="zh"
r"""
最后是模式。`set_training` 切换模型中所有层的模式。下面把一个带 BatchNorm 的模型略加训练，然后在评估模式下测试，再在训练模式下用几种批大小测试。训练模式下，一个样本的类别取决于同批的其他样本；每批两个样本时，每个 $\hat x$ 都接近 $\pm 1$（或 0），图片的信息所剩无几。
忘记切换模式是 BatchNorm 最常见的 bug，而且没有任何报错提醒你。
"""

# %%
trained = {}


def remembered(batchnorm, rng):
    """digits_model, kept so that it can be looked at after the training."""
    trained[batchnorm] = digits_model(batchnorm, rng)
    return trained[batchnorm]


bn_ablation(0, remembered, train_X, train_y, steps=60 if QUICK else 300, lr=0.3)
model = trained[True]


def test_accuracy(size, count=2000):
    """Accuracy on ``count`` test pictures, ``size`` of them at a time."""
    count = min(count, len(test_X)) // 100 * 100  # whole batches of every size below
    parts = [model(Tensor(test_X[i:i + size], requires_grad=False)).data.argmax(axis=1)
             for i in range(0, count, size)]
    return np.mean(np.concatenate(parts) == test_y[:count])


set_training(model, False)
print(f"evaluation mode:                      {test_accuracy(100):.3f}")
kept = [(layer.running_mean, layer.running_var) for layer in model.layers if isinstance(layer, BatchNorm1d)]
set_training(model, True)
for size in (2, 4, 16, 100):
    print(f"training mode, batches of {size:3} pictures: {test_accuracy(size):.3f}")
print("and the running statistics have moved:",
      not np.array_equal(kept[0][0], model.layers[1].running_mean))

# %% [markdown] lang="en"
r"""
## What you have

Initial weights whose size you can derive, and a layer that makes the size matter less. BatchNorm couples the examples of a batch: that is its strength in training and its weakness for small batches, sequences, and testing. On Day 12 you build LayerNorm, which normalises each example on its own: the same gradient, along the other axis.
"""

# %% [markdown] lang="zh"
r"""
## 你现在有了什么

你能推导初始权重应有的大小，还有了一个让这个大小不再那么要紧的层。BatchNorm 把一批样本耦合在一起：训练时这是它的长处，对小批量、序列和测试则是短处。第 12 天你会写 LayerNorm，它对每个样本单独归一化：同样的梯度，换一个维度。
"""

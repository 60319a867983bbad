# %% [markdown] lang="en"
r"""
# Day 1 · Matrix calculus

Every model in this workbook learns in the same way: a pass forward to a loss, and a pass of gradients
back. Today you derive, by hand, how gradients pass through the last two layers of every language model, the
linear layer and softmax with cross-entropy, and train a classifier with nothing but your own formulas.

At the end of the day you can

- check any derivative with finite differences, and say how far to trust them;
- derive the Jacobians of $Y = WX + b$, and say why no library ever builds them;
- derive the Jacobian of softmax, and multiply by it without writing it down;
- derive $\partial L/\partial Z = P - Y$ for cross-entropy, and say what it is good for.

**Read first** (one hour): Terence Parr and Jeremy Howard, *The Matrix Calculus You Need For Deep
Learning*, [arXiv 1802.01528](https://arxiv.org/abs/1802.01528), sections 1 to 3 now, section 4 before
part 2 below, sections 5 and 6 before the quiz at the end. Plan three to four hours for the rest, with pen and
paper beside the keyboard.

**How a day works.** An exercise is a function whose docstring is the task and whose body is yours to write.
Run the check below it: it shows, case by case, what your function returned and what was expected. When stuck, ask
for a hint in a terminal, for example `ladder hint 1 jacobian_fd`; ask again for a stronger one.
"""

# %% [markdown] lang="zh"
r"""
# 第 1 天 · 矩阵微积分

本教程中的每个模型都以同样的方式学习：前向一遍得到损失，再把梯度反向传一遍。今天你要亲手推导：
梯度如何穿过每个语言模型的最后两层，即线性层与带交叉熵的 softmax，并且只用自己推出的公式训练一个分类器。

学完这一天，你能够

- 用有限差分检验任何导数，并说明它能信到什么程度；
- 推导 $Y = WX + b$ 的各个 Jacobian，并说明为什么没有哪个库会真的构造它们；
- 推导 softmax 的 Jacobian，并且不写出它就能与它相乘；
- 推导交叉熵的 $\partial L/\partial Z = P - Y$，并说明它好在哪里。

**先读论文**（约一小时）：Terence Parr 与 Jeremy Howard，*The Matrix Calculus You Need For Deep
Learning*，[arXiv 1802.01528](https://arxiv.org/abs/1802.01528)。现在读第 1–3 节，做下面第 2 部分之前读第 4 节，
做最后的测验之前读第 5、6 节。其余内容约需三到四小时，键盘旁请备好纸笔。

**一天怎么学。** 每道练习是一个函数：docstring 就是题目，函数体由你来写。运行它下面的检查，会逐项列出你的函数返回了什么、
应当是什么。卡住时在终端里要一条提示，例如 `ladder hint 1 jacobian_fd`；再运行一次，提示会更具体。
"""

# %% setup
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, Int

# %% [markdown] lang="en"
r"""
## 1 · A derivative you can always get: finite differences

A function $f:\mathbb{R}^n\to\mathbb{R}^m$ has $m\cdot n$ partial derivatives. Its **Jacobian** keeps them in order,
one row for each output and one column for each input (section 4 of the paper, *numerator layout*):

$$J_{ij} = \frac{\partial f_i}{\partial x_j}$$

Layers map matrices to matrices, so we need the rule for arrays of any shape. It stays the same: **first the
indices of the output, then the indices of the input**, so that $J$ has the shape of $f(x)$ followed by the
shape of $x$. A gradient is the case of a scalar output, and has exactly the shape of $x$. (The paper writes it as a
row. NumPy's 1-D arrays are neither rows nor columns.)

Before you trust a derivative that you derived, compare it with one that you measured. Move one input by a small
$\varepsilon$ and look at the output. Taylor's theorem tells what you get:

$$\frac{f(x+\varepsilon)-f(x)}{\varepsilon} = f'(x) + \frac{\varepsilon}{2}f''(x) + O(\varepsilon^2)$$

$$\frac{f(x+\varepsilon)-f(x-\varepsilon)}{2\varepsilon} = f'(x) + \frac{\varepsilon^2}{6}f'''(x) + O(\varepsilon^4)$$

Looking to both sides makes the even terms cancel. It takes about twice as many evaluations of $f$ and is worth them.
"""

# %% [markdown] lang="zh"
r"""
## 1 · 总能得到的导数：有限差分

函数 $f:\mathbb{R}^n\to\mathbb{R}^m$ 有 $m\cdot n$ 个偏导数。**Jacobian** 矩阵把它们排好：每个输出占一行，
每个输入占一列（论文第 4 节，称为*分子布局*）：

$$J_{ij} = \frac{\partial f_i}{\partial x_j}$$

网络层把矩阵映射为矩阵，所以我们需要一条适用于任意形状的规则。规则不变：**先写输出的下标，再写输入的下标**，
于是 $J$ 的形状是 $f(x)$ 的形状后面接上 $x$ 的形状。梯度就是输出为标量的情形，形状与 $x$ 完全相同。
（论文把梯度写成行向量；NumPy 的一维数组没有行列之分。）

在相信自己推出的导数之前，先拿它与测出来的导数比一比。把一个输入移动很小的 $\varepsilon$，看输出如何变化。
泰勒公式告诉我们会得到什么：

$$\frac{f(x+\varepsilon)-f(x)}{\varepsilon} = f'(x) + \frac{\varepsilon}{2}f''(x) + O(\varepsilon^2)$$

$$\frac{f(x+\varepsilon)-f(x-\varepsilon)}{2\varepsilon} = f'(x) + \frac{\varepsilon^2}{6}f'''(x) + O(\varepsilon^4)$$

向两侧各看一步，偶数阶的项就抵消了。$f$ 的计算次数大约翻倍，但很值得。
"""

# %% exercise="jacobian_fd"
from ladder.solutions.stage1_foundation.day01_matrix_calculus import jacobian_fd

# %% [markdown] lang="zh" docstring="jacobian_fd"
r"""
用中心差分求 ``f`` 在 ``x`` 处的 Jacobian。

``f`` 接受一个形状与 ``x`` 相同的数组，返回任意形状的数组，或者一个数。
结果 J 的形状是 ``np.shape(f(x)) + x.shape``：输出的下标在前，输入的下标在后。
设 e_j 是形状与 ``x`` 相同的数组，在下标 j 处为 1，其余为 0，则

    J[..., j] = (f(x + eps·e_j) − f(x − eps·e_j)) / (2·eps)。

``x`` 的元素可以是 float32 或整数；差分用 float64 计算，所以传给 ``f`` 的是
float64 数组，J 也是 float64。``f`` 可能原样返回它的参数，例如恒等函数
``lambda x: x``。``x`` 不得被改动。
"""

# %% [markdown] hint="jacobian_fd" lang="en"
r"""
Start from a float64 copy of x and a function of a plain vector: move one coordinate, fill one column. Then let the
coordinate be a multi-index: np.ndindex(x.shape) runs over all of them, and works for vectors and matrices alike.
"""

# %% [markdown] hint="jacobian_fd" lang="zh"
r"""
先取 x 的 float64 副本，从一维向量的情形做起：移动一个坐标，填好一列。然后让这个坐标成为多重下标：
np.ndindex(x.shape) 会遍历所有下标，对向量和矩阵都适用。
"""

# %% [markdown] hint="jacobian_fd" lang="en"
r"""
Allocate J with shape np.shape(f(x)) + x.shape. For each index j make two NEW arrays, one a step to the right of x
and one to the left, so that f may return what it was given. J[(..., *j)] is the part of J that belongs to input j, for an
output of any shape.
"""

# %% [markdown] hint="jacobian_fd" lang="zh"
r"""
先按形状 np.shape(f(x)) + x.shape 分配 J。对每个下标 j 都构造两个新数组，一个在 x 右侧一步，一个在左侧一步，
这样即使 f 原样返回参数也不会出错。无论输出是什么形状，J[(..., *j)] 都是 J 中属于输入 j 的那一部分。
"""

# %%
from ladder.graders.stage1_foundation.day01_matrix_calculus import check_jacobian_fd

check_jacobian_fd(jacobian_fd)

# %% [markdown] lang="en"
r"""
How small should $\varepsilon$ be? Taylor says the smaller the better. The computer disagrees: each value of $f$ is rounded,
off by about $u\,|f|$ with $u = 2^{-53}\approx 1.1\cdot10^{-16}$ in float64, and the division by $\varepsilon$ magnifies that error.
Watch the two errors meet, for your function and for the one-sided difference.
"""

# %% [markdown] lang="zh"
r"""
$\varepsilon$ 应当取多小？泰勒公式说越小越好，计算机却不同意：每个 $f$ 的值都经过舍入，误差约为 $u\,|f|$，
float64 下 $u = 2^{-53}\approx 1.1\cdot10^{-16}$，而除以 $\varepsilon$ 会把这个误差放大。
看看这两种误差如何此消彼长：一条是你的函数，一条是单侧差分。
"""

# %%
steps = 10.0 ** np.arange(-13, 0, 0.25)
x = np.array([0.3, 0.7, 1.1])
exact = np.diag(np.exp(x))
central = [np.abs(jacobian_fd(np.exp, x, eps) - exact).max() for eps in steps]
forward = [np.abs((np.exp(x + eps) - np.exp(x)) / eps - np.exp(x)).max() for eps in steps]

fig, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
ax.loglog(steps, forward, "o-", ms=3, label="one-sided difference")
ax.loglog(steps, central, "o-", ms=3, label="central difference (yours)")
ax.loglog(steps, steps, "k:", lw=1, label=r"slopes 1 and 2")
ax.loglog(steps, 0.3 * steps**2, "k:", lw=1)
ax.set(xlabel=r"step $\varepsilon$", ylabel="largest error of the Jacobian of exp", ylim=(1e-13, 10))
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
On the right Taylor's error rules, with slope 1 for the one-sided and slope 2 for the central difference. On the left rounding
rules, and shrinking $\varepsilon$ makes things worse. The best central difference lies near $\varepsilon\approx u^{1/3}\approx 5\cdot10^{-6}$ and
agrees to ten digits or so; no choice of $\varepsilon$ gives you sixteen. So a finite difference is a witness, not a proof: it
exposes a wrong sign or a forgotten transpose at once, and tells you nothing about the last five digits.

In float32 ($u\approx 6\cdot10^{-8}$) a step of $10^{-6}$ is lost almost entirely in rounding. That is why your function computes in float64.
"""

# %% [markdown] lang="zh"
r"""
图的右侧由泰勒展开的截断误差主导：单侧差分斜率为 1，中心差分斜率为 2。左侧由舍入误差主导，$\varepsilon$ 越小反而越糟。
中心差分的最佳步长在 $\varepsilon\approx u^{1/3}\approx 5\cdot10^{-6}$ 附近，大约能对上十位数字；无论怎样选 $\varepsilon$ 都得不到十六位。
所以有限差分是证人而不是证明：符号错了、转置忘了，它一眼就能揭穿；至于最后五位数字，它什么也说明不了。

在 float32 下（$u\approx 6\cdot10^{-8}$），$10^{-6}$ 的步长几乎完全淹没在舍入误差里。这就是你的函数要用 float64 计算的原因。
"""

# %% exercise="grad_fd"
from ladder.solutions.stage1_foundation.day01_matrix_calculus import grad_fd

# %% [markdown] lang="zh" docstring="grad_fd"
r"""
用中心差分求标量函数 ``f`` 在 ``x`` 处的梯度。

``f`` 接受一个形状与 ``x`` 相同的数组，返回一个数。无论 ``x`` 是什么形状，
结果都与它同形：第 j 个元素是 ∂f/∂x_j。其余要求与 ``jacobian_fd`` 相同：
同样的公式和 ``eps``，全程 float64，``x`` 不得被改动。
"""

# %% [markdown] hint="grad_fd" lang="en"
r"""
What shape does your jacobian_fd give when f returns a single number?
"""

# %% [markdown] hint="grad_fd" lang="zh"
r"""
当 f 只返回一个数时，你的 jacobian_fd 给出什么形状？
"""

# %% [markdown] hint="grad_fd" lang="en"
r"""
np.shape of a number is the empty tuple, so the shape rule of jacobian_fd leaves the shape of x alone. One line is
enough; do not forget to hand on eps.
"""

# %% [markdown] hint="grad_fd" lang="zh"
r"""
一个数的 np.shape 是空元组，因此按 jacobian_fd 的形状规则，剩下的正好是 x 的形状。一行就够；别忘了把 eps 传下去。
"""

# %%
from ladder.graders.stage1_foundation.day01_matrix_calculus import check_grad_fd

check_grad_fd(grad_fd)

# %% [markdown] lang="en"
r"""
## 2 · The linear layer and its three Jacobians

Now without measuring. Let the $B$ columns of $X$ be examples with $n$ features each. The layer has $m$ outputs:

$$Y = WX + b,\qquad W\in\mathbb{R}^{m\times n},\quad X\in\mathbb{R}^{n\times B},\quad b\in\mathbb{R}^{m},\quad Y\in\mathbb{R}^{m\times B}$$

with $b$ added to every column. One recipe derives every Jacobian of this day:

1. write **one entry** of the output as a formula in entries of the inputs;
2. differentiate by **one entry** of an input, using $\dfrac{\partial x_i}{\partial x_j} = \delta_{ij}$ (1 if $i=j$, else 0);
3. let each $\delta$ remove a sum: $\sum_l a_l\,\delta_{lj} = a_j$.

As an example, take the product $y = w\otimes x$ of section 4.2 of the paper, entry by entry:

$$y_i = w_i x_i \quad\Rightarrow\quad \frac{\partial y_i}{\partial w_j} = \delta_{ij}\,x_i \quad\Rightarrow\quad \frac{\partial y}{\partial w} = \operatorname{diag}(x)$$

Two letters for two roles: $i$ is the output that you look at, $j$ the input that you move. Now do the same on paper for

$$Y_{ik} = \sum_j W_{ij}X_{jk} + b_i$$

and its inputs $X_{jl}$, $W_{pq}$ and $b_p$ (in step 2, give the summation index a letter of its own). Only then write the code.
"""

# %% [markdown] lang="zh"
r"""
## 2 · 线性层和它的三个 Jacobian

现在不靠测量，动手推导。设 $X$ 的 $B$ 列是样本，每个样本有 $n$ 个特征。这一层有 $m$ 个输出：

$$Y = WX + b,\qquad W\in\mathbb{R}^{m\times n},\quad X\in\mathbb{R}^{n\times B},\quad b\in\mathbb{R}^{m},\quad Y\in\mathbb{R}^{m\times B}$$

其中 $b$ 加到每一列上。今天所有的 Jacobian 都能用同一个办法推出来：

1. 把输出的**一个元素**写成输入各元素的公式；
2. 对输入的**一个元素**求导，用到 $\dfrac{\partial x_i}{\partial x_j} = \delta_{ij}$（$i=j$ 时为 1，否则为 0）；
3. 让每个 $\delta$ 消去一个求和：$\sum_l a_l\,\delta_{lj} = a_j$。

以论文 4.2 节的逐元素乘积 $y = w\otimes x$ 为例，一个元素一个元素地写：

$$y_i = w_i x_i \quad\Rightarrow\quad \frac{\partial y_i}{\partial w_j} = \delta_{ij}\,x_i \quad\Rightarrow\quad \frac{\partial y}{\partial w} = \operatorname{diag}(x)$$

两个字母，两种角色：$i$ 是你所看的输出，$j$ 是你所移动的输入。现在请在纸上对

$$Y_{ik} = \sum_j W_{ij}X_{jk} + b_i$$

以及它的输入 $X_{jl}$、$W_{pq}$、$b_p$ 做同样的推导（第 2 步里给求和下标另取一个字母）。推完再写代码。
"""

# %% exercise="linear_jacobians"
from ladder.solutions.stage1_foundation.day01_matrix_calculus import linear_jacobians

# %% [markdown] lang="zh" docstring="linear_jacobians"
r"""
Y = W X + b 的三个 Jacobian，精确且完整。

``X`` 的 B 列是样本，``b`` 加到每一列上：
Y[i, k] = Σ_j W[i, j] X[j, k] + b[i]。输出的下标在前，输入的下标在后：

    dY_dX[i, k, j, l] = ∂Y[i, k] / ∂X[j, l]    形状 (m, B, n, B)
    dY_dW[i, k, p, q] = ∂Y[i, k] / ∂W[p, q]    形状 (m, B, m, n)
    dY_db[i, k, p]    = ∂Y[i, k] / ∂b[p]       形状 (m, B, m)

返回 ``(dY_dX, dY_dW, dY_db)``。
"""

# %% [markdown] hint="linear_jacobians" lang="en"
r"""
Each of your three entries on paper should be a product of one number (from W, from X, or 1) and one or two deltas.
A delta is an entry of an identity matrix.
"""

# %% [markdown] hint="linear_jacobians" lang="zh"
r"""
纸上推出的三个元素，每个都应当是一个数（来自 W、来自 X，或者就是 1）与一两个 δ 的乘积。
δ 就是单位矩阵的元素。
"""

# %% [markdown] hint="linear_jacobians" lang="en"
r"""
np.einsum writes such a product down literally: for y = w ⊗ x above, the Jacobian with entries δ_ij x_i is
np.einsum("ij,i->ij", np.eye(n), x). Name the indices after the arrow in the order that the docstring gives. Broadcasting
with None axes, or four nested loops, are just as good.
"""

# %% [markdown] hint="linear_jacobians" lang="zh"
r"""
np.einsum 可以把这样的乘积原样写出来：对上面的 y = w ⊗ x，元素为 δ_ij x_i 的 Jacobian 就是
np.einsum("ij,i->ij", np.eye(n), x)。箭头后面的下标按 docstring 给出的顺序写。用 None 轴做广播，或者写四重循环，也同样可以。
"""

# %%
from ladder.graders.stage1_foundation.day01_matrix_calculus import check_linear_jacobians

check_linear_jacobians(linear_jacobians)

# %% [markdown] lang="en"
r"""
Your witness from part 1 should agree, and the picture should show your deltas: each Jacobian laid flat, with one row for each output
$Y_{ik}$ and one column for each entry of the input. White is exactly zero.
"""

# %% [markdown] lang="zh"
r"""
第 1 部分的“证人”应当同意你的结果，图中也应当看得见你的 δ：把每个 Jacobian 摊平，每个输出 $Y_{ik}$ 占一行，
输入的每个元素占一列。白色处恰好为零。
"""

# %%
rng = np.random.default_rng(1)
m, n, B = 3, 4, 5
W, X, b = rng.normal(size=(m, n)), rng.normal(size=(n, B)), rng.normal(size=m)
exact = linear_jacobians(W, X, b)
measured = (
    jacobian_fd(lambda X_: W @ X_ + b[:, None], X),
    jacobian_fd(lambda W_: W_ @ X + b[:, None], W),
    jacobian_fd(lambda b_: W @ X + b_[:, None], b),
)

names = ("∂Y/∂X", "∂Y/∂W", "∂Y/∂b")
colours = plt.get_cmap("coolwarm_r").with_extremes(bad="white")
fig, axes = plt.subplots(1, 3, figsize=(10, 4), width_ratios=(20, 12, 5), layout="constrained")
for ax, name, J, J_fd in zip(axes, names, exact, measured, strict=True):
    gap = np.abs(J - J_fd).max()
    print(f"{name} has shape {J.shape} and differs from the measured one by {gap:.0e}")
    flat = J.reshape(m * B, -1)
    ax.imshow(np.where(flat == 0, np.nan, flat), cmap=colours, vmin=-2, vmax=2, aspect="auto")
    ax.set(title=f"{name}\n{np.mean(flat == 0):.0%} zeros", xlabel="entry of the input")
    ax.set(xticks=[], yticks=[])
axes[0].set_ylabel(r"entry $Y_{ik}$ of the output")
plt.show()

# %% [markdown] lang="en"
r"""
## 3 · What training needs is a product

Most of that picture is white, and it grows fast. In a layer with $m = n = 4096$ and $B = 2048$ tokens, $\partial Y/\partial W$ has
$mB\cdot mn\approx 1.4\cdot10^{14}$ entries, 563 TB in float32. The gradient that the optimiser wants has the shape of $W$: 67 MB.

For the loss $L$ is one number. The chain rule sums over all ways in which an input reaches it (the total derivative of section 4.5.2):

$$\frac{\partial L}{\partial x_j} = \sum_i \frac{\partial L}{\partial y_i}\,\frac{\partial y_i}{\partial x_j}$$

With $g = \partial L/\partial y$ that is $g^\top J$, a **vector-Jacobian product** (VJP). A layer never needs $J$; it needs a function that takes $g$ and
returns $g^\top J$. For our layer, where the output has two indices,

$$\frac{\partial L}{\partial W_{pq}} = \sum_{i,k} \frac{\partial L}{\partial Y_{ik}}\,\frac{\partial Y_{ik}}{\partial W_{pq}}$$

and the same with $X_{jl}$ and with $b_p$. Put in the entries that you derived. Their deltas eat sums one after the other, and
what remains are products of ordinary matrices. Work out all three on paper.
"""

# %% [markdown] lang="zh"
r"""
## 3 · 训练需要的是一个乘积

那幅图大部分是白的，而且会迅速膨胀。若一层的 $m = n = 4096$，共 $B = 2048$ 个 token，则 $\partial Y/\partial W$ 有
$mB\cdot mn\approx 1.4\cdot10^{14}$ 个元素，float32 下是 563 TB。而优化器想要的梯度与 $W$ 同形：67 MB。

因为损失 $L$ 只是一个数。链式法则把输入影响它的所有途径加起来（4.5.2 节的全导数）：

$$\frac{\partial L}{\partial x_j} = \sum_i \frac{\partial L}{\partial y_i}\,\frac{\partial y_i}{\partial x_j}$$

记 $g = \partial L/\partial y$，这就是 $g^\top J$，称为**向量-Jacobian 积**（VJP）。一层从来不需要 $J$ 本身，它只需要一个函数：输入 $g$，
返回 $g^\top J$。在我们的层里输出有两个下标，于是

$$\frac{\partial L}{\partial W_{pq}} = \sum_{i,k} \frac{\partial L}{\partial Y_{ik}}\,\frac{\partial Y_{ik}}{\partial W_{pq}}$$

对 $X_{jl}$ 和 $b_p$ 也是一样。把你推出的元素代进去，其中的 δ 会一个接一个地吃掉求和号，剩下的只是普通矩阵的乘积。
请在纸上把三个都算出来。
"""

# %% exercise="linear_backward"
from ladder.solutions.stage1_foundation.day01_matrix_calculus import linear_backward

# %% [markdown] lang="zh" docstring="linear_backward"
r"""
把标量损失 L 的梯度反向传过 Y = W X + b。

``dY`` 是 ∂L/∂Y。返回 ``(dW, dX, db)`` = (∂L/∂W, ∂L/∂X, ∂L/∂b)，各自与所对应的数组同形。
与 ``linear_jacobians`` 一样，X 的每一列是一个样本；对样本求和还是求平均已经包含在 L 里，
所以这里什么都不用除。不构造任何 Jacobian：所用内存与参数本身同量级。
"""

# %% [markdown] hint="linear_backward" lang="en"
r"""
In ∂L/∂W_pq the delta δ_ip removes the sum over i; the sum over k, the examples, stays. Which index do the two
remaining factors share, and is it the last of one and the first of the other?
"""

# %% [markdown] hint="linear_backward" lang="zh"
r"""
在 ∂L/∂W_pq 中，δ_ip 消去了对 i 的求和，留下对样本 k 的求和。剩下的两个因子共用哪个下标？
它是前一个的最后一维、后一个的第一维吗？
"""

# %% [markdown] hint="linear_backward" lang="en"
r"""
Shapes nearly force the answer. dW must be (m, n), made of dY (m, B) and X (n, B): B has to disappear. dX must be
(n, B), made of W (m, n) and dY (m, B): m has to disappear. b meets every example, so for db all B columns count.
"""

# %% [markdown] hint="linear_backward" lang="zh"
r"""
形状几乎已经决定了答案。dW 应为 (m, n)，由 dY (m, B) 与 X (n, B) 得到：要消去的是 B。dX 应为 (n, B)，
由 W (m, n) 与 dY (m, B) 得到：要消去的是 m。b 与每个样本都有关，所以 db 要算上全部 B 列。
"""

# %%
from ladder.graders.stage1_foundation.day01_matrix_calculus import check_linear_backward

check_linear_backward(linear_backward)

# %% [markdown] lang="en"
r"""
Three roads to the same gradient: your formulas, your full Jacobians contracted with $\partial L/\partial Y$, and a finite difference of the loss
itself, here $L = \sum_{ik}\sin(Y_{ik})$.
"""

# %% [markdown] lang="zh"
r"""
三条路通向同一个梯度：你的公式；用你的完整 Jacobian 与 $\partial L/\partial Y$ 缩并；直接对损失做有限差分。
这里取 $L = \sum_{ik}\sin(Y_{ik})$。
"""

# %%
dY = np.cos(W @ X + b[:, None])
formulas = linear_backward(dY, W, X)
J_X, J_W, J_b = linear_jacobians(W, X, b)
contracted = [np.tensordot(dY, J, axes=2) for J in (J_W, J_X, J_b)]
measured = (
    grad_fd(lambda W_: np.sin(W_ @ X + b[:, None]).sum(), W),
    grad_fd(lambda X_: np.sin(W @ X_ + b[:, None]).sum(), X),
    grad_fd(lambda b_: np.sin(W @ X + b_[:, None]).sum(), b),
)
rows = zip(("dW", "dX", "db"), formulas, contracted, measured, strict=True)
for name, mine, full, witness in rows:
    print(f"{name}: formula against Jacobian {np.abs(mine - full).max():.0e}, "
          f"against finite differences {np.abs(mine - witness).max():.0e}")

# %% [markdown] lang="en"
r"""
**Rows or columns?** Papers write $Y = WX + b$ with examples as columns. PyTorch keeps examples as rows and computes
$Y^\top = X^\top W^\top + b^\top$, with the same $W$. Transpose your three formulas and you have the row version, which you will need on Day 4.
Whenever a gradient has the wrong shape, first ask which of the two conventions the code in front of you follows.

## 4 · Chains of layers

For a chain $y = f_K(\cdots f_2(f_1(x)))$ the vector chain rule (section 4.5.3) multiplies Jacobians, and $g^\top$ stands at the left:

$$g^\top \frac{\partial y}{\partial x} = g^\top J_K\,J_{K-1}\cdots J_2\,J_1$$

A product may be bracketed as one likes, but not at the same price. From the right, matrix meets matrix: about $Kn^3$ multiplications for layers of width $n$.
From the left, it is vector times matrix all the way: $Kn^2$. That is **reverse mode**, or backpropagation: start with $g$ at the output
and let each layer replace it by its own VJP.

One more thing hides in the formula: $J_k$ is the Jacobian of $f_k$ **at the input that $f_k$ saw**, that is at $f_{k-1}(\cdots f_1(x))$. So one
pass forward must come first and remember. A layer for the next exercise is a pair of functions; sine, entry by entry, would be

```python
sine = (np.sin, lambda u, g: g * np.cos(u))    # (forward, vjp)
```
"""

# %% [markdown] lang="zh"
r"""
**行还是列？** 论文里写 $Y = WX + b$，样本是列。PyTorch 把样本放在行里，用同一个 $W$ 计算
$Y^\top = X^\top W^\top + b^\top$。把你的三个公式转置，就得到行版本，第 4 天会用到。
只要发现梯度的形状不对，先问一句：眼前的代码用的是哪种约定？

## 4 · 层的链

对链 $y = f_K(\cdots f_2(f_1(x)))$，向量链式法则（4.5.3 节）把各个 Jacobian 乘起来，$g^\top$ 在最左边：

$$g^\top \frac{\partial y}{\partial x} = g^\top J_K\,J_{K-1}\cdots J_2\,J_1$$

乘积可以任意加括号，代价却不一样。从右边开始是矩阵乘矩阵：宽度为 $n$ 的层大约要 $Kn^3$ 次乘法。
从左边开始则一路都是向量乘矩阵：$Kn^2$ 次。这就是**反向模式**，也就是反向传播：从输出端的 $g$ 出发，
每一层都用自己的 VJP 把它替换掉。

公式里还藏着一点：$J_k$ 是 $f_k$ **在 $f_k$ 自己所见的输入处**的 Jacobian，也就是在 $f_{k-1}(\cdots f_1(x))$ 处。所以要先前向走一遍，
并且记住沿途的值。下一道练习里，一层是一对函数；例如逐元素的 sine 可以写成

```python
sine = (np.sin, lambda u, g: g * np.cos(u))    # (forward, vjp)
```
"""

# %% exercise="chain_vjp"
from ladder.solutions.stage1_foundation.day01_matrix_calculus import chain_vjp

# %% [markdown] lang="zh" docstring="chain_vjp"
r"""
链 y = f_K(… f_2(f_1(x)) …) 的向量-Jacobian 积 gᵀ ∂y/∂x。

``fs`` 是列表 [f_1, …, f_K]，最先作用的层排在最前。每一层是一对函数
``(forward, vjp)``：``forward(u)`` 是它在自己的输入 u 处的输出；``vjp(u, g)`` 是 gᵀJ，
与 u 同形，其中 J 是它在该输入 u 处的 Jacobian，g 与它的输出同形。层可以改变形状。

``g`` 与 y 同形，结果与 ``x`` 同形。每个 ``forward`` 至多运行一次，每个 ``vjp`` 恰好
运行一次。空列表表示恒等映射：结果就是 ``g``。
"""

# %% [markdown] hint="chain_vjp" lang="en"
r"""
Two passes. Forward: note the input of each layer before you apply it. Backward: last layer first.
"""

# %% [markdown] hint="chain_vjp" lang="zh"
r"""
走两遍。前向：在应用每一层之前记下它的输入。反向：从最后一层开始。
"""

# %% [markdown] hint="chain_vjp" lang="en"
r"""
After the forward pass you hold K inputs u_1 = x, u_2, …, u_K. For k = K, …, 1 replace g by the k-th layer's vjp at u_k.
What is left after layer 1 is the answer; with no layers nothing is replaced. (Recursion works too: the vjp of f_1,
applied to the chain_vjp of the rest.)
"""

# %% [markdown] hint="chain_vjp" lang="zh"
r"""
前向之后你手里有 K 个输入 u_1 = x、u_2、…、u_K。对 k = K, …, 1，用第 k 层在 u_k 处的 vjp 替换 g。
过了第 1 层剩下的就是答案；没有层就什么也不替换。（递归也行：先对其余的层求 chain_vjp，再应用 f_1 的 vjp。）
"""

# %%
from ladder.graders.stage1_foundation.day01_matrix_calculus import check_chain_vjp

check_chain_vjp(chain_vjp)

# %% [markdown] lang="en"
r"""
What happens to a gradient on a long way? Below it travels back through 40 layers $u\mapsto\tanh(Wu)$ with random weights of
standard deviation $s/\sqrt{n}$, and your function reports its length at each depth.
"""

# %% [markdown] lang="zh"
r"""
梯度走远路会怎样？下面让它反向穿过 40 个 $u\mapsto\tanh(Wu)$ 层，随机权重的标准差为 $s/\sqrt{n}$，
由你的函数报告它在每个深度处的长度。
"""

# %%
def tanh_layer(W):
    return (lambda u: np.tanh(W @ u)), (lambda u, g: W.T @ (g * (1 - np.tanh(W @ u) ** 2)))


n, K = 64, 40
rng = np.random.default_rng(2)
start, g = rng.normal(size=n), rng.normal(size=n)
fig, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for s in (0.7, 1.0, 1.5, 2.5):
    layers = [tanh_layer(s / np.sqrt(n) * rng.normal(size=(n, n))) for _ in range(K)]
    seen = [start]
    for layer_forward, _ in layers:
        seen.append(layer_forward(seen[-1]))
    lengths = [np.linalg.norm(chain_vjp(layers[k:], seen[k], g)) for k in range(K + 1)]
    ax.semilogy(range(K + 1), lengths, label=f"s = {s}")
ax.set(xlabel="depth (0 is the input, 40 the output)", ylabel="length of the gradient there")
ax.legend(loc="lower right")
plt.show()

# %% [markdown] lang="en"
r"""
Read it from right to left. A product of 40 Jacobians shrinks or grows like a power, and only a narrow range of scales keeps the
first layers learning at all. Day 6 chooses the scale on purpose.

## 5 · Softmax

Softmax turns $n$ logits into probabilities:

$$p_i = \frac{e^{z_i}}{\sum_k e^{z_k}}$$

It is not element-wise: each $p_i$ depends on every $z_j$, so the element-wise diagonal condition of section 4.2 fails and the Jacobian is full.
First the function itself. Adding the same number $c$ to all logits multiplies numerator and denominator by $e^c$ and changes
nothing, which is the way around overflow: float64 gives up at $e^{710}$.
"""

# %% [markdown] lang="zh"
r"""
请从右往左读。40 个 Jacobian 的乘积按幂次缩小或放大，只有很窄的一段尺度能让最前面的层还学得动。第 6 天会有意识地选择这个尺度。

## 5 · Softmax

Softmax 把 $n$ 个 logit 变成概率：

$$p_i = \frac{e^{z_i}}{\sum_k e^{z_k}}$$

它不是逐元素的：每个 $p_i$ 都依赖所有的 $z_j$，所以 4.2 节的逐元素对角条件不成立，Jacobian 是满的。
先写函数本身。给所有 logit 加上同一个数 $c$，分子分母同乘 $e^c$，结果不变，而这正是避免溢出的办法：float64 到 $e^{710}$ 就装不下了。
"""

# %% exercise="softmax"
from ladder.solutions.stage1_foundation.day01_matrix_calculus import softmax

# %% [markdown] lang="zh" docstring="softmax"
r"""
沿最后一维的 softmax：p_i = exp(z_i) / Σ_k exp(z_k)。

``z`` 是一个 logit 向量，或一组这样的向量；结果中每个向量的和为 1。
对所有有限的 logit（包括 1000 和 −1000）结果都有限且正确。``z`` 不得被改动。
"""

# %% [markdown] hint="softmax" lang="en"
r"""
Which number c makes the largest exponent exactly 0, so that nothing can overflow and the denominator is at least 1?
"""

# %% [markdown] hint="softmax" lang="zh"
r"""
取怎样的 c 能使最大的指数恰好为 0，从而不会溢出，并且分母至少为 1？
"""

# %% [markdown] hint="softmax" lang="en"
r"""
Both the maximum and the sum belong to one vector, so both go along axis=-1; keepdims=True keeps an axis of length 1
that broadcasts against z. Make a new array rather than subtracting in place.
"""

# %% [markdown] hint="softmax" lang="zh"
r"""
最大值与求和都是每个向量各算各的，所以都沿 axis=-1；keepdims=True 会留下一个长度为 1 的维，可以与 z 广播。
要新建数组，不要原地相减。
"""

# %%
from ladder.graders.stage1_foundation.day01_matrix_calculus import check_softmax

check_softmax(softmax)

# %% [markdown] lang="en"
r"""
Now its Jacobian, by the recipe of part 2. With $e_k = e^{z_k}$ and $s = \sum_k e_k$ one entry of the output is the quotient
$p_i = e_i/s$, and the quotient rule is

$$\left(\frac{u}{v}\right)' = \frac{u'v - uv'}{v^2}$$

Both $e_i$ and $s$ may depend on the logit $z_j$ that you move; be careful with the case $i = j$ and the case $i \ne j$, or carry a $\delta_{ij}$
along, which covers both. There is also a shorter road: $\log p_i = z_i - \log s$, and $\dfrac{\partial p_i}{\partial z_j} = p_i\,\dfrac{\partial \log p_i}{\partial z_j}$.
Do both on paper. The next function asks for the steps, so that you can see which one went wrong, if any.
"""

# %% [markdown] lang="zh"
r"""
现在用第 2 部分的办法求它的 Jacobian。记 $e_k = e^{z_k}$、$s = \sum_k e_k$，输出的一个元素就是商
$p_i = e_i/s$，而商的求导法则是

$$\left(\frac{u}{v}\right)' = \frac{u'v - uv'}{v^2}$$

$e_i$ 与 $s$ 都可能依赖你所移动的 logit $z_j$；要分清 $i = j$ 与 $i \ne j$ 两种情形，或者一路带着 $\delta_{ij}$，
它同时涵盖两者。还有一条更短的路：$\log p_i = z_i - \log s$，以及 $\dfrac{\partial p_i}{\partial z_j} = p_i\,\dfrac{\partial \log p_i}{\partial z_j}$。
两条路都请在纸上走一遍。下一个函数要求写出各个步骤，万一哪一步错了，你能看出来。
"""

# %% exercise="softmax_derivation_steps"
from ladder.solutions.stage1_foundation.day01_matrix_calculus import softmax_derivation_steps

# %% [markdown] lang="zh" docstring="softmax_derivation_steps"
r"""
从 softmax 的定义到其 Jacobian 的一个元素，中间的各个步骤。

设 e_k = exp(z_k)，s = Σ_k e_k，p_k = e_k / s。返回一个字典，值都是数，
对 i = j 与 i ≠ j 都要成立：

    "de_i"        ∂e_i/∂z_j
    "ds"          ∂s/∂z_j
    "numerator"   对 ∂(e_i/s)/∂z_j 使用商的求导法则，分母为 s² 时的分子
    "dp_i"        ∂p_i/∂z_j
    "dlog_p_i"    ∂(log p_i)/∂z_j

logit 大小适中（|z_k| < 10），因此这里不会溢出。
"""

# %% [markdown] hint="softmax_derivation_steps" lang="en"
r"""
e_i is a function of z_i alone, so moving another z_j leaves it as it is. s contains every e_k once. Compute e and s
first, then write each entry as it stands on your paper.
"""

# %% [markdown] hint="softmax_derivation_steps" lang="zh"
r"""
e_i 只是 z_i 的函数，移动别的 z_j 不会改变它。s 里每个 e_k 各出现一次。先算出 e 和 s，再把纸上的每一步照写下来。
"""

# %% [markdown] hint="softmax_derivation_steps" lang="en"
r"""
In Python float(i == j) is the delta. In the quotient rule u is e_i and v is s, so the numerator is made of the two
derivatives that you have just computed. For the last entry differentiate z_i − log s term by term.
"""

# %% [markdown] hint="softmax_derivation_steps" lang="zh"
r"""
在 Python 里 float(i == j) 就是 δ。商的求导法则中 u 是 e_i，v 是 s，所以分子由你刚算出的两个导数组成。
最后一项请对 z_i − log s 逐项求导。
"""

# %%
from ladder.graders.stage1_foundation.day01_matrix_calculus import check_softmax_derivation_steps

check_softmax_derivation_steps(softmax_derivation_steps)

# %% [markdown] lang="en"
r"""
Now collect the entries $\partial p_i/\partial z_j$ in one matrix. On paper, write it with $\operatorname{diag}$ and an outer product, in terms of $p$ alone.
"""

# %% [markdown] lang="zh"
r"""
现在把各个元素 $\partial p_i/\partial z_j$ 收进一个矩阵。在纸上只用 $p$ 来表示它，写成 $\operatorname{diag}$ 与外积的形式。
"""

# %% exercise="softmax_jacobian"
from ladder.solutions.stage1_foundation.day01_matrix_calculus import softmax_jacobian

# %% [markdown] lang="zh" docstring="softmax_jacobian"
r"""
Softmax 在一个 logit 向量处的 Jacobian。

J[i, j] = ∂p_i/∂z_j，其中 p 是 ``z`` 的 softmax：输出的下标在前。要精确值，
不用有限差分；对所有有限的 logit 都有限且正确。
"""

# %% [markdown] hint="softmax_jacobian" lang="en"
r"""
Write ∂p_i/∂z_j with p_i, p_j and a delta. Which matrix has the entries p_i δ_ij, and which the entries p_i p_j?
"""

# %% [markdown] hint="softmax_jacobian" lang="zh"
r"""
用 p_i、p_j 和一个 δ 写出 ∂p_i/∂z_j。哪个矩阵的元素是 p_i δ_ij？哪个矩阵的元素是 p_i p_j？
"""

# %% [markdown] hint="softmax_jacobian" lang="en"
r"""
Start from your own softmax, which survives large logits. np.diag makes a matrix of a vector, np.outer one of two vectors.
Compare with jacobian_fd(softmax, z) before you run the check.
"""

# %% [markdown] hint="softmax_jacobian" lang="zh"
r"""
从你自己的 softmax 出发，它经得起很大的 logit。np.diag 由一个向量得到矩阵，np.outer 由两个向量得到矩阵。
运行检查之前，先与 jacobian_fd(softmax, z) 比一比。
"""

# %%
from ladder.graders.stage1_foundation.day01_matrix_calculus import check_softmax_jacobian

check_softmax_jacobian(softmax_jacobian)

# %%
z = np.array([2.0, 1.0, 0.5, -1.0])
fig, axes = plt.subplots(1, 3, figsize=(10, 3.9), layout="constrained")
for ax, scale in zip(axes, (0.3, 1, 5), strict=True):
    J = softmax_jacobian(scale * z)
    gap = np.abs(J - jacobian_fd(softmax, scale * z)).max()
    print(f"logits {scale} z: the measured Jacobian differs by {gap:.0e}")
    ax.imshow(J, cmap="RdBu", vmin=-0.25, vmax=0.25)
    for (i, j), value in np.ndenumerate(J):
        ax.text(j, i, f"{round(value, 2) + 0:.2f}", ha="center", va="center",
                color="white" if abs(value) > 0.15 else "black")
    ax.set(xlabel="input j", ylabel="output i", xticks=range(4), yticks=range(4))
    ax.set_title(f"logits {scale} z, p = {np.round(softmax(scale * z), 2)}", fontsize=9)
plt.show()

# %% [markdown] lang="en"
r"""
Blue is positive, red negative. Raising a logit raises its own probability and takes the same amount from all the others
together. And look at the picture on the right: when softmax is sure, its Jacobian is almost zero, and hardly any gradient gets through. Part 6 shows how
cross-entropy escapes that.

**Written answer 1: the Jacobian of softmax by hand** (5 points). Derive it as you would at a whiteboard, in the cell below; LaTeX between dollar
signs works. Points:

- 2 for deriving $\partial p_i/\partial z_j$ from the definition, with both cases $i = j$ and $i\neq j$ (or a $\delta_{ij}$), every step justified;
- 1 for writing the whole Jacobian as one expression in $p$, with its shape;
- 1 for saying why every **column** sums to zero, and 1 for saying why every **row** does. (The reasons differ: one is about $\sum_i p_i$, the other about
  adding the same number to all logits.)
"""

# %% [markdown] lang="zh"
r"""
蓝色为正，红色为负。抬高一个 logit 会提高它自己的概率，并从其余各类那里总共拿走同样多。再看最右边的图：当 softmax 十分确定时，
它的 Jacobian 几乎为零，梯度几乎传不过去。第 6 部分会看到交叉熵如何摆脱这个困境。

**书面题 1：手推 softmax 的 Jacobian**（5 分）。像在白板前那样推导，写在下面的单元格里；可以在美元符号之间写 LaTeX。评分：

- 2 分：从定义推出 $\partial p_i/\partial z_j$，涵盖 $i = j$ 与 $i\neq j$ 两种情形（或使用 $\delta_{ij}$），每一步都有依据；
- 1 分：把整个 Jacobian 写成一个只含 $p$ 的式子，并注明形状；
- 1 分说明为什么每一**列**之和为零，1 分说明为什么每一**行**之和为零。（两者理由不同：一个与 $\sum_i p_i$ 有关，另一个与
  给所有 logit 加上同一个数有关。）
"""

# %% [markdown] written="written_softmax" lang="en"
r"""
*Your derivation of the softmax Jacobian. Replace this text.*
"""

# %% [markdown] written="written_softmax" lang="zh"
r"""
*在此写下你对 softmax 的 Jacobian 的推导（替换这段文字）。*
"""

# %% [markdown] model="written_softmax" lang="en"
r"""
Let $e_k = e^{z_k}$ and $s = \sum_k e_k$, so $p_i = e_i/s$. Then $\partial e_i/\partial z_j = \delta_{ij}e_i$, because $e_i$ depends on $z_i$ alone, and
$\partial s/\partial z_j = e_j$, because only one term of the sum contains $z_j$. The quotient rule gives

$$\frac{\partial p_i}{\partial z_j} = \frac{\delta_{ij}e_i\,s - e_i e_j}{s^2} = \frac{e_i}{s}\left(\delta_{ij} - \frac{e_j}{s}\right) = p_i(\delta_{ij} - p_j)$$

For $i = j$ this is $p_i(1-p_i)$, for $i\neq j$ it is $-p_ip_j$. The entries $p_i\delta_{ij}$ form $\operatorname{diag}(p)$ and the entries $p_ip_j$ form $pp^\top$, so

$$J = \operatorname{diag}(p) - pp^\top \in \mathbb{R}^{n\times n}$$

Columns: $\sum_i p_i = 1$ for all $z$, so its derivative by any $z_j$ is zero, and that derivative is $\sum_i J_{ij}$. Rows: $p(z + c\mathbf{1}) = p(z)$ for all $c$; the derivative
by $c$ is $J\mathbf{1} = 0$, that is $\sum_j J_{ij} = 0$. (As $J$ is symmetric, each follows from the other.)
"""

# %% [markdown] model="written_softmax" lang="zh"
r"""
设 $e_k = e^{z_k}$、$s = \sum_k e_k$，则 $p_i = e_i/s$。因为 $e_i$ 只依赖 $z_i$，所以 $\partial e_i/\partial z_j = \delta_{ij}e_i$；因为和式中只有一项含 $z_j$，所以
$\partial s/\partial z_j = e_j$。由商的求导法则，

$$\frac{\partial p_i}{\partial z_j} = \frac{\delta_{ij}e_i\,s - e_i e_j}{s^2} = \frac{e_i}{s}\left(\delta_{ij} - \frac{e_j}{s}\right) = p_i(\delta_{ij} - p_j)$$

$i = j$ 时为 $p_i(1-p_i)$，$i\neq j$ 时为 $-p_ip_j$。元素 $p_i\delta_{ij}$ 组成 $\operatorname{diag}(p)$，元素 $p_ip_j$ 组成 $pp^\top$，所以

$$J = \operatorname{diag}(p) - pp^\top \in \mathbb{R}^{n\times n}$$

列：对一切 $z$ 都有 $\sum_i p_i = 1$，所以它对任何 $z_j$ 的导数为零，而这个导数就是 $\sum_i J_{ij}$。行：对一切 $c$ 都有 $p(z + c\mathbf{1}) = p(z)$；
对 $c$ 求导得 $J\mathbf{1} = 0$，即 $\sum_j J_{ij} = 0$。（由于 $J$ 对称，二者可以互推。）
"""

# %% [markdown] lang="en"
r"""
With a vocabulary of 128,000 tokens the Jacobian of one softmax has $1.6\cdot10^{10}$ entries, 66 GB in float32, for every single token. As in part 3, put
your entries into $\sum_i g_i\,\partial p_i/\partial z_j$ and let the delta do its work. What remains costs no more than softmax itself. Attention will use this
VJP once for each query.
"""

# %% [markdown] lang="zh"
r"""
若词表有 128,000 个 token，单个 softmax 的 Jacobian 就有 $1.6\cdot10^{10}$ 个元素，float32 下是 66 GB，而且每个 token 都要一个。像第 3 部分那样，
把你推出的元素代入 $\sum_i g_i\,\partial p_i/\partial z_j$，让 δ 发挥作用，剩下的计算并不比 softmax 本身更贵。
以后注意力机制对每个 query 都要用一次这个 VJP。
"""

# %% exercise="softmax_vjp"
from ladder.solutions.stage1_foundation.day01_matrix_calculus import softmax_vjp

# %% [markdown] lang="zh" docstring="softmax_vjp"
r"""
沿最后一维的 softmax 的向量-Jacobian 积 gᵀJ，始终不构造 J。

``z`` 是一个 logit 向量或一组这样的向量；``g`` 与它同形，是损失对 p 的梯度，
p 是 ``z`` 的 softmax。结果是损失对 ``z`` 的梯度：每个向量的第 j 个元素为
Σ_i g_i ∂p_i/∂z_j。所用内存和时间与 ``z`` 的大小同量级。对所有有限的 logit 都有限
且正确。``z`` 与 ``g`` 不得被改动。
"""

# %% [markdown] hint="softmax_vjp" lang="en"
r"""
Two terms: the delta leaves g_j p_j from the first. In the second, p_j does not depend on i and comes out of the sum.
What is the number that remains inside?
"""

# %% [markdown] hint="softmax_vjp" lang="zh"
r"""
有两项：第一项经 δ 留下 g_j p_j。第二项里 p_j 与 i 无关，可以提到求和号外面。剩在里面的那个数是什么？
"""

# %% [markdown] hint="softmax_vjp" lang="en"
r"""
That number is the mean of g under p, one number for each vector. Factor out p_j: the gradient is p times (g minus
its mean under p). For stacks, sum along axis=-1 with keepdims=True.
"""

# %% [markdown] hint="softmax_vjp" lang="zh"
r"""
那个数是 g 在分布 p 下的均值，每个向量一个。提出 p_j：梯度等于 p 乘以（g 减去它在 p 下的均值）。
对一组向量，沿 axis=-1 求和并设 keepdims=True。
"""

# %%
from ladder.graders.stage1_foundation.day01_matrix_calculus import check_softmax_vjp

check_softmax_vjp(softmax_vjp)

# %% [markdown] lang="en"
r"""
## 6 · Cross-entropy

If the right class is $y$, the cross-entropy loss is the negative log of the probability that the model gave it:

$$L = -\log p_y = -\sum_i Y_i\log p_i,\qquad Y_i = \delta_{iy}\ \text{(one-hot)}$$

Two derivations of $\partial L/\partial z$ meet in the same place. **Through the probabilities**, with the chain rule and your Jacobian:

$$\frac{\partial L}{\partial z_j} = \sum_i \frac{\partial L}{\partial p_i}\,\frac{\partial p_i}{\partial z_j}$$

**Through the log-sum-exp**, in which the exponential and the logarithm have already cancelled:

$$L = -\log\frac{e^{z_y}}{\sum_k e^{z_k}} = \operatorname{lse}(z) - z_y,\qquad \operatorname{lse}(z) = \log\sum_k e^{z_k}$$

Work out both on paper. Where does $p_y$ go in the first one?
"""

# %% [markdown] lang="zh"
r"""
## 6 · 交叉熵

若正确类别是 $y$，交叉熵损失就是模型给它的概率取负对数：

$$L = -\log p_y = -\sum_i Y_i\log p_i,\qquad Y_i = \delta_{iy}\ \text{（独热）}$$

$\partial L/\partial z$ 有两种推导，殊途同归。**经过概率**，用链式法则和你的 Jacobian：

$$\frac{\partial L}{\partial z_j} = \sum_i \frac{\partial L}{\partial p_i}\,\frac{\partial p_i}{\partial z_j}$$

**经过 log-sum-exp**，此时指数与对数已经先行抵消：

$$L = -\log\frac{e^{z_y}}{\sum_k e^{z_k}} = \operatorname{lse}(z) - z_y,\qquad \operatorname{lse}(z) = \log\sum_k e^{z_k}$$

两种都请在纸上推一遍。第一种推导里，$p_y$ 到哪里去了？
"""

# %% exercise="ce_derivation_steps"
from ladder.solutions.stage1_foundation.day01_matrix_calculus import ce_derivation_steps

# %% [markdown] lang="zh" docstring="ce_derivation_steps"
r"""
单个样本的交叉熵梯度，两种推导的各个步骤。

p = softmax(z)，L = −log p_y，其中 y 是正确类别的下标。返回一个字典。
经过概率的推导：

    "loss"       L，一个数
    "dL_dp"      ∂L/∂p，形状 (n,)，把 p 的各元素看作独立变量
    "dp_dz"      ∂p/∂z，形状 (n, n)，输出的下标在前

经过 log-sum-exp 的推导，L = lse(z) − z_y：

    "lse"        lse(z) = log Σ_k exp(z_k)，一个数
    "dlse_dz"    ∂lse/∂z，形状 (n,)
    "dz_y_dz"    ∂z_y/∂z，形状 (n,)

以及二者的汇合处：

    "dL_dz"      ∂L/∂z，形状 (n,)

logit 大小适中（|z_k| < 10），因此这里不会溢出。
"""

# %% [markdown] hint="ce_derivation_steps" lang="en"
r"""
dL_dp: L = −log p_y contains one entry of p, so all the others of dL_dp are 0. dz_y_dz: you pick one entry of z, so the
gradient is a vector of zeros with a single 1.
"""

# %% [markdown] hint="ce_derivation_steps" lang="zh"
r"""
dL_dp：L = −log p_y 只含 p 的一个元素，所以 dL_dp 的其余元素都是 0。dz_y_dz：你从 z 中取出一个元素，
所以它的梯度是只有一个 1、其余为 0 的向量。
"""

# %% [markdown] hint="ce_derivation_steps" lang="en"
r"""
dlse_dz: (log s)' = s'/s, and you know s' from the softmax steps; the quotient is an old acquaintance. Compare dL_dp @ dp_dz with
dlse_dz − dz_y_dz: if the two agree, both derivations are very probably right.
"""

# %% [markdown] hint="ce_derivation_steps" lang="zh"
r"""
dlse_dz：(log s)' = s'/s，而 s' 在 softmax 的步骤里已经求过，这个商是老相识。把 dL_dp @ dp_dz 与 dlse_dz − dz_y_dz 比一比：
若二者相等，两种推导多半都对。
"""

# %%
from ladder.graders.stage1_foundation.day01_matrix_calculus import check_ce_derivation_steps

check_ce_derivation_steps(ce_derivation_steps)

# %% [markdown] lang="en"
r"""
The two derivations agree on paper. In floating point only one of them survives a confident mistake. Here the right class has a logit 800 below the
other; the gradient should be $(-1, 1)$, as strong as it can be.
"""

# %% [markdown] lang="zh"
r"""
两种推导在纸上相等。但在浮点运算中，遇到“自信的错误”时只有一种能活下来。这里正确类别的 logit 比另一个低 800；
梯度应当是 $(-1, 1)$，已经是最强的。
"""

# %%
z, right = np.array([0.0, 800.0]), 0
p = softmax(z)
with np.errstate(all="ignore"):
    dL_dp = np.array([-1 / p[right], 0.0])
    print("p                      ", p)
    print("through the probabilities", dL_dp @ softmax_jacobian(z))
print("through the log-sum-exp  ", p - np.array([1.0, 0.0]))

# %% [markdown] lang="en"
r"""
$p_y$ has underflown to 0, so the first derivation computes $-\frac10\cdot 0$. That is why libraries fuse softmax and cross-entropy into one operation that
takes logits (`torch.nn.functional.cross_entropy`), and why you should never feed it probabilities.

From here on examples stand in **rows**, as that function expects: $Z\in\mathbb{R}^{B\times C}$ holds $C$ logits for each of $B$ examples. (It is the transposed
$Y$ of part 2; the letter $Y$ now means the one-hot labels.) The loss is summed over the batch.
"""

# %% [markdown] lang="zh"
r"""
$p_y$ 已经下溢为 0，于是第一种推导算的是 $-\frac10\cdot 0$。所以各种库都把 softmax 与交叉熵融合成一个直接接收 logit 的运算
（`torch.nn.functional.cross_entropy`），也所以你绝不该把概率喂给它。

从这里起，样本放在**行**里，与该函数一致：$Z\in\mathbb{R}^{B\times C}$ 存放 $B$ 个样本各自的 $C$ 个 logit。
（它是第 2 部分的 $Y$ 的转置；字母 $Y$ 现在表示独热标签。）损失对整批求和。
"""

# %% exercise="ce_grad_logits"
from ladder.solutions.stage1_foundation.day01_matrix_calculus import ce_grad_logits

# %% [markdown] lang="zh" docstring="ce_grad_logits"
r"""
对一批样本求和的交叉熵关于 logit 的梯度。

``Z`` 的第 b 行是样本 b 的 C 个 logit，``y[b]`` ∈ {0, …, C−1} 是它的类别。
损失为 L = −Σ_b log softmax(Z[b])[y[b]]（即 PyTorch 的 ``reduction="sum"``；
其默认的 mean 还要再乘 1/B）。返回 ∂L/∂Z，与 ``Z`` 同形。
对所有有限的 logit 都有限且正确。``Z`` 与 ``y`` 不得被改动。
"""

# %% [markdown] hint="ce_grad_logits" lang="en"
r"""
Example b's loss contains only row b of Z, so each row is your dL_dz for that example. Your softmax already works on all
rows at once.
"""

# %% [markdown] hint="ce_grad_logits" lang="zh"
r"""
样本 b 的损失只含 Z 的第 b 行，所以每一行就是该样本的 dL_dz。你的 softmax 本来就能同时处理所有行。
"""

# %% [markdown] hint="ce_grad_logits" lang="en"
r"""
One-hot rows are rows of an identity matrix: index np.eye(C) with y. Or subtract 1 at the B places (0, y[0]), (1, y[1]), …,
which takes two index arrays of length B; a slice for the rows would hit all of them.
"""

# %% [markdown] hint="ce_grad_logits" lang="zh"
r"""
独热行就是单位矩阵的行：用 y 去索引 np.eye(C)。也可以在 (0, y[0])、(1, y[1])、… 这 B 个位置减 1，
这需要两个长度为 B 的下标数组；若行用切片，就会选中所有的行。
"""

# %%
from ladder.graders.stage1_foundation.day01_matrix_calculus import check_ce_grad_logits

check_ce_grad_logits(ce_grad_logits)

# %% [markdown] lang="en"
r"""
Why not the squared error $\lVert p - Y\rVert^2$? Take two classes, logits $(t, 0)$, the first class right. For $t\ll 0$ the model is confidently
wrong. Your functions give the derivative by $t$ of both losses.
"""

# %% [markdown] lang="zh"
r"""
为什么不用平方误差 $\lVert p - Y\rVert^2$？取两个类别，logit 为 $(t, 0)$，第一类正确。$t\ll 0$ 时模型错得很自信。
用你的函数可以算出两种损失对 $t$ 的导数。
"""

# %%
t = np.linspace(-10, 10, 201)
logits = np.stack([t, np.zeros_like(t)], axis=1)
labels = np.zeros(len(t), dtype=int)
one_hot = np.array([1.0, 0.0])
cross_entropy_slope = ce_grad_logits(logits, labels)[:, 0]
squared_slope = softmax_vjp(logits, 2 * (softmax(logits) - one_hot))[:, 0]

fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
ax.plot(t, cross_entropy_slope, label="cross-entropy")
ax.plot(t, squared_slope, label="squared error of the probabilities")
ax.axvspan(-10, -5, color="0.9")
ax.text(-9.7, -0.62, "confidently\nwrong", fontsize=9)
ax.set(xlabel="logit $t$ of the right class", ylabel=r"$\partial L/\partial t$")
ax.legend(loc="lower right")
plt.show()

# %% [markdown] lang="en"
r"""
Where the model is most wrong, the squared error hardly pushes: its gradient must pass the softmax Jacobian, which is almost zero there. In cross-entropy the factor
$1/p_y$ undoes exactly that, and the push is as large as the error in probability.

**Written answer 2: the gradient of cross-entropy with respect to logits** (6 points). Write the derivation in full. Points:

- 1 for stating the loss of a batch with every symbol and its shape ($Z$, $P$, $Y$, $L$);
- 2 for the derivative of one example's loss by one logit, by either derivation, every step justified;
- 1 for showing what happens to $p_y$ on the way (through the probabilities), or why it never appears (through the log-sum-exp);
- 1 for going from one example to the batch: why rows do not mix, and what changes if the loss is a mean;
- 1 for reading the result: the gradient when the model is right, and when it is confidently wrong, compared with the squared error.
"""

# %% [markdown] lang="zh"
r"""
在模型错得最厉害的地方，平方误差几乎不推它：梯度必须穿过 softmax 的 Jacobian，而它在那里几乎为零。交叉熵里的因子
$1/p_y$ 恰好把这一点抵消，推力与概率上的误差一样大。

**书面题 2：交叉熵对 logit 的梯度**（6 分）。写出完整推导。评分：

- 1 分：写出一批样本的损失，说明每个符号及其形状（$Z$、$P$、$Y$、$L$）；
- 2 分：推出单个样本的损失对一个 logit 的导数，两种推导任选其一，每一步都有依据；
- 1 分：说明 $p_y$ 在途中去了哪里（经过概率），或者为什么它从不出现（经过 log-sum-exp）；
- 1 分：从一个样本推广到一批：为什么各行互不影响，损失取平均时有何变化；
- 1 分：解读结果：模型正确时、自信地出错时梯度各是多少，并与平方误差比较。
"""

# %% [markdown] written="written_ce" lang="en"
r"""
*Your derivation of the cross-entropy gradient. Replace this text.*
"""

# %% [markdown] written="written_ce" lang="zh"
r"""
*在此写下你对交叉熵梯度的推导（替换这段文字）。*
"""

# %% [markdown] model="written_ce" lang="en"
r"""
Let $Z\in\mathbb{R}^{B\times C}$ hold logits, $P = \operatorname{softmax}(Z)$ row by row, $Y\in\{0,1\}^{B\times C}$ the one-hot labels, $Y_{bi} = \delta_{i\,y_b}$, and

$$L = -\sum_{b}\sum_{i} Y_{bi}\log P_{bi} = \sum_b L_b\in\mathbb{R},\qquad L_b = -\log P_{b\,y_b}$$

*One example* (index $b$ dropped). $L = -\log p_y$ contains only the entry $p_y$, so $\partial L/\partial p_i = -\delta_{iy}/p_y$. With the softmax Jacobian $\partial p_i/\partial z_j = p_i(\delta_{ij}-p_j)$ the chain rule gives

$$\frac{\partial L}{\partial z_j} = \sum_i\left(-\frac{\delta_{iy}}{p_y}\right)p_i(\delta_{ij}-p_j) = -\frac{1}{p_y}\,p_y\,(\delta_{yj}-p_j) = p_j - \delta_{jy}$$

The factor $1/p_y$ from the logarithm cancels the factor $p_y$ of row $y$ of the Jacobian. The other derivation never meets it: $L = \log\sum_k e^{z_k} - z_y$, where
the first term has derivative $e^{z_j}/\sum_k e^{z_k} = p_j$ and the second $\delta_{jy}$.

*The batch.* $L_b$ depends on row $b$ of $Z$ only, since softmax acts on each row by itself. So row $b$ of the gradient is that of $L_b$, and

$$\frac{\partial L}{\partial Z} = P - Y\in\mathbb{R}^{B\times C}$$

With the mean over the batch, all of it is multiplied by $1/B$.

*Reading it.* If the model is right and sure, $p\approx Y$ and the gradient vanishes. If it is sure and wrong, $p_y\approx 0$, the entry of the right class is close to $-1$ and that of the wrong one close to $1$:
the largest possible push. The gradient of $\lVert p-Y\rVert^2$ is $2(p-Y)^\top J$, and $J = \operatorname{diag}(p)-pp^\top\approx 0$ in both cases, so a confident mistake is hardly corrected.
"""

# %% [markdown] model="written_ce" lang="zh"
r"""
设 $Z\in\mathbb{R}^{B\times C}$ 为 logit，$P = \operatorname{softmax}(Z)$ 逐行计算，$Y\in\{0,1\}^{B\times C}$ 为独热标签，$Y_{bi} = \delta_{i\,y_b}$，并且

$$L = -\sum_{b}\sum_{i} Y_{bi}\log P_{bi} = \sum_b L_b\in\mathbb{R},\qquad L_b = -\log P_{b\,y_b}$$

*一个样本*（略去下标 $b$）。$L = -\log p_y$ 只含元素 $p_y$，所以 $\partial L/\partial p_i = -\delta_{iy}/p_y$。结合 softmax 的 Jacobian $\partial p_i/\partial z_j = p_i(\delta_{ij}-p_j)$，由链式法则得

$$\frac{\partial L}{\partial z_j} = \sum_i\left(-\frac{\delta_{iy}}{p_y}\right)p_i(\delta_{ij}-p_j) = -\frac{1}{p_y}\,p_y\,(\delta_{yj}-p_j) = p_j - \delta_{jy}$$

对数带来的因子 $1/p_y$ 与 Jacobian 第 $y$ 行的因子 $p_y$ 抵消。另一种推导根本不会遇到它：$L = \log\sum_k e^{z_k} - z_y$，其中
第一项的导数是 $e^{z_j}/\sum_k e^{z_k} = p_j$，第二项的导数是 $\delta_{jy}$。

*一批样本。* softmax 对各行分别作用，所以 $L_b$ 只依赖 $Z$ 的第 $b$ 行。于是梯度的第 $b$ 行就是 $L_b$ 的梯度，

$$\frac{\partial L}{\partial Z} = P - Y\in\mathbb{R}^{B\times C}$$

若对批取平均，则整体再乘 $1/B$。

*解读。* 模型正确且确定时，$p\approx Y$，梯度趋于零。确定却错误时，$p_y\approx 0$，正确类别的分量接近 $-1$，错误类别的分量接近 $1$：
推力达到最大。而 $\lVert p-Y\rVert^2$ 的梯度是 $2(p-Y)^\top J$，两种情形下都有 $J = \operatorname{diag}(p)-pp^\top\approx 0$，所以自信的错误几乎得不到纠正。
"""

# %% [markdown] lang="en"
r"""
## 7 · Train something

Everything is in place: a linear layer forward, cross-entropy at the end, and your two functions for the way back. Examples are columns in the linear layer
and rows in the loss, so a transpose stands between them. No autograd anywhere.
"""

# %% [markdown] lang="zh"
r"""
## 7 · 训练一个模型

一切就绪：前向是一个线性层，末端是交叉熵，反向用你的两个函数。样本在线性层里是列，在损失里是行，所以二者之间有一个转置。
全程没有自动求导。
"""

# %%
rng = np.random.default_rng(3)
centres = np.array([[0.0, 2.2], [-2.0, -1.0], [2.0, -1.2]])
y = np.repeat(np.arange(3), 60)
X = (centres[y] + rng.normal(size=(180, 2))).T                      # (2, 180): examples are columns
W, b = np.zeros((3, 2)), np.zeros(3)
losses = []
for _ in range(60):
    Z = (W @ X + b[:, None]).T                                      # (180, 3): examples are rows
    losses.append(-np.log(softmax(Z)[np.arange(180), y]).mean())
    dZ = ce_grad_logits(Z, y) / 180                                 # the mean over the batch
    dW, _, db = linear_backward(dZ.T, W, X)
    W, b = W - 0.5 * dW, b - 0.5 * db

across, up = np.meshgrid(np.linspace(-5, 5, 200), np.linspace(-4.5, 5.5, 200))
grid = np.stack([across.ravel(), up.ravel()])
region = np.argmax(W @ grid + b[:, None], axis=0).reshape(across.shape)
fig, (left, middle) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(losses)
left.axhline(np.log(3), color="k", ls=":", lw=1)
left.text(30, np.log(3) - 0.07, r"$\log 3$: knowing nothing", fontsize=9)
left.set(xlabel="step", ylabel="mean cross-entropy")
middle.contourf(across, up, region, levels=[-0.5, 0.5, 1.5, 2.5], colors=["C0", "C1", "C2"], alpha=0.25)
for k in range(3):
    middle.plot(*X[:, y == k], "o", ms=3, color=f"C{k}")
accuracy = np.mean(np.argmax(W @ X + b[:, None], axis=0) == y)
middle.set(ylim=(-4.5, 5.5), title=f"{accuracy:.0%} of the points on the right side", xlabel="$x_1$", ylabel="$x_2$")
plt.show()

# %% [markdown] lang="en"
r"""
The loss starts at $\log 3$, where every class has probability $1/3$. Whenever you start a classifier, check that number first: a language model with 50,257 tokens should start near
$\log 50257\approx 10.8$.

## 8 · The paper

Eight questions on Parr and Howard ([arXiv 1802.01528](https://arxiv.org/abs/1802.01528)). 1 to 4 are about sections 1 to 3, 5 to 8 about sections 4 to 6.

**Question 1** (section 1). The loss of a single neuron can be differentiated in plain scalar form. Why does the paper not leave it at that?

- (a) Because the squared error cannot be differentiated in scalar form at all.
- (b) Because gradients in matrix notation are numerically more accurate.
- (c) Because a network trains all neurons of all layers at once, which takes rules for derivatives of vectors by vectors.
- (d) Because libraries such as PyTorch can only train a network whose derivatives were worked out by hand.

**Question 2** (section 2). As an operator, $\frac{d}{dx}$ lets you pull out constants and distributes over sums. For which function is that **not** enough, even if you know the derivatives of $x$, $x^2$, $\sin x$ and $e^x$?

- (a) $3x + x^2 + 7$
- (b) $x^2\sin x$
- (c) $e^x - \sin x$
- (d) $9(x + x^2)$

**Question 3** (section 3). What is the gradient of $f(x,y) = 3x^2y$ at $(x,y) = (1,2)$?

- (a) $[3, 12]$
- (b) $15$
- (c) $[6, 3]$
- (d) $[12, 3]$

**Question 4** (section 3). A scalar loss $L$ depends on a vector $w$ of 5 weights. What is $\nabla L$ in the paper's convention?

- (a) a vertical vector, $5\times1$
- (b) a horizontal vector, $1\times5$
- (c) a matrix, $5\times5$
- (d) a single number

**Question 5** (section 4). Two functions $f_1, f_2$ depend on three parameters $x_1, x_2, x_3$. In the paper's layout, what is the shape of the Jacobian, and what is the last entry of its first row?

- (a) $2\times3$ and $\partial f_1/\partial x_3$
- (b) $3\times2$ and $\partial f_2/\partial x_1$
- (c) $3\times3$ and $\partial f_1/\partial x_3$
- (d) $2\times3$ and $\partial f_1/\partial x_2$

**Question 6** (section 4.2). For which $y$ does the element-wise diagonal condition fail, so that $\partial y/\partial x$ is **not** a diagonal matrix?

- (a) $y = w\otimes x$
- (b) $y = \max(0, x)$, for each entry
- (c) $y = x + z$ with a scalar $z$ that does not depend on $x$
- (d) $y = x/\operatorname{sum}(x)$

**Question 7** (section 4.5.2). Let $u_1 = x^2$ and $y = x\,u_1$. What does the total-derivative chain rule give for $dy/dx$, path by path?

- (a) $x^2$
- (b) $2x^2$
- (c) $x^2 + 2x^2 = 3x^2$
- (d) $x^2\cdot 2x^2 = 2x^4$

**Question 8** (sections 5 and 6). A neuron $\max(0, w\cdot x + b)$ is trained with the squared error. For one example $w\cdot x + b = -3$ and the target is 5. What does this example contribute to $\partial C/\partial w$?

- (a) $\vec{0}^\top$: no small change of $w$ changes the output
- (b) $x^\top$
- (c) a large multiple of $x^\top$, because the error is large
- (d) nothing that is defined, because $\max$ has a kink
"""

# %% [markdown] lang="zh"
r"""
损失从 $\log 3$ 开始，此时每个类别的概率都是 $1/3$。每当你开始训练一个分类器，先检查这个数：词表为 50,257 的语言模型，起点应当在
$\log 50257\approx 10.8$ 附近。

## 8 · 论文测验

关于 Parr 与 Howard（[arXiv 1802.01528](https://arxiv.org/abs/1802.01528)）的八道题。第 1–4 题对应第 1–3 节，第 5–8 题对应第 4–6 节。

**第 1 题**（第 1 节）。单个神经元的损失用普通的标量形式就能求导。论文为什么不止步于此？

- (a) 因为平方误差根本不能用标量形式求导。
- (b) 因为用矩阵记号写出的梯度数值上更精确。
- (c) 因为网络要同时训练所有层的所有神经元，这需要向量对向量求导的规则。
- (d) 因为 PyTorch 等库只能训练导数由人手工推出的网络。

**第 2 题**（第 2 节）。作为算子，$\frac{d}{dx}$ 可以把常数提到外面，并对求和逐项作用。即使已知 $x$、$x^2$、$\sin x$ 和 $e^x$ 的导数，对哪个函数来说这两条性质**不够用**？

- (a) $3x + x^2 + 7$
- (b) $x^2\sin x$
- (c) $e^x - \sin x$
- (d) $9(x + x^2)$

**第 3 题**（第 3 节）。$f(x,y) = 3x^2y$ 在 $(x,y) = (1,2)$ 处的梯度是什么？

- (a) $[3, 12]$
- (b) $15$
- (c) $[6, 3]$
- (d) $[12, 3]$

**第 4 题**（第 3 节）。标量损失 $L$ 依赖于含 5 个权重的向量 $w$。按论文的约定，$\nabla L$ 是什么？

- (a) 竖向量，$5\times1$
- (b) 横向量，$1\times5$
- (c) 矩阵，$5\times5$
- (d) 一个数

**第 5 题**（第 4 节）。两个函数 $f_1, f_2$ 依赖三个参数 $x_1, x_2, x_3$。按论文的布局，Jacobian 是什么形状，第一行的最后一个元素是什么？

- (a) $2\times3$，$\partial f_1/\partial x_3$
- (b) $3\times2$，$\partial f_2/\partial x_1$
- (c) $3\times3$，$\partial f_1/\partial x_3$
- (d) $2\times3$，$\partial f_1/\partial x_2$

**第 6 题**（4.2 节）。对哪个 $y$，逐元素对角条件不成立，因而 $\partial y/\partial x$ **不是**对角矩阵？

- (a) $y = w\otimes x$
- (b) $y = \max(0, x)$，对每个元素
- (c) $y = x + z$，标量 $z$ 不依赖 $x$
- (d) $y = x/\operatorname{sum}(x)$

**第 7 题**（4.5.2 节）。设 $u_1 = x^2$，$y = x\,u_1$。按全导数链式法则逐条路径计算，$dy/dx$ 是什么？

- (a) $x^2$
- (b) $2x^2$
- (c) $x^2 + 2x^2 = 3x^2$
- (d) $x^2\cdot 2x^2 = 2x^4$

**第 8 题**（第 5、6 节）。神经元 $\max(0, w\cdot x + b)$ 用平方误差训练。对某个样本 $w\cdot x + b = -3$，目标值为 5。它对 $\partial C/\partial w$ 的贡献是什么？

- (a) $\vec{0}^\top$：$w$ 的微小变化不会改变输出
- (b) $x^\top$
- (c) $x^\top$ 的很大倍数，因为误差很大
- (d) 没有定义，因为 $\max$ 有折点
"""

# %% exercise="paper_quiz"
from ladder.solutions.stage1_foundation.day01_matrix_calculus import paper_quiz

# %% [markdown] lang="zh" docstring="paper_quiz"
r"""
你对上面八道题的回答，每题一个字母。

返回一个字典，键为 "q1" 到 "q8"，值为 "a"、"b"、"c" 或 "d"。
"""

# %% [markdown] hint="paper_quiz" lang="en"
r"""
Each question names its section; read that section with the question beside it. A single wrong answer in one half of the quiz comes with a
pointer to what to reread.
"""

# %% [markdown] hint="paper_quiz" lang="zh"
r"""
每道题都注明了章节；把题目放在旁边，再读那一节。若测验的某一半里只错一题，检查会指出该重读哪里。
"""

# %% [markdown] hint="paper_quiz" lang="en"
r"""
Questions 3, 5, 6, 7 and 8 can be decided by experiment: choose numbers, and let your own jacobian_fd or grad_fd answer.
"""

# %% [markdown] hint="paper_quiz" lang="zh"
r"""
第 3、5、6、7、8 题可以用实验来判断：取一些具体的数，让你自己的 jacobian_fd 或 grad_fd 来回答。
"""

# %%
from ladder.graders.stage1_foundation.day01_matrix_calculus import check_quiz_first_sections

check_quiz_first_sections(paper_quiz)

# %%
from ladder.graders.stage1_foundation.day01_matrix_calculus import check_quiz_matrix_calculus

check_quiz_matrix_calculus(paper_quiz)

# %% [markdown] lang="en"
r"""
## What you have now

| function | what it is for |
| --- | --- |
| `jacobian_fd`, `grad_fd` | the witness for every derivative you will ever write |
| `linear_backward` | the way back through every linear layer, the attention projections included |
| `softmax_vjp` | the way back through attention weights (Day 16) |
| `ce_grad_logits` | where the gradient of every language model begins |
| `chain_vjp` | backpropagation along a line |

A real network is no line: results are used twice, and gradients that arrive by several paths are added, as the total derivative says. Tomorrow you build the graph, and it
finds the order of the VJPs by itself.
"""

# %% [markdown] lang="zh"
r"""
## 你现在拥有的工具

| 函数 | 用途 |
| --- | --- |
| `jacobian_fd`、`grad_fd` | 检验你今后写的每一个导数的“证人” |
| `linear_backward` | 反向穿过任何线性层，包括注意力的各个投影 |
| `softmax_vjp` | 反向穿过注意力权重（第 16 天） |
| `ce_grad_logits` | 每个语言模型的梯度由此出发 |
| `chain_vjp` | 沿一条直线的反向传播 |

真正的网络不是一条直线：中间结果会被用到不止一次，从多条路径到来的梯度要相加，正如全导数所说。明天你要搭建计算图，
让它自己找出各个 VJP 的先后次序。
"""

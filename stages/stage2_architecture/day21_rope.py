# %% [markdown] lang="en"
r"""
# Day 21 · RoPE

On Day 13 you added positions to the tokens, and saw the score fall apart into four terms, of which only some knew the distance. Then you turned a query and a key in the plane, and one term was left. Today that becomes the position encoding of Llama, Qwen, Mistral and
DeepSeek: rotary position embedding, RoPE.

At the end of the day you can

- derive RoPE from the one thing it is to do, and write its rotation matrix from memory;
- write it three times, as a matrix, with complex numbers, and as the few multiplications that models run, and show that they agree;
- test any position encoding for "relative positions only";
- say why weights saved for one layout of the pairs fail silently in the other;
- derive the long-range decay, and say what it promises and what it does not.

**Read first** (40 minutes): Jianlin Su and others, *RoFormer: Enhanced Transformer with Rotary Position Embedding*, [arXiv 2104.09864](https://arxiv.org/abs/2104.09864), sections 3.1 to 3.3; keep 3.4 open beside you. Plan three hours for the rest. This is also the day of the **Arch gate**, see the end.
"""

# %% [markdown] lang="zh"
r"""
# 第 21 天 · RoPE

第 13 天你把位置加到 token 上，看到分数分成四项，其中只有几项知道距离。然后你在平面上旋转了查询与键，就只剩下一项。今天，这个想法要变成 Llama、Qwen、Mistral 与
DeepSeek 所用的位置编码：旋转位置编码（rotary position embedding，RoPE）。

学完这一天，你能够

- 从 RoPE 要做到的唯一一件事出发把它推导出来，并徒手写出旋转矩阵；
- 把它写三遍：用矩阵、用复数、用模型实际运行的那几次乘法，并说明三者一致；
- 检验任何一种位置编码是否“只知道相对位置”；
- 说清为什么按一种坐标排法保存的权重，用在另一种排法里会不声不响地出错；
- 推导远程衰减，并说清它保证什么、不保证什么。

**先读论文**（40 分钟）：Jianlin Su 等，*RoFormer: Enhanced Transformer with Rotary Position Embedding*，[arXiv 2104.09864](https://arxiv.org/abs/2104.09864)，3.1 至 3.3 节；3.4 节放在手边备查。其余内容约需三小时。今天也是**架构关**的日子，见文末。
"""

# %% setup
import math
from collections.abc import Callable

import matplotlib.pyplot as plt
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from ladder.earlier.day13_positional_encoding import pe_dot, sinusoidal_pe

# %% [markdown] lang="en"
r"""
## 1 · What a score should know

A query $q$ stands at position $m$, a key $k$ at position $n$. We look for a function $f$ that puts a position into a vector, such that the score knows the two vectors and the distance, and nothing else (section 3.1, equation 11):

$$f(q, m)\cdot f(k, n) = g(q, k, m-n),\qquad f(x, 0) = x$$

In the plane, try a rotation by an angle proportional to the position, counterclockwise:

$$R_m = \begin{pmatrix}\cos m\theta & -\sin m\theta\\ \sin m\theta & \cos m\theta\end{pmatrix},\qquad (R_mq)\cdot(R_nk) = q^\top R_m^\top R_n\,k = q^\top R_{n-m}\,k$$

The transpose of a rotation turns back, and turns add up; so the score contains $m$ and $n$ only as $n-m$. In $d$ dimensions (section 3.2.2) take $d/2$ planes, one for each pair of coordinates $2i$ and $2i+1$, and give each its own rate, those of Day 13's clocks:

$$\theta_i = 10000^{-2i/d},\qquad i = 0, \dots, d/2-1$$

The $d/2$ blocks stand on the diagonal of one $d\times d$ matrix, the rest is zero. (The paper counts from 1, and so has $2(i-1)$ in the exponent.) In a model $d$ is the width of one *head*, and both $q$ and $k$ are turned in every layer. The values are not.

Write the matrix. At the gate you will be asked for it without this page.
"""

# %% [markdown] lang="zh"
r"""
## 1 · 分数应当知道什么

查询 $q$ 在位置 $m$，键 $k$ 在位置 $n$。我们要找一个把位置放进向量的函数 $f$，使分数只知道两个向量与它们的距离，别的一概不知（3.1 节，式 11）：

$$f(q, m)\cdot f(k, n) = g(q, k, m-n),\qquad f(x, 0) = x$$

在平面上试试旋转：逆时针转过一个与位置成正比的角度，

$$R_m = \begin{pmatrix}\cos m\theta & -\sin m\theta\\ \sin m\theta & \cos m\theta\end{pmatrix},\qquad (R_mq)\cdot(R_nk) = q^\top R_m^\top R_n\,k = q^\top R_{n-m}\,k$$

旋转矩阵的转置就是转回去，角度可以相加；所以分数里的 $m$ 与 $n$ 只以 $n-m$ 的形式出现。在 $d$ 维空间里（3.2.2 节），取 $d/2$ 个平面，每对坐标 $2i$ 与 $2i+1$ 一个，各有自己的角频率，就是第 13 天那些时钟的频率：

$$\theta_i = 10000^{-2i/d},\qquad i = 0, \dots, d/2-1$$

这 $d/2$ 个块排在一个 $d\times d$ 矩阵的对角线上，其余元素为零。（论文从 1 数起，所以指数里是 $2(i-1)$。）在模型里，$d$ 是一个*头*的宽度，每一层的 $q$ 与 $k$ 都要旋转，值则不转。

写出这个矩阵。到了过关的时候，没有这一页可看。
"""

# %% exercise="rope_matrix"
from ladder.solutions.stage2_architecture.day21_rope import rope_matrix

# %% [markdown] lang="zh" docstring="rope_matrix"
r"""
RoPE 在一个位置上的旋转矩阵 R（arXiv 2104.09864，式 15）。

角频率为 θ_i = base^(−2i/d)，i = 0、……、d/2 − 1。矩阵把有 d 个数的列 x 的坐标 2i 与 2i + 1
逆时针转过角度 pos · θ_i（弧度）：

    (R x)_2i     = x_2i cos(pos θ_i) − x_(2i+1) sin(pos θ_i)
    (R x)_(2i+1) = x_2i sin(pos θ_i) + x_(2i+1) cos(pos θ_i)

``pos`` 是任意数：可以是负数，也可以不是整数。结果是浮点张量；位置在 −100 到 100 之间时，每个元素至少精确到 0.0001。
``d`` 为奇数时抛出 ``ValueError``。
"""

# %% [markdown] hint="rope_matrix" lang="en"
r"""
Four entries for each pair: two on the diagonal, one above it and one below. The columns of a block say where (1, 0) and (0, 1) go. With pos = 0 the result must be the identity.
"""

# %% [markdown] hint="rope_matrix" lang="zh"
r"""
每一对有四个元素：两个在对角线上，一个在它上方，一个在它下方。块的两列分别说明 (1, 0) 与 (0, 1) 转到哪里。pos = 0 时结果应为单位矩阵。
"""

# %% [markdown] hint="rope_matrix" lang="en"
r"""
torch.arange(0, d, 2) is both the list of the numbers 2i for the exponents and the list of even indices: R[even, even + 1] = ... writes one entry of every block. The sine with the minus sign is the one that takes x_(2i+1) to row 2i.
"""

# %% [markdown] hint="rope_matrix" lang="zh"
r"""
torch.arange(0, d, 2) 既是指数里的各个 2i，也是各个偶数下标：R[even, even + 1] = …… 一次写好所有块的同一个元素。带负号的正弦，是把 x_(2i+1) 带到第 2i 行的那一个。
"""

# %%
from ladder.graders.stage2_architecture.day21_rope import check_rope_matrix

check_rope_matrix(rope_matrix)

# %%
x = torch.tensor([1.0, 0.3] * 8, dtype=torch.float64)
positions = range(25)
turned = torch.stack([torch.as_tensor(rope_matrix(m, 16)).double() @ x for m in positions])
fig, axes = plt.subplots(1, 4, figsize=(14, 3.3), layout="constrained", width_ratios=(1, 1, 1, 1.15))
for ax, i in zip(axes, (0, 2, 5), strict=False):
    points = ax.scatter(turned[:, 2 * i], turned[:, 2 * i + 1], c=list(positions), cmap="viridis", s=24)
    ax.plot([0, x[2 * i]], [0, x[2 * i + 1]], "r-", lw=1)
    ax.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal", xlabel=f"coordinate {2 * i}",
           ylabel=f"coordinate {2 * i + 1}", title=f"pair {i}: {10000 ** (-2 * i / 16):.2g} rad a token")
fig.colorbar(points, ax=axes[2], label="position")
shown = axes[3].imshow(rope_matrix(3, 16), cmap="RdBu", vmin=-1, vmax=1)
axes[3].set(title="$R_3$ for d = 16", xlabel="column", ylabel="row")
fig.colorbar(shown, ax=axes[3])
plt.show()

# %% [markdown] lang="en"
r"""
The red line is the vector at position 0. The first pair has gone round almost four times in 25 tokens, the sixth has hardly moved. Lengths stay.

## 2 · Complex numbers

A pair of coordinates is a complex number, $z = x_{2i} + j\,x_{2i+1}$ with $j^2 = -1$, and to turn it by the angle $\alpha$ is to multiply it by $e^{j\alpha}$. A dot product in the plane is a real part:

$$q\cdot k = \operatorname{Re}[z_q\,\overline{z_k}]$$

So the whole of section 1 is one line:

$$\operatorname{Re}\big[z_q e^{jm\theta}\ \overline{z_k e^{jn\theta}}\big] = \operatorname{Re}\big[z_q\overline{z_k}\ e^{j(m-n)\theta}\big]$$

Keep it in mind, the decay grows out of it. Meta's Llama code applies RoPE in this form. Yours also takes a list of positions: a decoder that has 100 tokens in its cache turns the next one by position 100, not 0.
"""

# %% [markdown] lang="zh"
r"""
红线是位置 0 上的向量。25 个 token 之内，第一对转了将近四圈，第六对几乎没动。长度不变。

## 2 · 复数

一对坐标就是一个复数 $z = x_{2i} + j\,x_{2i+1}$，其中 $j^2 = -1$；转过角度 $\alpha$ 就是乘以 $e^{j\alpha}$。平面上的点积是一个实部：

$$q\cdot k = \operatorname{Re}[z_q\,\overline{z_k}]$$

于是第 1 部分的全部内容就是一行：

$$\operatorname{Re}\big[z_q e^{jm\theta}\ \overline{z_k e^{jn\theta}}\big] = \operatorname{Re}\big[z_q\overline{z_k}\ e^{j(m-n)\theta}\big]$$

记住它，后面的衰减就由它而来。Meta 的 Llama 代码用的就是这种形式。你写的函数还要接收各个位置：解码时缓存里已有 100 个 token，下一个就应按位置 100 旋转，而不是 0。
"""

# %% exercise="rope_complex"
from ladder.solutions.stage2_architecture.day21_rope import rope_complex

# %% [markdown] lang="zh" docstring="rope_complex"
r"""
用复数表示的 RoPE（arXiv 2104.09864，3.2.1 节），共 d/2 对。

把一个向量的坐标 2i 与 2i + 1 读作一个复数 z_i = x_2i + j x_(2i+1)，其中 j² = −1，再按位置旋转，θ_i = base^(−2i/d)：

    z_i exp(j · position · θ_i)

``x`` 的最后一维是每个 token 的向量，float32 或 float64；它的第 t 个 token 站在位置 ``positions[t]``，可以是任意整数。
返回旋转后的复数，形状为 (..., T, d/2)，complex64 或 complex128；位置小于 1000、数值小于 10 时，每个数至少精确到 0.0001。
``x`` 不得被改动；d 为偶数。
"""

# %% [markdown] hint="rope_complex" lang="en"
r"""
torch.complex(a, b) makes complex numbers of real and imaginary parts. The angles form a table (T, d/2), an outer product of positions and rates, and broadcast from the right.
"""

# %% [markdown] hint="rope_complex" lang="zh"
r"""
torch.complex(a, b) 由实部和虚部生成复数。各个角度组成一张 (T, d/2) 的表，是位置与角频率的外积，从右边开始广播。
"""

# %% [markdown] hint="rope_complex" lang="en"
r"""
The real parts are x[..., 0::2], the imaginary ones x[..., 1::2]. torch.polar(r, angle) is r · exp(j · angle); the absolute value r is 1 here. Compute the angles in float64.
"""

# %% [markdown] hint="rope_complex" lang="zh"
r"""
实部是 x[..., 0::2]，虚部是 x[..., 1::2]。torch.polar(r, angle) 就是 r · exp(j · angle)，这里绝对值 r 为 1。角度请用 float64 计算。
"""

# %%
from ladder.graders.stage2_architecture.day21_rope import check_rope_complex

check_rope_complex(rope_complex)

# %% [markdown] lang="en"
r"""
**In your own words** (5 points). So far the rotation fell from the sky. Derive it for the plane, from $f(q,m)\cdot f(k,n) = g(q,k,m-n)$ and $f(x,0) = x$. Follow section 3.4.1: write the vectors as complex numbers in polar form, $f(q,m) = \rho_q(m)\,e^{j\Phi_q(m)}$, likewise for $k$, and ask that absolute value *and* angle
of $f(q,m)\,\overline{f(k,n)}$ depend on $m-n$ only. Graded by this list:

- 1 point: the two conditions, one for the absolute values and one for the angles;
- 1 point: what $m = n$ says about the absolute values, and the simplest choice of $\rho$;
- 1 point: what $m = n$ says about the angles: $\varphi(m) = \Phi_q(m)-\Phi_q(0)$ is the same function for every query and every key;
- 1 point: what $m = n+1$ says: $\varphi$ grows by the same amount at each step, so $\varphi(m) = m\theta$;
- 1 point: is the choice of $\rho$ the only one? Find another that fulfils the condition.
"""

# %% [markdown] lang="zh"
r"""
**用你自己的话说**（5 分）。到目前为止，旋转像是从天而降的。请在平面上，由 $f(q,m)\cdot f(k,n) = g(q,k,m-n)$ 与 $f(x,0) = x$ 把它推导出来。思路同 3.4.1 节：把向量写成极坐标形式的复数 $f(q,m) = \rho_q(m)\,e^{j\Phi_q(m)}$，$k$ 也一样，并要求
$f(q,m)\,\overline{f(k,n)}$ 的绝对值*和*幅角都只取决于 $m-n$。评分标准：

- 1 分：写出两个条件，一个关于绝对值，一个关于幅角；
- 1 分：$m = n$ 时，绝对值满足什么？$\rho$ 最简单的取法是什么？
- 1 分：$m = n$ 时，幅角满足什么？说明 $\varphi(m) = \Phi_q(m)-\Phi_q(0)$ 对所有查询和所有键都是同一个函数；
- 1 分：$m = n+1$ 说明什么？$\varphi$ 每一步增加同样的量，所以 $\varphi(m) = m\theta$；
- 1 分：$\rho$ 的取法是唯一的吗？再找一种满足条件的取法。
"""

# %% [markdown] written="written_rotation" lang="en"
r"""
*Your derivation. Replace this text.*
"""

# %% [markdown] written="written_rotation" lang="zh"
r"""
*在此写下你的推导（替换这段文字）。*
"""

# %% [markdown] model="written_rotation" lang="en"
r"""
*Two conditions.* With $f(q,m) = \rho_q(m)e^{j\Phi_q(m)}$ and $f(k,n) = \rho_k(n)e^{j\Phi_k(n)}$, the product $f(q,m)\overline{f(k,n)}$ has the absolute value and the angle

$$\rho_q(m)\,\rho_k(n) = \rho_g(m-n),\qquad \Phi_q(m)-\Phi_k(n) = \Phi_g(m-n)$$

where the right sides may depend on $q$ and $k$, but on the positions through $m-n$ only. From $f(x,0) = x$: $\rho_q(0) = |q|$, $\rho_k(0) = |k|$, and $\Phi_q(0)$, $\Phi_k(0)$ are the angles of the vectors themselves.

*Absolute values, $m = n$.* $\rho_q(m)\rho_k(m) = \rho_g(0) = \rho_q(0)\rho_k(0) = |q||k|$ for all $m$. The simplest choice: $\rho_q(m) = |q|$ and $\rho_k(m) = |k|$, positions do not touch the lengths.

*Angles, $m = n$.* $\Phi_q(m)-\Phi_k(m) = \Phi_g(0) = \Phi_q(0)-\Phi_k(0)$, so $\Phi_q(m)-\Phi_q(0) = \Phi_k(m)-\Phi_k(0)$. The left side does not contain $k$, the right side not $q$: it is one function $\varphi(m)$, the same for all vectors, with $\varphi(0) = 0$.

*Angles, $m = n+1$.* $\Phi_q(n+1)-\Phi_k(n) = \Phi_g(1)$ gives $\varphi(n+1)-\varphi(n) = \Phi_g(1)-\Phi_q(0)+\Phi_k(0)$. The right side does not contain $n$, and the left neither $q$ nor $k$: it is a constant $\theta$. So $\varphi(m) = m\theta$, and $f(x,m) = x\,e^{jm\theta}$: a rotation by $m\theta$.

*Other choices.* $\rho_q(m) = |q|\,c^{m}$ and $\rho_k(n) = |k|\,c^{-n}$ for any $c>0$: the product is $|q||k|\,c^{m-n}$. With $c<1$, in a causal model with $m\ge n$, the score shrinks exponentially with the distance. That is the idea of xPos (Day 53).
"""

# %% [markdown] model="written_rotation" lang="zh"
r"""
*两个条件。* 设 $f(q,m) = \rho_q(m)e^{j\Phi_q(m)}$ 与 $f(k,n) = \rho_k(n)e^{j\Phi_k(n)}$，则乘积 $f(q,m)\overline{f(k,n)}$ 的绝对值与幅角满足

$$\rho_q(m)\,\rho_k(n) = \rho_g(m-n),\qquad \Phi_q(m)-\Phi_k(n) = \Phi_g(m-n)$$

右边可以取决于 $q$ 与 $k$，但位置只能以 $m-n$ 的形式出现。由 $f(x,0) = x$：$\rho_q(0) = |q|$，$\rho_k(0) = |k|$，而 $\Phi_q(0)$、$\Phi_k(0)$ 就是向量本身的幅角。

*绝对值，$m = n$。* 对所有 $m$ 有 $\rho_q(m)\rho_k(m) = \rho_g(0) = \rho_q(0)\rho_k(0) = |q||k|$。最简单的取法：$\rho_q(m) = |q|$，$\rho_k(m) = |k|$，位置不影响长度。

*幅角，$m = n$。* $\Phi_q(m)-\Phi_k(m) = \Phi_g(0) = \Phi_q(0)-\Phi_k(0)$，所以 $\Phi_q(m)-\Phi_q(0) = \Phi_k(m)-\Phi_k(0)$。左边不含 $k$，右边不含 $q$：它是同一个函数 $\varphi(m)$，对所有向量都一样，且 $\varphi(0) = 0$。

*幅角，$m = n+1$。* 由 $\Phi_q(n+1)-\Phi_k(n) = \Phi_g(1)$ 得 $\varphi(n+1)-\varphi(n) = \Phi_g(1)-\Phi_q(0)+\Phi_k(0)$。右边不含 $n$，左边不含 $q$ 与 $k$：它是一个常数 $\theta$。所以 $\varphi(m) = m\theta$，$f(x,m) = x\,e^{jm\theta}$：转过角度 $m\theta$ 的旋转。

*其他取法。* 对任意 $c>0$，取 $\rho_q(m) = |q|\,c^{m}$ 与 $\rho_k(n) = |k|\,c^{-n}$：乘积为 $|q||k|\,c^{m-n}$。若 $c<1$，在 $m\ge n$ 的因果模型里，分数随距离指数下降。这就是 xPos 的思想（第 53 天）。
"""

# %% [markdown] lang="en"
r"""
## 3 · A test for relative positions

A proof is good; a test that you can apply to any code is good as well. If only distances count, then nothing changes when all tokens move on by the same number of positions, as if a text had been put in front. Write the test, for any `encode`.
"""

# %% [markdown] lang="zh"
r"""
## 3 · 检验相对位置

有证明固然好，有一个能用于任何代码的检验也很好。如果起作用的只有距离，那么所有 token 一起向前移动同样多的位置，就像前面多放了一段文字，什么都不会改变。写出这个检验，适用于任意的 `encode`。
"""

# %% exercise="relative_gap"
from ladder.solutions.stage2_architecture.day21_rope import relative_gap

# %% [markdown] lang="zh" docstring="relative_gap"
r"""
在 ``encode`` 之下，分数离“只知道相对位置”有多远。

``encode(x, positions)`` 把位置放进向量 x（每行一个；``positions`` 是 int64 张量，每行一个数），返回同样多的向量。
查询站在位置 0、……、Tq − 1，键站在 0、……、Tk − 1。一个查询与一个键的分数是编码后两个向量的点积，不缩放。
然后*所有的*查询与键一起向前移动 ``shift`` 个位置，这不改变任何距离。

返回全部 Tq · Tk 对里，分数变化的最大绝对值，为 Python 的 float。
"""

# %% [markdown] hint="relative_gap" lang="en"
r"""
All scores at once are one matrix product of the encoded queries with the encoded keys, transposed. You need it twice. There may be more keys than queries.
"""

# %% [markdown] hint="relative_gap" lang="zh"
r"""
把编码后的查询与编码后的键（转置）相乘，一次就得到所有分数。这样的矩阵要算两次。键可以比查询多。
"""

# %% [markdown] hint="relative_gap" lang="en"
r"""
The positions of the second matrix are torch.arange(len(q)) + shift and torch.arange(len(k)) + shift. Then the difference of the two matrices: absolute values, the largest, float().
"""

# %% [markdown] hint="relative_gap" lang="zh"
r"""
第二个矩阵的位置是 torch.arange(len(q)) + shift 与 torch.arange(len(k)) + shift。然后取两个矩阵之差：绝对值、最大值、float()。
"""

# %%
from ladder.graders.stage2_architecture.day21_rope import check_relative_gap

check_relative_gap(relative_gap)

# %% [markdown] lang="en"
r"""
Now look. *One* query and *one* key, always the same two vectors, are placed at all pairs of positions. Under RoPE the picture must consist of diagonal stripes, lines of equal distance. Beside it the sinusoidal encoding of Day 13, added to the same two vectors.
"""

# %% [markdown] lang="zh"
r"""
现在来看图。*一个*查询与*一个*键，始终是同样的两个向量，放在所有可能的一对位置上。用 RoPE 时，图里应当全是对角线方向的条纹，即等距离的线。旁边是把第 13 天的正弦编码加到同样两个向量上的结果。
"""

# %%
def rotary(x, positions):
    return torch.view_as_real(torch.as_tensor(rope_complex(x, positions))).flatten(-2).to(x.dtype)


def added(x, positions):
    return x + sinusoidal_pe(int(positions.max()) + 1, x.shape[-1])[positions].to(x.dtype)


generator = torch.Generator().manual_seed(3)
q, k = torch.randn(2, 32, generator=generator, dtype=torch.float64)
where = torch.arange(48)
fig, axes = plt.subplots(1, 3, figsize=(12.5, 3.6), layout="constrained")
for ax, (name, encode) in zip(axes, {"RoPE": rotary, "sinusoidal, added": added}.items(), strict=False):
    S = encode(q.expand(48, -1), where) @ encode(k.expand(48, -1), where).T
    shown = ax.imshow(S, cmap="viridis")
    ax.set(title=f"{name}: score of one q with one k", xlabel="position n of the key",
           ylabel="position m of the query")
    fig.colorbar(shown, ax=ax)
    axes[2].plot(where[5:], S.diagonal(-5), label=f"{name}, distance 5")
    gap = relative_gap(encode, q.expand(48, -1), k.expand(48, -1), 100)
    print(f"{name}: largest change of a score when all move by 100: {gap:.1e}")
axes[2].set(xlabel="position m of the query", ylabel="score", title="along one diagonal")
axes[2].legend(fontsize=8)
plt.show()

# %% [markdown] lang="en"
r"""
Under RoPE the same pair of tokens gets the same score wherever it stands. Positions are absolute where they are put in (each vector is turned by its own position, so a key can be turned once and kept), and relative where they are used.

## 4 · What models run

Nobody multiplies by the matrix: of its $d^2$ entries $2d$ are not zero. Section 3.4.2 writes the product as two multiplications of vectors,

$$R_mx = x\odot\begin{pmatrix}\cos m\theta_0\\ \cos m\theta_0\\ \cos m\theta_1\\ \vdots\end{pmatrix} + \begin{pmatrix}-x_1\\ x_0\\ -x_3\\ \vdots\end{pmatrix}\odot\begin{pmatrix}\sin m\theta_0\\ \sin m\theta_0\\ \sin m\theta_1\\ \vdots\end{pmatrix}$$

The cosines and sines do not depend on the data: they are computed once, for all positions up to the longest text, and shared by all layers and heads. First these tables.

Mind the precision. An angle of 100000 in float32 is right to about 0.004, so the *angle* must not be rounded; its sine may. In bfloat16 even the whole numbers above 256 are no longer all there.
"""

# %% [markdown] lang="zh"
r"""
用 RoPE 时，同样的一对 token 无论站在哪里，分数都相同。位置放进去时是绝对的（每个向量按自己的位置旋转，所以键只需转一次就可以存起来），用起来是相对的。

## 4 · 模型实际运行的形式

没有人真去乘那个矩阵：它的 $d^2$ 个元素里只有 $2d$ 个不为零。3.4.2 节把乘积写成两次逐元素的向量乘法：

$$R_mx = x\odot\begin{pmatrix}\cos m\theta_0\\ \cos m\theta_0\\ \cos m\theta_1\\ \vdots\end{pmatrix} + \begin{pmatrix}-x_1\\ x_0\\ -x_3\\ \vdots\end{pmatrix}\odot\begin{pmatrix}\sin m\theta_0\\ \sin m\theta_0\\ \sin m\theta_1\\ \vdots\end{pmatrix}$$

余弦与正弦不取决于数据：对不超过最长文本的所有位置一次算好，供所有层、所有头共用。先写这两张表。

注意精度。角度为 100000 时，float32 只精确到 0.004 左右，所以*角度*不能先舍入，正弦值可以。bfloat16 连大于 256 的整数都不能全部表示。
"""

# %% exercise="rope_tables"
from ladder.solutions.stage2_architecture.day21_rope import rope_tables

# %% [markdown] lang="zh" docstring="rope_tables"
r"""
RoPE 在位置 0 到 T − 1 所需的余弦与正弦。

返回 ``(cos, sin)``，两个 float32 张量，形状为 (T, d/2)：第 t 行第 i 列是 t θ_i 的余弦（正弦），θ_i = base^(−2i/d)。
每个元素精确到 0.000001，在位置 100000 处也是如此。``d`` 为奇数时抛出 ``ValueError``。
"""

# %% [markdown] hint="rope_tables" lang="en"
r"""
An outer product of T positions and d/2 rates, all in float64. Take cosine and sine of that, and only then go to float32.
"""

# %% [markdown] hint="rope_tables" lang="zh"
r"""
T 个位置与 d/2 个角频率的外积，全部用 float64。对它取余弦与正弦，然后才转成 float32。
"""

# %% [markdown] hint="rope_tables" lang="en"
r"""
torch.arange(T, dtype=torch.float64)[:, None] has shape (T, 1) and broadcasts with the d/2 rates to (T, d/2). Both rates and positions must be float64 before they are multiplied.
"""

# %% [markdown] hint="rope_tables" lang="zh"
r"""
torch.arange(T, dtype=torch.float64)[:, None] 的形状是 (T, 1)，与 d/2 个角频率广播成 (T, d/2)。相乘之前，角频率与位置都应当是 float64。
"""

# %%
from ladder.graders.stage2_architecture.day21_rope import check_rope_tables

check_rope_tables(rope_tables)

# %% [markdown] lang="en"
r"""
And the rotation itself, for all heads at once. Queries and keys may differ in the number of heads: from tomorrow on, several query heads share one key head. The tables come in as the rows that belong to these tokens, so the same function serves a whole text, `cos[:T]`, and a single new token at position 100, `cos[100:101]`.
"""

# %% [markdown] lang="zh"
r"""
现在写旋转本身，一次处理所有的头。查询与键的头数可以不同：从明天起，几个查询头会共用一个键头。传进来的表就是这些 token 对应的行，所以同一个函数既用于整段文本（`cos[:T]`），也用于位置 100 上的一个新 token（`cos[100:101]`）。
"""

# %% exercise="apply_rope"
from ladder.solutions.stage2_architecture.day21_rope import apply_rope

# %% [markdown] lang="zh" docstring="apply_rope"
r"""
按位置旋转查询与键（arXiv 2104.09864，式 34）。

``cos`` 与 ``sin`` 的第 t 行属于 ``q`` 与 ``k`` 的第 t 个 token，不论它的位置是多少：行由调用者选好。一个向量的坐标 2i 与 2i + 1 变为

    y_2i     = x_2i cos[t, i] − x_(2i+1) sin[t, i]
    y_(2i+1) = x_2i sin[t, i] + x_(2i+1) cos[t, i]

每个批、每个头都一样。``q`` 与 ``k`` 的头数可以不同。返回旋转后的 ``(q, k)``，各自保持参数的形状与 dtype
（float64、float32 或 bfloat16；精度达到 float32 即可）。各参数不得被改动，梯度能传回 q 与 k，且不生成任何 d × d 的矩阵。
"""

# %% [markdown] hint="apply_rope" lang="en"
r"""
Split the last dimension into even and odd coordinates, x[..., 0::2] and x[..., 1::2]: both are as wide as the tables, and the tables broadcast over everything in front of (T, d/2).
"""

# %% [markdown] hint="apply_rope" lang="zh"
r"""
把最后一维分成偶数坐标与奇数坐标：x[..., 0::2] 与 x[..., 1::2]。二者与表同宽，而表会对 (T, d/2) 前面的所有维广播。
"""

# %% [markdown] hint="apply_rope" lang="en"
r"""
To interleave two results again: torch.stack([first, second], dim=-1).flatten(-2). bfloat16 times float32 is float32: what dtype has the result to have? Compute both coordinates from the old ones.
"""

# %% [markdown] hint="apply_rope" lang="zh"
r"""
要把两个结果重新交错排列：torch.stack([first, second], dim=-1).flatten(-2)。bfloat16 乘以 float32 得 float32：结果应当是什么 dtype？两个新坐标都要由旧坐标来算。
"""

# %%
from ladder.graders.stage2_architecture.day21_rope import check_apply_rope

check_apply_rope(apply_rope)

# %% [markdown] lang="en"
r"""
Three implementations of one thing. They should agree, on random heads, at positions that do not start at 0.
"""

# %% [markdown] lang="zh"
r"""
同一件事，三种实现。用随机的头、并不从 0 开始的位置，它们应当一致。
"""

# %%
T, d, start = 7, 64, 900
Q, K = torch.randn(2, 8, T, d, generator=generator), torch.randn(2, 2, T, d, generator=generator)
cos, sin = (table[start:start + T] for table in rope_tables(start + T, d))
fast, _ = apply_rope(Q, K, cos, sin)
by_complex = rotary(Q, torch.arange(start, start + T))
matrices = torch.stack([torch.as_tensor(rope_matrix(start + t, d)).double() for t in range(T)])
by_matrix = torch.einsum("t i j, b h t j -> b h t i", matrices, Q.double())
print(f"fast against complex: {(fast - by_complex).abs().max():.1e}")
print(f"fast against matrix:  {(fast - by_matrix).abs().max():.1e}")
print(f"multiplications per vector: {d * d} with the matrix, {2 * d} here")

# %% [markdown] lang="en"
r"""
### The other layout

Open `modeling_llama.py` of the `transformers` library and you find something else. There coordinate $i$ is paired with $i + d/2$: the vector is split into halves, and `rotate_half` makes $(-x_{\text{second}}, x_{\text{first}})$ of it. The tables are $d$ wide, each cosine twice.

Both are right. Which two coordinates make a pair is a matter of names, and the names of the coordinates of $q$ and $k$ come from the rows of $W_q$ and $W_k$. Reorder these rows, the even ones first and then the odd, in each head, and the half-split rotation gives the same scores. When Meta's weights are converted for `transformers`, the conversion
script does exactly this. The next cell does it for one head.
"""

# %% [markdown] lang="zh"
r"""
### 另一种排法

打开 `transformers` 库的 `modeling_llama.py`，你会看到不同的写法。那里坐标 $i$ 与 $i + d/2$ 配成一对：向量分成前后两半，`rotate_half` 把它变成 $(-x_{\text{second}}, x_{\text{first}})$。表的宽度是 $d$，每个余弦出现两次。

两种都对。哪两个坐标配成一对只是命名问题，而 $q$ 与 $k$ 的坐标由 $W_q$ 与 $W_k$ 的行来命名。在每个头里重排这些行，先偶数行，后奇数行，前后对半的旋转就给出同样的分数。把 Meta 的权重转换给 `transformers` 使用时，转换
脚本做的正是这件事。下面的单元对一个头做一遍。
"""

# %%
def half_split(x, cos, sin):
    """RoPE as the transformers library writes it."""
    first, second = x.chunk(2, dim=-1)
    rotate_half = torch.cat([-second, first], dim=-1)
    return x * torch.cat([cos, cos], dim=-1) + rotate_half * torch.cat([sin, sin], dim=-1)


tokens = torch.randn(T, 96, generator=generator)
Wq, Wk = torch.randn(2, d, 96, generator=generator) / 96**0.5       # as in nn.Linear: (out, in)
order = torch.cat([torch.arange(0, d, 2), torch.arange(1, d, 2)])   # even rows first, then odd
turned_q, turned_k = apply_rope(tokens @ Wq.T, tokens @ Wk.T, cos, sin)
ours = turned_q @ turned_k.T
theirs = half_split(tokens @ Wq[order].T, cos, sin) @ half_split(tokens @ Wk[order].T, cos, sin).T
mixed = half_split(tokens @ Wq.T, cos, sin) @ half_split(tokens @ Wk.T, cos, sin).T
print(f"half-split with reordered rows: scores differ by {(ours - theirs).abs().max():.1e}")
print(f"half-split with our rows:       scores differ by {(ours - mixed).abs().max():.1e}")

# %% [markdown] lang="en"
r"""
The last line is what to be afraid of. All shapes fit, nothing crashes, and at distance 0 the scores are even right: only the text that the model writes is nonsense. You will load real weights on Day 23, and need this reordering backwards.

## 5 · The long-range decay

Section 3.4.3 says that scores tend to get smaller with the distance. Follow it in steps. By section 2, with $h_i = z_{q,i}\,\overline{z_{k,i}}$ for pair $i$ and $s = m-n$:

$$\text{score} = \operatorname{Re}\sum_{i=0}^{d/2-1} h_i\,e^{js\theta_i}$$

The $h_i$ know the tokens, the phases $e^{js\theta_i}$ know the distance. To separate them, first add up the phases alone,

$$S_r = \sum_{i=0}^{r-1} e^{js\theta_i},\qquad S_0 = 0,\qquad e^{js\theta_i} = S_{i+1}-S_i$$

and sum by parts (Abel's transformation), the discrete brother of integration by parts: collect what stands in front of each $S_{i+1}$. That is your step; call the result $w_i$. Mind the last one.

$$\sum_i h_i\,(S_{i+1}-S_i) = \sum_i w_i\,S_{i+1}$$

Now the triangle inequality, then the largest of the $|w_i|$ in front of the sum:

$$|\text{score}|\ \le\ \sum_i |w_i|\,|S_{i+1}|\ \le\ \max_i|w_i|\ \sum_i|S_{i+1}|$$

Only the last factor contains the distance.
"""

# %% [markdown] lang="zh"
r"""
最后一行才是值得担心的：形状全都对得上，什么错也不报，距离为 0 时分数甚至是对的，只是模型写出来的文字不知所云。第 23 天你会加载真实的权重，那时需要把这个重排反过来做。

## 5 · 远程衰减

3.4.3 节说，分数倾向于随距离变小。我们分步来看。由第 2 部分，对第 $i$ 对记 $h_i = z_{q,i}\,\overline{z_{k,i}}$，并记 $s = m-n$：

$$\text{score} = \operatorname{Re}\sum_{i=0}^{d/2-1} h_i\,e^{js\theta_i}$$

$h_i$ 知道 token，相位 $e^{js\theta_i}$ 知道距离。为了把二者分开，先单独把相位加起来：

$$S_r = \sum_{i=0}^{r-1} e^{js\theta_i},\qquad S_0 = 0,\qquad e^{js\theta_i} = S_{i+1}-S_i$$

然后做分部求和（Abel 变换），它是分部积分的离散版本：把每个 $S_{i+1}$ 前面的系数合并起来。这一步由你来做，结果记为 $w_i$。当心最后一个。

$$\sum_i h_i\,(S_{i+1}-S_i) = \sum_i w_i\,S_{i+1}$$

接着用三角不等式，再把 $|w_i|$ 中最大的提到和的前面：

$$|\text{score}|\ \le\ \sum_i |w_i|\,|S_{i+1}|\ \le\ \max_i|w_i|\ \sum_i|S_{i+1}|$$

只有最后一个因子含有距离。
"""

# %% exercise="decay_steps"
from ladder.solutions.stage2_architecture.day21_rope import decay_steps

# %% [markdown] lang="zh" docstring="decay_steps"
r"""
远程衰减的推导（arXiv 2104.09864，3.4.3 节），用具体的数来做。

查询 ``q`` 与键 ``k``（各一个向量，float64，d 为偶数），都还没有旋转，相距 ``dist`` 个位置：查询的位置减去键的位置。
z_i 与 ``rope_complex`` 中相同，共 d/2 对，θ_i = base^(−2i/d)。返回一个由张量组成的字典：

    "h"         (d/2,) 复数   h_i = q 的 z_i 乘以 k 的 z_i 的共轭
    "score"     () 实数       旋转后的查询与旋转后的键的点积
    "S"         (d/2,) 复数   S_1、……、S_(d/2)，其中 S_r 是 r 个数 exp(√−1 · dist · θ_i) 之和，i = 0、……、r − 1
    "w"         (d/2,) 复数   w_0、……、w_(d/2−1)，无论 S_1、……、S_(d/2) 是什么数，都使
                              Σ_i h_i (S_(i+1) − S_i) = Σ_i w_i S_(i+1)，其中 S_0 = 0；
                              两个和都对 i = 0、……、d/2 − 1 求，w 只由 h 决定
    "triangle"  () 实数       Σ_i |w_i| |S_(i+1)|
    "bound"     () 实数       最大的 |w_i| 乘以 Σ_i |S_(i+1)|

距离小于 1000 时，至少精确到六位有效数字。各参数不得被改动。
"""

# %% [markdown] hint="decay_steps" lang="en"
r"""
For w write out three pairs: h_0 S_1 + h_1 (S_2 − S_1) + h_2 (S_3 − S_2). Collect S_1, S_2 and S_3. torch.cumsum makes the partial sums.
"""

# %% [markdown] hint="decay_steps" lang="zh"
r"""
求 w 时，写出三对的情形：h_0 S_1 + h_1 (S_2 − S_1) + h_2 (S_3 − S_2)，再把 S_1、S_2、S_3 的项分别合并。部分和可用 torch.cumsum。
"""

# %% [markdown] hint="decay_steps" lang="en"
r"""
Each w but the last is a difference of two neighbours of h, and the last is what you get if one more h, equal to 0, stood behind the end. .conj() is the complex conjugate. Test your w: the real part of (w * S).sum() must be the score.
"""

# %% [markdown] hint="decay_steps" lang="zh"
r"""
除最后一个以外，每个 w 都是 h 中相邻两个之差；最后一个相当于在末尾之后再补一个等于 0 的 h。.conj() 是复共轭。检验你的 w：(w * S).sum() 的实部应当等于分数。
"""

# %%
from ladder.graders.stage2_architecture.day21_rope import check_decay_steps

check_decay_steps(decay_steps)

# %% [markdown] lang="en"
r"""
The factor with the distance, divided by the number of pairs, is what figure 2 of the paper shows. At distance 0 all phases are 1 and $S_r = r$. Then the fast pairs begin to turn, their phases point everywhere and cancel, and the partial sums stay short.
"""

# %% [markdown] lang="zh"
r"""
含距离的那个因子，除以对的个数，就是论文图 2 所画的量。距离为 0 时，所有相位都是 1，$S_r = r$。随后快的对开始转动，它们的相位指向四面八方，互相抵消，部分和就长不起来。
"""

# %% exercise="rope_decay_bound"
from ladder.solutions.stage2_architecture.day21_rope import rope_decay_bound

# %% [markdown] lang="zh" docstring="rope_decay_bound"
r"""
3.4.3 节的界中取决于距离的那个因子。

    B(dist) = (|S_1| + ... + |S_(d/2)|) / (d/2)，   S_r = Σ_{i<r} exp(√−1 · dist · θ_i)，

其中 θ_i = base^(−2i/d)：部分和绝对值的平均，即论文图 2 所画的量。``dist`` 是任意形状的张量，元素为整数（int64）或其他数（float64），
也可以是负数；``d`` 为偶数。结果的形状与 ``dist`` 相同，元素为浮点数；距离小于 1000 时，相对误差不超过 0.0001。
"""

# %% [markdown] hint="rope_decay_bound" lang="en"
r"""
Give dist one more dimension, dist[..., None], for the pairs. Then phases, partial sums, absolute values and their mean, all along that last dimension, and in this order.
"""

# %% [markdown] hint="rope_decay_bound" lang="zh"
r"""
用 dist[..., None] 给 dist 多加一维，用来放各对。然后是相位、部分和、绝对值、平均，都沿最后这一维，并按这个次序。
"""

# %% [markdown] hint="rope_decay_bound" lang="en"
r"""
The sums S are those of decay_steps, for many distances at once: cumsum(dim=-1) of torch.polar(1, angle). At distance 0 the result must be the mean of 1, 2, ..., d/2.
"""

# %% [markdown] hint="rope_decay_bound" lang="zh"
r"""
各个 S 与 decay_steps 中的一样，只是一次算许多距离：对 torch.polar(1, angle) 用 cumsum(dim=-1)。距离为 0 时，结果应为 1、2、……、d/2 的平均。
"""

# %%
from ladder.graders.stage2_architecture.day21_rope import check_rope_decay_bound

check_rope_decay_bound(rope_decay_bound)

# %%
d = 128
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 3.8), layout="constrained")
near, far = torch.arange(257), torch.logspace(0, 6, 500, dtype=torch.float64)
for base, color in ((100, "C2"), (10_000, "C0"), (500_000, "C1")):
    left.plot(near, rope_decay_bound(near, d, base), color=color, label=f"base {base:,}")
    right.semilogx(far, rope_decay_bound(far, d, base), color=color, lw=1, label=f"base {base:,}")
    right.semilogx(far, d / 4 * (1 - far.log() / math.log(base)).clamp(min=0) ** 2, "--", color=color, lw=1)
left.set(xlabel="distance", ylabel="B: mean of |S|", ylim=(0, None), title="the quantity of figure 2, d = 128")
right.set(xlabel="distance", ylabel="B: mean of |S|", ylim=(0, None), title=r"far out; dashed: $(d/4)(1-\ln s/\ln\mathrm{base})^2$")
left.legend(fontsize=8)
right.legend(fontsize=8)
plt.show()

# %% [markdown] lang="en"
r"""
Left: a steep fall within ten tokens, then a slow one with waves. Right: a rough count explains it. At distance $s$ the pairs with $s\theta_i<1$ still point the same way, a share $1-\ln s/\ln\text{base}$ of all. Only over these do the partial sums grow, to at most their number, so that $B$ is about half their number times their share, $\tfrac d4(1-\ln s/\ln\text{base})^2$ (dashed).
At a distance of about the base even the slowest pair has turned; beyond it only noise is left. A larger base means a slower fall and a longer reach. Code Llama went from 10000 to 1000000 for long texts
([arXiv 2308.12950](https://arxiv.org/abs/2308.12950), section 2.4), Llama 3 uses 500000 ([arXiv 2407.21783](https://arxiv.org/abs/2407.21783), section 3.2).

Now the question that a good reader asks: how much does that say about a score? Take three cases, and put beside the bounds the simplest one that there is, $|\text{score}|\le\sum_i|h_i|$, which knows no distance at all.
"""

# %% [markdown] lang="zh"
r"""
左图：十个 token 之内急剧下降，之后带着波动缓慢下降。右图：粗略数一数就能解释。距离为 $s$ 时，$s\theta_i<1$ 的对仍然指向同一方向，占总数的 $1-\ln s/\ln\text{base}$。部分和只在这些对上增长，最大长到它们的个数，所以 $B$ 大约是它们个数的一半乘以它们所占的份额，即 $\tfrac d4(1-\ln s/\ln\text{base})^2$（虚线）。
距离约等于 base 时，最慢的一对也转动起来，再远就只剩噪声。base 越大，下降越慢，够得越远。Code Llama 为了长文本把它从 10000 改成 1000000
（[arXiv 2308.12950](https://arxiv.org/abs/2308.12950)，2.4 节），Llama 3 用 500000（[arXiv 2407.21783](https://arxiv.org/abs/2407.21783)，3.2 节）。

接着是一个好读者会问的问题：这对一个分数到底说明了多少？取三种情形，并在各个界旁边放上最简单的界 $|\text{score}|\le\sum_i|h_i|$，它完全不知道距离。
"""

# %%
ones = torch.ones(d, dtype=torch.float64)
q, k = torch.randn(2, d, generator=generator, dtype=torch.float64)
cases = {
    "q = k = (1, ..., 1)": (ones, ones),
    "q turned back by 50": (torch.as_tensor(rope_matrix(-50, d)).double() @ ones, ones),
    "q and k random": (q, k),
}
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 3.8), layout="constrained")
distances = range(0, 1025, 3)
print(f"{'':22} distance    score   sum |h|   triangle      bound")
for name, (a, b) in cases.items():
    steps = [decay_steps(a, b, s) for s in distances]
    left.plot(distances, [float(step["score"]) for step in steps], lw=1, label=name)
    for s in (0, 50, 1000):
        step = decay_steps(a, b, s)
        print(f"{name:22} {s:8} {float(step['score']):8.1f} {float(abs(step['h']).sum()):9.1f} "
              f"{float(step['triangle']):10.1f} {float(step['bound']):10.1f}")
left.set(xlabel="distance", ylabel="score", title="scores of three pairs of tokens")
left.legend(fontsize=8)
mean, some = torch.zeros(len(distances), dtype=torch.float64), 40
for _ in range(some):
    a = torch.randn(d, generator=generator, dtype=torch.float64)
    mean += torch.stack([torch.as_tensor(decay_steps(a, a, s)["score"]) for s in distances]) / d / some
s = torch.tensor(distances)
right.plot(s, mean, label=f"k = q, mean of {some} random q, divided by d")
right.plot(s, pe_dot(s, d) / (d / 2), "k--", lw=1, label="Day 13: PE[t] · PE[t + s], divided by d / 2")
right.set(xlabel="distance", ylabel="score", title="where all pairs weigh alike")
right.legend(fontsize=8)
plt.show()

# %% [markdown] lang="en"
r"""
Three things to see.

- The paper's bound is far above the score, and above the simple $\sum_i|h_i|$ in every case here; what falls is its *shape*. The step before it, the triangle inequality, is sharp in the first case, where all $h_i$ are equal and so $w_i = 0$ for all pairs but the last, and useless for random tokens, whose neighbouring $h_i$ have nothing in common.
- The tendency is real where all pairs weigh alike. If $h_i$ has the same mean $c$ for each pair, then the mean score is $c\sum_i\cos s\theta_i$ ($c$ real): Day 13's similarity, which falls like the logarithm of the distance.
- It is no law. The second curve peaks at distance 50, because $q$ was turned back beforehand, and $W_q$ can learn that. Barbero and others ([arXiv 2410.06205](https://arxiv.org/abs/2410.06205)) show that a RoPE score can be made largest at any distance one likes, and find in Gemma 7B that the fast pairs make heads for exact positions, while the slow ones, which
  hardly turn at all, carry content.

**In your own words** (7 points). Explain the long-range decay of RoPE to a colleague, on half a page. Graded by this list:

- 1 point: the score as the real part of a sum over pairs; which factor knows the tokens, which the distance;
- 2 points: summation by parts, with the term at the end, and the two inequalities after it;
- 2 points: why the mean $|S_r|$ falls: what happens to fast and to slow pairs as the distance grows, and how it is at distance 0;
- 1 point: what the base does, and where the fall ends;
- 1 point: one reason why the score of a trained model need not fall with the distance.
"""

# %% [markdown] lang="zh"
r"""
有三点值得看。

- 论文的界远在分数之上，在这里的每种情形都比简单的 $\sum_i|h_i|$ 还大；真正下降的是它的*形状*。它前面那一步，即三角不等式，在第一种情形里很紧，因为所有 $h_i$ 相等，除最后一对外 $w_i = 0$；对随机的 token 则没有用，因为它们相邻的 $h_i$ 毫无关系。
- 当各对同等重要时，这种倾向是真实的。若每一对的 $h_i$ 有相同的均值 $c$，则分数的均值是 $c\sum_i\cos s\theta_i$（$c$ 为实数）：就是第 13 天的相似度，随距离的对数下降。
- 它不是定律。第二条曲线的最高点在距离 50 处，因为 $q$ 事先往回转过，而 $W_q$ 可以学会这样做。Barbero 等（[arXiv 2410.06205](https://arxiv.org/abs/2410.06205)）证明：可以让 RoPE 的分数在任意选定的距离处最大；他们还发现，在 Gemma 7B 里，快的对构成了针对确切位置的头，而慢的对
  几乎不转，承载的是内容。

**用你自己的话说**（7 分）。用半页纸向同事解释 RoPE 的远程衰减。评分标准：

- 1 分：把分数写成对各对求和的实部；哪个因子知道 token，哪个知道距离；
- 2 分：分部求和，包括末尾那一项，以及其后的两个不等式；
- 2 分：$|S_r|$ 的平均为什么下降：距离增大时，快的对与慢的对各发生什么；距离为 0 时又是怎样；
- 1 分：base 起什么作用，下降到哪里为止；
- 1 分：举一个理由，说明训练好的模型的分数不一定随距离下降。
"""

# %% [markdown] written="written_decay" lang="en"
r"""
*Your explanation. Replace this text.*
"""

# %% [markdown] written="written_decay" lang="zh"
r"""
*在此写下你的解释（替换这段文字）。*
"""

# %% [markdown] model="written_decay" lang="en"
r"""
*The score.* Read each pair of coordinates as a complex number. With $h_i = z_{q,i}\overline{z_{k,i}}$, the score at distance $s = m-n$ is $\operatorname{Re}\sum_i h_ie^{js\theta_i}$. The $h_i$ depend on the two tokens, the phases on the distance.

*Summation by parts.* Let $S_r = \sum_{i<r}e^{js\theta_i}$, $S_0 = 0$, and set $h_{d/2} = 0$. Then

$$\sum_{i=0}^{d/2-1}h_i(S_{i+1}-S_i) = \sum_{i=0}^{d/2-1}(h_i-h_{i+1})\,S_{i+1}$$

where the last term is $h_{d/2-1}S_{d/2}$. By the triangle inequality, and with the largest difference in front,

$$|\text{score}|\le\sum_i|h_i-h_{i+1}||S_{i+1}|\le\max_i|h_i-h_{i+1}|\ \sum_i|S_{i+1}|$$

The first factor knows only the tokens; the second, divided by $d/2$, is $B(s)$.

*Why B falls.* At $s = 0$ all phases are 1, $S_r = r$, and $B = (d/2+1)/2$, the largest value possible. At distance $s$ the pairs with $s\theta_i\gg1$ have gone round, their phases point in all directions, and add up to little; those with $s\theta_i\ll1$ still point the same way, and add up in full. As the rates are evenly spaced in their logarithm, each tenfold distance
moves the same number of pairs from the second group to the first. The second group makes up a share $u = 1-\ln s/\ln\text{base}$, the partial sums grow over it alone, and $B\approx\tfrac d4u^2$, with waves.

*The base.* The slowest rate is about $1/\text{base}$. At $s\approx\text{base}$ the last pairs have turned, and beyond it $B$ only fluctuates. A larger base stretches the logarithmic scale: a slower fall, which reaches further.

*Not a law.* It is an upper bound with a loose constant, small only if neighbouring $h_i$ are alike; the score itself may be anything below. And $W_q$ and $W_k$ can turn $q$ beforehand, by $R_{-s_0}$, so that the score is largest at distance $s_0$, or put all weight on slow pairs, which hardly feel the distance.
"""

# %% [markdown] model="written_decay" lang="zh"
r"""
*分数。* 把每对坐标读作一个复数。记 $h_i = z_{q,i}\overline{z_{k,i}}$，则距离 $s = m-n$ 处的分数为 $\operatorname{Re}\sum_i h_ie^{js\theta_i}$。$h_i$ 取决于两个 token，相位取决于距离。

*分部求和。* 设 $S_r = \sum_{i<r}e^{js\theta_i}$，$S_0 = 0$，并令 $h_{d/2} = 0$。则

$$\sum_{i=0}^{d/2-1}h_i(S_{i+1}-S_i) = \sum_{i=0}^{d/2-1}(h_i-h_{i+1})\,S_{i+1}$$

其中最后一项是 $h_{d/2-1}S_{d/2}$。由三角不等式，再把最大的差提到前面，

$$|\text{score}|\le\sum_i|h_i-h_{i+1}||S_{i+1}|\le\max_i|h_i-h_{i+1}|\ \sum_i|S_{i+1}|$$

第一个因子只知道 token；第二个除以 $d/2$ 就是 $B(s)$。

*B 为什么下降。* $s = 0$ 时所有相位都是 1，$S_r = r$，$B = (d/2+1)/2$，这是可能的最大值。距离为 $s$ 时，$s\theta_i\gg1$ 的对已经转了许多圈，相位指向四面八方，加起来所剩无几；$s\theta_i\ll1$ 的对仍然指向同一方向，全额相加。由于各角频率的对数是等间隔的，距离每增大到十倍，
就有同样多的对从后一组转入前一组。后一组所占的份额为 $u = 1-\ln s/\ln\text{base}$，部分和只在这一组上增长，所以 $B\approx\tfrac d4u^2$，并带有波动。

*base。* 最慢的角频率约为 $1/\text{base}$。到了 $s\approx\text{base}$，最后的几对也转动起来，再远 $B$ 就只是上下波动。base 越大，对数尺度拉得越长：下降更慢，够得更远。

*不是定律。* 它是常数很松的上界，只有相邻的 $h_i$ 彼此接近时才小；分数本身可以是界内的任何值。而且 $W_q$ 与 $W_k$ 可以事先用 $R_{-s_0}$ 旋转 $q$，使分数在距离 $s_0$ 处最大，也可以把全部分量放在几乎感觉不到距离的慢对上。
"""

# %% [markdown] lang="en"
r"""
## What you have now

| function | what it is for |
| --- | --- |
| `rope_matrix` | the definition, to test everything else against |
| `rope_complex` | the derivation in code, and the form of Meta's Llama |
| `rope_tables`, `apply_rope` | the attention of Days 22 and 23, and every Llama-like model after them |
| `relative_gap` | the test for each position encoding of Day 53 |
| `decay_steps`, `rope_decay_bound` | what the base does; context extension on Day 53 changes it |

## The Arch gate

This stage ends with a self-test, and you take it without this notebook: `ladder gate arch`. It asks you to write the rotation matrix from memory, which is checked with fresh numbers, and to explain the long-range decay. Wait a day before you take it; what you still know then is yours.
"""

# %% [markdown] lang="zh"
r"""
## 你现在拥有的工具

| 函数 | 用途 |
| --- | --- |
| `rope_matrix` | 定义本身，其他一切都拿它来检验 |
| `rope_complex` | 写成代码的推导，也是 Meta 的 Llama 所用的形式 |
| `rope_tables`、`apply_rope` | 第 22、23 天的注意力，以及之后每个类 Llama 的模型 |
| `relative_gap` | 检验第 53 天的各种位置编码 |
| `decay_steps`、`rope_decay_bound` | base 起什么作用；第 53 天扩展上下文时改的就是它 |

## 架构关

这一阶段以一次自测结束，做的时候不看本笔记本：`ladder gate arch`。它要你徒手写出旋转矩阵，并用新的随机数来检查，还要你解释远程衰减。隔一天再去过关；到那时仍然记得的，才是你自己的。
"""

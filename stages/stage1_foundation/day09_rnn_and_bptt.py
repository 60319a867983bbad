# %% [markdown] lang="en"
r"""
# Day 9 · RNN, BPTT and gradient clipping

A sentence has no fixed length, and a layer has fixed weights. A recurrent network solves this by using the same weights at every step and carrying a
state along. You derive its gradients by hand, see why they die out or blow up over time, tame the second with three lines, look at
the cure for the first, and train a model that writes Shakespeare letter by letter, in NumPy alone.

At the end of the day you can

- derive backpropagation through time (BPTT), and say what is summed over time and why;
- predict from the recurrent matrix whether gradients vanish or explode, and measure it;
- clip gradients by their norm, and say why not entry by entry;
- send gradients back through one LSTM step, and say why its memory fades more slowly;
- train and sample from a character-level language model, and compare it with a bigram count.

**Read first** (40 minutes): Pascanu, Mikolov and Bengio, *On the difficulty of training recurrent neural networks*,
[arXiv 1211.5063](https://arxiv.org/abs/1211.5063), sections 1 and 2; section 3.2 before part 4 below. Plan four to five hours for the rest.
"""

# %% [markdown] lang="zh"
r"""
# 第 9 天 · RNN、BPTT 与梯度裁剪

句子没有固定长度，而一层网络的权重是固定的。循环网络的办法是：每一步用同一组权重，并随身携带一个状态。今天你要亲手推导它的梯度，
看清梯度为何会随时间消失或爆炸，用三行代码制服后者，了解前者的解法，最后只用 NumPy 训练一个逐字母写莎士比亚的模型。

学完这一天，你能够

- 推导随时间反向传播（BPTT），并说明哪些量要对时间求和、为什么；
- 从循环矩阵预测梯度会消失还是爆炸，并测量出来；
- 按范数裁剪梯度，并说明为什么不逐元素裁剪；
- 把梯度反向传过 LSTM 的一步，并说明它的记忆为什么消退得更慢；
- 训练一个字符级语言模型并从中采样，与二元组（bigram）计数作比较。

**先读论文**（约 40 分钟）：Pascanu、Mikolov 与 Bengio，*On the difficulty of training recurrent neural networks*，
[arXiv 1211.5063](https://arxiv.org/abs/1211.5063)，第 1、2 节；做下面第 4 部分之前读第 3.2 节。其余内容约需四到五小时。
"""

# %% setup
import os

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, Int

from ladder.data import load
from ladder.earlier.day03_tensor_autograd import Tensor
from ladder.notebook import language
from ladder.readers import read_text
from ladder.training import Training

# %% [markdown] lang="en"
r"""
## 1 · The same layer at every step

A batch of $B$ sequences with $T$ steps and $D$ features is an array of shape $(B, T, D)$: time is axis 1. As since Day 4, examples are rows.
From $h_0$ on,

$$z_t = x_t W_{xh} + h_{t-1}W_{hh} + b,\qquad h_t = \tanh(z_t),\qquad t = 1,\dots,T$$

with $W_{xh}\in\mathbb{R}^{D\times H}$, $W_{hh}\in\mathbb{R}^{H\times H}$, $b\in\mathbb{R}^{H}$. Written out, this is a feed-forward network of depth $T$ with two peculiarities:
**every layer has the same weights**, and every layer gets an input of its own (Figure 2 of the paper: the network unrolled). The batch can be computed at once; the steps cannot, since
$h_t$ needs $h_{t-1}$. That one loop over $t$ is what the Transformer of Day 11 does away with.

The shape of the arrays differs from Python's indices by one: $h_1$ is `h[:, 0]`.
"""

# %% [markdown] lang="zh"
r"""
## 1 · 每一步都是同一层

$B$ 个序列、$T$ 步、$D$ 个特征的一批数据是形状为 $(B, T, D)$ 的数组：时间是第 1 维。与第 4 天以来一样，样本是行。
从 $h_0$ 出发，

$$z_t = x_t W_{xh} + h_{t-1}W_{hh} + b,\qquad h_t = \tanh(z_t),\qquad t = 1,\dots,T$$

其中 $W_{xh}\in\mathbb{R}^{D\times H}$，$W_{hh}\in\mathbb{R}^{H\times H}$，$b\in\mathbb{R}^{H}$。展开来看，它就是一个深度为 $T$ 的前馈网络，只有两点特别：
**每一层的权重相同**，而且每一层都有自己的输入（论文图 2：展开后的网络）。一批序列可以同时计算，各个时间步却不能，因为
$h_t$ 需要 $h_{t-1}$。这个对 $t$ 的循环，正是第 11 天的 Transformer 所去掉的。

数组下标与公式的下标差一：$h_1$ 是 `h[:, 0]`。
"""

# %% exercise="rnn_forward"
from ladder.solutions.stage1_foundation.day09_rnn_and_bptt import rnn_forward

# %% [markdown] lang="zh" docstring="rnn_forward"
r"""
单层 RNN 的全部隐藏状态，从左到右。

对 B 个序列中的每一个，h_0 是 ``h0`` 中对应的行，t = 1, …, T：

    h_t = tanh(x_t Wxh + h_{t−1} Whh + b)        （行向量）

其中 x_t 是 ``x[:, t - 1]``。返回 ``(h, cache)``：``h[:, t - 1]`` 是 h_t，
``cache`` 是元组 ``(x, h0, h, Wxh, Whh)``，即反向时所需的内容。T ≥ 1。
参数保持不变。
"""

# %% [markdown] hint="rnn_forward" lang="en"
r"""
Keep one array of shape (B, H), the state now. What does one step do with it, and with x[:, t]?
"""

# %% [markdown] hint="rnn_forward" lang="zh"
r"""
保留一个形状为 (B, H) 的数组，即当前状态。一步之中它与 x[:, t] 发生什么运算？
"""

# %% [markdown] hint="rnn_forward" lang="en"
r"""
Examples are rows, so both weights stand on the right of what they multiply, without a transpose. Start the state as h0, store each new state in h[:, t], and
put the whole h into the cache, in the order that the docstring gives.
"""

# %% [markdown] hint="rnn_forward" lang="zh"
r"""
样本是行，所以两个权重矩阵都在右侧，不转置。状态从 h0 开始，每个新状态存入 h[:, t]；cache 中放的是整个 h，次序按 docstring。
"""

# %%
from ladder.graders.stage1_foundation.day09_rnn_and_bptt import check_rnn_forward

check_rnn_forward(rnn_forward)

# %% [markdown] lang="en"
r"""
## 2 · Backpropagation through time

Let $L$ be a loss that looks at all the states. Each $h_t$ reaches it along two paths: directly (a prediction made at step $t$), and through $h_{t+1}$. The total
derivative of Day 1 adds them. Write $g_t$ for the direct part, which the layer above hands you as `dh`, and $\bar h_t$ for the total gradient $\partial L/\partial h_t$. Then

$$\bar h_t = g_t + \bar z_{t+1}W_{hh}^\top,\qquad \bar z_t = \bar h_t\odot(1-h_t\odot h_t),\qquad \bar z_{T+1} = 0$$

This runs from right to left. The first equation is the VJP of a linear layer, the second that of $\tanh$, whose slope is $1-\tanh^2$ and so can be read off its output.

The weights were used $T$ times. Pretend for a moment that each step had a copy of its own, $W_{hh}^{(t)}$; its gradient is the usual one of a linear layer. Since all
copies are one matrix, the gradients of the copies are **added** (equation 4 of the paper):

$$\frac{\partial L}{\partial W_{hh}} = \sum_{t=1}^{T} h_{t-1}^\top\,\bar z_t$$

Do the same for $W_{xh}$, $b$, $x_t$ and $h_0$ on paper before you write the code.
"""

# %% [markdown] lang="zh"
r"""
## 2 · 随时间反向传播

设损失 $L$ 依赖所有状态。每个 $h_t$ 经由两条路径影响它：直接的（第 $t$ 步作出的预测），以及经过 $h_{t+1}$ 的。按第 1 天的全导数，两者相加。
记 $g_t$ 为直接的部分，由上面一层以 `dh` 交给你；记 $\bar h_t$ 为总梯度 $\partial L/\partial h_t$。于是

$$\bar h_t = g_t + \bar z_{t+1}W_{hh}^\top,\qquad \bar z_t = \bar h_t\odot(1-h_t\odot h_t),\qquad \bar z_{T+1} = 0$$

计算从右向左进行。第一个等式是线性层的 VJP，第二个是 $\tanh$ 的 VJP，其斜率为 $1-\tanh^2$，可以直接从输出读出。

权重被用了 $T$ 次。暂且假设每一步都有自己的一份副本 $W_{hh}^{(t)}$，它的梯度就是线性层的通常结果。由于所有副本其实是同一个矩阵，
各副本的梯度要**相加**（论文式 4）：

$$\frac{\partial L}{\partial W_{hh}} = \sum_{t=1}^{T} h_{t-1}^\top\,\bar z_t$$

写代码之前，先在纸上对 $W_{xh}$、$b$、$x_t$ 和 $h_0$ 作同样的推导。
"""

# %% exercise="rnn_bptt"
from ladder.solutions.stage1_foundation.day09_rnn_and_bptt import rnn_bptt

# %% [markdown] lang="zh" docstring="rnn_bptt"
r"""
``rnn_forward`` 的随时间反向传播。

``cache`` 是 ``rnn_forward`` 返回的元组 ``(x, h0, h, Wxh, Whh)``。每个 h_t 通过两条
途径影响损失 L：自己的输出，以及 h_{t+1}。``dh[:, t - 1]`` 只含第一部分，即
固定 h_{t+1} 时的 ∂L/∂h_t；第二部分由你来算。返回总梯度

    (dx, dh0, dWxh, dWhh, db) = ∂L/∂(x, h0, Wxh, Whh, b)

每个都与所属的量同形。对样本和时间步求和，这里不取平均。
``dh`` 与 ``cache`` 中的数组保持不变。
"""

# %% [markdown] hint="rnn_bptt" lang="en"
r"""
Loop over t from the last step to the first, and carry one array of shape (B, H): what step t + 1 sends to h_t. It is zero at first. Do T = 1 on paper, then T = 2.
"""

# %% [markdown] hint="rnn_bptt" lang="zh"
r"""
让 t 从最后一步走到第一步，随身携带一个形状为 (B, H) 的数组：第 t + 1 步传给 h_t 的梯度，起初为零。先在纸上做 T = 1，再做 T = 2。
"""

# %% [markdown] hint="rnn_bptt" lang="en"
r"""
Within a step: total gradient of h_t, then times the slope of tanh gives that of z_t, then the linear layer gives a share to x_t, to h_{t−1}, and one to be added to
each of dWxh, dWhh, db. Which h stood beside Whh at step t? For the first step it was h0. What is carried after the last turn of the loop is dh0.
"""

# %% [markdown] hint="rnn_bptt" lang="zh"
r"""
每一步之内：先得到 h_t 的总梯度，乘以 tanh 的斜率得到 z_t 的梯度，再由线性层分给 x_t、h_{t−1}，并向 dWxh、dWhh、db 各累加一份。
第 t 步与 Whh 相邻的是哪个 h？第一步时是 h0。循环走完之后，手里携带的就是 dh0。
"""

# %%
from ladder.graders.stage1_foundation.day09_rnn_and_bptt import check_rnn_bptt

check_rnn_bptt(rnn_bptt)

# %% [markdown] lang="en"
r"""
Your engine of Day 3 knows nothing of time. Unroll the loop in its Tensors, and it should find the same gradients: BPTT is ordinary backpropagation on a graph in which leaves are used many times.
"""

# %% [markdown] lang="zh"
r"""
第 3 天的引擎对时间一无所知。用它的 Tensor 把循环展开，应当得到同样的梯度：BPTT 就是普通的反向传播，只不过图中的叶子被用了多次。
"""

# %%
rng = np.random.default_rng(9)
B, T, D, H = 4, 12, 3, 6
x, h0, dh = rng.normal(size=(B, T, D)), rng.normal(size=(B, H)), rng.normal(size=(B, T, H))
weights = [rng.normal(size=s) * 0.5 for s in ((D, H), (H, H), (H,))]
leaves = [Tensor(a) for a in (x, h0, *weights)]
x_, state, Wxh_, Whh_, b_ = leaves
loss = Tensor(0.0)
for t in range(T):
    state = (x_[:, t] @ Wxh_ + state @ Whh_ + b_).tanh()
    loss = loss + (state * dh[:, t]).sum()
loss.backward()
by_hand = rnn_bptt(dh, rnn_forward(x, h0, *weights)[1])
for name, leaf, grad in zip(("dx", "dh0", "dWxh", "dWhh", "db"), leaves, by_hand, strict=True):
    print(f"{name:5} by hand and by the engine differ by {np.abs(leaf.grad - grad).max():.0e}")

# %% [markdown] lang="en"
r"""
## 3 · Gradients over time

Follow one gradient back. If only $h_T$ counts, the equations above chain into a product of $k$ factors, one a step (equation 5 of the paper; here for rows):

$$\frac{\partial L}{\partial h_{T-k}} = g\;D_T W_{hh}^\top\;D_{T-1}W_{hh}^\top\cdots D_{T-k+1}W_{hh}^\top,\qquad D_t = \operatorname{diag}(1-h_t\odot h_t)$$

To know its length, build no matrix: carry the vector.
"""

# %% [markdown] lang="zh"
r"""
## 3 · 梯度随时间的变化

跟着一个梯度往回走。若只有 $h_T$ 影响损失，上面的等式就连成 $k$ 个因子的乘积，每步一个（论文式 5；这里写成行向量的形式）：

$$\frac{\partial L}{\partial h_{T-k}} = g\;D_T W_{hh}^\top\;D_{T-1}W_{hh}^\top\cdots D_{T-k+1}W_{hh}^\top,\qquad D_t = \operatorname{diag}(1-h_t\odot h_t)$$

要知道它的长度，不必构造矩阵，只需带着向量往回走。
"""

# %% exercise="grad_norm_vs_time"
from ladder.solutions.stage1_foundation.day09_rnn_and_bptt import grad_norm_vs_time

# %% [markdown] lang="zh" docstring="grad_norm_vs_time"
r"""
最后一步的梯度，往回 k 步之后还剩多少。

考虑 ``rnn_forward`` 的 RNN 的一个序列，损失 L 只依赖 h_T。``g`` 是 ∂L/∂h_T；
默认为长度为 1、H 个元素相等且为正的向量。返回形状为 (T + 1,) 的 ``norms``：
``norms[k]`` 是 ∂L/∂h_{T−k} 的欧几里得长度，因此 ``norms[0]`` 是 ``g`` 的长度，
``norms[T]`` 是 ∂L/∂h_0 的长度。

``h[t - 1]`` 是前向中的隐藏状态 h_t，tanh 在那里求导。不给 ``h`` 时 RNN 是线性的：
tanh 换成恒等函数。时间与内存的增长都不超过 T H²。
"""

# %% [markdown] hint="grad_norm_vs_time" lang="en"
r"""
It is the loop of rnn_bptt for one sequence, with a gradient that enters at the last step only and nothing but its length kept.
"""

# %% [markdown] hint="grad_norm_vs_time" lang="zh"
r"""
这就是 rnn_bptt 的循环：只有一个序列，梯度只从最后一步进入，并且只记录长度。
"""

# %% [markdown] hint="grad_norm_vs_time" lang="en"
r"""
Record the length of g before the first step. Then T times: multiply by the slope at h_t, starting with h[T − 1], multiply by Whh transposed from the right, record.
Without h all slopes are 1.
"""

# %% [markdown] hint="grad_norm_vs_time" lang="zh"
r"""
往回走之前先记下 g 的长度。然后做 T 次：乘以 h_t 处的斜率（从 h[T − 1] 开始），右乘 Whh 的转置，记录长度。不给 h 时斜率都是 1。
"""

# %%
from ladder.graders.stage1_foundation.day09_rnn_and_bptt import check_grad_norm_vs_time

check_grad_norm_vs_time(grad_norm_vs_time)

# %% [markdown] lang="en"
r"""
One random matrix of 64 units, scaled so that its largest eigenvalue has magnitude $\rho$. On the left the linear network; on the right with $\tanh$, its states computed by your forward pass from random inputs.
"""

# %% [markdown] lang="zh"
r"""
一个 64 个单元的随机矩阵，缩放到最大特征值的模为 $\rho$。左图是线性网络；右图带有 $\tanh$，状态由你的前向函数在随机输入上算出。
"""

# %%
rng = np.random.default_rng(2)
H, T = 64, 60
random = rng.normal(size=(H, H)) / np.sqrt(H)
random /= np.abs(np.linalg.eigvals(random)).max()
inputs = rng.normal(size=(1, T, H)) * 0.3
fig, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for rho in (0.5, 0.9, 1.0, 1.1, 1.5):
    states, _ = rnn_forward(inputs, np.zeros((1, H)), np.eye(H), rho * random, np.zeros(H))
    axes[0].semilogy(grad_norm_vs_time(rho * random, T), label=rf"$\rho = {rho}$")
    axes[1].semilogy(grad_norm_vs_time(rho * random, T, None, states[0]))
axes[0].set(title="linear", xlabel="steps back $k$", ylabel=r"length of $\partial L/\partial h_{T-k}$", ylim=(1e-12, 1e12))
axes[1].set(title="with tanh", xlabel="steps back $k$")
axes[0].legend()
plt.show()

# %% [markdown] lang="en"
r"""
On a logarithmic axis the linear lines become straight: the length goes like $\rho^k$. At $\rho = 0.5$ what happened 20 steps ago weighs a millionth. $\tanh$ has slopes of at most 1, so it
only ever shrinks each factor: with the same matrices gradients vanish sooner, and not even $\rho = 1.5$ explodes here. It can, though: exploding needs states near zero, where the slope is 1.

**Written answer: why gradients vanish or explode in time** (6 points). Points:

- 1 for the product of Jacobians from $h_T$ back to $h_{T-k}$, with every factor explained;
- 2 for a bound: with $\sigma_1$ the largest singular value of $W_{hh}$ and slopes of at most $\gamma$, show that $\sigma_1\gamma<1$ makes the gradient vanish at least exponentially;
- 1 for saying why $\sigma_1\gamma>1$ is necessary for exploding but not sufficient, with an example of what may prevent it;
- 1 for the consequence for learning: the gradient of $W_{hh}$ is a sum over steps. Which part of it goes missing, and why does the network still learn something?
- 1 for why clipping helps with one of the two and not with the other.
"""

# %% [markdown] lang="zh"
r"""
在对数坐标上，线性网络的曲线变成直线：长度按 $\rho^k$ 变化。$\rho = 0.5$ 时，20 步之前的事情只剩百万分之一的分量。$\tanh$ 的斜率至多为 1，
只会让每个因子更小：同样的矩阵消失得更早，这里连 $\rho = 1.5$ 也不爆炸。但它仍可能爆炸：条件是状态接近零，那里斜率为 1。

**书面题：梯度为何随时间消失或爆炸**（6 分）。评分：

- 1 分：写出从 $h_T$ 回到 $h_{T-k}$ 的 Jacobian 乘积，解释每个因子；
- 2 分：给出一个界：设 $\sigma_1$ 为 $W_{hh}$ 的最大奇异值，斜率至多为 $\gamma$，证明 $\sigma_1\gamma<1$ 时梯度至少以指数速度消失；
- 1 分：说明为什么 $\sigma_1\gamma>1$ 是爆炸的必要条件而非充分条件，并举例说明什么会阻止爆炸；
- 1 分：对学习的后果：$W_{hh}$ 的梯度是对各步的求和。其中哪一部分丢失了，为什么网络仍能学到东西？
- 1 分：说明为什么裁剪只对两者之一有用。
"""

# %% [markdown] written="written_vanishing" lang="en"
r"""
*Your explanation of vanishing and exploding gradients. Replace this text.*
"""

# %% [markdown] written="written_vanishing" lang="zh"
r"""
*在此写下你对梯度消失与爆炸的解释（替换这段文字）。*
"""

# %% [markdown] model="written_vanishing" lang="en"
r"""
One step, $h_t = \tanh(x_tW_{xh}+h_{t-1}W_{hh}+b)$, sends a row gradient back as $\bar h_{t-1} = \bar h_t D_tW_{hh}^\top$, where $D_t=\operatorname{diag}(1-h_t\odot h_t)$ holds the slopes of tanh. With
$g=\partial L/\partial h_T$ and nothing else entering, $k$ steps give

$$\frac{\partial L}{\partial h_{T-k}} = g\,D_TW_{hh}^\top\cdots D_{T-k+1}W_{hh}^\top$$

*Bound.* $\lVert vD_t\rVert\le\gamma\lVert v\rVert$, since a diagonal matrix stretches at most by its largest entry, and $\lVert vW_{hh}^\top\rVert\le\sigma_1\lVert v\rVert$ by the definition of the largest singular value. So

$$\left\lVert\frac{\partial L}{\partial h_{T-k}}\right\rVert\le(\sigma_1\gamma)^k\,\lVert g\rVert$$

which tends to zero exponentially if $\sigma_1\gamma<1$ (for tanh $\gamma=1$, for the logistic sigmoid $\gamma=1/4$).

*Exploding.* If $\sigma_1\gamma\le1$ the bound forbids growth, so $\sigma_1\gamma>1$ is necessary. It is not sufficient: an upper bound promises nothing. Saturated units have slopes near 0;
the gradient may have no part in the direction that is stretched; and one step's stretched direction may be one that the next step shrinks (in a linear network the eigenvalues decide in the long run, and all may be below 1 although $\sigma_1>1$).

*Learning.* $\partial L/\partial W_{hh}=\sum_t h_{t-1}^\top\bar z_t$. Terms of distant steps are exponentially smaller than those of recent steps, so the sum looks fine but says almost only what helps over short distances. The network learns
these, bigrams and short words, and hardly ever that something far back mattered.

*Clipping* shortens a gradient whose direction is usable but whose length is not; so it treats explosion. A vanished contribution is not restored by any common factor: scaling the sum up scales the recent terms with it. That takes another architecture.
"""

# %% [markdown] model="written_vanishing" lang="zh"
r"""
一步 $h_t = \tanh(x_tW_{xh}+h_{t-1}W_{hh}+b)$ 把行向量梯度传回为 $\bar h_{t-1} = \bar h_t D_tW_{hh}^\top$，其中 $D_t=\operatorname{diag}(1-h_t\odot h_t)$ 是 tanh 的斜率。
记 $g=\partial L/\partial h_T$，且没有别的梯度进入，则 $k$ 步之后

$$\frac{\partial L}{\partial h_{T-k}} = g\,D_TW_{hh}^\top\cdots D_{T-k+1}W_{hh}^\top$$

*界。* 对角矩阵的拉伸不超过其最大元素，所以 $\lVert vD_t\rVert\le\gamma\lVert v\rVert$；按最大奇异值的定义，$\lVert vW_{hh}^\top\rVert\le\sigma_1\lVert v\rVert$。于是

$$\left\lVert\frac{\partial L}{\partial h_{T-k}}\right\rVert\le(\sigma_1\gamma)^k\,\lVert g\rVert$$

若 $\sigma_1\gamma<1$，它以指数速度趋于零（tanh 的 $\gamma=1$，logistic sigmoid 的 $\gamma=1/4$）。

*爆炸。* 若 $\sigma_1\gamma\le1$，上界不允许增长，所以 $\sigma_1\gamma>1$ 是必要的。但它不充分：上界并不保证什么。饱和单元的斜率接近 0；
梯度在被拉伸的方向上可能没有分量；这一步被拉伸的方向，下一步可能恰被压缩（线性网络的长期行为由特征值决定，即使 $\sigma_1>1$，特征值的模也可能全小于 1）。

*学习。* $\partial L/\partial W_{hh}=\sum_t h_{t-1}^\top\bar z_t$。相距很远的步，其项比近处的小指数倍，所以这个和看上去正常，说的却几乎只是近距离上有益的事。
网络学会这些，如二元组和短的单词，却很难知道很久以前的某件事是重要的。

*裁剪* 缩短的是方向可用、长度不可用的梯度，因此能对付爆炸。已经消失的贡献不能靠公共的倍数找回：把和放大，近处的项也一同放大。这需要另一种结构。
"""

# %% [markdown] lang="en"
r"""
## 4 · A cliff, and how not to fall off it

Now one unit, $h_t = \tanh(w h_{t-1} + b)$ with $w = 2.5$ and $h_0 = 0.5$, and the loss $(h_{10} - 0.7)^2$ as a function of $b$ alone (compare section 2.3 of the paper). For large $b$ all states settle near
1, for small $b$ near $-1$. Somewhere in between the answer flips. We hand `rnn_forward` 4,001 values of $b$ as inputs of 4,001 sequences, and `rnn_bptt` gives all the slopes.
"""

# %% [markdown] lang="zh"
r"""
## 4 · 悬崖，以及怎样不掉下去

现在只有一个单元 $h_t = \tanh(w h_{t-1} + b)$，$w = 2.5$，$h_0 = 0.5$，损失 $(h_{10} - 0.7)^2$ 只看作 $b$ 的函数（对照论文第 2.3 节）。$b$ 较大时，状态都停在
1 附近；$b$ 较小时停在 $-1$ 附近。中间某处，答案突然翻转。我们把 4001 个 $b$ 值作为 4001 个序列的输入交给 `rnn_forward`，再由 `rnn_bptt` 给出所有斜率。
"""

# %%
def loss_and_slope(b, w=2.5, T=10):
    drive = np.repeat(b[:, None, None], T, axis=1)
    h, cache = rnn_forward(drive, np.full((len(b), 1), 0.5), np.eye(1), np.array([[w]]), np.zeros(1))
    dh = np.zeros(h.shape)
    dh[:, -1] = 2 * (h[:, -1] - 0.7)
    return (h[:, -1, 0] - 0.7) ** 2, rnn_bptt(dh, cache)[0].sum(axis=(1, 2))


b = np.linspace(-1.2, -0.2, 4001)
height, slope = loss_and_slope(b)
edge = np.argmax(np.abs(slope))
print(f"at b = {b[edge]:.3f} the slope is {slope[edge]:.3g}; at the ends it is {slope[0]:.1g} and {slope[-1]:.1g}")
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
axes[0].plot(b, height)
axes[0].set(xlabel="$b$", ylabel="loss $(h_{10}-0.7)^2$")
axes[1].semilogy(b, np.abs(slope) + 1e-12)
axes[1].set(xlabel="$b$", ylabel="size of the slope")
plt.show()

# %% [markdown] lang="en"
r"""
Ten steps already multiply to a slope of about two thousand on an edge that is hardly wider than a pixel; each further step steepens and narrows it by another factor, and everywhere else the slope is next to nothing. At the cliff the gradient points the right way and is useless as a length: a step of learning rate 0.1 would throw $b$ off the picture. Clipping keeps the direction and limits the
length (section 3.2 and Algorithm 1). With $g$ **all** gradients of the model taken as one vector,

$$g\leftarrow g\cdot\frac{c}{\lVert g\rVert}\quad\text{if }\lVert g\rVert>c$$

One common factor for all parameters; separate factors, or cutting each entry to $[-c, c]$ (clipping *by value*), would turn the direction. PyTorch's
`clip_grad_norm_` does the same, apart from an $\varepsilon = 10^{-6}$ in the denominator, which we leave out.
"""

# %% [markdown] lang="zh"
r"""
仅仅十步，斜率就乘到两千左右，而边缘几乎不比一个像素宽；每多一步，它又陡一倍、窄一倍左右，别处的斜率则几乎为零。在悬崖处，梯度的方向是对的，长度却没有用：学习率 0.1 的一步就会把 $b$ 甩出画面。裁剪保留方向、限制长度（第 3.2 节与 Algorithm 1）。
把模型的**全部**梯度看作一个向量 $g$，

$$g\leftarrow g\cdot\frac{c}{\lVert g\rVert}\quad\text{if }\lVert g\rVert>c$$

所有参数共用一个倍数；若各用各的倍数，或者把每个元素截到 $[-c, c]$（*按值*裁剪），方向就变了。PyTorch 的
`clip_grad_norm_` 做的是同一件事，只是分母上多了 $\varepsilon = 10^{-6}$，这里略去。
"""

# %% exercise="clip_grad_norm"
from ladder.solutions.stage1_foundation.day09_rnn_and_bptt import clip_grad_norm

# %% [markdown] lang="zh" docstring="clip_grad_norm"
r"""
原地缩放各梯度，使它们的公共范数不超过 ``max_norm``。

范数是所有数组的全部元素合成一个向量的欧几里得长度。若它超过 ``max_norm``，
``grads`` 中的每个数组都原地乘以同一个倍数，使范数等于 ``max_norm``
（arXiv 1211.5063 的 Algorithm 1）；否则什么也不变。返回裁剪之前的范数，一个浮点数。
各数组为 float64，形状任意，元素有限；可以全为零。
"""

# %% [markdown] hint="clip_grad_norm" lang="en"
r"""
Two passes over the list: first the sum of all squares, then, only if needed, the scaling.
"""

# %% [markdown] hint="clip_grad_norm" lang="zh"
r"""
把列表走两遍：先求所有平方之和；需要时才走第二遍做缩放。
"""

# %% [markdown] hint="clip_grad_norm" lang="en"
r"""
In place means that the caller's arrays change: g *= s or g[...] = s * g, whereas g = s * g only gives the name g to a new array. If nothing is divided unless norm > max_norm, zero gradients need no special case.
"""

# %% [markdown] hint="clip_grad_norm" lang="zh"
r"""
原地的意思是调用者的数组发生改变：g *= s 或 g[...] = s * g；而 g = s * g 只是让名字 g 指向一个新数组。若只在 norm > max_norm 时才做除法，全零梯度就不需要特殊处理。
"""

# %%
from ladder.graders.stage1_foundation.day09_rnn_and_bptt import check_clip_grad_norm

check_clip_grad_norm(clip_grad_norm)

# %%
start, lr = b[edge], 0.1
gradient = np.array([slope[edge]])
plain = start - lr * gradient[0]
norm = clip_grad_norm([gradient], 1.0)
careful = start - lr * gradient[0]
print(f"gradient norm {norm:.3g}: from b = {start:.3f} one step leads to {plain:.3g}, with clipping to {careful:.3f}")

# %% [markdown] lang="en"
r"""
## 5 · A first look at the LSTM

Clipping does nothing for gradients that vanish. The Long Short-Term Memory (Hochreiter and Schmidhuber, 1997; forget gate by Gers, Schmidhuber and Cummins, 2000) changes the layer instead: beside $h$ it carries a memory
$c$ that is updated by **addition**, under the control of gates between 0 and 1. Day 17 builds a language model from it; today one step, backwards.

$$\begin{aligned}[a_i\;a_f\;a_g\;a_o] &= x W_x + h_{\text{prev}}W_h + b, & i, f, o &= \sigma(a_i),\sigma(a_f),\sigma(a_o), & g &= \tanh(a_g)\\
c &= f\odot c_{\text{prev}} + i\odot g, & h &= o\odot\tanh(c)\end{aligned}$$

On the way back $c$ collects from two sides, from its own $h$ and from the next step:

$$\bar c = \bar c_{\text{later}} + \bar h\odot o\odot(1-\tanh^2 c),\qquad \bar c_{\text{prev}} = \bar c\odot f$$

Along the line of $c$ there is no matrix and no tanh, only $f$. The gates and their pre-activations are for you to derive; note that $\sigma' = \sigma(1-\sigma)$. `lstm_step` is given.
"""

# %% [markdown] lang="zh"
r"""
## 5 · 初识 LSTM

裁剪对消失的梯度无能为力。长短期记忆网络（LSTM，Hochreiter 与 Schmidhuber，1997；遗忘门由 Gers、Schmidhuber 与 Cummins 于 2000 年加入）改变的是这一层本身：除了 $h$，它还携带一个记忆
$c$，以**加法**更新，由取值在 0 与 1 之间的门控制。第 17 天会用它搭建语言模型；今天只做一步的反向。

$$\begin{aligned}[a_i\;a_f\;a_g\;a_o] &= x W_x + h_{\text{prev}}W_h + b, & i, f, o &= \sigma(a_i),\sigma(a_f),\sigma(a_o), & g &= \tanh(a_g)\\
c &= f\odot c_{\text{prev}} + i\odot g, & h &= o\odot\tanh(c)\end{aligned}$$

反向时 $c$ 从两处收到梯度：来自自己的 $h$，以及来自下一步：

$$\bar c = \bar c_{\text{later}} + \bar h\odot o\odot(1-\tanh^2 c),\qquad \bar c_{\text{prev}} = \bar c\odot f$$

沿着 $c$ 这条线没有矩阵，也没有 tanh，只有 $f$。各个门及其预激活值的梯度由你推导；注意 $\sigma' = \sigma(1-\sigma)$。`lstm_step` 已经给出。
"""

# %% exercise="lstm_step_backward"
from ladder.solutions.stage1_foundation.day09_rnn_and_bptt import lstm_step, lstm_step_backward

# %% [markdown] lang="zh" docstring="lstm_step_backward"
r"""
把梯度反向传过 LSTM 的一步。

``cache`` 是 ``lstm_step`` 返回的元组
``(x, h_prev, c_prev, i, f, g, o, c, Wx, Wh)``，对应的一步是

    i, f, o = σ(a_i), σ(a_f), σ(a_o),  g = tanh(a_g),  [a_i a_f a_g a_o] = x Wx + h_prev Wh + b
    c = f ⊙ c_prev + i ⊙ g,            h = o ⊙ tanh(c)

``dh`` 是 ∂L/∂h。``dc`` 是 ∂L/∂c 中从后面各步沿 c 本身传来的部分，不含经过这一步 h 的部分。
返回 ``(dx, dh_prev, dc_prev, dWx, dWh, db)``，都是总梯度，各与所属的量同形，对样本求和。
参数保持不变。
"""

# %% [markdown] hint="lstm_step_backward" lang="en"
r"""
First complete the gradient of c. From it follow those of i, f, g and c_prev by the product rule; that of o comes from h directly.
"""

# %% [markdown] hint="lstm_step_backward" lang="zh"
r"""
先把 c 的梯度补全。由它按乘积法则得到 i、f、g 和 c_prev 的梯度；o 的梯度直接来自 h。
"""

# %% [markdown] hint="lstm_step_backward" lang="en"
r"""
Multiply each gate's gradient by its slope (three sigmoids, one tanh), set the four side by side in the order i, f, g, o, and you have the gradient of one linear layer's output,
of shape (B, 4H). The rest is linear_backward of Day 1 with examples as rows.
"""

# %% [markdown] hint="lstm_step_backward" lang="zh"
r"""
把每个门的梯度乘以各自的斜率（三个 sigmoid，一个 tanh），四个按 i、f、g、o 的次序并排，就得到一个线性层输出的梯度，形状为 (B, 4H)。
剩下的就是第 1 天的 linear_backward，只不过样本是行。
"""

# %%
from ladder.graders.stage1_foundation.day09_rnn_and_bptt import check_lstm_step_backward

check_lstm_step_backward(lstm_step_backward)

# %% [markdown] lang="en"
r"""
Does it last longer? A tanh RNN and LSTMs with small random weights read the same noise for 60 steps; a gradient of length 1 enters at the last $h$. The bias $b_f$ of the forget gate sets how open it is.
"""

# %% [markdown] lang="zh"
r"""
它真能记得更久吗？一个 tanh RNN 和几个 LSTM，权重都是较小的随机数，读入同样的噪声 60 步；长度为 1 的梯度从最后的 $h$ 进入。遗忘门的偏置 $b_f$ 决定它开得多大。
"""

# %%
rng = np.random.default_rng(5)
H, T = 32, 60
inputs = rng.normal(size=(1, T, H))
Wx, Wh = rng.normal(size=(2, H, 4 * H)) * 0.5 / np.sqrt(H)
fig, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
states, _ = rnn_forward(inputs, np.zeros((1, H)), Wx[:, :H], Wh[:, :H], np.zeros(H))
ax.semilogy(grad_norm_vs_time(Wh[:, :H], T, None, states[0]), "k", label="tanh RNN")
for b_f in (0, 2, 4):
    bias = np.zeros(4 * H)
    bias[H : 2 * H] = b_f
    h_now, c_now, caches = np.zeros((1, H)), np.zeros((1, H)), []
    for t in range(T):
        h_now, c_now, cache = lstm_step(inputs[:, t], h_now, c_now, Wx, Wh, bias)
        caches.append(cache)
    dh, dc = np.full((1, H), H**-0.5), np.zeros((1, H))
    lengths = [1.0]
    for cache in reversed(caches):
        _, dh, dc, *_ = lstm_step_backward(dh, dc, cache)
        lengths.append(np.hypot(np.linalg.norm(dh), np.linalg.norm(dc)))
    ax.semilogy(lengths, label=f"LSTM, $b_f = {b_f}$: f near {1 / (1 + np.exp(-b_f)):.2f}")
ax.set(xlabel="steps back $k$", ylabel="length of the gradient of $(h, c)$", ylim=(1e-25, 10))
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
An open forget gate turns the exponential decay into a gentle one, and the gate is learned. With $b_f = 0$ half the gradient is lost at each step all the same: that is why forget biases are often initialised above zero.
(The same idea, a path along which things are only added, returns as the residual connection on Day 12.)

## 6 · A model of characters

Back to the plain RNN, and to text. Every character is a number in $\{0,\dots,V-1\}$ and enters as a one-hot row. After each character the model gives a distribution over the next one:

$$p_t = \operatorname{softmax}(h_tW_{hy} + b_y),\qquad L = -\frac{1}{BT}\sum_{i,t}\log p_{i,t}[\text{target}_{i,t}]$$

Cross-entropy hands back $(P - Y)/(BT)$, as on Day 1, then a linear layer, then your BPTT. The loss is in nats; $e^L$ is the *perplexity*, the number of equally likely characters that would be as hard to guess.
"""

# %% [markdown] lang="zh"
r"""
敞开的遗忘门把急速的指数衰减变得平缓，而门是学出来的。若 $b_f = 0$，每一步仍会丢掉一半梯度：所以遗忘门的偏置常初始化为正数。
（同样的想法，即一条只做加法的通路，会在第 12 天以残差连接的形式再次出现。）

## 6 · 字符模型

回到普通的 RNN，并转向文本。每个字符是 $\{0,\dots,V-1\}$ 中的一个数，以独热行向量的形式输入。每读一个字符，模型给出下一个字符的分布：

$$p_t = \operatorname{softmax}(h_tW_{hy} + b_y),\qquad L = -\frac{1}{BT}\sum_{i,t}\log p_{i,t}[\text{target}_{i,t}]$$

与第 1 天一样，交叉熵传回 $(P - Y)/(BT)$，然后经过一个线性层，再经过你的 BPTT。损失以奈特（nat）为单位；$e^L$ 称为*困惑度*，即同样难猜的等概率字符个数。
"""

# %% exercise="char_rnn_loss"
from ladder.solutions.stage1_foundation.day09_rnn_and_bptt import CharRNN

# %% [markdown] lang="zh" docstring="CharRNN"
r"""
字符级语言模型：独热字符、一个 RNN 层、一个线性输出层。

``params`` 把名称映射到 float64 数组：循环部分的 ``Wxh`` (V, H)、``Whh`` (H, H) 和 ``b`` (H,)，
输出部分的 ``Why`` (H, V) 和 ``by`` (V,)。x_t 之后那个字符的 logit 是 h_t Why + by。
"""

# %% [markdown] lang="zh" docstring="CharRNN.loss_and_grads"
r"""
由 ``ids`` 预测 ``targets`` 的损失及其梯度。

``ids[i, t]`` 是 {0, …, V−1} 中的一个字符，以长度为 V 的独热向量输入 RNN；
``targets[i, t]`` 是要由读完它之后的隐藏状态来预测的字符。``h0`` 是第一列之前的
隐藏状态。损失是以奈特为单位的交叉熵，对全部 B·T 次预测取平均。

返回 ``(loss, grads, h_T)``：一个数；一个字典，键与 ``params`` 相同，数组形状也相同；
最后一列之后的隐藏状态，形状 (B, H)。梯度不从 ``h0`` 流出：之前的内容视为常数。
对所有有限的 logit 结果都有限。``params`` 与参数保持不变。
"""

# %% [markdown] hint="char_rnn_loss" lang="en"
r"""
np.eye(V)[ids] has shape (B, T, V): your rnn_forward takes it as it is. From h on, treat the B·T predictions like one large batch.
"""

# %% [markdown] hint="char_rnn_loss" lang="zh"
r"""
np.eye(V)[ids] 的形状是 (B, T, V)，可以直接交给你的 rnn_forward。从 h 往后，把 B·T 次预测当成一个大批次。
"""

# %% [markdown] hint="char_rnn_loss" lang="en"
r"""
log softmax stays finite if the row's maximum is subtracted from the logits first. Backwards: dlogits = (P − Y)/(B·T); Why and by as in a linear layer, summed over both B and T; the gradient of h is what rnn_bptt wants as dh.
"""

# %% [markdown] hint="char_rnn_loss" lang="zh"
r"""
先从每行 logit 中减去最大值，log softmax 就总是有限。反向：dlogits = (P − Y)/(B·T)；Why 和 by 如同线性层，对 B 与 T 都求和；h 的梯度正是 rnn_bptt 所要的 dh。
"""

# %%
from ladder.graders.stage1_foundation.day09_rnn_and_bptt import check_char_rnn_loss

check_char_rnn_loss(CharRNN)

# %% [markdown] lang="en"
r"""
To write, the model reads its own output. The *temperature* $\tau$ divides the logits: $\tau\to0$ always takes the likeliest character, $\tau = 1$ is the model's own distribution, larger is wilder. We fix how a random number $u$ becomes a character (the inverse of
the cumulative distribution), so that an equal seed gives an equal text.
"""

# %% [markdown] lang="zh"
r"""
写作时，模型读自己的输出。*温度* $\tau$ 除以 logit：$\tau\to0$ 总取最可能的字符，$\tau = 1$ 是模型自己的分布，更大则更狂放。我们规定随机数 $u$ 如何变成字符（累积分布的反函数），
这样同样的种子得到同样的文本。
"""

# %% exercise="char_rnn_sample"
from ladder.solutions.stage1_foundation.day09_rnn_and_bptt import (
    CharRNN,
    bigram_loss,
    evaluate,
    train_char_rnn,
)

# %% [markdown] lang="zh" docstring="CharRNN.sample"
r"""
先读 ``prompt``，再一个接一个地写出 ``n`` 个字符。

隐藏状态从零开始，读完提示中的全部 P ≥ 1 个字符。下一个字符从
p = softmax(logits / temperature) 中抽取，随后读入，如此继续。抽取是指：调用一次
``rng.random()`` 得到 u，取满足 p_0 + … + p_k > u 的最小的 k。``temperature`` 为 0 时
改取最大的 logit，不调用 ``rng``。返回这 ``n`` 个新字符，整数数组，不含提示。
"""

# %% [markdown] hint="char_rnn_sample" lang="en"
r"""
First a loop that only reads the prompt; then a loop of n turns: logits, choose, keep, read what was chosen. A one-hot row times Wxh is a row of Wxh.
"""

# %% [markdown] hint="char_rnn_sample" lang="zh"
r"""
先用一个循环只读提示；再循环 n 次：算 logit，选字符，记下，读入所选的字符。独热行乘以 Wxh 就是 Wxh 的一行。
"""

# %% [markdown] hint="char_rnn_sample" lang="en"
r"""
np.cumsum(p) and np.searchsorted find k; look up what side="right" means for a running sum equal to u. Handle temperature 0 before anything is divided by it, and subtract the maximum before np.exp.
"""

# %% [markdown] hint="char_rnn_sample" lang="zh"
r"""
np.cumsum(p) 与 np.searchsorted 可以找到 k；查一查累积和恰等于 u 时 side="right" 的含义。先处理温度为 0 的情形再做除法，np.exp 之前减去最大值。
"""

# %%
from ladder.graders.stage1_foundation.day09_rnn_and_bptt import check_char_rnn_sample

check_char_rnn_sample(CharRNN)

# %% [markdown] lang="en"
r"""
## 7 · Train it

Tiny Shakespeare has a million characters; BPTT over all of them in one piece is out of the question. **Truncated BPTT** reads the text in windows of $T = 40$: the hidden states go on from window to window, the gradients stop at its left edge.
The given `train_char_rnn` reads $B = 32$ places of the text side by side, clips your gradients to norm 1, and steps with RMSprop (each parameter's step is divided by a running root mean square of its gradients).

The opponent is a table of counts: how often does each character follow each other one? It looks one character back. A model with a memory must beat that, on the last tenth of the text, which neither has seen.
"""

# %% [markdown] lang="zh"
r"""
## 7 · 训练

Tiny Shakespeare 有一百万个字符，把它们连成一段做 BPTT 是不可能的。**截断的 BPTT** 按 $T = 40$ 的窗口读文本：隐藏状态从一个窗口延续到下一个，梯度在窗口左端停止。
给出的 `train_char_rnn` 并排读文本中的 $B = 32$ 处，把你的梯度裁剪到范数 1，用 RMSprop 更新（每个参数的步子除以其梯度的滑动均方根）。

对手是一张计数表：每个字符后面跟着各个字符的次数是多少？它只往回看一个字符。有记忆的模型必须在双方都没见过的最后十分之一文本上胜过它。
"""

# %%
data = load("tinyshakespeare")
print(data.notice(language()))
text = read_text(data["text"])
characters = sorted(set(text))
number = {c: k for k, c in enumerate(characters)}
ids = np.array([number[c] for c in text])
cut = len(ids) * 9 // 10
train, validation = ids[:cut], ids[cut:]
V = len(characters)
print(f"{len(ids):,} characters, {V} different ones; log V = {np.log(V):.2f}")
print(f"bigram counts: {bigram_loss(train, validation, V):.3f} nats per character")

# %% [markdown] lang="en"
r"""
**Target**: below the bigram counts (2.482 on the full text). The reference reached 1.904 after 2400 steps: 61 seconds with one BLAS thread of a 2-core machine, many times that when the machine was busy with other work. Stop it earlier if you like (interrupt the kernel); 300 steps suffice to win.
"""

# %% [markdown] lang="zh"
r"""
**目标**：低于二元组计数（完整文本上为 2.482）。参考实现经 2400 步达到 1.904：在双核机器上用一个 BLAS 线程耗时 61 秒，机器忙于其他工作时则是它的许多倍。也可以提前停下（中断内核）；300 步就足以取胜。
"""

# %%
quick = os.environ.get("LADDER_QUICK") == "1"
model = CharRNN(V, 128, np.random.default_rng(0))
history = train_char_rnn(model, train, steps=60 if quick else 2400)
loss = evaluate(model, validation[:8000] if quick else validation)
print(f"validation: {loss:.3f} nats per character, perplexity {np.exp(loss):.1f}")

fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
axes[0].plot(history["loss"], lw=0.6)
axes[0].axhline(bigram_loss(train, validation, V), color="k", ls=":", label="bigram counts")
axes[0].axhline(loss, color="C1", label="validation at the end")
axes[0].set(xlabel="step", ylabel="loss [nats per character]")
axes[0].legend()
axes[1].semilogy(history["norm"], lw=0.6)
axes[1].axhline(1.0, color="k", ls=":")
axes[1].set(xlabel="step", ylabel="gradient norm before clipping")
plt.show()

# %%
opening = "ROMEO:" if set("ROMEO:") <= set(number) else text[:6]  # a sample may lack the letters
prompt = np.array([number[c] for c in opening])
for temperature in (0, 0.7, 1.2):
    written = model.sample(prompt, 300, np.random.default_rng(1), temperature)
    print(f"--- temperature {temperature}\n{opening}" + "".join(characters[k] for k in written))

# %% [markdown] lang="en"
r"""
From the reference's run, at temperature 0.7 (the start of it; the long line broken in three):

```text
ROMEO:
Were the sons, and they, in will oun netse their ot that whe sore sould in the
repesion him I mare sount shrebch of my more in in to thee, and preis with the
thound himence no my sont
Hy soples of a mares:
God with a meat of hain thoughte come he son
Is if commadl.
```

Short words are words, longer ones are inventions that might be English, lines begin with a capital. The sense does not last three words: this is what 128 numbers of memory and a gradient of limited reach can do. See also how temperature 0 tends to repeat itself: taking the likeliest character each time does not make a likely text.
The plot on the right shows where clipping acted: only at the steps above the dotted line. Raise `max_norm` or the learning rate, and see which of the two your training forgives.

## What you have now

| function | what it is for |
| --- | --- |
| `rnn_forward`, `rnn_bptt` | a layer with a memory, and the way back through time |
| `grad_norm_vs_time` | a measurement to make before believing that a model can learn long dependencies |
| `clip_grad_norm` | in the training loop of every language model, Day 14's included |
| `lstm_step_backward` | the heart of Day 17's LSTM |
| `CharRNN` | a baseline for Day 14: the same text, the same loss in nats |

Tomorrow: instead of squeezing the past into one vector, keep all of it and look things up.
"""

# %% [markdown] lang="zh"
r"""
参考实现的一次运行，温度 0.7（开头部分；过长的一行折成了三行）：

```text
ROMEO:
Were the sons, and they, in will oun netse their ot that whe sore sould in the
repesion him I mare sount shrebch of my more in in to thee, and preis with the
thound himence no my sont
Hy soples of a mares:
God with a meat of hain thoughte come he son
Is if commadl.
```

短词是真的单词，长词是像英语的杜撰，行首用大写；意思却撑不过三个词：128 个数的记忆，加上传不远的梯度，大致就能做到这样。再看温度为 0 时文本如何容易重复：每次都取最可能的字符，并不构成可能的文本。
右图显示裁剪在哪里起了作用：只在虚线以上的那些步。调大 `max_norm` 或学习率，看看你的训练能容忍哪一个。

## 你现在拥有的工具

| 函数 | 用途 |
| --- | --- |
| `rnn_forward`、`rnn_bptt` | 带记忆的一层，以及沿时间往回的路 |
| `grad_norm_vs_time` | 在相信模型能学会长距离依赖之前，先做的一次测量 |
| `clip_grad_norm` | 每个语言模型的训练循环里都有它，第 14 天也不例外 |
| `lstm_step_backward` | 第 17 天 LSTM 的核心 |
| `CharRNN` | 第 14 天的基线：同样的文本，同样以奈特计的损失 |

明天：不再把过去压进一个向量，而是全部留下，需要时查找。
"""

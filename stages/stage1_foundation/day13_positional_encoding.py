# %% [markdown] lang="en"
r"""
# Day 13 · Positional encoding

"The dog bites the man" and "the man bites the dog" hold the same words. To the attention that you have built they are the same: it compares every token with every other and never asks where one stands.
Today you prove that, mend it with sines and cosines, and find out what these sines and cosines are good for.

At the end of the day you can

- say exactly what attention ignores (permutation equivariance), and test any layer for it;
- write the sinusoidal encoding of the Transformer, and say what each column contributes;
- prove that moving by $k$ positions is one fixed matrix, whatever the position;
- read the encoding with Fourier's eyes: pure tones, and a similarity that falls with the logarithm of the distance;
- turn queries and keys instead of adding anything: the idea of RoPE, in two dimensions.

**Read first** (20 minutes): section 3.5 of *Attention Is All You Need*, [arXiv 1706.03762](https://arxiv.org/abs/1706.03762). Its one page is today's text. Before part 6, section 3.2.1 of Jianlin Su and others,
*RoFormer: Enhanced Transformer with Rotary Position Embedding*, [arXiv 2104.09864](https://arxiv.org/abs/2104.09864). Plan two to three hours for the rest.
"""

# %% [markdown] lang="zh"
r"""
# 第 13 天 · 位置编码

“狗咬人”和“人咬狗”由同样的词组成。在你已经写好的注意力看来，两句话并无分别：它拿每个 token 与其他 token 逐一比较，却从不问谁站在哪里。
今天你要证明这一点，用正弦和余弦来弥补，并弄清这些正弦和余弦到底有什么用。

学完这一天，你能够

- 准确说出注意力忽略了什么（置换等变性），并能检验任何一层；
- 写出 Transformer 的正弦位置编码，并说清每一列的作用；
- 证明移动 $k$ 个位置就是乘以一个固定的矩阵，与所在位置无关；
- 用傅里叶的眼光来看这种编码：它是一组纯音，位置之间的相似度随距离的对数下降；
- 不再相加，而是旋转查询与键：这就是 RoPE 的思想，先在二维中做。

**先读论文**（20 分钟）：*Attention Is All You Need* 的 3.5 节，[arXiv 1706.03762](https://arxiv.org/abs/1706.03762)。只有一页，却是今天的全部正文。做第 6 部分之前，读 Jianlin Su 等人
*RoFormer: Enhanced Transformer with Rotary Position Embedding* 的 3.2.1 节，[arXiv 2104.09864](https://arxiv.org/abs/2104.09864)。其余内容约需两到三小时。
"""

# %% setup
import math
import os
from collections.abc import Callable

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ladder.earlier.day10_scaled_dot_product_attention import safe_softmax, sdpa, self_attention
from ladder.training import Training

# %% [markdown] lang="en"
r"""
## 1 · Attention knows no order

Write a sequence as a matrix $X$ whose rows are the tokens. A reordering is a permutation matrix $\Pi$: it has one 1 in every row and column, $\Pi X$ is the same rows in another order, and $\Pi^\top\Pi = I$.
A function $f$ of sequences is called **permutation-equivariant** if it does not matter whether one reorders before or after:

$$f(\Pi X) = \Pi f(X)$$

That is not the same as *invariant*, $f(\Pi X) = f(X)$. The output moves along with the tokens; what each token gets stays the same.

First the measuring device: how far is any $f$ from being equivariant? Then the proof, in four steps, for self-attention without a mask. You know $Q = XW_q$, $K = XW_k$ and $V = XW_v$ from Day 10. Replace $X$ by $\Pi X$ and follow $\Pi$ through

$$S = \frac{QK^\top}{\sqrt{d_k}},\qquad A = \operatorname{softmax}(S),\qquad Y = AV$$

On which sides does it appear? In code a permutation is an index: `x[perm]` is $\Pi X$.
"""

# %% [markdown] lang="zh"
r"""
## 1 · 注意力不知道次序

把一个序列写成矩阵 $X$，每行是一个 token。重新排序就是乘以置换矩阵 $\Pi$：它的每行每列各有一个 1，$\Pi X$ 是换了次序的同样这些行，并且 $\Pi^\top\Pi = I$。
若先重排与后重排没有区别，就称序列的函数 $f$ 是**置换等变的**（permutation-equivariant）：

$$f(\Pi X) = \Pi f(X)$$

这与*不变*（invariant），即 $f(\Pi X) = f(X)$，不是一回事。输出随着 token 一起移动；每个 token 得到的东西保持不变。

先写测量工具：任给一个 $f$，它离等变有多远？然后分四步给出证明，对象是不带掩码的自注意力。第 10 天你已经见过 $Q = XW_q$、$K = XW_k$ 与 $V = XW_v$。把 $X$ 换成 $\Pi X$，跟着 $\Pi$ 一路走下去：

$$S = \frac{QK^\top}{\sqrt{d_k}},\qquad A = \operatorname{softmax}(S),\qquad Y = AV$$

它分别出现在哪一侧？在代码里，置换就是下标：`x[perm]` 就是 $\Pi X$。
"""

# %% exercise="equivariance"
from ladder.solutions.stage1_foundation.day13_positional_encoding import (
    equivariance_steps,
    permutation_gap,
)

# %% [markdown] lang="zh" docstring="permutation_gap"
r"""
对给定的 ``x`` 与 ``perm``，``f`` 离置换等变有多远。

``perm`` 中 0、……、T − 1 各出现一次。若张量 y 的第 1 维存放 T 个 token，记 Πy 为同样的 token 换一种次序：
Πy 的位置 i 上，是 y 中原来在位置 perm[i] 的 token。``f`` 是置换等变的，意思是总有 f(Πx) = Π f(x)。

返回 f(Πx) − Π f(x) 中绝对值最大的元素的绝对值，为 Python 的 float。``x`` 不得被改动。
"""

# %% [markdown] lang="zh" docstring="equivariance_steps"
r"""
token 换了次序之后，自注意力算出什么。

对一个处于原来次序的序列，不带掩码，``scores`` 是缩放后的分数（第 t 行：位置 t 的查询；第 s 列：位置 s 的键），
``v`` 是各个值（第 s 行）。然后把序列重新排序：位置 i 上现在是原来在位置 perm[i] 的 token。
返回一个字典，是自注意力对重排后的序列算出的各个量：

    "scores"   (T, T)    它的缩放后的分数
    "weights"  (T, T)    它的注意力权重
    "values"   (T, dv)   它的值
    "output"   (T, dv)   它的输出

token 本身没有给出，也不需要。各参数不得被改动。
"""

# %% [markdown] hint="equivariance" lang="en"
r"""
For the gap: reorder x along dimension 1 on one side, and the output along dimension 1 on the other. For the steps: $(\Pi X W_q)(\Pi X W_k)^\top$ has $\Pi$ on both sides. Which side is rows, which is columns?
"""

# %% [markdown] hint="equivariance" lang="zh"
r"""
测距离：一边把 x 沿第 1 维重排，另一边把输出沿第 1 维重排。各个步骤：$(\Pi X W_q)(\Pi X W_k)^\top$ 的两侧都有 $\Pi$。哪一侧是行，哪一侧是列？
"""

# %% [markdown] hint="equivariance" lang="en"
r"""
Rows of a matrix S in another order are S[perm], columns S[:, perm]; do one after the other. Softmax treats each row by itself and does not care in which order its entries stand. Then compute the output from the weights and values that you have, and see what has become of $\Pi^\top\Pi$.
"""

# %% [markdown] hint="equivariance" lang="zh"
r"""
把矩阵 S 的行换次序是 S[perm]，换列是 S[:, perm]；一个接一个地做。softmax 对各行分别作用，行内元素的次序对它没有影响。然后用已得到的权重和值算出输出，看看 $\Pi^\top\Pi$ 变成了什么。
"""

# %%
from ladder.graders.stage1_foundation.day13_positional_encoding import check_permutation_gap

check_permutation_gap(permutation_gap)

# %%
from ladder.graders.stage1_foundation.day13_positional_encoding import check_equivariance_steps

check_equivariance_steps(equivariance_steps)

# %% [markdown] lang="en"
r"""
Apply your device to Day 10's self-attention, and to two variants: one with a causal mask, one with a vector of its own added to every position. Then look at the two sentences.
"""

# %% [markdown] lang="zh"
r"""
把你的工具用在第 10 天的自注意力上，再用在两个变体上：一个带因果掩码，一个给每个位置加上各自的向量。然后看看那两句话。
"""

# %%
generator = torch.Generator().manual_seed(0)
words = ["the", "dog", "bites", "the", "man"]
swap = torch.tensor([0, 4, 2, 3, 1])                                 # the man bites the dog
table = {word: torch.randn(16, generator=generator, dtype=torch.float64) for word in sorted(set(words))}
x = torch.stack([table[word] for word in words])[None]
weights = [torch.randn(16, 16, generator=generator, dtype=torch.float64) / 4 for _ in range(3)]
somewhere = torch.randn(5, 16, generator=generator, dtype=torch.float64)
causal = torch.ones(5, 5).tril().bool()
for name, f in {
    "self-attention": lambda u: self_attention(u, *weights),
    "self-attention, causal mask": lambda u: self_attention(u, *weights, causal),
    "self-attention, a vector added to each position": lambda u: self_attention(u + somewhere, *weights),
}.items():
    print(f"gap {permutation_gap(f, x, swap):.0e}  {name}")

fig, axes = plt.subplots(1, 3, figsize=(11.5, 3.6), layout="constrained")
Wq, Wk, Wv = weights
for ax, order in zip(axes, (torch.arange(5), swap), strict=False):
    u = x[:, order]
    A = sdpa(u @ Wq, u @ Wk, torch.eye(5, dtype=torch.float64))[0]
    names = [words[i] for i in order]
    ax.imshow(A, vmin=0, vmax=1, cmap="Blues")
    ax.set(title=" ".join(names), xlabel="key", ylabel="query", xticks=range(5), yticks=range(5))
    ax.set_xticklabels(names)
    ax.set_yticklabels(names)
    where = names.index("dog")
    axes[2].plot(self_attention(u, *weights)[0, where], "x" if order is swap else "o", mfc="none",
                 ms=8, label=f'"dog" at position {where}')
axes[2].set(title='what "dog" gets', xlabel="channel", ylabel="output")
axes[2].legend(fontsize=8)
plt.show()

# %% [markdown] lang="en"
r"""
"dog" gets the same vector whether it bites or is bitten. Nothing in a Transformer block changes that: LayerNorm, FFN and residual act on each token by itself. However many blocks you stack, equivariant after equivariant is equivariant.

The second line of the output is worth a thought. A causal mask belongs to positions, not to tokens, so it breaks the symmetry: the first token sees one key, the tenth sees ten. Language models with nothing but a mask do learn something of
position (Haviv and others, [arXiv 2203.16634](https://arxiv.org/abs/2203.16634)). The third line is the usual remedy: give each position a vector, and add it to the token that stands there. Which vectors?

## 2 · Clocks

What should the vector of position $t$ be like? The number $t$ itself grows without bounds, and drowns the token. $t/T$ means something else in a sequence of another length. The binary digits of $t$ stay small: the last one flips at every step, the one before it at every second, and so on. But they jump.

Section 3.5 takes the smooth version of binary digits: clock hands. Hand $i$ turns by the angle $\omega_i$ at each step, and is written down by its two coordinates:

$$PE_{t,2i} = \sin(\omega_i t),\qquad PE_{t,2i+1} = \cos(\omega_i t),\qquad \omega_i = 10000^{-2i/d}$$

$\omega_i$ is an angular **rate**, in radians per token. The fastest hand needs $2\pi\approx 6.3$ tokens for a turn; each next one is slower by the same factor.
"""

# %% [markdown] lang="zh"
r"""
不管“dog”是咬还是被咬，它得到的向量都一样。Transformer 块里没有什么能改变这一点：LayerNorm、FFN 与残差都对每个 token 分别作用。无论叠多少块，等变的函数接着等变的函数，仍然是等变的。

输出的第二行值得想一想。因果掩码属于位置而不属于 token，所以它打破了对称：第一个 token 只看到一个键，第十个看到十个。只有掩码、没有位置编码的语言模型确实能学到一些
位置信息（Haviv 等，[arXiv 2203.16634](https://arxiv.org/abs/2203.16634)）。第三行是通常的办法：给每个位置一个向量，加到站在那里的 token 上。用什么样的向量呢？

## 2 · 时钟

位置 $t$ 的向量应当是什么样子？数 $t$ 本身会无限增大，把 token 淹没。$t/T$ 在另一种长度的序列里又是另一个意思。$t$ 的二进制数字始终很小：最后一位每一步翻转一次，前一位每两步翻转一次，依此类推。但它们是跳变的。

3.5 节取的是二进制数字的光滑版本：时钟的指针。第 $i$ 根指针每一步转过角度 $\omega_i$，用它的两个坐标记录下来：

$$PE_{t,2i} = \sin(\omega_i t),\qquad PE_{t,2i+1} = \cos(\omega_i t),\qquad \omega_i = 10000^{-2i/d}$$

$\omega_i$ 是**角频率**（代码里叫 rate），单位是弧度每 token。最快的指针转一圈需要 $2\pi\approx 6.3$ 个 token；后面的每一根都按同一个倍数变慢。
"""

# %% exercise="sinusoidal_pe"
from ladder.solutions.stage1_foundation.day13_positional_encoding import sinusoidal_pe

# %% [markdown] lang="zh" docstring="sinusoidal_pe"
r"""
arXiv 1706.03762 3.5 节的位置编码，位置为 0 到 T − 1。

角频率为 ω_i = 10000^(−2i/d)，i = 0、……、d/2 − 1：

    PE[t, 2i] = sin(ω_i t)，      PE[t, 2i + 1] = cos(ω_i t)。

结果是 float64 或 float32 的张量（两者都可以），每个元素至少精确到 0.00001，在位置 20000 处也是如此。
``d`` 为奇数时抛出 ``ValueError``。
"""

# %% [markdown] hint="sinusoidal_pe" lang="en"
r"""
There are d/2 rates, and T · d/2 angles: an outer product of positions and rates. Compute the angles in float64: at 20000, float32 keeps only two or three digits behind the point.
"""

# %% [markdown] hint="sinusoidal_pe" lang="zh"
r"""
一共有 d/2 个角频率、T · d/2 个角度：它们是位置与角频率的外积。请用 float64 计算角度：在 20000 附近，float32 在小数点后只剩两三位。
"""

# %% [markdown] hint="sinusoidal_pe" lang="en"
r"""
torch.arange(0, d, 2) holds the numbers 2i. Write the sines to the columns 0, 2, 4, ... and the cosines to 1, 3, 5, ... of a tensor: result[:, 0::2] = ... Or stack both in a new last dimension and reshape.
"""

# %% [markdown] hint="sinusoidal_pe" lang="zh"
r"""
torch.arange(0, d, 2) 就是各个 2i。把正弦写入张量的第 0、2、4……列，余弦写入第 1、3、5……列：result[:, 0::2] = ……。也可以把二者堆叠在新的最后一维，再 reshape。
"""

# %%
from ladder.graders.stage1_foundation.day13_positional_encoding import check_sinusoidal_pe

check_sinusoidal_pe(sinusoidal_pe)

# %%
PE = sinusoidal_pe(128, 64)
fig, (left, right) = plt.subplots(1, 2, figsize=(11.5, 3.8), layout="constrained")
shown = left.imshow(PE, aspect="auto", cmap="RdBu", vmin=-1, vmax=1)
left.set(xlabel="column", ylabel="position", title="PE for d = 64")
fig.colorbar(shown, ax=left)
for i in (0, 4, 8, 12, 20):
    turn = 2 * math.pi * 10000 ** (2 * i / 64)
    right.plot(PE[:, 2 * i] - 2.4 * i / 4, label=f"column {2 * i}: a turn in {turn:.4g} tokens")
right.set(xlabel="position", ylabel="sine, shifted down", yticks=[], ylim=(-13.5, 8))
right.legend(fontsize=8, loc="upper right", framealpha=1)
plt.show()
once = sum(2 * math.pi * 10000 ** (2 * i / 64) <= 128 for i in range(32))
print(f"{once} of 32 hands complete a turn within 128 tokens; the slowest needs "
      f"{2 * math.pi * 10000 ** (62 / 64):,.0f}")

# %% [markdown] lang="en"
r"""
Compare the rows: any two differ, somewhere on the left if they are near each other. (The paper speaks of wavelengths from $2\pi$ to $10000\cdot 2\pi$. With $i\le d/2-1$ the longest is $10000^{1-2/d}\cdot 2\pi$, a little less.)

## 3 · A shift is a matrix

Why two coordinates for each hand? The paper's reason: a model could easily learn to attend by relative positions, because for every fixed $k$, $PE_{t+k}$ is a linear function of $PE_t$. That is a claim about one matrix for *all* $t$:

$$PE_{t+k} = M_k\,PE_t$$

($PE_t$ is a column here.) Derive it on paper for one pair first, with $a = \omega t$ and $b = \omega k$:

$$\sin(a+b) = \sin a\cos b + \cos a\sin b,\qquad \cos(a+b) = \cos a\cos b - \sin a\sin b$$

Put the two rows of a $2\times2$ matrix beside this, then put the matrices of all pairs into one of size $d\times d$.
"""

# %% [markdown] lang="zh"
r"""
比较各行：任意两行都不同；相近的两行，差别在左边的列里。（论文说波长从 $2\pi$ 到 $10000\cdot 2\pi$。由于 $i\le d/2-1$，最长的是 $10000^{1-2/d}\cdot 2\pi$，略小一些。）

## 3 · 平移就是矩阵

每根指针为什么要用两个坐标？论文的理由是：对每个固定的 $k$，$PE_{t+k}$ 都是 $PE_t$ 的线性函数，所以模型容易学会按相对位置去关注。这是说，对*所有* $t$ 有同一个矩阵：

$$PE_{t+k} = M_k\,PE_t$$

（这里 $PE_t$ 是列向量。）先在纸上对一对坐标推导，记 $a = \omega t$、$b = \omega k$：

$$\sin(a+b) = \sin a\cos b + \cos a\sin b,\qquad \cos(a+b) = \cos a\cos b - \sin a\sin b$$

对照它写出一个 $2\times2$ 矩阵的两行，再把所有对的矩阵放进一个 $d\times d$ 的矩阵。
"""

# %% exercise="shift_matrix"
from ladder.solutions.stage1_foundation.day13_positional_encoding import shift_matrix

# %% [markdown] lang="zh" docstring="shift_matrix"
r"""
把每个位置编码移动 ``k`` 个位置的矩阵 M_k：

    M_k PE[t] = PE[t + k]      对所有位置 t，

其中 PE[t] 是 ``sinusoidal_pe(T, d)`` 的第 t 行，看作有 d 个数的列；它的公式对小于 0 的位置和整数之间的位置同样给出 PE。
M_k 只取决于 k 与 d。``k`` 是任意数：负数表示往回移，0.5 表示移动半个位置。

结果是 float64 或 float32 的张量，至少精确到 0.00001。``d`` 为奇数时抛出 ``ValueError``。
"""

# %% [markdown] hint="shift_matrix" lang="en"
r"""
Only entries within a pair are not zero: rows and columns 2i and 2i + 1. Row 2i must give sin(a + b) from (sin a, cos a), row 2i + 1 must give cos(a + b). k = 0 must give the identity.
"""

# %% [markdown] hint="shift_matrix" lang="zh"
r"""
只有同一对之内的元素不为零：第 2i、2i + 1 行与第 2i、2i + 1 列。第 2i 行要由 (sin a, cos a) 得到 sin(a + b)，第 2i + 1 行要得到 cos(a + b)。k = 0 时应为单位矩阵。
"""

# %% [markdown] hint="shift_matrix" lang="en"
r"""
The addition formulas are already matrix rows: the coefficients of sin a and cos a, in this order. With even = torch.arange(0, d, 2), M[even, even + 1] = ... writes one entry of every block at once.
"""

# %% [markdown] hint="shift_matrix" lang="zh"
r"""
两角和公式本身就是矩阵的行：依次是 sin a 与 cos a 的系数。令 even = torch.arange(0, d, 2)，M[even, even + 1] = …… 一次就写好所有块的同一个元素。
"""

# %%
from ladder.graders.stage1_foundation.day13_positional_encoding import check_shift_matrix

check_shift_matrix(shift_matrix)

# %% [markdown] lang="en"
r"""
With it you can build, without any training, a head that looks three tokens back. Let the key at position $s$ be $PE_s$, and the query at position $t$ be $c\,M_{-3}PE_t = c\,PE_{t-3}$: the best key is the one at $t-3$. So $W_k = I$ and $W_q = c\,M_{-3}^\top$ (rows times matrices, as in Day 10) do it,
near the start and far out alike.
"""

# %% [markdown] lang="zh"
r"""
有了它，不用训练就能搭出一个往回看三个 token 的头。令位置 $s$ 的键为 $PE_s$，位置 $t$ 的查询为 $c\,M_{-3}PE_t = c\,PE_{t-3}$：最匹配的键就在 $t-3$。所以取 $W_k = I$ 与 $W_q = c\,M_{-3}^\top$ 就行（与第 10 天一样，行乘以矩阵），
在开头如此，在远处也如此。
"""

# %%
far = sinusoidal_pe(5040, 64).double()
Wq = 40 * shift_matrix(-3, 64).double().T
fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
for ax, start in zip(axes, (0, 5000), strict=False):
    here = far[start:start + 40]
    A = sdpa(here @ Wq, here, torch.eye(40, dtype=torch.float64))
    shown = ax.imshow(A, cmap="Blues", vmin=0, vmax=1, extent=(start, start + 40, start + 40, start))
    ax.set(xlabel="key", ylabel="query", title="the head built from $M_{-3}$")
    ax.ticklabel_format(useOffset=False)
    print(f"from position {start}: weight on the token 3 back: {A.diagonal(-3).mean():.4f}")
fig.colorbar(shown, ax=axes[1])
shown = axes[2].imshow(shift_matrix(3, 16), cmap="RdBu", vmin=-1, vmax=1)
axes[2].set(title="$M_3$ for d = 16", xlabel="column", ylabel="row")
fig.colorbar(shown, ax=axes[2])
plt.show()

# %% [markdown] lang="en"
r"""
(The first three queries have no token three back, and take the nearest there is.)

**In your own words** (6 points). Prove the relative-position property, and say what it does not prove. Graded by this list:

- 2 points: the $2\times2$ block derived, the blocks assembled, and a sentence on why $M_k$ is the same for all $t$;
- 1 point: why one sine for each rate, without its cosine, would not do;
- 2 points: $M_k$ is orthogonal and $M_jM_k = M_{j+k}$; from this, $PE_t^\top PE_s$ depends on $t-s$ only;
- 1 point: what does *not* follow for a trained Transformer? Think of what else stands in $x_t + PE_t$, and of $W_q$ and $W_k$.
"""

# %% [markdown] lang="zh"
r"""
（前三个查询没有往回第三个 token，就取离得最近的。）

**用你自己的话说**（6 分）。证明相对位置性质，并说明它没有证明什么。评分标准：

- 2 分：推导出 $2\times2$ 的块，把各块组装起来，并用一句话说明为什么 $M_k$ 对所有 $t$ 都相同；
- 1 分：为什么每个角频率只用一个正弦、不配余弦就不行；
- 2 分：$M_k$ 是正交矩阵，且 $M_jM_k = M_{j+k}$；由此 $PE_t^\top PE_s$ 只取决于 $t-s$；
- 1 分：对训练好的 Transformer，有什么是*不能*由此推出的？想想 $x_t + PE_t$ 里还有什么，再想想 $W_q$ 与 $W_k$。
"""

# %% [markdown] written="written_shift" lang="en"
r"""
*Your proof. Replace this text.*
"""

# %% [markdown] written="written_shift" lang="zh"
r"""
*在此写下你的证明（替换这段文字）。*
"""

# %% [markdown] model="written_shift" lang="en"
r"""
*One pair.* Let $u_t = (\sin\omega t, \cos\omega t)^\top$, $a = \omega t$, $b = \omega k$. The addition formulas are linear in $\sin a$ and $\cos a$:

$$u_{t+k} = \begin{pmatrix}\sin(a+b)\\ \cos(a+b)\end{pmatrix} = \begin{pmatrix}\cos b & \sin b\\ -\sin b & \cos b\end{pmatrix}\begin{pmatrix}\sin a\\ \cos a\end{pmatrix} = B(\omega k)\,u_t$$

*All pairs.* $PE_t$ stacks the $u_t$ of all rates, so $M_k = \operatorname{diag}(B(\omega_0k),\dots,B(\omega_{d/2-1}k))$, block by block, gives $M_kPE_t = PE_{t+k}$. The blocks contain $k$ and the rates, but no $t$: one matrix serves all positions.

*Why pairs.* If there were a number $m$ with $\sin(\omega(t+k)) = m\sin(\omega t)$ for all $t$, then $t = 0$ would give $\sin\omega k = 0$, false for almost every $k$. Other columns do not help, as sines of different rates are linearly independent. The cosine supplies the coordinate that is missing: the sine alone does not tell whether the hand goes up or down.

*Rotations.* $B(b)B(b)^\top = I$, since $\cos^2 b+\sin^2 b = 1$ and the mixed terms cancel, so $M_k^\top M_k = I$ and $M_k^\top = M_{-k}$. The addition formulas also give $B(b)B(c) = B(b+c)$, so $M_jM_k = M_{j+k}$. With $PE_t = M_tPE_0$,

$$PE_t^\top PE_s = PE_0^\top M_t^\top M_s\,PE_0 = PE_0^\top M_{s-t}\,PE_0 = \sum_i\cos(\omega_i(t-s))$$

which contains $t-s$ only. (In $PE_0$ all sines are 0 and all cosines 1, which picks the entry $\cos b$ of each block.)

*What does not follow.* The model may learn $W_qW_k^\top$ such that positions are compared by distance, but nothing makes it. Its score is $(x_t+PE_t)W_qW_k^\top(x_s+PE_s)^\top$ (rows), where positions enter three of the four terms, and for a general $W_qW_k^\top$ the position term depends on $t$ and $s$, not on $t-s$. Nor does it follow that a model works beyond the lengths it was trained on.
"""

# %% [markdown] model="written_shift" lang="zh"
r"""
*一对。* 设 $u_t = (\sin\omega t, \cos\omega t)^\top$，$a = \omega t$，$b = \omega k$。两角和公式对 $\sin a$ 与 $\cos a$ 是线性的：

$$u_{t+k} = \begin{pmatrix}\sin(a+b)\\ \cos(a+b)\end{pmatrix} = \begin{pmatrix}\cos b & \sin b\\ -\sin b & \cos b\end{pmatrix}\begin{pmatrix}\sin a\\ \cos a\end{pmatrix} = B(\omega k)\,u_t$$

*所有对。* $PE_t$ 由各个角频率的 $u_t$ 堆叠而成，所以分块对角的 $M_k = \operatorname{diag}(B(\omega_0k),\dots,B(\omega_{d/2-1}k))$ 给出 $M_kPE_t = PE_{t+k}$。各块里只有 $k$ 与角频率，没有 $t$：同一个矩阵适用于所有位置。

*为什么要成对。* 假如有一个数 $m$，对所有 $t$ 都有 $\sin(\omega(t+k)) = m\sin(\omega t)$，那么取 $t = 0$ 得 $\sin\omega k = 0$，这对几乎所有 $k$ 都不成立。别的列也帮不上忙，因为不同角频率的正弦线性无关。余弦补上了缺少的坐标：单凭正弦，分不清指针是在上升还是在下降。

*旋转。* 因为 $\cos^2 b+\sin^2 b = 1$ 且交叉项抵消，$B(b)B(b)^\top = I$，所以 $M_k^\top M_k = I$，且 $M_k^\top = M_{-k}$。两角和公式还给出 $B(b)B(c) = B(b+c)$，所以 $M_jM_k = M_{j+k}$。由 $PE_t = M_tPE_0$，

$$PE_t^\top PE_s = PE_0^\top M_t^\top M_s\,PE_0 = PE_0^\top M_{s-t}\,PE_0 = \sum_i\cos(\omega_i(t-s))$$

其中只含 $t-s$。（$PE_0$ 中正弦全为 0、余弦全为 1，正好取出每块中的元素 $\cos b$。）

*不能推出什么。* 模型可以学出这样的 $W_qW_k^\top$，按距离来比较位置，但没有什么迫使它这样做。它的分数是 $(x_t+PE_t)W_qW_k^\top(x_s+PE_s)^\top$（写成行），四项之中有三项混入了位置；对一般的 $W_qW_k^\top$，位置项取决于 $t$ 与 $s$ 本身，而不是 $t-s$。也不能推出模型在超过训练长度时仍然有效。
"""

# %% [markdown] lang="en"
r"""
## 4 · The Fourier view

How alike are two positions? You have just shown that their dot product knows only the distance $k$. Reduce it until no $t$ is left, with $\cos a\cos b + \sin a\sin b = \cos(a-b)$ for each pair.
"""

# %% [markdown] lang="zh"
r"""
## 4 · 傅里叶视角

两个位置有多相似？你刚刚证明了，它们的点积只知道距离 $k$。对每一对使用 $\cos a\cos b + \sin a\sin b = \cos(a-b)$，化简到不再含 $t$ 为止。
"""

# %% exercise="pe_dot"
from ladder.solutions.stage1_foundation.day13_positional_encoding import pe_dot

# %% [markdown] lang="zh" docstring="pe_dot"
r"""
相距 ``k`` 个位置的两个位置编码的点积：

    PE[t] · PE[t + k]，      对每个 t 都相同。

``k`` 是任意形状的张量，元素为整数（int64）或其他数（float64），也可以是负数；``d`` 为偶数。结果的形状与 ``k`` 相同，元素为浮点数。
"""

# %% [markdown] hint="pe_dot" lang="en"
r"""
Write out the two terms of one pair, sin · sin + cos · cos, with the angles ωt and ω(t + k). What is left is one function of ωk. Then add up over the pairs.
"""

# %% [markdown] hint="pe_dot" lang="zh"
r"""
写出一对的两项，sin · sin + cos · cos，角度为 ωt 与 ω(t + k)。剩下的是 ωk 的一个函数。再对各对求和。
"""

# %% [markdown] hint="pe_dot" lang="en"
r"""
For a k of any shape give it one more dimension, k[..., None], multiply with the d/2 rates, take the cosine and add up over the last dimension. k = 0 must give d / 2.
"""

# %% [markdown] hint="pe_dot" lang="zh"
r"""
对任意形状的 k，用 k[..., None] 多加一维，乘以 d/2 个角频率，取余弦，再沿最后一维求和。k = 0 时应得 d / 2。
"""

# %%
from ladder.graders.stage1_foundation.day13_positional_encoding import check_pe_dot

check_pe_dot(pe_dot)

# %% [markdown] lang="en"
r"""
A sum of cosines is a Fourier sum: the similarity, as a function of the distance, has as its spectrum just the list of rates. So the choice of the rates *is* the choice of this function. The rates are spaced evenly in their logarithm. For many columns the sum becomes an integral; with $x = k\,10000^{-u}$,

$$\frac{2}{d}\sum_i\cos(\omega_ik)\approx\int_0^1\cos(k\,10000^{-u})\,du = \frac{1}{\ln 10000}\int_{k/10000}^{k}\frac{\cos x}{x}\,dx\approx 1-\frac{\ln k+\gamma}{\ln 10000}$$

for $1\ll k\ll 10000$, where $\gamma\approx0.577$ is Euler's constant. The similarity falls with the *logarithm* of the distance: from 5 to 10 as much as from 500 to 1000.

Now the columns one at a time, each a signal with one sample per token. The discrete Fourier transform says which frequencies it holds; here a frequency is counted in cycles per token, so that hand $i$ should show at $\omega_i/2\pi$. By Parseval's theorem the energies add up to that of the signal, so a column can be split into shares.
"""

# %% [markdown] lang="zh"
r"""
余弦之和就是傅里叶和：把相似度看作距离的函数，它的频谱正是这些角频率。所以选角频率*就是*在选这个函数。各角频率的对数是等间隔的。列数很多时，和变成积分；令 $x = k\,10000^{-u}$，

$$\frac{2}{d}\sum_i\cos(\omega_ik)\approx\int_0^1\cos(k\,10000^{-u})\,du = \frac{1}{\ln 10000}\int_{k/10000}^{k}\frac{\cos x}{x}\,dx\approx 1-\frac{\ln k+\gamma}{\ln 10000}$$

条件是 $1\ll k\ll 10000$，其中 $\gamma\approx0.577$ 是欧拉常数。相似度随距离的*对数*下降：从 5 到 10 的降幅，与从 500 到 1000 一样。

现在逐列来看，每一列是一个信号，每个 token 一个样本。离散傅里叶变换告诉我们它含有哪些频率；这里频率按每个 token 的周期数计，所以第 $i$ 根指针应当出现在 $\omega_i/2\pi$。由 Parseval 定理，各处能量之和等于信号的能量，所以可以把一列按份额分摊。
"""

# %% exercise="pe_spectrum"
from ladder.solutions.stage1_foundation.day13_positional_encoding import pe_spectrum

# %% [markdown] lang="zh" docstring="pe_spectrum"
r"""
``sinusoidal_pe(T, d)`` 的每一列由哪些频率组成。

把第 j 列看作信号 x_0、……、x_{T−1}，每个 token 一个样本。它的离散傅里叶变换（不加窗、不填充、不减均值）为

    X_n = Σ_t x_t exp(−2πi n t / T)，      n = 0、……、T − 1，

在 n 处的能量为 |X_n|²。由于 x 是实数，n 与 T − n 的能量相同，代表同一个频率，所以合在一起计。返回 ``(frequencies, share)``：

    frequencies  (T // 2 + 1,)     n / T，n = 0、……、T // 2，单位为每个 token 的周期数
    share        (T // 2 + 1, d)   对每一列，n 与 T − n 处的能量合计占该列总能量的份额；
                                   ``share`` 的每一列之和为 1

``T`` 至少为 2，奇偶均可，``d`` 为偶数。
"""

# %% [markdown] hint="pe_spectrum" lang="en"
r"""
torch.fft.rfft along dimension 0 gives X_n for n = 0, ..., T // 2. Which of these n have a partner T − n that is another number? Count: all shares must come from T energies.
"""

# %% [markdown] hint="pe_spectrum" lang="zh"
r"""
沿第 0 维用 torch.fft.rfft，得到 n = 0、……、T // 2 的 X_n。其中哪些 n 的搭档 T − n 是另一个数？数一数：所有份额合起来应当来自 T 个能量。
"""

# %% [markdown] hint="pe_spectrum" lang="en"
r"""
Double the energies that have a partner: all but n = 0 and, if T is even, n = T / 2. Then divide each column by its sum. The frequencies are n / T, and T is not 2 · (T // 2) if T is odd.
"""

# %% [markdown] hint="pe_spectrum" lang="zh"
r"""
把有搭档的能量加倍：除了 n = 0，以及 T 为偶数时的 n = T / 2，其余都有。然后把每一列除以它的和。频率是 n / T；T 为奇数时，T 不等于 2 · (T // 2)。
"""

# %%
from ladder.graders.stage1_foundation.day13_positional_encoding import check_pe_spectrum

check_pe_spectrum(pe_spectrum)

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(11.5, 3.8), layout="constrained")
k = torch.arange(1, 10000)
for d in (16, 64, 512):
    left.semilogx(k, 2 / d * pe_dot(k, d), lw=1, label=f"d = {d}")
left.semilogx(k, 1 - (k.log() + 0.5772) / math.log(10000), "k--", lw=1, label=r"$1-(\ln k+\gamma)/\ln 10000$")
left.set(xlabel="distance k", ylabel="PE[t] · PE[t + k], divided by d / 2")
left.legend(fontsize=8)
frequencies, share = pe_spectrum(512, 64)
shown = right.pcolormesh(torch.arange(64), frequencies[1:], share[1:].clamp(min=1e-6),
                         norm="log", cmap="viridis", vmin=1e-4, vmax=1, shading="nearest")
pairs = torch.arange(32)
right.plot(2 * pairs + 0.5, 10000 ** (-2 * pairs / 64) / (2 * math.pi), "r.", ms=4,
           label=r"$\omega_i / 2\pi$")
right.set(yscale="log", ylim=(1 / 512, 0.5), xlabel="column", ylabel="frequency, cycles per token",
          title="share of the energy, T = 512")
right.legend(fontsize=8)
fig.colorbar(shown, ax=right)
plt.show()
for i in (0, 5, 10, 15, 20, 31):
    print(f"hand {i:2}, {2 * math.pi * 10000 ** (2 * i / 64):8.1f} tokens a turn: share of n = 0 in the sine "
          f"{share[0, 2 * i]:.2f}, in the cosine {share[0, 2 * i + 1]:.2f}")

# %% [markdown] lang="en"
r"""
On the left, the wiggles of small $d$ are the few tones that have not yet become an integral. On the right, each pair of columns is one tone where the theory puts it (red), widened because 512 samples do not hold a whole number of its cycles. The fastest has 0.16 cycles per token, well below the limit of 0.5, so no hand seems to turn more slowly than it does (aliasing).
And from about half of the columns on, no full cycle fits into 512 tokens. There most of the energy sinks to $n = 0$, the mean (below the picture; the printed shares): the cosines become constants, the sines slow ramps, and only by this drift do they tell two positions apart. A model of this length hardly needs them.

For a linear layer that reads the position out of $PE_t$, all this is a toolbox: it can form any sum $\sum_i \alpha_i\sin\omega_it+\beta_i\cos\omega_it$. Sharp functions of position come from the fast hands, broad ones from the slow.

## 5 · Does it help?

A task that cannot be done without positions: at every place, name the token that stood three places before. One self-attention layer and a linear read-out, trained three times: with no encoding, with yours, and with a table of vectors that are **learned** like any other weight (GPT's choice; Day 14 takes it). The random tokens are new in every batch, so nothing can be memorised.
"""

# %% [markdown] lang="zh"
r"""
左图中，$d$ 较小时的波纹来自为数不多、还凑不成积分的几个音。右图中，每一对列是一个音，位置正如理论所说（红点）；它变宽了，因为 512 个样本不是它周期的整数倍。最快的每个 token 转 0.16 周，远低于 0.5 的上限，所以没有哪根指针会显得比实际更慢（混叠）。
大约从一半的列开始，512 个 token 里连一个完整周期都放不下。那里大部分能量沉到 $n = 0$，也就是均值（在图的下方；见打印出的份额）：余弦变成常数，正弦变成缓缓的斜坡，只能靠这种漂移来区分位置。这种长度的模型几乎用不到它们。

对于要从 $PE_t$ 读出位置的线性层，这一切就是一个工具箱：它能组成任何 $\sum_i \alpha_i\sin\omega_it+\beta_i\cos\omega_it$。位置的尖锐函数来自快的指针，平缓的来自慢的。

## 5 · 有用吗？

有一个任务，没有位置谁也做不了：在每个位置说出三个位置之前的 token。一层自注意力加一个线性读出，训练三次：不加编码，加你的编码，以及加一张**学习得到**的向量表，它和别的权重一样训练（这是 GPT 的选择，第 14 天会用）。每一批的 token 都重新随机抽取，所以无从死记。
"""

# %%
VOCAB, LENGTH, WIDTH, BACK = 10, 24, 32, 3
STEPS = 120 if os.environ.get("LADDER_QUICK") else 300


def three_back(kind):
    """Train; return the losses and a function from tokens (B, T) to logits (B, T, VOCAB)."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    tokens, read = draw(VOCAB, WIDTH), draw(WIDTH, VOCAB) / WIDTH**0.5
    weights = [draw(WIDTH, WIDTH) / WIDTH**0.5 for _ in range(3)]
    learned = 0.02 * draw(LENGTH, WIDTH)

    def model(ids):
        x = tokens[ids]
        if kind == "sinusoidal":
            x = x + sinusoidal_pe(ids.shape[1], WIDTH).float()
        if kind == "learned":
            x = x + learned[:ids.shape[1]]
        return self_attention(x, *weights) @ read

    parameters = [tokens, read, *weights, learned]
    for parameter in parameters:
        parameter.requires_grad_()
    optimiser = torch.optim.Adam(parameters, lr=0.005)
    with Training(STEPS, kind) as run:
        for _ in run:
            ids = torch.randint(VOCAB, (32, LENGTH), generator=generator)
            loss = F.cross_entropy(model(ids)[:, BACK:].flatten(0, 1), ids[:, :-BACK].flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(loss=loss.item())
    return run.history.get("loss", []), model


fig, (left, right) = plt.subplots(1, 2, figsize=(11.5, 3.8), layout="constrained")
left.axhline(math.log(VOCAB), color="k", ls=":", lw=1)
for kind in ("none", "sinusoidal", "learned"):
    losses, model = three_back(kind)
    left.plot(losses, label=kind)
    longer = LENGTH if kind == "learned" else 3 * LENGTH               # the table has no more rows
    ids = torch.randint(VOCAB, (400, longer), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        hits = (model(ids)[:, BACK:].argmax(dim=-1) == ids[:, :-BACK]).float().mean(dim=0)
    right.plot(range(BACK, longer), hits, label=kind)
    print(f"{kind}: {hits[:LENGTH - BACK].mean():.1%} right at positions below {LENGTH}"
          + (f", {hits[LENGTH - BACK:].mean():.1%} beyond, in sequences of {longer}"
             if longer > LENGTH else ""))
left.set(xlabel="step", ylabel="cross-entropy", title=r"dotted: $\ln 10$, guessing", ylim=(0, None))
left.legend(fontsize=8)
right.axvline(LENGTH - 0.5, color="k", ls=":", lw=1)
right.set(xlabel="position", ylabel="share of right answers", ylim=(0, 1.05),
          title="dotted: the training length")
right.legend(fontsize=8)
plt.show()

# %% [markdown] lang="en"
r"""
Without positions the loss stays above 2: a little better than guessing, since the layer sees which tokens occur at all, but not where. Both encodings solve the task. The paper found the same, "nearly identical results" (table 3, row E), and chose the sinusoids because they "may allow the model to extrapolate" to longer sequences.

The picture on the right takes that at its word. The formula does go on beyond position 24, but what was *learned* stops there, and further out it is hit and miss: training found something that fits 24 rows, not $M_{-3}$ itself, which you have seen to work at 5000. (The learned table ends at 24 altogether, so it is drawn on sequences of 24.) The relative-position property says that a good solution exists; it does not make training find it. For that, the distance must be built in.

## 6 · Turn, do not add

What a shift does to one pair is a rotation. So why not apply it directly: leave the token as it is, and *rotate* its query by its position? That is RoPE, which most of today's language models use. In two dimensions (RoFormer, section 3.2.1) a query at position $m$ becomes $R(m\theta)\,q$ and a key at position $n$ becomes $R(n\theta)\,k$, where

$$R(\theta) = \begin{pmatrix}\cos\theta & -\sin\theta\\ \sin\theta & \cos\theta\end{pmatrix},\qquad R(\alpha)^\top = R(-\alpha),\qquad R(\alpha)R(\beta) = R(\alpha+\beta)$$

Work out $(R(m\theta)\,q)^\top R(n\theta)\,k$ from these three facts: which rotation is left, and of which vector, by which sign? (Your block of $M_k$ is $R(-\omega k)$: it is written for (sine, cosine), and a hand whose first coordinate is the sine runs clockwise.)
"""

# %% [markdown] lang="zh"
r"""
没有位置时，损失停在 2 以上：比瞎猜略好，因为这一层看得到出现过哪些 token，却不知道它们在哪里。两种编码都解决了任务。论文的发现也是这样，两者结果几乎相同（表 3，E 行）；它选择正弦，是因为正弦或许能让模型外推到更长的序列。

右图就来检验这句话。公式在位置 24 之后确实还能继续，但*学到*的东西到此为止，再往外就时对时错：训练找到的东西适合那 24 行，却不是 $M_{-3}$ 本身，后者你已经看到在 5000 处也有效。（学习得到的表只有 24 行，所以它是在长度 24 的序列上画的。）相对位置性质说的是存在一个好的解；它并不保证训练会找到。要想保证，就得把距离直接做进结构里。

## 6 · 不相加，而旋转

平移对一对坐标的作用就是旋转。那何不直接用它：token 保持不变，而把它的查询按位置*旋转*？这就是 RoPE，今天的大多数语言模型都用它。在二维中（RoFormer，3.2.1 节），位置 $m$ 的查询变为 $R(m\theta)\,q$，位置 $n$ 的键变为 $R(n\theta)\,k$，其中

$$R(\theta) = \begin{pmatrix}\cos\theta & -\sin\theta\\ \sin\theta & \cos\theta\end{pmatrix},\qquad R(\alpha)^\top = R(-\alpha),\qquad R(\alpha)R(\beta) = R(\alpha+\beta)$$

用这三条事实算出 $(R(m\theta)\,q)^\top R(n\theta)\,k$：剩下的是哪个旋转，作用在哪个向量上，符号如何？（你的 $M_k$ 中的块就是 $R(-\omega k)$：它是对 (正弦, 余弦) 写的，第一个坐标为正弦的指针是顺时针走的。）
"""

# %% exercise="rotate2d"
from ladder.solutions.stage1_foundation.day13_positional_encoding import relative_score, rotate2d

# %% [markdown] lang="zh" docstring="rotate2d"
r"""
把 ``x`` 最后一维中的向量 (x_0, x_1) 旋转角度 ``theta``：

    y_0 = x_0 cos θ − x_1 sin θ，      y_1 = x_0 sin θ + x_1 cos θ。

这是逆时针方向，θ 以弧度计。``theta`` 是一个数，或者是可以广播到 ``x`` 最后一维之前各维的张量：每个向量一个角度。
结果的形状与 dtype 同 ``x``；``x`` 不得被改动，梯度能传回 ``x``。
"""

# %% [markdown] lang="zh" docstring="relative_score"
r"""
查询与键各按自己的位置旋转之后的分数。

位置 m 的查询旋转角度 mθ，位置 n 的键旋转 nθ（``rotate2d``）。二者的点积只通过 ``offset`` = m − n
依赖 m 与 n，也就是从键到查询的位置数：

    rotate2d(q, mθ) · rotate2d(k, nθ)。

``q`` 与 ``k`` 形状相同；``offset`` 是一个数，或者是可以广播到它们最后一维之前各维的张量。结果的形状就是这些维。
"""

# %% [markdown] hint="rotate2d" lang="en"
r"""
Take x[..., 0] and x[..., 1]: both have the dimensions in front, just as theta, so plain products broadcast. For the score: a rotation of both vectors by the same angle leaves the dot product as it is. Turn both back by nθ.
"""

# %% [markdown] hint="rotate2d" lang="zh"
r"""
取 x[..., 0] 与 x[..., 1]：二者都只剩前面的各维，与 theta 一样，直接相乘就能广播。至于分数：两个向量同转一个角度，点积不变。把两者都转回 nθ 试试。
"""

# %% [markdown] hint="rotate2d" lang="en"
r"""
torch.as_tensor(theta, dtype=x.dtype) accepts a number or a tensor. torch.stack([y0, y1], dim=-1) puts the two components into a new last dimension, and leaves x alone. In the score, after turning back by nθ the key stands as it was and the query is turned by (m − n)θ.
"""

# %% [markdown] hint="rotate2d" lang="zh"
r"""
torch.as_tensor(theta, dtype=x.dtype) 既接受数也接受张量。torch.stack([y0, y1], dim=-1) 把两个分量放进新的最后一维，也不会改动 x。对于分数，转回 nθ 之后，键回到原样，查询则转了 (m − n)θ。
"""

# %%
from ladder.graders.stage1_foundation.day13_positional_encoding import check_rotate2d

check_rotate2d(rotate2d)

# %%
from ladder.graders.stage1_foundation.day13_positional_encoding import check_relative_score

check_relative_score(relative_score)

# %% [markdown] lang="en"
r"""
Left: one query and one key, at positions (5, 2) and then at (9, 6). The arrows move, the angle between them does not. Middle: the scores of the same query and key at all positions, each vector rotated by its own position; every diagonal is constant. Right: the same with the sinusoids *added* to query and key.
"""

# %% [markdown] lang="zh"
r"""
左图：同一个查询和键，先在位置 (5, 2)，再在 (9, 6)。箭头动了，夹角却不变。中图：同一个查询和键放在所有位置上的分数，每个向量按自己的位置旋转；每条对角线上的值都相同。右图：改为把正弦编码*加*到查询和键上。
"""

# %%
theta = 0.25
q, k = torch.tensor([1.0, 0.4], dtype=torch.float64), torch.tensor([0.9, -0.1], dtype=torch.float64)
fig, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
for (m, n), style in (((5, 2), "-"), ((9, 6), "--")):
    for vector, position, colour, name in ((q, m, "C0", "query"), (k, n, "C1", "key")):
        a, b = rotate2d(vector, position * theta)
        left.plot([0, a], [0, b], style, color=colour, lw=2, label=f"{name} at {position}")
        left.plot(a, b, "o", color=colour)
    print(f"positions {m} and {n}: score {rotate2d(q, m * theta) @ rotate2d(k, n * theta):.6f}, "
          f"from the offset alone {relative_score(q, k, m - n, theta):.6f}")
left.set(aspect="equal", xlabel="component 0", ylabel="component 1", xlim=(-1.2, 1.2), ylim=(-0.9, 1.2))
left.legend(fontsize=8, loc="lower left", ncols=2)
positions = torch.arange(24)
turned = [rotate2d(vector.expand(24, 2), positions * theta) for vector in (q, k)]
hands = rotate2d(torch.tensor([0.0, 1.0], dtype=torch.float64).expand(24, 2), -positions * theta)
for ax, (queries, keys), title in (
    (middle, turned, "rotated"),
    (right, (q + hands, k + hands), "sine and cosine added"),
):
    shown = ax.imshow(queries @ keys.T, cmap="RdBu")
    ax.set(title=title, xlabel="position of the key", ylabel="position of the query")
    fig.colorbar(shown, ax=ax)
plt.show()

# %% [markdown] lang="en"
r"""
Added, the score has four terms: token with token, token with position, position with token, position with position (written out by Dai and others, [arXiv 1901.02860](https://arxiv.org/abs/1901.02860), section 3.3), and here, without trained weights, only the first and the last are functions of the distance. Rotated, there is one term, and it is one in which token and distance meet. The length of the vectors stays, there is nothing to learn, and the values are not touched.
What is missing for a real model: $d/2$ pairs, each with its own rate, the $\omega_i$ of today. That is Day 21.

## What you have now

| function | what it is for |
| --- | --- |
| `permutation_gap` | a test for any layer: does it know the order? |
| `sinusoidal_pe` | the encoding of the original Transformer; Day 51 builds the whole of it |
| `shift_matrix`, `pe_dot` | relative positions in it: the algebra that RoPE is made of (Day 21) |
| `pe_spectrum` | what to look at when a model must read longer texts than it was trained on (Day 53) |
| `rotate2d`, `relative_score` | RoPE with a single pair |

Tokens that attend, blocks that train deep, positions: everything is there. Tomorrow you put it together, and it writes Shakespeare.
"""

# %% [markdown] lang="zh"
r"""
相加时，分数有四项：token 对 token、token 对位置、位置对 token、位置对位置（Dai 等写出了这四项，[arXiv 1901.02860](https://arxiv.org/abs/1901.02860)，3.3 节）；在这里没有训练过的权重，只有第一项和最后一项是距离的函数。旋转时只有一项，token 与距离就在这一项里相遇。向量的长度不变，没有要学习的东西，值也不受影响。
要用于真正的模型还缺什么：$d/2$ 对坐标，每对有自己的角频率，也就是今天的 $\omega_i$。那是第 21 天的内容。

## 你现在拥有的工具

| 函数 | 用途 |
| --- | --- |
| `permutation_gap` | 检验任何一层：它知道次序吗？ |
| `sinusoidal_pe` | 最初的 Transformer 所用的编码；第 51 天会搭建完整的模型 |
| `shift_matrix`、`pe_dot` | 其中的相对位置：RoPE 就由这套代数构成（第 21 天） |
| `pe_spectrum` | 当模型要读比训练时更长的文本时，该看什么（第 53 天） |
| `rotate2d`、`relative_score` | 只有一对坐标的 RoPE |

会关注的 token、能训练得很深的块、位置：全都齐了。明天你把它们组装起来，让它写莎士比亚。
"""

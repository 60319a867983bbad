# %% [markdown] lang="en"
r"""
# Day 5 · Convolution and pooling

**Goal.** Write convolution and pooling with their gradients, with no loop over pictures or pixels, put them into your engine, and read MNIST with a small CNN: test accuracy above 0.98.

Yesterday's network does not know that a pixel has neighbours. A convolution looks at one small window at a time, and looks at every window with the *same* weights. Today's plan:
write it as a matrix (to understand it), as a product of two small matrices (to make it fast), and as a layer (to train it).

To go with it: the [CS231n notes on convolutional networks](https://cs231n.github.io/convolutional-networks/), and Dumoulin and Visin,
[A guide to convolution arithmetic for deep learning](https://arxiv.org/abs/1603.07285), chapters 2 to 4.
"""

# %% [markdown] lang="zh"
r"""
# 第 5 天 · 卷积与池化

**目标。** 写出卷积、池化及其梯度，不对图片或像素做循环；把它们放进你的引擎；用一个小型 CNN 识别 MNIST：测试准确率高于 0.98。

昨天的网络不知道像素有邻居。卷积每次只看一个小窗口，而且用*同一组*权重看每一个窗口。今天的安排：
先把它写成一个矩阵（为了理解），再写成两个小矩阵的乘积（为了快），最后写成一层（为了训练）。

配套材料：[CS231n 关于卷积网络的讲义](https://cs231n.github.io/convolutional-networks/)，以及 Dumoulin 与 Visin 的
[A guide to convolution arithmetic for deep learning](https://arxiv.org/abs/1603.07285) 第 2 到第 4 章。
"""

# %% setup
import os
import time

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float

from ladder.data import load
from ladder.earlier.day03_tensor_autograd import Tensor
from ladder.earlier.day04_layers_and_sgd import MLP, Linear, ReLU, Sequential, predict, train_digits
from ladder.notebook import language
from ladder.readers import read_idx

# %% [markdown] lang="en"
r"""
## 1. Where the windows lie

A window of length $k$ slides along an axis of $n$ entries. It may move by more than one entry at a time, the **stride** $s$, and there may be $p$ extra entries at either end, the **padding**; they are zeros. How
many positions are there? Everything today needs this number, so count it once and for all. The last window must not stick out; what it cannot reach is left over.
"""

# %% [markdown] lang="zh"
r"""
## 1. 窗口在哪里

长度为 $k$ 的窗口沿着有 $n$ 个元素的轴滑动。它每次可以移动不止一个元素，即**步幅** $s$；两端还可以各补 $p$ 个元素，即**填充**，补的都是零。一共有多少个位置？
今天处处要用到这个数，所以先把它数清楚。最后一个窗口不能伸到外面；够不着的元素就剩下不管。
"""

# %% exercise="out_size"
from ladder.solutions.stage1_foundation.day05_convolution_and_pooling import out_size

# %% [markdown] lang="zh" docstring="out_size"
r"""一条轴上放得下多少个长度为 ``k`` 的窗口。

``n`` 个元素的两侧各补 ``pad`` 个；第一个窗口从补齐后的第一个元素开始，之后每个窗口后移 ``stride``，所有窗口都完全在内部。
末尾没有窗口够得着的元素剩下不管。一个窗口都放不下时抛出 ValueError。
"""

# %% [markdown] hint="out_size" lang="en"
r"""
Put the first window at the beginning. How many entries lie behind it, and how many steps of the stride can it take before they are used up?
"""

# %% [markdown] hint="out_size" lang="zh"
r"""
把第一个窗口放在开头。它后面还有多少个元素？按步幅走，走几步会把它们用完？
"""

# %% [markdown] hint="out_size" lang="en"
r"""
The axis is n + 2 pad long. Steps are whole: round down. And the position before the first step counts too.
"""

# %% [markdown] hint="out_size" lang="zh"
r"""
轴的总长是 n + 2 pad。步数是整数：向下取整。走第一步之前的位置也要算上。
"""

# %%
from ladder.graders.stage1_foundation.day05_convolution_and_pooling import check_out_size

check_out_size(out_size)

# %% [markdown] lang="en"
r"""
## 2. A convolution is a matrix

One image, one channel, stride 1, no padding. With a kernel $w$ of $k_h \times k_w$ numbers,

$$y_{ij} = \sum_{a=0}^{k_h-1} \sum_{b=0}^{k_w-1} w_{ab}\, x_{i+a,\,j+b} .$$

(Mathematics calls this cross-correlation; its convolution has $x_{i-a,\,j-b}$, a kernel turned by 180 degrees. Since $w$ is learned, it does not matter, and everyone says convolution.) Each $y_{ij}$ is linear in $x$, so there is a matrix $T$ with
$\operatorname{vec} y = T \operatorname{vec} x$. In one dimension, for $w = (a, b, c)$ and five inputs,

$$T = \begin{pmatrix} a & b & c & 0 & 0 \\ 0 & a & b & c & 0 \\ 0 & 0 & a & b & c \end{pmatrix} .$$

A matrix that is constant along its diagonals is a **Toeplitz** matrix. In two dimensions a row of the image becomes a block: $T$ is made of blocks, the blocks repeat along the diagonals, and each block is Toeplitz itself, made from one row of the kernel:
*doubly block Toeplitz*. A convolution is thus a linear layer with two restrictions. It is **sparse**: an output sees a window only. And its weights are **shared**: all rows hold the same numbers.
"""

# %% [markdown] lang="zh"
r"""
## 2. 卷积是一个矩阵

一张图像，一个通道，步幅 1，不填充。卷积核 $w$ 有 $k_h \times k_w$ 个数，

$$y_{ij} = \sum_{a=0}^{k_h-1} \sum_{b=0}^{k_w-1} w_{ab}\, x_{i+a,\,j+b} .$$

（数学上这叫互相关；数学中的卷积是 $x_{i-a,\,j-b}$，即把核旋转 180 度。反正 $w$ 是学出来的，两者没有区别，大家都叫它卷积。）每个 $y_{ij}$ 关于 $x$ 都是线性的，所以存在矩阵 $T$，使得
$\operatorname{vec} y = T \operatorname{vec} x$。在一维情形，取 $w = (a, b, c)$ 和五个输入，

$$T = \begin{pmatrix} a & b & c & 0 & 0 \\ 0 & a & b & c & 0 \\ 0 & 0 & a & b & c \end{pmatrix} .$$

沿各条对角线取值不变的矩阵叫 **Toeplitz** 矩阵。在二维情形，图像的一行变成一个块：$T$ 由块组成，块沿对角线重复，而每个块自身又是由核的一行构成的 Toeplitz 矩阵，
这叫*双重分块 Toeplitz*。所以卷积就是受了两条限制的线性层：它是**稀疏**的，一个输出只看一个窗口；它的权重是**共享**的，每一行放的都是同样的数。
"""

# %% exercise="conv_toeplitz"
from ladder.solutions.stage1_foundation.day05_convolution_and_pooling import conv_toeplitz

# %% [markdown] lang="zh" docstring="conv_toeplitz"
r"""用 ``w`` 对形状 (H, W) 的单通道图像做卷积，这一运算的矩阵 T。

对每张这种形状的图像 x，``T @ x.ravel()`` 就是 ``y.ravel()``，其中

    y[i, j] = sum_{a, b} w[a, b] x[i + a, j + b],    0 <= i <= H - kh,  0 <= j <= W - kw

（步幅 1，不填充）。T 是稠密的 float64 数组，形状为 ``((H - kh + 1) * (W - kw + 1), H * W)``，
每一行放着 ``w`` 的各元素，其余为零。``w`` 不一定是方的。``w`` 放不进图像时抛出 ValueError。
"""

# %% [markdown] hint="conv_toeplitz" lang="en"
r"""
One output pixel, one row of T. In x.ravel(), at which index stands the pixel in row i + a, column j + b?
"""

# %% [markdown] hint="conv_toeplitz" lang="zh"
r"""
一个输出像素对应 T 的一行。第 i + a 行、第 j + b 列的像素，在 x.ravel() 中的下标是几？
"""

# %% [markdown] hint="conv_toeplitz" lang="en"
r"""
Think of T as an array with the four axes (i, j, row, column) and reshape at the end. A loop over the few entries of w is enough: index arrays for i and j fill one diagonal at once.
"""

# %% [markdown] hint="conv_toeplitz" lang="zh"
r"""
先把 T 看成有四个轴 (i, j, 行, 列) 的数组，最后再 reshape。只需对 w 的寥寥几个元素循环：用 i 和 j 的下标数组一次填好一条对角线。
"""

# %%
from ladder.graders.stage1_foundation.day05_convolution_and_pooling import check_conv_toeplitz

check_conv_toeplitz(conv_toeplitz)

# %% [markdown] lang="en"
r"""
Left: your $T$ for a kernel with the entries 1 to 9 and images of 6 x 7. Look for the blocks (one per row of the image), and for the Toeplitz pattern twice. Right: for MNIST's $28 \times 28$ and a $5 \times 5$ kernel $T$ has 451,584
entries, of which 14,400 are not zero, and they hold 25 different numbers.

The backward pass comes for nothing: of $\operatorname{vec} y = T \operatorname{vec} x$ you know from Day 1 that $\operatorname{vec} \bar x = T^\top \operatorname{vec} \bar y$. Multiplying by $T^\top$ is called a **transposed convolution** (in generative models it is used as a forward pass, to
make images larger).
"""

# %% [markdown] lang="zh"
r"""
左图：核的元素为 1 到 9、图像为 6 x 7 时你的 $T$。请找出那些块（图像每行一个），以及出现两次的 Toeplitz 结构。右图：对 MNIST 的 $28 \times 28$ 和 $5 \times 5$ 的核，$T$ 有 451,584
个元素，其中 14,400 个不为零，而它们只有 25 个不同的值。

反向传播不费工夫就得到了：由第 1 天可知，对 $\operatorname{vec} y = T \operatorname{vec} x$ 有 $\operatorname{vec} \bar x = T^\top \operatorname{vec} \bar y$。乘以 $T^\top$ 叫做**转置卷积**（生成模型用它作前向运算，
把图像放大）。
"""

# %%
T = conv_toeplitz(np.arange(1.0, 10.0).reshape(3, 3), 6, 7)
large = conv_toeplitz(np.random.default_rng(0).uniform(1, 2, size=(5, 5)), 28, 28)
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1.6, 1), layout="constrained")
left.imshow(np.where(T == 0, np.nan, T), cmap="viridis")
left.set_xticks(np.arange(0, 42, 7) - 0.5, [f"row {r}" for r in range(6)], ha="left", fontsize=8)
left.set_yticks(np.arange(0, 20, 5) - 0.5, [f"row {r}" for r in range(4)], va="top", fontsize=8)
left.grid(color="0.8")
left.set(xlabel="pixel of x", ylabel="pixel of y", title="T of a 3x3 kernel, images of 6x7")
right.spy(large, markersize=0.15)
right.set(xlabel="pixel of x", ylabel="pixel of y", title="5x5 kernel on 28x28")
plt.show()
print(f"{large.size:,} entries, {np.count_nonzero(large):,} not zero, {len(np.unique(large)) - 1} different ones")

# %% [markdown] lang="en"
r"""
## 3. im2col: every window a column

Nobody multiplies by $T$: 97 of 100 products would be with a zero. Turn it round. Write the *kernel* as a short row and every *window* as a column beside it:

$$\begin{pmatrix} w_{00} & w_{01} & w_{10} & w_{11} \end{pmatrix}
\begin{pmatrix} x_{00} & x_{01} & x_{10} & x_{11} \\ x_{01} & x_{02} & x_{11} & x_{12} \\ x_{10} & x_{11} & x_{20} & x_{21} \\ x_{11} & x_{12} & x_{21} & x_{22} \end{pmatrix}
= \begin{pmatrix} y_{00} & y_{01} & y_{10} & y_{11} \end{pmatrix}$$

for a $2 \times 2$ kernel on a $3 \times 3$ image. Several channels make the columns longer, several kernels are several rows. The product is a dense one, which hardware is best at. The price is memory: every pixel is copied up to $k_h k_w$ times. The trick is from
[Chellapilla, Puri and Simard (2006)](https://inria.hal.science/inria-00112631), who called it unrolling.

`im2col` only copies. It needs no loop over pictures or pixels: for a fixed place $(a, b)$ in the window, what it meets in *all* windows of *all* pictures is one strided slice of the padded array. (`np.lib.stride_tricks.sliding_window_view` is another way.)
"""

# %% [markdown] lang="zh"
r"""
## 3. im2col：每个窗口成为一列

没有人真的去乘 $T$：100 次乘法里有 97 次乘的是零。换个角度：把*核*写成短短的一行，把每个*窗口*写成它旁边的一列：

$$\begin{pmatrix} w_{00} & w_{01} & w_{10} & w_{11} \end{pmatrix}
\begin{pmatrix} x_{00} & x_{01} & x_{10} & x_{11} \\ x_{01} & x_{02} & x_{11} & x_{12} \\ x_{10} & x_{11} & x_{20} & x_{21} \\ x_{11} & x_{12} & x_{21} & x_{22} \end{pmatrix}
= \begin{pmatrix} y_{00} & y_{01} & y_{10} & y_{11} \end{pmatrix}$$

这是 $3 \times 3$ 图像上 $2 \times 2$ 核的情形。通道多了，列就变长；核多了，就多几行。这是稠密矩阵的乘积，硬件最擅长。代价是内存：每个像素最多被复制 $k_h k_w$ 次。这个办法出自
[Chellapilla、Puri 与 Simard（2006）](https://inria.hal.science/inria-00112631)，他们称之为展开（unrolling）。

`im2col` 只做复制。它不需要对图片或像素循环：固定窗口中的一个位置 $(a, b)$，它在*所有*图片的*所有*窗口里遇到的元素，就是填充后数组的一个带步长的切片。
（用 `np.lib.stride_tricks.sliding_window_view` 也可以。）
"""

# %% exercise="im2col"
from ladder.solutions.stage1_foundation.day05_convolution_and_pooling import im2col

# %% [markdown] lang="zh" docstring="im2col"
r"""图像的每个窗口成为一列：形状为 ``(B, C * kh * kw, Ho * Wo)``。

``x`` 的四边各补 ``pad`` 行或列零；Ho 与 Wo 分别是 H 与 kh、W 与 kw 的 ``out_size``。图像 b 的第 ``i * Wo + j`` 列，
是填充后的图像中从第 ``i * stride`` 行、第 ``j * stride`` 列开始的窗口，由形状 (C, kh, kw) 展平而成。
结果是独立的数组；``x`` 保持原样。一个窗口都放不下时抛出 ValueError。
"""

# %% [markdown] hint="im2col" lang="en"
r"""
Fill an array with the axes (B, C, kh, kw, Ho, Wo), then reshape. Which slice of the padded x belongs to the place (a, b) of the kernel?
"""

# %% [markdown] hint="im2col" lang="zh"
r"""
先填一个轴为 (B, C, kh, kw, Ho, Wo) 的数组，再 reshape。核中的位置 (a, b) 对应填充后 x 的哪个切片？
"""

# %% [markdown] hint="im2col" lang="en"
r"""
np.pad pads only the last two axes if the pairs of the first two are (0, 0). The slice starts at a, has the step stride, and Ho entries: so it ends before a + stride * Ho. The same for b and Wo.
"""

# %% [markdown] hint="im2col" lang="zh"
r"""
给 np.pad 的前两个轴传 (0, 0)，就只填充后两个轴。切片从 a 开始，步长为 stride，共 Ho 个元素，因此在 a + stride * Ho 之前结束。b 与 Wo 同理。
"""

# %%
from ladder.graders.stage1_foundation.day05_convolution_and_pooling import check_im2col

check_im2col(im2col)

# %% [markdown] lang="en"
r"""
## 4. col2im: the way back

`im2col` copies, so you know its backward pass from Day 3: what was copied is **summed**. `col2im` puts every entry of the columns back to the pixel it came from, and adds. It is the transpose of a matrix of zeros and ones, which one equation says completely:

$$\langle \operatorname{im2col}(x),\, C \rangle = \langle x,\, \operatorname{col2im}(C) \rangle \quad \text{for all } x \text{ and } C .$$

It is *not* the inverse: `col2im(im2col(x))` is $x$ times the number of windows in which each pixel lies.
"""

# %% [markdown] lang="zh"
r"""
## 4. col2im：反向的路

`im2col` 做的是复制，它的反向你在第 3 天就知道了：被复制的要**求和**。`col2im` 把各列的每个元素放回它来自的那个像素，并累加。它是一个由 0 和 1 组成的矩阵的转置，一个等式就说清了全部：

$$\langle \operatorname{im2col}(x),\, C \rangle = \langle x,\, \operatorname{col2im}(C) \rangle \quad \text{for all } x \text{ and } C .$$

它*不是*逆：`col2im(im2col(x))` 等于 $x$ 乘以每个像素所在窗口的个数。
"""

# %% exercise="col2im"
from ladder.solutions.stage1_foundation.day05_convolution_and_pooling import col2im

# %% [markdown] lang="zh" docstring="col2im"
r"""对形状为 ``shape`` (B, C, H, W) 的图像，``im2col`` 的向量-Jacobian 积。

以相同的参数，``im2col`` 把图像的像素 (b, c, h, w) 复制到 ``cols`` 的若干位置；结果的元素 (b, c, h, w) 就是 ``cols`` 在
这些位置上的和。因此对每个形状为 ``shape`` 的 x，都有
``(im2col(x, ...) * cols).sum() == (x * col2im(cols, ...)).sum()``。不在任何窗口中的像素得 0。``cols`` 保持原样。
"""

# %% [markdown] hint="col2im" lang="en"
r"""
Read your im2col from the bottom up: each assignment becomes an addition in the other direction.
"""

# %% [markdown] hint="col2im" lang="zh"
r"""
把你的 im2col 从下往上读：每一次赋值，都变成反方向的一次相加。
"""

# %% [markdown] hint="col2im" lang="en"
r"""
Start from zeros of the padded size, reshape the columns to (B, C, kh, kw, Ho, Wo), add one part after the other to its slice with +=, and cut the padding off at the end.
"""

# %% [markdown] hint="col2im" lang="zh"
r"""
从填充后大小的零数组开始，把各列 reshape 成 (B, C, kh, kw, Ho, Wo)，用 += 逐个加到相应的切片上，最后裁掉填充。
"""

# %%
from ladder.graders.stage1_foundation.day05_convolution_and_pooling import check_col2im

check_col2im(col2im)

# %% [markdown] lang="en"
r"""
Columns of ones show in how many windows each pixel lies, and hence how many gradients it receives. Without padding the border is seen less often than the middle. With stride 2 a 3x3 kernel sees some pixels four times as often as others, a 4x4 kernel sees all (but the border) equally. The
checkerboard is a real nuisance in networks that draw pictures with transposed convolutions: see Odena et al., [Deconvolution and Checkerboard Artifacts](https://distill.pub/2016/deconv-checkerboard/).
"""

# %% [markdown] lang="zh"
r"""
全为 1 的列，显示出每个像素在几个窗口中，也就是它会收到几份梯度。不填充时，边缘被看到的次数比中间少。步幅为 2 时，3x3 的核看某些像素的次数是另一些的四倍，而 4x4 的核看所有像素的次数相同（边缘除外）。
在用转置卷积画图的网络里，这种棋盘格是真实的麻烦：见 Odena 等人的 [Deconvolution and Checkerboard Artifacts](https://distill.pub/2016/deconv-checkerboard/)。
"""

# %%
fig, axes = plt.subplots(1, 4, figsize=(11.5, 3), layout="constrained")
for ax, (k, stride, pad) in zip(axes, ((3, 1, 0), (3, 1, 1), (3, 2, 0), (4, 2, 0)), strict=True):
    windows = out_size(12, k, stride, pad) ** 2
    times = col2im(np.ones((1, k * k, windows)), (1, 1, 12, 12), k, k, stride, pad)[0, 0]
    fig.colorbar(ax.imshow(times, cmap="magma", vmin=0), ax=ax, shrink=0.8)
    ax.set(title=f"kernel {k}x{k}, stride {stride}, pad {pad}", xlabel="column", ylabel="row")
fig.suptitle("how many windows hold a pixel")
plt.show()

# %% [markdown] lang="en"
r"""
## 5. Convolution, forward and backward

For one picture of the batch let $X_b$ be its columns ($K \times L$, with $K = C k_h k_w$ and $L = H_o W_o$) and $W$ the kernels as rows ($O \times K$). Then

$$Y_b = W X_b, \qquad \bar W = \sum_b \bar Y_b X_b^\top, \qquad \bar X_b = W^\top \bar Y_b, \qquad \bar x = \operatorname{col2im}(\bar X).$$

The first three are Day 3's matrix product; the sum is there because the whole batch uses one $W$. The columns are computed again in the backward pass rather than kept: they are $k_h k_w$ times as large as the picture, and copying is cheap.
"""

# %% [markdown] lang="zh"
r"""
## 5. 卷积的前向与反向

对批中的一张图片，设 $X_b$ 是它的各列（$K \times L$，其中 $K = C k_h k_w$，$L = H_o W_o$），$W$ 以各个核为行（$O \times K$）。那么

$$Y_b = W X_b, \qquad \bar W = \sum_b \bar Y_b X_b^\top, \qquad \bar X_b = W^\top \bar Y_b, \qquad \bar x = \operatorname{col2im}(\bar X).$$

前三个就是第 3 天的矩阵乘法；有求和，是因为整批图片共用一个 $W$。反向时重新计算各列，而不是把它们留着：它们是图片的 $k_h k_w$ 倍大，而复制很便宜。
"""

# %% exercise="conv2d"
from ladder.solutions.stage1_foundation.day05_convolution_and_pooling import conv2d_forward, conv2d_backward

# %% [markdown] lang="zh" docstring="conv2d_forward"
r"""对一批图像做卷积，不含偏置；x 像 ``im2col`` 中那样用零填充，

    y[b, o, i, j] = sum_{c, a, d} w[o, c, a, d] x[b, c, i * stride + a, j * stride + d]

两个参数都保持原样。
"""

# %% [markdown] lang="zh" docstring="conv2d_backward"
r"""``(dx, dw)``：损失对 ``conv2d_forward`` 两个操作数的梯度。

``dY`` 是 dL/dY，其中 Y = ``conv2d_forward(x, w, stride, pad)``，形状与 Y 相同；dx 的形状与 x 相同，dw 的形状与 w 相同，
批中各图像的贡献相加。``need_dx=False`` 时 dx 为 None（不花任何代价）：没有人需要对图片的梯度。所有参数保持原样。
"""

# %% [markdown] hint="conv2d" lang="en"
r"""
w.reshape(O, -1) is W: its rows are raveled from (C, kh, kw), as the columns of im2col are. `@` multiplies a matrix with every matrix of a stack. Reshape dY to (B, O, L) first.
"""

# %% [markdown] hint="conv2d" lang="zh"
r"""
w.reshape(O, -1) 就是 W：它的行是从 (C, kh, kw) 展平的，与 im2col 的列一致。`@` 可以把一个矩阵与一叠矩阵逐个相乘。先把 dY reshape 成 (B, O, L)。
"""

# %% [markdown] hint="conv2d" lang="en"
r"""
dw: dY @ the columns with their last two axes exchanged has shape (B, O, K); sum over axis 0 and give it w's shape. dx: col2im of W.T @ dY, with x's shape and the same kernel, stride and pad.
"""

# %% [markdown] hint="conv2d" lang="zh"
r"""
dw：dY @（最后两轴互换的各列）形状为 (B, O, K)；沿 0 轴求和，再变成 w 的形状。dx：对 W.T @ dY 做 col2im，传入 x 的形状和同样的核大小、步幅、填充。
"""

# %%
from ladder.graders.stage1_foundation.day05_convolution_and_pooling import check_conv2d_forward

check_conv2d_forward(conv2d_forward)

# %%
from ladder.graders.stage1_foundation.day05_convolution_and_pooling import check_conv2d_backward

check_conv2d_backward(conv2d_backward)

# %% [markdown] lang="en"
r"""
Three ways to the same numbers: your convolution, the Toeplitz matrix, and Python loops over the pixels. First their difference (also of $\bar x$ and $T^\top \bar y$), then the time for a batch of 32 pictures. Below, three kernels made by hand on one digit: a
convolution can blur, and it can find edges. A CNN finds its kernels itself.
"""

# %% [markdown] lang="zh"
r"""
三条路得到同样的数：你的卷积、Toeplitz 矩阵、对像素的 Python 循环。先看它们的差（还有 $\bar x$ 与 $T^\top \bar y$ 的差），再看处理一批 32 张图片的时间。
下面是三个手工设计的核作用在一个数字上：卷积可以模糊，也可以找边缘。CNN 会自己找到它的核。
"""

# %%
mnist = load("mnist")
print(mnist.notice(language()))
train_images, train_labels, test_images, test_labels = (
    read_idx(mnist[name]) for name in ("train_images", "train_labels", "test_images", "test_labels"))
quick = os.environ.get("LADDER_QUICK") == "1"  # a short run, to test this notebook
if quick:
    train_images, train_labels = train_images[:1500], train_labels[:1500]
    test_images, test_labels = test_images[:500], test_labels[:500]
x, w = train_images[:32, None] / 255, np.random.default_rng(0).normal(size=(1, 1, 5, 5))
T = conv_toeplitz(w[0, 0], 28, 28)


def by_loops(x, w):
    y = np.zeros((len(x), 1, 24, 24))
    for b in range(len(x)):
        for i in range(24):
            for j in range(24):
                y[b, 0, i, j] = (w[0] * x[b, :, i:i + 5, j:j + 5]).sum()
    return y


ways = {"loops": lambda: by_loops(x, w),
        "Toeplitz matrix": lambda: (x.reshape(32, -1) @ T.T).reshape(32, 1, 24, 24),
        "im2col": lambda: conv2d_forward(x, w)}
for name, way in ways.items():
    start = time.perf_counter()
    y = way()
    print(f"{name:16} {1e3 * (time.perf_counter() - start):8.2f} ms   "
          f"largest difference {np.abs(y - conv2d_forward(x, w)).max():.1e}")
dx, _ = conv2d_backward(y, x, w)
print(f"dx and T^T dy: largest difference {np.abs(dx.reshape(32, -1) - y.reshape(32, -1) @ T).max():.1e}")

sobel = np.array([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]])
kernels = {"blur": np.full((3, 3), 1 / 9), "horizontal edges": sobel, "vertical edges": sobel.T}
fig, axes = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
axes[0].imshow(x[0, 0], cmap="gray_r")
axes[0].set(title="x")
for ax, (name, kernel) in zip(axes[1:], kernels.items(), strict=True):
    y = conv2d_forward(x[:1], kernel[None, None], 1, 1)[0, 0]
    ax.imshow(y, cmap="coolwarm", vmin=-np.abs(y).max(), vmax=np.abs(y).max())
    ax.set(title=name)
for ax in axes:
    ax.axis("off")
plt.show()

# %% [markdown] lang="en"
r"""
## 6. Conv2d in your engine

A new layer of the engine is a forward formula and a new $\bar y \mapsto \bar x$; you have both. Its node has three operands, $x$, the weights and a bias for each output channel, and its `_backward` hands each of them its share with `accumulate`. How does the bias enter, and at how many places?

The initialisation is yesterday's: variance $2/n$, where $n$ is the number of inputs that one output sums up.
"""

# %% [markdown] lang="zh"
r"""
## 6. 在你的引擎中加入 Conv2d

引擎的新层，就是一个前向公式加一个新的 $\bar y \mapsto \bar x$；两样你都有了。它的节点有三个操作数：$x$、权重、每个输出通道一个的偏置；它的 `_backward` 用 `accumulate` 把各自的一份交给它们。
偏置是怎样进入的，加到了多少个位置上？

初始化与昨天一样：方差为 $2/n$，其中 $n$ 是一个输出所求和的输入个数。
"""

# %% exercise="conv2d_layer"
from ladder.solutions.stage1_foundation.day05_convolution_and_pooling import Conv2d

# %% [markdown] lang="zh" docstring="Conv2d"
r"""卷积层，卷积核是方的，每个输出通道有一个偏置。

``weight`` 是形状 (O, C, k, k) 的 Tensor，``bias`` 是形状 (O,) 的 Tensor，其中 O = out_channels、C = in_channels、
k = kernel_size；两者都是需要梯度的叶子。
"""

# %% [markdown] lang="zh" docstring="Conv2d.__init__"
r"""设置 ``weight``、``bias``、``stride`` 和 ``padding``。

与第 4 天的 Linear 一样，设 n = in_channels * kernel_size^2，即一个输出所求和的输入个数：每个权重独立地、均匀地取自
[-sqrt(6/n), sqrt(6/n)]，每个偏置均匀地取自 [-1/sqrt(n), 1/sqrt(n)]；由 ``rng`` 抽取，未给出时由
``np.random.default_rng()`` 抽取。
"""

# %% [markdown] lang="zh" docstring="Conv2d.__call__"
r"""以 ``weight`` 对 ``x`` 做 ``conv2d_forward``，再在通道 o 的每个位置加上 ``bias[o]``。

使用调用时刻的 ``weight`` 与 ``bias``。对结果调用 ``backward()`` 之后，``weight`` 与 ``bias`` 有了梯度；``x`` 如果需要梯度，也有了；
如果不需要，就不在它上面花时间。
"""

# %% [markdown] lang="zh" docstring="Conv2d.parameters"
r"""``[weight, bias]``，就是这两个 Tensor 本身。"""

# %% [markdown] hint="conv2d_layer" lang="en"
r"""
Look at Day 4's ReLU: a forward value, a closure that accumulates, a Tensor that keeps the operands. bias[:, None, None] lines a vector of channels up with (B, O, Ho, Wo).
"""

# %% [markdown] hint="conv2d_layer" lang="zh"
r"""
参照第 4 天的 ReLU：前向的值、负责累加的闭包、保存操作数的 Tensor。bias[:, None, None] 能让各通道组成的向量与 (B, O, Ho, Wo) 对齐。
"""

# %% [markdown] hint="conv2d_layer" lang="en"
r"""
The bias was copied to all pictures, rows and columns; sum grad over these three axes. Pass x.requires_grad as need_dx, and leave x alone if it is False. Or add the bias as a Tensor, bias.reshape(-1, 1, 1), and let the engine do it.
"""

# %% [markdown] hint="conv2d_layer" lang="zh"
r"""
偏置被复制到了所有图片、行和列；对这三个轴求 grad 的和。把 x.requires_grad 作为 need_dx 传入；它为 False 时不要动 x。也可以把偏置当作 Tensor 加上去，即 bias.reshape(-1, 1, 1)，让引擎去处理。
"""

# %%
from ladder.graders.stage1_foundation.day05_convolution_and_pooling import check_conv2d

check_conv2d(Conv2d, Tensor)

# %%
from ladder.graders.stage1_foundation.day05_convolution_and_pooling import check_conv2d_init

check_conv2d_init(Conv2d)

# %% [markdown] lang="en"
r"""
## 7. Pooling

After a convolution one often asks only *whether* a feature is somewhere in a region, not where exactly. **Max pooling** keeps the largest entry of each window, **average pooling** the mean. Both work on each channel alone, have no parameters, and with windows of 2x2 and stride 2 leave a quarter of the numbers.

Their gradients: a maximum hands everything to the winner (the other entries could move a little without any effect), a mean hands everyone $1/k^2$. Where several entries are equally large the maximum has no derivative, and frameworks choose. Day 3's `max` shared the gradient, as
`torch.amax` does; PyTorch's pooling gives all of it to the first, and so will yours. After a ReLU ties are common: whole windows are 0.

`forward` returns what `backward` will need as a `cache`; what it is, is up to you. The layer's `__call__` is given.
"""

# %% [markdown] lang="zh"
r"""
## 7. 池化

卷积之后，人们往往只关心某个特征*有没有*出现在一个区域里，而不关心它的确切位置。**最大池化**保留每个窗口的最大元素，**平均池化**保留平均值。两者都对每个通道单独进行，没有参数；窗口 2x2、步幅 2 时，留下四分之一的数。

它们的梯度：最大值把一切交给胜者（其他元素稍微一动不会有任何影响），平均值给每个元素 $1/k^2$。有几个元素同样大时，最大值不可导，各框架自行选择。第 3 天的 `max` 让它们平分梯度，与
`torch.amax` 相同；PyTorch 的池化则全部给第一个，你的也照此办理。在 ReLU 之后相等很常见：整个窗口都是 0。

`forward` 把 `backward` 将要用到的东西作为 `cache` 返回；里面放什么由你决定。层的 `__call__` 已给出。
"""

# %% exercise="max_pool"
from ladder.solutions.stage1_foundation.day05_convolution_and_pooling import MaxPool2d

# %% [markdown] lang="zh" docstring="MaxPool2d"
r"""每个 ``kernel_size`` x ``kernel_size`` 窗口的最大元素，逐通道进行。

窗口的位置与不填充的 ``im2col`` 相同；``stride`` 未给出时等于 ``kernel_size``。数组上的计算在 ``forward`` 和 ``backward`` 中；
调用这一层，就把它们放进计算图。
"""

# %% [markdown] lang="zh" docstring="MaxPool2d.forward"
r"""``(y, cache)``：形状为 (B, C, Ho, Wo) 的 y，以及 ``backward`` 将要用到的东西。

不在层里保存任何东西，因为在 ``backward`` 之前它可能被调用好几次。``x`` 保持原样。一个窗口都放不下时抛出 ValueError。
"""

# %% [markdown] lang="zh" docstring="MaxPool2d.backward"
r"""dL/dx，其中 ``x`` 是 ``forward`` 返回 ``cache`` 时的输入，``dy`` = dL/dy。

dy 的每个元素交给 x 中那个窗口里最大的元素；有几个同样大时，交给按窗口的行序排在最前的那个，与 PyTorch 相同。
窗口重叠处梯度相加。``dy`` 保持原样。
"""

# %% [markdown] hint="max_pool" lang="en"
r"""
A fixed place in the window is again one strided slice of x, with the shape of y. Go through the places in order, and keep two arrays: the largest value so far, and the number of the place where it was found.
"""

# %% [markdown] hint="max_pool" lang="zh"
r"""
窗口中一个固定的位置，仍然是 x 的一个带步长的切片，形状与 y 相同。依次走过各个位置，维护两个数组：到目前为止的最大值，以及它是在第几个位置找到的。
"""

# %% [markdown] hint="max_pool" lang="en"
r"""
`>` keeps the first of equals, `>=` the last. Start from the first slice, not from 0. Backward, add dy * (winner == n) to the slice of place n of an array of zeros. (Or see each channel as a picture of its own and use im2col, argmax and col2im.)
"""

# %% [markdown] hint="max_pool" lang="zh"
r"""
`>` 保留相等者中的第一个，`>=` 保留最后一个。从第一个切片开始，而不是从 0 开始。反向时，把 dy * (winner == n) 加到零数组中第 n 个位置的切片上。（也可以把每个通道看成一张图片，用 im2col、argmax 和 col2im。）
"""

# %%
from ladder.graders.stage1_foundation.day05_convolution_and_pooling import check_max_pool

check_max_pool(MaxPool2d, Tensor)

# %% exercise="avg_pool"
from ladder.solutions.stage1_foundation.day05_convolution_and_pooling import AvgPool2d

# %% [markdown] lang="zh" docstring="AvgPool2d"
r"""每个窗口的平均值，窗口与 ``MaxPool2d`` 的相同。"""

# %% [markdown] lang="zh" docstring="AvgPool2d.forward"
r"""形状为 (B, C, Ho, Wo) 的 y。``x`` 保持原样；一个窗口都放不下时抛出 ValueError。"""

# %% [markdown] lang="zh" docstring="AvgPool2d.backward"
r"""形状为 ``shape`` 的 ``x`` 的 dL/dx，其中 ``dy`` = dL/dy，保持原样。"""

# %% [markdown] hint="avg_pool" lang="en"
r"""
The same slices as before, and nobody has to win.
"""

# %% [markdown] hint="avg_pool" lang="zh"
r"""
切片与前面相同，只是不必分出胜负。
"""

# %% [markdown] hint="avg_pool" lang="en"
r"""
A window holds kernel_size squared entries. Backward, every slice receives the same array; add, since windows may overlap.
"""

# %% [markdown] hint="avg_pool" lang="zh"
r"""
一个窗口有 kernel_size 的平方个元素。反向时每个切片收到同一个数组；要用加法，因为窗口可能重叠。
"""

# %%
from ladder.graders.stage1_foundation.day05_convolution_and_pooling import check_avg_pool

check_avg_pool(AvgPool2d, Tensor)

# %% [markdown] lang="en"
r"""
One digit, pooled by windows of 4x4 in both ways, and where a gradient of ones goes: to single pixels, or spread evenly. In the empty background all 16 pixels of a window tie, and the one at the top left gets it all.
"""

# %% [markdown] lang="zh"
r"""
一个数字，用 4x4 的窗口以两种方式池化，以及全为 1 的梯度去了哪里：去了单个像素，或者均匀铺开。在空白背景里，一个窗口的 16 个像素全都相等，梯度全归左上角那个。
"""

# %%
fig, axes = plt.subplots(1, 5, figsize=(12, 2.8), layout="constrained")
axes[0].imshow(x[0, 0], cmap="gray_r")
axes[0].set(title="x")
for pool, top, bottom in ((MaxPool2d(4), axes[1], axes[2]), (AvgPool2d(4), axes[3], axes[4])):
    picture = Tensor(x[:1])
    y = pool(picture)
    y.backward(np.ones(y.shape))
    top.imshow(y.data[0, 0], cmap="gray_r")
    top.set(title=f"{type(pool).__name__}(4)")
    fig.colorbar(bottom.imshow(picture.grad[0, 0], cmap="Blues", vmin=0), ax=bottom, shrink=0.8)
    bottom.set(title="gradient of x")
for ax in axes:
    ax.axis("off")
plt.show()

# %% [markdown] lang="en"
r"""
## 8. A small CNN

The plan is that of [LeNet (LeCun et al., 1998)](http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf): convolve, pool, convolve, pool, and classify what is left.

| layer | output for one picture | parameters |
| --- | --- | --- |
| Unflatten | 1 x 28 x 28 | |
| Conv2d 5x5, ReLU | 8 x 24 x 24 | 208 |
| MaxPool2d(2) | 8 x 12 x 12 | |
| Conv2d 5x5, ReLU | 16 x 8 x 8 | 3,216 |
| MaxPool2d(2) | 16 x 4 x 4 | |
| Flatten, Linear | 10 | 2,570 |

Together 5,994 parameters; yesterday's MLP had 101,770. Yesterday's `train_digits` and `predict` feed rows of 784 numbers, so the network begins with `Unflatten` (given), which makes images of them.
"""

# %% [markdown] lang="zh"
r"""
## 8. 一个小型 CNN

结构取自 [LeNet（LeCun 等，1998）](http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf)：卷积、池化、卷积、池化，再对剩下的做分类。

| 层 | 一张图片的输出 | 参数 |
| --- | --- | --- |
| Unflatten | 1 x 28 x 28 | |
| Conv2d 5x5, ReLU | 8 x 24 x 24 | 208 |
| MaxPool2d(2) | 8 x 12 x 12 | |
| Conv2d 5x5, ReLU | 16 x 8 x 8 | 3,216 |
| MaxPool2d(2) | 16 x 4 x 4 | |
| Flatten, Linear | 10 | 2,570 |

一共 5,994 个参数；昨天的 MLP 有 101,770 个。昨天的 `train_digits` 和 `predict` 送进来的是每行 784 个数，所以网络以 `Unflatten`（已给出）开头，把它们变成图像。
"""

# %% exercise="cnn"
from ladder.solutions.stage1_foundation.day05_convolution_and_pooling import Flatten, Unflatten, small_cnn

# %% [markdown] lang="zh" docstring="Flatten"
r"""把除第一个轴以外的所有轴合成一个轴，没有参数的层。"""

# %% [markdown] lang="zh" docstring="Flatten.__call__"
r"""形状 (B, ...) 的 ``x`` 变成形状 (B, n) 的 Tensor，元素按 C 顺序。"""

# %% [markdown] lang="zh" docstring="Flatten.parameters"
r"""空列表。"""

# %% [markdown] lang="zh" docstring="small_cnn"
r"""识别十个数字的 CNN：输入 Tensor (B, side * side)，输出 logit (B, 10)。

先 Unflatten 成一个通道的 (side, side)，然后连做两次：5x5 核、步幅 1、不填充的 Conv2d，第一次输出 ``channels[0]`` 个通道，
第二次输出 ``channels[1]`` 个；ReLU；2x2 的 MaxPool2d。最后 Flatten，再用 Linear 得到 10 个 logit。``side`` 至少为 16；
除不尽的边长（例如 19）会丢掉池化剩下的那些行。带参数的各层按此顺序由 ``rng`` 抽取。
"""

# %% [markdown] hint="cnn" lang="en"
r"""
Follow the table from top to bottom. Flatten needs nothing but reshape. How long is the row that Linear gets?
"""

# %% [markdown] hint="cnn" lang="zh"
r"""
照着表从上往下写。Flatten 只需要 reshape。Linear 收到的一行有多长？
"""

# %% [markdown] hint="cnn" lang="en"
r"""
Apply out_size four times, for each convolution and each pooling (whose stride is 2): channels[1] times the square of the last result. Conv2d's rng is its last argument: write rng=rng.
"""

# %% [markdown] hint="cnn" lang="zh"
r"""
对每次卷积和每次池化（步幅为 2）各用一次 out_size，共四次：channels[1] 乘以最后结果的平方。Conv2d 的 rng 是最后一个参数：写成 rng=rng。
"""

# %%
from ladder.graders.stage1_foundation.day05_convolution_and_pooling import check_cnn

check_cnn(Flatten, small_cnn, Tensor)

# %% [markdown] lang="en"
r"""
**Train it.** Two epochs with learning rate 0.05, one with a tenth of that to settle down. **Target:** test accuracy above 0.98 in less than four minutes. The reference reaches 0.9898 (seed 0) in 100 seconds on two cores that others were using too; 45 seconds
of CPU time were its own. You can interrupt the kernel; what was learned stays.
"""

# %% [markdown] lang="zh"
r"""
**训练它。** 先以学习率 0.05 训练两轮，再以它的十分之一训练一轮，让网络稳定下来。**目标：**四分钟之内测试准确率高于 0.98。参考实现（种子 0）达到 0.9898，用时 100 秒，当时那两个核还有别的程序在用；
它自己占用的 CPU 时间是 45 秒。可以中断内核，已学到的内容会保留。
"""

# %%
rng = np.random.default_rng(0)
model = small_cnn(rng)
untrained = model.layers[1].weight.data.copy()
losses = []
for epochs, lr in ((2, 0.05), (1, 0.005)):
    losses += train_digits(model, train_images, train_labels, rng, epochs=epochs, batch_size=64, lr=lr)
predicted = predict(model, test_images)
print(f"test accuracy: {np.mean(predicted == test_labels):.4f}")
print(mnist.notice(language()))

# %%
width = max(1, len(losses) // 60)
smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
wrong = np.flatnonzero(predicted != test_labels)
fig, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
left.semilogy(losses, lw=0.4, color="0.75")
left.semilogy(np.arange(len(smooth)) + width // 2, smooth)
left.set(xlabel="step", ylabel="cross-entropy of the batch", title="loss")
rows = [np.hstack([np.pad(kernel[0], 1, constant_values=np.nan) for kernel in kernels])
        for kernels in (untrained, model.layers[1].weight.data)]
middle.imshow(np.vstack(rows), cmap="coolwarm", vmin=-0.8, vmax=0.8)
middle.set(title="8 kernels: drawn (top), learned (bottom)")
middle.axis("off")
tiles = [np.pad(test_images[k], 2, constant_values=40) for k in wrong[:28]]
tiles += [np.zeros((32, 32))] * (28 - len(tiles))
right.imshow(np.block([tiles[r * 7:r * 7 + 7] for r in range(4)]), cmap="gray_r")
right.set(title=f"the first of {len(wrong)} mistakes")
right.axis("off")
plt.show()

# %% [markdown] lang="en"
r"""
What does the CNN know that the MLP does not? Take away the neighbours: move the 784 pixels of all pictures to other places, in one fixed random order. To an MLP that is the same task as before. Below, both networks learn from the first few thousand pictures, as they are and shuffled.
"""

# %% [markdown] lang="zh"
r"""
CNN 知道而 MLP 不知道的是什么？把邻居关系拿走：用同一个固定的随机次序，打乱所有图片的 784 个像素。对 MLP 来说，任务与原来一样。下面让两个网络都只用开头几千张图片学习，一次用原图，一次用打乱后的图。
"""

# %%
count, epochs = (500, 1) if quick else (6000, 2)
order = np.random.default_rng(1).permutation(784)
few, unseen = train_images[:count].reshape(-1, 784), test_images[:2000].reshape(-1, 784)
makers = {"MLP": lambda rng: MLP([784, 128, 10], rng), "CNN": small_cnn}
accuracy = {}
for name, make in makers.items():
    for told, places in (("pixels as they are", slice(None)), ("pixels shuffled", order)):
        rng = np.random.default_rng(0)
        learner = make(rng)
        train_digits(learner, few[:, places], train_labels[:count], rng, epochs=epochs, batch_size=64, lr=0.05)
        accuracy[name, told] = np.mean(predict(learner, unseen[:, places]) == test_labels[:2000])
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for shift, told in ((-0.2, "pixels as they are"), (0.2, "pixels shuffled")):
    bars = ax.bar([at + shift for at in range(2)], [accuracy[name, told] for name in makers], 0.38, label=told)
    ax.bar_label(bars, fmt="%.3f")
ax.set(xticks=range(2), xticklabels=makers, ylabel=f"accuracy on {len(unseen)} test pictures", ylim=(0, 1.25),
       title=f"{epochs} epoch(s) of {count} pictures")
ax.legend(loc="upper center", ncols=2)
plt.show()

# %% [markdown] lang="en"
r"""
With the reference (seed 0, MNIST) shuffling changes the MLP's accuracy from 0.893 to 0.897, which is nothing, and the CNN's from 0.939 to 0.805. That nearby pixels belong together is *built into* the CNN; where that is true of the data, it needs fewer examples, and where it is not, it is in the way.

## What you have now

| piece | in PyTorch |
| --- | --- |
| `im2col`, `col2im` | `torch.nn.functional.unfold`, `fold` |
| `conv2d_forward`, `conv2d_backward` | `torch.nn.functional.conv2d` and its gradient |
| `Conv2d`, `MaxPool2d`, `AvgPool2d`, `Flatten` | `torch.nn`, the same names |

Convolution as one matrix product was the way cuDNN began, with the columns made in small pieces inside the kernel so that they never fill the memory ([Chetlur et al., 2014](https://arxiv.org/abs/1410.0759), section 3). The same idea, *do not write the large matrix down*, returns with FlashAttention. The speed of your layers' reference against
PyTorch on this machine: `python bench/engine.py`. Tomorrow: what happens to signals and gradients when networks get deep.
"""

# %% [markdown] lang="zh"
r"""
参考实现（种子 0，MNIST）的结果：打乱像素使 MLP 的准确率从 0.893 变为 0.897，等于没变；CNN 则从 0.939 降到 0.805。“相邻的像素彼此相关”是*写在* CNN 结构里的：数据真是这样时，它需要的样本更少；数据不是这样时，它反而碍事。

## 你现在拥有的工具

| 部件 | PyTorch 中的对应 |
| --- | --- |
| `im2col`、`col2im` | `torch.nn.functional.unfold`、`fold` |
| `conv2d_forward`、`conv2d_backward` | `torch.nn.functional.conv2d` 及其梯度 |
| `Conv2d`、`MaxPool2d`、`AvgPool2d`、`Flatten` | `torch.nn`，名字相同 |

把卷积写成一个矩阵乘积，正是 cuDNN 最初的做法，只不过各列是在算子内部一小块一小块地生成，从不占满内存（[Chetlur 等，2014](https://arxiv.org/abs/1410.0759)，第 3 节）。*不把大矩阵写出来*，同样的想法在 FlashAttention 中还会出现。在这台机器上，你这些层的参考实现与
PyTorch 的速度对比：`python bench/engine.py`。明天：网络变深时，信号和梯度会怎样。
"""

# %% [markdown] lang="en"
r"""
# Day 4 · Layers, SGD, MNIST

Your engine differentiates anything. Today it becomes a library: layers that hold parameters, a container, a loss, an
optimiser. Then it learns, first the sine, then to read handwriting.

At the end of the day you can

- write `Linear`, `ReLU` and `Sequential`, and say why weights are drawn from just that interval;
- derive what momentum does to the step size, and write the SGD that PyTorch uses;
- build cross-entropy as an operation of your engine, with Day 1's $P - Y$ as its backward pass;
- train a network on MNIST to more than 97 % on pictures it has never seen, in about a minute on your CPU, with no framework.

No reading is required. Two sources stand behind the formulas: He et al., *Delving Deep into Rectifiers*,
[arXiv 1502.01852](https://arxiv.org/abs/1502.01852), section 2.2, for the initialisation; Sutskever et al., *On the importance of
initialization and momentum in deep learning*, [ICML 2013](https://proceedings.mlr.press/v28/sutskever13.html), for momentum.
Plan four hours.
"""

# %% [markdown] lang="zh"
r"""
# 第 4 天 · 神经网络层、SGD 与 MNIST

你的引擎已经能对任何表达式求导。今天把它变成一个库：持有参数的层、容器、损失函数、优化器。然后让它学习：
先学正弦函数，再学认手写数字。

学完这一天，你能够

- 写出 `Linear`、`ReLU` 和 `Sequential`，并说明权重为什么恰好取自那个区间；
- 推导动量对步长的影响，写出 PyTorch 所用的那种 SGD；
- 把交叉熵做成引擎的一个运算，反向传播就是第 1 天的 $P - Y$；
- 不用任何框架，在自己的 CPU 上用一分钟左右训练 MNIST，对从未见过的图片准确率超过 97%。

没有必读材料。公式背后有两篇文献：初始化见 He 等人的 *Delving Deep into Rectifiers*，
[arXiv 1502.01852](https://arxiv.org/abs/1502.01852) 第 2.2 节；动量见 Sutskever 等人的 *On the importance of
initialization and momentum in deep learning*，[ICML 2013](https://proceedings.mlr.press/v28/sutskever13.html)。
全天约需四小时。
"""

# %% setup
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, Int, UInt8

from ladder.data import load
from ladder.earlier.day03_tensor_autograd import Tensor
from ladder.notebook import language
from ladder.readers import read_idx
from ladder.training import Training

# %% [markdown] lang="en"
r"""
## 1 · A linear layer, and how large its weights should be

On Day 1 examples were columns, as in the paper. From here on **examples are rows**, as in PyTorch: a batch $x$ has shape
$(B, i)$, and a layer with $i$ inputs and $o$ outputs computes

$$y = xW + b,\qquad W\in\mathbb{R}^{i\times o},\quad b\in\mathbb{R}^{o}$$

The bias is broadcast over the batch, and your engine already knows what that means on the way back.

Where do the weights start? Not at zero: then all units of a layer would compute the same thing, get the same gradient, and stay
equal for ever. At random, then; but how large? Take independent weights of mean 0 and variance $\sigma^2$. One output (leaving out the
bias) is a sum of $i$ terms $x_kW_{kj}$, so its variance is

$$\operatorname{Var}(y_j) = i\,\sigma^2\,\mathbb{E}[x_k^2]$$

If $x$ itself comes out of a ReLU of a symmetric $z$, half of it was set to zero, and $\mathbb{E}[x^2] = \tfrac12\operatorname{Var}(z)$. To get the
variance of one layer equal to that of the layer before, He et al. therefore choose (section 2.2, equation 10)

$$\tfrac12\,i\,\sigma^2 = 1 \quad\Longrightarrow\quad \sigma^2 = \frac{2}{i}$$

A uniform distribution on $[-a, a]$ has variance $a^2/3$, so $a = \sqrt{6/i}$. (PyTorch's own `nn.Linear` draws from the smaller
$[-1/\sqrt{i}, 1/\sqrt{i}]$, weights and biases alike. We take that interval for the biases only.)
"""

# %% [markdown] lang="zh"
r"""
## 1 · 线性层，以及权重该有多大

第 1 天沿用论文的约定，样本是列。从今天起与 PyTorch 一致，**样本是行**：一批 $x$ 的形状为
$(B, i)$，有 $i$ 个输入、$o$ 个输出的层计算

$$y = xW + b,\qquad W\in\mathbb{R}^{i\times o},\quad b\in\mathbb{R}^{o}$$

偏置沿批的方向广播，反向时该怎么做，你的引擎已经知道了。

权重从哪里开始？不能是零：那样一层的所有单元算出的东西相同，得到的梯度相同，就永远相同。所以要随机；可是该多大？
设权重相互独立，均值为 0，方差为 $\sigma^2$。一个输出（不计偏置）是 $i$ 项 $x_kW_{kj}$ 之和，其方差为

$$\operatorname{Var}(y_j) = i\,\sigma^2\,\mathbb{E}[x_k^2]$$

如果 $x$ 是对称分布的 $z$ 经过 ReLU 的结果，就有一半被置为零，于是 $\mathbb{E}[x^2] = \tfrac12\operatorname{Var}(z)$。
为了让一层的方差与前一层相等，He 等人取（第 2.2 节，式 10）

$$\tfrac12\,i\,\sigma^2 = 1 \quad\Longrightarrow\quad \sigma^2 = \frac{2}{i}$$

$[-a, a]$ 上均匀分布的方差为 $a^2/3$，所以 $a = \sqrt{6/i}$。（PyTorch 自己的 `nn.Linear` 无论权重还是偏置，都取自更小的
$[-1/\sqrt{i}, 1/\sqrt{i}]$。我们只有偏置用这个区间。）
"""

# %% exercise="linear"
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import Linear

# %% [markdown] lang="zh" docstring="Linear"
r"""
全连接层 y = x W + b，``i`` 个输入，``o`` 个输出。

``weight`` 是形状 (i, o) 的 Tensor，``bias`` 是形状 (o,) 的 Tensor；二者都是需要梯度的叶子。
"""

# %% [markdown] lang="zh" docstring="Linear.__init__"
r"""
设置 ``weight`` 与 ``bias``。

每个权重独立、均匀地取自 [-sqrt(6/i), sqrt(6/i)]，其方差就是 He 等人的 2/i（arXiv 1502.01852，
第 2.2 节）；每个偏置均匀地取自 [-1/sqrt(i), 1/sqrt(i)]。全部取自 ``rng``，所以相同的生成器给出相同的参数；
没有给 ``rng`` 时取自 ``np.random.default_rng()``。
"""

# %% [markdown] lang="zh" docstring="Linear.__call__"
r"""
``x`` 是形状 (..., i) 的 Tensor，返回 ``x W + b``，形状 (..., o) 的 Tensor。

使用调用时刻的 ``weight`` 与 ``bias``。
"""

# %% [markdown] lang="zh" docstring="Linear.parameters"
r"""
``[weight, bias]``，就是这两个 Tensor 本身。
"""

# %% [markdown] hint="linear" lang="en"
r"""
Three lines of code in all: two Tensors made from rng.uniform, one expression with @ and +, one list. If the gradients are missing, look for a
.data too many.
"""

# %% [markdown] hint="linear" lang="zh"
r"""
总共三件事：用 rng.uniform 造两个 Tensor，一个带 @ 和 + 的表达式，一个列表。如果缺少梯度，检查是不是多写了 .data。
"""

# %% [markdown] hint="linear" lang="en"
r"""
rng.uniform(low, high, size=...) takes the shape (i, o) directly, so that x @ weight needs no transpose. Make a generator yourself only
where rng is None.
"""

# %% [markdown] hint="linear" lang="zh"
r"""
rng.uniform(low, high, size=...) 可以直接给出形状 (i, o)，这样 x @ weight 就不需要转置。只有 rng 为 None 时才自己新建生成器。
"""

# %%
from ladder.graders.stage1_foundation.day04_layers_and_sgd import check_linear

check_linear(Linear, Tensor)

# %%
from ladder.graders.stage1_foundation.day04_layers_and_sgd import check_linear_init

check_linear_init(Linear)

# %% [markdown] lang="en"
r"""
Does the variance argument hold? Send a batch through 30 of your layers with ReLU between them, with the weights as you drew them, half as
large, and 1.5 times as large.
"""

# %% [markdown] lang="zh"
r"""
方差的论证成立吗？让一批数据穿过 30 个你写的层，层间用 ReLU，权重分别取原样、一半和 1.5 倍。
"""

# %%
fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for factor in (0.5, 1.0, 1.5):
    rng = np.random.default_rng(0)
    signal = Tensor(rng.normal(size=(64, 128)), requires_grad=False)
    spread = []
    for _ in range(30):
        layer = Linear(128, 128, rng)
        layer.weight.data *= factor
        layer.bias.data *= 0
        signal = layer(signal)
        spread.append(signal.data.std())
        signal = Tensor(np.maximum(signal.data, 0), requires_grad=False)
    ax.semilogy(range(1, 31), spread, "o-", ms=3, label=f"{factor} times He's weights")
ax.set(xlabel="layer", ylabel="standard deviation of its output")
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
A factor of two in the weights is a factor of $2^{30}\approx10^9$ after 30 layers. The same happens to gradients on the way back. Day 6
looks at both in detail.

## 2 · ReLU

Between two linear layers stands something that is not linear, or the two would be one. The ReLU is the simplest: it lets positive numbers
pass and stops the others, and its derivative is a mask,

$$\operatorname{relu}(z) = \max(0, z),\qquad \operatorname{relu}'(z) = \begin{cases}1 & z > 0\\ 0 & z \le 0\end{cases}$$

(At 0 there is no derivative; like PyTorch we take 0.) You write both as functions on arrays, then a layer on Tensors. Your Day 3 engine
can already do this, and you may use it. Or make a node of your own: `Tensor(data, _prev=(x,), _backward=...)` is all it takes to
teach the engine an operation, and you need it again in part 6.
"""

# %% [markdown] lang="zh"
r"""
权重差一倍，30 层之后就差 $2^{30}\approx10^9$ 倍。梯度往回传时也一样。第 6 天会详细研究这两件事。

## 2 · ReLU

两个线性层之间必须有非线性的东西，否则两层等于一层。ReLU 最简单：正数通过，其余挡住，它的导数是一个掩码：

$$\operatorname{relu}(z) = \max(0, z),\qquad \operatorname{relu}'(z) = \begin{cases}1 & z > 0\\ 0 & z \le 0\end{cases}$$

（在 0 处没有导数；与 PyTorch 一样，我们取 0。）先把二者写成数组上的函数，再写成 Tensor 上的层。第 3 天的引擎已经会做这件事，
可以直接用。也可以自己造一个节点：`Tensor(data, _prev=(x,), _backward=...)` 就足以教会引擎一个新运算，第 6 部分还会用到。
"""

# %% exercise="relu"
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import relu, relu_grad, ReLU

# %% [markdown] lang="zh" docstring="relu"
r"""
对数组的每个元素取 max(0, z)；``z`` 保持原样。
"""

# %% [markdown] lang="zh" docstring="relu_grad"
r"""
``relu`` 在 ``z`` 的每个元素处的导数：z > 0 处为 1.0，其余为 0.0。

z = 0 处导数不存在，约定为 0。``z`` 保持原样。
"""

# %% [markdown] lang="zh" docstring="ReLU"
r"""
激活函数 max(0, x)，作为没有参数的层。
"""

# %% [markdown] lang="zh" docstring="ReLU.__call__"
r"""
对 Tensor ``x`` 的每个元素取 ``relu``，返回 Tensor；其导数为 ``relu_grad``。

``x`` 本身保持原样。
"""

# %% [markdown] lang="zh" docstring="ReLU.parameters"
r"""
空列表。
"""

# %% [markdown] hint="relu" lang="en"
r"""
A comparison of an array with a number is an array of booleans; made floats, it is the derivative. For the layer: the vector-Jacobian product with a
diagonal Jacobian is an elementwise product.
"""

# %% [markdown] hint="relu" lang="zh"
r"""
数组与数比较得到布尔数组；转成浮点数就是导数。至于层：Jacobian 是对角阵时，向量-Jacobian 积就是逐元素相乘。
"""

# %% [markdown] hint="relu" lang="en"
r"""
_backward gets the upstream gradient g and hands x.accumulate the product of g and relu_grad(x.data). Define it inside __call__, so that each use
of the layer remembers its own x. One class has one parameters() to return, an empty list.
"""

# %% [markdown] hint="relu" lang="zh"
r"""
_backward 得到上游梯度 g，把 g 与 relu_grad(x.data) 的乘积交给 x.accumulate。把它定义在 __call__ 里面，这样层的每次使用都记得自己的 x。
parameters() 返回空列表即可。
"""

# %%
from ladder.graders.stage1_foundation.day04_layers_and_sgd import check_relu

check_relu(relu, relu_grad, ReLU, Tensor)

# %% [markdown] lang="en"
r"""
## 3 · Sequential, and the multi-layer perceptron

A **layer** is anything you can call with a Tensor and ask for its `parameters()`. A container that calls layers one after the other is then a
layer as well, and may stand inside another. That is the whole idea of `nn.Module`; a transformer is built from it (Day 12).
"""

# %% [markdown] lang="zh"
r"""
## 3 · Sequential 与多层感知机

能用 Tensor 调用、又能给出 `parameters()` 的，就是**层**。那么依次调用各层的容器也是层，还可以放进另一个容器里。
`nn.Module` 的全部思想就在这里；Transformer 也是这样搭起来的（第 12 天）。
"""

# %% exercise="sequential"
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import Sequential

# %% [markdown] lang="zh" docstring="Sequential"
r"""
依次作用的层；它本身也是层。``layers`` 按先后顺序保存各层。
"""

# %% [markdown] lang="zh" docstring="Sequential.__init__"
r"""
设置 ``self.layers``，由各层本身组成的列表；其中也可以有 Sequential。
"""

# %% [markdown] lang="zh" docstring="Sequential.__call__"
r"""
最后一层的输出；第一层的输入是 ``x``，其余各层的输入是前一层的输出。

没有层时，返回 ``x`` 本身。
"""

# %% [markdown] lang="zh" docstring="Sequential.parameters"
r"""
一个扁平的列表：先是第一层的参数（按它自己的次序），再是第二层的，依此类推。
"""

# %% [markdown] hint="sequential" lang="en"
r"""
One variable that runs through the loop is enough for the call. For parameters(): only ask layers for their parameters(), never what class they are of.
"""

# %% [markdown] hint="sequential" lang="zh"
r"""
调用时用一个变量贯穿循环就够了。parameters()：只向各层要 parameters()，不要判断它是什么类。
"""

# %% [markdown] hint="sequential" lang="en"
r"""
Overwrite x with layer(x) in each turn and return it at the end; with no layers the loop does nothing. A list comprehension with two `for`, the layers first and
then their parameters, flattens.
"""

# %% [markdown] hint="sequential" lang="zh"
r"""
每一轮用 layer(x) 覆盖 x，最后返回；没有层时循环什么都不做。带两个 `for` 的列表推导式（先遍历层，再遍历层的参数）就能展平。
"""

# %%
from ladder.graders.stage1_foundation.day04_layers_and_sgd import check_sequential

check_sequential(Sequential, Linear, ReLU, Tensor)

# %% exercise="mlp"
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import MLP

# %% [markdown] lang="zh" docstring="MLP"
r"""
多层感知机：Linear、ReLU、Linear、ReLU、…、Linear。

``MLP([4, 8, 3], rng)`` 有 4 个输入、3 个输出，中间是一个宽度为 8 的隐藏层。
"""

# %% [markdown] lang="zh" docstring="MLP.__init__"
r"""
设置 ``self.layers``：``sizes`` 中每两个相邻的数对应一个 Linear，每两个 Linear 之间有一个 ReLU。
最后一层是 Linear，因为输出可以为负。

``sizes`` 至少有两项。各 Linear 依次取自 ``rng``。
"""

# %% [markdown] hint="mlp" lang="en"
r"""
MLP inherits __call__ and parameters from Sequential: fill self.layers and all is done. pairwise(sizes) runs over the neighbours in a list.
"""

# %% [markdown] hint="mlp" lang="zh"
r"""
MLP 从 Sequential 继承了 __call__ 和 parameters：填好 self.layers 就大功告成。pairwise(sizes) 会遍历列表中相邻的两项。
"""

# %% [markdown] hint="mlp" lang="en"
r"""
Append a Linear and a ReLU for each pair, and drop the last ReLU. Hand the same rng to every Linear.
"""

# %% [markdown] hint="mlp" lang="zh"
r"""
每一对相邻的数追加一个 Linear 和一个 ReLU，再去掉最后那个 ReLU。把同一个 rng 传给每个 Linear。
"""

# %%
from ladder.graders.stage1_foundation.day04_layers_and_sgd import check_mlp

check_mlp(MLP, Tensor)

# %% [markdown] lang="en"
r"""
## 4 · SGD with momentum

Gradient descent walks against the gradient, $p\leftarrow p-\eta g$ with the learning rate $\eta$. In a narrow valley that is slow: a step small
enough for the steep direction hardly moves along the flat one. **Momentum** lets a velocity collect the gradients,

$$v_t = \mu\,v_{t-1} + g_t,\qquad p_t = p_{t-1} - \eta\,v_t,\qquad v_0 = 0$$

Unrolled, $v_t = \sum_{k\le t}\mu^{t-k}g_k$. Where the gradient keeps its direction, the sum approaches a geometric series,

$$v \to g\,(1+\mu+\mu^2+\dots) = \frac{g}{1-\mu}$$

ten times the step for $\mu = 0.9$; where the gradient changes sign from step to step, the terms cancel. This is PyTorch's form. Sutskever et al.
put $\eta$ inside the velocity, $v_t = \mu v_{t-1} - \eta g_t$, which is the same as long as $\eta$ does not change.

`zero_grad()` belongs to the optimiser because your engine *adds* gradients. Forget it, and every step also walks along all the steps
before.
"""

# %% [markdown] lang="zh"
r"""
## 4 · 带动量的 SGD

梯度下降沿梯度的反方向走，$p\leftarrow p-\eta g$，其中 $\eta$ 是学习率。在狭长的山谷里这样很慢：步长要小到适应陡的方向，
在平缓的方向上就几乎不动。**动量**让一个速度去积累梯度：

$$v_t = \mu\,v_{t-1} + g_t,\qquad p_t = p_{t-1} - \eta\,v_t,\qquad v_0 = 0$$

展开得 $v_t = \sum_{k\le t}\mu^{t-k}g_k$。梯度方向保持不变时，这个和趋于几何级数：

$$v \to g\,(1+\mu+\mu^2+\dots) = \frac{g}{1-\mu}$$

$\mu = 0.9$ 时步子变为十倍；梯度每步变号时，各项相互抵消。这是 PyTorch 的形式。Sutskever 等人把 $\eta$ 放在速度里，
$v_t = \mu v_{t-1} - \eta g_t$，只要 $\eta$ 不变，二者相同。

`zero_grad()` 由优化器负责，因为你的引擎对梯度做的是*累加*。忘了它，每一步都会把先前所有的步子再走一遍。
"""

# %% exercise="sgd"
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import SGD

# %% [markdown] lang="zh" docstring="SGD"
r"""
带动量的随机梯度下降，采用 PyTorch 的形式。

对每个参数 p，设其梯度为 g，速度 v 从 0 开始：

    v <- momentum v + g
    p <- p - lr v

``lr`` 与 ``momentum`` 是属性，两步之间可以改变。
"""

# %% [markdown] lang="zh" docstring="SGD.__init__"
r"""
设置 ``lr``、``momentum``，以及这个类需要记住的关于 ``params`` 的东西。

``params`` 是任何可迭代的一组 Tensor，也可以是生成器。此时参数还不动。
"""

# %% [markdown] lang="zh" docstring="SGD.step"
r"""
把每个速度和每个参数的 ``data`` 更新一次。不改变任何 ``grad``。
"""

# %% [markdown] lang="zh" docstring="SGD.zero_grad"
r"""
把每个参数的 ``grad`` 设为零；``data`` 与速度保持不变。
"""

# %% [markdown] hint="sgd" lang="en"
r"""
One velocity array per parameter, made once in __init__. Turn params into a list first: a generator can be walked through only once.
"""

# %% [markdown] hint="sgd" lang="zh"
r"""
每个参数一个速度数组，在 __init__ 里一次建好。先把 params 变成列表：生成器只能遍历一次。
"""

# %% [markdown] hint="sgd" lang="en"
r"""
Read self.lr and self.momentum inside step(), where they may have changed. The velocity must be an array of its own: if v is p.grad itself, then
`v += p.grad` changes the gradient too.
"""

# %% [markdown] hint="sgd" lang="zh"
r"""
在 step() 里读取 self.lr 和 self.momentum，它们可能已经变了。速度必须是独立的数组：如果 v 就是 p.grad 本身，
`v += p.grad` 会把梯度也改掉。
"""

# %%
from ladder.graders.stage1_foundation.day04_layers_and_sgd import check_sgd

check_sgd(SGD, Tensor)

# %% [markdown] lang="en"
r"""
A valley that is 25 times steeper across than along: $f(a, b) = \tfrac12(a^2 + 25\,b^2)$. The same learning rate, 40 steps, with and without momentum.
"""

# %% [markdown] lang="zh"
r"""
一个山谷，横向比纵向陡 25 倍：$f(a, b) = \tfrac12(a^2 + 25\,b^2)$。学习率相同，各走 40 步，一次有动量，一次没有。
"""

# %%
across, up = np.meshgrid(np.linspace(-10.5, 3, 120), np.linspace(-2, 2, 80))
fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
ax.contour(across, up, 0.5 * (across**2 + 25 * up**2), levels=[0.5, 2, 6, 14, 28, 50], colors="0.8")
for momentum in (0.0, 0.8):
    point = Tensor([-10.0, 1.5])
    walk = SGD([point], lr=0.02, momentum=momentum)
    path = [point.data.copy()]
    for _ in range(40):
        walk.zero_grad()
        (point * point * np.array([0.5, 12.5])).sum().backward()
        walk.step()
        path.append(point.data.copy())
    ax.plot(*np.transpose(path), "o-", ms=3, lw=1, label=f"momentum {momentum}")
ax.plot(0, 0, "k*", ms=10)
ax.set(xlabel="$a$", ylabel="$b$")
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
## 5 · A network learns the sine

Now the roadmap's first training with your own engine: an MLP from a number $x\in[-\pi,\pi]$ to $\sin x$, with the mean squared error. The loop is
the same for every model in this workbook:

1. forward: the loss of the training points;
2. `zero_grad()`, then `backward()`;
3. `step()`.

Every setting is yours. **Targets:** largest error below 0.05, and mean squared error below $10^{-3}$, on the whole interval, for any seed. The reference needs 800
steps and less than a second; it was tried with all seeds from 0 to 999. Two things to know before you choose:

- He's variance was derived for inputs of about unit size. Here $x$ reaches 3.14, so the first layer's weights are three times too large for comfort.
- A large learning rate in the first steps kills units: a ReLU pushed below zero for all training points has gradient zero from then on. Starting with a
  small learning rate and raising it over the first steps (a *warm-up*), then lowering it towards the end, helps against both; `optimiser.lr` may be set at every step.
"""

# %% [markdown] lang="zh"
r"""
## 5 · 让网络学会正弦

现在是路线图要求的、用你自己的引擎做的第一次训练：用 MLP 把 $x\in[-\pi,\pi]$ 映射到 $\sin x$，损失为均方误差。
本教程里所有模型的训练循环都一样：

1. 前向：训练点上的损失；
2. `zero_grad()`，然后 `backward()`；
3. `step()`。

所有设置由你决定。**目标：**对任何种子，在整个区间上最大误差低于 0.05，均方误差低于 $10^{-3}$。参考实现用 800 步，
不到一秒；0 到 999 的种子全都试过。做选择之前要知道两点：

- He 的方差是对单位大小的输入推导的。这里 $x$ 可达 3.14，所以第一层的权重大了约三倍。
- 最初几步学习率过大会使单元“死掉”：如果某个 ReLU 在所有训练点上都被推到零以下，它的梯度从此为零。先用小学习率，在最初若干步里逐渐升高
  （*预热*，warm-up），到最后再逐渐降低，对两者都有帮助；`optimiser.lr` 可以在每一步设置。
"""

# %% exercise="fit_sin"
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import fit_sin

# %% [markdown] lang="zh" docstring="fit_sin"
r"""
用 MLP、均方误差和 SGD 在 [-pi, pi] 上拟合 sin(x)。

返回 ``(model, losses)``。``model`` 把形状 (N, 1) 的 Tensor（弧度）映射为形状 (N, 1) 的 Tensor。
用默认的 ``steps`` 训练之后，对 0 到 999 的每个种子，它在 [-pi, pi] 上的最大误差低于 0.05，均方误差低于 1e-3。
``losses`` 每一步一个浮点数，是该步更新之前训练点上的损失。

训练点、宽度、学习率、动量以及 ``steps`` 的默认值由你选择；用默认值时最多花几秒钟。所有随机性都来自
``np.random.default_rng(seed)``：同一个种子每次调用结果相同，不同的种子结果不同。
"""

# %% [markdown] hint="fit_sin" lang="en"
r"""
Begin with 48 evenly spaced points, all of them in every step, and two hidden layers; momentum 0.9. If the loss stays near 0.5, compare the shape of the
predictions with that of the targets. If it becomes NaN, the learning rate is too large.
"""

# %% [markdown] hint="fit_sin" lang="zh"
r"""
先取 48 个均匀分布的点，每一步都用全部的点，两个隐藏层，动量 0.9。如果损失停在 0.5 附近，比较预测与目标的形状。
如果变成 NaN，说明学习率太大。
"""

# %% [markdown] hint="fit_sin" lang="en"
r"""
Divide the first layer's weight.data by pi once, before training: that equals feeding x/pi. Widths of 64, a learning rate that rises to 0.04 in 200 steps and
then falls linearly to zero at step 800 reach the target for every seed we tried.
"""

# %% [markdown] hint="fit_sin" lang="zh"
r"""
训练之前把第一层的 weight.data 除以 pi：效果等于输入 x/pi。宽度取 64，学习率在 200 步内升到 0.04，再线性下降，到第 800 步为零，
我们试过的每个种子都能达到目标。
"""

# %%
from ladder.graders.stage1_foundation.day04_layers_and_sgd import check_fit_sin

check_fit_sin(fit_sin, Tensor)

# %%
model, losses = fit_sin(seed=0)
x = np.linspace(-2.5 * np.pi, 2.5 * np.pi, 901)
y = model(Tensor(x[:, None], requires_grad=False)).data[:, 0]
inside = np.abs(x) <= np.pi
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
left.axvspan(-np.pi, np.pi, color="0.94")
left.plot(x, np.sin(x), "k:", lw=1, label=r"$\sin x$")
left.plot(x, y, label="your network")
left.set(xlabel="$x$", ylim=(-4, 4), title=f"largest error in the grey part: {np.abs(y - np.sin(x))[inside].max():.3f}")
left.legend()
right.semilogy(losses)
right.axhline(1e-3, color="k", ls=":", lw=1)
right.set(xlabel="step", ylabel="mean squared error")
plt.show()

# %% [markdown] lang="en"
r"""
Inside the grey part the network has put its kinks where the sine bends. Outside, where it saw nothing, it goes on in straight lines: a network of ReLUs is
piecewise linear, and knows nothing of periods.

## 6 · Cross-entropy as an operation of the engine

For classes, the last layer gives logits $z\in\mathbb{R}^{B\times C}$, and the loss is, from Day 1,

$$L = \frac1B\sum_b\Big(\log\sum_c e^{z_{bc}} - z_{b\,y_b}\Big),\qquad \frac{\partial L}{\partial z} = \frac1B\,(P - Y)$$

with $P = \operatorname{softmax}(z)$ by rows, and $Y$ the one-hot labels. The mean brings the $1/B$. Two ways lead to it: put it together from your engine's operations, which
finds the gradient for you; or make a single node that computes the loss in NumPy and knows $P - Y$. Either passes. Both need the trick that keeps $e^{1000}$ away:

$$\log\sum_c e^{z_c} = m + \log\sum_c e^{z_c - m},\qquad m = \max_c z_c$$
"""

# %% [markdown] lang="zh"
r"""
在灰色区域内，网络把折点放到了正弦弯曲的地方。区域之外它什么也没见过，就沿直线延伸：ReLU 网络是分段线性的，不知道什么是周期。

## 6 · 把交叉熵做成引擎的一个运算

对分类问题，最后一层给出 logit $z\in\mathbb{R}^{B\times C}$，损失如第 1 天：

$$L = \frac1B\sum_b\Big(\log\sum_c e^{z_{bc}} - z_{b\,y_b}\Big),\qquad \frac{\partial L}{\partial z} = \frac1B\,(P - Y)$$

其中 $P = \operatorname{softmax}(z)$ 逐行计算，$Y$ 是独热标签。取平均带来了 $1/B$。有两条路：用引擎已有的运算拼出来，梯度由引擎去求；
或者做成一个节点，用 NumPy 计算损失，并且知道 $P - Y$。两者都能通过。都需要避开 $e^{1000}$ 的技巧：

$$\log\sum_c e^{z_c} = m + \log\sum_c e^{z_c - m},\qquad m = \max_c z_c$$
"""

# %% exercise="cross_entropy"
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import cross_entropy

# %% [markdown] lang="zh" docstring="cross_entropy"
r"""
一批样本的平均交叉熵，形状为 () 的 Tensor：

    L = 1/B sum_b (log sum_c exp(logits[b, c]) - logits[b, y[b]])

``logits`` 是形状 (B, C) 的 Tensor，``y`` 是 B 个标签的数组，可以是任何整数类型，包括 uint8。对结果调用
``backward()`` 之后，``logits.grad`` 就是 dL/dlogits。对所有有限的 logit（包括 1000 和 -1000），损失与梯度都有限且正确。
若有标签不在 0, …, C - 1 之中，抛出 ValueError。``logits.data`` 与 ``y`` 保持原样。
"""

# %% [markdown] hint="cross_entropy" lang="en"
r"""
The maximum of each row can be treated as a constant (a plain array): the loss does not depend on it. To pick one entry per row you need two index arrays of
length B, or a product with one-hot rows.
"""

# %% [markdown] hint="cross_entropy" lang="zh"
r"""
每行的最大值可以当作常数（普通数组）：损失与它无关。要从每行取一个元素，需要两个长度为 B 的下标数组，或者与独热行相乘。
"""

# %% [markdown] hint="cross_entropy" lang="en"
r"""
As a node: log_p = shifted - log(sum(exp(shifted))), the loss is minus the mean of log_p[rows, y], and _backward(g) accumulates g times (exp(log_p), less 1 at
[rows, y]) over B. Compare y.min() and y.max() with 0 and C first.
"""

# %% [markdown] hint="cross_entropy" lang="zh"
r"""
做成节点：log_p = shifted - log(sum(exp(shifted)))，损失是 log_p[rows, y] 的平均取负；_backward(g) 累加的是 g 乘以（exp(log_p)，在 [rows, y] 处减 1）再除以 B。
先把 y.min() 和 y.max() 与 0 和 C 比较。
"""

# %%
from ladder.graders.stage1_foundation.day04_layers_and_sgd import check_cross_entropy

check_cross_entropy(cross_entropy, Tensor)

# %% [markdown] lang="en"
r"""
## 7 · Minibatches

60,000 pictures for one step would waste work: the gradient of a random hundred points almost the same way. The mean over a random batch of size $B$ is an unbiased estimate of
the mean over all, and its standard deviation falls only like $1/\sqrt{B}$. That is the S in SGD. One pass over all pictures is an **epoch**; each epoch shuffles anew.
"""

# %% [markdown] lang="zh"
r"""
## 7 · 小批量

每走一步都用 60,000 张图片太浪费：随机一百张的梯度，方向几乎相同。大小为 $B$ 的随机批上的平均，是全体平均的无偏估计，标准差只按
$1/\sqrt{B}$ 减小。SGD 里的 S（随机）就是这个意思。把所有图片过一遍叫一**轮**（epoch）；每一轮都重新打乱。
"""

# %% exercise="minibatches"
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import minibatches

# %% [markdown] lang="zh" docstring="minibatches"
r"""
一轮：把下标 0, …, n - 1 随机排列，再切成批。

给出（列表或生成器均可）长度为 ``batch_size`` 的整数数组；``n`` 不是它的倍数时，最后一个较短；绝不给出空数组。
每个下标恰好出现在一个批里。顺序是由 ``rng`` 抽取的均匀随机排列，因此再调用一次会得到另一种顺序。
"""

# %% [markdown] hint="minibatches" lang="en"
r"""
Shuffle first, cut afterwards. A slice that reaches past the end of an array is just shorter.
"""

# %% [markdown] hint="minibatches" lang="zh"
r"""
先打乱，再切分。切片超出数组末尾时只会变短，不会出错。
"""

# %% [markdown] hint="minibatches" lang="en"
r"""
rng.permutation(n) is the order; the batches start at range(0, n, batch_size).
"""

# %% [markdown] hint="minibatches" lang="zh"
r"""
rng.permutation(n) 就是顺序；各批从 range(0, n, batch_size) 开始。
"""

# %%
from ladder.graders.stage1_foundation.day04_layers_and_sgd import check_minibatches

check_minibatches(minibatches)

# %% [markdown] lang="en"
r"""
## 8 · Reading handwriting

MNIST: 60,000 pictures to learn from and 10,000 to be examined on, $28\times28$ bytes each. `load` finds them, downloads them, or, offline, draws an imitation and says so.
"""

# %% [markdown] lang="zh"
r"""
## 8 · 认手写数字

MNIST：60,000 张图片用来学习，10,000 张用来考试，每张 $28\times28$ 字节。`load` 会找到它们或下载它们；离线时会画出仿制品，并如实说明。
"""

# %%
mnist = load("mnist")
print(mnist.notice(language()))
train_images, train_labels, test_images, test_labels = (
    read_idx(mnist[name]) for name in ("train_images", "train_labels", "test_images", "test_labels"))
print(train_images.shape, train_images.dtype, test_images.shape)
fig, axes = plt.subplots(2, 10, figsize=(11, 2.6), layout="constrained")
for ax, image, label in zip(axes.flat, train_images[:20], train_labels[:20], strict=True):
    ax.imshow(image, cmap="gray_r")
    ax.set_title(label, fontsize=9)
    ax.axis("off")
plt.show()

# %% [markdown] lang="en"
r"""
The pixels of all pictures as float64 would take 376 MB, so pictures stay bytes, and `as_inputs` (given below) turns one batch at a time into rows of numbers from 0 to 1. The
prediction is the class with the largest logit; softmax would not change which one that is.
"""

# %% [markdown] lang="zh"
r"""
如果把所有图片的像素都存成 float64，要占 376 MB。所以图片仍存为字节，由下面给出的 `as_inputs` 每次把一批变成 0 到 1 之间的数。
预测就是 logit 最大的类别；softmax 不会改变谁最大。
"""

# %% exercise="predict"
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import as_inputs, predict

# %% [markdown] lang="zh" docstring="predict"
r"""
每张图片 logit 最大的类别，N 个标签的整数数组。

``images`` 至少有一张图片。图片（经 ``as_inputs``）一次最多 1000 张送入 ``model``，这样 60,000 张也不需要上 GB 的内存。
"""

# %% [markdown] hint="predict" lang="en"
r"""
argmax along the axis of the classes, for one slice of pictures after the other; then one array of all.
"""

# %% [markdown] hint="predict" lang="zh"
r"""
一段一段地取图片，沿类别那一维取 argmax；最后合成一个数组。
"""

# %% [markdown] hint="predict" lang="en"
r"""
Slices start at range(0, len(images), 1000); np.concatenate joins the parts. argmax needs the array in .data, and axis=1.
"""

# %% [markdown] hint="predict" lang="zh"
r"""
各段从 range(0, len(images), 1000) 开始；np.concatenate 把它们接起来。argmax 作用于 .data，axis=1。
"""

# %%
from ladder.graders.stage1_foundation.day04_layers_and_sgd import check_predict

check_predict(predict, Sequential, Tensor)

# %% [markdown] lang="en"
r"""
The training loop, once more, with minibatches. `Training` gives it a progress bar, and makes "interrupt the kernel" safe: the loop ends, and what was learned stays. You need
not use it, but it is pleasant:

```python
with Training(number_of_steps, "digits") as run:
    for step in run:
        ...
        run.log(loss=0.123)
run.history["loss"]          # one float for each log
```
"""

# %% [markdown] lang="zh"
r"""
再写一次训练循环，这次用小批量。`Training` 提供进度条，并且让“中断内核”变得安全：循环结束，已学到的内容保留。不一定要用它，但它很方便：

```python
with Training(number_of_steps, "digits") as run:
    for step in run:
        ...
        run.log(loss=0.123)
run.history["loss"]          # one float for each log
```
"""

# %% exercise="train_digits"
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import train_digits

# %% [markdown] lang="zh" docstring="train_digits"
r"""
用 SGD 和交叉熵就地训练 ``model``，让它认出 ``images`` 中的数字。

共 ``epochs`` 轮，每一轮把全部 N 张图片恰好看一遍，用的是每轮重新从 ``rng`` 抽取的 ``minibatches``；
每一批走一步 SGD（``lr`` 与 ``momentum`` 保持不变，速度跨轮保留），方向只由这一批的平均交叉熵的梯度决定。
``model`` 的输入是一批图片经 ``as_inputs`` 的结果，输出是 logit。按顺序返回每一步的一个浮点数：更新之前这一批的损失。
``images`` 与 ``labels`` 保持原样。调用之前参数 ``grad`` 中的内容没有影响。
"""

# %% [markdown] hint="train_digits" lang="en"
r"""
Make one optimiser before the epochs. The index array of a batch picks its pictures and its labels. In which order do zero_grad, backward and step have to
stand?
"""

# %% [markdown] hint="train_digits" lang="zh"
r"""
在各轮之前建一个优化器。一批的下标数组既用来取图片，也用来取标签。zero_grad、backward、step 应当按什么次序？
"""

# %% [markdown] hint="train_digits" lang="en"
r"""
Two loops, epochs and minibatches(len(images), batch_size, rng) inside. With Training: zip(run, batches) advances the bar and the batches together;
the number of steps is epochs times the batches of an epoch, rounded up.
"""

# %% [markdown] hint="train_digits" lang="zh"
r"""
两重循环：外层是轮，内层是 minibatches(len(images), batch_size, rng)。用 Training 时，zip(run, batches) 让进度条和批同步前进；
总步数是轮数乘以每轮的批数（向上取整）。
"""

# %%
from ladder.graders.stage1_foundation.day04_layers_and_sgd import check_train_digits

check_train_digits(train_digits, predict, MLP)

# %% [markdown] lang="en"
r"""
And now MNIST itself: 784 inputs, 128 hidden units, 10 classes, eight epochs. **Targets:** the roadmap asks for a test accuracy above 0.90; you should get above 0.97 in less than two
minutes on two cores. The reference reaches 0.978 (seed 0), in 34 seconds
on two cores that others were using too.
"""

# %% [markdown] lang="zh"
r"""
现在是 MNIST 本身：784 个输入，128 个隐藏单元，10 个类别，八轮。**目标：**路线图要求测试准确率高于 0.90；你应当能在双核机器上两分钟之内超过 0.97。
参考实现（种子 0）达到 0.978，用时 34 秒，当时那两个核还有别的程序在用。
"""

# %%
rng = np.random.default_rng(0)
model = MLP([784, 128, 10], rng)
if os.environ.get("LADDER_QUICK") == "1":
    losses = train_digits(model, train_images[:6000], train_labels[:6000], rng, epochs=1)
else:
    losses = train_digits(model, train_images, train_labels, rng)
predicted = predict(model, test_images)
print(f"test accuracy: {np.mean(predicted == test_labels):.4f}")
print(mnist.notice(language()))

# %%
wrong = np.flatnonzero(predicted != test_labels)
width = max(1, len(losses) // 100)
smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
fig, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
left.semilogy(losses, lw=0.4, color="0.75")
left.semilogy(np.arange(len(smooth)) + width // 2, smooth)
left.axhline(np.log(10), color="k", ls=":", lw=1)
left.set(xlabel="step", ylabel="cross-entropy of the batch", title=r"dotted: $\log 10$, knowing nothing")
tiles = [np.pad(test_images[k], 2, constant_values=40) for k in wrong[:35]]
tiles += [np.zeros((32, 32))] * (35 - len(tiles))
middle.imshow(np.block([tiles[r * 7:r * 7 + 7] for r in range(5)]), cmap="gray_r")
middle.set(title=f"the first of {len(wrong)} mistakes")
middle.axis("off")
weights = model.layers[0].weight.data.T[:35].reshape(5, 7, 28, 28)
right.imshow(weights.transpose(0, 2, 1, 3).reshape(5 * 28, 7 * 28), cmap="coolwarm", vmin=-0.3, vmax=0.3)
right.set(title="what 35 hidden units look for")
right.axis("off")
plt.show()

# %% [markdown] lang="en"
r"""
Look at the mistakes: would you have read all of them right? And at the hidden units: noise near the border, where pixels are always white and the gradient is always zero, so the weights
are still those you drew; patches and strokes in the middle.

The network does not know that a pixel has neighbours: shuffle the pixels of all pictures in the same way, and it would learn just as well. Tomorrow's convolution
knows.

## What you have now

| piece | in PyTorch |
| --- | --- |
| `Linear`, `ReLU`, `Sequential` | `torch.nn`, the same names |
| `cross_entropy` | `torch.nn.functional.cross_entropy` |
| `SGD` with `step` and `zero_grad` | `torch.optim.SGD` |
| `minibatches` | `torch.utils.data.DataLoader(shuffle=True)` |
| forward, `zero_grad`, `backward`, `step` | the same four lines, for GPT too (Day 14) |

How fast is it? `python bench/engine.py` trains the same network with your engine's reference and with PyTorch on this machine, step by step.
"""

# %% [markdown] lang="zh"
r"""
看看那些错误：换作你，都能认对吗？再看隐藏单元：边缘附近是噪声，因为那里的像素总是空白、梯度总是零，权重还是你抽取的那些；
中间则是斑块和笔画。

这个网络不知道像素有邻居：把所有图片的像素用同一种方式打乱，它照样能学得一样好。明天的卷积知道这一点。

## 你现在拥有的工具

| 部件 | PyTorch 中的对应 |
| --- | --- |
| `Linear`、`ReLU`、`Sequential` | `torch.nn`，名字相同 |
| `cross_entropy` | `torch.nn.functional.cross_entropy` |
| 带 `step` 与 `zero_grad` 的 `SGD` | `torch.optim.SGD` |
| `minibatches` | `torch.utils.data.DataLoader(shuffle=True)` |
| 前向、`zero_grad`、`backward`、`step` | 同样的四行，GPT 也是这样训练的（第 14 天） |

它有多快？`python bench/engine.py` 会在这台机器上，用引擎的参考实现和 PyTorch 逐步训练同一个网络，并加以比较。
"""

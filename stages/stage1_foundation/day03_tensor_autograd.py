# %% [markdown] lang="en"
r"""
# Day 3 · Tensor autograd in NumPy

**Goal.** Rebuild yesterday's engine with whole arrays as nodes, until its gradients agree with PyTorch's on
hundreds of random graphs. The layers, convolutions and normalisations of Days 4 to 7 will run on what you write today.

A `Value` is one number. Multiplying two $100 \times 100$ matrices with it takes $10^6$ products and almost as many sums, two million
Python objects in all. A `Tensor` is one array, the same product is *one* node, and NumPy does the arithmetic. Two things are new:
**shapes** (broadcasting, reductions, transposes), and operations whose derivative is best written with matrices.

To go with it: lectures 4 and 5 of CMU 10-414, [Deep Learning Systems](https://dlsyscourse.org), on automatic differentiation and its
implementation; and section 3.2 of Baydin et al., [Automatic Differentiation in Machine Learning: a Survey](https://arxiv.org/abs/1502.05767),
on reverse mode.
"""

# %% [markdown] lang="zh"
r"""
# 第 3 天 · 用 NumPy 写张量自动求导

**目标。** 以整个数组为节点，重写昨天的引擎，直到它的梯度在几百张随机计算图上都与 PyTorch 一致。第 4 到第 7 天的
全连接层、卷积和归一化，都将运行在你今天写的代码上。

一个 `Value` 只是一个数。用它来乘两个 $100 \times 100$ 的矩阵，需要 $10^6$ 次乘法和几乎同样多次加法，总共两百万个 Python 对象。
而一个 `Tensor` 是一个数组，同样的乘积只是*一个*节点，算术交给 NumPy。新东西有两样：**形状**（广播、归约、转置），
以及那些用矩阵来写导数最方便的运算。

配套材料：CMU 10-414 课程 [Deep Learning Systems](https://dlsyscourse.org) 的第 4、5 讲（自动求导及其实现）；以及 Baydin 等人的综述
[Automatic Differentiation in Machine Learning: a Survey](https://arxiv.org/abs/1502.05767) 的 3.2 节（反向模式）。
"""

# %% setup
import random
import re
import time
from collections.abc import Callable, Sequence
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float

# %% [markdown] lang="en"
r"""
## 1. Broadcasting, backwards

Let $L$ be a number computed from an array $y$, and $y = f(x)$. Write $\bar y$ for the array of the derivatives $\partial L/\partial y_i$; it has
the shape of $y$. The chain rule, summed over all entries of $y$, is the vector-Jacobian product of Day 1:

$$\bar x_j = \sum_i \bar y_i \, \frac{\partial y_i}{\partial x_j} .$$

Every operation of an array engine is one function $\bar y \mapsto \bar x$. The Jacobian is never built; for most operations the sum collapses to
a line of NumPy.

Begin with an operation that you use without noticing: broadcasting. In `a + b` with shapes `(3, 1)` and `(4,)`, NumPy copies `a` along four columns and
`b` along three rows. Copying is an operation as well. Each $y_i$ is a copy of one $x_{j(i)}$, so the derivative is 1 there and 0 elsewhere, and

$$\bar x_j = \sum_{i \,:\, j(i) = j} \bar y_i :$$

what was copied in the forward pass is **summed** in the backward pass.
"""

# %% [markdown] lang="zh"
r"""
## 1. 把广播反过来

设 $L$ 是由数组 $y$ 算出的一个数，而 $y = f(x)$。用 $\bar y$ 表示各导数 $\partial L/\partial y_i$ 组成的数组，它与 $y$ 形状相同。
对 $y$ 的所有元素求和的链式法则，就是第 1 天的向量-Jacobian 积：

$$\bar x_j = \sum_i \bar y_i \, \frac{\partial y_i}{\partial x_j} .$$

数组引擎的每个运算都是一个函数 $\bar y \mapsto \bar x$。Jacobian 从来不必真的造出来：对大多数运算，这个和式只需一行 NumPy。

先看一个你天天在用却不曾留意的运算：广播。计算形状为 `(3, 1)` 与 `(4,)` 的 `a + b` 时，NumPy 把 `a` 复制到四列上，把 `b` 复制到三行上。
复制也是一种运算。每个 $y_i$ 都是某个 $x_{j(i)}$ 的拷贝，导数在那里为 1，在别处为 0，因此

$$\bar x_j = \sum_{i \,:\, j(i) = j} \bar y_i :$$

前向传播中被复制的，反向传播中就要**求和**。
"""

# %% exercise="unbroadcast"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import unbroadcast

# %% [markdown] lang="zh" docstring="unbroadcast"
r"""``np.broadcast_to(x, grad.shape)`` 的向量-Jacobian 积，其中 x 的形状为 ``shape``。

x 的每个元素都被复制到一个或多个位置；它的梯度是 ``grad`` 在这些位置上的和。返回形状恰为 ``shape`` 的数组：
长度为 1 的轴保留，x 没有的轴去掉。``grad`` 本身不被改动；如果没有任何轴被拉伸，可以直接返回它。
如果 ``shape`` 不能广播到 ``grad.shape``，抛出 ValueError。
"""

# %% [markdown] hint="unbroadcast" lang="en"
r"""
Two kinds of axes were copied: those that NumPy put in front because x has fewer axes, and those where x has size 1. Line the two shapes up at their
right ends and mark both kinds.
"""

# %% [markdown] hint="unbroadcast" lang="zh"
r"""
被复制的轴有两种：x 的轴数较少，NumPy 在前面补出来的轴；以及 x 的长度为 1 的轴。把两个形状右端对齐，标出这两种轴。
"""

# %% [markdown] hint="unbroadcast" lang="en"
r"""
Sum the first kind away without keeping them, then the second kind with `keepdims`. `np.broadcast_shapes` gives the common shape of two shapes or raises
ValueError; what must that common shape be, if x alone was stretched?
"""

# %% [markdown] hint="unbroadcast" lang="zh"
r"""
先对第一种轴求和并去掉它们，再用 `keepdims` 对第二种轴求和。`np.broadcast_shapes` 给出两个形状的共同形状，或抛出 ValueError；
如果被拉伸的只有 x，这个共同形状应当是什么？
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_unbroadcast

check_unbroadcast(unbroadcast)

# %% [markdown] lang="en"
r"""
Your function on a gradient of shape `(3, 4)`, for the two operands of `a + b`: row sums for the column `a`, column sums for the row `b`.
"""

# %% [markdown] lang="zh"
r"""
用你的函数处理一个形状为 `(3, 4)` 的梯度，得到 `a + b` 两个操作数的梯度：列 `a` 得到各行之和，行 `b` 得到各列之和。
"""

# %%
g = np.random.default_rng(0).integers(-3, 4, size=(3, 4)).astype(float)
shown = {"g, the gradient of a + b": g, "of a, shape (3, 1)": unbroadcast(g, (3, 1)),
         "of b, shape (4,)": unbroadcast(g, (4,))[None]}
fig, axes = plt.subplots(1, 3, figsize=(8, 2.4), width_ratios=(4, 1.6, 4))
for ax, (title, values) in zip(axes, shown.items(), strict=True):
    ax.imshow(values, cmap="RdBu", vmin=-14, vmax=14)
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, f"{value:g}", ha="center", va="center")
    ax.set(title=title, xticks=[], yticks=[])
plt.tight_layout()
plt.show()

# %% [markdown] lang="en"
r"""
## 2. The node

Now the class. It differs from `Value` in three conventions; its docstring states all of them exactly.

- **`_backward(g)` takes the gradient as its argument.** Yesterday's closure read `out.grad`, so the result held its closure and the closure held the
  result. Python frees such a cycle only when its garbage collector comes round. For a number that hardly matters; with an array of 100 MB in every node, memory
  fills up with graphs that nobody uses. With an argument there is no cycle, and a graph is gone as soon as the loss is. It also shows
  what `_backward` is: the map $\bar y \mapsto \bar x$.
- **Every gradient arrives through `accumulate`.** It adds, and it undoes broadcasting. So an operation can broadcast freely and need not think of it again.
- **`requires_grad`.** Data and constants need no gradient. A result needs one if one of its operands does; otherwise nothing is recorded.

Here is the pattern that all operations follow, for tanh, which is given. With $y_i = \tanh x_i$ the Jacobian is diagonal, so
$\bar x_i = \bar y_i\,(1 - y_i^2)$:

```python
def tanh(self):
    value = np.tanh(self.data)                      # forward

    def backward(grad):                             # what _backward will be
        self.accumulate(grad * (1 - value**2))

    return Tensor(value, _prev=(self,), _backward=backward)
```

First the constructor and `accumulate`. The line `__array_ufunc__ = None` tells NumPy to leave `array * tensor` to the Tensor; without it NumPy would make
an array of objects.
"""

# %% [markdown] lang="zh"
r"""
## 2. 节点

现在来写这个类。它与 `Value` 有三处约定不同，docstring 对此都有精确说明。

- **`_backward(g)` 以梯度为参数。** 昨天的闭包读取的是 `out.grad`，于是结果持有闭包，闭包又持有结果。这样的循环引用，只有等 Python 的垃圾回收器
  轮到它时才会释放。对一个数来说无所谓；但如果每个节点都带着 100 MB 的数组，内存就会被没人用的计算图填满。改用参数之后就没有循环，
  损失一旦不再被引用，整张图随即释放。这也表明了 `_backward` 是什么：它就是映射 $\bar y \mapsto \bar x$。
- **所有梯度都通过 `accumulate` 到达。** 它负责累加，也负责还原广播。这样，运算可以放心地广播，之后不必再操心。
- **`requires_grad`。** 数据和常数不需要梯度。只要有一个操作数需要梯度，结果就需要；否则什么都不记录。

下面以 tanh 为例（它已给出），展示所有运算共用的写法。$y_i = \tanh x_i$ 的 Jacobian 是对角阵，所以
$\bar x_i = \bar y_i\,(1 - y_i^2)$：

```python
def tanh(self):
    value = np.tanh(self.data)                      # 前向

    def backward(grad):                             # 它将成为 _backward
        self.accumulate(grad * (1 - value**2))

    return Tensor(value, _prev=(self,), _backward=backward)
```

先写构造函数和 `accumulate`。`__array_ufunc__ = None` 这一行告诉 NumPy 把 `array * tensor` 交给 Tensor 处理；否则 NumPy 会造出一个
元素为对象的数组。
"""

# %% exercise="tensor_node"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import Tensor

# %% [markdown] lang="zh" docstring="Tensor"
r"""计算图中的一个数组。

``Tensor(data)`` 是叶节点：一个参数或一份输入。运算返回一个新的 Tensor，它记得自己由什么得来；操作数保持不变。字段：

- ``data``：float64 数组；
- ``requires_grad``：是否需要梯度。叶节点默认为 True，除非构造时写 ``requires_grad=False``；对于结果，
  至少有一个操作数需要梯度时为 True；
- ``grad``：与 ``data`` 形状相同的数组，初始为零，梯度往上累加；``requires_grad`` 为 False 时是 None；
- ``_prev``：操作数，按书写顺序排列的 Tensor 元组；叶节点为 ``()``，不需要梯度的 Tensor 也为 ``()``；
- ``_backward``：单参数函数，参数 ``g`` 是损失对本 Tensor 的梯度，形状与之相同。每次调用都把该运算与 ``g`` 的
  向量-Jacobian 积*加到*各操作数的 ``grad`` 上（累加由 ``accumulate`` 完成）。此外不改变任何东西，包括 ``g``，
  也不读取任何 ``grad``。``_prev`` 为 ``()`` 时它是 None。

凡是运算需要第二个操作数的地方，普通数字或 NumPy 数组都代表由它构成的、不需要梯度的叶节点。形状按 NumPy 的规则广播。
"""

# %% [markdown] lang="zh" docstring="Tensor.__init__"
r"""构造叶节点；给出 ``_prev`` 和 ``_backward`` 时，构造一个运算的结果。

``data`` 可以是 ``np.asarray`` 接受的任何东西，并转成 float64；本来就是 float64 数组时可以不复制。对于结果，
参数 ``requires_grad`` 不起作用：由操作数决定。按照类的说明设置 ``data``、``requires_grad``、``grad``、``_prev``
和 ``_backward``；不需要梯度的结果不保留 ``_prev`` 和 ``_backward``，这样就不会有东西因它而留在内存里。
"""

# %% [markdown] lang="zh" docstring="Tensor.accumulate"
r"""把本 Tensor 的一次使用所传来的梯度加到 ``self.grad`` 上。

``grad`` 的形状是 ``self.shape`` 可以广播到的形状；先把它求和还原为 ``self.shape``（``unbroadcast``）。
``grad`` 现在和以后都不会被改动：它可能是另一个 Tensor 的一部分。本 Tensor 不需要梯度时什么也不做。
"""

# %% [markdown] hint="tensor_node" lang="en"
r"""
`_prev` tells a leaf (empty) from a result. Decide `requires_grad` first; the three fields `grad`, `_prev` and `_backward` then follow from it.
"""

# %% [markdown] hint="tensor_node" lang="zh"
r"""
`_prev` 区分叶节点（为空）与结果。先确定 `requires_grad`，`grad`、`_prev`、`_backward` 三个字段便随之确定。
"""

# %% [markdown] hint="tensor_node" lang="en"
r"""
`np.asarray` takes a dtype. For a result, ask whether *any* operand requires a gradient. In `accumulate`, look at `requires_grad` first, bring the gradient to
`self.shape` with your function of section 1, then add.
"""

# %% [markdown] hint="tensor_node" lang="zh"
r"""
`np.asarray` 可以指定 dtype。对于结果，要问是否有*任何一个*操作数需要梯度。在 `accumulate` 里，先看 `requires_grad`，
再用第 1 节的函数把梯度变回 `self.shape`，然后相加。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_node

check_node(Tensor)

# %% [markdown] lang="en"
r"""
Sum and product of arrays are entry by entry, so their Jacobians are diagonal too: for $c = a \odot b$ (entry by entry),

$$\bar a = \bar c \odot b, \qquad \bar b = \bar c \odot a .$$

`Tensor.wrap` (given) turns a number or an array into a Tensor that needs no gradient, and leaves a Tensor alone. `__radd__` and `__rmul__` are given.
As yesterday, the class grows over several cells; if you run its first cell again, run the later ones again too.
"""

# %% [markdown] lang="zh"
r"""
数组的加法与乘法都是逐元素的，Jacobian 因此也是对角阵：对 $c = a \odot b$（逐元素相乘），

$$\bar a = \bar c \odot b, \qquad \bar b = \bar c \odot a .$$

`Tensor.wrap`（已给出）把数字或数组变成不需要梯度的 Tensor，遇到 Tensor 则原样返回。`__radd__` 和 `__rmul__` 已给出。
和昨天一样，这个类分几个单元格写成；如果重新运行它的第一个单元格，后面的也要重新运行。
"""

# %% exercise="tensor_add_mul"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import Tensor

# %% [markdown] lang="zh" docstring="Tensor.__add__"
r"""逐元素的和 ``self + other``，带广播；操作数为 ``(self, other)``。"""

# %% [markdown] lang="zh" docstring="Tensor.__mul__"
r"""逐元素的积 ``self * other``，带广播；操作数为 ``(self, other)``。

``other`` 可以就是 ``self``。
"""

# %% [markdown] hint="tensor_add_mul" lang="en"
r"""
Follow the pattern of tanh: the data forward, a function of `grad` that sends each operand its share, and a new Tensor that keeps both operands.
"""

# %% [markdown] hint="tensor_add_mul" lang="zh"
r"""
照着 tanh 的写法：前向算出 data；定义一个以 `grad` 为参数的函数，把各操作数应得的一份交给它们；再造一个保存两个操作数的新 Tensor。
"""

# %% [markdown] hint="tensor_add_mul" lang="en"
r"""
Wrap `other` first. Do not care about shapes: `accumulate` brings each share back to the operand's shape. In a product, each share contains the data of the *other*
operand.
"""

# %% [markdown] hint="tensor_add_mul" lang="zh"
r"""
先用 wrap 处理 `other`。不必操心形状：`accumulate` 会把每一份变回操作数的形状。对于乘积，每一份里含有的是*另一个*操作数的 data。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_add_mul

check_add_mul(Tensor)

# %% [markdown] lang="en"
r"""
## 3. Through the whole graph

`backward()` calls every `_backward` once, each at a moment when all users of the node have paid in. That is yesterday's problem, and your
`topological_order` looks at nothing but `_prev`, so it takes Tensors as they are. It is imported below; you may use it.

What has to be decided is what remains in `grad` afterwards. PyTorch lets gradients of leaves add up over calls, and a training loop sets them back with `zero_grad`.
For the results in between that would be wrong: a second call would send the first call's gradient down once more. Here they keep the gradient of the last call only, so that
you can look at it. (PyTorch keeps none, unless you ask with `retain_grad`.)
"""

# %% [markdown] lang="zh"
r"""
## 3. 走遍整张图

`backward()` 对每个节点调用一次 `_backward`，而且要等该节点的所有使用者都已把梯度交给它之后。这正是昨天的问题；你写的
`topological_order` 只看 `_prev`，所以 Tensor 可以直接交给它。下面把它导入，你可以使用它。

需要决定的是：调用之后 `grad` 里留下什么。PyTorch 让叶节点的梯度在多次调用之间累加，训练循环用 `zero_grad` 清零。
对中间结果这样做却是错的：第二次调用会把第一次的梯度再往下传一遍。这里，中间结果只保留最近一次调用的梯度，方便你查看。
（PyTorch 一个也不保留，除非用 `retain_grad` 要求保留。）
"""

# %%
from ladder.earlier.day02_micrograd import topological_order

# %% exercise="tensor_backward"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import Tensor

# %% [markdown] lang="zh" docstring="Tensor.backward"
r"""对算出损失 L 的每个 Tensor，求出 L 的梯度。

``grad`` 是 dL/d(self)，形状与 ``self`` 相同；省略时，``self`` 必须只含一个数（轴数不限），L 就是这个数，
dL/d(self) 为 1。调用之后，对 ``self`` 的计算图中每个需要梯度的 Tensor：

- 叶节点的 ``grad`` 是原有的值加上 dL/d(叶节点)，因此两次调用（无论是同一张图还是两张图）得到的是和；
- 结果的 ``grad`` 只是本次调用的 dL/d(结果)，``self`` 也不例外。

计算图可以是 5000 次运算连成的链，远远超过 Python 的递归上限。如果 ``self`` 不需要梯度，或者省略了 ``grad``
而 ``self`` 含有不止一个数，抛出 ValueError。
"""

# %% [markdown] hint="tensor_backward" lang="en"
r"""
Four steps: refuse what cannot be done; prepare the grads of the results; put dL/d(self) into self; walk through the graph. In which direction does the topological order
of Day 2 run?
"""

# %% [markdown] hint="tensor_backward" lang="zh"
r"""
分四步：拒绝做不到的事；把各个结果的 grad 准备好；把 dL/d(self) 放进 self；走遍计算图。第 2 天的拓扑序是朝哪个方向排的？
"""

# %% [markdown] hint="tensor_backward" lang="en"
r"""
A node with an empty `_prev` is a leaf: its grad stays as it is, and it has no `_backward` to call. All others start from zeros. `self` may be a leaf itself; then adding (rather than
assigning) dL/d(self) does what is asked.
"""

# %% [markdown] hint="tensor_backward" lang="zh"
r"""
`_prev` 为空的节点是叶节点：它的 grad 保持不动，也没有 `_backward` 可调用。其余节点都从零开始。`self` 本身可能就是叶节点；
这时用累加（而不是赋值）放入 dL/d(self)，正好符合要求。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_backward

check_backward(Tensor)

# %% [markdown] lang="en"
r"""
Three ways to the same number: yesterday's `Value`, today's `Tensor`, and the finite differences `grad_fd` of Day 1, on $f(x, y) = (x y + y)\,\tanh(x)\,x$.
The first two agree to the last digit or so, the third in nine or ten digits.
"""

# %% [markdown] lang="zh"
r"""
求同一个数的三种方法：昨天的 `Value`、今天的 `Tensor`、第 1 天的有限差分 `grad_fd`，函数取 $f(x, y) = (x y + y)\,\tanh(x)\,x$。
前两者几乎到最后一位都一致，第三个有九到十位一致。
"""

# %%
from ladder.earlier.day01_matrix_calculus import grad_fd
from ladder.earlier.day02_micrograd import Value


def f(x, y):
    return (x * y + y) * x.tanh() * x


numbers, arrays = [Value(0.7), Value(-1.3)], [Tensor(0.7), Tensor(-1.3)]
f(*numbers).backward()
f(*arrays).backward()
differences = grad_fd(lambda v: f(Tensor(v[0]), Tensor(v[1])).item(), np.array([0.7, -1.3]))
for name, number, array, difference in zip("xy", numbers, arrays, differences, strict=True):
    print(f"df/d{name}   Value {number.grad:.15f}   Tensor {array.grad:.15f}   grad_fd {difference:.15f}")

# %% [markdown] lang="en"
r"""
## 4. More arithmetic, and functions of one entry

Differences and quotients need no new derivatives: $a - b = a + (-1)\,b$ and $a / b = a\,b^{-1}$. What a composite costs is a few more nodes, and what it saves is a derivative
that could be wrong. For a constant exponent, $\bar x = \bar y \odot k\,x^{k-1}$.
"""

# %% [markdown] lang="zh"
r"""
## 4. 更多算术，以及逐元素的函数

差与商不需要新的导数：$a - b = a + (-1)\,b$，$a / b = a\,b^{-1}$。这样组合的代价是多几个节点，省下的是一个可能写错的导数。
指数为常数时，$\bar x = \bar y \odot k\,x^{k-1}$。
"""

# %% exercise="tensor_arithmetic"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import Tensor

# %% [markdown] lang="zh" docstring="Tensor.__neg__"
r"""``-self``，逐元素。"""

# %% [markdown] lang="zh" docstring="Tensor.__sub__"
r"""``self - other``，逐元素，带广播。"""

# %% [markdown] lang="zh" docstring="Tensor.__rsub__"
r"""``other - self``，``other`` 是普通数字或 NumPy 数组。"""

# %% [markdown] lang="zh" docstring="Tensor.__pow__"
r"""每个元素的 ``k`` 次方，``k`` 是普通数字；操作数为 ``(self,)``。

``k == 0`` 时导数处处为 0，元素本身为 0 处也一样。
"""

# %% [markdown] lang="zh" docstring="Tensor.__truediv__"
r"""``self / other``，逐元素，带广播。"""

# %% [markdown] lang="zh" docstring="Tensor.__rtruediv__"
r"""``other / self``，``other`` 是普通数字或 NumPy 数组。"""

# %% [markdown] hint="tensor_arithmetic" lang="en"
r"""
Only the power needs a closure of its own. Express each of the others by operations you have; then the way back is there already. In the reflected forms, `self` stands on the right.
"""

# %% [markdown] hint="tensor_arithmetic" lang="zh"
r"""
只有幂需要自己的闭包。其余的都用已有的运算来表达，回去的路就自然有了。在反射形式（`__rsub__` 等）中，`self` 在右边。
"""

# %% [markdown] hint="tensor_arithmetic" lang="en"
r"""
`other` may be a number or an array, so wrap it before you ask it for a power or a sign. With k = 0 the formula meets 0 times infinity where an entry is 0: send nothing in that case.
"""

# %% [markdown] hint="tensor_arithmetic" lang="zh"
r"""
`other` 可能是数字或数组，对它求幂或取负之前先用 wrap 处理。k = 0 时，公式在元素为 0 处会遇到 0 乘无穷大：这种情况下什么也不用传。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_arithmetic

check_arithmetic(Tensor)

# %% exercise="tensor_elementwise"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import Tensor

# %% [markdown] lang="zh" docstring="Tensor.exp"
r"""e 的各元素次方；操作数为 ``(self,)``。"""

# %% [markdown] lang="zh" docstring="Tensor.log"
r"""各元素（均为正）的自然对数；操作数为 ``(self,)``。"""

# %% [markdown] lang="zh" docstring="Tensor.relu"
r"""对每个元素取 max(0, 元素)；操作数为 ``(self,)``。在 0 处导数为 0。"""

# %% [markdown] hint="tensor_elementwise" lang="en"
r"""
Three copies of the tanh pattern. For each, write the derivative of one entry: one is easiest in terms of the output, one in terms of the input, one is a mask.
"""

# %% [markdown] hint="tensor_elementwise" lang="zh"
r"""
三次套用 tanh 的写法。先写出单个元素的导数：一个用输出来表示最简单，一个用输入来表示，还有一个是掩码。
"""

# %% [markdown] hint="tensor_elementwise" lang="en"
r"""
d/dx of e^x is e^x, which you have computed already; of log x it is 1/x. The mask of relu is a comparison of the *input* with 0, and the docstring says on which side 0 itself falls.
"""

# %% [markdown] hint="tensor_elementwise" lang="zh"
r"""
e^x 的导数是 e^x，你已经算过它了；log x 的导数是 1/x。relu 的掩码是*输入*与 0 的比较，docstring 说明了 0 本身算哪一边。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_elementwise

check_elementwise(Tensor)

# %% [markdown] lang="en"
r"""
## 5. Reductions

A sum is broadcasting's mirror image. With $y_i = \sum_j x_{ij}$, the derivative $\partial y_i/\partial x_{ij}$ is 1 for every $j$, so

$$\bar x_{ij} = \bar y_i :$$

what was summed in the forward pass is **copied** in the backward pass. The one difficulty is shape. Without `keepdims` the summed axis is gone from $\bar y$, and NumPy would line up
what is left with the wrong axis, without a word if the sizes happen to agree. A mean is a sum times a constant.

A maximum depends on its winner alone, so the winner gets all of $\bar y$. If several entries are equally large there is no derivative, and a library has to choose. We share in equal parts, as `torch.amax`
[does](https://docs.pytorch.org/docs/stable/generated/torch.amax.html).
"""

# %% [markdown] lang="zh"
r"""
## 5. 归约

求和是广播的镜像。设 $y_i = \sum_j x_{ij}$，则对每个 $j$，导数 $\partial y_i/\partial x_{ij}$ 都是 1，因此

$$\bar x_{ij} = \bar y_i :$$

前向传播中被求和的，反向传播中就要**复制**。唯一的难处在形状。不带 `keepdims` 时，被求和的轴在 $\bar y$ 中已经消失，NumPy 会把剩下的轴对到错误的位置上；
如果长度碰巧相等，它一声不吭。均值就是和乘以一个常数。

最大值只取决于最大的那个元素，所以 $\bar y$ 全部归它。如果有几个元素一样大，导数不存在，库必须自己选一种做法。我们让它们平分，与 `torch.amax`
[一致](https://docs.pytorch.org/docs/stable/generated/torch.amax.html)。
"""

# %% exercise="tensor_reductions"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import Tensor

# %% [markdown] lang="zh" docstring="Tensor.sum"
r"""沿 ``axis`` 求和，含义与形状同 ``np.sum``。

``axis`` 是 None（所有轴）、一个整数或整数元组；负数从末尾数起。
"""

# %% [markdown] lang="zh" docstring="Tensor.mean"
r"""沿 ``axis`` 求均值，``axis`` 的含义与 ``sum`` 相同。"""

# %% [markdown] hint="tensor_reductions" lang="en"
r"""
Which shape would the sum have with `keepdims=True`? In that shape the gradient broadcasts to the operand as it should. The mean can be built from the sum.
"""

# %% [markdown] hint="tensor_reductions" lang="zh"
r"""
如果 `keepdims=True`，和的形状会是什么？在那个形状下，梯度就能正确地广播到操作数的形状。均值可以由和构造出来。
"""

# %% [markdown] hint="tensor_reductions" lang="en"
r"""
Compute the sum with kept axes, remember its shape for the closure, and drop the axes (`np.squeeze` takes the same `axis`) only for the result. How many numbers went into one output? Compare the number of
entries before and after.
"""

# %% [markdown] hint="tensor_reductions" lang="zh"
r"""
先算保留轴的和，把它的形状留给闭包用，只在给出结果时去掉那些轴（`np.squeeze` 接受同样的 `axis`）。一个输出由多少个数得来？
比较一下归约前后的元素个数。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_reductions

check_reductions(Tensor)

# %% exercise="tensor_max"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import Tensor

# %% [markdown] lang="zh" docstring="Tensor.max"
r"""沿 ``axis`` 的最大元素，``axis`` 的含义与 ``sum`` 相同。

有几个元素一样大时，它们平分梯度，与 ``torch.amax`` 相同：两个并列者各得一半。
"""

# %% [markdown] hint="tensor_max" lang="en"
r"""
Keep the reduced axes, as in the sum; then a comparison of the operand with its maximum shows the winners.
"""

# %% [markdown] hint="tensor_max" lang="zh"
r"""
像求和那样保留被归约的轴；把操作数与最大值相比较，就能看出哪些元素最大。
"""

# %% [markdown] hint="tensor_max" lang="en"
r"""
Divide the mask of winners by their number along the same axis: an array of shares whose sum along the axis is 1. Multiply it with the gradient, in the shape with kept axes.
"""

# %% [markdown] hint="tensor_max" lang="zh"
r"""
把并列者的掩码除以沿同一轴的并列个数，得到一个沿该轴之和为 1 的份额数组。再乘以梯度（取保留轴的形状）。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_max

check_max(Tensor)

# %% [markdown] lang="en"
r"""
## 6. Moving entries: reshape, transpose, indexing

These operations compute nothing, they only move entries. If the entry at place $j$ goes to place $i$, its gradient comes back from $i$ to $j$.

- **reshape** keeps the C order (last index fastest) of the entries, so the way back is a reshape.
- **transpose** with a permutation puts axis $\pi(k)$ of $x$ at position $k$. The way back is the *inverse* permutation $\pi^{-1}$. With two axes a permutation is its own inverse,
  so a mistake only shows with three or more: take $(1, 2, 0)$.
- **indexing** takes some entries, perhaps several times, and leaves others. Entries not taken get gradient 0; an entry taken three times gets the sum of three gradients. The way back of a
  *gather* is a *scatter-add*. This is what happens to an embedding table when a word occurs several times in a text.
"""

# %% [markdown] lang="zh"
r"""
## 6. 搬动元素：reshape、transpose 与索引

这些运算什么也不计算，只是搬动元素。如果位置 $j$ 的元素去了位置 $i$，它的梯度就从 $i$ 回到 $j$。

- **reshape** 保持元素的 C 顺序（最后一个下标变化最快），所以回来也用 reshape。
- **transpose** 按一个置换把 $x$ 的第 $\pi(k)$ 轴放到位置 $k$。回来要用*逆*置换 $\pi^{-1}$。只有两个轴时，置换就是自己的逆，
  错误要到三个轴以上才看得出来：取 $(1, 2, 0)$ 试试。
- **索引** 取出一些元素（可能取好几次），留下另一些。没取的元素梯度为 0；取了三次的元素得到三份梯度之和。*gather*（收集）的反向是
  *scatter-add*（分散相加）。同一个词在文本中出现多次时，词嵌入表上发生的正是这件事。
"""

# %% exercise="tensor_shapes"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import Tensor

# %% [markdown] lang="zh" docstring="Tensor.reshape"
r"""同样的元素按 C 顺序排成另一个形状：``x.reshape(2, 3)`` 或 ``x.reshape((2, 3))``。

其中一个长度可以是 -1，与 NumPy 相同。
"""

# %% [markdown] lang="zh" docstring="Tensor.transpose"
r"""把各轴换个次序，含义与 ``np.transpose`` 相同。

``x.transpose(2, 0, 1)`` 与 ``x.transpose((2, 0, 1))`` 的第 0、1、2 轴分别是 ``x`` 的第 2、0、1 轴。
不带参数时次序颠倒。轴可以是负数：从末尾数起。
"""

# %% [markdown] hint="tensor_shapes" lang="en"
r"""
Which NumPy call would undo the forward one? That call, on the gradient, is the way back. Both ways of passing the shape or the axes (several ints, or one tuple) are asked for.
"""

# %% [markdown] hint="tensor_shapes" lang="zh"
r"""
哪个 NumPy 调用能撤销前向那一步？对梯度做这个调用，就是回去的路。形状或轴的两种传法（多个整数，或一个元组）都要支持。
"""

# %% [markdown] hint="tensor_shapes" lang="en"
r"""
`np.argsort` of a permutation of 0 to n-1 is its inverse. It sorts, so negative axes have to become ordinary ones first (`% self.ndim`).
"""

# %% [markdown] hint="tensor_shapes" lang="zh"
r"""
对 0 到 n-1 的一个置换做 `np.argsort`，得到的就是它的逆。它靠的是排序，所以负的轴要先变成普通的轴号（`% self.ndim`）。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_shapes

check_shapes(Tensor)

# %% exercise="tensor_getitem"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import Tensor

# %% [markdown] lang="zh" docstring="Tensor.__getitem__"
r"""``self.data[index]``，NumPy 接受的索引都可以用：整数、切片、``...``、``None``、布尔掩码、整数数组，以及它们组成的元组。

被取了不止一次的元素得到各份梯度之和。
"""

# %% [markdown] hint="tensor_getitem" lang="en"
r"""
The same index that reads from the data writes to the gradient. What does `x[[1, 1]] += 1` do in NumPy? Try it.
"""

# %% [markdown] hint="tensor_getitem" lang="zh"
r"""
从 data 中读取用的索引，也就是往梯度里写的索引。NumPy 中 `x[[1, 1]] += 1` 会怎样？试一试。
"""

# %% [markdown] hint="tensor_getitem" lang="en"
r"""
Every ufunc has a method `at`, which applies it once for every occurrence of a place. It takes the array, the index, and the values.
"""

# %% [markdown] hint="tensor_getitem" lang="zh"
r"""
每个 ufunc 都有一个 `at` 方法，位置每出现一次，它就作用一次。它的参数是数组、索引和要加的值。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_getitem

check_getitem(Tensor)

# %% [markdown] lang="en"
r"""
A small embedding table and a text of 60 words: the loss is the sum of all looked-up entries, so the gradient of a word's row is how often the word occurs. "fish" does not occur and gets
nothing.
"""

# %% [markdown] lang="zh"
r"""
一张小小的词嵌入表和一段 60 个词的文本：损失是所有查到的元素之和，所以每个词那一行的梯度就是该词出现的次数。“fish” 没有出现，
梯度为零。
"""

# %%
words = ["the", "cat", "dog", "sat", "ran", "fish"]
text = np.random.default_rng(3).choice(6, size=60, p=[0.4, 0.15, 0.1, 0.2, 0.15, 0])
table = Tensor(np.random.default_rng(4).normal(size=(6, 3)))
table[text].sum().backward()
fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
ax.bar(words, table.grad[:, 0], color="tab:blue", label="gradient of the word's row")
ax.plot(words, np.bincount(text, minlength=6), "o", color="tab:orange", label="occurrences in the text")
ax.set(xlabel="word", ylabel="gradient", title="the gradient of a lookup counts")
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
## 7. The matrix product

The operation in which a network spends its time. For matrices $A$ of shape $(m, k)$ and $B$ of shape $(k, n)$,

$$C_{ij} = \sum_{l=1}^{k} A_{il}\, B_{lj}, \qquad \bar A_{pq} = \sum_{i, j} \bar C_{ij}\, \frac{\partial C_{ij}}{\partial A_{pq}}, \qquad \bar B_{pq} = \sum_{i, j} \bar C_{ij}\, \frac{\partial C_{ij}}{\partial B_{pq}} .$$

Put the first equation into the other two, see which terms survive, and read what is left as a matrix product again. On Day 1 you did this for $Y = W X + b$. Shapes are a good check: $\bar A$ must be $(m, k)$, and
there is one way to get it out of $\bar C$, which is $(m, n)$, and $B$.

`np.matmul` takes more than matrices, and each case is made of what you have already:

- **vectors**: a 1-D left operand counts as a matrix of one row, a 1-D right operand as a matrix of one column, and the extra axis is dropped from $C$;
- **batches**: with more than two axes, the leading ones are a batch of matrices, and those of the two operands broadcast. Section 1 says what that means for the gradient. So a weight matrix shared by a batch collects
  the gradients of all its examples.
"""

# %% [markdown] lang="zh"
r"""
## 7. 矩阵乘法

网络的时间主要花在这个运算上。设矩阵 $A$ 的形状为 $(m, k)$，$B$ 的形状为 $(k, n)$：

$$C_{ij} = \sum_{l=1}^{k} A_{il}\, B_{lj}, \qquad \bar A_{pq} = \sum_{i, j} \bar C_{ij}\, \frac{\partial C_{ij}}{\partial A_{pq}}, \qquad \bar B_{pq} = \sum_{i, j} \bar C_{ij}\, \frac{\partial C_{ij}}{\partial B_{pq}} .$$

把第一个式子代入另外两个，看哪些项留下来，再把剩下的读成矩阵乘积。第 1 天你对 $Y = W X + b$ 做过这件事。形状是很好的检验：$\bar A$ 必须是 $(m, k)$，
而由形状为 $(m, n)$ 的 $\bar C$ 与 $B$ 得到它的方式只有一种。

`np.matmul` 接受的不只是矩阵，而每种情形都由你已有的东西组成：

- **向量**：左边的一维操作数当作只有一行的矩阵，右边的当作只有一列的矩阵，多出来的轴再从 $C$ 中去掉；
- **批量**：轴多于两个时，前面的轴表示一批矩阵，两个操作数的批量轴互相广播。这对梯度意味着什么，第 1 节已经说过。所以由整批样本共用的权重矩阵，
  会收集所有样本的梯度。
"""

# %% exercise="matmul_backward"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import matmul_backward

# %% [markdown] lang="zh" docstring="matmul_backward"
r"""``(dA, dB)``：损失对 ``C = np.matmul(A, B)`` 两个操作数的梯度。

``dC`` 是 dL/dC，形状与 C 相同；dA 的形状与 A 相同，dB 与 B 相同。形状遵循 ``np.matmul``：

    A             B             C
    (k,)          (k,)          ()            内积
    (m, k)        (k,)          (m,)
    (k,)          (k, n)        (n,)
    (m, k)        (k, n)        (m, n)
    (*a, m, k)    (*b, k, n)    (*ab, m, n)   批量轴 a 与 b 广播为 ab
    (*a, m, k)    (k,)          (*a, m)
    (k,)          (*b, k, n)    (*b, n)

所有参数都不被改动。
"""

# %% [markdown] hint="matmul_backward" lang="en"
r"""
Solve the case of two matrices first. Then make every other case look like it: give vectors their missing axis, give dC the axes that C lost, and at the end return to the operands' shapes.
"""

# %% [markdown] hint="matmul_backward" lang="zh"
r"""
先解决两个矩阵的情形。再让其余情形都变成它的样子：给向量补上缺少的轴，给 dC 补上 C 丢掉的轴，最后变回操作数的形状。
"""

# %% [markdown] hint="matmul_backward" lang="en"
r"""
In each of dA and dB the other operand appears transposed in its last two axes (`.mT`, or `np.swapaxes`), on the side where the shapes fit. With the batch axes of dC, the product has the full batch shape: `unbroadcast`
sums it down to the operand's.
"""

# %% [markdown] hint="matmul_backward" lang="zh"
r"""
在 dA 与 dB 中，另一个操作数都以最后两轴转置的形式出现（`.mT` 或 `np.swapaxes`），放在形状对得上的那一边。乘积带着 dC 的完整批量形状：
用 `unbroadcast` 求和还原为操作数的形状。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_matmul_backward

check_matmul_backward(matmul_backward)

# %% [markdown] lang="en"
r"""
**Written answer** (5 points). Derive the two gradients of $C = A B$ by indices, and say what sharing does.

1. (2 points) Start from $C_{ij} = \sum_l A_{il} B_{lj}$. Find $\partial C_{ij}/\partial A_{pq}$, put it into the sum for $\bar A_{pq}$, and write the result as a matrix product.
2. (2 points) The same for $\bar B_{pq}$.
3. (1 point) Let $A$ have shape $(s, m, k)$, a batch of $s$ matrices, while $B$ with shape $(k, n)$ is shared by all of them. How does $\bar B$ follow from the gradients of the $s$ single products, and why?

Full marks need the steps, not only the result. Write $\bar A$ as `\bar A`, or simply as dA.
"""

# %% [markdown] lang="zh"
r"""
**书面题**（5 分）。用下标推导 $C = A B$ 的两个梯度，并说明共用意味着什么。

1. （2 分）从 $C_{ij} = \sum_l A_{il} B_{lj}$ 出发，求出 $\partial C_{ij}/\partial A_{pq}$，代入 $\bar A_{pq}$ 的和式，把结果写成矩阵乘积。
2. （2 分）对 $\bar B_{pq}$ 做同样的推导。
3. （1 分）设 $A$ 的形状为 $(s, m, k)$，即一批 $s$ 个矩阵，而形状为 $(k, n)$ 的 $B$ 由它们共用。$\bar B$ 如何由这 $s$ 个单独乘积的梯度得出？为什么？

要得满分，须写出步骤，不能只有结果。$\bar A$ 可以写成 `\bar A`，也可以简单地写成 dA。
"""

# %% [markdown] written="written_matmul" lang="en"
r"""
*Your derivation here.*
"""

# %% [markdown] written="written_matmul" lang="zh"
r"""
*在这里写出你的推导。*
"""

# %% [markdown] model="written_matmul" lang="en"
r"""
1. $C_{ij}$ contains $A_{pq}$ only if $i = p$, and then with the factor $B_{qj}$: $\partial C_{ij}/\partial A_{pq} = \delta_{ip} B_{qj}$. So $\bar A_{pq} = \sum_{i,j} \bar C_{ij}\,\delta_{ip} B_{qj} = \sum_j \bar C_{pj} B_{qj} = \sum_j \bar C_{pj} (B^\top)_{jq}$,
   that is $\bar A = \bar C B^\top$.
2. $C_{ij}$ contains $B_{pq}$ only if $j = q$, with the factor $A_{ip}$: $\partial C_{ij}/\partial B_{pq} = \delta_{jq} A_{ip}$. So $\bar B_{pq} = \sum_{i,j} \bar C_{ij}\,\delta_{jq} A_{ip} = \sum_i A_{ip} \bar C_{iq} = \sum_i (A^\top)_{pi} \bar C_{iq}$,
   that is $\bar B = A^\top \bar C$.
3. $\bar B = \sum_{t=1}^{s} A_t^\top \bar C_t$. The same $B$ enters all $s$ products, as if it had been copied $s$ times; the chain rule adds what comes back along all paths.
"""

# %% [markdown] model="written_matmul" lang="zh"
r"""
1. 只有当 $i = p$ 时 $C_{ij}$ 才含有 $A_{pq}$，其系数为 $B_{qj}$：$\partial C_{ij}/\partial A_{pq} = \delta_{ip} B_{qj}$。于是 $\bar A_{pq} = \sum_{i,j} \bar C_{ij}\,\delta_{ip} B_{qj} = \sum_j \bar C_{pj} B_{qj} = \sum_j \bar C_{pj} (B^\top)_{jq}$，
   即 $\bar A = \bar C B^\top$。
2. 只有当 $j = q$ 时 $C_{ij}$ 才含有 $B_{pq}$，其系数为 $A_{ip}$：$\partial C_{ij}/\partial B_{pq} = \delta_{jq} A_{ip}$。于是 $\bar B_{pq} = \sum_{i,j} \bar C_{ij}\,\delta_{jq} A_{ip} = \sum_i A_{ip} \bar C_{iq} = \sum_i (A^\top)_{pi} \bar C_{iq}$，
   即 $\bar B = A^\top \bar C$。
3. $\bar B = \sum_{t=1}^{s} A_t^\top \bar C_t$。同一个 $B$ 进入全部 $s$ 个乘积，相当于被复制了 $s$ 份；链式法则把沿所有路径传回来的梯度相加。
"""

# %% exercise="tensor_matmul"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import Tensor

# %% [markdown] lang="zh" docstring="Tensor.matmul"
r"""矩阵乘积，支持 ``np.matmul`` 接受的所有形状；见 :func:`matmul_backward`。操作数为 ``(self, other)``。"""

# %% [markdown] lang="zh" docstring="Tensor.__matmul__"
r"""``self @ other``，与 ``self.matmul(other)`` 相同。"""

# %% [markdown] lang="zh" docstring="Tensor.__rmatmul__"
r"""``other @ self``，``other`` 是 NumPy 数组。"""

# %% [markdown] hint="tensor_matmul" lang="en"
r"""
The pattern of `*` once more; the closure calls your `matmul_backward`.
"""

# %% [markdown] hint="tensor_matmul" lang="zh"
r"""
再套用一次 `*` 的写法；闭包调用你的 `matmul_backward`。
"""

# %% [markdown] hint="tensor_matmul" lang="en"
r"""
Give `matmul_backward` arrays, not Tensors. In `__rmatmul__` the array is the *left* operand, so it has to become a Tensor for its `matmul` to be called.
"""

# %% [markdown] hint="tensor_matmul" lang="zh"
r"""
传给 `matmul_backward` 的应是数组，而不是 Tensor。在 `__rmatmul__` 中，数组是*左*操作数，要先变成 Tensor 才能调用它的 `matmul`。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_matmul

check_matmul(Tensor)

# %% [markdown] lang="en"
r"""
## 8. An oracle, and random graphs

How do you know that an engine is right? Checks of single operations miss what goes wrong *between* them: a value used twice, a broadcast after a transpose. Engineers let a random generator write
programs and compare the results with an **oracle**, an implementation they trust. This is called fuzzing. Our oracle is PyTorch, in float64.

`gradcheck` compares the two on one function. A comparison needs a tolerance, because two correct programs round differently: $|u - v| \le 10^{-8} + 10^{-5}\,|v|$, the criterion of
[torch.allclose](https://docs.pytorch.org/docs/stable/generated/torch.allclose.html). (PyTorch has a function `torch.autograd.gradcheck` as well; it compares its gradients with finite differences.)

A test must be able to fail. So your `gradcheck` is tried here on functions with planted faults: one wrong entry, a wrong sign, a NaN, errors that cancel in a sum.
"""

# %% [markdown] lang="zh"
r"""
## 8. 参照与随机计算图

怎样知道一个引擎是对的？逐个检查运算，会漏掉运算*之间*的错误：一个值被用了两次，转置之后又做广播。工程上的做法是让随机生成器写程序，
再把结果与一个可信的实现（称为**参照**，oracle）相比较，这叫模糊测试（fuzzing）。我们的参照是 float64 的 PyTorch。

`gradcheck` 在一个函数上比较两者。比较需要容差，因为两个正确的程序舍入也不同：$|u - v| \le 10^{-8} + 10^{-5}\,|v|$，这就是
[torch.allclose](https://docs.pytorch.org/docs/stable/generated/torch.allclose.html) 的判据。（PyTorch 也有一个 `torch.autograd.gradcheck`，它是拿自己的梯度与有限差分比较。）

测试必须有可能失败。所以这里会用埋了错误的函数来试你的 `gradcheck`：一个元素错了、符号错了、出现 NaN、误差在求和时互相抵消。
"""

# %% exercise="gradcheck"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import torch_gradients, gradcheck

# %% [markdown] lang="zh" docstring="torch_gradients"
r"""由 PyTorch 求 ``f`` 在 ``arrays`` 处的梯度：一个列表，每个输入对应一个数组。

``f`` 的参数是与 ``arrays`` 同样多个 torch 张量，返回只含一个数的 torch 张量。全部用 float64 计算，
每个梯度的形状与其输入相同；``f`` 没有用到的输入，梯度为零。``arrays`` 不被改动。
"""

# %% [markdown] lang="zh" docstring="gradcheck"
r"""Tensor 与 PyTorch 求出的 ``f`` 在 ``arrays`` 处的梯度是否相同。

``f`` 既能作用于 Tensor 也能作用于 torch 张量，返回一个数。只有当每个输入的每个元素都满足
|我的 - 参照| <= 1e-8 + 1e-5 |参照|（即 ``torch.allclose`` 的判据）时才为 True；任何一边出现 NaN 都为 False。
"""

# %% [markdown] hint="gradcheck" lang="en"
r"""
Make leaves from the arrays, call f, call backward, read the grads: the same four steps for both engines. What does PyTorch leave in `grad` if an input was not used?
"""

# %% [markdown] hint="gradcheck" lang="zh"
r"""
用数组造叶节点，调用 f，调用 backward，读取 grad：两个引擎都是这四步。如果某个输入没有被用到，PyTorch 会在 `grad` 里留下什么？
"""

# %% [markdown] hint="gradcheck" lang="en"
r"""
`torch.tensor` copies, and takes `dtype` and `requires_grad`. For the comparison there is `np.allclose`, with the same tolerances by default as torch's; all inputs have to agree.
"""

# %% [markdown] hint="gradcheck" lang="zh"
r"""
`torch.tensor` 会复制，并接受 `dtype` 与 `requires_grad`。比较可以用 `np.allclose`，它的默认容差与 torch 的相同；所有输入都必须一致。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_gradcheck

check_gradcheck(torch_gradients, gradcheck)

# %% [markdown] lang="en"
r"""
Why not take Day 1's finite differences as the oracle? The plot shows their error for the gradient of $\sum \tanh(A B)^2$ with respect to $A$, against the step $\varepsilon$. With a large step the truncation error dominates, which grows
like $\varepsilon^2$; with a small step it is rounding, which grows like $10^{-16}/\varepsilon$. Between the two, nine or ten digits are right at best, and every entry costs two evaluations. PyTorch's gradient agrees with yours to
nearly all sixteen digits.
"""

# %% [markdown] lang="zh"
r"""
为什么不用第 1 天的有限差分作参照？下图画的是它求 $\sum \tanh(A B)^2$ 对 $A$ 的梯度时，误差随步长 $\varepsilon$ 的变化。步长大时截断误差占主导，
按 $\varepsilon^2$ 增长；步长小时舍入误差占主导，按 $10^{-16}/\varepsilon$ 增长。两者之间，最好也只有九到十位是对的，而且每个元素要花两次函数求值。
PyTorch 的梯度则与你的梯度几乎十六位全部一致。
"""

# %%
rng = np.random.default_rng(0)
A, B = rng.normal(size=(3, 4)), rng.normal(size=(4, 5))


def loss_of(A):
    return ((A @ (B if isinstance(A, Tensor) else torch.tensor(B))).tanh() ** 2).sum()


leaf = Tensor(A)
loss_of(leaf).backward()
steps = 10.0 ** np.arange(-11, 0)
errors = [np.abs(grad_fd(lambda X: loss_of(Tensor(X)).item(), A, eps) - leaf.grad).max() for eps in steps]
oracle = np.abs(torch_gradients(loss_of, A)[0] - leaf.grad).max()
fig, ax = plt.subplots(figsize=(6, 3.4))
ax.loglog(steps, errors, "o-", label="finite differences (Day 1)")
ax.axhline(max(oracle, 1e-17), color="tab:orange", label="PyTorch")
ax.set(xlabel=r"step $\varepsilon$", ylabel="largest difference to Tensor's gradient", ylim=(1e-17, 1))
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
Now the generator. `random_graph` is given: a small grammar of expressions that are valid both on Tensors and on torch tensors. It draws line after line, keeps those whose shapes fit and whose values stay
moderate, and returns the program as a function. Write the loop around it. One name for the whole idea: *property-based testing*, here with the property "equal to the oracle".
"""

# %% [markdown] lang="zh"
r"""
现在来看生成器。`random_graph` 已给出：它是一个小语法，其中的表达式在 Tensor 和 torch 张量上都成立。它一行一行地抽取，
保留形状相容、数值适中的那些，并把程序作为函数返回。请你写出外面的循环。这种思路也叫*基于性质的测试*，这里的性质就是“与参照相等”。
"""

# %% exercise="fuzz"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import GRAMMAR, SHAPES, random_graph, fuzz

# %% [markdown] lang="zh" docstring="fuzz"
r"""对 ``count`` 个随机函数做 ``gradcheck``：哪些不通过？

每次调用 ``make(rng)`` 都返回另一个 ``(f, arrays)``；一共调用 ``count`` 次，始终传入这个 ``rng``。
返回 ``gradcheck(f, *arrays)`` 为 False 的那些函数的编号，按生成顺序从 0 数起。遇到不通过的函数不停止。
"""

# %% [markdown] hint="fuzz" lang="en"
r"""
One loop. Every turn makes one function and asks one question about it.
"""

# %% [markdown] hint="fuzz" lang="zh"
r"""
一个循环。每一轮生成一个函数，问它一个问题。
"""

# %% [markdown] hint="fuzz" lang="en"
r"""
`make` hands back a pair; the arrays have to be spread into the arguments of gradcheck. Collect the turn's number when the answer is no, and go on.
"""

# %% [markdown] hint="fuzz" lang="zh"
r"""
`make` 返回一个二元组；其中的数组要展开成 gradcheck 的参数。答案为否时记下这一轮的编号，然后继续。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_fuzz

check_fuzz(fuzz)

# %% [markdown] lang="en"
r"""
The moment of truth: your engine on random graphs, family by family. If one family fails, look at its operations. To find the fault, take a failing program, delete lines as long as it
still fails, and look at what is left.
"""

# %% [markdown] lang="zh"
r"""
见真章的时候到了：在随机计算图上逐类检验你的引擎。如果某一类失败，就检查其中的运算。要定位错误，取一个失败的程序，只要它仍然失败就继续删行，
最后看看剩下什么。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_random_graphs

check_random_graphs(Tensor, random_graph)

# %% [markdown] lang="en"
r"""
Below, one of the programs, and the differences to PyTorch over 200 graphs. Most are exactly 0 or a few units in the sixteenth digit. Then tanh is broken on purpose, $1 - y$ in place of $1 - y^2$: how many of the 200 graphs
notice?
"""

# %% [markdown] lang="zh"
r"""
下面给出其中一个程序，以及 200 张图上与 PyTorch 的差。大多数恰好为 0，或只差第十六位上的几个单位。然后故意把 tanh 改坏，用 $1 - y$ 代替 $1 - y^2$：
200 张图中有多少张能发现？
"""

# %%
print(random_graph(np.random.default_rng(7))[0].source)


def largest_gap(f, inputs):
    """The largest difference to PyTorch, relative to the largest entry of the gradient."""
    mine = list(map(Tensor, inputs))
    f(*mine).backward()
    return max(np.abs(m.grad - t).max() / max(1.0, np.abs(t).max())
               for m, t in zip(mine, torch_gradients(f, *inputs), strict=True))


def broken_tanh(self):
    y = np.tanh(self.data)
    return Tensor(y, _prev=(self,), _backward=lambda g: self.accumulate(g * (1 - y)))


rng = np.random.default_rng(1)
right = [largest_gap(*random_graph(rng)) for _ in range(200)]
with patch.object(Tensor, "tanh", broken_tanh):
    found = fuzz(random_graph, np.random.default_rng(1), 200)
    rng = np.random.default_rng(1)
    wrong = [largest_gap(*random_graph(rng)) for _ in range(200)]
print(f"\nyour Tensor: largest difference {max(right):.1e};  with a broken tanh fuzz finds {len(found)} of 200 graphs")
bins = np.arange(-18, 3)
fig, ax = plt.subplots(figsize=(6.5, 3.2))
ax.hist(np.log10(np.maximum(right, 1e-18)), bins, label="your Tensor")
ax.hist(np.log10(np.maximum(wrong, 1e-18)), bins, histtype="step", color="tab:red", lw=2, label="with a broken tanh")
ax.set(xlabel="log10 of the largest difference to PyTorch (0 shown as -18)", ylabel="graphs")
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
## 9. A network's gradients

Everything is in place for a multi-layer perceptron on a whole batch. $X$ holds one example a row, $W_i$ has shape `(in, out)`, and

$$H_0 = X, \qquad H_i = \operatorname{relu}(H_{i-1} W_i + b_i), \qquad L = \operatorname{mean}\big((H_n - Y)^2\big),$$

without relu in the last layer. The bias is broadcast over the batch, the weights are shared by it, each hidden layer is used once; you know the way back for each of these. Write down the forward pass.
`backward` does the rest.
"""

# %% [markdown] lang="zh"
r"""
## 9. 网络的梯度

要对整批数据运行一个多层感知机，所需的东西都齐了。$X$ 的每一行是一个样本，$W_i$ 的形状为 `(in, out)`，

$$H_0 = X, \qquad H_i = \operatorname{relu}(H_{i-1} W_i + b_i), \qquad L = \operatorname{mean}\big((H_n - Y)^2\big),$$

最后一层没有 relu。偏置沿批量广播，权重由整批样本共用，每个隐藏层用一次；这些的反向你都已经知道。写出前向传播，
其余的交给 `backward`。
"""

# %% exercise="mlp_backward"
from ladder.solutions.stage1_foundation.day03_tensor_autograd import mlp_backward

# %% [markdown] lang="zh" docstring="mlp_backward"
r"""用 Tensor 计算一个多层感知机的损失与梯度。

设 H_0 = X，第 i 层给出 H_i = relu(H_{i-1} W_i + b_i)；最后一层没有 relu。损失是 (H - Y)^2 在最后的 H 的全部
``batch * d_out`` 个元素上的平均。``weights`` 和 ``biases`` 每层各有一个数组，第一层在前；可以只有一层。

返回 ``(loss, dweights, dbiases)``：一个数，以及两个数组列表，次序和形状与 ``weights``、``biases`` 相同。
所有参数都不被改动。
"""

# %% [markdown] hint="mlp_backward" lang="en"
r"""
Make Tensors of the parameters and keep them: their `grad` is what you return. The loop over the layers reads like the equation.
"""

# %% [markdown] hint="mlp_backward" lang="zh"
r"""
为各个参数造 Tensor 并保留它们：要返回的就是它们的 `grad`。对各层的循环，读起来就像上面的公式。
"""

# %% [markdown] hint="mlp_backward" lang="en"
r"""
X needs no gradient (`requires_grad=False` saves the time for one). Do not read `.data` on the way, it cuts the graph. `item()` gives the loss as a number.
"""

# %% [markdown] hint="mlp_backward" lang="zh"
r"""
X 不需要梯度（用 `requires_grad=False` 可以省下这部分时间）。途中不要读取 `.data`，那会切断计算图。`item()` 给出损失的数值。
"""

# %%
from ladder.graders.stage1_foundation.day03_tensor_autograd import check_mlp_backward

check_mlp_backward(mlp_backward)

# %% [markdown] lang="en"
r"""
To close, yesterday's network and today's, from the same weights, on yesterday's task $3x^2 - 4x + 5$. The loss curves (left) lie on each other: it is the same gradient. The time (right) is another matter. It is that of one forward and backward pass
through a network with two layers of width $n$: with one Python object for each number it grows like $n^2$ from the start, while a Tensor's time is all overhead until the matrices get large. That overhead, a few microseconds a node, is why
frameworks *fuse* small operations; you will meet the same idea again with GPU kernels.
"""

# %% [markdown] lang="zh"
r"""
最后，让昨天的网络与今天的网络从相同的权重出发，做昨天的任务 $3x^2 - 4x + 5$。两条损失曲线（左图）重合：梯度是一样的。时间（右图）则是另一回事。右图是两层、宽度为 $n$ 的网络做一次前向与反向传播的时间：
每个数一个 Python 对象时，时间从一开始就按 $n^2$ 增长；而 Tensor 在矩阵变大之前，花的全是固定开销。每个节点几微秒的固定开销，正是各框架要把小运算*融合*起来的原因；
到了 GPU 算子那里，你会再次遇到同样的想法。
"""

# %%
from ladder.earlier.day02_micrograd import MLP, train_step

xs = [i / 6 for i in range(-6, 7)]
ys = [3 * x**2 - 4 * x + 5 for x in xs]
model = MLP(1, [8, 1], random.Random(0), "relu")
weights = [np.array([[w.data for w in neuron.w] for neuron in layer.neurons]).T for layer in model.layers]
biases = [np.array([neuron.b.data for neuron in layer.neurons]) for layer in model.layers]
losses = {"Value (Day 2)": [train_step(model, xs, ys, lr=0.02) for _ in range(60)], "Tensor": []}
for _ in range(60):
    loss, dweights, dbiases = mlp_backward(np.array(xs)[:, None], np.array(ys)[:, None], weights, biases)
    losses["Tensor"].append(loss)
    weights = [W - 0.02 * dW for W, dW in zip(weights, dweights, strict=True)]
    biases = [b - 0.02 * db for b, db in zip(biases, dbiases, strict=True)]


def with_values(n):
    model, x = MLP(n, [n, n], random.Random(0), "relu"), [0.5] * n
    return lambda: sum(y * y for y in model(x)).backward()


def with_tensors(n):
    rng = np.random.default_rng(0)
    W = [rng.normal(size=(n, n)) / np.sqrt(n) for _ in range(2)]
    return lambda: mlp_backward(np.full((1, n), 0.5), np.zeros((1, n)), W, [np.zeros(n)] * 2)


def seconds(step, times=3):
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return best


sizes = {"Value (Day 2)": (with_values, (2, 4, 8, 16, 32)), "Tensor": (with_tensors, (2, 4, 8, 16, 32, 64, 128, 256, 512))}
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
for (name, values), style in zip(losses.items(), ("-", "--"), strict=True):
    left.semilogy(values, style, lw=2, label=name)
left.set(xlabel="step", ylabel="mean squared error", title="the same gradients")
for name, (make, widths) in sizes.items():
    right.loglog(widths, [seconds(make(n)) for n in widths], "o-", label=name)
right.set(xlabel="width n of both layers", ylabel="seconds, forward and backward", title="another engine")
left.legend()
right.legend()
plt.tight_layout()
plt.show()
print("largest difference of the losses:", np.abs(np.subtract(*losses.values())).max())

# %% [markdown] lang="en"
r"""
## What you have

An engine in the sense of Day 7's review: nodes, closures, a traversal, and a test that can fail. What PyTorch adds is mostly engineering: dtypes and devices, views that share memory, in-place operations with version counters, and freeing
a graph's buffers after `backward`. Day 4 puts layers and an optimiser on top, Day 5 a convolution, Day 6 batch normalisation. Each is a new forward formula, and a new $\bar y \mapsto \bar x$.

If you want to see how far this design carries, build along with CMU 10-414: its homework makes a library of the same kind, with compute backends of its own.
"""

# %% [markdown] lang="zh"
r"""
## 你现在有了什么

一个引擎，也就是第 7 天复盘时要谈的那些东西：节点、闭包、遍历，以及一个有可能失败的测试。PyTorch 在此之上增加的主要是工程：dtype 与设备、共享内存的视图、
带版本计数的原地操作，以及 `backward` 之后释放计算图的缓冲区。第 4 天在它上面加上层与优化器，第 5 天加上卷积，第 6 天加上批归一化。每一样都是一个新的前向公式，和一个新的 $\bar y \mapsto \bar x$。

想看看这个设计能走多远，就跟着 CMU 10-414 一起做：它的作业会做出一个同类的库，并带有自己的计算后端。
"""

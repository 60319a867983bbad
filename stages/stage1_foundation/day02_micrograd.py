# %% [markdown] lang="en"
r"""
# Day 2 · Micrograd: scalar autograd

**Goal.** Build an engine that differentiates any expression you compute, and let it train a network:
by the end a small MLP made of your own `Value` objects fits $3x^2 - 4x + 5$.

Day 1 differentiated formulas on paper. Today the *program* does it, in the two ways there are: backwards
through the graph of what was computed (reverse mode, which is backpropagation) and forwards along with the
computation (forward mode). Day 3 repeats reverse mode with arrays in place of numbers.

Follow along with Andrej Karpathy's
[The spelled-out intro to neural networks and backpropagation: building micrograd](https://www.youtube.com/watch?v=VMj-3S1tku0)
(about two and a half hours), the first lecture of his series *Neural Networks: Zero to Hero*. His code is at
[karpathy/micrograd](https://github.com/karpathy/micrograd). Section 7 has a quiz on it. For forward mode, and for
the costs of the two, see Baydin et al., [Automatic Differentiation in Machine Learning: a Survey](https://arxiv.org/abs/1502.05767),
section 3.
"""

# %% [markdown] lang="zh"
r"""
# 第 2 天 · Micrograd：标量自动求导

**目标。** 写一个能对任意算式求导的引擎，并用它训练网络：到最后，一个完全由你自己的 `Value` 对象搭成的小型
MLP 会拟合 $3x^2 - 4x + 5$。

第 1 天我们在纸上对公式求导。今天让*程序*来求导，方法有两种：沿着计算图往回走（反向模式，也就是反向传播），
或者随着计算一起往前走（前向模式）。第 3 天会把数换成数组，重做一遍反向模式。

请跟着 Andrej Karpathy 的视频
[The spelled-out intro to neural networks and backpropagation: building micrograd](https://www.youtube.com/watch?v=VMj-3S1tku0)
一起写（约两个半小时），它是 *Neural Networks: Zero to Hero* 系列的第一讲，代码在
[karpathy/micrograd](https://github.com/karpathy/micrograd)。第 7 节有一个关于它的小测验。前向模式以及两种模式的开销，见
Baydin 等人的综述 [Automatic Differentiation in Machine Learning: a Survey](https://arxiv.org/abs/1502.05767) 第 3 节。
"""

# %% setup
import math
import random
import time
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np

# %% [markdown] lang="en"
r"""
## 1. The chain rule on a graph

Every computation is a graph: inputs are leaves, each operation makes a node out of earlier ones. Take

$$d = a\,b, \qquad e = d + c, \qquad g = a + f, \qquad L = e\,g .$$

Each node knows its **local derivatives**, those of its value with respect to its operands: $\partial d/\partial a = b$,
$\partial e/\partial d = 1$, and so on. The chain rule turns them into derivatives of $L$. If the node $u$ is used by the nodes
$v_1, \dots, v_k$ and by no others, then

$$\frac{\partial L}{\partial u} = \sum_{i=1}^{k} \frac{\partial L}{\partial v_i}\,\frac{\partial v_i}{\partial u} .$$

Read it backwards from $L$: start with $\partial L/\partial L = 1$, and once the derivatives of everything that *uses* $u$ are
known, that of $u$ follows. Along a path the factors multiply; over several paths the products add. Here $a$ reaches $L$ in
two ways.

Do it once by hand, so that you know what the engine will have to do.
"""

# %% [markdown] lang="zh"
r"""
## 1. 计算图上的链式法则

任何计算都是一张图：输入是叶节点，每次运算由已有的节点造出一个新节点。以下面的算式为例：

$$d = a\,b, \qquad e = d + c, \qquad g = a + f, \qquad L = e\,g .$$

每个节点都知道自己的**局部导数**，即它的值对各操作数的导数：$\partial d/\partial a = b$，
$\partial e/\partial d = 1$，等等。链式法则把它们变成 $L$ 的导数。设节点 $u$ 恰好被节点
$v_1, \dots, v_k$ 使用，那么

$$\frac{\partial L}{\partial u} = \sum_{i=1}^{k} \frac{\partial L}{\partial v_i}\,\frac{\partial v_i}{\partial u} .$$

从 $L$ 往回读这个式子：先有 $\partial L/\partial L = 1$；一旦所有*用到* $u$ 的节点的导数都已知，$u$ 的导数也就有了。
沿一条路径，各因子相乘；对多条路径，各乘积相加。这里 $a$ 有两条路径通向 $L$。

先亲手算一遍，这样你就知道引擎要做什么了。
"""

# %% exercise="chain_rule"
from ladder.solutions.stage1_foundation.day02_micrograd import chain_rule_by_hand

# %% [markdown] lang="zh" docstring="chain_rule_by_hand"
r"""下图中 ``L`` 在给定数值处的所有偏导数。

计算图为 ``d = a * b``、``e = d + c``、``g = a + f``、``L = e * g``。注意 ``a`` 被用了两次。
返回一个字典，键为 ``"g", "e", "d", "c", "f", "b", "a"``；其中 ``"g"`` 对应 dL/dg，其余类推。
"""

# %% [markdown] hint="chain_rule" lang="en"
r"""
Compute the values of the nodes d, e and g first; you need them for the local derivatives. Then go backwards: g and e are used by
L only, d and c by e only, f by g only.
"""

# %% [markdown] hint="chain_rule" lang="zh"
r"""
先算出节点 d、e、g 的值，求局部导数时要用。然后往回走：g 和 e 只被 L 使用，d 和 c 只被 e 使用，f 只被 g 使用。
"""

# %% [markdown] hint="chain_rule" lang="en"
r"""
For a product, the derivative with respect to one factor is the other factor. For a sum it is 1. For a, write down the two
edges that leave it, one to d and one to g, and add what comes back along each.
"""

# %% [markdown] hint="chain_rule" lang="zh"
r"""
乘积对一个因子的导数是另一个因子；和对每一项的导数是 1。对于 a，写出从它出发的两条边（一条到 d，一条到 g），
把沿每条边传回来的量相加。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_chain_rule

check_chain_rule(chain_rule_by_hand)

# %% [markdown] lang="en"
r"""
Here is your result in the graph, with the numbers that the video uses for $a$, $b$ and $c$. Compare $d$, $e$ and $c$: a sum hands
its gradient on unchanged. Change a number and run the cell again.
"""

# %% [markdown] lang="zh"
r"""
下面把你的结果标在图上，$a$、$b$、$c$ 取视频里用的数值。比较 $d$、$e$ 和 $c$：求和会把梯度原样传下去。
改动某个数，再运行一次看看。
"""

# %%
def draw_graph(nodes, title=""):
    """Draw ``nodes``, rows of (name, operation, operands' names, data, grad), operands first."""
    users = {name: [n for n, _, operands, *_ in nodes if name in operands] for name, *_ in nodes}
    level = {}
    for name, _, operands, *_ in nodes:
        level[name] = 1 + max((level[o] for o in operands), default=-1)
    for name, _, operands, *_ in nodes:  # a leaf stands right before its first use
        if not operands and users[name]:
            level[name] = min(level[u] for u in users[name]) - 1
    height, place = {}, {}
    for column in range(max(level.values()) + 1):
        names = [row for row in nodes if level[row[0]] == column]
        names.sort(key=lambda row: -np.mean([height[o] for o in row[2]] or [0]))
        for i, (name, *_) in enumerate(names):
            height[name] = (len(names) - 1) / 2 - i
            place[name] = (column, height[name])
    tall = max(sum(v == c for v in level.values()) for c in level.values())
    _, ax = plt.subplots(figsize=(2.1 * (max(level.values()) + 1), 0.95 * tall + 0.4))
    for name, operation, operands, data, grad in nodes:
        for operand in operands:
            ax.annotate("", place[name], place[operand], zorder=1,
                        arrowprops={"arrowstyle": "-|>", "color": "0.6", "shrinkA": 30, "shrinkB": 30})
        ax.text(*place[name], f"{name}{operation and ' : '}{operation}\ndata {data:.3g}\ngrad {grad:.3g}",
                ha="center", va="center", fontsize=9, zorder=2,
                bbox={"boxstyle": "round", "facecolor": "#fff3d6" if operands else "#d9ecff",
                      "edgecolor": "0.5"})
    ax.set(xlim=(-0.6, max(level.values()) + 0.6), ylim=(-tall / 2 - 0.1, tall / 2 + 0.1), title=title)
    ax.axis("off")
    plt.show()


a, b, c, f = 2.0, -3.0, 10.0, 1.0
dL = chain_rule_by_hand(a, b, c, f)
draw_graph([
    ("b", "", (), b, dL["b"]), ("a", "", (), a, dL["a"]), ("f", "", (), f, dL["f"]),
    ("c", "", (), c, dL["c"]), ("d", "a * b", ("a", "b"), a * b, dL["d"]),
    ("g", "a + f", ("a", "f"), a + f, dL["g"]), ("e", "d + c", ("d", "c"), a * b + c, dL["e"]),
    ("L", "e * g", ("e", "g"), (a * b + c) * (a + f), 1.0),
], title="data forwards, grad = dL/d(node) backwards")

# %% [markdown] lang="en"
r"""
## 2. Value: a number that remembers where it came from

Now let the program build the graph. A `Value` holds a number (`data`), the derivative of the final result with
respect to it (`grad`), and its operands (`_prev`). Python calls `a.__add__(b)` for `a + b`, so the graph grows by
itself while you compute.

Each operation also stores a small function, `_backward`, that does *one* step of the sum above: node $v$ gives every operand $u$ its share,

$$\texttt{u.grad} \mathrel{+}= \texttt{v.grad} \cdot \frac{\partial v}{\partial u} .$$

The first factor is the **upstream gradient**, the second the local derivative. The plus sign in front of the equals sign is the
sum over all users of $u$: each of them adds its own term.

Read the class's docstring closely: it says exactly what the fields and `_backward` have to do, and the checks test one operation at a time
by calling `_backward` directly. Negation, subtraction and division are given; they are made of your `+`, `*` and `**`.
`class Value` grows over several cells, method by method. If you run its first cell again, the class starts anew, and the cells of its other
methods have to be run again too.
"""

# %% [markdown] lang="zh"
r"""
## 2. Value：记得自己来历的数

现在让程序自己搭建计算图。一个 `Value` 保存一个数（`data`）、最终结果对它的导数（`grad`），以及它的操作数（`_prev`）。
Python 会把 `a + b` 变成对 `a.__add__(b)` 的调用，所以你一边计算，图就一边自己生长。

每次运算还会保存一个小函数 `_backward`，它完成上面那个求和式中的*一步*：节点 $v$ 把每个操作数 $u$ 应得的一份交给它，

$$\texttt{u.grad} \mathrel{+}= \texttt{v.grad} \cdot \frac{\partial v}{\partial u} .$$

第一个因子是**上游梯度**，第二个是局部导数。等号前面的加号就是对 $u$ 的所有使用者求和：每个使用者各加上自己的那一项。

请仔细读这个类的 docstring：它写明了各个字段和 `_backward` 必须做什么，检查会直接调用 `_backward`，一次只测一种运算。
取负、减法和除法已经给出，它们由你的 `+`、`*` 和 `**` 组成。`class Value` 分几个单元格逐个方法地长大；
如果重新运行它的第一个单元格，这个类就从头开始，其余方法的单元格也要重新运行。
"""

# %% exercise="value_add"
from ladder.solutions.stage1_foundation.day02_micrograd import Arithmetic, Value

# %% [markdown] lang="zh" docstring="Value"
r"""计算图中的一个数。

``Value(2.0)`` 是叶节点。一次运算返回一个新节点 ``Value(data, operands, op)``，操作数保持不变。字段：

- ``data``：这个数；
- ``grad``：dL/d(本节点)，其中 ``L`` 是调用 ``backward()`` 的节点；初始为 0.0；
- ``_prev``：操作数，按书写顺序排列的 Value 元组；叶节点为空；
- ``_op``：运算的名称；叶节点为空；
- ``_backward``：不带参数的函数，把梯度往回传一步。对每个操作数，它把局部导数与本节点 ``grad``
  （取调用时刻的值）的乘积*加到* ``operand.grad`` 上，此外不改变任何东西。叶节点的 ``_backward`` 什么也不做。

凡是运算接受 Value 的地方，普通的 ``int`` 或 ``float`` 都代表由它构成的叶节点。
"""

# %% [markdown] lang="zh" docstring="Value.__add__"
r"""``self + other``：操作数为 ``(self, other)``、``_op`` 为 ``"+"`` 的节点。

``other`` 是 Value 或普通数字。允许 ``a + a``。
"""

# %% [markdown] lang="zh" docstring="Value.__radd__"
r"""普通数字 ``other`` 的 ``other + self``，这样 ``sum(values)`` 也能用。"""

# %% [markdown] hint="value_add" lang="en"
r"""
Three steps: make sure that other is a Value; make the new node with its data, operands and name; define a function that adds to the two
grads, and store it in the new node's `_backward`. If u changes by a little, by how much does u + w change?
"""

# %% [markdown] hint="value_add" lang="zh"
r"""
分三步：确保 other 是 Value；用数值、操作数和名称造出新节点；定义一个往两个 grad 上累加的函数，存进新节点的 `_backward`。
若 u 变化一点点，u + w 变化多少？
"""

# %% [markdown] hint="value_add" lang="en"
r"""
The inner function takes no arguments: it finds self, other and the new node in the enclosing scope (a closure). It must read the new node's grad when it
is called, not before. 3 + a calls `a.__radd__(3)` after int has given up; a sum does not mind the order.
"""

# %% [markdown] hint="value_add" lang="zh"
r"""
内层函数没有参数：它从外层作用域里找到 self、other 和新节点（闭包）。它必须在被调用时才读取新节点的 grad，不能提前。
3 + a 会在 int 放弃之后调用 `a.__radd__(3)`；加法不在乎顺序。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_add

check_add(Value)

# %% exercise="value_mul"
from ladder.solutions.stage1_foundation.day02_micrograd import Value

# %% [markdown] lang="zh" docstring="Value.__mul__"
r"""``self * other``：操作数为 ``(self, other)``、``_op`` 为 ``"*"`` 的节点。

``other`` 是 Value 或普通数字。允许 ``a * a``。
"""

# %% [markdown] lang="zh" docstring="Value.__rmul__"
r"""普通数字 ``other`` 的 ``other * self``。"""

# %% [markdown] hint="value_mul" lang="en"
r"""
The frame is that of `__add__`; only the value and the local derivatives differ. Which number scales a change of self?
"""

# %% [markdown] hint="value_mul" lang="zh"
r"""
框架与 `__add__` 相同，只有数值和局部导数不同。self 变化时，被哪个数缩放？
"""

# %% [markdown] hint="value_mul" lang="en"
r"""
Each operand's share is the upstream gradient times the data of the *other* operand. For a * a both shares go to the same node, one after the
other, and both must survive.
"""

# %% [markdown] hint="value_mul" lang="zh"
r"""
每个操作数得到的份额是上游梯度乘以*另一个*操作数的 data。对 a * a 来说，两份先后给到同一个节点，两份都要保留下来。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_mul

check_mul(Value)

# %% [markdown] lang="en"
r"""
An operation with one operand is simpler still: one local derivative. For a constant exponent $k$,

$$\frac{\partial}{\partial u}\,u^k = k\,u^{k-1} .$$

With $k = -1$ it yields division, with $k = 1/2$ square roots, with $k = 2$ the squared errors of a loss.
"""

# %% [markdown] lang="zh"
r"""
只有一个操作数的运算更简单：只有一个局部导数。指数 $k$ 为常数时，

$$\frac{\partial}{\partial u}\,u^k = k\,u^{k-1} .$$

$k = -1$ 给出除法，$k = 1/2$ 给出平方根，$k = 2$ 给出损失函数里的平方误差。
"""

# %% exercise="value_pow"
from ladder.solutions.stage1_foundation.day02_micrograd import Value

# %% [markdown] lang="zh" docstring="Value.__pow__"
r"""``self ** k``，``k`` 为普通数字：操作数为 ``(self,)`` 的节点。

它的 ``_op`` 是 ``"**"`` 后接 ``k``，例如 ``"**3"``。``k == 0`` 时导数处处为 0，``self.data == 0`` 处也一样。
``k`` 是 Value 时抛出 TypeError。
"""

# %% [markdown] hint="value_pow" lang="en"
r"""
k is a constant: it is no node, it gets no gradient and it is not in `_prev`. Try which error Python raises by itself for a number to the power of a Value.
"""

# %% [markdown] hint="value_pow" lang="zh"
r"""
k 是常数：它不是节点，没有梯度，也不在 `_prev` 中。试试看，数字的 Value 次方会让 Python 自己抛出什么错误。
"""

# %% [markdown] hint="value_pow" lang="en"
r"""
Mind the brackets around the lowered exponent: ** binds stronger than minus. For k = 0 the node is the constant 1, so nothing needs to be added to the
operand's grad; computing 0 ** -1 on the way would raise an error.
"""

# %% [markdown] hint="value_pow" lang="zh"
r"""
减一之后的指数要加括号：** 比减号结合得更紧。k = 0 时节点是常数 1，不必给操作数的 grad 加任何东西；
若途中去算 0 ** -1，就会报错。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_pow

check_pow(Value)

# %% [markdown] lang="en"
r"""
Sums, products and powers make polynomials. A network needs one thing more, a **nonlinearity**: ReLU, as in the micrograd
repository, or tanh, as in the video.

$$\operatorname{relu}(u) = \max(0, u), \qquad \tanh(u) = \frac{e^{2u} - 1}{e^{2u} + 1}, \qquad \frac{d}{du}\tanh(u) = 1 - \tanh(u)^2 .$$

ReLU has no derivative at 0; every library picks one, and we pick 0, as PyTorch does. Exp is its own derivative. With it
the quotient above could be built from smaller nodes; making tanh one node is a choice. An operation can be as coarse as you
like, if you know its local derivative.
"""

# %% [markdown] lang="zh"
r"""
和、积、幂只能构成多项式。网络还需要一样东西：**非线性**。micrograd 的仓库里用 ReLU，视频里用 tanh。

$$\operatorname{relu}(u) = \max(0, u), \qquad \tanh(u) = \frac{e^{2u} - 1}{e^{2u} + 1}, \qquad \frac{d}{du}\tanh(u) = 1 - \tanh(u)^2 .$$

ReLU 在 0 处不可导；每个库都会选定一个值，我们与 PyTorch 一样选 0。exp 的导数就是它自己。有了 exp，
上面的商也可以用更小的节点拼出来；把 tanh 做成一个节点只是一种选择。只要知道局部导数，一个运算想做多粗都行。
"""

# %% exercise="value_relu"
from ladder.solutions.stage1_foundation.day02_micrograd import Value

# %% [markdown] lang="zh" docstring="Value.relu"
r"""max(0, self)：操作数为 ``(self,)``、``_op`` 为 ``"relu"`` 的节点。

``self.data == 0`` 处的导数为 0。
"""

# %% [markdown] hint="value_relu" lang="en"
r"""
Draw max(0, u). The slope has two values; which number decides between them?
"""

# %% [markdown] hint="value_relu" lang="zh"
r"""
画出 max(0, u)。它的斜率有两种取值；由哪个数决定取哪一种？
"""

# %% [markdown] hint="value_relu" lang="en"
r"""
Where the operand's data is positive the upstream gradient passes unchanged; elsewhere nothing is added. The sign of the upstream gradient does not matter.
"""

# %% [markdown] hint="value_relu" lang="zh"
r"""
操作数的 data 为正时，上游梯度原样通过；其他地方什么也不加。上游梯度的符号无关紧要。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_relu

check_relu(Value)

# %% exercise="value_exp_tanh"
from ladder.solutions.stage1_foundation.day02_micrograd import Value

# %% [markdown] lang="zh" docstring="Value.exp"
r"""e 的 self 次方：操作数为 ``(self,)``、``_op`` 为 ``"exp"`` 的节点。"""

# %% [markdown] lang="zh" docstring="Value.tanh"
r"""双曲正切：操作数为 ``(self,)``、``_op`` 为 ``"tanh"`` 的节点。

对任何有限的 ``self.data``（例如 1000 与 -1000），函数值和导数都有限。
"""

# %% [markdown] hint="value_exp_tanh" lang="en"
r"""
Both derivatives are easiest to write with the *result*, which the new node already holds.
"""

# %% [markdown] hint="value_exp_tanh" lang="zh"
r"""
两个导数用*结果*来写最简单，而新节点里已经有这个结果了。
"""

# %% [markdown] hint="value_exp_tanh" lang="en"
r"""
The quotient with e^(2u) overflows for large u, although tanh itself stays between -1 and 1. The module math has tanh (and exp) ready. Add to grad, as before.
"""

# %% [markdown] hint="value_exp_tanh" lang="zh"
r"""
u 很大时，含 e^(2u) 的商会溢出，尽管 tanh 本身总在 -1 与 1 之间。math 模块里有现成的 tanh（和 exp）。和之前一样，要累加到 grad 上。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_exp_tanh

check_exp_tanh(Value)

# %% [markdown] lang="en"
r"""
## 3. Backward: the right moment for each node

Every node can pass its gradient one step back. What remains is *when*: a node's `_backward` may run only when its `grad` is
complete, that is, after all nodes that use it have run theirs. So the nodes must be put in a line in which every node comes
after its operands, a **topological order**, and this line is walked from its end.

Going level by level from $L$ is not enough. In $L = t \cdot v$ with $v = u + 1$ and $u = 3t$, the node $t$ is one step away from $L$
and also three steps away; it has to wait for the long way.

The video finds the order by recursion: first visit the operands, then append the node. Recursion has a limit, however:
a loss that sums 2000 terms with `+` is a chain 2000 nodes deep, and Python gives up at about 1000 nested calls. So the task
asks for an order that works at any depth.
"""

# %% [markdown] lang="zh"
r"""
## 3. 反向传播：轮到每个节点的恰当时机

每个节点都能把梯度往回传一步，剩下的问题是*什么时候*传：一个节点的 `grad` 完整之后，它的 `_backward` 才能运行，
也就是说，要等所有用到它的节点都运行过自己的 `_backward`。因此要把节点排成一列，使每个节点都在它的操作数之后，
这叫**拓扑序**；然后从这一列的末尾往回走。

从 $L$ 逐层往下走是不够的。在 $L = t \cdot v$、$v = u + 1$、$u = 3t$ 中，节点 $t$ 离 $L$ 只有一步，
同时又有三步；它必须等长的那条路走完。

视频里用递归来求这个顺序：先访问操作数，再把节点加到列表末尾。但递归有限度：
用 `+` 对 2000 项求和得到的损失是一条深达 2000 个节点的链，而 Python 在约 1000 层嵌套调用时就会放弃。
所以本题要求的排序在任何深度下都能工作。
"""

# %% exercise="topological_order"
from ladder.solutions.stage1_foundation.day02_micrograd import topological_order

# %% [markdown] lang="zh" docstring="topological_order"
r"""``root`` 的计算图中的所有节点，每个恰好一次，且都在自己的操作数之后；``root`` 排在最后。

这张图由 ``root`` 以及从它出发沿 ``_prev`` 能到达的一切组成。若有多种顺序都满足，任选其一。
图可以是 5000 个节点的链，远深于 Python 的递归上限。
"""

# %% [markdown] hint="topological_order" lang="en"
r"""
Start with the recursive version: visit(node) returns at once if the node was seen; otherwise it marks it, visits all operands, then appends the node. Make it pass
every observation but the chain of 5000. Then replace Python's call stack by a list of your own.
"""

# %% [markdown] hint="topological_order" lang="zh"
r"""
先写递归版本：visit(node) 若见过该节点就立即返回，否则标记它，访问所有操作数，最后把该节点加到列表末尾。
让它通过除 5000 节点的链之外的所有观察。然后用你自己的列表代替 Python 的调用栈。
"""

# %% [markdown] hint="topological_order" lang="en"
r"""
What does a stack frame of visit remember? Which node it is, and whether the operands have been dealt with. Put such pairs on your stack: a node met
for the first time is put back with the note "operands done", and its operands go on top of it. When the pair with the note comes up again, append
the node. (Another way: count for every node how many uses of it are still open, and begin at the root.)
"""

# %% [markdown] hint="topological_order" lang="zh"
r"""
visit 的一个栈帧记住了什么？是哪个节点，以及它的操作数是否已经处理完。把这样的二元组放进你的栈：第一次遇到某个节点时，
把它连同“操作数已处理”的标记放回栈中，再把它的操作数压到上面。等带标记的二元组再次弹出时，把该节点加到列表末尾。
（另一种办法：对每个节点记下还有多少次使用没处理完，从根开始。）
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_topological_order

check_topological_order(Value, topological_order)

# %% exercise="value_backward"
from ladder.solutions.stage1_foundation.day02_micrograd import Value

# %% [markdown] lang="zh" docstring="Value.backward"
r"""反向模式：对 ``L = self`` 所依赖的每个节点求 dL/d(节点)。

把 ``self.grad`` 设为 1，并对每个节点恰好调用一次 ``_backward``，调用时该节点的 ``grad`` 必须已经完整。
叶节点的 ``grad`` 里原有的数值保留在和中：若两张图有公共叶节点，先后执行 ``L1.backward()`` 与 ``L2.backward()`` 之后，
它的 ``grad`` 为 d(L1 + L2)/d(叶节点)。
"""

# %% [markdown] hint="value_backward" lang="en"
r"""
You have everything: the order, and one step back for each node. What is dL/dL? From which end of the order do you walk?
"""

# %% [markdown] hint="value_backward" lang="zh"
r"""
材料已经齐了：顺序，以及每个节点往回传的一步。dL/dL 是多少？从顺序的哪一端开始走？
"""

# %% [markdown] hint="value_backward" lang="en"
r"""
topological_order puts operands first and root last, so walk it in reverse. Do not touch the grads of other nodes yourself; the `_backward` functions
add to them.
"""

# %% [markdown] hint="value_backward" lang="zh"
r"""
topological_order 把操作数放在前面、根放在最后，所以要倒着走。不要自己去动其他节点的 grad，各个 `_backward` 会往上累加。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_backward

check_backward(Value)

# %% [markdown] lang="en"
r"""
The neuron of the video, drawn from your own graph. Find the gradient of `w2`, and say why it is what it is. Which local derivative does it meet on
the way?
"""

# %% [markdown] lang="zh"
r"""
下面是视频里的那个神经元，由你自己的计算图画出。找到 `w2` 的梯度，说说它为什么是这个值。它一路上遇到了哪个局部导数？
"""

# %%
def rows(root, names):
    """The graph of ``root`` as rows for ``draw_graph``; ``names`` maps names to nodes."""
    name = {id(node): text for text, node in names.items()}
    order = topological_order(root)
    for i, node in enumerate(order):
        name.setdefault(id(node), f"n{i}")
    return [(name[id(v)], v._op, tuple(name[id(p)] for p in v._prev), v.data, v.grad) for v in order]


x1, w1, x2, w2 = Value(2.0), Value(-3.0), Value(0.0), Value(1.0)
b = Value(6.8813735870195432)
o = (x1 * w1 + x2 * w2 + b).tanh()
o.backward()
draw_graph(rows(o, {"x1": x1, "w1": w1, "x2": x2, "w2": w2, "b": b, "o": o}), title="tanh(x1 w1 + x2 w2 + b)")

# %% [markdown] lang="en"
r"""
### Is it right? Ask Day 1

Finite differences from Day 1, `grad_fd`, know nothing about graphs. Compare them with your engine for ever smaller steps $\varepsilon$. The
central difference has an error of order $\varepsilon^2$, so the distance first falls by two decades for each decade of
$\varepsilon$. Then it rises again: $f(x+\varepsilon) - f(x-\varepsilon)$ loses digits, and rounding, about $10^{-16}$, is divided by
$\varepsilon$. The engine takes no step at all, so it has neither error. And it needs one pass, however many inputs there are, where
finite differences evaluate $f$ twice for every input.
"""

# %% [markdown] lang="zh"
r"""
### 算对了吗？问问第 1 天

第 1 天的有限差分 `grad_fd` 对计算图一无所知。让步长 $\varepsilon$ 越来越小，拿它与你的引擎比较。
中心差分的误差是 $\varepsilon^2$ 阶，所以 $\varepsilon$ 每缩小一个数量级，差距先是缩小两个数量级。然后它又上升：
$f(x+\varepsilon) - f(x-\varepsilon)$ 会丢失有效数字，约 $10^{-16}$ 的舍入误差被除以了
$\varepsilon$。引擎根本不取步长，所以两种误差都没有。而且不论有多少个输入，它只需要一趟；有限差分则要对每个输入计算两次 $f$。
"""

# %%
from ladder.earlier.day01_matrix_calculus import grad_fd


def expression(x):
    p, q, r = x
    return (p * q + r).tanh() * p + (q**3 - r / p).relu() + (p - q).exp()


point = [0.8, 1.3, -0.6]
leaves = [Value(v) for v in point]
expression(leaves).backward()
exact = np.array([leaf.grad for leaf in leaves])
steps = 10.0 ** np.arange(-1, -13.5, -0.5)
distance = [np.abs(grad_fd(lambda x: expression([Value(float(v)) for v in x]).data, np.array(point), eps)
                   - exact).max() for eps in steps]

fig, ax = plt.subplots(figsize=(6, 3.4))
ax.loglog(steps, distance, "o-", label="finite differences vs. the engine")
ax.loglog(steps[:10], steps[:10] ** 2, "--", color="0.5", label=r"$\varepsilon^2$ (truncation)")
ax.loglog(steps[10:], 1e-16 / steps[10:], ":", color="0.5", label=r"$10^{-16}/\varepsilon$ (rounding)")
ax.set(xlabel=r"step $\varepsilon$", ylabel="largest difference of the gradients")
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
## 4. From a neuron to a network

A **neuron** with inputs $x_1, \dots, x_n$ computes

$$o = \varphi\Big(\sum_{i=1}^{n} w_i x_i + b\Big)$$

with weights $w_i$, a bias $b$ and an activation $\varphi$. With a step function for $\varphi$ this is Rosenblatt's perceptron of 1958; its
derivative is 0 almost everywhere, so that gradients say nothing, and tanh or ReLU takes its place. A **layer** is several
neurons on the same inputs, a **multi-layer perceptron** (MLP) several layers in a row. The last layer has no activation here, because
$3x^2 - 4x + 5$ goes far beyond the range of tanh.

None of these classes contains a derivative. They only compute with `Value`, and the engine does the rest.
"""

# %% [markdown] lang="zh"
r"""
## 4. 从神经元到网络

一个**神经元**接收输入 $x_1, \dots, x_n$，计算

$$o = \varphi\Big(\sum_{i=1}^{n} w_i x_i + b\Big)$$

其中 $w_i$ 是权重，$b$ 是偏置，$\varphi$ 是激活函数。若 $\varphi$ 取阶跃函数，就是 Rosenblatt 在 1958 年提出的感知机；
它的导数几乎处处为 0，梯度不提供任何信息，于是换成 tanh 或 ReLU。同样的输入接上若干个神经元，就是一**层**；
若干层依次相接，就是**多层感知机**（MLP）。这里最后一层没有激活函数，因为
$3x^2 - 4x + 5$ 远远超出 tanh 的取值范围。

这些类里没有任何导数。它们只是用 `Value` 做计算，其余的交给引擎。
"""

# %% exercise="neuron"
from ladder.solutions.stage1_foundation.day02_micrograd import Neuron

# %% [markdown] lang="zh" docstring="Neuron"
r"""``nin`` 个权重 ``w``、一个偏置 ``b`` 和激活函数："tanh"、"relu" 或 "linear"（无激活）。"""

# %% [markdown] lang="zh" docstring="Neuron.__call__"
r"""w . x + b 经激活函数之后的值，``x`` 含 ``nin`` 个 Value 或普通数字。

若 ``x`` 的长度不对，抛出 ValueError。
"""

# %% [markdown] lang="zh" docstring="Neuron.parameters"
r"""``nin + 1`` 个参数：先是按顺序排列的权重，然后是偏置。"""

# %% [markdown] hint="neuron" lang="en"
r"""
Form the sum of products with the Values themselves (not with their data), starting from the bias; then apply the activation that `self.activation` names.
"""

# %% [markdown] hint="neuron" lang="zh"
r"""
用 Value 本身（而不是它们的 data）从偏置开始累加乘积，然后应用 `self.activation` 所指定的激活函数。
"""

# %% [markdown] hint="neuron" lang="en"
r"""
zip(..., strict=True) raises ValueError where the lengths differ. "linear" returns the sum as it is; the other two are methods of Value.
"""

# %% [markdown] hint="neuron" lang="zh"
r"""
长度不同时，zip(..., strict=True) 会抛出 ValueError。"linear" 直接返回这个和；另外两种是 Value 的方法。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_neuron

check_neuron(Value, Neuron)

# %% exercise="layer"
from ladder.solutions.stage1_foundation.day02_micrograd import Layer

# %% [markdown] lang="zh" docstring="Layer"
r"""并排的 ``nout`` 个神经元，每个有 ``nin`` 个输入，激活函数相同。"""

# %% [markdown] lang="zh" docstring="Layer.__init__"
r"""设置 ``self.neurons``：由 ``nout`` 个互不相同的 Neuron 组成的列表，权重取自 ``rng``。"""

# %% [markdown] lang="zh" docstring="Layer.__call__"
r"""各神经元对同一个 ``x`` 的输出：一个列表，``nout`` 为 1 时也是列表。"""

# %% [markdown] lang="zh" docstring="Layer.parameters"
r"""先是第一个神经元的参数，然后是第二个的，以此类推。"""

# %% [markdown] hint="layer" lang="en"
r"""
All three methods are loops over neurons. Call Neuron(...) once for each of them.
"""

# %% [markdown] hint="layer" lang="zh"
r"""
三个方法都是对神经元的循环。每个神经元都要各调用一次 Neuron(...)。
"""

# %% [markdown] hint="layer" lang="en"
r"""
List comprehensions do it; parameters needs two for clauses, so that the list comes out flat. Pass the activation on.
"""

# %% [markdown] hint="layer" lang="zh"
r"""
用列表推导式即可；parameters 需要两个 for 子句，结果才是扁平的列表。别忘了把激活函数传下去。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_layer

check_layer(Value, Layer)

# %% exercise="mlp"
from ladder.solutions.stage1_foundation.day02_micrograd import MLP

# %% [markdown] lang="zh" docstring="MLP"
r"""多层感知机：``nin`` 个输入，之后 ``nouts`` 中的每个数对应一层。"""

# %% [markdown] lang="zh" docstring="MLP.__init__"
r"""设置 ``self.layers``：由 ``len(nouts)`` 个 Layer 组成的列表，权重按顺序取自 ``rng``。

``nouts[i]`` 是第 i 层的神经元个数。除最后一层为 "linear" 外，各层的激活函数都是 ``activation``。
"""

# %% [markdown] lang="zh" docstring="MLP.__call__"
r"""最后一层的输出；第一层的输入是 ``x``，其后每一层的输入是前一层的输出。

返回含 ``nouts[-1]`` 个 Value 的列表；若只有 1 个，则返回那个 Value 本身，而不是长度为 1 的列表。
"""

# %% [markdown] lang="zh" docstring="MLP.parameters"
r"""先是第一层的参数，然后是第二层的，以此类推。"""

# %% [markdown] lang="zh" docstring="MLP.zero_grad"
r"""把每个参数的 ``grad`` 置为 0，``data`` 保持不变。"""

# %% [markdown] hint="mlp" lang="en"
r"""
Layer i has as many inputs as layer i - 1 has neurons; the first has nin. Put nin in front of nouts, and each pair of neighbours describes one layer.
"""

# %% [markdown] hint="mlp" lang="zh"
r"""
第 i 层的输入个数等于第 i - 1 层的神经元个数；第一层的输入个数是 nin。把 nin 放到 nouts 前面，每对相邻的数就描述了一层。
"""

# %% [markdown] hint="mlp" lang="en"
r"""
Between the layers pass on the lists of Values unchanged: a new Value around a number would be a leaf and cut the graph. Only the very last result is unwrapped if it has
length 1. parameters must return the objects themselves, not copies.
"""

# %% [markdown] hint="mlp" lang="zh"
r"""
层与层之间原样传递 Value 的列表：把数值重新包成 Value 会得到叶节点，计算图就断了。只有最终结果在长度为 1 时才取出。
parameters 必须返回对象本身，而不是副本。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_mlp

check_mlp(Value, MLP)

# %% [markdown] lang="en"
r"""
Now the gradients of a whole network: every weight and bias of every layer, and the inputs.
"""

# %% [markdown] lang="zh"
r"""
现在检查整个网络的梯度：每一层的每个权重和偏置，以及输入。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_mlp_backward

check_mlp_backward(Value, MLP)

# %% [markdown] lang="en"
r"""
What untrained networks compute, and a first use of the gradient: `backward()` also gives $d\,\text{output}/dx$ at the input. The short red strokes are tangents drawn with it. A
tanh network is smooth. A ReLU network is made of straight pieces, with a kink wherever a neuron switches on or off; all biases
start at 0, so all the kinks are at $x = 0$ still.
"""

# %% [markdown] lang="zh"
r"""
看看未训练的网络算出什么，并第一次用上梯度：`backward()` 也给出输入处的 $d\,\text{输出}/dx$。红色短线就是用它画的切线。
tanh 网络是光滑的；ReLU 网络由直线段拼成，每当一个神经元打开或关闭，就出现一个折点。所有偏置都从 0 开始，所以现在所有折点都在 $x = 0$ 处。
"""

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
grid = np.linspace(-2, 2, 81)
for ax, activation in zip(axes, ("tanh", "relu"), strict=True):
    for seed in range(3):
        network = MLP(1, [8, 1], random.Random(seed), activation)
        ax.plot(grid, [network([float(x)]).data for x in grid], color=f"C{seed}")
        for x in (-1.5, -0.5, 0.5, 1.5):
            leaf = Value(x)
            out = network([leaf])
            out.backward()
            ax.plot([x - 0.25, x + 0.25], [out.data - 0.25 * leaf.grad, out.data + 0.25 * leaf.grad],
                    color="red", lw=3, alpha=0.6)
    ax.set(title=f"three untrained networks, {activation}", xlabel="x")
axes[0].set_ylabel("output")
plt.show()

# %% [markdown] lang="en"
r"""
## 5. Training

The **loss** measures with one number how wrong the network is on the data $(x_1, y_1), \dots, (x_N, y_N)$. We take the mean squared error of the predictions $\hat y_i$:

$$\mathcal L = \frac1N \sum_{i=1}^{N} (\hat y_i - y_i)^2, \qquad \frac{\partial \mathcal L}{\partial \hat y_i} = \frac{2}{N} (\hat y_i - y_i) .$$

It is a `Value` like any other, whose graph contains the network once for each data point. All copies share the same parameters, so each parameter's
gradient is a sum over the data: reuse of nodes once more.
"""

# %% [markdown] lang="zh"
r"""
## 5. 训练

**损失**用一个数衡量网络在数据 $(x_1, y_1), \dots, (x_N, y_N)$ 上错得有多离谱。我们取预测值 $\hat y_i$ 的均方误差：

$$\mathcal L = \frac1N \sum_{i=1}^{N} (\hat y_i - y_i)^2, \qquad \frac{\partial \mathcal L}{\partial \hat y_i} = \frac{2}{N} (\hat y_i - y_i) .$$

它和别的节点一样是个 `Value`，它的计算图对每个数据点都含有一份网络。各份网络共用同一套参数，所以每个参数的梯度是对全部数据的求和：
这又是节点的重复使用。
"""

# %% exercise="mse_loss"
from ladder.solutions.stage1_foundation.day02_micrograd import mse_loss

# %% [markdown] lang="zh" docstring="mse_loss"
r"""(predictions[i] - targets[i])^2 对 i 的平均值，是一个可以调用 backward() 的 Value。

两者长度不同时抛出 ValueError。
"""

# %% [markdown] hint="mse_loss" lang="en"
r"""
Python's sum works on a list of Values, because you wrote `__radd__` (it starts with the number 0).
"""

# %% [markdown] hint="mse_loss" lang="zh"
r"""
Python 的 sum 可以用于 Value 的列表，因为你写了 `__radd__`（sum 从数字 0 开始）。
"""

# %% [markdown] hint="mse_loss" lang="en"
r"""
Subtract, square and divide with Values and plain numbers; never take .data, or the graph ends there. zip can be told to insist on equal lengths.
"""

# %% [markdown] hint="mse_loss" lang="zh"
r"""
用 Value 和普通数字做减法、平方和除法；不要取 .data，否则计算图就在那里断了。zip 有选项可以要求长度相等。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_mse_loss

check_mse_loss(Value, mse_loss)

# %% [markdown] lang="en"
r"""
**Gradient descent** moves every parameter $\theta$ a little against its gradient, with the learning rate $\eta$:

$$\theta \leftarrow \theta - \eta\,\frac{\partial \mathcal L}{\partial \theta} .$$

For small $\eta$ the loss then falls by about $\eta \sum_\theta (\partial \mathcal L/\partial \theta)^2$. Every step builds a new graph, but the parameters are the same
leaves in all of them, and `_backward` *adds*. So their old gradients have to be cleared before each backward pass. The video's author forgets it in front
of the camera.
"""

# %% [markdown] lang="zh"
r"""
**梯度下降**让每个参数 $\theta$ 逆着它的梯度移动一小步，步子大小由学习率 $\eta$ 决定：

$$\theta \leftarrow \theta - \eta\,\frac{\partial \mathcal L}{\partial \theta} .$$

$\eta$ 很小时，损失大约下降 $\eta \sum_\theta (\partial \mathcal L/\partial \theta)^2$。每一步都会建一张新的计算图，但参数是所有这些图共用的叶节点，
而 `_backward` 做的是*累加*。所以每次反向传播之前都要清除旧的梯度。视频的作者在镜头前也忘了这一步。
"""

# %% exercise="train_step"
from ladder.solutions.stage1_foundation.day02_micrograd import train_step

# %% [markdown] lang="zh" docstring="train_step"
r"""在 xs 与 ys 的全部数据对上，对均方误差做一步梯度下降。

``model`` 有一个输入和一个输出。每个参数 p 变为 p - lr dloss/dp，所有导数都在任何参数移动之前求出。
返回这一步之前的损失，类型为 ``float``。参数的 ``grad`` 在调用之前含有什么，对结果没有影响。
"""

# %% [markdown] hint="train_step" lang="en"
r"""
Four parts: predictions and loss; clear the gradients; backward; update. Which of them has to come before which?
"""

# %% [markdown] hint="train_step" lang="zh"
r"""
四个部分：预测与损失；清零梯度；反向传播；更新参数。哪一步必须在哪一步之前？
"""

# %% [markdown] hint="train_step" lang="en"
r"""
The network takes a list, so a number x goes in as [x]. Update p.data in place, with a minus sign; assigning to the loop variable p would change nothing. Return the number in the
loss, not the Value.
"""

# %% [markdown] hint="train_step" lang="zh"
r"""
网络接收的是列表，所以数 x 要写成 [x] 传进去。就地更新 p.data，注意是减号；给循环变量 p 赋值不会改变任何东西。
返回损失里的那个数，而不是 Value。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_train_step

check_train_step(MLP, train_step)

# %% [markdown] lang="en"
r"""
Now the task that the day is named for: fit $f(x) = 3x^2 - 4x + 5$ for $-1 \le x \le 1$ with a network that runs on your engine. On this interval $f$ falls from 12
to its minimum 11/3 at $x = 2/3$. A mean squared error below 0.1 means that the typical error is about 0.3, some four percent of the range.

The engine is slow: every multiplication is a Python object. A network of 8 hidden neurons has 25 parameters; on 9 points one step takes about two
milliseconds. So you have a few hundred steps, and the learning rate matters: too small and they do not suffice, too large and the loss goes up.
"""

# %% [markdown] lang="zh"
r"""
现在来做今天的主任务：用跑在你自己引擎上的网络，在 $-1 \le x \le 1$ 上拟合 $f(x) = 3x^2 - 4x + 5$。在这个区间上，$f$ 从 12 下降到
$x = 2/3$ 处的最小值 11/3。均方误差小于 0.1，意味着典型误差约为 0.3，大约是取值范围的百分之四。

这个引擎很慢：每次乘法都是一个 Python 对象。有 8 个隐藏神经元的网络有 25 个参数；在 9 个点上，一步大约要两毫秒。
所以你大约有几百步可用，学习率就很重要：太小，步数不够；太大，损失反而上升。
"""

# %% exercise="fit_quadratic"
from ladder.solutions.stage1_foundation.day02_micrograd import fit_quadratic

# %% [markdown] lang="zh" docstring="fit_quadratic"
r"""训练一个单输入、单输出的 MLP，在 x 属于 [-1, 1] 时拟合 3x^2 - 4x + 5。

返回 ``(model, losses)``。``model([x])`` 是对数 x 的预测；在 -1 到 1 的 41 个等距点上，均方误差小于 0.1，
种子取 0 到 999 中的任何一个都如此。``losses`` 含 ``steps`` 个浮点数，依次是每次调用 ``train_step`` 返回的损失。
宽度、训练点、学习率以及 ``steps`` 的默认值由你选择，使一次调用最多约一秒。权重取自 ``random.Random(seed)``：
同一种子每次调用结果相同，换一个种子则从另一个网络开始。
"""

# %% [markdown] hint="fit_quadratic" lang="en"
r"""
One hidden layer of about 8 tanh neurons is enough. Choose training points spread over the whole interval, make the network once, then call train_step in a loop and
keep what it returns. Plot the losses while you choose the learning rate.
"""

# %% [markdown] hint="fit_quadratic" lang="zh"
r"""
一个约 8 个 tanh 神经元的隐藏层就够了。训练点要铺满整个区间；网络只创建一次，然后循环调用 train_step 并保存它的返回值。
选学习率时，把损失画出来看。
"""

# %% [markdown] hint="fit_quadratic" lang="en"
r"""
Around ten points, 150 to 250 steps and a learning rate between 0.06 and 0.08 work from any seed. With 0.01 the steps do not suffice; with 0.3 the loss grows
beyond all bounds.
"""

# %% [markdown] hint="fit_quadratic" lang="zh"
r"""
大约十个点、150 到 250 步、0.06 到 0.08 之间的学习率，从任何种子出发都能成功。0.01 则步数不够；0.3 则损失会无限增大。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_fit_quadratic

check_fit_quadratic(MLP, fit_quadratic)

# %%
def quadratic(x):
    return 3 * x**2 - 4 * x + 5


fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
grid = np.linspace(-1.6, 1.6, 65)
left.plot(grid, quadratic(grid), "k--", label=r"$3x^2 - 4x + 5$")
for i, steps in enumerate((0, 5, 20, 150)):
    model, _ = fit_quadratic(1, steps)
    left.plot(grid, [model([float(x)]).data for x in grid], color=plt.cm.viridis(i / 3.3),
              label=f"after {steps} steps")
left.axvspan(-1, 1, color="0.93", zorder=0)
left.set(xlabel="x", ylabel="prediction", ylim=(-2, 20), title="the network sees the grey part only")
left.legend(fontsize=8)
for seed in range(3):
    right.semilogy(fit_quadratic(seed)[1], label=f"seed {seed}")
right.axhline(0.1, color="0.5", ls=":", label="0.1")
right.set(xlabel="step", ylabel="mean squared error", title="loss")
right.legend(fontsize=8)
plt.show()

# %% [markdown] lang="en"
r"""
The first steps only lift the output to the mean of the targets, the following ones tilt it, and the bend comes last: the loss falls steeply, then slowly. Outside the grey interval
the network knows nothing of the parabola. Its tanh neurons saturate, and the curve goes flat.
"""

# %% [markdown] lang="zh"
r"""
最初几步只是把输出抬到目标值的平均水平，接着让它倾斜，最后才出现弯曲：损失先陡降，后缓降。在灰色区间之外，
网络对抛物线一无所知：tanh 神经元饱和，曲线变平。
"""

# %% [markdown] lang="en"
r"""
## 6. Forward mode: derivatives that travel along

There is a second way to use the chain rule: from the inputs to the outputs. Let each number carry its **tangent**, its derivative along one direction in the space of
inputs. Formally (Baydin et al., section 3.1.1) one computes with **dual numbers** $x + \dot x\,\epsilon$, where $\epsilon \ne 0$ but $\epsilon^2 = 0$:

$$(x + \dot x\,\epsilon)(y + \dot y\,\epsilon) = x y + (\dot x\,y + x\,\dot y)\,\epsilon, \qquad \varphi(x + \dot x\,\epsilon) = \varphi(x) + \varphi'(x)\,\dot x\,\epsilon .$$

The coefficient of $\epsilon$ is the product rule on the left and the chain rule on the right. No graph is needed, nothing is stored: value and tangent leave each operation together.
"""

# %% [markdown] lang="zh"
r"""
## 6. 前向模式：与计算同行的导数

链式法则还有第二种用法：从输入走向输出。让每个数都带上自己的**切向量分量**（tangent），也就是它沿输入空间中某个方向的导数。
形式上（Baydin 等，3.1.1 节），这就是用**对偶数** $x + \dot x\,\epsilon$ 做计算，其中 $\epsilon \ne 0$，但 $\epsilon^2 = 0$：

$$(x + \dot x\,\epsilon)(y + \dot y\,\epsilon) = x y + (\dot x\,y + x\,\dot y)\,\epsilon, \qquad \varphi(x + \dot x\,\epsilon) = \varphi(x) + \varphi'(x)\,\dot x\,\epsilon .$$

$\epsilon$ 的系数，左边就是乘积法则，右边就是链式法则。不需要计算图，也不用保存任何东西：数值和 tangent 一起从每次运算中出来。
"""

# %% exercise="dual"
from ladder.solutions.stage1_foundation.day02_micrograd import Dual

# %% [markdown] lang="zh" docstring="Dual"
r"""一个数及其沿某个方向的导数：``data + tangent * epsilon``。

epsilon 不为零，但它的平方为零。一次运算返回一个新的 Dual，其 ``tangent`` 是结果的导数；操作数保持不变。
不保存计算图。普通的 ``int`` 或 ``float`` 代表 tangent 为 0 的 Dual。（Baydin 等，3.1.1 节。）
"""

# %% [markdown] lang="zh" docstring="Dual.__add__"
r"""``self + other``，``other`` 是 Dual 或普通数字。"""

# %% [markdown] lang="zh" docstring="Dual.__mul__"
r"""``self * other``，``other`` 是 Dual 或普通数字。"""

# %% [markdown] lang="zh" docstring="Dual.__pow__"
r"""``self ** k``，``k`` 为普通数字；``k == 0`` 时 tangent 处处为 0。"""

# %% [markdown] lang="zh" docstring="Dual.relu"
r"""max(0, self)，``self.data == 0`` 处 tangent 为 0。"""

# %% [markdown] lang="zh" docstring="Dual.exp"
r"""e 的 self 次方。"""

# %% [markdown] lang="zh" docstring="Dual.tanh"
r"""双曲正切；对任何有限的 ``self.data`` 都有限。"""

# %% [markdown] hint="dual" lang="en"
r"""
Each method returns Dual(value, derivative). The two equations above cover all of them; the derivatives are those you know from Value.
"""

# %% [markdown] hint="dual" lang="zh"
r"""
每个方法都返回 Dual(数值, 导数)。上面两个式子涵盖了所有运算；导数就是你在 Value 里用过的那些。
"""

# %% [markdown] hint="dual" lang="en"
r"""
For every function of one operand: its slope at self.data, times self.tangent. For k = 0 and for relu at 0 treat the slope as in Value. A constant does not change, so its
tangent is 0.
"""

# %% [markdown] hint="dual" lang="zh"
r"""
只有一个操作数的函数：它在 self.data 处的斜率，乘以 self.tangent。k = 0 以及 0 处的 relu，斜率的取法与 Value 相同。
常数不会变化，所以它的 tangent 为 0。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_dual

check_dual(Dual)

# %% [markdown] lang="en"
r"""
Let $f$ have $n$ inputs and $m$ outputs, and let $J$ be its Jacobian, $J_{ij} = \partial f_i/\partial x_j$ (Day 1). If the inputs carry the tangents
$v_1, \dots, v_n$, what comes out are the derivatives along $v$:

$$\dot y = J\,v \quad \text{(JVP)}, \qquad \text{whereas reverse mode gives} \quad \bar x = J^{\mathsf T} g \quad \text{(VJP)}.$$

Here $g$ holds one weight for each output, and $\bar x$ is the gradient of the weighted sum $\sum_i g_i\,y_i$. One forward pass yields a combination of the *columns* of $J$, one
backward pass a combination of its *rows*, and neither ever builds $J$.
"""

# %% [markdown] lang="zh"
r"""
设 $f$ 有 $n$ 个输入、$m$ 个输出，$J$ 是它的 Jacobian，$J_{ij} = \partial f_i/\partial x_j$（第 1 天）。若各输入带着 tangent
$v_1, \dots, v_n$，输出的 tangent 就是沿 $v$ 的导数：

$$\dot y = J\,v \quad \text{（JVP）}, \qquad \text{而反向模式给出} \quad \bar x = J^{\mathsf T} g \quad \text{（VJP）}.$$

其中 $g$ 对每个输出给出一个权重，$\bar x$ 是加权和 $\sum_i g_i\,y_i$ 的梯度。一趟前向得到 $J$ 各*列*的组合，
一趟反向得到各*行*的组合，两者都不必构造出 $J$。
"""

# %% exercise="jvp"
from ladder.solutions.stage1_foundation.day02_micrograd import jvp

# %% [markdown] lang="zh" docstring="jvp"
r"""用前向模式求 ``f`` 在 ``x`` 处的 Jacobian-向量积 J v。

``f`` 接收含 n 个数的列表，返回含 m 个数的列表，只用 ``+ - * / **``、``relu``、``exp`` 与 ``tanh`` 计算，
因此对 Dual 和 Value 都适用。J 的元素为 J[i][j] = df_i/dx_j，``v`` 有 n 个元素。返回 m 个浮点数，只调用 ``f`` 一次。
"""

# %% [markdown] hint="jvp" lang="en"
r"""
Which tangent must input j start with, so that the output's tangent is the sum over j of J[i][j] v[j]?
"""

# %% [markdown] hint="jvp" lang="zh"
r"""
输入 j 应当从什么 tangent 开始，才能使输出的 tangent 等于 J[i][j] v[j] 对 j 的和？
"""

# %% [markdown] hint="jvp" lang="en"
r"""
Make a list of Duals from the pairs (x[j], v[j]), call f once on it, and read the tangents of the outputs.
"""

# %% [markdown] hint="jvp" lang="zh"
r"""
用每对 (x[j], v[j]) 造出 Dual 的列表，对它调用一次 f，再读出各输出的 tangent。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_jvp

check_jvp(jvp)

# %% exercise="vjp"
from ladder.solutions.stage1_foundation.day02_micrograd import vjp

# %% [markdown] lang="zh" docstring="vjp"
r"""用反向模式求 ``f`` 在 ``x`` 处的向量-Jacobian 积 g^T J。

``f`` 与 J 同 :func:`jvp`，``g`` 有 m 个元素。输出可以就是某个输入本身，同一个节点也可以返回两次。
返回 n 个浮点数，``f`` 没有用到的输入对应 0，只调用 ``f`` 一次。
"""

# %% [markdown] hint="vjp" lang="en"
r"""
backward() starts from a single node. Which single node has g^T J as its gradient?
"""

# %% [markdown] hint="vjp" lang="zh"
r"""
backward() 从单个节点出发。哪个节点的梯度恰好是 g^T J？
"""

# %% [markdown] hint="vjp" lang="en"
r"""
Keep the list of the input Values. Build the weighted sum of the outputs as one Value, call backward() on it once, then read the inputs' grads. Several backward() calls on
graphs with common inner nodes would count those nodes' gradients repeatedly.
"""

# %% [markdown] hint="vjp" lang="zh"
r"""
保留输入 Value 的列表。把各输出的加权和做成一个 Value，对它调用一次 backward()，再读出各输入的 grad。
若对有公共内部节点的图多次调用 backward()，那些节点的梯度会被重复计算。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_vjp

check_vjp(vjp)

# %% [markdown] lang="en"
r"""
Three ways to one number. For any $v$ and $g$ we have $g \cdot (J v) = (J^{\mathsf T} g) \cdot v$; and $J$ itself can be had from Day 1's finite differences. Then the costs: the gradient
of *one* output needs $n$ forward passes or 1 backward pass, the derivatives of $m$ outputs by *one* input 1 forward pass or $m$ backward passes. A single pass of either costs a small multiple of $f$
itself; for reverse mode Baydin et al. (section 3.2) give a factor below 6, typically 2 to 3. Training has millions of inputs, the parameters, and one
output, the loss: that is why everybody uses reverse mode. Its price is memory, as the whole graph has to be kept.
"""

# %% [markdown] lang="zh"
r"""
三种办法得到同一个数。对任意的 $v$ 与 $g$，都有 $g \cdot (J v) = (J^{\mathsf T} g) \cdot v$；而 $J$ 本身可由第 1 天的有限差分得到。再看开销：
求*一个*输出的梯度，需要 $n$ 趟前向或 1 趟反向；求 $m$ 个输出对*一个*输入的导数，需要 1 趟前向或 $m$ 趟反向。两种模式的一趟都只是 $f$
本身开销的几倍；对反向模式，Baydin 等人（3.2 节）给出的倍数小于 6，通常是 2 到 3。训练有几百万个输入（参数），却只有一个输出（损失）：
这就是大家都用反向模式的原因。代价是内存，因为整张计算图都要保留。
"""

# %%
from ladder.earlier.day01_matrix_calculus import jacobian_fd


def f(x):
    s = x[0] * x[1]
    return [s.tanh() + x[2] ** 2, s / (x[2] ** 2 + 1)]


x, v, g = [0.7, -1.2, 0.4], [1.0, 0.5, -2.0], [0.3, -1.5]
J = jacobian_fd(lambda z: np.array([y.data for y in f([Value(float(zi)) for zi in z])]), np.array(x))
print("g . (J v)    by dual numbers        ", np.dot(g, jvp(f, x, v)))
print("(J^T g) . v  by backward            ", np.dot(vjp(f, x, g), v))
print("g^T J v      by finite differences  ", np.array(g) @ J @ np.array(v))


def many_inputs(x):
    return [sum((p * q).tanh() for p, q in zip(x, x[1:] + x[:1], strict=True))]


def many_outputs(m):
    return lambda x: [(x[0] * (i + 1)).tanh() for i in range(m)]


def columns(f, x):
    return [jvp(f, x, v) for v in np.eye(len(x)).tolist()]


def gradients(f, x, m):
    return [vjp(f, x, g) for g in np.eye(m).tolist()]


def milliseconds(work, *arguments):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work(*arguments)
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


sizes = [1, 2, 4, 8, 16, 32]
points = [[0.2 + i / n for i in range(n)] for n in sizes]
one_output = {
    "n forward passes": [milliseconds(columns, many_inputs, x) for x in points],
    "1 backward pass": [milliseconds(gradients, many_inputs, x, 1) for x in points],
}
one_input = {
    "1 forward pass": [milliseconds(columns, many_outputs(m), [0.3]) for m in sizes],
    "m backward passes": [milliseconds(gradients, many_outputs(m), [0.3], m) for m in sizes],
}

fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True)
for ax, costs, label in ((axes[0], one_output, "inputs n of one output"),
                         (axes[1], one_input, "outputs m of one input")):
    for name, times in costs.items():
        forward = "forward" in name
        ax.loglog(sizes, times, "o-" if forward else "s--", color="C0" if forward else "C3", label=name)
    ax.set(xlabel=label)
    ax.legend()
axes[0].set_ylabel("milliseconds")
plt.show()

# %% [markdown] lang="en"
r"""
## 7. Quiz on the video

Eight questions on [the video](https://www.youtube.com/watch?v=VMj-3S1tku0), one answer each. Try things out in a cell where you are unsure.

**q1.** The video starts with $f(x) = 3x^2 - 4x + 5$ and estimates its slope as $(f(x+h) - f(x))/h$. At $x = 3$ it is 14. For small $h$, what does the estimate tend to at $x = -3$?

- (a) 22
- (b) 14
- (c) $-22$
- (d) $-14$

**q2.** In double precision, what does the same estimate return at $x = 3.0$ for $h = 10^{-17}$?

- (a) 14 with more correct digits than $h = 10^{-4}$ gives
- (b) 0, because $x + h$ is rounded to $x$
- (c) infinity, because of the division by a tiny number
- (d) an error, because Python refuses so small a number

**q3.** In its first version the engine wrote `self.grad = ...` and `other.grad = ...` in `_backward`. With $a = 3$ and `b = a + a`, what was `a.grad` after `b.backward()`?

- (a) 0, since the two assignments cancel
- (b) 2, since there are two assignments
- (c) 3, since the data of $a$ is assigned
- (d) 1, since the second assignment overwrites the first with the same number

**q4.** How does the gradient at a node's output reach the operands of a `+` node and of a `*` node?

- (a) `+` passes it on unchanged to both; `*` scales it with the other operand's data
- (b) `+` splits it in halves; `*` passes it on unchanged to both
- (c) `+` passes it on unchanged to both; `*` scales it with the operand's own data
- (d) both scale it with the data of the node's output

**q5.** In the neuron with $x_1 = 2$, $x_2 = 0$, $w_1 = -3$, $w_2 = 1$ and $b = 6.88\ldots$, why is the gradient of $w_2$ zero?

- (a) tanh is saturated, so no gradient gets through it
- (b) $w_2$ equals 1, and multiplying by 1 changes nothing
- (c) its local derivative in the product is the data of $x_2$, which is 0
- (d) the bias is so large that the weights no longer matter

**q6.** Later in the video tanh is replaced by nodes for exp, plus, minus and division. What happens to the gradients of the neuron's inputs and weights?

- (a) they change, because there are more nodes for the gradient to pass
- (b) they stay the same: how coarse the operations are does not matter, if each has the right local derivative
- (c) only the output stays the same; the gradients have to be derived anew
- (d) they become approximate, because exp is computed with rounding

**q7.** `a * 2` worked when `2 * a` still raised an error. How does `__rmul__` mend it?

- (a) Python asks the int 2 first; as that cannot multiply by a Value, Python then calls `a.__rmul__(2)`
- (b) Python calls `a.__rmul__(2)` first, before it asks the int 2
- (c) Python turns 2 into a Value with `__rmul__` and then calls `Value.__mul__`
- (d) Python exchanges the operands of every multiplication and calls `a.__mul__(2)`

**q8.** What happens in the training loop if the gradients are not set to zero between the steps?

- (a) `backward()` raises an error at the second step
- (b) nothing, since `backward()` sets every gradient anew
- (c) the parameters' data accumulates, so that the weights grow without bound
- (d) each step moves along the sum of all gradients so far, as if the step size grew
"""

# %% [markdown] lang="zh"
r"""
## 7. 视频小测验

关于[这个视频](https://www.youtube.com/watch?v=VMj-3S1tku0)的八道题，每题一个答案。拿不准时，在单元格里试一试。

**q1.** 视频从 $f(x) = 3x^2 - 4x + 5$ 开始，用 $(f(x+h) - f(x))/h$ 估计斜率。在 $x = 3$ 处它是 14。当 $h$ 很小时，在 $x = -3$ 处这个估计趋于多少？

- (a) 22
- (b) 14
- (c) $-22$
- (d) $-14$

**q2.** 在双精度下，同一估计式在 $x = 3.0$、$h = 10^{-17}$ 时返回什么？

- (a) 14，而且正确位数比 $h = 10^{-4}$ 时更多
- (b) 0，因为 $x + h$ 被舍入成了 $x$
- (c) 无穷大，因为除以了一个极小的数
- (d) 报错，因为 Python 不接受这么小的数

**q3.** 引擎的最初版本在 `_backward` 里写的是 `self.grad = ...` 和 `other.grad = ...`。取 $a = 3$、`b = a + a`，执行 `b.backward()` 之后 `a.grad` 是多少？

- (a) 0，因为两次赋值互相抵消
- (b) 2，因为有两次赋值
- (c) 3，因为赋的是 $a$ 的 data
- (d) 1，因为第二次赋值用同样的数覆盖了第一次

**q4.** 节点输出端的梯度如何到达 `+` 节点和 `*` 节点的操作数？

- (a) `+` 把它原样传给两个操作数；`*` 用另一个操作数的 data 缩放它
- (b) `+` 把它对半分；`*` 把它原样传给两个操作数
- (c) `+` 把它原样传给两个操作数；`*` 用该操作数自己的 data 缩放它
- (d) 两者都用节点输出的 data 缩放它

**q5.** 在 $x_1 = 2$、$x_2 = 0$、$w_1 = -3$、$w_2 = 1$、$b = 6.88\ldots$ 的神经元中，$w_2$ 的梯度为什么是零？

- (a) tanh 饱和了，没有梯度能通过
- (b) $w_2$ 等于 1，乘以 1 不改变任何东西
- (c) 它在乘积中的局部导数是 $x_2$ 的 data，也就是 0
- (d) 偏置太大，权重已经不起作用

**q6.** 视频后面把 tanh 换成了 exp、加、减、除的节点。神经元的输入和权重的梯度会怎样？

- (a) 会改变，因为梯度要经过更多节点
- (b) 不变：运算划分得粗还是细无关紧要，只要每个运算的局部导数正确
- (c) 只有输出不变，梯度需要重新推导
- (d) 变成近似值，因为 exp 的计算有舍入

**q7.** `a * 2` 能用的时候，`2 * a` 还会报错。`__rmul__` 是怎么解决的？

- (a) Python 先询问整数 2；它不会乘 Value，于是 Python 转而调用 `a.__rmul__(2)`
- (b) Python 先调用 `a.__rmul__(2)`，然后才询问整数 2
- (c) Python 用 `__rmul__` 把 2 变成 Value，再调用 `Value.__mul__`
- (d) Python 把每次乘法的操作数交换，调用 `a.__mul__(2)`

**q8.** 在训练循环中，如果两步之间不把梯度清零，会发生什么？

- (a) 第二步时 `backward()` 报错
- (b) 没有影响，因为 `backward()` 会重新设置每个梯度
- (c) 参数的 data 会累积，于是权重无限增大
- (d) 每一步都沿迄今所有梯度之和移动，就好像步长在变大
"""

# %% exercise="quiz"
from ladder.solutions.stage1_foundation.day02_micrograd import quiz_answers

# %% [markdown] lang="zh" docstring="quiz_answers"
r"""上面测验的答案：键为 ``"q1"`` 到 ``"q8"``，值为 ``"a"`` 到 ``"d"``。"""

# %% [markdown] hint="quiz" lang="en"
r"""
Every question can be decided with the engine you have built. Set up the case in a cell and look.
"""

# %% [markdown] hint="quiz" lang="zh"
r"""
每道题都可以用你写好的引擎来判断。在单元格里搭出那个情形看一看。
"""

# %% [markdown] hint="quiz" lang="en"
r"""
q1 and q2 belong to the video's opening on derivatives, q3 to the bug with a node that is used more than once, q4 and q5 to the two examples of manual backpropagation, q6 and q7 to the part that breaks up tanh, q8 to
the training loop at the end.
"""

# %% [markdown] hint="quiz" lang="zh"
r"""
q1、q2 对应视频开头讲导数的部分，q3 对应节点被多次使用时的 bug，q4、q5 对应两个手工反向传播的例子，q6、q7 对应拆分 tanh 的部分，q8 对应结尾的训练循环。
"""

# %%
from ladder.graders.stage1_foundation.day02_micrograd import check_quiz

check_quiz(quiz_answers)

# %% [markdown] lang="en"
r"""
## What you have now

An engine in about a hundred lines whose idea is that of PyTorch's autograd: run forward, record, walk back. It is slow for one reason: each number is an object. On Day 3 the nodes become
arrays, and the local derivatives the vector-Jacobian products of Day 1; `backward()` will hardly change.

To go further: add `log` to `Value` and `Dual`; draw the graph of one training step of `MLP(1, [2, 1])` with `draw_graph`; or fit $\sin 3x$ with `relu` instead of `tanh` and watch the kinks move.
"""

# %% [markdown] lang="zh"
r"""
## 你现在拥有的

一个约一百行的引擎，思想与 PyTorch 的 autograd 相同：前向运行，记录，往回走。它慢只有一个原因：每个数都是一个对象。
第 3 天，节点变成数组，局部导数变成第 1 天的向量-Jacobian 积；`backward()` 几乎不用改。

想再往前走：给 `Value` 和 `Dual` 加上 `log`；用 `draw_graph` 画出 `MLP(1, [2, 1])` 一步训练的计算图；或者用 `relu` 代替 `tanh` 拟合 $\sin 3x$，看折点如何移动。
"""

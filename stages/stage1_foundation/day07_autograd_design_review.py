# %% [markdown] lang="en"
r"""
# Day 7 · Week 1 review: PyTorch autograd design

**Goal.** Your engine computes the gradients PyTorch computes. What else does PyTorch's autograd do, and why? Today you add five of its design points to your own `Tensor` from outside, without changing Day 3, predict fourteen small PyTorch programs, and write the note the week ends with: five design details.

| Question | PyTorch's answer |
|---|---|
| How is recording switched off? | grad mode: `torch.no_grad()` |
| How does one value leave the graph? | `detach()`: same memory, no history |
| What if a saved value is overwritten? | version counters, an error in `backward` |
| How long do saved values live? | until the first `backward`, unless `retain_graph=True` |
| What if a gradient arrives twice? | leaves accumulate |

To read: [Autograd mechanics](https://docs.pytorch.org/docs/stable/notes/autograd.html); in the source, [grad_mode.py](https://github.com/pytorch/pytorch/blob/main/torch/autograd/grad_mode.py), [saved_variable.cpp](https://github.com/pytorch/pytorch/blob/main/torch/csrc/autograd/saved_variable.cpp) (`unpack`) and [accumulate_grad.h](https://github.com/pytorch/pytorch/blob/main/torch/csrc/autograd/functions/accumulate_grad.h).
"""

# %% [markdown] lang="zh"
r"""
# 第 7 天 · 第一周复盘：PyTorch Autograd 的设计

**目标。** 你的引擎算出的梯度与 PyTorch 相同。那么 PyTorch 的 autograd 还做了什么，为什么？今天你在不改动第 3 天代码的前提下，从外部给自己的 `Tensor` 加上它的五个设计点，预测十四个 PyTorch 小程序的结果，并写出本周收尾的笔记：五个设计细节。

| 问题 | PyTorch 的回答 |
|---|---|
| 怎样关掉记录？ | 梯度模式：`torch.no_grad()` |
| 一个值怎样离开计算图？ | `detach()`：同一块内存，没有历史 |
| 保存的值被覆盖了怎么办？ | 版本计数器，`backward` 时报错 |
| 保存的值活多久？ | 到第一次 `backward` 为止，除非 `retain_graph=True` |
| 梯度到来两次怎么办？ | 叶子累加 |

阅读材料：[Autograd mechanics](https://docs.pytorch.org/docs/stable/notes/autograd.html)；源码中的 [grad_mode.py](https://github.com/pytorch/pytorch/blob/main/torch/autograd/grad_mode.py)、[saved_variable.cpp](https://github.com/pytorch/pytorch/blob/main/torch/csrc/autograd/saved_variable.cpp)（`unpack`）与 [accumulate_grad.h](https://github.com/pytorch/pytorch/blob/main/torch/csrc/autograd/functions/accumulate_grad.h)。
"""

# %% setup
import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float

from ladder.earlier.day02_micrograd import topological_order
from ladder.earlier.day03_tensor_autograd import Tensor
from ladder.earlier.day05_convolution_and_pooling import Conv2d, Flatten
from ladder.earlier.day06_init_and_batchnorm import BatchNorm1d

# %% [markdown] lang="en"
r"""
## 1. Recording, switched off

Every operation of Day 3 goes through one door: `Tensor(data, _prev=..., _backward=...)`. In PyTorch, too, each operation asks one thread-local flag whether to record. Look at the installed source of PyTorch's context manager: it notes the state on entry and puts *that* back on exit. Yours does the same with the constructor.
"""

# %% [markdown] lang="zh"
r"""
## 1. 关掉记录

第 3 天的每个运算都经过同一道门：`Tensor(data, _prev=..., _backward=...)`。在 PyTorch 中，每个运算同样会询问一个线程局部的标志：要不要记录。看看已安装的 PyTorch 中这个上下文管理器的源码：进入时记下状态，退出时放回*那个*状态。你对构造函数做同样的事。
"""

# %%
print(inspect.getsource(torch.no_grad.__enter__), inspect.getsource(torch.no_grad.__exit__))

# %% exercise="no_grad"
from ladder.solutions.stage1_foundation.day07_autograd_design_review import is_grad_enabled, no_grad

# %% [markdown] lang="zh" docstring="no_grad"
r"""``with no_grad():`` 执行其中的代码块而不记录运算，与 PyTorch 相同。

第 3 天的每个结果都由 ``Tensor(data, _prev=..., _backward=...)`` 生成，所以只需作用于构造函数
``Tensor.__init__``（类的属性可以赋值）。在块内：

- 结果不需要梯度，无论操作数如何；``_prev`` 为 ``()``，``grad`` 与 ``_backward`` 为 None；``data`` 照常；
- 叶子照常生成：``Tensor(1.0)`` 需要梯度；
- 对块之前记录的图调用 ``backward()``，照常工作。

块可以嵌套。块结束之后，即使是因异常而退出（异常继续传给调用者），``Tensor.__init__`` 也是进入块之前的那个对象。
"""

# %% [markdown] hint="no_grad" lang="en"
r"""
A function with `@contextmanager` runs up to its `yield` on entry and the rest on exit; an exception in the block is raised at the `yield`.
"""

# %% [markdown] hint="no_grad" lang="zh"
r"""
带 `@contextmanager` 的函数，进入时执行到 `yield`，退出时执行其余部分；块内的异常会在 `yield` 处抛出。
"""

# %% [markdown] hint="no_grad" lang="en"
r"""
Keep the present `Tensor.__init__` in a variable, assign a function with the same parameters that calls it without `_prev` and `_backward`, and put the old one back in a `finally`. A result is known by its `_prev`, which is not empty.
"""

# %% [markdown] hint="no_grad" lang="zh"
r"""
把现在的 `Tensor.__init__` 存入变量，换上一个参数相同的函数，它调用旧函数但不传 `_prev` 与 `_backward`；在 `finally` 中放回旧的。结果的 `_prev` 非空，由此可以辨认。
"""

# %%
from ladder.graders.stage1_foundation.day07_autograd_design_review import check_no_grad

check_no_grad(no_grad, Tensor)

# %% [markdown] lang="en"
r"""
It works for every layer of the week, since all of them end in that constructor. How much memory does a graph hold?
"""

# %% [markdown] lang="zh"
r"""
它对本周的每一种层都有效，因为它们最后都要经过那个构造函数。一个图占住多少内存？
"""

# %%
rng = np.random.default_rng(0)
layers = [Conv2d(1, 8, 3, padding=1, rng=rng), Flatten(), BatchNorm1d(8 * 28 * 28)]
images = Tensor(rng.normal(size=(16, 1, 28, 28)), requires_grad=False)


def held(program):
    """Tensors in the graph of the output, and their data in MB."""
    out = program()
    nodes = topological_order(out)
    return f"{len(nodes)} Tensors, {sum(node.data.nbytes for node in nodes) / 1e6:.1f} MB"


def forward():
    x = images
    for layer in layers:
        x = layer(x)
    return x


print("recorded:     ", held(forward))
with no_grad():
    print("under no_grad:", held(forward))

# %% [markdown] lang="en"
r"""
## 2. One value out of the graph

`no_grad` concerns a stretch of code; `detach` concerns one value. The result shares the memory, so a change of one is a change of both. For this, memory gets a **version counter** that all who share it share (in PyTorch it belongs to the TensorImpl; try `t._version`).
"""

# %% [markdown] lang="zh"
r"""
## 2. 让一个值离开计算图

`no_grad` 针对一段代码，`detach` 针对一个值。结果共享内存，所以改一个就是改两个。为此，内存有一个**版本计数器**，由所有共享这块内存的 Tensor 共用（在 PyTorch 中它属于 TensorImpl，试试 `t._version`）。
"""

# %% exercise="detach"
from ladder.solutions.stage1_foundation.day07_autograd_design_review import detach, version

# %% [markdown] lang="zh" docstring="detach"
r"""一个在图外的新叶子，与 ``t`` 共享内存。

它的 ``requires_grad`` 为 False，``data`` 就是数组 ``t.data`` 本身，不复制；它的版本计数器就是 ``t`` 的那个
（同一个列表，见 ``version``）。``t`` 自身仍留在它的图中。
"""

# %% [markdown] hint="detach" lang="en"
r"""
Three things: a leaf, its `data`, its `_version`. The constructor may copy the array, so assign `data` afterwards.
"""

# %% [markdown] hint="detach" lang="zh"
r"""
三件事：一个叶子，它的 `data`，它的 `_version`。构造函数可能会复制数组，所以之后再给 `data` 赋值。
"""

# %% [markdown] hint="detach" lang="en"
r"""
`version(t)` returns the list and makes it if it is not there yet; the same list becomes `_version` of the new leaf.
"""

# %% [markdown] hint="detach" lang="zh"
r"""
`version(t)` 返回那个列表，没有时会新建；把同一个列表设为新叶子的 `_version`。
"""

# %%
from ladder.graders.stage1_foundation.day07_autograd_design_review import check_detach

check_detach(detach, version, Tensor)

# %% [markdown] lang="en"
r"""
A classic memory leak: adding up the loss for the log. `total = total + loss` keeps the graph of *every* step alive through `_prev`. One `detach` ends that.
"""

# %% [markdown] lang="zh"
r"""
一个经典的内存泄漏：为了打印日志而累加损失。`total = total + loss` 通过 `_prev` 让*每一步*的图都活着。加一个 `detach` 就好了。
"""

# %%
def graph_sizes(log_value, steps=40):
    w, total, sizes = Tensor(np.ones(3)), Tensor(0.0, requires_grad=False), []
    for _ in range(steps):
        loss = ((w * w).sum() - 1.0).tanh()
        total = total + log_value(loss)
        sizes.append(len(topological_order(total)))
    return sizes


fig, ax = plt.subplots(figsize=(6, 3.2))
ax.plot(graph_sizes(lambda loss: loss), label="total + loss")
ax.plot(graph_sizes(detach), label="total + detach(loss)")
ax.set(xlabel="step", ylabel="Tensors kept alive by total")
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
## 3. Changing values in place

An optimiser changes weights in place; an operation may have saved the old value for its derivative. PyTorch allows the change and *counts* it. Two rules:

- a leaf that requires a gradient is not changed while operations are recorded (else: which value would $\partial L/\partial w$ belong to?); under `no_grad` it may be;
- a result changed in place is a new function of its operands. For $y \leftarrow c\,y$ with $y = f(a)$, the gradient that arrives at the new $y$ reaches $f$ multiplied by $c$. For $y \leftarrow y + v$ nothing changes.
"""

# %% [markdown] lang="zh"
r"""
## 3. 原地修改

优化器会原地修改权重，而某个运算可能为了求导保存了旧值。PyTorch 允许修改，并且*计数*。两条规则：

- 正在记录运算时，不得修改需要梯度的叶子（否则：$\partial L/\partial w$ 属于哪个值？）；在 `no_grad` 下可以；
- 被原地修改的结果，是其操作数的一个新函数。对 $y \leftarrow c\,y$，其中 $y = f(a)$，到达新 $y$ 的梯度乘以 $c$ 之后到达 $f$。对 $y \leftarrow y + v$ 则什么也不变。
"""

# %% exercise="inplace"
from ladder.solutions.stage1_foundation.day07_autograd_design_review import add_, mul_

# %% [markdown] lang="zh" docstring="add_"
r"""把 ``value``（一个数，或可广播到 ``t`` 形状的数组）原地加到 ``t`` 上。

数组 ``t.data`` 仍是同一个对象，只是元素更新；``t`` 的版本号加 1；返回 ``t``。图保持不变：t + value 对 t 的导数为 1。

若 ``t`` 是需要梯度的叶子，且此刻正在记录运算（``is_grad_enabled()``），则在修改任何东西之前抛出 RuntimeError。
"""

# %% [markdown] lang="zh" docstring="mul_"
r"""把 ``t`` 原地乘以数 ``factor``；返回 ``t``。

数组、版本号与 RuntimeError 同 ``add_``。若 ``t`` 是某个运算的结果，且此刻正在记录运算，则 ``t._backward`` 换成一个接收*新*值之梯度的函数：
以 ``g`` 调用时，它把 ``factor`` 乘旧值这一函数的梯度加到操作数的 ``grad`` 上。否则 ``t._backward`` 不变。
"""

# %% [markdown] hint="inplace" lang="en"
r"""
A leaf has an empty `_prev`. NumPy's `+=` on an array changes its entries; `t.data = t.data + value` makes another array.
"""

# %% [markdown] hint="inplace" lang="zh"
r"""
叶子的 `_prev` 是空的。NumPy 对数组做 `+=` 会修改其元素；`t.data = t.data + value` 则得到另一个数组。
"""

# %% [markdown] hint="inplace" lang="en"
r"""
For `mul_`: keep the old `t._backward` in a local variable; the new function hands it the gradient times `factor`. A constant has `_backward` None.
"""

# %% [markdown] hint="inplace" lang="zh"
r"""
对 `mul_`：把旧的 `t._backward` 存入局部变量；新函数把梯度乘以 `factor` 再交给它。常量的 `_backward` 为 None。
"""

# %%
from ladder.graders.stage1_foundation.day07_autograd_design_review import check_inplace

check_inplace(add_, mul_, version, no_grad, Tensor)

# %% [markdown] lang="en"
r"""
## 4. Saved values that notice

In PyTorch an operation does not keep plain references to what its backward needs but `SavedVariable`s: each notes the version number at the time, and `unpack` compares it with the present one. Below, PyTorch's own numbers and its error.
"""

# %% [markdown] lang="zh"
r"""
## 4. 能察觉修改的保存值

PyTorch 的运算不是简单地引用反向所需的值，而是保存为 `SavedVariable`：每个都记下当时的版本号，`unpack` 时与现在的版本号比较。下面是 PyTorch 自己的版本号与它的报错。
"""

# %%
x = torch.tensor([1.0, 2.0], requires_grad=True)
y = x.exp()
print("saved by exp:", y.grad_fn._saved_result.detach(), " version", y._version)
y.add_(1)
print("after add_: version", y._version)
try:
    y.sum().backward()
except RuntimeError as error:
    print(str(error)[:230])

# %% exercise="save"
from ladder.solutions.stage1_foundation.day07_autograd_design_review import save

# %% [markdown] lang="zh" docstring="save"
r"""注明 ``out._backward`` 将需要 ``saved`` 中各 Tensor 的数据；返回 ``out``。

``out`` 自身可以在其中。若 ``out`` 不需要梯度，则什么也不做。否则 ``out._saved`` 成为一个列表，对 ``saved`` 中的每一个有一对
（Tensor，它此刻的版本号）；``out._backward`` 成为一个函数，做它原来做的事，除非

- ``out._saved`` 在此期间被置为 None：值已被释放；
- ``saved`` 中有一个的版本号与记下的不同。

这时它抛出 RuntimeError，且不加任何梯度。
"""

# %% [markdown] hint="save" lang="en"
r"""
Note numbers, not counters: the list `version(t)` goes on counting. Look first, and only then call the old `_backward`.
"""

# %% [markdown] hint="save" lang="zh"
r"""
要记下数字，而不是计数器：列表 `version(t)` 会继续计数。先检查，然后才调用旧的 `_backward`。
"""

# %% [markdown] hint="save" lang="en"
r"""
The new `_backward` is a closure that reads `out._saved` when it is called, not when it is made: that is how it sees a later None.
"""

# %% [markdown] hint="save" lang="zh"
r"""
新的 `_backward` 是一个闭包，在被调用时（而不是在创建时）读取 `out._saved`：这样才能看到后来的 None。
"""

# %%
from ladder.graders.stage1_foundation.day07_autograd_design_review import check_save

check_save(save, version, Tensor)

# %% [markdown] lang="en"
r"""
Which operation saves what? Whatever its derivative contains, and no more: $d(ab)/da = b$, $d e^a/da = e^a$ (the result!), $d\ln a/da = 1/a$. A factor that is a constant needs no gradient, so the other one need not be saved for it.
"""

# %% [markdown] lang="zh"
r"""
哪个运算保存什么？导数中出现什么就保存什么，不多保存：$d(ab)/da = b$，$d e^a/da = e^a$（正是结果！），$d\ln a/da = 1/a$。常量因子不需要梯度，因而不必为它保存另一个因子。
"""

# %% exercise="operations"
from ladder.solutions.stage1_foundation.day07_autograd_design_review import exp, log, mul

# %% [markdown] lang="zh" docstring="mul"
r"""``a * b``，并用 ``save``：``a`` 的梯度需要 ``b`` 的数据，反之亦然。

只保存所需：仅当 ``a`` 需要梯度时保存 ``b``，仅当 ``b`` 需要梯度时保存 ``a``。
"""

# %% [markdown] lang="zh" docstring="exp"
r"""``a.exp()``，并用 ``save``：导数就是结果，所以保存结果，而不是 ``a``。"""

# %% [markdown] lang="zh" docstring="log"
r"""``a.log()``，并用 ``save``：导数是 1/a，所以保存 ``a``，而不是结果。"""

# %% [markdown] hint="operations" lang="en"
r"""
`save` returns its first argument. For `exp` the same Tensor is the first argument and a saved one.
"""

# %% [markdown] hint="operations" lang="zh"
r"""
`save` 返回第一个参数。对 `exp`，同一个 Tensor 既是第一个参数，又是被保存者。
"""

# %% [markdown] hint="operations" lang="en"
r"""
For `mul`, collect the list of Tensors to save with two `if`s, and pass it with a star.
"""

# %% [markdown] hint="operations" lang="zh"
r"""
对 `mul`，用两个 `if` 收集要保存的 Tensor，再用星号传入。
"""

# %%
from ladder.graders.stage1_foundation.day07_autograd_design_review import check_operations

check_operations(mul, exp, log, version, Tensor)

# %% [markdown] lang="en"
r"""
## 5. Freeing and accumulating

The saved values are most of the memory of a training step, so PyTorch frees them as soon as `backward` has used them. What is freed are the *saved values*, not the graph: a second walk fails where something was saved, and only there. Leaves add up what arrives; that is how micro-batches are accumulated, and why every training loop has a `zero_grad()`.
"""

# %% [markdown] lang="zh"
r"""
## 5. 释放与累加

一个训练步的内存大部分是保存的值，所以 `backward` 一用完，PyTorch 就释放它们。被释放的是*保存的值*，而不是图：第二次遍历只在保存过东西的地方失败。叶子把到来的梯度累加；micro-batch 的梯度累积由此而来，每个训练循环都有 `zero_grad()` 也是因为它。
"""

# %% exercise="backward"
from ladder.solutions.stage1_foundation.day07_autograd_design_review import backward

# %% [markdown] lang="zh" docstring="backward"
r"""求出梯度，与第 3 天的同名方法相同；之后释放各运算保存的值，除非 ``retain_graph``。

释放是指：对 ``out`` 的图中（包括它自身）每个保存了至少一个值（``_saved`` 是非空列表）的 Tensor，``_saved`` 变为 None。
因此再次通过这样的运算做 ``backward`` 会抛出 RuntimeError（见 ``save``），而什么也没有保存的图，例如只有加法的图，可以再走一遍。
``retain_graph=True`` 时每个 ``_saved`` 保持原样。
"""

# %% [markdown] hint="backward" lang="en"
r"""
First the gradients, then the freeing, in all of `topological_order(out)`. Most Tensors there have no `_saved` at all.
"""

# %% [markdown] hint="backward" lang="zh"
r"""
先求梯度，再释放，遍历整个 `topological_order(out)`。其中大多数 Tensor 根本没有 `_saved`。
"""

# %% [markdown] hint="backward" lang="en"
r"""
`getattr(node, "_saved", None)` is false for a missing attribute, for None and for an empty list alike.
"""

# %% [markdown] hint="backward" lang="zh"
r"""
属性不存在、为 None 或为空列表时，`getattr(node, "_saved", None)` 都为假。
"""

# %%
from ladder.graders.stage1_foundation.day07_autograd_design_review import check_backward

check_backward(backward, mul, exp, Tensor)

# %% [markdown] lang="en"
r"""
## 6. Predict PyTorch

Fourteen programs. Write down first what `x.grad` is at the end; the check runs the real PyTorch and compares.
"""

# %% [markdown] lang="zh"
r"""
## 6. 预测 PyTorch

十四个程序。先写下结束时的 `x.grad`；检查会运行真正的 PyTorch 并作比较。
"""

# %% exercise="predictions"
from ladder.solutions.stage1_foundation.day07_autograd_design_review import cases, outcome, predictions

# %% [markdown] lang="zh" docstring="predictions"
r"""对 ``cases()`` 中的每个程序，按字母给出你对 ``outcome(program)`` 的预测。

``x.grad`` 的数值，或 "none"，或 "error"。先写下预测，再运行任何东西。
"""

# %% [markdown] hint="predictions" lang="en"
r"""
For each program: which values did the operations save, who changed them, was that counted, and had a walk already freed them?
"""

# %% [markdown] hint="predictions" lang="zh"
r"""
对每个程序问：各运算保存了哪些值，谁修改了它们，这次修改有没有被计数，它们是否已被某次遍历释放？
"""

# %% [markdown] hint="predictions" lang="en"
r"""
`x.data` shares memory as `detach()` does, but has a version counter of its own. In `g`, the operand of log is saved, and the result is what changes.
"""

# %% [markdown] hint="predictions" lang="zh"
r"""
`x.data` 与 `detach()` 一样共享内存，却有自己的版本计数器。在 `g` 中，保存的是 log 的操作数，而改变的是结果。
"""

# %%
from ladder.graders.stage1_foundation.day07_autograd_design_review import check_predictions

check_predictions(predictions, cases, outcome)

# %% [markdown] lang="en"
r"""
The table: your prediction, PyTorch, and (for some) your engine with the same program.
"""

# %% [markdown] lang="zh"
r"""
表格：你的预测、PyTorch，以及（其中一些）你的引擎运行同一程序的结果。
"""

# %%
def ours(program):
    """x.grad of your engine after ``program(x)``, or "error"."""
    x = Tensor(3.0)
    try:
        program(x)
    except RuntimeError:
        return "error"
    return float(x.grad)


def weight_step(x):
    y = mul(x, x)
    with no_grad():
        add_(x, 1)
    backward(y)


def twice(x, y, retain_graph=False):
    backward(y, retain_graph=retain_graph)
    backward(y)


def shared(x):
    h = mul(x, x)
    backward(h + 1.0)
    backward(h + 2.0)


def bypass(x):
    y = mul(x, x)
    x.data += 1
    backward(y)


def through_detach(x):
    y = mul(x, x)
    add_(detach(x), 1)
    backward(y)


engine = {
    "a": lambda x: (backward(mul(x, x)), backward(mul(x, x))), "b": lambda x: twice(x, mul(x, x)),
    "c": lambda x: twice(x, x + x), "d": lambda x: twice(x, mul(x, x), True), "e": shared,
    "f": lambda x: backward(add_(exp(x), 1)), "g": lambda x: backward(mul_(log(x), 6)),
    "h": lambda x: add_(x, 1), "i": weight_step, "j": through_detach, "k": bypass,
    "l": lambda x: backward(mul(x, detach(x))),
}
print("   predicted  PyTorch  your engine")
for letter, program in cases().items():
    mine = ours(engine[letter]) if letter in engine else "-"
    row = (predictions()[letter], outcome(program), mine)
    print(letter, *(f"{v:>9.5g}" if not isinstance(v, str) else f"{v:>9}" for v in row))

# %% [markdown] lang="en"
r"""
Row k is the dangerous one: no error and a wrong number. $y = 9$ was computed from $x = 3$, where the derivative is $6$; the way back read the overwritten memory and found $2\cdot 4 = 8$. With `detach()` (row j) the change is counted and noticed. In your engine, too, `x.data += 1` goes past the counter; only a change by `add_` or `mul_` is seen.

**Written answer** (10 points). A note of about one page with the title *Five design details of PyTorch autograd*. For each detail, 2 points: what PyTorch does, with the name of a file, class or function in its source (1 point); and why, or what goes wrong without it, with a program of at most three lines that shows it, or what your engine does instead (1 point).

Before you stop, check the form yourself: one heading for the title, five for the details, each program in a fenced code block, and every program was really run.
"""

# %% [markdown] lang="zh"
r"""
k 行最危险：没有报错，数却是错的。$y = 9$ 由 $x = 3$ 算出，那里的导数是 $6$；反向时读到的是被覆盖的内存，得到 $2\cdot 4 = 8$。经 `detach()` 修改（j 行）则会被计数并察觉。在你的引擎中，`x.data += 1` 同样绕过了计数器；只有经 `add_` 或 `mul_` 的修改才看得见。

**书面题**（10 分）。一篇约一页的笔记，题为《PyTorch Autograd 的 5 个设计细节》。每个细节 2 分：PyTorch 做了什么，并给出其源码中的文件、类或函数名（1 分）；为什么这样做，或没有它会出什么错，并附一个不超过三行的、能说明它的程序，或说明你的引擎是怎么做的（1 分）。

结束之前自己检查格式：标题一个，五个细节各有小标题，每个程序放在代码块中，并且每个程序都真的运行过。
"""

# %% [markdown] written="written_details" lang="en"
r"""
*Your note here.*
"""

# %% [markdown] written="written_details" lang="zh"
r"""
*在这里写你的笔记。*
"""

# %% [markdown] model="written_details" lang="en"
r"""
# Five design details of PyTorch autograd

## 1. Grad mode is state of the thread, not of a tensor
Every operation asks `GradMode::is_enabled()`; `torch.no_grad` (`torch/autograd/grad_mode.py`) notes the flag on entry and restores it on exit, so blocks nest and survive exceptions. Evaluation then keeps no activations alive. My engine exchanges the constructor and does not know threads.
```python
with torch.no_grad():
    y = x * x          # y.requires_grad is False
```

## 2. detach shares the memory and the version counter
`detach()` gives a tensor without history on the same storage. As the counter is shared, a change through it is still noticed; `.data` has a new counter, and the gradient is silently wrong.
```python
y = x * x; x.data.add_(1); y.backward()      # x.grad 8 instead of 6
```

## 3. Saved values carry a version number
Operations keep `SavedVariable`s; `SavedVariable::unpack` (`torch/csrc/autograd/saved_variable.cpp`) compares the noted version with the present one. So in-place changes are allowed wherever they are harmless, with no copies, and an error elsewhere.
```python
y = x.exp(); y.add_(1); y.backward()         # RuntimeError; with x.log() it is fine
```

## 4. backward frees what was saved
Each node's `release_variables()` runs after it was used, unless `retain_graph=True` (`torch/csrc/autograd/engine.cpp`): the memory falls while the walk goes back. A graph that saved nothing can be walked again.
```python
y = x * x; y.backward(); y.backward()        # RuntimeError; with x + x it is fine
```

## 5. Leaves accumulate, through a node of their own
A leaf's edge in the graph is an `AccumulateGrad` node (`torch/csrc/autograd/functions/accumulate_grad.h`) that adds to `.grad`. Uses of one weight in several places, and micro-batches, come out right without further code; the price is `zero_grad()`. Results keep no `.grad` unless `retain_grad()` asks; my engine keeps it for all and pays in memory.
```python
(x * x).backward(); (x * x).backward()       # x.grad 12
```
"""

# %% [markdown] model="written_details" lang="zh"
r"""
# PyTorch Autograd 的 5 个设计细节

## 1. 梯度模式是线程的状态，而不是张量的状态
每个运算都询问 `GradMode::is_enabled()`；`torch.no_grad`（`torch/autograd/grad_mode.py`）进入时记下标志，退出时恢复，因此可以嵌套，异常时也不出错。这样，评估时就不会占住激活值。我的引擎替换的是构造函数，没有考虑线程。
```python
with torch.no_grad():
    y = x * x          # y.requires_grad is False
```

## 2. detach 共享内存，也共享版本计数器
`detach()` 在同一块存储上给出没有历史的张量。由于计数器共用，经它做的修改仍会被察觉；`.data` 有新的计数器，梯度会悄悄出错。
```python
y = x * x; x.data.add_(1); y.backward()      # x.grad 8 instead of 6
```

## 3. 保存的值带有版本号
运算保存的是 `SavedVariable`；`SavedVariable::unpack`（`torch/csrc/autograd/saved_variable.cpp`）比较记下的版本与现在的版本。于是只要无害就允许原地修改，不必复制；有害时则报错。
```python
y = x.exp(); y.add_(1); y.backward()         # RuntimeError; with x.log() it is fine
```

## 4. backward 会释放保存的值
每个节点用完之后执行 `release_variables()`，除非 `retain_graph=True`（`torch/csrc/autograd/engine.cpp`）：反向遍历的同时内存就在下降。什么也没有保存的图可以再走一遍。
```python
y = x * x; y.backward(); y.backward()        # RuntimeError; with x + x it is fine
```

## 5. 叶子通过专门的节点累加梯度
叶子在图中的边是一个 `AccumulateGrad` 节点（`torch/csrc/autograd/functions/accumulate_grad.h`），它把梯度加到 `.grad` 上。一个权重在多处使用、micro-batch 累积，都不需要额外代码就能得到正确结果；代价是要 `zero_grad()`。中间结果不保留 `.grad`，除非调用 `retain_grad()`；我的引擎则全部保留，代价是内存。
```python
(x * x).backward(); (x * x).backward()       # x.grad 12
```
"""

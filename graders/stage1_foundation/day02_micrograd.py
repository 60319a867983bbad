"""Checks of Day 2: what to observe of the scalar engine, its networks, and forward mode."""

import random

import numpy as np

from ladder.checks import at_least, check, choice, error_at_most, raises, say


def numbers(rng, n):
    """``n`` floats between 0.5 and 2 with random signs: none small, so that all derivatives show."""
    return [float(u * s) for u, s in zip(rng.uniform(0.5, 2, n), rng.choice([-1, 1], n), strict=True)]


def passed_back(out, upstream, *leaves):
    """The leaves' gradients after one ``_backward`` of ``out`` with the given upstream gradient."""
    out.grad = upstream
    out._backward()
    return [leaf.grad for leaf in leaves]


def holding(leaf, grad):
    """``leaf``, with a gradient that an earlier use has left in it."""
    leaf.grad = grad
    return leaf


def recorded(out, *operands):
    """Whether each of the operands is one of ``out._prev``."""
    return all(any(p is operand for p in out._prev) for operand in operands)


# ------------------------------------------------------------------ the chain rule, by hand


@check()
def check_chain_rule(chain_rule_by_hand, rng):
    """The seven partial derivatives of L, by hand."""
    for a, b, c, f in ((2.0, -3.0, 10.0, 1.0), numbers(rng, 4), numbers(rng, 4)):
        for name in ("g", "e", "d", "c", "f", "b", "a"):
            yield (say(f"dL/d{name} at a, b, c, f = {a:.4g}, {b:.4g}, {c:.4g}, {f:.4g}",
                       f"a, b, c, f = {a:.4g}, {b:.4g}, {c:.4g}, {f:.4g} 处的 dL/d{name}"),
                   lambda: chain_rule_by_hand(a, b, c, f)[name])


check_chain_rule.mistake(
    say("dL/da holds only the path through d. Through which other node does a reach L, and what "
        "does the chain rule do with two paths?",
        "dL/da 只算了经过 d 的那条路径。a 还通过哪个节点影响 L？链式法则如何处理两条路径？"),
    within="chain_rule_by_hand", replace={' + dL["g"]': ""},
)
check_chain_rule.mistake(
    say("dL/da holds only the path through g. Follow the other edge that leaves a.",
        "dL/da 只算了经过 g 的那条路径。再沿着从 a 出发的另一条边走一遍。"),
    within="chain_rule_by_hand", replace={'dL["d"] * b + dL["g"]': 'dL["g"]'},
)
check_chain_rule.mistake(
    say("dL/de and dL/dg look exchanged: if only g grows a little, how fast does e * g grow?",
        "dL/de 与 dL/dg 似乎互换了：只让 g 增大一点点，e * g 增大得有多快？"),
    within="chain_rule_by_hand", replace={'{"g": e, "e": g}': '{"g": g, "e": e}'},
)
check_chain_rule.mistake(
    say("dL/db looks like the local derivative dd/db alone. What does the chain rule multiply it "
        "with?",
        "dL/db 看起来只是局部导数 dd/db。按链式法则，它还要乘以什么？"),
    within="chain_rule_by_hand", replace={'dL["d"] * a': "a"},
)
check_chain_rule.mistake(
    say("The two paths from a to L are multiplied. Several edges along one path multiply; what do "
        "several paths do?",
        "从 a 到 L 的两条路径被乘在了一起。同一条路径上的各条边相乘；那么多条路径之间呢？"),
    within="chain_rule_by_hand", replace={'dL["d"] * b + dL["g"]': 'dL["d"] * b * dL["g"]'},
)


# ------------------------------------------------------------------------------ operations


@check()
def check_add(Value, rng):
    """Addition: the sum, the graph, and one step backward."""
    x, y, g, old = numbers(rng, 4)
    a, b = Value(x), Value(y)
    yield say("data of a + b", "a + b 的 data"), lambda: (a + b).data
    yield (say("a + b leaves data and grad of a and b as they are",
               "a + b 不改变 a 与 b 的 data 和 grad"),
           lambda: [(a + b) is a, a.data, b.data, a.grad, b.grad])
    yield (say("a and b are in the result's _prev", "a 和 b 都在结果的 _prev 中"),
           lambda: recorded(a + b, a, b))
    yield say("_op of the result", "结果的 _op"), lambda: (a + b)._op
    yield (say(f"one _backward with upstream gradient {g:.3g}: a.grad and b.grad",
               f"上游梯度为 {g:.3g} 时调用一次 _backward：a.grad 与 b.grad"),
           lambda: passed_back(a + b, g, a, b))
    p, q = holding(Value(x), old), holding(Value(y), -old)
    yield (say("the same where both grads hold something already",
               "同上，但两个 grad 里原本已有数值"),
           lambda: passed_back(p + q, g, p, q))
    twice = Value(x)
    yield (say("a + a: a.grad after one _backward", "a + a：调用一次 _backward 后的 a.grad"),
           lambda: passed_back(twice + twice, g, twice))
    c = Value(x)
    yield say("a + 3, data", "a + 3 的 data"), lambda: (c + 3).data
    yield say("a + 3, a.grad", "a + 3 的 a.grad"), lambda: passed_back(c + 3, g, c)
    d = Value(x)
    yield say("2.5 + a, data", "2.5 + a 的 data"), lambda: (2.5 + d).data
    yield say("2.5 + a, a.grad", "2.5 + a 的 a.grad"), lambda: passed_back(2.5 + d, g, d)
    yield (say("sum of a list of three Values", "对三个 Value 的列表求 sum"),
           lambda: sum([Value(x), Value(y), Value(g)]).data)


check_add.mistake(
    say("The gradient is written where it should be added: what happens to the first contribution "
        "when a stands on both sides of +?",
        "这里把梯度直接写了进去，而不是加上去：当 a 同时出现在 + 的两边时，第一份贡献会怎样？"),
    within="Value.__add__",
    replace={"self.grad += out.grad": "self.grad = out.grad",
             "other.grad += out.grad": "other.grad = out.grad"},
)
check_add.mistake(
    say("Each operand gets 1, the local derivative. The chain rule has a second factor, which comes "
        "from above.",
        "每个操作数得到的都是 1，也就是局部导数。链式法则还有第二个因子，它来自上游。"),
    within="Value.__add__",
    replace={"self.grad += out.grad": "self.grad += 1.0",
             "other.grad += out.grad": "other.grad += 1.0"},
)
check_add.mistake(
    say("Only the left operand receives a gradient.", "只有左操作数收到了梯度。"),
    within="Value.__add__", replace={"            other.grad += out.grad\n": ""},
)
check_add.mistake(
    say("A plain number as operand has no `data`. Turn it into what the rest of the method expects "
        "first.",
        "普通数字作为操作数没有 `data`。先把它变成方法其余部分所期待的东西。"),
    within="Value.__add__",
    replace={"other = other if isinstance(other, Value) else Value(other)\n        ": ""},
)
check_add.mistake(
    say("out.grad is read while the sum is being built, when it is still 0. It must be read when "
        "_backward is called.",
        "out.grad 在构造和的时候就被读取了，那时它还是 0。应当在调用 _backward 时再读取。"),
    within="Value.__add__",
    replace={"        def _backward():\n": "        g = out.grad\n\n        def _backward():\n",
             "self.grad += out.grad": "self.grad += g", "other.grad += out.grad": "other.grad += g"},
)
check_add.mistake(
    say("`_backward` is not callable afterwards: store the function itself, not what a call of it "
        "returns.",
        "之后 `_backward` 无法调用：应当保存函数本身，而不是调用它得到的返回值。"),
    within="Value.__add__", replace={"out._backward = _backward": "out._backward = _backward()"},
)
check_add.mistake(
    say("The sum changes its left operand instead of making a new node. The old value is still "
        "needed elsewhere in the graph.",
        "求和改动了左操作数，而没有创建新节点。图中别处还要用到原来的值。"),
    within="Value.__add__",
    replace={'out = Value(self.data + other.data, (self, other), "+")':
             "self.data += other.data\n        out = self"},
)


@check()
def check_mul(Value, rng):
    """Multiplication: the product, the graph, and one step backward."""
    x, y, g, old = numbers(rng, 4)
    a, b = Value(x), Value(y)
    yield say("data of a * b", "a * b 的 data"), lambda: (a * b).data
    yield (say("a * b leaves data and grad of a and b as they are",
               "a * b 不改变 a 与 b 的 data 和 grad"),
           lambda: [(a * b) is a, a.data, b.data, a.grad, b.grad])
    yield (say("a and b are in the result's _prev", "a 和 b 都在结果的 _prev 中"),
           lambda: recorded(a * b, a, b))
    yield say("_op of the result", "结果的 _op"), lambda: (a * b)._op
    yield (say(f"one _backward with upstream gradient {g:.3g}: a.grad and b.grad",
               f"上游梯度为 {g:.3g} 时调用一次 _backward：a.grad 与 b.grad"),
           lambda: passed_back(a * b, g, a, b))
    p, q = holding(Value(x), old), holding(Value(y), -2 * old)
    yield (say("the same where both grads hold something already",
               "同上，但两个 grad 里原本已有数值"),
           lambda: passed_back(p * q, g, p, q))
    twice = Value(x)
    yield (say("a * a: a.grad after one _backward", "a * a：调用一次 _backward 后的 a.grad"),
           lambda: passed_back(twice * twice, g, twice))
    c = Value(x)
    yield say("a * 3, data", "a * 3 的 data"), lambda: (c * 3).data
    yield say("a * 3, a.grad", "a * 3 的 a.grad"), lambda: passed_back(c * 3, g, c)
    d = Value(x)
    yield say("2.5 * a, data", "2.5 * a 的 data"), lambda: (2.5 * d).data
    yield say("2.5 * a, a.grad", "2.5 * a 的 a.grad"), lambda: passed_back(2.5 * d, g, d)
    yield (say("-a, a - b and 3 - a, which the given code makes of yours",
               "-a、a - b 与 3 - a，给定代码用你的运算拼成它们"),
           lambda: [(-Value(x)).data, (Value(x) - Value(y)).data, (3 - Value(x)).data])


check_mul.mistake(
    say("Each operand gets its own data as the factor. If b is held fixed, how fast does a * b "
        "change with a?",
        "每个操作数乘上的是它自己的 data。固定 b 时，a * b 随 a 变化得有多快？"),
    within="Value.__mul__",
    replace={"self.grad += other.data": "self.grad += self.data",
             "other.grad += self.data": "other.grad += other.data"},
)
check_mul.mistake(
    say("The gradient is written where it should be added: try a * a on paper.",
        "这里把梯度直接写了进去，而不是加上去：在纸上算一算 a * a。"),
    within="Value.__mul__",
    replace={"self.grad += other.data": "self.grad = other.data",
             "other.grad += self.data": "other.grad = self.data"},
)
check_mul.mistake(
    say("These are the local derivatives alone: where is the gradient that comes from above?",
        "这里只有局部导数：来自上游的梯度在哪里？"),
    within="Value.__mul__",
    replace={"other.data * out.grad": "other.data", "self.data * out.grad": "self.data"},
)
check_mul.mistake(
    say("The factors are the operands' grads. A local derivative depends on what was computed on "
        "the way forward.",
        "乘上去的是操作数的 grad。局部导数取决于前向计算得到的数值。"),
    within="Value.__mul__",
    replace={"other.data * out.grad": "other.grad * out.grad",
             "self.data * out.grad": "self.grad * out.grad"},
)
check_mul.mistake(
    say("The upstream gradient goes through * unchanged, as it does through +. The local derivative "
        "of a product is not 1.",
        "上游梯度原样穿过了 *，和 + 一样。乘积的局部导数并不是 1。"),
    within="Value.__mul__",
    replace={"other.data * out.grad": "out.grad", "self.data * out.grad": "out.grad"},
)
check_mul.mistake(
    say("The factor is the product out.data. Which of the two operands has to go from it?",
        "乘上去的是乘积 out.data。应当从中去掉哪个操作数？"),
    within="Value.__mul__",
    replace={"other.data * out.grad": "out.data * out.grad",
             "self.data * out.grad": "out.data * out.grad"},
)


@check()
def check_pow(Value, rng):
    """Powers with a constant exponent, and one step backward."""
    x, g, old = numbers(rng, 3)
    for base, k in ((x, 3), (x, 2), (abs(x), 0.5), (x, -1), (x, 1)):
        a = Value(base)
        yield (say(f"data of a ** {k} for a = {base:.4g}", f"a = {base:.4g} 时 a ** {k} 的 data"),
               lambda: (a**k).data)
        yield (say(f"a ** {k}: a.grad after one _backward with upstream gradient {g:.3g}",
                   f"a ** {k}：上游梯度为 {g:.3g} 时调用一次 _backward 后的 a.grad"),
               lambda: passed_back(a**k, g, a))
    b = Value(x)
    yield say("a is the one operand in _prev", "_prev 中只有操作数 a"), lambda: (
        [recorded(b**3, b), len((b**3)._prev)])
    yield say("_op of a ** 3", "a ** 3 的 _op"), lambda: (b**3)._op
    c = holding(Value(x), old)
    yield (say("a.grad held something already: a ** 3", "a.grad 里原本已有数值：a ** 3"),
           lambda: passed_back(c**3, g, c))
    zero = Value(0.0)
    yield (say("a ** 0 at a = 0: data and a.grad", "a = 0 时的 a ** 0：data 与 a.grad"),
           lambda: [(zero**0).data, *passed_back(zero**0, g, zero)])
    yield (say("3 / a by the given code: data and a.grad are those of 3 * a ** -1",
               "给定代码的 3 / a：data 与 a.grad 同 3 * a ** -1"),
           lambda: (3 / Value(x)).data)
    yield (say("an exponent that is a Value", "指数是一个 Value"),
           lambda: Value(2.0) ** Value(3.0), raises(TypeError))


check_pow.mistake(
    say("Look at the precedence: ** binds stronger than -, so the exponent is not lowered.",
        "注意优先级：** 比 - 结合得更紧，所以指数没有减一。"),
    within="Value.__pow__", replace={"self.data ** (k - 1)": "(self.data ** k - 1)"},
)
check_pow.mistake(
    say("The factor k of the power rule is missing.", "幂法则中的因子 k 不见了。"),
    within="Value.__pow__",
    replace={"k * self.data ** (k - 1) * out.grad": "self.data ** (k - 1) * out.grad"},
)
check_pow.mistake(
    say("This is the local derivative alone; the upstream gradient is missing.",
        "这里只有局部导数，缺了上游梯度。"),
    within="Value.__pow__", replace={" * out.grad": ""},
)
check_pow.mistake(
    say("The exponent of the derivative is still k.", "导数的指数仍然是 k。"),
    within="Value.__pow__", replace={"(k - 1)": "k"},
)
check_pow.mistake(
    say("The gradient is written over what was there. The node may be used elsewhere too.",
        "梯度覆盖了原有的数值。这个节点可能还在别处被用到。"),
    within="Value.__pow__", replace={"self.grad += k": "self.grad = k"},
)
check_pow.mistake(
    say("For k = 0 and a = 0 the power rule asks for 0 to the power of -1, before the factor 0 can "
        "help. The derivative of a constant needs no power.",
        "当 k = 0、a = 0 时，幂法则要先算 0 的 -1 次方，因子 0 来不及起作用。常数的导数不需要算幂。"),
    within="Value.__pow__", replace={"if k != 0:": "if True:"},
)


@check()
def check_relu(Value, rng):
    """ReLU, and one step backward."""
    g, old = numbers(rng, 2)
    for x in (1.75, 0.25, -0.5, 0.0, float(rng.uniform(2, 9)), -float(rng.uniform(2, 9))):
        a = Value(x)
        yield say(f"data of relu at {x:.4g}", f"{x:.4g} 处 relu 的 data"), lambda: a.relu().data
        for up in (abs(g), -abs(g)):
            b = Value(x)
            yield (say(f"a.grad at {x:.4g} with upstream gradient {up:.3g}",
                       f"上游梯度为 {up:.3g} 时 {x:.4g} 处的 a.grad"),
                   lambda: passed_back(b.relu(), up, b))
    c, d = holding(Value(1.5), old), holding(Value(-1.5), old)
    yield (say("a.grad held something already, at 1.5 and -1.5",
               "a.grad 里原本已有数值，分别在 1.5 与 -1.5 处"),
           lambda: passed_back(c.relu(), g, c) + passed_back(d.relu(), g, d))
    yield (say("_prev and _op", "_prev 与 _op"),
           lambda: [recorded(a.relu(), a), len(a.relu()._prev), a.relu()._op])


check_relu.mistake(
    say("The gate depends on the sign of the upstream gradient. Which number decides whether ReLU "
        "lets a gradient through?",
        "这里的开关取决于上游梯度的符号。决定 ReLU 是否放行梯度的是哪个数？"),
    within="Value.relu", replace={"if self.data > 0:": "if out.grad > 0:"},
)
check_relu.mistake(
    say("The gradient passes everywhere. What is the slope of max(0, x) on the left of 0?",
        "梯度处处都能通过。max(0, x) 在 0 左侧的斜率是多少？"),
    within="Value.relu", replace={"if self.data > 0:": "if True:"},
)
check_relu.mistake(
    say("At exactly 0 the two slopes differ; the docstring says which one to take.",
        "恰好在 0 处两侧斜率不同；docstring 写明了取哪一个。"),
    within="Value.relu", replace={"if self.data > 0:": "if self.data >= 0:"},
)
check_relu.mistake(
    say("The gradient is written over what was there.", "梯度覆盖了原有的数值。"),
    within="Value.relu", replace={"self.grad += out.grad": "self.grad = out.grad"},
)
check_relu.mistake(
    say("This is the local derivative alone; the upstream gradient is missing.",
        "这里只有局部导数，缺了上游梯度。"),
    within="Value.relu", replace={"self.grad += out.grad": "self.grad += 1.0"},
)
check_relu.mistake(
    say("Negative numbers come out with their sign turned: that is the absolute value.",
        "负数输出时变了号：那是绝对值。"),
    within="Value.relu", replace={"max(0.0, self.data)": "abs(self.data)"},
)


@check()
def check_exp_tanh(Value, rng):
    """exp and tanh, and one step backward."""
    x, g, old = numbers(rng, 3)
    for name in ("exp", "tanh"):
        a, b, c = Value(x), Value(-x / 2), holding(Value(x), old)
        yield (say(f"data of {name} at {x:.4g}", f"{x:.4g} 处 {name} 的 data"),
               lambda: getattr(a, name)().data)
        yield (say(f"{name}: a.grad after one _backward with upstream gradient {g:.3g}",
                   f"{name}：上游梯度为 {g:.3g} 时调用一次 _backward 后的 a.grad"),
               lambda: passed_back(getattr(a, name)(), g, a))
        yield (say(f"{name} at {-x / 2:.4g}: data and a.grad",
                   f"{-x / 2:.4g} 处的 {name}：data 与 a.grad"),
               lambda: [getattr(b, name)().data, *passed_back(getattr(b, name)(), g, b)])
        yield (say(f"{name} where a.grad held something already",
                   f"{name}，a.grad 里原本已有数值"),
               lambda: passed_back(getattr(c, name)(), g, c))
        yield (say(f"{name}: _prev and _op", f"{name} 的 _prev 与 _op"),
               lambda: [recorded(getattr(a, name)(), a), getattr(a, name)()._op])
    for far in (1000.0, -1000.0):
        d = Value(far)
        yield (say(f"tanh at {far:g}: data and a.grad", f"{far:g} 处的 tanh：data 与 a.grad"),
               lambda: [d.tanh().data, *passed_back(d.tanh(), g, d)])


check_exp_tanh.mistake(
    say("1 - tanh(x) is close, but it is not the derivative of tanh. Differentiate the quotient "
        "once more and compare.",
        "1 - tanh(x) 很接近，但不是 tanh 的导数。把那个商再求一次导，比较一下。"),
    within="Value.tanh", replace={"(1 - out.data**2)": "(1 - out.data)"},
)
check_exp_tanh.mistake(
    say("The derivative of tanh is written with the function's value, not with its argument.",
        "tanh 的导数要用函数值来写，而不是用自变量。"),
    within="Value.tanh", replace={"(1 - out.data**2)": "(1 - self.data**2)"},
)
check_exp_tanh.mistake(
    say("exp is not a power of x: the power rule does not apply to it. Which function is its own "
        "derivative?",
        "exp 不是 x 的幂，幂法则不适用。哪个函数的导数就是它自己？"),
    within="Value.exp", replace={"out.data * out.grad": "self.data * out.data * out.grad"},
)
check_exp_tanh.mistake(
    say("Near 0 all is well, but e^(2x) overflows for x = 1000. The standard library has a function "
        "that does not.",
        "在 0 附近一切正常，但 x = 1000 时 e^(2x) 溢出。标准库里有一个不会溢出的函数。"),
    within="Value.tanh",
    replace={"math.tanh(self.data)":
             "(math.exp(2 * self.data) - 1) / (math.exp(2 * self.data) + 1)"},
)
check_exp_tanh.mistake(
    say("exp writes over the gradient that was there. (The video made this slip too; its notebook "
        "says so.)",
        "exp 覆盖了原有的梯度。（视频里也出过这个疏漏，其 notebook 中有说明。）"),
    within="Value.exp", replace={"self.grad += out.data": "self.grad = out.data"},
)
check_exp_tanh.mistake(
    say("tanh writes over the gradient that was there.", "tanh 覆盖了原有的梯度。"),
    within="Value.tanh", replace={"self.grad += (1": "self.grad = (1"},
)
check_exp_tanh.mistake(
    say("The gradient of exp takes the argument where it needs the function's value.",
        "exp 的梯度用了自变量，而应当用函数值。"),
    within="Value.exp", replace={"out.data * out.grad": "self.data * out.grad"},
)


# ------------------------------------------------------------------------- order and backward


def in_order(order):
    """Whether every node of ``order`` comes after its operands, all of which are there."""
    place = {id(node): i for i, node in reversed(list(enumerate(order)))}
    return all(place.get(id(p), len(order)) < i for i, n in enumerate(order) for p in n._prev)


@check()
def check_topological_order(Value, topological_order, rng):
    """Operands before the nodes they feed, each node once, any depth."""
    leaf = Value(3.0)
    yield say("a leaf alone", "单独一个叶节点"), lambda: [n.data for n in topological_order(leaf)]
    chain = Value(0.0)
    for i in range(1, 5):
        chain = Value(float(i), (chain,))
    yield (say("a chain 0 -> 1 -> 2 -> 3 -> 4", "链 0 -> 1 -> 2 -> 3 -> 4"),
           lambda: [n.data for n in topological_order(chain)])
    a, b = Value(1.0), Value(2.0)
    both = Value(3.0, (a, b))
    yield (say("one operation on two leaves: the nodes found, sorted by data",
               "两个叶节点的一次运算：找到的节点，按 data 排序"),
           lambda: sorted(n.data for n in topological_order(both)))
    yield (say("and its last node", "以及其中最后一个节点"),
           lambda: topological_order(both)[-1].data)
    yield (say("a node that uses the same operand twice", "两次使用同一操作数的节点"),
           lambda: [n.data for n in topological_order(Value(2.0, (a, a)))])
    s = Value(1.0)
    t = Value(3.0, (Value(2.0, (s,)),))
    for graph, name_en, name_zh in (
        (Value(4.0, (t, s)), "s -> 2 -> 3 -> root and s -> root, the short way listed last",
         "s -> 2 -> 3 -> 根 以及 s -> 根，短路径写在后面"),
        (Value(4.0, (s, t)), "the same, the short way listed first", "同上，短路径写在前面"),
    ):
        yield (say(f"{name_en}: operands come first", f"{name_zh}：操作数在前"),
               lambda: in_order(topological_order(graph)))
        yield (say(f"{name_en}: how many nodes", f"{name_zh}：节点个数"),
               lambda: len(topological_order(graph)))
    nodes = [Value(float(i)) for i in range(3)]
    for i in range(3, 40):
        picks = rng.choice(len(nodes), size=rng.integers(1, 3), replace=False)
        nodes.append(Value(float(i), tuple(nodes[p] for p in picks)))
    root = Value(99.0, tuple(nodes[-3:]))
    yield (say("a random graph: operands come first", "随机图：操作数在前"),
           lambda: in_order(topological_order(root)))
    yield (say("a random graph: the nodes found, sorted by data",
               "随机图：找到的节点，按 data 排序"),
           lambda: sorted(n.data for n in topological_order(root)))
    ladder = Value(0.0)
    for i in range(1, 11):
        ladder = Value(float(i), (ladder, ladder))
    yield (say("ten doublings, x = x + x: each node once", "十次翻倍 x = x + x：每个节点一次"),
           lambda: [n.data for n in topological_order(ladder)])
    deep = Value(0.0)
    for i in range(1, 5000):
        deep = Value(float(i), (deep,))
    yield (say("a chain of 5000 nodes", "5000 个节点的链"),
           lambda: np.array([n.data for n in topological_order(deep)]))


@check_topological_order.mistake(
    say("Recursion needs one Python frame for each node along a path, and Python allows about 1000. "
        "Keep the nodes still to be done in a list of your own.",
        "递归沿路径每个节点占用一层 Python 栈帧，而 Python 只允许约 1000 层。请用自己的列表保存待处理的节点。")
)
def topological_order(root):
    order, seen = [], set()

    def visit(node):
        if node not in seen:
            seen.add(node)
            for operand in node._prev:
                visit(operand)
            order.append(node)

    visit(root)
    return order


check_topological_order.mistake(
    say("The order is back to front: root should come last, leaves first.",
        "顺序整个反了：根节点应当在最后，叶节点在前。"),
    within="topological_order", replace={"return order": "return order[::-1]"},
)
check_topological_order.mistake(
    say("Some nodes appear more than once: how does the search know that it has been somewhere?",
        "有些节点出现了不止一次：搜索如何知道某个节点已经来过？"),
    within="topological_order", replace={"elif node not in seen:": "else:"},
)


@check_topological_order.mistake(
    say("Level by level from the root, then reversed, fails when a node is reached by a short and "
        "by a long way: its level must be that of the longest.",
        "从根逐层遍历再反转，当一个节点既有短路径又有长路径可达时就会出错：它的层数应由最长的路径决定。")
)
def topological_order(root):
    queue, seen = [root], {root}
    for node in queue:
        for operand in node._prev:
            if operand not in seen:
                seen.add(operand)
                queue.append(operand)
    return queue[::-1]


@check_topological_order.mistake(
    say("A node is noted when the search enters it, and the list is reversed at the end. A node "
        "must be noted when all its operands are done.",
        "这里在搜索刚进入节点时就记录它，最后再反转列表。应当等它的所有操作数都处理完再记录。")
)
def topological_order(root):
    order, seen, stack = [], set(), [root]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            order.append(node)
            stack.extend(node._prev)
    return order[::-1]


check_topological_order.mistake(
    say("The leaves are missing. They are nodes of the graph as well.",
        "叶节点不见了。它们也是图中的节点。"),
    within="topological_order", replace={"return order": "return [n for n in order if n._prev]"},
)


def by_hand_graph(Value, a, b, c, f):
    """The graph of the first exercise as Values: the leaves, then the inner nodes, then L."""
    a, b, c, f = (Value(x) for x in (a, b, c, f))
    d = a * b
    e = d + c
    g = a + f
    return [g, e, d, c, f, b, a, e * g]


def random_graph(Value, rng, size=25):
    """Leaves and a root, built by random operations on random earlier nodes."""
    leaves = [Value(x) for x in numbers(rng, 4)]
    nodes = list(leaves)
    for _ in range(size):
        p, q = (nodes[i] for i in rng.integers(len(nodes), size=2))
        operation = (
            lambda: p + q,
            lambda: (p * q).tanh(),
            lambda: p - 2 * q.tanh(),
            lambda: (p * 0.3).relu() + q,
            lambda: (p * p + 1) ** -0.5,
        )[rng.integers(5)]
        nodes.append(operation())
    return leaves, sum(nodes[-6:])


@check()
def check_backward(Value, rng):
    """backward() on graphs with shared nodes."""
    x, y, z, w = numbers(rng, 4)

    def grads(build):
        *nodes, root = build()
        root.backward()
        return [node.grad for node in nodes]

    def leaf():
        a = Value(x)
        return a, a

    def product():
        a, b = Value(x), Value(y)
        out = a * b
        return out, a, b, out

    def chain():
        a, b, c = Value(x), Value(y), Value(z)
        d = a * b
        out = d + c
        return d, c, b, a, out

    def double():
        a = Value(x)
        return a, a + a

    def shared():
        a, b = Value(x), Value(y)
        d = a * b
        return d, a, b, d * d + d

    def short_and_long():
        a, b = Value(x), Value(y)
        t = a * b
        u = t * 3
        v = u + 1
        return v, u, t, a, b, t * (v * z)

    def long_and_short():
        a, b = Value(x), Value(y)
        t = a * b
        u = t * 3
        v = u + 1
        return v, u, t, a, b, (v * z) * t

    def neuron():
        x1, x2, w1, w2 = Value(2.0), Value(0.0), Value(-3.0), Value(1.0)
        b = Value(6.8813735870195432)
        return x1, w1, x2, w2, b, (x1 * w1 + x2 * w2 + b).tanh()

    def everything():
        a, b = Value(abs(x)), Value(y)
        return a, b, ((a / b - 3) ** 2).relu() + (a * b).tanh() * (-a).exp() + a**0.5 - 1 / b

    yield say("L.grad after L.backward()", "L.backward() 之后的 L.grad"), lambda: grads(leaf)
    yield say("L = a * b: grad of L, a, b", "L = a * b：L、a、b 的 grad"), lambda: grads(product)
    yield (say("d = a * b, L = d + c: grad of d, c, b, a",
               "d = a * b，L = d + c：d、c、b、a 的 grad"), lambda: grads(chain))
    yield (say("the graph you did by hand: grad of g, e, d, c, f, b, a",
               "你手算过的图：g、e、d、c、f、b、a 的 grad"),
           lambda: grads(lambda: by_hand_graph(Value, x, y, z, w)))
    yield say("L = a + a: grad of a", "L = a + a：a 的 grad"), lambda: grads(double)
    yield (say("d = a * b, L = d * d + d: grad of d, a, b",
               "d = a * b，L = d * d + d：d、a、b 的 grad"), lambda: grads(shared))
    yield (say("t = a * b, u = 3t, v = u + 1, L = t * (v * z): grad of v, u, t, a, b",
               "t = a * b，u = 3t，v = u + 1，L = t * (v * z)：v、u、t、a、b 的 grad"),
           lambda: grads(short_and_long))
    yield (say("the same with L = (v * z) * t", "同上，但 L = (v * z) * t"),
           lambda: grads(long_and_short))
    yield (say("the neuron of the video: grad of x1, w1, x2, w2, b",
               "视频中的神经元：x1、w1、x2、w2、b 的 grad"), lambda: grads(neuron))
    yield (say("an expression with every operation: grad of a, b",
               "用到所有运算的表达式：a、b 的 grad"), lambda: grads(everything))

    def two_graphs():
        a, b = Value(x), Value(y)
        (a * b).backward()
        (a + b * 3).backward()
        return [a.grad, b.grad]

    yield (say("L1 = a * b and L2 = a + 3b, one after the other: grad of a, b",
               "先后对 L1 = a * b 与 L2 = a + 3b 反向：a、b 的 grad"), two_graphs)

    def untouched():
        a, b = Value(x), Value(y)
        (a * b + a).backward()
        return [a.data, b.data]

    yield say("backward() leaves data as it is", "backward() 不改变 data"), untouched


@check_backward.hidden
def _(Value, rng):
    for i, seed in enumerate(rng.integers(2**31, size=3)):
        def grads():
            leaves, root = random_graph(Value, np.random.default_rng(seed))
            root.backward()
            return [leaf.grad for leaf in leaves]

        yield say(f"random graph {i + 1}: grad of the leaves", f"随机图 {i + 1}：各叶节点的 grad"), (
            grads)


check_backward.mistake(
    say("All gradients are 0: what is dL/dL, and who sets it?", "所有梯度都是 0：dL/dL 是多少？由谁来设置？"),
    within="Value.backward", replace={"self.grad = 1.0": "pass"},
)
check_backward.mistake(
    say("Only the operands of the last operation have a gradient. Either no other node has its turn, "
        "or each has it before anything has arrived in its own grad. Who must come first?",
        "只有最后一次运算的操作数有梯度。要么其他节点根本没有轮到，要么轮到它们时自己的 grad 里还什么都没有。应当谁先来？"),
    within="Value.backward",
    replace={"reversed(topological_order(self))": "topological_order(self)"},
)


@check_backward.mistake(
    say("A shared node passes its gradient on once for every path, each time including what it had "
        "passed before. Each node's turn comes once, when its grad is complete.",
        "共享节点沿每条路径都传递一次梯度，而且每次都含有之前已传过的部分。每个节点只轮到一次，且须等它的 grad 完整。"),
    within="Value.backward",
)
def backward(self):
    self.grad = 1.0
    stack = [self]
    while stack:
        node = stack.pop(0)
        node._backward()
        stack += dict.fromkeys(node._prev)


@check_backward.mistake(
    say("Each node has its turn once, but some too early: level by level from the root is not an "
        "order in which every grad is complete.",
        "每个节点确实只轮到一次，但有的太早了：从根逐层往下，并不能保证轮到时 grad 已经完整。"),
    within="Value.backward",
)
def backward(self):
    self.grad = 1.0
    queue, seen = [self], {self}
    for node in queue:
        node._backward()
        for operand in node._prev:
            if operand not in seen:
                seen.add(operand)
                queue.append(operand)


check_backward.mistake(
    say("The leaves' gradients are cleared first, so the earlier backward() is forgotten. The "
        "docstring wants the sum over both.",
        "这里先清空了叶节点的梯度，于是之前那次 backward() 的结果丢失了。docstring 要求的是两次之和。"),
    within="Value.backward",
    replace={"        self.grad = 1.0\n":
             "        for node in topological_order(self):\n            node.grad = 0.0\n"
             "        self.grad = 1.0\n"},
)


# ---------------------------------------------------------------------------------- networks


def set_parameters(model, rng):
    """Give the model's parameters known data, in the order of ``parameters()``."""
    for p in model.parameters():
        p.data = float(rng.uniform(-1, 1))
    return model


@check()
def check_neuron(Value, Neuron, rng):
    """One neuron: output, parameters, gradients."""
    w, b, x = numbers(rng, 3), float(rng.uniform(0.5, 1)), numbers(rng, 3)
    minus = [-wi for wi in w]

    def neuron(activation, weights=w):
        n = Neuron(3, random.Random(0), activation)
        for p, value in zip(n.w, weights, strict=True):
            p.data = value
        n.b.data = b
        return n

    for activation in ("linear", "tanh", "relu"):
        yield (say(f"output, activation {activation}", f"输出，激活函数为 {activation}"),
               lambda: neuron(activation)(x).data)
        yield (say(f"output with the weights' signs turned, {activation}",
                   f"权重全部变号后的输出，{activation}"),
               lambda: neuron(activation, minus)(x).data)
    yield (say("output for an x of Values", "x 由 Value 组成时的输出"),
           lambda: neuron("tanh")([Value(xi) for xi in x]).data)
    yield (say("parameters(): the three weights, then the bias",
               "parameters()：三个权重，然后是偏置"),
           lambda: [p.data for p in neuron("tanh").parameters()])

    def gradients():
        n, inputs = neuron("linear"), [Value(xi) for xi in x]
        n(inputs).backward()
        return [[p.grad for p in n.w], n.b.grad, [xi.grad for xi in inputs]]

    for i, (en, zh) in enumerate((("weights", "权重"), ("bias", "偏置"), ("inputs", "输入"))):
        yield (say(f"gradients of the {en} of a linear neuron", f"线性神经元中{zh}的梯度"),
               lambda: gradients()[i])

    def kept():
        n = neuron("tanh")
        n(x)
        return [[p.data for p in n.w], n.b.data]

    yield (say("the neuron's weights and bias after the call: as before",
               "调用之后神经元的权重与偏置：保持不变"), kept)
    yield (say("x with two numbers for three weights", "三个权重却只有两个数的 x"),
           lambda: neuron("tanh")(x[:2]), raises(ValueError))
    yield (say("x with four numbers for three weights", "三个权重却有四个数的 x"),
           lambda: neuron("tanh")([*x, 1.0]), raises(ValueError))


check_neuron.mistake(
    say("The bias does not enter the output.", "偏置没有参与输出。"),
    within="Neuron.__call__", replace={"z = self.b\n": "z = Value(0.0)\n"},
)
check_neuron.mistake(
    say("Every activation gives the linear result: is it applied?",
        "各种激活函数都给出线性的结果：激活函数用上了吗？"),
    within="Neuron.__call__",
    replace={'return z if self.activation == "linear" else getattr(z, self.activation)()':
             "return z"},
)
check_neuron.mistake(
    say("The activation is always tanh, whatever the neuron was told.",
        "无论给神经元指定什么激活函数，用的总是 tanh。"),
    within="Neuron.__call__",
    replace={'return z if self.activation == "linear" else getattr(z, self.activation)()':
             "return z.tanh()"},
)
check_neuron.mistake(
    say("An x of the wrong length is cut to the shorter of the two without a word. Look up the "
        "option of zip that refuses.",
        "长度不对的 x 被悄悄截断到较短的一方。查一下 zip 有没有能拒绝这种情况的选项。"),
    within="Neuron.__call__", replace={", strict=True": ""},
)
check_neuron.mistake(
    say("parameters() leaves out the bias; then training will never move it.",
        "parameters() 漏掉了偏置，那么训练永远不会更新它。"),
    within="Neuron.parameters", replace={"[*self.w, self.b]": "[*self.w]"},
)
check_neuron.mistake(
    say("The bias comes first in parameters(). The docstring gives the order.",
        "parameters() 里偏置排在了最前面。docstring 规定了顺序。"),
    within="Neuron.parameters", replace={"[*self.w, self.b]": "[self.b, *self.w]"},
)
check_neuron.mistake(
    say("The output is right but the weights get no gradient: the sum is formed with their plain "
        "numbers, outside the graph.",
        "输出正确，但权重没有梯度：求和时用的是它们的普通数值，脱离了计算图。"),
    within="Neuron.__call__", replace={"w * xi": "w.data * xi"},
)


@check()
def check_layer(Value, Layer, rng):
    """A layer: separate neurons on the same input."""
    x = numbers(rng, 2)
    seed = int(rng.integers(1000))

    def layer(nin=2, nout=3, activation="tanh"):
        return Layer(nin, nout, random.Random(seed), activation)

    yield say("Layer(2, 3): number of neurons", "Layer(2, 3)：神经元个数"), lambda: (
        len(layer().neurons))
    yield (say("weights of each neuron", "每个神经元的权重个数"),
           lambda: [len(n.w) for n in layer().neurons])
    yield (say("the parameters are nine different Values", "参数是九个不同的 Value"),
           lambda: len({id(p) for p in layer().parameters()}))

    def numbered():
        one = layer()
        for i, p in enumerate(one.parameters(), 1):
            p.data = float(i)
        return [[[p.data for p in n.w], n.b.data] for n in one.neurons]

    yield (say("weights and bias of each neuron, after parameters() were set to 1, 2, 3, ...",
               "把 parameters() 依次设为 1, 2, 3, ... 之后，各神经元的权重与偏置"), numbered)
    yield (say("the weights are drawn from rng, the first neuron's first",
               "权重取自 rng，先是第一个神经元的"),
           lambda: [p.data for n in layer().neurons for p in n.w])
    for activation in ("tanh", "relu", "linear"):
        yield (say(f"outputs, activation {activation}", f"输出，激活函数为 {activation}"),
               lambda: [y.data for y in layer(activation=activation)(x)])
    yield (say("a layer of one neuron: is its output a list?", "只有一个神经元的层：输出是列表吗？"),
           lambda: isinstance(layer(2, 1)(x), (list, tuple)))


check_layer.mistake(
    say("All places of the list hold the same Neuron. `[thing] * n` repeats a reference; it does "
        "not make new things.",
        "列表的每个位置都是同一个 Neuron。`[thing] * n` 只是重复引用，并不会创建新的对象。"),
    within="Layer.__init__",
    replace={"[Neuron(nin, rng, activation) for _ in range(nout)]":
             "[Neuron(nin, rng, activation)] * nout"},
)
check_layer.mistake(
    say("A layer of one neuron returns its output without a list. The next layer would not know "
        "what to do with it.",
        "只有一个神经元的层直接返回了输出，没有放进列表。下一层就不知道如何处理它了。"),
    within="Layer.__call__",
    replace={"return [neuron(x) for neuron in self.neurons]":
             "return self.neurons[0](x) if len(self.neurons) == 1 else "
             "[neuron(x) for neuron in self.neurons]"},
)
check_layer.mistake(
    say("The activation does not reach the neurons.", "激活函数没有传给神经元。"),
    within="Layer.__init__", replace={"Neuron(nin, rng, activation)": "Neuron(nin, rng)"},
)
check_layer.mistake(
    say("The numbers of inputs and of neurons are exchanged.", "输入个数与神经元个数弄反了。"),
    within="Layer.__init__",
    replace={"Neuron(nin, rng, activation) for _ in range(nout)":
             "Neuron(nout, rng, activation) for _ in range(nin)"},
)
check_layer.mistake(
    say("parameters() returns a list of lists. Whoever updates the parameters wants one flat list.",
        "parameters() 返回了列表的列表。更新参数时需要的是一个扁平的列表。"),
    within="Layer.parameters",
    replace={"[p for neuron in self.neurons for p in neuron.parameters()]":
             "[neuron.parameters() for neuron in self.neurons]"},
)
check_layer.mistake(
    say("parameters() knows only the first neuron.", "parameters() 只包含第一个神经元的参数。"),
    within="Layer.parameters", replace={"for neuron in self.neurons": "for neuron in self.neurons[:1]"},
)


@check()
def check_mlp(Value, MLP, rng):
    """A network: layers, sizes, order of parameters, output."""
    x = numbers(rng, 3)
    seed = int(rng.integers(1000))

    def mlp(nin=3, nouts=(4, 2), activation="tanh"):
        return MLP(nin, list(nouts), random.Random(seed), activation)

    yield (say("MLP(3, [4, 2]): neurons in each layer", "MLP(3, [4, 2])：每层的神经元个数"),
           lambda: [len(layer.neurons) for layer in mlp().layers])
    yield (say("weights of the neurons of each layer", "每层神经元的权重个数"),
           lambda: [[len(n.w) for n in layer.neurons] for layer in mlp().layers])
    yield (say("the video's MLP(3, [4, 4, 1]): number of parameters",
               "视频中的 MLP(3, [4, 4, 1])：参数个数"),
           lambda: len(mlp(3, (4, 4, 1)).parameters()))
    yield (say("parameters(): drawn from rng, layer by layer", "parameters()：逐层取自 rng"),
           lambda: [p.data for p in mlp().parameters()])
    yield (say("outputs of MLP(3, [2]), a single linear layer",
               "MLP(3, [2]) 的输出，只有一个线性层"),
           lambda: [y.data for y in set_parameters(mlp(3, (2,)), np.random.default_rng(seed))(x)])
    for activation in ("tanh", "relu"):
        yield (say(f"outputs of MLP(3, [4, 3, 2]), activation {activation}",
                   f"MLP(3, [4, 3, 2]) 的输出，激活函数为 {activation}"),
               lambda: [y.data for y in set_parameters(
                   mlp(3, (4, 3, 2), activation), np.random.default_rng(seed))(x)])
    yield (say("MLP(3, [1, 2]), a hidden layer of one neuron: outputs",
               "MLP(3, [1, 2])，隐藏层只有一个神经元：输出"),
           lambda: [y.data for y in mlp(3, (1, 2))(x)])
    yield (say("MLP(3, [4, 1]) returns a Value, not a list", "MLP(3, [4, 1]) 返回 Value 而不是列表"),
           lambda: isinstance(mlp(3, (4, 1))(x), Value))


check_mlp.mistake(
    say("The last layer squashes its outputs too. What range could such a network reach?",
        "最后一层也压缩了输出。这样的网络能输出什么范围的值？"),
    within="MLP.__init__",
    replace={'[activation] * (len(nouts) - 1) + ["linear"]': "[activation] * len(nouts)"},
)
check_mlp.mistake(
    say("No layer has an activation, so the whole network is one linear map.",
        "所有层都没有激活函数，于是整个网络只是一个线性映射。"),
    within="MLP.__init__",
    replace={'[activation] * (len(nouts) - 1) + ["linear"]': '["linear"] * len(nouts)'},
)
check_mlp.mistake(
    say("The hidden layers always use tanh: the activation is not passed on.",
        "隐藏层总是使用 tanh：激活函数没有传下去。"),
    within="MLP.__init__",
    replace={'[activation] * (len(nouts) - 1)': '["tanh"] * (len(nouts) - 1)'},
)
check_mlp.mistake(
    say("Every layer is built for nin inputs. What comes into the second layer?",
        "每一层都按 nin 个输入来构造。进入第二层的是什么？"),
    within="MLP.__init__", replace={"Layer(sizes[i], sizes[i + 1]": "Layer(nin, sizes[i + 1]"},
)
check_mlp.mistake(
    say("With one output the docstring asks for the Value itself.",
        "只有一个输出时，docstring 要求返回那个 Value 本身。"),
    within="MLP.__call__", replace={"return x[0] if len(x) == 1 else x": "return x"},
)
check_mlp.mistake(
    say("Only the first output is returned, even where there are several.",
        "即使有多个输出，也只返回了第一个。"),
    within="MLP.__call__", replace={"return x[0] if len(x) == 1 else x": "return x[0]"},
)
check_mlp.mistake(
    say("parameters() starts with the last layer.", "parameters() 从最后一层开始了。"),
    within="MLP.parameters", replace={"in self.layers": "in self.layers[::-1]"},
)


@check()
def check_mlp_backward(Value, MLP, rng):
    """Gradients of every parameter of a network, and zero_grad."""
    xs = [numbers(rng, 2) for _ in range(2)]
    seed, weights = int(rng.integers(1000)), int(rng.integers(2**31))

    def mlp(activation):
        return set_parameters(MLP(2, [3, 2, 2], random.Random(seed), activation),
                              np.random.default_rng(weights))

    def per_layer(model):
        return [[p.grad for p in layer.parameters()] for layer in model.layers]

    def loss(model, x):
        y1, y2 = model(x)
        return y1 * y1 + 3 * y2

    for activation in ("tanh", "relu"):
        def gradients():
            model, inputs = mlp(activation), [Value(v) for v in xs[0]]
            loss(model, inputs).backward()
            return [*per_layer(model), [v.grad for v in inputs], [p.grad for p in model.parameters()]]

        for place, en, zh in ((2, "the last layer's parameters", "最后一层的参数"),
                              (1, "the middle layer's parameters", "中间层的参数"),
                              (0, "the first layer's parameters", "第一层的参数"),
                              (3, "the inputs", "输入"),
                              (4, "everything in parameters()", "parameters() 中的全部参数")):
            yield (say(f"{activation}: gradients of {en}", f"{activation}：{zh}的梯度"),
                   lambda: gradients()[place])

    def summed():
        model = mlp("tanh")
        (loss(model, xs[0]) + loss(model, xs[1])).backward()
        return [p.grad for p in model.parameters()]

    yield say("gradients of the sum of two examples' losses", "两个样本损失之和的梯度"), summed

    def cleared():
        model = mlp("tanh")
        loss(model, xs[0]).backward()
        model.zero_grad()
        return model

    yield (say("gradients after zero_grad()", "zero_grad() 之后的梯度"),
           lambda: [p.grad for layer in cleared().layers for p in layer.parameters()])
    yield (say("parameters after zero_grad()", "zero_grad() 之后的参数"),
           lambda: [p.data for layer in cleared().layers for p in layer.parameters()])


check_mlp_backward.mistake(
    say("Only the last layer has gradients. Something between the layers wraps plain numbers into "
        "new leaves, and there the graph is cut.",
        "只有最后一层有梯度。层与层之间某处把普通数值重新包装成了新的叶节点，计算图在那里断开了。"),
    within="MLP.__call__", 
    replace={"x = layer(x)": "x = layer([getattr(v, 'data', v) for v in x])"},
)
check_mlp_backward.mistake(
    say("The layers have gradients, but parameters() shows none: it returns copies. Whoever updates "
        "copies does not train the network.",
        "各层都有梯度，但 parameters() 里看不到：它返回的是副本。更新副本并不会训练网络。"),
    within="MLP.parameters",
    replace={"[p for layer": "[Value(p.data) for layer"},
)
check_mlp_backward.mistake(
    say("zero_grad() also sets the data to 0, and so forgets what was learned.",
        "zero_grad() 把 data 也置成了 0，学到的东西就全忘了。"),
    within="MLP.zero_grad", replace={"p.grad = 0.0": "p.grad = p.data = 0.0"},
)
check_mlp_backward.mistake(
    say("zero_grad() changes nothing that can be seen: does it write to the parameters themselves?",
        "zero_grad() 没有产生可见的变化：它写到参数本身上了吗？"),
    within="MLP.zero_grad", replace={"p.grad = 0.0": "p = 0.0"},
)
check_mlp_backward.mistake(
    say("zero_grad() leaves gradients in the hidden layers.", "zero_grad() 没有清除隐藏层的梯度。"),
    within="MLP.zero_grad",
    replace={"self.parameters()": "self.layers[-1].parameters()"},
)
check_mlp_backward.mistake(
    say("The gradients of the hidden layers belong to a network whose last layer has an activation.",
        "隐藏层的梯度对应的是最后一层带激活函数的网络。"),
    within="MLP.__init__",
    replace={'[activation] * (len(nouts) - 1) + ["linear"]': "[activation] * len(nouts)"},
)


# ---------------------------------------------------------------------------------- training


@check()
def check_mse_loss(Value, mse_loss, rng):
    """Mean squared error as a Value."""
    p, t = numbers(rng, 5), numbers(rng, 5)
    yield (say("loss of five predictions", "五个预测的损失"),
           lambda: mse_loss([Value(v) for v in p], t).data)
    yield (say("loss of one prediction", "一个预测的损失"),
           lambda: mse_loss([Value(p[0])], t[:1]).data)
    yield (say("loss where all predictions are right", "预测全部正确时的损失"),
           lambda: mse_loss([Value(v) for v in t], t).data)

    def gradients():
        predictions = [Value(v) for v in p]
        mse_loss(predictions, t).backward()
        return [v.grad for v in predictions]

    yield say("gradients of the five predictions", "五个预测的梯度"), gradients
    yield (say("five predictions, four targets", "五个预测，四个目标"),
           lambda: mse_loss([Value(v) for v in p], t[:4]), raises(ValueError))


check_mse_loss.mistake(
    say("This is the sum of the squares, not their mean.", "这是平方之和，而不是平均值。"),
    within="mse_loss", replace={"sum(errors) / len(errors)": "sum(errors)"},
)
check_mse_loss.mistake(
    say("The differences are averaged without being squared, so errors of opposite sign cancel.",
        "差值没有平方就取了平均，符号相反的误差会互相抵消。"),
    within="mse_loss", replace={"(p - t) ** 2": "(p - t)"},
)
check_mse_loss.mistake(
    say("The square root was taken as well: that is the RMSE.", "还开了平方根：那是 RMSE。"),
    within="mse_loss",
    replace={"sum(errors) / len(errors)": "(sum(errors) / len(errors) + 1e-300) ** 0.5"},
)
check_mse_loss.mistake(
    say("There is an extra factor 1/2.", "多了一个因子 1/2。"),
    within="mse_loss", replace={"len(errors)": "(2 * len(errors))"},
)
check_mse_loss.mistake(
    say("If the lengths differ, the surplus is dropped in silence.", "长度不同时，多出的部分被悄悄丢掉了。"),
    within="mse_loss", replace={", strict=True": ""},
)
check_mse_loss.mistake(
    say("The result is a plain number, so there is nothing to call backward() on. Stay with the "
        "Values.",
        "结果是普通数值，没法对它调用 backward()。请一直使用 Value。"),
    within="mse_loss", replace={"(p - t) ** 2": "(p.data - t) ** 2"},
)


@check()
def check_train_step(MLP, train_step, rng):
    """One step of gradient descent, and a second one."""
    xs = [float(v) for v in rng.uniform(-1, 1, 5)]
    ys = [float(v) for v in rng.uniform(-2, 2, 5)]
    seed, lr = int(rng.integers(1000)), float(rng.uniform(0.02, 0.05))

    def after(steps, rate=lr, stale=0.0):
        model = MLP(1, [3, 1], random.Random(seed))
        for p in model.parameters():
            p.grad = stale
        losses = [train_step(model, xs, ys, rate) for _ in range(steps)]
        return losses, [p.data for p in model.parameters()]

    yield say("the loss that the first step returns", "第一步返回的损失"), lambda: after(1)[0]
    yield say("the parameters after one step", "一步之后的参数"), lambda: after(1)[1]
    yield (say("the parameters after one step with half the learning rate",
               "学习率减半时一步之后的参数"), lambda: after(1, lr / 2)[1])
    yield say("the losses of two steps", "前两步的损失"), lambda: after(2)[0]
    yield say("the parameters after two steps", "两步之后的参数"), lambda: after(2)[1]
    yield (say("one step where grads held 5.0 before", "grad 原先都是 5.0 时的一步之后"),
           lambda: after(1, stale=5.0)[1])


check_train_step.mistake(
    say("The first step is right and the second is not: the gradients of the first are still there.",
        "第一步正确，第二步不对：第一步的梯度还留在那里。"),
    within="train_step", replace={"    model.zero_grad()\n": ""},
)
check_train_step.mistake(
    say("The loss grows: the gradient points uphill.", "损失在增大：梯度指向上坡方向。"),
    within="train_step", replace={"p.data -= lr": "p.data += lr"},
)
check_train_step.mistake(
    say("The parameters do not move at all: the gradients are zeroed after they were computed and "
        "before they are used.",
        "参数根本没动：梯度算出来之后、使用之前就被清零了。"),
    within="train_step",
    replace={"    model.zero_grad()\n    loss.backward()\n":
             "    loss.backward()\n    model.zero_grad()\n"},
)
check_train_step.mistake(
    say("The returned loss is that of the moved parameters; the docstring asks for the one before "
        "the step.",
        "返回的是参数移动之后的损失；docstring 要求的是这一步之前的。"),
    within="train_step",
    replace={"return loss.data": "return mse_loss([model([x]) for x in xs], ys).data"},
)
check_train_step.mistake(
    say("The learning rate has no influence.", "学习率没有起作用。"),
    within="train_step", replace={"lr * p.grad": "0.01 * p.grad"},
)
check_train_step.mistake(
    say("The gradients are zeroed at the end of the step only; what a caller left in them before "
        "the first step gets in.",
        "只在一步结束时清零梯度；第一步之前遗留在里面的数值就混了进来。"),
    within="train_step",
    replace={"    model.zero_grad()\n": "", "    return loss.data": "    model.zero_grad()\n    return loss.data"},
)
check_train_step.mistake(
    say("The loss comes back as a Value. A list of those would keep every graph of the training "
        "alive.",
        "返回的损失是 Value。把它们存进列表，会让训练中的每张计算图都无法释放。"),
    within="train_step", replace={"return loss.data": "return loss"},
)


@check_train_step.mistake(
    say("The parameters move after every single pair. The docstring asks for one step on the mean "
        "over all of them.",
        "每处理一对数据参数就移动了一次。docstring 要求的是对全部数据的平均损失走一步。")
)
def train_step(model, xs, ys, lr):
    before = sum((model([x]).data - y) ** 2 for x, y in zip(xs, ys, strict=True)) / len(xs)
    for x, y in zip(xs, ys, strict=True):
        model.zero_grad()
        ((model([x]) - y) ** 2).backward()
        for p in model.parameters():
            p.data -= lr * p.grad
    return before


@check()
def check_fit_quadratic(MLP, fit_quadratic, rng):
    """Training on 3x^2 - 4x + 5: a mean squared error below 0.1."""
    seed = int(rng.integers(1000))
    other = (seed + 1) % 1000
    yield say("three steps give three losses", "三步给出三个损失"), lambda: (
        len(fit_quadratic(seed, steps=3)[1]))
    yield (say("the same seed twice gives the same losses", "同一种子运行两次，损失相同"),
           lambda: fit_quadratic(seed, steps=2)[1] == fit_quadratic(seed, steps=2)[1])
    yield (say("another seed gives other losses", "换一个种子，损失不同"),
           lambda: fit_quadratic(seed, steps=2)[1] != fit_quadratic(other, steps=2)[1])
    model, losses = fit_quadratic(seed)
    yield (say("the model is an MLP and the losses are floats", "model 是 MLP，losses 都是浮点数"),
           lambda: isinstance(model, MLP) and all(isinstance(v, (float, np.floating)) for v in losses))
    yield (say("by how much the loss falls over the training", "训练过程中损失下降了多少"),
           lambda: losses[0] - losses[-1], at_least(1.0))
    grid = np.linspace(-1, 1, 41)
    yield (say(f"predictions at 41 points of [-1, 1], seed {seed}",
               f"[-1, 1] 中 41 个点处的预测，种子为 {seed}"),
           lambda: np.array([float(model([float(x)]).data) for x in grid]),
           error_at_most(3 * grid**2 - 4 * grid + 5, 0.1))


check_fit_quadratic.mistake(
    say("The seed has no influence on the result: is the generator made from it?",
        "种子对结果没有影响：随机数生成器是用它创建的吗？"),
    within="fit_quadratic", replace={"[8, 1], random.Random(seed)": "[8, 1], random.Random(0)"},
)
check_fit_quadratic.mistake(
    say("The same seed gives different networks: the weights are drawn from the global generator.",
        "同一种子得到不同的网络：权重取自全局随机数生成器。"),
    within="fit_quadratic", replace={"[8, 1], random.Random(seed)": "[8, 1], random"},
)
check_fit_quadratic.mistake(
    say("On the right half the fit is good, on the left it is not: which x has the network seen?",
        "右半边拟合得很好，左半边不行：网络见过哪些 x？"),
    within="fit_quadratic", replace={"range(-4, 5)": "range(0, 5)"},
)
check_fit_quadratic.mistake(
    say("The network fits another parabola: compare the signs of the target with the task.",
        "网络拟合的是另一条抛物线：对照题目检查目标函数的符号。"),
    within="fit_quadratic", replace={"3 * x**2 - 4 * x": "3 * x**2 + 4 * x"},
)
check_fit_quadratic.mistake(
    say("The steps diminish the loss, but of a new network each time. Make the network before the "
        "loop.",
        "每一步都在减小损失，但每次都是一个新网络。应当在循环之前创建网络。"),
    within="fit_quadratic",
    replace={"[train_step(model, xs":
             "[train_step(model := MLP(1, [8, 1], random.Random(seed)), xs"},
)
check_fit_quadratic.mistake(
    say("The loss falls, but too slowly for the number of steps. Try a larger learning rate, or more "
        "steps.",
        "损失在下降，但就步数而言太慢了。试试更大的学习率，或者更多的步数。"),
    within="fit_quadratic", replace={"lr=0.07": "lr=0.004"},
)
check_fit_quadratic.mistake(
    say("There is one loss more than there are steps: each step yields one, taken before it.",
        "损失比步数多一个：每一步对应一个损失，取自该步之前。"),
    within="fit_quadratic", replace={"range(steps)": "range(steps + 1)"},
)


# ------------------------------------------------------------------------------ forward mode


@check()
def check_dual(Dual, rng):
    """Dual numbers: each operation carries its derivative along."""
    x, y, dx, dy = numbers(rng, 4)

    def pair(build):
        def show():
            out = build(Dual(x, dx), Dual(y, dy))
            return [out.data, out.tangent]
        return show

    for what, build in (
        ("a + b", lambda a, b: a + b),
        ("a * b", lambda a, b: a * b),
        ("a + 3", lambda a, b: a + 3),
        ("a * 3", lambda a, b: a * 3),
        ("2.5 + a", lambda a, b: 2.5 + a),
        ("2.5 * a", lambda a, b: 2.5 * a),
        ("a * a", lambda a, b: a * a),
        ("a ** 3", lambda a, b: a**3),
        ("a ** -1", lambda a, b: a**-1),
        ("a - b", lambda a, b: a - b),
        ("a / b", lambda a, b: a / b),
        ("relu(a * a)", lambda a, b: (a * a).relu()),
        ("relu(-a * a)", lambda a, b: (-1 * (a * a)).relu()),
        ("exp(a)", lambda a, b: a.exp()),
        ("tanh(a)", lambda a, b: a.tanh()),
        ("tanh(a * b + 1) * exp(-a)", lambda a, b: (a * b + 1).tanh() * (-a).exp()),
    ):
        yield (say(f"{what}: data and tangent", f"{what}：data 与 tangent"), pair(build))
    yield (say("relu and ** 0 at 0: data and tangent", "0 处的 relu 与 ** 0：data 与 tangent"),
           lambda: [[o.data, o.tangent] for o in (Dual(0.0, dx).relu(), Dual(0.0, dx) ** 0)])
    yield (say("tanh at 1000: data and tangent", "1000 处的 tanh：data 与 tangent"),
           lambda: [[o.data, o.tangent] for o in (Dual(1000.0, dx).tanh(),)])

    def untouched():
        a, b = Dual(x, dx), Dual(y, dy)
        a + b, a * b, a**2, a.relu(), a.exp(), a.tanh()
        return [a.data, a.tangent, b.data, b.tangent]

    yield say("the operands stay as they were", "操作数保持不变"), untouched


check_dual.mistake(
    say("The tangents are multiplied with each other. Expand (x + dx e)(y + dy e) with e * e = 0.",
        "两个 tangent 被直接相乘了。展开 (x + dx e)(y + dy e)，其中 e * e = 0。"),
    within="Dual.__mul__",
    replace={"self.tangent * other.data + self.data * other.tangent": "self.tangent * other.tangent"},
)
check_dual.mistake(
    say("The product rule has two terms; only the change of the left factor is here.",
        "乘积法则有两项，这里只有左因子变化的那一项。"),
    within="Dual.__mul__", replace={" + self.data * other.tangent": ""},
)
check_dual.mistake(
    say("A plain number is given tangent 1. How fast does a constant change?",
        "普通数字的 tangent 被当成了 1。常数变化得有多快？"),
    within="Dual.__add__", replace={"else Dual(other)": "else Dual(other, 1.0)"},
)
check_dual.mistake(
    say("The power's tangent is the slope alone: the operand's own tangent has to come in.",
        "幂的 tangent 只有斜率：还要乘上操作数自己的 tangent。"),
    within="Dual.__pow__", replace={"slope * self.tangent": "slope"},
)
check_dual.mistake(
    say("The tangent of tanh is the slope alone: the operand's own tangent has to come in.",
        "tanh 的 tangent 只有斜率：还要乘上操作数自己的 tangent。"),
    within="Dual.tanh", replace={"(1 - y**2) * self.tangent": "1 - y**2"},
)
check_dual.mistake(
    say("relu keeps the tangent of negative numbers. Where the output is constant, its derivative "
        "is 0.",
        "relu 保留了负数的 tangent。输出为常数的地方，导数为 0。"),
    within="Dual.relu", replace={"self.tangent if self.data > 0 else 0.0": "self.tangent"},
)
check_dual.mistake(
    say("exp hands its operand's tangent on unchanged.", "exp 把操作数的 tangent 原样传了下去。"),
    within="Dual.exp", replace={"y * self.tangent": "self.tangent"},
)
check_dual.mistake(
    say("At exactly 0 relu has tangent 0, as its derivative has in Value.",
        "恰好在 0 处 relu 的 tangent 为 0，与 Value 中的导数一致。"),
    within="Dual.relu", replace={"self.data > 0": "self.data >= 0"},
)


def three_outputs(x):
    """Five inputs, of which x[3] is not used; three outputs that share nodes."""
    s = x[0] * x[1]
    t = (s + 2 * x[2]).tanh()
    return [t * s, t + x[4] ** 2 - s, s / (x[4] ** 2 + 1)]


def counted(f):
    """``f`` with a list that grows at every call."""
    calls = []

    def counting(x):
        calls.append(len(x))
        return f(x)

    return counting, calls


@check()
def check_jvp(jvp, rng):
    """J v in one forward pass."""
    x, v = numbers(rng, 5), numbers(rng, 5)
    yield (say("f(x) = [3 x0 - 4 x1], a single output", "f(x) = [3 x0 - 4 x1]，只有一个输出"),
           lambda: jvp(lambda z: [3 * z[0] - 4 * z[1]], x[:2], v[:2]))
    yield (say("f(x) = [x1, x0], which exchanges its inputs", "f(x) = [x1, x0]，交换两个输入"),
           lambda: jvp(lambda z: [z[1], z[0]], x[:2], v[:2]))
    yield (say("three outputs of five inputs", "五个输入、三个输出"),
           lambda: jvp(three_outputs, x, v))
    for j in (0, 4):
        yield (say(f"the same with v = unit vector {j}: column {j} of J",
                   f"同上，v 为第 {j} 个单位向量：J 的第 {j} 列"),
               lambda: jvp(three_outputs, x, [float(i == j) for i in range(5)]))

    def calls():
        f, made = counted(three_outputs)
        jvp(f, x, v)
        return len(made)

    yield say("how often f is called", "f 被调用的次数"), calls


check_jvp.mistake(
    say("These are the values f(x). The derivative travels in the other field.",
        "这些是函数值 f(x)。导数在另一个字段里。"),
    within="jvp", replace={"y.tangent for y": "y.data for y"},
)
check_jvp.mistake(
    say("v has no influence: the result is J times a vector of ones.",
        "v 没有起作用：结果是 J 乘以全 1 向量。"),
    within="jvp", replace={"Dual(xj, vj) for": "Dual(xj, 1.0) for"},
)
check_jvp.mistake(
    say("x and v are exchanged: at which point is J taken, and in which direction does it go?",
        "x 与 v 弄反了：J 是在哪一点求的，又是沿哪个方向？"),
    within="jvp", replace={"Dual(xj, vj) for": "Dual(vj, xj) for"},
)


check_jvp.mistake(
    say("The result is right, but f ran once for every input. Directional derivatives add up within "
        "one pass, if all inputs carry their part of v.",
        "结果正确，但 f 对每个输入都运行了一遍。只要每个输入都带上 v 中自己的那一份，一次前向就能得到方向导数。"),
    within="jvp",
    replace={"return [y.tangent for y in f([Dual(xj, vj) for xj, vj in zip(x, v, strict=True)])]":
             "columns = [[y.tangent for y in f([Dual(xi, float(i == j)) for i, xi in enumerate(x)])]"
             " for j in range(len(x))]\n"
             "    return [sum(c * vj for c, vj in zip(row, v)) for row in zip(*columns)]"},
)


@check()
def check_vjp(vjp, rng):
    """g^T J in one reverse pass."""
    x, g = numbers(rng, 5), numbers(rng, 3)
    yield (say("f(x) = [3 x0 - 4 x1], a single output, g = [1]",
               "f(x) = [3 x0 - 4 x1]，只有一个输出，g = [1]"),
           lambda: vjp(lambda z: [3 * z[0] - 4 * z[1]], x[:2], [1.0]))
    yield (say("the same with another g", "同上，换一个 g"),
           lambda: vjp(lambda z: [3 * z[0] - 4 * z[1]], x[:2], g[:1]))
    yield (say("f(x) = [x1, x0], the inputs themselves", "f(x) = [x1, x0]，输出就是输入本身"),
           lambda: vjp(lambda z: [z[1], z[0]], x[:2], g[:2]))
    yield (say("three outputs of five inputs, one of them not used",
               "五个输入、三个输出，其中一个输入没有用到"),
           lambda: vjp(three_outputs, x, g))
    for i in (0, 2):
        yield (say(f"the same with g = unit vector {i}: row {i} of J",
                   f"同上，g 为第 {i} 个单位向量：J 的第 {i} 行"),
               lambda: vjp(three_outputs, x, [float(k == i) for k in range(3)]))

    def same_twice(z):
        y = z[0] * z[1]
        return [y, y]

    yield (say("f returns the same node twice", "f 两次返回同一个节点"),
           lambda: vjp(same_twice, x[:2], g[:2]))

    def calls():
        f, made = counted(three_outputs)
        vjp(f, x, g)
        return len(made)

    yield say("how often f is called", "f 被调用的次数"), calls


check_vjp.mistake(
    say("g has no influence: every output counts with weight 1.",
        "g 没有起作用：每个输出的权重都是 1。"),
    within="vjp", replace={"gi * y": "y"},
)
check_vjp.mistake(
    say("backward() runs once for each output, and what the first pass left in the shared inner "
        "nodes is passed on again by the second.",
        "对每个输出各运行了一次 backward()，第一次留在共享内部节点里的梯度被第二次又传递了一遍。"),
    within="vjp",
    replace={"        total = total + gi * y\n    total.backward()\n":
             "        (gi * y).backward()\n"},
)
check_vjp.mistake(
    say("backward() is called on each output itself, which sets its grad to 1 whatever g says.",
        "直接对每个输出调用了 backward()，它会把该输出的 grad 设为 1，与 g 无关。"),
    within="vjp",
    replace={"        total = total + gi * y\n    total.backward()\n": "        y.backward()\n"},
)
check_vjp.mistake(
    say("The last output overwrites the others: what is to be differentiated is the sum of all "
        "g_i y_i.",
        "最后一个输出覆盖了其他输出：要求导的是所有 g_i y_i 之和。"),
    within="vjp", replace={"total = total + gi * y": "total = gi * y"},
)
check_vjp.mistake(
    say("These are the inputs' data, not their gradients.", "这些是输入的 data，而不是梯度。"),
    within="vjp", replace={"[xj.grad for xj": "[xj.data for xj"},
)
check_vjp.mistake(
    say("All gradients are 0: f was computed, but nothing flowed back.",
        "所有梯度都是 0：f 已经算了，但没有任何梯度往回流。"),
    within="vjp", replace={"    total.backward()\n": ""},
)
check_vjp.mistake(
    say("The result is right, but f ran once for each output.",
        "结果正确，但 f 对每个输出都运行了一遍。"),
    within="vjp",
    replace={"    for gi, y in zip(g, f(inputs), strict=True):\n":
             "    for gi, y in [(gi, f(inputs)[i]) for i, gi in enumerate(g)]:\n"},
)


# -------------------------------------------------------------------------------------- quiz


@check()
def check_quiz(quiz_answers, rng):
    """Eight questions on the video."""
    for i in range(1, 9):
        yield (say(f"question {i}", f"第 {i} 题"),
               lambda: str(quiz_answers()[f"q{i}"]).strip().lower(), choice())


for number, wrong, hint in (
    (1, "b", say("Question 1: the sign of x matters. Put x = -3 into the derivative of each term.",
                 "第 1 题：x 的符号有影响。把 x = -3 代入每一项的导数。")),
    (1, "a", say("Question 1: the size is right. Does f rise or fall when x grows at x = -3?",
                 "第 1 题：大小是对的。在 x = -3 处，x 增大时 f 是上升还是下降？")),
    (2, "a", say("Question 2: try 3.0 + 1e-17 == 3.0 in Python, and think of the numerator.",
                 "第 2 题：在 Python 里试试 3.0 + 1e-17 == 3.0，再想想分子。")),
    (3, "b", say("Question 3: 2 is the true derivative; which two assignments did the first version "
                 "of the code make?",
                 "第 3 题：2 是真正的导数；但最初版本的代码做了哪两次赋值？")),
    (4, "c", say("Question 4: hold one factor fixed, wiggle the other one, and see which number "
                 "scales the change.",
                 "第 4 题：固定一个因子，让另一个动一动，看变化量被哪个数缩放。")),
    (5, "a", say("Question 5: the gradients of x1, w1 and b are not 0, so tanh lets something through. "
                 "What is special about w2's own edge?",
                 "第 5 题：x1、w1 和 b 的梯度都不是 0，可见 tanh 放行了梯度。w2 自己那条边有什么特别之处？")),
    (6, "a", say("Question 6: compare the two drawn graphs of the neuron in the video, the leaves in "
                 "particular.",
                 "第 6 题：比较视频中神经元的两张图，尤其是叶节点。")),
    (7, "b", say("Question 7: think of which object Python asks first in 2 * a, and what it does when "
                 "that one gives up.",
                 "第 7 题：想想 2 * a 中 Python 先询问哪个对象，它放弃之后又会怎么做。")),
    (8, "b", say("Question 8: backward() adds with +=. What is in grad when the second step begins?",
                 "第 8 题：backward() 用 += 累加。第二步开始时 grad 里是什么？")),
):
    check_quiz.mistake(hint, within="quiz_answers")(
        lambda number=number, wrong=wrong: {f"q{number}": wrong}
    )


ORDER = "zip with strict=True raises in either order, and the pair's two parts commute"
SQUARE = "(p - t)^2 = (t - p)^2, in value and in derivative"
FREE = "width and training points are the learner's choice, and these fit as well"
EQUIVALENT = {
    "Neuron.__call__: zip(self.w, x, strict=True) -> zip(x, self.w, strict=True)": ORDER,
    "vjp: zip(g, f(inputs), strict=True) -> zip(f(inputs), g, strict=True)": ORDER,
    "mse_loss: p - t -> t - p": SQUARE,
    "mse_loss: zip(predictions, targets, strict=True) -> zip(targets, predictions, strict=True)": SQUARE,
    "train_step: mse_loss([model([x]) for x in xs], ys) -> mse_loss(ys, [model([x]) for x in xs])": SQUARE,
    "fit_quadratic: range(-4, 5) -> range(-4, 5 - 1)": FREE,
    "fit_quadratic: range(-4, 5) -> range(-5, 5)": FREE,
    "fit_quadratic: range(-4, 5) -> range(-4, 6)": FREE,
    "fit_quadratic: MLP(1, [8, 1], random.Random(seed)) -> MLP(1, [9, 1], random.Random(seed))": FREE,
    "vjp: Value(0.0) -> Value(1.0)": "a constant added to the sum leaves its gradient as it is",
}

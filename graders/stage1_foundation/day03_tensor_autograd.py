"""Checks of Day 3: what to observe of the array engine, operation by operation and as a whole."""

from itertools import pairwise

import numpy as np

from ladder.checks import check, raises, say


def vjp(out, g, *leaves):
    """The leaves' gradients after ``g`` was sent back from ``out``, without ``Tensor.backward``."""
    order, seen, stack = [], set(), [(out, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack += [(operand, False) for operand in node._prev]
    out.grad = np.array(g)
    for node in reversed(order):
        if len(node._prev):
            node._backward(node.grad)
    return [leaf.grad for leaf in leaves]


def one_step(out, g, *leaves):
    """The leaves' gradients after one call of ``out._backward``."""
    out._backward(np.array(g))
    return [leaf.grad for leaf in leaves]


def holding(tensor, grad):
    """``tensor``, with a gradient that an earlier use has left in it."""
    tensor.grad = np.array(grad)
    return tensor


def positive(rng, *shape):
    """Entries between 0.5 and 2."""
    return rng.uniform(0.5, 2.0, size=shape)


def solid(rng, *shape):
    """Entries between 0.5 and 2 in size, with random signs: none is near 0."""
    return positive(rng, *shape) * rng.choice([-1.0, 1.0], size=shape)


# ------------------------------------------------------------------------------ unbroadcast


@check()
def check_unbroadcast(unbroadcast, rng):
    """Broadcasting run backwards: sum over the copies."""
    for full, shape in (
        ((3, 4), (4,)), ((3, 4), (3, 1)), ((3, 4), (1, 4)), ((3, 3), (3, 1)), ((3, 3), (1, 3)),
        ((2, 3, 4), (3, 1)), ((2, 3, 4), (2, 1, 1)), ((2, 3, 4), ()), ((5, 1, 4), (1, 4)),
        ((3, 4), (3, 4)),
    ):
        g = rng.normal(size=full)
        yield (say(f"gradient of shape {full} for an operand of shape {shape}",
                   f"形状 {full} 的梯度，操作数的形状为 {shape}"),
               lambda: unbroadcast(g, shape))
    g = rng.normal(size=(2, 3, 4))
    yield (say("the gradient that was passed in, afterwards", "调用之后，传入的梯度"),
           lambda: [unbroadcast(g, (3, 1)), g])
    yield (say("shape (3,) does not broadcast to (4,)", "形状 (3,) 不能广播到 (4,)"),
           lambda: unbroadcast(rng.normal(size=4), (3,)), raises(ValueError))
    yield (say("shape (3, 4) does not broadcast to (4,)", "形状 (3, 4) 不能广播到 (4,)"),
           lambda: unbroadcast(rng.normal(size=4), (3, 4)), raises(ValueError))


@check_unbroadcast.hidden
def _(unbroadcast, rng):
    for _ in range(6):
        full = tuple(int(n) for n in rng.integers(1, 5, size=4))
        shape = tuple(1 if rng.random() < 0.5 else n for n in full)[rng.integers(0, 4):]
        g = rng.normal(size=full)
        yield say(f"{full} to {shape}", f"{full} 到 {shape}"), lambda: unbroadcast(g, shape)


check_unbroadcast.mistake(
    say("An axis that was stretched from size 1 has vanished. The operand still has it: which "
        "argument of `sum` keeps it?",
        "从长度 1 拉伸而来的那个轴不见了，而操作数仍有这个轴：`sum` 的哪个参数能保留它？"),
    within="unbroadcast", replace={", keepdims=True": ""},
)
check_unbroadcast.mistake(
    say("Only the axes that broadcasting put in front are summed. Which other axes were copied, "
        "though they were there before?",
        "只对广播时在前面补出来的轴求了和。还有哪些轴本来就存在，却也被复制过？"),
    within="unbroadcast",
    replace={"return grad.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)":
             "return grad"},
)
check_unbroadcast.mistake(
    say("The axes that broadcasting put in front are still there, with size 1. The operand does not "
        "have them.",
        "广播时在前面补出来的轴还在，长度为 1，而操作数并没有这些轴。"),
    within="unbroadcast",
    replace={"grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))":
             "return grad.sum(axis=tuple(i for i in range(-grad.ndim, 0) if i < -len(shape) or "
             "shape[i] == 1), keepdims=True)"},
)
check_unbroadcast.mistake(
    say("These are averages over the copies. If every copy moves by 1, by how much does the loss "
        "move in total?",
        "这里取的是各份拷贝的平均。如果每份拷贝都变化 1，损失总共变化多少？"),
    within="unbroadcast",
    replace={"grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))":
             "grad = grad.mean(axis=tuple(range(grad.ndim - len(shape))))",
             "return grad.sum(": "return grad.mean("},
)
check_unbroadcast.mistake(
    say("Only one of the copies is read; the others matter to the loss too.",
        "只读取了其中一份拷贝；其余各份同样影响损失。"),
    within="unbroadcast",
    replace={"grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))":
             "grad = grad[(0,) * (grad.ndim - len(shape))]",
             "return grad.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)":
             "return grad[tuple(slice(1) if n == 1 else slice(None) for n in shape)]"},
)
check_unbroadcast.mistake(
    say("A shape that could never have been broadcast to the gradient's shape goes through without "
        "an error, and hides a bug elsewhere.",
        "有的形状根本不可能广播到梯度的形状，这里却没有报错，别处的错误就被掩盖了。"),
    within="unbroadcast",
    replace={"if np.broadcast_shapes(grad.shape, shape) != grad.shape:": "if False:"},
)
check_unbroadcast.mistake(
    say("`shape` fits together with the gradient's shape, but that is not enough: only the operand "
        "may have been stretched, not the gradient.",
        "`shape` 与梯度的形状彼此相容，但这还不够：被拉伸的只能是操作数，而不是梯度。"),
    within="unbroadcast",
    replace={"if np.broadcast_shapes(grad.shape, shape) != grad.shape:":
             "if not np.broadcast_shapes(grad.shape, shape):"},
)


# --------------------------------------------------------------------------------- the node


@check(forbids=("torch",))
def check_node(Tensor, rng):
    """Leaves, results, and accumulating a gradient."""
    x = rng.normal(size=(3, 4))
    yield say("data of Tensor([[1, 2], [3, 4]])", "Tensor([[1, 2], [3, 4]]) 的 data"), lambda: (
        Tensor([[1, 2], [3, 4]]).data)
    for name, value in (("int", [1, 2]), ("float32", np.ones(3, "float32")), ("number", 3.0)):
        yield (say(f"dtype and shape of data made from {name}",
                   f"由 {name} 构造时 data 的 dtype 与形状"),
               lambda: [str(Tensor(value).data.dtype), list(Tensor(value).data.shape)])
    yield say("grad of a new leaf", "新建叶节点的 grad"), lambda: Tensor(x).grad
    yield (say("a new leaf: requires_grad, number of operands, no _backward",
               "新建叶节点：requires_grad、操作数个数、没有 _backward"),
           lambda: [Tensor(x).requires_grad, len(Tensor(x)._prev), Tensor(x)._backward is None])
    constant = Tensor(x, requires_grad=False)
    yield (say("Tensor(x, requires_grad=False): requires_grad and grad",
               "Tensor(x, requires_grad=False)：requires_grad 与 grad"),
           lambda: [constant.requires_grad, constant.grad])

    def back(grad):
        pass

    a, b = Tensor(x), Tensor(x, requires_grad=False)
    for label, operands in (
        (say("first", "第一个"), (a, b)), (say("second", "第二个"), (b, a)),
    ):
        out = Tensor(x, _prev=operands, _backward=back)
        yield (say(f"a result of which only the {label.en} operand requires a gradient: "
                   "requires_grad, _prev, _backward, grad",
                   f"只有{label.zh}操作数需要梯度的结果：requires_grad、_prev、_backward、grad"),
               lambda: [out.requires_grad, [p is q for p, q in zip(out._prev, operands, strict=True)],
                        out._backward is back, out.grad])
    free = Tensor(x, _prev=(b, b), _backward=back)
    yield (say("a result of which no operand requires a gradient: requires_grad, grad",
               "没有操作数需要梯度的结果：requires_grad、grad"),
           lambda: [free.requires_grad, free.grad])
    yield (say("the same: number of operands kept, no _backward",
               "同上：保留的操作数个数、没有 _backward"),
           lambda: [len(free._prev), free._backward is None])

    g, h = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))

    def accumulated(shape, *grads):
        tensor = Tensor(np.ones(shape))
        for grad in grads:
            tensor.accumulate(grad)
        return tensor.grad

    yield say("accumulate(g): grad", "accumulate(g) 之后的 grad"), lambda: accumulated((3, 4), g)
    yield (say("accumulate(g), accumulate(h): grad", "先 accumulate(g) 再 accumulate(h)：grad"),
           lambda: accumulated((3, 4), g, h))
    wide = rng.normal(size=(2, 3, 4))
    yield (say("a Tensor of shape (3, 1) that is sent a gradient of shape (2, 3, 4)",
               "形状 (3, 1) 的 Tensor 收到形状 (2, 3, 4) 的梯度"),
           lambda: accumulated((3, 1), wide))
    yield (say("a Tensor of shape () that is sent gradients of shape (3, 4)",
               "形状 () 的 Tensor 收到形状 (3, 4) 的梯度"),
           lambda: accumulated((), g, h))
    yield say("g and h are still what they were", "g 与 h 保持原样"), lambda: [
        accumulated((3, 4), g, h, g), g, h]

    def on_constant():
        tensor = Tensor(x, requires_grad=False)
        tensor.accumulate(g)
        return tensor.grad

    yield (say("accumulate on a Tensor that does not require a gradient: grad",
               "对不需要梯度的 Tensor 调用 accumulate：grad"), on_constant)


check_node.mistake(
    say("data keeps the dtype of what it was made from. Integers cannot hold a gradient step, and "
        "float32 cannot be compared in 1e-7.",
        "data 保留了原来的 dtype。整数装不下一步梯度更新，float32 也达不到 1e-7 的比较精度。"),
    within="Tensor.__init__", replace={", dtype=np.float64": ""},
)
check_node.mistake(
    say("A result's requires_grad follows the argument. Whether a result needs a gradient depends "
        "on what it was computed from.",
        "结果的 requires_grad 取自参数。一个结果是否需要梯度，取决于它由什么计算而来。"),
    within="Tensor.__init__", replace={"if _prev:": "if False:"},
)
check_node.mistake(
    say("One operand that requires a gradient should be enough.",
        "只要有一个操作数需要梯度就够了。"),
    within="Tensor.__init__", replace={"any(": "all("},
)
check_node.mistake(
    say("Only the first operand is asked whether it requires a gradient.",
        "只询问了第一个操作数是否需要梯度。"),
    within="Tensor.__init__", replace={"in _prev)": "in _prev[:1])"},
)
check_node.mistake(
    say("A result that needs no gradient still holds its operands, so every array of the forward "
        "pass stays in memory.",
        "不需要梯度的结果仍然持有它的操作数，于是前向计算中的每个数组都留在内存里。"),
    within="Tensor.__init__",
    replace={"tuple(_prev) if requires_grad else ()": "tuple(_prev)",
             "_backward if requires_grad else None": "_backward"},
)
check_node.mistake(
    say("A Tensor that does not require a gradient has a grad array all the same.",
        "不需要梯度的 Tensor 也分配了 grad 数组。"),
    within="Tensor.__init__", replace={" if requires_grad else None\n        self._prev": "\n        self._prev"},
)
check_node.mistake(
    say("grad is a single 0.0 to begin with. Which shape must it have, so that shapes fit even "
        "where nothing arrives?",
        "grad 一开始只是单个 0.0。它应有怎样的形状，才能在没有梯度到达时形状也相符？"),
    within="Tensor.__init__", replace={"np.zeros(self.data.shape)": "np.zeros(())"},
)
check_node.mistake(
    say("The second gradient replaced the first. A Tensor that is used twice gets a gradient from "
        "each use.",
        "第二份梯度覆盖了第一份。被使用两次的 Tensor 会从每次使用各得到一份梯度。"),
    within="Tensor.accumulate", replace={"self.grad += ": "self.grad = "},
)
check_node.mistake(
    say("A gradient of a larger shape arrives where broadcasting copied this Tensor. Which function "
        "of today brings it back to self.shape?",
        "如果这个 Tensor 曾被广播复制，到达的梯度形状会更大。今天写的哪个函数能把它变回 self.shape？"),
    within="Tensor.accumulate", replace={"unbroadcast(grad, self.shape)": "grad"},
)
check_node.mistake(
    say("A Tensor that does not require a gradient has no array to add to.",
        "不需要梯度的 Tensor 没有可供累加的数组。"),
    within="Tensor.accumulate", replace={"if self.requires_grad:": "if True:"},
)


# -------------------------------------------------------------------------------- + and *


@check(forbids=("torch",))
def check_add_mul(Tensor, rng):
    """``a + b`` and ``a * b``, one step backward."""
    for sign, apply in (("+", lambda a, b: a + b), ("*", lambda a, b: a * b)):
        x, y, z = solid(rng, 3, 4), solid(rng, 3, 4), solid(rng, 2, 1, 4)
        g, wide = solid(rng, 3, 4), solid(rng, 2, 3, 4)
        column = solid(rng, 3, 1)

        def both(x, y, g):
            a, b = Tensor(x), Tensor(y)
            return one_step(apply(a, b), g, a, b)

        yield (say(f"data of a {sign} b for shapes (3, 1) and (2, 1, 4)",
                   f"形状为 (3, 1) 与 (2, 1, 4) 时 a {sign} b 的 data"),
               lambda: apply(Tensor(column), Tensor(z)).data)

        def operands():
            a, b = Tensor(x), Tensor(y)
            p = apply(a, b)._prev
            return [len(p), p[0] is a, p[1] is b]

        yield say(f"_prev of a {sign} b", f"a {sign} b 的 _prev"), operands
        yield (say(f"a {sign} b with equal shapes: both gradients after _backward(g)",
                   f"形状相同的 a {sign} b：_backward(g) 之后的两个梯度"), lambda: both(x, y, g))
        yield (say(f"a {sign} b for shapes (3, 1) and (2, 1, 4): both gradients",
                   f"形状为 (3, 1) 与 (2, 1, 4) 的 a {sign} b：两个梯度"),
               lambda: both(column, z, wide))

        def added():
            a, b = holding(Tensor(x), g), holding(Tensor(y), y)
            return one_step(apply(a, b), g, a, b)

        yield (say(f"a {sign} b where both grads already hold something",
                   f"a {sign} b，但两个 grad 中已有数值"), added)

        def same():
            a = Tensor(x)
            return one_step(apply(a, a), g, a)

        yield say(f"a {sign} a: gradient", f"a {sign} a：梯度"), same
        for name, compute in (
            (f"a {sign} 2.5", lambda a: apply(a, 2.5)), (f"2.5 {sign} a", lambda a: apply(2.5, a)),
            (f"a {sign} array", lambda a: apply(a, y)), (f"array {sign} a", lambda a: apply(y, a)),
        ):
            def mixed(compute=compute):
                a = Tensor(x)
                out = compute(a)
                return [out.data, *one_step(out, g, a)]

            yield say(f"{name}: data and gradient", f"{name}：data 与梯度"), mixed

        def constant():
            a, b = Tensor(x), Tensor(y, requires_grad=False)
            return one_step(apply(a, b), g, a, b)

        yield (say(f"a {sign} b where b does not require a gradient: both grads",
                   f"a {sign} b，其中 b 不需要梯度：两个 grad"), constant)

        def untouched():
            a, b = Tensor(x.copy()), Tensor(y.copy())
            upstream = g.copy()
            apply(a, b)._backward(upstream)
            return [a.data, b.data, upstream]

        yield (say(f"a {sign} b changes neither operand nor g", f"a {sign} b 不改变操作数和 g"),
               untouched)


check_add_mul.mistake(
    say("In `*` each operand is multiplied with its own data. What is the derivative of a b with "
        "respect to a?",
        "`*` 中每个操作数乘上了它自己的 data。a b 对 a 的导数是什么？"),
    within="Tensor.__mul__",
    replace={"(grad * other.data)\n            other.accumulate(grad * self.data)":
             "(grad * self.data)\n            other.accumulate(grad * other.data)"},
)
check_add_mul.mistake(
    say("`*` passes on the local derivative alone. Where does g enter the vector-Jacobian product?",
        "`*` 只传回了局部导数。在向量-Jacobian 积中，g 出现在哪里？"),
    within="Tensor.__mul__",
    replace={"self.accumulate(grad * other.data)":
             "self.accumulate(np.broadcast_to(other.data, grad.shape))",
             "other.accumulate(grad * self.data)":
             "other.accumulate(np.broadcast_to(self.data, grad.shape))"},
)
check_add_mul.mistake(
    say("In `+` only the left operand receives a gradient.", "`+` 中只有左操作数收到了梯度。"),
    within="Tensor.__add__", replace={"            other.accumulate(grad)\n": ""},
)
check_add_mul.mistake(
    say("In `*` only the left operand receives a gradient.", "`*` 中只有左操作数收到了梯度。"),
    within="Tensor.__mul__", replace={"            other.accumulate(grad * self.data)\n": ""},
)
check_add_mul.mistake(
    say("A number or an array as second operand has no `data` of the kind used here. `Tensor.wrap` "
        "is given for that.",
        "第二个操作数若是普通数字或数组，就没有这里要用的 `data`。为此已给出 `Tensor.wrap`。"),
    within="Tensor.__add__", replace={"other = Tensor.wrap(other)": "pass"},
)


@check_add_mul.mistake(
    say("The closure of `*` reads the result's `grad` instead of its argument, as on Day 2. Today "
        "the gradient is handed to `_backward`.",
        "`*` 的闭包像第 2 天那样读取了结果的 `grad`，而不是用它的参数。今天的梯度是作为参数交给 "
        "`_backward` 的。"),
    within="Tensor.__mul__",
)
def mul_as_on_day_2(self, other):
    Tensor = type(self)
    other = Tensor.wrap(other)
    out = Tensor(
        self.data * other.data, _prev=(self, other),
        _backward=lambda _: (self.accumulate(out.grad * other.data),
                             other.accumulate(out.grad * self.data)),
    )
    return out


check_add_mul.mistake(
    say("`*` names only one operand in `_prev`, so a traversal of the graph would never come to the "
        "other.",
        "`*` 在 `_prev` 中只列出了一个操作数，遍历计算图时就永远到不了另一个。"),
    within="Tensor.__mul__", replace={"_prev=(self, other)": "_prev=(self,)"},
)
check_add_mul.mistake(
    say("`*` writes over a gradient that was there already. `accumulate` adds.",
        "`*` 覆盖了原有的梯度。应当用 `accumulate` 累加。"),
    within="Tensor.__mul__",
    replace={"self.accumulate(grad * other.data)":
             "self.grad = unbroadcast(grad * other.data, self.shape) if self.requires_grad else None",
             "other.accumulate(grad * self.data)":
             "other.grad = unbroadcast(grad * self.data, other.shape) if other.requires_grad else "
             "None"},
)


# ------------------------------------------------------------------------- the whole graph


@check(forbids=("torch",))
def check_backward(Tensor, rng):
    """The traversal of the graph, made of + and *."""
    def numbers(n):
        return [float(value) for value in solid(rng, n)]

    p, q, r = numbers(3)

    def simple(shape):
        a, b, c = (Tensor(np.full(shape, value)) for value in (p, q, r))
        (a * b + c).backward()
        return [a.grad, b.grad, c.grad]

    yield (say("a * b + c for numbers: gradients of a, b, c", "数值的 a * b + c：a、b、c 的梯度"),
           lambda: simple(()))
    yield (say("the same for shape (1, 1), which holds one number too",
               "同上，形状为 (1, 1)，也只有一个数"), lambda: simple((1, 1)))

    def graph():
        x, w, v = Tensor(p), Tensor(q), Tensor(r)
        h = x * w
        u = h * v
        t = u * v
        loss = t + h
        return (x, w, v), (h, u, t, loss), loss

    def paths():
        leaves, _, loss = graph()
        loss.backward()
        return [node.grad for node in leaves]

    yield (say("h = x w, u = h v, t = u v, L = t + h: gradients of x, w, v",
               "h = x w，u = h v，t = u v，L = t + h：x、w、v 的梯度"), paths)

    def results():
        _, inner, loss = graph()
        loss.backward()
        return [node.grad for node in inner]

    yield say("the same: gradients of h, u, t, L", "同上：h、u、t、L 的梯度"), results

    def again():
        leaves, _, loss = graph()
        loss.backward()
        loss.backward()
        return [node.grad for node in leaves]

    yield (say("the same after a second L.backward(): gradients of x, w, v",
               "同上，再调用一次 L.backward() 之后：x、w、v 的梯度"), again)

    def results_again():
        _, inner, loss = graph()
        loss.backward()
        loss.backward()
        return [node.grad for node in inner]

    yield (say("the same after a second L.backward(): gradients of h, u, t, L",
               "同上，再调用一次 L.backward() 之后：h、u、t、L 的梯度"), results_again)

    def two_losses():
        x, w = Tensor(p), Tensor(q)
        h = x * w
        first, second = h * h, h * r
        first.backward()
        second.backward()
        return [x.grad, w.grad, h.grad]

    yield (say("two losses of one h = x w, first h h and then h c: gradients of x, w, h",
               "同一个 h = x w 的两个损失，先 h h 后 h c：x、w、h 的梯度"), two_losses)
    y, z, g = solid(rng, 2, 3), solid(rng, 3), solid(rng, 2, 3)

    def given():
        a, b = Tensor(y), Tensor(z)
        out = a * b + a
        out.backward(g)
        return [a.grad, b.grad, out.grad]

    yield (say("backward(g) on a b + a of shape (2, 3): gradients of a, b and the result",
               "对形状为 (2, 3) 的 a b + a 调用 backward(g)：a、b 与结果的梯度"), given)
    yield say("g is still what it was", "g 保持原样"), lambda: [given()[0], g]

    def leaf():
        a = Tensor(p)
        a.backward()
        a.backward()
        return a.grad

    yield (say("backward() twice on a leaf that holds one number: its gradient",
               "对只含一个数的叶节点调用两次 backward()：它的梯度"), leaf)

    def constants():
        a, c = Tensor(p), Tensor(q, requires_grad=False)
        (a * c + c).backward()
        return [a.grad, c.grad]

    yield (say("a c + c where c does not require a gradient: both grads",
               "a c + c，其中 c 不需要梯度：两个 grad"), constants)

    def chain():
        x, w = Tensor(p), Tensor(q)
        out = x
        for _ in range(5000):
            out = out + w
        out.backward()
        return [x.grad, w.grad]

    yield (say("a chain of 5000 additions x + w + ... + w: gradients of x and w",
               "5000 次加法连成的链 x + w + ... + w：x 与 w 的梯度"), chain)
    yield (say("backward() without g on shape (2, 3)", "在形状 (2, 3) 上调用 backward() 而不给 g"),
           lambda: (Tensor(y) * z).backward(), raises(ValueError))
    yield (say("backward() where nothing requires a gradient", "没有任何 Tensor 需要梯度时调用 backward()"),
           lambda: (Tensor(p, requires_grad=False) * q).backward(), raises(ValueError))


@check_backward.mistake(
    say("The traversal calls itself once a level, and Python stops at about 1000 levels. Keep what "
        "is still to be done in a list of your own.",
        "遍历每深入一层就调用一次自身，而 Python 在约 1000 层处就会停下。把尚待处理的节点放进自己的"
        "列表里。"),
    within="Tensor.backward",
)
def backward_recursive(self, grad=None):
    if not self.requires_grad or (grad is None and self.size != 1):
        raise ValueError
    order, seen = [], set()

    def visit(node):
        if node not in seen:
            seen.add(node)
            for operand in node._prev:
                visit(operand)
            order.append(node)

    visit(self)
    for node in order:
        if node._prev:
            node.zero_grad()
    self.accumulate(np.ones(self.shape) if grad is None else grad)
    for node in reversed(order):
        if node._prev:
            node._backward(node.grad)


@check_backward.mistake(
    say("A node was asked to pass its gradient on before all that use it had paid in: breadth first "
        "is not an order in which every node comes after all its users.",
        "有的节点在所有使用者都把梯度交给它之前，就被要求往回传了：广度优先并不保证每个节点都排在它的"
        "所有使用者之后。"),
    within="Tensor.backward",
)
def backward_breadth_first(self, grad=None):
    if not self.requires_grad or (grad is None and self.size != 1):
        raise ValueError
    order, seen = [self], {self}
    for node in order:
        for operand in node._prev:
            if operand not in seen:
                seen.add(operand)
                order.append(operand)
    for node in order:
        if node._prev:
            node.zero_grad()
    self.accumulate(np.ones(self.shape) if grad is None else grad)
    for node in order:
        if node._prev:
            node._backward(node.grad)


@check_backward.mistake(
    say("A result that is used twice passed its gradient on twice. Each node's _backward is called "
        "once, when its grad is complete.",
        "被使用两次的结果把梯度往回传了两次。每个节点的 _backward 只在其 grad 完整时调用一次。"),
    within="Tensor.backward",
)
def backward_without_seen(self, grad=None):
    if not self.requires_grad or (grad is None and self.size != 1):
        raise ValueError
    order = [self]
    for node in order:
        order += [operand for operand in node._prev if operand._prev]
    for node in order:
        if node._prev:
            node.zero_grad()
    self.accumulate(np.ones(self.shape) if grad is None else grad)
    for node in order:
        if node._prev:
            node._backward(node.grad)


check_backward.mistake(
    say("At a second call the results still hold the gradients of the first, and pass them on "
        "again. Whose gradients should survive from call to call?",
        "第二次调用时，各个结果仍留有第一次的梯度，又把它们传了一遍。哪些节点的梯度才应当跨调用保留？"),
    within="Tensor.backward",
    replace={"            if node._prev:\n                node.zero_grad()\n": "            pass\n"},
)
check_backward.mistake(
    say("The leaves' gradients are set back to zero at each call. Training with several losses, or "
        "several small batches, relies on them being kept.",
        "每次调用都把叶节点的梯度清零了。多个损失或多个小批量的训练都依赖叶节点的梯度得以保留。"),
    within="Tensor.backward",
    replace={"            if node._prev:\n                node.zero_grad()\n":
             "            node.zero_grad()\n"},
)
check_backward.mistake(
    say("The nodes are taken operands first. The gradient starts at the loss: which way round must "
        "the order run?",
        "处理节点时先处理了操作数。梯度从损失出发：顺序应当朝哪个方向？"),
    within="Tensor.backward", replace={"for node in reversed(order):": "for node in order:"},
)
check_backward.mistake(
    say("The gradient that was handed to backward() is not used.", "传给 backward() 的梯度没有被用到。"),
    within="Tensor.backward",
    replace={"self.accumulate(grad)": "self.accumulate(np.ones(self.shape))"},
)
check_backward.mistake(
    say("Without g there must be one number to differentiate. Ones for every entry would be the "
        "gradient of the sum, which nobody asked for.",
        "不给 g 时，被求导的必须是单个数。给每个元素都用 1，求的是总和的梯度，这并不是所要求的。"),
    within="Tensor.backward", replace={"if self.size != 1:": "if False:"},
)
check_backward.mistake(
    say("A single number need not have shape (): what about shape (1, 1)?",
        "单个数的形状不一定是 ()：形状 (1, 1) 呢？"),
    within="Tensor.backward", replace={"self.size != 1": "self.ndim != 0"},
)
check_backward.mistake(
    say("Nothing in this graph asks for a gradient, and backward() says nothing about it.",
        "这个计算图中没有任何节点需要梯度，backward() 却没有报错。"),
    within="Tensor.backward",
    replace={'raise ValueError("backward() on a Tensor that does not require a gradient")': "return"},
)


# --------------------------------------------------------------------- - and / and powers


@check(forbids=("torch",))
def check_arithmetic(Tensor, rng):
    """Negation, subtraction, division and powers."""
    x, y, g = solid(rng, 3, 4), solid(rng, 3, 4), solid(rng, 3, 4)
    z, wide = solid(rng, 2, 1, 4), solid(rng, 2, 3, 4)

    def on(compute, *values, g=g):
        leaves = [Tensor(value) for value in values]
        out = compute(*leaves)
        return [out.data, *vjp(out, g, *leaves)]

    for name, compute in (
        ("-a", lambda a: -a), ("a - 2.5", lambda a: a - 2.5), ("2.5 - a", lambda a: 2.5 - a),
        ("a - array", lambda a: a - y), ("array - a", lambda a: y - a),
    ):
        yield say(f"{name}: data and gradient", f"{name}：data 与梯度"), lambda: on(compute, x)
    yield (say("a - b: data and both gradients", "a - b：data 与两个梯度"),
           lambda: on(lambda a, b: a - b, x, y))
    yield (say("a - b for shapes (3, 4) and (2, 1, 4): data and both gradients",
               "形状为 (3, 4) 与 (2, 1, 4) 的 a - b：data 与两个梯度"),
           lambda: on(lambda a, b: a - b, x, z, g=wide))
    for k in (2, 3, 1, -1, -2):
        yield (say(f"a ** {k}: data and gradient", f"a ** {k}：data 与梯度"),
               lambda: on(lambda a: a**k, x))
    yield (say("a ** 0.5 of positive numbers: data and gradient", "正数的 a ** 0.5：data 与梯度"),
           lambda: on(lambda a: a**0.5, np.abs(x)))
    yield (say("a ** 0 where a holds a zero: data and gradient",
               "a 中含有 0 时的 a ** 0：data 与梯度"),
           lambda: on(lambda a: a**0, np.array([0.0, 1.5]), g=np.array([2.0, 3.0])))
    for name, compute in (
        ("a / 2.5", lambda a: a / 2.5), ("2.5 / a", lambda a: 2.5 / a),
        ("a / array", lambda a: a / y), ("array / a", lambda a: y / a),
    ):
        yield say(f"{name}: data and gradient", f"{name}：data 与梯度"), lambda: on(compute, x)
    yield (say("a / b: data and both gradients", "a / b：data 与两个梯度"),
           lambda: on(lambda a, b: a / b, x, y))
    yield (say("a / b for shapes (3, 4) and (2, 1, 4): data and both gradients",
               "形状为 (3, 4) 与 (2, 1, 4) 的 a / b：data 与两个梯度"),
           lambda: on(lambda a, b: a / b, x, z, g=wide))


check_arithmetic.mistake(
    say("-a has the right data but no way back to a. Build it from an operation that already knows "
        "its derivative.",
        "-a 的 data 是对的，但没有通向 a 的路。用一个已经会求导的运算来构造它。"),
    within="Tensor.__neg__", replace={"self * -1.0": "Tensor(-self.data)"},
)
check_arithmetic.mistake(
    say("a - b gives b - a. Which operand changes its sign?", "a - b 算成了 b - a。应当变号的是哪个操作数？"),
    within="Tensor.__sub__", replace={"self + -Tensor.wrap(other)": "-self + other"},
)
check_arithmetic.mistake(
    say("`2.5 - a` calls `__rsub__(a, 2.5)`: self is the operand on the right.",
        "`2.5 - a` 调用的是 `__rsub__(a, 2.5)`：self 是右边的操作数。"),
    within="Tensor.__rsub__", replace={"-self + other": "self - other"},
)
check_arithmetic.mistake(
    say("In a - b the second operand receives no gradient, or one that is lost on the way.",
        "a - b 中，第二个操作数没有收到梯度，或者梯度在途中丢失了。"),
    within="Tensor.__sub__", replace={"-Tensor.wrap(other)": "-Tensor.wrap(other).data"},
)
check_arithmetic.mistake(
    say("The derivative of x^k lacks its factor in front.", "x^k 的导数缺了前面的系数。"),
    within="Tensor.__pow__", replace={"grad * k * ": "grad * "},
)
check_arithmetic.mistake(
    say("The derivative of x^k has an exponent one smaller.", "x^k 的导数，指数要小 1。"),
    within="Tensor.__pow__", replace={"(k - 1)": "k"},
)
check_arithmetic.mistake(
    say("x^0 is constant, at x = 0 too; 0 times infinity is not a number. Treat k = 0 on its own.",
        "x^0 是常数，在 x = 0 处也是；0 乘无穷大不是一个数。请单独处理 k = 0。"),
    within="Tensor.__pow__", replace={"if k != 0:": "if True:"},
)
check_arithmetic.mistake(
    say("In a / b the denominator receives no gradient. It matters to the quotient as well.",
        "a / b 中分母没有收到梯度，而分母同样影响商。"),
    within="Tensor.__truediv__",
    replace={"Tensor.wrap(other) ** -1": "Tensor.wrap(other).data ** -1"},
)
check_arithmetic.mistake(
    say("`2.5 / a` calls `__rtruediv__(a, 2.5)`: self is the denominator.",
        "`2.5 / a` 调用的是 `__rtruediv__(a, 2.5)`：self 是分母。"),
    within="Tensor.__rtruediv__", replace={"self**-1 * other": "self / other"},
)


# --------------------------------------------------------------------- exp, log and relu


@check(forbids=("torch",))
def check_elementwise(Tensor, rng):
    """exp, log and relu."""
    x, g = solid(rng, 3, 4), solid(rng, 3, 4)
    values = {"exp": x, "log": np.abs(x), "relu": x}
    for name, value in values.items():
        yield say(f"data of {name}", f"{name} 的 data"), lambda: getattr(Tensor(value), name)().data

        def step(start=None):
            a = Tensor(value) if start is None else holding(Tensor(value), start)
            return one_step(getattr(a, name)(), g, a)[0]

        yield (say(f"{name}: gradient after _backward(g)", f"{name}：_backward(g) 之后的梯度"), step)
        yield (say(f"{name}: the same where the grad already holds something",
                   f"{name}：同上，但 grad 中已有数值"), lambda: step(x))

        def kept():
            a, upstream = Tensor(value.copy()), g.copy()
            getattr(a, name)()._backward(upstream)
            return [a.data, upstream]

        yield (say(f"{name} changes neither its operand nor g", f"{name} 不改变操作数和 g"), kept)

    def at_zero():
        a = Tensor([-1.0, 0.0, 2.0])
        out = a.relu()
        return [out.data, *one_step(out, [3.0, 5.0, 7.0], a)]

    yield say("relu of [-1, 0, 2]: data and gradient", "relu([-1, 0, 2])：data 与梯度"), at_zero

    def chain():
        a = Tensor(np.abs(x))
        return vjp((a.log() + a.exp()).relu(), g, a)[0]

    yield (say("relu(log(a) + exp(a)): gradient", "relu(log(a) + exp(a))：梯度"), chain)


check_elementwise.mistake(
    say("exp: its derivative was taken to be something other than itself. What is d/dx e^x?",
        "exp 的导数被当成了别的函数，而不是它自身。e^x 对 x 的导数是什么？"),
    within="Tensor.exp", replace={"grad * y": "grad * self.data"},
)
check_elementwise.mistake(
    say("exp: the gradient is the local derivative without g.", "exp：梯度只有局部导数，没有乘 g。"),
    within="Tensor.exp", replace={"self.accumulate(grad * y)": "self.accumulate(y)"},
)
check_elementwise.mistake(
    say("log: the gradient is divided by the output. Which number is in the denominator of "
        "d/dx log x?",
        "log：梯度除以了输出。log x 对 x 求导，分母是哪个数？"),
    within="Tensor.log", replace={"grad / self.data": "grad / np.log(self.data)"},
)
check_elementwise.mistake(
    say("log: this is the logarithm of another base.", "log：这是以另一个数为底的对数。"),
    within="Tensor.log", replace={"np.log(self.data)": "np.log2(self.data)"},
)
check_elementwise.mistake(
    say("relu: the gradient goes through everywhere. Where does a small change of the input leave "
        "the output as it is?",
        "relu：梯度处处都通过了。在哪些位置，输入的微小变化并不改变输出？"),
    within="Tensor.relu", replace={"grad * (self.data > 0)": "grad"},
)
check_elementwise.mistake(
    say("relu: at an input of exactly 0 the gradient goes through. The docstring names the "
        "convention.",
        "relu：输入恰为 0 处梯度也通过了。约定写在 docstring 里。"),
    within="Tensor.relu", replace={"self.data > 0": "self.data >= 0"},
)
check_elementwise.mistake(
    say("relu: the mask looks at the sign of the gradient. It is the input that decides.",
        "relu：掩码看的是梯度的符号。起决定作用的应是输入。"),
    within="Tensor.relu", replace={"self.data > 0": "grad > 0"},
)


# ------------------------------------------------------------------------- sum and mean


CASES = (
    ((3, 4), {}), ((3, 4), {"axis": 0}), ((3, 4), {"axis": 1}), ((3, 4), {"axis": 1, "keepdims": True}),
    ((3, 3), {"axis": 1}), ((2, 3, 4), {"axis": -2}), ((2, 3, 4), {"axis": (0, 2)}),
    ((2, 3, 4), {"axis": (-1, 0), "keepdims": True}), ((2, 3, 4), {"keepdims": True}), ((), {}),
)


def call(arguments):
    """``(axis=0, keepdims=True)``"""
    return f"({', '.join(f'{key}={value}' for key, value in arguments.items())})"


def reduced(Tensor, name, x, g, arguments):
    """Data and gradient of ``Tensor(x).sum(...)`` and its kind."""
    a = Tensor(x)
    out = getattr(a, name)(**arguments)
    return [out.data, *vjp(out, g, a)]


@check(forbids=("torch",))
def check_reductions(Tensor, rng):
    """sum and mean over every kind of axis."""
    for name in ("sum", "mean"):
        for shape, arguments in CASES:
            x = solid(rng, *shape)
            g = solid(rng, *np.sum(x, **arguments).shape)
            yield (say(f"{name}{call(arguments)} of shape {shape}: data and gradient",
                       f"形状 {shape} 的 {name}{call(arguments)}：data 与梯度"),
                   lambda: reduced(Tensor, name, x, g, arguments))
    x = solid(rng, 3, 4)

    def twice():
        a = Tensor(x)
        return vjp(a.sum() * a.mean(axis=0), np.array([1.0, -2.0, 3.0, -4.0]), a)[0]

    yield say("a.sum() * a.mean(axis=0): gradient", "a.sum() * a.mean(axis=0)：梯度"), twice
    yield (say("mean(0, True) with positional arguments: data", "按位置传参的 mean(0, True)：data"),
           lambda: Tensor(x).mean(0, True).data)
    yield (say("sum(0, True) with positional arguments: data", "按位置传参的 sum(0, True)：data"),
           lambda: Tensor(x).sum(0, True).data)


check_reductions.mistake(
    say("sum: the gradient has lost an axis and is laid along the wrong one. Which shape did the "
        "output have with keepdims?",
        "sum：梯度少了一个轴，并且沿错误的轴铺开了。若用 keepdims，输出会是什么形状？"),
    within="Tensor.sum",
    replace={"np.broadcast_to(grad.reshape(total.shape), self.shape)":
             "np.broadcast_to(grad, self.shape)"},
)
check_reductions.mistake(
    say("sum: every entry gets a gradient of 1, whatever g is.",
        "sum：无论 g 是什么，每个元素得到的梯度都是 1。"),
    within="Tensor.sum",
    replace={"np.broadcast_to(grad.reshape(total.shape), self.shape)": "np.ones(self.shape)"},
)
check_reductions.mistake(
    say("sum: the gradient is divided by the number of entries. That belongs to the mean.",
        "sum：梯度除以了元素个数，那是均值才需要的。"),
    within="Tensor.sum",
    replace={"np.broadcast_to(grad.reshape(total.shape), self.shape)":
             "np.broadcast_to(grad.reshape(total.shape), self.shape) * total.size / self.size"},
)
check_reductions.mistake(
    say("keepdims=True is not heeded in the result's shape.", "结果的形状没有理会 keepdims=True。"),
    within="Tensor.sum", replace={"total if keepdims else np.squeeze(total, axis)":
                                  "np.squeeze(total, axis)"},
)
check_reductions.mistake(
    say("mean: divided by the number of all entries, whatever the axis. How many numbers go into one "
        "entry of the output?",
        "mean：无论沿哪个轴，都除以了全部元素的个数。输出的一个元素由多少个数平均而来？"),
    within="Tensor.mean", replace={"total.size / self.size": "1 / self.size"},
)
check_reductions.mistake(
    say("mean: divided by the number of outputs. How many numbers go into each of them?",
        "mean：除以了输出的个数。每个输出由多少个数平均而来？"),
    within="Tensor.mean", replace={"total.size / self.size": "1 / total.size"},
)
check_reductions.mistake(
    say("mean: the data are divided, the gradient is not. The division is part of the operation.",
        "mean：data 做了除法，梯度却没有。除法也是运算的一部分。"),
    within="Tensor.mean",
    replace={"return total * (total.size / self.size)":
             "total.data = total.data * (total.size / self.size)\n        return total"},
)


# ---------------------------------------------------------------------------------- max


@check(forbids=("torch",))
def check_max(Tensor, rng):
    """max, with ties."""
    for shape, arguments in CASES:
        x = solid(rng, *shape)
        g = solid(rng, *np.max(x, **arguments).shape)
        yield (say(f"max{call(arguments)} of shape {shape}: data and gradient",
                   f"形状 {shape} 的 max{call(arguments)}：data 与梯度"),
               lambda: reduced(Tensor, "max", x, g, arguments))
    tied = np.array([[1.0, 3.0, 3.0], [2.0, -1.0, 2.0], [-5.0, -5.0, -5.0]])
    for arguments in ({"axis": 1}, {"axis": 0, "keepdims": True}, {}):
        g = solid(rng, *np.max(tied, **arguments).shape)
        yield (say(f"max{call(arguments)} with equal entries: data and gradient",
                   f"含相等元素的 max{call(arguments)}：data 与梯度"),
               lambda: reduced(Tensor, "max", tied, g, arguments))


check_max.mistake(
    say("Equal winners get the whole gradient each. Together they should get it once.",
        "并列最大的元素各自都得到了整份梯度。它们合起来应只得到一份。"),
    within="Tensor.max",
    replace={"winners / winners.sum(axis=axis, keepdims=True)": "winners"},
)
check_max.mistake(
    say("The winners are counted over the whole array. Each maximum along the axis has winners of "
        "its own.",
        "并列者是在整个数组上计数的。沿该轴的每个最大值都有各自的并列者。"),
    within="Tensor.max", replace={"winners.sum(axis=axis, keepdims=True)": "winners.sum()"},
)
check_max.mistake(
    say("The gradient is spread over all entries, as in a mean. Which entries does the maximum "
        "depend on?",
        "梯度像求均值那样分给了所有元素。最大值取决于哪些元素？"),
    within="Tensor.max", replace={"winners = self.data == top": "winners = self.data <= top"},
)
check_max.mistake(
    say("The gradient is laid along the wrong axis when the reduced axis is gone. Which shape did "
        "the maximum have with keepdims?",
        "归约的轴消失之后，梯度沿错误的轴铺开了。若用 keepdims，最大值会是什么形状？"),
    within="Tensor.max", replace={"grad.reshape(top.shape)": "grad"},
)
check_max.mistake(
    say("The winner is sought in the whole array, not along the axis.",
        "最大值是在整个数组里找的，而不是沿着该轴。"),
    within="Tensor.max", replace={"self.data == top": "self.data == self.data.max()"},
)


# ------------------------------------------------------------------ reshape and transpose


@check(forbids=("torch",))
def check_shapes(Tensor, rng):
    """reshape and transpose."""
    x, y = solid(rng, 3, 4), solid(rng, 2, 3, 4)

    def on(value, method, *arguments):
        a = Tensor(value)
        out = getattr(a, method)(*arguments)
        g = np.arange(1.0, 1.0 + value.size).reshape(out.data.shape)
        return [out.data, *vjp(out, g, a)]

    for method, value, arguments in (
        ("reshape", x, (4, 3)), ("reshape", x, ((2, 6),)), ("reshape", x, (-1,)),
        ("reshape", y, (4, -1)), ("reshape", y, (2, 3, 2, 2)), ("reshape", np.array([[2.5]]), ((),)),
        ("transpose", x, ()), ("transpose", y, ()), ("transpose", y, (1, 2, 0)),
        ("transpose", y, ((2, 0, 1),)), ("transpose", y, (0, -1, 1)), ("transpose", y, (-1, 0, 1)),
        ("transpose", solid(rng, 2, 3, 4, 5), (3, 0, 2, 1)), ("transpose", solid(rng, 5), ()),
    ):
        shown = f"{method}({', '.join(map(str, arguments))})"
        yield (say(f"{shown} of shape {value.shape}: data and gradient",
                   f"形状 {value.shape} 的 {shown}：data 与梯度"),
               lambda: on(value, method, *arguments))

    def chain():
        a = Tensor(x)
        return vjp(a.T.reshape(2, 6) + a.reshape(2, 6), np.arange(12.0).reshape(2, 6), a)[0]

    yield (say("a.T.reshape(2, 6) + a.reshape(2, 6): gradient",
               "a.T.reshape(2, 6) + a.reshape(2, 6)：梯度"), chain)


check_shapes.mistake(
    say("reshape: the gradient comes back in the new shape. Which shape does the operand have?",
        "reshape：传回的梯度还是新形状。操作数是什么形状？"),
    within="Tensor.reshape", replace={"grad.reshape(self.shape)": "grad"},
)
check_shapes.mistake(
    say("reshape: the gradient's entries are in another order than the data's. Rows first or columns "
        "first?",
        "reshape：梯度元素的次序与 data 不一致。先行后列，还是先列后行？"),
    within="Tensor.reshape",
    replace={"grad.reshape(self.shape)": 'grad.reshape(self.shape, order="F")'},
)
check_shapes.mistake(
    say("transpose: the gradient gets the same permutation again. Which permutation undoes it? Try "
        "(1, 2, 0) on paper.",
        "transpose：梯度又做了一次同样的置换。哪个置换能把它还原？在纸上试试 (1, 2, 0)。"),
    within="Tensor.transpose", replace={"np.argsort(order)": "order"},
)
check_shapes.mistake(
    say("transpose: the gradient's axes are merely reversed, whatever the permutation.",
        "transpose：无论置换是什么，梯度的轴都只是简单地倒过来。"),
    within="Tensor.transpose", replace={"np.argsort(order)": "range(self.ndim)[::-1]"},
)
check_shapes.mistake(
    say("transpose: the gradient has the operand's shape, but its entries did not move with the "
        "axes. reshape does not transpose.",
        "transpose：梯度的形状是对的，但元素没有跟着轴移动。reshape 并不是转置。"),
    within="Tensor.transpose",
    replace={"grad.transpose(np.argsort(order))": "grad.reshape(self.shape)"},
)
check_shapes.mistake(
    say("transpose: a negative axis is sorted as if it were the first. Count it from the front before "
        "you invert the permutation.",
        "transpose：负的轴被当成最小的编号来排序。求逆置换之前，先把它换算成从前往后数的编号。"),
    within="Tensor.transpose", replace={"axis % self.ndim for": "axis for"},
)


# ------------------------------------------------------------------------------ indexing


@check(forbids=("torch",))
def check_getitem(Tensor, rng):
    """Indexing with everything that NumPy takes."""
    x = solid(rng, 5, 4)

    def on(index, start=None):
        a = Tensor(x) if start is None else holding(Tensor(x), start)
        out = a[index]
        g = np.arange(2.0, 2.0 + out.data.size).reshape(out.data.shape)
        return [out.data, *vjp(out, g, a)]

    for name, index in (
        ("[2]", 2), ("[-1, 2]", (-1, 2)), ("[1:4]", slice(1, 4)), ("[::-2, 1:]", (slice(None, None, -2),
                                                                         slice(1, None))),
        ("[..., 0]", (..., 0)), ("[:, None, 3]", (slice(None), None, 3)), ("[x > 0]", x > 0),
        ("[[3, 0, 1]]", [3, 0, 1]), ("[[1, 1, 4, 1]]", [1, 1, 4, 1]),
        ("[[0, 2, 0], [1, 3, 1]]", ([0, 2, 0], [1, 3, 1])),
        ("[array([[0, 1], [1, 0]])]", np.array([[0, 1], [1, 0]])),
    ):
        yield (say(f"a{name}: data and gradient", f"a{name}：data 与梯度"), lambda: on(index))
    yield (say("a[[1, 1, 4, 1]] where the grad already holds something",
               "a[[1, 1, 4, 1]]，但 grad 中已有数值"), lambda: on([1, 1, 4, 1], x))
    yield (say("a[1:4] where the grad already holds something", "a[1:4]，但 grad 中已有数值"),
           lambda: on(slice(1, 4), x))

    def shared():
        a = Tensor(x)
        return vjp(a[1:4] * a[0:3], np.arange(12.0).reshape(3, 4), a)[0]

    yield say("a[1:4] * a[0:3]: gradient", "a[1:4] * a[0:3]：梯度"), shared


check_getitem.mistake(
    say("An entry taken twice got only one of its gradients: with repeated positions `x[i] += g` "
        "does not add twice. NumPy has a function that does.",
        "被取了两次的元素只得到一份梯度：位置重复时，`x[i] += g` 不会加两次。NumPy 另有一个函数可以"
        "做到。"),
    within="Tensor.__getitem__", replace={"np.add.at(self.grad, index, grad)": "self.grad[index] += grad"},
)
check_getitem.mistake(
    say("The gradient is written over what `grad` held, where it should be added.",
        "梯度覆盖了 `grad` 中原有的内容，而它应当被加上去。"),
    within="Tensor.__getitem__",
    replace={"np.add.at(self.grad, index, grad)":
             "self.grad[index] = 0\n            np.add.at(self.grad, index, grad)"},
)
check_getitem.mistake(
    say("Every entry taken gets a gradient of 1, whatever g is.",
        "无论 g 是什么，被取出的每个元素得到的梯度都是 1。"),
    within="Tensor.__getitem__", replace={"index, grad)": "index, 1.0)"},
)
check_getitem.mistake(
    say("The result has the right data and no way back: which operand does it come from?",
        "结果的 data 是对的，但没有回去的路：它来自哪个操作数？"),
    within="Tensor.__getitem__",
    replace={"return Tensor(self.data[index], _prev=(self,), _backward=backward)":
             "return Tensor(self.data[index])"},
)


# --------------------------------------------------------------------- matrix products


PRODUCTS = (
    ((3, 4), (4, 5)), ((4, 4), (4, 4)), ((1, 4), (4, 5)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)),
    ((4,), (4, 4)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
    ((6, 1, 3, 4), (2, 4, 5)), ((1, 3, 4), (2, 4, 5)), ((2, 4, 4), (1, 4, 4)), ((2, 3, 4), (4,)),
    ((4,), (2, 4, 5)), ((6, 2, 3, 4), (4,)), ((4,), (6, 1, 4, 5)),
)


@check(forbids=("torch",))
def check_matmul_backward(matmul_backward, rng):
    """Both gradients for every shape that np.matmul takes."""
    for a, b in PRODUCTS:
        A, B = solid(rng, *a), solid(rng, *b)
        dC = solid(rng, *np.matmul(A, B).shape)
        for i, name in enumerate(("dA", "dB")):
            yield (say(f"{name} for {a} @ {b}", f"{a} @ {b} 时的 {name}"),
                   lambda: matmul_backward(dC.copy(), A.copy(), B.copy())[i])
    yield (say("dC, A and B are still what they were", "dC、A、B 保持原样"),
           lambda: [matmul_backward(dC, A, B)[0], dC, A, B])


@check_matmul_backward.hidden
def _(matmul_backward, rng):
    for _ in range(4):
        m, k, n, batch = (int(size) for size in rng.integers(2, 6, size=4))
        A, B = solid(rng, batch, 1, m, k), solid(rng, 3, k, n)
        dC = solid(rng, batch, 3, m, n)
        yield (say(f"{A.shape} @ {B.shape}", f"{A.shape} @ {B.shape}"),
               lambda: list(matmul_backward(dC, A, B)))


check_matmul_backward.mistake(
    say("dA: dC is multiplied with B as it is. Write the shapes under dA = dC · ?; which form of B "
        "fits?",
        "dA：dC 直接乘了 B。把形状写在 dA = dC · ? 下面：B 的哪种形式对得上？"),
    within="matmul_backward", replace={"dC @ B2.mT": "dC @ B2"},
)
check_matmul_backward.mistake(
    say("dB: the two factors are in the wrong order. Matrix products do not commute: on which side of "
        "dC does A stand?",
        "dB：两个因子的次序反了。矩阵乘法不可交换：A 应当在 dC 的哪一边？"),
    within="matmul_backward", replace={"A2.mT @ dC": "dC @ A2.mT"},
)
check_matmul_backward.mistake(
    say("dB looks as if A had not been transposed.", "dB 看起来像是 A 没有转置。"),
    within="matmul_backward", replace={"A2.mT @ dC": "A2 @ dC"},
)
check_matmul_backward.mistake(
    say("Where a batch axis was broadcast, the gradient must be summed over the copies, as for every "
        "broadcast operand.",
        "凡是被广播的批量轴，梯度都要对各份拷贝求和，这与任何被广播的操作数一样。"),
    within="matmul_backward",
    replace={"unbroadcast(dC @ B2.mT, A2.shape)": "dC @ B2.mT",
             "unbroadcast(A2.mT @ dC, B2.shape)": "A2.mT @ dC",
             "dA.reshape(A.shape), dB.reshape(B.shape)":
             "dA.reshape(A.shape) if dA.size == A.size else dA, "
             "dB.reshape(B.shape) if dB.size == B.size else dB"},
)
check_matmul_backward.mistake(
    say("`.T` of a batch reverses all its axes. Only the last two belong to the matrices.",
        "对一批矩阵用 `.T` 会把所有的轴都倒过来。属于矩阵的只有最后两个轴。"),
    within="matmul_backward", replace={"B2.mT": "B2.T", "A2.mT": "A2.T"},
)
check_matmul_backward.mistake(
    say("dA and dB come back in the wrong order.", "dA 与 dB 的返回次序反了。"),
    within="matmul_backward",
    replace={"return dA.reshape(A.shape), dB.reshape(B.shape)":
             "return dB.reshape(B.shape), dA.reshape(A.shape)"},
)
check_matmul_backward.mistake(
    say("A vector operand has become a matrix with one row or one column, and so has its gradient. "
        "The gradient's shape is that of the operand.",
        "向量操作数变成了只有一行或一列的矩阵，它的梯度也随之如此。梯度的形状应与操作数一致。"),
    within="matmul_backward",
    replace={"dA.reshape(A.shape), dB.reshape(B.shape)": "dA, dB"},
)
check_matmul_backward.mistake(
    say("A vector on the left stands as a column here; in a product it acts as a row.",
        "左边的向量在这里成了列；在乘积中它起的是行的作用。"),
    within="matmul_backward",
    replace={"A[None, :] if A.ndim == 1": "A[:, None] if A.ndim == 1"},
)
check_matmul_backward.mistake(
    say("Gradients of copies are averaged over the batch. The sum is asked for; a mean would belong "
        "to the loss.",
        "各份拷贝的梯度在批量上取了平均。这里要的是求和；取平均是损失函数的事。"),
    within="matmul_backward",
    replace={"unbroadcast(A2.mT @ dC, B2.shape)":
             "unbroadcast(A2.mT @ dC, B2.shape) * B2.size / (A2.mT @ dC).size",
             "unbroadcast(dC @ B2.mT, A2.shape)":
             "unbroadcast(dC @ B2.mT, A2.shape) * A2.size / (dC @ B2.mT).size"},
)


@check(forbids=("torch",))
def check_matmul(Tensor, rng):
    """``@`` on Tensors."""
    for a, b in (((3, 4), (4, 5)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)),
                 ((2, 3, 4), (4, 5)), ((4, 1, 3, 4), (2, 4, 5))):
        x, y = solid(rng, *a), solid(rng, *b)
        g = solid(rng, *np.matmul(x, y).shape)

        def on(compute, *values):
            leaves = [Tensor(value) for value in values]
            out = compute(*leaves)
            return [out.data, *vjp(out, g, *leaves)]

        yield (say(f"{a} @ {b}: data and both gradients", f"{a} @ {b}：data 与两个梯度"),
               lambda: on(lambda p, q: p @ q, x, y))
        yield (say(f"p.matmul(q) for {a} and {b}: data and both gradients",
                   f"形状为 {a} 与 {b} 的 p.matmul(q)：data 与两个梯度"),
               lambda: on(lambda p, q: p.matmul(q), x, y))
        yield (say(f"{a} @ {b} with an array on the right: data and gradient",
                   f"{a} @ {b}，右边是数组：data 与梯度"), lambda: on(lambda p: p @ y, x))
        yield (say(f"{a} @ {b} with an array on the left: data and gradient",
                   f"{a} @ {b}，左边是数组：data 与梯度"), lambda: on(lambda q: x @ q, y))
    square, g = solid(rng, 3, 3), solid(rng, 3, 3)

    def power():
        a = holding(Tensor(square), g)
        return vjp(a @ a, g, a)[0]

    yield (say("a @ a where the grad already holds something: gradient",
               "a @ a，但 grad 中已有数值：梯度"), power)


check_matmul.mistake(
    say("`array @ tensor` calls `__rmatmul__(tensor, array)`: self is the operand on the right, and "
        "the order matters.",
        "`array @ tensor` 调用的是 `__rmatmul__(tensor, array)`：self 是右操作数，次序不能颠倒。"),
    within="Tensor.__rmatmul__", replace={"Tensor.wrap(other).matmul(self)": "self.matmul(other)"},
)
check_matmul.mistake(
    say("Only the left operand receives its gradient.", "只有左操作数收到了梯度。"),
    within="Tensor.matmul", replace={"            other.accumulate(dB)\n": ""},
)
check_matmul.mistake(
    say("The gradients are written where they should be added: think of a @ a.",
        "梯度是直接写进去的，而应当加上去：想想 a @ a。"),
    within="Tensor.matmul",
    replace={"self.accumulate(dA)": "self.grad = dA", "other.accumulate(dB)": "other.grad = dB"},
)
check_matmul.mistake(
    say("The second operand is a plain array and has not been turned into a Tensor.",
        "第二个操作数是普通数组，还没有变成 Tensor。"),
    within="Tensor.matmul", replace={"other = Tensor.wrap(other)": "pass"},
)
check_matmul.mistake(
    say("`@` multiplies entry by entry.", "`@` 做成了逐元素相乘。"),
    within="Tensor.__matmul__", replace={"return self.matmul(other)": "return self * other"},
)


# -------------------------------------------------------------------- random graphs


@check()
def check_random_graphs(Tensor, random_graph, rng):
    """The gradients of random graphs, which must be PyTorch's."""
    families = {
        "arithmetic": ("arithmetic", "算术"), "functions": ("exp, log, relu, tanh", "exp、log、relu、tanh"),
        "reductions": ("sum and mean", "sum 与 mean"), "shapes": ("reshape, .T and indexing",
                                                          "reshape、.T 与索引"),
        "matmul": ("matrix products", "矩阵乘法"), "all": ("all operations", "全部运算"),
    }
    for family, (en, zh) in families.items():
        kinds = () if family == "all" else (tuple({"arithmetic": 0, family: 0}),)
        for i in range(4):
            f, arrays = random_graph(rng, *kinds)

            def gradients(f=f, arrays=arrays):
                leaves = [Tensor(array) for array in arrays]
                f(*leaves).backward()
                return [leaf.grad for leaf in leaves]

            yield (say(f"graph {i + 1} of {en}: gradients of its four inputs",
                       f"第 {i + 1} 个图（{zh}）：四个输入的梯度"), gradients)


@check_random_graphs.hidden
def _(Tensor, random_graph, rng):
    for i in range(6):
        f, arrays = random_graph(rng, lines=20)

        def gradients(f=f, arrays=arrays):
            leaves = [Tensor(array) for array in arrays]
            f(*leaves).backward()
            return [leaf.grad for leaf in leaves]

        yield (say(f"graph {i + 1} of 20 lines: gradients of its four inputs",
                   f"第 {i + 1} 个 20 行的图：四个输入的梯度"), gradients)


check_random_graphs.mistake(
    say("Gradients are lost where a value is used more than once: look at `accumulate`.",
        "凡是被多次使用的值都丢了梯度：看看 `accumulate`。"),
    within="Tensor.accumulate", replace={"self.grad += ": "self.grad = "},
)
check_random_graphs.mistake(
    say("Gradients are sent on before they are complete: look at the order in `backward`.",
        "梯度尚未累加完整就被往回传了：看看 `backward` 中的次序。"),
    within="Tensor.backward", replace={"for node in reversed(order):": "for node in order:"},
)
check_random_graphs.mistake(
    say("Only matrix products are wrong: compare dB with the formula of `matmul_backward` for a "
        "matrix that is not symmetric.",
        "只有矩阵乘法出错：取一个不对称的矩阵，把 dB 与 `matmul_backward` 的公式对照一下。"),
    within="Tensor.matmul",
    replace={"other.accumulate(dB)": "other.accumulate(dB * 0)"},
)
check_random_graphs.mistake(
    say("Stretched operands get an average where they should get a sum: look at `unbroadcast`.",
        "被拉伸的操作数得到的是平均而不是总和：看看 `unbroadcast`。"),
    within="unbroadcast",
    replace={"grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))":
             "grad = grad.mean(axis=tuple(range(grad.ndim - len(shape))))",
             "return grad.sum(": "return grad.mean("},
)


# ------------------------------------------------------------------- gradcheck and fuzz


def planted(mine, theirs):
    """A function whose gradient is ``mine`` on Tensors and ``theirs`` on torch tensors."""
    import torch

    def f(*leaves):
        on_torch = isinstance(leaves[0], torch.Tensor)
        total = 0.0
        for leaf, m, t in zip(leaves, mine, theirs, strict=True):
            total = total + (leaf * (torch.from_numpy(t) if on_torch else m)).sum()
        return total

    return f


@check()
def check_gradcheck(torch_gradients, gradcheck, rng):
    """PyTorch as oracle, and a comparison that catches planted faults."""
    x, y, z = solid(rng, 3, 4), solid(rng, 4), solid(rng, 2)

    def f(a, b):
        return ((a * b + b).tanh() * a).sum()

    yield (say("torch_gradients of tanh(a b + b) a, summed", "torch_gradients：tanh(a b + b) a 之和"),
           lambda: torch_gradients(f, x, y))
    yield (say("dtype of the gradients for float32 arrays", "输入为 float32 数组时梯度的 dtype"),
           lambda: [str(np.asarray(g).dtype) for g in torch_gradients(f, x.astype("f4"), y.astype("f4"))])
    yield (say("an input that f does not use", "f 没有用到的输入"),
           lambda: torch_gradients(lambda a, b, c: (a * c).sum(), x, z, y))
    yield (say("an input of shape ()", "形状为 () 的输入"),
           lambda: torch_gradients(lambda a: a * a * a, np.array(1.7)))
    yield say("the arrays afterwards", "调用之后的数组"), lambda: [len(torch_gradients(f, x, y)), x, y]

    g, h = solid(rng, 3, 4), solid(rng, 4)
    yield say("gradcheck of the same function", "对同一个函数做 gradcheck"), lambda: gradcheck(f, x, y)
    yield (say("gradcheck where f does not use an input", "f 没有用到某个输入时的 gradcheck"),
           lambda: gradcheck(lambda a, b: (a * a).sum(), x, z))

    def with_fault(size, *at):
        wrong = g.copy()
        wrong[at] += size
        return gradcheck(planted((wrong, h), (g, h)), x, y)

    yield (say("one entry is larger by 0.1 on Tensors", "Tensor 上有一个元素大了 0.1"),
           lambda: with_fault(0.1, 1, 2))
    yield (say("one entry is smaller by 0.1 on Tensors", "Tensor 上有一个元素小了 0.1"),
           lambda: with_fault(-0.1, 2, 3))
    yield say("one entry is larger by 0.001", "有一个元素大了 0.001"), lambda: with_fault(1e-3, 0, 0)
    yield (say("one entry is larger by 1e-9, within rounding", "有一个元素大了 1e-9，属于舍入误差"),
           lambda: with_fault(1e-9, 1, 1))
    yield (say("one entry is NaN on Tensors", "Tensor 上有一个元素是 NaN"),
           lambda: with_fault(np.nan, 1, 0))
    yield (say("only the second input's gradient is wrong", "只有第二个输入的梯度是错的"),
           lambda: gradcheck(planted((g, -h), (g, h)), x, y))
    yield (say("errors that cancel in the sum of the gradient", "误差在梯度求和时互相抵消"),
           lambda: gradcheck(planted((g[::-1].copy(), h), (g, h)), x, y))
    yield (say("entries near 1e6, off by 1: a relative error of 1e-6",
               "元素约为 1e6，误差为 1：相对误差 1e-6"),
           lambda: gradcheck(planted((1e6 * g + 1, h), (1e6 * g, h)), x, y))
    yield (say("entries near 1e-3, off by 1e-7: a relative error of 1e-4",
               "元素约为 1e-3，误差为 1e-7：相对误差 1e-4"),
           lambda: gradcheck(planted((1e-3 * g + 1e-7, h), (1e-3 * g, h)), x, y))


check_gradcheck.mistake(
    say("An input that f does not use has `grad` None in PyTorch. What is its gradient really?",
        "f 没有用到的输入，在 PyTorch 中 `grad` 是 None。它的梯度其实是什么？"),
    within="torch_gradients",
    replace={"np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()": "leaf.grad.numpy()"},
)
check_gradcheck.mistake(
    say("The oracle computes in the dtype of the arrays. A float32 oracle is too coarse to judge by.",
        "参照值以数组自身的 dtype 计算。float32 的参照太粗糙，不足为凭。"),
    within="torch_gradients", replace={", dtype=torch.float64": ""},
)
check_gradcheck.mistake(
    say("Only the first input's gradient is compared.", "只比较了第一个输入的梯度。"),
    within="gradcheck", replace={"for leaf, grad in zip(leaves, theirs, strict=True)":
                                 "for leaf, grad in [*zip(leaves, theirs, strict=True)][:1]"},
)
check_gradcheck.mistake(
    say("An error in one direction goes unnoticed: a difference far below zero is also below the "
        "tolerance.",
        "某个方向上的误差没有被发现：远小于零的差同样“小于容差”。"),
    within="gradcheck",
    replace={"np.allclose(leaf.grad, grad)":
             "bool(np.all(leaf.grad - grad <= 1e-8 + 1e-5 * np.abs(grad)))"},
)
check_gradcheck.mistake(
    say("A NaN passes: every comparison with NaN is false, so `not (difference > tolerance)` is true.",
        "NaN 通过了检查：与 NaN 的任何比较都为假，因此 `not (差 > 容差)` 为真。"),
    within="gradcheck",
    replace={"np.allclose(leaf.grad, grad)":
             "not np.any(np.abs(leaf.grad - grad) > 1e-8 + 1e-5 * np.abs(grad))"},
)
check_gradcheck.mistake(
    say("The sums of the gradients are compared; errors that cancel go unnoticed.",
        "比较的是梯度之和，互相抵消的误差没有被发现。"),
    within="gradcheck",
    replace={"np.allclose(leaf.grad, grad)": "np.allclose(leaf.grad.sum(), grad.sum())"},
)
check_gradcheck.mistake(
    say("The gradients are asked to be equal in every digit. Two right programs round differently.",
        "这里要求梯度的每一位都相等。两个都正确的程序，舍入也会不同。"),
    within="gradcheck",
    replace={"np.allclose(leaf.grad, grad)": "np.array_equal(leaf.grad, grad)"},
)
check_gradcheck.mistake(
    say("The tolerance does not grow with the gradient. 1 is a small error where the gradient is a "
        "million, and 1e-7 a large one where it is a thousandth.",
        "容差没有随梯度的大小变化。梯度为一百万时，1 是小误差；梯度为千分之一时，1e-7 就是大误差了。"),
    within="gradcheck",
    replace={"np.allclose(leaf.grad, grad)": "np.allclose(leaf.grad, grad, rtol=0, atol=1e-5)"},
)


@check()
def check_fuzz(fuzz, rng):
    """Which random functions fail?"""
    def maker(share):
        drawn = []

        def make(rng):
            u = rng.random()
            drawn.append(u)
            g = np.array([u, 1.0, -2.0])
            return planted((g if u >= share else g + 0.5,), (g,)), [np.array([0.3, -1.2, 0.8])]

        return make, drawn

    seed = int(rng.integers(2**31))
    for share, count in ((0.4, 30), (0.0, 5), (1.0, 6), (0.7, 1), (0.5, 0)):
        def tried(share=share, count=count):
            return list(fuzz(maker(share)[0], np.random.default_rng(seed), count))

        yield (say(f"{count} functions of which a share of {share:g} is wrong",
                   f"{count} 个函数，其中出错的比例约为 {share:g}"), tried)

    def draws():
        make, drawn = maker(0.4)
        source = np.random.default_rng(seed)
        fuzz(make, source, 12)
        return [len(drawn), drawn, source.random()]

    yield (say("what was drawn from rng: one function after the other, and no more",
               "从 rng 中取出的随机数：逐个函数，不多不少"), draws)


check_fuzz.mistake(
    say("The search stops at the first failure. A list of all failures tells more.",
        "搜索在第一次失败处就停了。列出全部失败才能说明更多问题。"),
    within="fuzz", replace={"failures.append(i)": "failures.append(i)\n            break"},
)
check_fuzz.mistake(
    say("The functions are numbered from 1.", "函数的编号从 1 开始了。"),
    within="fuzz", replace={"failures.append(i)": "failures.append(i + 1)"},
)
check_fuzz.mistake(
    say("These are the functions that pass.", "这些是通过的函数。"),
    within="fuzz", replace={"if not gradcheck": "if gradcheck"},
)
check_fuzz.mistake(
    say("The same function is tried again and again: make a new one in each turn, with the rng that "
        "was passed in.",
        "反复试的是同一个函数：每一轮都应当用传入的 rng 生成一个新的。"),
    within="fuzz",
    replace={"    for i in range(count):\n        f, arrays = make(rng)\n":
             "    for i in range(count):\n        f, arrays = make(np.random.default_rng(0))\n"},
)


# ------------------------------------------------------------------------ a network


@check(forbids=("torch",))
def check_mlp_backward(mlp_backward, rng):
    """Loss and gradients of a multi-layer perceptron."""
    for sizes, batch in (((5, 3, 2), 7), ((4, 3), 6), ((4, 4, 4, 4), 4), ((3, 6, 5, 1), 1)):
        X, Y = rng.normal(size=(batch, sizes[0])), rng.normal(size=(batch, sizes[-1]))
        weights = [rng.normal(size=(i, o)) for i, o in pairwise(sizes)]
        biases = [rng.normal(size=o) for o in sizes[1:]]
        shape = "-".join(map(str, sizes))

        def run(part):
            return mlp_backward(X.copy(), Y.copy(), [W.copy() for W in weights],
                                [b.copy() for b in biases])[part]

        yield (say(f"loss of a {shape} network on {batch} examples",
                   f"{shape} 网络在 {batch} 个样本上的损失"), lambda: run(0))
        yield (say(f"gradients of the weights of the {shape} network", f"{shape} 网络各权重的梯度"),
               lambda: list(run(1)))
        yield (say(f"gradients of the biases of the {shape} network", f"{shape} 网络各偏置的梯度"),
               lambda: list(run(2)))
    yield (say("X, Y, weights and biases afterwards", "调用之后的 X、Y、权重与偏置"),
           lambda: [mlp_backward(X, Y, weights, biases)[0], X, Y, weights, biases])


check_mlp_backward.mistake(
    say("The last layer has a relu as well; then no prediction could ever be negative.",
        "最后一层也用了 relu，这样预测值就永远不会为负。"),
    within="mlp_backward", replace={"Z.relu() if i < len(Ws) - 1 else Z": "Z.relu()"},
)
check_mlp_backward.mistake(
    say("There is no relu between the layers, so the network is one affine map.",
        "层与层之间没有 relu，整个网络就只是一个仿射映射。"),
    within="mlp_backward", replace={"Z.relu() if i < len(Ws) - 1 else Z": "Z"},
)
check_mlp_backward.mistake(
    say("The weights have shape (in, out): write the shapes under H W.",
        "权重的形状是 (in, out)：把形状写在 H W 下面看看。"),
    within="mlp_backward", replace={"H @ W": "H @ W.T"},
)
check_mlp_backward.mistake(
    say("The loss is a sum. The mean over all entries is asked for.", "损失用了求和，这里要的是所有元素的平均。"),
    within="mlp_backward", replace={".mean()": ".sum()"},
)
check_mlp_backward.mistake(
    say("The loss is averaged over the examples only. The mean runs over all batch * d_out entries.",
        "损失只对样本取了平均。这里的平均针对全部 batch * d_out 个元素。"),
    within="mlp_backward", replace={".mean()": ".sum(axis=1).mean()"},
)
check_mlp_backward.mistake(
    say("The weights' gradients are right and the biases' are all zero: do the biases enter the loss "
        "as the Tensors whose grad is read at the end?",
        "权重的梯度正确，偏置的梯度却全为零：参与计算的偏置，是最后读取 grad 的那些 Tensor 吗？"),
    within="mlp_backward", replace={"H @ W + b": "H @ W + b.data"},
)
check_mlp_backward.mistake(
    say("Only the last layer has gradients: somewhere between the layers the graph is cut.",
        "只有最后一层有梯度：计算图在层与层之间断开了。"),
    within="mlp_backward",
    replace={"Z.relu() if i < len(Ws) - 1 else Z":
             "Tensor(Z.relu().data) if i < len(Ws) - 1 else Z"},
)

EQUIVALENT = {
    "unbroadcast: if grad.shape == shape: ... -> (removed)":
        "a short cut: where the shapes are equal there is nothing to sum",
    "unbroadcast: return grad -> (removed)":
        "the same short cut, its branch empty",
    "unbroadcast: np.broadcast_shapes(grad.shape, shape) -> np.broadcast_shapes(shape, grad.shape)":
        "broadcast_shapes does not mind the order",
    "Tensor.__neg__: self * -1.0 -> self / -1.0":
        "dividing by -1 is the same as multiplying by it",
    "matmul_backward: np.broadcast_shapes(A2.shape[:-2], B2.shape[:-2]) -> "
    "np.broadcast_shapes(B2.shape[:-2], A2.shape[:-2])":
        "broadcast_shapes does not mind the order",
    "mlp_backward: Tensor(X, requires_grad=False) -> Tensor(X)":
        "the gradient of X costs time, but is not returned",
    "mlp_backward: Tensor(X, requires_grad=False) -> Tensor(X, requires_grad=True)":
        "the gradient of X costs time, but is not returned",
    "mlp_backward: H - Y -> Y - H":
        "the error is squared",
}

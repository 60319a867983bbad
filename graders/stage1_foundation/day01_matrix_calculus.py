"""Checks of Day 1: what to observe of Jacobians and vector-Jacobian products."""

import tracemalloc

import numpy as np

from ladder.checks import check, choice, close, say

ROUGH = close(rtol=1e-6, atol=1e-7)  # finite differences at eps = 1e-6: rounding is about 1e-10


def frugal(run, arrays, factor):
    """Whether ``run()`` allocates at most ``factor`` times the bytes of ``arrays`` at its peak."""
    started = tracemalloc.is_tracing()
    if not started:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        run()
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        if not started:
            tracemalloc.stop()
    return peak <= factor * sum(array.nbytes for array in arrays)


def after(run, *arrays):
    """Run, then return the arrays that should be as they were."""
    run()
    return arrays


# Finite differences ------------------------------------------------------------------------


@check()
def check_jacobian_fd(jacobian_fd, rng):
    """Central differences for a function of any shapes."""
    A = rng.normal(size=(2, 3))
    x = rng.uniform(0.5, 1.5, size=3)
    yield (say("f(x) = A x with A of shape (2, 3): J is A", "f(x) = A x，A 形状为 (2, 3)：J 就是 A"),
           lambda: jacobian_fd(lambda u: A @ u, x.copy()), ROUGH)
    yield (say("the paper's f = (3x²y, 2x + y⁸): one row for each function",
               "论文的例子 f = (3x²y, 2x + y⁸)：每个函数占一行"),
           lambda: jacobian_fd(lambda u: np.array([3 * u[0] ** 2 * u[1], 2 * u[0] + u[1] ** 8]),
                               x[:2].copy()), close(rtol=1e-5, atol=1e-6))
    yield (say("f(x) = x³ with eps = 0.1: the error of a central difference, eps² and no more",
               "f(x) = x³，eps = 0.1：误差恰为中心差分的 eps²"),
           lambda: jacobian_fd(lambda u: u**3, x.copy(), 0.1))
    yield (say("the identity, which returns its argument itself", "恒等函数，返回的就是传入的数组本身"),
           lambda: jacobian_fd(lambda u: u, x.copy()), ROUGH)
    B, X = rng.normal(size=(4, 2)), rng.normal(size=(2, 3))
    yield (say("f(X) = B X, matrix to matrix: shape (4, 3, 2, 3)",
               "f(X) = B X，矩阵到矩阵：形状 (4, 3, 2, 3)"),
           lambda: jacobian_fd(lambda U: B @ U, X.copy()), ROUGH)
    whole = rng.integers(1, 5, size=3)
    yield (say("x holds integers: f(x) = A x⁻¹", "x 的元素是整数：f(x) = A x⁻¹"),
           lambda: jacobian_fd(lambda u: A @ u**-1, whole.copy()), ROUGH)
    single = x.astype(np.float32)
    yield (say("x holds float32 numbers", "x 的元素是 float32"),
           lambda: jacobian_fd(lambda u: A @ np.sin(u), single.copy()), ROUGH)
    kept = x.copy()
    yield (say("x is as it was afterwards", "调用之后 x 保持原样"),
           lambda: after(lambda: jacobian_fd(np.sin, kept), kept), close())


@check_jacobian_fd.hidden
def _(jacobian_fd, rng):
    X = rng.normal(size=(3, 2))
    yield (say("a number for the whole matrix X: shape (3, 2)", "把矩阵 X 映射为一个数：形状 (3, 2)"),
           lambda: jacobian_fd(lambda U: float(np.sum(np.sin(U) ** 2)), X.copy()), ROUGH)
    x = rng.normal(size=2)
    yield (say("a vector to a (2, 3, 1) array", "把向量映射为 (2, 3, 1) 的数组"),
           lambda: jacobian_fd(lambda u: (np.outer(u, [1.0, 2.0, 3.0]) ** 2)[..., None], x.copy()),
           ROUGH)
    yield (say("f(x) = exp(x) with eps = 0.01", "f(x) = exp(x)，eps = 0.01"),
           lambda: jacobian_fd(np.exp, x.copy(), 0.01), close(rtol=1e-8, atol=1e-9))


check_jacobian_fd.mistake(
    say("Your error shrinks like eps, not like eps². On which two sides of x does the formula look?",
        "误差随 eps 而不是 eps² 缩小。公式在 x 的哪两侧取值？"),
    within="jacobian_fd", replace={"- f(x - step)) / (2 * eps)": "- f(x)) / eps"},
)
check_jacobian_fd.mistake(
    say("Every entry is the same factor too large. How far apart are the two points you subtract?",
        "每个元素都大了同一个倍数。相减的两点相距多远？"),
    within="jacobian_fd", replace={"(2 * eps)": "eps"},
)
check_jacobian_fd.mistake(
    say("Non-square Jacobians come out lying on their side. Which indices come first, those of the "
        "output or those of the input?",
        "非方阵的 Jacobian 方向反了。应当是输出的下标在前，还是输入的下标在前？"),
    within="jacobian_fd",
    replace={"np.empty(np.shape(f(x)) + x.shape)": "np.empty(x.shape + np.shape(f(x)))",
             "J[(..., *j)]": "J[j]"},
)
check_jacobian_fd.mistake(
    say("Fine for float64, wrong for the rest. What is the dtype of the array you add eps to, and "
        "can it hold 1 + 1e-6?",
        "float64 时正确，其余不对。被加上 eps 的数组是什么 dtype，它能表示 1 + 1e-6 吗？"),
    within="jacobian_fd",
    replace={"np.array(x, dtype=np.float64)": "np.array(x)", "np.zeros(x.shape)": "np.zeros_like(x)"},
)


@check_jacobian_fd.mistake(
    say("For the identity you get zeros. You change one array twice; what do f(x + eps) and "
        "f(x − eps) refer to, if f hands its argument back?",
        "恒等函数得到的全是 0。你先后两次修改了同一个数组；如果 f 原样返回它的参数，"
        "f(x + eps) 和 f(x − eps) 指的是什么？"),
)
def jacobian_fd(f, x, eps=1e-6):
    x = np.array(x, dtype=np.float64)
    J = np.empty(np.shape(f(x)) + x.shape)
    for j in np.ndindex(x.shape):
        x[j] += eps
        right = f(x)
        x[j] -= 2 * eps
        left = f(x)
        x[j] += eps
        J[(..., *j)] = (np.asarray(right) - left) / (2 * eps)
    return J


check_jacobian_fd.mistake(
    say("The numbers are right and the shape is flat. Keep each axis of the output and of x as its "
        "own axis.",
        "数值正确，但形状被压平了。输出的每一维、x 的每一维都要各自保留。"),
    within="jacobian_fd", replace={"return J": "return J.reshape(np.size(f(x)), x.size)"},
)


@check_jacobian_fd.mistake(
    say("x came back changed. Whose array did you nudge?", "x 被改动了。你微调的是谁的数组？"),
)
def jacobian_fd(f, x, eps=1e-6):
    start = np.array(x, dtype=np.float64)
    J = np.empty(np.shape(f(start)) + start.shape)
    for j in np.ndindex(start.shape):
        right, left = start.copy(), start.copy()
        right[j] += eps
        left[j] -= eps
        J[(..., *j)] = (np.asarray(f(right)) - f(left)) / (2 * eps)
        if x.dtype == np.float64:
            x[j] += 1e-3
    return J


@check()
def check_grad_fd(grad_fd, rng):
    """The gradient has the shape of what it is the gradient of."""
    A, x = rng.normal(size=(4, 4)), rng.normal(size=4)
    yield (say("f(x) = xᵀA x with A not symmetric", "f(x) = xᵀA x，A 不对称"),
           lambda: grad_fd(lambda u: u @ A @ u, x.copy()), ROUGH)
    yield (say("f(x) = Σ x³ with eps = 0.1", "f(x) = Σ x³，eps = 0.1"),
           lambda: grad_fd(lambda u: np.sum(u**3), x.copy(), 0.1))
    X = rng.normal(size=(2, 3))
    yield (say("a matrix X of shape (2, 3): gradient of shape (2, 3)",
               "矩阵 X 形状为 (2, 3)：梯度形状为 (2, 3)"),
           lambda: grad_fd(lambda U: float(np.log(np.sum(np.exp(U)))), X.copy()), ROUGH)
    whole = rng.integers(1, 5, size=(3, 1))
    yield (say("x holds integers", "x 的元素是整数"),
           lambda: grad_fd(lambda u: np.prod(u) / 10, whole.copy()), ROUGH)
    kept = x.copy()
    yield (say("x is as it was afterwards", "调用之后 x 保持原样"),
           lambda: after(lambda: grad_fd(lambda u: np.sum(np.sin(u)), kept), kept), close())


check_grad_fd.mistake(
    say("A gradient has the shape of its variable; yours lost an axis.",
        "梯度的形状与自变量相同，而你的结果少了一维。"),
    within="grad_fd", replace={"return jacobian_fd(f, x, eps)": "return jacobian_fd(f, x, eps).ravel()"},
)
check_grad_fd.mistake(
    say("The step size that the caller chose does not reach your formula.",
        "调用者给的步长没有用到公式里。"),
    within="grad_fd", replace={"return jacobian_fd(f, x, eps)": "return jacobian_fd(f, x)"},
)


@check_grad_fd.mistake(
    say("Your error shrinks like eps, not like eps². On which two sides of x does the formula look?",
        "误差随 eps 而不是 eps² 缩小。公式在 x 的哪两侧取值？"),
)
def grad_fd(f, x, eps=1e-6):
    x = np.array(x, dtype=np.float64)
    grad = np.zeros(x.shape)
    for j in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[j] = eps
        grad[j] = (f(x + step) - f(x)) / eps
    return grad


@check_grad_fd.mistake(
    say("All entries are equal: you moved every coordinate at once. A partial derivative holds the "
        "others still.",
        "所有元素都相等：你同时移动了全部坐标。求偏导数时其余坐标要保持不动。"),
)
def grad_fd(f, x, eps=1e-6):
    x = np.array(x, dtype=np.float64)
    return np.full(x.shape, (f(x + eps) - f(x - eps)) / (2 * eps))


# Y = W X + b -------------------------------------------------------------------------------


@check()
def check_linear_jacobians(linear_jacobians, rng):
    """All three Jacobians of Y = W X + b, output indices first."""
    for m, n, B in ((2, 3, 4), (3, 2, 1)):
        W, X, b = rng.normal(size=(m, n)), rng.normal(size=(n, B)), rng.normal(size=m)
        here = f"W ({m}, {n}), X ({n}, {B})"
        for at, name in enumerate(("dY/dX", "dY/dW", "dY/db")):
            yield (say(f"{name} for {here}", f"{here} 时的 {name}"),
                   lambda: linear_jacobians(W.copy(), X.copy(), b.copy())[at])


@check_linear_jacobians.hidden
def _(linear_jacobians, rng):
    m, n, B = 1, 4, 3
    W, X, b = rng.normal(size=(m, n)), rng.normal(size=(n, B)), rng.normal(size=m)
    for at, name in enumerate(("dY/dX", "dY/dW", "dY/db")):
        yield (say(f"{name} for one output, W (1, 4), X (4, 3)",
                   f"只有一个输出，W (1, 4)、X (4, 3) 时的 {name}"),
               lambda: linear_jacobians(W.copy(), X.copy(), b.copy())[at])


check_linear_jacobians.mistake(
    say("In your dY/dX every column of Y depends on every column of X. Does example k see example l?",
        "在你的 dY/dX 里，Y 的每一列都依赖 X 的所有列。第 k 个样本会受第 l 个样本影响吗？"),
    within="linear_jacobians", replace={"W, np.eye(B))": "W, np.ones((B, B)))"},
)
check_linear_jacobians.mistake(
    say("In your dY/dW every row of Y depends on every row of W. Which row of W makes row i of Y?",
        "在你的 dY/dW 里，Y 的每一行都依赖 W 的所有行。Y 的第 i 行是由 W 的哪一行算出来的？"),
    within="linear_jacobians", replace={"np.eye(m), X)": "np.ones((m, m)), X)"},
)
check_linear_jacobians.mistake(
    say("In your dY/db every output depends on every bias. Which one is added to row i?",
        "在你的 dY/db 里，每个输出都依赖所有偏置。加到第 i 行的是哪一个？"),
    within="linear_jacobians", replace={"np.eye(m), np.ones(B))": "np.ones((m, m)), np.ones(B))"},
)
check_linear_jacobians.mistake(
    say("Your dY/dW has the two indices of W in the order (column, row).",
        "你的 dY/dW 把 W 的两个下标写成了（列，行）的顺序。"),
    within="linear_jacobians", replace={"ip,qk->ikpq": "ip,qk->ikqp"},
)
check_linear_jacobians.mistake(
    say("Your dY/dX has the two output indices in the order (example, feature). Y is (m, B).",
        "你的 dY/dX 把输出的两个下标写成了（样本，特征）的顺序。Y 的形状是 (m, B)。"),
    within="linear_jacobians", replace={"ij,kl->ikjl": "ij,kl->kijl"},
)
check_linear_jacobians.mistake(
    say("Your dY/db has no axis for the examples. The bias enters every column of Y.",
        "你的 dY/db 缺少样本那一维。偏置会加到 Y 的每一列上。"),
    within="linear_jacobians", replace={'np.einsum("ip,k->ikp", np.eye(m), np.ones(B))': "np.eye(m)"},
)
check_linear_jacobians.mistake(
    say("All three have their input indices first. Parr & Howard's layout, and ours, starts with "
        "the output.",
        "三个结果都是输入下标在前。Parr & Howard 以及本课的布局是输出在前。"),
    within="linear_jacobians",
    replace={"ij,kl->ikjl": "ij,kl->jlik", "ip,qk->ikpq": "ip,qk->pqik", "ip,k->ikp": "ip,k->pik"},
)
check_linear_jacobians.mistake(
    say("Right arrays, wrong order of the returned three.", "数组都对，但返回的三者顺序不对。"),
    within="linear_jacobians", replace={"return dY_dX, dY_dW, dY_db": "return dY_dW, dY_dX, dY_db"},
)


@check()
def check_linear_backward(linear_backward, rng):
    """Gradients of Y = W X + b without a Jacobian."""
    for m, n, B in ((2, 3, 4), (4, 2, 1)):
        W, X, dY = rng.normal(size=(m, n)), rng.normal(size=(n, B)), rng.normal(size=(m, B))
        here = f"W ({m}, {n}), X ({n}, {B})"
        for at, name in enumerate(("dW", "dX", "db")):
            yield (say(f"{name} for {here}", f"{here} 时的 {name}"),
                   lambda: linear_backward(dY.copy(), W.copy(), X.copy())[at])
    W, X, dY = rng.normal(size=(40, 30)), rng.normal(size=(30, 50)), rng.normal(size=(40, 50))
    yield (say("memory of the order of the arguments, for W (40, 30), X (30, 50)",
               "W (40, 30)、X (30, 50) 时所用内存与参数同量级"),
           lambda: frugal(lambda: linear_backward(dY, W, X), (dY, W, X), 40))


@check_linear_backward.hidden
def _(linear_backward, rng):
    W, X, dY = rng.normal(size=(1, 5)), rng.normal(size=(5, 3)), rng.normal(size=(1, 3))
    yield (say("the arguments are as they were", "各参数保持原样"),
           lambda: after(lambda: linear_backward(dY, W, X), dY, W, X))
    for at, name in enumerate(("dW", "dX", "db")):
        yield (say(f"{name} for one output, W (1, 5), X (5, 3)",
                   f"只有一个输出，W (1, 5)、X (5, 3) 时的 {name}"),
               lambda: linear_backward(dY.copy(), W.copy(), X.copy())[at])


check_linear_backward.mistake(
    say("Your dW is averaged over the examples. Who decides about averaging, this layer or the loss?",
        "你的 dW 对样本取了平均。是否取平均由谁决定，是这一层还是损失函数？"),
    within="linear_backward", replace={"dY @ X.T": "dY @ X.T / X.shape[1]"},
)
check_linear_backward.mistake(
    say("Your db is averaged over the examples. One bias enters every column; how do its effects on "
        "L combine?",
        "你的 db 对样本取了平均。同一个偏置进入每一列，它对 L 的各份影响应当怎样合并？"),
    within="linear_backward", replace={"dY.sum(axis=1)": "dY.mean(axis=1)"},
)
check_linear_backward.mistake(
    say("Your dW is lying on its side. Compare its shape with W's.", "你的 dW 转置了。对照一下 W 的形状。"),
    within="linear_backward", replace={"dY @ X.T": "X @ dY.T"},
)
check_linear_backward.mistake(
    say("Your db still has one column for each example. Follow one entry of b through all of Y.",
        "你的 db 还是每个样本一列。试着追踪 b 的一个元素在整个 Y 中的去向。"),
    within="linear_backward", replace={"dY.sum(axis=1)": "dY"},
)
check_linear_backward.mistake(
    say("Your db sums over the outputs and keeps the examples. Which axis of dY belongs to b?",
        "你的 db 对输出求和、保留了样本。dY 的哪一维属于 b？"),
    within="linear_backward", replace={"dY.sum(axis=1)": "dY.sum(axis=0)"},
)
check_linear_backward.mistake(
    say("Right arrays, wrong order of the returned three.", "数组都对，但返回的三者顺序不对。"),
    within="linear_backward", replace={"return dW, dX, db": "return dX, dW, db"},
)
check_linear_backward.mistake(
    say("Two axes of different length meet in a product. Write the shapes of dY, W and X beside it: over "
        "which index does the chain rule sum on the way from Y back to X, and to W?",
        "矩阵乘积中相遇的两维长度不同。把 dY、W、X 的形状写在旁边：从 Y 回到 X、回到 W 时，"
        "链式法则各对哪个下标求和？"),
    within="linear_backward", replace={"W.T @ dY": "W @ dY"},
)


@check_linear_backward.mistake(
    say("The gradients are right and cost far too much memory: a 4-D Jacobian is built on the way. "
        "Carry out the sum over its many zeros on paper first.",
        "梯度正确，但内存用得太多：中间构造了 4 维的 Jacobian。先在纸上把其中大量为零的项约掉。"),
)
def linear_backward(dY, W, X):
    m, B = dY.shape
    dW = np.einsum("ik,ikpq->pq", dY, np.einsum("ip,qk->ikpq", np.eye(m), X))
    dX = np.einsum("ik,ikjl->jl", dY, np.einsum("ij,kl->ikjl", W, np.eye(B)))
    return dW, dX, dY.sum(axis=1)


# Chains ------------------------------------------------------------------------------------


def affine(A):
    """A layer u -> A u, as (forward, vjp)."""
    return (lambda u: A @ u), (lambda u, g: A.T @ g)


SINE = (np.sin, lambda u, g: g * np.cos(u))
SQUARE = (lambda u: u**2, lambda u, g: g * 2 * u)


def counted(fs, calls):
    """The layers, noting each call in ``calls``, a list of [forwards, vjps] for each layer."""
    def wrap(f, k, which):
        def call(*args):
            calls[k][which] += 1
            return f(*args)
        return call

    calls[:] = [[0, 0] for _ in fs]
    return [(wrap(f, k, 0), wrap(v, k, 1)) for k, (f, v) in enumerate(fs)]


@check()
def check_chain_vjp(chain_vjp, rng):
    """Gradients flow backwards, each layer seeing its own input."""
    A, C = rng.normal(size=(3, 3)), rng.normal(size=(2, 5))
    x, g = rng.uniform(0.5, 1.5, size=3), rng.normal(size=3)
    yield (say("one layer, u -> A u", "只有一层 u -> A u"),
           lambda: chain_vjp([affine(A)], x.copy(), g.copy()))
    yield (say("sin, then square, on 3 numbers", "3 个数，先 sin 再平方"),
           lambda: chain_vjp([SINE, SQUARE], x.copy(), g.copy()))
    yield (say("square, A u, sin", "依次为平方、A u、sin"),
           lambda: chain_vjp([SQUARE, affine(A), SINE], x.copy(), g.copy()))
    D = rng.normal(size=(5, 3))
    yield (say("widths 3 → 5 → 5 → 2", "宽度依次为 3 → 5 → 5 → 2"),
           lambda: chain_vjp([affine(D), SINE, affine(C)], x.copy(), g[:2].copy()))
    long = [SINE, affine(A), SQUARE, affine(A), SINE]
    calls = []
    yield (say("each of 5 vjps runs exactly once", "5 层的 vjp 各运行一次"),
           lambda: (chain_vjp(counted(long, calls), x.copy(), g.copy()),
                    [vjps for _, vjps in calls])[1])
    yield (say("each of 5 forwards runs at most once", "5 层的 forward 各至多运行一次"),
           lambda: (chain_vjp(counted(long, calls), x.copy(), g.copy()),
                    all(forwards <= 1 for forwards, _ in calls))[1])
    yield (say("an empty chain gives g back", "空链原样返回 g"), lambda: chain_vjp([], x.copy(), g.copy()))


@check_chain_vjp.hidden
def _(chain_vjp, rng):
    A = rng.normal(size=(4, 2))
    X, G = rng.normal(size=(2, 3)), rng.normal(size=(4,))
    total = (lambda U: U.sum(axis=1), lambda U, g: np.repeat(g[:, None], U.shape[1], axis=1))
    yield (say("a matrix through A U, sin and row sums", "矩阵依次经过 A U、sin 与逐行求和"),
           lambda: chain_vjp([affine(A), SINE, total], X.copy(), G.copy()))


check_chain_vjp.mistake(
    say("The layers are visited in the order of the forward pass. Which layer meets g first?",
        "你按前向的顺序访问各层。最先遇到 g 的是哪一层？"),
    within="chain_vjp", replace={"reversed(range(len(fs)))": "range(len(fs))"},
)
check_chain_vjp.mistake(
    say("Each vjp is given its layer's output. At which point is a layer's Jacobian taken?",
        "传给每个 vjp 的是该层的输出。一层的 Jacobian 应在哪一点处求值？"),
    within="chain_vjp",
    replace={"        inputs.append(x)\n        x = forward(x)":
             "        x = forward(x)\n        inputs.append(x)"},
)
check_chain_vjp.mistake(
    say("Every vjp is given the chain's first input. What does the second layer see in the forward "
        "pass?",
        "每个 vjp 得到的都是整条链最初的输入。前向时第二层看到的是什么？"),
    within="chain_vjp", replace={"vjp(inputs[k], g)": "vjp(inputs[0], g)"},
)
check_chain_vjp.mistake(
    say("The gradient stops before the first layer. How many layers lie between y and x?",
        "梯度在第一层之前就停住了。y 与 x 之间一共隔着几层？"),
    within="chain_vjp", replace={"reversed(range(len(fs)))": "range(len(fs) - 1, 0, -1)"},
)
check_chain_vjp.mistake(
    say("Each vjp starts again from g, so only the first layer's is returned. Which gradient arrives "
        "at a layer in the middle?",
        "每个 vjp 都重新从 g 开始，返回的只是第一层的结果。到达中间某一层的梯度应当是什么？"),
    within="chain_vjp",
    replace={"    inputs = []\n": "    inputs, result = [], g\n",
             "        g = vjp(inputs[k], g)\n    return g":
             "        result = vjp(inputs[k], g)\n    return result"},
)


@check_chain_vjp.mistake(
    say("The gradient is right, but the forward pass is run again for every layer: K layers cost K² "
        "of work. What could you keep from one pass?",
        "梯度正确，但每一层都把前向重新跑了一遍：K 层要付出 K² 的代价。一遍前向中可以留下什么？"),
)
def chain_vjp(fs, x, g):
    for k in reversed(range(len(fs))):
        u = x
        for forward, _ in fs[:k]:
            u = forward(u)
        g = fs[k][1](u, g)
    return g


# Softmax -----------------------------------------------------------------------------------


@check()
def check_softmax(softmax, rng):
    """Softmax along the last axis, for logits of any size."""
    z, Z = rng.normal(size=5), rng.normal(size=(2, 3, 4))
    yield say("5 logits", "5 个 logit"), lambda: softmax(z.copy())
    yield say("a (3, 4) stack: each row by itself", "(3, 4) 的一组：各行独立"), lambda: softmax(Z[0].copy())
    yield say("a (2, 3, 4) stack", "(2, 3, 4) 的一组"), lambda: softmax(Z.copy())
    yield say("logits near 1000", "1000 附近的 logit"), lambda: softmax(z + 1000)
    far = np.array([[1000.0], [-1000.0], [0.0]]) + Z[1]
    yield (say("rows near 1000, −1000 and 0 together", "同时有 1000、−1000 与 0 附近的行"),
           lambda: softmax(far.copy()))
    yield (say("1000, 0 and −1000 in one vector", "1000、0 与 −1000 在同一个向量里"),
           lambda: softmax(np.array([1000.0, 0.0, -1000.0])))
    kept = z.copy()
    yield (say("z is as it was afterwards", "调用之后 z 保持原样"),
           lambda: after(lambda: softmax(kept), kept))


check_softmax.mistake(
    say("exp(1000) is inf, and inf / inf is nan. What can be taken from all logits alike without "
        "changing p?",
        "exp(1000) 是 inf，inf / inf 得 nan。从所有 logit 中同时减去什么不会改变 p？"),
    within="softmax", replace={"z - np.max(z, axis=-1, keepdims=True)": "z"},
)
check_softmax.mistake(
    say("One vector works, a stack does not: the sum runs over the whole array. What sums to 1?",
        "单个向量正确，一组向量不对：你对整个数组求了和。应当是什么的和为 1？"),
    within="softmax", replace={"np.sum(e, axis=-1, keepdims=True)": "np.sum(e)"},
)
check_softmax.mistake(
    say("One vector works, a stack does not: the normalisation runs along the first axis.",
        "单个向量正确，一组向量不对：你沿第一维做了归一化。"),
    within="softmax", replace={"np.sum(e, axis=-1, keepdims=True)": "np.sum(e, axis=0, keepdims=True)"},
)
check_softmax.mistake(
    say("A row far below the others becomes 0 / 0. Which maximum does each row need?",
        "远低于其他行的那一行成了 0 / 0。每一行需要减去的是哪个最大值？"),
    within="softmax", replace={"np.max(z, axis=-1, keepdims=True)": "np.max(z)"},
)


@check_softmax.mistake(
    say("The caller's logits were overwritten. Which of your lines works in place?",
        "调用者的 logit 被覆盖了。你的哪一行是原地修改？"),
)
def softmax(z):
    z -= np.max(z, axis=-1, keepdims=True)
    return np.exp(z) / np.sum(np.exp(z), axis=-1, keepdims=True)


@check()
def check_softmax_derivation_steps(softmax_derivation_steps, rng):
    """Each step of the quotient rule, on and off the diagonal."""
    z = rng.normal(size=4)
    i, j = (int(k) for k in rng.permutation(4)[:2])
    for a, b, where in ((i, j, "i ≠ j"), (i, i, "i = j")):
        for key in ("de_i", "ds", "numerator", "dp_i", "dlog_p_i"):
            yield (say(f"{key} for {where}", f"{where} 时的 {key}"),
                   lambda: softmax_derivation_steps(z.copy(), a, b)[key])


check_softmax_derivation_steps.mistake(
    say("Off the diagonal: does e_i = exp(z_i) change when another logit z_j moves?",
        "看 i ≠ j 的情形：当另一个 logit z_j 变动时，e_i = exp(z_i) 会变吗？"),
    within="softmax_derivation_steps", replace={"de_i = delta * e[i]": "de_i = e[i]"},
)
check_softmax_derivation_steps.mistake(
    say("s is a sum, and only one of its terms holds z_j. Which?", "s 是一个和，其中只有一项含 z_j。是哪一项？"),
    within="softmax_derivation_steps", replace={"ds = e[j]": "ds = s"},
)
check_softmax_derivation_steps.mistake(
    say("The two terms of your numerator stand the wrong way round.", "你的分子里两项的先后颠倒了。"),
    within="softmax_derivation_steps",
    replace={"de_i * s - e[i] * ds": "e[i] * ds - de_i * s"},
)
check_softmax_derivation_steps.mistake(
    say("Check the denominator of the quotient rule: to which power does s stand there?",
        "检查商的求导法则的分母：s 是几次幂？"),
    within="softmax_derivation_steps", replace={"/ s**2": "/ s"},
)
check_softmax_derivation_steps.mistake(
    say("The derivative of log p_i still has a factor that should have cancelled. What does d log u "
        "divide by?",
        "log p_i 的导数里还留着一个本应约去的因子。d log u 要除以什么？"),
    within="softmax_derivation_steps", replace={"dlog_p_i = delta - e[j] / s": "dlog_p_i = dp_i"},
)
check_softmax_derivation_steps.mistake(
    say("d log p_i is right for i ≠ j only. log p_i = z_i − log s: differentiate both terms.",
        "d log p_i 只在 i ≠ j 时正确。log p_i = z_i − log s，两项都要求导。"),
    within="softmax_derivation_steps", replace={"delta - e[j] / s": "-e[j] / s"},
)


@check()
def check_softmax_jacobian(softmax_jacobian, rng):
    """The Jacobian of softmax, diagonal and the rest."""
    z = rng.normal(size=4)
    yield (say("the diagonal, n = 4", "n = 4 时的对角线"),
           lambda: np.diag(np.asarray(softmax_jacobian(z.copy()))))
    yield (say("off the diagonal, n = 4", "n = 4 时的非对角元素"),
           lambda: (lambda J: J - np.diag(np.diag(J)))(np.asarray(softmax_jacobian(z.copy()))))
    yield (say("equal logits, n = 3", "n = 3，各 logit 相等"), lambda: softmax_jacobian(np.zeros(3)))
    yield (say("a single logit: p is always 1", "只有一个 logit：p 恒为 1"),
           lambda: softmax_jacobian(z[:1].copy()))
    yield (say("logits near 1000 and −1000", "1000 与 −1000 附近的 logit"),
           lambda: softmax_jacobian(np.concatenate([z + 1000, z - 1000])))


check_softmax_jacobian.mistake(
    say("Your matrix is zero off the diagonal. Softmax is not element-wise: raising one logit takes "
        "probability from the others.",
        "你的矩阵在对角线以外全是 0。Softmax 不是逐元素的：抬高一个 logit 会从其他类别拿走概率。"),
    within="softmax_jacobian",
    replace={"np.diag(p) - np.outer(p, p)": "np.diag(p * (1 - p))"},
)
check_softmax_jacobian.mistake(
    say("The signs are reversed. Should p_i rise or fall when z_i is raised?",
        "符号反了。z_i 升高时 p_i 应当升还是降？"),
    within="softmax_jacobian",
    replace={"np.diag(p) - np.outer(p, p)": "np.outer(p, p) - np.diag(p)"},
)
check_softmax_jacobian.mistake(
    say("You subtract one number everywhere. Is p pᵀ a number or a matrix?",
        "你在每个位置减去的是同一个数。p pᵀ 是一个数还是一个矩阵？"),
    within="softmax_jacobian", replace={"np.outer(p, p)": "p @ p"},
)
check_softmax_jacobian.mistake(
    say("You used the logits where probabilities belong.", "该用概率的地方用了 logit。"),
    within="softmax_jacobian", replace={"p = softmax(z)": "p = z"},
)
check_softmax_jacobian.mistake(
    say("Only the diagonal is wrong: z_i stands in the numerator of p_i as well as in the sum.",
        "只有对角线不对：z_i 既出现在 p_i 的分子里，也出现在求和里。"),
    within="softmax_jacobian",
    replace={"np.diag(p) - np.outer(p, p)": "-np.outer(p, p)"},
)
check_softmax_jacobian.mistake(
    say("Large logits overflow. You have a softmax that does not.", "logit 很大时溢出了。你已经有一个不会溢出的 softmax。"),
    within="softmax_jacobian", replace={"p = softmax(z)": "p = np.exp(z) / np.exp(z).sum()"},
)


@check()
def check_softmax_vjp(softmax_vjp, rng):
    """gᵀJ of softmax in memory proportional to n."""
    for n in (4, 1):
        z, g = rng.normal(size=n), rng.normal(size=n)
        yield say(f"n = {n}", f"n = {n}"), lambda: softmax_vjp(z.copy(), g.copy())
    Z, G = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 3, 5))
    yield (say("a (3, 5) stack: each row by itself", "(3, 5) 的一组：各行独立"),
           lambda: softmax_vjp(Z[0].copy(), G[0].copy()))
    yield say("a (2, 3, 5) stack", "(2, 3, 5) 的一组"), lambda: softmax_vjp(Z.copy(), G.copy())
    yield (say("logits near 1000", "1000 附近的 logit"),
           lambda: softmax_vjp(Z[1] + 1000, G[1].copy()))
    z, g = rng.normal(size=1500), rng.normal(size=1500)
    yield (say("memory of the order of z, for n = 1500", "n = 1500 时所用内存与 z 同量级"),
           lambda: frugal(lambda: softmax_vjp(z, g), (z, g), 40))


@check_softmax_vjp.hidden
def _(softmax_vjp, rng):
    z, g = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    yield (say("z and g are as they were", "z 与 g 保持原样"),
           lambda: after(lambda: softmax_vjp(z, g), z, g))


check_softmax_vjp.mistake(
    say("That is the product for an element-wise function. What do the entries of J off the diagonal "
        "contribute?",
        "这是逐元素函数的结果。J 的非对角元素贡献了什么？"),
    within="softmax_vjp", replace={"p * (g - np.sum(p * g, axis=-1, keepdims=True))": "p * g"},
)
check_softmax_vjp.mistake(
    say("One factor is missing: which entry of p multiplies the whole of column j of J?",
        "少了一个因子：J 的第 j 列整体乘着 p 的哪个元素？"),
    within="softmax_vjp", replace={"return p * (": "return ("},
)
check_softmax_vjp.mistake(
    say("What is subtracted is the plain mean of g. With which weights does gᵀ(p pᵀ) add up g?",
        "你减去的是 g 的普通平均。gᵀ(p pᵀ) 是以怎样的权重把 g 加起来的？"),
    within="softmax_vjp",
    replace={"np.sum(p * g, axis=-1, keepdims=True)": "np.mean(g, axis=-1, keepdims=True)"},
)
check_softmax_vjp.mistake(
    say("One vector works, a stack does not: the sum runs over all vectors together.",
        "单个向量正确，一组向量不对：你把所有向量合在一起求了和。"),
    within="softmax_vjp", replace={"np.sum(p * g, axis=-1, keepdims=True)": "np.sum(p * g)"},
)
check_softmax_vjp.mistake(
    say("You used the logits where probabilities belong.", "该用概率的地方用了 logit。"),
    within="softmax_vjp", replace={"p = softmax(z)": "p = z"},
)


@check_softmax_vjp.mistake(
    say("Right, but J was built: n² numbers for n. Multiply gᵀ into diag(p) − p pᵀ on paper.",
        "结果正确，但构造了 J：本来 n 个数的事用了 n² 个。先在纸上把 gᵀ 乘进 diag(p) − p pᵀ。"),
)
def softmax_vjp(z, g):
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    J = p[..., :, None] * np.eye(z.shape[-1]) - p[..., :, None] * p[..., None, :]
    return np.einsum("...i,...ij->...j", g, J)


# Cross-entropy -----------------------------------------------------------------------------


@check()
def check_ce_derivation_steps(ce_derivation_steps, rng):
    """Both derivations of the cross-entropy gradient, step by step."""
    z, y = rng.normal(size=5), int(rng.integers(5))
    for key in ("loss", "dL_dp", "dp_dz", "lse", "dlse_dz", "dz_y_dz", "dL_dz"):
        yield say(f"{key}, n = 5", f"{key}，n = 5"), lambda: ce_derivation_steps(z.copy(), y)[key]


@check_ce_derivation_steps.hidden
def _(ce_derivation_steps, rng):
    z = rng.normal(size=3)
    for key in ("loss", "dL_dp", "dp_dz", "lse", "dlse_dz", "dz_y_dz", "dL_dz"):
        yield (say(f"{key}, n = 3 and the last class", f"{key}，n = 3，最后一类"),
               lambda: ce_derivation_steps(z.copy(), 2)[key])


check_ce_derivation_steps.mistake(
    say("A loss falls as the right class becomes likelier. Check its sign.",
        "正确类别的概率越高，损失应当越小。检查一下符号。"),
    within="ce_derivation_steps", replace={'"loss": -np.log': '"loss": np.log'},
)
check_ce_derivation_steps.mistake(
    say("L contains a single entry of p. What is its derivative with respect to the others?",
        "L 只含 p 的一个元素。它对其余元素的导数是多少？"),
    within="ce_derivation_steps", replace={'"dL_dp": -one_hot / p[y]': '"dL_dp": -1 / p'},
)
check_ce_derivation_steps.mistake(
    say("Does L rise or fall with p_y? Check the sign of dL_dp.", "p_y 增大时 L 是增还是减？检查 dL_dp 的符号。"),
    within="ce_derivation_steps", replace={'"dL_dp": -one_hot': '"dL_dp": one_hot'},
)
check_ce_derivation_steps.mistake(
    say("dL_dp is where it should be but has the wrong size. What is the derivative of log u?",
        "dL_dp 的位置对，大小不对。log u 的导数是什么？"),
    within="ce_derivation_steps", replace={"-one_hot / p[y]": "-one_hot"},
)
check_ce_derivation_steps.mistake(
    say("The log of log-sum-exp is missing from lse.", "lse（log-sum-exp）里缺了 log。"),
    within="ce_derivation_steps",
    replace={"np.log(np.sum(np.exp(z)))": "np.sum(np.exp(z))"},
)
check_ce_derivation_steps.mistake(
    say("dlse_dz: the derivative of log s divides by something. What should its entries add up to?",
        "dlse_dz：对 log s 求导时要除以某个量。它的各元素之和应当是多少？"),
    within="ce_derivation_steps", replace={'"dlse_dz": p': '"dlse_dz": np.exp(z)'},
)
check_ce_derivation_steps.mistake(
    say("z_y is linear in the logits. Can its derivative still contain z?",
        "z_y 关于 logit 是线性的。它的导数里还会含有 z 吗？"),
    within="ce_derivation_steps", replace={'"dz_y_dz": one_hot': '"dz_y_dz": one_hot * z'},
)
check_ce_derivation_steps.mistake(
    say("dL_dz points downhill. L = lse(z) − z_y: differentiate it term by term.",
        "dL_dz 指向了下降方向。L = lse(z) − z_y，逐项求导看看。"),
    within="ce_derivation_steps", replace={'"dL_dz": p - one_hot': '"dL_dz": one_hot - p'},
)
check_ce_derivation_steps.mistake(
    say("dp_dz is diagonal, as if softmax were element-wise. You derived its other entries above.",
        "dp_dz 是对角阵，好像 softmax 是逐元素的。它的其余元素你前面已经推过了。"),
    within="ce_derivation_steps",
    replace={'"dp_dz": softmax_jacobian(z)': '"dp_dz": np.diag(p * (1 - p))'},
)


@check()
def check_ce_grad_logits(ce_grad_logits, rng):
    """P − Y for a batch, summed loss."""
    Z, y = 2 * rng.normal(size=(4, 3)), np.array([2, 0, 2, 1])
    yield (say("one example, 3 classes", "1 个样本，3 个类别"),
           lambda: ce_grad_logits(Z[:1].copy(), y[:1].copy()))
    yield (say("4 examples, 3 classes, a class that occurs twice", "4 个样本，3 个类别，有一类出现两次"),
           lambda: ce_grad_logits(Z.copy(), y.copy()))
    wide, labels = rng.normal(size=(2, 6)), rng.integers(6, size=2)
    yield (say("2 examples, 6 classes", "2 个样本，6 个类别"),
           lambda: ce_grad_logits(wide.copy(), labels.copy()))
    far = Z + np.array([[1000.0], [-1000.0], [0.0], [500.0]])
    yield (say("logits near 1000 and −1000", "1000 与 −1000 附近的 logit"),
           lambda: ce_grad_logits(far.copy(), y.copy()))
    kept, labels_kept = Z.copy(), y.copy()
    yield (say("Z and y are as they were afterwards", "调用之后 Z 与 y 保持原样"),
           lambda: after(lambda: ce_grad_logits(kept, labels_kept), kept, labels_kept))


check_ce_grad_logits.mistake(
    say("You divided by the batch size. Is the loss of this exercise the sum or the mean?",
        "你除以了批大小。本题的损失是求和还是求平均？"),
    within="ce_grad_logits", replace={"return P - Y": "return (P - Y) / len(Z)"},
)
check_ce_grad_logits.mistake(
    say("The sign is reversed: a step against this gradient would make the right class less likely.",
        "符号反了：沿这个梯度的反方向走一步，正确类别的概率反而会降低。"),
    within="ce_grad_logits", replace={"return P - Y": "return Y - P"},
)
check_ce_grad_logits.mistake(
    say("The softmax Jacobian is applied once more than it should be. Into which variable is P − Y "
        "already the gradient: p or z?",
        "softmax 的 Jacobian 多乘了一次。P − Y 已经是对哪个变量的梯度：p 还是 z？"),
    within="ce_grad_logits", replace={"return P - Y": "return P * (1 - P) * (P - Y)"},
)
check_ce_grad_logits.mistake(
    say("The logits themselves are compared with the labels. What does the loss do to them first?",
        "你直接拿 logit 与标签相减。损失函数首先对 logit 做了什么？"),
    within="ce_grad_logits", replace={"P = softmax(Z)": "P = Z"},
)
check_ce_grad_logits.mistake(
    say("The softmax runs over the examples. Which axis holds the classes?",
        "softmax 沿样本方向做了。类别在哪一维？"),
    within="ce_grad_logits", replace={"softmax(Z)": "softmax(Z.T).T"},
)


@check_ce_grad_logits.mistake(
    say("With several examples too many entries are reduced. P[:, y] picks these columns in EVERY "
        "row; you want one entry in each.",
        "样本多于一个时，被减的元素太多了。P[:, y] 在每一行都取了这些列，而你想要的是每行一个元素。"),
)
def ce_grad_logits(Z, y):
    P = np.exp(Z - Z.max(axis=-1, keepdims=True))
    P /= P.sum(axis=-1, keepdims=True)
    P[:, y] -= 1
    return P


check_ce_grad_logits.mistake(
    say("Large logits overflow. You have a softmax that does not.", "logit 很大时溢出了。你已经有一个不会溢出的 softmax。"),
    within="ce_grad_logits",
    replace={"softmax(Z)": "np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)"},
)


# The paper ---------------------------------------------------------------------------------


def answer(paper_quiz, question):
    return str(paper_quiz()[question]).strip().lower()


@check()
def check_quiz_first_sections(paper_quiz, rng):
    """Parr & Howard, sections 1 to 3."""
    for question in ("q1", "q2", "q3", "q4"):
        yield (say(f"question {question[1:]}", f"第 {question[1:]} 题"),
               lambda: answer(paper_quiz, question), choice())


@check()
def check_quiz_matrix_calculus(paper_quiz, rng):
    """Parr & Howard, sections 4 to 6."""
    for question in ("q5", "q6", "q7", "q8"):
        yield (say(f"question {question[1:]}", f"第 {question[1:]} 题"),
               lambda: answer(paper_quiz, question), choice())


def confusion(question, right, wrong, hint):
    """A known mistake: this wrong letter for ``question``."""
    check_of = check_quiz_first_sections if question <= "q4" else check_quiz_matrix_calculus
    check_of.mistake(hint, within="paper_quiz", replace={
        f'"{question}": "{right}"': f'"{question}": "{wrong}"',
    })


confusion("q1", "c", "a", say(
    "Question 1: §1 says that the loss of one neuron can be differentiated in scalar form. What "
    "changes with a whole network?",
    "第 1 题：§1 说单个神经元的损失可以用标量形式求导。换成整个网络有什么不同？",
))
confusion("q1", "c", "b", say(
    "Question 1: notation does not change the numbers. Reread what §1 says after the mean squared "
    "error.",
    "第 1 题：记号不会改变数值。再读 §1 在均方误差公式之后的那一段。",
))
confusion("q1", "c", "d", say(
    "Question 1: §1 says that practice needs little calculus, because libraries do it. The "
    "question is about deriving.",
    "第 1 题：§1 说实践中并不需要多少微积分，因为库会代劳。这里问的是推导。",
))
confusion("q2", "b", "a", say(
    "Question 2: a sum and constants only. Reread the operator view in §2.",
    "第 2 题：这里只有和与常数。再读 §2 中把导数看作算子的一段。",
))
confusion("q2", "b", "c", say(
    "Question 2: a minus sign is the constant −1. Reread the operator view in §2.",
    "第 2 题：负号就是常数 −1。再读 §2 中把导数看作算子的一段。",
))
confusion("q2", "b", "d", say(
    "Question 2: the constant is pulled out and the rest is a sum. Reread §2's table.",
    "第 2 题：常数可以提到外面，其余是一个和。再看 §2 的表格。",
))
confusion("q3", "d", "a", say(
    "Question 3: the numbers are right; in which order does §3 list the partials?",
    "第 3 题：数值是对的；§3 按什么顺序排列各偏导数？",
))
confusion("q3", "d", "b", say(
    "Question 3: a gradient keeps the partials apart; you added them (§3).",
    "第 3 题：梯度把各偏导数分开放着，而你把它们加了起来（§3）。",
))
confusion("q3", "d", "c", say(
    "Question 3: for the partial in x, y is a constant factor, and constants stay (§3).",
    "第 3 题：对 x 求偏导时 y 是常数因子，常数因子要保留（§3）。",
))
confusion("q4", "b", "a", say(
    "Question 4: vectors stand upright in the paper, gradients do not. Reread the end of §3.",
    "第 4 题：论文里的向量是竖的，梯度却不是。再读 §3 的结尾。",
))
confusion("q4", "b", "c", say(
    "Question 4: how many scalar functions does L hold, and how many parameters? (§3)",
    "第 4 题：L 含几个标量函数，又有几个参数？（§3）",
))
confusion("q4", "b", "d", say(
    "Question 4: one partial for each parameter, and §3 does not add them up.",
    "第 4 题：每个参数对应一个偏导数，§3 并没有把它们加起来。",
))
confusion("q5", "a", "b", say(
    "Question 5: that is the denominator layout. Which one does §4 choose?",
    "第 5 题：那是分母布局。§4 选用的是哪一种？",
))
confusion("q5", "a", "c", say(
    "Question 5: count the functions and the parameters once more, and see §4.1 for which "
    "makes the rows.",
    "第 5 题：再数一遍函数与参数各有几个，并在 §4.1 查清哪一个对应行。",
))
confusion("q5", "a", "d", say(
    "Question 5: rows are functions and columns parameters (§4.1); which is the third "
    "parameter?",
    "第 5 题：行是函数，列是参数（§4.1）；第三个参数是哪一个？",
))
confusion("q6", "d", "a", say(
    "Question 6: y_i uses w_i and x_i only. Reread the element-wise diagonal condition, §4.2.",
    "第 6 题：y_i 只用到 w_i 与 x_i。再读 §4.2 的逐元素对角条件。",
))
confusion("q6", "d", "b", say(
    "Question 6: the maximum is taken of each entry with 0. See §4.2, and §5 on max.",
    "第 6 题：max 是每个元素各自与 0 比较。见 §4.2，以及 §5 关于 max 的部分。",
))
confusion("q6", "d", "c", say(
    "Question 6: z is the same for all entries but does not depend on x. See §4.3.",
    "第 6 题：z 对所有元素相同，但不依赖 x。见 §4.3。",
))
confusion("q7", "c", "a", say(
    "Question 7: that holds u₁ still while x moves. Does u₁ stand still? (§4.5.2)",
    "第 7 题：这样做等于让 x 变动而 u₁ 不动。u₁ 真的不动吗？（§4.5.2）",
))
confusion("q7", "c", "b", say(
    "Question 7: that is only the path through u₁. Draw the data flow of §4.5.2.",
    "第 7 题：这只是经过 u₁ 的那条路径。像 §4.5.2 那样画出数据流图。",
))
confusion("q7", "c", "d", say(
    "Question 7: along a path derivatives multiply; what happens to different paths? (§4.5.2)",
    "第 7 题：同一条路径上导数相乘；不同路径之间呢？（§4.5.2）",
))
confusion("q8", "a", "b", say(
    "Question 8: that is the gradient of the affine part. What does max do for z < 0? (§5)",
    "第 8 题：这是仿射部分的梯度。z < 0 时 max 做了什么？（§5）",
))
confusion("q8", "a", "c", say(
    "Question 8: the error is large, but can a small change of w change the output? (§5, §6)",
    "第 8 题：误差确实大，但 w 的微小变化能改变输出吗？（§5、§6）",
))
confusion("q8", "a", "d", say(
    "Question 8: the kink of max lies at z = 0 only. See the piecewise derivative in §5.",
    "第 8 题：max 只在 z = 0 处有折点。看 §5 的分段导数。",
))

EQUIVALENT: dict[str, str] = {}

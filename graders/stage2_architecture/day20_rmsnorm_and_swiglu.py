"""Checks of Day 20: what to observe of RMSNorm, gated linear units, SwiGLU and the two ablations."""

import math

import torch
from torch import nn

from ladder.checks import check, raises, say

BANNED = ("torch.nn", "torch.rms_norm", "torch.layer_norm", "torch.native_layer_norm", "torch.ops", "torch._C")
BY_HAND = (*BANNED, "torch.autograd", "torch.enable_grad", "torch.set_grad_enabled",
           "torch.inference_mode", "torch.func")
READY_MADE = ("torch.nn.RMSNorm", "torch.nn.LayerNorm", "torch.nn.SiLU", "torch.nn.GLU",
              "torch.nn.functional", *BANNED[1:])


def normal(rng, *shape):
    return torch.tensor(rng.normal(size=shape))


def gradients(f, w, *inputs):
    """The gradients of Σ w · f(inputs) with respect to each of the inputs."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    (f(*leaves) * w).sum().backward()
    return [leaf.grad for leaf in leaves]


def after(run, *inputs):
    """Run, then return the inputs, which should be as they were."""
    run()
    return list(inputs)


def holding(module, values):
    """``module`` in float64 with these values in its parameters."""
    module = module.double()
    with torch.no_grad():
        for name, value in values.items():
            module.get_parameter(name).copy_(value)
    return module


def shapes(module):
    return sorted((name, list(p.shape)) for name, p in module.named_parameters())


def parameter_gradients(module, w, *inputs):
    """The gradients of Σ w · module(inputs) with respect to the module's parameters, by name."""
    (module(*inputs) * w).sum().backward()
    return {name: p.grad for name, p in module.named_parameters()}


# ------------------------------------------------------------------------------------ RMSNorm


@check(forbids=BANNED)
def check_rmsnorm(rmsnorm, rng):
    """Every vector divided by its root mean square, then g."""
    x, g = normal(rng, 2, 3, 5) + 0.5, normal(rng, 5)
    one = torch.ones(5, dtype=torch.float64)
    yield (say("one vector of 5 numbers, g = 1", "一个含 5 个数的向量，g = 1"),
           lambda: rmsnorm(x[0, 0].clone(), one)[0])
    yield (say("the same with another g", "同一向量，换成别的 g"), lambda: rmsnorm(x[0, 0].clone(), g)[0])
    yield (say("shape (2, 3, 5): each vector by itself", "形状 (2, 3, 5)：每个向量各自处理"),
           lambda: rmsnorm(x.clone(), g)[0])
    yield (say("a vector of zeros", "零向量"),
           lambda: rmsnorm(torch.zeros(5, dtype=torch.float64), g)[0])
    yield (say("a vector with r near 0.001: eps counts", "r 约为 0.001 的向量：eps 起作用"),
           lambda: rmsnorm(0.001 * x[1], g)[0])
    yield say("eps = 0.5", "eps = 0.5"), lambda: rmsnorm(x.clone(), g, 0.5)[0]
    half = torch.tensor([300.0, -600.0, 900.0, 0.0, 100.0]).half()
    yield (say("float16, entries in the hundreds", "float16，元素上百"),
           lambda: rmsnorm(half.clone(), one.half())[0])
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        yield (say(f"dtype of y for {dtype}", f"输入为 {dtype} 时 y 的 dtype"),
               lambda: str(rmsnorm(x.to(dtype), g.to(dtype))[0].dtype))
    w = normal(rng, 2, 3, 5)
    for name, k in (("x", 0), ("g", 1)):
        yield (say(f"gradient with respect to {name}, by autograd", f"由自动求导得到的对 {name} 的梯度"),
               lambda: gradients(lambda *a: rmsnorm(*a)[0], w, x, g)[k])
    kept = x.clone()
    yield (say("x and g are as they were", "x 与 g 保持原样"),
           lambda: after(lambda: rmsnorm(kept, g), kept, g))


check_rmsnorm.mistake(
    say("This still takes the mean away first, as layer normalisation does. Does the formula?",
        "这里仍像层归一化那样先减去均值。公式里有这一步吗？"),
    within="rmsnorm",
    replace={"(wide**2).mean(dim=-1, keepdim=True)":
             "((wide - wide.mean(dim=-1, keepdim=True))**2).mean(dim=-1, keepdim=True)",
             "wide / r": "(wide - wide.mean(dim=-1, keepdim=True)) / r"},
)
check_rmsnorm.mistake(
    say("Only small vectors are off, or a large eps: where does eps stand, inside or outside the root?",
        "只有很小的向量或很大的 eps 时不对：eps 应当在根号里面还是外面？"),
    within="rmsnorm",
    replace={"torch.sqrt((wide**2).mean(dim=-1, keepdim=True) + eps)":
             "torch.sqrt((wide**2).mean(dim=-1, keepdim=True)) + eps"},
)
check_rmsnorm.mistake(
    say("You divide by the length of the vector. The M in RMS is missing.",
        "你除以的是向量的长度。RMS 里的 M 到哪里去了？"),
    within="rmsnorm", replace={"(wide**2).mean(": "(wide**2).sum("},
)
check_rmsnorm.mistake(
    say("float16 ends at 65504. Which number on the way to r exceeds it?",
        "float16 最大只到 65504。算出 r 之前，哪个数超过了它？"),
    within="rmsnorm", replace={"x.to(torch.promote_types(x.dtype, torch.float32))": "x"},
)


@check(forbids=BY_HAND)
def check_rmsnorm_backward(rmsnorm, rmsnorm_backward, rng):
    """dx and dg, without autograd."""
    x, g, dy = normal(rng, 2, 3, 5) + 0.5, normal(rng, 5), normal(rng, 2, 3, 5)
    one = torch.ones(5, dtype=torch.float64)

    def run(dy, x, g, *eps):
        with torch.no_grad():
            return list(rmsnorm_backward(dy.clone(), rmsnorm(x.clone(), g.clone(), *eps)[1]))

    yield (say("dx of one vector, g = 1", "单个向量的 dx，g = 1"), lambda: run(dy[0, 0], x[0, 0], one)[0])
    for k, name in enumerate(("dx", "dg")):
        yield (say(f"{name} of one vector, another g", f"单个向量的 {name}，换成别的 g"),
               lambda: run(dy[0, 0], x[0, 0], g)[k])
    for k, name in enumerate(("dx", "dg")):
        yield (say(f"{name} for shape (2, 3, 5)", f"形状 (2, 3, 5) 时的 {name}"), lambda: run(dy, x, g)[k])
    yield say("dx with eps = 0.5", "eps = 0.5 时的 dx"), lambda: run(dy, x, g, 0.5)[0]
    yield (say("dx for dy = 1 everywhere, g = 1", "dy 处处为 1、g = 1 时的 dx"),
           lambda: run(torch.ones_like(x), x, one)[0])
    yield (say("dtypes for float16", "输入为 float16 时的 dtype"),
           lambda: [str(t.dtype) for t in run(dy.half(), x.half(), g.half())])

    def twice():
        with torch.no_grad():
            given, cache = dy.clone(), rmsnorm(x.clone(), g.clone())[1]
            rmsnorm_backward(given, cache)
            return [*rmsnorm_backward(dy.clone(), cache), given]

    yield (say("called again with the same cache, then the first dy",
               "用同一个 cache 再调用一次，以及第一次传入的 dy"), twice)


BACK = "(d_hat - x_hat * (d_hat * x_hat).mean(dim=-1, keepdim=True)) / r"
check_rmsnorm_backward.mistake(
    say("r is treated as a constant. Each x_j changes it, and through it every y_i.",
        "你把 r 当成了常数。每个 x_j 都会改变它，进而影响每个 y_i。"),
    within="rmsnorm_backward", replace={BACK: "d_hat / r"},
)
check_rmsnorm_backward.mistake(
    say("This dx is that of layer normalisation: it has no part along (1, ..., 1). Is there a mean that "
        "x_j could act through?",
        "这是层归一化的 dx：它没有沿 (1, ..., 1) 的分量。这里有均值让 x_j 起作用吗？"),
    within="rmsnorm_backward",
    replace={BACK: "(d_hat - d_hat.mean(dim=-1, keepdim=True) "
                   "- x_hat * (d_hat * x_hat).mean(dim=-1, keepdim=True)) / r"},
)
check_rmsnorm_backward.mistake(
    say("The second term is d times too large. What stands before the sum in r² = Σ x_i² / d + eps?",
        "第二项大了 d 倍。r² = Σ x_i² / d + eps 里，求和号前后还有什么？"),
    within="rmsnorm_backward", replace={"(d_hat * x_hat).mean(": "(d_hat * x_hat).sum("},
)
check_rmsnorm_backward.mistake(
    say("g = 1 works, other gains do not. What is ∂L/∂x̂?", "g = 1 时正确，其他增益不对。∂L/∂x̂ 是什么？"),
    within="rmsnorm_backward", replace={"d_hat = wide * g": "d_hat = wide"},
)


@check(forbids=READY_MADE)
def check_rmsnorm_module(RMSNorm, rng):
    """The layer: its parameter, its start, its eps."""
    x, w = normal(rng, 2, 3, 5), normal(rng, 2, 3, 5)
    values = {"weight": normal(rng, 5)}
    yield say("names and shapes of the parameters", "各参数的名字与形状"), lambda: shapes(RMSNorm(5))
    yield say("weight at first", "weight 的初值"), lambda: RMSNorm(5).weight.detach()
    yield say("output at first", "初始时的输出"), lambda: RMSNorm(5).double()(x.clone())
    yield (say("output with another weight", "换成别的 weight 时的输出"),
           lambda: holding(RMSNorm(5), values)(x.clone()))
    yield (say("a small x: the eps that holds when none is given", "很小的 x：没有给出 eps 时的默认值"),
           lambda: holding(RMSNorm(5), values)(0.001 * x))
    yield (say("RMSNorm(5, eps=0.5)", "RMSNorm(5, eps=0.5)"),
           lambda: holding(RMSNorm(5, eps=0.5), values)(x.clone()))
    yield (say("gradient of the weight", "weight 的梯度"),
           lambda: parameter_gradients(holding(RMSNorm(5), values), w, x.clone()))


check_rmsnorm_module.mistake(
    say("There is one parameter too many: what has RMSNorm dropped from layer normalisation?",
        "多了一个参数：与层归一化相比，RMSNorm 去掉了什么？"),
    within="RMSNorm.__init__",
    replace={"self.weight = nn.Parameter(torch.ones(dim))":
             "self.weight = nn.Parameter(torch.ones(dim))\n        self.bias = nn.Parameter(torch.zeros(dim))"},
)
check_rmsnorm_module.mistake(
    say("The weight is not trained: an optimiser sees only nn.Parameter.",
        "weight 不会被训练：优化器只看得见 nn.Parameter。"),
    within="RMSNorm.__init__", replace={"nn.Parameter(torch.ones(dim))": "torch.ones(dim)"},
)
check_rmsnorm_module.mistake(
    say("eps is taken and forgotten.", "eps 传了进来，却没有用上。"),
    within="RMSNorm.forward", replace={"self.weight, self.eps)": "self.weight)"},
)


# --------------------------------------------------------------------------------- invariances


def rms(y):
    return y / (y**2).mean(dim=-1, keepdim=True).sqrt()


def layer(y):
    return rms(y - y.mean(dim=-1, keepdim=True))


def batch(y):
    return rms((y - y.mean(dim=0)).T).T


@check()
def check_invariances(rms_vs_layernorm, rng):
    """Six changes of a layer's weights and data, seen through several normalisations."""
    W, X, v = normal(rng, 4, 6), normal(rng, 5, 4), normal(rng, 4)
    a = float(rng.uniform(1.5, 2.5))
    for (en, zh), norm in ((("no normalisation", "不作归一化"), lambda y: y.clone()),
                           (("each row by its RMS", "每行除以自己的 RMS"), rms),
                           (("layer normalisation", "层归一化"), layer),
                           (("batch normalisation", "批归一化"), batch)):
        yield say(en, zh), lambda: dict(rms_vs_layernorm(norm, W.clone(), X.clone(), a, v.clone()))
    yield (say("a = 0.4", "a = 0.4"),
           lambda: dict(rms_vs_layernorm(torch.tanh, W.clone(), X.clone(), 0.4, v.clone())))
    yield (say("are the six values Python floats?", "六个值都是 Python 的 float 吗？"),
           lambda: [type(n) is float for n in rms_vs_layernorm(rms, W.clone(), X.clone(), a, v).values()])
    yield (say("the number of rows that norm gets, at least and at most", "norm 每次收到的行数：最少与最多"),
           lambda: rows_seen(rms_vs_layernorm, W, X, a, v))
    kept = [W.clone(), X.clone(), v.clone()]
    yield (say("W, X and v are as they were", "W、X、v 保持原样"),
           lambda: after(lambda: rms_vs_layernorm(rms, kept[0], kept[1], a, kept[2]), *kept))


def rows_seen(rms_vs_layernorm, W, X, a, v):
    seen = []
    rms_vs_layernorm(lambda y: seen.append(len(y)) or rms(y), W.clone(), X.clone(), a, v.clone())
    return [min(seen), max(seen)]


check_invariances.mistake(
    say("An entry that becomes smaller has changed too.", "变小了的元素也是变了。"),
    within="rms_vs_layernorm", replace={".abs().max()": ".max()"},
)
check_invariances.mistake(
    say("The mean hides a change in one row. The largest change is asked for.",
        "平均会掩盖只发生在某一行的变化。这里要的是最大的变化。"),
    within="rms_vs_layernorm", replace={".abs().max()": ".abs().mean()"},
)
check_invariances.mistake(
    say('"column_scale" changes the first row of W. A column holds the weights of one output: which '
        "index picks it?",
        "“column_scale” 改的是 W 的第一行。一列才是一个输出的全部权重：它由哪个下标选出？"),
    within="rms_vs_layernorm",
    replace={"torch.ones_like(W[0])": "torch.ones_like(W[:, :1])"},
)


@check_invariances.mistake(
    say("W or X comes back changed, and the changes pile up from one line to the next.",
        "W 或 X 被改动了，而且改动逐项累积。"),
)
def rms_vs_layernorm(norm, W, X, a, v):
    Y = norm(X @ W)

    def gap(A, B):
        return float((norm(A @ B) - Y).abs().max())

    result = {"matrix_scale": gap(X, a * W), "matrix_shift": gap(X, W + v[:, None]),
              "data_scale": gap(a * X, W), "data_shift": gap(X + v, W)}
    W[:, 0] *= a
    result["column_scale"] = gap(X, W)
    X[0] *= a
    result["case_scale"] = gap(X, W)
    return result


# --------------------------------------------------------------------------- SiLU and the gates


@check(forbids=BANNED)
def check_silu(silu, rng):
    """x σ(x), its gradient by autograd, and large arguments."""
    grid, x = torch.linspace(-4, 4, 9, dtype=torch.float64), normal(rng, 2, 3, 4)
    far = torch.tensor([-1000.0, 1000.0], dtype=torch.float64)
    yield say("at −4, −3, ..., 4", "在 −4、−3、…、4 处"), lambda: silu(grid.clone())
    yield say("shape (2, 3, 4)", "形状 (2, 3, 4)"), lambda: silu(x.clone())
    yield say("a single number, shape ()", "单个数，形状 ()"), lambda: silu(x[0, 0, 0].clone())
    yield say("at −1000 and 1000", "在 −1000 与 1000 处"), lambda: silu(far.clone())
    yield say("dtype for float32", "输入为 float32 时的 dtype"), lambda: str(silu(x.float()).dtype)
    yield (say("gradient by autograd", "由自动求导得到的梯度"),
           lambda: gradients(silu, torch.ones(9, dtype=torch.float64), grid)[0])
    yield (say("gradient by autograd at −1000 and 1000", "自动求导在 −1000 与 1000 处的梯度"),
           lambda: gradients(silu, torch.ones(2, dtype=torch.float64), far)[0])
    kept = x.clone()
    yield say("x is as it was", "x 保持原样"), lambda: after(lambda: silu(kept), kept)


check_silu.mistake(
    say("That is σ(x) alone, a gate without what it lets through.", "这只是 σ(x)：有门，却没有被放行的内容。"),
    within="silu", replace={"x * torch.sigmoid(x)": "torch.sigmoid(x)"},
)
check_silu.mistake(
    say("1.702 belongs to an approximation of GELU. Here β is 1.", "1.702 属于 GELU 的一个近似式。这里 β 为 1。"),
    within="silu", replace={"torch.sigmoid(x)": "torch.sigmoid(1.702 * x)"},
)
check_silu.mistake(
    say("The values are right, the gradient far out is NaN: what does autograd meet at e^1000?",
        "数值正确，但远处的梯度是 NaN：自动求导遇到 e^1000 会怎样？"),
    within="silu", replace={"x * torch.sigmoid(x)": "x / (1 + torch.exp(-x))"},
)


@check(forbids=BY_HAND)
def check_silu_grad(silu_grad, rng):
    """The derivative, from a formula."""
    grid, x = torch.linspace(-4, 4, 9, dtype=torch.float64), normal(rng, 2, 3, 4)

    def run(x):
        with torch.no_grad():
            return silu_grad(x)

    yield say("at 0", "在 0 处"), lambda: run(torch.zeros(1, dtype=torch.float64))
    yield say("at −4, −3, ..., 4", "在 −4、−3、…、4 处"), lambda: run(grid.clone())
    yield say("shape (2, 3, 4)", "形状 (2, 3, 4)"), lambda: run(x.clone())
    yield (say("at −1000 and 1000", "在 −1000 与 1000 处"),
           lambda: run(torch.tensor([-1000.0, 1000.0], dtype=torch.float64)))
    yield say("dtype for float32", "输入为 float32 时的 dtype"), lambda: str(run(x.float()).dtype)
    kept = x.clone()
    yield say("x is as it was", "x 保持原样"), lambda: after(lambda: run(kept), kept)


GRAD = "s * (1 + x * (1 - s))"
check_silu_grad.mistake(
    say("That is the derivative of σ. What is differentiated here is a product.",
        "这是 σ 的导数。这里求导的是一个乘积。"),
    within="silu_grad", replace={GRAD: "s * (1 - s)"},
)
check_silu_grad.mistake(
    say("Right at 0 only: one of the two terms of the product rule is missing.",
        "只有在 0 处正确：乘积法则的两项缺了一项。"),
    within="silu_grad", replace={GRAD: "s"},
)
check_silu_grad.mistake(
    say("The second term is x times σ′(x). Is 1 − σ all of σ′?", "第二项是 x 乘以 σ′(x)。σ′ 只是 1 − σ 吗？"),
    within="silu_grad", replace={GRAD: "s + x * (1 - s)"},
)
check_silu_grad.mistake(
    say("Right for moderate x, NaN far out: a formula with e^(−x) divides ∞ by ∞.",
        "x 不大时正确，远处是 NaN：含 e^(−x) 的公式出现了 ∞ 除以 ∞。"),
    within="silu_grad",
    replace={GRAD: "(1 + torch.exp(-x) + x * torch.exp(-x)) / (1 + torch.exp(-x)) ** 2 + 0 * s"},
)


@check(forbids=BANNED)
def check_glu(glu, rng):
    """Five gates, the order of the halves, and what is refused."""
    x, w = 2 * normal(rng, 2, 3, 8), normal(rng, 2, 3, 4)
    for kind in ("bilinear", "sigmoid", "relu", "gelu", "silu"):
        yield say(f'one vector, "{kind}"', f'单个向量，"{kind}"'), lambda: glu(x[0, 0].clone(), kind)
    for kind in ("sigmoid", "silu"):
        yield (say(f'shape (2, 3, 8), "{kind}"', f'形状 (2, 3, 8)，"{kind}"'), lambda: glu(x.clone(), kind))
    yield (say('gradient of x, "gelu"', '对 x 的梯度，"gelu"'),
           lambda: gradients(lambda u: glu(u, "gelu"), w, x)[0])
    yield (say("dtype for float32", "输入为 float32 时的 dtype"), lambda: str(glu(x.float(), "gelu").dtype))
    yield say('kind = "tanh"', 'kind = "tanh"'), lambda: glu(x.clone(), "tanh"), raises(ValueError)
    yield (say("7 channels", "7 个通道"), lambda: glu(x[..., :7].clone(), "relu"), raises(ValueError))
    kept = x.clone()
    yield (say("x is as it was", "x 保持原样"),
           lambda: after(lambda: [glu(kept, kind) for kind in ("relu", "silu")], kept))


check_glu.mistake(
    say("The nonlinearity is on the second half, as in torch.nn.functional.glu. Which half is the gate "
        "here?",
        "非线性加在了后一半上，像 torch.nn.functional.glu 那样。这里哪一半是门？"),
    within="glu", replace={"u, v = x.chunk": "v, u = x.chunk"},
)
check_glu.mistake(
    say("Even and odd channels are paired. The halves lie one behind the other.",
        "你把奇偶通道配成了对。两半应当是一前一后。"),
    within="glu", replace={"x.chunk(2, dim=-1)": "(x[..., 0::2], x[..., 1::2])"},
)
check_glu.mistake(
    say('"gelu" is off in the fourth digit: that is the approximation with tanh.',
        "“gelu” 在第四位数字上有偏差：那是用 tanh 的近似式。"),
    within="glu",
    replace={"u * (1 + torch.erf(u / math.sqrt(2))) / 2":
             "u * (1 + torch.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3))) / 2"},
)
check_glu.mistake(
    say("7 channels do not have two equal halves. Which error was asked for?",
        "7 个通道分不成相等的两半。题目要求抛出哪种错误？"),
    within="glu", replace={"if x.shape[-1] % 2:": "if False:"},
)


# ------------------------------------------------------------------------------------- SwiGLU


def matrices(rng, d=3, hidden=5):
    return normal(rng, d, hidden), normal(rng, d, hidden), normal(rng, hidden, d)


@check(forbids=BANNED)
def check_swiglu(swiglu_forward, swiglu, rng):
    """Two matrices in, a product, one matrix out."""
    W1, W3, W2 = matrices(rng)
    x, w = normal(rng, 2, 4, 3), normal(rng, 2, 4, 3)
    yield say("one token, d = 3, hidden = 5", "1 个 token，d = 3，hidden = 5"), lambda: swiglu(x[0, 0].clone(), W1, W3, W2)
    yield say("shape (2, 4, 3)", "形状 (2, 4, 3)"), lambda: swiglu(x.clone(), W1, W3, W2)
    yield (say("the y of swiglu_forward", "swiglu_forward 返回的 y"),
           lambda: swiglu_forward(x.clone(), W1, W3, W2)[0])
    yield (say("W3 three times as large", "W3 变为三倍"), lambda: swiglu(x.clone(), W1, 3 * W3, W2))
    yield (say("dtype for float32", "输入为 float32 时的 dtype"),
           lambda: str(swiglu(x.float(), W1.float(), W3.float(), W2.float()).dtype))
    yield (say("gradients of x, W1, W3, W2, by autograd", "由自动求导得到的对 x、W1、W3、W2 的梯度"),
           lambda: gradients(swiglu, w, x, W1, W3, W2))
    kept = x.clone()
    yield (say("the arguments are as they were", "各参数保持原样"),
           lambda: after(lambda: swiglu(kept, W1, W3, W2), kept, W1, W3, W2))


check_swiglu.mistake(
    say("W1 and W3 have changed places: which product goes through silu?",
        "W1 与 W3 调换了位置：哪一个乘积要经过 silu？"),
    within="swiglu_forward", replace={"silu(u) * v": "u * silu(v)"},
)
check_swiglu.mistake(
    say("silu is taken of the product. It belongs to one factor.", "你对乘积取了 silu。它只属于其中一个因子。"),
    within="swiglu_forward", replace={"silu(u) * v": "silu(u * v)"},
)
check_swiglu.mistake(
    say("The gate is σ(u): that is the first GLU, of 2016. What is the gate of SwiGLU?",
        "门是 σ(u)：那是 2016 年最早的 GLU。SwiGLU 的门是什么？"),
    within="swiglu_forward", replace={"silu(u) * v": "torch.sigmoid(u) * v"},
)


@check(forbids=BY_HAND)
def check_swiglu_backward(swiglu_forward, swiglu_backward, rng):
    """dx, dW1, dW3 and dW2, without autograd."""
    weights = matrices(rng)
    x, dy = normal(rng, 2, 4, 3), normal(rng, 2, 4, 3)

    def run(dy, x):
        with torch.no_grad():
            return list(swiglu_backward(dy.clone(), swiglu_forward(x.clone(), *weights)[1]))

    names = ("dx", "dW1", "dW3", "dW2")
    for k in (3, 2, 1, 0):
        yield (say(f"{names[k]} of one token", f"1 个 token 时的 {names[k]}"), lambda: run(dy[0, 0], x[0, 0])[k])
    for k in (3, 2, 1, 0):
        yield (say(f"{names[k]} for shape (2, 4, 3)", f"形状 (2, 4, 3) 时的 {names[k]}"), lambda: run(dy, x)[k])

    def twice():
        with torch.no_grad():
            given, cache = dy.clone(), swiglu_forward(x.clone(), *weights)[1]
            swiglu_backward(given, cache)
            return [*swiglu_backward(dy.clone(), cache), given]

    yield (say("called again with the same cache, then the first dy",
               "用同一个 cache 再调用一次，以及第一次传入的 dy"), twice)


check_swiglu_backward.mistake(
    say("dW1 is off: the gradient passes through silu as if silu were the identity.",
        "dW1 不对：梯度经过 silu 时，好像 silu 是恒等映射。"),
    within="swiglu_backward", replace={"dh * v * silu_grad(u)": "dh * v"},
)
check_swiglu_backward.mistake(
    say("x reaches the loss on two ways, through the gate and through the values; dx has only one.",
        "x 有两条路通向损失：经过门，也经过值；dx 里只有一条。"),
    within="swiglu_backward", replace={"du @ W1.T + dv @ W3.T": "du @ W1.T"},
)
check_swiglu_backward.mistake(
    say("dW3 is off: in a product, each factor's gradient carries the other factor. What is it here?",
        "dW3 不对：乘积中每个因子的梯度都带着另一个因子。这里的另一个因子是什么？"),
    within="swiglu_backward", replace={"dv = dh * gate": "dv = dh * u"},
)
check_swiglu_backward.mistake(
    say("The weight gradients come back in another order than the arguments W1, W3, W2.",
        "权重梯度的返回次序与参数 W1、W3、W2 不一致。"),
    within="swiglu_backward", replace={"dW1, dW3, dW2\n": "dW1, dW2, dW3\n"},
)


@check()
def check_glu_hidden(glu_hidden, rng):
    """Two thirds, and the next multiple."""
    for dff, multiple in ((3072, 1), (16384, 256), (100, 1), (101, 1), (100, 8), (96, 64), (97, 32), (1, 4)):
        yield (say(f"glu_hidden({dff}, {multiple})", f"glu_hidden({dff}, {multiple})"),
               lambda: glu_hidden(dff, multiple))
    dff = int(rng.integers(1000, 9000))
    yield say(f"dff = {dff}, multiple_of not given", f"dff = {dff}，没有给出 multiple_of"), lambda: glu_hidden(dff)
    yield (say(f"glu_hidden({dff}, multiple_of=48)", f"glu_hidden({dff}, multiple_of=48)"),
           lambda: glu_hidden(dff, multiple_of=48))
    yield say("is it an int?", "是 int 吗？"), lambda: type(glu_hidden(dff)) is int


HIDDEN = "multiple_of * max(1, math.ceil((2 * dff // 3) / multiple_of))"
check_glu_hidden.mistake(
    say("Rounded to the nearest integer; the docstring takes ⌊2 dff / 3⌋.", "这里作了四舍五入；题目要的是 ⌊2 dff / 3⌋。"),
    within="glu_hidden", replace={"(2 * dff // 3)": "round(2 * dff / 3)"},
)
check_glu_hidden.mistake(
    say("This goes down to a multiple. Which way does the docstring go?", "这里是向下取到倍数。题目要往哪个方向取？"),
    within="glu_hidden", replace={"math.ceil((2 * dff // 3) / multiple_of)": "(2 * dff // 3) // multiple_of"},
)
check_glu_hidden.mistake(
    say("A hidden size that is a multiple already moves on to the next one.",
        "隐藏大小本来就是倍数时，却又跳到了下一个。"),
    within="glu_hidden", replace={HIDDEN: "multiple_of * ((2 * dff // 3) // multiple_of + 1)"},
)


@check(forbids=READY_MADE)
def check_swiglu_module(SwiGLU, rng):
    """The layer: three bias-free matrices."""
    x, w = normal(rng, 2, 4, 3), normal(rng, 2, 4, 3)
    values = {f"{name}.weight": W.T for name, W in zip(("w1", "w3", "w2"), matrices(rng), strict=True)}
    yield (say("names and shapes of the parameters, dim = 3, hidden = 5", "各参数的名字与形状，dim = 3，hidden = 5"),
           lambda: shapes(SwiGLU(3, 5)))
    yield (say("are w1, w2 and w3 nn.Linear?", "w1、w2、w3 是 nn.Linear 吗？"),
           lambda: [isinstance(getattr(SwiGLU(3, 5), name), nn.Linear) for name in ("w1", "w2", "w3")])
    yield say("output for known weights", "权重已知时的输出"), lambda: holding(SwiGLU(3, 5), values)(x.clone())
    yield (say("one token, shape (3,)", "1 个 token，形状 (3,)"),
           lambda: holding(SwiGLU(3, 5), values)(x[0, 0].clone()))
    yield (say("gradients of the parameters", "各参数的梯度"),
           lambda: parameter_gradients(holding(SwiGLU(3, 5), values), w, x.clone()))


check_swiglu_module.mistake(
    say("There are parameters too many: nn.Linear brings something along unless told not to.",
        "参数多了：不加说明的话，nn.Linear 会附带一样东西。"),
    within="SwiGLU.__init__",
    replace={"self.w1 = nn.Linear(dim, hidden, bias=False)": "self.w1 = nn.Linear(dim, hidden)",
             "self.w3 = nn.Linear(dim, hidden, bias=False)": "self.w3 = nn.Linear(dim, hidden)"},
)
check_swiglu_module.mistake(
    say("The numbers of the names mislead: which of w1, w2, w3 leads back to dim?",
        "名字里的编号容易误导：w1、w2、w3 中哪一个变回 dim？"),
    within="SwiGLU",
    replace={"self.w3 = nn.Linear(dim, hidden, bias=False)": "self.w2 = nn.Linear(dim, hidden, bias=False)",
             "self.w2 = nn.Linear(hidden, dim, bias=False)": "self.w3 = nn.Linear(hidden, dim, bias=False)",
             "self.w2(silu(self.w1(x)) * self.w3(x))": "self.w3(silu(self.w1(x)) * self.w2(x))"},
)
check_swiglu_module.mistake(
    say("The shapes fit and the output is another: which matrix makes the gate?",
        "形状都对，输出却不同：哪个矩阵产生门？"),
    within="SwiGLU.forward", replace={"silu(self.w1(x)) * self.w3(x)": "silu(self.w3(x)) * self.w1(x)"},
)


# ---------------------------------------------------------------------------------- ablations


class Toy(nn.Module):
    """A linear classifier in float64 that is louder in training mode and notes how it is called."""

    def __init__(self, W, size=1.0):
        super().__init__()
        self.W, self.c, self.size = nn.Parameter(W.clone()), nn.Parameter(W[0].clone()), size
        self.seen = []

    def forward(self, x):
        self.seen.append([self.training, torch.is_grad_enabled()])
        return self.size * ((1.5 if self.training else 1.0) * x @ self.W + self.c)


def examples(rng, *shape):
    return normal(rng, *shape, 3), torch.tensor(rng.integers(4, size=shape))


@check()
def check_train_and_test(train_and_test, rng):
    """Losses before each step, the test at the end, the parameters that are left."""
    W, batches, test = normal(rng, 3, 4), [examples(rng, 6) for _ in range(4)], examples(rng, 9)
    tokens = [examples(rng, 2, 3) for _ in range(2)]

    def run(batches, test, lr=0.1, size=1.0):
        model = Toy(W, size).eval()
        losses, tested = train_and_test(model, [(x.clone(), y.clone()) for x, y in batches], test, lr)
        return model, list(losses), tested

    yield say("one batch: its loss", "一个批：它的损失"), lambda: run(batches[:1], test)[1]
    yield (say("one batch: W after the step", "一个批：一步之后的 W"),
           lambda: run(batches[:1], test)[0].W.detach())
    yield say("four batches: the losses", "四个批：各个损失"), lambda: run(batches, test)[1]
    yield say("four batches: W afterwards", "四个批：之后的 W"), lambda: run(batches, test)[0].W.detach()
    yield say("four batches: the test loss", "四个批：测试损失"), lambda: run(batches, test)[2]
    yield (say("logits of shape (2, 3, 4)", "logits 形状为 (2, 3, 4)"), lambda: list(run(tokens, tokens[0], 0.02)[1:]))
    yield (say("in the first and the last call of the model: training mode? graph recorded?",
               "第一次与最后一次调用模型时：是训练模式吗？记录计算图吗？"),
           lambda: [run(batches, test)[0].seen[k] for k in (0, -1)])
    yield (say("a model that gives NaN: the test loss", "输出 NaN 的模型：测试损失"),
           lambda: run(batches[:1], test, size=math.nan)[2])
    yield (say("are the losses Python floats?", "各损失都是 Python 的 float 吗？"),
           lambda: [type(n) is float for n in (*run(batches, test)[1], run(batches, test)[2])])


check_train_and_test.mistake(
    say("The first step is right, the later ones are not: what is left in .grad?",
        "第一步对，后面的不对：.grad 里留下了什么？"),
    within="train_and_test", replace={"optimiser.zero_grad()": "pass"},
)
check_train_and_test.mistake(
    say("The test runs in training mode. Dropout would still be at work.", "测试时仍处于训练模式。Dropout 会照样起作用。"),
    within="train_and_test", replace={"    model.eval()\n": ""},
)
check_train_and_test.mistake(
    say("NaN in a table spoils every comparison with it. What does the docstring want instead?",
        "表里的 NaN 会使所有比较失去意义。题目要用什么代替它？"),
    within="train_and_test", replace={"tested if math.isfinite(tested) else math.inf": "tested"},
)


def plain(table):
    """The rows as lists in the order of the table, with the entries by name."""
    return [[name, dict(row)] for name, row in table.items()]


def seeded_toy(size):
    return Toy(torch.randn(3, 4, dtype=torch.float64), size)


@check()
def check_norm_ablation(norm_ablation, rng):
    """The table, name by name and seed by seed."""
    batches, test = [examples(rng, 6) for _ in range(2)], examples(rng, 9)
    seeds = [int(s) for s in rng.choice(1000, size=3, replace=False)]

    def run(norms, seeds):
        return plain(norm_ablation(norms, seeded_toy, batches, test, 0.1, seeds))

    yield say("one name, one seed", "一个名字，一个种子"), lambda: run({"a": 1.0}, seeds[:1])
    yield say("one name, three seeds", "一个名字，三个种子"), lambda: run({"a": 1.0}, seeds)
    yield say("two names, two seeds", "两个名字，两个种子"), lambda: run({"b": 2.0, "a": 0.5}, seeds[:2])
    yield (say("two names with the same norm", "两个名字对应同一种归一化"), lambda: run({"b": 1.0, "a": 1.0}, seeds[:2]))
    yield (say("a model that diverges", "发散的模型"), lambda: run({"a": math.nan}, seeds[:2]))

    def calls():
        made = []
        norm_ablation({"b": 2.0, "a": 0.5}, lambda s: made.append(s) or seeded_toy(s), batches[:1], test, 0.1, seeds[:2])
        return sorted(made)

    yield say("what make_model was called with, sorted", "调用 make_model 时的参数（已排序）"), calls


check_norm_ablation.mistake(
    say("Two names with the same norm get different losses: when must the generator be seeded so that "
        "they start alike?",
        "同一种归一化用两个名字，损失却不同：要让它们起点相同，应当在什么时候设定种子？"),
    within="norm_ablation",
    replace={"table = {}": "table = {}\n    torch.manual_seed(seeds[0])", "            torch.manual_seed(seed)\n": ""},
)
check_norm_ablation.mistake(
    say("The second seed goes on with the model of the first. Where is a model made?",
        "第二个种子接着训练了第一个种子的模型。模型在哪里创建？"),
    within="norm_ablation",
    replace={"losses = []": "losses = []\n        torch.manual_seed(seeds[0])\n        model = make_model(norm)",
             "            model = make_model(norm)\n": "            pass\n"},
)
check_norm_ablation.mistake(
    say("That is the number of parameter tensors. How many numbers do they hold?",
        "这是参数张量的个数。它们一共含有多少个数？"),
    within="norm_ablation", replace={"p.numel() for": "1 for"},
)


@check()
def check_ffn_ablation(ffn_activation_ablation, rng):
    """Hidden sizes with as many weights, and the table."""
    batches, test = [examples(rng, 6) for _ in range(2)], examples(rng, 9)
    seeds = [int(s) for s in rng.choice(1000, size=2, replace=False)]
    variants = {"ReLU": ("relu", False), "SwiGLU": ("silu", True), "GLU": ("sigmoid", True)}

    def make(kind, gated, hidden):
        return seeded_toy(hidden / 100 + {"relu": 0, "silu": 0.1, "sigmoid": 0.2}[kind] + gated)

    def run(dff, seeds, variants=variants):
        return plain(ffn_activation_ablation(variants, dff, make, batches, test, 0.1, seeds))

    def calls(dff):
        made = []
        ffn_activation_ablation(variants, dff, lambda *s: made.append(s) or make(*s), batches[:1], test, 0.1, seeds[:1])
        return sorted(made)

    yield (say("dff = 96: what make_model was called with, sorted", "dff = 96：调用 make_model 时的参数（已排序）"),
           lambda: calls(96))
    yield (say("dff = 100: what make_model was called with, sorted", "dff = 100：调用 make_model 时的参数（已排序）"),
           lambda: calls(100))
    yield (say("one plain network, one seed", "一个普通网络，一个种子"),
           lambda: run(96, seeds[:1], {"ReLU": ("relu", False)}))
    yield (say("one gated network, one seed", "一个门控网络，一个种子"),
           lambda: run(96, seeds[:1], {"GLU": ("sigmoid", True)}))
    yield say("three networks, two seeds", "三个网络，两个种子"), lambda: run(96, seeds)


SIZE = "glu_hidden(dff) if gated else dff"
check_ffn_ablation.mistake(
    say("The gated networks have half as many weights again. Three matrices must share what two had.",
        "门控网络的权重多出了一半。三个矩阵应当分摊原来两个矩阵的权重。"),
    within="ffn_activation_ablation", replace={SIZE: "dff"},
)
check_ffn_ablation.mistake(
    say("The plain networks have become smaller too. Which ones have a third matrix?",
        "普通网络也变小了。哪些网络有第三个矩阵？"),
    within="ffn_activation_ablation", replace={SIZE: "glu_hidden(dff)"},
)
check_ffn_ablation.mistake(
    say("Half the hidden units is too few: count the weights of all matrices, the one that leads back "
        "included.",
        "隐藏单元减半就太少了：把所有矩阵的权重都数进去，包括变回来的那一个。"),
    within="ffn_activation_ablation", replace={SIZE: "dff // 2 if gated else dff"},
)

EQUIVALENT: dict[str, str] = {
    "rmsnorm: torch.promote_types(x.dtype, torch.float32) -> torch.promote_types(torch.float32, x.dtype)":
        "promotion does not know the order of its arguments",
    "rms_vs_layernorm: W[0] -> W[1]": "only the shape and dtype of a row count",
    "rms_vs_layernorm: norm(A @ B) - Y -> Y - norm(A @ B)": "the size of a difference does not know its sign",
}

"""Checks of Day 12: what to observe of layer normalisation, the feed-forward network and the block."""

import torch
from torch import nn

from ladder.checks import check, close, raises, say

BANNED = ("torch.nn", "torch.layer_norm", "torch.native_layer_norm", "torch.batch_norm",
          "torch.group_norm", "torch.ops", "torch._C")
BY_HAND = (*BANNED, "torch.autograd", "torch.enable_grad", "torch.set_grad_enabled",
           "torch.inference_mode", "torch.func")
READY_MADE = ("torch.nn.LayerNorm", "torch.nn.Linear", "torch.nn.GELU", "torch.nn.functional",
              "torch.nn.MultiheadAttention", "torch.nn.TransformerEncoderLayer",
              "torch.nn.TransformerDecoderLayer", *BANNED[1:])


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


# ------------------------------------------------------------------------ layer normalisation


@check(forbids=BANNED)
def check_layernorm(layernorm_forward, layernorm, rng):
    """Every vector by itself: mean 0, variance 1, then g and b."""
    x, g, b = normal(rng, 2, 3, 5), normal(rng, 5), normal(rng, 5)
    one, zero = torch.ones(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)
    yield (say("one vector of 5 numbers, g = 1, b = 0", "一个含 5 个数的向量，g = 1，b = 0"),
           lambda: layernorm(x[0, 0].clone(), one, zero))
    yield (say("the same with other g and b", "同一向量，换成别的 g 与 b"),
           lambda: layernorm(x[0, 0].clone(), g, b))
    yield (say("shape (2, 3, 5): each vector by itself", "形状 (2, 3, 5)：每个向量各自处理"),
           lambda: layernorm(x.clone(), g, b))
    yield (say("the y of layernorm_forward", "layernorm_forward 返回的 y"),
           lambda: layernorm_forward(x.clone(), g, b)[0])
    yield (say("a vector whose entries are all 3", "元素全为 3 的向量"),
           lambda: layernorm(torch.full((5,), 3.0, dtype=torch.float64), g, b))
    yield (say("a vector with σ near 0.003: eps counts", "σ 约为 0.003 的向量：eps 起作用"),
           lambda: layernorm(0.003 * x[1], one, zero))
    yield (say("eps = 0.5", "eps = 0.5"), lambda: layernorm(x.clone(), g, b, 0.5))
    yield (say("a mean near 1000000, σ near 1", "均值约 1000000，σ 约为 1"),
           lambda: layernorm(1e6 + x[0], g, b))
    yield (say("dtype for float32", "输入为 float32 时的 dtype"),
           lambda: str(layernorm(x.float(), g.float(), b.float()).dtype))
    w = normal(rng, 2, 3, 5)
    for name, k in (("x", 0), ("g", 1), ("b", 2)):
        yield (say(f"gradient with respect to {name}, by autograd", f"由自动求导得到的对 {name} 的梯度"),
               lambda: gradients(layernorm, w, x, g, b)[k])
    kept = x.clone()
    yield (say("x is as it was", "x 保持原样"), lambda: after(lambda: layernorm(kept, g, b), kept))


MEAN = "(centred**2).mean(dim=-1, keepdim=True)"
check_layernorm.mistake(
    say("σ² is a little too large. Is the sum divided by d or by d − 1?",
        "σ² 略微偏大。求和之后除以的是 d 还是 d − 1？"),
    within="layernorm_forward", replace={MEAN: "x.var(dim=-1, keepdim=True)"},
)
check_layernorm.mistake(
    say("Only vectors with a small σ are off: on which side of the root does eps stand?",
        "只有 σ 很小的向量不对：eps 应当在根号里面还是外面？"),
    within="layernorm_forward", replace={f"torch.sqrt({MEAN} + eps)": f"torch.sqrt({MEAN}) + eps"},
)
check_layernorm.mistake(
    say("A constant vector gives 0 / 0.", "常数向量得到了 0 / 0。"),
    within="layernorm_forward", replace={f"{MEAN} + eps": MEAN},
)
check_layernorm.mistake(
    say("You divide by the variance. Which power of it gives variance 1?",
        "你除以的是方差。除以它的几次方，才能使方差变为 1？"),
    within="layernorm_forward", replace={f"torch.sqrt({MEAN} + eps)": f"({MEAN} + eps)"},
)
check_layernorm.mistake(
    say("One mean and one σ for the whole tensor: then tokens influence each other.",
        "整个张量只用了一个均值和一个 σ：这样 token 之间会互相影响。"),
    within="layernorm_forward",
    replace={"x.mean(dim=-1, keepdim=True)": "x.mean()", MEAN: "(centred**2).mean()"},
)
check_layernorm.mistake(
    say("The mean runs over the tokens, as in batch normalisation. Which dimension holds a vector?",
        "均值是跨 token 求的，那是批归一化的做法。一个向量的元素在哪一维？"),
    within="layernorm_forward",
    replace={"x.mean(dim=-1, keepdim=True)": "x.mean(dim=0, keepdim=True)",
             MEAN: "(centred**2).mean(dim=0, keepdim=True)"},
)
check_layernorm.mistake(
    say("E[x²] − μ² subtracts two huge numbers that are almost equal. Subtract μ first, square then.",
        "E[x²] − μ² 是两个几乎相等的大数相减。应当先减去 μ，再平方。"),
    within="layernorm_forward",
    replace={MEAN: "((x**2).mean(dim=-1, keepdim=True) - x.mean(dim=-1, keepdim=True) ** 2)"},
)
check_layernorm.mistake(
    say("The values are right, the gradient of x is not: μ and σ depend on x too.",
        "数值正确，对 x 的梯度却不对：μ 与 σ 也依赖 x。"),
    within="layernorm_forward",
    replace={"x.mean(dim=-1, keepdim=True)": "x.mean(dim=-1, keepdim=True).detach()",
             "s = torch.sqrt(": "s = torch.sqrt(0 * eps + ", "x_hat = centred / s":
             "s = s.detach()\n    x_hat = centred / s"},
)


@check_layernorm.mistake(
    say("x comes back changed: -= works in place.", "x 被改动了：-= 是原地操作。"),
    within="layernorm_forward",
)
def layernorm_forward(x, g, b, eps=1e-5):
    x = x.clone() if x.requires_grad else x
    x -= x.mean(dim=-1, keepdim=True)
    return g * x / torch.sqrt((x**2).mean(dim=-1, keepdim=True) + eps) + b, None


def by_hand(forward, backward, dy, x, g, b, *eps):
    """(dx, dg, db) of the two functions, autograd off."""
    with torch.no_grad():
        return list(backward(dy.clone(), forward(x.clone(), g.clone(), b.clone(), *eps)[1]))


@check(forbids=BY_HAND)
def check_layernorm_backward(layernorm_forward, layernorm_backward, rng):
    """dx, dg and db, without autograd."""
    x, g, b, dy = normal(rng, 2, 3, 5), normal(rng, 5), normal(rng, 5), normal(rng, 2, 3, 5)
    names = ("dx", "dg", "db")

    def run(*arguments):
        return by_hand(layernorm_forward, layernorm_backward, *arguments)

    one = torch.ones(5, dtype=torch.float64)
    yield (say("dx of one vector, g = 1", "单个向量的 dx，g = 1"),
           lambda: run(dy[0, 0], x[0, 0], one, b)[0])
    for k, name in enumerate(names):
        yield (say(f"{name} of one vector, another g", f"单个向量的 {name}，换成别的 g"),
               lambda: run(dy[0, 0], x[0, 0], g, b)[k])
    for k, name in enumerate(names):
        yield (say(f"{name} for shape (2, 3, 5)", f"形状 (2, 3, 5) 时的 {name}"),
               lambda: run(dy, x, g, b)[k])
    yield say("dx with eps = 0.5", "eps = 0.5 时的 dx"), lambda: run(dy, x, g, b, 0.5)[0]
    yield (say("dx for dy = 1 everywhere, g = 1: how far from 0", "dy 处处为 1、g = 1 时的 dx：离 0 多远"),
           lambda: float(run(torch.ones_like(x), x, one, b)[0].abs().max()), close(atol=1e-12))

    def twice():
        with torch.no_grad():
            given = dy.clone()
            cache = layernorm_forward(x.clone(), g.clone(), b.clone())[1]
            layernorm_backward(given, cache)
            return [*layernorm_backward(dy.clone(), cache), given]

    yield (say("called again with the same cache, then the first dy",
               "用同一个 cache 再调用一次，以及第一次传入的 dy"), twice)


BACK = "(d_hat - along_one - along_x_hat) / s"
check_layernorm_backward.mistake(
    say("μ and σ are treated as constants. Each x_i changes them, and through them every y_j.",
        "你把 μ 与 σ 当成了常数。每个 x_i 都会改变它们，进而影响每个 y_j。"),
    within="layernorm_backward", replace={BACK: "d_hat / s"},
)
check_layernorm_backward.mistake(
    say("The way through μ is missing. What should dx be if dy is the same for all channels and "
        "g = 1?",
        "缺了经过 μ 的那条路。若 dy 在所有通道上相同且 g = 1，dx 应当是什么？"),
    within="layernorm_backward", replace={BACK: "(d_hat - along_x_hat) / s"},
)
check_layernorm_backward.mistake(
    say("The way through σ is missing. How does σ change with x_j?",
        "缺了经过 σ 的那条路。σ 如何随 x_j 变化？"),
    within="layernorm_backward", replace={BACK: "(d_hat - along_one) / s"},
)
check_layernorm_backward.mistake(
    say("dx should shrink as σ grows: y does not notice if x is stretched.",
        "σ 越大，dx 应当越小：把 x 拉伸，y 几乎不变。"),
    within="layernorm_backward", replace={BACK: "d_hat - along_one - along_x_hat"},
)
check_layernorm_backward.mistake(
    say("g = 1 works, other gains do not. What is ∂L/∂x̂?", "g = 1 时正确，其他增益不对。∂L/∂x̂ 是什么？"),
    within="layernorm_backward", replace={"d_hat = dy * g": "d_hat = dy"},
)
check_layernorm_backward.mistake(
    say("Sums stand where the two terms need means: both carry a factor 1/d.",
        "两项都应当取均值，你用的是求和：它们都带有因子 1/d。"),
    within="layernorm_backward",
    replace={"d_hat.mean(dim=-1, keepdim=True)": "d_hat.sum(dim=-1, keepdim=True)",
             "(d_hat * x_hat).mean(dim=-1, keepdim=True)": "(d_hat * x_hat).sum(dim=-1, keepdim=True)"},
)
check_layernorm_backward.mistake(
    say("dg and db still have leading dimensions. All vectors share one g and one b.",
        "dg 与 db 还留着前面的维度。所有向量共用一个 g 和一个 b。"),
    within="layernorm_backward",
    replace={"leading = tuple(range(dy.ndim - 1))": "leading = tuple(range(dy.ndim - 2))"},
)
check_layernorm_backward.mistake(
    say("dg and db are averaged over the vectors. Each vector adds its part to the loss.",
        "dg 与 db 对各向量取了平均。每个向量对损失的贡献应当相加。"),
    within="layernorm_backward",
    replace={"(dy * x_hat).sum(": "(dy * x_hat).mean(", "dy.sum(": "dy.mean("},
)
check_layernorm_backward.mistake(
    say("dg is built with the input or the output. What is g multiplied with in the forward pass?",
        "dg 用错了量。前向时 g 乘的是什么？"),
    within="layernorm_backward",
    replace={"(dy * x_hat).sum(dim=leading) if leading else dy * x_hat":
             "(dy * x_hat * s).sum(dim=leading) if leading else dy * x_hat * s"},
)
check_layernorm_backward.mistake(
    say("dx, dg and db are right, and dy comes back changed.", "dx、dg、db 都对，但 dy 被改动了。"),
    within="layernorm_backward", replace={"d_hat = dy * g": "d_hat = dy.mul_(g)"},
)


@check(forbids=READY_MADE)
def check_layernorm_module(LayerNorm, rng):
    """The layer: its parameters, their start, its eps."""
    x, w = normal(rng, 2, 3, 5), normal(rng, 2, 3, 5)
    values = {"g": normal(rng, 5), "b": normal(rng, 5)}
    yield say("names and shapes of the parameters", "各参数的名字与形状"), lambda: shapes(LayerNorm(5))
    for name in ("g", "b"):
        yield say(f"{name} at first", f"{name} 的初值"), lambda: getattr(LayerNorm(5), name)
    yield (say("output at first", "初始时的输出"), lambda: LayerNorm(5).double()(x.clone()))
    yield (say("output with other g and b", "换成别的 g 与 b 时的输出"),
           lambda: holding(LayerNorm(5), values)(x.clone()))
    yield (say("LayerNorm(5, eps=0.5)", "LayerNorm(5, eps=0.5)"),
           lambda: holding(LayerNorm(5, eps=0.5), values)(x.clone()))
    yield (say("gradients of its parameters", "各参数的梯度"),
           lambda: parameter_gradients(holding(LayerNorm(5), values), w, x.clone()))


check_layernorm_module.mistake(
    say("g and b are not trained: an optimiser sees only nn.Parameter.",
        "g 与 b 不会被训练：优化器只看得见 nn.Parameter。"),
    within="LayerNorm", replace={"nn.Parameter(torch.ones(d))": "torch.ones(d)",
                                 "nn.Parameter(torch.zeros(d))": "torch.zeros(d)"},
)
check_layernorm_module.mistake(
    say("With g = 0 every token becomes the same vector. How must g start so that the layer only "
        "normalises?",
        "g = 0 时每个 token 都变成同一个向量。g 的初值应是多少，才使这一层只作归一化？"),
    within="LayerNorm", replace={"torch.ones(d)": "torch.zeros(d)"},
)
check_layernorm_module.mistake(
    say("eps is taken and forgotten.", "eps 传了进来，却没有用上。"),
    within="LayerNorm", replace={"self.b, self.eps)": "self.b)"},
)
check_layernorm_module.mistake(
    say("One gain for the whole vector; each channel needs its own.",
        "整个向量只有一个增益；每个通道都应有自己的增益。"),
    within="LayerNorm", replace={"torch.ones(d)": "torch.ones(1)", "torch.zeros(d)": "torch.zeros(1)"},
)
check_layernorm_module.mistake(
    say("g and b have changed places.", "g 与 b 调换了位置。"),
    within="LayerNorm", replace={"layernorm(x, self.g, self.b": "layernorm(x, self.b, self.g"},
)


# ------------------------------------------------------------------- the feed-forward network


def ffn_values(rng, d, dff):
    return {"W1": normal(rng, d, dff), "b1": normal(rng, dff),
            "W2": normal(rng, dff, d), "b2": normal(rng, d)}


@check(forbids=BANNED)
def check_ffn(ffn, rng):
    """Two matrices with an exact GELU between them."""
    eye, zero = torch.eye(9, dtype=torch.float64), torch.zeros(9, dtype=torch.float64)
    grid = torch.linspace(-4, 4, 9, dtype=torch.float64)
    plain = {"W1": eye, "b1": zero, "W2": eye, "b2": zero}
    yield (say("identity matrices and no biases: GELU at −4, −3, ..., 4",
               "矩阵为单位阵、偏置为零：GELU 在 −4、−3、…、4 处的值"),
           lambda: ffn(grid.clone(), plain))
    yield (say("GELU at −40 and 40", "GELU 在 −40 与 40 处的值"),
           lambda: ffn(10 * grid[[0, 8]].repeat(5)[:9], plain))
    p, x = ffn_values(rng, 3, 7), normal(rng, 2, 4, 3)
    none = p | {"b1": 0 * p["b1"], "b2": 0 * p["b2"]}
    yield (say("one token, d = 3, dff = 7, no biases", "1 个 token，d = 3，dff = 7，无偏置"),
           lambda: ffn(x[0, 0].clone(), none))
    yield (say("the same with b1", "同上，加上 b1"), lambda: ffn(x[0, 0].clone(), none | {"b1": p["b1"]}))
    yield (say("the same with b2", "同上，加上 b2"), lambda: ffn(x[0, 0].clone(), none | {"b2": p["b2"]}))
    yield say("shape (2, 4, 3)", "形状 (2, 4, 3)"), lambda: ffn(x.clone(), p)
    yield (say("dtype for float32", "输入为 float32 时的 dtype"),
           lambda: str(ffn(x.float(), {k: v.float() for k, v in p.items()}).dtype))
    w = normal(rng, 2, 4, 3)
    yield (say("gradients with respect to x, W1, b1, W2, b2", "对 x、W1、b1、W2、b2 的梯度"),
           lambda: gradients(lambda u, *v: ffn(u, dict(zip(p, v, strict=True))), w, x, *p.values()))
    kept = x.clone()
    yield say("x is as it was", "x 保持原样"), lambda: after(lambda: ffn(kept, p), kept)


GELU = "u * (1 + torch.erf(u / math.sqrt(2))) / 2"
check_ffn.mistake(
    say("That is ReLU. GELU lets small negative numbers through a little.",
        "这是 ReLU。GELU 会让小的负数也通过一点。"),
    within="ffn", replace={GELU: "torch.relu(u)"},
)
check_ffn.mistake(
    say("That is the approximation with tanh, off by up to 0.0005. Which function gives Φ exactly?",
        "这是用 tanh 的近似，误差可达 0.0005。用哪个函数能精确得到 Φ？"),
    within="ffn",
    replace={GELU: "u * (1 + torch.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3))) / 2"},
)
check_ffn.mistake(
    say("That is the approximation with the logistic function: u / (1 + exp(−1.702 u)).",
        "这是用 logistic 函数的近似：u / (1 + exp(−1.702 u))。"),
    within="ffn", replace={GELU: "u * torch.sigmoid(1.702 * u)"},
)
check_ffn.mistake(
    say("The bend of your GELU is too sharp: Φ(u) is not erf(u). See the argument of erf.",
        "你的 GELU 弯得太急：Φ(u) 不等于 erf(u)。注意 erf 的自变量。"),
    within="ffn", replace={"u / math.sqrt(2)": "u"},
)
check_ffn.mistake(
    say("The factor u is missing: Φ alone saturates at 1.", "缺了因子 u：只有 Φ 时会饱和于 1。"),
    within="ffn", replace={GELU: "(1 + torch.erf(u / math.sqrt(2))) / 2"},
)
check_ffn.mistake(
    say("Without a nonlinearity the two matrices are one: W1 W2.",
        "没有非线性，两个矩阵就等于一个：W1 W2。"),
    within="ffn", replace={GELU: "u"},
)
check_ffn.mistake(
    say("b1 is not used.", "没有用到 b1。"), within="ffn", replace={' + params["b1"]': ""},
)
check_ffn.mistake(
    say("b2 is not used.", "没有用到 b2。"), within="ffn", replace={' + params["b2"]': ""},
)
check_ffn.mistake(
    say("x itself is added: the residual connection belongs to the block.",
        "结果里加上了 x 本身：残差连接属于 Block，不属于这里。"),
    within="ffn", replace={"return hidden": "return x + hidden"},
)


@check(forbids=READY_MADE)
def check_ffn_module(FFN, rng):
    """The layer: shapes, start, output."""
    values, x, w = ffn_values(rng, 3, 7), normal(rng, 2, 4, 3), normal(rng, 2, 4, 3)
    yield say("names and shapes of the parameters", "各参数的名字与形状"), lambda: shapes(FFN(3, 7))
    yield (say("output with given parameters", "参数给定时的输出"),
           lambda: holding(FFN(3, 7), values)(x.clone()))
    yield (say("gradients of its parameters", "各参数的梯度"),
           lambda: parameter_gradients(holding(FFN(3, 7), values), w, x.clone()))
    yield (say("b1 and b2 at first", "b1 与 b2 的初值"),
           lambda: [p.detach() for p in (lambda m: (m.b1, m.b2))(FFN(3, 7))])
    for name, rows in (("W1", 90), ("W2", 250)):
        yield (say(f"FFN(90, 250): the largest |{name}|, times √{rows}",
                   f"FFN(90, 250)：|{name}| 的最大值乘以 √{rows}"),
               lambda: float(getattr(FFN(90, 250), name).detach().abs().max()) * rows**0.5,
               close(rtol=0.01))
        yield (say(f"FFN(90, 250): the standard deviation of {name}, times √{rows}",
                   f"FFN(90, 250)：{name} 的标准差乘以 √{rows}"),
               lambda: float(getattr(FFN(90, 250), name).detach().std()) * rows**0.5,
               close(rtol=0.04))
    yield (say("two layers made one after the other: the same W1?", "先后创建的两层：W1 是否相同？"),
           lambda: bool((FFN(3, 7).W1 == FFN(3, 7).W1).all()))


DRAW_1, DRAW_2 = "uniform_(-(d**-0.5), d**-0.5)", "uniform_(-(dff**-0.5), dff**-0.5)"
check_ffn_module.mistake(
    say("W2 has dff rows, and is drawn as if it had d.", "W2 有 dff 行，抽取时却按 d 行来算。"),
    within="FFN", replace={DRAW_2: DRAW_1},
)
check_ffn_module.mistake(
    say("The numbers are normal, not uniform between −a and a.",
        "这些数服从正态分布，而不是在 −a 与 a 之间均匀分布。"),
    within="FFN", replace={DRAW_1: "normal_(0, d**-0.5)", DRAW_2: "normal_(0, dff**-0.5)"},
)
check_ffn_module.mistake(
    say("All numbers are positive: the interval is [0, a].", "所有数都是正的：区间成了 [0, a]。"),
    within="FFN", replace={DRAW_1: "uniform_(0, d**-0.5)", DRAW_2: "uniform_(0, dff**-0.5)"},
)
check_ffn_module.mistake(
    say("Matrices that start at 0 stay in a standstill: no gradient gets past them.",
        "矩阵从 0 开始就会停在那里：梯度无法穿过它们。"),
    within="FFN", replace={DRAW_1: "zero_()", DRAW_2: "zero_()"},
)
check_ffn_module.mistake(
    say("The matrices lie on their side, as in nn.Linear. Here y = x W, and W has one row for each "
        "input.",
        "矩阵方向反了，像 nn.Linear 那样。这里 y = x W，W 的每一行对应一个输入。"),
    within="FFN",
    replace={"W1 = nn.Parameter(torch.empty(d, dff)": "W1 = nn.Parameter(torch.empty(dff, d)",
             "W2 = nn.Parameter(torch.empty(dff, d)": "W2 = nn.Parameter(torch.empty(d, dff)",
             '"W1": self.W1': '"W1": self.W1.T', '"W2": self.W2': '"W2": self.W2.T'},
)
check_ffn_module.mistake(
    say("How do the biases start?", "偏置的初值是什么？"),
    within="FFN", replace={"nn.Parameter(torch.zeros(dff))": "nn.Parameter(torch.ones(dff) / 8)",
                           "nn.Parameter(torch.zeros(d))": "nn.Parameter(torch.ones(d) / 8)"},
)


# --------------------------------------------------------------------- residual connections


@check()
def check_sublayer(sublayer, rng):
    """The normalisation in its two places."""
    x, W = normal(rng, 2, 3, 4), normal(rng, 4, 4)

    def f(u):
        return torch.tanh(u @ W)

    def ln(u):
        return 3 * u / (1 + u.abs().sum(dim=-1, keepdim=True)) - 0.5

    for norm in ("pre", "post"):
        yield (say(f'norm = "{norm}"', f'norm = "{norm}"'), lambda: sublayer(x.clone(), f, ln, norm))
        yield (say(f'norm = "{norm}", f returns zeros', f'norm = "{norm}"，f 返回零'),
               lambda: sublayer(x.clone(), torch.zeros_like, ln, norm))

        def called():
            calls = []
            sublayer(x.clone(), lambda u: calls.append("f") or f(u),
                     lambda u: calls.append("ln") or ln(u), norm)
            return calls

        yield (say(f'norm = "{norm}": what is called, in order', f'norm = "{norm}"：依次调用了什么'),
               called)
        w = normal(rng, 2, 3, 4)
        yield (say(f'norm = "{norm}": gradient of x', f'norm = "{norm}"：对 x 的梯度'),
               lambda: gradients(lambda u: sublayer(u, f, ln, norm), w, x))
        kept = x.clone()
        yield (say(f'norm = "{norm}", f and ln return what they get: the result, and x afterwards',
                   f'norm = "{norm}"，f 与 ln 原样返回参数：结果，以及之后的 x'),
               lambda: [sublayer(kept, lambda u: u, lambda u: u, norm), kept])
    for norm in ("Pre", "", None):
        yield (say(f"norm = {norm!r}", f"norm = {norm!r}"),
               lambda: sublayer(x.clone(), f, ln, norm), raises(ValueError))


PRE, POST = "return x + f(ln(x))", "return ln(x + f(x))"
check_sublayer.mistake(
    say('"pre" and "post" have changed places: before or after what does the normalisation stand?',
        "“pre” 与 “post” 弄反了：归一化是在什么之前、什么之后？"),
    within="sublayer", replace={
        'if norm == "pre":': 'norm = {"pre": "post", "post": "pre"}.get(norm, norm)\n    if norm == "pre":',
    },
)
check_sublayer.mistake(
    say('"pre": the sum starts from LN(x). The residual stream itself must pass untouched.',
        "“pre”：相加的是 LN(x)。残差流本身应当原样通过。"),
    within="sublayer", replace={PRE: "u = ln(x)\n        return u + f(u)"},
)
check_sublayer.mistake(
    say('"pre": you normalise what f returns; it is its input that is normalised.',
        "“pre”：你归一化了 f 的输出；应当归一化的是它的输入。"),
    within="sublayer", replace={PRE: "return x + ln(f(x))"},
)
check_sublayer.mistake(
    say('"post": the residual connection is missing.', "“post”：缺了残差连接。"),
    within="sublayer", replace={POST: "return ln(f(x))"},
)
check_sublayer.mistake(
    say('"post": the normalisation comes after the sum, not inside it.',
        "“post”：归一化应当在相加之后，而不是在其中一项里。"),
    within="sublayer", replace={POST: "return x + ln(f(x))"},
)
check_sublayer.mistake(
    say('Whatever is not "pre" counts as "post". A typing error would train another model.',
        "凡不是 “pre” 的都当成了 “post”。一个笔误就会训练出另一个模型。"),
    within="sublayer", replace={'if norm == "post":': "if True:"},
)


@check_sublayer.mistake(
    say("x comes back changed: += works in place, and f may hand its argument back.",
        "x 被改动了：+= 是原地操作，而 f 可能原样返回它的参数。"),
)
def sublayer(x, f, ln, norm):
    if norm not in ("pre", "post"):
        raise ValueError(norm)
    y = f(ln(x) if norm == "pre" else x)
    y += x
    return y if norm == "pre" else ln(y)


@check()
def check_identity_test(identity_test, rng):
    """The identity, near misses, and functions that look like it one way only."""
    x, g, W = normal(rng, 2, 3, 4), normal(rng, 2, 3, 4), normal(rng, 4, 4)
    for label, f in (
        (say("f returns its argument", "f 原样返回参数"), lambda u: u),
        (say("f(x) = x − 0.25", "f(x) = x − 0.25"), lambda u: u - 0.25),
        (say("f(x) = x W", "f(x) = x W"), lambda u: u @ W),
        (say("f(x) = x − x³/9", "f(x) = x − x³/9"), lambda u: u - u**3 / 9),
        (say("f has the values of x and twice its gradient", "f 的值等于 x，梯度是两倍"),
         lambda u: 2 * u - u.detach()),
        (say("f has the values of x and no graph", "f 的值等于 x，但没有计算图"), lambda u: u.detach()),
        (say("f depends on a parameter, not on x", "f 依赖某个参数，而不依赖 x"),
         lambda u: torch.zeros_like(u) + W.clone().requires_grad_().sum()),
    ):
        yield label, lambda: list(identity_test(f, x.clone(), g.clone()))
    yield (say("are both Python floats?", "两者都是 Python 的 float 吗？"),
           lambda: [type(gap) is float for gap in identity_test(torch.sin, x.clone(), g.clone())])

    def traces(needs):
        p, given = W.clone().requires_grad_(), x.clone().requires_grad_(needs)
        calls = []
        gaps = identity_test(lambda u: calls.append(1) or u @ p, given, g.clone())
        return [*gaps, len(calls), given.requires_grad, given.grad is None, p.grad is None, given]

    for needs in (False, True):
        yield (say(f"x.requires_grad = {needs}: the gaps; calls of f; is x as it was; no grad left?",
                   f"x.requires_grad = {needs}：两个差距；f 的调用次数；x 是否原样；没有遗留 grad？"),
               lambda: traces(needs))


check_identity_test.mistake(
    say("Differences below 0 count as well: take sizes before the largest.",
        "负的差也算：先取绝对值，再求最大。"),
    within="identity_test", replace={"(y - leaf).abs().max()": "(y - leaf).max()",
                                     "(v - g).abs().max()": "(v - g).max()"},
)
check_identity_test.mistake(
    say("The mean hides one large difference; the largest is asked for.",
        "平均会掩盖个别的大差距；这里要的是最大值。"),
    within="identity_test", replace={"(y - leaf).abs().max()": "(y - leaf).abs().mean()",
                                     "(v - g).abs().max()": "(v - g).abs().mean()"},
)
check_identity_test.mistake(
    say("The gradient is that of the sum of f(x), as if g were 1. Which gradient arrives at the "
        "output?",
        "求的是 f(x) 之和的梯度，相当于 g = 1。到达输出处的梯度是什么？"),
    within="identity_test", replace={"leaf, g, allow": "leaf, torch.ones_like(y), allow"},
)
check_identity_test.mistake(
    say("What does autograd say of an output that has no graph at all?",
        "输出根本没有计算图时，自动求导会怎样？"),
    within="identity_test", replace={"if y.requires_grad:": "if True:"},
)
check_identity_test.mistake(
    say("An output may have a graph in which x does not occur.", "输出可能有计算图，但其中没有 x。"),
    within="identity_test", replace={", allow_unused=True": ""},
)
check_identity_test.mistake(
    say("Gradients stay behind in the parameters of f: the next training step would add them up.",
        "f 的参数里留下了梯度：下一步训练会把它们累加进去。"),
    within="identity_test",
    replace={"(v,) = torch.autograd.grad(y, leaf, g, allow_unused=True)":
             "leaf.retain_grad()\n        y.backward(g)\n        v = leaf.grad"},
)
check_identity_test.mistake(
    say("x itself was made a leaf that requires a gradient. Work on a copy.",
        "你把 x 本身设成了需要梯度的叶子。应当在副本上操作。"),
    within="identity_test", replace={"x.detach().clone().requires_grad_()": "x.requires_grad_()"},
)
check_identity_test.mistake(
    say("Without a gradient the gap is not 0: v is 0, and v is compared with g.",
        "没有梯度并不意味着差距为 0：此时 v 为 0，要拿 v 与 g 比较。"),
    within="identity_test", replace={"torch.zeros_like(leaf) if v is None": "g if v is None"},
)


# --------------------------------------------------------------------------------- the block


def block_values(rng, d, dff):
    values = {f"attn.{name}": normal(rng, d, d) for name in ("Wq", "Wk", "Wv", "Wo")}
    values |= {f"ffn.{name}": value for name, value in ffn_values(rng, d, dff).items()}
    return values | {f"{ln}.{name}": normal(rng, d) for ln in ("ln1", "ln2") for name in "gb"}


@check(forbids=READY_MADE)
def check_block(Block, BlockConfig, rng):
    """Attention and feed-forward network, pre- and post-norm."""
    cfg = BlockConfig(d=6, h=2, dff=10)
    values, x, w = block_values(rng, 6, 10), normal(rng, 2, 5, 6), normal(rng, 2, 5, 6)

    def block(*norm):
        return holding(Block(cfg, *norm), values)

    yield (say("names and shapes of the parameters, d = 6, h = 2, dff = 10",
               "各参数的名字与形状，d = 6，h = 2，dff = 10"), lambda: shapes(Block(cfg)))
    for norm in ("pre", "post"):
        yield (say(f'norm = "{norm}": output', f'norm = "{norm}"：输出'),
               lambda: block(norm)(x.clone()))
    yield say("norm is not given", "没有给出 norm"), lambda: block()(x.clone())
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    padding = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])[:, None, None]
    for norm in ("pre", "post"):
        yield (say(f'norm = "{norm}", a causal mask', f'norm = "{norm}"，因果掩码'),
               lambda: block(norm)(x.clone(), causal.clone()))
    yield (say("a padding mask of shape (2, 1, 1, 5)", "形状为 (2, 1, 1, 5) 的填充掩码"),
           lambda: block("pre")(x.clone(), mask=padding.clone()))
    shut = {"attn.Wo": 0, "ffn.W2": 0, "ffn.b2": 0}
    for norm in ("pre", "post"):
        yield (say(f'norm = "{norm}", Wo, W2 and b2 are 0', f'norm = "{norm}"，Wo、W2、b2 为 0'),
               lambda: holding(block(norm), {k: 0 * values[k] for k in shut})(x.clone()))
    for norm in ("pre", "post"):
        yield (say(f'norm = "{norm}": gradients of the parameters', f'norm = "{norm}"：各参数的梯度'),
               lambda: parameter_gradients(block(norm), w, x.clone(), causal.clone()))
    yield say('norm = "layer"', 'norm = "layer"'), lambda: Block(cfg, "layer") and None, raises(ValueError)
    kept = x.clone()
    yield say("x is as it was", "x 保持原样"), lambda: after(lambda: block("pre")(kept), kept)


check_block.mistake(
    say("The mask does not reach the attention: tokens look into the future.",
        "掩码没有传到注意力：token 看到了未来。"),
    within="Block.forward", replace={"self.attn(u, mask)": "self.attn(u)"},
)
check_block.mistake(
    say("Both sublayers use ln1. Each has a gain and a shift of its own.",
        "两个子层用的都是 ln1。每个子层各有自己的增益与平移。"),
    within="Block.forward", replace={"self.ffn, self.ln2": "self.ffn, self.ln1"},
)
check_block.mistake(
    say("The normalisations have changed places: which one belongs to the attention?",
        "两个归一化调换了位置：哪一个属于注意力？"),
    within="Block.forward", replace={"mask), self.ln1": "mask), self.ln2", "self.ffn, self.ln2": "self.ffn, self.ln1"},
)
check_block.mistake(
    say("norm is stored and not used: it is always pre-norm.", "norm 存了却没有用：始终是 pre-norm。"),
    within="Block.__init__", replace={"self.norm = norm": 'self.norm = "pre"'},
)
check_block.mistake(
    say("The feed-forward network comes first here. Which sublayer opens the block?",
        "这里前馈网络排在了最前面。Block 的第一个子层是哪个？"),
    within="Block.forward",
    replace={"x = sublayer(x, lambda u: self.attn(u, mask), self.ln1, self.norm)":
             "x = sublayer(x, self.ffn, self.ln2, self.norm)",
             "return sublayer(x, self.ffn, self.ln2, self.norm)":
             "return sublayer(x, lambda u: self.attn(u, mask), self.ln1, self.norm)"},
)
check_block.mistake(
    say("The heads do not have the size that cfg says. What is the second argument of "
        "MultiHeadAttention?",
        "头的大小与 cfg 不符。MultiHeadAttention 的第二个参数是什么？"),
    within="Block.__init__", replace={"MultiHeadAttention(cfg.d, cfg.h)": "MultiHeadAttention(cfg.d, 1)"},
)
check_block.mistake(
    say("dff comes from cfg; it need not be 4 d.", "dff 由 cfg 给出，不一定是 4d。"),
    within="Block.__init__", replace={"FFN(cfg.d, cfg.dff)": "FFN(cfg.d, 4 * cfg.d)"},
)
check_block.mistake(
    say("An unknown norm is noticed only when the block is used, if at all.",
        "未知的 norm 要到使用 Block 时才会被发现，甚至根本不会。"),
    within="Block.__init__", replace={'if norm not in ("pre", "post"):': "if False:"},
)


@check_block.mistake(
    say("Both sublayers start from the same x. The second one should see what the first one added.",
        "两个子层都从同一个 x 出发。第二个子层应当看到第一个子层加上的内容。"),
    within="Block.forward",
)
def forward(self, x, mask=None):
    if self.norm == "pre":
        return x + self.attn(self.ln1(x), mask) + self.ffn(self.ln2(x))
    return self.ln2(self.ln1(x + self.attn(x, mask)) + self.ffn(x))


# -------------------------------------------------------------------------- gradients by depth


class Toy(nn.Module):
    """A block for the checks: a residual connection around one matrix and a shift."""

    def __init__(self, W, c):
        super().__init__()
        self.W, self.c = nn.Parameter(W.clone()), nn.Parameter(c.clone())

    def forward(self, x):
        return x + torch.tanh(x @ self.W) + self.c


@check(forbids=("torch.nn.LayerNorm", "torch.nn.functional.layer_norm", *BANNED[1:]))
def check_grad_norm(grad_norm_by_depth, rng):
    """The norms, block by block, for blocks with known weights."""
    B, T, d, C = 2, 3, 4, 5
    weights = [(normal(rng, d, d), normal(rng, d)) for _ in range(4)]
    x, head = normal(rng, B, T, d) + 1, normal(rng, d, C)
    y = torch.tensor(rng.integers(C, size=(B, T)))

    def run(mode, L):
        made, modes = iter(weights), []
        result = grad_norm_by_depth(mode, L, x.clone(), y.clone(), head.clone(),
                                    lambda m: modes.append(m) or Toy(*next(made)))
        return result, modes

    for mode in ("pre", "post"):
        yield (say(f'"{mode}", one block', f'"{mode}"，1 个 Block'), lambda: run(mode, 1)[0])
        yield (say(f'"{mode}", 4 blocks', f'"{mode}"，4 个 Block'), lambda: run(mode, 4)[0])
        yield (say(f'"{mode}", 3 blocks: what make_block was called with',
                   f'"{mode}"，3 个 Block：调用 make_block 时的参数'), lambda: run(mode, 3)[1])
    yield (say("a list of Python floats?", "是 Python float 的列表吗？"),
           lambda: [type(run("pre", 2)[0]) is list, *(type(n) is float for n in run("pre", 2)[0])])


check_grad_norm.mistake(
    say('With "pre" the last block\'s output is normalised once more before the head.',
        "“pre” 时，最后一个 Block 的输出在进入 head 之前还要再归一化一次。"),
    within="grad_norm_by_depth", replace={'if mode == "pre":': "if False:"},
)
check_grad_norm.mistake(
    say('With "post" nothing is added after the last block: it ends with a normalisation anyway.',
        "“post” 时最后一个 Block 之后不再加任何东西：它本来就以归一化结尾。"),
    within="grad_norm_by_depth", replace={'if mode == "pre":': "if True:"},
)
check_grad_norm.mistake(
    say("That is the square of the norm.", "这是范数的平方。"),
    within="grad_norm_by_depth", replace={"math.sqrt(sum(": "(sum("},
)
check_grad_norm.mistake(
    say("The parameters' norms are added. Squares add up, the root comes last.",
        "你把各参数的范数相加了。应当是平方相加，最后才开方。"),
    within="grad_norm_by_depth",
    replace={"math.sqrt(sum(float((p.grad**2).sum()) for p in block.parameters()))":
             "sum(float(p.grad.norm()) for p in block.parameters())"},
)
check_grad_norm.mistake(
    say("The list starts at the output; the block nearest to x comes first.",
        "列表是从输出端开始的；离 x 最近的 Block 应当排在最前。"),
    within="grad_norm_by_depth", replace={"for block in blocks\n    ]": "for block in blocks\n    ][::-1]"},
)
check_grad_norm.mistake(
    say("The loss is a sum over tokens; the mean is asked for.", "损失取了各 token 之和；要的是平均。"),
    within="grad_norm_by_depth", replace={"y.flatten())": 'y.flatten(), reduction="sum")'},
)
check_grad_norm.mistake(
    say("make_block runs once, so all layers share one block and its gradients pile up.",
        "make_block 只调用了一次，所有层共用一个 Block，梯度堆在了一起。"),
    within="grad_norm_by_depth",
    replace={"[make_block(mode) for _ in range(L)]": "[make_block(mode)] * L"},
)

EQUIVALENT: dict[str, str] = {
    "identity_test: y - leaf -> leaf - y": "the size of a difference does not know its sign",
    "identity_test: v - g -> g - v": "the size of a difference does not know its sign",
}

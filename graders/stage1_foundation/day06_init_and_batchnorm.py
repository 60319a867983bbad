"""Checks of Day 6: what to observe of initial variances, BatchNorm, and the comparison of two runs."""

from itertools import pairwise

import numpy as np

from ladder.checks import check, close, raises, say

# --------------------------------------------------------------------------------- initialisation


STEPS = ("wx", "z", "dx", "relu_mean", "relu_square", "relu_var", "forward", "backward", "xavier",
         "kaiming")


@check()
def check_variance_steps(variance_steps, rng):
    """From the variance of one product to the choices of Xavier and Kaiming."""
    numbers = (3, 5, *rng.uniform(0.3, 2.0, size=4))
    for step in STEPS:
        yield (say(f'"{step}", fan_in 3 and fan_out 5', f'"{step}"，fan_in 为 3，fan_out 为 5'),
               lambda: variance_steps(*numbers)[step])


@check_variance_steps.hidden
def _(variance_steps, rng):
    numbers = (8, 2, *rng.uniform(0.3, 2.0, size=4))
    for step in STEPS:
        yield (say(f'"{step}", fan_in 8 and fan_out 2', f'"{step}"，fan_in 为 8，fan_out 为 2'),
               lambda: variance_steps(*numbers)[step])


check_variance_steps.mistake(
    say("wx: relu outputs are never negative, so their mean is not 0. Var(w x) = E[w² x²] − (E[w x])²: "
        "what is E[x²]?",
        "wx：relu 的输出非负，均值不为 0。Var(w x) = E[w² x²] − (E[w x])²，其中 E[x²] 是多少？"),
    within="variance_steps", replace={"(var_x + mean_x**2)": "var_x"},
)
check_variance_steps.mistake(
    say("z: independent terms are added. How many?", "z：独立的各项相加。一共多少项？"),
    within="variance_steps", replace={"z = fan_in * wx": "z = fan_out * wx"},
)
check_variance_steps.mistake(
    say("dx: ∂L/∂x_i is a sum over the outputs that x_i reaches. How many are there?",
        "dx：∂L/∂x_i 是对 x_i 通向的那些输出求和。一共有几个输出？"),
    within="variance_steps", replace={"fan_out * var_w * var_g": "fan_in * var_w * var_g"},
)
check_variance_steps.mistake(
    say("relu_square: relu cuts off one half of a symmetric distribution. Is the other half all that "
        "there was?",
        "relu_square：relu 截去了对称分布的一半。剩下的一半会等于全部吗？"),
    within="variance_steps", replace={'"relu_square": z / 2': '"relu_square": z'},
)
check_variance_steps.mistake(
    say("relu_var: you gave E[relu(z)²]. A variance is taken about the mean, which is not 0 here.",
        "relu_var：你给的是 E[relu(z)²]。方差是相对于均值的，而这里的均值不是 0。"),
    within="variance_steps", replace={"z / 2 - relu_mean**2": "z / 2"},
)
check_variance_steps.mistake(
    say("relu_mean: integrate z times the normal density from 0 to infinity; the factor in front of the "
        "density stays.",
        "relu_mean：从 0 到无穷对 z 乘正态密度积分；密度前面的系数要保留。"),
    within="variance_steps", replace={"np.sqrt(z / (2 * np.pi))": "np.sqrt(z / 2)"},
)
check_variance_steps.mistake(
    say("xavier: it is not the mean of the two variances, but of their inverses.",
        "xavier：要取平均的不是两个方差，而是它们的倒数。"),
    within="variance_steps",
    replace={"2 / (fan_in + fan_out)": "(1 / fan_in + 1 / fan_out) / 2"},
)
check_variance_steps.mistake(
    say("kaiming: put E[relu(z)²] = z / 2 into the condition and solve it for var_w.",
        "kaiming：把 E[relu(z)²] = z / 2 代入条件，解出 var_w。"),
    within="variance_steps", replace={'"kaiming": 2 / fan_in': '"kaiming": 1 / fan_in'},
)


@check()
def check_init_std(xavier_std, kaiming_std, rng):
    """Both standard deviations, every gain."""
    for i, o in ((4, 4), (3, 5), (784, 10)):
        yield say(f"xavier_std({i}, {o})", f"xavier_std({i}, {o})"), lambda: xavier_std(i, o)
    for name in ("linear", "relu", "leaky_relu", "tanh"):
        for n in (1, 9):
            yield (say(f'kaiming_std({n}, "{name}")', f'kaiming_std({n}, "{name}")'),
                   lambda: kaiming_std(n, name))
    yield say("kaiming_std(50), without nonlin", "kaiming_std(50)，不给 nonlin"), lambda: kaiming_std(50)
    yield (say('nonlin "softplus"', 'nonlin 为 "softplus"'),
           lambda: kaiming_std(4, "softplus"), raises(ValueError))


check_init_std.mistake(
    say("xavier_std gives a variance.", "xavier_std 返回的是方差。"),
    within="xavier_std", replace={"np.sqrt(2 / (fan_in + fan_out))": "2 / (fan_in + fan_out)"},
)
check_init_std.mistake(
    say("xavier_std: for equal fans it should be 1 / sqrt(fan). What stands in the numerator?",
        "xavier_std：fan_in 与 fan_out 相等时应为 1 / sqrt(fan)。分子是什么？"),
    within="xavier_std", replace={"np.sqrt(2 / (": "np.sqrt(1 / ("},
)
check_init_std.mistake(
    say("xavier_std: that is the bound of a uniform distribution, not its standard deviation.",
        "xavier_std：那是均匀分布的界，不是它的标准差。"),
    within="xavier_std", replace={"np.sqrt(2 / (": "np.sqrt(6 / ("},
)
check_init_std.mistake(
    say("kaiming_std: relu's gain is a factor of the standard deviation, yours one of the variance.",
        "kaiming_std：relu 的增益是标准差的因子，你用的是方差的因子。"),
    within="kaiming_std", replace={"np.sqrt(2),": "2,"},
)
check_init_std.mistake(
    say("kaiming_std: the gain is divided by fan_in. Is it a variance or a standard deviation that "
        "shrinks like 1 / fan_in?",
        "kaiming_std：增益除以了 fan_in。像 1 / fan_in 那样缩小的，是方差还是标准差？"),
    within="kaiming_std", replace={"/ np.sqrt(fan_in)": "/ fan_in"},
)
check_init_std.mistake(
    say("leaky_relu: the negative half passes with slope 0.01. Which factor does its mean SQUARE get?",
        "leaky_relu：负半轴以斜率 0.01 通过。它的*平方*均值得到什么因子？"),
    within="kaiming_std", replace={"(1 + 0.01**2)": "(1 + 0.01)"},
)


@check(forbids=("torch",))
def check_variance_sweep(variance_sweep, Tensor, rng):
    """Variances of h_l and of ∂L/∂z_l in small stacks."""
    kinds = ((say("tanh", "tanh"), lambda z: z.tanh()), (say("relu", "relu"), lambda z: z.relu()),
             (say("no nonlinearity", "无非线性"), lambda z: z))
    for widths in ((3, 5), (4, 6, 3, 2)):
        weights = [rng.normal(size=pair) for pair in pairwise(widths)]
        x, g = rng.normal(size=(7, widths[0])), rng.normal(size=(7, widths[-1]))
        for name, f in kinds:
            def swept(part):
                forward_backward = variance_sweep([W.copy() for W in weights], x.copy(), g.copy(), f)
                return list(forward_backward[part])

            depth = len(weights)
            yield (say(f"{name.en}, depth {depth}: activations", f"{name.zh}，深度 {depth}：激活值"),
                   lambda: swept(0))
            yield say("the same: gradients", "同上：梯度"), lambda: swept(1)

    def kept():
        mine = [W.copy() for W in weights], x.copy(), g.copy()
        variance_sweep(*mine, f)
        return list(mine)

    yield say("the arguments afterwards", "之后的各参数"), kept


check_variance_sweep.mistake(
    say("These are standard deviations.", "你给的是标准差。"),
    within="variance_sweep",
    replace={"h.data.var()": "h.data.std()", "z.grad.var()": "z.grad.std()"},
)
check_variance_sweep.mistake(
    say("The activations are measured before the nonlinearity.", "激活值是在非线性之前测量的。"),
    within="variance_sweep", replace={"h.data.var()) for h in hs": "z.data.var()) for z in zs"},
)
check_variance_sweep.mistake(
    say("The gradients are those of h_l. Asked for are those of z_l, one step further back.",
        "你给的是 h_l 的梯度。题目要的是再往回一步、z_l 的梯度。"),
    within="variance_sweep", replace={"z.grad.var()) for z in zs": "h.grad.var()) for h in hs"},
)
check_variance_sweep.mistake(
    say("The gradients come last layer first.", "梯度从最后一层开始排列了。"),
    within="variance_sweep", replace={"for z in zs]": "for z in zs[::-1]]"},
)
check_variance_sweep.mistake(
    say("The gradient that starts the way back is not g.", "反向传播的起点不是 g。"),
    within="variance_sweep", replace={"h.backward(g)": "h.backward(np.ones(h.shape))"},
)
check_variance_sweep.mistake(
    say("You give mean squares. After a relu the mean is not 0, and a variance is taken about it.",
        "你给的是平方的均值。relu 之后均值不为 0，方差要相对于均值来算。"),
    within="variance_sweep",
    replace={"h.data.var()": "(h.data**2).mean()", "z.grad.var()": "(z.grad**2).mean()"},
)


# ------------------------------------------------------------------------------ batch normalisation


def batchnorm(BatchNorm1d, rng, features=3, **settings):
    """A function that makes the same layer again and again, with learned-looking parameters."""
    gamma, beta = rng.uniform(0.5, 2.0, size=features), rng.normal(size=features)
    mean, var = rng.normal(size=features), rng.uniform(0.5, 2.0, size=features)

    def make(training=True):
        layer = BatchNorm1d(features, **settings)
        layer.gamma.data, layer.beta.data = gamma.copy(), beta.copy()
        layer.running_mean, layer.running_var = mean.copy(), var.copy()
        layer.training = training
        return layer

    return make


def statistics(layer):
    return [layer.running_mean, layer.running_var]


@check(forbids=("torch",))
def check_bn_forward(BatchNorm1d, rng):
    """Normalising by the batch, running statistics, evaluation mode."""
    x, other = 2 * rng.normal(size=(5, 3)) + [1.0, -2.0, 0.5], rng.normal(size=(4, 3))
    yield (say("a new layer: y for 5 examples of 3 features", "新建的层：5 个样本、3 个特征的 y"),
           lambda: BatchNorm1d(3).forward(x.copy())[0])

    def moved(layer, *batches):
        for batch in batches:
            layer.forward(batch.copy())
        return layer

    yield (say("its running_mean after this batch", "这一批之后的 running_mean"),
           lambda: moved(BatchNorm1d(3), x).running_mean)
    yield (say("its running_var after this batch", "这一批之后的 running_var"),
           lambda: moved(BatchNorm1d(3), x).running_var)
    make = batchnorm(BatchNorm1d, rng)
    slow = batchnorm(BatchNorm1d, rng, momentum=0.3, eps=0.7)
    yield say("y with other gamma and beta", "gamma、beta 取其他值时的 y"), lambda: make().forward(x.copy())[0]
    yield (say("y with eps = 0.7", "eps = 0.7 时的 y"), lambda: slow().forward(x.copy())[0])
    yield (say("running statistics with momentum = 0.3, after two batches", "momentum = 0.3，两批之后的滑动统计量"),
           lambda: statistics(moved(slow(), x, other)))
    yield (say("evaluation mode: y", "评估模式：y"), lambda: slow(False).forward(x.copy())[0])
    yield (say("evaluation mode: running statistics afterwards", "评估模式：之后的滑动统计量"),
           lambda: statistics(moved(slow(False), x)))
    yield (say("evaluation mode: y for a single example", "评估模式：单个样本的 y"),
           lambda: make(False).forward(x[:1].copy())[0])
    yield (say("training mode with a single example", "训练模式下只有一个样本"),
           lambda: make().forward(x[:1].copy())[0], raises(ValueError))
    yield (say("y for two examples", "两个样本时的 y"), lambda: make().forward(x[:2].copy())[0])
    constant = np.column_stack([np.full(4, 2.0), other[:, 1:]])
    yield (say("y where a column is constant", "某一列为常数时的 y"), lambda: make().forward(constant.copy())[0])
    far = rng.normal(size=(6, 3)) + 1e6
    yield (say("y for columns with mean 1,000,000 and standard deviation 1", "各列均值 1,000,000、标准差 1 时的 y"),
           lambda: make().forward(far.copy())[0], close(rtol=1e-6, atol=1e-6))

    def kept():
        mine = x.copy()
        make().forward(mine)
        return mine

    yield say("x afterwards", "之后的 x"), kept


check_bn_forward.mistake(
    say("Mean and variance are taken of every example. Which axis do the examples of a column lie on?",
        "均值和方差是对每个样本求的。同一列的各个样本排在哪一维？"),
    within="BatchNorm1d.forward",
    replace={"x.mean(axis=0), x.var(axis=0)":
             "x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)"},
)
check_bn_forward.mistake(
    say("The batch is normalised with the unbiased variance. Here it is the biased one; the other is "
        "only for running_var.",
        "归一化用了无偏方差。这里应当用有偏的；无偏的只用于 running_var。"),
    within="BatchNorm1d.forward",
    replace={"x.var(axis=0)": "x.var(axis=0, ddof=1)", "* var * B / (B - 1)": "* var"},
)
check_bn_forward.mistake(
    say("running_var follows the biased variance. By how much is that too small for B examples?",
        "running_var 跟随的是有偏方差。B 个样本时它偏小了多少？"),
    within="BatchNorm1d.forward", replace={"* var * B / (B - 1)": "* var"},
)
check_bn_forward.mistake(
    say("momentum and 1 − momentum have changed places: the newest batch nearly replaces all before.",
        "momentum 与 1 − momentum 颠倒了：最新的一批几乎取代了之前的全部。"),
    within="BatchNorm1d.forward",
    replace={"keep * self.running_mean + self.momentum * mean":
             "self.momentum * self.running_mean + keep * mean",
             "keep * self.running_var + self.momentum * var":
             "self.momentum * self.running_var + keep * var"},
)
check_bn_forward.mistake(
    say("eps stands outside the root.", "eps 放到了根号外面。"),
    within="BatchNorm1d.forward", replace={"np.sqrt(var + self.eps)": "(np.sqrt(var) + self.eps)"},
)
check_bn_forward.mistake(
    say("In evaluation mode you normalise with the batch, so the output of an example depends on its "
        "neighbours.",
        "评估模式下仍用当前批来归一化，于是一个样本的输出取决于同批的其他样本。"),
    within="BatchNorm1d.forward",
    replace={"mean, var = self.running_mean, self.running_var": "mean, var = x.mean(axis=0), x.var(axis=0)"},
)
check_bn_forward.mistake(
    say("In training mode you normalise with the running statistics. Those are for afterwards.",
        "训练模式下用了滑动统计量来归一化。它们是留给训练之后用的。"),
    within="BatchNorm1d.forward",
    replace={"inv_std = 1": "mean, var = self.running_mean, self.running_var\n        inv_std = 1"},
)
check_bn_forward.mistake(
    say("E[x²] − E[x]² is the difference of two huge, nearly equal numbers where the mean is large.",
        "均值很大时，E[x²] − E[x]² 是两个巨大而几乎相等的数之差。"),
    within="BatchNorm1d.forward", replace={"x.var(axis=0)": "(x * x).mean(axis=0) - x.mean(axis=0) ** 2"},
)
check_bn_forward.mistake(
    say("gamma and beta are not used.", "没有用到 gamma 与 beta。"),
    within="BatchNorm1d.forward", replace={"self.gamma.data * xhat + self.beta.data": "xhat"},
)
check_bn_forward.mistake(
    say("The running statistics move in evaluation mode too, so testing changes the model.",
        "评估模式下滑动统计量也在变，于是测试会改变模型。"),
    within="BatchNorm1d.forward",
    replace={"            mean, var = self.running_mean, self.running_var\n":
             "            mean, var = self.running_mean, self.running_var\n"
             "            self.running_mean = 0.9 * mean + 0.1 * x.mean(axis=0)\n"
             "            self.running_var = 0.9 * var + 0.1 * x.var(axis=0)\n"},
)
check_bn_forward.mistake(
    say("A batch of one passes in training mode: x − mean is 0, whatever x is.",
        "训练模式下放过了只有一个样本的批：此时无论 x 是什么，x − mean 都是 0。"),
    within="BatchNorm1d.forward", replace={"if B < 2:": "if B < 1:"},
)


@check()
def check_bn_dgamma_dbeta(bn_dgamma_dbeta, rng):
    """The gradients of scale and shift."""
    for B, F in ((1, 4), (6, 1), (5, 3)):
        dy, xhat = rng.normal(size=(B, F)), rng.normal(size=(B, F))
        for part, name in enumerate(("dgamma", "dbeta")):
            yield (say(f"{name} for {B} examples of {F} features", f"{B} 个样本、{F} 个特征时的 {name}"),
                   lambda: bn_dgamma_dbeta(dy.copy(), xhat.copy())[part])

    def kept():
        mine = dy.copy(), xhat.copy()
        bn_dgamma_dbeta(*mine)
        return list(mine)

    yield say("dy and xhat afterwards", "之后的 dy 与 xhat"), kept


check_bn_dgamma_dbeta.mistake(
    say("You took means. One gamma is used by all B examples: what does the chain rule do with B paths?",
        "你取了平均。同一个 gamma 被 B 个样本共用：对 B 条路径，链式法则怎么做？"),
    within="bn_dgamma_dbeta",
    replace={"(dy * xhat).sum(axis=0), dy.sum(axis=0)": "(dy * xhat).mean(axis=0), dy.mean(axis=0)"},
)
check_bn_dgamma_dbeta.mistake(
    say("You summed over the features. Which index do y and gamma have in common?",
        "你对特征求了和。y 与 gamma 共有的是哪个下标？"),
    within="bn_dgamma_dbeta",
    replace={"(dy * xhat).sum(axis=0), dy.sum(axis=0)": "(dy * xhat).sum(axis=1), dy.sum(axis=1)"},
)
check_bn_dgamma_dbeta.mistake(
    say("dgamma and dbeta have changed places.", "dgamma 与 dbeta 颠倒了。"),
    within="bn_dgamma_dbeta",
    replace={"(dy * xhat).sum(axis=0), dy.sum(axis=0)": "dy.sum(axis=0), (dy * xhat).sum(axis=0)"},
)
check_bn_dgamma_dbeta.mistake(
    say("dgamma: the sum of products is not the product of sums.", "dgamma：乘积之和不等于和之乘积。"),
    within="bn_dgamma_dbeta", replace={"(dy * xhat).sum(axis=0),": "dy.sum(axis=0) * xhat.sum(axis=0),"},
)
check_bn_dgamma_dbeta.mistake(
    say("All features share one sum. gamma has an entry for each column.",
        "所有特征合成了一个和。gamma 每一列各有一个元素。"),
    within="bn_dgamma_dbeta",
    replace={"(dy * xhat).sum(axis=0), dy.sum(axis=0)":
             "(dy * xhat).sum() * np.ones(dy.shape[1]), dy.sum() * np.ones(dy.shape[1])"},
)


@check(forbids=("torch",))
def check_bn_backward(BatchNorm1d, rng):
    """dx, dgamma and dbeta in both modes."""
    x, other = 2 * rng.normal(size=(5, 3)) + 1, rng.normal(size=(5, 3))
    dy = rng.normal(size=(5, 3))
    make = batchnorm(BatchNorm1d, rng, eps=0.1)

    def back(part, training=True, dy=dy, x=x):
        layer = make(training)
        return layer.backward(dy.copy(), layer.forward(x.copy())[1])[part]

    for part, name in ((2, "dbeta"), (1, "dgamma")):
        yield say(f"{name} in training mode", f"训练模式下的 {name}"), lambda: back(part)
    yield (say("evaluation mode, all three", "评估模式，三者一起"),
           lambda: [back(part, False) for part in range(3)])
    yield (say("training: dx for dy equal in all rows (a shift of a column changes no y)",
               "训练模式：dy 各行相等时的 dx（整列平移不改变 y）"),
           lambda: back(0, dy=np.tile(dy[:1], (5, 1))), close(atol=1e-9))
    for B in (2, 5):
        yield (say(f"training: dx for {B} examples", f"训练模式：{B} 个样本时的 dx"),
               lambda: back(0, dy=dy[:B], x=x[:B]))

    def later():
        layer = make()
        first = layer.forward(x.copy())[1]
        layer.forward(other.copy())
        layer.training = False
        return list(layer.backward(dy.copy(), first))

    yield (say("the first call's gradients, after a second call of forward and a change to evaluation mode",
               "再次调用 forward 并切换到评估模式之后，求第一次调用的梯度"), later)

    def again():
        layer = make()
        cache = layer.forward(x.copy())[1]
        mine = dy.copy()
        layer.backward(mine, cache)
        return [mine, *layer.backward(dy.copy(), cache)]

    yield say("dy afterwards, and the same cache a second time", "之后的 dy，以及同一个 cache 再用一次"), again

    def untouched():
        layer = make()
        layer.backward(dy.copy(), layer.forward(x.copy())[1])
        return [layer.gamma.grad, layer.beta.grad]

    yield say("gamma.grad and beta.grad afterwards", "之后的 gamma.grad 与 beta.grad"), untouched


check_bn_backward.mistake(
    say("In training mode dx is as in evaluation mode. Mean and variance of the batch depend on x too.",
        "训练模式的 dx 与评估模式的一样。批的均值与方差也依赖 x。"),
    within="BatchNorm1d.backward", replace={"if training:": "if False:"},
)
check_bn_backward.mistake(
    say("The path through the variance is missing. (Through the mean it is there: an equal dy in all rows "
        "gives 0.)",
        "缺了经过方差的那条路径。（经过均值的有了：各行 dy 相等时得 0。）"),
    within="BatchNorm1d.backward", replace={"(dbeta + xhat * dgamma)": "dbeta"},
)
check_bn_backward.mistake(
    say("The path through the mean is missing: for an equal dy in all rows dx should be 0.",
        "缺了经过均值的那条路径：各行 dy 相等时，dx 应当为 0。"),
    within="BatchNorm1d.backward", replace={"(dbeta + xhat * dgamma)": "(xhat * dgamma)"},
)
check_bn_backward.mistake(
    say("dx lacks gamma.", "dx 里少了 gamma。"),
    within="BatchNorm1d.backward", replace={"self.gamma.data * inv_std * dy": "inv_std * dy"},
)
check_bn_backward.mistake(
    say("What comes back through mean and variance is B times too large: they are averages.",
        "经过均值和方差传回来的部分大了 B 倍：它们是平均值。"),
    within="BatchNorm1d.backward", replace={" / len(dy)": ""},
)
check_bn_backward.mistake(
    say("You divide by B − 1. With which variance was the batch normalised?",
        "你除以了 B − 1。这一批是用哪一种方差归一化的？"),
    within="BatchNorm1d.backward", replace={" / len(dy)": " / (len(dy) - 1)"},
)
check_bn_backward.mistake(
    say("In evaluation mode the statistics are constants; you treat them as functions of x.",
        "评估模式下统计量是常数，你却把它们当成了 x 的函数。"),
    within="BatchNorm1d.backward", replace={"if training:": "if True:"},
)
check_bn_backward.mistake(
    say("The mode now decides, not that of the call whose gradient is wanted.",
        "起作用的成了当前的模式，而不是所求梯度的那次调用的模式。"),
    within="BatchNorm1d.backward", replace={"if training:": "if self.training:"},
)
check_bn_backward.mistake(
    say("Backward looks at what the last call of forward left in the layer. A layer may be called twice "
        "before the way back begins.",
        "backward 用的是最后一次 forward 留在层里的东西。而在反向开始之前，一个层可能被调用两次。"),
    within="BatchNorm1d",
    replace={"        return self.gamma.data * xhat + self.beta.data, (xhat, inv_std, self.training)":
             "        self.cache = xhat, inv_std, self.training\n"
             "        return self.gamma.data * xhat + self.beta.data, ()",
             "xhat, inv_std, training = cache": "xhat, inv_std, training = self.cache"},
)


@check(forbids=("torch",))
def check_bn_layer(BatchNorm1d, Tensor, rng):
    """BatchNorm1d as an operation of the engine."""
    x, g = rng.normal(size=(5, 3)) + 1, rng.normal(size=(5, 3))
    other, h = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    make = batchnorm(BatchNorm1d, rng)

    def identities():
        layer = make()
        params = layer.parameters()
        return [len(params), params[0] is layer.gamma, params[-1] is layer.beta]

    yield (say("parameters(): how many, gamma first, beta last?", "parameters()：几个，gamma 在前、beta 在后？"),
           identities)
    yield say("output", "输出"), lambda: make()(Tensor(x.copy())).data

    def wired():
        layer, inputs = make(), Tensor(x.copy())
        out = layer(inputs)
        return [len(out._prev), *(a is b for a, b in zip(out._prev, (inputs, layer.gamma, layer.beta), strict=False))]

    yield (say("operands: three, namely x, gamma, beta?", "操作数：三个，依次为 x、gamma、beta？"), wired)

    def graph(training=True):
        layer, inputs = make(training), Tensor(x.copy())
        layer(inputs).backward(g.copy())
        return [inputs.grad, layer.gamma.grad, layer.beta.grad]

    for part, name in enumerate(("x", "gamma", "beta")):
        yield say(f"gradient of {name}", f"{name} 的梯度"), lambda: graph()[part]
    yield say("evaluation mode: the three gradients", "评估模式：三个梯度"), lambda: graph(False)
    yield (say("running statistics after one call", "调用一次之后的滑动统计量"),
           lambda: (lambda layer: (layer(Tensor(x.copy())), statistics(layer))[1])(make()))

    def twice():
        layer, one, two = make(), Tensor(x.copy()), Tensor(other.copy())
        ((layer(one) * g).sum() + (layer(two) * h).sum()).backward()
        return [one.grad, two.grad, layer.gamma.grad, layer.beta.grad]

    yield (say("one layer called twice in a graph: all gradients", "一张图中把同一层调用两次：所有梯度"), twice)

    def deep():
        layer, inputs = make(), Tensor(x.copy())
        ((layer((inputs * 2.0).tanh()) * g) ** 2).sum().backward()
        return inputs.grad

    yield say("gradient of x through tanh and BatchNorm", "经过 tanh 与 BatchNorm 的 x 的梯度"), deep


check_bn_layer.mistake(
    say("No gradient arrives at x: the layers before would never learn.",
        "x 得不到梯度：前面的层将永远学不到东西。"),
    within="BatchNorm1d.__call__", replace={"            x.accumulate(dx)\n": ""},
)
check_bn_layer.mistake(
    say("gamma and beta get each other's gradients.", "gamma 与 beta 的梯度互换了。"),
    within="BatchNorm1d.__call__", replace={"dx, dgamma, dbeta =": "dx, dbeta, dgamma ="},
)
check_bn_layer.mistake(
    say("The gradients of gamma and beta replace what was there. Called twice, the first call is lost.",
        "gamma 与 beta 的梯度覆盖了原有的值。调用两次时，其中一次就丢失了。"),
    within="BatchNorm1d.__call__",
    replace={"self.gamma.accumulate(dgamma)": "self.gamma.grad = dgamma",
             "self.beta.accumulate(dbeta)": "self.beta.grad = dbeta"},
)
check_bn_layer.mistake(
    say("The running statistics are among the parameters. They are followed, not learned.",
        "参数里混入了滑动统计量。它们是跟踪得到的，不是学出来的。"),
    within="BatchNorm1d.parameters",
    replace={"[self.gamma, self.beta]": "[self.gamma, self.running_mean, self.running_var, self.beta]"},
)
check_bn_layer.mistake(
    say("On the way back you send the derivative for a g of ones, not for what arrives.",
        "反向传播时用的是全为 1 的梯度，而不是实际传来的梯度。"),
    within="BatchNorm1d.__call__",
    replace={"self.backward(grad, cache)": "self.backward(np.ones(y.shape), cache)"},
)
check_bn_layer.mistake(
    say("The engine does not know that the output depends on gamma and beta.",
        "引擎不知道输出依赖于 gamma 与 beta。"),
    within="BatchNorm1d.__call__", replace={"_prev=(x, self.gamma, self.beta)": "_prev=(x,)"},
)


# ------------------------------------------------------------------------------------ comparing


@check(forbids=("torch",))
def check_bn_mlp(bn_mlp, rng):
    """Which layers stand where, and what is drawn."""
    seed = int(rng.integers(2**31))

    def make(sizes, batchnorm):
        return bn_mlp(list(sizes), batchnorm, np.random.default_rng(seed))

    for sizes in ((4, 7, 3), (3, 6, 5, 2), (4, 2)):
        for batchnorm in (False, True):
            word = ("with", "有") if batchnorm else ("without", "没有")
            yield (say(f"{list(sizes)} {word[0]} BatchNorm: its layers", f"{list(sizes)}，{word[1]} BatchNorm：各层"),
                   lambda: [type(layer).__name__ for layer in make(sizes, batchnorm).layers])
            yield (say("shapes of its parameters", "各参数的形状"),
                   lambda: [list(p.data.shape) for p in make(sizes, batchnorm).parameters()])

    def equal():
        plain, normed = ([layer.weight.data for layer in make((3, 4, 4, 2), flag).layers
                          if hasattr(layer, "weight")] for flag in (False, True))
        return [bool(np.array_equal(a, b)) for a, b in zip(plain, normed, strict=True)]

    yield (say("equal generators: the same Linears with and without BatchNorm?",
               "相同的生成器：有无 BatchNorm 时各 Linear 相同吗？"), equal)
    yield (say("two Linears of one network: different?", "同一网络中的两个 Linear：不同吗？"),
           lambda: bool(np.any(make((3, 3, 3), False).layers[0].weight.data
                               != make((3, 3, 3), False).layers[-1].weight.data)))


check_bn_mlp.mistake(
    say("BatchNorm stands behind the ReLU.", "BatchNorm 放到了 ReLU 后面。"),
    within="bn_mlp",
    replace={"        if batchnorm:\n            layers.append(BatchNorm1d(i))\n        layers += [ReLU(), Linear(i, o, rng)]":
             "        layers += [ReLU(), *([BatchNorm1d(i)] if batchnorm else []), Linear(i, o, rng)]"},
)
check_bn_mlp.mistake(
    say("The logits are normalised too: nothing should stand behind the last Linear.",
        "logit 也被归一化了：最后一个 Linear 之后不应有任何层。"),
    within="bn_mlp",
    replace={"return Sequential(*layers)":
             "return Sequential(*layers, *([BatchNorm1d(sizes[-1])] if batchnorm else []))"},
)
check_bn_mlp.mistake(
    say("BatchNorm stands before a Linear's input, and has the width of the wrong layer.",
        "BatchNorm 的宽度取自错误的一层。"),
    within="bn_mlp", replace={"BatchNorm1d(i)": "BatchNorm1d(o)"},
)
check_bn_mlp.mistake(
    say("The flag makes no difference.", "这个开关没有起作用。"),
    within="bn_mlp", replace={"if batchnorm:": "if True:"},
)
check_bn_mlp.mistake(
    say("The generator does not reach all Linears.", "生成器没有传到所有的 Linear。"),
    within="bn_mlp", replace={"ReLU(), Linear(i, o, rng)": "ReLU(), Linear(i, o)"},
)


class Toy:
    """A linear classifier that stands in for both models: ``batchnorm`` doubles the logits."""

    def __init__(self, Tensor, batchnorm, rng):
        self.W = Tensor(rng.normal(size=(4, 3)))
        self.scale = 2.0 if batchnorm else 1.0

    def __call__(self, x):
        return (x @ self.W) * self.scale

    def parameters(self):
        return [self.W]


@check(forbids=("torch",))
def check_bn_ablation(bn_ablation, Tensor, rng):
    """The same training twice, on a linear model."""
    X, y = rng.normal(size=(30, 4)), rng.integers(3, size=30)
    seed, lr = int(rng.integers(1000)), float(rng.uniform(0.3, 0.6))

    def curves(seed=seed, **settings):
        return bn_ablation(seed, lambda flag, rng: Toy(Tensor, flag, rng), X.copy(), y.copy(),
                           **{"steps": 4, "lr": lr, "batch_size": 5, **settings})

    yield say("the names of the curves", "曲线的名称"), lambda: sorted(curves())
    yield (say("lengths for 4 steps", "4 步时的长度"),
           lambda: [len(curves()[name]) for name in ("plain", "batchnorm")])
    for name in ("plain", "batchnorm"):
        yield say(f"{name}: loss before the first step", f"{name}：第一步之前的损失"), lambda: curves()[name][0]
        yield say(f"{name}: four losses", f"{name}：四个损失"), lambda: list(curves()[name])
    yield (say("another seed", "换一个种子"),
           lambda: [list(curves(seed + 1)[name]) for name in ("plain", "batchnorm")])
    yield (say("another batch size and rate", "换批大小与学习率"),
           lambda: [list(curves(batch_size=11, lr=0.1)[name]) for name in ("plain", "batchnorm")])

    def defaults():
        many, labels = np.tile(X, (4, 1)), np.tile(y, 4)
        found = bn_ablation(seed, lambda flag, rng: Toy(Tensor, flag, rng), many, labels, steps=2)
        return [list(found[name]) for name in ("plain", "batchnorm")]

    yield say("lr and batch_size left out", "不给 lr 与 batch_size"), defaults

    def kept():
        mine = X.copy(), y.copy()
        bn_ablation(seed, lambda flag, rng: Toy(Tensor, flag, rng), *mine, steps=2)
        return list(mine)

    yield say("X and y afterwards", "之后的 X 与 y"), kept


check_bn_ablation.mistake(
    say("The second model starts from other weights than the first: one generator made both.",
        "两个模型的初始权重不同：它们由同一个生成器先后产生。"),
    within="bn_ablation",
    replace={"    curves = {}\n": "    curves = {}\n    shared = np.random.default_rng(seed)\n",
             "make(batchnorm, np.random.default_rng(seed))": "make(batchnorm, shared)"},
)
check_bn_ablation.mistake(
    say("The second run sees other batches than the first.", "第二次训练看到的批与第一次不同。"),
    within="bn_ablation",
    replace={"    curves = {}\n": "    curves = {}\n    rng = np.random.default_rng([seed, 1])\n",
             "        rng = np.random.default_rng([seed, 1])\n": ""},
)
check_bn_ablation.mistake(
    say("Gradients of earlier steps are still there when a step is made.", "更新时，前面各步的梯度还在。"),
    within="bn_ablation", replace={"            optimiser.zero_grad()\n": ""},
)
check_bn_ablation.mistake(
    say("Both curves belong to the same kind of model.", "两条曲线来自同一种模型。"),
    within="bn_ablation", replace={"make(batchnorm, np": "make(True, np"},
)
check_bn_ablation.mistake(
    say("The loss stands still: no step is made.", "损失没有下降趋势：并没有更新参数。"),
    within="bn_ablation", replace={"            optimiser.step()\n": ""},
)
check_bn_ablation.mistake(
    say("The two curves are under each other's names.", "两条曲线的名字颠倒了。"),
    within="bn_ablation",
    replace={'("plain", False), ("batchnorm", True)': '("batchnorm", False), ("plain", True)'},
)
check_bn_ablation.mistake(
    say("Another generator draws the batches than the one the task names.",
        "抽取批的生成器不是题目指定的那个。"),
    within="bn_ablation",
    replace={"rng = np.random.default_rng([seed, 1])": "rng = np.random.default_rng(seed)"},
)


@check()
def check_steps_to_target(steps_to_target, rng):
    """When a jumping loss is down at a target."""
    falling = [5.0, 4.0, 3.0, 2.0, 1.0, 0.5]
    yield (say("[5, 4, 3, 2, 1, 0.5], target 3.5, window 2", "[5, 4, 3, 2, 1, 0.5]，目标 3.5，窗口 2"),
           lambda: steps_to_target(list(falling), 3.5, 2))
    yield (say("the same, target 4.5: the first window", "同上，目标 4.5：第一个窗口"),
           lambda: steps_to_target(list(falling), 4.5, 2))
    yield say("target 0.75: the last window", "目标 0.75：最后一个窗口"), lambda: steps_to_target(list(falling), 0.75, 2)
    yield say("target 0.7: never", "目标 0.7：从未达到"), lambda: steps_to_target(list(falling), 0.7, 2)
    yield say("window 1, target 2", "窗口 1，目标 2"), lambda: steps_to_target(list(falling), 2.0, 1)
    yield say("a window longer than the curve", "窗口比曲线还长"), lambda: steps_to_target(list(falling), 9.0, 7)
    up = [4.0, 1.0, 4.0, 1.0, 1.0, 4.0, 4.0]
    yield (say("down and up again: [4, 1, 4, 1, 1, 4, 4], target 1, window 2", "降了又升：[4, 1, 4, 1, 1, 4, 4]，目标 1，窗口 2"),
           lambda: steps_to_target(list(up), 1.0, 2))
    bad = [float("inf"), float("nan"), 1.0, 1.0, 1.0]
    yield (say("[inf, nan, 1, 1, 1], target 1, window 2", "[inf, nan, 1, 1, 1]，目标 1，窗口 2"),
           lambda: steps_to_target(list(bad), 1.0, 2))
    curve = 2 * np.exp(-np.arange(200) / 60) + 0.1 * rng.normal(size=200)
    yield (say("a noisy curve of 200 steps, the window left out", "200 步的带噪声曲线，不给窗口"),
           lambda: steps_to_target(curve.tolist(), 0.8))


check_steps_to_target.mistake(
    say("A single low batch is enough for you. The mean of the window is what counts.",
        "你让单独一个低损失的批就算达标。应当看整个窗口的均值。"),
    within="steps_to_target", replace={"np.mean(losses[t - window:t])": "losses[t - 1]"},
)
check_steps_to_target.mistake(
    say("You give the number of steps before the window, not those made when it ends.",
        "你给的是窗口开始之前的步数，而不是窗口结束时已走的步数。"),
    within="steps_to_target", replace={"return t\n": "return t - window\n"},
)
check_steps_to_target.mistake(
    say("The last window is not looked at.", "没有检查最后一个窗口。"),
    within="steps_to_target", replace={"len(losses) + 1": "len(losses)"},
)
check_steps_to_target.mistake(
    say("A mean equal to the target counts as reached.", "均值恰好等于目标也算达到。"),
    within="steps_to_target", replace={"<= target": "< target"},
)
check_steps_to_target.mistake(
    say("One too few: after the loss with index k, k + 1 steps have been made.",
        "少了 1：到下标为 k 的损失为止，已经有 k + 1 步。"),
    within="steps_to_target", replace={"return t\n": "return t - 1\n"},
)
check_steps_to_target.mistake(
    say("Never reaching the target is None, so that nobody takes it for a number of steps.",
        "从未达到应当是 None，以免被当成步数。"),
    within="steps_to_target", replace={"return None": "return len(losses)"},
)

EQUIVALENT: dict[str, str] = {
    "bn_ablation: Tensor(X[batch], requires_grad=False) -> Tensor(X[batch])":
        "a gradient of the inputs is computed and never used; the curves are the same",
    "bn_ablation: Tensor(X[batch], requires_grad=False) -> Tensor(X[batch], requires_grad=True)":
        "a gradient of the inputs is computed and never used; the curves are the same",
    "steps_to_target: return None -> (removed)": "a function that ends without return gives None",
}

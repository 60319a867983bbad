"""Checks of Day 4: what to observe of layers, the loss, the optimiser, and two trainings."""

import functools

import numpy as np

from ladder.checks import (
    accuracy_at_least,
    at_least,
    at_most,
    check,
    close,
    error_at_most,
    raises,
    say,
)
from ladder.data.samples.digits import draw_digits


def leaf(Tensor, array):
    """A Tensor of a copy, so that no learner's code changes what another observation needs."""
    return Tensor(np.array(array))


def filled(layer, seed):
    """``layer``, its parameters replaced by numbers drawn here, in the order of parameters()."""
    rng = np.random.default_rng(seed)
    for p in layer.parameters():
        p.data = rng.normal(size=p.data.shape)
    return layer


def gradients(out, g, *leaves):
    """The leaves' gradients after ``g`` was sent back from ``out``."""
    out.backward(np.array(g))
    return [one.grad for one in leaves]


# ----------------------------------------------------------------------------------- layers


@check(forbids=("torch",))
def check_linear(Linear, Tensor, rng):
    """y = x W + b, its parameters and their gradients."""
    seed = int(rng.integers(2**31))

    def given():
        layer, draw = Linear(3, 5), np.random.default_rng(seed)
        layer.weight.data, layer.bias.data = draw.normal(size=(3, 5)), draw.normal(size=5)
        return layer

    yield (say("Linear(3, 5): shapes of weight and bias", "Linear(3, 5)：weight 与 bias 的形状"),
           lambda: [list(Linear(3, 5).weight.data.shape), list(Linear(3, 5).bias.data.shape)])

    def identities():
        layer = Linear(3, 5)
        first, second = layer.parameters()
        return [first is layer.weight, second is layer.bias, first.requires_grad, second.requires_grad]

    yield (say("shapes of parameters()", "parameters() 各项的形状"),
           lambda: [list(p.data.shape) for p in Linear(3, 5).parameters()])
    yield (say("parameters() are weight and bias themselves, and require a gradient",
               "parameters() 就是 weight 与 bias 本身，并且需要梯度"), identities)
    for shape in ((4, 3), (1, 3), (2, 4, 3)):
        x, g = rng.normal(size=shape), rng.normal(size=(*shape[:-1], 5))
        yield (say(f"output of Linear(3, 5) for x of shape {shape}",
                   f"x 形状为 {shape} 时 Linear(3, 5) 的输出"),
               lambda: given()(leaf(Tensor, x)).data)

        def back(part):
            layer, inputs = given(), leaf(Tensor, x)
            return gradients(layer(inputs), g, layer.weight, layer.bias, inputs)[part]

        for part, name in enumerate(("weight", "bias", "x")):
            yield (say(f"the same: gradient of {name}", f"同上：{name} 的梯度"), lambda: back(part))

    def replaced():
        layer = Linear(2, 3)
        layer.weight, layer.bias = Tensor(np.ones((2, 3))), Tensor(np.arange(3.0))
        return layer(Tensor([[1.0, 2.0]])).data

    yield (say("output after weight and bias were replaced", "替换 weight 和 bias 之后的输出"), replaced)


check_linear.mistake(
    say("The bias is made and never used.", "创建了偏置，却从未使用。"),
    within="Linear.__call__", replace={" + self.bias": ""},
)
check_linear.mistake(
    say("The weights are stored as (o, i). In today's layout a row of x, of length i, meets W from the "
        "left.",
        "权重按 (o, i) 存放了。今天的约定是 x 的一行（长度为 i）从左边乘 W。"),
    within="Linear", replace={"size=(i, o)": "size=(o, i)", "x @ self.weight +": "x @ self.weight.T +"},
)
check_linear.mistake(
    say("parameters() leaves out the bias, so no optimiser will ever move it.",
        "parameters() 漏掉了偏置，于是优化器永远不会更新它。"),
    within="Linear.parameters", replace={"[self.weight, self.bias]": "[self.weight, self.weight]"},
)
check_linear.mistake(
    say("parameters() starts with the bias.", "parameters() 把偏置排在了前面。"),
    within="Linear.parameters", replace={"[self.weight, self.bias]": "[self.bias, self.weight]"},
)
check_linear.mistake(
    say("The output is right and no gradient reaches the parameters. A plain array in a product is a "
        "constant to the engine.",
        "输出正确，但参数得不到梯度。参与乘积的普通数组，在引擎看来是常数。"),
    within="Linear.__call__",
    replace={"x @ self.weight + self.bias": "x @ self.weight.data + self.bias.data"},
)
check_linear.mistake(
    say("parameters() returns copies. An optimiser would move the copies, and the layer would stay.",
        "parameters() 返回的是副本。优化器会去更新副本，而层本身不变。"),
    within="Linear.parameters",
    replace={"[self.weight, self.bias]": "[Tensor(self.weight.data), Tensor(self.bias.data)]"},
)


@check(forbids=("torch",))
def check_linear_init(Linear, rng):
    """How weights and biases are drawn."""
    seed = int(rng.integers(2**31))

    def of(i, o):
        return Linear(i, o, np.random.default_rng(seed))

    for i, o in ((400, 100), (60, 700)):
        layer = functools.cache(lambda: of(i, o))
        yield (say(f"Linear({i}, {o}): standard deviation of the weights, within 3 %",
                   f"Linear({i}, {o})：权重的标准差，误差 3% 以内"),
               lambda: layer().weight.data.std(), close(rtol=0.03))
        yield (say("largest |weight|, within 3 %", "最大的 |权重|，误差 3% 以内"),
               lambda: np.abs(layer().weight.data).max(), close(rtol=0.03))
        yield (say("mean weight / bound is near 0", "权重均值除以界，接近 0"),
               lambda: np.abs(layer().weight.data.mean()) * np.sqrt(i / 6), at_most(0.02))
    wide = functools.cache(lambda: of(25, 4000))
    yield (say("Linear(25, 4000): standard deviation of the biases, within 6 %",
               "Linear(25, 4000)：偏置的标准差，误差 6% 以内"),
           lambda: wide().bias.data.std(), close(rtol=0.06))
    yield (say("largest |bias|, within 3 %", "最大的 |偏置|，误差 3% 以内"),
           lambda: np.abs(wide().bias.data).max(), close(rtol=0.03))
    yield (say("mean bias / bound is near 0", "偏置均值除以界，接近 0"),
           lambda: np.abs(wide().bias.data.mean()) * 5, at_most(0.06))

    def parameters(*rngs):
        return [np.concatenate([p.data.ravel() for p in Linear(4, 3, one).parameters()])
                for one in rngs]

    def apart(a, b):
        """Which of the twelve weights and of the three biases differ."""
        return [bool(np.all((a != b)[:12])), bool(np.all((a != b)[12:]))]

    yield (say("equal generators: weights and biases differ?", "相同的生成器：权重、偏置是否不同？"),
           lambda: apart(*parameters(np.random.default_rng(seed), np.random.default_rng(seed))))

    def one_after_the_other():
        shared = np.random.default_rng(seed)
        return apart(*parameters(shared, shared))

    yield (say("two layers drawn one after the other: differ?", "先后抽取的两层：是否不同？"),
           one_after_the_other)
    yield (say("two layers without rng: differ?", "不给 rng 的两层：是否不同？"),
           lambda: apart(*parameters(None, None)))


check_linear_init.mistake(
    say("All weights are positive. Around which value is the interval of the task centred?",
        "所有权重都是正的。题目给出的区间以哪个值为中心？"),
    within="Linear.__init__", replace={"rng.uniform(-bound, bound,": "rng.uniform(0, bound,"},
)
check_linear_init.mistake(
    say("The weights' scale follows the number of outputs. How many terms does one output sum up?",
        "权重的尺度取决于输出个数了。一个输出是多少项之和？"),
    within="Linear.__init__", replace={"np.sqrt(6 / i)": "np.sqrt(6 / o)"},
)
check_linear_init.mistake(
    say("sqrt(2/i) is the standard deviation. How wide is a uniform interval of that standard deviation?",
        "sqrt(2/i) 是标准差。具有这一标准差的均匀分布，区间有多宽？"),
    within="Linear.__init__", replace={"np.sqrt(6 / i)": "np.sqrt(2 / i)"},
)
check_linear_init.mistake(
    say("The standard deviation is right, but the numbers are normally distributed: some lie far outside "
        "the bound.",
        "标准差是对的，但用了正态分布：有些数远远超出了界。"),
    within="Linear.__init__",
    replace={"rng.uniform(-bound, bound, size=(i, o))":
             "rng.normal(scale=np.sqrt(2 / i), size=(i, o))"},
)
check_linear_init.mistake(
    say("The biases are zero. PyTorch's are not, and neither are today's.",
        "偏置全为零。PyTorch 不是这样初始化的，今天的题目也不是。"),
    within="Linear.__init__",
    replace={"rng.uniform(-1, 1, size=o) / np.sqrt(i)": "np.zeros(o)"},
)
check_linear_init.mistake(
    say("The rng that was handed in is not used, so nothing can be repeated.",
        "没有使用传入的 rng，结果就无法重现。"),
    within="Linear.__init__",
    replace={"np.random.default_rng() if rng is None else rng": "np.random.default_rng()"},
)
check_linear_init.mistake(
    say("Every layer gets the same numbers: a new generator with a fixed seed is made for each.",
        "每一层得到的数都一样：每次都新建了种子固定的生成器。"),
    within="Linear.__init__",
    replace={"np.random.default_rng() if rng is None else rng": "np.random.default_rng(0)"},
)


@check(forbids=("torch",))
def check_relu(relu, relu_grad, ReLU, Tensor, rng):
    """The activation, its derivative, and both as a layer."""
    z, g = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    z[0, 0], z[1, 2] = -3.0, 0.0
    x = np.array([-2.0, -0.0, 0.0, 0.5, 3.0])
    yield say("relu of [-2, -0, 0, 0.5, 3]", "relu([-2, -0, 0, 0.5, 3])"), lambda: relu(x.copy())
    yield (say("relu_grad of [-2, -0, 0, 0.5, 3]", "relu_grad([-2, -0, 0, 0.5, 3])"),
           lambda: np.asarray(relu_grad(x.copy()), dtype=float))
    yield say("relu of a (3, 4) array", "relu 作用于 (3, 4) 数组"), lambda: relu(z.copy())

    def kept(f):
        mine = z.copy()
        f(mine)
        return mine

    yield say("the array after relu", "调用 relu 之后原数组的值"), lambda: kept(relu)
    yield say("the array after relu_grad", "调用 relu_grad 之后原数组的值"), lambda: kept(relu_grad)
    yield (say("ReLU() on a Tensor: output", "ReLU() 作用于 Tensor：输出"),
           lambda: ReLU()(leaf(Tensor, z)).data)

    def back(g):
        inputs = leaf(Tensor, z)
        return gradients(ReLU()(inputs), g, inputs)[0]

    yield (say("gradient of x for an upstream gradient of ones", "上游梯度全为 1 时 x 的梯度"),
           lambda: back(np.ones((3, 4))))
    yield (say("gradient of x for a random upstream gradient", "上游梯度为随机数时 x 的梯度"),
           lambda: back(g))

    def twice():
        inputs, layer = leaf(Tensor, z), ReLU()
        return gradients(layer(inputs) + layer(inputs * -2.0), g, inputs)[0]

    yield (say("the same layer used twice in one graph: gradient of x",
               "同一个层在一张图中用两次：x 的梯度"), twice)

    def untouched():
        inputs = leaf(Tensor, z)
        ReLU()(inputs)
        return inputs.data

    yield say("the Tensor's data afterwards", "之后 Tensor 的 data"), untouched
    yield say("ReLU().parameters()", "ReLU().parameters()"), lambda: list(ReLU().parameters())


check_relu.mistake(
    say("Your derivative is 1 at z = 0. The convention here is 0.", "你的导数在 z = 0 处为 1。这里约定为 0。"),
    within="relu_grad", replace={"(z > 0)": "(z >= 0)"},
)
check_relu.mistake(
    say("relu_grad returns z itself where z > 0. How steep is the line there?",
        "z > 0 处 relu_grad 返回了 z 本身。那里直线的斜率是多少？"),
    within="relu_grad", replace={"(z > 0).astype(float)": "np.maximum(z, 0)"},
)
check_relu.mistake(
    say("The layer sends back its derivative and forgets what arrives from above.",
        "这一层只把自己的导数往回传，忘了从上游到来的梯度。"),
    within="ReLU.__call__", replace={"grad * relu_grad(x.data)": "relu_grad(x.data)"},
)
check_relu.mistake(
    say("The gradient passes everywhere, also where the output was clipped to zero.",
        "梯度处处通过，连输出被截为零的地方也通过了。"),
    within="ReLU.__call__", replace={"grad * relu_grad(x.data)": "grad"},
)
check_relu.mistake(
    say("The array handed in was changed: something was written into it.",
        "传入的数组被改动了：有东西写进了它里面。"),
    within="relu", replace={"np.maximum(z, 0)": "np.maximum(z, 0, out=z)"},
)


@check_relu.mistake(
    say("The layer remembers only its last input. Used twice in one graph, the first use is sent back "
        "through the second one's mask.",
        "这一层只记住了最后一次的输入。在一张图中用两次时，第一次的梯度会按第二次的掩码往回传。"),
    within="ReLU.__call__",
)
def remembering(self, x):
    self.mask = x.data > 0
    return Tensor(relu(x.data), _prev=(x,),
                  _backward=lambda grad: x.accumulate(grad * self.mask))


@check(forbids=("torch",))
def check_sequential(Sequential, Linear, ReLU, Tensor, rng):
    """Layers one after the other."""
    seed = int(rng.integers(2**31))
    x, g = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))

    def net():
        source = np.random.default_rng(seed)
        inner = Sequential(Linear(4, 4, source), ReLU(), Linear(4, 2, source))
        return filled(Sequential(Linear(3, 4, source), ReLU(), inner), seed)

    def parts():
        a, b = Linear(3, 4), ReLU()
        layers = Sequential(a, b).layers
        return [len(layers), layers[0] is a, layers[1] is b]

    yield say("layers: how many, and are they mine?", "layers：有几个，是传入的那些吗？"), parts
    yield (say("plain functions as layers: (2x) + 1 for x = 3", "用普通函数作层：x = 3 时的 (2x) + 1"),
           lambda: Sequential(lambda t: t * 2.0, lambda t: t + 1.0)(Tensor(3.0)).data)

    def empty():
        one = Tensor(x)
        return [Sequential()(one) is one, list(Sequential().parameters())]

    yield (say("without layers: x itself, and no parameters", "没有层：就是 x 本身，也没有参数"), empty)
    yield (say("shapes of the parameters of a Sequential within a Sequential",
               "Sequential 套 Sequential 时各参数的形状"),
           lambda: [list(p.data.shape) for p in net().parameters()])
    yield say("its output", "它的输出"), lambda: net()(leaf(Tensor, x)).data

    def back():
        model, inputs = net(), leaf(Tensor, x)
        return gradients(model(inputs), g, *model.parameters(), inputs)

    yield say("the gradients of its parameters and of x", "各参数与 x 的梯度"), back


check_sequential.mistake(
    say("Every layer gets x. Only the first one should.", "每一层都直接得到了 x。只有第一层才应如此。"),
    within="Sequential.__call__",
    replace={"x = layer(x)\n        return x": "out = layer(x)\n        return out if self.layers else x"},
)
check_sequential.mistake(
    say("The layers run in reverse order. f(g(x)) is written from the outside in; this list from the "
        "inside out.",
        "各层按相反的顺序执行了。f(g(x)) 的写法由外到内，而这个列表是由内到外。"),
    within="Sequential.__call__", replace={"in self.layers": "in self.layers[::-1]"},
)
check_sequential.mistake(
    say("parameters() is a list of lists. An optimiser wants one flat list.",
        "parameters() 是列表的列表。优化器需要的是一个扁平的列表。"),
    within="Sequential.parameters",
    replace={"[p for layer in self.layers for p in layer.parameters()]":
             "[layer.parameters() for layer in self.layers]"},
)
check_sequential.mistake(
    say("parameters() looks only into Linear layers. A Sequential inside has parameters too, and "
        "tomorrow there are convolutions.",
        "parameters() 只看 Linear 层。里面的 Sequential 也有参数，明天还会有卷积层。"),
    within="Sequential.parameters",
    replace={"for layer in self.layers for": "for layer in self.layers if isinstance(layer, Linear) for"},
)
check_sequential.mistake(
    say("The last layer is never applied.", "最后一层没有被执行。"),
    within="Sequential.__call__", replace={"in self.layers": "in self.layers[:-1]"},
)


@check(forbids=("torch",))
def check_mlp(MLP, Tensor, rng):
    """Sizes, the places of the ReLUs, and gradients."""
    seed = int(rng.integers(2**31))
    for sizes in ((4, 7, 3), (5, 2), (3, 4, 4, 2)):
        x, g = rng.normal(size=(6, sizes[0])), rng.normal(size=(6, sizes[-1]))
        here = list(sizes)
        yield (say(f"MLP({here}): its layers", f"MLP({here})：各层"),
               lambda: [type(layer).__name__ for layer in MLP(here).layers])
        yield (say("shapes of its parameters", "各参数的形状"),
               lambda: [list(p.data.shape) for p in MLP(here).parameters()])
        yield say("its output", "它的输出"), lambda: filled(MLP(here), seed)(leaf(Tensor, x)).data

        def back():
            model = filled(MLP(here), seed)
            return gradients(model(leaf(Tensor, x)), g, *model.parameters())

        yield say("the gradients of its parameters", "各参数的梯度"), back

    def weights(*seeds):
        a, b = (MLP([3, 3, 3], np.random.default_rng(one)) for one in seeds)
        pairs = [(a.parameters()[0], b.parameters()[0]), (a.parameters()[2], b.parameters()[2]),
                 (a.parameters()[0], a.parameters()[2])]
        return [bool(np.any(p.data != q.data)) for p, q in pairs]

    yield (say("MLP([3, 3, 3]) from equal generators: do the first layers differ, the second ones, the "
               "first from the second?",
               "由相同生成器得到两个 MLP([3, 3, 3])：两个第一层、两个第二层、第一层与第二层是否不同？"),
           lambda: weights(seed, seed))
    yield (say("the same from different generators", "由不同生成器得到时，同上"),
           lambda: weights(seed, seed + 1))


check_mlp.mistake(
    say("There is a ReLU behind the last Linear, so no output is ever negative.",
        "最后一个 Linear 之后还有 ReLU，于是输出永远不会为负。"),
    within="MLP.__init__", replace={"*layers[:-1]": "*layers"},
)
check_mlp.mistake(
    say("There is no ReLU between the Linears: together they are one linear map.",
        "Linear 之间没有 ReLU：合起来只是一个线性映射。"),
    within="MLP.__init__",
    replace={"[Linear(i, o, rng), ReLU()]": "[Linear(i, o, rng)]", "*layers[:-1]": "*layers"},
)
check_mlp.mistake(
    say("The generator does not reach the layers.", "生成器没有传到各层。"),
    within="MLP.__init__", replace={"Linear(i, o, rng)": "Linear(i, o)"},
)
check_mlp.mistake(
    say("One single ReLU stands behind the first Linear only.", "只有第一个 Linear 之后有 ReLU。"),
    within="MLP.__init__",
    replace={"[Linear(i, o, rng), ReLU()]": "[Linear(i, o, rng), ReLU()] if not layers else [Linear(i, o, rng)]",
             "*layers[:-1]": "*(layers[:-1] if len(sizes) == 2 else layers)"},
)


# ------------------------------------------------------------------------------------- loss


@check(forbids=("torch",))
def check_cross_entropy(cross_entropy, Tensor, rng):
    """The loss and its gradient."""
    def loss(z, y):
        return cross_entropy(leaf(Tensor, z), y.copy())

    def grad(z, y, scale=1.0):
        logits = leaf(Tensor, z)
        (cross_entropy(logits, y.copy()) * scale).backward()
        return logits.grad

    uniform = np.zeros((2, 10))
    yield (say("ten equal logits: the loss is log 10", "十个相等的 logit：损失为 log 10"),
           lambda: loss(uniform, np.array([3, 9])).data)
    for B, C in ((1, 3), (5, 3), (4, 4)):
        z, y = 2 * rng.normal(size=(B, C)), rng.integers(C, size=B)
        yield (say(f"loss for logits of shape ({B}, {C}), a Tensor of shape ()",
                   f"logit 形状为 ({B}, {C}) 时的损失，形状 () 的 Tensor"), lambda: loss(z, y).data)
        yield say("the same: gradient of the logits", "同上：logit 的梯度"), lambda: grad(z, y)
    z, y = 2 * rng.normal(size=(6, 3)), np.arange(6) % 3
    scale = float(rng.uniform(2, 3))
    yield (say("gradient where the loss is multiplied by a number afterwards", "损失再乘一个数时的梯度"),
           lambda: grad(z, y, scale))
    yield (say("labels of type uint8: loss and gradient", "标签为 uint8：损失与梯度"),
           lambda: [loss(z, y.astype(np.uint8)).data, grad(z, y.astype(np.uint8))])
    big = np.array([[1000.0, 0.0, -1000.0], [-1000.0, 1000.0, 999.0], [-1000.0, -999.0, -998.0]])
    at = np.array([0, 2, 0])
    yield (say("logits of 1000 and -1000: loss", "logit 为 1000 与 -1000：损失"),
           lambda: loss(big, at).data)
    yield say("the same: gradient", "同上：梯度"), lambda: grad(big, at)
    yield (say("a sure mistake: the loss is 2000", "确信却错误：损失为 2000"),
           lambda: loss(big[:1], np.array([2])).data)
    yield (say("a label equal to the number of classes", "标签等于类别数"),
           lambda: loss(z, np.array([0, 1, 2, 3, 0, 1])).data, raises(ValueError))
    yield (say("a negative label", "标签为负"),
           lambda: loss(z, np.array([0, 1, -1, 0, 0, 1])).data, raises(ValueError))

    def kept():
        logits, labels = leaf(Tensor, z), y.copy()
        cross_entropy(logits, labels).backward()
        return [logits.data, labels]

    yield say("logits and labels afterwards", "之后的 logit 与标签"), kept

    def through():
        x = leaf(Tensor, z)
        cross_entropy(x * x, y).backward()
        return x.grad

    yield (say("logits computed from x (as x * x): gradient of x", "由 x 算出的 logit（x * x）：x 的梯度"),
           through)


check_cross_entropy.mistake(
    say("Large logits overflow. The same number can be taken off all logits of an example without "
        "changing the loss; which one helps?",
        "logit 很大时溢出了。从一个样本的所有 logit 中减去同一个数，损失不变；减去哪个数有用？"),
    within="cross_entropy",
    replace={"logits.data - logits.data.max(axis=1, keepdims=True)": "logits.data * 1.0"},
)
check_cross_entropy.mistake(
    say("One maximum is taken off the whole batch. An example whose logits all lie far below it gets "
        "log 0.",
        "整批只减去了一个最大值。若某个样本的 logit 都远低于它，就会得到 log 0。"),
    within="cross_entropy",
    replace={"logits.data.max(axis=1, keepdims=True)": "logits.data.max()"},
)
check_cross_entropy.mistake(
    say("The loss is a sum over the batch; the mean is asked for.", "损失对整批求了和；题目要的是平均。"),
    within="cross_entropy",
    replace={"-log_p[rows, y].mean()": "-log_p[rows, y].sum()", "grad * dlogits / B": "grad * dlogits"},
)
check_cross_entropy.mistake(
    say("The loss is the mean, and its gradient still that of the sum.",
        "损失取了平均，梯度却还是求和时的梯度。"),
    within="cross_entropy", replace={"grad * dlogits / B": "grad * dlogits"},
)
check_cross_entropy.mistake(
    say("The softmax runs over the examples. Which axis holds the classes?",
        "softmax 沿样本那一维计算了。哪一维是类别？"),
    within="cross_entropy",
    replace={"np.exp(shifted).sum(axis=1, keepdims=True)": "np.exp(shifted).sum(axis=0, keepdims=True)"},
)
check_cross_entropy.mistake(
    say("Your gradient ignores what arrives from above: a loss that is scaled afterwards has a scaled "
        "gradient.",
        "你的梯度忽略了上游到来的值：损失再乘一个数，梯度也应随之缩放。"),
    within="cross_entropy", replace={"grad * dlogits / B": "dlogits / B"},
)
check_cross_entropy.mistake(
    say("The gradient is P and lacks the -1 at the right classes.", "梯度只有 P，缺少正确类别处的 -1。"),
    within="cross_entropy", replace={"        dlogits[rows, y] -= 1\n": ""},
)
check_cross_entropy.mistake(
    say("`[:, y]` subtracts at every label of the batch in every row. You need pairs of row and label.",
        "`[:, y]` 会在每一行的所有标签处都减。需要的是行与标签一一配对。"),
    within="cross_entropy", replace={"dlogits[rows, y] -= 1": "dlogits[:, y] -= 1"},
)
check_cross_entropy.mistake(
    say("A negative label counts from the end in NumPy and goes unnoticed.",
        "负标签在 NumPy 中会从末尾数起，错误因此没有被发现。"),
    within="cross_entropy", replace={"y.min() < 0 or y.max() >= C": "y.max() >= C"},
)


# -------------------------------------------------------------------------------- optimiser


@check(forbids=("torch",))
def check_sgd(SGD, Tensor, rng):
    """Steps with and without momentum, and zero_grad."""
    start = [rng.normal(size=(2, 3)), rng.normal(size=4)]
    slopes = [[rng.normal(size=a.shape) for a in start] for _ in range(3)]
    lr, momentum = float(rng.uniform(0.1, 0.5)), float(rng.uniform(0.5, 0.9))

    def run(count=3, make=SGD, change=lambda optimiser, at: None, **settings):
        params = [leaf(Tensor, a) for a in start]
        optimiser = make(params, lr, **settings)
        for at in range(count):
            for p, g in zip(params, slopes[at], strict=True):
                p.grad = g.copy()
            change(optimiser, at)
            optimiser.step()
        return [p.data for p in params]

    yield (say("parameters after SGD(params, lr), before any step", "SGD(params, lr) 之后、尚未更新的参数"),
           lambda: run(0))
    yield say("after one step", "一步之后"), lambda: run(1)
    yield say("after three steps", "三步之后"), lambda: run()
    yield (say("with momentum, after one step: the velocity started at 0", "有动量，一步之后：速度从 0 开始"),
           lambda: run(1, momentum=momentum))
    yield say("with momentum, after two steps", "有动量，两步之后"), lambda: run(2, momentum=momentum)
    yield say("with momentum, after three steps", "有动量，三步之后"), lambda: run(momentum=momentum)
    yield (say("parameters handed over as a generator, three steps", "参数以生成器形式传入，三步之后"),
           lambda: run(make=lambda params, *rest, **more: SGD((p for p in params), *rest, **more),
                       momentum=momentum))

    def set_lr(optimiser, at):
        optimiser.lr = lr * (at + 1)

    def set_momentum(optimiser, at):
        optimiser.momentum = momentum / (at + 1)

    yield (say("lr changed between the steps, with momentum", "有动量，各步之间改变 lr"),
           lambda: run(change=set_lr, momentum=momentum))
    yield (say("momentum changed between the steps", "各步之间改变 momentum"),
           lambda: run(change=set_momentum, momentum=momentum))

    def grads(act):
        params = [leaf(Tensor, a) for a in start]
        optimiser = SGD(params, lr, momentum)
        for p, g in zip(params, slopes[0], strict=True):
            p.grad = g.copy()
        act(optimiser)
        return [p.grad for p in params]

    yield say("grads after step()", "step() 之后的 grad"), lambda: grads(lambda o: o.step())
    yield say("grads after zero_grad()", "zero_grad() 之后的 grad"), lambda: grads(lambda o: o.zero_grad())

    def cleared():
        params = [leaf(Tensor, a) for a in start]
        optimiser = SGD(params, lr, momentum)
        for g in slopes[:2]:
            for p, one in zip(params, g, strict=True):
                p.grad = one.copy()
            optimiser.step()
            optimiser.zero_grad()
        optimiser.step()
        return [p.data for p in params]

    yield (say("two steps, each followed by zero_grad(), and a step with zero gradients",
               "两步（每步之后 zero_grad()），再以零梯度走一步"), cleared)

    def loop():
        x = leaf(Tensor, start[1])
        optimiser = SGD([x], lr, momentum)
        for _ in range(4):
            optimiser.zero_grad()
            (x * x).sum().backward()
            optimiser.step()
        return x.data

    yield say("four steps down f(x) = x . x", "沿 f(x) = x · x 下降四步"), loop


check_sgd.mistake(
    say("The parameters climb: the gradient points uphill.", "参数在往上走：梯度指向上坡方向。"),
    within="SGD.step", replace={"p.data -= self.lr * v": "p.data += self.lr * v"},
)
check_sgd.mistake(
    say("Steps are all the same with and without momentum: the velocity forgets the past.",
        "有没有动量，每一步都一样：速度忘记了过去。"),
    within="SGD.step", replace={"v *= self.momentum": "v *= 0"},
)
check_sgd.mistake(
    say("The new gradient is weighted with 1 - momentum. The task's velocity takes it whole.",
        "新梯度乘上了 1 - momentum。题目中的速度是原样加上它。"),
    within="SGD.step", replace={"v += p.grad": "v += (1 - self.momentum) * p.grad"},
)
check_sgd.mistake(
    say("The learning rate is inside the velocity. As long as lr stays the same nobody notices; with "
        "a schedule it does matter.",
        "学习率进到了速度里。lr 不变时看不出差别；一旦学习率有调度，就有影响了。"),
    within="SGD.step",
    replace={"v += p.grad": "v += self.lr * p.grad", "p.data -= self.lr * v": "p.data -= v"},
)
check_sgd.mistake(
    say("Nothing moves where the parameters come as a generator: it was used up by someone else first.",
        "参数以生成器传入时什么都没动：它先被别处用完了。"),
    within="SGD.__init__",
    replace={"self.params = list(params)": "params = list(params) if hasattr(params, '__len__') else params",
             "np.zeros(p.shape) for p in self.params]":
             "np.zeros(p.shape) for p in params]\n        self.params = list(params)"},
)
check_sgd.mistake(
    say("zero_grad() clears the velocities as well. They are meant to outlive a step.",
        "zero_grad() 把速度也清零了。速度应当跨步保留。"),
    within="SGD.zero_grad",
    replace={"for p in self.params:": "self.velocities = [np.zeros(p.shape) for p in self.params]\n        for p in self.params:"},
)
check_sgd.mistake(
    say("step() clears the gradients. That is zero_grad's task; somebody may still want to look at them.",
        "step() 把梯度清零了。那是 zero_grad 的任务；也许还有人要看梯度。"),
    within="SGD.step", replace={"p.data -= self.lr * v": "p.data -= self.lr * v\n            p.zero_grad()"},
)
check_sgd.mistake(
    say("zero_grad() leaves the gradients as they are; the engine adds, so they pile up.",
        "zero_grad() 没有清掉梯度；引擎只做累加，于是梯度越积越多。"),
    within="SGD.zero_grad", replace={"p.zero_grad()": "pass"},
)


# -------------------------------------------------------------------------------- trainings


def numbers(model, Tensor, x):
    """The model's outputs for a column of angles."""
    return model(Tensor(x.reshape(-1, 1), requires_grad=False)).data


@check(forbids=("torch",))
def check_fit_sin(fit_sin, Tensor, rng):
    """An MLP on your engine becomes sin(x)."""
    seed, other = (int(k) for k in rng.choice(1000, size=2, replace=False))
    x = np.sort(rng.uniform(-np.pi, np.pi, size=200))
    x[0], x[-1] = -np.pi, np.pi
    fit = functools.cache(fit_sin)
    target = np.sin(x)[:, None]
    yield (say("number of losses after 7 steps, minus 7", "7 步之后损失的个数减 7"),
           lambda: abs(len(fit(seed, 7)[1]) - 7), at_most(0))

    def gap(*seeds):
        a, b = (fit_sin(one, 7) for one in seeds)
        moved = np.abs(numbers(a[0], Tensor, x) - numbers(b[0], Tensor, x)).max()
        return float(moved > 0 or list(map(float, a[1])) != list(map(float, b[1])))

    yield (say("the same seed twice: 1 if the results differ", "同一个种子两次：结果不同则为 1"),
           lambda: gap(seed, seed), at_most(0))
    yield (say("another seed: 1 if the results differ", "换一个种子：结果不同则为 1"),
           lambda: gap(seed, other), at_least(1))

    def first_loss():
        """1 unless losses[0] is within a factor of 2.5 of the untrained model's error."""
        untrained = np.mean((numbers(fit(seed, 0)[0], Tensor, x) - target) ** 2)
        ratio = float(fit(seed, 1)[1][0]) / untrained
        return float(gap(seed, seed) or not 0.4 < ratio < 2.5)

    yield (say("1 if the first loss is not the untrained model's mean squared error",
               "第一个损失若不是未训练模型的均方误差则为 1"), first_loss, at_most(0))

    def kinked():
        """1 if the outputs between three close points ever bend, as a network with relu can."""
        dense = np.linspace(-np.pi, np.pi, 500)
        y = numbers(fit(seed)[0], Tensor, dense).ravel()
        return float(np.abs(np.diff(y, 2)).max() > 1e-9)

    yield say("1 if the curve bends anywhere", "曲线有弯折则为 1"), kinked, at_least(1)
    yield (say("the last loss", "最后一个损失"), lambda: float(fit(seed)[1][-1]), at_most(1e-3))
    yield (say("predictions on [-pi, pi]: mean squared error", "[-pi, pi] 上的预测：均方误差"),
           lambda: numbers(fit(seed)[0], Tensor, x), error_at_most(target, 1e-3))
    yield (say("predictions on [-pi, pi]: largest error", "[-pi, pi] 上的预测：最大误差"),
           lambda: numbers(fit(seed)[0], Tensor, x), error_at_most(target, 0.05, worst=True))


check_fit_sin.mistake(
    say("Predictions have shape (N, 1). With targets of shape (N,) the difference broadcasts to (N, N), "
        "and the best answer to all targets at once is their mean.",
        "预测的形状是 (N, 1)。如果目标的形状是 (N,)，差会广播成 (N, N)，而同时面对所有目标时，最好的回答是它们的均值。"),
    within="fit_sin", replace={"np.sin(X)": "np.sin(X)[:, 0]"},
)
check_fit_sin.mistake(
    say("The seed does not reach the network, so no run can be repeated.",
        "种子没有用到网络上，于是结果无法重现。"),
    within="fit_sin",
    replace={"1], np.random.default_rng(seed))": "1], np.random.default_rng())"},
)
check_fit_sin.mistake(
    say("Every seed gives the same network.", "每个种子得到的都是同一个网络。"),
    within="fit_sin",
    replace={"1], np.random.default_rng(seed))": "1], np.random.default_rng(0))"},
)
check_fit_sin.mistake(
    say("The network is a straight line: a single Linear, or Linears without an activation between them.",
        "网络是一条直线：只有一个 Linear，或者 Linear 之间没有激活函数。"),
    within="fit_sin", replace={"MLP([1, 64, 64, 1],": "MLP([1, 1],"},
)


@check(forbids=("torch",))
def check_minibatches(minibatches, rng):
    """An epoch: every index once, in random order."""
    seed = int(rng.integers(2**31))

    def epoch(n, size, source=None):
        return [np.asarray(b) for b in minibatches(n, size, source or np.random.default_rng(seed))]

    for n, size in ((12, 4), (13, 4), (3, 5), (5, 1)):
        yield (say(f"lengths of the batches, n = {n}, batch_size = {size}",
                   f"n = {n}、batch_size = {size} 时各批的长度"),
               lambda: [len(b) for b in epoch(n, size)])
        yield (say("all indices, sorted", "所有下标，排序之后"),
               lambda: np.sort(np.concatenate(epoch(n, size))))
    yield (say("the type of the indices is an integer", "下标的类型是整数"),
           lambda: all(b.dtype.kind in "iu" for b in epoch(13, 4)))
    yield (say("equal generators give the same order", "相同的生成器给出相同的顺序"),
           lambda: bool(np.all(np.concatenate(epoch(50, 8)) == np.concatenate(epoch(50, 8)))))

    def two():
        source = np.random.default_rng(seed)
        return [np.concatenate(epoch(50, 8, source)) for _ in range(2)]

    yield (say("two epochs from one generator: is the order another one?",
               "由同一个生成器得到两轮：顺序是否不同？"), lambda: bool(np.any(two()[0] != two()[1])))
    yield (say("do both epochs have their own batches, not only their own order of batches?",
               "两轮的各批内容是否不同，而不仅仅是批的先后不同？"),
           lambda: {frozenset(one[:8].tolist()) for one in two()}.isdisjoint(
               {frozenset(range(k, k + 8)) for k in range(0, 48, 8)}))
    yield (say("is the order anything but 0, 1, 2, ...?", "顺序是否不再是 0, 1, 2, ...？"),
           lambda: bool(np.any(np.concatenate(epoch(50, 8)) != np.arange(50))))


check_minibatches.mistake(
    say("The last, shorter batch is missing: some pictures are never seen in an epoch.",
        "最后那个较短的批没有了：一轮中有些图片永远见不到。"),
    within="minibatches", replace={"range(0, n, batch_size)": "range(0, n - batch_size + 1, batch_size)"},
)
check_minibatches.mistake(
    say("The order is 0, 1, 2, ... in every epoch.", "每一轮的顺序都是 0, 1, 2, ...。"),
    within="minibatches", replace={"rng.permutation(n)": "np.arange(n)"},
)
check_minibatches.mistake(
    say("Indices are drawn with replacement: some stand in several batches, others in none.",
        "下标是有放回抽取的：有些出现在好几批里，有些一次也没有。"),
    within="minibatches", replace={"rng.permutation(n)": "rng.integers(n, size=n)"},
)
check_minibatches.mistake(
    say("The generator that was handed in is not used: nothing can be repeated.",
        "没有使用传入的生成器：结果无法重现。"),
    within="minibatches", replace={"rng.permutation(n)": "np.random.default_rng().permutation(n)"},
)
check_minibatches.mistake(
    say("Every epoch has the same order: a new generator is made at each call.",
        "每一轮的顺序都相同：每次调用都新建了生成器。"),
    within="minibatches", replace={"rng.permutation(n)": "np.random.default_rng(0).permutation(n)"},
)


@check_minibatches.mistake(
    say("The batches are shuffled, and their contents stay neighbours: 0 to 7 always come together.",
        "打乱的只是各批的先后，批内仍是相邻的下标：0 到 7 总在一起。"),
)
def minibatches(n, batch_size, rng):
    starts = range(0, n, batch_size)
    return [np.arange(starts[k], min(n, starts[k] + batch_size)) for k in rng.permutation(len(starts))]


@check(forbids=("torch",))
def check_predict(predict, Sequential, Tensor, rng):
    """The class with the largest logit."""
    images = rng.integers(256, size=(7, 2, 3)).astype(np.uint8)
    W = rng.normal(size=(6, 4))
    seen = []

    def model():
        seen.clear()

        def note(x):
            seen.append(x.data.shape)
            return x

        return Sequential(note, lambda x: x @ Tensor(W))

    yield (say("predictions for 7 pictures and 4 classes", "7 张图片、4 个类别的预测"),
           lambda: np.asarray(predict(model(), images)))
    offset = Sequential(lambda x: x @ Tensor(W) - Tensor([100.0, 99.0, 98.0, 100.0]))
    yield (say("where all logits are negative", "logit 全为负时"),
           lambda: np.asarray(predict(offset, images)))
    yield say("for a single picture: an array of shape (1,)", "只有一张图片：形状 (1,) 的数组"), lambda: (
        np.asarray(predict(model(), images[:1])))
    yield (say("are they integers?", "结果是整数吗？"),
           lambda: np.asarray(predict(model(), images)).dtype.kind in "iu")
    many = rng.integers(256, size=(2103, 2, 3)).astype(np.uint8)
    yield (say("predictions for 2103 pictures", "2103 张图片的预测"),
           lambda: np.asarray(predict(model(), many)))
    yield (say("predictions for 2000 pictures", "2000 张图片的预测"),
           lambda: np.asarray(predict(model(), many[:2000])))

    def passes():
        predict(model(), many)
        return float(max(shape[0] for shape in seen))

    yield (say("pictures at a time, at most", "一次最多送入的图片数"), passes, at_most(1000))

    def range_seen():
        values = []
        predict(Sequential(lambda x: values.append(x.data) or x), many[:50])
        flat = np.concatenate(values)
        return [list(flat.shape), flat.min(), flat.max()]

    yield (say("what the model is given: shape, smallest and largest entry",
               "送入模型的数据：形状、最小与最大元素"), range_seen)


check_predict.mistake(
    say("The index of the largest entry of which axis? Each picture has a row of logits.",
        "取的是沿哪一维最大元素的下标？每张图片对应一行 logit。"),
    within="predict", replace={"argmax(axis=1)": "argmax(axis=0)"},
)
check_predict.mistake(
    say("This is the largest logit, not its class.", "这是最大的 logit，而不是它的类别。"),
    within="predict", replace={"argmax(axis=1)": "max(axis=1)"},
)
check_predict.mistake(
    say("All pictures go through the model at once.", "所有图片一次性送进了模型。"),
    within="predict",
    replace={"images[start:start + 1000] for start in range(0, len(images), 1000)": "images"},
)
check_predict.mistake(
    say("Some pictures at the end have no prediction.", "末尾的一些图片没有预测。"),
    within="predict",
    replace={"range(0, len(images), 1000)": "range(0, max(len(images) - 999, 1), 1000)"},
)
check_predict.mistake(
    say("The model is fed bytes from 0 to 255. It was trained on what as_inputs makes of them.",
        "送进模型的是 0 到 255 的字节。训练时用的是 as_inputs 处理之后的数据。"),
    within="predict",
    replace={"as_inputs(part)": "Tensor(part.reshape(len(part), -1))"},
)


@functools.cache
def drawn(seed):
    """400 digits drawn from strokes; drawing takes longer than learning them."""
    return draw_digits(400, seed)


@check(forbids=("torch",))
def check_train_digits(train_digits, predict, MLP, rng):
    """Losses, steps, and pictures never seen before."""
    N = 11
    images = rng.integers(256, size=(N, 2, 3)).astype(np.uint8)
    labels = rng.integers(3, size=N).astype(np.uint8)
    weights, seed = int(rng.integers(2**31)), int(rng.integers(2**31))

    def run(sizes=(6, 5, 3), **settings):
        model = filled(MLP(list(sizes)), weights)
        losses = train_digits(model, images, labels, np.random.default_rng(seed), **settings)
        return model, [float(loss) for loss in losses]

    def moved(**settings):
        return [p.data for p in run(**settings)[0].parameters()]

    yield (say("number of losses: 3 epochs of 11 pictures, batches of 4", "3 轮、11 张图片、每批 4 张：损失的个数"),
           lambda: len(run(epochs=3, batch_size=4)[1]))
    whole = dict(batch_size=N, lr=0.3)
    yield (say("whole-set batches, 3 epochs without momentum: losses", "每批为全部图片，3 轮，无动量：损失"),
           lambda: run(epochs=3, momentum=0.0, **whole)[1])
    yield (say("the same: parameters after one epoch", "同上：一轮之后的参数"),
           lambda: moved(epochs=1, momentum=0.0, **whole))
    yield (say("the same: parameters after three epochs", "同上：三轮之后的参数"),
           lambda: moved(epochs=3, momentum=0.0, **whole))
    yield (say("with momentum 0.5: parameters after three epochs", "动量 0.5：三轮之后的参数"),
           lambda: moved(epochs=3, momentum=0.5, **whole))

    def used():
        model = filled(MLP([6, 3]), weights)
        for p in model.parameters():
            p.grad = np.ones(p.data.shape)
        train_digits(model, images, labels, np.random.default_rng(seed), 1, N, 0.3, 0.0)
        return [p.data for p in model.parameters()]

    yield (say("parameters, where grads held something before the call", "调用之前 grad 中已有数值时，之后的参数"),
           used)
    yield (say("lr = 0, batches of 4, 4 and 3: the weighted mean of the losses is the loss of all",
               "lr = 0，各批为 4、4、3 张：损失的加权平均等于全体的损失"),
           lambda: np.dot(run(epochs=1, batch_size=4, lr=0.0)[1], [4, 4, 3]) / N)

    def orders():
        losses = run(epochs=3, batch_size=1, lr=0.0)[1]
        first, second, third = (losses[k * N:(k + 1) * N] for k in range(3))
        return [bool(np.allclose(np.sort(first), np.sort(second))), first != second, second != third]

    yield (say("lr = 0, batches of 1: does every epoch have the same losses, in another order?",
               "lr = 0，每批 1 张：每一轮的损失是否相同、次序是否不同？"), orders)

    def kept():
        run(epochs=1)
        return [images, labels]

    yield say("images and labels afterwards", "之后的图片与标签"), kept

    pictures, digits = drawn(int(rng.integers(8)))

    def unseen():
        source = np.random.default_rng(seed)
        model = MLP([784, 32, 10], source)
        train_digits(model, pictures[:300], digits[:300], source, epochs=12, batch_size=32)
        return np.asarray(predict(model, pictures[300:]))

    yield (say("drawn digits: predictions for 100 pictures not trained on",
               "手绘数字样本：100 张未参与训练的图片的预测"),
           unseen, accuracy_at_least(digits[300:], 0.9))


check_train_digits.mistake(
    say("The gradients of earlier batches are still there when the next one arrives.",
        "下一批到来时，前面各批的梯度还在。"),
    within="train_digits", replace={"            optimiser.zero_grad()\n": ""},
)
check_train_digits.mistake(
    say("The gradients are cleared between backward and step, so every step is taken along zero.",
        "在 backward 与 step 之间清了梯度，于是每一步的梯度都是零。"),
    within="train_digits",
    replace={"            optimiser.zero_grad()\n": "",
             "loss.backward()\n": "loss.backward()\n            optimiser.zero_grad()\n"},
)
check_train_digits.mistake(
    say("The momentum is not handed to the optimiser.", "动量没有传给优化器。"),
    within="train_digits", replace={"SGD(model.parameters(), lr, momentum)": "SGD(model.parameters(), lr)"},
)
check_train_digits.mistake(
    say("Pictures of the batch, but not its labels: which rows of labels belong to it?",
        "图片取了这一批的，标签却不是：哪些标签属于这一批？"),
    within="train_digits", replace={"labels[batch]": "labels[:len(batch)]"},
)
check_train_digits.mistake(
    say("The model is fed bytes from 0 to 255.", "送进模型的是 0 到 255 的字节。"),
    within="train_digits",
    replace={"as_inputs(images[batch])": "Tensor(images[batch].reshape(len(batch), -1))"},
)
check_train_digits.mistake(
    say("Every epoch uses the same batches in the same order.", "每一轮都用同样的批、同样的次序。"),
    within="train_digits",
    replace={"(b for _ in range(epochs) for b in minibatches(len(images), batch_size, rng))":
             "[*minibatches(len(images), batch_size, rng)] * epochs"},
)
check_train_digits.mistake(
    say("A loss is noted after its step. The task asks for the loss before it.",
        "记下的是更新之后的损失。题目要的是更新之前的。"),
    within="train_digits",
    replace={"run.log(loss=loss.item())":
             "run.log(loss=cross_entropy(model(as_inputs(images[batch])), labels[batch]).item())"},
)

# The settings of fit_sin are the learner's to choose; the targets are not.
FREE = "another setting that fits the sine as well"
EQUIVALENT = {
    "fit_sin: np.linspace(-np.pi, np.pi, 48) -> np.linspace(-np.pi, np.pi, 49)":
        FREE,
    "fit_sin: Tensor(X, requires_grad=False) -> Tensor(X)":
        "the inputs get a gradient that nobody reads",
    "fit_sin: Tensor(X, requires_grad=False) -> Tensor(X, requires_grad=True)":
        "the inputs get a gradient that nobody reads",
    "fit_sin: MLP([1, 64, 64, 1], np.random.default_rng(seed)) -> MLP([1, 65, 64, 1], np.random.default_rng(seed))":
        FREE,
    "fit_sin: MLP([1, 64, 64, 1], np.random.default_rng(seed)) -> MLP([1, 64, 65, 1], np.random.default_rng(seed))":
        FREE,
    "fit_sin: SGD(model.parameters(), lr=0.0, momentum=0.9) -> SGD(model.parameters(), lr=1.0, momentum=0.9)":
        "lr is set again before the first step",
    "fit_sin: step + 1 -> step - 1":
        FREE,
    "fit_sin: step + 1 -> step + 2":
        FREE,
    "fit_sin: (step + 1) / 200 -> (step + 1) / 201":
        FREE,
    "fit_sin: model(x) - target -> target - model(x)":
        "squared",
}

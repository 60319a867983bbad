"""Checks of Day 10: what to observe of softmax with a mask, soft lookups and attention."""

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from ladder.checks import check, choice, close, raises, say

BANNED = ("torch.nn", "torch.softmax", "torch.log_softmax", "torch.special.softmax",
          "torch.special.log_softmax", "torch.ops",
          "torch._C", "torch._softmax", "torch._safe_softmax")
LOOSE = close(rtol=0.15)  # two estimates from thousands of draws: 2 to 3 % apart


def tensor(array):
    """A fresh tensor; float64 and bool stay what they are."""
    return torch.tensor(np.array(array))


def normal(rng, *shape):
    return tensor(rng.normal(size=shape))


class Watch(TorchFunctionMode):
    """Note which ready-made functions are called, as methods of a tensor too."""

    def __init__(self):
        super().__init__()
        self.used = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if "softmax" in name or "attention" in name:
            self.used.add(name)
        return function(*args, **(kwargs or {}))


def ready_made(run):
    """The ready-made functions that ``run()`` calls."""
    with Watch() as watch:
        run()
    return sorted(watch.used)


def gradients(f, g, *inputs):
    """The gradients of Σ g · f(inputs) with respect to each of the inputs."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    (f(*leaves) * g).sum().backward()
    return [leaf.grad for leaf in leaves]


def after(run, *inputs):
    """Run, then return the inputs, which should be as they were."""
    run()
    return list(inputs)


# ---------------------------------------------------------------------------- safe_softmax


@check(forbids=BANNED)
def check_safe_softmax(safe_softmax, rng):
    """Softmax with a mask, in all its corners."""
    x = normal(rng, 2, 3, 4)
    yield say("one row", "一行"), lambda: safe_softmax(x[0, 0].clone())
    yield (say("shape (2, 3, 4): each row by itself", "形状 (2, 3, 4)：各行独立"),
           lambda: safe_softmax(x.clone()))
    far = x[0] + torch.tensor([[1000.0], [0.0], [-1000.0]])
    yield (say("rows near 1000, 0 and −1000", "1000、0 与 −1000 附近的行"),
           lambda: safe_softmax(far.clone()))
    same = torch.tensor([[True, False, True, True], [True, True, False, False],
                         [False, False, True, False]])
    yield (say("a mask of the shape of x", "形状与 x 相同的掩码"),
           lambda: safe_softmax(x[0].clone(), same.clone()))
    yield (say("a mask of shape (4,), for x of shape (2, 3, 4)", "x 形状为 (2, 3, 4)，掩码形状为 (4,)"),
           lambda: safe_softmax(x.clone(), same[0].clone()))
    yield (say("a mask of shape (2, 1, 4)", "形状为 (2, 1, 4) 的掩码"),
           lambda: safe_softmax(x.clone(), same[:2, None].clone()))
    loud = x[0].masked_fill(~same, 1e4)
    yield (say("entries that are not allowed are 10000", "不允许的元素为 10000"),
           lambda: safe_softmax(loud.clone(), same.clone()))
    none = same.clone()
    none[1] = False
    yield (say("a row with no allowed entry", "某一行没有任何允许的元素"),
           lambda: safe_softmax(x[0].clone(), none.clone()))
    yield (say("rows near −1000, one with no allowed entry", "−1000 附近的各行，其中一行没有允许的元素"),
           lambda: safe_softmax(x[0] - 1000, none.clone()))
    yield (say("dtype for float32 and float64", "输入为 float32 与 float64 时的 dtype"),
           lambda: [str(safe_softmax(x.to(t), same[0].clone()).dtype)
                    for t in (torch.float32, torch.float64)])
    g = normal(rng, 3, 4)
    yield (say("gradient, with a mask", "带掩码时的梯度"),
           lambda: gradients(lambda u: safe_softmax(u, same.clone()), g, x[0]))
    yield (say("gradient, where a row has no allowed entry", "某一行没有允许的元素时的梯度"),
           lambda: gradients(lambda u: safe_softmax(u, none.clone()), g, x[0]))
    yield (say("x and mask are as they were", "x 与 mask 保持原样"),
           lambda: after(lambda: safe_softmax(loud, same), loud, same))
    yield (say("ready-made functions used", "使用的现成函数"),
           lambda: ready_made(lambda: safe_softmax(x.clone(), same[0].clone())))


@check_safe_softmax.hidden
def _(safe_softmax, rng):
    x, mask = 30 * normal(rng, 5, 1, 7), tensor(rng.random(size=(5, 3, 7)) < 0.5)
    mask[2, 1] = False
    yield (say("float32, random mask", "float32，随机掩码"),
           lambda: safe_softmax(x.expand(5, 3, 7).float(), mask.clone()))


check_safe_softmax.mistake(
    say("Large logits give NaN. Which number may you subtract from a whole row without changing "
        "the result?",
        "logit 很大时得到 NaN。从整行减去怎样的一个数，结果不变？"),
    within="safe_softmax",
    replace={"x - largest.masked_fill(largest == -torch.inf, 0)": "x"},
)
check_safe_softmax.mistake(
    say("One number is subtracted from all rows, so rows far below the largest underflow to 0.",
        "所有行减去了同一个数，远低于最大值的那些行就下溢成了 0。"),
    within="safe_softmax", replace={"x.amax(dim=-1, keepdim=True)": "x.amax()"},
)
check_safe_softmax.mistake(
    say("The maximum is taken over entries that are not allowed. If one of them is huge, what is "
        "left of the others?",
        "求最大值时把不允许的元素也算了进去。若其中有一个非常大，其余的还剩下什么？"),
    within="safe_softmax",
    replace={"        x = x.masked_fill(~mask, -torch.inf)\n    largest = x.amax(dim=-1, keepdim=True)":
             "        largest = x.amax(dim=-1, keepdim=True)\n"
             "        x = x.masked_fill(~mask, -torch.inf)\n"
             "    else:\n        largest = x.amax(dim=-1, keepdim=True)"},
)
check_safe_softmax.mistake(
    say("Fine until a row has no allowed entry: what is −inf − (−inf), and "
        "what is 0 / 0?",
        "直到某一行没有允许的元素才出错：−inf − (−inf) 是多少？0 / 0 又是多少？"),
    within="safe_softmax", replace={"largest.masked_fill(largest == -torch.inf, 0)": "largest"},
)
check_safe_softmax.mistake(
    say("A large negative number is not −∞: where all entries of a row get it, softmax shares "
        "evenly among them.",
        "很大的负数并不等于 −∞：若一行的所有元素都是它，softmax 就会在它们之间平分。"),
    within="safe_softmax", replace={"-torch.inf)\n": "-1e9)\n"},
)
check_safe_softmax.mistake(
    say("The mask is read the wrong way round: True means that the entry takes part.",
        "掩码的含义读反了：True 表示该元素参与。"),
    within="safe_softmax", replace={"~mask": "mask"},
)


@check_safe_softmax.mistake(
    say("The weights are set to 0 after the division, so a row no longer adds up to 1.",
        "你在相除之后才把权重置 0，于是一行的和不再是 1。"),
)
def safe_softmax(x, mask=None):
    e = torch.exp(x - x.amax(dim=-1, keepdim=True))
    p = e / e.sum(dim=-1, keepdim=True)
    return p if mask is None else p.masked_fill(~mask, 0)


@check_safe_softmax.mistake(
    say("The values are right, the gradient is NaN: a NaN that is replaced afterwards still stands "
        "in the graph. Do not let it arise.",
        "数值正确，梯度却是 NaN：事后替换掉的 NaN 仍留在计算图里。要让它根本不出现。"),
)
def safe_softmax(x, mask=None):
    if mask is not None:
        x = x + torch.zeros(mask.shape, dtype=x.dtype).masked_fill(~mask, -torch.inf)
    e = torch.exp(x - x.amax(dim=-1, keepdim=True))
    return torch.nan_to_num(e / e.sum(dim=-1, keepdim=True))


@check_safe_softmax.mistake(
    say("Setting a logit to 0 does not take it out: exp(0) is 1.",
        "把 logit 置为 0 并不能排除它：exp(0) 等于 1。"),
)
def safe_softmax(x, mask=None):
    if mask is not None:
        x = x.masked_fill(~mask, 0)
    e = torch.exp(x - x.amax(dim=-1, keepdim=True))
    return e / e.sum(dim=-1, keepdim=True)


@check_safe_softmax.mistake(
    say("x comes back changed: a method whose name ends in _ works in place.",
        "x 被改动了：名字以 _ 结尾的方法是原地操作。"),
)
def safe_softmax(x, mask=None):
    if mask is not None:
        x = x.clone() if x.requires_grad or x.grad_fn else x
        x.masked_fill_(~mask, -torch.inf)
    largest = x.amax(dim=-1, keepdim=True)
    e = torch.exp(x - largest.masked_fill(largest == -torch.inf, 0))
    total = e.sum(dim=-1, keepdim=True)
    return e / total.masked_fill(total == 0, 1)


@check_safe_softmax.mistake(
    say("That is PyTorch's softmax. The task is to write it.", "这是 PyTorch 的 softmax。题目要求自己写。"),
)
def safe_softmax(x, mask=None):
    if mask is None:
        return x.softmax(-1)
    some = mask.any(dim=-1, keepdim=True).expand(*x.shape[:-1], 1)
    x = x.masked_fill(~mask, -torch.inf).masked_fill(~some, 0)
    return x.softmax(-1).masked_fill(~some, 0)


# -------------------------------------------------------------------------- check_attention


def weights(rng, *shape):
    """Rows of positive numbers that add up to 1; no number is above 0.9."""
    p = rng.uniform(0.5, 1.5, size=shape)
    return tensor(p / p.sum(axis=-1, keepdims=True))


def put(A, at, value):
    A = A.clone()
    A[at] = value
    return A


@check()
def check_attention_report(check_attention, rng):
    """What the report says of good, useless and broken weights."""
    A = weights(rng, 2, 3, 5)
    sharp = torch.eye(5, dtype=torch.float64)[None, :3].repeat(2, 1, 1)
    sharp[0, :2] = tensor([[0.98, 0.02, 0, 0, 0], [0.99, 0.01, 0, 0, 0]])
    zero = put(put(A, (0, 1), 0.0), (1, 0), 0.0)
    yield say("good weights, shape (2, 3, 5)", "正常的权重，形状 (2, 3, 5)"), lambda: check_attention(A.clone())
    yield (say("one-hot rows, and rows with 0.98 and exactly 0.99", "独热的行，以及最大值为 0.98 和恰好 0.99 的行"),
           lambda: check_attention(sharp.clone()))
    yield (say("two rows of zeros among good ones", "正常的行之间有两行全零"),
           lambda: check_attention(zero.clone()))
    yield say("all rows are zeros", "全部都是零行"), lambda: check_attention(torch.zeros(3, 4))
    yield (say("one NaN", "有一个 NaN"),
           lambda: check_attention(put(A, (1, 2, 3), torch.nan)))
    yield (say("one infinity", "有一个无穷大"),
           lambda: check_attention(put(A, (0, 0, 4), torch.inf)))
    negative = torch.tensor([0.5, 0.7, -0.2, 0.0, 0.0], dtype=torch.float64)
    yield (say("a row with a negative entry that adds up to 1", "某行有一个负数，但和为 1"),
           lambda: check_attention(put(A, (0, 2), negative)))
    yield (say("rows that add up to 0.99", "各行的和为 0.99"), lambda: check_attention(0.99 * A))
    yield (say("one row that adds up to 1.01", "有一行的和为 1.01"),
           lambda: check_attention(put(A, (0, 1), 1.01 * A[0, 1])))
    yield (say("rows that add up to 1.0005: rounding", "各行的和为 1.0005：属于舍入"),
           lambda: check_attention(1.0005 * A))
    columns = A[0] / A[0].sum(dim=0)
    yield (say("weights whose columns add up to 1", "各列（而不是各行）的和为 1 的权重"),
           lambda: check_attention(columns.clone()))


check_attention_report.mistake(
    say("The sums run down the columns. A query's weights stand in a row.",
        "求和是沿列做的。一个查询的权重排成一行。"),
    within="check_attention", replace={"(A.sum(dim=-1) - 1)": "(A.sum(dim=-2) - 1)",
                                       "one | empty": "one.all() | empty"},
)
check_attention_report.mistake(
    say("A row of zeros is allowed: it belongs to a query that may attend to nothing.",
        "全零的行是允许的：它属于一个什么都不能关注的查询。"),
    within="check_attention", replace={"(one | empty).all()": "one.all()"},
)
check_attention_report.mistake(
    say("A row can add up to 1 and still hold negative entries.", "一行的和为 1，其中仍可能有负数。"),
    within="check_attention", replace={"bool((A >= 0).all())": "True"},
)
check_attention_report.mistake(
    say("0 · log 0 gives NaN in the entropy of sharp rows; its limit is 0.",
        "在尖锐的行里，熵中的 0 · log 0 得到了 NaN；它的极限是 0。"),
    within="check_attention", replace={"torch.xlogy(A, A)": "(A * A.log())"},
)
check_attention_report.mistake(
    say("The mean entropy counts the empty rows too.", "平均熵把全零的行也算进去了。"),
    within="check_attention", replace={"[~empty]": "[empty | ~empty]"},
)
check_attention_report.mistake(
    say("Rounding makes sums a little off 1. How far off is still allowed?",
        "舍入会使和略微偏离 1。允许偏离多少？"),
    within="check_attention", replace={"<= 1e-3": "<= 1e-6"},
)


# ------------------------------------------------------------------------------ soft_lookup


@check()
def check_soft_lookup(soft_lookup, rng):
    """A dictionary in which every key answers."""
    q, K, V = normal(rng, 3), normal(rng, 5, 3), normal(rng, 5, 2)
    for temp in (1.0, 0.5, 4):
        yield (say(f"one query, 5 keys, temp = {temp:g}", f"1 个查询，5 个键，temp = {temp:g}"),
               lambda: soft_lookup(q.clone(), K.clone(), V.clone(), temp))
    unit = torch.eye(5, dtype=torch.float64)
    yield (say("with the identity as V: the weights", "以单位矩阵为 V：权重本身"),
           lambda: soft_lookup(q.clone(), K.clone(), unit.clone(), 1.0))
    yield (say("temp = 0.0001: the best key alone", "temp = 0.0001：只有最匹配的键"),
           lambda: soft_lookup(q.clone(), K.clone(), V.clone(), 1e-4))
    yield (say("scores near 1000, temp = 1", "分数在 1000 附近，temp = 1"),
           lambda: soft_lookup(q.clone(), K + 1000 * q / (q @ q), V.clone(), 1.0))
    Q = normal(rng, 2, 4, 3)
    yield (say("a stack of queries of shape (2, 4, 3)", "形状为 (2, 4, 3) 的一组查询"),
           lambda: soft_lookup(Q.clone(), K.clone(), V.clone(), 1.0))
    yield (say("temp = 0", "temp = 0"), lambda: soft_lookup(q.clone(), K.clone(), V.clone(), 0.0),
           raises(ValueError))
    yield (say("temp = −1", "temp = −1"), lambda: soft_lookup(q.clone(), K.clone(), V.clone(), -1.0),
           raises(ValueError))


check_soft_lookup.mistake(
    say("The scores are multiplied by temp. A low temperature should sharpen them.",
        "分数乘上了 temp。温度低应当使权重更尖锐。"),
    within="soft_lookup", replace={"q @ K.T / temp": "q @ K.T * temp"},
)
check_soft_lookup.mistake(
    say("The weights ignore temp.", "权重没有用到 temp。"),
    within="soft_lookup", replace={"q @ K.T / temp": "q @ K.T"},
)
check_soft_lookup.mistake(
    say("The temperature divides the weights. It belongs inside the exponential.",
        "温度除在了权重上。它应当在指数里面。"),
    within="soft_lookup", replace={"safe_softmax(q @ K.T / temp)": "safe_softmax(q @ K.T) / temp"},
)
check_soft_lookup.mistake(
    say("Scaled by √d as well: here the temperature alone does the scaling.",
        "又除了一次 √d：这里只由温度来缩放。"),
    within="soft_lookup", replace={"/ temp)": "/ temp / math.sqrt(q.shape[-1]))"},
)
check_soft_lookup.mistake(
    say("Only the best key answers. Here all of them do, each by its weight.",
        "只有最匹配的键作了回答。这里所有的键都要按权重作答。"),
    within="soft_lookup",
    replace={"safe_softmax(q @ K.T / temp) @ V": "V[(q @ K.T / temp).argmax(dim=-1)]"},
)
check_soft_lookup.mistake(
    say("What about a temperature of exactly 0?", "温度恰好为 0 时会怎样？"),
    within="soft_lookup", replace={"temp <= 0": "temp < 0"},
)
check_soft_lookup.mistake(
    say("Large scores overflow. You have a softmax that does not.",
        "分数很大时溢出了。你已经有一个不会溢出的 softmax。"),
    within="soft_lookup",
    replace={"return safe_softmax(q @ K.T / temp) @ V":
             "e = torch.exp(q @ K.T / temp)\n    return e / e.sum(dim=-1, keepdim=True) @ V"},
)


# ------------------------------------------------------------------------------- why √d_k


STEPS = ("mean_product", "square_product", "var_product", "mean_dot", "var_dot", "var_scaled")


@check()
def check_dot_variance_steps(dot_variance_steps, rng):
    """From one component to the scaled dot product, exactly."""
    for key in STEPS:
        yield (say(f"{key}: d = 64, means 0 and variances 1", f"{key}：d = 64，均值 0、方差 1"),
               lambda: dot_variance_steps(64, 0.0, 1.0, 0.0, 1.0)[key])
    numbers = [float(u) for u in rng.uniform(0.5, 2.5, size=4)]
    for key in STEPS:
        yield (say(f"{key}: d = 5, other means and variances", f"{key}：d = 5，其他均值与方差"),
               lambda: dot_variance_steps(5, *numbers)[key])


check_dot_variance_steps.mistake(
    say("var_product: the variances alone multiply only if the means are 0. Start from "
        "Var[u] = E[u²] − E[u]².",
        "var_product：只有均值为 0 时才是方差之积。从 Var[u] = E[u²] − E[u]² 出发。"),
    within="dot_variance_steps",
    replace={"square_product - mean_product**2": "var_q * var_k"},
)
check_dot_variance_steps.mistake(
    say("square_product: E[q²] is not the variance of q unless its mean is 0.",
        "square_product：除非均值为 0，E[q²] 并不等于 q 的方差。"),
    within="dot_variance_steps",
    replace={"(var_q + mean_q**2) * (var_k + mean_k**2)": "var_q * var_k"},
)
check_dot_variance_steps.mistake(
    say("var_dot: variances of independent terms add up. How many terms?",
        "var_dot：独立的各项方差相加。一共多少项？"),
    within="dot_variance_steps", replace={'"var_dot": d * var_product': '"var_dot": var_product'},
)
check_dot_variance_steps.mistake(
    say("var_dot: d independent terms, not d copies of one term: variances add, without d².",
        "var_dot：是 d 个独立的项，不是同一项的 d 份：方差相加，没有 d²。"),
    within="dot_variance_steps", replace={'"var_dot": d * var_product': '"var_dot": d**2 * var_product'},
)
check_dot_variance_steps.mistake(
    say("var_scaled: a factor c changes the variance by c². What is c² for c = 1/√d?",
        "var_scaled：乘以因子 c，方差乘以 c²。c = 1/√d 时 c² 是多少？"),
    within="dot_variance_steps",
    replace={'"var_scaled": var_product': '"var_scaled": d * var_product / math.sqrt(d)'},
)


@check()
def check_dot_variance(dot_variance, rng):
    """The measured variance, which must be that of the derivation up to chance."""
    seed = int(rng.integers(2**31))
    for d in (3, 16, 128):
        yield (say(f"d = {d}: variance of q · k", f"d = {d}：q · k 的方差"),
               lambda: dot_variance(d, 8000, seed)[0], LOOSE)
        yield (say(f"d = {d}: variance of q · k / √d", f"d = {d}：q · k / √d 的方差"),
               lambda: dot_variance(d, 8000, seed)[1], LOOSE)
    yield (say("the same seed twice, then another one: are the numbers the same?",
               "同一种子两次，再换一个种子：数值是否相同？"),
           lambda: [tuple(dot_variance(4, 50, seed)) == tuple(dot_variance(4, 50, seed)),
                    tuple(dot_variance(4, 50, seed)) == tuple(dot_variance(4, 50, seed + 1))])
    yield (say("is the first number d times the second?", "第一个数是否为第二个数的 d 倍？"),
           lambda: abs(dot_variance(7, 40, seed)[0] / dot_variance(7, 40, seed)[1] - 7) < 1e-3)
    yield (say("are both Python floats?", "两者都是 Python 的 float 吗？"),
           lambda: [isinstance(number, float) for number in dot_variance(2, 10, seed)])


check_dot_variance.mistake(
    say("That is the standard deviation; the variance is its square.", "这是标准差；方差是它的平方。"),
    within="dot_variance", replace={"float(dots.var())": "float(dots.std())",
                                    "(dots / math.sqrt(d)).var()": "(dots / math.sqrt(d)).std()"},
)
check_dot_variance.mistake(
    say("Divided by d, not by √d: then the variance falls like 1/d.",
        "除的是 d 而不是 √d：这样方差会按 1/d 下降。"),
    within="dot_variance", replace={"math.sqrt(d)": "d"},
)
check_dot_variance.mistake(
    say("Components between 0 and 1 are uniform, not normal: their mean is not 0.",
        "各分量在 0 与 1 之间均匀分布，不是正态分布：均值不为 0。"),
    within="dot_variance", replace={"torch.randn(": "torch.rand("},
)
check_dot_variance.mistake(
    say("That is the dot product of q with itself. q and k must be drawn independently.",
        "这是 q 与自身的点积。q 与 k 必须独立抽取。"),
    within="dot_variance", replace={"(q * k)": "(q * q)"},
)
check_dot_variance.mistake(
    say("The seed is not used: each call gives other numbers.", "没有用到种子：每次调用的数值都不同。"),
    within="dot_variance", replace={"torch.randn(2, n, d, generator=generator)":
                                    "torch.tensor(__import__('numpy').random.default_rng()"
                                    ".standard_normal((2, n, d)))"},
)


# ------------------------------------------------------------------------------------ sdpa


@check(forbids=BANNED)
def check_sdpa(sdpa, rng):
    """Equation 1, with masks, broadcasting and gradients."""
    q, k, v = normal(rng, 3, 5), normal(rng, 4, 5), normal(rng, 4, 2)
    yield (say("3 queries, 4 keys of size 5, values of size 2", "3 个查询，4 个大小为 5 的键，值的大小为 2"),
           lambda: sdpa(q.clone(), k.clone(), v.clone()))
    unit = torch.eye(4, dtype=torch.float64)
    yield (say("with the identity as v: the weights", "以单位矩阵为 v：权重本身"),
           lambda: sdpa(q.clone(), k.clone(), unit.clone()))
    yield (say("scores near 1000", "1000 附近的分数"),
           lambda: sdpa(1000 * q, k.clone(), v.clone()))
    Q, K, V = normal(rng, 2, 3, 4, 6), normal(rng, 2, 3, 5, 6), normal(rng, 2, 3, 5, 7)
    yield (say("leading dimensions (2, 3)", "前面的维度为 (2, 3)"),
           lambda: sdpa(Q.clone(), K.clone(), V.clone()))
    yield (say("q (2, 3, 4, 6) with one set of keys and values, (5, 6) and (5, 7)",
               "q 为 (2, 3, 4, 6)，共用一组键和值 (5, 6) 与 (5, 7)"),
           lambda: sdpa(Q.clone(), K[0, 0].clone(), V[0, 0].clone()))
    padding = torch.tensor([True, True, False, True, False])
    yield (say("a padding mask of shape (5,)", "形状为 (5,) 的填充掩码"),
           lambda: sdpa(Q.clone(), K.clone(), V.clone(), padding.clone()))
    mask = tensor(rng.random(size=(2, 1, 4, 5)) < 0.6)
    mask[..., 0] = True
    yield (say("a mask of shape (2, 1, 4, 5)", "形状为 (2, 1, 4, 5) 的掩码"),
           lambda: sdpa(Q.clone(), K.clone(), V.clone(), mask.clone()))
    nothing = mask.clone()
    nothing[1, 0, 2] = False
    yield (say("a query that may attend to nothing", "某个查询什么都不能关注"),
           lambda: sdpa(Q.clone(), K.clone(), V.clone(), nothing.clone()))
    g = normal(rng, 2, 3, 4, 7)
    yield (say("gradients of q, k and v", "q、k、v 的梯度"),
           lambda: gradients(lambda *a: sdpa(*a, nothing.clone()), g, Q, K, V))
    yield (say("dtype and value for float32", "float32 的 dtype 与数值"),
           lambda: [str(sdpa(q.float(), k.float(), v.float()).dtype),
                    sdpa(q.float(), k.float(), v.float())])
    kept = [u.clone() for u in (q, k, v)]
    yield (say("q, k and v are as they were", "q、k、v 保持原样"),
           lambda: after(lambda: sdpa(*kept), *kept))
    yield (say("ready-made functions used", "使用的现成函数"),
           lambda: ready_made(lambda: sdpa(q.clone(), k.clone(), v.clone())))


@check_sdpa.hidden
def _(sdpa, rng):
    q, k, v = normal(rng, 4, 1, 2), normal(rng, 4, 3, 2), normal(rng, 4, 3, 5)
    yield (say("one query for each of 4 examples, size 2", "4 个样本各一个查询，大小为 2"),
           lambda: sdpa(q.clone(), k.clone(), v.clone()))


SCORES = "q @ k.transpose(-2, -1) / math.sqrt(k.shape[-1])"
check_sdpa.mistake(
    say("The scores are not scaled.", "分数没有缩放。"),
    within="sdpa", replace={" / math.sqrt(k.shape[-1])": ""},
)
check_sdpa.mistake(
    say("Divided by d_k; its square root is meant.", "除的是 d_k；应当是它的平方根。"),
    within="sdpa", replace={"math.sqrt(k.shape[-1])": "k.shape[-1]"},
)
check_sdpa.mistake(
    say("Scaled by the size of the values. Over which size does the dot product of a query and a key "
        "run?",
        "用值的大小作了缩放。查询与键的点积是在多大的向量上求和的？"),
    within="sdpa", replace={"k.shape[-1]": "v.shape[-1]"},
)
check_sdpa.mistake(
    say("Scaled by the number of keys. The variance of a score does not depend on it.",
        "用键的个数作了缩放。而分数的方差与键的个数无关。"),
    within="sdpa", replace={"k.shape[-1]": "k.shape[-2]"},
)
check_sdpa.mistake(
    say("The mask is not used.", "没有用到掩码。"),
    within="sdpa", replace={"safe_softmax(scores, mask)": "safe_softmax(scores)"},
)
check_sdpa.mistake(
    say("For each KEY the weights over the queries add up to 1. Which of the two shares out its "
        "attention?",
        "现在是每个键在各查询上的权重之和为 1。究竟是谁在分配注意力？"),
    within="sdpa",
    replace={"safe_softmax(scores, mask)":
             "safe_softmax(scores.mT, mask if mask is None else "
             "mask.expand(scores.shape).mT).mT"},
)
check_sdpa.mistake(
    say("Right for one example; with leading dimensions .T reverses all of them. Exchange the last "
        "two only.",
        "单个样本正确；有前面的维度时，.T 会把所有维度倒过来。只应交换最后两维。"),
    within="sdpa", replace={"k.transpose(-2, -1)": "k.permute(*reversed(range(k.ndim)))"},
)
check_sdpa.mistake(
    say("Forbidden keys still take part in the sum of the softmax, so the weights left do not add up "
        "to 1.",
        "被禁止的键仍参与了 softmax 的求和，于是剩下的权重之和不是 1。"),
    within="sdpa",
    replace={"safe_softmax(scores, mask) @ v":
             "(safe_softmax(scores) * (1 if mask is None else mask)) @ v"},
)
check_sdpa.mistake(
    say("The queries are scaled in place, so the caller's q is changed, and autograd refuses.",
        "原地缩放了查询：调用者的 q 被改动，自动求导也会拒绝。"),
    within="sdpa", replace={SCORES: "(q.div_(math.sqrt(k.shape[-1]))) @ k.transpose(-2, -1)"},
)


# -------------------------------------------------------------------------- self_attention


@check(forbids=BANNED)
def check_self_attention(self_attention, rng):
    """Queries, keys and values of one sequence."""
    x, Wq, Wk = normal(rng, 2, 5, 6), normal(rng, 6, 3) / 2, normal(rng, 6, 3) / 2
    Wv = normal(rng, 6, 4)
    yield (say("one sequence of 5 tokens of size 6, d_k = 3, d_v = 4",
               "1 个序列，5 个大小为 6 的 token，d_k = 3，d_v = 4"),
           lambda: self_attention(x[:1].clone(), Wq.clone(), Wk.clone(), Wv.clone()))
    yield (say("two sequences", "2 个序列"),
           lambda: self_attention(x.clone(), Wq.clone(), Wk.clone(), Wv.clone()))
    square = [normal(rng, 6, 6) for _ in range(3)]
    yield (say("square weights, 6 by 6", "6 × 6 的方阵权重"),
           lambda: self_attention(x.clone(), *[W.clone() for W in square]))
    lower = torch.ones(5, 5).tril().bool()
    yield (say("mask (5, 5): each token sees itself and those before it",
               "掩码 (5, 5)：每个 token 只看自己和前面的 token"),
           lambda: self_attention(x.clone(), Wq.clone(), Wk.clone(), Wv.clone(), lower.clone()))
    lengths = torch.tensor([[[True] * 5], [[True, True, True, False, False]]])
    yield (say("mask (2, 1, 5): the second sequence has 3 tokens",
               "掩码 (2, 1, 5)：第二个序列只有 3 个 token"),
           lambda: self_attention(x.clone(), Wq.clone(), Wk.clone(), Wv.clone(), lengths.clone()))
    g = normal(rng, 2, 5, 4)
    yield (say("gradients of x, Wq, Wk and Wv", "x、Wq、Wk、Wv 的梯度"),
           lambda: gradients(lambda *a: self_attention(*a, lower.clone()), g, x, Wq, Wk, Wv))
    yield (say("ready-made functions used", "使用的现成函数"),
           lambda: ready_made(lambda: self_attention(x.clone(), Wq.clone(), Wk.clone(), Wv.clone())))


CALL = "sdpa(x @ Wq, x @ Wk, x @ Wv, mask)"
check_self_attention.mistake(
    say("Queries and keys have changed places: then a key chooses among the queries.",
        "查询与键调换了位置：这样就成了键在各查询之间挑选。"),
    within="self_attention", replace={CALL: "sdpa(x @ Wk, x @ Wq, x @ Wv, mask)"},
)
check_self_attention.mistake(
    say("The tokens themselves are averaged; Wv has no part in it.", "被平均的是 token 本身，Wv 没有参与。"),
    within="self_attention", replace={"x @ Wv": "x"},
)
check_self_attention.mistake(
    say("The mask is not handed on.", "没有把掩码传下去。"),
    within="self_attention", replace={CALL: "sdpa(x @ Wq, x @ Wk, x @ Wv)"},
)
check_self_attention.mistake(
    say("Right only for square weights, or not even then: y = x W, without a transpose.",
        "至多对方阵能运行，结果也不对：y = x W，不要转置。"),
    within="self_attention", replace={CALL: "sdpa(x @ Wq.T, x @ Wk.T, x @ Wv.T, mask)"},
)
check_self_attention.mistake(
    say("Each token compares keys with keys: Wq is not used.", "每个 token 都是拿键与键比较：没有用到 Wq。"),
    within="self_attention", replace={"x @ Wq": "x @ Wk"},
)
check_self_attention.mistake(
    say("Tokens attend to the same position in other sequences. Which dimension holds the tokens?",
        "token 关注到了其他序列的同一位置。token 排在哪一维？"),
    within="self_attention",
    replace={CALL: "sdpa(*((x @ W).transpose(0, 1) for W in (Wq, Wk, Wv))).transpose(0, 1)"},
)


# ------------------------------------------------------------------------------- the paper


@check()
def check_quiz(paper_quiz, rng):
    """Vaswani et al., sections 3.2 and 4."""
    for i in range(1, 7):
        yield (say(f"question {i}", f"第 {i} 题"),
               lambda: str(paper_quiz()[f"q{i}"]).strip().lower(), choice())


def confusion(question, right, wrong, hint):
    """A known mistake: this wrong letter for ``question``."""
    check_quiz.mistake(hint, within="paper_quiz", replace={
        f'"{question}": "{right}"': f'"{question}": "{wrong}"',
    })


confusion("q1", "b", "a", say(
    "Question 1: the value is what is handed out, not what is compared. Reread the opening of §3.2.",
    "第 1 题：值是被取出的内容，而不是用来比较的东西。再读 §3.2 的开头。"))
confusion("q1", "b", "d", say(
    "Question 1: nothing in equation 1 knows the distance between positions (§3.2.1).",
    "第 1 题：公式 1 里没有任何量知道位置之间的距离（§3.2.1）。"))
confusion("q2", "d", "a", say(
    "Question 2: §3.2.1 compares the two in theory first, then in practice. Read both halves.",
    "第 2 题：§3.2.1 先比较二者的理论代价，再比较实际代价。两半都要读。"))
confusion("q2", "d", "b", say(
    "Question 2: §3.2.1 says which of the two does better for large d_k without scaling.",
    "第 2 题：§3.2.1 说明了 d_k 较大且不缩放时哪一种更好。"))
confusion("q3", "a", "b", say(
    "Question 3: that is the variance (footnote of §3.2.1).", "第 3 题：那是方差（§3.2.1 的脚注）。"))
confusion("q3", "a", "c", say(
    "Question 3: that holds after the scaling; the question asks about q · k itself.",
    "第 3 题：那是缩放之后的；题目问的是 q · k 本身。"))
confusion("q4", "c", "a", say(
    "Question 4: which of the two sentences is being searched, and who asks? (§3.2.3)",
    "第 4 题：被检索的是哪个句子，提问的又是谁？（§3.2.3）"))
confusion("q4", "c", "d", say(
    "Question 4: that is self-attention in the decoder; §3.2.3 lists three uses.",
    "第 4 题：那是解码器中的自注意力；§3.2.3 列出了三种用法。"))
confusion("q5", "d", "a", say(
    "Question 5: a score of 0 still has weight exp(0) = 1 in the sum. See the end of §3.2.3.",
    "第 5 题：分数为 0 时，在求和中仍有权重 exp(0) = 1。见 §3.2.3 末尾。"))
confusion("q5", "d", "b", say(
    "Question 5: then the weights no longer add up to 1. See the end of §3.2.3.",
    "第 5 题：这样权重之和就不再是 1。见 §3.2.3 末尾。"))
confusion("q6", "b", "a", say(
    "Question 6: compare n²·d with n·d² for these numbers (table 1).",
    "第 6 题：代入这些数，比较 n²·d 与 n·d²（表 1）。"))
confusion("q6", "b", "c", say(
    "Question 6: how many tokens lie between two positions is no matter to a dot product; see the "
    "last column of table 1.",
    "第 6 题：两个位置之间隔多少 token，对点积并无影响；看表 1 的最后一列。"))

EQUIVALENT: dict[str, str] = {
    "safe_softmax: largest.masked_fill(largest == -torch.inf, 0) -> "
    "largest.masked_fill(largest == -torch.inf, 1)":
        "−∞ minus any finite number is −∞",
    "safe_softmax: total.masked_fill(total == 0, 1) -> total.masked_fill(total == 0, 2)":
        "0 divided by any number but 0 is 0",
    "check_attention: (A.sum(dim=-1) - 1).abs() <= 0.001 -> (A.sum(dim=-1) - 1).abs() < 0.001":
        "no sum near 1 is off by exactly 0.001, which has no short binary fraction",
    "check_attention: A.sum(dim=-1) - 1 -> 1 - A.sum(dim=-1)":
        "its absolute value is taken",
    "sdpa: k.transpose(-2, -1) -> k.transpose(-1, -2)":
        "exchanging two dimensions is symmetric",
}

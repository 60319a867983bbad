"""Checks of Day 13: order, sines and cosines, shifts, spectra and rotations."""

import math

import numpy as np
import torch

from ladder.checks import check, close, raises, say

DIGITS = close(rtol=1e-5, atol=1e-5)  # what the docstrings promise; float32 angles are worse


def normal(rng, *shape):
    return torch.from_numpy(rng.normal(size=shape))


def cycle(rng, T):
    """A random permutation in which no token stays, and whose inverse is another one."""
    order = rng.permutation(T)
    perm = np.empty(T, dtype=np.int64)
    perm[order] = np.roll(order, -1)
    return torch.from_numpy(perm)


def attention(u, mask=None):
    """Self-attention with u for queries, keys and values."""
    return torch.nn.functional.scaled_dot_product_attention(u, u, u, mask)


def after(run, *inputs):
    """Run, then return the inputs, which should be as they were."""
    run()
    return list(inputs)


# ---------------------------------------------------------------------------- equivariance


@check()
def check_permutation_gap(permutation_gap, rng):
    """Does f care about the order of the tokens?"""
    x, perm = normal(rng, 2, 5, 3), cycle(rng, 5)
    first = torch.tensor([1, 2, 0])
    yield (say("f leaves every token as it is", "f 让每个 token 保持不变"),
           lambda: permutation_gap(lambda u: u, x.clone(), perm.clone()))
    for sign, en, zh in ((1, "adds", "加上"), (-1, "subtracts", "减去")):
        bias = sign * torch.tensor([0.0, 4, 10], dtype=x.dtype)[:, None]
        yield (say(f"f {en} 0, 4 and 10 at positions 0, 1 and 2; perm = [1, 2, 0]",
                   f"f 在位置 0、1、2 分别{zh} 0、4、10；perm = [1, 2, 0]"),
               lambda: permutation_gap(lambda u: u + bias, x[:, :3].clone(), first.clone()))
    yield (say("f gives each token the sum of all tokens", "f 把所有 token 之和给每个 token"),
           lambda: permutation_gap(lambda u: u.sum(dim=1, keepdim=True).expand(u.shape),
                                   x.clone(), perm.clone()))
    yield (say("f is self-attention", "f 是自注意力"),
           lambda: permutation_gap(attention, x.clone(), perm.clone()))
    causal = torch.ones(5, 5).tril().bool()
    yield (say("f is self-attention with a causal mask", "f 是带因果掩码的自注意力"),
           lambda: permutation_gap(lambda u: attention(u, causal), x.clone(), perm.clone()))
    yield (say("f adds up the tokens so far, and returns one channel",
               "f 累加到目前为止的 token，并只返回一个通道"),
           lambda: permutation_gap(lambda u: u.cumsum(dim=1)[..., :1], x.clone(), perm.clone()))
    yield (say("is the result a Python float?", "结果是 Python 的 float 吗？"),
           lambda: isinstance(permutation_gap(attention, x.clone(), perm.clone()), float))
    yield (say("x and perm are as they were", "x 与 perm 保持原样"),
           lambda: after(lambda: permutation_gap(attention, x, perm), x, perm))


GAP = "(f(x[:, perm]) - f(x)[:, perm])"
check_permutation_gap.mistake(
    say("That asks whether the output stays the same (invariance). It should move along with the "
        "tokens.",
        "这问的是输出是否保持不变（不变性）。输出应当随着 token 一起移动。"),
    within="permutation_gap", replace={GAP: "(f(x[:, perm]) - f(x))"},
)
check_permutation_gap.mistake(
    say("The same reordering is applied twice. Which one undoes it, if you want to undo it at all?",
        "同一个重排用了两次。如果真要把它还原，该用哪一个重排？"),
    within="permutation_gap", replace={GAP: "(f(x[:, perm])[:, perm] - f(x))"},
)
check_permutation_gap.mistake(
    say("A large negative difference is a difference too.", "很大的负差值也是差值。"),
    within="permutation_gap", replace={".abs()": ""},
)
check_permutation_gap.mistake(
    say("That is an average over entries. One wrong entry among a million must not be hidden.",
        "这是对元素取的平均。一百万个元素里只错一个，也不应被掩盖。"),
    within="permutation_gap", replace={".abs().max()": ".abs().mean()"},
)


STEPS = {"scores": ("scores", "分数"), "weights": ("weights", "权重"),
         "values": ("values", "值"), "output": ("output", "输出")}


@check()
def check_equivariance_steps(equivariance_steps, rng):
    """How the reordering travels through self-attention."""
    three = torch.tensor([[0.0, 1, 2], [3, 4, 5], [6, 7, 8]], dtype=torch.float64)
    scores, v, perm = 2 * normal(rng, 5, 5), normal(rng, 5, 2), cycle(rng, 5)
    for key, (en, zh) in STEPS.items():
        yield (say(f"{en}: 3 tokens with scores 0 to 8, perm = [1, 2, 0]",
                   f"{zh}：3 个 token，分数为 0 到 8，perm = [1, 2, 0]"),
               lambda: equivariance_steps(three.clone(), three.clone(),
                                          torch.tensor([1, 2, 0]))[key])
        yield (say(f"{en}: 5 tokens at random", f"{zh}：随机的 5 个 token"),
               lambda: equivariance_steps(scores.clone(), v.clone(), perm.clone())[key])
    yield (say("nothing but these four keys", "只有这四个键"),
           lambda: sorted(equivariance_steps(scores.clone(), v.clone(), perm.clone())))
    yield (say("the arguments are as they were", "参数保持原样"),
           lambda: after(lambda: equivariance_steps(scores, v, perm), scores, v, perm))


MOVED = "scores[perm][:, perm], v[perm]"
check_equivariance_steps.mistake(
    say("scores: the queries have moved, the keys have not. Both are made from the same tokens.",
        "scores：查询移动了，键却没有。二者由同样的 token 得来。"),
    within="equivariance_steps", replace={MOVED: "scores[perm], v[perm]"},
)
check_equivariance_steps.mistake(
    say("scores: the keys have moved, the queries have not.", "scores：键移动了，查询却没有。"),
    within="equivariance_steps", replace={MOVED: "scores[:, perm], v[perm]"},
)
check_equivariance_steps.mistake(
    say("values: each weight must meet the value of its own token.",
        "values：每个权重都应当遇到自己那个 token 的值。"),
    within="equivariance_steps", replace={MOVED: "scores[perm][:, perm], v"},
)
check_equivariance_steps.mistake(
    say("That is the inverse permutation: position i holds the token that *stood* at perm[i].",
        "这是逆置换：位置 i 上是*原来*在 perm[i] 的 token。"),
    within="equivariance_steps",
    replace={"scores, v = ": "perm = perm.argsort()\n    scores, v = "},
)
check_equivariance_steps.mistake(
    say("weights: each query shares out one unit among the keys. Along which dimension?",
        "weights：每个查询把一份注意力分给各个键。沿哪一维？"),
    within="equivariance_steps", replace={"safe_softmax(scores)": "safe_softmax(scores.T).T"},
)


# --------------------------------------------------------------------------- sinusoidal_pe


@check()
def check_sinusoidal_pe(sinusoidal_pe, rng):
    """Sines in the even columns, cosines in the odd ones."""
    T = int(rng.integers(5, 9))
    yield (say("d = 2: sin t and cos t", "d = 2：sin t 与 cos t"), lambda: sinusoidal_pe(4, 2))
    yield say("position 0, d = 6", "位置 0，d = 6"), lambda: sinusoidal_pe(3, 6)[0]
    yield say("position 1, d = 6", "位置 1，d = 6"), lambda: sinusoidal_pe(3, 6)[1]
    yield (say("the even columns, d = 10", "偶数列，d = 10"),
           lambda: sinusoidal_pe(T, 10)[:, 0::2])
    yield (say("the odd columns, d = 10", "奇数列，d = 10"),
           lambda: sinusoidal_pe(T, 10)[:, 1::2])
    yield (say("more columns than positions: T = 3, d = 14", "列比位置多：T = 3，d = 14"),
           lambda: sinusoidal_pe(3, 14))
    yield say("one position", "只有一个位置"), lambda: sinusoidal_pe(1, 4)
    far = 20000 + T
    yield (say("near position 20000, d = 32, to 0.00001", "位置 20000 附近，d = 32，精确到 0.00001"),
           lambda: sinusoidal_pe(far, 32)[-6:].double(), DIGITS)
    yield (say("a tensor of floats?", "是浮点张量吗？"),
           lambda: isinstance(sinusoidal_pe(2, 2), torch.Tensor)
           and sinusoidal_pe(2, 2).dtype in (torch.float32, torch.float64))
    yield say("d = 7", "d = 7"), lambda: sinusoidal_pe(5, 7), raises(ValueError)


@check_sinusoidal_pe.hidden
def _(sinusoidal_pe, rng):
    T, d = int(rng.integers(200, 300)), 2 * int(rng.integers(10, 20))
    yield say(f"T = {T}, d = {d}", f"T = {T}，d = {d}"), lambda: sinusoidal_pe(T, d)


RATES = "10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)"
PAIRED = "torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(T, d)"
check_sinusoidal_pe.mistake(
    say("All sines stand in front, all cosines behind. Equation of section 3.5: which columns are "
        "2i, and which 2i + 1?",
        "正弦全在前，余弦全在后。看 3.5 节的公式：哪些列是 2i，哪些是 2i + 1？"),
    within="sinusoidal_pe", replace={PAIRED: "torch.cat([angles.sin(), angles.cos()], dim=-1)"},
)
check_sinusoidal_pe.mistake(
    say("Sine and cosine have changed places. What is position 0 to be?",
        "正弦与余弦调换了。位置 0 应当是什么？"),
    within="sinusoidal_pe", replace={"[angles.sin(), angles.cos()]": "[angles.cos(), angles.sin()]"},
)
check_sinusoidal_pe.mistake(
    say("The rates fall too slowly: i counts pairs, and the exponent holds 2i.",
        "频率下降得太慢：i 数的是列对，而指数里是 2i。"),
    within="sinusoidal_pe", replace={RATES: "10000.0 ** (-torch.arange(d // 2).double() / d)"},
)
check_sinusoidal_pe.mistake(
    say("The two columns of a pair have different rates. Both belong to one i.",
        "同一对里的两列频率不同。它们属于同一个 i。"),
    within="sinusoidal_pe",
    replace={"angles.cos()]": "(torch.arange(T).double()[:, None] * rates * 10000.0 ** (-1 / d)).cos()]"},
)
check_sinusoidal_pe.mistake(
    say("Positions count from 0.", "位置从 0 数起。"),
    within="sinusoidal_pe", replace={"torch.arange(T)": "torch.arange(1, T + 1)"},
)
check_sinusoidal_pe.mistake(
    say("Right near the start, wrong far out: how many digits of an angle of 20000 does float32 "
        "keep behind the point?",
        "开头正确，远处出错：角度为 20000 时，float32 在小数点后还剩几位？"),
    within="sinusoidal_pe", replace={"[:, None] * rates": ".float()[:, None] * rates.float()"},
)


# ---------------------------------------------------------------------------- shift_matrix


def encoding(t, d):
    """PE[t] for any number t."""
    angles = t * 10000.0 ** (-torch.arange(0, d, 2).double() / d)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten()


@check()
def check_shift_matrix(shift_matrix, rng):
    """One matrix for a shift, wherever it starts."""
    k, j = int(rng.integers(2, 6)), float(rng.uniform(6, 9))
    yield (say("d = 2, k = 1: a single pair", "d = 2，k = 1：只有一对"),
           lambda: shift_matrix(1, 2), DIGITS)
    yield (say("d = 6, k = 0: no shift", "d = 6，k = 0：不移动"),
           lambda: shift_matrix(0, 6), DIGITS)
    for t in (0, 7, 300):
        yield (say(f"M_{k} PE[{t}], which is PE[{t + k}]; d = 8",
                   f"M_{k} PE[{t}]，即 PE[{t + k}]；d = 8"),
               lambda: shift_matrix(k, 8).double() @ encoding(t, 8), DIGITS)
    yield (say(f"M_−{k} PE[7]: back", f"M_−{k} PE[7]：往回移"),
           lambda: shift_matrix(-k, 8).double() @ encoding(7, 8), DIGITS)
    yield (say("M_0.5 PE[7]: half a position", "M_0.5 PE[7]：移动半个位置"),
           lambda: shift_matrix(0.5, 8).double() @ encoding(7, 8), DIGITS)
    yield (say(f"all of M, d = 10, k = {k}", f"整个 M，d = 10，k = {k}"),
           lambda: shift_matrix(k, 10), DIGITS)
    yield (say("one shift after another: M_a M_b", "先移一次再移一次：M_a M_b"),
           lambda: shift_matrix(j, 6).double() @ shift_matrix(k, 6).double(), DIGITS)
    yield (say("M Mᵀ, for d = 6", "M Mᵀ，d = 6"),
           lambda: shift_matrix(j, 6).double() @ shift_matrix(j, 6).double().T, DIGITS)
    yield say("d = 5", "d = 5"), lambda: shift_matrix(1, 5), raises(ValueError)


SIGNS = {"M[even, even + 1] = angle.sin()": "M[even, even + 1] = -angle.sin()",
         "M[even + 1, even] = -angle.sin()": "M[even + 1, even] = angle.sin()"}
check_shift_matrix.mistake(
    say("It moves back instead of forward. Write out sin(a + b) and cos(a + b), with the sine as "
        "the first entry of the pair.",
        "它往回移，而不是向前移。写出 sin(a + b) 与 cos(a + b)，一对中的第一个是正弦。"),
    within="shift_matrix", replace=SIGNS,
)
check_shift_matrix.mistake(
    say("A shift by 0 must change nothing, and M Mᵀ be the identity: look at the sign in "
        "cos(a + b).",
        "移动 0 不应改变任何东西，M Mᵀ 应为单位矩阵：看看 cos(a + b) 里的符号。"),
    within="shift_matrix",
    replace={"M[even, even] = M[even + 1, even + 1] = angle.cos()":
             "M[even, even], M[even + 1, even + 1] = angle.cos(), -angle.cos()",
             "-angle.sin()": "angle.sin()"},
)
check_shift_matrix.mistake(
    say("One sign in the 2 × 2 block is wrong: derive both rows of it.",
        "2 × 2 的块里有一个符号不对：把两行都推导一遍。"),
    within="shift_matrix", replace={"-angle.sin()": "angle.sin()"},
)
check_shift_matrix.mistake(
    say("All pairs turn by the same angle. Each has its own rate.",
        "所有的对都转了同样的角度。每一对都有自己的频率。"),
    within="shift_matrix",
    replace={"10000.0 ** (-even.double() / d)": "torch.ones(d // 2).double()"},
)
check_shift_matrix.mistake(
    say("This matrix is for sines in the first half and cosines in the second. Here they alternate.",
        "这个矩阵适用于正弦在前一半、余弦在后一半的排法。这里它们是交替的。"),
    within="shift_matrix",
    replace={"return M": "at = torch.cat([even, even + 1])\n    return M[at][:, at]"},
)


# ---------------------------------------------------------------------------------- pe_dot


@check()
def check_pe_dot(pe_dot, rng):
    """How alike two positions are, from their distance alone."""
    yield (say("k = 0, d = 6: a position with itself", "k = 0，d = 6：位置与自身"),
           lambda: pe_dot(torch.tensor([0]), 6))
    yield (say("k = 0, 1, 2, 3 for d = 2", "d = 2，k = 0、1、2、3"),
           lambda: pe_dot(torch.arange(4), 2))
    yield (say("k = 0, ..., 9 for d = 12", "d = 12，k = 0、……、9"),
           lambda: pe_dot(torch.arange(10), 12))
    yield (say("k = −5, ..., −1 for d = 12", "d = 12，k = −5、……、−1"),
           lambda: pe_dot(torch.arange(-5, 0), 12))
    between = torch.from_numpy(rng.uniform(-20, 20, size=(2, 3)))
    yield (say("k of shape (2, 3), not whole numbers; d = 8", "k 的形状为 (2, 3)，不是整数；d = 8"),
           lambda: pe_dot(between.clone(), 8))
    yield say("a single number as k", "k 为单个数"), lambda: pe_dot(torch.tensor(4), 8)


COSINES = "torch.cos(k[..., None] * rates).sum(dim=-1)"
check_pe_dot.mistake(
    say("A position with itself: each pair gives sin² + cos². How many pairs are there, and are "
        "they added or averaged?",
        "位置与自身：每一对给出 sin² + cos²。一共有几对？是相加还是取平均？"),
    within="pe_dot", replace={".sum(": ".mean("},
)
check_pe_dot.mistake(
    say("Twice what it should be: a dot product adds over d entries, which are d / 2 pairs.",
        "是应有值的两倍：点积对 d 个元素求和，也就是 d / 2 对。"),
    within="pe_dot", replace={COSINES: f"2 * {COSINES}"},
)
check_pe_dot.mistake(
    say("Two positions must be as alike as the same two in the other order. Is sine even?",
        "两个位置的相似程度与先后次序无关。正弦是偶函数吗？"),
    within="pe_dot", replace={COSINES: "torch.sin(k[..., None] * rates).sum(dim=-1)"},
)
check_pe_dot.mistake(
    say("A sum of cosines is not the cosine of a sum.", "余弦之和并不等于和的余弦。"),
    within="pe_dot", replace={COSINES: "torch.cos((k[..., None] * rates).sum(dim=-1))"},
)
check_pe_dot.mistake(
    say("Only half of each pair is counted, so the result still depends on t.",
        "每一对只算了一半，于是结果仍然依赖 t。"),
    within="pe_dot",
    replace={COSINES: "(torch.cos(7 * rates) * torch.cos((7 + k[..., None]) * rates)).sum(dim=-1)"},
)


# ----------------------------------------------------------------------------- pe_spectrum


@check()
def check_pe_spectrum(pe_spectrum, rng):
    """Energy by frequency, for each column."""
    odd, even = 2 * int(rng.integers(4, 7)) + 1, 2 * int(rng.integers(4, 7))
    for T in (8, 9):
        yield (say(f"the frequencies for T = {T}, d = 4", f"T = {T}、d = 4 的频率"),
               lambda: pe_spectrum(T, 4)[0])
    yield (say("column 0 for T = 2: two samples", "T = 2 的第 0 列：两个样本"),
           lambda: pe_spectrum(2, 2)[1][:, 0])
    for T in (odd, even):
        yield (say(f"column 0, the fastest sine, for T = {T}, d = 4",
                   f"第 0 列（最快的正弦），T = {T}，d = 4"), lambda: pe_spectrum(T, 4)[1][:, 0])
        yield (say(f"column 5, a slow cosine, for T = {T}, d = 6",
                   f"第 5 列（较慢的余弦），T = {T}，d = 6"), lambda: pe_spectrum(T, 6)[1][:, 5])
        yield (say(f"all columns, for T = {T}, d = 8", f"所有列，T = {T}，d = 8"),
               lambda: pe_spectrum(T, 8)[1])
        yield (say(f"the sum of each column, for T = {T}, d = 8", f"各列之和，T = {T}，d = 8"),
               lambda: pe_spectrum(T, 8)[1].sum(0))


TWICE = "torch.where(alone, 1, 2)[:, None]"
check_pe_spectrum.mistake(
    say("Each n below T / 2 stands for T − n as well; that energy is missing.",
        "小于 T / 2 的每个 n 还代表 T − n；那份能量漏掉了。"),
    within="pe_spectrum", replace={TWICE: "torch.ones_like(n)[:, None]"},
)
check_pe_spectrum.mistake(
    say("n = 0 has no partner: T − 0 is T, the same as 0.", "n = 0 没有搭档：T − 0 就是 T，与 0 相同。"),
    within="pe_spectrum", replace={"(n == 0) | (2 * n == T)": "2 * n == T"},
)
check_pe_spectrum.mistake(
    say("For even T, n = T / 2 is its own partner.", "T 为偶数时，n = T / 2 的搭档就是它自己。"),
    within="pe_spectrum", replace={"(n == 0) | (2 * n == T)": "n == 0"},
)
check_pe_spectrum.mistake(
    say("Those are amplitudes. Energy is the square.", "这是振幅。能量是它的平方。"),
    within="pe_spectrum", replace={".abs() ** 2": ".abs()"},
)
check_pe_spectrum.mistake(
    say("Each row adds up to 1 here. What is shared out is the energy of a column.",
        "这里是每一行的和为 1。被分摊的是一列的能量。"),
    within="pe_spectrum", replace={"energy.sum(dim=0)": "energy.sum(dim=1, keepdim=True)"},
)
check_pe_spectrum.mistake(
    say("Those are radians per token. A cycle has 2π of them.",
        "这是每个 token 的弧度数。一个周期有 2π 弧度。"),
    within="pe_spectrum", replace={"return n / T": "return 2 * torch.pi * n / T"},
)


# -------------------------------------------------------------------------------- rotate2d


def gradient(f, g, x):
    """The gradient of Σ g · f(x)."""
    x = x.clone().requires_grad_()
    (f(x) * g).sum().backward()
    return x.grad


@check()
def check_rotate2d(rotate2d, rng):
    """A quarter turn, and any other."""
    right = torch.tensor([1.0, 0.0], dtype=torch.float64)
    yield (say("(1, 0) by a quarter turn", "(1, 0) 转四分之一圈"),
           lambda: rotate2d(right.clone(), math.pi / 2), DIGITS)
    yield (say("(0, 1) by π / 6", "(0, 1) 转 π / 6"),
           lambda: rotate2d(right.flip(0), math.pi / 6), DIGITS)
    x, angles = normal(rng, 3, 4, 2), torch.from_numpy(rng.uniform(0.3, 1.2, size=4))
    yield (say("12 vectors by 1.1, shape (3, 4, 2)", "12 个向量转 1.1，形状 (3, 4, 2)"),
           lambda: rotate2d(x.clone(), 1.1), DIGITS)
    yield say("by −1.1", "转 −1.1"), lambda: rotate2d(x.clone(), -1.1), DIGITS
    yield (say("x (3, 4, 2) with theta (4,): an angle for each position",
               "x (3, 4, 2)，theta (4,)：每个位置一个角度"),
           lambda: rotate2d(x.clone(), angles.clone()), DIGITS)
    yield (say("x (2, 2, 2) with theta (2,)", "x (2, 2, 2)，theta (2,)"),
           lambda: rotate2d(x[:2, :2].clone(), angles[:2].clone()), DIGITS)
    yield (say("x (3, 4, 2) with theta (3, 1)", "x (3, 4, 2)，theta (3, 1)"),
           lambda: rotate2d(x.clone(), angles[:3, None].clone()), DIGITS)
    yield (say("dtype for float32 and float64", "输入为 float32 与 float64 时的 dtype"),
           lambda: [str(rotate2d(x.to(t), angles.clone()).dtype)
                    for t in (torch.float32, torch.float64)])
    yield (say("gradient of x", "x 的梯度"),
           lambda: gradient(lambda u: rotate2d(u, angles.clone()), x.flip(0), x))
    yield say("x is as it was", "x 保持原样"), lambda: after(lambda: rotate2d(x, 0.7), x)


TURN = "[a * cos - b * sin, a * sin + b * cos]"
check_rotate2d.mistake(
    say("That turns clockwise: where should (1, 0) go in a quarter turn?",
        "这是顺时针：转四分之一圈后，(1, 0) 应当到哪里？"),
    within="rotate2d", replace={TURN: "[a * cos + b * sin, b * cos - a * sin]"},
)
check_rotate2d.mistake(
    say("The second line uses the new first component. It needs the old one.",
        "第二行用的是新的第一分量，而它需要旧的。"),
    within="rotate2d", replace={TURN: "[a * cos - b * sin, (a * cos - b * sin) * sin + b * cos]"},
)
check_rotate2d.mistake(
    say("That is a reflection: one sign is wrong.", "这是反射：有一个符号不对。"),
    within="rotate2d", replace={TURN: "[a * cos + b * sin, a * sin - b * cos]"},
)
check_rotate2d.mistake(
    say("θ is in radians already.", "θ 已经是弧度。"),
    within="rotate2d", replace={"dtype=x.dtype)": "dtype=x.dtype).deg2rad()"},
)
check_rotate2d.mistake(
    say("The caller's x has changed: the vectors were rotated in place.",
        "调用者的 x 被改动了：向量是原地旋转的。"),
    within="rotate2d",
    replace={"torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)":
             "(x.data.copy_(torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)), x)[1]"},
)


@check()
def check_relative_score(relative_score, rng):
    """Rotated by positions, compared by distance."""
    q, k = normal(rng, 3, 4, 2), normal(rng, 3, 4, 2)
    offsets = torch.arange(-1, 3)
    up, right = torch.tensor([0.0, 1.0]).double(), torch.tensor([1.0, 0.0]).double()
    yield (say("offset 0: the dot product", "offset 为 0：普通的点积"),
           lambda: relative_score(q.clone(), k.clone(), 0, 0.3), DIGITS)
    yield (say("the query (1, 0) one position after the key (0, 1), θ = π / 2",
               "查询 (1, 0) 在键 (0, 1) 之后一个位置，θ = π / 2"),
           lambda: relative_score(right.clone(), up.clone(), 1, math.pi / 2), DIGITS)
    yield (say("offset 5, θ = 0.3", "offset 为 5，θ = 0.3"),
           lambda: relative_score(q.clone(), k.clone(), 5, 0.3), DIGITS)
    yield (say("offset −5, θ = 0.3", "offset 为 −5，θ = 0.3"),
           lambda: relative_score(q.clone(), k.clone(), -5, 0.3), DIGITS)
    yield (say("offsets of shape (4,)", "offset 的形状为 (4,)"),
           lambda: relative_score(q.clone(), k.clone(), offsets.clone(), 0.5), DIGITS)


SCORE = "(rotate2d(q, offset * theta) * k).sum(dim=-1)"
check_relative_score.mistake(
    say("The sign of the offset is reversed: m − n turns the query, or the other way round the key?",
        "offset 的符号反了：m − n 转的是查询；若转键，方向又如何？"),
    within="relative_score",
    replace={SCORE: "(q * rotate2d(k, offset * theta)).sum(dim=-1)"},
)
check_relative_score.mistake(
    say("The rate θ is missing: a position is not an angle yet.", "少了 θ：位置还不是角度。"),
    within="relative_score", replace={"offset * theta": "offset * 1.0"},
)
check_relative_score.mistake(
    say("cos(offset · θ) times q · k is only half of it. What does the sine multiply?",
        "cos(offset · θ) 乘 q · k 只是一半。正弦乘的是什么？"),
    within="relative_score",
    replace={SCORE: "(q * k).sum(dim=-1) * torch.cos(torch.as_tensor(offset * theta))"},
)
check_relative_score.mistake(
    say("Query and key are both turned by the whole offset, so nothing changes between them.",
        "查询与键都转了整个 offset，二者之间就没有任何变化。"),
    within="relative_score",
    replace={SCORE: "(rotate2d(q, offset * theta) * rotate2d(k, offset * theta)).sum(dim=-1)"},
)

EQUIVALENT: dict[str, str] = {
    "permutation_gap: f(x[:, perm]) - f(x)[:, perm] -> f(x)[:, perm] - f(x[:, perm])":
        "its absolute value is taken",
    "pe_dot: rates = 10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d) -> "
    "rates = -10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)":
        "cosine is even",
    "pe_dot: torch.arange(0, d, 2, dtype=torch.float64) -> torch.arange(0, d, 2)":
        "rates in float32 are right to its precision, and the docstring asks for floats",
    "pe_spectrum: energy = torch.fft.rfft(sinusoidal_pe(T, d), dim=0).abs() ** 2 -> "
    "energy = -torch.fft.rfft(sinusoidal_pe(T, d), dim=0).abs() ** 2":
        "each energy is divided by the sum of all, so a common sign cancels",
    "pe_spectrum: energy = energy * torch.where(alone, 1, 2)[:, None] -> "
    "energy = -(energy * torch.where(alone, 1, 2)[:, None])":
        "each energy is divided by the sum of all, so a common sign cancels",
    "pe_spectrum: torch.arange(T // 2 + 1, dtype=torch.float64) -> torch.arange(T // 2 + 1)":
        "n / T is then float32, and right to its precision",
}

"""Checks of Day 21: rotation matrix, complex form, tables, heads, distances and their decay."""

import numpy as np
import torch

from ladder.checks import check, close, exactly, raises, say

DIGITS = close(rtol=1e-4, atol=1e-4)  # what most docstrings promise


def normal(rng, *shape):
    return torch.from_numpy(rng.normal(size=shape))


def double(x):
    return torch.as_tensor(x).double()


def after(run, *inputs):
    """Run, then return the inputs, which should be as they were."""
    run()
    return list(inputs)


# --------------------------------------------------- rope_matrix (also taken by the Arch gate)


@check()
def check_rope_matrix(rope_matrix, rng):
    """The rotation matrix for one position."""
    pos, other = int(rng.integers(3, 9)), int(rng.integers(10, 30))
    d, base = 2 * int(rng.integers(4, 8)), float(rng.integers(200, 900))
    x = normal(rng, d)
    yield say("d = 2, pos = 1: a single pair", "d = 2，pos = 1：只有一对"), lambda: rope_matrix(1, 2), DIGITS
    yield say("pos = 0, d = 6: nothing turns", "pos = 0，d = 6：什么也不转"), lambda: rope_matrix(0, 6), DIGITS
    yield (say(f"the diagonal, d = 6, pos = {pos}", f"对角线，d = 6，pos = {pos}"),
           lambda: double(rope_matrix(pos, 6)).diagonal(), DIGITS)
    yield (say(f"all of R, d = 4, pos = {pos}", f"整个 R，d = 4，pos = {pos}"),
           lambda: rope_matrix(pos, 4), DIGITS)
    yield (say(f"R x for a random x, d = {d}, base = {base:.0f}",
               f"对随机的 x 求 R x，d = {d}，base = {base:.0f}"),
           lambda: double(rope_matrix(pos, d, base)) @ x, DIGITS)
    yield (say(f"R Rᵀ, d = {d}, pos = {other}", f"R Rᵀ，d = {d}，pos = {other}"),
           lambda: double(rope_matrix(other, d)) @ double(rope_matrix(other, d)).T, DIGITS)
    yield (say(f"R_{pos}ᵀ R_{other}, the matrix of the distance; d = {d}",
               f"R_{pos}ᵀ R_{other}，即距离的矩阵；d = {d}"),
           lambda: double(rope_matrix(pos, d)).T @ double(rope_matrix(other, d)), DIGITS)
    yield say(f"pos = −{pos}, d = 8", f"pos = −{pos}，d = 8"), lambda: rope_matrix(-pos, 8), DIGITS
    yield say("pos = 2.5, d = 8", "pos = 2.5，d = 8"), lambda: rope_matrix(2.5, 8), DIGITS
    yield say("d = 7", "d = 7"), lambda: rope_matrix(1, 7), raises(ValueError)


@check_rope_matrix.hidden
def _(rope_matrix, rng):
    pos, d = int(rng.integers(31, 97)), 2 * int(rng.integers(9, 17))
    yield say(f"pos = {pos}, d = {d}", f"pos = {pos}，d = {d}"), lambda: rope_matrix(pos, d), DIGITS


check_rope_matrix.mistake(
    say("The pairs turn clockwise. Where does the positive x-axis, (1, 0), go under a small "
        "counterclockwise turn? That is the first column of a block.",
        "各对转成了顺时针。把横轴正向的 (1, 0) 逆时针转一个小角度，它到哪里？那就是一个块的第一列。"),
    within="rope_matrix",
    replace={"= -angles.sin()": "= angles.sin()",
             "R[even + 1, even] = angles.sin()": "R[even + 1, even] = -angles.sin()"},
)
check_rope_matrix.mistake(
    say("Both sines have the same sign, and so R Rᵀ is not the identity. A rotation keeps lengths.",
        "两个正弦的符号相同，于是 R Rᵀ 不是单位矩阵。旋转应保持长度不变。"),
    within="rope_matrix", replace={"= -angles.sin()": "= angles.sin()"},
)
check_rope_matrix.mistake(
    say("This matrix pairs coordinate i with i + d/2. Here the two of a pair stand side by side.",
        "这个矩阵把坐标 i 与 i + d/2 配成一对。这里同一对的两个坐标是相邻的。"),
    within="rope_matrix",
    replace={"return R": "at = torch.cat([even, even + 1])\n    return R[at][:, at]"},
)


@check_rope_matrix.mistake(
    say("The rates fall too slowly: i counts the pairs, and the exponent holds 2i.",
        "频率下降得太慢：i 数的是坐标对，而指数里是 2i。"))
def rope_matrix(pos, d, base=10000.0):
    if d % 2:
        raise ValueError
    angles = [pos * base ** (-i / d) for i in range(d // 2)]
    return torch.block_diag(*(torch.tensor([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
                              for a in angles))


# ---------------------------------------------------------------------------- rope_complex


@check()
def check_rope_complex(rope_complex, rng):
    """The same rotation, on complex numbers."""
    one = torch.tensor([[1.0, 0], [0, 1]], dtype=torch.float64)
    yield (say("d = 2: (1, 0) at position 1, (0, 1) at position 2",
               "d = 2：(1, 0) 在位置 1，(0, 1) 在位置 2"),
           lambda: rope_complex(one.clone(), torch.tensor([1, 2])), DIGITS)
    x = normal(rng, 3, 8)
    yield (say("all tokens at position 0, d = 8", "所有 token 都在位置 0，d = 8"),
           lambda: rope_complex(x.clone(), torch.zeros(3, dtype=torch.int64)), DIGITS)
    places = torch.from_numpy(rng.integers(5, 300, size=3))
    yield (say(f"positions {places.tolist()}, d = 8", f"位置为 {places.tolist()}，d = 8"),
           lambda: rope_complex(x.clone(), places.clone()), DIGITS)
    yield (say("absolute values: a turn keeps them", "绝对值：旋转保持它们"),
           lambda: rope_complex(x.clone(), places.clone()).abs(), DIGITS)
    heads = normal(rng, 2, 3, 3, 6)
    yield (say("2 sequences, 3 heads, 3 tokens, d = 6, base = 100",
               "2 个序列、3 个头、3 个 token，d = 6，base = 100"),
           lambda: rope_complex(heads.clone(), places.clone(), 100.0), DIGITS)
    yield (say("float32, negative positions", "float32，负的位置"),
           lambda: rope_complex(x.float(), -places), DIGITS)
    yield say("x is as it was", "x 保持原样"), lambda: after(lambda: rope_complex(x, places), x)


TURN = "torch.polar(torch.ones_like(angles), angles)"
check_rope_complex.mistake(
    say("The turn goes the other way: what is the sign in exp(j · position · θ)?",
        "转反了：exp(j · position · θ) 里是什么符号？"),
    within="rope_complex", replace={TURN: "torch.polar(torch.ones_like(angles), -angles)"},
)
check_rope_complex.mistake(
    say("The real parts were taken from the first half, the imaginary ones from the second. "
        "Which two coordinates make z_0?",
        "实部取自前一半，虚部取自后一半。组成 z_0 的是哪两个坐标？"),
    within="rope_complex",
    replace={"x[..., 0::2].double(), x[..., 1::2].double()":
             "*x.double().chunk(2, dim=-1)"},
)
check_rope_complex.mistake(
    say("The tokens turn as if they stood at 0, 1, 2, ...; they stand at positions[t].",
        "这些 token 是按 0、1、2、…… 的位置转的；它们其实在 positions[t]。"),
    within="rope_complex", replace={"positions[:, None]": "torch.arange(len(positions))[:, None]"},
)
check_rope_complex.mistake(
    say("With several heads the angles changed from head to head. In which dimension do the tokens lie?",
        "有多个头时，角度随头而变。token 在哪一维？"),
    within="rope_complex",
    replace={"return z * ": "angles = angles if z.dim() < 3 else angles[:, None]\n    return z * "},
)


# ----------------------------------------------------------------------------- rope_tables


@check()
def check_rope_tables(rope_tables, rng):
    """Cosines and sines for all positions."""
    T, d = int(rng.integers(5, 9)), 2 * int(rng.integers(5, 8))
    for which, name in enumerate(("cos", "sin")):
        yield (say(f"{name}: position 0, d = 6", f"{name}：位置 0，d = 6"),
               lambda: rope_tables(4, 6)[which][0])
        yield (say(f"{name}: column 0, angles 0, 1, 2, ...", f"{name}：第 0 列，角度为 0、1、2、……"),
               lambda: rope_tables(T, 6)[which][:, 0])
        yield (say(f"{name}: all of it, T = {T}, d = {d}", f"{name}：整张表，T = {T}，d = {d}"),
               lambda: rope_tables(T, d)[which])
        yield (say(f"{name}: base = 500, d = 8", f"{name}：base = 500，d = 8"),
               lambda: rope_tables(T, 8, 500.0)[which])
    yield (say("shapes", "形状"), lambda: [list(table.shape) for table in rope_tables(3, 10)], exactly())
    yield (say("dtypes", "dtype"), lambda: [str(table.dtype) for table in rope_tables(3, 10)], exactly())
    yield (say(f"near position 100000, d = {d}, to 0.000001", f"位置 100000 附近，d = {d}，精确到 0.000001"),
           lambda: [table[-3:].double() for table in rope_tables(100000 + T, d)],
           close(rtol=0, atol=1e-6))
    yield say("d = 9", "d = 9"), lambda: rope_tables(4, 9), raises(ValueError)


check_rope_tables.mistake(
    say("Right near the start, wrong far out: how many digits of an angle of 100000 does float32 "
        "keep behind the point?",
        "开头正确，远处出错：角度为 100000 时，float32 在小数点后还剩几位？"),
    within="rope_tables",
    replace={"torch.arange(T, dtype=torch.float64)[:, None] * _rates(d, base)":
             "torch.arange(T).float()[:, None] * _rates(d, base).float()"},
)
check_rope_tables.mistake(
    say("The tables are d wide, each angle twice. That is how the half-split layout stores them; "
        "here there is one column per pair.",
        "表的宽度是 d，每个角度出现了两次。那是前后对半排法的存法；这里每一对只有一列。"),
    within="rope_tables",
    replace={"    return": "    angles = torch.cat([angles, angles], dim=-1)\n    return"},
)
check_rope_tables.mistake(
    say("Positions count from 0, and at position 0 nothing turns.", "位置从 0 数起，在位置 0 什么也不转。"),
    within="rope_tables",
    replace={"torch.arange(T, dtype=torch.float64)": "torch.arange(1, T + 1, dtype=torch.float64)"},
)
check_rope_tables.mistake(
    say("Cosine and sine have changed places. What is row 0 to be?", "余弦与正弦调换了。第 0 行应当是什么？"),
    within="rope_tables",
    replace={"angles.cos().float(), angles.sin().float()": "angles.sin().float(), angles.cos().float()"},
)


# ------------------------------------------------------------------------------ apply_rope


def tables(rng, T, pairs):
    angles = torch.from_numpy(rng.uniform(0.3, 2.5, size=(T, pairs)))
    return angles.cos().float(), angles.sin().float()


@check()
def check_apply_rope(apply_rope, rng):
    """Queries and keys of all heads, rotated."""
    ones = torch.tensor([[1.0, 0, 0, 1]])
    turn = torch.tensor([[0.0, 0.6]]), torch.tensor([[1.0, 0.8]])
    yield (say("one token, (1, 0, 0, 1), with cos = [0, 0.6] and sin = [1, 0.8]",
               "一个 token，(1, 0, 0, 1)，cos = [0, 0.6]，sin = [1, 0.8]"),
           lambda: apply_rope(ones.clone(), ones.clone(), *turn)[0])
    q, k = normal(rng, 2, 4, 5, 6).float(), normal(rng, 2, 2, 5, 6).float()
    cos, sin = tables(rng, 5, 3)
    yield (say("queries: 2 sequences, 4 heads, 5 tokens, d = 6", "查询：2 个序列、4 个头、5 个 token，d = 6"),
           lambda: apply_rope(q.clone(), k.clone(), cos, sin)[0])
    yield (say("keys, with only 2 heads", "键，只有 2 个头"),
           lambda: apply_rope(q.clone(), k.clone(), cos, sin)[1])
    yield (say("lengths stay as they were", "长度保持不变"),
           lambda: apply_rope(q.clone(), k.clone(), cos, sin)[0].norm(dim=-1))
    yield (say("as many tokens as heads, no batch: (3, 3, 4) and (1, 3, 4)",
               "token 与头一样多，没有批：(3, 3, 4) 与 (1, 3, 4)"),
           lambda: list(apply_rope(q[0, :3, :3, :4].clone(), k[0, :1, :3, :4].clone(),
                                   cos[:3, :2], sin[:3, :2])))
    for dtype in (torch.float64, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        yield (say(f"{name} with tables of float32", f"{name}，表为 float32"),
               lambda: list(apply_rope(q.to(dtype), k.to(dtype), cos, sin)),
               close(rtol=1e-5, atol=1e-5) if dtype is torch.float64 else close(2))
        yield (say(f"dtypes of the result for {name}", f"{name} 时结果的 dtype"),
               lambda: [str(x.dtype) for x in apply_rope(q.to(dtype), k.to(dtype), cos, sin)], exactly())

    def gradient():
        x, y = q.clone().requires_grad_(), k.clone().requires_grad_()
        rotated = apply_rope(x, y, cos, sin)
        (rotated[0].cumsum(-1).sum() + rotated[1].cumsum(-2).sum()).backward()
        return [x.grad, y.grad]

    yield say("gradients of q and k", "q 与 k 的梯度"), gradient
    yield (say("the arguments are as they were", "参数保持原样"),
           lambda: after(lambda: apply_rope(q, k, cos, sin), q, k, cos, sin))


PAIRS = "torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)"
check_apply_rope.mistake(
    say("Coordinate i was paired with i + d/2, as in the half-split layout. Here 2i and 2i + 1 "
        "belong together.",
        "坐标 i 与 i + d/2 配成了一对，那是前后对半的排法。这里 2i 与 2i + 1 是一对。"),
    within="_turn",
    replace={"x[..., 0::2], x[..., 1::2]": "x.chunk(2, dim=-1)",
             PAIRS: PAIRS.replace("dim=-1", "dim=-2")},
)
check_apply_rope.mistake(
    say("The pairs turn the wrong way. Compare the signs with the two equations.",
        "各对转反了。把符号与两个公式对照一下。"),
    within="_turn",
    replace={"a * cos - b * sin, a * sin + b * cos": "a * cos + b * sin, b * cos - a * sin"},
)
check_apply_rope.mistake(
    say("The second coordinate was computed from a first one that had already been turned.",
        "第二个坐标是用已经转过的第一个坐标算出来的。"),
    within="_turn",
    replace={"    turned = torch.stack([a * cos - b * sin, ": "    a = a * cos - b * sin\n"
             "    turned = torch.stack([a, "},
)
check_apply_rope.mistake(
    say("The numbers are right, but bfloat16 came out as another dtype: the tables are float32, and mixing "
        "promotes. A cache of keys would double.",
        "数值是对的，但 bfloat16 变成了别的 dtype：表是 float32，混合运算会提升精度。键的缓存会因此翻倍。"),
    within="_turn", replace={".to(x.dtype)": ""},
)


# ---------------------------------------------------------------------------- relative_gap


def rope(x, positions):
    angles = positions[:, None] * 100.0 ** (-torch.arange(0, x.shape[-1], 2).double() / x.shape[-1])
    turn = torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(torch.view_as_complex(x.double().reshape(len(x), -1, 2)) * turn).flatten(1)


def added(x, positions):
    return x + torch.sin(positions[:, None] * torch.arange(1, x.shape[-1] + 1))


def half_turned(x, positions):
    """RoPE with the sign of one sine wrong: no rotation."""
    y = rope(x, positions)
    return torch.cat([y[:, :1], x[:, 1:]], dim=1)


@check()
def check_relative_gap(relative_gap, rng):
    """Do the scores know more than distances?"""
    q, k, shift = normal(rng, 3, 4), normal(rng, 5, 4), int(rng.integers(3, 12))
    cases = (
        (lambda x, positions: x, "encode changes nothing", "encode 什么也不改变"),
        (rope, "encode is RoPE, with base 100", "encode 是 RoPE，base 为 100"),
        (added, "encode adds a sine to each coordinate", "encode 给每个坐标加上一个正弦"),
        (half_turned, "encode turns one coordinate of a pair only", "encode 只转一对中的一个坐标"),
        (lambda x, positions: x * (positions[:, None] - 30.0), "encode scales by position − 30",
         "encode 乘以（位置 − 30）"),
    )
    for encode, en, zh in cases:
        yield say(f"{en}; shift {shift}", f"{zh}；移动 {shift}"), lambda: relative_gap(
            encode, q.clone(), k.clone(), shift), DIGITS
    one = torch.ones(1, 1, dtype=torch.float64)
    yield (say("one query, one key, both 1; encode divides by position + 1; shift 2",
               "一个查询、一个键，都是 1；encode 除以（位置 + 1）；移动 2"),
           lambda: relative_gap(lambda x, positions: x / (positions[:, None] + 1), one.clone(),
                                one.clone(), 2), DIGITS)
    yield (say("is the result a Python float?", "结果是 Python 的 float 吗？"),
           lambda: isinstance(relative_gap(rope, q.clone(), k.clone(), shift), float))
    yield (say("the arguments are as they were", "参数保持原样"),
           lambda: after(lambda: relative_gap(rope, q, k, shift), q, k))


check_relative_gap.mistake(
    say("Only the queries moved on, so that every distance changed. All tokens move together.",
        "只有查询向前移了，于是每个距离都变了。所有 token 要一起移动。"),
    within="relative_gap", replace={"torch.arange(len(k)) + start": "torch.arange(len(k))"},
)
check_relative_gap.mistake(
    say("A large negative change is a change too.", "很大的负变化也是变化。"),
    within="relative_gap", replace={".abs()": ""},
)
check_relative_gap.mistake(
    say("That is an average over pairs. One score that changes must not be hidden by the others.",
        "这是对各对取的平均。只要有一个分数变了，就不应被其他分数掩盖。"),
    within="relative_gap", replace={".abs().max()": ".abs().mean()"},
)


# ---------------------------------------------------------------------------------- decay


STEPS = {
    "h": ("h, from q and k alone", "h，只由 q 与 k 决定"),
    "score": ("score", "分数"),
    "S": ("S, the partial sums of the phases", "S，相位的部分和"),
    "w": ("w, from h alone", "w，只由 h 决定"),
    "triangle": ("triangle", "triangle"),
    "bound": ("bound", "bound"),
}


@check()
def check_decay_steps(decay_steps, rng):
    """From the score to its bound."""
    a = torch.tensor([3.0, 0, 1, 2], dtype=torch.float64)
    b = torch.tensor([1.0, 1, 1, 1], dtype=torch.float64)
    q, k, dist = normal(rng, 10), normal(rng, 10), int(rng.integers(4, 40))
    for key, (en, zh) in STEPS.items():
        yield (say(f"{en}: q = (3, 0, 1, 2), k = (1, 1, 1, 1), distance 2",
                   f"{zh}：q = (3, 0, 1, 2)，k = (1, 1, 1, 1)，距离 2"),
               lambda: decay_steps(a.clone(), b.clone(), 2)[key], close(rtol=1e-6, atol=1e-6))
        yield (say(f"{en}: d = 10 at random, distance {dist}, base 300",
                   f"{zh}：随机的 d = 10，距离 {dist}，base 为 300"),
               lambda: decay_steps(q.clone(), k.clone(), dist, 300.0)[key], close(rtol=1e-6, atol=1e-6))
    yield (say("distance −5: the key comes after the query", "距离 −5：键在查询之后"),
           lambda: decay_steps(q.clone(), k.clone(), -5)["score"], close(rtol=1e-6, atol=1e-6))
    yield (say("nothing but these six keys", "只有这六个键"),
           lambda: sorted(decay_steps(q.clone(), k.clone(), 3)))
    yield (say("the arguments are as they were", "参数保持原样"),
           lambda: after(lambda: decay_steps(q, k, 3), q, k))


check_decay_steps.mistake(
    say("h is the product without the conjugate. Then angles add up, where they should be "
        "subtracted.",
        "h 是没有取共轭的乘积。这样角度是相加的，而它们应当相减。"),
    within="decay_steps", replace={"zq * zk.conj()": "zq * zk"},
)
check_decay_steps.mistake(
    say("w: the last entry is missing its end. After summation by parts, what stands in front of "
        "S_(d/2)?",
        "w：最后一个元素不对。分部求和之后，S_(d/2) 前面是什么？"),
    within="decay_steps", replace={"torch.zeros_like(h[:1])": "h[-1:]"},
)
check_decay_steps.mistake(
    say("w has the opposite sign. Write out two pairs: h_0 S_1 + h_1 (S_2 − S_1), and collect S_1.",
        "w 的符号反了。写出两对的情形：h_0 S_1 + h_1 (S_2 − S_1)，再把 S_1 的项合并。"),
    within="decay_steps",
    replace={"h - torch.cat([h[1:], torch.zeros_like(h[:1])])":
             "torch.cat([h[1:], torch.zeros_like(h[:1])]) - h"},
)
check_decay_steps.mistake(
    say("bound: the factor before the sum is the largest |w|, not the largest |h|. The paper's bound is "
        "small where neighbouring pairs agree.",
        "bound：和前面的因子是最大的 |w|，不是最大的 |h|。相邻的对彼此接近时，论文的界才小。"),
    within="decay_steps", replace={"w.abs().max()": "h.abs().max()"},
)


@check()
def check_rope_decay_bound(rope_decay_bound, rng):
    """The mean absolute partial sum against the distance."""
    d, base = 2 * int(rng.integers(5, 9)), float(rng.integers(50, 400))
    yield (say("d = 2: one pair, distances 0, 1, 2", "d = 2：一对，距离 0、1、2"),
           lambda: rope_decay_bound(torch.arange(3), 2), DIGITS)
    yield (say("distance 0, d = 12: no phase cancels", "距离 0，d = 12：没有相位抵消"),
           lambda: rope_decay_bound(torch.tensor([0]), 12), DIGITS)
    yield (say("d = 4, distances 1 to 6", "d = 4，距离 1 到 6"),
           lambda: rope_decay_bound(torch.arange(1, 7), 4), DIGITS)
    yield (say(f"d = {d}, distances 10, 100, 900", f"d = {d}，距离 10、100、900"),
           lambda: rope_decay_bound(torch.tensor([10, 100, 900]), d), DIGITS)
    yield (say(f"base = {base:.0f}, d = {d}", f"base = {base:.0f}，d = {d}"),
           lambda: rope_decay_bound(torch.tensor([3, 30]), d, base), DIGITS)
    between = torch.from_numpy(rng.uniform(-20, 20, size=(2, 3)))
    yield (say("distances of shape (2, 3), not whole, negative too; d = 8",
               "距离的形状为 (2, 3)，不是整数，也有负数；d = 8"),
           lambda: rope_decay_bound(between.clone(), 8), DIGITS)
    yield say("a single number as distance", "距离为单个数"), lambda: rope_decay_bound(
        torch.tensor(7), 6), DIGITS


check_rope_decay_bound.mistake(
    say("That is the sum of the absolute values. Figure 2 shows their mean.",
        "这是绝对值之和。图 2 画的是它们的平均。"),
    within="rope_decay_bound", replace={".mean(dim=-1)": ".sum(dim=-1)"},
)
check_rope_decay_bound.mistake(
    say("Only the last partial sum is used, the one over all pairs. The bound needs all of them.",
        "只用了最后一个部分和，即对所有对求和的那个。界需要所有的部分和。"),
    within="rope_decay_bound", replace={"S.abs().mean(dim=-1)": "S[..., -1].abs() / (d / 2)"},
)
check_rope_decay_bound.mistake(
    say("The mean was taken first, then the absolute value: the partial sums may then cancel each other.",
        "先取了平均，后取绝对值：这样各个部分和会互相抵消。"),
    within="rope_decay_bound", replace={"S.abs().mean(dim=-1)": "S.mean(dim=-1).abs()"},
)
check_rope_decay_bound.mistake(
    say("Only the cosines are there. The absolute value of a complex number needs the sines too.",
        "只有余弦。复数的绝对值还需要正弦。"),
    within="rope_decay_bound", replace={"S.abs()": "S.real.abs()"},
)


EQUIVALENT: dict[str, str] = {
    "rope_complex: x[..., 0::2] -> x[..., 0:-1:2]":
        "d is even, so that the last coordinate is not among these",
    "decay_steps: x[0::2] -> x[0:-1:2]":
        "d is even, so that the last coordinate is not among these",
    "relative_gap: return encode(q, torch.arange(len(q)) + start) @ encode(k, torch.arange(len(k)) + "
    "start).T -> return -(encode(q, torch.arange(len(q)) + start) @ encode(k, torch.arange(len(k)) + "
    "start).T)":
        "the absolute value of a difference of two such matrices is taken",
    "relative_gap: scores(shift) - scores(0) -> scores(0) - scores(shift)":
        "its absolute value is taken",
    "rope_tables: torch.arange(T, dtype=torch.float64) -> torch.arange(T)":
        "whole numbers times rates of float64 are float64",
    "rope_decay_bound: angles = dist[..., None] * _rates(d, base) -> "
    "angles = -(dist[..., None] * _rates(d, base))":
        "the sums become their conjugates, with the same absolute values",
}

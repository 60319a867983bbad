"""Checks of Day 11: where entries go, who attends to whom, and what each head adds."""

import torch
from torch import nn

from ladder.checks import at_least, at_most, check, close, error_at_most, raises, say

NAMES = ("Wq", "Wk", "Wv", "Wo")
NO_ATTENTION = ("torch.nn.MultiheadAttention", "torch.nn.functional", "torch.nn.Transformer",
                "torch.nn.TransformerEncoderLayer", "torch.nn.TransformerDecoderLayer")


def normal(rng, *shape):
    return torch.from_numpy(rng.normal(size=shape))


def weights(rng, d):
    """Four matrices with which attention is neither flat nor saturated."""
    return {name: normal(rng, d, d) / d**0.5 * 1.5 for name in NAMES}


def attention(x, params, h, mask=None):
    """The attention weights (B, h, T, T) and the output of multi-head attention, head by head."""
    d_head = x.shape[-1] // h
    A, heads = [], []
    for i in range(h):
        q, k, v = (x @ params[name][:, i * d_head:(i + 1) * d_head] for name in NAMES[:3])
        scores = q @ k.mT / d_head**0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        A.append(scores.softmax(-1))
        heads.append(A[-1] @ v)
    return torch.stack(A, 1), torch.cat(heads, -1) @ params["Wo"]


# -------------------------------------------------------------------- split_heads, merge_heads


@check()
def check_split_heads(split_heads, rng):
    """Channels to heads."""
    x = torch.arange(1 * 2 * 6).reshape(1, 2, 6)
    yield (say("two tokens, channels 0..5 and 6..11, two heads", "两个 token，通道 0..5 与 6..11，两个头"),
           lambda: split_heads(x.clone(), 2))
    for B, T, d, h in ((2, 5, 12, 3), (3, 3, 9, 3), (2, 4, 10, 1), (1, 7, 8, 8)):
        y = normal(rng, B, T, d)
        yield (say(f"x of shape ({B}, {T}, {d}), {h} heads", f"形状 ({B}, {T}, {d}) 的 x，{h} 个头"),
               lambda: split_heads(y.clone(), h))
    y = normal(rng, 5, 2, 12).transpose(0, 1)
    yield (say("x that is not contiguous", "内存不连续的 x"), lambda: split_heads(y, 4))
    yield (say("4 heads for 10 channels", "10 个通道分给 4 个头"),
           lambda: split_heads(normal(rng, 2, 3, 10), 4), raises(ValueError))


check_split_heads.mistake(
    say("A head's tokens are mixed. Going through memory in order, which index of x changes fastest, "
        "and which changes fastest in the shape that you asked for?",
        "头里的 token 混在一起了。按内存顺序走过 x 时，哪个下标变化最快？在你要的形状里，又是哪个变化最快？"),
    within="split_heads",
    replace={"x.reshape(B, T, h, d // h).transpose(1, 2)": "x.reshape(B, h, T, d // h)"},
)
check_split_heads.mistake(
    say("The channels are split well, but heads and tokens stand in the wrong order: attention needs "
        "tokens and channels last.",
        "通道拆对了，但头与 token 两个轴的次序不对：注意力要求最后两个轴是 token 和通道。"),
    within="split_heads", replace={".transpose(1, 2)": ""},
)
check_split_heads.mistake(
    say("Each head gets every h-th channel. The docstring gives it neighbouring channels.",
        "每个头拿到的是每隔 h 个取一个的通道；docstring 要求的是相邻的通道。"),
    within="split_heads",
    replace={"x.reshape(B, T, h, d // h).transpose(1, 2)":
             "x.reshape(B, T, d // h, h).permute(0, 3, 1, 2)"},
)
check_split_heads.mistake(
    say("10 channels for 4 heads of 2 channels each: the -1 made a fifth head.",
        "10 个通道分给 4 个头，每头 2 个通道：-1 悄悄变出了第五个头。"),
    within="split_heads",
    replace={"if d % h:": "if False:", "x.reshape(B, T, h, d // h)": "x.reshape(B, T, -1, d // h)"},
)


@check()
def check_merge_heads(merge_heads, rng):
    """Heads to channels."""
    x = torch.arange(1 * 2 * 2 * 3).reshape(1, 2, 2, 3)
    yield (say("two heads, two tokens, three channels each", "两个头、两个 token，每头三个通道"),
           lambda: merge_heads(x.clone()))
    for B, h, T, d_head in ((2, 3, 5, 4), (3, 3, 3, 3), (2, 1, 4, 5), (1, 6, 7, 1)):
        y = normal(rng, B, h, T, d_head)
        yield (say(f"x of shape ({B}, {h}, {T}, {d_head})", f"形状 ({B}, {h}, {T}, {d_head}) 的 x"),
               lambda: merge_heads(y.clone()))
    y = normal(rng, 2, 5, 3, 4).transpose(1, 2)
    yield (say("x that is not contiguous", "内存不连续的 x"), lambda: merge_heads(y))


check_merge_heads.mistake(
    say("The shape is right, the order is not: a row of the result holds several tokens of one head. "
        "Which two axes must become neighbours before they can be merged?",
        "形状对了，次序不对：结果的一行里装着同一个头的好几个 token。哪两个轴必须先相邻，才能合并？"),
    within="merge_heads", replace={".transpose(1, 2)": ""},
)
check_merge_heads.mistake(
    say("view gave up: after transpose the entries are no longer in order in memory. Which call "
        "copies them where needed?",
        "view 做不到：transpose 之后，元素在内存中不再按次序排列。哪个调用会在需要时复制？"),
    within="merge_heads", replace={".reshape(": ".view("},
)
check_merge_heads.mistake(
    say("The channels of the heads alternate. All channels of head 0 come first.",
        "各个头的通道交错排列了。应当先是第 0 个头的全部通道。"),
    within="merge_heads", replace={"x.transpose(1, 2)": "x.permute(0, 2, 3, 1)"},
)


# ------------------------------------------------------------------------------- view_trap


@check()
def check_view_trap(view_trap, rng):
    """Where the wrong split reads."""
    for T, d, h in ((2, 4, 2), (3, 4, 2), (5, 6, 3), (3, 12, 4), (4, 5, 1)):
        yield (say(f"token for T = {T}, d = {d}, h = {h}", f"T = {T}、d = {d}、h = {h} 时的 token"),
               lambda: view_trap(T, d, h)[0])
        yield (say(f"channel for T = {T}, d = {d}, h = {h}", f"T = {T}、d = {d}、h = {h} 时的 channel"),
               lambda: view_trap(T, d, h)[1])


check_view_trap.mistake(
    say("This is where the right split reads: token t at row t. The wrong one never moves an entry "
        "in memory.",
        "这是正确拆分的读法：第 t 行就是 token t。错误的写法不移动内存中的任何元素。"),
    within="view_trap",
    replace={".view(h, T, d // h)": ".view(T, h, d // h).transpose(0, 1)"},
)
check_view_trap.mistake(
    say("How many numbers does one token take in memory, T or d?",
        "一个 token 在内存里占多少个数：T 还是 d？"),
    within="view_trap", replace={"place // d, place % d": "place // T, place % T"},
)
check_view_trap.mistake(
    say("Token and channel are exchanged: which one is the quotient?",
        "token 与 channel 颠倒了：哪一个是商？"),
    within="view_trap", replace={"place // d, place % d": "place % d, place // d"},
)
check_view_trap.mistake(
    say("channel counts within a head. It is asked for in x, where it runs up to d - 1.",
        "channel 是在头内部数的；题目要的是在 x 里的通道，取到 d - 1 为止。"),
    within="view_trap", replace={"place % d": "place % (d // h)"},
)


# ------------------------------------------------------------------------------------- mha


@check(forbids=("torch.nn", "torch.scaled_dot_product_attention"))
def check_mha(mha, rng):
    """Multi-head self-attention."""
    x, params = normal(rng, 2, 5, 12), weights(rng, 12)
    eye = torch.eye(12, dtype=x.dtype)
    yield (say("one head, Wo the identity", "一个头，Wo 为单位阵"),
           lambda: mha(x, params | {"Wo": eye}, 1))
    yield (say("three heads, Wo the identity: the heads side by side", "三个头，Wo 为单位阵：各头并排"),
           lambda: mha(x, params | {"Wo": eye}, 3))
    yield say("three heads", "三个头"), lambda: mha(x, params, 3)
    yield say("twelve heads", "十二个头"), lambda: mha(x, params, 12)
    y, other = normal(rng, 3, 4, 8), weights(rng, 8)
    yield (say("as many tokens as heads (4)", "token 与头一样多（4 个）"), lambda: mha(y, other, 4))
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    yield say("a causal mask (T, T)", "因果掩码 (T, T)"), lambda: mha(x, params, 3, causal)
    real = torch.arange(5) < torch.tensor([5, 2])[:, None, None, None]
    yield (say("a padding mask (B, 1, 1, T)", "填充掩码 (B, 1, 1, T)"), lambda: mha(x, params, 3, real))
    each = torch.from_numpy(rng.random((3, 5, 5)) < 0.6) | torch.eye(5, dtype=torch.bool)
    yield (say("another mask for each head (h, T, T)", "每个头各有掩码 (h, T, T)"),
           lambda: mha(x, params, 3, each))
    none = causal.clone()
    none[2] = False
    yield (say("a token that may attend to nothing", "有一个 token 什么都不能看"),
           lambda: mha(x, params, 2, none))
    yield (say("5 heads for 12 channels", "12 个通道分给 5 个头"),
           lambda: mha(x, params, 5), raises(ValueError))


@check_mha.hidden
def _(mha, rng):
    for B, T, d, h in ((1, 1, 4, 2), (4, 3, 6, 3), (2, 9, 10, 5)):
        x, params = normal(rng, B, T, d), weights(rng, d)
        mask = torch.from_numpy(rng.random((B, 1, T, T)) < 0.7)
        yield f"({B}, {T}, {d}), h = {h}", lambda: mha(x, params, h, mask)


check_mha.mistake(
    say("With one head it is right. With several, the scores are divided by the square root of too "
        "large a number: how long is a key now?",
        "一个头时是对的；多个头时，得分除以的平方根取大了：现在一个键有多长？"),
    within="mha", replace={"sdpa(q, k, v, mask)": "sdpa(q / h**0.5, k, v, mask)"},
)
check_mha.mistake(
    say("The heads mix tokens before they attend. Use the split that you proved right above.",
        "各个头在做注意力之前就把 token 混在了一起。请用上面检验过的拆分。"),
    within="mha",
    replace={"split_heads(x @ params[name], h)":
             "(x @ params[name]).reshape(len(x), h, -1, x.shape[-1] // h)"},
)
check_mha.mistake(
    say("The heads are right but put together in the wrong order: (B, h, T, d_head) was reshaped "
        "as it is.",
        "各个头算对了，但拼接次序不对：(B, h, T, d_head) 被原样 reshape 了。"),
    within="mha", replace={"merge_heads(heads)": "heads.reshape(x.shape)"},
)
check_mha.mistake(
    say("With Wo the identity it is right. What comes after the concatenation?",
        "Wo 为单位阵时是对的。拼接之后还有什么？"),
    within="mha", replace={' @ params["Wo"]': ""},
)
check_mha.mistake(
    say("nn.Linear stores its weight transposed; these matrices multiply from the right as they are.",
        "nn.Linear 存的是转置后的权重；这里的矩阵直接右乘即可。"),
    within="mha", replace={"x @ params[name]": "x @ params[name].T"},
)
check_mha.mistake(
    say("Everything is right as long as there is no mask.", "没有掩码时一切都对。"),
    within="mha", replace={"sdpa(q, k, v, mask)": "sdpa(q, k, v)"},
)
check_mha.mistake(
    say("The mask works the wrong way round: True means may attend.", "掩码用反了：True 表示可以看。"),
    within="mha",
    replace={"sdpa(q, k, v, mask)": "sdpa(q, k, v, None if mask is None else ~mask)"},
)


# ---------------------------------------------------------------------- head_contributions


@check(forbids=("torch.nn",))
def check_head_contributions(head_contributions, rng):
    """The sum over heads."""
    x, params = normal(rng, 2, 5, 12), weights(rng, 12)
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    yield (say("one head: the whole output", "一个头：就是整个输出"),
           lambda: head_contributions(x, params, 1))
    yield (say("three heads: shape", "三个头：形状"),
           lambda: list(head_contributions(x, params, 3).shape))
    yield (say("three heads: the sum of the terms", "三个头：各项之和"),
           lambda: head_contributions(x, params, 3).sum(0))
    yield (say("three heads: each term", "三个头：每一项"), lambda: head_contributions(x, params, 3))
    y, other = normal(rng, 3, 4, 6), weights(rng, 6)
    yield (say("six heads: each term", "六个头：每一项"), lambda: head_contributions(y, other, 6))
    silent = params | {"Wv": params["Wv"].clone()}
    silent["Wv"][:, 4:8] = 0
    yield (say("the columns of the second head in Wv are zero", "Wv 中第二个头的列全为零"),
           lambda: head_contributions(x, silent, 3))
    yield (say("a causal mask", "因果掩码"), lambda: head_contributions(x, params, 3, causal))


check_head_contributions.mistake(
    say("Head i meets columns of Wo. In Concat(heads) W_O, is it a row or a column of W_O that "
        "channel i of the concatenation multiplies?",
        "第 i 个头乘的是 Wo 的列。在 Concat(heads) W_O 中，拼接结果的第 i 个通道乘的是 W_O 的行还是列？"),
    within="head_contributions",
    replace={'params["Wo"].reshape(h, -1, x.shape[-1])':
             'params["Wo"].T.reshape(h, -1, x.shape[-1])'},
)
check_head_contributions.mistake(
    say("The terms belong to other channels of the concatenation: head i has d_head neighbouring ones.",
        "各项对应错了拼接结果中的通道：第 i 个头占的是相邻的 d_head 个。"),
    within="head_contributions",
    replace={'params["Wo"].reshape(h, -1, x.shape[-1])':
             'params["Wo"].reshape(-1, h, x.shape[-1]).transpose(0, 1)'},
)
check_head_contributions.mistake(
    say("The heads stand on the second axis; they are asked for on the first.",
        "头在第二个轴上；题目要求放在第一个轴上。"),
    within="head_contributions", replace={"->hbtd": "->bhtd"},
)
check_head_contributions.mistake(
    say("The terms add up to a fraction of the output: heads are added, not averaged.",
        "各项加起来只是输出的几分之一：各头是相加，而不是取平均。"),
    within="head_contributions", replace={"heads, Wo)": "heads, Wo) / h"},
)
check_head_contributions.mistake(
    say("The mask has no effect.", "掩码没有起作用。"),
    within="head_contributions", replace={"sdpa(q, k, v, mask)": "sdpa(q, k, v)"},
)


# ----------------------------------------------------------------------------------- masks


@check()
def check_causal_mask(causal_mask, rng):
    """The causal mask."""
    for T in (1, 2, 5, 8):
        yield say(f"T = {T}", f"T = {T}"), lambda: causal_mask(T)
    yield say("dtype for T = 3", "T = 3 时的 dtype"), lambda: str(causal_mask(3).dtype)


check_causal_mask.mistake(
    say("Row t is the token that looks, column s the one it looks at. Here tokens see the future.",
        "第 t 行是在看的 token，第 s 列是被看的 token。这里的 token 看得到未来。"),
    within="causal_mask", replace={".tril()": ".triu()"},
)
check_causal_mask.mistake(
    say("No token may attend to itself, so the first one has nothing to attend to.",
        "token 不能看自己了，于是第一个 token 什么都看不到。"),
    within="causal_mask", replace={".tril()": ".tril(-1)"},
)
check_causal_mask.mistake(
    say("True marks what is forbidden, as in nn.MultiheadAttention. In ours, True means may attend.",
        "True 标记的是被禁止的位置，与 nn.MultiheadAttention 一样；而我们的约定是 True 表示可以看。"),
    within="causal_mask", replace={".tril()": ".triu(1)"},
)
check_causal_mask.mistake(
    say("The numbers are right, the dtype is not: a mask is bool.", "数值对了，dtype 不对：掩码是 bool。"),
    within="causal_mask", replace={"dtype=torch.bool": "dtype=torch.float32"},
)


@check()
def check_padding_mask(padding_mask, rng):
    """The padding mask."""
    yield (say("lengths [3, 1], T = 4: shape", "lengths 为 [3, 1]，T = 4：形状"),
           lambda: list(padding_mask([3, 1], 4).shape))
    yield say("lengths [3, 1], T = 4", "lengths 为 [3, 1]，T = 4"), lambda: padding_mask([3, 1], 4)
    yield (say("an empty sequence and a full one", "一个空序列和一个满序列"),
           lambda: padding_mask([0, 5, 2], 5))
    yield (say("lengths as a tensor", "lengths 是张量"),
           lambda: padding_mask(torch.from_numpy(rng.integers(1, 6, size=4)), 6))
    yield say("dtype", "dtype"), lambda: str(padding_mask([1], 2).dtype)


check_padding_mask.mistake(
    say("The padding is True. True means may attend.", "填充位置是 True，而 True 表示可以看。"),
    within="padding_mask", replace={"torch.arange(T) <": "torch.arange(T) >="},
)
check_padding_mask.mistake(
    say("One token too many: with length 1, only token 0 is real.",
        "多了一个 token：长度为 1 时，只有 token 0 是真实的。"),
    within="padding_mask", replace={"torch.arange(T) <": "torch.arange(T) <="},
)
check_padding_mask.mistake(
    say("(B, T) does not broadcast to (B, h, T, T) as it should: its B meets a T.",
        "(B, T) 不能如愿广播到 (B, h, T, T)：它的 B 轴会对上 T 轴。"),
    within="padding_mask", replace={"[:, None, None, None]": "[:, None]"},
)
check_padding_mask.mistake(
    say("This forbids padding to look. Real tokens still look at padding: which axis of (B, h, T, T) "
        "holds the token that is looked at?",
        "这禁止的是填充 token 去看别人，真实 token 仍然看得到填充。(B, h, T, T) 的哪个轴是被看的 token？"),
    within="padding_mask",
    replace={"torch.arange(T) < ": "torch.arange(T)[:, None] < "},
)


# ------------------------------------------------------------------------------ dependence


@check()
def check_dependence(dependence, rng):
    """The test for leaks."""
    x = normal(rng, 3, 5, 4)
    causal, mix = torch.ones(5, 5, dtype=torch.bool).tril(), normal(rng, 4, 3)
    params = weights(rng, 4)

    def trapped(x):
        q, k, v = (x.reshape(3, 2, 5, 2) @ W for W in small)
        scores = (q @ k.mT).masked_fill(~causal, -torch.inf)
        return (scores.softmax(-1) @ v).transpose(1, 2).reshape(3, 5, 4)

    small = [normal(rng, 2, 2) for _ in range(3)]

    def corner(x):
        out = 2 * x
        out[1, 0, 3] += x[1, 4, 3] ** 3
        return out

    def in_place(x):
        x *= 2
        return x.cumsum(1)

    for label, f in (
        (say("each token by itself, 4 channels to 3", "各 token 独自变换，4 个通道变 3 个"),
         lambda x: torch.tanh(x @ mix)),
        (say("running sums", "逐项累加"), lambda x: x.cumsum(1)),
        (say("each token and the next", "每个 token 加上下一个"), lambda x: x + x.roll(-1, 1)),
        (say("softmax over channels: the output's channels add up to 1",
             "对通道做 softmax：输出各通道之和恒为 1"),
         lambda x: (x * torch.arange(1.0, 5.0)).softmax(-1)),
        (say("deviations from the mean over channels, squared", "对通道均值的偏差的平方"),
         lambda x: (x - x.mean(-1, keepdim=True)) ** 2),
        (say("the sequences of the batch reversed and shifted by a token", "批次中的序列颠倒次序，并错开一个 token"),
         lambda x: x.flip(0).roll(1, 1)),
        (say("the difference from the mean over the batch", "与批次均值之差"), lambda x: x - x.mean(0)),
        (say("one channel of one token leaks into one output of the second sequence",
             "第二个序列里，一个 token 的一个通道泄漏到一个输出"), corner),
        (say("a function that changes its argument", "会改动其参数的函数"), in_place),
        (say("attention, causal mask", "带因果掩码的注意力"),
         lambda x: attention(x, params, 2, causal)[1]),
        (say("attention, causal mask, heads split by view", "带因果掩码、但用 view 拆头的注意力"), trapped),
    ):
        yield label, lambda: dependence(f, x.clone())

    def afterwards():
        y = x.clone()
        dependence(lambda x: x.cumsum(1), y)
        return y

    yield say("x afterwards", "调用之后的 x"), afterwards
    yield (say("dtype of the result", "结果的 dtype"),
           lambda: str(dependence(lambda x: x.cumsum(1), x.clone()).dtype))


@check_dependence.hidden
def _(dependence, rng):
    x = normal(rng, 2, 6, 3)
    for _ in range(3):
        links = torch.from_numpy(rng.random((6, 6)) < 0.4)
        mix = normal(rng, 6, 6) * links
        yield (say("a random pattern", "随机的依赖关系"),
               lambda: dependence(lambda x: torch.einsum("ts,bsd->btd", mix, x), x.clone()))


check_dependence.mistake(
    say("Rows and columns are exchanged: the row is the output, the column the input.",
        "行与列颠倒了：行是输出，列是输入。"),
    within="dependence", replace={"result[:, s]": "result[s]"},
)
check_dependence.mistake(
    say("A change that moves one channel up and another down by as much is not seen: compare entry "
        "by entry, not sums.",
        "一个通道升、另一个通道等量降，这样的变化没有被看见：应逐个元素比较，而不是比较总和。"),
    within="dependence",
    replace={"(f(changed) != before).any(dim=2)":
             "((f(changed).sum(dim=2) - before.sum(dim=2)).abs() > 1e-9)"},
)
check_dependence.mistake(
    say("All channels of the token moved by the same amount. Some functions do not notice that.",
        "token 的所有通道都加了同一个数；有些函数对此毫无反应。"),
    within="dependence",
    replace={"torch.randn_like(x[:, s])": "1.0",
             "(f(changed) != before)": "((f(changed) - before).abs() > 1e-9)"},
)
check_dependence.mistake(
    say("Only the first sequence of the batch was changed. The others can leak too.",
        "只改动了批次中的第一个序列；其他序列也可能泄漏。"),
    within="dependence",
    replace={"changed[:, s] += torch.randn_like(x[:, s])":
             "changed[0, s] += torch.randn_like(x[0, s])"},
)
check_dependence.mistake(
    say("Changes of earlier tokens are still there when a later one is tried.",
        "尝试后面的 token 时，前面 token 的改动还留着。"),
    within="dependence",
    replace={"    for s in range(T):\n        changed = x.clone()\n":
             "    changed = x.clone()\n    for s in range(T):\n", "f(changed)": "f(changed.clone())"},
)
check_dependence.mistake(
    say("An output counts only if all of its channels change. One is enough for a leak.",
        "只有所有通道都变了才算数。泄漏只需一个通道。"),
    within="dependence", replace={".any(dim=2)": ".all(dim=2)"},
)
check_dependence.mistake(
    say("f was given x itself. What if f works in place?", "把 x 本身交给了 f。如果 f 就地修改参数呢？"),
    within="dependence", replace={"before = f(x.clone())": "before = f(x)"},
)


# ----------------------------------------------------------------------- MultiHeadAttention


def filled(layer, params):
    """``layer`` in float64 with the matrices ``params``."""
    layer = layer.double()
    with torch.no_grad():
        for name in NAMES:
            getattr(layer, name).copy_(params[name])
    return layer


@check(forbids=NO_ATTENTION)
def check_layer(MultiHeadAttention, rng):
    """The layer: parameters and forward."""
    yield (say("names and shapes of the parameters for d = 12, h = 3", "d = 12、h = 3 时各参数的名字与形状"),
           lambda: {name: list(p.shape) for name, p in MultiHeadAttention(12, 3).named_parameters()})
    yield (say("largest entry of each matrix at the start, times √d", "初始时各矩阵的最大绝对值乘 √d"),
           lambda: [W.abs().max() * 6 for W in MultiHeadAttention(36, 2).parameters()],
           at_most(1 + 1e-5))
    yield (say("mean square of each matrix at the start, times d", "初始时各矩阵的均方值乘 d"),
           lambda: [W.square().mean() * 36 for W in MultiHeadAttention(36, 2).parameters()],
           close(rtol=0.2))

    yield (say("mean of each matrix at the start, in absolute value, times √d",
               "初始时各矩阵均值的绝对值乘 √d"),
           lambda: [W.mean().abs() * 6 for W in MultiHeadAttention(36, 2).parameters()], at_most(0.15))

    def alike():
        Ws = [W.detach() for _ in range(2) for W in MultiHeadAttention(8, 2).parameters()]
        return [torch.equal(U, W) for i, U in enumerate(Ws) for W in Ws[:i]]

    yield (say("pairs of equal matrices among those of two new layers", "两个新建的层中，相同的矩阵对"), alike)
    x, params = normal(rng, 2, 5, 12), weights(rng, 12)
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    for h in (1, 3):
        yield (say(f"output with given weights, h = {h}", f"给定权重时的输出，h = {h}"),
               lambda: filled(MultiHeadAttention(12, h), params)(x))
    yield (say("output with a causal mask", "带因果掩码的输出"),
           lambda: filled(MultiHeadAttention(12, 3), params)(x, causal))

    def gradients():
        layer = filled(MultiHeadAttention(12, 3), params)
        layer(x, mask=causal).square().sum().backward()
        return {name: getattr(layer, name).grad for name in NAMES}

    yield say("gradients of the four matrices", "四个矩阵的梯度"), gradients
    yield (say("MultiHeadAttention(10, 4)", "MultiHeadAttention(10, 4)"),
           lambda: [MultiHeadAttention(10, 4), 0][1], raises(ValueError))


check_layer.mistake(
    say("The layer has no parameters, so an optimiser finds nothing to train. What makes a module "
        "notice a tensor?",
        "这个层没有参数，优化器找不到可训练的东西。怎样才能让模块登记一个张量？"),
    within="MultiHeadAttention.__init__", replace={"nn.Parameter(W)": "W.requires_grad_()"},
)
check_layer.mistake(
    say("The entries have standard deviation 1 at the start, far too large for d channels.",
        "初始元素的标准差是 1，对 d 个通道来说太大了。"),
    within="MultiHeadAttention.__init__",
    replace={".uniform_(-1 / math.sqrt(d), 1 / math.sqrt(d))": ".normal_()"},
)
check_layer.mistake(
    say("All entries start between 0 and a. Negative ones belong to the interval too.",
        "所有元素都在 0 与 a 之间；区间里还应有负数。"),
    within="MultiHeadAttention.__init__", replace={"-1 / math.sqrt(d), ": "0.0, "},
)
check_layer.mistake(
    say("The four matrices start equal, so queries equal keys.", "四个矩阵的初值相同，于是查询等于键。"),
    within="MultiHeadAttention.__init__",
    replace={"        for name in (": "        W = torch.empty(d, d).uniform_(-d ** -0.5, d ** -0.5)\n"
             "        for name in (",
             "            W = torch.empty(d, d).uniform_(-1 / math.sqrt(d), 1 / math.sqrt(d))\n": "",
             "nn.Parameter(W)": "nn.Parameter(W.clone())"},
)
check_layer.mistake(
    say("forward forgets its mask.", "forward 丢掉了掩码。"),
    within="MultiHeadAttention.forward", replace={"self.h, mask)": "self.h)"},
)
check_layer.mistake(
    say("The number of heads makes no difference.", "头数没有起作用。"),
    within="MultiHeadAttention.forward", replace={"self.h, mask)": "1, mask)"},
)
check_layer.mistake(
    say("A layer with 4 heads for 10 channels can be made; it fails only when used.",
        "10 个通道、4 个头的层也能建出来，用的时候才出错。"),
    within="MultiHeadAttention.__init__", replace={"if d % h:": "if False:"},
)


# ------------------------------------------------------------------------------ from_torch


@check()
def check_from_torch(from_torch, rng):
    """The same output as PyTorch's layer."""
    def theirs(d, h, bias=False):
        layer = nn.MultiheadAttention(d, h, bias=bias, batch_first=True, dtype=torch.float64)
        with torch.no_grad():
            layer.in_proj_weight.copy_(normal(rng, 3 * d, d) / d**0.5)
            layer.out_proj.weight.copy_(normal(rng, d, d) / d**0.5)
        return layer

    layer, x = theirs(12, 3), normal(rng, 2, 5, 12)
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    with torch.no_grad():
        out = layer(x, x, x)[0]
        masked = layer(x, x, x, attn_mask=~causal)[0]
    for name in NAMES:
        yield name, lambda: getattr(from_torch(layer), name)
    yield (say("output, compared with PyTorch's", "输出，与 PyTorch 的比较"),
           lambda: from_torch(layer)(x), error_at_most(out.numpy(), 1e-8, worst=True))
    yield (say("output with a causal mask, compared with PyTorch's", "带因果掩码的输出，与 PyTorch 的比较"),
           lambda: from_torch(layer)(x, causal), error_at_most(masked.numpy(), 1e-8, worst=True))
    kept = theirs(6, 2)
    before = [p.detach().clone() for p in kept.parameters()]

    def trained():
        ours = from_torch(kept)
        with torch.no_grad():
            for W in ours.parameters():
                W += 1
        return [torch.equal(p, q) for p, q in zip(kept.parameters(), before, strict=True)]

    yield (say("their weights are unchanged after ours were trained", "训练我们的层之后，对方的权重没有变"),
           trained)
    yield (say("names of the parameters", "参数的名字"),
           lambda: sorted(name for name, _ in from_torch(theirs(6, 2)).named_parameters()))
    yield (say("a layer with biases", "带偏置的层"),
           lambda: [from_torch(theirs(6, 2, bias=True)), 0][1], raises(ValueError))


check_from_torch.mistake(
    say("Their rows are used as our rows. They compute x @ W.T.", "把对方的行直接当成了我们的行；对方算的是 x @ W.T。"),
    within="from_torch", replace={"W.detach().T.clone()": "W.detach().clone()"},
)
check_from_torch.mistake(
    say("Only Wo still differs: out_proj is a linear layer like the others.",
        "只剩 Wo 不同：out_proj 和其余几个一样，也是线性层。"),
    within="from_torch", replace={"theirs.out_proj.weight]": "theirs.out_proj.weight.T]"},
)
check_from_torch.mistake(
    say("Two of the three projections are exchanged: in which order are their rows stacked?",
        "三个投影中有两个互换了：对方的行是按什么次序叠放的？"),
    within="from_torch", replace={'("Wq", "Wk", "Wv", "Wo")': '("Wk", "Wq", "Wv", "Wo")'},
)
check_from_torch.mistake(
    say("Both layers share their memory: training one of them changes the other.",
        "两个层共用内存：训练其中一个，另一个也跟着变。"),
    within="from_torch", replace={"W.detach().T.clone()": "W.detach().T"},
)
check_from_torch.mistake(
    say("A layer with biases is taken over without them, and silently gives other outputs.",
        "带偏置的层被照单接收，偏置却丢了，输出悄悄变得不同。"),
    within="from_torch", replace={"if theirs.in_proj_bias is not None:": "if False:"},
)


# ------------------------------------------------------------- planted_heads, one_head_error


@check()
def check_planted_heads(planted_heads, rng):
    """Two heads planted by hand."""
    yield (say("shapes for T = 5, m = 2", "T = 5、m = 2 时的形状"),
           lambda: {name: list(W.shape) for name, W in planted_heads(5, 2).items()})
    yield (say("dtype", "dtype"), lambda: [str(planted_heads(3, 2)[name].dtype) for name in NAMES])
    for T, m in ((5, 2), (7, 4), (4, 4)):
        content, eye = normal(rng, 3, T, m), torch.eye(T).double()
        before = (torch.arange(T) - 1) % T
        pointer = (before + torch.from_numpy(rng.integers(1, T, size=(3, T)))) % T
        pointed = content.gather(1, pointer[..., None].expand(3, T, m))
        x = torch.cat([content, eye.expand(3, T, T), eye[pointer]], -1)
        y = torch.cat([content[:, before], pointed, torch.zeros(3, T, 2 * T - m)], -1)

        def planted():
            return attention(x, {k: W.double() for k, W in planted_heads(T, m).items()}, 2)

        yield (say(f"T = {T}, m = {m}: weight that the first head gives the token before",
                   f"T = {T}、m = {m}：第一个头给前一个 token 的权重"),
               lambda: planted()[0][:, 0, torch.arange(T), before], at_least(0.999))
        yield (say(f"T = {T}, m = {m}: weight that the second head gives the token pointed to",
                   f"T = {T}、m = {m}：第二个头给所指 token 的权重"),
               lambda: planted()[0][:, 1].gather(2, pointer[..., None]), at_least(0.999))
        yield (say(f"T = {T}, m = {m}: output, compared with the target", f"T = {T}、m = {m}：输出与目标比较"),
               lambda: planted()[1], error_at_most(y.numpy(), 0.01, worst=True))


check_planted_heads.mistake(
    say("The first head looks at the token after, not before. q = x Wq: which row of Wq does "
        "position t pick out?",
        "第一个头看的是后一个 token，而不是前一个。q = x Wq：位置 t 取出的是 Wq 的哪一行？"),
    within="planted_heads", replace={".roll(-1, dims=1)": ".roll(1, dims=1)"},
)
check_planted_heads.mistake(
    say("The heads look the right way, but not sharply. By how much must the right score exceed the "
        "others after the division by the square root of d_k?",
        "两个头看对了方向，但不够专注。除以 d_k 的平方根之后，正确的得分要比其余的高出多少？"),
    within="planted_heads", replace={"20 * math.sqrt(half)": "1.0"},
)
check_planted_heads.mistake(
    say("Both heads look the right way. In the output their contents stand in each other's place.",
        "两个头都看对了，但输出里它们的内容互相占了对方的位置。"),
    within="planted_heads",
    replace={"Wo[:m, :m] = Wo[half : half + m, m : 2 * m]":
             "Wo[:m, m : 2 * m] = Wo[half : half + m, :m]"},
)
check_planted_heads.mistake(
    say("The second head looks the right way but has nothing to tell: which columns of Wv are its "
        "values?",
        "第二个头看对了，却没有内容可说：它的值是 Wv 的哪些列？"),
    within="planted_heads", replace={" = Wv[content, half : half + m]": ""},
)
check_planted_heads.mistake(
    say("The first head does what the second should, and the other way round.",
        "第一个头做了第二个头该做的事，反之亦然。"),
    within="planted_heads",
    replace={"first, second = slice(0, T), slice(half, half + T)":
             "second, first = slice(0, T), slice(half, half + T)"},
)


@check()
def check_one_head_error(one_head_error, rng):
    """The bound for one head."""
    cases = (
        (say("weights 1/2 and 1/2", "权重各为 1/2"), [0.5, 0.5], 0, 1),
        (say("all weight on token i", "权重全在 token i 上"), [0.0, 1.0, 0.0], 1, 2),
        (say("3/4 and 1/4", "3/4 与 1/4"), [0.25, 0.0, 0.75], 2, 0),
        (say("some weight on other tokens", "其他 token 也有权重"), list(rng.dirichlet([2.0] * 6)), 4, 1),
        (say("weights that do not add up to 1", "权重之和不为 1"), list(rng.normal(size=5)), 0, 3),
    )
    for label, a, i, j in cases:
        a = torch.tensor(a, dtype=torch.float64)
        for k, name in enumerate(("alpha", "beta", "error")):
            yield (say(f"{label.en}: {name}", f"{label.zh}：{name}"),
                   lambda: one_head_error(a.clone(), i, j)[k])


check_one_head_error.mistake(
    say("alpha z has the right amount of c_i, but brings along the others in full. Differentiate "
        "the expected square by alpha.",
        "alpha z 中 c_i 的分量正好，但也原样带进了其他内容。请把期望平方误差对 alpha 求导。"),
    within="one_head_error", replace={"float(a[i]) / total, float(a[j]) / total":
                                      "1 / float(a[i] + 1e-12), 1 / float(a[j] + 1e-12)"},
)
check_one_head_error.mistake(
    say("Which tokens are in z? All of them, not i and j alone.", "z 里有哪些 token？是全部，不只 i 和 j。"),
    within="one_head_error", replace={"float(a @ a)": "float(a[i] ** 2 + a[j] ** 2)"},
)
check_one_head_error.mistake(
    say("alpha is right for z of variance 1. What is Var[z]?", "如果 z 的方差为 1，这个 alpha 就对了。Var[z] 是多少？"),
    within="one_head_error", replace={"float(a @ a)": "1.0"},
)
check_one_head_error.mistake(
    say("alpha and beta are right. The error is asked for as a mean of two, not as their sum.",
        "alpha 与 beta 对了。error 要的是两者的平均，不是和。"),
    within="one_head_error", replace={"1 - (alpha * float(a[i]) + beta * float(a[j])) / 2":
                                      "2 - (alpha * float(a[i]) + beta * float(a[j]))"},
)


EQUIVALENT = {
    "split_heads: x.reshape(B, T, h, d // h).transpose(1, 2) -> "
    "x.reshape(B, T, h, d // h).transpose(2, 1)": "exchanging two axes is symmetric",
    "merge_heads: x.transpose(1, 2) -> x.transpose(2, 1)": "exchanging two axes is symmetric",
    "dependence: changed[:, s] += torch.randn_like(x[:, s]) -> "
    "changed[:, s] = torch.randn_like(x[:, s])": "replacing a token changes it as well as adding to it",
    "dependence: changed[:, s] += torch.randn_like(x[:, s]) -> "
    "changed[:, s] -= torch.randn_like(x[:, s])": "the noise is symmetric",
    "dependence: torch.zeros(T, T, dtype=torch.bool) -> torch.ones(T, T, dtype=torch.bool)":
        "every entry is written afterwards",
    "planted_heads: 20 * math.sqrt(half) -> 21 * math.sqrt(half)": "sharper still: any large number",
}

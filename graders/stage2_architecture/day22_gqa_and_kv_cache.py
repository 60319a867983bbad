"""Checks of Day 22: which head reads which, where tokens stand, and what a cache still holds."""

from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace

import torch
from torch import nn

from ladder.checks import check, exactly, raises, say

NO_ATTENTION = ("torch.nn.functional.scaled_dot_product_attention", "torch.nn.MultiheadAttention",
                "torch.nn.attention")


def normal(rng, *shape):
    return torch.from_numpy(rng.normal(size=shape))


def tables(T, d):
    """Cosines and sines of the first T positions, for heads of d channels."""
    rates = 10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angles = torch.arange(T, dtype=torch.float64)[:, None] * rates
    return angles.cos().float(), angles.sin().float()


# -------------------------------------------------------------------------------- repeat_kv


@check()
def check_repeat_kv(repeat_kv, rng):
    """Each key head several times in a row."""
    heads = torch.tensor([10.0, 20.0]).reshape(1, 2, 1, 1)
    yield (say("two heads that hold 10 and 20, n = 3", "两个头，内容为 10 与 20，n = 3"),
           lambda: repeat_kv(heads.clone(), 3).flatten())
    for B, H, T, d, n in ((2, 3, 5, 4, 2), (3, 2, 4, 6, 4), (2, 1, 3, 5, 7), (1, 4, 2, 3, 1)):
        x = normal(rng, B, H, T, d)
        yield (say(f"shape ({B}, {H}, {T}, {d}), n = {n}", f"形状 ({B}, {H}, {T}, {d})，n = {n}"),
               lambda: repeat_kv(x.clone(), n))
    x = normal(rng, 2, 5, 3, 4).transpose(1, 2)
    yield say("x that is not contiguous", "内存不连续的 x"), lambda: repeat_kv(x, 2)
    yield (say("dtype for bfloat16", "bfloat16 时的 dtype"),
           lambda: str(repeat_kv(torch.ones(1, 2, 3, 4, dtype=torch.bfloat16), 2).dtype))


check_repeat_kv.mistake(
    say("All heads once, then all of them again: query head 1 would read the second key head. Which "
        "one should it read?",
        "所有头排一遍，然后再排一遍：这样查询头 1 会去读第二个键头。它应当读哪一个？"),
    within="repeat_kv", replace={"x.repeat_interleave(n, dim=1)": "x.repeat(1, n, 1, 1)"},
)
check_repeat_kv.mistake(
    say("The batch has grown. Count the axes from 0: which one holds the heads?",
        "变多的是批次。从 0 数起：头在哪一个轴上？"),
    within="repeat_kv", replace={"dim=1": "dim=0"},
)
check_repeat_kv.mistake(
    say("There are more tokens now, not more heads.", "变多的是 token，不是头。"),
    within="repeat_kv", replace={"dim=1": "dim=2"},
)


# -------------------------------------------------------------------------------------- gqa


@check(forbids=NO_ATTENTION)
def check_gqa(gqa, rng):
    """Grouped, multi-query and multi-head attention."""
    def sizes(B, Hq, Hkv, Tq, Tk, d):
        return normal(rng, B, Hq, Tq, d), normal(rng, B, Hkv, Tk, d), normal(rng, B, Hkv, Tk, d)

    q = torch.zeros(1, 4, 1, 3)
    v = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1).expand(1, 2, 5, 3)
    yield (say("which values the 4 query heads read from 2 groups holding 1 and 2",
               "4 个查询头从内容为 1 与 2 的两组值中各读到什么"),
           lambda: gqa(q, torch.zeros(1, 2, 5, 3), v.clone(), 2)[0, :, 0, 0])
    for B, Hq, n, T, d in ((2, 6, 2, 5, 4), (1, 6, 3, 4, 2)):
        qkv = sizes(B, Hq, n, T, T, d)
        yield (say(f"{Hq} query heads, {n} kv heads", f"{Hq} 个查询头，{n} 个键值头"),
               lambda: gqa(*(x.clone() for x in qkv), n))
    one, all_ = sizes(2, 5, 1, 4, 4, 3), sizes(2, 3, 3, 4, 4, 5)
    yield say("multi-query: one kv head", "MQA：一个键值头"), lambda: gqa(*one, 1)
    yield say("multi-head: as many kv heads as query heads", "MHA：键值头与查询头一样多"), lambda: gqa(*all_, 3)
    qkv = sizes(2, 6, 2, 3, 7, 4)
    yield say("3 queries, 7 keys", "3 个查询，7 个键"), lambda: gqa(*qkv, 2)
    mask = torch.from_numpy(rng.random((3, 7)) < 0.6)
    mask[:, 0] = True
    mask[1] = False
    yield (say("a (Tq, Tk) mask, nothing allowed for one query", "(Tq, Tk) 的掩码，其中一个查询什么也不能看"),
           lambda: gqa(*qkv, 2, mask))
    full = torch.from_numpy(rng.random((2, 6, 3, 7)) < 0.5)
    yield say("a mask that differs by head", "各头不同的掩码"), lambda: gqa(*qkv, 2, mask=full)
    for Hq, Hkv, n in ((6, 4, 4), (4, 1, 4), (4, 4, 2)):
        bad = sizes(1, Hq, Hkv, 2, 2, 3)
        yield (say(f"{Hq} query heads, {Hkv} heads in k and v, n_kv_heads = {n}",
                   f"{Hq} 个查询头，k 与 v 有 {Hkv} 个头，n_kv_heads = {n}"),
               lambda: gqa(*bad, n), raises(ValueError))
    k_only = sizes(1, 4, 2, 2, 2, 3)
    yield (say("v with another number of heads than k", "v 的头数与 k 不同"),
           lambda: gqa(k_only[0], k_only[1], k_only[2][:, :1], 2), raises(ValueError))


check_gqa.mistake(
    say("Query heads 0, 1, 2, ... take the kv heads in turn. The members of a group are neighbours.",
        "查询头 0、1、2……轮流使用各个键值头了。同一组的成员应当是相邻的头。"),
    within="gqa", replace={"repeat_kv(k, g), repeat_kv(v, g)":
                           "k.repeat(1, g, 1, 1), v.repeat(1, g, 1, 1)"},
)
check_gqa.mistake(
    say("How many query heads share one kv head? You repeat by another number than that.",
        "一个键值头由几个查询头共用？你重复的次数不是这个数。"),
    within="gqa", replace={"g = Hq // n_kv_heads": "g = n_kv_heads"},
)
check_gqa.mistake(
    say("The mask has no effect.", "掩码没有起作用。"),
    within="gqa", replace={"repeat_kv(v, g), mask)": "repeat_kv(v, g))"},
)
check_gqa.mistake(
    say("Wrong numbers of heads go through, or fail somewhere inside; broadcasting even gives a "
        "result for some. Compare them first.",
        "头数不对时没有拦住，或者到里面才出错；有些情形经过广播甚至会得到一个结果。请先核对头数。"),
    within="gqa", replace={"if Hq % n_kv_heads or k.shape[1] != n_kv_heads or "
                           "v.shape[1] != n_kv_heads:": "if False:"},
)


# ---------------------------------------------------------------------------- pool_kv_heads


@check()
def check_pool_kv_heads(pool_kv_heads, rng):
    """Key heads averaged by group."""
    rows = torch.tensor([0.0, 2.0, 10.0, 14.0])[:, None]
    yield (say("four heads of one row, 0, 2, 10 and 14, for two groups",
               "四个只有一行的头，内容为 0、2、10、14，合成两组"),
           lambda: pool_kv_heads(rows.clone(), 4, 2).flatten())
    for h, n, d, c in ((6, 2, 3, 5), (6, 3, 2, 7), (4, 1, 3, 12), (3, 3, 2, 4)):
        W = normal(rng, h * d, c)
        yield (say(f"{h} heads of {d} rows, for {n} kv heads", f"{h} 个头，每头 {d} 行，合成 {n} 个键值头"),
               lambda: pool_kv_heads(W.clone(), h, n))
    yield (say("6 heads for 4 groups", "6 个头合成 4 组"),
           lambda: pool_kv_heads(normal(rng, 12, 5), 6, 4), raises(ValueError))


check_pool_kv_heads.mistake(
    say("You added the heads of a group; keys that large would make attention too sharp.",
        "你把一组里的头加了起来；这么大的键会使注意力过于集中。"),
    within="pool_kv_heads", replace={"rows.mean(dim=1)": "rows.sum(dim=1)"},
)
check_pool_kv_heads.mistake(
    say("Heads that lie apart are averaged. In gqa, which query heads share a kv head?",
        "被平均的是相隔的头。在 gqa 里，哪些查询头共用一个键值头？"),
    within="pool_kv_heads",
    replace={"W.reshape(n_kv_heads, h // n_kv_heads, -1, W.shape[1])":
             "W.reshape(h // n_kv_heads, n_kv_heads, -1, W.shape[1]).transpose(0, 1)"},
)
check_pool_kv_heads.mistake(
    say("One head of each group is kept and the others are dropped. The paper compares this too (its "
        "figure 4), and it is not the best.",
        "每组只留下了一个头，其余都丢了。论文的图 4 也比较了这种做法，它不是最好的。"),
    within="pool_kv_heads", replace={"rows.mean(dim=1)": "rows[:, 0]"},
)


# ------------------------------------------------------------------------------ cached_mask


@check()
def check_cached_mask(cached_mask, rng):
    """Causal with tokens before."""
    yield say("2 queries, 5 keys", "2 个查询，5 个键"), lambda: cached_mask(2, 5)
    yield say("1 query, 6 keys", "1 个查询，6 个键"), lambda: cached_mask(1, 6)
    yield say("4 queries, 4 keys", "4 个查询，4 个键"), lambda: cached_mask(4, 4)
    Tq = int(rng.integers(3, 7))
    Tk = Tq + int(rng.integers(2, 9))
    yield say(f"{Tq} queries, {Tk} keys", f"{Tq} 个查询，{Tk} 个键"), lambda: cached_mask(Tq, Tk)
    yield say("dtype", "dtype"), lambda: str(cached_mask(2, 3).dtype)
    yield (say("more queries than keys", "查询比键还多"), lambda: cached_mask(4, 3),
           raises(ValueError))


check_cached_mask.mistake(
    say("The queries are taken for the first tokens. With a cache they are the newest ones: at which "
        "position does query 0 stand?",
        "这里把查询当成了最前面的 token。有缓存时它们是最新的：查询 0 位于哪个位置？"),
    within="cached_mask", replace={"torch.arange(Tk - Tq, Tk)": "torch.arange(Tq)"},
)
check_cached_mask.mistake(
    say("A token may not see itself.", "token 看不到自己了。"),
    within="cached_mask", replace={"<= torch": "< torch"},
)
check_cached_mask.mistake(
    say("Each query sees one token too many: the next one.", "每个查询都多看了一个 token：它的下一个。"),
    within="cached_mask", replace={"torch.arange(Tk - Tq, Tk)": "torch.arange(Tk - Tq + 1, Tk + 1)"},
)


# ---------------------------------------------------------------------------------- KVCache


@check()
def check_kv_cache(KVCache, rng):
    """Tokens stored and read again."""
    k, v = normal(rng, 2, 3, 7, 4), normal(rng, 2, 3, 7, 4)

    def fill(*pieces, cache=None):
        """A cache with these pieces of the seven tokens, and what the last update gave."""
        cache = KVCache(2, 3, 7, 4, torch.float64) if cache is None else cache
        at, out = cache.length, None
        for T in pieces:
            piece = slice(at, at + T)
            out = cache.update(k[:, :, piece].clone(), v[:, :, piece].clone())
            at += T
        return cache, out

    def tried(cache, *kv):
        """The error of an update that must fail is observed elsewhere; here it is put aside."""
        with suppress(ValueError):
            cache.update(*kv)
        return cache

    def new(dtype):
        return KVCache(2, 3, 7, 4, dtype) if dtype else KVCache(2, 3, 7, 4)

    yield (say("shapes of k and v, and length, of a new cache", "新缓存的 k、v 的形状与 length"),
           lambda: [list(new(None).k.shape), list(new(None).v.shape), new(None).length])
    yield (say("dtype by default, and as given", "默认的 dtype 与给定的 dtype"),
           lambda: [str(new(t).v.dtype) for t in (None, torch.bfloat16)])
    yield say("keys after 3 tokens", "存入 3 个 token 后的键"), lambda: fill(3)[1][0]
    yield say("values after 3 tokens", "存入 3 个 token 后的值"), lambda: fill(3)[1][1]
    yield say("keys after 3, then 1, then 2 tokens", "依次存入 3、1、2 个 token 后的键"), lambda: fill(3, 1, 2)[1][0]
    yield (say("values after 3, then 1, then 2 tokens", "依次存入 3、1、2 个 token 后的值"),
           lambda: fill(3, 1, 2)[1][1])
    yield (say("length after each of these updates", "每次更新后的 length"),
           lambda: [fill(3)[0].length, fill(3, 1)[0].length, fill(3, 1, 2)[0].length])
    yield (say("filled to the last place", "正好存满"), lambda: list(fill(1, 4, 2)[1]))

    def memory():
        cache = KVCache(2, 3, 7, 4, torch.float64)
        before = cache.k.data_ptr(), cache.v.data_ptr()
        fill(3, 2, cache=cache)
        return [(cache.k.data_ptr(), cache.v.data_ptr()) == before, cache.k[:, :, :5], cache.v[:, :, :5]]

    yield (say("k and v are the tensors made at the start, and hold the tokens",
               "k 与 v 仍是最初建立的张量，且存有这些 token"), memory)

    def changed():
        cache, mine, other = new(torch.float64), k[:, :, :3].clone(), v[:, :, :3].clone()
        cache.update(mine, other)
        mine += 1
        other += 1
        return list(fill(1, cache=cache)[1])

    yield say("k and v change after they were stored", "存入之后 k 与 v 又被修改"), changed

    def differentiable():
        return fill(1, cache=tried(new(torch.float64), k[:, :, :2].clone().requires_grad_(),
                                   v[:, :, :2].clone().requires_grad_()))[1]

    yield (say("do the results require a gradient, k and v of an update having required one",
               "曾存入需要梯度的 k 与 v，结果是否需要梯度"),
           lambda: [x.requires_grad for x in differentiable()])

    def rounded():
        return new(torch.bfloat16).update(k[:, :, :2], v[:, :, :2])

    yield (say("float64 tokens in a bfloat16 cache", "把 float64 的 token 存入 bfloat16 缓存"),
           lambda: [[str(x.dtype) for x in rounded()], *(x.double() for x in rounded())])
    yield (say("3 more tokens where only 2 fit", "只剩 2 个位置，却再存 3 个 token"),
           lambda: fill(5)[0].update(k[:, :, :3], v[:, :, :3]), raises(ValueError))
    yield (say("length after that", "此后的 length"),
           lambda: tried(fill(5)[0], k[:, :, :3], v[:, :, :3]).length)
    yield (say("2 tokens that fit, after that", "此后再存入放得下的 2 个 token"),
           lambda: list(fill(2, cache=tried(fill(5)[0], k[:, :, :3], v[:, :, :3]))[1]))
    for label, bad_k, bad_v in (
        (say("one sequence for a cache of two", "缓存里有两个序列，却只给一个"), k[:1, :, :2], v[:1, :, :2]),
        (say("one head for a cache of three", "缓存里有三个头，却只给一个"), k[:, :1, :2], v[:, :1, :2]),
        (say("heads of one channel instead of four", "每头应有四个通道，却只给一个"),
         k[:, :, :2, :1], v[:, :, :2, :1]),
        (say("two keys, one value", "两个键，一个值"), k[:, :, :2], v[:, :, :1]),
    ):
        yield label, lambda: new(torch.float64).update(bad_k, bad_v), raises(ValueError)


@check_kv_cache.hidden
def _(KVCache, rng):
    cuts = [0, *sorted(rng.choice(19, size=5, replace=False) + 1), 21]
    k, v = normal(rng, 1, 2, 21, 3), normal(rng, 1, 2, 21, 3)
    cache = KVCache(1, 2, 22, 3, torch.float64)
    for a, b in pairwise(cuts):
        yield (say(f"tokens {a} to {b - 1}", f"第 {a} 到 {b - 1} 个 token"),
               lambda: [x.clone() for x in cache.update(k[:, :, a:b], v[:, :, a:b])])


check_kv_cache.mistake(
    say("New tokens are written over the first ones. How far is the cache already filled?",
        "新的 token 覆盖了最前面的那些。缓存已经填到哪里了？"),
    within="KVCache.update",
    replace={"self.k[:, :, self.length : end] =": "self.k[:, :, : k.shape[2]] =",
             "self.v[:, :, self.length : end] =": "self.v[:, :, : k.shape[2]] ="},
)
check_kv_cache.mistake(
    say("The unused rest of the memory is handed out as well: attention would take it for tokens.",
        "还没用到的内存也一并交了出去：注意力会把它们当作 token。"),
    within="KVCache.update",
    replace={"return self.k[:, :, :end], self.v[:, :, :end]": "return self.k, self.v"},
)
check_kv_cache.mistake(
    say("An update that failed has already moved length: what comes next lands in the wrong place, "
        "or nowhere. Test first, change afterwards.",
        "失败的更新已经改动了 length：后面的 token 会落错地方，或无处可放。应先检查，再修改。"),
    within="KVCache.update",
    replace={"        if end > max_len:": "        self.length = end\n        if end > max_len:",
             "self.k[:, :, self.length : end] =": "self.k[:, :, end - k.shape[2] : end] =",
             "self.v[:, :, self.length : end] =": "self.v[:, :, end - k.shape[2] : end] ="},
)
check_kv_cache.mistake(
    say("When it is full the cache forgets its oldest tokens and goes on. Positions then no longer "
        "agree with places; the docstring asks for an error.",
        "缓存满了就丢掉最旧的 token 继续存。这样位置与存放的地方就对不上了；docstring 要求的是报错。"),
    within="KVCache.update",
    replace={"            raise ValueError(f\"{end} tokens in a cache of {max_len}\")":
             "            over = end - max_len\n"
             "            self.k.copy_(self.k.roll(-over, dims=2))\n"
             "            self.v.copy_(self.v.roll(-over, dims=2))\n"
             "            self.length, end = self.length - over, max_len"},
)


# ------------------------------------------------------------------------ GQAttention.forward


@check(forbids=NO_ATTENTION)
def check_cached_attention(GQAttention, KVCache, rng):
    """Attention in one piece and in many."""
    d, h, T, B = 24, 6, 7, 2
    x = normal(rng, B, T, d).float()
    cos, sin = tables(T, d // h)
    matrices = {kv: [normal(rng, n, d) / d**0.5 * 1.5 for n in (d, d // h * kv, d // h * kv, d)]
                for kv in (3, 1, 6)}

    def layer(h_kv):
        made = GQAttention(d, h, h_kv)
        with torch.no_grad():
            for linear, W in zip((made.wq, made.wk, made.wv, made.wo), matrices[h_kv], strict=True):
                linear.weight.copy_(W)
        return made

    def run(*pieces, h_kv=3):
        cache, attend, at, out = KVCache(B, h_kv, T + 2, d // h), layer(h_kv), 0, []
        with torch.no_grad():
            for n in pieces:
                piece = slice(at, at + n)
                out.append(attend(x[:, piece].clone(), cos[piece], sin[piece], cache))
                at += n
        return torch.cat(out, 1), cache

    for h_kv in matrices:
        yield (say(f"without a cache, 6 query heads and {h_kv} kv heads", f"不用缓存，6 个查询头，{h_kv} 个键值头"),
               lambda: layer(h_kv)(x.clone(), cos, sin))
    yield say("with a cache, all 7 tokens in one piece", "用缓存，7 个 token 一次给完"), lambda: run(7)[0]
    yield say("token by token", "逐个 token"), lambda: run(*[1] * 7)[0]
    yield say("in pieces of 3, 1, 2 and 1", "分成 3、1、2、1 四段"), lambda: run(3, 1, 2, 1)[0]
    yield say("multi-query, in pieces of 2, 4 and 1", "MQA，分成 2、4、1 三段"), lambda: run(2, 4, 1, h_kv=1)[0]
    yield (say("keys in the cache afterwards", "之后缓存里的键"),
           lambda: run(3, 2)[1].k[:, :, :5].clone())
    yield (say("values in the cache afterwards, and length", "之后缓存里的值与 length"),
           lambda: [run(3, 2)[1].v[:, :, :5].clone(), run(3, 2)[1].length])


check_cached_attention.mistake(
    say("The cache gets keys that were not rotated, so old and new keys do not match. The position "
        "of a stored token never changes: rotate once, before storing.",
        "存进缓存的键没有旋转，于是新旧键对不上。已存 token 的位置不会再变：先旋转一次，再存。"),
    within="GQAttention.forward",
    replace={"        q, k = apply_rope(q, k, cos, sin)":
             "        raw = k\n        q, k = apply_rope(q, k, cos, sin)",
             "cache.update(k, v)": "cache.update(raw, v)"},
)
check_cached_attention.mistake(
    say("With a cache the new tokens are masked as if they were the first ones: a single new token "
        "sees only the very first.",
        "用缓存时，新 token 的掩码把它们当成了序列的开头：单独一个新 token 只看得到第一个 token。"),
    within="GQAttention.forward",
    replace={"cached_mask(q.shape[2], k.shape[2])":
             "torch.ones(q.shape[2], k.shape[2]).tril().bool()"},
)
check_cached_attention.mistake(
    say("Right for one token at a time; several new tokens at once see one another's future.",
        "一次一个 token 时是对的；一次来几个新 token 时，它们会看到彼此的未来。"),
    within="GQAttention.forward",
    replace={"self.h_kv, mask)": "self.h_kv, mask if cache is None else None)"},
)
check_cached_attention.mistake(
    say("The new tokens are stored, but attend only to one another, not to what was there before.",
        "新 token 存进去了，但它们只看彼此，没有看之前已有的。"),
    within="GQAttention.forward",
    replace={"k, v = cache.update(k, v)": "cache.update(k, v)"},
)


# --------------------------------------------------------------------------------- generate


class Watched(nn.Module):
    """A small causal model with learned positions that writes down how it is called."""

    def __init__(self, rng, vocab=61, d=12, L=2, h=4, h_kv=2, max_len=17):
        super().__init__()
        self.cfg = SimpleNamespace(vocab=vocab, d=d, L=L, h=h, h_kv=h_kv, max_len=max_len)

        def table(*shape):
            return nn.Parameter(normal(rng, *shape))

        self.token, self.place, self.head = table(vocab, d), table(max_len, d), table(d, vocab)
        self.kv = table(L, 2, d, d // h * h_kv)
        self.calls, self.gradients = [], []

    def forward(self, idx, caches=None, start=0):
        cfg, T = self.cfg, idx.shape[1]
        self.calls.append([T, int(start), caches is not None])
        self.gradients.append(torch.is_grad_enabled())
        if start + T > cfg.max_len:
            raise ValueError(f"position {start + T - 1}")
        x = self.token[idx] + self.place[start : start + T]
        for i in range(cfg.L):
            k, v = ((x @ W).unflatten(2, (cfg.h_kv, -1)).transpose(1, 2) for W in self.kv[i])
            if caches is not None:
                k, v = caches[i].update(k, v)
            seen = torch.ones(T, k.shape[2], dtype=torch.bool).tril(k.shape[2] - T)
            q = x.unflatten(2, (cfg.h_kv, cfg.h // cfg.h_kv, -1)).mean(3).transpose(1, 2)
            scores = (q @ k.mT).masked_fill(~seen, -torch.inf)
            heads = (scores.softmax(-1) @ v).transpose(1, 2)                     # B T Hkv d_head
            x = torch.tanh(x + heads.repeat(1, 1, 1, cfg.h // cfg.h_kv).flatten(2))
        return x @ self.head


@check()
def check_generate(generate, rng):
    """The same tokens with a cache and without."""
    model = Watched(rng).eval()
    prompts = torch.from_numpy(rng.integers(61, size=(3, 5)))

    def calls(idx, n, cache):
        model.calls.clear()
        generate(model, idx.clone(), n, cache=cache)
        return model.calls

    yield (say("6 tokens after 3 prompts of 5, without a cache", "3 段 5 个 token 的提示之后的 6 个 token，不用缓存"),
           lambda: generate(model, prompts.clone(), 6, cache=False))
    yield (say("how the model was called: [tokens, start, caches given]",
               "模型是怎样被调用的：[token 数, start, 是否给了缓存]"), lambda: calls(prompts, 3, False))
    yield say("the same 6 tokens with a cache", "同样的 6 个 token，用缓存"), lambda: generate(model, prompts.clone(), 6)
    yield (say("how the model was called with a cache", "用缓存时模型是怎样被调用的"),
           lambda: calls(prompts, 4, True))
    yield (say("a prompt of one token, up to the model's last position", "只有一个 token 的提示，一直生成到模型的最后一个位置"),
           lambda: generate(model, prompts[:1, :1].clone(), 16, cache=True))
    yield (say("another prompt, twice with the same model", "另一段提示，用同一个模型生成两次"),
           lambda: [generate(model, prompts[1:, :3].clone(), 2) for _ in range(2)])
    yield (say("no new token, with and without a cache", "不生成新 token，用缓存与不用缓存"),
           lambda: [generate(model, prompts.clone(), 0, cache=c) for c in (True, False)])
    yield say("dtype of the result", "结果的 dtype"), lambda: str(generate(model, prompts.clone(), 2).dtype)

    def unchanged():
        mine = prompts.clone()
        generate(model, mine, 2)
        return torch.equal(mine, prompts)

    yield say("the prompts are left unchanged", "提示没有被修改"), unchanged

    def recorded():
        model.gradients.clear()
        for cache in (True, False):
            generate(model, prompts[:, :2].clone(), 2, cache=cache)
        return model.gradients

    yield say("does the model record gradients, call by call", "每次调用时模型是否记录梯度"), recorded


check_generate.mistake(
    say("Each new token is told that it stands at position 0. The cache holds what was there before, "
        "not where the next token stands.",
        "每个新 token 都被告知位于位置 0。缓存里存着之前的内容，但它不会告诉模型下一个 token 在哪个位置。"),
    within="generate",
    replace={"start = idx.shape[1] - new.shape[1] if cache else 0": "start = 0"},
)
check_generate.mistake(
    say("New tokens stand one place too far. At which position, counted from 0, is the first token "
        "after a prompt of T?",
        "新 token 的位置多了一。从 0 数起，长度为 T 的提示之后的第一个 token 在哪个位置？"),
    within="generate",
    replace={"start = idx.shape[1] - new.shape[1] if cache else 0":
             "start = idx.shape[1] if cache and new is not idx else 0"},
)
check_generate.mistake(
    say("The whole sequence is given to the model again, though the caches already hold all of it "
        "but one token.",
        "又把整个序列交给了模型，而缓存里除了一个 token 之外都已经有了。"),
    within="generate", replace={"new = token if cache else idx": "new = idx"},
)
check_generate.mistake(
    say("Right tokens, but cache=True does all the work of cache=False.",
        "生成的 token 是对的，但 cache=True 做的工作和 cache=False 一样多。"),
    within="generate",
    replace={"    caches = make_caches(model, B, T + n) if cache else None":
             "    cache, caches = False, None"},
)


# --------------------------------------------------------------------------- kv_cache_bytes


@check()
def check_kv_cache_bytes(kv_cache_bytes, rng):
    """Bytes of a cache."""
    one = dict(L=1, Hkv=1, d=1, T=1, B=1)
    yield (say("one layer, head, channel, token and sequence, float32", "层、头、通道、token、序列各一个，float32"),
           lambda: kv_cache_bytes(**one, dtype=torch.float32))
    for name, dtype in (("bfloat16", torch.bfloat16), ("float64", torch.float64),
                        ("int8", torch.int8), ("float16", torch.float16)):
        L, Hkv, d, T, B = (int(n) for n in rng.permutation([2, 3, 5, 7, 11]))
        yield (say(f"L = {L}, Hkv = {Hkv}, d = {d}, T = {T}, B = {B}, {name}",
                   f"L = {L}，Hkv = {Hkv}，d = {d}，T = {T}，B = {B}，{name}"),
               lambda: kv_cache_bytes(L, Hkv, d, T, B, dtype), exactly())
    yield (say("126 layers, 8 kv heads of 128, 131072 tokens, 64 sequences, bfloat16",
               "126 层，8 个 128 维的键值头，131072 个 token，64 个序列，bfloat16"),
           lambda: kv_cache_bytes(126, 8, 128, 131072, 64, torch.bfloat16), exactly())
    yield (say("type of the result", "结果的类型"),
           lambda: type(kv_cache_bytes(**one, dtype=torch.int8)).__name__)


check_kv_cache_bytes.mistake(
    say("Half of it. What does a cache hold besides keys?", "只有一半。除了键，缓存里还存什么？"),
    within="kv_cache_bytes", replace={"2 * L": "L"},
)
check_kv_cache_bytes.mistake(
    say("This counts numbers. How many bytes does one of them take?", "这数的是数的个数。一个数占多少字节？"),
    within="kv_cache_bytes", replace={" * dtype.itemsize": ""},
)
check_kv_cache_bytes.mistake(
    say("The same size for every dtype.", "不论 dtype 是什么，大小都一样。"),
    within="kv_cache_bytes", replace={"dtype.itemsize": "2"},
)
check_kv_cache_bytes.mistake(
    say("This is the cache of one sequence. Can two sequences share it?", "这是一个序列的缓存。两个序列能共用它吗？"),
    within="kv_cache_bytes", replace={"L * B": "L"},
)


EQUIVALENT = {
    "KVCache.__init__: torch.zeros(B, Hkv, max_len, d, dtype=dtype) -> "
    "torch.ones(B, Hkv, max_len, d, dtype=dtype)": "what lies behind length has no meaning",
    "KVCache.__init__: torch.zeros(B, Hkv, max_len, d, dtype=dtype) -> "
    "torch.ones(B, Hkv, max_len, d, dtype=dtype) @2": "what lies behind length has no meaning",
}

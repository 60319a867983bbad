"""Checks of Day 29: bytes, the running softmax, the map of tiles, and two ways through it.

``Watch`` looks on while a learner's function runs: what it makes, what it multiplies, and in which
order it takes up blocks of Q, K and V. Only upper bounds are asked, so that copies, other formulas
and other groupings pass.
"""

import math
from itertools import product

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ladder.checks import at_most, check, choice, raises, say

PRODUCTS = {"mm": 0, "bmm": 0, "mv": 0, "dot": 0, "addmm": 1, "addmv": 1, "baddbmm": 1, "addbmm": 1}
READY_MADE = ("torch.nn.functional.scaled_dot_product_attention", "torch.nn.MultiheadAttention",
              "torch.nn.functional.multi_head_attention_forward", "torch.nn.attention")


def normal(rng, *shape, dtype=torch.float64):
    return torch.from_numpy(rng.normal(size=shape)).to(dtype)


# ------------------------------------------------------------------------------- bytes


@check()
def check_hbm_bytes_std(hbm_bytes_std, rng):
    """Three kernels, two matrices of N² numbers."""
    yield say("N = 3, d = 5, 1 byte a number", "N = 3，d = 5，每个数 1 字节"), lambda: hbm_bytes_std(3, 5, 1)
    yield say("N = 1024, d = 64, the default of 2 bytes", "N = 1024，d = 64，默认 2 字节"), lambda: hbm_bytes_std(1024, 64)
    yield say("the same with 4 bytes", "同样的情形，4 字节"), lambda: hbm_bytes_std(1024, 64, 4)
    N, d = (int(n) for n in rng.integers(100, 3000, 2))
    yield say(f"N = {N}, d = {d}, 2 bytes", f"N = {N}，d = {d}，2 字节"), lambda: hbm_bytes_std(N, d, itemsize=2)


check_hbm_bytes_std.mistake(
    say("How often do S and P cross the bus? Each is written by one kernel and read by the next.",
        "S 和 P 各穿过总线几次？每个都由一个 kernel 写出，再由下一个读入。"),
    within="hbm_bytes_std", replace={"4 * N * N": "2 * N * N"})
check_hbm_bytes_std.mistake(
    say("Of the (N, d) matrices, is the one that comes out counted too?", "几个 (N, d) 矩阵里，输出的那个也算上了吗？"),
    within="hbm_bytes_std", replace={"4 * N * d": "3 * N * d"})
check_hbm_bytes_std.mistake(
    say("These are numbers. How many bytes does one take?", "这是数的个数。每个数占几个字节？"),
    within="hbm_bytes_std", replace={" * itemsize": ""})


@check()
def check_hbm_bytes_flash(hbm_bytes_flash, rng):
    """Algorithm 1, line by line."""
    for words, case in (
        (("one key block holds everything", "一个键块就装得下全部"), (6, 4, 96, 1)),
        (("two full key blocks", "两个满的键块"), (12, 4, 96, 1)),
        (("two key blocks, the last one ragged", "两个键块，最后一个不满"), (7, 4, 96, 1)),
        (("a block size that is not a whole number before rounding", "块大小取整之前不是整数"), (40, 3, 100, 2)),
        (("on-chip memory of exactly d numbers", "片上内存恰好 d 个数"), (9, 16, 32, 2)),
        (("8192 queries, d = 64, 192 KiB", "8192 个查询，d = 64，192 KiB"), (8192, 64, 192 * 1024, 2)),
        (("the same in float32", "同样的情形，float32"), (8192, 64, 192 * 1024, 4)),
    ):
        yield (say(f"{words[0]}: (N, d, M, itemsize) = {case}", f"{words[1]}：(N, d, M, itemsize) = {case}"),
               lambda: hbm_bytes_flash(*case))
    case = tuple(int(n) for n in (rng.integers(500, 5000), rng.integers(20, 200), rng.integers(20_000, 200_000)))
    yield say(f"(N, d, M) = {case}, 2 bytes by default", f"(N, d, M) = {case}，默认 2 字节"), lambda: hbm_bytes_flash(*case)
    yield (say("M one byte too small for d numbers", "M 差一个字节才放得下 d 个数"),
           lambda: hbm_bytes_flash(9, 16, 31, 2), raises(ValueError))


check_hbm_bytes_flash.mistake(
    say("M is given in bytes. How many numbers is that?", "M 以字节为单位。那是多少个数？"),
    within="hbm_bytes_flash", replace={"4 * d * itemsize)": "4 * d)"})
check_hbm_bytes_flash.mistake(
    say("A ragged last block of keys needs a pass over the queries as well.", "最后那个不满的键块也要把查询扫一遍。"),
    within="hbm_bytes_flash", replace={"-(-N // Bc)": "max(1, N // Bc)"})
check_hbm_bytes_flash.mistake(
    say("On each pass O is not only written: what does line 12 need from the pass before?",
        "每一遍里 O 不只是写出：第 12 行需要上一遍的什么？"),
    within="hbm_bytes_flash", replace={"N * (2 * d + 2)": "N * d"})
check_hbm_bytes_flash.mistake(
    say("The keys and values are counted on every pass. Which loop are they loaded in?",
        "键和值在每一遍都计了一次。它们是在哪一层循环里载入的？"),
    within="hbm_bytes_flash",
    replace={"+ 2 * N * d\n": "\n", "N * (2 * d + 2) +": "2 * N * d + N * (2 * d + 2) +"})


# ---------------------------------------------------------------------- online softmax


@check()
def check_online_softmax_blocks(online_softmax_blocks, rng):
    """A softmax whose numbers come block by block."""
    def parts(en, zh, x, B):
        for i, name in ((1, "m"), (2, "l"), (0, "p")):
            yield say(f"{en}: {name}", f"{zh}：{name}"), lambda: online_softmax_blocks(x.clone(), B)[i]

    yield from parts("6 numbers, one block", "6 个数，一块", normal(rng, 6), 6)
    rising = torch.arange(6.0, dtype=torch.float64)
    yield from parts("0, 1, ..., 5 in blocks of 2 (the maximum grows at every block)", "0、1、…、5，每块 2 个（最大值每块都变大）", rising, 2)
    yield from parts("5, 4, ..., 0 in blocks of 2 (the maximum never changes)", "5、4、…、0，每块 2 个（最大值始终不变）", rising.flip(0), 2)
    yield from parts("shape (3, 4, 11), blocks of 4", "形状 (3, 4, 11)，每块 4 个", normal(rng, 3, 4, 11) * 3, 4)
    yield from parts("blocks longer than the row", "块比整行还长", normal(rng, 2, 5), 9)
    yield from parts("numbers near ±3000", "接近 ±3000 的数", normal(rng, 4, 9) * 3000, 4)
    x = normal(rng, 3, 7)
    x[0, :5], x[1, 3:], x[2] = -torch.inf, -torch.inf, -torch.inf
    yield from parts("rows that begin with -inf, end with it, and hold nothing else; blocks of 2",
                     "各行分别以 -inf 开头、以 -inf 结尾、全是 -inf；每块 2 个", x, 2)
    yield from parts("float32, blocks of 1", "float32，每块 1 个", normal(rng, 2, 5, dtype=torch.float32), 1)
    yield (say("dtypes for float32", "输入为 float32 时各结果的 dtype"),
           lambda: [str(part.dtype) for part in online_softmax_blocks(torch.ones(2, 3), 2)])
    kept = x.clone()
    yield say("x after the call", "调用之后的 x"), lambda: (online_softmax_blocks(kept, 2), kept)[1]


check_online_softmax_blocks.mistake(
    say("A larger maximum has come, and the sum so far still refers to the old one.", "出现了更大的最大值，而此前的和仍以旧的最大值为基准。"),
    within="online_softmax_blocks", replace={"total * torch.exp(top - base)": "total"})
check_online_softmax_blocks.mistake(
    say("Each m is that of its block alone. It should never fall along a row.", "每个 m 只是本块的最大值。沿着一行它应当只增不减。"),
    within="online_softmax_blocks", replace={"torch.maximum(top, block.amax(-1))": "block.amax(-1)"})
check_online_softmax_blocks.mistake(
    say("Where only −∞ has been met, something is NaN: what is −∞ − (−∞)?", "只遇到过 −∞ 的地方出现了 NaN：−∞ − (−∞) 等于什么？"),
    within="online_softmax_blocks", replace={".clamp_min(torch.finfo(x.dtype).min)": ""})


# ----------------------------------------------------------------------- tiles


@check()
def check_causal_tiles(causal_tiles, rng):
    """Which tiles are skipped, partial, full."""
    for en, zh, case in (
        ("square tiles that fit", "恰好整除的方形分块", (8, 8, 2, 2)),
        ("one number a tile", "每块只有一个数", (4, 4, 1, 1)),
        ("query blocks higher than key blocks are wide", "查询块比键块大", (12, 12, 4, 2)),
        ("key blocks wider than query blocks are high", "键块比查询块大", (12, 12, 2, 4)),
        ("ragged ends", "末尾不满", (10, 10, 4, 3)),
        ("more keys than queries", "键比查询多", (5, 13, 2, 4)),
        ("one query after 9 cached keys", "9 个已缓存的键之后的一个查询", (1, 10, 4, 4)),
        ("more queries than keys: the first ones see nothing", "查询比键多：最前面的什么都看不到", (13, 5, 4, 2)),
        ("one tile larger than everything", "一块就比全部还大", (5, 7, 8, 8)),
    ):
        yield (say(f"{en}: (N, M, Br, Bc) = {case}", f"{zh}：(N, M, Br, Bc) = {case}"), lambda: causal_tiles(*case))
    case = (*(int(n) for n in rng.integers(20, 40, 2)), *(int(n) for n in rng.integers(2, 9, 2)))
    yield say(f"random sizes {case}", f"随机的大小 {case}"), lambda: causal_tiles(*case)
    yield say("dtype", "dtype"), lambda: str(causal_tiles(8, 8, 2, 2).dtype)
    yield (say("N = M = 96 in tiles of 8: numbers in the largest tensor made (a 96 x 96 matrix has 9216)",
               "N = M = 96，每块 8：途中最大的张量有多少个数（96 x 96 的矩阵有 9216 个）"),
           lambda: watched(lambda: causal_tiles(96, 96, 8, 8)).largest, at_most(1200))


check_causal_tiles.mistake(
    say("Right for N = M only. Which keys does the LAST query see?", "只有 N = M 时正确。最后一个查询能看到哪些键？"),
    within="causal_tiles",
    replace={"first_key <= last_query + M - N": "first_key <= last_query",
             "last_key <= first_query + M - N": "last_key <= first_query"})
check_causal_tiles.mistake(
    say("Tiles are called full as soon as their last query sees everything. What about their first?",
        "只要最后一个查询全看得到，就算作 full 了。第一个查询呢？"),
    within="causal_tiles", replace={"last_key <= first_query + M - N": "last_key <= last_query + M - N"})
check_causal_tiles.mistake(
    say("The last block is taken to be as large as the others. Only keys and queries that exist count.",
        "最后一块被当成和其他块一样大。只有真正存在的键和查询才算数。"),
    within="causal_tiles",
    replace={"(first_query + Br).clamp_max(N)": "(first_query + Br)", "(first_key + Bc).clamp_max(M)": "(first_key + Bc)"})


@check()
def check_tile_mask(tile_mask, rng):
    """The mask of one tile."""
    for en, zh, case in (
        ("on the diagonal", "对角线上", (1, 1, 8, 8, 2, 2)),
        ("far below the diagonal: all is seen", "远在对角线下方：全部可见", (3, 0, 8, 8, 2, 2)),
        ("above the diagonal: nothing is seen", "对角线上方：什么都看不到", (0, 1, 9, 9, 3, 3)),
        ("a tile of 4 x 3", "4 x 3 的分块", (1, 2, 12, 12, 4, 3)),
        ("the ragged last tile", "末尾不满的一块", (2, 3, 10, 10, 4, 3)),
        ("more keys than queries", "键比查询多", (1, 2, 5, 13, 2, 4)),
        ("more queries than keys", "查询比键多", (2, 0, 13, 5, 4, 2)),
        ("one tile larger than everything", "一块就比全部还大", (0, 0, 5, 7, 8, 9)),
    ):
        yield (say(f"{en}: (a, b, N, M, Br, Bc) = {case}", f"{zh}：(a, b, N, M, Br, Bc) = {case}"), lambda: tile_mask(*case))
    yield say("dtype", "dtype"), lambda: str(tile_mask(0, 0, 4, 4, 2, 2).dtype)


check_tile_mask.mistake(
    say("A query does not see the key at its own position.", "查询看不到自己位置上的键。"),
    within="tile_mask", replace={"keys <= queries": "keys < queries"})
check_tile_mask.mistake(
    say("Rows and columns are counted from the corner of the tile. Where does the tile lie?",
        "行和列是从分块的角上数起的。这一块位于何处？"),
    within="tile_mask",
    replace={"queries = torch.arange(a * Br, min((a + 1) * Br, N))": "queries = torch.arange(min(Br, N - a * Br))",
             "keys = torch.arange(b * Bc, min((b + 1) * Bc, M))": "keys = torch.arange(min(Bc, M - b * Bc))"})
check_tile_mask.mistake(
    say("The last tiles have rows or columns for which there is no query or key.", "最后几块里有些行或列并没有对应的查询或键。"),
    within="tile_mask", replace={"min((a + 1) * Br, N)": "(a + 1) * Br", "min((b + 1) * Bc, M)": "(b + 1) * Bc"})


# ------------------------------------------------------------------------- the forward pass


class Watch(TorchDispatchMode):
    """What a computation makes, multiplies and loads.

    ``largest`` is the size of the largest tensor made, in numbers; ``multiplied`` counts the
    multiply-adds of matrix products, ``divided`` the numbers divided by a number of their own. For each
    of the tensors ``named`` (contiguous, ``rows[name]`` rows a block), ``loads[name]`` says how often
    computing took up another block of it than before: the loads of a memory that holds one block.
    """

    def __init__(self, named=(), rows=None):
        super().__init__()
        self.largest = self.multiplied = self.divided = 0
        self.named = {tensor.untyped_storage().data_ptr(): name for name, tensor in dict(named).items()}
        self.block = {name: rows[name] * tensor.shape[-1] for name, tensor in dict(named).items()}
        self.loads = dict.fromkeys(self.block, 0)
        self.held = dict.fromkeys(self.block)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        used, made = ([t for t in tree_leaves(tree) if isinstance(t, torch.Tensor)] for tree in ((args, kwargs), out))
        stored = {t.untyped_storage().data_ptr() for t in used}
        for t in made:
            self.largest = max(self.largest, t.untyped_storage().nbytes() // t.element_size())
        if any(t.untyped_storage().data_ptr() in stored for t in made):
            return out  # a view, or in place: nothing is taken up
        for t in used:
            name = self.named.get(t.untyped_storage().data_ptr())
            if name and (at := t.storage_offset() // self.block[name]) != self.held[name]:
                self.held[name], self.loads[name] = at, self.loads[name] + 1
        operation = func._schema.name.removeprefix("aten::").removesuffix("_")
        if operation in PRODUCTS:
            self.multiplied += out.numel() * args[PRODUCTS[operation]].shape[-1]
        divisors = args[1:2] if operation == "div" else args[:1] if operation == "reciprocal" else ()
        self.divided += sum(out.numel() for d in divisors if isinstance(d, torch.Tensor) and d.numel() > 1)
        return out


def watched(call, named=(), rows=None):
    with Watch(named, rows) as watch:
        watch.out = call()
    return watch


def results(forward, rng):
    """O and L in all kinds of cases, for either order."""
    for en, zh, lead, N, M, d, Br, Bc, causal, scale, dtype in (
        ("one tile", "一块", (), 5, 6, 4, 6, 6, False, 1, torch.float64),
        ("one query block, two key blocks", "一个查询块，两个键块", (), 3, 8, 4, 3, 4, False, 2, torch.float64),
        ("two query blocks, one key block", "两个查询块，一个键块", (), 8, 3, 5, 4, 3, False, 2, torch.float64),
        ("batch and heads, ragged on both sides", "有批次和头，两边都不满", (2, 3), 7, 11, 5, 4, 3, False, 2, torch.float64),
        ("causal, N = M", "因果，N = M", (2,), 9, 9, 4, 4, 2, True, 2, torch.float64),
        ("causal, 4 new queries after 7 cached keys", "因果，7 个已缓存的键之后的 4 个新查询", (2,), 4, 11, 3, 3, 4, True, 2, torch.float64),
        ("causal, N > M: the first queries see nothing", "因果，N > M：最前面的查询什么都看不到", (), 11, 6, 4, 4, 4, True, 2, torch.float64),
        ("scores near 10000", "得分接近 10000", (), 6, 7, 4, 2, 3, True, 70, torch.float64),
        ("float32", "float32", (2,), 10, 10, 8, 4, 4, True, 1, torch.float32),
    ):
        q, k, v = (normal(rng, *lead, n, d, dtype=dtype) * s for n, s in ((N, scale), (M, scale), (M, 1)))
        sizes = f"N = {N}, M = {M}, d = {d}, Br = {Br}, Bc = {Bc}"
        for i, name in enumerate("OL"):
            yield (say(f"{en} ({sizes}): {name}", f"{zh}（{sizes}）：{name}"),
                   lambda: forward(q.clone(), k.clone(), v.clone(), Br, Bc, causal)[i])
    yield (say("float32: dtypes of O and L", "float32：O 与 L 的 dtype"),
           lambda: [str(part.dtype) for part in forward(q, k, v, 4, 4)])
    yield (say("q, k, v after the call", "调用之后的 q、k、v"),
           lambda: (forward(q, k, v, 4, 4, True), [q, k, v])[1])


def work(forward, rng, once):
    """What a tiled computation does at most, N = M = 48 in tiles of 8, d = 2; each with O and L."""
    N, d, B = 48, 2, 8
    q, k, v = (normal(rng, N, d) for _ in range(3))
    sizes = f"N = M = {N}, d = {d}, Br = Bc = {B}"
    made = {}

    def over(count, limit, causal):
        """O, L, and by how much ``count`` of what was seen is above ``limit``."""
        if causal not in made:
            made[causal] = watched(lambda: forward(q, k, v, B, B, causal),
                                   {"q": q, "k": k, "v": v}, dict.fromkeys("qkv", B))
        return [*made[causal].out, max(0, int(count(made[causal]) - limit))]

    for causal in (False, True):
        yield (say(f"{sizes}, causal={causal}: O, L, and by how many numbers the largest tensor made exceeds {2 * N * d}",
                   f"{sizes}，causal={causal}：O、L，以及途中最大的张量比 {2 * N * d} 个数多出多少"),
               lambda: over(lambda watch: watch.largest, 2 * N * d, causal))
    whole = 2 * N * N * d
    yield (say(f"O, L, and how many multiply-adds in matrix products are missing to {whole}",
               f"O、L，以及矩阵乘法的乘加次数比 {whole} 少多少"),
           lambda: over(lambda watch: -watch.multiplied, -whole, False))
    tiles = 21  # of 36: those that the mask leaves something of
    limit = 5 * tiles * 2 * B * B * d // 4
    yield (say(f"causal: {tiles} of 36 tiles need {tiles * 2 * B * B * d} multiply-adds in matrix products; O, L, and by how many "
               f"they exceed {limit}", f"因果：36 块中的 {tiles} 块需要 {tiles * 2 * B * B * d} 次矩阵乘法的乘加；O、L，以及比 {limit} 次多出多少"),
           lambda: over(lambda watch: watch.multiplied, limit, True))
    for name in once:
        yield (say(f"O, L, and how often a block of {name} is taken up beyond {N // B + 2} times (there are {N // B} blocks)",
                   f"O、L，以及 {name} 的块被取用的次数比 {N // B + 2} 多出多少（共有 {N // B} 块）"),
               lambda: over(lambda watch: watch.loads[name], N // B + 2, False))
    if once == "q":
        yield (say(f"O, L, and by how much the count of numbers divided exceeds {3 * N * d // 2} (O has {N * d})",
                   f"O、L，以及做除法的数的个数比 {3 * N * d // 2} 多出多少（O 有 {N * d} 个数）"),
               lambda: over(lambda watch: watch.divided, 3 * N * d // 2, False))


def strips(q, k, v, Br, Bc, causal=False):
    """Whole rows of scores: no running softmax is needed, and the tiles are as wide as M."""
    N, M = q.shape[-2], k.shape[-2]
    parts = []
    for start in range(0, N, Br):
        S = q[..., start:start + Br, :] @ k.mT / math.sqrt(q.shape[-1])
        if causal:
            S = S.masked_fill(torch.arange(M) > torch.arange(N)[start:start + Br, None] + M - N, -torch.inf)
        parts.append((torch.nan_to_num(S.softmax(-1)) @ v, S.logsumexp(-1)))
    return torch.cat([O for O, _ in parts], -2), torch.cat([L for _, L in parts], -1)


def plain(q, k, v, Br, Bc, causal=False):
    """Standard attention: all scores at once."""
    return strips(q, k, v, q.shape[-2], Bc, causal)


def in_order(order):
    """The running softmax with a loop over (key block, query block) in the given order."""
    def forward(q, k, v, Br, Bc, causal=False):
        N, M = q.shape[-2], k.shape[-2]
        O, l = torch.zeros_like(q), q.new_zeros(q.shape[:-1])
        m = torch.full_like(l, torch.finfo(q.dtype).min)
        for first, start in order(range(0, M, Bc), range(0, N, Br)):
            rows, cols = slice(start, start + Br), slice(first, first + Bc)
            seen = torch.arange(M)[cols] <= torch.arange(N)[rows, None] + M - N
            if causal and not seen.any():
                continue
            S = q[..., rows, :] @ k[..., cols, :].mT / math.sqrt(q.shape[-1])
            S = S.masked_fill(~seen, -torch.inf) if causal else S
            new = torch.maximum(m[..., rows], S.amax(-1))
            P, shrink = torch.exp(S - new[..., None]), torch.exp(m[..., rows] - new)
            l[..., rows] = shrink * l[..., rows] + P.sum(-1)
            O[..., rows, :] = shrink[..., None] * O[..., rows, :] + P @ v[..., cols, :]
            m[..., rows] = new
        return O / l.clamp_min(1)[..., None], m + torch.log(l)
    return forward


SKIP_NOTHING = {"if causal and tiles[a][b] == 0:": "if False:", "if causal and tiles[a][b] == 1:": "if causal:"}
EVERY_TILE = say("Every tile is computed and then masked. What does your map of tiles say about those above the diagonal?",
                 "每一块都先算了再遮掉。你的分块图对对角线以上的那些块是怎么说的？")
ALL_AT_ONCE = say("The results are right, but all scores exist at once: this is the standard algorithm.",
                  "结果是对的，但所有得分同时存在：这是标准算法。")


@check(forbids=READY_MADE)
def check_flash_forward(flash_forward, rng):
    """FlashAttention: O and L."""
    yield from results(flash_forward, rng)


check_flash_forward.mistake(
    say("When a larger score comes, the part of O already there must shrink by the same factor as l does.",
        "出现更大的得分时，已有的那部分 O 要和 l 缩小同样的倍数。"),
    within="flash_forward", replace={"mixed = old[..., None] *": "mixed = l[..., rows, None] *"})
check_flash_forward.mistake(
    say("O is normalised after each tile. Undo the old normalisation before you add the new part: which sum was it divided by?",
        "每一块之后 O 都是归一化的。加上新的部分之前，要先撤销旧的归一化：当时除以的是哪个和？"),
    within="flash_forward", replace={"mixed = old[..., None] *": "mixed = torch.exp(m[..., rows] - new_m)[..., None] *"})
check_flash_forward.mistake(
    say("Queries that see no key have the sum 0. What is 0 / 0, and what is asked for?", "看不到任何键的查询，和为 0。0 / 0 等于什么？要求的又是什么？"),
    within="flash_forward", replace={"new_l.clamp_min(1)": "new_l"})


@check(forbids=READY_MADE)
def check_flash_tiles(flash_forward, rng):
    """FlashAttention: tile by tile, key blocks outside."""
    yield from work(flash_forward, rng, "kv")


check_flash_tiles.mistake(EVERY_TILE, within="flash_forward", replace=SKIP_NOTHING)
check_flash_tiles.mistake(ALL_AT_ONCE, within="flash_forward")(plain)
check_flash_tiles.mistake(
    say("Rows of scores are computed from end to end, M numbers each. Then nothing has to be rescaled, and nothing is tiled along the keys.",
        "得分是整行算出的，每行 M 个数。这样就不必修正什么，但沿键的方向也就没有分块。"),
    within="flash_forward")(strips)
check_flash_tiles.mistake(
    say("Blocks of K and V come back again and again: which loop is outside?", "K 和 V 的块反复回来：外层是哪个循环？"),
    within="flash_forward",
)(in_order(lambda keys, queries: ((b, a) for a, b in product(queries, keys))))


@check(forbids=READY_MADE)
def check_flash2_forward(flash2_forward, rng):
    """FlashAttention-2: O and L."""
    yield from results(flash2_forward, rng)


check_flash2_forward.mistake(
    say("The running O refers to an old maximum when a larger score has come.", "出现更大的得分之后，滚动的 O 仍以旧的最大值为基准。"),
    within="flash2_forward", replace={"O = shrink[..., None] * O": "O = O"})
check_flash2_forward.mistake(
    say("The division was put off, and then forgotten: the weights of a row must add up to 1.", "除法推迟之后就忘了：一行的权重之和必须为 1。"),
    within="flash2_forward", replace={"O / l.clamp_min(1)[..., None]": "O"})
check_flash2_forward.mistake(
    say("L lacks something: it is the logarithm of a sum of exp(S), and l sums exp(S − m).",
        "L 少了什么：它是 exp(S) 之和的对数，而 l 是 exp(S − m) 之和。"),
    within="flash2_forward", replace={"sums.append(m + torch.log(l))": "sums.append(torch.log(l))"})


@check(forbids=READY_MADE)
def check_flash2_tiles(flash2_forward, rng):
    """FlashAttention-2: query blocks outside, one division."""
    yield from work(flash2_forward, rng, "q")


check_flash2_tiles.mistake(EVERY_TILE, within="flash2_forward", replace=SKIP_NOTHING)
check_flash2_tiles.mistake(ALL_AT_ONCE, within="flash2_forward")(plain)
check_flash2_tiles.mistake(
    say("O is normalised at every tile. Put the division off: where is it needed once?", "每一块都归一化了一次 O。把除法推迟：在哪里做一次就够了？"),
    within="flash2_forward",
    replace={"            l = shrink * l + P.sum(-1)\n            O = shrink[..., None] * O + P @ Vb\n":
             "            total = shrink * l + P.sum(-1)\n"
             "            O = ((shrink * l)[..., None] * O + P @ Vb) / total.clamp_min(1)[..., None]\n"
             "            l = total\n",
             "outputs.append(O / l.clamp_min(1)[..., None])": "outputs.append(O)"})
check_flash2_tiles.mistake(
    say("Blocks of Q come back again and again: which loop is outside?", "Q 的块反复回来：外层是哪个循环？"),
    within="flash2_forward",
)(in_order(product))


# -------------------------------------------------------------------------------- the quiz


@check()
def check_quiz_method(flash_quiz, rng):
    """Sections 2 and 3.1."""
    for i in (1, 2, 3):
        yield say(f"question {i}", f"第 {i} 题"), lambda: str(flash_quiz()[f"q{i}"]).strip().lower(), choice()


@check()
def check_quiz_analysis(flash_quiz, rng):
    """Sections 3.2 and 3.3, and FlashAttention-2."""
    for i in (4, 5, 6):
        yield say(f"question {i}", f"第 {i} 题"), lambda: str(flash_quiz()[f"q{i}"]).strip().lower(), choice()


CONFUSIONS = (
    (check_quiz_method, "q1", "b", "a", say("Question 1: fewer operations would not help an operation that waits for memory. Reread section 2.1.",
     "第 1 题：对等待内存的运算来说，减少运算次数没有用。再读 2.1 节。")),
    (check_quiz_method, "q2", "d", "c", say("Question 2: write m and ℓ of two blocks joined together, as in section 3.1, and see what is used.",
     "第 2 题：像 3.1 节那样写出两块拼接后的 m 和 ℓ，看看用到了什么。")),
    (check_quiz_method, "q3", "a", "c", say("Question 3: is what is stored of size N or of size N²? Reread “Recomputation” in section 3.1.",
     "第 3 题：存下来的东西是 N 量级还是 N² 量级？再读 3.1 节的 “Recomputation”。")),
    (check_quiz_analysis, "q4", "c", "b", say("Question 4: put 2d and 2M into Theorem 2 and count the exponents.",
     "第 4 题：把 2d 和 2M 代入定理 2，数一数指数。")),
    (check_quiz_analysis, "q5", "b", "c", say("Question 5: which term of Proposition 4 has the factor s, and which has not?",
     "第 5 题：命题 4 的哪一项带有因子 s，哪一项没有？")),
    (check_quiz_analysis, "q6", "d", "b", say("Question 6: section 3.2 of FlashAttention-2 counts thread blocks. How many did the first version start?",
     "第 6 题：FlashAttention-2 的 3.2 节在数线程块。第一版启动多少个？")),
)


def confusion(quiz, question, right, wrong, hint):
    """A known mistake: this wrong letter for ``question``."""
    quiz.mistake(hint, within="flash_quiz", replace={f'"{question}": "{right}"': f'"{question}": "{wrong}"'})


for row in CONFUSIONS:
    confusion(*row)

EQUIVALENT = {
    "online_softmax_blocks: x.shape[:-1] -> x.shape[1:-1]": "the first block's maximum broadcasts it to the right shape",
    "online_softmax_blocks: x.shape[:-1] -> x.shape[:0]": "the first block's maximum broadcasts it to the right shape",
    "online_softmax_blocks: torch.zeros_like(top) -> torch.ones_like(top)": "the first factor is exp(−∞) = 0",
}

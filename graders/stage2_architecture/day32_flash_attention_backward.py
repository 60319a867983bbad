"""Checks of Day 32: delta, one tile of P, the tiled backward pass, its costs, the delta kernel, quizzes.

The launcher stands here: a graded run sees graders but no solutions.
"""

import functools
import math

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ladder.checks import at_least, at_most, check, choice, close, exactly, say
from ladder.kernel_judge.bridge import KERNEL, compiled, moved, strict
from ladder.triton import tl, triton


def normal(rng, *shape, dtype=torch.float64):
    return torch.from_numpy(rng.normal(size=shape)).to(dtype)


def kept(q, k, v, causal):
    """What a forward pass returns, made the dense way: (O, L)."""
    wide = torch.promote_types(q.dtype, torch.float32)
    S = q.to(wide) @ k.to(wide).mT / math.sqrt(q.shape[-1])
    if causal:
        N, M = S.shape[-2:]
        S = S.masked_fill(~torch.ones(N, M, dtype=torch.bool).tril(M - N), -math.inf)
    L = S.logsumexp(-1)
    P = torch.exp(S - L.masked_fill(torch.isneginf(L), math.inf)[..., None])
    return (P @ v.to(wide)).to(q.dtype), L


class Watch(TorchDispatchMode):
    """The largest tensor that any operation makes, and the FLOPs of the matrix products."""

    largest, flops = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.largest = max([self.largest, *(leaf.numel() for leaf in made)])
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm", "addmm", "baddbmm"):
            a, b = args[:2] if name in ("mm", "bmm") else args[1:3]
            self.flops += 2 * a.numel() * b.shape[-1]
        return out


# ------------------------------------------------------------------------------------ delta


@check()
def check_attention_delta(attention_delta, rng):
    """One number a row, in float32 at least."""
    for shape in ((4, 3), (1, 5), (2, 3, 6, 4)):
        dO, O = normal(rng, *shape), normal(rng, *shape)
        yield say(f"dO and O of shape {shape}", f"dO 与 O 的形状为 {shape}"), lambda: attention_delta(dO, O)
    q, k, v, dO = (normal(rng, n, 3) for n in (4, 7, 7, 4))
    P = torch.softmax(q @ k.mT / math.sqrt(3), -1)
    yield (say("difference to the row sums of P ∘ dP, largest", "与 P ∘ dP 的行和之差，最大值"),
           lambda: (attention_delta(dO, P @ v) - (P * (dO @ v.mT)).sum(-1)).abs().max(), at_most(1e-12))
    dO, O = (normal(rng, 5, 300, dtype=torch.bfloat16) for _ in range(2))
    yield say("bfloat16 inputs: δ", "bfloat16 输入：δ"), lambda: attention_delta(dO, O).double(), close(rtol=1e-4, atol=1e-4)
    yield say("bfloat16 inputs: dtype of δ", "bfloat16 输入：δ 的 dtype"), lambda: str(attention_delta(dO, O).dtype)
    yield (say("float16 inputs: dtype of δ", "float16 输入：δ 的 dtype"),
           lambda: str(attention_delta(dO.half(), O.half()).dtype))


check_attention_delta.mistake(
    say("How many numbers does a row of δ's need? Which axis holds the d numbers of one query?",
        "每一行需要几个 δ？一个查询的 d 个数在哪个轴上？"),
    within="attention_delta", replace={".sum(-1)": ".sum(-2)"},
)
check_attention_delta.mistake(
    say("δ is a sum, as the row sum of P ∘ dP is.", "δ 是求和，正如 P ∘ dP 的行和。"),
    within="attention_delta", replace={".sum(-1)": ".mean(-1)"},
)
check_attention_delta.mistake(
    say("Only half precision is off: in which dtype are the products made?", "只有半精度不对：乘积是用什么 dtype 算的？"),
    within="attention_delta", replace={"(dO.to(wide) * O.to(wide)).sum(-1)": "(dO * O).sum(-1).to(wide)"},
)


# ------------------------------------------------------------------------------ a tile of P


@check()
def check_recompute_p(recompute_p, rng):
    """Tiles that together are P."""
    q, k = normal(rng, 5, 3), normal(rng, 7, 3)
    L = (q @ k.mT / math.sqrt(3)).logsumexp(-1)
    yield say("one tile that is all of P, 5 x 7", "一个分块就是整个 P，5 x 7"), lambda: recompute_p(q, k, L)
    yield (say("rows 1, 2 and columns 4, 5, 6 of it", "其中第 1、2 行，第 4、5、6 列"),
           lambda: recompute_p(q[1:3], k[4:], L[1:3]))
    both = normal(rng, 2, 3, 4, 5), normal(rng, 2, 3, 2, 5)
    L4 = normal(rng, 2, 3, 4) + 3
    yield say("leading dimensions (2, 3)", "前面还有维度 (2, 3)"), lambda: recompute_p(*both, L4)
    for diagonal in (0, 2, -2, 9):
        yield (say(f"5 x 7 with diagonal = {diagonal}", f"5 x 7，diagonal = {diagonal}"),
               lambda: recompute_p(q, k, L, diagonal))
    big = k.clone()
    big[-1] = 4000 * q[0]  # far above L: exp overflows
    yield (say("a hidden pair whose score is far above L", "被遮挡的一对，得分远大于 L"),
           lambda: recompute_p(q, big, L, 1))
    none = L.masked_fill(torch.arange(5) < 2, -math.inf)
    yield (say("two rows with L = −∞, diagonal = -2", "两行 L = −∞，diagonal = -2"),
           lambda: recompute_p(q, k, none.clone(), -2))
    half = q.bfloat16(), k.bfloat16()
    yield say("bfloat16 queries and keys", "bfloat16 的查询和键"), lambda: recompute_p(*half, L.float())
    yield say("dtype then", "此时的 dtype"), lambda: str(recompute_p(*half, L.float()).dtype)


check_recompute_p.mistake(
    say("The weights are too peaked or too flat. Of which scores is L the log-sum-exp?",
        "权重过尖或过平。L 是哪种得分的 log-sum-exp？"),
    within="recompute_p", replace={" / math.sqrt(q.shape[-1])": ""},
)
check_recompute_p.mistake(
    say("Some pairs right at the edge of the mask are on the wrong side: may row a see column a + diagonal?",
        "恰在遮挡边缘的一些位置分错了边：第 a 行能看到第 a + diagonal 列吗？"),
    within="recompute_p", replace={".tril(diagonal)": ".tril(diagonal - 1)"},
)
check_recompute_p.mistake(
    say("Hidden pairs become NaN when their scores are large: what is 0 · ∞? Hide them before exp.",
        "被遮挡的位置在得分很大时变成 NaN：0 · ∞ 是多少？应在 exp 之前遮挡。"),
    within="recompute_p",
    replace={"        S = S.masked_fill(~sees, -math.inf)": "        return torch.nan_to_num(torch.exp(S - L.to(wide)[..., None]),"
             " nan=0.0, posinf=math.inf) * sees"},
)
check_recompute_p.mistake(
    say("Rows that see nothing are not zero: what is −∞ − (−∞)? By which number may L be replaced there?",
        "什么都看不到的行不是零：−∞ − (−∞) 是多少？那里的 L 可以换成什么数？"),
    within="recompute_p", replace={".masked_fill(torch.isneginf(L), math.inf)": ""},
)


# ------------------------------------------------------------------------------ the backward


@check(forbids=("torch.autograd",))
def check_flash_backward(flash_backward, rng):
    """Gradients tile by tile."""
    def case(N, M, Br, Bc, causal=False, lead=(), d=3, dtype=torch.float64):
        q, k, v, dO = (normal(rng, *lead, n, d, dtype=dtype) for n in (N, M, M, N))
        O, L = kept(q, k, v, causal)
        return functools.cache(lambda: flash_backward(dO, q, k, v, O, L, Br, Bc, causal))

    def shown(en, zh, run):
        for i, name in enumerate(("dv", "dk", "dq")):
            yield say(f"{en}: {name}", f"{zh}：{name}"), lambda: run()[2 - i]

    yield from shown("4 queries, 6 keys, one tile", "4 个查询，6 个键，一个分块", case(4, 6, 4, 6))
    yield from shown("one query block, key blocks of 2", "一个查询块，每块 2 个键", case(4, 6, 4, 2))
    yield from shown("query blocks of 2, one key block", "每块 2 个查询，一个键块", case(4, 6, 2, 6))
    yield from shown("7 queries, 10 keys, blocks of 3 and 4", "7 个查询，10 个键，分块 3 与 4", case(7, 10, 3, 4, lead=(2,)))
    yield from shown("causal, 8 and 8, blocks of 3 and 2", "因果，8 与 8，分块 3 与 2", case(8, 8, 3, 2, True))
    yield from shown("causal, 5 queries, 9 keys, blocks of 2 and 4", "因果，5 个查询，9 个键，分块 2 与 4", case(5, 9, 2, 4, True))
    yield from shown("causal, 9 queries, 5 keys: some see nothing", "因果，9 个查询，5 个键：有的什么都看不到",
                     case(9, 5, 2, 3, True))
    wide = case(5, 4, 2, 3, lead=(1, 2), dtype=torch.bfloat16)
    yield say("bfloat16: dtypes and shapes", "bfloat16：dtype 与形状"), lambda: [
        [str(g.dtype), *g.shape] for g in wide()]

    half = [normal(rng, 48, 4, dtype=torch.bfloat16) for _ in range(4)]
    dO, *qkv = (x.double() for x in half)
    O, L = kept(*qkv, False)

    def rounding():
        q, k, v = qkv
        P, dP = torch.softmax(q @ k.mT / 2, -1), dO @ v.mT
        dS = P * (dP - (P * dP).sum(-1, keepdim=True)) / 2
        made = flash_backward(*half, O.bfloat16(), L.float(), 2, 2)
        return [float((m.double() - w).norm() / w.norm())
                for m, w in zip(made, (dS @ k, dS.mT @ q, P.mT @ dO), strict=True)]

    yield (say("bfloat16, 576 tiles: relative errors of dq, dk, dv", "bfloat16，576 个分块：dq、dk、dv 的相对误差"),
           rounding, at_most(0.0043))

    def watched(N, M, Br, Bc, causal, d=3):
        run, watch = case(N, M, Br, Bc, causal, d=d), Watch()
        with watch:
            run()
        return watch

    yield (say("48 queries, 40 keys, d = 3, blocks of 8 and 16: numbers in the largest tensor",
               "48 个查询，40 个键，d = 3，分块 8 与 16：最大张量中的元素个数"),
           lambda: watched(48, 40, 8, 16, False).largest, at_most(2 * 48 * 3))
    tiles = 15 * (10 * 8 * 8 * 3)
    yield (say("causal, 40 and 40, blocks of 8: FLOPs of matrix products, as a part of the five for each visible tile",
               "因果，40 与 40，分块 8：矩阵乘法的 FLOPs，与“每个可见分块五次乘法”之比"),
           lambda: watched(40, 40, 8, 8, True).flops / tiles, at_most(1.1))


@check_flash_backward.hidden
def _(flash_backward, rng):
    for N, M, Br, Bc, causal in ((1, 1, 4, 4, False), (4, 5, 1, 2, True), (13, 6, 4, 5, True), (6, 13, 16, 3, True)):
        q, k, v, dO = (normal(rng, 2, n, 5) for n in (N, M, M, N))
        O, L = kept(q, k, v, causal)
        yield (say(f"{N} queries, {M} keys, blocks of {Br} and {Bc}{', causal' if causal else ''}",
                   f"{N} 个查询，{M} 个键，分块 {Br} 与 {Bc}{'，因果' if causal else ''}"),
               lambda: flash_backward(dO, q, k, v, O, L, Br, Bc, causal))


check_flash_backward.mistake(
    say("The first key block's part of dq is lost when the next one arrives.", "下一个键块一到，前一个键块对 dq 的贡献就丢了。"),
    within="flash_backward", replace={"dq[..., rows, :] += dS @ kj": "dq[..., rows, :] = dS @ kj"},
)
check_flash_backward.mistake(
    say("dk and dq are off by one common factor. S is not q kᵀ itself.", "dk 与 dq 差一个公共因子。S 并不就是 q kᵀ。"),
    within="flash_backward", replace={"(scale * dq)": "dq", "(scale * dk)": "dk"},
)
check_flash_backward.mistake(
    say("Right for as many queries as keys, wrong otherwise: which key does the last query see last?",
        "查询与键一样多时正确，否则不对：最后一个查询能看到的最后一个键是哪个？"),
    within="flash_backward", replace={"i + M - N - j if": "i - j if", "j - (M - N)": "j"},
)
check_flash_backward.mistake(
    say("The gradients are right, but work is done on tiles where everything is hidden. From which query block on "
        "does a key block have anything to do?",
        "梯度是对的，但在全部被遮挡的分块上也做了计算。一个键块从哪个查询块起才有事可做？"),
    within="flash_backward", replace={"max(0, j - (M - N)) // Br * Br if causal else 0": "0"},
)


# -------------------------------------------------------------------------------------- costs


@check()
def check_recomputation(backward_flops, kept_bytes, rng):
    """What recomputation costs, and what it saves."""
    for N, M, d in ((1, 1, 1), (4, 6, 3), (1024, 2048, 64)):
        for way, way_zh, recompute in (("P stored", "保存 P", False), ("P recomputed", "重算 P", True)):
            yield (say(f"N = {N}, M = {M}, d = {d}, {way}: FLOPs", f"N = {N}，M = {M}，d = {d}，{way_zh}：FLOPs"),
                   lambda: int(backward_flops(N, M, d, recompute)), exactly())
            yield (say(f"N = {N}, M = {M}, d = {d}, {way}: bytes kept", f"N = {N}，M = {M}，d = {d}，{way_zh}：保留的字节"),
                   lambda: int(kept_bytes(N, M, d, recompute)), exactly())
    yield (say("bytes kept in float32, recomputed", "float32、重算时保留的字节"),
           lambda: int(kept_bytes(5, 9, 2, True, itemsize=4)), exactly())


check_recomputation.mistake(
    say("Five matrix products are made when P is recomputed; which one is missing here?",
        "重算 P 时共有五次矩阵乘法；这里少了哪一次？"),
    within="backward_flops", replace={"10 if recompute else 8": "8"},
)
check_recomputation.mistake(
    say("A multiplication and an addition are two FLOPs.", "一次乘法和一次加法是两个 FLOP。"),
    within="backward_flops", replace={"10 if recompute else 8": "5 if recompute else 4"},
)
check_recomputation.mistake(
    say("L is kept in float32, whatever the numbers are.", "无论数据是什么类型，L 都以 float32 保存。"),
    within="kept_bytes", replace={"4 * N if": "itemsize * N if"},
)


@check()
def check_backward_bytes(backward_bytes_std, backward_bytes_flash, rng):
    """Bytes moved, standard against tiled."""
    for N, M, d in ((1, 1, 1), (4, 6, 3), (1024, 2048, 64)):
        yield (say(f"standard, N = {N}, M = {M}, d = {d}", f"标准方法，N = {N}，M = {M}，d = {d}"),
               lambda: int(backward_bytes_std(N, M, d)), exactly())
    for N, M, d, Bc in ((4, 6, 3, 6), (4, 6, 3, 2), (4, 6, 3, 4), (1000, 2048, 64, 128)):
        yield (say(f"tiled, N = {N}, M = {M}, d = {d}, Bc = {Bc}", f"分块，N = {N}，M = {M}，d = {d}，Bc = {Bc}"),
               lambda: int(backward_bytes_flash(N, M, d, Bc)), exactly())
    yield (say("both with itemsize = 4", "两者，itemsize = 4"),
           lambda: [int(backward_bytes_std(5, 7, 3, 4)), int(backward_bytes_flash(5, 7, 3, 2, 4))], exactly())


check_backward_bytes.mistake(
    say("Only ragged lengths are wrong: how many blocks do 6 keys in blocks of 4 make?",
        "只有不能整除时不对：6 个键、每块 4 个，一共几块？"),
    within="backward_bytes_flash", replace={"-(-M // Bc)": "M // Bc"},
)
check_backward_bytes.mistake(
    say("The sum of dQ is read and written for every key block, in float32.", "对每个键块，dQ 的累加值都要读一次、写一次，而且是 float32。"),
    within="backward_bytes_flash", replace={"+ 8 * N * d)": "+ 2 * N * d * itemsize)"},
)
check_backward_bytes.mistake(
    say("Count the N x M matrices again: which of the five kernels read P, dP or dS, and which write one?",
        "再数一遍 N x M 的矩阵：五个 kernel 中哪些读取 P、dP 或 dS，哪些写入？"),
    within="backward_bytes_std", replace={"7 * N * M": "5 * N * M"},
)


# --------------------------------------------------------------------------------- the kernel


def launch_delta(O, dO, block_rows=32, block_dim=None, *, kernel):
    """Launch ``kernel`` on two matrices (rows, d), as the lesson does."""
    rows, d = O.shape
    delta = torch.empty(rows, dtype=torch.float32, device=O.device)
    kernel[(-(-rows // block_rows),)](
        O, dO, delta, rows, O.stride(0), dO.stride(0),
        HEAD_DIM=d, BLOCK_ROWS=block_rows, BLOCK_DIM=block_dim or 1 << (d - 1).bit_length())
    return delta


@check(forbids=(KERNEL,))
def check_delta_kernel(delta_kernel, rng):
    """δ, interpreted strictly."""
    def case(rows, d, dtype=torch.float32, block_rows=16, block_dim=None, of=1):
        O, dO = normal(rng, rows, d, dtype=dtype), normal(rng, rows, of * d, dtype=dtype)[:, -d:]
        return lambda: strict(launch_delta, O, dO, block_rows, block_dim, kernel=delta_kernel)

    yield say("16 rows of 8 numbers, one program", "16 行，每行 8 个数，一个 program"), case(16, 8)
    yield say("48 rows, three programs", "48 行，三个 program"), case(48, 8)
    yield say("37 rows: the last program has 5", "37 行：最后一个 program 有 5 行"), case(37, 8)
    yield say("d = 20 with BLOCK_DIM = 32", "d = 20，BLOCK_DIM = 32"), case(16, 20)
    yield say("rows of dO lie 24 apart, rows of O 8", "dO 的行间距为 24，O 为 8"), case(21, 8, of=3)
    yield (say("bfloat16, d = 128", "bfloat16，d = 128"), case(9, 128, torch.bfloat16), close(rtol=1e-4, atol=1e-4))


@check_delta_kernel.hidden
def _(delta_kernel, rng):
    O, dO = normal(rng, 33, 12, dtype=torch.float16), normal(rng, 33, 12, dtype=torch.float16)
    yield (say("33 rows of 12 float16 numbers, BLOCK_DIM = 64", "33 行，每行 12 个 float16，BLOCK_DIM = 64"),
           lambda: strict(launch_delta, O, dO, 8, 64, kernel=delta_kernel), close(rtol=1e-4, atol=1e-4))


check_delta_kernel.mistake(
    say("What does the last program load when rows are left over?", "行数除不尽时，最后一个 program 读取了什么？"),
    within="delta_kernel", replace={"(row < n_rows)[:, None] & (dim < HEAD_DIM)[None, :]": "(dim < HEAD_DIM)[None, :]",
                                    "mask=row < n_rows": "mask=row >= 0"},
)
check_delta_kernel.mistake(
    say("O and dO have strides of their own.", "O 与 dO 各有自己的步长。"),
    within="delta_kernel", replace={"do_ptr + row[:, None] * stride_do_row": "do_ptr + row[:, None] * stride_o_row"},
)
check_delta_kernel.mistake(
    say("Only bfloat16 is off. Products of two 16-bit numbers need more than 16 bits.",
        "只有 bfloat16 不对。两个 16 位数的乘积需要不止 16 位。"),
    within="delta_kernel", replace={"o.to(tl.float32) * do.to(tl.float32)": "(o * do).to(tl.float32)"},
)
check_delta_kernel.mistake(
    say("A block may be wider than a row: what lies beyond the last number of a row?",
        "块可能比一行更宽：一行最后一个数之后是什么？"),
    within="delta_kernel", replace={" & (dim < HEAD_DIM)[None, :]": " & (dim >= 0)[None, :]"},
)


@check(forbids=(KERNEL,))
def check_delta_cost(delta_kernel, rng):
    """What the kernel moves, and what it compiles to."""
    O, dO = (normal(rng, 64, 64, dtype=torch.bfloat16) for _ in range(2))
    facts = moved(launch_delta, O, dO, kernel=delta_kernel)
    yield say("64 rows of 64 bfloat16 numbers: bytes read", "64 行，每行 64 个 bfloat16：读取的字节"), (
        lambda: facts["bytes_loaded"]), at_most(2 * 64 * 64 * 2)
    yield say("bytes written", "写入的字节"), lambda: facts["bytes_stored"], at_most(64 * 4)
    yield say("used share of the memory sectors", "内存扇区的利用率"), lambda: facts["sector_use"], at_least(0.99)
    yield (say("no spills and loads of 128 bits on sm_80", "sm_80 上没有溢出，读取宽度为 128 位"),
           lambda: compiled(launch_delta, O, dO, kernel=delta_kernel, kind="reduction", architectures=(80,)), exactly())


@check_delta_cost.mistake(
    say("The sum is right, but each load fetches a sector of 32 bytes and uses 2 of them. Which addresses do the lanes "
        "of one load have?",
        "和是对的，但每次读取都取来 32 字节的扇区，只用了其中 2 字节。同一次读取的各通道访问哪些地址？"),
)
@triton.jit
def delta_kernel(
    o_ptr, do_ptr, delta_ptr, n_rows, stride_o_row, stride_do_row,
    HEAD_DIM: tl.constexpr, BLOCK_ROWS: tl.constexpr, BLOCK_DIM: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    delta = tl.zeros((BLOCK_ROWS,), tl.float32)
    for c in range(0, HEAD_DIM):
        o = tl.load(o_ptr + row * stride_o_row + c, mask=row < n_rows, other=0.0)
        do = tl.load(do_ptr + row * stride_do_row + c, mask=row < n_rows, other=0.0)
        delta += o.to(tl.float32) * do.to(tl.float32)
    tl.store(delta_ptr + row, delta, mask=row < n_rows)


check_delta_cost.mistake(
    say("Every sector is used, yet the compiled loads are narrow. Neighbouring lanes, neighbouring addresses.",
        "每个扇区都用满了，编译出的读取却很窄。相邻的通道应当访问相邻的地址。"),
    within="delta_kernel", replace={"tl.arange(0, BLOCK_DIM)": "(tl.arange(0, BLOCK_DIM) * 17) % BLOCK_DIM"},
)
check_delta_cost.mistake(
    say("dO is read twice. What is loaded can be used as often as you like.", "dO 被读了两次。读进来的数想用几次就能用几次。"),
    within="delta_kernel",
    replace={"o.to(tl.float32) * do.to(tl.float32)":
             "o.to(tl.float32) * (tl.load(do_ptr + row[:, None] * stride_do_row + dim[None, :], mask=inside, other=0.0)"
             ".to(tl.float32) + do.to(tl.float32)) / 2"},
)


# -------------------------------------------------------------------------------------- quizzes


def letter(answers, key):
    return str(answers()[key]).strip().lower()


@check()
def check_order_quiz(order_quiz, rng):
    """Order and grid of the backward pass."""
    for q in range(1, 7):
        yield say(f"question {q}", f"第 {q} 题"), lambda: letter(order_quiz, f"q{q}"), choice()


@check()
def check_v1_blanks(v1_blanks, rng):
    """The loops of V1."""
    for b in range(1, 9):
        yield say(f"gap {b}", f"第 {b} 空"), lambda: letter(v1_blanks, f"b{b}"), choice()


@check()
def check_v2_quiz(v2_quiz, rng):
    """What V2 changed."""
    for q in range(1, 9):
        yield say(f"question {q}", f"第 {q} 题"), lambda: letter(v2_quiz, f"q{q}"), choice()


def confusion(check_, within, key, right, wrong, en, zh):
    check_.mistake(say(en, zh), within=within, replace={f'"{key}": "{right}"': f'"{key}": "{wrong}"'})


confusion(check_order_quiz, "order_quiz", "q1", "b", "c",
          "Question 1: which of the three gradients are sums over queries, which is a sum over keys?",
          "第 1 题：三个梯度中，哪些是对查询求和，哪个是对键求和？")
confusion(check_order_quiz, "order_quiz", "q2", "c", "d",
          "Question 2: along which loops are there thread blocks, and which loop runs inside one?",
          "第 2 题：线程块沿哪些循环展开，哪个循环在一个线程块之内？")
confusion(check_order_quiz, "order_quiz", "q6", "b", "a",
          "Question 6: draw 8 x 8 tiles. Count the diagonal, and what is below it.",
          "第 6 题：画出 8 x 8 个分块。数一数对角线上和对角线以下各有多少。")
confusion(check_v1_blanks, "v1_blanks", "b2", "c", "k",
          "Gaps 2 and 3: in V1, what stays on the chip while the inner loop runs?",
          "第 2、3 空：V1 的内层循环运行时，什么留在片上？")
confusion(check_v1_blanks, "v1_blanks", "b5", "m", "f",
          "Gap 5: if O_i does not stay on the chip, how often must it go back to memory?",
          "第 5 空：既然 O_i 不留在片上，它要多久写回一次显存？")
confusion(check_v1_blanks, "v1_blanks", "b8", "b", "j",
          "Gap 8: by what must exp(S) be divided to give the finished P, and in which form was that number kept?",
          "第 8 空：exp(S) 除以什么才得到最终的 P？这个数是以什么形式保存的？")
confusion(check_v2_quiz, "v2_quiz", "q1", "d", "b",
          "Question 1: look at the axes of the two grids. Which one is new?", "第 1 题：看两个网格的各轴。哪个是新的？")
confusion(check_v2_quiz, "v2_quiz", "q3", "c", "a",
          "Question 3: which operation is still needed at every step for numerical safety, and which can wait?",
          "第 3 题：哪个操作为了数值安全每一步都需要，哪个可以等到最后？")
confusion(check_v2_quiz, "v2_quiz", "q5", "a", "b",
          "Question 5: if each warp has some columns of P, what does it hold of O after P V?",
          "第 5 题：如果每个 warp 持有 P 的若干列，做完 P V 之后它手里是 O 的什么？")

EMPTY = "one block more, which is empty: it adds nothing"
OTHER = "what masked lanes get is multiplied with the 0 of the other load, or belongs to rows that are not stored"
EQUIVALENT = {
    "attention_delta: torch.promote_types(dO.dtype, torch.float32) -> torch.promote_types(torch.float32, dO.dtype)":
        "symmetric",
    "recompute_p: torch.promote_types(q.dtype, torch.float32) -> torch.promote_types(torch.float32, q.dtype)":
        "symmetric",
    "recompute_p: torch.ones(S.shape[-2:], dtype=torch.bool, device=S.device) -> torch.ones(S.shape[-2:], dtype=torch.bool)":
        "checks run on the CPU",
    "recompute_p: S.shape[-2:] -> S.shape[-3:]": "the mask of each head instead of one mask for all heads",
    "flash_backward: attention_delta(dO, O) -> attention_delta(O, dO)": "symmetric",
    "flash_backward: range(0, M, Bc) -> range(0, M + 1, Bc)": EMPTY,
    "flash_backward: range(first, N, Br) -> range(first, N + 1, Br)": EMPTY,
    "delta_kernel: inside = (row < n_rows)[:, None] & (dim < HEAD_DIM)[None, :] -> "
    "inside = -((row < n_rows)[:, None] & (dim < HEAD_DIM)[None, :])": "the negative of one bit is the bit itself",
    "delta_kernel: tl.load(o_ptr + row[:, None] * stride_o_row + dim[None, :], mask=inside, other=0.0) -> "
    "tl.load(o_ptr + row[:, None] * stride_o_row + dim[None, :], mask=inside, other=1.0)": OTHER,
    "delta_kernel: tl.load(do_ptr + row[:, None] * stride_do_row + dim[None, :], mask=inside, other=0.0) -> "
    "tl.load(do_ptr + row[:, None] * stride_do_row + dim[None, :], mask=inside, other=1.0)": OTHER,
}

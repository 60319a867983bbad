"""Checks of Day 31: what a matmul kernel computes, reads and becomes, and how it is timed.

The launchers stand here: a graded run sees graders but no solutions.
"""

import functools
import itertools

import numpy as np
import torch

from ladder.checks import at_least, check, close, raises, say
from ladder.kernel_judge.bridge import KERNEL, compiled, machine_code, report, strict, traced

CONFIGS = {  # compute capability: ((BLOCK_M, BLOCK_N, BLOCK_K), options); 0: no GPU, interpreted
    0: ((64, 64, 32), {}),
    80: ((128, 256, 64), dict(num_warps=8, num_stages=3)),
    90: ((128, 256, 64), dict(num_warps=8, num_stages=3)),
}


def configuration(device):
    """The blocks and options for ``device``: those of the newest architecture known that is not newer."""
    major, minor = torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)
    return CONFIGS[max((cc for cc in CONFIGS if cc <= 10 * major + minor), default=0)]


def output(a, b, dtype, gap):
    """Room for C; with a ``gap`` above 1, every ``gap``-th column of a larger matrix."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"A {tuple(a.shape)} and B {tuple(b.shape)} do not fit together")
    if a.dtype != b.dtype or a.device != b.device:
        raise ValueError("A and B must have one dtype and lie on one device")
    wide = torch.empty((a.shape[0], gap * b.shape[1]), dtype=dtype or a.dtype, device=a.device)
    return wide[:, ::gap]


def launch_tiles(a, b, *, kernel, blocks=(16, 16, 16), dtype=None, gap=1):
    """C = A B with ``matmul_tile_kernel``; the sizes must be multiples of ``blocks``."""
    BM, BN, BK = blocks
    (M, K), N = a.shape, b.shape[1]
    if M % BM or N % BN or K % BK:
        raise ValueError(f"M, N, K = {M}, {N}, {K} are no multiples of {BM}, {BN}, {BK}")
    c = output(a, b, dtype, gap)
    kernel[(M // BM, N // BN)](a, b, c, K, *a.stride(), *b.stride(), *c.stride(),
                               BLOCK_M=BM, BLOCK_N=BN, BLOCK_K=BK)
    return c


def launch_matmul(a, b, *, kernel, blocks=None, group=8, dtype=None, gap=1, **options):
    """C = A B with ``matmul_kernel``, for any sizes, with blocks from the table unless given."""
    chosen, usual = configuration(a.device)
    BM, BN, BK = blocks or chosen
    (M, K), N = a.shape, b.shape[1]
    c = output(a, b, dtype, gap)
    kernel[(-(-M // BM) * -(-N // BN),)](
        a, b, c, M, N, K, *a.stride(), *b.stride(), *c.stride(),
        BLOCK_M=BM, BLOCK_N=BN, BLOCK_K=BK, GROUP_M=group, **(usual | options))
    return c


def tile_owners(kernel, tiles_m, tiles_n, group):
    """Which program wrote each tile of C, (tiles_m, tiles_n), in a strict run with tiles of 16."""
    a, b = torch.ones(16 * tiles_m, 16).half(), torch.ones(16, 16 * tiles_n).half()
    found = traced(launch_matmul, a, b, kernel=kernel, blocks=(16, 16, 16), group=group)
    owner = np.full(256 * tiles_m * tiles_n, -1)
    for access in found.trace:
        if access.argument == "c_ptr" and access.kind == "store":
            owner[access.places] = access.program
    return owner.reshape(16 * tiles_m, -1)[::16, ::16]


def seen(launcher, *args, **kwargs):
    """One strict run for several observations: its outputs, or one of its counts."""
    @functools.cache
    def run():
        return report(launcher, *args, **kwargs)

    def look(fact=None):
        run().raise_first()
        return run().outputs if fact is None else run().facts[fact]

    return look


def halves(rng, *shape, dtype=torch.float16):
    return torch.from_numpy(rng.normal(size=shape)).to(dtype)


def positive(rng, *shape):
    return torch.from_numpy(rng.uniform(0.5, 1.5, size=shape)).half()


@check(forbids=(KERNEL,))
def check_tile_kernel(matmul_tile_kernel, rng):
    """Whole tiles, interpreted strictly: values, strides, the accumulator, and what is read."""
    f32 = torch.float32
    a, b = halves(rng, 16, 16), halves(rng, 16, 32)
    yield say("one tile, one step: C (16, 32), K = 16", "一个 tile，一步：C (16, 32)，K = 16"), lambda: strict(
        launch_tiles, a, b, kernel=matmul_tile_kernel, blocks=(16, 32, 16), dtype=f32)
    a, b = halves(rng, 16, 48), halves(rng, 48, 16)
    yield say("one tile, three steps along K", "一个 tile，沿 K 走三步"), lambda: strict(
        launch_tiles, a, b, kernel=matmul_tile_kernel, dtype=f32)
    a, b = halves(rng, 32, 16), halves(rng, 16, 96)
    grid = seen(launch_tiles, a, b, kernel=matmul_tile_kernel, blocks=(16, 32, 16), dtype=f32)
    yield say("2 by 3 tiles, one step", "2 × 3 个 tile，一步"), grid
    yield say("the same: FLOPs in tl.dot", "同上：tl.dot 中的 FLOPs"), lambda: grid("dot_flops")
    yield say("the same: bytes read", "同上：读取的字节数"), lambda: grid("bytes_loaded")
    yield (say("the same: share of each memory sector that is used", "同上：每个内存扇区的利用率"),
           lambda: grid("sector_use"), at_least(0.99))
    a, b = halves(rng, 16, 16, dtype=torch.bfloat16).T, halves(rng, 32, 32, dtype=torch.bfloat16)[::2, :16]
    yield (say("bfloat16; A transposed, B every second row of a wider matrix",
               "bfloat16；A 是转置视图，B 是更宽矩阵的隔行视图"),
           lambda: strict(launch_tiles, a, b, kernel=matmul_tile_kernel))
    a, b = halves(rng, 16, 16), halves(rng, 16, 16)
    yield (say("C is every third column of a wider matrix", "C 是更宽矩阵中每隔三列的一列"),
           lambda: strict(launch_tiles, a, b, kernel=matmul_tile_kernel, gap=3))
    a, b = positive(rng, 16, 256), positive(rng, 256, 16)
    yield (say("K = 256, positive float16 numbers, C in float32", "K = 256，全为正的 float16 数，C 为 float32"),
           lambda: strict(launch_tiles, a, b, kernel=matmul_tile_kernel, blocks=(16, 16, 128), dtype=f32),
           close(rtol=2e-5, atol=0.0))
    a, b = 64 * positive(rng, 16, 64), 64 * positive(rng, 64, 16)
    yield (say("sums above 65504, the largest float16", "和超过 65504，即最大的 float16"),
           lambda: strict(launch_tiles, a, b, kernel=matmul_tile_kernel, blocks=(16, 16, 32), dtype=f32))


check_tile_kernel.mistake(
    say("Short sums are right; long ones are off by far more than float32 rounds, large ones overflow. In which "
        "type are the sums kept between steps?",
        "短的和是对的；长的和误差远大于 float32 的舍入，大的和则溢出。各步之间，和以什么类型保存？"),
    within="matmul_tile_kernel",
    replace={"(BLOCK_M, BLOCK_N), tl.float32": "(BLOCK_M, BLOCK_N), tl.float16", "tl.load(b), acc)":
             "tl.load(b), acc, out_dtype=tl.float16)"},
)
check_tile_kernel.mistake(
    say("With one tile all is well, with 2 by 3 the program leaves the matrices. Which axis of the grid counts "
        "what?",
        "只有一个 tile 时没问题，2 × 3 个 tile 时程序越出了矩阵。网格的哪个轴数的是什么？"),
    within="matmul_tile_kernel",
    replace={"row = tl.program_id(0)": "row = tl.program_id(1)", "col = tl.program_id(1)": "col = tl.program_id(0)"},
)
check_tile_kernel.mistake(
    say("Plain row-major matrices work, transposed views and wider matrices do not. Which strides are missing from "
        "your addresses?",
        "普通的行主序矩阵没问题，转置视图和更宽的矩阵就不对。你的地址里缺了哪些步长？"),
    within="matmul_tile_kernel",
    replace={"col[None, :] * stride_bn": "col[None, :]", "k[None, :] * stride_ak": "k[None, :]",
             "a += BLOCK_K * stride_ak": "a += BLOCK_K"},
)
check_tile_kernel.mistake(
    say("One step is right, several are not: what does the accumulator hold after the second step?",
        "一步是对的，多步就不对：第二步之后，累加器里是什么？"),
    within="matmul_tile_kernel", replace={"tl.load(b), acc)": "tl.load(b))"},
)


@check()
def check_tile_intensity(tile_intensity, rng):
    """FLOPs for each byte that a step along K reads."""
    for BM, BN, BK, itemsize in ((16, 16, 16, 2), (128, 128, 32, 2), (128, 128, 64, 2), (64, 256, 32, 2),
                                 (128, 64, 32, 4), (1, 64, 64, 2), (128, 256, 64, 1)):
        yield (say(f"tiles ({BM}, {BK}) and ({BK}, {BN}), {itemsize} bytes a number",
                   f"tile ({BM}, {BK}) 和 ({BK}, {BN})，每个数 {itemsize} 字节"),
               lambda: tile_intensity(BM, BN, BK, itemsize))


check_tile_intensity.mistake(
    say("Exactly half. What does a tensor core do with each pair of numbers?", "恰好少了一半。对每一对数要做哪些运算？"),
    within="tile_intensity", replace={"2 * BM": "BM"},
)
check_tile_intensity.mistake(
    say("You count FLOPs for each number read. How many bytes is that?", "你算的是每读一个数的 FLOPs。一个数有几个字节？"),
    within="tile_intensity", replace={" * itemsize": ""},
)
check_tile_intensity.mistake(
    say("Only one of the two tiles that a step reads is in your count.", "一步要读两个 tile，你只数了一个。"),
    within="tile_intensity", replace={"BM * BK + BK * BN": "BM * BK"},
)


@check()
def check_grouped_order(grouped_order, rng):
    """The tile of each program."""
    for tiles_m, tiles_n, group in ((2, 3, 2), (4, 3, 2), (3, 4, 1), (3, 4, 5), (5, 3, 2), (7, 4, 3), (1, 6, 4)):
        yield (say(f"{tiles_m} by {tiles_n} tiles, GROUP_M = {group}: all programs in turn",
                   f"{tiles_m} × {tiles_n} 个 tile，GROUP_M = {group}：依次列出所有程序"),
               lambda: [list(grouped_order(p, tiles_m, tiles_n, group)) for p in range(tiles_m * tiles_n)])
    yield (say("type of m and n", "m 与 n 的类型"),
           lambda: [type(i).__name__ for i in grouped_order(5, 5, 3, 2)])


check_grouped_order.mistake(
    say("Within a group you go along each row, which is no grouping at all. Which neighbours should be made first, so "
        "that tiles of B are used again at once?",
        "组内你是沿着行走的，这等于没有分组。为了让 B 的 tile 立刻被再次使用，应该先做哪个方向的邻居？"),
    within="grouped_order",
    replace={"first + inside % height, inside // height": "first + inside // tiles_n, inside % tiles_n"},
)
check_grouped_order.mistake(
    say("It works while GROUP_M divides the number of tile rows. How many rows has the last group?",
        "GROUP_M 整除 tile 行数时没问题。最后一组有几行？"),
    within="grouped_order", replace={"min(tiles_m - first, GROUP_M)": "GROUP_M"},
)
check_grouped_order.mistake(
    say("The second group begins at the wrong tile. How many programs does one group have?",
        "第二组的起点不对。一组有多少个程序？"),
    within="grouped_order",
    replace={"pid // (GROUP_M * tiles_n)": "pid // (GROUP_M * tiles_m)"},
)


def by_rows(tiles_m, tiles_n):
    return list(itertools.product(range(tiles_m), range(tiles_n)))


@check()
def check_l2_traffic(l2_traffic, rng):
    """Misses of an LRU cache of tiles."""
    yield (say("one program, three steps, room for 9 tiles", "一个程序，三步，缓存可放 9 个 tile"),
           lambda: l2_traffic([(0, 0)], 3, 9))
    yield (say("two programs of one tile row, one step, room for 9", "同一行的两个程序，一步，可放 9 个"),
           lambda: l2_traffic([(0, 0), (0, 1)], 1, 9))
    yield (say("tiles A(1, 0) and B(0, 1) are not the same tile: program (1, 1), two steps",
               "A(1, 0) 与 B(0, 1) 不是同一个 tile：程序 (1, 1)，两步"),
           lambda: l2_traffic([(1, 1)], 2, 9))
    order = by_rows(3, 4)
    for cache in (1, 2, 3, 4, 5, 7, 12, 100):
        yield (say(f"3 by 4 tiles row by row, 2 steps, one at a time, room for {cache}",
                   f"3 × 4 个 tile 逐行，2 步，每次一个，可放 {cache} 个"),
               lambda: l2_traffic(list(order), 2, cache))
    for wave in (2, 4, 5, 12, 50):
        yield (say(f"the same in waves of {wave}, room for 6", f"同上，每波 {wave} 个，可放 6 个"),
               lambda: l2_traffic(list(order), 2, 6, wave))
    mixed = [order[i] for i in rng.permutation(12)]
    for cache, wave in ((4, 1), (7, 3), (8, 5)):
        yield (say(f"the same tiles in random order, 3 steps, waves of {wave}, room for {cache}",
                   f"同样的 tile 随机次序，3 步，每波 {wave} 个，可放 {cache} 个"),
               lambda: l2_traffic(list(mixed), 3, cache, wave=wave))


check_l2_traffic.mistake(
    say("You drop the tile that came in first. Which one does an LRU cache drop, and what does a hit change?",
        "你丢掉的是最早进来的 tile。LRU 缓存丢哪一个？命中会改变什么？"),
    within="l2_traffic", replace={"cache.move_to_end(tile)": "pass"},
)
@check_l2_traffic.mistake(
    say("In a wave you let one program finish before the next begins. What do all of them do first?",
        "同一波里，你让一个程序做完才轮到下一个。它们首先一起做什么？"),
)
def l2_traffic(order, tiles_k, cache_tiles, wave=1):
    cache, misses = [], 0
    for m, n in order:
        for tile in (t for k in range(tiles_k) for t in (("A", m, k), ("B", k, n))):
            misses += tile not in cache
            if tile in cache:
                cache.remove(tile)
            cache = [*cache, tile][-cache_tiles:]
    return misses


check_l2_traffic.mistake(
    say("Between waves your cache is emptied. Who would do that on a GPU?", "你在两波之间清空了缓存。GPU 上会有谁这样做？"),
    within="l2_traffic",
    replace={"for start in range(0, len(order), wave):": "for start in range(0, len(order), wave):\n        cache.clear()"},
)
check_l2_traffic.mistake(
    say("A tile of A and a tile of B with the same two numbers are taken for one.",
        "编号相同的 A 的 tile 和 B 的 tile 被当成了同一个。"),
    within="l2_traffic", replace={'("A", m, k), ("B", k, n)': "(m, k), (k, n)"},
)


@check(forbids=(KERNEL,))
def check_matmul_ragged(matmul_kernel, rng):
    """Any M, N and K, interpreted strictly."""
    f32 = torch.float32
    run = functools.partial(strict, launch_matmul, kernel=matmul_kernel, blocks=(16, 16, 16), group=2)
    for M, N, K in ((9, 16, 16), (16, 9, 16), (16, 16, 9), (1, 1, 1)):
        a, b = halves(rng, M, K), halves(rng, K, N)
        yield (say(f"one program with blocks of 16: M, N, K = {M}, {N}, {K}",
                   f"一个程序，块为 16：M, N, K = {M}, {N}, {K}"), lambda: run(a, b, dtype=f32))
    a, b = halves(rng, 20, 23), halves(rng, 23, 37)
    yield (say("2 by 2 tiles, two steps: M, N, K = 20, 37, 23", "2 × 2 个 tile，两步：M, N, K = 20, 37, 23"),
           lambda: run(a, b, blocks=(16, 32, 16), dtype=f32))
    a, b = halves(rng, 5, 32), halves(rng, 32, 4)
    yield (say("K = 32, two steps of 16: FLOPs in tl.dot", "K = 32，两步，每步 16：tl.dot 中的 FLOPs"),
           lambda: report(launch_matmul, a, b, kernel=matmul_kernel, blocks=(16, 16, 16)).facts["dot_flops"])
    a = halves(rng, 18, 21, dtype=torch.bfloat16).T[:, :17]
    b = halves(rng, 36, 30, dtype=torch.bfloat16)[1:35:2, ::3]
    yield (say("bfloat16 views with odd strides; C every second column of a wider matrix",
               "bfloat16，步长特殊的视图；C 是更宽矩阵的隔列视图"), lambda: run(a, b, gap=2))
    a, b = 64 * positive(rng, 3, 70), 64 * positive(rng, 70, 5)
    yield (say("sums above 65504, the largest float16", "和超过 65504，即最大的 float16"),
           lambda: run(a, b, blocks=(16, 16, 32), dtype=f32))


@check_matmul_ragged.hidden
def _(matmul_kernel, rng):
    for (M, N, K), blocks, group in (((33, 17, 25), (32, 16, 32), 3), ((15, 50, 21), (16, 64, 16), 1)):
        a, b = halves(rng, M, K), halves(rng, K, N)
        yield (say(f"M, N, K = {M}, {N}, {K}, blocks {blocks}", f"M, N, K = {M}, {N}, {K}，块 {blocks}"),
               lambda: strict(launch_matmul, a, b, kernel=matmul_kernel, blocks=blocks, group=group))


check_matmul_ragged.mistake(
    say("M and N may be anything, but K may not: what does the last step along K read when K is no multiple of "
        "BLOCK_K?",
        "M、N 任意都行，K 却不行：K 不是 BLOCK_K 的倍数时，沿 K 的最后一步读到了什么？"),
    within="matmul_kernel",
    replace={"in_row & (k[None, :] < left)": "in_row", "(k[:, None] < left) & in_col": "in_col"},
)
check_matmul_ragged.mistake(
    say("One column too many at the right edge. Which columns exist if there are N?",
        "右边缘多了一列。共有 N 列时，有效的列号是哪些？"),
    within="matmul_kernel", replace={"col[None, :] < N": "col[None, :] <= N"},
)
check_matmul_ragged.mistake(
    say("What you read is guarded, what you write is not.", "读取有保护，写入没有。"),
    within="matmul_kernel",
    replace={"acc.to(c_ptr.dtype.element_ty), mask=in_row & in_col": "acc.to(c_ptr.dtype.element_ty)"},
)


@check(forbids=(KERNEL,))
def check_matmul_order(matmul_kernel, rng):
    """Which program makes which tile."""
    for tiles_m, tiles_n, group in ((3, 2, 2), (2, 3, 8)):
        yield (say(f"{tiles_m} by {tiles_n} tiles, GROUP_M = {group}: the program of each tile",
                   f"{tiles_m} × {tiles_n} 个 tile，GROUP_M = {group}：每个 tile 由哪个程序完成"),
               lambda: tile_owners(matmul_kernel, tiles_m, tiles_n, group))


check_matmul_order.mistake(
    say("Programs go row by row whatever GROUP_M is.", "无论 GROUP_M 是多少，程序都是逐行进行的。"),
    within="matmul_kernel",
    replace={"(first + inside % height)": "(pid // tiles_n)", "(inside // height)": "(pid % tiles_n)"},
)
check_matmul_order.mistake(
    say("When the last group has fewer rows, some tiles are made twice or never. Compare with grouped_order.",
        "最后一组行数较少时，有的 tile 做了两次，有的一次也没做。请与 grouped_order 对照。"),
    within="matmul_kernel", replace={"tl.minimum(tiles_m - first, GROUP_M)": "GROUP_M"},
)
check_matmul_order.mistake(
    say("The second group starts at the wrong program. How many programs make one group of tile rows?",
        "第二组从错误的程序开始。一组 tile 行共有多少个程序？"),
    within="matmul_kernel", replace={"pid // (GROUP_M * tiles_n)": "pid // (GROUP_M * tiles_m)"},
)


@check(forbids=(KERNEL,))
def check_matmul_compiled(matmul_kernel, rng):
    """Compiled for sm_80: tensor cores, no spills, wide loads, asynchronous copies."""
    a, b = halves(rng, 16, 16), halves(rng, 16, 16)
    given = dict(kernel=matmul_kernel, blocks=(128, 128, 32), num_warps=8, num_stages=3)
    yield (say("blocks 128, 128, 32, 8 warps, on sm_80", "块 128, 128, 32，8 个 warp，sm_80"),
           lambda: compiled(launch_matmul, a, b, **given, kind="matmul", architectures=(80,)))
    yield (say("share of global loads that are 128 bits wide", "全局读取指令中 128 位宽的比例"),
           lambda: machine_code(launch_matmul, a, b, **given)["wide_share"], at_least(0.9))


check_matmul_compiled.mistake(
    say("Right, but no tensor core is used: in which type do the operands of tl.dot reach it?",
        "结果正确，却没有用到张量核心：tl.dot 的操作数以什么类型、什么精度参与运算？"),
    within="matmul_kernel",
    replace={"k[None, :] < left), other=0.0)": "k[None, :] < left), other=0.0).to(tl.float32)",
             "in_col, other=0.0), acc)": "in_col, other=0.0).to(tl.float32), acc, input_precision='ieee')"},
)
check_matmul_compiled.mistake(
    say("Nothing is copied ahead: the compiler overlaps the copies of later steps only with loops whose range it can see.",
        "没有提前拷贝：只有能看出循环范围时，编译器才会让后续步骤的拷贝与计算重叠。"),
    within="matmul_kernel",
    replace={"for start in range(0, K, BLOCK_K):": "start = 0\n    while start < K:",
             "b += BLOCK_K * stride_bk": "b += BLOCK_K * stride_bk\n        start += BLOCK_K"},
)
check_matmul_compiled.mistake(
    say("Some loads move 16 bits at a time. Do neighbouring lanes of a tile have neighbouring addresses, in rising order?",
        "有些读取每次只有 16 位。一个 tile 中相邻通道的地址是否相邻、并且递增？"),
    within="matmul_kernel",
    replace={"tl.arange(0, BLOCK_N)": "(BLOCK_N - 1 - tl.arange(0, BLOCK_N))"},
)


class Bench:
    """Two functions, inputs and a clock that tell afterwards what happened."""

    def __init__(self, ours, theirs, error=0.0):
        self.calls, self.made, self.ticking, self.made_inside = [], 0, False, 0
        self.times = {"f": iter(ours), "b": iter(theirs)}
        self.error = error

    def inputs(self):
        self.made += 1
        self.made_inside += self.ticking
        return torch.tensor([float(self.made), 2.0]), torch.tensor([1.0, 3.0])

    def called(self, who, x, y):
        self.calls.append((who, int(x[0]), self.ticking))
        return x * y * (1 + (self.error if who == "f" else 0.0))

    def fn(self, x, y):
        return self.called("f", x, y)

    def baseline(self, x, y):
        return self.called("b", x, y)

    def clock(self, call):
        before, self.ticking = len(self.calls), True
        call()
        self.ticking = False
        mine = self.calls[before:]
        return next(self.times[mine[0][0]]) if len(mine) == 1 else float("nan")


@check()
def check_benchmark(benchmark, rng):
    """The protocol, with a clock that is made up; and what is said without a GPU."""
    ours = [9.0, 2.0, 4.0, 2.5, 80.0]
    theirs = [3.0, 1.5, 1.0, 70.0, 2.0]

    def bench(repeats=5, error=0.0, warmup=3, **more):
        made = Bench(ours[:repeats], theirs[:repeats], error)
        result = benchmark(made.fn, made.baseline, made.inputs, 2e9, warmup=warmup, repeats=repeats,
                           clock=made.clock, **more)
        return made, result

    def timed(made):
        return [(who, number) for who, number, ticking in made.calls if ticking]

    def seen_before(made):
        early = {number for _, number, ticking in made.calls if not ticking}
        return sum(number in early for _, number in timed(made))

    for name, zh in (("state", "状态"), ("ms", "fn 的时间"), ("baseline_ms", "baseline 的时间"),
                     ("tflops", "每秒 10¹² FLOPs"), ("ratio", "速度之比")):
        yield (say(f"fn takes {ours} ms, baseline {theirs} ms, 2·10⁹ FLOPs: {name}",
                   f"fn 用时 {ours} ms，baseline {theirs} ms，2·10⁹ FLOPs：{name}（{zh}）"), lambda: bench()[1][name])
    yield say("four repeats: ms and baseline_ms", "重复四次：ms 与 baseline_ms"), lambda: [
        bench(4)[1][name] for name in ("ms", "baseline_ms")]
    yield say("names of the result", "结果中的名称"), lambda: sorted(bench()[1])
    yield (say("calls by the clock in turn (f: fn, b: baseline)", "计时调用的次序（f：fn，b：baseline）"),
           lambda: "".join(who for who, _ in timed(bench()[0])))
    yield (say("sets of inputs that the timed calls saw", "计时调用见过的输入组数"),
           lambda: len({number for _, number in timed(bench()[0])}))
    yield (say("inputs of timed calls that an earlier call had seen", "计时调用所用、而之前的调用已见过的输入组数"), lambda: seen_before(bench()[0]))
    yield say("inputs made while the clock runs", "计时期间生成的输入组数"), lambda: bench()[0].made_inside
    for warmup in (0, 2):
        yield (say(f"warmup = {warmup}: calls of fn and of baseline before the clock starts",
                   f"warmup = {warmup}：开始计时之前 fn 与 baseline 的调用次数"),
               lambda: [sum(who == name and not ticking for who, _, ticking in bench(warmup=warmup)[0].calls)
                        for name in "fb"])
    yield (say("fn is 2 % off: an error", "fn 偏离 2 %：报错"), lambda: bench(error=0.02)[1], raises(ValueError))
    yield (say("fn is 2 % off, tolerance 0.05", "fn 偏离 2 %，tolerance 为 0.05"),
           lambda: bench(error=0.02, tolerance=0.05)[1]["state"])
    yield say("fn gives NaN: an error", "fn 得到 NaN：报错"), lambda: bench(error=float("nan"))[1], raises(ValueError)
    if not torch.cuda.is_available():
        none = Bench([], [])
        yield (say("no clock given, no GPU here: the result, and how often something was called",
                   "没有给 clock，这里也没有 GPU：返回值，以及调用次数"),
               lambda: [benchmark(none.fn, none.baseline, none.inputs, 2e9), len(none.calls), none.made])


check_benchmark.mistake(
    say("A single slow call moves your time. Which summary does the task ask for?", "一次偶然的慢调用就改变了你的结果。题目要求用哪种统计量？"),
    within="benchmark", replace={"map(statistics.median, times)": "map(statistics.mean, times)"},
)
check_benchmark.mistake(
    say("A call that gets the same tensors again finds them in the cache.", "再次拿到同样张量的调用会在缓存里找到它们。"),
    within="benchmark",
    replace={"            inputs = make_inputs()\n            taken": "            taken"},
)
check_benchmark.mistake(
    say("The ratio is upside down: a faster fn should score above 1.", "比值颠倒了：fn 更快时应当大于 1。"),
    within="benchmark", replace={"baseline_ms / ms": "ms / baseline_ms"},
)
check_benchmark.mistake(
    say("A wrong result is timed as if it were right.", "错误的结果也照样计时，好像它是对的。"),
    within="benchmark", replace={'raise ValueError("fn and baseline do not agree")': "pass"},
)


WHOLE = "K is a multiple of BLOCK_K >= 16, so the number of steps stays the same"
EITHER = "the other operand's masked lanes are zero, and masked rows and columns are not stored"
EQUIVALENT = {
    "matmul_tile_kernel: range(0, K, BLOCK_K) -> range(0, K - 1, BLOCK_K)": WHOLE,
    "matmul_tile_kernel: range(0, K, BLOCK_K) -> range(1, K, BLOCK_K)": WHOLE,
    "l2_traffic: range(0, len(order), wave) -> range(0, len(order) + 1, wave)": "a last wave of no program",
    "matmul_kernel: inside // height -> inside / height":
        "truncated by the conversion to int64 that follows; exact below 2**24 tiles",
    "matmul_kernel: tl.load(a, mask=in_row & (k[None, :] < left), other=0.0) -> "
    "tl.load(a, mask=in_row & (k[None, :] < left), other=1.0)": EITHER,
    "matmul_kernel: tl.load(b, mask=(k[:, None] < left) & in_col, other=0.0) -> "
    "tl.load(b, mask=(k[:, None] < left) & in_col, other=1.0)": EITHER,
    "benchmark: clock = cuda_clock -> (removed)": "needs a GPU",
    "benchmark: (ours - theirs).norm() <= tolerance * theirs.norm() -> "
    "(ours - theirs).norm() < tolerance * theirs.norm()": "they differ by rounding where they differ",
    "benchmark: ours - theirs -> theirs - ours": "their norms are equal",
}

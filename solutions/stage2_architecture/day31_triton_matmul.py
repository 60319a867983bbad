"""A tiled matrix product in Triton, the order of its tiles, and what both cost.

    C[i, j] = Σ_k A[i, k] B[k, j],      A (M, K), B (K, N)

A program makes one tile of C, (BLOCK_M, BLOCK_N). Along K it reads tiles of A and of B and adds their
product to an accumulator, as blocked products do since Goto and van de Geijn, "Anatomy of
High-Performance Matrix Multiplication" (ACM TOMS 34(3), 2008); the language is that of Tillet, Kung and
Cox, "Triton" (MAPL 2019). The products cost 2·M·N·K FLOPs. All programs together read

    M·N·K·(1/BLOCK_M + 1/BLOCK_N)·itemsize bytes,

of which the L2 cache should serve most: that is what the order of the tiles is for. Left out: split-K,
persistent programs, tensor descriptors (Hopper's TMA), autotuning.
"""

import statistics
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ladder.triton import tl, triton


@triton.jit
def matmul_tile_kernel(
    a_ptr, b_ptr, c_ptr, K,
    stride_am, stride_ak, stride_bk, stride_bn, stride_cm, stride_cn,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):
    """Program (i, j) makes the tile in tile row i and tile column j of C = A B.

    The grid is (M // BLOCK_M, N // BLOCK_N): axis 0 counts tile rows, axis 1 tile columns. M, N and K are
    multiples of BLOCK_M, BLOCK_N and BLOCK_K, so there is nothing to mask. The tile holds rows
    i·BLOCK_M ... (i + 1)·BLOCK_M − 1 and columns j·BLOCK_N ... (j + 1)·BLOCK_N − 1.

    Element A[r, k] lies at ``a_ptr + r * stride_am + k * stride_ak``, B[k, c] at
    ``b_ptr + k * stride_bk + c * stride_bn``, C[r, c] at ``c_ptr + r * stride_cm + c * stride_cn``. Nothing
    else is known of the strides: A may be a transposed view, C may be a part of a larger matrix.

    A and B are float16 or both bfloat16. Products are summed in float32 over all of K, with ``tl.dot``, and
    rounded once at the end, to the type of C (float32, float16 or bfloat16). Every element of A's tile row
    and of B's tile column is read once, a tile (BLOCK_M, BLOCK_K) and a tile (BLOCK_K, BLOCK_N) at a time.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    col = tl.program_id(1).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    a = a_ptr + row[:, None] * stride_am + k[None, :] * stride_ak               # (BM, BK)
    b = b_ptr + k[:, None] * stride_bk + col[None, :] * stride_bn               # (BK, BN)
    acc = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for _ in range(0, K, BLOCK_K):
        acc = tl.dot(tl.load(a), tl.load(b), acc)
        a += BLOCK_K * stride_ak
        b += BLOCK_K * stride_bk
    tl.store(c_ptr + row[:, None] * stride_cm + col[None, :] * stride_cn,
             acc.to(c_ptr.dtype.element_ty))


def tile_intensity(BM: int, BN: int, BK: int, itemsize: int) -> float:
    """FLOPs for each byte that a program reads, in one step along K.

    In a step it reads a tile (BM, BK) of A and a tile (BK, BN) of B, ``itemsize`` bytes a number, and adds
    their product to its accumulator: a multiplication and an addition for each of BM·BN·BK pairs. What it
    writes at the end is not counted.
    """
    return 2 * BM * BN * BK / ((BM * BK + BK * BN) * itemsize)


def grouped_order(pid: int, tiles_m: int, tiles_n: int, GROUP_M: int) -> tuple[int, int]:
    """Which tile (m, n) of C program ``pid`` makes, 0 <= pid < tiles_m·tiles_n, in grouped order.

    C has ``tiles_m`` rows of ``tiles_n`` tiles. Every GROUP_M tile rows, from the top, are a group; the last
    group has the rows that are left, maybe fewer. Groups follow one another from top to bottom. Within a
    group programs go down each tile column before the next one to the right: with GROUP_M = 2 and 2 rows
    of 3 tiles the order is (0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2).

    Returns Python ints. GROUP_M = 1 is row by row; GROUP_M >= tiles_m is column by column.
    """
    first = pid // (GROUP_M * tiles_n) * GROUP_M
    height = min(tiles_m - first, GROUP_M)
    inside = pid - first * tiles_n
    return first + inside % height, inside // height


def l2_traffic(
    order: Sequence[tuple[int, int]], tiles_k: int, cache_tiles: int, wave: int = 1
) -> int:
    """How many tiles of A and B must come from memory, because an LRU cache does not hold them.

    ``order[p]`` is the tile (m, n) of C that program p makes. To make it, the program takes ``tiles_k``
    steps; in step k = 0, 1, ... it reads the tile (m, k) of A, then the tile (k, n) of B. All tiles are of
    one size. Programs run in waves of ``wave``: the first ``wave`` programs of ``order``, then the next, and so on;
    the last wave may be smaller. Within a wave all programs, in the order of ``order``, take step 0, then
    all of them take step 1, and so on; the next wave starts after the last step.

    The cache holds ``cache_tiles`` >= 1 tiles and is empty at first. A read of a tile in it is a hit and costs
    nothing. Any other read is a miss: it brings the tile in, in place of the one whose last read (hit or miss)
    is longest ago, if the cache is full. Returns the number of misses, an int. What is written to C is not
    counted.
    """
    cache: OrderedDict[tuple, None] = OrderedDict()
    misses = 0
    for start in range(0, len(order), wave):
        for k in range(tiles_k):
            for m, n in order[start:start + wave]:
                for tile in (("A", m, k), ("B", k, n)):
                    if tile in cache:
                        cache.move_to_end(tile)
                        continue
                    misses += 1
                    if len(cache) == cache_tiles:
                        cache.popitem(last=False)
                    cache[tile] = None
    return misses


@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K,
    stride_am, stride_ak, stride_bk, stride_bn, stride_cm, stride_cn,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):
    """Program ``pid`` makes tile ``grouped_order(pid, ...)`` of C = A B, for any M, N, K >= 1.

    The grid has one axis, of tiles_m·tiles_n programs with tiles_m = ⌈M / BLOCK_M⌉ and
    tiles_n = ⌈N / BLOCK_N⌉. Tiles are taken in the grouped order of ``grouped_order``, with GROUP_M tile rows
    a group; a kernel cannot call that function.

    Strides, types, ``tl.dot`` and the float32 accumulator are as in ``matmul_tile_kernel``. Tiles at the right
    and lower edge may stick out of C, and the last step along K may stick out of A and B: nothing outside of the
    three matrices is read or written, whatever lies there (other numbers, NaN) has no part in C, and every
    element of C is written once. A program takes ⌈K / BLOCK_K⌉ steps along K, no more.

    Compiled for sm_80, for sizes and strides that are multiples of 16, it uses tensor cores, spills no register, at
    least 90 % of its load instructions are 128 bits wide, and asynchronous copies fetch the tiles of later steps.
    """
    pid = tl.program_id(0)
    tiles_m, tiles_n = tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N)
    first = pid // (GROUP_M * tiles_n) * GROUP_M
    height = tl.minimum(tiles_m - first, GROUP_M)
    inside = pid - first * tiles_n
    row = (first + inside % height).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    col = (inside // height).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    in_row, in_col = row[:, None] < M, col[None, :] < N
    a = a_ptr + row[:, None] * stride_am + k[None, :] * stride_ak               # (BM, BK)
    b = b_ptr + k[:, None] * stride_bk + col[None, :] * stride_bn               # (BK, BN)
    acc = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        left = K - start
        acc = tl.dot(tl.load(a, mask=in_row & (k[None, :] < left), other=0.0),
                     tl.load(b, mask=(k[:, None] < left) & in_col, other=0.0), acc)
        a += BLOCK_K * stride_ak
        b += BLOCK_K * stride_bk
    tl.store(c_ptr + row[:, None] * stride_cm + col[None, :] * stride_cn,
             acc.to(c_ptr.dtype.element_ty), mask=in_row & in_col)


def cuda_clock(call: Callable[[], Any]) -> float:
    """Milliseconds that the GPU takes for one ``call()``, with nothing of its inputs left in the L2 cache."""
    torch.cuda.synchronize()
    torch.empty(2**28, dtype=torch.int8, device="cuda").zero_()  # 256 MB, and work to queue the launch behind
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def benchmark(
    fn: Callable[..., torch.Tensor], baseline: Callable[..., torch.Tensor],
    make_inputs: Callable[[], tuple], flops: float, warmup: int = 3, repeats: int = 10,
    clock: Callable[[Callable[[], Any]], float] | None = None, tolerance: float = 1e-2,
) -> dict[str, Any]:
    """How fast ``fn`` is beside ``baseline``, measured in one run; both take the tensors of ``make_inputs()``.

    ``clock(call)`` carries out ``call()`` once and returns its time in milliseconds. With ``clock=None`` it is
    ``cuda_clock`` on a machine with a GPU; on one without, nothing is called at all and the result is a dict of
    one entry, ``"state"``, which is ``"not checked: needs a GPU"``.

    1. On one set of inputs both are called, without the clock. If ‖fn − baseline‖ > tolerance·‖baseline‖ (norms over all
       entries, in float64), or the difference is not finite, raise ValueError: a wrong result has no speed.
    2. ``warmup`` rounds: ``fn``, then ``baseline``, without the clock.
    3. ``repeats`` rounds: ``fn``, then ``baseline``, each by the clock.

    Every call in rounds gets inputs of its own, made by ``make_inputs()`` outside of the clock, so that no call finds
    its data in a cache. The time of each is the median of its ``repeats`` times (of an even number: the mean of the
    middle two). Returns ``{"state": "measured", "ms": ..., "baseline_ms": ..., "tflops": ..., "ratio": ...}``: the two
    times, 10¹² FLOPs a second that ``fn`` reaches if one call takes ``flops`` FLOPs, and the speed of ``fn`` as a
    multiple of that of ``baseline`` (above 1: ``fn`` is faster).
    """
    if clock is None:
        if not torch.cuda.is_available():
            return {"state": "not checked: needs a GPU"}
        clock = cuda_clock
    inputs = make_inputs()
    ours, theirs = fn(*inputs).double(), baseline(*inputs).double()
    if not (ours - theirs).norm() <= tolerance * theirs.norm():
        raise ValueError("fn and baseline do not agree")
    for _ in range(warmup):
        fn(*make_inputs())
        baseline(*make_inputs())
    times: tuple[list[float], list[float]] = [], []
    for _ in range(repeats):
        for function, taken in zip((fn, baseline), times, strict=True):
            inputs = make_inputs()
            taken.append(clock(lambda function=function, inputs=inputs: function(*inputs)))
    ms, baseline_ms = map(statistics.median, times)
    return {"state": "measured", "ms": ms, "baseline_ms": baseline_ms,
            "tflops": flops / (ms / 1000) / 10**12, "ratio": baseline_ms / ms}

"""C = A B, blocked for tensor cores, with its gradients and a Hopper version that copies by TMA.

    c[m, n] = Σ_k a[m, k] b[k, n],        da = dc bᵀ,        db = aᵀ dc,

a (M, K) and b (K, N) of any strides, so a transposed view costs no copy. Sums are float32; float16,
bfloat16 and float8 inputs are multiplied exactly, float32 inputs are first rounded to TF32 (10 bits of
mantissa), as tensor cores take them. Hopper's tensor cores keep about 14 bits of a sum of float8 products
(DeepSeek-V3, arXiv 2412.19437, section 3.3.2), so float8 there is less exact than "float32" says. Blocks are visited in groups of ``GROUP_M`` rows of blocks, so that
programs that run together share what they read; this order, and what it saves, is described in the Triton
paper's project (Tillet et al., MAPL 2019, https://doi.org/10.1145/3315508.3329973).

Cost with e bytes a number: 2·M·N·K flops; (M·K + K·N + M·N)·e bytes must move. Blocks of (BM, BN) read
M·N·K·e·(1/BM + 1/BN) bytes from the L2 cache, of which the grouped order leaves a fraction for the memory.
4096³ in float16 is 137 GFLOP on 100 MB, 1365 flops a byte: the tensor cores are the limit, and what feeds
them (shared memory, its copies) decides. Left out: batches, split-K for few blocks with a long K, scales.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from ladder.kernels.rows import architecture, multiprocessors
from torch.autograd.function import once_differentiable

FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, *FP8)


@triton.jit
def block_of(pid, M, N, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, GROUP_M: tl.constexpr):
    """Row and column of the pid-th block: down GROUP_M rows of blocks, then one column to the right."""
    height, width = tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N)
    group = pid // (GROUP_M * width)
    rows = tl.minimum(height - group * GROUP_M, GROUP_M)
    within = pid % (GROUP_M * width)
    return group * GROUP_M + within % rows, within // rows


@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K,
    stride_a_row, stride_a_col, stride_b_row, stride_b_col, stride_c_row, stride_c_col,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):
    """Program p: the p-th block of C in grouped order, over all of K."""
    block_m, block_n = block_of(tl.program_id(0), M, N, BLOCK_M, BLOCK_N, GROUP_M)
    row = (block_m * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    col = (block_n * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    inner = tl.arange(0, BLOCK_K)
    in_row, in_col = row < M, col < N
    a_ptrs = a_ptr + row[:, None] * stride_a_row + inner.to(tl.int64)[None, :] * stride_a_col
    b_ptrs = b_ptr + inner.to(tl.int64)[:, None] * stride_b_row + col[None, :] * stride_b_col

    acc = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        in_k = inner < K - start
        a = tl.load(a_ptrs, mask=in_row[:, None] & in_k[None, :], other=0.0)   # (BM, BK)
        b = tl.load(b_ptrs, mask=in_k[:, None] & in_col[None, :], other=0.0)   # (BK, BN)
        acc = tl.dot(a, b, acc)
        a_ptrs += BLOCK_K * stride_a_col
        b_ptrs += BLOCK_K * stride_b_row
    c_ptrs = c_ptr + row[:, None] * stride_c_row + col[None, :] * stride_c_col
    tl.store(c_ptrs, acc.to(c_ptr.dtype.element_ty), mask=in_row[:, None] & in_col[None, :])


@triton.jit
def matmul_descriptor_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, stride_a, stride_b, stride_c,
    TRANSPOSED_A: tl.constexpr, TRANSPOSED_B: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):
    """Program p of P: blocks p, p + P, p + 2P ... of C in grouped order.

    Descriptors tell the copy engine (TMA) each array's extent: what lies beyond is read as 0 and not
    written, so no mask is needed. They cost a microsecond to make, hence few programs with many blocks.
    """
    if TRANSPOSED_A:
        a_view = tl.make_tensor_descriptor(a_ptr, [K, M], [stride_a, 1], [BLOCK_K, BLOCK_M])
    else:
        a_view = tl.make_tensor_descriptor(a_ptr, [M, K], [stride_a, 1], [BLOCK_M, BLOCK_K])
    if TRANSPOSED_B:
        b_view = tl.make_tensor_descriptor(b_ptr, [N, K], [stride_b, 1], [BLOCK_N, BLOCK_K])
    else:
        b_view = tl.make_tensor_descriptor(b_ptr, [K, N], [stride_b, 1], [BLOCK_K, BLOCK_N])
    c_view = tl.make_tensor_descriptor(c_ptr, [M, N], [stride_c, 1], [BLOCK_M, BLOCK_N])
    blocks = tl.cdiv(M, BLOCK_M) * tl.cdiv(N, BLOCK_N)
    for number in range(tl.program_id(0), blocks, tl.num_programs(0)):
        block_m, block_n = block_of(number, M, N, BLOCK_M, BLOCK_N, GROUP_M)
        row, col = block_m * BLOCK_M, block_n * BLOCK_N
        acc = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for start in range(0, K, BLOCK_K):
            a = a_view.load([start, row]).T if TRANSPOSED_A else a_view.load([row, start])  # (BM, BK)
            b = b_view.load([col, start]).T if TRANSPOSED_B else b_view.load([start, col])  # (BK, BN)
            acc = tl.dot(a, b, acc)
        c_view.store([row, col], acc.to(c_ptr.dtype.element_ty))


@dataclass(frozen=True)
class Config:
    """Blocks of one program, and how it is compiled."""

    BLOCK_M: int
    BLOCK_N: int
    BLOCK_K: int
    GROUP_M: int
    num_warps: int
    num_stages: int


# (architecture, bytes a number): for large matrices, and for those with too few blocks to fill the GPU.
CONFIGS = {
    (80, 1): (Config(128, 128, 64, 8, 4, 3), Config(64, 64, 64, 8, 4, 3)),
    (80, 2): (Config(128, 256, 64, 8, 8, 3), Config(64, 64, 64, 8, 4, 3)),
    (80, 4): (Config(128, 128, 32, 8, 8, 3), Config(64, 64, 32, 8, 4, 3)),
    (90, 1): (Config(128, 256, 128, 8, 8, 3), Config(64, 128, 128, 8, 4, 3)),
    (90, 2): (Config(128, 256, 64, 8, 8, 3), Config(64, 128, 64, 8, 4, 4)),
    (90, 4): (Config(128, 128, 32, 8, 8, 3), Config(64, 64, 32, 8, 4, 3)),
    (100, 1): (Config(128, 256, 128, 8, 8, 3), Config(128, 64, 128, 8, 4, 3)),
    (100, 2): (Config(128, 256, 64, 8, 8, 3), Config(128, 64, 64, 8, 4, 4)),
    (100, 4): (Config(128, 128, 32, 8, 8, 3), Config(64, 64, 32, 8, 4, 3)),
}
CONFIGS |= {(120, size): CONFIGS[80, size] for size in (1, 2, 4)}  # less shared memory, and mma as before Hopper
INTERPRETED = Config(64, 64, 32, 4, 4, 3)  # where there is no GPU


def config_for(capability: int, itemsize: int, M: int, N: int, processors: int) -> Config:
    """The table's row for a capability such as 90 (0 without a GPU), smaller if blocks are fewer than processors."""
    known = [arch for arch, size in CONFIGS if size == itemsize and arch <= capability]
    if not known:
        return INTERPRETED
    large, small = CONFIGS[max(known), itemsize]
    blocks = triton.cdiv(M, large.BLOCK_M) * triton.cdiv(N, large.BLOCK_N)
    return large if blocks >= processors else small


def _transposed(x: torch.Tensor) -> bool | None:
    """Which way a copy engine can read a matrix: by rows (False), by columns (True), not at all (None)."""
    if x.data_ptr() % 16:
        return None
    for across, along in ((0, 1), (1, 0)):
        if x.stride(along) == 1 and x.stride(across) * x.element_size() % 16 == 0 < x.stride(across):
            return across == 1
    return None


def _scratch(size: int, alignment: int, stream: int | None) -> torch.Tensor:
    """Where a GPU writes the descriptors that a kernel makes."""
    return torch.empty(size, dtype=torch.int8, device="cuda")


def launch_matmul(a, b, kernel=matmul_kernel, descriptor_kernel=matmul_descriptor_kernel, capability=None):
    """``a @ b`` without autograd, with the kernels given; see :func:`matmul`.

    ``capability`` (80, 90, 100) chooses the row of the table and whether descriptors are used; by default it is
    that of the GPU, and without one descriptors are not used. ``descriptor_kernel=None`` never uses them.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"cannot multiply {tuple(a.shape)} by {tuple(b.shape)}: two matrices (M, K) and (K, N) are needed")
    if a.dtype != b.dtype or a.dtype not in DTYPES:
        raise ValueError(f"cannot multiply {a.dtype} by {b.dtype}: both must be the same of "
                         + ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES))
    if a.device != b.device:
        raise ValueError(f"a is on {a.device}, b on {b.device}")
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=torch.float16 if a.dtype in FP8 else a.dtype, device=a.device)
    if c.numel() == 0:
        return c
    capability = architecture(a) if capability is None else capability
    processors = multiprocessors(a)
    if a.dtype == torch.float8_e4m3fn and 0 < capability < 89:
        raise ValueError(f"a GPU of capability {capability} has no float8_e4m3fn; use float8_e5m2 or float16")
    config = config_for(capability, a.element_size(), M, N, processors)
    meta = vars(config)
    blocks = triton.cdiv(M, config.BLOCK_M) * triton.cdiv(N, config.BLOCK_N)
    ways = _transposed(a), _transposed(b)
    # float8 and TF32 operands must lie along K in shared memory, and a transposed copy is not there.
    if (90 <= capability < 120 and descriptor_kernel is not None and a.element_size() == 2 and K > 0
            and None not in ways and N * c.element_size() % 16 == 0):
        if a.is_cuda:
            triton.set_allocator(_scratch)
        descriptor_kernel[(min(blocks, processors),)](
            a, b, c, M, N, K, a.stride(1 if ways[0] else 0), b.stride(1 if ways[1] else 0), c.stride(0),
            TRANSPOSED_A=ways[0], TRANSPOSED_B=ways[1], **meta)
    else:
        kernel[(blocks,)](a, b, c, M, N, K, *a.stride(), *b.stride(), *c.stride(), **meta)
    return c


class _Matmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, options):
        ctx.save_for_backward(a, b)
        ctx.options = options
        return launch_matmul(a, b, **options)

    @staticmethod
    @once_differentiable
    def backward(ctx, dc):
        a, b = ctx.saved_tensors
        if a.dtype in FP8:
            raise ValueError(f"{a.dtype} has no gradient: multiply in float16 or bfloat16 to train")
        da = launch_matmul(dc, b.T, **ctx.options) if ctx.needs_input_grad[0] else None
        db = launch_matmul(a.T, dc, **ctx.options) if ctx.needs_input_grad[1] else None
        return da, db, None


def matmul(a, b, **options):
    """``a @ b`` of ``a`` (M, K) and ``b`` (K, N), of one dtype and any strides; returns (M, N), contiguous.

    float16, bfloat16 and float32 (whose products are TF32's) give their own dtype and have gradients;
    float8 (e4m3fn, e5m2) gives float16. ``options`` are those of :func:`launch_matmul`.
    """
    return _Matmul.apply(a, b, options)

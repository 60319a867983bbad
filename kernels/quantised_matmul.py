"""Products with weights kept in 8 or 4 bits, turned into numbers on the way to the tensor cores.

    int8:  out[m, n] = s[n] Σ_k x[m, k] w[n, k],               w in −128 ... 127, one scale a row of w;
    int4:  out[m, n] = Σ_g s[g, n] Σ_(k in g) x[m, k] (w[n, k] − z[g, n]),    w and z in 0 ... 15,

group g being the channels from g·group_size on; byte j of a packed row holds w[n, 2j] in its low and
w[n, 2j + 1] in its high half. Background: Dettmers et al. (arXiv 2208.07339, section 2) and Frantar et al.
(arXiv 2210.17323); weights alone are narrow here. The integers are exact in float16 and bfloat16, and scales
multiply float32 sums, so forward nothing but x and the result is rounded. A 4-bit number becomes a float by
its bits, 1024 + w in float16 and 128 + w in bfloat16, and one subtraction removes that and z: far fewer
instructions than to convert it, and at M ≤ 16 they, not the tensor cores, are what memory could wait for.

Cost for x of M rows: 2·M·N·K flops on N·K (int8) or N·K / 2 (int4) bytes of weights, with 3 bytes a
group in addition for a 2-byte scale. At M ≤ 16, decoding, that is 2·M or 4·M flops a byte: memory bandwidth
is the limit, the weights are read once, and K is cut in splits where N alone makes too few programs. At large
M the tensor cores are the limit, and a program's tile of weights is converted again for each tile of rows.
The gradient of x is a product with the same weights the other way; weights and scales have none here.
"""

import torch
import triton
import triton.language as tl
from ladder.kernels.rows import (
    as_rows,
    column_sums,
    configured,
    multiprocessors,
    same_device,
    same_device_floats,
)
from torch.autograd.function import once_differentiable

# architecture: for M <= 16 and for more: BLOCK_M, BLOCK_N, BLOCK_K, num_warps, num_stages
FORWARD = {0: ((16, 32, 64, 4, 1), (32, 32, 64, 4, 1)), 80: ((16, 128, 128, 4, 4), (64, 64, 64, 4, 3)),
           90: ((16, 128, 128, 4, 4), (64, 128, 64, 4, 3))}
BACKWARD = {0: (32, 32, 64, 4, 1), 80: (64, 32, 64, 4, 3), 90: (64, 64, 64, 4, 3)}
# float32 is multiplied as float32, not by tensor cores, which would round it to TF32: every number of a tile
# that a thread multiplies is in its registers.
FORWARD_FLOAT32, BACKWARD_FLOAT32 = ((16, 64, 32, 4, 3), (32, 64, 32, 4, 3)), (32, 32, 32, 4, 3)
PROGRAMS = 4  # programs a multiprocessor wanted before K is left in one piece


@triton.jit
def int8_matmul_kernel(
    x_ptr, w_ptr, scale_ptr, out_ptr, M, N, K, k_per_split, stride_x_row, stride_w_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):
    """Program (i, s): tile (i % m_blocks, i // m_blocks) of split s of the sum; out is (splits, M, N)."""
    m_blocks = tl.cdiv(M, BLOCK_M)
    m = (tl.program_id(0) % m_blocks) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = (tl.program_id(0) // m_blocks) * BLOCK_N + tl.arange(0, BLOCK_N)
    split = tl.program_id(1)
    x_row = m.to(tl.int64)[:, None] * stride_x_row
    w_row = n.to(tl.int64)[None, :] * stride_w_row
    acc = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(split * k_per_split, tl.minimum(K, (split + 1) * k_per_split), BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(x_ptr + x_row + k[None, :], mask=(m < M)[:, None] & (k < K)[None, :], other=0.0)
        w = tl.load(w_ptr + w_row + k[:, None], mask=(n < N)[None, :] & (k < K)[:, None], other=0)
        acc = tl.dot(x, w.to(x.dtype), acc, input_precision="ieee")
    scale = tl.load(scale_ptr + n, mask=n < N, other=0.0).to(tl.float32)
    at = (split.to(tl.int64) * M + m)[:, None] * N + n[None, :]
    tl.store(out_ptr + at, (acc * scale[None, :]).to(out_ptr.dtype.element_ty),
             mask=(m < M)[:, None] & (n < N)[None, :])


@triton.jit
def int8_backward_kernel(
    dout_ptr, w_ptr, scale_ptr, dx_ptr, M, N, K, stride_dout_row, stride_w_row,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):
    """Program i: tile (i % m_blocks, i // m_blocks) of dx (M, K), a sum over the rows of w."""
    m_blocks = tl.cdiv(M, BLOCK_M)
    m = (tl.program_id(0) % m_blocks) * BLOCK_M + tl.arange(0, BLOCK_M)
    k = (tl.program_id(0) // m_blocks) * BLOCK_K + tl.arange(0, BLOCK_K)
    acc = tl.zeros((BLOCK_M, BLOCK_K), tl.float32)
    for start in range(0, N, BLOCK_N):
        n = start + tl.arange(0, BLOCK_N)
        dout = tl.load(dout_ptr + m.to(tl.int64)[:, None] * stride_dout_row + n[None, :],
                       mask=(m < M)[:, None] & (n < N)[None, :], other=0.0)
        scale = tl.load(scale_ptr + n, mask=n < N, other=0.0).to(tl.float32)
        w = tl.load(w_ptr + n.to(tl.int64)[:, None] * stride_w_row + k[None, :],
                    mask=(n < N)[:, None] & (k < K)[None, :], other=0)
        w = (w.to(tl.float32) * scale[:, None]).to(dout.dtype)
        acc = tl.dot(dout, w, acc, input_precision="ieee")
    tl.store(dx_ptr + m.to(tl.int64)[:, None] * K + k[None, :], acc.to(dx_ptr.dtype.element_ty),
             mask=(m < M)[:, None] & (k < K)[None, :])


@triton.jit
def minus_zero(nibble, zero, kind: tl.constexpr):
    """``nibble`` − ``zero``, integers 0 ... 15, exactly, as numbers of type ``kind``."""
    if kind == tl.float16:
        return (nibble.to(tl.int16) | 0x6400).to(tl.float16, bitcast=True) - (zero.to(tl.float16) + 1024.0)
    elif kind == tl.bfloat16:
        return (nibble.to(tl.int16) | 0x4300).to(tl.bfloat16, bitcast=True) - (zero.to(tl.bfloat16) + 128.0)
    else:
        return nibble.to(tl.float32) - zero.to(tl.float32)


@triton.jit
def int4_matmul_kernel(
    x_ptr, packed_ptr, scale_ptr, zero_ptr, out_ptr, M, N, K, k_per_split, stride_x_row, stride_packed_row,
    GROUP: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):
    """Program (i, s): tile (i % m_blocks, i // m_blocks) of split s of the sum; out is (splits, M, N)."""
    HALF: tl.constexpr = BLOCK_K // 2
    m_blocks = tl.cdiv(M, BLOCK_M)
    m = (tl.program_id(0) % m_blocks) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = (tl.program_id(0) // m_blocks) * BLOCK_N + tl.arange(0, BLOCK_N)
    split = tl.program_id(1)
    x_row = m.to(tl.int64)[:, None] * stride_x_row
    packed_row = n.to(tl.int64)[None, :] * stride_packed_row
    acc = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(split * k_per_split, tl.minimum(K, (split + 1) * k_per_split), BLOCK_K):
        group = (start // GROUP).to(tl.int64)                       # one for the whole step
        scale = tl.load(scale_ptr + group * N + n, mask=n < N, other=0.0).to(tl.float32)
        zero = tl.load(zero_ptr + group * N + n, mask=n < N, other=0)
        k, byte = start + tl.arange(0, BLOCK_K), start // 2 + tl.arange(0, HALF)
        x = tl.load(x_ptr + x_row + k[None, :], mask=(m < M)[:, None], other=0.0)
        packed = tl.load(packed_ptr + packed_row + byte[:, None], mask=(n < N)[None, :], other=0)
        even, odd = tl.split(tl.reshape(x, (BLOCK_M, HALF, 2)))
        sums = tl.dot(even, minus_zero(packed & 15, zero[None, :], x.dtype), input_precision="ieee")
        sums = tl.dot(odd, minus_zero(packed >> 4, zero[None, :], x.dtype), sums, input_precision="ieee")
        acc += sums * scale[None, :]
    at = (split.to(tl.int64) * M + m)[:, None] * N + n[None, :]
    tl.store(out_ptr + at, acc.to(out_ptr.dtype.element_ty), mask=(m < M)[:, None] & (n < N)[None, :])


@triton.jit
def int4_backward_kernel(
    dout_ptr, packed_ptr, scale_ptr, zero_ptr, dx_ptr, M, N, K, stride_dout_row, stride_packed_row,
    GROUP: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):
    """Program i: tile (i % m_blocks, i // m_blocks) of dx (M, K), a sum over the rows of the weights."""
    HALF: tl.constexpr = BLOCK_K // 2
    m_blocks = tl.cdiv(M, BLOCK_M)
    m = (tl.program_id(0) % m_blocks) * BLOCK_M + tl.arange(0, BLOCK_M)
    first = (tl.program_id(0) // m_blocks) * BLOCK_K
    byte = first // 2 + tl.arange(0, HALF)
    group = (first // GROUP).to(tl.int64)
    even = tl.zeros((BLOCK_M, HALF), tl.float32)
    odd = tl.zeros((BLOCK_M, HALF), tl.float32)
    for start in range(0, N, BLOCK_N):
        n = start + tl.arange(0, BLOCK_N)
        dout = tl.load(dout_ptr + m.to(tl.int64)[:, None] * stride_dout_row + n[None, :],
                       mask=(m < M)[:, None] & (n < N)[None, :], other=0.0)
        scale = tl.load(scale_ptr + group * N + n, mask=n < N, other=0.0).to(tl.float32)[:, None]
        zero = tl.load(zero_ptr + group * N + n, mask=n < N, other=0).to(tl.float32)[:, None]
        packed = tl.load(packed_ptr + n.to(tl.int64)[:, None] * stride_packed_row + byte[None, :],
                         mask=(n < N)[:, None], other=0)
        low = (((packed & 15).to(tl.float32) - zero) * scale).to(dout.dtype)
        high = (((packed >> 4).to(tl.float32) - zero) * scale).to(dout.dtype)
        even = tl.dot(dout, low, even, input_precision="ieee")
        odd = tl.dot(dout, high, odd, input_precision="ieee")
    dx = tl.reshape(tl.join(even, odd), (BLOCK_M, BLOCK_K))
    k = first + tl.arange(0, BLOCK_K)
    tl.store(dx_ptr + m.to(tl.int64)[:, None] * K + k[None, :], dx.to(dx_ptr.dtype.element_ty),
             mask=(m < M)[:, None])


def launch_forward(kernel, x, weight, quantisers, N, group_size=None, splits=None):
    """out (..., N): ``kernel`` on tiles, and the sum of the splits of K where there are several."""
    rows = as_rows(x, "x")
    M, K = rows.shape
    few, many = FORWARD_FLOAT32 if x.dtype == torch.float32 else configured(FORWARD, x)
    block_m, block_n, block_k, warps, stages = few if M <= 16 else many
    options = {"BLOCK_M": block_m, "BLOCK_N": block_n}
    if group_size is not None:
        block_k, options["GROUP"] = min(group_size & -group_size, block_k), group_size  # a power of 2 that divides
    tiles, steps = triton.cdiv(M, block_m) * triton.cdiv(N, block_n), triton.cdiv(K, block_k)
    if splits is None:
        wanted = PROGRAMS * multiprocessors(x) // max(1, tiles)
        splits = max(1, min(wanted, 16, steps // 4, K // (64 * max(1, M))))  # their sums: few bytes beside the weights
    steps_per_split = triton.cdiv(steps, splits)
    splits = triton.cdiv(steps, steps_per_split)
    out = x.new_empty((splits, M, N), dtype=x.dtype if splits == 1 else torch.float32)
    if out.numel():
        kernel[tiles, splits](
            rows, weight, *quantisers, out, M, N, K, steps_per_split * block_k, rows.stride(0), weight.stride(0),
            BLOCK_K=block_k, num_warps=warps, num_stages=stages, **options)
    if splits > 1:
        out = column_sums(out.view(1, splits, M * N), x.dtype)
    return out.view(*x.shape[:-1], N)


def launch_backward(kernel, dout, weight, quantisers, K, group_size=None):
    """dx (..., K)."""
    rows = as_rows(dout.contiguous(), "dout")
    M, N = rows.shape
    float32 = dout.dtype == torch.float32
    block_m, block_n, block_k, warps, stages = BACKWARD_FLOAT32 if float32 else configured(BACKWARD, dout)
    options = {}
    if group_size is not None:
        block_k, options["GROUP"] = min(group_size & -group_size, block_k), group_size
    dx = dout.new_empty((M, K))
    if dx.numel():
        kernel[(triton.cdiv(M, block_m) * triton.cdiv(K, block_k),)](
            rows, weight, *quantisers, dx, M, N, K, rows.stride(0), weight.stride(0),
            BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k,
            num_warps=warps, num_stages=stages, **options)
    return dx.view(*dout.shape[:-1], K)


class Int8Matmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, scales, splits, kernel):
        ctx.save_for_backward(weight, scales)
        return launch_forward(kernel, x, weight, (scales,), weight.shape[0], splits=splits)

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        weight, scales = ctx.saved_tensors
        return launch_backward(int8_backward_kernel, dout, weight, (scales,), weight.shape[1]), *[None] * 4


class Int4Matmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, packed, scales, zeros, group_size, splits, kernel):
        ctx.save_for_backward(packed, scales, zeros)
        ctx.group_size = group_size
        return launch_forward(kernel, x, packed, (scales, zeros), packed.shape[0], group_size, splits)

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        packed, scales, zeros = ctx.saved_tensors
        dx = launch_backward(int4_backward_kernel, dout, packed, (scales, zeros), 2 * packed.shape[1], ctx.group_size)
        return dx, *[None] * 6


def int8_matmul(x, weight_int8, scales, splits=None, kernel=int8_matmul_kernel):
    """``x @ (weight_int8 * scales[:, None]).T``, in the type of ``x``; differentiable in ``x``.

    ``x`` (..., K), ``weight_int8`` (N, K) int8 with contiguous rows, ``scales`` (N,). ``splits`` programs share
    each sum over K, as many as fill the GPU if None; the result is the same bits each time.
    """
    same_device_floats(x=x, scales=scales)
    same_device(x=x, weight_int8=weight_int8)
    as_rows(x, "x")
    rows_of(weight_int8, "weight_int8", torch.int8, x.shape[-1])
    exactly(scales, "scales", weight_int8.shape[:1])
    return Int8Matmul.apply(x, weight_int8, scales, splits, kernel)


def int4_matmul(x, packed, scales, zeros, group_size, splits=None, kernel=int4_matmul_kernel):
    """``x @ w.T`` with ``w[n, k] = scales[k // group_size, n] * (q[n, k] − zeros[k // group_size, n])``.

    ``x`` (..., K); ``packed`` (N, K / 2) uint8, ``q[n, 2j]`` in the low and ``q[n, 2j + 1]`` in the high half of
    byte j; ``scales`` (K / group_size, N) floats; ``zeros`` uint8 of that shape, 0 ... 15. ``group_size`` is a
    multiple of 32 and divides K. In the type of ``x``; differentiable in ``x``. ``splits`` as in int8_matmul.
    """
    same_device_floats(x=x, scales=scales)
    same_device(x=x, packed=packed, zeros=zeros)
    as_rows(x, "x")
    K = x.shape[-1]
    if group_size < 32 or group_size % 32 or K % group_size:
        raise ValueError(f"group_size must be a multiple of 32 that divides K = {K}, not {group_size}")
    rows_of(packed, "packed", torch.uint8, K // 2)
    for name, tensor in (("scales", scales), ("zeros", zeros)):
        exactly(tensor, name, (K // group_size, packed.shape[0]))
    if zeros.dtype != torch.uint8:
        raise ValueError(f"zeros must be uint8, not {zeros.dtype}")
    return Int4Matmul.apply(x, packed, scales, zeros, group_size, splits, kernel)


def rows_of(weight, name, dtype, n_cols) -> None:
    if weight.dim() != 2 or weight.shape[1] != n_cols or weight.dtype != dtype:
        raise ValueError(f"{name} must be (N, {n_cols}) of {dtype}, not {tuple(weight.shape)} of {weight.dtype}")
    as_rows(weight, name)


def exactly(tensor, name, shape) -> None:
    if tensor.shape != tuple(shape) or not tensor.is_contiguous():
        raise ValueError(f"{name} must be contiguous of shape {tuple(shape)}, not {tuple(tensor.shape)}")

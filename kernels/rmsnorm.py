"""RMSNorm over the last axis, and its gradients (Zhang and Sennrich, arXiv 1910.07467, eq. 4).

    r = 1 / √(Σ_k x_k² / n + ε),    y_j = w_j x_j r,
    dx_j = r (w_j dy_j − x_j r² Σ_k w_k dy_k x_k / n),    dw_j = Σ_rows dy_j x_j r.

A row that fits into a program's registers is read once; a longer one twice. Backward a program takes
many rows one after another: it keeps its share of dw in registers to the end, so that dw costs one row
of float32 a program, not one a row; a second kernel adds the shares in a fixed order. While a program
works on one row, the next is on its way to shared memory (``num_stages``), which a row alone would not do.

Cost for R rows of n numbers of e bytes: 2·R·n·e bytes forward, 3·R·n·e backward, plus 4·R for r (long
rows: 3 and 5, in part from the L2 cache); about 4 and 8 flops a number: memory bandwidth is the limit.
"""

import torch
import triton
import triton.language as tl
from ladder.kernels.rows import (
    as_rows,
    column_sums,
    configured,
    multiprocessors,
    row_tile,
    same_device_floats,
)
from torch.autograd.function import once_differentiable

# architecture: numbers of a tile, numbers a thread, longest row in registers, block of longer rows, its warps
FORWARD = {0: (512, 16, 512, 256, 4), 80: (2048, 16, 16384, 4096, 8), 90: (2048, 16, 16384, 8192, 16)}
BACKWARD = {0: (512, 16, 512, 256, 4), 80: (2048, 16, 8192, 4096, 16), 86: (2048, 16, 4096, 4096, 16),
            90: (2048, 16, 8192, 4096, 16), 120: (2048, 16, 4096, 4096, 16)}  # 86, 120: 99 KB of shared memory
WARPS, STAGES = 24, 3  # backward: warps that fit a multiprocessor's registers, rows on their way at once


@triton.jit
def rmsnorm_kernel(
    x_ptr, w_ptr, y_ptr, r_ptr, eps, n_rows, n_cols, stride_x_row, stride_y_row,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr,
):
    """Program i: the rows from i * BLOCK_ROWS on, all of each in registers."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    col = tl.arange(0, BLOCK_COLS)
    in_rows, in_cols = row < n_rows, col < n_cols
    inside = in_rows[:, None] & in_cols[None, :]
    x = tl.load(x_ptr + row[:, None] * stride_x_row + col[None, :], mask=inside, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=in_cols, other=0.0).to(tl.float32)
    r = tl.rsqrt(tl.sum(x * x, axis=1) / n_cols + eps)
    y = x * r[:, None] * w[None, :]
    tl.store(r_ptr + row, r, mask=in_rows)
    tl.store(y_ptr + row[:, None] * stride_y_row + col[None, :], y.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def rmsnorm_long_kernel(
    x_ptr, w_ptr, y_ptr, r_ptr, eps, n_cols, stride_x_row, stride_y_row, BLOCK: tl.constexpr,
):
    """Program i: row i, a block at a time, twice."""
    row = tl.program_id(0).to(tl.int64)
    squares = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        col = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * stride_x_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
        squares += x * x
    r = tl.rsqrt(tl.sum(squares, axis=0) / n_cols + eps)
    tl.store(r_ptr + row, r)
    for start in range(0, n_cols, BLOCK):
        col = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * stride_x_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
        w = tl.load(w_ptr + col, mask=col < n_cols, other=0.0).to(tl.float32)
        tl.store(y_ptr + row * stride_y_row + col, (x * r * w).to(y_ptr.dtype.element_ty), mask=col < n_cols)


@triton.jit
def rmsnorm_backward_kernel(
    x_ptr, w_ptr, dy_ptr, r_ptr, dx_ptr, partial_ptr,
    n_rows, n_cols, stride_x_row, stride_dy_row, stride_dx_row,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr, STAGES: tl.constexpr,
):
    """Program i of P: dx of the tiles i, i + P, i + 2 P ... of BLOCK_ROWS rows, and their share of dw."""
    program, programs = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK_COLS)
    in_cols = col < n_cols
    w = tl.load(w_ptr + col, mask=in_cols, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK_ROWS, BLOCK_COLS), tl.float32)
    for tile in tl.range(program, tl.cdiv(n_rows, BLOCK_ROWS), programs, num_stages=STAGES):
        row = tile.to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
        in_rows = row < n_rows
        inside = in_rows[:, None] & in_cols[None, :]
        x = tl.load(x_ptr + row[:, None] * stride_x_row + col[None, :], mask=inside, other=0.0).to(tl.float32)
        dy = tl.load(dy_ptr + row[:, None] * stride_dy_row + col[None, :], mask=inside, other=0.0).to(tl.float32)
        r = tl.load(r_ptr + row, mask=in_rows, other=0.0)[:, None]
        x_hat = x * r
        dw += dy * x_hat
        wdy = dy * w[None, :]
        along = tl.sum(wdy * x_hat, axis=1)[:, None] / n_cols
        dx = (wdy - x_hat * along) * r
        tl.store(dx_ptr + row[:, None] * stride_dx_row + col[None, :],
                 dx.to(dx_ptr.dtype.element_ty), mask=inside)
    tl.store(partial_ptr + program.to(tl.int64) * n_cols + col, tl.sum(dw, axis=0), mask=in_cols)


@triton.jit
def rmsnorm_backward_long_kernel(
    x_ptr, w_ptr, dy_ptr, r_ptr, dx_ptr, partial_ptr,
    n_rows, n_cols, stride_x_row, stride_dy_row, stride_dx_row, BLOCK: tl.constexpr,
):
    """Program i of P: dx of the rows i, i + P ..., block by block, and their share of dw, kept in memory."""
    program, programs = tl.program_id(0), tl.num_programs(0)
    share_ptr = partial_ptr + program.to(tl.int64) * n_cols
    for number in range(program, n_rows, programs):
        row = number.to(tl.int64)
        r = tl.load(r_ptr + row)
        products = tl.zeros((BLOCK,), tl.float32)
        for start in range(0, n_cols, BLOCK):
            col = start + tl.arange(0, BLOCK)
            x = tl.load(x_ptr + row * stride_x_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
            dy = tl.load(dy_ptr + row * stride_dy_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
            w = tl.load(w_ptr + col, mask=col < n_cols, other=0.0).to(tl.float32)
            products += w * dy * x * r
        along = tl.sum(products, axis=0) / n_cols
        for start in range(0, n_cols, BLOCK):
            col = start + tl.arange(0, BLOCK)
            x = tl.load(x_ptr + row * stride_x_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
            dy = tl.load(dy_ptr + row * stride_dy_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
            w = tl.load(w_ptr + col, mask=col < n_cols, other=0.0).to(tl.float32)
            dw = tl.load(share_ptr + col, mask=col < n_cols, other=0.0)
            tl.store(share_ptr + col, dw + dy * x * r, mask=col < n_cols)
            tl.store(dx_ptr + row * stride_dx_row + col,
                     ((w * dy - x * r * along) * r).to(dx_ptr.dtype.element_ty), mask=col < n_cols)


def launch_forward(x, weight, eps, kernel=rmsnorm_kernel):
    """y like ``x`` and r (rows,), float32, without autograd."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    x_rows, y_rows = as_rows(x, "x"), as_rows(y, "y")
    n_rows, n_cols = x_rows.shape
    r = x.new_empty(n_rows, dtype=torch.float32)
    numbers, per_thread, longest, block, warps = configured(FORWARD, x)
    arguments = (x_rows, weight, y_rows, r, eps)
    if not x.numel():
        pass
    elif n_cols <= longest:
        tile = row_tile(n_cols, numbers, per_thread)
        kernel[(triton.cdiv(n_rows, tile["BLOCK_ROWS"]),)](
            *arguments, n_rows, n_cols, x_rows.stride(0), y_rows.stride(0), **tile)
    else:
        rmsnorm_long_kernel[(n_rows,)](
            *arguments, n_cols, x_rows.stride(0), y_rows.stride(0), BLOCK=block, num_warps=warps)
    return y, r


def launch_backward(dout, x, weight, r, kernel=rmsnorm_backward_kernel):
    """The gradients of ``x`` and ``weight``, without autograd."""
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    if not x.numel():
        return dx, torch.zeros_like(weight)
    x_rows, dy_rows, dx_rows = as_rows(x, "x"), as_rows(dout.contiguous(), "dout"), as_rows(dx, "dx")
    n_rows, n_cols = x_rows.shape
    numbers, per_thread, longest, block, warps = configured(BACKWARD, x)
    tile = row_tile(n_cols, numbers, per_thread)
    short = n_cols <= longest
    resident = max(1, WARPS // (tile["num_warps"] if short else warps)) * multiprocessors(x)
    programs = min(triton.cdiv(n_rows, tile["BLOCK_ROWS"] if short else 1), resident)
    make = torch.empty if short else torch.zeros
    partial = make((1, programs, n_cols), dtype=torch.float32, device=x.device)
    arguments = (x_rows, weight, dy_rows, r, dx_rows, partial, n_rows, n_cols,
                 x_rows.stride(0), dy_rows.stride(0), dx_rows.stride(0))
    if short:
        kernel[(programs,)](*arguments, STAGES=STAGES, **tile)
    else:
        rmsnorm_backward_long_kernel[(programs,)](*arguments, BLOCK=block, num_warps=warps)
    return dx, column_sums(partial, weight.dtype)[0]


class RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, eps, kernel):
        y, r = launch_forward(x, weight, eps, kernel)
        ctx.save_for_backward(x, weight, r)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        return *launch_backward(dout, *ctx.saved_tensors), None, None


def rmsnorm(x, weight, eps=1e-6, kernel=rmsnorm_kernel):
    """``x`` (..., n) over the root of its mean square, times ``weight`` (n,); in the type of ``x``.

    Differentiable in both. The last axis must be contiguous and the rows one stride apart, as in any
    slice ``x[:, a:b]``. ``kernel`` is launched for rows that fit registers.
    """
    same_device_floats(x=x, weight=weight)
    as_rows(x, "x")
    if weight.shape != x.shape[-1:] or not weight.is_contiguous():
        raise ValueError(f"weight must be contiguous of shape {tuple(x.shape[-1:])}, not {tuple(weight.shape)}")
    return RMSNorm.apply(x, weight, eps, kernel)

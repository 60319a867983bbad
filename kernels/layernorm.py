"""LayerNorm over the last axis, and its gradients (Ba, Kiros and Hinton, arXiv 1607.06450, section 3).

    μ = Σ_k x_k / n,    r = 1 / √(Σ_k (x_k − μ)² / n + ε),    h_j = (x_j − μ) r,    y_j = w_j h_j + b_j,
    dx_j = r (w_j dy_j − h_j Σ_k w_k dy_k h_k / n − Σ_k w_k dy_k / n),
    dw_j = Σ_rows dy_j h_j,    db_j = Σ_rows dy_j.

A row that fits into a program's registers is read once, and its variance is a sum of squared
distances from the mean, with nothing cancelling. A longer one is read twice: block by block, each
block's mean and squares joining those before it (Chan, Golub and LeVeque, 1979). Backward a program
takes many rows one after another, keeps its shares of dw and db in registers to the end, and has the
next row on its way meanwhile (``num_stages``); a second kernel adds the shares in a fixed order.

Cost for R rows of n numbers of e bytes: 2·R·n·e bytes forward, 3·R·n·e backward, plus 8·R for μ and r
(long rows: 3 and 5, in part from the L2 cache); about 6 and 11 flops a number: memory bandwidth is the limit.
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
            90: (2048, 16, 8192, 4096, 16), 100: (1024, 16, 8192, 4096, 16),  # else rows of 1024 spill
            120: (2048, 16, 4096, 4096, 16)}  # 86, 120: 99 KB of shared memory
WARPS, STAGES = 16, 3  # backward: warps that fit a multiprocessor's registers, rows on their way at once


@triton.jit
def layernorm_kernel(
    x_ptr, w_ptr, b_ptr, y_ptr, mean_ptr, r_ptr, eps, n_rows, n_cols, stride_x_row, stride_y_row,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr,
):
    """Program i: the rows from i * BLOCK_ROWS on, all of each in registers."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    col = tl.arange(0, BLOCK_COLS)
    in_rows, in_cols = row < n_rows, col < n_cols
    inside = in_rows[:, None] & in_cols[None, :]
    x = tl.load(x_ptr + row[:, None] * stride_x_row + col[None, :], mask=inside, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + col, mask=in_cols, other=0.0).to(tl.float32)
    b = tl.load(b_ptr + col, mask=in_cols, other=0.0).to(tl.float32)
    mean = tl.sum(x, axis=1) / n_cols
    centred = tl.where(inside, x - mean[:, None], 0.0)
    r = tl.rsqrt(tl.sum(centred * centred, axis=1) / n_cols + eps)
    y = centred * r[:, None] * w[None, :] + b[None, :]
    tl.store(mean_ptr + row, mean, mask=in_rows)
    tl.store(r_ptr + row, r, mask=in_rows)
    tl.store(y_ptr + row[:, None] * stride_y_row + col[None, :], y.to(y_ptr.dtype.element_ty), mask=inside)


@triton.jit
def layernorm_long_kernel(
    x_ptr, w_ptr, b_ptr, y_ptr, mean_ptr, r_ptr, eps, n_cols, stride_x_row, stride_y_row, BLOCK: tl.constexpr,
):
    """Program i: row i, a block at a time, twice."""
    row = tl.program_id(0).to(tl.int64)
    mean, squares = 0.0, 0.0
    for start in range(0, n_cols, BLOCK):
        col = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * stride_x_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
        count = tl.minimum(n_cols - start, BLOCK).to(tl.float32)
        block_mean = tl.sum(x, axis=0) / count
        centred = tl.where(col < n_cols, x - block_mean, 0.0)
        gap, share = block_mean - mean, count / (start + count)
        mean += gap * share
        squares += tl.sum(centred * centred, axis=0) + gap * gap * start * share
    r = tl.rsqrt(squares / n_cols + eps)
    tl.store(mean_ptr + row, mean)
    tl.store(r_ptr + row, r)
    for start in range(0, n_cols, BLOCK):
        col = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * stride_x_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
        w = tl.load(w_ptr + col, mask=col < n_cols, other=0.0).to(tl.float32)
        b = tl.load(b_ptr + col, mask=col < n_cols, other=0.0).to(tl.float32)
        y = (x - mean) * r * w + b
        tl.store(y_ptr + row * stride_y_row + col, y.to(y_ptr.dtype.element_ty), mask=col < n_cols)


@triton.jit
def layernorm_backward_kernel(
    x_ptr, w_ptr, dy_ptr, mean_ptr, r_ptr, dx_ptr, partial_ptr,
    n_rows, n_cols, stride_x_row, stride_dy_row, stride_dx_row,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr, STAGES: tl.constexpr,
):
    """Program i of P: dx of the tiles i, i + P ... of BLOCK_ROWS rows, and their shares of dw and db."""
    program, programs = tl.program_id(0), tl.num_programs(0)
    col = tl.arange(0, BLOCK_COLS)
    in_cols = col < n_cols
    w = tl.load(w_ptr + col, mask=in_cols, other=0.0).to(tl.float32)
    dw = tl.zeros((BLOCK_ROWS, BLOCK_COLS), tl.float32)
    db = tl.zeros((BLOCK_ROWS, BLOCK_COLS), tl.float32)
    for tile in tl.range(program, tl.cdiv(n_rows, BLOCK_ROWS), programs, num_stages=STAGES):
        row = tile.to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
        in_rows = row < n_rows
        inside = in_rows[:, None] & in_cols[None, :]
        x = tl.load(x_ptr + row[:, None] * stride_x_row + col[None, :], mask=inside, other=0.0).to(tl.float32)
        dy = tl.load(dy_ptr + row[:, None] * stride_dy_row + col[None, :], mask=inside, other=0.0).to(tl.float32)
        mean = tl.load(mean_ptr + row, mask=in_rows, other=0.0)[:, None]
        r = tl.load(r_ptr + row, mask=in_rows, other=0.0)[:, None]
        x_hat = (x - mean) * r                      # beside the row: some number, and there dy is 0
        dw += dy * x_hat
        db += dy
        wdy = dy * w[None, :]
        along = tl.sum(wdy * x_hat, axis=1)[:, None] / n_cols
        level = tl.sum(wdy, axis=1)[:, None] / n_cols
        dx = (wdy - x_hat * along - level) * r
        tl.store(dx_ptr + row[:, None] * stride_dx_row + col[None, :],
                 dx.to(dx_ptr.dtype.element_ty), mask=inside)
    share_ptr = partial_ptr + program.to(tl.int64) * n_cols + col
    tl.store(share_ptr, tl.sum(dw, axis=0), mask=in_cols)
    tl.store(share_ptr + programs.to(tl.int64) * n_cols, tl.sum(db, axis=0), mask=in_cols)


@triton.jit
def layernorm_backward_long_kernel(
    x_ptr, w_ptr, dy_ptr, mean_ptr, r_ptr, dx_ptr, partial_ptr,
    n_rows, n_cols, stride_x_row, stride_dy_row, stride_dx_row, BLOCK: tl.constexpr,
):
    """Program i of P: dx of the rows i, i + P ..., block by block; their shares of dw and db in memory."""
    program, programs = tl.program_id(0), tl.num_programs(0)
    dw_ptr = partial_ptr + program.to(tl.int64) * n_cols
    db_ptr = dw_ptr + programs.to(tl.int64) * n_cols
    for number in range(program, n_rows, programs):
        row = number.to(tl.int64)
        mean, r = tl.load(mean_ptr + row), tl.load(r_ptr + row)
        products = tl.zeros((BLOCK,), tl.float32)
        plain = tl.zeros((BLOCK,), tl.float32)
        for start in range(0, n_cols, BLOCK):
            col = start + tl.arange(0, BLOCK)
            x = tl.load(x_ptr + row * stride_x_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
            dy = tl.load(dy_ptr + row * stride_dy_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
            w = tl.load(w_ptr + col, mask=col < n_cols, other=0.0).to(tl.float32)
            products += w * dy * (x - mean) * r
            plain += w * dy
        along, level = tl.sum(products, axis=0) / n_cols, tl.sum(plain, axis=0) / n_cols
        for start in range(0, n_cols, BLOCK):
            col = start + tl.arange(0, BLOCK)
            inside = col < n_cols
            x = tl.load(x_ptr + row * stride_x_row + col, mask=inside, other=0.0).to(tl.float32)
            dy = tl.load(dy_ptr + row * stride_dy_row + col, mask=inside, other=0.0).to(tl.float32)
            w = tl.load(w_ptr + col, mask=inside, other=0.0).to(tl.float32)
            x_hat = (x - mean) * r
            dw = tl.load(dw_ptr + col, mask=inside, other=0.0)
            db = tl.load(db_ptr + col, mask=inside, other=0.0)
            tl.store(dw_ptr + col, dw + dy * x_hat, mask=inside)
            tl.store(db_ptr + col, db + dy, mask=inside)
            tl.store(dx_ptr + row * stride_dx_row + col,
                     ((w * dy - x_hat * along - level) * r).to(dx_ptr.dtype.element_ty), mask=inside)


def launch_forward(x, weight, bias, eps, kernel=layernorm_kernel):
    """y like ``x``, and μ and r (rows,), float32, without autograd."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    x_rows, y_rows = as_rows(x, "x"), as_rows(y, "y")
    n_rows, n_cols = x_rows.shape
    mean, r = (x.new_empty(n_rows, dtype=torch.float32) for _ in range(2))
    numbers, per_thread, longest, block, warps = configured(FORWARD, x)
    arguments = (x_rows, weight, bias, y_rows, mean, r, eps)
    if not x.numel():
        pass
    elif n_cols <= longest:
        tile = row_tile(n_cols, numbers, per_thread)
        kernel[(triton.cdiv(n_rows, tile["BLOCK_ROWS"]),)](
            *arguments, n_rows, n_cols, x_rows.stride(0), y_rows.stride(0), **tile)
    else:
        layernorm_long_kernel[(n_rows,)](
            *arguments, n_cols, x_rows.stride(0), y_rows.stride(0), BLOCK=block, num_warps=warps)
    return y, mean, r


def launch_backward(dout, x, weight, mean, r, kernel=layernorm_backward_kernel):
    """The gradients of ``x``, ``weight`` and the bias, without autograd."""
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    if not x.numel():
        return dx, torch.zeros_like(weight), torch.zeros_like(weight)
    x_rows, dy_rows, dx_rows = as_rows(x, "x"), as_rows(dout.contiguous(), "dout"), as_rows(dx, "dx")
    n_rows, n_cols = x_rows.shape
    numbers, per_thread, longest, block, warps = configured(BACKWARD, x)
    tile = row_tile(n_cols, numbers, per_thread)
    short = n_cols <= longest
    resident = max(1, WARPS // (tile["num_warps"] if short else warps)) * multiprocessors(x)
    programs = min(triton.cdiv(n_rows, tile["BLOCK_ROWS"] if short else 1), resident)
    make = torch.empty if short else torch.zeros
    partial = make((2, programs, n_cols), dtype=torch.float32, device=x.device)
    arguments = (x_rows, weight, dy_rows, mean, r, dx_rows, partial, n_rows, n_cols,
                 x_rows.stride(0), dy_rows.stride(0), dx_rows.stride(0))
    if short:
        kernel[(programs,)](*arguments, STAGES=STAGES, **tile)
    else:
        layernorm_backward_long_kernel[(programs,)](*arguments, BLOCK=block, num_warps=warps)
    return dx, *column_sums(partial, weight.dtype)


class LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps, kernel):
        y, mean, r = launch_forward(x, weight, bias, eps, kernel)
        ctx.save_for_backward(x, weight, mean, r)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        return *launch_backward(dout, *ctx.saved_tensors), None, None


def layernorm(x, weight, bias, eps=1e-5, kernel=layernorm_kernel):
    """``x`` (..., n) with mean 0 and variance 1, times ``weight``, plus ``bias``; in the type of ``x``.

    ``weight`` and ``bias`` (n,) are contiguous and of one type. Differentiable in all three. The last
    axis of ``x`` must be contiguous and its rows one stride apart, as in any slice ``x[:, a:b]``.
    ``kernel`` is launched for rows that fit registers.
    """
    same_device_floats(x=x, weight=weight, bias=bias)
    as_rows(x, "x")
    for name, vector in (("weight", weight), ("bias", bias)):
        if vector.shape != x.shape[-1:] or not vector.is_contiguous():
            raise ValueError(f"{name} must be contiguous of shape {tuple(x.shape[-1:])}, not {tuple(vector.shape)}")
    if weight.dtype != bias.dtype:
        raise ValueError(f"weight and bias must be of one type, not {weight.dtype} and {bias.dtype}")
    return LayerNorm.apply(x, weight, bias, eps, kernel)

"""Softmax over the last axis, and its gradient.

    y_j = exp(x_j − max x) / Σ_k exp(x_k − max x),        dx_j = y_j (dy_j − Σ_k y_k dy_k).

A row that fits into a program's registers is read once. A longer one is read twice: once for its
maximum and its sum, kept up to date block by block (Milakov and Gimelshein, arXiv 1805.02867,
algorithm 3), once more to write the result. The gradient is that of any function y of x whose
Jacobian is diag(y) − y yᵀ, from the y that the forward pass wrote.

Cost for n numbers of e bytes: 2·n·e bytes forward, 3·n·e backward (3·n·e and 5·n·e for long rows, whose
second read comes in part from the L2 cache), and about 5 flops a number: memory bandwidth is the limit.
"""

import torch
import triton
import triton.language as tl
from ladder.kernels.rows import as_rows, configured, row_tile, same_device_floats
from torch.autograd.function import once_differentiable

# architecture: numbers of a tile, numbers a thread, longest row in registers, block of longer rows, its warps
CONFIGURATIONS = {0: (512, 16, 512, 256, 4), 80: (2048, 16, 16384, 4096, 8), 90: (2048, 16, 16384, 8192, 16)}


@triton.jit
def softmax_kernel(
    x_ptr, out_ptr, n_rows, n_cols, stride_x_row, stride_out_row,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr,
):
    """Program i: the rows from i * BLOCK_ROWS on, all of each in registers."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    col = tl.arange(0, BLOCK_COLS)
    in_rows, in_cols = (row < n_rows)[:, None], (col < n_cols)[None, :]
    x = tl.load(x_ptr + row[:, None] * stride_x_row + col[None, :],
                mask=in_rows & in_cols, other=0.0).to(tl.float32)
    x = tl.where(in_cols, x, float("-inf"))
    weight = tl.exp(x - tl.max(x, axis=1)[:, None])
    y = weight * (1.0 / tl.sum(weight, axis=1))[:, None]
    tl.store(out_ptr + row[:, None] * stride_out_row + col[None, :],
             y.to(out_ptr.dtype.element_ty), mask=in_rows & in_cols)


@triton.jit
def softmax_long_kernel(x_ptr, out_ptr, n_cols, stride_x_row, stride_out_row, BLOCK: tl.constexpr):
    """Program i: row i, a block at a time, twice."""
    row = tl.program_id(0).to(tl.int64)
    highest = -float("inf")
    total = tl.zeros((BLOCK,), tl.float32)               # one sum a lane: they meet once, at the end
    for start in range(0, n_cols, BLOCK):
        col = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * stride_x_row + col, mask=col < n_cols, other=float("-inf")).to(tl.float32)
        new = tl.maximum(highest, tl.max(x, axis=0))
        base = tl.where(new == -float("inf"), 0.0, new)  # nothing but -inf so far
        total = total * tl.exp(highest - base) + tl.exp(x - base)
        highest = new
    base = tl.where(highest == -float("inf"), 0.0, highest)
    scale = 1.0 / tl.sum(total, axis=0)
    for start in range(0, n_cols, BLOCK):
        col = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * stride_x_row + col, mask=col < n_cols, other=float("-inf")).to(tl.float32)
        y = tl.exp(x - base) * scale
        tl.store(out_ptr + row * stride_out_row + col, y.to(out_ptr.dtype.element_ty), mask=col < n_cols)


@triton.jit
def softmax_backward_kernel(
    y_ptr, dy_ptr, dx_ptr, n_rows, n_cols, stride_y_row, stride_dy_row, stride_dx_row,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr,
):
    """Program i: the gradient of the rows from i * BLOCK_ROWS on."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    col = tl.arange(0, BLOCK_COLS)
    inside = (row < n_rows)[:, None] & (col < n_cols)[None, :]
    y = tl.load(y_ptr + row[:, None] * stride_y_row + col[None, :], mask=inside, other=0.0).to(tl.float32)
    dy = tl.load(dy_ptr + row[:, None] * stride_dy_row + col[None, :], mask=inside, other=0.0).to(tl.float32)
    dx = y * (dy - tl.sum(y * dy, axis=1)[:, None])
    tl.store(dx_ptr + row[:, None] * stride_dx_row + col[None, :], dx.to(dx_ptr.dtype.element_ty), mask=inside)


@triton.jit
def softmax_backward_long_kernel(
    y_ptr, dy_ptr, dx_ptr, n_cols, stride_y_row, stride_dy_row, stride_dx_row, BLOCK: tl.constexpr,
):
    """Program i: the gradient of row i, a block at a time, twice."""
    row = tl.program_id(0).to(tl.int64)
    shared = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n_cols, BLOCK):
        col = start + tl.arange(0, BLOCK)
        y = tl.load(y_ptr + row * stride_y_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
        dy = tl.load(dy_ptr + row * stride_dy_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
        shared += y * dy
    total = tl.sum(shared, axis=0)
    for start in range(0, n_cols, BLOCK):
        col = start + tl.arange(0, BLOCK)
        y = tl.load(y_ptr + row * stride_y_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
        dy = tl.load(dy_ptr + row * stride_dy_row + col, mask=col < n_cols, other=0.0).to(tl.float32)
        tl.store(dx_ptr + row * stride_dx_row + col, (y * (dy - total)).to(dx_ptr.dtype.element_ty),
                 mask=col < n_cols)


def launch(short, long, *tensors):
    """Launch ``short`` on tiles of whole rows, or ``long`` on one row a program; the last tensor is written."""
    rows = [as_rows(t, "x") for t in tensors]
    n_rows, n_cols = rows[0].shape
    numbers, per_thread, longest, block, warps = configured(CONFIGURATIONS, tensors[0])
    strides = [t.stride(0) for t in rows]
    if n_cols <= longest:
        tile = row_tile(n_cols, numbers, per_thread)
        short[(triton.cdiv(n_rows, tile["BLOCK_ROWS"]),)](*rows, n_rows, n_cols, *strides, **tile)
    else:
        long[(n_rows,)](*rows, n_cols, *strides, BLOCK=block, num_warps=warps)


class Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, kernel):
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        if x.numel():
            launch(kernel, softmax_long_kernel, x, out)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        (out,) = ctx.saved_tensors
        dx = torch.empty_like(out)
        if out.numel():
            launch(softmax_backward_kernel, softmax_backward_long_kernel, out, dout.contiguous(), dx)
        return dx, None


def softmax(x, kernel=softmax_kernel):
    """The softmax of ``x`` (..., n) over its last axis, in the type of ``x``; differentiable.

    The last axis must be contiguous and the rows one stride apart, as in any slice ``x[:, a:b]``. A
    row of nothing but −inf gives NaN, as in PyTorch. ``kernel`` is launched for rows that fit registers.
    """
    same_device_floats(x=x)
    as_rows(x, "x")
    return Softmax.apply(x, kernel)

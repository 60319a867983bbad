"""SwiGLU's gating and its gradients (Shazeer, arXiv 2002.05202, eq. 5, without the matrix products).

    σ = 1 / (1 + exp(−g)),    out = g σ u,    dg = dout u σ (1 + g (1 − σ)),    du = dout g σ.

``gate`` and ``up`` are most often the two halves of one product's output: rows with a gap, read here
as they lie.

Cost for n numbers of e bytes: 3·n·e bytes forward (two reads, one write), 5·n·e backward (three reads,
two writes; σ is computed again, not stored); about 5 and 10 flops a number: memory bandwidth is the limit.
"""

import torch
import triton
import triton.language as tl
from ladder.kernels.rows import as_rows, configured, same_device_floats
from torch.autograd.function import once_differentiable

CONFIGURATIONS = {0: (512, 4), 80: (2048, 4), 90: (4096, 8)}  # architecture: numbers of a tile, num_warps


@triton.jit
def swiglu_kernel(
    gate_ptr, up_ptr, out_ptr, n_rows, n_cols, col_blocks, stride_gate_row, stride_up_row, stride_out_row,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr,
):
    """Program i: block i % col_blocks of the columns of the BLOCK_ROWS rows number i // col_blocks."""
    program = tl.program_id(0)
    row = (program // col_blocks).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    col = (program % col_blocks).to(tl.int64) * BLOCK_COLS + tl.arange(0, BLOCK_COLS)
    inside = (row < n_rows)[:, None] & (col < n_cols)[None, :]
    row, col = row[:, None], col[None, :]
    g = tl.load(gate_ptr + row * stride_gate_row + col, mask=inside, other=0.0).to(tl.float32)
    u = tl.load(up_ptr + row * stride_up_row + col, mask=inside, other=0.0).to(tl.float32)
    out = g / (1.0 + tl.exp(-g)) * u
    tl.store(out_ptr + row * stride_out_row + col, out.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def swiglu_backward_kernel(
    gate_ptr, up_ptr, dout_ptr, dgate_ptr, dup_ptr, n_rows, n_cols, col_blocks,
    stride_gate_row, stride_up_row, stride_dout_row, stride_dgate_row, stride_dup_row,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr,
):
    """Program i: both gradients of the tile that program i computes forward."""
    program = tl.program_id(0)
    row = (program // col_blocks).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    col = (program % col_blocks).to(tl.int64) * BLOCK_COLS + tl.arange(0, BLOCK_COLS)
    inside = (row < n_rows)[:, None] & (col < n_cols)[None, :]
    row, col = row[:, None], col[None, :]
    g = tl.load(gate_ptr + row * stride_gate_row + col, mask=inside, other=0.0).to(tl.float32)
    u = tl.load(up_ptr + row * stride_up_row + col, mask=inside, other=0.0).to(tl.float32)
    dout = tl.load(dout_ptr + row * stride_dout_row + col, mask=inside, other=0.0).to(tl.float32)
    sigma = 1.0 / (1.0 + tl.exp(-g))
    dg = dout * u * sigma * (1.0 + g * (1.0 - sigma))
    du = dout * g * sigma
    tl.store(dgate_ptr + row * stride_dgate_row + col, dg.to(dgate_ptr.dtype.element_ty), mask=inside)
    tl.store(dup_ptr + row * stride_dup_row + col, du.to(dup_ptr.dtype.element_ty), mask=inside)


def launch(kernel, *tensors):
    """Launch ``kernel`` on tiles of ``tensors``, all of one shape; contiguous ones count as one long row."""
    if all(t.is_contiguous() for t in tensors):
        rows = [t.view(1, -1) for t in tensors]
    else:
        rows = [as_rows(t, "x") for t in tensors]
    n_rows, n_cols = rows[0].shape
    numbers, warps = configured(CONFIGURATIONS, tensors[0])
    block_cols = min(numbers, triton.next_power_of_2(n_cols))
    block_rows, col_blocks = min(numbers // block_cols, triton.next_power_of_2(n_rows)), triton.cdiv(n_cols, block_cols)
    kernel[(triton.cdiv(n_rows, block_rows) * col_blocks,)](
        *rows, n_rows, n_cols, col_blocks, *(t.stride(0) for t in rows),
        BLOCK_ROWS=block_rows, BLOCK_COLS=block_cols, num_warps=warps)


class SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gate, up, kernel):
        ctx.save_for_backward(gate, up)
        out = torch.empty_like(gate, memory_format=torch.contiguous_format)
        if gate.numel():
            launch(kernel, gate, up, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        gate, up = ctx.saved_tensors
        dgate, dup = (torch.empty_like(gate, memory_format=torch.contiguous_format) for _ in range(2))
        if gate.numel():
            launch(swiglu_backward_kernel, gate, up, dout.contiguous(), dgate, dup)
        return dgate, dup, None


def swiglu(gate, up, kernel=swiglu_kernel):
    """``silu(gate) * up`` for two tensors of one shape and type; differentiable in both.

    The last axis must be contiguous and the rows one stride apart, as in the halves of ``x.chunk(2, -1)``.
    """
    same_device_floats(gate=gate, up=up)
    if gate.shape != up.shape or gate.dtype != up.dtype:
        raise ValueError(f"gate and up must be alike, not {tuple(gate.shape)} {gate.dtype} "
                         f"and {tuple(up.shape)} {up.dtype}")
    as_rows(gate, "gate"), as_rows(up, "up")
    return SwiGLU.apply(gate, up, kernel)

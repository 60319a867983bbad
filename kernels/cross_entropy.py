"""Cross-entropy of logits against target classes, and its gradient.

    lse = log Σ_v exp(z_v),    loss = lse − z_target,    dz_v = dloss (exp(z_v − lse) − [v = target]),

and 0 for both where the target is ``ignore_index``. The sum is kept up to date with the maximum, block
by block (Milakov and Gimelshein, arXiv 1805.02867), so that a vocabulary of any size is read once
forward. Kept for the gradient is one float32 a row, not the probabilities.

Cost for R rows of V logits of e bytes: R·V·e bytes forward, 2·R·V·e backward (one read, one write), and
about 5 flops a logit, one of them an exponential: memory bandwidth is the limit. Rows to be ignored are
not read. A V that is no multiple of 8 costs dear: rows then start where no wide read may. Not here: joining
this with the product that makes the logits, which would save writing and reading them.
"""

import torch
import triton
import triton.language as tl
from ladder.kernels.rows import as_rows, configured, same_device, same_device_floats
from torch.autograd.function import once_differentiable

# architecture: longest block of the forward pass, its warps; block of the backward pass, its warps
CONFIGURATIONS = {0: (256, 4, 256, 4), 80: (4096, 8, 4096, 8), 90: (4096, 8, 4096, 8)}
STAGES = 3  # blocks on their way at once


@triton.jit
def cross_entropy_kernel(
    logits_ptr, target_ptr, loss_ptr, lse_ptr, n_cols, ignore_index, stride_row,
    BLOCK: tl.constexpr, STAGES: tl.constexpr,
):
    """Program i: the loss and the log-sum-exp of row i, read a block at a time."""
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(target_ptr + row).to(tl.int64)
    if target == ignore_index:
        tl.store(loss_ptr + row, 0.0)
        tl.store(lse_ptr + row, 0.0)
    else:
        highest = -float("inf")
        total = tl.zeros((BLOCK,), tl.float32)               # one sum a lane: they meet once, at the end
        for start in tl.range(0, n_cols, BLOCK, num_stages=STAGES):
            col = start + tl.arange(0, BLOCK)
            z = tl.load(logits_ptr + row * stride_row + col,
                        mask=col < n_cols, other=float("-inf")).to(tl.float32)
            new = tl.maximum(highest, tl.max(z, axis=0))
            base = tl.where(new == -float("inf"), 0.0, new)  # nothing but -inf so far
            total = total * tl.exp(highest - base) + tl.exp(z - base)
            highest = new
        rest = tl.log(tl.sum(total, axis=0))                 # added last: beside a large maximum it would drown
        known = (target >= 0) & (target < n_cols)
        z = tl.load(logits_ptr + row * stride_row + target, mask=known, other=float("nan")).to(tl.float32)
        tl.store(loss_ptr + row, highest - z + rest)
        tl.store(lse_ptr + row, highest + rest)


@triton.jit
def cross_entropy_backward_kernel(
    logits_ptr, target_ptr, lse_ptr, dloss_ptr, dlogits_ptr, n_cols, col_blocks, ignore_index,
    stride_row, stride_dloss, stride_dlogits_row, BLOCK: tl.constexpr,
):
    """Program i: block i % col_blocks of the gradient of row i // col_blocks."""
    program = tl.program_id(0).to(tl.int64)
    row, start = program // col_blocks, (program % col_blocks) * BLOCK
    col = start + tl.arange(0, BLOCK)
    target = tl.load(target_ptr + row).to(tl.int64)
    counts = target != ignore_index
    dloss = tl.load(dloss_ptr + row * stride_dloss, mask=counts, other=0.0).to(tl.float32)
    dloss = tl.where((target >= 0) & (target < n_cols) | (target == ignore_index), dloss, float("nan"))
    lse = tl.load(lse_ptr + row)
    z = tl.load(logits_ptr + row * stride_row + col, mask=(col < n_cols) & counts, other=0.0).to(tl.float32)
    dz = dloss * (tl.exp(z - lse) - tl.where(col == target, 1.0, 0.0))
    dz = tl.where(counts, dz, 0.0)
    tl.store(dlogits_ptr + row * stride_dlogits_row + col, dz.to(dlogits_ptr.dtype.element_ty), mask=col < n_cols)


class CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, ignore_index, kernel):
        n_rows, n_cols = logits.shape
        loss, lse = (logits.new_empty(n_rows, dtype=torch.float32) for _ in range(2))
        longest, warps, _, _ = configured(CONFIGURATIONS, logits)
        block = min(longest, triton.next_power_of_2(n_cols))
        if n_rows:
            kernel[(n_rows,)](logits, targets, loss, lse, n_cols, ignore_index, logits.stride(0),
                              BLOCK=block, STAGES=STAGES, num_warps=min(warps, max(1, block // 512)))
        ctx.save_for_backward(logits, targets, lse)
        ctx.ignore_index = ignore_index
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, dloss):
        logits, targets, lse = ctx.saved_tensors
        n_rows, n_cols = logits.shape
        dlogits = torch.empty_like(logits, memory_format=torch.contiguous_format)
        _, _, longest, warps = configured(CONFIGURATIONS, logits)
        block = min(longest, triton.next_power_of_2(n_cols))
        blocks = triton.cdiv(n_cols, block)
        if n_rows:
            cross_entropy_backward_kernel[(n_rows * blocks,)](
                logits, targets, lse, dloss, dlogits, n_cols, blocks, ctx.ignore_index,
                logits.stride(0), dloss.stride(0), dlogits.stride(0),
                BLOCK=block, num_warps=min(warps, max(1, block // 512)))
        return dlogits, None, None, None


def cross_entropy(logits, targets, ignore_index=-100, kernel=cross_entropy_kernel):
    """The loss of each row of ``logits`` (rows, V) against ``targets`` (rows,), integers; (rows,) float32.

    0 where the target is ``ignore_index``; NaN, as is the row's gradient, where it is no class. A mean,
    as PyTorch gives by default, is up to the caller. The last axis of the logits must be contiguous.
    """
    same_device_floats(logits=logits)
    if logits.dim() != 2 or not logits.shape[1]:
        raise ValueError(f"logits must be of shape (rows, V), not {tuple(logits.shape)}")
    as_rows(logits, "logits")
    same_device(logits=logits, targets=targets)
    if targets.shape != logits.shape[:1] or targets.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"targets must be {logits.shape[0]} of int64 or int32, not {tuple(targets.shape)} "
                         f"of {targets.dtype}")
    return CrossEntropy.apply(logits, targets.contiguous(), ignore_index, kernel)

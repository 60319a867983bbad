"""The sum of two arrays, element by element: out[i] = x[i] + y[i].

The gradient of both is the gradient of the sum itself, so there is nothing to compute backward.

Cost for n numbers of e bytes: 3·n·e bytes (two reads, one write) and n flops, 1 / (3·e) flops a byte:
memory bandwidth is the limit, and the kernel's work is to keep enough wide reads on their way. A
program reads 16 bytes a thread at once, a few times over, before it needs the first of them.
"""

import torch
import triton
import triton.language as tl
from ladder.kernels.rows import configured, same_device_floats

CONFIGURATIONS = {0: (1024, 4), 80: (8192, 4), 90: (16384, 8)}  # architecture: bytes of a block, num_warps


@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    """Program i: the numbers from i * BLOCK to (i + 1) * BLOCK."""
    offset = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = offset < n
    x = tl.load(x_ptr + offset, mask=inside, other=0.0).to(tl.float32)
    y = tl.load(y_ptr + offset, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_ptr + offset, (x + y).to(out_ptr.dtype.element_ty), mask=inside)


def launch_add(x, y, kernel=add_kernel):
    """``x + y`` without autograd; the arguments are checked already."""
    out = torch.empty_like(x)
    if x.numel():
        size, warps = configured(CONFIGURATIONS, x)
        block = size // x.element_size()
        kernel[(triton.cdiv(x.numel(), block),)](x, y, out, x.numel(), BLOCK=block, num_warps=warps)
    return out


class VectorAdd(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, kernel):
        return launch_add(x, y, kernel)

    @staticmethod
    def backward(ctx, dout):
        return dout, dout, None


def vector_add(x, y, kernel=add_kernel):
    """``x + y`` for two contiguous tensors of one shape and type; differentiable in both."""
    same_device_floats(x=x, y=y)
    if x.shape != y.shape or x.dtype != y.dtype:
        raise ValueError(f"x and y must be alike, not {tuple(x.shape)} {x.dtype} and {tuple(y.shape)} {y.dtype}")
    if not (x.is_contiguous() and y.is_contiguous()):
        raise ValueError("x and y must be contiguous: call .contiguous()")
    return VectorAdd.apply(x, y, kernel)

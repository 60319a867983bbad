"""Day 30: first Triton kernels: vector addition, row softmax, softmax with scale and mask.

Cost, with e bytes a number, all three limited by memory bandwidth:

- vector addition, n numbers: reads 2·n·e bytes, writes n·e; n FLOPs, 1/(3e) a byte;
- row softmax, R × C numbers: reads R·C·e bytes once, writes R·C·e; about 5 FLOPs a number, because a
  row stays in registers between its maximum, its sum and its quotients;
- the same with scale and mask: R·C bytes of mask more, nothing written in between.

The softmax subtracts the row's maximum (Milakov and Gimelshein, arXiv 1805.02867, section 2). A row is
held by one program, so columns are limited by its registers; left out are rows longer than that, which
the running softmax of the same paper's section 3 (Day 29) handles, and the choice of ``num_warps``.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ladder.triton import tl, triton


@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    """Program i adds the elements i * BLOCK to i * BLOCK + BLOCK - 1 of x and y into out.

    x, y and out are contiguous and have ``n`` elements, numbered from 0; elements from n on do not
    exist and are neither read nor written. ``BLOCK`` is a power of two. The grid has one axis, with
    enough programs for all n elements, and may have more.
    """
    offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    x = tl.load(x_ptr + offsets, mask=inside, other=0.0)
    y = tl.load(y_ptr + offsets, mask=inside, other=0.0)
    tl.store(out_ptr + offsets, x + y, mask=inside)


def add_grid(n: int, BLOCK: int) -> tuple[int]:
    """The grid of ``add_kernel``: a tuple of one number, the fewest programs that cover n elements."""
    return (triton.cdiv(n, BLOCK),)


def vector_add(
    x: Float[Tensor, "*shape"], y: Float[Tensor, "*shape"], BLOCK: int = 1024
) -> Float[Tensor, "*shape"]:
    """x + y in a new tensor, by one launch of ``add_kernel`` on ``add_grid(n, BLOCK)``.

    x and y have one shape (with any number of axes, n elements in all), one dtype and one device, and
    are contiguous; otherwise raises ValueError. The result has this shape, dtype and device. Where
    n = 0, nothing is launched. torch makes the result's memory and computes nothing.
    """
    if x.shape != y.shape or x.dtype != y.dtype or x.device != y.device:
        raise ValueError(f"x is {tuple(x.shape)} {x.dtype} on {x.device}, "
                         f"y is {tuple(y.shape)} {y.dtype} on {y.device}")
    if not (x.is_contiguous() and y.is_contiguous()):
        raise ValueError("x and y must be contiguous")
    out = torch.empty_like(x)
    if x.numel():
        add_kernel[add_grid(x.numel(), BLOCK)](x, y, out, x.numel(), BLOCK=BLOCK)
    return out


def sectors(count: int, stride: int, itemsize: int, first: int = 0) -> int:
    """How many 32-byte sectors one load of ``count`` elements of an array touches.

    The elements are first, first + stride, first + 2 * stride, ... Each has ``itemsize`` bytes (1, 2, 4
    or 8). Element 0 begins at the beginning of a sector. ``stride`` may be 0, not negative; ``count`` is
    at least 1.
    """
    return len({(first + lane * stride) * itemsize // 32 for lane in range(count)})


@triton.jit
def softmax_kernel(x_ptr, out_ptr, n_cols, stride_x_row, stride_out_row, BLOCK: tl.constexpr):
    """Program i writes the softmax of row i of x into row i of out.

    Element (i, j) of x stands ``i * stride_x_row + j`` elements behind x_ptr, that of out
    ``i * stride_out_row + j`` behind out_ptr, for 0 <= j < ``n_cols``; what lies between two rows is
    neither read nor written. ``BLOCK`` is a power of two and at least n_cols. The grid has one program
    for each row.

    Computes in float32, whatever the dtype of x, and stores in the dtype of out. Each element is read
    once and written once. Large logits (1e4, say) give no overflow; a logit of −inf gives 0, as long as
    the row has another one.
    """
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    x = tl.load(x_ptr + row * stride_x_row + cols, mask=inside, other=float("-inf")).to(tl.float32)
    numerator = tl.exp(x - tl.max(x, axis=0))
    out = numerator / tl.sum(numerator, axis=0)
    tl.store(out_ptr + row * stride_out_row + cols, out, mask=inside)


def softmax(x: Float[Tensor, "rows cols"]) -> Float[Tensor, "rows cols"]:
    """The softmax of each row of x in a new contiguous tensor, by one launch of ``softmax_kernel``.

    x has 2 axes, with at least one row and one column, and neighbours in a row are neighbours in memory;
    otherwise raises ValueError. Rows may lie apart (``big[:, :100]``) or in any order of memory that
    ``x.stride(0)`` tells. The block is the smallest that the kernel allows. The result has the dtype
    and device of x. torch makes the result's memory and computes or copies nothing.
    """
    if x.ndim != 2 or not x.numel():
        raise ValueError(f"x must be a matrix with rows and columns, not {tuple(x.shape)}")
    if x.stride(1) != 1:
        raise ValueError("neighbours in a row of x must be neighbours in memory")
    rows, cols = x.shape
    out = torch.empty((rows, cols), dtype=x.dtype, device=x.device)
    softmax_kernel[(rows,)](
        x, out, cols, x.stride(0), out.stride(0), BLOCK=triton.next_power_of_2(cols))
    return out


@triton.jit
def masked_softmax_kernel(
    x_ptr, mask_ptr, out_ptr, scale, n_cols,
    stride_x_row, stride_mask_row, stride_out_row, BLOCK: tl.constexpr,
):
    """Program i writes the softmax of ``scale`` times row i of x, over its unmasked columns.

    Layout, BLOCK, grid and precision are as in ``softmax_kernel``. Element (i, j) of the mask, a
    boolean, stands ``i * stride_mask_row + j`` elements behind mask_ptr, True = column j counts; one
    row of a mask may serve all rows, with stride 0. Masked columns get 0, whatever x is there (inf and
    NaN too). A row without a single True gets all zeros. ``scale`` is any finite number. Each element
    of x and of the mask is read once at most, each of out is written once.
    """
    row = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK)
    inside = cols < n_cols
    counts = tl.load(mask_ptr + row * stride_mask_row + cols, mask=inside, other=0) != 0
    x = tl.load(x_ptr + row * stride_x_row + cols, mask=inside, other=0.0).to(tl.float32)
    x = tl.where(counts, x * scale, float("-inf"))
    highest = tl.max(x, axis=0)
    numerator = tl.exp(x - tl.where(highest == float("-inf"), 0.0, highest))
    total = tl.sum(numerator, axis=0)
    out = numerator / tl.where(total == 0.0, 1.0, total)
    tl.store(out_ptr + row * stride_out_row + cols, out, mask=inside)


def softmax_traffic(rows: int, cols: int, itemsize: int = 4) -> dict[str, int]:
    """Bytes between memory and processor for the softmax of ``scale * x`` where a mask holds.

    x is rows × cols with ``itemsize`` bytes a number, and so is every result; the mask is rows × cols
    with 1 byte each. Every kernel reads each of its inputs once and writes its result once.

    - ``"separate"``: three kernels, one after the other: ``s = scale * x``;
      ``t = where(mask, s, -inf)``; ``out = softmax(t)``;
    - ``"fused"``: one kernel that does all.
    """
    numbers, mask = rows * cols * itemsize, rows * cols
    return {"separate": 6 * numbers + mask, "fused": 2 * numbers + mask}

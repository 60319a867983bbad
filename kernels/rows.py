"""What the launchers of row kernels share: rows one stride apart, the device, and a tile for a row.

No kernel here but :func:`column_sums_kernel`, the second half of a weight's gradient: the programs of
a backward kernel each write their own partial sum, and these are added in a fixed order, so that two
runs give the same bits. An atomic addition would save one launch and make them differ.
"""

from itertools import pairwise

import torch
import triton
import triton.language as tl


def architecture(x) -> int:
    """The compute capability of the GPU that holds ``x``, as 80 or 90; 0 for a tensor on no GPU."""
    if not x.is_cuda:
        return 0
    major, minor = torch.cuda.get_device_capability(x.device)
    return 10 * major + minor


def configured(table: dict[int, tuple], x) -> tuple:
    """The entry of ``table`` for the GPU of ``x``: its own, else that of the newest older one."""
    mine = architecture(x)
    return table[max((known for known in table if known <= mine), default=min(table))]


def multiprocessors(x) -> int:
    """How many multiprocessors the GPU of ``x`` has; 2 for a tensor on no GPU."""
    return torch.cuda.get_device_properties(x.device).multi_processor_count if x.is_cuda else 2


def as_rows(x, name: str):
    """``x`` (..., n) viewed as (rows, n); ValueError where that would take a copy."""
    if x.dim() == 0:
        raise ValueError(f"{name} needs at least one axis")
    n = x.shape[-1]
    if n > 1 and x.stride(-1) != 1:
        raise ValueError(f"the last axis of {name} must be contiguous; its stride is {x.stride(-1)}")
    leading = [(size, stride) for size, stride in zip(x.shape[:-1], x.stride()[:-1], strict=True) if size > 1]
    if x.numel() and any(outer != size * inner for (_, outer), (size, inner) in pairwise(leading)):
        raise ValueError(f"the rows of {name}, shape {tuple(x.shape)} and strides {x.stride()}, are not one "
                         f"stride apart: call {name}.contiguous()")
    return x.view(x.numel() // n if n else 0, n)


def same_device(**tensors) -> None:
    """ValueError unless all ``tensors`` are on one device."""
    devices = {t.device for t in tensors.values()}
    if len(devices) > 1:
        raise ValueError(f"{', '.join(tensors)} must be on one device, not on {sorted(map(str, devices))}")


def same_device_floats(**tensors) -> None:
    """ValueError unless all ``tensors`` are float32, float16 or bfloat16, on one device."""
    same_device(**tensors)
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise ValueError(f"{name} must be float32, float16 or bfloat16, not {tensor.dtype}")


def row_tile(n_cols: int, numbers: int, per_thread: int) -> dict[str, int]:
    """Launch options for whole rows in registers: several short rows a program, or one long one."""
    cols = triton.next_power_of_2(n_cols)
    rows = max(1, numbers // cols)
    warps = min(16, max(1, rows * cols // (32 * per_thread)))
    return {"BLOCK_ROWS": rows, "BLOCK_COLS": cols, "num_warps": warps}


@triton.jit
def column_sums_kernel(
    x_ptr, out_ptr, n_rows, n_cols, BLOCK_ROWS: tl.constexpr, BLOCK_COLS: tl.constexpr,
):
    """Program (j, m): the sums of columns j * BLOCK_COLS and on of matrix m of x (matrices, rows, cols)."""
    matrix = tl.program_id(1).to(tl.int64)
    col = tl.program_id(0) * BLOCK_COLS + tl.arange(0, BLOCK_COLS)
    acc = tl.zeros((BLOCK_ROWS, BLOCK_COLS), tl.float32)
    for start in range(0, n_rows, BLOCK_ROWS):
        row = start + tl.arange(0, BLOCK_ROWS)
        inside = (row < n_rows)[:, None] & (col < n_cols)[None, :]
        acc += tl.load(x_ptr + (matrix * n_rows + row)[:, None] * n_cols + col[None, :], mask=inside, other=0.0)
    tl.store(out_ptr + matrix * n_cols + col, tl.sum(acc, axis=0).to(out_ptr.dtype.element_ty), mask=col < n_cols)


def column_sums(x, dtype, kernel=column_sums_kernel):
    """The sums over the rows of ``x`` (matrices, rows, cols), float32 and contiguous; (matrices, cols)."""
    matrices, n_rows, n_cols = x.shape
    out = x.new_empty((matrices, n_cols), dtype=dtype)
    kernel[triton.cdiv(n_cols, 32), matrices](x, out, n_rows, n_cols, BLOCK_ROWS=32, BLOCK_COLS=32, num_warps=4)
    return out

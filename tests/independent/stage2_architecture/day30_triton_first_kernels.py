"""Day 30 a second time: lanes counted from the end, powers of two, a sum of reciprocals, closed forms."""

import math

import torch
import triton
import triton.language as tl


@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    begin = tl.program_id(axis=0) * BLOCK
    lane = tl.arange(0, BLOCK)
    there = lane < n - begin
    total = tl.load(y_ptr + begin + lane, there)
    total += tl.load(x_ptr + begin + lane, there)
    tl.store(out_ptr + begin + lane, total, there)


def add_grid(n, BLOCK):
    return [(n + BLOCK - 1) // BLOCK]


def vector_add(x, y, BLOCK=1024):
    if x.size() != y.size() or {x.dtype, x.device} != {y.dtype, y.device}:
        raise ValueError("two of a kind, please")
    for t in (x, y):
        if not t.is_contiguous():
            raise ValueError("not contiguous")
    out = torch.empty(x.shape, dtype=y.dtype, device=y.device)
    n = math.prod(x.shape)
    if n == 0:
        return out
    add_kernel[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, y, out, n, BLOCK)
    return out


def sectors(count, stride, itemsize, first=0):
    if stride * itemsize >= 32:
        return count
    last = first + (count - 1) * stride
    return last * itemsize // 32 - first * itemsize // 32 + 1


@triton.jit
def _exponentials(logits, there):
    largest = tl.max(tl.where(there, logits, float("-inf")))
    largest = tl.where(largest > float("-inf"), largest, 0.0)
    return tl.where(there, tl.exp2((logits - largest) * 1.4426950408889634), 0.0)


@triton.jit
def softmax_kernel(x_ptr, out_ptr, n_cols, stride_x_row, stride_out_row, BLOCK: tl.constexpr):
    i = tl.program_id(0)
    j = tl.arange(0, BLOCK)
    x_ptr += i * stride_x_row
    out_ptr += i * stride_out_row
    weight = _exponentials(tl.load(x_ptr + j, mask=j < n_cols, other=0.0).to(tl.float32), j < n_cols)
    tl.store(out_ptr + j, weight * (1.0 / tl.sum(weight)), mask=j < n_cols)


def softmax(x):
    if x.dim() != 2 or 0 in x.shape or x.stride()[1] != 1:
        raise ValueError(f"{tuple(x.shape)} with strides {x.stride()}")
    out = x.new_empty(x.shape)
    block = 1
    while block < x.shape[1]:
        block *= 2
    softmax_kernel[len(x), 1](x, out, x.shape[1], x.stride(0), x.shape[1], BLOCK=block, num_warps=8)
    return out


@triton.jit
def masked_softmax_kernel(
    x_ptr, mask_ptr, out_ptr, scale, n_cols, stride_x_row, stride_mask_row, stride_out_row, BLOCK: tl.constexpr
):
    i = tl.program_id(0)
    j = tl.arange(0, BLOCK)
    there = tl.load(mask_ptr + i * stride_mask_row + j, mask=j < n_cols, other=False).to(tl.int1)
    x = tl.load(x_ptr + i * stride_x_row + j, mask=there, other=0.0).to(tl.float32)
    weight = _exponentials(x * scale, there)
    total = tl.maximum(tl.sum(weight), 1e-30)
    tl.store(out_ptr + i * stride_out_row + j, weight / total, mask=j < n_cols)


def softmax_traffic(rows, cols, itemsize=4):
    n = rows * cols
    scale = [n * itemsize, n * itemsize]
    where = [n * itemsize, n, n * itemsize]
    soft = [n * itemsize, n * itemsize]
    return dict(fused=scale[0] + n + soft[1], separate=sum(scale) + sum(where) + sum(soft))

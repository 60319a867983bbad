"""Rotary position embedding of queries and keys, and its gradients (Su et al., arXiv 2104.09864, section 3.4.2).

The channels 2i and 2i + 1 of the token at position t are one point, turned by the angle tθ_i (Day 21):

    out_2i = x_2i c − x_(2i+1) s,    out_(2i+1) = x_2i s + x_(2i+1) c,    c = cos[t, i], s = sin[t, i].

The gradient is the same kernel turning the other way. ``cos`` and ``sin`` are tables, not parameters.

Cost for B·H·T·d numbers of e bytes: 2·B·H·T·d·e bytes, beside the tables, 4·T·d bytes together in
float32, which a program reads once for several heads; 3 flops a number: memory bandwidth is the limit.
Neighbouring channels are read together, 16 bytes a thread, and parted in registers.
"""

import torch
import triton
import triton.language as tl
from ladder.kernels.rows import configured, same_device_floats
from torch.autograd.function import once_differentiable

# architecture: numbers of a tile, heads of a program, num_warps
CONFIGURATIONS = {0: (256, 2, 4), 80: (2048, 4, 4), 90: (2048, 4, 4)}


@triton.jit
def rope_kernel(
    x_ptr, cos_ptr, sin_ptr, out_ptr, n_heads, n_tokens,
    stride_x_seq, stride_x_head, stride_x_token,
    stride_out_seq, stride_out_head, stride_out_token, stride_cos_token, stride_sin_token,
    HEAD_DIM: tl.constexpr, BACKWARD: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr, BLOCK_HEADS: tl.constexpr, BLOCK_PAIRS: tl.constexpr,
):
    """Program (i, j, b): BLOCK_TOKENS tokens from i * BLOCK_TOKENS on of BLOCK_HEADS heads of sequence b."""
    token = tl.program_id(0).to(tl.int64) * BLOCK_TOKENS + tl.arange(0, BLOCK_TOKENS)
    seq = tl.program_id(2).to(tl.int64)
    pair, dim = tl.arange(0, BLOCK_PAIRS), tl.arange(0, 2 * BLOCK_PAIRS)
    live = (token < n_tokens)[:, None]
    in_table = live & (pair < HEAD_DIM // 2)[None, :]
    c = tl.load(cos_ptr + token[:, None] * stride_cos_token + pair[None, :], mask=in_table, other=0.0).to(tl.float32)
    s = tl.load(sin_ptr + token[:, None] * stride_sin_token + pair[None, :], mask=in_table, other=0.0).to(tl.float32)
    if BACKWARD:
        s = -s
    for member in range(BLOCK_HEADS):
        head = (tl.program_id(1) * BLOCK_HEADS + member).to(tl.int64)
        inside = live & (dim < HEAD_DIM)[None, :] & (head < n_heads)
        x = tl.load(x_ptr + seq * stride_x_seq + head * stride_x_head + token[:, None] * stride_x_token
                    + dim[None, :], mask=inside, other=0.0).to(tl.float32)
        even, odd = tl.split(tl.reshape(x, (BLOCK_TOKENS, BLOCK_PAIRS, 2)))
        out = tl.reshape(tl.join(even * c - odd * s, even * s + odd * c), (BLOCK_TOKENS, 2 * BLOCK_PAIRS))
        tl.store(out_ptr + seq * stride_out_seq + head * stride_out_head + token[:, None] * stride_out_token
                 + dim[None, :], out.to(out_ptr.dtype.element_ty), mask=inside)


def turned(x, cos, sin, backward=False, kernel=rope_kernel):
    """``x`` (B, H, T, d) turned by the angles of the tables, or back; laid out as ``x`` is, without autograd."""
    out = torch.empty_like(x)
    if not x.numel():
        return out
    seqs, heads, tokens, dim = x.shape
    numbers, block_heads, warps = configured(CONFIGURATIONS, x)
    block_pairs = triton.next_power_of_2(dim // 2)
    block_tokens = min(max(1, numbers // (2 * block_pairs)), triton.next_power_of_2(tokens))
    block_heads = min(block_heads, heads)
    kernel[triton.cdiv(tokens, block_tokens), triton.cdiv(heads, block_heads), seqs](
        x, cos, sin, out, heads, tokens, *x.stride()[:3], *out.stride()[:3], cos.stride(0), sin.stride(0),
        HEAD_DIM=dim, BACKWARD=backward,
        BLOCK_TOKENS=block_tokens, BLOCK_HEADS=block_heads, BLOCK_PAIRS=block_pairs, num_warps=warps)
    return out


class Rope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, cos, sin, kernel):
        ctx.save_for_backward(cos, sin)
        return turned(q, cos, sin, kernel=kernel), turned(k, cos, sin, kernel=kernel)

    @staticmethod
    @once_differentiable
    def backward(ctx, dq, dk):
        dq, dk = (d if d.stride(-1) == 1 else d.contiguous() for d in (dq, dk))
        return *(turned(d, *ctx.saved_tensors, backward=True) for d in (dq, dk)), None, None, None


def rope(q, k, cos, sin, kernel=rope_kernel):
    """``q`` (B, Hq, T, d) and ``k`` (B, Hkv, T, d) turned by ``cos`` and ``sin`` (T, d/2); both differentiable.

    The tables are those of Day 21's ``rope_tables``, already cut to the T tokens at hand; no gradient
    flows to them. The last axis of all four must be contiguous; other strides are as they come, so
    (B, T, H, d) transposed is fine.
    """
    same_device_floats(q=q, k=k, cos=cos, sin=sin)
    for name, x in (("q", q), ("k", k)):
        if x.dim() != 4 or x.shape[-1] % 2:
            raise ValueError(f"{name} must be of shape (B, H, T, d) with d even, not {tuple(x.shape)}")
        if cos.shape != (x.shape[2], x.shape[3] // 2) or sin.shape != cos.shape:
            raise ValueError(f"{name} of shape {tuple(x.shape)} takes tables {(x.shape[2], x.shape[3] // 2)}, "
                             f"not {tuple(cos.shape)} and {tuple(sin.shape)}")
    for name, x in (("q", q), ("k", k), ("cos", cos), ("sin", sin)):
        if x.shape[-1] > 1 and x.stride(-1) != 1:
            raise ValueError(f"the last axis of {name} must be contiguous; its stride is {x.stride(-1)}")
    return Rope.apply(q, k, cos, sin, kernel)

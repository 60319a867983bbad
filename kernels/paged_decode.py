"""Attention of one new token per sequence over a paged KV cache (Day 40), with split-KV.

    o[b, h] = Σ_t softmax_t(q[b, h] · k_t / √d) v_t,      t = 0 ... lengths[b] − 1,

k_t and v_t in the block ``block_tables[b, t // block_size]`` at offset ``t % block_size`` of the pools
(num_blocks, block_size, Hkv, d). Follows Kwon et al. (arXiv 2309.06180), section 4.1, with the running
softmax of Milakov and Gimelshein (arXiv 1805.02867); cutting long sequences into splits, whose results
are merged by their log-sum-exp, is Flash-Decoding (https://pytorch.org/blog/flash-decoding/).

Cost for a sequence of T tokens with e bytes a number: it reads 2·T·Hkv·d·e bytes of keys and values,
each once, because one program handles all query heads of a key-value head; and 4·T·Hq·d flops. That is
2·(Hq / Hkv) / e flops a byte, far below what a GPU can do: memory bandwidth is the limit, and ``tl.dot``,
which wants 16 rows or more, would mostly multiply zeros. The block table is read once a token (4 or 8
bytes, nearly always from a cache); splits add 4·Hq·(d + 1) bytes each, written once and read once.
"""

import math

import torch
import triton
import triton.language as tl


@triton.jit
def paged_decode_kernel(
    q_ptr, k_ptr, v_ptr, table_ptr, length_ptr, partial_ptr, lse_ptr,
    scale, splits,
    stride_q_seq, stride_q_head,
    stride_k_block, stride_k_slot, stride_k_head,
    stride_v_block, stride_v_slot, stride_v_head,
    stride_table_seq,
    GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK_SIZE: tl.constexpr,
    BLOCK_GROUP: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_TOKENS: tl.constexpr,
):
    """Program (b, j, s): the query heads of key-value head j of sequence b, over split s of its tokens."""
    seq, kv_head, split = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    kv_heads = tl.num_programs(1)
    member = tl.arange(0, BLOCK_GROUP)
    dim = tl.arange(0, BLOCK_DIM)
    head = kv_head * GROUP + member
    in_group, in_dim = member < GROUP, dim < HEAD_DIM
    in_q = in_group[:, None] & in_dim[None, :]
    q = tl.load(q_ptr + seq * stride_q_seq + head[:, None] * stride_q_head + dim[None, :],
                mask=in_q, other=0.0).to(tl.float32) * scale                  # (G, D)

    length = tl.load(length_ptr + seq).to(tl.int32)
    tiles = tl.cdiv(tl.cdiv(length, splits), BLOCK_TOKENS)                    # tiles a split
    first = split * tiles * BLOCK_TOKENS
    last = tl.minimum(length, first + tiles * BLOCK_TOKENS)

    highest = tl.full((BLOCK_GROUP,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_GROUP,), tl.float32)
    acc = tl.zeros((BLOCK_GROUP, BLOCK_DIM), tl.float32)
    for start in range(first, last, BLOCK_TOKENS):
        token = start + tl.arange(0, BLOCK_TOKENS)
        live = token < last
        block = tl.load(table_ptr + seq * stride_table_seq + token // BLOCK_SIZE,
                        mask=live, other=0).to(tl.int64)
        offset = token % BLOCK_SIZE
        in_kv = live[:, None] & in_dim[None, :]
        k = tl.load(k_ptr + (block * stride_k_block + offset * stride_k_slot + kv_head * stride_k_head)[:, None]
                    + dim[None, :], mask=in_kv, other=0.0).to(tl.float32)      # (N, D)
        scores = tl.sum(q[:, None, :] * k[None, :, :], axis=2)                 # (G, N)
        scores = tl.where(live[None, :], scores, float("-inf"))
        new_highest = tl.maximum(highest, tl.max(scores, axis=1))
        weight = tl.exp(scores - new_highest[:, None])
        shrink = tl.exp(highest - new_highest)
        v = tl.load(v_ptr + (block * stride_v_block + offset * stride_v_slot + kv_head * stride_v_head)[:, None]
                    + dim[None, :], mask=in_kv, other=0.0).to(tl.float32)      # (N, D)
        acc = acc * shrink[:, None] + tl.sum(weight[:, :, None] * v[None, :, :], axis=1)
        total = total * shrink + tl.sum(weight, axis=1)
        highest = new_highest

    empty = total == 0.0                                                       # a split beyond the length
    total = tl.where(empty, 1.0, total)
    lse = tl.where(empty, float("-inf"), highest + tl.log(total))
    row = (seq * kv_heads * GROUP + head) * splits + split                     # int64
    tl.store(partial_ptr + row[:, None] * HEAD_DIM + dim[None, :], acc / total[:, None], mask=in_q)
    tl.store(lse_ptr + row, lse, mask=in_group)


@triton.jit
def merge_splits_kernel(
    partial_ptr, lse_ptr, out_ptr, splits, heads, stride_out_seq, stride_out_head,
    HEAD_DIM: tl.constexpr, BLOCK_SPLITS: tl.constexpr, BLOCK_DIM: tl.constexpr,
):
    """Program (b, h): the splits' outputs, weighted by their shares of the softmax's denominator."""
    seq, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    part, dim = tl.arange(0, BLOCK_SPLITS), tl.arange(0, BLOCK_DIM)
    in_dim = dim < HEAD_DIM
    row = (seq * heads + head) * splits + part                                 # int64
    lse = tl.load(lse_ptr + row, mask=part < splits, other=float("-inf"))
    share = tl.exp(lse - tl.max(lse, axis=0))
    partial = tl.load(partial_ptr + row[:, None] * HEAD_DIM + dim[None, :],
                      mask=(part < splits)[:, None] & in_dim[None, :], other=0.0)
    out = tl.sum(partial * share[:, None], axis=0) / tl.sum(share, axis=0)
    tl.store(out_ptr + seq * stride_out_seq + head * stride_out_head + dim,
             out.to(out_ptr.dtype.element_ty), mask=in_dim)


def paged_decode(
    q, k_pool, v_pool, block_tables, lengths, splits=1,
    kernel=paged_decode_kernel, merge=merge_splits_kernel,
):
    """Attention of ``q`` (B, Hq, d) over pools (num_blocks, block_size, Hkv, d); returns (B, Hq, d).

    ``block_tables`` (B, n) and ``lengths`` (B,) are integer tensors, every length at least 1; entries
    of a table beyond the needed ones are not read. ``splits`` programs share each sequence: more than
    one pays when B · Hkv is far below the number of the GPU's multiprocessors. The last axis of q and
    of the pools must be contiguous. ``kernel`` and ``merge`` are what is launched.
    """
    seqs, heads, dim = q.shape
    _, block_size, kv_heads, _ = k_pool.shape
    if heads % kv_heads:
        raise ValueError(f"{kv_heads} key-value heads do not divide {heads} query heads")
    if any(t.stride(-1) != 1 for t in (q, k_pool, v_pool, block_tables)):
        raise ValueError("the last axis of q, pools and block_tables must be contiguous")
    group = heads // kv_heads
    block_group, block_dim = triton.next_power_of_2(group), triton.next_power_of_2(dim)
    # The products of one tile, (G, N, D) numbers, live in registers: 64 for each of 128 threads.
    block_tokens = min(64, max(4, 8192 // (block_group * block_dim)))
    partial = q.new_empty((seqs, heads, splits, dim), dtype=torch.float32)
    lse = q.new_empty((seqs, heads, splits), dtype=torch.float32)
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    kernel[seqs, kv_heads, splits](
        q, k_pool, v_pool, block_tables, lengths, partial, lse,
        1 / math.sqrt(dim), splits,
        *q.stride()[:2], *k_pool.stride()[:3], *v_pool.stride()[:3], block_tables.stride(0),
        GROUP=group, HEAD_DIM=dim, BLOCK_SIZE=block_size,
        BLOCK_GROUP=block_group, BLOCK_DIM=block_dim, BLOCK_TOKENS=block_tokens, num_warps=4,
    )
    merge[seqs, heads](
        partial, lse, out, splits, heads, *out.stride()[:2],
        HEAD_DIM=dim, BLOCK_SPLITS=triton.next_power_of_2(splits), BLOCK_DIM=block_dim, num_warps=4,
    )
    return out

"""Day 40 a second time: sums over tokens, a map of slots, heaps, softmax block by block."""

import heapq
from itertools import groupby

import numpy as np
import torch


def kv_waste(lengths, max_len, block):
    if any(s < 0 or f < s or f > max_len for s, f in lengths):
        raise ValueError("lengths")
    kinds = ("used", "reserved", "internal")

    def count(given):
        """Look at every slot of every request."""
        slots = [kinds[(i >= s) + (i >= f)] for s, f in lengths for i in range(given(s))]
        return {kind: slots.count(kind) for kind in kinds}

    return {"contiguous": count(lambda s: max_len), "paged": count(lambda s: s + -s % block)}


def first_fit(capacity, taken, need):
    busy = np.zeros(capacity, dtype=bool)
    for start, size in taken:
        busy[start:start + size] = True
    gaps, place = [], 0
    for full, run in groupby(busy.tolist()):
        n = len(list(run))
        if not full:
            gaps.append((place, n))
        place += n
    return next((p for p, n in gaps if n >= need), None), sum(n for _, n in gaps if n < need)


class FreeList:
    def __init__(self, num_blocks):
        self.free = list(range(num_blocks))
        self.refs = [0] * num_blocks


class BlockTable:
    def __init__(self, block_size, pool):
        self.block_size, self.pool = block_size, pool
        self.blocks, self.length = [], 0

    def append_slot(self):
        index, offset = divmod(self.length, self.block_size)
        if index == len(self.blocks):
            heapq.heapify(self.pool.free)  # always the lowest block
            try:
                self.blocks = [*self.blocks, heapq.heappop(self.pool.free)]
            except IndexError:
                raise MemoryError from None
            self.pool.refs[self.blocks[index]] += 1
        if self.pool.refs[self.blocks[index]] != 1:
            raise ValueError("shared")
        self.length += 1
        return offset + self.block_size * self.blocks[index]

    def fork(self):
        other = type(self)(self.block_size, self.pool)
        other.blocks, other.length = self.blocks[:], self.length
        self.pool.refs[:] = [n + (b in self.blocks) for b, n in enumerate(self.pool.refs)]
        return other

    def free(self):
        while self.blocks:
            block = self.blocks.pop()
            self.pool.refs[block] -= 1
            if not self.pool.refs[block]:
                self.pool.free.insert(0, block)
        self.length = 0


def slot_mapping(block_table, positions):
    every = [b * block_table.block_size + i for b in block_table.blocks for i in range(block_table.block_size)]
    slots = []
    for position in map(int, positions):
        if position not in range(block_table.length):
            raise ValueError(position)
        slots.append(every[position])
    return torch.tensor(slots, dtype=torch.long)


def write_kv(k, v, k_pool, v_pool, slots):
    for i, slot in enumerate(slots.tolist()):
        if slot != -1:
            block, offset = divmod(slot, k_pool.size(1))
            k_pool[block][offset].copy_(k[i])
            v_pool[block][offset].copy_(v[i])


def paged_attention(q, k_pool, v_pool, block_table, length):
    """Block by block with a running maximum, as a kernel does it."""
    heads, d = q.shape
    size, kv_heads = k_pool.shape[1:3]
    kv_head = torch.arange(heads) // (heads // kv_heads)
    highest = torch.full((heads,), -torch.inf, dtype=q.dtype)
    total, out = torch.zeros_like(highest), torch.zeros_like(q)
    for j in range((length + size - 1) // size):
        n = min(size, length - j * size)
        block = int(block_table[j])
        k, v = k_pool[block, :n, kv_head], v_pool[block, :n, kv_head]     # (n, heads, d)
        scores = (k * q).sum(-1) / d**0.5
        new = torch.maximum(highest, scores.amax(0))
        weights, shrink = torch.exp(scores - new), torch.exp(highest - new)
        out = out * shrink[:, None] + (weights[..., None] * v).sum(0)
        total, highest = total * shrink + weights.sum(0), new
    return out / total[:, None]

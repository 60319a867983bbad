"""Day 40: the KV cache in blocks: waste, block tables, slots, and attention that reads through them.

Follows Kwon et al., "Efficient Memory Management for Large Language Model Serving with
PagedAttention" (arXiv 2309.06180), sections 3 and 4. Leaves out copy-on-write, swapping and prefix
caching (Day 41) and the attention of a prompt's own tokens. The Triton kernel of the same operation
is in ``kernels/paged_decode.py``.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def kv_waste(
    lengths: Sequence[tuple[int, int]], max_len: int, block: int
) -> dict[str, dict[str, int]]:
    """Where the slots go that running requests hold: contiguous reservation against paging.

    A slot is room for the key and value of one token. ``lengths`` has one pair ``(stored, final)``
    for each request: the tokens whose keys and values are stored now, and the tokens there will be
    when the request ends. Two ways to give slots to a request:

    - ``"contiguous"``: ``max_len`` slots from its first moment to its last;
    - ``"paged"``: as few blocks of ``block`` slots as hold the stored tokens.

    Returns ``{"contiguous": {...}, "paged": {...}}``. Each inner dict counts the slots given to all
    requests together, as Python ints, under the names of section 3.1 of arXiv 2309.06180:

    - ``"used"``: slots that hold a token;
    - ``"reserved"``: slots without a token as yet, which the request will fill before it ends;
    - ``"internal"``: slots without a token, which the request will never fill.

    Raises ValueError unless 0 <= stored <= final <= max_len for every request.
    """
    waste = {way: {"used": 0, "reserved": 0, "internal": 0} for way in ("contiguous", "paged")}
    for stored, final in lengths:
        if not 0 <= stored <= final <= max_len:
            raise ValueError(f"not 0 <= {stored} <= {final} <= {max_len}")
        for way, given in (("contiguous", max_len), ("paged", -(-stored // block) * block)):
            filled = min(final, given)
            waste[way]["used"] += stored
            waste[way]["reserved"] += filled - stored
            waste[way]["internal"] += given - filled
    return waste


def first_fit(
    capacity: int, taken: Sequence[tuple[int, int]], need: int
) -> tuple[int | None, int]:
    """Look for ``need`` neighbouring free slots: ``(start, stranded)``.

    The memory has the slots 0 to capacity − 1. ``taken`` lists the reservations ``(start, size)``,
    in any order; they do not overlap, and each has at least one slot. A gap is a longest run of
    neighbouring free slots.

    - ``start``: the first slot of the first (lowest) gap with at least ``need`` slots, or None;
    - ``stranded``: how many free slots lie in gaps of fewer than ``need`` slots: external
      fragmentation, free memory that this request cannot use.

    ``taken`` is left unchanged. ``need`` is at least 1.
    """
    start, stranded, end = None, 0, 0
    for begin, size in [*sorted(taken), (capacity, 0)]:
        gap = begin - end
        if gap < need:
            stranded += gap
        elif start is None:
            start = end
        end = begin + size
    return start, stranded


def request_trace(n: int, seed: int, max_len: int = 2048) -> list[tuple[int, int]]:
    """``n`` requests as pairs (prompt length, final length), drawn at random.

    Prompts and answers are log-normal, with mean lengths near 161 and 338: the means of ShareGPT
    (arXiv 2309.06180, figure 11). The shape of the distribution is our choice.
    """
    rng = np.random.default_rng(seed)
    spread = 1.0
    prompts, answers = (
        np.ceil(rng.lognormal(math.log(mean) - spread**2 / 2, spread, n)).astype(int)
        for mean in (161, 338)
    )
    return [(int(p), int(min(p + a, max_len)))
            for p, a in zip(np.minimum(prompts, max_len // 2), answers, strict=True)]


@dataclass(eq=False)
class Request:
    """A request on the server: ``size`` slots are its own, from ``start`` on where they lie together."""

    prompt: int
    final: int
    size: int
    stored: int
    start: int = 0


def serve(
    requests: Sequence[tuple[int, int]], capacity: int, policy: str, max_len: int = 2048,
    block: int = 16,
) -> list[dict[str, int]]:
    """Serve ``requests`` in order from ``capacity`` slots; what the slots hold, step by step.

    Each step admits waiting requests while there is room, notes the state, and gives every running
    request one more token. ``policy`` says how many slots a request gets: "max" (``max_len``), "pow2"
    (its prompt, and its answer's length rounded up to a power of two), "oracle" (its final length, as
    if it were known), or "paged" (blocks, when they are needed; when there is none left, the youngest
    request gives its blocks back and waits to start again).

    Each state is a dict: "used", "reserved", "internal", "external" and "free" add up to ``capacity``;
    "running" and "waiting" count requests.
    """
    paged = policy == "paged"
    room = capacity // block * block if paged else capacity
    waiting, running, states = deque(requests), [], []
    while waiting or running:
        stranded = 0
        while waiting:
            prompt, final = waiting[0]
            if paged:
                size = -(-prompt // block) * block
                start = 0 if size <= room - sum(r.size for r in running) else None
            else:
                answer = 2 ** math.ceil(math.log2(max(1, final - prompt)))
                size = {"max": max_len, "pow2": min(max_len, prompt + answer), "oracle": final}[policy]
                start, stranded = first_fit(room, [(r.start, r.size) for r in running], size)
            if start is None:
                break
            running.append(Request(prompt, final, size, stored=prompt, start=start))
            waiting.popleft()
            stranded = 0
        state = {"used": 0, "reserved": 0, "internal": 0}
        for r in running:
            ways = kv_waste([(r.stored, r.final)], max(r.final, r.size), block)
            for name, slots in ways["paged" if paged else "contiguous"].items():
                state[name] += slots
        state |= {"external": stranded, "free": capacity - stranded - sum(state.values())}
        states.append(state | {"running": len(running), "waiting": len(waiting)})
        for r in list(running):
            if r not in running:
                continue                                 # it gave way in this very step
            r.stored += 1
            if r.stored > r.final:
                running.remove(r)
            elif paged and r.stored > r.size:
                r.size += block
                while sum(other.size for other in running) > room:
                    youngest = running.pop()
                    waiting.appendleft((youngest.prompt, youngest.final))
    return states


class FreeList:
    """Which of the physical blocks 0 to num_blocks − 1 are free, and who holds the others.

    - ``free``: a list of the free blocks, each once, in any order;
    - ``refs``: a list of num_blocks reference counts: how many block tables hold each block.

    A block is in ``free`` exactly when its count is 0. Whoever takes or returns a block keeps both
    up to date.
    """

    def __init__(self, num_blocks: int):
        self.free = list(range(num_blocks))
        self.refs = [0] * num_blocks


class BlockTable:
    """The block table of one sequence: which physical block holds which of its tokens.

    - ``block_size``: slots in a block;
    - ``pool``: the ``FreeList`` that blocks come from; other tables use it too;
    - ``blocks``: a list of physical blocks. ``blocks[j]`` holds the tokens at the positions
      j·block_size to (j + 1)·block_size − 1;
    - ``length``: how many tokens have a slot. There are never more blocks than they need.

    A token's slot is the number block·block_size + offset: physical slots are numbered through.
    """

    def __init__(self, block_size: int, pool: FreeList):
        self.block_size = block_size
        self.pool = pool
        self.blocks: list[int] = []
        self.length = 0

    def append_slot(self) -> int:
        """Make room for one more token; returns its physical slot, an int.

        The token's position is ``length`` before the call; afterwards ``length`` is one more. If the
        last block is full (or there is none), a block of ``pool.free``, any of them, leaves that
        list, gets the count 1 and becomes the last of ``blocks``.

        Two errors, neither of which changes the table or the pool:

        - MemoryError if a block is needed and none is free;
        - ValueError if the slot lies in a block whose count is above 1: writing there would change
          what another sequence reads. (Day 41 copies the block instead.)
        """
        offset = self.length % self.block_size
        if offset == 0:
            if not self.pool.free:
                raise MemoryError("no free block")
            block = self.pool.free.pop()
            self.pool.refs[block] = 1
            self.blocks.append(block)
        elif self.pool.refs[self.blocks[-1]] > 1:
            raise ValueError(f"block {self.blocks[-1]} is shared")
        self.length += 1
        return self.blocks[-1] * self.block_size + offset

    def fork(self) -> "BlockTable":
        """A second table of the same tokens, for example for a second answer to one prompt.

        Both tables hold the same blocks, the last one too, even if it is not full. No block is taken
        and nothing is copied; the count of each block grows by 1. Afterwards the tables lead their
        own lives: an ``append_slot`` or ``free`` of one changes neither ``blocks`` nor ``length`` of
        the other.
        """
        child = BlockTable(self.block_size, self.pool)
        child.blocks = list(self.blocks)
        child.length = self.length
        for block in self.blocks:
            self.pool.refs[block] += 1
        return child

    def free(self) -> None:
        """Give all blocks back: the sequence has ended.

        The count of each of its blocks goes down by 1; a block whose count reaches 0 returns to
        ``pool.free``, and only then. Afterwards the table is empty, ``blocks == []`` and
        ``length == 0``, so that a second call changes nothing and the table can be filled anew.
        """
        for block in self.blocks:
            self.pool.refs[block] -= 1
            if self.pool.refs[block] == 0:
                self.pool.free.append(block)
        self.blocks = []
        self.length = 0


def slot_mapping(
    block_table: BlockTable, positions: Sequence[int] | Int[Tensor, "n"]
) -> Int[Tensor, "n"]:
    """The physical slots of the tokens at ``positions``, an int64 tensor of the same length:

        slot = blocks[position // block_size] · block_size + position % block_size.

    Of ``block_table`` only ``blocks``, ``block_size`` and ``length`` are read. ``positions`` is a list
    or an integer tensor, in any order, and may be empty. Raises ValueError if a position is negative
    or not below ``block_table.length``.

    Position −1 has no slot: Python would take the last block for it, and overwrite a live token.
    """
    positions = torch.as_tensor(positions, dtype=torch.int64)
    if ((positions < 0) | (positions >= block_table.length)).any():
        raise ValueError(f"positions outside 0..{block_table.length - 1}: {positions.tolist()}")
    blocks = torch.tensor(block_table.blocks, dtype=torch.int64)
    size = block_table.block_size
    return blocks[positions // size] * size + positions % size


def write_kv(
    k: Float[Tensor, "n Hkv d"],
    v: Float[Tensor, "n Hkv d"],
    k_pool: Float[Tensor, "num_blocks block_size Hkv d"],
    v_pool: Float[Tensor, "num_blocks block_size Hkv d"],
    slots: Int[Tensor, "n"],
) -> None:
    """Store the keys and values of n tokens in the pools, in place; returns None.

    Token i goes to the slot ``slots[i]``: block slots[i] // block_size, offset slots[i] % block_size.
    A slot −1 means padding: that token is not stored anywhere. The other slots differ from each other,
    and all that they do not name stays as it is.

    The pools may have any memory layout, for example be views of a larger tensor; what counts is that
    the tensors given change. ``k`` and ``v`` are converted to the pools' dtype. Autograd is not needed.
    """
    real = slots >= 0
    size = k_pool.shape[1]
    block, offset = slots[real] // size, slots[real] % size
    k_pool[block, offset] = k[real].to(k_pool.dtype)
    v_pool[block, offset] = v[real].to(v_pool.dtype)


def paged_attention(
    q: Float[Tensor, "Hq d"],
    k_pool: Float[Tensor, "num_blocks block_size Hkv d"],
    v_pool: Float[Tensor, "num_blocks block_size Hkv d"],
    block_table: Sequence[int] | Int[Tensor, "n"],
    length: int,
) -> Float[Tensor, "Hq d"]:
    """Attention of one new token over the ``length`` tokens that a block table finds in the pools.

    ``block_table`` lists physical blocks (``BlockTable.blocks``), as a list or an integer tensor: the
    token at position t lies in block block_table[t // block_size] at offset t % block_size. With
    k_t and v_t its key and value for one head,

        o = Σ_t a_t v_t,      a_t = exp(q·k_t / √d) / Σ_s exp(q·k_s / √d),      t, s = 0 ... length − 1

    (section 4.1, equation 4, of arXiv 2309.06180, with the blocks written out). The new token's own
    key and value are among the ``length`` >= 1 tokens, so there is no mask. Hkv divides Hq, and query
    head h reads the key-value head h // (Hq // Hkv), as on Day 22.

    Nothing but those slots counts: slots of the last block beyond ``length``, blocks that the table
    does not name, and table entries beyond the needed ones (often −1) hold anything, even NaN. Scores
    of any size give finite results. Returns (Hq, d) in the dtype of ``q``, which the pools share.
    """
    size = k_pool.shape[1]
    positions = torch.arange(length)
    blocks = torch.as_tensor(block_table, dtype=torch.int64)[positions // size]
    k, v = k_pool[blocks, positions % size], v_pool[blocks, positions % size]    # (length, Hkv, d)
    grouped = q.reshape(k.shape[1], -1, q.shape[-1])                              # (Hkv, group, d)
    scores = torch.einsum("hgd,thd->hgt", grouped, k) / math.sqrt(q.shape[-1])
    return torch.einsum("hgt,thd->hgd", scores.softmax(-1), v).reshape(q.shape)

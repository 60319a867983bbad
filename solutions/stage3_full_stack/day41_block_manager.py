"""Day 41: the block manager of a serving engine, in its two historical designs.

``BlockAllocator``, ``BlockManager`` and ``make_slots`` follow vLLM v0.2 to v0.5 (``BlockSpaceManager``,
later ``BlockSpaceManagerV1``, in vllm/core/block_manager*.py, and the scheduler beside it): reference
counts, fork, copy-on-write, swap, preemption. ``block_hashes`` and ``KVCacheManager`` follow vLLM V1
(v0.8 and later; ``KVCacheManager`` and ``BlockPool`` in vllm/v1/core/): reference counts and cached
prefixes, no fork, no copy, no swap. Leaves out sliding windows, look-ahead slots, several cache
groups, and the extra hash keys of images and adapters.
"""

import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

import torch

from ..stage2_architecture.day21_rope import apply_rope, rope_tables
from .day40_paged_attention import paged_attention, slot_mapping, write_kv


class BlockAllocator:
    """The physical blocks of one memory and who uses them, as in vLLM v0.2 to v0.5.

    ``BlockAllocator(num_blocks)`` manages the blocks 0 to num_blocks − 1. A block is free, or used by
    one or more owners; the number of owners is its reference count, 0 for a free block. Which of the
    free blocks is given out next is up to you. Every method that is given a block raises ValueError,
    and changes nothing, if ``block`` is not one of 0 to num_blocks − 1.
    """

    def __init__(self, num_blocks: int):
        """All ``num_blocks`` blocks are free."""
        self.refs = [0] * num_blocks
        self.unused = list(range(num_blocks))

    def allocate(self) -> int:
        """A block that was free; it now has one owner. Raises ValueError if no block is free."""
        if not self.unused:
            raise ValueError("no free block")
        block = self.unused.pop()
        self.refs[block] = 1
        return block

    def share(self, block: int) -> None:
        """One more owner of a block in use. Raises ValueError if the block is free."""
        if self.ref_count(block) == 0:
            raise ValueError(f"block {block} is free and cannot be shared")
        self.refs[block] += 1

    def free(self, block: int) -> None:
        """One owner less; with its last owner gone, the block is free again.

        Raises ValueError, and changes nothing, if the block is free already: a double free.
        """
        if self.ref_count(block) == 0:
            raise ValueError(f"double free of block {block}")
        self.refs[block] -= 1
        if self.refs[block] == 0:
            self.unused.append(block)

    def ref_count(self, block: int) -> int:
        """The number of owners of ``block``."""
        if not 0 <= block < len(self.refs):
            raise ValueError(f"there is no block {block}")
        return self.refs[block]

    def num_free(self) -> int:
        """How many blocks are free."""
        return len(self.unused)


class BlockManager:
    """The map from sequences to blocks, as vLLM v0.2 to v0.5 kept it.

    A sequence (any int ``seq_id``) is a list of tokens. The key and value of the token at position p
    live in block ``block_table(seq_id)[p // block_size]`` at offset p % block_size, so a sequence of
    n tokens always has a table of exactly ⌈n / block_size⌉ blocks. There are two memories, "gpu" and
    "cpu", each with blocks numbered from 0; a sequence lies in one of them, and begins in "gpu". A
    block's reference count is the number of tables that hold it.

    The manager moves no keys and values: it says which blocks its caller has to copy. Every method
    that is given the ``seq_id`` of an existing sequence raises KeyError if there is none (it was
    never made, or was freed). A method that raises an error changes nothing.
    """

    def __init__(
        self, block_size: int, num_gpu_blocks: int, num_cpu_blocks: int = 0,
        watermark: float = 0.01,
    ):
        """No sequences; all blocks free. When new sequences are let in, ``num_gpu_blocks`` times
        ``watermark`` GPU blocks, rounded down, are held back (see ``can_allocate``).
        """
        self.block_size = block_size
        self.pools = {"gpu": BlockAllocator(num_gpu_blocks),
                      "cpu": BlockAllocator(num_cpu_blocks)}
        self.total = num_gpu_blocks
        self.watermark = int(watermark * num_gpu_blocks)
        self.tables: dict[int, list[int]] = {}
        self.lengths: dict[int, int] = {}
        self.swapped: set[int] = set()

    def can_allocate(self, tokens: Sequence[int]) -> str:
        """Whether a new sequence of these ``tokens`` (at least one) may come in.

        With r the blocks it needs and w the blocks held back: "NEVER" if even an empty GPU memory
        would not leave w blocks (total − r < w); "OK" if the free blocks do (free − r >= w);
        "LATER" otherwise.
        """
        return _status(self, -(-len(tokens) // self.block_size))

    def allocate(self, seq_id: int, tokens: Sequence[int]) -> None:
        """Make the sequence ``seq_id`` of ``tokens`` (at least one), in GPU blocks that were free.

        Raises ValueError if ``seq_id`` exists or the free GPU blocks do not suffice. The blocks held
        back may be used: they are the business of ``can_allocate``.
        """
        need = -(-len(tokens) // self.block_size)
        if seq_id in self.tables:
            raise ValueError(f"sequence {seq_id} exists")
        if need > self.num_free():
            raise ValueError(f"{need} blocks needed, {self.num_free()} free")
        self.tables[seq_id] = [self.pools["gpu"].allocate() for _ in range(need)]
        self.lengths[seq_id] = len(tokens)

    def block_table(self, seq_id: int) -> list[int]:
        """The block numbers of the sequence in order, as a new list."""
        return list(self.tables[seq_id])

    def num_tokens(self, seq_id: int) -> int:
        """The length of the sequence."""
        return self.lengths[seq_id]

    def ref_count(self, block: int, device: str = "gpu") -> int:
        """How many tables hold this block of "gpu" or "cpu" memory."""
        return self.pools[device].ref_count(block)

    def num_free(self, device: str = "gpu") -> int:
        """How many blocks of "gpu" or "cpu" memory are free."""
        return self.pools[device].num_free()

    def fork(self, parent: int, child: int) -> None:
        """Make the sequence ``child`` with the tokens of ``parent`` so far, in the same blocks.

        No block is taken and none is copied: each block of the parent has one more owner. From now on
        the two grow apart (see ``append_slots``). Raises ValueError if ``child`` exists or ``parent``
        lies in CPU memory.
        """
        if child in self.tables:
            raise ValueError(f"sequence {child} exists")
        table = self.tables[parent]
        if parent in self.swapped:
            raise ValueError(f"sequence {parent} is swapped out")
        for block in table:
            self.pools["gpu"].share(block)
        self.tables[child] = list(table)
        self.lengths[child] = self.lengths[parent]

    def free(self, seq_id: int) -> None:
        """End the sequence, wherever it lies: its table gives up every block in it."""
        pool = self.pools["cpu" if seq_id in self.swapped else "gpu"]
        for block in self.tables.pop(seq_id):
            pool.free(block)
        del self.lengths[seq_id]
        self.swapped.discard(seq_id)

    def can_append(self, seq_id: int) -> bool:
        """Whether ``append_slots`` would find the GPU block that it needs, if it needs one.

        Raises ValueError if the sequence lies in CPU memory.
        """
        if seq_id in self.swapped:
            raise ValueError(f"sequence {seq_id} is swapped out")
        return not _needs_block(self, seq_id) or self.num_free() > 0

    def append_slots(self, seq_id: int, token: int) -> list[tuple[int, int]]:
        """Make room for one more token, whose key and value are about to be written.

        Afterwards the sequence is one token longer and the block of the new, last position belongs to
        it alone. If that position falls into a block that other sequences hold too, the sequence gets
        a block of its own instead, and the result is ``[(old, new)]``: the caller copies block old
        to block new before it writes (copy-on-write). In every other case the result is ``[]``. At
        most one block is taken. Raises ValueError if a block is needed and none is free, or if the
        sequence lies in CPU memory. (The manager of v0.5 does not look at ``token`` here; that of
        section 6 will.)
        """
        if not self.can_append(seq_id):
            raise ValueError("no free block")
        table, pool = self.tables[seq_id], self.pools["gpu"]
        copies = []
        if self.lengths[seq_id] % self.block_size == 0:
            table.append(pool.allocate())
        elif pool.ref_count(table[-1]) > 1:
            old, new = table[-1], pool.allocate()
            pool.free(old)
            table[-1] = new
            copies.append((old, new))
        self.lengths[seq_id] += 1
        return copies

    def is_swapped(self, seq_id: int) -> bool:
        """Whether the sequence lies in CPU memory."""
        self.tables[seq_id]
        return seq_id in self.swapped

    def can_swap_out(self, seq_ids: Sequence[int]) -> bool:
        """Whether CPU memory has a free block for each different block of these sequences.

        ``seq_ids`` are different sequences in GPU memory, as for ``swap_out``.
        """
        return len(_blocks(self, seq_ids)) <= self.num_free("cpu")

    def swap_out(self, seq_ids: Sequence[int]) -> dict[int, int]:
        """Move these sequences together into CPU memory: ``{GPU block: CPU block}`` to copy.

        Each different GPU block of theirs gets one CPU block, which takes its place in all their
        tables: what they shared they still share. The GPU blocks lose these owners; one that other
        sequences hold too stays with those. Raises ValueError if CPU memory does not suffice or a
        sequence lies there already.
        """
        if any(self.is_swapped(s) for s in seq_ids) or not self.can_swap_out(seq_ids):
            raise ValueError("cannot be swapped out")
        mapping = _move(self, seq_ids, self.pools["gpu"], self.pools["cpu"])
        self.swapped.update(seq_ids)
        return mapping

    def can_swap_in(self, seq_ids: Sequence[int]) -> str:
        """Whether these sequences, which lie in CPU memory, should come back: OK, LATER or NEVER.

        As ``can_allocate``, with r the number of their different blocks plus one for each sequence:
        each may need a block for its next token at once, and would be thrown out again without it.
        """
        return _status(self, len(_blocks(self, seq_ids)) + len(seq_ids))

    def swap_in(self, seq_ids: Sequence[int]) -> dict[int, int]:
        """Move these sequences together back into GPU memory: ``{CPU block: GPU block}`` to copy.

        The mirror image of ``swap_out``. Raises ValueError if there are fewer free GPU blocks than
        different blocks of theirs, or if a sequence lies in GPU memory.
        """
        if not all(self.is_swapped(s) for s in seq_ids):
            raise ValueError("not swapped out")
        if len(_blocks(self, seq_ids)) > self.num_free():
            raise ValueError("GPU memory does not suffice")
        mapping = _move(self, seq_ids, self.pools["cpu"], self.pools["gpu"])
        self.swapped.difference_update(seq_ids)
        return mapping


def _status(manager, need):
    if manager.total - need < manager.watermark:
        return "NEVER"
    return "OK" if manager.num_free() - need >= manager.watermark else "LATER"


def _needs_block(manager, seq_id):
    """The last block is full, or others hold it too."""
    full = manager.lengths[seq_id] % manager.block_size == 0
    return full or manager.ref_count(manager.tables[seq_id][-1]) > 1


def _blocks(manager, seq_ids):
    return {block for seq_id in seq_ids for block in manager.tables[seq_id]}


def _move(manager, seq_ids, source, target):
    mapping: dict[int, int] = {}
    for seq_id in seq_ids:
        table = manager.tables[seq_id]
        for i, block in enumerate(table):
            if block in mapping:
                target.share(mapping[block])
            else:
                mapping[block] = target.allocate()
            table[i] = mapping[block]
            source.free(block)
    return mapping


def make_slots(
    manager: "BlockManager | KVCacheManager",
    new_tokens: Mapping[int, int],
    preempt: Callable[[int], object],
) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Room for one token of every running sequence; where blocks run out, the latest must yield.

    ``new_tokens`` maps each running ``seq_id`` to its new token, earliest arrival first. They are
    served in this order. As long as the one in turn cannot append, the last of those that are still
    running is preempted: ``preempt(seq_id)`` is called, which takes its GPU blocks away (it frees the
    sequence, or swaps it out), and it is out for this step. That may be the one in turn itself.
    A sequence that has got its slot in this step is never preempted, because all those behind it
    go first.

    Returns ``(kept, preempted, copies)``: the sequences that got their slot, in order of arrival;
    those preempted, also in order of arrival; and what ``append_slots`` gave back, one list in
    order. Uses ``can_append`` and ``append_slots`` of the manager, and ``new_tokens`` is left as it
    is.
    """
    running, kept, preempted, copies = deque(new_tokens), [], [], []
    while running:
        seq_id = running.popleft()
        while not manager.can_append(seq_id):
            victim = running.pop() if running else seq_id
            preempt(victim)
            preempted.append(victim)
            if victim == seq_id:
                break
        else:
            copies += manager.append_slots(seq_id, new_tokens[seq_id])
            kept.append(seq_id)
    return kept, preempted[::-1], copies


def block_hashes(tokens: Sequence[int], block_size: int) -> list[int]:
    """One int for each full block of ``tokens``: a name of all tokens up to the block's end.

    The keys and values in a block depend on every token before it, not only on its own. So entry i
    is a function of ``tokens[: (i + 1) * block_size]``, and different beginnings have different
    entries, up to chance collisions (at least 56 bits of a good hash). It is computed as a chain,
    as in vLLM V1: from the entry before it and the block's own tokens only, so the whole list costs
    O(len(tokens)). The last tokens, if they do not fill a block, have no entry. Tokens are ints
    >= 0. Equal arguments give equal results.
    """
    hashes, parent = [], 0
    for end in range(block_size, len(tokens) + 1, block_size):
        block = [int(token) for token in tokens[end - block_size : end]]
        digest = hashlib.sha256(repr((parent, block)).encode()).digest()
        parent = int.from_bytes(digest[:8], "big")
        hashes.append(parent)
    return hashes


class KVCacheManager:
    """The map from sequences to blocks with cached prefixes, as vLLM V1 keeps it.

    Sequences, tables and reference counts are those of ``BlockManager``, in one memory of
    ``num_blocks`` blocks. New: a full block keeps its name, and is **cached** under it, until the
    block is given out again. The name stands for all tokens from the beginning of the sequence to the
    end of the block. A new sequence whose beginning is cached holds those blocks too instead of
    computing them again. A cached block is never written to, so nothing is copied.

    - A block is cached in the moment in which it becomes full, by ``allocate`` or by
      ``append_slots``: the same step will write its keys and values. If another block is cached under
      the same name, that one stays and the new block is not cached.
    - The free blocks stand in a queue, in the order in which they became free; a free block may be
      cached. When a sequence ends, those of its blocks that become free enter the queue at the end,
      the **last block of the table first**.
    - A block that is needed is taken from the head of the queue: the one that has been free for
      longest. If it is cached, it is not any more from that moment on (eviction).
    - A free block that is hit leaves the queue, wherever it stands.

    In the beginning no block is cached. Unknown sequences raise KeyError, and a method that raises an
    error changes nothing.
    """

    def __init__(self, block_size: int, num_blocks: int):
        """No sequences; all blocks are free."""
        self.block_size = block_size
        self.refs = [0] * num_blocks
        self.queue = OrderedDict.fromkeys(range(num_blocks))  # free blocks, longest free first
        self.block_named: dict[int, int] = {}
        self.name_of: dict[int, int] = {}
        self.tables: dict[int, list[int]] = {}
        self.tokens: dict[int, list[int]] = {}

    def computed_tokens(self, tokens: Sequence[int]) -> int:
        """How many of the first ``tokens`` a new sequence of them would find in cached blocks.

        A multiple of block_size: whole blocks from the beginning up to the first that is not cached.
        Always less than ``len(tokens)`` (at least 1): the last token is computed in any case, because
        its output is needed, so a prompt that is cached entirely does without its last block.
        Changes nothing.
        """
        return len(_hits(self, tokens)) * self.block_size

    def can_allocate(self, tokens: Sequence[int]) -> str:
        """Whether a new sequence of ``tokens`` (at least one) can come in.

        "NEVER" if it needs more blocks than there are in all; "OK" if the free blocks suffice for
        those that it would not find cached, not counting the free blocks that it would find
        cached; "LATER" otherwise. (V1 has no watermark. Its ``allocate_slots`` returns None for
        "LATER".)
        """
        need, hits = -(-len(tokens) // self.block_size), _hits(self, tokens)
        if need > len(self.refs):
            return "NEVER"
        free = len(self.queue) - sum(block in self.queue for block in hits)
        return "OK" if need - len(hits) <= free else "LATER"

    def allocate(self, seq_id: int, tokens: Sequence[int]) -> int:
        """Make the sequence; returns how many of its first tokens need not be computed.

        That is what ``computed_tokens(tokens)`` says just before. The cached blocks head its table,
        each with one more owner; then come blocks from the queue. In this order: the hit blocks leave
        the queue, all further blocks are taken from it, and only then the full ones among those are
        cached. Raises ValueError if ``seq_id`` exists or ``can_allocate`` does not say "OK".
        """
        if seq_id in self.tables:
            raise ValueError(f"sequence {seq_id} exists")
        if self.can_allocate(tokens) != "OK":
            raise ValueError("no free blocks")
        table = _hits(self, tokens)
        hits = len(table)
        for block in table:
            self.queue.pop(block, None)
            self.refs[block] += 1
        names = block_hashes(tokens, self.block_size)
        while len(table) * self.block_size < len(tokens):
            table.append(_take(self))
        for block, name in list(zip(table, names, strict=False))[hits:]:
            _cache(self, block, name)
        self.tables[seq_id], self.tokens[seq_id] = table, list(tokens)
        return hits * self.block_size

    def can_append(self, seq_id: int) -> bool:
        """Whether ``append_slots`` would find the block that it needs, if it needs one."""
        return len(self.tokens[seq_id]) % self.block_size > 0 or len(self.queue) > 0

    def append_slots(self, seq_id: int, token: int) -> list[tuple[int, int]]:
        """Make room for ``token`` at the end of the sequence; always ``[]``, nothing is copied.

        Raises ValueError if a block is needed and none is free.
        """
        if not self.can_append(seq_id):
            raise ValueError("no free block")
        table, tokens = self.tables[seq_id], self.tokens[seq_id]
        if len(tokens) % self.block_size == 0:
            table.append(_take(self))
        tokens.append(token)
        if len(tokens) % self.block_size == 0:
            _cache(self, table[-1], block_hashes(tokens, self.block_size)[-1])
        return []

    def free(self, seq_id: int) -> None:
        """End the sequence: its table gives up its blocks, which stay cached."""
        for block in reversed(self.tables.pop(seq_id)):
            self.refs[block] -= 1
            if self.refs[block] == 0:
                self.queue[block] = None
        del self.tokens[seq_id]

    def block_table(self, seq_id: int) -> list[int]:
        """The block numbers of the sequence in order, as a new list."""
        return list(self.tables[seq_id])

    def num_tokens(self, seq_id: int) -> int:
        """The length of the sequence."""
        return len(self.tokens[seq_id])

    def ref_count(self, block: int) -> int:
        """How many tables hold ``block``."""
        return self.refs[block]

    def num_free(self) -> int:
        """How many blocks no table holds, cached or not."""
        return len(self.queue)


def _hits(manager, tokens):
    """The cached blocks that a new sequence would share; never that of the last token."""
    hits = []
    for name in block_hashes(tokens[:-1], manager.block_size):
        if name not in manager.block_named:
            break
        hits.append(manager.block_named[name])
    return hits


def _take(manager):
    block, _ = manager.queue.popitem(last=False)
    if block in manager.name_of:
        del manager.block_named[manager.name_of.pop(block)]
    manager.refs[block] = 1
    return block


def _cache(manager, block, name):
    if name not in manager.block_named:
        manager.block_named[name], manager.name_of[block] = block, name


def source_quiz() -> dict[str, str]:
    """Your answers to the eight questions above, one letter each.

    Returns a dict with the keys "q1" to "q8"; each value is "a", "b", "c" or "d".
    """
    return {
        "q1": "c", "q2": "a", "q3": "d", "q4": "b",
        "q5": "b", "q6": "d", "q7": "a", "q8": "c",
    }


def paged_forward(model, work, tables, pools, block_size):
    """One step of Day 23's Llama on several sequences at once; keys and values go into the pools.

    ``work`` lists ``(seq_id, tokens, start)``: tokens to compute, the first of them at position
    ``start`` of its sequence. ``tables`` maps seq_id to block table; ``pools`` holds one
    ``(k_pool, v_pool)`` for each layer. Returns the logits after the last token of each entry of
    ``work``, shape (len(work), vocab). All tokens stand in one row, without padding: first every key
    and value of the layer is written, then every token attends through its sequence's table.
    """
    cfg = model.cfg
    ids = torch.tensor([token for _, tokens, _ in work for token in tokens])
    places = [(s, start + i) for s, tokens, start in work for i in range(len(tokens))]
    positions = torch.tensor([position for _, position in places])
    slots = torch.cat([
        slot_mapping(SimpleNamespace(blocks=tables[s], block_size=block_size,
                                     length=start + len(tokens)),
                     torch.arange(start, start + len(tokens)))
        for s, tokens, start in work])
    cos, sin = (table[positions] for table in rope_tables(
        cfg.max_len, cfg.d // cfg.h, cfg.rope_base))
    x = model.embed(ids)                                                 # (N, d)
    for block, (k_pool, v_pool) in zip(model.blocks, pools, strict=True):
        y = block.attn_norm(x)
        q, k, v = (w(y).view(len(ids), heads, -1) for w, heads in
                   ((block.wq, cfg.h), (block.wk, cfg.h_kv), (block.wv, cfg.h_kv)))
        q, k = apply_rope(q.transpose(0, 1), k.transpose(0, 1), cos, sin)
        q, k = q.transpose(0, 1), k.transpose(0, 1)                      # (N, heads, d_head)
        write_kv(k, v, k_pool, v_pool, slots)
        heads = [paged_attention(q[i], k_pool, v_pool, tables[s], position + 1)
                 for i, (s, position) in enumerate(places)]
        x = x + block.wo(torch.stack(heads).flatten(1))
        x = x + block.ffn(block.ffn_norm(x))
    last = torch.tensor([len(tokens) for _, tokens, _ in work]).cumsum(0) - 1
    return model.head(model.norm(x[last]))


def new_pools(model, num_blocks, block_size):
    """Keys and values of ``num_blocks`` blocks for each layer, as Day 40 lays them out."""
    cfg, like = model.cfg, model.embed.weight
    shape = num_blocks, block_size, cfg.h_kv, cfg.d // cfg.h
    return [(like.new_zeros(shape), like.new_zeros(shape)) for _ in model.blocks]


@torch.no_grad()
def serve(model, requests, manager, block_size, max_batch=64, swap=False):
    """Serve ``requests`` greedily with continuous batching; a small engine in the manner of vLLM.

    ``requests`` lists ``(prompt, n)``: a list of tokens, and how many to add. Each step gives every
    running sequence a slot (``make_slots``; a preempted one is freed, or swapped out with
    ``swap=True``, and waits at the front), lets waiting ones in while there is room and nothing was
    preempted, and runs the model once. Slots first, newcomers after: a newcomer preempted before its
    keys and values exist would leave empty blocks in the prefix cache.

    Returns ``(outputs, history)``: the added tokens of each request, and one dict for each step with
    "running" (sequences in it), "computed" (tokens through the model), "reserved" and "filled" (slots
    in use and slots with a token), "preempted", "done" (tokens added so far) and "seconds" so far.
    """
    num_blocks = manager.num_free()
    pools = new_pools(model, num_blocks, block_size)
    host = new_pools(model, manager.num_free("cpu") if swap else 0, block_size)
    sequences = {i: list(prompt) for i, (prompt, _) in enumerate(requests)}
    goal = [len(prompt) + n for prompt, n in requests]
    waiting, running, away = deque(sequences), [], set()
    history, start, done = [], time.perf_counter(), 0

    def copy(source, target, pairs):
        for (k_from, v_from), (k_to, v_to) in zip(source, target, strict=True):
            for old, new in pairs:
                k_to[new], v_to[new] = k_from[old], v_from[old]

    def preempt(s):
        if swap and manager.can_swap_out([s]):
            copy(pools, host, manager.swap_out([s]).items())
            away.add(s)
        else:
            manager.free(s)

    def last_token(s):
        return s, sequences[s][-1:], len(sequences[s]) - 1

    while waiting or running:
        running, preempted, copies = make_slots(
            manager, {s: sequences[s][-1] for s in running}, preempt)
        copy(pools, pools, copies)
        waiting.extendleft(reversed(preempted))
        work = [last_token(s) for s in running]
        while waiting and len(running) < max_batch and not preempted:
            s = waiting[0]
            status = (manager.can_swap_in([s]) if s in away
                      else manager.can_allocate(sequences[s]))
            if status == "NEVER":
                raise ValueError(f"request {s} cannot be served in this memory")
            if status == "LATER":
                break
            if s in away:
                copy(host, pools, manager.swap_in([s]).items())
                away.remove(s)
                copy(pools, pools, manager.append_slots(s, sequences[s][-1]))
                work.append(last_token(s))
            else:
                cached = manager.allocate(s, sequences[s]) or 0
                work.append((s, sequences[s][cached:], cached))
            running.append(waiting.popleft())
        tables = {s: manager.block_table(s) for s in running}
        filled = {(table[p // block_size], p % block_size)
                  for s, table in tables.items() for p in range(manager.num_tokens(s))}
        reserved = (num_blocks - manager.num_free()) * block_size
        logits = paged_forward(model, work, tables, pools, block_size)
        for s, token in zip(running, logits.argmax(-1).tolist(), strict=True):
            sequences[s].append(token)
        done += len(running)
        history.append({
            "running": len(running), "computed": sum(len(tokens) for _, tokens, _ in work),
            "reserved": reserved, "filled": len(filled), "preempted": len(preempted),
            "done": done, "seconds": time.perf_counter() - start})
        finished = [s for s in running if len(sequences[s]) == goal[s]]
        for s in finished:
            manager.free(s)
        running = [s for s in running if s not in finished]
    return [sequences[i][len(prompt):] for i, (prompt, _) in enumerate(requests)], history

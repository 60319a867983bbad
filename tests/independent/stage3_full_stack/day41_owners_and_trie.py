"""A third implementation of Day 41's classes: objects that know their owners, a heap, a trie.

Every block keeps the set of its owners. Free blocks wait in a heap of tickets; a ticket that is out
of date is thrown away when it comes up. Cached prefixes are paths in a trie of blocks.
"""

import heapq
from itertools import count


class Block:
    def __init__(self, number):
        self.number, self.owners, self.ticket, self.node = number, [], None, None


class Memory:
    """Blocks of one device; the lowest ticket is the one that has been free for longest."""

    def __init__(self, num_blocks):
        self.blocks = [Block(i) for i in range(num_blocks)]
        self.tickets, self.next, self.idle = [], count(), 0
        for block in self.blocks:
            self.lay_down(block)

    def lay_down(self, block):
        block.ticket = next(self.next)
        heapq.heappush(self.tickets, (block.ticket, block.number))
        self.idle += 1

    def get(self, number):
        if number not in range(len(self.blocks)):
            raise ValueError(f"no block {number}")
        return self.blocks[number]

    def own(self, block, owner):
        if not block.owners:
            block.ticket, self.idle = None, self.idle - 1
        block.owners.append(owner)

    def disown(self, block, owner):
        block.owners.remove(owner)
        if not block.owners:
            self.lay_down(block)

    def oldest(self):
        while self.tickets:
            ticket, number = heapq.heappop(self.tickets)
            if self.blocks[number].ticket == ticket:
                return self.blocks[number]
        raise ValueError("no free block")


class BlockAllocator:
    def __init__(self, num_blocks):
        self.memory = Memory(num_blocks)

    def allocate(self):
        block = self.memory.oldest()
        self.memory.own(block, None)
        return block.number

    def share(self, block):
        if not self.memory.get(block).owners:
            raise ValueError("free")
        self.memory.own(self.memory.get(block), None)

    def free(self, block):
        if not self.memory.get(block).owners:
            raise ValueError("double free")
        self.memory.disown(self.memory.get(block), None)

    def ref_count(self, block):
        return len(self.memory.get(block).owners)

    def num_free(self):
        return self.memory.idle


class Sequence:
    def __init__(self, device, blocks, length):
        self.device, self.blocks, self.length = device, blocks, length


class BlockManager:
    def __init__(self, block_size, num_gpu_blocks, num_cpu_blocks=0, watermark=0.01):
        self.size = block_size
        self.memory = {"gpu": Memory(num_gpu_blocks), "cpu": Memory(num_cpu_blocks)}
        self.low = int(watermark * num_gpu_blocks)
        self.sequences = {}

    def _on_gpu(self, seq_id):
        if self.sequences[seq_id].device != "gpu":
            raise ValueError("in CPU memory")
        return self.sequences[seq_id]

    def _new(self, seq_id, device="gpu"):
        block = self.memory[device].oldest()
        self.memory[device].own(block, seq_id)
        return block

    def _status(self, need):
        if need > len(self.memory["gpu"].blocks) - self.low:
            return "NEVER"
        return "LATER" if need > self.num_free() - self.low else "OK"

    def can_allocate(self, tokens):
        return self._status(len(range(0, len(tokens), self.size)))

    def allocate(self, seq_id, tokens):
        need = len(range(0, len(tokens), self.size))
        if seq_id in self.sequences or need > self.num_free():
            raise ValueError("cannot allocate")
        self.sequences[seq_id] = Sequence("gpu", [self._new(seq_id) for _ in range(need)],
                                          len(tokens))

    def block_table(self, seq_id):
        return [block.number for block in self.sequences[seq_id].blocks]

    def num_tokens(self, seq_id):
        return self.sequences[seq_id].length

    def ref_count(self, block, device="gpu"):
        return len(self.memory[device].get(block).owners)

    def num_free(self, device="gpu"):
        return self.memory[device].idle

    def fork(self, parent, child):
        if child in self.sequences:
            raise ValueError("exists")
        sequence = self._on_gpu(parent)
        for block in sequence.blocks:
            self.memory["gpu"].own(block, child)
        self.sequences[child] = Sequence("gpu", sequence.blocks[:], sequence.length)

    def free(self, seq_id):
        sequence = self.sequences.pop(seq_id)
        for block in sequence.blocks:
            self.memory[sequence.device].disown(block, seq_id)

    def can_append(self, seq_id):
        sequence = self._on_gpu(seq_id)
        mine = sequence.length % self.size and sequence.blocks[-1].owners == [seq_id]
        return bool(mine or self.num_free())

    def append_slots(self, seq_id, token):
        sequence, copies = self._on_gpu(seq_id), []
        if not self.can_append(seq_id):
            raise ValueError("no free block")
        if sequence.length % self.size == 0:
            sequence.blocks.append(self._new(seq_id))
        elif len(sequence.blocks[-1].owners) > 1:
            old = sequence.blocks.pop()
            sequence.blocks.append(self._new(seq_id))
            self.memory["gpu"].disown(old, seq_id)
            copies.append((old.number, sequence.blocks[-1].number))
        sequence.length += 1
        return copies

    def is_swapped(self, seq_id):
        return self.sequences[seq_id].device == "cpu"

    def _union(self, seq_ids):
        return {block for s in seq_ids for block in self.sequences[s].blocks}

    def can_swap_out(self, seq_ids):
        return len(self._union(seq_ids)) <= self.num_free("cpu")

    def can_swap_in(self, seq_ids):
        return self._status(len(self._union(seq_ids)) + len(seq_ids))

    def _swap(self, seq_ids, source, target):
        group = [self.sequences[s] for s in seq_ids]
        if any(q.device != source for q in group):
            raise ValueError("not there")
        if len(self._union(seq_ids)) > self.num_free(target):
            raise ValueError("no room")
        twin = {}
        for s, q in zip(seq_ids, group, strict=True):
            for i, block in enumerate(q.blocks):
                if block in twin:
                    self.memory[target].own(twin[block], s)
                else:
                    twin[block] = self._new(s, target)
                self.memory[source].disown(block, s)
                q.blocks[i] = twin[block]
            q.device = target
        return {a.number: b.number for a, b in twin.items()}

    def swap_out(self, seq_ids):
        return self._swap(seq_ids, "gpu", "cpu")

    def swap_in(self, seq_ids):
        return self._swap(seq_ids, "cpu", "gpu")


class Node:
    """A prefix of whole blocks; ``block`` holds its last block's keys and values, if cached."""

    def __init__(self):
        self.children, self.block = {}, None


class KVCacheManager:
    def __init__(self, block_size, num_blocks):
        self.size, self.memory, self.root = block_size, Memory(num_blocks), Node()
        self.sequences, self.tokens = {}, {}

    def _path(self, tokens):
        node = self.root
        for end in range(self.size, len(tokens) + 1, self.size):
            node = node.children.setdefault(tuple(tokens[end - self.size : end]), Node())
            yield node

    def _cached(self, tokens):
        found = []
        for node in self._path(tokens[:-1]):
            if node.block is None:
                return found
            found.append(node.block)
        return found

    def _keep(self, block, node):
        if node.block is None:
            node.block, block.node = block, node

    def _new(self, seq_id):
        block = self.memory.oldest()
        self.memory.own(block, seq_id)
        if block.node is not None:
            block.node.block = block.node = None
        return block

    def computed_tokens(self, tokens):
        return self.size * len(self._cached(list(tokens)))

    def can_allocate(self, tokens):
        hits = self._cached(list(tokens))
        need = len(range(0, len(tokens), self.size))
        if need > len(self.memory.blocks):
            return "NEVER"
        asleep = sum(not block.owners for block in hits)
        return "OK" if need - len(hits) + asleep <= self.memory.idle else "LATER"

    def allocate(self, seq_id, tokens):
        if seq_id in self.sequences or self.can_allocate(tokens) != "OK":
            raise ValueError("cannot allocate")
        hits = self._cached(list(tokens))
        for block in hits:
            self.memory.own(block, seq_id)
        need = len(range(0, len(tokens), self.size))
        self.sequences[seq_id] = hits + [self._new(seq_id) for _ in range(need - len(hits))]
        self.tokens[seq_id] = list(tokens)
        nodes = list(self._path(list(tokens)))
        for i in range(len(hits), len(nodes)):
            self._keep(self.sequences[seq_id][i], nodes[i])
        return len(hits) * self.size

    def can_append(self, seq_id):
        return len(self.tokens[seq_id]) % self.size != 0 or self.memory.idle > 0

    def append_slots(self, seq_id, token):
        if len(self.tokens[seq_id]) % self.size == 0:
            if not self.memory.idle:
                raise ValueError("no free block")
            self.sequences[seq_id].append(self._new(seq_id))
        self.tokens[seq_id].append(token)
        if len(self.tokens[seq_id]) % self.size == 0:
            *_, node = self._path(self.tokens[seq_id])
            self._keep(self.sequences[seq_id][-1], node)
        return []

    def free(self, seq_id):
        blocks = self.sequences.pop(seq_id)
        del self.tokens[seq_id]
        while blocks:
            self.memory.disown(blocks.pop(), seq_id)

    def block_table(self, seq_id):
        return [block.number for block in self.sequences[seq_id]]

    def num_tokens(self, seq_id):
        return len(self.tokens[seq_id])

    def ref_count(self, block):
        return len(self.memory.get(block).owners)

    def num_free(self):
        return self.memory.idle

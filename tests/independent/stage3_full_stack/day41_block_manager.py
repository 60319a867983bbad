"""A second, independent implementation of Day 41: arrays and time stamps, no stored counts or hashes.

Tables are rows of one array; a reference count is how often a number stands in it, a free block one
that does not. The prefix cache keeps whole prefixes, and the time at which each block became free.
"""

import hashlib

import numpy as np


class BlockAllocator:
    def __init__(self, num_blocks):
        self.count = np.zeros(num_blocks, dtype=np.int64)

    def _known(self, block, used=False):
        if block < 0 or block >= self.count.size or (used and not self.count[block]):
            raise ValueError(block)

    def allocate(self):
        free = np.flatnonzero(self.count == 0)
        if not free.size:
            raise ValueError("full")
        self.count[free[0]] = 1
        return int(free[0])

    def share(self, block):
        self._known(block, used=True)
        self.count[block] += 1

    def free(self, block):
        self._known(block, used=True)
        self.count[block] -= 1

    def ref_count(self, block):
        self._known(block)
        return int(self.count[block])

    def num_free(self):
        return int(np.sum(self.count == 0))


class BlockManager:
    def __init__(self, block_size, num_gpu_blocks, num_cpu_blocks=0, watermark=0.01):
        self.b, self.g, self.c = block_size, num_gpu_blocks, num_cpu_blocks
        self.spare = int(watermark * num_gpu_blocks)
        self.row = {}                                      # seq_id -> (numbers, tokens)

    # CPU block i is the number g + i in the tables
    def _numbers(self):
        return np.concatenate([np.zeros(0, int), *(numbers for numbers, _ in self.row.values())])

    def _unused(self, device="gpu"):
        counts = np.bincount(self._numbers(), minlength=self.g + self.c)
        part = counts[: self.g] if device == "gpu" else counts[self.g :]
        return np.flatnonzero(part == 0) + (0 if device == "gpu" else self.g)

    def _verdict(self, need):
        if need + self.spare > self.g:
            return "NEVER"
        return "OK" if need + self.spare <= self.num_free() else "LATER"

    def can_allocate(self, tokens):
        return self._verdict((len(tokens) + self.b - 1) // self.b)

    def allocate(self, seq_id, tokens):
        need, free = (len(tokens) + self.b - 1) // self.b, self._unused()
        if seq_id in self.row or need > free.size:
            raise ValueError("no")
        self.row[seq_id] = free[-need:], len(tokens)

    def block_table(self, seq_id):
        return [int(n) % self.g if self.is_swapped(seq_id) is False else int(n) - self.g
                for n in self.row[seq_id][0]]

    def num_tokens(self, seq_id):
        return self.row[seq_id][1]

    def ref_count(self, block, device="gpu"):
        return int(np.sum(self._numbers() == block + (0 if device == "gpu" else self.g)))

    def num_free(self, device="gpu"):
        return self._unused(device).size

    def fork(self, parent, child):
        if child in self.row or self.is_swapped(parent):
            raise ValueError("no")
        numbers, tokens = self.row[parent]
        self.row[child] = numbers.copy(), tokens

    def free(self, seq_id):
        self.row.pop(seq_id)

    def _plan(self, seq_id):
        if self.is_swapped(seq_id):
            raise ValueError("swapped")
        numbers, tokens = self.row[seq_id]
        if tokens == self.b * numbers.size:
            return "new"
        return "copy" if np.sum(self._numbers() == numbers[-1]) > 1 else "stay"

    def can_append(self, seq_id):
        return self._plan(seq_id) == "stay" or self.num_free() > 0

    def append_slots(self, seq_id, token):
        plan = self._plan(seq_id)
        numbers, tokens = self.row[seq_id]
        if plan == "stay":
            self.row[seq_id] = numbers, tokens + 1
            return []
        free = self._unused()
        if not free.size:
            raise ValueError("full")
        kept = numbers if plan == "new" else numbers[:-1]
        self.row[seq_id] = np.append(kept, free[0]), tokens + 1
        return [] if plan == "new" else [(int(numbers[-1]), int(free[0]))]

    def is_swapped(self, seq_id):
        return bool(self.row[seq_id][0][0] >= self.g)

    def _distinct(self, seq_ids):
        return np.unique(np.concatenate([self.row[s][0] for s in seq_ids]))

    def can_swap_out(self, seq_ids):
        return self._distinct(seq_ids).size <= self.num_free("cpu")

    def _move(self, seq_ids, source, target):
        old, free = self._distinct(seq_ids), self._unused(target)
        if old.size > free.size or len({self.is_swapped(s) for s in seq_ids}) > 1 or (
            self.is_swapped(seq_ids[0]) != (source == "cpu")
        ):
            raise ValueError("no")
        new = free[: old.size]
        for s in seq_ids:
            numbers, tokens = self.row[s]
            self.row[s] = new[np.searchsorted(old, numbers)], tokens
        shift = self.g if source == "gpu" else -self.g
        return {int(a) - max(0, -shift): int(b) - max(0, shift)
                for a, b in zip(old, new, strict=True)}

    def swap_out(self, seq_ids):
        return self._move(seq_ids, "gpu", "cpu")

    def can_swap_in(self, seq_ids):
        return self._verdict(self._distinct(seq_ids).size + len(seq_ids))

    def swap_in(self, seq_ids):
        return self._move(seq_ids, "cpu", "gpu")


def make_slots(manager, new_tokens, preempt):
    order, done, copies = list(new_tokens), 0, []
    out = []
    while done < len(order):
        if manager.can_append(order[done]):
            copies.extend(manager.append_slots(order[done], new_tokens[order[done]]))
            done += 1
        else:
            out.insert(0, order.pop())
            preempt(out[0])
    return order, out, copies


def block_hashes(tokens, block_size):
    result, state = [], hashlib.blake2b(digest_size=8)
    whole = np.asarray(tokens, dtype="<i8")[: len(tokens) // block_size * block_size]
    for block in whole.reshape(-1, block_size):
        state = hashlib.blake2b(state.digest() + block.tobytes(), digest_size=8)
        result.append(int.from_bytes(state.digest(), "little"))
    return result


class KVCacheManager:
    def __init__(self, block_size, num_blocks):
        self.b, self.n = block_size, num_blocks
        self.content = [None] * num_blocks                 # the whole prefix of a cached block
        self.since = np.arange(num_blocks)                 # when it became free
        self.clock = num_blocks
        self.seqs = {}

    def _users(self):
        users = np.zeros(self.n, dtype=int)
        for table, _ in self.seqs.values():
            users[table] += 1
        return users

    def _found(self, tokens):
        tokens, found = tuple(tokens), []
        for end in range(self.b, len(tokens), self.b):
            if tokens[:end] not in self.content:
                break
            found.append(self.content.index(tokens[:end]))
        return found

    def computed_tokens(self, tokens):
        return self.b * len(self._found(tokens))

    def can_allocate(self, tokens):
        found, users = self._found(tokens), self._users()
        total = (len(tokens) + self.b - 1) // self.b
        users[found] += 1
        if total > self.n:
            return "NEVER"
        return "OK" if int(np.sum(users == 0)) >= total - len(found) else "LATER"

    def _store(self, table, tokens, end):
        prefix = tuple(tokens[:end])
        if prefix not in self.content:
            self.content[table[end // self.b - 1]] = prefix

    def allocate(self, seq_id, tokens):
        if seq_id in self.seqs or self.can_allocate(tokens) != "OK":
            raise ValueError("no")
        found = self._found(tokens)
        users = self._users()
        users[found] += 1
        fresh = sorted(np.flatnonzero(users == 0).tolist(), key=lambda block: self.since[block])
        fresh = fresh[: (len(tokens) + self.b - 1) // self.b - len(found)]
        for block in fresh:
            self.content[block] = None
        table = found + fresh
        self.seqs[seq_id] = table, list(tokens)
        for end in range((len(found) + 1) * self.b, len(tokens) + 1, self.b):
            self._store(table, tokens, end)
        return self.b * len(found)

    def can_append(self, seq_id):
        return bool(len(self.seqs[seq_id][1]) % self.b) or self.num_free() > 0

    def append_slots(self, seq_id, token):
        if not self.can_append(seq_id):
            raise ValueError("full")
        table, tokens = self.seqs[seq_id]
        if len(tokens) == self.b * len(table):
            free = np.flatnonzero(self._users() == 0)
            block = int(free[np.argmin(self.since[free])])
            self.content[block] = None
            table.append(block)
        tokens.append(token)
        if len(tokens) == self.b * len(table):
            self._store(table, tokens, len(tokens))
        return []

    def free(self, seq_id):
        table, _ = self.seqs.pop(seq_id)
        users = self._users()
        for block in table[::-1]:
            if users[block] == 0:
                self.since[block] = self.clock
                self.clock += 1

    def block_table(self, seq_id):
        return self.seqs[seq_id][0][:]

    def num_tokens(self, seq_id):
        return len(self.seqs[seq_id][1])

    def ref_count(self, block):
        return int(self._users()[block])

    def num_free(self):
        return int(np.sum(self._users() == 0))


def source_quiz():
    return {f"q{i + 1}": letter.upper() for i, letter in enumerate("cadbbdac")}

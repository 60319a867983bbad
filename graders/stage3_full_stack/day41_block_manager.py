"""Checks of Day 41: traces of operations on block managers, through their public methods only.

``World`` plays the engine around a manager: it keeps the tokens of every sequence and a memory of
what was written to each slot, does the copies that the manager asks for, and looks after every
operation whether the books balance and every sequence reads back its own keys and values. No
observation depends on which block numbers a manager chooses.
"""

from functools import cache

import numpy as np

from ladder.checks import check, choice, raises, say

KINDS = {"gpu": (), "cpu": ("cpu",)}


def chain(tokens, before=0):
    """What stands for the key and value of each token: a number made of all tokens up to it."""
    values = []
    for token in tokens:
        before = hash((before, int(token)))
        values.append(before)
    return values


class World:
    def __init__(self, manager, block_size, **blocks):
        self.manager, self.size, self.blocks = manager, block_size, blocks
        self.values, self.away, self.memory = {}, set(), {}

    def cells(self, s):
        table, where = self.manager.block_table(s), "cpu" if s in self.away else "gpu"
        return [(where, table[p // self.size], p % self.size) if p // self.size < len(table)
                else None for p in range(len(self.values[s]))]

    def allocate(self, s, tokens):
        computed = self.manager.allocate(s, tokens) or 0
        self.values[s] = chain(tokens)
        for cell, value in list(zip(self.cells(s), self.values[s], strict=True))[computed:]:
            self.memory[cell] = value
        return computed

    def copy(self, pairs, source="gpu", target="gpu"):
        old = {b: [self.memory.get((source, a, i)) for i in range(self.size)] for a, b in pairs}
        for b, values in old.items():
            for i, value in enumerate(values):
                self.memory[target, b, i] = value

    def append(self, s, token):
        pairs = self.manager.append_slots(s, token)
        self.copy(pairs)
        self.values[s] += chain([token], self.values[s][-1])
        self.memory[self.cells(s)[-1]] = self.values[s][-1]
        return len(pairs)

    def fork(self, s, child):
        self.manager.fork(s, child)
        self.values[child] = list(self.values[s])

    def free(self, s):
        self.manager.free(s)
        del self.values[s]
        self.away.discard(s)

    def swap_out(self, group):
        pairs = self.manager.swap_out(group)
        self.copy(pairs.items(), "gpu", "cpu")
        self.away.update(group)
        return len(pairs)

    def swap_in(self, group):
        pairs = self.manager.swap_in(group)
        self.copy(pairs.items(), "cpu", "gpu")
        self.away.difference_update(group)
        return len(pairs)

    def free_blocks(self):
        return [self.manager.num_free(*KINDS[d]) for d in self.blocks]

    def unbalanced(self):
        """Blocks whose reference count is wrong, and how far the free ones are from the rest."""
        wrong = []
        for device, total in self.blocks.items():
            held = [0] * total
            for s in self.values:
                if (s in self.away) == (device == "cpu"):
                    for block in self.manager.block_table(s):
                        held[block] += 1
            refs = [self.manager.ref_count(b, *KINDS[device]) for b in range(total)]
            wrong.append(sum(a != b for a, b in zip(held, refs, strict=True)))
            wrong.append(self.manager.num_free(*KINDS[device]) - held.count(0))
        return wrong

    def spoiled(self):
        """How many sequences have a table of another length, or read other keys and values."""
        return sum(
            len(self.manager.block_table(s)) != -(-len(values) // self.size)
            or [self.memory.get(cell) for cell in self.cells(s)] != values
            for s, values in self.values.items())


def told(make, block_size, blocks, proposals, end=True):
    """The log of a trace, made at the first look: lists of what each operation gave."""
    @cache
    def run():
        log = {"said": [], "free": [], "books": [], "spoiled": [], "error": "", "left": None}
        try:
            world = World(make(), block_size, **blocks)
            for number, proposal in enumerate(proposals):
                log["said"].append(str(step(world, number, *proposal)))
                log["free"].append(world.free_blocks())
                log["books"].append(world.unbalanced())
                log["spoiled"].append(world.spoiled())
            for s in list(world.values) if end else ():
                world.free(s)
            log["left"] = [total - free for total, free in
                           zip(blocks.values(), world.free_blocks(), strict=True)]
        except NotImplementedError:
            raise
        except Exception as error:
            log["error"] = type(error).__name__
        for key in ("free", "books", "spoiled"):
            log[key] = np.array(log[key], dtype=np.int64)
        return log
    return run


def step(world, number, kind, u, tokens):
    """Do one proposed operation if it can be done; what was said on the way, and how much moved."""
    manager, live = world.manager, [s for s in world.values if s not in world.away]
    if kind == "allocate":
        said = manager.can_allocate(tokens)
        return [said, world.allocate(number, tokens) if said == "OK" else -1]
    if kind == "swap_in":
        live = sorted(world.away)
    if not live:
        return "nobody"
    s = live[int(u * len(live))]
    if kind == "free":
        everyone = list(world.values)
        world.free(everyone[int(u * len(everyone))])
        return "freed"
    if kind == "fork":
        world.fork(s, number)
        return "forked"
    if kind == "append":
        if not manager.can_append(s):
            return "full"
        return world.append(s, tokens[0])
    group = [t for t in live if t % 3 == s % 3]
    if kind == "swap_out":
        return world.swap_out(group) if manager.can_swap_out(group) else "stays"
    said = manager.can_swap_in(group)
    return [said, world.swap_in(group) if said == "OK" else -1]


def proposals(rng, count, kinds, longest, texts=None):
    """Random operations: what, on whom (a number below 1), and tokens, or the beginning of a text."""
    names, weights = list(kinds), list(kinds.values())
    made = []
    for k in rng.choice(len(names), size=count, p=[w / sum(weights) for w in weights]):
        n = int(rng.integers(1, longest + 1))
        tokens = rng.integers(3, size=n) if texts is None else rng.choice(texts)[:n]
        made.append((names[k], float(rng.random()), tokens.tolist()))
    return made


def trace(name, name_zh, make, block_size, blocks, todo, end=True):
    """The observations of a random trace, in the order in which a learner would look."""
    run = told(make, block_size, blocks, todo, end)
    n = len(todo)
    yield (say(f"{name}, {n} random operations: an error on the way",
               f"{name_zh}，{n} 次随机操作：途中的异常"), lambda: run()["error"])
    for key, en, zh in (
        ("said", "what each call returned", "每次调用的返回"),
        ("free", "free blocks after each", "每次操作后的空闲块数"),
        ("books", "wrong reference counts, and free blocks too many, after each",
         "每次操作后错误的引用计数个数，以及多出的空闲块数"),
        ("spoiled", "sequences that do not read back their own keys and values, after each",
         "每次操作后读不回自己的 K、V 的序列数"),
        ("left", "blocks in use after all sequences have ended", "所有序列结束后仍被占用的块数"),
    )[: None if end else -1]:
        yield say(f"{name}: {en}", f"{name_zh}：{zh}"), lambda: run()[key]


def mistakes(of, *rows):
    """Register known mistakes: hint in English and Chinese, within, and old and new texts."""
    for en, zh, within, *pairs in rows:
        of.mistake(say(en, zh), within=within,
                   replace=dict(zip(pairs[::2], pairs[1::2], strict=True)))


def made(build, *steps):
    """A fresh object after some calls on it."""
    thing = build()
    for act in steps:
        act(thing)
    return thing


def refused(act):
    """The name of the error that ``act`` raises, or "no error"."""
    try:
        act()
    except NotImplementedError:
        raise
    except (ValueError, KeyError) as error:
        return type(error).__name__
    return "no error"


# ------------------------------------------------------------------ blocks and their owners

@check()
def check_allocator(BlockAllocator, rng):
    """Free blocks and reference counts."""
    n = int(rng.integers(5, 9))

    def drained(a):
        return [[a.allocate(), a.num_free()] for _ in range(n)]

    def counts():
        a = BlockAllocator(n)
        block = a.allocate()
        seen = [a.ref_count(block)]
        for act in (a.share, a.share, a.free, a.free, a.free):
            act(block)
            seen += [a.ref_count(block), a.num_free()]
        return seen

    def again():
        a = BlockAllocator(n)
        blocks = [a.allocate() for _ in range(n)]
        for block in blocks[1:4]:
            a.free(block)
        back = [a.allocate() for _ in range(3)]
        return [sorted(back) == sorted(blocks[1:4]), a.num_free()]

    def after_refusals():
        a = BlockAllocator(n)
        one, two = a.allocate(), a.allocate()
        a.share(two)
        a.free(one)
        said = [refused(lambda: a.free(one)), refused(lambda: a.share(one))]
        return [said, a.ref_count(one), a.ref_count(two), a.num_free(),
                len({a.allocate() for _ in range(n - 1)})]

    def strangers(number):
        a = BlockAllocator(n)
        for _ in range(n):
            a.allocate()
        return [refused(lambda: act(number)) for act in (a.free, a.share, a.ref_count)] + [
            a.num_free()]

    todo = rng.random(size=(60, 2)).tolist()

    def random_trace():
        a, owned, log = BlockAllocator(n), [], []
        for what, u in todo:
            block = owned[int(u * len(owned))] if owned else None
            if what < 0.4 and len(set(owned)) < n:
                owned.append(a.allocate())
            elif what < 0.6 and owned:
                a.share(block)
                owned.append(block)
            elif owned:
                a.free(block)
                owned.remove(block)
            log.append([a.num_free(), sum(a.ref_count(b) != owned.count(b) for b in range(n))])
        return log

    yield (say(f"{n} blocks: the numbers given out, in order of size", f"{n} 个块：给出的块号（从小到大）"),
           lambda: sorted(b for b, _ in drained(BlockAllocator(n))))
    yield (say("free blocks after each", "每次之后的空闲块数"),
           lambda: [free for _, free in drained(BlockAllocator(n))])
    yield (say("one more than there are", "比总数再多要一个"),
           lambda: made(lambda: BlockAllocator(n), drained, lambda a: a.allocate()),
           raises(ValueError))
    yield (say("count; then count and free blocks after share, share, free, free, free",
               "引用计数；share、share、free、free、free 之后的计数与空闲块数"), counts)
    yield say("freed blocks are given out again", "释放的块会再次给出"), again
    yield (say("a double free and the sharing of a free block: refused, and nothing changed",
               "重复释放、共享空闲块：被拒绝，且什么都没变"), after_refusals)
    yield say("block −1", "块 −1"), lambda: strangers(-1)
    yield say(f"block {n}", f"块 {n}"), lambda: strangers(n)
    yield (say("60 random operations: free blocks, and wrong counts", "60 次随机操作：空闲块数与错误的计数"),
           random_trace)


mistakes(
    check_allocator,
    ("A block goes back among the free ones while somebody still owns it. When is the last owner gone?",
     "块还有主人，就被放回了空闲块中。什么时候才算最后一个主人离开？", "BlockAllocator.free",
     "        if self.refs[block] == 0:\n            self.unused.append(block)",
     "        self.unused.append(block)"),
    ("A second free of the same block goes through, and then two sequences are given one block. Which "
     "count shows that nobody owns it?",
     "同一个块第二次释放居然成功了，之后两个序列会拿到同一个块。哪个计数能看出它没有主人？",
     "BlockAllocator.free", "if self.ref_count(block) == 0:\n            raise",
     "if self.ref_count(block) == 0 and block in self.unused[:0]:\n            raise"),
    ("A free block can be shared: it is in use and among the free ones at the same time.",
     "空闲块也能被共享：它同时既在使用又在空闲列表里。", "BlockAllocator.share",
     "if self.ref_count(block) == 0:", "if self.ref_count(block) < 0:"),
    ("Block −1 is accepted. What does Python make of a negative index?",
     "块 −1 被接受了。Python 怎样理解负下标？", "BlockAllocator.ref_count",
     "if not 0 <= block < len(self.refs):", "if block >= len(self.refs):"),
)


# ------------------------------------------------------------------ tables

@check()
def check_allocate(BlockManager, rng):
    """New sequences: who may come in, and their block tables."""
    size, total = int(rng.choice([3, 4, 5])), 21
    held = int(rng.integers(2, 4))
    text = rng.integers(50, size=200).tolist()
    early = 5 * size - int(rng.integers(0, 2))

    def fresh(watermark=held / total + 1e-9):
        return BlockManager(size, total, 3, watermark)

    def said(m):
        edges = [1, *(k * size + d for k in (total - held - 5, total - held, total)
                      for d in (0, 1))]
        return [m.can_allocate(text[:n]) for n in edges]

    yield (say("can_allocate in an empty memory, around the limits", "空显存中、各个界限附近的 can_allocate"),
           lambda: said(fresh()))
    yield (say("can_allocate, 5 blocks in use", "占用 5 块时的 can_allocate"),
           lambda: said(made(fresh, lambda m: m.allocate(7, text[:early]))))
    yield (say("can_allocate with watermark 0.01 of 21 blocks", "21 块、watermark 为 0.01 时的 can_allocate"),
           lambda: said(fresh(0.01)))

    def tables():
        m, seen, everything = fresh(), [], []
        for s, n in enumerate((1, size - 1, size, size + 1, 2 * size, 2 * size + 1)):
            m.allocate(10 * s + 3, text[:n])
            table = m.block_table(10 * s + 3)
            everything += table
            seen.append([len(table), m.num_tokens(10 * s + 3), m.num_free(), m.num_free("cpu")])
        return [seen, len(set(everything)), all(0 <= b < total for b in everything),
                [m.ref_count(b) for b in everything], sum(m.ref_count(b) for b in range(total)),
                [m.ref_count(b, "cpu") for b in range(3)]]

    yield (say("tables of 1, b − 1, b, b + 1, 2b, 2b + 1 tokens: lengths, free blocks, counts",
               "1、b − 1、b、b + 1、2b、2b + 1 个 token 的块表：长度、空闲块数、引用计数"), tables)

    def full():
        m = fresh()
        m.allocate(1, text[: (total - 2) * size])
        refusal = refused(lambda: m.allocate(2, text[: 2 * size + 1]))
        state = [m.num_free(), refused(lambda: m.num_tokens(2))]
        m.allocate(2, text[: 2 * size])
        return [refusal, state, m.num_free()]

    yield (say("too long by one token: refused, nothing changed; one token less: all blocks used",
               "多一个 token：被拒绝且什么都没变；少一个 token：用完所有块"), full)

    def twice():
        m = made(fresh, lambda m: m.allocate(5, text[:size]))
        return [refused(lambda: m.allocate(5, text[: 2 * size])), m.num_free(), m.num_tokens(5),
                refused(lambda: m.block_table(6)), refused(lambda: m.num_tokens(6))]

    def own_list():
        m = made(fresh, lambda m: m.allocate(5, text[: size + 1]))
        m.block_table(5).append(99)
        return len(m.block_table(5))

    yield (say("a seq_id that exists, and one that does not", "已存在的 seq_id 与不存在的 seq_id"), twice)
    yield (say("a change of the list that block_table returns changes no table",
               "改动 block_table 返回的列表不影响块表"), own_list)
    yield from trace("allocate", "allocate", lambda: BlockManager(size, total, 0, 0.1), size,
                     {"gpu": total}, proposals(rng, 12, {"allocate": 1}, 4 * size), end=False)


mistakes(
    check_allocate,
    ("A sequence that fills its last block exactly gets one block too many. Work out "
     "the number of blocks for b − 1, b and b + 1 tokens.",
     "恰好填满最后一块的序列多得了一块。算一算 b − 1、b、b + 1 个 token 各需要几块。",
     "BlockManager.allocate", "-(-len(tokens) // self.block_size)",
     "len(tokens) // self.block_size + 1"),
    ("New sequences come in down to the last block. What are the blocks held back for?",
     "新序列一直进到最后一块都不剩。那些保留的块是做什么用的？", "_status",
     "manager.num_free() - need >= manager.watermark", "manager.num_free() - need >= 0"),
    ("NEVER is said of a sequence that would fit once others have ended. Which number decides that "
     "it can never fit?",
     "其他序列结束后就能放下的序列，却得到 NEVER。“永远放不下”取决于哪个数？", "_status",
     "manager.total - need < manager.watermark", "manager.num_free() < need"),
    ("A refused sequence leaves something behind. Look before you take.",
     "被拒绝的序列留下了痕迹。先看够不够，再拿。", "BlockManager.allocate",
     "        self.tables[seq_id] = [self.pools[\"gpu\"].allocate() for _ in range(need)]\n", "",
     "        if need > self.num_free():",
     "        self.tables[seq_id] = [self.pools[\"gpu\"].allocate()\n"
     "                               for _ in range(min(need, self.num_free()))]\n"
     "        if need > len(self.tables[seq_id]):"),
)


@check()
def check_fork_free(BlockManager, rng):
    """Sequences that share their blocks, and their end."""
    size, total = int(rng.choice([3, 4, 5])), 17
    text = rng.integers(50, size=200).tolist()
    n = 3 * size + int(rng.integers(1, size))

    def fresh():
        return made(lambda: BlockManager(size, total, 0, 0.0), lambda m: m.allocate(1, text[:n]),
                    lambda m: m.allocate(2, text[: size + 1]))

    def after(*acts):
        def look():
            m = made(fresh, *acts)
            here = [s for s in (1, 2, 3, 4) if refused(lambda: m.num_tokens(s)) == "no error"]
            counts = [[m.ref_count(b) for b in m.block_table(s)] for s in here]
            return [m.num_free(), here, counts, [m.num_tokens(s) for s in here],
                    sum(m.ref_count(b) for b in range(total)),
                    3 in here and m.block_table(3) == m.block_table(1 if 1 in here else 3)]
        return look

    def fork(parent, child):
        return lambda m: m.fork(parent, child)

    def free(s):
        return lambda m: m.free(s)

    yield (say("a fork takes no block; the counts of the parent's blocks", "fork 不占用块；父序列各块的计数"),
           after(fork(1, 3)))
    yield say("a fork of the fork", "对 fork 再 fork"), after(fork(1, 3), fork(3, 4))
    yield say("the parent ends first", "父序列先结束"), after(fork(1, 3), free(1))
    yield say("then the child ends", "子序列随后结束"), after(fork(1, 3), free(1), free(3))
    yield say("a sequence that shares nothing ends", "不共享任何块的序列结束"), after(free(2))
    yield (say("its number may be used again", "它的编号可以再次使用"),
           after(free(2), lambda m: m.allocate(2, text[:size])))
    yield (say("freed twice", "释放两次"), after(fork(1, 3), free(3), free(3)), raises(KeyError))
    yield say("a fork of nobody", "fork 不存在的序列"), after(fork(9, 3)), raises(KeyError)

    def taken():
        m = fresh()
        return [refused(lambda: m.fork(1, 2)), m.num_tokens(2), m.num_free(),
                [m.ref_count(b) for b in m.block_table(1)]]

    yield say("a fork into a number in use", "fork 到已占用的编号"), taken
    yield from trace("allocate, fork, free", "allocate、fork、free",
                     lambda: BlockManager(size, total, 0, 0.0), size, {"gpu": total},
                     proposals(rng, 60, {"allocate": 3, "fork": 3, "free": 4}, 4 * size))


# The reference counts of shared blocks: vllm issue 1556 ("Double free!") and its mending in pull
# request 3347, where fork and free did not count the same blocks.
mistakes(
    check_fork_free,
    ("The child holds blocks that do not know it: when both have ended, each block was freed "
     "twice (vLLM's issue 1556 was of this kind). Who counts the second table?",
     "子序列持有的块并不知道它：两者都结束时，每块被释放两次（vLLM 的 issue 1556 就是这一类）。谁来为第二张表计数？",
     "BlockManager.fork", "self.pools[\"gpu\"].share(block)", "pass"),
    ("The last block of the child is not counted, as if it were copied at once. A fork copies nothing.",
     "子序列的最后一块没有计数，好像它已立即复制过。fork 什么都不复制。",
     "BlockManager.fork", "for block in table:", "for block in table[:-1]:"),
    ("Blocks leak: a table that ends must give up shared blocks too, not only those that it holds "
     "alone.",
     "块泄漏了：结束的表也要放弃共享的块，而不只是它独占的块。", "BlockManager.free",
     "            pool.free(block)", "            pool.ref_count(block) > 1 or pool.free(block)"),
    ("The parent's end takes the blocks away from the child as well. How many owners leave "
     "when one sequence ends?",
     "父序列结束时，把子序列的块也带走了。一个序列结束时，离开的主人有几个？", "BlockManager.free",
     "            pool.free(block)",
     "            for _ in range(pool.ref_count(block)):\n                pool.free(block)"),
)


@check()
def check_append(BlockManager, rng):
    """One more token: new blocks, and copy-on-write."""
    size, total = int(rng.choice([3, 4, 5])), 15
    text = rng.integers(50, size=200).tolist()
    part = 2 * size + int(rng.integers(1, size - 1))       # at least one more fits into its block

    def fresh(n=part, blocks=total):
        return made(lambda: BlockManager(size, blocks, 0, 0.0), lambda m: m.allocate(1, text[:n]))

    def growth():
        m, seen = fresh(1), []
        for token in text[: 3 * size]:
            could = m.can_append(1)
            seen.append([could, len(m.append_slots(1, token)), len(m.block_table(1)),
                         m.num_tokens(1), m.num_free()])
        return seen

    def written(m, s):
        """Append to sequence ``s``; whether one copy from its old last block to its new one."""
        before, others = m.block_table(s), {t for t in (1, 2, 3) if t != s}
        copies = [tuple(pair) for pair in m.append_slots(s, 0)]
        after = m.block_table(s)
        elsewhere = [b for t in others if refused(lambda: m.num_tokens(t)) == "no error"
                     for b in m.block_table(t)]
        return [len(copies), copies == [(before[-1], after[-1])], after[-1] in elsewhere,
                len(after), before[:-1] == after[: len(before) - 1], m.ref_count(after[-1]),
                m.ref_count(before[-1]), m.num_free()]

    def shared(order, n=part):
        def look():
            m = made(lambda: fresh(n), lambda m: m.fork(1, 2), lambda m: m.fork(1, 3))
            return [written(m, s) for s in order]
        return look

    def tight(n, forked):
        """Whether and how an append goes on in a memory without free blocks."""
        m = fresh(n, -(-n // size))
        if forked:
            m.fork(1, 2)
        could = m.can_append(1)
        said = refused(lambda: m.append_slots(1, 5))
        return [could, said, m.num_tokens(1), len(m.block_table(1)), m.num_free(),
                [m.ref_count(b) for b in m.block_table(1)]]

    yield (say("from 1 token on: can_append, copies, table, tokens, free blocks",
               "从 1 个 token 增长：can_append、复制数、块表长度、token 数、空闲块数"), growth)
    yield (say("three sequences share a block with room: 2 writes, then 1, then 3",
               "三个序列共享一个未满的块：2 先写，然后 1，然后 3"), shared((2, 1, 3)))
    yield (say("the same: 1 writes twice, then 3", "同上：1 写两次，然后 3"), shared((1, 1, 3)))
    yield say("three sequences share full blocks only", "三个序列只共享满块"), shared((3, 1, 2), 2 * size)
    yield (say("the other one has ended: 1 writes", "另外两个已结束：1 写"),
           lambda: written(made(fresh, lambda m: m.fork(1, 2), lambda m: m.free(2)), 1))
    yield (say("no free block, last block with room", "没有空闲块，最后一块未满"),
           lambda: tight(part, False))
    yield (say("no free block, last block full: refused, nothing changed",
               "没有空闲块，最后一块已满：被拒绝，什么都没变"), lambda: tight(2 * size, False))
    yield (say("no free block, last block with room but shared",
               "没有空闲块，最后一块未满但被共享"), lambda: tight(part, True))
    yield (say("nobody's slot", "给不存在的序列追加"), lambda: fresh().append_slots(4, 0), raises(KeyError))
    yield from trace("allocate, append, fork, free", "allocate、append、fork、free",
                     lambda: BlockManager(size, total, 0, 0.0), size, {"gpu": total},
                     proposals(rng, 70, {"allocate": 2, "append": 8, "fork": 2, "free": 2}, 2 * size))


# Before or after the new token: nano-vllm issues 30, 91, 150 and 240, MinivLLM issue 75 and its pull
# request 85.
mistakes(
    check_append,
    ("The new block comes one token early. Is the length that you test the one before or "
     "the one after the new token? (nano-vllm's issues 30, 91, 150 and 240 discuss just that.)",
     "新块早来了一个 token。你判断的长度，是新 token 之前的还是之后的？（nano-vllm 的 issue 30、91、150、240 讨论的正是它。）",
     "BlockManager.append_slots", "if self.lengths[seq_id] % self.block_size == 0:",
     "if (self.lengths[seq_id] + 1) % self.block_size == 0:"),
    ("A sequence copies a block that it holds alone. When does writing disturb nobody?",
     "序列复制了自己独占的块。什么时候写入不会打扰别人？", "BlockManager.append_slots",
     "elif pool.ref_count(table[-1]) > 1:", "elif pool.ref_count(table[-1]) >= 1 and self.num_free():"),
    ("A sequence writes into a block that others read. What must happen first?",
     "序列写进了别人正在读的块。写之前必须先做什么？", "BlockManager.append_slots",
     "elif pool.ref_count(table[-1]) > 1:", "elif pool.ref_count(table[-1]) > 99:"),
    ("After the copy, the old block still counts the sequence that left it: it will never be free.",
     "复制之后，旧块仍把离开的序列算作主人：它永远不会空闲。", "BlockManager.append_slots",
     "            pool.free(old)\n", ""),
)


# ------------------------------------------------------------------ when memory runs out

@check()
def check_swap(BlockManager, rng):
    """Out to CPU memory and back."""
    size, total = int(rng.choice([3, 4, 5])), 14
    text = rng.integers(50, size=200).tolist()
    n = 3 * size + int(rng.integers(1, size))

    def fresh(cpu=9, watermark=0.0):
        """1, 2 and 3 share four blocks, 2 with a last block of its own; 5 stands alone."""
        m = BlockManager(size, total, cpu, watermark)
        m.allocate(1, text[:n])
        m.fork(1, 2)
        m.append_slots(2, 1)
        m.fork(1, 3)
        m.allocate(5, text[: size + 1])
        return m

    def look(m):
        return [[m.is_swapped(s), m.num_tokens(s), len(m.block_table(s)),
                 [m.ref_count(b, "cpu" if m.is_swapped(s) else "gpu") for b in m.block_table(s)]]
                for s in (1, 2, 3, 5)] + [m.num_free(), m.num_free("cpu")]

    def out(group, back=False):
        def program():
            m = fresh()
            before = {s: m.block_table(s) for s in group}
            pairs = m.swap_out(group)
            used = sorted({b for table in before.values() for b in table})
            seen = [sorted(pairs) == used, len(set(pairs.values())), look(m),
                    all([pairs[b] for b in before[s]] == m.block_table(s) for s in group)]
            if back:
                before = {s: m.block_table(s) for s in group}
                pairs = m.swap_in(group)
                seen += [len(pairs), len(set(pairs.values())), look(m),
                         all([pairs[b] for b in before[s]] == m.block_table(s) for s in group)]
            return seen
        return program

    yield say("one sequence goes out", "一个序列换出"), out([5])
    yield (say("three that share go out together: the mapping, what they still share",
               "三个共享的序列一起换出：映射，以及它们仍共享的块"), out([1, 2, 3]))
    yield say("one of three that share goes out alone", "三个共享者之一单独换出"), out([2])
    yield say("out and back", "换出再换入"), out([1, 2, 3], back=True)
    yield (say("can_swap_out for 4, 5, 6, 7 CPU blocks", "CPU 有 4、5、6、7 块时的 can_swap_out"),
           lambda: [[fresh(cpu).can_swap_out(g) for g in ([1, 2, 3], [5, 3], [1, 2, 5])]
                    for cpu in (4, 5, 6, 7)])

    def returns(cpu, watermark):
        m, seen = fresh(cpu, watermark), []
        m.swap_out([1, 2, 3])
        for s in range(20, 28):
            seen.append([m.num_free(), m.can_swap_in([1, 2, 3])])
            if m.num_free():
                m.allocate(s, text[:size])
        m.free(5)
        return [*seen, m.can_swap_in([1, 2, 3])]

    yield (say("can_swap_in as memory fills up", "显存逐渐占满时的 can_swap_in"), lambda: returns(9, 0.0))
    yield (say("the same with two blocks held back", "同上，保留两块"), lambda: returns(9, 2.1 / total))

    def giant(watermark):
        """A sequence that fills the memory never gets back with its spare block."""
        m = BlockManager(size, 4, 8, watermark)
        m.allocate(1, text[: 4 * size])
        m.swap_out([1])
        return [m.can_swap_in([1]), len(m.swap_in([1])), m.num_free()]

    yield say("a sequence of the whole memory comes back", "占满全部显存的序列换入"), lambda: giant(0.0)

    def refusals():
        m = fresh(9)
        m.swap_out([5])
        said = [refused(act) for act in (
            lambda: m.swap_out([5]), lambda: m.swap_out([1, 5]), lambda: m.swap_in([1]),
            lambda: m.swap_in([1, 5]), lambda: m.append_slots(5, 0), lambda: m.can_append(5),
            lambda: m.fork(5, 6), lambda: m.is_swapped(8), lambda: m.swap_out([8]))]
        few, full = fresh(4), fresh()
        full.swap_out([1, 2, 3])
        full.allocate(9, text[: (total - 3) * size])
        return [said, look(m), refused(lambda: few.swap_out([1, 2, 3])), look(few),
                refused(lambda: full.swap_in([1, 2, 3])), look(full)]

    yield say("what is refused, and nothing changed", "被拒绝的操作，且什么都没变"), refusals
    def ends_outside():
        m = made(fresh, lambda m: m.swap_out([5]), lambda m: m.free(5))
        seen = [m.num_free(), m.num_free("cpu"), refused(lambda: m.is_swapped(5))]
        m.allocate(5, text[:size])
        return [*seen, m.is_swapped(5), m.num_free()]

    yield (say("a sequence ends in CPU memory; its number is used again",
               "序列在 CPU 内存中结束；编号再次使用"), ends_outside)
    yield from trace("all operations with swap", "含换入换出的全部操作",
                     lambda: BlockManager(size, 12, 8, 0.0), size, {"gpu": 12, "cpu": 8},
                     proposals(rng, 70, {"allocate": 3, "append": 6, "fork": 2, "free": 2,
                                          "swap_out": 2, "swap_in": 2}, 2 * size))


mistakes(
    check_swap,
    ("Sequences that shared a block come back with one copy each. How often is a block moved that "
     "stands in three tables?",
     "原先共享一块的序列，回来时各有一份。出现在三张表里的块应当搬几次？", "_move",
     "            if block in mapping:", "            if block in mapping and block < 0:"),
    ("GPU blocks of the group stay in use although its tables point to CPU memory. Count the owners "
     "that leave a shared block.",
     "这组序列的表已指向 CPU 内存，它们的 GPU 块却仍被占用。数一数离开共享块的主人。", "_move",
     "                target.share(mapping[block])",
     "                target.share(mapping[block])\n                table[i] = mapping[block]\n"
     "                continue"),
    ("A group comes back into the last free blocks and is thrown out at its next token. Read "
     "can_swap_in again: what does each sequence need at once?",
     "一组序列换入到最后的空闲块里，下一个 token 时又被赶出来。重读 can_swap_in：每个序列马上就需要什么？",
     "BlockManager.can_swap_in", "len(_blocks(self, seq_ids)) + len(seq_ids)",
     "len(_blocks(self, seq_ids))"),
    ("A sequence that ends in CPU memory gives up blocks of the GPU with the same numbers. Whose are "
     "they?",
     "在 CPU 内存中结束的序列，释放了编号相同的 GPU 块。那些块是谁的？", "BlockManager.free",
     "self.pools[\"cpu\" if seq_id in self.swapped else \"gpu\"]", "self.pools[\"gpu\"]"),
)


class Counting:
    """A stand-in for a manager: some sequences need a block, each holds some blocks."""

    def __init__(self, free, needs, holds):
        self.free, self.needs, self.holds, self.calls = free, needs, dict(holds), []

    def can_append(self, s):
        return s in self.holds and self.needs[s] <= self.free

    def append_slots(self, s, token):
        if not self.can_append(s):
            raise ValueError("no free block")
        self.free -= self.needs[s]
        self.calls.append([s, token])
        return [(s, 100 + s)] if s % 3 == 0 else []

    def preempt(self, s):
        self.free += self.holds.pop(s)
        self.calls.append([s, "preempted"])


@check()
def check_make_slots(make_slots, rng):
    """Who gets a slot, and who must yield."""
    def case(free, needs, holds, order):
        def run():
            manager, tokens = Counting(free, needs, holds), {s: 7 * s for s in order}
            kept, preempted, copies = make_slots(manager, tokens, manager.preempt)
            return [list(kept), list(preempted), [list(pair) for pair in copies], manager.calls,
                    manager.free, tokens == {s: 7 * s for s in order}]
        return run

    def plain(count, free, holds=1):
        order = list(range(3, 3 + count))
        return case(free, dict.fromkeys(order, 1), dict.fromkeys(order, holds), order)

    yield say("nobody runs", "没有运行中的序列"), plain(0, 0)
    yield say("blocks for all", "块足够所有序列"), plain(4, 4)
    yield say("no free block; each of four holds one", "没有空闲块；四个序列各占一块"), plain(4, 0)
    yield say("no free block; each of five holds three", "没有空闲块；五个序列各占三块"), plain(5, 0, 3)
    yield (say("giving up shared blocks frees nothing: two must yield for one",
               "放弃共享块并不腾出空间：要两个让位才够"),
           case(0, dict.fromkeys((4, 2, 9, 6), 1), {4: 1, 2: 1, 9: 1, 6: 0}, (4, 2, 9, 6)))
    yield (say("the one in turn is the last and yields itself", "轮到的就是最后一个，它自己让位"),
           case(1, {8: 1, 5: 1}, {8: 2, 5: 2}, (8, 5)))
    yield (say("one alone without a block", "只剩一个且没有块"), case(0, {6: 1}, {6: 2}, (6,)))
    for k in range(6):
        order = rng.permutation(20)[: rng.integers(5, 9)].tolist()
        needs = {s: int(rng.integers(0, 2)) for s in order}
        holds = {s: int(rng.integers(0, 3)) for s in order}
        yield (say(f"a random step, {k + 1}", f"随机的一步（{k + 1}）"),
               case(int(rng.integers(0, 3)), needs, holds, order))


mistakes(
    check_make_slots,
    ("The one that arrived early yields to those behind it. Who loses least, and who has waited "
     "longest?", "先到的给后到的让了位。谁损失最少，谁等得最久？", "make_slots",
     "victim = running.pop() if running", "victim = running.popleft() if running"),
    ("The preempted sequences come in the order in which they were thrown out; they are asked for in "
     "order of arrival.", "被抢占的序列按被赶出的次序返回了；要求的是到达的次序。", "make_slots",
     "preempted[::-1]", "preempted"),
    ("The one in turn gives up at once although others behind it are still running.",
     "轮到的序列立刻放弃了，而它后面还有别的在运行。", "make_slots",
     "victim = running.pop() if running else seq_id", "victim = seq_id"),
)


@check_make_slots.mistake(say(
    "One preemption is not always enough: the victim's blocks may still belong to others. Ask again.",
    "抢占一个不一定够：它的块可能还属于别人。再问一次。",
))
def make_slots(manager, new_tokens, preempt):
    running, kept, preempted, copies = list(new_tokens), [], [], []
    while running:
        seq_id = running.pop(0)
        if not manager.can_append(seq_id) and running:
            preempted.append(running.pop())
            preempt(preempted[-1])
        if manager.can_append(seq_id):
            copies += manager.append_slots(seq_id, new_tokens[seq_id])
            kept.append(seq_id)
        else:
            preempt(seq_id)
            preempted.append(seq_id)
    return kept, preempted[::-1], copies


# ------------------------------------------------------------------ prefixes

@check()
def check_block_hashes(block_hashes, rng):
    """A name for each full block."""
    size = int(rng.choice([3, 4, 5]))
    A, B, C, D = rng.integers(1, 900, size=(4, size)).tolist()

    def same(x, y, b=size):
        return [int(p) == int(q) for p, q in zip(block_hashes(x, b), block_hashes(y, b), strict=False)]

    yield (say("how many names for 0, 1, b − 1, b, b + 1, 3b, 3b + 1 tokens",
               "0、1、b − 1、b、b + 1、3b、3b + 1 个 token 各有几个名字"),
           lambda: [len(block_hashes((A + B + C + D)[:n], size))
                    for n in (0, 1, size - 1, size, size + 1, 3 * size, 3 * size + 1)])
    yield (say("all are ints; equal tokens, as list or tuple, twice", "都是 int；相同 token（list 或 tuple）算两次"),
           lambda: [all(isinstance(h, int) for h in block_hashes(A + B, size)),
                    same(A + B, tuple(A + B)), same(A + B, A + B)])
    yield (say("equal up to the third block", "到第三块为止相同"),
           lambda: same(A + B + C + A, A + B + D + A))
    yield (say("a longer text begins with the names of the shorter", "较长文本以较短文本的名字开头"),
           lambda: [block_hashes(A + B + C, size)[:2] == block_hashes(A + B + C[:1], size)])
    yield (say("other first block, same second", "第一块不同，第二块相同"), lambda: same(A + C, B + C))
    yield (say("one block three times: different names", "同一块重复三次：不同的名字"),
           lambda: len(set(block_hashes(A + A + A, size))))
    yield (say("the same tokens in another order", "相同 token，换个次序"),
           lambda: same([1, 2, 3, 4], [2, 1, 3, 4], 4))
    yield (say("only the first, or only the last token differs", "只有第一个、或只有最后一个 token 不同"),
           lambda: [same([1, 2, 3, *A], [4, 2, 3, *A], 3), same([1, 2, 3, *A], [1, 2, 4, *A], 3)])
    yield (say("tokens 1, 23 and 12, 3", "token 1, 23 与 12, 3"), lambda: same([1, 23], [12, 3], 2))
    yield (say("tokens 0, 0, 5 and 0, 5, 0 and 5, 0, 0", "token 0, 0, 5 与 0, 5, 0 与 5, 0, 0"),
           lambda: [same([0, 0, 5], [0, 5, 0], 3), same([0, 5, 0], [5, 0, 0], 3),
                    same([0, 0], [0], 1)])
    yield (say("different names of 1500 different texts of one block", "1500 个不同单块文本的不同名字数"),
           lambda: len({block_hashes([i, i % 7], 2)[0] for i in range(1500)}))


mistakes(
    check_block_hashes,
    ("Two texts with different beginnings give one name to the same later block, and would read each "
     "other's keys. What else belongs into a block's name?",
     "开头不同的两个文本，给后面相同的块起了同一个名字，于是会读到对方的 K、V。块的名字里还应包含什么？",
     "block_hashes", "repr((parent, block))", "repr(block)"),
    ("The order of tokens within a block is lost.", "块内 token 的次序丢了。", "block_hashes",
     "repr((parent, block))", "repr((parent, sorted(block)))"),
    ("Tokens written one after the other without a mark between them: 1, 23 reads like 12, 3.",
     "token 首尾相接、中间没有分隔：1, 23 读起来和 12, 3 一样。", "block_hashes",
     "repr((parent, block))", "f\"{parent}:\" + \"\".join(map(str, block))"),
    ("Too few bits: with many blocks, two different ones get the same name sooner than you think (the "
     "birthday problem).", "位数太少：块一多，两个不同的块很快就会重名（生日问题）。", "block_hashes",
     "digest[:8]", "digest[:2]"),
)


def v1(KVCacheManager, size, blocks):
    return lambda: KVCacheManager(size, blocks)


@check()
def check_prefix_hits(KVCacheManager, rng):
    """Which beginnings are found cached."""
    size, total = int(rng.choice([3, 4, 5])), 12
    A, B, C, D = ((rng.integers(50, size=size) + 100 * k).tolist() for k in range(4))
    tail = rng.integers(50, size=2).tolist()

    def fresh(*acts):
        return made(v1(KVCacheManager, size, total), *acts)

    def allocate(s, tokens):
        return lambda m: m.allocate(s, tokens)

    def free(s):
        return lambda m: m.free(s)

    def asked(*acts):
        return lambda: [fresh(*acts).computed_tokens(t) // size for t in (
            A + B + C + tail, A + B + C, A + B + tail, A + B, A + tail, A, B + C, A + D + C + tail, tail)]

    yield say("an empty cache", "空缓存"), asked()
    yield (say("while another sequence with blocks A, B, C runs: cached blocks found",
               "含块 A、B、C 的序列运行时：找到的缓存块数"), asked(allocate(1, A + B + C + tail)))
    yield (say("after it has ended", "它结束之后"), asked(allocate(1, A + B + C + tail), free(1)))
    yield (say("after its last block was not full", "它的最后一块未满时"),
           asked(allocate(1, A + B + C[:-1])))

    def generated():
        m, seen = fresh(allocate(1, A + B[:1])), []
        for token in B[1:] + C + tail:
            seen.append([m.append_slots(1, token), m.computed_tokens(A + B + C + tail)])
        return seen

    yield (say("blocks that fill up token by token", "逐个 token 填满的块"), generated)

    def shared(tokens):
        m = fresh(allocate(1, A + B + C + tail))
        computed = m.allocate(2, tokens)
        first, second = m.block_table(1), m.block_table(2)
        return [computed, len(second), [b in first for b in second],
                [m.ref_count(b) for b in second], m.num_free(), m.num_tokens(2)]

    for name, zh, tokens in (
        ("the same prompt", "相同的提示", A + B + C + tail), ("A, B and others", "A、B 和别的", A + B + tail),
        ("a prompt A, B, cached to its end", "提示 A、B，整个都在缓存里", A + B),
        ("nothing in common", "没有共同之处", D + A),
    ):
        yield say(f"a second sequence: {name}", f"第二个序列：{zh}"), lambda: shared(tokens)

    def gap():
        """B after A is cached, A itself is not any more."""
        m = made(v1(KVCacheManager, size, 3), allocate(1, A), allocate(2, A))
        for token in B:
            m.append_slots(2, token)
        seen = [m.computed_tokens(A + B + tail)]
        m.free(1)
        m.allocate(3, tail)
        return [*seen, m.computed_tokens(A + B + tail), m.num_free()]

    yield (say("A, B cached; then the same, A having been evicted", "A、B 都在缓存中；然后 A 已被逐出"), gap)

    def crowded():
        """Eight of twelve blocks in use or cached: how long may a newcomer be?"""
        m = fresh(allocate(1, A + B + C + tail), free(1), allocate(2, D * 7))
        return [[m.num_free(), m.can_allocate(A + B + C + tail + D * k), m.can_allocate(B * (k + 2))]
                for k in range(11)]

    yield (say("can_allocate where cached blocks are among the free ones", "缓存块本身也在空闲块之中时的 can_allocate"),
           crowded)

    def refusals():
        m = fresh(allocate(1, A * 5))
        said = [refused(lambda: m.allocate(1, A)), refused(lambda: m.allocate(2, D * 8)),
                refused(lambda: m.free(3)), refused(lambda: m.append_slots(3, 0)),
                refused(lambda: m.block_table(3)), refused(lambda: m.can_append(3))]
        other = made(fresh, allocate(1, A), free(1))
        said += [refused(lambda: other.num_tokens(1)), refused(lambda: other.can_append(1))]
        m.block_table(1).append(99)
        return [said, m.num_free(), len(m.block_table(1)), m.computed_tokens(D * 8),
                [m.ref_count(b) for b in m.block_table(1)]]

    def no_block_left():
        m = made(v1(KVCacheManager, size, 2), allocate(1, A + B))
        seen = [m.can_append(1), refused(lambda: m.append_slots(1, 7)), m.num_tokens(1)]
        m = made(v1(KVCacheManager, size, 2), allocate(1, A + B[:-1]))
        return [*seen, m.can_append(1), refused(lambda: m.append_slots(1, B[-1])), m.can_append(1)]

    yield say("what is refused, and nothing changed", "被拒绝的操作，且什么都没变"), refusals
    yield (say("no free block: last block full, last block with room", "没有空闲块：最后一块已满、未满"),
           no_block_left)


# A prompt that is cached to its end: vllm pull requests 9972 and 11186. Hit blocks that are counted as
# free ones as well: vllm pull request 6849.
mistakes(
    check_prefix_hits,
    ("A prompt that is cached to its end leaves nothing to compute, and so no output to choose the "
     "next token from (see vLLM's pull requests 9972 and 11186).",
     "整个都在缓存里的提示，没有剩下任何要计算的，也就没有输出来选下一个 token（见 vLLM 的 PR 9972 与 11186）。",
     "_hits", "tokens[:-1]", "tokens"),
    ("A block is used although a block before it is missing. What must be there for its keys and "
     "values to be worth something?",
     "前面的块不在，后面的块却被用上了。要有什么，它的 K、V 才有意义？", "_hits",
     "            break\n        hits", "            continue\n        hits"),
    ("Blocks that fill up while the answer is written are not found again.",
     "生成过程中填满的块，之后找不到了。", "KVCacheManager.append_slots",
     "_cache(self, table[-1], block_hashes(tokens, self.block_size)[-1])", "pass"),
    ("A free block that is hit is counted twice: as one that need not be taken and as one that can "
     "be (see vLLM's pull request 6849).",
     "被命中的空闲块算了两次：既算不必再拿的，又算可以拿的（见 vLLM 的 PR 6849）。",
     "KVCacheManager.can_allocate", " - sum(block in self.queue for block in hits)", ""),
)


@check()
def check_prefix_eviction(KVCacheManager, rng):
    """Which cached blocks survive when blocks run short."""
    size = int(rng.choice([3, 4, 5]))
    A, B, C, D, E, F = (
        (rng.integers(90, size=size) + 100 * k).tolist() for k in range(6))
    probes = {"A": A, "AB": A + B, "ABC": A + B + C, "D": D, "DE": D + E, "F": F}

    def found(m):
        return {name: m.computed_tokens([*tokens, 1]) // size for name, tokens in probes.items()}

    def story(total, *acts):
        """What is cached after each act: (seq_id, tokens) comes in, an int ends."""
        def run():
            m, seen = KVCacheManager(size, total), []
            for act in acts:
                if isinstance(act, int):
                    m.free(act)
                else:
                    m.allocate(*act)
                seen.append([m.num_free(), found(m)])
            return seen
        return run

    x = [1] * size
    yield (say("sequence ABC ends; then 1, 2 and 3 blocks are taken", "序列 ABC 结束；随后被拿走 1、2、3 块"),
           story(4, (1, A + B + C), 1, (2, x[:1]), (3, x[:1]), (4, x[:1]), (5, x[:1])))
    yield (say("ABC ends, then DE; blocks are taken one by one", "ABC 先结束，DE 后结束；逐块拿走"),
           story(5, (1, A + B + C), (2, D + E), 1, 2, (3, x[:1]), (4, x[:1]), (5, x[:1]), (6, x[:1])))
    yield (say("DE ends before ABC", "DE 在 ABC 之前结束"),
           story(5, (1, A + B + C), (2, D + E), 2, 1, (3, x[:1]), (4, x[:1]), (5, x[:1]), (6, x[:1])))
    yield (say("A is hit again between, and ends last", "其间 A 被再次命中，最后结束"),
           story(6, (1, A + B), 1, (2, D + E), 2, (3, [*A, 2]), 3, (4, x[:1]), (5, x[:1]),
                 (6, x[:1]), (7, x[:1])))
    yield (say("a hit block is in use and cannot be taken", "被命中的块正在使用，不能被拿走"),
           story(4, (1, A + B), 1, (2, [*A, *B, 5]), (3, x[:1]), 2, (4, x[:1]), (5, x[:1])))
    yield (say("two sequences share A; the first ends, blocks are taken",
               "两个序列共享 A；第一个结束，块被拿走"),
           story(4, (1, [*A, 7]), (2, [*A, 8]), 1, (3, x[:1]), (4, x[:1]), 2, 3, (5, x[:1])))
    yield (say("the block of A is given out again and then filled with F",
               "A 的块被再次给出，然后填入 F"),
           story(1, (1, A), 1, (2, F), 2, (3, x[:1]), 3))
    yield (say("two blocks with the same tokens: the first stays cached", "内容相同的两块：先缓存的保留"),
           story(4, (1, A), (2, A), 1, (3, x[:1]), (4, x[:1]), (5, x[:1]), 2, (6, x[:1])))


# The order of eviction: llm-d-inference-sim issue 704. A name that outlives its block: kvcached
# issue 362, vllm pull request 4761.
mistakes(
    check_prefix_eviction,
    ("The beginning of a text is evicted before its end, and what remains cannot be found any more. "
     "In which order do the blocks of one table enter the queue?",
     "文本的开头比结尾先被逐出，剩下的再也找不到了。同一张表的块按什么次序进入队列？",
     "KVCacheManager.free", "reversed(self.tables.pop(seq_id))", "self.tables.pop(seq_id)"),
    ("A block that was given out again is still found under its old name, with other tokens' keys in it "
     "(kvcached's issue 362).",
     "已再次给出的块，仍能以旧名字找到，而里面是别的 token 的 K、V（kvcached 的 issue 362）。", "_take",
     "if block in manager.name_of:", "if block in manager.name_of and block < 0:"),
    ("The block that became free last is taken first. Which one has not been used for longest?",
     "最后空闲下来的块最先被拿走。最久没有用过的是哪一块？", "_take",
     "popitem(last=False)", "popitem(last=True)"),
    ("A sequence that ends takes its names with it: nothing is ever found again.",
     "序列结束时把名字也带走了：之后什么都找不到。", "KVCacheManager.free",
     "                self.queue[block] = None",
     "                self.queue[block] = None\n"
     "                self.block_named.pop(self.name_of.pop(block, None), None)"),
)


@check()
def check_prefix_trace(KVCacheManager, rng):
    """Random traces: every sequence reads back its own keys and values."""
    for total, size in ((9, 2), (14, 3)):
        texts = rng.integers(2, size=(4, 4 * size))
        texts[1, : 2 * size] = texts[0, : 2 * size]
        todo = proposals(rng, 70, {"allocate": 4, "append": 6, "free": 3}, 4 * size, texts)
        yield from trace(f"{total} blocks of {size}", f"{total} 块，每块 {size} 个 token",
                         v1(KVCacheManager, size, total), size, {"gpu": total}, todo)

    text = (rng.integers(9, size=30) + 10 * (rng.permutation(30) // 15)).tolist()

    def back():
        """All blocks of a preempted sequence are hit, and they are the next to be taken."""
        world = World(KVCacheManager(3, 4), 3, gpu=4)
        world.allocate(1, text[:9])
        world.allocate(2, text[20:22])
        world.free(1)
        world.free(2)
        return [world.allocate(1, text[:10]), world.free_blocks(), world.unbalanced(),
                world.spoiled()]

    yield (say("preempted and back at once: tokens found cached, free blocks, counts, spoiled sequences",
               "被抢占后马上回来：找到的缓存 token 数、空闲块数、计数、被破坏的序列数"), back)

    def twice():
        """Two sequences have computed the same text; the second ends and its block is taken."""
        m = made(v1(KVCacheManager, 3, 2), lambda m: m.allocate(1, text[:3]),
                 lambda m: m.allocate(2, text[:3]), lambda m: m.free(2),
                 lambda m: m.allocate(3, text[20:22]))
        return [m.computed_tokens(text[:4]), m.num_free()]

    yield (say("two have computed the same text; the second ends, its block is taken: tokens found",
               "两个序列算过同样的文本；第二个结束，它的块被拿走：还能找到的 token 数"), twice)

    def preempted():
        """A sequence is freed in the middle and comes back, while others take blocks."""
        world, seen = World(KVCacheManager(3, 8), 3, gpu=8), []
        world.allocate(1, text[:10])
        world.allocate(2, text[20:27])
        for token in text[10:12]:
            world.append(1, token)
        world.free(1)
        world.append(2, 3)
        world.append(2, 4)
        world.append(2, 5)
        for s, n in ((1, 12), (3, 9)):
            if world.manager.can_allocate(text[:n]) == "OK":
                seen.append(world.allocate(s, text[:n]))
            seen += [world.free_blocks(), world.unbalanced(), world.spoiled()]
        return seen

    yield (say("preempted, and back later: tokens found cached, free blocks, counts, spoiled sequences",
               "被抢占后过一阵再回来：找到的缓存 token 数、空闲块数、计数、被破坏的序列数"), preempted)


# A queue and a table that no longer agree: vllm issue 16825. What was cached when somebody asked, and
# was not any more when it was used: vllm pull request 18957.
mistakes(
    check_prefix_trace,
    ("A hit block stays in the queue and is given to somebody else while in use. What does a hit "
     "change about a free block?",
     "命中的块仍留在队列里，使用中又被给了别人。命中会改变空闲块的什么？",
     "KVCacheManager.allocate", "            self.queue.pop(block, None)\n", ""),
    ("A block enters the queue although other tables still hold it.",
     "还有别的表持有的块，却进了队列。", "KVCacheManager.free",
     "            if self.refs[block] == 0:\n                self.queue[block] = None",
     "            self.queue[block] = None"),
    ("A second block with the same tokens takes over the name, and the end of the first one takes the name "
     "away from it.",
     "内容相同的第二块抢走了名字，而第一块被逐出时又把名字带走了。", "_cache",
     "    if name not in manager.block_named:\n        manager.block_named[name], "
     "manager.name_of[block] = block, name",
     "    manager.block_named[name], manager.name_of[block] = block, name",),
    ("New blocks are taken before the hits have left the queue: a hit may be evicted by the very "
     "sequence that hit it. A resumed sequence after a preemption meets this first.",
     "命中的块还没离开队列，就先拿了新块：命中可能被命中它的那个序列自己逐出。被抢占后恢复的序列最先遇到。",
     "KVCacheManager.allocate",
     "        for block in table:\n            self.queue.pop(block, None)\n            self.refs[block] += 1\n",
     "", "            table.append(_take(self))\n",
     "            table.append(_take(self))\n        for block in table[:hits]:\n"
     "            self.queue.pop(block, None)\n            self.refs[block] += 1\n"),
)


# ------------------------------------------------------------------ quiz

@check()
def check_quiz_v0(source_quiz, rng):
    """vLLM v0.2 to v0.5."""
    for q in ("q1", "q2", "q3", "q4"):
        yield (say(f"question {q[1:]}", f"第 {q[1:]} 题"),
               lambda: str(source_quiz()[q]).strip().lower(), choice())


@check()
def check_quiz_v1(source_quiz, rng):
    """vLLM V1."""
    for q in ("q5", "q6", "q7", "q8"):
        yield (say(f"question {q[1:]}", f"第 {q[1:]} 题"),
               lambda: str(source_quiz()[q]).strip().lower(), choice())


def confusion(question, right, wrong, en, zh):
    (check_quiz_v0 if question < "q5" else check_quiz_v1).mistake(
        say(en, zh), within="source_quiz",
        replace={f'"{question}": "{right}"': f'"{question}": "{wrong}"'})


confusion("q1", "c", "a", "Question 1: read can_allocate in section 2. Which of the two comparisons uses the "
          "total?", "第 1 题：读第 2 节的 can_allocate。两个比较中，哪个用的是总数？")
confusion("q2", "a", "b", "Question 2: read append_slots. Which sequence finds the count above 1?",
          "第 2 题：读 append_slots。哪个序列看到的计数大于 1？")
confusion("q3", "d", "a", "Question 3: what would the sequence need in the very next step?",
          "第 3 题：这个序列在紧接着的一步会需要什么？")
confusion("q4", "b", "c", "Question 4: compare what the two ways of preemption must do when the sequence "
          "comes back, and what they must move.", "第 4 题：比较两种抢占方式在序列回来时要做什么、要搬什么。")
confusion("q5", "b", "a", "Question 5: what do a block's keys and values depend on?",
          "第 5 题：一个块的 K、V 取决于什么？")
confusion("q6", "d", "b", "Question 6: can a block that is full still be written to in V1?",
          "第 6 题：在 V1 中，满块还会被写入吗？")
confusion("q7", "a", "c", "Question 7: which of the blocks is useless without the others?",
          "第 7 题：哪些块离开了其他块就毫无用处？")
confusion("q8", "c", "b", "Question 8: in which units does V1 count computed tokens?",
          "第 8 题：V1 以什么为单位来数已计算的 token？")

SEEN_LATER = "sequences in CPU memory exist from the exercise on swapping on; check_swap sees it"
EQUIVALENT = {
    "BlockManager.__init__: self.swapped: set[int] = set() -> (removed)":
        "the methods of this exercise do not need it; every later check sees it",
    "BlockManager.can_allocate: -len(tokens) // self.block_size -> -len(tokens) / self.block_size":
        "compared with whole numbers only, and x <= n holds exactly if ⌈x⌉ <= n",
    "KVCacheManager.can_allocate: -len(tokens) // self.block_size -> -len(tokens) / self.block_size":
        "compared with whole numbers only, and x <= n holds exactly if ⌈x⌉ <= n",
    "BlockManager.fork: if parent in self.swapped: ... -> (removed)": SEEN_LATER,
    "BlockManager.free: self.swapped.discard(seq_id) -> (removed)": SEEN_LATER,
    "BlockManager.can_append: if seq_id in self.swapped: ... -> (removed)": SEEN_LATER,
    "BlockManager.append_slots: if not self.can_append(seq_id): ... -> (removed)":
        "the allocator raises ValueError itself before anything has changed",
    "block_hashes: hashes, parent = ([], 0) -> hashes, parent = ([], 1)":
        "any constant may stand before the first block",
    "block_hashes: digest[:8] -> digest[1:8]": "56 bits of the digest instead of 64",
    "block_hashes: digest[:8] -> digest[:9]": "72 bits of the digest instead of 64",
}

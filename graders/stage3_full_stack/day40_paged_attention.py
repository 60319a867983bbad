"""Checks of Day 40: which slots are wasted, who holds which block, and what attention reads."""

import contextlib
import functools
import math

import torch

from ladder.checks import check, raises, say


def normal(rng, *shape):
    return torch.from_numpy(rng.normal(size=shape))


def table(BlockTable, pool, size, length, rng):
    """A table of ``length`` tokens, made by hand: its blocks stand in random order."""
    made = BlockTable(size, pool)
    made.blocks = [int(b) for b in rng.permutation(pool.free)[:-(-length // size)]]
    made.length = length
    for block in made.blocks:
        pool.free.remove(block)
        pool.refs[block] = 1
    return made


def logical(made, slots):
    """The positions that physical slots belong to, by the table: 0, 1, 2, ... if all is well."""
    size = made.block_size
    return [made.blocks.index(slot // size) * size + slot % size for slot in slots]


def extent(made):
    return [made.length, len(made.blocks)]


def counts(made):
    return [made.pool.refs[block] for block in made.blocks]


def books(pool):
    """The free blocks in order, and all reference counts."""
    return {"free": sorted(pool.free), "refs": list(pool.refs)}


def once(action):
    """``action`` that is carried out on the first call only; later calls give the same result or error."""
    @functools.cache
    def result():
        try:
            return action(), None
        except Exception as error:
            return None, error

    def ask():
        value, error = result()
        if error is not None:
            raise error
        return value

    return ask


def after(action, look):
    """What ``look`` sees after ``action``, whose own errors do not matter here."""
    with contextlib.suppress(MemoryError, ValueError):
        action()
    return look()


# --------------------------------------------------------------------------------- kv_waste


@check()
def check_kv_waste(kv_waste, rng):
    """Used, reserved and internal waste, contiguous and paged."""
    for stored, final, words in (
        (5, 5, ("a finished request", "已结束的请求")),
        (5, 12, ("a request with 7 tokens to come", "还要生成 7 个 token 的请求")),
        (8, 13, ("its last block is full", "最后一个块正好填满")),
        (6, 7, ("it ends inside its last block", "在最后一个块内部结束")),
        (0, 9, ("nothing stored as yet", "还没有存入任何 token")),
    ):
        for way in ("contiguous", "paged"):
            for name in ("used", "reserved", "internal"):
                yield (say(f"{words[0]}: stored {stored}, final {final}, max_len 20, block 4: {way}, {name}",
                           f"{words[1]}：stored {stored}，final {final}，max_len 20，block 4：{way}，{name}"),
                       lambda: kv_waste([(stored, final)], 20, 4)[way][name])
    finals = [int(n) for n in rng.integers(1, 90, 9)]
    lengths = [(int(rng.integers(0, n + 1)), n) for n in finals]
    for block in (1, 7, 16):
        yield (say(f"nine requests, max_len 97, block {block}", f"九个请求，max_len 97，block {block}"),
               lambda: kv_waste(list(lengths), 97, block))
    yield say("no requests", "没有请求"), lambda: kv_waste([], 20, 4)
    yield (say("a request that ends at max_len", "恰好在 max_len 结束的请求"),
           lambda: kv_waste([(3, 20)], 20, 4))
    for bad in ((6, 5), (3, 21), (-1, 5)):
        yield (say(f"(stored, final) = {bad}, max_len 20", f"(stored, final) = {bad}，max_len 20"),
               lambda: kv_waste([(2, 3), bad], 20, 4), raises(ValueError))


check_kv_waste.mistake(
    say("A paged request has all its future tokens counted as reserved. Does it hold slots for them today?",
        "分页时，请求将来的 token 全都算成了 reserved。它今天就持有这些槽位吗？"),
    within="kv_waste", replace={"filled = min(final, given)": "filled = final"},
)
check_kv_waste.mistake(
    say("A request whose last block is exactly full is given one block too many.",
        "最后一个块恰好填满的请求，多算了一个块。"),
    within="kv_waste", replace={"-(-stored // block) * block": "(stored // block + 1) * block"},
)
check_kv_waste.mistake(
    say("The internal waste also holds slots that the request will still fill; those have a name of their own.",
        "internal 里也算进了请求以后会填的槽位；那一类另有名称。"),
    within="kv_waste", replace={"given - filled": "given - stored"},
)
check_kv_waste.mistake(
    say("Tokens in a block that is not full seem to have no slot at all. How many blocks hold 5 tokens if a "
        "block has 4 slots?",
        "没填满的块里的 token 似乎没有槽位。一块 4 个槽位时，5 个 token 要几个块？"),
    within="kv_waste", replace={"-(-stored // block) * block": "stored // block * block"},
)


# -------------------------------------------------------------------------------- first_fit


@check()
def check_first_fit(first_fit, rng):
    """The first gap that is large enough, and the free slots in smaller ones."""
    some = [(3, 4), (12, 2), (14, 5)]           # gaps: 0-2, 7-11, 19-22 of 23
    for need in (1, 3, 4, 5, 6):
        yield (say(f"23 slots, taken (start, size): {some}, need {need}: start",
                   f"23 个槽位，已占 (start, size)：{some}，need {need}：start"),
               lambda: first_fit(23, list(some), need)[0])
        yield (say(f"the same, need {need}: stranded", f"同上，need {need}：stranded"),
               lambda: first_fit(23, list(some), need)[1])
    yield (say("the same reservations in another order, need 4", "同样的占用换个次序，need 4"),
           lambda: first_fit(23, [some[2], some[0], some[1]], 4))
    yield say("empty memory of 9 slots, need 9", "9 个槽位全空，need 9"), lambda: first_fit(9, [], 9)
    yield say("empty memory of 9 slots, need 10", "9 个槽位全空，need 10"), lambda: first_fit(9, [], 10)
    yield say("full memory", "内存已满"), lambda: first_fit(9, [(4, 5), (0, 4)], 1)
    taken, place = [], 0
    while place < 180:
        place += int(rng.integers(0, 12))
        size = int(rng.integers(1, 15))
        taken.append((place, size))
        place += size
    taken = [taken[i] for i in rng.permutation(len(taken))]
    for need in (2, 6, 10, 30):
        yield (say(f"random reservations, need {need}", f"随机占用，need {need}"),
               lambda: first_fit(240, list(taken), need))

    def kept():
        mine = list(taken)
        first_fit(240, mine, 5)
        return mine

    yield say("taken afterwards", "调用之后的 taken"), kept


check_first_fit.mistake(
    say("You return a gap that is large enough, but a later one. Which one is asked for?",
        "返回的空隙够大，但不是最靠前的。题目要的是哪一个？"),
    within="first_fit", replace={"elif start is None:": "else:"},
)
check_first_fit.mistake(
    say("The free slots behind the last reservation are never looked at.", "最后一段占用之后的空闲槽位没有被考虑。"),
    within="first_fit", replace={"[*sorted(taken), (capacity, 0)]": "sorted(taken)"},
)
check_first_fit.mistake(
    say("A gap of exactly the needed size is treated as too small.", "大小恰好等于所需的空隙被当成了太小。"),
    within="first_fit", replace={"gap < need": "gap <= need"},
)
check_first_fit.mistake(
    say("It goes wrong when the reservations are not listed from low to high.",
        "占用不按从低到高的次序列出时就会出错。"),
    within="first_fit", replace={"sorted(taken)": "taken"},
)


# ------------------------------------------------------------------------------- BlockTable


@check()
def check_append_slot(BlockTable, FreeList, rng):
    """A slot for each new token, a block for every block_size of them."""
    pool = FreeList(6)
    one = BlockTable(3, pool)
    first = once(one.append_slot)
    yield (say("first token, block_size 3: offset of the slot in the table's only block",
               "第一个 token，block_size 3：槽位在表中唯一的块里的偏移"),
           lambda: first() - one.blocks[0] * 3)
    one_token = once(lambda: (first(), extent(one))[1])
    yield say("length and number of blocks after 1 token", "1 个 token 之后的 length 与块数"), one_token
    seven = once(lambda: [one_token(), first(), *(one.append_slot() for _ in range(6))][1:])
    yield (say("positions that 7 slots in a row belong to, by blocks", "按 blocks 看，连续 7 个槽位各属于哪个位置"),
           lambda: logical(one, seven()))
    for en, zh, look in (
        ("length and number of blocks", "length 与块数", lambda: extent(one)),
        ("free blocks and blocks of the table together, sorted", "空闲块与表中的块合在一起，排序后",
         lambda: sorted(pool.free + one.blocks)),
        ("reference counts of the table's blocks", "表中各块的引用计数", lambda: counts(one)),
        ("reference counts of all blocks, sorted", "全部块的引用计数，排序后", lambda: sorted(pool.refs)),
    ):
        yield say(f"after 7 tokens: {en}", f"7 个 token 之后：{zh}"), lambda: (seven(), look())[1]

    shared = FreeList(9)
    pair = [BlockTable(2, shared), BlockTable(2, shared)]
    taken = [[], []]
    turns = [int(i) for i in rng.permutation([0] * 5 + [1] * 7)]
    both = once(lambda: [taken[i].append(pair[i].append_slot()) for i in turns])
    yield (say("two tables on one pool, in turns: positions of each table's slots", "两张表共用一个池，交替追加：各表槽位的位置"),
           lambda: (both(), [logical(t, s) for t, s in zip(pair, taken, strict=True)])[1])
    yield (say("blocks that both tables hold", "两张表同时持有的块的个数"),
           lambda: (both(), len(set(pair[0].blocks) & set(pair[1].blocks)))[1])
    few = FreeList(8)
    few.free = [6, 1, 4]
    few.refs = [1, 0, 1, 1, 0, 1, 0, 1]
    odd = BlockTable(1, few)
    three = once(lambda: ([odd.append_slot() for _ in range(3)], sorted(odd.blocks))[1])
    yield (say("blocks 6, 1, 4 are free, block_size 1: blocks after 3 tokens, sorted",
               "空闲块为 6、1、4，block_size 1：3 个 token 之后的 blocks，排序后"), three)
    yield (say("a fourth token: no block is free", "第 4 个 token：没有空闲块"),
           lambda: (three(), odd.append_slot()), raises(MemoryError))
    yield (say("length and number of blocks after that error", "这次错误之后的 length 与块数"),
           lambda: (three(), after(odd.append_slot, lambda: extent(odd)))[1])

    def sharing(length):
        made = table(BlockTable, FreeList(7), 4, length, rng)
        made.pool.refs = [2 if n else 0 for n in made.pool.refs]
        return made

    half, full, own = sharing(6), sharing(8), sharing(6)
    own.pool.refs[own.blocks[1]] = 1
    before = list(half.blocks)
    yield (say("the last block has room and its count is 2", "最后一个块还有空位，而它的计数是 2"),
           lambda: half.append_slot(), raises(ValueError))
    yield (say("length, blocks and counts unchanged by that error", "这次错误之后 length、blocks 与计数都不变"),
           lambda: after(half.append_slot, lambda: [half.length == 6, half.blocks == before, *counts(half)]))
    beyond = once(lambda: full.append_slot() - full.blocks[-1] * 4)
    yield (say("the last block is full and its count is 2: offset of the next slot", "最后一个块已满，它的计数是 2：下一个槽位的偏移"), beyond)
    yield say("counts of its three blocks", "此时三个块的计数"), lambda: (beyond(), counts(full))[1]
    yield (say("the first block's count is 2, that of the last, which has room, is 1: offset",
               "第一个块的计数是 2，有空位的最后一个块的计数是 1：偏移"),
           lambda: own.append_slot() - own.blocks[-1] * 4)


check_append_slot.mistake(
    say("A slot comes out as if the token had been counted before it was placed. Which position does the new "
        "token have?",
        "槽位看起来是先计数、后安放的结果。新 token 的位置是多少？"),
    within="BlockTable.append_slot",
    replace={"self.block_size + offset": "self.block_size + self.length % self.block_size"},
)
check_append_slot.mistake(
    say("The slot returned is the token's position in the sequence. The caller needs its place in the pool.",
        "返回的是 token 在序列中的位置。调用者需要的是它在池中的位置。"),
    within="BlockTable.append_slot",
    replace={"self.blocks[-1] * self.block_size + offset": "self.length - 1"},
)
check_append_slot.mistake(
    say("A block is used but stays in the free list: somebody else will be given it too.",
        "块已经用了，却还留在空闲列表里：别人也会拿到它。"),
    within="BlockTable.append_slot", replace={"self.pool.free.pop()": "self.pool.free[-1]"},
)
check_append_slot.mistake(
    say("A token was given a slot inside a block that another table also reads. What do the counts tell you?",
        "给 token 的槽位落在别的表也在读的块里。引用计数说明了什么？"),
    within="BlockTable.append_slot", replace={"self.pool.refs[self.blocks[-1]] > 1": "False"},
)


@check()
def check_fork(BlockTable, FreeList, rng):
    """A second table of the same blocks."""
    parent = table(BlockTable, FreeList(8), 3, 7, rng)
    original, free = list(parent.blocks), sorted(parent.pool.free)
    child = once(parent.fork)
    grandchild = once(lambda: (child(), child().fork())[1])
    for en, zh, look in (
        ("the child has the same blocks, in the same order", "子表的块与次序都相同", lambda: child().blocks == original),
        ("the child's length", "子表的 length", lambda: child().length),
        ("the child's block_size", "子表的 block_size", lambda: child().block_size),
        ("counts of the three blocks", "三个块的计数", lambda: (child(), counts(parent))[1]),
        ("no block was taken", "没有取走任何块", lambda: (child(), sorted(parent.pool.free) == free)[1]),
        ("the parent keeps its blocks and length", "父表的 blocks 与 length 不变",
         lambda: (child(), [parent.blocks == original, parent.length])[1]),
        ("counts after a fork of the child", "再从子表 fork 一次之后的计数", lambda: (grandchild(), counts(parent))[1]),
    ):
        yield say(f"7 tokens, block_size 3: {en}", f"7 个 token，block_size 3：{zh}"), look
    yield (say("the child's last block is shared: no slot in it", "子表的最后一个块是共享的：不能在其中追加"),
           lambda: child().append_slot(), raises(ValueError))

    even = table(BlockTable, FreeList(8), 3, 6, rng)
    second = once(even.fork)
    longer = once(lambda: (second().append_slot(), [even.length, second().length, len(even.blocks), len(second().blocks)])[1])
    yield (say("6 tokens, all blocks full; the child appends one: lengths and numbers of blocks of parent and child",
               "6 个 token，块都已满；子表追加一个：父表与子表的 length 和块数"), longer)
    both = once(lambda: (longer(), even.append_slot(), len(set(even.blocks) & set(second().blocks)))[2])
    yield say("the parent appends too: blocks in common", "父表也追加一个：共有的块数"), both
    yield say("counts of the parent's blocks", "父表各块的计数"), lambda: (both(), counts(even))[1]
    empty = BlockTable(4, FreeList(2))
    yield say("fork of an empty table", "空表的 fork"), lambda: extent(empty.fork())


check_fork.mistake(
    say("When the child grows, the parent seems to grow too: do they hold one list or two?",
        "子表变长时，父表似乎也变了：它们持有的是一个列表还是两个？"),
    within="BlockTable.fork", replace={"list(self.blocks)": "self.blocks"},
)
check_fork.mistake(
    say("Nobody has been told that these blocks now have one more reader.", "这些块多了一个读者，却没有任何地方记录下来。"),
    within="BlockTable.fork", replace={"self.pool.refs[block] += 1": "pass"},
)
check_fork.mistake(
    say("The count is right after one fork but not after two: how many tables hold the block then?",
        "fork 一次之后计数是对的，两次之后就不对了：这时有几张表持有这个块？"),
    within="BlockTable.fork", replace={"self.pool.refs[block] += 1": "self.pool.refs[block] = 2"},
)
check_fork.mistake(
    say("Only full blocks are counted as shared. What about the last one?", "只有填满的块计作共享。最后一个块呢？"),
    within="BlockTable.fork",
    replace={"for block in self.blocks:": "for block in self.blocks[:self.length // self.block_size]:"},
)


@check()
def check_free(BlockTable, FreeList, rng):
    """Blocks go back when nobody holds them any more."""
    pool = FreeList(9)
    mine = table(BlockTable, pool, 4, 10, rng)
    other = table(BlockTable, pool, 4, 5, rng)
    held = sorted(other.blocks)
    gone = once(lambda: (mine.free(), books(pool))[1])
    yield say("10 tokens, block_size 4: free blocks and counts afterwards", "10 个 token，block_size 4：之后的空闲块与计数"), gone
    yield (say("the blocks that are not free are those of the other table", "不空闲的恰好是另一张表的块"),
           lambda: (gone(), sorted(set(range(9)) - set(pool.free)) == held)[1])
    yield say("the freed table: length, blocks", "释放后的表：length、blocks"), lambda: (gone(), [mine.length, *mine.blocks])[1]
    again = once(lambda: (gone(), mine.free(), books(pool))[2])
    yield say("freed a second time: free blocks and counts", "再释放一次：空闲块与计数"), again
    yield (say("filled anew with 5 tokens: positions of the slots", "重新填入 5 个 token：各槽位的位置"),
           lambda: (again(), logical(mine, [mine.append_slot() for _ in range(5)]))[1])

    shared = FreeList(7)
    parent = table(BlockTable, shared, 2, 5, rng)
    child = BlockTable(2, shared)
    child.blocks, child.length = list(parent.blocks), 5
    for block in child.blocks:
        shared.refs[block] = 2
    kept = list(child.blocks)
    half = once(parent.free)
    for en, zh, look in (
        ("number of free blocks", "空闲块数", lambda: len(shared.free)),
        ("counts of the three blocks", "三个块的计数", lambda: [shared.refs[b] for b in kept]),
        ("the table that is left", "留下的表", lambda: [child.blocks == kept, child.length]),
        ("offset of its next slot, in a last block that it has alone now", "它独用最后一个块之后，下一个槽位的偏移",
         lambda: child.append_slot() % 2),
        ("it is freed too: free blocks and counts", "它也释放之后：空闲块与计数", lambda: (child.free(), books(shared))[1]),
    ):
        yield (say(f"two tables hold three blocks, one table is freed: {en}", f"两张表持有三个块，释放其中一张：{zh}"),
               lambda: (half(), look())[1])
    empty = BlockTable(2, FreeList(2))
    yield say("an empty table is freed", "释放一张空表"), lambda: (empty.free(), books(empty.pool))[1]


check_free.mistake(
    say("A block goes back to the free list although another table still reads it.", "还有别的表在读，块就回到了空闲列表。"),
    within="BlockTable.free", replace={"self.pool.refs[block] == 0": "True"},
)
check_free.mistake(
    say("The second call gives back blocks that are no longer this table's: what must the first call leave behind?",
        "第二次调用归还了已经不属于这张表的块：第一次调用之后应当留下什么？"),
    within="BlockTable.free", replace={"        self.blocks = []\n        self.length = 0": ""},
)
check_free.mistake(
    say("The last block, not full, is never given back. Repeat this for every request and the pool runs dry.",
        "最后那个没填满的块没有归还。每个请求都这样，池很快就空了。"),
    within="BlockTable.free",
    replace={"for block in self.blocks:": "for block in self.blocks[:self.length // self.block_size]:"},
)
check_free.mistake(
    say("After one of two tables is freed, the counts say that nobody holds the blocks.", "两张表只释放了一张，计数却说没有人持有这些块。"),
    within="BlockTable.free", replace={"self.pool.refs[block] -= 1": "self.pool.refs[block] = 0"},
)


# ---------------------------------------------------------------------- slot_mapping, write_kv


@check()
def check_slot_mapping(slot_mapping, BlockTable, FreeList, rng):
    """From positions to physical slots."""
    made = BlockTable(4, FreeList(9))
    made.blocks, made.length = [7, 2, 5], 10
    for positions in ([0], [3, 4], [9], list(range(10)), [9, 0, 5, 5, 2], []):
        yield (say(f"blocks [7, 2, 5], block_size 4, positions {positions}", f"blocks [7, 2, 5]，block_size 4，positions {positions}"),
               lambda: slot_mapping(made, list(positions)))
    yield say("dtype", "dtype"), lambda: str(slot_mapping(made, [1, 6]).dtype)
    yield (say("dtype for no positions of an empty table", "空表、没有位置时的 dtype"),
           lambda: str(slot_mapping(BlockTable(4, FreeList(2)), []).dtype))
    for size, length in ((1, 6), (5, 23), (16, 40)):
        odd = table(BlockTable, FreeList(12), size, length, rng)
        positions = torch.from_numpy(rng.permutation(length))
        yield (say(f"random blocks, block_size {size}, all {length} positions in random order, as a tensor",
                   f"随机的块，block_size {size}，全部 {length} 个位置乱序，以张量给出"),
               lambda: slot_mapping(odd, positions.clone()))
    yield say("positions as int32", "int32 的位置"), lambda: slot_mapping(made, torch.tensor([8, 1], dtype=torch.int32))
    for bad in (-1, 10, 12):
        yield (say(f"position {bad} of a sequence of 10 tokens", f"10 个 token 的序列中的位置 {bad}"),
               lambda: slot_mapping(made, [2, bad]), raises(ValueError))


check_slot_mapping.mistake(
    say("Slots run on behind the first block. Where does the second block lie?", "槽位从第一个块往后连续编号了。第二个块在哪里？"),
    within="slot_mapping",
    replace={"blocks[positions // size] * size + positions % size": "blocks[0] * size + positions"},
)
check_slot_mapping.mistake(
    say("Block and offset are mixed up: which of quotient and remainder says which block it is?",
        "块与偏移弄混了：商和余数，哪个决定是第几个块？"),
    within="slot_mapping",
    replace={"blocks[positions // size] * size + positions % size":
             "blocks[positions % len(blocks)] * size + positions // len(blocks)"},
)
check_slot_mapping.mistake(
    say("A position beyond the last token, but inside its block, gets a slot. Nothing has been stored there.",
        "位置超出了最后一个 token，但还在它的块内，却得到了槽位。那里什么都没有存。"),
    within="slot_mapping", replace={"positions >= block_table.length": "positions >= len(blocks) * size",
                                    "    positions = torch.as_tensor": "    blocks, size = block_table.blocks, "
                                    "block_table.block_size\n    positions = torch.as_tensor"},
)
check_slot_mapping.mistake(
    say("A negative position gets a slot: that of some live token at the end of the table.",
        "负的位置也得到了槽位：表末尾某个有效 token 的槽位。"),
    within="slot_mapping", replace={"(positions < 0) | (positions >= block_table.length)": "positions >= block_table.length"},
)


@check()
def check_write_kv(write_kv, rng):
    """Keys and values into the pools."""
    def written(slots, n_blocks=4, size=3, heads=2, d=5, dtype=torch.float64, layout=None):
        k, v = normal(rng, len(slots), heads, d), normal(rng, len(slots), heads, d)
        shape = (n_blocks, size, heads, d)
        if layout == "slots first":
            pools = [normal(rng, size, n_blocks, heads, d).transpose(0, 1) for _ in range(2)]
        elif layout == "interleaved":
            pools = list(normal(rng, n_blocks, size, heads, 2, d).unbind(3))
        else:
            pools = [normal(rng, *shape).to(dtype) for _ in range(2)]
        slots = torch.tensor(slots)
        return lambda which: (write_kv(k, v, *pools, slots), pools[which])[1]

    for words, slots, more in (
        (("slots 4, 5, 6, 0", "槽位 4、5、6、0"), [4, 5, 6, 0], {}),
        (("one token in the very last slot", "一个 token，写入最后一个槽位"), [11], {}),
        (("slots 7, -1, 2, -1: two are padding", "槽位 7、-1、2、-1：其中两个是填充"), [7, -1, 2, -1], {}),
        (("nothing but padding", "全是填充"), [-1, -1], {}),
        (("5 blocks of 2 slots, every slot, in random order", "5 个块，每块 2 个槽位，乱序写满"),
         [int(s) for s in rng.permutation(10)], {"n_blocks": 5, "size": 2}),
        (("float64 keys into float32 pools", "float64 的键写入 float32 的池"), [3, 8], {"dtype": torch.float32}),
        (("pools that are views, keys and values side by side", "池是视图，键与值并排存放"), [3, 8, 10], {"layout": "interleaved"}),
        (("pools that are views, slots before blocks in memory", "池是视图，内存里槽位轴在块轴之前"), [3, 8, 10], {"layout": "slots first"}),
    ):
        write = written(slots, **more)
        yield say(f"{words[0]}: k_pool", f"{words[1]}：k_pool"), lambda: write(0)
        yield say(f"{words[0]}: v_pool", f"{words[1]}：v_pool"), lambda: write(1)
    one = normal(rng, 1, 2, 5)
    pools = normal(rng, 2, 4, 3, 2, 5)
    yield say("what is returned", "返回值"), lambda: write_kv(one, one, pools[0], pools[1], torch.tensor([2]))


check_write_kv.mistake(
    say("Padding is stored: what does index −1 mean to Python?", "填充也被存进去了：下标 −1 在 Python 里是什么意思？"),
    within="write_kv", replace={"slots >= 0": "slots >= -1"},
)
@check_write_kv.mistake(
    say("Some pools do not change at all. Did you write into the pool or into a copy of it? It depends on the "
        "memory layout.",
        "有的池完全没有变化。你写的是池本身，还是它的一份拷贝？这取决于内存布局。"),
)
def write_kv(k, v, k_pool, v_pool, slots):
    real = slots >= 0
    for new, pool in ((k, k_pool), (v, v_pool)):
        pool.reshape(-1, *pool.shape[2:])[slots[real]] = new[real].to(pool.dtype)


check_write_kv.mistake(
    say("The value pool holds keys.", "值的池里存的是键。"),
    within="write_kv", replace={"v[real].to(v_pool.dtype)": "k[real].to(v_pool.dtype)"},
)
check_write_kv.mistake(
    say("Tokens land in the wrong blocks. Which axis of the pool tells the block size?", "token 落进了错误的块。池的哪个轴是块的大小？"),
    within="write_kv", replace={"size = k_pool.shape[1]": "size = k_pool.shape[0]",
                                "slots[real] // size, slots[real] % size":
                                "slots[real] // size % k_pool.shape[0], slots[real] % size % k_pool.shape[1]"},
)


# -------------------------------------------------------------------------- paged_attention


@check()
def check_paged_attention(paged_attention, rng):
    """One query over the tokens that a table finds, and over nothing else."""
    def case(length, size, heads, kv_heads, d, unused, *, blocks=None, scale=1.0, dtype=torch.float64,
             tensor=False):
        count = -(-length // size)
        num_blocks = count + 2
        blocks = [int(b) for b in rng.permutation(num_blocks)[:count]] if blocks is None else blocks
        positions = torch.arange(length)
        at = torch.tensor(blocks)[positions // size], positions % size
        pools = []
        for _ in range(2):
            new = normal(rng, length, kv_heads, d) * scale
            if unused == "other numbers":
                pool = normal(rng, num_blocks, size, kv_heads, d)
            else:
                pool = torch.full((num_blocks, size, kv_heads, d), torch.nan, dtype=torch.float64)
            pool[at] = new
            pools.append(pool.to(dtype))
        q = (normal(rng, heads, d) * scale).to(dtype)
        told = torch.tensor([*blocks, -1, -1]) if tensor else blocks
        return lambda: paged_attention(q.clone(), *pools, told, length)

    yield (say("4 tokens, one full block of 4, 1 head", "4 个 token，一个满块，1 个头"), case(4, 4, 1, 1, 3, "other numbers"))
    yield (say("8 tokens in blocks 1, 2 (in this order)", "8 个 token，依次在块 1、2 里"), case(8, 4, 1, 1, 3, "other numbers", blocks=[1, 2]))
    yield (say("8 tokens in blocks 3, 0 (in this order)", "8 个 token，依次在块 3、0 里"), case(8, 4, 1, 1, 3, "other numbers", blocks=[3, 0]))
    yield (say("3 heads, each with keys and values of its own", "3 个头，各有自己的键和值"), case(8, 4, 3, 3, 5, "other numbers"))
    yield (say("6 query heads, 2 key-value heads", "6 个查询头，2 个键值头"), case(8, 4, 6, 2, 5, "other numbers"))
    yield (say("6 query heads, 1 key-value head", "6 个查询头，1 个键值头"), case(9, 3, 6, 1, 4, "other numbers"))
    yield (say("10 tokens in blocks of 4; other numbers in unused slots", "10 个 token，每块 4 个；未用槽位里是别的数"),
           case(10, 4, 2, 2, 3, "other numbers"))
    yield (say("the same with NaN in unused slots", "同样的情形，未用槽位里是 NaN"), case(10, 4, 2, 2, 3, "NaN"))
    yield (say("1 token; NaN everywhere else", "1 个 token；其余全是 NaN"), case(1, 5, 4, 2, 3, "NaN"))
    yield (say("23 tokens, blocks of 7, 4 heads on 2, NaN elsewhere; a table tensor that ends with -1, -1",
               "23 个 token，每块 7 个，4 个头对 2 个，其余为 NaN；表是以 -1、-1 结尾的张量"),
           case(23, 7, 4, 2, 6, "NaN", tensor=True))
    yield (say("block_size 1, 9 tokens", "block_size 1，9 个 token"), case(9, 1, 2, 1, 4, "NaN"))
    yield say("scores near 10000", "得分接近 10000"), case(11, 4, 2, 2, 4, "NaN", scale=70.0)
    yield say("float32", "float32"), case(13, 4, 6, 3, 8, "NaN", dtype=torch.float32)
    single = case(13, 4, 6, 3, 8, "NaN", dtype=torch.float32)
    yield say("dtype and shape of a float32 result", "float32 结果的 dtype 与形状"), lambda: [
        str(single().dtype), *single().shape]


check_paged_attention.mistake(
    say("The keys and values are the blocks in the order they lie in memory. What is the table for?",
        "取到的键和值是内存里顺序排列的块。表是做什么用的？"),
    within="paged_attention",
    replace={"torch.as_tensor(block_table, dtype=torch.int64)[positions // size]": "positions // size"},
)
check_paged_attention.mistake(
    say("The last block is read to its end, whether or not it is full.", "最后一个块不管满不满都读到了头。"),
    within="paged_attention", replace={"torch.arange(length)": "torch.arange(-(-length // size) * size)"},
)
check_paged_attention.mistake(
    say("Only the head-sharing cases are wrong. Which query heads lie next to each other, those of one key-value "
        "head or one of each?",
        "只有共享键值头的情形不对。相邻的查询头属于同一个键值头，还是各属一个？"),
    within="paged_attention",
    replace={"q.reshape(k.shape[1], -1, q.shape[-1])": "q.reshape(-1, k.shape[1], q.shape[-1]).transpose(0, 1)",
             "scores.softmax(-1), v).reshape(q.shape)": "scores.softmax(-1), v).transpose(0, 1).reshape(q.shape)"},
)


@check_paged_attention.mistake(
    say("Unused slots are weighted with zero, and yet they count: what is 0 · NaN?",
        "未用槽位的权重是零，却仍然有影响：0 · NaN 等于多少？"),
)
def paged_attention(q, k_pool, v_pool, block_table, length):
    size = k_pool.shape[1]
    blocks = torch.as_tensor(block_table)[:-(-length // size)]
    k, v = k_pool[blocks].flatten(0, 1), v_pool[blocks].flatten(0, 1)
    grouped = q.reshape(k.shape[1], -1, q.shape[-1])
    scores = torch.einsum("hgd,thd->hgt", grouped, k) / math.sqrt(q.shape[-1])
    scores[..., length:] = -torch.inf
    return torch.einsum("hgt,thd->hgd", scores.softmax(-1), v).reshape(q.shape)


EQUIVALENT = {
    "first_fit: for begin, size in [*sorted(taken), (capacity, 0)]: ... -> "
    "for begin, size in [*sorted(taken), (capacity, 1)]: ...":
        "the size of the last entry only sets where the next gap would begin",
    "paged_attention: torch.as_tensor(block_table, dtype=torch.int64) -> torch.as_tensor(block_table)":
        "lists of ints become int64 anyway",
}

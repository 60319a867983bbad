"""Checks of a kernel: what it computes, what it moves, what it compiles to.

The launcher stands here: a graded run sees graders but no solutions.
"""

import torch

from ladder.checks import at_least, check, exactly, say
from ladder.kernel_judge.bridge import KERNEL, compiled, moved, strict


def vector_add(x, y, block=1024, *, kernel):
    """Launch ``kernel`` as the lesson does."""
    out = torch.empty_like(x)
    kernel[(-(-x.numel() // block),)](x, y, out, x.numel(), BLOCK=block)
    return out


def vectors(rng, n):
    return [torch.from_numpy(rng.normal(size=n).astype("float32")) for _ in range(2)]


@check(forbids=(KERNEL,))
def check_add(add_kernel, rng):
    """Vector addition, interpreted strictly."""
    for n in (64, 1, 100):
        x, y = vectors(rng, n)
        yield say(f"{n} numbers in blocks of 64", f"{n} 个数，每块 64 个"), (
            lambda: strict(vector_add, x, y, block=64, kernel=add_kernel))
    x, y = vectors(rng, 256)
    yield say("share of each memory sector that is used", "每个内存扇区的利用率"), (
        lambda: moved(vector_add, x, y, block=64, kernel=add_kernel)["sector_use"]), at_least(0.99)


@check_add.hidden
def _(add_kernel, rng):
    x, y = vectors(rng, 331)
    yield say("331 numbers in blocks of 128", "331 个数，每块 128 个"), (
        lambda: strict(vector_add, x, y, block=128, kernel=add_kernel))


check_add.mistake(
    say("What is in the last block beyond n?", "最后一块中超出 n 的部分是什么？"),
    within="add_kernel", replace={"inside = offsets < n": "inside = offsets <= n"},
)
check_add.mistake(
    say("Which elements belong to program i?", "程序 i 负责哪些元素？"),
    within="add_kernel", replace={"tl.program_id(0).to(tl.int64) * BLOCK + ": ""},
)
check_add.mistake(
    say("Both operands.", "两个操作数都要用。"), within="add_kernel", replace={"x + y": "x + x"},
)


@check(forbids=(KERNEL,))
def check_add_compiled(add_kernel, rng):
    """The compiled kernel moves 128 bits at a time and spills nothing."""
    x, y = vectors(rng, 2048)
    yield say("no spills, wide loads and stores on sm_80", "sm_80 上没有溢出，读写足够宽"), (
        lambda: compiled(vector_add, x, y, kernel=add_kernel, kind="elementwise", architectures=(80,))), exactly()


check_add_compiled.mistake(
    say("Neighbouring lanes, neighbouring addresses.", "相邻的通道，相邻的地址。"),
    within="add_kernel", replace={"+ tl.arange(0, BLOCK)": "+ (tl.arange(0, BLOCK) * 17) % BLOCK"},
)

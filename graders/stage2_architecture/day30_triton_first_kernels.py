"""Checks of Day 30: what kernels compute, which addresses they touch, what they compile to.

The launchers stand here, except for those that the learner writes.
"""

import torch

from ladder.checks import at_least, at_most, check, exactly, raises, say
from ladder.kernel_judge.bridge import KERNEL, compiled, moved, report, strict


def add(x, y, block, spare=0, *, kernel):
    """Launch an add kernel on the programs that n takes and ``spare`` more."""
    out = torch.empty_like(x)
    kernel[(-(-x.numel() // block) + spare,)](x, y, out, x.numel(), BLOCK=block)
    return out


def rows_softmax(x, block, out=None, *, kernel):
    """Launch a softmax kernel, a program a row, into ``out`` or a new tensor."""
    out = torch.empty(x.shape, dtype=x.dtype) if out is None else out
    kernel[(x.shape[0],)](x, out, x.shape[1], x.stride(0), out.stride(0), BLOCK=block)
    return out


def masked_softmax(x, mask, scale, block, *, kernel):
    """Launch a masked softmax kernel, a program a row."""
    out = torch.empty(x.shape, dtype=x.dtype)
    kernel[(x.shape[0],)](x, mask, out, scale, x.shape[1], x.stride(0), mask.stride(0), out.stride(0), BLOCK=block)
    return out


def numbers(rng, *shape):
    return torch.from_numpy(rng.normal(size=shape).astype("float32"))


def pair(rng, *shape):
    return numbers(rng, *shape), numbers(rng, *shape)


# --- vector addition ---------------------------------------------------------------------------------


@check(forbids=(KERNEL,))
def check_add_kernel(add_kernel, rng):
    """Vector addition, interpreted strictly."""
    for n in (64, 192, 100, 1):
        x, y = pair(rng, n)
        yield say(f"n = {n}, BLOCK = 64", f"n = {n}，BLOCK = 64"), (
            lambda x=x, y=y: strict(add, x, y, 64, kernel=add_kernel))
    x, y = pair(rng, 40)
    yield say("n = 40, BLOCK = 16, two programs more than needed", "n = 40，BLOCK = 16，程序比所需的多两个"), (
        lambda: strict(add, x, y, 16, 2, kernel=add_kernel))
    a, b = pair(rng, 256)
    yield say("share of the touched sectors' bytes that is used", "所触及扇区中被用到的字节比例"), (
        lambda: moved(add, a, b, 64, kernel=add_kernel)["sector_use"]), at_least(0.99)


@check_add_kernel.hidden
def _(add_kernel, rng):
    x, y = pair(rng, 331)
    yield say("n = 331, BLOCK = 128", "n = 331，BLOCK = 128"), lambda: strict(add, x, y, 128, kernel=add_kernel)
    yield say("float16", "float16"), lambda: strict(add, x.half(), y.half(), 64, kernel=add_kernel)


check_add_kernel.mistake(
    say("Name the last index that exists. Does the mask leave out the one behind it?",
        "最后一个存在的下标是几？它后面的那一个，掩码挡住了吗？"),
    within="add_kernel", replace={"inside = offsets < n": "inside = offsets <= n"},
)
check_add_kernel.mistake(
    say("Several programs wrote one element. Where does program i begin?",
        "有几个程序写了同一个元素。程序 i 从哪里开始？"),
    within="add_kernel", replace={"tl.program_id(0).to(tl.int64) * BLOCK + ": ""},
)
check_add_kernel.mistake(
    say("The sums are right, but each program picks elements that lie far apart. Which ones does the docstring give to "
        "program i?", "和是对的，但每个程序取的元素彼此相隔很远。docstring 把哪些元素分给程序 i？"),
    within="add_kernel", replace={
        "tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)":
        "tl.program_id(0).to(tl.int64) + tl.arange(0, BLOCK) * tl.num_programs(0)"},
)


@check(forbids=(KERNEL,))
def check_add_compiled(add_kernel, rng):
    """The compiled kernel moves 128 bits an instruction and spills nothing."""
    x, y = pair(rng, 2048)
    found = {}  # compiled once, observed fact by fact

    def fact(name):
        if not found:
            found.update(compiled(add, x, y, 1024, kernel=add_kernel, kind="elementwise", architectures=(80,)))
        return found[name]

    yield say("compiles for sm_80, no spills", "能为 sm_80 编译，没有溢出"), lambda: fact("no_spills"), exactly()
    yield say("loads of 128 bits", "128 位的读取"), lambda: fact("wide_loads"), exactly()
    yield say("stores of 128 bits", "128 位的写入"), lambda: fact("wide_stores"), exactly()


check_add_compiled.mistake(
    say("Sectors are in full use, yet every instruction moves a single number: in which direction do the addresses of "
        "neighbouring lanes run?", "扇区全部用足，但每条指令只搬一个数：相邻通道的地址朝哪个方向走？"),
    within="add_kernel", replace={"tl.arange(0, BLOCK)": "(BLOCK - 1 - tl.arange(0, BLOCK))"},
)
check_add_compiled.mistake(
    say("The length of tl.arange decides how many registers a program gets. When must the compiler know it, and how does the "
        "signature tell it?", "tl.arange 的长度决定一个程序用多少寄存器。编译器必须在什么时候知道它？签名怎样告诉它？"),
    within="add_kernel", replace={"BLOCK: tl.constexpr": "BLOCK"},
)
check_add_compiled.mistake(
    say("Stores became narrow: their mask depends on numbers that only the GPU knows, lane by lane.",
        "写入变窄了：它的掩码取决于只有 GPU 才知道的数，每个通道各不相同。"),
    within="add_kernel", replace={"x + y, mask=inside": "x + y, mask=inside & (x + y != 0.0)"},
)


@check()
def check_add_grid(add_grid, rng):
    """As few programs as cover n elements."""
    for n, block in ((1024, 256), (1, 64), (64, 64), (65, 64), (1000, 128), (int(rng.integers(2000, 9000)), 512)):
        yield say(f"n = {n}, BLOCK = {block}", f"n = {n}，BLOCK = {block}"), (
            lambda n=n, block=block: add_grid(n, block)), exactly()


check_add_grid.mistake(
    say("Who takes care of the elements behind the last full block?", "最后一个整块之后的元素由谁负责？"),
    within="add_grid", replace={"triton.cdiv(n, BLOCK)": "n // BLOCK"},
)
check_add_grid.mistake(
    say("Try n = BLOCK by hand.", "取 n = BLOCK 手算一下。"),
    within="add_grid", replace={"triton.cdiv(n, BLOCK)": "n // BLOCK + 1"},
)
check_add_grid.mistake(
    say("The count is right. What type does the docstring ask for?", "个数是对的。docstring 要求的是什么类型？"),
    within="add_grid", replace={"(triton.cdiv(n, BLOCK),)": "triton.cdiv(n, BLOCK)"},
)


@check(forbids=(KERNEL,))
def check_vector_add(vector_add, rng):
    """The launch wrapper."""
    x, y = pair(rng, 100)
    yield say("100 numbers, the default BLOCK", "100 个数，默认的 BLOCK"), lambda: strict(vector_add, x, y)
    yield say("100 numbers, BLOCK = 16", "100 个数，BLOCK = 16"), lambda: strict(vector_add, x, y, BLOCK=16)
    yield say("programs launched for 100 numbers, BLOCK = 16", "100 个数、BLOCK = 16 时启动的程序数"), (
        lambda: report(vector_add, x, y, BLOCK=16).facts["programs"]), exactly()
    a, b = pair(rng, 3, 5, 7)
    yield say("shape (3, 5, 7)", "形状 (3, 5, 7)"), lambda: strict(vector_add, a, b, BLOCK=32)
    yield say("float16 in, dtype out", "输入 float16 时输出的 dtype"), (
        lambda: str(strict(vector_add, a.half(), b.half(), BLOCK=128).dtype)), exactly()
    yield say("x is as before", "x 没有改变"), lambda: _after(vector_add, a.clone(), b)
    yield say("launches and shape for (0, 4)", "形状为 (0, 4) 时的启动次数与结果形状"), (
        lambda: _launches(vector_add, torch.empty(0, 4), torch.empty(0, 4))), exactly()
    refused = (
        (say("shapes (3, 5) and (5,)", "形状 (3, 5) 与 (5,)"), a[:, :, 0].contiguous(), a[0, :, 0].contiguous()),
        (say("float32 and float16", "float32 与 float16"), x, y.half()),
        (say("two devices", "两个设备"), x, y.to("meta")),
        (say("x transposed", "x 转置"), a[0].T, torch.zeros(7, 5)),
        (say("y transposed", "y 转置"), torch.zeros(7, 5), a[0].T),
    )
    for label, left, right in refused:
        yield say(f"ValueError: {label.en}", f"ValueError：{label.zh}"), (
            lambda left=left, right=right: strict(vector_add, left, right)), raises(ValueError)


def _after(vector_add, x, y):
    strict(vector_add, x, y, BLOCK=32)
    return x


def _launches(launcher, *args):
    found = report(launcher, *args)
    return len(found.launches), tuple(found.outputs.shape)


check_vector_add.mistake(
    say("Grid and kernel disagree about the size of a block.", "网格与 kernel 所用的块大小不一致。"),
    within="vector_add", replace={"add_grid(x.numel(), BLOCK)": "add_grid(x.numel(), 1024)"},
)
check_vector_add.mistake(
    say("What is n for a tensor of several axes?", "张量有多个轴时，n 是多少？"),
    within="vector_add", replace={"add_grid(x.numel(), BLOCK)": "add_grid(x.shape[0], BLOCK)",
                                  "x, y, out, x.numel()": "x, y, out, x.shape[0]"},
)
check_vector_add.mistake(
    say("The kernel takes neighbours in memory to be neighbours in x. For which tensors is that wrong?",
        "kernel 认为内存中相邻就是 x 中相邻。对哪些张量这不成立？"),
    within="vector_add", replace={"if not (x.is_contiguous() and y.is_contiguous())": "if False"},
)
check_vector_add.mistake(
    say("Look at the dtype of the memory that you make.", "看看你申请的内存是什么 dtype。"),
    within="vector_add", replace={"torch.empty_like(x)": "torch.empty(x.shape)"},
)


# --- sectors -----------------------------------------------------------------------------------------


@check()
def check_sectors(sectors, rng):
    """Sectors of one load, predicted."""
    for count, stride, size, first in (
        (32, 1, 4, 0), (32, 1, 2, 0), (32, 2, 4, 0), (32, 8, 4, 0), (32, 100, 4, 0), (32, 0, 4, 0), (64, 3, 8, 0),
        (50, 5, 1, 0), (32, 1, 4, 5), (7, 3, 2, int(rng.integers(100, 200))),
    ):
        yield say(f"{count} elements of {size} bytes, stride {stride}, from {first} on",
                  f"{count} 个 {size} 字节的元素，步长 {stride}，从 {first} 开始"), (
            lambda a=(count, stride, size, first): sectors(*a)), exactly()


check_sectors.mistake(
    say("A load that begins in the middle of a sector: how many does it touch?",
        "从扇区中间开始的读取会触及几个扇区？"),
    within="sectors", replace={"first + lane * stride": "lane * stride"},
)
check_sectors.mistake(
    say("How many bytes are moved is one thing, where they lie another. What does the stride change?",
        "要搬多少字节是一回事，它们在哪里是另一回事。步长改变的是什么？"),
    within="sectors", replace={
        "len({(first + lane * stride) * itemsize // 32 for lane in range(count)})":
        "(first * itemsize % 32 + count * itemsize + 31) // 32"},
)
check_sectors.mistake(
    say("With a small stride, or with stride 0, do two lanes never share a sector?",
        "步长很小或为 0 时，两个通道就不会落在同一个扇区吗？"),
    within="sectors", replace={
        "len({(first + lane * stride) * itemsize // 32 for lane in range(count)})":
        "(-(-count * itemsize // 32) + (first * itemsize % 32 > 0) if stride == 1 else count)"},
)


# --- softmax -----------------------------------------------------------------------------------------


@check(forbids=(KERNEL,))
def check_softmax_kernel(softmax_kernel, rng):
    """Row softmax, interpreted strictly."""
    x = numbers(rng, 2, 16)
    yield say("2 × 16, BLOCK = 16", "2 × 16，BLOCK = 16"), lambda: strict(rows_softmax, x, 16, kernel=softmax_kernel)
    ragged = numbers(rng, 2, 13)
    yield say("2 × 13, BLOCK = 16", "2 × 13，BLOCK = 16"), (
        lambda: strict(rows_softmax, ragged, 16, kernel=softmax_kernel))
    wide = numbers(rng, 2, 20)[:, :16]
    yield say("rows of x lie 20 apart", "x 的各行相隔 20 个元素"), (
        lambda: strict(rows_softmax, wide, 16, kernel=softmax_kernel))
    yield say("rows of out lie 19 apart", "out 的各行相隔 19 个元素"), (
        lambda: strict(rows_softmax, x, 16, torch.empty(2, 19)[:, :16], kernel=softmax_kernel))
    yield say("logits near 10000", "logit 接近 10000"), (
        lambda: strict(rows_softmax, x + 1e4, 16, kernel=softmax_kernel))
    holes = numbers(rng, 2, 16)
    holes[:, 3] = -torch.inf
    yield say("a logit of −inf", "某个 logit 为 −inf"), lambda: strict(rows_softmax, holes, 16, kernel=softmax_kernel)
    yield say("float16 in, float32 out", "输入 float16，输出 float32"), (
        lambda: strict(rows_softmax, x.half(), 16, torch.empty(2, 16), kernel=softmax_kernel))
    yield say("bytes read for 2 × 13", "2 × 13 时读取的字节数"), (
        lambda: moved(rows_softmax, ragged, 16, kernel=softmax_kernel)["bytes_loaded"]), at_most(2 * 13 * 4)


@check_softmax_kernel.hidden
def _(softmax_kernel, rng):
    x = numbers(rng, 2, 90)[:, :77] * 30
    yield say("2 × 77, BLOCK = 128", "2 × 77，BLOCK = 128"), (
        lambda: strict(rows_softmax, x, 128, torch.empty(2, 101)[:, :77], kernel=softmax_kernel))
    one = numbers(rng, 2, 1)
    yield say("one column", "只有一列"), lambda: strict(rows_softmax, one, 4, kernel=softmax_kernel)


check_softmax_kernel.mistake(
    say("Columns that do not exist took part in the sum. What is exp of the number that you put there?",
        "不存在的列参与了求和。你填在那里的数，exp 之后是多少？"),
    within="softmax_kernel", replace={'other=float("-inf")': "other=0.0"},
)
check_softmax_kernel.mistake(
    say("What is exp(10000) in float32? What may be subtracted from all logits of a row?",
        "exp(10000) 在 float32 中是多少？一行的所有 logit 可以同时减去什么？"),
    within="softmax_kernel", replace={"tl.exp(x - tl.max(x, axis=0))": "tl.exp(x)"},
)
check_softmax_kernel.mistake(
    say("Where does row 1 of x begin in memory, if rows lie further apart than they are long?",
        "如果行与行的间隔大于行的长度，x 的第 1 行从内存的哪里开始？"),
    within="softmax_kernel", replace={"x_ptr + row * stride_x_row": "x_ptr + row * n_cols"},
)
check_softmax_kernel.mistake(
    say("x and out need not have their rows equally far apart.", "x 与 out 的行间隔不一定相同。"),
    within="softmax_kernel", replace={"row * stride_out_row": "row * stride_x_row"},
)


@check(forbids=(KERNEL,))
def check_softmax(softmax, rng):
    """The launcher of the softmax kernel."""
    for rows, cols in ((3, 7), (1, 64), (1, 1)):
        x = numbers(rng, rows, cols)
        yield f"{rows} × {cols}", lambda x=x: strict(softmax, x)
    wide = numbers(rng, 2, 130)[:, :100]
    yield say("100 columns of rows that lie 130 apart", "行间隔 130，取其中 100 列"), lambda: strict(softmax, wide)
    for cols in (100, 128):
        x = numbers(rng, 1, cols)
        yield say(f"BLOCK for {cols} columns", f"{cols} 列时的 BLOCK"), lambda x=x: _constants(softmax, x), exactly()
    yield say("programs for 3 rows", "3 行时的程序数"), (
        lambda: report(softmax, wide[:1].expand(3, 100)).facts["programs"]), exactly()
    yield say("float16 in, dtype out", "输入 float16 时输出的 dtype"), (
        lambda: str(strict(softmax, wide.half()).dtype)), exactly()
    yield say("the result is contiguous", "结果是连续的"), lambda: strict(softmax, wide).is_contiguous()
    refused = ((say("one axis", "只有一个轴"), wide[0]), (say("three axes", "三个轴"), wide[None]),
               (say("transposed", "转置"), wide.T), (say("no row", "没有行"), torch.empty(0, 4)),
               (say("no column", "没有列"), torch.empty(4, 0)))
    for label, x in refused:
        yield say(f"ValueError: {label.en}", f"ValueError：{label.zh}"), lambda x=x: strict(softmax, x), raises(ValueError)


def _constants(launcher, x):
    return sorted(value for value in report(launcher, x).launches[0].constants.values() if type(value) is int)


check_softmax.mistake(
    say("tl.arange has a condition on its length.", "tl.arange 对长度有要求。"),
    within="softmax", replace={"triton.next_power_of_2(cols)": "cols"},
)
check_softmax.mistake(
    say("A fixed block wastes lanes on short rows, and does not hold long ones. What is the smallest that the docstring of "
        "the kernel allows?", "固定的块对短行浪费通道，对长行又放不下。kernel 的 docstring 允许的最小值是多少？"),
    within="softmax", replace={"triton.next_power_of_2(cols)": "1024"},
)
check_softmax.mistake(
    say("How far are the rows of a slice apart?", "切片的行与行相隔多远？"),
    within="softmax", replace={"x, out, cols, x.stride(0)": "x, out, cols, cols"},
)


@check(forbids=(KERNEL,))
def check_masked_softmax_kernel(masked_softmax_kernel, rng):
    """Softmax with scale and mask in one kernel."""
    x = numbers(rng, 2, 13)
    mask = torch.from_numpy(rng.random((2, 13)) < 0.6)
    mask[:, 0], mask[:, 5] = True, False

    def observed(x, mask, scale=0.3):
        return lambda: strict(masked_softmax, x, mask, scale, 16, kernel=masked_softmax_kernel)

    yield say("2 × 13, all True, scale 0.3", "2 × 13，全部为 True，scale 为 0.3"), observed(x, torch.ones_like(mask))
    yield say("2 × 13, some True", "2 × 13，部分为 True"), observed(x, mask)
    yield say("rows of x lie 20 apart, those of the mask 17", "x 的行间隔为 20，掩码的行间隔为 17"), observed(
        numbers(rng, 2, 20)[:, :13], torch.nn.functional.pad(mask, (0, 4), value=True)[:, :13])
    yield say("one mask for all rows, stride 0", "所有行共用一个掩码，步长为 0"), observed(x, mask[:1].expand(2, 13))
    yield say("scale −2", "scale 为 −2"), observed(x[1:], mask[1:], -2.0)
    yield say("logits near 10000", "logit 接近 10000"), observed(x[:1] + 1e4, mask[:1], 1.0)
    broken = x.clone()
    broken[:, 5] = torch.tensor([torch.inf, torch.nan])
    yield say("inf and NaN where the mask is False", "掩码为 False 处是 inf 与 NaN"), observed(broken, mask)
    none = mask.clone()
    none[1] = False
    yield say("a row without a True", "有一行没有 True"), observed(x, none)
    yield say("float16 in, largest share of a row", "输入 float16，一行中最大的份额"), (
        lambda: observed(x[1:].half(), mask[1:])().float().amax(1))
    yield say("bytes read for 2 × 13", "2 × 13 时读取的字节数"), (
        lambda: moved(masked_softmax, x, mask, 0.3, 16, kernel=masked_softmax_kernel)["bytes_loaded"]
    ), at_most(2 * 13 * 5)


check_masked_softmax_kernel.mistake(
    say("In a row without a True the largest logit is −inf. What is −inf − (−inf)?",
        "没有 True 的行里，最大的 logit 是 −inf。−inf − (−inf) 等于什么？"),
    within="masked_softmax_kernel", replace={'tl.where(highest == float("-inf"), 0.0, highest)': "highest",
                                             "tl.where(total == 0.0, 1.0, total)": "total"},
)
check_masked_softmax_kernel.mistake(
    say("Which comes first, the scale or the −inf? Think of a scale below 0.",
        "先乘 scale，还是先填 −inf？想想 scale 小于 0 的情形。"),
    within="masked_softmax_kernel", replace={
        'tl.where(counts, x * scale, float("-inf"))': 'tl.where(counts, x, float("-inf")) * scale'},
)
check_masked_softmax_kernel.mistake(
    say("The mask has a row stride of its own.", "掩码有自己的行步长。"),
    within="masked_softmax_kernel", replace={"row * stride_mask_row": "row * stride_x_row"},
)
check_masked_softmax_kernel.mistake(
    say("Setting weights to 0 after the division leaves the others too small: do they still sum to 1?",
        "除法之后才把权重置 0，剩下的就偏小了：它们的和还是 1 吗？"),
    within="masked_softmax_kernel", replace={
        'tl.where(counts, x * scale, float("-inf"))': 'tl.where(inside, x * scale, float("-inf"))',
        "out, mask=inside)": "tl.where(counts, out, 0.0), mask=inside)"},
)


@check()
def check_softmax_traffic(softmax_traffic, rng):
    """Bytes moved, in one kernel and in three."""
    cases = ((4, 13), (2, 2)), ((8, 1024), (4, 3)), ((int(rng.integers(5, 90)), 77), (2, 1))
    for (rows, cols), sizes in cases:
        for size in sizes:
            yield say(f"{rows} × {cols}, {size} bytes a number", f"{rows} × {cols}，每个数 {size} 字节"), (
                lambda a=(rows, cols, size): softmax_traffic(*a)), exactly()


check_softmax_traffic.mistake(
    say("Each of the three kernels writes its result, and the next one reads it again.",
        "三个 kernel 各自写出结果，下一个再把它读回来。"),
    within="softmax_traffic", replace={"6 * numbers": "4 * numbers"},
)
check_softmax_traffic.mistake(
    say("How many bytes does one entry of the mask have?", "掩码的一个元素占几个字节？"),
    within="softmax_traffic", replace={"rows * cols * itemsize, rows * cols": "rows * cols * itemsize, rows * cols * itemsize"},
)
check_softmax_traffic.mistake(
    say("Somebody reads the mask, in both ways.", "两种做法都有人要读掩码。"),
    within="softmax_traffic", replace={"6 * numbers + mask": "6 * numbers", "2 * numbers + mask": "2 * numbers"},
)

OTHER = "what masked lanes read reaches no result"
AXIS = "a row has one axis"
EQUIVALENT = {
    **{f"{kernel}: tl.load({at}, mask=inside, other=0.0) -> tl.load({at}, mask=inside{other})": OTHER
       for kernel, at in (("add_kernel", "x_ptr + offsets"), ("add_kernel", "y_ptr + offsets"),
                          ("masked_softmax_kernel", "x_ptr + row * stride_x_row + cols"))
       for other in ("", ", other=1.0")},
    **{f"{kernel}: {call}, axis=0) -> {call})": AXIS
       for kernel in ("softmax_kernel", "masked_softmax_kernel") for call in ("tl.max(x", "tl.sum(numerator")},
    "softmax: torch.empty((rows, cols), dtype=x.dtype, device=x.device) -> torch.empty((rows, cols), dtype=x.dtype)":
        "checks have CPU tensors only",
    "masked_softmax_kernel: tl.where(highest == float('-inf'), 0.0, highest) -> "
    "tl.where(highest == float('-inf'), 1.0, highest)": "any finite number makes exp(-inf - it) = 0",
    "masked_softmax_kernel: tl.where(total == 0.0, 1.0, total) -> tl.where(total == 0.0, 2.0, total)":
        "0 over anything is 0",
}

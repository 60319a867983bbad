# %% [markdown] lang="en"
r"""
# Day 30 · First Triton kernels: vector addition and softmax

**Goal.** Write GPU kernels in Triton: vector addition, row softmax for any number of columns, and a softmax that takes scale and mask along. You need no GPU. A judge interprets your kernels and names every wrong access; then it compiles them for a GPU that is not there and reads the machine code.

| step | you write | what it is about |
| --- | --- | --- |
| 1 | `add_kernel` | programs, blocks, masks |
| 2 | `add_grid`, `vector_add` | how many programs, and who launches them |
| 3 | `sectors` | what one load costs: coalescing |
| 4 | `softmax_kernel`, `softmax` | rows, strides, columns that do not exist |
| 5 | `masked_softmax_kernel`, `softmax_traffic` | fusing, and what it saves |

At the end you are ready for the CUDA gate: `ladder gate cuda`.

## 1 · Programs and blocks

Triton (Tillet, Kung and Cox, [MAPL 2019](https://www.eecs.harvard.edu/~htk/publication/2019-mapl-tillet-kung-cox.pdf)) lets you write a kernel for a *block* of numbers where CUDA has you write it for one thread. A launch starts a **grid** of **programs**. All of them run the same function, in no particular order and many at a time. Program $i$ learns from `tl.program_id(0)` that it is number $i$; from this it must find out which part of the work is its own.

Everything inside is a block: a small array, held in registers, whose length is a power of two known when the kernel is compiled (`tl.constexpr`).

| in a kernel | is |
| --- | --- |
| `tl.program_id(0)` | the number of this program, from 0 |
| `tl.arange(0, BLOCK)` | the block 0, 1, ..., BLOCK − 1 |
| `x_ptr + offsets` | a block of addresses, counted in elements |
| `tl.load(pointers, mask=m, other=c)` | numbers from memory; where `m` is False nothing is read, and the lane holds `c` |
| `tl.store(pointers, values, mask=m)` | writes; where `m` is False nothing is written |
| `+ - * / < &`, `tl.where`, `tl.exp`, `tl.max(x, axis=0)`, `tl.sum(x, axis=0)` | arithmetic on blocks |

More stands in the [reference of triton.language](https://triton-lang.org/main/python-api/triton.language.html). A whole example, with a simplification: it has no mask, so the number of elements must be a multiple of `BLOCK`.
"""

# %% [markdown] lang="zh"
r"""
# 第 30 天 · Triton 入门：向量加法与 Softmax

**目标。** 用 Triton 写 GPU kernel：向量加法、任意列数的行 Softmax，以及把缩放和掩码一并做完的 Softmax。不需要 GPU：评判器会解释执行你的 kernel，指出每一次错误的访存；然后为一块并不在场的 GPU 编译它，并阅读机器码。

| 步骤 | 你要写的 | 内容 |
| --- | --- | --- |
| 1 | `add_kernel` | 程序、块、掩码 |
| 2 | `add_grid`、`vector_add` | 要多少个程序，由谁启动 |
| 3 | `sectors` | 一次读取的代价：合并访问 |
| 4 | `softmax_kernel`、`softmax` | 行、步长、不存在的列 |
| 5 | `masked_softmax_kernel`、`softmax_traffic` | 融合，以及它省下什么 |

学完之后就可以去闯 CUDA 关：`ladder gate cuda`。

## 1 · 程序与块

在 CUDA 中，kernel 是为一个线程写的；在 Triton（Tillet、Kung 与 Cox，[MAPL 2019](https://www.eecs.harvard.edu/~htk/publication/2019-mapl-tillet-kung-cox.pdf)）中，kernel 是为一*块*数写的。一次启动会开出由许多**程序**（program）组成的**网格**（grid）。所有程序运行同一个函数，没有固定的先后，许多个同时进行。程序 $i$ 由 `tl.program_id(0)` 得知自己是第 $i$ 个，并据此算出哪一部分工作归自己。

kernel 里的一切都是块：放在寄存器里的小数组，长度是 2 的幂，编译时就已知（`tl.constexpr`）。

| kernel 中的写法 | 含义 |
| --- | --- |
| `tl.program_id(0)` | 本程序的编号，从 0 开始 |
| `tl.arange(0, BLOCK)` | 块 0, 1, ..., BLOCK − 1 |
| `x_ptr + offsets` | 一块地址，以元素为单位 |
| `tl.load(pointers, mask=m, other=c)` | 从内存读数；`m` 为 False 处不读，该通道的值为 `c` |
| `tl.store(pointers, values, mask=m)` | 写入；`m` 为 False 处不写 |
| `+ - * / < &`、`tl.where`、`tl.exp`、`tl.max(x, axis=0)`、`tl.sum(x, axis=0)` | 对块的运算 |

更多内容见 [triton.language 参考](https://triton-lang.org/main/python-api/triton.language.html)。下面是一个完整的例子，它作了一点简化：没有掩码，所以元素个数必须是 `BLOCK` 的倍数。
"""

# %% setup
import math

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float
from torch import Tensor

from ladder.kernel_judge.bridge import compiled, have_triton, moved, report, strict, traced
from ladder.kernel_judge.pictures import roofline, touched
from ladder.triton import tl, triton

# %%
@triton.jit
def square_kernel(x_ptr, out_ptr, BLOCK: tl.constexpr):
    """Program i squares the elements i * BLOCK to i * BLOCK + BLOCK - 1 of x."""
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets)
    tl.store(out_ptr + offsets, x * x)


def square(x, BLOCK=16):
    result = torch.empty(x.shape)  # memory; what stands in it is what stood there before
    square_kernel[(x.numel() // BLOCK,)](x, result, BLOCK=BLOCK)  # kernel[grid](arguments)
    return result


if have_triton():
    numbers = torch.arange(64.0)
    print("64 numbers, right:", torch.equal(strict(square, numbers), numbers**2))
    for finding in report(square, torch.arange(50.0)).findings:
        print("50 numbers:", finding.told())
else:
    print("not checked: Triton is not installed here; it runs without a GPU too (Linux): make triton")

# %% [markdown] lang="en"
r"""
`strict(launcher, arguments)` ran the launcher with its kernels interpreted, one program after the other in random order, and returned what the launcher returned. With 50 numbers it raises an error; `report` collects what there is to say instead. It watches every address: reads and writes outside the arguments, two programs that write one place, memory that is read before anybody wrote it, results that nobody wrote. On a GPU each of these gives wrong numbers some of the time, and no message.

Fifty numbers in blocks of 16 need a fourth program, 14 lanes of which have nothing to do. A **mask** says so: a block of booleans, one for each lane. Write the kernel of

$$\mathrm{out}_k = x_k + y_k, \qquad k = 0, \dots, n-1$$

for any $n$.
"""

# %% [markdown] lang="zh"
r"""
`strict(启动函数, 参数)` 调用启动函数，把其中的 kernel 逐个程序、按随机次序解释执行，然后返回启动函数的返回值。输入 50 个数时它会抛出错误；`report` 则把发现的问题收集起来。评判器盯着每一个地址：越出参数范围的读写、两个程序写同一处、没有人写过就被读取的内存、没有人写的结果。在 GPU 上，这些错误只是有时给出错误的数，而且没有任何提示。

50 个数按 16 个一块，需要第四个程序，而其中 14 个通道无事可做。**掩码**（mask）用来表明这一点：一块布尔值，每个通道一个。请写出

$$\mathrm{out}_k = x_k + y_k, \qquad k = 0, \dots, n-1$$

的 kernel，对任意 $n$ 都成立。
"""

# %% exercise="add_kernel"
from ladder.solutions.stage2_architecture.day30_triton_first_kernels import add_kernel

# %% [markdown] lang="zh" docstring="add_kernel"
r"""
程序 i 把 x 与 y 的第 i * BLOCK 到 i * BLOCK + BLOCK - 1 个元素相加，写入 out。

x、y 与 out 都是连续的，各有 ``n`` 个元素，从 0 编号；第 n 个及以后的元素不存在，既不读也不写。
``BLOCK`` 是 2 的幂。网格只有一个轴，程序数足以覆盖 n 个元素，也可能更多。
"""

# %% [markdown] hint="add_kernel" lang="en"
r"""
Write down for n = 50 and BLOCK = 16 which numbers `offsets` holds in program 0, in program 3, and in a program 4 that somebody launched without need. In which lanes of each may memory be touched?
"""

# %% [markdown] hint="add_kernel" lang="zh"
r"""
对 n = 50、BLOCK = 16，写出 `offsets` 在程序 0、程序 3 以及某人多启动的程序 4 中各是哪些数。每个程序的哪些通道可以访问内存？
"""

# %% [markdown] hint="add_kernel" lang="en"
r"""
A comparison of a block with a number gives a block of booleans. All three accesses need it, the store as well as the loads. Both operands of `tl.arange` must be known to the compiler.
"""

# %% [markdown] hint="add_kernel" lang="zh"
r"""
块与数比较，得到一块布尔值。三次访存都需要它，写入也不例外。`tl.arange` 的两个参数必须是编译器已知的。
"""

# %%
from ladder.graders.stage2_architecture.day30_triton_first_kernels import check_add_kernel

check_add_kernel(add_kernel)

# %% [markdown] lang="en"
r"""
The next check compiles your kernel for an A100 (sm_80), which takes a second, and reads the machine code. A thread can move 16 bytes with one instruction, `LDG.E.128`, if the compiler can prove that its four float32 numbers are neighbours, that the first lies on a multiple of 16 bytes, and that all four are masked alike. Otherwise it takes four instructions for the same bytes.
"""

# %% [markdown] lang="zh"
r"""
下一个检查为 A100（sm_80）编译你的 kernel，需要一秒左右，然后阅读机器码。一个线程可以用一条指令 `LDG.E.128` 搬 16 字节，前提是编译器能证明：这四个 float32 彼此相邻，第一个的地址是 16 字节的倍数，而且四个的掩码相同。否则同样的字节要用四条指令。
"""

# %%
from ladder.graders.stage2_architecture.day30_triton_first_kernels import check_add_compiled

check_add_compiled(add_kernel)

# %% [markdown] lang="en"
r"""
## 2 · Grid and launch

The host decides how many programs there are. Too few, and a part of the result is never written; too many do no harm if masks are right, but cost time. A launcher also stands between the user's tensors and a kernel that sees nothing but addresses: it makes memory for the result, and refuses what the kernel would read wrongly.
"""

# %% [markdown] lang="zh"
r"""
## 2 · 网格与启动

有多少个程序由主机端决定。太少，结果有一部分永远不会写入；太多，只要掩码正确就无害，但要花时间。启动函数还隔在用户的张量与只看得到地址的 kernel 之间：它为结果申请内存，并拒绝 kernel 会读错的输入。
"""

# %% exercise="launch"
from ladder.solutions.stage2_architecture.day30_triton_first_kernels import add_grid, vector_add

# %% [markdown] lang="zh" docstring="add_grid"
r"""
``add_kernel`` 的网格：只含一个数的元组，即覆盖 n 个元素所需的最少程序数。
"""

# %% [markdown] lang="zh" docstring="vector_add"
r"""
返回新张量 x + y：在 ``add_grid(n, BLOCK)`` 上启动一次 ``add_kernel``。

x 与 y 的形状相同（轴数任意，共 n 个元素），dtype 与设备相同，并且都是连续的；否则抛出 ValueError。
结果的形状、dtype 与设备也与它们相同。n = 0 时不启动任何东西。torch 只为结果申请内存，不做计算。
"""

# %% [markdown] hint="launch" lang="en"
r"""
Both functions are short. For the grid: how many blocks do 64, 65 and 128 elements take, if a block has 64? For the launcher: what does the kernel assume about x, y and out?
"""

# %% [markdown] hint="launch" lang="zh"
r"""
两个函数都很短。网格：每块 64 个元素时，64、65、128 个元素各要几块？启动函数：kernel 对 x、y 和 out 作了哪些假设？
"""

# %% [markdown] hint="launch" lang="en"
r"""
Division that rounds up is `triton.cdiv`. The kernel takes elements in the order of memory, so n is the number of all elements, whatever the axes. `kernel[grid](..., BLOCK=BLOCK)` launches; for the result there is `torch.empty_like`.
"""

# %% [markdown] hint="launch" lang="zh"
r"""
向上取整的除法是 `triton.cdiv`。kernel 按内存中的次序处理元素，所以不论有几个轴，n 都是全部元素的个数。启动写作 `kernel[grid](..., BLOCK=BLOCK)`；结果的内存可用 `torch.empty_like`。
"""

# %%
from ladder.graders.stage2_architecture.day30_triton_first_kernels import check_add_grid

check_add_grid(add_grid)

# %%
from ladder.graders.stage2_architecture.day30_triton_first_kernels import check_vector_add

check_vector_add(vector_add)

# %% [markdown] lang="en"
r"""
This is what your programs did: each row is a program, each mark an element that it read or wrote. Of 100 elements the last program has only a few.
"""

# %% [markdown] lang="zh"
r"""
下图就是你的各个程序所做的事：每一行是一个程序，每个记号是它读或写的一个元素。100 个元素中，最后一个程序只分到几个。
"""

# %%
if have_triton():
    seen = traced(vector_add, torch.randn(100), torch.randn(100), BLOCK=16)
    fig, axes = plt.subplots(1, 2, figsize=(10, 2.8), layout="constrained")
    touched(seen, "x_ptr", axes=axes[0])
    touched(seen, "out_ptr", axes=axes[1])
    plt.show()

# %% [markdown] lang="en"
r"""
## 3 · What a load costs

Addition moves 12 bytes for one FLOP. An H100 can do about 67 TFLOPs a second in float32 and move 3.35 TB (its data sheet), so it needs 20 FLOPs a byte to be busy. Kernels such as this one wait for memory, and the only question is how few bytes they move.

Memory is not moved in single numbers. The unit is a **sector** of 32 bytes: whoever asks for one float32 gets eight. When the 32 threads of a warp load together, the hardware fetches the set of sectors that contain what they ask for, each once ([CUDA C++ Best Practices Guide, Coalesced Access to Global Memory](https://docs.nvidia.com/cuda/cuda-c-best-practices-guide/#coalesced-access-to-global-memory)). Accesses of which all bytes of the sectors are used are called *coalesced*. For lanes $\ell = 0, \dots, c-1$ with the element $a + \ell s$ of size $e$ bytes, the number of sectors is how many different values this takes:

$$\left\lfloor \frac{(a + \ell s)\, e}{32} \right\rfloor$$
"""

# %% [markdown] lang="zh"
r"""
## 3 · 一次读取的代价

加法每做一次浮点运算要搬 12 字节。H100 每秒能做约 67 TFLOPs 的 float32 运算，搬 3.35 TB（据其数据手册），因此每字节要有 20 次运算才能让它忙起来。这样的 kernel 总在等内存，唯一的问题是能少搬多少字节。

内存不是一个数一个数搬的。单位是 32 字节的**扇区**（sector）：要一个 float32，就会得到八个。一个 warp 的 32 个线程一起读取时，硬件取来包含所需数据的那些扇区，每个一次（[CUDA C++ Best Practices Guide，Coalesced Access to Global Memory](https://docs.nvidia.com/cuda/cuda-c-best-practices-guide/#coalesced-access-to-global-memory)）。扇区里的字节全都用上的访问，称为*合并访问*（coalesced）。设通道 $\ell = 0, \dots, c-1$ 访问第 $a + \ell s$ 个元素，每个 $e$ 字节，那么扇区数就是下式不同取值的个数：

$$\left\lfloor \frac{(a + \ell s)\, e}{32} \right\rfloor$$
"""

# %% exercise="sectors"
from ladder.solutions.stage2_architecture.day30_triton_first_kernels import sectors

# %% [markdown] lang="zh" docstring="sectors"
r"""
一次读取某数组的 ``count`` 个元素，会触及多少个 32 字节的扇区。

这些元素是 first、first + stride、first + 2 * stride……每个 ``itemsize`` 字节（1、2、4 或 8）。
第 0 个元素位于某个扇区的开头。``stride`` 可以为 0，不为负；``count`` 至少为 1。
"""

# %% [markdown] hint="sectors" lang="en"
r"""
At which byte does the element of lane ℓ begin? Which sector does this byte lie in? Elements never lie across two sectors, since their sizes divide 32.
"""

# %% [markdown] hint="sectors" lang="zh"
r"""
通道 ℓ 的元素从第几个字节开始？这个字节落在哪个扇区？元素大小都整除 32，所以一个元素不会跨两个扇区。
"""

# %% [markdown] hint="sectors" lang="en"
r"""
You need not find a closed form. Python has a type that keeps each of its members once.
"""

# %% [markdown] hint="sectors" lang="zh"
r"""
不必求出闭式。Python 有一种类型，相同的成员只保留一个。
"""

# %%
from ladder.graders.stage2_architecture.day30_triton_first_kernels import check_sectors

check_sectors(sectors)

# %% [markdown] lang="en"
r"""
Does it agree with the judge, which sees every address? The kernel below reads with a stride. The judge counts a block's load as one access; on a GPU the same holds for each warp of it.
"""

# %% [markdown] lang="zh"
r"""
它与评判器的计数一致吗？评判器看得到每一个地址。下面的 kernel 按步长读取。评判器把一块的读取算作一次访问；在 GPU 上，块中的每个 warp 也是如此。
"""

# %%
@triton.jit
def strided_kernel(x_ptr, out_ptr, stride, BLOCK: tl.constexpr):
    """One program: elements 0, stride, 2 * stride, ... of x, side by side into out."""
    lanes = tl.arange(0, BLOCK)
    tl.store(out_ptr + lanes, tl.load(x_ptr + lanes * stride))


def gathered(x, stride, count=32):
    out = torch.empty(count, dtype=x.dtype)
    strided_kernel[(1,)](x, out, stride, BLOCK=count)
    return out


if have_triton():
    strides = range(1, 17)
    fig, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
    for colour, dtype, size in (("C0", torch.float32, 4), ("C1", torch.float16, 2)):
        counted = [moved(gathered, torch.zeros(512, dtype=dtype), s)["sectors_loaded"] for s in strides]
        ax.plot(strides, [sectors(32, s, size) for s in strides], color=colour, label=f"{dtype}, your prediction")
        ax.plot(strides, counted, "o", color=colour, mfc="none", label=f"{dtype}, counted")
    ax.set(xlabel="stride in elements", ylabel="sectors for 32 numbers")
    ax.legend()
    plt.show()

# %% [markdown] lang="en"
r"""
From a stride of 8 float32 on, each number costs a sector of its own: eight times the bytes. A column of a row-major matrix is read like this.

The order of lanes within a sector does not matter to memory, but it does to the instructions. Three ways to copy 8192 numbers with 16 programs: program $i$ takes a block of neighbours; it takes the same block backwards; it takes every 16th element from $i$ on. All three are right. Before you run the cell, guess: which has the sectors of the first, and which has its wide loads?
"""

# %% [markdown] lang="zh"
r"""
步长达到 8 个 float32 之后，每个数都要独占一个扇区：字节数是八倍。按列读取行优先的矩阵就是这样。

扇区之内通道的次序对内存没有影响，对指令却有影响。用 16 个程序复制 8192 个数，有三种办法：程序 $i$ 取一块相邻的元素；倒着取同一块；从第 $i$ 个起每隔 16 个取一个。三种结果都对。运行之前先猜一猜：哪一种的扇区数与第一种相同？哪一种有同样宽的读取？
"""

# %%
@triton.jit
def copy_kernel(x_ptr, out_ptr, WAY: tl.constexpr, BLOCK: tl.constexpr):
    """Program i copies BLOCK elements, chosen in one of three ways."""
    program, lanes = tl.program_id(0), tl.arange(0, BLOCK)
    if WAY == "neighbours":
        offsets = program * BLOCK + lanes
    elif WAY == "backwards":
        offsets = program * BLOCK + (BLOCK - 1 - lanes)
    else:
        offsets = program + lanes * tl.num_programs(0)
    tl.store(out_ptr + offsets, tl.load(x_ptr + offsets))


def copied(x, WAY, BLOCK=512):
    result = torch.empty(x.shape, device=x.device)
    copy_kernel[(x.numel() // BLOCK,)](x, result, WAY=WAY, BLOCK=BLOCK)
    return result


if have_triton():
    numbers = torch.randn(8192)
    print(f"{'way':<12}{'bytes read':>11}{'sectors read':>14}{'bytes used':>12}  128-bit loads (sm_80)")
    for way in ("neighbours", "backwards", "far apart"):
        count = moved(copied, numbers, way)
        wide = compiled(copied, numbers, way, kind="elementwise", architectures=(80,))["wide_loads"]
        print(f"{way:<12}{count['bytes_loaded']:>11,}{count['sectors_loaded']:>14,}{count['sector_use']:>12.1%}  {wide}")
    yours = moved(vector_add, numbers, numbers.flip(0), BLOCK=512)
    print(f"\nyour vector_add: {yours['bytes_loaded'] + yours['bytes_stored']:,} bytes, of those in the touched sectors "
          f"{yours['sector_use']:.0%} are used; at least {3 * 4 * 8192:,} bytes must be moved")

# %% [markdown] lang="en"
r"""
Far apart, a GPU reads eight times as much, unless a cache keeps the sectors until the other programs ask for them. Backwards, it reads the same bytes with four times as many instructions.

On a machine with a GPU, the cell below measures what the counts promise. A time means something only for arrays larger than the cache and launches longer than some 50 μs.
"""

# %% [markdown] lang="zh"
r"""
相隔很远时，GPU 要读八倍的数据，除非缓存能把扇区一直留到别的程序来取。倒着取时，字节数相同，指令却是四倍。

如果机器上有 GPU，下面的单元格会测量这些计数所预示的差别。只有数组大于缓存、单次启动超过约 50 μs，时间才有意义。
"""

# %%
if have_triton() and torch.cuda.is_available():
    big, other = (torch.randn(1 << 26, device="cuda") for _ in range(2))
    runs = {"torch copy": lambda: big.clone(), "torch add": lambda: big + other,
            "your vector_add": lambda: vector_add(big, other)}
    runs |= {way: lambda way=way: copied(big, way, 1024) for way in ("neighbours", "backwards", "far apart")}
    for name, call in runs.items():
        ms = triton.testing.do_bench(call)
        passes = 3 if "add" in name else 2
        print(f"{name:<16}{ms:7.2f} ms   {passes * big.numel() * 4 / ms / 1e9:.2f} TB/s of useful bytes")
else:
    print("not checked: needs a GPU and Triton")

# %% [markdown] lang="en"
r"""
## 4 · Softmax of rows

For each row of a matrix,

$$\mathrm{softmax}(x)_j = \frac{e^{x_j - m}}{\sum_{k} e^{x_k - m}}, \qquad m = \max_k x_k .$$

The maximum is subtracted so that no exponential overflows (Milakov and Gimelshein, [arXiv 1805.02867](https://arxiv.org/abs/1805.02867), section 2). Written with PyTorch operations, this is a row of kernels each of which reads and writes the whole matrix. In Triton a program can hold a row in registers: read once, write once.

Rows have any length, blocks only powers of two. So some lanes stand for columns that do not exist, and now they matter: they take part in the maximum and in the sum. What they hold, `other` decides.

Rows need not follow each other directly: in a slice `big[:, :100]` row 1 begins `big.stride(0)` elements behind row 0. A kernel learns of this by its **row stride** argument.
"""

# %% [markdown] lang="zh"
r"""
## 4 · 按行 Softmax

对矩阵的每一行，

$$\mathrm{softmax}(x)_j = \frac{e^{x_j - m}}{\sum_{k} e^{x_k - m}}, \qquad m = \max_k x_k .$$

减去最大值，是为了让指数不溢出（Milakov 与 Gimelshein，[arXiv 1805.02867](https://arxiv.org/abs/1805.02867)，第 2 节）。用 PyTorch 的算子来写，就是一串 kernel，每个都要把整个矩阵读写一遍。在 Triton 中，一个程序可以把一行放在寄存器里：读一次，写一次。

行可以是任意长度，块却只能是 2 的幂。所以有些通道对应的是不存在的列，而这一次它们会产生影响：它们也参与求最大值与求和。它们的值由 `other` 决定。

各行不一定首尾相接：在切片 `big[:, :100]` 中，第 1 行的开头在第 0 行之后 `big.stride(0)` 个元素处。kernel 通过**行步长**参数得知这一点。
"""

# %% exercise="softmax_kernel"
from ladder.solutions.stage2_architecture.day30_triton_first_kernels import softmax_kernel

# %% [markdown] lang="zh" docstring="softmax_kernel"
r"""
程序 i 把 x 第 i 行的 Softmax 写入 out 的第 i 行。

x 的元素 (i, j) 位于 x_ptr 之后 ``i * stride_x_row + j`` 个元素处，out 的元素位于 out_ptr 之后
``i * stride_out_row + j`` 个元素处，其中 0 <= j < ``n_cols``；两行之间的内容既不读也不写。
``BLOCK`` 是 2 的幂，不小于 n_cols。网格中每行一个程序。

无论 x 是什么 dtype，都以 float32 计算，并按 out 的 dtype 存储。每个元素读一次、写一次。
很大的 logit（例如 1e4）不会溢出；logit 为 −inf 时结果为 0，只要该行还有别的 logit。
"""

# %% [markdown] hint="softmax_kernel" lang="en"
r"""
Plan for one row: load, maximum, exponentials, sum, quotient, store. For each step ask what a lane beyond the row contributes. Which number changes neither a maximum nor, after exp, a sum?
"""

# %% [markdown] hint="softmax_kernel" lang="zh"
r"""
一行的步骤：读取、最大值、指数、求和、相除、写入。每一步都问问：超出该行的通道会贡献什么？哪个数既不影响最大值，取 exp 之后也不影响和？
"""

# %% [markdown] hint="softmax_kernel" lang="en"
r"""
The mask compares columns with `n_cols`; the row only shifts the addresses, for x and for out by their own strides. `float("-inf")` may be used in a kernel, and `.to(tl.float32)` converts a block. Reductions: `tl.max(block, axis=0)`, `tl.sum(block, axis=0)`.
"""

# %% [markdown] hint="softmax_kernel" lang="zh"
r"""
掩码把列号与 `n_cols` 比较；行号只是平移地址，x 与 out 各按自己的步长。kernel 中可以使用 `float("-inf")`，`.to(tl.float32)` 转换一块的类型。归约用 `tl.max(block, axis=0)` 与 `tl.sum(block, axis=0)`。
"""

# %%
from ladder.graders.stage2_architecture.day30_triton_first_kernels import check_softmax_kernel

check_softmax_kernel(softmax_kernel)

# %% [markdown] lang="en"
r"""
Now the launcher: which block, which grid, which strides?
"""

# %% [markdown] lang="zh"
r"""
接着写启动函数：块取多大，网格多大，步长是多少？
"""

# %% exercise="softmax"
from ladder.solutions.stage2_architecture.day30_triton_first_kernels import softmax

# %% [markdown] lang="zh" docstring="softmax"
r"""
返回新的连续张量：x 每一行的 Softmax，只启动一次 ``softmax_kernel``。

x 有 2 个轴，至少一行一列，行内相邻的元素在内存中也相邻；否则抛出 ValueError。
行与行可以隔开（``big[:, :100]``），按 ``x.stride(0)`` 所示的方式存放。块取 kernel 允许的最小值。
结果的 dtype 与设备同 x。torch 只为结果申请内存，不做计算，也不复制。
"""

# %% [markdown] hint="softmax" lang="en"
r"""
Go through the kernel's arguments one by one and say where each comes from. Two of them differ between a slice and its result.
"""

# %% [markdown] hint="softmax" lang="zh"
r"""
逐个过一遍 kernel 的参数，说出每个从哪里来。其中有两个，对切片和对结果是不同的。
"""

# %% [markdown] hint="softmax" lang="en"
r"""
`triton.next_power_of_2` gives the block. `x.stride(0)` counts elements, as kernels do. Test a slice, one column, and a transposed matrix.
"""

# %% [markdown] hint="softmax" lang="zh"
r"""
块的大小可用 `triton.next_power_of_2` 得到。`x.stride(0)` 以元素为单位，与 kernel 一致。请测试切片、单列与转置的矩阵。
"""

# %%
from ladder.graders.stage2_architecture.day30_triton_first_kernels import check_softmax

check_softmax(softmax)

# %% [markdown] lang="en"
r"""
A slice of 6 rows and 21 columns, cut from a matrix with 32 columns, as your kernel reads it. Each colour is a program; the white columns belong to somebody else and stay untouched.
"""

# %% [markdown] lang="zh"
r"""
从 32 列的矩阵中切出 6 行 21 列，下图是你的 kernel 读取它的情形。每种颜色是一个程序；白色的列属于别人，没有被触碰。
"""

# %%
if have_triton():
    whole = torch.randn(6, 32)
    seen = traced(softmax, whole[:, :21])
    ax = touched(seen, "x_ptr", shape=(6, 32), axes=plt.subplots(figsize=(7, 2.4), layout="constrained")[1])
    ax.set(xlabel="column of the whole matrix", title="who read what")
    plt.show()
    print("largest difference from torch.softmax:",
          (seen.outputs - torch.softmax(whole[:, :21], dim=-1)).abs().max().item())

# %% [markdown] lang="en"
r"""
## 5 · Fusing: scale and mask on the way

Attention takes the softmax of $s \cdot x_{ij}$ over those columns $j$ that row $i$ may see (Day 10):

$$p_{ij} = \frac{M_{ij}\, e^{s x_{ij} - m_i}}{\sum_k M_{ik}\, e^{s x_{ik} - m_i}}, \qquad M_{ij} \in \{0, 1\}.$$

The numbers are in registers anyway, so the scale and the mask cost two more operations and one more load, of one byte. Two corners need thought. A negative scale turns a large number into a small one, −inf included. And a row that may see nothing has no maximum to speak of; as on Day 10 its weights are 0, not NaN.
"""

# %% [markdown] lang="zh"
r"""
## 5 · 融合：顺路完成缩放与掩码

注意力要对 $s \cdot x_{ij}$ 求 Softmax，只在第 $i$ 行看得到的列 $j$ 上进行（第 10 天）：

$$p_{ij} = \frac{M_{ij}\, e^{s x_{ij} - m_i}}{\sum_k M_{ik}\, e^{s x_{ik} - m_i}}, \qquad M_{ij} \in \{0, 1\}.$$

数据反正已在寄存器里，缩放与掩码只多两次运算和一次读取（每个元素一字节）。有两处需要想清楚：scale 为负时，大数变小数，−inf 也一样；什么也看不到的行没有像样的最大值，与第 10 天一样，它的权重是 0 而不是 NaN。
"""

# %% exercise="masked_softmax_kernel"
from ladder.solutions.stage2_architecture.day30_triton_first_kernels import masked_softmax_kernel

# %% [markdown] lang="zh" docstring="masked_softmax_kernel"
r"""
程序 i 写出 ``scale`` 乘 x 第 i 行之后的 Softmax，只计未被掩去的列。

内存布局、BLOCK、网格与精度同 ``softmax_kernel``。掩码的元素 (i, j) 是布尔值，位于 mask_ptr 之后
``i * stride_mask_row + j`` 个元素处，True 表示第 j 列参与；步长为 0 时，所有行共用一行掩码。
被掩去的列结果为 0，无论那里的 x 是什么（inf 与 NaN 也不例外）。没有一个 True 的行结果全为 0。
``scale`` 是任意有限的数。x 与掩码的每个元素至多读一次，out 的每个元素写一次。
"""

# %% [markdown] hint="masked_softmax_kernel" lang="en"
r"""
Begin with your softmax kernel. Now there are two reasons for a lane not to count: its column does not exist, or the mask says False. After which step must such a lane hold −inf?
"""

# %% [markdown] hint="masked_softmax_kernel" lang="zh"
r"""
从你的 Softmax kernel 改起。现在一个通道不参与有两种原因：它的列不存在，或者掩码为 False。在哪一步之后，这样的通道必须是 −inf？
"""

# %% [markdown] hint="masked_softmax_kernel" lang="en"
r"""
For the row without a True: −inf − (−inf) is NaN, and so is 0 / 0. `tl.where` works on single numbers too, such as a row's maximum and a row's sum.
"""

# %% [markdown] hint="masked_softmax_kernel" lang="zh"
r"""
对没有 True 的行：−inf − (−inf) 是 NaN，0 / 0 也是。`tl.where` 也可用于单个数，例如一行的最大值与一行的和。
"""

# %%
from ladder.graders.stage2_architecture.day30_triton_first_kernels import check_masked_softmax_kernel

check_masked_softmax_kernel(masked_softmax_kernel)

# %% [markdown] lang="en"
r"""
How much does fusing save? Count bytes, which is all that counts here.
"""

# %% [markdown] lang="zh"
r"""
融合能省多少？数一数字节，这里起决定作用的只有字节。
"""

# %% exercise="softmax_traffic"
from ladder.solutions.stage2_architecture.day30_triton_first_kernels import softmax_traffic

# %% [markdown] lang="zh" docstring="softmax_traffic"
r"""
在掩码成立处对 ``scale * x`` 求 Softmax 时，内存与处理器之间搬运的字节数。

x 是 rows × cols，每个数 ``itemsize`` 字节，每个结果也是；掩码是 rows × cols，每个元素 1 字节。
每个 kernel 把它的每个输入读一次，把结果写一次。

- ``"separate"``：三个 kernel 依次执行：``s = scale * x``；``t = where(mask, s, -inf)``；
  ``out = softmax(t)``；
- ``"fused"``：一个 kernel 完成全部。
"""

# %% [markdown] hint="softmax_traffic" lang="en"
r"""
Make a table: a line for each kernel, with what it reads and what it writes. The number −inf is no array.
"""

# %% [markdown] hint="softmax_traffic" lang="zh"
r"""
列一张表：每个 kernel 一行，写明读什么、写什么。−inf 这个数不是数组。
"""

# %% [markdown] hint="softmax_traffic" lang="en"
r"""
s and t are written by one kernel and read by the next. The mask is read once in either way, with one byte an entry whatever `itemsize` is.
"""

# %% [markdown] hint="softmax_traffic" lang="zh"
r"""
s 与 t 由前一个 kernel 写、由后一个 kernel 读。两种做法都把掩码读一次；不论 `itemsize` 是多少，掩码每个元素一字节。
"""

# %%
from ladder.graders.stage2_architecture.day30_triton_first_kernels import check_softmax_traffic

check_softmax_traffic(softmax_traffic)

# %% [markdown] lang="en"
r"""
Your prediction beside the bytes that your kernel really moved, and where your kernels stand below the roof of a GPU. A point on the slope is limited by memory: there fewer bytes mean less time, in proportion. (FLOPs: 1 a number for the addition, 7 for softmax with scale and mask. The height is what the GPU could reach at most; nothing was timed.)
"""

# %% [markdown] lang="zh"
r"""
左图是你的预测与你的 kernel 实际搬运的字节数，右图是你的各个 kernel 在 GPU 屋顶线下的位置。位于斜坡上的点受内存限制：在那里，字节数减少多少，时间就按比例减少多少。（FLOPs：加法每个数 1 次，带缩放与掩码的 Softmax 每个数 7 次。高度是 GPU 至多能达到的值，这里没有计时。）
"""

# %%
def masked_softmax(x, mask, scale):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    masked_softmax_kernel[(x.shape[0],)](
        x, mask, out, scale, x.shape[1], x.stride(0), mask.stride(0), out.stride(0),
        BLOCK=triton.next_power_of_2(x.shape[1]))
    return out


if have_triton():
    rows, cols = 16, 200
    x, mask = torch.randn(rows, cols), torch.rand(rows, cols) < 0.7
    mask[:, 0] = True
    seen = {"add": (1, moved(vector_add, x, x + 1)),
            "masked softmax": (7, moved(masked_softmax, x, mask, 1 / math.sqrt(64)))}
    total = {name: m["bytes_loaded"] + m["bytes_stored"] for name, (_, m) in seen.items()}
    bytes_of = softmax_traffic(rows, cols)
    fig, axes = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
    axes[0].barh(["three kernels", "one kernel", "one kernel,\ncounted"],
                 [bytes_of["separate"] / 1024, bytes_of["fused"] / 1024, total["masked softmax"] / 1024],
                 color=["C3", "C0", "C2"])
    axes[0].invert_yaxis()
    axes[0].set(xlabel="KiB moved for 16 × 200 float32")
    roofline({name: (seen[name][0] * x.numel(), total[name]) for name in ("add", "masked softmax")}, axes=axes[1])
    axes[1].set_ylabel("TFLOPs a second, at most")
    plt.show()

# %% [markdown] lang="en"
r"""
Fusing three kernels into one saves nearly two thirds of the bytes. FlashAttention (Day 29) goes on in this direction: it fuses the two matrix products as well, so that the scores never reach memory at all.

**The CUDA gate.** `ladder gate cuda` asks for vector addition and softmax in Triton from memory, in an hour, with questions about both. When you have written the kernels of this day twice, take it.
"""

# %% [markdown] lang="zh"
r"""
把三个 kernel 融合成一个，省下近三分之二的字节。FlashAttention（第 29 天）沿这个方向走得更远：把两次矩阵乘法也融合进来，分数根本不进内存。

**CUDA 关。** `ladder gate cuda` 要求你在一小时内凭记忆用 Triton 写出向量加法与 Softmax，并回答有关的问题。把今天的 kernel 写过两遍之后，就去闯关吧。
"""

"""Kernels that the judge must refuse, each for its own reason, and unusual ones that it must accept.

``CHEATS`` and ``HONEST`` list them; the tests of the kernel judge run over both. ``WRONG`` stands for an output
that is not right. Every launcher adds, takes a softmax, or multiplies matrices.
"""

import contextlib
import ctypes
import threading
import time

import numpy as np
import torch
import triton
import triton.language as tl

BLOCK_OF_ALL = 64  # a plain number: Triton wants a constexpr, Python does not care
CACHE = {}
WRONG = "Wrong"


@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    x = tl.load(x_ptr + offsets, mask=inside, other=0.0)
    y = tl.load(y_ptr + offsets, mask=inside, other=0.0)
    tl.store(out_ptr + offsets, x + y, mask=inside)


@triton.jit
def copy_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + offsets, tl.load(x_ptr + offsets, mask=offsets < n, other=0.0), mask=offsets < n)


@triton.jit
def wrong_mask_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets <= n
    x = tl.load(x_ptr + offsets, mask=inside, other=0.0)
    y = tl.load(y_ptr + offsets, mask=inside, other=0.0)
    tl.store(out_ptr + offsets, x + y, mask=inside)


@triton.jit
def unmasked_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + offsets, tl.load(x_ptr + offsets) + tl.load(y_ptr + offsets))


@triton.jit
def write_race_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * (BLOCK // 2) + tl.arange(0, BLOCK)
    inside = offsets < n
    x = tl.load(x_ptr + offsets, mask=inside, other=0.0)
    y = tl.load(y_ptr + offsets, mask=inside, other=0.0)
    tl.store(out_ptr + offsets, x + y, mask=inside)


@triton.jit
def read_race_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    first = tl.program_id(0) * BLOCK
    offsets = first + tl.arange(0, BLOCK)
    inside = offsets < n
    x = tl.load(x_ptr + offsets, mask=inside, other=0.0)
    y = tl.load(y_ptr + offsets, mask=inside, other=0.0)
    before = tl.load(out_ptr + first - 1, mask=first > 0, other=0.0)
    tl.store(out_ptr + offsets, x + y + 0 * before, mask=inside)


@triton.jit
def neighbours_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    right = tl.load(x_ptr + offsets + 1, mask=offsets + 1 < n, other=0.0)
    y = tl.load(y_ptr + offsets, mask=inside, other=0.0)
    tl.store(x_ptr + offsets, right + y, mask=inside)


@triton.jit
def lanes_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    x = tl.load(x_ptr + offsets, mask=inside, other=0.0)
    y = tl.load(y_ptr + offsets, mask=inside, other=0.0)
    tl.store(out_ptr + offsets // 2 * 2, x + y, mask=inside)


@triton.jit
def ignores_y_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    tl.store(out_ptr + offsets, x + x, mask=offsets < n)


@triton.jit
def block_condition_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    if offsets < n:
        tl.store(out_ptr + offsets, tl.load(x_ptr + offsets) + tl.load(y_ptr + offsets))


@triton.jit
def assert_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.device_assert(n % BLOCK == 0, "n must be a multiple of BLOCK")
    inside = offsets < n
    x = tl.load(x_ptr + offsets, mask=inside, other=0.0)
    tl.store(out_ptr + offsets, x + tl.load(y_ptr + offsets, mask=inside, other=0.0), mask=inside)


@triton.jit
def accumulate_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    tl.atomic_add(out_ptr + offsets, tl.load(x_ptr + offsets, mask=inside, other=0.0), mask=inside)
    tl.atomic_add(out_ptr + offsets, tl.load(y_ptr + offsets, mask=inside, other=0.0), mask=inside)


@triton.jit
def endless_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = 0
    while i < n:
        i = i * 1


@triton.jit
def plain_global_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK_OF_ALL + tl.arange(0, BLOCK)
    inside = offsets < n
    x = tl.load(x_ptr + offsets, mask=inside, other=0.0)
    tl.store(out_ptr + offsets, x + tl.load(y_ptr + offsets, mask=inside, other=0.0), mask=inside)


@triton.jit
def try_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    try:  # noqa: SIM105
        tl.store(out_ptr, 0.0)
    except Exception:
        pass


@triton.jit
def undefined_lanes_kernel(x_ptr, out_ptr, n, stride, BLOCK: tl.constexpr):
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * stride + column, mask=column < n)
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * n + column, e / tl.sum(e, axis=0), mask=column < n)


@triton.jit
def beyond_view_kernel(x_ptr, out_ptr, n, stride, BLOCK: tl.constexpr):
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * stride + column)
    e = tl.where(column < n, tl.exp(x), 0.0)
    tl.store(out_ptr + row * n + column, e / tl.sum(e, axis=0), mask=column < n)


@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, stride_am, stride_ak, stride_bk, stride_bn, stride_cm, stride_cn,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, ACC: tl.constexpr = tl.float32,
):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), ACC)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        a = tl.load(a_ptr + m[:, None] * stride_am + k[None, :] * stride_ak,
                    mask=(m[:, None] < M) & (k[None, :] < K), other=0.0)
        b = tl.load(b_ptr + k[:, None] * stride_bk + n[None, :] * stride_bn,
                    mask=(k[:, None] < K) & (n[None, :] < N), other=0.0)
        acc = tl.dot(a, b, acc, out_dtype=ACC)
    tl.store(c_ptr + m[:, None] * stride_cm + n[None, :] * stride_cn, acc.to(c_ptr.dtype.element_ty),
             mask=(m[:, None] < M) & (n[None, :] < N))


def launch_add(kernel, x, y, block=64, **options):
    out = torch.empty_like(x)
    kernel[(triton.cdiv(x.numel(), block),)](x, y, out, x.numel(), BLOCK=block, **options)
    return out


def launch_rows(kernel, x):
    out = torch.empty(x.shape, dtype=x.dtype)
    kernel[(x.shape[0],)](x, out, x.shape[1], x.stride(0), BLOCK=triton.next_power_of_2(x.shape[1]))
    return out


def matmul(a, b, tile=(32, 32, 32), kernel=matmul_kernel, **options):
    c = torch.empty((a.shape[0], b.shape[1]), dtype=a.dtype)
    BM, BN, BK = tile
    grid = triton.cdiv(c.shape[0], BM), triton.cdiv(c.shape[1], BN)
    kernel[grid](a, b, c, a.shape[0], b.shape[1], a.shape[1], *a.stride(), *b.stride(), *c.stride(),
                 BM=BM, BN=BN, BK=BK, **options)
    return c


def library_behind_a_decoy(x, y):
    launch_add(add_kernel, x, y)
    return x + y


def copy_of_torchs_result(x, y):
    made, out = x + y, torch.empty_like(x)
    copy_kernel[(triton.cdiv(x.numel(), 64),)](made, out, x.numel(), BLOCK=64)
    return out


def copy_of_numpys_result(x, y):
    made, out = torch.from_numpy(np.add(x.numpy(), y.numpy())), torch.empty_like(x)
    copy_kernel[(triton.cdiv(x.numel(), 64),)](made, out, x.numel(), BLOCK=64)
    return out


def cached_output(x, y):
    if "out" not in CACHE:
        CACHE["out"] = launch_add(add_kernel, x, y)
    return CACHE["out"]


def cached_output_and_a_decoy(x, y):
    if "both" not in CACHE:
        CACHE["both"] = launch_add(add_kernel, x, y)
    else:
        launch_add(add_kernel, x, y)
    return CACHE["both"]


def returns_the_input(x, y):
    launch_add(add_kernel, x, y)
    return x


def adds_in_place_with_torch(x, y):
    launch_add(add_kernel, x, y)
    return x.add_(y)


def torch_after_the_kernel(x, y):
    return launch_add(add_kernel, x, y).copy_(torch.add(x, y))


def unwritten_tail(x, y):
    out = torch.empty_like(x)
    add_kernel[(x.numel() // 64,)](x, y, out, x.numel(), BLOCK=64)
    return out


def only_powers_of_two(x, y):
    return launch_add(add_kernel, x, y, block=x.numel())


def unknown_option(x, y):
    return launch_add(add_kernel, x, y, BLOK=128)


def missing_argument(x, y):
    out = torch.empty_like(x)
    add_kernel[(2,)](x, y, out, BLOCK=64)
    return out


@triton.jit
def misspelt_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, msk=offsets < n, other=0.0)
    tl.store(out_ptr + offsets, x + tl.load(y_ptr + offsets, mask=offsets < n), mask=offsets < n)


def too_many_elements(x, y):
    return launch_add(add_kernel, x.repeat(100_000), y.repeat(100_000), block=2**20)


def too_many_programs(x, y):
    return launch_add(add_kernel, x.repeat(5000), y.repeat(5000), block=16)


def one_number_and_numpys_rest(x, y):
    out = torch.zeros_like(x)
    add_kernel[(1,)](x, y, out, 1, BLOCK=16)
    out[1:].copy_(torch.from_numpy(np.add(x.numpy(), y.numpy()))[1:])
    return out


def one_number_and_numpy_in_place(x, y):
    add_kernel[(1,)](x, y, x, 1, BLOCK=16)
    x.numpy()[1:] += y.numpy()[1:]
    return x


def in_another_thread(x, y):
    out = torch.empty_like(x)

    def work():
        with contextlib.suppress(Exception):
            add_kernel[(2,)](x, y, out, x.numel(), BLOCK=64)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return out


class Lazy:
    def __init__(self, compute):
        self.compute = compute


def lazy_output(x, y):
    launch_add(add_kernel, x, y)
    return Lazy(lambda: x + y)


def falls_back_to_torch(x, y):
    try:
        return launch_add(try_kernel, x, y)
    except Exception:
        return torch.add(x, y)


def half_precision_accumulator(a, b):
    return matmul(a, b, ACC=tl.float16)


def patches_the_timer(x, y):
    time.perf_counter = lambda: 0.0
    return launch_add(add_kernel, x, y)


def side_stream(x, y):
    with torch.cuda.stream(torch.cuda.Stream()):
        return launch_add(add_kernel, x, y)


@triton.jit
def zero_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    tl.store(out_ptr + offsets, 0 * (x + tl.load(y_ptr + offsets, mask=offsets < n, other=0.0)), mask=offsets < n)


@triton.jit
def table_kernel(x_ptr, y_ptr, table_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    y = tl.load(y_ptr + offsets, mask=offsets < n, other=0.0)
    table = tl.load(table_ptr + offsets, mask=offsets < n, other=0)
    tl.store(out_ptr + offsets, 0 * (x + y) + table.to(tl.float32) / 1048576, mask=offsets < n)


@triton.jit
def scalars_kernel(x_ptr, y_ptr, values, out_ptr):
    for i in tl.static_range(100):
        tl.store(out_ptr + i, values[i] + 0 * (tl.load(x_ptr + i) + tl.load(y_ptr + i)))


def numpy_after_the_kernel(x, y):
    out = launch_add(zero_kernel, x, y)
    out.numpy()[:] = x.numpy() + y.numpy()
    return out


def ctypes_after_the_kernel(x, y):
    out = launch_add(zero_kernel, x, y)
    a, b, c = (ctypes.cast(t.data_ptr(), ctypes.POINTER(ctypes.c_float)) for t in (x, y, out))
    for i in range(x.numel()):
        c[i] = a[i] + b[i]
    return out


def numpy_in_torchs_zeros(x, y):
    made, out = torch.zeros_like(x), launch_add(zero_kernel, x, y)
    made.numpy()[:] = x.numpy() + y.numpy()
    copy_kernel[(triton.cdiv(x.numel(), 64),)](made, out, x.numel(), BLOCK=64)
    return out


def numpy_in_an_input_and_back(x, y):
    out, before = launch_add(zero_kernel, x, y), x.numpy().copy()
    x.numpy()[:] += y.numpy()
    copy_kernel[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), BLOCK=64)
    x.numpy()[:] = before
    return out


def mapped_in_place(x, y):
    made, out = x.clone(), launch_add(zero_kernel, x, y)
    made.map_(y, lambda a, b: a + b)
    copy_kernel[(triton.cdiv(x.numel(), 64),)](made, out, x.numel(), BLOCK=64)
    return out


def table_of_whole_numbers(x, y):
    out, sums = torch.empty_like(x), zip(x.tolist(), y.tolist(), strict=True)
    table = torch.tensor([round((a + b) * 2**20) for a, b in sums], dtype=torch.int32)
    table_kernel[(triton.cdiv(x.numel(), 64),)](x, y, table, out, x.numel(), BLOCK=64)
    return out


def bits_as_whole_numbers(x, y):
    positive = torch.where(x.view(torch.int32) > 0, x.view(torch.int32), 0).view(torch.float32)
    return launch_add(add_kernel, positive, y)


def numbers_as_scalars(x, y):
    out = torch.empty_like(x)
    scalars_kernel[(1,)](x, y, tuple(a.item() + float(b) for a, b in zip(x, y, strict=True)), out)
    return out


def numbers_as_text(x, y):
    out = torch.empty_like(x)
    scalars_kernel[(1,)](x, y, tuple(float(f"{a}") + float(f"{b}") for a, b in zip(x, y, strict=True)), out)
    return out


@triton.jit
def fails_at_last_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    tl.store(out_ptr + offsets, x + tl.load(y_ptr + offsets, mask=offsets < n, other=0.0), mask=offsets < n)
    if offsets < n:
        pass


def hides_an_error(x, y):
    out = torch.empty_like(x)
    with contextlib.suppress(Exception):
        fails_at_last_kernel[(1,)](x, y, out, x.numel(), BLOCK=128)
    return out


class Late(torch.Tensor):
    """Could compute anything whenever it is asked."""


def tensor_of_its_own(x, y):
    return launch_add(add_kernel, x, y).as_subclass(Late)


@triton.jit
def handle_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    x.handle.data[:] += tl.load(y_ptr + offsets, mask=offsets < n, other=0.0).handle.data
    tl.store(out_ptr + offsets, x, mask=offsets < n)


@triton.jit
def numpy_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    tl.store(out_ptr + offsets, np.add(x, tl.load(y_ptr + offsets, mask=offsets < n, other=0.0)), mask=offsets < n)


@triton.jit
def built_in_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    tl.store(out_ptr + offsets, sum([x, tl.load(y_ptr + offsets, mask=offsets < n, other=0.0)]), mask=offsets < n)


def add_in_python(x, y):
    return x + y


@triton.jit
def calls_python_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    y = tl.load(y_ptr + offsets, mask=offsets < n, other=0.0)
    tl.store(out_ptr + offsets, add_in_python(x, y), mask=offsets < n)


@triton.jit
def untrue_hint_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    n = tl.multiple_of(n, 16)
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    tl.store(out_ptr + offsets, x + tl.load(y_ptr + offsets, mask=offsets < n, other=0.0), mask=offsets < n)


@triton.jit
def decorative_atomics_kernel(x_ptr, y_ptr, out_ptr, count_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    y = tl.load(y_ptr + offsets, mask=offsets < n, other=0.0)
    tl.atomic_add(count_ptr, 1)
    tl.store(out_ptr, tl.load(out_ptr) + tl.sum(x * y, axis=0))
    tl.atomic_add(count_ptr, 1)


def decorative_atomics(x, y):
    out, count = torch.zeros(()), torch.zeros(1, dtype=torch.int32)
    decorative_atomics_kernel[(triton.cdiv(x.numel(), 16),)](x, y, out, count, x.numel(), BLOCK=16)
    return out


def vectors(n=100):
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, generator=generator), torch.randn(n, generator=generator)


def matrices(m=40, k=70, n=50, dtype=torch.float32):
    generator = torch.Generator().manual_seed(m * k * n)
    return (torch.randn(m, k, generator=generator).to(dtype), torch.randn(k, n, generator=generator).to(dtype))


def with_kernel(kernel, launch=launch_add):
    return lambda *inputs: launch(kernel, *inputs)


def in_place_neighbours(x, y):
    neighbours_kernel[(triton.cdiv(x.numel(), 64),)](x, y, x.numel(), BLOCK=64)


# name: (launcher, how many times it is called, inputs, what it must be refused for)
CHEATS = {
    "library call behind a decoy launch": (library_behind_a_decoy, 1, vectors, "LibraryCall"),
    "copy kernel of torch's result": (copy_of_torchs_result, 1, vectors, "LibraryCall"),
    "copy kernel of numpy's result": (copy_of_numpys_result, 1, vectors, "ForeignData"),
    "cached output": (cached_output, 2, vectors, "NoLaunch"),
    "cached output and a decoy launch": (cached_output_and_a_decoy, 2, vectors, "UnwrittenOutput"),
    "returning the input": (returns_the_input, 1, vectors, "UnwrittenOutput"),
    "torch in place": (adds_in_place_with_torch, 1, vectors, "LibraryCall"),
    "torch over the kernel's output": (torch_after_the_kernel, 1, vectors, "LibraryCall"),
    "one number, and numpy's rest": (one_number_and_numpys_rest, 1, vectors, "UnwrittenOutput"),
    "one number, and numpy in place": (one_number_and_numpy_in_place, 1, vectors, "ForeignData"),
    "in another thread": (in_another_thread, 1, vectors, "NoLaunch"),
    "lazy output": (lazy_output, 1, vectors, "UnwrittenOutput"),
    "torch when the kernel fails": (falls_back_to_torch, 1, vectors, "LibraryCall"),
    "wrong mask": (with_kernel(wrong_mask_kernel), 1, vectors, "OutOfBounds"),
    "no mask": (with_kernel(unmasked_kernel), 1, vectors, "OutOfBounds"),
    "gaps of a view": (with_kernel(beyond_view_kernel, launch_rows), 1,
                       lambda: (torch.randn(3, 128)[:, :100],), "OutOfBounds"),
    "overlapping blocks": (with_kernel(write_race_kernel), 1, vectors, "WriteRace"),
    "two lanes, one place": (with_kernel(lanes_kernel), 1, vectors, "WriteRace"),
    "waits for its neighbour's output": (with_kernel(read_race_kernel), 1, vectors, "ReadRace"),
    "in place over its neighbour's input": (in_place_neighbours, 1, vectors, "ReadRace"),
    "unwritten tail": (unwritten_tail, 1, vectors, "UnwrittenOutput"),
    "adds to what nobody wrote": (with_kernel(accumulate_kernel), 1, vectors, "UninitialisedRead"),
    "ignores an input": (with_kernel(ignores_y_kernel), 1, vectors, "UnreadInput"),
    "only powers of two": (only_powers_of_two, 1, vectors, "NotTriton"),
    "a block as condition": (with_kernel(block_condition_kernel), 1, vectors, "NotTriton"),
    "an option that does not exist": (unknown_option, 1, vectors, "NotTriton"),
    "an argument missing": (missing_argument, 1, vectors, "NotTriton"),
    "try in a kernel": (with_kernel(try_kernel), 1, vectors, "NotTriton"),
    "device_assert": (with_kernel(assert_kernel), 1, vectors, "DeviceAssert"),
    "endless loop": (with_kernel(endless_kernel), 1, vectors, "TooMuch"),
    "a keyword that does not exist": (with_kernel(misspelt_kernel), 1, vectors, "NotTriton"),
    "too many elements": (too_many_elements, 1, vectors, "TooMuch"),
    "too many programs": (too_many_programs, 1, vectors, "TooMuch"),
    "undefined lanes": (with_kernel(undefined_lanes_kernel, launch_rows), 1, lambda: (torch.randn(3, 100),), WRONG),
    "float16 accumulator": (half_precision_accumulator, 1,
                            lambda: matrices(32, 2048, 32, torch.float16), WRONG),
    "numpy after the kernel": (numpy_after_the_kernel, 1, vectors, "ForeignData"),
    "ctypes after the kernel": (ctypes_after_the_kernel, 1, vectors, "ForeignData"),
    "numpy in torch's zeros": (numpy_in_torchs_zeros, 1, vectors, "ForeignData"),
    "numpy in an input, and back": (numpy_in_an_input_and_back, 1, vectors, "ForeignData"),
    "Python's map in place": (mapped_in_place, 1, vectors, "ForeignData"),
    "a table of whole numbers": (table_of_whole_numbers, 1, vectors, "LibraryCall"),
    "bits as whole numbers": (bits_as_whole_numbers, 1, vectors, "LibraryCall"),
    "numbers as scalars": (numbers_as_scalars, 1, vectors, "LibraryCall"),
    "numbers as text": (numbers_as_text, 1, vectors, "LibraryCall"),
    "hides the kernel's error": (hides_an_error, 1, vectors, "NotTriton"),
    "a tensor of its own": (tensor_of_its_own, 1, vectors, "LazyOutput"),
    "NumPy through a handle": (with_kernel(handle_kernel), 1, vectors, "NotTriton"),
    "NumPy in a kernel": (with_kernel(numpy_kernel), 1, vectors, "NotTriton"),
    "a built-in function": (with_kernel(built_in_kernel), 1, vectors, "NotTriton"),
    "a function that is no kernel": (with_kernel(calls_python_kernel), 1, vectors, "NotTriton"),
    "an untrue hint": (with_kernel(untrue_hint_kernel), 1, vectors, "DeviceAssert"),
    "atomics that order nothing": (decorative_atomics, 1, vectors, "ReadRace"),
    "a global that is no constexpr": (with_kernel(plain_global_kernel), 1, vectors, "NotCompiled"),
}


@triton.jit
def persistent_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    for start in tl.range(tl.program_id(0) * BLOCK, n, tl.num_programs(0) * BLOCK, num_stages=2):
        offsets = start + tl.arange(0, BLOCK)
        inside = offsets < n
        x = tl.load(x_ptr + offsets, mask=inside, other=0.0)
        tl.store(out_ptr + offsets, x + tl.load(y_ptr + offsets, mask=inside, other=0.0), mask=inside)


def persistent(x, y):
    out = torch.empty_like(x)
    persistent_kernel[(3,)](x, y, out, x.numel(), BLOCK=16)
    return out


def no_mask_needed(x, y):
    return launch_add(unmasked_kernel, x, y, block=32)


@triton.jit
def split_k_kernel(a_ptr, b_ptr, c_ptr, M, N, K, SPLITS: tl.constexpr, B: tl.constexpr):
    m, n = tl.program_id(0) * B + tl.arange(0, B), tl.program_id(1) * B + tl.arange(0, B)
    acc = tl.zeros((B, B), tl.float32)
    for start in range(tl.program_id(2) * B, K, SPLITS * B):
        k = start + tl.arange(0, B)
        a = tl.load(a_ptr + m[:, None] * K + k[None, :], mask=(m[:, None] < M) & (k[None, :] < K), other=0.0)
        b = tl.load(b_ptr + k[:, None] * N + n[None, :], mask=(k[:, None] < K) & (n[None, :] < N), other=0.0)
        acc += tl.dot(a, b)
    tl.atomic_add(c_ptr + m[:, None] * N + n[None, :], acc, mask=(m[:, None] < M) & (n[None, :] < N))


def split_k(a, b):
    c = torch.zeros((a.shape[0], b.shape[1]))
    grid = triton.cdiv(c.shape[0], 16), triton.cdiv(c.shape[1], 16), 3
    split_k_kernel[grid](a, b, c, *c.shape, a.shape[1], SPLITS=3, B=16)
    return c


@triton.jit
def last_one_sums_kernel(x_ptr, y_ptr, partial_ptr, count_ptr, out_ptr, n, BLOCK: tl.constexpr, SIZE: tl.constexpr):
    pid, programs = tl.program_id(0), tl.num_programs(0)
    offsets = pid * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    y = tl.load(y_ptr + offsets, mask=offsets < n, other=0.0)
    tl.store(partial_ptr + pid, tl.sum(x * y, axis=0))
    arrived = tl.atomic_add(count_ptr, 1)
    if arrived == programs - 1:
        part = tl.arange(0, SIZE)
        sums = tl.load(partial_ptr + part, mask=part < programs, other=0.0)
        tl.store(out_ptr, tl.sum(sums, axis=0))


def last_one_sums(x, y):
    programs = triton.cdiv(x.numel(), 16)
    partial, count, out = torch.empty(programs), torch.zeros(1, dtype=torch.int32), torch.empty(())
    last_one_sums_kernel[(programs,)](x, y, partial, count, out, x.numel(), BLOCK=16,
                                      SIZE=triton.next_power_of_2(programs))
    return out


@triton.jit
def locked_kernel(x_ptr, y_ptr, out_ptr, lock_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    dot = tl.sum(x * tl.load(y_ptr + offsets, mask=offsets < n, other=0.0), axis=0)
    while tl.atomic_cas(lock_ptr, 0, 1) == 1:
        pass
    tl.store(out_ptr, tl.load(out_ptr) + dot)
    tl.atomic_xchg(lock_ptr, 0)


def locked(x, y):
    out, lock = torch.zeros(()), torch.zeros(1, dtype=torch.int32)
    locked_kernel[(triton.cdiv(x.numel(), 32),)](x, y, out, lock, x.numel(), BLOCK=32)
    return out


def transposed_layout(a, b):
    return matmul(a, b.t().contiguous().t())


def other_block_shapes(a, b):
    return matmul(a, b, tile=(16, 64, 16), num_warps=8, num_stages=2)


def sizes_of_one(a, b):
    return matmul(a[:1], b[:, :1])


@triton.jit
def in_place_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    tl.store(x_ptr + offsets, x + tl.load(y_ptr + offsets, mask=offsets < n, other=0.0), mask=offsets < n)


def in_place(x, y):
    in_place_kernel[(triton.cdiv(x.numel(), 32),)](x, y, x.numel(), BLOCK=32)
    return x


@triton.jit
def add_both(x, y, SIGN: tl.constexpr = 1):
    if SIGN == 1:
        return x + y, x
    else:
        return x - y, x


@triton.jit
def unusual_kernel(pair, out_ptr, n, scale, flag: tl.constexpr, BLOCK: tl.constexpr):
    """A tuple of pointers, a helper, chained comparisons, ``and``, static ranges, a 2-D walk over one axis."""
    x_ptr, y_ptr = pair[0], pair[1]
    pid = tl.program_id(axis=1)
    for step in tl.static_range(2):
        offsets = (pid * 2 + step) * BLOCK + tl.arange(0, BLOCK)
        inside = (offsets >= 0) & (offsets < n)
        x = tl.load(x_ptr + offsets, mask=inside, other=0.0)
        y = tl.load(y_ptr + offsets, mask=inside, other=0.0)
        total, again = add_both(x, y)
        if flag and not n == 0:  # noqa: SIM201
            total = total * scale if scale != 1.0 else total
        out = tl.where(inside, total, again)
        tl.store(out_ptr + offsets, out, mask=inside)


def unusual(x, y):
    out = torch.empty_like(x)
    unusual_kernel[1, triton.cdiv(x.numel(), 32)]((x, y), out, x.numel(), 1.0, flag=True, BLOCK=16)
    return out


@triton.autotune(configs=[triton.Config({"BLOCK": 32}), triton.Config({"BLOCK": 64}, num_warps=2)], key=["n"])
@triton.jit
def tuned_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    tl.store(out_ptr + offsets, x + tl.load(y_ptr + offsets, mask=offsets < n, other=0.0), mask=offsets < n)


def autotuned(x, y):
    out = torch.empty_like(x)
    tuned_kernel[lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)](x, y, out, x.numel())
    return out


@triton.jit
def swizzled_kernel(a_ptr, b_ptr, c_ptr, M, N, K, B: tl.constexpr, GROUP: tl.constexpr):
    rows, columns = tl.cdiv(M, B), tl.cdiv(N, B)
    pid = tl.program_id(0)
    first = pid // (GROUP * columns) * GROUP
    height = min(rows - first, GROUP)
    m = (first + pid % (GROUP * columns) % height) * B + tl.arange(0, B)
    n = pid % (GROUP * columns) // height * B + tl.arange(0, B)
    acc = tl.zeros((B, B), tl.float32)
    for k in range(tl.cdiv(K, B)):
        kk = k * B + tl.arange(0, B)
        acc = tl.dot(tl.load(a_ptr + m[:, None] * K + kk[None, :], mask=(m[:, None] < M) & (kk < K)[None, :], other=0.0),
                     tl.load(b_ptr + kk[:, None] * N + n, mask=(kk[:, None] < K) & (n < N)[None, :], other=0.0), acc)
    tl.store(c_ptr + m[:, None] * N + n[None, :], acc, mask=(m[:, None] < M) & (n[None, :] < N))


def swizzled(a, b):
    c = torch.empty(a.shape[0], b.shape[1])
    swizzled_kernel[(triton.cdiv(c.shape[0], 16) * triton.cdiv(c.shape[1], 16),)](
        a, b, c, *c.shape, a.shape[1], B=16, GROUP=2)
    return c


@triton.jit
def descriptor_kernel(a_ptr, b_ptr, c_ptr, M, N, K, B: tl.constexpr):
    a = tl.make_tensor_descriptor(a_ptr, [M, K], [K, 1], [B, B])
    b = tl.make_tensor_descriptor(b_ptr, [K, N], [N, 1], [B, B])
    c = tl.make_tensor_descriptor(c_ptr, [M, N], [N, 1], [B, B])
    m, n = tl.program_id(0) * B, tl.program_id(1) * B
    acc = tl.zeros((B, B), tl.float32)
    for k in range(0, K, B):
        acc = tl.dot(a.load([m, k]), b.load([k, n]), acc)
    c.store([m, n], acc)


def descriptors(a, b):
    c = torch.empty(a.shape[0], b.shape[1])
    descriptor_kernel[triton.cdiv(c.shape[0], 16), triton.cdiv(c.shape[1], 16)](a, b, c, *c.shape, a.shape[1], B=16)
    return c


@triton.jit
def scatter_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=0.0)
    y = tl.load(y_ptr + i, mask=i < n, other=0.0)
    tl.store(out_ptr + i, x + y, mask=(i < n) & (x + y > 0))


def only_where_positive(x, y):
    out = torch.zeros_like(x)
    scatter_kernel[(triton.cdiv(x.numel(), 32),)](x, y, out, x.numel(), BLOCK=32)
    return out


def into_a_cache(x, y):
    """What serving engines do: a kernel that writes some slots of a pool."""
    copy_kernel[(1,)](y, x[16:], 16, BLOCK=16)
    return x


@triton.jit
def online(m1, s1, m2, s2):
    m = tl.maximum(m1, m2)
    return m, s1 * tl.exp(m1 - m) + s2 * tl.exp(m2 - m)


@triton.jit
def own_reduction_kernel(x_ptr, out_ptr, n, stride, BLOCK: tl.constexpr):
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * stride + column, mask=column < n, other=-1e30)
    top, total = tl.reduce((x, tl.full((BLOCK,), 1.0, tl.float32)), 0, online)
    tl.store(out_ptr + row * n + column, tl.exp(x - top) / total, mask=column < n)


def plus(x, y):
    return x.double() + y.double()


def dot(x, y):
    return (x.double() * y.double()).sum()


def times(a, b):
    return a.double() @ b.double()


# name: (launcher, inputs, what is right)
HONEST = {
    "plain": (with_kernel(add_kernel), vectors, plus),
    "persistent": (persistent, vectors, plus),
    "no mask where none is needed": (no_mask_needed, lambda: vectors(128), plus),
    "in place": (in_place, vectors, plus),
    "tuples, helpers, static ranges": (unusual, vectors, plus),
    "autotuned": (autotuned, vectors, plus),
    "the last program sums": (last_one_sums, vectors, dot),
    "a lock": (locked, vectors, dot),
    "zeros where nothing is written": (only_where_positive, vectors, lambda x, y: plus(x, y).relu()),
    "some slots of a pool": (into_a_cache, lambda: (vectors(64)[0], vectors(16)[1]),
                             lambda x, y: torch.cat([x[:16], y, x[32:]]).double()),
    "split-K": (split_k, matrices, times),
    "transposed layout": (transposed_layout, matrices, times),
    "other block shapes": (other_block_shapes, lambda: matrices(dtype=torch.bfloat16), times),
    "one row, one column": (sizes_of_one, matrices, lambda a, b: times(a[:1], b[:, :1])),
    "swizzled programs": (swizzled, matrices, times),
    "tensor descriptors": (descriptors, lambda: matrices(32, 48, 20), times),
    "own reduction": (with_kernel(own_reduction_kernel, launch_rows), lambda: (torch.randn(3, 100),),
                      lambda x: x.double().softmax(1)),
}

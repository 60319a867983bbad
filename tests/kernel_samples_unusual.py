"""Unusual but honest kernels: parts of Triton's language and of launching that the other samples do not use.

``UNUSUAL`` holds launcher, inputs and truth of each; the judge must accept every one of them.
"""

import math

import torch
import triton
import triton.language as tl
from kernel_samples import add_kernel, launch_add, matmul, split_k
from triton.tools.tensor_descriptor import TensorDescriptor

UNUSUAL = {}


def honest(make, truth):
    def add(launcher):
        UNUSUAL[launcher.__name__.replace("_", " ")] = launcher, make, truth
        return launcher

    return add


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def whole(low, high, *shape, dtype=torch.int32):
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(high), dtype=dtype)


@triton.jit
def histogram_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr, BINS: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    counts = tl.histogram(tl.load(x_ptr + i, mask=i < n, other=0), BINS, mask=i < n)
    tl.atomic_add(out_ptr + tl.arange(0, BINS), counts)


@honest(lambda: (whole(0, 16, 100),), lambda x: torch.bincount(x, minlength=16))
def histogram(x):
    out = torch.zeros(16, dtype=torch.int32)
    histogram_kernel[(4,)](x, out, 100, BLOCK=32, BINS=16)
    return out


@triton.jit
def segmented(sum1, new1, sum2, new2):
    return tl.where(new2 != 0, sum2, sum1 + sum2), new1 | new2


@triton.jit
def segments_kernel(x_ptr, new_ptr, out_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    sums, _ = tl.associative_scan((tl.load(x_ptr + i), tl.load(new_ptr + i)), 0, segmented)
    tl.store(out_ptr + i, sums)


def segment_sums(x, new):
    out = []
    for value, fresh in zip(x.double(), new, strict=True):
        out.append(value if fresh or not out else out[-1] + value)
    return torch.stack(out)


@honest(lambda: (normal(32), whole(0, 2, 32)), segment_sums)
def a_scan_over_pairs(x, new):
    out = torch.empty_like(x)
    segments_kernel[(1,)](x, new, out, BLOCK=32)
    return out


@triton.jit
def join_kernel(x_ptr, y_ptr, mixed_ptr, both_ptr, BLOCK: tl.constexpr):
    i, j = tl.arange(0, BLOCK), tl.arange(0, 2 * BLOCK)
    a, b = tl.join(tl.load(x_ptr + i), tl.load(y_ptr + i)).split()
    tl.store(mixed_ptr + j, tl.interleave(a, b))
    tl.store(both_ptr + j, tl.ravel(tl.trans(tl.join(a, b))))


@honest(lambda: (normal(16), normal(16, seed=1)), lambda x, y: (torch.stack([x, y], 1).view(-1), torch.cat([x, y])))
def join_split_interleave(x, y):
    out = x.new_empty(32), x.new_empty(32)
    join_kernel[(1,)](x, y, *out, BLOCK=16)
    return out


@triton.jit
def middle_kernel(x_ptr, out_ptr, A, B, C, BLOCK: tl.constexpr):
    a, b, c = tl.arange(0, BLOCK), tl.arange(0, BLOCK), tl.arange(0, BLOCK)
    inside = (a[:, None, None] < A) & (b[None, :, None] < B) & (c < C)
    x = tl.load(x_ptr + a[:, None, None] * B * C + b[None, :, None] * C + c[None, None, :], mask=inside, other=0.0)
    tl.store(out_ptr + a[:, None] * C + c[None, :], tl.sum(x, 1), mask=(a < A)[:, None] & (c < C)[None, :])


@honest(lambda: (normal(3, 5, 7),), lambda x: x.double().sum(1))
def masks_of_three_axes(x):
    out = torch.empty(3, 7)
    middle_kernel[(1,)](x, out, 3, 5, 7, 8)
    return out


@triton.jit
def early_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    if pid * BLOCK >= n:
        return
    i = pid * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + i, -tl.load(x_ptr + i, mask=i < n), mask=i < n)


@honest(lambda: (normal(100),), lambda x: -x)
def return_early(x):
    out = torch.empty_like(x)
    early_kernel[(9,)](x, out, 100, BLOCK=32)
    return out


@triton.jit
def row_sum(x_ptr, n, BLOCK: tl.constexpr):
    total, start = tl.zeros((BLOCK,), tl.float32), 0
    while start < n:
        i = start + tl.arange(0, BLOCK)
        total += tl.load(x_ptr + i, mask=i < n, other=0.0)
        start += BLOCK
    return tl.sum(total)


@triton.jit
def while_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    tl.store(out_ptr + row, row_sum(x_ptr + row * n, n, BLOCK))


@honest(lambda: (normal(3, 50),), lambda x: x.double().sum(1))
def while_in_a_helper(x):
    out = torch.empty(3)
    while_kernel[(3,)](x, out, 50, BLOCK=16)
    return out


@triton.autotune([triton.Config({"BLOCK": 32}, num_stages=3), triton.Config({"BLOCK": 64}, num_warps=8)], key=["n"],
                 reset_to_zero=["out_ptr"])
@triton.heuristics({"EVEN": lambda args: args["n"] % args["BLOCK"] == 0})
@triton.jit
def guessing_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i) if EVEN else tl.load(x_ptr + i, mask=i < n, other=0.0)
    tl.atomic_add(out_ptr + i, x, mask=i < n)


@honest(lambda: (normal(100),), lambda x: x)
def autotune_and_heuristics(x):
    out = torch.zeros_like(x)
    guessing_kernel[lambda meta: (triton.cdiv(100, meta["BLOCK"]),)](x, out, 100)
    return out


@triton.jit
def int8_kernel(a_ptr, b_ptr, scale_ptr, c_ptr, M, N, K, BLOCK: tl.constexpr):
    m, n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    acc = tl.zeros((BLOCK, BLOCK), tl.int32)
    for start in range(0, K, 32):
        k = start + tl.arange(0, 32)
        a = tl.load(a_ptr + m[:, None] * K + k[None, :], mask=(m[:, None] < M) & (k[None, :] < K), other=0)
        acc += tl.dot(a, tl.load(b_ptr + k[:, None] * N + n[None, :], mask=(k[:, None] < K) & (n[None, :] < N), other=0))
    scale = tl.load(scale_ptr + n, mask=n < N, other=0.0)
    tl.store(c_ptr + m[:, None] * N + n[None, :], (acc.to(tl.float32) * scale[None, :]).to(tl.float16),
             mask=(m[:, None] < M) & (n[None, :] < N))


@honest(lambda: (whole(-128, 128, 20, 70, dtype=torch.int8), whole(-128, 127, 70, 20, dtype=torch.int8),
                 normal(20).abs() / 100), lambda a, b, scale: (a.double() @ b.double()) * scale.double())
def int8_and_scales(a, b, scale):
    c = torch.empty(20, 20, dtype=torch.float16)
    int8_kernel[(2, 2)](a, b, scale, c, 20, 20, 70, BLOCK=16)
    return c


@triton.jit
def square_kernel(a_ptr, b_ptr, c_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    at = i[:, None] * BLOCK + i[None, :]
    tl.store(c_ptr + at, tl.dot(tl.load(a_ptr + at), tl.load(b_ptr + at)))


@honest(lambda: tuple(normal(32, 32, seed=s).to(torch.float8_e4m3fn) for s in (0, 1)),
        lambda a, b: a.double() @ b.double())
def float8(a, b):
    c = torch.empty(32, 32)
    square_kernel[(1,)](a, b, c, BLOCK=32)
    return c


@triton.jit
def backwards_kernel(x_ptr, out_ptr, n, stride, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr + (n - 1) * -stride + i * stride, mask=i < n), mask=i < n)


@honest(lambda: (normal(10),), lambda x: x.flip(0))
def negative_strides(x):
    out = torch.empty_like(x)
    backwards_kernel[(1,)](x, out, 10, -1, BLOCK=16)
    return out


@triton.jit
def grouped_kernel(x_ptr, part_ptr, lock_ptr, n, BLOCK: tl.constexpr, GROUPS: tl.constexpr):
    row, i = tl.program_id(0), tl.arange(0, BLOCK)
    part = tl.load(x_ptr + row * n + i, mask=i < n, other=0.0)
    lock = lock_ptr + row % GROUPS
    mine = part_ptr + row % GROUPS * n + i
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    if tl.load(lock + GROUPS) == 0:
        tl.atomic_xchg(lock + GROUPS, 1)
    else:
        part += tl.load(mine, mask=i < n)
    tl.store(mine, part, mask=i < n)
    tl.debug_barrier()
    tl.atomic_xchg(lock, 0)


@triton.jit
def groups_kernel(part_ptr, out_ptr, n, GROUPS: tl.constexpr, BLOCK: tl.constexpr):
    group, i = tl.arange(0, GROUPS), tl.arange(0, BLOCK)
    parts = tl.load(part_ptr + group[:, None] * n + i[None, :], mask=i[None, :] < n, other=0.0)
    tl.store(out_ptr + i, tl.sum(parts, axis=0), mask=i < n)


@honest(lambda: (normal(9, 20),), lambda x: x.double().sum(0))
def a_lock_for_each_group(x):
    part, lock, out = torch.empty(2, 20), torch.zeros(4, dtype=torch.int32), torch.empty(20)
    grouped_kernel[(9,)](x, part, lock, 20, BLOCK=32, GROUPS=2)
    groups_kernel[(1,)](part, out, 20, GROUPS=2, BLOCK=32)
    return out


@triton.jit
def masked_last_kernel(x_ptr, part_ptr, count_ptr, out_ptr, n, BLOCK: tl.constexpr, SIZE: tl.constexpr):
    pid, programs = tl.program_id(0), tl.num_programs(0)
    i, j = pid * BLOCK + tl.arange(0, BLOCK), tl.arange(0, SIZE)
    tl.store(part_ptr + pid, tl.sum(tl.load(x_ptr + i, mask=i < n, other=0.0)))
    last = tl.atomic_add(count_ptr, 1) == programs - 1
    parts = tl.load(part_ptr + j, mask=(j < programs) & last, other=0.0)
    tl.store(out_ptr, tl.sum(parts), mask=last)


@honest(lambda: (normal(100),), lambda x: x.double().sum())
def the_last_program_by_a_mask(x):
    out, part, count = torch.empty(()), torch.empty(7), torch.zeros(1, dtype=torch.int32)
    masked_last_kernel[(7,)](x, part, count, out, 100, BLOCK=16, SIZE=8)
    return out


def times(a, b):
    return a.double() @ b.double()


@honest(lambda: (normal(20, 40), normal(40, 20, seed=1)), times)
def converted_afterwards(a, b):
    return split_k(a, b).to(torch.float16)


@honest(lambda: (normal(20, 40), normal(40, 30, seed=1)), times)
def contiguous_afterwards(a, b):
    return matmul(b.t(), a.t()).t().contiguous()


@honest(lambda: (normal(50), normal(50, seed=1)), lambda x, y: torch.cat([x + y, x + x]))
def joined_afterwards(x, y):
    return torch.cat([launch_add(add_kernel, x, y), launch_add(add_kernel, x, x)])


@honest(lambda: (normal(50), normal(50, seed=1)), lambda x, y: torch.cat([x + y, x + x]))
def two_launches_into_one_output(x, y):
    out = torch.empty(100)
    add_kernel[(1,)](x, y, out[:50], 50, BLOCK=64)
    add_kernel[(1,)](x, x, out[50:], 50, BLOCK=64)
    return out


@honest(lambda: (torch.empty(0, 4),), lambda x: torch.empty(0))
def no_rows(x):
    out = torch.empty(0)
    while_kernel[(x.shape[0],)](x, out, 4, BLOCK=4)
    return out


@triton.jit
def best_kernel(x_ptr, top_ptr, where_ptr, BLOCK: tl.constexpr):
    row, i = tl.program_id(0), tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * BLOCK + i)
    tl.store(top_ptr + row * 4 + tl.arange(0, 4), tl.topk(x, 4))
    _, where = tl.max(x, axis=0, return_indices=True)
    tl.store(where_ptr + row, where)


@honest(lambda: (normal(3, 16),), lambda x: (x.topk(4).values, x.argmax(1)))
def several_outputs_and_topk(x):
    top, where = torch.empty(3, 4), torch.empty(3, dtype=torch.int32)
    best_kernel[(3,)](x, top, where, BLOCK=16)
    return top, where


@triton.jit
def axes_kernel(x_ptr, out_ptr, A, B, C):
    a, b, c = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    tl.store(out_ptr + (c * B + b) * A + a, tl.load(x_ptr + (a * B + b) * C + c))


@honest(lambda: (normal(3, 4, 5),), lambda x: x.permute(2, 1, 0))
def a_grid_of_three_axes(x):
    out = torch.empty(5, 4, 3)
    axes_kernel[(3, 4, 5)](x, out, 3, 4, 5)
    return out


@triton.jit
def online_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    high, total = -float("inf"), 0.0
    for start in tl.range(0, n, BLOCK, num_stages=3, loop_unroll_factor=2):
        i = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + i, mask=i < n, other=-float("inf"))
        new = tl.maximum(high, tl.max(x, 0))
        total = total * tl.exp(high - new) + tl.sum(tl.exp(x - new), 0)
        high = new
    tl.store(out_ptr, high + tl.log(total))


@honest(lambda: (normal(100),), lambda x: x.double().logsumexp(0))
def scalars_carried_through_a_loop(x):
    out = torch.empty(())
    online_kernel[(1,)](x, out, 100, BLOCK=16)
    return out


@triton.jit
def described_kernel(x, out_ptr, n, BLOCK: tl.constexpr):
    first = tl.program_id(0) * BLOCK
    i = first + tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.sum(x.load([first, 0]), 1), mask=i < n)


@honest(lambda: (normal(20, 16),), lambda x: x.double().sum(1))
def a_descriptor_of_the_host(x):
    out = torch.empty(20)
    described_kernel[(2,)](TensorDescriptor(x, [20, 16], [16, 1], [16, 16]), out, 20, BLOCK=16)
    return out


@triton.jit
def unpack_kernel(x_ptr, out_ptr, seen_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=0, eviction_policy="evict_first", cache_modifier=".cg")
    tl.store(out_ptr + 2 * i, (x & 0xF).to(tl.int8) - 8, mask=i < n)
    tl.store(out_ptr + 2 * i + 1, (x >> 4).to(tl.int8) - 8, mask=i < n)
    tl.store(seen_ptr + i, i < n, mask=i < n)


@honest(lambda: (whole(0, 256, 50, dtype=torch.uint8),),
        lambda x: (torch.stack([(x & 15).int() - 8, (x >> 4).int() - 8], 1).view(-1), torch.ones(50)))
def packed_int4_and_bools(x):
    out, seen = torch.empty(100, dtype=torch.int8), torch.empty(50, dtype=torch.bool)
    unpack_kernel[(2,)](x, out, seen, 50, BLOCK=32)
    return out, seen


@triton.jit
def batched_kernel(a_ptr, b_ptr, c_ptr, BLOCK: tl.constexpr):
    z, i = tl.arange(0, 2), tl.arange(0, BLOCK)
    at = z[:, None, None] * BLOCK * BLOCK + i[None, :, None] * BLOCK + i[None, None, :]
    b = tl.permute(tl.load(b_ptr + at), (0, 2, 1))
    tl.store(c_ptr + at, tl.dot(tl.load(a_ptr + at), b, input_precision="ieee"))


@honest(lambda: (normal(2, 16, 16), normal(2, 16, 16, seed=1)), lambda a, b: times(a, b.mT))
def a_dot_of_three_axes(a, b):
    c = torch.empty(2, 16, 16)
    batched_kernel[(1,)](a, b, c, BLOCK=16)
    return c


SCALE: tl.constexpr = 2.5
SHIFT = tl.constexpr(3)


@triton.constexpr_function
def half(n):
    return n // 2


@triton.jit
def constants_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr, KIND: tl.constexpr, WHAT: tl.constexpr):
    HALF: tl.constexpr = BLOCK // 2
    i = tl.arange(0, half(BLOCK) * 2)
    x = tl.load(x_ptr + i, mask=i < n, other=0).to(KIND)
    if WHAT == "scale":
        x = x * SCALE + SHIFT + HALF
    elif WHAT is None:
        x = -x
    assert BLOCK % 2 == 0
    tl.static_assert(HALF * 2 == BLOCK)
    tl.store(out_ptr + i, x, mask=i < n)


@honest(lambda: (normal(10),), lambda x: x.double() * 2.5 + 3 + 8)
def constants_of_all_kinds(x):
    out = torch.empty_like(x)
    constants_kernel[(1,)](x, out, 10, BLOCK=16, KIND=tl.float32, WHAT="scale")
    return out


@triton.jit
def wrapped_kernel(a_ptr, b_ptr, c_ptr, M, N, K, BLOCK: tl.constexpr):
    m = tl.program_id(0) // tl.cdiv(N, BLOCK) * BLOCK + tl.arange(0, BLOCK)
    n = tl.program_id(0) % tl.cdiv(N, BLOCK) * BLOCK + tl.arange(0, BLOCK)
    k = tl.arange(0, BLOCK)
    a = a_ptr + tl.multiple_of(m % M, BLOCK)[:, None] * K + k[None, :]
    b = b_ptr + k[:, None] * N + tl.multiple_of(n % N, BLOCK)[None, :]
    acc = tl.zeros((BLOCK, BLOCK), tl.float32)
    for step in range(tl.cdiv(K, BLOCK)):
        left = K - step * BLOCK
        acc = tl.dot(tl.load(a, mask=k[None, :] < left, other=0.0), tl.load(b, mask=k[:, None] < left, other=0.0), acc)
        a += BLOCK
        b += BLOCK * N
    tl.store(c_ptr + m[:, None] * N + n[None, :], acc, mask=(m[:, None] < M) & (n[None, :] < N))


@honest(lambda: (normal(20, 40), normal(40, 50, seed=1)), times)
def rows_that_wrap_around(a, b):
    c = torch.empty(20, 50)
    wrapped_kernel[(8,)](a, b, c, 20, 50, 40, BLOCK=16)
    return c


@triton.jit
def scaled_kernel(x_ptr, scale_ptr, out_ptr, scale, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr + i, mask=i < n) * scale * tl.load(scale_ptr), mask=i < n)


@honest(lambda: (normal(40), torch.tensor(3.0)), lambda x, scale: 9 * x)
def one_number_taken_to_python(x, scale):
    out = torch.empty_like(x)
    scaled_kernel[(2,)](x, scale, out, scale.item(), 40, BLOCK=32)
    return out


@triton.jit
def lengths_kernel(x_ptr, start_ptr, length_ptr, out_ptr, BLOCK: tl.constexpr):
    pid, i = tl.program_id(0), tl.arange(0, BLOCK)
    x = tl.load(x_ptr + tl.load(start_ptr + pid) + i, mask=i < tl.load(length_ptr + pid), other=0.0)
    tl.store(out_ptr + pid, tl.sum(x))


@honest(lambda: (normal(40), torch.tensor([10, 30, 0])),
        lambda x, lengths: torch.stack([part.sum() for part in x.double().split(lengths.tolist())]))
def lengths_computed_with_torch(x, lengths):
    starts, out = torch.zeros_like(lengths), torch.empty(3)
    starts[1:] = lengths.cumsum(0)[:-1]
    lengths_kernel[(3,)](x, starts, lengths, out, BLOCK=triton.next_power_of_2(int(lengths.max())))
    return out


@triton.jit
def swap_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x, y = tl.load(x_ptr + i, mask=i < n), tl.load(y_ptr + i, mask=i < n)
    tl.store(x_ptr + i, y, mask=i < n)
    tl.store(y_ptr + i, x, mask=i < n)


@honest(lambda: (normal(40), normal(40, seed=1)), lambda x, y: (y.clone(), x.clone()))
def swapped_in_place(x, y):
    swap_kernel[(3,)](x, y, 40, BLOCK=16)
    return x, y


@triton.jit
def extremes_kernel(x_ptr, high_ptr, low_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=0.0)
    tl.atomic_max(high_ptr, tl.max(x, 0))
    tl.atomic_min(low_ptr + i * 0, x, mask=i < n)


@honest(lambda: (normal(40),), lambda x: (x.max(), x.min()))
def atomics_on_floats(x):
    high, low = torch.full((1,), -math.inf), torch.full((1,), math.inf)
    extremes_kernel[(3,)](x, high, low, 40, BLOCK=16)
    return high[0], low[0]


@triton.jit
def dropout_kernel(x_ptr, out_ptr, n, p, seed, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = tl.rand(seed, i) > p
    x = tl.load(x_ptr + i, mask=i < n, other=0.0)
    tl.store(out_ptr + i, tl.where(keep, x / (1 - p), 0.0), mask=i < n)


@honest(lambda: (normal(100),), lambda x: None)
def random_numbers(x):
    out = torch.empty_like(x)
    dropout_kernel[(4,)](x, out, 100, 0.5, 1234, BLOCK=32)
    return out

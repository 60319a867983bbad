"""Random kernels on tiles: their numbers against NumPy in float64, and their mistakes against index arithmetic.

A value of the first test is a pair: what float64 says, and a bound on how far rounding may lead from it. The
second test draws strides, bounds, steps and grids, right or wrong, and asks of NumPy which addresses each
program touches: the judge must report exactly the kinds of mistakes that exist.
"""

import linecache

import numpy as np
import pytest
import torch

pytest.importorskip("triton", reason="NOT CHECKED: triton is not installed; `make triton` (no GPU is needed)")
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

from ladder.kernel_judge.strict import Examiner

U = 2.0**-22  # of one operation in float32, generously
ROUNDS = {"float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-8}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "int32": torch.int32,
          "int8": torch.int8}
steady = settings(derandomize=True, deadline=None, database=None)


def rounded(value, error, u=U):
    return value, error + u * (np.abs(value) + error)


def plus(a, b):
    return rounded(a[0] + b[0], a[1] + b[1])


def minus(a, b):
    return rounded(a[0] - b[0], a[1] + b[1])


def times(a, b):
    return rounded(a[0] * b[0], a[1] * np.abs(b[0]) + b[1] * np.abs(a[0]) + a[1] * b[1])


def over(a, b):
    below = 1 + np.abs(b[0])
    return rounded(a[0] / below, 2 * (a[1] + np.abs(a[0]) * (b[1] + U * below) / below) / np.maximum(below - b[1], 0.5))


def cast(name):
    def apply(a):
        value, error = rounded(*a, ROUNDS[name])
        return value, error + 2.0**-24
    return apply


UNARY = {
    "-{}": lambda a: (-a[0], a[1]),
    "tl.abs({})": lambda a: (np.abs(a[0]), a[1]),
    "tl.exp(-tl.abs({}))": lambda a: (np.exp(-np.abs(a[0])), np.expm1(np.minimum(a[1], 5)) + 2 * U),
    "{}.to(tl.float16).to(tl.float32)": cast("float16"),
    "{}.to(tl.bfloat16).to(tl.float32)": cast("bfloat16"),
}
BINARY = {
    "({} + {})": plus, "({} - {})": minus, "({} * {})": times, "({} / (1.0 + tl.abs({})))": over,
    "tl.maximum({}, {})": lambda a, b: (np.maximum(a[0], b[0]), np.maximum(a[1], b[1])),
    "tl.minimum({}, {})": lambda a, b: (np.minimum(a[0], b[0]), np.minimum(a[1], b[1])),
}
CONDITIONS = {"x > y": lambda x, y: x > y, "(x < 0) | (y < 0)": lambda x, y: (x < 0) | (y < 0),
              "(m[:, None] + n[None, :]) % 3 == 0": None}


@st.composite
def expressions(draw, depth=2):
    """A tile's expression over x, y, m and n, and what it means of exact x and y."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        leaf = draw(st.sampled_from(["x", "y", "0.75"]))
        return leaf, lambda x, y: ({"x": x, "y": y}.get(leaf, np.full_like(x, 0.75)), np.zeros_like(x))
    kind = draw(st.integers(0, 2))
    inner, f = draw(expressions(depth=depth - 1))
    if kind == 0:
        form = draw(st.sampled_from(sorted(UNARY)))
        return f"({form.format(f'({inner})')})" if inner != "0.75" else inner, (
            (lambda x, y: UNARY[form](f(x, y))) if inner != "0.75" else f)
    right, g = draw(expressions(depth=depth - 1))
    if kind == 1:
        form = draw(st.sampled_from(sorted(BINARY)))
        if inner == right == "0.75":
            return inner, f
        return form.format(inner, right), lambda x, y: BINARY[form](f(x, y), g(x, y))
    text = draw(st.sampled_from(sorted(CONDITIONS)))

    def chosen(x, y):
        where = (np.add.outer(*map(np.arange, x.shape)) % 3 == 0) if CONDITIONS[text] is None else CONDITIONS[text](x, y)
        return tuple(np.where(where, a, b) for a, b in zip(f(x, y), g(x, y), strict=True))

    if inner == right == "0.75":
        inner, right = "0.75 * tl.full((BM, BN), 1.0, tl.float32)", "0.75"
    return f"tl.where({text}, {inner}, {right})", chosen


HEAD = """@triton.jit
def made(x_ptr, y_ptr, out_ptr, M, N, xm, xn, ym, yn, om, on, BM: tl.constexpr, BN: tl.constexpr):
"""
TILE = """n = {n} + tl.arange(0, BN)
m = {m} + tl.arange(0, BM)
inside = (m[:, None] < M) & (n[None, :] < N)
x = tl.load(x_ptr + m[:, None] * xm + n[None, :] * xn, mask=inside, other=0).to(tl.float32)
y = tl.load(y_ptr + m[:, None] * ym + n[None, :] * yn, mask=inside, other=0).to(tl.float32)
z = {e} + tl.zeros((BM, BN), tl.float32)
"""
FORMS = {  # (program's m, program's n, before, loop over, in the loop, after)
    "map": ("tl.program_id(0) * BM", "tl.program_id(1) * BN", "", "", "", """
tl.store(out_ptr + m[:, None] * om + n[None, :] * on, z, mask=inside)"""),
    "sum rows": ("tl.program_id(0) * BM", "start", "acc = tl.zeros((BM,), tl.float32)", "range(0, N, BN)",
                 "acc += tl.sum(tl.where(inside, z, 0.0), axis=1)", "tl.store(out_ptr + m * om, acc, mask=m < M)"),
    "sum columns": ("start", "tl.program_id(1) * BN", "acc = tl.zeros((BN,), tl.float32)", "tl.range(0, M, BM)",
                    "acc += tl.sum(tl.where(inside, z, 0.0), axis=0)", "tl.store(out_ptr + n * on, acc, mask=n < N)"),
    "max rows": ("tl.program_id(0) * BM", "start", "acc = tl.full((BM,), float('-inf'), tl.float32)", "range(0, N, BN)",
                 "acc = tl.maximum(acc, tl.max(tl.where(inside, z, float('-inf')), axis=1))",
                 "tl.store(out_ptr + m * om, acc, mask=m < M)"),
    "min columns": ("start", "tl.program_id(1) * BN", "acc = tl.full((BN,), float('inf'), tl.float32)",
                    "range(0, M, BM)", "acc = tl.minimum(acc, tl.min(tl.where(inside, z, float('inf')), axis=0))",
                    "tl.store(out_ptr + n * on, acc, mask=n < N)"),
    "dot": ("tl.program_id(0) * BM", "start", "acc = tl.zeros((BM, BM), tl.float32)", "range(0, N, BN)",
            "z = tl.where(inside, z, 0.0).to({d})\nacc = tl.dot(z, tl.trans(z), acc, input_precision='{p}')",
            "k = tl.arange(0, BM)\ntl.store(out_ptr + m[:, None] * om + k[None, :] * on, acc, mask=(m[:, None] < M) & "
            "(k[None, :] < M))"),
}
_numbers = iter(range(10**9))


def jit_of(source):
    name = f"<fuzz {next(_numbers)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    scope = {"triton": triton, "tl": tl}
    exec(compile(source, name, "exec"), scope)
    return scope["made"]


def indented(text, by):
    return "".join(f"{' ' * by}{line}\n" for line in text.split("\n") if line)


def kernel_of(form, expression, dtype, precision):
    m, n, before, loop, inside, after = FORMS[form]
    tile = TILE.format(m=m, n=n, e=expression) + inside.format(d=f"tl.{dtype}", p=precision)
    first = (before + "\n").replace("; ", "\n")
    body = indented(first, 4) + (indented(f"for start in {loop}:", 4) + indented(tile, 8) if loop else indented(tile, 4))
    if loop:  # a loop leaves its last m or n behind; the one of the program is wanted after it
        body += indented(f"{'m' if n == 'start' else 'n'} = {m if n == 'start' else n} + "
                         f"tl.arange(0, {'BM' if n == 'start' else 'BN'})", 4)
    return jit_of(HEAD + body + indented(after, 4))


def laid_out(shape, layout, dtype):
    """An empty tensor of this shape: rows, columns, or a view with gaps."""
    if layout == "columns":
        return torch.zeros(shape[::-1], dtype=dtype).t()
    if layout == "gaps":
        return torch.zeros((shape[0] * 2, shape[1] + 3), dtype=dtype)[::2, 1:-2]
    return torch.zeros(shape, dtype=dtype)


LAYOUTS = st.sampled_from(["rows", "columns", "gaps"])


@given(expressions(), st.sampled_from(sorted(FORMS)), st.tuples(st.integers(1, 20), st.integers(1, 20)),
       st.tuples(st.sampled_from([2, 8, 16]), st.sampled_from([4, 8, 16])), st.tuples(LAYOUTS, LAYOUTS, LAYOUTS),
       st.tuples(st.sampled_from(sorted(DTYPES)), st.sampled_from(["float32", "float16", "bfloat16"])),
       st.sampled_from(["ieee", "tf32", "tf32x3"]), st.integers(0, 99))
@settings(steady, max_examples=60)
def test_random_tiles_are_numpys_within_rounding(expression, form, shape, blocks, layouts, dtypes, precision, seed):
    text, meaning = expression
    M, N = shape
    BM, BN = (32, 16) if form == "dot" else blocks
    kernel = kernel_of(form, text, dtypes[1], precision)
    rng = np.random.default_rng(seed)
    x, y = (laid_out(shape, layout, DTYPES[dtype]) for layout, dtype in
            zip(layouts, (dtypes[0], "float32"), strict=False))
    for tensor in (x, y):
        tensor.copy_(torch.from_numpy(rng.normal(size=shape) * (1 if tensor.is_floating_point() else 20)))

    def launch(x, y):
        kind = torch.float32 if form == "dot" else DTYPES[dtypes[1]]
        size = {"map": shape, "dot": (M, M)}.get(form, (M, 1) if "rows" in form else (1, N))
        whole = torch.empty((2 * size[0], size[1] + 1), dtype=kind)
        out = (whole[::2, 1:] if layouts[2] == "gaps" else torch.empty(size[::-1], dtype=kind).t()
               if layouts[2] == "columns" else torch.empty(size, dtype=kind))
        rows, columns = triton.cdiv(M, BM), triton.cdiv(N, BN)
        grid = {"map": (rows, columns)}.get(form, (1, columns) if "columns" in form else (rows,))
        kernel[grid](x, y, out, M, N, *x.stride(), *y.stride(), *out.stride(), BM=BM, BN=BN)
        return out

    report = Examiner(reads_all=False, seed=seed)(launch, x, y)
    assert report.honest, (text, [f.told("en") for f in report.findings])
    value, error = meaning(*(t.double().numpy() for t in (x, y)))
    if form == "dot":
        u = max(ROUNDS[dtypes[1]], {"ieee": 0, "tf32": 2.0**-11, "tf32x3": 2.0**-20}[precision]) + U
        value, error = value, error + u * (np.abs(value) + error) + 2.0**-24
        high = np.abs(value) + error
        value, error = value @ value.T, high @ high.T - np.abs(value) @ np.abs(value).T + N * U * (high @ high.T)
    elif form != "map":
        axis = 1 if "rows" in form else 0
        if "sum" in form:
            error = error.sum(axis, keepdims=True) + shape[axis] * U * (np.abs(value) + error).sum(axis, keepdims=True)
            value = value.sum(axis, keepdims=True)
        else:
            value = (value.max if "max" in form else value.min)(axis, keepdims=True)
            error = error.max(axis, keepdims=True)
    if form != "dot":
        value, error = cast(dtypes[1])((value, error))
    gap = np.abs(report.outputs.double().numpy() - value)
    assert (gap <= 1.01 * error + 1e-6).all(), (text, form, float((gap - error).max()))


@triton.jit
def walking_kernel(
    x_ptr, out_ptr, xm, xn, om, on, load_m, load_n, store_m, store_n, step_m, step_n, shift, end,
    BM: tl.constexpr, BN: tl.constexpr,
):
    m = tl.program_id(0) * step_m + tl.arange(0, BM)
    for start in range(0, end, step_n):
        n = start + tl.arange(0, BN)
        tl.load(x_ptr + m[:, None] * xm + n[None, :] * xn + shift, mask=(m[:, None] < load_m) & (n[None, :] < load_n), other=0)
        tl.store(out_ptr + m[:, None] * om + n[None, :] * on, (m[:, None] * 1000 + n[None, :]).to(tl.float32),
                 mask=(m[:, None] < store_m) & (n[None, :] < store_n))


def places(view):
    """The elements of its storage that a view has."""
    index = torch.arange(view.untyped_storage().nbytes() // view.element_size())
    return set(torch.as_strided(index, view.shape, view.stride(), view.storage_offset()).reshape(-1).tolist())


def kinds_of(x, out, numbers, blocks, programs):
    """Which kinds of mistakes ``walking_kernel`` has by NumPy's index arithmetic: surely, and at most."""
    xm, xn, om, on, load_m, load_n, store_m, store_n, step_m, step_n, shift, end = numbers
    BM, BN = blocks
    same = x.untyped_storage().data_ptr() == out.untyped_storage().data_ptr()
    valid_x, valid_out, found = places(x), places(out), set()
    reads, writes = {}, {}
    for p in range(programs):
        m = (p * step_m + np.arange(BM))[:, None]
        for start in range(0, end, step_n):
            n = (start + np.arange(BN))[None, :]
            active = np.broadcast_to((m < load_m) & (n < load_n), (BM, BN))
            for place in (x.storage_offset() + m * xm + n * xn + shift)[active].tolist():
                if place in valid_x:
                    reads.setdefault(place, set()).add(p)
                else:
                    found.add("OutOfBounds")
            active = np.broadcast_to((m < store_m) & (n < store_n), (BM, BN))
            here = (out.storage_offset() + m * om + n * on)[active].tolist()
            if any(here.count(place) > 1 for place in set(here) & valid_out):
                found.add("WriteRace")  # lanes that write different numbers
            for place in here:
                if place in valid_out:
                    writes.setdefault(place, set()).add(p)
                else:
                    found.add("OutOfBounds")
    if any(len(who) > 1 for who in writes.values()):
        found.add("WriteRace")
    if not same and not valid_out <= set(writes):
        found.add("UnwrittenOutput")
    both = [(who, reads[place]) for place, who in writes.items() if same and place in reads]
    if any(len(who) == 1 and readers - who for who, readers in both):
        found.add("ReadRace")
    elif any(len(who | readers) > 1 for who, readers in both):
        return found, found | {"ReadRace"}  # or not: a race of writes is told for that place in any case
    return found, found


@st.composite
def walks(draw):
    """A right walk over a matrix, with up to two of its numbers made wrong, and NumPy's opinion of it."""
    M, N = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    blocks = BM, BN = draw(st.sampled_from([2, 4])), draw(st.sampled_from([2, 4, 8]))
    whole = draw(LAYOUTS), draw(st.sampled_from(["rows", "columns", "gaps", "in place", "in place"]))
    x = laid_out((M, N), whole[0], torch.float32)
    out = x if whole[1] == "in place" else laid_out((M, N), whole[1], torch.float32)
    numbers = dict(zip(("xm", "xn", "om", "on"), (*x.stride(), *out.stride()), strict=True),
                   load_m=M, load_n=N, store_m=M, store_n=N, step_m=BM, step_n=BN, shift=0, end=N)
    programs = triton.cdiv(M, BM)
    for _ in range(draw(st.integers(0, 2))):
        wrong = draw(st.sampled_from([*numbers, "programs", "swap"]))
        if wrong == "programs":
            programs += draw(st.sampled_from([-1, 1]))
        elif wrong == "swap":
            a, b = draw(st.sampled_from([("xm", "xn"), ("om", "on")]))
            numbers[a], numbers[b] = numbers[b], numbers[a]
        elif wrong.startswith("step"):
            numbers[wrong] = max(1, numbers[wrong] // 2)
        elif wrong == "end":
            numbers[wrong] = max(0, N - BN)
        else:
            numbers[wrong] += draw(st.sampled_from([-1, 1, 40] if wrong[:4] in ("load", "stor") else [-1, 1]))
    return x, out, tuple(numbers.values()), blocks, max(1, programs), draw(st.integers(0, 9))


@given(walks())
@settings(steady, max_examples=250)
def test_random_walks_are_refused_for_what_numpy_finds(walk):
    x, out, numbers, blocks, programs, seed = walk
    sure, possible = kinds_of(x, out, numbers, blocks, programs)
    shape, strides, offset, held = tuple(out.shape), out.stride(), out.storage_offset(), len(out.untyped_storage()) // 4

    def launch(x):
        if out.data_ptr() == x.data_ptr():
            made = x
        else:
            made = torch.empty(held).as_strided(shape, strides, offset)
        walking_kernel[(programs,)](x, made, *numbers, BM=blocks[0], BN=blocks[1])
        return made

    found = {f.kind for f in Examiner(reads_all=False, seed=seed)(launch, x).findings}
    if x.data_ptr() == out.data_ptr():
        found.discard("UnwrittenOutput")
    assert sure <= found <= possible, (numbers, blocks, programs)
